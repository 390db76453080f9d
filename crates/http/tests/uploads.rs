//! Uploads: what is taken, under which name, and what is left where it is not.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

#[expect(dead_code, reason = "these tests need no scripts")]
mod support;

#[expect(dead_code, reason = "these tests need nothing outside")]
mod served;

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Method;
use http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_REQUEST_METHOD, ALLOW, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH, LOCATION, ORIGIN,
};
use portolan_http::{Body, Files, Form, Part, Upload};
use serde_json::{Value, json};
use served::{Got, Served};
use support::context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

fn uploads(files: Files) -> Files {
    files.with_upload(Upload::default())
}

fn overwrites(files: Files) -> Files {
    files.with_upload(Upload::default().with_overwrite(true))
}

async fn put(served: &Served, path: &str, fields: &[(HeaderName, &str)], body: &str) -> Got {
    served.send(Method::PUT, path, fields, body.to_owned()).await
}

async fn post(served: &Served, path: &str, fields: &[(HeaderName, &str)], form: &Form) -> Got {
    let content_type = form.content_type();
    let mut fields = fields.to_vec();
    fields.push((CONTENT_TYPE, content_type.to_str().unwrap()));
    served.send(Method::POST, path, &fields, form.body()).await
}

fn file(name: &str, content: impl Into<Bytes>) -> Form {
    Form::new().unwrap().with("file", Part::bytes(content).with_file_name(name))
}

#[tokio::test]
async fn a_file_is_put() {
    let served = Served::new(&[("d/x", "")], uploads).await;
    assert_eq!(put(&served, "/d/a%20b.txt", &[], "ahoy").await.status, 201);
    assert_eq!(served.read("d/a b.txt").as_deref(), Some("ahoy"));
    assert_eq!(served.get("/d/a%20b.txt", &[]).await.text(), "ahoy");
    assert_eq!(put(&served, "/empty", &[], "").await.status, 201);
    assert_eq!(served.read("empty").as_deref(), Some(""));
    let large = "x".repeat(3_000_000);
    assert_eq!(put(&served, "/large", &[], &large).await.status, 201);
    assert_eq!(served.read("large"), Some(large));
    assert_eq!(served.names(), ["d", "empty", "large"]);
    let got = served.send(Method::DELETE, "/large", &[], "").await;
    assert_eq!((got.status.as_u16(), got.field(ALLOW)), (405, "GET, HEAD, OPTIONS, POST, PUT"));
}

#[tokio::test]
async fn a_body_of_unknown_length_is_put() {
    let served = Served::new(&[], uploads).await;
    let pieces = stream::iter((0..1000).map(|_| Ok::<_, io::Error>(Bytes::from(vec![b'y'; 1000]))));
    let got = served.send(Method::PUT, "/a", &[], Body::stream(pieces)).await;
    assert_eq!(got.status, 201);
    assert_eq!(served.read("a"), Some("y".repeat(1_000_000)));
}

#[tokio::test]
async fn what_is_there_stays_unless_it_may_be_replaced() {
    let served = Served::new(&[("a", "first"), ("d/x", "")], uploads).await;
    for path in ["/a", "/d"] {
        assert_eq!(put(&served, path, &[], "second").await.status, 409, "{path}");
    }
    assert_eq!(post(&served, "/", &[], &file("a", "second")).await.status, 409);
    assert_eq!(served.read("a").as_deref(), Some("first"));
    let served = Served::new(&[("a", "first"), ("d/x", "")], overwrites).await;
    assert_eq!(put(&served, "/a", &[], "second").await.status, 204);
    assert_eq!(served.read("a").as_deref(), Some("second"));
    assert_eq!(post(&served, "/", &[], &file("a", "third")).await.status, 201);
    assert_eq!(served.read("a").as_deref(), Some("third"));
    assert_eq!(put(&served, "/d", &[], "second").await.status, 409);
    assert_eq!(post(&served, "/", &[], &file("d", "second")).await.status, 409);
    assert_eq!(served.names(), ["a", "d"]);
}

