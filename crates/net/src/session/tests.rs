use std::sync::Mutex;

use portolan_core::{Host, Transport};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::*;

async fn bind() -> Datagram {
    let any = Endpoint::tcp(Host::V4(std::net::Ipv4Addr::LOCALHOST), 0);
    Datagram::bind(&any.with_transport(Transport::Udp)).await.unwrap()
}

/// A server that runs until it is told to stop.
struct Running {
    at: Endpoint,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(
        settings: impl FnOnce(Sessions) -> Sessions,
        handler: impl Handler<Session>,
    ) -> Self {
        let socket = bind().await;
        let at = socket.local_endpoint().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            let _ = stopped.await;
        };
        let task = tokio::spawn(serve_datagrams(settings(socket.into()), handler, stopped));
        Self { at, stop: Some(stop), task }
    }

    fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }
}

fn defaults(sessions: Sessions) -> Sessions {
    sessions
}

fn faults(fault: &str) -> Plan {
    Plan::new(vec![fault.parse().unwrap()], 7)
}

async fn echo(session: Session, _cx: Context) -> Result<(), Error> {
    while let Some(datagram) = session.receive().await {
        session.send(&datagram).await?;
    }
    Ok(())
}

/// A client of one server.
struct Client(Datagram, Endpoint);

impl Client {
    async fn of(server: &Running) -> Self {
        Self(bind().await, server.at.clone())
    }

    async fn say(&self, words: &str) {
        self.0.send_to(words.as_bytes(), &self.1).await.unwrap();
    }

    async fn hear(&self) -> String {
        let mut buffer = [0; 100];
        let (size, from) = self.0.receive_from(&mut buffer).await.unwrap();
        assert_eq!(from, self.1);
        String::from_utf8_lossy(&buffer[..size]).into_owned()
    }

    async fn ask(&self, words: &str) -> String {
        self.say(words).await;
        self.hear().await
    }
}

/// What became of the sessions: `+` began, `-` ended, `!` refused; with bytes in and out.
struct Log(mpsc::UnboundedSender<String>);

impl Observer for Log {
    fn observe(&self, _at: Instant, event: &Event) {
        let line = match event {
            Event::Opened { .. } => "+".to_owned(),
            Event::Closed { bytes_in, bytes_out, failure, .. } => {
                let failure = failure.as_ref().map(|why| format!("{why:#}")).unwrap_or_default();
                format!("- {bytes_in} {bytes_out} {failure}").trim_end().to_owned()
            }
            Event::Refused { reason, .. } => format!("! {reason}"),
            _ => return,
        };
        let _ = self.0.send(line);
    }
}

fn log() -> (Arc<Log>, mpsc::UnboundedReceiver<String>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Arc::new(Log(sender)), receiver)
}

#[tokio::test]
async fn each_peer_has_a_session() {
    let count = Arc::new(Mutex::new(0));
    let counter = move |session: Session, _: Context| {
        let number = {
            let mut count = count.lock().unwrap();
            *count += 1;
            *count
        };
        async move {
            while session.receive().await.is_some() {
                session.send(format!("session {number}").as_bytes()).await?;
            }
            Ok(())
        }
    };
    let server = Running::start(defaults, counter).await;
    let (one, other) = (Client::of(&server).await, Client::of(&server).await);
    assert_eq!(one.ask("a").await, "session 1");
    assert_eq!(other.ask("a").await, "session 2");
    assert_eq!(one.ask("b").await, "session 1");
}

#[tokio::test]
async fn unix_datagrams_have_sessions_too() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| {
        Endpoint::unix(directory.path().join(name)).with_transport(Transport::UnixDatagram)
    };
    let socket = Datagram::bind(&at("server")).await.unwrap();
    let (log, mut events) = log();
    let sessions = Sessions::from(socket).with_observer(log);
    let server = tokio::spawn(serve_datagrams(sessions, echo, std::future::pending()));
    let client = Datagram::bind(&at("client")).await.unwrap();
    let long = vec![b'a'; 100_000];
    client.send_to(&long, &at("server")).await.unwrap();
    let mut buffer = vec![0; 200_000];
    assert_eq!(client.receive_from(&mut buffer).await.unwrap(), (100_000, at("server")));
    // Nobody can answer a peer without a name.
    let nameless = std::os::unix::net::UnixDatagram::unbound().unwrap();
    nameless.send_to(b"ahoy", directory.path().join("server")).unwrap();
    assert_eq!(events.recv().await.unwrap(), "+");
    assert_eq!(events.recv().await.unwrap(), "+");
    let ended = events.recv().await.unwrap();
    assert!(ended.starts_with("- 4 0 could not send to"), "{ended}");
    server.abort();
}

