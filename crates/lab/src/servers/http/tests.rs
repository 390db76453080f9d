//! The routes, asked without a network.

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use digest_auth::{AuthContext, HttpMethod};
use http_body_util::BodyExt;
use portolan_net::now;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::io::Cursor;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tower::ServiceExt;

use super::cookies::{quote, unquote};
use super::digest::parameters;
use super::{INDEX, routes};

/// A response, wholly received.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn cookies(&self) -> Vec<&str> {
        let all = self.headers.get_all("set-cookie").iter();
        all.map(|value| value.to_str().unwrap()).collect()
    }

    fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

async fn ask(
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(target).header("host", "lab.test");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = routes().oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 1 << 24).await.unwrap();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

async fn get(target: &str) -> Answer {
    get_with(target, &[]).await
}

async fn get_with(target: &str, headers: &[(&str, &str)]) -> Answer {
    ask("GET", target, headers, Body::empty()).await
}

async fn post(target: &str, kind: &str, body: impl Into<Body>) -> Value {
    ask("POST", target, &[("content-type", kind)], body).await.json()
}

#[tokio::test(start_paused = true)]
async fn every_route_of_the_index_answers() {
    let paths = INDEX.join("\n");
    let paths = paths.split_whitespace().filter(|word| word.starts_with('/'));
    let mut count = 0;
    for path in paths {
        let path = path.split(['?', '[']).next().unwrap();
        let target = [
            ("{code}", "200"),
            ("{seconds}", "1"),
            ("{count}", "3"),
            ("{qop}", "auth"),
            ("{offset}", "1"),
            ("{value}", "YWhveQ"),
            ("{", "u"),
            ("}", ""),
        ];
        let target =
            target.iter().fold(path.to_owned(), |path, (part, value)| path.replace(part, value));
        let mut answer =
            get_with(&target, &[("authorization", "Basic dXVzZXI6dXBhc3N3b3Jk")]).await;
        if answer.status == 405 {
            let method = answer.header("allow").split(',').next().unwrap().to_owned();
            answer = ask(&method, &target, &[], "").await;
        }
        let is_refusal = ["/digest-auth", "/bearer"].iter().any(|path| target.starts_with(path));
        let wanted = match is_refusal {
            true => 401..402,
            false if target == "/redirect-to" => 400..401,
            false => 200..400,
        };
        assert!(wanted.contains(&answer.status), "{target}: {}", answer.status);
        count += 1;
    }
    assert!(count > 50, "{count}");
    assert!(get("/").await.text().contains("/trailers"));
    assert_eq!(get("/nowhere").await.status, 404);
}

#[tokio::test]
async fn requests_are_told_as_json() {
    let headers = [("x-foo-1bar", "q"), ("x-dup", "1"), ("x-dup", "2"), ("via", "1.1 p")];
    let answer = get_with("/get?a=1&a=2&b=%C3%A9%20x&c&a=3", &headers).await;
    let wanted = json!({
        "args": { "a": ["1", "2", "3"], "b": "é x", "c": "" },
        "headers": { "Host": "lab.test", "X-Dup": "1,2", "X-Foo-1Bar": "q" },
        "origin": null,
        "url": "http://lab.test/get?a=1&a=2&b=%C3%A9%20x&c&a=3",
    });
    assert_eq!(answer.json(), wanted);
    let proxied = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https")];
    let told = get_with("/get?show_env", &proxied).await.json();
    assert_eq!(told["origin"], "192.0.2.1");
    assert_eq!(told["url"], "https://lab.test/get?show_env");
    assert_eq!(told["headers"]["X-Forwarded-For"], "192.0.2.1");
    assert_eq!(get("/user-agent").await.json(), json!({ "user-agent": null }));
    // As HTTP/2 has it: the host in the target, and cookies in crumbs.
    let crumbs = [("cookie", "a=b"), ("cookie", "c=d")];
    let told = get_with("https://other.test/headers", &crumbs).await.json();
    assert_eq!(told["headers"]["Cookie"], "a=b; c=d");
}

