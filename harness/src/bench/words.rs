//! How a bench writes numbers, beyond the quantities of `units`: ratios, counts and cells that hold
//! nothing.

use super::case::Quantity;
use crate::units::{format_bytes_per_second, format_data, format_rate, format_us};

/// What is not known, or cannot be.
pub(super) const DASH: &str = "–";

pub(super) fn quantity(quantity: Quantity, value: Option<f64>) -> String {
    let Some(value) = value else { return DASH.to_owned() };
    match quantity {
        Quantity::Payload | Quantity::CacheGrowth if value == 0.0 => "0".to_owned(),
        Quantity::Rate | Quantity::Batches => format_rate(value),
        Quantity::Bandwidth => format_bytes_per_second(value),
        Quantity::P50 | Quantity::P99 | Quantity::P999 | Quantity::Max | Quantity::NearMax => {
            format_us(value)
        }
        Quantity::Payload | Quantity::CacheGrowth => format_data(value),
        Quantity::Commits | Quantity::Allocations | Quantity::Segments => whole(value),
    }
}

/// Three digits, and `0` for exactly nothing.
pub(super) fn three_digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 999.5 => whole(value),
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.9995 => format!("{value:.2}"),
        size if size >= 0.0005 => format!("{value:.3}"),
        _ => format!("{value:.1e}"),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "a float-to-integer cast saturates")]
fn whole(value: f64) -> String {
    grouped(value.round().max(0.0) as u64)
}

pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Names of devices and arguments come from outside: nothing in them steers a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_counts_groups_of_three() {
        let found = [0.5, 0.9994, 0.9996, 4.115, 20.58, 123.4, 1_234.0].map(three_digits);
        assert_eq!(found, ["0.500", "0.999", "1.00", "4.12", "20.6", "123", "1,234"]);
        assert_eq!([0.0, 0.0004, 0.0006].map(three_digits), ["0", "4.0e-4", "0.001"]);
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn nothing_and_unknown_are_told_apart() {
        assert_eq!(quantity(Quantity::Allocations, Some(0.0)), "0");
        assert_eq!(quantity(Quantity::CacheGrowth, Some(0.0)), "0");
        assert_eq!(quantity(Quantity::CacheGrowth, None), DASH);
    }

    #[test]
    fn nothing_in_a_name_steers_a_terminal() {
        assert_eq!(printable("vd\u{1b}a\n"), "vd\u{fffd}a\u{fffd}");
    }
}
