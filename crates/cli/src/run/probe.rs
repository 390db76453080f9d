//! `probe`: targets from the command line, a file or the lab; rows, objects and metrics out.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use portolan::lab::Lab;
use portolan::net::Observer;
use portolan::net::proxy::Proxies;
use portolan::probe::{Expectation, Prober, Report, Target, supports};
use portolan::{Error, Kind, Scheme, Url, redact};

use super::metrics::Metrics;
use super::signals::Signals;
use crate::args::applies::{Given, misfit};
use crate::args::probe::ProbeArgs;
use crate::args::values::target;
use crate::console::Console;
use crate::exit::Exit;
use crate::show::error::sentence;
use crate::show::probe::{Layout, ProbeReport, label, marks};
use crate::trace::Trace;

/// How long a probe may take where `--timeout` does not say.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often `--metrics` probes where `--watch` does not say.
const METRICS_INTERVAL: Duration = Duration::from_secs(15);

/// Probes until all is known, or with `--watch` until a signal.
///
/// # Errors
/// What concerns the command as a whole, not one target of it.
pub async fn run(args: &ProbeArgs, given: &Given, console: &Console) -> Result<Exit, Error> {
    args.dial.validate()?;
    let expectations: Vec<_> = args.expect.iter().flat_map(|list| &list.0).cloned().collect();
    let urls = urls(args)?;
    // Not before stdin was read: until then a signal ends the process as it always does.
    let mut signals = Signals::catch()?;
    given.check(&urls)?;
    check_expectations(&expectations, &urls)?;
    let mut dialer = args.dial.dialer()?;
    let lab = if urls.is_empty() { Some(Lab::builder().start().await?) } else { None };
    let targets = match &lab {
        None => urls.into_iter().map(Target::from).collect(),
        Some(lab) => {
            let tls = args.dial.tls.client()?.with_ca([lab.ca_der()])?;
            dialer = dialer.with_tls(tls).with_proxies(Proxies::none());
            lab_targets(lab)
        }
    };
    let prober = Prober::new(dialer)
        .with_timeouts(args.dial.timeouts(Some(TIMEOUT)))
        .with_retry(args.dial.retry())
        .with_expectations(expectations);
    let rounds = Rounds { prober, targets, concurrency: args.concurrency, console: *console };
    let exit = tokio::select! {
        exit = rounds.run(args) => exit,
        () = signals.next() => Ok(Exit::from(Kind::Interrupted)),
    };
    if let Some(lab) = lab {
        lab.stop().await;
    }
    exit
}

/// Rounds over all targets.
struct Rounds {
    prober: Prober,
    targets: Vec<Target>,
    concurrency: usize,
    console: Console,
}

impl Rounds {
    /// As many rounds as the flags ask for.
    async fn run(&self, args: &ProbeArgs) -> Result<Exit, Error> {
        match (args.watch, args.metrics) {
            (None, None) => self.once(None).await,
            (pause, address) => {
                let metrics = match address {
                    Some(address) => Some(Metrics::serve(address, &self.console).await?),
                    None => None,
                };
                self.watch(pause.unwrap_or(METRICS_INTERVAL), metrics.as_ref()).await
            }
        }
    }

    /// Probes every target once and shows each as soon as those before it are known.
    async fn once(&self, metrics: Option<&Metrics>) -> Result<Exit, Error> {
        let console = &self.console;
        let layout = self.layout();
        let mut exit = Exit::DONE;
        let mut seen = Vec::new();
        if !console.is_json() {
            console.line(&layout.head())?;
        }
        let mut reports = pin!(self.reports());
        while let Some(report) = reports.next().await {
            exit = exit.then(exit_of(&report));
            metrics.inspect(|metrics| metrics.record(&report));
            seen.extend(marks(&report));
            self.show(&layout, &report)?;
        }
        if !console.is_json() && !self.has_detail() {
            console.line(&layout.legend(&seen))?;
        }
        Ok(exit)
    }

