//! The connections of one server: each is handled by a task, or rests without one.

use std::future::{Future, poll_fn};
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use portolan_core::{Error, Kind, Timeouts};
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinSet};

use super::resting::{Rested, Resting};
use super::{Handler, Rest, Visit};
use crate::fault::Faults;
use crate::stream::StreamKind;
use crate::{Connection, Context, Incoming, Info, Stream, now};

/// Those who are connected.
pub(super) struct Visitors<H> {
    handler: Arc<H>,
    /// Those who are attended to, each of which may come to rest.
    tasks: JoinSet<Option<Box<Pause>>>,
    /// Those who rest, once there was one.
    resting: Option<Resting<Pause>>,
}

impl<H: Handler> Visitors<H> {
    pub(super) fn new(handler: H) -> Self {
        Self { handler: Arc::new(handler), tasks: JoinSet::new(), resting: None }
    }

    /// Attends to one who comes in; `told` is, as soon as the connection is established.
    pub(super) fn welcome(
        &mut self,
        incoming: Incoming,
        cx: Context,
        told: Option<oneshot::Sender<()>>,
    ) {
        // First those who are done: of many at once, no more are held than need be.
        while let Some(ended) = self.tasks.try_join_next() {
            self.ended(ended);
        }
        self.tasks.spawn(welcome(Box::new(incoming), self.handler.clone(), cx, told));
    }

    /// Waits until one of them ends, rests or wakes, and does what follows of it; `None` when there
    /// is nobody.
    pub(super) async fn next(&mut self) -> Option<()> {
        let rested = poll_fn(|cx| match &mut self.resting {
            Some(resting) => resting.poll_next(cx),
            None => Poll::Ready(None),
        });
        tokio::select! {
            Some(ended) = self.tasks.join_next() => self.ended(ended),
            Some(rested) = rested => if let Rested::Woken(pause) = rested {
                self.wake(pause);
            },
            else => return None,
        }
        // Where many wake at once, the first go on before the last do.
        tokio::task::consume_budget().await;
        Some(())
    }

    /// Waits until all have ended.
    pub(super) async fn all(&mut self) {
        while self.next().await.is_some() {}
    }

    /// Waits until all have ended; those that rest do, unless they say something now.
    pub(super) async fn leave(&mut self) {
        let quiet = Context::new(Timeouts::default()).limited(Some(Context::QUIET));
        while let Some(Some(())) = quiet.until_deadline(self.next()).await {}
        self.resting = None;
        while self.tasks.join_next().await.is_some() {}
    }

    fn ended(&mut self, ended: Result<Option<Box<Pause>>, JoinError>) {
        if let Ok(Some(pause)) = ended {
            self.rest(pause);
        }
    }

    /// Lets a connection rest. One for which the system has no means ends, as any that is idle may.
    fn rest(&mut self, pause: Box<Pause>) {
        if self.resting.is_none() {
            self.resting = Resting::new().ok();
        }
        if let Some(resting) = &mut self.resting {
            let limit = pause.limit;
            let _ = resting.add(*pause, limit);
        }
    }

    fn wake(&mut self, pause: Pause) {
        let Pause { mut visit, info, note, socket, limit: _ } = pause;
        match socket.into_stream() {
            Ok(stream) => {
                let stream = stream.metered(visit.resume());
                let connection = Connection { stream, info, faults: Faults::default(), note };
                self.tasks.spawn(attend(visit, Box::new(connection), self.handler.clone()));
            }
            Err(error) => visit.end(Err(lost(error))),
        }
    }
}

/// A connection at rest.
struct Pause {
    visit: Visit,
    info: Info,
    note: u64,
    socket: Socket,
    limit: Duration,
}

impl Pause {
    /// Lets a visit rest, if it can.
    fn begin(mut visit: Visit, rest: Rest) -> Option<Box<Self>> {
        let Rest { connection: Connection { stream, info, note, .. }, limit } = rest;
        match Socket::of(stream) {
            Ok(socket) => {
                visit.pause();
                Some(Box::new(Self { visit, info, note, socket, limit }))
            }
            Err(error) => {
                visit.end(Err(lost(error)));
                None
            }
        }
    }
}

impl AsFd for Pause {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
        }
    }
}

/// A plain socket that the runtime does not watch.
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn of(stream: Stream) -> io::Result<Self> {
        match stream.into_parts().0 {
            StreamKind::Tcp(stream) => stream.into_std().map(Self::Tcp),
            StreamKind::Unix(stream) => stream.into_std().map(Self::Unix),
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, "only plain sockets can rest")),
        }
    }

    fn into_stream(self) -> io::Result<Stream> {
        Ok(match self {
            Self::Tcp(socket) => tokio::net::TcpStream::from_std(socket)?.into(),
            Self::Unix(socket) => tokio::net::UnixStream::from_std(socket)?.into(),
        })
    }
}

fn lost(error: io::Error) -> Error {
    Error::new(Kind::Lost, "could not keep the connection").with_source(error)
}

/// Attends to a connection from its accept on.
async fn welcome(
    incoming: Box<Incoming>,
    handler: Arc<impl Handler>,
    cx: Context,
    told: Option<oneshot::Sender<()>>,
) -> Option<Box<Pause>> {
    // Boxed, like what came in and the handler's own future, which is all that is held later: moved
    // about, it would be held twice.
    let begin = Box::pin(async {
        let (visit, established) = establish(*incoming, cx).await?;
        if let (Some(told), Ok(_)) = (told, &established) {
            let _ = told.send(());
        }
        let turn = |connection| Box::pin(handler.turn(connection, visit.cx.clone()));
        let begun = established.map(|connection| connection.map(turn));
        Some((visit, begun))
    });
    let (visit, begun) = begin.await?;
    match begun {
        Ok(Some(turning)) => accompany(visit, turning).await,
        Ok(None) => end(visit, Ok(())),
        Err(error) => end(visit, Err(error)),
    }
}

/// Attends to a connection after a rest.
async fn attend(
    visit: Visit,
    connection: Box<Connection>,
    handler: Arc<impl Handler>,
) -> Option<Box<Pause>> {
    let turning = Box::pin(handler.turn(*connection, visit.cx.clone()));
    accompany(visit, turning).await
}

/// Accompanies a connection to its end, or to its rest.
async fn accompany(
    visit: Visit,
    turning: impl Future<Output = Result<Option<Rest>, Error>>,
) -> Option<Box<Pause>> {
    match turning.await {
        Ok(Some(rest)) => Pause::begin(visit, rest),
        Ok(None) => end(visit, Ok(())),
        Err(error) => end(visit, Err(error)),
    }
}

fn end(visit: Visit, result: Result<(), Error>) -> Option<Box<Pause>> {
    visit.end(result);
    None
}

/// Lets a peer in, and makes its connection usable; `None` where it was not let in.
async fn establish(
    mut incoming: Incoming,
    cx: Context,
) -> Option<(Visit, Result<Option<Connection>, Error>)> {
    let accepted = now();
    let admitted = cx.until_stopping(incoming.admit(&cx)).await?;
    if matches!(admitted, Ok(false)) {
        return None;
    }
    let mut visit = Visit::begin(incoming.peer(), incoming.via(), incoming.meter(), cx.clone());
    visit.accepted = accepted;
    visit.slot = incoming.take_slot();
    let established = match admitted {
        Ok(_) => cx.until_stopping(incoming.establish(&cx)).await.unwrap_or(Ok(None)),
        Err(error) => Err(error),
    };
    Some((visit, established))
}
