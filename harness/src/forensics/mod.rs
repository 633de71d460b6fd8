//! `plimsoll log`: looking into the files of a log instead of using it. Everything here that reads a
//! log is a view over `plimsoll::inspect`, takes no lock and changes nothing; what is copied goes into
//! a new directory.

pub(crate) mod diff;
pub(crate) mod dump;
mod keys;
mod log;
pub(crate) mod migrate;
mod rebuild;
pub(crate) mod retained;
pub(crate) mod salvage;
pub(crate) mod stat;
pub(crate) mod verify;
mod words;

pub(crate) use rebuild::Copied;
