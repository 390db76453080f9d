//! `serve http`: the real binary serves a directory to bare sockets and to our own client.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]
#![expect(clippy::disallowed_types, reason = "clients that say what a test wants are bare sockets")]

#[path = "support/pty.rs"]
mod pty;
#[expect(dead_code, reason = "these tests need no peers")]
mod support;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use pty::Pty;
use rcgen::CertifiedKey;
use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Live, Portolan, Run, get, read_head, run, serve_by};

/// `password`, hashed by the command `argon2` with small parameters.
const HASH: &str =
    "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$cpx6VEQbwTVZvcpxNIxOVUWZ5xnAipUmAe1cg2GMG70";

/// A site of a few files, served with these flags: the server, its URL without the last slash, and
/// its directory is the server's home.
fn site(flags: &[&str]) -> (Live, String) {
    let home = Portolan::new();
    let dir = home.home.path().to_owned();
    let files =
        [("chart.txt", "here be dragons"), (".secret", "rum"), ("log/index.html", "<p>log")];
    fs::create_dir(dir.join("log")).unwrap();
    for (name, text) in files {
        fs::write(dir.join(name), text).unwrap();
    }
    let args = ["serve", "http", dir.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let (live, url) = serve_by(home, &[&args[..], flags].concat());
    (live, url.trim_end_matches('/').to_owned())
}

fn dir(live: &Live) -> &Path {
    live.portolan.home.path()
}

/// What the server at `url` answers to this method, with these fields and this body.
fn ask(url: &str, request: &str, fields: &str, body: &str) -> String {
    let mut stream = connect(url);
    let length = body.len();
    let head = format!("{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}");
    write!(stream, "{head}Content-Length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn connect(url: &str) -> TcpStream {
    TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap()
}

#[track_caller]
fn assert_status(answer: &str, status: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
}

/// The next request of which the server tells.
fn request(live: &mut Live) -> Value {
    loop {
        let object = live.object();
        if object["type"] == "request" {
            return object;
        }
    }
}

#[test]
fn files_and_listings_are_served() {
    let (_live, url) = site(&[]);
    let file = get(&format!("{url}/chart.txt"));
    assert_status(&file, 200);
    assert!(
        file.contains("text/plain; charset=utf-8") && file.ends_with("\r\n\r\nhere be dragons")
    );
    let page = get(&format!("{url}/"));
    assert!(page.contains("chart.txt") && page.contains("log/") && !page.contains(".secret"));
    assert!(get(&format!("{url}/log/")).ends_with("<p>log"));
    assert_status(&get(&format!("{url}/.secret")), 404);
    assert_status(&get(&format!("{url}/../chart.txt")), 400);
    assert_status(&ask(&url, "PUT /new.txt", "", "new"), 405);
}

#[test]
fn the_log_is_text_on_stderr() {
    let home = Portolan::new();
    home.file("chart.txt", "here be dragons");
    let dir = home.home.path().to_str().unwrap().to_owned();
    let mut live = home.start(&["serve", "http", &dir, "--listen", ":0"]);
    let line = live.line();
    let url = line.strip_prefix("listening on ").unwrap().to_owned();
    assert!(url.starts_with("http://127.0.0.1:") && url.ends_with('/'), "{url}");
    ask(url.trim_end_matches('/'), "GET /chart.txt?a=1", "User-Agent: \"me\"\r\n", "");
    let note = live.note();
    assert!(note.starts_with("127.0.0.1 - - ["), "{note}");
    assert!(note.ends_with(r#"] "GET /chart.txt?a=1 HTTP/1.1" 200 15 "-" "\x22me\x22""#), "{note}");
    live.signal(Signal::TERM);
    assert_eq!(live.end().done(), "");
}

#[test]
fn the_log_is_data_with_json() {
    let (mut live, url) = site(&[]);
    ask(&url, "HEAD /chart.txt", "Referer: http://a.test/\r\n", "");
    let told = request(&mut live);
    assert_eq!(
        (&told["v"], &told["method"], &told["target"]),
        (&json!(1), &json!("HEAD"), &json!("/chart.txt"))
    );
    assert_eq!((&told["status"], &told["bytes"]), (&json!(200), &json!(0)));
    assert_eq!((&told["referer"], &told["agent"]), (&json!("http://a.test/"), &Value::Null));
    assert!(told["ms"].as_f64().unwrap() > 0.0);
}

#[test]
fn the_log_names_who_has_logged_in() {
    let (mut live, url) = site(&["--auth", &format!("ann:{HASH}")]);
    let mut told = |path: &str, login: &str| {
        ask(&url, &format!("GET {path}"), &format!("Authorization: Basic {login}\r\n"), "");
        let told = request(&mut live);
        (told["status"].as_u64(), told["user"].clone())
    };
    // ann:password
    assert_eq!(told("/chart.txt", "YW5uOnBhc3N3b3Jk"), (Some(200), json!("ann")));
    assert_eq!(told("/none", "YW5uOnBhc3N3b3Jk"), (Some(404), json!("ann")));
    // ann:wrong
    assert_eq!(told("/chart.txt", "YW5uOndyb25n"), (Some(401), Value::Null));
}

#[test]
fn the_log_takes_the_form_that_is_asked_for() {
    let home = Portolan::new();
    let dir = home.home.path().to_str().unwrap().to_owned();
    let args = ["serve", "http", &dir, "--listen", ":0", "--access-log", "json"];
    let mut live = home.start(&args);
    let url = live.line().strip_prefix("listening on ").unwrap().to_owned();
    assert_status(&get(&format!("{url}none")), 404);
    let object: Value = serde_json::from_str(&live.note()).unwrap();
    assert_eq!((&object["type"], &object["status"]), (&json!("request"), &json!(404)));

    let (mut live, url) = site(&["--access-log", "off"]);
    get(&format!("{url}/chart.txt"));
    live.signal(Signal::TERM);
    assert!(live.end().objects().iter().all(|object| object["type"] == "connection"));
}

#[test]
fn the_log_says_what_the_system_refused() {
    let home = Portolan::new();
    // Nobody may make a file here.
    let serve = ["serve", "http", "/sys", "--upload", "--listen", ":0"];
    let mut live = home.start(&serve);
    let url = live.line().strip_prefix("listening on ").unwrap().to_owned();
    let answer = ask(url.trim_end_matches('/'), "PUT /new", "", "ahoy");
    assert_status(&answer, 403);
    assert!(!answer.contains("os error"), "{answer}");
    assert!(live.note().contains("\"PUT /new HTTP/1.1\" 403 "));
    let note = live.note();
    assert!(note.starts_with("403 for PUT /new: ") && note.contains("os error"), "{note}");

    let (mut live, url) = serve_by(Portolan::new(), &[&serve[..], &["--json"]].concat());
    ask(url.trim_end_matches('/'), "PUT /new", "", "ahoy");
    let failure = request(&mut live)["failure"].clone();
    assert!(failure.as_str().unwrap().contains("os error"), "{failure}");
}

#[test]
fn who_asks_late_is_answered_in_a_crowd() {
    let home = Portolan::new();
    home.file("chart.txt", "here be dragons");
    let dir = home.home.path().to_str().unwrap().to_owned();
    // What is told of so many on stdout would fill it.
    let quiet = ["--workers", "1", "--access-log", "off"];
    let mut live = home.start(&[&["serve", "http", &dir, "--listen", ":0"], &quiet[..]].concat());
    let line = live.line();
    let url = line.strip_prefix("listening on ").unwrap().trim_end_matches('/');
    // Their requests never come to an end.
    let crowd: Vec<_> = (0..600).map(|_| connect(url)).collect();
    crowd.iter().for_each(|mut slow| slow.write_all(b"GET").unwrap());
    for _ in 0..100 {
        let mut late = connect(url);
        // By then the server holds it as one that is silent.
        std::thread::sleep(Duration::from_millis(10));
        late.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(late, "GET /chart.txt HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert!(read_head(&mut late).unwrap().starts_with("HTTP/1.1 200 "));
    }
}

#[test]
fn flags_say_how_files_are_shown() {
    let (_live, url) = site(&[
        "--hidden",
        "--no-listing",
        "--index",
        "chart.txt",
        "--cors",
        "--header",
        "X-Mark: yes",
    ]);
    let index = get(&format!("{url}/")).to_lowercase();
    assert!(index.ends_with("\r\n\r\nhere be dragons"), "{index}");
    assert!(index.contains("\r\naccess-control-allow-origin: *\r\n"), "{index}");
    assert!(index.contains("\r\nx-mark: yes\r\n"), "{index}");
    assert!(get(&format!("{url}/.secret")).ends_with("rum"));
    assert_status(&get(&format!("{url}/log/")), 404);
}

#[test]
fn an_application_of_one_page_answers_for_all_its_routes() {
    let (live, url) = site(&["--spa"]);
    fs::write(dir(&live).join("index.html"), "<p>app").unwrap();
    let page = ask(&url, "GET /users/7", "Accept: text/html\r\n", "");
    assert_status(&page, 200);
    assert!(page.ends_with("<p>app"), "{page}");
    assert_status(&get(&format!("{url}/missing.js")), 404);
}

#[test]
fn links_are_followed_where_they_may_be_and_never_out() {
    let outside = tempfile::NamedTempFile::new().unwrap();
    for (flags, inner) in [(&[][..], 404), (&["--follow-symlinks"], 200)] {
        let (live, url) = site(flags);
        symlink("chart.txt", dir(&live).join("inner")).unwrap();
        symlink(outside.path(), dir(&live).join("outer")).unwrap();
        assert_status(&get(&format!("{url}/inner")), inner);
        assert_status(&get(&format!("{url}/outer")), 404);
    }
}

#[test]
fn uploads_are_taken_where_they_are_allowed() {
    let (live, url) = site(&["--upload", "--upload-max", "10B"]);
    assert_status(&ask(&url, "PUT /new.txt", "", "new"), 201);
    assert_eq!(fs::read_to_string(dir(&live).join("new.txt")).unwrap(), "new");
    assert_status(&ask(&url, "PUT /new.txt", "", "newer"), 409);
    assert_status(&ask(&url, "PUT /large.txt", "", "eleven bytes"), 413);
    assert_eq!(fs::read_to_string(dir(&live).join("new.txt")).unwrap(), "new");
    assert!(!dir(&live).join("large.txt").exists());

    let (live, url) = site(&["--upload", "--overwrite"]);
    assert_status(&ask(&url, "PUT /chart.txt", "", "no dragons"), 204);
    assert_eq!(fs::read_to_string(dir(&live).join("chart.txt")).unwrap(), "no dragons");
}

#[test]
fn users_log_in_with_a_hash_or_a_password() {
    let account = format!("ann:{HASH}");
    let (_live, url) = site(&["--auth", &account]);
    assert_status(&get(&format!("{url}/chart.txt")), 401);
    let with = |login: &str| run(&["http", &format!("{url}/chart.txt"), "--fail", "--user", login]);
    assert_eq!(with("ann:password").done(), "here be dragons");
    assert_eq!(with("ann:wrong").code, Some(22));
    assert_eq!(with("bob:password").code, Some(22));

    // The password is what the variable holds.
    let (live, url) = site(&["--auth", "ann", "--password-env", "HOME"]);
    let with =
        |password: &str| run(&["http", &url, "--fail", "--user", &format!("ann:{password}")]);
    assert_eq!(with(dir(&live).to_str().unwrap()).code, Some(0));
    assert_eq!(with("wrong").code, Some(22));
}

#[test]
fn a_password_that_is_asked_for_is_not_empty() {
    let pty = Pty::new(24, 80);
    let home = Portolan::new();
    let mut live = home.start_with_input(&["serve", "http", "--auth", "ann"], pty.open());
    let prompt = "password for ann: ";
    let mut shown = vec![0; prompt.len()];
    live.child.stderr.as_mut().unwrap().read_exact(&mut shown).unwrap();
    assert_eq!(String::from_utf8(shown).unwrap(), prompt);
    (&pty.controller).write_all(b"\n").unwrap();
    let run = live.end();
    assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "{}", run.err);
    assert!(run.err.ends_with("portolan: the password of ann is empty\n"), "{}", run.err);
}

#[test]
fn tls_is_spoken_with_a_certificate_of_its_own() {
    let (_live, url) = site(&["--tls", "self"]);
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let file = format!("{url}/chart.txt");
    assert_eq!(run(&["http", "-k", "--http2", &file]).done(), "here be dragons");
    assert_eq!(run(&["http", "-k", "--http1.1", &file]).done(), "here be dragons");
    let head = run(&["http", "-k", "--http2", "--print", "h", "HEAD", &file]).done();
    assert!(head.starts_with("HTTP/2 200") && head.contains("content-length: 15"), "{head}");
    assert_eq!(run(&["http", &file]).code, Some(60));
}

#[test]
fn tls_is_spoken_with_the_certificate_in_two_files() {
    let names = ["127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
    let files = Portolan::new();
    let cert = files.file("cert.pem", &cert.pem());
    let key = files.file("key.pem", &signing_key.serialize_pem());
    let (_live, url) = site(&["--cert", &cert, "--key", &key]);
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let file = format!("{url}/chart.txt");
    assert_eq!(run(&["http", "--cacert", &cert, &file]).done(), "here be dragons");
    let ws = ["serve", "ws", "--echo", "--listen", ":0", "--cert", &cert, "--key", &key];
    let (_live, url) = serve_by(Portolan::new(), &ws);
    assert_eq!(run(&["probe", "--cacert", &cert, &url, "-q"]).code, Some(0));
}

#[test]
fn a_unix_socket_serves_too() {
    let home = Portolan::new();
    home.file("chart.txt", "here be dragons");
    let root = home.home.path().to_str().unwrap().to_owned();
    let socket = format!("{root}/site.sock");
    let (_live, url) =
        serve_by(home, &["serve", "http", &root, "--listen", &format!("unix:{socket}")]);
    assert_eq!(url, format!("unix:{socket}"));
    let run = run(&["http", "--unix-socket", &socket, "http://localhost/chart.txt"]);
    assert_eq!(run.done(), "here be dragons");
}

#[test]
fn a_signal_lets_requests_in_flight_come_to_their_end() {
    let (mut live, url) = site(&["--upload"]);
    let mut idle = connect(&url);
    let mut busy = connect(&url);
    write!(
        busy,
        "PUT /new.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    )
    .unwrap();
    assert!(read_head(&mut busy).unwrap().starts_with("HTTP/1.1 100 "));
    live.signal(Signal::TERM);
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    while TcpStream::connect(url.strip_prefix("http://").unwrap()).is_ok() {}
    busy.write_all(b"ahoy").unwrap();
    let mut answer = String::new();
    busy.read_to_string(&mut answer).unwrap();
    assert_status(&answer, 201);
    assert!(answer.to_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
    let home = dir(&live).to_owned();
    assert_eq!(live.end().code, Some(0));
    assert_eq!(fs::read_to_string(home.join("new.txt")).unwrap(), "ahoy");
}

#[test]
fn requests_in_flight_are_waited_for_however_long_they_take() {
    let (mut live, url) = site(&["--upload"]);
    let mut busy = connect(&url);
    let head = "PUT /new.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n";
    write!(busy, "{head}Expect: 100-continue\r\n\r\n").unwrap();
    assert!(read_head(&mut busy).unwrap().starts_with("HTTP/1.1 100 "));
    live.signal(Signal::TERM);
    assert_eq!(live.note(), "stopping; once more to stop at once");
    // Longer than other servers wait.
    busy.set_read_timeout(Some(Duration::from_secs(6))).unwrap();
    assert_eq!(busy.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    busy.write_all(b"ahoy").unwrap();
    let mut answer = String::new();
    busy.read_to_string(&mut answer).unwrap();
    assert_status(&answer, 201);
    assert_eq!(live.end().code, Some(0));
}

#[test]
fn what_a_second_signal_breaks_off_is_logged_as_far_as_it_went() {
    let (mut live, url) = site(&["--workers", "4"]);
    let size = 64 << 20;
    let file = fs::File::create(dir(&live).join("large.bin")).unwrap();
    file.set_len(size).unwrap();
    let busy: Vec<_> = (0..8)
        .map(|number| {
            let mut stream = connect(&url);
            write!(stream, "GET /large.bin?{number} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            assert!(read_head(&mut stream).unwrap().starts_with("HTTP/1.1 200 "));
            stream
        })
        .collect();
    live.signal(Signal::TERM);
    assert_eq!(live.note(), "stopping; once more to stop at once");
    live.signal(Signal::TERM);
    let objects = live.end().objects();
    let told: Vec<_> = objects.iter().filter(|object| object["type"] == "request").collect();
    assert_eq!(told.len(), busy.len());
    for request in told {
        assert_eq!(request["status"], 200);
        assert!((1..size).contains(&request["bytes"].as_u64().unwrap()), "{request}");
    }
}

#[test]
fn requests_go_wrong_as_told() {
    let (_live, url) = site(&["--fault", "GET /chart.txt: reply=503 fog"]);
    assert!(get(&format!("{url}/chart.txt")).ends_with("\r\n\r\nfog"));
    assert_status(&get(&format!("{url}/")), 200);
}

#[test]
fn who_may_come_is_limited() {
    let (mut live, url) = site(&["--deny", "127.0.0.1"]);
    assert_eq!(connect(&url).read(&mut [0]).unwrap_or(0), 0);
    assert_eq!(live.event("refuse")["reason"], "not allowed to connect");
    let (mut live, url) = site(&["--max-conns", "1"]);
    let mut first = connect(&url);
    live.event("open");
    connect(&url);
    assert_eq!(live.event("refuse")["reason"], "too many connections");
    write!(first, "GET /chart.txt HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(read_head(&mut first).unwrap().starts_with("HTTP/1.1 200 "));
}

#[test]
fn defaults_come_from_the_table_of_the_verb() {
    let home = Portolan::with_config("[serve.http]\nhidden = true\nworkers = 2");
    home.file(".secret", "rum");
    let root = home.home.path().to_str().unwrap().to_owned();
    let (_live, url) = serve_by(home, &["serve", "http", &root, "--listen", ":0"]);
    assert!(get(&format!("{url}.secret")).ends_with("rum"));
}

/// It did not start: the exit code, and what is in the sentence and in the hint.
#[track_caller]
fn fails(run: &Run, code: i32, sentence: &[&str], hint: &str) {
    assert_eq!((run.code, run.out.as_str()), (Some(code), ""), "{}", run.err);
    let lines: Vec<_> = run.err.lines().collect();
    let [first, second] = lines[..] else { panic!("no sentence and hint: {}", run.err) };
    for word in sentence {
        assert!(first.contains(word), "'{word}' is not in: {first}");
    }
    assert!(second.starts_with("hint: ") && second.contains(hint), "'{hint}' is not in: {second}");
}

#[test]
fn what_keeps_it_from_starting_is_said_with_what_to_change() {
    let http = |flags: &[&str]| run(&[&["serve", "http"], flags].concat());
    fails(
        &http(&["no/such"]),
        2,
        &["'no/such' for DIR", "no such file"],
        "a directory that exists",
    );
    fails(&http(&["/dev/null"]), 2, &["'/dev/null' for DIR", "not a directory"], "that exists");
    let hashless = http(&["--auth", "ann:plain"]);
    fails(&hashless, 2, &["--auth ann", "hash"], "argon2");
    assert!(!hashless.err.contains("plain"), "{}", hashless.err);
    fails(&http(&["--auth", "ann"]), 2, &["no password for ann"], "--password-env");

    let used = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = used.local_addr().unwrap().to_string();
    fails(&http(&["--listen", &address]), 7, &["could not listen on", "in use"], "another one");
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    let refused = |flags: &[&str], words: &[&str]| {
        run(&[&["serve", "http"], flags].concat()).refused(words);
    };
    refused(&["--listen", "tcp:1"], &["--listen", "not on tcp:"]);
    refused(&["--listen", "http://127.0.0.1:0", "--tls", "self"], &["--tls", "http:"]);
    refused(&["--listen", "http://127.0.0.1:0", "--cert", "a.pem"], &["--cert", "http:"]);
    refused(&["--listen", "unix:/tmp/a", "--workers", "2"], &["--workers", "unix:"]);
    refused(&["--header", "Content-Length: 1"], &["--header", "content-length"]);
    refused(&["--header", "none"], &["--header", "NAME:VALUE"]);
    refused(&["--upload-max", "1MB"], &["--upload"]);
    refused(&["--auth", ""], &["the USER of --auth is empty"]);
    refused(&["--auth", &format!(":{HASH}")], &["the USER of --auth is empty"]);
    refused(&["--once", "--workers", "2"], &["--once"]);
    refused(&["--fault", "http: reset"], &["--fault", "names a server"]);
    refused(&["--seed", "7"], &["--seed", "--fault"]);
    run(&["serve", "htp"]).refused(&["htp", "one of http, ws"]);
}

#[test]
fn a_directory_that_cannot_be_opened() {
    let home = tempfile::tempdir().unwrap();
    // Root, who may read everything, cannot follow this either.
    let path = home.path().join("circle");
    std::os::unix::fs::symlink("circle", &path).unwrap();
    let path = path.to_str().unwrap();
    let sentence =
        format!("portolan: could not open the directory {path}: too many levels of symbolic links");
    run(&["serve", "http", path]).failed(26, &[&sentence]);
}
