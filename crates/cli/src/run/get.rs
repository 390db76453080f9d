//! `get`: files from URLs, many at once.

mod progress;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use portolan::http::{Retries, Session};
use portolan::net::pcap::Capture;
use portolan::net::{Context, Dialer, now};
use portolan::transfer::{Download, Downloads, HttpSource, Opened, Report, Resume, Source, Target};
use portolan::{Error, Kind, Timeouts, Url};

use self::progress::Bars;
use super::capture::captured;
use super::login::Login;
use super::signals::Signals;
use super::targets;
use crate::args::applies::{Given, speaks_tls};
use crate::args::get::GetArgs;
use crate::args::values::web_target;
use crate::console::Console;
use crate::exit::Exit;
use crate::show::get::{GetReport, Summary, saved};
use crate::trace::Trace;

/// How long a server may say nothing where `--idle-timeout` does not say.
const IDLE: Duration = Duration::from_secs(60);

/// Fetches all files, and tells of each.
///
/// # Errors
/// What concerns the command as a whole, not one URL of it.
pub async fn run(args: &GetArgs, given: &Given, console: &Console) -> Result<Exit, Error> {
    if is_stdout(args) {
        args.dial.pcap.leave_stdout("the server")?;
        if console.is_json() {
            let message = "-o - cannot be used with --json: both would go to stdout";
            return Err(Error::new(Kind::Usage, message));
        }
    }
    captured(&args.dial.pcap, console, async |capture, console| {
        let mut signals = Signals::catch()?;
        tokio::select! {
            exit = get(args, given, capture, console) => exit,
            () = signals.next() => {
                if !is_stdout(args) {
                    console.hint("--continue goes on from here");
                }
                Ok(Exit::from(Kind::Interrupted))
            }
        }
    })
    .await
}

async fn get(
    args: &GetArgs,
    given: &Given,
    capture: Option<Capture>,
    console: &Console,
) -> Result<Exit, Error> {
    let mut urls = args.urls.clone();
    if let Some(file) = args.from_file.clone() {
        urls.extend(super::blocking(move || targets::read(&file, web_target)).await?);
    }
    args.validate(&urls)?;
    given.check(&urls.iter().map(Url::scheme).collect::<BTreeSet<_>>())?;
    let downloads =
        urls.iter().map(|url| Ok(download(args, url, target(args, urls.len(), console)?)));
    let downloads = downloads.collect::<Result<Vec<_>, Error>>()?;
    let sources = Sources::new(args, &urls, capture, console).await?;
    let setup = Downloads::new(sources).with_retry(args.dial.retry()).with_continue(args.resume);
    let fetch = Fetch { args, console, bars: Bars::new(console, urls.len()), urls: &urls };
    fetch.all(&setup, downloads).await
}

/// What fetches, and tells of it.
struct Fetch<'a> {
    args: &'a GetArgs,
    console: &'a Console,
    bars: Bars,
    urls: &'a [Url],
}

impl Fetch<'_> {
    async fn all(&self, setup: &Downloads, downloads: Vec<Download>) -> Result<Exit, Error> {
        let started = now();
        let mut summary = Summary::default();
        // The code of the first URL in the list that fails, whichever fails first.
        let mut exits = vec![Exit::DONE; downloads.len()];
        let running = downloads.into_iter().enumerate().map(|(number, download)| {
            let setup = setup.clone().with_watcher(self.bars.watcher(&self.urls[number]));
            let cx = self.context(number);
            async move {
                let running = tokio::spawn(async move { setup.one(download, &cx).await });
                (number, running.await)
            }
        });
        let mut ended = stream::iter(running).buffer_unordered(self.args.concurrency);
        while let Some((number, result)) = ended.next().await {
            match result.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())) {
                Ok(report) => {
                    summary.add(&report);
                    self.tell(&report)?;
                }
                Err(error) => {
                    summary.failed += 1;
                    let url = Some(&self.urls[number]);
                    exits[number] = self.bars.suspend(|| self.console.error(&error, url));
                }
            }
        }
        self.bars.end();
        let summary = summary.after(now().saturating_duration_since(started));
        if self.console.is_json() {
            self.console.json("summary", &summary)?;
        } else if self.urls.len() > 1 {
            self.console.note(&summary.sentence());
        }
        Ok(exits.into_iter().fold(Exit::DONE, Exit::then))
    }

    fn tell(&self, report: &Report) -> Result<(), Error> {
        if self.console.is_json() {
            return self.console.json("get", &GetReport::new(report));
        }
        self.bars.suspend(|| self.console.note(&saved(report)));
        Ok(())
    }

    fn context(&self, number: usize) -> Context {
        let cx = Context::new(timeouts(self.args));
        if self.console.verbosity() == 0 {
            return cx;
        }
        let named = (self.urls.len() > 1).then_some(&self.urls[number]);
        cx.with_observer(Arc::new(Trace::new(self.console, named)))
    }
}

