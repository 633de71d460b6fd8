//! Power cuts: which of the writes and names that were not durable have survived.
//!
//! What may happen follows `docs/durability.md`: of the writes that were not flushed any 512-byte
//! sector may have arrived, in any order, and the physical block that was being written may hold
//! anything. Of the changes to names since the directory was last synced any subset may have
//! survived, in order: a journalling file system keeps a prefix of them, others do not promise
//! even that. A file's length is that of some write that survived, or the durable one.

#[cfg(shuttle)]
use super::state::put;
use super::{
    Chance, Content, SECTOR_BYTES,
    state::{FileState, PendingWrite, State, change_names, put_part},
};

/// Which parts of the pending writes survive.
#[derive(Clone, Copy, Debug)]
enum Survivors {
    None,
    All,
    /// Whole writes, any of them.
    Writes,
    /// Any sector.
    Sectors,
    /// The first sectors of each write.
    Heads,
    /// The last sectors of each write.
    Tails,
    AllButOneSector,
    OneSector,
}

const SURVIVORS: [Survivors; 8] = [
    Survivors::None,
    Survivors::All,
    Survivors::Writes,
    Survivors::Sectors,
    Survivors::Heads,
    Survivors::Tails,
    Survivors::AllButOneSector,
    Survivors::OneSector,
];

impl State {
    /// What is on the medium when power comes back. Everything on it is durable then.
    ///
    /// `physical_block_bytes` is the block that a write in flight may leave with anything in it.
    pub(crate) fn after_power_cut(&self, chance: &mut Chance, physical_block_bytes: usize) -> Self {
        let made = self.directory_is_durable || (self.directory_exists && chance.happens(1, 2));
        let mut state =
            Self { directory_exists: made, directory_is_durable: made, ..Self::default() };
        if !made {
            return state;
        }
        let mut names = self.durable_names.clone();
        if !self.pending_names.is_empty() {
            let rule = chance.below(4);
            let prefix = chance.below(self.pending_names.len() + 1);
            for (index, change) in self.pending_names.iter().enumerate() {
                let survives = match rule {
                    0 => false,
                    1 => true,
                    2 => index < prefix,
                    _ => chance.happens(1, 2),
                };
                if survives {
                    change_names(&mut names, change);
                }
            }
        }
        let survivors = chance.pick(&SURVIVORS);
        for (name, number) in names {
            let content =
                content_after(&self.files[number], survivors, chance, physical_block_bytes);
            for (_, offset) in self.unreadable.iter().filter(|(file, _)| *file == number) {
                state.unreadable.push((state.files.len(), *offset));
            }
            state.names.push((name, state.files.len()));
            let durable = content.clone();
            state.files.push(FileState { live: content, durable, pending: Vec::new() });
        }
        state.durable_names.clone_from(&state.names);
        state
    }
}

#[cfg(shuttle)]
impl State {
    /// The least that is left: what is durable, and with `written` also what the device has only
    /// written, as if the process had ended and the machine had stayed on.
    pub(crate) fn least(&self, written: bool) -> Self {
        let names = if written { &self.names } else { &self.durable_names };
        let mut state = Self {
            directory_exists: self.directory_is_durable,
            directory_is_durable: self.directory_is_durable,
            ..Self::default()
        };
        for (name, number) in names {
            let FileState { durable, pending, .. } = &self.files[*number];
            let mut content = durable.clone();
            for write in pending.iter().filter(|write| written && write.complete) {
                put(&mut content, write);
            }
            state.names.push((name.clone(), state.files.len()));
            let durable = content.clone();
            state.files.push(FileState { live: content, durable, pending: Vec::new() });
        }
        state.durable_names.clone_from(&state.names);
        state
    }
}

fn content_after(
    file: &FileState,
    survivors: Survivors,
    chance: &mut Chance,
    physical_block_bytes: usize,
) -> Content {
    let mut content = file.durable.clone();
    if file.pending.is_empty() {
        return content;
    }
    let whole_file = chance.below(file.pending.iter().map(sectors).sum::<usize>().max(1));
    let mut sectors_before = 0;
    for write in &file.pending {
        let count = sectors(write);
        let cut = chance.below(count + 1);
        let write_survives = chance.happens(1, 2);
        let survives = |sector: usize, chance: &mut Chance| match survivors {
            Survivors::None => false,
            Survivors::All => true,
            Survivors::Writes => write_survives,
            Survivors::Sectors => chance.happens(1, 2),
            Survivors::Heads => sector < cut,
            Survivors::Tails => sector >= cut,
            Survivors::AllButOneSector => sectors_before + sector != whole_file,
            Survivors::OneSector => sectors_before + sector == whole_file,
        };
        let mut any = false;
        for sector in 0..count {
            if survives(sector, chance) {
                any = true;
                let start = sector * SECTOR_BYTES;
                let end = write.data.len().min(start + SECTOR_BYTES);
                put_part(&mut content, write, start..end);
            }
        }
        // Space and length are metadata, which may arrive without the data.
        let length_survives = match survivors {
            Survivors::None => false,
            Survivors::All => true,
            _ => any || write_survives,
        };
        if length_survives {
            content.grow(write.file_len);
        }
        sectors_before += count;
    }
    if chance.happens(1, 4) {
        tear_a_block(&mut content, file, chance, physical_block_bytes);
    }
    content
}

/// The block that the device was busy with may hold anything.
fn tear_a_block(
    content: &mut Content,
    file: &FileState,
    chance: &mut Chance,
    physical_block_bytes: usize,
) {
    let write = &file.pending[chance.below(file.pending.len())];
    if write.data.len() == 0 {
        return;
    }
    let at = write.offset + chance.below(sectors(write)) * SECTOR_BYTES;
    let start = at - at % physical_block_bytes;
    let end = (start + physical_block_bytes).min(content.len());
    if start < end {
        content.edit(start..end, |_, block| chance.fill(block));
    }
}

fn sectors(write: &PendingWrite) -> usize {
    write.data.len().div_ceil(SECTOR_BYTES)
}
