//! `portolan completions`.

use portolan::Error;

use crate::args;
use crate::args::completions::CompletionsArgs;
use crate::console::Console;
use crate::exit::Exit;

/// Prints the completions of a shell.
///
/// # Errors
/// [`portolan::Kind::Write`].
pub fn run(args: &CompletionsArgs, console: &Console) -> Result<Exit, Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), "portolan", &mut script);
    console.data(&script)?;
    Ok(Exit::DONE)
}
