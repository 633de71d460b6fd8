//! Numbers and names as a report's tables print them: bare, because the unit stands once in the
//! column's heading. Anything that is not a finite number prints as a dash, never as `NaN` and
//! never as a zero that was not measured.

use crate::store::schema::Estimate;

/// Stands for "not measured".
pub(crate) const DASH: &str = "–";

/// A number for people: thousands grouped, three significant digits below 1,000.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        DASH.to_owned()
    } else if size >= 1e15 {
        format!("{value:.2e}")
    } else if size >= 99.95 {
        grouped(&format!("{value:.0}"))
    } else if size >= 9.995 {
        format!("{value:.1}")
    } else if size >= 0.9995 || size == 0.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

/// A round number, as an axis is marked with it: no digits behind the point that say nothing.
pub(crate) fn tick(value: f64) -> String {
    let text = number(value);
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A share as signed percent, as an axis of deviations is marked with it.
pub(crate) fn signed_percent(share: f64) -> String {
    let percent = share * 100.0;
    match tick(percent.abs()) {
        size if percent.abs() < 1e-9 || size == "0" => "0".to_owned(),
        size if percent > 0.0 => format!("+{size}"),
        size => format!("−{size}"),
    }
}

/// [`number`], or a dash.
pub(crate) fn optional_number(value: Option<f64>) -> String {
    value.map_or_else(|| DASH.to_owned(), number)
}

/// A count with its thousands grouped.
pub(crate) fn count(value: u64) -> String {
    grouped(&value.to_string())
}

/// `24,513`, or a dash.
pub(crate) fn estimate(value: Option<Estimate>) -> String {
    optional_number(value.map(|estimate| estimate.value))
}

/// `24,100–24,900`, or nothing where there is no interval.
pub(crate) fn interval(value: Option<Estimate>) -> Option<String> {
    let estimate = value.filter(|estimate| estimate.low < estimate.high)?;
    Some(format!("{}–{}", number(estimate.low), number(estimate.high)))
}

/// A ratio: `×2.42`, and near 1, where the third digit tells something, `×0.942`.
pub(crate) fn ratio(value: f64) -> String {
    if !value.is_finite() {
        DASH.to_owned()
    } else if (0.5..1.5).contains(&value) {
        format!("×{value:.3}")
    } else if value.abs() < 99.5 {
        format!("×{value:.2}")
    } else {
        format!("×{}", number(value))
    }
}

/// The text without control characters, so that a stored string can neither steer a terminal
/// nor make an SVG invalid XML. XML 1.0, section 2.2, also forbids U+FFFE and U+FFFF.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\n' | '\t' => ' ',
            '\u{FFFE}' | '\u{FFFF}' => char::REPLACEMENT_CHARACTER,
            other if other.is_control() => char::REPLACEMENT_CHARACTER,
            other => other,
        })
        .collect()
}

/// The text, cut to at most `length` characters with an ellipsis.
pub(crate) fn shortened(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let kept: String = text.chars().take(length.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// The text in lines of at most `width` characters, broken at spaces; a longer word is broken
/// where the line ends. Never without a line.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        let mut rest: Vec<char> = word.chars().collect();
        if length > 0 && length + 1 + rest.len() <= width {
            line.push(' ');
            length += 1;
        } else if length > 0 {
            lines.push(std::mem::take(&mut line));
            length = 0;
        }
        while rest.len() > width {
            lines.push(rest.drain(..width).collect());
        }
        length += rest.len();
        line.extend(rest);
    }
    if length > 0 || lines.is_empty() {
        lines.push(line);
    }
    lines
}

fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.split_at(usize::from(digits.starts_with('-')));
    let mut text = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits_and_group_thousands() {
        let cases = [
            (0.0, "0.00"),
            (0.0312, "0.031"),
            (1.0, "1.00"),
            (9.999, "10.0"),
            (99.97, "100"),
            (999.6, "1,000"),
            (24_513.4, "24,513"),
            (-1_234_567.0, "-1,234,567"),
            (f64::NAN, DASH),
            (f64::INFINITY, DASH),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn deviations_have_a_sign_and_zero_has_none() {
        for (share, expected) in [(0.05, "+5"), (-0.125, "−12.5"), (0.0, "0"), (-1e-12, "0")] {
            assert_eq!(signed_percent(share), expected);
        }
    }

    #[test]
    fn ratios_have_a_third_digit_where_it_matters() {
        for (value, expected) in
            [(0.9424, "×0.942"), (1.0, "×1.000"), (3.988, "×3.99"), (1234.0, "×1,234")]
        {
            assert_eq!(ratio(value), expected);
        }
        assert_eq!(ratio(f64::NAN), DASH);
    }

    #[test]
    fn an_interval_is_only_printed_where_there_is_one() {
        let known = Estimate { value: 10.0, low: 9.0, high: 11.0 };
        let point = Estimate { value: 10.0, low: 10.0, high: 10.0 };
        assert_eq!(interval(Some(known)).as_deref(), Some("9.00–11.0"));
        assert_eq!(interval(Some(point)), None);
        assert_eq!(interval(None), None);
    }

    #[test]
    fn wrapping_breaks_at_spaces_and_never_exceeds_the_width() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrapped("abcd ef", 4), ["abcd", "ef"]);
        assert_eq!(wrapped("", 0), [""]);
    }

    #[test]
    fn escape_sequences_lose_their_escape() {
        assert_eq!(printable("a\u{1b}[31mb\nc\0"), "a\u{fffd}[31mb c\u{fffd}");
        assert_eq!(shortened("abcdef", 4), "abc…");
        assert_eq!(shortened("abcd", 4), "abcd");
    }
}
