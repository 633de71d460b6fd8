//! Reading a profile: defaults, bounds, and every kind of mistake with its place.

use super::super::error::Position;
use super::*;
use crate::units::UnitError;

/// The error of the valid profile with `from` replaced by `to`.
fn error_of(from: &str, to: &str) -> ProfileError {
    assert!(VALID.contains(from), "{from}");
    parse(&VALID.replacen(from, to, 1)).expect_err(to)
}

/// The error of the valid profile with another axis, on line 13.
fn error_of_axis(line: &str) -> ProfileError {
    parse(&format!("{VALID}{line}\n")).expect_err(line)
}

fn at(line: u32, column: u32) -> Option<Position> {
    Some(Position { line, column })
}

fn text(value: &str) -> String {
    value.to_string()
}

#[test]
fn what_is_not_said_has_the_documented_default() {
    let profile = parse(VALID).unwrap();
    assert_eq!(profile.name, "x");
    assert_eq!(profile.description, "A test");
    assert_eq!(profile.cost, "Nothing");
    assert!(!profile.snia_steady_state);
    assert_eq!(profile.trial, Duration::from_millis(120));
    assert_eq!(profile.warmup, Duration::from_millis(30));
    assert_eq!((profile.blocks, profile.min_blocks), (5, 3));
    assert_eq!(profile.time_budget, None);
    assert_eq!(profile.text(), VALID);
    let spelled: Vec<String> =
        SettingKey::ALL.map(|key| key.text(&profile.base)).into_iter().collect();
    let documented = [
        "4KiB",
        "256KiB",
        "0us",
        "64MiB",
        "false",
        "auto",
        "dsync",
        "1",
        "recycle",
        "256B",
        "4",
        "closed loop",
    ];
    assert_eq!(spelled, documented);
}

#[test]
fn every_setting_can_be_set_in_the_base() {
    let base = r#"[base]
alignment = 512
buffer_size = "4096"
commit_window = 0
segment_size = 1
encryption = true
engine = "uring"
durability = "fdatasync"
pipeline_depth = 0x40
preparation = "none"
record_size = "0"
clients = 1_024
"#;
    let profile = parse(&format!("{VALID}{base}")).unwrap();
    let spelled = SettingKey::ALL.map(|key| key.text(&profile.base));
    assert_eq!(
        spelled,
        [
            "512B",
            "4KiB",
            "0us",
            "1B",
            "true",
            "uring",
            "fdatasync",
            "64",
            "none",
            "0B",
            "1024",
            "closed loop"
        ]
    );
}

#[test]
fn the_message_names_file_line_column_field_and_allowed_values() {
    let error = error_of("\"uring\"", "\"spdk\"");
    assert_eq!(
        error.to_string(),
        "profiles/x.toml:11:23: axes.engine: \"spdk\" is not a value; allowed: auto, uring, blocking"
    );
    assert_eq!(error.path, Path::new("profiles/x.toml"));
    assert_eq!(error.position, at(11, 23));
    assert_eq!(error.field, "axes.engine");
    assert_eq!(error.problem, Problem::NotAValue { value: text("spdk") });
    assert_eq!(error.allowed, "auto, uring, blocking");
}

#[test]
fn unknown_keys_list_the_known_and_suggest_the_nearest() {
    let error = error_of("engine =", "enigne =");
    assert_eq!((error.position, error.field.as_str()), (at(11, 1), "axes.enigne"));
    assert_eq!(error.problem, Problem::UnknownKey { nearest: Some("engine") });
    assert!(error.allowed.starts_with("alignment, buffer_size, commit_window"));
    assert!(error.to_string().contains("did you mean `engine`?"), "{error}");

    let error = error_of("warmup", "warm_up");
    assert_eq!((error.position, error.field.as_str()), (at(7, 1), "run.warm_up"));
    assert_eq!(error.problem, Problem::UnknownKey { nearest: Some("warmup") });

    let error = parse(&format!("{VALID}[colour]\n")).unwrap_err();
    assert_eq!((error.position, error.field.as_str()), (at(13, 2), "colour"));
    assert_eq!(error.problem, Problem::UnknownKey { nearest: None });
    assert_eq!(error.allowed, "name, description, cost, snia_steady_state, run, load, base, axes");
}

