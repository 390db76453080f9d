//! Serving: a handler for every connection that comes in, until the shutdown.
//!
//! The runtime decides the model. On tokio's default one, handlers are tasks on all cores: right
//! for handlers that compute, speak TLS, or serve peers of unequal appetite. On a current-thread one
//! they share one thread and one event loop: no message wakes another thread, which with small
//! messages and little work for each is worth a quarter in speed, and a handler that computes holds
//! up all others. [`Listener::share`] gives each of several such loops a socket of its own. For
//! libraries that block there is [`blocking`](crate::blocking), a thread a connection.

mod resting;
mod visit;
mod visitors;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryFutureExt;
use portolan_core::{Error, Timeouts};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

pub(crate) use self::visit::Visit;

use self::visitors::Visitors;
use crate::{Connection, Context, Listener};

/// The time that the runtime needs to look whether somebody has connected.
const LOOK: Duration = Duration::from_millis(1);

/// What a server does with a connection, or with a [`Session`](crate::Session) of datagrams.
///
/// Any function from one of these and a [`Context`] to a future is one. A handler that may go
/// on for long ends when [`Context::stopping`] does.
pub trait Handler<C = Connection>: Send + Sync + 'static {
    /// Handles one connection until it ends.
    fn handle(&self, connection: C, cx: Context) -> impl Future<Output = Result<(), Error>> + Send;

    /// Handles one connection until it ends or comes to [`Rest`], after which it is handled anew.
    ///
    /// # Defaults
    /// Until it ends.
    fn turn(
        &self,
        connection: C,
        cx: Context,
    ) -> impl Future<Output = Result<Option<Rest<C>>, Error>> + Send {
        // Not as a block, which would hold the handler's future twice.
        self.handle(connection, cx).map_ok(|()| None)
    }
}

/// A connection that waits for its peer to say something, between two requests say, and that a
/// server holds without a task meanwhile: a few hundred bytes instead of some thousand.
#[derive(Debug)]
pub struct Rest<C = Connection> {
    /// The connection. Its stream must be [plain](crate::Stream::is_plain), and what was sent to it
    /// flushed; else it ends. No faults are kept.
    pub connection: C,
    /// How long the peer may say nothing before the connection is closed; a year at most.
    pub limit: Duration,
}

