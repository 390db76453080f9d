//! `relay`: listens, and joins each connection to one that it dials.

use std::collections::BTreeSet;

use portolan::net::pcap::Capture;
use portolan::net::{Context, Handler, Join, serve_datagrams};
use portolan::relay::{Carry, End, HeaderVersion, Relay};
use portolan::ws::{self, WebSocket};
use portolan::{Endpoint, Error, Kind, Scheme};
use tokio_util::sync::CancellationToken;

use super::capture::captured;
use super::connections::Connections;
use super::entrance::Entrance;
use super::signals::Signals;
use super::{descriptors, models};
use crate::args::applies::Given;
use crate::args::listen::Model;
use crate::args::relay::{ProxyProtocol, RelayArgs};
use crate::console::Console;
use crate::exit::Exit;

/// Relays until a signal, or with `--once` until the first connection has ended; a second signal
/// does not wait for those that have not. What went wrong with that first one is the exit.
///
/// # Errors
/// What kept it from starting.
pub async fn run(args: &RelayArgs, given: &Given, console: &Console) -> Result<Exit, Error> {
    args.dial.validate()?;
    End::check(args.from.scheme())?;
    End::check(args.to.scheme())?;
    given.check_serving(args.from.scheme(), &End::SCHEMES)?;
    check(args, given)?;
    given.check(&BTreeSet::from([args.to.scheme()]))?;
    given.check_websocket(&BTreeSet::from([args.from.scheme(), args.to.scheme()]))?;
    captured(&args.dial.pcap, console, async |capture, console| carry(args, capture, console).await)
        .await
}

async fn carry(
    args: &RelayArgs,
    capture: Option<Capture>,
    console: &Console,
) -> Result<Exit, Error> {
    let mut signals = Signals::catch()?;
    // A file of certificates may be a pipe.
    let relay = tokio::select! {
        relay = relay(args, capture.clone()) => relay?,
        () = signals.next() => return Ok(Exit::from(Kind::Interrupted)),
    };
    descriptors::raise();
    let entrance = Entrance {
        args: &args.serving,
        url: &args.from,
        timeouts: args.dial.timeouts(None),
        protocol: None,
        is_behind_proxy: args.proxy_protocol.contains(&ProxyProtocol::Accept),
        cert: None,
        capture,
        console,
        connections: Connections::of_relay(&args.to, console),
    };
    let end = CancellationToken::new();
    let serving = async {
        if entrance.is_for_datagrams() {
            let (sessions, url) = entrance.sessions().await?;
            entrance.announce(&url, false)?;
            serve_datagrams(sessions, relay, end.cancelled()).await;
        } else {
            let listener = entrance.listen().await?;
            let url = listener.local_url();
            let workers = listener.share(workers(args))?;
            entrance.announce(&url, false)?;
            match args.from.scheme() {
                Scheme::Ws | Scheme::Wss => {
                    let server = websockets(relay, args);
                    models::serve(workers, model(args), server, end.cancelled()).await?;
                }
                _ => models::serve(workers, model(args), relay, end.cancelled()).await?,
            }
        }
        Ok(())
    };
    tokio::select! {
        served = serving => served?,
        () = signals.second(&end, console) => {}
    }
    Ok(entrance.exit())
}

/// Relays each WebSocket that is opened.
fn websockets(relay: Relay, args: &RelayArgs) -> impl Handler {
    let attend = move |socket: WebSocket, info: ws::Info, cx: Context| {
        let relay = relay.clone();
        async move {
            let portolan::net::Info { peer, local, destination, .. } = info.connection;
            let local = destination.map(|it| *it).or_else(|| local.map(Endpoint::from));
            relay.relay(End::websocket(socket, peer.clone()), &peer, local.as_ref(), &cx).await
        }
    };
    ws::Server::new(attend).with_config(args.websocket.config(&args.from))
}

/// TCP is relayed by an event loop on each core: a connection stays on its loop, so that none of its
/// bytes wakes another thread. Other ends have one socket, of which all cores share the work.
pub(super) fn model(args: &RelayArgs) -> Model {
    match args.from.scheme() {
        Scheme::Udp | Scheme::Unix => Model::Async,
        _ => Model::EventLoop,
    }
}

fn workers(args: &RelayArgs) -> usize {
    if args.serving.once || model(args) == Model::Async {
        return 1;
    }
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Looks at flags that only make sense together.
fn check(args: &RelayArgs, given: &Given) -> Result<(), Error> {
    let refuse = |message: &str, hint: &str| Err(Error::new(Kind::Usage, message).with_hint(hint));
    args.serving.fault.validate(given)?;
    if given.contains("timeout") {
        return refuse(
            "--timeout does not apply to relay, which goes on until it is stopped",
            "--connect-timeout bounds dialling, --idle-timeout silence",
        );
    }
    let sends = args.proxy_protocol.iter().any(|way| *way != ProxyProtocol::Accept);
    if sends && matches!(args.to.scheme(), Scheme::Udp | Scheme::Ws | Scheme::Wss) {
        let message =
            format!("--proxy-protocol sends to streams only, not to {}:", args.to.scheme());
        return refuse(&message, "leave it out");
    }
    Ok(())
}

async fn relay(args: &RelayArgs, capture: Option<Capture>) -> Result<Relay, Error> {
    let has = |way| args.proxy_protocol.contains(&way);
    let header = match (has(ProxyProtocol::Send), has(ProxyProtocol::SendV2)) {
        (true, true) => {
            let message = "--proxy-protocol can send version 1 or version 2, not both";
            return Err(Error::new(Kind::Usage, message));
        }
        (true, false) => Some(HeaderVersion::V1),
        (false, true) => Some(HeaderVersion::V2),
        (false, false) => None,
    };
    let carry = Carry { join: Join { rate: args.rate, ..Join::default() }, ..Carry::default() };
    let dialer = args.dial.dialer_for(&args.to).await?.with_capture(capture);
    let relay = Relay::new(args.to.clone(), dialer)?
        .with_websocket(args.websocket.common.config())
        .with_carry(carry)
        .with_retry(args.dial.retry());
    Ok(match header {
        Some(version) => relay.with_header(version),
        None => relay,
    })
}
