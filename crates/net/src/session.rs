//! Datagram servers: a session for each peer, and a handler for each session.
//!
//! Datagrams know no connections. Here one begins with a peer's first datagram and ends when its
//! handler returns or when nothing has passed for a while, so that a UDP server is written like a
//! TCP server: with a [`Handler`], which sees one peer's datagrams only. Works for UDP and Unix
//! datagrams alike. What a handler sends may be lost like any datagram; nothing is sent again.
//!
//! Everything that peers, whose addresses may be forged, can make grow is bounded: the sessions,
//! what waits in each, and what faults hold back.

mod line;
mod table;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portolan_core::{Endpoint, Error, Event, Failure, Kind, Refusal, Timeouts};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use self::line::{Line, Taken};
use self::table::Table;
use crate::fault::Plan;
use crate::serve::Visit;
use crate::{Access, Context, Datagram, Handler, Observer, now};

/// Room for the largest datagram that Linux sends, over a Unix socket.
const LARGEST: usize = 256 * 1024;
/// How many bytes faults may hold back, of all sessions together; more are lost.
const UNDER_WAY: usize = 32 * 1024 * 1024;
/// How many datagrams that came before the shutdown are still taken in after it, each within the
/// time that the runtime needs to look.
const LAST: usize = 1024;
const LOOK: Duration = Duration::from_millis(1);
/// How often the observers hear at most that somebody is refused.
const REFUSALS: Duration = Duration::from_millis(100);
/// How long the server waits when the system fails to give it a datagram.
const PAUSE: Duration = Duration::from_millis(100);

/// One peer of a datagram server.
pub struct Session(Arc<Line>);

impl Session {
    /// Who it is.
    #[must_use]
    pub fn peer(&self) -> &Endpoint {
        self.0.peer()
    }

    /// The peer's next datagram, or `None` when the session is over: nothing has passed for the
    /// idle limit, the session gives way to others, or the server stops and this was all. A handler
    /// that does not return at once then is dropped, but for a server that stops.
    ///
    /// While a handler does not receive, 64 KiB wait for it; when more come, the oldest are lost.
    pub async fn receive(&self) -> Option<Vec<u8>> {
        loop {
            match self.0.take() {
                Taken::Datagram(datagram) => return Some(datagram),
                Taken::Nothing => self.0.arrival().await,
                Taken::Over => return None,
            }
        }
    }

    /// Sends one datagram to the peer. Where the peer's queue is full, it is lost.
    ///
    /// # Errors
    /// [`Kind::Lost`] where the system refuses: it is too large, or a Unix peer is gone or has no
    /// name.
    pub async fn send(&self, datagram: &[u8]) -> Result<(), Error> {
        self.0.send(datagram).await.map_err(|error| {
            Error::new(Kind::Lost, format!("could not send to {}", self.peer()))
                .with_endpoint(self.peer())
                .with_source(error)
        })
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("peer", self.peer()).finish_non_exhaustive()
    }
}

/// A bound socket whose peers get a session each.
///
/// # Defaults
/// 1024 sessions, which end after 60 s without a datagram either way; everybody may come; no
/// faults; 5 s to drain.
#[derive(Debug)]
pub struct Sessions {
    socket: Arc<Datagram>,
    settings: Settings,
}

struct Settings {
    limit: usize,
    timeouts: Timeouts,
    idle: Duration,
    access: Access,
    faults: Plan,
    drain: Duration,
    observers: Vec<Arc<dyn Observer>>,
}

impl From<Datagram> for Sessions {
    fn from(socket: Datagram) -> Self {
        let settings = Settings {
            limit: 1024,
            timeouts: Timeouts::default(),
            idle: Duration::from_secs(60),
            access: Access::default(),
            faults: Plan::default(),
            drain: Duration::from_secs(5),
            observers: Vec::new(),
        };
        Self { socket: Arc::new(socket), settings }
    }
}

impl Sessions {
    /// Holds at most so many sessions, and at least one; for one more, the least recently active
    /// gives way.
    #[must_use]
    pub const fn with_limit(mut self, sessions: usize) -> Self {
        self.settings.limit = sessions;
        self
    }

    /// Ends sessions in which nothing has passed either way for so long.
    #[must_use]
    pub const fn with_idle(mut self, limit: Duration) -> Self {
        self.settings.idle = limit;
        self
    }

