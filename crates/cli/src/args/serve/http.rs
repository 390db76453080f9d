//! The arguments of `serve http`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use portolan::{Endpoint, Scheme, Url, UrlError};

use crate::args::login::Secret;
use crate::args::pcap::PcapArgs;
use crate::args::serving::{CertArgs, ServingArgs};
use crate::args::values::{Field, duration, number, size, without_login};

/// Which files, where, and for whom.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  portolan serve http                                # this directory, on http://127.0.0.1:8000/
  portolan serve http site/ --listen :8080 --spa
  portolan serve http /srv --listen 0.0.0.0:8443 --tls self --auth ann
  portolan serve http inbox/ --upload --upload-max 1GB
  portolan serve http /srv --json >> access.jsonl
  portolan serve http --fault 'GET /slow: latency=3s'

A password is kept as its Argon2 hash, in single quotes for the shell:
  printf %s \"$PASSWORD\" | argon2 \"$(openssl rand -hex 8)\" -id -e
  portolan serve http --auth 'ann:$argon2id$v=19$m=…'

Ctrl-C and SIGTERM end it when the requests in flight are finished; a second one ends it at once.")]
pub struct ServeHttpArgs {
    /// Serve the files in this directory
    #[arg(value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// Listen here: a URL, an address or a port; on 127.0.0.1 where no host is named, port 0 is any
    #[arg(long, value_name = "URL", default_value = "127.0.0.1:8000")]
    pub listen: Place,
    /// Listen with this many sockets, each with a loop of its own [default: one for each core]
    #[arg(long, value_name = "N", value_parser = |n: &str| number::<usize>(n, 1..=256))]
    pub workers: Option<usize>,
    /// Let go of peers when nothing passes for this time; 0 for never
    #[arg(long, value_name = "DUR", default_value = "75s", value_parser = duration)]
    pub idle_timeout: Duration,
    /// Give up on peers that do not finish TLS within this time; 0 for never
    #[arg(long, value_name = "DUR", default_value = "10s", value_parser = duration)]
    pub connect_timeout: Duration,
    /// Tell of each request in this form: on stderr, or with --json as objects on stdout
    #[arg(long, value_name = "FORM", value_enum)]
    pub access_log: Option<AccessLog>,
    /// How files are shown.
    #[command(flatten)]
    pub pages: PageArgs,
    /// What may be written.
    #[command(flatten)]
    pub upload: UploadArgs,
    /// Who may come in.
    #[command(flatten)]
    pub auth: AuthArgs,
    /// Whom to serve, and how.
    #[command(flatten)]
    pub serving: ServingArgs,
    /// What is shown in place of the certificate of `--tls`.
    #[command(flatten)]
    pub cert: CertArgs,
    /// What to keep of the traffic.
    #[command(flatten)]
    pub pcap: PcapArgs,
}

/// How files are shown.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Files")]
pub struct PageArgs {
    /// Answer for a directory with this file in it, where there is one
    #[arg(long, value_name = "NAME", default_value = "index.html")]
    pub index: String,
    /// List no directories
    #[arg(long)]
    pub no_listing: bool,
    /// Answer with /index.html where there is no such file, for applications of one page
    #[arg(long)]
    pub spa: bool,
    /// Let pages of any origin read what is served; none but our own may upload
    #[arg(long)]
    pub cors: bool,
    /// Add this header field to every response; can be repeated
    #[arg(long, value_name = "NAME:VALUE")]
    pub header: Vec<Field>,
    /// Show and serve files whose names begin with a dot, too
    #[arg(long)]
    pub hidden: bool,
    /// Follow symbolic links, as long as they stay in the directory
    #[arg(long)]
    pub follow_symlinks: bool,
}

/// What may be written.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Uploads")]
pub struct UploadArgs {
    /// Take files by PUT and from the form on the page
    #[arg(long)]
    pub upload: bool,
    /// Take no more than this in one request, such as 10MB [default: 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = size, requires = "upload")]
    pub upload_max: Option<u64>,
    /// Replace files that are there already
    #[arg(long, requires = "upload")]
    pub overwrite: bool,
}

