//! `get` as the command has it: which files come, what is told, how it ends.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

#[expect(dead_code, reason = "these tests need no lab")]
mod support;

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get as by_get;
use portolan::http::Server;
use portolan::net::Listener;
use serde_json::Value;
use support::{Portolan, Run, answering, peer, read_head};
use tokio::runtime::Runtime;

/// A server of the library with a few files.
struct Files {
    _runtime: Runtime,
    url: String,
}

impl Files {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let url = "http://127.0.0.1:0".parse().unwrap();
        let listener = runtime.block_on(Listener::bind(&url)).unwrap();
        let url = listener.local_url().to_string();
        let escaping = [(header::CONTENT_DISPOSITION, "attachment; filename=\"../../x.txt\"")];
        let routes = Router::new()
            .route("/a.txt", by_get(|| async { "one" }))
            .route("/b.txt", by_get(|| async { "three" }))
            .route("/deep/a.txt", by_get(|| async { "other" }))
            .route("/escaping", by_get(move || async move { (escaping, "caught") }))
            .route("/guarded", by_get(guarded))
            .route(
                "/moved",
                by_get(|| async { (StatusCode::FOUND, [(header::LOCATION, "/a.txt")]) }),
            );
        runtime.spawn(Server::new(routes).serve(listener, std::future::pending()));
        Self { _runtime: runtime, url: url.trim_end_matches('/').to_owned() }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

async fn guarded(headers: HeaderMap) -> impl IntoResponse {
    match headers.get(header::AUTHORIZATION).map(|value| value.as_bytes()) {
        Some(b"Basic am9lOmh1c2g=") => (StatusCode::OK, "welcome"),
        _ => (StatusCode::UNAUTHORIZED, "who?"),
    }
}

/// A run in the directory of `portolan`.
fn get(portolan: &Portolan, args: &[&str]) -> Run {
    let mut command = portolan.command(&[&["get"], args].concat());
    Run::from(command.current_dir(portolan.home.path()).output().unwrap())
}

/// The files in the home, and what they hold.
fn files(portolan: &Portolan) -> Vec<(String, String)> {
    let entries = fs::read_dir(portolan.home.path()).unwrap().map(Result::unwrap);
    let entries = entries.filter(|entry| entry.path().is_file());
    let mut files: Vec<_> = entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn file(name: &str, text: &str) -> (String, String) {
    (name.to_owned(), text.to_owned())
}

#[test]
fn files_come_under_their_names_and_a_line_sums_up() {
    let server = Files::start();
    let portolan = Portolan::new();
    let urls =
        [server.at("/a.txt"), server.at("/b.txt"), server.at("/escaping"), server.at("/moved")];
    let run = get(&portolan, &urls.each_ref().map(String::as_str));
    assert_eq!((run.code, run.out.as_str()), (Some(0), ""), "{}", run.err);
    let expected = [file("a.txt", "one"), file("b.txt", "three"), file("x.txt", "caught")];
    let found = files(&portolan);
    assert!(expected.iter().all(|file| found.contains(file)), "{found:?}");
    assert!(run.err.lines().last().unwrap().starts_with("4 files, "), "{}", run.err);
    assert!(run.err.contains("b.txt: 5 B in "), "{}", run.err);
}

#[test]
fn one_name_for_two_files_gets_a_number() {
    let server = Files::start();
    let portolan = Portolan::new();
    assert_eq!(get(&portolan, &[&server.at("/a.txt"), &server.at("/deep/a.txt")]).code, Some(0));
    let mut texts: Vec<_> = files(&portolan).into_iter().map(|(_, text)| text).collect();
    texts.sort();
    assert_eq!(texts, ["one", "other"]);
}

#[test]
fn output_is_a_file_a_directory_or_stdout() {
    let server = Files::start();
    let portolan = Portolan::new();
    let url = server.at("/a.txt");
    assert_eq!(get(&portolan, &[&url, "-o", "mine.txt"]).code, Some(0));
    fs::create_dir(portolan.home.path().join("dir")).unwrap();
    assert_eq!(get(&portolan, &[&url, "-o", "dir"]).code, Some(0));
    assert_eq!(files(&portolan), [file("mine.txt", "one")]);
    assert_eq!(fs::read_to_string(portolan.home.path().join("dir/a.txt")).unwrap(), "one");
    assert_eq!(get(&portolan, &[&url, "-o", "-"]).out, "one");
    get(&portolan, &[&url, &url, "-o", "file"]).refused(&["-o file", "several"]);
    get(&portolan, &[&url, &url, "-o", "-"]).refused(&["-o -", "several"]);
}

#[test]
fn urls_come_from_a_file_or_stdin() {
    let server = Files::start();
    let portolan = Portolan::new();
    let list = format!("# files\n{}\n\n{}\n", server.at("/a.txt"), server.at("/b.txt"));
    let into = portolan.home.path().join("into/");
    fs::create_dir(&into).unwrap();
    let into = into.to_str().unwrap();
    let run = portolan.run_with_input(&["get", "--from-file", "-", "-o", into], &list);
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert_eq!(fs::read_dir(into).unwrap().count(), 2);
    let path = portolan.file("list", "not a url\n");
    get(&portolan, &["--from-file", &path]).refused(&["line 1"]);
    get(&portolan, &[]).refused(&["URL is missing"]);
    get(&portolan, &["ftp://a.test/x"]).refused(&["not for ftp:"]);
}

#[test]
fn a_checksum_decides_whether_there_is_a_file() {
    let server = Files::start();
    let portolan = Portolan::new();
    let url = server.at("/a.txt");
    let sum = "sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
    assert_eq!(get(&portolan, &[&url, "--checksum", sum, "-o", "good"]).code, Some(0));
    let run = get(&portolan, &[&server.at("/b.txt"), "--checksum", sum, "-o", "bad"]);
    assert_eq!(run.code, Some(1), "{}", run.err);
    assert!(run.err.contains("checksum"), "{}", run.err);
    assert_eq!(files(&portolan), [file("good", "one")]);
    get(&portolan, &[&url, &url, "--checksum", sum]).refused(&["--checksum"]);
    get(&portolan, &[&url, "--checksum", "sha256:12"]).refused(&["--checksum"]);
}

#[test]
fn the_first_url_that_fails_gives_the_code_and_the_others_come() {
    let server = Files::start();
    let portolan = Portolan::new();
    let short = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfour");
    let short = format!("http://127.0.0.1:{short}/short");
    let urls = [server.at("/a.txt"), short, "http://127.0.0.1:1/".to_owned()];
    let urls = urls.each_ref().map(String::as_str);
    let run = get(&portolan, &[&["--json", "--concurrency", "1"], &urls[..]].concat());
    assert_eq!(run.code, Some(18), "{}", run.err);
    let objects = run.objects();
    let types: Vec<_> = objects.iter().map(|object| object["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["get", "error", "error", "summary"]);
    assert_eq!((&objects[0]["size"], &objects[0]["url"]), (&3.into(), &urls[0].into()));
    assert!(objects[0]["path"].as_str().unwrap().ends_with("a.txt"));
    assert_eq!((&objects[1]["code"], &objects[1]["target"]), (&18.into(), &urls[1].into()));
    assert_eq!((&objects[3]["files"], &objects[3]["failed"]), (&1.into(), &2.into()));
    // Nothing that is not whole has a final name.
    assert!(!portolan.home.path().join("short").exists());
}

#[test]
fn logins_are_used() {
    let server = Files::start();
    let portolan = Portolan::new();
    let url = server.at("/guarded");
    assert_ne!(get(&portolan, &[&url, "-o", "-"]).code, Some(0));
    assert_eq!(get(&portolan, &[&url, "-o", "-", "--user", "joe:hush"]).out, "welcome");
    let netrc = portolan.file("netrc", "machine 127.0.0.1 login joe password hush");
    assert_eq!(get(&portolan, &[&url, "-o", "-", "--netrc-file", &netrc]).out, "welcome");
}

const SIZE: usize = 3_000_000;

/// What the file holds at this byte.
fn content() -> Vec<u8> {
    (0..SIZE).map(|at| (at % 251) as u8).collect()
}

/// A server that stops in the middle of the first answer, and gives the rest of later ones from
/// where they ask; its URL, the requests' heads, and what to keep so that the first one hangs.
fn stopping(etags: [&'static str; 2]) -> (String, Receiver<String>, Sender<()>) {
    let (told, heads) = mpsc::channel();
    let (hold, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let port = peer(move |mut stream| {
        let head = read_head(&mut stream)?;
        told.send(head.clone()).map_err(io::Error::other)?;
        let content = content();
        let first = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let value = value.strip_prefix("bytes=")?.strip_suffix('-')?;
            name.eq_ignore_ascii_case("range").then(|| value.parse::<usize>().unwrap())
        });
        match first {
            Some(first) if head.contains(etags[1]) => {
                write!(
                    stream,
                    "HTTP/1.1 206 Partial Content\r\nETag: {}\r\nContent-Length: {}\r\n\
                     Content-Range: bytes {first}-{}/{SIZE}\r\n\r\n",
                    etags[1],
                    SIZE - first,
                    SIZE - 1
                )?;
                stream.write_all(&content[first..])
            }
            Some(_) => {
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nETag: {}\r\nContent-Length: {SIZE}\r\n\r\n",
                    etags[1]
                )?;
                stream.write_all(&content)
            }
            None => {
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nETag: {}\r\nContent-Length: {SIZE}\r\n\r\n",
                    etags[0]
                )?;
                stream.write_all(&content[..SIZE / 2])?;
                let _ = held.lock().unwrap().recv();
                Ok(())
            }
        }
    });
    (format!("http://127.0.0.1:{port}/big"), heads, hold)
}

/// Kills a run in the middle, goes on with another, and gives what that one asked for.
fn killed_and_continued(etags: [&'static str; 2]) -> String {
    let (url, heads, _hold) = stopping(etags);
    let portolan = Portolan::new();
    let home = portolan.home.path().to_owned();
    let (final_name, part) = (home.join("big"), home.join(".big.portolan-part"));
    let mut command = portolan.command(&["get", &url]);
    let mut child = command.current_dir(&home).spawn().unwrap();
    heads.recv().unwrap();
    let has_half =
        |path: &Path| fs::metadata(path).is_ok_and(|about| about.len() >= SIZE as u64 / 2);
    while !has_half(&part) {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!final_name.exists());
    let run = get(&portolan, &["--json", &url, "--continue"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(fs::read(&final_name).unwrap() == content());
    assert!(!part.exists());
    let report: Value = run.objects().swap_remove(0);
    let head = heads.recv().unwrap();
    let rest = if etags[0] == etags[1] { SIZE - SIZE / 2 } else { SIZE };
    assert_eq!((&report["size"], &report["fetched"]), (&SIZE.into(), &rest.into()), "{head}");
    head.to_ascii_lowercase()
}

#[test]
fn what_was_killed_goes_on_from_where_it_was() {
    let head = killed_and_continued(["\"v1\"", "\"v1\""]);
    assert!(head.contains(&format!("range: bytes={}-", SIZE / 2)), "{head}");
    assert!(head.contains("if-range: \"v1\""), "{head}");
}

#[test]
fn what_was_changed_meanwhile_begins_anew() {
    killed_and_continued(["\"v1\"", "\"v2\""]);
}
