//! Quantities as people write and read them: byte sizes, durations, rates, ratios.
//!
//! What profiles say is parsed strictly (a value that would be rounded or clipped is refused) and
//! printed exactly, so that parsing what was printed gives the same number. What reports say is
//! rounded to about three digits, the most that a measurement here ever supports.

use std::fmt;

use bytesize::{GIB, KIB, MIB, TIB, Unit};

use crate::store::schema::Estimate;

/// What reports print for a value that is not a number.
const NOT_AVAILABLE: &str = "n/a";

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

/// Prints a span of time roughly, as one says how long something takes: `120 ms`, `42 s`, `39 min`, `35.9 h`.
pub(crate) fn format_seconds(seconds: f64) -> String {
    if !seconds.is_finite() {
        return NOT_AVAILABLE.to_string();
    }
    match seconds {
        s if s < 0.9995 => format!("{:.0} ms", s * 1_000.0),
        s if s < 9.95 => format!("{s:.1} s"),
        s if s < 119.5 => format!("{s:.0} s"),
        s if s < 119.5 * 60.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3_600.0),
    }
}

/// A count with its thousands grouped.
pub(crate) fn format_count(count: u64) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}

/// Prints a rate: `23.4 k/s`.
pub(crate) fn format_rate(rate_per_second: f64) -> String {
    format_scaled(rate_per_second, RATE)
}

/// Prints a rate with its interval: `23.4 k/s [22.9, 23.8]`.
pub(crate) fn format_rate_estimate(rate_per_second: &Estimate) -> String {
    format_scaled_estimate(rate_per_second, RATE)
}

/// Prints a bandwidth in decimal units, as drives are sold: `2.31 GB/s`.
pub(crate) fn format_bytes_per_second(bytes_per_second: f64) -> String {
    format_scaled(bytes_per_second, BANDWIDTH)
}

/// Prints a rounded amount of data in decimal units, as drives' endurance is stated: `24.3 TB`.
pub(crate) fn format_data(bytes: f64) -> String {
    format_scaled(bytes, DATA)
}

/// Prints a latency: `61 µs`, `1.24 ms`.
pub(crate) fn format_us(latency_us: f64) -> String {
    format_scaled(latency_us, LATENCY)
}

/// Prints a latency with its interval: `1.24 ms [1.20, 1.31]`.
pub(crate) fn format_us_estimate(latency_us: &Estimate) -> String {
    format_scaled_estimate(latency_us, LATENCY)
}

/// Prints a share between 0 and 1: `3.1 %`.
pub(crate) fn format_share(share: f64) -> String {
    if !share.is_finite() {
        return NOT_AVAILABLE.to_string();
    }
    format!("{} %", unsigned_zero(format!("{:.1}", share * 100.0)))
}

/// Prints a ratio as the change it means: 1.042 is `+4.2 %`, 0.5 is `-50.0 %`, 1 is `0.0 %`.
pub(crate) fn format_change(ratio: f64) -> String {
    if !ratio.is_finite() {
        return NOT_AVAILABLE.to_string();
    }
    format!("{} %", signed_percent(ratio))
}

/// Prints a ratio and its interval as changes: `+4.2 % [+3.1, +5.0]`.
pub(crate) fn format_change_estimate(ratio: &Estimate) -> String {
    if ![ratio.value, ratio.low, ratio.high].iter().all(|v| v.is_finite()) {
        return NOT_AVAILABLE.to_string();
    }
    format!(
        "{} % [{}, {}]",
        signed_percent(ratio.value),
        signed_percent(ratio.low),
        signed_percent(ratio.high)
    )
}

fn signed_percent(ratio: f64) -> String {
    unsigned_zero(format!("{:+.1}", (ratio - 1.0) * 100.0))
}

/// A change that rounds to nothing has no direction.
fn unsigned_zero(text: String) -> String {
    match text.as_str() {
        "+0.0" | "-0.0" => "0.0".to_string(),
        _ => text,
    }
}

/// One step of a unit's ladder; the first step of each ladder has divisor 1.
struct Scale {
    divisor: f64,
    suffix: &'static str,
}

const fn scale(divisor: f64, suffix: &'static str) -> Scale {
    Scale { divisor, suffix }
}

const RATE: &[Scale] = &[scale(1.0, "/s"), scale(1e3, "k/s"), scale(1e6, "M/s"), scale(1e9, "G/s")];

const DATA: &[Scale] = &[
    scale(1.0, "B"),
    scale(1e3, "kB"),
    scale(1e6, "MB"),
    scale(1e9, "GB"),
    scale(1e12, "TB"),
    scale(1e15, "PB"),
];

const BANDWIDTH: &[Scale] = &[
    scale(1.0, "B/s"),
    scale(1e3, "kB/s"),
    scale(1e6, "MB/s"),
    scale(1e9, "GB/s"),
    scale(1e12, "TB/s"),
];

