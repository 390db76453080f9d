//! One download, from its URL to its file.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portolan_core::{Deadline, Error, Event, Url};
use portolan_http::safe_name;
use portolan_net::{Context, Retry, now};
use tokio::io::AsyncWrite;

use crate::checksum::Checksum;
use crate::downloads::Downloads;
use crate::sink::{Found, Order, Settled, Sink};
use crate::source::{Opened, Resume};

/// The name of what has no name that can be used.
const NAMELESS: &str = "download";

/// Where a download goes.
pub enum Target {
    /// Into this directory, under the name that the peer or the URL gives, made safe. Nothing is
    /// replaced: a name that is taken gets a number.
    Directory(PathBuf),
    /// To this name. A file that has it is replaced; a device or a pipe is written to.
    File(PathBuf),
    /// To this file, pipe or device, which is open, as it comes.
    Open(File),
    /// To whoever reads, as it comes.
    Writer(Box<dyn AsyncWrite + Send + Unpin>),
}

/// What is to be downloaded, and where to.
pub struct Download {
    url: Url,
    target: Target,
    checksum: Option<Checksum>,
}

impl Download {
    /// From `url` to `target`.
    #[must_use]
    pub const fn new(url: Url, target: Target) -> Self {
        Self { url, target, checksum: None }
    }

    /// Fails where it has not this checksum; then there is no file.
    #[must_use]
    pub fn with_checksum(mut self, checksum: Checksum) -> Self {
        self.checksum = Some(checksum);
        self
    }
}

/// What came of a download.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// From where.
    pub url: Url,
    /// The file; `None` where it went to a writer.
    pub path: Option<PathBuf>,
    /// How many bytes it has.
    pub size: u64,
    /// How many bytes came over the network for it now; the others were there already.
    pub fetched: u64,
    /// How often it broke off and went on.
    pub retries: u32,
    /// How long it took.
    pub elapsed: Duration,
}

/// How a download goes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Bytes begin to come.
    Opened {
        /// The name that the peer or the URL gives, made safe.
        name: String,
        /// How many bytes the whole has, where this is known.
        size: Option<u64>,
        /// How many of them are there already. Less than there were means that it begins anew.
        offset: u64,
    },
    /// So many bytes more came.
    Received(u64),
    /// It broke off for this reason, and goes on after this pause.
    Retrying {
        /// Why, in words.
        reason: String,
        /// The pause.
        pause: Duration,
    },
}

/// Sees the progress of each download, by its number in the list. It must not block.
pub type Watcher = Arc<dyn Fn(usize, &Progress) + Send + Sync>;

/// A download on its way.
pub(crate) struct Job<'a> {
    pub(crate) setup: &'a Downloads,
    pub(crate) number: usize,
    pub(crate) cx: &'a Context,
}

impl Job<'_> {
    pub(crate) async fn run(&self, download: Download) -> Result<Report, Error> {
        let Download { url, target, checksum } = download;
        let order = Order {
            url,
            checksum,
            continues: self.setup.continues,
            names: self.setup.names.clone(),
        };
        let started = now();
        let mut sink = Sink::prepare(target, &order).await?;
        let mut fetched = 0;
        let mut retries = 0;
        let (path, size) = loop {
            let opened = self.open(sink.resume(), &order.url).await?;
            let total = opened.size.unwrap_or_default();
            sink = match sink.settle(Found::of(&opened), &order).await? {
                Settled::Open(sink) => sink,
                Settled::Whole(path) => break (Some(path), total),
            };
            let received = AtomicU64::new(0);
            let told = |bytes| {
                received.fetch_add(bytes, Ordering::Relaxed);
                self.tell(&Progress::Received(bytes));
            };
            let (kept, result) = sink.receive(opened, told).await;
            sink = kept;
            fetched += received.into_inner();
            match result {
                Ok(()) => {
                    let size = sink.written();
                    break (sink.finish(&order).await?, size);
                }
                Err(error) => {
                    retries += 1;
                    self.pause(retries, error).await?;
                }
            }
        };
        let elapsed = now().saturating_duration_since(started);
        Ok(Report { url: order.url, path, size, fetched, retries, elapsed })
    }

    async fn open(&self, resume: Option<Resume>, url: &Url) -> Result<Opened, Error> {
        let mut opened = self.setup.source.open(url, resume.as_ref(), self.cx).await?;
        opened.name = safe_name(&opened.name).unwrap_or_else(|| NAMELESS.to_owned());
        let Opened { name, size, offset, .. } = &opened;
        self.tell(&Progress::Opened { name: name.clone(), size: *size, offset: *offset });
        Ok(opened)
    }

    /// Waits before the next try, or gives the error back where there is none.
    async fn pause(&self, attempt: u32, error: Error) -> Result<(), Error> {
        let Retry { count, backoff } = self.setup.retry;
        let pause = backoff.pause(attempt);
        let end = Deadline::after(now(), pause);
        let is_late = end.earlier(self.cx.deadline()) == self.cx.deadline();
        if attempt > count || !Retry::is_worthwhile(&error) || is_late {
            return Err(error);
        }
        self.tell(&Progress::Retrying { reason: format!("{error:#}"), pause });
        self.cx.observe(&Event::Retrying(pause));
        tokio::time::sleep(pause).await;
        Ok(())
    }

    fn tell(&self, progress: &Progress) {
        if let Some(watcher) = &self.setup.watcher {
            watcher(self.number, progress);
        }
    }
}
