//! What `http` prints of an exchange, as it comes.

use http::header::{CONTENT_TYPE, HeaderMap};
use portolan::http::{EventParser, Response};
use portolan::{Error, Kind};
use serde_json::json;

use crate::args::http::Parts;
use crate::console::Console;
use crate::run::blocking;
use crate::sanitize::sanitize;
use crate::show::body;
use crate::show::format::Syntax;
use crate::show::http::{self as show, BodyReport, HttpReport, RedirectReport, TimingsReport};

/// The longest body that JSON holds.
const BODY_MAX: usize = 64 * 1024 * 1024;
/// The longest line that JSON holds of a body that comes line by line.
const LINE_MAX: usize = 1024 * 1024;

/// Prints the parts of an exchange that are asked for, with an empty line between.
pub(super) struct Output {
    console: Console,
    parts: Parts,
    /// What was printed last, if anything was.
    last: Option<u8>,
}

impl Output {
    pub(super) const fn new(console: &Console, parts: Parts) -> Self {
        Self { console: *console, parts, last: None }
    }

    /// Whether anything of the request's body is printed.
    pub(super) const fn wants_request_body(&self) -> bool {
        self.parts.request_body
    }

    pub(super) fn request_head(&mut self, line: &str, headers: &HeaderMap) -> Result<(), Error> {
        if !self.parts.request_head {
            return Ok(());
        }
        self.block(&show::request_head(line, &self.harmless(headers)))
    }

    /// Prints a piece of the request's body.
    pub(super) async fn request_body(
        &mut self,
        media_type: &str,
        bytes: Vec<u8>,
    ) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.part()?;
        let Some(mut text) = self.text(media_type, &bytes) else {
            return self.write(bytes).await;
        };
        let shown = text.push(&bytes) + &text.finish();
        self.print(&shown)
    }

    /// Prints what is asked for of the response.
    pub(super) async fn response(&mut self, response: &mut Response) -> Result<(), Error> {
        if self.parts.response_head {
            let line = status_line(response);
            let fields = self.harmless(response.headers());
            let line = if self.console.is_for_people() { sanitize(&line) } else { line.into() };
            self.block(&show::response_head(&line, response.status().as_u16(), &fields))?;
        }
        let mut size = 0;
        if self.parts.response_body {
            size = self.body(response).await?;
        } else if self.parts.meta {
            while let Some(piece) = response.chunk().await? {
                size += piece.len() as u64;
            }
        }
        if self.parts.meta {
            self.block(&show::meta(&response.timings(), size))?;
        }
        Ok(())
    }

    /// Prints the body as it comes, and gives how long it was.
    async fn body(&mut self, response: &mut Response) -> Result<u64, Error> {
        let media_type = media_type(response.headers());
        let Some(mut piece) = response.chunk().await? else { return Ok(0) };
        self.part()?;
        let mut text = self.text(&media_type, &piece);
        if self.console.is_for_people() && text.is_none() {
            let length = response.content_length().map(|length| format!("{length} bytes of "));
            let length = length.unwrap_or_default();
            let media_type = sanitize(&media_type);
            self.console.note(&format!("the body is not shown: {length}{media_type} are no text"));
            self.console.hint("to have it, write it into a file or a pipe");
            return Ok(piece.len() as u64);
        }
        let mut size = 0;
        loop {
            size += piece.len() as u64;
            match &mut text {
                Some(text) => self.print(&text.push(&piece))?,
                None => self.write(piece.into()).await?,
            }
            if text.is_none() && self.splice(response).await? {
                return Ok(response.received());
            }
            match response.chunk().await? {
                Some(next) => piece = next,
                None => break,
            }
        }
        if let Some(text) = text {
            self.print(&text.finish())?;
        }
        Ok(size)
    }

    /// Lets the kernel move the rest of a body to stdout, where it can and nothing comes after it.
    async fn splice(&self, response: &mut Response) -> Result<bool, Error> {
        if self.parts.meta {
            return Ok(false);
        }
        response.splice_to(&self.console.data_file()?, &|_| {}).await
    }

    /// The body as text for people, where it is for people, and text.
    fn text(&self, media_type: &str, first: &[u8]) -> Option<body::Body> {
        if self.console.is_for_people() { body::Body::begin(media_type, first) } else { None }
    }

    fn block(&mut self, text: &str) -> Result<(), Error> {
        self.part()?;
        self.print(text)
    }

    /// Begins a part: an empty line stands before it, unless it is the first.
    fn part(&mut self) -> Result<(), Error> {
        let gap: &[u8] = match self.last {
            None => return Ok(()),
            Some(b'\n') => b"\n",
            Some(_) => b"\n\n",
        };
        self.console.data(gap)
    }

    fn print(&mut self, text: &str) -> Result<(), Error> {
        self.last = text.bytes().last().or(self.last);
        self.console.styled(text)
    }

    /// Writes as much at once as came at once. A reader that takes its time holds up nothing else.
    async fn write(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        self.last = bytes.last().copied().or(self.last);
        let console = self.console;
        blocking(move || console.data(&bytes)).await
    }

    fn harmless(&self, headers: &HeaderMap) -> Vec<(String, String)> {
        let mut fields = fields(headers);
        if self.console.is_for_people() {
            for (_, value) in &mut fields {
                *value = sanitize(value).into_owned();
            }
        }
        fields
    }
}

