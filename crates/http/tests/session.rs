//! Sessions against our own server, and against servers that are written on bare streams.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use portolan_core::{Error, Kind, Url};
use portolan_http::{Auth, Body, Form, Part, Protocol, Redirects, Retries, Server, Session};
use portolan_net::{Connection, Context, Info, Listener, serve};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

/// What a server of routes has counted.
#[derive(Clone, Default)]
struct Counts(Arc<AtomicU32>);

async fn start(routes: Router) -> String {
    let listener = Listener::bind(&"http://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let url = listener.local_url().to_string();
    tokio::spawn(Server::new(routes).serve(listener, std::future::pending()));
    url.trim_end_matches('/').to_owned()
}

/// The request as the server saw it.
async fn shown(method: axum::http::Method, headers: HeaderMap, body: String) -> Json<Value> {
    let field = |name| headers.get(name).map(|value: &header::HeaderValue| value.to_str().unwrap());
    Json(json!({
        "method": method.as_str(),
        "authorization": field("authorization"),
        "cookie": field("cookie"),
        "type": field("content-type"),
        "length": field("content-length"),
        "body": body,
    }))
}

/// A server that answers each request of each connection with these bytes.
async fn answering(answer: &'static [u8]) -> String {
    let listener = Listener::bind(&"tcp:0".parse().unwrap()).await.unwrap();
    let port = listener.local_url().port();
    let handler = move |connection: Connection, _cx: Context| async move {
        let mut stream = BufReader::new(connection.stream);
        loop {
            let mut line = String::new();
            while line != "\r\n" {
                line.clear();
                if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                    return Ok::<_, Error>(());
                }
            }
            let _ = stream.write_all(answer).await;
            let _ = stream.flush().await;
            if answer.windows(5).any(|word| word == b"close") {
                return Ok(());
            }
        }
    };
    tokio::spawn(serve(listener, handler, std::future::pending()));
    format!("http://127.0.0.1:{port}")
}

async fn text(session: &Session, url: String) -> Result<String, Error> {
    session.get(url).send().await?.text().await
}

#[tokio::test]
async fn connections_are_used_again() {
    let peer = get(|request: axum::extract::Request| async move {
        request.extensions().get::<Info>().unwrap().remote.unwrap().to_string()
    });
    let url = start(Router::new().route("/", peer)).await;
    let session = Session::new();
    let first = text(&session, url.clone()).await.unwrap();
    assert_eq!(text(&session, url.clone()).await.unwrap(), first);
    // An answer that is dropped half-read leaves no connection that could be used.
    let left = session.get(&url).send().await.unwrap();
    drop(left);
    assert_ne!(text(&session, url).await.unwrap(), first);
}

#[tokio::test]
async fn phases_are_those_of_the_request_itself() {
    let url = start(Router::new().route("/", get(|| async { "ahoy" }))).await;
    let session = Session::new();
    let mut phases = Vec::new();
    for _ in 0..2 {
        let mut response = session.get(&url).send().await.unwrap();
        while response.chunk().await.unwrap().is_some() {}
        let timings = response.timings();
        phases.push(timings.spans().iter().map(|s| s.phase.name()).collect::<Vec<_>>().join(" "));
    }
    assert_eq!(phases, ["resolve connect send wait receive", "send wait receive"]);
}

#[tokio::test]
async fn http_2_by_prior_knowledge_shares_one_connection() {
    let peer = get(|request: axum::extract::Request| async move {
        tokio::time::sleep(Duration::from_millis(5)).await;
        request.extensions().get::<Info>().unwrap().remote.unwrap().to_string()
    });
    let url = start(Router::new().route("/", peer)).await;
    let session = Session::new().with_protocol(Protocol::Http2);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (session, url) = (session.clone(), url.clone());
        tasks.spawn(async move { text(&session, url).await.unwrap() });
    }
    let mut peers = tasks.join_all().await;
    peers.dedup();
    assert_eq!(peers.len(), 1);
}

