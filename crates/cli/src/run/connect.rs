//! `connect`: joins stdin and stdout, or a command, to what a URL opens.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use portolan::net::pcap::Capture;
use portolan::net::{Carried, Context, Dialer, Join, Retry, Stream, Until, now, retry};
use portolan::relay::{Carry, End, Exec, Framing, Outcome, Running};
use portolan::units::show_duration;
use portolan::{Error, Event, Kind, Scheme, Timeouts, ws};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use super::capture::captured;
use super::exec::tell_status;
use super::signals::Signals;
use super::stdio::Stdio;
use super::websocket::Frames;
use crate::args::applies::Given;
use crate::args::connect::ConnectArgs;
use crate::args::stdio::StdioArgs;
use crate::console::Console;
use crate::exit::Exit;
use crate::show::millis;
use crate::trace::Trace;

/// How long a peer that is left at a signal may take to answer, and what has come to be written.
const FAREWELL: Duration = Duration::from_secs(1);
/// A connection that lasted this long was a good one: the next pause is the first one again.
const GOOD: Duration = Duration::from_secs(10);

/// Connects, and carries until the peer has said all.
///
/// # Errors
/// What kept it from connecting, or broke the connection.
pub async fn run(args: &ConnectArgs, given: &Given, console: &Console) -> Result<Exit, Error> {
    args.dial.validate()?;
    End::check(args.url.scheme())?;
    let schemes = BTreeSet::from([args.url.scheme()]);
    given.check(&schemes)?;
    given.check_websocket(&schemes)?;
    match &args.exec {
        Some(exec) => exec.check()?,
        None => args.dial.pcap.leave_stdout("the peer")?,
    }
    captured(&args.dial.pcap, console, async |capture, console| {
        connect(args, capture, console).await
    })
    .await
}

async fn connect(
    args: &ConnectArgs,
    capture: Option<Capture>,
    console: &Console,
) -> Result<Exit, Error> {
    let mut signals = Signals::catch()?;
    let mut stdio = Stdio::new(&args.stdio, console);
    if shows_frames(args, console) {
        stdio = stdio.without_output();
    }
    if edits_lines(args, console) {
        stdio = stdio.with_editing(console);
    }
    let end = CancellationToken::new();
    let connecting = async {
        let dialer = args.dial.dialer_for(&args.url).await?.with_capture(capture);
        let websocket = args.websocket.config();
        let (stdio, end) = (stdio.clone(), end.clone());
        Connector { args, dialer, websocket, stdio, end, console }.run().await
    };
    let mut connecting = pin!(connecting);
    let ended = tokio::select! {
        // What has ended already has not been interrupted.
        biased;
        done = &mut connecting => done,
        () = stdio.failing() => Ok(Exit::DONE),
        () = signals.next() => {
            end.cancel();
            let mut stdout = stdio.clone();
            // What has come is still written, and a WebSocket is told that we go.
            let leaving = async {
                let _ = match is_websocket(args) {
                    true => tokio::join!(stdout.flush(), connecting).0,
                    false => stdout.flush().await,
                };
            };
            // A second signal does not wait for it.
            tokio::select! {
                () = leaving => {}
                () = tokio::time::sleep(FAREWELL) => {}
                () = signals.next() => {}
            }
            // Who would read it may have been interrupted, too.
            stdio.failure();
            Ok(Exit::from(Kind::Interrupted))
        }
    };
    stdio.failure().map_or(ended, Err)
}

fn is_websocket(args: &ConnectArgs) -> bool {
    matches!(args.url.scheme(), Scheme::Ws | Scheme::Wss)
}

/// Whether a log of what passes on a WebSocket takes the place of the data.
fn shows_frames(args: &ConnectArgs, console: &Console) -> bool {
    is_websocket(args) && Frames::are_shown(&args.stdio, console)
}

/// Whether messages are typed as lines of text on a terminal that can show them edited.
fn edits_lines(args: &ConnectArgs, console: &Console) -> bool {
    let StdioArgs { hex, recv_only, .. } = args.stdio;
    let sends_texts = is_websocket(args) && args.stdio.framing() == Framing::Lines && !recv_only;
    let is_log = hex || console.is_json();
    sends_texts && !is_log && io::stdin().is_terminal() && console.is_screen()
}

/// What connects, once or again and again.
struct Connector<'a> {
    args: &'a ConnectArgs,
    dialer: Dialer,
    websocket: ws::Config,
    stdio: Stdio,
    /// Asks for the end.
    end: CancellationToken,
    console: &'a Console,
}

