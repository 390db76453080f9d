//! Servers on threads, and clients that know nothing of them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use portolan_core::{Error, Event, Kind, Timeouts, Url};

use super::{Connection, bind, dial, serve};
use crate::fault::Plan;
use crate::{Context, Dialer, Listener, Observer, now, tls};

/// A server that runs until this is stopped or dropped.
struct Server {
    url: Url,
    stop: Sender<()>,
    thread: JoinHandle<Result<(), Error>>,
}

impl Server {
    fn start(listener: Listener, handler: impl super::Handler) -> Self {
        let url = listener.local_url();
        let (stop, stopped) = channel();
        let shutdown = move || stopped.recv().unwrap_or_default();
        let thread = thread::spawn(move || serve(listener, handler, shutdown));
        Self { url, stop, thread }
    }

    fn connect(&self) -> TcpStream {
        let endpoint = self.url.endpoint();
        TcpStream::connect((endpoint.host.ip().unwrap(), endpoint.port)).unwrap()
    }

    fn stop(self) {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap().unwrap();
    }
}

fn any_port() -> Listener {
    bind(&"tcp:127.0.0.1:0".parse().unwrap()).unwrap()
}

fn echo(connection: Connection, _cx: Context) -> io::Result<()> {
    super::echo(connection.stream).map(drop)
}

/// Keeps what was observed.
struct Seen(Mutex<Sender<Event>>);

impl Seen {
    fn channel() -> (Arc<Self>, Receiver<Event>) {
        let (sender, receiver) = channel();
        (Arc::new(Self(Mutex::new(sender))), receiver)
    }
}

impl Observer for Seen {
    fn observe(&self, _at: Instant, event: &Event) {
        let _ = self.0.lock().unwrap().send(event.clone());
    }
}

/// The failure with which the next connection is closed, and the bytes that it carried.
fn closed(events: &Receiver<Event>) -> (Option<String>, u64, u64) {
    loop {
        if let Event::Closed { bytes_in, bytes_out, failure, .. } = events.recv().unwrap() {
            return (failure.map(|why| format!("{why:#}")), bytes_in, bytes_out);
        }
    }
}

