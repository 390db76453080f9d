//! An end: what a URL opens, whatever its scheme.

use std::io;

use portolan_core::{Endpoint, Error, Kind, Phase, Scheme, Url};
use portolan_net::{Context, Datagram, Dialer, Session, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// One end of what is joined. A protocol that carries bytes is a stream once it is open, and one
/// that carries messages is messages: what joins ends needs to know no more.
#[derive(Debug)]
#[non_exhaustive]
pub enum End {
    /// Bytes, without bounds between them.
    Stream(Stream),
    /// Whole messages.
    Messages(Messages),
}

/// Whole messages to and from one peer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Messages {
    /// Datagrams to and from a peer that was dialled.
    Datagram(Datagram, Endpoint),
    /// Datagrams to and from a peer that came by itself.
    Session(Session),
}

impl End {
    /// The schemes of which a URL can be an end.
    pub const SCHEMES: [Scheme; 4] = [Scheme::Tcp, Scheme::Udp, Scheme::Unix, Scheme::Tls];

    /// Whether a URL of this scheme can be an end.
    ///
    /// # Errors
    /// [`Kind::Usage`] where it cannot.
    pub fn check(scheme: Scheme) -> Result<(), Error> {
        if Self::SCHEMES.contains(&scheme) {
            return Ok(());
        }
        let schemes = Self::SCHEMES.map(|scheme| format!("{scheme}:")).join(", ");
        Err(Error::new(Kind::Usage, format!("{scheme}: is neither a stream nor datagrams"))
            .with_hint(format!("what can be joined is {schemes}")))
    }

    /// Dials `url`.
    ///
    /// # Errors
    /// As for [`Dialer::dial`]; [`Kind::Usage`] for a scheme that is not in
    /// [`SCHEMES`](Self::SCHEMES).
    pub async fn dial(url: &Url, dialer: &Dialer, cx: &Context) -> Result<Self, Error> {
        Self::check(url.scheme())?;
        match url.scheme() {
            Scheme::Udp => Messages::dial(url, dialer, cx).await.map(Self::Messages),
            _ => Ok(Self::Stream(dialer.dial_url(url, cx).await?.stream)),
        }
    }

    /// Receives some bytes, or one message, into `buffer`: how many; `None` once the peer has said
    /// all. Nothing is lost when this is dropped before it is ready.
    ///
    /// # Errors
    /// The system's.
    pub async fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self {
            Self::Stream(stream) => {
                let count = stream.read(buffer).await?;
                Ok(Some(count).filter(|count| *count > 0))
            }
            Self::Messages(messages) => messages.receive(buffer).await,
        }
    }

    /// Sends all of `bytes`, as one message where there are messages.
    ///
    /// # Errors
    /// The system's.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stream(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            Self::Messages(messages) => messages.send(bytes).await,
        }
    }

    /// Says that no more will be sent, where the end has a way to say so.
    ///
    /// # Errors
    /// The system's.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.shutdown().await,
            Self::Messages(_) => Ok(()),
        }
    }
}

impl Messages {
    async fn dial(url: &Url, dialer: &Dialer, cx: &Context) -> Result<Self, Error> {
        let endpoint = url.endpoint();
        let addresses = dialer.addresses(&endpoint, cx).await?;
        let connect = async {
            let mut failure = None;
            // There is no route to some, which shows at once.
            for address in addresses {
                match dialer.datagram(address).await {
                    Ok(socket) => {
                        cx.fact(Phase::CONNECT, "address", address.to_string());
                        return Ok(socket);
                    }
                    Err(error) => _ = failure.get_or_insert(error),
                }
            }
            Err(failure.unwrap_or_else(|| Error::new(Kind::Resolve, "there is no address")))
        };
        let socket = cx.within(Phase::CONNECT, connect).await;
        Ok(Self::Datagram(socket.map_err(|error| error.with_endpoint(&endpoint))?, endpoint))
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &Endpoint {
        match self {
            Self::Datagram(_, peer) => peer,
            Self::Session(session) => session.peer(),
        }
    }

    pub(crate) async fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self {
            Self::Datagram(socket, _) => socket.receive(buffer).await.map(Some),
            Self::Session(session) => {
                let Some(datagram) = session.receive().await else { return Ok(None) };
                let size = datagram.len().min(buffer.len());
                buffer[..size].copy_from_slice(&datagram[..size]);
                Ok(Some(size))
            }
        }
    }

    /// Sends back what comes in, until it stops or is idle for too long.
    ///
    /// # Errors
    /// [`Kind::Lost`] where the peer cannot be reached.
    pub async fn echo(mut self, cx: &Context) -> Result<(), Error> {
        let lost = |cause| Error::new(Kind::Lost, "the peer was lost").with_source(cause);
        let mut message = vec![0; Datagram::MAX];
        loop {
            let received = cx.until_stopping(self.receive(&mut message));
            let received = cx.limited(cx.timeouts().idle).until_deadline(received).await;
            let Some(received) = received.flatten() else { return Ok(()) };
            match received.map_err(lost)? {
                Some(count) => self.send(&message[..count]).await.map_err(lost)?,
                None => return Ok(()),
            }
        }
    }

    pub(crate) async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Datagram(socket, _) => socket.send(message).await.map(drop),
            Self::Session(session) => session.send(message).await.map_err(io::Error::other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use portolan_core::{Host, Timeouts};

    use super::*;

    #[tokio::test]
    async fn datagrams_go_to_the_first_address_that_can_be_had() {
        // The system refuses broadcasts to who has not asked for them (ip(7)).
        let places = [Ipv4Addr::BROADCAST, Ipv4Addr::LOCALHOST];
        let dialer = places.into_iter().fold(Dialer::new(), |dialer, address| {
            dialer.with_override(Some(Host::parse("a.test").unwrap()), 9, address.into())
        });
        let cx = Context::new(Timeouts::default());
        let end = End::dial(&"udp://a.test:9".parse().unwrap(), &dialer, &cx).await.unwrap();
        let End::Messages(Messages::Datagram(socket, _)) = end else { panic!("{end:?}") };
        assert_eq!(socket.local_endpoint().unwrap().host.ip(), Some(Ipv4Addr::LOCALHOST.into()));
    }
}