impl Connector<'_> {
    async fn run(&self) -> Result<Exit, Error> {
        let timeouts = self.args.dial.timeouts(None);
        let Some(limit) = timeouts.operation else { return self.connect(timeouts).await };
        let whole = Context::new(timeouts).until_deadline(self.connect(timeouts)).await;
        whole.unwrap_or_else(|| {
            let waited = show_duration(limit);
            Err(Error::new(Kind::Timeout, format!("timed out after {waited}")))
        })
    }

    /// Connects until it is enough.
    async fn connect(&self, timeouts: Timeouts) -> Result<Exit, Error> {
        let mut failures = 0;
        loop {
            let mut cx = Context::new(timeouts).with_stopping(self.end.clone());
            if self.console.verbosity() > 0 {
                cx = cx.with_observer(Arc::new(Trace::new(self.console, None)));
            }
            if shows_frames(self.args, self.console) {
                cx = cx.with_observer(Frames::new(self.console, &self.stdio));
            }
            let started = now();
            let ended = self.once(&cx).await;
            let is_ours = self.stdio.failure();
            let ended = is_ours.map_or(ended, Err);
            let elapsed = now().saturating_duration_since(started);
            if let Ok(carried) = &ended {
                self.report(*carried, elapsed)?;
            }
            if !self.is_to_reconnect(&ended) {
                return ended.map(|_| Exit::DONE);
            }
            let exit = match &ended {
                Ok(_) => Exit::DONE,
                Err(error) => self.console.error(error, Some(&self.args.url)),
            };
            failures = if elapsed > GOOD { 1 } else { failures + 1 };
            let pause = self.args.dial.retry().backoff.pause(failures);
            cx.observe(&Event::Retrying(pause));
            // Where no connection came about, only this shows whether there is input at all.
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stdio.end() => return Ok(exit),
                () = self.end.cancelled() => return Ok(exit),
            }
        }
    }

    /// Whether there is more to be said, and somebody to say it to.
    fn is_to_reconnect(&self, ended: &Result<Carried, Error>) -> bool {
        let is_hopeless = ended.as_ref().is_err_and(|error| !Retry::is_worthwhile(error));
        self.args.reconnect && !is_hopeless && !self.stdio.has_ended() && !self.end.is_cancelled()
    }

    /// One connection, from the first phase to its end.
    async fn once(&self, cx: &Context) -> Result<Carried, Error> {
        let Self { args, dialer, websocket, .. } = self;
        let dial = || End::dial(&args.url, dialer, websocket, cx);
        let dialling = cx.until_stopping(retry(&args.dial.retry(), cx, dial)).await;
        let interrupted = || Err(Error::new(Kind::Interrupted, "interrupted"));
        let far = dialling.unwrap_or_else(interrupted)?;
        let carried = match &args.exec {
            Some(exec) => self.execute(exec, far, cx).await,
            None => self.converse(far, cx).await,
        };
        carried.map_err(|error| error.with_endpoint(&args.url.endpoint()))
    }

    /// Joins stdin and stdout to the peer.
    async fn converse(&self, peer: End, cx: &Context) -> Result<Carried, Error> {
        let near = End::Stream(Stream::boxed(self.stdio.clone()));
        let until = if self.args.stdio.send_only { Until::Near } else { Until::Far };
        let Outcome { carried, unanswered } = self.carry(until).join(near, peer, cx).await?;
        if unanswered > 0 {
            let messages = if unanswered == 1 { "message" } else { "messages" };
            self.console.note(&format!(
                "note: {unanswered} {messages} got no answer in time; --idle-timeout waits longer"
            ));
        }
        Ok(carried)
    }

    /// Joins a command to the peer until the command has ended.
    async fn execute(&self, exec: &Exec, peer: End, cx: &Context) -> Result<Carried, Error> {
        let Running { stream, process } = exec.start(&self.args.url.endpoint(), None)?;
        let carried = self.carry(Until::Far).join(peer, End::Stream(stream), cx).await;
        tell_status(exec, process.end(cx).await, self.console);
        let Carried { there, back } = carried?.carried;
        Ok(Carried { there: back, back: there })
    }

    fn carry(&self, until: Until) -> Carry {
        Carry { join: Join { until, ..Join::default() }, framing: self.args.stdio.framing() }
    }

    fn report(&self, carried: Carried, elapsed: Duration) -> Result<(), Error> {
        let Carried { there, back } = carried;
        if self.console.is_json() {
            return self.console.json(
                "connect",
                &json!({
                    "target": self.args.url.to_string(),
                    "bytes_in": back,
                    "bytes_out": there,
                    "ms": millis(elapsed),
                }),
            );
        }
        if self.console.verbosity() > 0 {
            let elapsed = show_duration(elapsed);
            self.console.trace(&format!("* {back} bytes in, {there} bytes out in {elapsed}"));
        }
        Ok(())
    }
}
