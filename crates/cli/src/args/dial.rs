//! The flags of every verb that dials, with one meaning everywhere.

use std::net::IpAddr;
use std::time::Duration;

use clap::Args;
use portolan::{Error, Url};

use super::pcap::PcapArgs;
use super::tls::TlsArgs;
use super::values::{ConnectTo, ResolveTo, address, duration, interface, number, proxy};

/// How to connect.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub struct DialArgs {
    /// Give up connecting (name, address, proxy, TLS) after this time; 0 for never
    #[arg(long, value_name = "DUR", default_value = "10s", value_parser = duration)]
    pub connect_timeout: Duration,
    /// Give up the whole operation after this time; 0 for never [default: by verb]
    #[arg(long, value_name = "DUR", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// Give up when the peer says nothing for this time; 0: never, or 60s over udp: [default: by verb]
    #[arg(long, value_name = "DUR", value_parser = duration)]
    pub idle_timeout: Option<Duration>,
    /// Try again this often after a failure that may pass
    #[arg(long, value_name = "N", default_value = "0", value_parser = |n: &str| number::<u32>(n, 0..=1000))]
    pub retry: u32,
    /// Pause before the first retry; it doubles for each further one, and is jittered
    #[arg(long, value_name = "DUR", default_value = "500ms", value_parser = duration)]
    pub retry_backoff: Duration,
    /// Use IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub ipv4: bool,
    /// Use IPv6 only
    #[arg(short = '6', long, conflicts_with = "ipv4")]
    pub ipv6: bool,
    /// Take these addresses for HOST, or * for any, at PORT; can be repeated
    #[arg(long, value_name = "HOST:PORT:ADDR[,ADDR…]")]
    pub resolve: Vec<ResolveTo>,
    /// Dial the second place in place of the first; an empty part means any, or the same
    #[arg(long, value_name = "HOST:PORT:HOST:PORT")]
    pub connect_to: Vec<ConnectTo>,
    /// Connect from this local address
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub source: Option<IpAddr>,
    /// Connect through this network interface
    #[arg(long, value_name = "NAME", value_parser = interface)]
    pub interface: Option<String>,
    /// Go through this http:, https:, socks5: or socks5h: proxy [default: the *_proxy variables]
    #[arg(long, value_name = "URL", value_parser = proxy)]
    pub proxy: Option<Url>,
    /// Reach these hosts, domains and networks without a proxy; * for all
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub noproxy: Vec<String>,
    /// How to speak TLS.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// What to keep of the traffic.
    #[command(flatten)]
    pub pcap: PcapArgs,
}

impl DialArgs {
    /// Looks at flags that only make sense together.
    ///
    /// # Errors
    /// [`portolan::Kind::Usage`].
    pub fn validate(&self) -> Result<(), Error> {
        self.tls.validate()
    }
}