/// Prints the response as one object, and before it an object for each event or line where it is a
/// stream of them.
pub(super) async fn report(response: &mut Response, console: &Console) -> Result<(), Error> {
    let mut body = Vec::new();
    let mut size = 0;
    let syntax = Syntax::of(&media_type(response.headers()));
    let mut stream = match syntax {
        Some(Syntax::Events) => Pieces::Events(EventParser::new()),
        Some(Syntax::JsonLines) => Pieces::Lines(Vec::new()),
        _ => Pieces::Whole,
    };
    while let Some(piece) = response.chunk().await? {
        size += piece.len() as u64;
        match stream {
            Pieces::Whole if body.len() + piece.len() > BODY_MAX => return Err(too_long(BODY_MAX)),
            Pieces::Whole => body.extend_from_slice(&piece),
            _ => stream.push(&piece, console)?,
        }
    }
    stream.finish(console)?;
    let body = match stream {
        Pieces::Whole => BodyReport::new(body),
        _ => BodyReport::default(),
    };
    let redirects = response
        .history()
        .iter()
        .map(|hop| RedirectReport { status: hop.status.as_u16(), url: hop.url.to_string() });
    let report = HttpReport {
        method: response.sent().method.to_string(),
        url: response.url().to_string(),
        status: response.status().as_u16(),
        reason: response.reason(),
        version: version_name(response.version()),
        headers: fields(response.headers()),
        body,
        size,
        redirects: redirects.collect(),
        timings: TimingsReport::new(&response.timings()),
    };
    console.json("http", &report)
}

/// What of a body is told before its end.
enum Pieces {
    /// Nothing.
    Whole,
    /// Server-sent events.
    Events(EventParser),
    /// Lines, and the one that has begun.
    Lines(Vec<u8>),
}

impl Pieces {
    fn push(&mut self, bytes: &[u8], console: &Console) -> Result<(), Error> {
        match self {
            Self::Whole => Ok(()),
            Self::Events(parser) => {
                parser.push(bytes)?;
                while let Some(event) = parser.next_event() {
                    let body = json!({"event": event.event, "data": event.data, "id": event.id});
                    console.json("event", &body)?;
                }
                Ok(())
            }
            Self::Lines(begun) => {
                begun.extend_from_slice(bytes);
                let whole = begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                let lines: Vec<u8> = begun.drain(..whole).collect();
                for line in lines.split_inclusive(|byte| *byte == b'\n') {
                    tell_line(line, console)?;
                }
                if begun.len() > LINE_MAX { Err(too_long(LINE_MAX)) } else { Ok(()) }
            }
        }
    }

    fn finish(&mut self, console: &Console) -> Result<(), Error> {
        match self {
            Self::Lines(begun) if !begun.is_empty() => tell_line(begun, console),
            _ => Ok(()),
        }
    }
}

fn tell_line(line: &[u8], console: &Console) -> Result<(), Error> {
    let text = String::from_utf8_lossy(line);
    console.json("line", &json!({"text": text.trim_end_matches(['\r', '\n'])}))
}

fn too_long(limit: usize) -> Error {
    let limit = limit / 1024 / 1024;
    Error::new(Kind::Protocol, format!("the answer is longer than the {limit} MiB that JSON holds"))
        .with_hint("without --json it is printed as it comes")
}

/// The fields in order, with their values as text.
pub(super) fn fields(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect()
}

/// The media type that the fields tell; empty where they do not.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    value.unwrap_or_default().into_owned()
}

fn status_line(response: &Response) -> String {
    let version = version_name(response.version());
    let line = format!("{version} {} {}", response.status().as_u16(), response.reason());
    line.trim_end().to_owned()
}

/// The version as it stands in a status line.
pub(super) fn version_name(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_09 => "HTTP/0.9",
        http::Version::HTTP_10 => "HTTP/1.0",
        http::Version::HTTP_2 => "HTTP/2",
        http::Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}
