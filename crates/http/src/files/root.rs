//! The directory that is served, held by a descriptor: everything is opened beneath it, and the
//! kernel sees to it that nothing leads out, whatever is moved or linked meanwhile.

use std::fs::File;
use std::io;
use std::path::{Component, Path};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat};
use rustix::io::Errno;

/// How often an opening is tried that the kernel could not check, because something was renamed at
/// the same time.
const ATTEMPTS: usize = 64;
/// For reading: never waits for the other end of a pipe, and never makes a terminal ours.
const READ: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The root of what is served. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Root {
    directory: Arc<OwnedFd>,
    follows: bool,
    walks: bool,
}

/// What was opened, and what was known about it at that moment.
#[derive(Debug)]
pub(super) enum Opened {
    File(OpenFile),
    Directory(OwnedFd),
}

/// An open regular file.
#[derive(Clone, Debug)]
pub(super) struct OpenFile {
    pub(super) file: Arc<File>,
    pub(super) facts: Facts,
}

/// What the validators of a file are made of: they differ as soon as the file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// Bytes.
    pub(super) size: u64,
    /// Last change of the content; no earlier than 1970.
    pub(super) modified: SystemTime,
    pub(super) inode: u64,
}

impl Root {
    /// Takes this directory, which may itself be a symlink.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let directory = openat(CWD, path, DIRECTORY, Mode::empty())?;
        let mut root = Self { directory: Arc::new(directory), follows: false, walks: false };
        // Kernels before Linux 5.6 do not have the call, and some sandboxes deny it.
        let probe = root.resolve(Path::new("."), DIRECTORY);
        root.walks = matches!(probe, Err(Errno::NOSYS | Errno::PERM));
        Ok(root)
    }

    /// Whether symlinks are followed that do not lead out of the root. Where the kernel cannot
    /// check that, none is.
    pub(super) const fn with_follow_symlinks(mut self, follows: bool) -> Self {
        self.follows = follows;
        self
    }

    pub(super) const fn follows_symlinks(&self) -> bool {
        self.follows
    }

    /// Opens a file or directory for reading. What is neither, such as a pipe, is not found.
    pub(super) fn open_for_reading(&self, path: &Path) -> io::Result<Opened> {
        let descriptor = self.open_beneath(path, READ)?;
        let stat = fstat(&descriptor)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let file = Arc::new(File::from(descriptor));
                Ok(Opened::File(OpenFile { file, facts: Facts::from(&stat) }))
            }
            FileType::Directory => Ok(Opened::Directory(descriptor)),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Opens a directory, to list it or to write in it.
    pub(super) fn open_directory(&self, path: &Path) -> io::Result<OwnedFd> {
        Ok(self.open_beneath(path, DIRECTORY)?)
    }

    /// What stands at `path`, without opening it.
    pub(super) fn stat(&self, path: &Path) -> io::Result<Stat> {
        Ok(fstat(self.open_beneath(path, OFlags::PATH | OFlags::CLOEXEC)?)?)
    }

    fn open_beneath(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        if self.walks {
            return self.walk(path, flags);
        }
        let mut attempts = (0..ATTEMPTS).map(|_| self.resolve(path, flags));
        let settled = attempts.find(|result| !matches!(result, Err(Errno::AGAIN | Errno::INTR)));
        settled.unwrap_or(Err(Errno::AGAIN))
    }

    /// One call that opens only what is beneath the root, on Linux.
    #[cfg(target_os = "linux")]
    fn resolve(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        use rustix::fs::{ResolveFlags, openat2};

        let mut how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        how.set(ResolveFlags::NO_SYMLINKS, !self.follows);
        openat2(&*self.directory, path, flags, Mode::empty(), how)
    }

    #[cfg(not(target_os = "linux"))]
    fn resolve(&self, _: &Path, _: OFlags) -> Result<OwnedFd, Errno> {
        Err(Errno::NOSYS)
    }

    /// The same without that call: one name after the other, none of which may be a symlink.
    fn walk(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let mut names = path.components().peekable();
        let mut directory = None::<OwnedFd>;
        while let Some(name) = names.next() {
            let flags = if names.peek().is_some() { DIRECTORY } else { flags };
            let within = directory.as_ref().map_or(self.directory.as_fd(), AsFd::as_fd);
            let opened = match name {
                Component::CurDir => openat(within, ".", flags, Mode::empty())?,
                Component::Normal(name) => {
                    openat(within, name, flags | OFlags::NOFOLLOW, Mode::empty())?
                }
                _ => return Err(Errno::XDEV),
            };
            directory = Some(opened);
        }
        directory.ok_or(Errno::NOENT)
    }
}

