//! `listen`: accepts, and does one thing with each peer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::Either;
use portolan::blocking::{self, Threads};
use portolan::net::pcap::Capture;
use portolan::net::{
    Connection, Context, Handler, Join, Listener, Session, Stream, Until, echo, serve_datagrams,
};
use portolan::relay::{Broadcast, Carry, End, Exec, Framing, Messages, Running, Talk};
use portolan::ws::{self, WebSocket};
use portolan::{Endpoint, Error, Kind, Scheme, Timeouts};
use tokio_util::sync::CancellationToken;

use super::capture::captured;
use super::connections::Connections;
use super::entrance::Entrance;
use super::exec::tell_status;
use super::signals::Signals;
use super::stdio::Stdio;
use super::websocket::{Answerer, Frames};
use super::{descriptors, models};
use crate::args::applies::{Given, misfit};
use crate::args::listen::{ListenArgs, Model};
use crate::console::Console;
use crate::exit::Exit;

/// Serves until a signal, or with `--once` until the first peer has gone.
///
/// # Errors
/// What kept it from starting, or what went wrong with stdin or stdout.
pub async fn run(args: &ListenArgs, given: &Given, console: &Console) -> Result<Exit, Error> {
    let scheme = args.url.scheme();
    End::check(scheme)?;
    given.check(&BTreeSet::from([scheme]))?;
    given.check_websocket(&BTreeSet::from([scheme]))?;
    given.check_serving(scheme, &End::SCHEMES)?;
    check(args, given)?;
    let service = Service::new(args, console)?;
    captured(&args.pcap, console, async |capture, console| {
        serve(args, &service, &entrance(args, capture, console)).await
    })
    .await
}

async fn serve(
    args: &ListenArgs,
    service: &Service,
    entrance: &Entrance<'_>,
) -> Result<Exit, Error> {
    let mut signals = Signals::catch()?;
    descriptors::raise();
    let end = CancellationToken::new();
    let shutdown = async {
        tokio::select! {
            () = end.cancelled() => {}
            () = service.failing() => {}
        }
    };
    let serving = async {
        if entrance.is_for_datagrams() {
            let (sessions, url) = entrance.sessions().await?;
            entrance.announce(&url, service.has_stdout())?;
            serve_datagrams(sessions, service.clone(), shutdown).await;
        } else {
            let listener = listener(entrance, service).await?;
            let url = listener.local_url();
            let workers = listener.share(args.workers)?;
            entrance.announce(&url, service.has_stdout())?;
            match args.model {
                _ if is_websocket(args) => {
                    let server = websockets(service.clone(), args);
                    models::serve(workers, args.model, server, shutdown).await?;
                }
                Model::Threads => {
                    let handler = Threads::new(blocking_echo);
                    models::serve(workers, args.model, handler, shutdown).await?;
                }
                Model::Async | Model::EventLoop => {
                    models::serve(workers, args.model, service.clone(), shutdown).await?;
                }
            }
        }
        Ok(())
    };
    tokio::select! {
        served = serving => served?,
        () = signals.second(&end, entrance.console) => {}
    }
    service.failure().map_or_else(|| Ok(entrance.exit()), Err)
}

async fn listener(entrance: &Entrance<'_>, service: &Service) -> Result<Listener, Error> {
    let mut listener = entrance.listen().await?;
    if let Service::Stdio(desk) = service
        && desk.shows_frames
    {
        listener = listener.with_observer(Frames::new(entrance.console, &desk.stdio));
    }
    Ok(match (service, entrance.args.max_conns) {
        (Service::Stdio(_), None) => listener.with_limit(1),
        (Service::Stdio(_), Some(_)) => listener.with_max_connections(1),
        _ => listener,
    })
}

fn is_websocket(args: &ListenArgs) -> bool {
    matches!(args.url.scheme(), Scheme::Ws | Scheme::Wss)
}

