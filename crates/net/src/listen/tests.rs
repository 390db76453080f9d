use std::time::Instant;

use portolan_core::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::*;
use crate::proxy_protocol::ProxyHeader;
use crate::{Connection, Context, Dialer, Recorder, serve};

fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("portolan-listen-{name}-{}", std::process::id()))
}

async fn echo(connection: Connection, cx: Context) -> Result<(), Error> {
    let (mut reader, mut writer) = tokio::io::split(connection.stream);
    tokio::select! {
        _ = tokio::io::copy(&mut reader, &mut writer) => {}
        () = cx.stopping() => {}
    }
    Ok(())
}

async fn bind(url: &str) -> Listener {
    Listener::bind(&url.parse().unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_port_of_zero_becomes_the_port_that_was_taken() {
    let listener = bind("http://localhost:0").await;
    let url = listener.local_url().to_string();
    assert!(url.starts_with("http://") && !url.contains(":0"), "{url}");
}

#[tokio::test]
async fn a_used_port_is_told_from_a_missing_directory() {
    let first = bind("tcp:0").await;
    let used = Listener::bind(&first.local_url()).await.unwrap_err();
    assert_eq!(used.kind(), Kind::Connect);
    assert!(format!("{used:#}").ends_with("address already in use"), "{used:#}");
    let missing = Listener::bind(&"unix:/nowhere/at/all".parse().unwrap()).await.unwrap_err();
    assert_eq!(missing.kind(), Kind::Write);
}

#[tokio::test]
async fn a_path_that_cannot_be_a_socket_is_told_why() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    for (path, hint) in [
        (file.clone(), "no socket"),
        (file.join("socket"), "directory is a file"),
        (directory.path().join("x".repeat(108)), "107 bytes"),
        (directory.path().join("none/socket"), "make it first"),
    ] {
        let error = Bound::new(&Endpoint::unix(path)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Write, "{error:#}");
        assert!(error.hint().is_some_and(|it| it.contains(hint)), "{:?}", error.hint());
    }
    // A file that is no socket stays.
    assert!(file.exists());
}

#[tokio::test]
async fn a_socket_file_is_removed_and_a_stale_one_replaced() {
    let path = temporary("stale");
    let url: Url = format!("unix:{}", path.display()).parse().unwrap();
    // Dropping the standard listener leaves its file behind, as a killed process would.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let listener = Listener::bind(&url).await.unwrap();
    let taken = Listener::bind(&url).await.unwrap_err();
    assert_eq!(taken.kind(), Kind::Connect);
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn the_limit_holds_the_next_connection_back() {
    let listener = bind("tcp:0").await.with_limit(1);
    let endpoint = listener.local_url().endpoint();
    let cx = Context::new(Timeouts::default());
    let _first = Dialer::new().dial(&endpoint, &cx).await.unwrap();
    let _second = Dialer::new().dial(&endpoint, &cx).await.unwrap();
    let held = listener.accept().await;
    assert!(futures_util::FutureExt::now_or_never(listener.accept()).is_none());
    drop(held);
    listener.accept().await;
}

#[tokio::test]
async fn shutdown_drains_and_reports() {
    struct Closes(std::sync::Mutex<Vec<(u64, u64)>>);
    impl Observer for Closes {
        fn observe(&self, _at: std::time::Instant, event: &Event) {
            if let Event::Closed { bytes_in, bytes_out, .. } = event {
                self.0.lock().unwrap().push((*bytes_in, *bytes_out));
            }
        }
    }
    let closes = Arc::new(Closes(Default::default()));
    let listener = bind("tcp:0").await.with_observer(closes.clone());
    let endpoint = listener.local_url().endpoint();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, echo, async {
        let _ = stopped.await;
    }));
    let cx = Context::new(Timeouts::default());
    let mut connection = Dialer::new().dial(&endpoint, &cx).await.unwrap();
    connection.stream.write_all(b"ahoy").await.unwrap();
    let mut answer = [0; 4];
    connection.stream.read_exact(&mut answer).await.unwrap();
    stop.send(()).unwrap();
    server.await.unwrap();
    assert_eq!(*closes.0.lock().unwrap(), [(4, 4)]);
    assert_eq!(connection.stream.read(&mut answer).await.unwrap(), 0);
    let refused = Dialer::new().dial(&endpoint, &cx).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Connect);
}

