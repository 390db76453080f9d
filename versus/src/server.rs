//! Running a server that is compared.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take until it accepts connections.
const START: Duration = Duration::from_secs(10);

/// A server that runs for as long as this lives.
pub(crate) struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    /// Runs the command that `command` makes for a free address of loopback, and waits until the
    /// server listens there.
    #[expect(
        clippy::disallowed_methods,
        reason = "a process is waited for by the clock on the wall"
    )]
    pub(crate) fn start(
        command: impl FnOnce(SocketAddr) -> anyhow::Result<Command>,
    ) -> anyhow::Result<Self> {
        let address = free_address()?;
        let mut command = command(address)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().with_context(|| format!("running {command:?}"))?;
        let mut server = Self { process, address };
        let limit = Instant::now() + START;
        while !is_listening(address.port())? {
            if let Some(status) = server.process.try_wait()? {
                bail!("{command:?} ended with {status}");
            }
            if Instant::now() > limit {
                bail!("{command:?} does not listen");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(server)
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The memory that the process holds, in bytes: its resident set (proc(5)).
    pub(crate) fn memory(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = resident.and_then(|text| text.trim().strip_suffix(" kB"));
        Ok(kibibytes.context("/proc shows no resident set")?.parse::<u64>()? * 1024)
    }

    /// The time of cores that its threads took so far, the system's work for them included (proc(5),
    /// `schedstat`).
    pub(crate) fn cores(&self) -> anyhow::Result<Duration> {
        let mut total = Duration::ZERO;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.pid()))? {
            let statistics = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            let nanoseconds = statistics.split_whitespace().next();
            let nanoseconds = nanoseconds.context("/proc shows no time of a thread")?;
            total += Duration::from_nanos(nanoseconds.parse()?);
        }
        Ok(total)
    }

    /// Asks it to end with SIGTERM: how long it takes.
    #[expect(clippy::disallowed_methods, reason = "processes are timed by the clock on the wall")]
    pub(crate) fn terminate(&mut self) -> anyhow::Result<Duration> {
        let started = Instant::now();
        kill_process(Pid::from_child(&self.process), Signal::TERM)?;
        self.process.wait()?;
        Ok(started.elapsed())
    }

    /// The processes that it has started: workers, which would outlive it when it is killed
    /// (proc(5), `children`).
    fn children(&self) -> Vec<Pid> {
        let pid = self.pid();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for worker in self.children() {
            let _ = kill_process(worker, Signal::KILL);
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An address of loopback at which nobody listens.
#[expect(clippy::disallowed_types, reason = "the system knows which ports are free")]
fn free_address() -> anyhow::Result<SocketAddr> {
    let socket = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(socket.local_addr()?)
}

/// Whether somebody listens on this port, by the kernel's own table (proc(5)): a connection to find
/// out would be work that the server must not have done.
fn is_listening(port: u16) -> anyhow::Result<bool> {
    const LISTEN: &str = "0A";
    let table = std::fs::read_to_string("/proc/net/tcp").context("reading the table of sockets")?;
    let port = format!(":{port:04X}");
    Ok(table.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next().is_some_and(|local| local.ends_with(&port));
        local && words.nth(1) == Some(LISTEN)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_types, reason = "it is listened on for the test")]
    fn a_port_is_listened_on_or_not() {
        let free = free_address().unwrap();
        assert!(!is_listening(free.port()).unwrap());
        let socket = std::net::TcpListener::bind(free).unwrap();
        assert!(is_listening(free.port()).unwrap());
        drop(socket);
    }

    #[test]
    fn the_time_of_cores_is_that_of_the_work() {
        let process = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let server = Server { process, address: free_address().unwrap() };
        while server.cores().unwrap() < Duration::from_millis(5) {}
        let process = Command::new("sleep").arg("100").spawn().unwrap();
        let server = Server { process, address: free_address().unwrap() };
        assert!(server.cores().unwrap() < Duration::from_millis(500));
    }

    #[test]
    fn workers_end_with_their_server() {
        let process = Command::new("sh").args(["-c", "sleep 100 & wait"]).spawn().unwrap();
        let server = Server { process, address: free_address().unwrap() };
        let worker = loop {
            if let [worker] = server.children()[..] {
                break worker;
            }
        };
        drop(server);
        let stat = || std::fs::read_to_string(format!("/proc/{}/stat", worker.as_raw_nonzero()));
        // Whoever inherits it takes it away.
        while stat().is_ok_and(|stat| !stat.contains(") Z ")) {}
    }

    #[test]
    fn a_server_that_ends_is_said() {
        let failed = Server::start(|_| Ok(Command::new("false"))).err().unwrap();
        assert_eq!(failed.to_string(), "\"false\" ended with exit status: 1");
    }
}
