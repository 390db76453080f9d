//! Every server of the lab does what the table in the reference says, and the lab stops as it
//! should.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portolan_core::{Error, Event, Kind, Timeouts, Url};
use portolan_http::Client;
use portolan_lab::{Builder, Lab, Ports};
use portolan_net::fault::Plan;
use portolan_net::proxy::Proxies;
use portolan_net::tls::Tls;
use portolan_net::{Context, Datagram, Dialer, Observer, now};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn context() -> Context {
    Context::new(Timeouts::default())
}

fn only(names: &[&str]) -> Builder {
    Lab::builder().only(names.iter().copied())
}

fn with_fault(names: &[&str], fault: &str) -> Builder {
    only(names).faults(Plan::new(vec![fault.parse().unwrap()], 0))
}

/// What comes back from an echo server, after TLS where the scheme has it.
async fn echo(dialer: &Dialer, url: &Url) -> Result<String, Error> {
    let lost = |error: std::io::Error| Error::new(Kind::Lost, "no echo").with_source(error);
    let mut stream = dialer.dial_url(url, &context()).await?.stream;
    stream.write_all(b"ahoy").await.map_err(lost)?;
    stream.shutdown().await.map_err(lost)?;
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await.map_err(lost)?;
    Ok(heard)
}

/// The status and the body that a GET of this path gets.
async fn get(dialer: &Dialer, url: &Url, path: &str) -> Result<(u16, String), Error> {
    let cx = context();
    let url = url.clone().with_path(path).unwrap();
    let mut response = Client::connect(dialer, &url, &cx).await?.get(&cx).await?;
    let body = response.receive(1 << 20, &cx).await?;
    Ok((response.status().as_u16(), String::from_utf8_lossy(&body.bytes).into_owned()))
}

#[tokio::test]
async fn it_starts_at_once() {
    let started = now();
    let lab = Lab::builder().start().await.unwrap();
    let elapsed = now() - started;
    println!("started in {elapsed:?}");
    // A release build takes less than 150 ms; this leaves room for busy machines.
    assert!(elapsed < Duration::from_secs(8), "{elapsed:?}");
    let names: Vec<_> = lab.servers().iter().map(|server| server.name).collect();
    assert_eq!(names, Lab::names());
}

#[tokio::test]
async fn streams_are_echoed() {
    let lab = only(&["tcp", "unix", "tls"]).start().await.unwrap();
    let tls = Tls::new().with_ca([lab.ca_der()]).unwrap();
    let dialer = Dialer::new().with_tls(tls);
    for name in ["tcp", "unix", "tls"] {
        assert_eq!(echo(&dialer, lab.url(name).unwrap()).await.unwrap(), "ahoy", "{name}");
    }
    // Nobody else trusts the lab's authority.
    let error = echo(&Dialer::new(), lab.url("tls").unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Untrusted);
}

#[tokio::test]
async fn http_has_the_routes_of_its_index() {
    let lab = only(&["http", "https"]).start().await.unwrap();
    let tls = Tls::new().with_ca([lab.ca_der()]).unwrap();
    let dialer = Dialer::new().with_tls(tls);
    for name in ["http", "https"] {
        let url = lab.url(name).unwrap();
        let get = async |path: &str| get(&dialer, url, path).await.unwrap();
        let (_, index) = get("/").await;
        for path in ["/get", "/status/{code}", "/delay/{seconds}", "/bytes/{count}"] {
            assert!(index.contains(path), "{index}");
        }
        let (status, body) = get("/get?a=b").await;
        assert_eq!(status, 200);
        let told: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(told["url"], url.clone().with_path("/get?a=b").unwrap().to_string());
        assert_eq!(told["origin"], "127.0.0.1");
        // HTTP/2 has no such header, but is told it all the same.
        assert_eq!(told["headers"]["Host"], format!("127.0.0.1:{}", url.port()));
        assert_eq!(get("/status/404").await.0, 404);
        assert_eq!(get("/status/42").await.0, 400);
        assert_eq!(get("/delay/0.001").await.0, 200);
        assert_eq!(get("/delay/-1").await.0, 400);
        assert_eq!(get("/bytes/0").await.1, "");
        assert_eq!(get("/nowhere").await.0, 404);
    }
}

#[tokio::test]
async fn bytes_are_at_most_100_kib_and_always_the_same() {
    let lab = only(&["http"]).start().await.unwrap();
    let cx = context();
    for (asked, given) in [(300, 300), (1 << 30, 100 * 1024)] {
        let url = lab.url("http").unwrap().clone().with_path(&format!("/bytes/{asked}")).unwrap();
        let mut client = Client::connect(&Dialer::new(), &url, &cx).await.unwrap();
        let body = client.get(&cx).await.unwrap().receive(1 << 20, &cx).await.unwrap().bytes;
        assert_eq!(body.len(), given);
        assert!(body.iter().zip((0..=255_u8).cycle()).all(|(found, wanted)| *found == wanted));
    }
}

