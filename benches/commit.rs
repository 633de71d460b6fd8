//! One log for many: commits from 1, 8 and 64 threads, and submissions from 256 tasks of one
//! thread. The time is that of one record; its throughput is what all of them together came to.
//!
//! `cargo bench -p plimsoll --bench commit`

mod common;

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use common::{BenchDir, criterion, open_at_rest, put};
use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use futures::{executor::block_on, future::join_all};
use plimsoll::{CommitPolicy, GroupCommitter};

const PAYLOAD: [u8; 128] = [0x5a; 128];

const TASKS: u64 = 256;

/// Commits at least `records` from `threads` threads and returns the time for `records` of them.
fn time_threads(committer: &GroupCommitter, records: u64, threads: u64) -> Duration {
    let each = records.div_ceil(threads);
    let line = Barrier::new(usize::try_from(threads).expect("few") + 1);
    let took = thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                line.wait();
                for _ in 0..each {
                    committer.commit(&put(&PAYLOAD)).expect("commit");
                }
                line.wait();
            });
        }
        line.wait();
        let began = Instant::now();
        line.wait();
        began.elapsed()
    });
    share(took, records, each * threads)
}

/// Submits at least `records` from [`TASKS`] tasks, each waiting for one before the next, and
/// returns the time for `records` of them.
fn time_tasks(committer: &GroupCommitter, records: u64) -> Duration {
    let each = records.div_ceil(TASKS);
    let task = async || {
        for _ in 0..each {
            let commit = committer.submit(&put(&PAYLOAD)).expect("submit");
            commit.await.expect("durable");
        }
    };
    let began = Instant::now();
    block_on(join_all((0..TASKS).map(|_| task())));
    share(began.elapsed(), records, each * TASKS)
}

/// The part of the time that `asked` of `made` records took: as many as divide evenly are made.
fn share(took: Duration, asked: u64, made: u64) -> Duration {
    took.mul_f64(asked as f64 / made as f64)
}

/// Gives up what is written, for its segments to be used again.
fn truncate(committer: &GroupCommitter) {
    committer.truncate_before(committer.durable_lsn()).expect("truncate");
}

fn commit(c: &mut Criterion) {
    let dir = BenchDir::new("commit");
    let wal = open_at_rest(dir.config());
    let committer = GroupCommitter::start(wal, CommitPolicy::Greedy).expect("start");
    let mut group = c.benchmark_group("commit 128 B");
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(1));
    for threads in [1, 8, 64] {
        group.bench_function(BenchmarkId::new("threads", threads), |b| {
            b.iter_custom(|records| {
                let took = time_threads(&committer, records, threads);
                truncate(&committer);
                took
            });
        });
    }
    group.bench_function(BenchmarkId::new("tasks", TASKS), |b| {
        b.iter_custom(|records| {
            let took = time_tasks(&committer, records);
            truncate(&committer);
            took
        });
    });
    group.finish();
    committer.close().expect("close");
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = commit
}
criterion_main!(benches);