#[tokio::test]
async fn bodies_are_told_by_what_they_are() {
    let form = post("/post", "application/x-www-form-urlencoded", "a=b&a=c&d=%20").await;
    assert_eq!(form["form"], json!({ "a": ["b", "c"], "d": " " }));
    assert_eq!(
        (&form["data"], &form["json"], &form["files"]),
        (&json!(""), &Value::Null, &json!({}))
    );
    let body = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
        --x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\ntext\r\n\
        --x\r\nContent-Disposition: form-data; name=\"g\"; filename=\"g\"\r\n\
        Content-Type: image/png\r\n\r\n";
    let body = [body.as_bytes(), b"\xff\x00", b"\r\n--x--\r\n"].concat();
    let parts = post("/anything/here", "multipart/form-data; boundary=x", body.clone()).await;
    assert_eq!(parts["form"], json!({ "a": "1" }));
    assert_eq!(parts["files"], json!({ "f": "text", "g": "data:image/png;base64,/wA=" }));
    assert_eq!((&parts["method"], &parts["data"]), (&json!("POST"), &json!("")));
    let told = post("/post", "application/json", r#"{"a":[1,null]}"#).await;
    assert_eq!(told["json"], json!({ "a": [1, null] }));
    assert_eq!(told["data"], r#"{"a":[1,null]}"#);
    assert_eq!(told.get("method"), None);
    let told = post("/post", "x/y", vec![0xff, 0]).await;
    assert_eq!(told["data"], "data:application/octet-stream;base64,/wA=");
    // Bad input is refused.
    for cut in [10, 100, body.len() - 10] {
        let kind = [("content-type", "multipart/form-data; boundary=x")];
        assert_eq!(ask("POST", "/post", &kind, body[..cut].to_vec()).await.status, 400, "{cut}");
    }
    let kind = [("content-type", "multipart/form-data")];
    assert_eq!(ask("POST", "/post", &kind, "").await.status, 400);
    let largest = vec![b'a'; super::request::BODY_MAX];
    assert_eq!(ask("PUT", "/put", &[], largest.clone()).await.status, 200);
    assert_eq!(ask("PUT", "/put", &[], [&*largest, b"a"].concat()).await.status, 413);
}

#[tokio::test]
async fn pages_of_any_origin_may_read_and_options_are_answered() {
    let answer = get_with("/get", &[("origin", "http://a.test")]).await;
    assert_eq!(answer.header("access-control-allow-origin"), "http://a.test");
    assert_eq!(answer.header("access-control-max-age"), "");
    let wanted = [("access-control-request-headers", "x-a")];
    let answer = ask("OPTIONS", "/put", &wanted, "").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, "*"));
    assert_eq!(answer.header("access-control-allow-headers"), "x-a");
    assert_eq!(answer.header("allow"), "PUT");
    assert_eq!(ask("POST", "/get", &[], "").await.status, 405);
    assert_eq!(ask("HEAD", "/get", &[], "").await.body, "");
}

#[tokio::test]
async fn statuses_are_those_asked_for() {
    for code in [200, 204, 304, 404, 418, 500, 799, 999] {
        assert_eq!(get(&format!("/status/{code}")).await.status, code);
    }
    for codes in
        ["42", "101", "1000", "abc", "200:x", "200:-1", "200:nan", "200:inf", "200:0", "200,,"]
    {
        assert_eq!(get(&format!("/status/{codes}")).await.status, 400, "{codes}");
    }
    assert_eq!(get("/status/307").await.header("location"), "/redirect/1");
    assert_eq!(get("/status/407").await.header("proxy-authenticate"), "Basic realm=\"Fake Realm\"");
    assert!(get("/status/418").await.text().contains("teapot"));
    let mut seen = [0; 2];
    for _ in 0..300 {
        match get("/status/201:0.9,202:0.1,203:0").await.status {
            201 => seen[0] += 1,
            202 => seen[1] += 1,
            other => panic!("{other}"),
        }
    }
    // The chance that this fails is less than one in a billion.
    assert!(seen[0] > 200 && seen[1] > 0, "{seen:?}");
}

