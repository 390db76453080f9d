//! Answers to what cannot be done: a status, and why, as a line or as a page.

use std::io;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use rustix::io::Errno;

use super::negotiation::accepts_pages;
use super::{PathError, page};
use crate::server::Failure;

/// Why a request gets no file.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    why: String,
    header: Option<(HeaderName, HeaderValue)>,
    /// What the system said, for who runs the server.
    failure: Option<io::Error>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into(), header: None, failure: None }
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }

    /// Says which of several files it is about.
    pub(super) fn about(mut self, name: &str) -> Self {
        self.why = format!("{}: {name}", self.why);
        self
    }

    #[cfg(test)]
    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    /// The answer: a page for browsers, a line for everybody else.
    pub(super) fn into_response(self, asked: &HeaderMap) -> Response {
        let mut response = if accepts_pages(asked) {
            page::refusal(self.status, &self.why)
        } else {
            format!("{}\n", self.why).into_response()
        };
        *response.status_mut() = self.status;
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
        response.headers_mut().extend(self.header);
        if let Some(error) = self.failure {
            response.extensions_mut().insert(Failure(error.to_string()));
        }
        response
    }
}

impl From<PathError> for Refusal {
    fn from(error: PathError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl From<axum::Error> for Refusal {
    fn from(_: axum::Error) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "the body of the request broke off")
    }
}

impl From<multer::Error> for Refusal {
    fn from(_: multer::Error) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "the form cannot be read")
    }
}

impl From<Errno> for Refusal {
    fn from(error: Errno) -> Self {
        io::Error::from(error).into()
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        let (status, why) = match Errno::from_io_error(&error) {
            Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => {
                (StatusCode::FORBIDDEN, "the server may not do this")
            }
            Some(Errno::EXIST | Errno::ISDIR | Errno::NOTEMPTY) => {
                (StatusCode::CONFLICT, "there is a file or directory of this name")
            }
            Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => {
                (StatusCode::INSUFFICIENT_STORAGE, "there is no room for this file")
            }
            Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN) => {
                (StatusCode::SERVICE_UNAVAILABLE, "the server is too busy: try again")
            }
            Some(
                Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NAMETOOLONG
                // A socket, or a device without a driver.
                | Errno::NXIO | Errno::NODEV,
            ) => (StatusCode::NOT_FOUND, "there is no such file"),
            None if error.kind() == io::ErrorKind::NotFound => {
                (StatusCode::NOT_FOUND, "there is no such file")
            }
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "the server could not do this"),
        };
        // That there is no such file, or is one already, is no failure of the server.
        let is_ours = !matches!(status, StatusCode::NOT_FOUND | StatusCode::CONFLICT);
        Self { failure: is_ours.then_some(error), ..Self::new(status, why) }
    }
}
