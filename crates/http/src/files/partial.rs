//! A file that is not there yet: it is written under a temporary name, and gets its own when it is
//! whole and on the disk. One that is given up is removed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::StatusCode;
use portolan_core::units::show_size;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Stat, Uid, fchmod, fchown};
use rustix::fs::{fsync, linkat, openat, renameat, renameat_with, statat, unlinkat};
use rustix::io::Errno;
use tokio::fs;
use tokio::io::{AsyncWrite, AsyncWriteExt, BufWriter};

use super::on_disk;
use super::refusal::Refusal;
use super::root::Facts;
use crate::multipart::unguessable;

/// How much is written at once.
const PIECE: usize = 256 * 1024;
/// With what temporary names begin.
const PREFIX: &str = ".portolan-";

/// Held by who is about to give a file its name.
static NAMING: Mutex<()> = Mutex::new(());

/// Whether this is the temporary name of a file that is being written, or was when the server was
/// killed. Such files are neither served nor listed.
pub(super) fn is_partial(name: &OsStr) -> bool {
    name.as_bytes().starts_with(PREFIX.as_bytes())
}

/// A file that is being written.
pub(super) struct Partial {
    place: Arc<Place>,
    writer: BufWriter<fs::File>,
}

/// Where it is written. What is there under the temporary name is removed in the end.
struct Place {
    directory: OwnedFd,
    temporary: String,
    name: OsString,
}

impl Partial {
    /// Begins the file that is to have this name in this directory.
    pub(super) async fn create(directory: OwnedFd, name: &OsStr) -> Result<Self, Refusal> {
        let temporary = format!(".{}", unguessable().map_err(io::Error::other)?);
        let name = name.to_owned();
        let created = on_disk(move || {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            // What is to replace a private file is private from its first byte on.
            let mode = if standing(&directory, &name)?.is_some() { 0o600 } else { 0o666 };
            let file = openat(&directory, &temporary, flags, Mode::from_raw_mode(mode))?;
            let place = Place { directory, temporary, name };
            Ok((Arc::new(place), File::from(file)))
        });
        let (place, file) = created.await?;
        Ok(Self { place, writer: BufWriter::with_capacity(PIECE, fs::File::from_std(file)) })
    }

    /// Writes all that comes, as long as there is room for it; how much that was.
    pub(super) async fn fill<E>(
        &mut self,
        pieces: impl Stream<Item = Result<Bytes, E>>,
        room: &mut Room,
    ) -> Result<u64, Refusal>
    where
        Refusal: From<E>,
    {
        fill(&mut self.writer, pieces, room).await
    }

    /// Brings it to the disk and gives it its name, if `judge` allows it in view of the file that
    /// has this name now, if any. That one is replaced, and who may read and write it may go on to.
    /// Whether there was none.
    pub(super) async fn keep(
        mut self,
        judge: impl FnOnce(Option<Facts>) -> Result<(), Refusal> + Send + 'static,
    ) -> Result<bool, Refusal> {
        self.writer.flush().await?;
        self.writer.get_ref().sync_all().await?;
        let (place, file) = (self.place.clone(), self.writer.into_inner().into_std().await);
        on_disk(move || {
            let is_new = place.settle(&file, judge)?;
            fsync(&place.directory)?;
            Ok(is_new)
        })
        .await
    }
}

/// Writes what comes to `writer`.
async fn fill<E>(
    writer: &mut (impl AsyncWrite + Unpin),
    pieces: impl Stream<Item = Result<Bytes, E>>,
    room: &mut Room,
) -> Result<u64, Refusal>
where
    Refusal: From<E>,
{
    let mut pieces = std::pin::pin!(pieces);
    let mut written = 0;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        room.take(piece.len() as u64)?;
        writer.write_all(&piece).await?;
        written += piece.len() as u64;
    }
    // What does not fit shows only now.
    writer.flush().await?;
    Ok(written)
}

