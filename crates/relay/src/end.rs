//! An end: what a URL opens, whatever its scheme.

use portolan_core::{Endpoint, Error, Kind, Phase, Scheme, Url};
use portolan_net::{Context, Datagram, Dialer, Session, Stream};
use portolan_ws as ws;
use tokio::io::AsyncWriteExt;

use crate::halves::{self, Incoming, Outgoing};

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
    /// The messages of a WebSocket, dialled or served.
    WebSocket(Box<ws::WebSocket>, Endpoint),
}

impl End {
    /// The schemes of which a URL can be an end.
    pub const SCHEMES: [Scheme; 6] =
        [Scheme::Tcp, Scheme::Udp, Scheme::Unix, Scheme::Tls, Scheme::Ws, Scheme::Wss];

    /// Whether a URL of this scheme can be an end.
    ///
    /// # Errors
    /// [`Kind::Usage`] where it cannot.
    pub fn check(scheme: Scheme) -> Result<(), Error> {
        if Self::SCHEMES.contains(&scheme) {
            return Ok(());
        }
        let schemes = Self::SCHEMES.map(|scheme| format!("{scheme}:")).join(", ");
        Err(Error::new(Kind::Usage, format!("{scheme}: is neither a stream nor messages"))
            .with_hint(format!("what can be joined is {schemes}")))
    }

    /// Dials `url`; a WebSocket is opened as `websocket` says.
    ///
    /// # Errors
    /// As for [`Dialer::dial`] and [`ws::Client::connect`]; [`Kind::Usage`] for a scheme that is
    /// not in [`SCHEMES`](Self::SCHEMES); [`Kind::Denied`] where a server speaks none of the
    /// subprotocols that it was offered.
    pub async fn dial(
        url: &Url,
        dialer: &Dialer,
        websocket: &ws::Config,
        cx: &Context,
    ) -> Result<Self, Error> {
        Self::check(url.scheme())?;
        match url.scheme() {
            Scheme::Udp => Messages::dial(url, dialer, cx).await.map(Self::Messages),
            Scheme::Ws | Scheme::Wss => {
                // Boxed, so that other ends do not hold the room that its handshake takes.
                let opening = Box::pin(ws::Client::connect(dialer, url, websocket, cx));
                let (socket, info) = opening.await?;
                if info.agreed.subprotocol.is_none() && !websocket.subprotocols.is_empty() {
                    return Err(no_subprotocol(&websocket.subprotocols, url));
                }
                Ok(Self::websocket(socket, url.endpoint()))
            }
            _ => Ok(Self::Stream(dialer.dial_url(url, cx).await?.stream)),
        }
    }

    /// The end that is an open WebSocket with `peer`.
    #[must_use]
    pub fn websocket(socket: ws::WebSocket, peer: Endpoint) -> Self {
        Self::Messages(Messages::WebSocket(Box::new(socket), peer))
    }

    /// Sends the first bytes, before anything else.
    ///
    /// # Errors
    /// [`Kind::Lost`].
    pub(crate) async fn begin(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match self {
            Self::Stream(stream) => {
                let written = async {
                    stream.write_all(bytes).await?;
                    stream.flush().await
                };
                written.await.map_err(halves::lost)
            }
            // Its handshake is over: what comes before that is not the protocol's any more.
            Self::Messages(_) => Err(Error::new(Kind::Usage, "messages have no beginning")),
        }
    }

    /// Tells the peer that nothing comes of it, where there is a way to say so.
    pub(crate) async fn turn_away(self, code: ws::CloseCode, reason: &str) {
        if let Self::Messages(Messages::WebSocket(mut socket, _)) = self {
            // Who has gone already need not be told.
            let _ = socket.close(code, reason).await;
        }
    }

    /// What comes in, and what goes out, for different futures.
    pub(crate) fn split(self) -> (Incoming, Outgoing) {
        halves::split(self)
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
            Self::Datagram(_, peer) | Self::WebSocket(_, peer) => peer,
            Self::Session(session) => session.peer(),
        }
    }

    /// Sends back what comes in, until it stops or is idle for too long.
    ///
    /// # Errors
    /// [`Kind::Lost`] where the peer cannot be reached; those of [`ws::WebSocket::receive`].
    pub async fn echo(self, cx: &Context) -> Result<(), Error> {
        if let Self::WebSocket(mut socket, _) = self {
            while let Some(message) = socket.receive().await? {
                socket.feed(message).await?;
            }
            return Ok(());
        }
        let (mut incoming, mut outgoing) = End::Messages(self).split();
        loop {
            let received = cx.until_stopping(incoming.receive());
            let received = cx.limited(cx.timeouts().idle).until_deadline(received).await;
            match received.flatten().transpose()?.flatten() {
                Some(message) => outgoing.send(message).await?,
                None => return Ok(()),
            }
        }
    }
}

/// The error of a server that upgrades, but speaks no subprotocol, as browsers have it.
fn no_subprotocol(offered: &[String], url: &Url) -> Error {
    let offered = offered.join(", ");
    Error::new(Kind::Denied, format!("{url} speaks none of the subprotocols offered: {offered}"))
        .with_phase(ws::UPGRADE)
        .with_endpoint(&url.endpoint())
        .with_hint("without --subprotocol, none is asked for")
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
        let url = "udp://a.test:9".parse().unwrap();
        let end = End::dial(&url, &dialer, &ws::Config::default(), &cx).await.unwrap();
        let End::Messages(Messages::Datagram(socket, _)) = end else { panic!("{end:?}") };
        assert_eq!(socket.local_endpoint().unwrap().host.ip(), Some(Ipv4Addr::LOCALHOST.into()));
    }
}