#[tokio::test]
async fn timings_of_a_dial_follow_its_events() {
    let listener = bind("tcp:0").await;
    let recorder = Arc::new(Recorder::default());
    let cx = Context::new(Timeouts::default()).with_observer(recorder.clone());
    let connection = Dialer::new().dial(&listener.local_url().endpoint(), &cx).await.unwrap();
    let names: Vec<_> = connection.info.timings.spans().iter().map(|s| s.phase.name()).collect();
    assert_eq!(names, ["resolve", "connect"]);
    assert_eq!(connection.info.timings, recorder.timings());
}

/// Tells a test of what a listener's observers see.
struct Told(UnboundedSender<Event>);

impl Observer for Told {
    fn observe(&self, _at: Instant, event: &Event) {
        let _ = self.0.send(event.clone());
    }
}

/// Events, as they come.
struct Events(UnboundedReceiver<Event>);

impl Events {
    fn of(listener: Listener) -> (Listener, Self) {
        let (sender, receiver) = unbounded_channel();
        (listener.with_observer(Arc::new(Told(sender))), Self(receiver))
    }

    /// The next one that is about a whole connection.
    async fn next(&mut self) -> Event {
        loop {
            match self.0.recv().await.unwrap() {
                Event::Started(_) | Event::Finished(..) | Event::Fact(..) => {}
                event => return event,
            }
        }
    }

    async fn refusal(&mut self) -> Refusal {
        match self.next().await {
            Event::Refused { reason, .. } => reason,
            event => panic!("{event:?}"),
        }
    }

    /// Why the next connection that ends does.
    async fn failure(&mut self) -> String {
        loop {
            if let Event::Closed { failure, .. } = self.next().await {
                return failure.map(|why| format!("{why:#}")).unwrap_or_default();
            }
        }
    }
}

async fn dial(listener: &Listener) -> Stream {
    dial_url(&listener.local_url()).await
}

async fn dial_url(url: &Url) -> Stream {
    let cx = Context::new(Timeouts::default());
    let endpoint = url.endpoint().with_transport(match url.endpoint().transport {
        Transport::Tls => Transport::Tcp,
        other => other,
    });
    Dialer::new().dial(&endpoint, &cx).await.unwrap().stream
}

fn start(listener: Listener) -> tokio::task::JoinHandle<()> {
    tokio::spawn(serve(listener, echo, std::future::pending()))
}

async fn answered(stream: &mut Stream) -> bool {
    stream.write_all(b"ahoy").await.unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.is_ok_and(|_| answer == *b"ahoy")
}

#[tokio::test]
async fn whoever_is_too_many_is_sent_away_politely() {
    let (listener, mut events) = Events::of(bind("tcp:0").await.with_max_connections(1));
    let url = listener.local_url();
    let _server = start(listener);
    let mut first = dial_url(&url).await;
    assert!(answered(&mut first).await);
    assert!(matches!(events.next().await, Event::Opened { .. }));
    let mut second = dial_url(&url).await;
    // More than the first read takes: bytes left unread would make the system reset it.
    second.write_all(&[0; 10_000]).await.unwrap();
    assert_eq!(second.read(&mut [0; 1]).await.unwrap(), 0);
    second.write_all(b"still").await.unwrap();
    assert_eq!(events.refusal().await, Refusal::Full);
    drop(first);
    assert_eq!(events.failure().await, "");
    let mut third = dial_url(&url).await;
    assert!(answered(&mut third).await);
}

