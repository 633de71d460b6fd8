//! The readers of profiles and of stored runs, for bytes that nobody vouches for: what `fuzz/`
//! calls. Each reads, and panics if what was accepted does not hold together.

use std::fs;
use std::path::Path;

use crate::conclude::conclude;
use crate::forensics::migrate;
use crate::profile::Profile;
use crate::store::schema::{Manifest, TrialResult};
use crate::store::{RunFolder, empty_histogram_ns, from_hlog, parse_json, to_hlog};

/// Where the latencies of the first configuration's first trial are.
const LATENCY: &str = "trials/c00/0/latency.hlog";

/// Reads a sweep's profile. One that is accepted makes a plan that JSON can hold.
///
/// # Panics
///
/// If it does not, or makes another plan the next time.
pub fn read_profile(bytes: &[u8]) {
    let path = Path::new("hostile.toml");
    match Profile::from_bytes(path, bytes) {
        Ok(profile) => {
            let plan = profile.plan(1);
            assert!(!plan.configurations.is_empty() && plan.blocks > 0);
            let text = serde_json::to_string(&plan).expect("a plan has a JSON form");
            assert_eq!(serde_json::from_str(&text).ok(), Some(plan), "JSON holds another plan");
            let again = Profile::from_bytes(path, profile.text().as_bytes());
            assert_eq!(again.as_ref(), Ok(&profile), "its own text is another profile");
        }
        Err(error) => assert!(error.to_string().starts_with("hostile.toml"), "{error}"),
    }
}

/// Reads a latency log. What is accepted can be written, and reads back the same.
///
/// # Panics
///
/// If it does not.
pub fn read_latencies(bytes: &[u8]) {
    let Ok(histogram) = from_hlog(bytes) else { return };
    let mut merged = empty_histogram_ns().expect("a histogram");
    merged.add(&histogram).expect("it fits where trials are merged");
    let second = std::time::Duration::from_secs(1);
    let written = to_hlog(&histogram, &[], second).expect("it can be written");
    assert_eq!(from_hlog(&written).expect("what was written"), histogram);
}

/// Reads a log of `nodedb-wal` 0.2, as a migration does.
///
/// # Panics
///
/// If the same bytes are read in two ways.
pub fn read_old_log(file: &Path, bytes: &[u8]) {
    fs::write(file, bytes).expect("a writable folder");
    let key = std::array::from_fn(|at| u8::try_from(at).unwrap_or(0));
    let rehearse = || migrate::rehearse(file, &[key]).map_err(|failure| failure.to_string());
    assert_eq!(rehearse(), rehearse(), "the same bytes are two logs");
}

/// Makes a run's folder of these files, and all that `report` makes of one.
///
/// # Panics
///
/// If the same files lead to two different conclusions, or a trial does not read back as it was.
pub fn read_run(folder: &Path, manifest: &[u8], journal: &[u8], latencies: &[u8]) {
    let _ = fs::remove_dir_all(folder);
    let put = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).and_then(|()| fs::write(&path, content)).expect("a folder");
    };
    put("manifest.json", manifest);
    put("journal.ndjson", journal);
    put(LATENCY, latencies);
    let Ok((run, read)) = RunFolder::open(folder) else { return };
    let text = serde_json::to_string(&read).expect("a manifest has a JSON form");
    assert_eq!(parse_json::<Manifest>(&text).ok(), Some(read), "JSON holds another manifest");
    let Ok(trials) = run.trials() else { return };
    for trial in trials {
        let text = serde_json::to_string(&trial).expect("a trial has a JSON form");
        assert_eq!(parse_json::<TrialResult>(&text).ok(), Some(trial), "JSON holds another trial");
    }
    let concluded = |folder: &Path| {
        conclude(folder).map(|_| fs::read(folder.join("analysis.json")).expect("was written")).ok()
    };
    let first = concluded(folder);
    assert!(concluded(folder) == first, "the same files lead to two conclusions");
}
