//! HTTP: a service is up when it answers a GET, whatever the status.

use portolan_core::Scheme;
use portolan_http::{Client, Received};

use super::{Answer, Answering, BODY_MAX, Protocol, Visit};

pub(super) struct Http;

impl Protocol for Http {
    fn schemes(&self) -> &'static [Scheme] {
        &[Scheme::Http, Scheme::Https]
    }

    fn probe<'a>(&'a self, visit: Visit<'a>) -> Answering<'a> {
        Box::pin(async move {
            let mut client = Client::connect(visit.dialer, visit.url, visit.cx).await?;
            let mut response = client.get(visit.cx).await?;
            let received = if visit.keeps_body {
                response.receive(BODY_MAX, visit.cx).await?
            } else {
                response.discard(BODY_MAX, visit.cx).await?
            };
            let Received { bytes, is_whole, .. } = received;
            let mut notes = Vec::new();
            let status = response.status();
            if status.is_client_error() || status.is_server_error() {
                notes.push(format!("answered with status {status}"));
            }
            if !is_whole {
                notes.push("the body is longer than 1 MiB; the rest was not read".to_owned());
            }
            Ok(Answer {
                status: Some(status.as_u16()),
                body: visit.keeps_body.then_some(bytes),
                tls: client.info().tls.clone(),
                notes,
            })
        })
    }
}
