//! `--metrics`: the results of probes for Prometheus.

use std::net::SocketAddr;
use std::time::SystemTime;

use axum::Router;
use axum::routing::get;
use metrics::{counter, gauge, with_local_recorder};
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
        Ok(Self { recorder, _server: server })
    }

    /// Takes in one report.
    pub fn record(&self, report: &Report) {
        let target = report.target.url.to_string();
        with_local_recorder(&self.recorder, || {
            let result = if report.is_ok() { "ok" } else { "failed" };
            gauge!("portolan_probe_up", "target" => target.clone()).set(if report.is_ok() {
                1.0
            } else {
                0.0
            });
            counter!("portolan_probe_runs_total", "target" => target.clone(), "result" => result)
                .increment(1);
            gauge!("portolan_probe_duration_seconds", "target" => target.clone())
                .set(report.total().as_secs_f64());
            for span in report.timings.spans() {
                let phase = span.phase.name();
                let labels = [("target", target.clone()), ("phase", phase.to_owned())];
                gauge!("portolan_probe_phase_duration_seconds", &labels)
                    .set(span.elapsed().as_secs_f64());
            }
            let Some(answer) = &report.answer else { return };
            if let Some(status) = answer.status {
                gauge!("portolan_probe_http_status", "target" => target.clone())
                    .set(f64::from(status));
            }
            let leaf = answer.tls.as_ref().and_then(|tls| tls.chain.first());
            if let Some(certificate) = leaf {
                let days = certificate.days_left(SystemTime::now());
                gauge!("portolan_probe_certificate_days_left", "target" => target).set(days as f64);
            }
        });
    }
}
