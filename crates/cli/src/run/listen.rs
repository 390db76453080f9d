//! `listen`: accepts, and echoes.

use portolan::Error;
use portolan::net::{Connection, Context, Listener, echo, serve};

use super::signals::Signals;
use super::{capture, descriptors};
use crate::args::listen::ListenArgs;
use crate::console::Console;
use crate::exit::Exit;

/// Serves until a signal.
///
/// # Errors
/// What kept it from starting.
pub async fn run(args: &ListenArgs, console: &Console) -> Result<Exit, Error> {
    let console = &args.pcap.console(console);
    let mut signals = Signals::catch()?;
    descriptors::raise();
    let capture = args.pcap.start(console, &mut signals).await?;
    let listener = Listener::bind(&args.url).await?.with_capture(capture.clone());
    console.line(&format!("listening on {}", listener.local_url()))?;
    let handler = |connection: Connection, cx: Context| async move {
        echo(connection.stream, &cx).await.map(drop)
    };
    serve(listener, handler, signals.next()).await;
    capture::finish(capture, console, &mut signals).await;
    Ok(Exit::DONE)
}
