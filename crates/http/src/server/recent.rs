//! Answers that are given again for a moment: the fast lane for files.
//!
//! To serve a file takes an open, a stat, the choice of its form and the rendering of a head. Who
//! asks for the same within a moment gets the same answer, head and descriptor, without any of that,
//! and small files without even a read. The moment is so short that nobody sees an old file: it
//! begins before the file is opened, and is prolonged but once.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::response::Parts;
use http::{HeaderMap, Method, Request, StatusCode, Version, header};
use portolan_net::{Alarm, now};

use super::date::write_date;
use super::send::{write_lasting, write_length};
use crate::file_slice::{FileBody, FileSlice};
use crate::wire::{Framing, Head};

/// For how long an answer is given again.
const MOMENT: Duration = Duration::from_millis(20);
/// How many answers are kept, and how many of them with an open file.
const MOST: usize = 1024;
const MOST_FILES: usize = 64;
/// How long at most what is too old is held: a file that was removed takes space as long.
const SWEEP: Duration = Duration::from_secs(1);
/// The longest target, with what codings are accepted, that is worth it.
const KEY_MAX: usize = 512;
/// Up to this size a file is kept in memory.
const SMALL: u64 = 16 * 1024;

/// Marks a response, among its extensions: until the file changes, it holds for every GET of the
/// same target with the same `Accept-Encoding`, without conditions, ranges or a login.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeatable;

/// The answers of the last moment.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Answers>);

#[derive(Debug, Default)]
struct Answers {
    kept: HashMap<Key, Kept>,
    /// How often all were forgotten.
    forgotten: u64,
    /// Whether a task lets go of what is too old.
    is_swept: bool,
}

/// What an answer depends on.
type Key = Box<[u8]>;

#[derive(Debug)]
struct Kept {
    answer: Arc<RecentAnswer>,
    until: Instant,
    /// Whether it is old, and somebody was sent for a new one; until then it holds a moment longer.
    is_due: bool,
}

/// What there is for a request.
pub(super) enum Lookup {
    /// An answer of a moment ago.
    Answer(Arc<RecentAnswer>),
    /// Nothing; what the routes answer may be [kept](Recent::keep).
    Nothing(Ticket),
}

/// Lets an answer be kept, if nothing was changed since.
pub(super) struct Ticket {
    key: Key,
    asked: Instant,
    forgotten: u64,
}

/// An answer that was given.
#[derive(Debug)]
pub(super) struct RecentAnswer {
    /// Its head without a date and the empty line.
    head: Bytes,
    /// The same as HTTP/2 wants it.
    headers: HeaderMap,
    body: Content,
}

#[derive(Debug)]
enum Content {
    Small(Bytes),
    File(FileSlice),
}

/// The key of a request, in place.
pub(super) struct KeyBuffer {
    bytes: [u8; KEY_MAX],
    length: usize,
}

impl KeyBuffer {
    /// The key of a request of HTTP/1 that may be given an answer of others.
    pub(super) fn of_head(head: &Head<'_>) -> Option<Self> {
        let is_plain = head.method == "GET"
            && head.version == Version::HTTP_11
            && head.is_persistent
            && head.framing == Framing::Length(0);
        is_plain.then(|| Self::new(head.target, head.fields()))?
    }

    /// The same of HTTP/2.
    pub(super) fn of_request<B: hyper::body::Body>(request: &Request<B>) -> Option<Self> {
        let fields = request.headers().iter();
        let fields = fields.map(|(name, value)| (name.as_str(), value.as_bytes()));
        let target = request.uri().path_and_query()?.as_str();
        let is_plain = request.method() == Method::GET && request.body().is_end_stream();
        is_plain.then(|| Self::new(target, fields))?
    }

    fn new<'a>(target: &str, fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Option<Self> {
        let mut codings = &b""[..];
        for (name, value) in fields {
            match name.as_bytes() {
                [b'i' | b'I', b'f' | b'F', b'-', ..] => return None,
                _ if name.eq_ignore_ascii_case("range") => return None,
                _ if name.eq_ignore_ascii_case("authorization") => return None,
                _ if name.eq_ignore_ascii_case("upgrade") => return None,
                _ if !name.eq_ignore_ascii_case("accept-encoding") => {}
                _ if codings.is_empty() => codings = value,
                _ => return None,
            }
        }
        let length = target.len() + 1 + codings.len();
        let mut bytes = [0; KEY_MAX];
        let (front, back) = bytes.get_mut(..length)?.split_at_mut(target.len());
        front.copy_from_slice(target.as_bytes());
        // Neither has a line break within.
        back[0] = b'\n';
        back[1..].copy_from_slice(codings);
        Some(Self { bytes, length })
    }
}