#[tokio::test]
async fn bodies_arrive_as_they_were_given() {
    let url = start(Router::new().route("/", any(shown))).await;
    let session = Session::new();
    let send = async |request: portolan_http::Request| -> Value {
        request.send().await.unwrap().json().await.unwrap()
    };
    let seen = send(session.post(&url).json(&json!({ "a": 1 }))).await;
    assert_eq!((&seen["type"], &seen["body"]), (&json!("application/json"), &json!("{\"a\":1}")));
    let seen = send(session.post(&url).form([("a", "1 &"), ("b", "ü")])).await;
    assert_eq!(seen["body"], "a=1+%26&b=%C3%BC");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"from a file").unwrap();
    let seen = send(session.put(&url).body(Body::file(&file).unwrap())).await;
    assert_eq!((&seen["length"], &seen["body"]), (&json!("11"), &json!("from a file")));
    let seen = send(session.put(&url).body(Body::reader(&b"streamed"[..]))).await;
    assert_eq!((&seen["length"], &seen["body"]), (&Value::Null, &json!("streamed")));
    let form = Form::new().unwrap().with("name", Part::text("portolan"));
    let seen = send(session.post(&url).multipart(&form)).await;
    assert!(seen["body"].as_str().unwrap().contains("name=\"name\"\r\n\r\nportolan\r\n"), "{seen}");
    let seen = send(session.post(&url)).await;
    assert_eq!(seen["length"], "0");
    assert_eq!(send(session.get(&url)).await["length"], Value::Null);
}

#[tokio::test]
async fn what_is_wrong_with_a_part_comes_out_at_the_end() {
    let session = Session::new();
    for request in [
        session.get("ftp://example.org/"),
        session.get("no url"),
        session.get("http://a/").header("a b", "c"),
        session.get("http://a/").header("a", "b\r\nc: d"),
        session.post("http://a/").body("one").body("two"),
        session.get("http://a/").auth(Auth::bearer("a\nb")),
    ] {
        assert_eq!(request.prepare().unwrap_err().kind(), Kind::Usage);
    }
}

