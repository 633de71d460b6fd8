//! Runs that end early: killed at any moment, interrupted, or out of time, and gone on with. Whatever
//! happens, each trial of the plan is stored exactly once, and nothing stays in the target.
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]
#![allow(missing_docs, reason = "tests are no interface")]
#![allow(dead_code, reason = "what is shared is for whole sweeps, too")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Ran, TINY, Workshop};

/// Longest wait for something that a program is to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Seeded, so that a failure can be looked at again; when a kill lands is the machine's.
struct Moments(u64);

impl Moments {
    fn next(&mut self, longest: Duration) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        longest.mul_f64((self.0 >> 33) as f64 / f64::from(1_u32 << 31))
    }
}

fn tiny(blocks: u32) -> String {
    TINY.replace("blocks = 2", &format!("blocks = {blocks}"))
}

/// One configuration, which is recommended however loud the disk is.
fn alone(blocks: u32) -> String {
    tiny(blocks).replace("\"blocking\", \"uring\"", "\"blocking\"")
}

/// Something was recommended; or not, where equal runs differ too much on this disk today.
fn assert_concluded(ran: &Ran) {
    assert!([0, 4].contains(&ran.code), "{ran:?}");
}

/// A sweep that can be killed.
struct Victim(Child);

impl Victim {
    fn start(shop: &Workshop, words: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        command.args(words).current_dir(shop.path(""));
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts"))
    }

    fn sweep(shop: &Workshop, profile: &str, options: &[&str]) -> Self {
        fs::write(shop.path("profile.toml"), profile).expect("a profile");
        let words = ["sweep", "profile.toml", "--target", "target", "--out", "results"];
        Self::start(shop, &[&words, options].concat())
    }

    fn resume(shop: &Workshop, run: &Path) -> Self {
        Self::start(shop, &["sweep", "--resume", text(run)])
    }

