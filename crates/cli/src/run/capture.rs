//! `--pcap`: the capture of a verb's own traffic, from its flags to its complete file.

use std::env;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use portolan::net::Context;
use portolan::net::pcap::Capture;
use portolan::{Error, Kind, Timeouts, redact};

use super::dialer::misfit;
use super::signals::Signals;
use crate::args::pcap::PcapArgs;
use crate::console::Console;
use crate::exit::Exit;

/// How long the end waits for what is captured to be written, as to a pipe whose reader is slow.
const LAST: Duration = Duration::from_secs(5);

/// Runs a verb with the capture that its flags ask for, if any, and completes the file however the
/// verb ends. Should it fail to be written, the console says so, and the verb goes on. Where stdout
/// belongs to the capture, what the verb has to say goes to stderr.
///
/// # Errors
/// Those of the verb; [`Kind::Usage`] for a file that cannot be written, or a stdout that is for
/// something else; [`Kind::Interrupted`] by a signal, as opening a pipe waits for its reader.
pub(super) async fn captured(
    args: &PcapArgs,
    console: &Console,
    verb: impl AsyncFnOnce(Option<Capture>, &Console) -> Result<Exit, Error>,
) -> Result<Exit, Error> {
    let mut console = *console;
    if args.takes_stdout() {
        check_stdout(&console)?;
        console = console.off_stdout();
    }
    let Some(file) = args.pcap.clone() else { return verb(None, &console).await };
    let capture = begin(file, args.pcap_redact).await?;
    let watched = capture.clone();
    tokio::spawn(async move {
        console.error(&watched.failed().await, None);
    });
    let exit = verb(Some(capture.clone()), &console).await;
    // Signals from now on: the verb has seen the others.
    let mut signals = Signals::catch()?;
    let last = Context::new(Timeouts::default()).limited(Some(LAST));
    tokio::select! {
        finished = last.until_deadline(capture.finish()) => match finished {
            Some(Ok(())) => {}
            Some(Err(error)) => _ = console.error(&error, None),
            None => {
                let message = "could not complete the capture: its reader does not read on";
                console.error(&Error::new(Kind::Write, message), None);
            }
        },
        () = signals.next() => {}
    }
    exit
}

impl PcapArgs {
    /// Refuses a capture on stdout where that is for `others`.
    ///
    /// # Errors
    /// [`Kind::Usage`].
    pub(super) fn leave_stdout(&self, others: &str) -> Result<(), Error> {
        if self.takes_stdout() {
            let message = format!("--pcap - cannot be used here: stdout is for what {others} says");
            return Err(refusal(&message));
        }
        Ok(())
    }
}

fn check_stdout(console: &Console) -> Result<(), Error> {
    if console.is_json() {
        return Err(refusal("--pcap - cannot be used with --json: both would go to stdout"));
    }
    if io::stdout().is_terminal() {
        return Err(refusal("--pcap - writes to stdout what is not for a terminal"));
    }
    Ok(())
}

fn refusal(message: &str) -> Error {
    Error::new(Kind::Usage, message).with_hint("capture into a file, or into a pipe to Wireshark")
}

async fn begin(file: PathBuf, redacts: bool) -> Result<Capture, Error> {
    let mut signals = Signals::catch()?;
    tokio::select! {
        opened = super::blocking(move || open(&file, redacts)) => opened,
        () = signals.next() => {
            Err(Error::new(Kind::Interrupted, "interrupted before the capture began"))
        }
    }
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
