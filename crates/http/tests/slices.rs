//! Files and parts of files on every kind of connection, the fast lane, and the access log.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

#[expect(dead_code, reason = "these tests need no scripts")]
mod support;

use std::fs::{self, File};
use std::future::pending;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use portolan_core::{Answered, Event, Url};
use portolan_http::{Client, FileSlice, Files, Limits, Protocol, Server, Upload};
use portolan_net::{Listener, Observer};
use support::{bodies, context, dial, exchange, listener, secure_listener, statuses, trusting};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn serving(listener: Listener, server: Server) -> Url {
    let url = listener.local_url();
    tokio::spawn(server.serve(listener, pending()));
    url
}

/// Answers with the slice of this file that the path names.
fn slices(path: PathBuf) -> Server {
    let slice = move |Path((offset, length)): Path<(u64, u64)>| async move {
        let mut response: Response = ().into_response();
        response.extensions_mut().insert(FileSlice::new(File::open(path).unwrap(), offset, length));
        response
    };
    Server::new(Router::new().route("/{offset}/{length}", get(slice)))
}

#[tokio::test]
async fn slices_are_exact_on_every_kind_of_connection() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("large");
    let content: Vec<u8> = (0..1_500_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(&path, &content).unwrap();
    let plain = serving(listener().await, slices(path.clone())).await;
    let secure = serving(secure_listener(&["h2", "http/1.1"]).await, slices(path)).await;
    let cx = context();
    for (url, protocol) in [
        (&plain, Protocol::Http1),
        (&plain, Protocol::Http2),
        (&secure, Protocol::Http1),
        (&secure, Protocol::Http2),
    ] {
        for (offset, length) in
            [(0, 0), (7, 1), (3, 1000), (5, 32 * 1024), (1, 100_000), (0, content.len())]
        {
            let url = url.clone().with_path(&format!("/{offset}/{length}")).unwrap();
            let mut client = Client::connect_as(protocol, &trusting(), &url, &cx).await.unwrap();
            for _ in 0..2 {
                let mut response = client.get(&cx).await.unwrap();
                assert_eq!(response.headers()["content-length"], length.to_string()[..]);
                let body = response.receive(1 << 24, &cx).await.unwrap().bytes;
                assert!(body == content[offset..offset + length], "{url} {protocol:?}");
            }
            let head = http::Request::head(format!("/{offset}/{length}"))
                .body(portolan_http::Body::empty())
                .unwrap();
            let mut response = client.send(head, &cx).await.unwrap();
            assert_eq!(response.headers()["content-length"], length.to_string()[..]);
            assert!(response.receive(1, &cx).await.unwrap().bytes.is_empty());
        }
    }
}

#[tokio::test]
async fn a_file_that_is_shorter_than_said_breaks_the_answer_off() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("short");
    fs::write(&path, "x".repeat(50_000)).unwrap();
    let plain = serving(listener().await, slices(path.clone())).await;
    let secure = serving(secure_listener(&["http/1.1"]).await, slices(path)).await;
    for url in [plain, secure] {
        for length in [50_001, 10_000] {
            let request = format!("GET /45000/{length} HTTP/1.1\r\nhost: a\r\n\r\n");
            let answers = exchange(&url, request.repeat(2).as_bytes()).await;
            assert!(answers.contains(&format!("content-length: {length}\r\n")), "{answers}");
            assert_eq!(bodies(&answers), ["x".repeat(5000)]);
        }
    }
}

#[tokio::test]
async fn a_head_has_the_length_of_the_slice_alone() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("a"), "ahoy").unwrap();
    let url = serving(listener().await, slices(directory.path().join("a"))).await;
    let requests = "HEAD /1/2 HTTP/1.1\r\nhost: a\r\n\r\nGET /1/2 HTTP/1.1\r\nhost: a\r\n\r\n";
    let answers = exchange(&url, requests.as_bytes()).await;
    assert_eq!(answers.matches("content-length: 2\r\n").count(), 2);
    assert_eq!(bodies(&answers), ["", "ho"]);
}

