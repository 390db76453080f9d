//! The one machine that both roles, and both halves of a connection, run.
//!
//! It is polled, so that nothing is lost when who waits for it stops waiting.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{self, Poll, ready};

use bytes::{Buf, Bytes};
use portolan_core::units::show_duration;
use portolan_core::{Direction, Error, Event, Frame, Kind};
use portolan_net::{Context, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop;
use tokio_util::io::poll_read_buf;

use super::watch::{Due, FLOOD, Watch};
use crate::error::{again, closed, lost, violated};
use crate::wire::handshake::Agreed;
use crate::wire::{
    Close, CloseCode, Closing, Decoder, Encoder, Output, Received, Role, Shared, Violation,
};
use crate::{Config, Message, WsError};

/// How much is read at once where it is not known how much comes. It is read onto the stack, so that
/// a connection that waits needs no memory for it.
const READ: usize = 16 * 1024;
/// From how many missing bytes on they are read to where they are to be.
const READ_IN_PLACE: usize = 4 * 1024;
/// With so much waiting to be written, nothing more is read.
pub(crate) const FULL: usize = 64 * 1024;
/// How many pieces are written at once.
const SLICES: usize = 16;
/// How much is read from a peer that broke the protocol, so that it can read why it is left.
const DISCARDED_MAX: usize = 1 << 20;

pub(crate) struct Core {
    role: Role,
    stream: Stream,
    decoder: Decoder,
    encoder: Encoder,
    output: Output,
    /// Whether the stream may hold back something that was written.
    is_unflushed: bool,
    /// The latest ping that is not answered. One that came right before it needs no answer
    /// (RFC 6455 section 5.5.3).
    ping: Option<Bytes>,
    closing: Closing,
    /// Whether we have closed because we are to stop.
    is_stopped: bool,
    state: State,
    /// Why nothing can be written. Whoever sends is told so each time.
    broken: Option<Error>,
    watch: Watch,
    cx: Context,
    is_read: bool,
}

enum State {
    Open,
    /// All is said: what is left is to write it, and to see the peer go.
    Leaving {
        error: Option<Error>,
        /// Whether the peer is taken for dead: then nothing is awaited of it.
        is_lost: bool,
        is_shut: bool,
        discarded: usize,
    },
    /// It is over, by an error of which who receives is yet to be told.
    Ended(Option<Error>),
}

/// What is next.
pub(crate) enum Next {
    Message(Message),
    Pong,
}

impl Core {
    /// A connection on which `rest` came already behind the opening handshake.
    pub(crate) fn new(
        role: Role,
        stream: Stream,
        rest: &[u8],
        config: &Config,
        agreed: &Agreed,
        cx: Context,
    ) -> Self {
        let mut decoder = Decoder::new(role, config.limits);
        let mut encoder = Encoder::new(role);
        if let Some(parameters) = &agreed.deflate {
            decoder = decoder.with_deflate(parameters);
            encoder = encoder.with_deflate(parameters);
        }
        if !rest.is_empty() {
            decoder.feed(rest);
        }
        Self {
            role,
            stream,
            decoder,
            encoder,
            output: Output::default(),
            is_unflushed: false,
            ping: None,
            closing: Closing::default(),
            is_stopped: false,
            state: State::Open,
            broken: None,
            watch: Watch::new(config, &cx),
            is_read: cx.is_read(),
            cx,
        }
    }

    pub(crate) const fn closing(&self) -> &Closing {
        &self.closing
    }

    pub(crate) const fn watch(&self) -> &Watch {
        &self.watch
    }

    /// The next that comes; nothing, once the connection was closed in an orderly way. What waits
    /// to be written is written before this waits.
    pub(crate) fn poll_next(
        &mut self,
        task: &mut task::Context<'_>,
    ) -> Poll<Result<Option<Next>, Error>> {
        loop {
            if let State::Open = self.state
                && let Some(next) = self.decode()
            {
                return Poll::Ready(Ok(Some(next)));
            }
            let progress = match &mut self.state {
                State::Open => self.poll_exchange(task),
                State::Leaving { .. } => self.poll_leave(task),
                State::Ended(error) => return Poll::Ready(error.take().map_or(Ok(None), Err)),
            };
            if progress.is_pending() {
                self.watch.awaits(self.decoder.is_within_message());
                let due = ready!(self.watch.poll(&self.cx, task));
                self.act(due);
            }
        }
    }

    /// Takes the next out of what was read.
    fn decode(&mut self) -> Option<Next> {
        loop {
            let received = match self.decoder.next() {
                Ok(received) => received?,
                Err(violation) => {
                    self.violate(violation);
                    return None;
                }
            };
            if self.is_read {
                self.tell(Direction::Received, &received);
            }
            if matches!(received, Received::Ping(_) | Received::Pong(_)) && self.watch.is_flooded()
            {
                self.violate(Violation::Flood(FLOOD));
                return None;
            }
            match received {
                Received::Message(message) => {
                    self.watch.has_message();
                    self.answer_ping();
                    return Some(Next::Message(message));
                }
                Received::Ping(payload) => self.ping = Some(payload),
                Received::Pong(payload) => {
                    if self.watch.is_pong(&payload) {
                        return Some(Next::Pong);
                    }
                }
                Received::Close(close) => {
                    self.answer_ping();
                    if let Some(answer) = self.closing.receive(close).cloned() {
                        self.encoder.close(&answer, &mut self.output);
                        if self.is_read {
                            self.tell(Direction::Sent, &Received::Close(answer));
                        }
                    }
                    self.leave(None);
                    return None;
                }
            }
        }
    }

    /// Writes what waits, and reads; ready when more was read, or at the end of the connection.
    fn poll_exchange(&mut self, task: &mut task::Context<'_>) -> Poll<()> {
        let _ = self.poll_write(task);
        if self.output.len() > FULL {
            return Poll::Pending;
        }
        match ready!(self.poll_read(task)) {
            Ok(0) => {
                let error = self.broken.as_ref().map_or_else(|| lost(None), again);
                self.end(Some(error));
            }
            Ok(_) => {}
            Err(error) => self.end(Some(lost(Some(&error)))),
        }
        Poll::Ready(())
    }

    fn poll_read(&mut self, task: &mut task::Context<'_>) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        let count = if self.decoder.missing() >= READ_IN_PLACE {
            ready!(poll_read_buf(stream, task, self.decoder.spare()))?
        } else {
            let mut space = [const { MaybeUninit::uninit() }; READ];
            let mut buffer = ReadBuf::uninit(&mut space);
            ready!(stream.poll_read(task, &mut buffer))?;
            self.decoder.feed(buffer.filled());
            buffer.filled().len()
        };
        self.watch.hear();
        Poll::Ready(Ok(count))
    }

    /// Answers the latest ping.
    fn answer_ping(&mut self) {
        if let Some(payload) = self.ping.take()
            && !self.closing.is_sent()
        {
            self.encoder.pong(&payload, &mut self.output);
            if self.is_read {
                self.tell(Direction::Sent, &Received::Pong(payload));
            }
        }
    }

    /// Writes all that waits.
    fn poll_write(&mut self, task: &mut task::Context<'_>) -> Poll<()> {
        self.answer_ping();
        while self.output.has_remaining() {
            match self.poll_write_some(task) {
                Poll::Ready(Ok(1..)) => self.watch.is_read_by_peer(),
                Poll::Ready(Ok(_)) => self.break_off(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Err(error)) => self.break_off(error),
                Poll::Pending => {
                    self.watch.is_blocked();
                    return Poll::Pending;
                }
            }
            self.is_unflushed = true;
        }
        if self.is_unflushed {
            // TLS and streams that are boxed may hold back what they took.
            match Pin::new(&mut self.stream).poll_flush(task) {
                Poll::Ready(Ok(())) => self.is_unflushed = false,
                Poll::Ready(Err(error)) => self.break_off(error),
                Poll::Pending => {
                    self.watch.is_blocked();
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(())
    }

    fn poll_write_some(&mut self, task: &mut task::Context<'_>) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        let mut slices = [IoSlice::new(&[]); SLICES];
        let written = match self.output.chunks_vectored(&mut slices) {
            1 => stream.poll_write(task, &slices[0]),
            count => stream.poll_write_vectored(task, &slices[..count]),
        };
        let count = ready!(written)?;
        self.output.advance(count);
        Poll::Ready(Ok(count))
    }

    /// Nothing can be written any more. What the peer said before may still be read.
    fn break_off(&mut self, error: io::Error) {
        self.output = Output::default();
        self.is_unflushed = false;
        self.broken.get_or_insert_with(|| lost(Some(&error)));
    }

    /// Writes the last, and waits for the peer to go where it is its turn (RFC 6455 section 7.1.1);
    /// ready at the end.
    fn poll_leave(&mut self, task: &mut task::Context<'_>) -> Poll<()> {
        let written = self.poll_write(task);
        let State::Leaving { error, is_lost, is_shut, discarded } = &mut self.state else {
            return Poll::Ready(());
        };
        if *is_lost {
            let error = error.take();
            self.end(error);
            return Poll::Ready(());
        }
        ready!(written);
        if !*is_shut {
            let _ = ready!(Pin::new(&mut self.stream).poll_shutdown(task));
            *is_shut = true;
        }
        // A socket that is closed with something unread is reset, and the peer may not see why.
        let is_to_wait = self.role == Role::Client || error.is_some();
        while is_to_wait && self.broken.is_none() && *discarded < DISCARDED_MAX {
            let mut space = [const { MaybeUninit::uninit() }; READ];
            let mut buffer = ReadBuf::uninit(&mut space);
            let read = ready!(Pin::new(&mut self.stream).poll_read(task, &mut buffer));
            *discarded += buffer.filled().len();
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
        }
        let error = error.take();
        self.end(error);
        Poll::Ready(())
    }

    /// Does what is due.
    fn act(&mut self, due: Due) {
        let timed_out = |message: String| Error::new(Kind::Timeout, message);
        let show = show_duration;
        match due {
            Due::Ping => {
                if let Err(error) = self.ping() {
                    self.end(Some(error));
                }
            }
            Due::Stopping => {
                let reason = match self.role {
                    Role::Server => "the server shuts down",
                    Role::Client => "the client ends",
                };
                self.is_stopped = !self.closing.is_sent();
                self.close(Close::new(CloseCode::GOING_AWAY, reason));
            }
            Due::Pong(limit) => {
                let error = timed_out("lost the connection".to_owned());
                let error = error.with_source(WsError::PingUnanswered(limit));
                self.fail(CloseCode::INTERNAL_ERROR, "no pong came", error);
            }
            Due::Idle(limit) => {
                let message = format!("the peer was silent for {}", show(limit));
                self.fail(CloseCode::GOING_AWAY, "too long a silence", timed_out(message));
            }
            Due::Deadline => {
                let error = timed_out("the connection was not closed in time".to_owned());
                self.fail(CloseCode::GOING_AWAY, "the time is over", error);
            }
            Due::Message(limit) => {
                let message = format!("the peer did not finish its message within {}", show(limit));
                self.fail(CloseCode::POLICY_VIOLATION, "an unfinished message", timed_out(message));
            }
            Due::Stall(limit) => {
                let message = format!("the peer read nothing for {}", show(limit));
                self.end(Some(timed_out(message)));
            }
            Due::Close(limit) => {
                let unanswered = WsError::CloseUnanswered(limit);
                let error = match &mut self.state {
                    State::Leaving { error, .. } => error.take().map(|error| match error.kind() {
                        Kind::Timeout => error.with_source(unanswered),
                        _ => error,
                    }),
                    State::Open | State::Ended(_) => {
                        let error = timed_out("could not close the connection".to_owned());
                        Some(error.with_source(unanswered))
                    }
                };
                self.end(error);
            }
        }
    }

    /// Sends a ping, which [`Next::Pong`] answers.
    pub(crate) fn ping(&mut self) -> Result<(), Error> {
        if !self.takes()? {
            return Err(closed(None));
        }
        let payload = self.watch.ask();
        self.encoder.ping(&payload, &mut self.output);
        if self.is_read {
            self.tell(Direction::Sent, &Received::Ping(Bytes::copy_from_slice(&payload)));
        }
        Ok(())
    }

    /// Begins the closing handshake, unless it has begun.
    pub(crate) fn close(&mut self, close: Close) {
        if !matches!(self.state, State::Open) {
            return;
        }
        if let Some(close) = self.closing.begin(close).cloned() {
            self.encoder.close(&close, &mut self.output);
            self.watch.leave();
            if self.is_read {
                self.tell(Direction::Sent, &Received::Close(close));
            }
        }
    }

    fn violate(&mut self, violation: Violation) {
        self.fail(violation.code(), &violation.to_string(), violated(violation));
    }

    /// Says why, and leaves.
    fn fail(&mut self, code: CloseCode, reason: &str, error: Error) {
        if matches!(self.state, State::Open) {
            self.close(Close::new(code, reason));
            self.leave(Some(error));
        }
    }

    fn leave(&mut self, error: Option<Error>) {
        self.ping = None;
        self.watch.leave();
        let cause = error.as_ref().and_then(Error::find::<WsError>);
        let is_lost = matches!(cause, Some(WsError::PingUnanswered(_)));
        self.state = State::Leaving { error, is_lost, is_shut: false, discarded: 0 };
    }

    /// Closes the socket, and frees what the connection held.
    fn end(&mut self, error: Option<Error>) {
        match &error {
            // What the peer said wrong is for who receives.
            Some(error) if error.kind() != Kind::Protocol => {
                self.broken.get_or_insert_with(|| again(error));
            }
            _ if self.output.is_empty() => {}
            _ => self.broken = Some(closed(self.closing.received())),
        }
        self.state = State::Ended(error);
        self.stream = Stream::boxed(tokio::io::empty());
        self.output = Output::default();
        self.decoder = Decoder::new(self.role, self.decoder.limits());
        self.encoder = Encoder::new(self.role);
    }

    /// Whether what is sent goes out. What comes after our close frame is dropped where who sends
    /// it did not ask for the close: nothing has failed, and who receives learns of the end.
    fn takes(&self) -> Result<bool, Error> {
        let is_open = matches!(self.state, State::Open);
        match &self.broken {
            Some(error) => Err(again(error)),
            None if is_open && !self.closing.is_sent() => Ok(true),
            None if is_open && self.is_stopped => Ok(false),
            None => Err(closed(self.closing.received())),
        }
    }

    /// Waits until there is room for another message.
    pub(crate) fn poll_room(&mut self, task: &mut task::Context<'_>) -> Poll<Result<(), Error>> {
        if self.output.len() >= FULL {
            return self.poll_flush(task);
        }
        while !self.takes()? {
            // There is always room for what is dropped: who only sends lets others run all the
            // same, and learns of a peer that does not close.
            ready!(coop::poll_proceed(task)).made_progress();
            match self.watch.poll(&self.cx, task) {
                Poll::Ready(due) => self.act(due),
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Puts a message behind what waits to be written.
    pub(crate) fn start_send(&mut self, message: &Message) -> Result<(), Error> {
        if self.takes()? {
            self.encoder.message(message, &mut self.output);
            if self.is_read {
                self.tell(Direction::Sent, &Received::Message(message.clone()));
            }
        }
        Ok(())
    }

    /// The same for a message that others get, too.
    pub(crate) fn start_shared(&mut self, shared: &Shared) -> Result<(), Error> {
        if self.takes()? {
            self.encoder.shared(shared, &mut self.output);
            if self.is_read {
                self.tell(Direction::Sent, &Received::Message(shared.message().clone()));
            }
        }
        Ok(())
    }

    /// Writes all that waits to be written.
    pub(crate) fn poll_flush(&mut self, task: &mut task::Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            if self.poll_write(task).is_ready() {
                return Poll::Ready(self.broken.as_ref().map_or(Ok(()), |error| Err(again(error))));
            }
            let due = ready!(self.watch.poll(&self.cx, task));
            self.act(due);
        }
    }

    /// Tells who listens in what passed.
    fn tell(&self, direction: Direction, received: &Received) {
        let (kind, payload) = match received {
            Received::Message(message) if message.is_text() => {
                ("text", message.as_bytes().to_vec())
            }
            Received::Message(message) => ("binary", message.as_bytes().to_vec()),
            Received::Ping(payload) => ("ping", payload.to_vec()),
            Received::Pong(payload) => ("pong", payload.to_vec()),
            Received::Close(close) => ("close", close.payload()),
        };
        self.cx.observe(&Event::Frame(direction, Frame { kind, payload }));
    }
}