/// Serves each WebSocket that is opened.
fn websockets(service: Service, args: &ListenArgs) -> impl Handler {
    let config = args.websocket.config(&args.url);
    let config = match &service {
        Service::Broadcast { room, .. } => room.config(config),
        _ => config,
    };
    let attend = move |socket: WebSocket, info: ws::Info, cx: Context| match &service {
        Service::Echo => Either::Left(Answerer::Echo.answer(socket)),
        Service::Broadcast { room, .. } => Either::Left(room.clone().answer(socket)),
        Service::Exec(..) | Service::Stdio(_) => {
            let service = service.clone();
            // Boxed, so that thousands of idle echoes do not hold the room for it.
            Either::Right(Box::pin(async move {
                let portolan::net::Info { peer, local, .. } = info.connection;
                let local = local.map(Endpoint::from);
                let end = End::websocket(socket, peer.clone());
                service.attend(end, &peer, local.as_ref(), &cx).await
            }))
        }
    };
    ws::Server::new(attend).with_config(config)
}

/// Looks at flags that only make sense together.
fn check(args: &ListenArgs, given: &Given) -> Result<(), Error> {
    let refuse = |message: String| Err(Error::new(Kind::Usage, message));
    args.serving.fault.validate(given)?;
    let is_stdio = !(args.echo || args.broadcast || args.exec.is_some());
    let stdio = ["hex", "crlf", "send-only", "recv-only", "no-shutdown", "datagram-size"];
    if let Some(flag) = stdio.iter().find(|flag| !is_stdio && given.contains(flag)) {
        return refuse(format!(
            "--{flag} is for stdin and stdout, which --echo, --exec and --broadcast leave alone"
        ));
    }
    let framing = ["binary", "base64", "length-prefix"];
    if let Some(flag) = framing.iter().find(|flag| given.contains(flag))
        && (args.echo || args.broadcast)
    {
        return refuse(format!("--{flag} is for stdin and stdout, or a command's"));
    }
    if is_stdio {
        args.pcap.leave_stdout("the peer")?;
    }
    if given.contains("connect-timeout") && args.url.scheme() == Scheme::Udp {
        let streams = ["tcp", "tls", "unix", "ws", "wss"];
        return Err(misfit("connect-timeout", &BTreeSet::from([Scheme::Udp]), &streams));
    }
    let is_threads = args.model == Model::Threads;
    if is_threads && (!args.echo || args.url.scheme() == Scheme::Udp || is_websocket(args)) {
        return refuse("--model threads serves --echo over streams only".to_owned());
    }
    if is_threads && !args.serving.fault.fault.is_empty() {
        return refuse("--fault needs --model async or event-loop".to_owned());
    }
    if args.serving.once && args.workers > 1 {
        return refuse("--once needs one worker".to_owned());
    }
    if is_stdio && (args.workers > 1 || args.serving.max_conns.is_some_and(|count| count > 1)) {
        return refuse("stdin and stdout serve one peer at a time".to_owned());
    }
    Ok(())
}

fn entrance<'a>(
    args: &'a ListenArgs,
    capture: Option<Capture>,
    console: &'a Console,
) -> Entrance<'a> {
    let limit = |limit: Duration| Some(limit).filter(|limit| !limit.is_zero());
    Entrance {
        args: &args.serving,
        url: &args.url,
        timeouts: Timeouts {
            connect: limit(args.connect_timeout),
            operation: None,
            idle: args.idle_timeout.and_then(limit),
        },
        protocol: None,
        is_behind_proxy: args.proxy_protocol.is_some(),
        cert: args.cert.files(),
        capture,
        console,
        connections: Connections::of_server(None, console),
    }
}

fn blocking_echo(connection: blocking::Connection, _cx: Context) -> std::io::Result<()> {
    blocking::echo(connection.stream).map(drop)
}

/// What is done with a peer. Cheap to clone; a clone is the same.
#[derive(Clone)]
enum Service {
    Echo,
    Exec(Exec, Framing, Console),
    Broadcast {
        crowd: Broadcast,
        /// The same for WebSockets.
        room: Answerer,
    },
    Stdio(Arc<Desk>),
}

