//! The load of a stored plan: what its trials write, and how people are told of it. Together with a
//! configuration's settings it says all of a trial's load.

use std::sync::Arc;

use super::{RecordShape, Trace};
use crate::store::schema::{Plan, PlanCallers, PlanLoad, Settings};
use crate::units::{format_bytes, format_exact_rate, format_rate, format_share};

impl RecordShape {
    /// What the trials of a plan write with these settings; `trace` is the plan's own, if it has one.
    ///
    /// # Errors
    /// When the plan's sizes are none that are known.
    pub(crate) fn planned(
        plan: &Plan,
        settings: &Settings,
        trace: Option<&Arc<Trace>>,
    ) -> Result<Self, String> {
        let fixed = Self::fixed(settings.record_size_bytes);
        let Some(load) = &plan.load else { return Ok(fixed) };
        let sizes = load.record_sizes.as_deref().map(str::parse).transpose()?;
        Ok(Self {
            sizes: sizes.unwrap_or(fixed.sizes),
            tenants: load.tenants,
            compressible: load.compressible_ratio,
            trace: trace.map(Arc::clone),
        })
    }
}

/// The load of a plan's trials with these settings, in a few words: `256B records from 4 clients`.
pub(crate) fn described(plan: &Plan, settings: &Settings) -> String {
    let load = plan.load.as_ref();
    let mut words = match load.and_then(|load| load.record_sizes.as_ref()) {
        Some(sizes) => format!("records of {sizes}"),
        None => format!("{} records", format_bytes(settings.record_size_bytes)),
    };
    let trace = load.and_then(|load| load.trace.as_ref());
    match (settings.rate_per_second, trace) {
        (Some(rate), Some(trace)) => {
            words = format!(
                "{} recorded arrivals of {}, replayed at {}",
                trace.records,
                trace.path,
                format_rate(rate)
            );
        }
        (Some(rate), None) => {
            words.push_str(&format!(", {} on a Poisson schedule", format_exact_rate(rate)));
        }
        (None, _) => {
            let callers = load.map(|load| load.callers).unwrap_or_default();
            words.push_str(&format!(" from {}", clients(settings.clients, callers)));
        }
    }
    if let Some(load) = load {
        words.push_str(&beside(load));
    }
    words
}

fn clients(count: u32, callers: PlanCallers) -> String {
    let plural = if count == 1 { "" } else { "s" };
    let what = match callers {
        PlanCallers::Threads => "",
        PlanCallers::Tasks => ", each a task of one thread",
    };
    format!("{count} client{plural}{what}")
}

fn beside(load: &PlanLoad) -> String {
    let mut words = String::new();
    if load.tenants > 1 {
        words.push_str(&format!(", of {} tenants", load.tenants));
    }
    if load.compressible_ratio > 0.0 {
        words.push_str(&format!(", {} compressible", format_share(load.compressible_ratio)));
    }
    words
}
