//! Who logs in, and with which secret: from the flags, the URL, the session or a netrc file.

use std::env;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

use portolan::http::{Auth, Netrc};
use portolan::{Error, Kind, Url};
use serde::{Deserialize, Serialize};

use super::prompt;
use crate::args::login::{AuthScheme, LoginArgs};
use crate::console::Console;

/// A login, with its secret.
pub(super) struct Login {
    scheme: AuthScheme,
    /// None for a token.
    user: Option<String>,
    secret: String,
}

/// A login without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptLogin {
    /// The name of its scheme.
    pub(super) scheme: String,
    /// The user; none for a token.
    pub(super) user: Option<String>,
}

impl Login {
    /// The login for `url`, if there is one: what is typed counts most, then the URL, then what the
    /// session has kept, then netrc. A password that is missing is asked for.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a secret that is not where it should be; [`Kind::Read`].
    pub(super) async fn find(
        args: &LoginArgs,
        url: &Url,
        kept: Option<&KeptLogin>,
        console: &Console,
    ) -> Result<Option<Self>, Error> {
        let typed = args.user.as_ref().map(|user| user.0.as_str());
        let kept = kept.filter(|kept| kept.is_of(typed));
        let scheme = args.auth.or_else(|| kept.and_then(KeptLogin::scheme)).unwrap_or_default();
        let given = args.password_env.as_deref().map(variable).transpose()?;
        if scheme == AuthScheme::Bearer {
            let token = typed.map(str::to_owned).or(given);
            return match token {
                Some(secret) => Ok(Some(Self { scheme, user: None, secret })),
                None if args.auth.is_none() => Ok(left_out("a token", console)),
                None => Err(no_token()),
            };
        }
        let login = |user: String, secret| Some(Self { scheme, user: Some(user), secret });
        if let Some((user, password)) = typed.and_then(|typed| typed.split_once(':')) {
            return Ok(login(user.to_owned(), password.to_owned()));
        }
        if let (None, Some(user)) = (typed, url.user()) {
            let password = given.or_else(|| url.password().map(str::to_owned));
            return Ok(login(user.to_owned(), password.unwrap_or_default()));
        }
        let user = typed.or_else(|| kept.and_then(|kept| kept.user.as_deref()));
        match (user, given, netrc(args, url, user).await?) {
            (Some(user), Some(password), _) => Ok(login(user.to_owned(), password)),
            (_, _, Some((user, password))) => Ok(login(user, password)),
            (Some(user), None, None) if typed.is_none() && !io::stdin().is_terminal() => {
                Ok(left_out(&format!("the password of {user}"), console))
            }
            (Some(user), None, None) => {
                Ok(login(user.to_owned(), prompt::password(user, console).await?))
            }
            (None, _, None) => Ok(None),
        }
    }

    /// As the library has it.
    pub(super) fn auth(&self) -> Auth {
        let user = self.user.clone().unwrap_or_default();
        let secret = self.secret.clone();
        match self.scheme {
            AuthScheme::Basic => Auth::basic(user, secret),
            AuthScheme::Digest => Auth::digest(user, secret),
            AuthScheme::Bearer => Auth::bearer(secret),
        }
    }

    /// As a session keeps it.
    pub(super) fn kept(&self) -> KeptLogin {
        KeptLogin { scheme: self.scheme.name().to_owned(), user: self.user.clone() }
    }

    /// Name and password where they are for digest.
    pub(super) fn digest(&self) -> Option<String> {
        let user = self.user.as_ref().filter(|_| self.scheme == AuthScheme::Digest)?;
        Some(format!("{user}:{}", self.secret))
    }
}

impl KeptLogin {
    /// Whether this is the login of the user that is typed, if one is.
    fn is_of(&self, typed: Option<&str>) -> bool {
        let name = typed.map(|typed| typed.split(':').next().unwrap_or_default());
        name.is_none() || name == self.user.as_deref()
    }

    fn scheme(&self) -> Option<AuthScheme> {
        [AuthScheme::Basic, AuthScheme::Digest, AuthScheme::Bearer]
            .into_iter()
            .find(|scheme| scheme.name() == self.scheme)
    }
}

/// Goes on without the login of a session, which keeps no secrets: its cookies may do.
fn left_out(secret: &str, console: &Console) -> Option<Login> {
    console.note(&format!("not logging in as before: the session does not keep {secret}"));
    console.hint("give it in a variable with --password-env");
    None
}

/// The secret in an environment variable.
///
/// # Errors
/// [`Kind::Usage`] where there is none.
pub(super) fn variable(name: &str) -> Result<String, Error> {
    match env::var(name) {
        Ok(secret) if !secret.is_empty() => Ok(secret),
        _ => {
            let message = format!("the variable {name} of --password-env holds no text");
            Err(Error::new(Kind::Usage, message))
        }
    }
}

fn no_token() -> Error {
    Error::new(Kind::Usage, "there is no token to log in with").with_hint(
        "give it with --user TOKEN, or in a variable with --password-env; sessions keep none",
    )
}

/// Name and password for the host of `url`, or those of `user` there, where the flags ask for them.
async fn netrc(
    args: &LoginArgs,
    url: &Url,
    user: Option<&str>,
) -> Result<Option<(String, String)>, Error> {
    let file = match &args.netrc_file {
        Some(file) => file.clone(),
        None if args.netrc => default_file().ok_or_else(|| {
            Error::new(Kind::Usage, "--netrc finds no file: HOME and NETRC are not set")
        })?,
        None => return Ok(None),
    };
    let logins = super::blocking(move || {
        let unread = |cause: Error| {
            let message = format!("could not use the logins in {}", file.display());
            Error::new(Kind::Usage, message).with_source(cause)
        };
        let text = fs::read_to_string(&file).map_err(|cause| {
            unread(Error::new(Kind::Read, "could not read it").with_source(cause))
        })?;
        Netrc::parse(&text).map_err(unread)
    })
    .await?;
    let Some(login) = logins.login(&url.host().to_string()) else { return Ok(None) };
    Ok(match (user, login.user.clone(), login.password.clone()) {
        // Another user's password does not help.
        (Some(user), Some(other), _) if user != other => None,
        (user, other, Some(password)) => {
            let user = user.map(str::to_owned).or(other);
            user.map(|user| (user, password))
        }
        _ => None,
    })
}

/// The file that `$NETRC` names, or the one in the home.
fn default_file() -> Option<PathBuf> {
    let named = env::var_os("NETRC").filter(|file| !file.is_empty()).map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".netrc")))
}
