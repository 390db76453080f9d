//! Stdin and stdout as one stream, to be joined to a peer.

use std::future::poll_fn;
use std::io::{self, IsTerminal};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};

use futures_util::task::AtomicWaker;
use portolan::{Direction, Error, Kind};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

use super::editor::{Above, Editor};
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
#[derive(Clone)]
pub(super) struct Stdio(Arc<Mutex<State>>);

struct State {
    input: Input,
    output: Output,
    wakers: Arc<Wakers>,
    failure: Option<Error>,
    failing: CancellationToken,
}

/// The two who may wait: stdout knows who polled it last alone, and either may be the one that
/// waits for it. So both are woken.
#[derive(Default)]
struct Wakers {
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.reader.wake();
        self.writer.wake();
    }
}

impl Stdio {
    /// Stdin and stdout in the form that the flags ask for.
    pub(super) fn new(args: &StdioArgs, console: &Console) -> Self {
        let form = match args {
            _ if console.is_json() => Form::Json,
            _ if args.hex => Form::Hex(Dump::default()),
            _ if args.send_only => Form::Nothing,
            _ if io::stdout().is_terminal() => Form::Text(Sanitizer::default()),
            _ => Form::Raw,
        };
        let input = Input {
            stdin: Box::new(tokio::io::stdin()),
            is_read: !args.recv_only,
            ahead: Vec::new(),
            crlf: args.crlf.then(CrLf::default),
            ends: !args.no_shutdown && !args.recv_only,
            has_ended: false,
        };
        let output = Output {
            stdout: Box::new(tokio::io::stdout()),
            form,
            shows_received: !args.send_only,
            waiting: Vec::new(),
        };
        Self::of(input, output)
    }

    fn of(input: Input, output: Output) -> Self {
        let (wakers, failing) = (Arc::default(), CancellationToken::new());
        Self(Arc::new(Mutex::new(State { input, output, wakers, failure: None, failing })))
    }

    /// The same where somebody else shows what passes.
    pub(super) fn without_output(self) -> Self {
        self.state().output.form = Form::Nothing;
        self
    }

    /// The same where lines are typed on a terminal: they are edited below what is shown.
    pub(super) fn with_editing(self, console: &Console) -> Self {
        self.state().input.stdin = Box::new(Editor::new(console));
        self.state().output.stdout = Box::new(Above(*console));
        self
    }

    /// Whether there is no more input.
    pub(super) fn has_ended(&self) -> bool {
        self.state().input.has_ended
    }

