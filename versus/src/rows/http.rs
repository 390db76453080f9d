//! HTTP clients: many small answers, one large one, and how soon the first byte is there.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use portolan_http::Session;
use tokio::task::JoinSet;

use super::Row;
use crate::measure::{Better, Measure, Side, time};
use crate::program::Program;
use crate::site::{LARGE, Site};

/// Many small answers, so many at once.
pub(crate) const SMALL: Row = Row {
    name: "http-small",
    measure: Measure { unit: "requests/s", better: Better::Higher },
    sides: &[
        ours,
        curl_parallel,
        || python("requests", "get_requests.py"),
        || python("aiohttp", "get_aiohttp.py"),
        || python("httpx", "get_httpx.py"),
    ],
};

/// One large answer: how fast it comes.
pub(crate) const DOWNLOAD: Row = Row {
    name: "http-download",
    measure: Measure { unit: "MiB/s", better: Better::Higher },
    sides: &[|| download(get()?, speed), || download(curl()?, speed), || download(wget()?, speed)],
};

/// One large answer: what it costs, in seconds of a core.
pub(crate) const DOWNLOAD_CPU: Row = Row {
    name: "http-download-cpu",
    measure: Measure { unit: "s", better: Better::Lower },
    sides: &[|| download(get()?, cpu), || download(curl()?, cpu), || download(wget()?, cpu)],
};

/// From the start of the command to the first byte that it prints.
pub(crate) const FIRST_BYTE: Row = Row {
    name: "http-first-byte",
    measure: Measure { unit: "ms", better: Better::Lower },
    sides: &[|| first_byte(http()?), || first_byte(curl()?)],
};

const REQUESTS: usize = 10_000;
/// So many are enough to know the rate of those who are much slower.
const REQUESTS_OF_PYTHON: usize = 2_000;
const AT_ONCE: usize = 64;
/// One start is too short to be timed alone.
const STARTS: u32 = 20;

/// Our library, in tasks on all cores.
#[expect(clippy::disallowed_methods, reason = "rates are counted by the clock on the wall")]
fn ours() -> anyhow::Result<Side> {
    let version = Program::portolan()?.version;
    let site = Site::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let work = move || {
        let url: Arc<str> = site.url("small").into();
        let started = Instant::now();
        runtime.block_on(get_all(url))?;
        Ok(REQUESTS as f64 / started.elapsed().as_secs_f64())
    };
    Ok(Side { name: "portolan", version, work: Box::new(work) })
}

async fn get_all(url: Arc<str>) -> anyhow::Result<()> {
    let session = Session::new();
    let mut tasks = JoinSet::new();
    for number in 0..AT_ONCE {
        let (session, url) = (session.clone(), url.clone());
        let share = REQUESTS / AT_ONCE + usize::from(number < REQUESTS % AT_ONCE);
        tasks.spawn(async move {
            for _ in 0..share {
                let response = session.get(&*url).send().await?.error_for_status()?;
                response.bytes().await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// One process that is given all URLs at once.
fn curl_parallel() -> anyhow::Result<Side> {
    let curl = Program::find("curl", "--version")?;
    let site = Site::start()?;
    let version = curl.version.clone();
    let work = move || {
        let mut command = curl.command();
        let urls = format!("{}?[1-{REQUESTS}]", site.url("small"));
        command.args(["-q", "--silent", "--fail", "--parallel", "--parallel-max"]);
        command.arg(AT_ONCE.to_string()).args(["--output", "/dev/null", &urls]);
        Ok(REQUESTS as f64 / time(&mut command)?.as_secs_f64())
    };
    Ok(Side { name: "curl -Z", version, work: Box::new(work) })
}

/// A script that prints its rate.
fn python(package: &'static str, file: &'static str) -> anyhow::Result<Side> {
    let python = Program::python()?;
    let ask = format!("import {package}; print({package}.__version__)");
    let asked = python.command().args(["-c", &ask]).output().context("running Python")?;
    if !asked.status.success() {
        bail!("{package} is missing: run versus/install-peers");
    }
    let version = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
    let site = Site::start()?;
    let work = move || {
        let mut command = python.command();
        command.arg(super::own_file("peers").join(file)).arg(site.url("small"));
        command.args([REQUESTS_OF_PYTHON.to_string(), AT_ONCE.to_string()]);
        let output = command.output().context("running Python")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?.trim().parse()?)
    };
    Ok(Side { name: package, version, work: Box::new(work) })
}

/// A client of the command line that prints the body of the URL that follows.
struct Client {
    name: &'static str,
    program: Program,
    arguments: &'static [&'static str],
}

impl Client {
    fn command(&self, url: &str) -> Command {
        let mut command = self.program.command();
        command.args(self.arguments).arg(url);
        command
    }
}

fn get() -> anyhow::Result<Client> {
    let arguments = &["get", "--quiet", "--output", "-"];
    Ok(Client { name: "portolan get", program: Program::portolan()?, arguments })
}

fn http() -> anyhow::Result<Client> {
    Ok(Client { name: "portolan http", program: Program::portolan()?, arguments: &["http"] })
}

fn curl() -> anyhow::Result<Client> {
    let program = Program::find("curl", "--version")?;
    Ok(Client { name: "curl", program, arguments: &["-q", "--silent", "--fail"] })
}

fn wget() -> anyhow::Result<Client> {
    let program = Program::find("wget", "--version")?;
    let arguments = &["--no-config", "--quiet", "--output-document=-"];
    Ok(Client { name: "wget", program, arguments })
}

/// Downloads the large file to nowhere; `value` makes of the time and of the cores' what is shown.
fn download(client: Client, value: fn(Duration, Duration) -> f64) -> anyhow::Result<Side> {
    let site = Site::start()?;
    let (name, version) = (client.name, client.program.version.clone());
    let work = move || {
        let before = cores_of_children()?;
        let elapsed = time(&mut client.command(&site.url("large")))?;
        Ok(value(elapsed, cores_of_children()? - before))
    };
    Ok(Side { name, version, work: Box::new(work) })
}

fn speed(elapsed: Duration, _cores: Duration) -> f64 {
    (LARGE >> 20) as f64 / elapsed.as_secs_f64()
}

fn cpu(_elapsed: Duration, cores: Duration) -> f64 {
    cores.as_secs_f64()
}

/// The time of cores that children took which have ended (proc(5), `cutime` and `cstime`).
fn cores_of_children() -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').context("/proc shows no state of this process")?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    let [user, system] = [fields[13].parse::<u64>()?, fields[14].parse::<u64>()?];
    let a_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_millis((user + system) * 1000 / a_second))
}

#[expect(clippy::disallowed_methods, reason = "processes are timed by the clock on the wall")]
fn first_byte(client: Client) -> anyhow::Result<Side> {
    let site = Site::start()?;
    let (name, version) = (client.name, client.program.version.clone());
    let work = move || {
        let mut total = Duration::ZERO;
        for _ in 0..STARTS {
            let mut command = client.command(&site.url("small"));
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
            let started = Instant::now();
            let mut child = command.spawn()?;
            let mut output = child.stdout.take().context("it has no output")?;
            output.read_exact(&mut [0]).context("it printed nothing")?;
            total += started.elapsed();
            std::io::copy(&mut output, &mut std::io::sink())?;
            child.wait()?;
        }
        Ok((total / STARTS).as_secs_f64() * 1e3)
    };
    Ok(Side { name, version, work: Box::new(work) })
}