#[tokio::test]
async fn who_is_not_permitted_is_sent_away() {
    let deny = Access { deny: vec!["127.0.0.0/8".parse().unwrap()], ..Access::default() };
    let (listener, mut events) = Events::of(bind("tcp:0").await.with_access(deny));
    let url = listener.local_url();
    let _server = start(listener);
    let mut stream = dial_url(&url).await;
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    assert_eq!(events.refusal().await, Refusal::Denied);
}

#[tokio::test]
async fn whoever_is_refused_is_not_waited_for_for_ever() {
    let listener = bind("tcp:0").await.with_max_connections(0);
    let endpoint = listener.local_url().endpoint();
    let cx = Context::new(Timeouts::default());
    let _silent = Dialer::new().dial(&endpoint, &cx).await.unwrap();
    let incoming = listener.accept().await;
    tokio::time::pause();
    let started = now();
    assert!(incoming.establish(&cx).await.unwrap().is_none());
    assert_eq!((now() - started).as_secs(), 1);
}

#[tokio::test]
async fn a_proxy_says_who_the_peer_is() {
    let client: SocketAddr = "192.0.2.1:5000".parse().unwrap();
    let header =
        ProxyHeader::new(&client.into(), &"192.0.2.2:80".parse::<SocketAddr>().unwrap().into());
    for wire in [header.v1(), header.v2()] {
        let (listener, mut events) = Events::of(bind("tcp:0").await.with_proxy_protocol());
        let url = listener.local_url();
        let facts = |connection: Connection, _: Context| async move {
            let Connection { mut stream, info, .. } = connection;
            let via = info.via.unwrap();
            stream.write_all(format!("{} via {via}", info.peer).as_bytes()).await.unwrap();
            Ok(())
        };
        let server = tokio::spawn(serve(listener, facts, std::future::pending()));
        let mut stream = dial_url(&url).await;
        stream.write_all(&wire).await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert!(said.starts_with("192.0.2.1:5000 via 127.0.0.1:"), "{said}");
        let Event::Opened { peer, via: Some(via) } = events.next().await else { panic!() };
        assert_eq!(format!("{peer} via {via}"), said);
        let Event::Closed { peer, via: Some(via), .. } = events.next().await else { panic!() };
        assert_eq!(format!("{peer} via {via}"), said);
        server.abort();
    }
}

#[tokio::test]
async fn behind_a_proxy_the_real_client_is_permitted_or_not() {
    let access = Access { allow: vec!["192.0.2.0/24".parse().unwrap()], deny: vec![] };
    let listener = bind("tcp:0").await.with_proxy_protocol().with_access(access);
    let (listener, mut events) = Events::of(listener.with_max_connections(1));
    let url = listener.local_url();
    let _server = start(listener);
    let mut denied = dial_url(&url).await;
    denied.write_all(b"PROXY TCP4 198.51.100.1 192.0.2.2 1 2\r\nahoy").await.unwrap();
    assert_eq!(denied.read(&mut [0; 1]).await.unwrap(), 0);
    let Event::Refused { peer, reason } = events.next().await else { panic!() };
    assert_eq!((peer.to_string(), reason), ("198.51.100.1:1".to_owned(), Refusal::Denied));
    let mut permitted = dial_url(&url).await;
    permitted.write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n").await.unwrap();
    assert!(answered(&mut permitted).await);
    // A proxy that speaks for itself counts as who it is.
    drop(permitted);
    events.failure().await;
    let mut itself = dial_url(&url).await;
    itself.write_all(&ProxyHeader::local().v2()).await.unwrap();
    assert_eq!(itself.read(&mut [0; 1]).await.unwrap(), 0);
    assert_eq!(events.refusal().await, Refusal::Denied);
}

