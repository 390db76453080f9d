//! Joining two ends.

use std::io;
use std::time::Duration;

use portolan_core::{Error, Kind};
use portolan_net::{Carried, Context, Datagram, Join, Stream, join};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::framing::Cutter;
use crate::talk::unfit;
use crate::{End, Framing, Messages};

/// How long an end that cannot say that it is done may say nothing, where the context sets no
/// idle limit: as NAT routers keep UDP (RFC 4787 section 4.3 asks for two minutes at least where
/// nobody else does).
const QUIET: Duration = Duration::from_secs(60);
/// The same, once the other end has said all: time for an answer.
const LAST_ANSWER: Duration = Duration::from_secs(2);

/// How two ends are joined.
///
/// # Defaults
/// Those of [`Join`]; what is read at once is a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carry {
    /// How streams are joined; the rate is that of messages too.
    pub join: Join,
    /// How bytes become messages, where one end has bytes and the other has messages.
    pub framing: Framing,
}

impl Carry {
    /// Carries what comes in at one end to the other, both ways: for two streams until both have
    /// said all, else until nothing has passed for the context's idle limit (60 s where it has
    /// none), or for 2 s (or that limit) once a stream has said all.
    ///
    /// # Errors
    /// [`Kind::Lost`] where an end breaks, [`Kind::Timeout`] where two streams are idle for too
    /// long, [`Kind::Connect`] where a datagram's port is closed, [`Kind::Usage`] for a line that
    /// does not fit a message.
    pub async fn join(&self, near: End, far: End, cx: &Context) -> Result<Carried, Error> {
        match (near, far) {
            (End::Stream(near), End::Stream(far)) => join(near, far, self.join, cx).await,
            // Boxed, so that two streams do not hold the room that messages take.
            (End::Stream(near), End::Messages(far)) => Box::pin(self.frame(near, far, cx)).await,
            (End::Messages(near), End::Stream(far)) => {
                let Carried { there, back } = Box::pin(self.frame(far, near, cx)).await?;
                Ok(Carried { there: back, back: there })
            }
            (End::Messages(near), End::Messages(far)) => {
                Box::pin(self.exchange(near, far, cx)).await
            }
        }
    }

    /// Between bytes and messages.
    async fn frame(
        &self,
        mut bytes: Stream,
        mut messages: Messages,
        cx: &Context,
    ) -> Result<Carried, Error> {
        let mut carried = Carried::default();
        let mut cutter = Cutter::new(self.framing, Datagram::MAX);
        let (mut piece, mut message) = (vec![0; Datagram::MAX], vec![0; Datagram::MAX]);
        let mut is_over = false;
        loop {
            let next = async {
                let coming = async {
                    tokio::select! {
                        read = bytes.read(&mut piece), if !is_over => Next::Near(read.map(Some)),
                        received = messages.receive(&mut message) => Next::Far(received),
                    }
                };
                tokio::select! {
                    // What has come is taken before the end.
                    biased;
                    next = coming => next,
                    () = cx.stopping() => Next::Far(Ok(None)),
                }
            };
            let quiet = if is_over { LAST_ANSWER } else { QUIET };
            match cx.limited(cx.timeouts().idle.or(Some(quiet))).until_deadline(next).await {
                Some(Next::Near(read)) => {
                    let count = read.map_err(lost)?.unwrap_or_default();
                    let mut whole = cutter.cut(&piece[..count]).map_err(unfit)?;
                    is_over = count == 0;
                    if is_over {
                        whole.extend(cutter.finish());
                    }
                    for message in whole {
                        messages.send(&message).await.map_err(|cause| refused(&messages, cause))?;
                        carried.there += message.len() as u64;
                        self.pace(message.len(), cx).await;
                    }
                }
                Some(Next::Far(received)) => {
                    let received = received.map_err(|cause| refused(&messages, cause))?;
                    let Some(count) = received else { break };
                    carried.back += count as u64;
                    let mut line = message[..count].to_vec();
                    cutter.paste(&mut line);
                    bytes.write_all(&line).await.map_err(lost)?;
                    bytes.flush().await.map_err(lost)?;
                    self.pace(count, cx).await;
                }
                None => break,
            }
        }
        bytes.shutdown().await.map_err(lost)?;
        Ok(carried)
    }

    /// Between messages and messages: each is passed on as it is.
    async fn exchange(
        &self,
        mut near: Messages,
        mut far: Messages,
        cx: &Context,
    ) -> Result<Carried, Error> {
        let mut carried = Carried::default();
        let (mut there, mut back) = (vec![0; Datagram::MAX], vec![0; Datagram::MAX]);
        loop {
            let next = async {
                let coming = async {
                    tokio::select! {
                        received = near.receive(&mut there) => Next::Near(received),
                        received = far.receive(&mut back) => Next::Far(received),
                    }
                };
                tokio::select! {
                    // What has come is taken before the end.
                    biased;
                    next = coming => next,
                    () = cx.stopping() => Next::Far(Ok(None)),
                }
            };
            match cx.limited(cx.timeouts().idle.or(Some(QUIET))).until_deadline(next).await {
                Some(Next::Near(received)) => {
                    let Some(count) = received.map_err(|cause| refused(&near, cause))? else {
                        break;
                    };
                    far.send(&there[..count]).await.map_err(|cause| refused(&far, cause))?;
                    carried.there += count as u64;
                    self.pace(count, cx).await;
                }
                Some(Next::Far(received)) => {
                    let Some(count) = received.map_err(|cause| refused(&far, cause))? else {
                        break;
                    };
                    near.send(&back[..count]).await.map_err(|cause| refused(&near, cause))?;
                    carried.back += count as u64;
                    self.pace(count, cx).await;
                }
                None => break,
            }
        }
        Ok(carried)
    }

    /// Waits for as long as so many bytes take at the rate.
    async fn pace(&self, count: usize, cx: &Context) {
        if let Some(rate) = self.join.rate {
            let pause = Duration::from_secs_f64(count as f64 / rate as f64);
            cx.limited(Some(pause)).until_deadline(std::future::pending::<()>()).await;
        }
    }
}

/// What comes next: from which end, and what.
enum Next {
    Near(io::Result<Option<usize>>),
    Far(io::Result<Option<usize>>),
}

fn lost(cause: io::Error) -> Error {
    Error::new(Kind::Lost, "the connection was lost").with_source(cause)
}

/// The error of a datagram that came back.
fn refused(messages: &Messages, cause: io::Error) -> Error {
    let peer = messages.peer();
    if cause.kind() == io::ErrorKind::ConnectionRefused {
        return Error::new(Kind::Connect, format!("could not reach {peer}"))
            .with_endpoint(peer)
            .with_hint(format!("nothing listens on UDP port {} there", peer.port))
            .with_source(cause);
    }
    Error::new(Kind::Lost, format!("could not exchange messages with {peer}"))
        .with_endpoint(peer)
        .with_source(cause)
}