    /// Probes again and again, and on a terminal draws over what was there.
    async fn watch(&self, pause: Duration, metrics: Option<&Metrics>) -> Result<Exit, Error> {
        let is_live = self.console.is_terminal() && !self.console.is_json();
        let mut height = 0;
        loop {
            if is_live {
                height = self.redraw(height, metrics).await?;
            } else {
                self.once(metrics).await?;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Draws a whole round over the `height` lines of the one before.
    async fn redraw(&self, height: usize, metrics: Option<&Metrics>) -> Result<usize, Error> {
        let layout = self.layout();
        let reports: Vec<_> = self.reports().collect().await;
        let mut text = layout.head();
        let mut seen = Vec::new();
        for report in &reports {
            metrics.inspect(|metrics| metrics.record(report));
            seen.extend(marks(report));
            text.push('\n');
            text.push_str(&layout.report(report, self.has_detail()));
        }
        if !self.has_detail() {
            text.push('\n');
            text.push_str(&layout.legend(&seen));
        }
        self.console.redraw(&text, height)?;
        Ok(text.lines().count())
    }

    fn reports(&self) -> impl futures_util::Stream<Item = Report> + '_ {
        let observe = |target: &Target| {
            let named = (self.targets.len() > 1).then_some(&target.url);
            let trace = || Arc::new(Trace::new(&self.console, named)) as Arc<dyn Observer>;
            (self.console.verbosity() > 0).then(trace)
        };
        self.prober.probe_all(&self.targets, self.concurrency, observe)
    }

    fn show(&self, layout: &Layout, report: &Report) -> Result<(), Error> {
        let console = &self.console;
        if console.is_json() {
            console.json("probe", &ProbeReport::new(report))?;
            if let Some(error) = &report.error {
                console.words(&sentence(error, Some(&report.target.url)));
            }
            return Ok(());
        }
        console.line(&layout.report(report, self.has_detail()))
    }

    /// A lone target is shown with each phase on a line of its own, which needs no legend.
    const fn has_detail(&self) -> bool {
        self.targets.len() == 1
    }

    fn layout(&self) -> Layout {
        let labels: Vec<String> = self.targets.iter().map(label).collect();
        Layout::new(labels.iter().map(String::as_str), self.console.width())
    }
}

fn exit_of(report: &Report) -> Exit {
    report.error.as_ref().map_or(Exit::DONE, Exit::from)
}

/// Each expectation must be able to hold for at least one target.
fn check_expectations(expectations: &[Expectation], urls: &[Url]) -> Result<(), Error> {
    let fits = |expectation: &&Expectation| {
        urls.is_empty() || urls.iter().any(|url| expectation.applies_to(url.scheme()))
    };
    match expectations.iter().find(|expectation| !fits(expectation)) {
        None => Ok(()),
        Some(expectation) => {
            let fitting = |scheme: &Scheme| supports(*scheme) && expectation.applies_to(*scheme);
            let fitting: Vec<_> =
                Scheme::ALL.iter().filter(|s| fitting(s)).map(|s| s.name()).collect();
            Err(misfit(&format!("expect {expectation}"), urls, &fitting))
        }
    }
}

/// The targets from the command line, then those from the file.
fn urls(args: &ProbeArgs) -> Result<Vec<Url>, Error> {
    let mut urls = args.targets.clone();
    if let Some(file) = &args.from_file {
        urls.extend(read_targets(file)?);
        if urls.is_empty() {
            let message = format!("there are no targets in --from-file {}", file.display());
            return Err(Error::new(Kind::Usage, message));
        }
    }
    match urls.iter().find(|url| !supports(url.scheme())) {
        None => Ok(urls),
        Some(url) => {
            let known = Scheme::ALL.into_iter().filter(|scheme| supports(*scheme));
            let known: Vec<_> = known.map(|scheme| format!("{scheme}:")).collect();
            let message = format!("probe does not know {}: URLs yet, as in {url}", url.scheme());
            Err(Error::new(Kind::Usage, message).with_hint(format!("it knows {}", known.join(" "))))
        }
    }
}

/// One target a line; empty lines and lines that begin with `#` are left out.
fn read_targets(file: &Path) -> Result<Vec<Url>, Error> {
    let text = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    let text = text.map_err(|cause| {
        let message = format!("could not read --from-file {}", file.display());
        Error::new(Kind::Read, message).with_source(cause)
    })?;
    let lines = text.lines().map(str::trim).enumerate();
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(index, line)| {
            target(line).map_err(|error| {
                // A password may hold spaces, and the line is still one URL.
                let shown = redact(&line.replace(' ', "%20"));
                let place = format!("--from-file {}, line {}", file.display(), index + 1);
                let message = format!("invalid value '{shown}' in {place}");
                Error::new(Kind::Usage, message).with_source(error)
            })
        })
        .collect()
}

/// Every server of the lab; its proxies are probed by going through them to its HTTP server.
fn lab_targets(lab: &Lab) -> Vec<Target> {
    let http = lab.url("http");
    let targets = lab.servers().iter().filter_map(|server| {
        let name = Some(server.name.to_owned());
        if server.is_proxy {
            Some(Target { name, url: http?.clone(), via: Some(server.url.clone()) })
        } else {
            Some(Target { name, url: server.url.clone(), via: None })
        }
    });
    targets.collect()
}
