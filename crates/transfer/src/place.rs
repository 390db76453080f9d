//! Which names are taken.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The final names that downloads of this process are on their way to.
#[derive(Default)]
pub(crate) struct Names(Mutex<HashSet<PathBuf>>);

impl Names {
    /// Takes this name until the claim is dropped; `None` where it is taken.
    pub(crate) fn claim(self: &Arc<Self>, path: &Path) -> Option<Claim> {
        let is_free = self.taken().insert(path.to_owned());
        is_free.then(|| Claim { names: self.clone(), path: path.to_owned() })
    }

    fn taken(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name that is taken.
pub(crate) struct Claim {
    names: Arc<Names>,
    pub(crate) path: PathBuf,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.names.taken().remove(&self.path);
    }
}

/// The names to try for one file: its own, and then with a number, as wget(1) does.
pub(crate) fn candidates(path: &Path) -> impl Iterator<Item = PathBuf> + '_ {
    let numbered = (1..).map(|number| suffixed(path, &format!(".{number}")));
    std::iter::once(path.to_owned()).chain(numbered)
}

/// The temporary file that becomes `path`.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(TEMPORARY);
    path.with_file_name(name)
}

/// What is known of the temporary file.
pub(crate) fn state_file(temporary: &Path) -> PathBuf {
    suffixed(temporary, STATE)
}

/// The path that the state file at `path` is about, where it is one.
pub(crate) fn path_of_state_file(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let name = name.strip_prefix('.')?.strip_suffix(STATE)?.strip_suffix(TEMPORARY)?;
    Some(path.with_file_name(name))
}

const TEMPORARY: &str = ".portolan-part";
const STATE: &str = ".meta";

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_once_until_it_is_dropped() {
        let names = Arc::new(Names::default());
        let claim = names.claim(Path::new("/a")).unwrap();
        assert!(names.claim(Path::new("/a")).is_none());
        drop(claim);
        assert!(names.claim(Path::new("/a")).is_some());
    }

    #[test]
    fn names_are_made_and_read_back() {
        let path = Path::new("/d/a.txt");
        let names: Vec<_> = candidates(path).take(3).collect();
        assert_eq!(names, ["/d/a.txt", "/d/a.txt.1", "/d/a.txt.2"].map(PathBuf::from));
        let state = state_file(&temporary(path));
        assert_eq!(state, Path::new("/d/.a.txt.portolan-part.meta"));
        assert_eq!(path_of_state_file(&state).unwrap(), path);
        assert_eq!(path_of_state_file(path), None);
    }
}
