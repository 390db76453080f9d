//! The files of one directory, served over HTTP: pages that list them, ranges, conditions,
//! compression, uploads, logins.
//!
//! Nothing outside the directory is read or written, whatever is asked for and whatever is moved or
//! linked meanwhile. WebDAV, archives of directories and changes other than uploads are not here.

mod accounts;
mod attempts;
mod conditions;
mod encodings;
mod find;
mod form;
mod listing;
mod negotiation;
mod page;
mod partial;
mod path;
mod ranges;
mod refusal;
mod representation;
mod root;
mod types;
mod upload;

use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use portolan_core::{Error, Kind};
use tokio::task::spawn_blocking;

pub use accounts::Account;
pub use conditions::{EntityTag, Validators, Verdict};
pub use path::{PathError, RequestPath};
pub use ranges::Ranges;
pub use upload::Upload;

use accounts::Accounts;
use encodings::Encoders;
use find::{Found, Wanted};
use listing::Order;
use refusal::Refusal;
use root::Root;

use crate::server::{Repeatable, User};

/// What browsers may tell the scripts of other sites about an answer, beside what they always may.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "accept-ranges, content-encoding, content-length, content-range, etag, location",
);
/// What scripts of other sites may do: read.
const READING: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
/// For how long browsers may remember what other sites are allowed: a day.
const REMEMBERED: HeaderValue = HeaderValue::from_static("86400");

/// A directory of files that answers requests. Cheap to clone.
///
/// ```
/// use portolan_http::{Files, Server};
/// use portolan_net::Listener;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let files = Files::new("src")?;
/// let listener = Listener::bind(&"http://127.0.0.1:0".parse()?).await?;
/// let url = listener.local_url().with_path("/lib.rs")?;
/// let server = Server::new(files.into_router());
/// let server = tokio::spawn(server.serve(listener, std::future::pending()));
///
/// let response = portolan_http::get(&url).await?;
/// assert!(response.text().await?.starts_with("//! HTTP/1.1"));
/// # server.abort();
/// # Ok(())
/// # }
/// ```
///
/// # Defaults
/// Directories are listed, or their `index.html` is sent; hidden files and symlinks are not found;
/// everybody may read and nobody may write.
#[derive(Clone, Debug)]
pub struct Files {
    settings: Arc<Settings>,
}

/// How files are served.
#[derive(Clone, Debug)]
struct Settings {
    root: Root,
    index: Option<String>,
    is_listed: bool,
    shows_hidden: bool,
    is_spa: bool,
    has_cors: bool,
    headers: HeaderMap,
    encoders: Encoders,
    accounts: Accounts,
    upload: Option<Upload>,
}

