//! The command `portolan`.

use std::process::ExitCode;

fn main() -> ExitCode {
    portolan_cli::main(std::env::args_os().collect()).into()
}
