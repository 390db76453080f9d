//! The answer to a request of a session: its head, and a body that is read when it is wanted.

mod splice;
mod streams;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::header::HeaderMap;
use http::{StatusCode, Version};
use hyper::body::{Body as _, Incoming};
use portolan_core::{Error, Event, Kind, Timings, Url};
use portolan_net::{Context, Recorder, now};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::answer::{Answer, Sent};
use crate::charset;
use crate::client::RECEIVE;
use crate::decode::{Coding, Decoder};
use crate::error::{cut_short, explain_body, late_body};
use crate::session::Lease;

pub use self::streams::{Events, Lines};

/// An answer, after redirects and decoded.
pub struct Response {
    head: http::response::Parts,
    sent: Sent,
    url: Url,
    history: Vec<Hop>,
    recorder: Arc<Recorder>,
    cx: Context,
    limit: u64,
    body: Payload,
    receiving: Receiving,
}

/// A redirect that was followed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Hop {
    /// The status with which it came.
    pub status: StatusCode,
    /// The URL that was asked for.
    pub url: Url,
    /// The fields that came with it.
    pub headers: HeaderMap,
    /// The request that was so answered.
    pub sent: Sent,
    /// How long its phases took.
    pub timings: Timings,
}

/// How far the body is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Receiving {
    NotYet,
    Begun,
    Over,
}

enum Payload {
    Plain(Wire),
    Decoded(Decoder),
}

impl Response {
    pub(crate) fn new(
        answer: Answer,
        lease: Lease,
        decodes: bool,
        (url, history): (Url, Vec<Hop>),
        (recorder, cx, limit): (Arc<Recorder>, Context, u64),
    ) -> Self {
        let Answer { head, body, sent } = answer;
        let codings = if decodes { Coding::of(&head.headers) } else { Vec::new() };
        let wire = Wire::new(body, lease);
        let body = match codings.is_empty() {
            true => Payload::Plain(wire),
            false => {
                let received = wire.received.clone();
                let wire = stream::unfold(wire, |mut wire| async {
                    let piece = wire.next().await?;
                    Some((piece.map_err(std::io::Error::other), wire))
                });
                Payload::Decoded(Decoder::new(wire, codings, received))
            }
        };
        let receiving = Receiving::NotYet;
        Self { head, sent, url, history, recorder, cx, limit, body, receiving }
    }

