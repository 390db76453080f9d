//! Who may connect to a server, by address.
//!
//! Names are not resolved, and Unix sockets have permissions of their own.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use portolan_core::Endpoint;

/// Who may connect: `deny` counts first; with any `allow`, all others are denied.
///
/// # Defaults
/// Everybody.
///
/// ```
/// use std::net::SocketAddr;
/// use portolan_net::Access;
///
/// let access = Access { allow: vec!["10.0.0.0/8".parse()?], deny: vec!["10.0.0.7".parse()?] };
/// let permits = |peer: [u8; 4]| access.permits(&SocketAddr::from((peer, 5000)).into());
/// assert!(permits([10, 0, 0, 1]));
/// assert!(!permits([10, 0, 0, 7]));
/// assert!(!permits([192, 0, 2, 1]));
/// # Ok::<(), portolan_net::NetworkError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Who may connect; where it is empty, everybody.
    pub allow: Vec<Network>,
    /// Who may not, even if it is allowed.
    pub deny: Vec<Network>,
}

impl Access {
    /// Whether `peer` may connect. A peer without an address, over a Unix socket, is denied only
    /// where some addresses are allowed.
    #[must_use]
    pub fn permits(&self, peer: &Endpoint) -> bool {
        let is_in = |networks: &[Network]| {
            peer.host.ip().is_some_and(|ip| networks.iter().any(|network| network.contains(ip)))
        };
        !is_in(&self.deny) && (self.allow.is_empty() || is_in(&self.allow))
    }
}

/// A range of addresses: a network in CIDR notation (RFC 4632), or one address.
///
/// IPv6 addresses that stand for IPv4 ones (`::ffff:192.0.2.1`, RFC 4291 section 2.5.5.2) count as
/// these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// Whether the address is within the network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

/// The text is neither an address nor a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither an address nor a network such as 10.0.0.0/8")]
pub struct NetworkError;

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let network = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse().map_err(|_| NetworkError)?,
        };
        Ok(Self(canonical(network)))
    }
}

impl fmt::Display for Network {
    /// A single address without the length of its prefix.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            self.0.addr().fmt(f)
        } else {
            self.0.fmt(f)
        }
    }
}

/// The IPv4 network for one of IPv6 addresses that all stand for IPv4 ones.
fn canonical(network: IpNet) -> IpNet {
    let mapped = || {
        let address = match network.addr().to_canonical() {
            IpAddr::V4(address) if network.addr().is_ipv6() => address,
            _ => return None,
        };
        Ipv4Net::new(address, network.prefix_len().checked_sub(96)?).ok()
    };
    mapped().map_or(network, IpNet::V4).trunc()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn permits(allow: &[&str], deny: &[&str], peer: &str) -> bool {
        let networks = |texts: &[&str]| texts.iter().map(|text| network(text)).collect();
        let access = Access { allow: networks(allow), deny: networks(deny) };
        access.permits(&Endpoint::from(std::net::SocketAddr::new(peer.parse().unwrap(), 1)))
    }

    #[test]
    fn deny_counts_first_and_allow_denies_all_others() {
        assert!(permits(&[], &[], "192.0.2.1"));
        assert!(permits(&[], &["192.0.2.2"], "192.0.2.1"));
        assert!(!permits(&[], &["192.0.2.0/24"], "192.0.2.1"));
        assert!(permits(&["192.0.2.1"], &[], "192.0.2.1"));
        assert!(!permits(&["192.0.2.1"], &[], "192.0.2.2"));
        assert!(!permits(&["192.0.2.1"], &["0.0.0.0/0"], "192.0.2.1"));
        assert!(!permits(&["192.0.2.0/24"], &[], "::1"));
        assert!(permits(&["fe80::/10", "::1"], &[], "fe80::7"));
    }

    #[test]
    fn mapped_addresses_count_as_ipv4() {
        assert!(permits(&["192.0.2.0/24"], &[], "::ffff:192.0.2.1"));
        assert!(!permits(&[], &["::ffff:192.0.2.0/120"], "192.0.2.1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_eq!(network("::ffff:0:0/96"), network("0.0.0.0/0"));
        // A larger network is one of IPv6.
        assert!(!permits(&["::/0"], &[], "192.0.2.1"));
    }

    #[test]
    fn peers_without_an_address_are_denied_where_addresses_are_allowed() {
        let peer = Endpoint::unix("/run/client");
        let any = || vec![network("0.0.0.0/0"), network("::/0")];
        assert!(Access { allow: vec![], deny: any() }.permits(&peer));
        assert!(!Access { allow: any(), deny: vec![] }.permits(&peer));
    }

    #[test]
    fn networks_are_printed_as_they_are_meant() {
        for (text, shown) in
            [("10.1.2.3/8", "10.0.0.0/8"), ("::1", "::1"), ("192.0.2.1/32", "192.0.2.1")]
        {
            assert_eq!(network(text).to_string(), shown);
        }
        for text in ["", "example.org", "10.0.0.0/33", "10.0.0/8", "[::1]", "10.0.0.0/ 8"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError), "{text}");
        }
    }
}
