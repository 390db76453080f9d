//! HTTP: a service is up when it answers a GET, whatever the status.

use http::{HeaderMap, StatusCode, header};
use portolan_core::{Phase, Scheme, redact_reference};
use portolan_http::{Client, RECEIVE, Received, SEND, WAIT};

use super::{Answer, Answering, BODY_MAX, Protocol, Visit};

pub(super) struct Http;

impl Protocol for Http {
    fn schemes(&self) -> &'static [Scheme] {
        &[Scheme::Http, Scheme::Https]
    }

    fn phases(&self, scheme: Scheme) -> &'static [Phase] {
        use Phase as P;
        match scheme {
            Scheme::Https => &[P::RESOLVE, P::CONNECT, P::PROXY, P::TLS, SEND, WAIT, RECEIVE],
            _ => &[P::RESOLVE, P::CONNECT, P::PROXY, SEND, WAIT, RECEIVE],
        }
    }

    fn neighbours(&self, scheme: Scheme) -> &'static [u16] {
        match scheme {
            Scheme::Https => &[443, 80, 8443],
            _ => &[80, 443, 8080],
        }
    }

    fn probe<'a>(&'a self, visit: Visit<'a>) -> Answering<'a> {
        Box::pin(async move {
            let client = Client::connect(visit.dialer, visit.url, visit.cx).await?;
            let mut client = client.with_origin_only();
            let mut response = client.get(visit.cx).await?;
            let received = if visit.keeps_body {
                response.receive(BODY_MAX, visit.cx).await?
            } else {
                response.discard(BODY_MAX, visit.cx).await?
            };
            let Received { bytes, is_whole, .. } = received;
            let status = response.status();
            let mut notes = Vec::from_iter(status_note(status, response.headers()));
            if !is_whole {
                notes.push("the body is longer than 1 MiB; the rest was not read".to_owned());
            }
            Ok(Answer {
                status: Some(status.as_u16()),
                body: visit.keeps_body.then_some(bytes),
                tls: client.info().tls.as_deref().cloned(),
                notes,
            })
        })
    }
}

/// A status that is not a success is worth a note: the service is up, and may not be what was
/// meant.
fn status_note(status: StatusCode, headers: &HeaderMap) -> Option<String> {
    let place = headers.get(header::LOCATION).and_then(|place| place.to_str().ok());
    match place {
        Some(place) if status.is_redirection() => {
            let place = redact_reference(place);
            Some(format!("answered with status {status}, which leads to {place}"))
        }
        _ if status.is_success() => None,
        _ => Some(format!("answered with status {status}")),
    }
}
