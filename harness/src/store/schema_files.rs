//! `harness/schema/*.schema.json`: what a run leaves on disk, for programs that are not this one.
//! The files follow from the types in `schema`, so they cannot say anything else; here they are
//! held against those types, against the committed sample run, and against a run as the first
//! version wrote it.
//!
//! After a change of the types: `PLIMSOLL_BLESS=1 cargo test -p plimsoll-harness schema_files`, and
//! a new minor version. What older files lack must then be optional: they stay in `schema/golden`.

use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use schemars::{JsonSchema, Schema, schema_for};
use serde_json::{Value, json};

use super::RunFolder;
use super::schema::{Analysis, Manifest, SCHEMA_VERSION, TrialResult};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schema")
}

/// The files and what they describe.
fn all() -> [(&'static str, Schema); 3] {
    [
        ("manifest.schema.json", described::<Manifest>("manifest.json of a run")),
        (
            "trial.schema.json",
            described::<TrialResult>("result.json, and a line of journal.ndjson"),
        ),
        ("analysis.schema.json", described::<Analysis>("analysis.json of a run")),
    ]
}

/// The schema of a type, with the version it is of and the versions it accepts.
pub(crate) fn described<T: JsonSchema>(title: &str) -> Schema {
    let mut schema = schema_for!(T);
    schema.insert("title".to_owned(), json!(title));
    schema.insert("$comment".to_owned(), json!(format!("schema version {SCHEMA_VERSION}")));
    let (major, _) = SCHEMA_VERSION.split_once('.').expect("major.minor");
    let version = schema.pointer_mut("/properties/schema_version").expect("every file has one");
    version["pattern"] = json!(format!("^{major}\\.[0-9]+$"));
    schema
}

pub(crate) fn validator(name: &str) -> Validator {
    jsonschema::validator_for(&json_file(&folder().join(name))).expect("a JSON schema")
}

fn json_file(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[track_caller]
fn assert_valid(schema: &Validator, document: &Value, what: &Path) {
    let problems: Vec<String> = schema
        .iter_errors(document)
        .map(|problem| format!("{}: {problem}", problem.instance_path()))
        .collect();
    assert!(problems.is_empty(), "{}: {problems:#?}", what.display());
}

#[test]
fn the_files_are_those_of_the_types() {
    for (name, schema) in all() {
        assert_stored(name, &schema);
    }
}

/// Holds a file against the schema of a type, or writes it.
#[track_caller]
pub(crate) fn assert_stored(name: &str, schema: &Schema) {
    let path = folder().join(name);
    let text = serde_json::to_string_pretty(schema).expect("JSON") + "\n";
    if std::env::var_os("PLIMSOLL_BLESS").is_some() {
        fs::write(&path, &text).expect("written");
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == text, "{name} is not that of the types; PLIMSOLL_BLESS=1 writes it");
}

/// A run is read by this program and fits the schemas: as version 1.0 wrote it, and the sample.
#[test]
fn stored_runs_fit() {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results");
    let samples = fs::read_dir(results).expect("results").map(|entry| entry.expect("entry").path());
    let golden = folder().join("golden/1.0");
    let is_run = |path: &PathBuf| path.join("manifest.json").is_file();
    let runs: Vec<PathBuf> = samples.chain([golden.clone()]).filter(is_run).collect();
    assert!(runs.len() >= 2, "{runs:?}");
    let (manifest, trial, analysis) = (
        validator("manifest.schema.json"),
        validator("trial.schema.json"),
        validator("analysis.schema.json"),
    );
    for path in &runs {
        assert_valid(&manifest, &json_file(&path.join("manifest.json")), path);
        assert_valid(&analysis, &json_file(&path.join("analysis.json")), path);
        let journal = fs::read_to_string(path.join("journal.ndjson")).expect("journal");
        for line in journal.lines() {
            assert_valid(&trial, &serde_json::from_str(line).expect("JSON"), path);
        }
        let (run, _) = RunFolder::open(path).expect("readable");
        let trials = run.trials().expect("readable");
        assert!(
            !trials.is_empty() && trials.len() == journal.lines().count(),
            "{}",
            path.display()
        );
    }
    let (_, oldest) = RunFolder::open(&golden).expect("readable");
    assert_eq!(oldest.schema_version, "1.0", "the golden file is of the oldest version there is");
}

type Damage = fn(&mut Value);

/// The control: what is damaged, or of another major version, does not fit.
#[test]
fn what_does_not_fit_is_told() {
    let schema = validator("manifest.schema.json");
    let good = json_file(&folder().join("golden/1.0/manifest.json"));
    assert!(schema.is_valid(&good));
    let damages: [(&str, Damage); 5] = [
        ("another major version", |m| m["schema_version"] = json!("2.0")),
        ("no version", |m| m["schema_version"] = Value::Null),
        ("a field too many", |m| m["added"] = json!(1)),
        ("a text for a number", |m| m["plan"]["blocks"] = json!("nine")),
        ("a status that is none", |m| m["status"] = json!("perfect")),
    ];
    for (what, damage) in damages {
        let mut damaged = good.clone();
        damage(&mut damaged);
        assert!(!schema.is_valid(&damaged), "{what} fits");
    }
}
