//! The one owner of stdout and stderr.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use portolan::{Error, Kind, Url};
use serde::Serialize;

use crate::args::output::{Color, OutputArgs};
use crate::exit::Exit;
use crate::row;
use crate::sanitize::sanitize;
use crate::show;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default();

/// Where output goes, and in which form: data to stdout, everything else to stderr.
///
/// Colours are decided once, from `--color`, `NO_COLOR`, `CLICOLOR_FORCE`, `TERM` and whether the
/// stream is a terminal. A line is written at once, so lines of several tasks do not mix.
#[derive(Clone, Copy, Debug)]
pub struct Console {
    json: bool,
    quiet: bool,
    verbosity: u8,
    /// Whether data goes to stderr too, as stdout belongs to something else.
    is_off_stdout: bool,
    out: ColorChoice,
    err: ColorChoice,
}

impl Console {
    /// The console that these arguments ask for.
    #[must_use]
    pub fn new(args: &OutputArgs) -> Self {
        let choose = |auto: ColorChoice| match args.color {
            Color::Auto => auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        Self {
            json: args.json,
            quiet: args.quiet,
            verbosity: args.verbose,
            is_off_stdout: false,
            out: choose(AutoStream::choice(&io::stdout())),
            err: choose(AutoStream::choice(&io::stderr())),
        }
    }

    /// The console for words about a command line that may not make sense.
    #[must_use]
    pub fn early(argv: &[OsString]) -> Self {
        let flags = || argv.iter().skip(1).take_while(|word| *word != "--");
        let wants = |when: &str| {
            flags().any(|word| *word == *format!("--color={when}"))
                || flags().zip(flags().skip(1)).any(|pair| pair.0 == "--color" && pair.1 == when)
        };
        let color = match (wants("never"), wants("always")) {
            (true, _) => Color::Never,
            (false, true) => Color::Always,
            (false, false) => Color::Auto,
        };
        let json = flags().any(|word| word == "--json");
        let quiet = flags().any(|word| word == "-q" || word == "--quiet");
        Self::new(&OutputArgs { json, color, quiet, ..OutputArgs::default() })
    }

    /// This console for when stdout belongs to something else: data goes to stderr.
    #[must_use]
    pub const fn off_stdout(mut self) -> Self {
        self.is_off_stdout = true;
        self.out = self.err;
        self
    }

    /// Whether stdout is to be JSON Lines.
    #[must_use]
    pub const fn is_json(&self) -> bool {
        self.json
    }

    /// Whether progress may be drawn on stderr: it is in the way of a trace.
    #[must_use]
    pub const fn has_progress(&self) -> bool {
        !self.quiet && !self.json && self.verbosity == 0
    }

    /// How many `-v` were given.
    #[must_use]
    pub const fn verbosity(&self) -> u8 {
        self.verbosity
    }

    /// Whether data goes to a terminal.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        if self.is_off_stdout { io::stderr().is_terminal() } else { io::stdout().is_terminal() }
    }

    /// Whether data goes to a terminal on which the cursor can be moved.
    pub(crate) fn is_screen(&self) -> bool {
        let kind = std::env::var_os("TERM").unwrap_or_default();
        self.is_terminal() && !kind.is_empty() && kind != "dumb"
    }

    /// Whether data is for people to read, and so is laid out: on a terminal, or where colour is
    /// asked for.
    #[must_use]
    pub fn is_for_people(&self) -> bool {
        self.is_terminal() || matches!(self.out, ColorChoice::Always | ColorChoice::AlwaysAnsi)
    }

    /// The columns of the terminal that data goes to; without bound where it is none, so that what
    /// is piped or kept is whole.
    #[must_use]
    pub fn width(&self) -> usize {
        self.screen().map_or(usize::MAX, |(columns, _)| usize::from(columns.0))
    }

    fn screen(&self) -> Option<(terminal_size::Width, terminal_size::Height)> {
        if self.is_off_stdout {
            terminal_size::terminal_size_of(io::stderr())
        } else {
            terminal_size::terminal_size_of(io::stdout())
        }
    }

    /// Writes a line of data to stdout. Its ANSI styles are left out where colour is not wanted.
    ///
    /// # Errors
    /// [`Kind::Write`].
    pub fn line(&self, text: &str) -> Result<(), Error> {
        self.styled(&format!("{text}\n"))
    }

    /// Writes lines of data to a terminal, over the `height` lines that were written last; below
    /// them where they did not fit the screen.
    ///
    /// # Errors
    /// [`Kind::Write`].
    pub fn redraw(&self, text: &str, height: usize) -> Result<(), Error> {
        // Cursor up, then erase to the end of the screen (ECMA-48: CPL, ED).
        let fits = self.screen().is_some_and(|(_, rows)| height < usize::from(rows.0));
        let back = if height > 0 && fits { format!("\x1b[{height}F\x1b[J") } else { String::new() };
        self.data(back.as_bytes())?;
        self.line(text)
    }

    /// Keeps this row of the terminal below all that is written from now on, in place of the one
    /// before; none where it is empty. Stdin and stdout are that terminal.
    pub(crate) fn keep_row(&self, text: String) -> io::Result<()> {
        row::replace(&mut io::stdout(), text)
    }

    /// Writes data to stdout as it is.
    ///
    /// # Errors
    /// [`Kind::Write`].
    pub fn data(&self, bytes: &[u8]) -> Result<(), Error> {
        self.write(bytes).map_err(write_error)
    }

