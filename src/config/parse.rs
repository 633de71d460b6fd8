//! Ranges of the settings, and reading them from a profile in the units people write.

use std::{fmt, str::FromStr, time::Duration};

use bytesize::ByteSize;
use serde::{
    Deserialize, Deserializer,
    de::{self, IntoDeserializer},
};

use super::{Preparation, VerifyOnOpen};
use crate::{
    crypto::KeyRing,
    device::{Durability, Engine},
    error::{Result, WalError},
    format::{MAX_BLOCK_BYTES, MIN_BLOCK_BYTES},
};

/// The values a field may have.
pub(super) struct Range<T> {
    field: &'static str,
    min: T,
    max: T,
    power_of_two: bool,
    /// The range in the units people write.
    allowed: &'static str,
}

pub(super) const ALIGNMENT: Range<u64> = Range {
    field: "alignment",
    min: MIN_BLOCK_BYTES,
    max: MAX_BLOCK_BYTES,
    power_of_two: true,
    allowed: "\"auto\" or a power of two from 512B to 64KiB",
};
pub(super) const BUFFER_SIZE: Range<u64> = Range {
    field: "buffer_size",
    min: 4 << 10,
    max: 64 << 20,
    power_of_two: false,
    allowed: "4KiB to 64MiB",
};
pub(super) const SEGMENT_SIZE: Range<u64> = Range {
    field: "segment_size",
    min: 1,
    max: 1 << 40,
    power_of_two: false,
    allowed: "1B to 1TiB",
};
pub(super) const COMMIT_WINDOW: Range<Duration> = Range {
    field: "commit_window",
    min: Duration::ZERO,
    max: Duration::from_secs(1),
    power_of_two: false,
    allowed: "0us to 1s",
};
pub(super) const PIPELINE_DEPTH: Range<u32> =
    Range { field: "pipeline_depth", min: 1, max: 64, power_of_two: false, allowed: "1 to 64" };
pub(super) const PREPARED_SEGMENTS: Range<u32> =
    Range { field: "prepared_segments", min: 1, max: 16, power_of_two: false, allowed: "1 to 16" };
pub(super) const IDLE_MARKER_AFTER: Range<Duration> = Range {
    field: "idle_marker_after",
    min: Duration::from_millis(1),
    max: Duration::from_secs(3600),
    power_of_two: false,
    allowed: "1ms to 1h",
};

/// What a range needs to know of its values.
pub(super) trait Setting: Copy + PartialOrd + fmt::Debug {
    fn is_power_of_two(self) -> bool;
}

impl Setting for u64 {
    fn is_power_of_two(self) -> bool {
        self.is_power_of_two()
    }
}

impl Setting for u32 {
    fn is_power_of_two(self) -> bool {
        self.is_power_of_two()
    }
}

impl Setting for Duration {
    fn is_power_of_two(self) -> bool {
        false
    }
}

impl<T: Setting> Range<T> {
    fn contains(&self, value: T) -> bool {
        (self.min..=self.max).contains(&value) && (!self.power_of_two || value.is_power_of_two())
    }

    pub(super) fn check(&self, value: T) -> Result<()> {
        if self.contains(value) {
            return Ok(());
        }
        Err(WalError::InvalidConfig {
            origin: String::new(),
            field: self.field,
            value: format!("{value:?}"),
            allowed: self.allowed.to_owned(),
        })
    }

    fn accept<E: de::Error>(&self, written: &impl fmt::Display, value: T) -> Result<T, E> {
        if self.contains(value) { Ok(value) } else { Err(self.refuse(written)) }
    }

    fn refuse<E: de::Error>(&self, written: &impl fmt::Display) -> E {
        E::custom(format!("{} = {written} is not possible; allowed: {}", self.field, self.allowed))
    }
}

/// A value as a profile may write it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Integer(i64),
    Text(String),
    Other(de::IgnoredAny),
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Other(_) => f.write_str("a value of another type"),
        }
    }
}

fn bytes<'de, D: Deserializer<'de>>(range: &Range<u64>, from: D) -> Result<u64, D::Error> {
    let written = Written::deserialize(from)?;
    let value = match &written {
        Written::Integer(number) => u64::try_from(*number).ok(),
        Written::Text(text) => ByteSize::from_str(text).ok().map(|size| size.as_u64()),
        Written::Other(_) => None,
    };
    let value = value.ok_or_else(|| range.refuse(&written))?;
    range.accept(&written, value)
}

