//! The bodies of a session: sent from files, forms and streams; received whole, in pieces, decoded.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

#[expect(dead_code, reason = "these tests need no single connections")]
mod support;

use std::future::pending;
use std::io::{Read, Seek, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_compression::tokio::write::{
    BrotliEncoder, DeflateEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder,
};
use axum::Router;
use axum::routing::any;
use http::HeaderMap;
use portolan_core::{Error, Kind, Timeouts, Url};
use portolan_http::{Body, Form, HttpError, Part, Protocol, Session};
use portolan_net::{Connection, Context, serve};
use support::{answer, listener, read_head, scripted, server};
use tokio::io::AsyncWriteExt;

/// Says how a body was framed, and what it was.
async fn echo() -> Url {
    let route = any(|headers: HeaderMap, body: String| async move {
        let framing = ["content-length", "transfer-encoding", "content-type"]
            .map(|name| headers.get(name).map_or("-", |value| value.to_str().unwrap()));
        format!("{}|{body}", framing.join("|"))
    });
    server(Router::new().route("/", route)).await
}

#[tokio::test]
async fn bodies_are_framed_by_what_is_known_of_them() {
    let url = echo().await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"from a file").unwrap();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let session = Session::new().with_protocol(protocol);
        let chunked = if protocol == Protocol::Http1 { "chunked" } else { "-" };
        for (body, seen) in [
            (Body::from("ahoy"), "4|-|-|ahoy".to_owned()),
            (Body::empty(), "0|-|-|".to_owned()),
            (Body::file(file.path()).unwrap(), "11|-|-|from a file".to_owned()),
            (Body::reader(&b"ahoy"[..]), format!("-|{chunked}|-|ahoy")),
        ] {
            let response = session.put(&url).body(body).send().await.unwrap();
            assert_eq!(response.text().await.unwrap(), seen);
        }
        let response = session.get(&url).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "-|-|-|");
        let response = session.post(&url).json(&["a"]).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "5|-|application/json|[\"a\"]");
    }
}

#[tokio::test]
async fn a_form_with_a_file_is_sent_as_it_is_announced() {
    let url = echo().await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&b"x".repeat(100_000)).unwrap();
    let form = Form::new().unwrap().with("name", Part::text("value"));
    let form = form.with("upload", Part::file(file.path()).unwrap().with_file_name("x.bin"));
    let response = Session::new().post(&url).multipart(&form).send().await.unwrap();
    let text = response.text().await.unwrap();
    let length = form.body().length().unwrap().to_string();
    let content_type = form.content_type();
    let head = format!("{length}|-|{}|--", content_type.to_str().unwrap());
    assert!(text.starts_with(&head), "{}", &text[..200]);
    assert!(text.contains(&"x".repeat(100_000)) && text.contains("filename=\"x.bin\""));
}

#[tokio::test]
async fn a_body_that_cannot_be_read_fails_the_request() {
    let url = echo().await;
    let broken = futures_util::stream::iter([
        Ok("ahoy".into()),
        Err(std::io::Error::other("the disk is gone")),
    ]);
    let error = Session::new().put(&url).body(Body::stream(broken)).send().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Read, "{error:#}");
    assert!(format!("{error:#}").contains("the disk is gone"), "{error:#}");
}

const TEXT: &str = "ahoy, ahoy, ahoy, ahoy, ahoy, ahoy, ahoy";

macro_rules! compressed {
    ($encoder:ident, $bytes:expr) => {{
        let mut encoder = $encoder::new(Vec::new());
        encoder.write_all($bytes).await.unwrap();
        encoder.shutdown().await.unwrap();
        encoder.into_inner()
    }};
}

/// The URL of a server that gives this body with this coding, to every GET on a connection.
async fn coded(coding: &'static str, body: Vec<u8>) -> Url {
    let listener = listener().await;
    let url = listener.local_url();
    let talk = move |mut connection: Connection, _: Context| {
        let body = body.clone();
        async move {
            loop {
                let request = read_head(&mut connection.stream).await;
                let (length, stream) = (body.len(), &mut connection.stream);
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\ncontent-encoding: {coding}\r\n\r\n"
                );
                let body = if request.starts_with("HEAD") { &[][..] } else { &body[..] };
                let sent = [head.as_bytes(), body].concat();
                if request.is_empty() || stream.write_all(&sent).await.is_err() {
                    return Ok::<(), Error>(());
                }
            }
        }
    };
    tokio::spawn(serve(listener, talk, pending()));
    url
}

