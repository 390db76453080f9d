//! Logins in the format of `.netrc`, as ftp(1) and curl(1) read it. No file is opened here.

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

use portolan_core::{Blame, Error, Kind};

/// User name and password for a host. They are not printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// The user name, where there is one.
    pub user: Option<String>,
    /// The password, where there is one.
    pub password: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(***)")
    }
}

/// The logins of a `.netrc` file.
///
/// ```
/// use portolan_http::Netrc;
///
/// let netrc = Netrc::parse("machine host.example login me password 'my secret'")?;
/// assert_eq!(netrc.login("host.example").unwrap().user.as_deref(), Some("me"));
/// assert!(netrc.login("other.example").is_none());
/// # Ok::<(), portolan_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Netrc {
    /// The hosts with their logins, in the order of the file; `None` is the default.
    entries: Vec<(Option<String>, Login)>,
}

impl Netrc {
    /// Reads the text of such a file: `machine NAME`, `default`, `login`, `password`, `account`
    /// (which nobody asks for any more) and `macdef` (a macro up to the next empty line) in any
    /// layout; `#` begins a comment where a word could stand; a word in double quotes may hold
    /// white space, and `\"`, `\\`, `\n`, `\r` and `\t`.
    ///
    /// # Errors
    /// [`Kind::Usage`] with the line that is wrong, and never its text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut words = Words { rest: text.chars().peekable(), line: 1 };
        let mut entries: Vec<(Option<String>, Login)> = Vec::new();
        while let Some(word) = words.next()? {
            match word.as_str() {
                "machine" => {
                    let name = words.value("machine")?.to_ascii_lowercase();
                    entries.push((Some(name), Login::default()));
                }
                "default" => entries.push((None, Login::default())),
                "macdef" => words.skip_macro(),
                "login" | "password" | "account" => {
                    let value = words.value(&word)?;
                    let Some((_, login)) = entries.last_mut() else {
                        return Err(words.wrong(&format!("{word} stands before any machine")));
                    };
                    match word.as_str() {
                        "login" => login.user = Some(value),
                        "password" => login.password = Some(value),
                        _ => {}
                    }
                }
                // The word itself may be a password that lost its keyword.
                _ => return Err(words.wrong("there is an unknown word")),
            }
        }
        Ok(Self { entries })
    }

    /// The login for this host: that of the first entry that names it, or else the default.
    #[must_use]
    pub fn login(&self, host: &str) -> Option<&Login> {
        let host = host.to_ascii_lowercase();
        let named = self.entries.iter().find(|(name, _)| name.as_deref() == Some(host.as_str()));
        let entry = named.or_else(|| self.entries.iter().find(|(name, _)| name.is_none()));
        entry.map(|(_, login)| login)
    }
}

/// The words of the text.
struct Words<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
}

