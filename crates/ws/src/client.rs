//! The client: from a URL to an open connection.

mod reconnecting;

use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode};
use portolan_core::{Direction, Error, Kind, Phase, Scheme, Url, redact};
use portolan_net::{Connection, Context, Dialer, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub use self::reconnecting::Reconnecting;
use crate::error::{Refused, WsError};
use crate::lines::{tell_request, tell_response};
use crate::wire::Role;
use crate::wire::handshake::{self, Agreed};
use crate::wire::head::{self, HeadError, Scan};
use crate::{Config, Info, WebSocket};

/// From the request to the response that switches protocols.
pub const UPGRADE: Phase = Phase::new("upgrade");

/// How much is kept of what a server says when it refuses.
const BODY_MAX: usize = 1024;
/// How long that may take to come.
const BODY_TIME: Duration = Duration::from_secs(1);

/// The end that dials.
#[derive(Clone, Copy, Debug)]
pub struct Client;

impl Client {
    /// Opens a WebSocket at `url`, which is a `ws:` or `wss:` one. A user name in it is sent as
    /// `Basic` login (RFC 7617).
    ///
    /// # Errors
    /// Those of [`Dialer::dial_url`]. In the phase [`UPGRADE`]: [`Kind::Login`],
    /// [`Kind::NotFound`] or [`Kind::Denied`] with [`Refused`] where the server refuses,
    /// [`Kind::Protocol`] where it answers otherwise (with [`Refused`] where that is another
    /// response), [`Kind::Timeout`], [`Kind::Lost`]. [`Kind::Usage`] for what cannot be asked for.
    pub async fn connect(
        dialer: &Dialer,
        url: &Url,
        config: &Config,
        cx: &Context,
    ) -> Result<(WebSocket, Info), Error> {
        if !matches!(url.scheme(), Scheme::Ws | Scheme::Wss) {
            let message = format!("could not open {url}, which is not a WebSocket");
            return Err(Error::new(Kind::Usage, message).with_hint("use ws: or wss:"));
        }
        let dialer = dialer.clone().with_default_alpn(&["http/1.1"]);
        let connection = Box::pin(dialer.dial_url(url, cx)).await?;
        Self::upgrade(connection, url, config, cx).await
    }

    /// The same on a connection that there is already.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    pub async fn upgrade(
        connection: Connection,
        url: &Url,
        config: &Config,
        cx: &Context,
    ) -> Result<(WebSocket, Info), Error> {
        let Connection { mut stream, info, .. } = connection;
        let key = handshake::new_key();
        let request = request(url, &key, config)?;
        let limited = cx.limited(Some(config.handshake));
        let upgrade = limited.within(UPGRADE, async {
            let opened = open(&mut stream, &request, &key, config, &limited).await;
            opened.map_err(|cause| cause.explain(url))
        });
        let (response, rest, agreed) = Box::pin(upgrade).await?;
        let socket = WebSocket::new(Role::Client, stream, &rest, config, &agreed, cx);
        let target = url.path_and_query().to_owned();
        let (head, ()) = response.into_parts();
        Ok((socket, Info { target, headers: head.headers, agreed, connection: info }))
    }
}

/// Why an upgrade failed.
enum Cause {
    Io(io::Error),
    Ws(WsError),
}

impl<E: Into<WsError>> From<E> for Cause {
    fn from(error: E) -> Self {
        Self::Ws(error.into())
    }
}

