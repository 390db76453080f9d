//! The file, the queue in front of it, and the thread that writes.

use std::collections::HashMap;
use std::fmt;
use std::fs::{File, OpenOptions, Permissions};
use std::future::poll_fn;
use std::io::{self, Write};
use std::mem;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use portolan_core::{Error, Kind};
use tokio_util::sync::CancellationToken;

use super::wire;

/// How many bytes may wait to be written until the traffic waits too. What one call moves on each
/// connection comes on top, and once as much is with the thread that writes.
pub(super) const QUEUE: usize = 4 * 1024 * 1024;

const APPLICATION: &str = concat!("portolan ", env!("CARGO_PKG_VERSION"));
const SYNTHESISED: &str = "packets synthesised by portolan from what its own sockets sent and \
     received: not seen on the wire";

/// A capture that goes on. Cheap to clone; [`finish`](Self::finish) completes the file, and so
/// does dropping the last clone, without waiting for it.
#[derive(Clone)]
pub struct Capture(Arc<Handle>);

/// Chooses what a [`Capture`] holds, and where it goes.
///
/// # Defaults
/// The secrets of TLS are in it.
#[derive(Clone, Debug)]
pub struct Builder {
    comments: Vec<String>,
    keeps_secrets: bool,
}

impl Capture {
    /// Begins to choose.
    #[must_use]
    pub fn builder() -> Builder {
        Builder { comments: vec![SYNTHESISED.to_owned()], keeps_secrets: true }
    }

    /// Ends the capture, and waits until all of it is written. What passes afterwards is not in it.
    ///
    /// # Errors
    /// [`Kind::Write`] where the file could not be written; each failure is told once, here or by
    /// [`failed`](Self::failed).
    pub async fn finish(&self) -> Result<(), Error> {
        self.shared().close();
        self.shared().ended.cancelled().await;
        self.shared().queue().failure.take().map_or(Ok(()), Err)
    }

    /// Waits until the file cannot be written any more, and says why ([`Kind::Write`]). Each
    /// failure is told once.
    pub async fn failed(&self) -> Error {
        self.shared().ended.cancelled().await;
        let failure = self.shared().queue().failure.take();
        match failure {
            Some(failure) => failure,
            None => std::future::pending().await,
        }
    }

    pub(super) fn keeps_secrets(&self) -> bool {
        self.0.keeps_secrets
    }

    /// Two numbers that nobody else gets: this one and the next.
    pub(super) fn number(&self) -> u64 {
        self.shared().numbers.fetch_add(2, Ordering::Relaxed)
    }

    /// Waits until there is room for more. Each who may wait has a `number` of its own.
    pub(super) fn poll_room(&self, number: u64, cx: &Context<'_>) -> Poll<()> {
        if self.shared().is_over.load(Ordering::Relaxed) {
            return Poll::Ready(());
        }
        let mut queue = self.shared().queue();
        if queue.blocks.len() < QUEUE || queue.is_closed {
            return Poll::Ready(());
        }
        queue.waiting.insert(number, cx.waker().clone());
        Poll::Pending
    }

    /// As [`poll_room`](Self::poll_room), for who has no number.
    pub(super) async fn room(&self) {
        let number = self.number();
        poll_fn(|cx| self.poll_room(number, cx)).await;
    }

    /// Takes in the blocks that `write` appends, room or not.
    pub(super) fn append(&self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.shared().is_over.load(Ordering::Relaxed) {
            return;
        }
        let mut queue = self.shared().queue();
        if !queue.is_closed {
            write(&mut queue.blocks);
            self.shared().filled.notify_one();
        }
    }

