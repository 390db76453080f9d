//! What a capture holds, by a parser of the blocks that is not ours and one of the packets that
//! takes nothing for granted.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use pcap_parser::pcapng::{Block, EnhancedPacketBlock, OptionCode, PcapNGOption, parse_block_le};
use pcap_parser::traits::PcapNGPacketBlock;

/// A file in memory, which its clones share.
#[derive(Clone, Default)]
pub(super) struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    pub(super) fn items(&self) -> Vec<Item> {
        items(&self.0.lock().unwrap())
    }

    pub(super) fn packets(&self) -> Vec<Packet> {
        packets(self.items())
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
pub(super) enum Item {
    Secrets(String),
    Packet(Packet),
}

#[derive(Debug)]
pub(super) struct Packet {
    pub(super) time: u64,
    /// Whether it is marked as sent by us, and not received.
    pub(super) is_sent: bool,
    pub(super) comment: Option<String>,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    /// None for UDP.
    pub(super) tcp: Option<Tcp>,
    pub(super) payload: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Tcp {
    pub(super) sequence: u32,
    pub(super) acknowledged: u32,
    pub(super) flags: u8,
}

/// The comments on the whole file.
pub(super) fn comments(file: &[u8]) -> Vec<String> {
    let (_, block) = parse_block_le(file).unwrap();
    let Block::SectionHeader(header) = block else { panic!("{block:?}") };
    assert!(header.shb_userappl().unwrap().unwrap().starts_with("portolan "));
    texts(&header.options).collect()
}

/// What follows the headers.
pub(super) fn items(file: &[u8]) -> Vec<Item> {
    let (mut rest, _) = parse_block_le(file).unwrap();
    let mut items = Vec::new();
    let mut interface = None;
    while !rest.is_empty() {
        let (after, block) = parse_block_le(rest).unwrap();
        rest = after;
        match block {
            Block::InterfaceDescription(it) => {
                assert_eq!((it.linktype.0, it.snaplen, it.if_tsresol), (101, 0, 9));
                assert!(interface.replace(it).is_none());
            }
            Block::DecryptionSecrets(it) => {
                assert_eq!(it.secrets_type.0, 0x544c_534b);
                let secrets = it.data[..it.secrets_len as usize].to_vec();
                items.push(Item::Secrets(String::from_utf8(secrets).unwrap()));
            }
            Block::EnhancedPacket(it) => {
                assert!(interface.is_some());
                items.push(Item::Packet(packet(&it)));
            }
            block => panic!("{block:?}"),
        }
    }
    items
}

pub(super) fn packets(items: Vec<Item>) -> Vec<Packet> {
    let packets = items.into_iter().filter_map(|item| match item {
        Item::Packet(packet) => Some(packet),
        Item::Secrets(_) => None,
    });
    packets.collect()
}

fn texts<'a>(options: &'a [PcapNGOption<'_>]) -> impl Iterator<Item = String> + 'a {
    let comments = options.iter().filter(|option| option.code == OptionCode::Comment);
    comments.map(|option| option.as_str().unwrap().to_owned())
}

fn packet(block: &EnhancedPacketBlock<'_>) -> Packet {
    let bytes = block.packet_data();
    assert_eq!((bytes.len() as u32, block.caplen), (block.origlen, block.origlen));
    let flags = block.options.iter().find(|option| option.code.0 == 2).unwrap();
    let (from, to, protocol, body) = ip(bytes);
    let ports = [word(body, 0), word(body, 2)];
    let sequence = |at| u32::from_be_bytes(body[at..at + 4].try_into().unwrap());
    let (tcp, payload) = match protocol {
        6 => {
            let tcp = Tcp { sequence: sequence(4), acknowledged: sequence(8), flags: body[13] };
            (Some(tcp), &body[usize::from(body[12] >> 4) * 4..])
        }
        17 => {
            assert_eq!(usize::from(word(body, 4)), body.len());
            assert_ne!(word(body, 6), 0, "no checksum");
            (None, &body[8..])
        }
        other => panic!("protocol {other}"),
    };
    Packet {
        time: u64::from(block.ts_high) << 32 | u64::from(block.ts_low),
        is_sent: match flags.as_u32_le().unwrap() {
            1 => false,
            2 => true,
            flags => panic!("flags {flags}"),
        },
        comment: texts(&block.options).next(),
        from: SocketAddr::new(from, ports[0]),
        to: SocketAddr::new(to, ports[1]),
        tcp,
        payload: payload.to_vec(),
    }
}

/// The addresses, the protocol and the body of a packet, of which all checksums are right.
fn ip(bytes: &[u8]) -> (IpAddr, IpAddr, u8, &[u8]) {
    let (from, to, protocol, body): (IpAddr, IpAddr, _, _) = if bytes[0] >> 4 == 4 {
        assert_eq!(bytes[0] & 0xf, 5);
        assert_eq!(usize::from(word(bytes, 2)), bytes.len());
        assert_eq!(checksum(&[&bytes[..20]]), 0);
        let address = |at| Ipv4Addr::from(<[u8; 4]>::try_from(&bytes[at..at + 4]).unwrap());
        (address(12).into(), address(16).into(), bytes[9], &bytes[20..])
    } else {
        assert_eq!(bytes[0] >> 4, 6);
        assert_eq!(usize::from(word(bytes, 4)), bytes.len() - 40);
        let address = |at| Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[at..at + 16]).unwrap());
        (address(8).into(), address(24).into(), bytes[6], &bytes[40..])
    };
    let addresses = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => [from.octets(), to.octets()].concat(),
        (IpAddr::V6(from), IpAddr::V6(to)) => [from.octets(), to.octets()].concat(),
        mixed => panic!("{mixed:?}"),
    };
    let pseudo = [&[0, protocol][..], &(body.len() as u32).to_be_bytes()].concat();
    assert_eq!(checksum(&[&addresses, &pseudo, body]), 0);
    (from, to, protocol, body)
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// By the book (RFC 1071 section 4.1): zero over what holds its own checksum.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u32 = 0;
    for pair in parts.concat().chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
