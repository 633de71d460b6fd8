//! Why a verb has no answer, and the exit codes that all verbs share.

use std::fmt;

/// All is well.
pub(crate) const EXIT_PASS: u8 = 0;
/// A log failed or lost something, a number got worse, or an objective was missed.
pub(crate) const EXIT_FAILED: u8 = 1;
/// The command line or a file that it names is wrong, or results could not be stored.
pub(crate) const EXIT_USAGE: u8 = 2;
/// It would not have been safe, or was not possible.
pub(crate) const EXIT_REFUSED: u8 = 3;
/// What was measured supports no answer.
pub(crate) const EXIT_INCONCLUSIVE: u8 = 4;
/// Ctrl-C.
pub(crate) const EXIT_INTERRUPTED: u8 = 130;

/// Why there is no answer, or only a part of one. Each is a sentence that says what to do.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line, or a file that it names, is wrong.
    Usage(anyhow::Error),
    /// It would not be safe, or is not possible on this disk or with these runs. Nothing was left.
    Refused(anyhow::Error),
    /// A log failed, or an acknowledged record was not there as it was submitted.
    LogFailed(anyhow::Error),
    /// Results could not be stored, files not be removed, or a measurement not be made.
    Broken(anyhow::Error),
    /// Ctrl-C, before there was anything to show.
    Interrupted,
}

impl Failure {
    /// What the process ends with.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Broken(_) => EXIT_USAGE,
            Self::Refused(_) => EXIT_REFUSED,
            Self::LogFailed(_) => EXIT_FAILED,
            Self::Interrupted => EXIT_INTERRUPTED,
        }
    }

    /// Says where it happened.
    pub(crate) fn within(self, place: impl FnOnce() -> String) -> Self {
        match self {
            Self::Usage(error) => Self::Usage(error.context(place())),
            Self::Refused(error) => Self::Refused(error.context(place())),
            Self::LogFailed(error) => Self::LogFailed(error.context(place())),
            Self::Broken(error) => Self::Broken(error.context(place())),
            Self::Interrupted => Self::Interrupted,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(error)
            | Self::Refused(error)
            | Self::LogFailed(error)
            | Self::Broken(error) => write!(f, "{error:#}"),
            Self::Interrupted => f.write_str("interrupted before there was anything to show"),
        }
    }
}