#[tokio::test]
async fn symlinks_are_not_replaced() {
    for follows in [false, true] {
        let set = |files| overwrites(files).with_follow_symlinks(follows);
        let served = Served::new(&[("a", "first")], set).await;
        symlink("a", served.root().join("link")).unwrap();
        symlink("missing", served.root().join("dangling")).unwrap();
        for name in ["link", "dangling"] {
            let path = format!("/{name}");
            assert_eq!(put(&served, &path, &[], "second").await.status, 409, "{path}");
            assert_eq!(post(&served, "/", &[], &file(name, "second")).await.status, 409, "{path}");
            assert!(served.root().join(name).is_symlink());
        }
        assert_eq!(served.read("a").as_deref(), Some("first"));
        assert_eq!(served.names(), ["a", "dangling", "link"]);
    }
}

#[tokio::test]
async fn what_replaces_a_private_file_is_private() {
    let served = Served::new(&[("a", "first"), ("b", "first")], overwrites).await;
    let mode = |name: &str| {
        let metadata = fs::metadata(served.root().join(name)).unwrap();
        metadata.permissions().mode() & 0o7777
    };
    for (name, private) in [("a", 0o600), ("b", 0o640)] {
        let path = served.root().join(name);
        fs::set_permissions(&path, Permissions::from_mode(private)).unwrap();
        let path = format!("/{name}");
        assert_eq!(put(&served, &path, &[], "second").await.status, 204);
        assert_eq!(mode(name), private, "{name}");
        assert_eq!(post(&served, "/", &[], &file(name, "third")).await.status, 201);
        assert_eq!((mode(name), served.read(name).as_deref()), (private, Some("third")));
    }
    // Nor can it be read while it comes.
    let coming = begin_put(&served, "").await;
    assert_eq!(mode(&served.names()[0]), 0o600);
    assert_eq!(end_put(coming).await, "HTTP/1.1 204 No Content");
}

#[tokio::test]
async fn a_version_is_replaced_that_is_known() {
    let served = Served::new(&[("a", "first")], overwrites).await;
    let tag = served.get("/a", &[]).await.field(ETAG).to_owned();
    assert_eq!(put(&served, "/a", &[(IF_NONE_MATCH, "*")], "b").await.status, 412);
    assert_eq!(put(&served, "/a", &[(IF_MATCH, "\"other\"")], "b").await.status, 412);
    assert_eq!(put(&served, "/b", &[(IF_MATCH, "*")], "b").await.status, 412);
    assert_eq!(put(&served, "/a", &[(IF_MATCH, &tag)], "b").await.status, 204);
    assert_eq!(put(&served, "/a", &[(IF_MATCH, &tag)], "c").await.status, 412);
    assert_eq!(served.read("a").as_deref(), Some("b"));
}

/// Begins to PUT `ahoy` to `/a`, of which a part is on the disk then.
async fn begin_put(served: &Served, field: &str) -> portolan_net::Stream {
    let count = served.names().len();
    let mut stream = client_stream(served).await;
    let head = "PUT /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4\r\n";
    stream.write_all(format!("{head}{field}\r\nah").as_bytes()).await.unwrap();
    while served.names().len() == count {
        tokio::task::yield_now().await;
    }
    stream
}

