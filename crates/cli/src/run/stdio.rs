//! Stdin and stdout as one stream, to be joined to a peer.

use std::io::{self, IsTerminal};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use portolan::{Direction, Error, Kind};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, Stdin, Stdout};

use crate::args::stdio::StdioArgs;
use crate::console::Console;
use crate::sanitize::Sanitizer;
use crate::show;
use crate::show::data::DataReport;
use crate::show::dump::Dump;

/// The most that is read or written at once.
const PIECE: usize = 64 * 1024;

/// Stdin and stdout. What is read from it is the input, what is written to it the output. A clone
/// is the same: for one peer after the other.
///
/// Once it was shut down, because the peer has said all, the input has ended too.
#[derive(Clone)]
pub(super) struct Stdio(Arc<Mutex<State>>);

struct State {
    input: Input,
    output: Output,
    /// Whether the peer has said all.
    is_closed: bool,
    failure: Option<Error>,
}

impl Stdio {
    /// Stdin and stdout in the form that the flags ask for.
    pub(super) fn new(args: &StdioArgs, console: &Console) -> Self {
        let form = match args {
            _ if args.send_only => Form::Nothing,
            _ if console.is_json() => Form::Json,
            _ if args.hex => Form::Hex(Dump::default()),
            _ if io::stdout().is_terminal() => Form::Text(Sanitizer::default()),
            _ => Form::Raw,
        };
        let input = Input {
            stdin: tokio::io::stdin(),
            is_read: !args.recv_only,
            crlf: args.crlf,
            ends: !args.no_shutdown && !args.recv_only,
            has_ended: false,
            reader: None,
        };
        let output = Output { stdout: tokio::io::stdout(), form, waiting: Vec::new() };
        Self(Arc::new(Mutex::new(State { input, output, is_closed: false, failure: None })))
    }

    /// The same, open for the next peer.
    pub(super) fn reopened(&self) -> Self {
        self.state().is_closed = false;
        self.clone()
    }

    /// Whether there is no more input.
    pub(super) fn has_ended(&self) -> bool {
        self.state().input.has_ended
    }

    /// What went wrong here, and not with the peer.
    pub(super) fn failure(&self) -> Option<Error> {
        self.state().failure.take()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for Stdio {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let state = &mut *self.state();
        if state.is_closed {
            return Poll::Ready(Ok(()));
        }
        let sent = ready!(state.input.poll_read(cx, buffer)).inspect_err(|cause| {
            let cause = io::Error::from(cause.kind());
            state.failure = Some(Error::new(Kind::Read, "could not read stdin").with_source(cause));
        })?;
        state.output.show(Direction::Sent, sent);
        // Nobody waits for this to be shown: what is left goes out with what comes next.
        let _ = state.output.poll_write_out(cx)?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stdio {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let state = &mut *self.state();
        ready!(state.poll_output(cx))?;
        let count = bytes.len().min(PIECE);
        state.output.show(Direction::Received, &bytes[..count]);
        // What does not go out now goes out before the next piece.
        match state.poll_output(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(count)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = &mut *self.state();
        ready!(state.poll_output(cx))?;
        Pin::new(&mut state.output.stdout).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(self.as_mut().poll_flush(cx));
        let state = &mut *self.state();
        state.is_closed = true;
        state.input.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(flushed)
    }
}

impl State {
    /// Writes out what waits, and keeps the reason where that fails.
    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = ready!(self.output.poll_write_out(cx));
        Poll::Ready(written.inspect_err(|cause| {
            let cause = io::Error::from(cause.kind());
            let error = Error::new(Kind::Write, "could not write to stdout").with_source(cause);
            self.failure = Some(error);
        }))
    }
}

struct Input {
    stdin: Stdin,
    is_read: bool,
    crlf: bool,
    /// Whether the peer is told of the end.
    ends: bool,
    has_ended: bool,
    /// Who waits for more.
    reader: Option<Waker>,
}

impl Input {
    /// Reads into `buffer`, and gives what was read.
    fn poll_read<'a>(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &'a mut ReadBuf<'_>,
    ) -> Poll<io::Result<&'a [u8]>> {
        self.reader = Some(cx.waker().clone());
        let start = buffer.filled().len();
        if self.is_read && !self.has_ended {
            // Each byte may become two.
            let room = if self.crlf { buffer.remaining().div_ceil(2) } else { buffer.remaining() };
            let room = room.min(PIECE);
            let mut piece = ReadBuf::new(buffer.initialize_unfilled_to(room));
            ready!(Pin::new(&mut self.stdin).poll_read(cx, &mut piece))?;
            let count = piece.filled().len();
            buffer.advance(count);
            self.has_ended = count == 0;
            if self.crlf {
                let lines = with_crlf(&buffer.filled()[start..]);
                buffer.set_filled(start);
                buffer.put_slice(&lines);
            }
        }
        match buffer.filled().len() > start || (self.has_ended && self.ends) {
            true => Poll::Ready(Ok(&buffer.filled()[start..])),
            false => Poll::Pending,
        }
    }
}

/// With a carriage return before each line feed.
fn with_crlf(bytes: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(bytes.len() * 2);
    for byte in bytes {
        if *byte == b'\n' && lines.last() != Some(&b'\r') {
            lines.push(b'\r');
        }
        lines.push(*byte);
    }
    lines
}

struct Output {
    stdout: Stdout,
    form: Form,
    /// What is shown and not yet written.
    waiting: Vec<u8>,
}

/// How what passes is shown.
enum Form {
    /// Not at all.
    Nothing,
    /// What comes, as it is.
    Raw,
    /// What comes, harmless for a terminal.
    Text(Sanitizer),
    /// What goes either way.
    Hex(Dump),
    Json,
}

impl Output {
    fn show(&mut self, direction: Direction, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        match (&mut self.form, direction) {
            (Form::Nothing, _) | (Form::Raw | Form::Text(_), Direction::Sent) => {}
            (Form::Raw, Direction::Received) => self.waiting.extend_from_slice(bytes),
            (Form::Text(sanitizer), Direction::Received) => {
                self.waiting.extend_from_slice(sanitizer.text(bytes).as_bytes());
            }
            (Form::Hex(dump), _) => {
                self.waiting.extend_from_slice(dump.lines(direction, bytes).as_bytes());
            }
            (Form::Json, _) => {
                let line = show::line("data", &DataReport::new(direction, bytes));
                self.waiting.extend_from_slice(line.unwrap_or_default().as_bytes());
            }
        }
    }

    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            let count = ready!(Pin::new(&mut self.stdout).poll_write(cx, &self.waiting))?;
            self.waiting.drain(..count);
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_feed_gets_one_carriage_return() {
        assert_eq!(with_crlf(b"a\nb\r\n\n"), b"a\r\nb\r\n\r\n");
    }
}
