//! Which bytes a request asks for (`Range`, RFC 9110 section 14).

use std::ops::Range;

/// More ranges than this in one request serve only to do harm (RFC 9110 section 17.15).
const RANGES_MAX: usize = 64;

/// The part of a file that is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// All of it: no bytes are asked for, or not in a way that can be read, or more of them than
    /// there are.
    Whole,
    /// These, in the order of the request; none is empty, and all are in the file.
    Parts(Vec<Range<u64>>),
    /// None of what is asked for is in the file: 416.
    Unsatisfiable,
}

impl Ranges {
    /// Reads the value of `Range` for a file of `size` bytes.
    ///
    /// ```
    /// use portolan_http::Ranges;
    ///
    /// assert_eq!(Ranges::parse(b"bytes=0-1,-3", 10), Ranges::Parts(vec![0..2, 7..10]));
    /// assert_eq!(Ranges::parse(b"bytes=10-", 10), Ranges::Unsatisfiable);
    /// assert_eq!(Ranges::parse(b"lines=1-2", 10), Ranges::Whole);
    /// ```
    #[must_use]
    pub fn parse(field: &[u8], size: u64) -> Self {
        let Some(specs) = specs(field) else { return Self::Whole };
        let mut parts = Vec::new();
        for spec in specs {
            let Some(range) = range(spec, size) else { return Self::Whole };
            parts.extend(range);
            if parts.len() > RANGES_MAX {
                return Self::Whole;
            }
        }
        let mut lengths = parts.iter().map(|part| part.end - part.start);
        let total = lengths.try_fold(0_u64, u64::checked_add);
        match parts.len() {
            0 => Self::Unsatisfiable,
            1 => Self::Parts(parts),
            _ if total.is_some_and(|total| total <= size) => Self::Parts(parts),
            // They overlap.
            _ => Self::Whole,
        }
    }
}

/// The members of the list after `bytes=`; empty ones do not count (RFC 9110 section 5.6.1.2).
fn specs(field: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let (unit, list) = field.split_at_checked(6)?;
    let specs = || list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let is_list = unit.eq_ignore_ascii_case(b"bytes=") && specs().any(|spec| !spec.is_empty());
    is_list.then(|| specs().filter(|spec| !spec.is_empty()))
}

/// One range: `None` where it cannot be read, and `Some(None)` where it is not in the file.
#[expect(clippy::option_option, reason = "they are two reasons for no range")]
fn range(spec: &[u8], size: u64) -> Option<Option<Range<u64>>> {
    let dash = spec.iter().position(|byte| *byte == b'-')?;
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    let range = match (first, last) {
        (b"", b"") => return None,
        (b"", suffix) => size.saturating_sub(number(suffix)?)..size,
        (first, b"") => number(first)?..size,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(size)
        }
    };
    Some(Some(range).filter(|range| !range.is_empty()))
}

/// A number; one that is too large for us is as good as the largest.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let push =
        |number: u64, digit: &u8| number.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(digits.iter().fold(0, push))
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "it is one range")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_are_read_for_a_size() {
        for (field, parts) in [
            ("bytes=0-0", vec![0..1]),
            ("bytes=0-9", vec![0..10]),
            ("bytes=0-99", vec![0..10]),
            ("bytes=3-", vec![3..10]),
            ("bytes=-3", vec![7..10]),
            ("bytes=-99", vec![0..10]),
            ("BYTES=1-1", vec![1..2]),
            ("bytes= 1-1 ,, 3-3,", vec![1..2, 3..4]),
            ("bytes=5-6,0-1", vec![5..7, 0..2]),
            ("bytes=0-1,99-", vec![0..2]),
            ("bytes=1-18446744073709551616", vec![1..10]),
            ("bytes=-99999999999999999999999999", vec![0..10]),
        ] {
            assert_eq!(Ranges::parse(field.as_bytes(), 10), Ranges::Parts(parts), "{field}");
        }
    }

    #[test]
    fn what_is_not_in_the_file_cannot_be_had() {
        for field in
            ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99999999999999999999-", "bytes=10-,-0"]
        {
            assert_eq!(Ranges::parse(field.as_bytes(), 10), Ranges::Unsatisfiable, "{field}");
        }
        assert_eq!(Ranges::parse(b"bytes=0-", 0), Ranges::Unsatisfiable);
        assert_eq!(Ranges::parse(b"bytes=-5", 0), Ranges::Unsatisfiable);
    }

    #[test]
    fn what_cannot_be_read_or_asks_for_too_much_is_ignored() {
        let many = format!("bytes={}", "0-0,".repeat(65));
        for field in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=2-1",
            "bytes=1-2-3",
            "bytes=+1-2",
            "bytes=1 -2",
            "bytes=0x1-2",
            "bytes=0-1;2-3",
            "bytes=0-1,x",
            "items=0-1",
            "bytes=0-,0-",
            "bytes=0-5,5-9",
            &many,
        ] {
            assert_eq!(Ranges::parse(field.as_bytes(), 10), Ranges::Whole, "{field}");
        }
    }

    proptest! {
        #[test]
        fn parts_are_in_the_file(
            field in "bytes=([0-9]{0,3}-[0-9]{0,3},? ?){0,5}|\\PC{0,20}",
            size in 0..200_u64,
        ) {
            if let Ranges::Parts(parts) = Ranges::parse(field.as_bytes(), size) {
                prop_assert!(!parts.is_empty() && parts.len() <= RANGES_MAX);
                prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= size));
                prop_assert!(parts.iter().map(|part| part.end - part.start).sum::<u64>() <= size);
            }
        }

        #[test]
        fn a_range_is_found_again(size in 1..u64::MAX, a in any::<u64>(), b in any::<u64>()) {
            let (first, last) = ((a % size).min(b % size), (a % size).max(b % size));
            let field = format!("bytes={first}-{last}");
            let parts = Ranges::Parts([first..last + 1].into());
            prop_assert_eq!(Ranges::parse(field.as_bytes(), size), parts);
        }
    }
}
