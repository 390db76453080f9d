//! Which flags can apply to which schemes. One that cannot is refused, never ignored.

use std::collections::BTreeSet;

use clap::ArgMatches;
use clap::parser::ValueSource;
use portolan::{Error, Kind, Scheme, Transport};

use super::{typed, websocket};

/// What must carry a scheme for a flag to apply to it.
#[derive(Clone, Copy)]
enum Needs {
    Ip,
    /// A stream over IP: what goes through a proxy.
    Tcp,
    /// TLS from the first byte, by STARTTLS, or inside QUIC.
    Tls,
    /// What begins and ends.
    Connection,
    /// Bytes without bounds between them.
    Stream,
    /// Whole messages.
    Messages,
    Datagrams,
    WebSocket,
}

impl Needs {
    const fn fits(self, scheme: Scheme) -> bool {
        let transport = scheme.transport();
        match self {
            Self::Ip => transport.is_inet(),
            Self::Tcp => matches!(transport, Transport::Tcp | Transport::Tls),
            Self::Tls => {
                matches!(transport, Transport::Tls)
                    || matches!(scheme, Scheme::Ftp | Scheme::Smtp | Scheme::DnsQuic)
            }
            Self::Connection => !Self::Datagrams.fits(scheme),
            Self::Stream => !Self::Messages.fits(scheme),
            Self::Messages => Self::Datagrams.fits(scheme) || Self::WebSocket.fits(scheme),
            Self::Datagrams => matches!(transport, Transport::Udp | Transport::UnixDatagram),
            Self::WebSocket => matches!(scheme, Scheme::Ws | Scheme::Wss),
        }
    }
}

/// The flags about dialling that do not apply everywhere.
const FLAGS: [(&str, Needs); 24] = [
    ("ipv4", Needs::Ip),
    ("ipv6", Needs::Ip),
    ("resolve", Needs::Ip),
    ("connect-to", Needs::Ip),
    ("source", Needs::Ip),
    ("interface", Needs::Ip),
    ("proxy", Needs::Tcp),
    ("noproxy", Needs::Tcp),
    ("cacert", Needs::Tls),
    ("cert", Needs::Tls),
    ("key", Needs::Tls),
    ("insecure", Needs::Tls),
    ("sni", Needs::Tls),
    ("alpn", Needs::Tls),
    ("tls-min", Needs::Tls),
    ("tls-max", Needs::Tls),
    ("pin", Needs::Tls),
    ("keylog", Needs::Tls),
    ("no-shutdown", Needs::Connection),
    ("crlf", Needs::Stream),
    ("datagram-size", Needs::Datagrams),
    ("binary", Needs::WebSocket),
    ("base64", Needs::Messages),
    ("length-prefix", Needs::Messages),
];

/// The flags about listening, and about what is done with who connects, that do not apply
/// everywhere.
const SERVING: [(&str, Needs); 8] = [
    ("tls", Needs::Tls),
    ("client-ca", Needs::Tls),
    ("allow", Needs::Ip),
    ("deny", Needs::Ip),
    ("workers", Needs::Tcp),
    ("proxy-protocol", Needs::Connection),
    ("once", Needs::Connection),
    ("origin", Needs::WebSocket),
];

/// The flags that the lab leaves nothing to do: it trusts its own authority, and is reached without
/// a proxy.
const NOT_FOR_LAB: [&str; 3] = ["proxy", "noproxy", "cacert"];

/// The flags that were given on the command line: those of the environment and of the
/// configuration are defaults, and apply where they can.
#[derive(Clone, Debug, Default)]
pub struct Given(Vec<String>);

impl Given {
    /// The flags in `matches`, of the command and of its verb.
    #[must_use]
    pub fn new(matches: &ArgMatches) -> Self {
        let (_, verb) = typed(matches);
        let is_given = |id: &&str| verb.value_source(id) == Some(ValueSource::CommandLine);
        Self(verb.ids().map(clap::Id::as_str).filter(is_given).map(flag_name).collect())
    }

    /// Whether the flag of this name, without dashes, was given.
    #[must_use]
    pub fn contains(&self, flag: &str) -> bool {
        self.0.iter().any(|given| given == flag)
    }

    /// Refuses a flag that fits none of the targets' schemes. Without targets, it must fit the
    /// servers of the lab.
    ///
    /// # Errors
    /// [`Kind::Usage`].
    pub fn check(&self, schemes: &BTreeSet<Scheme>) -> Result<(), Error> {
        if schemes.is_empty() {
            return self.check_for_lab();
        }
        self.check_table(&FLAGS, schemes, &Scheme::ALL)
    }

    /// Refuses a flag about listening that does not fit the scheme of what is listened on, one of
    /// those that the verb `serves`.
    ///
    /// # Errors
    /// [`Kind::Usage`].
    pub fn check_serving(&self, scheme: Scheme, serves: &[Scheme]) -> Result<(), Error> {
        self.check_table(&SERVING, &BTreeSet::from([scheme]), serves)
    }

