//! A thread for each connection.

use std::io;
use std::net::Shutdown;
use std::sync::{Arc, Weak};
use std::thread;

use portolan_core::{Blame, Error, Kind};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::stream::Socket;
use super::{Connection, runtime};
use crate::{Context, Listener};

/// How much of the address space a handler's stack may take; memory is what it has touched.
const STACK: usize = 512 * 1024;

/// What a server does with a connection, on a thread of its own.
///
/// Any function from a [`Connection`] and a [`Context`] to a [`Result`](io::Result) is one. A
/// handler that works for long without reading ends when [`Context::is_stopping`] says so.
pub trait Handler: Send + Sync + 'static {
    /// Handles one connection until it ends.
    ///
    /// # Errors
    /// What ended it, where it was not a plain close; observers see it.
    fn handle(&self, connection: Connection, cx: Context) -> io::Result<()>;
}

impl<F> Handler for F
where
    F: Fn(Connection, Context) -> io::Result<()> + Send + Sync + 'static,
{
    fn handle(&self, connection: Connection, cx: Context) -> io::Result<()> {
        self(connection, cx)
    }
}

/// Accepts connections and hands each to `handler`, on a thread of its own, until `shutdown`
/// returns. Then the listener is closed, reads end once they have delivered what has arrived, and
/// connections that go on beyond the listener's drain limit are closed under their handlers.
///
/// The observers of the listener see [`Event::Opened`](portolan_core::Event::Opened) and
/// [`Event::Closed`](portolan_core::Event::Closed) for each connection.
///
/// # Errors
/// [`Kind::Denied`] and [`Kind::Connect`] where the system refuses what an event loop, a thread or
/// a listener needs.
pub fn serve(
    listener: Listener,
    handler: impl Handler,
    shutdown: impl FnOnce() + Send + 'static,
) -> Result<(), Error> {
    let stopping = CancellationToken::new();
    let stop = stopping.clone().drop_guard();
    spawn("shutdown", move || {
        shutdown();
        drop(stop);
    })?;
    let share = listener.detach()?;
    runtime()?.block_on(async {
        crate::serve(share.listen()?, Threads::new(handler), stopping.cancelled()).await;
        Ok(())
    })
}

/// A handler for the asynchronous [`serve`](crate::serve) that gives each connection a thread of
/// its own, and blocking I/O.
#[derive(Debug)]
pub struct Threads<H>(Arc<H>);

impl<H: Handler> Threads<H> {
    /// Runs `handler` on threads.
    #[must_use]
    pub fn new(handler: H) -> Self {
        Self(Arc::new(handler))
    }
}

impl<H: Handler> crate::Handler for Threads<H> {
    async fn handle(&self, connection: crate::Connection, cx: Context) -> Result<(), Error> {
        let connection = Connection::from_async(connection, &cx)?;
        let hang_up = HangUp(connection.stream.socket());
        let (ended, mut end) = oneshot::channel();
        let (handler, its_cx) = (self.0.clone(), cx.clone());
        spawn("connection", move || {
            // Where nobody waits any more, the drain limit has passed.
            let _ = ended.send(handler.handle(connection, its_cx));
        })?;
        let ended = tokio::select! {
            ended = &mut end => ended,
            () = cx.stopping() => {
                hang_up.shutdown(Shutdown::Read);
                end.await
            }
        };
        match ended {
            Ok(result) => result.map_err(failure),
            Err(_) => Err(Error::new(Kind::Lost, "the handler panicked").with_blame(Blame::Us)),
        }
    }
}

/// The socket of a connection that a thread handles. Who stops waiting for the thread drops this,
/// and so wakes it: its reads and writes have come to an end.
struct HangUp(Weak<Socket>);

impl HangUp {
    fn shutdown(&self, how: Shutdown) {
        if let Some(socket) = self.0.upgrade() {
            // A socket that has ended by itself is what is wanted.
            let _ = socket.shutdown(how);
        }
    }
}

impl Drop for HangUp {
    fn drop(&mut self) {
        self.shutdown(Shutdown::Both);
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let builder = thread::Builder::new().name(name.to_owned()).stack_size(STACK);
    builder.spawn(work).map(drop).map_err(|cause| {
        Error::new(Kind::Denied, format!("could not start a thread for the {name}"))
            .with_hint("raise the limit of threads, or hold fewer connections at once")
            .with_source(cause)
    })
}

/// What a handler's failure is to the observers.
fn failure(cause: io::Error) -> Error {
    match cause.kind() {
        io::ErrorKind::TimedOut => {
            Error::new(Kind::Timeout, "the connection was idle for too long")
        }
        _ => Error::new(Kind::Lost, "the connection was lost"),
    }
    .with_source(cause)
}
