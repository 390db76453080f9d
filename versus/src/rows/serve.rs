//! HTTP servers: small and large files over HTTP/1.1 and HTTP/2, memory of idle connections, and a
//! route that answers with JSON. Each server has one process or one worker.

use std::io::{Read, Write};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Row;
use crate::crowd::{Answer, Crowd};
use crate::json;
use crate::measure::{Better, Measure, Side, time};
use crate::program::Program;
use crate::server::Server;
use crate::site::{Host, LARGE, Site, Speaks};

const RATE: Measure = Measure { unit: "requests/s", better: Better::Higher };

/// A file of 1 KiB.
pub(crate) const SMALL: Row = Row {
    name: "serve-small",
    measure: RATE,
    sides: &[
        || rate(Host::Portolan, "small"),
        || rate(Host::Nginx, "small"),
        || rate(Host::Caddy, "small"),
        || rate(Host::Python, "small"),
    ],
};

/// A file of 100 KiB.
pub(crate) const MEDIUM: Row = Row {
    name: "serve-medium",
    measure: RATE,
    sides: &[
        || rate(Host::Portolan, "medium"),
        || rate(Host::Nginx, "medium"),
        || rate(Host::Caddy, "medium"),
        || rate(Host::Python, "medium"),
    ],
};

/// A file of 1 GiB, downloaded by curl.
pub(crate) const LARGE_FILE: Row = Row {
    name: "serve-large",
    measure: Measure { unit: "MiB/s", better: Better::Higher },
    sides: &[
        || download(Host::Portolan),
        || download(Host::Nginx),
        || download(Host::Caddy),
        || download(Host::Python),
    ],
};

/// A file of 1 KiB over HTTP/2.
pub(crate) const HTTP2: Row = Row {
    name: "serve-http2",
    measure: RATE,
    sides: &[|| rate_http2(Host::Portolan), || rate_http2(Host::Nginx), || rate_http2(Host::Caddy)],
};

/// The memory of a server that holds idle connections, each of which was answered once.
pub(crate) const IDLE: Row = Row {
    name: "serve-idle",
    measure: Measure { unit: "MiB", better: Better::Lower },
    sides: &[|| memory(Host::Portolan), || memory(Host::Nginx), || memory(Host::Caddy)],
};

/// A route that answers with JSON.
pub(crate) const JSON: Row = Row {
    name: "serve-json",
    measure: RATE,
    sides: &[ours, || python("aiohttp", aiohttp), || python("granian", granian)],
};

const CONNECTIONS: &str = "64";
/// How many requests of a connection of HTTP/2 are in flight.
const STREAMS: &str = "10";
/// How long requests are sent, in the form of wrk and h2load.
const TIME: &str = "3s";
const IDLE_CONNECTIONS: usize = 10_000;

fn rate(host: Host, file: &'static str) -> anyhow::Result<Side> {
    let site = Site::served_by(host, Speaks::Http1)?;
    let version = site.version.clone();
    Ok(Side { name: host.name(), version, work: Box::new(move || wrk(&site.url(file))) })
}

/// How many requests for `url` are answered in a second, by wrk.
fn wrk(url: &str) -> anyhow::Result<f64> {
    let mut command = Command::new("wrk");
    command.args(["--threads", "1", "--connections", CONNECTIONS, "--duration", TIME, url]);
    let report = report(&mut command)?;
    for trouble in ["Socket errors:", "Non-2xx"] {
        if let Some(line) = report.lines().find(|line| line.contains(trouble)) {
            bail!("wrk reports {}", line.trim());
        }
    }
    let rate = report.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    Ok(rate.context("wrk reports no rate")?.trim().parse()?)
}

fn rate_http2(host: Host) -> anyhow::Result<Side> {
    let site = Site::served_by(host, Speaks::Http2)?;
    let version = site.version.clone();
    Ok(Side { name: host.name(), version, work: Box::new(move || h2load(&site.url("small"))) })
}

