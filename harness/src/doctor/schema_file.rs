//! `harness/schema/doctor.schema.json` against the types and against what they become. Written anew
//! as the others are; see `store::schema_files`.

use serde_json::{Value, json};

use super::synthetic::server;
use super::verdict::Examination;
use crate::store::schema_files::{assert_stored, described, validator};

const FILE: &str = "doctor.schema.json";

fn document() -> Value {
    let mut facts = server();
    facts.environment.cgroup_cpu_limit = Some(0.5);
    let examination = Examination::of(facts, "2026-01-01T00:00:00Z".into());
    serde_json::from_str(&examination.json().expect("JSON")).expect("JSON")
}

#[test]
fn the_schema_file_is_that_of_the_types() {
    assert_stored(FILE, &described::<Examination>("what plimsoll doctor --json prints"));
}

/// Every text that a type in the schema allows as a constant.
fn constants(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            found.extend(fields.get("const").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| constants(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| constants(value, found)),
        _ => {}
    }
}

#[test]
fn every_warning_and_every_class_is_in_the_documentation() {
    let documentation = include_str!("../../../docs/doctor.md");
    let schema = described::<Examination>("");
    let types = schema.as_value()["$defs"].as_object().expect("types").iter();
    let mut told = Vec::new();
    for (name, definition) in types {
        if name.ends_with("Warning") || ["Refusal", "DeviceClass"].contains(&name.as_str()) {
            constants(definition, &mut told);
        }
    }
    assert!(told.len() > 40, "{told:?}");
    for name in told {
        assert!(documentation.contains(&format!("`{name}`")), "{name} is not in docs/doctor.md");
    }
}

#[test]
fn what_is_printed_fits_and_what_is_damaged_does_not() {
    let schema = validator(FILE);
    let good = document();
    let problems: Vec<String> =
        schema.iter_errors(&good).map(|problem| problem.to_string()).collect();
    assert!(problems.is_empty(), "{problems:#?}");
    assert_eq!(good["warnings"][0]["warning"]["kind"], "processor_limit");
    for (place, value) in [
        ("/schema_version", json!("2.0")),
        ("/verdict", json!("perfect")),
        ("/class/class", json!("magnetic_drum")),
        ("/warnings/0/warning/kind", json!("no_such_warning")),
        ("/facts/measured/block_bytes", json!("4KiB")),
        ("/facts/log/answer", json!("maybe")),
    ] {
        let mut damaged = good.clone();
        *damaged.pointer_mut(place).unwrap_or_else(|| panic!("{place}: {good}")) = value;
        assert!(!schema.is_valid(&damaged), "{place}");
    }
}
