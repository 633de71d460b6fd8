//! `summary.csv`: one row a configuration, for spreadsheets and scripts. Quoted as RFC 4180 says;
//! numbers at full precision with a decimal point, and an empty cell where nothing was measured.

use std::fmt::Write as _;

use super::Run;
use super::view::{Row, View, named_settings};
use crate::store::schema::Estimate;

/// The table, header first, rows in plan order, lines ended by CRLF as RFC 4180 asks.
pub(crate) fn summary_csv(run: &Run<'_>) -> String {
    let view = View::new(*run);
    let mut csv = String::new();
    for (index, row) in view.rows.iter().enumerate() {
        let cells = cells(&view, index, row);
        if index == 0 {
            push_line(&mut csv, cells.iter().map(|(name, _)| *name));
        }
        push_line(&mut csv, cells.iter().map(|(_, value)| value.as_str()));
    }
    csv
}

/// Each cell beside the name of its column, so the two cannot drift apart.
fn cells(view: &View<'_>, index: usize, row: &Row<'_>) -> Vec<(&'static str, String)> {
    let [rate, rate_low, rate_high] = ends(row.rate_per_second);
    let [p50, p50_low, p50_high] = ends(row.p50_us);
    let [p99, p99_low, p99_high] = ends(row.p99_us);
    let mut cells = vec![("config_id", row.configuration.id.clone())];
    let settings = &row.configuration.settings;
    cells.extend([
        ("alignment_bytes", settings.alignment_bytes.to_string()),
        ("buffer_size_bytes", settings.buffer_size_bytes.to_string()),
        ("commit_window_us", settings.commit_window_us.to_string()),
        ("segment_size_bytes", settings.segment_size_bytes.to_string()),
    ]);
    // These five settings and the two sizes above need no unit in their column's name.
    cells.extend(named_settings(settings).into_iter().filter(|(name, _)| {
        ["encryption", "engine", "durability", "pipeline_depth", "preparation"].contains(name)
    }));
    cells.extend([
        ("record_size_bytes", settings.record_size_bytes.to_string()),
        ("clients", settings.clients.to_string()),
    ]);
    // All of a plan's configurations have one, or none has.
    cells
        .extend(settings.rate_per_second.map(|rate| ("offered_rate_per_second", rate.to_string())));
    cells.extend([
        ("recommended", (view.recommended == Some(index)).to_string()),
        ("tied_with_best", row.tied.to_string()),
        ("status", row.state.word().to_owned()),
        ("reason", row.state.reason().to_owned()),
        ("trials_ok", row.counts.trials_ok.to_string()),
        ("trials_failed", row.counts.trials_failed.to_string()),
        ("trials_disturbed", row.counts.trials_disturbed.to_string()),
        ("commits", row.counts.commits.to_string()),
        ("commit_groups", row.counts.commit_groups.to_string()),
        ("verified_records", row.counts.verified_records.to_string()),
        ("rate_per_second", rate),
        ("rate_per_second_low", rate_low),
        ("rate_per_second_high", rate_high),
        ("payload_bytes_per_second", number(row.payload_bytes_per_second())),
        ("latency_us_p50", p50),
        ("latency_us_p50_low", p50_low),
        ("latency_us_p50_high", p50_high),
        ("latency_us_p99", p99),
        ("latency_us_p99_low", p99_low),
        ("latency_us_p99_high", p99_high),
        ("latency_us_p999", number(row.p999_us)),
        ("device_bytes_per_payload_byte", number(row.device_bytes_per_payload_byte)),
        ("cpu_us_per_commit", number(row.cpu_us_per_commit)),
    ]);
    cells
}

/// Value and interval ends; the ends stay empty where there is no interval.
fn ends(estimate: Option<Estimate>) -> [String; 3] {
    let interval = estimate.filter(|estimate| estimate.low < estimate.high);
    [
        number(estimate.map(|estimate| estimate.value)),
        number(interval.map(|estimate| estimate.low)),
        number(interval.map(|estimate| estimate.high)),
    ]
}

fn number(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn push_line<'a>(csv: &mut String, cells: impl Iterator<Item = &'a str>) {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            csv.push(',');
        }
        if cell.contains([',', '"', '\r', '\n']) {
            // Writing to a String cannot fail.
            let _ = write!(csv, "\"{}\"", cell.replace('"', "\"\""));
        } else {
            csv.push_str(cell);
        }
    }
    csv.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::Synthetic;
    use super::*;
    use crate::store::schema::TrialStatus;

    /// A reader written from RFC 4180, not from the writer.
    fn parse(csv: &str) -> Vec<Vec<String>> {
        let (mut rows, mut row, mut cell, mut quoted) =
            (Vec::new(), Vec::new(), String::new(), false);
        let mut characters = csv.chars().peekable();
        while let Some(character) = characters.next() {
            match (quoted, character) {
                (true, '"') if characters.peek() == Some(&'"') => cell.extend(characters.next()),
                (_, '"') => quoted = !quoted,
                (false, ',') => row.push(std::mem::take(&mut cell)),
                (false, '\r') if characters.peek() == Some(&'\n') => {
                    characters.next();
                    row.push(std::mem::take(&mut cell));
                    rows.push(std::mem::take(&mut row));
                }
                (_, other) => cell.push(other),
            }
        }
        assert!(!quoted && cell.is_empty() && row.is_empty(), "the last line is ended");
        rows
    }

    fn column(rows: &[Vec<String>], name: &str, row: usize) -> String {
        let index = rows[0].iter().position(|header| header == name).unwrap();
        rows[row + 1][index].clone()
    }

    #[test]
    fn every_configuration_parses_back() {
        let synthetic = Synthetic::full();
        let rows = parse(&summary_csv(&synthetic.run()));
        assert_eq!(rows.len(), 1 + 64);
        assert!(rows.iter().all(|row| row.len() == rows[0].len()));
        for (index, summary) in synthetic.analysis.configurations.iter().enumerate() {
            assert_eq!(column(&rows, "config_id", index), summary.config_id);
            let rate = column(&rows, "rate_per_second", index);
            assert_eq!(rate.parse().ok(), summary.rate_per_second.map(|rate| rate.value));
        }
        let recommended = (0..64).filter(|&row| column(&rows, "recommended", row) == "true");
        assert_eq!(recommended.count(), 1);
    }

    #[test]
    fn a_reason_with_quotes_commas_and_lines_stays_one_cell() {
        let mut synthetic = Synthetic::small();
        let reason = "alignment 512, \"too small\"\r\n=cmd()".to_owned();
        let id = synthetic.manifest.plan.configurations[1].id.clone();
        for trial in synthetic.trials.iter_mut().filter(|trial| trial.config_id == id) {
            trial.status = TrialStatus::Refused { reason: reason.clone() };
        }
        synthetic.analysis.configurations[1].refused = Some(reason);
        let rows = parse(&summary_csv(&synthetic.run()));
        assert_eq!(column(&rows, "status", 1), "refused");
        assert_eq!(column(&rows, "reason", 1), "alignment 512, \"too small\"\u{fffd} =cmd()");
    }

    #[test]
    fn what_was_not_measured_is_empty_and_never_nan() {
        let synthetic = Synthetic::hostile_numbers();
        let csv = summary_csv(&synthetic.run());
        assert!(!csv.contains("NaN") && !csv.contains("inf"), "{csv}");
        assert_eq!(column(&parse(&csv), "rate_per_second", 0), "");
    }

    #[test]
    fn a_plan_without_configurations_gives_an_empty_file() {
        assert_eq!(summary_csv(&Synthetic::empty().run()), "");
    }
}
