//! The tester's own framing: as simple as can be, and not ours.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::{Case, End, Expect, Send};

/// Builds what a case sends, and judges what came back.
pub(crate) struct Tester {
    is_client: bool,
    takes_over: bool,
    compress: Compress,
    /// The peer may refer to earlier messages, or not: both can be read like this.
    decompress: Decompress,
    is_compressed: bool,
    /// The message of which not all fragments came.
    partial: Option<(bool, bool, Vec<u8>)>,
    heard: Vec<Expect>,
    closed: Option<u16>,
}

impl Tester {
    /// A tester in this role.
    pub(crate) fn new(case: &Case, is_client: bool) -> Self {
        let sender = case.deflate.map(|deflate| match is_client {
            true => deflate.client,
            false => deflate.server,
        });
        let bits = sender.map_or(15, |sender| sender.window_bits);
        Self {
            is_client,
            takes_over: sender.is_some_and(|sender| sender.takes_over),
            compress: Compress::new_with_window_bits(Compression::default(), false, bits),
            decompress: Decompress::new(false),
            is_compressed: case.deflate.is_some(),
            partial: None,
            heard: Vec::new(),
            closed: None,
        }
    }

    /// All that the case sends.
    pub(crate) fn bytes(&mut self, case: &Case) -> Vec<u8> {
        let mut bytes = Vec::new();
        for send in &case.sends {
            match send {
                Send::Frame { first, payload } => self.frame(*first, payload, &mut bytes),
                Send::Compressed { is_text, payload, fragment } => {
                    let compressed = self.deflate(payload);
                    let mut parts = compressed.chunks(*fragment).peekable();
                    let mut first = 0x40 | if *is_text { 1 } else { 2 };
                    while let Some(part) = parts.next() {
                        let fin = if parts.peek().is_none() { 0x80 } else { 0 };
                        self.frame(first | fin, part, &mut bytes);
                        first = 0;
                    }
                }
            }
        }
        if case.end == End::Open {
            self.frame(0x88, &1000_u16.to_be_bytes(), &mut bytes);
        }
        bytes
    }

    fn frame(&self, first: u8, payload: &[u8], bytes: &mut Vec<u8>) {
        let masked = if self.is_client { 0x80 } else { 0 };
        bytes.push(first);
        match payload.len() {
            length @ ..126 => bytes.push(masked | length as u8),
            length @ ..0x1_0000 => {
                bytes.push(masked | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(masked | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        let key = if self.is_client { [0x37, 0xfa, 0x21, 0x3d] } else { [0; 4] };
        if self.is_client {
            bytes.extend(key);
        }
        bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    }

    fn deflate(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut compressed = Vec::with_capacity(payload.len() * 2 + 64);
        if !self.takes_over {
            self.compress.reset();
        }
        self.compress.compress_vec(payload, &mut compressed, FlushCompress::Sync).unwrap();
        compressed.truncate(compressed.len() - 4);
        compressed
    }

    fn inflate(&mut self, mut compressed: Vec<u8>) -> Vec<u8> {
        compressed.extend([0, 0, 0xff, 0xff]);
        let mut payload = Vec::with_capacity(256 << 10);
        let status =
            self.decompress.decompress_vec(&compressed, &mut payload, FlushDecompress::Sync);
        status.expect("what the peer compressed can be decompressed");
        payload
    }

    /// Takes in what came, whole frames of it, and gives how much that was.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while let Some((first, payload, after)) = self.split_frame(rest) {
            self.hear_frame(first, payload);
            rest = after;
        }
        bytes.len() - rest.len()
    }

    fn split_frame<'a>(&self, bytes: &'a [u8]) -> Option<(u8, Vec<u8>, &'a [u8])> {
        let (&[first, second], rest) = bytes.split_first_chunk()?;
        assert_eq!(second & 0x80 != 0, !self.is_client, "a client masks, a server does not");
        let (length, rest) = match second & 0x7f {
            126 => {
                let (length, rest) = rest.split_first_chunk()?;
                (usize::from(u16::from_be_bytes(*length)), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from_be_bytes(*length) as usize, rest)
            }
            length => (usize::from(length), rest),
        };
        let (key, rest) = match self.is_client {
            true => (&[0; 4], rest),
            false => rest.split_first_chunk()?,
        };
        let (payload, rest) = rest.split_at_checked(length)?;
        let payload = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key);
        Some((first, payload.collect(), rest))
    }

    fn hear_frame(&mut self, first: u8, payload: Vec<u8>) {
        assert_eq!(self.closed, None, "nothing comes after a close frame");
        assert!(first & 0x30 == 0 && (first & 0x40 == 0 || self.is_compressed), "reserved bits");
        match first & 0x0f {
            8 if payload.is_empty() => self.closed = Some(1005),
            8 => self.closed = Some(u16::from_be_bytes([payload[0], payload[1]])),
            9 => {}
            10 => self.heard.push(Expect::Pong(payload)),
            opcode @ 0..=2 => {
                let (is_text, is_compressed, mut bytes) = match self.partial.take() {
                    Some(partial) => partial,
                    None => (opcode == 1, first & 0x40 != 0, Vec::new()),
                };
                bytes.extend(payload);
                if first & 0x80 == 0 {
                    self.partial = Some((is_text, is_compressed, bytes));
                    return;
                }
                let payload = if is_compressed { self.inflate(bytes) } else { bytes };
                self.heard.push(Expect::Message { is_text, payload });
            }
            opcode => panic!("the reserved opcode {opcode}"),
        }
    }

    /// What came so far.
    pub(crate) fn heard(&self) -> &[Expect] {
        &self.heard
    }

    /// Whether the peer has closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// Whether what came is what must come.
    pub(crate) fn judge(&self, case: &Case) -> Result<(), String> {
        let mut heard = self.heard.iter().peekable();
        let mut expects = case.expects.iter().peekable();
        while let Some(expect) = expects.next() {
            if heard.next_if_eq(&expect).is_some() {
                continue;
            }
            let is_optional = matches!(expect, Expect::Pong(_))
                && matches!(expects.peek(), Some(Expect::Pong(_)));
            // A peer that fails may do so before it has answered.
            if !is_optional && !matches!(case.end, End::Fails(_)) {
                let got = heard.peek().map_or("nothing".to_owned(), |got| short(got));
                return Err(format!("{}: {} was due, and {got} came", case.id, short(expect)));
            }
        }
        if let Some(more) = heard.next() {
            return Err(format!("{}: {} came, and was not due", case.id, short(more)));
        }
        let code = match case.end {
            End::Open => 1000,
            End::Answered(code) | End::Fails(code) => code,
        };
        match self.closed {
            Some(closed) if closed == code => Ok(()),
            closed => Err(format!("{}: closed with {closed:?} instead of {code}", case.id)),
        }
    }
}

fn short(expect: &Expect) -> String {
    match expect {
        Expect::Message { is_text, payload } => {
            let kind = if *is_text { "text" } else { "binary" };
            format!("a {kind} message of {} bytes", payload.len())
        }
        Expect::Pong(payload) => format!("the pong {payload:?}"),
    }
}
