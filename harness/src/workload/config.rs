//! From a sweep's settings to the library's configuration, and from the library's errors to the
//! outcome of a trial.

use std::path::Path;
use std::time::Duration;

use plimsoll::{Durability, Engine, KeyRing, Preparation, SegmentedWalConfig, WalError};

use super::Problem;
use crate::store::schema::Settings;

/// Key id of a trial's only key.
const KEY_ID: u64 = 1;

/// The configuration of a log in `directory`. An encrypted log gets a random key that exists in
/// memory only and dies with the trial.
pub(super) fn build(settings: &Settings, directory: &Path) -> Result<SegmentedWalConfig, Problem> {
    let mut config = SegmentedWalConfig::new(directory);
    config.alignment = Some(settings.alignment_bytes);
    config.buffer_size = settings.buffer_size_bytes;
    config.segment_size = settings.segment_size_bytes;
    config.commit_window = Duration::from_micros(settings.commit_window_us);
    config.pipeline_depth = settings.pipeline_depth;
    config.engine = match settings.engine.as_str() {
        "auto" => Engine::Auto,
        "uring" => Engine::Uring,
        "blocking" => Engine::Blocking,
        other => return Err(unknown("engine", other)),
    };
    config.durability = match settings.durability.as_str() {
        "dsync" => Durability::Dsync,
        "fdatasync" => Durability::Fdatasync,
        other => return Err(unknown("durability", other)),
    };
    config.preparation = match settings.preparation.as_str() {
        "none" => Preparation::None,
        "allocate" => Preparation::Allocate,
        "zero" => Preparation::Zero,
        "recycle" => Preparation::Recycle,
        other => return Err(unknown("preparation", other)),
    };
    if settings.encryption {
        let ring = KeyRing::new(KEY_ID, rand::random()).map_err(|error| classify(&error))?;
        config.keys = Some(ring);
    }
    Ok(config)
}

fn unknown(field: &str, value: &str) -> Problem {
    Problem::Refused(format!("{field} = {value:?} is not known to this program"))
}

/// Whether an error on opening says that the settings do not suit the device, or that the log
/// failed.
pub(super) fn classify(error: &WalError) -> Problem {
    match error {
        WalError::AlignmentRefused { .. }
        | WalError::DirectIoUnsupported { .. }
        | WalError::InvalidConfig { .. } => Problem::Refused(error.to_string()),
        _ => Problem::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::default_settings;

    #[test]
    fn every_setting_reaches_the_library() {
        let settings = Settings {
            alignment_bytes: 16 << 10,
            buffer_size_bytes: 1 << 20,
            commit_window_us: 100,
            segment_size_bytes: 5 << 20,
            encryption: true,
            engine: "uring".into(),
            durability: "fdatasync".into(),
            pipeline_depth: 3,
            preparation: "recycle".into(),
            ..default_settings()
        };
        let config = build(&settings, Path::new("/x")).expect("valid");
        assert_eq!(config.dir, Path::new("/x"));
        assert_eq!(config.alignment, Some(16 << 10));
        assert_eq!((config.buffer_size, config.segment_size), (1 << 20, 5 << 20));
        assert_eq!(config.commit_window, Duration::from_micros(100));
        assert_eq!((config.engine, config.pipeline_depth), (Engine::Uring, 3));
        assert_eq!(config.durability, Durability::Fdatasync);
        assert_eq!(config.preparation, Preparation::Recycle);
        assert_eq!(config.keys.expect("a key").current_key_id(), KEY_ID);
        assert!(build(&default_settings(), Path::new("/x")).expect("valid").keys.is_none());
    }

    #[test]
    fn unknown_words_are_refused_and_not_replaced_by_a_default() {
        let broken: [fn(&mut Settings); 3] = [
            |s| s.engine = "aio".into(),
            |s| s.durability = "hope".into(),
            |s| s.preparation = String::new(),
        ];
        for break_it in broken {
            let mut settings = default_settings();
            break_it(&mut settings);
            let problem = build(&settings, Path::new("/x")).expect_err("unknown");
            assert!(matches!(problem, Problem::Refused(_)), "{problem:?}");
        }
    }

    #[test]
    fn a_full_disk_is_a_failure_and_an_unsuitable_alignment_a_refusal() {
        let full = WalError::NoSpace { path: "/x".into(), segment_bytes: 1 };
        assert!(matches!(classify(&full), Problem::Failed(_)));
        let unsuitable = WalError::AlignmentRefused {
            path: "/x".into(),
            alignment_bytes: 512,
            problem: "too small".into(),
        };
        assert_eq!(classify(&unsuitable), Problem::Refused(unsuitable.to_string()));
    }
}
