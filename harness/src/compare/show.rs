//! A comparison in each of its formats. All say the same; the text and the Markdown put first what
//! a person has to know.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::export::{Case, Outcome, Published, Table, bencher, github_action_benchmark, junit_xml};
use crate::units::{format_change_estimate, format_share};

use super::change::Finding;
use super::judge::{Comparison, Party, Verdict};
use super::rows::Row;
use super::words::{value, verdict_of};

/// For a terminal.
pub(super) fn text(comparison: &Comparison) -> String {
    let mut text = format!("{}\n{}\n\n", comparison.headline, comparison.next);
    let _ = writeln!(text, "{}\n{}", side("BASE", &comparison.base), side("NEW ", &comparison.new));
    if !comparison.changed.is_empty() {
        text.push_str("Not the same in both:\n");
        for changed in &comparison.changed {
            let _ = writeln!(text, "  {}: {} -> {}", changed.what, changed.base, changed.new);
        }
    }
    for (title, table) in tables(comparison) {
        let _ = write!(text, "\n{title}\n{}", table.text());
    }
    text.push('\n');
    for note in &comparison.notes {
        let _ = writeln!(text, "{note}");
    }
    text
}

/// For a pull request or a job's summary.
pub(super) fn markdown(comparison: &Comparison) -> String {
    let mark = match comparison.verdict {
        Verdict::Pass => "✅",
        Verdict::Regression | Verdict::Broken => "❌",
        Verdict::Suspected | Verdict::NotConfirmed | Verdict::Inconclusive => "⚠️",
    };
    let mut text = format!("### {mark} {}\n\n{}\n\n", comparison.headline, comparison.next);
    let _ = writeln!(text, "- {}", side("BASE", &comparison.base));
    let _ = writeln!(text, "- {}", side("NEW", &comparison.new));
    for changed in &comparison.changed {
        let _ = writeln!(text, "- {}: {} → {}", changed.what, changed.base, changed.new);
    }
    for (title, table) in tables(comparison) {
        let _ = write!(text, "\n**{title}**\n\n{}", table.markdown());
    }
    text.push('\n');
    for note in &comparison.notes {
        let _ = writeln!(text, "- {note}");
    }
    text
}

fn side(name: &str, party: &Party) -> String {
    format!(
        "{name} {}: {}, {}, {} blocks",
        party.name, party.plimsoll_version, party.kernel, party.blocks
    )
}

/// First all together, then the configurations that stand out; the rest only in the JSON.
fn tables(comparison: &Comparison) -> Vec<(String, Table)> {
    let mut together = Table::new(["metric", "BASE", "NEW", "change", "counts from", "p", ""]);
    let mut apart = Table::new(["configuration", "metric", "BASE", "NEW", "change", "p", ""]);
    let alone = comparison.configurations == 1;
    for row in &comparison.rows {
        let cells = cells(row);
        if row.config_id.is_none() || alone {
            let [metric, base, new, change, p, verdict] = cells;
            let counts = format_share(row.threshold_ratio);
            together.row([metric, base, new, change, counts, p, verdict]);
        } else if matches!(row.finding, Finding::Worse | Finding::Better) {
            let [metric, base, new, change, p, verdict] = cells;
            apart.row([row.scope.clone(), metric, base, new, change, p, verdict]);
        }
    }
    let count = comparison.configurations;
    let mut tables = Vec::new();
    if !together.is_empty() {
        let title = if alone {
            "The one configuration:".to_owned()
        } else {
            format!("All {count} configurations together (geometric mean):")
        };
        tables.push((title, together));
    }
    if !apart.is_empty() {
        tables.push(("Configurations that changed by themselves:".to_owned(), apart));
    }
    tables
}

fn cells(row: &Row) -> [String; 6] {
    [
        row.quantity.name().to_owned(),
        value(row.quantity, row.base.value),
        value(row.quantity, row.new.value),
        format_change_estimate(&row.ratio),
        format!("{:.4}", row.p_adjusted),
        verdict_of(row).to_owned(),
    ]
}

/// Everything, for programs.
pub(super) fn json(comparison: &Comparison) -> Result<String> {
    pretty(comparison)
}

/// One case a row, and one for the whole.
pub(super) fn junit(comparison: &Comparison) -> Result<String> {
    let whole = Case {
        class: comparison.profile.clone(),
        name: "verdict".to_owned(),
        outcome: match comparison.verdict {
            Verdict::Pass => Outcome::Passed,
            Verdict::Regression | Verdict::Broken => Outcome::Failed,
            Verdict::Suspected | Verdict::NotConfirmed | Verdict::Inconclusive => {
                Outcome::Inconclusive
            }
        },
        sentence: format!("{} {}", comparison.headline, comparison.next),
    };
    let rows = comparison.rows.iter().map(|row| Case {
        class: format!("{}.{}", comparison.profile, row.scope),
        name: row.quantity.name().to_owned(),
        outcome: match (row.finding, row.confirmed) {
            (Finding::Worse, Some(true)) => Outcome::Failed,
            (Finding::Worse, _) | (Finding::Unclear, _) => Outcome::Inconclusive,
            (Finding::Better | Finding::NotWorse, _) => Outcome::Passed,
        },
        sentence: format!("{}: {}", format_change_estimate(&row.ratio), verdict_of(row)),
    });
    junit_xml("plimsoll compare", &std::iter::once(whole).chain(rows).collect::<Vec<Case>>())
}

/// NEW's numbers for github-action-benchmark.
pub(super) fn github(comparison: &Comparison, bigger_is_better: bool) -> Result<String> {
    pretty(&github_action_benchmark(&published(comparison), bigger_is_better))
}

/// NEW's numbers for Bencher.
pub(super) fn bencher_metrics(comparison: &Comparison) -> Result<String> {
    pretty(&bencher(&published(comparison)))
}

fn published(comparison: &Comparison) -> Vec<Published> {
    let rows = comparison.rows.iter();
    rows.map(|row| Published {
        benchmark: format!("{}/{}", comparison.profile, row.scope),
        quantity: row.quantity,
        value: row.new,
    })
    .collect()
}

fn pretty<T: Serialize>(value: &T) -> Result<String> {
    let mut text = serde_json::to_string_pretty(value).context("a comparison has no JSON form")?;
    text.push('\n');
    Ok(text)
}
