//! The `[load]` section: what every trial's records are and who commits them, as far as no setting
//! says it. Also what of it contradicts a setting, an axis or a kind of trial.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::load::{RecordSizes, TENANTS_MAX, Trace};
use crate::profile::document::Section;
use crate::profile::error::{Problem, ProfileError};
use crate::profile::setting::RATE_PER_SECOND;
use crate::profile::value::{Value, rate_bounds};
use crate::store::schema::{PlanCallers, PlanLoad, PlanTrace, Settings};

/// Keys of the section, in the order the documentation has them.
pub(super) const LOAD_KEYS: [&str; 6] =
    ["callers", "record_sizes", "tenants", "compressible", "rate", "trace"];

const TENANTS: RangeInclusive<u32> = 1..=TENANTS_MAX;
const CALLERS: &[&str] = &["threads", "tasks"];
const SIZES_ALLOWED: &str = "a text such as \"256B\", \"uniform:100B..4KiB\", \
                             \"lognormal:300B,p99=4KiB\" or \"mix:256B=90,4KiB=10\", sizes up to \
                             64MiB";
const SHARE_ALLOWED: &str = "\"0%\" to \"100%\", a whole number";
const TRACE_ALLOWED: &str = "the path of a trace, from the profile's own folder";

/// The section, valid by itself.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LoadSection {
    callers: PlanCallers,
    record_sizes: Option<RecordSizes>,
    tenants: u32,
    compressible_ratio: f64,
    /// Held for all trials.
    rate_per_second: Option<f64>,
    trace: Option<ProfileTrace>,
}

/// A trace that is named, and what it holds once it was read.
#[derive(Clone, Debug, PartialEq)]
struct ProfileTrace {
    path: PathBuf,
    trace: Option<Arc<Trace>>,
}

impl Default for LoadSection {
    fn default() -> Self {
        Self {
            callers: PlanCallers::Threads,
            record_sizes: None,
            tenants: 1,
            compressible_ratio: 0.0,
            rate_per_second: None,
            trace: None,
        }
    }
}

impl LoadSection {
    /// Reads the section and holds it against the rest of the profile. A trace is named here and
    /// read by [`Self::read_trace`]: what is in a profile is checked without opening other files.
    pub(super) fn read(root: &Section<'_>) -> Result<Self, ProfileError> {
        let mut load = Self::default();
        let Some(section) = root.section("load")? else {
            return Ok(load);
        };
        section.expect_only(&LOAD_KEYS)?;
        for (name, value) in section.entries() {
            match name {
                "callers" => load.callers = callers(value)?,
                "record_sizes" => load.record_sizes = Some(record_sizes(value)?),
                "tenants" => load.tenants = value.count(&TENANTS)?,
                "compressible" => load.compressible_ratio = value.share(SHARE_ALLOWED)?,
                "rate" => load.rate_per_second = Some(value.rate(&RATE_PER_SECOND)?),
                _ => load.trace = Some(trace(value)?),
            }
        }
        load.check(root, &section)?;
        Ok(load)
    }

    fn check(&self, root: &Section<'_>, section: &Section<'_>) -> Result<(), ProfileError> {
        let size = said(root, "axes", "record_size", "axes.record_size")
            .or_else(|| said(root, "base", "record_size", "base.record_size"));
        refuse(section, "record_sizes", size, "sizes in one place: here, or as `record_size`")?;
        refuse(section, "trace", size, "a trace, which has its own sizes, or `record_size`")?;
        let traced = self.trace.as_ref().map(|_| "load.trace");
        for key in ["record_sizes", "tenants"] {
            refuse(section, key, traced, "a trace, which has its own sizes and tenants, or none")?;
        }
        let axis = said(root, "axes", "rate", "axes.rate");
        refuse(section, "rate", axis, "one rate for all trials here, or several as an axis")
    }

