//! `http` and `get` against nginx, and beside curl.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use crate::peer::nginx;
use crate::support::{Portolan, Run, peer, read_head};

fn http(args: &[&str]) -> Run {
    Portolan::new().run(&[&["http"], args].concat())
}

#[test]
fn nginx_compresses_and_wants_a_login() {
    let locations = "gzip on; gzip_min_length 1; gzip_types text/plain;
        location /guarded { auth_basic x; auth_basic_user_file passwords; }
        location /moved { return 307 /text; }";
    let server = nginx("", locations, None);
    fs::write(server.dir().join("text"), "ahoy ".repeat(1000)).unwrap();
    // The file of passwords is looked up beside the configuration.
    fs::write(server.dir().join("passwords"), "joe:{PLAIN}hush\n").unwrap();
    let at = |path: &str| format!("http://127.0.0.1:{}{path}", server.port);
    let run = http(&[&at("/text"), "--print", "hb"]);
    let out = run.done();
    assert!(out.contains("content-encoding: gzip\n"), "{out}");
    assert!(out.ends_with(&"ahoy ".repeat(1000)), "{out}");
    assert_eq!(http(&[&at("/moved"), "--follow"]).done(), "ahoy ".repeat(1000));
    assert_eq!(http(&[&at("/guarded"), "--fail"]).code, Some(22));
    fs::write(server.dir().join("guarded"), "welcome").unwrap();
    assert_eq!(http(&[&at("/guarded"), "--user", "joe:hush"]).done(), "welcome");
}

#[test]
fn a_download_that_was_killed_goes_on_from_nginx() {
    let server = nginx("", "limit_rate 2m; limit_rate_after 2m;", None);
    let content: Vec<u8> = (0..6 << 20).map(|at: usize| (at % 251) as u8).collect();
    fs::write(server.dir().join("big"), &content).unwrap();
    let url = format!("http://127.0.0.1:{}/big", server.port);
    let portolan = Portolan::new();
    let home = portolan.home.path();
    let part = home.join(".big.portolan-part");
    let mut child = portolan.command(&["get", &url]).current_dir(home).spawn().unwrap();
    let has_begun = |path: &Path| fs::metadata(path).is_ok_and(|about| about.len() >= 2 << 20);
    while !has_begun(&part) {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!home.join("big").exists());
    let mut command = portolan.command(&["get", &url, "--continue", "--json"]);
    let run = Run::from(command.current_dir(home).output().unwrap());
    assert_eq!(run.code, Some(0), "{}", run.err);
    let fetched = run.objects()[0]["fetched"].as_u64().unwrap();
    assert!(fetched <= 4 << 20, "{fetched} bytes were fetched once more");
    assert!(fs::read(home.join("big")).unwrap() == content);
}

/// What a peer heard: the first line, the fields in order of their names, and the body.
type Heard = (String, Vec<String>, String);

#[test]
fn curl_sends_what_is_written_for_it() {
    let (told, heard) = mpsc::channel::<Heard>();
    let port = peer(move |mut stream| {
        let head = read_head(&mut stream)?;
        let mut lines = head.trim_end().lines().map(str::to_owned);
        let line = lines.next().unwrap_or_default();
        let field = |line: String| {
            let (name, value) = line.split_once(':').unwrap();
            format!("{}: {}", name.to_lowercase(), value.trim())
        };
        let mut fields: Vec<_> = lines.map(field).collect();
        fields.sort();
        let length = fields.iter().find_map(|field| field.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut body)?;
        stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")?;
        told.send((line, fields, String::from_utf8(body).unwrap())).map_err(std::io::Error::other)
    });
    let url = format!("http://127.0.0.1:{port}/");
    let requests: [&[&str]; 6] = [
        &[&url, "q==it's & more", "X-A:b c", "X-B;", "name=it's $HOME\n", "n:=1.0"],
        &["--form", "PUT", &url, "a b=c&d", "é=ü"],
        &["DELETE", &url, "--user", "joe:it's"],
        &[&url, "--auth", "bearer", "--user", "t0ken", "Accept:"],
        &["PATCH", &url, "--body", "plain", "Content-Type:x/y"],
        &[&url, "User-Agent:", "Accept-Encoding:"],
    ];
    for request in requests {
        http(request).done();
        let mut ours = heard.recv().unwrap();
        let command = http(&[&["--curl"], request].concat()).done();
        let shell =
            Command::new("sh").args(["-c", &command]).stdin(Stdio::null()).output().unwrap();
        assert!(shell.status.success(), "{command}: {shell:?}");
        let mut theirs = heard.recv().unwrap();
        for (_, fields, _) in [&mut ours, &mut theirs] {
            // Which codings it knows is curl's own business.
            fields.retain(|field| !field.starts_with("accept-encoding: "));
        }
        assert_eq!(ours, theirs, "{command}");
    }
}
