//! `http:` and `https:` (RFC 9110), with ranges (section 14) under `If-Range` (section 13.1.5).

use std::fs::File;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName};
use portolan_core::{Error, Kind, Url};
use portolan_http::{Response, Session, file_name};
use portolan_net::Context;

use crate::source::{Content, Opened, Resume, Source};

/// Downloads over HTTP.
pub struct HttpSource(Session);

impl HttpSource {
    /// By this session: its logins, proxies, redirects, and its retries for what fails before the
    /// first byte. Nothing is decoded: a range is one of what is sent.
    #[must_use]
    pub fn new(session: Session) -> Self {
        Self(session.without_decoding())
    }

    async fn request(
        &self,
        url: &Url,
        resume: Option<&Resume>,
        cx: &Context,
    ) -> Result<Response, Error> {
        let mut request = self.0.get(url).within(cx);
        if let Some(Resume { offset, validator }) = resume {
            request = request.header("range", &format!("bytes={offset}-"));
            request = request.header("if-range", validator);
        }
        request.send().await
    }
}

impl Source for HttpSource {
    fn open<'a>(
        &'a self,
        url: &'a Url,
        resume: Option<&'a Resume>,
        cx: &'a Context,
    ) -> BoxFuture<'a, Result<Opened, Error>> {
        Box::pin(async move {
            if let Some(resume) = resume {
                let response = self.request(url, Some(resume), cx).await?;
                let status = response.status();
                let range = text(&response, &header::CONTENT_RANGE).and_then(Range::parse);
                match (status, range) {
                    // If-Range has not held, or the server knows no ranges.
                    (StatusCode::OK, _) => return whole(url, response),
                    (StatusCode::PARTIAL_CONTENT, Some(range))
                        if range.first == Some(resume.offset) && is_same(&response, resume) =>
                    {
                        return Ok(rest(url, response, resume, range.total));
                    }
                    // All of it was there already: the file has not changed, and ends here.
                    (StatusCode::RANGE_NOT_SATISFIABLE, Some(range))
                        if range.total == Some(resume.offset) =>
                    {
                        return Ok(ended(url, &response, resume));
                    }
                    (StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE, _) => {}
                    _ => return whole(url, response),
                }
            }
            whole(url, self.request(url, None, cx).await?)
        })
    }
}

/// The response to a request for everything.
fn whole(url: &Url, response: Response) -> Result<Opened, Error> {
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        return Err(refused(&response));
    }
    if !status.is_success() || status == StatusCode::PARTIAL_CONTENT {
        let message = format!("{} answered with status {status}", response.url());
        let error = Error::new(Kind::Status, message).with_endpoint(&response.url().endpoint());
        return Err(if status.is_redirection() {
            error.with_hint("it leads elsewhere, and redirects are not followed")
        } else {
            error.with_hint("the server sends a part that was not asked for")
        });
    }
    let size = response.content_length();
    Ok(opened(url, response, 0, size))
}

/// What a status says about a file, in the terms that every scheme has.
fn refused(response: &Response) -> Error {
    let (url, status) = (response.url(), response.status());
    let kind = match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Kind::NotFound,
        StatusCode::UNAUTHORIZED => Kind::Login,
        StatusCode::FORBIDDEN => Kind::Denied,
        _ => Kind::Status,
    };
    Error::new(kind, format!("{url} answered with status {status}")).with_endpoint(&url.endpoint())
}

fn opened(url: &Url, response: Response, offset: u64, size: Option<u64>) -> Opened {
    let headers = response.headers();
    Opened {
        offset,
        size,
        validator: validator(headers),
        modified: date(headers, &header::LAST_MODIFIED),
        name: file_name(headers, url),
        content: Box::new(Body(Some(response))),
    }
}

/// The response with what is missing.
fn rest(url: &Url, response: Response, resume: &Resume, total: Option<u64>) -> Opened {
    let length = response.content_length();
    let size = total.or_else(|| length?.checked_add(resume.offset));
    let mut opened = opened(url, response, resume.offset, size);
    // A part need not repeat what the whole has said (RFC 9110 section 15.3.7).
    opened.validator = Some(resume.validator.clone());
    opened
}

