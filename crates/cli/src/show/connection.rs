//! A server's connections as JSON.

use portolan::Event;
use serde_json::{Map, Value, json};

use super::error::sentence;
use super::millis;

/// The body of a `connection` line about a peer that came, went or was refused; `None` for other
/// events. It names the proxy, as `via`, where there is one.
#[must_use]
pub fn json(event: &Event) -> Option<Map<String, Value>> {
    let (body, via) = match event {
        Event::Opened { peer, via } => {
            (json!({ "event": "open", "peer": peer.to_string() }), via.as_ref())
        }
        Event::Refused { peer, reason } => {
            let reason = reason.to_string();
            (json!({ "event": "refuse", "peer": peer.to_string(), "reason": reason }), None)
        }
        Event::Closed { peer, via, bytes_in, bytes_out, elapsed, failure } => (
            json!({
                "event": "close",
                "peer": peer.to_string(),
                "bytes_in": bytes_in,
                "bytes_out": bytes_out,
                "ms": millis(*elapsed),
                "error": failure.as_ref().map(|why| sentence(why, None)),
            }),
            via.as_ref(),
        ),
        _ => return None,
    };
    let Value::Object(mut body) = body else { return None };
    if let Some(via) = via {
        body.insert("via".to_owned(), via.to_string().into());
    }
    Some(body)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use portolan::{Endpoint, Phase, Refusal};

    use super::*;

    fn endpoint(address: &str) -> Endpoint {
        address.parse::<SocketAddr>().unwrap().into()
    }

    fn body(event: &Event) -> Value {
        Value::Object(json(event).unwrap())
    }

    #[test]
    fn a_proxy_is_named_where_there_is_one() {
        let peer = endpoint("192.0.2.1:5000");
        let open = Event::Opened { peer: peer.clone(), via: None };
        assert_eq!(body(&open), json!({ "event": "open", "peer": "192.0.2.1:5000" }));
        let via = Some(endpoint("192.0.2.9:1"));
        let close = Event::Closed {
            peer,
            via,
            bytes_in: 1,
            bytes_out: 2,
            elapsed: std::time::Duration::from_millis(3),
            failure: None,
        };
        assert_eq!(body(&close)["via"], "192.0.2.9:1");
        assert_eq!(body(&close)["ms"], 3.0);
    }

    #[test]
    fn whoever_is_refused_is_told_of_with_the_reason() {
        let event = Event::Refused { peer: endpoint("[::1]:1"), reason: Refusal::Full };
        let told =
            json!({ "event": "refuse", "peer": "[::1]:1", "reason": "too many connections" });
        assert_eq!(body(&event), told);
        assert_eq!(json(&Event::Started(Phase::TLS)), None);
    }
}
