//! Lines for a WebSocket that are edited on a terminal: what it shows, what is sent, and that it is
//! as before at each end.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

#[path = "support/pty.rs"]
mod pty;
#[expect(dead_code, reason = "these tests need not all of it")]
mod support;

use std::env;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use pty::Pty;
use rustix::process::{Pid, Signal, kill_process, setsid};
use rustix::termios::{LocalModes, Termios, tcgetattr, tcsetattr};
use support::{Live, Portolan, serve};
use tempfile::TempDir;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

const LEFT: &str = "\x1b[D";
const UP: &str = "\x1b[A";
const DOWN: &str = "\x1b[B";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";

const COLUMNS: u16 = 40;

/// The command in a session of its own, on a terminal.
struct Session {
    /// The leader of the session, which runs the command.
    leader: Child,
    told: BufReader<ChildStderr>,
    pid: Pid,
    pty: Pty,
    /// The command's side of the terminal, and its mode at first.
    terminal: File,
    before: Termios,
    output: mpsc::Receiver<Vec<u8>>,
    screen: vt100::Parser,
    _home: TempDir,
}

/// What the leader is told.
const TERMINAL: &str = "TEST_TERMINAL";
const COMMAND: &str = "TEST_COMMAND";

impl Session {
    fn start(args: &[&str]) -> Self {
        Self::start_on("xterm", args)
    }

    fn start_on(kind: &str, args: &[&str]) -> Self {
        let pty = Pty::new(24, COLUMNS);
        let terminal = pty.open();
        let before = tcgetattr(&terminal).unwrap();
        let Portolan { home } = Portolan::new();
        let mut leader = Command::new(env::current_exe().unwrap());
        leader.args(["--exact", "the_leader_of_a_session", "--ignored", "--nocapture"]);
        leader.env_clear().env("XDG_CONFIG_HOME", home.path()).env("TERM", kind);
        leader.env(TERMINAL, &pty.path).env(COMMAND, serde_json::to_string(args).unwrap());
        leader.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut leader = leader.spawn().unwrap();
        let mut told = BufReader::new(leader.stderr.take().unwrap());
        let pid = Pid::from_raw(next(&mut told).parse().unwrap()).unwrap();
        let output = read(pty.controller.try_clone().unwrap());
        let screen = screen();
        Self { leader, told, pid, pty, terminal, before, output, screen, _home: home }
    }

