//! A command whose input and output are a connection.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use portolan_core::{Endpoint, Error, Kind};
use portolan_net::{Context, Stream};
use tokio::process::{Child, Command};

/// How long a command may go on after its connection has ended.
const GRACE: Duration = Duration::from_secs(2);
/// Where programs are looked for without the variable PATH, as execvp(3) does.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// A command line: a program and its arguments, as a shell would split them. There is no shell:
/// `sh -c '…'` asks for one.
///
/// ```
/// use portolan_relay::Exec;
///
/// let exec: Exec = "grep -i 'two words'".parse()?;
/// assert_eq!(exec.to_string(), "grep -i 'two words'");
/// # Ok::<(), portolan_relay::ExecError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    words: Vec<String>,
}

/// Why a text is not a command that can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// There is no word in it.
    #[error("there is no command")]
    Empty,
    /// A quote is not closed.
    #[error("a quote is not closed")]
    Quote,
}

impl FromStr for Exec {
    type Err = ExecError;

    fn from_str(text: &str) -> Result<Self, ExecError> {
        match shlex::split(text) {
            None => Err(ExecError::Quote),
            Some(words) if words.is_empty() => Err(ExecError::Empty),
            Some(words) => Ok(Self { words }),
        }
    }
}

impl std::fmt::Display for Exec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = self.words.iter().map(String::as_str);
        f.write_str(&shlex::try_join(words).unwrap_or_default())
    }
}

impl Exec {
    /// Looks for the program, so that a mistake is found before anybody connects.
    ///
    /// # Errors
    /// [`Kind::Usage`] where there is no such program, or it may not be run.
    pub fn check(&self) -> Result<(), Error> {
        let program = &self.words[0];
        let refusal = |why: &str, hint: &str| {
            Err(Error::new(Kind::Usage, format!("could not run '{program}': {why}"))
                .with_hint(hint.to_owned()))
        };
        let candidates = candidates(program, std::env::var_os("PATH").as_deref());
        let mut found = candidates.iter().filter(|path| path.is_file()).peekable();
        if found.peek().is_none() {
            let hint = match program.contains('/') {
                true => "check the path",
                false => "install it, or give its path; for a shell's own words, sh -c '…'",
            };
            return refusal("there is no such program", hint);
        }
        if !found.any(|path| is_executable(path)) {
            return refusal("it is not executable", "chmod +x makes it so");
        }
        Ok(())
    }

    /// Starts the command with one socket as its input and output: what it writes is read from the
    /// stream, which ends when it does, and what is written to the stream is what it reads. Its
    /// error output is ours.
    ///
    /// Its environment says who is at the other end: `PORTOLAN_PEER`, `PORTOLAN_PEER_ADDR`,
    /// `PORTOLAN_PEER_PORT` and the same for `PORTOLAN_LOCAL`; and, for the sake of scripts that
    /// were written for these, ncat's `NCAT_REMOTE_ADDR` and the like, and socat's `SOCAT_PEERADDR`
    /// and the like.
    ///
    /// # Errors
    /// [`Kind::Usage`] where it cannot be started.
    pub fn start(&self, peer: &Endpoint, local: Option<&Endpoint>) -> Result<Running, Error> {
        let failed = |cause: io::Error| {
            Error::new(Kind::Usage, format!("could not run '{}'", self.words[0])).with_source(cause)
        };
        let (stream, theirs) = Stream::pair().map_err(failed)?;
        let mut command = Command::new(&self.words[0]);
        command
            .args(&self.words[1..])
            .envs(environment(peer, local))
            .stdin(Stdio::from(theirs.try_clone().map_err(failed)?))
            .stdout(Stdio::from(theirs))
            .kill_on_drop(true);
        // The command must not keep its end open here once the child has it.
        let child = command.spawn().map_err(failed);
        drop(command);
        Ok(Running { stream, process: Process(child?) })
    }
}

/// A command that runs.
#[derive(Debug)]
pub struct Running {
    /// Its input and output.
    pub stream: Stream,
    /// The command itself.
    pub process: Process,
}

/// The process of a command. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Waits until it has ended by itself, and kills it where it does not within 2 s.
    pub async fn end(mut self, cx: &Context) {
        let ended = cx.limited(Some(GRACE)).until_deadline(self.0.wait()).await;
        if ended.is_none() {
            let _ = self.0.kill().await;
        }
    }
}

/// The files that may be meant by `program`.
fn candidates(program: &str, path: Option<&OsStr>) -> Vec<PathBuf> {
    if program.contains('/') {
        return vec![PathBuf::from(program)];
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    std::env::split_paths(path).map(|dir| dir.join(program)).collect()
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0)
}

/// Who is at either end, under our own names, ncat's and socat's.
fn environment(peer: &Endpoint, local: Option<&Endpoint>) -> Vec<(OsString, OsString)> {
    let mut variables = vec![("PORTOLAN_PEER".to_owned(), peer.to_string())];
    let names = [
        (Some(peer), ["PORTOLAN_PEER_", "NCAT_REMOTE_", "SOCAT_PEER"]),
        (local, ["PORTOLAN_LOCAL_", "NCAT_LOCAL_", "SOCAT_SOCK"]),
    ];
    for (endpoint, prefixes) in names {
        let Some(endpoint) = endpoint.filter(|endpoint| endpoint.host.ip().is_some()) else {
            continue;
        };
        for prefix in prefixes {
            variables.push((format!("{prefix}ADDR"), endpoint.host.bare()));
            variables.push((format!("{prefix}PORT"), endpoint.port.to_string()));
        }
    }
    variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does() {
        let exec: Exec = r#"sh -c 'read line; echo "$line"' x"#.parse().unwrap();
        assert_eq!(exec.words, ["sh", "-c", r#"read line; echo "$line""#, "x"]);
        assert_eq!("  ".parse::<Exec>(), Err(ExecError::Empty));
        assert_eq!("echo 'a".parse::<Exec>(), Err(ExecError::Quote));
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        let refused = |text: &str| {
            let error = text.parse::<Exec>().unwrap().check().unwrap_err();
            assert_eq!(error.kind(), Kind::Usage);
            error.to_string()
        };
        assert!(refused("no-such-program -x").contains("there is no such program"));
        assert!(refused("/no/such/program").contains("there is no such program"));
        assert!(refused("/etc/passwd").contains("not executable"));
        assert!("sh".parse::<Exec>().unwrap().check().is_ok());
    }

    #[test]
    fn the_environment_names_both_ends() {
        let address = |text: &str| Endpoint::from(text.parse::<std::net::SocketAddr>().unwrap());
        let given = environment(&address("192.0.2.1:9"), Some(&address("[::1]:80")));
        let has = |name: &str, value: &str| given.contains(&(name.into(), value.into()));
        assert!(has("PORTOLAN_PEER", "192.0.2.1:9") && has("PORTOLAN_PEER_PORT", "9"));
        assert!(has("NCAT_REMOTE_ADDR", "192.0.2.1") && has("SOCAT_PEERPORT", "9"));
        assert!(has("PORTOLAN_LOCAL_ADDR", "::1") && has("SOCAT_SOCKPORT", "80"));
        let unix = environment(&Endpoint::unix("/run/a"), None);
        assert_eq!(unix, [("PORTOLAN_PEER".into(), "unix:/run/a".into())]);
    }
}
