//! From a sweep's settings, or a settings file, to the library's configuration, and from the
//! library's errors to the outcome of a trial.

use std::path::Path;
use std::time::Duration;

use plimsoll::{Durability, Engine, KeyRing, Preparation, SegmentedWalConfig, WalError};

use super::Problem;
use crate::store::schema::Settings;
use crate::units::{format_bytes, format_duration_us};

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
        config.keys = Some(random_key()?);
    }
    Ok(config)
}

/// The settings of a log that is measured as an embedder would run it.
#[derive(Clone, Debug)]
pub(crate) struct LogConfig(SegmentedWalConfig);

impl LogConfig {
    /// The library's own defaults.
    pub(crate) fn library_defaults() -> Self {
        Self(SegmentedWalConfig::default())
    }

    /// The `[wal]` table of a file, such as the `recommended.toml` of a sweep. A key that it names is
    /// read, and replaced by a random one: a measurement leaves nothing sealed with a real key.
    ///
    /// # Errors
    /// In the library's words, which name the file and what is wrong with it.
    pub(crate) fn from_file(path: &Path) -> Result<Self, String> {
        SegmentedWalConfig::from_profile(path).map(Self).map_err(|error| error.to_string())
    }

    /// The settings of a sweep's configuration.
    ///
    /// # Errors
    /// [`Problem::Refused`] where one is not known here.
    pub(crate) fn of(settings: &Settings) -> Result<Self, Problem> {
        build(settings, Path::new("")).map(Self)
    }

    /// Each setting and its value, for people.
    pub(crate) fn described(&self) -> Vec<(&'static str, String)> {
        let config = &self.0;
        let word = |word: &dyn std::fmt::Debug| format!("{word:?}").to_lowercase();
        let us = |duration: Duration| {
            format_duration_us(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
        };
        vec![
            ("alignment", config.alignment.map_or_else(|| "auto".into(), format_bytes)),
            ("buffer_size", format_bytes(config.buffer_size)),
            ("segment_size", format_bytes(config.segment_size)),
            ("commit_window", us(config.commit_window)),
            ("pipeline_depth", config.pipeline_depth.to_string()),
            ("engine", word(&config.engine)),
            ("durability", word(&config.durability)),
            ("preparation", word(&config.preparation)),
            ("prepared_segments", config.prepared_segments.to_string()),
            ("idle_marker_after", us(config.idle_marker_after)),
            ("encryption", config.keys.is_some().to_string()),
        ]
    }

    /// Size of a segment, bytes.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.0.segment_size
    }

    /// Segments that exist beside those that are full.
    pub(crate) fn segments_beside(&self) -> u32 {
        self.0.prepared_segments + 2
    }

    /// Whether segments are written with zeros before they are used: each byte of the log is then
    /// written twice until there are old segments to use again.
    pub(crate) fn zeroes_ahead(&self) -> bool {
        matches!(self.0.preparation, Preparation::Zero | Preparation::Recycle)
    }

    /// The configuration of a log in `directory`.
    pub(super) fn in_directory(&self, directory: &Path) -> Result<SegmentedWalConfig, Problem> {
        let mut config = self.0.clone().in_dir(directory);
        if config.keys.is_some() {
            config.keys = Some(random_key()?);
        }
        Ok(config)
    }
}

/// A key that exists in memory only and dies with the trial.
fn random_key() -> Result<KeyRing, Problem> {
    KeyRing::new(KEY_ID, rand::random()).map_err(|error| classify(&error))
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
