//! The flags of TLS.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use portolan::net::tls::Pin;
use portolan::{Error, Kind};

use super::values::server_name;

/// How to speak TLS.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "TLS")]
pub struct TlsArgs {
    /// Trust the certificates in this PEM file, in place of the system's
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,
    /// Show this certificate, with its chain, in a PEM file
    #[arg(long, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// Use this private key, in a PEM file [default: the file of --cert]
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Trust any certificate: anybody can read and change what is sent
    #[arg(short = 'k', long)]
    pub insecure: bool,
    /// Ask for this server name, and check the certificate against it [default: the host]
    #[arg(long, value_name = "NAME", value_parser = server_name)]
    pub sni: Option<String>,
    /// Offer these application protocols, such as h2,http/1.1 [default: by scheme]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub alpn: Vec<String>,
    /// Speak no older version
    #[arg(long, value_name = "VERSION", value_enum, default_value_t = TlsVersion::V1_2)]
    pub tls_min: TlsVersion,
    /// Speak no newer version
    #[arg(long, value_name = "VERSION", value_enum, default_value_t = TlsVersion::V1_3)]
    pub tls_max: TlsVersion,
    /// Accept only this public key: the SHA-256 of its SPKI; can be repeated
    #[arg(long, value_name = "sha256/BASE64")]
    pub pin: Vec<Pin>,
    /// Append the session secrets to this file, for Wireshark [default: $SSLKEYLOGFILE]
    #[arg(long, value_name = "FILE")]
    pub keylog: Option<PathBuf>,
}

impl TlsArgs {
    /// Looks at flags that only make sense together.
    ///
    /// # Errors
    /// [`Kind::Usage`].
    pub fn validate(&self) -> Result<(), Error> {
        if self.key.is_some() && self.cert.is_none() {
            return Err(Error::new(Kind::Usage, "--key needs the certificate that --cert names"));
        }
        if self.tls_min > self.tls_max {
            return Err(Error::new(Kind::Usage, "--tls-min 1.3 is above --tls-max 1.2"));
        }
        Ok(())
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    #[value(name = "1.2", help = None)]
    V1_2,
    /// RFC 8446.
    #[value(name = "1.3", help = None)]
    V1_3,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_need_each_other() {
        let both = TlsArgs { tls_max: TlsVersion::V1_3, ..TlsArgs::default() };
        assert!(both.validate().is_ok());
        let crossed = TlsArgs { tls_min: TlsVersion::V1_3, ..TlsArgs::default() };
        assert_eq!(crossed.validate().unwrap_err().kind(), Kind::Usage);
        let keyed = TlsArgs { key: Some("key.pem".into()), ..both };
        assert_eq!(keyed.validate().unwrap_err().kind(), Kind::Usage);
    }
}
