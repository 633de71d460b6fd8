//! The answer, from the manifest and the stored trials alone.

use crate::stats::{median, point};
use crate::store::capacity::{
    CapacityAnalysis, CapacityManifest, CapacityTrial, Finding, Phase, Verdict,
};
use crate::store::schema::{Estimate, LatencySummary, RunStatus, SCHEMA_VERSION};
use crate::units::{format_data, format_rate, format_share, format_us};

/// Of the carried rate: room for growth, for a busy hour, and for what a short look has not seen.
const ADVISED_RATIO: f64 = 0.7;

const SECONDS_PER_YEAR: f64 = 365.25 * 86_400.0;

/// Of the durable writes that the device can do one at a time: from here on it is the device.
const DEVICE_BUSY_RATIO: f64 = 0.75;

/// A limit that lies between rates further apart than this is worth a word.
const WIDE_RATIO: f64 = 1.05;

/// Concludes what the run came to.
pub(crate) fn analyse(manifest: &CapacityManifest, trials: &[CapacityTrial]) -> CapacityAnalysis {
    let question = &manifest.question;
    let confirmed = confirmed(trials, question.confirmations);
    let carried = confirmed.first().map(|trial| trial.offered_rate_per_second);
    let broken = carried.and_then(|rate| broken_above(trials, rate));
    let finding = finding(manifest, trials, carried.is_some());
    let bytes_ratio = |bytes: fn(&CapacityTrial) -> Option<u64>| {
        let ratios: Vec<f64> = confirmed
            .iter()
            .filter(|trial| trial.payload_bytes > 0)
            .filter_map(|trial| Some(bytes(trial)? as f64 / trial.payload_bytes as f64))
            .collect();
        median(&ratios)
    };
    let log_ratio = bytes_ratio(|trial| Some(trial.log_bytes));
    let log_rates: Vec<f64> =
        confirmed.iter().map(|trial| trial.log_bytes as f64 / trial.measured_seconds).collect();
    let log_bytes_per_second = median(&log_rates);
    let years = |bytes_per_second: Option<f64>| {
        let rate = bytes_per_second.filter(|rate| *rate > 0.0)?;
        Some(question.tbw_bytes? as f64 / rate / SECONDS_PER_YEAR)
    };
    let advised_log_bytes = log_bytes_per_second.map(|rate| rate * ADVISED_RATIO);
    CapacityAnalysis {
        schema_version: SCHEMA_VERSION.to_owned(),
        finding,
        answer: answer(finding, manifest, trials, carried),
        carried_rate_per_second: carried.map(|value| match broken {
            Some(high) => Estimate { value, low: value, high: high.offered_rate_per_second },
            None => point(value),
        }),
        advised_rate_per_second: carried.map(|rate| rate * ADVISED_RATIO),
        latency: carried.map(|_| latency(&confirmed)),
        limited_by: limited_by(manifest, &confirmed, broken),
        log_bytes_per_payload_byte: log_ratio,
        disk_bytes_per_payload_byte: bytes_ratio(|trial| trial.disk_bytes),
        advised_log_bytes_per_second: advised_log_bytes,
        life_years_advised: years(advised_log_bytes),
        life_years_carried: years(log_bytes_per_second),
        life_basis: life_basis(manifest),
        caveats: caveats(manifest, trials, &confirmed, broken),
        verified_records: trials.iter().map(|trial| trial.verified_records).sum(),
    }
}

/// The confirmations of the rate that held each time.
fn confirmed(trials: &[CapacityTrial], confirmations: u32) -> Vec<&CapacityTrial> {
    let Some(last) = trials.iter().rev().find(|trial| trial.phase == Phase::Confirm) else {
        return Vec::new();
    };
    let same = |trial: &&CapacityTrial| {
        trial.phase == Phase::Confirm
            && trial.offered_rate_per_second.total_cmp(&last.offered_rate_per_second).is_eq()
    };
    let found: Vec<&CapacityTrial> = trials.iter().filter(same).collect();
    let each_held = found.iter().all(|trial| trial.verdict == Verdict::Met);
    if each_held && found.len() >= confirmations.max(1) as usize { found } else { Vec::new() }
}

