//! The modes of the terminal that stdin is (termios(3)).

use std::io::{self, Stdin};

use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

/// Another mode of the terminal, which has the one before again when this is dropped.
pub(super) struct Mode {
    stdin: Stdin,
    before: Termios,
    now: Termios,
}

impl Mode {
    /// Nothing of what is typed is shown.
    pub(super) fn silent() -> io::Result<Self> {
        Self::begin(OptionalActions::Flush, |mode| mode.local_modes -= LocalModes::ECHO)
    }

    /// Each key is read when it is pressed, and is not shown. Ctrl-C and Ctrl-Z are still signals.
    pub(super) fn keys() -> io::Result<Self> {
        Self::begin(OptionalActions::Now, |mode| {
            mode.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::IEXTEN;
            // Who writes to a terminal that Ctrl-S has stopped would wait, and hear no signal.
            mode.input_modes -= InputModes::IXON;
            mode.special_codes[SpecialCodeIndex::VMIN] = 1;
            mode.special_codes[SpecialCodeIndex::VTIME] = 0;
            // SIGQUIT would leave the terminal in this mode; a null byte is no key here.
            mode.special_codes[SpecialCodeIndex::VQUIT] = 0;
        })
    }

    fn begin(when: OptionalActions, change: impl FnOnce(&mut Termios)) -> io::Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut now = before.clone();
        change(&mut now);
        tcsetattr(&stdin, when, &now)?;
        Ok(Self { stdin, before, now })
    }

    /// Sets the mode again, where somebody else may have set another one meanwhile.
    pub(super) fn renew(&self) -> io::Result<()> {
        Ok(tcsetattr(&self.stdin, OptionalActions::Now, &self.now)?)
    }
}

impl Drop for Mode {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.stdin, OptionalActions::Now, &self.before);
    }
}
