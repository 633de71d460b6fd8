//! Damage beyond what a power cut does: rot, writes that were dropped or went elsewhere, files that
//! were cut, exchanged or lost. And what an image still says of itself afterwards.

use std::{collections::BTreeSet, ops::Range};

use crate::{
    device::simulated::{Chance, Content, Event, Journal, SECTOR_BYTES, State},
    format::{
        BATCH_HEADER_LEN, BatchBlock, BatchHeader, META_LEN, Meta, SegmentHeader, round_up_len,
    },
    lsn::Lsn,
    segment::segment_name,
};

const META_NAME: &str = "wal.meta";

/// What was done to an image.
#[derive(Debug)]
#[expect(dead_code, reason = "the fields are for the message of a violation")]
pub(super) enum Damage {
    FlippedBit {
        name: String,
        at: usize,
    },
    Sector {
        name: String,
        at: usize,
        zeros: bool,
    },
    Unreadable {
        name: String,
        at: usize,
    },
    CutFile {
        name: String,
        len: usize,
    },
    LostFile {
        name: String,
    },
    Exchanged {
        one: String,
        other: String,
    },
    Copied {
        from: String,
        to: String,
    },
    /// A completed write that never reached the medium.
    DroppedWrite {
        name: String,
        at: usize,
        len: usize,
    },
    /// A write that went elsewhere as well. `free` if nothing had ever been written there.
    MisdirectedWrite {
        name: String,
        at: usize,
        len: usize,
        free: bool,
    },
}

impl Damage {
    /// Damages the files of a log in one of these ways, if there is anything to damage.
    pub(super) fn inflict(
        state: &mut State,
        journal: &Journal,
        position: usize,
        chance: &mut Chance,
    ) -> Option<Self> {
        let names: Vec<_> = state.names.iter().map(|(name, _)| name.to_string()).collect();
        let ours: Vec<_> = names
            .into_iter()
            .filter(|name| name == META_NAME || is_segment(name))
            .filter(|name| state.content(name).is_some_and(|content| content.len() > 0))
            .collect();
        let name = ours.get(chance.below(ours.len().max(1)))?.clone();
        let used = state.content(&name)?.used_len();
        let len = state.content(&name)?.len();
        let within = if chance.happens(7, 8) { used.max(1) } else { len };
        let at = chance.below(within);
        Some(match chance.below(14) {
            0..3 => {
                let bit = chance.below(8);
                state.edit(&name, at..at + 1, |byte| byte[0] ^= 1 << bit);
                Self::FlippedBit { name, at }
            }
            3 | 4 => {
                let zeros = chance.happens(1, 2);
                let at = at - at % SECTOR_BYTES;
                state.edit(&name, at..(at + SECTOR_BYTES).min(len), |sector| {
                    if zeros {
                        sector.fill(0);
                    } else {
                        chance.fill(sector);
                    }
                });
                Self::Sector { name, at, zeros }
            }
            5 => {
                let file = state.file_named(&name)?;
                state.unreadable.push((file, at - at % SECTOR_BYTES));
                Self::Unreadable { name, at }
            }
            6 => {
                let file = state.file_named(&name)?;
                state.files[file].live.truncate(at);
                Self::CutFile { name, len: at }
            }
            7 => {
                state.names.retain(|(known, _)| **known != *name);
                Self::LostFile { name }
            }
            8 => exchange(state, name, &ours, chance)?,
            9 | 10 => drop_write(state, journal, position, chance)?,
            _ => misdirect(state, name, journal, position, chance)?,
        })
    }

    /// Whether it touched nothing that was ever written.
    pub(super) fn is_harmless(&self) -> bool {
        matches!(self, Self::MisdirectedWrite { free: true, .. })
    }
}

fn exchange(
    state: &mut State,
    name: String,
    ours: &[String],
    chance: &mut Chance,
) -> Option<Damage> {
    let segments: Vec<_> = ours.iter().filter(|name| is_segment(name)).collect();
    let other = (*segments.get(chance.below(segments.len().max(1)))?).clone();
    if !is_segment(&name) {
        return None;
    }
    let content = state.content(&name)?.clone();
    if other == name {
        let to = segment_name(Lsn::new(1 + chance.next() % 64));
        state.put_file(&to, content);
        return Some(Damage::Copied { from: name, to });
    }
    let others = state.content(&other)?.clone();
    state.put_file(&other, content);
    if chance.happens(1, 2) {
        return Some(Damage::Copied { from: name, to: other });
    }
    state.put_file(&name, others);
    Some(Damage::Exchanged { one: name, other })
}

/// Takes a write back that has arrived.
fn drop_write(
    state: &mut State,
    journal: &Journal,
    position: usize,
    chance: &mut Chance,
) -> Option<Damage> {
    let (at, data) = pick_batch(journal, position, chance)?;
    let holds = |content: &Content| content.get(at, data.len()).as_deref() == Some(data);
    let segments = state.names.iter().filter(|(name, _)| is_segment(name));
    let mut found = segments.filter(|(_, file)| holds(&state.files[*file].live));
    let name = found.next()?.0.to_string();
    let file = state.file_named(&name)?;
    state.files[file].live.put_zeros(at, data.len());
    Some(Damage::DroppedWrite { name, at, len: data.len() })
}