fn certified() -> (tls::Server, Dialer) {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (chain, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let identity = tls::Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    let client = tls::Tls::new().with_ca([certified.cert.der().to_vec()]).unwrap();
    (tls::Server::new(identity), Dialer::new().with_tls(client))
}

#[test]
fn what_is_sent_comes_back_and_is_counted() {
    let (seen, events) = Seen::channel();
    let server = Server::start(any_port().with_observer(seen), echo);
    let mut client = server.connect();
    let said = vec![7; 100_000];
    let mut reader = client.try_clone().unwrap();
    let heard = thread::spawn(move || {
        let mut heard = Vec::new();
        reader.read_to_end(&mut heard).map(|_| heard)
    });
    client.write_all(&said).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(heard.join().unwrap().unwrap(), said);
    assert_eq!(closed(&events), (None, 100_000, 100_000));
    server.stop();
}

#[test]
fn a_half_close_is_seen_and_answered() {
    let handler = |mut connection: Connection, _cx: Context| {
        let mut said = String::new();
        connection.stream.read_to_string(&mut said)?;
        write!(connection.stream, "heard {said}")
    };
    let server = Server::start(any_port(), handler);
    let cx = Context::new(Timeouts::default());
    let mut client = dial(&Dialer::new(), &server.url, &cx).unwrap();
    client.stream.write_all(b"ahoy").unwrap();
    client.stream.shutdown().unwrap();
    assert_eq!(io::read_to_string(client.stream).unwrap(), "heard ahoy");
    server.stop();
}

#[test]
fn tls_is_spoken_from_both_ends() {
    let (server, dialer) = certified();
    let (seen, events) = Seen::channel();
    let listener = any_port().with_tls(server).with_observer(seen);
    let server = Server::start(listener, echo);
    let cx = Context::new(Timeouts::default());
    let url: Url = format!("tls://localhost:{}", server.url.endpoint().port).parse().unwrap();
    let mut client = dial(&dialer, &url, &cx).unwrap();
    assert!(client.info.tls.is_some());
    assert_eq!(client.stream.try_clone().unwrap_err().kind(), io::ErrorKind::Unsupported);
    client.stream.write_all(b"ahoy").unwrap();
    client.stream.shutdown().unwrap();
    assert_eq!(io::read_to_string(client.stream).unwrap(), "ahoy");
    let (failure, bytes_in, bytes_out) = closed(&events);
    assert_eq!(failure, None);
    assert!(bytes_in > 200 && bytes_out > 500, "{bytes_in} and {bytes_out} with the handshake");
    server.stop();
}

#[test]
fn unix_sockets_are_served_by_two_threads_of_one_connection() {
    let name = format!("portolan-blocking-{}", std::process::id());
    let listener = bind(&format!("unix:@{name}").parse().unwrap()).unwrap();
    let handler = |connection: Connection, _cx: Context| {
        let mut writer = connection.stream;
        let reader = BufReader::new(writer.try_clone()?);
        let (sender, receiver) = channel();
        let reading = thread::spawn(move || {
            reader.lines().try_for_each(|line| line.map(|line| sender.send(line).unwrap_or(())))
        });
        for line in receiver {
            writeln!(writer, "{line}!")?;
        }
        reading.join().unwrap()
    };
    let server = Server::start(listener, handler);
    let address = SocketAddr::from_abstract_name(name).unwrap();
    let mut client = UnixStream::connect_addr(&address).unwrap();
    client.write_all(b"land\nahoy\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(io::read_to_string(client).unwrap(), "land!\nahoy!\n");
    server.stop();
}

#[test]
fn silence_beyond_the_limit_is_an_error_that_says_so() {
    let (seen, events) = Seen::channel();
    let idle = Some(Duration::from_millis(50));
    let timeouts = Timeouts { idle, ..Timeouts::default() };
    let listener = any_port().with_timeouts(timeouts).with_observer(seen);
    let server = Server::start(listener, echo);
    let client = server.connect();
    let failure = closed(&events).0.unwrap();
    assert_eq!(failure, "the connection was idle for too long: nothing passed for 50 ms");
    drop(client);
    server.stop();
}

#[test]
fn a_shutdown_wakes_who_reads_after_what_has_arrived() {
    let (heard, hears) = channel();
    let handler = move |connection: Connection, cx: Context| {
        let mut reader = BufReader::with_capacity(1, connection.stream);
        let mut line = String::new();
        while reader.read_line(&mut line)? > 0 {
            heard.send(std::mem::take(&mut line)).unwrap();
        }
        assert!(cx.is_stopping());
        reader.into_inner().write_all(b"farewell")
    };
    let server = Server::start(any_port(), handler);
    let mut client = server.connect();
    client.write_all(b"ahoy\n").unwrap();
    assert_eq!(hears.recv().unwrap(), "ahoy\n");
    server.stop();
    assert_eq!(io::read_to_string(client).unwrap(), "farewell");
}

#[test]
fn a_shutdown_ends_tls_in_an_orderly_way() {
    let (server, dialer) = certified();
    let (seen, events) = Seen::channel();
    let server = Server::start(any_port().with_tls(server).with_observer(seen), echo);
    let cx = Context::new(Timeouts::default());
    let url: Url = format!("tls://localhost:{}", server.url.endpoint().port).parse().unwrap();
    let mut client = dial(&dialer, &url, &cx).unwrap();
    client.stream.write_all(b"ahoy").unwrap();
    client.stream.read_exact(&mut [0; 4]).unwrap();
    server.stop();
    assert_eq!(client.stream.read(&mut [0; 4]).unwrap(), 0);
    assert_eq!(closed(&events).0, None);
}

#[test]
fn a_handler_that_goes_on_is_not_waited_for_beyond_the_limit() {
    let (ready, is_ready) = channel();
    let (ended, end) = channel();
    let handler = move |mut connection: Connection, _cx: Context| {
        ready.send(()).unwrap();
        // The peer reads nothing, so this ends only when somebody else ends it.
        let result = loop {
            if let Err(error) = connection.stream.write_all(&[0; 65_536]) {
                break error;
            }
        };
        ended.send(result.kind()).unwrap();
        Ok(())
    };
    let listener = any_port().with_drain(Duration::from_millis(20));
    let server = Server::start(listener, handler);
    let client = server.connect();
    is_ready.recv().unwrap();
    let started = now();
    server.stop();
    assert!(now() - started < Duration::from_secs(5));
    assert_eq!(end.recv().unwrap(), io::ErrorKind::BrokenPipe);
    drop(client);
}

#[test]
fn the_limit_of_connections_holds() {
    let server = Server::start(any_port().with_limit(1), echo);
    let mut first = server.connect();
    first.write_all(b"1").unwrap();
    first.read_exact(&mut [0]).unwrap();
    let mut second = server.connect();
    second.write_all(b"2").unwrap();
    second.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert_eq!(second.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(first);
    second.set_read_timeout(None).unwrap();
    assert_eq!(second.read(&mut [0]).unwrap(), 1);
    server.stop();
}

#[test]
fn a_panic_of_a_handler_ends_one_connection() {
    let (seen, events) = Seen::channel();
    let handler = |_: Connection, _: Context| panic!("as the test wants");
    let server = Server::start(any_port().with_observer(seen), handler);
    let mut client = server.connect();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    assert_eq!(closed(&events).0.unwrap(), "the handler panicked");
    server.stop();
}

#[test]
fn a_stream_with_faults_is_refused() {
    let (seen, events) = Seen::channel();
    let plan = Plan::new(vec!["latency=1ms".parse().unwrap()], 0);
    let listener = any_port().with_observer(seen).with_faults(plan).unwrap();
    let server = Server::start(listener, echo);
    let mut client = server.connect();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    let failure = closed(&events).0.unwrap();
    assert!(failure.starts_with("could not use blocking I/O"), "{failure}");
    server.stop();
}

#[test]
fn a_port_in_use_is_refused() {
    let first = any_port();
    assert_eq!(bind(&first.local_url()).unwrap_err().kind(), Kind::Connect);
}
