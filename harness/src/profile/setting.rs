//! The settings a sweep can vary: their names in a profile, their bounds and their spelling.
//!
//! One enum holds them, so that a setting added to the schema cannot be forgotten in any of the
//! places that list them.

use std::ops::RangeInclusive;

use crate::profile::error::{Problem, ProfileError};
use crate::profile::value::{Value, byte_bounds, count_bounds, duration_bounds, rate_bounds};
use crate::store::schema::Settings;
use crate::units::{format_bytes, format_duration_us, format_exact_rate};

const ALIGNMENT_BYTES: RangeInclusive<u64> = 512..=65_536;
const BUFFER_SIZE_BYTES: RangeInclusive<u64> = 4 << 10..=64 << 20;
const COMMIT_WINDOW_US: RangeInclusive<u64> = 0..=1_000_000;
const SEGMENT_SIZE_BYTES: RangeInclusive<u64> = 1..=1 << 40;
const ENGINES: &[&str] = &["auto", "uring", "blocking"];
const DURABILITIES: &[&str] = &["dsync", "fdatasync"];
const PIPELINE_DEPTH: RangeInclusive<u32> = 1..=64;
const PREPARATIONS: &[&str] = &["none", "allocate", "zero", "recycle"];
const RECORD_SIZE_BYTES: RangeInclusive<u64> = 0..=64 << 20;
const CLIENTS: RangeInclusive<u32> = 1..=1_024;
pub(super) const RATE_PER_SECOND: RangeInclusive<f64> = 1.0..=10_000_000.0;

/// How a rate is spelled where there is none: each client waits for its commit.
const CLOSED_LOOP: &str = "closed loop";

/// A setting, as a profile names it. Each is a field of [`Settings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SettingKey {
    /// Block size every batch is padded to.
    Alignment,
    /// Largest batch assembled in memory.
    BufferSize,
    /// How long a batch waits for company.
    CommitWindow,
    /// Target size of one segment file.
    SegmentSize,
    /// Whether records are sealed.
    Encryption,
    /// How I/O is submitted.
    Engine,
    /// How a write is made durable.
    Durability,
    /// Batches in flight at once.
    PipelineDepth,
    /// How segments are made ready ahead of use.
    Preparation,
    /// Payload bytes of each record.
    RecordSize,
    /// Closed-loop clients.
    Clients,
    /// Records that arrive a second in an open loop.
    Rate,
}

impl SettingKey {
    /// Every setting, in the order profiles list them.
    pub(crate) const ALL: [Self; 12] = [
        Self::Alignment,
        Self::BufferSize,
        Self::CommitWindow,
        Self::SegmentSize,
        Self::Encryption,
        Self::Engine,
        Self::Durability,
        Self::PipelineDepth,
        Self::Preparation,
        Self::RecordSize,
        Self::Clients,
        Self::Rate,
    ];