/// Writes a batch to another place of the same log: into free space, or over something.
fn misdirect(
    state: &mut State,
    name: String,
    journal: &Journal,
    position: usize,
    chance: &mut Chance,
) -> Option<Damage> {
    let header = header_of(state.content(&name)?);
    let (_, data) = match next_first_batch(state, &name).filter(|_| chance.happens(1, 2)) {
        Some(batch) => (0, batch),
        None => {
            let (at, data) = pick_batch(journal, position, chance)?;
            (at, data.to_vec())
        }
    };
    let content = state.content(&name)?;
    let block = header.as_ref().map_or(SECTOR_BYTES, block_len);
    let end = round_up_len(batches_end(content, block).max(content.used_len()), block);
    let free = header.is_some() && end > 0 && end + data.len() <= content.len();
    let at = if free && chance.happens(3, 4) {
        end
    } else {
        let blocks = content.len() / block;
        chance.below(blocks.max(1)) * block
    };
    let free = free && at >= end && at + data.len() <= content.len();
    let arrived = data.len().min(content.len() - at);
    let file = state.file_named(&name)?;
    state.files[file].live.put(at, &data[..arrived]);
    Some(Damage::MisdirectedWrite { name, at, len: data.len(), free })
}

/// The first batch of the segment that follows this one.
fn next_first_batch(state: &State, name: &str) -> Option<Vec<u8>> {
    let later = state.names.iter().filter(|(other, _)| is_segment(other) && **other > *name);
    let next = later.min_by(|one, other| one.0.cmp(&other.0))?;
    let content = &state.files[next.1].live;
    let header = header_of(content)?;
    let block = block_len(&header);
    // A marker comes first; the batch behind it is the one that could be taken for the next.
    let mut at = block;
    loop {
        let BatchBlock::Valid(batch) = read_batch(content, &header, at)? else { return None };
        let len = round_up_len(batch.batch_len(), block);
        if batch.record_count > 0 {
            return content.get(at, len);
        }
        at += len;
    }
}

fn header_of(content: &Content) -> Option<SegmentHeader> {
    let mut block = [0; SECTOR_BYTES];
    let len = content.read(0, &mut block);
    SegmentHeader::decode(&block[..len]).ok()
}

fn read_batch(content: &Content, header: &SegmentHeader, at: usize) -> Option<BatchBlock> {
    let mut block = [0; BATCH_HEADER_LEN];
    if content.read(at, &mut block) < block.len() {
        return None;
    }
    Some(BatchHeader::read(header.identity.checksum_seed(), &block))
}

/// A batch that was written before this position.
fn pick_batch<'a>(
    journal: &'a Journal,
    position: usize,
    chance: &mut Chance,
) -> Option<(usize, &'a [u8])> {
    let batches = journal.events[..position].iter().filter_map(|event| match event {
        Event::Wrote(write) if write.data.bytes().starts_with(b"PLB1") => {
            Some((write.offset, write.data.bytes()))
        }
        _ => None,
    });
    let batches: Vec<_> = batches.collect();
    // The newest ones are the more interesting.
    let newest = batches.len().saturating_sub(8);
    let from = if chance.happens(1, 2) { newest } else { 0 };
    batches.get(from + chance.below((batches.len() - from).max(1))).copied()
}

/// The highest LSN that anything intact on the disk calls durable.
pub(super) fn claimed(state: &State) -> u64 {
    let mut claimed = Lsn::NONE;
    for (name, file) in &state.names {
        let content = &state.files[*file].live;
        if **name == *META_NAME {
            let meta = content.get(0, META_LEN).and_then(|bytes| Meta::decode(&bytes).ok());
            claimed = claimed.max(meta.map_or(Lsn::NONE, |meta| meta.durable_lsn));
        }
        let Some(header) = header_of(content).filter(|_| is_segment(name)) else {
            continue;
        };
        claimed = claimed.max(header.predecessor.end_lsn);
        for at in (0..content.used_len()).step_by(block_len(&header)) {
            if let Some(BatchBlock::Valid(batch)) = read_batch(content, &header, at) {
                claimed = claimed.max(batch.durable_lsn);
            }
        }
    }
    claimed.get()
}

/// How many batches hold the records behind `after` and up to `last`.
pub(super) fn batches_between(state: &State, after: u64, last: u64) -> u64 {
    let mut found = BTreeSet::new();
    for (_, file) in state.names.iter().filter(|(name, _)| is_segment(name)) {
        let content = &state.files[*file].live;
        let Some(header) = header_of(content) else { continue };
        for at in (0..content.used_len()).step_by(block_len(&header)) {
            if let Some(BatchBlock::Valid(batch)) = read_batch(content, &header, at)
                && batch.record_count > 0
                && (after + 1..=last).contains(&batch.first_lsn.get())
            {
                found.insert(batch.first_lsn);
            }
        }
    }
    found.len() as u64
}

fn block_len(header: &SegmentHeader) -> usize {
    usize::try_from(header.block_bytes).unwrap_or(SECTOR_BYTES)
}

fn is_segment(name: &str) -> bool {
    name.starts_with("wal-") && name.ends_with(".seg")
}

/// Where the last batch of the segment ends. It may end in zeros that belong to it.
fn batches_end(content: &Content, block: usize) -> usize {
    let Some(header) = header_of(content) else { return 0 };
    let end_of = |at| match read_batch(content, &header, at) {
        Some(BatchBlock::Valid(batch)) => at + batch.batch_len(),
        _ => 0,
    };
    (0..content.used_len()).step_by(block).map(end_of).max().unwrap_or(0)
}

impl State {
    fn content(&self, name: &str) -> Option<&Content> {
        Some(&self.files[self.file_named(name)?].live)
    }

    fn edit(&mut self, name: &str, range: Range<usize>, mut change: impl FnMut(&mut [u8])) {
        if let Some(file) = self.file_named(name) {
            self.files[file].live.edit(range, |_, part| change(part));
        }
    }
}
