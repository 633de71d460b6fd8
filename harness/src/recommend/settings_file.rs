//! The recommendation as a file: a `[wal]` table that the library loads, each setting preceded by
//! its reason, under a header that says where it was measured and how fast.

use std::fmt::Write;

use crate::load::described;
use crate::profile::SettingKey;
use crate::stats::has_interval;
use crate::store::certificate::Standing;
use crate::store::schema::{
    Analysis, ConfigurationSummary, Environment, Estimate, Manifest, Recommendation, Settings,
};
use crate::units::{format_bytes, format_share, format_us_estimate};
use crate::units::{format_bytes_per_second, format_rate, format_rate_estimate, format_us};

use super::wording::{counted, window_sentence};

/// The keys of the `[wal]` table, in the order written: exactly those that
/// `SegmentedWalConfig::from_profile` reads besides the key files.
const KEYS: [SettingKey; 8] = [
    SettingKey::Alignment,
    SettingKey::BufferSize,
    SettingKey::SegmentSize,
    SettingKey::CommitWindow,
    SettingKey::PipelineDepth,
    SettingKey::Engine,
    SettingKey::Durability,
    SettingKey::Preparation,
];

/// How many of the others are named.
const RUNNERS_UP: usize = 3;

/// How many interactions are told.
const INTERACTIONS: usize = 3;

/// Longest comment line, in characters, the marker included.
const LINE_CHARS: usize = 100;

/// Writes `recommended.toml`; `verified_records` is how many records the run read back and
/// compared. `None` when there is nothing to recommend.
///
/// `standing` is whether the settings are certified, if that is to be told. Holds no key: how to
/// switch encryption on is a comment.
pub(crate) fn recommended_toml(
    manifest: &Manifest,
    analysis: &Analysis,
    verified_records: u64,
    standing: Option<&Standing>,
) -> Option<String> {
    let recommendation = analysis.recommendation.as_ref()?;
    let is_chosen = |id: &str| id == recommendation.config_id;
    let configuration =
        manifest.plan.configurations.iter().find(|configuration| is_chosen(&configuration.id))?;
    let summary = analysis.configurations.iter().find(|summary| is_chosen(&summary.config_id))?;
    let settings = &configuration.settings;

    let mut file = File::default();
    header(&mut file, manifest, recommendation);
    measurements(&mut file, manifest, analysis, summary, settings);
    file.comment(&format!(
        "Verified: {verified_records} acknowledged records were read back and compared, warm-up included."
    ));
    if let Some(standing) = standing {
        file.comment(&standing.sentence());
    }
    if !recommendation.caveats.is_empty() {
        file.blank_comment();
        file.comment("Before relying on it:");
        for caveat in &recommendation.caveats {
            file.comment(&format!("- {caveat}"));
        }
    }
    file.line("");
    file.line("[wal]");
    for key in KEYS {
        let reason = recommendation.reasons.get(key.name());
        file.comment(reason.map_or("no reason recorded", String::as_str));
        file.line(&format!("{} = {}", key.name(), toml_value(key, settings)));
    }
    encryption(&mut file, recommendation, settings);
    Some(file.text)
}

fn header(file: &mut File, manifest: &Manifest, recommendation: &Recommendation) {
    let environment = &manifest.environment_before;
    file.comment(&format!(
        "Settings for a Plimsoll log, recommended by run {} (profile {}, configuration {}).",
        manifest.run_id, manifest.profile_name, recommendation.config_id
    ));
    file.blank_comment();
    file.comment(
        "Use: SegmentedWalConfig::from_profile with the path of this file, or copy the [wal] table \
         into your own. Measure again on another machine, kernel or drive.",
    );
    file.blank_comment();
    file.comment(&format!("Device: {}", device(environment)));
    file.comment(&format!(
        "File system: {} at {} ({})",
        or_unknown(environment.filesystem.as_deref()),
        or_unknown(environment.mount_point.as_deref()),
        or_unknown(environment.mount_options.as_deref())
    ));
    file.comment(&format!(
        "Machine: {}, {} on {}",
        environment.kernel,
        counted(environment.cpus as usize, "processor"),
        or_unknown(environment.cpu_model.as_deref())
    ));
}

fn measurements(
    file: &mut File,
    manifest: &Manifest,
    analysis: &Analysis,
    summary: &ConfigurationSummary,
    settings: &Settings,
) {
    file.comment(&format!(
        "Load: {}, {}",
        described(&manifest.plan, settings),
        if settings.encryption { "encrypted" } else { "not encrypted" }
    ));
    let measured =
        |value: Option<Estimate>, bare: fn(f64) -> String, full: fn(&Estimate) -> String| {
            value.map_or_else(
                || "not supported by the sample".to_owned(),
                |value| if has_interval(&value) { full(&value) } else { bare(value.value) },
            )
        };
    file.comment(&format!(
        "Measured: {} commits, p99 {} (medians over {} of {} s, 95 % intervals in brackets)",
        measured(summary.rate_per_second, format_rate, format_rate_estimate),
        measured(summary.p99_us, format_us, format_us_estimate),
        counted(analysis.blocks as usize, "block"),
        manifest.plan.trial_seconds
    ));
    match &manifest.ceiling {
        Some(ceiling) => file.comment(&format!(
            "Device ceiling: {} durable {} writes one at a time (p99 {}), {} sequential",
            format_rate(ceiling.durable_writes_per_second),
            format_bytes(ceiling.block_bytes),
            format_us(ceiling.durable_write_p99_us),
            format_bytes_per_second(ceiling.durable_bytes_per_second)
        )),
        None => file.comment("Device ceiling: not measured"),
    }
    match analysis.noise_floor_ratio {
        Some(noise) => file.comment(&format!(
            "Noise floor: {} (the same settings at both ends of each block)",
            format_share(noise)
        )),
        None => file.comment("Noise floor: unknown, too few blocks"),
    }
    runners_up(file, analysis, summary);
    trade_offs(file, analysis);
}

