//! From stored trials to settings: what each axis did, which configuration to run, why, and what a
//! reader must know before relying on it; or why nothing can be recommended, and what would settle
//! it. Pure functions over the stored types, so the same run always gives the same answer.
//!
//! `docs/recommendations.md` has the rules, with their sources. Estimates rest on whole blocks only.
//! Below [`crate::stats::MIN_BLOCKS`] of them there are no intervals: the stored
//! [`Estimate`](crate::store::schema::Estimate) then has both ends equal to its value, no axis is
//! said to matter, and nothing is recommended.

mod caveats;
mod choice;
mod effects;
mod front;
mod grid;
mod interactions;
mod knee;
mod measures;
mod noise;
mod objectives;
mod question;
mod reasons;
mod refusal;
mod settings_file;
mod show;
mod simplest;
mod summary;
mod wording;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::stats::Bootstrap;
use crate::store::observations;
use crate::store::parts::held_reasons;
use crate::store::schema::{
    Analysis, Ceiling, FrontPoint, Knee, Manifest, Recommendation, Refusal, SCHEMA_VERSION,
    TrialResult,
};

use choice::{Choice, choose, competing};
use front::on_front;
use knee::{Bend, bend};
use measures::{Candidate, Tails, Yardstick};
use noise::Noise;
use objectives::{Standing, standing};
use observations::Observations;
use refusal::{Evidence, refuse};

pub(crate) use question::Question;
pub(crate) use settings_file::recommended_toml;
pub(crate) use show::text;

/// Everything that follows from a run's trials, and of each configuration the latency of all its
/// trials merged (nanoseconds, by configuration id).
///
/// Trials of unknown configurations and of incomplete blocks are left out. A configuration with a
/// refused or failed trial has no estimates; where one failed nothing is recommended.
pub(crate) fn analyse(
    manifest: &Manifest,
    trials: &[TrialResult],
    latency_ns_by_config: &BTreeMap<String, Histogram<u64>>,
    question: &Question,
) -> Analysis {
    // Effects and noise are few and decide; configurations may be thousands.
    let seed = manifest.plan.seed;
    let resampling = Resampling { quick: Bootstrap::quick(seed), fine: Bootstrap::fine(seed) };
    analyse_with(manifest, trials, latency_ns_by_config, question, resampling)
}

/// How often the many and the few are resampled.
#[derive(Clone, Copy)]
struct Resampling {
    quick: Bootstrap,
    fine: Bootstrap,
}

fn analyse_with(
    manifest: &Manifest,
    trials: &[TrialResult],
    latency_ns_by_config: &BTreeMap<String, Histogram<u64>>,
    question: &Question,
    Resampling { quick, fine }: Resampling,
) -> Analysis {
    let plan = &manifest.plan;
    let observations = Observations::new(plan, trials);
    let noise = Noise::measure(&observations, &fine);
    let mut configurations = summary::summaries(&observations, &quick);
    summary::add_merged_p999(&mut configurations, trials, latency_ns_by_config);
    let mut analysis = Analysis {
        schema_version: SCHEMA_VERSION.to_owned(),
        blocks: u32::try_from(observations.blocks.len()).unwrap_or(u32::MAX),
        noise_floor_ratio: noise.rate,
        configurations,
        axes: effects::effects(&observations, &noise, &fine),
        recommendation: None,
        refusal: None,
        front: Vec::new(),
        knee: None,
        interactions: interactions::interactions(&observations, &fine),
        window_helps_from_per_second: manifest.ceiling.as_ref().and_then(window_helps_from),
        asked: question.asked(),
    };
    let field = Field::new(&observations, &noise, latency_ns_by_config, question, &quick);
    analysis.front = field.points(&observations);
    let evidence = Evidence {
        manifest,
        observations: &observations,
        noise: &noise,
        axes: &analysis.axes,
        candidates: &field.candidates,
        yardstick: &field.yardstick,
    };
    match refuse(&evidence).map_or_else(|| field.decide(&observations, question), Err) {
        Ok(choice) => {
            analysis.knee = field.bend.map(|bend| field.knee(&observations, bend, &choice));
            let mut reasons = reasons::reasons(plan, &choice, &analysis.axes);
            reasons.extend(held_reasons(manifest));
            analysis.recommendation = Some(Recommendation {
                config_id: plan.configurations[choice.config].id.clone(),
                reasons,
                caveats: caveats::caveats(
                    manifest,
                    &observations,
                    &noise,
                    &choice,
                    &analysis,
                    &field.open_ids(&observations),
                ),
                ties: field.ids(&observations, &choice.ties),
            });
        }
        // A plan of nothing has nothing to refuse.
        Err(_) if plan.configurations.is_empty() => {}
        Err(refusal) => analysis.refusal = Some(refusal),
    }
    analysis
}