#[tokio::test]
async fn basic_and_bearer() {
    let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
    for (path, refusal) in [("/basic-auth/u/p%20q", 401), ("/hidden-basic-auth/u/p%20q", 404)] {
        assert_eq!(get(path).await.status, refusal);
        for wrong in [basic("u:p"), basic("u:p q "), "Basic !".into(), "Bearer x".into()] {
            assert_eq!(
                get_with(path, &[("authorization", &wrong)]).await.status,
                refusal,
                "{wrong}"
            );
        }
        let told = get_with(path, &[("authorization", &basic("u:p q"))]).await.json();
        assert_eq!(told, json!({ "authenticated": true, "user": "u" }));
    }
    assert_eq!(
        get("/basic-auth/u/p").await.header("www-authenticate"),
        "Basic realm=\"Fake Realm\""
    );
    assert_eq!(get("/bearer").await.header("www-authenticate"), "Bearer");
    let told = get_with("/bearer", &[("authorization", "Bearer Bear.er")]).await.json();
    assert_eq!(told, json!({ "authenticated": true, "token": "Bear.er" }));
}

/// What a client of another hand answers to a challenge.
fn respond(challenge: &Answer, target: &str, password: &str) -> String {
    let secrets =
        AuthContext::new_with_method("u", password, target, Some(&b""[..]), HttpMethod::GET);
    let mut prompt = digest_auth::parse(challenge.header("www-authenticate")).unwrap();
    prompt.respond(&secrets).unwrap().to_string()
}

#[tokio::test]
async fn digests_admit_who_knows_the_password() {
    for algorithm in ["MD5", "SHA-256", "SHA-512-256"] {
        for (qop, session) in [("auth", ""), ("auth-int", ""), ("auth", "-sess"), ("any", "-sess")]
        {
            let target = format!("/digest-auth/{qop}/u/p,%22/{algorithm}{session}?a=,b");
            let challenge = get(&target).await;
            assert_eq!(challenge.status, 401);
            let right = respond(&challenge, &target, "p,\"");
            let answer = get_with(&target, &[("authorization", &right)]).await;
            assert_eq!(answer.status, 200, "{target}: {right}");
            assert_eq!(answer.json(), json!({ "authenticated": true, "user": "u" }));
            let wrong = [
                respond(&challenge, &target, "q"),
                respond(&challenge, "/digest-auth/", "p,\""),
                right.replace("username=\"u\"", "username=\"v\""),
                right.replace("nonce=\"", "nonce=\"0"),
                right.replace("qop=", "other="),
            ];
            for wrong in wrong {
                let answer = get_with(&target, &[("authorization", &wrong)]).await;
                assert_eq!(answer.status, 401, "{target}: {wrong}");
            }
        }
    }
    let challenge = get("/digest-auth/auth/u/p/SHA-512").await;
    assert!(challenge.header("www-authenticate").contains("algorithm=SHA-512, "));
}

#[tokio::test]
async fn digests_go_stale_and_want_cookies() {
    let target = "/digest-auth/auth/u/p/MD5/1?require-cookie=1";
    let challenge = get(target).await;
    assert_eq!(challenge.cookies(), ["stale_after=1; Path=/", "fake=fake_value; Path=/"]);
    let right = respond(&challenge, target, "p");
    let with = async |cookies: &str| {
        get_with(target, &[("authorization", &right), ("cookie", cookies)]).await
    };
    assert_eq!(get_with(target, &[("authorization", &right)]).await.status, 401);
    assert_eq!(with("a=b").await.status, 403);
    let answer = with("fake=fake_value; stale_after=1").await;
    assert_eq!((answer.status, answer.cookies()[0]), (200, "stale_after=0; Path=/"));
    let stale = with("fake=fake_value; stale_after=0").await;
    assert_eq!(stale.status, 401);
    assert!(stale.header("www-authenticate").ends_with("stale=true"));
    // A nonce that was refused once is refused as stale from then on.
    let nonce = stale.cookies()[1].split(';').next().unwrap();
    assert!(nonce.starts_with("last_nonce="), "{nonce}");
    let again = with(&format!("fake=fake_value; {nonce}")).await;
    assert!(again.header("www-authenticate").ends_with("stale=true"));
}

