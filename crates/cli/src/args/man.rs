//! The arguments of `man`.

use std::path::PathBuf;

use clap::Args;

/// Which manual pages.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  portolan man probe | man -l -
  portolan man --dir ~/.local/share/man/man1")]
pub struct ManArgs {
    /// The page of this verb [default: of portolan itself]
    #[arg(conflicts_with = "dir")]
    pub verb: Vec<String>,
    /// Write every page into this directory
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
