//! What a rebuild makes of records that are missing, late, twice or of impossible numbers, held
//! against the log that it writes.

use std::collections::BTreeMap;

use plimsoll::{KeyRing, Lsn, RecordKind, SegmentedWal};
use rand::rand_core::Rng;
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::*;

fn header(lsn: u64) -> RecordHeader {
    RecordHeader { kind: RecordKind::PUT, tenant: lsn, vshard: 3, database: 4 }
}

fn found(lsn: u64, payload: &[u8]) -> Found<'_> {
    Found { lsn, header: header(lsn), payload }
}

/// LSN, kind and payload of everything in a log.
fn contents(dir: &std::path::Path) -> Vec<(u64, RecordKind, Vec<u8>)> {
    let reader = SegmentedWal::replay_from_dir(dir, None, Lsn::NONE).expect("a log");
    let records = reader.map(|record| record.expect("whole"));
    records.map(|r| (r.lsn().get(), r.kind(), r.into_payload())).collect()
}

fn offer_all(rebuild: &mut Rebuild, lsns: &[u64]) -> Vec<Offered> {
    lsns.iter().map(|&lsn| rebuild.offer(found(lsn, b"x")).expect("taken")).collect()
}

fn numbering(first_lsn: Option<u64>) -> Numbering {
    Numbering { first_lsn, renumber: false }
}

#[test]
fn any_order_with_any_holes_gives_each_record_its_own_lsn() {
    for seed in 0..12 {
        let mut chance = Xoshiro256PlusPlus::seed_from_u64(seed);
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a folder");
        let new = folder.path().join("new");
        let place = Place::claim(&new, &folder.path().join("old")).expect("free");
        let keys = (seed % 3 == 0).then(|| KeyRing::new(1, [7; 32]).expect("memory"));
        let first = 1 + chance.next_u64() % 1000;
        let mut known: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for lsn in first..first + 300 {
            if chance.random_bool(0.8) || lsn == first {
                let mut payload = vec![0; chance.random_range(0..3000)];
                chance.fill_bytes(&mut payload);
                known.insert(lsn, payload);
            }
        }
        let mut order: Vec<u64> = known.keys().copied().collect();
        order.shuffle(&mut chance);
        let settings = settings_for(0, keys.clone());
        let mut rebuild = Rebuild::new(place, settings, numbering(None)).expect("settings");
        for lsn in &order {
            assert_eq!(rebuild.offer(found(*lsn, &known[lsn])).expect("taken"), Offered::Taken);
        }
        let again = rebuild.offer(found(order[0], &known[&order[0]])).expect("known");
        assert_eq!(again, Offered::Copy);
        assert_eq!(rebuild.offer(found(order[1], b"other")).expect("known"), Offered::Differs);
        let (outcome, place) = rebuild.end("seed").expect("ends");
        place.expect("a log").finish().expect("renamed");

        let last = *known.keys().last().expect("records");
        assert_eq!((outcome.first_lsn, outcome.last_lsn), (first, last), "seed {seed}");
        assert_eq!(outcome.records, known.len() as u64);
        let reader = SegmentedWal::replay_from_dir(&new, keys.as_ref(), Lsn::NONE).expect("a log");
        let mut missing = Vec::new();
        for (lsn, record) in (first..).zip(reader) {
            let record = record.expect("whole");
            assert_eq!(record.lsn().get(), lsn);
            match known.remove(&lsn) {
                Some(payload) => {
                    assert_eq!((record.payload(), record.tenant()), (&*payload, lsn));
                }
                None => {
                    assert_eq!((record.kind(), record.payload()), (RecordKind::NOOP, &b""[..]));
                    missing.push(lsn);
                }
            }
        }
        assert!(known.is_empty());
        let told = outcome.holes.listed.iter().flat_map(|hole| hole.first_lsn..=hole.last_lsn);
        assert_eq!(told.collect::<Vec<_>>(), missing, "seed {seed}");
    }
}

#[test]
fn a_hole_says_what_was_met_before_it_and_a_record_that_comes_in_time_fills_it() {
    let mut rebuild = Rebuild::without_log(numbering(Some(10)));
    offer_all(&mut rebuild, &[10, 11]);
    rebuild.met("garbage");
    offer_all(&mut rebuild, &[14, 12]);
    let (outcome, _) = rebuild.end("a test").expect("ends");
    let hole = Hole { first_lsn: 13, last_lsn: 13, why: "garbage".into() };
    assert_eq!(outcome.holes.listed, [hole]);
    assert_eq!((outcome.records, outcome.noops, outcome.missing), (4, 1, 1));
}

