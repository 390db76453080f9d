//! Where the bytes of a download go.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::FutureExt;
use portolan_core::{Error, Kind, Url};
use tokio::io::{AsyncWrite, AsyncWriteExt, BufWriter};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::checksum::{Algorithm, Checksum, Hasher};
use crate::download::Target;
use crate::partial::{Partial, hash, unwritable};
use crate::place::{self, Names};
use crate::source::{Content, Opened, Resume};

/// How many pieces wait for the disk at most.
const PIECES: usize = 4;
/// How much goes to a writer at once, which may have to wake a thread for it.
const BATCH: usize = 1 << 20;

/// What a sink needs to know of its download.
#[derive(Clone)]
pub(crate) struct Order {
    pub(crate) url: Url,
    pub(crate) checksum: Option<Checksum>,
    pub(crate) continues: bool,
    pub(crate) names: Arc<Names>,
}

impl Order {
    fn algorithm(&self) -> Option<Algorithm> {
        self.checksum.as_ref().map(Checksum::algorithm)
    }
}

/// Where the bytes go.
pub(crate) enum Sink {
    /// Into this directory, once the name is known.
    Directory(PathBuf),
    /// To this name, once something comes.
    Path(PathBuf),
    /// To a temporary file; whether its name was given by the user, and so may be replaced.
    File(Partial, bool),
    /// To whoever reads.
    Writer(Writer),
}

/// What the peer says of what it sends.
pub(crate) struct Found {
    name: String,
    size: Option<u64>,
    modified: Option<SystemTime>,
}

impl Found {
    pub(crate) fn of(opened: &Opened) -> Self {
        Self { name: opened.name.clone(), size: opened.size, modified: opened.modified }
    }

    /// Whether it is there already, as far as can be told without reading the peer's: a file of
    /// that size, not older, and with the checksum where there is one.
    fn is_at(&self, path: &Path, checksum: Option<&Checksum>) -> bool {
        let Ok(ours) = fs::metadata(path) else { return false };
        let is_current = match (self.modified, ours.modified()) {
            (Some(theirs), Ok(ours)) => theirs <= ours,
            _ => true,
        };
        let is_right = |checksum: &Checksum| {
            File::open(path)
                .and_then(|mut file| hash(&mut file, checksum.algorithm()))
                .is_ok_and(|hasher| checksum.check(hasher, path.display()).is_ok())
        };
        let is_alike = ours.is_file() && Some(ours.len()) == self.size && is_current;
        is_alike && checksum.is_none_or(is_right)
    }
}

/// What has become of a sink.
pub(crate) enum Settled {
    /// It takes bytes.
    Open(Sink),
    /// The file was there, and whole.
    Whole(PathBuf),
}

impl Sink {
    /// Looks at the target, and for what an earlier try has left.
    pub(crate) async fn prepare(target: Target, order: &Order) -> Result<Self, Error> {
        let order = order.clone();
        match target {
            Target::Writer(writer) => Ok(Self::Writer(Writer::new(writer, &order))),
            Target::Open(file) => Writer::open(file, &order).map(Self::Writer).map_err(unwritten),
            Target::Directory(path) => blocking(move || Self::in_directory(path, &order)).await,
            Target::File(path) => match fs::metadata(&path) {
                Ok(found) if found.is_dir() => {
                    blocking(move || Self::in_directory(path, &order)).await
                }
                // A device or a pipe is written to, never replaced.
                Ok(found) if !found.is_file() => {
                    let open = move || {
                        let file = File::options().write(true).open(&path);
                        let writer = file.and_then(|file| Writer::open(file, &order));
                        writer.map(Self::Writer).map_err(|error| unwritable(&path, error))
                    };
                    blocking(open).await
                }
                found => {
                    // What a link points to is replaced, not the link.
                    let path = if found.is_ok() { fs::canonicalize(&path) } else { Ok(path) };
                    let path = path.map_err(|error| unwritable(Path::new("the target"), error))?;
                    blocking(move || Self::at(path, &order)).await
                }
            },
        }
    }

    fn in_directory(directory: PathBuf, order: &Order) -> Result<Self, Error> {
        let left = match order.continues {
            true => Partial::find(&directory, &order.url, order.algorithm(), &order.names)?,
            false => None,
        };
        Ok(left.map_or(Self::Directory(directory), |partial| Self::File(partial, false)))
    }

    fn at(path: PathBuf, order: &Order) -> Result<Self, Error> {
        if !order.continues || !place::state_file(&place::temporary(&path)).exists() {
            return Ok(Self::Path(path));
        }
        Ok(Self::File(open(&path, order)?, true))
    }

    /// Where to go on.
    pub(crate) fn resume(&self) -> Option<Resume> {
        match self {
            Self::Directory(_) | Self::Path(_) => None,
            Self::File(partial, _) => partial.resume(),
            Self::Writer(writer) => writer.resume(),
        }
    }

