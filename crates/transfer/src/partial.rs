//! The temporary file of a download, and what is known of it: enough to go on after a crash.
//!
//! It stands beside its target and becomes it by one rename, once everything is on the disk. A lock
//! keeps two processes from writing to one. All of this blocks.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portolan_core::{Error, Kind, Url};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::checksum::{Algorithm, Checksum, Hasher};
use crate::place::{self, Claim, Names};
use crate::source::Resume;

/// The longest state file that is read.
const STATE_MAX: u64 = 128 * 1024;

/// What the state file holds.
#[derive(Default, Serialize, Deserialize)]
struct State {
    /// The version of this format: 1.
    v: u8,
    /// From where, without user name and password.
    url: String,
    /// What says that the content has not changed since.
    validator: Option<String>,
}

/// A download that is not whole yet.
pub(crate) struct Partial {
    claim: Claim,
    file: File,
    path: PathBuf,
    url: String,
    validator: Option<String>,
    written: u64,
    algorithm: Option<Algorithm>,
    hasher: Option<Hasher>,
    is_finished: bool,
}

impl Partial {
    /// The temporary file for the claimed name, with what an earlier try for `url` has left if
    /// that is to be gone on with. `None` where another process writes to it.
    pub(crate) fn open(
        claim: Claim,
        url: &Url,
        algorithm: Option<Algorithm>,
        continues: bool,
    ) -> Result<Option<Self>, Error> {
        let path = place::temporary(&claim.path);
        let Some(file) = open_locked(&path).map_err(|error| unwritable(&claim.path, error))? else {
            return Ok(None);
        };
        let url = url.to_string();
        let state = if continues { read_state(&path) } else { None };
        let validator = state.filter(|state| state.url == url).and_then(|state| state.validator);
        let written = match validator {
            Some(_) => file.metadata().map_err(|error| unwritable(&claim.path, error))?.len(),
            None => 0,
        };
        let is_finished = false;
        let hasher = None;
        Ok(Some(Self {
            claim,
            file,
            path,
            url,
            validator,
            written,
            algorithm,
            hasher,
            is_finished,
        }))
    }

    /// What an earlier try for `url` has left in this directory, under whatever name.
    pub(crate) fn find(
        directory: &Path,
        url: &Url,
        algorithm: Option<Algorithm>,
        names: &Arc<Names>,
    ) -> Result<Option<Self>, Error> {
        let unreadable = |error| unwritable(directory, error);
        for entry in fs::read_dir(directory).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let Some(path) = place::path_of_state_file(&entry.path()) else { continue };
            let state = read_state(&place::temporary(&path));
            if state.is_none_or(|state| state.url != url.to_string()) {
                continue;
            }
            let Some(claim) = names.claim(&path) else { continue };
            if let Some(found) = Self::open(claim, url, algorithm, true)?
                && found.resume().is_some()
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Where to go on.
    pub(crate) fn resume(&self) -> Option<Resume> {
        let validator = self.validator.clone().filter(|_| self.written > 0)?;
        Some(Resume { offset: self.written, validator })
    }

    /// How many bytes there are.
    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    /// Takes bytes from `offset` on, which is 0 or where [`resume`](Self::resume) said.
    pub(crate) fn begin(&mut self, offset: u64, validator: Option<String>) -> Result<(), Error> {
        self.begin_file(offset, validator).map_err(|error| unwritable(&self.claim.path, error))
    }

    fn begin_file(&mut self, offset: u64, validator: Option<String>) -> io::Result<()> {
        if offset == 0 || offset != self.written {
            // In this order a crash leaves nothing that looks like a part of something else.
            remove(&place::state_file(&self.path))?;
            self.file.set_len(0)?;
            self.written = 0;
            self.validator = validator;
            self.hasher = self.algorithm.map(Algorithm::hasher);
            self.write_state()?;
        } else if let (Some(algorithm), None) = (self.algorithm, &self.hasher) {
            self.file.rewind()?;
            self.hasher = Some(hash(&mut self.file, algorithm)?);
        }
        self.file.seek(SeekFrom::Start(self.written))?;
        Ok(())
    }

    /// Appends.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(|error| unwritable(&self.claim.path, error))?;
        self.written += bytes.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        Ok(())
    }

