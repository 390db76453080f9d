//! The arguments of `completions`.

use clap::Args;
use clap_complete::Shell;

/// Which shell.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  portolan completions bash > ~/.local/share/bash-completion/completions/portolan
  portolan completions fish > ~/.config/fish/completions/portolan.fish")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}
