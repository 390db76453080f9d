//! What comes back over a connection.

use bytes::{Bytes, BytesMut};
use http::header::HeaderMap;
use http::{Method, StatusCode, Uri, Version};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use portolan_core::Error;
use portolan_net::{Context, now};

use crate::client::RECEIVE;
use crate::error::{cut_short, explain_body, late_body};

/// The head of a request as it went out, with all that was added to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// The method.
    pub method: Method,
    /// The request-target (RFC 9112 section 3.2): the path and query, or for a proxy and with
    /// HTTP/2 the whole URL.
    pub target: Uri,
    /// The version.
    pub version: Version,
    /// The fields, secrets included.
    pub headers: HeaderMap,
}

/// What came over a connection: the head of a response, and a body that is yet to be read, as it
/// is. A [`Session`](crate::Session) makes a [`Response`](crate::Response) of it.
pub struct Answer {
    pub(crate) head: http::response::Parts,
    pub(crate) body: Incoming,
    pub(crate) sent: Sent,
}

/// What was read of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// The bytes; empty where they were not to be kept.
    pub bytes: Bytes,
    /// How many there were.
    pub size: u64,
    /// Whether this is the whole body; if not, it was longer than the limit.
    pub is_whole: bool,
}

impl Answer {
    /// The status code (RFC 9110 section 15).
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.head.status
    }

    /// The version that the peer spoke.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.head.version
    }

    /// The header fields.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The request's head as it was sent.
    #[must_use]
    pub const fn sent(&self) -> &Sent {
        &self.sent
    }

    /// The response as the `http` crate has it, with its body as a stream.
    #[must_use]
    pub fn into_http(self) -> http::Response<Incoming> {
        http::Response::from_parts(self.head, self.body)
    }

    /// Reads the body up to `limit` bytes and keeps them: the phase `receive`.
    ///
    /// # Errors
    /// Of these [kinds](portolan_core::Kind): `Timeout`; `Partial` where it ends before its stated
    /// end; `Lost` where the connection is reset; `Protocol` where its framing is broken.
    pub async fn receive(&mut self, limit: u64, cx: &Context) -> Result<Received, Error> {
        let mut bytes = BytesMut::new();
        let received = self.read(limit, cx, |data| bytes.extend_from_slice(data)).await?;
        Ok(Received { bytes: bytes.freeze(), ..received })
    }

    /// Reads the body up to `limit` bytes and keeps nothing: the phase `receive`.
    ///
    /// # Errors
    /// As for [`receive`](Self::receive).
    pub async fn discard(&mut self, limit: u64, cx: &Context) -> Result<Received, Error> {
        self.read(limit, cx, |_| {}).await
    }

    async fn read(
        &mut self,
        limit: u64,
        cx: &Context,
        mut keep: impl FnMut(&[u8]),
    ) -> Result<Received, Error> {
        cx.within(RECEIVE, async {
            let started = now();
            // A response to HEAD states the length of what it does not carry.
            let is_empty = self.body.is_end_stream();
            let expected = self.body.size_hint().exact().filter(|_| !is_empty);
            let mut size = 0;
            let mut is_whole = true;
            while let Some(frame) =
                self.next_frame(cx).await.ok_or_else(|| late_body(started, size, expected))?
            {
                let frame = frame.map_err(|error| explain_body(&error, size, expected))?;
                let Ok(data) = frame.into_data() else { continue };
                let room = usize::try_from(limit - size).unwrap_or(usize::MAX);
                let wanted = &data[..data.len().min(room)];
                keep(wanted);
                size += wanted.len() as u64;
                if data.len() > room {
                    is_whole = false;
                    break;
                }
            }
            cx.fact(RECEIVE, "bytes", size);
            // HTTP/2 can end a stream early and call it well (RFC 9113 section 8.1).
            if is_whole && expected.is_some_and(|expected| size < expected) {
                return Err(cut_short(size, expected));
            }
            Ok(Received { bytes: Bytes::new(), size, is_whole })
        })
        .await
    }

    /// The next frame; `None` where the time ran out, or the peer is silent for longer than it may
    /// be.
    async fn next_frame(&mut self, cx: &Context) -> Option<Option<hyper::Result<Frame<Bytes>>>> {
        match cx.timeouts().idle {
            None => cx.until_deadline(self.body.frame()).await,
            idle => cx.limited(idle).until_deadline(self.body.frame()).await,
        }
    }
}
