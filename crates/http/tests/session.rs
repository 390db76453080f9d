//! Sessions against servers that do as they should: connections, redirects, retries, logins and
//! cookies.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

#[expect(dead_code, reason = "these tests need no single connections")]
mod support;

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::{any, get};
use futures_util::future::join_all;
use http::{Method, Version};
use portolan_core::{Host, Kind, Phase, Url};
use portolan_http::{
    Auth, Body, Jar, Protocol, Redirects, Response, Retries, Server, Session, blocking,
};
use portolan_net::proxy::Proxies;
use portolan_net::{Dialer, Info, Listener, tls};
use support::{answer, scripted, server};

async fn text(response: Response) -> String {
    response.text().await.unwrap()
}

fn at(url: &Url, path: &str) -> Url {
    url.clone().with_path(path).unwrap()
}

/// Answers with the peer's address, which tells connections apart.
fn whoami() -> Router {
    let route = |request: Request| async move {
        request.extensions().get::<Info>().unwrap().peer.to_string()
    };
    Router::new().route("/{*path}", any(route)).route("/", any(route))
}

#[tokio::test]
async fn a_connection_is_kept_and_its_phases_are_told_once() {
    let url = server(whoami()).await;
    let session = Session::new();
    let first = session.get(&url).send().await.unwrap();
    let phases = |response: &Response| {
        let timings = response.timings();
        timings.spans().iter().map(|span| span.phase).collect::<Vec<_>>()
    };
    assert!(phases(&first).contains(&Phase::CONNECT));
    let address = text(first).await;
    for _ in 0..3 {
        let next = session.clone().get(&url).send().await.unwrap();
        assert!(!phases(&next).contains(&Phase::CONNECT));
        assert_eq!(text(next).await, address);
    }
    // A body that is not read to its end takes its connection with it.
    let unread = scripted(|number, _| answer(200, "", &number.to_string().repeat(1 << 20))).await;
    drop(session.get(&unread).send().await.unwrap());
    assert!(text(session.get(&unread).send().await.unwrap()).await.starts_with('1'));
}

#[tokio::test]
async fn one_connection_of_http2_carries_many_requests() {
    let url = server(whoami()).await;
    let session = Session::new().with_protocol(Protocol::Http2);
    let requests = (0..20).map(|n| session.get(at(&url, &format!("/{n}"))).send());
    let mut addresses = Vec::new();
    for response in join_all(requests).await {
        let response = response.unwrap();
        assert_eq!((response.version(), response.reason()), (Version::HTTP_2, String::new()));
        addresses.push(text(response).await);
    }
    addresses.dedup();
    assert_eq!(addresses.len(), 1, "{addresses:?}");
}

/// The URL of a server with TLS that speaks these versions, and a dialer that trusts it.
async fn secure(alpn: &[&str]) -> (Url, Dialer) {
    let identity = tls::Identity::self_signed(&Host::parse("127.0.0.1").unwrap()).unwrap();
    let listener = Listener::bind(&"https://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let listener = listener.with_tls(tls::Server::new(identity).with_alpn(alpn));
    let url = listener.local_url();
    tokio::spawn(Server::new(whoami()).serve(listener, pending()));
    let trusting = tls::danger::without_verification(tls::Tls::new());
    (url, Dialer::new().with_tls(trusting))
}

#[tokio::test]
async fn the_version_is_settled_by_alpn() {
    for (alpn, version, connections) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2, 1),
        (&["http/1.1"], Version::HTTP_11, 8),
        (&[], Version::HTTP_11, 8),
    ] {
        let (url, dialer) = secure(alpn).await;
        let session = Session::new().with_dialer(dialer);
        let responses = join_all((0..8).map(|_| session.get(&url).send())).await;
        let mut addresses = Vec::new();
        for response in responses {
            let response = response.unwrap();
            assert_eq!(response.version(), version);
            addresses.push(text(response).await);
        }
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), connections, "{alpn:?}");
    }
    let (url, dialer) = secure(&["http/1.1"]).await;
    let session = Session::new().with_dialer(dialer).with_protocol(Protocol::Http2);
    assert_eq!(session.get(&url).send().await.unwrap_err().phase(), Some(Phase::TLS));
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_replaced_at_once() {
    let url = scripted(|number, request| match (number, request.contains("/first")) {
        (0, false) => None,
        _ => answer(200, "", &number.to_string()),
    })
    .await;
    let session = Session::new();
    assert_eq!(text(session.get(at(&url, "/first")).send().await.unwrap()).await, "0");
    assert_eq!(text(session.get(at(&url, "/second")).send().await.unwrap()).await, "1");
    // The server may have acted on what is not idempotent.
    let session = Session::new();
    let url = scripted(|_, request| match request.starts_with("POST") {
        true => None,
        false => answer(200, "", ""),
    })
    .await;
    text(session.get(&url).send().await.unwrap()).await;
    let error = session.post(&url).body("x").send().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Lost, "{error:#}");
}

