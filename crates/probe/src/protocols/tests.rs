use std::future::{Future, pending};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use portolan_core::{Host, Timeouts};
use portolan_net::proxy::Proxies;
use portolan_net::{Connection, Datagram, Listener, Place, Resolve, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::{Prober, Target};

#[test]
fn every_scheme_has_one_protocol_and_phases() {
    for scheme in Scheme::ALL {
        let protocols = PROTOCOLS.iter().filter(|p| p.schemes().contains(&scheme)).count();
        assert!(protocols <= 1, "{scheme}");
        assert_eq!(protocols == 1, !phases(scheme).is_empty(), "{scheme}");
    }
    let names: Vec<_> = all_phases().into_iter().map(Phase::name).collect();
    assert_eq!(names, ["resolve", "connect", "proxy", "wait", "tls", "send", "receive", "upgrade"]);
}

#[test]
fn a_scheme_that_is_not_known_is_refused_with_those_that_are() {
    assert!(check(&"https://example.org".parse().unwrap()).is_ok());
    let error = check(&"ftp://user:secret@example.org".parse().unwrap()).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    let words = "probe does not know ftp: URLs yet, as in ftp://***@example.org/";
    assert_eq!(error.to_string(), words);
    assert_eq!(error.hint(), Some("it knows tcp: udp: unix: tls: http: https: ws: wss:"));
}

/// Answers each request with this.
async fn answer(response: &'static [u8]) -> Url {
    let listener = Listener::bind(&"http://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let url = listener.local_url();
    let handler = move |mut connection: Connection, _cx: Context| async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(connection.stream.read_u8().await.unwrap());
        }
        connection.stream.write_all(response).await.unwrap();
        Ok(())
    };
    tokio::spawn(serve(listener, handler, pending()));
    url
}

#[tokio::test]
async fn a_proxy_that_does_not_reach_the_origin_is_a_failure_to_connect() {
    let proxy = answer(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await;
    let secret: Url = format!("http://user:secret@{}", proxy.authority()).parse().unwrap();
    let dialer = Dialer::new().with_proxies(Proxies::all(secret).unwrap());
    let target = Target::from("http://example.org/".parse::<Url>().unwrap());
    let report = Prober::new(dialer).probe(&target, None).await;
    let error = report.error.unwrap();
    let words = format!(
        "could not reach example.org:80 through the proxy http://***@{}/: the proxy answered 502 \
         Bad Gateway",
        proxy.authority()
    );
    assert_eq!(format!("{error:#}"), words);
    assert_eq!((error.kind(), error.phase()), (Kind::Connect, Some(Phase::new("wait"))));
    let failed: Vec<_> = report.timings.spans().iter().filter(|s| s.failed).collect();
    assert_eq!(failed.iter().map(|s| s.phase.name()).collect::<Vec<_>>(), ["wait"]);

    // The same answer of an origin shows that it is up.
    let report = Prober::new(Dialer::new()).probe(&Target::from(proxy), None).await;
    assert_eq!(report.answer.and_then(|answer| answer.status), Some(502));
}

#[tokio::test]
async fn datagrams_go_where_the_dialer_is_told_to_connect_to() {
    let any = "udp://127.0.0.1:0".parse::<Url>().unwrap();
    let server = Datagram::bind(&any.endpoint()).await.unwrap();
    let there = server.local_endpoint().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 64];
        let (size, peer) = server.receive_from(&mut buffer).await.unwrap();
        server.send_to(&buffer[..size], &peer).await.unwrap();
    });
    let from = Place { host: Host::parse("nowhere.invalid").ok(), port: None };
    let to = Place { host: Some(there.host), port: Some(there.port) };
    let prober = Prober::new(Dialer::new().with_connect_to(from, to));
    let target = Target::from("udp://nowhere.invalid:9".parse::<Url>().unwrap());
    let report = prober.probe(&target, None).await;
    assert!(report.is_ok(), "{:?}", report.error);
}

/// A resolver that never answers.
struct Silent;

impl Resolve for Silent {
    fn resolve<'a>(
        &'a self,
        _name: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, Error>> + Send + 'a>> {
        Box::pin(pending())
    }
}

#[tokio::test(start_paused = true)]
async fn resolving_for_datagrams_takes_no_longer_than_connecting_may() {
    let connect = Some(Duration::from_millis(300));
    let timeouts = Timeouts { connect, operation: None, idle: None };
    let dialer = Dialer::new().with_resolver(Arc::new(Silent));
    let target = Target::from("udp://example.org:9".parse::<Url>().unwrap());
    let report = Prober::new(dialer).with_timeouts(timeouts).probe(&target, None).await;
    let error = report.error.unwrap();
    assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Some(Phase::RESOLVE)));
    assert!(error.hint().is_some());
}
