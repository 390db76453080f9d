//! Conversations, line by line, with a program that a test has started.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::peer::launch;

/// A program whose stdin and stdout the test has. It is killed when this is dropped.
pub(crate) struct Talk {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// How a program has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// What it said on stdout, since somebody heard it last.
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Talk {
    /// Starts a program of a package with these arguments, between which stand blanks.
    #[track_caller]
    pub(crate) fn start(package: &str, program: &str, args: &str) -> Self {
        let mut command = Command::new(program);
        command.args(args.split(' '));
        Self::with(package, command)
    }

    /// Starts `portolan connect` with these arguments, between which stand blanks.
    #[track_caller]
    pub(crate) fn connect(args: &str) -> Self {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("portolan"));
        command.env_clear().args(["connect", "--no-config"]).args(args.split(' '));
        Self::with("portolan", command)
    }

    #[track_caller]
    fn with(package: &str, mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = launch(&mut command, package);
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { input: child.stdin.take(), child, output }
    }

    /// Says a line.
    #[track_caller]
    pub(crate) fn say(&mut self, line: &str) -> &mut Self {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
        self
    }

    /// Hears this line next.
    #[track_caller]
    pub(crate) fn hears(&mut self, line: &str) -> &mut Self {
        let heard = self.line(line);
        assert_eq!(heard, line);
        self
    }

    /// Hears a line next that starts so.
    #[track_caller]
    pub(crate) fn hears_start(&mut self, start: &str) -> &mut Self {
        let heard = self.line(start);
        assert!(heard.starts_with(start), "{heard}");
        self
    }

    #[track_caller]
    fn line(&mut self, wanted: &str) -> String {
        let mut heard = String::new();
        self.output.read_line(&mut heard).unwrap();
        if heard.is_empty() {
            panic!("it ended before it said {wanted:?}: {:?}", self.end());
        }
        heard.trim_end_matches(['\r', '\n']).to_owned()
    }

    /// Waits until it has ended by itself, with its input still open.
    #[track_caller]
    pub(crate) fn end_by_itself(&mut self) -> Ended {
        let input = self.input.take();
        let ended = self.end();
        drop(input);
        ended
    }

    /// Closes its input and waits until it has ended.
    #[track_caller]
    pub(crate) fn end(&mut self) -> Ended {
        drop(self.input.take());
        let (mut out, mut err) = (String::new(), String::new());
        self.output.read_to_string(&mut out).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        Ended { code: self.child.wait().unwrap().code(), out, err }
    }
}

impl Ended {
    /// It has ended well; what it said.
    #[track_caller]
    pub(crate) fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
