//! From the table to a verdict, by rules that are written down and not felt: a regression is one
//! that a rerun shows again, and "nobody can tell" is an answer.

use serde::Serialize;

use crate::stats::Bootstrap;
use crate::store::identity::differences;
use crate::store::measured::Measured;
use crate::store::observations::Fate;

use super::change::Finding;
use super::rows::{Key, Pairing, Row, floor_of};
use super::words;

/// Version of the JSON that a comparison is written as, `major.minor`.
const COMPARISON_VERSION: &str = "1.0";

/// Share of disturbed trials from which on the machine was measured, and not the log.
pub(super) const DISTURBED_MAX: f64 = 0.5;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Nothing got worse by as much as is looked for.
    Pass,
    /// Something did, and a rerun shows it again.
    Regression,
    /// A log failed, lost a record, or no longer runs with settings it ran with before.
    Broken,
    /// Something seems worse: a rerun is to confirm it.
    Suspected,
    /// Something seemed worse, and the rerun does not show it.
    NotConfirmed,
    /// The measurements cannot tell.
    Inconclusive,
}

/// The measurements that a verdict rests on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runs<'a> {
    pub(super) base: &'a Measured,
    pub(super) new: &'a Measured,
    /// NEW measured again.
    pub(super) again: Option<&'a Measured>,
    /// BASE measured again beside it; without, the rerun is held against BASE itself.
    pub(super) base_again: Option<&'a Measured>,
    /// BASE measured again to see the machine's own noise.
    pub(super) noise: Option<&'a Measured>,
}

/// Who was compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Party {
    pub(super) name: String,
    pub(super) plimsoll_version: String,
    pub(super) kernel: String,
    pub(super) started_utc: String,
    pub(super) blocks: usize,
}

/// What is not the same in both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Changed {
    pub(super) what: String,
    pub(super) base: String,
    pub(super) new: String,
}

/// A comparison, as it is printed and stored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Comparison {
    /// [`COMPARISON_VERSION`].
    pub(super) comparison_version: &'static str,
    pub(super) verdict: Verdict,
    /// The verdict in one sentence.
    pub(super) headline: String,
    /// What to do next, in one sentence.
    pub(super) next: String,
    /// What a reader must know before relying on it.
    pub(super) notes: Vec<String>,
    pub(super) profile: String,
    pub(super) base: Party,
    pub(super) new: Party,
    /// Whether blocks were measured in turns; intervals and tests are then of pairs.
    pub(super) in_turns: bool,
    /// Share of a side's trials that other load disturbed; of the side with more of them.
    pub(super) disturbed_share: f64,
    /// Whether the device's own speed, without a log, changed between them.
    pub(super) device_changed: bool,
    /// Configurations compared.
    pub(super) configurations: usize,
    pub(super) changed: Vec<Changed>,
    pub(super) rows: Vec<Row>,
}

/// Compares, and decides.
pub(super) fn judge(runs: &Runs<'_>, bootstrap: &Bootstrap) -> Comparison {
    let pairing = Pairing::new(runs.base, runs.new);
    let floors = runs.noise.map(|noise| Pairing::new(runs.base, noise).rows(bootstrap, |_| None));
    let aa_floor = |key: &Key| {
        let row = floors.as_ref()?.iter().find(|row| row.key() == *key)?;
        Some(floor_of(row))
    };
    let mut rows = pairing.rows(bootstrap, aa_floor);
    if let Some(again) = runs.again {
        let rerun = Pairing::new(runs.base_again.unwrap_or(runs.base), again);
        confirm(&mut rows, &rerun.rows(bootstrap, aa_floor));
    }
    let lost = pairing.lost();
    let verdict = verdict(&rows, &pairing, &lost);
    let (blocks_base, blocks_new) = pairing.blocks();
    let mut comparison = Comparison {
        comparison_version: COMPARISON_VERSION,
        verdict,
        headline: String::new(),
        next: words::next(verdict, runs).to_owned(),
        notes: words::notes(runs, &pairing),
        profile: runs.base.manifest().profile_name.clone(),
        base: party(runs.base, blocks_base),
        new: party(runs.new, blocks_new),
        in_turns: pairing.in_turns,
        disturbed_share: pairing.disturbed_share(),
        device_changed: pairing.device_changed(),
        configurations: pairing.configurations(),
        changed: changed(runs),
        rows,
    };
    comparison.headline = words::headline(&comparison, &lost);
    comparison
}

/// Marks which suspicions a rerun shows again: the same number of the same configuration, worse by
/// the same rules.
fn confirm(rows: &mut [Row], rerun: &[Row]) {
    for row in rows.iter_mut().filter(|row| row.finding == Finding::Worse) {
        let again = rerun.iter().find(|other| other.key() == row.key());
        row.confirmed = Some(again.is_some_and(|other| other.finding == Finding::Worse));
    }
}

fn verdict(rows: &[Row], pairing: &Pairing<'_>, lost: &[(String, Fate)]) -> Verdict {
    if !lost.is_empty() {
        return Verdict::Broken;
    }
    if pairing.disturbed_share() > DISTURBED_MAX || pairing.device_changed() {
        return Verdict::Inconclusive;
    }
    let suspects: Vec<&Row> = rows.iter().filter(|row| row.finding == Finding::Worse).collect();
    if suspects.iter().any(|row| row.confirmed == Some(true)) {
        return Verdict::Regression;
    }
    if let Some(suspect) = suspects.first() {
        let rerun = suspect.confirmed.is_some();
        return if rerun { Verdict::NotConfirmed } else { Verdict::Suspected };
    }
    // The first row is the rate of everything.
    match rows.first().map(|row| row.finding) {
        Some(Finding::NotWorse | Finding::Better) => Verdict::Pass,
        _ => Verdict::Inconclusive,
    }
}

fn party(measured: &Measured, blocks: usize) -> Party {
    let manifest = measured.manifest();
    Party {
        name: measured.name.clone(),
        plimsoll_version: manifest.environment_before.plimsoll_version.clone(),
        kernel: manifest.environment_before.kernel.clone(),
        started_utc: manifest.started_utc.clone(),
        blocks,
    }
}

fn changed(runs: &Runs<'_>) -> Vec<Changed> {
    differences(runs.base.manifest(), runs.new.manifest())
        .into_iter()
        .map(|difference| Changed {
            what: difference.what.to_owned(),
            base: difference.base,
            new: difference.new,
        })
        .collect()
}
