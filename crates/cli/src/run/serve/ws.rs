//! `serve ws`: each WebSocket is answered alike.

use std::collections::BTreeSet;
use std::time::Duration;

use portolan::net::Context;
use portolan::net::pcap::Capture;
use portolan::ws::{self, WebSocket};
use portolan::{Error, Kind, Scheme, Timeouts, Url};
use tokio_util::sync::CancellationToken;

use crate::args::applies::Given;
use crate::args::listen::Model;
use crate::args::serve::place::WEBSOCKET;
use crate::args::serve::ws::ServeWsArgs;
use crate::console::Console;
use crate::exit::Exit;
use crate::run::capture::captured;
use crate::run::connections::Connections;
use crate::run::entrance::{Entrance, Protocol};
use crate::run::signals::Signals;
use crate::run::websocket::Answerer;
use crate::run::{descriptors, models};

/// Serves until a signal, at which the clients are told that the server goes away; a second one
/// does not wait for them.
///
/// # Errors
/// What kept it from starting.
pub(super) async fn run(
    args: &ServeWsArgs,
    given: &Given,
    console: &Console,
) -> Result<Exit, Error> {
    let url = url(args);
    given.check(&BTreeSet::from([url.scheme()]))?;
    given.check_serving(url.scheme(), &WEBSOCKET.schemes())?;
    args.serving.fault.validate(given)?;
    if args.serving.once && args.workers.is_some_and(|count| count > 1) {
        return Err(Error::new(Kind::Usage, "--once needs one worker"));
    }
    captured(&args.pcap, console, async |capture, console| {
        serve(args, &url, capture, console).await
    })
    .await
}

async fn serve(
    args: &ServeWsArgs,
    url: &Url,
    capture: Option<Capture>,
    console: &Console,
) -> Result<Exit, Error> {
    let answerer = if args.broadcast { Answerer::broadcast() } else { Answerer::Echo };
    let config = answerer.config(args.websocket.config(url));
    let answer = move |socket: WebSocket, _: ws::Info, _: Context| answerer.clone().answer(socket);
    let server = ws::Server::new(answer).with_config(config);
    let mut signals = Signals::catch()?;
    descriptors::raise();
    let limit = |limit: Duration| Some(limit).filter(|limit| !limit.is_zero());
    let entrance = Entrance {
        args: &args.serving,
        url,
        timeouts: Timeouts {
            connect: limit(args.connect_timeout),
            operation: None,
            idle: limit(args.idle_timeout),
        },
        protocol: Some(Protocol { alpn: &["http/1.1"] }),
        is_behind_proxy: false,
        cert: args.cert.files(),
        capture,
        console,
        connections: Connections::of_server(None, console),
    };
    let end = CancellationToken::new();
    let serving = async {
        let listener = entrance.listen().await?;
        let url = listener.local_url();
        let workers = listener.share(workers(args))?;
        entrance.announce(&url, false)?;
        models::serve(workers, model(args), server, end.cancelled()).await
    };
    tokio::select! {
        served = serving => served?,
        () = signals.second(&end, console) => {}
    }
    Ok(entrance.exit())
}

/// Where to listen.
fn url(args: &ServeWsArgs) -> Url {
    args.listen.url(args.serving.asks_for_tls(&args.cert))
}

/// An event loop on each core, which is all that a connection sees. A Unix socket has one listener,
/// of which all cores share the work.
pub(super) fn model(args: &ServeWsArgs) -> Model {
    match url(args).scheme() {
        Scheme::Unix => Model::Async,
        _ => Model::EventLoop,
    }
}

fn workers(args: &ServeWsArgs) -> usize {
    match args.workers {
        _ if args.serving.once || model(args) == Model::Async => 1,
        Some(count) => count,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    }
}
