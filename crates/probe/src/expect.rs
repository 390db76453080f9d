//! What a target should be: `status=200`, `body~REGEX`, `cert-days>14`, `rtt<200ms`.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use portolan_core::units::{duration, show_duration};
use portolan_core::{Error, Kind, Phase, Scheme, Timings, Transport};
use regex::bytes::Regex;

use crate::{Answer, Target, protocols};

/// The keys of what is not a phase.
const KEYS: [&str; 4] = ["status", "body", "cert-days", "rtt"];

/// One thing that is expected of a target: a key, a comparison, a value.
///
/// | key | comparisons | value |
/// | --- | --- | --- |
/// | `status` | `=` `!=` `<` `<=` `>` `>=` | an HTTP status code; with `=` and `!=` also a class: `2xx` |
/// | `body` | `~` `!~` | a regular expression, searched in the first MiB |
/// | `cert-days` | `=` `!=` `<` `<=` `>` `>=` | days until the certificate expires |
/// | `rtt` | `<` `<=` `>` `>=` | the probe's total time |
/// | a phase, as `connect` | `<` `<=` `>` `>=` | the time of that phase, which must have happened |
#[derive(Clone, Debug)]
pub struct Expectation {
    text: String,
    check: Check,
}

#[derive(Clone, Debug)]
enum Check {
    Status(Comparison, u16),
    StatusClass { is_wanted: bool, class: u16 },
    Body { is_wanted: bool, regex: Regex },
    CertDays(Comparison, i64),
    Total(Comparison, Duration),
    Time(Phase, Comparison, Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    fn holds<T: PartialOrd>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

/// Why a text is not an [`Expectation`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpectError {
    /// There is no comparison in it, or nothing before it.
    #[error(
        "'{0}' is not KEY, comparison, VALUE, as in status=200, body~REGEX, cert-days>14, rtt<200ms"
    )]
    Form(String),
    /// The key is not known.
    #[error("'{0}' cannot be expected: {keys} can", keys = keys().join(", "))]
    Key(String),
    /// The comparison does not go with the key.
    #[error("'{key}' takes the comparisons {allowed}, not {given}")]
    Comparison {
        /// The key.
        key: &'static str,
        /// What was given.
        given: String,
        /// What goes with it.
        allowed: &'static str,
    },
    /// The value does not go with the key.
    #[error("'{value}' is no value for '{key}': {allowed}")]
    Value {
        /// The key.
        key: &'static str,
        /// What was given.
        value: String,
        /// What goes with it.
        allowed: String,
    },
}

impl Expectation {
    /// Reads expectations with commas between them. A comma within a `body` expression belongs to
    /// it, unless another expectation begins after it.
    ///
    /// # Errors
    /// That of the first expectation that is malformed.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, ExpectError> {
        let mut pieces: Vec<String> = Vec::new();
        for piece in text.split(',') {
            match pieces.last_mut() {
                Some(last) if last.starts_with("body") && !begins_expectation(piece) => {
                    last.push(',');
                    last.push_str(piece);
                }
                _ => pieces.push(piece.to_owned()),
            }
        }
        pieces.iter().map(|piece| piece.parse()).collect()
    }

    /// Whether it can apply to targets of this scheme.
    #[must_use]
    pub fn applies_to(&self, scheme: Scheme) -> bool {
        match self.check {
            Check::Status(..) | Check::StatusClass { .. } | Check::Body { .. } => {
                matches!(scheme, Scheme::Http | Scheme::Https)
            }
            Check::CertDays(..) => matches!(scheme.transport(), Transport::Tls),
            Check::Total(..) => true,
            Check::Time(phase, ..) => protocols::phases(scheme).contains(&phase),
        }
    }

    /// Whether it needs the body of a response.
    #[must_use]
    pub(crate) const fn wants_body(&self) -> bool {
        matches!(self.check, Check::Body { .. })
    }

    /// The error for those expectations that apply to `target` and are not met.
    pub(crate) fn unmet(
        expectations: &[Self],
        target: &Target,
        answer: &Answer,
        timings: &Timings,
    ) -> Option<Error> {
        let unmet: Vec<_> = expectations
            .iter()
            .filter(|expectation| expectation.applies_to(target.url.scheme()))
            .filter_map(|expectation| {
                let found = expectation.contradiction(answer, timings)?;
                Some(format!("expected {expectation}, {found}"))
            })
            .collect();
        if unmet.is_empty() { None } else { Some(Error::new(Kind::Unmet, unmet.join("; "))) }
    }

    /// What was found instead; `None` where the expectation is met.
    fn contradiction(&self, answer: &Answer, timings: &Timings) -> Option<String> {
        let (is_met, found) = match &self.check {
            Check::Status(comparison, wanted) => {
                let status = answer.status?;
                (comparison.holds(&status, wanted), format!("got {status}"))
            }
            Check::StatusClass { is_wanted, class } => {
                let status = answer.status?;
                ((status / 100 == *class) == *is_wanted, format!("got {status}"))
            }
            Check::Body { is_wanted, regex } => {
                let is_found = regex.is_match(answer.body.as_deref().unwrap_or_default());
                let found = if is_found { "it is in the body" } else { "it is not in the body" };
                (is_found == *is_wanted, found.to_owned())
            }
            Check::CertDays(comparison, wanted) => {
                let certificate = answer.tls.as_ref().and_then(|tls| tls.chain.first());
                match certificate.map(|certificate| certificate.days_left(SystemTime::now())) {
                    Some(days) => (comparison.holds(&days, wanted), format!("got {days}")),
                    // It was good enough to be trusted, and still is not what was asked for.
                    None => (false, "the certificate could not be read".to_owned()),
                }
            }
            Check::Total(comparison, wanted) => time_found(timings.total(), *comparison, *wanted),
            Check::Time(phase, comparison, wanted) => match timings.elapsed(*phase) {
                Some(elapsed) => time_found(elapsed, *comparison, *wanted),
                None => (false, format!("there was no phase {phase}")),
            },
        };
        (!is_met).then_some(found)
    }
}