/// Whether the answer is not one of another version, from a server that does not know `If-Range`.
fn is_same(response: &Response, resume: &Resume) -> bool {
    let is_tag = resume.validator.starts_with('"');
    let name = if is_tag { header::ETAG } else { header::LAST_MODIFIED };
    text(response, &name).is_none_or(|current| current == resume.validator)
}

/// What is there already, and nothing more.
fn ended(url: &Url, response: &Response, resume: &Resume) -> Opened {
    Opened {
        offset: resume.offset,
        size: Some(resume.offset),
        validator: Some(resume.validator.clone()),
        modified: None,
        name: file_name(response.headers(), url),
        content: Box::new(Body(None)),
    }
}

/// A body, until its end or its failure.
struct Body(Option<Response>);

impl Content for Body {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Bytes, Error>>> {
        Box::pin(async {
            let piece = self.0.as_mut()?.chunk().await.transpose();
            if !matches!(piece, Some(Ok(_))) {
                self.0 = None;
            }
            piece
        })
    }

    fn splice_to<'a>(
        &'a mut self,
        file: &'a File,
        told: &'a (dyn Fn(u64) + Sync),
    ) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(async move {
            match &mut self.0 {
                Some(response) => response.splice_to(file, told).await,
                None => Ok(false),
            }
        })
    }
}

fn text<'a>(response: &'a Response, name: &HeaderName) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// What `If-Range` may hold: a strong entity tag, or else a date that is one (RFC 9110 section
/// 8.8.2.2): of content that was not changed in the second of the answer.
fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(tag) = text(header::ETAG) {
        return tag.starts_with('"').then(|| tag.to_owned());
    }
    let modified = date(headers, &header::LAST_MODIFIED)?;
    let age = date(headers, &header::DATE)?.duration_since(modified).ok()?;
    (age >= Duration::from_secs(1)).then(|| text(header::LAST_MODIFIED).map(str::to_owned))?
}

/// A `Content-Range` in bytes (RFC 9110 section 14.4).
#[derive(Debug, PartialEq, Eq)]
struct Range {
    /// The first byte; `None` where no range could be sent.
    first: Option<u64>,
    /// How many bytes the whole has.
    total: Option<u64>,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
        let total = match total {
            "*" => None,
            total => Some(total.parse().ok()?),
        };
        let first = match range {
            "*" => None,
            range => {
                let (first, last) = range.split_once('-')?;
                let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
                let is_whole = first <= last && total.is_none_or(|total| last < total);
                Some(is_whole.then_some(first)?)
            }
        };
        Some(Self { first, total })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    /// RFC 9110 section 14.4.
    #[test]
    fn content_ranges() {
        let range = |first, total| Some(Range { first, total });
        assert_eq!(Range::parse("bytes 42-1233/1234"), range(Some(42), Some(1234)));
        assert_eq!(Range::parse("bytes 42-1233/*"), range(Some(42), None));
        assert_eq!(Range::parse("bytes */1234"), range(None, Some(1234)));
        for text in ["", "bytes", "bytes 42-1233", "bytes 5-4/9", "bytes 0-9/9", "lines 0-1/2"] {
            assert_eq!(Range::parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_what_is_strong_puts_two_tries_together() {
        let of = |fields: &[(HeaderName, &'static str)]| {
            let fields = fields.iter().map(|(n, v)| (n.clone(), HeaderValue::from_static(v)));
            validator(&HeaderMap::from_iter(fields))
        };
        const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
        const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
        let modified = (header::LAST_MODIFIED, DATE);
        assert_eq!(of(&[(header::ETAG, "\"a\""), modified.clone()]).as_deref(), Some("\"a\""));
        assert_eq!(of(&[(header::ETAG, "W/\"a\""), (header::DATE, LATER), modified.clone()]), None);
        assert_eq!(of(&[(header::DATE, LATER), modified.clone()]).as_deref(), Some(DATE));
        assert_eq!(of(&[(header::DATE, DATE), modified.clone()]), None);
        assert_eq!(of(&[modified]), None);
    }

    proptest! {
        #[test]
        fn any_content_range_is_read_or_not(text in "bytes [0-9*]{0,21}-?[0-9]{0,3}/?[0-9*]{0,3}") {
            if let Some(Range { first: Some(first), total: Some(total) }) = Range::parse(&text) {
                prop_assert!(first < total);
            }
        }
    }
}
