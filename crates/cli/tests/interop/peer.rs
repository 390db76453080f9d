//! Programs that we did not write, run in the foreground as children of a test.
#![expect(clippy::disallowed_types, reason = "the judge needs sockets that are not ours")]

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::authority::{Files, Identity};

/// How often a peer is tried until it accepts, and the pause between: a minute in all.
const TRIES: u32 = 6000;
const PAUSE: Duration = Duration::from_millis(10);

/// A peer that accepts; it is killed when dropped.
pub(crate) struct Peer {
    child: Child,
    /// Where it listens on 127.0.0.1.
    pub(crate) port: u16,
    dir: TempDir,
}

impl Peer {
    /// Starts what `command` makes of a free port and an empty directory, and waits until it
    /// accepts. Should another process take the port in the meantime, it is begun anew.
    #[track_caller]
    pub(crate) fn start(package: &str, command: impl Fn(u16, &Path) -> Command) -> Self {
        Self::start_and_await(package, command, |port| {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
    }

    /// As [`start`](Self::start), for a peer of datagrams: its port cannot be tried but by taking it.
    #[track_caller]
    pub(crate) fn start_udp(package: &str, command: impl Fn(u16, &Path) -> Command) -> Self {
        Self::start_and_await(package, command, |port| {
            UdpSocket::bind(("127.0.0.1", port)).is_err()
        })
    }

    #[track_caller]
    fn start_and_await(
        package: &str,
        command: impl Fn(u16, &Path) -> Command,
        accepts: fn(u16) -> bool,
    ) -> Self {
        for _ in 0..5 {
            let dir = tempfile::tempdir().unwrap();
            let port = free_port();
            let log = dir.path().join("log");
            let output = fs::File::create(&log).unwrap();
            let mut command = command(port, dir.path());
            command.stdout(output.try_clone().unwrap()).stderr(output);
            let mut peer = Self { child: spawn(&mut command, package), port, dir };
            if peer.accepts(accepts) {
                return peer;
            }
            let log = fs::read_to_string(log).unwrap();
            assert!(log.contains("in use"), "{package} does not start: {log}");
        }
        panic!("{package} finds every port in use");
    }

    /// Starts a Python script that calls `serve(peer)` for each connection. `received` reads a
    /// request's head, `reset` closes with an RST, and `kept` keeps sockets from being closed.
    #[track_caller]
    pub(crate) fn script(serve: &str) -> Self {
        Self::script_by(Command::new("python3"), 0, serve)
    }

    /// As [`script`](Self::script), by a Python somewhere else, at a port of one's choice.
    #[track_caller]
    pub(crate) fn script_by(mut python: Command, port: u16, serve: &str) -> Self {
        let script = format!("{SCRIPT_HEAD}def serve(peer):\n    {serve}\n{SCRIPT_END}");
        python.args(["-c", &script, &port.to_string()]);
        Self::that_prints_its_port(python)
    }

    /// Starts a Python server that chooses its port, and prints it.
    #[track_caller]
    pub(crate) fn that_prints_its_port(mut python: Command) -> Self {
        let mut child = spawn(python.stdout(Stdio::piped()), "python3");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().unwrap(), dir: tempfile::tempdir().unwrap() }
    }

    /// Where its files are.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Waits until it accepts, or has ended.
    fn accepts(&mut self, accepts: fn(u16) -> bool) -> bool {
        for _ in 0..TRIES {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if accepts(self.port) {
                return true;
            }
            std::thread::sleep(PAUSE);
        }
        panic!("nobody accepts on port {} for {:?}", self.port, PAUSE * TRIES);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a program of a Debian package; what is for administrators is not on everybody's path.
#[track_caller]
pub(crate) fn spawn(command: &mut Command, package: &str) -> Child {
    launch(command.stdin(Stdio::null()), package)
}

/// As [`spawn`], with what stdin the command has.
#[track_caller]
pub(crate) fn launch(command: &mut Command, package: &str) -> Child {
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin"));
    match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => panic!("install {package}"),
        Err(error) => panic!("could not start {command:?}: {error}"),
    }
}

/// A port on which nobody listens.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// nginx with the options `listen` of its one socket and the rest of its server.
#[track_caller]
pub(crate) fn nginx(listen: &str, server: &str, identity: Option<&Identity>) -> Peer {
    let peer = |port, dir: &Path| {
        let at = dir.display();
        let tls = identity.map_or_else(String::new, |identity| {
            let Files { chain, key, .. } = identity.write(dir);
            format!(
                "ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {chain}; ssl_certificate_key {key};"
            )
        });
        // Of one process, so that nothing is left behind when it is killed.
        let config = format!(
            "daemon off; master_process off; pid {at}/pid; error_log stderr;
             events {{ worker_connections 64; }}
             http {{
                 log_format sizes '$status $body_bytes_sent $http_range';
                 access_log off; default_type text/plain;
                 client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;
                 fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi;
                 scgi_temp_path {at}/scgi;
                 server {{ listen 127.0.0.1:{port} {listen}; root {at}; {tls} {server} }}
             }}"
        );
        let file = dir.join("nginx.conf");
        fs::write(&file, config).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-e").arg("stderr").arg("-p").arg(dir).arg("-c").arg(file);
        command
    };
    Peer::start("nginx", peer)
}

/// `openssl s_server`, which answers HTTP with a page about the connection.
#[track_caller]
pub(crate) fn s_server(identity: &Identity, options: &[&str]) -> Peer {
    s_server_that("-www", identity, options)
}

/// `openssl s_server` that does what an option of its says.
#[track_caller]
pub(crate) fn s_server_that(does: &str, identity: &Identity, options: &[&str]) -> Peer {
    let peer = |port: u16, dir: &Path| {
        let Files { certificate, chain, key } = identity.write(dir);
        let mut command = Command::new("openssl");
        command.args(["s_server", does, "-accept", &format!("127.0.0.1:{port}")]);
        command.args(["-cert", &certificate, "-key", &key]);
        if identity.has_chain() {
            command.args(["-cert_chain", &chain]);
        }
        command.args(options);
        command
    };
    Peer::start("openssl", peer)
}

const SCRIPT_HEAD: &str = r#"
import socket, struct, sys

kept = []

def received(peer):
    head = b""
    while b"\r\n\r\n" not in head:
        head += peer.recv(4096) or exit("the request ended early")

def reset(peer):
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()

"#;

const SCRIPT_END: &str = r#"
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(server.getsockname()[1], flush=True)
while True:
    serve(server.accept()[0])
"#;
