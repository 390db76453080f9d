//! All ways of a join together: when it is over, and what it waits for.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use tokio::task::coop;
use tokio::time::Sleep;

use super::flow::{Break, Flow, poll_shutdown};
use super::{Join, Until};
use crate::{Context, Stream, now};

/// How long the far end may go on once the near one has said all, with [`Until::Near`]; and an end
/// that has more to say once nobody is left who hears it.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Streams, and a way from each to the other; from one to itself, where there is one only.
pub(super) struct Joined<const N: usize> {
    streams: [Stream; N],
    flows: [Flow; N],
    has_finished: [bool; N],
    /// The way that is polled first; they take turns, so that none starves.
    first: usize,
    broken: Option<Break>,
    until: Until,
    idle: Option<Duration>,
    is_stopping: bool,
    /// When bytes moved last, where somebody wants to know.
    moved_at: Instant,
    /// When it is over, whatever may come.
    over_at: Option<Instant>,
    timer: Timer,
}

/// Why a join did not end well.
pub(super) enum Failure {
    /// Nothing passed for so long.
    Idle(Duration),
    Broken(Break),
}

impl<const N: usize> Joined<N> {
    pub(super) fn new(streams: [Stream; N], how: Join, cx: &Context) -> Self {
        let flow = |from| Flow::new(&streams, from, N - 1 - from, how.rate);
        Self {
            flows: std::array::from_fn(flow),
            streams,
            has_finished: [false; N],
            first: 0,
            broken: None,
            until: how.until,
            idle: cx.timeouts().idle,
            is_stopping: false,
            moved_at: now(),
            over_at: None,
            timer: Timer::default(),
        }
    }

    /// How many bytes passed each way.
    pub(super) fn carried(&self) -> [u64; N] {
        std::array::from_fn(|way| self.flows[way].carried())
    }

    /// Carries until it is over.
    pub(super) async fn run(&mut self, cx: &Context) -> Result<(), Failure> {
        let mut stopping = pin!(cx.stopping());
        let ended = poll_fn(|task| self.poll(task, stopping.as_mut())).await;
        match &ended {
            Ok(()) => {
                poll_fn(|task| {
                    self.say_goodbye(task);
                    Poll::Ready(())
                })
                .await;
                if let Some(stream) = self.unheard() {
                    // Boxed, so that a join does not hold the room for it.
                    Box::pin(hear_out(&mut self.streams[stream], cx)).await;
                }
            }
            Err(Failure::Idle(_)) => {}
            Err(Failure::Broken(broken)) => self.pass_on(broken),
        }
        ended
    }

    fn poll(
        &mut self,
        task: &mut std::task::Context<'_>,
        stopping: Pin<&mut impl Future<Output = ()>>,
    ) -> Poll<Result<(), Failure>> {
        if !self.is_stopping && stopping.poll(task).is_ready() {
            self.is_stopping = true;
            self.moved_at = now();
        }
        loop {
            self.poll_flows(task);
            if let Some(ended) = self.verdict() {
                return Poll::Ready(ended);
            }
            ready!(self.timer.poll(self.next_instant(), task));
        }
    }

    /// Moves what can be moved now, each way.
    fn poll_flows(&mut self, task: &mut std::task::Context<'_>) {
        let before = self.carried();
        self.first = (self.first + 1) % N;
        for way in (self.first..N).chain(0..self.first) {
            if self.has_finished[way] {
                continue;
            }
            // A socket that is closed with bytes unread is reset: all others must have said all.
            let is_last = (0..N).all(|other| other == way || self.has_said_all(other));
            let is_last = is_last && self.has_finished.iter().filter(|over| !**over).count() == 1;
            if let Poll::Ready(ended) = self.flows[way].poll(task, &mut self.streams, is_last) {
                self.has_finished[way] = true;
                if self.broken.is_none() {
                    self.broken = ended.err();
                }
                if way == 0 && self.until == Until::Near {
                    self.over_at = Some(now() + LAST_WORDS);
                }
                if way == N - 1 && self.until == Until::Far {
                    // What the near end has to say already is still carried.
                    self.is_stopping = true;
                    self.moved_at = now();
                }
            }
        }
        if (self.idle.is_some() || self.is_stopping) && self.carried() != before {
            self.moved_at = now();
        }
    }