    /// What SIGKILL and a power switch do; returns whether it was still running.
    fn kill(mut self) -> bool {
        let running = self.0.try_wait().expect("waits").is_none();
        self.0.kill().expect("kills");
        self.0.wait().expect("ends");
        running
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn wait_until(mut look: impl FnMut() -> bool) {
    let began = Instant::now();
    while !look() {
        assert!(began.elapsed() < PATIENCE, "nothing came");
        thread::sleep(Duration::from_millis(1));
    }
}

fn wait_for_run(shop: &Workshop) -> PathBuf {
    let found = || {
        let run = support::names_if_any(&shop.path("results")).pop()?;
        let run = shop.path("results").join(run);
        run.join("manifest.json").exists().then_some(run)
    };
    wait_until(|| found().is_some());
    found().expect("a run")
}

fn manifest(run: &Path) -> Value {
    let text = fs::read_to_string(run.join("manifest.json")).expect("a manifest");
    serde_json::from_str(&text).expect("JSON")
}

fn edit(run: &Path, change: impl FnOnce(&mut Value)) {
    let mut edited = manifest(run);
    change(&mut edited);
    fs::write(run.join("manifest.json"), edited.to_string()).expect("written");
}

fn journal(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("journal.ndjson")).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn resume(shop: &Workshop, run: &Path, options: &[&str]) -> Ran {
    shop.run(&[&["sweep", "--resume", text(run)], options].concat())
}

/// Every place of the plan's blocks once, in the plan's own order, each with its files.
fn assert_every_trial_once(run: &Path, plan: &Value, blocks: u64) {
    let configurations = plan["configurations"].as_array().expect("a list");
    let trials = journal(run);
    let places: Vec<(u64, u64)> = trials
        .iter()
        .map(|t| (t["block"].as_u64().expect("number"), t["position"].as_u64().expect("number")))
        .collect();
    let planned = (0..blocks).flat_map(|block| {
        (0..configurations.len() as u64 + 2).map(move |position| (block, position))
    });
    assert_eq!(places, planned.collect::<Vec<_>>());
    for block in 0..blocks {
        let of_block = trials.iter().filter(|t| t["block"] == block && t["sentinel"] == false);
        let ids: BTreeSet<&str> =
            of_block.map(|t| t["config_id"].as_str().expect("a text")).collect();
        assert_eq!(ids.len(), configurations.len(), "block {block}");
    }
    for trial in &trials {
        assert_eq!(trial["status"]["outcome"], "ok", "{trial}");
        let id = trial["config_id"].as_str().expect("a text");
        let name = match trial["sentinel"].as_bool() {
            Some(true) => format!("{id}-sentinel-{}", trial["position"]),
            _ => id.to_owned(),
        };
        let folder = run.join("trials").join(name).join(trial["block"].to_string());
        assert_eq!(support::names(&folder), ["intervals.csv", "latency.hlog", "result.json"]);
        let stored = fs::read_to_string(folder.join("result.json")).expect("a result");
        assert_eq!(serde_json::from_str::<Value>(&stored).expect("JSON"), *trial);
    }
}

#[test]
fn killed_again_and_again_a_run_has_every_planned_trial_exactly_once() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let mut moments = Moments(20_261_127);
    let first = Victim::sweep(&shop, &tiny(10), &["--seed", "5"]);
    let run = wait_for_run(&shop);
    thread::sleep(Duration::from_millis(200));
    assert!(first.kill(), "in the middle of the ceiling");
    assert!(manifest(&run)["ceiling"].is_null() && journal(&run).is_empty());

    // The ceiling takes a second; then a kill in the midst of trials.
    let (mut kills, mut ceiling) = (1, Value::Null);
    while kills < 9 && manifest(&run)["status"] == "running" {
        let stored = journal(&run).len();
        let victim = Victim::resume(&shop, &run);
        wait_until(|| journal(&run).len() > stored || manifest(&run)["status"] != "running");
        thread::sleep(moments.next(Duration::from_millis(150)));
        victim.kill();
        kills += 1;
        let measured = manifest(&run)["ceiling"].clone();
        assert!(ceiling.is_null() || measured == ceiling, "the ceiling is measured once");
        ceiling = measured;
        if kills % 3 == 0 {
            tear_the_last_line(&run);
        }
    }
    assert_eq!(kills, 9, "forty trials outlast them");
    let ran = resume(&shop, &run, &[]);
    assert_concluded(&ran);
    let done = manifest(&run);
    assert_eq!((&done["status"], &done["ceiling"]), (&json!("complete"), &ceiling));
    assert_every_trial_once(&run, &done["plan"], 10);
    assert_eq!(shop.names("target"), [""; 0], "nothing is left of those that were killed");
    for name in ["analysis.json", "report.html"] {
        assert!(run.join(name).exists(), "{name}");
    }
    let sessions = done["sessions"].as_array().expect("a list");
    assert_eq!(sessions.len(), kills + 1);
    let whole = sessions.iter().filter(|session| !session["finished_utc"].is_null()).count();
    assert_eq!((whole, sessions[0]["trials_before"].as_u64()), (1, Some(0)));
    assert!(sessions.iter().any(|session| session["split_block"].is_object()), "{sessions:?}");
}

/// A kill during the append: the trial's files are there, its line is cut off.
fn tear_the_last_line(run: &Path) {
    let path = run.join("journal.ndjson");
    let bytes = fs::read(&path).expect("journal");
    let torn = bytes.len().saturating_sub(40);
    fs::write(&path, &bytes[..torn]).expect("written");
}

#[test]
fn an_interrupted_run_says_how_to_go_on_and_does() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let sweep = shop.spawn(&tiny(4));
    shop.wait_for_trials(1);
    sweep.interrupt();
    let ran = sweep.finish();
    assert_eq!(ran.code, 130, "{ran:?}");
    let run = shop.only_run();
    assert!(ran.stderr.contains(&format!("go on with: plimsoll sweep --resume {}", text(&run))));
    let left = shop.run(&["sweep", "--resume", text(&run), "--dry-run"]);
    assert!(left.code == 0 && left.stdout.contains("Left  "), "{left:?}");

    let ran = resume(&shop, &run, &["--quiet"]);
    assert_concluded(&ran);
    assert_eq!(ran.stderr, "", "{ran:?}");
    let concluded = ran.code;
    let done = manifest(&run);
    assert_every_trial_once(&run, &done["plan"], 4);
    let ended = |session: usize| done["sessions"][session]["finished_utc"].is_string();
    assert!(ended(0) && ended(1) && done["sessions"][2].is_null(), "{}", done["sessions"]);