    /// Refuses a flag about WebSockets where none of `schemes` is theirs.
    ///
    /// # Errors
    /// [`Kind::Usage`].
    pub fn check_websocket(&self, schemes: &BTreeSet<Scheme>) -> Result<(), Error> {
        let flags = websocket::FLAGS.map(|flag| (flag, Needs::WebSocket));
        self.check_table(&flags, schemes, &Scheme::ALL)
    }

    fn check_table(
        &self,
        table: &[(&str, Needs)],
        schemes: &BTreeSet<Scheme>,
        all: &[Scheme],
    ) -> Result<(), Error> {
        let is_misfit = |needs: Needs| !schemes.iter().any(|scheme| needs.fits(*scheme));
        let misfit = table.iter().find(|(flag, needs)| self.contains(flag) && is_misfit(*needs));
        misfit.map_or(Ok(()), |(flag, needs)| Err(refusal(flag, *needs, schemes, all)))
    }

    fn check_for_lab(&self) -> Result<(), Error> {
        let Some(flag) = NOT_FOR_LAB.into_iter().find(|flag| self.contains(flag)) else {
            return Ok(());
        };
        let message = format!("--{flag} does not apply to the lab, which is probed without a URL");
        Err(Error::new(Kind::Usage, message))
    }
}

/// The name of the flag that is the field `id` of its struct.
fn flag_name(id: &str) -> String {
    id.replace('_', "-")
}

/// Whether TLS is spoken with targets of this scheme.
pub(crate) const fn speaks_tls(scheme: Scheme) -> bool {
    Needs::Tls.fits(scheme)
}

fn refusal(flag: &str, needs: Needs, schemes: &BTreeSet<Scheme>, all: &[Scheme]) -> Error {
    let fitting = all.iter().filter(|scheme| needs.fits(**scheme));
    let fitting: Vec<_> = fitting.map(|scheme| scheme.name()).collect();
    misfit(flag, schemes, &fitting)
}

/// The refusal of a flag, and perhaps its value, that fits none of the targets' `schemes` but
/// those that are `fitting`.
pub(crate) fn misfit(flag: &str, schemes: &BTreeSet<Scheme>, fitting: &[&str]) -> Error {
    let targets: Vec<_> = schemes.iter().map(|scheme| format!("{scheme}:")).collect();
    let (targets, fitting) = (targets.join(" and "), fitting.join(", "));
    let message = format!("--{flag} does not apply to {targets} targets; it fits {fitting}");
    Error::new(Kind::Usage, message)
}

#[cfg(test)]
mod tests {
    use portolan::Url;

    use super::*;
    use crate::args;

    fn check(line: &str, targets: &[&str]) -> Result<(), String> {
        let matches = args::command().try_get_matches_from(line.split(' ')).unwrap();
        let schemes = targets.iter().map(|url| url.parse::<Url>().unwrap().scheme()).collect();
        Given::new(&matches).check(&schemes).map_err(|error| error.to_string())
    }

    #[test]
    fn a_flag_that_fits_no_target_is_refused() {
        let refused = check("portolan probe --cacert ca.pem", &["tcp:1", "unix:/a", "tcp:2"]);
        let sentence = refused.unwrap_err();
        let start = "--cacert does not apply to tcp: and unix: targets; it fits tls, https, wss,";
        assert!(sentence.starts_with(start), "{sentence}");
        assert!(check("portolan probe -4", &["unix:/a"]).unwrap_err().starts_with("--ipv4 "));
        assert!(check("portolan probe --proxy http://p", &["udp:1"]).is_err());
    }

    #[test]
    fn a_flag_that_fits_one_target_is_accepted() {
        assert_eq!(check("portolan probe -k", &["tcp:1", "https://a.test"]), Ok(()));
        assert_eq!(check("portolan probe --retry 2 -v", &["unix:/a"]), Ok(()));
        assert_eq!(check("portolan probe --alpn h2 -4", &[]), Ok(()));
    }

    #[test]
    fn a_flag_that_would_do_nothing_in_the_lab_is_refused() {
        for flag in ["--proxy=http://p", "--noproxy=a.test", "--cacert=ca.pem"] {
            let sentence = check(&format!("portolan probe {flag}"), &[]).unwrap_err();
            assert!(flag.starts_with(sentence.split(' ').next().unwrap()), "{sentence}");
            assert!(sentence.contains("the lab"), "{sentence}");
        }
    }

    #[test]
    fn every_flag_of_tls_and_of_the_table_is_known() {
        let command = args::command();
        let all = args::verbs(&command).into_iter().flat_map(|(_, verb)| verb.get_arguments());
        let flags: Vec<_> = all.filter(|flag| flag.get_long().is_some()).collect();
        for flag in flags.iter().filter(|flag| flag.get_help_heading() == Some("TLS")) {
            let name = flag.get_long().unwrap();
            assert!(FLAGS.iter().any(|(flag, _)| *flag == name), "{name}");
        }
        for (name, _) in FLAGS.into_iter().chain(SERVING) {
            assert!(flags.iter().any(|flag| flag.get_long() == Some(name)), "{name}");
        }
    }
}
