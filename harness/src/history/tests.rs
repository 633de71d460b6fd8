//! A history as it grows night by night.

use super::Shifted;
use super::series::History;
use super::{page, plot, show};
use crate::stats::ShiftRules;
use crate::stats::truth::{Machine, NIGHT_SIGMA};
use crate::store::measured::{Measured, StoredRun};
use crate::store::quantity::Quantity;
use crate::store::synthetic::SyntheticRun;
use crate::units::format_change;

/// Nights with these speeds, each moved by the machine's own noise.
fn nights(speeds: &[f64]) -> Vec<Measured> {
    let mut machine = Machine::new(11);
    let night = |(index, speed): (usize, &f64)| {
        let mut run = SyntheticRun::small();
        let environment = &mut run.manifest.environment_before;
        environment.plimsoll_version = format!("0.1.0 (commit{index}) release");
        run.manifest.started_utc = format!("2026-01-01T00:{:02}:{:02}Z", index / 60, index % 60);
        let speed = speed * machine.quick(NIGHT_SIGMA).exp();
        for trial in &mut run.trials {
            trial.rate_per_second *= speed;
            trial.latency.p50_us /= speed;
            trial.latency.p99_us = None;
            trial.latency.p999_us = None;
        }
        let runs = vec![StoredRun { manifest: run.manifest, trials: run.trials }];
        Measured { name: format!("night-{index:02}"), runs }
    };
    speeds.iter().enumerate().map(night).collect()
}

fn read(speeds: &[f64]) -> History {
    History::read(&nights(speeds), 0, 14, &ShiftRules::new(1))
}

fn levels(steps: &[(usize, f64)]) -> Vec<f64> {
    steps.iter().flat_map(|(nights, level)| vec![*level; *nights]).collect()
}

#[test]
fn a_decline_is_dated_and_the_builds_around_it_named() {
    let history = read(&levels(&[(30, 1.0), (10, 0.85)]));
    assert_eq!(history.shifted, Shifted::ForTheWorse);
    let rate = &history.series[0];
    assert_eq!((rate.quantity, rate.config_id.as_deref()), (Quantity::Rate, None));
    let [point] = &rate.shifts[..] else { panic!("{:?}", rate.shifts) };
    assert!(point.is_worse && point.is_recent && point.runs_since.abs_diff(10) <= 2, "{point:?}");
    let text = show::text(&history);
    assert!(text.starts_with("Regression: rate of all configurations -1"), "{text}");
    let between = format!("Look between {} and {}", point.last_before.name, point.first.name);
    assert!(text.contains(&between), "{text}");
    assert!(show::junit(&history).expect("XML").contains("<failure"));
    assert!(show::markdown(&history).starts_with("### ❌ Regression"));
}

#[test]
fn what_happened_long_ago_or_for_the_better_is_told_and_no_alarm() {
    let old = read(&levels(&[(20, 1.0), (30, 0.85)]));
    assert_eq!(old.shifted, Shifted::Not);
    assert!(show::text(&old).contains("worse, long ago"), "{}", show::text(&old));
    let better = read(&levels(&[(30, 1.0), (10, 1.2)]));
    assert_eq!(better.shifted, Shifted::Not);
    assert!(show::text(&better).contains("better"), "{}", show::text(&better));
}

#[test]
fn a_short_history_says_that_it_is_short() {
    let short = read(&levels(&[(13, 1.0)]));
    assert_eq!(short.shifted, Shifted::TooShort);
    assert!(show::text(&short).starts_with("Inconclusive: 13 runs;"), "{}", show::text(&short));
    assert!(show::junit(&short).expect("XML").contains("<skipped"));
    assert_eq!(read(&levels(&[(20, 1.0)])).shifted, Shifted::Not);
}

#[test]
fn the_otava_files_have_a_column_and_a_row_for_everything() {
    let history = read(&levels(&[(5, 1.0)]));
    let csv = show::otava(&history);
    let columns = 3 + history.series.len();
    let header = csv.lines().next().expect("a header");
    assert!(header.starts_with("time,commit,run,all configurations rate-per-second,"), "{header}");
    assert_eq!(csv.lines().count(), 6);
    let row = csv.lines().nth(1).expect("a row");
    assert_eq!(row.split(',').count(), columns, "{row}");
    let config = show::otava_test(&history);
    assert_eq!(config.matches("direction: ").count(), history.series.len());
    let json: serde_json::Value =
        serde_json::from_str(&show::json(&history).expect("JSON")).expect("JSON");
    assert_eq!(json["shifted"], "too_short");
}

#[test]
fn the_page_names_what_changed_and_draws_every_number() {
    let history = read(&levels(&[(30, 1.0), (10, 0.85)]));
    let html = page::page(&history).expect("a page");
    assert!(html.starts_with("<!DOCTYPE html>") && html.ends_with("</html>"));
    let [point] = &history.series[0].shifts[..] else { panic!("one change point") };
    for part in [
        format!("Regression: rate of all configurations {}", format_change(point.ratio)),
        "id=\"rate-per-second-title\"".to_owned(),
        "id=\"latency-p50-us-apart-title\"".to_owned(),
    ] {
        assert!(html.contains(&part), "{part}");
    }
    // p99 was measured in no night.
    assert!(!html.contains("latency-p99-us"));
    for loads in ["<script", "src=", "url(", "@import", "<link", "https://"] {
        assert!(!html.contains(loads), "{loads}");
    }
    assert!(html == page::page(&history).expect("a page"), "the same history, another page");
    for target in html.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(html.contains(&format!("id=\"{target}\"")), "{target} leads nowhere");
    }
    let drawn = plot::plot(&history, &history.series[0], "rate").expect("a plot");
    assert_eq!(drawn.svg.matches("<circle").count(), 40, "a dot a run");
    let named = format!("{} since {}", format_change(point.ratio), point.first.name);
    assert!(drawn.svg.contains(&named), "{named}");
    assert!(drawn.caption.contains("before and after the one change point"), "{}", drawn.caption);
}

#[test]
fn one_run_is_a_page_too() {
    let html = page::page(&read(&[1.0])).expect("a page");
    assert!(html.contains("Inconclusive: 1 runs;") && !html.contains("NaN"));
}