    // There is nothing more to do: its report is made again, and nothing else changes.
    let before = fs::read(run.join("journal.ndjson")).expect("journal");
    fs::remove_file(run.join("report.html")).expect("removed");
    let ran = resume(&shop, &run, &[]);
    assert!(ran.code == concluded && ran.stderr.contains("nothing is left to measure"), "{ran:?}");
    assert!(run.join("report.html").exists() && manifest(&run) == done);
    assert!(fs::read(run.join("journal.ndjson")).expect("journal") == before);
}

type Change = fn(&mut Value);

#[test]
fn what_would_not_compare_is_refused_unless_forced() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let victim = Victim::sweep(&shop, &alone(3), &["--no-ceiling"]);
    let run = wait_for_run(&shop);
    shop.wait_for_trials(4);
    victim.kill();
    let stored = journal(&run).len();
    let good = manifest(&run);

    let changes: [(&str, Change); 4] = [
        ("hostname is elsewhere and", |m| m["environment_before"]["hostname"] = json!("elsewhere")),
        ("device_model is ", |m| m["environment_before"]["device_model"] = json!("another")),
        ("plimsoll_version is 0.0.1", |m| {
            let version = m["environment_before"]["plimsoll_version"].as_str().expect("a text");
            let version = version.replacen("0.1.0", "0.0.1", 1);
            m["environment_before"]["plimsoll_version"] = json!(version);
        }),
        ("does not have the hash", |m| m["plan"]["seed"] = json!(77)),
    ];
    for (why, change) in changes {
        edit(&run, change);
        resume(&shop, &run, &[]).assert_one_sentence(3, &[why, text(&run)]);
        fs::write(run.join("manifest.json"), good.to_string()).expect("restored");
    }
    assert_eq!(journal(&run).len(), stored, "nothing was measured");

    edit(&run, |m| m["environment_before"]["hostname"] = json!("elsewhere"));
    let ran = resume(&shop, &run, &["--force"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let done = manifest(&run);
    assert_every_trial_once(&run, &done["plan"], 3);
    let told = done["sessions"][1]["differences"][0].as_str().expect("a text");
    assert!(told.starts_with("hostname is elsewhere and "), "{told}");
    let analysis = fs::read_to_string(run.join("analysis.json")).expect("analysis");
    assert!(analysis.contains("resumed where something had changed"), "{analysis}");
    assert!(done["ceiling"].is_null(), "--no-ceiling holds for the whole run");
    let report = fs::read_to_string(run.join("report.html")).expect("report");
    assert!(report.contains("own speed was not measured"));
}

#[test]
fn one_at_a_time_and_only_runs() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let nothing = shop.run(&["sweep", "--resume", "nowhere"]);
    nothing.assert_one_sentence(2, &["nowhere is not the folder of a run"]);
    fs::create_dir(shop.path("other")).expect("a folder");
    let other = r#"{"schema_version": "1.1", "kind": "capacity"}"#;
    fs::write(shop.path("other/manifest.json"), other).expect("written");
    let capacity = shop.run(&["sweep", "--resume", "other"]);
    capacity.assert_one_sentence(2, &["other holds a capacity run"]);

    let victim = Victim::sweep(&shop, &tiny(50), &["--no-ceiling"]);
    let run = wait_for_run(&shop);
    shop.wait_for_trials(2);
    let busy = ["being measured by another plimsoll"];
    resume(&shop, &run, &[]).assert_one_sentence(3, &busy);
    assert!(victim.kill());
    let victim = Victim::resume(&shop, &run);
    let stored = journal(&run).len();
    wait_until(|| journal(&run).len() > stored);
    resume(&shop, &run, &[]).assert_one_sentence(3, &busy);
    assert!(victim.kill());

    // A journal that is not the plan's.
    let path = run.join("journal.ndjson");
    let text = fs::read_to_string(&path).expect("journal");
    let whole = &text[..=text.rfind('\n').expect("a line")];
    let first = whole.lines().next().expect("a line");
    fs::write(&path, format!("{whole}{first}\n")).expect("written");
    resume(&shop, &run, &[]).assert_one_sentence(3, &["cannot be resumed", "twice"]);
}

