//! The sentences of a comparison: what was found, what to know about it, and what to do next.

use crate::stats::MIN_BLOCKS;
use crate::store::observations::Fate;
use crate::store::quantity::Quantity;
use crate::units::{format_change, format_change_estimate, format_share};

use super::change::{Finding, LOOKED_FOR_RATIO};
use super::judge::{Comparison, DISTURBED_MAX, Runs, Verdict};
use super::rows::{Pairing, Row};

/// Blocks that a gate needs.
const BLOCKS_TO_GATE: usize = 9;

/// What was found, in one sentence.
pub(super) fn headline(comparison: &Comparison, lost: &[(String, Fate)]) -> String {
    let first = |wanted: fn(&Row) -> bool| comparison.rows.iter().find(|row| wanted(row));
    match comparison.verdict {
        Verdict::Broken => broken(lost),
        Verdict::Regression => {
            let row = first(|row| row.confirmed == Some(true));
            format!("Regression: {}, and a rerun shows it again.", finding(row))
        }
        Verdict::Suspected => {
            let row = first(|row| row.finding == Finding::Worse);
            format!("Suspected regression: {}.", finding(row))
        }
        Verdict::NotConfirmed => {
            let row = first(|row| row.finding == Finding::Worse);
            format!("Not confirmed: {}, but the rerun does not show it.", finding(row))
        }
        Verdict::Pass => {
            let row = comparison.rows.first();
            let better = row.is_some_and(|row| row.finding == Finding::Better);
            let word = if better { "No regression, and faster" } else { "No regression" };
            format!("{word}: {}.", finding(row))
        }
        Verdict::Inconclusive if comparison.disturbed_share > DISTURBED_MAX => {
            "Inconclusive: the machine had other work in most trials; what the log did cannot be told."
                .to_owned()
        }
        Verdict::Inconclusive if comparison.device_changed => {
            "Inconclusive: the device itself changed, without a log; what the log did cannot be told."
                .to_owned()
        }
        Verdict::Inconclusive => match comparison.rows.first() {
            None => "Inconclusive: there is nothing to compare.".to_owned(),
            row => format!(
                "Inconclusive: {}; a regression of {} can be neither seen nor excluded.",
                finding(row),
                format_share(LOOKED_FOR_RATIO)
            ),
        },
    }
}

fn broken(lost: &[(String, Fate)]) -> String {
    let Some((id, fate)) = lost.first() else { return String::new() };
    let others = match lost.len() - 1 {
        0 => String::new(),
        n => format!(" (and {n} more)"),
    };
    match fate {
        Fate::Refused(reason) => {
            format!("Broken: {id}{others} ran in BASE and is refused in NEW: {reason}")
        }
        Fate::RateNotKept(reason) => {
            format!("Broken: {id}{others} kept its rate in BASE and did not in NEW: {reason}")
        }
        Fate::Failed(reason) => {
            format!("Broken: {id}{others} failed in NEW, whatever its speed: {reason}")
        }
        Fate::Measured | Fate::Unmeasured => String::new(),
    }
}

/// `rate of all configurations −5.2 % [−6.3, −4.1]`.
fn finding(row: Option<&Row>) -> String {
    row.map_or_else(String::new, |row| {
        format!("{} of {} {}", row.quantity.name(), row.scope, format_change_estimate(&row.ratio))
    })
}

/// What to do next.
pub(super) fn next(verdict: Verdict, runs: &Runs<'_>) -> &'static str {
    match verdict {
        Verdict::Pass => "Nothing to do.",
        Verdict::Regression => {
            "Find the change: `git bisect` between the two builds, with this comparison at each step."
        }
        Verdict::Broken => "Look at the log's own message in the run's journal before any speed.",
        Verdict::Suspected => {
            "Measure NEW again, best in turns with BASE, and compare with --confirm RERUN."
        }
        Verdict::NotConfirmed => {
            "Chance, or something that comes and goes: watch it in `plimsoll history`."
        }
        Verdict::Inconclusive if runs.base.runs.len() == 1 => {
            "Measure both builds in turns, nine blocks each, on a quiet machine: scripts/nightly does."
        }
        Verdict::Inconclusive => {
            "Measure more blocks in turns, or longer trials, on a quiet machine."
        }
    }
}

/// What a reader must know, the gravest first.
pub(super) fn notes(runs: &Runs<'_>, pairing: &Pairing<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    let (base, new) = pairing.blocks();
    if base.min(new) < MIN_BLOCKS {
        notes.push(format!("{base} and {new} whole blocks support no interval: three are needed."));
    } else if base.min(new) < BLOCKS_TO_GATE {
        notes.push(format!(
            "{base} and {new} whole blocks: {BLOCKS_TO_GATE} are needed to gate a change, and with \
             fewer a real one is often missed."
        ));
    }
    if let Some(ratio) = pairing.device_ratio() {
        notes.push(format!(
            "The device itself, without a log: {} durable writes a second.",
            format_change(ratio)
        ));
    }
    let disturbed = pairing.disturbed_share();
    if disturbed > 0.0 {
        notes.push(format!(
            "Up to {} of a side's trials ran while other load was on the machine.",
            format_share(disturbed)
        ));
    }
    notes.push(if pairing.in_turns {
        "Measured in turns: block beside block, so that the machine's drift cancels (Wilcoxon's \
         signed-rank test)."
            .to_owned()
    } else {
        "Not measured in turns: what the machine did between the two counts as a change (test of \
         Mann and Whitney)."
            .to_owned()
    });
    if runs.noise.is_none() {
        notes.push("Noise floor: from the sentinels; --noise takes it from an A/A run.".to_owned());
    }
    notes
}

/// What a row is taken for, in one or two words.
pub(super) fn verdict_of(row: &Row) -> &'static str {
    match (row.finding, row.confirmed) {
        (Finding::Worse, Some(true)) => "WORSE, confirmed",
        (Finding::Worse, Some(false)) => "worse, not confirmed",
        (Finding::Worse, None) => "WORSE, suspected",
        (Finding::Better, _) => "better",
        (Finding::NotWorse, _) => "not worse",
        (Finding::Unclear, _) => "cannot tell",
    }
}

/// A value in its unit, rounded for people.
pub(super) fn value(quantity: Quantity, value: f64) -> String {
    match quantity {
        Quantity::Rate => crate::units::format_rate(value),
        Quantity::P50 | Quantity::P99 | Quantity::P999 => crate::units::format_us(value),
        Quantity::DeviceBytes => format!("{value:.3}"),
    }
}
