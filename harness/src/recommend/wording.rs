//! The sentences people read. They state the number, its interval and what it is compared with,
//! and never claim that a setting has no effect where the run was merely too noisy to show one.

use crate::stats::has_interval;
use crate::store::schema::{Estimate, LevelEffect};
use crate::units::{format_change, format_change_estimate, format_share};

use super::noise::Noise;

/// Says what an axis did; `levels` begins with the baseline.
pub(crate) fn axis_sentence(
    axis: &str,
    levels: &[LevelEffect],
    noise: &Noise,
    blocks: usize,
) -> String {
    let Some((baseline, others)) = levels.split_first() else {
        return format!("{axis} has no levels.");
    };
    let compared: Vec<Compared<'_>> = others
        .iter()
        .filter_map(|level| {
            Some(Compared {
                level,
                rate: level.rate_ratio?,
                rate_matters: noise.rate_matters(level),
                p99_matters: noise.p99_matters(level),
            })
        })
        .collect();
    let Some(strongest) = compared.iter().max_by(|a, b| a.strength().total_cmp(&b.strength()))
    else {
        let why = if others.is_empty() {
            "it has only one level"
        } else if blocks == 0 {
            "no block is complete"
        } else {
            "no two configurations that differ only in it could both run"
        };
        return format!("{axis} could not be compared: {why}.");
    };
    if !has_interval(&strongest.rate) {
        return format!(
            "{axis}: {} against {} changed commits by {} in {}, too few to tell an effect from noise.",
            strongest.level.level,
            baseline.level,
            format_change(strongest.rate.value),
            counted(blocks, "block"),
        );
    }
    if compared.iter().any(Compared::matters) {
        return effect_sentence(axis, &baseline.level, &compared);
    }
    no_effect_sentence(axis, &baseline.level, &compared, noise)
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
}

impl Compared<'_> {
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

    /// Farthest end of the rate's interval from no change.
    fn reach(&self) -> f64 {
        self.rate.low.ln().abs().max(self.rate.high.ln().abs())
    }
}

fn no_effect_sentence(
    axis: &str,
    baseline: &str,
    compared: &[Compared<'_>],
    noise: &Noise,
) -> String {
    let Some(widest) = compared.iter().max_by(|a, b| a.reach().total_cmp(&b.reach())) else {
        return String::new();
    };
    let threshold = noise.rate_threshold();
    let change = format!(
        "{} against {baseline} changes commits by {}",
        widest.level.level,
        format_change_estimate(&widest.rate)
    );
    let yardstick = match noise.rate {
        Some(floor) if floor >= threshold => format!("the noise ({})", format_share(floor)),
        _ => format!("what is worth acting on ({})", format_share(threshold)),
    };
    if widest.reach() <= threshold.ln_1p() {
        format!("{axis} does not matter here: {change}, inside {yardstick}.")
    } else {
        // Absence of evidence: the interval leaves room for an effect larger than the noise.
        format!(
            "{axis} shows no effect here: {change}, not told apart from {yardstick}; more blocks would."
        )
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
