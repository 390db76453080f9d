//! What the tests of the command share: the binary in an environment of its own, and peers that
//! behave as a test wants.
#![expect(clippy::disallowed_types, reason = "peers that misbehave are written on bare sockets")]

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use portolan::lab::{Builder, Lab};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The binary in an environment of its own: its home is empty but for what the test writes, and
/// no variable reaches it.
pub(crate) struct Portolan {
    pub(crate) home: TempDir,
}

impl Portolan {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn with_config(text: &str) -> Self {
        let portolan = Self::new();
        let dir = portolan.home.path().join("portolan");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("config.toml"), text).unwrap();
        portolan
    }

    /// The path of a file in the home, with this text in it.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        fs::write(&path, text).unwrap();
        path.into_os_string().into_string().unwrap()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("portolan"));
        let home = self.home.path();
        command.env_clear().env("HOME", home).env("XDG_CONFIG_HOME", home);
        command.env("XDG_RUNTIME_DIR", home).args(args).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        Run::from(self.command(args).output().unwrap())
    }

    /// Runs with `input` on stdin.
    pub(crate) fn run_with_input(&self, args: &[&str], input: &str) -> Run {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A run that ends before it has read all shows that in other ways.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Run::from(child.wait_with_output().unwrap())
    }

    /// Starts a run that goes on until it is told to stop.
    pub(crate) fn start(self, args: &[&str]) -> Live {
        self.start_with_input(args, Stdio::null())
    }

    /// As [`start`](Self::start), with this as stdin.
    pub(crate) fn start_with_input(self, args: &[&str], input: impl Into<Stdio>) -> Live {
        let mut command = self.command(args);
        command.stdin(input);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Live { portolan: self, child, out }
    }
}

pub(crate) fn run(args: &[&str]) -> Run {
    Portolan::new().run(args)
}

/// A run that goes on, and its input.
pub(crate) fn talk(args: &[&str]) -> (Live, ChildStdin) {
    let mut live = Portolan::new().start_with_input(args, Stdio::piped());
    let input = live.child.stdin.take().unwrap();
    (live, input)
}

/// Starts a server, which tells in JSON of its connections; its URL.
#[track_caller]
pub(crate) fn serve(args: &[&str]) -> (Live, String) {
    serve_by(Portolan::new(), args)
}

#[track_caller]
pub(crate) fn serve_by(portolan: Portolan, args: &[&str]) -> (Live, String) {
    let mut live = portolan.start(&[args, &["--json"]].concat());
    let line = live.line();
    let Ok(object) = serde_json::from_str::<Value>(&line) else {
        panic!("{args:?} does not start: {}", live.end().err);
    };
    assert_eq!(object["type"], "listening", "{object}");
    (live, object["url"].as_str().unwrap().to_owned())
}

/// What a run left behind.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Run {
    /// The run failed with this code and these lines on stderr, and printed no data.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, lines: &[&str]) {
        assert_eq!(self.err.lines().collect::<Vec<_>>(), lines);
        assert_eq!((self.code, self.out.as_str()), (Some(code), ""));
    }

    /// The run was refused with one sentence that has each of these words, and printed no data.
    #[track_caller]
    pub(crate) fn refused(&self, words: &[&str]) {
        assert_eq!((self.code, self.out.as_str()), (Some(2), ""), "{}", self.err);
        let sentences: Vec<_> = self.err.lines().filter(|l| !l.starts_with("hint: ")).collect();
        let [sentence] = sentences[..] else { panic!("not one sentence: {}", self.err) };
        assert!(sentence.starts_with("portolan: "), "{sentence}");
        for word in words {
            assert!(sentence.contains(word), "'{word}' is not in: {sentence}");
        }
    }

    /// The run went well and printed only data, which is returned.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""));
        self.out
    }

    /// The lines of JSON on stdout.
    #[track_caller]
    pub(crate) fn objects(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A run that goes on. Dropping it kills it.
pub(crate) struct Live {
    pub(crate) portolan: Portolan,
    pub(crate) child: Child,
    out: BufReader<ChildStdout>,
}

impl Live {
    /// The next line on stdout; empty at its end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    /// The next line on stdout, which is JSON.
    #[track_caller]
    pub(crate) fn object(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The next of a server's connections to which this happened.
    #[track_caller]
    pub(crate) fn event(&mut self, event: &str) -> Value {
        loop {
            let object = self.object();
            if object["type"] == "connection" && object["event"] == event {
                return object;
            }
        }
    }

    /// The next line on stderr.
    pub(crate) fn note(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        // No more is read than the line: the rest is for the end.
        let err = self.child.stderr.as_mut().unwrap();
        while err.read(&mut byte).unwrap() > 0 && byte != *b"\n" {
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    /// All of stdout, which is not text, when the run has ended well.
    #[track_caller]
    pub(crate) fn data(&mut self) -> Vec<u8> {
        let mut data = Vec::new();
        self.out.read_to_end(&mut data).unwrap();
        assert_eq!(self.end().code, Some(0));
        data
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end. What is returned is the rest of stdout, and all of stderr.
    pub(crate) fn end(&mut self) -> Run {
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        Run { code: self.child.wait().unwrap().code(), out, err }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A bare socket that is connected to the server at a URL, and does not wait for ever.
pub(crate) fn dial(url: &str) -> TcpStream {
    let stream = TcpStream::connect(url.split_once("://").unwrap().1).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// What comes back when `said` is sent to an echo server.
pub(crate) fn echo(url: &str, said: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = dial(url);
    stream.write_all(said)?;
    stream.shutdown(Shutdown::Write)?;
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).map(|_| heard)
}

/// A peer on loopback that does this with each connection; the port.
pub(crate) fn peer(script: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let script = script.clone();
            // What goes wrong here is what the test is about.
            thread::spawn(move || script(stream?));
        }
    });
    port
}

/// A peer that reads the head of a request, says this, and closes; the port.
pub(crate) fn answering(answer: &'static [u8]) -> u16 {
    peer(move |mut stream| {
        read_head(&mut stream)?;
        stream.write_all(answer)
    })
}

/// Reads a request up to the empty line after its head.
pub(crate) fn read_head(stream: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? > 0 {
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// What a server answers to a GET of this URL's path.
pub(crate) fn get(url: &str) -> String {
    let (place, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(place).unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A lab of the library, beside the binary.
pub(crate) struct Servers {
    _runtime: Runtime,
    pub(crate) lab: Lab,
}

impl Servers {
    pub(crate) fn start(builder: Builder) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let lab = runtime.block_on(builder.start()).unwrap();
        Self { _runtime: runtime, lab }
    }

    pub(crate) fn only(names: &[&str]) -> Self {
        Self::start(Lab::builder().only(names.iter().copied()))
    }

    pub(crate) fn with_fault(names: &[&str], fault: &str) -> Self {
        let plan = portolan::net::fault::Plan::new(vec![fault.parse().unwrap()], 0);
        Self::start(Lab::builder().only(names.iter().copied()).faults(plan))
    }

    pub(crate) fn url(&self, name: &str) -> String {
        self.lab.url(name).unwrap().to_string()
    }
}
