//! What profiles say: parsed strictly (a value that would be rounded or clipped is refused) and
//! printed exactly, so that parsing what was printed gives the same number.

use std::fmt;

use bytesize::{GIB, KIB, MIB, TIB, Unit};

/// Why a text is not a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnitError {
    /// Not a number of bytes or of a unit of them.
    NotASize,
    /// Not a number with a unit of time.
    NotADuration,
    /// A size, but not a whole number of bytes.
    NotWholeBytes,
    /// A duration, but not a whole number of microseconds.
    NotWholeMicroseconds,
    /// Not a number of records a second.
    NotARate,
    /// Understood, but larger than can be stored (2^64 - 1 bytes or nanoseconds).
    TooLarge,
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotASize => "not a size such as 64KiB, 4kB or 512 (bytes)",
            Self::NotADuration => "not a duration such as 100us, 1.5ms, 10s or 5min",
            Self::NotWholeBytes => "not a whole number of bytes",
            Self::NotWholeMicroseconds => "not a whole number of microseconds",
            Self::NotARate => "not a rate such as 5000/s or 0.5/s",
            Self::TooLarge => "too large",
        })
    }
}

impl std::error::Error for UnitError {}

/// Parses a byte size: `"64KiB"` (binary), `"4kB"` (decimal), `"100"` (bytes).
///
/// # Errors
/// When it is not a number with a known unit, not a whole number of bytes, or over 2^64 - 1.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, UnitError> {
    let text = text.trim();
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(number_end);
    let unit = match suffix.trim_start() {
        "" => Unit::Byte,
        suffix => suffix.parse().map_err(|_| UnitError::NotASize)?,
    };
    exact_multiple(number, unit * 1)
}

/// `number` (decimal digits with an optional fraction) times `bytes_per_unit`, without rounding:
/// `bytesize` itself cuts "0.3B" to 0 and clips "99999999EiB" to the largest number.
fn exact_multiple(number: &str, bytes_per_unit: u64) -> Result<u64, UnitError> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return Err(UnitError::NotASize);
    }
    let fraction = fraction.trim_end_matches('0');
    let divisor = u32::try_from(fraction.len())
        .ok()
        .and_then(|digits| 10u128.checked_pow(digits))
        .ok_or(UnitError::NotWholeBytes)?;
    let scaled = format!("{whole}{fraction}")
        .parse::<u128>()
        .ok()
        .and_then(|digits| digits.checked_mul(u128::from(bytes_per_unit)))
        .ok_or(UnitError::TooLarge)?;
    if scaled % divisor != 0 {
        return Err(UnitError::NotWholeBytes);
    }
    u64::try_from(scaled / divisor).map_err(|_| UnitError::TooLarge)
}

