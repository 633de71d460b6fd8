//! Random attacks on random logs. The controls: with a seeded bug an attack gets through.
#![allow(clippy::print_stderr, reason = "what became of the attacks")]

use plimsoll::simulated::{Sabotage, SimulatedDisk, with_sabotage};

use super::{
    forger::{
        Batch, CIPHER, FIRST_LSN, FRAME_LSN, FRAME_PAYLOAD_BYTES, Field, Frame, HEADER_TAG,
        KEY_CHECK, KEY_ID, Segment,
    },
    target::{Chance, Target, Verdict, forge_claims},
};

/// Attacks, each on a log of its own.
const CASES: u64 = 10_000;
/// A control has to be caught by one of the first so many.
const CASES_FOR_A_BUG: u64 = 400;
/// Reproduces a case that failed.
const SEED: &str = "PLIMSOLL_ATTACK_SEED";

/// A segment of the log, and a frame in it.
type Place = (usize, (usize, usize));

/// Forges the segments in some way and says which.
fn forge(segments: &mut [Segment], stranger: &[Segment], chance: &mut Chance) -> &'static str {
    let (one, other) = (place(segments, chance), place(segments, chance));
    let theirs = stranger[chance.below(stranger.len())].clone();
    let lsn = segments[one.0].frame(one.1).lsn();
    match chance.below(12) {
        0 => {
            let frame = segments[one.0].frame(one.1);
            let mut sealed = [&frame.sealed[..], &frame.tag.expect("sealed")[..]].concat();
            let bit = chance.below(sealed.len() * 8);
            sealed[bit / 8] ^= 1 << (bit % 8);
            let (sealed, tag) = sealed.split_at(frame.sealed.len());
            (frame.sealed, frame.tag) = (sealed.to_vec(), tag.try_into().ok());
            "a flipped bit"
        }
        1 | 2 => {
            // Kind, vshard, tenant, database: anything behind the LSN.
            let bit = 16 * 8 + chance.below(24 * 8);
            segments[one.0].frame(one.1).header[bit / 8] ^= 1 << (bit % 8);
            "a record header with a flipped bit"
        }
        3 => {
            let from = segments[other.0].frame(other.1).clone();
            *segments[one.0].frame(one.1) = from;
            FRAME_LSN.set(&mut segments[one.0].frame(one.1).header, lsn);
            "a record moved"
        }
        4 => {
            let (a, b) =
                (segments[one.0].frame(one.1).clone(), segments[other.0].frame(other.1).clone());
            put_sealed(segments[one.0].frame(one.1), &b);
            put_sealed(segments[other.0].frame(other.1), &a);
            "two ciphertexts exchanged"
        }
        5 => {
            let frame = segments[one.0].frame(one.1);
            let len = chance.below(frame.sealed.len() + 20);
            frame.sealed.resize(len, 0);
            FRAME_PAYLOAD_BYTES.set(&mut frame.header, len as u64);
            "a ciphertext of another length"
        }
        6 => {
            let mut theirs = theirs;
            let places = theirs.places();
            if let Some(place) = places.get(chance.below(places.len())) {
                *segments[one.0].frame(one.1) = theirs.frame(*place).clone();
                FRAME_LSN.set(&mut segments[one.0].frame(one.1).header, lsn);
            }
            "a record of another log"
        }
        7 => {
            let frame = Frame { tag: Some([0; 16]), ..Frame::invented(lsn, b"forged") };
            *segments[one.0].frame(one.1) = frame;
            "an invented record"
        }
        8 => {
            let bit = 12 * 8 + chance.below((168 - 12) * 8);
            segments[one.0].header[bit / 8] ^= 1 << (bit % 8);
            "a segment header with a flipped bit"
        }
        9 => {
            let header = segments[other.0].header;
            segments[one.0].header = header;
            "a segment header moved"
        }
        10 => {
            let segment = &mut segments[one.0];
            CIPHER.set(&mut segment.header, 0);
            for Field(at, len) in [KEY_ID, KEY_CHECK, HEADER_TAG] {
                segment.header[at..at + len].fill(0);
            }
            for batch in &mut segment.batches {
                for frame in &mut batch.frames {
                    *frame = Frame::invented(frame.lsn(), b"forged");
                }
            }
            "a segment in clear"
        }
        _ => {
            let at = chance.below(segments[one.0].batches.len());
            let first_lsn = segments[one.0].batches[at].first_lsn;
            let claimed = first_lsn.saturating_sub(1);
            let frames =
                vec![Frame { tag: Some([7; 16]), ..Frame::invented(first_lsn, b"forged") }];
            let batch = Batch { flags: 0, first_lsn, durable_lsn: claimed, frames };
            segments[one.0].batches.insert(at, batch);
            "an invented batch"
        }
    }
}

