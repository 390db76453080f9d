//! Many downloads at once.

use std::sync::Arc;

use portolan_core::Error;
use portolan_net::{Context, Retry};
use tokio::task::JoinSet;

use crate::download::{Download, Job, Report, Watcher};
use crate::place::Names;
use crate::source::Source;

/// Downloads, by one source, and all in one way.
///
/// Cheap to clone; clones keep out of each other's way.
///
/// # Defaults
/// 8 at once; no retries; what an earlier process has left is not gone on with.
#[derive(Clone)]
pub struct Downloads {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) retry: Retry,
    pub(crate) continues: bool,
    pub(crate) watcher: Option<Watcher>,
    pub(crate) names: Arc<Names>,
    concurrency: usize,
}

impl Downloads {
    /// By this source.
    pub fn new(source: impl Source + 'static) -> Self {
        Self {
            source: Arc::new(source),
            retry: Retry::default(),
            continues: false,
            watcher: None,
            names: Arc::default(),
            concurrency: 8,
        }
    }

    /// At most this many at once, at least one.
    #[must_use]
    pub fn with_concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency.max(1);
        self
    }

    /// Goes on, from where it is, with a transfer that breaks off. What fails before the first
    /// byte is the source's to try again.
    #[must_use]
    pub const fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Goes on with what an earlier process has left, and leaves alone a file that is there, has
    /// the size and is not older.
    #[must_use]
    pub const fn with_continue(mut self, continues: bool) -> Self {
        self.continues = continues;
        self
    }

    /// Tells this watcher of all progress.
    #[must_use]
    pub fn with_watcher(mut self, watcher: Watcher) -> Self {
        self.watcher = Some(watcher);
        self
    }

    /// Carries out one download.
    ///
    /// # Errors
    /// Those of the source; [`Kind::Partial`](portolan_core::Kind) and such where it breaks off;
    /// [`Kind::Write`](portolan_core::Kind) where it cannot be written;
    /// [`Kind::Unmet`](portolan_core::Kind) where its checksum is another;
    /// [`Kind::Usage`](portolan_core::Kind) where another one goes to the same file. What has come
    /// stays in a temporary file if it can be gone on with.
    pub async fn one(&self, download: Download, cx: &Context) -> Result<Report, Error> {
        Job { setup: self, number: 0, cx }.run(download).await
    }

    /// Carries out all of them, and tells of each in the order of the list. `context` is asked,
    /// with its number, when a download begins.
    pub async fn run(
        &self,
        downloads: impl IntoIterator<Item = Download>,
        context: impl Fn(usize) -> Context,
    ) -> Vec<Result<Report, Error>> {
        let mut waiting = downloads.into_iter().enumerate();
        let mut running = JoinSet::new();
        let mut done = Vec::new();
        loop {
            while running.len() < self.concurrency
                && let Some((number, download)) = waiting.next()
            {
                let (setup, cx) = (self.clone(), context(number));
                running.spawn(async move {
                    (number, Job { setup: &setup, number, cx: &cx }.run(download).await)
                });
            }
            match running.join_next().await {
                Some(Ok(ended)) => done.push(ended),
                Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
                None => break,
            }
        }
        done.sort_by_key(|(number, _)| *number);
        done.into_iter().map(|(_, result)| result).collect()
    }
}
