//! The document that `--json` prints, and what follows from the facts in it: the class of device,
//! warnings, whether a log can be there, and advice.

use anyhow::{Context, Result};
use serde::Serialize;

use super::class::{self, Classified, DISTURBED_RATIO};
use super::facts::{Facts, LogAnswer};
use super::warnings::{self, Severity, Warning};
use crate::store::schema::SCHEMA_VERSION;

/// What tells this document from those of runs.
const KIND: &str = "doctor";

/// Everything that is known and said of a place.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Examination {
    /// Schema version.
    pub schema_version: String,
    /// `doctor`.
    pub kind: String,
    /// When, RFC 3339.
    pub examined_utc: String,
    /// Whether a log can be there.
    pub verdict: Verdict,
    /// What class of device it looks like.
    pub class: Classified,
    /// What to warn of, the worst first.
    pub warnings: Vec<Told>,
    /// What follows.
    pub advice: Advice,
    /// What all of this was made from.
    pub facts: Facts,
}

/// Whether a log can be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// It can, whatever the warnings say.
    Usable,
    /// It would not open.
    Refused,
    /// It can, but the measurements contradict each other.
    Disturbed,
}

/// A warning, told.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Told {
    /// How bad it is.
    pub severity: Severity,
    /// Which one, with its values.
    pub warning: Warning,
    /// What is the matter.
    pub sentence: String,
    /// What to do.
    pub remedy: String,
}

/// What follows for whoever runs a log there.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Advice {
    /// Arrivals a second from which on a commit window cannot help: half of F0, for a record then
    /// finds the device busy and shares the next batch without waiting on purpose.
    pub window_useless_from_per_second: Option<f64>,
    /// What `engine = "auto"` comes to, with one batch in flight and with several.
    pub engine: Option<String>,
    /// See above.
    pub engine_with_several: Option<String>,
}

impl Examination {
    /// Concludes.
    pub(super) fn of(facts: Facts, examined_utc: String) -> Self {
        Self {
            schema_version: SCHEMA_VERSION.to_owned(),
            kind: KIND.to_owned(),
            examined_utc,
            verdict: verdict(&facts),
            class: class::classify(&facts),
            warnings: warnings::warnings(&facts).into_iter().map(Told::of).collect(),
            advice: Advice::of(&facts),
            facts,
        }
    }

    /// With a line end.
    pub(super) fn json(&self) -> Result<String> {
        let json = serde_json::to_string_pretty(self).context("cannot write JSON")?;
        Ok(json + "\n")
    }
}

impl Told {
    fn of(warning: Warning) -> Self {
        let words = warning.words();
        Self {
            severity: warning.severity(),
            warning,
            sentence: words.sentence,
            remedy: words.remedy,
        }
    }
}

impl Advice {
    fn of(facts: &Facts) -> Self {
        let measured = facts.measured.as_ref();
        let choices = match &facts.log {
            LogAnswer::Opens { choices } => Some(choices),
            LogAnswer::Refuses { .. } => None,
        };
        Self {
            window_useless_from_per_second: measured
                .map(|measured| measured.durable_writes_per_second / 2.0),
            engine: choices.map(|choices| choices.engine.engine.clone()),
            engine_with_several: choices.map(|choices| choices.engine_with_several.engine.clone()),
        }
    }
}

fn verdict(facts: &Facts) -> Verdict {
    if matches!(facts.log, LogAnswer::Refuses { .. }) {
        return Verdict::Refused;
    }
    let contradict = facts.measured.as_ref().is_some_and(|measured| {
        let (low, high) = measured.f0_range();
        high >= low * DISTURBED_RATIO
    });
    if contradict { Verdict::Disturbed } else { Verdict::Usable }
}
