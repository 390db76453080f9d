//! What an access log is told.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{Request, StatusCode, Version, header};
use hyper::body::{Frame, SizeHint};
use portolan_core::{Answered, Endpoint, Event};
use portolan_net::{Context, now};

use crate::wire::Head;

/// The status of what got no answer before its client was gone, as nginx logs it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Who was let in by a login: an extension of the response.
#[derive(Clone)]
pub(crate) struct User(pub(crate) String);

/// What the system refused the server: an extension of the response.
#[derive(Clone)]
pub(crate) struct Failure(pub(crate) String);

/// A request, until it has been answered or is given up. When it is dropped, the observers are told
/// how far it came.
pub(super) struct Entry {
    /// `None` once it was told.
    answered: Option<Box<Answered>>,
    began: Instant,
    cx: Context,
}

impl Entry {
    pub(super) fn new<B>(request: &Request<B>, peer: &Endpoint, cx: &Context) -> Self {
        let text = |name| request.headers().get(name).map(|value| text(value.as_bytes()));
        let answered = Answered {
            method: request.method().to_string(),
            target: target(request),
            version: name(request.version()),
            referer: text(header::REFERER),
            agent: text(header::USER_AGENT),
            ..nothing(peer)
        };
        Self::begin(answered, cx)
    }

    /// A request of which there is no more than its head.
    pub(super) fn of_head(head: &Head<'_>, peer: &Endpoint, cx: &Context) -> Self {
        let field = |name: &str| {
            let mut fields = head.fields();
            fields.find(|field| field.0.eq_ignore_ascii_case(name)).map(|field| text(field.1))
        };
        let answered = Answered {
            method: head.method.to_owned(),
            target: head.target.to_owned(),
            version: name(head.version),
            referer: field("referer"),
            agent: field("user-agent"),
            ..nothing(peer)
        };
        Self::begin(answered, cx)
    }

    /// A request that could not be read.
    pub(super) fn unread(peer: &Endpoint, cx: &Context) -> Self {
        Self::begin(nothing(peer), cx)
    }

    fn begin(answered: Answered, cx: &Context) -> Self {
        Self { answered: Some(Box::new(answered)), began: now(), cx: cx.clone() }
    }

    /// The answer begins.
    pub(super) fn begins(&mut self, response: &Response) {
        self.has_status(response.status());
        if let Some(answered) = &mut self.answered {
            answered.user = response.extensions().get().map(|User(user)| user.clone());
            answered.failure = response.extensions().get().map(|Failure(why)| why.clone());
        }
    }

    /// The answer has this status.
    pub(super) fn has_status(&mut self, status: StatusCode) {
        if let Some(answered) = &mut self.answered {
            answered.status = status.as_u16();
        }
    }

    /// So much of the answer's body has been sent by now.
    pub(super) fn has_sent(&mut self, bytes: u64) {
        if let Some(answered) = &mut self.answered {
            answered.bytes = bytes;
        }
    }

    /// The whole answer was this.
    pub(super) fn answered(mut self, status: StatusCode, bytes: u64) {
        self.has_status(status);
        self.has_sent(bytes);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Some(mut answered) = self.answered.take() else { return };
        answered.elapsed = now().saturating_duration_since(self.began);
        self.cx.observe(&Event::Answered(answered));
    }
}

/// The target as HTTP/1 has it, without the scheme and the authority that HTTP/2 sends beside it.
fn target<B>(request: &Request<B>) -> String {
    match request.uri().path_and_query() {
        Some(target) if request.version() == Version::HTTP_2 => target.to_string(),
        _ => request.uri().to_string(),
    }
}

const fn name(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        _ => "2.0",
    }
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// What is known when nothing was read.
fn nothing(peer: &Endpoint) -> Answered {
    Answered {
        peer: peer.clone(),
        user: None,
        method: String::new(),
        target: String::new(),
        version: "",
        status: CLIENT_CLOSED_REQUEST,
        bytes: 0,
        elapsed: Duration::ZERO,
        referer: None,
        agent: None,
        failure: None,
    }
}

/// A body that is logged when it has been sent, or is given up.
pub(super) struct Logged {
    body: Body,
    entry: Entry,
    sent: u64,
}

impl Logged {
    pub(super) const fn new(body: Body, entry: Entry) -> Self {
        Self { body, entry, sent: 0 }
    }
}

impl hyper::body::Body for Logged {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            self.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
            let sent = self.sent;
            self.entry.has_sent(sent);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