impl Service {
    fn new(args: &ListenArgs, console: &Console) -> Result<Self, Error> {
        if args.echo {
            return Ok(Self::Echo);
        }
        if let Some(exec) = &args.exec {
            exec.check()?;
            // A line of a command is a message, as with websocketd; datagrams are of any bytes.
            let framing = match is_websocket(args) {
                true => args.stdio.framing(),
                false => Framing::Chunks,
            };
            return Ok(Self::Exec(exec.clone(), framing, *console));
        }
        if args.broadcast {
            return Ok(Self::Broadcast { crowd: Broadcast::new(), room: Answerer::broadcast() });
        }
        let mut stdio = Stdio::new(&args.stdio, console);
        let shows_frames = is_websocket(args) && Frames::are_shown(&args.stdio, console);
        if shows_frames {
            stdio = stdio.without_output();
        }
        Ok(Self::Stdio(Arc::new(Desk {
            talk: Talk::new(Stream::boxed(stdio.clone()), args.stdio.framing()),
            stdio,
            shows_frames,
            until: if args.stdio.send_only { Until::Near } else { Until::Far },
            framing: args.stdio.framing(),
        })))
    }

    async fn attend(
        &self,
        peer: End,
        name: &Endpoint,
        local: Option<&Endpoint>,
        cx: &Context,
    ) -> Result<(), Error> {
        match self {
            Self::Echo => match peer {
                End::Stream(stream) => echo(stream, cx).await.map(drop),
                End::Messages(messages) => messages.echo(cx).await,
                _ => Ok(()),
            },
            Self::Exec(exec, framing, console) => {
                let Running { stream, process } = exec.start(name, local)?;
                let carry = carry(Until::Far, *framing);
                let carried = carry.join(peer, End::Stream(stream), cx).await;
                tell_status(exec, process.end(cx).await, console);
                carried.map(drop)
            }
            Self::Broadcast { crowd, .. } => crowd.take(peer, cx).await,
            Self::Stdio(desk) => desk.attend(peer, cx).await,
        }
    }

    /// Whether stdout is for what peers say.
    const fn has_stdout(&self) -> bool {
        matches!(self, Self::Stdio(_))
    }

    /// Waits until stdin or stdout fails.
    async fn failing(&self) {
        match self {
            Self::Stdio(desk) => desk.stdio.failing().await,
            _ => std::future::pending().await,
        }
    }

    fn failure(&self) -> Option<Error> {
        match self {
            Self::Stdio(desk) => desk.stdio.failure(),
            _ => None,
        }
    }
}

impl Handler for Service {
    fn handle(
        &self,
        connection: Connection,
        cx: Context,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        let Connection { stream, info, .. } = connection;
        match self {
            Self::Echo => Either::Left(async move { echo(stream, &cx).await.map(drop) }),
            // Boxed, so that thousands of idle echoes do not hold the room for it.
            _ => Either::Right(Box::pin(async move {
                let local = info.local.map(Endpoint::from);
                self.attend(End::Stream(stream), &info.peer, local.as_ref(), &cx).await
            })),
        }
    }
}

impl Handler<Session> for Service {
    async fn handle(&self, session: Session, cx: Context) -> Result<(), Error> {
        if let Self::Stdio(desk) = self {
            return desk.talk.handle(session, cx).await;
        }
        let peer = session.peer().clone();
        self.attend(End::Messages(Messages::Session(session)), &peer, None, &cx).await
    }
}

/// Stdin and stdout, and who speaks with them: over streams one peer at a time, by datagrams all.
struct Desk {
    stdio: Stdio,
    /// Whether a log of what passes on WebSockets takes the place of the data.
    shows_frames: bool,
    talk: Talk,
    until: Until,
    framing: Framing,
}

impl Desk {
    async fn attend(&self, peer: End, cx: &Context) -> Result<(), Error> {
        let near = End::Stream(Stream::boxed(self.stdio.clone()));
        carry(self.until, self.framing).join(near, peer, cx).await.map(drop)
    }
}

fn carry(until: Until, framing: Framing) -> Carry {
    Carry { join: Join { until, ..Join::default() }, framing }
}
