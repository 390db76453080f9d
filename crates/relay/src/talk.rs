//! One stream that talks with many peers by datagrams.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use portolan_core::{Error, Kind};
use portolan_net::{Context, Datagram, Handler, Session, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Mutex, watch};

use crate::Framing;
use crate::framing::{Cutter, Unfit};
use crate::halves::lost;

/// Writes what any peer sends to a stream, and sends what is read from the stream to the peer that
/// spoke last: a handler for [`serve_datagrams`](portolan_net::serve_datagrams).
///
/// Cheap to clone; a clone is the same talk.
#[derive(Clone, Debug)]
pub struct Talk(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    input: Mutex<Input>,
    output: Mutex<WriteHalf<Stream>>,
    framing: Framing,
    /// The number of the peer that spoke last.
    last: watch::Sender<u64>,
    peers: AtomicU64,
}

#[derive(Debug)]
struct Input {
    stream: ReadHalf<Stream>,
    cutter: Cutter,
    /// What is whole and not yet sent.
    messages: Vec<Vec<u8>>,
    piece: Vec<u8>,
    has_ended: bool,
}

impl Talk {
    /// A talk of this stream, whose bytes become messages in this way.
    #[must_use]
    pub fn new(stream: Stream, framing: Framing) -> Self {
        let (stream, output) = tokio::io::split(stream);
        let input = Input {
            stream,
            cutter: Cutter::new(framing, Datagram::MAX),
            messages: Vec::new(),
            piece: vec![0; Datagram::MAX],
            has_ended: false,
        };
        Self(Arc::new(Shared {
            input: Mutex::new(input),
            output: Mutex::new(output),
            framing,
            last: watch::Sender::new(0),
            peers: AtomicU64::new(0),
        }))
    }

    async fn listen(&self, message: &[u8], number: u64) -> Result<(), Error> {
        self.0.last.send_replace(number);
        let message = self.0.framing.paste(message);
        let mut output = self.0.output.lock().await;
        let written = async {
            output.write_all(&message).await?;
            output.flush().await
        };
        written.await.map_err(lost)
    }

    /// The messages that the stream has for the peer of this number, once it has spoken last.
    async fn messages_for(&self, number: u64) -> Result<Vec<Vec<u8>>, Error> {
        let mut last = self.0.last.subscribe();
        let _ = last.wait_for(|last| *last == number).await;
        let mut input = self.0.input.lock().await;
        if input.has_ended || *last.borrow() != number {
            drop(input);
            // Whoever speaks next wakes this, and all others.
            let _ = last.changed().await;
            return Ok(Vec::new());
        }
        tokio::select! {
            messages = input.next() => messages,
            // Somebody else has spoken: what comes next is for them.
            _ = last.changed() => Ok(Vec::new()),
        }
    }
}

impl Input {
    /// The next messages. Nothing is lost when this is dropped before it is ready.
    async fn next(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        while self.messages.is_empty() && !self.has_ended {
            let count = self.stream.read(&mut self.piece).await.map_err(lost)?;
            self.cutter.cut(&self.piece[..count], &mut self.messages).map_err(unfit)?;
            if count == 0 {
                self.has_ended = true;
                self.messages.extend(self.cutter.finish().map_err(unfit)?);
            }
        }
        Ok(std::mem::take(&mut self.messages))
    }
}

impl Handler<Session> for Talk {
    async fn handle(&self, session: Session, cx: Context) -> Result<(), Error> {
        let number = self.0.peers.fetch_add(1, Ordering::Relaxed) + 1;
        loop {
            tokio::select! {
                // What has come is taken before the end.
                biased;
                received = session.receive() => match received {
                    Some(message) => self.listen(&message, number).await?,
                    None => return Ok(()),
                },
                messages = self.messages_for(number) => {
                    for message in messages? {
                        session.send(&message).await?;
                    }
                }
                () = cx.stopping() => return Ok(()),
            }
        }
    }
}

/// The error of input that does not fit messages.
pub(crate) fn unfit(cause: Unfit) -> Error {
    let hint = match cause {
        Unfit::Line { .. } => "send messages of a fixed size, or shorter lines",
        Unfit::Length { .. } | Unfit::Half => "each message needs its length before it: 4 bytes",
        Unfit::Base64(_) => "each message needs a line of its own, in Base64",
        Unfit::Utf8(_) => "what is not text can be sent with --binary, --base64 or --length-prefix",
    };
    Error::new(Kind::Usage, "could not send the input as messages")
        .with_hint(hint)
        .with_source(cause)
}
