//! The arguments of `serve http`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::place::{HTTP, Place};
use crate::args::login::Secret;
use crate::args::pcap::PcapArgs;
use crate::args::serving::{CertArgs, ServingArgs};
use crate::args::values::{Field, duration, number, size};

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
    #[arg(
        long,
        value_name = "URL",
        default_value = "127.0.0.1:8000",
        value_parser = |text: &str| Place::parse(text, &HTTP)
    )]
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
