//! The `[load]` section: what it may say, what contradicts it, and what a plan keeps of it.

use super::super::error::Position;
use super::*;
use crate::load::{RecordShape, RecordSizes, described};
use crate::store::schema::PlanCallers;

/// The valid profile with more behind it; the first added line is line 13.
fn with(more: &str) -> Result<Profile, ProfileError> {
    parse(&format!("{VALID}{more}"))
}

#[test]
fn without_the_section_a_plan_is_what_it_was() {
    let plan = with("").unwrap().plan(0);
    assert_eq!((plan.load, plan.round_seconds), (None, None));
    let spelled = serde_json::to_string(&with("[load]\n").unwrap().plan(0)).unwrap();
    assert!(!spelled.contains("load") && !spelled.contains("rate_per_second"), "{spelled}");
}

#[test]
fn every_key_reaches_the_plan_and_its_trials() {
    let profile = with(
        "[load]\ncallers = \"tasks\"\nrecord_sizes = \"mix:256B=90,4KiB=10\"\n\
                        tenants = 50\ncompressible = \"25%\"\n",
    )
    .unwrap();
    let plan = profile.plan(0);
    let load = plan.load.clone().unwrap();
    assert_eq!((load.callers, load.tenants), (PlanCallers::Tasks, 50));
    assert_eq!(load.compressible_ratio, 0.25);
    let settings = &plan.configurations[3].settings;
    assert_eq!(settings.record_size_bytes, 640, "the mean");
    let shape = RecordShape::planned(&plan, settings, None).unwrap();
    let sizes: RecordSizes = "mix:256B=90,4KiB=10".parse().unwrap();
    assert_eq!(shape, RecordShape { sizes, tenants: 50, compressible: 0.25, trace: None });
    assert_eq!(
        described(&plan, settings),
        "records of mix:256B=90,4KiB=10 from 4 clients, each a task of one thread, of 50 tenants, \
         25.0 % compressible"
    );
}

#[test]
fn a_rate_is_held_by_the_section_or_varied_by_an_axis() {
    let held = with("[load]\nrate = \"5000/s\"\n").unwrap().plan(0);
    assert!(held.configurations.iter().all(|c| c.settings.rate_per_second == Some(5_000.0)));
    let settings = &held.configurations[0].settings;
    assert_eq!(described(&held, settings), "256B records, 5000/s on a Poisson schedule");
    assert_eq!(held.load, None, "the settings say all of it");
    let varied = with("rate = [\"100/s\", \"2500.5/s\"]\n").unwrap().plan(0);
    assert_eq!(varied.axes[2].levels, ["100/s", "2500.5/s"]);
    let rates: Vec<Option<f64>> =
        varied.configurations.iter().map(|c| c.settings.rate_per_second).collect();
    assert_eq!(rates[..2], [Some(100.0), Some(2_500.5)]);
    assert!(rates.iter().all(Option::is_some));
}

#[test]
fn what_is_no_value_is_told_with_its_place_and_what_is_allowed() {
    for (line, problem, allowed) in [
        ("callers = \"fibers\"", "\"fibers\" is not a value", "threads, tasks"),
        ("record_sizes = \"zipf:3\"", "\"zipf:3\" is not a value", "lognormal:300B,p99=4KiB"),
        ("record_sizes = 256", "integer found", "uniform:100B..4KiB"),
        ("tenants = 0", "\"0\" is out of range", "1 to 1000000"),
        ("compressible = \"101%\"", "out of range", "\"0%\" to \"100%\""),
        ("compressible = \"half\"", "not a value", "\"0%\" to \"100%\""),
        ("compressible = 0.5", "float found", "\"0%\" to \"100%\""),
        ("rate = \"5000\"", "not a rate such as 5000/s", "\"1/s\" to \"10000000/s\""),
        ("rate = 5000", "integer found", "\"1/s\" to \"10000000/s\""),
        ("rate = \"0.5/s\"", "out of range", "\"1/s\" to \"10000000/s\""),
        ("rate = \"1e3/s\"", "not a rate", "\"1/s\" to \"10000000/s\""),
        ("trace = \" \"", "the text is empty", "the path of a trace"),
        ("clients = 4", "unknown key", "callers, record_sizes, tenants"),
    ] {
        let error = with(&format!("[load]\n{line}\n")).expect_err(line);
        let shown = error.to_string();
        assert_eq!(error.position.map(|position| position.line), Some(14), "{shown}");
        assert!(shown.contains(problem) && shown.contains(allowed), "{shown}");
    }
}

