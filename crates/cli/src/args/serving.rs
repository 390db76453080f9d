//! The flags of every verb that listens, with one meaning everywhere.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use portolan::net::{Access, Network};

use super::fault::FaultArgs;
use super::values::number;

/// Whom to serve, and how.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Serving")]
pub struct ServingArgs {
    /// Hold at most this many connections at once, and send the next away [default: no limit]
    #[arg(long, value_name = "N", value_parser = |n: &str| number::<usize>(n, 1..=1_000_000))]
    pub max_conns: Option<usize>,
    /// Serve one connection, and end as it does; who fails at TLS, or before it, is not the one
    #[arg(long)]
    pub once: bool,
    /// Serve only this address or network, such as 10.0.0.0/8; can be repeated
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub allow: Vec<Network>,
    /// Do not serve this address or network, even if it is allowed; can be repeated
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub deny: Vec<Network>,
    /// Show this certificate: self makes one, CERT,KEY are PEM files [default on tls: self]
    #[arg(long, value_name = "self|CERT,KEY")]
    pub tls: Option<ServerIdentity>,
    /// Ask for client certificates, which one in this PEM file must have issued
    #[arg(long, value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
    /// How connections go wrong.
    #[command(flatten)]
    pub fault: FaultArgs,
}

impl ServingArgs {
    /// Who may connect.
    #[must_use]
    pub fn access(&self) -> Access {
        Access { allow: self.allow.clone(), deny: self.deny.clone() }
    }
}

impl ServingArgs {
    /// Whether an address without a scheme is to be one on TLS.
    pub fn asks_for_tls(&self, cert: &CertArgs) -> bool {
        self.tls.is_some() || self.client_ca.is_some() || cert.cert.is_some()
    }
}

/// The certificate of a server in files of its own, as clients show theirs.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Serving")]
pub struct CertArgs {
    /// Show this certificate, with its chain, in a PEM file
    #[arg(long, value_name = "FILE", conflicts_with = "tls")]
    pub cert: Option<PathBuf>,
    /// Use this private key, in a PEM file [default: the file of --cert]
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
}

impl CertArgs {
    /// Both files, where a certificate is given; the key may be in the same.
    #[must_use]
    pub fn files(&self) -> Option<(PathBuf, Option<PathBuf>)> {
        self.cert.clone().map(|cert| (cert, self.key.clone()))
    }
}

/// The certificate that a server shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerIdentity {
    /// One that is made at the start and signed by itself.
    SelfSigned,
    /// The one in a PEM file, with its key in this one or another.
    Files(PathBuf, PathBuf),
}

impl FromStr for ServerIdentity {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(',') {
            _ if text == "self" => Ok(Self::SelfSigned),
            Some((cert, key)) if !cert.is_empty() && !key.is_empty() => {
                Ok(Self::Files(cert.into(), key.into()))
            }
            None if !text.is_empty() => Ok(Self::Files(text.into(), text.into())),
            _ => Err("neither self nor the PEM files CERT,KEY"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_made_or_read_from_one_file_or_two() {
        let files = |cert: &str, key: &str| Ok(ServerIdentity::Files(cert.into(), key.into()));
        assert_eq!("self".parse(), Ok(ServerIdentity::SelfSigned));
        assert_eq!("a.pem,b.pem".parse(), files("a.pem", "b.pem"));
        assert_eq!("a.pem".parse(), files("a.pem", "a.pem"));
        for bad in ["", ",", "a.pem,", ",b.pem"] {
            assert!(bad.parse::<ServerIdentity>().is_err(), "{bad}");
        }
    }
}
