//! `--pcap`: the capture of a verb's own traffic, from its flags to its complete file.

use std::env;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process;

use portolan::net::pcap::Capture;
use portolan::{Error, Kind, redact};

use super::dialer::misfit;
use super::signals::Signals;
use crate::args::pcap::PcapArgs;
use crate::console::Console;

impl PcapArgs {
    /// The console of the verb: where stdout belongs to the capture, its data goes to stderr.
    #[must_use]
    pub fn console(&self, console: &Console) -> Console {
        if self.takes_stdout() { console.off_stdout() } else { *console }
    }

    /// Refuses a capture on stdout where that is for `others`.
    ///
    /// # Errors
    /// [`Kind::Usage`].
    pub fn leave_stdout(&self, others: &str) -> Result<(), Error> {
        if !self.takes_stdout() {
            return Ok(());
        }
        let message = format!("--pcap - cannot be used here: stdout is for what {others} says");
        Err(Error::new(Kind::Usage, message).with_hint("capture into a file"))
    }

    /// Begins the capture that these flags ask for, if any. Should it fail later on, `console`
    /// says so, and the verb goes on.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a file that cannot be written, and where stdout cannot take a capture;
    /// [`Kind::Interrupted`] by a signal, as opening a pipe waits for its reader.
    pub async fn start(
        &self,
        console: &Console,
        signals: &mut Signals,
    ) -> Result<Option<Capture>, Error> {
        let Some(file) = self.pcap.clone() else { return Ok(None) };
        if self.takes_stdout() {
            check_stdout(console)?;
        }
        let redacts = self.pcap_redact;
        let capture = tokio::select! {
            opened = super::blocking(move || open(&file, redacts)) => opened?,
            () = signals.next() => {
                return Err(Error::new(Kind::Interrupted, "interrupted before the capture began"));
            }
        };
        let (watched, console) = (capture.clone(), *console);
        tokio::spawn(async move {
            console.error(&watched.failed().await, None);
        });
        Ok(Some(capture))
    }
}

/// Completes the file of a verb that ends, unless a signal says not to wait any longer.
pub(super) async fn finish(capture: Option<Capture>, console: &Console, signals: &mut Signals) {
    let Some(capture) = capture else { return };
    tokio::select! {
        finished = capture.finish() => if let Err(error) = finished {
            console.error(&error, None);
        },
        () = signals.next() => {}
    }
}

/// One stream cannot be two things, and a terminal shows no capture.
fn check_stdout(console: &Console) -> Result<(), Error> {
    if console.is_json() {
        let message = "--pcap - cannot be used with --json: both would go to stdout";
        return Err(Error::new(Kind::Usage, message).with_hint("capture into a file"));
    }
    if io::stdout().is_terminal() {
        let message = "--pcap - writes bytes that are not for a terminal";
        return Err(Error::new(Kind::Usage, message)
            .with_hint("append | wireshark -k -i - or capture into a file"));
    }
    Ok(())
}

fn open(file: &Path, redacts: bool) -> Result<Capture, Error> {
    let builder = Capture::builder().with_comment(process_line(redacts));
    let builder = if redacts { builder.without_secrets() } else { builder };
    if file == Path::new("-") {
        return builder.write_to(io::stdout(), "stdout");
    }
    builder.create(file).map_err(|error| misfit(&[("--pcap", file)], error))
}

/// Which process captures, by which command line.
fn process_line(redacts: bool) -> String {
    let process = format!("process {}", process::id());
    if redacts {
        return format!("{process}: portolan, with arguments that are left out");
    }
    let words = env::args_os().map(|word| {
        let word = word.to_string_lossy();
        // A password may hold spaces, and the word is still one URL.
        if word.contains('@') { redact(&word.replace(' ', "%20")) } else { word.into_owned() }
    });
    format!("{process}: {}", words.collect::<Vec<_>>().join(" "))
}
