//! The routes, asked without a network.

mod auth;
mod bodies;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use bytes::Bytes;
use portolan_core::Timeouts;
use portolan_net::Context;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::request::BODY_MAX;
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
    let cx = Context::new(Timeouts::default());
    let mut request = Request::builder().method(method).uri(target).extension(cx);
    request = request.header("host", "lab.test");
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
        let segments = path.split('/').map(|segment| match segment.trim_matches(['{', '}']) {
            "code" => "200",
            "count" | "offset" | "seconds" => "3",
            "value" => "YWhveQ",
            other => other,
        });
        let target = segments.collect::<Vec<_>>().join("/");
        let mut answer =
            get_with(&target, &[("authorization", "Basic dXNlcjpwYXNzd29yZA==")]).await;
        if answer.status == 405 {
            let method = answer.header("allow").split(',').next().unwrap().to_owned();
            answer = ask(&method, &target, &[], "").await;
        }
        let is_refusal = ["/digest-auth", "/bearer"].iter().any(|path| target.starts_with(path));
        let wanted = match is_refusal {
            true => 401..402,
            false if target == "/redirect-to" => 400..401,
            // The handshake is missing (RFC 6455 section 4.2.1).
            false if target.starts_with("/ws") => 426..427,
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
    let largest = vec![b'a'; BODY_MAX];
    assert_eq!(ask("PUT", "/put", &[], largest.clone()).await.status, 200);
    let larger = [&*largest, b"a"].concat();
    assert_eq!(ask("PUT", "/put", &[], larger.clone()).await.status, 413);
    assert_eq!(ask("PUT", "/put", &[("expect", "100-continue")], larger).await.status, 413);
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

#[tokio::test]
async fn a_path_that_cannot_be_read_is_refused_in_plain_words() {
    for (target, why) in [
        ("/bytes/-1", "'-1' in the path is not a whole number up to 18446744073709551615\n"),
        ("/range/x", "'x' in the path is not a whole number up to 18446744073709551615\n"),
        ("/cache/abc", "'abc' in the path is not a whole number up to 4294967295\n"),
        (
            "/redirect/9999999999",
            "'9999999999' in the path is not a whole number up to 4294967295\n",
        ),
        ("/links/1/x", "'x' in the path is not a whole number up to 4294967295\n"),
        ("/delay/soon", "'soon' in the path is not a number\n"),
        ("/base64/%ff", "the path is not percent-encoded UTF-8\n"),
    ] {
        let answer = get(target).await;
        assert_eq!((answer.status, answer.text()), (400, why), "{target}");
    }
}