#[tokio::test]
async fn a_handler_that_answers_once_answers_every_request() {
    let once = |session: Session, _: Context| async move {
        let Some(request) = session.receive().await else { return Ok(()) };
        session.send(&request).await
    };
    let server = Running::start(defaults, once).await;
    let client = Client::of(&server).await;
    for number in 0..20 {
        client.say(&number.to_string()).await;
    }
    for number in 0..20 {
        assert_eq!(client.hear().await, number.to_string());
    }
}

#[tokio::test]
async fn what_a_handler_does_not_want_is_not_offered_for_ever() {
    let (log, mut events) = log();
    let deaf = |_: Session, _: Context| async { Ok(()) };
    let mut server = Running::start(|it| it.with_observer(log), deaf).await;
    let client = Client::of(&server).await;
    client.say("ahoy").await;
    assert_eq!(events.recv().await.unwrap(), "+");
    assert_eq!(events.recv().await.unwrap(), "- 0 0");
    server.stop();
    server.task.await.unwrap();
    assert_eq!(events.recv().await, None);
}

#[tokio::test]
async fn a_panic_ends_one_session_only() {
    let fragile = |session: Session, _: Context| async move {
        while let Some(request) = session.receive().await {
            assert_ne!(request, b"panic", "as asked");
            session.send(&request).await?;
        }
        Ok(())
    };
    let (log, mut events) = log();
    let server = Running::start(|it| it.with_observer(log), fragile).await;
    let (one, other) = (Client::of(&server).await, Client::of(&server).await);
    assert_eq!(other.ask("a").await, "a");
    one.say("panic").await;
    assert_eq!(other.ask("b").await, "b");
    assert_eq!(one.ask("a").await, "a");
    assert_eq!(events.recv().await.unwrap(), "+");
    assert_eq!(events.recv().await.unwrap(), "+");
    assert_eq!(events.recv().await.unwrap(), "- 5 0 the connection was broken off");
}

#[tokio::test]
async fn idle_sessions_end() {
    let (log, mut events) = log();
    let limit = Duration::from_secs(30);
    let server = Running::start(|it| it.with_observer(log).with_idle(limit), echo).await;
    let client = Client::of(&server).await;
    assert_eq!(client.ask("ahoy").await, "ahoy");
    assert_eq!(events.recv().await.unwrap(), "+");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(20)).await;
    assert_eq!(client.ask("ahoy").await, "ahoy");
    let last = now();
    assert_eq!(events.recv().await.unwrap(), "- 8 8");
    assert_eq!((now() - last).as_secs(), 30);
    assert_eq!(client.ask("a").await, "a");
    assert_eq!(events.recv().await.unwrap(), "+");
}

#[tokio::test]
async fn a_handler_that_goes_on_is_dropped_with_its_session() {
    let (log, mut events) = log();
    let stubborn = |_: Session, _: Context| std::future::pending();
    let server = Running::start(|it| it.with_observer(log), stubborn).await;
    Client::of(&server).await.say("ahoy").await;
    assert_eq!(events.recv().await.unwrap(), "+");
    tokio::time::pause();
    assert_eq!(events.recv().await.unwrap(), "- 0 0");
}

#[tokio::test]
async fn the_least_recently_active_gives_way() {
    let (log, mut events) = log();
    let server = Running::start(|it| it.with_observer(log).with_limit(2), echo).await;
    let (first, second, third) =
        (Client::of(&server).await, Client::of(&server).await, Client::of(&server).await);
    assert_eq!(first.ask("1").await, "1");
    assert_eq!(second.ask("22").await, "22");
    assert_eq!(first.ask("1").await, "1");
    assert_eq!(third.ask("333").await, "333");
    let mut lines = Vec::new();
    while lines.len() < 4 {
        lines.push(events.recv().await.unwrap());
    }
    lines.sort();
    assert_eq!(lines, ["+", "+", "+", "- 2 2"]);
}

#[tokio::test]
async fn many_sources_do_not_grow_the_server() {
    let (log, mut events) = log();
    let silent = |session: Session, _: Context| async move {
        while session.receive().await.is_some() {}
        Ok(())
    };
    let mut server = Running::start(|it| it.with_observer(log).with_limit(10), silent).await;
    let mut open = 0;
    // Kept, so that nobody has the port of a session that is still open.
    let mut clients = Vec::new();
    for _ in 0..500 {
        let client = Client::of(&server).await;
        client.say("ahoy").await;
        clients.push(client);
        while events.recv().await.unwrap() != "+" {
            open -= 1;
        }
        open += 1;
        assert!(open <= 11, "{open}");
    }
    server.stop();
    server.task.await.unwrap();
    while let Some(event) = events.recv().await {
        assert!(event.starts_with('-'));
        open -= 1;
    }
    assert_eq!(open, 0);
}

