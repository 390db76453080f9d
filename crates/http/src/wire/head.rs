//! The head of a request (RFC 9112 sections 3 to 6).

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};
use memchr::{memchr, memchr_iter};

use super::fields::{Field, Fields, list};
use super::refusal::BadRequest;
use crate::Limits;

/// What a request line has besides its target, generously.
const REQUEST_LINE: usize = 64;
/// No file is longer, and others read lengths beyond as negative.
pub(super) const LENGTH_MAX: u64 = i64::MAX as u64;

/// The end of a head that comes in pieces, without looking at any byte twice.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// Where the line begins that has yet to end.
    line: usize,
    /// How much was looked at.
    seen: usize,
}

impl Scan {
    /// The length of the head that `bytes` begin with, its empty line included; `None` while it is
    /// not all there. Then call it again with more: the same bytes, and those that came since.
    ///
    /// # Errors
    /// As soon as the bytes cannot become a head, or become one too large.
    pub fn end(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, BadRequest> {
        if bytes.first().is_some_and(|first| !is_token(*first)) {
            return Err(BadRequest::RequestLine);
        }
        for found in memchr_iter(b'\n', &bytes[self.seen..]) {
            let end = self.seen + found;
            if bytes[end - 1] != b'\r' {
                return Err(BadRequest::LineEnd);
            }
            let is_empty = end - 1 == self.line;
            self.line = end + 1;
            if is_empty {
                let fits = self.line <= limits.head;
                return if fits { Ok(Some(self.line)) } else { Err(BadRequest::HeadTooLarge) };
            }
        }
        self.seen = bytes.len();
        if self.line == 0 && self.seen > limits.target.saturating_add(REQUEST_LINE) {
            return Err(BadRequest::TargetTooLong);
        }
        if self.seen >= limits.head { Err(BadRequest::HeadTooLarge) } else { Ok(None) }
    }
}

/// Has a head of a later minor version be read as one of 1.1, as RFC 9110 section 2.5 wants.
pub(crate) fn settle_version(head: &mut [u8]) {
    let line = memchr(b'\r', head).unwrap_or_default();
    if let [.., b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'2'..=b'9'] = &mut head[..line] {
        *minor = b'1';
    }
}

/// The head of a request, borrowed from its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a str,
    /// The target as it was sent.
    pub target: &'a str,
    /// 1.0 or 1.1.
    pub version: Version,
    /// What follows the head.
    pub framing: Framing,
    /// Whether the client would send another request on the connection.
    pub is_persistent: bool,
    /// Whether the client waits for a 100 before it sends the body (RFC 9110 section 10.1.1).
    pub expects_continue: bool,
    pub(crate) fields: &'a [Field<'a>],
}

/// How the body of a request is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By its length; 0 where there is no body.
    Length(u64),
    /// By the chunked coding.
    Chunked,
}

impl<'a> Head<'a> {
    /// Reads a head, which `bytes` must be from the first byte to the last.
    ///
    /// # Errors
    /// Whatever RFC 9112 lets a server refuse.
    pub fn parse(
        bytes: &'a [u8],
        fields: &'a mut Fields<'a>,
        limits: &Limits,
    ) -> Result<Self, BadRequest> {
        let mut request = httparse::Request::new(&mut []);
        let room = limits.fields.min(fields.0.len());
        let parsed = request.parse_with_uninit_headers(bytes, &mut fields.0[..room]);
        let length = parsed.map_err(|error| refusal(error, bytes))?;
        let (Some(method), Some(target)) = (request.method, request.path) else {
            return Err(BadRequest::RequestLine);
        };
        if length != httparse::Status::Complete(bytes.len()) {
            return Err(BadRequest::RequestLine);
        }
        if target.len() > limits.target {
            return Err(BadRequest::TargetTooLong);
        }
        check_target(method, target)?;
        let version = if request.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
        let facts = Facts::read(request.headers)?;
        facts.check_host(version)?;
        Ok(Self {
            method,
            target,
            version,
            framing: facts.framing(version)?,
            is_persistent: !facts.closes && (version == Version::HTTP_11 || facts.keeps_alive),
            expects_continue: facts.expects_continue && version == Version::HTTP_11,
            fields: request.headers,
        })
    }

    /// The request, with a copy of its head, which must be `bytes`.
    ///
    /// # Errors
    /// [`BadRequest::Target`], for what is no URI.
    pub fn to_request(&self, bytes: &[u8]) -> Result<Request<()>, BadRequest> {
        let copy = Bytes::copy_from_slice(bytes);
        let part = |part: &[u8]| {
            let start = part.as_ptr() as usize - bytes.as_ptr() as usize;
            copy.slice(start..start + part.len())
        };
        let mut request = Request::new(());
        *request.version_mut() = self.version;
        let method = Method::from_bytes(self.method.as_bytes());
        *request.method_mut() = method.map_err(|_| BadRequest::RequestLine)?;
        let target = Uri::from_maybe_shared(part(self.target.as_bytes()));
        *request.uri_mut() = target.map_err(|_| BadRequest::Target)?;
        let headers = request.headers_mut();
        headers.reserve(self.fields.len());
        for field in self.fields {
            let name = HeaderName::from_bytes(field.name.as_bytes());
            let value = HeaderValue::from_maybe_shared(part(field.value));
            let (Ok(name), Ok(value)) = (name, value) else { return Err(BadRequest::Field) };
            headers.append(name, value);
        }
        Ok(request)
    }