/// The lowest rate above that did not hold when it was last offered.
fn broken_above(trials: &[CapacityTrial], rate: f64) -> Option<&CapacityTrial> {
    let above = |trial: &&CapacityTrial| trial.offered_rate_per_second > rate;
    let mut candidates: Vec<&CapacityTrial> =
        trials.iter().filter(above).filter(|trial| trial.verdict != Verdict::Met).collect();
    candidates.retain(|candidate| {
        // Once missed and then met is a stall of somebody else's.
        let met_later = |later: &CapacityTrial| {
            later.number > candidate.number
                && later
                    .offered_rate_per_second
                    .total_cmp(&candidate.offered_rate_per_second)
                    .is_eq()
                && later.verdict == Verdict::Met
        };
        !trials.iter().any(met_later)
    });
    candidates
        .into_iter()
        .min_by(|a, b| a.offered_rate_per_second.total_cmp(&b.offered_rate_per_second))
}

fn finding(manifest: &CapacityManifest, trials: &[CapacityTrial], carried: bool) -> Finding {
    let any = |wanted: fn(&Verdict) -> bool| trials.iter().any(|trial| wanted(&trial.verdict));
    if any(|verdict| matches!(verdict, Verdict::Failed { .. })) {
        Finding::Failed
    } else if carried {
        Finding::Carried
    } else if manifest.status != RunStatus::Complete {
        Finding::Unfinished
    } else if any(|verdict| {
        matches!(verdict, Verdict::Met | Verdict::Unsupported { .. } | Verdict::Invalid { .. })
    }) || trials.iter().all(|trial| trial.disturbed)
    {
        // What only a busy machine has missed is no slow log.
        Finding::Inconclusive
    } else {
        Finding::Impossible
    }
}

fn answer(
    finding: Finding,
    manifest: &CapacityManifest,
    trials: &[CapacityTrial],
    carried: Option<f64>,
) -> String {
    let question = &manifest.question;
    let last = trials.last();
    let lowest = trials
        .iter()
        .min_by(|a, b| a.offered_rate_per_second.total_cmp(&b.offered_rate_per_second));
    match (finding, carried) {
        (Finding::Carried, Some(rate)) => format!(
            "This log carries {} under {}; run it at {} at most.",
            format_rate(rate),
            question.slo,
            format_rate(rate * ADVISED_RATIO)
        ),
        (Finding::Impossible, _) => format!(
            "Even {} miss {}: {}.",
            lowest.map_or_else(String::new, |trial| format_rate(trial.offered_rate_per_second)),
            question.slo,
            lowest.map_or("nothing was measured", |trial| reason(&trial.verdict))
        ),
        (Finding::Failed, _) => {
            let failed = trials.iter().find_map(|trial| match &trial.verdict {
                Verdict::Failed { reason } => Some(reason.as_str()),
                _ => None,
            });
            format!("The log failed: {}.", failed.unwrap_or("see the journal"))
        }
        (Finding::Inconclusive, _) if trials.iter().all(|trial| trial.verdict != Verdict::Met) => {
            format!(
                "No answer: no rate could be judged. The last trial: {}. Try again on a quieter \
                 machine, or with longer probes.",
                last.map_or("nothing was measured", |trial| reason(&trial.verdict))
            )
        }
        (Finding::Inconclusive, _) => format!(
            "No answer: {} looked carried in short trials and did not hold each time in longer \
             ones; the last one: {}.",
            last.map_or_else(String::new, |trial| format_rate(trial.offered_rate_per_second)),
            last.map_or("nothing was measured", |trial| reason(&trial.verdict))
        ),
        _ => "The run ended before there was an answer.".to_owned(),
    }
}

/// What a verdict says, for people.
fn reason(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Met => "met",
        Verdict::Unsupported { .. } => "the sample is too small for the strictest objective",
        other => other.reason().unwrap_or_default(),
    }
}

fn latency(confirmed: &[&CapacityTrial]) -> LatencySummary {
    let of = |part: &dyn Fn(&LatencySummary) -> Option<f64>| {
        let found: Vec<f64> = confirmed.iter().filter_map(|trial| part(&trial.latency)).collect();
        median(&found)
    };
    let always = |part: fn(&LatencySummary) -> f64| of(&|found| Some(part(found))).unwrap_or(0.0);
    LatencySummary {
        mean_us: always(|found| found.mean_us),
        p50_us: always(|found| found.p50_us),
        p90_us: always(|found| found.p90_us),
        p99_us: of(&|found| found.p99_us),
        p999_us: of(&|found| found.p999_us),
        p9999_us: of(&|found| found.p9999_us),
        max_us: confirmed.iter().map(|trial| trial.latency.max_us).fold(0.0, f64::max),
    }
}