    /// The file, for who appends to it in another way and says so by [`advance`](Self::advance):
    /// where no bytes are to be hashed.
    pub(crate) fn file(&self) -> Option<&File> {
        self.hasher.is_none().then_some(&self.file)
    }

    /// So many bytes were appended.
    pub(crate) const fn advance(&mut self, bytes: u64) {
        self.written += bytes;
    }

    /// Checks what has come, brings it to the disk and gives it its final name: in place of what
    /// has that name, or else with a number where it is taken. On an error nothing has the name.
    pub(crate) fn finish(
        mut self,
        checksum: Option<&Checksum>,
        replaces: bool,
    ) -> Result<PathBuf, Error> {
        if let (Some(checksum), Some(hasher)) = (checksum, self.hasher.take()) {
            checksum.check(hasher, self.claim.path.display()).inspect_err(|_| {
                // Whatever is wrong with it would be gone on with the next time.
                self.validator = None;
            })?;
        }
        self.place(replaces).map_err(|error| unwritable(&self.claim.path, error))
    }

    fn place(&mut self, replaces: bool) -> io::Result<PathBuf> {
        self.file.sync_all()?;
        let target = if replaces {
            fs::rename(&self.path, &self.claim.path)?;
            self.claim.path.clone()
        } else {
            rename_to_free(&self.path, &self.claim.path)?
        };
        self.is_finished = true;
        remove(&place::state_file(&self.path))?;
        let directory = target.parent().filter(|path| !path.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(target)
    }

    fn write_state(&self) -> io::Result<()> {
        let state = State { v: 1, url: self.url.clone(), validator: self.validator.clone() };
        let path = place::state_file(&self.path);
        // A URL may hold secrets in its query.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(&serde_json::to_vec(&state)?)
    }
}

impl Drop for Partial {
    /// What nobody can go on with goes. How much is there the file knows best, where the kernel was
    /// broken off while it wrote.
    fn drop(&mut self) {
        let is_empty = || self.file.metadata().is_ok_and(|file| file.len() == 0);
        if !self.is_finished && (self.validator.is_none() || is_empty()) {
            let _ = remove(&place::state_file(&self.path));
            let _ = remove(&self.path);
        }
    }
}

/// The error of a file that could not be written.
pub(crate) fn unwritable(path: &Path, error: io::Error) -> Error {
    Error::new(Kind::Write, format!("could not write {}", path.display())).with_source(error)
}

/// Hashes what is left to read.
pub(crate) fn hash(file: &mut File, algorithm: Algorithm) -> io::Result<Hasher> {
    let mut hasher = algorithm.hasher();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher),
            length => hasher.update(&buffer[..length]),
        }
    }
}

/// Opens or makes the file and locks it; `None` where it is locked already.
fn open_locked(path: &Path) -> io::Result<Option<File>> {
    loop {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Who had the lock before may have given the file its final name by now.
        let opened = file.metadata()?;
        let is_same = |now: fs::Metadata| (now.dev(), now.ino()) == (opened.dev(), opened.ino());
        if fs::symlink_metadata(path).is_ok_and(is_same) {
            return Ok(Some(file));
        }
    }
}

fn read_state(temporary: &Path) -> Option<State> {
    let mut text = Vec::new();
    let file = File::open(place::state_file(temporary)).ok()?;
    file.take(STATE_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok().filter(|state: &State| state.v == 1)
}

/// Renames without ever replacing, whoever else makes files there.
fn rename_to_free(from: &Path, to: &Path) -> io::Result<PathBuf> {
    for candidate in place::candidates(to) {
        match renameat_with(CWD, from, CWD, &candidate, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(candidate),
            Err(Errno::EXIST) => {}
            // The file system has no such call.
            Err(Errno::INVAL | Errno::NOSYS) if !candidate.exists() => {
                return fs::rename(from, &candidate).map(|()| candidate);
            }
            Err(Errno::INVAL | Errno::NOSYS) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
