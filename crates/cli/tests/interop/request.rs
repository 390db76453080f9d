//! The verb `http` against servers and proxies that others wrote: nginx, httpbin served by
//! gunicorn, tinyproxy and microsocks.

use std::fs;
use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::authority::{Authority, Files};
use crate::peer::{Peer, nginx};
use crate::proxy::{microsocks, tinyproxy};
use crate::support::{Portolan, Run, peer, read_head};

/// httpbin, as its package says to serve it, with connections that are kept.
fn httpbin() -> (Peer, String) {
    let peer = Peer::start("python3-httpbin and gunicorn", |port, _| {
        let mut command = Command::new("gunicorn");
        command.args(["--bind", &format!("127.0.0.1:{port}"), "--threads", "4", "httpbin:app"]);
        command
    });
    let url = format!("http://127.0.0.1:{}", peer.port);
    (peer, url)
}

pub(crate) fn http(args: &[&str]) -> Run {
    Portolan::new().run(&[&["http"], args].concat())
}

/// The object that a request is answered with.
#[track_caller]
fn object(args: &[&str]) -> Value {
    serde_json::from_str(&http(args).done()).unwrap()
}

#[test]
fn items_arrive_as_httpbin_shows_them() {
    let (_peer, url) = httpbin();
    let seen = object(&[
        &format!("{url}/anything"),
        "X-Ahoy:yes",
        "q==a b&c",
        "q==second",
        "name=Grüße",
        "count:=3",
        "list:=[1,2]",
    ]);
    assert_eq!(seen["method"], "POST");
    assert_eq!(seen["args"]["q"], json!(["a b&c", "second"]));
    assert_eq!(seen["headers"]["X-Ahoy"], "yes");
    assert_eq!(seen["headers"]["Content-Type"], "application/json");
    assert_eq!(seen["json"], json!({ "name": "Grüße", "count": 3, "list": [1, 2] }));

    let seen = object(&["--form", "PUT", &format!("{url}/anything"), "a=1 & 2", "b=ü"]);
    assert_eq!(
        (&seen["method"], &seen["form"]),
        (&json!("PUT"), &json!({ "a": "1 & 2", "b": "ü" }))
    );
}

#[test]
fn files_are_uploaded() {
    let (_peer, url) = httpbin();
    let home = Portolan::new();
    let file = home.file("map.txt", "here be dragons\n");
    let upload = format!("chart@{file}");
    let seen = object(&["--multipart", &format!("{url}/anything"), "name=portolan", &upload]);
    assert_eq!(seen["files"], json!({ "chart": "here be dragons\n" }));
    assert_eq!(seen["form"], json!({ "name": "portolan" }));
    let seen = object(&[&format!("{url}/anything"), &format!("@{file}")]);
    assert_eq!(seen["data"], "here be dragons\n");
    assert_eq!(seen["headers"]["Content-Type"], "text/plain");
}

#[test]
fn bodies_come_in_every_coding() {
    let (_peer, url) = httpbin();
    for (path, key) in [("gzip", "gzipped"), ("deflate", "deflated"), ("brotli", "brotli")] {
        assert_eq!(object(&[&format!("{url}/{path}")])[key], true, "{path}");
    }
}

#[test]
fn redirects_are_followed_only_when_asked() {
    let (_peer, url) = httpbin();
    let redirect = format!("{url}/redirect/3");
    let stayed = Portolan::new().run(&["http", "--print", "h", &redirect]).done();
    assert!(stayed.starts_with("HTTP/1.1 302 "), "{stayed}");
    assert_eq!(object(&["--follow", &redirect])["url"], format!("{url}/get"));
    let args = ["--follow", "--max-redirects", "2", &redirect];
    assert_eq!(http(&args).code, Some(47));
    // 307 keeps the method and the body, 303 does not.
    for (status, method, data) in [(307, "POST", "x"), (303, "GET", "")] {
        let to = format!("{url}/redirect-to?url=/anything&status_code={status}");
        let seen = object(&["--follow", "POST", &to, "--body", "x"]);
        assert_eq!((&seen["method"], &seen["data"]), (&json!(method), &json!(data)), "{status}");
    }
}

#[test]
fn every_way_to_log_in_is_taken() {
    let (_peer, url) = httpbin();
    let ways = [
        ("basic-auth/u/pass", "basic"),
        ("digest-auth/auth/u/pass", "digest"),
        ("digest-auth/auth/u/pass/SHA-256", "digest"),
    ];
    for (path, way) in ways {
        let url = format!("{url}/{path}");
        let run = http(&["--fail", "--auth", way, "--user", "u:pass", &url]);
        let seen: Value = serde_json::from_str(&run.done()).unwrap();
        assert_eq!(seen["authenticated"], true, "{path}");
        assert_eq!(
            http(&["--fail", "--auth", way, "--user", "u:no", &url]).code,
            Some(22),
            "{path}"
        );
    }
    let seen = object(&["--auth", "bearer", "--user", "t0ken", &format!("{url}/bearer")]);
    assert_eq!(seen["token"], "t0ken");
}

#[test]
fn a_session_keeps_cookies_between_runs() {
    let (_peer, url) = httpbin();
    let home = Portolan::new();
    let run =
        |path: &str| home.run(&["http", "--session", "crew", "--follow", &format!("{url}/{path}")]);
    run("cookies/set?course=north").done();
    let seen: Value = serde_json::from_str(&run("cookies").done()).unwrap();
    assert_eq!(seen["cookies"], json!({ "course": "north" }));
    assert_eq!(object(&[&format!("{url}/cookies")])["cookies"], json!({}));
}

