//! UTF-8 that is checked as it arrives.

use super::Violation;

/// Checks `bytes`, of which the first `checked` are known to be UTF-8 already, and gives how many
/// are now: all but what may be the beginning of a character.
pub(crate) fn check(bytes: &[u8], checked: usize) -> Result<usize, Violation> {
    match simdutf8::compat::from_utf8(&bytes[checked..]) {
        Ok(_) => Ok(bytes.len()),
        Err(error) if error.error_len().is_none() => Ok(checked + error.valid_up_to()),
        Err(_) => Err(Violation::Utf8),
    }
}

/// The same for bytes that are all there is.
pub(crate) fn check_whole(bytes: &[u8], checked: usize) -> Result<(), Violation> {
    simdutf8::basic::from_utf8(&bytes[checked..]).map(drop).map_err(|_| Violation::Utf8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_are_judged_like_the_whole(
            bytes in prop_oneof![any::<Vec<u8>>(), any::<String>().prop_map(String::into_bytes)],
            size in 1_usize..5,
        ) {
            let mut checked = 0;
            let mut good = true;
            for end in (0..=bytes.len()).step_by(size).chain([bytes.len()]) {
                match check(&bytes[..end], checked) {
                    Ok(now) => checked = now,
                    Err(_) => { good = false; break }
                }
            }
            let good = good && check_whole(&bytes, checked).is_ok();
            prop_assert_eq!(good, std::str::from_utf8(&bytes).is_ok());
        }
    }

    #[test]
    fn it_fails_with_the_first_byte_that_cannot_follow() {
        // A surrogate, a number beyond Unicode, an overlong slash.
        for bytes in [&b"\xed\xa0"[..], b"\xf4\x90", b"\xc0", b"\xe0\x80", b"\xff"] {
            assert_eq!(check(bytes, 0), Err(Violation::Utf8));
        }
        assert_eq!(check(b"a\xe2\x82", 0), Ok(1));
    }
}
