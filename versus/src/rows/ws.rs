//! WebSocket: echoes with 64 clients, each of which waits for its answer, or sends 16 messages at a
//! time and waits for as many answers; what one says to 1,000; and 10,000 connections over which
//! nothing passes. Every server speaks on one port; the clients send frames that were made before,
//! and count what comes back.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};

use super::echo::{Echo, yardstick};
use super::{Row, own_file};
use crate::crowd::Answer;
use crate::measure::{Better, Measure, Side};
use crate::program::Program;
use crate::websocket::{crowd, frame};

const RATE: Measure = Measure { unit: "round trips/s", better: Better::Higher };
const CLIENTS: usize = 64;
/// The size of a small message, and how many of them are sent at a time.
const SMALL: usize = 20;
const AT_A_TIME: usize = 16;
const DURATION: Duration = Duration::from_millis(500);

/// The smallest messages, beside a bare loop in C, too: more than that, no server can do whose
/// clients wait for each answer.
pub(crate) const ECHO_20: Row = Row {
    name: "ws-echo-20",
    measure: RATE,
    sides: &[
        || echo(portolan("--echo", false)?, SMALL, false),
        || echo(yardstick("epoll_websocket")?, SMALL, false),
        || echo(tungstenite()?, SMALL, false),
        || echo(picows("echo")?, SMALL, false),
        || echo(aiohttp("echo", false)?, SMALL, false),
        || echo(websockets("echo", false)?, SMALL, false),
    ],
};

/// The same by what a message costs the server: where the clients are as busy as it, it is they who
/// set the pace.
pub(crate) const ECHO_20_CPU: Row = Row {
    name: "ws-echo-20-cpu",
    measure: Measure { unit: "µs/message", better: Better::Lower },
    sides: &[
        || cost(portolan("--echo", false)?),
        || cost(yardstick("epoll_websocket")?),
        || cost(tungstenite()?),
        || cost(picows("echo")?),
        || cost(aiohttp("echo", false)?),
        || cost(websockets("echo", false)?),
    ],
};

/// The same, many at a time: what a server can do with messages, as they need less of the kernel.
pub(crate) const STREAM_20: Row = Row {
    name: "ws-stream-20",
    measure: Measure { unit: "messages/s", better: Better::Higher },
    sides: &[
        || stream(portolan("--echo", false)?),
        || stream(tungstenite()?),
        || stream(picows("echo")?),
        || stream(aiohttp("echo", false)?),
        || stream(websockets("echo", false)?),
    ],
};

pub(crate) const ECHO_1K: Row = Plain::<1024>::row("ws-echo-1k");
pub(crate) const ECHO_64K: Row = Plain::<{ 64 << 10 }>::row("ws-echo-64k");
pub(crate) const DEFLATE_20: Row = Compressed::<20>::row("ws-deflate-20");
pub(crate) const DEFLATE_1K: Row = Compressed::<1024>::row("ws-deflate-1k");
pub(crate) const DEFLATE_64K: Row = Compressed::<{ 64 << 10 }>::row("ws-deflate-64k");

pub(crate) const BROADCAST: Row = Row {
    name: "ws-broadcast",
    measure: Measure { unit: "ms p99", better: Better::Lower },
    sides: &[
        || broadcast(portolan("--broadcast", false)?),
        || broadcast(websockets("broadcast", false)?),
        || broadcast(aiohttp("broadcast", false)?),
        || broadcast(picows("broadcast")?),
    ],
};

pub(crate) const IDLE: Row = Row {
    name: "ws-idle-memory",
    measure: Measure { unit: "KiB/connection", better: Better::Lower },
    sides: &[
        || memory(portolan("--echo", false)?),
        || memory(websockets("echo", false)?),
        || memory(aiohttp("echo", false)?),
        || memory(picows("echo")?),
        || memory(tungstenite()?),
    ],
};

/// How many hear what one says, and how often it speaks.
const AUDIENCE: usize = 1_000;
const SPEECHES: usize = 20;
const SPEECH: usize = 64;
const IDLE_CONNECTIONS: usize = 10_000;

/// Messages of this size as they are.
struct Plain<const SIZE: usize>;

impl<const SIZE: usize> Plain<SIZE> {
    const fn row(name: &'static str) -> Row {
        Row { name, measure: RATE, sides: Self::SIDES }
    }

    const SIDES: &'static [fn() -> anyhow::Result<Side>] = &[
        || echo(portolan("--echo", false)?, SIZE, false),
        || echo(tungstenite()?, SIZE, false),
        || echo(picows("echo")?, SIZE, false),
        || echo(aiohttp("echo", false)?, SIZE, false),
        || echo(websockets("echo", false)?, SIZE, false),
    ];
}

/// Messages of this size, compressed. Neither picows nor tungstenite can do that.
struct Compressed<const SIZE: usize>;

impl<const SIZE: usize> Compressed<SIZE> {
    const fn row(name: &'static str) -> Row {
        Row { name, measure: RATE, sides: Self::SIDES }
    }

    const SIDES: &'static [fn() -> anyhow::Result<Side>] = &[
        || echo(portolan("--echo", true)?, SIZE, true),
        || echo(aiohttp("echo", true)?, SIZE, true),
        || echo(websockets("echo", true)?, SIZE, true),
    ];
}

