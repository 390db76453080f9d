//! The heads of an opening handshake as a peer sends them: they end where they end, and nothing is
//! agreed on that was not offered.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portolan_ws::wire::handshake::{accept_of, answer, check};
use portolan_ws::wire::head::{parse_request, parse_response};
use portolan_ws::{Config, Deflate};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fuzz_target!(|bytes: &[u8]| {
    let config = Config {
        deflate: Some(Deflate::default()),
        subprotocols: vec!["a".to_owned(), "b".to_owned()],
        ..Config::default()
    };
    if let Ok(Some((request, length))) = parse_request(bytes) {
        assert!(matches!(parse_request(&bytes[..length - 1]), Ok(None)));
        match answer(&request, &config) {
            Ok((mut response, agreed)) => {
                // A client that made this offer must take the answer, but for what it offers more.
                let accept = accept_of(KEY).parse().expect("base64 is a value");
                response.headers_mut().insert("sec-websocket-accept", accept);
                if let Ok(taken) = check(&response, KEY, &config) {
                    assert_eq!(taken.subprotocol, agreed.subprotocol);
                }
            }
            Err(refusal) => assert!(
                refusal.response().status().is_client_error()
                    || refusal.response().status().is_server_error()
            ),
        }
    }
    if let Ok(Some((response, length))) = parse_response(bytes) {
        assert!(matches!(parse_response(&bytes[..length - 1]), Ok(None)));
        if let Ok(agreed) = check(&response, KEY, &config) {
            assert!(agreed.subprotocol.is_none_or(|name| config.subprotocols.contains(&name)));
            assert!(agreed.deflate.is_none_or(|deflate| deflate.client_max_window_bits <= 12
                && deflate.server_max_window_bits <= 12));
        }
    }
});
