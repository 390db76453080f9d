//! Files that come: one by PUT, any number by a form. Each is written under a temporary name, and
//! gets its own when it is whole and on the disk.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http_body_util::Limited;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use serde_json::json;

use super::conditions::Verdict;
use super::form::{Form, FormFile};
use super::negotiation::accepts_pages;
use super::partial::{Partial, Room, standing};
use super::path::reference;
use super::refusal::Refusal;
use super::representation::Encoding;
use super::root::{Facts, Root};
use super::{RequestPath, Settings, field, on_disk};
use crate::disposition::{portable_name, safe_name};

/// More files than this in one form are too many.
const FILES_MAX: usize = 1000;
/// The longest name that file systems take, in bytes.
const NAME_MAX: usize = 255;
/// How much larger than its files a form may be.
const FORM_MAX: u64 = 1024 * 1024;

/// What uploads are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    max: u64,
    overwrites: bool,
}

impl Default for Upload {
    fn default() -> Self {
        Self { max: 1024 * 1024 * 1024, overwrites: false }
    }
}

impl Upload {
    /// The most bytes in the files of one request. Beyond it: 413.
    ///
    /// # Defaults
    /// 1 GiB.
    #[must_use]
    pub const fn with_max(mut self, bytes: u64) -> Self {
        self.max = bytes;
        self
    }

    /// Whether a file that is there is replaced. If not: 409. What is no file, such as a symlink,
    /// never is.
    ///
    /// # Defaults
    /// No.
    #[must_use]
    pub const fn with_overwrite(mut self, overwrites: bool) -> Self {
        self.overwrites = overwrites;
        self
    }
}

impl Upload {
    /// Answers PUT: the body is the file.
    pub(super) async fn put(
        &self,
        settings: &Settings,
        head: &Arc<Parts>,
        body: Body,
    ) -> Result<Response, Refusal> {
        if head.headers.contains_key(header::CONTENT_RANGE) {
            // A part must not be taken for the whole (RFC 9110 section 14.5).
            return Err(bad_request("files are taken whole, not in parts"));
        }
        let path = self.admit(settings, head, 0)?;
        let name = file_name(&path)?;
        let (directory, current) = inspect(&settings.root, &path, name).await?;
        self.judge(head, current)?;
        let mut partial = Partial::create(directory, name).await?;
        partial.fill(body.into_data_stream(), &mut Room::new(self.max)).await?;
        // What stands there may be another by now.
        let (upload, head) = (self.clone(), head.clone());
        let is_new = partial.keep(move |current| upload.judge(&head, current)).await?;
        Ok(if is_new { StatusCode::CREATED } else { StatusCode::NO_CONTENT }.into_response())
    }

    /// Answers POST to a directory: the body is a form with files. Each is kept as it comes, also
    /// where a later one is refused.
    pub(super) async fn post(
        &self,
        settings: &Settings,
        head: &Parts,
        body: Body,
    ) -> Result<Response, Refusal> {
        let path = self.admit(settings, head, FORM_MAX)?;
        let limit = usize::try_from(self.max.saturating_add(FORM_MAX)).unwrap_or(usize::MAX);
        let mut form = Form::new(&head.headers, Body::new(Limited::new(body, limit)))?;
        let (mut saved, mut room) = (Vec::new(), Room::new(self.max));
        while let Some((name, content)) = form.next().await? {
            let name = safe_name(&name).ok_or_else(|| bad_request("a file has no name"))?;
            if saved.len() == FILES_MAX {
                let why = format!("one form has at most {FILES_MAX} files");
                return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, why));
            }
            let directory = open_directory(&settings.root, path.path()).await?;
            let kept = self.keep(directory, &name, content, &mut room).await;
            let size = kept.map_err(|refusal| refusal.about(&name))?;
            let href = reference(OsStr::new(&name), false);
            saved.push(json!({ "name": name, "href": href, "size": size }));
        }
        if saved.is_empty() {
            return Err(bad_request("the form has no file"));
        }
        if accepts_pages(&head.headers) {
            return Ok(back_to(&path));
        }
        Ok((StatusCode::CREATED, Json(json!({ "files": saved }))).into_response())
    }

    /// Keeps one file of a form; its size.
    async fn keep(
        &self,
        directory: OwnedFd,
        name: &str,
        content: FormFile,
        room: &mut Room,
    ) -> Result<u64, Refusal> {
        let mut partial = Partial::create(directory, OsStr::new(name)).await?;
        let size = partial.fill(content, room).await?;
        let upload = self.clone();
        partial.keep(move |current| upload.judge_replacing(current)).await?;
        Ok(size)
    }

    /// Whether a PUT may go on in view of what stands there.
    fn judge(&self, head: &Parts, current: Option<Facts>) -> Result<(), Refusal> {
        let validators = current.map(|facts| Encoding::Identity.validators(facts));
        if Verdict::of(&head.method, &head.headers, validators.as_ref()) != Verdict::Proceed {
            let why = "there is another version of the file than the one that is meant";
            return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, why));
        }
        self.judge_replacing(current)
    }

    fn judge_replacing(&self, current: Option<Facts>) -> Result<(), Refusal> {
        if current.is_some() && !self.overwrites { Err(Errno::EXIST.into()) } else { Ok(()) }
    }

    /// What is asked before anything is read: whether it may be written there, and is not too
    /// large; a body may be longer than its files by `overhead`.
    fn admit(
        &self,
        settings: &Settings,
        head: &Parts,
        overhead: u64,
    ) -> Result<RequestPath, Refusal> {
        if is_foreign(head) {
            let why = "pages of other sites may not upload here";
            return Err(Refusal::new(StatusCode::FORBIDDEN, why));
        }
        let path = RequestPath::parse(head.uri.path().as_bytes())?;
        if !settings.shows(&path) {
            return Err(Errno::NOENT.into());
        }
        let length = head.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let length = length.and_then(|length| length.parse::<u64>().ok()).unwrap_or_default();
        Room::new(self.max).take(length.saturating_sub(overhead))?;
        Ok(path)
    }
}

