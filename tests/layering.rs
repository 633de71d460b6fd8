//! Holds the code against its drawing: modules stand on floors, and imports run strictly downward.
//! Rust permits circles inside a crate, so this reads the sources and follows every path that
//! begins with `crate`, `self` or `super`, in `use` lines, groups of them and inline.

#[path = "layering/scan.rs"]
mod scan;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use scan::{Import, imports, is_test_attribute, tokens};

/// One crate: where its sources are, and which module may know which.
struct Building {
    sources: &'static str,
    /// What the crate's root counts as, above all floors.
    root: &'static str,
    /// Lowest first. A name with `::` is a part of a module that stands on a floor of its own.
    floors: &'static [&'static [&'static str]],
    /// Neighbours on one floor of which the first may import the second.
    neighbours: &'static [(&'static str, &'static str)],
    /// Another crate of the workspace, and the only modules that may use it.
    only_users: Option<(&'static str, &'static [&'static str])>,
}

const LIBRARY: Building = Building {
    sources: "src",
    root: "lib",
    floors: &[
        &["lsn", "record", "error", "level", "sync", "sabotage"],
        &["format", "durable", "poison", "telemetry"],
        &["device"],
        &["crypto", "config"],
        &["segment"],
        &["append", "replay"],
        &["wal", "committer", "inspect"],
        &["crash", "schedules"],
    ],
    neighbours: &[
        ("record", "lsn"),
        ("level", "lsn"),
        ("error", "lsn"),
        ("error", "record"),
        ("config", "crypto"),
        ("committer", "wal"),
    ],
    only_users: None,
};

const HARNESS: Building = Building {
    sources: "harness/src",
    root: "lib",
    floors: &[
        &["units", "store::schema"],
        &["cli", "failure", "profile", "host", "load", "scratch", "stats", "ticker"],
        &["workload", "measure"],
        &["store"],
        &["export", "page"],
        &[
            "doctor",
            "sweep",
            "recommend",
            "report",
            "bench",
            "capacity",
            "compare",
            "history",
            "torture",
            "certify",
            "forensics",
            "manual",
        ],
        &["conclude"],
        &["hostile"],
        &["bin"],
    ],
    neighbours: &[("units", "store::schema"), ("cli", "load"), ("profile", "load")],
    only_users: Some(("plimsoll", &["workload", "torture", "certify", "forensics"])),
};

impl Building {
    /// The module with a floor that a path leads to, `None` for a name in the crate's root.
    fn unit(&self, path: &[String]) -> Option<&'static str> {
        let names = self.floors.iter().copied().flatten().copied();
        names.filter(|name| is_prefix(name, path)).max_by_key(|name| name.len())
    }

    fn floor(&self, unit: &str) -> usize {
        let holds = |floor: &&[&str]| floor.contains(&unit);
        self.floors.iter().position(holds).unwrap_or(self.floors.len())
    }

    /// What is wrong with an import, if anything is.
    fn objection(&self, from: &str, import: &Import) -> Option<String> {
        if import.krate != "crate" {
            let (krate, users) = self.only_users?;
            let users_text = users.join("`, `");
            return (!users.contains(&from)).then(|| {
                format!("`{from}` uses the crate `{krate}`, which only `{users_text}` may")
            });
        }
        let Some(to) = self.unit(&import.path) else {
            let fine = from == self.root || import.in_test;
            return (!fine).then(|| {
                format!("`{from}` imports `{}` from `{}`, upward", import.text(), self.root)
            });
        };
        let (here, there) = (self.floor(from), self.floor(to));
        if from == to || there < here || self.neighbours.contains(&(from, to)) {
            return None;
        }
        let direction = if there > here { "upward" } else { "sideways" };
        Some(format!("`{from}` (floor {here}) imports `{to}` (floor {there}), {direction}"))
    }

    /// Checks one file; `in_test` when all of it is compiled for tests only.
    fn check(&self, file: &Path, source: &str, in_test: bool) -> Vec<String> {
        let module = module_of(file);
        let shown = Path::new(self.sources).join(file);
        let from = if module.is_empty() { Some(self.root) } else { self.unit(&module) };
        let Some(from) = from else {
            let name = module.join("::");
            let shown = shown.display();
            return vec![format!("{shown}: `{name}` is on no floor; give it one in this test")];
        };
        let imports = imports(&tokens(source), &module, in_test);
        let objection = |import: &Import| {
            let problem = self.objection(from, import)?;
            Some(format!("{}:{}: {problem}", shown.display(), import.line))
        };
        imports.iter().filter_map(objection).collect()
    }
}

fn is_prefix(name: &str, path: &[String]) -> bool {
    let mut parts = path.iter();
    name.split("::").all(|part| parts.next().is_some_and(|found| found == part))
}

/// `wal/open.rs` is the module `wal::open`; the root has no name.
fn module_of(file: &Path) -> Vec<String> {
    let path = file.with_extension("");
    let mut names: Vec<String> =
        path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if matches!(names.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        names.pop();
    }
    names
}

/// Source files below a directory, relative to it, and whether each is compiled for tests only.
fn sources(directory: &Path) -> Vec<(PathBuf, String, bool)> {
    let mut paths = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(&next).expect("sources can be listed") {
            let path = entry.expect("sources can be listed").path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    let read = |path: PathBuf| {
        let source = fs::read_to_string(&path).expect("a source can be read");
        (path.strip_prefix(directory).expect("is below").to_owned(), source)
    };
    let files: Vec<_> = paths.into_iter().map(read).collect();
    let test_modules: BTreeSet<Vec<String>> =
        files.iter().flat_map(|(file, source)| test_modules(file, source)).collect();
    let is_test = |file: &Path| {
        let module = module_of(file);
        (1..=module.len()).any(|len| test_modules.contains(&module[..len]))
    };
    files.into_iter().map(|(file, source)| (file.clone(), source, is_test(&file))).collect()
}

/// Modules in files of their own that are declared for tests only.
fn test_modules(file: &Path, source: &str) -> Vec<Vec<String>> {
    let tokens = tokens(source);
    let declared = |at: usize| {
        let words = tokens.get(at..at + 10)?.iter().map(|token| token.text.as_str());
        let words: Vec<&str> = words.collect();
        let is_module = words[7] == "mod" && words[9] == ";";
        (is_module && is_test_attribute(&tokens, at)).then(|| {
            let mut module = module_of(file);
            module.push(words[8].to_owned());
            module
        })
    };
    (0..tokens.len()).filter_map(declared).collect()
}

fn check_all(building: &Building) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(building.sources);
    let mut report = String::new();
    for (file, source, in_test) in sources(&directory) {
        for problem in building.check(&file, &source, in_test) {
            let _ = writeln!(report, "  {problem}");
        }
    }
    assert!(report.is_empty(), "imports run strictly downward, and these do not:\n{report}");
}

#[test]
fn the_library_imports_downward() {
    check_all(&LIBRARY);
}

#[test]
fn the_harness_imports_downward() {
    check_all(&HARNESS);
}

/// The drawing that the reader of the library sees first, and the floors above.
#[test]
fn the_floors_are_those_drawn_in_lib_rs() {
    let lib = include_str!("../src/lib.rs");
    for (floor, modules) in LIBRARY.floors.iter().enumerate() {
        let start = format!("//!  floor {floor} ");
        let line = lib.lines().find_map(|line| line.strip_prefix(&start));
        let line = line.unwrap_or_else(|| panic!("lib.rs draws no floor {floor}"));
        let words = line.split(|c: char| !c.is_alphanumeric());
        let known = |word: &&str| LIBRARY.floors.iter().any(|floor| floor.contains(word));
        let drawn: BTreeSet<&str> = words.filter(known).collect();
        assert_eq!(drawn, modules.iter().copied().collect(), "floor {floor}");
    }
    let declared = |line: &str| {
        let line = line.strip_prefix("pub ").unwrap_or(line);
        Some(line.strip_prefix("mod ")?.strip_suffix(';')?.to_owned())
    };
    let declared: BTreeSet<String> = lib.lines().filter_map(declared).collect();
    let standing = LIBRARY.floors.iter().copied().flatten().map(|&name| name.to_owned());
    assert_eq!(declared, standing.collect(), "every module of lib.rs has a floor");
}

#[test]
fn unsafe_code_is_in_the_device_only() {
    for (building, home) in [(&LIBRARY, Some("device")), (&HARNESS, None)] {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(building.sources);
        let mut at_home = 0;
        for (file, source, _) in sources(&directory) {
            for token in tokens(&source).iter().filter(|token| token.text == "unsafe") {
                let place = format!("{}/{}:{}", building.sources, file.display(), token.line);
                assert!(home.is_some_and(|home| file.starts_with(home)), "unsafe code in {place}");
                at_home += 1;
            }
        }
        assert_eq!(at_home > 0, home.is_some(), "the scan sees the unsafe code that there is");
    }
}

/// What the checker says of a file of the library.
fn verdict(file: &str, source: &str) -> Vec<String> {
    LIBRARY.check(Path::new(file), source, false)
}

#[test]
fn imports_that_are_not_downward_are_caught() {
    let cases = [
        (
            "format/frame.rs",
            "use crate::wal::Log;",
            "src/format/frame.rs:1: `format` (floor 1) imports `wal` (floor 6), upward",
        ),
        (
            "append/batch.rs",
            "\nuse crate::{lsn::Lsn, replay::{Walk, Reader}};",
            "src/append/batch.rs:2: `append` (floor 5) imports `replay` (floor 5), sideways",
        ),
        (
            "replay/walk.rs",
            "fn f() { crate::append::push(1) }",
            "src/replay/walk.rs:1: `replay` (floor 5) imports `append` (floor 5), sideways",
        ),
        (
            "device/file.rs",
            "fn f() -> [super::super::segment::Spare; 1] {}",
            "src/device/file.rs:1: `device` (floor 2) imports `segment` (floor 4), upward",
        ),
        (
            "device/mod.rs",
            "mod inner { use super::super::segment as s; }",
            "src/device/mod.rs:1: `device` (floor 2) imports `segment` (floor 4), upward",
        ),
        (
            "wal/log.rs",
            "use {std::io, crate::committer::GroupCommitter};",
            "src/wal/log.rs:1: `wal` (floor 6) imports `committer` (floor 6), sideways",
        ),
        (
            "segment/name.rs",
            "use crate::WalError;",
            "src/segment/name.rs:1: `segment` imports `crate::WalError` from `lib`, upward",
        ),
        (
            "lsn.rs",
            "/* \n */ let c = '\"'; use crate::record::Record;",
            "src/lsn.rs:2: `lsn` (floor 0) imports `record` (floor 0), sideways",
        ),
        (
            "lsn.rs",
            "#[cfg(test)] mod tests { use crate::wal::Log; }",
            "src/lsn.rs:1: `lsn` (floor 0) imports `wal` (floor 6), upward",
        ),
        ("salvage.rs", "", "src/salvage.rs: `salvage` is on no floor; give it one in this test"),
    ];
    for (file, source, expected) in cases {
        let found = verdict(file, source);
        assert!(!found.is_empty(), "not caught: {source}");
        assert!(found.iter().all(|line| line == expected), "{source}: {found:?}");
    }
}

#[test]
fn imports_that_are_downward_are_not() {
    let cases = [
        ("committer/mod.rs", "use crate::wal::SegmentedWal; use self::state::State;"),
        (
            "wal/open.rs",
            "use super::{Log, SegmentedWal}; fn f() { super::super::replay::recover() }",
        ),
        ("format/field.rs", "macro_rules! f { () => { use $crate::format::field::Field; } }"),
        (
            "lsn.rs",
            "// crate::wal\n/* crate::wal */ let s = \"crate::wal\"; let r = r#\"\"crate::wal\"#;",
        ),
        ("lsn.rs", "#[cfg(test)] mod tests { use super::*; use crate::Lsn; }"),
        ("lib.rs", "pub use wal::SegmentedWal; pub use crate::committer::GroupCommitter;"),
    ];
    for (file, source) in cases {
        assert_eq!(verdict(file, source), Vec::<String>::new(), "{source}");
    }
}

#[test]
fn only_what_runs_a_log_uses_the_library() {
    let check = |file: &str, source: &str| HARNESS.check(Path::new(file), source, false);
    let source = "use plimsoll::{Lsn, Record};";
    for user in
        ["workload/client.rs", "torture/victim.rs", "certify/subject.rs", "forensics/dump.rs"]
    {
        assert!(check(user, source).is_empty());
    }
    assert_eq!(check("torture/mod.rs", "use crate::certify::run;").len(), 1);
    for source in [source, "fn f() -> plimsoll::Lsn {}", "use plimsoll;", "use ::plimsoll as p;"] {
        let found = check("report/mod.rs", source);
        assert!(!found.is_empty(), "not caught: {source}");
        let expected = "harness/src/report/mod.rs:1: `report` uses the crate `plimsoll`, which only `workload`, `torture`, `certify`, `forensics` may";
        assert!(found.iter().all(|line| line == expected), "{source}: {found:?}");
    }
    assert!(check("stats/mod.rs", "use crate::store::schema::Estimate;").is_empty());
    assert_eq!(check("stats/mod.rs", "use crate::store::RunFolder;").len(), 1);
    assert_eq!(check("store/schema.rs", "use super::files::RunFolder;").len(), 1);
    assert_eq!(check("report/mod.rs", "use crate::{store, sweep};").len(), 1);
}
