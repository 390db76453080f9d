//! `serve`: one real server, of the protocol that its subcommand names.

mod access_log;
mod http;
mod ws;

use portolan::Error;
use tokio::runtime::Builder;

use super::models;
use crate::args::applies::Given;
use crate::args::serve::{Protocol, ServeArgs};
use crate::console::Console;
use crate::exit::Exit;

/// Serves until a signal.
///
/// # Errors
/// What kept it from starting.
pub async fn run(args: &ServeArgs, given: &Given, console: &Console) -> Result<Exit, Error> {
    match &args.protocol {
        Protocol::Http(args) => http::run(args, given, console).await,
        Protocol::Ws(args) => ws::run(args, given, console).await,
    }
}

/// The runtime on which the server of this protocol runs.
pub(super) fn runtime(args: &ServeArgs) -> Builder {
    match &args.protocol {
        Protocol::Http(args) => models::runtime(http::model(args)),
        Protocol::Ws(args) => models::runtime(ws::model(args)),
    }
}