#[tokio::test]
async fn redirects_keep_what_they_may_and_drop_secrets_elsewhere() {
    let elsewhere = start(Router::new().route("/", any(shown))).await;
    let away = elsewhere.clone();
    let routes = Router::new()
        .route("/", any(shown))
        .route("/found", any(|| async { (StatusCode::FOUND, [(header::LOCATION, "/")]) }))
        .route("/kept", any(|| async { Redirect::temporary("/") }))
        .route("/away", any(move || async move { Redirect::temporary(&format!("{away}/")) }))
        .route("/loop", any(|| async { Redirect::temporary("/loop") }));
    let url = start(routes).await;
    let session = Session::new().with_auth(Auth::basic("u", "p"));
    let send = async |path: &str| -> Value {
        let request = session.post(format!("{url}{path}")).header("cookie", "a=b").body("x");
        request.send().await.unwrap().json().await.unwrap()
    };
    let seen = send("/found").await;
    assert_eq!((&seen["method"], &seen["body"]), (&json!("GET"), &json!("")));
    assert_eq!((&seen["type"], &seen["authorization"]), (&Value::Null, &json!("Basic dTpw")));
    let seen = send("/kept").await;
    assert_eq!(
        (&seen["method"], &seen["body"], &seen["cookie"]),
        (&json!("POST"), &json!("x"), &json!("a=b"))
    );
    let seen = send("/away").await;
    assert_eq!((&seen["authorization"], &seen["cookie"]), (&Value::Null, &Value::Null));
    assert_eq!(seen["body"], "x");

    let response = session.get(format!("{url}/kept")).send().await.unwrap();
    assert_eq!(response.history().len(), 1);
    assert_eq!(response.history()[0].status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(response.url().to_string(), format!("{url}/"));
    let error = session.get(format!("{url}/loop")).send().await.err().unwrap();
    assert_eq!(error.kind(), Kind::Redirects);
    let stayed = session.with_redirects(Redirects::none()).get(format!("{url}/loop")).send().await;
    assert_eq!(stayed.unwrap().status(), StatusCode::TEMPORARY_REDIRECT);
    let once =
        Session::new().post(format!("{url}/kept")).body(Body::reader(&b"x"[..])).send().await;
    assert!(once.err().unwrap().to_string().contains("once more"));
}

#[tokio::test]
async fn what_fails_for_a_while_is_asked_again() {
    async fn flaky(
        State(Counts(count)): State<Counts>,
        Path(times): Path<u32>,
    ) -> impl IntoResponse {
        match count.fetch_add(1, Ordering::Relaxed) {
            n if n < times => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "0")], "no"),
            _ => (StatusCode::OK, [(header::RETRY_AFTER, "")], "yes"),
        }
    }
    let counts = Counts::default();
    let routes = Router::new().route("/{times}", any(flaky)).with_state(counts.clone());
    let url = start(routes).await;
    let session = Session::new().with_retries(Retries::times(2));
    assert_eq!(text(&session, format!("{url}/2")).await.unwrap(), "yes");
    assert_eq!(counts.0.swap(0, Ordering::Relaxed), 3);
    assert_eq!(text(&session, format!("{url}/3")).await.unwrap(), "no");
    counts.0.store(0, Ordering::Relaxed);
    let posted = session.post(format!("{url}/2")).body("x").send().await.unwrap();
    assert_eq!(posted.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(counts.0.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn cookies_and_digest_logins_last_for_the_session() {
    async fn guarded(headers: HeaderMap) -> impl IntoResponse {
        let login = headers.get("authorization").and_then(|v| v.to_str().ok()).unwrap_or_default();
        if login.contains("username=\"u\"") && login.contains("nonce=\"n\"") {
            return (StatusCode::OK, HeaderMap::new(), login.to_owned());
        }
        let challenge = "Digest realm=\"crew\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256";
        let fields = [(header::WWW_AUTHENTICATE, challenge.parse().unwrap())];
        (StatusCode::UNAUTHORIZED, HeaderMap::from_iter(fields), String::new())
    }
    let routes = Router::new()
        .route("/", any(shown))
        .route("/set", get(|| async { [(header::SET_COOKIE, "course=north; Path=/")] }))
        .route("/guarded", any(guarded));
    let url = start(routes).await;
    let session = Session::new();
    session.get(format!("{url}/set")).send().await.unwrap();
    let seen: Value = session.get(&url).send().await.unwrap().json().await.unwrap();
    assert_eq!(seen["cookie"], "course=north");

    let session = session.with_auth(Auth::digest("u", "p"));
    let login = text(&session, format!("{url}/guarded")).await.unwrap();
    assert!(login.contains("nc=00000001"), "{login}");
    let login = text(&session, format!("{url}/guarded")).await.unwrap();
    assert!(login.contains("nc=00000002"), "{login}");
    let wrong = Session::new().with_auth(Auth::digest("nobody", "p"));
    let refused = wrong.get(format!("{url}/guarded")).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_made_anew() {
    // Each connection has one answer, and claims that it is kept.
    let listener = Listener::bind(&"tcp:0".parse().unwrap()).await.unwrap();
    let url = format!("http://127.0.0.1:{}", listener.local_url().port());
    let handler = |mut connection: Connection, _cx: Context| async move {
        let mut request = [0; 1024];
        let _ = connection.stream.read(&mut request).await;
        let _ =
            connection.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nahoy").await;
        // Hang up only once the next request has come.
        let _ = connection.stream.read(&mut request).await;
        Ok::<_, Error>(())
    };
    tokio::spawn(serve(listener, handler, std::future::pending()));
    let session = Session::new();
    for _ in 0..3 {
        assert_eq!(text(&session, url.clone()).await.unwrap(), "ahoy");
    }
}

#[tokio::test]
async fn a_unix_socket_is_asked_for_any_host() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("http.sock");
    let url: Url = format!("unix:{}", socket.display()).parse().unwrap();
    let listener = Listener::bind(&url).await.unwrap();
    let host = |headers: HeaderMap| async move { headers["host"].to_str().unwrap().to_owned() };
    let routes = Router::new().route("/", get(host));
    tokio::spawn(Server::new(routes).serve(listener, std::future::pending()));
    let session = Session::new().with_unix_socket(&socket);
    assert_eq!(text(&session, "http://site.test/".to_owned()).await.unwrap(), "site.test");
    let error = text(&session, "https://site.test/".to_owned()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
}

#[tokio::test]
async fn hostile_answers_are_bounded() {
    let session = Session::new();
    let kind = async |answer| {
        let url = answering(answer).await;
        match session.get(&url).send().await {
            Ok(response) => response.bytes().await.unwrap_err().kind(),
            Err(error) => error.kind(),
        }
    };
    let short = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nhalf";
    assert_eq!(kind(short).await, Kind::Partial);
    assert_eq!(
        kind(b"HTTP/1.1 302 OK\r\nLocation: /a\x0bb\r\nContent-Length: 0\r\n\r\n").await,
        Kind::Protocol
    );
    assert_eq!(
        kind(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nahoy").await,
        Kind::Protocol
    );
    let endless =
        Box::leak(format!("HTTP/1.1 200 OK\r\n{}", "a: b\r\n".repeat(20_000)).into_boxed_str());
    assert_eq!(kind(endless.as_bytes()).await, Kind::Protocol);
    let extension = "e".repeat(1 << 20);
    let chunk = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;{extension}\r\na\r\n0\r\n\r\n"
    );
    assert_eq!(kind(Box::leak(chunk.into_boxed_str()).as_bytes()).await, Kind::Protocol);

    let slow = start(Router::new().route("/", post(|| std::future::pending::<()>()))).await;
    let late = session.post(&slow).timeout(Duration::from_millis(50)).send().await;
    assert_eq!(late.err().unwrap().kind(), Kind::Timeout);
    let long = start(Router::new().route("/", get(|| async { "x".repeat(2000) }))).await;
    let limited = session.with_body_limit(1000).get(&long).send().await.unwrap();
    assert_eq!(limited.bytes().await.unwrap_err().kind(), Kind::Protocol);
}

/// A body of zeros, so many, in gzip.
fn zeros(count: usize) -> Vec<u8> {
    use async_compression::tokio::bufread::GzipEncoder;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut zipped = Vec::new();
    let source = tokio::io::repeat(0).take(count as u64);
    let mut encoder = GzipEncoder::new(BufReader::new(source));
    runtime.block_on(encoder.read_to_end(&mut zipped)).unwrap();
    zipped
}

#[test]
fn a_bomb_is_cut_off() {
    let bomb = zeros(300 << 20);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let answer = move || async move { ([(header::CONTENT_ENCODING, "gzip")], bomb) };
        let url = start(Router::new().route("/", get(answer))).await;
        let kept = Session::new().get(&url).send().await.unwrap().bytes().await.unwrap_err();
        assert_eq!(kept.to_string(), "the body is longer than 67108864 bytes");
        let mut streamed = Session::new().get(&url).send().await.unwrap();
        let error = streamed.save_to(&mut tokio::io::sink()).await.unwrap_err();
        assert!(format!("{error:#}").contains("decompression bomb"), "{error:#}");
        let raw = Session::new().without_decoding().get(&url).send().await.unwrap();
        assert!(raw.bytes().await.unwrap().starts_with(&[0x1f, 0x8b]));
    });
}

#[tokio::test]
async fn every_coding_is_decoded() {
    use async_compression::tokio::bufread as with;
    let plain = b"ahoy ".repeat(5000);
    let mut coded: Vec<(&str, Vec<u8>)> = Vec::new();
    macro_rules! code {
        ($name:literal, $encoder:ident) => {
            let mut bytes = Vec::new();
            with::$encoder::new(&plain[..]).read_to_end(&mut bytes).await.unwrap();
            coded.push(($name, bytes));
        };
    }
    code!("gzip", GzipEncoder);
    code!("deflate", ZlibEncoder);
    code!("deflate", DeflateEncoder);
    code!("br", BrotliEncoder);
    code!("zstd", ZstdEncoder);
    for (name, bytes) in coded {
        let half = bytes[..bytes.len() / 2].to_vec();
        let routes = Router::new()
            .route("/", get(move || async move { ([(header::CONTENT_ENCODING, name)], bytes) }))
            .route("/half", get(move || async move { ([(header::CONTENT_ENCODING, name)], half) }));
        let url = start(routes).await;
        let session = Session::new();
        let response = session.get(&url).send().await.unwrap();
        assert_eq!(response.bytes().await.unwrap(), plain, "{name}");
        let cut = session.get(format!("{url}/half")).send().await.unwrap();
        assert_eq!(cut.bytes().await.unwrap_err().kind(), Kind::Partial, "{name}");
        let head = session.head(&url).send().await.unwrap();
        assert!(head.bytes().await.unwrap().is_empty(), "{name}");
    }
}
