//! The directory a log lives in: names, the writer's lock, and changes to names that survive
//! power loss because the directory itself is synced.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use nix::fcntl::{Flock, FlockArg};

#[cfg(feature = "simulated")]
use super::simulated::{SimulatedDirectory, SimulatedLock};
use super::{Geometry, SegmentFile};
use crate::error::{Result, WalError};

const LOCK_NAME: &str = "wal.lock";
/// Far longer than somebody who looks for a writer holds the lock, which is one system call.
const PATIENCE_WITH_PROBES: Duration = Duration::from_secs(1);
const PROBE_POLL: Duration = Duration::from_micros(200);

/// An open log directory.
#[derive(Clone, Debug)]
pub(crate) struct LogDirectory {
    place: Place,
    path: PathBuf,
}

/// Where a directory is.
#[derive(Clone, Debug)]
enum Place {
    Kernel(Arc<File>),
    #[cfg(feature = "simulated")]
    Simulated(SimulatedDirectory),
}

/// Held by the one writer of a directory; released when dropped or when the process ends.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _lock: Held,
}

#[derive(Debug)]
#[expect(dead_code, reason = "held for what dropping it does")]
enum Held {
    Kernel(Flock<File>),
    #[cfg(feature = "simulated")]
    Simulated(SimulatedLock),
}

