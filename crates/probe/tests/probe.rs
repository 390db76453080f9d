//! Probes of real peers on loopback, and what is concluded from them.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use portolan_core::{Endpoint, Error, Host, Kind, Phase, Timeouts, Url};
use portolan_net::fault::Plan;
use portolan_net::{Datagram, Dialer, Listener, Place, Recorder, Retry};
use portolan_probe::{Expectation, Prober, Report, Target, check};

async fn listener(url: &str) -> Listener {
    Listener::bind(&url.parse().unwrap()).await.unwrap()
}

/// A port on which nobody listens, and what keeps it so.
async fn closed_port() -> (Listener, u16) {
    let bound = listener("tcp:0").await;
    let port = bound.local_url().port();
    let refusing = Plan::new(vec!["refuse".parse().unwrap()], 0);
    (bound.with_faults(refusing).unwrap(), port)
}

async fn probe(dialer: Dialer, url: &str) -> Report {
    Prober::new(dialer).probe(&Target::from(url.parse::<Url>().unwrap()), None).await
}

/// A dialer for which `both.test` is both loopback addresses, IPv6 first.
fn dialer(port: u16) -> Dialer {
    let [six, four]: [IpAddr; 2] = ["::1", "127.0.0.1"].map(|text| text.parse().unwrap());
    let both = Host::parse("both.test").ok();
    Dialer::new().with_override(both.clone(), port, six).with_override(both, port, four)
}

#[tokio::test]
async fn a_family_that_failed_is_noted_when_the_other_answered() {
    // It listens on IPv4 only.
    let listener = listener("tcp://127.0.0.1:0").await;
    let port = listener.local_url().port();
    let report = probe(dialer(port), &format!("tcp://both.test:{port}")).await;
    assert!(report.is_ok(), "{:?}", report.error);
    let [note] = &report.notes[..] else { panic!("{:?}", report.notes) };
    assert!(note.starts_with("IPv6 ") && note.contains("; IPv4 answered in "), "{note}");
    assert_eq!(report.timings.attempts().len(), 2);
}

#[tokio::test]
async fn every_failed_attempt_is_kept() {
    let (_closed, port) = closed_port().await;
    let report = probe(dialer(port), &format!("tcp://both.test:{port}")).await;
    let error = report.error.unwrap();
    assert_eq!((error.kind(), error.phase()), (Kind::Connect, Some(Phase::CONNECT)));
    let addresses: Vec<_> = error.attempts().iter().map(|a| a.address.to_string()).collect();
    assert_eq!(addresses, [format!("[::1]:{port}"), format!("127.0.0.1:{port}")]);
}

#[tokio::test]
async fn an_open_port_nearby_is_hinted_at() {
    let (_closed, port) = closed_port().await;
    let open = listener("tcp:0").await;
    // Port 443 is where an HTTP service might be instead; the others are not asked in earnest.
    let at = |port| Place { host: None, port: Some(port) };
    let dialer = Dialer::new()
        .with_connect_to(at(443), at(open.local_url().port()))
        .with_connect_to(at(80), at(port))
        .with_connect_to(at(8080), at(port));
    let error = probe(dialer, &format!("http://127.0.0.1:{port}/")).await.error.unwrap();
    assert_eq!(error.hint(), Some(&format!("port {port} refused; 443 is open")[..]));
}

#[tokio::test]
async fn datagrams_that_are_answered() {
    let any = "udp://127.0.0.1:0".parse::<Url>().unwrap();
    let echo = Datagram::bind(&any.endpoint()).await.unwrap();
    let port = echo.local_endpoint().unwrap().port;
    let answer = async {
        let mut buffer = [0; 100];
        // The first question is not heard.
        echo.receive_from(&mut buffer).await.unwrap();
        let (size, peer) = echo.receive_from(&mut buffer).await.unwrap();
        echo.send_to(&buffer[..size], &peer).await.unwrap();
    };
    let idle = Some(Duration::from_secs(1));
    let prober = Prober::new(Dialer::new()).with_timeouts(Timeouts { idle, ..Timeouts::default() });
    let target = Target::from(format!("udp://127.0.0.1:{port}").parse::<Url>().unwrap());
    let (report, ()) = tokio::join!(prober.probe(&target, None), answer);
    assert!(report.is_ok(), "{:?}", report.error);
    let facts = &report.timings.spans()[2].facts;
    assert_eq!(facts, &[("bytes", 15_u64.into()), ("attempts", 2_u64.into())]);
}