    fn shared(&self) -> &Shared {
        &self.0.shared
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture")
            .field("keeps_secrets", &self.keeps_secrets())
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Adds a comment on the whole file, such as who captures, and why. It is cut off at 64 KiB.
    #[must_use]
    pub fn with_comment(mut self, comment: impl Into<String>) -> Self {
        self.comments.push(comment.into());
        self
    }

    /// Leaves out the secrets of TLS: who has the file cannot read what TLS hides.
    #[must_use]
    pub const fn without_secrets(mut self) -> Self {
        self.keeps_secrets = false;
        self
    }

    /// Captures into a file, which is made or emptied, and which its owner alone may read.
    ///
    /// # Errors
    /// [`Kind::Write`] where it cannot be opened, or not be kept from others.
    pub fn create(self, path: impl AsRef<Path>) -> Result<Capture, Error> {
        let path = path.as_ref();
        let unopened = |cause| {
            Error::new(Kind::Write, format!("could not open {}", path.display())).with_source(cause)
        };
        let file = private_file(path).map_err(unopened)?;
        self.write_to(file, path.display().to_string())
    }

    /// Captures into anything else, such as a pipe to Wireshark; messages call it `name`. It is
    /// written, and flushed, by a thread of its own.
    ///
    /// # Errors
    /// [`Kind::Denied`] where there can be no further thread.
    pub fn write_to(
        self,
        out: impl Write + Send + 'static,
        name: impl Into<String>,
    ) -> Result<Capture, Error> {
        let mut blocks = Vec::new();
        wire::section_header(&mut blocks, APPLICATION, &self.comments);
        wire::interface(&mut blocks, "portolan");
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue { blocks, ..Queue::default() }),
            filled: Condvar::new(),
            is_over: AtomicBool::new(false),
            // Not 0: a connection would begin where the numbers of bytes wrap around.
            numbers: AtomicU64::new(1),
            ended: CancellationToken::new(),
        });
        let (name, writing) = (name.into(), shared.clone());
        let write = move || writing.write(out, &name);
        thread::Builder::new().name("pcap".to_owned()).spawn(write).map_err(|cause| {
            Error::new(Kind::Denied, "could not start the thread of the capture").with_source(cause)
        })?;
        Ok(Capture(Arc::new(Handle { shared, keeps_secrets: self.keeps_secrets })))
    }
}

/// An empty file that its owner alone may read, from whenever it is.
fn private_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    if file.metadata()?.is_file() {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// What all clones of a capture share; the thread that writes outlives it.
struct Handle {
    shared: Arc<Shared>,
    keeps_secrets: bool,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

struct Shared {
    queue: Mutex<Queue>,
    /// Wakes the thread that writes.
    filled: Condvar,
    /// Nothing is taken in any more: known without the lock.
    is_over: AtomicBool,
    numbers: AtomicU64,
    /// The thread that writes has ended.
    ended: CancellationToken,
}

#[derive(Default)]
struct Queue {
    blocks: Vec<u8>,
    /// Who waits for room, by number.
    waiting: HashMap<u64, Waker>,
    is_closed: bool,
    failure: Option<Error>,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in no more, and lets the thread that writes come to its end.
    fn close(&self) {
        let mut queue = self.queue();
        queue.is_closed = true;
        self.is_over.store(true, Ordering::Relaxed);
        let waiting = mem::take(&mut queue.waiting);
        drop(queue);
        self.filled.notify_one();
        waiting.into_values().for_each(Waker::wake);
    }

    /// Writes until the capture is closed or cannot be written.
    fn write(&self, mut out: impl Write, name: &str) {
        let mut blocks = Vec::new();
        while self.next(&mut blocks) {
            if let Err(cause) = out.write_all(&blocks).and_then(|()| out.flush()) {
                let message = format!("could not write the capture to {name}: it ends here");
                self.queue().failure = Some(Error::new(Kind::Write, message).with_source(cause));
                break;
            }
        }
        self.close();
        self.ended.cancel();
    }

    /// Takes all blocks that wait, in exchange for an empty buffer, and wakes who waited for room.
    /// Where there are none it waits for some, and gives `false` if there will be none.
    fn next(&self, blocks: &mut Vec<u8>) -> bool {
        blocks.clear();
        let is_idle = |queue: &mut Queue| queue.blocks.is_empty() && !queue.is_closed;
        let queue = self.filled.wait_while(self.queue(), is_idle);
        let mut queue = queue.unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut queue.blocks, blocks);
        let waiting = mem::take(&mut queue.waiting);
        drop(queue);
        waiting.into_values().for_each(Waker::wake);
        !blocks.is_empty()
    }
}