    /// Sets the limits of what handlers do; the idle limit, where there is one, as
    /// [`with_idle`](Self::with_idle) does.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.settings.timeouts = timeouts;
        self.settings.idle = timeouts.idle.unwrap_or(self.settings.idle);
        self
    }

    /// Takes in the datagrams of those only whom `access` permits. The observers see
    /// [`Event::Refused`] for the others, ten times a second at most.
    #[must_use]
    pub fn with_access(mut self, access: Access) -> Self {
        self.settings.access = access;
        self
    }

    /// Does to the datagrams that are sent what `plan` says: each session is a connection.
    #[must_use]
    pub fn with_faults(mut self, plan: Plan) -> Self {
        self.settings.faults = plan;
        self
    }

    /// How long sessions may go on after the shutdown began.
    #[must_use]
    pub const fn with_drain(mut self, limit: Duration) -> Self {
        self.settings.drain = limit;
        self
    }

    /// Adds an observer of the server and of every session.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.settings.observers.push(observer);
        self
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("limit", &self.limit)
            .field("idle", &self.idle)
            .finish_non_exhaustive()
    }
}

/// Hands each peer's datagrams to a `handler` in a task of its own, until `shutdown` is ready. Then
/// no more are taken in, handlers are told by [`Context::stopping`], and those that have not ended
/// within the drain limit are dropped.
///
/// A session begins with a peer's first datagram and ends when its handler returns; what the
/// handler left unread, if it read anything, begins the next one. The observers see
/// [`Event::Opened`] and [`Event::Closed`] for each session.
///
/// ```
/// use portolan_core::{Endpoint, Transport};
/// use portolan_net::{Context, Datagram, Session, serve_datagrams};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let any = Endpoint::from(std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
/// let any = any.with_transport(Transport::Udp);
/// let socket = Datagram::bind(&any).await?;
/// let server = socket.local_endpoint()?;
///
/// // Request and reply.
/// let shout = |session: Session, _cx: Context| async move {
///     while let Some(request) = session.receive().await {
///         session.send(&request.to_ascii_uppercase()).await?;
///     }
///     Ok(())
/// };
/// # let serving =
/// tokio::spawn(serve_datagrams(socket, shout, std::future::pending()));
///
/// let client = Datagram::bind(&any).await?;
/// client.send_to(b"ahoy", &server).await?;
/// let mut reply = [0; 16];
/// let (size, _from) = client.receive_from(&mut reply).await?;
/// assert_eq!(&reply[..size], b"AHOY");
/// # serving.abort();
/// # Ok(())
/// # }
/// ```
pub async fn serve_datagrams(
    sessions: impl Into<Sessions>,
    handler: impl Handler<Session>,
    shutdown: impl Future<Output = ()>,
) {
    let mut server = Server::new(sessions.into(), handler);
    let mut buffer = vec![0; LARGEST];
    let mut shutdown = pin!(shutdown);
    // Set anew only when it has passed: no session that begins meanwhile can end before.
    let mut idle = pin!(tokio::time::sleep(server.settings.idle));
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            received = server.socket.receive_from(&mut buffer) => match received {
                Ok((size, peer)) => server.take_in(peer, &buffer[..size]),
                Err(error) => server.pause(&error).await,
            },
            Some(line) = server.left.1.recv() => server.begin_again(&line),
            Some(over) = server.tasks.join_next() => server.see_off(over),
            () = &mut idle => idle.as_mut().reset(server.end_idle().into()),
        }
    }
    server.drain(&mut buffer).await;
}

/// The state of [`serve_datagrams`].
struct Server<H> {
    socket: Arc<Datagram>,
    settings: Settings,
    handler: Arc<H>,
    cx: Context,
    stopping: CancellationToken,
    table: Table,
    /// How many sessions there have been.
    count: u64,
    /// When the observers may next hear that somebody is refused.
    refuses_at: Instant,
    /// Room for what faults hold back.
    under_way: Arc<Semaphore>,
    tasks: JoinSet<Arc<Line>>,
    /// Lines on which a handler that has returned left datagrams.
    left: (UnboundedSender<Arc<Line>>, UnboundedReceiver<Arc<Line>>),
}

impl<H: Handler<Session>> Server<H> {
    fn new(sessions: Sessions, handler: H) -> Self {
        let Sessions { socket, settings } = sessions;
        let stopping = CancellationToken::new();
        let timeouts = Timeouts { operation: None, idle: Some(settings.idle), ..settings.timeouts };
        let mut cx = Context::new(timeouts).with_stopping(stopping.clone());
        for observer in &settings.observers {
            cx = cx.with_observer(observer.clone());
        }
        Self {
            socket,
            settings,
            handler: Arc::new(handler),
            cx,
            stopping,
            table: Table::default(),
            count: 0,
            refuses_at: now(),
            under_way: Arc::new(Semaphore::new(UNDER_WAY)),
            tasks: JoinSet::new(),
            left: unbounded_channel(),
        }
    }

    fn take_in(&mut self, peer: Endpoint, datagram: &[u8]) {
        if !self.settings.access.permits(&peer) {
            self.refuse(peer);
            return;
        }
        let mut first = VecDeque::new();
        if let Some(line) = self.table.find(&peer) {
            if line.put(datagram, now()) {
                return;
            }
            first = line.rest();
        }
        first.push_back(datagram.to_vec());
        self.begin(peer, &first);
    }