impl<C, F, Fut> Handler<C> for F
where
    F: Fn(C, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Error>> + Send,
{
    fn handle(&self, connection: C, cx: Context) -> impl Future<Output = Result<(), Error>> + Send {
        self(connection, cx)
    }
}

impl<H: Handler> Handler for Arc<H> {
    fn handle(
        &self,
        connection: Connection,
        cx: Context,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        (**self).handle(connection, cx)
    }

    fn turn(
        &self,
        connection: Connection,
        cx: Context,
    ) -> impl Future<Output = Result<Option<Rest>, Error>> + Send {
        (**self).turn(connection, cx)
    }
}

/// Accepts connections and hands each to `handler`, in a task of its own, until `shutdown` is
/// ready. Then the listener is closed, once those who had connected before are let in, handlers are
/// told by [`Context::stopping`], and those that have not ended within the listener's drain limit
/// are dropped.
///
/// The observers of the listener see [`Event::Opened`](portolan_core::Event::Opened), once it is
/// known who the peer is, and [`Event::Closed`](portolan_core::Event::Closed) for each connection,
/// or [`Event::Refused`](portolan_core::Event::Refused).
pub async fn serve(listener: Listener, handler: impl Handler, shutdown: impl Future<Output = ()>) {
    let stopping = CancellationToken::new();
    let settings = &listener.settings;
    let timeouts = Timeouts { operation: None, ..settings.timeouts };
    let mut cx = Context::new(timeouts).with_stopping(stopping.clone());
    for observer in &settings.observers {
        cx = cx.with_observer(observer.clone());
    }
    let drain = settings.drain;
    let faults = settings.faults.clone();
    let mut visitors = Visitors::new(handler);
    let mut shutdown = pin!(shutdown);
    let is_its_one_served = accept(&listener, &mut visitors, &cx, shutdown.as_mut()).await;
    // Where it was for one connection, it is closed now.
    let last = (!listener.settings.once).then_some(listener);
    if is_its_one_served {
        let all = async {
            visitors.all().await;
            faults.delivered().await;
        };
        tokio::select! {
            () = all => return,
            () = shutdown => {}
        }
    }
    let all = async {
        if let Some(listener) = last {
            accept_last(&listener, &mut visitors, &cx).await;
        }
        stopping.cancel();
        visitors.leave().await;
        faults.delivered().await;
    };
    Context::new(Timeouts::default()).limited(Some(drain)).until_deadline(all).await;
}

/// Lets in who connects, until the shutdown, or until one is served who is to be the only one:
/// whether that is so.
async fn accept(
    listener: &Listener,
    visitors: &mut Visitors<impl Handler>,
    cx: &Context,
    mut shutdown: Pin<&mut impl Future<Output = ()>>,
) -> bool {
    loop {
        // One wait for the next connection, whoever ends meanwhile: a pause after a failure counts.
        let mut accepting = pin!(listener.accept());
        let incoming = loop {
            tokio::select! {
                () = &mut shutdown => return false,
                incoming = &mut accepting => break incoming,
                Some(()) = visitors.next() => {}
            }
        };
        let cx = cx.of_connection(incoming.peer());
        if !listener.settings.once {
            visitors.welcome(incoming, cx, None);
            continue;
        }
        let (established, is_established) = oneshot::channel();
        visitors.welcome(incoming, cx, Some(established));
        tokio::select! {
            () = &mut shutdown => return false,
            // Who does not get so far as to be served does not count.
            is_established = is_established => if is_established.is_ok() {
                return true;
            },
        }
    }
}

/// Lets in who had connected before the shutdown.
async fn accept_last(listener: &Listener, visitors: &mut Visitors<impl Handler>, cx: &Context) {
    let unlimited = Context::new(Timeouts::default());
    let all = async {
        let look = || unlimited.limited(Some(LOOK));
        while let Some(incoming) = look().until_deadline(listener.accept()).await {
            let cx = cx.of_connection(incoming.peer());
            visitors.welcome(incoming, cx, None);
        }
    };
    // Under a flood there would always be another one.
    unlimited.limited(Some(Context::QUIET)).until_deadline(all).await;
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::Mutex;
    use std::time::Instant;

    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::mpsc;

    use portolan_core::Event;

    use super::visit::BROKEN_OFF;
    use super::*;
    use crate::fault::Plan;
    use crate::{Dialer, Observer, now};

    /// Passes on why connections were closed.
    struct Failures(mpsc::UnboundedSender<Option<String>>);

    impl Observer for Failures {
        fn observe(&self, _at: Instant, event: &Event) {
            if let Event::Closed { failure, .. } = event {
                let _ = self.0.send(failure.as_ref().map(|why| format!("{why:#}")));
            }
        }
    }

    async fn observed() -> (Listener, mpsc::UnboundedReceiver<Option<String>>) {
        let (sender, ends) = mpsc::unbounded_channel();
        let listener = Listener::bind(&"tcp:0".parse().unwrap()).await.unwrap();
        (listener.with_observer(Arc::new(Failures(sender))), ends)
    }

    async fn dial(listener: &Listener) -> Connection {
        let cx = Context::new(Timeouts::default());
        Dialer::new().dial(&listener.local_url().endpoint(), &cx).await.unwrap()
    }

    #[tokio::test]
    async fn a_panic_of_a_handler_ends_its_connection() {
        let (listener, mut ends) = observed().await;
        let _peer = dial(&listener).await;
        let handler = |_: Connection, _: Context| async { panic!("as the test wants") };
        let server = tokio::spawn(serve(listener, handler, pending()));
        assert_eq!(ends.recv().await.unwrap().unwrap(), BROKEN_OFF);
        server.abort();
    }

    #[tokio::test]
    async fn what_a_fault_holds_back_is_delivered_before_the_end() {
        let (listener, _ends) = observed().await;
        let plan = Plan::new(vec!["latency=50ms".parse().unwrap()], 0);
        let listener = listener.with_faults(plan).unwrap().once();
        let mut peer = dial(&listener).await.stream;
        let handler = |mut it: Connection, _: Context| async move {
            // Neither flushed nor shut down.
            it.stream.write_all(b"ahoy").await.unwrap();
            Ok(())
        };
        serve(listener, handler, pending()).await;
        let mut said = String::new();
        let read = peer.read_to_string(&mut said).now_or_never();
        assert_eq!((read.unwrap().unwrap(), said.as_str()), (4, "ahoy"));
    }

    #[tokio::test]
    async fn who_was_let_in_is_attended_to_though_the_server_stops() {
        let (stopping, (handled, mut count)) =
            (CancellationToken::new(), mpsc::unbounded_channel());
        stopping.cancel();
        let mut visitors = Visitors::new(move |_: Connection, _: Context| {
            let _ = handled.send(());
            async { Ok(()) }
        });
        let (listener, _ends) = observed().await;
        for _ in 0..32 {
            let _peer = dial(&listener).await;
            let cx = Context::new(Timeouts::default()).with_stopping(stopping.clone());
            visitors.welcome(listener.accept().await, cx, None);
        }
        visitors.leave().await;
        for _ in 0..32 {
            count.try_recv().unwrap();
        }
    }

    #[tokio::test]
    async fn waiting_for_the_one_connection_ends_with_the_shutdown() {
        let (listener, _ends) = observed().await;
        let listener = listener.with_proxy_protocol().once();
        let mut silent = dial(&listener).await.stream;
        let shutdown = async { tokio::time::sleep(Duration::from_millis(300)).await };
        serve(listener, |_: Connection, _: Context| async { Ok(()) }, shutdown).await;
        let closed = silent.read(&mut [0]).now_or_never();
        assert_eq!(closed.unwrap().unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_on_beyond_the_drain_limit_is_broken_off() {
        let (listener, mut ends) = observed().await;
        let listener = listener.with_drain(Duration::from_secs(3));
        let _peer = dial(&listener).await;
        let (ready, is_ready) = oneshot::channel();
        let ready = Mutex::new(Some(ready));
        let handler = move |_: Connection, _: Context| {
            ready.lock().unwrap().take().map(|ready| ready.send(()));
            pending()
        };
        let started = now();
        serve(listener, handler, async { is_ready.await.unwrap() }).await;
        assert_eq!(now() - started, Duration::from_secs(3));
        assert_eq!(ends.recv().await.unwrap().unwrap(), BROKEN_OFF);
    }

    /// Answers what it hears, once a turn, with the number of the turn.
    struct OneByOne;

    impl Handler for OneByOne {
        async fn handle(&self, connection: Connection, cx: Context) -> Result<(), Error> {
            self.turn(connection, cx).await.map(drop)
        }

        async fn turn(&self, mut it: Connection, _: Context) -> Result<Option<Rest>, Error> {
            let mut heard = [0; 4];
            if it.stream.read(&mut heard).await.unwrap() == 0 {
                return Ok(None);
            }
            it.note += 1;
            it.stream.write_u8(it.note as u8).await.unwrap();
            Ok(Some(Rest { connection: it, limit: Duration::from_secs(9) }))
        }
    }

    #[tokio::test]
    async fn who_rests_goes_on_where_it_was() {
        let (listener, mut ends) = observed().await;
        let mut peer = dial(&listener).await.stream;
        let server = tokio::spawn(serve(listener, OneByOne, pending()));
        for turn in 1..=3 {
            peer.write_all(b"ahoy").await.unwrap();
            assert_eq!(peer.read_u8().await.unwrap(), turn);
        }
        drop(peer);
        assert_eq!(ends.recv().await.unwrap(), None);
        server.abort();
    }

    #[tokio::test]
    async fn a_rest_is_part_of_a_visit() {
        let (sender, mut counts) = mpsc::unbounded_channel();
        let listener = Listener::bind(&"tcp:0".parse().unwrap()).await.unwrap();
        let listener = listener.with_observer(Arc::new(Counts(sender))).with_max_connections(1);
        let mut peer = dial(&listener).await.stream;
        let url = listener.local_url();
        let server = tokio::spawn(serve(listener, OneByOne, pending()));
        for turn in 1..=2 {
            peer.write_all(b"ahoy").await.unwrap();
            assert_eq!(peer.read_u8().await.unwrap(), turn);
        }
        let cx = Context::new(Timeouts::default());
        let mut other = Dialer::new().dial(&url.endpoint(), &cx).await.unwrap().stream;
        assert_eq!(other.read(&mut [0]).await.unwrap(), 0);
        drop(peer);
        assert_eq!(counts.recv().await.unwrap(), (8, 2));
        server.abort();
    }

    /// Passes on how many bytes connections read and wrote.
    struct Counts(mpsc::UnboundedSender<(u64, u64)>);

    impl Observer for Counts {
        fn observe(&self, _at: Instant, event: &Event) {
            if let Event::Closed { bytes_in, bytes_out, .. } = event {
                let _ = self.0.send((*bytes_in, *bytes_out));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_has_its_limit() {
        let (listener, mut ends) = observed().await;
        let mut peer = dial(&listener).await.stream;
        let server = tokio::spawn(serve(listener, OneByOne, pending()));
        peer.write_all(b"ahoy").await.unwrap();
        assert_eq!(peer.read_u8().await.unwrap(), 1);
        let started = now();
        assert_eq!(peer.read(&mut [0]).await.unwrap(), 0);
        assert!(now() - started <= Duration::from_secs(10), "{:?}", now() - started);
        assert_eq!(ends.recv().await.unwrap(), None);
        server.abort();
    }

    #[tokio::test]
    async fn who_rests_does_not_hold_up_the_end() {
        let (listener, mut ends) = observed().await;
        let mut peer = dial(&listener).await.stream;
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, OneByOne, async { drop(stopped.await) }));
        peer.write_all(b"ahoy").await.unwrap();
        assert_eq!(peer.read_u8().await.unwrap(), 1);
        drop(stop);
        server.await.unwrap();
        assert_eq!(ends.recv().await.unwrap(), None);
        assert_eq!(peer.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn who_said_something_at_rest_before_the_end_is_heard() {
        let (listener, _ends) = observed().await;
        let mut peer = dial(&listener).await.stream;
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, OneByOne, async { drop(stopped.await) }));
        peer.write_all(b"ahoy").await.unwrap();
        assert_eq!(peer.read_u8().await.unwrap(), 1);
        peer.write_all(b"ahoy").await.unwrap();
        drop(stop);
        assert_eq!(peer.read_u8().await.unwrap(), 2);
        assert_eq!(peer.read(&mut [0]).await.unwrap(), 0);
        server.await.unwrap();
    }

    #[tokio::test]
    async fn who_had_connected_before_the_end_is_heard() {
        let (listener, _ends) = observed().await;
        let mut peers = Vec::new();
        for _ in 0..3 {
            let mut peer = dial(&listener).await.stream;
            peer.write_all(b"ahoy").await.unwrap();
            peers.push(peer);
        }
        serve(listener, OneByOne, ready(())).await;
        for mut peer in peers {
            assert_eq!(peer.read_u8().await.unwrap(), 1);
        }
    }

    #[tokio::test]
    async fn the_one_that_is_served_may_rest() {
        let (listener, _ends) = observed().await;
        let mut peer = dial(&listener).await.stream;
        let server = tokio::spawn(serve(listener.once(), OneByOne, pending()));
        for turn in 1..=2 {
            peer.write_all(b"ahoy").await.unwrap();
            assert_eq!(peer.read_u8().await.unwrap(), turn);
        }
        drop(peer);
        server.await.unwrap();
    }
}
