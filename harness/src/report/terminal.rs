//! What a person decides from in the terminal: the table of configurations, then the effects, the
//! recommended settings with their reasons, and the caveats.

use std::collections::BTreeMap;

use super::Run;
use super::table::{Style, best_table, shown, varying_axes};
use super::view::{View, named_settings, usable};
use crate::page::text::{DASH, count, number, printable, wrapped};
use crate::store::certificate::Standing;
use crate::store::schema::{Analysis, Manifest, RunStatus, TrialResult};
use crate::units::format_share;

/// The summary as text, ended by a newline. No line is wider than the style says, and no control
/// character comes from the stored data.
pub(crate) fn terminal_summary(
    manifest: &Manifest,
    trials: &[TrialResult],
    analysis: &Analysis,
    standing: Option<&Standing>,
    style: Style,
) -> String {
    let style = Style { width: style.width.max(40), ..style };
    // Percentiles come from the analysis; the histograms behind them are for the plots.
    let latency_ns_by_config = BTreeMap::new();
    let view = View::new(Run {
        manifest,
        trials,
        analysis,
        standing,
        latency_ns_by_config: &latency_ns_by_config,
        interval_latency_ns: &[],
    });
    let mut output = Output { text: String::new(), style };
    status(&mut output, &view);
    if view.by_rate.is_empty() {
        output.paragraph("No configuration could be measured.");
    } else {
        output.text.push_str(&best_table(&view, style));
        output.text.push('\n');
        legend(&mut output, &view);
    }
    refused(&mut output, &view);
    screened(&mut output, manifest);
    conclusions(&mut output, &view);
    output.text
}

/// Text under construction, wrapped to the terminal.
struct Output {
    text: String,
    style: Style,
}

impl Output {
    fn paragraph(&mut self, text: &str) {
        for line in wrapped(&printable(text), usize::from(self.style.width)) {
            self.text.push_str(&line);
            self.text.push('\n');
        }
    }

    fn heading(&mut self, text: &str) {
        let (start, end) = if self.style.colour { ("\u{1b}[1m", "\u{1b}[0m") } else { ("", "") };
        self.text.push_str(&format!("\n{start}{text}{end}\n"));
    }

    /// `label` and beside it the text, wrapped in its own column; below the label where the label
    /// is long.
    fn item(&mut self, label: &str, text: &str, label_width: usize) {
        let label = printable(label);
        let width = usize::from(self.style.width).saturating_sub(label_width + 4);
        let mut lines = wrapped(&printable(text), width).into_iter();
        if label.chars().count() <= label_width {
            let first = lines.next().unwrap_or_default();
            self.text.push_str(&format!("  {label:label_width$}  {first}\n"));
        } else {
            for line in wrapped(&label, usize::from(self.style.width) - 2) {
                self.text.push_str(&format!("  {line}\n"));
            }
        }
        for line in lines {
            self.text.push_str(&format!("  {:label_width$}  {line}\n", ""));
        }
    }
}

fn legend(output: &mut Output, view: &View<'_>) {
    let rows = shown(view);
    let varying = varying_axes(view, &rows);
    let same: Vec<String> = (0..view.axes.len())
        .filter(|axis| !varying.contains(axis))
        .filter_map(|axis| {
            Some(format!("{} {}", view.axes[axis], view.rows[*rows.first()?].levels.get(axis)?))
        })
        .collect();
    let is_baseline = view.recommended.is_some() && view.recommended == view.baseline;
    let mut text = format!(
        "▶ recommended{}, b baseline, s slowest; {} of {} configurations, by rate.",
        if is_baseline { " (it is the baseline)" } else { "" },
        rows.len(),
        count(view.rows.len() as u64)
    );
    if !same.is_empty() {
        text.push_str(&format!(" The same in all of them: {}.", same.join(", ")));
    }
    if let Some(f0) = view.f0_per_second() {
        text.push_str(&format!(
            " The device alone: {} durable writes a second, one at a time (F0).",
            number(f0)
        ));
    }
    if let Some(noise) = usable(view.run.analysis.noise_floor_ratio) {
        text.push_str(&format!(" Noise floor: ±{}.", format_share(noise)));
    }
    output.paragraph(&text);
}

/// What went wrong with the whole run, before anything that might look good.
fn status(output: &mut Output, view: &View<'_>) {
    let sentence = match view.run.manifest.status {
        RunStatus::Complete => return,
        RunStatus::Failed => {
            "FAILED: at least one acknowledged record was lost or came back wrong. \
                              Do not rely on any of this until that is explained."
        }
        RunStatus::Running => "The run has not finished, or it was killed.",
        RunStatus::TimeBudget => {
            "The run stopped at its time budget; only whole blocks are counted."
        }
        RunStatus::Interrupted => "The run was interrupted; only whole blocks are counted.",
    };
    output.paragraph(sentence);
    output.text.push('\n');
}

/// Each reason once, with how many configurations it kept out.
fn refused(output: &mut Output, view: &View<'_>) {
    let mut reasons: Vec<(&str, &str, u32)> = Vec::new();
    for row in &view.rows {
        let (word, reason) = (row.state.word(), row.state.reason());
        match reasons.iter_mut().find(|(w, r, _)| *w == word && *r == reason) {
            _ if reason.is_empty() => {}
            Some((_, _, times)) => *times += 1,
            None => reasons.push((word, reason, 1)),
        }
    }
    if reasons.is_empty() {
        return;
    }
    output.heading("Could not run");
    for (word, reason, times) in reasons {
        output.item(&format!("{times} {word}"), reason, 12);
    }
}

