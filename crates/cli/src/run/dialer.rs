//! From the flags of dialling to what the network floor wants.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portolan::net::proxy::Proxies;
use portolan::net::tls::{Identity, Tls, Version, danger};
use portolan::net::{Dialer, Family, Retry};
use portolan::{Backoff, Error, Host, Kind, Timeouts};

use crate::args::dial::DialArgs;
use crate::args::tls::{TlsArgs, TlsVersion};

impl DialArgs {
    /// The dialer that these flags ask for.
    ///
    /// # Errors
    /// [`Kind::Usage`] for values that make no sense together or on this machine, [`Kind::Read`]
    /// for files that cannot be read.
    pub fn dialer(&self) -> Result<Dialer, Error> {
        let family = match (self.ipv4, self.ipv6) {
            (true, _) => Family::V4,
            (_, true) => Family::V6,
            _ => Family::Any,
        };
        let mut dialer = Dialer::new()
            .with_family(family)
            .with_proxies(self.proxies()?)
            .with_tls(self.tls.client()?);
        if let Some(source) = self.source {
            dialer = dialer.with_source(source);
        }
        if let Some(name) = &self.interface {
            dialer = dialer.with_interface(name);
        }
        for it in &self.resolve {
            for address in &it.addresses {
                dialer = dialer.with_override(it.host.clone(), it.port, *address);
            }
        }
        for it in &self.connect_to {
            dialer = dialer.with_connect_to(it.from.clone(), it.to.clone());
        }
        Ok(dialer)
    }

    fn proxies(&self) -> Result<Proxies, Error> {
        let proxies = match &self.proxy {
            Some(proxy) => Proxies::all(proxy.clone())?,
            None => Proxies::from_env(|name| env::var(name).ok())?,
        };
        Ok(match self.noproxy.as_slice() {
            [] => proxies,
            list => proxies.with_no_proxy(&list.join(",")),
        })
    }

    /// The time limits; `operation` is what the verb allows where no `--timeout` is given. Zero
    /// means no limit.
    #[must_use]
    pub fn timeouts(&self, operation: Option<Duration>) -> Timeouts {
        let limit = |limit: Duration| Some(limit).filter(|limit| !limit.is_zero());
        Timeouts {
            connect: limit(self.connect_timeout),
            operation: self.timeout.map_or(operation, limit),
            idle: self.idle_timeout.and_then(limit),
        }
    }

    /// How often to try again. Processes that fail together do not try again together.
    #[must_use]
    pub fn retry(&self) -> Retry {
        let backoff = Backoff::default();
        Retry {
            count: self.retry,
            backoff: Backoff {
                first: self.retry_backoff,
                max: backoff.max.max(self.retry_backoff),
                seed: u64::from(std::process::id()),
            },
        }
    }
}

impl TlsArgs {
    /// The TLS settings that these flags ask for.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a file or a value that does not serve.
    pub fn client(&self) -> Result<Tls, Error> {
        let mut tls = Tls::new().with_versions(self.tls_min.into(), self.tls_max.into())?;
        if let Some(file) = &self.cacert {
            tls = tls.with_ca_file(file).map_err(|error| misfit("--cacert", file, error))?;
        }
        if let Some(cert) = &self.cert {
            let key = self.key.as_ref().unwrap_or(cert);
            let identity = Identity::from_pem_files(cert, key);
            tls =
                tls.with_client_identity(identity.map_err(|error| misfit("--cert", cert, error))?);
        }
        if let Some(name) = &self.sni {
            tls = tls.with_server_name(Host::Name(name.clone()));
        }
        if !self.alpn.is_empty() {
            tls = tls.with_alpn(&self.alpn);
        }
        for pin in &self.pin {
            tls = tls.with_pin(*pin);
        }
        let from_environment = || env::var_os("SSLKEYLOGFILE").map(PathBuf::from);
        if let Some(file) = self.keylog.clone().or_else(from_environment) {
            tls = tls.with_key_log(file)?;
        }
        Ok(if self.insecure { danger::without_verification(tls) } else { tls })
    }
}

impl From<TlsVersion> for Version {
    fn from(version: TlsVersion) -> Self {
        match version {
            TlsVersion::V1_2 => Self::Tls12,
            TlsVersion::V1_3 => Self::Tls13,
        }
    }
}

/// The error for a flag whose file does not serve.
fn misfit(flag: &str, file: &Path, cause: Error) -> Error {
    let error = Error::new(Kind::Usage, format!("invalid value '{}' for {flag}", file.display()));
    let error = match cause.hint() {
        Some(hint) => error.with_hint(hint),
        None => error,
    };
    error.with_source(cause)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Verb};

    fn dial(line: &str) -> DialArgs {
        match Cli::parse_from(line.split(' ')).verb {
            Verb::Probe(args) => args.dial,
            verb => panic!("{verb:?}"),
        }
    }

    #[test]
    fn zero_is_no_limit() {
        let verb = Some(Duration::from_secs(30));
        assert_eq!(
            dial("portolan probe").timeouts(verb),
            Timeouts { operation: verb, ..Timeouts::default() }
        );
        assert_eq!(
            dial("portolan probe --connect-timeout 0 --timeout 0 --idle-timeout 2s").timeouts(verb),
            Timeouts { connect: None, operation: None, idle: Some(Duration::from_secs(2)) }
        );
    }

    #[test]
    fn a_long_first_pause_is_not_cut_short() {
        let retry = dial("portolan probe --retry 2 --retry-backoff 1m").retry();
        assert_eq!((retry.count, retry.backoff.max), (2, Duration::from_secs(60)));
        assert_eq!(dial("portolan probe").retry().count, Retry::default().count);
    }
}
