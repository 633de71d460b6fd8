//! Somebody who may write every file of an encrypted log and repairs every checksum, but has no key:
//! what is refused, with which error, and what `docs/durability.md` says cannot be noticed.

#[path = "encryption/attack.rs"]
mod attack;
#[path = "encryption/forger.rs"]
mod forger;
#[path = "encryption/records.rs"]
mod records;
#[path = "encryption/segments.rs"]
mod segments;
#[path = "encryption/small.rs"]
mod small;
#[path = "encryption/target.rs"]
mod target;