/// Prints a byte size exactly, in the largest binary unit that divides it: `64KiB`, `1500B`.
pub(crate) fn format_bytes(bytes: u64) -> String {
    for (unit_bytes, name) in [(TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")] {
        if bytes > 0 && bytes.is_multiple_of(unit_bytes) {
            return format!("{}{name}", bytes / unit_bytes);
        }
    }
    format!("{bytes}B")
}

/// Parses a duration into microseconds: `"100us"`, `"1.5ms"`, `"10s"`, `"5min"`, `"1h 30min"`, `"0"`.
///
/// # Errors
/// When it is not a number with a unit (only 0 may go without), not a whole number of
/// microseconds, or over 2^64 - 1 nanoseconds, some 584 years.
pub(crate) fn parse_duration_us(text: &str) -> Result<u64, UnitError> {
    let text = text.trim();
    if text == "0" {
        return Ok(0);
    }
    let duration = humantime::parse_duration(text).map_err(|error| match error {
        humantime::DurationError::NumberOverflow => UnitError::TooLarge,
        _ => UnitError::NotADuration,
    })?;
    if !duration.subsec_nanos().is_multiple_of(1_000) {
        return Err(UnitError::NotWholeMicroseconds);
    }
    // `humantime` adds up seconds beyond what it takes as one number; what is printed here is one.
    let within = u64::try_from(duration.as_nanos()).is_ok();
    let duration_us = u64::try_from(duration.as_micros()).ok().filter(|_| within);
    duration_us.ok_or(UnitError::TooLarge)
}

/// Units a duration is printed in, largest first.
const DURATION_UNITS: [(u64, &str); 4] =
    [(3_600_000_000, "h"), (60_000_000, "min"), (1_000_000, "s"), (1_000, "ms")];

/// Prints a duration exactly, in the largest of h, min, s, ms, us that divides it: `100us`, `90s`.
pub(crate) fn format_duration_us(duration_us: u64) -> String {
    for (unit_us, name) in DURATION_UNITS {
        if duration_us > 0 && duration_us.is_multiple_of(unit_us) {
            return format!("{}{name}", duration_us / unit_us);
        }
    }
    format!("{duration_us}us")
}

/// Parses a rate: `"5000/s"`, `"0.5/s"`.
///
/// # Errors
/// When it is not a number of plain digits, perhaps with a fraction, with `/s` behind it.
pub(crate) fn parse_rate(text: &str) -> Result<f64, UnitError> {
    let number = text.trim().strip_suffix("/s").map(str::trim).ok_or(UnitError::NotARate)?;
    let is_plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let rate: f64 = number.parse().ok().filter(|_| is_plain).ok_or(UnitError::NotARate)?;
    if rate.is_finite() { Ok(rate) } else { Err(UnitError::TooLarge) }
}

/// Prints a rate exactly, as profiles write it: `5000/s`.
pub(crate) fn format_exact_rate(rate_per_second: f64) -> String {
    format!("{rate_per_second}/s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_sizes_are_read_in_binary_decimal_and_bare_form() {
        for (text, bytes) in [
            ("0", 0),
            ("100", 100),
            ("512B", 512),
            ("4kB", 4_000),
            ("4KiB", 4_096),
            ("64 KiB", 65_536),
            ("1.5KiB", 1_536),
            ("16MiB", 16 << 20),
            ("1TiB", 1 << 40),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn byte_sizes_that_would_be_rounded_or_clipped_are_refused() {
        let not_whole = Err(UnitError::NotWholeBytes);
        for text in ["0.3B", "1.5", "0.0005kB", "1.0001KiB"] {
            assert_eq!(parse_bytes(text), not_whole, "{text}");
        }
        let tiny = format!("0.{}1KiB", "0".repeat(5_000));
        assert_eq!(parse_bytes(&tiny), not_whole);
        let huge = "9".repeat(5_000);
        for text in ["16EiB", "18446744073709551616", huge.as_str()] {
            assert_eq!(parse_bytes(text), Err(UnitError::TooLarge));
        }
    }

    #[test]
    fn texts_that_are_no_size_are_refused() {
        for text in [
            "",
            " ",
            "KiB",
            "-1",
            "+1",
            "1e3",
            ".5KiB",
            "1.KiB",
            "1.2.3KiB",
            "4 KiB 4",
            "4Kib8",
            "१KiB",
            "4\u{0}KiB",
            "0x10",
            "NaN",
            "inf",
        ] {
            assert_eq!(parse_bytes(text), Err(UnitError::NotASize), "{text:?}");
        }
    }

    #[test]
    fn durations_are_read_with_a_unit_and_zero_without() {
        for (text, us) in [
            ("0", 0),
            ("0us", 0),
            ("100us", 100),
            ("100µs", 100),
            ("1.5ms", 1_500),
            ("120ms", 120_000),
            ("10s", 10_000_000),
            ("5min", 300_000_000),
            ("1h 30min", 5_400_000_000),
        ] {
            assert_eq!(parse_duration_us(text), Ok(us), "{text}");
        }
    }

    #[test]
    fn durations_without_unit_below_a_microsecond_or_too_long_are_refused() {
        for text in ["", "100", "us", "-1s", "1 fortnight", "1s!", "\u{0}"] {
            let found = parse_duration_us(text);
            assert_eq!(found, Err(UnitError::NotADuration), "{text:?}");
        }
        for text in ["1ns", "1.5us", "1s 1ns"] {
            let expected = Err(UnitError::NotWholeMicroseconds);
            assert_eq!(parse_duration_us(text), expected, "{text}");
        }
        for text in [
            "18446744073709551615s",
            "99999999999999999999s",
            "18446744073709551615s 18446744073709551615s",
        ] {
            assert_eq!(parse_duration_us(text), Err(UnitError::TooLarge), "{text}");
        }
    }

    #[test]
    fn what_is_printed_exactly_parses_to_the_same_number() {
        for bytes in [0, 1, 512, 1_000, 1_536, 4_096, 65_536, 1 << 20, 3 << 30, 1 << 40, u64::MAX] {
            assert_eq!(parse_bytes(&format_bytes(bytes)), Ok(bytes));
        }
        for us in [0, 1, 100, 1_500, 2_000, 90_000_000, 120_000_000, 3_600_000_000] {
            assert_eq!(parse_duration_us(&format_duration_us(us)), Ok(us));
        }
        assert_eq!(format_bytes(65_536), "64KiB");
        assert_eq!(format_bytes(1_500), "1500B");
        assert_eq!(format_duration_us(0), "0us");
        assert_eq!(format_duration_us(1_500), "1500us");
        assert_eq!(format_duration_us(90_000_000), "90s");
    }
}
