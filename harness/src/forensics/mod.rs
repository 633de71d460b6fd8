//! `plimsoll log`: looking into the files of a log instead of using it. Everything here is a view over
//! `plimsoll::inspect`, takes no lock and changes nothing.

pub(crate) mod diff;
pub(crate) mod dump;
mod keys;
mod log;
pub(crate) mod retained;
pub(crate) mod stat;
pub(crate) mod verify;
mod words;