/// A request for a file.
fn asking(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a\r\n{fields}\r\n")
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_given_again_for_a_moment() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a");
    let server = Server::files(Files::new(directory.path()).unwrap());
    let url = serving(listener().await, server).await;
    let ask = async |fields: &str| exchange(&url, asking("/a", fields).as_bytes()).await;
    for (old, new) in [("ahoy", "hoho"), ("small", &"large".repeat(20_000)[..])] {
        fs::write(&path, old).unwrap();
        let first = ask("").await;
        assert_eq!(bodies(&first), [old]);
        fs::write(&path, new).unwrap();
        // The very same, but perhaps for the date.
        let undated = |answer: &str| {
            let lines = answer.split("\r\n").filter(|line| !line.starts_with("date: "));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(undated(&ask("").await), undated(&first));
        // Who asks for something else gets it.
        assert_eq!(bodies(&ask("range: bytes=1-2\r\n").await), [&new[1..3]]);
        assert_eq!(statuses(&ask("if-match: \"x\"\r\n").await), [412]);
        assert_eq!(bodies(&ask("accept-encoding: identity\r\n").await), [new]);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(bodies(&ask("").await), [new]);
        assert_eq!(bodies(&ask("").await), [new]);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let _ = ask("").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(statuses(&ask("").await), [404]);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(statuses(&ask("").await), [404]);
}

/// How many descriptors of this process are of files in `directory`.
fn descriptors(directory: &std::path::Path) -> usize {
    let all = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let files = all.filter_map(|entry| fs::read_link(entry.path()).ok());
    files.filter(|file| file.starts_with(directory)).count()
}

#[tokio::test(start_paused = true)]
async fn an_old_answer_is_given_to_nobody_and_let_go() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a");
    let server = Server::files(Files::new(directory.path()).unwrap());
    let url = serving(listener().await, server).await;
    for size in [10, 100_000] {
        fs::write(&path, "x".repeat(size)).unwrap();
        assert_eq!(statuses(&exchange(&url, asking("/a", "").as_bytes()).await), [200]);
        fs::remove_file(&path).unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let both = exchange(&url, asking("/a", "").repeat(2).as_bytes()).await;
        assert_eq!(statuses(&both), [404, 404]);
    }
    fs::write(&path, "x".repeat(100_000)).unwrap();
    for number in 0..100 {
        exchange(&url, asking(&format!("/a?{number}"), "").as_bytes()).await;
    }
    let count = descriptors(directory.path());
    assert!((1..=65).contains(&count), "{count} descriptors");
    tokio::time::sleep(Duration::from_secs(2)).await;
    // The directory is open.
    assert_eq!(descriptors(directory.path()), 1);
}

#[tokio::test(start_paused = true)]
async fn an_upload_is_seen_at_once() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("a"), "old").unwrap();
    let upload = Upload::default().with_overwrite(true);
    let files = Files::new(directory.path()).unwrap().with_upload(upload);
    let url = serving(listener().await, Server::files(files)).await;
    let put = "PUT /a HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nnew";
    let get = asking("/a", "");
    let answers = exchange(&url, format!("{get}{get}{put}{get}{get}").as_bytes()).await;
    assert_eq!(bodies(&answers), ["old", "old", "", "new", "new"]);
}