#[tokio::test]
async fn a_connection_that_the_server_ends_is_not_used_again() {
    let url = scripted(|number, _| answer(200, "connection: close\r\n", &number.to_string())).await;
    let session = Session::new();
    for number in ["0", "1", "2"] {
        assert_eq!(text(session.post(&url).send().await.unwrap()).await, number);
    }
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed() {
    let url = server(whoami()).await;
    let session = Session::new();
    let first = text(session.get(&url).send().await.unwrap()).await;
    for (seconds, is_kept) in [(80, true), (100, false)] {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        tokio::time::resume();
        let next = text(session.get(&url).send().await.unwrap()).await;
        assert_eq!(next == first, is_kept, "{seconds}");
    }
}

#[tokio::test]
async fn redirects_change_methods_and_keep_a_history() {
    let url = scripted(|_, request| {
        let (line, rest) = request.split_once("\r\n").unwrap();
        let (_, body) = rest.split_once("\r\n\r\n").unwrap();
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        match path {
            "/end" => answer(200, "", &format!("{method} {body}")),
            status => answer(status[1..].parse().unwrap(), "location: /end\r\n", "elsewhere"),
        }
    })
    .await;
    let session = Session::new();
    for (status, seen) in
        [(301, "GET "), (302, "GET "), (303, "GET "), (307, "PUT ahoy"), (308, "PUT ahoy")]
    {
        let method = if status < 303 { Method::POST } else { Method::PUT };
        let request = session.request(method.clone(), at(&url, &format!("/{status}")));
        let response = request.body("ahoy").send().await.unwrap();
        assert_eq!(response.url(), &at(&url, "/end"));
        let [hop] = response.history() else { panic!("{} hops", response.history().len()) };
        assert_eq!((hop.status.as_u16(), &hop.sent.method), (status, &method));
        assert_eq!(text(response).await, seen, "{status}");
    }
    let stream = Body::reader(&b"ahoy"[..]);
    let unrepeatable = scripted(|_, _| answer(307, "location: /end\r\nconnection: close\r\n", ""));
    let error = session.put(unrepeatable.await).body(stream).send().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Usage, "{error:#}");
    let still = session.clone().with_redirects(Redirects::none());
    assert_eq!(still.get(at(&url, "/302")).send().await.unwrap().status(), 302);
}

#[tokio::test]
async fn secrets_stay_with_their_origin() {
    let other = scripted(|_, request| answer(200, "", &request.to_lowercase())).await;
    let place = other.authority();
    let url = scripted(move |_, request| {
        assert!(request.to_lowercase().contains("authorization: basic"));
        answer(302, &format!("location: http://{place}/\r\n"), "")
    })
    .await;
    let session = Session::new().with_auth(Auth::basic("u", "p"));
    let request = session.get(&url).header("cookie", "a=b").header("x-kept", "yes");
    let seen = text(request.send().await.unwrap()).await;
    assert!(!seen.contains("authorization") && !seen.contains("cookie"), "{seen}");
    assert!(seen.contains("x-kept: yes"), "{seen}");
}

