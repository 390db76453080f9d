//! Every case of the table, with our server and with our client.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

mod cases;
mod common;

use cases::{Case, Tester, all};
use common::{connect, echo, echo_server, raw_accept, raw_client, raw_server};
use portolan_net::Stream;
use portolan_ws::{Config, Deflate};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn config(window_bits: u8) -> Config {
    let deflate = Deflate {
        server_max_window_bits: window_bits,
        client_max_window_bits: window_bits,
        ..Deflate::default()
    };
    Config { deflate: Some(deflate), ..Config::default() }
}

/// Says what the case says, hears all that comes, and judges it.
async fn run(case: &Case, mut stream: Stream, mut tester: Tester) -> Result<(), String> {
    let sends = tester.bytes(case);
    let (mut reader, mut writer) = tokio::io::split(&mut stream);
    let write = async {
        for piece in sends.chunks(case.chop) {
            // Who has failed does not read on.
            if writer.write_all(piece).await.is_err() {
                break;
            }
            if case.chop < usize::MAX {
                tokio::task::yield_now().await;
            }
        }
    };
    let read = async {
        let mut bytes = Vec::new();
        while !tester.is_closed() {
            if !matches!(reader.read_buf(&mut bytes).await, Ok(1..)) {
                break;
            }
            let heard = tester.hear(&bytes);
            bytes.drain(..heard);
        }
    };
    tokio::join!(write, read);
    tester.judge(case)
}

fn report(failures: &[String]) {
    assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
}

#[tokio::test]
async fn our_server_conforms() {
    let (plain, _ends) = echo_server(Config::default()).await;
    let (compressing, _ends) = echo_server(config(12)).await;
    let mut failures = Vec::new();
    for case in all() {
        let stream = match &case.deflate {
            None => raw_client(&plain, "").await,
            Some(deflate) => {
                let offer = format!("Sec-WebSocket-Extensions: {}\r\n", deflate.offer);
                raw_client(&compressing, &offer).await
            }
        };
        failures.extend(run(&case, stream, Tester::new(&case, true)).await.err());
    }
    report(&failures);
}

#[tokio::test]
async fn our_client_conforms() {
    let mut failures = Vec::new();
    for case in all() {
        let (sender, result) = tokio::sync::oneshot::channel();
        let extension = case.deflate.map_or_else(String::new, |deflate| {
            format!("Sec-WebSocket-Extensions: {}\r\n", deflate.answer)
        });
        let config = if case.deflate.is_some() { config(15) } else { Config::default() };
        let url = raw_server(move |mut stream: Stream| async move {
            raw_accept(&mut stream, &extension).await;
            let _ = sender.send(run(&case, stream, Tester::new(&case, false)).await);
        });
        let (mut socket, _) = connect(&url.await, &config).await.unwrap();
        let _ = echo(&mut socket).await;
        failures.extend(result.await.unwrap().err());
    }
    report(&failures);
}