/// How many requests for `url` are answered in a second, by h2load.
fn h2load(url: &str) -> anyhow::Result<f64> {
    let mut command = Command::new("h2load");
    command.args(["--threads", "1", "--clients", CONNECTIONS, "--max-concurrent-streams", STREAMS]);
    command.args(["--duration", TIME.trim_end_matches('s'), url]);
    let report = report(&mut command)?;
    let line = |start| report.lines().find(|line: &&str| line.starts_with(start));
    let requests = line("requests: ").context("h2load reports no requests")?;
    ensure!(requests.contains(" 0 failed, 0 errored"), "h2load reports {requests}");
    let statuses = line("status codes: ").context("h2load reports no status")?;
    ensure!(statuses.contains(" 0 3xx, 0 4xx, 0 5xx"), "h2load reports {statuses}");
    // "finished in 3.00s, 12345.67 req/s, 14.2MB/s"
    let rate =
        line("finished in ").and_then(|line| line.split(", ").nth(1)?.strip_suffix(" req/s"));
    Ok(rate.context("h2load reports no rate")?.parse()?)
}

/// What a load generator prints.
fn report(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| {
        format!("{} is missing: run versus/install-peers", command.get_program().display())
    })?;
    ensure!(output.status.success(), "{command:?} ended with {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

fn download(host: Host) -> anyhow::Result<Side> {
    let curl = Program::find("curl", "--version")?;
    let site = Site::served_by(host, Speaks::Http1)?;
    let version = site.version.clone();
    let work = move || {
        let mut command = curl.command();
        command.args(["-q", "--silent", "--fail", "--output", "/dev/null", &site.url("large")]);
        Ok((LARGE >> 20) as f64 / time(&mut command)?.as_secs_f64())
    };
    Ok(Side { name: host.name(), version, work: Box::new(work) })
}

/// A server that is started anew each round.
fn memory(host: Host) -> anyhow::Result<Side> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .context("raising the limit of open files")?;
    let version = Site::served_by(host, Speaks::Http1)?.version;
    let work = move || {
        let site = Site::served_by(host, Speaks::Http1)?;
        let address = site.server.address();
        let request = format!("GET /small HTTP/1.1\r\nHost: {address}\r\n\r\n");
        let answer = answer_length(&site.server, &request)?;
        let mut crowd = Crowd::connect(address, IDLE_CONNECTIONS)?;
        crowd.ask(request.as_bytes(), Answer::Bytes(answer), Duration::ZERO)?;
        Ok(site.server.memory()? as f64 / f64::from(1 << 20))
    };
    Ok(Side { name: host.name(), version, work: Box::new(work) })
}

/// How many bytes the answer to a request has, which is the same each time.
#[expect(clippy::disallowed_types, reason = "the load owes nothing to the side that is ours")]
fn answer_length(server: &Server, request: &str) -> anyhow::Result<usize> {
    let mut stream = std::net::TcpStream::connect(server.address())?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = stream.read(&mut piece)?;
        ensure!(count > 0, "the server closes the connection");
        answer.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.context("the answer has no length")?.trim().parse()?;
        if body.len() == length {
            return Ok(answer.len());
        }
    }
}

/// Our library, in a process of its own.
fn ours() -> anyhow::Result<Side> {
    let version = Program::portolan()?.version;
    let server = Server::start(json::command)?;
    Ok(Side { name: "portolan", version, work: Box::new(move || wrk(&url(&server))) })
}

/// A Python package, by the command of its server.
fn python(package: &'static str, command: fn(&Program, &str) -> Command) -> anyhow::Result<Side> {
    let python = Program::python()?;
    let ask = format!("from importlib.metadata import version; print(version('{package}'))");
    let asked = python.command().args(["-c", &ask]).output().context("running Python")?;
    ensure!(asked.status.success(), "{package} is missing: run versus/install-peers");
    let version = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
    let server = Server::start(|address| Ok(command(&python, &address.to_string())))?;
    Ok(Side { name: package, version, work: Box::new(move || wrk(&url(&server))) })
}

fn aiohttp(python: &Program, address: &str) -> Command {
    let mut command = python.command();
    command.arg(super::own_file("peers/json_aiohttp.py")).arg(address);
    command
}

fn granian(python: &Program, address: &str) -> Command {
    let (host, port) = address.rsplit_once(':').unwrap_or_default();
    let mut command = python.command();
    command.args(["-m", "granian", "--interface", "rsgi", "--workers", "1"]);
    command.args(["--no-ws", "--no-access-log", "--host", host, "--port", port]);
    command.args(["json_granian:app"]).current_dir(super::own_file("peers"));
    command
}

fn url(server: &Server) -> String {
    format!("http://{}/json", server.address())
}
