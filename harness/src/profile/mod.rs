//! A sweep profile: what to vary, for how long, and what it will cost.
//!
//! A profile is TOML that people write by hand, so everything is checked here, once, and every
//! mistake is reported with its place and with what would be right. What comes out is valid, and
//! expands into the plan that a run stores and follows.

mod document;
mod error;
mod load;
mod plan;
mod setting;
mod source;
mod value;

use std::fs::File;
use std::io::Read;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::load::Trace;
use crate::profile::document::Section;
use crate::profile::error::Problem;
use crate::profile::load::{LoadSection, refuse_in_open_loop};
use crate::profile::source::{Source, WHOLE_FILE};
use crate::profile::value::{count_bounds, duration_bounds};
use crate::store::schema::{Plan, STEADY_ROUNDS, Settings};
use crate::units::format_seconds;

pub(crate) use crate::profile::error::ProfileError;
pub(crate) use crate::profile::plan::{
    ASSUMED_LOG_BYTES_PER_SECOND, Levels, PlannedTrial, assumed_overhead_seconds, block_order,
    longest, plan_cost, plan_written_bytes, trial_log_bytes,
};
pub(crate) use crate::profile::setting::{SettingKey, default_settings};

/// Most configurations a sweep may have.
pub(crate) const CONFIGURATIONS_MAX: u64 = 4_096;

/// Larger files are no profiles; the bound keeps a wrong path from filling the memory.
const PROFILE_BYTES_MAX: u64 = 1 << 20;

const TRIAL_US: RangeInclusive<u64> = 10_000..=3_600_000_000;
const ROUND_US: RangeInclusive<u64> = 10_000..=600_000_000;
const WARMUP_US: RangeInclusive<u64> = 0..=600_000_000;
const TIME_BUDGET_US: RangeInclusive<u64> = 1_000_000..=14 * 24 * 3_600_000_000;
const BLOCKS: RangeInclusive<u32> = 1..=50;

const NAME_ALLOWED: &str = "1 to 40 letters, digits, `-` or `_`";
const SENTENCE_ALLOWED: &str = "a sentence for people, on one line";
const SNIA_ALLOWED: &str =
    "false, or true with `round` of 60s or longer and `warmup` of 3s or longer in [run]";

/// A round of the SNIA performance test, and what comes before the first one at least:
/// max(3 s, 5 % of a round).
const SNIA_ROUND: Duration = Duration::from_secs(60);
const SNIA_WARMUP: Duration = Duration::from_secs(3);
const SNIA_WARMUP_ROUNDS: f64 = 0.05;

/// Keys of the document itself and of its section `[run]`.
const ROOT_KEYS: [&str; 8] =
    ["name", "description", "cost", "snia_steady_state", "run", "load", "base", "axes"];
const RUN_KEYS: [&str; 6] = ["trial", "round", "warmup", "blocks", "min_blocks", "time_budget"];

/// A valid sweep profile.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Profile {
    /// Short name, used in the run's folder name.
    pub name: String,
    /// One line: what it is for.
    pub description: String,
    /// What running it costs: time and bytes.
    pub cost: String,
    /// Whether trials run until the SNIA steady-state rule is met, in rounds as long as it demands.
    pub snia_steady_state: bool,
    /// Measured time of one trial; with rounds, that of the last five.
    pub trial: Duration,
    /// Trials go on in rounds of this length until five in a row are steady.
    pub round: Option<Duration>,
    /// Discarded time before it.
    pub warmup: Duration,
    /// Complete blocks to run.
    pub blocks: u32,
    /// The sweep stops after a whole block rather than take longer than this.
    pub time_budget: Option<Duration>,
    /// Blocks that are run even if the time budget is exceeded; at most `blocks`.
    pub min_blocks: u32,
    /// Settings that hold where no axis varies them.
    pub base: Settings,
    /// What all trials have in common of their load.
    load: LoadSection,
    /// What varies, in the profile's order.
    axes: Vec<ProfileAxis>,
    text: String,
}

/// An axis. Of each level only the field that `key` names counts.
#[derive(Clone, Debug, PartialEq)]
struct ProfileAxis {
    key: SettingKey,
    levels: Vec<Settings>,
}