/// Ends it; the first line of what is answered.
async fn end_put(mut stream: portolan_net::Stream) -> String {
    stream.write_all(b"oy").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn no_update_that_came_meanwhile_is_lost() {
    let served = Served::new(&[("a", "first")], overwrites).await;
    let tag = served.get("/a", &[]).await.field(ETAG).to_owned();
    let stale = begin_put(&served, &format!("if-match: {tag}\r\n")).await;
    assert_eq!(put(&served, "/a", &[(IF_MATCH, &tag)], "second").await.status, 204);
    assert_eq!(end_put(stale).await, "HTTP/1.1 412 Precondition Failed");
    assert_eq!(served.read("a").as_deref(), Some("second"));

    for (field, status, content) in [
        ("if-none-match: *\r\n", "HTTP/1.1 412 Precondition Failed", "second"),
        ("", "HTTP/1.1 204 No Content", "ahoy"),
    ] {
        let served = Served::new(&[], overwrites).await;
        let late = begin_put(&served, field).await;
        assert_eq!(put(&served, "/a", &[(IF_NONE_MATCH, "*")], "second").await.status, 201);
        assert_eq!(end_put(late).await, status);
        assert_eq!(served.read("a").as_deref(), Some(content));
        assert_eq!(served.names(), ["a"]);
    }
}

#[tokio::test]
async fn no_file_is_put_where_it_would_not_be_found() {
    let served = Served::new(&[("d/x", "")], uploads).await;
    for (path, rule) in [
        ("/", "no slash after it"),
        ("/d/", "no slash after it"),
        ("/%ff", "is UTF-8"),
        ("/a%0Ab", "nothing invisible"),
        ("/a:b", "none of < > : "),
        ("/a%20", "no space or dot at its end"),
        ("/con", "no device"),
        (&format!("/{}", "n".repeat(256)), "at most 255 bytes"),
    ] {
        let got = put(&served, path, &[], "ahoy").await;
        assert_eq!(got.status, 400, "{path}");
        assert!(got.text().contains(rule), "{path}: {}", got.text());
    }
    for (path, status) in [
        ("/.hidden", 404),
        ("/missing/a", 404),
        ("/d/x/a", 404),
        ("/../a", 400),
        ("/%2e%2e/a", 400),
        ("/..%2fa", 400),
        ("/..%5ca", 400),
        ("/a%00b", 400),
    ] {
        assert_eq!(put(&served, path, &[], "ahoy").await.status, status, "{path}");
    }
    let part = put(&served, "/a", &[(CONTENT_RANGE, "bytes 0-3/10")], "ahoy").await;
    assert_eq!(part.status, 400);
    assert_eq!(served.names(), ["d"]);
}

#[tokio::test]
async fn names_may_be_long_and_where_they_are_shown_hidden() {
    let served = Served::new(&[], |files| uploads(files).with_hidden(true)).await;
    let long = "n".repeat(255);
    for name in [".gitignore", "..a", &long] {
        assert_eq!(put(&served, &format!("/{name}"), &[], "ahoy").await.status, 201, "{name}");
        assert_eq!(served.get(&format!("/{name}"), &[]).await.text(), "ahoy");
    }
    for path in ["/.a:b", "/..."] {
        assert_eq!(put(&served, path, &[], "ahoy").await.status, 400, "{path}");
    }
    assert_eq!(put(&served, "/.portolan-1", &[], "ahoy").await.status, 404);
    assert_eq!(served.names(), ["..a", ".gitignore", &long]);
}

#[tokio::test]
async fn a_form_brings_files() {
    let served = Served::new(&[("d/x", "")], uploads).await;
    let form = Form::new()
        .unwrap()
        .with("comment", Part::text("it is no file"))
        .with("file", Part::bytes("one").with_file_name("a.txt"))
        .with("file", Part::bytes(vec![b'z'; 500_000]).with_file_name("naïve \"b\".bin"));
    let got = post(&served, "/d/", &[(ACCEPT, "application/json")], &form).await;
    assert_eq!(got.status, 201);
    let saved: Value = serde_json::from_slice(&got.body).unwrap();
    assert_eq!(
        saved,
        json!({ "files": [
            { "name": "a.txt", "href": "./a.txt", "size": 3 },
            { "name": "naïve %22b%22.bin", "href": "./na%C3%AFve%20%2522b%2522.bin", "size": 500_000 },
        ] })
    );
    assert_eq!(served.read("d/a.txt").as_deref(), Some("one"));
}

#[tokio::test]
async fn a_browser_is_sent_back_to_the_list() {
    let served = Served::new(&[("d/x", "")], uploads).await;
    let browser = [(ACCEPT, "text/html,*/*;q=0.8")];
    let got = served.get("/d/", &browser).await;
    assert!(got.text().contains("<form id=upload method=post enctype=multipart/form-data>"));
    for (path, name, location) in [("/d/", "a", "./"), ("/d", "b", "./d/")] {
        let got = post(&served, path, &browser, &file(name, "ahoy")).await;
        assert_eq!((got.status.as_u16(), got.field(LOCATION)), (303, location));
    }
    assert_eq!(served.read("d/b").as_deref(), Some("ahoy"));
    let got = post(&served, "/d/", &browser, &file("a", "ahoy")).await;
    assert_eq!((got.status.as_u16(), got.field(CONTENT_TYPE)), (409, "text/html; charset=utf-8"));
}

#[tokio::test]
async fn names_in_forms_are_made_safe() {
    let served = Served::new(&[("d/x", "")], uploads).await;
    for (name, saved) in [
        ("../../secret", "secret"),
        ("..\\..\\b", "b"),
        ("/etc/passwd", "passwd"),
        (".bashrc", "bashrc"),
        ("C:\\CON", "_CON"),
        ("<script>", "_script_"),
        (".portolan-1", "portolan-1"),
    ] {
        let got = post(&served, "/", &[], &file(name, "ahoy")).await;
        assert_eq!(got.status, 201, "{name}: {}", got.text());
        assert_eq!(served.read(saved).as_deref(), Some("ahoy"), "{name}");
    }
    for name in ["..", ".", "/", " "] {
        assert_eq!(post(&served, "/", &[], &file(name, "ahoy")).await.status, 400, "{name}");
    }
    assert_eq!(served.names().len(), 8);
}

#[tokio::test]
async fn what_is_too_large_leaves_nothing() {
    let served =
        Served::new(&[], |files| files.with_upload(Upload::default().with_max(1000))).await;
    let pieces = || stream::iter((0..11).map(|_| Ok::<_, io::Error>(Bytes::from(vec![b'y'; 100]))));
    assert_eq!(put(&served, "/a", &[], &"x".repeat(1001)).await.status, 413);
    let got = served.send(Method::PUT, "/a", &[], Body::stream(pieces())).await;
    assert_eq!(got.status, 413);
    assert_eq!(post(&served, "/", &[], &file("a", "x".repeat(1001))).await.status, 413);
    assert_eq!(post(&served, "/", &[], &file("a", "x".repeat(3_000_000))).await.status, 413);
    assert_eq!(served.names(), Vec::<String>::new());
    assert_eq!(put(&served, "/a", &[], &"x".repeat(1000)).await.status, 201);
    let both =
        file("b", "x".repeat(600)).with("c", Part::bytes("x".repeat(401)).with_file_name("c"));
    assert_eq!(post(&served, "/", &[], &both).await.status, 413);
    assert_eq!(served.names(), ["a", "b"]);
}

#[tokio::test]
async fn a_form_that_is_none_is_refused() {
    let served = Served::new(&[("x", "")], uploads).await;
    let form = (CONTENT_TYPE, "multipart/form-data; boundary=b");
    let endless = format!("--b\r\n{}", "x-a: b\r\n".repeat(20_000));
    let preamble = "-".repeat(200_000);
    for (content_type, body, status) in [
        ("text/plain", "ahoy", 415),
        ("multipart/form-data", "ahoy", 415),
        (form.1, "", 400),
        (form.1, "ahoy", 400),
        (form.1, "--b--\r\n", 400),
        (form.1, "--b\r\ncontent-disposition: form-data; name=a\r\n\r\nahoy\r\n--b--\r\n", 400),
        (form.1, "--b\r\ncontent-disposition: form-data; filename=a\r\n\r\nunended", 400),
        (form.1, &endless, 400),
        (form.1, &preamble, 400),
    ] {
        let body = body.as_bytes().to_vec();
        let got = served.send(Method::POST, "/", &[(CONTENT_TYPE, content_type)], body).await;
        assert_eq!(got.status, status, "{content_type}");
    }
    assert_eq!(post(&served, "/missing/", &[], &file("a", "")).await.status, 404);
    assert_eq!(post(&served, "/x", &[], &file("a", "")).await.status, 404);
    assert_eq!(served.names(), ["x"]);
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let served = Served::new(&[], uploads).await;
    let mut stream = client_stream(&served).await;
    stream
        .write_all(b"PUT /a HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nahoy")
        .await
        .unwrap();
    // The file is there under a temporary name, which nobody is shown.
    while served.names().is_empty() {
        tokio::task::yield_now().await;
    }
    let name = served.names().remove(0);
    assert!(name.starts_with(".portolan-"));
    assert_eq!(served.get(&format!("/{name}"), &[]).await.status, 404);
    drop(stream);
    while !served.names().is_empty() {
        tokio::task::yield_now().await;
    }
}

async fn client_stream(served: &Served) -> portolan_net::Stream {
    let dialer = portolan_net::Dialer::new();
    dialer.dial(&served.url.endpoint(), &context()).await.unwrap().stream
}

#[tokio::test]
async fn pages_of_other_sites_cannot_upload() {
    let served = Served::new(&[], uploads).await;
    let own = format!("http://{}:{}", served.url.host(), served.url.port());
    for (n, (field, status)) in [
        ([(ORIGIN, own.as_str())], 201),
        ([(ORIGIN, "https://evil.test")], 403),
        ([(ORIGIN, "null")], 403),
        ([(SEC_FETCH_SITE, "same-origin")], 201),
        ([(SEC_FETCH_SITE, "none")], 201),
        ([(SEC_FETCH_SITE, "cross-site")], 403),
        ([(SEC_FETCH_SITE, "same-site")], 403),
    ]
    .into_iter()
    .enumerate()
    {
        let name = n.to_string();
        let got = post(&served, "/", &field, &file(&name, "ahoy")).await;
        assert_eq!(got.status, status, "{field:?}");
        let got = put(&served, &format!("/put{n}"), &field, "ahoy").await;
        assert_eq!(got.status, status, "{field:?}");
    }
}

#[tokio::test]
async fn other_sites_may_not_write_where_they_may_read() {
    let set = |files: Files| uploads(files).with_cors(true);
    let served = Served::new(&[], set).await;
    let origin = [(ORIGIN, "https://other.test")];
    let got = put(&served, "/a", &origin, "ahoy").await;
    assert_eq!(
        (got.status.as_u16(), got.text()),
        (403, "pages of other sites may not upload here\n")
    );
    assert_eq!(post(&served, "/", &origin, &file("a", "ahoy")).await.status, 403);
    let asked = [origin[0].clone(), (ACCESS_CONTROL_REQUEST_METHOD, "PUT")];
    let got = served.send(Method::OPTIONS, "/a", &asked, "").await;
    assert_eq!(got.field(ACCESS_CONTROL_ALLOW_METHODS), "GET, HEAD, OPTIONS");
    assert_eq!(served.names(), Vec::<String>::new());
}

#[tokio::test]
async fn a_refusal_says_what_is_missing_there_or_too_much() {
    let set = |files: Files| files.with_upload(Upload::default().with_max(2048));
    let served = Served::new(&[("a", "")], set).await;
    for path in ["/missing/b", "/a/b"] {
        let got = put(&served, path, &[], "ahoy").await;
        let told = (got.status.as_u16(), got.text());
        assert_eq!(told, (404, "the directory for it does not exist\n"), "{path}");
    }
    let large = "x".repeat(2049);
    let pieces = stream::iter([Ok::<_, io::Error>(Bytes::from(large.clone()))]);
    for got in [
        put(&served, "/b", &[], &large).await,
        served.send(Method::PUT, "/c", &[], Body::stream(pieces)).await,
    ] {
        let told = (got.status.as_u16(), got.text());
        assert_eq!(told, (413, "no more than 2.0 KiB are taken at once\n"));
    }
    let form = file("new", "ahoy").with("file", Part::bytes("ahoy").with_file_name("a"));
    let got = post(&served, "/", &[], &form).await;
    let told = (got.status.as_u16(), got.text());
    assert_eq!(told, (409, "there is a file or directory of this name: a\n"));
}

#[tokio::test]
async fn one_of_many_at_once_wins() {
    let served = Served::new(&[], uploads).await;
    let puts = (0..8).map(|n| {
        let served = &served;
        async move { put(served, "/a", &[], &n.to_string().repeat(100_000)).await.status.as_u16() }
    });
    let mut statuses: Vec<_> = stream::iter(puts).buffer_unordered(8).collect().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
    let content = served.read("a").unwrap();
    assert_eq!(content, content[..1].repeat(100_000));
    assert_eq!(served.names(), ["a"]);
}
