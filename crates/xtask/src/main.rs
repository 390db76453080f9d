//! Portolan's own checks and generated files: `cargo xtask TASK`.

mod docs;
mod layers;
mod reference;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};

const USAGE: &str = "\
usage: cargo xtask TASK
  layers          check that imports go down, never up and never sideways
  docs [--check]  write the generated files under docs/, or check that they are current";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> anyhow::Result<()> {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = crate_dir.ancestors().nth(2).context("xtask is not in crates/xtask")?;
    match args {
        ["layers"] => layers::check(root),
        ["docs"] => docs::write(root),
        ["docs", "--check"] => docs::check(root),
        _ => bail!("no such task\n{USAGE}"),
    }
}

#[expect(clippy::print_stderr, reason = "a task's output is for whoever runs it")]
fn say(text: &str) {
    eprintln!("{text}");
}