const LATENCY: &[Scale] = &[scale(1.0, "µs"), scale(1e3, "ms"), scale(1e6, "s")];

fn format_scaled(value: f64, ladder: &'static [Scale]) -> String {
    if !value.is_finite() {
        return NOT_AVAILABLE.to_string();
    }
    let Scale { divisor, suffix } = scale_for(value, ladder);
    let decimals = decimals_for(value, *divisor);
    format!("{:.decimals$} {suffix}", value / divisor)
}

/// The interval is printed in the value's own unit and precision, so that the three compare.
fn format_scaled_estimate(estimate: &Estimate, ladder: &'static [Scale]) -> String {
    let Estimate { value, low, high } = *estimate;
    if !(value.is_finite() && low.is_finite() && high.is_finite()) {
        return NOT_AVAILABLE.to_string();
    }
    let Scale { divisor, suffix } = scale_for(value, ladder);
    let decimals = decimals_for(value, *divisor);
    format!(
        "{:.decimals$} {suffix} [{:.decimals$}, {:.decimals$}]",
        value / divisor,
        low / divisor,
        high / divisor
    )
}

/// The first step on which the rounded value stays under 1000, else the last.
fn scale_for(value: f64, ladder: &'static [Scale]) -> &'static Scale {
    let last = &ladder[ladder.len() - 1];
    ladder.iter().find(|scale| value.abs() / scale.divisor < 999.5).unwrap_or(last)
}

/// Three digits, and no fraction of the smallest unit from 10 of them on.
fn decimals_for(value: f64, divisor: f64) -> usize {
    let shown = value.abs() / divisor;
    let is_smallest_unit = divisor <= 1.0;
    match shown {
        s if is_smallest_unit => usize::from(s < 9.95),
        s if s < 9.995 => 2,
        s if s < 99.95 => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(value: f64, low: f64, high: f64) -> Estimate {
        Estimate { value, low, high }
    }

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

    #[test]
    fn reports_round_to_three_digits() {
        assert_eq!(format_rate(23_412.0), "23.4 k/s");
        assert_eq!(format_rate(0.52), "0.5 /s");
        assert_eq!(format_rate(2_763_000.0), "2.76 M/s");
        assert_eq!(format_bytes_per_second(2.31e9), "2.31 GB/s");
        assert_eq!(format_data(24.31e12), "24.3 TB");
        assert_eq!(format_us(61.2), "61 µs");
        assert_eq!(format_us(1_240.0), "1.24 ms");
        assert_eq!(format_us(6.13), "6.1 µs");
        assert_eq!(format_seconds(2.04), "2.0 s");
        assert_eq!(format_seconds(42.4), "42 s");
        assert_eq!(format_seconds(2_349.0), "39 min");
        assert_eq!(format_seconds(129_150.0), "35.9 h");
    }

    #[test]
    fn rounding_up_moves_to_the_next_unit() {
        assert_eq!(format_us(999.4), "999 µs");
        assert_eq!(format_us(999.6), "1.00 ms");
        assert_eq!(format_rate(9_996.0), "10.0 k/s");
        assert_eq!(format_rate(99_960.0), "100 k/s");
        assert_eq!(format_us(9.96), "10 µs");
        assert_eq!(format_us(5e12), "5000000 s");
    }

    #[test]
    fn estimates_share_the_unit_and_precision_of_their_value() {
        let rate = estimate(23_400.0, 22_910.0, 23_800.0);
        assert_eq!(format_rate_estimate(&rate), "23.4 k/s [22.9, 23.8]");
        let latency = estimate(1_240.0, 996.0, 1_310.0);
        assert_eq!(format_us_estimate(&latency), "1.24 ms [1.00, 1.31]");
        let ratio = estimate(1.042, 0.9996, 1.05);
        assert_eq!(format_change_estimate(&ratio), "+4.2 % [0.0, +5.0]");
    }

    #[test]
    fn ratios_print_as_changes_and_shares_as_percent() {
        assert_eq!(format_change(1.042), "+4.2 %");
        assert_eq!(format_change(0.5), "-50.0 %");
        assert_eq!(format_change(0.9999), "0.0 %");
        assert_eq!(format_share(0.031), "3.1 %");
        assert_eq!(format_share(-0.0), "0.0 %");
    }

    #[test]
    fn what_is_not_a_number_is_said_to_be_missing() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(format_rate(value), NOT_AVAILABLE);
            assert_eq!(format_us(value), NOT_AVAILABLE);
            assert_eq!(format_change(value), NOT_AVAILABLE);
            assert_eq!(format_share(value), NOT_AVAILABLE);
            assert_eq!(format_seconds(value), NOT_AVAILABLE);
            assert_eq!(format_rate_estimate(&estimate(1.0, value, 2.0)), NOT_AVAILABLE);
            assert_eq!(format_change_estimate(&estimate(1.0, value, 2.0)), NOT_AVAILABLE);
        }
    }
}
