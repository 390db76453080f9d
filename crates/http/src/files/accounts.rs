//! Who may come in: names and hashed passwords, asked for by the Basic scheme (RFC 7617).

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use argon2::Argon2;
use argon2::password_hash::{
    PasswordHash, PasswordHashString, PasswordHasher, PasswordVerifier, SaltString,
};
use aws_lc_rs::{hmac, rand};
use base64::prelude::{BASE64_STANDARD, Engine};
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use portolan_core::{Error, Kind};
use portolan_net::Info;

use super::attempts::{Attempts, Tag};
use super::refusal::Refusal;

/// How many logins are remembered as right.
const REMEMBERED_MAX: usize = 1024;

/// A user who may come in, with the hash of the password by Argon2 (RFC 9106).
///
/// ```
/// use portolan_http::Account;
///
/// let account: Account =
///     "ana:$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$PL01amPyeUuxG7H0vIr5X+qHkZvWnHmGBGXFYvh8z2E"
///         .parse()?;
/// assert!(account.to_string().starts_with("ana:$argon2id$"));
/// assert!("ana:a password".parse::<Account>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    user: String,
    hash: PasswordHashString,
}

impl Account {
    /// An account with this password, which is hashed with a salt of its own. That takes a moment,
    /// and memory: it is not for the event loop.
    ///
    /// # Errors
    /// [`Kind::Usage`] where the name has a colon, or it or the password is empty; [`Kind::Read`]
    /// where the system has no random numbers.
    pub fn new(user: impl Into<String>, password: &str) -> Result<Self, Error> {
        let user = user.into();
        if user.contains(':') {
            return Err(Error::new(Kind::Usage, "the name of a user has no colon"));
        }
        if user.is_empty() {
            return Err(nameless());
        }
        if password.is_empty() {
            return Err(Error::new(Kind::Usage, format!("the password of {user} is empty")));
        }
        let mut salt = [0; 16];
        let failed = |_| Error::new(Kind::Read, "could not hash the password");
        rand::fill(&mut salt).map_err(|_| {
            Error::new(Kind::Read, "could not make a salt: the system has no random numbers")
        })?;
        let salt = SaltString::encode_b64(&salt).map_err(failed)?;
        let hash = Argon2::default().hash_password(password.as_bytes(), &salt).map_err(failed)?;
        Ok(Self { user, hash: hash.serialize() })
    }

    fn has_password(&self, password: &[u8]) -> bool {
        // The parameters are those of the hash; the comparison takes the same time for all.
        Argon2::default().verify_password(password, &self.hash.password_hash()).is_ok()
    }
}

impl FromStr for Account {
    type Err = Error;

    /// Reads `user:hash`, with a hash in PHC's format: `$argon2id$…`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let hint = "user:hash, such as the command argon2 -e makes it: ana:$argon2id$v=19$…";
        let refuse = |what: &str| Error::new(Kind::Usage, what).with_hint(hint);
        let (user, hash) = text.split_once(':').ok_or_else(|| refuse("the account has no hash"))?;
        if user.is_empty() {
            return Err(nameless().with_hint(hint));
        }
        let hash = PasswordHash::new(hash)
            .ok()
            .filter(|hash| hash.algorithm.as_str().starts_with("argon2") && hash.hash.is_some())
            .ok_or_else(|| refuse("the hash of the account is not one by Argon2"))?;
        Ok(Self { user: user.to_owned(), hash: hash.serialize() })
    }
}

fn nameless() -> Error {
    Error::new(Kind::Usage, "the name of the user is empty")
}

/// Prints `user:hash`.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.user, self.hash.as_str())
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Everybody who may come in; where there is none, all may.
#[derive(Clone, Debug, Default)]
pub(super) struct Accounts {
    accounts: Vec<Account>,
    memory: Option<Arc<Memory>>,
}

/// Logins that were right, so that not every request costs what a login does.
struct Memory {
    /// With it, a login is remembered without being kept.
    key: hmac::Key,
    right: Mutex<HashSet<Tag>>,
    attempts: Attempts,
}

impl Accounts {
    pub(super) fn add(&mut self, account: Account) {
        self.accounts.push(account);
        self.memory = Memory::new().map(Arc::new);
    }

    /// Whether a login is needed.
    pub(super) const fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Lets in who sends a login that is right, where one is needed: that user.
    pub(super) async fn admit(&self, head: &Parts) -> Result<Option<String>, Refusal> {
        if self.is_empty() {
            return Ok(None);
        }
        if let Some(login) = login(&head.headers)
            && self.is_right(&login, head).await?
        {
            let user = login.split(|byte| *byte == b':').next().unwrap_or_default();
            return Ok(Some(String::from_utf8_lossy(user).into_owned()));
        }
        let basic = HeaderValue::from_static("Basic realm=\"files\", charset=\"UTF-8\"");
        Err(Refusal::new(StatusCode::UNAUTHORIZED, "a user and a password are needed")
            .with_header(header::WWW_AUTHENTICATE, basic))
    }

    async fn is_right(&self, login: &[u8], head: &Parts) -> Result<bool, Refusal> {
        let Some(memory) = &self.memory else { return Ok(false) };
        let tag = memory.tag(login);
        if memory.knows(&tag) {
            return Ok(true);
        }
        let peer = head.extensions.get::<Info>().map(|info| &info.peer.host);
        let (accounts, login) = (self.accounts.clone(), login.to_owned());
        let verify = move || verify(&accounts, &login);
        let is_right = memory.attempts.is_right(tag, peer, verify).await?;
        if is_right {
            memory.learn(tag);
        }
        Ok(is_right)
    }
}

/// Whether `user:password` is that of an account. Users who do not exist take as long as others.
fn verify(accounts: &[Account], login: &[u8]) -> bool {
    let Some(colon) = login.iter().position(|byte| *byte == b':') else { return false };
    let (user, password) = (&login[..colon], &login[colon + 1..]);
    let account = accounts.iter().find(|account| account.user.as_bytes() == user);
    let compared = account.or(accounts.first());
    let is_right = compared.is_some_and(|account| account.has_password(password));
    is_right && account.is_some()
}

/// The `user:password` of a request.
fn login(headers: &HeaderMap) -> Option<Vec<u8>> {
    let field = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = field.split_once(' ')?;
    let is_basic = scheme.eq_ignore_ascii_case("Basic");
    is_basic.then(|| BASE64_STANDARD.decode(token.trim()).ok())?
}

impl Memory {
    fn new() -> Option<Self> {
        Some(Self {
            key: hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new()).ok()?,
            right: Mutex::default(),
            attempts: Attempts::new(),
        })
    }

    fn tag(&self, login: &[u8]) -> Tag {
        let mut tag = [0; 32];
        tag.copy_from_slice(hmac::sign(&self.key, login).as_ref());
        tag
    }

    fn knows(&self, tag: &Tag) -> bool {
        self.right.lock().unwrap_or_else(PoisonError::into_inner).contains(tag)
    }

    fn learn(&self, tag: Tag) {
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        if right.len() == REMEMBERED_MAX {
            right.clear();
        }
        right.insert(tag);
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}
