//! How the command ends.

use std::process::ExitCode;

use portolan::{Error, Kind};

/// Every exit code and what it means, for the manual and the reference.
pub const CODES: [(u8, &str); 19] = [
    (0, "done"),
    (1, "an expectation was not met"),
    (2, "the command line or the configuration makes no sense"),
    (6, "a name was not resolved"),
    (7, "could not connect"),
    (8, "the peer broke the protocol"),
    (9, "access was denied, or the server refused"),
    (18, "a transfer was partial"),
    (22, "an HTTP status of 400 or more, where asked to fail"),
    (23, "writing locally failed"),
    (26, "reading locally failed"),
    (28, "timed out"),
    (35, "the TLS handshake failed"),
    (47, "too many redirects"),
    (56, "the connection was lost"),
    (60, "the certificate is not trusted"),
    (67, "the login was refused"),
    (78, "the remote file was not found"),
    (130, "interrupted"),
];

/// The exit code of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exit(u8);

impl Exit {
    /// Everything went well.
    pub const DONE: Self = Self(0);

    /// This exit, or where it is [`DONE`](Self::DONE) the `next` one: the first failure counts.
    #[must_use]
    pub const fn then(self, next: Self) -> Self {
        if self.0 == 0 { next } else { self }
    }
}

impl From<Kind> for Exit {
    fn from(kind: Kind) -> Self {
        Self(kind.exit_code())
    }
}

impl From<&Error> for Exit {
    fn from(error: &Error) -> Self {
        Self::from(error.kind())
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failing_target_counts() {
        let exits = [Exit::DONE, Exit::from(Kind::Timeout), Exit::from(Kind::Connect)];
        assert_eq!(exits.into_iter().fold(Exit::DONE, Exit::then), Exit(28));
        assert_eq!(Exit::DONE.then(Exit::DONE), Exit::DONE);
    }

    #[test]
    fn every_kind_of_error_is_explained() {
        let kinds = [
            Kind::Unmet,
            Kind::Usage,
            Kind::Resolve,
            Kind::Connect,
            Kind::Protocol,
            Kind::Denied,
            Kind::Partial,
            Kind::Status,
            Kind::Write,
            Kind::Read,
            Kind::Timeout,
            Kind::Tls,
            Kind::Redirects,
            Kind::Lost,
            Kind::Untrusted,
            Kind::Login,
            Kind::NotFound,
            Kind::Interrupted,
        ];
        let explained: Vec<u8> = CODES.iter().skip(1).map(|(code, _)| *code).collect();
        assert_eq!(kinds.map(Kind::exit_code).to_vec(), explained);
    }
}
