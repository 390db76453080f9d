//! A terminal of a test's own (pty(7)).

use std::fs::File;
use std::path::PathBuf;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// The side of the terminal on which it is typed and looked at.
pub(crate) struct Pty {
    pub(crate) controller: File,
    /// The side that a command has.
    pub(crate) path: PathBuf,
}

impl Pty {
    pub(crate) fn new(rows: u16, columns: u16) -> Self {
        let pty = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&pty).unwrap();
        unlockpt(&pty).unwrap();
        let path = ptsname(&pty, Vec::new()).unwrap().into_string().unwrap().into();
        let pty = Self { controller: File::from(pty), path };
        pty.resize(rows, columns);
        pty
    }

    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.controller, size).unwrap();
    }

    pub(crate) fn open(&self) -> File {
        File::options().read(true).write(true).open(&self.path).unwrap()
    }
}
