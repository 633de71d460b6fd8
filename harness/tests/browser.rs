//! Every page that Plimsoll writes, opened in headless Chromium: light and dark, wide and narrow. A
//! page is sound if it loads by itself alone, says nothing to the console, keeps within the window,
//! shows something, and writes no word over another. `scripts/check-report` asks the same of any
//! page. Without a Chromium this says so and skips.
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]
#![allow(missing_docs, reason = "tests are no interface")]

mod chromium;
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use chromium::{Browser, Look};
use serde_json::{Value, json};
use support::{TINY, Workshop};

/// Pages to open, one a line, from `scripts/check-report`.
const PAGES: &str = "PLIMSOLL_PAGES";

/// Folder for pictures of them.
const PICTURES: &str = "PLIMSOLL_PICTURES";

const LOOKS: [Look; 4] = [
    Look { name: "light", dark: false, width: 1_100 },
    Look { name: "dark", dark: true, width: 1_100 },
    Look { name: "light-narrow", dark: false, width: 400 },
    Look { name: "dark-narrow", dark: true, width: 400 },
];

/// What is wrong with a page, in every look; and pictures of it, if they are wanted.
fn faults(browser: &mut Browser, page: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    for look in LOOKS {
        let seen = browser.look_at(page, look);
        faults.extend(seen.faults.iter().map(|fault| format!("{}: {fault}", look.name)));
        if let Some(folder) = std::env::var_os(PICTURES).map(PathBuf::from) {
            let of = page.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
            let stem = page.file_stem().unwrap_or_default().to_string_lossy();
            fs::create_dir_all(&folder).expect("a folder for pictures");
            let file = folder.join(format!("{of}-{stem}-{}.png", look.name));
            fs::write(&file, &seen.picture).expect("a picture");
        }
    }
    faults
}

#[test]
fn pages_are_sound() {
    let Some(mut browser) = Browser::start() else { return };
    let pages = match std::env::var(PAGES) {
        Ok(named) => named.lines().map(PathBuf::from).collect(),
        Err(_) => vec![sample()],
    };
    for page in pages {
        let faults = faults(&mut browser, &page);
        assert!(faults.is_empty(), "{}:\n{}", page.display(), faults.join("\n"));
        println!("sound: {}", page.display());
    }
}

/// The report of the committed sample run.
fn sample() -> PathBuf {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results");
    let results = results.canonicalize().expect("results");
    let mut runs = fs::read_dir(&results).expect("results").map(|entry| entry.expect("entry"));
    let run = runs.find(|run| run.path().join("report.html").is_file()).expect("a sample run");
    run.path().join("report.html")
}

#[test]
fn what_this_build_writes_is_sound() {
    let Some(mut browser) = Browser::start() else { return };
    let shop = Workshop::new();
    let mut pages = vec![history(&shop)];
    if !shop.lacks_direct_io() {
        // A noisy disk is no reason for a recommendation, and none against a report.
        assert!(matches!(shop.sweep(TINY, &["--quiet"]).code, 0 | 4));
        pages.push(shop.only_run().join("report.html"));
        pages.push(capacity(&shop));
    }
    for page in pages {
        let faults = faults(&mut browser, &page);
        assert!(faults.is_empty(), "{}:\n{}", page.display(), faults.join("\n"));
    }
}

/// Thirty nights of the golden run, a tenth slower from the twentieth on.
fn history(shop: &Workshop) -> PathBuf {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/golden/1.0");
    let text = |name: &str| fs::read_to_string(golden.join(name)).expect("the golden run");
    for night in 0..30 {
        let folder = shop.path(&format!("nights/{night:02}"));
        fs::create_dir_all(&folder).expect("a folder");
        let mut manifest: Value = serde_json::from_str(&text("manifest.json")).expect("JSON");
        manifest["started_utc"] = json!(format!("2026-06-{:02}T02:00:00Z", night + 1));
        fs::write(folder.join("manifest.json"), manifest.to_string()).expect("written");
        let speed = (1.0 + f64::from(night * 7 % 11) * 0.002) * if night < 20 { 1.0 } else { 0.9 };
        let trial = |line: &str| {
            let mut trial: Value = serde_json::from_str(line).expect("JSON");
            let rate = trial["rate_per_second"].as_f64().expect("a rate");
            trial["rate_per_second"] = json!(rate * speed);
            format!("{trial}\n")
        };
        let journal: String = text("journal.ndjson").lines().map(trial).collect();
        fs::write(folder.join("journal.ndjson"), journal).expect("written");
    }
    let ran = shop.run(&["history", "nights", "--write", "html=history.html"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    shop.path("history.html")
}

/// A capacity run that any disk carries.
fn capacity(shop: &Workshop) -> PathBuf {
    let words = "capacity --slo p50=10s --first-rate 100 --max-rate 200 --warmup-seconds 0 \
                 --probe-seconds 0.3 --confirm-seconds 0.3 --target capacity-target --out capacity";
    let ran = shop.run(&words.split_whitespace().collect::<Vec<&str>>());
    assert!(matches!(ran.code, 0 | 4), "{ran:?}");
    let runs = shop.names("capacity");
    shop.path("capacity").join(&runs[0]).join("report.html")
}

/// The controls: each of these pages has one fault, which is named, and a sound one has none.
#[test]
fn a_page_with_a_fault_is_told() {
    let Some(mut browser) = Browser::start() else { return };
    let shop = Workshop::new();
    let head = "<!DOCTYPE html><html><head><meta charset='utf-8'><title>t</title>\
                <meta name='viewport' content='width=device-width'><style>\
                @media (prefers-color-scheme: dark) { body { background: #111; color: #eee } }\
                </style></head><body>";
    let text = "<h1>Words</h1><p style='color:#1f6fc4'>of more than one <b>colour</b>.</p>";
    let plot = |inside: &str| {
        format!("{text}<svg width='300' height='60' viewBox='0 0 300 60'>{inside}</svg>")
    };
    let beside = "<text x='0' y='20'>one</text><text x='100' y='20'>other</text>";
    let light = head.replace("dark", "print");
    for (name, page, fault) in [
        ("sound", format!("{head}{}", plot(beside)), None),
        ("console", format!("{head}{text}<script>console.error('oh')</script>"), Some("oh")),
        ("exception", format!("{head}{text}<script>missing()</script>"), Some("missing is not")),
        ("image", format!("{head}{text}<img src='missing.png'>"), Some("missing.png")),
        (
            "network",
            format!("{head}{text}<link rel='stylesheet' href='http://127.0.0.1:1/a.css'>"),
            Some("127.0.0.1:1"),
        ),
        ("wide", format!("{head}{text}<div style='width:700px'>w</div>"), Some("wider than")),
        ("blank", head.to_owned(), Some("blank")),
        ("light", format!("{light}{text}"), Some("not dark")),
        (
            "over",
            format!(
                "{head}{}",
                plot("<text x='9' y='20'>one</text><text x='12' y='22'>two</text>")
            ),
            Some("over each other"),
        ),
        ("cut", format!("{head}{}", plot("<text x='290' y='20'>words</text>")), Some("cut off")),
    ] {
        let path = shop.path(&format!("{name}.html"));
        fs::write(&path, page).expect("a page");
        let found = faults(&mut browser, &path);
        match fault {
            None => assert!(found.is_empty(), "{name}: {found:?}"),
            Some(fault) => {
                assert!(found.iter().any(|one| one.contains(fault)), "{name}: {found:?}");
            }
        }
    }
}
