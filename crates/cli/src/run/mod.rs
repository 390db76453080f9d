//! What the verbs do: each calls an engine and hands its report to the console.

pub mod completions;
pub mod dialer;
pub mod lab;
pub mod man;
pub mod metrics;
pub mod probe;
pub mod signals;

use std::time::Duration;

use portolan::{Error, Kind};
use rustix::process::{Resource, getrlimit, setrlimit};
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
        Verb::Lab(args) => block_on(lab::run(args, console)),
        Verb::Completions(args) => completions::run(args, console),
        Verb::Man(args) => man::run(args, console),
    }
}

/// How long the end waits for what still runs.
const GRACE: Duration = Duration::from_millis(100);

/// Runs a verb that needs the network. At its end servers are dropped, and with them the files of
/// their sockets; a look-up that hangs in the system is not waited for.
fn block_on(verb: impl Future<Output = Result<Exit, Error>>) -> Result<Exit, Error> {
    allow_files();
    let runtime = runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| {
        Error::new(Kind::Denied, "could not start the threads of the runtime").with_source(cause)
    })?;
    let exit = runtime.block_on(verb);
    runtime.shutdown_timeout(GRACE);
    exit
}

/// Lets this process have as many files as the system allows it: each connection is one, and the
/// limit that is usual is for programs which cannot count beyond it.
fn allow_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where this is not allowed, the usual limit has to do.
    let _ = setrlimit(Resource::Nofile, limit);
}
