//! Of settings that do equally well, which are the simplest.

use crate::profile::SettingKey;
use crate::store::schema::{Plan, Settings};

use super::grid::Grid;

/// How far from the simplest configuration; compared field by field in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Complexity {
    /// Axes that are not at their first level.
    axes_changed: usize,
    /// Levels away from it, summed over axes.
    levels_away: usize,
    /// Of a window, io_uring, batches in flight and prepared segments: how many are in use.
    moving_parts: usize,
    /// Memory for buffers, bytes.
    buffer_bytes: u64,
    /// Position in the plan, so that equals always resolve alike.
    config: usize,
}

impl Complexity {
    pub(crate) fn of(plan: &Plan, config: usize) -> Self {
        let settings = &plan.configurations[config].settings;
        let levels: Vec<usize> = match Grid::of(plan) {
            Some(grid) => (0..plan.axes.len()).map(|axis| grid.level(config, axis)).collect(),
            None => changed_settings(&plan.configurations[0].settings, settings),
        };
        Self {
            axes_changed: levels.iter().filter(|level| **level > 0).count(),
            levels_away: levels.iter().sum(),
            moving_parts: [
                settings.commit_window_us > 0,
                settings.engine != "blocking",
                settings.pipeline_depth > 1,
                settings.preparation != "none",
            ]
            .into_iter()
            .filter(|in_use| *in_use)
            .count(),
            buffer_bytes: settings
                .buffer_size_bytes
                .saturating_mul(u64::from(settings.pipeline_depth)),
            config,
        }
    }
}

/// 1 for every setting that differs: the distance where the plan is not a full grid.
fn changed_settings(baseline: &Settings, settings: &Settings) -> Vec<usize> {
    SettingKey::ALL
        .iter()
        .map(|key| usize::from(key.text(baseline) != key.text(settings)))
        .collect()
}
