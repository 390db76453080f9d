//! What a certificate says.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use portolan_core::Value;
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use super::{Pin, hex};

const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

/// An X.509 certificate, as people read it (RFC 5280).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Certificate {
    /// Whom it names: `CN=…, O=…`.
    pub subject: String,
    /// Who signed it: `CN=…, O=…`.
    pub issuer: String,
    /// The DNS names and IP addresses that it is for (subjectAltName).
    pub names: Vec<String>,
    /// From when it is valid.
    pub not_before: SystemTime,
    /// Until when it is valid.
    pub not_after: SystemTime,
    /// The serial number, in hexadecimal digits.
    pub serial: String,
    /// The SHA-256 hash of the whole certificate, in hexadecimal digits.
    pub sha256: String,
    /// The pin of its public key.
    pub pin: Pin,
    /// Whether it is signed by its own key.
    pub self_signed: bool,
    /// Whether a server may use it: its extended key usage is absent or allows serverAuth.
    pub for_servers: bool,
}

impl Certificate {
    /// Reads a certificate's DER; `None` if it is malformed.
    #[must_use]
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let validity = parsed.validity();
        let usage = parsed.extended_key_usage().ok().flatten();
        Some(Self {
            subject: brief(parsed.subject()),
            issuer: brief(parsed.issuer()),
            names: names(&parsed),
            not_before: validity.not_before.to_datetime().into(),
            not_after: validity.not_after.to_datetime().into(),
            serial: hex(parsed.raw_serial()),
            sha256: hex(digest(&SHA256, der).as_ref()),
            pin: Pin::of(parsed.public_key().raw),
            self_signed: is_self_signed(&parsed),
            for_servers: usage.is_none_or(|usage| usage.value.server_auth || usage.value.any),
        })
    }

    /// The readable ones of a chain, in its order.
    pub(super) fn chain<'a>(ders: impl IntoIterator<Item = &'a CertificateDer<'a>>) -> Vec<Self> {
        ders.into_iter().filter_map(|der| Self::from_der(der)).collect()
    }

    /// The whole days left at `now`; below zero once it has expired.
    #[must_use]
    pub fn days_left(&self, now: SystemTime) -> i64 {
        unix_seconds(self.not_after).saturating_sub(unix_seconds(now)).div_euclid(SECONDS_PER_DAY)
    }

    /// The facts that observers are told at `now`.
    pub(super) fn to_value(&self, now: SystemTime) -> Value {
        Value::Record(vec![
            ("subject", self.subject.as_str().into()),
            ("issuer", self.issuer.as_str().into()),
            ("names", Value::texts(&self.names)),
            ("days_left", Value::Number(self.days_left(now) as f64)),
            ("not_before", date_time(self.not_before).into()),
            ("not_after", date_time(self.not_after).into()),
        ])
    }
}

/// The common name and the organisation, which people know it by, or all of it without these.
fn brief(name: &X509Name<'_>) -> String {
    let common_name = name.iter_common_name().next().map(|value| ("CN", value));
    let organisation = name.iter_organization().next().map(|value| ("O", value));
    let parts: Vec<String> = [common_name, organisation]
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str().ok()?)))
        .collect();
    if parts.is_empty() { name.to_string() } else { parts.join(", ") }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    };
    extension.value.general_names.iter().filter_map(name).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn is_self_signed(certificate: &X509Certificate<'_>) -> bool {
    let is_self_issued = certificate.subject().as_raw() == certificate.issuer().as_raw();
    // With an algorithm that cannot be checked here, the names have to do.
    is_self_issued
        && !matches!(certificate.verify_signature(None), Err(X509Error::SignatureVerificationError))
}

fn unix_seconds(time: SystemTime) -> i64 {
    let seconds = |duration: std::time::Duration| i64::try_from(duration.as_secs());
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => seconds(after).unwrap_or(i64::MAX),
        Err(before) => seconds(before.duration()).map_or(i64::MIN, |seconds| -seconds),
    }
}

fn utc(time: SystemTime) -> OffsetDateTime {
    // Years beyond what the calendar holds are shown as its beginning.
    OffsetDateTime::from_unix_timestamp(unix_seconds(time)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// The day, as in `2026-11-18`.
pub(super) fn date(time: SystemTime) -> String {
    utc(time).date().to_string()
}

/// The instant, as in `2026-11-18T08:00:00Z` (RFC 3339).
fn date_time(time: SystemTime) -> String {
    let (hour, minute, second) = utc(time).to_hms();
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", date(time))
}
