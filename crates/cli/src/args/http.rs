//! The arguments of `http`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use portolan::{Error, Kind, Url};

use super::dial::DialArgs;
use super::items::Item;
use super::login::LoginArgs;
use super::values::{number, web_target};

/// What to ask for, and what to show of the answer.
#[derive(Args, Clone, Debug)]
#[command(
    override_usage = "portolan http [OPTIONS] [METHOD] URL [ITEM]...",
    after_help = "Items:
  Name:value    a header field; Name: leaves one out, Name; sends an empty one
  name==value   a parameter of the query
  name=value    a string of the JSON body, or with --form a field; name[key]=value nests
  name:=json    another JSON value: a number, true, null, an array, an object
  name@file     a file, with --form or --multipart; name@file;type=TYPE says what it is
  @file         the whole body; @- for stdin, which is also read where it is a pipe or a file
                and there is no other body
  =@ and :=@ take the value from a file. A backslash takes a separator into a name.

Letters of --print:
  H and B for the request's head and body, h and b for the response's, m for what it took

Unless --idle-timeout says otherwise, a server may say nothing for 60 s. There is no limit for the
whole unless --timeout gives one.

The request itself, which --offline, --curl and --print H show, is shown whole, with its secrets.
Everywhere else they are left out.

Examples:
  portolan http https://example.org/api name=joe age:=42 tags[]=a tags[]=b
  portolan http PUT https://example.org/file @photo.jpg --user joe
  portolan http --form https://example.org/upload note='a photo' file@photo.jpg
  portolan http https://example.org/search q=='two words' Accept:text/html --follow
  portolan http localhost:8080/login user=joe --session work && portolan http localhost:8080 --session work
  portolan http --unix-socket /run/docker.sock http://localhost/version"
)]
pub struct HttpArgs {
    /// The method where it is not GET or POST, the URL, and the items; without a scheme it is http:
    #[arg(value_name = "URL", required = true)]
    pub words: Vec<String>,
    /// What is asked for.
    #[command(flatten)]
    pub request: RequestArgs,
    /// Who asks.
    #[command(flatten)]
    pub login: LoginArgs,
    /// What is made of the answer.
    #[command(flatten)]
    pub answer: AnswerArgs,
    /// How to connect.
    #[command(flatten)]
    pub dial: DialArgs,
}

/// What is asked for.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Request")]
pub struct RequestArgs {
    /// Send the items as the fields of a form
    #[arg(long, conflicts_with = "multipart")]
    pub form: bool,
    /// Send the items as the parts of a multipart form, also without a file among them
    #[arg(long)]
    pub multipart: bool,
    /// Send this text as the body
    #[arg(long, value_name = "TEXT")]
    pub body: Option<String>,
    /// Keep cookies, login and header fields for the next request to this host, under this name
    #[arg(long, value_name = "NAME")]
    pub session: Option<String>,
    /// Speak HTTP/1.1 only
    #[arg(long = "http1.1", conflicts_with = "http2")]
    pub http1: bool,
    /// Speak HTTP/2 only; without TLS, by prior knowledge
    #[arg(long)]
    pub http2: bool,
    /// Connect to this Unix socket in place of the URL's host
    #[arg(long, value_name = "PATH", conflicts_with_all = NOT_FOR_UNIX)]
    pub unix_socket: Option<PathBuf>,
}

/// What means nothing where the socket is a file.
const NOT_FOR_UNIX: [&str; 8] =
    ["ipv4", "ipv6", "resolve", "connect_to", "source", "interface", "proxy", "noproxy"];

/// What is made of the answer.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Answer")]
pub struct AnswerArgs {
    /// Go where redirects lead
    #[arg(long)]
    pub follow: bool,
    /// Follow at most this many redirects
    #[arg(long, value_name = "N", default_value = "10", value_parser = |n: &str| number::<u32>(n, 1..=1000))]
    pub max_redirects: u32,
    /// Follow redirects from https: to http: too
    #[arg(long)]
    pub allow_downgrade: bool,
    /// End with code 22 where the status is 400 or more
    #[arg(long)]
    pub fail: bool,
    /// Print these parts, of HBhbm [default: hb on a terminal, else b]
    #[arg(long, value_name = "LETTERS")]
    pub print: Option<Parts>,
    /// Print the request as a curl command, and send nothing
    #[arg(long, conflicts_with_all = ["offline", "print"])]
    pub curl: bool,
    /// Print the request, and send nothing
    #[arg(long)]
    pub offline: bool,
}