/// A peer that answers with `failing` as often as this, and then well; and how often it was asked.
async fn improving(failures: usize, failing: &'static str) -> (Url, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let asked = count.clone();
    let url = scripted(move |_, request| {
        let body = request.split_once("\r\n\r\n").unwrap().1;
        match asked.fetch_add(1, Ordering::Relaxed) < failures {
            true if failing.is_empty() => None,
            true => answer(503, failing, "busy"),
            false => answer(200, "", body),
        }
    })
    .await;
    (url, count)
}

#[tokio::test]
async fn what_fails_for_a_while_is_asked_again() {
    let session = Session::new().with_retries(Retries::times(2));
    for failing in ["retry-after: 0\r\n", ""] {
        let (url, count) = improving(2, failing).await;
        let response = session.put(&url).body("ahoy").send().await.unwrap();
        assert!(response.history().is_empty());
        assert_eq!((text(response).await.as_str(), count.load(Ordering::Relaxed)), ("ahoy", 3));
        let (url, count) = improving(2, failing).await;
        let answered = session.post(&url).body("ahoy").send().await;
        assert!(answered.is_err() || answered.unwrap().status() == 503);
        assert_eq!(count.load(Ordering::Relaxed), 1);
        let (url, count) = improving(9, failing).await;
        let answered = session.get(&url).send().await;
        assert!(answered.is_err() || answered.unwrap().status() == 503);
        assert_eq!(count.load(Ordering::Relaxed), 3);
        // A stream cannot be sent once more.
        let (url, count) = improving(1, failing).await;
        let stream = Body::stream(futures_util::stream::empty());
        let answered = session.get(&url).body(stream).send().await;
        assert!(answered.is_err() || answered.unwrap().status() == 503);
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }
    // Not beyond the end of the operation.
    let (url, count) = improving(1, "retry-after: 60\r\n").await;
    let request = session.get(&url).timeout(Duration::from_secs(50));
    assert_eq!(request.send().await.unwrap().status(), 503);
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn cookies_come_back_also_after_a_redirect() {
    let url = scripted(|_, request| {
        let cookie = request.lines().find_map(|line| line.strip_prefix("cookie: "));
        match (request.starts_with("GET /set "), cookie) {
            (true, _) => answer(302, "set-cookie: id=7; HttpOnly\r\nlocation: /\r\n", ""),
            (false, cookie) => answer(200, "", cookie.unwrap_or("none")),
        }
    })
    .await;
    let session = Session::new();
    assert_eq!(text(session.get(at(&url, "/set")).send().await.unwrap()).await, "id=7");
    let request = session.clone().get(&url).header("cookie", "own=1");
    assert_eq!(text(request.send().await.unwrap()).await, "own=1; id=7");
    assert_eq!(session.jar().unwrap().len(), 1);
    let forgetful = session.clone().without_cookies();
    assert_eq!(text(forgetful.get(&url).send().await.unwrap()).await, "none");
    let other = session.with_jar(Jar::new());
    assert_eq!(text(other.get(&url).send().await.unwrap()).await, "none");
}

#[tokio::test]
async fn digest_is_answered_and_its_nonce_used_again() {
    let count = Arc::new(AtomicUsize::new(0));
    let asked = count.clone();
    let url = scripted(move |_, request| {
        asked.fetch_add(1, Ordering::Relaxed);
        let login = request.lines().find(|line| line.starts_with("authorization: Digest"));
        match login {
            Some(login) if login.contains("username=\"u\"") => answer(200, "", login),
            _ => {
                let challenge = "Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256";
                answer(401, &format!("www-authenticate: {challenge}\r\n"), "who?")
            }
        }
    })
    .await;
    let session = Session::new().with_auth(Auth::digest("u", "p"));
    let login = text(session.post(&url).body("ahoy").send().await.unwrap()).await;
    assert!(login.contains("nc=00000001"), "{login}");
    let login = text(session.get(&url).send().await.unwrap()).await;
    assert!(login.contains("nc=00000002"), "{login}");
    assert_eq!(count.load(Ordering::Relaxed), 3);
    // A login that is refused is not given again and again.
    let refused = session.get(&url).auth(Auth::digest("x", "p")).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), count.load(Ordering::Relaxed)), (401, 5));
}