    /// The status code (RFC 9110 section 15).
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.head.status
    }

    /// The reason phrase as it came; empty over HTTP/2, which has none.
    #[must_use]
    pub fn reason(&self) -> String {
        match self.head.extensions.get::<hyper::ext::ReasonPhrase>() {
            Some(reason) => String::from_utf8_lossy(reason.as_bytes()).into_owned(),
            None if self.head.version == Version::HTTP_2 => String::new(),
            None => self.head.status.canonical_reason().unwrap_or_default().to_owned(),
        }
    }

    /// The version that the peer spoke.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.head.version
    }

    /// The header fields, as they came.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The URL that this is the answer of: the last one, after redirects.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// The redirects that were followed, the first one first.
    #[must_use]
    pub fn history(&self) -> &[Hop] {
        &self.history
    }

    /// The head of the request as it was sent.
    #[must_use]
    pub const fn sent(&self) -> &Sent {
        &self.sent
    }

    /// How long each phase took so far. There is no `resolve`, `connect`, `proxy` or `tls` where a
    /// connection was there already.
    #[must_use]
    pub fn timings(&self) -> Timings {
        self.recorder.timings()
    }

    /// How many bytes the body says that it has on its way, which is before it is decoded.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.head.headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// Itself, unless the status is 400 or above.
    ///
    /// # Errors
    /// [`Kind::Status`].
    pub fn error_for_status(self) -> Result<Self, Error> {
        if !self.status().is_client_error() && !self.status().is_server_error() {
            return Ok(self);
        }
        let message = format!("{} answered with status {}", self.url, self.status());
        Err(Error::new(Kind::Status, message).with_endpoint(&self.url.endpoint()))
    }

    /// The next piece of the body as it comes; `None` at its end. All of them together are the
    /// phase `receive`.
    ///
    /// # Errors
    /// [`Kind::Timeout`]; [`Kind::Partial`] where it ends before its stated end; [`Kind::Lost`]
    /// where the connection is reset; [`Kind::Protocol`] where it breaks the rules of its framing
    /// or of its coding, or inflates to more than a hundred times what came.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        if self.receiving == Receiving::Over {
            return Ok(None);
        }
        self.begin();
        match self.read().await {
            Ok(Some(piece)) => Ok(Some(piece)),
            Ok(None) => self.end(Ok(())).map(|()| None),
            Err(error) => self.end(Err(error)).map(|()| None),
        }
    }

    /// Tells that the body begins to be received, if it has not begun before.
    fn begin(&mut self) {
        if self.receiving == Receiving::NotYet {
            self.receiving = Receiving::Begun;
            self.cx.observe(&Event::Started(RECEIVE));
        }
    }

    /// Tells that the body is over, and how.
    fn end(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        let result =
            result.map_err(|error| error.with_phase(RECEIVE).with_endpoint(&self.url.endpoint()));
        self.receiving = Receiving::Over;
        self.cx.fact(RECEIVE, "bytes", self.received());
        let failure = result.as_ref().err().map(|error| format!("{error:#}"));
        self.cx.observe(&Event::Finished(RECEIVE, failure));
        result
    }

    async fn read(&mut self) -> Result<Option<Bytes>, Error> {
        let started = now();
        let next = async {
            match &mut self.body {
                Payload::Plain(wire) => wire.next().await.transpose(),
                Payload::Decoded(decoder) => decoder.next().await,
            }
        };
        let read = match self.cx.timeouts().idle {
            None => self.cx.until_deadline(next).await,
            idle => self.cx.limited(idle).until_deadline(next).await,
        };
        match read {
            Some(read) => read,
            None => Err(late_body(started, self.received(), self.content_length())),
        }
    }

    /// How many bytes came over the wire so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        match &self.body {
            Payload::Plain(wire) => wire.received.load(Ordering::Relaxed),
            Payload::Decoded(decoder) => decoder.received(),
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// As for [`chunk`](Self::chunk); [`Kind::Protocol`] where it is longer than the session's
    /// limit.
    pub async fn bytes(mut self) -> Result<Bytes, Error> {
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        let mut all = None;
        let mut len = first.len() as u64;
        while let Some(piece) = self.chunk().await? {
            len += piece.len() as u64;
            self.check_limit(len)?;
            all.get_or_insert_with(|| BytesMut::from(&first[..])).extend_from_slice(&piece);
        }
        self.check_limit(len)?;
        Ok(all.map_or(first, BytesMut::freeze))
    }

    fn check_limit(&self, len: u64) -> Result<(), Error> {
        if len <= self.limit {
            return Ok(());
        }
        let message = format!("the body is longer than {} bytes", self.limit);
        Err(Error::new(Kind::Protocol, message)
            .with_hint("read it piece by piece, or allow more")
            .with_endpoint(&self.url.endpoint()))
    }

    /// The whole body as text: in the charset of its `Content-Type` or byte order mark, else UTF-8.
    /// What does not decode becomes U+FFFD.
    ///
    /// # Errors
    /// As for [`bytes`](Self::bytes).
    pub async fn text(self) -> Result<String, Error> {
        let headers = self.head.headers.clone();
        let bytes = self.bytes().await?;
        Ok(charset::decode(&bytes, &headers).into_owned())
    }

    /// The whole body, which is JSON.
    ///
    /// # Errors
    /// As for [`bytes`](Self::bytes); [`Kind::Protocol`] where it is not the JSON that `T` is.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        let url = self.url.clone();
        let bytes = self.bytes().await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            Error::new(Kind::Protocol, format!("{url} did not answer with the JSON that is wanted"))
                .with_endpoint(&url.endpoint())
                .with_source(error)
        })
    }

    /// The body line by line, as it comes.
    #[must_use]
    pub fn lines(self) -> Lines {
        Lines::new(self)
    }

    /// The body as server-sent events, as they come.
    #[must_use]
    pub fn events(self) -> Events {
        Events::new(self)
    }

    /// Writes the whole body as it comes: how many bytes.
    ///
    /// # Errors
    /// As for [`chunk`](Self::chunk); [`Kind::Write`].
    pub async fn save_to(&mut self, sink: &mut (impl AsyncWrite + Unpin)) -> Result<u64, Error> {
        let unwritten =
            |error| Error::new(Kind::Write, "could not write the body").with_source(error);
        let mut count = 0;
        while let Some(piece) = self.chunk().await? {
            sink.write_all(&piece).await.map_err(unwritten)?;
            count += piece.len() as u64;
        }
        sink.flush().await.map_err(unwritten)?;
        Ok(count)
    }

    /// The redirects so far, with this one where it is one.
    pub(crate) fn into_history(mut self, is_redirect: bool) -> Vec<Hop> {
        if is_redirect {
            self.history.push(Hop {
                status: self.head.status,
                url: self.url,
                headers: self.head.headers,
                sent: self.sent,
                timings: self.recorder.timings(),
            });
        }
        self.history
    }

    /// Reads a short body to its end, so that the connection can be used again.
    pub(crate) async fn finish(&mut self) {
        /// What costs no more than a new connection.
        const CHEAP: u64 = 64 * 1024;
        while self.received() < CHEAP {
            match self.chunk().await {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.head.status)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// A body as it comes over the wire. At its end the connection is given back.
struct Wire {
    body: Incoming,
    lease: Option<Lease>,
    received: Arc<AtomicU64>,
    /// How many bytes there should be. An answer to HEAD states the length of what it does not
    /// carry.
    expected: Option<u64>,
    is_over: bool,
}

impl Wire {
    fn new(body: Incoming, lease: Lease) -> Self {
        let is_empty = body.is_end_stream();
        let expected = body.size_hint().exact().filter(|_| !is_empty);
        let mut wire = Self {
            body,
            lease: Some(lease),
            received: Arc::default(),
            expected,
            is_over: is_empty,
        };
        if is_empty {
            wire.end();
        }
        wire
    }

    fn end(&mut self) {
        self.is_over = true;
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }

    async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        while !self.is_over {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await;
            let received = self.received.load(Ordering::Relaxed);
            match frame {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    self.received.fetch_add(data.len() as u64, Ordering::Relaxed);
                    return Some(Ok(data));
                }
                Some(Err(error)) => {
                    self.is_over = true;
                    return Some(Err(explain_body(&error, received, self.expected)));
                }
                None => {
                    self.end();
                    // HTTP/2 can end a stream early and call it well (RFC 9113 section 8.1).
                    if self.expected.is_some_and(|expected| received < expected) {
                        return Some(Err(cut_short(received, self.expected)));
                    }
                }
            }
        }
        None
    }
}
