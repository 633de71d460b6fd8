//! What a cycle runs with: settings and keys as files, so that victim and judge read the same, and
//! so that they lie beside the log if it is kept.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use plimsoll::SegmentedWalConfig;
use rand::SeedableRng;
use rand::rand_core::Rng;
use rand_xoshiro::{SplitMix64, Xoshiro256PlusPlus};

use super::life::Moment;

/// One kill in so many may come while the log is being opened.
const AT_OPENING_EVERY: usize = 4;
/// Longest time from the start of a process, or from its first commit, to the kill.
const AT_OPENING_US: u64 = 15_000;
/// Its scales. A short life is worth as much as a long one, and there can be more of them.
const AT_WORK_US: [u64; 4] = [1_000, 5_000, 30_000, 200_000];

/// The source of everything that a cycle leaves to chance.
pub(super) struct Chance(Xoshiro256PlusPlus);

impl Chance {
    /// The same for the same seed and cycle.
    pub(super) fn new(seed: u64, cycle: u64) -> Self {
        let mixed = SplitMix64::seed_from_u64(seed).next_u64() ^ cycle;
        Self(Xoshiro256PlusPlus::seed_from_u64(mixed))
    }

    /// A number below `bound`, which is at least 1.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound.max(1)
    }

    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let index = usize::try_from(self.below(choices.len() as u64)).unwrap_or(0);
        choices[index]
    }

    fn happens_once_in(&mut self, count: usize) -> bool {
        self.below(count as u64) == 0
    }

    /// When to kill: any time scale is as likely as any other.
    pub(super) fn moment(&mut self) -> Moment {
        if self.happens_once_in(AT_OPENING_EVERY) {
            let after = Duration::from_micros(self.below(AT_OPENING_US));
            return Moment { at_work: false, after };
        }
        let scale = self.pick(&AT_WORK_US);
        Moment { at_work: true, after: Duration::from_micros(self.below(scale)) }
    }
}

/// One log after the other, each with its folder.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) folder: PathBuf,
    /// With a key, it has one for good.
    key: Option<PathBuf>,
}

/// Settings of a cycle, and how its victim behaves.
#[derive(Debug)]
pub(super) struct Setup {
    /// Of the victim's `--settings`.
    pub(super) settings: PathBuf,
    pub(super) config: SegmentedWalConfig,
    /// Threads; 0 for one that owns the log.
    pub(super) clients: u32,
    pub(super) truncate: bool,
}

impl Log {
    /// A new folder for a log in `scratch`; half of them are encrypted, with a key of their own.
    pub(super) fn create(scratch: &Path, number: u64, chance: &mut Chance) -> Result<Self> {
        let folder = scratch.join(format!("log-{number}"));
        let make = || DirBuilder::new().mode(0o700).create(&folder);
        make().with_context(|| format!("cannot create {}", folder.display()))?;
        let key = chance.happens_once_in(2).then(|| scratch.join(format!("key-{number}")));
        if let Some(key) = &key {
            let bytes: [u8; 32] = rand::random();
            let options = OpenOptions::new().write(true).create_new(true).mode(0o600).open(key);
            options
                .and_then(|mut file| file.write_all(&bytes))
                .with_context(|| format!("cannot write {}", key.display()))?;
        }
        Ok(Self { folder, key })
    }

    /// Removes it.
    pub(super) fn remove(self) -> Result<()> {
        let removed = fs::remove_dir_all(&self.folder).and_then(|()| match &self.key {
            Some(key) => fs::remove_file(key),
            None => Ok(()),
        });
        removed.with_context(|| format!("cannot remove {}", self.folder.display()))
    }

    /// What the next cycle on it runs with: `given`, or settings drawn by chance.
    pub(super) fn setup(&self, given: Option<&Path>, chance: &mut Chance) -> Result<Setup> {
        let settings = match given {
            Some(given) => given.to_owned(),
            None => {
                let settings = self.folder.with_extension("toml");
                fs::write(&settings, self.draw(chance))
                    .with_context(|| format!("cannot write {}", settings.display()))?;
                settings
            }
        };
        let config = SegmentedWalConfig::from_profile(&settings)?.in_dir(&self.folder);
        config.validate()?;
        Ok(Setup {
            clients: chance.pick(&[0, 1, 2, 4, 4, 8, 16]),
            truncate: chance.happens_once_in(2),
            settings,
            config,
        })
    }

    fn draw(&self, chance: &mut Chance) -> String {
        let segment = chance.pick(&["64KiB", "256KiB", "1MiB"]);
        let buffer = chance.pick(&["4KiB", "16KiB", "64KiB"]);
        let keys = self.key.iter().map(|key| {
            let path = toml::Value::String(key.to_string_lossy().into_owned());
            format!("key_files = [{{ id = 1, path = {path} }}]\n")
        });
        format!(
            "[wal]\nsegment_size = \"{segment}\"\nbuffer_size = \"{buffer}\"\nengine = \"{}\"\n\
             durability = \"{}\"\npreparation = \"{}\"\npipeline_depth = {}\n\
             prepared_segments = {}\ncommit_window = \"{}\"\nidle_marker_after = \"{}\"\n{}",
            chance.pick(&["blocking", "uring", "auto"]),
            chance.pick(&["dsync", "fdatasync"]),
            chance.pick(&["none", "allocate", "zero", "recycle"]),
            chance.pick(&[1, 1, 2, 4]),
            chance.pick(&[1, 1, 2]),
            chance.pick(&["0us", "0us", "200us"]),
            chance.pick(&["1ms", "100ms"]),
            keys.collect::<String>()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_drawn_setting_can_be_loaded_and_none_changes_a_key() {
        let scratch = tempfile::tempdir().expect("temporary folder");
        let (mut plain, mut sealed, mut owners) = (0, 0, 0);
        for number in 0..20 {
            let mut chance = Chance::new(9, number);
            let log = Log::create(scratch.path(), number, &mut chance).expect("a log");
            for _ in 0..20 {
                let setup = log.setup(None, &mut chance).expect("valid");
                assert_eq!(setup.config.dir, log.folder);
                assert_eq!(setup.config.keys.is_some(), log.key.is_some());
                owners += usize::from(setup.clients == 0);
            }
            if log.key.is_some() {
                sealed += 1;
            } else {
                plain += 1;
            }
            log.remove().expect("removed");
        }
        assert!(plain > 0 && sealed > 0 && owners > 0, "{plain} {sealed} {owners}");
    }

    #[test]
    fn a_cycle_is_drawn_again_from_its_seed_and_number() {
        let draw = |seed, cycle| {
            let mut chance = Chance::new(seed, cycle);
            (0..20).map(|_| chance.moment()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
        let early = draw(1, 2).iter().filter(|moment| !moment.at_work).count();
        assert!((1..20).contains(&early), "{early}");
    }
}