#[test]
fn each_missing_field_is_named_with_the_place_it_belongs() {
    for (line, field, position) in [
        ("name = \"x\"\n", "name", at(1, 1)),
        ("description = \"A test\"\n", "description", at(1, 1)),
        ("cost = \"Nothing\"\n", "cost", at(1, 1)),
        ("snia_steady_state = false\n", "snia_steady_state", at(1, 1)),
        ("trial = \"120ms\"\n", "run.trial", at(5, 1)),
        ("warmup = \"30ms\"\n", "run.warmup", at(5, 1)),
        ("blocks = 5\n", "run.blocks", at(5, 1)),
        ("min_blocks = 3\n", "run.min_blocks", at(5, 1)),
    ] {
        let error = error_of(line, "");
        assert_eq!(error.problem, Problem::Missing, "{error}");
        assert_eq!((error.field.as_str(), error.position), (field, position), "{error}");
        assert!(!error.allowed.is_empty());
    }
    let only_top: String = VALID.lines().take(4).map(|line| format!("{line}\n")).collect();
    let error = parse(&only_top).unwrap_err();
    assert_eq!((error.field.as_str(), error.problem), ("run", Problem::Missing));
    let error = parse("").unwrap_err();
    assert_eq!((error.field.as_str(), error.problem), ("name", Problem::Missing));
}

#[test]
fn values_of_another_type_are_refused() {
    for (from, to, field, found) in [
        ("\"x\"", "7", "name", "integer"),
        ("\"A test\"", "[]", "description", "array"),
        ("= false", "= \"false\"", "snia_steady_state", "string"),
        ("\"120ms\"", "120", "run.trial", "integer"),
        ("\"30ms\"", "0.03", "run.warmup", "float"),
        ("= 5", "= \"5\"", "run.blocks", "string"),
        ("= 5", "= 5.0", "run.blocks", "float"),
        ("= 3", "= true", "run.min_blocks", "boolean"),
        ("[\"blocking\", \"uring\"]", "\"uring\"", "axes.engine", "string"),
        ("\"blocking\", ", "1, ", "axes.engine", "integer"),
        ("\"1MiB\"", "1979-05-27", "axes.buffer_size", "datetime"),
        ("\"1MiB\"", "[\"1MiB\"]", "axes.buffer_size", "array"),
        ("\"1MiB\"", "{ a = 1 }", "axes.buffer_size", "table"),
    ] {
        let error = error_of(from, to);
        assert_eq!(error.field, field, "{error}");
        assert_eq!(error.problem, Problem::WrongType { found }, "{error}");
        assert!(!error.allowed.is_empty());
    }
    let error = parse(&VALID.replace("[run]", "[[run]]")).unwrap_err();
    assert_eq!(error.field, "run");
    assert_eq!(error.problem, Problem::WrongType { found: "array" });
    for line in ["encryption = [\"true\"]", "encryption = [0]", "pipeline_depth = [\"1\"]"] {
        let error = error_of_axis(line);
        assert!(matches!(error.problem, Problem::WrongType { .. }), "{error}");
    }
}

#[test]
fn each_bound_holds_on_both_sides() {
    for (key, lowest, highest, below, above) in [
        ("alignment", "512", "\"64KiB\"", "256", "\"128KiB\""),
        ("buffer_size", "\"4KiB\"", "\"64MiB\"", "4095", "67108865"),
        ("commit_window", "0", "\"1s\"", "-1", "\"1000001us\""),
        ("segment_size", "1", "\"1TiB\"", "0", "\"1025GiB\""),
        ("pipeline_depth", "1", "64", "0", "65"),
        ("record_size", "0", "\"64MiB\"", "-1", "67108865"),
        ("clients", "1", "1024", "0", "1025"),
    ] {
        let only = VALID.split("engine").next().unwrap();
        let with = |value: &str| parse(&format!("{only}{key} = [{value}]\n"));
        for value in [lowest, highest] {
            assert!(with(value).is_ok(), "{key} = {value}");
        }
        for value in [below, above] {
            let error = with(value).unwrap_err();
            assert_eq!(error.field, format!("axes.{key}"));
            let written = value.trim_matches('"').to_string();
            // A bare negative number is no duration at all.
            if (key, value) == ("commit_window", "-1") {
                assert_eq!(error.problem, Problem::WrongType { found: "integer" });
            } else {
                assert_eq!(error.problem, Problem::OutOfRange { value: written }, "{error}");
            }
            assert!(error.allowed.contains(" to "), "{error}");
        }
    }
}

#[test]
fn run_bounds_hold() {
    for (from, to, field) in [
        ("\"120ms\"", "\"9ms\"", "run.trial"),
        ("\"120ms\"", "\"61min\"", "run.trial"),
        ("\"30ms\"", "\"11min\"", "run.warmup"),
        ("= 5", "= 0", "run.blocks"),
        ("= 5", "= 51", "run.blocks"),
        ("= 5", "= -5", "run.blocks"),
        ("= 3", "= 6", "run.min_blocks"),
        ("= 3", "= 0", "run.min_blocks"),
        ("= 5", "= 9223372036854775807", "run.blocks"),
        ("= 3", "= 3\ntime_budget = \"999ms\"", "run.time_budget"),
        ("= 3", "= 3\ntime_budget = \"15days\"", "run.time_budget"),
    ] {
        let error = error_of(from, to);
        assert_eq!(error.field, field, "{error}");
        assert!(matches!(error.problem, Problem::OutOfRange { .. }), "{error}");
    }
}

