//! Positions in the log. Every record has its own log sequence number (LSN); numbers are dense
//! from 1, so the distance between two of them is a count of records.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A log sequence number: the position of one record, counted from 1.
///
/// [`Lsn::NONE`] (0) stands before the first record; it is the durable LSN of an empty log.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Lsn(u64);

impl Lsn {
    /// Before the first record.
    pub const NONE: Self = Self(0);
    /// The first record of a log.
    pub const FIRST: Self = Self(1);

    /// The position with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The position after this one. Saturates at the last number, which a log refuses to hand out
    /// (see [`Lsn::is_exhausted`]).
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The position before this one; [`Lsn::NONE`] stays where it is.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The position `count` records further, or `None` past the end of the number space.
    #[must_use]
    pub const fn checked_add(self, count: u64) -> Option<Self> {
        match self.0.checked_add(count) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Whether this is the one number that is never given to a record, so that `next` of every
    /// real position exists.
    #[must_use]
    pub const fn is_exhausted(self) -> bool {
        self.0 == u64::MAX
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl From<u64> for Lsn {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

/// The positions of a batch of records, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LsnRange {
    /// LSN of the first record.
    pub first: Lsn,
    /// LSN of the last record.
    pub last: Lsn,
}

impl LsnRange {
    /// How many records the range holds.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.last.0 - self.first.0 + 1
    }
}
