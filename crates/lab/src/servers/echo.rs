//! `tcp`, `unix` and `tls`: what comes in goes back, until the peer half-closes.

use portolan_core::{Error, Scheme};
use portolan_net::{self as net, Connection, Context, Listener, serve};

use super::{Entry, Run, Stop, Task};

pub(super) const TCP: Entry = entry("tcp", Scheme::Tcp, 1);
pub(super) const UNIX: Entry = entry("unix", Scheme::Unix, 0);
pub(super) const TLS: Entry = entry("tls", Scheme::Tls, 2);

const fn entry(name: &'static str, scheme: Scheme, number: u16) -> Entry {
    Entry {
        name,
        scheme,
        number,
        alpn: &[],
        is_proxy: false,
        has_events: false,
        run: Run::Stream(run),
    }
}

fn run(listener: Listener, stop: Stop) -> Task {
    Box::pin(serve(listener, echo, stop))
}

async fn echo(connection: Connection, cx: Context) -> Result<(), Error> {
    net::echo(connection.stream, &cx).await.map(drop)
}