fn time_found(elapsed: Duration, comparison: Comparison, wanted: Duration) -> (bool, String) {
    (comparison.holds(&elapsed, &wanted), format!("took {}", show_duration(elapsed)))
}

/// All keys: what a text can begin with.
fn keys() -> Vec<&'static str> {
    let phases = protocols::all_phases();
    KEYS.into_iter().chain(phases.into_iter().map(Phase::name)).collect()
}

fn begins_expectation(piece: &str) -> bool {
    split(piece).is_some_and(|(key, ..)| keys().contains(&key))
}

/// Splits into key, comparison and value.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let start = text.find(['=', '!', '<', '>', '~'])?;
    let rest = &text[start..];
    let length = ["!=", "!~", "<=", ">=", "=", "<", ">", "~"]
        .into_iter()
        .find(|sign| rest.starts_with(sign))?
        .len();
    Some((text[..start].trim(), &rest[..length], rest[length..].trim()))
}

fn ordering(
    key: &'static str,
    sign: &str,
    allowed: &'static str,
) -> Result<Comparison, ExpectError> {
    let comparison = match sign {
        "=" => Some(Comparison::Equal),
        "!=" => Some(Comparison::NotEqual),
        "<" => Some(Comparison::Less),
        "<=" => Some(Comparison::LessOrEqual),
        ">" => Some(Comparison::Greater),
        ">=" => Some(Comparison::GreaterOrEqual),
        _ => None,
    };
    comparison
        .filter(|_| allowed.split(' ').any(|one| one == sign))
        .ok_or_else(|| ExpectError::Comparison { key, given: sign.to_owned(), allowed })
}

const NUMBERS: &str = "= != < <= > >=";
const LIMITS: &str = "< <= > >=";
const SEARCHES: &str = "~ !~";

impl FromStr for Expectation {
    type Err = ExpectError;

    fn from_str(text: &str) -> Result<Self, ExpectError> {
        let parts = split(text).filter(|(key, ..)| !key.is_empty());
        let (key, sign, value) = parts.ok_or_else(|| ExpectError::Form(text.to_owned()))?;
        let check = match key {
            "status" => status(sign, value),
            "body" => body(sign, value),
            "cert-days" => cert_days(sign, value),
            "rtt" => limit("rtt", sign, value).map(|(sign, limit)| Check::Total(sign, limit)),
            key => time(key, sign, value),
        }?;
        Ok(Self { text: text.trim().to_owned(), check })
    }
}

fn status(sign: &str, value: &str) -> Result<Check, ExpectError> {
    let class = value.strip_suffix("xx").and_then(|digit| digit.parse().ok());
    if let Some(class @ 1..=5) = class {
        let comparison = ordering("status", sign, "= !=")?;
        return Ok(Check::StatusClass { is_wanted: comparison == Comparison::Equal, class });
    }
    let comparison = ordering("status", sign, NUMBERS)?;
    match value.parse() {
        Ok(code @ 100..=599) => Ok(Check::Status(comparison, code)),
        _ => Err(bad("status", value, "a code from 100 to 599, or a class such as 2xx")),
    }
}

fn body(sign: &str, value: &str) -> Result<Check, ExpectError> {
    if !SEARCHES.split(' ').any(|one| one == sign) {
        let given = sign.to_owned();
        return Err(ExpectError::Comparison { key: "body", given, allowed: SEARCHES });
    }
    match Regex::new(value) {
        Ok(regex) => Ok(Check::Body { is_wanted: sign == "~", regex }),
        Err(_) => Err(bad("body", value, "a regular expression, as in ready|ok")),
    }
}

fn cert_days(sign: &str, value: &str) -> Result<Check, ExpectError> {
    let comparison = ordering("cert-days", sign, NUMBERS)?;
    match value.parse() {
        Ok(days) => Ok(Check::CertDays(comparison, days)),
        Err(_) => Err(bad("cert-days", value, "a number of days")),
    }
}

fn time(key: &str, sign: &str, value: &str) -> Result<Check, ExpectError> {
    let phase = protocols::all_phases().into_iter().find(|phase| phase.name() == key);
    let phase = phase.ok_or_else(|| ExpectError::Key(key.to_owned()))?;
    limit(phase.name(), sign, value).map(|(sign, limit)| Check::Time(phase, sign, limit))
}

fn limit(
    key: &'static str,
    sign: &str,
    value: &str,
) -> Result<(Comparison, Duration), ExpectError> {
    let comparison = ordering(key, sign, LIMITS)?;
    match duration(value) {
        Ok(limit) => Ok((comparison, limit)),
        Err(error) => Err(bad(key, value, &error.to_string())),
    }
}

fn bad(key: &'static str, value: &str, allowed: &str) -> ExpectError {
    ExpectError::Value { key, value: value.to_owned(), allowed: allowed.to_owned() }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
