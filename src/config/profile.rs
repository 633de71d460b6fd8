//! Loading settings from the `[wal]` table of a TOML profile, with errors that point at the line.

use std::path::Path;

use serde::Deserialize;

use super::SegmentedWalConfig;
use crate::{
    device::read_text_file,
    error::{Result, WalError},
};

/// A profile may hold tables for others, such as the evidence of a recommendation.
#[derive(Deserialize)]
struct Profile {
    wal: SegmentedWalConfig,
}

pub(super) fn load(path: &Path) -> Result<SegmentedWalConfig> {
    let text = read_text_file(path).map_err(WalError::io("read profile", path))?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<SegmentedWalConfig> {
    match toml::from_str::<Profile>(text) {
        Ok(profile) => Ok(profile.wal),
        Err(error) => Err(WalError::Profile {
            path: path.to_owned(),
            problem: locate(text, error.span(), error.message()),
        }),
    }
}

/// Puts line, column and the key on that line in front of a message.
fn locate(text: &str, span: Option<std::ops::Range<usize>>, message: &str) -> String {
    let Some(before) = span.and_then(|span| text.get(..span.start)) else {
        return format!(": {message}");
    };
    let line = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before[line_start..].chars().count() + 1;
    let source_line = text[line_start..].lines().next().unwrap_or("");
    let key = source_line.split_once('=').map_or("", |(key, _)| key.trim());
    if key.is_empty() || message.contains(key) {
        format!(":{line}:{column}: {message}")
    } else {
        format!(":{line}:{column}: {key}: {message}")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Durability, Engine, Preparation, VerifyOnOpen};

    fn parse_wal(lines: &str) -> Result<SegmentedWalConfig> {
        parse(Path::new("p.toml"), &format!("[wal]\n{lines}\n"))
    }

    #[test]
    fn every_field_can_be_written() {
        let config = parse_wal(
            "dir = \"d\"\nalignment = \"16KiB\"\nforce_alignment = true\nbuffer_size = 65536\n\
             segment_size = \"32MiB\"\ncommit_window = \"100us\"\npipeline_depth = 4\n\
             engine = \"uring\"\nsingle_issuer = true\ndurability = \"fdatasync\"\n\
             preparation = \"recycle\"\nprepared_segments = 2\nidle_marker_after = \"1s\"\n\
             verify_on_open = \"everything\"",
        )
        .expect("valid");
        assert_eq!(config.alignment, Some(16 << 10));
        assert_eq!(config.buffer_size, 64 << 10);
        assert_eq!(config.segment_size, 32 << 20);
        assert_eq!(config.commit_window, Duration::from_micros(100));
        assert_eq!((config.pipeline_depth, config.prepared_segments), (4, 2));
        assert_eq!((config.engine, config.durability), (Engine::Uring, Durability::Fdatasync));
        assert_eq!(config.preparation, Preparation::Recycle);
        assert_eq!(config.verify_on_open, VerifyOnOpen::Everything);
        assert!(config.force_alignment && config.single_issuer);
        assert!(parse_wal("alignment = \"auto\"").expect("auto").alignment.is_none());
    }

    #[test]
    fn errors_name_file_line_field_and_what_is_allowed() {
        for (line, expected) in [
            ("buffer_size = \"12 potatoes\"", ["p.toml:2:15: buffer_size", "4KiB to 64MiB"]),
            ("buffer_size = -1", ["p.toml:2:15: buffer_size", "4KiB to 64MiB"]),
            ("segment_size = \"2TiB\"", ["p.toml:2:16: segment_size", "1B to 1TiB"]),
            ("alignment = 3000", ["p.toml:2:13: alignment", "power of two"]),
            ("commit_window = 5", ["p.toml:2:17: commit_window", "0us to 1s"]),
            ("pipeline_depth = \"4\"", ["p.toml:2:18: pipeline_depth", "1 to 64"]),
            ("engine = \"spdk\"", ["p.toml:2:10: engine", "\"uring\""]),
            ("preparation = true", ["p.toml:2:15: preparation", "recycle"]),
            ("verify_on_open = \"all\"", ["p.toml:2:18: verify_on_open", "everything"]),
            ("bufer_size = 1", ["p.toml:2:1", "`buffer_size`"]),
            ("engine = ", ["p.toml:2:", "engine"]),
        ] {
            let error = parse_wal(line).expect_err(line).to_string();
            for part in expected {
                assert!(error.contains(part), "{line}: {error}");
            }
        }
    }

    #[test]
    fn a_path_that_leads_to_no_profile_does_not_fill_the_memory() {
        let error = load(Path::new("/dev/zero")).expect_err("endless").to_string();
        assert!(error.contains("longer than 1 MiB"), "{error}");
    }

    #[test]
    fn an_untrusted_key_file_in_a_profile_is_refused() {
        let error = parse_wal("key_files = [{ id = 1, path = \"/dev/null\" }]").expect_err("null");
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }
}
