//! The programs that are compared: finding them, and what version they are.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, anyhow, bail};

/// An installed program.
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) version: String,
}

impl Program {
    /// The program of this name or at this path, which prints its version for `flag`.
    pub(crate) fn find(path: impl Into<PathBuf>, flag: &str) -> anyhow::Result<Self> {
        let path = path.into();
        let name = path.display();
        let output = Command::new(&path).arg(flag).stdin(Stdio::null()).output();
        let output =
            output.with_context(|| format!("{name} is missing: run versus/install-peers"))?;
        if !output.status.success() {
            bail!("{name} {flag} ended with {}", output.status);
        }
        // nginx prints it to stderr.
        let printed = [output.stdout, output.stderr].concat();
        let version = version(&String::from_utf8_lossy(&printed));
        Ok(Self { path, version })
    }

    /// Our own binary, as `cargo build --release` makes it; built first where it is not current.
    pub(crate) fn portolan() -> anyhow::Result<Self> {
        static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
        Self::find(built.clone().map_err(|error| anyhow!(error))?, "--version")
    }

    /// The Python into which `install-peers` put the peers that come from PyPI.
    pub(crate) fn python() -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("finding this program")?;
        let target = own.parent().and_then(Path::parent).context("finding the target directory")?;
        Self::find(target.join("peers/bin/python"), "--version")
    }

    /// A command of the program.
    pub(crate) fn command(&self) -> Command {
        Command::new(&self.path)
    }
}

/// Builds our binary: Cargo puts it beside this very program.
fn build() -> anyhow::Result<PathBuf> {
    let build = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--package", "portolan-cli"])
        .status()
        .context("running cargo")?;
    if !build.success() {
        bail!("portolan could not be built");
    }
    let binary =
        std::env::current_exe().context("finding this program")?.with_file_name("portolan");
    if !binary.exists() {
        bail!("{} is missing: run with --release", binary.display());
    }
    Ok(binary)
}

/// The first word that looks like the number of a version, wherever a program prints it.
fn version(text: &str) -> String {
    let is_version =
        |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    let mut words = text.split(|c: char| c.is_whitespace() || c == '/');
    words.find(is_version).unwrap_or("?").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_where_programs_print_them() {
        let texts = [
            ("portolan 0.1.0 (aws-lc-rs)", "0.1.0"),
            ("HAProxy version 2.6.12-1+deb12u4 2026/10/17", "2.6.12-1+deb12u4"),
            ("socat by G. R. - see www.example.org\nsocat version 1.7.4.4 on 06 Nov", "1.7.4.4"),
            ("nginx version: nginx/1.22.1\n", "1.22.1"),
            ("no number", "?"),
        ];
        for (text, expected) in texts {
            assert_eq!(version(text), expected);
        }
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let missing = Program::find("no-such-program", "-v").err().unwrap();
        assert_eq!(missing.to_string(), "no-such-program is missing: run versus/install-peers");
    }
}