#[tokio::test]
async fn cookies_are_told_set_and_deleted() {
    let cookies = [("cookie", r#"a="b c"; d="e\073\"f"; a=2; z"#)];
    let told = get_with("/cookies", &cookies).await.json();
    assert_eq!(told, json!({ "cookies": { "a": "b c", "d": "e;\"f", "z": "" } }));
    let set = get("/cookies/set?a=b%20c&d=e%3B%22f&u=%C3%A9&p=q").await;
    let wanted =
        ["a=\"b c\"; Path=/", r#"d="e\073\"f"; Path=/"#, r#"u="\303\251"; Path=/"#, "p=q; Path=/"];
    assert_eq!((set.status, set.header("location")), (302, "/cookies"));
    assert_eq!(set.cookies(), wanted);
    assert_eq!(get("/cookies/set/n/v").await.cookies(), ["n=v; Path=/"]);
    let gone = get("/cookies/delete?a").await;
    assert_eq!(gone.cookies(), ["a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/"]);
    for name in ["", "a%3B", "a%0D%0Ab", "%C3%A9"] {
        assert_eq!(get(&format!("/cookies/set?{name}=v")).await.status, 400, "{name}");
    }
}

#[tokio::test]
async fn redirects_lead_to_the_end() {
    for (start, count) in [
        ("/redirect/1", 1),
        ("/redirect/4", 4),
        ("/absolute-redirect/3", 3),
        ("/redirect/3?absolute=true", 3),
        ("/relative-redirect/5", 5),
        ("/redirect/4000000000", 100),
    ] {
        let mut at = start.to_owned();
        for _ in 0..count {
            let answer = get(&at).await;
            assert_eq!(answer.status, 302, "{start}: {at}");
            answer.header("location").clone_into(&mut at);
        }
        let is_absolute = start.contains("absolute");
        assert_eq!(at, if is_absolute { "http://lab.test/get" } else { "/get" }, "{start}");
    }
    assert_eq!(get("/redirect/0").await.status, 400);
    let target = "/redirect-to?URL=http%3A%2F%2Fa.test%2F%3Fb&status_code=";
    for (asked, given) in [("307", 307), ("200", 302)] {
        let answer = ask("PUT", &format!("{target}{asked}"), &[], "").await;
        assert_eq!((answer.status, answer.header("location")), (given, "http://a.test/?b"));
    }
    for target in ["/redirect-to", "/redirect-to?url=%0D%0Aa:b", "/redirect-to?url=a&status_code=x"]
    {
        assert_eq!(get(target).await.status, 400, "{target}");
    }
}

#[tokio::test]
async fn codings_can_be_undone() {
    for (path, coding, key) in [
        ("/gzip", "gzip", "gzipped"),
        ("/deflate", "deflate", "deflated"),
        ("/brotli", "br", "brotli"),
        ("/zstd", "zstd", "zstd"),
    ] {
        let answer = get(path).await;
        assert_eq!(answer.header("content-encoding"), coding);
        let coded = Cursor::new(answer.body.to_vec());
        let mut plain = String::new();
        match coding {
            "gzip" => GzipDecoder::new(coded).read_to_string(&mut plain).await,
            "deflate" => ZlibDecoder::new(coded).read_to_string(&mut plain).await,
            "br" => BrotliDecoder::new(coded).read_to_string(&mut plain).await,
            _ => ZstdDecoder::new(coded).read_to_string(&mut plain).await,
        }
        .unwrap();
        let told: Value = serde_json::from_str(&plain).unwrap();
        let wanted = json!({ "headers": { "Host": "lab.test" }, "method": "GET", "origin": null, key: true });
        assert_eq!(told, wanted);
    }
}

#[tokio::test]
async fn conditions_and_headers() {
    let fresh = get("/cache").await;
    assert!(httpdate::parse_http_date(fresh.header("last-modified")).is_ok());
    let tag = fresh.header("etag").to_owned();
    assert_eq!(get_with("/cache", &[("if-none-match", &tag)]).await.status, 304);
    assert_eq!(get("/cache/60").await.header("cache-control"), "public, max-age=60");
    for (name, value, status) in [
        ("if-none-match", "\"x\"", 304),
        ("if-none-match", "W/\"y\", W/\"x\"", 304),
        ("if-none-match", "*", 304),
        ("if-none-match", "\"xx\"", 200),
        ("if-match", "x", 200),
        ("if-match", "*", 200),
        ("if-match", "\"y\"", 412),
        ("a", "b", 200),
    ] {
        let answer = get_with("/etag/x", &[(name, value)]).await;
        assert_eq!(answer.status, status, "{name}: {value}");
        assert_eq!(answer.header("etag"), if status == 412 { "" } else { "\"x\"" });
    }
    let answer = get("/response-headers?a=1&a=2&X-b=c").await;
    let told = json!({
        "Content-Length": answer.body.len().to_string(), "Content-Type": "application/json",
        "X-b": "c", "a": ["1", "2"],
    });
    assert_eq!((answer.json(), answer.header("x-b")), (told, "c"));
    assert_eq!(answer.headers.get_all("a").iter().count(), 2);
    for bad in ["Content-Length=1", "transfer-encoding=chunked", "a%20b=c", "a=%0D%0Ab", "=a"] {
        assert_eq!(get(&format!("/response-headers?{bad}")).await.status, 400, "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_takes_time_takes_as_long_as_asked() {
    for (target, wanted) in [
        ("/delay/2.5", 2500),
        ("/delay/1e9", 10_000),
        ("/drip?numbytes=5&duration=5&delay=1", 5000),
        ("/drip?numbytes=10000000&duration=1000&delay=1000&code=202", 19_990),
        ("/range/20?duration=4&chunk_size=5", 3000),
        ("/sse?count=3&interval=2", 4000),
    ] {
        let started = now();
        let answer = get(target).await;
        let took = now() - started;
        assert!(answer.status < 300, "{target}");
        let wanted = Duration::from_millis(wanted);
        // A timer has a granularity of 1 ms, and there are up to 1000 pauses.
        let slack = Duration::from_millis(1100);
        assert!(took >= wanted && took < wanted + slack, "{target}: {took:?}");
    }
    let dripped = get("/drip?numbytes=100000000&duration=0").await;
    assert_eq!(dripped.header("content-length"), "10485760");
    assert_eq!(dripped.body.len(), 10_485_760);
    for bad in [
        "/delay/-1",
        "/delay/nan",
        "/drip?numbytes=0",
        "/drip?code=101",
        "/drip?duration=inf",
        "/sse?interval=-1",
        "/drip?numbytes=-1",
    ] {
        assert_eq!(get(bad).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn streams_come_in_pieces() {
    let answer = get("/stream/3").await;
    let lines: Vec<Value> =
        answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| &line["id"]).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(lines[0]["url"], "http://lab.test/stream/3");
    assert_eq!(get("/stream/1000000").await.text().lines().count(), 100);
    assert_eq!(get("/stream-bytes/300").await.body, get("/bytes/300").await.body);
    assert_eq!(
        get("/stream-bytes/9?chunk_size=2&seed=7").await.body,
        get("/bytes/9?seed=7").await.body
    );
    assert_ne!(get("/bytes/9?seed=8").await.body, get("/bytes/9?seed=7").await.body);
    let request = Request::get("/stream-bytes/10?chunk_size=4").body(Body::empty()).unwrap();
    let mut body = routes().oneshot(request).await.unwrap().into_body();
    let mut sizes = Vec::new();
    while let Some(frame) = body.frame().await {
        sizes.push(frame.unwrap().into_data().unwrap().len());
    }
    assert_eq!(sizes, [4, 4, 2]);
    let events = get_with("/sse?count=4", &[("last-event-id", "1")]).await;
    assert_eq!(events.header("content-type"), "text/event-stream");
    let wanted = "event: ping\nid: 2\ndata: {\"id\":2}\n\nevent: ping\nid: 3\ndata: {\"id\":3}\n\n";
    assert_eq!(events.text(), wanted);
    assert_eq!(get("/sse?count=100000").await.text().matches("event:").count(), 100);
    assert_eq!(get_with("/sse", &[("last-event-id", &u64::MAX.to_string())]).await.text(), "");
}

#[tokio::test]
async fn trailers_are_those_of_the_query() {
    let request = Request::get("/trailers?x-a=1&x-b=2&x-a=3").body(Body::empty()).unwrap();
    let response = routes().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["trailer"], "x-a, x-b");
    let trailers = response.into_body().collect().await.unwrap().trailers().unwrap().clone();
    let values: Vec<_> = trailers.get_all("x-a").iter().collect();
    assert_eq!(values, ["1", "3"]);
    assert_eq!(trailers["x-b"], "2");
    assert_eq!(get("/trailers").await.header("trailer"), "");
    assert_eq!(get("/trailers?content-length=1").await.status, 400);
}

#[tokio::test]
async fn ranges_are_cut_from_the_alphabet() {
    for (range, status, body, told) in [
        ("bytes=5-8", 206, "fghi", "bytes 5-8/30"),
        ("bytes=27-", 206, "bcd", "bytes 27-29/30"),
        ("bytes=-2", 206, "cd", "bytes 28-29/30"),
        ("bytes=28-99", 206, "cd", "bytes 28-29/30"),
        ("bytes=30-", 416, "", "bytes */30"),
        ("bytes=-0", 416, "", "bytes */30"),
    ] {
        let answer = get_with("/range/30", &[("range", range)]).await;
        assert_eq!((answer.status, answer.text()), (status, body), "{range}");
        assert_eq!(answer.header("content-range"), told);
        assert_eq!(answer.header("etag"), "\"range30\"");
    }
    let whole = "abcdefghijklmnopqrstuvwxyzabcd";
    for range in ["bytes=8-5", "bytes=1-2,4-5", "bytes=a-b", "lines=1-2", "bytes=+1-2", "bytes="] {
        let answer = get_with("/range/30", &[("range", range)]).await;
        assert_eq!((answer.status, answer.text()), (200, whole), "{range}");
        assert_eq!(answer.header("content-length"), "30");
    }
    let other = [("range", "bytes=5-8"), ("if-range", "\"other\"")];
    assert_eq!(get_with("/range/30", &other).await.status, 200);
    let same = [("range", "bytes=5-8"), ("if-range", "\"range30\"")];
    assert_eq!(get_with("/range/30", &same).await.status, 206);
    assert_eq!(get("/range/0").await.status, 404);
    assert_eq!(get("/range/102401").await.status, 404);
}

#[tokio::test]
async fn uploads_are_counted_and_hashed() {
    let told = ask("PUT", "/upload", &[], "abc").await.json();
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(told, json!({ "bytes": 3, "sha256": hash }));
    let large = vec![0; super::request::BODY_MAX * 2];
    assert_eq!(post("/upload", "x/y", large).await["bytes"], super::request::BODY_MAX * 2);
}

#[tokio::test]
async fn small_values() {
    for value in ["YWhveQ==", "YWhveQ"] {
        assert_eq!(get(&format!("/base64/{value}")).await.text(), "ahoy");
    }
    assert_eq!(get("/base64/_-8=").await.body, vec![0xff, 0xef]);
    assert_eq!(get("/base64/!").await.status, 400);
    let [one, other] = [get("/uuid").await.json(), get("/uuid").await.json()];
    assert_ne!(one, other);
    assert_eq!(one["uuid"].as_str().unwrap().parse::<uuid::Uuid>().unwrap().get_version_num(), 4);
}

#[tokio::test]
async fn images_are_chosen_by_accept() {
    for (accept, kind, start) in [
        ("image/webp,*/*", "image/webp", &b"RIFF"[..]),
        ("image/jpeg", "image/jpeg", b"\xff\xd8\xff"),
        ("image/svg+xml", "image/svg+xml", b"<svg"),
        ("IMAGE/PNG", "image/png", b"\x89PNG"),
        ("image/*", "image/png", b"\x89PNG"),
        ("*/*", "image/png", b"\x89PNG"),
    ] {
        let answer = get_with("/image", &[("accept", accept)]).await;
        assert_eq!(answer.header("content-type"), kind, "{accept}");
        assert!(answer.body.starts_with(start), "{accept}");
        let path = format!("/image/{}", kind["image/".len()..].trim_end_matches("+xml"));
        assert_eq!(get(&path).await.body, answer.body);
    }
    assert_eq!(get("/image").await.header("content-type"), "image/png");
    let refused = get_with("/image", &[("accept", "text/html")]).await;
    assert_eq!((refused.status, refused.json()["accept"][0].as_str()), (406, Some("image/webp")));
}

#[tokio::test]
async fn pages_link_to_pages() {
    let start = get("/links/3").await;
    assert_eq!((start.status, start.header("location")), (302, "/links/3/0"));
    let page = get("/links/3/1").await;
    let links = "<a href='/links/3/0'>0</a> 1 <a href='/links/3/2'>2</a> ";
    assert!(page.text().contains(links), "{}", page.text());
    assert_eq!(get("/links/1000000/0").await.text().matches("<a ").count(), 199);
    let sitemap = get("/site/sitemap.xml").await;
    let pages: Vec<_> = sitemap.text().split("<loc>http://lab.test").skip(1).collect();
    for page in &pages {
        let path = page.split('<').next().unwrap();
        let answer = get(path).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, "text/html; charset=utf-8")
        );
    }
    assert!(pages.len() > 5 && !sitemap.text().contains("private"));
    let robots = get("/robots.txt").await;
    assert!(robots.text().contains("Disallow: /site/private/\n"), "{}", robots.text());
    assert!(robots.text().ends_with("Sitemap: http://lab.test/site/sitemap.xml\n"));
    assert_eq!(get("/site/old.html").await.header("location"), "/site/about.html");
    assert_eq!(get("/site/missing.html").await.status, 404);
    let latin1 = get("/site/latin1.html").await;
    assert!(latin1.body.windows(4).any(|bytes| bytes == b"Caf\xe9"));
    assert!(get("/site/days/9").await.text().contains("href=\"10\""));
    assert_eq!(get(&format!("/site/days/{}", u64::MAX)).await.status, 404);
}

/// Asks on a runtime of its own, for properties.
fn status_of(target: &str, headers: &[(&str, &str)]) -> StatusCode {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let answer = runtime.block_on(get_with(target, headers));
    StatusCode::from_u16(answer.status).unwrap()
}

proptest! {
    #[test]
    fn cookies_keep_any_text(text in ".*") {
        let quoted = quote(&text);
        prop_assert!(quoted.is_ascii() && !quoted.contains([';', ',', '\r', '\n']), "{quoted}");
        // Only what was quoted is taken out of quotes.
        prop_assert_eq!(unquote(&quoted), text);
    }

    #[test]
    fn cookies_of_any_form_are_read(text in "[\\x20-\\x7e]*") {
        prop_assert_eq!(status_of("/cookies", &[("cookie", &text)]), 200);
        prop_assert!(unquote(&text).len() <= text.len() * 3);
    }

    #[test]
    fn parameters_are_read_back(pairs in proptest::collection::hash_map("[a-z]{1,8}", "[\\x20-\\x7e]*", 0..5)) {
        let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
        let text: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        prop_assert_eq!(parameters(&text.join(", ")), Some(pairs));
    }

    #[test]
    fn no_credentials_or_ranges_make_it_fail(text in "[\\x20-\\x7e]*", digits in "[0-9,=-]{0,24}") {
        let credentials = format!("Digest {text}");
        let status = status_of("/digest-auth/auth/u/p", &[("authorization", &credentials)]);
        prop_assert_eq!(status, 401);
        let status = status_of("/range/99", &[("range", &format!("bytes={digits}"))]);
        prop_assert!([200, 206, 416].contains(&status.as_u16()), "{status}");
    }
}