fn duration<'de, D: Deserializer<'de>>(
    range: &Range<Duration>,
    from: D,
) -> Result<Duration, D::Error> {
    let written = Written::deserialize(from)?;
    let value = match &written {
        Written::Integer(0) => Some(Duration::ZERO),
        Written::Text(text) => humantime::parse_duration(text).ok(),
        Written::Integer(_) | Written::Other(_) => None,
    };
    let value = value.ok_or_else(|| range.refuse(&written))?;
    range.accept(&written, value)
}

fn count<'de, D: Deserializer<'de>>(range: &Range<u32>, from: D) -> Result<u32, D::Error> {
    let written = Written::deserialize(from)?;
    let value = match &written {
        Written::Integer(number) => u32::try_from(*number).ok(),
        Written::Text(_) | Written::Other(_) => None,
    };
    let value = value.ok_or_else(|| range.refuse(&written))?;
    range.accept(&written, value)
}

pub(super) fn alignment<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let written = Written::deserialize(from)?;
    let value = match &written {
        Written::Text(text) if text == "auto" => return Ok(None),
        Written::Text(text) => ByteSize::from_str(text).ok().map(|size| size.as_u64()),
        Written::Integer(number) => u64::try_from(*number).ok(),
        Written::Other(_) => None,
    };
    let value = value.ok_or_else(|| ALIGNMENT.refuse(&written))?;
    ALIGNMENT.accept(&written, value).map(Some)
}

pub(super) fn buffer_size<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    bytes(&BUFFER_SIZE, from)
}

pub(super) fn segment_size<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    bytes(&SEGMENT_SIZE, from)
}

pub(super) fn commit_window<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    duration(&COMMIT_WINDOW, from)
}

pub(super) fn idle_marker_after<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    duration(&IDLE_MARKER_AFTER, from)
}

pub(super) fn pipeline_depth<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    count(&PIPELINE_DEPTH, from)
}

pub(super) fn prepared_segments<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    count(&PREPARED_SEGMENTS, from)
}

/// One of a few words.
fn choice<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    field: &str,
    allowed: &str,
    from: D,
) -> Result<T, D::Error> {
    let written = Written::deserialize(from)?;
    let word = match &written {
        Written::Text(word) => word.as_str(),
        Written::Integer(_) | Written::Other(_) => "",
    };
    T::deserialize(word.to_owned().into_deserializer()).map_err(|_: D::Error| {
        de::Error::custom(format!("{field} = {written} is not possible; allowed: {allowed}"))
    })
}

pub(super) fn engine<'de, D: Deserializer<'de>>(from: D) -> Result<Engine, D::Error> {
    choice("engine", "\"auto\", \"uring\", \"blocking\"", from)
}

pub(super) fn durability<'de, D: Deserializer<'de>>(from: D) -> Result<Durability, D::Error> {
    choice("durability", "\"dsync\", \"fdatasync\"", from)
}

pub(super) fn preparation<'de, D: Deserializer<'de>>(from: D) -> Result<Preparation, D::Error> {
    choice("preparation", "\"none\", \"allocate\", \"zero\", \"recycle\"", from)
}

pub(super) fn verify_on_open<'de, D: Deserializer<'de>>(from: D) -> Result<VerifyOnOpen, D::Error> {
    choice("verify_on_open", "\"newest\", \"everything\"", from)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    id: u64,
    path: std::path::PathBuf,
}

/// Reads `key_files`: the first entry is the current key.
pub(super) fn key_files<'de, D: Deserializer<'de>>(from: D) -> Result<Option<KeyRing>, D::Error> {
    let mut ring: Option<KeyRing> = None;
    for KeyFile { id, path } in Vec::<KeyFile>::deserialize(from)? {
        let one = KeyRing::from_file(id, path).map_err(de::Error::custom)?;
        ring = Some(match ring {
            None => one,
            Some(ring) if ring.key_ids().any(|known| known == id) => {
                return Err(de::Error::custom(format!("key_files names id {id} twice")));
            }
            Some(ring) => ring.with_older_ring(&one),
        });
    }
    Ok(ring)
}
