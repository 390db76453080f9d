//! What a scheme gives to downloads.

use std::fs::File;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use portolan_core::{Error, Url};
use portolan_net::Context;

/// Opens URLs of one scheme or several.
pub trait Source: Send + Sync {
    /// Opens `url`: from `resume` on, where it is given, the peer can and what is there has not
    /// changed since; or else from the beginning.
    fn open<'a>(
        &'a self,
        url: &'a Url,
        resume: Option<&'a Resume>,
        cx: &'a Context,
    ) -> BoxFuture<'a, Result<Opened, Error>>;
}

/// Where an earlier try has stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// How many bytes are there already.
    pub offset: u64,
    /// What [`Opened::validator`] was then.
    pub validator: String,
}

/// A download that has begun.
pub struct Opened {
    /// Where in the whole the bytes begin: 0, or the offset that was asked for.
    pub offset: u64,
    /// How many bytes the whole has, where this is known.
    pub size: Option<u64>,
    /// What changes whenever the content does, where there is such a thing: without it, nothing is
    /// ever put together from two tries.
    pub validator: Option<String>,
    /// When the content was changed last, where this is known.
    pub modified: Option<SystemTime>,
    /// The name that it should have, where there is one; [`Downloads`](crate::Downloads) makes it
    /// safe.
    pub name: String,
    /// What is downloaded. An end before all has come is an error.
    pub content: Box<dyn Content>,
}

/// The content of a download, as it comes.
pub trait Content: Send {
    /// The next piece; `None` at the end.
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Bytes, Error>>>;

    /// Moves all that is still to come into `file` within the kernel, where that can be done:
    /// whether it has. `told` learns of each portion.
    fn splice_to<'a>(
        &'a mut self,
        _file: &'a File,
        _told: &'a (dyn Fn(u64) + Sync),
    ) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(async { Ok(false) })
    }
}
