//! `probe`: targets from the command line, a file or the lab; rows, objects and metrics out.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use portolan::lab::Lab;
use portolan::net::Observer;
use portolan::net::pcap::Capture;
use portolan::net::proxy::Proxies;
use portolan::probe::{Expectation, Prober, Report, Target, schemes as schemes_known};
use portolan::{Error, Kind, Scheme};

use super::metrics::Metrics;
use super::signals::Signals;
use super::{capture, descriptors, targets};
use crate::args::applies::{Given, misfit, speaks_tls};
use crate::args::probe::ProbeArgs;
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
    let console = &args.dial.pcap.console(console);
    let mut signals = Signals::catch()?;
    descriptors::raise();
    let capture = args.dial.pcap.start(console, &mut signals).await?;
    let mut lab = None;
    let probing = async {
        let rounds = prepare(args, given, console, capture.clone(), &mut lab).await?;
        rounds.run(args).await
    };
    let exit = tokio::select! {
        exit = probing => exit,
        () = signals.next() => Ok(Exit::from(Kind::Interrupted)),
    };
    if let Some(lab) = lab {
        tokio::select! {
            () = lab.stop() => {}
            () = signals.next() => {}
        }
    }
    capture::finish(capture, console, &mut signals).await;
    exit
}

/// Reads what is to be probed and how; where no target is given, `lab` is started for it.
async fn prepare(
    args: &ProbeArgs,
    given: &Given,
    console: &Console,
    capture: Option<Capture>,
    lab: &mut Option<Lab>,
) -> Result<Rounds, Error> {
    let expectations: Vec<_> = args.expect.iter().flat_map(|list| &list.0).cloned().collect();
    let typed = args.clone();
    let mut targets = super::blocking(move || targets::given(&typed)).await?;
    let schemes: BTreeSet<_> = targets.iter().map(|target| target.url.scheme()).collect();
    given.check(&schemes)?;
    check_expectations(&expectations, &schemes)?;
    let mut dialer = args.dial.dialer()?.with_capture(capture);
    if targets.is_empty() {
        let lab = lab.insert(Lab::builder().start().await?);
        targets = targets::of_lab(lab);
        dialer = dialer.with_proxies(Proxies::none());
    }
    let is_tls = targets.iter().any(|target| {
        let proxy = target.via.as_ref().or_else(|| dialer.proxy_for(&target.url));
        speaks_tls(target.url.scheme()) || proxy.is_some_and(|proxy| speaks_tls(proxy.scheme()))
    });
    let flags = args.dial.tls.clone();
    let mut tls = super::blocking(move || flags.client(is_tls)).await?;
    if let Some(lab) = lab {
        tls = tls.with_ca([lab.ca_der()])?;
    }
    let prober = Prober::new(dialer.with_tls(tls))
        .with_timeouts(args.dial.timeouts(Some(TIMEOUT)))
        .with_retry(args.dial.retry())
        .with_expectations(expectations);
    let concurrency = args.concurrency.min(descriptors::connections());
    if concurrency < args.concurrency.min(targets.len()) {
        console.note(&format!(
            "probing {concurrency} at once: more would need more open files (ulimit -n)"
        ));
    }
    Ok(Rounds { prober, targets, concurrency, console: *console })
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
        let mut seen = BTreeSet::new();
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
        let mut text = layout.head();
        let mut seen = BTreeSet::new();
        let mut reports = pin!(self.reports());
        while let Some(report) = reports.next().await {
            metrics.inspect(|metrics| metrics.record(&report));
            seen.extend(marks(&report));
            text.push('\n');
            text.push_str(&layout.report(&report, self.has_detail()));
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
        Layout::new(self.targets.iter().map(label), self.console.width())
    }
}

fn exit_of(report: &Report) -> Exit {
    report.error.as_ref().map_or(Exit::DONE, Exit::from)
}

/// Each expectation must be able to hold for at least one target.
fn check_expectations(
    expectations: &[Expectation],
    schemes: &BTreeSet<Scheme>,
) -> Result<(), Error> {
    let fits = |expectation: &&Expectation| {
        schemes.is_empty() || schemes.iter().any(|scheme| expectation.applies_to(*scheme))
    };
    match expectations.iter().find(|expectation| !fits(expectation)) {
        None => Ok(()),
        Some(expectation) => {
            let fitting = schemes_known().filter(|scheme| expectation.applies_to(*scheme));
            let fitting: Vec<_> = fitting.map(Scheme::name).collect();
            Err(misfit(&format!("expect {expectation}"), schemes, &fitting))
        }
    }
}