#[tokio::test]
async fn proxies_forward_to_loopback_only() {
    let lab = only(&["tcp", "http", "socks5", "http-proxy"]).start().await.unwrap();
    let cx = context();
    for name in ["socks5", "http-proxy"] {
        let proxies = Proxies::all(lab.url(name).unwrap().clone()).unwrap();
        let dialer = Dialer::new().with_proxies(proxies);
        assert_eq!(echo(&dialer, lab.url("tcp").unwrap()).await.unwrap(), "ahoy", "{name}");
        assert_eq!(get(&dialer, lab.url("http").unwrap(), "/get").await.unwrap().0, 200);
        let outside = "tcp://192.0.2.1:80".parse().unwrap();
        let error = dialer.dial_url(&outside, &cx).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Denied, "{name}: {error:#}");
        assert!(error.hint().is_some());
    }
    let proxies = Proxies::all(lab.url("http-proxy").unwrap().clone()).unwrap();
    let dialer = Dialer::new().with_proxies(proxies);
    let outside = "http://192.0.2.1/".parse().unwrap();
    let (status, body) = get(&dialer, &outside, "/").await.unwrap();
    assert_eq!((status, &body[..]), (403, "this proxy forwards to loopback only\n"));
    // Without a proxy's form of request there is nothing to forward.
    assert_eq!(get(&Dialer::new(), lab.url("http-proxy").unwrap(), "/").await.unwrap().0, 400);
}

/// The answers to numbered datagrams: `expected` ones, and those that come soon after.
async fn datagrams(lab: &Lab, count: u8, expected: usize) -> Vec<u8> {
    let any = "udp://127.0.0.1:0".parse::<Url>().unwrap();
    let socket = Datagram::bind(&any.endpoint()).await.unwrap();
    let peer = lab.url("udp").unwrap().endpoint();
    let mut heard = Vec::new();
    let mut buffer = [0; 10];
    for number in 0..count {
        socket.send_to(&[number], &peer).await.unwrap();
    }
    loop {
        let is_all = heard.len() >= expected;
        let patience = Duration::from_millis(if is_all { 200 } else { 20_000 });
        let patience = context().limited(Some(patience));
        match patience.until_deadline(socket.receive_from(&mut buffer)).await {
            Some(received) => heard.extend_from_slice(&buffer[..received.unwrap().0]),
            None => return heard,
        }
    }
}

#[tokio::test]
async fn datagrams_are_echoed_lost_and_duplicated() {
    let all: Vec<u8> = (0..20).collect();
    let lab = only(&["udp"]).start().await.unwrap();
    assert_eq!(datagrams(&lab, 20, 20).await, all);
    let lab = with_fault(&["udp"], "udp: loss=50%").start().await.unwrap();
    let some = datagrams(&lab, 20, 1).await;
    assert!((1..20).contains(&some.len()), "{some:?}");
    let lab = with_fault(&["udp"], "udp: duplicate=100%").start().await.unwrap();
    assert_eq!(datagrams(&lab, 20, 40).await.len(), 40);
    let lab = with_fault(&["udp"], "loss=100%").start().await.unwrap();
    assert_eq!(datagrams(&lab, 2, 0).await, b"");
}

#[tokio::test]
async fn faults_strike_only_whom_they_name() {
    let lab = with_fault(&["tcp", "unix", "http"], "tcp: refuse").start().await.unwrap();
    let dialer = Dialer::new();
    let error = echo(&dialer, lab.url("tcp").unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Connect);
    assert_eq!(echo(&dialer, lab.url("unix").unwrap()).await.unwrap(), "ahoy");
    let lab = with_fault(&["http"], "GET /get: reply=418 no tea").start().await.unwrap();
    let url = lab.url("http").unwrap();
    assert_eq!(get(&dialer, url, "/get").await.unwrap(), (418, "no tea".to_owned()));
    assert_eq!(get(&dialer, url, "/").await.unwrap().0, 200);
}

#[tokio::test]
async fn labs_stand_side_by_side() {
    let (one, other) = tokio::try_join!(Lab::builder().start(), Lab::builder().start()).unwrap();
    for (server, twin) in one.servers().iter().zip(other.servers()) {
        assert_ne!(server.url, twin.url);
    }
    drop(one);
    assert_eq!(echo(&Dialer::new(), other.url("unix").unwrap()).await.unwrap(), "ahoy");
}

/// What has befallen the connections of a server.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Observer for Log {
    fn observe(&self, _at: Instant, event: &Event) {
        let line = match event {
            Event::Opened { .. } => "opened".to_owned(),
            Event::Closed { bytes_in, bytes_out, .. } => format!("closed {bytes_in} {bytes_out}"),
            _ => return,
        };
        self.0.lock().unwrap().push(line);
    }
}

