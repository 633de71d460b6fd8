//! No nonce is ever used twice: one log, opened 10,000 times and ended by a close, a killed process
//! or a power cut anywhere, with rotated keys, recycled segments and truncations. Everything that
//! was ever sent to its disk is taken apart as `docs/format.md` says, and every derived key with
//! every nonce under it is remembered. `src/crash/nonces.rs` does the same for the crash matrix with
//! the crate's own decoder and by salt; this one derives the keys.

#![allow(clippy::print_stderr, reason = "how much was looked at")]

#[path = "encryption/forger.rs"]
mod forger;

use std::collections::HashMap;

use forger::{
    FRAME_LSN, HEADER_TAG, KEY_ID, LOG_ID, SALT, SEGMENT_HEADER_LEN, SEGMENT_NUMBER, Segment,
};
use hkdf::Hkdf;
use plimsoll::{
    Durability, Engine, KeyRing, Lsn, Preparation, Record, RecordKind, SegmentedWal,
    SegmentedWalConfig,
    simulated::{DiskOptions, Sabotage, SimulatedDisk, open, with_sabotage},
};
use sha2::{Digest, Sha256};

const OPENS: u64 = 10_000;
const OPENS_FOR_THE_BUG: u64 = 100;
/// Keys that the log is written with in turn.
const KEYS: u64 = 5;

type Key = [u8; 32];
/// Digest of everything that was authenticated and encrypted under a key and a nonce.
type Sealed = [u8; 32];

fn master_key(id: u64) -> Key {
    Sha256::digest(id.to_le_bytes()).into()
}

fn ring(current: u64) -> KeyRing {
    let ring = KeyRing::new(current, master_key(current)).expect("memory");
    (0..KEYS)
        .filter(|id| *id != current)
        .fold(ring, |ring, id| ring.with_older_key(id, master_key(id)).expect("memory"))
}

/// Splitmix64, as published by Vigna.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn below(state: &mut u64, bound: u64) -> usize {
    usize::try_from(random(state) % bound).expect("small")
}

/// What has been sealed, by derived key and nonce, and what was seen beside it.
#[derive(Default)]
struct Seen {
    sealed: HashMap<(Key, u64), Sealed>,
    keys: HashMap<Key, [u8; 32]>,
    segments: u64,
    given_out_again: u64,
    newest_lsn: u64,
}

impl Seen {
    /// Takes in what was written to the files of a disk, in order. The error is a nonce used twice.
    fn take_in(&mut self, writes: &[(usize, usize, Vec<u8>)]) -> Result<(), String> {
        let mut headers: HashMap<usize, (Segment, Key)> = HashMap::new();
        for (file, offset, bytes) in writes {
            let mut at = 0;
            if *offset == 0 && bytes.starts_with(b"PLIMSOLL") {
                let segment = Segment::parse(&bytes[..SEGMENT_HEADER_LEN]);
                assert!(segment.is_encrypted(), "nothing is ever written in clear");
                at = segment.block_len();
                let key = derive(&segment);
                self.header(&segment, key)?;
                headers.insert(*file, (segment, key));
            }
            let Some((segment, key)) = headers.get(file) else { continue };
            let Some((batch, _)) = segment.parse_batch(bytes.get(at..).unwrap_or_default()) else {
                continue;
            };
            for frame in &batch.frames {
                let tag = frame.tag.expect("sealed");
                let what = [&frame.header[4..], &frame.sealed, &tag].concat();
                let lsn = FRAME_LSN.get(&frame.header);
                if self.add(*key, lsn, &what)? {
                    self.given_out_again += u64::from(lsn <= self.newest_lsn);
                    self.newest_lsn = self.newest_lsn.max(lsn);
                }
            }
        }
        Ok(())
    }

    /// The header's tag is made under nonce 0. A salt that comes again brings a key again.
    fn header(&mut self, segment: &Segment, key: Key) -> Result<(), String> {
        let mut header = segment.header;
        header[8..12].fill(0);
        self.segments += u64::from(self.add(key, 0, &header)?);
        let salt = SALT.of(&segment.header).try_into().expect("32 bytes");
        self.keys.insert(key, salt);
        assert!(HEADER_TAG.of(&header).iter().any(|&byte| byte != 0));
        Ok(())
    }

    /// `true` if it was not there yet: a disk is looked at more than once.
    fn add(&mut self, key: Key, nonce: u64, what: &[u8]) -> Result<bool, String> {
        let sealed = Sha256::digest(what).into();
        match self.sealed.insert((key, nonce), sealed) {
            Some(before) if before != sealed => {
                Err(format!("nonce {nonce} was used twice under key {key:02x?}"))
            }
            before => Ok(before.is_none()),
        }
    }
}