impl LogDirectory {
    /// Opens the directory, creating it (mode 0700) and its parents when missing.
    pub(crate) fn open_or_create(path: &Path) -> Result<Self> {
        let missing: Vec<_> = path.ancestors().take_while(|part| !part.is_dir()).collect();
        if !missing.is_empty() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(WalError::io("create directory", path))?;
        }
        // A new name survives power loss once the directory that holds it is synced.
        for created in missing {
            let Some(parent) = created.parent() else { continue };
            let here = Path::new(".");
            let parent = if parent.as_os_str().is_empty() { here } else { parent };
            File::open(parent)
                .and_then(|parent| parent.sync_all())
                .map_err(WalError::io("sync directory", parent))?;
        }
        Self::open(path)
    }

    /// Opens an existing directory.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let handle = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECTORY | libc::O_CLOEXEC)
            .open(path)
            .map_err(WalError::io("open directory", path))?;
        Ok(Self { place: Place::Kernel(Arc::new(handle)), path: path.to_owned() })
    }

    /// A directory on a simulated disk.
    #[cfg(feature = "simulated")]
    pub(crate) fn simulated(place: SimulatedDirectory, path: PathBuf) -> Self {
        Self { place: Place::Simulated(place), path }
    }

    /// A directory for tests that need one for its random bytes only.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        use super::simulated::{DiskOptions, SimulatedDisk};
        let disk = SimulatedDisk::new(DiskOptions::default());
        Self::simulated(SimulatedDirectory::open_or_create(&disk), "nowhere".into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of an entry.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Takes the writer's lock (flock(2)), without waiting.
    ///
    /// # Errors
    ///
    /// [`WalError::Locked`] while another writer holds it.
    pub(crate) fn lock(&self) -> Result<DirectoryLock> {
        let path = self.lock_path();
        #[cfg(feature = "simulated")]
        if let Place::Simulated(place) = &self.place {
            return match place.lock() {
                Some(lock) => Ok(DirectoryLock { _lock: Held::Simulated(lock) }),
                None => Err(WalError::Locked { path: self.path.clone(), lock: path }),
            };
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(&path)
            .map_err(WalError::io("create the lock file", &path))?;
        match lock_past_probes(file) {
            Ok(Some(lock)) => Ok(DirectoryLock { _lock: Held::Kernel(lock) }),
            Ok(None) => Err(WalError::Locked { path: self.path.clone(), lock: path }),
            Err(error) => Err(WalError::io("lock", path)(error)),
        }
    }

    /// Whether a writer has the directory right now. Takes the lock shared, for a moment, which an
    /// opening tells from a writer and waits for.
    pub(crate) fn has_writer(&self) -> Result<bool> {
        let path = self.lock_path();
        #[cfg(feature = "simulated")]
        if let Place::Simulated(place) = &self.place {
            return Ok(place.lock().is_none());
        }
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(WalError::io("open", path)(error)),
        };
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Ok(_) => Ok(false),
            Err((_, nix::Error::EWOULDBLOCK)) => Ok(true),
            Err((_, error)) => Err(WalError::io("lock", path)(error.into())),
        }
    }

    /// Path of the lock file: a regular file that is there for as long as the log.
    pub(crate) fn lock_path(&self) -> PathBuf {
        self.join(LOCK_NAME)
    }

    /// Names of all entries that are valid UTF-8; no name of ours is anything else.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let list = || -> io::Result<Vec<String>> {
            #[cfg(feature = "simulated")]
            if let Place::Simulated(place) = &self.place {
                return place.names();
            }
            let mut names = Vec::new();
            for entry in fs::read_dir(&self.path)? {
                if let Ok(name) = entry?.file_name().into_string() {
                    names.push(name);
                }
            }
            Ok(names)
        };
        list().map_err(WalError::io("list directory", &self.path))
    }

    /// Creates a file for a segment in it, private to the user.
    pub(crate) fn create_file(&self, path: PathBuf) -> io::Result<SegmentFile> {
        match &self.place {
            Place::Kernel(_) => SegmentFile::create(path),
            #[cfg(feature = "simulated")]
            Place::Simulated(place) => Ok(SegmentFile::simulated(place.create_file(&path)?, path)),
        }
    }

    /// Opens a file in it for reading and writing.
    pub(crate) fn open_for_write(&self, path: PathBuf) -> io::Result<SegmentFile> {
        match &self.place {
            Place::Kernel(_) => SegmentFile::open_for_write(path),
            #[cfg(feature = "simulated")]
            Place::Simulated(place) => Ok(SegmentFile::simulated(place.open_file(&path)?, path)),
        }
    }

    /// Opens a file in it for reading.
    pub(crate) fn open_for_read(&self, path: PathBuf) -> io::Result<SegmentFile> {
        match &self.place {
            Place::Kernel(_) => SegmentFile::open_for_read(path),
            #[cfg(feature = "simulated")]
            Place::Simulated(place) => Ok(SegmentFile::simulated(place.open_file(&path)?, path)),
        }
    }

    /// Makes created, renamed and removed names durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        match &self.place {
            Place::Kernel(handle) => handle.sync_all(),
            #[cfg(feature = "simulated")]
            Place::Simulated(place) => place.sync(),
        }
    }

    /// Renames an entry, replacing the target. Durable after [`Self::sync`].
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match &self.place {
            Place::Kernel(_) => fs::rename(from, to),
            #[cfg(feature = "simulated")]
            Place::Simulated(place) => place.rename(from, to),
        }
    }

    /// Removes an entry. Durable after [`Self::sync`].
    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        match &self.place {
            Place::Kernel(_) => fs::remove_file(path),
            #[cfg(feature = "simulated")]
            Place::Simulated(place) => place.remove(path),
        }
    }

    /// Length of a file, bytes.
    pub(crate) fn file_len(&self, path: &Path) -> io::Result<u64> {
        match &self.place {
            Place::Kernel(_) => Ok(fs::symlink_metadata(path)?.len()),
            #[cfg(feature = "simulated")]
            Place::Simulated(place) => place.file_len(path),
        }
    }

    /// Whether the name by which a file was opened still leads to it, and not to nothing or to another
    /// one.
    pub(crate) fn still_names(&self, file: &SegmentFile) -> io::Result<bool> {
        let found = match &self.place {
            Place::Kernel(_) => file.is_at_its_path(),
            #[cfg(feature = "simulated")]
            Place::Simulated(place) => place.names_file(file.path(), file.as_simulated()),
        };
        match found {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            found => found,
        }
    }

    /// Reads a small file, at most `max_len` bytes of it; `None` if there is none.
    pub(crate) fn read_small(&self, name: &str, max_len: u64) -> io::Result<Option<Vec<u8>>> {
        #[cfg(feature = "simulated")]
        if let Place::Simulated(place) = &self.place {
            return place.read_small(&self.join(name), max_len);
        }
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(self.join(name));
        match opened {
            Ok(file) => {
                let mut bytes = Vec::new();
                file.take(max_len).read_to_end(&mut bytes)?;
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces a small file atomically and durably: new file, fsync, rename, directory sync.
    pub(crate) fn replace_small(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.join(&format!("{name}.tmp"));
        self.write_small(&temporary, bytes)?;
        self.rename(&temporary, &self.join(name))?;
        self.sync()
    }

    /// Writes a small file anew; its content is durable afterwards, its name is not.
    pub(crate) fn write_small(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        #[cfg(feature = "simulated")]
        if let Place::Simulated(place) = &self.place {
            return place.write_small(path, bytes);
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// What is known of the device under it. The lock file has to be there.
    ///
    /// # Errors
    ///
    /// As [`Geometry::of_file`].
    pub(crate) fn geometry(&self) -> Result<Geometry> {
        match &self.place {
            Place::Kernel(_) => Geometry::of_file(&self.lock_path()),
            #[cfg(feature = "simulated")]
            Place::Simulated(place) => Ok(place.geometry()),
        }
    }

    /// Fills `bytes` with randomness: the kernel's, or a simulated disk's own.
    pub(crate) fn fill_random(&self, bytes: &mut [u8]) -> Result<()> {
        match &self.place {
            Place::Kernel(_) => getrandom::fill(bytes).map_err(|error| {
                WalError::io("draw randomness from", "the kernel")(io::Error::other(error))
            }),
            #[cfg(feature = "simulated")]
            Place::Simulated(place) => {
                place.fill_random(bytes);
                Ok(())
            }
        }
    }

    /// Whether it is on a simulated disk.
    pub(crate) fn is_simulated(&self) -> bool {
        !matches!(self.place, Place::Kernel(_))
    }

    #[cfg(feature = "simulated")]
    pub(crate) fn as_simulated(&self) -> Option<&SimulatedDirectory> {
        match &self.place {
            Place::Kernel(_) => None,
            Place::Simulated(place) => Some(place),
        }
    }
}

/// Takes the lock unless a writer has it. Whoever looks whether there is a writer holds it shared for
/// a moment ([`LogDirectory::has_writer`]): a shared lock can be had beside that one, and beside a
/// writer's it cannot.
fn lock_past_probes(mut file: File) -> io::Result<Option<Flock<File>>> {
    let give_up = Instant::now() + PATIENCE_WITH_PROBES;
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Some(lock)),
            Err((file, nix::Error::EWOULDBLOCK)) => file,
            Err((_, error)) => return Err(error.into()),
        };
        file = match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Ok(probe) => probe.unlock().map_err(|(_, error)| error)?,
            Err((_, nix::Error::EWOULDBLOCK)) => return Ok(None),
            Err((_, error)) => return Err(error.into()),
        };
        if Instant::now() > give_up {
            return Ok(None);
        }
        thread::sleep(PROBE_POLL);
    }
}
