//! The head of a response, and how its body is delimited (RFC 9112 section 6).

use std::io::Write;

use bytes::{BufMut, BytesMut};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, Version, header};

use super::date::write_date;
use crate::wire::list;

/// What of a request decides how it is answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) version: Version,
    pub(super) is_head: bool,
    pub(super) is_connect: bool,
    /// Whether it may be answered with trailers (RFC 9110 section 10.1.4).
    pub(super) takes_trailers: bool,
}

/// How the body of a response is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// Not at all.
    Nothing,
    /// So many bytes.
    Length(u64),
    Chunked,
    /// Up to the end of the connection.
    UntilClose,
}

/// What is decided about a response before its head is written.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) delivery: Delivery,
    /// What `Content-Length` says, where there is one.
    length: Option<u64>,
    /// Whether the connection may carry another request.
    pub(super) persists: bool,
    /// Whether the connection is handed over.
    pub(super) switches: bool,
}

impl Plan {
    /// Decides about a response whose body is known to have `size` bytes, or not known.
    pub(super) fn new(
        asked: Asked,
        response: &Parts,
        size: Option<u64>,
        may_persist: bool,
    ) -> Self {
        let status = response.status;
        let switches =
            status == StatusCode::SWITCHING_PROTOCOLS || asked.is_connect && status.is_success();
        let is_bare = status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || switches;
        let said = number(&response.headers);
        let length = match size {
            _ if is_bare => None,
            // A body that is not sent need not be there: what is said of it counts.
            Some(0) if asked.is_head => said,
            size => size.or(said),
        };
        let delivery = match length {
            _ if is_bare || asked.is_head => Delivery::Nothing,
            Some(length) => Delivery::Length(length),
            None if asked.version == Version::HTTP_11 => Delivery::Chunked,
            None => Delivery::UntilClose,
        };
        let persists =
            may_persist && delivery != Delivery::UntilClose && !closes(&response.headers);
        Self { delivery, length, persists, switches }
    }

    /// Writes the head.
    pub(super) fn write_head(&self, asked: Asked, response: &Parts, output: &mut BytesMut) {
        write_lasting(response, self.switches, output);
        if let Some(length) = self.length {
            write_length(length, output);
        }
        if self.delivery == Delivery::Chunked {
            output.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        if !self.switches {
            let upgrades = response.headers.contains_key(header::UPGRADE);
            write_connection(asked.version, self.persists, upgrades, output);
        }
        if !response.headers.contains_key(header::DATE) {
            write_date(output);
        }
        output.extend_from_slice(b"\r\n");
    }
}

/// Writes what of a head is the same whenever and to whomever it is sent: the status line, and the
/// fields that are not about the connection and the delimitation.
pub(super) fn write_lasting(response: &Parts, switches: bool, output: &mut BytesMut) {
    write_status(response.status, output);
    for (name, value) in &response.headers {
        let is_ours = match *name {
            header::CONTENT_LENGTH | header::TRANSFER_ENCODING => true,
            header::CONNECTION => !switches,
            _ => false,
        };
        if !is_ours {
            write_field(name.as_str(), value.as_bytes(), output);
        }
    }
}

pub(super) fn write_length(length: u64, output: &mut BytesMut) {
    let _ = write!(output.writer(), "content-length: {length}\r\n");
}

/// The status line.
pub(super) fn write_status(status: StatusCode, output: &mut BytesMut) {
    output.extend_from_slice(b"HTTP/1.1 ");
    output.extend_from_slice(status.as_str().as_bytes());
    output.extend_from_slice(b" ");
    output.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    output.extend_from_slice(b"\r\n");
}

/// What becomes of the connection, where that is not what the version takes for granted, and whether
/// it could be upgraded (RFC 9110 section 7.8).
fn write_connection(version: Version, persists: bool, upgrades: bool, output: &mut BytesMut) {
    let lasts = match (persists, version) {
        (false, _) => Some("close"),
        (true, Version::HTTP_10) => Some("keep-alive"),
        _ => None,
    };
    let options: Vec<_> = lasts.into_iter().chain(upgrades.then_some("upgrade")).collect();
    if !options.is_empty() {
        write_field("connection", options.join(", ").as_bytes(), output);
    }
}

pub(super) fn write_field(name: &str, value: &[u8], output: &mut BytesMut) {
    output.reserve(name.len() + value.len() + 4);
    output.extend_from_slice(name.as_bytes());
    output.extend_from_slice(b": ");
    output.extend_from_slice(value);
    output.extend_from_slice(b"\r\n");
}

/// The end of a chunked body (RFC 9112 section 7.1.2).
pub(super) fn write_end(trailers: Option<&HeaderMap>, output: &mut BytesMut) {
    output.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        write_field(name.as_str(), value.as_bytes(), output);
    }
    output.extend_from_slice(b"\r\n");
}

fn number(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn closes(headers: &HeaderMap) -> bool {
    let options = headers.get_all(header::CONNECTION).into_iter().map(HeaderValue::as_bytes);
    options.flat_map(list).any(|option| option.eq_ignore_ascii_case(b"close"))
}
