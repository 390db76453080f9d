//! What `http --curl` writes, run by curl.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use crate::request::http;
use crate::support::{peer, read_head};

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
