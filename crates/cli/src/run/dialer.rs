//! From the flags of dialling to what the network floor wants.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portolan::net::proxy::Proxies;
use portolan::net::tls::{Identity, PemError, Tls, Version, danger};
use portolan::net::{Dialer, Family, Retry};
use portolan::{Backoff, Error, Host, Kind, Timeouts, Url};

use crate::args::applies::speaks_tls;
use crate::args::dial::DialArgs;
use crate::args::tls::{TlsArgs, TlsVersion};

impl DialArgs {
    /// The dialer that these flags ask for, but for TLS: see [`TlsArgs::client`].
    ///
    /// # Errors
    /// [`Kind::Usage`] for a proxy, here or in the environment, that makes no sense.
    pub fn dialer(&self) -> Result<Dialer, Error> {
        let family = match (self.ipv4, self.ipv6) {
            (true, _) => Family::V4,
            (_, true) => Family::V6,
            _ => Family::Any,
        };
        let mut dialer = Dialer::new().with_family(family).with_proxies(self.proxies()?);
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

    /// The dialer that these flags ask for to dial `url`, with TLS.
    ///
    /// # Errors
    /// Those of [`dialer`](Self::dialer) and of [`TlsArgs::client`].
    pub(super) async fn dialer_for(&self, url: &Url) -> Result<Dialer, Error> {
        let dialer = self.dialer()?;
        let proxy = dialer.proxy_for(url).map(Url::scheme);
        let is_tls = speaks_tls(url.scheme()) || proxy.is_some_and(speaks_tls);
        let flags = self.tls.clone();
        let tls = super::blocking(move || flags.client(is_tls)).await?;
        Ok(dialer.with_tls(tls))
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
    /// The TLS settings that these flags ask for. The environment has a say only where TLS
    /// `is_spoken`. Reading the files may take as long as the system likes.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a file or a value that does not serve.
    pub fn client(&self, is_spoken: bool) -> Result<Tls, Error> {
        let mut tls = Tls::new().with_versions(self.tls_min.into(), self.tls_max.into())?;
        if let Some(file) = &self.cacert {
            tls = tls.with_ca_file(file).map_err(|error| misfit(&[("--cacert", file)], error))?;
        }
        if let Some(cert) = &self.cert {
            tls = tls.with_client_identity(identity(cert, self.key.as_deref())?);
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
        let variable = || env::var_os(KEY_LOG).filter(|file| is_spoken && !file.is_empty());
        let key_log = match &self.keylog {
            Some(file) => Some(("--keylog", file.clone())),
            None => variable().map(|file| (KEY_LOG, PathBuf::from(file))),
        };
        if let Some((place, file)) = key_log {
            tls = tls.with_key_log(&file).map_err(|error| misfit(&[(place, &file)], error))?;
        }
        Ok(if self.insecure { danger::without_verification(tls) } else { tls })
    }
}

/// The variable that names the key log for every program.
const KEY_LOG: &str = "SSLKEYLOGFILE";

/// The identity in the files of `--cert` and `--key`.
pub(super) fn identity(cert: &Path, key: Option<&Path>) -> Result<Identity, Error> {
    let key_file = key.unwrap_or(cert);
    Identity::from_pem_files(cert, key_file).map_err(|error| {
        // The certificate is to blame for what is wrong without the key too.
        let is_of_cert = |error: &Error| {
            let alone = Identity::from_pem_files(cert, cert).err();
            alone.is_some_and(|alone| alone.to_string() == error.to_string())
        };
        let values = match error.find::<PemError>() {
            Some(PemError::KeyMismatch) if key.is_some() => {
                vec![("--cert", cert), ("--key", key_file)]
            }
            _ if key.is_none() || is_of_cert(&error) => vec![("--cert", cert)],
            _ => vec![("--key", key_file)],
        };
        misfit(&values, error)
    })
}

impl From<TlsVersion> for Version {
    fn from(version: TlsVersion) -> Self {
        match version {
            TlsVersion::V1_2 => Self::Tls12,
            TlsVersion::V1_3 => Self::Tls13,
        }
    }
}

/// The error for files that do not serve, each with the flag or the variable that names it.
pub(super) fn misfit(values: &[(&str, &Path)], cause: Error) -> Error {
    let values = values.iter().map(|(place, file)| format!("'{}' for {place}", file.display()));
    let values = values.collect::<Vec<_>>().join(" and ");
    let error = Error::new(Kind::Usage, format!("invalid value {values}"));
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