#[tokio::test]
async fn a_unix_socket_stands_for_any_host() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let socket = format!("unix:{}", path.display()).parse().unwrap();
    let listener = Listener::bind(&socket).await.unwrap();
    let route = get(|request: Request| async move {
        format!("{} {}", request.headers()["host"].to_str().unwrap(), request.uri())
    });
    let routes = Router::new().route("/{*path}", route);
    tokio::spawn(Server::new(routes).serve(listener, pending()));
    let session = Session::new().with_unix_socket(&path);
    let response = session.get("http://docker/v1?a=b").send().await.unwrap();
    assert_eq!(text(response).await, "docker /v1?a=b");
    assert_eq!(session.get("https://docker/").send().await.unwrap_err().kind(), Kind::Usage);
}

#[tokio::test]
async fn a_proxy_is_asked_for_any_origin() {
    let proxy = scripted(|_, request| answer(200, "", request.lines().next().unwrap())).await;
    let dialer = Dialer::new().with_proxies(Proxies::all(proxy).unwrap());
    let session = Session::new().with_dialer(dialer);
    for path in ["/a", "/b?c"] {
        let response = session.get(format!("http://u:p@nowhere.invalid{path}")).send().await;
        let line = format!("GET http://nowhere.invalid{path} HTTP/1.1");
        assert_eq!(text(response.unwrap()).await, line);
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_request_comes_out_before_it_is_sent() {
    let session = Session::new();
    for request in [
        session.get("ftp://a.test/"),
        session.get("http://a.test:x/"),
        session.get("http://a.test/").header("a b", "c"),
        session.get("http://a.test/").header("a", "b\r\nc: d"),
        session.get("http://a.test/").auth(Auth::bearer("a\r\nb: c")),
        session.post("http://a.test/").body("x").json(&1),
    ] {
        assert_eq!(request.prepare().unwrap_err().kind(), Kind::Usage);
    }
    assert_eq!(session.with_header("a\n", "b").unwrap_err().kind(), Kind::Usage);
}

#[tokio::test]
async fn a_request_is_prepared_without_being_sent() {
    let session = Session::new().with_header("x-a", "1").unwrap();
    let session = session.with_header("x-b", "2").unwrap();
    let request = session.post("http://u:p@a.test/path").query("q", "a b&c").query("r", "ü");
    let request = request.header("x-b", "3").form([("x", "y z")]).prepare().unwrap();
    assert_eq!(request.url.path_and_query(), "/path?q=a+b%26c&r=%C3%BC");
    assert_eq!(request.body.as_bytes().unwrap(), "x=y+z");
    let fields = session.fields(&request).unwrap();
    for (name, value) in [
        ("x-a", "1"),
        ("x-b", "3"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-length", "5"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("authorization", "Basic dTpw"),
    ] {
        assert_eq!(fields[name], value);
    }
}

#[test]
fn programs_without_a_runtime_have_the_same() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let url = runtime.block_on(async {
        let routes = Router::new().route("/", any(|body: String| async move { body }));
        server(routes).await
    });
    let session = blocking::Session::new().unwrap();
    let threads = (0..4).map(|n| {
        let (session, url) = (session.clone(), url.clone());
        std::thread::spawn(move || {
            let body = format!("first {n}\nsecond\n");
            let response = session.post(&url).body(body).send().unwrap();
            response.lines().collect::<Result<Vec<_>, _>>().unwrap()
        })
    });
    for (n, thread) in threads.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(thread.join().unwrap(), [format!("first {n}"), "second".to_owned()]);
    }
    let mut response = session.post(&url).body("ahoy").send().unwrap();
    let mut start = [0; 2];
    std::io::Read::read_exact(&mut response, &mut start).unwrap();
    let mut rest = Vec::new();
    assert_eq!((start, response.save_to(&mut rest).unwrap()), (*b"ah", 2));
    assert_eq!(rest, b"oy");
    assert!(blocking::get("http://127.0.0.1:1/").is_err());
    // Dropping a session is allowed anywhere.
    runtime.block_on(async move { drop(session) });
}
