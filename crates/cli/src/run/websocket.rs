//! WebSockets: what a server does with each, and the log of their frames and messages.

use std::sync::Arc;
use std::time::Instant;

use portolan::net::Observer;
use portolan::ws::{Config, Policy, Room, WebSocket};
use portolan::{Direction, Endpoint, Error, Event, Frame};

use super::stdio::Stdio;
use crate::args::stdio::StdioArgs;
use crate::console::Console;
use crate::show::dump;
use crate::show::frame::FrameReport;

/// How many messages wait for a member of a room that is slow, and how large each may be: messages of
/// 256 MiB at most are kept for all of them together, and compressed ones besides, each smaller than
/// its message, for each size of window that members have agreed on.
const WAITING: usize = 256;
const SAID_MAX: usize = 1 << 20;

/// What is done with each WebSocket by a server that answers by itself.
#[derive(Clone)]
pub(super) enum Answerer {
    /// What comes in is sent back.
    Echo,
    /// What one says is passed on to all others; who is too slow for it is closed.
    Broadcast(Room),
}

impl Answerer {
    pub(super) fn broadcast() -> Self {
        Self::Broadcast(Room::new(WAITING, Policy::Close))
    }

    /// How connections are opened, where others are opened by `config`.
    pub(super) const fn config(&self, mut config: Config) -> Config {
        if let Self::Broadcast(_) = self {
            config.limits.max_message = SAID_MAX;
        }
        config
    }

    /// Answers until the connection is closed.
    ///
    /// # Errors
    /// Those of [`WebSocket::receive`] and [`portolan::ws::Member::receive`].
    pub(super) async fn answer(self, mut socket: WebSocket) -> Result<(), Error> {
        match self {
            Self::Echo => {
                while let Some(message) = socket.receive().await? {
                    socket.feed(message).await?;
                }
            }
            Self::Broadcast(room) => {
                let mut member = room.join(socket);
                while let Some(message) = member.receive().await? {
                    member.say(message);
                }
            }
        }
        Ok(())
    }
}

/// Tells of each frame in JSON, or of each message in hexadecimal, in the place of what `stdio`
/// would show.
pub(super) struct Frames {
    console: Console,
    stdio: Stdio,
    /// Whose they are, where there are several.
    peer: Option<Endpoint>,
}

impl Frames {
    /// Whether that is asked for.
    pub(super) const fn are_shown(args: &StdioArgs, console: &Console) -> bool {
        console.is_json() || args.hex
    }

    pub(super) fn new(console: &Console, stdio: &Stdio) -> Arc<Self> {
        Arc::new(Self { console: *console, stdio: stdio.clone(), peer: None })
    }

    fn show(&self, direction: Direction, frame: &Frame) -> Result<(), Error> {
        if self.console.is_json() {
            let report = FrameReport::new(direction, frame, self.peer.as_ref());
            return self.console.json("frame", &report);
        }
        match frame.kind {
            "text" | "binary" => {
                self.console.data(dump::message(direction, &frame.payload).as_bytes())
            }
            _ => Ok(()),
        }
    }
}

impl Observer for Frames {
    fn observe(&self, _at: Instant, event: &Event) {
        if let Event::Frame(direction, frame) = event
            && let Err(error) = self.show(*direction, frame)
        {
            self.stdio.fail(error);
        }
    }

    fn of_connection(&self, peer: &Endpoint) -> Option<Arc<dyn Observer>> {
        let (console, stdio) = (self.console, self.stdio.clone());
        Some(Arc::new(Self { console, stdio, peer: Some(peer.clone()) }))
    }
}
