//! The body that a command line asks for: made of items, or taken from a file or stdin.

use std::fs::{self, File};
use std::io::{self, Cursor};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::http::header::InvalidHeaderValue;
use portolan::http::{self, Body, Form, Piece, Request};
use portolan::{Error, Kind};
use tokio::io::AsyncReadExt;

use crate::args::http::{Asked, HttpArgs};
use crate::args::items::json::{self, Json};
use crate::args::items::{Item, check_json};
use crate::console::Console;

/// A longer body on stdin is sent as it comes, and so only once.
const STDIN_KEPT: usize = 1024 * 1024;
/// The longest body that is shown.
const SHOWN_MAX: usize = 64 * 1024 * 1024;
/// How long stdin may say nothing before a word is said about it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The body of a request.
#[derive(Debug)]
pub(super) enum Payload {
    /// No body.
    None,
    /// These bytes, of this media type.
    Bytes(Vec<u8>, &'static str),
    /// The fields of a form.
    Form(Vec<(String, String)>),
    /// A multipart form, and its parts.
    Multipart(Form, Vec<Part>),
    /// A file, and its media type.
    File(PathBuf, String),
    /// A pipe with a name, and its media type.
    Pipe(File, String),
    /// What stdin has said, and is yet to say.
    Stdin(Vec<u8>),
}

/// A part of a multipart form.
#[derive(Debug)]
pub(super) struct Part {
    /// The field's name.
    pub(super) name: String,
    /// What it holds.
    pub(super) content: Content,
}

/// What a part of a multipart form holds.
#[derive(Debug)]
pub(super) enum Content {
    /// Text.
    Text(String),
    /// A file, and its media type.
    File(PathBuf, String),
}

/// The media type of JSON.
pub(super) const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const TEXT: &str = "text/plain; charset=utf-8";
const BINARY: &str = "application/octet-stream";

impl Payload {
    /// The body that `asked` and the flags describe. Files of fields are read, others only looked
    /// at.
    ///
    /// # Errors
    /// [`Kind::Usage`] for items that do not fit together, and files that cannot be read.
    pub(super) fn gather(args: &HttpArgs, asked: &Asked) -> Result<Self, Error> {
        let fields: Vec<_> = asked.items.iter().filter(|item| item.is_field()).collect();
        let file = asked.items.iter().find_map(|item| match item {
            Item::Body(file) if file != Path::new("-") => Some(file),
            _ => None,
        });
        let has_uploads = fields.iter().any(|field| matches!(field, Item::Upload { .. }));
        let is_form = args.request.form;
        match (file, &args.request.body) {
            (Some(file), _) => {
                let media_type = if is_form { FORM.to_owned() } else { media_type(file) };
                Self::from_file(file, media_type)
            }
            (_, Some(text)) if is_form => Ok(Self::Bytes(text.clone().into(), FORM)),
            (_, Some(text)) => Ok(Self::from_bytes(text.clone().into())),
            _ if fields.is_empty() => Ok(Self::None),
            _ if args.request.multipart || has_uploads => {
                Self::multipart(fields.into_iter().map(part).collect::<Result<_, _>>()?)
            }
            _ if is_form => fields.into_iter().map(pair).collect::<Result<_, _>>().map(Self::Form),
            _ => object(&fields),
        }
    }

    /// What stdin says, up to its end, or as much as is kept. Each piece must come within `limit`.
    ///
    /// # Errors
    /// [`Kind::Timeout`], [`Kind::Read`].
    pub(super) async fn from_stdin(
        is_form: bool,
        limit: Option<Duration>,
        console: &Console,
    ) -> Result<Self, Error> {
        let mut said = Vec::new();
        while said.len() < STDIN_KEPT {
            let room = (STDIN_KEPT - said.len()) as u64;
            let mut piece = tokio::io::stdin().take(room);
            let reading = piece.read_buf(&mut said);
            if patiently(reading, limit, console).await? == 0 {
                return Ok(match said.is_empty() {
                    true => Self::None,
                    false if is_form => Self::Bytes(said, FORM),
                    false => Self::from_bytes(said),
                });
            }
        }
        Ok(Self::Stdin(said))
    }

