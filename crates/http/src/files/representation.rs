//! One file in one form, and the response that sends it: whole, in part, or not at all.

use std::io;
use std::ops::Range;
use std::time::UNIX_EPOCH;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};

use super::conditions::{EntityTag, Validators, Verdict};
use super::encodings::{Coding, Encoder};
use super::field;
use super::ranges::Ranges;
use super::refusal::Refusal;
use super::root::{Facts, OpenFile};
use crate::file_slice::{FileBody, FileSlice};
use crate::multipart::unguessable;

/// One file in the form in which it is sent (RFC 9110 section 3.2).
#[derive(Debug)]
pub(super) struct Representation {
    /// What is read.
    pub(super) file: OpenFile,
    /// The type of what it means, whatever its coding.
    pub(super) content_type: HeaderValue,
    /// How it is compressed.
    pub(super) encoding: Encoding,
    /// Whether other clients get it in another form.
    pub(super) is_compressible: bool,
    /// Whether clients that accept other types get no file.
    pub(super) is_by_accept: bool,
}

/// How a file is compressed, and when.
#[derive(Debug)]
pub(super) enum Encoding {
    /// Not at all.
    Identity,
    /// The file that is read is.
    Stored(Coding),
    /// While it is sent.
    Live(Encoder),
}

impl Encoding {
    /// By what a version of a file is recognised in this form. What is compressed anew for each
    /// request may differ in its bytes, and its tag is weak.
    pub(super) fn validators(&self, facts: Facts) -> Validators {
        let age = facts.modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        let version = format!("{:x}-{:x}-{:x}", facts.inode, facts.size, age.as_nanos());
        let coded = |coding: Coding| format!("{version}-{}", coding.name());
        let tag = match self {
            Self::Identity => EntityTag::strong(version),
            Self::Stored(coding) => EntityTag::strong(coded(*coding)),
            Self::Live(encoder) => EntityTag::weak(coded(encoder.coding())),
        };
        Validators { tag, modified: facts.modified }
    }

    /// The coding of what is sent.
    const fn coding(&self) -> Option<Coding> {
        match self {
            Self::Identity => None,
            Self::Stored(coding) => Some(*coding),
            Self::Live(encoder) => Some(encoder.coding()),
        }
    }

    const fn is_live(&self) -> bool {
        matches!(self, Self::Live(_))
    }
}

impl Representation {
    /// Answers a request for it, with respect to conditions and ranges.
    pub(super) fn respond(self, method: &Method, asked: &HeaderMap) -> Result<Response, Refusal> {
        let validators = self.validators();
        match Verdict::of(method, asked, Some(&validators)) {
            Verdict::Proceed => {}
            Verdict::NotModified => return Ok(self.not_modified(&validators)),
            Verdict::Failed => {
                let why = "the file is another version than the one that is meant";
                return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, why));
            }
        }
        let mut headers = HeaderMap::new();
        self.insert_into(&mut headers, &validators);
        let mut response = match self.ranges(method, asked, &validators) {
            Ranges::Whole => self.whole(),
            Ranges::Parts(parts) => self.partial(&parts)?,
            Ranges::Unsatisfiable => {
                let why = "the file is shorter than that";
                return Err(Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, why).with_header(
                    header::CONTENT_RANGE,
                    field(format!("bytes */{}", self.size())),
                ));
            }
        };
        // What a body of several parts has of its own stays.
        headers.extend(std::mem::take(response.headers_mut()));
        *response.headers_mut() = headers;
        Ok(response)
    }

    /// The fields of an answer with the whole file, but for its length.
    fn insert_into(&self, headers: &mut HeaderMap, validators: &Validators) {
        validators.insert_into(headers);
        headers.insert(header::CONTENT_TYPE, self.content_type.clone());
        self.insert_vary(headers);
        if let Some(coding) = self.encoding.coding() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        }
        if !self.encoding.is_live() {
            headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        }
    }

    /// Says which fields of a request decide (RFC 9110 section 12.5.5).
    fn insert_vary(&self, headers: &mut HeaderMap) {
        if self.is_compressible {
            headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        if self.is_by_accept {
            headers.append(header::VARY, HeaderValue::from_static("accept"));
        }
    }

    fn validators(&self) -> Validators {
        self.encoding.validators(self.file.facts)
    }

    const fn size(&self) -> u64 {
        self.file.facts.size
    }

    fn slice(&self, range: &Range<u64>) -> FileSlice {
        FileSlice::new(self.file.file.clone(), range.start, range.end - range.start)
    }

    /// What part is asked for. Ranges are defined for GET alone.
    fn ranges(&self, method: &Method, asked: &HeaderMap, validators: &Validators) -> Ranges {
        let is_applicable =
            *method == Method::GET && !self.encoding.is_live() && validators.have_range(asked);
        let mut fields = asked.get_all(header::RANGE).iter();
        match (fields.next(), fields.next()) {
            (Some(field), None) if is_applicable => Ranges::parse(field.as_bytes(), self.size()),
            _ => Ranges::Whole,
        }
    }

    fn not_modified(&self, validators: &Validators) -> Response {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        validators.insert_into(response.headers_mut());
        self.insert_vary(response.headers_mut());
        response
    }

    fn whole(self) -> Response {
        let slice = self.slice(&(0..self.size()));
        let Encoding::Live(encoder) = self.encoding else { return response_of(slice) };
        Response::new(encoder.encode(Body::new(FileBody::new(slice))))
    }

    fn partial(&self, parts: &[Range<u64>]) -> Result<Response, Refusal> {
        let mut response = match parts {
            [part] => {
                let mut response = response_of(self.slice(part));
                let range = field(self.content_range(part));
                response.headers_mut().insert(header::CONTENT_RANGE, range);
                response
            }
            parts => self.multipart(parts)?,
        };
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        Ok(response)
    }

    fn content_range(&self, part: &Range<u64>) -> String {
        format!("bytes {}-{}/{}", part.start, part.end - 1, self.size())
    }

    /// Several parts in one body (RFC 9110 section 14.6).
    fn multipart(&self, parts: &[Range<u64>]) -> Result<Response, Refusal> {
        let boundary = unguessable().map_err(io::Error::other)?;
        let content_type = String::from_utf8_lossy(self.content_type.as_bytes());
        let mut length = 0;
        let mut bodies = Vec::with_capacity(parts.len() * 2 + 1);
        let mut before = "";
        for part in parts {
            let head = format!(
                "{before}--{boundary}\r\ncontent-type: {content_type}\r\ncontent-range: {}\r\n\r\n",
                self.content_range(part)
            );
            length += head.len() as u64 + part.end - part.start;
            bodies.push(Body::from(Bytes::from(head)));
            bodies.push(Body::new(FileBody::new(self.slice(part))));
            before = "\r\n";
        }
        let tail = format!("\r\n--{boundary}--\r\n");
        length += tail.len() as u64;
        bodies.push(Body::from(tail));
        let bodies = stream::iter(bodies).flat_map(Body::into_data_stream);
        let mut response = Response::new(Body::from_stream(bodies));
        let content_type = field(format!("multipart/byteranges; boundary={boundary}"));
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        Ok(response)
    }
}

/// A response that the server takes from the file itself.
fn response_of(slice: FileSlice) -> Response {
    let mut response = Response::new(Body::empty());
    response.headers_mut().insert(header::CONTENT_LENGTH, slice.length().into());
    response.extensions_mut().insert(slice);
    response
}