#[tokio::test]
async fn every_coding_is_decoded_and_the_connection_kept() {
    let text = TEXT.as_bytes();
    for (coding, body) in [
        ("gzip", compressed!(GzipEncoder, text)),
        ("x-gzip", compressed!(GzipEncoder, text)),
        ("deflate", compressed!(ZlibEncoder, text)),
        ("deflate", compressed!(DeflateEncoder, text)),
        ("br", compressed!(BrotliEncoder, text)),
        ("zstd", compressed!(ZstdEncoder, text)),
        ("gzip, br", compressed!(BrotliEncoder, &compressed!(GzipEncoder, text))),
        ("identity", text.to_vec()),
    ] {
        let url = coded(coding, body.clone()).await;
        let session = Session::new();
        let mut response = session.get(&url).send().await.unwrap();
        let mut decoded = Vec::new();
        response.save_to(&mut decoded).await.unwrap();
        assert_eq!(String::from_utf8(decoded).unwrap(), TEXT, "{coding}");
        assert_eq!(response.received(), body.len() as u64);
        let empty = session.head(&url).send().await.unwrap();
        assert!(empty.bytes().await.unwrap().is_empty());
        let raw = Session::new().without_decoding().get(&url).send().await.unwrap();
        assert_eq!(raw.bytes().await.unwrap(), body);
        let part = session.get(&url).header("range", "bytes=0-").send().await.unwrap();
        assert_eq!(part.bytes().await.unwrap(), body);
    }
    let unknown = coded("compress", b"as it is".to_vec()).await;
    let response = Session::new().get(&unknown).send().await.unwrap();
    assert_eq!(response.bytes().await.unwrap(), "as it is");
}

#[tokio::test]
async fn what_is_coded_badly_is_an_error() {
    let whole = compressed!(GzipEncoder, TEXT.as_bytes());
    let url = coded("gzip", whole[..whole.len() - 4].to_vec()).await;
    let response = Session::new().get(&url).send().await.unwrap();
    assert_eq!(response.bytes().await.unwrap_err().kind(), Kind::Partial);
    for coding in ["gzip", "deflate", "br", "zstd"] {
        let url = coded(coding, b"this is not compressed at all".to_vec()).await;
        let response = Session::new().get(&url).send().await.unwrap();
        let error = response.bytes().await.unwrap_err();
        assert!(matches!(error.kind(), Kind::Protocol | Kind::Partial), "{coding}: {error:#}");
    }
}

#[tokio::test]
async fn a_bomb_is_defused() {
    // Members of 1 MiB each, whose first is all that the encoder has to make.
    let member = compressed!(GzipEncoder, &vec![0; 1 << 20]);
    let url = coded("gzip", member.repeat(300)).await;
    let mut response = Session::new().get(&url).send().await.unwrap();
    let error = response.save_to(&mut tokio::io::sink()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol);
    assert!(matches!(error.find(), Some(HttpError::Bomb { .. })), "{error:#}");
    let response = Session::new().get(&url).send().await.unwrap();
    assert_eq!(response.bytes().await.unwrap_err().kind(), Kind::Protocol);
}

#[tokio::test]
async fn a_body_is_kept_up_to_the_limit() {
    let url = scripted(|_, _| answer(200, "", "12345678")).await;
    for (limit, is_kept) in [(8, true), (7, false), (0, false)] {
        let session = Session::new().with_body_limit(limit);
        let kept = session.get(&url).send().await.unwrap().bytes().await;
        assert_eq!(kept.is_ok(), is_kept, "{limit}");
        assert!(kept.is_ok() || kept.unwrap_err().kind() == Kind::Protocol);
    }
}

