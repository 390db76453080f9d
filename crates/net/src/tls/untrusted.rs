//! Why a certificate is not trusted, in words.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::certificate::date;
use super::{Certificate, Pin};

/// How many of a certificate's names are shown; some have hundreds.
const NAMES_SHOWN: usize = 4;

/// The peer's certificate is not trusted: the cause of an error of
/// [`Kind::Untrusted`](portolan_core::Kind::Untrusted).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
#[non_exhaustive]
pub struct Untrusted {
    /// Why.
    pub reason: Reason,
    /// The certificates that the peer sent, its own first.
    pub chain: Vec<Certificate>,
}

/// Why a certificate is not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It was valid once.
    Expired {
        /// How long ago it ended.
        ago: Duration,
        /// When it ended.
        on: SystemTime,
        /// Whose certificate it is, where it is not the peer's own but one further up the chain.
        issuer: Option<String>,
    },
    /// It will be valid.
    NotYetValid {
        /// How long until it begins.
        within: Duration,
        /// When it begins.
        on: SystemTime,
        /// Whose certificate it is, where it is not the peer's own but one further up the chain.
        issuer: Option<String>,
    },
    /// It is for other hosts.
    WrongHost {
        /// The name or address that was dialled.
        wanted: String,
        /// The names and addresses that it is for.
        names: Vec<String>,
    },
    /// It is signed by its own key, and is not itself trusted.
    SelfSigned,
    /// The last issuer that the chain leads to is not trusted.
    UnknownIssuer {
        /// Who that is.
        issuer: String,
        /// Whether the peer sent its own certificate only, so that a link may be missing.
        alone: bool,
    },
    /// Its issuer withdrew it.
    Revoked,
    /// It is not signed by the trusted issuer that it names.
    BadSignature {
        /// The issuer that it names.
        issuer: String,
    },
    /// Its public key is not one of those pinned.
    Pin {
        /// The pin of the key that it has.
        found: Pin,
    },
    /// Its extended key usage does not allow servers.
    NotForServers,
    /// This machine has no root certificates to check it against.
    NoRoots,
    /// Anything else.
    Other(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { ago, on, issuer } => {
                let whose = whose(issuer.as_deref());
                write!(f, "certificate{whose} expired {} ago (on {})", span(*ago), date(*on))
            }
            Self::NotYetValid { within, on, issuer } => {
                let (whose, on, within) = (whose(issuer.as_deref()), date(*on), span(*within));
                write!(f, "certificate{whose} is not valid until {on}, in {within}")
            }
            Self::WrongHost { wanted, names } if names.is_empty() => {
                write!(f, "certificate names no host, and so not {wanted}")
            }
            Self::WrongHost { wanted, names } => {
                write!(f, "certificate is for {} and not for {wanted}", listed(names))
            }
            Self::SelfSigned => f.write_str("certificate is self-signed"),
            Self::UnknownIssuer { issuer, .. } => {
                write!(f, "certificate was issued by \"{issuer}\", which is not trusted")
            }
            Self::Revoked => f.write_str("certificate was revoked by its issuer"),
            Self::BadSignature { issuer } => {
                write!(f, "certificate names the issuer \"{issuer}\", but another key signed it")
            }
            Self::Pin { found } => {
                write!(f, "certificate has the key {found}, which is not pinned")
            }
            Self::NotForServers => f.write_str("certificate is not meant for servers"),
            Self::NoRoots => {
                f.write_str("this machine has no root certificates to check it against")
            }
            Self::Other(words) => f.write_str(words),
        }
    }
}

impl Reason {
    /// What the one who dialled can do about it.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Expired { .. } => {
                "renew the certificate on the server; if it was renewed, check this machine's clock"
            }
            Self::NotYetValid { .. } => {
                "check this machine's clock; if it is right, the server needs a certificate that is \
                 valid already"
            }
            Self::WrongHost { names, .. } if names.is_empty() => {
                "the server needs a certificate with its name as subjectAltName; a common name does \
                 not count"
            }
            Self::WrongHost { .. } => {
                "connect by one of the names it is for, or say with --sni NAME which one to verify"
            }
            Self::SelfSigned => {
                "trust it with --cacert FILE, or skip the check with -k at your own risk"
            }
            Self::UnknownIssuer { alone: true, .. } => {
                "the server may not send its intermediate certificate; if the issuer is your own, \
                 trust it with --cacert FILE, or skip the check with -k at your own risk"
            }
            Self::UnknownIssuer { .. } | Self::Other(_) => {
                "trust its issuer with --cacert FILE, or skip the check with -k at your own risk"
            }
            Self::Revoked => "whoever runs the server must replace the certificate",
            Self::BadSignature { .. } => {
                "if the issuer is your own, its key may have changed: fetch its certificate anew \
                 for --cacert FILE"
            }
            Self::Pin { .. } => {
                "somebody may be in between; if the server's key was changed on purpose, pin the \
                 new one with --pin"
            }
            Self::NotForServers => {
                "the server needs a certificate with the extended key usage serverAuth"
            }
            Self::NoRoots => {
                "install the system's ca-certificates, or name a file of them with --cacert FILE"
            }
        }
    }
}

fn whose(issuer: Option<&str>) -> String {
    issuer.map(|issuer| format!(" of the issuer \"{issuer}\"")).unwrap_or_default()
}

/// A span of time in its largest unit.
fn span(span: Duration) -> String {
    let minutes = span.as_secs() / 60;
    let (count, unit) = match minutes {
        0 => return "less than a minute".to_owned(),
        1..60 => (minutes, "minute"),
        60..1440 => (minutes / 60, "hour"),
        _ => (minutes / 1440, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

fn listed(names: &[String]) -> String {
    let shown = names.len().min(NAMES_SHOWN);
    let words = names[..shown].join(", ");
    match names.len() - shown {
        0 => words,
        more => format!("{words}, {more} more"),
    }
}