/// What was found out before the plan.
fn screened(output: &mut Output, manifest: &Manifest) {
    let Some(screening) = &manifest.screening else { return };
    output.heading("Screened first");
    if screening.axes.is_empty() {
        output.paragraph("The run ended before its screening was through.");
    }
    for axis in &screening.axes {
        output.item(&axis.axis, &axis.sentence, 14);
    }
}

fn conclusions(output: &mut Output, view: &View<'_>) {
    let analysis = view.run.analysis;
    let Some((choice, row)) = analysis.recommendation.as_ref().zip(view.recommended_row()) else {
        if !analysis.axes.is_empty() {
            output.heading("Effect of each setting");
        }
        for axis in &analysis.axes {
            output.item(&axis.axis, &axis.sentence, 14);
        }
        output.heading("No recommendation: nothing was measured well enough.");
        if let Some(refusal) = &analysis.refusal {
            for reason in &refusal.reasons {
                output.item("-", reason, 1);
            }
            output.heading("What would settle it");
            for settled in &refusal.settled_by {
                output.item("-", settled, 1);
            }
        }
        return;
    };
    // The reasons say what each setting does; telling it twice would bury them.
    output.heading("Recommended settings");
    let axes = &view.run.manifest.plan.axes;
    for ((axis, name), level) in axes.iter().zip(&view.axes).zip(&row.levels) {
        let why = choice.reasons.get(&axis.name).map_or(DASH, String::as_str);
        output.item(&format!("{name} = {level}"), why, 24);
    }
    let fixed: Vec<String> = named_settings(&row.configuration.settings)
        .into_iter()
        .filter(|(name, _)| axes.iter().all(|axis| axis.name != *name))
        .map(|(name, level)| format!("{name} = {level}"))
        .collect();
    if !fixed.is_empty() {
        output.item("not varied", &fixed.join(", "), 24);
    }
    if choice.ties.len() > 1 {
        output.paragraph(&format!(
            "{} configurations are as fast as the best, as far as this run can tell.",
            choice.ties.len()
        ));
    }
    if let Some(standing) = view.run.standing {
        output.paragraph(&standing.sentence());
    }
    if !choice.caveats.is_empty() {
        output.heading("Before you rely on it");
        for caveat in &choice.caveats {
            output.item("-", caveat, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::Synthetic;
    use super::*;

    fn summary(run: &Synthetic, style: Style) -> String {
        terminal_summary(&run.manifest, &run.trials, &run.analysis, Some(&run.standing), style)
    }

    const PLAIN: Style = Style { colour: false, width: 100 };

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for (name, synthetic) in Synthetic::every_kind() {
            for width in [60, 80, 100, 120] {
                let text = summary(&synthetic, Style { width, ..PLAIN });
                for line in text.lines() {
                    assert!(
                        line.chars().count() <= usize::from(width),
                        "{name} at {width}: {line}"
                    );
                }
            }
        }
    }

    #[test]
    fn no_colour_unless_asked_and_no_stored_escape_ever() {
        let synthetic = Synthetic::hostile_strings();
        assert!(!summary(&synthetic, PLAIN).contains('\u{1b}'));
        let coloured = summary(&synthetic, Style { colour: true, ..PLAIN });
        assert!(coloured.contains('\u{1b}'));
        assert!(!coloured.contains("\u{1b}[31m"), "the hostile sequence is not passed on");
    }

    #[test]
    fn the_recommended_the_baseline_and_the_slowest_are_marked() {
        let text = summary(&Synthetic::full(), PLAIN);
        for mark in ["▶ ", "b ", "s "] {
            assert_eq!(
                text.lines().filter(|line| line.starts_with(mark)).count(),
                if mark == "▶ " { 2 } else { 1 },
                "{mark}: {text}"
            );
        }
        assert!(text.contains("Before you rely on it") && text.contains("Not certified yet"));
        assert!(text.contains("engine = uring"), "{text}");
    }

    #[test]
    fn settings_are_columns_where_there_is_room_and_whole_words_where_not() {
        let full = Synthetic::full();
        let text = summary(&full, Style { width: 120, ..PLAIN });
        let header: Vec<&str> = text.lines().take(2).collect();
        assert!(header[0].contains("buffer_") && header[1].contains("size"), "{text}");
        let text = summary(&full, Style { width: 80, ..PLAIN });
        assert!(text.lines().any(|line| line.starts_with("▶  buffer_size 1MiB ")), "{text}");
    }

    #[test]
    fn nothing_measured_is_said() {
        for synthetic in [Synthetic::empty(), Synthetic::all_refused()] {
            let text = summary(&synthetic, PLAIN);
            assert!(text.contains("No configuration could be measured."), "{text}");
            assert!(text.contains("No recommendation"), "{text}");
        }
        let refused = summary(&Synthetic::all_refused(), PLAIN);
        assert!(refused.contains("2 refused"), "{refused}");
    }
}
