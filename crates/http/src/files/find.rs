//! From a path to what is sent for it. It reads directories and opens files, which may wait for the
//! disk: not for the event loop.

use std::io;
use std::path::Path;

use http::header::{self, HeaderMap};

use super::encodings::{self, Coding};
use super::listing::Listing;
use super::negotiation::{accepted_codings, accepts_pages};
use super::partial::is_partial;
use super::representation::{Encoding, Representation};
use super::root::{OpenFile, Opened};
use super::{RequestPath, Settings, types};

/// What stands at a path.
pub(super) enum Found {
    /// A file, or the index of a directory.
    File(Representation),
    /// A directory without an index.
    Listing(Listing),
    /// A directory, asked for as if it were a file.
    Directory,
}

/// What of a request decides in which form it gets a file.
pub(super) struct Wanted {
    stored: Vec<Coding>,
    live: Option<Coding>,
    is_page: bool,
}

impl Wanted {
    pub(super) fn by(headers: &HeaderMap) -> Self {
        let live = accepted_codings(headers, &encodings::LIVE).first().copied();
        Self {
            stored: accepted_codings(headers, &encodings::STORED),
            // Of what is made while it is sent, no ranges can be had.
            live: live.filter(|_| !headers.contains_key(header::RANGE)),
            is_page: accepts_pages(headers),
        }
    }
}

impl Settings {
    /// Finds what is sent for a path.
    pub(super) fn find(&self, path: &RequestPath, wanted: &Wanted) -> io::Result<Found> {
        let found = self.find_here(path, wanted);
        match (&found, &self.index) {
            (Err(error), Some(index))
                if self.is_spa && is_missing(error) && is_page(path, wanted) =>
            {
                let index = self.find_file(Path::new(index), wanted)?;
                let is_by_accept = may_be_asset(path);
                index.map_or(found, |index| {
                    Ok(Found::File(Representation { is_by_accept, ..index }))
                })
            }
            _ => found,
        }
    }

    fn find_here(&self, path: &RequestPath, wanted: &Wanted) -> io::Result<Found> {
        if !self.shows(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let opened = self.root.open_for_reading(path.path())?;
        match (opened, path.is_directory()) {
            (Opened::File(file), false) => {
                Ok(Found::File(self.represent(path.path(), file, wanted)))
            }
            (Opened::File(_), true) => Err(io::ErrorKind::NotFound.into()),
            (Opened::Directory(_), false) => Ok(Found::Directory),
            (Opened::Directory(directory), true) => {
                let index = self.index.as_ref().map(|index| path.path().join(index));
                if let Some(index) = index
                    && let Some(file) = self.find_file(&index, wanted)?
                {
                    return Ok(Found::File(file));
                }
                if !self.is_listed {
                    return Err(io::ErrorKind::NotFound.into());
                }
                Listing::read(self, path.path(), &directory).map(Found::Listing)
            }
        }
    }

    /// The file at this path, if there is one.
    fn find_file(&self, path: &Path, wanted: &Wanted) -> io::Result<Option<Representation>> {
        match self.root.open_for_reading(path) {
            Ok(Opened::File(file)) => Ok(Some(self.represent(path, file, wanted))),
            Ok(Opened::Directory(_)) => Ok(None),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a path may be seen at all.
    pub(super) fn shows(&self, path: &RequestPath) -> bool {
        (self.shows_hidden || !path.is_hidden()) && !path.path().iter().any(is_partial)
    }

    /// The form of a file that the client likes best.
    fn represent(&self, path: &Path, file: OpenFile, wanted: &Wanted) -> Representation {
        let name = path.file_name().unwrap_or_default();
        let content_type = types::content_type(name);
        let is_compressible = types::is_compressible(name);
        let mut representation = Representation {
            file,
            content_type,
            encoding: Encoding::Identity,
            is_compressible,
            is_by_accept: false,
        };
        if !is_compressible {
            return representation;
        }
        for coding in &wanted.stored {
            let mut beside = path.as_os_str().to_owned();
            beside.push(coding.extension());
            if let Ok(Opened::File(stored)) = self.root.open_for_reading(Path::new(&beside))
                // Or else it was made from an earlier version.
                && stored.facts.modified >= representation.file.facts.modified
            {
                representation.file = stored;
                representation.encoding = Encoding::Stored(*coding);
                return representation;
            }
        }
        if let Some(coding) = wanted.live
            && representation.file.facts.size >= encodings::COMPRESSED_MIN
            && let Some(encoder) = self.encoders.take(coding)
        {
            representation.encoding = Encoding::Live(encoder);
        }
        representation
    }
}

/// Whether the path of an application's page may be meant, and not that of one of its files.
fn is_page(path: &RequestPath, wanted: &Wanted) -> bool {
    wanted.is_page || !may_be_asset(path)
}

/// Whether the path may as well be that of a file, so that `Accept` decides.
fn may_be_asset(path: &RequestPath) -> bool {
    path.path().extension().is_some()
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
