//! The blocks of a pcapng file (draft-ietf-opsawg-pcapng), in the order of bytes that x86 has.
//!
//! Bytes are appended to a buffer; nothing here does I/O or reads a clock.

use portolan_core::Direction;

/// Section 4.1.
const SECTION_HEADER: u32 = 0x0A0D_0D0A;
const BYTE_ORDER: u32 = 0x1A2B_3C4D;
/// Section 4.2.
const INTERFACE_DESCRIPTION: u32 = 1;
/// Section 4.3.
const ENHANCED_PACKET: u32 = 6;
/// Section 4.7, and there the type of the secrets: a TLS key log.
const DECRYPTION_SECRETS: u32 = 10;
const TLS_KEY_LOG: u32 = 0x544c_534b;
/// Packets begin with the header of IP (draft-ietf-opsawg-pcaplinktype).
const LINKTYPE_RAW: u16 = 101;

/// Options (sections 3.5, 4.1, 4.2 and 4.3).
const COMMENT: u16 = 1;
const USER_APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const TIME_RESOLUTION: u16 = 9;
const PACKET_FLAGS: u16 = 2;
const END_OF_OPTIONS: u16 = 0;

/// How a file begins: who wrote it, and what is to be known about all of it.
pub(super) fn section_header(out: &mut Vec<u8>, application: &str, comments: &[String]) {
    block(out, SECTION_HEADER, |out| {
        out.extend(BYTE_ORDER.to_le_bytes());
        out.extend(1_u16.to_le_bytes());
        out.extend(0_u16.to_le_bytes());
        // The section's length is not known yet.
        out.extend((-1_i64).to_le_bytes());
        for comment in comments {
            text_option(out, COMMENT, comment);
        }
        text_option(out, USER_APPLICATION, application);
        option(out, END_OF_OPTIONS, &[]);
    });
}

/// The one interface on which all packets are: they carry IP, of any length, and their times count
/// nanoseconds.
pub(super) fn interface(out: &mut Vec<u8>, name: &str) {
    block(out, INTERFACE_DESCRIPTION, |out| {
        out.extend(LINKTYPE_RAW.to_le_bytes());
        out.extend([0; 2]);
        out.extend(0_u32.to_le_bytes());
        text_option(out, INTERFACE_NAME, name);
        option(out, TIME_RESOLUTION, &[9]);
        option(out, END_OF_OPTIONS, &[]);
    });
}

/// What is to be known about a packet beside its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct About<'a> {
    /// Nanoseconds since the epoch of Unix.
    pub(super) time: u64,
    pub(super) direction: Direction,
    pub(super) comment: Option<&'a str>,
}

/// A packet, which `write` appends.
pub(super) fn packet(out: &mut Vec<u8>, about: About<'_>, write: impl FnOnce(&mut Vec<u8>)) {
    block(out, ENHANCED_PACKET, |out| {
        out.extend(0_u32.to_le_bytes());
        out.extend(((about.time >> 32) as u32).to_le_bytes());
        out.extend((about.time as u32).to_le_bytes());
        let lengths = out.len();
        out.extend([0; 8]);
        write(out);
        let length = ((out.len() - lengths - 8) as u32).to_le_bytes();
        out[lengths..lengths + 4].copy_from_slice(&length);
        out[lengths + 4..lengths + 8].copy_from_slice(&length);
        pad(out, lengths);
        if let Some(comment) = about.comment {
            text_option(out, COMMENT, comment);
        }
        let flags: u32 = match about.direction {
            Direction::Received => 1,
            Direction::Sent => 2,
        };
        option(out, PACKET_FLAGS, &flags.to_le_bytes());
        option(out, END_OF_OPTIONS, &[]);
    });
}

/// The secrets of TLS connections whose packets follow, in lines of the NSS key log format.
pub(super) fn secrets(out: &mut Vec<u8>, key_log: &[u8]) {
    block(out, DECRYPTION_SECRETS, |out| {
        out.extend(TLS_KEY_LOG.to_le_bytes());
        out.extend((key_log.len() as u32).to_le_bytes());
        let start = out.len();
        out.extend_from_slice(key_log);
        pad(out, start);
    });
}

/// A block with its length before and after what `write` appends (section 3.1).
fn block(out: &mut Vec<u8>, kind: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(kind.to_le_bytes());
    out.extend([0; 4]);
    write(out);
    let length = ((out.len() - start + 4) as u32).to_le_bytes();
    out[start + 4..start + 8].copy_from_slice(&length);
    out.extend(length);
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend(code.to_le_bytes());
    out.extend((value.len() as u16).to_le_bytes());
    let start = out.len();
    out.extend_from_slice(value);
    pad(out, start);
}

/// Text is cut off where an option cannot hold more.
fn text_option(out: &mut Vec<u8>, code: u16, text: &str) {
    let end = text.floor_char_boundary(usize::from(u16::MAX));
    option(out, code, &text.as_bytes()[..end]);
}

/// Fills up to 32 bits what began at `start`.
fn pad(out: &mut Vec<u8>, start: usize) {
    let padded = start + (out.len() - start).next_multiple_of(4);
    out.resize(padded, 0);
}
