//! The flags of verbs that may log in.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use portolan::{Error, Kind, Url};

/// Who asks.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Login")]
pub struct LoginArgs {
    /// Log in by this scheme [default: basic]
    #[arg(long, value_name = "SCHEME", value_enum)]
    pub auth: Option<AuthScheme>,
    /// Log in with this name and password, or token; a password that is missing is asked for
    #[arg(long, value_name = "NAME[:PASSWORD]|TOKEN", hide_default_value = true)]
    pub user: Option<Secret>,
    /// Take the password, or the token, from this environment variable
    #[arg(long, value_name = "VAR")]
    pub password_env: Option<String>,
    /// Take name and password for the host from $NETRC, else ~/.netrc
    #[arg(long)]
    pub netrc: bool,
    /// Take them from this file
    #[arg(long, value_name = "FILE")]
    pub netrc_file: Option<PathBuf>,
}

impl LoginArgs {
    /// Whether logins come from a netrc file, where they are each for a host of its own.
    #[must_use]
    pub const fn reads_netrc(&self) -> bool {
        self.netrc || self.netrc_file.is_some()
    }

    /// Refuses secrets from two places, and a scheme that nobody is named for: neither by a flag,
    /// nor by the URL, nor by a session.
    ///
    /// # Errors
    /// [`Kind::Usage`].
    pub fn validate(&self, url: &Url, has_session: bool) -> Result<(), Error> {
        let refused = |message: &str| Err(Error::new(Kind::Usage, message));
        let is_bearer = self.auth == Some(AuthScheme::Bearer);
        let has_netrc = self.reads_netrc();
        let is_named = self.user.is_some() || url.user().is_some() || has_netrc;
        match self {
            _ if is_bearer && self.user.is_some() && self.password_env.is_some() => {
                refused("there are two tokens: --user and --password-env")
            }
            Self { user: Some(user), password_env: Some(_), .. } if user.0.contains(':') => {
                refused("there are two passwords: in --user and --password-env")
            }
            Self { password_env: Some(_), user: None, .. }
                if !is_bearer && url.user().is_none() && !has_session =>
            {
                refused("--password-env needs the name that --user gives")
            }
            Self { auth: Some(scheme), password_env: None, .. } if !is_named && !has_session => {
                let message = format!("--auth {} needs --user", scheme.name());
                Err(Error::new(Kind::Usage, message))
            }
            _ => Ok(()),
        }
    }
}

/// How to log in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AuthScheme {
    /// RFC 7617.
    #[default]
    #[value(help = None)]
    Basic,
    /// RFC 7616.
    #[value(help = None)]
    Digest,
    /// RFC 6750.
    #[value(help = None)]
    Bearer,
}

impl AuthScheme {
    /// The name, as it is typed and kept.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Digest => "digest",
            Self::Bearer => "bearer",
        }
    }
}

/// Text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}