#[tokio::test]
async fn datagrams_that_are_refused_or_not_answered() {
    let any = "udp://127.0.0.1:0".parse::<Url>().unwrap();
    let silent = Datagram::bind(&any.endpoint()).await.unwrap();
    let port = silent.local_endpoint().unwrap().port;
    let url = format!("udp://127.0.0.1:{port}");
    let idle = Some(Duration::from_millis(10));
    let prober = Prober::new(Dialer::new()).with_timeouts(Timeouts { idle, ..Timeouts::default() });
    let target = Target::from(url.parse::<Url>().unwrap());
    let error = prober.probe(&target, None).await.error.unwrap();
    assert_eq!(error.kind(), Kind::Timeout);
    assert!(format!("{error:#}").ends_with("no answer to 3 datagrams"), "{error:#}");
    assert!(error.hint().unwrap().contains("UDP has no handshake"));
    drop(silent);
    let error = probe(Dialer::new(), &url).await.error.unwrap();
    assert_eq!(error.kind(), Kind::Connect, "{error:#}");
}

#[tokio::test]
async fn what_fails_is_tried_again() {
    let (_closed, port) = closed_port().await;
    let mut retry = Retry { count: 2, ..Retry::default() };
    retry.backoff.first = Duration::from_millis(1);
    let prober = Prober::new(Dialer::new()).with_retry(retry);
    let target = Target::from(format!("tcp://127.0.0.1:{port}").parse::<Url>().unwrap());
    let recorder = Arc::new(Recorder::default());
    let report = prober.probe(&target, Some(recorder.clone())).await;
    assert!(!report.is_ok());
    assert_eq!((report.timings.retries(), recorder.timings().retries()), (2, 2));
}

#[tokio::test]
async fn reports_come_in_order_whatever_the_concurrency() {
    let listener = listener("tcp:0").await;
    let targets: Vec<_> = (0..20)
        .map(|number| match number % 3 {
            0 => "unix:/nowhere/a.sock".parse::<Url>().unwrap(),
            _ => listener.local_url(),
        })
        .map(Target::from)
        .collect();
    let prober = Prober::new(Dialer::new());
    for concurrency in [0, 1, 7, 100] {
        let reports = prober.probe_all(&targets, concurrency, |_| None);
        let probed: Vec<_> = reports.map(|report| report.target).collect().await;
        assert_eq!(probed, targets, "{concurrency}");
    }
}

#[tokio::test]
async fn expectations_turn_an_answer_into_a_failure() {
    let listener = listener("tcp:0").await;
    let target = Target::from(listener.local_url());
    for (expected, is_ok) in [("rtt<10s", true), ("rtt>10s", false), ("status=200", true)] {
        let expectations = Expectation::parse_list(expected).unwrap();
        let prober = Prober::new(Dialer::new()).with_expectations(expectations);
        let report = prober.probe(&target, None).await;
        assert_eq!(report.is_ok(), is_ok, "{expected}");
        assert!(report.answer.is_some());
        let kind = report.error.as_ref().map(Error::kind);
        assert_eq!(kind, (!is_ok).then_some(Kind::Unmet));
    }
}

#[tokio::test]
async fn schemes_that_are_not_probed() {
    let url: Url = "smtp://a.test".parse().unwrap();
    assert_eq!(check(&url).unwrap_err().kind(), Kind::Usage);
    let error = probe(Dialer::new(), "smtp://a.test").await.error.unwrap();
    assert_eq!(error.kind(), Kind::Usage);
    let endpoint = Endpoint::unix("/nowhere/a.sock");
    let url = Url::from_endpoint(portolan_core::Scheme::Unix, &endpoint);
    assert!(check(&url).is_ok());
}