impl Cause {
    fn explain(self, url: &Url) -> Error {
        let message = format!("could not open {url}");
        let (kind, hint) = match &self {
            Self::Io(_) => (Kind::Lost, None),
            Self::Ws(WsError::Refused(refused)) => (refused.kind(), refused.hint()),
            Self::Ws(WsError::Head(HeadError::Malformed | HeadError::Version)) => {
                (Kind::Protocol, Some("another service uses this port: check the port".to_owned()))
            }
            Self::Ws(WsError::NoAnswer) => (Kind::Lost, None),
            Self::Ws(_) => (Kind::Protocol, None),
        };
        let error = Error::new(kind, message).with_endpoint(&url.endpoint());
        let error = match self {
            Self::Io(cause) => error.with_source(io::Error::new(cause.kind(), cause.to_string())),
            Self::Ws(cause) => error.with_source(cause),
        };
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

/// The request, with the login that the URL holds.
fn request(url: &Url, key: &str, config: &Config) -> Result<Request<()>, Error> {
    let unfit = |what: String| Error::new(Kind::Usage, format!("could not ask for {url}: {what}"));
    let target = url.path_and_query().parse::<http::Uri>();
    let target =
        target.map_err(|cause| unfit("the path is not one".to_owned()).with_source(cause))?;
    let host = HeaderValue::try_from(url.authority());
    let host = host.map_err(|cause| unfit("the host is not one".to_owned()).with_source(cause))?;
    let request = handshake::request(target, host, key, config);
    let mut request =
        request.map_err(|name| unfit(format!("the header field {name} is the handshake's own")))?;
    let headers = request.headers_mut();
    if let Some(user) = url.user()
        && !headers.contains_key(header::AUTHORIZATION)
    {
        let login = format!("{user}:{}", url.password().unwrap_or_default());
        let login = format!("Basic {}", BASE64_STANDARD.encode(login));
        headers.extend(HeaderValue::try_from(login).map(|mut login| {
            login.set_sensitive(true);
            (header::AUTHORIZATION, login)
        }));
    }
    Ok(request)
}

/// Sends the request, and reads the response; gives what came behind its head, too.
async fn open(
    stream: &mut Stream,
    request: &Request<()>,
    key: &str,
    config: &Config,
    cx: &Context,
) -> Result<(Response<()>, Vec<u8>, Agreed), Cause> {
    let head = head::write_request(request);
    stream.write_all(&head).await.map_err(Cause::Io)?;
    stream.flush().await.map_err(Cause::Io)?;
    tell_request(Direction::Sent, request, cx);
    let (response, rest) = read_head(stream, cx).await?;
    cx.fact(UPGRADE, "status", u64::from(response.status().as_u16()));
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let body = match is_page(&response) {
            true => String::new(),
            false => read_body(stream, &response, rest, cx).await,
        };
        let location = response.headers().get(header::LOCATION);
        let location = location.and_then(|value| value.to_str().ok()).map(redact);
        return Err(Refused { status: response.status(), location, body }.into());
    }
    let agreed = handshake::check(&response, key, config)?;
    if let Some(name) = &agreed.subprotocol {
        cx.fact(UPGRADE, "subprotocol", name.as_str());
    }
    if let Some(extension) = response.headers().get(header::SEC_WEBSOCKET_EXTENSIONS) {
        cx.fact(UPGRADE, "extensions", extension.to_str().unwrap_or_default());
    }
    Ok((response, rest, agreed))
}

/// Reads the head of the final response; gives what came behind it, too.
async fn read_head(stream: &mut Stream, cx: &Context) -> Result<(Response<()>, Vec<u8>), Cause> {
    let mut bytes = Vec::with_capacity(1024);
    let mut scan = Scan::new(Role::Client);
    loop {
        if scan.end(&bytes)?.is_none() {
            if stream.read_buf(&mut bytes).await.map_err(Cause::Io)? == 0 {
                return Err(WsError::NoAnswer.into());
            }
            continue;
        }
        let Some((response, length)) = head::parse_response(&bytes)? else { continue };
        tell_response(Direction::Received, &response, cx);
        let status = response.status();
        let rest = bytes.split_off(length);
        // Interim responses (RFC 9110 section 15.2) say nothing about the upgrade.
        if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok((response, rest));
        }
        (bytes, scan) = (rest, Scan::new(Role::Client));
    }
}

/// Whether the body is a page of HTML, of which the markup says nothing to people.
fn is_page(response: &Response<()>) -> bool {
    let media_type = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let essence = media_type.and_then(|media_type| media_type.split(|byte| *byte == b';').next());
    essence.is_some_and(|essence| essence.trim_ascii().eq_ignore_ascii_case(b"text/html"))
}

/// The beginning of a body, as far as it comes at once and is text.
async fn read_body(
    stream: &mut Stream,
    response: &Response<()>,
    mut bytes: Vec<u8>,
    cx: &Context,
) -> String {
    let length = response.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let length = length.unwrap_or(BODY_MAX).min(BODY_MAX);
    let is_chunked = response.headers().contains_key(header::TRANSFER_ENCODING);
    let reading = async {
        while bytes.len() < length && !(is_chunked && bytes.ends_with(b"0\r\n\r\n")) {
            if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
                break;
            }
        }
    };
    cx.limited(Some(BODY_TIME)).until_deadline(reading).await;
    let body = if is_chunked { first_chunk(&bytes) } else { &bytes };
    let body = &body[..body.len().min(length)];
    body.utf8_chunks().map(|chunk| chunk.valid()).collect()
}

/// What there is of the first chunk of a body (RFC 9112 section 7.1).
fn first_chunk(bytes: &[u8]) -> &[u8] {
    match httparse::parse_chunk_size(bytes) {
        Ok(httparse::Status::Complete((start, size))) => {
            let end = usize::try_from(size).map_or(usize::MAX, |size| start.saturating_add(size));
            &bytes[start..end.min(bytes.len())]
        }
        _ => &[],
    }
}