/// A commit window waits for company, and company that arrives more than about two flushes later
/// could as well have had its own.
fn window_helps_from(ceiling: &Ceiling) -> Option<f64> {
    let flushes = ceiling.durable_writes_per_second;
    (flushes.is_finite() && flushes > 0.0).then_some(flushes / 2.0)
}

/// The configurations that compete, and how they stand to each other.
struct Field {
    candidates: Vec<Candidate>,
    yardstick: Yardstick,
    /// Of each candidate; empty without objectives.
    standings: Vec<Standing>,
    /// Those that may be chosen, and of each whether it is on the front.
    passing: Vec<Candidate>,
    on_front: Vec<bool>,
    /// Positions are among those that may be chosen.
    bend: Option<Bend>,
}

impl Field {
    fn new(
        observations: &Observations<'_>,
        noise: &Noise,
        latency_ns_by_config: &BTreeMap<String, Histogram<u64>>,
        question: &Question,
        bootstrap: &Bootstrap,
    ) -> Self {
        let tails = Tails::new(latency_ns_by_config);
        let candidates: Vec<Candidate> = competing(observations.plan)
            .into_iter()
            .filter_map(|config| Candidate::new(observations, config, &tails, bootstrap))
            .collect();
        let yardstick = Yardstick::new(noise);
        let standings: Vec<Standing> = question.slo.as_ref().map_or_else(Vec::new, |slo| {
            let all = candidates.iter();
            all.map(|one| standing(observations, one.config, &tails, slo, bootstrap)).collect()
        });
        let passes = |index: usize| standings.get(index).is_none_or(|own| *own == Standing::Meets);
        let passing: Vec<Candidate> = (0..candidates.len())
            .filter(|index| passes(*index))
            .map(|index| candidates[index].clone())
            .collect();
        let on_front = on_front(&passing, &yardstick);
        let bend = bend(&passing, &on_front, &yardstick);
        Self { candidates, yardstick, standings, passing, on_front, bend }
    }

    fn decide(
        &self,
        observations: &Observations<'_>,
        question: &Question,
    ) -> Result<Choice, Refusal> {
        if let Some(slo) = question.slo.as_ref().filter(|_| self.passing.is_empty()) {
            let all = self.candidates.iter();
            let ids: Vec<&str> = all.map(|one| id(observations, one.config)).collect();
            let blocks = observations.blocks.len();
            return Err(refusal::none_meets(slo, &ids, &self.standings, blocks));
        }
        choose(
            observations.plan,
            &self.passing,
            &self.on_front,
            self.bend,
            question.objective,
            &self.yardstick,
        )
        .ok_or_else(|| refusal::not_supported(question.objective.name()))
    }

    fn points(&self, observations: &Observations<'_>) -> Vec<FrontPoint> {
        let is_on_front = |config: usize| {
            let position = self.passing.iter().position(|one| one.config == config);
            position.is_some_and(|position| self.on_front[position])
        };
        let value = |measure: Option<measures::Measure>| measure.map(|found| found.estimate.value);
        self.candidates
            .iter()
            .enumerate()
            .map(|(index, one)| FrontPoint {
                config_id: id(observations, one.config).to_owned(),
                rate_per_second: one.rate.estimate.value,
                p99_us: value(one.p99_us),
                p999_us: value(one.p999_us),
                device_bytes_per_payload_byte: value(one.device_bytes_per_payload_byte)
                    .unwrap_or_default(),
                cpu_us_per_commit: value(one.cpu_us_per_commit).unwrap_or_default(),
                memory_bytes: one.memory_bytes,
                on_front: is_on_front(one.config),
                meets_slo: self.standings.get(index).and_then(Standing::meets),
            })
            .collect()
    }

    fn knee(&self, observations: &Observations<'_>, bend: Bend, choice: &Choice) -> Knee {
        let id = |candidate: usize| id(observations, self.passing[candidate].config).to_owned();
        let mut knee = Knee {
            config_id: id(bend.knee),
            fastest_id: id(bend.fastest),
            rate_ratio: bend.rate_ratio,
            p99_ratio: bend.p99_ratio,
            steep: bend.steep,
            sentence: String::new(),
        };
        knee.sentence = wording::knee_sentence(&knee, choice.stepped_back);
        knee
    }

    fn ids(&self, observations: &Observations<'_>, configs: &[usize]) -> Vec<String> {
        configs.iter().map(|config| id(observations, *config).to_owned()).collect()
    }

    /// Those of which the run cannot tell whether they meet the objectives.
    fn open_ids(&self, observations: &Observations<'_>) -> Vec<String> {
        let all = self.candidates.iter().zip(&self.standings);
        all.filter(|(_, standing)| standing.meets().is_none())
            .map(|(one, _)| id(observations, one.config).to_owned())
            .collect()
    }
}

fn id<'a>(observations: &Observations<'a>, config: usize) -> &'a str {
    &observations.plan.configurations[config].id
}

#[cfg(test)]
mod tests;
