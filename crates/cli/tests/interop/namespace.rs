//! Networks that swallow packets or have no route: a network namespace of the test's own.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::peer::{Peer, spawn};
use crate::probe::{Probe, run};

/// Nobody answers there: packets leave for an interface that does not exist.
const HOLE_V4: &str = "192.0.2.9";
const HOLE_V6: &str = "2001:db8::9";
/// There is no route to it.
const UNREACHABLE: &str = "198.51.100.9";

/// A network namespace, which goes with everything in it when dropped.
struct Namespace(String);

impl Namespace {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("portolan-{}-{count}", std::process::id());
        ip(&format!("netns add {name}"));
        let namespace = Self(name);
        for setup in [
            "link set lo up".to_owned(),
            "link add near type veth peer name far".to_owned(),
            "addr add 192.0.2.1/24 dev near".to_owned(),
            "addr add 2001:db8::1/64 dev near nodad".to_owned(),
            "link set near up".to_owned(),
            "link set far up".to_owned(),
            format!("neigh add {HOLE_V4} lladdr 02:00:00:00:00:09 dev near nud permanent"),
            format!("neigh add {HOLE_V6} lladdr 02:00:00:00:00:09 dev near nud permanent"),
            format!("route add unreachable {UNREACHABLE}"),
        ] {
            ip(&format!("-n {} {setup}", namespace.0));
        }
        namespace
    }

    /// A command that runs a program in here.
    fn command(&self, program: &str) -> Command {
        let mut command = privileged("ip");
        command.args(["netns", "exec", &self.0, program]);
        command
    }

    #[track_caller]
    fn probe(&self, args: &str) -> Probe {
        run(self.command(&assert_cmd::cargo::cargo_bin!("portolan").display().to_string()), args)
    }

    /// An HTTP server on loopback in here; 0 is any port.
    #[track_caller]
    fn serve(&self, port: u16) -> Peer {
        let answer =
            r#"received(peer); peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")"#;
        Peer::script_by(self.command("python3"), port, answer)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // What `sudo` has started outlives it when that is killed.
        let inside = privileged("ip").args(["netns", "pids", &self.0]).output();
        let inside = inside.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        for pid in inside.unwrap_or_default().split_whitespace() {
            let _ = privileged("kill").args(["-KILL", pid]).status();
        }
        let _ = privileged("ip").args(["netns", "del", &self.0]).status();
    }
}

/// A command that runs as root.
pub(crate) fn privileged(program: &str) -> Command {
    let id = Command::new("id").arg("-u").output().unwrap();
    if id.stdout == b"0\n" {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}

#[track_caller]
fn ip(args: &str) {
    let mut command = privileged("ip");
    command.args(args.split(' '));
    let status = spawn(&mut command, "iproute2").wait().unwrap();
    assert!(status.success(), "ip {args}: {status}; this test needs root");
}

#[test]
fn a_black_hole_times_out_when_it_should() {
    let namespace = Namespace::new();
    for (scheme, port) in [("tcp", 9), ("http", 80), ("https", 443)] {
        let args = format!("{scheme}://{HOLE_V4}:{port} --connect-timeout 500ms");
        let down = namespace.probe(&args);
        down.is_down(28, "connect", "timeout").hints("packets are dropped on the way");
        // Without the flag it takes 10 s.
        assert!((500..9000).contains(&down.elapsed.as_millis()), "{args}: {down:#?}");
    }
}

#[test]
fn ipv4_answers_where_ipv6_does_not() {
    let namespace = Namespace::new();
    let server = namespace.serve(0);
    let port = server.port;
    let up = namespace.probe(&format!(
        "http://dual.test:{port}/ --resolve dual.test:{port}:[{HOLE_V6}] \
         --resolve dual.test:{port}:127.0.0.1"
    ));
    up.is_up("resolve connect send wait receive").notes("IPv6 timed out; IPv4 answered in ");
    assert_eq!(up.fact("connect", "address"), format!("127.0.0.1:{port}").as_str());
    // An address has 10 s to answer where no other one is tried beside it.
    assert!(up.elapsed.as_millis() < 9000, "{up:#?}");
}

#[test]
fn a_host_without_a_route_is_unreachable() {
    let down = Namespace::new().probe(&format!("tcp://{UNREACHABLE}:9"));
    down.is_down(7, "connect", "connect").says("no route to host").hints("there is no route to it");
}

#[test]
fn the_port_that_is_open_is_named() {
    let namespace = Namespace::new();
    let _server = namespace.serve(8080);
    namespace
        .probe("http://127.0.0.1:81/")
        .is_down(7, "connect", "connect")
        .hints("port 81 refused; 8080 is open");
}