/// Who may come in.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Login")]
pub struct AuthArgs {
    /// Let in only this user, whose password has this Argon2 hash or is asked for; can be repeated
    #[arg(long, value_name = "USER[:HASH]")]
    pub auth: Vec<Secret>,
    /// Take the password of --auth USER from this environment variable
    #[arg(long, value_name = "VAR", requires = "auth")]
    pub password_env: Option<String>,
}

/// In which form requests are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AccessLog {
    /// The Combined Log Format.
    #[value(help = None)]
    Text,
    /// JSON Lines.
    #[value(help = None)]
    Json,
    /// Not at all.
    #[value(help = None)]
    Off,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// With its scheme.
    Url(Url),
    /// Without: whether TLS is spoken is for other flags to say.
    Bare(Endpoint),
}

impl Place {
    /// The schemes that it can have.
    pub const SCHEMES: [Scheme; 3] = [Scheme::Http, Scheme::Https, Scheme::Unix];
    /// The port where none is given.
    const PORT: u16 = 8000;

    /// The URL of this place.
    #[must_use]
    pub fn url(&self, has_tls: bool) -> Url {
        match self {
            Self::Url(url) => url.clone(),
            Self::Bare(endpoint) if has_tls => Url::from_endpoint(Scheme::Https, endpoint),
            Self::Bare(endpoint) => Url::from_endpoint(Scheme::Http, endpoint),
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = match text.parse::<Url>() {
            Ok(url) => open(url)?,
            Err(UrlError::NoScheme) => return bare(text),
            Err(error) => return Err(error.to_string()),
        };
        match url.scheme() {
            Scheme::Http | Scheme::Https if url.path_and_query() != "/" => {
                Err("where to listen has no path".to_owned())
            }
            scheme if Self::SCHEMES.contains(&scheme) => Ok(Self::Url(url)),
            scheme => Err(format!("HTTP listens on http:, https: or unix:, not on {scheme}:")),
        }
    }
}

/// Says how a login is asked for where one is given.
fn open(url: Url) -> Result<Url, String> {
    without_login(url).map_err(|why| format!("{why}: --auth asks for one"))
}

/// Reads an address, a port, or both.
fn bare(text: &str) -> Result<Place, String> {
    let port = text.strip_prefix(':').unwrap_or(text);
    let url = match port.parse::<u16>() {
        Ok(port) => Url::parse_as(&format!("127.0.0.1:{port}"), Scheme::Tcp),
        Err(_) => match Url::parse_as(text, Scheme::Tcp) {
            Err(UrlError::MissingPort(_)) => {
                Url::parse_as(&format!("{text}:{}", Place::PORT), Scheme::Tcp)
            }
            url => url,
        },
    };
    let url = open(url.map_err(|error| error.to_string())?)?;
    Ok(Place::Bare(url.endpoint()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str, has_tls: bool) -> String {
        text.parse::<Place>().unwrap().url(has_tls).to_string()
    }

    #[test]
    fn a_place_is_a_url_an_address_or_a_port() {
        assert_eq!(url("8080", false), "http://127.0.0.1:8080/");
        assert_eq!(url(":0", false), "http://127.0.0.1:0/");
        assert_eq!(url("0.0.0.0", false), "http://0.0.0.0:8000/");
        assert_eq!(url("[::1]:8443", true), "https://[::1]:8443/");
        assert_eq!(url("http://localhost:9000", true), "http://localhost:9000/");
        assert_eq!(url("unix:/run/site.sock", false), "unix:/run/site.sock");
    }

    #[test]
    fn what_is_no_place_for_http_is_refused() {
        let refused = |text: &str| text.parse::<Place>().unwrap_err();
        assert!(refused("ftp://127.0.0.1").contains("not on ftp:"));
        assert!(refused("http://127.0.0.1/a").contains("no path"));
        for with_login in ["http://ann:secret@127.0.0.1:0", "ann:secret@127.0.0.1:0"] {
            assert_eq!(refused(with_login), "where to listen has no login: --auth asks for one");
        }
        assert!(refused("127.0.0.1:99999").contains("port"), "{}", refused("127.0.0.1:99999"));
    }
}