/// The name for the file of a PUT. It is taken as it is or not at all, so that the file is found
/// where it was put. Whether it may begin with a dot was asked before.
fn file_name(path: &RequestPath) -> Result<&OsStr, Refusal> {
    let name = path.path().file_name().filter(|_| !path.is_directory());
    let name = name.ok_or_else(|| bad_request("a file has a name, and no slash after it"))?;
    let text = name.to_str().ok_or_else(|| bad_request("the name of a file is UTF-8"))?;
    let visible = text.trim_start_matches('.');
    if visible.is_empty() || portable_name(visible) != visible {
        return Err(bad_request(
            "not every system could keep a file of this name: it has none of < > : \" | ? * \\, \
             nothing invisible, no space or dot at its end, and is no device such as con",
        ));
    }
    if text.len() > NAME_MAX {
        return Err(bad_request(&format!("the name of a file has at most {NAME_MAX} bytes")));
    }
    Ok(name)
}

/// The directory for a file, and what stands there under its name already.
async fn inspect(
    root: &Root,
    path: &RequestPath,
    name: &OsStr,
) -> Result<(OwnedFd, Option<Facts>), Refusal> {
    let (root, path, name) = (root.clone(), path.path().to_owned(), name.to_owned());
    on_disk(move || {
        let directory = directory(&root, path.parent().unwrap_or(Path::new("")))?;
        let current = standing(&directory, &name)?;
        Ok((directory, current.as_ref().map(Facts::from)))
    })
    .await
}

async fn open_directory(root: &Root, path: &Path) -> Result<OwnedFd, Refusal> {
    let (root, path) = (root.clone(), path.to_owned());
    on_disk(move || directory(&root, &path)).await
}

/// Opens the directory in which a file is to be.
fn directory(root: &Root, path: &Path) -> Result<OwnedFd, Refusal> {
    root.open_directory(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            Refusal::new(StatusCode::NOT_FOUND, "the directory for it does not exist")
        }
        _ => error.into(),
    })
}

fn bad_request(why: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, why)
}

/// Sends a browser back to the page where the form was.
fn back_to(path: &RequestPath) -> Response {
    let name = path.path().file_name().filter(|_| !path.is_directory());
    let location = name.map_or_else(|| "./".to_owned(), |name| reference(name, true));
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::LOCATION, field(location));
    response
}

/// Whether a page of another site has made a browser send this: forms need no permission for it.
/// Programs other than browsers say nothing about where they come from.
fn is_foreign(head: &Parts) -> bool {
    let text = |name: &str| head.headers.get(name).map(HeaderValue::as_bytes);
    match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => !matches!(site, b"same-origin" | b"none"),
        (None, Some(origin)) => {
            let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
            let host = authority.or_else(|| text("host")).unwrap_or_default();
            let origin = [b"http://".as_slice(), b"https://"]
                .iter()
                .find_map(|scheme| origin.strip_prefix(*scheme));
            origin.is_none_or(|origin| !origin.eq_ignore_ascii_case(host))
        }
        (None, None) => false,
    }
}
