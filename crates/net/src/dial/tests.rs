use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;

use portolan_core::Timeouts;

use super::*;
use crate::Listener;
use crate::fault::Plan;

/// A resolver with a table; names that are not in it never resolve.
struct Table(HashMap<&'static str, Vec<IpAddr>>);

impl Resolve for Table {
    fn resolve<'a>(
        &'a self,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, Error>> + Send + 'a>> {
        Box::pin(async move {
            match self.0.get(name) {
                Some(addresses) => Ok(addresses.clone()),
                None => std::future::pending().await,
            }
        })
    }
}

fn table() -> Arc<dyn Resolve> {
    let v4: IpAddr = "127.0.0.1".parse().unwrap();
    let v6: IpAddr = "::1".parse().unwrap();
    Arc::new(Table(HashMap::from([("both.test", vec![v6, v4]), ("four.test", vec![v4])])))
}

fn cx() -> Context {
    Context::new(Timeouts::default())
}

fn endpoint(host: &str, port: u16) -> Endpoint {
    Endpoint::tcp(Host::parse(host).unwrap(), port)
}

async fn listener() -> (Listener, u16) {
    let listener = Listener::bind(&"tcp:0".parse().unwrap()).await.unwrap();
    let port = listener.local_url().port();
    (listener, port)
}

/// A port on which nobody listens, and what keeps it so.
async fn closed_port() -> (Listener, u16) {
    let (bound, port) = listener().await;
    let refusing = Plan::new(vec!["refuse".parse().unwrap()], 0);
    (bound.with_faults(refusing).unwrap(), port)
}

#[tokio::test]
async fn a_refused_family_falls_back_to_the_other_and_is_kept() {
    let (_listener, port) = listener().await;
    let dialer = Dialer::new().with_resolver(table());
    let connection = dialer.dial(&endpoint("both.test", port), &cx()).await.unwrap();
    assert_eq!(connection.info.remote.unwrap().to_string(), format!("127.0.0.1:{port}"));
    let attempts = connection.info.timings.attempts();
    assert_eq!(attempts.len(), 2);
    assert!(attempts[0].address.is_ipv6() && attempts[0].failure.is_some());
    assert!(attempts[1].failure.is_none());
}

#[tokio::test]
async fn a_closed_port_is_an_error_that_knows_everything() {
    let (_closed, port) = closed_port().await;
    let target = endpoint("four.test", port);
    let error = Dialer::new().with_resolver(table()).dial(&target, &cx()).await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::Connect, Some(Phase::CONNECT)));
    assert_eq!(error.endpoint(), Some(&target));
    assert_eq!(error.attempts().len(), 1);
    let expected = format!("could not connect to {target}: connection refused");
    assert_eq!(format!("{error:#}"), expected);
    assert!(error.hint().unwrap().contains("nothing listens"));
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_hangs_ends_at_the_limit() {
    let started = crate::now();
    let dialer = Dialer::new().with_resolver(table());
    let error = dialer.dial(&endpoint("hangs.test", 1), &cx()).await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Some(Phase::RESOLVE)));
    assert_eq!(crate::now().duration_since(started), Duration::from_secs(10));
}

#[tokio::test]
async fn a_missing_family_is_said() {
    let dialer = Dialer::new().with_resolver(table()).with_family(Family::V6);
    let error = dialer.dial(&endpoint("four.test", 1), &cx()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Resolve);
    assert!(error.to_string().contains("IPv6 address of four.test"), "{error}");
}

#[tokio::test]
async fn overrides_and_connect_to_lead_elsewhere() {
    let (_listener, port) = listener().await;
    let name = Host::parse("nowhere.test").unwrap();
    let dialer = Dialer::new().with_resolver(table());
    let overridden = dialer.clone().with_override(Some(name.clone()), port, [127, 0, 0, 1].into());
    assert!(overridden.dial(&endpoint("nowhere.test", port), &cx()).await.is_ok());
    let from = Place { host: Some(name), port: None };
    let to = Place { host: Some(Host::parse("four.test").unwrap()), port: Some(port) };
    let led = dialer.with_connect_to(from, to);
    assert!(led.dial(&endpoint("nowhere.test", 443), &cx()).await.is_ok());
}

#[tokio::test]
async fn a_source_address_is_used() {
    let (_listener, port) = listener().await;
    let dialer = Dialer::new().with_source([127, 0, 0, 9].into());
    let connection = dialer.dial(&endpoint("127.0.0.1", port), &cx()).await.unwrap();
    assert_eq!(connection.info.local.unwrap().ip().to_string(), "127.0.0.9");
    let strange = Dialer::new().with_source([192, 0, 2, 1].into());
    let error = strange.dial(&endpoint("127.0.0.1", port), &cx()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Connect);
    assert!(error.hint().unwrap().contains("source address"));
}

#[tokio::test]
async fn a_unix_socket_that_is_not_there() {
    let error = Dialer::new().dial(&Endpoint::unix("/no/such.sock"), &cx()).await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::Connect, Some(Phase::CONNECT)));
    assert!(error.hint().unwrap().contains("no such socket"));
}

#[tokio::test]
async fn the_zone_of_loopback_is_its_index() {
    assert_eq!(scope_id("7").unwrap(), 7);
    assert_eq!(scope_id("lo").unwrap(), 1);
    assert!(scope_id("no-such-interface").is_err());
}
