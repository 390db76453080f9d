//! The models of a server: on which threads its handler runs.
//!
//! The handler is the same in all of them. What differs is the runtime, and with several workers
//! how many event loops there are, each with a listening socket of its own.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use portolan::net::{self, Handler, Share};
use portolan::{Error, Kind};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinSet};
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

/// Serves what all `workers` accept until `shutdown` is ready, and drains them. In the asynchronous
/// model they share the threads of the runtime; in the others each has an event loop on a thread of
/// its own, the first one the runtime itself.
///
/// # Errors
/// As for [`Share::listen`], and [`Kind::Denied`] where a loop or its thread cannot be started.
pub(super) async fn serve(
    workers: Vec<Share>,
    model: Model,
    handler: impl Handler,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let stopping = CancellationToken::new();
    let stop = stopping.clone().drop_guard();
    let handler = Arc::new(handler);
    let mut running = JoinSet::new();
    for (number, share) in workers.into_iter().enumerate() {
        let (handler, stopping) = (handler.clone(), stopping.clone());
        if model == Model::Async || number == 0 {
            running.spawn(net::serve(share.listen()?, handler, stopping.cancelled_owned()));
        } else {
            running.spawn(Worker::start(share, handler, stopping)?.end());
        }
    }
    // They end by themselves where they serve one connection only.
    tokio::select! {
        () = shutdown => {}
        () = ends(&mut running) => {}
    }
    drop(stop);
    ends(&mut running).await;
    Ok(())
}

/// Waits until all have ended.
async fn ends(running: &mut JoinSet<()>) {
    while let Some(ended) = running.join_next().await {
        pass_on_panic(ended);
    }
}

/// A worker that panics is not to pass for one that has ended.
fn pass_on_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

/// An event loop that serves on a thread of its own. Dropping it breaks off what is served there,
/// of which the observers hear.
struct Worker {
    ended: oneshot::Receiver<Result<(), JoinError>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn start(
        share: Share,
        handler: Arc<impl Handler>,
        stopping: CancellationToken,
    ) -> Result<Self, Error> {
        let failed =
            |cause| Error::new(Kind::Denied, "could not start a worker").with_source(cause);
        let event_loop = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let listener = {
            let _inside = event_loop.enter();
            share.listen()?
        };
        let (mut done, ended) = oneshot::channel();
        let run = move || {
            // As a task: what is awaited outside of one wakes the loop by way of the kernel.
            let served =
                event_loop.spawn(net::serve(listener, handler, stopping.cancelled_owned()));
            let ended = event_loop.block_on(async {
                tokio::select! {
                    ended = served => Some(ended),
                    // Nobody waits any more after a second signal.
                    () = done.closed() => None,
                }
            });
            event_loop.shutdown_background();
            ended.map(|ended| done.send(ended));
        };
        let thread = thread::Builder::new().name("worker".to_owned()).spawn(run).map_err(failed)?;
        Ok(Self { ended, thread: Some(thread) })
    }

    /// Waits until it ends by itself.
    async fn end(mut self) {
        if let Ok(ended) = (&mut self.ended).await {
            pass_on_panic(ended);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.ended.close();
        // Its panic was passed on.
        self.thread.take().map(JoinHandle::join);
    }
}