#[tokio::test]
async fn connections_are_observed() {
    let log = Arc::new(Log::default());
    let observer = log.clone();
    let observe = move |name| {
        assert_eq!(name, "tcp");
        observer.clone() as Arc<dyn Observer>
    };
    let lab = only(&["tcp"]).observe_with(observe).start().await.unwrap();
    echo(&Dialer::new(), lab.url("tcp").unwrap()).await.unwrap();
    lab.stop().await;
    assert_eq!(*log.0.lock().unwrap(), ["opened", "closed 4 4"]);
}

#[tokio::test]
async fn peers_of_datagrams_are_observed_and_have_faults_of_their_own() {
    let log = Arc::new(Log::default());
    let observer = log.clone();
    let lab = with_fault(&["udp"], "conn=2: loss=100%")
        .observe_with(move |_| observer.clone() as Arc<dyn Observer>)
        .start()
        .await
        .unwrap();
    assert_eq!(datagrams(&lab, 3, 3).await, [0, 1, 2]);
    assert_eq!(datagrams(&lab, 3, 0).await, b"");
    assert_eq!(datagrams(&lab, 1, 1).await, [0]);
    lab.stop().await;
    let mut log = log.0.lock().unwrap().clone();
    log.sort();
    let closed = ["closed 1 1", "closed 3 0", "closed 3 3"];
    assert_eq!(log[..3], closed);
    assert_eq!(log[3..], ["opened"; 3]);
}

/// Stops a lab that is at work; the servers that can be reached all the same.
async fn left_of_a_stopped_lab() -> Vec<&'static str> {
    let lab = Lab::builder().start().await.unwrap();
    let servers = lab.servers().to_vec();
    let held = Dialer::new().dial_url(lab.url("tcp").unwrap(), &context()).await.unwrap();
    let mut held = held.stream;
    held.write_all(b"a").await.unwrap();
    assert_eq!(held.read(&mut [0; 1]).await.unwrap(), 1);
    lab.stop().await;
    assert_eq!(held.read(&mut [0; 1]).await.unwrap(), 0);
    let mut left = Vec::new();
    for server in servers.iter().filter(|server| server.name != "udp") {
        match Dialer::new().dial(&server.url.endpoint(), &context()).await {
            Ok(_) => left.push(server.name),
            Err(error) => assert_eq!(error.kind(), Kind::Connect, "{}", server.name),
        }
        if let portolan_core::Host::Path(path) = server.url.host() {
            assert!(!path.exists(), "{}", path.display());
        }
    }
    left
}

#[tokio::test]
async fn it_is_down_when_it_has_stopped() {
    let left = left_of_a_stopped_lab().await;
    // Somebody else may have got a port that is free again, but not each time.
    assert!(left.is_empty() || left_of_a_stopped_lab().await.is_empty(), "{left:?}");
}

#[tokio::test]
async fn it_stops_when_it_is_dropped() {
    let lab = only(&["tcp", "unix"]).start().await.unwrap();
    let urls: Vec<_> = lab.servers().iter().map(|server| server.url.clone()).collect();
    drop(lab);
    for url in urls {
        while Dialer::new().dial_url(&url, &context()).await.is_ok() {}
    }
}

#[tokio::test]
async fn ports_count_from_a_base() {
    let mut tries = 1..=5;
    let (lab, port) = loop {
        // Ports of the system's choice show where there is room, if nobody takes it meanwhile.
        let free = only(&["tcp"]).start().await.unwrap();
        let port = free.url("tcp").unwrap().port();
        free.stop().await;
        match only(&["tcp", "udp"]).ports(Ports::Base(port - 1)).start().await {
            Ok(lab) => break (lab, port),
            Err(error) if error.kind() == Kind::Connect && tries.next().is_some() => {}
            Err(error) => panic!("{error:#}"),
        }
    };
    assert_eq!(lab.url("tcp").unwrap().port(), port);
    assert_eq!(lab.url("udp").unwrap().port(), port);
    let taken = only(&["unix", "tcp"]).ports(Ports::Base(port - 1)).start().await.unwrap_err();
    assert_eq!(taken.kind(), Kind::Connect);
}

#[tokio::test]
async fn what_it_does_not_have() {
    let unknown = only(&["tcp", "gopher"]).start().await.unwrap_err();
    assert_eq!(unknown.kind(), Kind::Usage);
    assert!(unknown.to_string().contains("'gopher'"), "{unknown}");
    for fault in ["gopher: reset", "udp: reset", "tcp: loss=5%", "tcp RCPT: reply=421"] {
        let error = with_fault(&["tcp", "http"], fault).start().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Usage, "{fault}");
        let named = error.to_string();
        assert!(named.contains(fault) || named.contains("'gopher'"), "{named}");
    }
}