/// The parts of an exchange that are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// `H`.
    pub request_head: bool,
    /// `B`.
    pub request_body: bool,
    /// `h`.
    pub response_head: bool,
    /// `b`.
    pub response_body: bool,
    /// `m`: the phases and sizes.
    pub meta: bool,
}

impl FromStr for Parts {
    type Err = &'static str;

    fn from_str(letters: &str) -> Result<Self, Self::Err> {
        let mut parts = Self::default();
        for letter in letters.chars() {
            let part = match letter {
                'H' => &mut parts.request_head,
                'B' => &mut parts.request_body,
                'h' => &mut parts.response_head,
                'b' => &mut parts.response_body,
                'm' => &mut parts.meta,
                _ => return Err("the letters are H B h b m"),
            };
            *part = true;
        }
        Ok(parts)
    }
}

/// What the words of the command line ask for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The method, where one is given.
    pub method: Option<String>,
    /// The URL.
    pub url: Url,
    /// The items, in order.
    pub items: Vec<Item>,
}

impl HttpArgs {
    /// Reads the words, and looks at what only makes sense together.
    ///
    /// # Errors
    /// [`Kind::Usage`].
    pub fn asked(&self) -> Result<Asked, Error> {
        self.dial.validate()?;
        let (method, rest) = match self.words.as_slice() {
            [method, rest @ ..] if !rest.is_empty() && is_method(method) => {
                (Some(method.to_ascii_uppercase()), rest)
            }
            rest => (None, rest),
        };
        let [url, items @ ..] = rest else {
            return Err(Error::new(Kind::Usage, "the URL is missing"));
        };
        let asked = Asked {
            method,
            url: target(url)?,
            items: items.iter().map(|item| item.parse()).collect::<Result<_, _>>()?,
        };
        self.check_body(&asked.items)?;
        self.login.validate(&asked.url, self.request.session.is_some())?;
        Ok(asked)
    }

    /// Refuses two bodies, and fields that the body's form has no place for.
    fn check_body(&self, items: &[Item]) -> Result<(), Error> {
        let files = items.iter().filter(|item| matches!(item, Item::Body(_))).count();
        let has_fields = items.iter().any(Item::is_field);
        let refused = |message: &str| Err(Error::new(Kind::Usage, message));
        let RequestArgs { form, multipart, ref body, .. } = self.request;
        match (has_fields, files, body) {
            (_, 1.., Some(_)) => refused("there are two bodies: --body and an item @file"),
            (_, 2.., _) => refused("there are two bodies: more than one item is @file"),
            (true, 1.., _) => refused("there are two bodies: an item @file and other items for it"),
            (true, _, Some(_)) => refused("there are two bodies: --body and items for one"),
            (_, 1.., _) | (_, _, Some(_)) if multipart => {
                refused("--multipart makes a body of items, and there is another one")
            }
            _ => items.iter().try_for_each(|item| check_field(item, form || multipart)),
        }
    }
}

fn check_field(item: &Item, is_form: bool) -> Result<(), Error> {
    match item {
        Item::Json(name, _) | Item::JsonFile(name, _) if is_form => {
            let message = format!("'{name}' is JSON, and a form has no place for it");
            Err(Error::new(Kind::Usage, message).with_hint(format!("write {name}=value")))
        }
        Item::Upload { name, .. } if !is_form => {
            let message = format!("'{name}' is a file, and JSON has no place for it");
            let hint = format!("send a form with --form, or its text with {name}=@file");
            Err(Error::new(Kind::Usage, message).with_hint(hint))
        }
        _ => Ok(()),
    }
}

