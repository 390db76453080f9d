//! `relay`: listens, and joins each connection to one that it dials.

use portolan::Error;
use portolan::net::Listener;
use portolan::relay::Relay;

use super::signals::Signals;
use super::{capture, descriptors};
use crate::args::relay::RelayArgs;
use crate::console::Console;
use crate::exit::Exit;

/// Relays until a signal.
///
/// # Errors
/// What kept it from starting.
pub async fn run(args: &RelayArgs, console: &Console) -> Result<Exit, Error> {
    args.dial.validate()?;
    let console = &args.dial.pcap.console(console);
    let mut signals = Signals::catch()?;
    descriptors::raise();
    let capture = args.dial.pcap.start(console, &mut signals).await?;
    let listener = Listener::bind(&args.from).await?.with_capture(capture.clone());
    console.line(&format!("listening on {}", listener.local_url()))?;
    let dialer = args.dial.dialer()?.with_capture(capture.clone());
    let mut relay = Relay::new(args.to.clone(), dialer);
    if let Some(rate) = args.rate {
        relay = relay.with_rate(rate);
    }
    relay.serve(listener, signals.next()).await;
    capture::finish(capture, console, &mut signals).await;
    Ok(Exit::DONE)
}