impl From<&Stat> for Facts {
    fn from(stat: &Stat) -> Self {
        let seconds = u64::try_from(stat.st_mtime).unwrap_or_default();
        let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
        Self {
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            modified: UNIX_EPOCH + Duration::new(seconds, nanoseconds),
            inode: stat.st_ino,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::mkfifoat;
    use tempfile::TempDir;

    use super::*;

    /// A tree with ways out of it, and secrets beside it.
    fn tree() -> TempDir {
        let tree = TempDir::new().unwrap();
        let at = |path: &str| tree.path().join(path);
        fs::create_dir_all(at("root/sub/deep")).unwrap();
        fs::write(at("root/sub/a.txt"), "inside").unwrap();
        fs::write(at("secret"), "outside").unwrap();
        symlink("sub", at("root/inner")).unwrap();
        symlink("../secret", at("root/outer")).unwrap();
        symlink(at("secret"), at("root/absolute")).unwrap();
        symlink("../..", at("root/sub/up")).unwrap();
        symlink("/proc/self/root", at("root/magic")).unwrap();
        symlink("loop", at("root/loop")).unwrap();
        mkfifoat(CWD, at("root/pipe"), Mode::RUSR).unwrap();
        tree
    }

    fn read(root: &Root, path: &str) -> Option<String> {
        match root.open_for_reading(Path::new(path)).ok()? {
            Opened::File(opened) => io::read_to_string(&*opened.file).ok(),
            Opened::Directory(_) => Some("directory".to_owned()),
        }
    }

    #[test]
    fn what_is_beneath_the_root_is_opened() {
        let tree = tree();
        let root = Root::open(&tree.path().join("root")).unwrap();
        for root in [root.clone(), Root { walks: true, ..root }] {
            assert_eq!(read(&root, "sub/a.txt").as_deref(), Some("inside"));
            assert_eq!(read(&root, "").as_deref(), Some("directory"));
            assert_eq!(read(&root, "sub/deep").as_deref(), Some("directory"));
            for path in ["pipe", "missing", "sub/a.txt/b", "sub/missing/b"] {
                assert_eq!(read(&root, path), None, "{path}");
            }
        }
    }

    #[test]
    fn symlinks_are_not_followed_unless_asked_and_never_out() {
        let tree = tree();
        let root = Root::open(&tree.path().join("root")).unwrap();
        let out = ["outer", "absolute", "sub/up/secret", "magic/etc/passwd", "loop"];
        for root in [root.clone(), Root { walks: true, ..root.clone() }] {
            for path in out.into_iter().chain(["inner/a.txt", "inner"]) {
                assert_eq!(read(&root, path), None, "{path}");
            }
        }
        let root = root.with_follow_symlinks(true);
        assert_eq!(read(&root, "inner/a.txt").as_deref(), Some("inside"));
        for path in out.into_iter().chain(["..", "sub/../../secret"]) {
            assert_eq!(read(&root, path), None, "{path}");
        }
    }

    #[test]
    fn the_root_may_move() {
        let tree = tree();
        let root = Root::open(&tree.path().join("root")).unwrap();
        fs::rename(tree.path().join("root"), tree.path().join("moved")).unwrap();
        assert_eq!(read(&root, "sub/a.txt").as_deref(), Some("inside"));
    }

    #[test]
    fn facts_change_with_the_file() {
        let tree = tree();
        let (root, path) = (Root::open(&tree.path().join("root")).unwrap(), Path::new("sub/a.txt"));
        let facts = || match root.open_for_reading(path).unwrap() {
            Opened::File(opened) => opened.facts,
            Opened::Directory(_) => unreachable!("it is a file"),
        };
        let before = facts();
        assert_eq!(before.size, 6);
        assert_eq!(before, facts());
        fs::write(tree.path().join("root/sub/b"), "inside").unwrap();
        fs::rename(tree.path().join("root/sub/b"), tree.path().join("root/sub/a.txt")).unwrap();
        assert_ne!(before, facts());
    }
}
