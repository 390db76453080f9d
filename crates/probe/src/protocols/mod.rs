//! What probing means for each protocol: one file each, and one table that lists them.

mod datagram;
mod http;
mod stream;
mod websocket;

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use portolan_core::{Error, Kind, Phase, Scheme, Url};
use portolan_net::{Context, Dialer, tls};

/// The body of a response is read up to this size: a probe measures, it does not download.
const BODY_MAX: u64 = 1024 * 1024;

/// How a protocol is probed.
trait Protocol: Sync {
    /// The schemes that this handles.
    fn schemes(&self) -> &'static [Scheme];

    /// The phases that can occur with this scheme, in order.
    fn phases(&self, scheme: Scheme) -> &'static [Phase];

    /// The ports where a service of this scheme is often found, in the order in which to suggest
    /// them.
    fn neighbours(&self, _scheme: Scheme) -> &'static [u16] {
        &[]
    }

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

const PROTOCOLS: [&dyn Protocol; 4] =
    [&stream::Streams, &datagram::Udp, &http::Http, &websocket::WebSockets];

/// The schemes of the URLs that can be probed.
pub fn schemes() -> impl Iterator<Item = Scheme> {
    Scheme::ALL.into_iter().filter(|scheme| find(*scheme).is_some())
}

/// Whether `url` can be probed.
///
/// # Errors
/// [`Kind::Usage`] for a scheme that probe does not know; the hint names those that it knows.
pub fn check(url: &Url) -> Result<(), Error> {
    find_for(url).map(drop)
}

/// Probes with the protocol of the URL's scheme.
pub(crate) async fn probe(visit: Visit<'_>) -> Result<Answer, Error> {
    find_for(visit.url)?.probe(visit).await
}

/// The phases that can occur with `scheme`, in order.
pub(crate) fn phases(scheme: Scheme) -> &'static [Phase] {
    find(scheme).map_or(&[], |protocol| protocol.phases(scheme))
}

/// The phases that can occur with any scheme, each once.
pub(crate) fn all_phases() -> Vec<Phase> {
    let mut all = Vec::new();
    for phase in schemes().flat_map(phases) {
        if !all.contains(phase) {
            all.push(*phase);
        }
    }
    all
}

/// The ports where a service of this scheme is often found.
pub(crate) fn neighbours(scheme: Scheme) -> &'static [u16] {
    find(scheme).map_or(&[], |protocol| protocol.neighbours(scheme))
}

fn find(scheme: Scheme) -> Option<&'static dyn Protocol> {
    PROTOCOLS.into_iter().find(|protocol| protocol.schemes().contains(&scheme))
}

fn find_for(url: &Url) -> Result<&'static dyn Protocol, Error> {
    find(url.scheme()).ok_or_else(|| {
        let known: Vec<_> = schemes().map(|scheme| format!("{scheme}:")).collect();
        let message = format!("probe does not know {}: URLs yet, as in {url}", url.scheme());
        Error::new(Kind::Usage, message).with_hint(format!("it knows {}", known.join(" ")))
    })
}

#[cfg(test)]
mod tests;
