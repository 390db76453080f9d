//! An error in words and as an object.

use portolan::{Attempt, Error, Url, redact};
use serde::Serialize;

use super::millis;

/// The one sentence about an error: to whom, what was being done, and why it failed. Secrets in
/// anything that looks like a URL are left out.
#[must_use]
pub fn sentence(error: &Error, target: Option<&Url>) -> String {
    match target {
        Some(target) => format!("{target}: {}", redact(&format!("{error:#}"))),
        None => redact(&format!("{error:#}")),
    }
}

/// What is to be done about it, with secrets left out.
#[must_use]
pub fn hint(error: &Error) -> Option<String> {
    error.hint().map(redact)
}

/// An error as a line of JSON has it.
#[derive(Debug, Serialize)]
pub struct Report {
    target: Option<String>,
    code: u8,
    phase: Option<&'static str>,
    kind: &'static str,
    message: String,
    hint: Option<String>,
    attempts: Vec<AttemptReport>,
}

impl Report {
    /// The object for `error`, which befell `target`.
    #[must_use]
    pub fn new(error: &Error, target: Option<&Url>) -> Self {
        Self::about(error, target.map(Url::to_string))
    }

    /// The same, where whom it befell has no URL.
    #[must_use]
    pub fn about(error: &Error, target: Option<String>) -> Self {
        Self {
            target,
            code: error.kind().exit_code(),
            phase: error.phase().map(|phase| phase.name()),
            kind: error.kind().name(),
            message: sentence(error, None),
            hint: hint(error),
            attempts: error.attempts().iter().map(AttemptReport::new).collect(),
        }
    }
}

/// One attempt to connect, as JSON has it.
#[derive(Debug, Serialize)]
pub struct AttemptReport {
    address: String,
    error: Option<String>,
    ms: f64,
}

impl AttemptReport {
    /// The object for `attempt`.
    #[must_use]
    pub fn new(attempt: &Attempt) -> Self {
        Self {
            address: attempt.address.to_string(),
            error: attempt.failure.as_ref().map(ToString::to_string),
            ms: millis(attempt.elapsed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use portolan::{Failure, Kind, Phase};

    use super::*;

    fn refused() -> Error {
        let cause = io::Error::from(io::ErrorKind::ConnectionRefused);
        let attempt = Attempt {
            address: "127.0.0.1:9".parse().unwrap(),
            elapsed: Duration::from_micros(150),
            failure: Some(Failure::from(&cause)),
        };
        Error::new(Kind::Connect, "could not connect to 127.0.0.1:9")
            .with_phase(Phase::CONNECT)
            .with_attempts(vec![attempt])
            .with_source(cause)
            .with_hint("try 'http://u:hush@h'")
    }

    #[test]
    fn the_sentence_names_the_target_and_the_cause() {
        let target = "tcp://u:hush@127.0.0.1:9".parse().unwrap();
        assert_eq!(
            sentence(&refused(), Some(&target)),
            "tcp://***@127.0.0.1:9: could not connect to 127.0.0.1:9: connection refused"
        );
    }

    #[test]
    fn the_object_has_the_keys_of_the_contract() {
        let object = serde_json::to_string(&Report::new(&refused(), None)).unwrap();
        assert_eq!(
            object,
            "{\"target\":null,\"code\":7,\"phase\":\"connect\",\"kind\":\"connect\",\
             \"message\":\"could not connect to 127.0.0.1:9: connection refused\",\
             \"hint\":\"try 'http://***@h'\",\
             \"attempts\":[{\"address\":\"127.0.0.1:9\",\"error\":\"connection refused\",\"ms\":0.15}]}"
        );
    }
}