/// The file of this name, if there is one. What is no file, such as a symlink, is not replaced.
pub(super) fn standing(directory: &OwnedFd, name: &OsStr) -> Result<Option<Stat>, Refusal> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_file() => Ok(Some(stat)),
        Ok(_) => {
            let why = "what has this name is no file, and stays";
            Err(Refusal::new(StatusCode::CONFLICT, why))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Lets those read and write `file` who may do so with the one that it replaces. A server that may
/// not give a file away keeps it; what was for a group is for no other group then.
fn take_access(file: &File, replaced: &Stat) -> Result<(), Errno> {
    let (user, group) = (Uid::from_raw(replaced.st_uid), Gid::from_raw(replaced.st_gid));
    let mut mode = replaced.st_mode & 0o777;
    if fchown(file, Some(user), Some(group)).is_err() && fchown(file, None, Some(group)).is_err() {
        mode = mode & 0o707 | (mode & 0o007) << 3;
    }
    fchmod(file, Mode::from_raw_mode(mode))
}

/// How much of one request may still be taken.
pub(super) struct Room {
    max: u64,
    left: u64,
}

impl Room {
    pub(super) const fn new(max: u64) -> Self {
        Self { max, left: max }
    }

    /// Takes so many bytes, or refuses them where that is too much.
    pub(super) fn take(&mut self, bytes: u64) -> Result<(), Refusal> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            let why = format!("no more than {} are taken at once", show_size(self.max));
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, why)
        })?;
        Ok(())
    }
}

impl Place {
    /// Gives the file its name. Nothing else here comes between the judgement and that.
    fn settle(
        &self,
        file: &File,
        judge: impl FnOnce(Option<Facts>) -> Result<(), Refusal>,
    ) -> Result<bool, Refusal> {
        let _turn = NAMING.lock().unwrap_or_else(PoisonError::into_inner);
        let replaced = standing(&self.directory, &self.name)?;
        judge(replaced.as_ref().map(Facts::from))?;
        match &replaced {
            Some(replaced) => {
                take_access(file, replaced)?;
                renameat(&self.directory, &self.temporary, &self.directory, &self.name)?;
            }
            None => self.rename_new()?,
        }
        Ok(replaced.is_none())
    }

    /// Gives it a name that nothing has, even if another program is at it.
    fn rename_new(&self) -> Result<(), Errno> {
        let Self { directory, temporary, name } = self;
        match renameat_with(directory, temporary, directory, name, RenameFlags::NOREPLACE) {
            // Not every file system has this. A link replaces nothing either, and the old name goes
            // as always.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                linkat(directory, temporary, directory, name, AtFlags::empty())
            }
            renamed => renamed,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Where it has its name already, there is nothing.
        let _ = unlinkat(&self.directory, &self.temporary, AtFlags::empty());
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tokio::fs::OpenOptions;

    use super::*;

    fn pieces(count: usize) -> impl Stream<Item = io::Result<Bytes>> {
        stream::iter((0..count).map(|_| Ok(Bytes::from(vec![b'a'; 100_000]))))
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_full_disk_is_said_so() {
        let full = OpenOptions::new().write(true).open("/dev/full").await.unwrap();
        // Less than is written at once, too.
        for count in [1, 10] {
            let mut writer = BufWriter::with_capacity(PIECE, full.try_clone().await.unwrap());
            let refusal =
                fill(&mut writer, pieces(count), &mut Room::new(u64::MAX)).await.unwrap_err();
            assert_eq!(refusal.status(), StatusCode::INSUFFICIENT_STORAGE);
        }
    }

    #[tokio::test]
    async fn what_is_too_large_is_refused_at_once() {
        let mut room = Room::new(250_000);
        let mut written = Vec::new();
        let refusal = fill(&mut written, pieces(3), &mut room).await.unwrap_err();
        assert_eq!(refusal.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!((written.len(), room.left), (200_000, 50_000));
    }
}
