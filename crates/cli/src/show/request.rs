//! A request that a server has answered, as a line of its access log.

use std::borrow::Cow;
use std::fmt::Write;

use jiff::Timestamp;
use portolan::{Answered, Host, redact_reference};
use serde_json::{Value, json};

use super::millis;

/// The line in the Combined Log Format, which Apache, nginx and what reads their logs have in
/// common. The time is that of the answer, in UTC.
#[must_use]
pub fn text(answered: &Answered, now: Timestamp) -> String {
    let Answered { method, target, version, status, bytes, referer, agent, .. } = answered;
    let peer = match &answered.peer.host {
        // A brackets' place is in a URL.
        Host::V6(address, _) => address.to_string(),
        Host::Path(_) | Host::Abstract(_) => "unix:".to_owned(),
        host => host.to_string(),
    };
    let request = match target.as_str() {
        "" => "-".to_owned(),
        target => escaped(&format!("{method} {} HTTP/{version}", shown(target))),
    };
    // It is between spaces, without quotes.
    let user =
        answered.user.as_deref().map_or("-".to_owned(), |user| escaped(user).replace(' ', "\\x20"));
    let field = |value: &Option<String>| value.as_deref().map_or("-".to_owned(), escaped);
    let time = now.strftime("%d/%b/%Y:%H:%M:%S +0000");
    let (referer, agent) = (field(&referer.as_deref().map(redact_reference)), field(agent));
    format!("{peer} - {user} [{time}] \"{request}\" {status} {bytes} \"{referer}\" \"{agent}\"")
}

/// What the log has no room for: what the system refused the server.
#[must_use]
pub fn failure(answered: &Answered) -> Option<String> {
    let Answered { method, target, status, failure, .. } = answered;
    let why = failure.as_deref()?;
    Some(format!("{status} for {method} {}: {why}", escaped(&shown(target))))
}

/// The body of a `request` line.
#[must_use]
pub fn json(answered: &Answered) -> Value {
    let known = |text: Cow<'_, str>| Some(text.into_owned()).filter(|text| !text.is_empty());
    json!({
        "peer": answered.peer.to_string(),
        "user": answered.user,
        "method": known(answered.method.as_str().into()),
        "target": known(shown(&answered.target)),
        "version": known(answered.version.into()),
        "status": answered.status,
        "bytes": answered.bytes,
        "ms": millis(answered.elapsed),
        "referer": answered.referer.as_deref().map(redact_reference),
        "agent": answered.agent,
        "failure": answered.failure,
    })
}

/// The target of a request. One that is a path has no login, however it begins.
fn shown(target: &str) -> Cow<'_, str> {
    if target.starts_with('/') { target.into() } else { redact_reference(target).into() }
}

/// The text between quotes: what is not printable ASCII, and what would end the quotes, is
/// escaped as nginx does.
fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' | ..b' ' | 0x7f.. => _ = write!(line, "\\x{byte:02X}"),
            byte => line.push(char::from(byte)),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::*;

    fn answered(peer: &str) -> Answered {
        Answered {
            peer: peer.parse::<SocketAddr>().unwrap().into(),
            user: None,
            method: "GET".to_owned(),
            target: "/chart.png?zoom=2".to_owned(),
            version: "1.1",
            status: 200,
            bytes: 1234,
            elapsed: Duration::from_micros(2500),
            referer: None,
            agent: Some("curl/8.0".to_owned()),
            failure: None,
        }
    }

    #[test]
    fn text_is_in_the_combined_log_format() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let line = "192.0.2.1 - - [14/Nov/2023:22:13:20 +0000] \"GET /chart.png?zoom=2 HTTP/1.1\" \
                    200 1234 \"-\" \"curl/8.0\"";
        assert_eq!(text(&answered("192.0.2.1:5000"), now), line);
        assert!(text(&answered("[2001:db8::1]:5000"), now).starts_with("2001:db8::1 - - ["));
    }

    #[test]
    fn a_peer_cannot_write_into_the_log() {
        let agent = Some("a\" 200 0\n\x1b[31mé\\".to_owned());
        let line = text(&Answered { agent, ..answered("192.0.2.1:1") }, Timestamp::UNIX_EPOCH);
        assert!(line.ends_with(r#" "a\x22 200 0\x0A\x1B[31m\xC3\xA9\x5C""#), "{line}");
        let user = Some("ann\" [x]".to_owned());
        let line = text(&Answered { user, ..answered("192.0.2.1:1") }, Timestamp::UNIX_EPOCH);
        assert!(line.starts_with(r"192.0.2.1 - ann\x22\x20[x] [01/Jan/1970"), "{line}");
        let nothing = Answered { target: String::new(), ..answered("192.0.2.1:1") };
        assert!(text(&nothing, Timestamp::UNIX_EPOCH).contains("] \"-\" 200 "));
    }

    #[test]
    fn what_is_not_known_is_null() {
        let method = String::new();
        let nothing =
            Answered { method, target: String::new(), version: "", ..answered("192.0.2.1:1") };
        let body = json(&nothing);
        for key in ["method", "target", "version", "referer"] {
            assert_eq!(body[key], Value::Null, "{key}");
        }
    }

    #[test]
    fn secrets_are_not_logged() {
        let referer = Some("http://ann:secret@intra/?to=a@b".to_owned());
        let asked = Answered { referer, ..answered("192.0.2.1:1") };
        let line = text(&asked, Timestamp::UNIX_EPOCH);
        assert!(line.contains(r#" "http://***@intra/?to=a@b" "#), "{line}");
        assert_eq!(json(&asked)["referer"], "http://***@intra/?to=a@b");
    }

    #[test]
    fn targets_are_logged_but_for_their_login() {
        for (target, shown) in [
            ("/report?at=12:30&mail=ann@example.com", "/report?at=12:30&mail=ann@example.com"),
            ("//a:b@c", "//a:b@c"),
            ("http://ann:secret@intra/?to=a@b", "http://***@intra/?to=a@b"),
        ] {
            let asked = Answered { target: target.to_owned(), ..answered("192.0.2.1:1") };
            let line = text(&asked, Timestamp::UNIX_EPOCH);
            assert!(line.contains(&format!("\"GET {shown} HTTP/1.1\"")), "{line}");
            assert_eq!(json(&asked)["target"], shown);
        }
    }

    #[test]
    fn json_has_every_fact() {
        let body = json(&answered("192.0.2.1:5000"));
        assert_eq!(body["peer"], "192.0.2.1:5000");
        assert_eq!((&body["ms"], &body["status"]), (&json!(2.5), &json!(200)));
        assert_eq!(body["referer"], Value::Null);
    }
}
