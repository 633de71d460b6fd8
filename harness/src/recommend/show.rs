//! A recommendation, or why there is none, for a terminal.

use std::fmt::Write as _;

use crate::export::Table;
use crate::profile::SettingKey;
use crate::stats::has_interval;
use crate::store::schema::{
    Analysis, ConfigurationSummary, Estimate, FrontPoint, Manifest, Recommendation, Refusal,
};
use crate::units::{
    format_bytes, format_rate, format_rate_estimate, format_share, format_us, format_us_estimate,
};

use super::wording::{counted, window_sentence};

/// Everything that a person needs to decide, the decision first.
pub(crate) fn text(manifest: &Manifest, analysis: &Analysis) -> String {
    let mut text = String::new();
    if let Some(recommendation) = &analysis.recommendation {
        recommended(&mut text, manifest, analysis, recommendation);
    } else if let Some(refusal) = &analysis.refusal {
        refused(&mut text, manifest, refusal);
    } else {
        text.push_str("No recommendation: the plan holds nothing to choose from.\n");
    }
    front(&mut text, analysis);
    let interactions = analysis.interactions.iter().flat_map(|all| &all.found);
    let told: Vec<&str> = interactions.map(|found| found.sentence.as_str()).collect();
    list(&mut text, "What depends on what", &told);
    if analysis.recommendation.is_none() {
        let sentences: Vec<&str> =
            analysis.axes.iter().map(|axis| axis.sentence.as_str()).collect();
        list(&mut text, "What each setting does", &sentences);
    }
    if let Some(rate) = analysis.window_helps_from_per_second {
        let _ = writeln!(text, "\n{}", window_sentence(rate));
    }
    if let Some(recommendation) = &analysis.recommendation {
        let caveats: Vec<&str> = recommendation.caveats.iter().map(String::as_str).collect();
        list(&mut text, "Before you rely on it", &caveats);
    }
    text
}

fn recommended(
    text: &mut String,
    manifest: &Manifest,
    analysis: &Analysis,
    recommendation: &Recommendation,
) {
    let id = &recommendation.config_id;
    let _ = writeln!(text, "Run {} with {id}{}", manifest.run_id, asked(analysis));
    if let Some(settings) = analysis.recommended(manifest).map(|chosen| &chosen.settings) {
        for key in SettingKey::ALL {
            let why = recommendation.reasons.get(key.name()).map_or("", String::as_str);
            let _ = writeln!(text, "  {} = {}\n      {why}", key.name(), key.text(settings));
        }
    }
    text.push('\n');
    if let Some(own) = analysis.configurations.iter().find(|own| own.config_id == *id) {
        let _ = writeln!(text, "{}", measured(analysis, own));
    }
    let others = recommendation.ties.iter().filter(|tie| *tie != id).count();
    let _ = match others {
        0 => writeln!(
            text,
            "No other configuration comes as near to the best, as far as this run can tell."
        ),
        _ => writeln!(
            text,
            "{} cannot be told from the best: of those on the front {id} is the simplest that does as well.",
            counted(others + 1, "configuration")
        ),
    };
    if let Some(knee) = &analysis.knee {
        let _ = writeln!(text, "Knee: {}", knee.sentence);
    }
}

/// The question, where it was not the one that every run is concluded for.
fn asked(analysis: &Analysis) -> String {
    let Some(asked) = &analysis.asked else {
        return ":".to_owned();
    };
    let slo = asked.slo.as_ref().map_or_else(String::new, |slo| format!(", meeting {slo}"));
    format!(" ({}{slo}):", asked.objective)
}

fn measured(analysis: &Analysis, own: &ConfigurationSummary) -> String {
    let shown =
        |value: Option<Estimate>, bare: fn(f64) -> String, full: fn(&Estimate) -> String| {
            value.map_or_else(
                || "unknown".to_owned(),
                |value| if has_interval(&value) { full(&value) } else { bare(value.value) },
            )
        };
    let noise = analysis.noise_floor_ratio.map_or_else(
        || "an unknown noise floor".to_owned(),
        |noise| format!("a noise floor of {}", format_share(noise)),
    );
    format!(
        "Measured: {} commits, p99 {} (medians and 95 % intervals over {}, {noise}).",
        shown(own.rate_per_second, format_rate, format_rate_estimate),
        shown(own.p99_us, format_us, format_us_estimate),
        counted(analysis.blocks as usize, "block")
    )
}

fn refused(text: &mut String, manifest: &Manifest, refusal: &Refusal) {
    let _ = writeln!(text, "Run {}: no recommendation.", manifest.run_id);
    for reason in &refusal.reasons {
        let _ = writeln!(text, "  {reason}");
    }
    text.push_str("What would settle it:\n");
    for settled in &refusal.settled_by {
        let _ = writeln!(text, "  {settled}");
    }
}

/// The configurations that are on the front, the fastest first.
fn front(text: &mut String, analysis: &Analysis) {
    let mut points: Vec<&FrontPoint> =
        analysis.front.iter().filter(|point| point.on_front).collect();
    points.sort_by(|a, b| b.rate_per_second.total_cmp(&a.rate_per_second));
    if points.is_empty() {
        return;
    }
    let tail = |latency_us: Option<f64>| latency_us.map_or_else(|| "unknown".to_owned(), format_us);
    let mut table = Table::new([
        "configuration",
        "rate",
        "p99",
        "p99.9",
        "written/payload",
        "CPU/commit",
        "buffers",
    ]);
    for point in &points {
        table.row([
            point.config_id.clone(),
            format_rate(point.rate_per_second),
            tail(point.p99_us),
            tail(point.p999_us),
            format!("{:.2}", point.device_bytes_per_payload_byte),
            format_us(point.cpu_us_per_commit),
            format_bytes(point.memory_bytes),
        ]);
    }
    let _ = write!(
        text,
        "\nThe front: {} of {}; one of these is clearly better than each of the others in something \
         and seems worse in nothing\n{}",
        points.len(),
        counted(analysis.front.len(), "configuration"),
        table.text()
    );
}

fn list(text: &mut String, heading: &str, items: &[&str]) {
    if items.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{heading}:");
    for item in items {
        let _ = writeln!(text, "  - {item}");
    }
}