#[test]
fn lines_come_as_they_are_sent() {
    let (_peer, url) = httpbin();
    let lines = http(&[&format!("{url}/stream/3")]).done();
    let ids: Vec<_> =
        lines.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["id"].clone()).collect();
    assert_eq!(ids, [0, 1, 2]);
}

#[test]
fn statuses_fail_where_asked_and_waits_end() {
    let (_peer, url) = httpbin();
    assert_eq!(http(&[&format!("{url}/status/503")]).code, Some(0));
    assert_eq!(http(&["--fail", &format!("{url}/status/503")]).code, Some(22));
    assert_eq!(http(&["--timeout", "300ms", &format!("{url}/delay/5")]).code, Some(28));
    let drip = format!("{url}/drip?duration=5&numbytes=50");
    assert_eq!(http(&["--timeout", "700ms", &drip]).code, Some(28));
}

#[test]
fn nginx_answers_over_http_2_with_gzip_and_a_client_certificate() {
    let ca = Authority::root("Interop Root");
    let trusted = ca.file();
    let server = format!(
        "ssl_client_certificate {trusted}; ssl_verify_client on; gzip on; gzip_min_length 1; gzip_types text/plain;
         location / {{ default_type text/plain; return 200 \"$ssl_client_s_dn $server_protocol {}\"; }}",
        "ahoy ".repeat(100)
    );
    let peer = nginx("ssl http2", &server, Some(&ca.issue("site.test")));
    let home = Portolan::new();
    let Files { chain, key, .. } = ca.issue("client.test").write(home.home.path());
    let url = format!("https://site.test:{}/", peer.port);
    let resolve = format!("site.test:{}:127.0.0.1", peer.port);
    let dial =
        ["http", "--cacert", &trusted, "--resolve", &resolve, "--cert", &chain, "--key", &key];
    let both = home.run(&[&dial[..], &["--print", "hb", &url]].concat()).done();
    assert!(both.starts_with("HTTP/2 200"), "{both}");
    assert!(both.to_lowercase().contains("content-encoding: gzip"), "{both}");
    assert!(both.contains("CN=client.test HTTP/2.0 ahoy ahoy"), "{both}");
    let one = home.run(&[&dial[..], &["--http1.1", &url]].concat()).done();
    assert!(one.contains("HTTP/1.1 ahoy"), "{one}");
}

#[test]
fn nginx_asks_for_a_login() {
    let home = Portolan::new();
    // The hash of "p" by crypt(3) with MD5, as `openssl passwd -apr1` makes it.
    let made = Command::new("openssl").args(["passwd", "-apr1", "p"]).output().unwrap();
    let hash = String::from_utf8(made.stdout).unwrap();
    let users = home.file("users", &format!("u:{hash}"));
    let server = format!(
        "location / {{ auth_basic crew; auth_basic_user_file {users}; try_files /in =404; }}"
    );
    let peer = nginx("", &server, None);
    fs::write(peer.dir().join("in"), "welcome").unwrap();
    let url = format!("http://127.0.0.1:{}/", peer.port);
    assert_eq!(http(&["--fail", &url]).code, Some(22));
    assert_eq!(http(&["--user", "u:p", &url]).done(), "welcome");
    assert_eq!(http(&[&url.replace("//", "//u:p@")]).done(), "welcome");
    let netrc = home.file("netrc", "machine 127.0.0.1 login u password p\n");
    assert_eq!(http(&["--netrc-file", &netrc, &url]).done(), "welcome");
}

#[test]
fn proxies_are_gone_through() {
    let (_peer, url) = httpbin();
    let url = format!("{url}/get?a=b");
    let (socks, forward) = (microsocks(&[]), tinyproxy(""));
    for proxy in [
        format!("socks5h://127.0.0.1:{}", socks.port),
        format!("http://127.0.0.1:{}", forward.port),
    ] {
        assert_eq!(object(&["--proxy", &proxy, &url])["args"], json!({ "a": "b" }), "{proxy}");
    }
}

#[test]
fn memory_stays_small_whatever_is_uploaded() {
    const SIZE: u64 = 1 << 30;
    let locations = "client_max_body_size 0; location / { proxy_request_buffering off;
        proxy_pass http://127.0.0.1:$sink; }";
    let sink = peer(|mut stream| {
        let head = read_head(&mut stream)?;
        assert!(head.to_lowercase().contains(&format!("content-length: {SIZE}")), "{head}");
        let read = io::copy(&mut (&stream).take(SIZE), &mut io::sink())?;
        let body = read.to_string();
        let length = body.len();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}")
    });
    let server = nginx("", &locations.replace("$sink", &sink.to_string()), None);
    let home = Portolan::new();
    let file = home.home.path().join("large");
    fs::File::create(&file).unwrap().set_len(SIZE).unwrap();
    let url = format!("http://127.0.0.1:{}/", server.port);
    let upload = format!("@{}", file.display());
    let mut command = home.command(&["http", "PUT", &url, &upload]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let (status, mut peak) = (format!("/proc/{}/status", child.id()), 0);
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(&status).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.map_or(peak, |line| line.trim().trim_end_matches(" kB").parse().unwrap());
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), SIZE.to_string());
    assert!((1..32 << 10).contains(&peak), "{peak} KiB");
}
