//! The models of a server: on which threads its handler runs.
//!
//! The handler is the same in all of them. What differs is the runtime, and with several workers
//! how many event loops there are, each with a listening socket of its own.

use std::io;
use std::sync::Arc;
use std::thread;

use portolan::net::{self, Handler, Listener};
use portolan::{Error, Kind};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::args::listen::Model;

/// The runtime of a verb that serves in this model: tasks on all cores, or one event loop.
pub(super) fn runtime(model: Model) -> Builder {
    let mut builder = match model {
        Model::Async => Builder::new_multi_thread(),
        Model::Threads | Model::EventLoop => Builder::new_current_thread(),
    };
    builder.enable_all();
    builder
}

/// Serves what all `listeners` accept until `shutdown` is ready, and drains them. In the
/// asynchronous model they share the runtime's threads; in the others each has an event loop on a
/// thread of its own.
///
/// # Errors
/// [`Kind::Denied`] where a loop or its thread cannot be started.
pub(super) async fn serve(
    model: Model,
    listeners: Vec<Listener>,
    handler: impl Handler,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let stopping = CancellationToken::new();
    let handler = Arc::new(handler);
    let mut workers = JoinSet::new();
    for (number, listener) in listeners.into_iter().enumerate() {
        let served = net::serve(listener, handler.clone(), stopping.clone().cancelled_owned());
        // The runtime that is there is the first one's loop.
        if model == Model::Async || number == 0 {
            workers.spawn(served);
        } else {
            let ended = on_a_thread(served).map_err(|cause| {
                Error::new(Kind::Denied, "could not start a worker").with_source(cause)
            })?;
            workers.spawn(async { ended.await.unwrap_or_default() });
        }
    }
    shutdown.await;
    stopping.cancel();
    workers.join_all().await;
    Ok(())
}

/// Runs `work` on an event loop and a thread of its own; what is returned is ready when it is done.
fn on_a_thread(
    work: impl Future<Output = ()> + Send + 'static,
) -> io::Result<oneshot::Receiver<()>> {
    let event_loop = Builder::new_current_thread().enable_all().build()?;
    let (done, ended) = oneshot::channel();
    let run = move || {
        event_loop.block_on(work);
        // Who waits is told by the end of the channel too.
        let _ = done.send(());
    };
    thread::Builder::new().name("worker".to_owned()).spawn(run)?;
    Ok(ended)
}
