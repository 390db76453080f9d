//! Bare streams: a service is up when it accepts, and shakes hands where there is TLS.

use portolan_core::{Phase, Scheme};

use super::{Answer, Answering, Protocol, Visit};

pub(super) struct Streams;

impl Protocol for Streams {
    fn schemes(&self) -> &'static [Scheme] {
        &[Scheme::Tcp, Scheme::Unix, Scheme::Tls]
    }

    fn phases(&self, scheme: Scheme) -> &'static [Phase] {
        match scheme {
            Scheme::Unix => &[Phase::CONNECT],
            Scheme::Tls => &[Phase::RESOLVE, Phase::CONNECT, Phase::PROXY, Phase::TLS],
            _ => &[Phase::RESOLVE, Phase::CONNECT, Phase::PROXY],
        }
    }

    fn probe<'a>(&'a self, visit: Visit<'a>) -> Answering<'a> {
        Box::pin(async move {
            let connection = visit.dialer.dial_url(visit.url, visit.cx).await?;
            Ok(Answer { tls: connection.info.tls.map(|tls| *tls), ..Answer::default() })
        })
    }
}