/// Measures the echoes of one server, which serves all rounds.
fn echo(server: Echo, size: usize, is_compressed: bool) -> anyhow::Result<Side> {
    let running = server.start()?;
    let message = frame(size, is_compressed);
    let work = move || {
        let mut crowd = crowd(running.address(), CLIENTS, is_compressed)?;
        crowd.ask(&message, Answer::Frame, DURATION)
    };
    Ok(Side { name: server.name, version: server.version, work: Box::new(work) })
}

/// Measures the time of a core that a small message and its answer take of the server.
fn cost(server: Echo) -> anyhow::Result<Side> {
    let running = server.start()?;
    let message = frame(SMALL, false);
    let work = move || {
        let mut crowd = crowd(running.address(), CLIENTS, false)?;
        let before = running.cores()?;
        let messages = crowd.ask(&message, Answer::Frame, DURATION)? * DURATION.as_secs_f64();
        Ok((running.cores()? - before).as_secs_f64() * 1e6 / messages)
    };
    Ok(Side { name: server.name, version: server.version, work: Box::new(work) })
}

/// Measures how many small messages come back, of many at a time.
fn stream(server: Echo) -> anyhow::Result<Side> {
    /// What a frame has that is not masked and this small, besides its payload.
    const HEAD: usize = 2;
    let running = server.start()?;
    let messages = frame(SMALL, false).repeat(AT_A_TIME);
    let answers = Answer::Bytes(AT_A_TIME * (HEAD + SMALL));
    let work = move || {
        let mut crowd = crowd(running.address(), CLIENTS, false)?;
        Ok(crowd.ask(&messages, answers, DURATION)? * AT_A_TIME as f64)
    };
    Ok(Side { name: server.name, version: server.version, work: Box::new(work) })
}

/// Measures how long it takes until all but one in a hundred have heard what one says.
fn broadcast(server: Echo) -> anyhow::Result<Side> {
    let running = server.start()?;
    let message = frame(SPEECH, false);
    let work = move || {
        let mut crowd = crowd(running.address(), 1 + AUDIENCE, false)?;
        let mut heard = Vec::with_capacity(AUDIENCE * SPEECHES);
        for _ in 0..SPEECHES {
            heard.extend(crowd.broadcast(&message, Answer::Frame)?);
        }
        heard.sort_unstable();
        let p99 = heard.get(heard.len() * 99 / 100).context("nobody heard anything")?;
        Ok(p99.as_secs_f64() * 1e3)
    };
    Ok(Side { name: server.name, version: server.version, work: Box::new(work) })
}

/// Measures the memory of a server, started anew each round, for connections that were answered
/// once.
fn memory(server: Echo) -> anyhow::Result<Side> {
    super::idle::allow_files()?;
    let (name, version) = (server.name, server.version.clone());
    let message = frame(20, false);
    let work = move || {
        let running = server.start()?;
        let before = running.memory()?;
        let mut crowd = crowd(running.address(), IDLE_CONNECTIONS, false)?;
        crowd.ask(&message, Answer::Frame, Duration::ZERO)?;
        let grown = running.memory()?.saturating_sub(before);
        Ok(grown as f64 / 1024.0 / IDLE_CONNECTIONS as f64)
    };
    Ok(Side { name, version, work: Box::new(work) })
}

/// Ourselves.
fn portolan(answer: &'static str, is_compressed: bool) -> anyhow::Result<Echo> {
    let portolan = Program::portolan()?;
    let version = portolan.version.clone();
    let command = move |address: SocketAddr| {
        let mut command = portolan.command();
        // One process, like all others.
        command.args(["serve", "ws", answer, "--workers", "1"]);
        command.args(["--listen", &format!("ws://{address}")]);
        command.args(is_compressed.then_some("--compressed"));
        command
    };
    Ok(Echo { name: "portolan", version, command: Box::new(command) })
}

/// tokio-tungstenite, which this program serves itself.
fn tungstenite() -> anyhow::Result<Echo> {
    let own = std::env::current_exe().context("finding this program")?;
    let command = move |address: SocketAddr| {
        let mut command = Command::new(&own);
        command.arg("--serve-tungstenite").arg(address.to_string());
        command
    };
    let version = crate::tungstenite::VERSION.to_owned();
    Ok(Echo { name: "tungstenite", version, command: Box::new(command) })
}

fn websockets(answer: &'static str, is_compressed: bool) -> anyhow::Result<Echo> {
    python("websockets", "ws_websockets.py", answer, is_compressed)
}

fn aiohttp(answer: &'static str, is_compressed: bool) -> anyhow::Result<Echo> {
    python("aiohttp", "ws_aiohttp.py", answer, is_compressed)
}

/// On uvloop, as its documentation recommends.
fn picows(answer: &'static str) -> anyhow::Result<Echo> {
    python("picows", "ws_picows.py", answer, false)
}

fn python(
    name: &'static str,
    file: &'static str,
    answer: &'static str,
    is_compressed: bool,
) -> anyhow::Result<Echo> {
    let python = Program::python()?;
    let ask = format!("from importlib.metadata import version; print(version('{name}'))");
    let asked = python.command().args(["-c", &ask]).output().context("running Python")?;
    if !asked.status.success() {
        bail!("{name} is missing: run versus/install-peers");
    }
    let version = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
    let command = move |address: SocketAddr| {
        let mut command = python.command();
        command.arg(own_file("peers").join(file)).arg(address.port().to_string()).arg(answer);
        command.args(is_compressed.then_some("compressed"));
        command
    };
    Ok(Echo { name, version, command: Box::new(command) })
}