    /// What says that records arrive whatever the log does, if anything says so.
    pub(super) fn opened_by(&self, root: &Section<'_>) -> Option<&'static str> {
        let traced = self.trace.as_ref().map(|_| "load.trace");
        traced
            .or(self.rate_per_second.map(|_| "load.rate"))
            .or_else(|| said(root, "axes", "rate", "axes.rate"))
    }

    /// Puts what the section says of sizes and rate where the settings have it.
    pub(super) fn apply(&self, base: &mut Settings) {
        if let Some(rate) = self.rate_per_second {
            base.rate_per_second = Some(rate);
        }
        if let Some(sizes) = &self.record_sizes {
            base.record_size_bytes = whole(sizes.mean_bytes());
        }
    }

    /// Names the file of the trace anew: a stored run's is not beside its profile any more.
    pub(super) fn find_trace(&mut self, path: &str) {
        if let Some(named) = &mut self.trace {
            named.path = PathBuf::from(path);
        }
    }

    /// Reads the trace, if there is one, from `folder`; its own rate and mean size hold where the
    /// profile names no others.
    ///
    /// # Errors
    /// When it cannot be read, or its own rate cannot be offered.
    pub(super) fn read_trace(
        &mut self,
        folder: &Path,
        base: &mut Settings,
        varies: bool,
    ) -> Result<(), String> {
        let Some(named) = &mut self.trace else { return Ok(()) };
        named.path = folder.join(&named.path);
        let trace = Trace::load(&named.path).map_err(|error| format!("{error:#}"))?;
        base.record_size_bytes = whole(trace.mean_bytes());
        if base.rate_per_second.is_none() && !varies {
            let own = trace.rate_per_second();
            if !RATE_PER_SECOND.contains(&own) {
                let bounds = rate_bounds(&RATE_PER_SECOND);
                let path = named.path.display();
                return Err(format!(
                    "{path} has {own:.3} arrivals a second; name {bounds} as `rate`"
                ));
            }
            base.rate_per_second = Some(own);
        }
        named.trace = Some(Arc::new(trace));
        Ok(())
    }

    /// The trace, where there is one and it was read.
    pub(super) fn trace(&self) -> Option<&Arc<Trace>> {
        self.trace.as_ref()?.trace.as_ref()
    }

    /// What a plan keeps of it; `None` where everything is as it always was.
    pub(super) fn planned(&self) -> Option<PlanLoad> {
        let usual = Self { rate_per_second: self.rate_per_second, ..Self::default() };
        (*self != usual).then(|| PlanLoad {
            callers: self.callers,
            record_sizes: self.record_sizes.as_ref().map(RecordSizes::to_string),
            tenants: self.tenants,
            compressible_ratio: self.compressible_ratio,
            trace: self.trace.as_ref().and_then(ProfileTrace::planned),
        })
    }
}

impl ProfileTrace {
    fn planned(&self) -> Option<PlanTrace> {
        let trace = self.trace.as_ref()?;
        Some(PlanTrace {
            path: self.path.display().to_string(),
            sha256: trace.sha256(),
            records: trace.len() as u64,
            rate_per_second: trace.rate_per_second(),
        })
    }
}

/// Refuses what has a meaning in a closed loop only, where the load is open: nobody waits in it.
pub(super) fn refuse_in_open_loop(
    root: &Section<'_>,
    opened_by: Option<&'static str>,
) -> Result<(), ProfileError> {
    const ALLOWED: &str = "clients of a closed loop, or a rate of arrivals, for which nobody waits";
    for (name, key) in [("load", "callers"), ("base", "clients"), ("axes", "clients")] {
        if let Some(section) = root.section(name)? {
            refuse(&section, key, opened_by, ALLOWED)?;
        }
    }
    match root.section("run")? {
        Some(run) => refuse(&run, "round", opened_by, "`trial`: rounds are for a closed loop"),
        None => Ok(()),
    }
}

/// Refuses `key` of the section, if it is there, beside `other`, if that is.
fn refuse(
    section: &Section<'_>,
    key: &str,
    other: Option<&'static str>,
    allowed: &str,
) -> Result<(), ProfileError> {
    match (section.optional(key), other) {
        (Some(value), Some(other)) => Err(value.error(Problem::Contradicts { other }, allowed)),
        _ => Ok(()),
    }
}

/// The full name of a key, if the section has it.
fn said(
    root: &Section<'_>,
    section: &str,
    key: &str,
    full_name: &'static str,
) -> Option<&'static str> {
    let section = root.section(section).ok().flatten()?;
    section.optional(key).map(|_| full_name)
}

fn callers(value: &Value<'_>) -> Result<PlanCallers, ProfileError> {
    value.word(CALLERS).map(|word| match word.as_str() {
        "tasks" => PlanCallers::Tasks,
        _ => PlanCallers::Threads,
    })
}

fn record_sizes(value: &Value<'_>) -> Result<RecordSizes, ProfileError> {
    let text = value.text(SIZES_ALLOWED)?;
    text.parse()
        .map_err(|_| value.error(Problem::NotAValue { value: text.to_owned() }, SIZES_ALLOWED))
}

fn trace(value: &Value<'_>) -> Result<ProfileTrace, ProfileError> {
    let text = value.text(TRACE_ALLOWED)?;
    if text.trim().is_empty() {
        return Err(value.error(Problem::EmptyText, TRACE_ALLOWED));
    }
    Ok(ProfileTrace { path: PathBuf::from(text), trace: None })
}

/// What each key of the section may be, for people and for the test of the documentation.
#[cfg(test)]
pub(super) fn allowed(key: &str) -> String {
    match key {
        "callers" => CALLERS.join(", "),
        "record_sizes" => SIZES_ALLOWED.to_owned(),
        "tenants" => crate::profile::value::count_bounds(&TENANTS),
        "compressible" => SHARE_ALLOWED.to_owned(),
        "rate" => rate_bounds(&RATE_PER_SECOND),
        _ => TRACE_ALLOWED.to_owned(),
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "a size is positive, and a float-to-integer cast saturates"
)]
fn whole(bytes: f64) -> u64 {
    bytes.round() as u64
}
