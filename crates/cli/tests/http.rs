//! `http` as the command has it: what is sent, what is printed, how it ends.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

#[expect(dead_code, reason = "these tests need no bare connections")]
mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use portolan::http::Server;
use portolan::net::Listener;
use serde_json::{Value, json};
use support::{Portolan, Run, Servers, answering, peer, read_head};
use tokio::runtime::Runtime;

/// A server of the library, with routes that tell what they were asked.
struct Echo {
    _runtime: Runtime,
    url: String,
}

impl Echo {
    fn start() -> Self {
        Self::on("http://127.0.0.1:0")
    }

    fn on(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(Listener::bind(&url.parse().unwrap())).unwrap();
        let url = listener.local_url().to_string();
        runtime.spawn(Server::new(routes()).serve(listener, std::future::pending()));
        Self { _runtime: runtime, url: url.trim_end_matches('/').to_owned() }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

fn routes() -> Router {
    let typed = |media_type: &'static str, text: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, media_type)], text) })
    };
    Router::new()
        .route("/echo", any(echo))
        .route(
            "/status/{code}",
            any(|Path(code): Path<u16>| async move {
                (StatusCode::from_u16(code).unwrap(), "a body\n")
            }),
        )
        .route("/moved", any(|| async { (StatusCode::FOUND, [(header::LOCATION, "/echo")]) }))
        .route("/loop", any(|| async { (StatusCode::FOUND, [(header::LOCATION, "/loop")]) }))
        .route("/cookie", get(|| async { ([(header::SET_COOKIE, "taste=sweet; Path=/")], "") }))
        .route("/guarded", any(guarded))
        .route("/json", typed("application/json", r#"{"b":1.50,"a":["x"]}"#))
        .route("/text", typed("text/plain", "plain\x1b[31m text"))
        .route("/binary", typed("image/png", "\u{89}PNG\0\0"))
        .route("/events", typed("text/event-stream", "event: tick\ndata: 1\nid: 7\n\ndata: 2\n\n"))
        .route("/lines", typed("application/x-ndjson", "{\"n\":1}\n{\"n\":2}\n"))
}

/// Tells of the request in JSON.
async fn echo(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let headers: serde_json::Map<_, _> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let told = json!({
        "method": method.as_str(),
        "path": uri.path(),
        "query": uri.query(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    });
    axum::Json(told).into_response()
}

/// Lets in joe, whose password is hush, by basic authentication.
async fn guarded(headers: HeaderMap) -> Response {
    match headers.get(header::AUTHORIZATION).map(|value| value.as_bytes()) {
        Some(b"Basic am9lOmh1c2g=") => "welcome".into_response(),
        _ => (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=x")])
            .into_response(),
    }
}

fn http(args: &[&str]) -> Run {
    Portolan::new().run(&[&["http"], args].concat())
}

/// What the server was asked by a run with these arguments.
#[track_caller]
fn echoed(args: &[&str]) -> Value {
    serde_json::from_str(&http(args).done()).unwrap()
}

#[test]
fn a_url_alone_is_a_get_and_the_body_is_data() {
    let server = Echo::start();
    let told = echoed(&[&server.at("/echo")]);
    assert_eq!((&told["method"], &told["body"]), (&"GET".into(), &"".into()));
    assert!(told["headers"]["user-agent"].as_str().unwrap().starts_with("portolan/"));
    assert_eq!(http(&[&server.at("/json")]).done(), r#"{"b":1.50,"a":["x"]}"#);
    // A port alone is one of loopback.
    let port = server.url.rsplit_once(':').unwrap().1;
    assert_eq!(http(&[&format!(":{port}/json")]).done(), r#"{"b":1.50,"a":["x"]}"#);
}

#[test]
fn items_make_query_fields_and_a_json_body() {
    let server = Echo::start();
    let portolan = Portolan::new();
    let text = portolan.file("text.txt", "two\nlines");
    let value = portolan.file("value.json", "[1, 2]\n");
    let told = echoed(&[
        &server.at("/echo?a=1"),
        "b c==d&e",
        "X-Mark:yes",
        "Host:b.test",
        "Accept:",
        "User-Agent:",
        "Accept-Encoding:",
        "name=joe",
        "age:=42.0",
        &format!("text=@{text}"),
        &format!("list:=@{value}"),
        "deep[x][]=y",
    ]);
    assert_eq!(told["method"], "POST");
    assert_eq!(told["query"], "a=1&b+c=d%26e");
    assert_eq!(told["headers"]["x-mark"], "yes");
    assert_eq!(told["headers"]["host"], "b.test");
    for name in ["accept", "user-agent", "accept-encoding"] {
        assert_eq!(told["headers"][name], Value::Null, "{name}");
    }
    assert_eq!(told["headers"]["content-type"], "application/json");
    let body = r#"{"name": "joe", "age": 42.0, "text": "two\nlines", "list": [1, 2], "deep": {"x": ["y"]}}"#;
    assert_eq!(told["body"], body);
}

#[test]
fn forms_are_urlencoded_or_multipart() {
    let server = Echo::start();
    let url = server.at("/echo");
    let told = echoed(&["--form", "PUT", &url, "a=b c", "d=é&"]);
    assert_eq!((&told["method"], &told["body"]), (&"PUT".into(), &"a=b+c&d=%C3%A9%26".into()));
    assert_eq!(told["headers"]["content-type"], "application/x-www-form-urlencoded");

    let portolan = Portolan::new();
    let file = portolan.file("photo.png", "pixels");
    let told = echoed(&["--form", &url, "a=b", &format!("file@{file}")]);
    let (body, media_type) = (told["body"].as_str().unwrap(), &told["headers"]["content-type"]);
    let boundary =
        media_type.as_str().unwrap().strip_prefix("multipart/form-data; boundary=").unwrap();
    assert!(body.contains("name=\"a\"\r\n\r\nb\r\n"), "{body}");
    assert!(
        body.contains("filename=\"photo.png\"\r\nContent-Type: image/png\r\n\r\npixels\r\n"),
        "{body}"
    );
    assert!(body.ends_with(&format!("--{boundary}--\r\n")), "{body}");
    assert_eq!(told["headers"]["content-length"], body.len().to_string());
}

#[test]
fn a_body_comes_from_a_flag_a_file_or_stdin() {
    let server = Echo::start();
    let url = server.at("/echo");
    let sent = |told: Value| (told["body"].clone(), told["headers"]["content-type"].clone());
    let body = |text: &str, media_type: &str| (Value::from(text), Value::from(media_type));
    assert_eq!(sent(echoed(&[&url, "--body", "[1]"])), body("[1]", "application/json"));
    let plain = "text/plain; charset=utf-8";
    assert_eq!(sent(echoed(&[&url, "--body", "ahoy"])), body("ahoy", plain));
    let portolan = Portolan::new();
    let file = portolan.file("a.html", "<p>");
    assert_eq!(sent(echoed(&[&url, &format!("@{file}")])), body("<p>", "text/html"));
    let with_input = |args: &[&str], input: &str| -> Value {
        let run = portolan.run_with_input(&[&["http"], args].concat(), input);
        serde_json::from_str(&run.done()).unwrap()
    };
    let told = with_input(&[&url], "ahoy");
    assert_eq!(told["method"], "POST");
    assert_eq!(sent(told), body("ahoy", plain));
    assert_eq!(with_input(&["GET", &url], "unread")["body"], "");
    assert_eq!(with_input(&["GET", &url, "@-"], "read")["body"], "read");
    // More than is kept is streamed.
    let long = "x".repeat(3 * 1024 * 1024 / 2);
    assert_eq!(with_input(&["PUT", &url, "Content-Type:x/y"], &long)["body"], long);
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_sent() {
    // A port that nobody listens on: nothing is dialled.
    let url = "http://127.0.0.1:1/";
    http(&[url, "bad"]).refused(&["'bad' is not an item"]);
    http(&[url, "a:={x"]).refused(&["'a'", "not JSON"]);
    http(&[url, "--body", "x", "a=b"]).refused(&["two bodies"]);
    http(&[url, "--body", "x", "@f"]).refused(&["two bodies"]);
    http(&[url, "a=b", "@f"]).refused(&["two bodies"]);
    http(&["--form", url, "a@/no/such/file"]).refused(&["/no/such/file", "no such file"]);
    http(&[url, "@/no/such/file"]).refused(&["/no/such/file", "no such file"]);
    http(&[url, "X-A:b\r\nX-C:d"]).refused(&["X-A"]);
    http(&["--form", "--multipart", url]).refused(&["--form", "--multipart"]);
    http(&["--http3", url]).refused(&["--http3"]);
    http(&["ftp://a.test/"]).refused(&["not for ftp:"]);
    http(&["--cacert", "ca.pem", url]).refused(&["--cacert", "https"]);
    http(&["--user", "joe", url]).refused(&["no password for joe"]);
    http(&["--netrc-file", "/no/such/file", url]).refused(&["/no/such/file"]);
    http(&["--session", "x y", url]).refused(&["--session", "letters"]);
    http(&["--max-redirects", "3", url]).refused(&["--max-redirects needs --follow"]);
    assert!(
        http(&["--print", "h", "--json", url]).err.contains("--print does not apply to --json")
    );
}

#[test]
fn redirects_are_followed_where_asked() {
    let server = Echo::start();
    let url = server.at("/moved");
    assert_eq!(
        http(&["POST", &url, "--print", "h"]).done().lines().next().unwrap(),
        "HTTP/1.1 302 Found"
    );
    let told = echoed(&[&url, "--follow", "a=b"]);
    assert_eq!((&told["method"], &told["body"]), (&"GET".into(), &"".into()));
    let run = http(&[&server.at("/loop"), "--follow", "--max-redirects", "3"]);
    assert_eq!((run.code, run.out.as_str()), (Some(47), ""), "{}", run.err);
}

#[test]
fn a_status_is_a_failure_only_where_asked() {
    let server = Echo::start();
    assert_eq!(http(&[&server.at("/status/404")]).done(), "a body\n");
    let run = http(&[&server.at("/status/404"), "--fail"]);
    assert_eq!((run.code, run.out.as_str()), (Some(22), "a body\n"));
    assert!(run.err.contains("404"), "{}", run.err);
    http(&[&server.at("/status/204"), "--fail"]).done();
    let run = http(&["http://127.0.0.1:1/", "--json"]);
    assert_eq!(run.code, Some(7));
    let error = &run.objects()[0];
    assert_eq!(
        (&error["type"], &error["target"]),
        (&"error".into(), &"http://127.0.0.1:1/".into())
    );
}

#[test]
fn parts_are_printed_as_asked() {
    let server = Echo::start();
    let run = http(&[&server.at("/json"), "--print", "HBhbm", "a=b", "X-A:c"]);
    let out = run.done();
    let head = "POST /json HTTP/1.1\n";
    assert!(out.starts_with(head), "{out}");
    let (request, rest) = out.split_once("\n\n").unwrap();
    assert!(request.contains("\nx-a: c\n"), "{request}");
    let (body, rest) = rest.split_once("\n\n").unwrap();
    assert_eq!(body, r#"{"a": "b"}"#);
    let (response, rest) = rest.split_once("\n\n").unwrap();
    assert!(response.starts_with("HTTP/1.1 405 Method Not Allowed\n"), "{response}");
    for phase in ["connect: ", "send: ", "wait: ", "receive: ", "total: "] {
        assert!(rest.contains(phase), "{rest}");
    }
    assert!(http(&[&server.at("/json"), "--print", "x"]).err.contains("H B h b m"));
}

#[test]
fn json_has_the_whole_exchange() {
    let server = Echo::start();
    let objects = http(&["--json", "--follow", &server.at("/moved")]).objects();
    let [object] = &objects[..] else { panic!("{objects:?}") };
    assert_eq!((&object["v"], &object["type"]), (&1.into(), &"http".into()));
    assert_eq!((&object["method"], &object["url"]), (&"GET".into(), &server.at("/echo").into()));
    assert_eq!((&object["status"], &object["reason"]), (&200.into(), &"OK".into()));
    assert_eq!(object["version"], "HTTP/1.1");
    let body = object["body"].as_str().unwrap();
    assert_eq!(object["size"], body.len());
    assert!(
        object["headers"]
            .as_array()
            .unwrap()
            .contains(&json!(["content-type", "application/json"]))
    );
    let redirects = object["redirects"].as_array().unwrap();
    assert_eq!(redirects[..], [json!({"status": 302, "url": server.at("/moved")})]);
    let phases: Vec<_> = object["phases"].as_array().unwrap().iter().map(|p| &p["name"]).collect();
    assert!(phases.contains(&&"wait".into()) && phases.contains(&&"receive".into()), "{phases:?}");
    assert!(object["total_ms"].as_f64().unwrap() > 0.0);

    let bytes = http(&["--json", &server.at("/status/404")]).objects();
    assert_eq!((&bytes[0]["status"], &bytes[0]["body"]), (&404.into(), &"a body\n".into()));
    let lab = Servers::only(&["http"]);
    let binary = http(&["--json", &format!("{}bytes/200", lab.url("http"))]).objects();
    assert_eq!((&binary[0]["size"], &binary[0]["body"]), (&200.into(), &Value::Null));
    assert!(binary[0]["body_base64"].is_string(), "{binary:?}");
}

#[test]
fn events_and_lines_come_as_they_are_sent() {
    // The peer sends the second event only once the first has been printed.
    let (printed, go) = std::sync::mpsc::channel::<()>();
    let go = Arc::new(Mutex::new(go));
    let port = peer(move |mut stream| {
        read_head(&mut stream)?;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")?;
        go.lock().unwrap().recv().unwrap();
        stream.write_all(b"data: 2\n\n")
    });
    let url = format!("http://127.0.0.1:{port}/");
    let mut live = Portolan::new().start(&["http", &url]);
    assert_eq!((live.line(), live.line()), ("data: 1".to_owned(), String::new()));
    printed.send(()).unwrap();
    assert_eq!(live.end().out, "data: 2\n\n");

    let server = Echo::start();
    let objects = http(&["--json", &server.at("/events")]).objects();
    let [first, second, end] = &objects[..] else { panic!("{objects:?}") };
    assert_eq!(
        (&first["type"], &first["event"], &first["data"], &first["id"]),
        (&"event".into(), &"tick".into(), &"1".into(), &"7".into())
    );
    assert_eq!((&second["event"], &second["data"]), (&"message".into(), &"2".into()));
    assert_eq!((&end["type"], &end["body"]), (&"http".into(), &Value::Null));
    let objects = http(&["--json", &server.at("/lines")]).objects();
    assert_eq!((&objects[0]["type"], &objects[0]["text"]), (&"line".into(), &"{\"n\":1}".into()));
    assert_eq!((objects.len(), &objects[2]["size"]), (3, &16.into()));
}

#[test]
fn a_session_keeps_cookies_fields_and_the_login_without_its_password() {
    let server = Echo::start();
    let portolan = Portolan::new();
    let run = |args: &[&str]| portolan.run(&[&["http", "--session", "work"], args].concat());
    run(&[&server.at("/cookie"), "X-Team:red", "--user", "joe:hush"]).done();
    let host = server.url.strip_prefix("http://").unwrap().replace(':', "_");
    let file =
        portolan.home.path().join(".local/state/portolan/sessions").join(host).join("work.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let kept = fs::read_to_string(&file).unwrap();
    assert!(kept.contains("\"joe\"") && kept.contains("sweet"), "{kept}");
    assert!(!kept.contains("hush") && !kept.contains("am9lOmh1c2g="), "{kept}");

    let mut command = portolan.command(&["http", "--session", "work", &server.at("/echo")]);
    command.args(["--password-env", "SECRET"]).env("SECRET", "hush");
    let told: Value = serde_json::from_str(&Run::from(command.output().unwrap()).done()).unwrap();
    assert_eq!(told["headers"]["cookie"], "taste=sweet");
    assert_eq!(told["headers"]["x-team"], "red");
    assert_eq!(told["headers"]["authorization"], "Basic am9lOmh1c2g=");
    // Without the password its cookies may do.
    let run = portolan.run(&["http", "--session", "work", &server.at("/echo")]);
    assert!(run.err.contains("does not keep the password of joe"), "{}", run.err);
    let told: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(told["headers"]["cookie"], "taste=sweet");
    assert_eq!(told["headers"]["authorization"], Value::Null);
    // Another session has nothing of it.
    let told = portolan.run(&["http", "--session", "play", &server.at("/echo")]).done();
    assert!(!told.contains("sweet") && !told.contains("red"), "{told}");
}

#[test]
fn another_user_is_not_logged_in_as_the_one_before() {
    let server = Echo::start();
    let portolan = Portolan::new();
    let login = |args: &[&str]| -> Value {
        let url = server.at("/echo");
        let args = [&["http", "--session", "s", url.as_str()], args].concat();
        let told: Value = serde_json::from_str(&portolan.run(&args).done()).unwrap();
        told["headers"]["authorization"].clone()
    };
    assert_eq!(login(&["--auth", "bearer", "--user", "t0ken"]), "Bearer t0ken");
    assert_eq!(login(&["--user", "joe:hush"]), "Basic am9lOmh1c2g=");
}

#[test]
fn logins_come_from_flags_the_url_a_variable_and_netrc() {
    let server = Echo::start();
    let url = server.at("/guarded");
    assert_eq!(http(&[&url, "--user", "joe:hush"]).done(), "welcome");
    assert_eq!(http(&[&url.replace("//", "//joe:hush@")]).done(), "welcome");
    let portolan = Portolan::new();
    portolan.file(".netrc", "machine 127.0.0.1 login joe password hush\n");
    assert_eq!(portolan.run(&["http", &url, "--netrc"]).done(), "welcome");
    assert_eq!(portolan.run(&["http", &url]).done(), "");
    let file = portolan.file("other", "machine 127.0.0.1 login joe password hush\n");
    assert_eq!(http(&[&url, "--netrc-file", &file, "--user", "joe"]).done(), "welcome");
    let told = echoed(&[&server.at("/echo"), "--auth", "bearer", "--user", "t0ken"]);
    assert_eq!(told["headers"]["authorization"], "Bearer t0ken");
}

#[test]
fn secrets_are_shown_only_in_the_request_itself() {
    let server = Echo::start();
    let url = server.at("/cookie").replace("//", "//joe:hunter2@");
    let run = http(&["-vv", &url, "Cookie:a=hunter2", "--json"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(run.err.contains("> authorization: ***"), "{}", run.err);
    assert!(!run.err.contains("hunter2") && !run.err.contains("am9lOmh1bnRlcjI="), "{}", run.err);
    assert!(!run.out.contains("hunter2"), "{}", run.out);
    let shown = http(&["--offline", &url]).done();
    assert!(shown.contains("authorization: Basic am9lOmh1bnRlcjI="), "{shown}");
}

#[test]
fn phases_are_told_on_stderr() {
    let server = Echo::start();
    let run = http(&["-v", &server.at("/json")]);
    for phase in ["* connect ", "* send ", "* wait ", "* receive "] {
        assert!(run.err.contains(phase), "{}", run.err);
    }
    assert_eq!(run.out, r#"{"b":1.50,"a":["x"]}"#);
}

#[test]
fn offline_prints_the_request_and_sends_nothing() {
    let url = "http://127.0.0.1:1/a?b=c";
    let out = http(&["--offline", "PATCH", url, "d=e", "X-F:g"]).done();
    assert!(out.starts_with("PATCH /a?b=c HTTP/1.1\n"), "{out}");
    assert!(out.contains("\nhost: 127.0.0.1:1\n") && out.contains("\nx-f: g\n"), "{out}");
    assert!(out.ends_with("\n\n{\"d\": \"e\"}"), "{out}");
    let object = &http(&["--offline", "--json", url, "d=e"]).objects()[0];
    assert_eq!((&object["type"], &object["method"]), (&"request".into(), &"POST".into()));
    assert_eq!(object["body"], r#"{"d": "e"}"#);
}

#[test]
fn curl_has_the_same_request() {
    let words = |args: &[&str]| {
        let command = http(&[&["--curl"], args].concat()).done();
        shlex::split(&command).unwrap()
    };
    let has = |args: &[&str], pairs: &[(&str, &str)]| {
        let words = words(args);
        for (flag, value) in pairs {
            let is_pair = |pair: &[String]| pair[0] == *flag && pair[1] == *value;
            assert!(words.windows(2).any(is_pair), "{flag} {value}: {words:?}");
        }
        words
    };
    let url = "http://127.0.0.1:1/";
    let words = has(
        &[url, "q==it's", "X-A:b c", "X-B;", "name=it's $HOME"],
        &[
            ("--header", "x-a: b c"),
            ("--header", "x-b;"),
            ("--data-raw", r#"{"name": "it's $HOME"}"#),
        ],
    );
    assert_eq!(
        (words[0].as_str(), words.last().unwrap().as_str()),
        ("curl", "http://127.0.0.1:1/?q=it%27s")
    );
    assert!(!words.contains(&"--request".to_owned()), "{words:?}");
    let basic = "authorization: Basic am9lOmh1c2g=";
    has(&["DELETE", url, "--user", "joe:hush"], &[("--request", "DELETE"), ("--header", basic)]);
    let flags = ["--auth", "digest", "--user", "joe:hush", "--follow", "-k", "--fail"];
    let words = has(
        &[&[url.replace("http:", "https:").as_str()], &flags[..]].concat(),
        &[("--user", "joe:hush")],
    );
    for flag in ["--digest", "--location", "--insecure", "--fail-with-body"] {
        assert!(words.contains(&flag.to_owned()), "{flag}: {words:?}");
    }
    let portolan = Portolan::new();
    let file = portolan.file("a;b.txt", "content");
    let quoted = format!("file=@\"{file}\";type=text/plain");
    has(
        &["--form", url, &format!("file@{file}"), "a=b"],
        &[("--form", &quoted), ("--form-string", "a=b")],
    );
}

#[test]
fn http_over_a_unix_socket() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("s");
    let path = path.to_str().unwrap();
    let _server = Echo::on(&format!("unix:{path}"));
    let told = echoed(&["--unix-socket", path, "http://a.test/echo"]);
    assert_eq!(told["headers"]["host"], "a.test");
    http(&["--unix-socket", path, "-4", "http://a.test/"]).refused(&["--unix-socket", "--ipv4"]);
}

#[test]
fn versions_as_asked() {
    let server = Echo::start();
    let version =
        |flag| http(&["--json", flag, &server.at("/json")]).objects()[0]["version"].clone();
    assert_eq!(version("--http2"), "HTTP/2");
    assert_eq!(version("--http1.1"), "HTTP/1.1");
    let lab = Servers::only(&["https"]);
    let run = http(&["--json", "-k", &lab.url("https")]);
    assert_eq!(run.objects()[0]["version"], "HTTP/2");
}

#[test]
fn a_silent_server_is_not_waited_for() {
    let port =
        peer(|mut stream| std::io::Read::read_to_end(&mut stream, &mut Vec::new()).map(drop));
    let url = format!("http://127.0.0.1:{port}/");
    for flag in ["--timeout", "--idle-timeout"] {
        assert_eq!(http(&[&url, flag, "200ms"]).code, Some(28), "{flag}");
    }
    let short = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfour");
    let run = http(&[&format!("http://127.0.0.1:{short}/")]);
    assert_eq!((run.code, run.out.as_str()), (Some(18), "four"), "{}", run.err);
}

#[test]
fn colour_lays_a_body_out_and_takes_its_escapes_away() {
    let server = Echo::start();
    let out = http(&["--color", "always", &server.at("/json")]).done();
    let plain = anstream::adapter::strip_str(&out).to_string();
    assert_eq!(plain, "{\n    \"b\": 1.50,\n    \"a\": [\n        \"x\"\n    ]\n}\n");
    assert!(out.contains("\x1b["), "{out:?}");
    assert_eq!(http(&["--color", "always", &server.at("/text")]).done(), "plain[31m text\n");
    let run = http(&["--color", "always", &server.at("/binary")]);
    assert_eq!((run.code, run.out.as_str()), (Some(0), ""));
    assert!(run.err.contains("image/png") && run.err.contains("not shown"), "{}", run.err);
    let piped = http(&[&server.at("/text")]).done();
    assert_eq!(piped, "plain\x1b[31m text");
}
