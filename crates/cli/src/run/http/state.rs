//! The files of `--session`: what one request leaves for the next to the same host. They are the
//! user's alone, and hold no password.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use portolan::http::Jar;
use portolan::{Error, Kind, Url};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::args::items::Item;
use crate::config;
use crate::run::login::KeptLogin;

/// The version of what is written.
const VERSION: u8 = 1;

/// Fields that are of one request, or secrets, by the beginnings of their names.
const NOT_KEPT: [&str; 6] =
    ["authorization", "content-", "cookie", "host", "if-", "proxy-authorization"];

/// What is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct State {
    v: u8,
    /// The header fields of items.
    pub(super) headers: Vec<(String, String)>,
    /// Who logs in.
    pub(super) auth: Option<KeptLogin>,
    /// The jar, as the library keeps it.
    pub(super) cookies: Value,
}

impl Default for State {
    fn default() -> Self {
        Self { v: VERSION, headers: Vec::new(), auth: None, cookies: Value::Null }
    }
}

impl State {
    /// What the file holds; nothing where there is none yet.
    ///
    /// # Errors
    /// [`Kind::Read`]; [`Kind::Usage`] for a file that is something else.
    pub(super) fn load(file: &Path) -> Result<Self, Error> {
        let text = match fs::read(file) {
            Ok(text) => text,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(cause) => {
                let message = format!("could not read the session {}", file.display());
                return Err(Error::new(Kind::Read, message).with_source(cause));
            }
        };
        match serde_json::from_slice::<Self>(&text) {
            Ok(state) if state.v == VERSION => Ok(state),
            Ok(state) => {
                let message = format!("{} is a session of version {}", file.display(), state.v);
                Err(Error::new(Kind::Usage, message)
                    .with_hint("it was written by another portolan"))
            }
            Err(cause) => {
                let message = format!("{} is not a session", file.display());
                Err(Error::new(Kind::Usage, message).with_source(cause))
            }
        }
    }

    /// Writes the file as a whole: whoever reads it meanwhile has the old one.
    ///
    /// # Errors
    /// [`Kind::Write`].
    pub(super) fn save(&self, file: &Path) -> Result<(), Error> {
        let write = || {
            let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty());
            let dir = dir.unwrap_or_else(|| Path::new("."));
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            // Its mode is 0600 from the beginning.
            let mut fresh = NamedTempFile::new_in(dir)?;
            serde_json::to_writer_pretty(&mut fresh, self)?;
            fresh.write_all(b"\n")?;
            fresh.as_file().sync_all()?;
            fresh.persist(file)?;
            Ok(())
        };
        write().map_err(|cause: io::Error| {
            let message = format!("could not write the session {}", file.display());
            Error::new(Kind::Write, message).with_source(cause)
        })
    }

    /// The cookies.
    ///
    /// # Errors
    /// [`Kind::Usage`] where they are no jar.
    pub(super) fn jar(&self) -> Result<Jar, Error> {
        if self.cookies.is_null() { Ok(Jar::new()) } else { Jar::from_json(&self.cookies) }
    }

    /// Takes over the header fields of these items; one that is left out is forgotten.
    pub(super) fn take_headers(&mut self, items: &[Item]) {
        let is_kept = |name: &str| {
            let name = name.to_ascii_lowercase();
            !NOT_KEPT.iter().any(|start| name.starts_with(start))
        };
        for item in items {
            let Item::Header { name, value } = item else { continue };
            self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            if let Some(value) = value.as_ref().filter(|_| is_kept(name)) {
                self.headers.push((name.clone(), value.clone()));
            }
        }
    }
}

/// The file of the session `name` for the host of `url`. A name with a slash is the file itself.
///
/// # Errors
/// [`Kind::Usage`] for a name that is none, or where there is no place for files.
pub(super) fn file(name: &str, url: &Url) -> Result<PathBuf, Error> {
    if name.contains('/') {
        return Ok(name.into());
    }
    let is_plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
        let message = "a name for --session has letters, digits, - _ and . only";
        return Err(Error::new(Kind::Usage, message)
            .with_hint("for a file of your own, write its path, with a slash"));
    }
    let base = config::base("XDG_STATE_HOME", ".local/state", &|name| std::env::var_os(name));
    let base = base.ok_or_else(|| {
        Error::new(
            Kind::Usage,
            "there is no place for sessions: HOME and XDG_STATE_HOME are not set",
        )
    })?;
    // A host name cannot hold a slash, nor an address in brackets.
    let host = url.authority().replace(':', "_");
    Ok(base.join("portolan/sessions").join(host).join(format!("{name}.json")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn header(name: &str, value: Option<&str>) -> Item {
        Item::Header { name: name.to_owned(), value: value.map(str::to_owned) }
    }

    #[test]
    fn what_is_saved_is_loaded_and_the_users_alone() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("a/b/work.json");
        let mut state = State::load(&file).unwrap();
        state.take_headers(&[header("X-Team", Some("red"))]);
        state.auth = Some(KeptLogin { scheme: "digest".to_owned(), user: Some("joe".to_owned()) });
        state.save(&file).unwrap();
        state.save(&file).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        let loaded = State::load(&file).unwrap();
        assert_eq!((loaded.headers, loaded.auth), (state.headers, state.auth));
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_not_a_session_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("x.json");
        for text in ["", "{}", r#"{"v": 2, "headers": [], "auth": null, "cookies": null}"#] {
            fs::write(&file, text).unwrap();
            assert_eq!(State::load(&file).unwrap_err().kind(), Kind::Usage, "{text}");
        }
    }

    #[test]
    fn fields_of_one_request_and_secrets_are_not_kept() {
        let mut state = State::default();
        state.take_headers(&[
            header("Authorization", Some("Bearer x")),
            header("Content-Type", Some("x/y")),
            header("If-Match", Some("x")),
            header("X-A", Some("1")),
            header("X-B", Some("2")),
        ]);
        state.take_headers(&[header("x-a", Some("3")), header("X-B", None)]);
        assert_eq!(state.headers, [("x-a".to_owned(), "3".to_owned())]);
    }

    #[test]
    fn names_are_no_paths() {
        let url = "http://a.test:81/".parse().unwrap();
        for bad in ["", "..", ".x", "a b"] {
            assert_eq!(file(bad, &url).unwrap_err().kind(), Kind::Usage, "{bad}");
        }
        assert_eq!(file("./s.json", &url).unwrap(), Path::new("./s.json"));
    }
}
