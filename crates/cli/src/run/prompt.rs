//! Asking for a password on a terminal, which does not show what is typed.

use std::io::{self, BufRead, IsTerminal};

use portolan::{Error, Kind};

use super::terminal::Mode;
use crate::console::Console;

/// The password of `user`, asked for where stdin is a terminal.
///
/// # Errors
/// [`Kind::Usage`] where stdin is none; [`Kind::Read`].
pub(super) async fn password(user: &str, console: &Console) -> Result<String, Error> {
    if !io::stdin().is_terminal() {
        let message =
            format!("there is no password for {user}, and stdin is no terminal to ask on");
        return Err(Error::new(Kind::Usage, message)
            .with_hint("give it in a variable with --password-env, or with --netrc"));
    }
    let failed = |cause| Error::new(Kind::Read, "could not read the password").with_source(cause);
    // The terminal shows again what is typed also where a signal ends the waiting.
    let _silent = Mode::silent().map_err(failed)?;
    console.prompt(&format!("password for {user}: "));
    let line = super::blocking(move || {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map_err(failed)?;
        Ok(line)
    })
    .await?;
    console.prompt("\n");
    match line.strip_suffix('\n') {
        Some(password) => Ok(password.to_owned()),
        None => Err(Error::new(Kind::Usage, format!("there is no password for {user}"))),
    }
}
