//! `relay`: listens, and joins each connection to one that it dials.

use portolan::Error;
use portolan::net::{Join, Listener};
use portolan::relay::{Carry, Relay};

use super::descriptors;
use super::signals::Signals;
use crate::args::relay::RelayArgs;
use crate::console::Console;
use crate::exit::Exit;

/// Relays until a signal.
///
/// # Errors
/// What kept it from starting.
pub async fn run(args: &RelayArgs, console: &Console) -> Result<Exit, Error> {
    args.dial.validate()?;
    let mut signals = Signals::catch()?;
    descriptors::raise();
    let listener = Listener::bind(&args.from).await?;
    console.line(&format!("listening on {}", listener.local_url()))?;
    let relay = Relay::new(args.to.clone(), args.dial.dialer()?).with_carry(Carry {
        join: Join { rate: args.rate, ..Join::default() },
        ..Carry::default()
    });
    relay.serve(listener, signals.next()).await;
    Ok(Exit::DONE)
}