fn put_sealed(frame: &mut Frame, from: &Frame) {
    (frame.sealed, frame.tag) = (from.sealed.clone(), from.tag);
    FRAME_PAYLOAD_BYTES.set(&mut frame.header, from.sealed.len() as u64);
}

fn place(segments: &[Segment], chance: &mut Chance) -> Place {
    let all: Vec<Place> = (0..segments.len())
        .flat_map(|at| segments[at].places().into_iter().map(move |place| (at, place)))
        .collect();
    all[chance.below(all.len())]
}

/// One case: the error is an attack that got through.
fn attack(seed: u64) -> Result<(&'static str, Verdict), String> {
    let mut chance = Chance(!seed);
    let mut target = Target::draw(2 * seed);
    let stranger = Target::draw(2 * seed + 1).segments();
    let mut segments = target.segments();
    let kind = forge(&mut segments, &stranger, &mut chance);
    // A past in clear can be forged where it is accepted, but nothing behind an encrypted segment.
    if segments[0].is_encrypted() {
        target.keys = target.keys.with_plain_past();
    }
    let disk = target.forged(segments.clone());
    // Half of them know that the end can be cut off, and that it takes the claims to be lower.
    if chance.below(2) == 0 {
        lower_claims(&disk, &segments, &mut chance);
    }
    let unchanged = target.names().iter().all(|name| disk.read(name) == target.disk.read(name));
    match target.verdict(&disk) {
        Ok(Verdict::Whole) if !unchanged => Err(format!("{kind}: a forged log passes for whole")),
        Ok(verdict) => Ok((kind, verdict)),
        Err(problem) => Err(format!("{kind}: {problem}")),
    }
}

/// Has `wal.meta` claim no more than some record before the end.
fn lower_claims(disk: &SimulatedDisk, segments: &[Segment], chance: &mut Chance) {
    let mut claimed = segments.to_vec();
    let newest = claimed.last_mut().expect("one");
    newest.batches.truncate(chance.below(newest.batches.len() + 1));
    if FIRST_LSN.get(&newest.header) > 0 {
        forge_claims(disk, &claimed);
    }
}

#[test]
fn no_random_attack_gets_through() {
    let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
    let seeds = seed.map_or(0..CASES, |seed: u64| seed..seed + 1);
    let (mut refused, mut cut, mut whole) = (0, 0, 0);
    for seed in seeds.clone() {
        match attack(seed) {
            Ok((_, Verdict::Refused(_))) => refused += 1,
            Ok((_, Verdict::CutEnd(_))) => cut += 1,
            Ok((_, Verdict::Whole)) => whole += 1,
            Err(problem) => panic!("{SEED}={seed}: {problem}"),
        }
    }
    let cases = seeds.end - seeds.start;
    eprintln!("{cases} attacks: {refused} refused, {cut} cut the end off, {whole} changed nothing");
    if cases > 1 {
        assert!(refused * 10 > cases * 8, "{refused} of {cases} refused");
    }
}

#[test]
fn every_seeded_bug_lets_an_attack_through() {
    for bug in [Sabotage::FrameHeaderNotAuthenticated, Sabotage::PlainBehindEncrypted] {
        assert!(Sabotage::ENCRYPTION.contains(&bug));
        let caught = with_sabotage(Some(bug), || {
            (0..CASES_FOR_A_BUG).find_map(|seed| attack(seed).err().map(|problem| (seed, problem)))
        });
        let (seed, problem) = caught.unwrap_or_else(|| panic!("{bug:?} survives"));
        eprintln!("{bug:?} is caught by seed {seed}: {problem}");
    }
}