#[tokio::test]
async fn the_fast_lane_keeps_the_order() {
    let directory = TempDir::new().unwrap();
    let large = "large".repeat(50_000);
    fs::write(directory.path().join("small"), "small").unwrap();
    fs::write(directory.path().join("large"), &large).unwrap();
    let plain = Server::files(Files::new(directory.path()).unwrap());
    let secure = serving(secure_listener(&["http/1.1"]).await, plain.clone()).await;
    let plain = serving(listener().await, plain).await;
    for url in [plain, secure] {
        let paths = ["/small", "/large", "/none", "/small", "/small", "/large", "/large", "/"];
        let requests: String = paths.iter().map(|path| asking(path, "")).collect();
        let answers = exchange(&url, requests.repeat(3).as_bytes()).await;
        let wanted = [200, 200, 404, 200, 200, 200, 200, 200].repeat(3);
        assert_eq!(statuses(&answers), wanted);
        for (path, body) in paths.iter().cycle().zip(bodies(&answers)) {
            match *path {
                "/small" => assert_eq!(body, "small"),
                "/large" => assert!(body == large),
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn who_does_not_read_holds_up_nobody() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("large"), vec![b'x'; 20 << 20]).unwrap();
    fs::write(directory.path().join("small"), "small").unwrap();
    let url = serving(listener().await, Server::files(Files::new(directory.path()).unwrap())).await;
    let mut deaf = dial(&url).await;
    deaf.write_all(asking("/large", "").repeat(3).as_bytes()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(bodies(&exchange(&url, asking("/small", "").as_bytes()).await), ["small"]);
    }
    let mut heard = vec![0; 50 << 20];
    deaf.read_exact(&mut heard).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn http2_has_the_fast_lane_too() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a");
    let server = Server::files(Files::new(directory.path()).unwrap());
    let url = serving(listener().await, server).await.with_path("/a").unwrap();
    let cx = context();
    let mut client = Client::connect_as(Protocol::Http2, &trusting(), &url, &cx).await.unwrap();
    let mut told = Vec::new();
    for content in ["old", "new", "large"] {
        fs::write(&path, content.repeat(20_000)).unwrap();
        let mut response = client.get(&cx).await.unwrap();
        let tag = response.headers()["etag"].clone();
        let body = response.receive(1 << 20, &cx).await.unwrap().bytes;
        told.push((body.len(), body[..3].to_vec(), tag));
        if content == "new" {
            tokio::time::sleep(Duration::from_millis(50)).await;
            client.get(&cx).await.unwrap().receive(1 << 20, &cx).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert_eq!(told[0].2, told[1].2);
    assert_ne!(told[1].2, told[2].2);
    assert_eq!((told[1].0, told[2].0), (60_000, 100_000));
}

/// Keeps what an access log is told.
#[derive(Default)]
struct Log(Mutex<Vec<Answered>>);

impl Observer for Log {
    fn observe(&self, _: Instant, event: &Event) {
        if let Event::Answered(answered) = event {
            self.0.lock().unwrap().push((**answered).clone());
        }
    }
}

#[tokio::test]
async fn the_log_tells_every_answer() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("a"), "ahoy").unwrap();
    let log = Arc::new(Log::default());
    let listener = listener().await.with_observer(log.clone());
    let server = Server::files(Files::new(directory.path()).unwrap()).with_access_log();
    let url = serving(listener, server).await;
    let get = asking("/a", "user-agent: test\r\nreferer: b\r\n");
    exchange(&url, format!("{get}{get}HEAD /a HTTP/1.0\r\n\r\n").as_bytes()).await;
    exchange(&url, b"GET nowhere HTTP/1.1\r\n\r\n").await;
    let cx = context();
    let a = url.with_path("/a?b").unwrap();
    let mut client = Client::connect_as(Protocol::Http2, &trusting(), &a, &cx).await.unwrap();
    client.get(&cx).await.unwrap().receive(100, &cx).await.unwrap();
    drop(client);
    let told: Vec<_> = log.0.lock().unwrap().iter().map(told).collect();
    assert_eq!(
        told,
        [
            "GET /a 1.1 200 4 Some(\"b\") Some(\"test\")",
            "GET /a 1.1 200 4 Some(\"b\") Some(\"test\")",
            "HEAD /a 1.0 200 0 None None",
            "   400 24 None None",
            &format!("GET /a?b 2.0 200 4 None Some(\"portolan/{}\")", env!("CARGO_PKG_VERSION")),
        ]
    );
}

#[tokio::test]
async fn the_log_tells_how_far_an_answer_came() {
    let directory = TempDir::new().unwrap();
    let size = 20 << 20;
    fs::write(directory.path().join("large"), vec![b'x'; size]).unwrap();
    let log = Arc::new(Log::default());
    let listener = listener().await.with_observer(log.clone());
    let server = Server::files(Files::new(directory.path()).unwrap()).with_access_log();
    let url = serving(listener, server).await;
    let mut peer = dial(&url).await;
    // The second one goes by the fast lane.
    peer.write_all(asking("/large", "").repeat(2).as_bytes()).await.unwrap();
    peer.read_exact(&mut vec![0; size + 1000]).await.unwrap();
    drop(peer);
    while log.0.lock().unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    let sent: Vec<_> = log.0.lock().unwrap().iter().map(|it| (it.status, it.bytes)).collect();
    assert_eq!(sent[0], (200, size as u64));
    assert!(sent[1].0 == 200 && (1..size as u64).contains(&sent[1].1), "{sent:?}");
}

#[tokio::test]
async fn the_log_tells_of_requests_that_fail() {
    let directory = TempDir::new().unwrap();
    let log = Arc::new(Log::default());
    let listener = listener().await.with_observer(log.clone());
    let files = Files::new(directory.path()).unwrap().with_upload(Upload::default());
    let limits = Limits { body: Some(100), ..Limits::default() };
    let url = serving(listener, Server::files(files).with_limits(limits).with_access_log()).await;
    let put = "HTTP/1.1\r\nhost: a\r\nreferer: b\r\n";
    for request in [
        format!("PUT /broken {put}transfer-encoding: chunked\r\n\r\nx\r\n"),
        format!("PUT /large {put}content-length: 101\r\n\r\n"),
        format!("PUT /half {put}content-length: 9\r\n\r\nahoy"),
    ] {
        exchange(&url, request.as_bytes()).await;
    }
    // Over HTTP/2: SETTINGS, HEADERS with END_HEADERS (RFC 7541), DATA, and RST_STREAM.
    let put = b"\x42\x03PUT\x44\x05/gone\x86\x41\x01a";
    let frames = [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..],
        &[0, 0, put.len() as u8, 1, 4, 0, 0, 0, 1],
        put,
        b"\0\0\x04\0\0\0\0\0\x01ahoy\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08",
    ];
    let mut peer = dial(&url).await;
    peer.write_all(&frames.concat()).await.unwrap();
    while log.0.lock().unwrap().len() < 4 {
        tokio::task::yield_now().await;
    }
    let told: Vec<_> = log.0.lock().unwrap().iter().map(told).collect();
    assert_eq!(
        told,
        [
            "PUT /broken 1.1 400 29 Some(\"b\") None",
            "PUT /large 1.1 413 22 Some(\"b\") None",
            "PUT /half 1.1 499 0 Some(\"b\") None",
            "PUT /gone 2.0 499 0 None None",
        ]
    );
}

fn told(it: &Answered) -> String {
    let Answered { method, target, version, status, bytes, referer, agent, .. } = it;
    format!("{method} {target} {version} {status} {bytes} {referer:?} {agent:?}")
}