/// From the first trial's start to the last one's, seconds, without a pause in which the program was
/// started again.
fn taken_seconds(run: &Path) -> f64 {
    let started = |trial: &Value| -> jiff::Timestamp {
        trial["started_utc"].as_str().expect("a text").parse().expect("RFC 3339")
    };
    let trials = journal(run);
    let steps = trials
        .windows(2)
        .map(|pair| started(&pair[1]).duration_since(started(&pair[0])).as_secs_f64());
    let mut steps: Vec<f64> = steps.collect();
    steps.sort_by(f64::total_cmp);
    steps.iter().sum::<f64>() - steps.last().copied().unwrap_or_default()
}

/// A pause costs none of the time, and being killed gives none back.
#[test]
fn the_time_that_was_measured_counts_after_a_kill() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let victim = Victim::sweep(&shop, &tiny(50), &["--no-ceiling", "--time", "8s"]);
    let run = wait_for_run(&shop);
    wait_until(|| taken_seconds(&run) > 4.0 || manifest(&run)["status"] != "running");
    victim.kill();
    if manifest(&run)["status"] != "running" {
        println!("skipped: so busy a machine that the time was over before it was half gone");
        return;
    }
    thread::sleep(Duration::from_secs(1));
    let ran = resume(&shop, &run, &["--quiet"]);
    assert!([0, 4].contains(&ran.code), "{ran:?}");
    assert_eq!(manifest(&run)["status"], "time_budget");
    let (taken, trials) = (taken_seconds(&run), journal(&run).len());
    assert!(taken > 4.0 && taken < 9.0, "{taken} s of 8 s");
    assert_every_trial_once(&run, &manifest(&run)["plan"], trials as u64 / 4);
    // Out of time is finished.
    let again = resume(&shop, &run, &[]);
    assert!(again.stderr.contains("nothing is left to measure"), "{again:?}");
    assert_eq!(journal(&run).len(), trials);
}

#[test]
fn a_script_gets_one_document() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let ran = shop.sweep(&alone(3), &["--json", "--no-ceiling"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let answer: Value = serde_json::from_str(&ran.stdout).expect("nothing but JSON");
    let run = shop.only_run();
    assert_eq!((&answer["run"], &answer["status"]), (&json!(run), &json!("complete")));
    assert_eq!(answer["analysis"]["recommendation"]["config_id"], "c00");
    assert_eq!(answer["settings"]["engine"], "blocking");
    for name in ["report_html", "recommended_toml"] {
        assert!(Path::new(answer[name].as_str().expect("a path")).is_file(), "{name}");
    }
    assert!(ran.stderr.contains("block 3 of 3: 3 trials in "), "progress stays: {}", ran.stderr);
    let quiet = shop.run(&["sweep", "--resume", text(&run), "--json", "--quiet"]);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), (ran.stdout.as_str(), ""));
}

/// Four axes of two levels: a screening takes 8 of the 16 combinations.
fn sixteen() -> String {
    tiny(8).replace(
        "engine = [\"blocking\", \"uring\"]",
        "engine = [\"blocking\", \"uring\"]\nencryption = [false, true]\n\
         buffer_size = [\"64KiB\", \"1MiB\"]\ncommit_window = [\"0us\", \"100us\"]",
    )
}

