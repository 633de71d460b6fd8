//! The sentences people read. They state the number, its interval and what it is compared with,
//! and never claim that a setting has no effect where the run was merely too noisy to show one.

use crate::stats::has_interval;
use crate::store::schema::{AxisVerdict, Estimate, Knee, LevelEffect};
use crate::units::{format_change, format_change_estimate, format_rate, format_share, format_us};

use super::effects::ComparedLevel;
use super::measures::WORSE_P99_RATIO;
use super::noise::Noise;

/// A change of the rate that is not worth a setting, as a ratio minus 1: the smallest one that
/// `compare` promises to find.
pub(crate) const SAME_RATE_RATIO: f64 = 0.05;

/// What is said of an axis.
pub(crate) struct Said {
    pub verdict: AxisVerdict,
    pub sentence: String,
}

/// Says what an axis did; `levels` begins with the baseline.
pub(crate) fn axis_sentence(
    axis: &str,
    levels: &[ComparedLevel],
    noise: &Noise,
    blocks: usize,
) -> Said {
    let cannot_tell = |sentence: String| Said { verdict: AxisVerdict::CannotTell, sentence };
    let Some((baseline, others)) = levels.split_first() else {
        return cannot_tell(format!("{axis} has no levels."));
    };
    let baseline = &baseline.effect.level;
    let compared: Vec<Compared<'_>> =
        others.iter().filter_map(|level| Compared::new(level, noise)).collect();
    let Some(strongest) = compared.iter().max_by(|a, b| a.strength().total_cmp(&b.strength()))
    else {
        let why = if others.is_empty() {
            "it has only one level"
        } else if blocks == 0 {
            "no block is complete"
        } else {
            "no two configurations that differ only in it could both run"
        };
        return cannot_tell(format!("{axis} could not be compared: {why}."));
    };
    if !has_interval(&strongest.rate) {
        return cannot_tell(format!(
            "{axis}: {} against {baseline} changed commits by {} in {}, too few to tell an effect from noise.",
            strongest.level.level,
            format_change(strongest.rate.value),
            counted(blocks, "block"),
        ));
    }
    if compared.iter().any(Compared::matters) {
        let sentence = effect_sentence(axis, baseline, &compared);
        return Said { verdict: AxisVerdict::Matters, sentence };
    }
    no_effect(axis, baseline, &compared, noise, blocks)
}

/// Where the front bends, and what was made of it.
pub(crate) fn knee_sentence(knee: &Knee, stepped_back: bool) -> String {
    let Knee { config_id, fastest_id, rate_ratio, p99_ratio, .. } = knee;
    let trade = format!(
        "{config_id} has {} of the rate of {fastest_id}, the fastest, and {} of its p99",
        format_share(*rate_ratio),
        format_share(*p99_ratio)
    );
    match (knee.steep, stepped_back) {
        (true, true) => format!("{trade}: a little less rate buys much latency, so it steps back."),
        (true, false) => format!("{trade}: a little less rate would buy much latency."),
        (false, _) => format!("{trade}: too little to step back for, or not clear enough."),
    }
}

/// From which arrivals on a commit window can help.
pub(crate) fn window_sentence(window_helps_from_per_second: f64) -> String {
    format!(
        "Below {} arrivals, more than {} apart, a commit window finds nobody to wait for: that is \
         2/F0, and F0, the device's rate of single durable writes, is {}.",
        format_rate(window_helps_from_per_second),
        format_us(1e6 / window_helps_from_per_second),
        format_rate(window_helps_from_per_second * 2.0)
    )
}

/// `1 block`, `3 blocks`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// A level that could be compared with the baseline.
struct Compared<'a> {
    level: &'a LevelEffect,
    rate: Estimate,
    rate_matters: bool,
    p99_matters: bool,
    blocks_needed: Option<u32>,
}

impl<'a> Compared<'a> {
    /// `None` where nothing could be compared.
    fn new(level: &'a ComparedLevel, noise: &Noise) -> Option<Self> {
        let effect = &level.effect;
        Some(Self {
            level: effect,
            rate: effect.rate_ratio?,
            rate_matters: noise.rate_matters(effect),
            p99_matters: noise.p99_matters(effect),
            blocks_needed: level.blocks_needed,
        })
    }

    fn matters(&self) -> bool {
        self.rate_matters || self.p99_matters
    }

    /// How far from no change, in either direction; levels that matter come before all others.
    fn strength(&self) -> f64 {
        let change = |ratio: Estimate| ratio.value.ln().abs();
        let p99 = self.level.p99_ratio.filter(|_| self.p99_matters);
        let rank = if self.rate_matters {
            2e3
        } else if self.p99_matters {
            1e3
        } else {
            0.0
        };
        rank + change(self.rate).max(p99.map_or(0.0, change))
    }

    /// Whether the interval of p99 lies inside what is not worth a setting.
    fn p99_is_the_same(&self) -> bool {
        let known = self.level.p99_ratio.filter(has_interval);
        known.is_some_and(|p99| reach(&p99) <= WORSE_P99_RATIO.ln_1p())
    }
}

/// Farthest end of a ratio's interval from no change.
fn reach(ratio: &Estimate) -> f64 {
    ratio.low.ln().abs().max(ratio.high.ln().abs())
}

