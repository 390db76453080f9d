//! IP packets as a network would have carried them: IPv4 (RFC 791) and IPv6 (RFC 8200) with TCP
//! (RFC 9293) or UDP (RFC 768) in them, and the checksums of all (RFC 1071).
//!
//! Bytes are appended to a buffer; nothing here does I/O.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Flags of a segment (RFC 9293 section 3.1).
pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const PSH: u8 = 0x08;
pub(super) const ACK: u8 = 0x10;

/// The most payload of a segment that is written here: it fits both versions of IP.
pub(super) const SEGMENT_MAX: usize = 32 * 1024;
/// The most payload of a datagram that fits both versions of IP.
pub(super) const DATAGRAM_MAX: usize = 65_507;

/// The options of a segment that opens a connection: the most payload that it takes, and a window
/// that no sender fills, in units of 16 KiB (RFC 7323 section 2.2); then filled up to 32 bits.
const OPENING: [u8; 8] = [2, 4, (SEGMENT_MAX >> 8) as u8, (SEGMENT_MAX & 0xff) as u8, 3, 3, 14, 0];
const WINDOW: u16 = u16::MAX;

/// The addresses of Unix sockets, which have none: nobody uses these.
const UNIX_CLIENT: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);
const UNIX_SERVER: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 2);
/// The port of all Unix servers, of no protocol that might be read into it, and the first of so
/// many for their clients (RFC 6335).
const UNIX_PORT: u16 = 49_151;
const UNIX_CLIENT_PORT: u16 = 49_152;
const UNIX_CLIENT_PORTS: u64 = 1 << 14;

const TCP: u8 = 6;
const UDP: u8 = 17;
const HOP_LIMIT: u8 = 64;

/// Where a packet comes from and goes to, both in the same version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
}

impl Path {
    /// The path between two addresses, of which one may be an IPv4 address in the form of IPv6
    /// (RFC 4291 section 2.5.5.2), or none in particular: then it is that of the other's version.
    pub(super) fn new(from: SocketAddr, to: SocketAddr) -> Self {
        let (from_ip, to_ip) = (from.ip().to_canonical(), to.ip().to_canonical());
        let place = |ip, port| SocketAddr::new(ip, port);
        Self {
            from: place(in_version_of(from_ip, to_ip), from.port()),
            to: place(in_version_of(to_ip, from_ip), to.port()),
        }
    }

    /// A path that is made up for a Unix socket, from the client to the server. Other numbers are
    /// other clients.
    pub(super) fn unix(number: u64) -> Self {
        let port = UNIX_CLIENT_PORT + (number % UNIX_CLIENT_PORTS) as u16;
        Self { from: (UNIX_CLIENT, port).into(), to: (UNIX_SERVER, UNIX_PORT).into() }
    }

    pub(super) const fn reversed(self) -> Self {
        Self { from: self.to, to: self.from }
    }
}

fn in_version_of(ip: IpAddr, other: IpAddr) -> IpAddr {
    match (ip, other) {
        (IpAddr::V6(ip), IpAddr::V4(_)) if ip.is_unspecified() => Ipv4Addr::UNSPECIFIED.into(),
        (IpAddr::V4(ip), IpAddr::V6(_)) => ip.to_ipv6_mapped().into(),
        _ => ip,
    }
}

/// A segment of TCP but for its addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) sequence: u32,
    pub(super) acknowledged: u32,
    pub(super) flags: u8,
    pub(super) payload: &'a [u8],
}

/// Appends a packet with a segment of at most [`SEGMENT_MAX`] bytes.
pub(super) fn tcp(out: &mut Vec<u8>, path: Path, segment: Segment<'_>) {
    let options: &[u8] = if segment.flags & SYN == 0 { &[] } else { &OPENING };
    let header = 20 + options.len();
    let sum = ip(out, path, TCP, header + segment.payload.len());
    let start = out.len();
    out.extend(path.from.port().to_be_bytes());
    out.extend(path.to.port().to_be_bytes());
    out.extend(segment.sequence.to_be_bytes());
    out.extend(segment.acknowledged.to_be_bytes());
    // The header's length in units of 32 bits.
    out.extend([(header as u8 / 4) << 4, segment.flags]);
    out.extend(WINDOW.to_be_bytes());
    out.extend([0; 4]);
    out.extend_from_slice(options);
    out.extend_from_slice(segment.payload);
    let checksum = folded(sum + summed(&out[start..]));
    out[start + 16..start + 18].copy_from_slice(&checksum.to_be_bytes());
}

/// Appends a packet with a datagram of at most [`DATAGRAM_MAX`] bytes.
pub(super) fn udp(out: &mut Vec<u8>, path: Path, payload: &[u8]) {
    let length = 8 + payload.len();
    let sum = ip(out, path, UDP, length);
    let start = out.len();
    out.extend(path.from.port().to_be_bytes());
    out.extend(path.to.port().to_be_bytes());
    out.extend((length as u16).to_be_bytes());
    out.extend([0; 2]);
    out.extend_from_slice(payload);
    // Zero would mean that there is no checksum.
    let checksum = match folded(sum + summed(&out[start..])) {
        0 => u16::MAX,
        checksum => checksum,
    };
    out[start + 6..start + 8].copy_from_slice(&checksum.to_be_bytes());
}

/// Appends a header, and gives the sum of the pseudo-header of what follows.
fn ip(out: &mut Vec<u8>, path: Path, protocol: u8, length: usize) -> u64 {
    let start = out.len();
    let addresses = match (path.from.ip(), path.to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            out.extend([0x45, 0]);
            out.extend((20 + length as u16).to_be_bytes());
            // It is in one piece and must not be fragmented, so it needs no number (RFC 6864).
            out.extend([0, 0, 0x40, 0, HOP_LIMIT, protocol, 0, 0]);
            out.extend(from.octets());
            out.extend(to.octets());
            let checksum = folded(summed(&out[start..]));
            out[start + 10..start + 12].copy_from_slice(&checksum.to_be_bytes());
            &out[start + 12..]
        }
        (from, to) => {
            out.extend([0x60, 0, 0, 0]);
            out.extend((length as u16).to_be_bytes());
            out.extend([protocol, HOP_LIMIT]);
            for ip in [from, to] {
                out.extend(match ip {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                    IpAddr::V6(ip) => ip.octets(),
                });
            }
            &out[start + 8..]
        }
    };
    summed(addresses) + u64::from(protocol) + length as u64
}

/// The sum of 16-bit words, which 32-bit words add up to as well once it is [`folded`].
fn summed(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    let sum: u64 = words.iter().map(|word| u64::from(u32::from_be_bytes(*word))).sum();
    sum + u64::from(u32::from_be_bytes(last))
}

/// The checksum that a sum of words means.
const fn folded(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
