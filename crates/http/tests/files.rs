//! Files: what is sent of them, and what is listed.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

#[expect(dead_code, reason = "these tests need nothing outside")]
mod served;
#[expect(dead_code, reason = "these tests need no scripts")]
mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZstdDecoder};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ALLOW, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, LOCATION, ORIGIN, RANGE, VARY, WWW_AUTHENTICATE,
};
use http::{Method, Request};
use portolan_core::Kind;
use portolan_http::{Account, Body, Files, Protocol, Upload};
use serde_json::{Value, json};
use served::Served;
use tokio::io::AsyncReadExt;

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
/// `password`, hashed with as little effort as can be.
const ACCOUNT: &str =
    "ana:$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$8Tf44YakA6Z5zNBgblq13Nr+Q8FkCFWsjG4z6b1j7rM";

fn plain(files: Files) -> Files {
    files
}

fn uploads(files: Files) -> Files {
    files.with_upload(Upload::default())
}

#[tokio::test]
async fn a_file_is_sent_with_all_that_is_known_of_it() {
    let served = Served::new(&[("a/café.txt", "ahoy")], plain).await;
    let modified = fs::metadata(served.root().join("a/café.txt")).unwrap().modified().unwrap();
    let got = served.get("/a/caf%C3%A9.txt?x=1", &[]).await;
    assert_eq!((got.status.as_u16(), got.text()), (200, "ahoy"));
    assert_eq!(got.field(CONTENT_TYPE), "text/plain; charset=utf-8");
    assert_eq!(got.field(CONTENT_LENGTH), "4");
    assert_eq!(got.field(ACCEPT_RANGES), "bytes");
    assert_eq!(got.field(LAST_MODIFIED), httpdate::fmt_http_date(modified));
    assert!(got.field(ETAG).starts_with('"') && got.field(ETAG).ends_with('"'));
    let head = served.send(Method::HEAD, "/a/caf%C3%A9.txt", &[], "").await;
    assert_eq!((head.status.as_u16(), head.text()), (200, ""));
    for name in [CONTENT_TYPE, CONTENT_LENGTH, ACCEPT_RANGES, LAST_MODIFIED, ETAG] {
        assert_eq!(head.field(name.clone()), got.field(name));
    }
}

#[tokio::test]
async fn large_and_empty_files_are_sent_whole() {
    let served = Served::new(&[("empty", "")], plain).await;
    let large: Vec<u8> = (0..3_000_001_u32).map(|n| (n % 251) as u8).collect();
    served.write("large.bin", &large);
    assert_eq!(served.get("/large.bin", &[]).await.body, large);
    let empty = served.get("/empty", &[]).await;
    assert_eq!((empty.status.as_u16(), empty.field(CONTENT_LENGTH)), (200, "0"));
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_other_methods_are_not_allowed() {
    let served = Served::new(&[("a.txt", "ahoy"), (".hidden", "")], plain).await;
    for path in ["/b", "/a.txt/", "/a.txt/b", "/.hidden", &format!("/{}", "n".repeat(300))] {
        let got = served.get(path, &[]).await;
        assert_eq!((got.status.as_u16(), got.text()), (404, "there is no such file\n"), "{path}");
    }
    let page = served.get("/b", &[(ACCEPT, BROWSER)]).await;
    assert_eq!(page.field(CONTENT_TYPE), "text/html; charset=utf-8");
    assert!(page.text().contains("<h1>404<small>Not Found</small></h1>"));
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::TRACE] {
        let got = served.send(method, "/a.txt", &[], "").await;
        assert_eq!((got.status.as_u16(), got.field(ALLOW)), (405, "GET, HEAD, OPTIONS"));
    }
    let options = served.send(Method::OPTIONS, "/a.txt", &[], "").await;
    assert_eq!((options.status.as_u16(), options.field(ALLOW)), (204, "GET, HEAD, OPTIONS"));
    assert_eq!(served.read("a.txt").as_deref(), Some("ahoy"));
}

#[tokio::test]
async fn hidden_files_and_symlinks_are_served_where_asked() {
    let all = |files: Files| files.with_hidden(true).with_follow_symlinks(true);
    for (set, status) in [(plain as fn(Files) -> Files, 404), (all, 200)] {
        let served = Served::new(&[(".well-known/a", "hidden"), ("b", "linked")], set).await;
        symlink("b", served.root().join("link")).unwrap();
        symlink("../secret", served.root().join("out")).unwrap();
        assert_eq!(served.get("/.well-known/a", &[]).await.status, status);
        assert_eq!(served.get("/link", &[]).await.status, status);
        let list = served.get("/", &[(ACCEPT, "application/json")]).await;
        let list: Value = serde_json::from_slice(&list.body).unwrap();
        let names = list["entries"].as_array().unwrap().iter().map(|entry| &entry["name"]);
        let expected = if status == 200 { &[".well-known", "b", "link"][..] } else { &["b"] };
        assert!(names.eq(expected), "{list}");
    }
}

