//! The command `portolan`: arguments, printing and exit codes over the library of that name.
//!
//! A verb has up to three files of the same name: `args/X.rs` says what may be typed and does
//! nothing, `run/X.rs` calls an engine, `show/X.rs` turns its report into text and JSON. This is a
//! library only so that the generated help, manual pages and reference come from the one
//! definition in [`args`].

pub mod args;
mod config;
pub mod console;
pub mod exit;
mod row;
pub mod run;
mod sanitize;
mod settings;
pub mod show;
pub mod trace;
mod usage;

use std::env;
use std::ffi::OsString;

use crate::args::applies::Given;
use crate::console::Console;
use crate::exit::Exit;

/// Runs the command line `argv`, of which the first is the program's own name.
pub fn main(argv: Vec<OsString>) -> Exit {
    let early = Console::early(&argv);
    let matches = match args::command().try_get_matches_from(&argv) {
        Ok(matches) => matches,
        Err(error) if usage::is_help(&error) => return early.help(&error),
        Err(error) => return early.error(&usage::refusal(&error, str::to_owned), None),
    };
    let cli = match settings::complete(&argv, &matches, &|name| env::var_os(name)) {
        Ok(cli) => cli,
        Err(error) => return early.error(&error, None),
    };
    let console = Console::new(&cli.output);
    match run::run(&cli.verb, &Given::new(&matches), &console) {
        Ok(exit) => exit,
        Err(error) => console.error(&error, None),
    }
}
