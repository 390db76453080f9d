//! Durations, sizes and rates as people write them: `250ms`, `64KiB`, `500/s`.

use std::time::Duration;

/// Why a text is not a duration, a size or a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a duration.
    #[error("not a duration such as 250ms, 10s or 2m")]
    Duration,
    /// Not a size.
    #[error("not a size such as 512, 64KiB or 10MB")]
    Size,
    /// Not a rate of bytes.
    #[error("not a rate such as 64KiB/s")]
    ByteRate,
}

/// Reads a duration: a number and a unit (`us`, `ms`, `s`, `m`, `h`, `d`), or several of them.
///
/// # Errors
/// [`UnitError::Duration`]; a number without a unit is one too, but for `0`.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(portolan_core::units::duration("1m30s"), Ok(Duration::from_secs(90)));
/// ```
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    humantime::parse_duration(text).map_err(|_| UnitError::Duration)
}

/// Reads a size in bytes: a number alone, or with `KB`, `MB`, `GB` (powers of 1000) or `KiB`,
/// `MiB`, `GiB` (powers of 1024).
///
/// # Errors
/// [`UnitError::Size`].
///
/// ```
/// assert_eq!(portolan_core::units::size("64KiB"), Ok(65536));
/// ```
pub fn size(text: &str) -> Result<u64, UnitError> {
    let size: bytesize::ByteSize = text.parse().map_err(|_| UnitError::Size)?;
    Ok(size.as_u64())
}

/// Reads a rate in bytes a second: a size, then `/s`.
///
/// # Errors
/// [`UnitError::ByteRate`], also for a rate of zero.
pub fn byte_rate(text: &str) -> Result<u64, UnitError> {
    match text.strip_suffix("/s").map(size) {
        Some(Ok(rate)) if rate > 0 => Ok(rate),
        _ => Err(UnitError::ByteRate),
    }
}

/// Prints a size for people, in the units of 1024: `512 B`, `1.5 KiB`.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    bytesize::ByteSize::b(bytes).display().iec().to_string()
}

/// Prints a duration for people, in the unit that fits, to about three digits: `82 µs`,
/// `3.25 ms`, `1.50 s`, `2 min`.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let three_digits = |number: f64, unit: &str| match number {
        n if n.fract() == 0.0 || n >= 99.95 => format!("{n:.0} {unit}"),
        n if n >= 9.995 => format!("{n:.1} {unit}"),
        n => format!("{n:.2} {unit}"),
    };
    if seconds < 0.000_999_5 {
        format!("{:.0} µs", seconds * 1e6)
    } else if seconds < 0.999_5 {
        three_digits(seconds * 1e3, "ms")
    } else if seconds < 120.0 {
        three_digits(seconds, "s")
    } else {
        three_digits(seconds / 60.0, "min")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "10", "s", "-1s", "1 fortnight"] {
            assert_eq!(duration(bad), Err(UnitError::Duration), "{bad}");
        }
    }

    #[test]
    fn sizes_and_rates() {
        assert_eq!(size("512"), Ok(512));
        assert_eq!(size("10MB"), Ok(10_000_000));
        assert_eq!([0, 512, 1536].map(show_size), ["0 B", "512 B", "1.5 KiB"]);
        assert_eq!(size("ten"), Err(UnitError::Size));
        assert_eq!(byte_rate("64KiB/s"), Ok(65536));
        for bad in ["64KiB", "0/s", "/s", "1/m"] {
            assert_eq!(byte_rate(bad), Err(UnitError::ByteRate), "{bad}");
        }
    }

    #[test]
    fn durations_are_shown_to_three_digits() {
        let shown = |micros| show_duration(Duration::from_micros(micros));
        assert_eq!(shown(82), "82 µs");
        assert_eq!(shown(3_251), "3.25 ms");
        assert_eq!(shown(250_000), "250 ms");
        assert_eq!(shown(1_500_000), "1.50 s");
        assert_eq!(shown(10_000_000), "10 s");
        assert_eq!(shown(300_000_000), "5 min");
    }
}
