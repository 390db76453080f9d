//! `udp`: each datagram goes back to whom it came from.

use portolan_core::{Error, Scheme};
use portolan_net::{Context, Session, serve_datagrams};

use super::{Entry, Run};

pub(super) const ENTRY: Entry = Entry {
    name: "udp",
    scheme: Scheme::Udp,
    number: 1,
    alpn: &[],
    is_proxy: false,
    has_events: false,
    run: Run::Datagrams(|sessions, stop| Box::pin(serve_datagrams(sessions, echo, stop))),
};

async fn echo(session: Session, _cx: Context) -> Result<(), Error> {
    while let Some(datagram) = session.receive().await {
        session.send(&datagram).await?;
    }
    Ok(())
}
