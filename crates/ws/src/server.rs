//! The server: from a request to an open connection, alone or within an HTTP server.

use std::sync::Arc;

use http::{Request, Response, StatusCode};
use portolan_core::{Direction, Error, Kind};
use portolan_net::fault::{Faults, Reply};
use portolan_net::{Connection, Context, Handler, Listener, Stream, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::UPGRADE;
use crate::lines::{tell_request, tell_response};
use crate::wire::Role;
use crate::wire::handshake::{self, Agreed, Refusal};
use crate::wire::head::{self, HeadError, Scan};
use crate::{Config, Info, WebSocket, WsError};

/// How much is read from a client that is refused, so that it can read why.
const DISCARDED_MAX: usize = 64 * 1024;

/// Opens a WebSocket with everybody who asks, and hands it to a handler.
///
/// The path is the handler's to look at, as [`Info::target`]. For WebSockets beside other routes see
/// [`Upgrade`].
///
/// ```
/// use portolan_core::{Error, Timeouts};
/// use portolan_net::{Context, Dialer, Listener};
/// use portolan_ws::{Client, Config, Info, Server, WebSocket};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = Listener::bind(&"ws://127.0.0.1:0".parse()?).await?;
/// let url = listener.local_url();
/// let echo = |mut socket: WebSocket, _: Info, _: Context| async move {
///     while let Some(message) = socket.receive().await? {
///         socket.feed(message).await?;
///     }
///     Ok::<(), Error>(())
/// };
/// let server = tokio::spawn(Server::new(echo).serve(listener, std::future::pending()));
///
/// let cx = Context::new(Timeouts::default());
/// let (mut socket, _) = Client::connect(&Dialer::new(), &url, &Config::default(), &cx).await?;
/// socket.send("ahoy").await?;
/// assert_eq!(socket.receive().await?, Some("ahoy".into()));
/// # server.abort();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Server<H> {
    handler: H,
    config: Arc<Config>,
}

impl<H, F> Server<H>
where
    H: Fn(WebSocket, Info, Context) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), Error>> + Send,
{
    /// A server of which `handler` runs each connection.
    #[must_use]
    pub fn new(handler: H) -> Self {
        Self { handler, config: Arc::default() }
    }

    /// Opens and carries connections like this.
    #[must_use]
    pub fn with_config(mut self, config: Config) -> Self {
        self.config = Arc::new(config);
        self
    }

    /// Serves until `shutdown` is ready; then connections are closed with code 1001, and have the
    /// listener's drain limit to end.
    pub async fn serve(self, listener: Listener, shutdown: impl Future<Output = ()>) {
        serve(listener, self, shutdown).await;
    }
}

impl<H, F> Handler for Server<H>
where
    H: Fn(WebSocket, Info, Context) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), Error>> + Send,
{
    async fn handle(&self, connection: Connection, cx: Context) -> Result<(), Error> {
        // Boxed, so that all that is held later is the handler's own future.
        let (socket, info) = Box::pin(accept(connection, &self.config, &cx)).await?;
        (self.handler)(socket, info, cx).await
    }
}

/// Opens the WebSocket that `connection` asks for.
///
/// # Errors
/// In the phase [`UPGRADE`]: [`Kind::Protocol`] with a [`Refusal`] where it asks for something else,
/// which it was told; [`Kind::Lost`], [`Kind::Timeout`].
pub async fn accept(
    connection: Connection,
    config: &Config,
    cx: &Context,
) -> Result<(WebSocket, Info), Error> {
    let Connection { mut stream, info, faults, .. } = connection;
    let limited = cx.limited(Some(config.handshake));
    let opened = limited.within(UPGRADE, async {
        let (request, rest) = read_request(&mut stream).await?;
        let answer = match request {
            Ok(request) => {
                tell_request(Direction::Received, &request, &limited);
                answer(request, config, &faults).await
            }
            Err(error) => Err(error.into()),
        };
        let (request, response, agreed) = match answer {
            Ok(answer) => answer,
            Err(refusal) => return Err(refuse(&mut stream, refusal, &limited).await),
        };
        let head = head::write_response(&response);
        stream.write_all(&head).await.map_err(lost)?;
        stream.flush().await.map_err(lost)?;
        tell_response(Direction::Sent, &response, &limited);
        Ok((request, rest, agreed))
    });
    let (request, rest, agreed) = opened.await?;
    let socket = WebSocket::new(Role::Server, stream, &rest, config, &agreed, cx);
    let (head, ()) = request.into_parts();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    Ok((socket, Info { target, headers: head.headers, agreed, connection: info }))
}