#[test]
fn a_hole_is_given_up_when_too_much_lies_behind_it() {
    let mut rebuild = Rebuild::without_log(numbering(None));
    assert_eq!(offer_all(&mut rebuild, &[1]), [Offered::Taken]);
    let large = vec![0; HELD_BYTES_MAX / 4];
    for lsn in 3..8 {
        assert_eq!(rebuild.offer(found(lsn, &large)).expect("taken"), Offered::Taken);
    }
    assert_eq!(offer_all(&mut rebuild, &[2]), [Offered::TooLate]);
    assert!(rebuild.held_bytes <= HELD_BYTES_MAX && rebuild.held.is_empty());
    let (outcome, _) = rebuild.end("a test").expect("ends");
    assert_eq!((outcome.holes.total(), outcome.last_lsn), (1, 7));
}

#[test]
fn impossible_and_early_records_are_told_apart() {
    let mut rebuild = Rebuild::without_log(numbering(Some(5)));
    assert_eq!(
        offer_all(&mut rebuild, &[0, 4, u64::MAX, u64::MAX - 1, 5, 4]),
        [
            Offered::Impossible,
            Offered::TooEarly,
            Offered::Impossible,
            Offered::Impossible,
            Offered::Taken,
            Offered::TooEarly,
        ]
    );
}

#[test]
fn too_much_to_fill_is_refused_and_renumbering_closes_it() {
    let far = NOOPS_MAX + 100;
    let mut rebuild = Rebuild::without_log(numbering(Some(1)));
    offer_all(&mut rebuild, &[1, far]);
    let refused = rebuild.end("a test").expect_err("too much");
    assert!(matches!(&refused, Failure::Refused(why) if why.to_string().contains("--renumber")));
    // Several smaller ones are no way around it.
    let mut rebuild = Rebuild::without_log(numbering(Some(1)));
    offer_all(&mut rebuild, &[1, NOOPS_MAX / 2, NOOPS_MAX + 2, NOOPS_MAX + 9]);
    assert!(rebuild.end("a test").is_err());

    let mut rebuild = Rebuild::without_log(Numbering { first_lsn: Some(7), renumber: true });
    offer_all(&mut rebuild, &[7, 8, far, far + 1, u64::MAX - 2]);
    let (outcome, _) = rebuild.end("a test").expect("ends");
    let range =
        |first_lsn, last_lsn, new_first_lsn| Renumbered { first_lsn, last_lsn, new_first_lsn };
    let last = u64::MAX - 2;
    assert_eq!(outcome.renumbered, [range(7, 8, 7), range(far, far + 1, 9), range(last, last, 11)]);
    assert_eq!((outcome.noops, outcome.first_lsn, outcome.last_lsn), (0, 7, 11));
    assert_eq!(outcome.holes.total(), 2);
}

#[test]
fn renumbered_records_are_written_under_their_new_lsns() {
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a folder");
    let new = folder.path().join("new");
    let place = Place::claim(&new, &folder.path().join("old")).expect("free");
    let numbering = Numbering { first_lsn: None, renumber: true };
    let mut rebuild = Rebuild::new(place, settings_for(0, None), numbering).expect("settings");
    for lsn in [40, 41, 900] {
        rebuild.offer(found(lsn, &[u8::try_from(lsn % 256).expect("a byte")])).expect("taken");
    }
    rebuild.end("a test").expect("ends").1.expect("a log").finish().expect("renamed");
    let put = |lsn, byte| (lsn, RecordKind::PUT, vec![byte]);
    assert_eq!(contents(&new), [put(40, 40), put(41, 41), put(42, 132)]);
}

#[test]
fn without_a_record_there_is_no_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let new = folder.path().join("new");
    let place = Place::claim(&new, &folder.path().join("old")).expect("free");
    let rebuild = Rebuild::new(place, settings_for(0, None), numbering(None)).expect("settings");
    let refused = rebuild.end("nowhere").expect_err("nothing");
    assert!(refused.to_string().contains("nowhere"), "{refused}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 0);
}
