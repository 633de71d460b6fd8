//! `wal_profile` of the targets, guided by coverage.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plimsoll_fuzz::run("wal_profile", bytes));