/// Reads the head of the request, unless it is none; gives what came behind it, too.
async fn read_request(
    stream: &mut Stream,
) -> Result<(Result<Request<()>, HeadError>, Vec<u8>), Error> {
    let mut bytes = Vec::with_capacity(1024);
    let mut scan = Scan::new(Role::Server);
    loop {
        let ended = scan.end(&bytes);
        match ended.and_then(|end| end.map_or(Ok(None), |_| head::parse_request(&bytes))) {
            Ok(Some((request, length))) => return Ok((Ok(request), bytes.split_off(length))),
            Ok(None) => {}
            Err(error) => return Ok((Err(error), Vec::new())),
        }
        if stream.read_buf(&mut bytes).await.map_err(lost)? == 0 {
            return Err(Error::new(Kind::Lost, "the client left before it asked for anything"));
        }
    }
}

/// What is answered to the request: by a planned fault, such as `GET /chat`, or by the rules.
async fn answer(
    request: Request<()>,
    config: &Config,
    faults: &Faults,
) -> Result<(Request<()>, Response<()>, Agreed), Refusal> {
    if faults.has_events() {
        let event = format!("{} {}", request.method(), request.uri().path());
        if let Some(Reply { code, text }) = faults.event(&event).await {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return Err(Refusal::Other { status, reason: text.unwrap_or_default() });
        }
    }
    let (response, agreed) = handshake::answer(&request, config)?;
    Ok((request, response, agreed))
}

/// Tells the client why not; gives the error that says so.
async fn refuse(stream: &mut Stream, refusal: Refusal, cx: &Context) -> Error {
    let response = refusal.response();
    tell_response(Direction::Sent, &response, cx);
    let mut bytes = head::write_response(&response);
    bytes.extend_from_slice(response.body().as_bytes());
    let farewell = async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await?;
        // A socket that is closed with something unread is reset, and the client may not see why.
        let mut rest = stream.take(DISCARDED_MAX as u64);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    let _ = farewell.await;
    Error::new(Kind::Protocol, "could not open a WebSocket for the client")
        .with_source(WsError::from(refusal))
}

fn lost(cause: std::io::Error) -> Error {
    Error::new(Kind::Lost, "lost the client before the WebSocket was open").with_source(cause)
}

/// A request within an HTTP server that is about to become a WebSocket.
///
/// ```
/// use portolan_ws::{Config, Upgrade};
///
/// let request = http::Request::get("/chat")
///     .header("Host", "example.org")
///     .header("Upgrade", "websocket")
///     .header("Connection", "Upgrade")
///     .header("Sec-WebSocket-Version", "13")
///     .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
///     .body(())?;
/// let (response, upgrade) = Upgrade::new(&request, &Config::default())?;
/// assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// // Once the response is sent and the stream is there: `upgrade.on(stream, &cx)`.
/// # drop(upgrade);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Upgrade {
    config: Config,
    agreed: Agreed,
}

impl Upgrade {
    /// What `request` asks for, and the response that grants it, without a body.
    ///
    /// # Errors
    /// [`Refusal`], which knows the [`response`](Refusal::response) that says no.
    pub fn new<T>(request: &Request<T>, config: &Config) -> Result<(Response<()>, Self), Refusal> {
        let (response, agreed) = handshake::answer(request, config)?;
        Ok((response, Self { config: config.clone(), agreed }))
    }

    /// What was agreed on.
    #[must_use]
    pub const fn agreed(&self) -> &Agreed {
        &self.agreed
    }

    /// The WebSocket on `stream`, once the response is sent.
    #[must_use]
    pub fn on(&self, stream: Stream, cx: &Context) -> WebSocket {
        WebSocket::new(Role::Server, stream, &[], &self.config, &self.agreed, cx)
    }
}