impl Words<'_> {
    fn next(&mut self) -> Result<Option<String>, Error> {
        loop {
            match self.rest.peek() {
                None => return Ok(None),
                Some('#') => while self.advance().is_some_and(|c| c != '\n') {},
                Some(c) if c.is_whitespace() => {
                    self.advance();
                }
                Some('"') => return self.quoted().map(Some),
                Some(_) => break,
            }
        }
        let mut word = String::new();
        while let Some(c) = self.rest.next_if(|c| !c.is_whitespace()) {
            word.push(c);
        }
        Ok(Some(word))
    }

    /// The word after a keyword.
    fn value(&mut self, keyword: &str) -> Result<String, Error> {
        self.next()?.ok_or_else(|| self.wrong(&format!("nothing follows {keyword}")))
    }

    fn quoted(&mut self) -> Result<String, Error> {
        self.advance();
        let mut word = String::new();
        loop {
            match self.advance() {
                Some('"') => return Ok(word),
                Some('\\') => match self.advance() {
                    Some('n') => word.push('\n'),
                    Some('r') => word.push('\r'),
                    Some('t') => word.push('\t'),
                    Some(c) => word.push(c),
                    None => return Err(self.wrong("a quote does not end")),
                },
                Some('\n') | None => return Err(self.wrong("a quote does not end")),
                Some(c) => word.push(c),
            }
        }
    }

    /// Skips the name and the lines of a macro, up to an empty one.
    fn skip_macro(&mut self) {
        let mut length = 1;
        while let Some(c) = self.advance() {
            match c {
                '\n' if length == 0 => return,
                '\n' => length = 0,
                '\r' => {}
                _ => length += 1,
            }
        }
    }

    fn advance(&mut self) -> Option<char> {
        let c = self.rest.next();
        self.line += usize::from(c == Some('\n'));
        c
    }

    fn wrong(&self, what: &str) -> Error {
        let message = format!("could not read the netrc file: line {}: {what}", self.line);
        Error::new(Kind::Usage, message).with_blame(Blame::Input)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn login(netrc: &Netrc, host: &str) -> (String, String) {
        let login = netrc.login(host).cloned().unwrap_or_default();
        (login.user.unwrap_or_default(), login.password.unwrap_or_default())
    }

    fn pair(user: &str, password: &str) -> (String, String) {
        (user.to_owned(), password.to_owned())
    }

    #[test]
    fn files_as_people_write_them() {
        let netrc = Netrc::parse(
            "# a comment\n\
             machine Example.com login me password p#1 account x\r\n\
             macdef init\n\tmachine example.com login macro\n\ncd /\n\
             machine b.example\n\tlogin \"a b\"\n\tpassword \"q\\\"\\\\\\t\"\n\
             machine example.com login second password second\n\
             default login anonymous password me@example.com",
        );
        assert!(netrc.is_err(), "the macro ended at the empty line");
        let netrc = Netrc::parse(
            "machine Example.com login me password p#1 account x\r\n\
             macdef init\n\tmachine example.com login macro\ncd /\n\n\
             machine b.example\n\tlogin \"a b\" # whose\n\tpassword \"q\\\"\\\\\\t\"\n\
             machine example.com login second password second\n\
             default login anonymous password me@example.com",
        )
        .unwrap();
        assert_eq!(login(&netrc, "example.COM"), pair("me", "p#1"));
        assert_eq!(login(&netrc, "b.example"), pair("a b", "q\"\\\t"));
        assert_eq!(login(&netrc, "other"), pair("anonymous", "me@example.com"));
        assert_eq!(format!("{:?}", netrc.login("other").unwrap()), "Login(***)");
    }

    #[test]
    fn a_file_may_be_empty_or_hold_half_a_login() {
        assert!(Netrc::parse("").unwrap().login("a").is_none());
        let netrc = Netrc::parse("machine a login me").unwrap();
        assert_eq!(netrc.login("a").unwrap().password, None);
    }

    #[test]
    fn what_is_wrong_is_told_by_its_line_and_never_shown() {
        for (text, line) in [
            ("machine", 1),
            ("machine a\nlogin", 2),
            ("login hunter2", 1),
            ("\nmachine a login me hunter2", 2),
            ("machine a password \"hunter2", 1),
            ("machine a password \"hunter2\\", 1),
        ] {
            let error = Netrc::parse(text).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage);
            let message = error.to_string();
            assert!(message.contains(&format!("line {line}:")), "{message}");
            assert!(!format!("{error:#}{error:?}").contains("hunter2"), "{message}");
        }
    }

    proptest! {
        #[test]
        fn any_login_is_read_back(
            host in "[a-z.]{1,20}", user in "[^\n\"\\\\]{0,20}", password in "[^\n\"\\\\]{0,20}",
        ) {
            let text = format!("machine {host} login \"{user}\" password \"{password}\"\n");
            let netrc = Netrc::parse(&text).unwrap();
            prop_assert_eq!(login(&netrc, &host), (user, password));
        }

        #[test]
        fn any_text_is_read_to_an_end(text in "((machine|login|macdef|default|\"|#|\\\\|\n|\\PC) ?){0,30}") {
            let _ = Netrc::parse(&text);
        }
    }
}