impl Files {
    /// The files beneath this directory.
    ///
    /// # Errors
    /// [`Kind::NotFound`] where there is no such directory, [`Kind::Read`] where it cannot be
    /// opened.
    pub fn new(directory: impl AsRef<Path>) -> Result<Self, Error> {
        let directory = directory.as_ref();
        let root = Root::open(directory).map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Kind::NotFound,
                _ => Kind::Read,
            };
            let what = format!("could not open the directory {}", directory.display());
            Error::new(kind, what).with_source(error)
        })?;
        let settings = Settings {
            root,
            index: Some("index.html".to_owned()),
            is_listed: true,
            shows_hidden: false,
            is_spa: false,
            has_cors: false,
            headers: HeaderMap::new(),
            encoders: Encoders::new(64),
            accounts: Accounts::default(),
            upload: None,
        };
        Ok(Self { settings: Arc::new(settings) })
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// The name of the file that is sent in place of its directory, if any.
    ///
    /// # Defaults
    /// `index.html`.
    #[must_use]
    pub fn with_index(self, name: Option<&str>) -> Self {
        self.with(|settings| settings.index = name.map(str::to_owned))
    }

    /// Whether directories are listed, as a page or, where `Accept` asks for it, as JSON. Those
    /// that are not are not found.
    ///
    /// # Defaults
    /// Yes.
    #[must_use]
    pub fn with_listing(self, is_listed: bool) -> Self {
        self.with(|settings| settings.is_listed = is_listed)
    }

    /// Whether names that begin with a dot are served and listed.
    ///
    /// # Defaults
    /// No.
    #[must_use]
    pub fn with_hidden(self, shows_hidden: bool) -> Self {
        self.with(|settings| settings.shows_hidden = shows_hidden)
    }

    /// Whether symlinks are followed. Those that lead out of the directory, and those that are
    /// absolute, never are; nor is any where the kernel cannot check it (Linux before 5.6, and other
    /// systems).
    ///
    /// # Defaults
    /// No.
    #[must_use]
    pub fn with_follow_symlinks(self, follows: bool) -> Self {
        self.with(|settings| settings.root = settings.root.clone().with_follow_symlinks(follows))
    }

    /// Whether the directory holds an application of one page, which routes by itself: its index is
    /// sent for pages that are not found. Names with a dot in the last segment count as pages only
    /// where `Accept` names `text/html`.
    ///
    /// # Defaults
    /// No.
    #[must_use]
    pub fn with_spa(self, is_spa: bool) -> Self {
        self.with(|settings| settings.is_spa = is_spa)
    }

    /// Whether scripts of every other site may read (the CORS protocol of the Fetch standard, any
    /// origin). Write they never may, whatever uploads are taken.
    ///
    /// # Defaults
    /// No.
    #[must_use]
    pub fn with_cors(self, has_cors: bool) -> Self {
        self.with(|settings| settings.has_cors = has_cors)
    }

    /// A header field that every answer has, in place of those of the same name that it would have.
    /// A name that comes twice is sent twice.
    #[must_use]
    pub fn with_header(self, name: HeaderName, value: HeaderValue) -> Self {
        self.with(|settings| {
            settings.headers.append(name, value);
        })
    }

    /// How many answers are compressed at once while they are sent. Those beyond are sent as they
    /// are, because each that is compressed holds memory for as long as its client takes to read.
    ///
    /// # Defaults
    /// 64.
    #[must_use]
    pub fn with_encoders(self, limit: usize) -> Self {
        self.with(|settings| settings.encoders = Encoders::new(limit))
    }

    /// Asks for a login (RFC 7617), with this account or with another that was given.
    ///
    /// One that was right is remembered. No more than 64 others are verified or wait for it, and 8 of
    /// one address: beyond that the answer is 503 or 429, to be asked for again.
    #[must_use]
    pub fn with_auth(self, account: Account) -> Self {
        self.with(|settings| settings.accounts.add(account))
    }

    /// Takes uploads: a file by PUT, and any number of them by a form in the pages that list.
    #[must_use]
    pub fn with_upload(self, upload: Upload) -> Self {
        self.with(|settings| settings.upload = Some(upload))
    }

    /// Routes that lead every request here.
    pub fn into_router(self) -> Router {
        Router::new().fallback(move |request: Request| {
            let files = self.clone();
            async move { files.respond(request).await }
        })
    }

    /// Answers one request. Whole files and single ranges of them come as a
    /// [`FileSlice`](crate::FileSlice), which [`Server`](crate::Server) sends.
    pub async fn respond(&self, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let head = Arc::new(head);
        let mut response = match self.answer(&head, body).await {
            Ok(response) => response,
            Err(refusal) => refusal.into_response(&head.headers),
        };
        self.dress(response.headers_mut());
        response
    }

    /// Adds what every answer has.
    pub(crate) fn dress(&self, headers: &mut HeaderMap) {
        if self.settings.has_cors {
            let anybody = HeaderValue::from_static("*");
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, anybody);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
        for name in self.settings.headers.keys() {
            headers.remove(name);
        }
        headers.extend(self.settings.headers.clone());
    }

    async fn answer(&self, head: &Arc<Parts>, body: Body) -> Result<Response, Refusal> {
        // Browsers send no login with the question whether they may.
        if head.method == Method::OPTIONS {
            return Ok(self.settings.options(&head.headers));
        }
        let user = self.settings.accounts.admit(head).await?;
        let mut response = match self.act(head, body).await {
            Ok(response) => response,
            Err(refusal) => refusal.into_response(&head.headers),
        };
        if let Some(user) = user {
            response.extensions_mut().insert(User(user));
        }
        Ok(response)
    }

    /// Does what somebody asks for who may come in.
    async fn act(&self, head: &Arc<Parts>, body: Body) -> Result<Response, Refusal> {
        match (&head.method, &self.settings.upload) {
            (&Method::GET | &Method::HEAD, _) => self.read(head).await,
            (&Method::PUT, Some(upload)) => upload.put(&self.settings, head, body).await,
            (&Method::POST, Some(upload)) => upload.post(&self.settings, head, body).await,
            _ => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this method is not for files")
                .with_header(header::ALLOW, self.settings.allowed())),
        }
    }

    /// Answers GET and HEAD.
    async fn read(&self, head: &Arc<Parts>) -> Result<Response, Refusal> {
        let (settings, head) = (self.settings.clone(), head.clone());
        on_disk(move || {
            let path = RequestPath::parse(head.uri.path().as_bytes())?;
            match settings.find(&path, &Wanted::by(&head.headers))? {
                Found::File(file) => {
                    let mut response = file.respond(&head.method, &head.headers)?;
                    if settings.answers_all_alike() {
                        response.extensions_mut().insert(Repeatable);
                    }
                    Ok(response)
                }
                Found::Directory => Ok(redirect(&path, head.uri.query())),
                Found::Listing(mut listing) => {
                    listing.sort(Order::by(head.uri.query()));
                    Ok(listing.respond(&head.headers, &settings))
                }
            }
        })
        .await
    }
}

impl Settings {
    /// Whether only the target, the codings, the conditions and the ranges of a request decide what
    /// is sent for it.
    fn answers_all_alike(&self) -> bool {
        self.accounts.is_empty() && !self.is_spa
    }

    /// The methods that are answered.
    const fn allowed(&self) -> HeaderValue {
        match self.upload {
            Some(_) => HeaderValue::from_static("GET, HEAD, OPTIONS, POST, PUT"),
            None => READING,
        }
    }

    /// Answers OPTIONS, also where a browser asks on behalf of another site.
    fn options(&self, asked: &HeaderMap) -> Response {
        let mut response = StatusCode::NO_CONTENT.into_response();
        let headers = response.headers_mut();
        headers.insert(header::ALLOW, self.allowed());
        if self.has_cors && asked.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, READING);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED);
            if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
            }
        }
        response
    }
}

/// The way to a directory that was asked for without the slash at its end. It is relative, so that
/// it holds wherever the files are mounted, and can lead to no other host.
fn redirect(path: &RequestPath, query: Option<&str>) -> Response {
    let name = path.path().file_name().unwrap_or_default();
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let location = format!("{}{query}", path::reference(name, true));
    let mut response = StatusCode::MOVED_PERMANENTLY.into_response();
    response.headers_mut().insert(header::LOCATION, field(location));
    response
}

/// Does what may have to wait for the disk, off the event loop.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The value of a field, from text that is ASCII and visible because we have made it.
fn field(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}