    /// Chooses the name, now that the download has begun.
    pub(crate) async fn settle(self, found: Found, order: &Order) -> Result<Settled, Error> {
        let order = order.clone();
        let (path, is_given) = match self {
            Self::Directory(directory) => (directory.join(&found.name), false),
            Self::Path(path) => (path, true),
            open => return Ok(Settled::Open(open)),
        };
        blocking(move || {
            if order.continues && found.is_at(&path, order.checksum.as_ref()) {
                return Ok(Settled::Whole(path));
            }
            let partial = match is_given {
                true => open(&path, &order)?,
                false => open_free(&path, &order)?,
            };
            Ok(Settled::Open(Self::File(partial, is_given)))
        })
        .await
    }

    /// Takes all bytes of `opened`, and tells of each piece. The sink comes back with whatever
    /// happened.
    pub(crate) async fn receive(
        self,
        opened: Opened,
        told: impl Fn(u64) + Send + Sync,
    ) -> (Self, Result<(), Error>) {
        match self {
            Self::File(partial, is_given) => {
                let (partial, result) = receive_file(partial, opened, told).await;
                (Self::File(partial, is_given), result)
            }
            Self::Writer(mut writer) => {
                let result = writer.receive(opened, told).await;
                // However it ended: who reads gets all that came.
                let flushed = writer.writer.flush().await.map_err(unwritten);
                (Self::Writer(writer), result.and(flushed))
            }
            // Nothing comes before it is settled.
            unsettled => (unsettled, Ok(())),
        }
    }

    /// How many bytes are there.
    pub(crate) const fn written(&self) -> u64 {
        match self {
            Self::Directory(_) | Self::Path(_) => 0,
            Self::File(partial, _) => partial.written(),
            Self::Writer(writer) => writer.written,
        }
    }

    /// Ends: checks the checksum, and gives a file its name.
    pub(crate) async fn finish(self, order: &Order) -> Result<Option<PathBuf>, Error> {
        let checksum = order.checksum.clone();
        match self {
            Self::Directory(_) | Self::Path(_) => Ok(None),
            Self::File(partial, replaces) => {
                blocking(move || partial.finish(checksum.as_ref(), replaces).map(Some)).await
            }
            Self::Writer(writer) => writer.finish(checksum.as_ref(), &order.url).map(|()| None),
        }
    }
}

/// The temporary file for a name that the user has given.
fn open(path: &Path, order: &Order) -> Result<Partial, Error> {
    let claim = order.names.claim(path).ok_or_else(|| {
        let message = format!("two downloads would go to {}", path.display());
        Error::new(Kind::Usage, message).with_hint("give each a file of its own, or a directory")
    })?;
    Partial::open(claim, &order.url, order.algorithm(), order.continues)?.ok_or_else(|| {
        let cause = io::Error::from(io::ErrorKind::ResourceBusy);
        unwritable(path, cause).with_hint("another process downloads to the same name")
    })
}

/// The temporary file for a name that the peer has given, or for the next one that is free.
fn open_free(path: &Path, order: &Order) -> Result<Partial, Error> {
    for candidate in place::candidates(path).filter(|path| fs::symlink_metadata(path).is_err()) {
        let Some(claim) = order.names.claim(&candidate) else { continue };
        if let Some(partial) = Partial::open(claim, &order.url, order.algorithm(), false)? {
            return Ok(partial);
        }
    }
    Err(unwritable(path, io::ErrorKind::AlreadyExists.into()))
}

/// Takes the bytes within the kernel where that can be done, and by way of this process elsewhere.
async fn receive_file(
    mut partial: Partial,
    opened: Opened,
    told: impl Fn(u64) + Send + Sync,
) -> (Partial, Result<(), Error>) {
    let Opened { offset, size, validator, mut content, .. } = opened;
    let begun = spawn_blocking(move || {
        let result = partial.begin(offset, validator);
        (partial, result)
    });
    let result;
    (partial, result) = unwind(begun.await);
    if result.is_err() {
        return (partial, result);
    }
    let (spliced, result) = match partial.file() {
        Some(file) => splice(&mut *content, file, &told).await,
        None => (0, Ok(false)),
    };
    partial.advance(spliced);
    match result {
        Ok(false) => write_file(partial, content, size, told).await,
        result => {
            let written = partial.written();
            (partial, result.and_then(|_| check_size(written, size)))
        }
    }
}

/// Lets the kernel move all bytes: how many it moved, and whether it could.
async fn splice(
    content: &mut dyn Content,
    file: &File,
    told: &(impl Fn(u64) + Sync),
) -> (u64, Result<bool, Error>) {
    let count = AtomicU64::new(0);
    let count_and_tell = |more| {
        count.fetch_add(more, Ordering::Relaxed);
        told(more);
    };
    let result = content.splice_to(file, &count_and_tell).await;
    (count.into_inner(), result)
}

