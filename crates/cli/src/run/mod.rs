//! What the verbs do: each calls an engine and hands its report to the console.

mod capture;
pub mod completions;
pub mod connect;
mod connections;
mod descriptors;
pub mod dialer;
mod editor;
mod entrance;
mod exec;
pub mod get;
pub mod http;
pub mod lab;
pub mod listen;
mod login;
pub mod man;
pub mod metrics;
mod models;
pub mod probe;
mod prompt;
pub mod relay;
pub mod serve;
pub mod signals;
mod stdio;
mod targets;
mod terminal;
mod websocket;

use std::time::Duration;

use portolan::{Error, Kind};
use tokio::runtime;

use crate::args::Verb;
use crate::args::applies::Given;
use crate::console::Console;
use crate::exit::Exit;

/// Runs a verb, with the flags that were given for it.
///
/// # Errors
/// What ended the verb as a whole; it has reported what befell one target of several.
pub fn run(verb: &Verb, given: &Given, console: &Console) -> Result<Exit, Error> {
    match verb {
        Verb::Probe(args) => block_on(probe::run(args, given, console)),
        Verb::Connect(args) => block_on(connect::run(args, given, console)),
        Verb::Listen(args) => {
            block_on_with(models::runtime(args.model), listen::run(args, given, console))
        }
        Verb::Relay(args) => {
            block_on_with(models::runtime(relay::model(args)), relay::run(args, given, console))
        }
        Verb::Http(args) => block_on_with(one_loop(), http::run(args, given, console)),
        Verb::Get(args) => block_on_with(one_loop(), get::run(args, given, console)),
        Verb::Serve(args) => block_on_with(serve::runtime(args), serve::run(args, given, console)),
        Verb::Lab(args) => block_on(lab::run(args, given, console)),
        Verb::Completions(args) => completions::run(args, console),
        Verb::Man(args) => man::run(args, console),
    }
}

/// Does what the system may let wait, such as reading a file that is a pipe, where it keeps nothing
/// else from going on.
///
/// # Errors
/// Those of `work`.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|cause| {
        Err(Error::new(Kind::Read, "could not finish reading files").with_source(cause))
    })
}

/// How long the end waits for what still runs.
const GRACE: Duration = Duration::from_millis(100);

/// Runs a verb that needs the network. At its end servers are dropped, and with them the files of
/// their sockets; a look-up that hangs in the system is not waited for.
fn block_on(verb: impl Future<Output = Result<Exit, Error>>) -> Result<Exit, Error> {
    let mut builder = runtime::Builder::new_multi_thread();
    builder.enable_all();
    block_on_with(builder, verb)
}

/// A runtime for what moves bytes and computes little: none of them wakes another thread.
fn one_loop() -> runtime::Builder {
    let mut builder = runtime::Builder::new_current_thread();
    builder.enable_all();
    builder
}

/// As [`block_on`], on a runtime of the verb's choice.
fn block_on_with(
    mut builder: runtime::Builder,
    verb: impl Future<Output = Result<Exit, Error>>,
) -> Result<Exit, Error> {
    let runtime = builder.build().map_err(|cause| {
        Error::new(Kind::Denied, "could not start the threads of the runtime").with_source(cause)
    })?;
    let exit = runtime.block_on(verb);
    runtime.shutdown_timeout(GRACE);
    exit
}