#[tokio::test]
async fn directories_have_a_slash_an_index_or_a_list() {
    let served = Served::new(&[("a/index.html", "index"), ("b/c.txt", "ahoy")], plain).await;
    let got = served.get("/a?sort=size", &[]).await;
    assert_eq!((got.status.as_u16(), got.field(LOCATION)), (301, "./a/?sort=size"));
    let got = served.get("/a/", &[]).await;
    assert_eq!((got.text(), got.field(CONTENT_TYPE)), ("index", "text/html; charset=utf-8"));
    assert!(served.get("/b/", &[]).await.text().contains("c.txt"));
    let set = |files: Files| files.with_listing(false).with_index(Some("c.txt"));
    let served = Served::new(&[("a/index.html", "index"), ("b/c.txt", "ahoy")], set).await;
    assert_eq!(served.get("/a/", &[]).await.status, 404);
    assert_eq!(served.get("/b/", &[]).await.text(), "ahoy");
}

#[tokio::test]
async fn no_redirect_leads_to_another_host() {
    let served = Served::new(&[("evil.test/a", ""), ("x/evil.test/a", "")], plain).await;
    for (path, location) in [
        ("//evil.test", "./evil.test/"),
        ("///evil.test", "./evil.test/"),
        ("//x//evil.test", "./evil.test/"),
        ("/evil.test?//other.test", "./evil.test/?//other.test"),
    ] {
        let got = served.get(path, &[]).await;
        assert_eq!((got.status.as_u16(), got.field(LOCATION)), (301, location), "{path}");
    }
}

#[tokio::test]
async fn a_list_is_a_page_that_needs_no_script() {
    let set = |files: Files| files;
    let served = Served::new(&[("d/x", ""), ("big", &"b".repeat(2048)), ("small", "s")], set).await;
    let nasty = "<img src=x onerror='alert(1)'>\"&\u{202e}.txt";
    served.write(nasty, "");
    let got = served.get("/", &[(ACCEPT, BROWSER)]).await;
    assert_eq!(got.field(CONTENT_TYPE), "text/html; charset=utf-8");
    assert!(
        got.field(CONTENT_SECURITY_POLICY).starts_with("default-src 'none'; style-src 'sha256-")
    );
    let page = got.text();
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("<form"));
    assert!(page.contains("&lt;img src=x onerror=&#39;alert(1)&#39;&gt;&quot;&amp;\u{fffd}.txt"));
    assert!(page.contains("href=\"./%3Cimg%20src%3Dx%20onerror%3D%27alert%281%29%27%3E%22%26%E2"));
    assert!(page.contains("<bdi>big</bdi></a><td>2.0 KiB<td><time datetime=20"));
    let at = |page: &str, name: &str| page.find(&format!("<bdi>{name}")).unwrap();
    assert!(at(page, "d/") < at(page, "big") && at(page, "big") < at(page, "small"));
    let got = served.get("/?sort=size&order=desc", &[]).await;
    assert!(at(got.text(), "d/") < at(got.text(), "big"));
    assert!(got.text().contains("<th aria-sort=descending><a href=\"?sort=size&amp;order=asc\">"));
    let got = served.get("/?sort=size", &[]).await;
    assert!(at(got.text(), "small") < at(got.text(), "big"));
    let got = served.get("/d/", &[]).await;
    assert!(got.text().contains("<title>Index of /d/</title>"));
    assert!(got.text().contains("<a href=\"../\""));
}

#[tokio::test]
async fn a_list_is_json_for_programs() {
    let served = Served::new(&[("d/a b", "ahoy"), ("d/e/f", "")], plain).await;
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for path in ["d/a b", "d/e"] {
        fs::File::open(served.root().join(path)).unwrap().set_modified(modified).unwrap();
    }
    let got = served.get("/d/", &[(ACCEPT, "application/json")]).await;
    assert_eq!(got.field(CONTENT_TYPE), "application/json");
    assert!(got.headers.get_all(VARY).iter().any(|value| value == "accept"));
    let list: Value = serde_json::from_slice(&got.body).unwrap();
    let modified = "2001-09-09T01:46:40Z";
    assert_eq!(
        list,
        json!({ "path": "/d/", "truncated": false, "entries": [
            { "name": "e", "href": "./e/", "type": "directory", "size": null, "modified": modified },
            { "name": "a b", "href": "./a%20b", "type": "file", "size": 4, "modified": modified },
        ] })
    );
}

