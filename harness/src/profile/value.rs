//! A single value of a profile, read as a text, flag, count, size or duration within bounds. Each
//! reader either gives a valid value or says, at the value's own place, what would be one.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeInteger, DeValue};

use crate::profile::error::{Problem, ProfileError};
use crate::profile::source::Source;
use crate::units::{
    UnitError, format_bytes, format_duration_us, format_exact_rate, parse_bytes, parse_duration_us,
    parse_rate,
};

/// One value of the document.
pub(super) struct Value<'d> {
    pub(super) source: &'d Source<'d>,
    /// Name in full, e.g. `axes.engine`.
    pub(super) field: String,
    /// Byte offset of its key.
    pub(super) key_offset: usize,
    pub(super) node: &'d Spanned<DeValue<'d>>,
}

impl<'d> Value<'d> {
    /// An error about this value, at its own place.
    pub(super) fn error(&self, problem: Problem, allowed: &str) -> ProfileError {
        self.source.error(self.node.span().start, &self.field, problem, allowed)
    }

    pub(super) fn wrong_type(&self, allowed: &str) -> ProfileError {
        self.error(Problem::WrongType { found: self.node.get_ref().type_str() }, allowed)
    }

    fn out_of_range(&self, allowed: &str) -> ProfileError {
        self.error(Problem::OutOfRange { value: self.as_written() }, allowed)
    }

    /// The value without the quotes of a string.
    pub(super) fn as_written(&self) -> String {
        match self.node.get_ref() {
            DeValue::String(text) => text.to_string(),
            _ => self.source.text.get(self.node.span()).unwrap_or_default().to_string(),
        }
    }

    pub(super) fn text(&self, allowed: &str) -> Result<&'d str, ProfileError> {
        self.node.get_ref().as_str().ok_or_else(|| self.wrong_type(allowed))
    }

    pub(super) fn flag(&self, allowed: &str) -> Result<bool, ProfileError> {
        self.node.get_ref().as_bool().ok_or_else(|| self.wrong_type(allowed))
    }

    /// One of `words`.
    pub(super) fn word(&self, words: &[&'static str]) -> Result<String, ProfileError> {
        let allowed = words.join(", ");
        let text = self.text(&allowed)?;
        if words.contains(&text) {
            return Ok(text.to_string());
        }
        Err(self.error(Problem::NotAValue { value: text.to_string() }, &allowed))
    }

    /// A whole number.
    pub(super) fn count(&self, range: &RangeInclusive<u32>) -> Result<u32, ProfileError> {
        let allowed = count_bounds(range);
        let DeValue::Integer(integer) = self.node.get_ref() else {
            return Err(self.wrong_type(&allowed));
        };
        integer_value(integer)
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| range.contains(number))
            .ok_or_else(|| self.out_of_range(&allowed))
    }

    /// A byte size: a string with a unit, or a bare number of bytes.
    pub(super) fn bytes(
        &self,
        range: &RangeInclusive<u64>,
        allowed: &str,
    ) -> Result<u64, ProfileError> {
        let bytes = match self.node.get_ref() {
            DeValue::Integer(integer) => integer_value(integer)
                .and_then(|number| u64::try_from(number).ok())
                .ok_or_else(|| self.out_of_range(allowed))?,
            _ => parse_bytes(self.text(allowed)?).map_err(|e| self.bad_unit(e, allowed))?,
        };
        self.in_range(bytes, range, allowed)
    }

    /// A duration: a string with a unit, or a bare 0.
    pub(super) fn duration_us(&self, range: &RangeInclusive<u64>) -> Result<u64, ProfileError> {
        let allowed = duration_bounds(range);
        let duration_us = match self.node.get_ref() {
            DeValue::Integer(integer) if integer_value(integer) == Some(0) => 0,
            _ => {
                let text = self.text(&allowed)?;
                parse_duration_us(text).map_err(|e| self.bad_unit(e, &allowed))?
            }
        };
        self.in_range(duration_us, range, &allowed)
    }

    /// A rate: a string with `/s`.
    pub(super) fn rate(&self, range: &RangeInclusive<f64>) -> Result<f64, ProfileError> {
        let allowed = rate_bounds(range);
        let rate = parse_rate(self.text(&allowed)?).map_err(|e| self.bad_unit(e, &allowed))?;
        if range.contains(&rate) { Ok(rate) } else { Err(self.out_of_range(&allowed)) }
    }

    /// A share of a whole, 0 to 1, written as a whole number of percent: `"50%"`.
    pub(super) fn share(&self, allowed: &str) -> Result<f64, ProfileError> {
        let text = self.text(allowed)?;
        let percent = text.trim().strip_suffix('%').and_then(|number| number.parse::<u8>().ok());
        match percent {
            Some(percent) if percent <= 100 => Ok(f64::from(percent) / 100.0),
            Some(_) => Err(self.out_of_range(allowed)),
            None => Err(self.error(Problem::NotAValue { value: text.to_string() }, allowed)),
        }
    }

    /// The elements of a list.
    pub(super) fn list(&self, allowed: &str) -> Result<Vec<Value<'d>>, ProfileError> {
        let list = self.node.get_ref().as_array().ok_or_else(|| self.wrong_type(allowed))?;
        let element = |node| Value {
            source: self.source,
            field: self.field.clone(),
            key_offset: self.key_offset,
            node,
        };
        Ok(list.iter().map(element).collect())
    }

    fn bad_unit(&self, error: UnitError, allowed: &str) -> ProfileError {
        match error {
            UnitError::TooLarge => self.out_of_range(allowed),
            reason => {
                let value = self.as_written();
                self.error(Problem::Malformed { value, reason }, allowed)
            }
        }
    }

    fn in_range(
        &self,
        number: u64,
        range: &RangeInclusive<u64>,
        allowed: &str,
    ) -> Result<u64, ProfileError> {
        if range.contains(&number) { Ok(number) } else { Err(self.out_of_range(allowed)) }
    }
}

/// Bounds of a whole number, for people.
pub(super) fn count_bounds(range: &RangeInclusive<u32>) -> String {
    format!("a whole number from {} to {}", range.start(), range.end())
}

/// Bounds of a byte size, for people.
pub(super) fn byte_bounds(range: &RangeInclusive<u64>) -> String {
    let (low, high) = (format_bytes(*range.start()), format_bytes(*range.end()));
    format!("a size from \"{low}\" to \"{high}\"")
}

/// Bounds of a duration, for people.
pub(super) fn duration_bounds(range: &RangeInclusive<u64>) -> String {
    let (low, high) = (format_duration_us(*range.start()), format_duration_us(*range.end()));
    format!("a duration from \"{low}\" to \"{high}\"")
}

/// Bounds of a rate, for people.
pub(super) fn rate_bounds(range: &RangeInclusive<f64>) -> String {
    let (low, high) = (format_exact_rate(*range.start()), format_exact_rate(*range.end()));
    format!("a rate from \"{low}\" to \"{high}\"")
}

/// `None` when it does not fit, which no bound here allows anyway.
fn integer_value(integer: &DeInteger<'_>) -> Option<i128> {
    i128::from_str_radix(integer.as_str(), integer.radix()).ok()
}
