//! Bodies that are coded, paced, cut, sent and hashed.

use std::io::Cursor;
use std::time::Duration;

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use axum::body::{Body, HttpBody};
use axum::http::Request;
use http_body_util::BodyExt;
use portolan_net::now;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tower::ServiceExt;

use super::super::request::BODY_MAX;
use super::super::routes;
use super::{ask, get, get_with, post};

#[tokio::test]
async fn codings_can_be_undone() {
    for (path, coding, key) in [
        ("/gzip", "gzip", "gzipped"),
        ("/deflate", "deflate", "deflated"),
        ("/brotli", "br", "brotli"),
        ("/zstd", "zstd", "zstd"),
    ] {
        let answer = get(path).await;
        assert_eq!(answer.header("content-encoding"), coding);
        let coded = Cursor::new(answer.body.to_vec());
        let mut plain = String::new();
        match coding {
            "gzip" => GzipDecoder::new(coded).read_to_string(&mut plain).await,
            "deflate" => ZlibDecoder::new(coded).read_to_string(&mut plain).await,
            "br" => BrotliDecoder::new(coded).read_to_string(&mut plain).await,
            _ => ZstdDecoder::new(coded).read_to_string(&mut plain).await,
        }
        .unwrap();
        let told: Value = serde_json::from_str(&plain).unwrap();
        let wanted = json!({ "headers": { "Host": "lab.test" }, "method": "GET", "origin": null, key: true });
        assert_eq!(told, wanted);
    }
}

