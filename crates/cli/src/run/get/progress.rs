//! Bars on a terminal: one a file, and one for all of them.

use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use portolan::Url;
use portolan::transfer::{Progress, Watcher};

use crate::console::Console;
use crate::sanitize::sanitize;

/// How often a bar is drawn though nothing comes.
const TICK: Duration = Duration::from_millis(200);
const KNOWN: &str = "{msg:24!} {bytes:>10} of {total_bytes:>10} [{bar:24}] {bytes_per_sec} {eta}";
const UNKNOWN: &str = "{msg:24!} {bytes:>10} {spinner} {bytes_per_sec}";

/// The bars; nothing where stderr is no terminal.
#[derive(Clone)]
pub(super) struct Bars(Option<Arc<Drawn>>);

struct Drawn {
    all: MultiProgress,
    /// The bar of all files, where there are several.
    total: Option<ProgressBar>,
}

impl Bars {
    pub(super) fn new(console: &Console, count: usize) -> Self {
        let is_shown = console.has_progress() && io::stderr().is_terminal();
        Self(is_shown.then(|| {
            let all = MultiProgress::new();
            let total = (count > 1).then(|| {
                let total = ProgressBar::no_length().with_style(style(UNKNOWN));
                let total = all.add(total.with_message(format!("{count} files")));
                total.enable_steady_tick(TICK);
                total
            });
            Arc::new(Drawn { all, total })
        }))
    }

    /// Draws the bar of one file, from its first byte until this is dropped.
    pub(super) fn watcher(&self, url: &Url) -> Watcher {
        let Some(drawn) = self.0.clone() else { return Arc::new(|_, _| {}) };
        let file = File { drawn, name: url.to_string(), bar: Mutex::new(None) };
        Arc::new(move |_, progress| file.see(progress))
    }

    /// Writes something where the bars are in the way.
    pub(super) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(drawn) => drawn.all.suspend(write),
            None => write(),
        }
    }

    /// Takes the bars away.
    pub(super) fn end(&self) {
        if let Some(drawn) = &self.0 {
            drawn.total.as_ref().inspect(|total| total.finish_and_clear());
            let _ = drawn.all.clear();
        }
    }
}

/// One file's bar.
struct File {
    drawn: Arc<Drawn>,
    name: String,
    bar: Mutex<Option<ProgressBar>>,
}

impl File {
    fn see(&self, progress: &Progress) {
        let mut bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        match progress {
            Progress::Opened { name, size, offset } => {
                let template = if size.is_some() { KNOWN } else { UNKNOWN };
                let bar = bar.get_or_insert_with(|| self.begin(template));
                bar.set_message(sanitize(name).into_owned());
                bar.set_style(style(template));
                if let Some(size) = size {
                    bar.set_length(*size);
                }
                bar.set_position(*offset);
                bar.reset_eta();
            }
            Progress::Received(bytes) => {
                bar.as_ref().inspect(|bar| bar.inc(*bytes));
                self.drawn.total.as_ref().inspect(|total| total.inc(*bytes));
            }
            Progress::Retrying { reason, .. } => {
                let words = format!("{}: {}", self.name, sanitize(reason));
                let _ = self.drawn.all.println(words);
            }
            _ => {}
        }
    }

    fn begin(&self, template: &str) -> ProgressBar {
        // Its style comes first: what is added is drawn at once.
        let bar = ProgressBar::no_length().with_style(style(template));
        match &self.drawn.total {
            Some(total) => self.drawn.all.insert_before(total, bar),
            None => self.drawn.all.add(bar),
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let bar = self.bar.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = bar.take() {
            bar.finish_and_clear();
            self.drawn.all.remove(&bar);
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}
