//! Who has what in a log, beside its writer or without one: records and bytes of each tenant, from
//! headers alone; with a tenant, that one's records.
//!
//! ```sh
//! cargo run --example tenants -- DIR [TENANT]
//! ```

use std::{
    collections::BTreeMap,
    env,
    io::{self, Write},
};

use anyhow::Context;
use plimsoll::{Lsn, RecordFilter, SegmentedWal};

fn main() -> anyhow::Result<()> {
    let mut args = env::args().skip(1);
    let dir = args.next().context("usage: cargo run --example tenants -- DIR [TENANT]")?;
    let mut out = io::stdout().lock();

    // Without the log's lock: a writer may be at work.
    let mut reader = SegmentedWal::replay_from_dir(dir, None, Lsn::NONE)?;

    if let Some(tenant) = args.next() {
        let tenant = tenant.parse().context("a tenant is a number")?;
        // Large payloads of others are not even read.
        let mut reader = reader.matching(RecordFilter::all().tenants([tenant]));
        while let Some(record) = reader.next_ref() {
            let record = record?;
            writeln!(out, "{:>8}  {} bytes", record.lsn(), record.payload().len())?;
        }
        return Ok(());
    }

    let mut tenants: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    while let Some(head) = reader.next_head() {
        let head = head?;
        let (records, bytes) = tenants.entry(head.tenant()).or_default();
        *records += 1;
        *bytes += head.payload_len() as u64;
    }
    for (tenant, (records, bytes)) in tenants {
        writeln!(out, "tenant {tenant:>8}: {records:>8} records, {bytes:>12} bytes")?;
    }
    Ok(())
}
