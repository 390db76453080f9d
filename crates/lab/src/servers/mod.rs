//! The servers: one file each, and one table that lists them.

mod echo;
mod http;
mod http_proxy;
mod socks5;
mod udp;

use std::future::Future;
use std::pin::Pin;

use portolan_core::{Host, Scheme};
use portolan_net::{Listener, Sessions};

pub use http::routes;

/// A server of the lab: its place in the table of `cli.md`, and what runs it.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) scheme: Scheme,
    /// Added to the port base.
    pub(crate) number: u16,
    /// What TLS offers by ALPN.
    pub(crate) alpn: &'static [&'static str],
    pub(crate) is_proxy: bool,
    /// Whether it tells its protocol's events to [`portolan_net::fault`].
    pub(crate) has_events: bool,
    pub(crate) run: Run,
}

/// Runs a server until the second future is ready, and then drains it.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    Stream(fn(Listener, Stop) -> Task),
    Datagrams(fn(Sessions, Stop) -> Task),
}

pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
pub(crate) type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Every server, in the order of the reference. A new one is a line here and a file beside this.
pub(crate) const ALL: [Entry; 8] = [
    echo::TCP,
    udp::ENTRY,
    echo::UNIX,
    echo::TLS,
    http::HTTP,
    http::HTTPS,
    socks5::ENTRY,
    http_proxy::ENTRY,
];

/// Whether one of the lab's proxies may forward there: to this machine only.
fn may_forward(host: &Host) -> bool {
    host.is_loopback()
}
