//! Requests as a server reads them. What we take, hyper takes too, and for the same request with the
//! same body: nobody behind us can be led to another reading.
#![no_main]

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use libfuzzer_sys::fuzz_target;
use portolan_http::Limits;
use portolan_http::wire::{BadRequest, BodyDecoder, Fields, Head, Piece, Scan};
use tokio::io::AsyncWriteExt;

/// A request and its body.
type Read = (Method, Uri, HeaderMap, Vec<u8>);

fuzz_target!(|bytes: &[u8]| {
    let Ok(Some((ours, length))) = read(bytes) else { return };
    // hyper passes URLs on, and their hosts as they are.
    let theirs = hyper(&bytes[..length]).expect("hyper refuses what we take");
    assert_eq!(ours, theirs);
});

/// The first request, and where it ends, if all of it is there.
fn read(bytes: &[u8]) -> Result<Option<(Read, usize)>, BadRequest> {
    let limits = Limits { fields: 90, ..Limits::default() };
    let Some(end) = Scan::default().end(bytes, &limits)? else { return Ok(None) };
    let mut fields = Fields::new();
    let head = Head::parse(&bytes[..end], &mut fields, &limits)?;
    let (parts, ()) = head.to_request(&bytes[..end])?.into_parts();
    let mut decoder = BodyDecoder::new(head.framing, &limits)?;
    let (mut input, mut body) = (BytesMut::from(&bytes[end..]), Vec::new());
    loop {
        match decoder.decode(&mut input)? {
            Some(Piece::Data(data)) => body.extend(data),
            Some(Piece::End(_)) => break,
            None => return Ok(None),
        }
    }
    let read = (parts.method, parts.uri, parts.headers, body);
    Ok(Some((read, bytes.len() - input.len())))
}

/// The request as hyper's server sees it, if it does not refuse it.
fn hyper(bytes: &[u8]) -> Option<Read> {
    let seen = Arc::new(Mutex::new(None));
    let kept = seen.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let kept = kept.clone();
        async move {
            let (parts, body) = request.into_parts();
            if let Ok(body) = body.collect().await {
                let body = body.to_bytes().to_vec();
                *kept.lock().unwrap() = Some((parts.method, parts.uri, parts.headers, body));
            }
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(bytes.len() + 64 * 1024);
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let mut builder = http1::Builder::new();
        let _ = builder.half_close(true).serve_connection(TokioIo::new(server), service).await;
    });
    seen.lock().unwrap().take()
}
