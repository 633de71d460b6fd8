//! What an acknowledgement promises. Each level is a type of its own, so that an answer says which
//! one was given and a weaker one is never taken for a stronger.

use std::fmt;

use crate::lsn::Lsn;

/// Out of reach for others, who can neither add a level nor name what is behind one.
mod sealed {
    use crate::lsn::Lsn;

    /// How far records have to get before their committer is answered.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
    pub enum Reach {
        /// The log's memory.
        #[default]
        Buffered,
        /// The device, which may lose it with its power.
        Written,
        /// The medium.
        Durable,
    }

    pub trait Sealed {
        #[doc(hidden)]
        const REACH: Reach;

        #[doc(hidden)]
        fn given(lsn: Lsn) -> Self;
    }
}

pub(crate) use sealed::{Reach, Sealed};

/// A level of durability, as the type of the answer: [`Durable`], [`Written`] or [`Buffered`].
///
/// Whoever asks for the strongest does not get by with less:
///
/// ```compile_fail,E0308
/// use plimsoll::{Durable, GroupCommitter, Record, RecordKind, WalError, Written};
/// fn ship(paid: Durable) {}
/// fn order(log: &GroupCommitter) -> Result<(), WalError> {
///     let answer = log.commit_as::<Written>(&Record::new(RecordKind::PUT, b"paid=7"))?;
///     ship(answer); // expected `Durable`, found `Written`
///     Ok(())
/// }
/// ```
pub trait Level: Sealed + Copy + fmt::Debug + Send + Sync + Unpin + 'static {
    /// The LSN of the record that was acknowledged, or of the last one of an atomic batch.
    fn lsn(self) -> Lsn;
}

macro_rules! level {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Lsn);

        impl Sealed for $name {
            const REACH: Reach = Reach::$name;

            fn given(lsn: Lsn) -> Self {
                Self(lsn)
            }
        }

        impl Level for $name {
            fn lsn(self) -> Lsn {
                self.0
            }
        }

        impl From<$name> for Lsn {
            fn from(answer: $name) -> Self {
                answer.0
            }
        }
    };
}

level! {
    /// The record survives power loss.
    Durable
}

level! {
    /// The record has reached the device, and survives the end of the process. The device may still
    /// lose it with its power: nothing was flushed for it.
    Written
}

level! {
    /// The record has its place in the log's memory and is lost with the process.
    Buffered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_further_reach_is_the_greater_one() {
        assert!(Reach::Buffered < Reach::Written && Reach::Written < Reach::Durable);
        assert_eq!(Durable::given(Lsn::new(7)).lsn(), Lsn::new(7));
        assert_eq!(Lsn::from(Written::given(Lsn::new(8))), Lsn::new(8));
        assert_eq!((Durable::REACH, Buffered::REACH), (Reach::Durable, Reach::Buffered));
    }
}
