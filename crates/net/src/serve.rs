//! Serving: a handler for every connection that comes in, until the shutdown.
//!
//! The runtime decides the model. On tokio's default one, handlers are tasks on all cores: right
//! for handlers that compute, speak TLS, or serve peers of unequal appetite. On a current-thread one
//! they share one thread and one event loop: no message wakes another thread, which with small
//! messages and little work for each is worth a quarter in speed, and a handler that computes holds
//! up all others. [`Listener::share`] gives each of several such loops a socket of its own. For
//! libraries that block there is [`blocking`](crate::blocking), a thread a connection.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use portolan_core::{Blame, Endpoint, Error, Event, Kind, Timeouts};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Connection, Context, Incoming, Listener, Meter, now};

/// Why a connection was closed whose handler did not get to its end: it panicked, or went on beyond
/// the drain limit.
const BROKEN_OFF: &str = "the connection was broken off";

/// What a server does with a connection, or with a [`Session`](crate::Session) of datagrams.
///
/// Any function from one of these and a [`Context`] to a future is one. A handler that may go
/// on for long ends when [`Context::stopping`] does.
pub trait Handler<C = Connection>: Send + Sync + 'static {
    /// Handles one connection until it ends.
    fn handle(&self, connection: C, cx: Context) -> impl Future<Output = Result<(), Error>> + Send;
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
}

/// Accepts connections and hands each to `handler`, in a task of its own, until `shutdown` is
/// ready. Then the listener is closed, handlers are told by [`Context::stopping`], and those that
/// have not ended within the listener's drain limit are dropped.
///
/// The observers of the listener see [`Event::Opened`], once it is known who the peer is, and
/// [`Event::Closed`] for each connection, or [`Event::Refused`].
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
    let handler = Arc::new(handler);
    let mut tasks = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    let is_its_one_served = 'accepting: loop {
        // One wait for the next connection, whoever ends meanwhile: a pause after a failure counts.
        let mut accepting = std::pin::pin!(listener.accept());
        let incoming = loop {
            tokio::select! {
                () = &mut shutdown => break 'accepting false,
                incoming = &mut accepting => break incoming,
                Some(_) = tasks.join_next() => {}
            }
        };
        let incoming = Box::new(incoming);
        let cx = cx.of_connection(incoming.peer());
        if !listener.settings.once {
            tasks.spawn(attend(incoming, handler.clone(), cx, None));
            continue;
        }
        let (established, is_established) = oneshot::channel();
        tasks.spawn(attend(incoming, handler.clone(), cx, Some(established)));
        tokio::select! {
            () = &mut shutdown => break false,
            // Who does not get so far as to be served does not count.
            is_established = is_established => if is_established.is_ok() {
                break true;
            },
        }
    };
    drop(listener);
    let mut all = std::pin::pin!(async {
        while tasks.join_next().await.is_some() {}
        faults.delivered().await;
    });
    if is_its_one_served {
        tokio::select! {
            () = &mut all => return,
            () = &mut shutdown => {}
        }
    }
    stopping.cancel();
    Context::new(Timeouts::default()).limited(Some(drain)).until_deadline(all).await;
}

/// Accompanies a connection from its accept to its end.
async fn attend(
    incoming: Box<Incoming>,
    handler: Arc<impl Handler>,
    cx: Context,
    told: Option<oneshot::Sender<()>>,
) {
    // Boxed, like what came in and the handler's own future, which is all that is held later: moved
    // about, it would be held twice.
    let begin = Box::pin(async {
        let (visit, established) = establish(*incoming, &cx).await?;
        if let (Some(told), Ok(_)) = (told, &established) {
            let _ = told.send(());
        }
        let handle = |connection| Box::pin(handler.handle(connection, cx.clone()));
        Some((visit, established.map(|connection| connection.map(handle))))
    });
    let Some((mut visit, begun)) = begin.await else { return };
    let result = match begun {
        Ok(Some(handling)) => handling.await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    visit.end(result);
}

/// Lets a peer in, and makes its connection usable; `None` where it was not let in.
async fn establish(
    mut incoming: Incoming,
    cx: &Context,
) -> Option<(Visit<'_>, Result<Option<Connection>, Error>)> {
    let accepted = now();
    let admitted = tokio::select! {
        admitted = incoming.admit(cx) => admitted,
        () = cx.stopping() => return None,
    };
    if matches!(admitted, Ok(false)) {
        return None;
    }
    let mut visit = Visit::begin(incoming.peer(), incoming.via(), incoming.meter(), cx);
    visit.accepted = accepted;
    visit.slot = incoming.take_slot();
    let established = match admitted {
        Ok(_) => tokio::select! {
            established = incoming.establish(cx) => established,
            () = cx.stopping() => Ok(None),
        },
        Err(error) => Err(error),
    };
    Some((visit, established))
}

/// A connection or session of which the observers know: they see that it opens, and when this is
/// dropped that it is closed.
pub(crate) struct Visit<'a> {
    peer: Endpoint,
    via: Option<Endpoint>,
    accepted: Instant,
    meter: Arc<Meter>,
    slot: Option<OwnedSemaphorePermit>,
    /// What ended it, where it is not a plain close: until it has ended, that it is broken off.
    failure: Option<Error>,
    cx: &'a Context,
}

impl<'a> Visit<'a> {
    pub(crate) fn begin(
        peer: &Endpoint,
        via: Option<&Endpoint>,
        meter: Arc<Meter>,
        cx: &'a Context,
    ) -> Self {
        cx.observe(&Event::Opened { peer: peer.clone(), via: via.cloned() });
        Self {
            peer: peer.clone(),
            via: via.cloned(),
            accepted: now(),
            meter,
            slot: None,
            failure: Some(Error::new(Kind::Lost, BROKEN_OFF).with_blame(Blame::Us)),
            cx,
        }
    }

    /// The handler has come to its end.
    pub(crate) fn end(&mut self, result: Result<(), Error>) {
        self.failure = result.err();
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        // Who hears that one has gone can count on its place.
        self.slot = None;
        self.cx.observe(&Event::Closed {
            peer: self.peer.clone(),
            via: self.via.clone(),
            bytes_in: self.meter.read(),
            bytes_out: self.meter.written(),
            elapsed: now().saturating_duration_since(self.accepted),
            failure: self.failure.take().map(Arc::new),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Mutex;
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::mpsc;

    use super::*;
    use crate::fault::Plan;
    use crate::{Dialer, Observer};

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
    async fn waiting_for_the_one_connection_ends_with_the_shutdown() {
        let (listener, _ends) = observed().await;
        let listener = listener.with_proxy_protocol().once();
        let mut silent = dial(&listener).await.stream;
        let shutdown = async { tokio::time::sleep(Duration::from_millis(20)).await };
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
}