#[tokio::test]
async fn the_oldest_are_lost_when_a_handler_does_not_keep_up() {
    let (go, gone) = oneshot::channel::<()>();
    let gone = Mutex::new(Some(gone));
    let slow_at_first = move |session: Session, cx: Context| {
        let gone = gone.lock().unwrap().take();
        async move {
            if let Some(gone) = gone {
                let _ = gone.await;
            }
            echo(session, cx).await
        }
    };
    let server = Running::start(defaults, slow_at_first).await;
    let (slow, other) = (Client::of(&server).await, Client::of(&server).await);
    for number in 0..5 {
        let long = format!("{number}{}", "x".repeat(20_000));
        slow.0.send_to(long.as_bytes(), &slow.1).await.unwrap();
    }
    // Whoever comes later is answered, so all of these have been taken in.
    assert_eq!(other.ask("a").await, "a");
    go.send(()).unwrap();
    for number in 2..5 {
        assert!(slow.hear().await.starts_with(&format!("{number}x")));
    }
}

#[tokio::test]
async fn who_is_not_permitted_is_not_heard() {
    let (log, mut events) = log();
    let access = Access { deny: vec!["127.0.0.1".parse().unwrap()], ..Access::default() };
    let server = Running::start(|it| it.with_observer(log).with_access(access), echo).await;
    Client::of(&server).await.say("ahoy").await;
    assert_eq!(events.recv().await.unwrap(), "! not allowed to connect");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_those_who_are_denied_is_told_now_and_then() {
    let (log, mut events) = log();
    let sessions = defaults(Sessions::from(bind().await)).with_observer(log);
    let mut server = Server::new(sessions, echo);
    for _ in 0..3 {
        (0..1000).for_each(|_| server.refuse(Endpoint::unix("/peer")));
        tokio::time::advance(REFUSALS).await;
    }
    let told = std::iter::from_fn(|| events.try_recv().ok()).count();
    assert_eq!(told, 3);
}

#[tokio::test]
async fn faults_strike_each_peer_on_its_own() {
    let plan = faults("conn=2: duplicate=100%");
    let server = Running::start(|it| it.with_faults(plan), echo).await;
    let (one, other) = (Client::of(&server).await, Client::of(&server).await);
    assert_eq!(one.ask("a").await, "a");
    assert_eq!(other.ask("b").await, "b");
    assert_eq!(other.hear().await, "b");
    assert_eq!(one.ask("c").await, "c");
}

#[tokio::test]
async fn what_is_delayed_is_delivered_while_nothing_comes_in() {
    let plan = faults("latency=3s");
    // The session is over long before its answer arrives.
    let once = |session: Session, _: Context| async move {
        let Some(request) = session.receive().await else { return Ok(()) };
        session.send(&request).await
    };
    let server = Running::start(|it| it.with_faults(plan), once).await;
    let client = Client::of(&server).await;
    tokio::time::pause();
    let started = now();
    client.say("a").await;
    client.say("b").await;
    assert_eq!(client.hear().await, "a");
    assert_eq!((now() - started).as_secs(), 3);
    assert_eq!(client.hear().await, "b");
    assert_eq!((now() - started).as_secs(), 3);
}

#[tokio::test]
async fn what_was_overtaken_arrives_too() {
    let plan = faults("reorder=100%");
    let server = Running::start(|it| it.with_faults(plan), echo).await;
    let client = Client::of(&server).await;
    tokio::time::pause();
    assert_eq!(client.ask("a").await, "a");
}

#[tokio::test]
async fn a_shutdown_delivers_what_is_under_way() {
    let (log, mut events) = log();
    let plan = faults("latency=3s");
    let mut server = Running::start(|it| it.with_faults(plan).with_observer(log), echo).await;
    let client = Client::of(&server).await;
    for number in 0..10 {
        client.say(&number.to_string()).await;
    }
    tokio::time::pause();
    server.stop();
    let started = now();
    server.task.await.unwrap();
    assert_eq!((now() - started).as_secs(), 3);
    for number in 0..10 {
        assert_eq!(client.hear().await, number.to_string());
    }
    assert_eq!(events.recv().await.unwrap(), "+");
    assert_eq!(events.recv().await.unwrap(), "- 10 10");
}

#[tokio::test]
async fn a_shutdown_waits_no_longer_than_the_limit() {
    let stubborn = |_: Session, _: Context| std::future::pending();
    let limit = Duration::from_secs(2);
    let mut server = Running::start(|it| it.with_drain(limit), stubborn).await;
    Client::of(&server).await.say("ahoy").await;
    tokio::time::pause();
    server.stop();
    let started = now();
    server.task.await.unwrap();
    assert_eq!((now() - started).as_secs(), 2);
}
