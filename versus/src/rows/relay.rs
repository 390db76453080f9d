//! Relays of TCP: how fast bytes pass, and how many connections a second.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use super::Row;
use crate::load::Target;
use crate::measure::{Better, Measure, Side};
use crate::program::Program;
use crate::server::Server;

/// How fast one connection is.
pub(crate) const ONE: Row = Row {
    name: "relay",
    measure: SPEED,
    sides: &[
        || portolan(send_through_one),
        || haproxy(send_through_one),
        || socat(send_through_one),
        || socat_tuned(send_through_one),
    ],
};

/// How fast several connections are together.
pub(crate) const SEVERAL: Row = Row {
    name: "relay-8",
    measure: SPEED,
    sides: &[
        || portolan(send_through_several),
        || haproxy(send_through_several),
        || socat(send_through_several),
        || socat_tuned(send_through_several),
    ],
};

/// How many connections a second begin and end.
pub(crate) const CONNECTIONS: Row = Row {
    name: "relay-connections",
    measure: Measure { unit: "/s", better: Better::Higher },
    sides: &[|| portolan(visit), || haproxy(visit), || socat(visit)],
};

const SPEED: Measure = Measure { unit: "MiB/s", better: Better::Higher };
const SEVERAL_CONNECTIONS: usize = 8;
/// What passes in a round.
const TOTAL: usize = 1 << 30;
const VISITORS: usize = 32;
const VISITING: Duration = Duration::from_secs(1);

/// What is made to pass a relay, and what comes of it in the row's unit.
type Load = fn(&Target, SocketAddr) -> anyhow::Result<f64>;

fn send_through_one(target: &Target, relay: SocketAddr) -> anyhow::Result<f64> {
    send(target, relay, 1)
}

fn send_through_several(target: &Target, relay: SocketAddr) -> anyhow::Result<f64> {
    send(target, relay, SEVERAL_CONNECTIONS)
}

fn send(target: &Target, relay: SocketAddr, connections: usize) -> anyhow::Result<f64> {
    let elapsed = target.send(relay, connections, TOTAL / connections)?;
    Ok((TOTAL >> 20) as f64 / elapsed.as_secs_f64())
}

fn visit(target: &Target, relay: SocketAddr) -> anyhow::Result<f64> {
    target.visit(relay, VISITORS, VISITING)
}

fn portolan(load: Load) -> anyhow::Result<Side> {
    let program = Program::portolan()?;
    side("portolan", &program, load, |from, to| {
        let mut command = program.command();
        command.arg("relay").arg(format!("tcp://{from}")).arg(format!("tcp://{to}"));
        Ok(command)
    })
}

/// As it is set up for throughput: bytes stay in the kernel where it finds that worthwhile.
fn haproxy(load: Load) -> anyhow::Result<Side> {
    let program = Program::find("haproxy", "-v")?;
    let config = tempfile::NamedTempFile::new()?;
    side("haproxy", &program, load, |from, to| {
        let text = format!(
            "global\n  nbthread 2\n\
             defaults\n  mode tcp\n  option splice-auto\n\
             \x20 timeout connect 10s\n  timeout client 1m\n  timeout server 1m\n\
             listen relay\n  bind {from}\n  server target {to}\n"
        );
        fs::write(config.path(), text)?;
        let mut command = program.command();
        command.arg("-db").arg("-f").arg(config.path());
        Ok(command)
    })
}

/// As people start it, with its buffer of 8 KiB.
fn socat(load: Load) -> anyhow::Result<Side> {
    socat_with("socat", &[], load)
}

/// With a buffer as large as helps it.
fn socat_tuned(load: Load) -> anyhow::Result<Side> {
    socat_with("socat -b 65536", &["-b", "65536"], load)
}

/// A process for each connection, with a longer queue than its default of 5.
fn socat_with(name: &'static str, flags: &'static [&str], load: Load) -> anyhow::Result<Side> {
    let program = Program::find("socat", "-V")?;
    side(name, &program, load, |from, to| {
        let mut command = program.command();
        let (address, port) = (from.ip(), from.port());
        command
            .args(flags)
            .arg(format!("TCP-LISTEN:{port},bind={address},reuseaddr,fork,backlog=4096"))
            .arg(format!("TCP:{to}"));
        Ok(command)
    })
}

fn side(
    name: &'static str,
    program: &Program,
    load: Load,
    command: impl FnOnce(SocketAddr, SocketAddr) -> anyhow::Result<Command>,
) -> anyhow::Result<Side> {
    let target = Target::bind()?;
    let to = target.address()?;
    let server = Server::start(|from| command(from, to))?;
    let work = move || load(&target, server.address());
    Ok(Side { name, version: program.version.clone(), work: Box::new(work) })
}