#[test]
fn a_screened_run_survives_kills_in_both_parts_and_comes_to_the_same_plan() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let profile = sixteen();
    let time = ["--time", "8s", "--no-ceiling", "--seed", "3"];
    let planned = shop.sweep(&profile, &[&time[..], &["--dry-run"]].concat());
    for part in ["resolution IV: 8 runs for 4 columns", "8 of 16 combinations", "8.0 s"] {
        assert!(planned.stdout.contains(part), "{part}: {planned:?}");
    }
    let refused = shop.sweep(&profile, &["--time", "1s"]);
    refused.assert_one_sentence(2, &["1.0 s is too short", "a screening takes about"]);

    // Killed in the screening.
    let victim = Victim::sweep(&shop, &profile, &time);
    let run = wait_for_run(&shop);
    let screening = run.join("screening");
    wait_until(|| journal(&screening).len() > 3);
    assert!(victim.kill());
    let early = manifest(&run);
    assert_eq!((&early["screening"]["axes"], journal(&run).len()), (&json!([]), 0));
    let left = shop.run(&["sweep", "--resume", text(&run), "--dry-run"]);
    assert!(left.stdout.contains("Screening left"), "{left:?}");
    let unfinished = shop.run(&["report", text(&run)]);
    assert_eq!(unfinished.code, 4, "a screening alone recommends nothing: {unfinished:?}");

    // Killed between the parts, with the plan in the manifest, and perhaps a trial of it.
    let victim = Victim::resume(&shop, &run);
    wait_until(|| manifest(&run)["screening"]["axes"] != json!([]));
    assert!(victim.kill());
    let plan = manifest(&run)["plan_sha256"].clone();
    // Killed a moment earlier, before the plan was there: the same trials lead to the same one.
    let mut earlier = manifest(&run);
    for part in ["plan", "plan_sha256", "screening"] {
        earlier[part] = early[part].clone();
    }
    fs::write(run.join("manifest.json"), earlier.to_string()).expect("written");
    fs::write(run.join("journal.ndjson"), "").expect("written");

    let ran = resume(&shop, &run, &[]);
    assert!([0, 4].contains(&ran.code), "{ran:?}");
    let done = manifest(&run);
    assert_eq!(done["plan_sha256"], plan);
    let blocks_of = |run: &Path| journal(run).last().expect("a trial")["block"].as_u64();
    let screened = blocks_of(&screening).expect("a number") + 1;
    assert!(screened >= 3);
    assert_every_trial_once(&screening, &done["screening"]["plan"], screened);
    assert_every_trial_once(&run, &done["plan"], blocks_of(&run).expect("a number") + 1);
    assert_eq!(shop.names("target"), [""; 0]);

    let axes = done["screening"]["axes"].as_array().expect("a list");
    let varied: Vec<&Value> =
        axes.iter().filter(|axis| axis["held_at"].is_null()).map(|axis| &axis["axis"]).collect();
    let in_plan: Vec<&Value> =
        done["plan"]["axes"].as_array().expect("a list").iter().map(|axis| &axis["name"]).collect();
    assert_eq!((axes.len(), varied), (4, in_plan));
    let report = fs::read_to_string(run.join("report.html")).expect("report");
    assert!(report.contains("What was screened first"));
    assert!(ran.stdout.contains("Screened first"), "{}", ran.stdout);
}

/// The trace lies where the plan found it; another one under its name would be another load.
#[test]
fn a_trace_is_found_again_and_has_to_be_the_same() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let lines: String = (0..40).map(|n| format!("{},{}\n", n * 500, 100 + n)).collect();
    fs::create_dir(shop.path("traces")).expect("a folder");
    fs::write(shop.path("traces/t.csv"), &lines).expect("a trace");
    let profile = tiny(6) + "[load]\ntrace = \"traces/t.csv\"\n";
    let victim = Victim::sweep(&shop, &profile, &["--no-ceiling"]);
    let run = wait_for_run(&shop);
    wait_until(|| !journal(&run).is_empty());
    assert!(victim.kill(), "with trials left");

    fs::write(shop.path("traces/t.csv"), lines.replace("500,", "501,")).expect("another trace");
    let refused = resume(&shop, &run, &[]);
    refused.assert_one_sentence(2, &["load.trace", "traces/t.csv is not what the run began with"]);

    fs::write(shop.path("traces/t.csv"), lines).expect("the trace");
    let ran = resume(&shop, &run, &["--quiet"]);
    // At 30 ms a trial the generator may be late, which is inconclusive; the places count here.
    assert!([0, 4].contains(&ran.code), "{ran:?}");
    let places: BTreeSet<(u64, u64)> = journal(&run)
        .iter()
        .map(|t| (t["block"].as_u64().expect("number"), t["position"].as_u64().expect("number")))
        .collect();
    assert_eq!((places.len(), journal(&run).len()), (24, 24), "every trial once");
}