#[tokio::test]
async fn parts_of_a_file_can_be_had() {
    let served = Served::new(&[("a.txt", "0123456789")], plain).await;
    for (range, status, content_range, body) in [
        ("bytes=0-0", 206, "bytes 0-0/10", "0"),
        ("bytes=3-", 206, "bytes 3-9/10", "3456789"),
        ("bytes=-3", 206, "bytes 7-9/10", "789"),
        ("bytes=5-100", 206, "bytes 5-9/10", "56789"),
        ("bytes=10-", 416, "bytes */10", "the file is shorter than that\n"),
        ("lines=1-2", 200, "", "0123456789"),
        ("bytes=2-1", 200, "", "0123456789"),
    ] {
        let got = served.get("/a.txt", &[(RANGE, range)]).await;
        assert_eq!((got.status.as_u16(), got.text()), (status, body), "{range}");
        assert_eq!(got.field(CONTENT_RANGE), content_range, "{range}");
        assert_eq!(got.field(CONTENT_LENGTH), body.len().to_string(), "{range}");
    }
    let head = served.send(Method::HEAD, "/a.txt", &[(RANGE, "bytes=0-0")], "").await;
    assert_eq!((head.status.as_u16(), head.field(CONTENT_LENGTH)), (200, "10"));
}

#[tokio::test]
async fn several_parts_come_in_one_body() {
    let served = Served::new(&[("a.txt", "0123456789")], plain).await;
    let got = served.get("/a.txt", &[(RANGE, "bytes=7-8, 0-1,99-")]).await;
    assert_eq!(got.status, 206);
    let content_type = got.field(CONTENT_TYPE);
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let part = |range: &str, content: &str| {
        format!(
            "--{boundary}\r\ncontent-type: text/plain; charset=utf-8\r\n\
             content-range: bytes {range}/10\r\n\r\n{content}\r\n"
        )
    };
    let expected = format!("{}{}--{boundary}--\r\n", part("7-8", "78"), part("0-1", "01"));
    assert_eq!(got.text(), expected);
    assert_eq!(got.field(CONTENT_LENGTH), expected.len().to_string());
    assert_eq!(got.field(CONTENT_RANGE), "");
}

#[tokio::test]
async fn conditions_hold_for_versions() {
    let served = Served::new(&[("a.txt", "0123456789")], plain).await;
    let first = served.get("/a.txt", &[]).await;
    let (tag, modified) = (first.field(ETAG), first.field(LAST_MODIFIED));
    for fields in [[(IF_NONE_MATCH, tag)], [(IF_MODIFIED_SINCE, modified)]] {
        let got = served.get("/a.txt", &fields).await;
        assert_eq!((got.status.as_u16(), got.field(ETAG), got.text()), (304, tag, ""));
    }
    assert_eq!(served.get("/a.txt", &[(IF_MATCH, "\"other\"")]).await.status, 412);
    let range = (RANGE, "bytes=0-0");
    for (if_range, body) in [(tag, "0"), (modified, "0123456789"), ("\"other\"", "0123456789")] {
        let got = served.get("/a.txt", &[range.clone(), (IF_RANGE, if_range)]).await;
        assert_eq!(got.text(), body, "{if_range}");
    }
    served.write("b.txt", "9876543210");
    fs::rename(served.root().join("b.txt"), served.root().join("a.txt")).unwrap();
    let got = served.get("/a.txt", &[(IF_NONE_MATCH, tag)]).await;
    assert_eq!((got.status.as_u16(), got.text()), (200, "9876543210"));
    let got = served.get("/a.txt", &[range, (IF_RANGE, tag)]).await;
    assert_eq!((got.status.as_u16(), got.text()), (200, "9876543210"));
}

/// What the body is when the coding is taken off.
async fn decoded(coding: &str, body: &[u8]) -> String {
    let mut text = String::new();
    let mut body = body;
    let read = match coding {
        "br" => BrotliDecoder::new(body).read_to_string(&mut text).await,
        "zstd" => ZstdDecoder::new(body).read_to_string(&mut text).await,
        "gzip" => GzipDecoder::new(body).read_to_string(&mut text).await,
        _ => body.read_to_string(&mut text).await,
    };
    read.unwrap();
    text
}