    fn press(&mut self, keys: &str) {
        self.pty.controller.write_all(keys.as_bytes()).unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    /// Waits until these are the rows that are not empty.
    #[track_caller]
    fn shows(&mut self, rows: &[&str]) {
        self.shows_so(|shown| shown == rows);
    }

    #[track_caller]
    fn shows_so(&mut self, is_it: impl Fn(&[&str]) -> bool) {
        loop {
            let contents = self.screen.screen().contents();
            let rows: Vec<_> = contents.lines().map(str::trim_end).collect();
            let rows: Vec<_> = rows.into_iter().filter(|row| !row.is_empty()).collect();
            if is_it(&rows) {
                return;
            }
            let Ok(piece) = self.output.recv_timeout(Duration::from_secs(30)) else {
                panic!("the terminal shows {rows:#?}");
            };
            self.screen.process(&piece);
        }
    }

    /// The column of the cursor.
    fn column(&self) -> u16 {
        self.screen.screen().cursor_position().1
    }

    fn is_as_before(&self) -> bool {
        let now = tcgetattr(&self.terminal).unwrap();
        let words = |mode: &Termios| format!("{mode:?}");
        words(&now) == words(&self.before)
    }

    /// Waits for the end, after which the terminal is as before, and somebody else writes to it;
    /// the exit code.
    #[track_caller]
    fn end(&mut self) -> String {
        let code = next(&mut self.told);
        assert!(self.is_as_before());
        self.terminal.write_all(b"then\n").unwrap();
        code
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The terminal hangs up with its session.
        let _ = self.leader.kill();
        let _ = self.leader.wait();
    }
}

fn screen() -> vt100::Parser {
    vt100::Parser::new(24.try_into().unwrap(), COLUMNS.try_into().unwrap(), 0)
}

fn next(told: &mut impl BufRead) -> String {
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// What comes out of a terminal, until it hangs up.
fn read(mut controller: File) -> mpsc::Receiver<Vec<u8>> {
    let (sender, output) = mpsc::channel();
    thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(count) = controller.read(&mut piece) {
            if sender.send(piece[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    output
}

/// What a [`Session`] starts. As a shell does, it makes the terminal that of the session, so that
/// Ctrl-C is a signal, and outlives the command. It tells of its process and of its exit code.
#[test]
#[ignore = "it is a part of the other tests, which start it"]
fn the_leader_of_a_session() {
    let (Ok(terminal), Ok(args)) = (env::var(TERMINAL), env::var(COMMAND)) else { return };
    let args: Vec<String> = serde_json::from_str(&args).unwrap();
    setsid().unwrap();
    let open = || File::options().read(true).write(true).open(&terminal).unwrap();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _caught = runtime.block_on(async { signal(SignalKind::interrupt()).unwrap() });
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("portolan"));
    command.args(args).env_remove(TERMINAL).env_remove(COMMAND);
    let mut child = command.stdin(open()).stdout(open()).stderr(open()).spawn().unwrap();
    let tell = |line: String| io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
    tell(child.id().to_string());
    let code = child.wait().unwrap().code();
    tell(code.map_or("a signal".to_owned(), |code| code.to_string()));
    io::stdin().read_line(&mut String::new()).unwrap();
}

/// A peer that says what is written to its input, and tells of each frame in JSON.
fn peer(flags: &[&str]) -> (Live, ChildStdin, String) {
    let args = [&["listen", "ws:0", "--json"], flags].concat();
    let mut peer = Portolan::new().start_with_input(&args, Stdio::piped());
    let input = peer.child.stdin.take().unwrap();
    let url = peer.object()["url"].as_str().unwrap().to_owned();
    (peer, input, url)
}

/// The next text that the peer hears.
fn heard(peer: &mut Live) -> String {
    loop {
        let object = peer.object();
        if object["direction"] == "received" && object["text"].is_string() {
            return object["text"].as_str().unwrap().to_owned();
        }
    }
}

fn echo() -> (Live, String) {
    serve(&["serve", "ws", "--echo", "--listen", ":0"])
}

#[test]
fn a_line_is_edited_sent_and_called_up_again() {
    let (_server, url) = echo();
    let mut session = Session::start(&["connect", &url]);
    session.shows(&[">"]);
    session.press("helo");
    session.press(LEFT);
    session.press("l\r");
    session.shows(&["> hello", "hello", ">"]);
    session.press("Grüße 世界\r");
    session.shows(&["> hello", "hello", "> Grüße 世界", "Grüße 世界", ">"]);
    session.press(&[UP, UP, "!"].concat());
    session.shows(&["> hello", "hello", "> Grüße 世界", "Grüße 世界", "> hello!"]);
    session.press(&[DOWN, DOWN, CTRL_D].concat());
    assert_eq!(session.end(), "0");
    session.shows(&["> hello", "hello", "> Grüße 世界", "Grüße 世界", "then"]);
}

#[test]
fn what_comes_is_shown_above_the_line_that_is_typed() {
    let (mut peer, mut input, url) = peer(&[]);
    let mut session = Session::start(&["connect", &url]);
    session.shows(&[">"]);
    session.press("half");
    session.shows(&["> half"]);
    input.write_all(b"some news\n\x1b[2Jand more\n").unwrap();
    session.shows(&["some news", "[2Jand more", "> half"]);
    assert_eq!(session.column(), 6);
    session.press(LEFT);
    session.press("-");
    session.shows(&["some news", "[2Jand more", "> hal-f"]);
    assert_eq!(session.column(), 6);
    session.press("\r");
    assert_eq!(heard(&mut peer), "hal-f");
    session.shows(&["some news", "[2Jand more", "> hal-f", ">"]);
}

#[test]
fn a_log_is_shown_above_it_too() {
    let (_server, url) = echo();
    let mut session = Session::start(&["connect", &url, "-vv"]);
    session.shows_so(|rows| rows.last() == Some(&">"));
    session.press("ahoy\r");
    session.shows_so(|rows| {
        let is_logged = |mark| rows.iter().any(|row| row.starts_with(mark) && row.contains("text"));
        is_logged("> text") && is_logged("< text") && rows.ends_with(&["ahoy", ">"])
    });
}

#[test]
fn a_line_that_is_too_long_for_a_row_is_sent_whole() {
    let (_server, url) = echo();
    let mut session = Session::start(&["connect", &url]);
    session.shows(&[">"]);
    let long = "0123456789".repeat(5);
    session.press(&long);
    session.shows(&["> 9012345678901234567890123456789"]);
    session.press("\r");
    session.shows(&[&format!("> {long}"), &long, ">"]);
}

#[test]
fn the_line_is_drawn_again_on_another_terminal() {
    let (_server, url) = echo();
    let mut session = Session::start(&["connect", &url]);
    session.shows(&[">"]);
    session.press("0123456789");
    session.shows(&["> 0123456789"]);
    session.pty.resize(24, 10);
    session.shows(&["> 456789"]);
    session.pty.resize(24, COLUMNS);
    session.shows(&["> 0123456789"]);

    // A shell that had the terminal meanwhile has left its mode.
    tcsetattr(&session.terminal, rustix::termios::OptionalActions::Now, &session.before).unwrap();
    session.screen = screen();
    session.signal(Signal::CONT);
    session.shows(&["> 0123456789"]);
    assert!(!session.is_as_before());
    session.press(CTRL_C);
    assert_eq!(session.end(), "130");
}

#[test]
fn an_end_leaves_the_terminal_as_it_was() {
    let (_server, url) = echo();
    for signal in [None, Some(Signal::INT), Some(Signal::TERM)] {
        let mut session = Session::start(&["connect", &url]);
        session.shows(&[">"]);
        session.press("not sent");
        session.shows(&["> not sent"]);
        assert!(!session.is_as_before());
        match signal {
            None => session.press(CTRL_C),
            Some(signal) => session.signal(signal),
        }
        assert_eq!(session.end(), "130", "{signal:?}");
        session.shows(&["> not sent", "then"]);
    }
}

#[test]
fn the_peer_ends_it_while_a_line_is_edited() {
    let (_peer, input, url) = peer(&["--send-only"]);
    let mut session = Session::start(&["connect", &url]);
    session.shows(&[">"]);
    session.press("not sent");
    session.shows(&["> not sent"]);
    drop(input);
    assert_eq!(session.end(), "0");
    session.shows(&["> not sent", "then"]);

    let (mut peer, mut input, url) = peer(&[]);
    let mut session = Session::start(&["connect", &url]);
    session.shows(&[">"]);
    input.write_all(b"news\n").unwrap();
    session.shows(&["news", ">"]);
    peer.child.kill().unwrap();
    assert_eq!(session.end(), "56");
    session.shows_so(
        |rows| matches!(rows, ["news", error, "then"] if error.starts_with("portolan: lost the")),
    );
}

#[test]
fn the_line_stays_while_it_connects_again() {
    let (mut peer, _input, url) = peer(&[]);
    let mut session = Session::start(&["connect", &url, "--reconnect", "--retry-backoff", "100ms"]);
    session.shows(&[">"]);
    session.press("half");
    session.shows(&["> half"]);
    peer.child.kill().unwrap();
    session.shows_so(|rows| {
        let errors = rows.iter().filter(|row| row.starts_with("portolan: ")).count();
        errors > 1 && rows.last() == Some(&"> half")
    });
    session.press(CTRL_C);
    assert_eq!(session.end(), "130");
}

#[test]
fn the_end_of_the_input_ends_the_editing_alone() {
    let (mut peer, mut input, url) = peer(&[]);
    let mut session = Session::start(&["connect", &url, "--no-shutdown"]);
    session.shows(&[">"]);
    session.press("last\r");
    session.shows(&["> last", ">"]);
    assert_eq!(heard(&mut peer), "last");
    session.press(CTRL_D);
    session.shows(&["> last"]);
    input.write_all(b"an answer\n").unwrap();
    session.shows(&["> last", "an answer"]);
    assert!(session.is_as_before());
    session.press(CTRL_C);
    assert_eq!(session.end(), "130");
}

#[test]
fn nothing_is_edited_where_no_texts_are_typed_or_the_terminal_cannot_show_it() {
    let (_server, url) = echo();
    // The terminal itself shows what is typed, and waits for the end of the line.
    let plain = |kind: &str, flags: &[&str], typed: &str, rows: &[&str]| {
        let mut session = Session::start_on(kind, &[&["connect", &url], flags].concat());
        session.press(typed);
        session.shows(rows);
        assert!(session.is_as_before());
    };
    plain("xterm", &["--base64"], "aGk=\r", &["aGk=", "aGk="]);
    plain("xterm", &["--binary"], "hi\r", &["hi", "hi"]);
    plain("dumb", &[], "hi\r", &["hi", "hi"]);
    let mut session = Session::start(&["connect", &url, "--hex"]);
    session.press("hi\r");
    session.shows_so(|rows| rows.len() == 3 && rows[0] == "hi");
    assert!(tcgetattr(&session.terminal).unwrap().local_modes.contains(LocalModes::ICANON));
}
