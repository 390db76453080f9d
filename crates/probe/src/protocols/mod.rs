//! What probing means for each protocol: one file each, and one table that lists them.

mod datagram;
mod http;
mod stream;

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use portolan_core::{Error, Scheme, Url};
use portolan_net::{Context, Dialer, tls};

/// The body of a response is read up to this size: a probe measures, it does not download.
const BODY_MAX: u64 = 1024 * 1024;

/// How a protocol is probed.
trait Protocol: Sync {
    /// The schemes that this handles.
    fn schemes(&self) -> &'static [Scheme];

    /// Speaks with the peer as far as it takes to know that it works.
    fn probe<'a>(&'a self, visit: Visit<'a>) -> Answering<'a>;
}

type Answering<'a> = Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send + 'a>>;

/// What a protocol is given.
#[derive(Clone, Copy)]
pub(crate) struct Visit<'a> {
    pub(crate) url: &'a Url,
    pub(crate) dialer: &'a Dialer,
    pub(crate) cx: &'a Context,
    /// Whether an expectation will want to see the body.
    pub(crate) keeps_body: bool,
}

/// What a peer that works has answered.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Answer {
    /// The HTTP status code.
    pub status: Option<u16>,
    /// The first MiB of the body, where an expectation asks for it.
    pub body: Option<Bytes>,
    /// What TLS agreed on.
    pub tls: Option<tls::Info>,
    /// What works, but should be known.
    pub notes: Vec<String>,
}

const PROTOCOLS: [&dyn Protocol; 3] = [&stream::Streams, &datagram::Udp, &http::Http];

/// Whether targets of this scheme can be probed.
#[must_use]
pub fn supports(scheme: Scheme) -> bool {
    find(scheme).is_some()
}

fn find(scheme: Scheme) -> Option<&'static dyn Protocol> {
    PROTOCOLS.into_iter().find(|protocol| protocol.schemes().contains(&scheme))
}

/// Probes with the protocol of the URL's scheme.
pub(crate) async fn probe(visit: Visit<'_>) -> Result<Answer, Error> {
    let scheme = visit.url.scheme();
    match find(scheme) {
        Some(protocol) => protocol.probe(visit).await,
        None => {
            let schemes: Vec<_> =
                PROTOCOLS.iter().flat_map(|p| p.schemes()).map(|scheme| scheme.name()).collect();
            Err(Error::new(
                portolan_core::Kind::Usage,
                format!("could not probe {}: {scheme}: is not probed yet", visit.url),
            )
            .with_hint(format!("probe knows {}", schemes.join(" "))))
        }
    }
}
