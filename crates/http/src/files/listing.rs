//! What is in a directory: read, sorted, and shown as JSON. The page is in `page.rs`.

use std::cmp::Ordering;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use axum::response::Response;
use http::header::{self, HeaderMap, HeaderValue};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, statat};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::encodings::compressed;
use super::negotiation::prefers_json;
use super::partial::is_partial;
use super::root::Facts;
use super::{Settings, page, path};

/// More entries than this are not shown: a page of them helps nobody.
const ENTRIES_MAX: usize = 10_000;

/// The files and directories in a directory.
pub(super) struct Listing {
    /// Where it is, beneath the root.
    pub(super) path: PathBuf,
    pub(super) entries: Vec<Entry>,
    /// Whether there are more than are shown.
    pub(super) is_cut: bool,
    pub(super) order: Order,
}

/// A file or directory.
pub(super) struct Entry {
    pub(super) name: OsString,
    /// The name as it is sorted.
    folded: String,
    pub(super) is_directory: bool,
    pub(super) facts: Facts,
}

/// By what entries are sorted. Directories come first in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) column: Column,
    pub(super) is_descending: bool,
}

/// What is known about each entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Column {
    #[default]
    Name,
    Size,
    Time,
}

impl Listing {
    /// Reads what may be seen of a directory. What is neither file nor directory is not shown, nor
    /// are symlinks unless they are followed.
    pub(super) fn read(settings: &Settings, path: &Path, directory: &OwnedFd) -> io::Result<Self> {
        let (mut entries, mut is_cut) = (Vec::new(), false);
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            let is_hidden = name.as_bytes().starts_with(b".") && !settings.shows_hidden;
            if is_hidden || matches!(name.as_bytes(), b"." | b"..") || is_partial(name) {
                continue;
            }
            if entries.len() == ENTRIES_MAX {
                is_cut = true;
                break;
            }
            entries.extend(Entry::read(settings, path, directory, name));
        }
        Ok(Self { path: path.to_owned(), entries, is_cut, order: Order::default() })
    }

    pub(super) fn sort(&mut self, order: Order) {
        self.entries.sort_by(|a, b| order.compare(a, b));
        self.order = order;
    }

    /// The listing as JSON, where that is asked for, or else as a page.
    pub(super) fn respond(&self, asked: &HeaderMap, settings: &Settings) -> Response {
        let mut response = if prefers_json(asked) {
            let mut response = compressed(self.json().to_string(), asked, &settings.encoders);
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            response
        } else {
            page::listing(self, asked, settings)
        };
        let headers = response.headers_mut();
        headers.append(header::VARY, HeaderValue::from_static("accept"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }

    fn json(&self) -> Value {
        let entries: Vec<_> = self.entries.iter().map(Entry::json).collect();
        let path = self.path.to_string_lossy();
        let slash = if path.is_empty() { "" } else { "/" };
        json!({ "path": format!("/{path}{slash}"), "entries": entries, "truncated": self.is_cut })
    }
}

impl Entry {
    fn read(settings: &Settings, path: &Path, directory: &OwnedFd, name: &OsStr) -> Option<Self> {
        let mut stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let is_symlink = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        if is_symlink && settings.root.follows_symlinks() {
            stat = settings.root.stat(&path.join(name)).ok()?;
        }
        let is_directory = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => true,
            FileType::RegularFile => false,
            _ => return None,
        };
        Some(Self::new(name.to_owned(), is_directory, Facts::from(&stat)))
    }

    fn new(name: OsString, is_directory: bool, facts: Facts) -> Self {
        let folded = name.to_string_lossy().to_lowercase();
        Self { name, folded, is_directory, facts }
    }

    /// The relative reference to it.
    pub(super) fn href(&self) -> String {
        path::reference(&self.name, self.is_directory)
    }

    /// When it was changed, as RFC 3339 has it.
    pub(super) fn modified(&self) -> String {
        rfc3339(self.facts.modified)
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name.to_string_lossy(),
            "href": self.href(),
            "type": if self.is_directory { "directory" } else { "file" },
            "size": (!self.is_directory).then_some(self.facts.size),
            "modified": self.modified(),
        })
    }
}

