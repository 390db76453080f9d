//! A command whose input and output are a connection.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::str::FromStr;
use std::time::Duration;

use portolan_core::{Endpoint, Error, Kind};
use portolan_net::{Context, Stream};
use rustix::process::{Pid, Signal, kill_process_group};
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
    /// error output is ours; its process group is its own.
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
            // A group of its own: what it starts ends with it.
            .process_group(0);
        // The command must not keep its end open here once the child has it.
        let child = command.spawn().map_err(failed);
        drop(command);
        Ok(Running { stream, process: Process { child: child?, has_ended: false } })
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

/// The process of a command. Unless it has ended by itself, it is killed when this is dropped, with
/// all that it started and that did not leave its process group.
#[derive(Debug)]
pub struct Process {
    child: Child,
    has_ended: bool,
}

impl Process {
    /// Waits until it has ended by itself, and kills it where it does not within 2 s: its status.
    pub async fn end(mut self, cx: &Context) -> io::Result<ExitStatus> {
        let ended = cx.limited(Some(GRACE)).until_deadline(self.child.wait()).await;
        self.has_ended = ended.is_some();
        match ended {
            Some(status) => status,
            None => {
                self.kill();
                self.child.wait().await
            }
        }
    }

    fn kill(&self) {
        let group = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        if let Some(group) = group {
            // One that has just ended is what is wanted.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_ended {
            self.kill();
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
    use std::os::unix::process::ExitStatusExt;

    use portolan_core::Timeouts;
    use portolan_net::{Join, Until};
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

    use super::*;
    use crate::{Carry, End};

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

    fn run(text: &str) -> Running {
        text.parse::<Exec>().unwrap().start(&Endpoint::unix("/peer"), None).unwrap()
    }

    #[tokio::test]
    async fn what_a_command_started_is_killed_with_it() {
        for ends in [false, true] {
            let Running { mut stream, process } = run("sh -c 'sleep 1000 & echo $!; wait'");
            let mut pid = String::new();
            BufReader::new(&mut stream).read_line(&mut pid).await.unwrap();
            if ends {
                tokio::time::pause();
                let status = process.end(&Context::new(Timeouts::default())).await.unwrap();
                assert_eq!(status.signal(), Some(9));
            } else {
                drop(process);
            }
            // All who had the other end are gone.
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
        }
    }

    #[tokio::test]
    async fn a_command_that_does_not_read_all_is_heard() {
        let Running { stream, process } = run("sh -c 'read line; echo heard; exit 3'");
        let (near, peer) = tokio::io::duplex(64 * 1024);
        let cx = Context::new(Timeouts::default());
        let carry =
            Carry { join: Join { until: Until::Far, ..Join::default() }, ..Carry::default() };
        let ends = (End::Stream(Stream::boxed(near)), End::Stream(stream));
        let (mut input, mut output) = tokio::io::split(peer);
        let talk = async {
            // Most of this is never read.
            let _ = output.write_all(&b"ahoy\n".repeat(200_000)).await;
            let mut heard = String::new();
            input.read_to_string(&mut heard).await.map(|_| heard)
        };
        let (carried, heard) = tokio::join!(carry.join(ends.0, ends.1, &cx), talk);
        assert!(carried.is_ok(), "{carried:?}");
        assert_eq!(heard.unwrap(), "heard\n");
        assert_eq!(process.end(&cx).await.unwrap().code(), Some(3));
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
