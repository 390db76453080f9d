//! Many connections over which nothing passes: how much memory a server holds for each, once it
//! has answered on it; and how long it takes to end on SIGTERM while they are held, beside a
//! server that does not drain and whose sockets the kernel closes.

use std::time::Duration;

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Row;
use super::echo::{self, Echo, MESSAGE};
use crate::crowd::Crowd;
use crate::measure::{Better, Measure, Side};
use crate::server::Server;

pub(crate) const MEMORY: Row = Row {
    name: "idle-memory",
    measure: Measure { unit: "KiB/connection", better: Better::Lower },
    sides: &[
        || memory(echo::portolan("async")?),
        || memory(echo::uvloop()?),
        || memory(echo::asyncio()?),
        || memory(echo::selectors()?),
        || memory(echo::threads()?),
    ],
};

pub(crate) const DRAIN: Row = Row {
    name: "idle-drain",
    measure: Measure { unit: "ms", better: Better::Lower },
    sides: &[|| drain(echo::portolan("async")?), || drain(echo::epoll()?)],
};

const CONNECTIONS: usize = 10_000;

fn memory(echo: Echo) -> anyhow::Result<Side> {
    side(echo, |mut server| {
        let before = server.memory()?;
        let _crowd = crowd(&mut server)?;
        let grown = server.memory()?.saturating_sub(before);
        Ok(grown as f64 / 1024.0 / CONNECTIONS as f64)
    })
}

fn drain(echo: Echo) -> anyhow::Result<Side> {
    side(echo, |mut server| {
        let _crowd = crowd(&mut server)?;
        Ok(server.terminate()?.as_secs_f64() * 1e3)
    })
}

/// Measures a server that is started anew each round.
fn side(echo: Echo, measure: fn(Server) -> anyhow::Result<f64>) -> anyhow::Result<Side> {
    allow_files()?;
    let (name, version) = (echo.name, echo.version.clone());
    Ok(Side { name, version, work: Box::new(move || measure(echo.start()?)) })
}

/// Clients that have all been answered once.
fn crowd(server: &mut Server) -> anyhow::Result<Crowd> {
    let mut crowd = Crowd::connect(server.address(), CONNECTIONS)?;
    crowd.echo(MESSAGE, Duration::ZERO)?;
    Ok(crowd)
}

/// Raises the limit of open files, which the servers inherit.
pub(super) fn allow_files() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .context("raising the limit of open files")
}