/// Writes on a thread of its own, so that disk and hash wait for no socket, nor it for them.
async fn write_file(
    mut partial: Partial,
    mut content: Box<dyn Content>,
    size: Option<u64>,
    told: impl Fn(u64) + Send,
) -> (Partial, Result<(), Error>) {
    let (sender, mut pieces) = mpsc::channel::<Bytes>(PIECES);
    let writing = spawn_blocking(move || {
        let mut write = || {
            while let Some(piece) = pieces.blocking_recv() {
                partial.write(&piece)?;
            }
            Ok(())
        };
        let result: Result<(), Error> = write();
        (partial, result)
    });
    let mut read = Ok(());
    while let Some(piece) = content.next().await {
        match piece {
            Ok(piece) => {
                let length = piece.len() as u64;
                // The writer has failed, and will say why.
                if sender.send(piece).await.is_err() {
                    break;
                }
                told(length);
            }
            Err(error) => {
                read = Err(error);
                break;
            }
        }
    }
    drop(sender);
    let (partial, wrote) = unwind(writing.await);
    let result = wrote.and(read).and_then(|()| check_size(partial.written(), size));
    (partial, result)
}

/// A peer that says how much there is keeps its word.
fn check_size(written: u64, size: Option<u64>) -> Result<(), Error> {
    match size {
        Some(size) if size != written => {
            let message = format!("the transfer ended after {written} of {size} bytes");
            Err(Error::new(Kind::Partial, message))
        }
        _ => Ok(()),
    }
}

/// Someone who reads, and takes nothing back.
pub(crate) struct Writer {
    writer: BufWriter<Box<dyn AsyncWrite + Send + Unpin>>,
    /// What is written to, where the kernel may do it.
    file: Option<File>,
    written: u64,
    hasher: Option<Hasher>,
    validator: Option<String>,
}

impl Writer {
    fn new(writer: Box<dyn AsyncWrite + Send + Unpin>, order: &Order) -> Self {
        let writer = BufWriter::with_capacity(BATCH, writer);
        let hasher = order.algorithm().map(Algorithm::hasher);
        Self { writer, file: None, written: 0, hasher, validator: None }
    }

    fn open(file: File, order: &Order) -> io::Result<Self> {
        let again = tokio::fs::File::from_std(file.try_clone()?);
        let writer = Self::new(Box::new(again), order);
        Ok(Self { file: Some(file).filter(|_| writer.hasher.is_none()), ..writer })
    }

    /// The next piece. While none comes, nothing is kept back from the reader.
    async fn next_after_what_waits(
        &mut self,
        content: &mut dyn Content,
    ) -> Result<Option<Result<Bytes, Error>>, Error> {
        if let Some(next) = content.next().now_or_never() {
            return Ok(next);
        }
        // What has come to the socket meanwhile is still worth one write with the rest.
        tokio::task::yield_now().await;
        if let Some(next) = content.next().now_or_never() {
            return Ok(next);
        }
        self.writer.flush().await.map_err(unwritten)?;
        Ok(content.next().await)
    }

    fn resume(&self) -> Option<Resume> {
        let validator = self.validator.clone().filter(|_| self.written > 0)?;
        Some(Resume { offset: self.written, validator })
    }

    async fn receive(
        &mut self,
        opened: Opened,
        told: impl Fn(u64) + Send + Sync,
    ) -> Result<(), Error> {
        let Opened { offset, size, validator, mut content, .. } = opened;
        // What has gone out already is left out, where it is sure to be the same.
        let mut skipped = self.written.saturating_sub(offset);
        if offset > self.written
            || (skipped > 0 && (validator.is_none() || validator != self.validator))
        {
            let message = format!("cannot go on after {} bytes", self.written);
            return Err(Error::new(Kind::Partial, message)
                .with_hint("it may have changed, and what was written cannot be taken back"));
        }
        self.validator = validator;
        if let Some(file) = self.file.as_ref().filter(|_| skipped == 0) {
            self.writer.flush().await.map_err(unwritten)?;
            let (spliced, result) = splice(&mut *content, file, &told).await;
            self.written += spliced;
            result?;
        }
        while let Some(piece) = self.next_after_what_waits(&mut *content).await? {
            let mut piece = piece?;
            told(piece.len() as u64);
            let known = usize::try_from(skipped).unwrap_or(usize::MAX).min(piece.len());
            skipped -= known as u64;
            let piece = piece.split_off(known);
            self.writer.write_all(&piece).await.map_err(unwritten)?;
            self.written += piece.len() as u64;
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&piece);
            }
        }
        check_size(self.written, size)
    }

    fn finish(self, checksum: Option<&Checksum>, url: &Url) -> Result<(), Error> {
        match (checksum, self.hasher) {
            (Some(checksum), Some(hasher)) => checksum.check(hasher, url),
            _ => Ok(()),
        }
    }
}

fn unwritten(error: io::Error) -> Error {
    Error::new(Kind::Write, "could not write the output").with_source(error)
}

/// Runs what blocks where it may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    unwind(spawn_blocking(work).await)
}

/// A panic on the other thread is one here.
fn unwind<T>(joined: Result<T, tokio::task::JoinError>) -> T {
    joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