/// What else the run shows that bears on the choice.
fn trade_offs(file: &mut File, analysis: &Analysis) {
    if let Some(asked) = &analysis.asked {
        let slo = asked.slo.as_ref().map_or_else(String::new, |slo| format!(" that meet {slo}"));
        file.comment(&format!(
            "Asked for: {} settings{slo}. The run itself is concluded for balanced ones.",
            asked.objective
        ));
    }
    if let Some(knee) = &analysis.knee {
        file.comment(&format!("Knee: {}", knee.sentence));
    }
    for interaction in analysis.interactions.iter().flat_map(|all| &all.found).take(INTERACTIONS) {
        file.comment(&format!("Interaction: {}", interaction.sentence));
    }
    if let Some(rate) = analysis.window_helps_from_per_second {
        file.comment(&window_sentence(rate));
    }
}

/// The next fastest, so that a reader sees what was passed over and by how little.
fn runners_up(file: &mut File, analysis: &Analysis, chosen: &ConfigurationSummary) {
    let ties = analysis.recommendation.iter().flat_map(|choice| &choice.ties);
    let tied = ties.filter(|id| **id != chosen.config_id).count();
    let mut others: Vec<(&str, Estimate)> = analysis
        .configurations
        .iter()
        .filter(|other| other.config_id != chosen.config_id)
        .filter_map(|other| Some((other.config_id.as_str(), other.rate_per_second?)))
        .collect();
    others.sort_by(|a, b| b.1.value.total_cmp(&a.1.value));
    let shown: Vec<String> = others
        .iter()
        .take(RUNNERS_UP)
        .map(|(id, rate)| format!("{id} {}", format_rate_estimate(rate)))
        .collect();
    if !shown.is_empty() {
        file.comment(&format!(
            "Fastest of the others: {}; {} within the error of the fastest",
            shown.join(", "),
            match tied {
                0 => "none is".to_owned(),
                1 => "1 is".to_owned(),
                more => format!("{more} are"),
            }
        ));
    }
}

fn encryption(file: &mut File, recommendation: &Recommendation, settings: &Settings) {
    let reason = recommendation.reasons.get(SettingKey::Encryption.name());
    file.line("");
    file.comment(&format!("Encryption: {}.", reason.map_or("no reason recorded", String::as_str)));
    file.comment(if settings.encryption {
        "The numbers above were measured with it. This file holds no key: name yours to get it."
    } else {
        "To switch it on, name a key file:"
    });
    file.line("# key_files = [{ id = 1, path = \"/path/to/key\" }]");
}

fn device(environment: &Environment) -> String {
    let name = or_unknown(environment.device.as_deref());
    let details: Vec<String> = [
        environment.device_model.clone(),
        environment.device_firmware.as_ref().map(|firmware| format!("firmware {firmware}")),
        environment.write_cache.as_ref().map(|cache| format!("{cache} cache")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if details.is_empty() { name.to_owned() } else { format!("{name} ({})", details.join(", ")) }
}

fn or_unknown(text: Option<&str>) -> &str {
    text.unwrap_or("unknown")
}

/// The setting's value as TOML: numbers bare, everything else as a string, escaped.
fn toml_value(key: SettingKey, settings: &Settings) -> String {
    let value = match key {
        SettingKey::PipelineDepth => toml::Value::Integer(i64::from(settings.pipeline_depth)),
        _ => toml::Value::String(key.text(settings)),
    };
    value.to_string()
}

/// The text so far.
#[derive(Default)]
struct File {
    text: String,
}

impl File {
    fn line(&mut self, line: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{line}");
    }

    fn blank_comment(&mut self) {
        self.line("#");
    }

    /// Writes words as comment lines. Names of devices, mounts and errors come from outside:
    /// control characters, which would end the comment or are not allowed in one, become spaces.
    fn comment(&mut self, text: &str) {
        let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let mut line = String::from("#");
        let mut line_chars = 1;
        for word in clean.split_whitespace() {
            let word_chars = word.chars().count();
            if line_chars > 1 && line_chars + 1 + word_chars > LINE_CHARS {
                self.line(&line);
                line = String::from("#");
                line_chars = 1;
            }
            line.push(' ');
            line.push_str(word);
            line_chars += 1 + word_chars;
        }
        self.line(&line);
    }
}
