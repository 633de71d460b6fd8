//! Profiles good and bad, the plans they expand to, and the profiles that ship.

mod documented;
mod load;
mod planning;
mod properties;
mod reading;
mod shipped;

use std::path::{Path, PathBuf};

use super::*;

/// A valid profile to break: line 1 `name` … line 12 `buffer_size`.
const VALID: &str = r#"name = "x"
description = "A test"
cost = "Nothing"
snia_steady_state = false
[run]
trial = "120ms"
warmup = "30ms"
blocks = 5
min_blocks = 3
[axes]
engine = ["blocking", "uring"]
buffer_size = ["64KiB", "1MiB", "4MiB"]
"#;

fn parse(text: &str) -> Result<Profile, ProfileError> {
    Profile::parse(Path::new("profiles/x.toml"), text)
}

fn shipped_path(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../profiles");
    Path::new(folder).join(format!("{name}.toml"))
}

fn shipped(name: &str) -> Profile {
    Profile::load(&shipped_path(name)).unwrap_or_else(|error| panic!("{error}"))
}
