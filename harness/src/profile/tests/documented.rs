//! `docs/profiles.md` against what is read: every key with its bounds and its default.

use super::super::load::{LOAD_KEYS, allowed};
use super::super::{
    BLOCKS, NAME_ALLOWED, ROOT_KEYS, ROUND_US, RUN_KEYS, SENTENCE_ALLOWED, SNIA_ALLOWED,
    TIME_BUDGET_US, TRIAL_US, WARMUP_US,
};
use super::*;

const NONE: &str = "–";

/// The lines of the document's section.
fn section(title: &str) -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/profiles.md");
    let text = std::fs::read_to_string(path).expect("docs/profiles.md");
    let heading = format!("## {title}");
    let lines = text.lines().skip_while(|line| *line != heading).skip(1);
    let lines: Vec<String> =
        lines.take_while(|line| !line.starts_with("## ")).map(str::to_owned).collect();
    assert!(!lines.is_empty(), "docs/profiles.md has no {heading:?}");
    lines
}

/// The rows of the section's tables are exactly these: key, what it may be, what it is otherwise.
#[track_caller]
fn assert_rows(title: &str, expected: &[(&str, String, String)]) {
    let lines = section(title);
    for (key, allowed, default) in expected {
        let row = format!("| `{key}` | {allowed} | {default} |");
        let found = lines.iter().any(|line| line.starts_with(&row) && line.len() > row.len() + 20);
        assert!(found, "docs/profiles.md, {title}: no row that begins {row:?} and says what it is");
    }
    let rows = lines.iter().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, expected.len(), "docs/profiles.md, {title}: rows of keys that are none");
}

#[test]
fn every_key_of_the_document_itself() {
    let of = |key: &'static str| match key {
        "name" => (key, NAME_ALLOWED.to_owned(), "required".to_owned()),
        "description" | "cost" => (key, SENTENCE_ALLOWED.to_owned(), "required".to_owned()),
        "snia_steady_state" => (key, SNIA_ALLOWED.to_owned(), "required".to_owned()),
        "run" => (key, "a section".to_owned(), "required".to_owned()),
        _ => (key, "a section".to_owned(), NONE.to_owned()),
    };
    assert_rows("The file", &ROOT_KEYS.map(of));
}

#[test]
fn every_key_of_the_section_run() {
    let of = |key: &'static str| {
        let (allowed, default) = match key {
            "trial" => (duration_bounds(&TRIAL_US), "required, or `round`"),
            "round" => (duration_bounds(&ROUND_US), "required, or `trial`"),
            "warmup" => (duration_bounds(&WARMUP_US), "required"),
            "blocks" => (count_bounds(&BLOCKS), "required"),
            "min_blocks" => ("a whole number from 1 to `blocks`".to_owned(), "required"),
            _ => (duration_bounds(&TIME_BUDGET_US), NONE),
        };
        (key, allowed, default.to_owned())
    };
    assert_rows("`[run]`", &RUN_KEYS.map(of));
}

#[test]
fn every_key_of_the_section_load() {
    let of = |key: &'static str| {
        let default = match key {
            "callers" => "`threads`",
            "record_sizes" => "`record_size`",
            "tenants" => "`1`",
            "compressible" => "`0%`",
            _ => NONE,
        };
        (key, allowed(key), default.to_owned())
    };
    assert_rows("`[load]`", &LOAD_KEYS.map(of));
}

#[test]
fn every_setting() {
    let defaults = default_settings();
    let of = |key: SettingKey| {
        let default = match key {
            SettingKey::Rate => NONE.to_owned(),
            _ => format!("`{}`", key.text(&defaults)),
        };
        (key.name(), key.allowed(), default)
    };
    assert_rows("`[base]` and `[axes]`", &SettingKey::ALL.map(of));
}

/// What the document shows is a profile.
#[test]
fn the_example_is_a_profile() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/profiles.md");
    let text = std::fs::read_to_string(path).expect("docs/profiles.md");
    let examples: Vec<&str> =
        text.split("```toml\n").skip(1).filter_map(|part| part.split("```").next()).collect();
    assert!(examples.len() >= 2);
    for example in examples {
        let profile = parse(example).unwrap_or_else(|error| panic!("{error}\n{example}"));
        assert!(!profile.plan(0).configurations.is_empty());
    }
}