#[tokio::test(start_paused = true)]
async fn what_takes_time_takes_as_long_as_asked() {
    for (target, wanted) in [
        ("/delay/2.5", 2500),
        ("/delay/1e9", 10_000),
        ("/drip?numbytes=5&duration=5&delay=1", 5000),
        ("/drip?numbytes=10000000&duration=1000&delay=1000&code=202", 19_990),
        ("/range/20?duration=4&chunk_size=5", 3000),
        ("/sse?count=3&interval=2", 4000),
    ] {
        let started = now();
        let answer = get(target).await;
        let took = now() - started;
        assert!(answer.status < 300, "{target}");
        let wanted = Duration::from_millis(wanted);
        // A timer has a granularity of 1 ms, and there are up to 1000 pauses.
        let slack = Duration::from_millis(1100);
        assert!(took >= wanted && took < wanted + slack, "{target}: {took:?}");
    }
    let empty = get("/drip?code=204&duration=0").await;
    assert_eq!((empty.status, empty.text()), (204, ""));
    let dripped = get("/drip?numbytes=100000000&duration=0").await;
    assert_eq!(dripped.header("content-length"), "10485760");
    assert_eq!(dripped.body.len(), 10_485_760);
    for bad in [
        "/delay/-1",
        "/delay/nan",
        "/drip?numbytes=0",
        "/drip?code=101",
        "/drip?duration=inf",
        "/sse?interval=-1",
        "/drip?numbytes=-1",
    ] {
        assert_eq!(get(bad).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn streams_come_in_pieces() {
    let answer = get("/stream/3").await;
    let lines: Vec<Value> =
        answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| &line["id"]).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(lines[0]["url"], "http://lab.test/stream/3");
    assert_eq!(get("/stream/1000000").await.text().lines().count(), 100);
    assert_eq!(get("/stream-bytes/300").await.body, get("/bytes/300").await.body);
    assert_eq!(
        get("/stream-bytes/9?chunk_size=2&seed=7").await.body,
        get("/bytes/9?seed=7").await.body
    );
    assert_ne!(get("/bytes/9?seed=8").await.body, get("/bytes/9?seed=7").await.body);
    let request = Request::get("/stream-bytes/10?chunk_size=4").body(Body::empty()).unwrap();
    let mut body = routes().oneshot(request).await.unwrap().into_body();
    let mut sizes = Vec::new();
    while let Some(frame) = body.frame().await {
        sizes.push(frame.unwrap().into_data().unwrap().len());
    }
    assert_eq!(sizes, [4, 4, 2]);
    let events = get_with("/sse?count=4", &[("last-event-id", "1")]).await;
    assert_eq!(events.header("content-type"), "text/event-stream");
    let wanted = "event: ping\nid: 2\ndata: {\"id\":2}\n\nevent: ping\nid: 3\ndata: {\"id\":3}\n\n";
    assert_eq!(events.text(), wanted);
    assert_eq!(get("/sse?count=100000").await.text().matches("event:").count(), 100);
    for last in [9, u64::MAX] {
        assert_eq!(get_with("/sse", &[("last-event-id", &last.to_string())]).await.status, 204);
    }
}

#[tokio::test]
async fn trailers_are_those_of_the_query() {
    let request = Request::get("/trailers?x-a=1&x-b=2&x-a=3").body(Body::empty()).unwrap();
    let response = routes().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["trailer"], "x-a, x-b");
    // Only a body whose length is not known has room for them in HTTP/1.1.
    assert_eq!(response.body().size_hint().exact(), None);
    let trailers = response.into_body().collect().await.unwrap().trailers().unwrap().clone();
    let values: Vec<_> = trailers.get_all("x-a").iter().collect();
    assert_eq!(values, ["1", "3"]);
    assert_eq!(trailers["x-b"], "2");
    assert_eq!(get("/trailers").await.header("trailer"), "");
    assert_eq!(get("/trailers?content-length=1").await.status, 400);
}

#[tokio::test]
async fn ranges_are_cut_from_the_alphabet() {
    for (range, status, body, told) in [
        ("bytes=5-8", 206, "fghi", "bytes 5-8/30"),
        ("bytes=27-", 206, "bcd", "bytes 27-29/30"),
        ("bytes=-2", 206, "cd", "bytes 28-29/30"),
        ("bytes=28-99", 206, "cd", "bytes 28-29/30"),
        ("bytes=30-", 416, "", "bytes */30"),
        ("bytes=-0", 416, "", "bytes */30"),
    ] {
        let answer = get_with("/range/30", &[("range", range)]).await;
        assert_eq!((answer.status, answer.text()), (status, body), "{range}");
        assert_eq!(answer.header("content-range"), told);
        assert_eq!(answer.header("etag"), "\"range30\"");
    }
    let whole = "abcdefghijklmnopqrstuvwxyzabcd";
    for range in ["bytes=8-5", "bytes=1-2,4-5", "bytes=a-b", "lines=1-2", "bytes=+1-2", "bytes="] {
        let answer = get_with("/range/30", &[("range", range)]).await;
        assert_eq!((answer.status, answer.text()), (200, whole), "{range}");
        assert_eq!(answer.header("content-length"), "30");
    }
    let other = [("range", "bytes=5-8"), ("if-range", "\"other\"")];
    assert_eq!(get_with("/range/30", &other).await.status, 200);
    let same = [("range", "bytes=5-8"), ("if-range", "\"range30\"")];
    assert_eq!(get_with("/range/30", &same).await.status, 206);
    assert_eq!(get("/range/0").await.status, 404);
    assert_eq!(get("/range/102401").await.status, 404);
}

#[tokio::test]
async fn uploads_are_counted_and_hashed() {
    let told = ask("PUT", "/upload", &[], "abc").await.json();
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(told, json!({ "bytes": 3, "sha256": hash }));
    let large = vec![0; BODY_MAX * 2];
    assert_eq!(post("/upload", "x/y", large).await["bytes"], BODY_MAX * 2);
}

#[tokio::test]
async fn small_values() {
    for value in ["YWhveQ==", "YWhveQ"] {
        assert_eq!(get(&format!("/base64/{value}")).await.text(), "ahoy");
    }
    assert_eq!(get("/base64/_-8=").await.body, vec![0xff, 0xef]);
    assert_eq!(get("/base64/!").await.status, 400);
    let [one, other] = [get("/uuid").await.json(), get("/uuid").await.json()];
    assert_ne!(one, other);
    assert_eq!(one["uuid"].as_str().unwrap().parse::<uuid::Uuid>().unwrap().get_version_num(), 4);
}