impl Recent {
    /// The answer to the same request a moment ago.
    pub(super) fn find(&self, key: &KeyBuffer) -> Lookup {
        let key = &key.bytes[..key.length];
        let now = now();
        let mut answers = self.lock();
        if let Some(kept) = answers.kept.get_mut(key) {
            if now < kept.until {
                return Lookup::Answer(kept.answer.clone());
            }
            // This request renews it; meanwhile the others need not.
            kept.until += MOMENT;
            if std::mem::replace(&mut kept.is_due, true) || now >= kept.until {
                answers.kept.remove(key);
            }
        }
        Lookup::Nothing(Ticket { key: key.into(), asked: now, forgotten: answers.forgotten })
    }

    /// Keeps an answer for a moment, where it is fit for that.
    pub(super) fn keep(self: &Arc<Self>, ticket: Ticket, response: &Parts, slice: &FileSlice) {
        let is_fit =
            response.status == StatusCode::OK && response.extensions.get::<Repeatable>().is_some();
        let body = match slice.length() {
            _ if !is_fit => None,
            0..=SMALL => slice.read_whole().map(Content::Small),
            _ => Some(Content::File(slice.clone())),
        };
        let Some(body) = body else { return };
        let mut head = BytesMut::with_capacity(512);
        write_lasting(response, false, &mut head);
        write_length(slice.length(), &mut head);
        let mut headers = response.headers.clone();
        headers.insert(header::CONTENT_LENGTH, slice.length().into());
        let answer = Arc::new(RecentAnswer { head: head.freeze(), headers, body });
        let until = ticket.asked + MOMENT;
        let now = now();
        let mut answers = self.lock();
        if until <= now || answers.forgotten != ticket.forgotten {
            return;
        }
        if !answers.has_room(&answer) {
            answers.sweep(now);
        }
        if answers.has_room(&answer) {
            answers.kept.insert(ticket.key, Kept { answer, until, is_due: false });
            if !std::mem::replace(&mut answers.is_swept, true) {
                tokio::spawn(sweep(Arc::downgrade(self)));
            }
        }
    }

    /// Forgets all answers: something may have changed.
    pub(super) fn forget(&self) {
        let mut answers = self.lock();
        answers.kept.clear();
        answers.forgotten += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answers {
    fn has_room(&self, answer: &RecentAnswer) -> bool {
        let files = || self.kept.values().filter(|kept| !kept.answer.is_small()).count();
        self.kept.len() < MOST && (answer.is_small() || files() < MOST_FILES)
    }

    /// Lets go of what is too old to be given.
    fn sweep(&mut self, now: Instant) {
        self.kept.retain(|_, kept| now < kept.until);
    }
}

/// Lets go of what is too old until nothing is left.
async fn sweep(recent: Weak<Recent>) {
    loop {
        let mut alarm = Alarm::default();
        alarm.set(SWEEP);
        poll_fn(|cx| alarm.poll(cx)).await;
        let Some(recent) = recent.upgrade() else { return };
        let mut answers = recent.lock();
        answers.sweep(now());
        if answers.kept.is_empty() {
            answers.is_swept = false;
            return;
        }
    }
}

impl RecentAnswer {
    /// How many bytes its body has.
    pub(super) fn length(&self) -> u64 {
        match &self.body {
            Content::Small(bytes) => bytes.len() as u64,
            Content::File(slice) => slice.length(),
        }
    }

    /// Whether it is small.
    pub(super) const fn is_small(&self) -> bool {
        matches!(self.body, Content::Small(_))
    }

    /// Writes the head, and a body that is small; gives the file that is to follow where it is not.
    pub(super) fn write(&self, output: &mut BytesMut) -> Option<FileSlice> {
        output.reserve(self.head.len() + 64);
        output.extend_from_slice(&self.head);
        write_date(output);
        output.extend_from_slice(b"\r\n");
        match &self.body {
            Content::Small(bytes) => {
                output.extend_from_slice(bytes);
                None
            }
            Content::File(slice) => Some(slice.clone()),
        }
    }

    /// The same as a response.
    pub(super) fn to_response(&self) -> Response {
        let mut response = Response::new(match &self.body {
            Content::Small(bytes) => Body::from(bytes.clone()),
            Content::File(slice) => Body::new(FileBody::new(slice.clone())),
        });
        response.headers_mut().clone_from(&self.headers);
        response
    }
}