impl Order {
    /// The order that a query asks for: `sort=name|size|time` and `order=asc|desc`.
    pub(super) fn by(query: Option<&str>) -> Self {
        let mut order = Self::default();
        for parameter in query.unwrap_or_default().split('&') {
            match parameter {
                "sort=name" => order.column = Column::Name,
                "sort=size" => order.column = Column::Size,
                "sort=time" => order.column = Column::Time,
                "order=asc" => order.is_descending = false,
                "order=desc" => order.is_descending = true,
                _ => {}
            }
        }
        order
    }

    fn compare(self, a: &Entry, b: &Entry) -> Ordering {
        let by_name = || a.folded.cmp(&b.folded).then_with(|| a.name.cmp(&b.name));
        let by_column = match self.column {
            Column::Name => by_name(),
            Column::Size if a.is_directory => Ordering::Equal,
            Column::Size => a.facts.size.cmp(&b.facts.size),
            Column::Time => a.facts.modified.cmp(&b.facts.modified),
        };
        let by_column = if self.is_descending { by_column.reverse() } else { by_column };
        b.is_directory.cmp(&a.is_directory).then(by_column).then_with(by_name)
    }
}

impl Column {
    /// Its name in a query.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Size => "size",
            Self::Time => "time",
        }
    }
}

fn rfc3339(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let (hour, minute, second) = time.to_hms();
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", time.date())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn entry(name: &str, is_directory: bool, size: u64, age: u64) -> Entry {
        let modified = UNIX_EPOCH + Duration::from_secs(1_000_000_000 - age);
        Entry::new(name.into(), is_directory, Facts { size, modified, inode: 1 })
    }

    #[test]
    fn entries_are_sorted_as_asked_directories_first() {
        for (query, names) in [
            (None, "d E b B.txt c"),
            (Some("sort=name&order=desc"), "E d c B.txt b"),
            (Some("sort=size"), "d E c b B.txt"),
            (Some("order=desc&sort=size"), "d E B.txt b c"),
            (Some("sort=time"), "d E c b B.txt"),
            (Some("sort=time&order=desc"), "E d B.txt b c"),
            (Some("sort=colour&order=sideways&&="), "d E b B.txt c"),
        ] {
            let mut listing = Listing {
                path: PathBuf::new(),
                entries: vec![
                    entry("c", false, 1, 30),
                    entry("B.txt", false, 3, 10),
                    entry("b", false, 2, 20),
                    entry("E", true, 4096, 50),
                    entry("d", true, 8192, 60),
                ],
                is_cut: false,
                order: Order::default(),
            };
            listing.sort(Order::by(query));
            let sorted: Vec<_> = listing.entries.iter().map(|e| e.name.to_string_lossy()).collect();
            assert_eq!(sorted.join(" "), names, "{query:?}");
        }
    }

    #[test]
    fn json_has_all_that_a_program_needs() {
        let mut file = entry("a b", false, 7, 0);
        let listing = |entries| Listing {
            path: "x/y".into(),
            entries,
            is_cut: false,
            order: Order::default(),
        };
        let modified = "2001-09-09T01:46:40Z";
        assert_eq!(
            listing(vec![file, entry("d", true, 4096, 0)]).json(),
            json!({ "path": "/x/y/", "truncated": false, "entries": [
                { "name": "a b", "href": "./a%20b", "type": "file", "size": 7, "modified": modified },
                { "name": "d", "href": "./d/", "type": "directory", "size": null, "modified": modified },
            ] })
        );
        file = entry("", false, 0, 0);
        file.name = OsStr::from_bytes(b"\xff").to_owned();
        assert_eq!(listing(vec![file]).json()["entries"][0]["href"], "./%FF");
    }
}
