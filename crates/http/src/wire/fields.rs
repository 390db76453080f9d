//! Header fields, where they lie.

use std::mem::MaybeUninit;

/// A header field: its name as it was sent, and its value without the white space around it.
pub(crate) type Field<'b> = httparse::Header<'b>;

const ROOM: usize = 256;

/// Room for the fields of a head, on the stack: a head borrows it. It holds 256 of them, whatever
/// the limit.
pub struct Fields<'b>(pub(super) [MaybeUninit<Field<'b>>; ROOM]);

impl Fields<'_> {
    /// How many there is room for.
    pub(super) const MAX: usize = ROOM;

    /// Room that is empty, which costs nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; ROOM])
    }
}

impl Default for Fields<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Fields").finish_non_exhaustive()
    }
}

/// The members of a field that is a list (RFC 9110 section 5.6.1). None of these lists has quoted
/// strings.
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}
