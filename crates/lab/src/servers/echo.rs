//! `tcp`, `unix` and `tls`: what comes in goes back, until the peer half-closes.

use futures_util::FutureExt;
use portolan_core::{Error, Kind, Scheme};
use portolan_net::{Connection, Context, Listener, serve};
use tokio::io::AsyncWriteExt;

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
    let (mut reader, mut writer) = tokio::io::split(connection.stream);
    let echoing = async {
        tokio::io::copy(&mut reader, &mut writer).await?;
        writer.shutdown().await
    };
    let echoed = tokio::select! {
        echoed = echoing => Some(echoed),
        () = cx.stopping() => None,
    };
    let Some(echoed) = echoed else {
        // A goodbye, as far as it goes out without waiting for the peer.
        let _ = writer.shutdown().now_or_never();
        return Ok(());
    };
    echoed.map_err(|error| Error::new(Kind::Lost, "could not echo").with_source(error))
}
