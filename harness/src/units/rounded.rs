//! What reports say: rounded to about three digits, the most that a measurement here ever supports.

use crate::store::schema::Estimate;

/// What reports print for a value that is not a number.
const NOT_AVAILABLE: &str = "n/a";

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
