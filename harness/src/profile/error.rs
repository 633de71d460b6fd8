//! What can be wrong with a profile, and how it is told: where, which field, what is wrong with
//! it, and what would be right.

use std::fmt;
use std::path::PathBuf;

use crate::units::UnitError;

/// Longest part of a wrong value that a message repeats, in characters.
const QUOTED_CHARACTERS_MAX: usize = 60;

/// A place in the profile's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Line from 1.
    pub line: u32,
    /// Column from 1, in characters.
    pub column: u32,
}

/// The first thing that is wrong with a profile.
///
/// Printed as `path:line:column: field: problem; allowed: values`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProfileError {
    /// The profile, as it was named by whoever asked for it.
    pub path: PathBuf,
    /// Where; `None` when the file could not be read at all.
    pub position: Option<Position>,
    /// Dotted name of the field, e.g. `axes.engine`; `profile` for the file as a whole.
    pub field: String,
    /// What is wrong.
    pub problem: Problem,
    /// What would be right.
    pub allowed: String,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The file cannot be read.
    Unreadable {
        /// The system's reason.
        reason: String,
    },
    /// Not TOML.
    Syntax {
        /// The parser's sentence.
        message: String,
    },
    /// No such field.
    UnknownKey {
        /// The known field it was probably meant to be.
        nearest: Option<&'static str>,
    },
    /// A required field is absent.
    Missing,
    /// A value of another TOML type.
    WrongType {
        /// The type that was found.
        found: &'static str,
    },
    /// The right type, but not one of the values.
    NotAValue {
        /// The value as written.
        value: String,
    },
    /// Not a size or duration; says why.
    Malformed {
        /// The value as written.
        value: String,
        /// What is wrong with it.
        reason: UnitError,
    },
    /// Outside the bounds.
    OutOfRange {
        /// The value as written.
        value: String,
    },
    /// A level that its axis already has, perhaps spelled otherwise.
    Duplicate {
        /// The level.
        value: String,
    },
    /// An axis without levels.
    EmptyList,
    /// A text that says nothing.
    EmptyText,
    /// More combinations than a sweep may have.
    TooManyConfigurations {
        /// Product of the axes' level counts.
        configurations: u64,
    },
    /// Says what another field says, or what does not go with it.
    Contradicts {
        /// The other field.
        other: &'static str,
    },
    /// The blocks that must run take longer than the time that may pass.
    BudgetTooSmall {
        /// Time that `min_blocks` blocks put load on the disk, for people.
        needed: String,
    },
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if let Some(Position { line, column }) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        let Self { field, problem, allowed, .. } = self;
        let field = shortened(field).escape_debug().to_string();
        write!(f, " {field}: {problem}; allowed: {allowed}")
    }
}

impl std::error::Error for ProfileError {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { reason } => write!(f, "cannot be read: {reason}"),
            Self::Syntax { message } => write!(f, "not TOML: {message}"),
            Self::UnknownKey { nearest: None } => write!(f, "unknown key"),
            Self::UnknownKey { nearest: Some(name) } => {
                write!(f, "unknown key; did you mean `{name}`?")
            }
            Self::Missing => write!(f, "missing"),
            Self::WrongType { found } => write!(f, "{found} found"),
            Self::NotAValue { value } => write!(f, "{} is not a value", quoted(value)),
            Self::Malformed { value, reason } => write!(f, "{} is {reason}", quoted(value)),
            Self::OutOfRange { value } => write!(f, "{} is out of range", quoted(value)),
            Self::Duplicate { value } => write!(f, "{} is listed twice", quoted(value)),
            Self::EmptyList => write!(f, "the list is empty"),
            Self::EmptyText => write!(f, "the text is empty"),
            Self::TooManyConfigurations { configurations } => {
                write!(f, "{configurations} configurations")
            }
            Self::Contradicts { other } => write!(f, "does not go with `{other}`"),
            Self::BudgetTooSmall { needed } => write!(f, "`min_blocks` blocks need {needed}"),
        }
    }
}

/// The value in quotes, shortened, with control characters escaped so that a profile cannot write
/// to the terminal.
fn quoted(value: &str) -> String {
    format!("{:?}", shortened(value))
}

fn shortened(value: &str) -> String {
    let mut shown: String = value.chars().take(QUOTED_CHARACTERS_MAX).collect();
    if shown.len() < value.len() {
        shown.push('…');
    }
    shown
}