fn limited_by(
    manifest: &CapacityManifest,
    confirmed: &[&CapacityTrial],
    broken: Option<&CapacityTrial>,
) -> String {
    let mut text = match broken {
        Some(trial) => format!(
            "At {} it breaks: {}.",
            format_rate(trial.offered_rate_per_second),
            reason(&trial.verdict)
        ),
        None if confirmed.is_empty() => return "Not known.".to_owned(),
        None => "Nothing up to the highest rate that was offered (--max-rate).".to_owned(),
    };
    let (Some(trial), Some(ceiling)) = (confirmed.first(), &manifest.ceiling) else { return text };
    let batches = trial.commit_groups as f64 / trial.measured_seconds;
    let bytes = trial.log_bytes as f64 / trial.measured_seconds;
    let writes_share = batches / ceiling.durable_writes_per_second.max(f64::MIN_POSITIVE);
    let bytes_share = bytes / ceiling.durable_bytes_per_second.max(f64::MIN_POSITIVE);
    let busy = match writes_share.max(bytes_share) {
        share if share < DEVICE_BUSY_RATIO => {
            "the device has room; what limits is the tail of its latency, or the processors"
        }
        _ if writes_share >= bytes_share => "the device's rate of durable writes is the limit",
        _ => "the device's bandwidth is the limit",
    };
    text.push_str(&format!(
        " At the carried rate the log makes {} batches of {:.1} records, {} of the durable writes \
         the device does one at a time, and takes {} of its bandwidth: {busy}.",
        format_rate(batches),
        trial.answered as f64 / trial.commit_groups.max(1) as f64,
        format_share(writes_share),
        format_share(bytes_share),
    ));
    text
}

fn life_basis(manifest: &CapacityManifest) -> String {
    match manifest.question.tbw_bytes {
        Some(tbw_bytes) => format!(
            "{} rated endurance (--tbw), by the bytes of log handed to the device, each written \
             once, around the clock",
            format_data(tbw_bytes as f64)
        ),
        None => "not known: sysfs does not say what a drive is rated for, and SMART is not read; \
                 name the data sheet's figure with --tbw"
            .to_owned(),
    }
}