#[tokio::test]
async fn text_is_compressed_while_it_is_sent() {
    let long = "ahoy sailor! ".repeat(50_000);
    let served =
        Served::new(&[("a.txt", &long), ("small.txt", "ahoy"), ("a.png", &long)], plain).await;
    let identity = served.get("/a.txt", &[]).await;
    assert_eq!((identity.field(VARY), identity.body.len()), ("accept-encoding", long.len()));
    for (accepted, coding) in [
        ("gzip", "gzip"),
        ("br", "br"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=0.1, br;q=0.2", "br"),
        ("identity", ""),
        ("gzip;q=0", ""),
    ] {
        let got = served.get("/a.txt", &[(ACCEPT_ENCODING, accepted)]).await;
        assert_eq!(got.field(CONTENT_ENCODING), coding, "{accepted}");
        assert_eq!(decoded(coding, &got.body).await, long, "{accepted}");
        assert_eq!(got.field(VARY), "accept-encoding");
        assert!(coding.is_empty() || got.body.len() < long.len() / 10);
        // It is another form with another tag, of which no ranges can be had.
        assert_eq!(got.field(ETAG).starts_with("W/"), !coding.is_empty());
        let fields = [(ACCEPT_ENCODING, accepted), (IF_NONE_MATCH, got.field(ETAG))];
        assert_eq!(served.get("/a.txt", &fields).await.status, 304);
    }
    let all = [(ACCEPT_ENCODING, "gzip, br")];
    let got = served.get("/a.txt", &[all[0].clone(), (RANGE, "bytes=0-3")]).await;
    assert_eq!((got.field(CONTENT_ENCODING), got.text()), ("", "ahoy"));
    for path in ["/small.txt", "/a.png"] {
        assert_eq!(served.get(path, &all).await.field(CONTENT_ENCODING), "", "{path}");
    }
    let head = served.send(Method::HEAD, "/a.txt", &all, "").await;
    assert_eq!((head.field(CONTENT_ENCODING), head.field(CONTENT_LENGTH)), ("gzip", ""));
}

#[tokio::test]
async fn so_many_are_compressed_at_once_and_no_more() {
    let served = Served::new(&[("d/x", "")], |files| files.with_encoders(1)).await;
    // More than fits between two who do not read; and nothing that shrinks much.
    let noise = std::iter::successors(Some(1_u32), |n| {
        let n = n ^ n << 13;
        let n = n ^ n >> 17;
        Some(n ^ n << 5)
    });
    let noise = noise.take(20_000_000).map(|n| b' ' + (n % 94) as u8);
    served.write("a.txt", noise.collect::<Vec<_>>());
    let gzip = [(ACCEPT_ENCODING, "gzip")];
    let head = async |path| served.send(Method::HEAD, path, &gzip, "").await;
    let cx = support::context();
    let mut slow = support::client(&served.url).await;
    let request = Request::get("/a.txt").header(ACCEPT_ENCODING, "gzip").body(Body::default());
    let answer = slow.send(request.unwrap(), &cx).await.unwrap();
    assert_eq!(answer.headers()[CONTENT_ENCODING], "gzip");
    for path in ["/a.txt", "/d/"] {
        let got = head(path).await;
        assert_eq!((got.status.as_u16(), got.field(CONTENT_ENCODING)), (200, ""), "{path}");
    }
    drop((answer, slow));
    while head("/a.txt").await.field(CONTENT_ENCODING) != "gzip" {}
}

#[tokio::test]
async fn what_lies_compressed_beside_a_file_is_sent() {
    let files = [("a.js", "plain"), ("a.js.br", "brotli"), ("a.js.gz", "0123456789")];
    let served = Served::new(&files, plain).await;
    for (accepted, coding, body) in [
        ("gzip, br", "br", "brotli"),
        ("gzip", "gzip", "0123456789"),
        ("zstd", "", "plain"),
        ("br;q=0.5, gzip", "gzip", "0123456789"),
    ] {
        let got = served.get("/a.js", &[(ACCEPT_ENCODING, accepted)]).await;
        assert_eq!((got.field(CONTENT_ENCODING), got.text()), (coding, body), "{accepted}");
        assert_eq!(got.field(CONTENT_TYPE), "text/javascript; charset=utf-8");
        assert_eq!(got.field(VARY), "accept-encoding");
        assert!(got.field(ETAG).starts_with('"'));
    }
    let gzip = [(ACCEPT_ENCODING, "gzip")];
    let got = served.get("/a.js", &[gzip[0].clone(), (RANGE, "bytes=-2")]).await;
    assert_eq!((got.status.as_u16(), got.text()), (206, "89"));
    // What is older than the file was made from another version of it.
    let stale = fs::File::open(served.root().join("a.js.gz")).unwrap();
    stale.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(served.get("/a.js", &gzip).await.text(), "plain");
    let got = served.get("/a.js.gz", &gzip).await;
    assert_eq!((got.field(CONTENT_ENCODING), got.field(CONTENT_TYPE)), ("", "application/gzip"));
}

#[tokio::test]
async fn an_application_gets_its_page_for_its_routes() {
    let files = [("index.html", "app"), ("a.js", "script")];
    let served = Served::new(&files, |files| files.with_spa(true)).await;
    for (path, accept, status, body) in [
        ("/", "*/*", 200, "app"),
        ("/a.js", "*/*", 200, "script"),
        ("/route/7", "*/*", 200, "app"),
        ("/route/7/", "*/*", 200, "app"),
        ("/user/a.b", BROWSER, 200, "app"),
        ("/missing.js", "*/*", 404, "there is no such file\n"),
    ] {
        let got = served.get(path, &[(ACCEPT, accept)]).await;
        assert_eq!((got.status.as_u16(), got.text()), (status, body), "{path}");
    }
    // Caches are told where another client gets something else.
    for (path, is_by_accept) in [("/user/a.b", true), ("/missing.js", true), ("/route/7", false)] {
        let page = served.get(path, &[(ACCEPT, BROWSER)]).await;
        let tag = page.field(ETAG).to_owned();
        let same = served.get(path, &[(ACCEPT, BROWSER), (IF_NONE_MATCH, &tag)]).await;
        assert_eq!((page.status.as_u16(), same.status.as_u16()), (200, 304), "{path}");
        for got in [page, same] {
            let mut vary = got.headers.get_all(VARY).iter();
            assert_eq!(vary.any(|value| value == "accept"), is_by_accept, "{path}");
        }
    }
}

#[tokio::test]
async fn other_sites_may_read_where_that_is_asked() {
    let served = Served::new(&[("a", "ahoy")], |files| {
        files.with_cors(true).with_auth(ACCOUNT.parse().unwrap())
    })
    .await;
    let origin = [(ORIGIN, "https://other.test")];
    let asked = [
        origin[0].clone(),
        (ACCESS_CONTROL_REQUEST_METHOD, "GET"),
        (ACCESS_CONTROL_REQUEST_HEADERS, "authorization, range"),
    ];
    let got = served.send(Method::OPTIONS, "/a", &asked, "").await;
    assert_eq!((got.status.as_u16(), got.field(ACCESS_CONTROL_ALLOW_ORIGIN)), (204, "*"));
    assert_eq!(got.field(ACCESS_CONTROL_ALLOW_METHODS), "GET, HEAD, OPTIONS");
    assert_eq!(got.field(ACCESS_CONTROL_ALLOW_HEADERS), "authorization, range");
    let got = served.get("/a", &origin).await;
    assert_eq!((got.status.as_u16(), got.field(ACCESS_CONTROL_ALLOW_ORIGIN)), (401, "*"));
    let served = Served::new(&[("a", "ahoy")], plain).await;
    assert_eq!(served.get("/a", &origin).await.field(ACCESS_CONTROL_ALLOW_ORIGIN), "");
}

#[tokio::test]
async fn headers_are_added_to_every_answer() {
    let served = Served::new(&[("a", "ahoy")], |files| {
        files
            .with_header(CONTENT_TYPE, "text/x-log".parse().unwrap())
            .with_header("x-a".parse().unwrap(), "1".parse().unwrap())
            .with_header("x-a".parse().unwrap(), "2".parse().unwrap())
    })
    .await;
    for path in ["/a", "/b", "/"] {
        let got = served.get(path, &[]).await;
        assert_eq!(got.headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"], "{path}");
        assert_eq!(got.headers.get_all(CONTENT_TYPE).iter().count(), 1);
        assert_eq!(got.field(CONTENT_TYPE), "text/x-log");
    }
}

#[tokio::test]
async fn who_logs_in_is_let_in() {
    let set = |files: Files| files.with_auth(ACCOUNT.parse().unwrap());
    let served = Served::new(&[("a", "ahoy")], set).await;
    let got = served.get("/a", &[]).await;
    assert_eq!(got.status, 401);
    assert_eq!(got.field(WWW_AUTHENTICATE), "Basic realm=\"files\", charset=\"UTF-8\"");
    for (login, status) in [
        ("Basic YW5hOnBhc3N3b3Jk", 200), // ana:password
        ("basic YW5hOnBhc3N3b3Jk", 200),
        ("Basic YW5hOnBhc3N3b3JkMg==", 401), // ana:password2
        ("Basic Ym9iOnBhc3N3b3Jk", 401),     // bob:password
        ("Basic YW5h", 401),                 // ana
        ("Basic !", 401),
        ("Bearer YW5hOnBhc3N3b3Jk", 401),
        ("Basic YW5hOnBhc3N3b3Jk", 200),
    ] {
        let got = served.get("/a", &[(AUTHORIZATION, login)]).await;
        assert_eq!(got.status, status, "{login}");
        assert_eq!(got.text() == "ahoy", status == 200);
    }
}

#[tokio::test]
async fn passwords_are_hashed() {
    for (user, password) in [("", "s3cret"), ("ana", ""), ("a:b", "s3cret")] {
        assert_eq!(Account::new(user, password).unwrap_err().kind(), Kind::Usage);
    }
    let account = Account::new("ana", "s3cret").unwrap();
    let text = account.to_string();
    assert!(text.starts_with("ana:$argon2id$v=19$") && !text.contains("s3cret"), "{text}");
    assert_ne!(text, Account::new("ana", "s3cret").unwrap().to_string());
    let set = |files: Files| files.with_auth(text.parse().unwrap());
    let served = Served::new(&[("a", "ahoy")], set).await;
    let got = served.get("/a", &[(AUTHORIZATION, "Basic YW5hOnMzY3JldA==")]).await;
    assert_eq!(got.status, 200);
    for bad in ["ana", "ana:", "ana:s3cret", "ana:$2b$12$abcdefghijklmnopqrstuv", "ana:$argon2id$"]
    {
        assert!(bad.parse::<Account>().is_err(), "{bad}");
    }
}

#[test]
fn a_directory_that_is_none_is_refused() {
    let error = Files::new("/dev/null/x").unwrap_err();
    let words = "could not open the directory /dev/null/x: not a directory";
    assert_eq!(format!("{error:#}"), words);
    assert!(Files::new("/dev/null").is_err());
}

#[tokio::test]
async fn http2_gets_the_same() {
    let long = "ahoy sailor! ".repeat(50_000);
    let served = Served::new(&[("a.txt", &long), ("b.js", "b"), ("b.js.gz", "gz")], uploads).await;
    let tag = served.get("/a.txt", &[]).await.field(ETAG).to_owned();
    for (method, path, fields) in [
        (Method::GET, "/a.txt", &[][..]),
        (Method::HEAD, "/a.txt", &[]),
        (Method::GET, "/a.txt", &[(RANGE, "bytes=100000-300000")]),
        (Method::GET, "/a.txt", &[(RANGE, "bytes=900000-")]),
        (Method::GET, "/a.txt", &[(IF_NONE_MATCH, tag.as_str())]),
        (Method::GET, "/a.txt", &[(ACCEPT_ENCODING, "gzip")]),
        (Method::GET, "/b.js", &[(ACCEPT_ENCODING, "gzip")]),
        (Method::GET, "/", &[(ACCEPT, BROWSER)]),
        (Method::GET, "/../secret", &[]),
        (Method::DELETE, "/a.txt", &[]),
    ] {
        let first = served.send_as(Protocol::Http1, method.clone(), path, fields, "").await;
        let second = served.send_as(Protocol::Http2, method.clone(), path, fields, "").await;
        let shown = format!("{method} {path} {fields:?}");
        assert_eq!((first.status, &first.body), (second.status, &second.body), "{shown}");
        let mut names = vec![CONTENT_TYPE, CONTENT_RANGE, CONTENT_ENCODING, ETAG, VARY];
        // What is said of the body of a 304 means nothing.
        names.extend((first.status != 304).then_some(CONTENT_LENGTH));
        for name in names {
            assert_eq!(first.field(name.clone()), second.field(name), "{shown}");
        }
    }
    let got = served.send_as(Protocol::Http2, Method::PUT, "/new", &[], long.clone()).await;
    assert_eq!((got.status.as_u16(), served.read("new")), (201, Some(long)));
}