/// The segment's key, as the document derives it.
fn derive(segment: &Segment) -> Key {
    let header = &segment.header;
    let salt = SALT.of(header);
    let info = [b"plimsoll v1 segment key", LOG_ID.of(header), SEGMENT_NUMBER.of(header)].concat();
    let master = master_key(KEY_ID.get(header));
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(Some(salt), &master).expand(&info, &mut key).expect("32 bytes");
    key
}

fn config(chance: &mut u64, current_key: u64) -> SegmentedWalConfig {
    let mut config = SegmentedWalConfig::default().with_keys(ring(current_key));
    config.segment_size = [1, 2048, 8192][below(chance, 3)];
    config.buffer_size = 4096;
    config.pipeline_depth = [1, 2, 3][below(chance, 3)];
    config.engine = [Engine::Blocking, Engine::Uring][below(chance, 2)];
    config.durability = [Durability::Dsync, Durability::Fdatasync][below(chance, 2)];
    config.preparation =
        [Preparation::Recycle, Preparation::Recycle, Preparation::None][below(chance, 3)];
    config
}

/// Some appends, and now and then a rotation or a truncation.
fn live(wal: &mut SegmentedWal, chance: &mut u64, current_key: &mut u64) {
    for _ in 0..random(chance) % 5 {
        // Records differ, so that a repeated nonce cannot hide behind an equal plaintext.
        let payload = random(chance).to_le_bytes();
        wal.append(&Record::new(RecordKind::PUT, &payload)).expect("append");
        match random(chance) % 8 {
            0..4 => drop(wal.sync().expect("sync")),
            4 => drop(wal.submit().expect("submit")),
            5 => {
                *current_key = (*current_key + 1) % KEYS;
                wal.rotate_keys(ring(*current_key)).expect("rotate");
            }
            6 => drop(wal.truncate_before(wal.durable_lsn()).expect("truncate")),
            _ => {}
        }
    }
}

fn open_often(opens: u64) -> Result<Seen, String> {
    let (mut seen, mut chance, mut current_key) = (Seen::default(), 1, 0);
    let mut options = DiskOptions::default();
    options.seed = random(&mut chance);
    let mut disk = SimulatedDisk::new(options);
    let mut taken_in = 0;
    for _ in 0..opens {
        let mut wal = open(&disk, config(&mut chance, current_key)).expect("opens");
        // The log stays small, and its segments are used again.
        let floor = wal.durable_lsn().get().saturating_sub(20);
        wal.truncate_before(Lsn::new(floor)).expect("truncate");
        live(&mut wal, &mut chance, &mut current_key);
        let ending = random(&mut chance) % 8;
        match ending {
            0 => wal.close().expect("close"),
            _ => {
                disk.end_process();
                drop(wal);
            }
        }
        let writes = disk.writes();
        // Whose headers came earlier, is in the list of this disk from the beginning.
        if taken_in < writes.len() {
            seen.take_in(&writes)?;
            taken_in = writes.len();
        }
        if ending > 2 {
            disk = disk.cut_power_earlier(random(&mut chance));
            taken_in = 0;
        }
    }
    Ok(seen)
}

#[test]
fn no_nonce_repeats_over_10_000_opens_with_crashes() {
    let seen = open_often(OPENS).unwrap_or_else(|problem| panic!("{problem}"));
    eprintln!(
        "{} nonces under {} keys; {} records had an LSN that was given out before",
        seen.sealed.len(),
        seen.segments,
        seen.given_out_again
    );
    // Every opening has a segment of its own, and crashes make LSNs come again under other keys.
    assert!(seen.segments >= OPENS, "{}", seen.segments);
    assert!(seen.given_out_again > OPENS / 10, "{}", seen.given_out_again);
    assert!(seen.sealed.len() as u64 > 2 * OPENS, "{}", seen.sealed.len());
    // Between two lives stand 256 random bits, not 32: no salt has come twice, and none is alike in
    // any 32 of its bits more often than chance has it.
    let mut salts: Vec<_> = seen.keys.values().collect();
    salts.sort();
    salts.dedup();
    assert_eq!(salts.len() as u64, seen.segments);
    for part in 0..8 {
        let mut words: Vec<_> = salts.iter().map(|salt| &salt[4 * part..][..4]).collect();
        words.sort();
        words.dedup();
        // Of 20,000 words of 32 bits about 0.05 pairs are equal.
        assert!(words.len() + 3 > salts.len(), "part {part} of the salts is not random");
    }
}

#[test]
fn a_reused_nonce_is_caught() {
    let problem = with_sabotage(Some(Sabotage::ReuseNonce), || open_often(OPENS_FOR_THE_BUG));
    let problem = problem.err().expect("ReuseNonce survives");
    assert!(problem.contains("used twice"), "{problem}");
}