    fn from_file(file: &Path, media_type: String) -> Result<Self, Error> {
        let unreadable = |cause| unreadable(file, cause);
        // Opening a pipe waits for its other side, and closing it would end that.
        if fs::metadata(file).map_err(unreadable)?.file_type().is_fifo() {
            return Ok(Self::Pipe(File::open(file).map_err(unreadable)?, media_type));
        }
        Piece::file(file).map_err(unreadable)?;
        Ok(Self::File(file.to_owned(), media_type))
    }

    fn multipart(parts: Vec<Part>) -> Result<Self, Error> {
        let mut form = Form::new()?;
        for part in &parts {
            form = form.with(&part.name, part.encoded()?);
        }
        Ok(Self::Multipart(form, parts))
    }

    fn from_bytes(bytes: Vec<u8>) -> Self {
        let media_type = match std::str::from_utf8(&bytes) {
            Ok(text) if check_json("", text).is_ok() => JSON,
            Ok(_) => TEXT,
            Err(_) => BINARY,
        };
        Self::Bytes(bytes, media_type)
    }

    /// Whether there is no body.
    #[must_use]
    pub(super) const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Gives the request this body.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a file that can no longer be read.
    pub(super) fn put(&self, request: Request) -> Result<Request, Error> {
        Ok(match self {
            Self::None => request,
            Self::Bytes(bytes, _) => request.body(bytes.clone()),
            Self::Form(pairs) => {
                request.form(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            }
            Self::Multipart(form, _) => request.multipart(form),
            Self::File(file, _) => {
                request.body(Body::file(file).map_err(|cause| unreadable(file, cause))?)
            }
            Self::Pipe(pipe, _) => request.body(Body::reader(reader(pipe)?)),
            Self::Stdin(said) => {
                request.body(Body::reader(Cursor::new(said.clone()).chain(tokio::io::stdin())))
            }
        })
    }

    /// What the body is, where the library does not know it.
    #[must_use]
    pub(super) fn media_type(&self) -> Option<&str> {
        match self {
            Self::Bytes(_, media_type) => Some(media_type),
            Self::File(_, media_type) | Self::Pipe(_, media_type) => Some(media_type),
            Self::Stdin(_) => Some(BINARY),
            Self::None | Self::Form(_) | Self::Multipart(..) => None,
        }
    }

    /// Whether the body is JSON, so that JSON is wanted back.
    #[must_use]
    pub(super) fn is_json(&self) -> bool {
        matches!(self, Self::Bytes(_, JSON))
    }
}

impl Part {
    /// As the library has it.
    fn encoded(&self) -> Result<http::Part, Error> {
        let (file, media_type) = match &self.content {
            Content::Text(text) => return Ok(http::Part::text(text)),
            Content::File(file, media_type) => (file, media_type),
        };
        let media_type = media_type.parse().map_err(|cause: InvalidHeaderValue| {
            let message = format!("'{}' has a media type that is none", self.name);
            Error::new(Kind::Usage, message).with_source(cause)
        })?;
        let part = http::Part::file(file).map_err(|cause| {
            let message = format!("could not send the file of '{}'", self.name);
            Error::new(Kind::Usage, message).with_source(cause)
        })?;
        Ok(part.with_content_type(media_type))
    }
}

/// A reader of a pipe that stays open.
fn reader(pipe: &File) -> Result<tokio::fs::File, Error> {
    let pipe = pipe.try_clone().map_err(|cause| {
        Error::new(Kind::Read, "could not read the pipe of an item").with_source(cause)
    })?;
    Ok(tokio::fs::File::from_std(pipe))
}

/// All of a body, within what is shown of a request.
///
/// # Errors
/// [`Kind::Read`]; [`Kind::Usage`] for a body that is too long.
pub(super) async fn shown(body: Body) -> Result<Vec<u8>, Error> {
    let read = body.read(SHOWN_MAX).await;
    let read = read.map_err(|cause| {
        Error::new(Kind::Read, "could not read the body of the request").with_source(cause)
    })?;
    let message = "the body is longer than the 64 MiB that are shown of a request";
    read.map(Into::into).ok_or_else(|| Error::new(Kind::Usage, message))
}

/// Whether the body is on stdin: where that is said, or where there is no other one, the method is
/// one that has a body, and stdin is a pipe or a file.
pub(super) fn is_on_stdin(asked: &Asked, other: &Payload) -> bool {
    const WITHOUT: [&str; 6] = ["GET", "HEAD", "OPTIONS", "TRACE", "CONNECT", "DELETE"];
    let is_named = |item: &Item| matches!(item, Item::Body(file) if file == Path::new("-"));
    let has_body = asked.method.as_deref().is_none_or(|method| !WITHOUT.contains(&method));
    let is_source = || {
        let about = fs::metadata("/dev/stdin");
        about.is_ok_and(|about| about.file_type().is_fifo() || about.is_file())
    };
    asked.items.iter().any(is_named) || (other.is_none() && has_body && is_source())
}

/// Reads from stdin, and says so where that takes its time.
async fn patiently(
    reading: impl Future<Output = io::Result<usize>>,
    limit: Option<Duration>,
    console: &Console,
) -> Result<usize, Error> {
    let mut reading = std::pin::pin!(reading);
    let failed = |cause| Error::new(Kind::Read, "could not read stdin").with_source(cause);
    tokio::select! {
        read = &mut reading => return read.map_err(failed),
        () = tokio::time::sleep(PATIENCE) => {}
    }
    console.note("reading the body from stdin; with </dev/null there is none");
    let Some(limit) = limit else { return reading.await.map_err(failed) };
    tokio::select! {
        read = &mut reading => read.map_err(failed),
        () = tokio::time::sleep(limit.saturating_sub(PATIENCE)) => {
            Err(Error::new(Kind::Timeout, "stdin is to be the body, and says nothing"))
        }
    }
}

/// The JSON body of these items.
fn object(fields: &[&Item]) -> Result<Payload, Error> {
    let mut body = Json::default();
    for field in fields {
        match field {
            Item::Text(name, text) => body.put(name, json::string(text))?,
            Item::TextFile(name, file) => body.put(name, json::string(&text_of(file)?))?,
            Item::Json(name, value) => body.put(name, value.clone())?,
            Item::JsonFile(name, file) => {
                let value = text_of(file)?;
                check_json(name, &value)?;
                body.put(name, value.trim().to_owned())?;
            }
            _ => {}
        }
    }
    Ok(Payload::Bytes(body.to_string().into_bytes(), JSON))
}

/// A field of a form.
fn pair(field: &Item) -> Result<(String, String), Error> {
    match field {
        Item::TextFile(name, file) => Ok((name.clone(), text_of(file)?)),
        Item::Text(name, text) => Ok((name.clone(), text.clone())),
        other => Err(Error::new(Kind::Usage, format!("a form has no place for {other:?}"))),
    }
}

/// A part of a multipart form.
fn part(field: &Item) -> Result<Part, Error> {
    let Item::Upload { name, file, media_type: given } = field else {
        let (name, text) = pair(field)?;
        return Ok(Part { name, content: Content::Text(text) });
    };
    let media_type = given.clone().unwrap_or_else(|| media_type(file));
    Ok(Part { name: name.clone(), content: Content::File(file.clone(), media_type) })
}

fn text_of(file: &Path) -> Result<String, Error> {
    fs::read_to_string(file).map_err(|cause| unreadable(file, cause))
}

fn unreadable(file: &Path, cause: io::Error) -> Error {
    let message = format!("could not read the file '{}' of an item", file.display());
    Error::new(Kind::Usage, message).with_source(cause)
}

/// The media type that a file's name tells.
fn media_type(file: &Path) -> String {
    mime_guess::from_path(file).first_or_octet_stream().to_string()
}