#[test]
fn a_budget_below_the_least_blocks_is_a_contradiction() {
    // 3 blocks of 6 configurations and 2 sentinels, 0.15 s each, are 3.6 s.
    let error = error_of("= 3", "= 3\ntime_budget = \"3s\"");
    assert_eq!((error.position, error.field.as_str()), (at(10, 15), "run.time_budget"));
    assert_eq!(error.problem, Problem::BudgetTooSmall { needed: text("3.6 s") });
    let fits = VALID.replace("= 3", "= 3\ntime_budget = \"4s\"");
    assert_eq!(parse(&fits).unwrap().time_budget, Some(Duration::from_secs(4)));
}

#[test]
fn sizes_and_durations_that_cannot_be_read_say_why() {
    for (line, value, reason) in [
        ("segment_size = [\"4 megs\"]", "4 megs", UnitError::NotASize),
        ("segment_size = [\"0.3B\"]", "0.3B", UnitError::NotWholeBytes),
        ("commit_window = [\"100\"]", "100", UnitError::NotADuration),
        ("commit_window = [\"1ns\"]", "1ns", UnitError::NotWholeMicroseconds),
    ] {
        let error = error_of_axis(line);
        let value = text(value);
        assert_eq!(error.problem, Problem::Malformed { value, reason }, "{error}");
        assert_eq!(error.position.unwrap().line, 13);
    }
    let error = error_of_axis("segment_size = [\"99999999999999999999EiB\"]");
    assert!(matches!(error.problem, Problem::OutOfRange { .. }), "{error}");
    let error = error_of_axis("alignment = [12288]");
    assert_eq!(error.problem, Problem::NotAValue { value: text("12288") });
    assert!(error.allowed.contains("power of two"));
}

#[test]
fn a_level_listed_twice_is_found_whatever_its_spelling() {
    let error = error_of("\"4MiB\"", "\"1024KiB\"");
    assert_eq!((error.position, error.field.as_str()), (at(12, 33), "axes.buffer_size"));
    assert_eq!(error.problem, Problem::Duplicate { value: text("1MiB") });
}

#[test]
fn an_empty_list_is_refused() {
    let error = error_of("[\"blocking\", \"uring\"]", "[]");
    assert_eq!((error.position, error.problem), (at(11, 10), Problem::EmptyList));
    assert!(error.allowed.contains("auto, uring, blocking"));
}

#[test]
fn names_must_be_fit_for_a_folder_and_sentences_must_say_something() {
    let long = format!("\"{}\"", "x".repeat(41));
    for name in ["\"\"", "\"../x\"", "\"a b\"", "\"é\"", long.as_str()] {
        let error = error_of("\"x\"", name);
        assert!(matches!(error.problem, Problem::NotAValue { .. }), "{error}");
    }
    let error = error_of("\"A test\"", "\"  \"");
    assert_eq!(error.problem, Problem::EmptyText);
    let error = error_of("\"A test\"", "\"two\\nlines\"");
    assert!(matches!(error.problem, Problem::NotAValue { .. }), "{error}");
}

#[test]
fn steady_state_is_claimed_where_rounds_and_warm_up_are_long_enough_and_nowhere_else() {
    let with = |claim: bool, trial: &str, warmup: &str| {
        let claim = format!("snia_steady_state = {claim}");
        parse(
            &VALID
                .replace("snia_steady_state = false", &claim)
                .replace("trial = \"120ms\"", trial)
                .replace("\"30ms\"", &format!("{warmup:?}")),
        )
    };
    for (trial, warmup) in [
        ("trial = \"120ms\"", "30ms"),
        ("trial = \"10min\"", "3s"),
        ("round = \"59s\"", "3s"),
        ("round = \"60s\"", "2999ms"),
        ("round = \"2min\"", "5s"),
    ] {
        let error = with(true, trial, warmup).expect_err(trial);
        assert_eq!(error.problem, Problem::NotAValue { value: text("true") }, "{trial} {warmup}");
        assert_eq!(error.position, at(4, 21));
        assert!(error.allowed.contains("`round` of 60s or longer"), "{error}");
    }
    for (round, warmup) in [("60s", "3s"), ("2min", "6s")] {
        let profile = with(true, &format!("round = {round:?}"), warmup).unwrap();
        assert!(profile.snia_steady_state, "{round}");
        assert_eq!(profile.trial, 5 * profile.round.unwrap(), "five of them are what is measured");
    }
    let short = with(false, "round = \"1s\"", "0s").unwrap();
    assert_eq!(short.plan(0).round_seconds, Some(1.0));
    assert_eq!(short.plan(0).trial_seconds, 5.0);
}

