//! Serving: a handler for every connection that comes in, until the shutdown.

use std::future::Future;
use std::sync::Arc;

use portolan_core::{Error, Event, Timeouts};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Connection, Context, Incoming, Listener, now};

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
    let handler = Arc::new(handler);
    let mut tasks = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    'accepting: loop {
        // One wait for the next connection, whoever ends meanwhile: a pause after a failure counts.
        let mut accepting = std::pin::pin!(listener.accept());
        let incoming = loop {
            tokio::select! {
                () = &mut shutdown => break 'accepting,
                incoming = &mut accepting => break incoming,
                Some(_) = tasks.join_next() => {}
            }
        };
        let is_last = listener.settings.once && !incoming.is_refused();
        tasks.spawn(attend(incoming, handler.clone(), cx.clone()));
        if is_last {
            break;
        }
    }
    let is_once = listener.settings.once;
    drop(listener);
    let mut all = std::pin::pin!(async { while tasks.join_next().await.is_some() {} });
    if is_once {
        tokio::select! {
            () = &mut all => return,
            () = &mut shutdown => {}
        }
    }
    stopping.cancel();
    Context::new(Timeouts::default()).limited(Some(drain)).until_deadline(all).await;
}

async fn attend(mut incoming: Incoming, handler: Arc<impl Handler>, cx: Context) {
    let started = now();
    let meter = incoming.meter();
    let admitted = tokio::select! {
        admitted = incoming.admit(&cx) => admitted,
        () = cx.stopping() => return,
    };
    if matches!(admitted, Ok(false)) {
        return;
    }
    let _slot = incoming.take_slot();
    let (peer, via) = (incoming.peer().clone(), incoming.via().cloned());
    cx.observe(&Event::Opened { peer: peer.clone(), via: via.clone() });
    let established = match admitted {
        Ok(_) => tokio::select! {
            established = incoming.establish(&cx) => established,
            () = cx.stopping() => Ok(None),
        },
        Err(error) => Err(error),
    };
    let result = match established {
        Ok(Some(connection)) => handler.handle(connection, cx.clone()).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    cx.observe(&Event::Closed {
        peer,
        via,
        bytes_in: meter.read(),
        bytes_out: meter.written(),
        elapsed: now().saturating_duration_since(started),
        failure: result.err().map(|error| format!("{error:#}")),
    });
}