fn caveats(
    manifest: &CapacityManifest,
    trials: &[CapacityTrial],
    confirmed: &[&CapacityTrial],
    broken: Option<&CapacityTrial>,
) -> Vec<String> {
    let question = &manifest.question;
    let mut caveats = Vec::new();
    let disturbed = trials.iter().filter(|trial| trial.disturbed).count();
    if disturbed > 0 {
        caveats.push(format!(
            "{disturbed} of {} trials were probably disturbed by other load on the machine.",
            trials.len()
        ));
    }
    let steal = trials.iter().map(|trial| trial.steal_ratio).fold(0.0, f64::max);
    if steal > 0.005 {
        caveats.push(format!(
            "The host took up to {} of the processor time for others: this machine is shared.",
            format_share(steal)
        ));
    }
    if let (Some(trial), Some(broken)) = (confirmed.first(), broken)
        && broken.offered_rate_per_second / trial.offered_rate_per_second > WIDE_RATIO
    {
        caveats.push(format!(
            "Short trials and confirmations disagreed between {} and {}: the machine's own noise \
             decides there.",
            format_rate(trial.offered_rate_per_second),
            format_rate(broken.offered_rate_per_second)
        ));
    }
    if question.zeroes_ahead {
        caveats.push(
            "The log grew into fresh segments, zeroed ahead of it. One that is truncated uses old \
             ones again, writes half as much and can only be faster."
                .to_owned(),
        );
    }
    caveats.push(format!(
        "Trials of {} s see no stall that comes once an hour, and no drive that slows down when it \
         is full or hot.",
        question.confirm_seconds
    ));
    caveats.push(
        "One thread makes the load and looks at the durable LSN all the time: it keeps a processor \
         busy, and what waking a waiting thread costs is not in the latency."
            .to_owned(),
    );
    if question.compressible_ratio == 0.0 {
        caveats.push("Payloads do not compress: a drive that compresses may do better.".to_owned());
    }
    if let Some(ceiling) = &manifest.ceiling {
        caveats.push(format!(
            "Measured on a device whose single durable writes take {} (p99 {}).",
            format_us(ceiling.durable_write_p50_us),
            format_us(ceiling.durable_write_p99_us)
        ));
    }
    caveats
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::capacity::synthetic::{manifest, trial, trials};

    #[test]
    fn the_answer_is_the_rate_that_held_each_time() {
        let found = analyse(&manifest(), &trials());
        assert_eq!(found.finding, Finding::Carried);
        let carried = found.carried_rate_per_second.expect("carried");
        assert_eq!((carried.value, carried.low, carried.high), (10_000.0, 10_000.0, 11_000.0));
        assert_eq!(found.advised_rate_per_second, Some(7_000.0));
        assert_eq!(found.log_bytes_per_payload_byte, Some(10.0));
        assert_eq!(found.disk_bytes_per_payload_byte, Some(20.0));
        // 600 TB at 7,000 records of 2,560 bytes of log a second.
        let years = found.life_years_advised.expect("--tbw was given");
        assert!((years - 600e12 / (7_000.0 * 2_560.0) / SECONDS_PER_YEAR).abs() < 1e-9, "{years}");
        assert!(found.limited_by.starts_with("At 11.0 k/s it breaks: p99 at 11000."), "{found:?}");
    }

    #[test]
    fn what_did_not_hold_each_time_is_no_answer() {
        let mut disagreeing = trials();
        disagreeing[6].verdict = Verdict::Missed { reason: "p99 2.00 ms of 1ms".into() };
        let found = analyse(&manifest(), &disagreeing);
        assert_eq!(found.finding, Finding::Inconclusive);
        assert_eq!((found.carried_rate_per_second, found.life_years_advised), (None, None));
        // A step back that holds is one, and the rate above it is known to break.
        disagreeing.truncate(7);
        disagreeing.extend((7..10).map(|number| trial(number, Phase::Confirm, 9_800.0)));
        let found = analyse(&manifest(), &disagreeing);
        let carried = found.carried_rate_per_second.expect("carried");
        assert_eq!((carried.value, carried.high), (9_800.0, 10_000.0));
        // Two of three are not three.
        disagreeing.pop();
        assert_eq!(analyse(&manifest(), &disagreeing).finding, Finding::Inconclusive);
    }

    #[test]
    fn a_miss_that_was_met_when_looked_at_again_is_no_limit() {
        let mut trials = trials();
        trials[3].number = 20;
        trials[3].verdict = Verdict::Missed { reason: "a stall".into() };
        trials.push(CapacityTrial { verdict: Verdict::Met, ..trial(21, Phase::Bisect, 11_000.0) });
        let carried = analyse(&manifest(), &trials).carried_rate_per_second.expect("carried");
        assert_eq!(carried.high, 16_000.0);
    }

    #[test]
    fn each_way_to_end_without_an_answer_has_its_own_name() {
        let missed = [trial(0, Phase::Bracket, 12_000.0)];
        assert_eq!(analyse(&manifest(), &missed).finding, Finding::Impossible);
        let interrupted = CapacityManifest { status: RunStatus::Interrupted, ..manifest() };
        assert_eq!(analyse(&interrupted, &trials()[..3]).finding, Finding::Unfinished);
        assert_eq!(analyse(&interrupted, &[]).finding, Finding::Unfinished);
        let mut failed = trials();
        failed[7].verdict = Verdict::Failed { reason: "record 3 is lost".into() };
        let found = analyse(&manifest(), &failed);
        assert_eq!(found.finding, Finding::Failed);
        assert!(found.answer.contains("record 3 is lost"), "{}", found.answer);
    }

    #[test]
    fn a_machine_too_busy_to_measure_on_is_no_slow_log() {
        let mut late = trial(0, Phase::Bracket, 1_000.0);
        late.verdict = Verdict::Invalid { reason: "the generator was late".into() };
        let found = analyse(&manifest(), &[late]);
        assert_eq!(found.finding, Finding::Inconclusive);
        assert!(found.answer.contains("no rate could be judged"), "{}", found.answer);
        let missed = CapacityTrial { disturbed: true, ..trial(0, Phase::Bracket, 12_000.0) };
        assert_eq!(analyse(&manifest(), &[missed]).finding, Finding::Inconclusive);
    }

    #[test]
    fn without_a_rated_endurance_the_life_is_said_to_be_unknown() {
        let mut manifest = manifest();
        manifest.question.tbw_bytes = None;
        let found = analyse(&manifest, &trials());
        assert_eq!(found.life_years_advised, None);
        assert!(found.life_basis.starts_with("not known"), "{}", found.life_basis);
    }
}