#[test]
fn a_trial_has_one_length_or_rounds() {
    let error = error_of("warmup", "round = \"1s\"\nwarmup");
    assert_eq!(error.problem, Problem::Contradicts { other: "run.trial" });
    assert_eq!((error.field.as_str(), error.position), ("run.round", at(7, 9)));
    let error = error_of("trial = \"120ms\"", "");
    assert_eq!((error.field.as_str(), error.problem), ("run.trial", Problem::Missing));
}

#[test]
fn syntax_errors_have_a_place_and_a_field() {
    for (from, to, line, field) in [
        ("blocks = 5", "blocks = ", 8, "run.blocks"),
        ("\"uring\"]", "\"uring\"", 12, "axes.buffer_size"),
        ("[axes]", "[axes", 10, "axes"),
        ("warmup = \"30ms\"", "trial = \"1s\"", 7, "run.trial"),
        ("cost", "co st", 3, "profile"),
    ] {
        let error = error_of(from, to);
        assert!(matches!(error.problem, Problem::Syntax { .. }), "{error}");
        assert_eq!(error.position.unwrap().line, line, "{error}");
        assert_eq!(error.field, field, "{error}");
    }
}

#[test]
fn no_more_than_the_largest_number_of_configurations() {
    let only = VALID.split("engine").next().unwrap();
    let counts = |high: u32| (1..=high).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    let axes = |depth, clients| {
        let (depth, clients) = (counts(depth), counts(clients));
        parse(&format!("{only}pipeline_depth = [{depth}]\nclients = [{clients}]\n"))
    };
    let largest = axes(64, 64).unwrap().plan(1);
    assert_eq!(largest.configurations.len(), 4_096);
    assert_eq!(largest.configurations[4_095].id, "c4095");
    let error = axes(64, 65).unwrap_err();
    assert_eq!(error.problem, Problem::TooManyConfigurations { configurations: 4_160 });
    assert_eq!((error.field.as_str(), error.position), ("axes", at(10, 1)));
}

#[test]
fn hostile_text_is_refused_without_a_panic_and_shown_harmless() {
    for text in [
        "\u{0}",
        "[",
        "]",
        "=",
        "\"",
        "'''",
        "\u{feff}",
        "a.b.c = 1",
        "[[[[",
        "é",
        "\r",
        "\\",
        "name = \"\u{1b}[2J\"",
        "run = 1",
        "run = []",
        "axes = 1",
        "base = 1",
        "x = 1e999",
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.position.is_some() && !error.field.is_empty(), "{error}");
    }
    for end in 0..VALID.len() {
        // Every beginning of a profile either reads or says where it is wrong.
        if let Err(error) = parse(&VALID[..end]) {
            assert!(error.position.is_some(), "{error}");
        }
    }
    let nested = format!("x = {}", "[".repeat(100_000));
    assert!(parse(&nested).is_err());
    let error = error_of("\"uring\"", "\"\\u001b[2J\"");
    assert!(!error.to_string().contains('\u{1b}'), "{error}");
    let error = error_of("engine =", "\"\\u001b[2J\" =");
    assert!(!error.to_string().contains('\u{1b}'), "{error}");
    let long = format!("\"{}\"", "z".repeat(100_000));
    assert!(error_of("\"uring\"", &long).to_string().len() < 300);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let unreadable = |path: &Path| {
        let error = Profile::load(path).unwrap_err();
        assert_eq!((error.path.as_path(), error.position), (path, None));
        assert!(matches!(error.problem, Problem::Unreadable { .. }), "{error}");
    };
    unreadable(&folder.path().join("absent.toml"));
    unreadable(folder.path());
    let large = folder.path().join("large.toml");
    std::fs::write(&large, vec![b'#'; (1 << 20) + 1]).unwrap();
    unreadable(&large);
    let binary = folder.path().join("binary.toml");
    std::fs::write(&binary, b"name = \"x\"\nx = \"\xff\"").unwrap();
    let error = Profile::load(&binary).unwrap_err();
    assert_eq!(error.position, at(2, 6));
    let good = folder.path().join("good.toml");
    std::fs::write(&good, VALID).unwrap();
    assert_eq!(Profile::load(&good), parse(VALID));
}