#[tokio::test]
async fn a_connection_without_the_header_ends() {
    let (listener, mut events) = Events::of(bind("tcp:0").await.with_proxy_protocol());
    let url = listener.local_url();
    let _server = start(listener);
    let mut stream = dial_url(&url).await;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(!matches!(stream.read(&mut [0; 1]).await, Ok(1..)));
    assert_eq!(
        events.failure().await,
        "could not read the PROXY header: the connection does not begin with a PROXY header"
    );
}

#[tokio::test]
async fn silence_holds_a_place_no_longer_than_connecting_may_take() {
    let timeouts = Timeouts { connect: Some(Duration::from_secs(3)), ..Timeouts::default() };
    let key = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    let (cert, key) = (key.cert.pem(), key.signing_key.serialize_pem());
    let identity = tls::Identity::from_pem(cert.as_bytes(), key.as_bytes()).unwrap();
    let plain = async || bind("tcp:0").await.with_timeouts(timeouts).with_max_connections(1);
    let tls = || tls::Server::new(identity.clone());
    for listener in [
        plain().await.with_proxy_protocol(),
        plain().await.with_tls(tls()),
        plain().await.with_proxy_protocol().with_tls(tls()),
    ] {
        let (listener, mut events) = Events::of(listener);
        let stream = dial(&listener).await;
        let waiting = listener.settings.proxy_protocol;
        let url = listener.local_url();
        let server = start(listener);
        tokio::time::pause();
        let started = now();
        let failure = events.failure().await;
        let what = if waiting { "read the PROXY header of" } else { "set up TLS with" };
        assert!(failure.starts_with(&format!("could not {what} 127.0.0.1:")), "{failure}");
        assert!(failure.ends_with(": timed out after 3.00 s"), "{failure}");
        assert_eq!((now() - started).as_secs(), 3);
        tokio::time::resume();
        drop(stream);
        let _next = dial_url(&url).await;
        // It has got the place: it is not refused.
        if !waiting {
            assert!(matches!(events.next().await, Event::Opened { .. }));
        }
        server.abort();
    }
}

#[tokio::test]
async fn several_listeners_share_an_address_and_a_limit() {
    let listener = bind("tcp:0").await.with_max_connections(20);
    let url = listener.local_url();
    let shares = listener.share(2).unwrap();
    let taken = Listener::bind(&url).await.unwrap_err();
    assert_eq!(taken.kind(), Kind::Connect);
    let listeners: Vec<_> = shares.into_iter().map(|share| share.listen().unwrap()).collect();
    assert!(listeners.iter().all(|listener| listener.local_url() == url));
    let mut clients = Vec::new();
    let mut accepted = [0; 2];
    let mut held = Vec::new();
    for _ in 0..20 {
        clients.push(dial_url(&url).await);
        let (which, incoming) = tokio::select! {
            incoming = listeners[0].accept() => (0, incoming),
            incoming = listeners[1].accept() => (1, incoming),
        };
        accepted[which] += 1;
        assert_eq!(incoming.refusal, None);
        held.push(incoming);
    }
    // The system spreads them by a hash: that one gets all of 20 is one chance in half a million.
    assert!(accepted.iter().all(|count| *count > 0), "{accepted:?}");
    clients.push(dial_url(&url).await);
    let next = tokio::select! {
        incoming = listeners[0].accept() => incoming,
        incoming = listeners[1].accept() => incoming,
    };
    assert_eq!(next.refusal, Some(Refusal::Full));
}

#[test]
fn a_listener_moves_to_another_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let path = temporary("share");
    let url: Url = format!("unix:{}", path.display()).parse().unwrap();
    let share = runtime().block_on(async {
        let listener = Listener::bind(&url).await.unwrap();
        listener.share(1).unwrap().remove(0)
    });
    runtime().block_on(async {
        let listener = share.listen().unwrap();
        let _client = dial(&listener).await;
        listener.accept().await;
        let error = listener.share(2).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
    });
    assert!(!path.exists());
}