#[test]
fn what_contradicts_is_told_with_both_names() {
    let sizes = "[load]\nrecord_sizes = \"256B\"\n";
    let rate = "[load]\nrate = \"10/s\"\n";
    let trace = "[load]\ntrace = \"t.csv\"\n";
    for (more, field, other) in [
        (format!("record_size = [\"1KiB\"]\n{sizes}"), "load.record_sizes", "axes.record_size"),
        (
            format!("[base]\nrecord_size = \"1KiB\"\n{sizes}"),
            "load.record_sizes",
            "base.record_size",
        ),
        (format!("[base]\nrecord_size = \"1KiB\"\n{trace}"), "load.trace", "base.record_size"),
        (format!("{trace}record_sizes = \"1B\"\n"), "load.record_sizes", "load.trace"),
        (format!("{trace}tenants = 3\n"), "load.tenants", "load.trace"),
        (format!("rate = [\"10/s\"]\n{rate}"), "load.rate", "axes.rate"),
        (format!("{rate}callers = \"tasks\"\n"), "load.callers", "load.rate"),
        (format!("{trace}callers = \"tasks\"\n"), "load.callers", "load.trace"),
        (format!("[base]\nclients = 4\n{rate}"), "base.clients", "load.rate"),
        (format!("clients = [4]\n{trace}"), "axes.clients", "load.trace"),
        ("clients = [4]\nrate = [\"10/s\"]\n".to_owned(), "axes.clients", "axes.rate"),
    ] {
        let error = with(&more).expect_err(&more);
        assert_eq!(error.field, field, "{error}");
        assert!(
            matches!(error.problem, Problem::Contradicts { other: o } if o == other),
            "{error}"
        );
        assert!(error.position.is_some());
    }
    let rounds = VALID.replace("trial = \"120ms\"", "round = \"1s\"");
    let error = parse(&format!("{rounds}{rate}")).expect_err("rounds are closed loops");
    assert_eq!((error.field.as_str(), error.position.map(|p| p.line)), ("run.round", Some(6)));
}

#[test]
fn a_rate_in_the_base_is_sent_where_it_belongs() {
    let error = with("[base]\nrate = \"10/s\"\n").expect_err("held elsewhere");
    assert_eq!(error.position, Some(Position { line: 14, column: 8 }));
    let shown = error.to_string();
    assert!(shown.contains("did you mean `load.rate`?") && shown.contains("in [axes]"), "{shown}");
}

#[test]
fn a_trace_is_read_from_beside_the_profile_and_has_its_own_rate() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("x.toml");
    let load = |more: &str| {
        std::fs::write(&path, format!("{VALID}{more}")).expect("a profile");
        Profile::load(&path)
    };
    let error = load("[load]\ntrace = \"t.csv\"\n").expect_err("no such file");
    assert_eq!(error.field, "load.trace");
    assert!(error.to_string().contains("t.csv"), "{error}");
    std::fs::write(folder.path().join("t.csv"), "0,100\n1000,300\n2000,200\n").expect("a trace");
    let own = load("[load]\ntrace = \"t.csv\"\n").unwrap();
    let plan = own.plan(0);
    let trace = plan.load.as_ref().unwrap().trace.clone().unwrap();
    assert_eq!((trace.records, trace.rate_per_second), (3, 1_000.0));
    assert_eq!(trace.sha256, own.trace().unwrap().sha256());
    let settings = &plan.configurations[5].settings;
    assert_eq!((settings.rate_per_second, settings.record_size_bytes), (Some(1_000.0), 200));
    let faster = load("[load]\ntrace = \"t.csv\"\nrate = \"9000/s\"\n").unwrap().plan(0);
    assert_eq!(faster.configurations[0].settings.rate_per_second, Some(9_000.0));
    let varied = load("rate = [\"10/s\", \"20/s\"]\n[load]\ntrace = \"t.csv\"\n").unwrap().plan(0);
    assert_eq!(varied.configurations[1].settings.rate_per_second, Some(20.0));
    std::fs::write(folder.path().join("t.csv"), "0,1\n10000000,1\n").expect("a slow trace");
    let error = load("[load]\ntrace = \"t.csv\"\n").expect_err("too slow").to_string();
    assert!(error.contains("0.100 arrivals a second") && error.contains("`rate`"), "{error}");
}
