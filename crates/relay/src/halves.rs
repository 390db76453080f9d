//! The halves of an end: what comes in, and what goes out.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use portolan_core::{Endpoint, Error, Kind};
use portolan_net::{Datagram, Session, Stream};
use portolan_ws::{self as ws, Close, CloseCode, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use crate::{End, Messages};

/// The most that is read from a stream at once; a datagram of any size fits.
const PIECE: usize = 64 * 1024;

/// What comes in at an end.
pub(crate) struct Incoming {
    source: Source,
    /// Where streams and datagrams are read to.
    piece: Vec<u8>,
    /// Whether we have closed already: then the peer need not say why it does.
    is_leaving: bool,
}

enum Source {
    Stream(ReadHalf<Stream>),
    Datagram(Arc<Datagram>, Endpoint),
    Session(Arc<Session>),
    WebSocket(ws::Receiver),
}

/// What goes out at an end.
pub(crate) enum Outgoing {
    Stream(WriteHalf<Stream>),
    Datagram(Arc<Datagram>, Endpoint),
    Session(Arc<Session>),
    WebSocket(ws::Sender),
}

pub(crate) fn split(end: End) -> (Incoming, Outgoing) {
    let (source, outgoing) = match end {
        End::Stream(stream) => {
            let (source, outgoing) = tokio::io::split(stream);
            (Source::Stream(source), Outgoing::Stream(outgoing))
        }
        End::Messages(Messages::Datagram(socket, peer)) => {
            let socket = Arc::new(socket);
            let source = Source::Datagram(socket.clone(), peer.clone());
            (source, Outgoing::Datagram(socket, peer))
        }
        End::Messages(Messages::Session(session)) => {
            let session = Arc::new(session);
            (Source::Session(session.clone()), Outgoing::Session(session))
        }
        End::Messages(Messages::WebSocket(socket, _)) => {
            let (sender, receiver) = socket.split();
            (Source::WebSocket(receiver), Outgoing::WebSocket(sender))
        }
    };
    (Incoming { source, piece: Vec::new(), is_leaving: false }, outgoing)
}

impl Incoming {
    /// The next message, or some bytes of a stream; `None` once the peer has said all. Nothing is
    /// lost when this is dropped before it is ready.
    ///
    /// # Errors
    /// [`Kind::Lost`] where the peer was lost, or has closed a WebSocket with another code than
    /// 1000 or 1001; [`Kind::Connect`] where a datagram's port is closed; those of
    /// [`ws::Receiver::receive`].
    pub(crate) async fn receive(&mut self) -> Result<Option<Message>, Error> {
        if matches!(self.source, Source::Stream(_) | Source::Datagram(..)) {
            self.piece.resize(PIECE, 0);
        }
        let count = match &mut self.source {
            Source::Stream(stream) => match stream.read(&mut self.piece).await.map_err(lost)? {
                0 => return Ok(None),
                count => count,
            },
            Source::Datagram(socket, peer) => {
                let received = socket.receive(&mut self.piece).await;
                received.map_err(|cause| unreachable(peer, cause))?
            }
            Source::Session(session) => return Ok(session.receive().await.map(Message::from)),
            Source::WebSocket(receiver) => {
                let received = receiver.receive().await?;
                let close = receiver.closed().filter(|_| received.is_none());
                let failure = close.filter(|close| is_failure(close.code, self.is_leaving));
                return failure.map_or(Ok(received), |close| Err(closed(&close)));
            }
        };
        Ok(Some(Message::Binary(Bytes::copy_from_slice(&self.piece[..count]))))
    }

    /// Whether what comes are bytes without bounds between them.
    pub(crate) const fn is_stream(&self) -> bool {
        matches!(self.source, Source::Stream(_))
    }

    /// We have closed: what still comes is the last.
    pub(crate) const fn leave(&mut self) {
        self.is_leaving = true;
    }

    /// Why a WebSocket's peer has closed it, once it has.
    pub(crate) fn closed(&self) -> Option<Close> {
        match &self.source {
            Source::WebSocket(receiver) => receiver.closed(),
            _ => None,
        }
    }
}

impl Outgoing {
    /// Sends a message, whose bounds a stream does not keep.
    ///
    /// # Errors
    /// As for [`Incoming::receive`].
    pub(crate) async fn send(&mut self, message: Message) -> Result<(), Error> {
        match self {
            Self::Stream(stream) => {
                let written = async {
                    stream.write_all(message.as_bytes()).await?;
                    stream.flush().await
                };
                written.await.map_err(lost)
            }
            Self::Datagram(socket, peer) => {
                let sent = socket.send(message.as_bytes()).await;
                sent.map(drop).map_err(|cause| unreachable(peer, cause))
            }
            Self::Session(session) => session.send(message.as_bytes()).await,
            Self::WebSocket(sender) => sender.send(message).await,
        }
    }

    /// Says that no more will be sent, where that does not end what comes in.
    ///
    /// # Errors
    /// [`Kind::Lost`].
    pub(crate) async fn shutdown(&mut self) -> Result<(), Error> {
        match self {
            Self::Stream(stream) => stream.shutdown().await.map_err(lost),
            _ => Ok(()),
        }
    }

    /// Closes a WebSocket: nothing can be sent any more, and what comes in ends soon.
    ///
    /// # Errors
    /// [`Kind::Lost`] where it is gone already.
    pub(crate) async fn close(&mut self, close: &Close) -> Result<(), Error> {
        match self {
            Self::WebSocket(sender) => sender.close(close.code, &close.reason).await,
            _ => Ok(()),
        }
    }

    /// Whether what goes out are bytes without bounds between them.
    pub(crate) const fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// Whether it is a WebSocket.
    pub(crate) const fn is_websocket(&self) -> bool {
        matches!(self, Self::WebSocket(_))
    }

    /// The largest message that can be sent.
    pub(crate) fn max(&self) -> usize {
        match self {
            Self::WebSocket(_) => ws::wire::Limits::default().max_message,
            _ => Datagram::MAX,
        }
    }
}

/// Whether a peer that closes like this has failed.
fn is_failure(code: CloseCode, is_answer: bool) -> bool {
    match code {
        CloseCode::NORMAL | CloseCode::GOING_AWAY => false,
        CloseCode::NO_STATUS => !is_answer,
        _ => true,
    }
}

fn closed(close: &Close) -> Error {
    Error::new(Kind::Lost, format!("the peer closed the connection with {close}"))
}

pub(crate) fn lost(cause: io::Error) -> Error {
    Error::new(Kind::Lost, "the connection was lost").with_source(cause)
}

/// The error of a datagram that came back.
fn unreachable(peer: &Endpoint, cause: io::Error) -> Error {
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
