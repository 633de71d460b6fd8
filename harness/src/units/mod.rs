//! Quantities as people write and read them: byte sizes, durations, rates, ratios.

mod exact;
mod rounded;

pub(crate) use exact::{
    UnitError, format_bytes, format_duration_us, format_exact_rate, parse_bytes, parse_duration_us,
    parse_rate,
};
pub(crate) use rounded::{
    format_bytes_per_second, format_change, format_change_estimate, format_count, format_data,
    format_rate, format_rate_estimate, format_seconds, format_share, format_us, format_us_estimate,
};