    /// The fields: names as they were sent, and values without the white space around them.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.fields.iter().map(|field| (field.name, field.value))
    }
}

/// What a head without a fault of its lines may still be refused for.
fn refusal(error: httparse::Error, bytes: &[u8]) -> BadRequest {
    match error {
        httparse::Error::TooManyHeaders => BadRequest::HeadTooLarge,
        httparse::Error::Version if has_other_version(bytes) => BadRequest::Version,
        httparse::Error::Token | httparse::Error::Version | httparse::Error::Status => {
            BadRequest::RequestLine
        }
        httparse::Error::NewLine => BadRequest::LineEnd,
        _ => BadRequest::Field,
    }
}

/// Whether the request line ends in a version (RFC 9112 section 2.3).
fn has_other_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// RFC 9112 section 3.2: `*` is for OPTIONS, an authority for CONNECT, and all else is a path or a
/// URL.
fn check_target(method: &str, target: &str) -> Result<(), BadRequest> {
    let is_fit = match method {
        "CONNECT" => !target.contains(['/', '?', '#', '@', '*']) && target.contains(':'),
        "OPTIONS" if target == "*" => true,
        _ => target.starts_with('/') || target.contains("://"),
    };
    if is_fit && !target.contains('#') { Ok(()) } else { Err(BadRequest::Target) }
}

/// What the fields say about the request as a message.
#[derive(Default)]
struct Facts {
    hosts: usize,
    length: Option<u64>,
    is_coded: bool,
    is_chunked: bool,
    closes: bool,
    keeps_alive: bool,
    expects_continue: bool,
}

impl Facts {
    fn read(fields: &[Field<'_>]) -> Result<Self, BadRequest> {
        let mut facts = Self::default();
        for Field { name, value } in fields {
            match name.len() {
                4 if name.eq_ignore_ascii_case("host") => facts.host(value)?,
                6 if name.eq_ignore_ascii_case("expect") => {
                    facts.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
                }
                10 if name.eq_ignore_ascii_case("connection") => facts.connection(value),
                14 if name.eq_ignore_ascii_case("content-length") => facts.length(value)?,
                17 if name.eq_ignore_ascii_case("transfer-encoding") => facts.codings(value)?,
                _ => {}
            }
        }
        Ok(facts)
    }

    fn host(&mut self, value: &[u8]) -> Result<(), BadRequest> {
        self.hosts += 1;
        if value.iter().all(|byte| is_of_host(*byte)) { Ok(()) } else { Err(BadRequest::Host) }
    }

    fn connection(&mut self, value: &[u8]) {
        for option in list(value) {
            self.closes |= option.eq_ignore_ascii_case(b"close");
            self.keeps_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    fn length(&mut self, value: &[u8]) -> Result<(), BadRequest> {
        let other = self.length.replace(number(value)?);
        if other.is_none() { Ok(()) } else { Err(BadRequest::Length) }
    }

    fn codings(&mut self, value: &[u8]) -> Result<(), BadRequest> {
        self.is_coded = true;
        for coding in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            // It must be the last one, and not be applied twice. Others read empty ones otherwise.
            if self.is_chunked || coding.is_empty() {
                return Err(BadRequest::Coding);
            }
            if !coding.eq_ignore_ascii_case(b"chunked") {
                return Err(BadRequest::UnknownCoding);
            }
            self.is_chunked = true;
        }
        Ok(())
    }

    /// RFC 9112 section 6.3.
    fn framing(&self, version: Version) -> Result<Framing, BadRequest> {
        match (self.is_coded, self.length) {
            (false, length) => Ok(Framing::Length(length.unwrap_or(0))),
            (true, Some(_)) => Err(BadRequest::TwoLengths),
            (true, None) if self.is_chunked && version == Version::HTTP_11 => Ok(Framing::Chunked),
            (true, None) => Err(BadRequest::Coding),
        }
    }

    /// RFC 9112 section 3.2: one, which clients of old need not send.
    fn check_host(&self, version: Version) -> Result<(), BadRequest> {
        match self.hosts {
            1 => Ok(()),
            0 if version == Version::HTTP_10 => Ok(()),
            _ => Err(BadRequest::Host),
        }
    }
}

/// The value of a `Content-Length`.
fn number(value: &[u8]) -> Result<u64, BadRequest> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(BadRequest::Length);
    }
    let number = str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
    number.filter(|length| *length <= LENGTH_MAX).ok_or(BadRequest::Length)
}

/// What a host and a port are made of (RFC 3986 section 3.2).
fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte)
}

/// Whether a method may begin with it (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
