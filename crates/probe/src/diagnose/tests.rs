use std::net::SocketAddr;

use portolan_net::{Listener, Place};

use super::*;

fn attempt(kind: io::ErrorKind) -> Attempt {
    let failure = Some(Failure::from(&io::Error::from(kind)));
    let address = SocketAddr::from(([127, 0, 0, 1], 9));
    Attempt { address, elapsed: Duration::from_millis(1), failure }
}

#[test]
fn a_port_is_refused_only_where_every_attempt_was() {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    let closed = |kind, phase, attempts: &[io::ErrorKind]| {
        let attempts = attempts.iter().copied().map(attempt).collect();
        closed_port(&Error::new(kind, "x").with_phase(phase).with_attempts(attempts))
    };
    let connect = Phase::CONNECT;
    assert_eq!(closed(Kind::Connect, connect, &[ConnectionRefused; 2]), Some("refused"));
    assert_eq!(closed(Kind::Connect, connect, &[ConnectionRefused, HostUnreachable]), None);
    assert_eq!(closed(Kind::Connect, connect, &[NetworkUnreachable]), None);
    assert_eq!(closed(Kind::Connect, connect, &[]), None);
    assert_eq!(closed(Kind::Timeout, connect, &[]), Some("does not answer"));
    assert_eq!(closed(Kind::Timeout, Phase::TLS, &[]), None);
    assert_eq!(closed(Kind::Connect, Phase::PROXY, &[ConnectionRefused]), None);
}

#[tokio::test]
async fn no_neighbour_is_shown_of_an_endpoint_that_is_sought_elsewhere() {
    let listener = Listener::bind(&"tcp:0".parse().unwrap()).await.unwrap();
    let there = listener.local_url();
    let anywhere = Place { host: None, port: None };
    let place = Place { host: Some(there.host().clone()), port: Some(there.port()) };
    let refused = Error::new(Kind::Connect, "could not connect")
        .with_phase(Phase::CONNECT)
        .with_attempts(vec![attempt(io::ErrorKind::ConnectionRefused)]);
    let url: Url = "http://example.org:81/".parse().unwrap();
    // Every port of every host is the listener's: the neighbours seem to be open.
    let dialer = Dialer::new().with_connect_to(anywhere, place);
    assert_eq!(open_neighbour(&url, &dialer).await, Some(80));
    assert_eq!(advise(refused, &url, &dialer).await.hint(), None);
}
