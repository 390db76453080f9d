//! Proxies.

use portolan_core::{Endpoint, Error, Url};

use crate::{Context, Stream};

/// Which proxy for which URL.
#[derive(Clone, Debug, Default)]
pub struct Proxies;

impl Proxies {
    /// No proxy.
    #[must_use]
    pub fn none() -> Self {
        Self
    }

    /// All.
    pub fn all(_u: Url) -> Result<Self, Error> {
        Ok(Self)
    }

    /// For a URL.
    #[must_use]
    pub fn for_url(&self, _url: &Url) -> Option<&Url> {
        None
    }

    /// For an endpoint.
    #[must_use]
    pub fn for_endpoint(&self, _endpoint: &Endpoint) -> Option<&Url> {
        None
    }
}

/// Asks the proxy at the other end of `stream` for `target`.
pub(crate) async fn tunnel(
    stream: Stream,
    _proxy: &Url,
    _target: &Endpoint,
    _cx: &Context,
) -> Result<Stream, Error> {
    Ok(stream)
}