impl Profile {
    /// Reads a profile.
    ///
    /// # Errors
    /// When the file cannot be read, or with the first thing in it that is wrong.
    pub(crate) fn load(path: &Path) -> Result<Self, ProfileError> {
        let unreadable = |reason: String| ProfileError {
            path: path.to_path_buf(),
            position: None,
            field: WHOLE_FILE.to_string(),
            problem: Problem::Unreadable { reason },
            allowed: "the path of a TOML file of at most 1MiB, such as profiles/quick.toml".into(),
        };
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(PROFILE_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(|error| unreadable(error.to_string()))?;
        if bytes.len() as u64 > PROFILE_BYTES_MAX {
            return Err(unreadable("larger than 1MiB".to_string()));
        }
        let mut profile = Self::from_bytes(path, &bytes)?;
        profile.read_trace(path)?;
        Ok(profile)
    }

    /// The profile of a stored run, as its manifest keeps it, and the trace that its plan was made
    /// with.
    ///
    /// # Errors
    /// When the text is no profile, or the trace is not there any more as it was.
    pub(crate) fn stored(manifest: &Path, text: &str, plan: &Plan) -> Result<Self, ProfileError> {
        let mut profile = Self::parse(manifest, text)?;
        let planned = plan.load.as_ref().and_then(|load| load.trace.as_ref());
        if let Some(planned) = planned {
            profile.load.find_trace(&planned.path);
            profile.read_trace(Path::new(""))?;
            let found = profile.trace().map(|trace| trace.sha256());
            if found.as_ref() != Some(&planned.sha256) {
                let reason = format!("{} is not what the run began with", planned.path);
                return Err(Self::no_trace(manifest, reason));
            }
        }
        Ok(profile)
    }

    /// Reads the trace that the profile names. Its own rate is the one to offer if the profile has
    /// none.
    fn read_trace(&mut self, path: &Path) -> Result<(), ProfileError> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let has_rates = self.axes.iter().any(|axis| axis.key == SettingKey::Rate);
        let read = self.load.read_trace(folder, &mut self.base, has_rates);
        read.map_err(|reason| Self::no_trace(path, reason))
    }

    fn no_trace(path: &Path, reason: String) -> ProfileError {
        ProfileError {
            path: path.to_path_buf(),
            position: None,
            field: "load.trace".to_string(),
            problem: Problem::Unreadable { reason },
            allowed: "a file with `arrival_us,payload_bytes` lines".to_string(),
        }
    }

    /// The trace that is replayed, if there is one.
    pub(crate) fn trace(&self) -> Option<&Arc<Trace>> {
        self.load.trace()
    }

    /// Reads a profile from its bytes; `path` is what messages call it.
    ///
    /// # Errors
    /// With the first thing that is wrong.
    pub(crate) fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, ProfileError> {
        match str::from_utf8(bytes) {
            Ok(text) => Self::parse(path, text),
            Err(error) => {
                let valid = &bytes[..error.valid_up_to()];
                let source = Source { path, text: str::from_utf8(valid).unwrap_or_default() };
                let problem = Problem::Syntax { message: "not UTF-8".to_string() };
                Err(source.error(valid.len(), WHOLE_FILE, problem, "UTF-8 text"))
            }
        }
    }

    /// Reads a profile from its text; `path` is what messages call it.
    ///
    /// # Errors
    /// With the first thing that is wrong.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, ProfileError> {
        let source = Source { path, text };
        let document = source.parse()?;
        let root = Section::root(&source, &document);
        root.expect_only(&ROOT_KEYS)?;
        let name = name(&root)?;
        let description = sentence(&root, "description")?;
        let cost = sentence(&root, "cost")?;
        let run = root.section("run")?.ok_or_else(|| missing_run(&source))?;
        let rounds = Rounds::read(&run)?;
        let snia_steady_state = snia_steady_state(&root, &rounds)?;
        let load = LoadSection::read(&root)?;
        refuse_in_open_loop(&root, load.opened_by(&root))?;
        let mut base = base(&root)?;
        load.apply(&mut base);
        let axes = axes(&root, &base)?;
        let profile = Self {
            name,
            description,
            cost,
            snia_steady_state,
            trial: rounds.trial,
            round: rounds.round,
            warmup: rounds.warmup,
            blocks: rounds.blocks,
            time_budget: rounds.time_budget,
            min_blocks: rounds.min_blocks,
            base,
            load,
            axes,
            text: text.to_string(),
        };
        profile.check_time_budget(&run)?;
        Ok(profile)
    }

    /// The profile's text, as read.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// A budget that even `min_blocks` blocks of bare load exceed is a contradiction.
    fn check_time_budget(&self, run: &Section<'_>) -> Result<(), ProfileError> {
        let (Some(budget), Some(value)) = (self.time_budget, run.optional("time_budget")) else {
            return Ok(());
        };
        let load = plan_cost(&self.plan(0), 0.0).seconds_per_block * f64::from(self.min_blocks);
        if load <= budget.as_secs_f64() {
            return Ok(());
        }
        let needed = format_seconds(load);
        let problem = Problem::BudgetTooSmall { needed };
        Err(value.error(problem, "more time, fewer `min_blocks`, shorter trials or fewer levels"))
    }
}

/// The `[run]` section.
struct Rounds {
    trial: Duration,
    round: Option<Duration>,
    warmup: Duration,
    blocks: u32,
    time_budget: Option<Duration>,
    min_blocks: u32,
}