fn is_stdout(args: &GetArgs) -> bool {
    args.output.as_deref() == Some(Path::new("-"))
}

fn download(args: &GetArgs, url: &Url, target: Target) -> Download {
    let download = Download::new(url.clone(), target);
    match &args.checksum {
        Some(checksum) => download.with_checksum(checksum.clone()),
        None => download,
    }
}

/// Where one of `count` files goes.
fn target(args: &GetArgs, count: usize, console: &Console) -> Result<Target, Error> {
    let Some(output) = &args.output else { return Ok(Target::Directory(".".into())) };
    let is_directory = output.is_dir() || output.as_os_str().as_encoded_bytes().ends_with(b"/");
    match is_directory {
        true => Ok(Target::Directory(output.clone())),
        false if count > 1 => {
            let message =
                format!("-o {} is one file, and there are several URLs", output.display());
            Err(Error::new(Kind::Usage, message)
                .with_hint("give a directory, with a slash at its end"))
        }
        false if is_stdout(args) => console.data_file().map(Target::Open),
        false => Ok(Target::File(output.clone())),
    }
}

/// The time limits of each file: none for the whole, as a large one takes its time.
fn timeouts(args: &GetArgs) -> Timeouts {
    let timeouts = args.dial.timeouts(None);
    let idle = args.dial.idle_timeout.map_or(Some(IDLE), |_| timeouts.idle);
    Timeouts { idle, ..timeouts }
}

/// A source for each host: a login in a netrc file is for one alone.
struct Sources {
    by_host: HashMap<String, HttpSource>,
}

impl Sources {
    async fn new(
        args: &GetArgs,
        urls: &[Url],
        capture: Option<Capture>,
        console: &Console,
    ) -> Result<Self, Error> {
        let dialer = dialer(args, urls).await?.with_capture(capture);
        let retry = args.dial.retry();
        let session = Session::new()
            .with_dialer(dialer)
            .with_timeouts(timeouts(args))
            .with_retries(Retries::times(retry.count).with_backoff(retry.backoff));
        let mut by_host = HashMap::new();
        let mut asked = None;
        for url in urls {
            let host = url.authority();
            if by_host.contains_key(&host) {
                continue;
            }
            let bare = Url::from_endpoint(url.scheme(), &url.endpoint());
            // What was typed, or asked for, is for all of them.
            if asked.is_none() || args.login.reads_netrc() {
                asked = Some(Login::find(&args.login, &bare, None, console).await?);
            }
            let session = match asked.as_ref().and_then(Option::as_ref) {
                Some(login) => session.clone().with_auth(login.auth()),
                None => session.clone(),
            };
            by_host.insert(host, HttpSource::new(session));
        }
        Ok(Self { by_host })
    }
}

impl Source for Sources {
    fn open<'a>(
        &'a self,
        url: &'a Url,
        resume: Option<&'a Resume>,
        cx: &'a Context,
    ) -> BoxFuture<'a, Result<Opened, Error>> {
        match self.by_host.get(&url.authority()) {
            Some(source) => source.open(url, resume, cx),
            None => Box::pin(async move {
                Err(Error::new(Kind::Usage, format!("there is no source for {url}")))
            }),
        }
    }
}

/// The dialer that the flags ask for, with TLS where one of the URLs, or a redirect, wants it.
async fn dialer(args: &GetArgs, urls: &[Url]) -> Result<Dialer, Error> {
    let is_tls = urls.iter().any(|url| speaks_tls(url.scheme()));
    let flags = args.dial.tls.clone();
    let tls = super::blocking(move || flags.client(is_tls)).await?;
    Ok(args.dial.dialer()?.with_tls(tls))
}