    /// Tells of a peer that is denied, now and then: there is no end of datagrams.
    fn refuse(&mut self, peer: Endpoint) {
        let now = now();
        if now >= self.refuses_at {
            self.refuses_at = now + REFUSALS;
            self.cx.observe(&Event::Refused { peer, reason: Refusal::Denied });
        }
    }

    /// Begins a session with what the handler of the peer's last one left.
    fn begin_again(&mut self, line: &Line) {
        let rest = line.rest();
        if !rest.is_empty() {
            self.begin(line.peer().clone(), &rest);
        }
    }

    /// Begins a session with the datagrams that have come already.
    fn begin(&mut self, peer: Endpoint, datagrams: &VecDeque<Vec<u8>>) {
        if self.table.len() >= self.settings.limit.max(1)
            && let Some((line, _)) = self.table.least_active()
        {
            self.table.remove(&line);
            line.end();
        }
        self.count += 1;
        let mut line = Line::new(self.count, peer, self.socket.clone());
        if !self.settings.faults.is_empty() {
            let faults = self.settings.faults.connection(self.count).datagrams();
            line = line.with_faults(faults, self.under_way.clone());
        }
        let now = now();
        datagrams.iter().for_each(|datagram| _ = line.put(datagram, now));
        if self.stopping.is_cancelled() {
            line.close();
        }
        let line = Arc::new(line);
        self.table.insert(line.clone());
        let left = self.left.0.clone();
        let cx = self.cx.of_connection(line.peer());
        self.tasks.spawn(attend(line, self.handler.clone(), cx, left));
    }

    /// Forgets a session that is over; one whose handler panicked, when it is idle.
    fn see_off(&mut self, over: Result<Arc<Line>, JoinError>) {
        if let Ok(line) = over {
            self.table.remove(&line);
        }
    }

    /// Ends the sessions that have been idle for too long; when to look again.
    fn end_idle(&mut self) -> Instant {
        let (now, limit) = (now(), self.settings.idle);
        while let Some((line, active)) = self.table.least_active() {
            if active + limit > now {
                return active + limit;
            }
            self.table.remove(&line);
            line.end();
        }
        now + limit
    }

    async fn pause(&self, error: &io::Error) {
        self.cx.observe(&Event::AcceptFailed(Failure::from(error)));
        tokio::time::sleep(PAUSE).await;
    }

    /// Delivers what has come, as far as the limit allows.
    async fn drain(mut self, buffer: &mut [u8]) {
        let unlimited = Context::new(Timeouts::default());
        for _ in 0..LAST {
            let look = unlimited.limited(Some(LOOK));
            match look.until_deadline(self.socket.receive_from(buffer)).await {
                Some(Ok((size, peer))) => self.take_in(peer, &buffer[..size]),
                Some(Err(_)) | None => break,
            }
        }
        self.stopping.cancel();
        self.table.lines().for_each(Line::close);
        let limit = self.settings.drain;
        unlimited.limited(Some(limit)).until_deadline(self.finish()).await;
    }

    /// Waits until all sessions are over.
    async fn finish(&mut self) {
        loop {
            tokio::select! {
                // What is left first: it becomes a task that is waited for.
                biased;
                Some(line) = self.left.1.recv() => self.begin_again(&line),
                over = self.tasks.join_next() => match over {
                    Some(over) => self.see_off(over),
                    None => return,
                },
            }
        }
    }
}

/// Runs one session.
async fn attend(
    line: Arc<Line>,
    handler: Arc<impl Handler<Session>>,
    cx: Context,
    left: UnboundedSender<Arc<Line>>,
) -> Arc<Line> {
    let visit = Visit::begin(line.peer(), None, line.meter(), cx.clone());
    let returned = Returned { line: &line, left };
    let result = tokio::select! {
        // The handler first: when the session ends, it may say a last word.
        biased;
        result = handler.handle(Session(line.clone()), cx.clone()) => result,
        () = line.ended() => Ok(()),
        () = line.keep_delivering() => Ok(()),
    };
    drop(returned);
    tokio::select! {
        () = line.deliver() => {}
        () = line.ended() => {}
    }
    visit.end(result);
    line
}

/// Tells the line and the server when a handler is gone, even if it panicked.
struct Returned<'a> {
    line: &'a Arc<Line>,
    left: UnboundedSender<Arc<Line>>,
}

impl Drop for Returned<'_> {
    fn drop(&mut self) {
        if self.line.hang_up() {
            // The server itself may be gone.
            let _ = self.left.send(self.line.clone());
        }
    }
}

#[cfg(test)]
mod tests;
