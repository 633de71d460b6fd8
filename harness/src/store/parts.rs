//! What it means for a run's numbers that it was measured in parts: in several sessions, or after a
//! screening.

use crate::units::format_seconds;

use super::schema::{Manifest, Plan, SplitBlock};

/// A shorter pause is none, however short the trials: it parts them no further than a drive's own
/// pauses do.
const PAUSE_SECONDS_MIN: f64 = 10.0;

/// What a reader must know of a run that was resumed, that something had changed meanwhile and
/// which blocks were torn apart, and of one that was screened.
pub(crate) fn part_caveats(manifest: &Manifest) -> Vec<String> {
    let changed = manifest.sessions.iter().filter(|session| !session.differences.is_empty());
    let mut found: Vec<String> = changed
        .map(|session| {
            format!(
                "The run was resumed where something had changed, so its trials before and after \
                 that may differ: {}.",
                session.differences.join("; ")
            )
        })
        .collect();
    let split = manifest.sessions.iter().filter_map(|session| session.split_block.as_ref());
    let torn = split.filter(|split| !split.screening && is_torn(&manifest.plan, split));
    found.extend(torn.map(|split| {
        format!(
            "Block {} was interrupted for {}, longer than a block takes: the machine may have \
             drifted between its trials.",
            split.block + 1,
            format_seconds(split.pause_seconds)
        )
    }));
    if manifest.screening.is_some() {
        found.push(
            "Its settings were screened first, for want of time: one that acts only together with \
             another may have passed unnoticed."
                .to_owned(),
        );
    }
    found
}

/// Why the settings have the values that a screening held them at, by name: in words that stand
/// beside the setting.
pub(crate) fn held_reasons(manifest: &Manifest) -> impl Iterator<Item = (String, String)> {
    let axes = manifest.screening.iter().flat_map(|screening| &screening.axes);
    axes.filter(|axis| axis.held_at.is_some()).map(|axis| {
        let told = axis.sentence.strip_prefix(axis.axis.as_str()).unwrap_or(&axis.sentence);
        let told = told.trim_end_matches('.');
        (axis.axis.clone(), format!("not varied after the screening, in which it{told}"))
    })
}

/// Whether the pause parted trials further than a block does anyway.
fn is_torn(plan: &Plan, split: &SplitBlock) -> bool {
    let trials = plan.configurations.len() + 2;
    let block_seconds = trials as f64 * (plan.warmup_seconds + plan.trial_seconds);
    split.pause_seconds > block_seconds.max(PAUSE_SECONDS_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema::{ScreenedAxis, Screening, Session};
    use crate::store::synthetic::SyntheticRun;

    #[test]
    fn a_torn_block_and_a_change_are_told_and_a_short_pause_is_not() {
        let mut manifest = SyntheticRun::small().manifest;
        assert!(held_reasons(&manifest).next().is_none());
        assert_eq!(part_caveats(&manifest), [""; 0]);
        // Four configurations and two sentinels of 6 s.
        for (pause_seconds, screening, told) in
            [(35.0, false, 0), (37.0, false, 1), (3_700.0, true, 0)]
        {
            manifest.sessions = vec![Session {
                started_utc: "2025-11-22T22:00:00Z".to_owned(),
                finished_utc: None,
                argv: Vec::new(),
                process_id: 1,
                trials_before: 8,
                split_block: Some(SplitBlock { screening, block: 1, pause_seconds }),
                differences: Vec::new(),
            }];
            let found = part_caveats(&manifest);
            assert_eq!(found.len(), told, "{pause_seconds} {found:?}");
            assert!(
                found.iter().all(|caveat| caveat.starts_with("Block 2 was interrupted for 37 s"))
            );
        }
        manifest.plan.trial_seconds = 0.01;
        manifest.plan.warmup_seconds = 0.0;
        let split = manifest.sessions[0].split_block.as_mut().expect("split");
        *split = SplitBlock { screening: false, block: 1, pause_seconds: 9.0 };
        assert_eq!(part_caveats(&manifest), [""; 0], "a block of 60 ms");
        manifest.sessions[0].differences = vec!["kernel is a and b".to_owned()];
        let found = part_caveats(&manifest);
        assert!(found.len() == 1 && found[0].contains("kernel is a and b"), "{found:?}");
    }

    #[test]
    fn what_a_screening_held_is_said_where_it_was_held() {
        let mut manifest = SyntheticRun::small().manifest;
        let axis = |name: &str, held_at: Option<&str>| ScreenedAxis {
            axis: name.to_owned(),
            levels: Vec::new(),
            held_at: held_at.map(str::to_owned),
            sentence: format!("{name} shows no effect, so it is held at 4KiB."),
        };
        manifest.screening = Some(Screening {
            design: String::new(),
            plan: manifest.plan.clone(),
            plan_sha256: String::new(),
            axes: vec![axis("engine", None), axis("alignment", Some("4KiB"))],
        });
        let why =
            "not varied after the screening, in which it shows no effect, so it is held at 4KiB";
        let found: Vec<(String, String)> = held_reasons(&manifest).collect();
        assert_eq!(found, [("alignment".to_owned(), why.to_owned())]);
        let caveats = part_caveats(&manifest);
        assert!(caveats.len() == 1 && caveats[0].contains("screened first"), "{caveats:?}");
    }
}
