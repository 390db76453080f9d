//! `--exec`: what is told of a command's end.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use portolan::relay::Exec;
use rustix::process::Signal;

use crate::console::Console;

/// Says that a command failed. That nobody listens to it any more is no failure.
pub(super) fn tell_status(exec: &Exec, status: io::Result<ExitStatus>, console: &Console) {
    match status {
        Ok(status) if status.success() => {}
        Ok(status) if status.signal() == Some(Signal::PIPE.as_raw()) => {}
        Ok(status) => console.note(&format!("'{exec}' ended with {status}")),
        Err(cause) => console.note(&format!("could not learn how '{exec}' ended: {cause}")),
    }
}