#[tokio::test]
async fn text_is_read_in_its_charset_whole_and_by_lines() {
    let listener = listener().await;
    let url = listener.local_url();
    let talk = |mut connection: Connection, _: Context| async move {
        read_head(&mut connection.stream).await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=koi8-r\r\n\r\n";
        let body = b"\xc1\r\n\n\xc2\nrest";
        let _ = connection.stream.write_all(&[&head[..], body].concat()).await;
        Ok::<(), Error>(())
    };
    tokio::spawn(serve(listener, talk, pending()));
    let session = Session::new();
    let text = session.get(&url).send().await.unwrap().text().await.unwrap();
    assert_eq!(text, "а\r\n\nб\nrest");
    let mut lines = session.get(&url).send().await.unwrap().lines();
    let mut seen = Vec::new();
    while let Some(line) = lines.next().await.unwrap() {
        seen.push(line);
    }
    assert_eq!(seen, ["а", "", "б", "rest"]);
    assert_eq!(lines.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_line_without_end_is_refused() {
    let url = scripted(|_, _| answer(200, "", &"x".repeat(3 << 20))).await;
    let mut lines = Session::new().get(&url).send().await.unwrap().lines();
    assert_eq!(lines.next().await.unwrap_err().kind(), Kind::Protocol);
}

#[tokio::test]
async fn events_come_one_by_one() {
    // The second event comes only once the first has been seen.
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel::<&str>();
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let route = any(move || {
        let receiver = receiver.lock().unwrap().take().unwrap();
        async move {
            let pieces = futures_util::stream::unfold(receiver, |mut receiver| async {
                let piece = receiver.recv().await?;
                Some((Ok::<_, std::io::Error>(piece), receiver))
            });
            ([("content-type", "text/event-stream")], axum::body::Body::from_stream(pieces))
        }
    });
    let url = server(Router::new().route("/", route)).await;
    sender.send("id: 1\ndata: ahoy\n\ndata: ha").unwrap();
    let mut events = Session::new().get(&url).send().await.unwrap().events();
    let event = events.next().await.unwrap().unwrap();
    assert_eq!((event.data.as_str(), event.id.as_str()), ("ahoy", "1"));
    sender.send("lf\n\n").unwrap();
    drop(sender);
    assert_eq!(events.next().await.unwrap().unwrap().data, "half");
    assert!(events.next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_long_body_goes_into_a_file_within_the_kernel() {
    let long: String = (0..400_000).map(|n| format!("{n} ")).collect();
    let said = long.clone();
    let url = scripted(move |_, request| match request {
        get if get.starts_with("GET /short ") => answer(200, "", "short"),
        get if get.starts_with("GET /cut ") => {
            let body = &said[..1_500_000];
            Some(format!("HTTP/1.1 200 X\r\ncontent-length: {}\r\n\r\n{body}", said.len()))
        }
        _ => answer(200, "x-after: y\r\n", &said),
    })
    .await;
    let session = Session::new();
    let mut file = tempfile::tempfile().unwrap();
    let told = Mutex::new(0);
    let tell = |more: u64| *told.lock().unwrap() += more;

    let mut response = session.get(&url).send().await.unwrap();
    let first = response.chunk().await.unwrap().unwrap();
    assert!(response.splice_to(&file, &tell).await.unwrap());
    assert_eq!(response.chunk().await.unwrap(), None);
    let mut rest = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut rest).unwrap();
    assert_eq!(*told.lock().unwrap(), rest.len() as u64);
    assert_eq!(response.received(), long.len() as u64);
    assert!([&first, &rest[..]].concat() == long.as_bytes());

    // The connection was given up for it; the session has another one.
    let mut short = session.get(url.clone().with_path("/short").unwrap()).send().await.unwrap();
    assert!(!short.splice_to(&file, &tell).await.unwrap());
    assert_eq!(short.text().await.unwrap(), "short");

    let impatient = Session::new()
        .with_timeouts(Timeouts { idle: Some(Duration::from_secs(1)), ..Timeouts::default() });
    let mut cut = impatient.get(url.with_path("/cut").unwrap()).send().await.unwrap();
    let error = cut.splice_to(&file, &tell).await.unwrap_err();
    assert_eq!((error.kind(), cut.received()), (Kind::Timeout, 1_500_000));
}
