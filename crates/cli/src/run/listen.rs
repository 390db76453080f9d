//! `listen`: accepts, and echoes.

use portolan::Error;
use portolan::net::{Connection, Context, Listener, echo, serve};

use super::descriptors;
use super::signals::Signals;
use crate::args::listen::ListenArgs;
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
    console.line(&format!("listening on {}", listener.local_url()))?;
    let handler = |connection: Connection, cx: Context| async move {
        echo(connection.stream, &cx).await.map(drop)
    };
    serve(listener, handler, signals.next()).await;
    Ok(Exit::DONE)
}