    /// How it has ended, if it has.
    fn verdict(&mut self) -> Option<Result<(), Failure>> {
        // A flow that had to yield may have more to move.
        if !self.is_under_way() && coop::has_budget_remaining() {
            let is_to_be_heard_out = self.broken.as_ref().is_some_and(|it| self.may_say_more(it));
            if let Some(broken) = self.broken.take_if(|_| !is_to_be_heard_out) {
                let is_closed = self.has_said_all(broken.stream)
                    || broken.cause.kind() == io::ErrorKind::BrokenPipe;
                if !is_closed {
                    return Some(Err(Failure::Broken(broken)));
                }
                self.broken = Some(broken);
                return Some(self.end());
            }
            if self.is_stopping && now() >= self.moved_at + Context::QUIET {
                return Some(Ok(()));
            }
        }
        let is_over = self.has_finished == [true; N] || self.over_at.is_some_and(|at| now() >= at);
        if is_over {
            return Some(self.end());
        }
        let limit = self.idle?;
        (now() >= self.moved_at + limit).then_some(Err(Failure::Idle(limit)))
    }

    /// How it ends when all was said: well, unless it may not be all.
    fn end(&self) -> Result<(), Failure> {
        self.flows.iter().find_map(Flow::cut).map_or(Ok(()), |cut| Err(Failure::Broken(cut)))
    }

    /// When to look again, if nothing happens before.
    fn next_instant(&self) -> Option<Instant> {
        let quiet =
            (self.is_stopping && !self.is_under_way()).then(|| self.moved_at + Context::QUIET);
        let idle = self.idle.map(|limit| self.moved_at + limit);
        let paused = self.unfinished().filter_map(Flow::paused_until).min();
        [quiet, idle, paused, self.over_at].into_iter().flatten().min()
    }

    /// Whether bytes were read that have yet to be delivered, or are held up by the pace.
    fn is_under_way(&self) -> bool {
        self.unfinished().any(|flow| flow.holds() || flow.paused_until().is_some())
    }

    fn unfinished(&self) -> impl Iterator<Item = &Flow> {
        self.flows.iter().zip(self.has_finished).filter(|(_, over)| !over).map(|(flow, _)| flow)
    }

    /// Whether an end that takes no more is a socket that may have said something before, and is
    /// going to say that this was all.
    fn may_say_more(&self, broken: &Break) -> bool {
        broken.cause.kind() == io::ErrorKind::BrokenPipe
            && !self.has_finished[broken.stream]
            && self.streams[broken.stream].raw().is_some()
    }

    /// Whether the peer of this stream has half-closed.
    fn has_said_all(&self, stream: usize) -> bool {
        // A flow bears the number of the stream that it reads from.
        self.flows[stream].has_ended()
    }

    /// The socket that may go on to talk to the other end, which has closed.
    fn unheard(&self) -> Option<usize> {
        let closed = self.broken.as_ref()?.stream;
        let stream = N - 1 - closed;
        let is_socket = self.streams[stream].tcp().is_some() || self.streams[stream].is_unix();
        (stream != closed && is_socket && !self.has_said_all(stream)).then_some(stream)
    }

    /// Ends what has not ended by itself in an orderly way, as far as that goes without waiting.
    fn say_goodbye(&mut self, task: &mut std::task::Context<'_>) {
        for (way, stream) in self.streams.iter_mut().rev().enumerate() {
            if !self.has_finished[way] {
                let _ = poll_shutdown(task, stream);
            }
        }
    }

    /// Lets the other end know that this one was cut off, unless it has been told in an orderly
    /// way that all was said.
    fn pass_on(&self, broken: &Break) {
        if self.has_said_all(broken.stream) {
            return;
        }
        for (number, stream) in self.streams.iter().enumerate() {
            if number != broken.stream {
                stream.reset_when_dropped();
            }
        }
    }
}

/// Reads what is said to nobody: a socket that is closed with something unread is reset, and its
/// peer may lose what it was told last.
async fn hear_out(stream: &mut Stream, cx: &Context) {
    let mut nobody = tokio::io::sink();
    let ending = tokio::io::copy(stream, &mut nobody);
    cx.limited(Some(LAST_WORDS)).until_deadline(ending).await;
}

/// One timer for all that is waited for. Most joins need none; bytes that put off the end of one
/// cost nothing, since it is armed anew only once it has fired.
#[derive(Default)]
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Ready at the latest when `at` has passed, and perhaps before: who asks looks at the clock.
    fn poll(&mut self, at: Option<Instant>, task: &mut std::task::Context<'_>) -> Poll<()> {
        let Some(at) = at.map(tokio::time::Instant::from) else { return Poll::Pending };
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if at < sleep.deadline() || sleep.is_elapsed() {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(task)
    }
}
