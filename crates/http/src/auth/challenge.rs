//! Challenges: the fields `WWW-Authenticate` and `Proxy-Authenticate` (RFC 9110 section 11.6.1).

use http::header::{HeaderMap, HeaderName};

/// The most challenges that are read of one response; no server has more to offer.
const CHALLENGES_MAX: usize = 16;

/// One scheme that a server accepts, with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The scheme, such as `Basic`, as the server writes it.
    pub scheme: String,
    /// The parameters in their order: names in lower case, values without quotes. A `token68` is a
    /// parameter without a name.
    pub params: Vec<(String, String)>,
}

impl Challenge {
    /// The challenges in all fields `name`, best first. What does not follow the grammar ends its
    /// field. Credentials (`Authorization`) have the same grammar (RFC 9110 section 11.4).
    #[must_use]
    pub fn from_headers(headers: &HeaderMap, name: &HeaderName) -> Vec<Self> {
        let fields = headers.get_all(name).iter();
        let challenges =
            fields.flat_map(|value| Self::parse_list(&String::from_utf8_lossy(value.as_bytes())));
        challenges.take(CHALLENGES_MAX).collect()
    }

    /// The value of the parameter `name`, in lower case.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Reads one field. A word that no `=` follows begins a challenge; until the next one, what
    /// the commas separate are its parameters.
    fn parse_list(text: &str) -> Vec<Self> {
        let mut challenges: Vec<Self> = Vec::new();
        let mut rest = Rest(text);
        loop {
            rest.skip(", \t");
            let word = rest.take_token68();
            if word.is_empty() {
                return challenges;
            }
            let after = Rest(rest.0.trim_start_matches([' ', '\t']));
            let is_param = after.0.starts_with('=');
            match challenges.last_mut() {
                Some(last) if is_param => {
                    rest = Rest(after.0[1..].trim_start_matches([' ', '\t']));
                    let Some(value) = rest.take_value() else { return challenges };
                    last.params.push((word.to_ascii_lowercase(), value));
                }
                // A parameter of no challenge.
                None if is_param => return challenges,
                _ => {
                    let mut challenge = Self { scheme: word.to_owned(), params: Vec::new() };
                    rest.skip(" \t");
                    if let Some(token) = rest.take_lone_token68() {
                        challenge.params.push((String::new(), token.to_owned()));
                    }
                    challenges.push(challenge);
                }
            }
        }
    }
}

/// What is still to be read.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn skip(&mut self, of: &str) {
        self.0 = self.0.trim_start_matches(|c| of.contains(c));
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    /// The characters of a token (RFC 9110 section 5.6.2) or a token68 (section 11.2), without the
    /// latter's `=`.
    fn take_token68(&mut self) -> &'a str {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c);
        self.take(self.0.find(|c| !is_part(c)).unwrap_or(self.0.len()))
    }

    /// A token68 that is alone up to the next comma, and so no name of a parameter.
    fn take_lone_token68(&mut self) -> Option<&'a str> {
        let alone = self.0.split(',').next().unwrap_or_default().trim_end();
        let mut inner = Rest(alone);
        let word = inner.take_token68();
        inner.skip("=");
        (!word.is_empty() && inner.0.is_empty()).then(|| self.take(alone.len()))
    }

    /// A token or a quoted string (section 5.6.4); `None` where the quotes do not end.
    fn take_value(&mut self) -> Option<String> {
        let Some(quoted) = self.0.strip_prefix('"') else {
            let end = self.0.find([',', ' ', '\t']).unwrap_or(self.0.len());
            return Some(self.take(end).to_owned());
        };
        let mut value = String::new();
        let mut chars = quoted.char_indices();
        loop {
            match chars.next()? {
                (at, '"') => {
                    self.0 = &quoted[at + 1..];
                    return Some(value);
                }
                (_, '\\') => value.push(chars.next()?.1),
                (_, c) => value.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let params = |challenge: &Challenge| {
            let params = challenge.params.iter().map(|(name, value)| format!(" {name}<{value}>"));
            params.collect::<String>()
        };
        let challenges = Challenge::parse_list(text);
        challenges.iter().map(|c| format!("{}{}", c.scheme, params(c))).collect()
    }

    /// RFC 9110 section 11.6.1.
    #[test]
    fn the_example_of_the_rfc() {
        let text = "Basic realm=\"simple\", Newauth realm=\"apps\", type=1, \
                    title=\"Login to \\\"apps\\\"\"";
        assert_eq!(
            shown(text),
            ["Basic realm<simple>", "Newauth realm<apps> type<1> title<Login to \"apps\">"]
        );
    }

    #[test]
    fn the_grammar_is_read_as_servers_write_it() {
        assert_eq!(shown("Negotiate"), ["Negotiate"]);
        assert_eq!(shown("Negotiate, NTLM"), ["Negotiate", "NTLM"]);
        assert_eq!(shown("Negotiate YII=, Basic realm=a"), ["Negotiate <YII=>", "Basic realm<a>"]);
        assert_eq!(shown(",, Basic  REALM = \"a, b\" ,x=1"), ["Basic realm<a, b> x<1>"]);
        assert_eq!(
            shown("Digest qop=\"auth, auth-int\",nonce=a=="),
            ["Digest qop<auth, auth-int> nonce<a==>"]
        );
        assert_eq!(shown("Basic realm=\"é\""), ["Basic realm<é>"]);
    }

    #[test]
    fn what_is_broken_ends_the_list() {
        assert_eq!(shown("realm=\"a\""), [""; 0]);
        assert_eq!(shown("Basic realm=\"a"), ["Basic"]);
        assert_eq!(shown("Basic realm=\"a\\"), ["Basic"]);
        assert_eq!(shown("Basic realm=a; Digest"), ["Basic realm<a;>", "Digest"]);
    }

    proptest! {
        #[test]
        fn quoted_values_are_read_back(
            scheme in "[A-Z][a-z]{1,8}", name in "[a-z]{1,8}", value in "[ -~é]{0,20}",
        ) {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let challenges = Challenge::parse_list(&format!("{scheme} {name}=\"{quoted}\", X"));
            prop_assert_eq!(challenges.len(), 2);
            prop_assert_eq!(challenges[0].param(&name), Some(value.as_str()));
        }

        #[test]
        fn any_text_is_read_to_an_end(text in "\\PC{0,80}") {
            prop_assert!(Challenge::parse_list(&text).iter().all(|c| !c.scheme.is_empty()));
        }
    }
}
