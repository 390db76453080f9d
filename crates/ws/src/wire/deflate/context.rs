//! Compressing and decompressing messages (RFC 7692 section 7.2).

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::Parameters;
use crate::wire::{Limits, Role, Violation};

/// What ends each block that is flushed, and is left out (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// How much is made room for at once.
const CHUNK: usize = 8 * 1024;
/// A message may become this large whatever it was before.
const INFLATED_FREE: usize = 1 << 20;
/// The smallest window that zlib can fill.
const WINDOW_BITS_MIN: u8 = 9;
/// How much memory a thread keeps for the output of compression.
const KEPT: usize = 256 * 1024;

thread_local! {
    /// The contexts that connections without one of their own use in turn.
    static COMPRESS: RefCell<Option<(Shape, Compress)>> = const { RefCell::new(None) };
    static DECOMPRESS: RefCell<Option<(u8, Decompress)>> = const { RefCell::new(None) };
    static COMPRESSED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What a context for compression is made for: level and window.
type Shape = (u32, u8);

/// Compresses what we send.
#[derive(Debug)]
pub(crate) struct Deflater {
    shape: Shape,
    threshold: usize,
    /// Whether a message may refer to earlier ones.
    takes_over: bool,
    context: Option<Compress>,
}

impl Deflater {
    pub(crate) fn new(role: Role, parameters: &Parameters) -> Self {
        let (bits, no_takeover) = parameters.of_sender(role);
        Self {
            shape: (parameters.level.min(9), bits),
            threshold: parameters.threshold,
            takes_over: !no_takeover,
            context: None,
        }
    }

    /// For a single message.
    pub(crate) const fn alone(level: u32, bits: u8) -> Self {
        Self { shape: (level, bits), threshold: 0, takes_over: false, context: None }
    }

    /// Level and window.
    pub(crate) const fn shape(&self) -> Shape {
        self.shape
    }

    /// Whether a payload of this length is to be compressed. An empty one need not be, and zlib can
    /// make no window of 8 bits.
    pub(crate) const fn wants(&self, length: usize) -> bool {
        length > 0 && length >= self.threshold && self.shape.1 >= WINDOW_BITS_MIN
    }

    /// Hands the compressed `payload` to `then`.
    pub(crate) fn deflate<T>(&mut self, payload: &[u8], then: impl FnOnce(&[u8]) -> T) -> T {
        let mut context = match self.context.take() {
            Some(context) => context,
            None => borrow_compress(self.shape, self.takes_over),
        };
        let result = COMPRESSED.with_borrow_mut(|compressed| {
            compressed.clear();
            deflate(&mut context, payload, compressed);
            let result = then(compressed.strip_suffix(&TAIL).unwrap_or(compressed));
            compressed.shrink_to(KEPT);
            result
        });
        if self.takes_over {
            self.context = Some(context);
        } else {
            context.reset();
            COMPRESS.set(Some((self.shape, context)));
        }
        result
    }

    /// The peer gets a message that was compressed elsewhere: what we send may refer to nothing
    /// before it.
    pub(crate) fn forget(&mut self) {
        if let Some(context) = &mut self.context {
            context.reset();
        }
    }
}

/// A context that is as good as new.
fn borrow_compress(shape: Shape, for_good: bool) -> Compress {
    let kept = if for_good { None } else { COMPRESS.take() };
    match kept {
        Some((kept, context)) if kept == shape => context,
        _ => Compress::new_with_window_bits(Compression::new(shape.0), false, shape.1),
    }
}

fn deflate(context: &mut Compress, mut payload: &[u8], output: &mut Vec<u8>) {
    loop {
        output.reserve(CHUNK);
        let before = context.total_in();
        // It fails where there is nothing left to do.
        let status = context.compress_vec(payload, output, FlushCompress::Sync);
        let consumed = usize::try_from(context.total_in() - before).unwrap_or(payload.len());
        payload = &payload[consumed..];
        let has_room = output.len() < output.capacity();
        if payload.is_empty() && has_room || !matches!(status, Ok(Status::Ok)) {
            return;
        }
    }
}

/// Decompresses what the peer sends.
#[derive(Debug)]
pub(crate) struct Inflater {
    window_bits: u8,
    /// Whether a message may refer to earlier ones.
    takes_over: bool,
    context: Option<Decompress>,
}

impl Inflater {
    pub(crate) fn new(role: Role, parameters: &Parameters) -> Self {
        let sender = match role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        };
        let (bits, no_takeover) = parameters.of_sender(sender);
        let window_bits = bits.max(WINDOW_BITS_MIN);
        Self { window_bits, takes_over: !no_takeover, context: None }
    }

    /// Puts what `piece` holds at the end of `output`. All in all, `received` bytes came for this
    /// message.
    pub(crate) fn inflate(
        &mut self,
        mut piece: &[u8],
        output: &mut Vec<u8>,
        received: usize,
        limits: &Limits,
    ) -> Result<(), Violation> {
        let context = self.context.get_or_insert_with(|| borrow_decompress(self.window_bits));
        loop {
            // One byte beyond the limit shows that it is exceeded.
            let allowed = (limits.max_message - output.len()).saturating_add(1);
            let room = CHUNK.max(output.len()).min(allowed);
            output.reserve_exact(room);
            let (before_in, before_out) = (context.total_in(), context.total_out());
            let status = context.decompress_vec(piece, output, FlushDecompress::Sync);
            let status = status.map_err(|_| Violation::Deflate)?;
            let consumed = usize::try_from(context.total_in() - before_in).unwrap_or(piece.len());
            let is_stuck = consumed == 0 && context.total_out() == before_out;
            piece = &piece[consumed..];
            check_size(output.len(), received, limits)?;
            if status == Status::StreamEnd {
                // The peer ended a stream with this block and begins another (section 7.2.3.4).
                context.reset(false);
            }
            if piece.is_empty() && output.len() < output.capacity() {
                return Ok(());
            }
            if is_stuck && status != Status::StreamEnd {
                return if piece.is_empty() { Ok(()) } else { Err(Violation::Deflate) };
            }
        }
    }

    /// Ends a message.
    pub(crate) fn finish(
        &mut self,
        output: &mut Vec<u8>,
        received: usize,
        limits: &Limits,
    ) -> Result<(), Violation> {
        self.inflate(&TAIL, output, received, limits)?;
        if !self.takes_over
            && let Some(mut context) = self.context.take()
        {
            context.reset(false);
            DECOMPRESS.set(Some((self.window_bits, context)));
        }
        Ok(())
    }
}

fn borrow_decompress(window_bits: u8) -> Decompress {
    match DECOMPRESS.take() {
        Some((kept, context)) if kept == window_bits => context,
        _ => Decompress::new_with_window_bits(false, window_bits),
    }
}

fn check_size(inflated: usize, received: usize, limits: &Limits) -> Result<(), Violation> {
    if inflated > limits.max_message {
        return Err(Violation::MessageTooLarge(limits.max_message));
    }
    let ratio = usize::try_from(limits.max_ratio).unwrap_or(usize::MAX);
    if inflated > INFLATED_FREE && inflated > received.saturating_mul(ratio) {
        return Err(Violation::Bomb(limits.max_ratio));
    }
    Ok(())
}