    /// The name in a profile and of an axis.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Alignment => "alignment",
            Self::BufferSize => "buffer_size",
            Self::CommitWindow => "commit_window",
            Self::SegmentSize => "segment_size",
            Self::Encryption => "encryption",
            Self::Engine => "engine",
            Self::Durability => "durability",
            Self::PipelineDepth => "pipeline_depth",
            Self::Preparation => "preparation",
            Self::RecordSize => "record_size",
            Self::Clients => "clients",
            Self::Rate => "rate",
        }
    }

    /// The setting called `name`, if there is one.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }

    /// Whether the setting means anything beside these: clients wait in a closed loop, and a rate is
    /// offered in an open one.
    pub(crate) fn is_in_use(self, settings: &Settings) -> bool {
        match self {
            Self::Clients => settings.rate_per_second.is_none(),
            Self::Rate => settings.rate_per_second.is_some(),
            _ => true,
        }
    }

    /// The setting's value, spelled as profiles and reports spell it: `64KiB`, `100us`, `true`.
    /// An axis's levels in a plan are spelled the same, so the two compare.
    pub(crate) fn text(self, settings: &Settings) -> String {
        match self {
            Self::Alignment => format_bytes(settings.alignment_bytes),
            Self::BufferSize => format_bytes(settings.buffer_size_bytes),
            Self::CommitWindow => format_duration_us(settings.commit_window_us),
            Self::SegmentSize => format_bytes(settings.segment_size_bytes),
            Self::Encryption => settings.encryption.to_string(),
            Self::Engine => settings.engine.clone(),
            Self::Durability => settings.durability.clone(),
            Self::PipelineDepth => settings.pipeline_depth.to_string(),
            Self::Preparation => settings.preparation.clone(),
            Self::RecordSize => format_bytes(settings.record_size_bytes),
            Self::Clients => settings.clients.to_string(),
            Self::Rate => {
                settings.rate_per_second.map_or_else(|| CLOSED_LOOP.to_owned(), format_exact_rate)
            }
        }
    }

    /// Whether its values are kinds of things, with no order in which one lies between two others.
    pub(crate) const fn is_kind(self) -> bool {
        matches!(self, Self::Encryption | Self::Engine | Self::Durability | Self::Preparation)
    }

    /// Whether it is nobody's to choose for the sake of speed: it describes the load, or what the
    /// user requires.
    pub(crate) const fn is_given(self) -> bool {
        matches!(self, Self::Encryption | Self::RecordSize | Self::Clients)
    }

    /// The values it may have, for people.
    pub(super) fn allowed(self) -> String {
        match self {
            Self::Alignment => format!("{}, a power of two", byte_bounds(&ALIGNMENT_BYTES)),
            Self::BufferSize => byte_bounds(&BUFFER_SIZE_BYTES),
            Self::CommitWindow => duration_bounds(&COMMIT_WINDOW_US),
            Self::SegmentSize => byte_bounds(&SEGMENT_SIZE_BYTES),
            Self::Encryption => "true, false".to_string(),
            Self::Engine => ENGINES.join(", "),
            Self::Durability => DURABILITIES.join(", "),
            Self::PipelineDepth => count_bounds(&PIPELINE_DEPTH),
            Self::Preparation => PREPARATIONS.join(", "),
            Self::RecordSize => byte_bounds(&RECORD_SIZE_BYTES),
            Self::Clients => count_bounds(&CLIENTS),
            Self::Rate => rate_bounds(&RATE_PER_SECOND),
        }
    }

    /// Reads a profile's value into its field.
    pub(super) fn read(
        self,
        value: &Value<'_>,
        settings: &mut Settings,
    ) -> Result<(), ProfileError> {
        let allowed = self.allowed();
        let bytes = |range| value.bytes(range, &allowed);
        match self {
            Self::Alignment => {
                settings.alignment_bytes = bytes(&ALIGNMENT_BYTES)?;
                if !settings.alignment_bytes.is_power_of_two() {
                    let problem = Problem::NotAValue { value: value.as_written() };
                    return Err(value.error(problem, &allowed));
                }
            }
            Self::BufferSize => settings.buffer_size_bytes = bytes(&BUFFER_SIZE_BYTES)?,
            Self::CommitWindow => {
                settings.commit_window_us = value.duration_us(&COMMIT_WINDOW_US)?;
            }
            Self::SegmentSize => settings.segment_size_bytes = bytes(&SEGMENT_SIZE_BYTES)?,
            Self::Encryption => settings.encryption = value.flag(&allowed)?,
            Self::Engine => settings.engine = value.word(ENGINES)?,
            Self::Durability => settings.durability = value.word(DURABILITIES)?,
            Self::PipelineDepth => settings.pipeline_depth = value.count(&PIPELINE_DEPTH)?,
            Self::Preparation => settings.preparation = value.word(PREPARATIONS)?,
            Self::RecordSize => settings.record_size_bytes = bytes(&RECORD_SIZE_BYTES)?,
            Self::Clients => settings.clients = value.count(&CLIENTS)?,
            Self::Rate => settings.rate_per_second = Some(value.rate(&RATE_PER_SECOND)?),
        }
        Ok(())
    }

    /// Copies this one field.
    pub(super) fn copy(self, from: &Settings, into: &mut Settings) {
        match self {
            Self::Alignment => into.alignment_bytes = from.alignment_bytes,
            Self::BufferSize => into.buffer_size_bytes = from.buffer_size_bytes,
            Self::CommitWindow => into.commit_window_us = from.commit_window_us,
            Self::SegmentSize => into.segment_size_bytes = from.segment_size_bytes,
            Self::Encryption => into.encryption = from.encryption,
            Self::Engine => into.engine.clone_from(&from.engine),
            Self::Durability => into.durability.clone_from(&from.durability),
            Self::PipelineDepth => into.pipeline_depth = from.pipeline_depth,
            Self::Preparation => into.preparation.clone_from(&from.preparation),
            Self::RecordSize => into.record_size_bytes = from.record_size_bytes,
            Self::Clients => into.clients = from.clients,
            Self::Rate => into.rate_per_second = from.rate_per_second,
        }
    }
}

/// The settings that hold where a profile says nothing.
pub(crate) fn default_settings() -> Settings {
    Settings {
        alignment_bytes: 4 << 10,
        buffer_size_bytes: 256 << 10,
        commit_window_us: 0,
        segment_size_bytes: 64 << 20,
        encryption: false,
        engine: "auto".to_string(),
        durability: "dsync".to_string(),
        pipeline_depth: 1,
        preparation: "recycle".to_string(),
        record_size_bytes: 256,
        clients: 4,
        rate_per_second: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Differs from the defaults in every field.
    fn other_settings() -> Settings {
        Settings {
            alignment_bytes: 512,
            buffer_size_bytes: 1 << 20,
            commit_window_us: 100,
            segment_size_bytes: 4 << 20,
            encryption: true,
            engine: "uring".to_string(),
            durability: "fdatasync".to_string(),
            pipeline_depth: 8,
            preparation: "none".to_string(),
            record_size_bytes: 4_096,
            clients: 32,
            rate_per_second: Some(2_500.5),
        }
    }

    #[test]
    fn every_setting_is_found_by_its_name() {
        for key in SettingKey::ALL {
            assert_eq!(SettingKey::from_name(key.name()), Some(key));
        }
        assert_eq!(SettingKey::from_name("Engine"), None);
    }

    #[test]
    fn each_setting_copies_and_spells_its_own_field_and_no_other() {
        for key in SettingKey::ALL {
            let mut settings = default_settings();
            key.copy(&other_settings(), &mut settings);
            for other in SettingKey::ALL {
                let source = if other == key { other_settings() } else { default_settings() };
                assert_eq!(other.text(&settings), other.text(&source), "{}", other.name());
            }
        }
    }

    #[test]
    fn copying_every_setting_copies_all_of_them() {
        let mut settings = default_settings();
        for key in SettingKey::ALL {
            key.copy(&other_settings(), &mut settings);
        }
        assert_eq!(settings, other_settings());
    }
}