/// Reads the URL.
fn target(text: &str) -> Result<Url, Error> {
    web_target(text).map_err(|cause| {
        // A password may hold spaces, and the word is still one URL.
        let shown = portolan::redact(&text.replace(' ', "%20"));
        Error::new(Kind::Usage, format!("invalid value '{shown}' for URL: {cause}"))
    })
}

/// The methods of RFC 9110, PATCH, and those of WebDAV (RFC 4918) that are likely to be typed.
const METHODS: [&str; 13] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND",
    "MKCOL", "COPY", "MOVE",
];

/// Whether the word is a method: one that is known, or any in capitals.
fn is_method(word: &str) -> bool {
    let is_known = METHODS.iter().any(|method| method.eq_ignore_ascii_case(word));
    is_known || word.bytes().all(|b| b.is_ascii_uppercase() || b == b'-')
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Verb};

    fn asked(line: &str) -> Result<Asked, String> {
        let argv = ["portolan", "http"].into_iter().chain(line.split(' '));
        match Cli::parse_from(argv).verb {
            Verb::Http(args) => args.asked().map_err(|error| error.to_string()),
            verb => panic!("{verb:?}"),
        }
    }

    #[test]
    fn the_method_may_be_left_out() {
        let read = |line: &str| {
            let asked = asked(line).unwrap();
            (asked.method, asked.url.to_string(), asked.items.len())
        };
        let method = |method: &str| Some(method.to_owned());
        assert_eq!(read("a.test"), (None, "http://a.test/".to_owned(), 0));
        assert_eq!(read("put a.test a=b"), (method("PUT"), "http://a.test/".to_owned(), 1));
        assert_eq!(
            read("M-SEARCH https://a.test"),
            (method("M-SEARCH"), "https://a.test/".to_owned(), 0)
        );
        assert_eq!(read("localhost a=b"), (None, "http://localhost/".to_owned(), 1));
        assert_eq!(read(":7080/get q==1"), (None, "http://127.0.0.1:7080/get".to_owned(), 1));
        // A host may be named as a method is.
        assert_eq!(read("get"), (None, "http://get/".to_owned(), 0));
    }

    #[test]
    fn two_bodies_are_refused() {
        for line in [
            "a.test @f @g",
            "a.test @f a=b",
            "a.test --body x a=b",
            "a.test --body x @f",
            "--multipart a.test @f",
            "--multipart a.test --body x",
        ] {
            let sentence = asked(line).unwrap_err();
            assert!(sentence.contains("bod"), "{line}: {sentence}");
        }
        for line in ["a.test @f q==1 X:y", "--form a.test --body x", "a.test --body x X:y"] {
            assert!(asked(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn fields_must_fit_the_form() {
        assert!(asked("--form a.test a:=1").unwrap_err().contains("'a' is JSON"));
        assert!(asked("a.test a@f").unwrap_err().contains("'a' is a file"));
        assert!(asked("--form a.test a@f b=c").is_ok());
        assert!(asked("--multipart a.test a=@f").is_ok());
    }

    #[test]
    fn a_login_has_a_name_and_one_secret() {
        for line in [
            "a.test --auth digest",
            "a.test --user a:b --password-env X",
            "a.test --auth bearer --user t --password-env X",
            "a.test --password-env X",
        ] {
            assert!(asked(line).is_err(), "{line}");
        }
        for line in [
            "http://joe@a.test --auth digest",
            "a.test --user joe --password-env X",
            "a.test --auth bearer --password-env X",
            "a.test --netrc --auth digest",
        ] {
            assert!(asked(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn other_schemes_are_refused_and_secrets_not_shown() {
        assert!(asked("ftp://a.test").unwrap_err().contains("not for ftp:"));
        assert!(!asked("http://joe:hunter2@a.test:x").unwrap_err().contains("hunter2"));
    }

    #[test]
    fn parts_are_letters() {
        let all = "HBhbm".parse::<Parts>().unwrap();
        assert!(all.request_head && all.request_body && all.response_head && all.meta);
        assert_eq!("hx".parse::<Parts>(), Err("the letters are H B h b m"));
    }
}
