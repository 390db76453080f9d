//! `socks5`: a SOCKS5 proxy without authentication (RFC 1928) that forwards to loopback only.

use std::net::SocketAddr;

use fast_socks5::server::Socks5ServerProtocol;
use fast_socks5::util::target_addr::TargetAddr;
use fast_socks5::{ReplyError, Socks5Command};
use portolan_core::{Endpoint, Error, Host, Kind, Scheme};
use portolan_net::{Connection, Context, Dialer, Join, Stream, join, serve};

use super::{Entry, Run, may_forward};

pub(super) const ENTRY: Entry = Entry {
    name: "socks5",
    scheme: Scheme::Socks5,
    number: 81,
    alpn: &[],
    is_proxy: true,
    has_events: false,
    run: Run::Stream(|listener, stop| Box::pin(serve(listener, forward, stop))),
};

/// Forwards until both sides have ended, or the server stops.
async fn forward(connection: Connection, cx: Context) -> Result<(), Error> {
    let broken =
        |error| Error::new(Kind::Protocol, "could not read the SOCKS5 request").with_source(error);
    let greeting = cx.limited(cx.timeouts().connect);
    let asking = async {
        Socks5ServerProtocol::accept_no_auth(connection.stream).await?.read_command().await
    };
    let Some(asked) = greeting.until_deadline(cx.until_stopping(asking)).await else {
        return Err(Error::new(Kind::Timeout, "no SOCKS5 request came"));
    };
    let Some(asked) = asked else { return Ok(()) };
    let (protocol, command, target) = asked.map_err(broken)?;
    let reached = match command {
        Socks5Command::TCPConnect => cx.until_stopping(reach(target, &cx)).await,
        Socks5Command::TCPBind | Socks5Command::UDPAssociate => {
            Some(Err(ReplyError::CommandNotSupported))
        }
    };
    match reached.unwrap_or(Err(ReplyError::GeneralFailure)) {
        Ok((upstream, bound)) => {
            let client = protocol.reply_success(bound).await.map_err(broken)?;
            // What ends a tunnel is between the two at its ends.
            let _ = join(client, upstream, Join::default(), &cx).await;
            Ok(())
        }
        Err(reply) => protocol.reply_error(&reply).await.map_err(broken),
    }
}

async fn reach(target: TargetAddr, cx: &Context) -> Result<(Stream, SocketAddr), ReplyError> {
    let endpoint = match target {
        TargetAddr::Ip(address) => Endpoint::from(address),
        TargetAddr::Domain(name, port) => {
            let host = Host::parse(&name).map_err(|_| ReplyError::HostUnreachable)?;
            Endpoint::tcp(host, port)
        }
    };
    if !may_forward(&endpoint.host) {
        return Err(ReplyError::ConnectionNotAllowed);
    }
    let connection =
        Dialer::new().dial(&endpoint, cx).await.map_err(|error| match error.kind() {
            Kind::Connect => ReplyError::ConnectionRefused,
            _ => ReplyError::HostUnreachable,
        })?;
    let bound = connection.info.local.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
    Ok((connection.stream, bound))
}
