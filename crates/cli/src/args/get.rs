//! The arguments of `get`.

use std::path::PathBuf;

use clap::Args;
use portolan::transfer::Checksum;
use portolan::{Error, Kind, Url};

use super::dial::DialArgs;
use super::login::LoginArgs;
use super::values::{number, web_target};

/// What to fetch, and where to.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "A file has its final name once it is whole and on the disk; until then it is .NAME.portolan-part
beside it. What a run has left there, the next one goes on with by --continue, unless the server's
file was changed since. A name that is taken gets a number, unless -o gives the name.

Redirects are followed. A server that says nothing for 60 s is given up, unless --idle-timeout says
otherwise; there is no limit for the whole unless --timeout gives one for each file.

Examples:
  portolan get https://example.org/a.tar.gz https://example.org/b.tar.gz -o downloads/
  portolan get https://example.org/image.iso --continue --retry 5 --checksum sha256:9f86d0…
  portolan get --from-file urls.txt --concurrency 16
  portolan get https://example.org/a.tar.gz -o - | tar xz"
)]
pub struct GetArgs {
    /// What to fetch; without a scheme it is http:
    #[arg(value_name = "URL", value_parser = web_target, required_unless_present = "from_file")]
    pub urls: Vec<Url>,
    /// Write to this file, into this directory, or to stdout with - [default: this directory]
    #[arg(short, long, value_name = "FILE|DIR|-")]
    pub output: Option<PathBuf>,
    /// Fetch at most this many at once
    #[arg(long, value_name = "N", default_value = "8", value_parser = |n: &str| number::<usize>(n, 1..=1000))]
    pub concurrency: usize,
    /// Go on with what an earlier run has left, and leave alone what is there whole
    #[arg(long = "continue")]
    pub resume: bool,
    /// Keep the file only if it has this checksum: sha256, sha512, sha1 or md5
    #[arg(long, value_name = "ALGORITHM:HEX")]
    pub checksum: Option<Checksum>,
    /// Read more URLs from this file, one a line; - for stdin
    #[arg(long, value_name = "FILE")]
    pub from_file: Option<PathBuf>,
    /// Who asks.
    #[command(flatten)]
    pub login: LoginArgs,
    /// How to connect.
    #[command(flatten)]
    pub dial: DialArgs,
}

impl GetArgs {
    /// Looks at flags that only make sense together, and with so many URLs.
    ///
    /// # Errors
    /// [`Kind::Usage`].
    pub fn validate(&self, urls: &[Url]) -> Result<(), Error> {
        self.dial.validate()?;
        urls.iter().try_for_each(|url| self.login.validate(url, false))?;
        if self.checksum.is_some() && urls.len() > 1 {
            return Err(Error::new(
                Kind::Usage,
                "--checksum is of one file, and there are several URLs",
            ));
        }
        Ok(())
    }
}