    /// Waits until there is no more input, for who has nobody to say it to meanwhile. Some input is
    /// kept, and that there is more cannot be known: then this is never ready.
    pub(super) async fn end(&self) {
        poll_fn(|cx| {
            let input = &mut self.state().input;
            // What goes wrong with reading goes wrong again for who wants to send.
            match input.poll_look(cx) {
                Poll::Ready(Ok(())) if input.has_ended => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
        .await;
    }

    /// What went wrong first here, and not with the peer.
    pub(super) fn failure(&self) -> Option<Error> {
        self.state().failure.take()
    }

    /// Waits until something goes wrong here.
    pub(super) async fn failing(&self) {
        let failing = self.state().failing.clone();
        failing.cancelled().await;
    }

    /// Takes note that somebody else, who shows what passes, could not write it.
    pub(super) fn fail(&self, error: Error) {
        self.state().fail(error);
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
        state.wakers.reader.register(cx.waker());
        let read = state.input.poll_read(cx, buffer);
        if let Poll::Ready(Ok(sent)) = &read {
            state.output.show(Direction::Sent, sent);
        }
        // Nobody waits for this to be shown: what is left goes out when stdout takes it.
        let _ = state.poll_output()?;
        ready!(read).inspect_err(|cause| {
            let cause = io::Error::from(cause.kind());
            state.fail(Error::new(Kind::Read, "could not read stdin").with_source(cause));
        })?;
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
        state.wakers.writer.register(cx.waker());
        ready!(state.poll_output())?;
        let count = bytes.len().min(PIECE);
        state.output.show(Direction::Received, &bytes[..count]);
        // What does not go out now goes out before the next piece.
        match state.poll_output() {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(count)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = &mut *self.state();
        state.wakers.writer.register(cx.waker());
        ready!(state.poll_output())?;
        let waker = Waker::from(state.wakers.clone());
        let stdout = Pin::new(&mut state.output.stdout);
        let flushed = ready!(stdout.poll_flush(&mut Context::from_waker(&waker)));
        Poll::Ready(state.kept(flushed))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl State {
    /// Writes out what waits.
    fn poll_output(&mut self) -> Poll<io::Result<()>> {
        let waker = Waker::from(self.wakers.clone());
        let written = ready!(self.output.poll_write_out(&mut Context::from_waker(&waker)));
        Poll::Ready(self.kept(written))
    }

    /// Keeps the reason where writing to stdout fails.
    fn kept(&mut self, written: io::Result<()>) -> io::Result<()> {
        written.inspect_err(|cause| {
            let cause = io::Error::from(cause.kind());
            self.fail(Error::new(Kind::Write, "could not write to stdout").with_source(cause));
        })
    }

    fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
        self.failing.cancel();
    }
}

struct Input {
    stdin: Box<dyn AsyncRead + Send + Unpin>,
    is_read: bool,
    /// What was read while nobody was there to hear it.
    ahead: Vec<u8>,
    crlf: Option<CrLf>,
    /// Whether the peer is told of the end.
    ends: bool,
    has_ended: bool,
}

impl Input {
    /// Reads some input ahead, where none has been; ready when there is some, or no more.
    fn poll_look(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_read {
            return Poll::Pending;
        }
        if self.ahead.is_empty() && !self.has_ended {
            let mut bytes = [0; PIECE / 8];
            let mut piece = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.stdin).poll_read(cx, &mut piece))?;
            self.ahead.extend_from_slice(piece.filled());
            self.has_ended = self.ahead.is_empty();
        }
        Poll::Ready(Ok(()))
    }

    /// Reads into `buffer`, and gives what was read.
    fn poll_read<'a>(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &'a mut ReadBuf<'_>,
    ) -> Poll<io::Result<&'a [u8]>> {
        let start = buffer.filled().len();
        if self.is_read && !self.has_ended {
            match &mut self.crlf {
                None if !self.ahead.is_empty() => {
                    let count = self.ahead.len().min(buffer.remaining());
                    buffer.put_slice(&self.ahead[..count]);
                    self.ahead.drain(..count);
                }
                None => {
                    let room = buffer.remaining().min(PIECE);
                    let mut piece = ReadBuf::new(buffer.initialize_unfilled_to(room));
                    ready!(Pin::new(&mut self.stdin).poll_read(cx, &mut piece))?;
                    let count = piece.filled().len();
                    buffer.advance(count);
                }
                Some(lines) => {
                    if lines.waiting.is_empty() {
                        let mut bytes = [0; PIECE / 8];
                        let mut piece = ReadBuf::new(&mut bytes);
                        if self.ahead.is_empty() {
                            ready!(Pin::new(&mut self.stdin).poll_read(cx, &mut piece))?;
                        }
                        lines.take(piece.filled());
                        lines.take(&std::mem::take(&mut self.ahead));
                    }
                    let count = lines.waiting.len().min(buffer.remaining());
                    buffer.put_slice(&lines.waiting[..count]);
                    lines.waiting.drain(..count);
                }
            }
            self.has_ended = buffer.filled().len() == start;
        }
        match buffer.filled().len() > start || (self.has_ended && self.ends) {
            true => Poll::Ready(Ok(&buffer.filled()[start..])),
            false => Poll::Pending,
        }
    }
}

/// Puts a carriage return before each line feed that has none, wherever the input is cut.
#[derive(Default)]
struct CrLf {
    last: u8,
    /// What is ready to be sent.
    waiting: Vec<u8>,
}

impl CrLf {
    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' && self.last != b'\r' {
                self.waiting.push(b'\r');
            }
            self.waiting.push(*byte);
            self.last = *byte;
        }
    }
}

struct Output {
    stdout: Box<dyn AsyncWrite + Send + Unpin>,
    form: Form,
    shows_received: bool,
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
        if bytes.is_empty() || (direction == Direction::Received && !self.shows_received) {
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
    use std::time::Duration;

    use portolan::Timeouts;
    use portolan::net::Context as Limits;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A stdin and a stdout of eight bytes, and what is at the other ends of them.
    fn stdio() -> (Stdio, tokio::io::DuplexStream, tokio::io::DuplexStream) {
        let (stdin, typing) = tokio::io::duplex(8);
        let (stdout, reading) = tokio::io::duplex(8);
        let input = Input {
            stdin: Box::new(stdin),
            is_read: true,
            ahead: Vec::new(),
            crlf: None,
            ends: true,
            has_ended: false,
        };
        let form = Form::Raw;
        let stdout = Box::new(stdout);
        let output = Output { stdout, form, shows_received: true, waiting: Vec::new() };
        (Stdio::of(input, output), typing, reading)
    }

    #[tokio::test]
    async fn who_reads_does_not_take_the_wake_up_of_who_writes() {
        let (stdio, mut typing, mut reading) = stdio();
        let (mut input, mut output) = (stdio.clone(), stdio);
        let writing = tokio::spawn(async move {
            output.write_all(b"more than fits").await?;
            output.flush().await
        });
        // It waits for stdout, which is full, before somebody reads.
        tokio::task::yield_now().await;
        typing.write_all(b"ahoy").await.unwrap();
        input.read_exact(&mut [0; 4]).await.unwrap();
        let all_is_read = async {
            reading.read_exact(&mut [0; 14]).await.unwrap();
            writing.await.unwrap().unwrap();
        };
        let limits = Limits::new(Timeouts::default()).limited(Some(Duration::from_secs(10)));
        limits.until_deadline(all_is_read).await.expect("who writes was not woken");
    }

    #[test]
    fn a_line_feed_gets_one_carriage_return() {
        let mut lines = CrLf::default();
        for piece in ["a\nb\r", "\n\n"] {
            lines.take(piece.as_bytes());
        }
        assert_eq!(lines.waiting, b"a\r\nb\r\n\r\n");
    }
}
