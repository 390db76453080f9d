//! `listen`: accepts, and echoes.

use portolan::Error;
use portolan::blocking::{self, Threads};
use portolan::net::{Connection, Context, Listener, echo};

use super::signals::Signals;
use super::{descriptors, models};
use crate::args::listen::{ListenArgs, Model};
use crate::console::Console;
use crate::exit::Exit;

/// Serves until a signal.
///
/// # Errors
/// What kept it from starting.
pub async fn run(args: &ListenArgs, console: &Console) -> Result<Exit, Error> {
    let mut signals = Signals::catch()?;
    descriptors::raise();
    let listener = Listener::bind(&args.url).await?;
    let url = listener.local_url();
    let workers = listener.share(args.workers.into())?;
    console.line(&format!("listening on {url}"))?;
    match args.model {
        Model::Async | Model::EventLoop => {
            let handler = |connection: Connection, cx: Context| async move {
                echo(connection.stream, &cx).await.map(drop)
            };
            models::serve(workers, args.model, handler, signals.next()).await?;
        }
        Model::Threads => {
            let handler = |connection: blocking::Connection, _cx: Context| {
                blocking::echo(connection.stream).map(drop)
            };
            let handler = Threads::new(handler);
            models::serve(workers, args.model, handler, signals.next()).await?;
        }
    }
    Ok(Exit::DONE)
}
