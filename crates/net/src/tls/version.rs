//! Versions of TLS.

use std::fmt;
use std::str::FromStr;

use portolan_core::{Error, Kind};
use rustls::{ProtocolVersion, SupportedProtocolVersion};

/// A version of TLS. Older ones are broken and not spoken (RFC 8996).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// Why a text is not a [`Version`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a version of TLS: 1.2 or 1.3")]
pub struct VersionError;

impl FromStr for Version {
    type Err = VersionError;

    /// Reads `1.2` or `1.3`.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        match text {
            "1.2" => Ok(Self::Tls12),
            "1.3" => Ok(Self::Tls13),
            _ => Err(VersionError),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        })
    }
}

impl From<ProtocolVersion> for Version {
    fn from(version: ProtocolVersion) -> Self {
        if version == ProtocolVersion::TLSv1_2 { Self::Tls12 } else { Self::Tls13 }
    }
}

/// The versions that may be agreed on, from the lowest to the highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) min: Version,
    pub(super) max: Version,
}

impl Default for Versions {
    fn default() -> Self {
        Self { min: Version::Tls12, max: Version::Tls13 }
    }
}

impl Versions {
    pub(super) fn new(min: Version, max: Version) -> Result<Self, Error> {
        if min > max {
            let message = format!("could not speak {min} at least and {max} at most");
            return Err(Error::new(Kind::Usage, message)
                .with_hint("the lowest version must not be above the highest"));
        }
        Ok(Self { min, max })
    }

    /// The backend's names for them.
    pub(super) fn supported(self) -> Vec<&'static SupportedProtocolVersion> {
        rustls::ALL_VERSIONS
            .iter()
            .copied()
            .filter(|supported| (self.min..=self.max).contains(&supported.version.into()))
            .collect()
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            self.min.fmt(f)
        } else {
            write!(f, "{} to {}", self.min, self.max)
        }
    }
}