impl Rounds {
    fn read(run: &Section<'_>) -> Result<Self, ProfileError> {
        run.expect_only(&RUN_KEYS)?;
        let required_duration = |key, range: &RangeInclusive<u64>| {
            let value = run.required(key, &duration_bounds(range))?;
            value.duration_us(range).map(Duration::from_micros)
        };
        let required_count = |key, range: &RangeInclusive<u32>| {
            run.required(key, &count_bounds(range))?.count(range)
        };
        let (trial, round) = match run.optional("round") {
            None => (required_duration("trial", &TRIAL_US)?, None),
            Some(value) if run.optional("trial").is_some() => {
                let problem = Problem::Contradicts { other: "run.trial" };
                return Err(value.error(problem, "`trial` for one length, or `round`"));
            }
            Some(value) => {
                let round = Duration::from_micros(value.duration_us(&ROUND_US)?);
                (round * STEADY_ROUNDS, Some(round))
            }
        };
        let warmup = required_duration("warmup", &WARMUP_US)?;
        let blocks = required_count("blocks", &BLOCKS)?;
        let min_blocks = required_count("min_blocks", &(1..=blocks))?;
        let time_budget = run
            .optional("time_budget")
            .map(|value| value.duration_us(&TIME_BUDGET_US).map(Duration::from_micros))
            .transpose()?;
        Ok(Self { trial, round, warmup, blocks, time_budget, min_blocks })
    }
}

fn missing_run(source: &Source<'_>) -> ProfileError {
    let allowed =
        "a [run] section with trial or round, warmup, blocks, min_blocks, and perhaps time_budget";
    source.error(0, "run", Problem::Missing, allowed)
}

/// The name becomes part of a folder's name, hence the narrow alphabet.
fn name(root: &Section<'_>) -> Result<String, ProfileError> {
    let value = root.required("name", NAME_ALLOWED)?;
    let name = value.text(NAME_ALLOWED)?;
    let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if !is_plain || !(1..=40).contains(&name.len()) {
        let problem = Problem::NotAValue { value: name.to_string() };
        return Err(value.error(problem, NAME_ALLOWED));
    }
    Ok(name.to_string())
}

fn sentence(root: &Section<'_>, key: &str) -> Result<String, ProfileError> {
    let value = root.required(key, SENTENCE_ALLOWED)?;
    let text = value.text(SENTENCE_ALLOWED)?.trim();
    if text.is_empty() {
        return Err(value.error(Problem::EmptyText, SENTENCE_ALLOWED));
    }
    if text.contains(char::is_control) {
        let problem = Problem::NotAValue { value: text.into() };
        return Err(value.error(problem, SENTENCE_ALLOWED));
    }
    Ok(text.to_string())
}

/// A run must not claim what it does not do: without long rounds there is no such steady state.
fn snia_steady_state(root: &Section<'_>, rounds: &Rounds) -> Result<bool, ProfileError> {
    let value = root.required("snia_steady_state", SNIA_ALLOWED)?;
    let claimed = value.flag(SNIA_ALLOWED)?;
    let holds = rounds.round.is_some_and(|round| {
        let warmup = SNIA_WARMUP.max(round.mul_f64(SNIA_WARMUP_ROUNDS));
        round >= SNIA_ROUND && rounds.warmup >= warmup
    });
    if claimed && !holds {
        let problem = Problem::NotAValue { value: "true".to_string() };
        return Err(value.error(problem, SNIA_ALLOWED));
    }
    Ok(claimed)
}

fn base(root: &Section<'_>) -> Result<Settings, ProfileError> {
    let mut settings = default_settings();
    let Some(section) = root.section("base")? else {
        return Ok(settings);
    };
    if let Some(rate) = section.optional(SettingKey::Rate.name()) {
        let problem = Problem::UnknownKey { nearest: Some("load.rate") };
        return Err(rate.error(problem, "a rate in [load], or several in [axes]"));
    }
    section.expect_only(&SettingKey::ALL.map(SettingKey::name))?;
    for (name, value) in section.entries() {
        if let Some(key) = SettingKey::from_name(name) {
            key.read(value, &mut settings)?;
        }
    }
    Ok(settings)
}

/// No axes is a sweep of one configuration: it measures how much the machine varies by itself.
fn axes(root: &Section<'_>, base: &Settings) -> Result<Vec<ProfileAxis>, ProfileError> {
    let Some(section) = root.section("axes")? else {
        return Ok(Vec::new());
    };
    section.expect_only(&SettingKey::ALL.map(SettingKey::name))?;
    let mut axes = Vec::new();
    let mut configurations: u64 = 1;
    for (name, value) in section.entries() {
        let Some(key) = SettingKey::from_name(name) else {
            continue;
        };
        let allowed = format!("a list of values, each {}", key.allowed());
        let mut levels: Vec<Settings> = Vec::new();
        for element in value.list(&allowed)? {
            let mut level = base.clone();
            key.read(&element, &mut level)?;
            if levels.contains(&level) {
                let problem = Problem::Duplicate { value: key.text(&level) };
                return Err(element.error(problem, "each level once"));
            }
            levels.push(level);
        }
        if levels.is_empty() {
            return Err(value.error(Problem::EmptyList, &allowed));
        }
        configurations = configurations.saturating_mul(levels.len() as u64);
        axes.push(ProfileAxis { key, levels });
    }
    if configurations > CONFIGURATIONS_MAX {
        let allowed = format!("axes whose level counts multiply to at most {CONFIGURATIONS_MAX}");
        return Err(section.error(Problem::TooManyConfigurations { configurations }, &allowed));
    }
    Ok(axes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
