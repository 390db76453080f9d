//! The prober: targets in, reports out.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::stream::{self, Stream, StreamExt};
use portolan_core::{Error, Kind, Timeouts, Timings, Url};
use portolan_net::proxy::Proxies;
use portolan_net::{Context, Dialer, Observer, Recorder, Retry, retry};
use tokio_util::task::AbortOnDropHandle;

use crate::protocols::Visit;
use crate::{Answer, Expectation, diagnose, protocols};

/// Something to probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A short name for people, such as that of a server in the lab.
    pub name: Option<String>,
    /// What is probed.
    pub url: Url,
    /// The proxy to go through, instead of those that the dialer would choose.
    pub via: Option<Url>,
}

impl From<Url> for Target {
    fn from(url: Url) -> Self {
        Self { name: None, url, via: None }
    }
}

/// What became of a probe.
#[derive(Debug)]
pub struct Report {
    /// What was probed.
    pub target: Target,
    /// How long each phase took, and what was learnt in it.
    pub timings: Timings,
    /// What the peer answered; `None` where it failed before.
    pub answer: Option<Answer>,
    /// Why it failed, in which phase, and what to do.
    pub error: Option<Error>,
    /// What works, but should be known.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether the target is up and as expected.
    #[must_use]
    pub const fn is_ok(&self) -> bool {
        self.error.is_none()
    }

    /// From the start of the first phase of the last try to the end of its last phase.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.timings.total()
    }
}

/// Probes targets.
///
/// # Defaults
/// 10 s to connect, 30 s for the whole, no retry, no expectation.
#[derive(Clone, Debug)]
pub struct Prober {
    dialer: Dialer,
    timeouts: Timeouts,
    retry: Retry,
    expectations: Arc<[Expectation]>,
}

impl Prober {
    /// A prober that dials with `dialer`.
    #[must_use]
    pub fn new(dialer: Dialer) -> Self {
        let timeouts = Timeouts { operation: Some(Duration::from_secs(30)), ..Timeouts::default() };
        // A resumed session would show the certificate of its first handshake.
        let dialer = dialer.without_resumption();
        Self { dialer, timeouts, retry: Retry::default(), expectations: Arc::new([]) }
    }

    /// Sets the limits of each probe, retries included.
    #[must_use]
    pub const fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Tries again what failed in a way that may pass.
    #[must_use]
    pub const fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Says what is expected of every target to which it can apply.
    #[must_use]
    pub fn with_expectations(mut self, expectations: impl Into<Arc<[Expectation]>>) -> Self {
        self.expectations = expectations.into();
        self
    }

    /// Probes one target. It cannot fail: what goes wrong is in the report.
    pub async fn probe(&self, target: &Target, observer: Option<Arc<dyn Observer>>) -> Report {
        let recorder = Arc::new(Recorder::default());
        let mut cx = Context::new(self.timeouts).with_observer(recorder.clone());
        if let Some(observer) = observer {
            cx = cx.with_observer(observer);
        }
        let result = self.visit(target, &cx).await;
        let timings = recorder.timings();
        match result {
            Ok(answer) => {
                let notes = diagnose::notes(&answer, &timings, SystemTime::now());
                let unmet = Expectation::unmet(&self.expectations, target, &answer, &timings);
                Report {
                    target: target.clone(),
                    timings,
                    answer: Some(answer),
                    error: unmet,
                    notes,
                }
            }
            Err(error) => {
                let error = diagnose::advise(error, &target.url, &self.dialer).await;
                Report {
                    target: target.clone(),
                    timings,
                    answer: None,
                    error: Some(error),
                    notes: Vec::new(),
                }
            }
        }
    }

    async fn visit(&self, target: &Target, cx: &Context) -> Result<Answer, Error> {
        let dialer = match &target.via {
            Some(proxy) => self.dialer.clone().with_proxies(Proxies::all(proxy.clone())?),
            None => self.dialer.clone(),
        };
        let keeps_body = self.expectations.iter().any(Expectation::wants_body);
        let visit = Visit { url: &target.url, dialer: &dialer, cx, keeps_body };
        retry(&self.retry, cx, || protocols::probe(visit)).await
    }

    /// Probes many targets, `concurrency` at a time, and gives the reports in the targets' order.
    /// `observe` makes the observer of each. Dropping the stream ends the probes that run.
    pub fn probe_all<'a>(
        &'a self,
        targets: &'a [Target],
        concurrency: usize,
        observe: impl Fn(&Target) -> Option<Arc<dyn Observer>> + 'a,
    ) -> impl Stream<Item = Report> + 'a {
        let begin = move |target: &'a Target| {
            let (prober, observer) = (self.clone(), observe(target));
            let probing = target.clone();
            let task = tokio::spawn(async move { prober.probe(&probing, observer).await });
            let task = AbortOnDropHandle::new(task);
            async move { task.await.unwrap_or_else(|_| broken(target)) }
        };
        stream::iter(targets).map(begin).buffered(concurrency.max(1))
    }
}

/// The report of a probe whose task panicked.
fn broken(target: &Target) -> Report {
    let error = Error::new(Kind::Protocol, "could not finish the probe: this is a bug in portolan")
        .with_blame(portolan_core::Blame::Us);
    Report {
        target: target.clone(),
        timings: Timings::default(),
        answer: None,
        error: Some(error),
        notes: Vec::new(),
    }
}
