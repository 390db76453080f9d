//! `--metrics`: the results of probes for Prometheus.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use axum::Router;
use axum::routing::get;
use metrics::{Gauge, counter, gauge, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use portolan::http::Server;
use portolan::net::Listener;
use portolan::probe::Report;
use portolan::{Endpoint, Error, Scheme, Url};
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

use crate::console::Console;

/// A page of metrics, and the server that shows it until this is dropped.
pub struct Metrics {
    recorder: PrometheusRecorder,
    /// What the page shows of each target.
    shown: Mutex<HashMap<String, HashMap<Value, Gauge>>>,
    _server: AbortOnDropHandle<()>,
}

impl Metrics {
    /// Serves `/metrics` on this address, and says so.
    ///
    /// # Errors
    /// Those of [`Listener::bind`].
    pub async fn serve(address: SocketAddr, console: &Console) -> Result<Self, Error> {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let page = move || std::future::ready(handle.render());
        let routes = Router::new().route("/metrics", get(page));
        let url = Url::from_endpoint(Scheme::Http, &Endpoint::from(address));
        let listener = Listener::bind(&url).await?;
        let url = listener.local_url().with_path("/metrics").unwrap_or(url);
        if console.is_json() {
            console.json("listening", &json!({ "url": url.to_string() }))?;
        }
        console.note(&format!("listening on {url}"));
        let server = Server::new(routes).serve(listener, std::future::pending());
        let server = AbortOnDropHandle::new(tokio::spawn(server));
        Ok(Self { recorder, shown: Mutex::default(), _server: server })
    }

    /// Takes in one report. What an earlier one told and this one does not is no number any more.
    pub fn record(&self, report: &Report) {
        let target = report.target.url.to_string();
        let result = if report.is_ok() { "ok" } else { "failed" };
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let gauges = shown.entry(target.clone()).or_default();
        let values = values(report);
        for (known, gauge) in gauges.iter() {
            if !values.iter().any(|(value, _)| value == known) {
                gauge.set(f64::NAN);
            }
        }
        with_local_recorder(&self.recorder, || {
            for (value, number) in values {
                gauges.entry(value).or_insert_with(|| value.gauge(&target)).set(number);
            }
            counter!("portolan_probe_runs_total", "target" => target, "result" => result)
                .increment(1);
        });
    }
}

/// Something that is measured: the name of its metric, and the phase that it is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Value {
    name: &'static str,
    phase: Option<&'static str>,
}

impl Value {
    const fn of(name: &'static str) -> Self {
        Self { name, phase: None }
    }

    fn gauge(self, target: &str) -> Gauge {
        let mut labels = vec![("target", target.to_owned())];
        labels.extend(self.phase.map(|phase| ("phase", phase.to_owned())));
        gauge!(self.name, &labels)
    }
}

/// What a report tells in numbers.
fn values(report: &Report) -> Vec<(Value, f64)> {
    let mut values = vec![
        (Value::of("portolan_probe_up"), if report.is_ok() { 1.0 } else { 0.0 }),
        (Value::of("portolan_probe_duration_seconds"), report.total().as_secs_f64()),
    ];
    values.extend(report.timings.spans().iter().map(|span| {
        let name = "portolan_probe_phase_duration_seconds";
        let phase = Some(span.phase.name());
        // A phase may come twice: the look-ups of a target and of its proxy are one measure.
        let elapsed = report.timings.elapsed(span.phase).unwrap_or_default();
        (Value { name, phase }, elapsed.as_secs_f64())
    }));
    let answer = report.answer.as_ref();
    if let Some(status) = answer.and_then(|answer| answer.status) {
        values.push((Value::of("portolan_probe_http_status"), f64::from(status)));
    }
    let tls = answer.and_then(|answer| answer.tls.as_ref());
    if let Some(certificate) = tls.and_then(|tls| tls.chain.first()) {
        let days = certificate.days_left(SystemTime::now());
        values.push((Value::of("portolan_probe_certificate_days_left"), days as f64));
    }
    values
}
