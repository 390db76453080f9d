//! Echo: how many small messages a second come back to 64 clients, each of which waits for its
//! answer before it says more. Each of our models stands beside those peers that work alike, and
//! the default one beside all.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};

use super::{Row, own_file};
use crate::crowd::Crowd;
use crate::measure::{Better, Measure, Side};
use crate::program::Program;
use crate::server::Server;

const RATE: Measure = Measure { unit: "round trips/s", better: Better::Higher };

pub(crate) const ASYNC: Row = Row {
    name: "echo-async",
    measure: RATE,
    sides: &[
        || portolan("async")?.side(),
        || epoll()?.side(),
        || uvloop()?.side(),
        || asyncio()?.side(),
        || selectors()?.side(),
        || threads()?.side(),
    ],
};

pub(crate) const EVENT_LOOP: Row = Row {
    name: "echo-event-loop",
    measure: RATE,
    sides: &[
        || portolan("event-loop")?.side(),
        || epoll()?.side(),
        || uvloop()?.side(),
        || asyncio()?.side(),
        || selectors()?.side(),
    ],
};

pub(crate) const THREADS: Row = Row {
    name: "echo-threads",
    measure: RATE,
    sides: &[|| portolan("threads")?.side(), || epoll()?.side(), || threads()?.side()],
};

const CLIENTS: usize = 64;
pub(super) const MESSAGE: &[u8] = &[b'm'; 64];
const DURATION: Duration = Duration::from_millis(500);

/// A program that serves echo at an address of loopback.
pub(super) struct Echo {
    pub(super) name: &'static str,
    pub(super) version: String,
    pub(super) command: Box<dyn Fn(SocketAddr) -> Command>,
}

impl Echo {
    pub(super) fn start(&self) -> anyhow::Result<Server> {
        Server::start(|address| Ok((self.command)(address)))
    }

    /// Measures the echoes of one server, which serves all rounds.
    fn side(self) -> anyhow::Result<Side> {
        let server = self.start()?;
        let work = move || Crowd::connect(server.address(), CLIENTS)?.echo(MESSAGE, DURATION);
        Ok(Side { name: self.name, version: self.version, work: Box::new(work) })
    }
}

/// Ourselves, in this model.
pub(super) fn portolan(model: &'static str) -> anyhow::Result<Echo> {
    let portolan = Program::portolan()?;
    let version = portolan.version.clone();
    let command = move |address| {
        let mut command = portolan.command();
        command.args(["listen", "--echo", "--model", model, &format!("tcp://{address}")]);
        command
    };
    Ok(Echo { name: "portolan", version, command: Box::new(command) })
}

/// The limit's yardstick.
pub(super) fn epoll() -> anyhow::Result<Echo> {
    yardstick("epoll_echo")
}

/// A yardstick in C, compiled when it is needed.
pub(super) fn yardstick(program: &'static str) -> anyhow::Result<Echo> {
    let gcc = Program::find("gcc", "--version")?;
    let binary = compile(&gcc, program)?;
    let command = move |address: SocketAddr| {
        let mut command = Command::new(&binary);
        command.arg(address.port().to_string());
        command
    };
    Ok(Echo { name: "C epoll, gcc", version: gcc.version, command: Box::new(command) })
}

fn compile(gcc: &Program, program: &str) -> anyhow::Result<PathBuf> {
    let binary = std::env::current_exe().context("finding this program")?;
    let binary = binary.with_file_name(program);
    let source = own_file("yardstick").join(program).with_extension("c");
    let status = gcc.command().arg("-O2").arg("-o").arg(&binary).arg(source).status()?;
    if !status.success() {
        bail!("gcc ended with {status}");
    }
    Ok(binary)
}

/// Python's streams on uvloop.
pub(super) fn uvloop() -> anyhow::Result<Echo> {
    let python = Program::python()?;
    let ask = ["-c", "import uvloop; print(uvloop.__version__)"];
    let asked = python.command().args(ask).output().context("running Python")?;
    if !asked.status.success() {
        bail!("uvloop is missing: run versus/install-peers");
    }
    let version = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
    Ok(script("uvloop", python, version, "echo_streams.py", &["uvloop"]))
}

/// Python's streams.
pub(super) fn asyncio() -> anyhow::Result<Echo> {
    python("asyncio", "echo_streams.py")
}

/// Python's own loop over readiness.
pub(super) fn selectors() -> anyhow::Result<Echo> {
    python("selectors", "echo_selectors.py")
}

/// Python's thread a connection.
pub(super) fn threads() -> anyhow::Result<Echo> {
    python("threads", "echo_threads.py")
}

fn python(name: &'static str, file: &'static str) -> anyhow::Result<Echo> {
    let python = Program::python()?;
    let version = python.version.clone();
    Ok(script(name, python, version, file, &[]))
}

/// A script that takes a port, and perhaps more.
fn script(
    name: &'static str,
    python: Program,
    version: String,
    file: &'static str,
    more: &'static [&'static str],
) -> Echo {
    let command = move |address: SocketAddr| {
        let mut command = python.command();
        command.arg(own_file("peers").join(file)).arg(address.port().to_string()).args(more);
        command
    };
    Echo { name, version, command: Box::new(command) }
}