/// That nothing is shown to matter leaves two cases. Shown not to matter is what has its whole
/// interval inside what is not worth a setting: D. J. Schuirmann's two one-sided tests, Journal of
/// Pharmacokinetics and Biopharmaceutics 15 (1987), with a 95 % interval for his 90 %. The rest is
/// not known, and the noise of the machine is no excuse to call it nothing.
fn no_effect(
    axis: &str,
    baseline: &str,
    compared: &[Compared<'_>],
    noise: &Noise,
    blocks: usize,
) -> Said {
    let farthest = compared.iter().max_by(|a, b| reach(&a.rate).total_cmp(&reach(&b.rate)));
    let Some(farthest) = farthest else {
        return Said { verdict: AxisVerdict::CannotTell, sentence: String::new() };
    };
    let change = format!(
        "{} against {baseline} changes commits by {}",
        farthest.level.level,
        format_change_estimate(&farthest.rate)
    );
    if reach(&farthest.rate) > SAME_RATE_RATIO.ln_1p() {
        let excludes_1 = farthest.rate.low > 1.0 || farthest.rate.high < 1.0;
        let why = match noise.rate {
            Some(floor) if excludes_1 => {
                format!("less than the noise of {} between equal runs", format_share(floor))
            }
            _ => format!("so that {} or more is not excluded", format_share(SAME_RATE_RATIO)),
        };
        let more = farthest.blocks_needed.filter(|needed| *needed as usize > blocks);
        let settled = more.map_or_else(String::new, |needed| {
            format!("; about {} would tell", counted(needed as usize, "block"))
        });
        return Said {
            verdict: AxisVerdict::CannotTell,
            sentence: format!(
                "{axis}: this run cannot tell whether it matters, {change}, {why}{settled}."
            ),
        };
    }
    let at_most = format_share(reach(&farthest.rate).exp_m1());
    let yardstick = match noise.rate {
        Some(floor) if floor > SAME_RATE_RATIO => {
            format!("the noise of {}", format_share(floor))
        }
        _ => format!("the {} that a setting is worth", format_share(SAME_RATE_RATIO)),
    };
    let bound = format!("{change}, at most {at_most} either way, less than {yardstick}");
    if compared.iter().all(Compared::p99_is_the_same) {
        let sentence = format!("{axis} does not matter here: {bound}.");
        return Said { verdict: AxisVerdict::DoesNotMatter, sentence };
    }
    Said {
        verdict: AxisVerdict::CannotTell,
        sentence: format!(
            "{axis} does not matter to commits here: {bound}; what it does to p99 this run cannot \
             tell."
        ),
    }
}

/// The strongest level that matters, and the strongest in the other direction if there is one.
fn effect_sentence(axis: &str, baseline: &str, compared: &[Compared<'_>]) -> String {
    let mut mattering: Vec<&Compared<'_>> =
        compared.iter().filter(|level| level.matters()).collect();
    mattering.sort_by(|a, b| b.strength().total_cmp(&a.strength()));
    let Some((first, rest)) = mattering.split_first() else {
        return String::new();
    };
    let opposite = rest.iter().find(|other| {
        first.rate_matters
            && other.rate_matters
            && (other.rate.value > 1.0) != (first.rate.value > 1.0)
    });
    let mut sentence =
        format!("{axis} {}: {}", verdict(first, opposite.is_some()), clause(first, baseline));
    if let Some(other) = opposite {
        sentence.push_str("; ");
        sentence.push_str(&clause(other, baseline));
    }
    sentence.push('.');
    sentence
}

fn verdict(level: &Compared<'_>, both_ways: bool) -> &'static str {
    let faster = level.rate.value > 1.0;
    let slower_tail = level.level.p99_ratio.is_some_and(|ratio| ratio.value > 1.0);
    match (both_ways, level.rate_matters, level.p99_matters) {
        (true, _, _) => "cuts both ways",
        (_, true, true) if faster && slower_tail => "trades latency for rate",
        (_, true, true) if !faster && !slower_tail => "trades rate for latency",
        (_, true, _) if faster => "helps",
        (_, true, _) => "costs",
        (_, false, _) if slower_tail => "costs latency",
        (_, false, _) => "helps latency",
    }
}

fn clause(level: &Compared<'_>, baseline: &str) -> String {
    let rate = if level.rate_matters {
        rate_phrase(&level.rate)
    } else {
        format!("leaves commits as they are ({})", format_change_estimate(&level.rate))
    };
    let tail = match level.level.p99_ratio.filter(|_| level.p99_matters) {
        Some(p99) => format!(" and p99 {}", p99_phrase(p99.value)),
        None => String::new(),
    };
    format!("{} against {baseline} {rate}{tail}", level.level.level)
}

/// Small changes read best in percent, large ones as a factor.
fn rate_phrase(ratio: &Estimate) -> String {
    let factor = format!("{:.2}x [{:.2}, {:.2}]", ratio.value, ratio.low, ratio.high);
    match ratio.value {
        value if (0.47..=0.53).contains(&value) => format!("halves commits ({factor})"),
        value if (1.9..=2.1).contains(&value) => format!("doubles commits ({factor})"),
        value if value < 0.67 => format!("cuts commits to {factor}"),
        value if value > 1.5 => format!("raises commits to {factor}"),
        _ => format!("changes commits by {}", format_change_estimate(ratio)),
    }
}

fn p99_phrase(ratio: f64) -> String {
    match ratio {
        value if value >= 1.5 => format!("rises {value:.1}x"),
        value if value > 1.0 => format!("rises {}", format_share(value - 1.0)),
        value if value > 0.67 => format!("falls {}", format_share(1.0 - value)),
        value => format!("falls to {value:.2}x"),
    }
}
