//! Looking into a log instead of using it: what is whole in a damaged one, or in one of another
//! format, goes into a new one.

mod keys;
pub(crate) mod migrate;
mod rebuild;