    /// As [`data`](Self::data), with the error of the system.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        match self.is_off_stdout {
            true => row::write_above(&mut io::stderr(), bytes),
            false => row::write_above(&mut io::stdout(), bytes),
        }
    }

    /// Where data goes, without the search for ends of lines that the standard library's stdout
    /// does. What is written to it comes after what was written before.
    ///
    /// # Errors
    /// [`Kind::Write`].
    pub fn data_file(&self) -> Result<File, Error> {
        let own = match self.is_off_stdout {
            true => io::stderr().as_fd().try_clone_to_owned(),
            false => io::stdout().as_fd().try_clone_to_owned(),
        };
        own.map(File::from).map_err(write_error)
    }

    /// Writes an object of this type to stdout as one line of JSON: `v`, `type` and `t`, then the
    /// keys of `body`.
    ///
    /// # Errors
    /// [`Kind::Write`].
    pub fn json(&self, r#type: &str, body: &impl Serialize) -> Result<(), Error> {
        let line = show::line(r#type, body).map_err(io::Error::from).map_err(write_error)?;
        self.data(line.as_bytes())
    }

    /// Says something beside the data, unless `-q` was given.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// Says what to do, unless `-q` was given.
    pub fn hint(&self, text: &str) {
        self.note(&format!("{HINT}hint:{HINT:#} {}", sanitized_for_stderr(text)));
    }

    /// Says on stderr what went wrong with one target of several, when stdout tells it as data.
    pub fn words(&self, sentence: &str) {
        self.say(&format!("{ERROR}portolan:{ERROR:#} {}", sanitized_for_stderr(sentence)));
    }

    /// Writes a line of a log, unless `-q` was given.
    pub fn log(&self, line: &str) {
        self.note(&sanitized_for_stderr(line));
    }

    /// Writes an object of a log as one line of JSON: to stdout where that is JSON Lines, else to
    /// stderr unless `-q` was given.
    ///
    /// # Errors
    /// [`Kind::Write`].
    pub fn log_json(&self, r#type: &str, body: &impl Serialize) -> Result<(), Error> {
        if self.json {
            return self.json(r#type, body);
        }
        let line = show::line(r#type, body).map_err(io::Error::from).map_err(write_error)?;
        self.note(line.trim_end());
        Ok(())
    }

    /// Asks for something, on the line where the answer is typed.
    pub fn prompt(&self, text: &str) {
        // There is nobody left to ask when stderr fails.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    /// Writes a line of a trace, which `-v` asked for.
    pub fn trace(&self, text: &str) {
        self.say(&sanitized_for_stderr(text));
    }

    /// Reports an error that befell `target`, in words and with `--json` as an object too, and
    /// gives the exit that it means. A reader that has gone away is not an error.
    pub fn error(&self, error: &Error, target: Option<&Url>) -> Exit {
        if is_broken_pipe(error) {
            return Exit::DONE;
        }
        if self.json {
            // Where stdout fails too, the words on stderr are all that is left.
            let _ = self.json("error", &show::error::Report::new(error, target));
        }
        let sentence = show::error::sentence(error, target);
        self.words(&sentence);
        if let Some(hint) = show::error::hint(error) {
            self.hint(&hint);
        }
        Exit::from(error)
    }

    /// Prints the help or the version that was asked for, or the help that the lack of a verb asks
    /// for.
    pub(crate) fn help(&self, help: &clap::Error) -> Exit {
        let text = help.render().ansi().to_string();
        if help.use_stderr() {
            self.say(text.trim_end());
            return Exit::from(Kind::Usage);
        }
        match self.styled(&text) {
            Ok(()) => Exit::DONE,
            Err(error) => self.error(&error, None),
        }
    }

    /// Writes data to stdout, without its ANSI styles where colour is not wanted.
    ///
    /// # Errors
    /// [`Kind::Write`].
    pub fn styled(&self, text: &str) -> Result<(), Error> {
        let mut styled = AutoStream::new(Vec::new(), self.out);
        styled.write_all(text.as_bytes()).map_err(write_error)?;
        self.data(&styled.into_inner())
    }

    /// There is nobody left to tell when stderr fails.
    fn say(&self, text: &str) {
        let mut styled = AutoStream::new(Vec::new(), self.err);
        let _ = styled.write_all(format!("{text}\n").as_bytes());
        let (line, mut err) = (styled.into_inner(), io::stderr());
        let _ = match err.is_terminal() {
            true => row::write_above(&mut err, &line),
            false => err.write_all(&line),
        };
    }
}

fn sanitized_for_stderr(text: &str) -> Cow<'_, str> {
    if io::stderr().is_terminal() { sanitize(text) } else { Cow::Borrowed(text) }
}

fn write_error(cause: io::Error) -> Error {
    Error::new(Kind::Write, "could not write to stdout").with_source(cause)
}

fn is_broken_pipe(error: &Error) -> bool {
    let cause = error.find::<io::Error>();
    error.kind() == Kind::Write
        && cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_has_gone_away_is_not_an_error() {
        assert!(is_broken_pipe(&write_error(io::ErrorKind::BrokenPipe.into())));
        assert!(!is_broken_pipe(&write_error(io::ErrorKind::StorageFull.into())));
        // A peer that has gone away is one.
        let lost = io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(!is_broken_pipe(&Error::new(Kind::Lost, "sending").with_source(lost)));
    }
}
