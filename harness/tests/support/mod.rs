//! A folder to work in, the program, and disks that are too small or no disks at all.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_plimsoll");

/// Between two looks at what the program has written so far.
const POLL: Duration = Duration::from_millis(2);

/// Longest wait for something that a program is to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two configurations, two blocks: eight trials with the sentinels. Line 12 holds the axis.
pub(crate) const TINY: &str = r#"name = "tiny"
description = "Two configurations for a test"
cost = "Next to nothing"
snia_steady_state = false
[run]
trial = "30ms"
warmup = "5ms"
blocks = 2
min_blocks = 1
# What varies.
[axes]
engine = ["blocking", "uring"]
[base]
segment_size = "1MiB"
"#;

/// The same in three blocks, the fewest that anything is recommended from.
pub(crate) fn three_blocks() -> String {
    TINY.replace("blocks = 2", "blocks = 3")
}

/// What a finished program said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// It said why on standard error in one line that holds all of `parts`, and nothing else.
    pub(crate) fn assert_one_sentence(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!((self.stdout.as_str(), self.stderr.lines().count()), ("", 1), "{self:?}");
        for part in parts {
            assert!(self.stderr.contains(part), "{part}: {self:?}");
        }
    }
}

/// A folder on the disk that the build is on, gone afterwards.
pub(crate) struct Workshop {
    folder: TempDir,
}

impl Workshop {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("temporary folder");
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        names(&self.path(folder))
    }

    /// Whether the file system has no direct I/O, which is said.
    pub(crate) fn lacks_direct_io(&self) -> bool {
        let path = self.path("probe");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).custom_flags(libc::O_DIRECT);
        let opened = options.open(&path);
        let _ = fs::remove_file(&path);
        if let Err(error) = &opened {
            println!("skipped: no direct I/O in {}: {error}", env!("CARGO_TARGET_TMPDIR"));
        }
        opened.is_err()
    }

    /// Runs the program in this folder.
    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        let mut command = Command::new(PROGRAM);
        let output = command.args(words).current_dir(self.folder.path()).output().expect("runs");
        Ran {
            code: output.status.code().expect("no signal ended it"),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// Starts the program in this folder, in the background.
    pub(crate) fn start(&self, words: &[&str]) -> Sweep {
        let mut command = Command::new(PROGRAM);
        command.args(words).current_dir(self.folder.path());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        Sweep::watch(child)
    }

    /// Sweeps `profile` in `target/`, into `results/`.
    pub(crate) fn sweep(&self, profile: &str, options: &[&str]) -> Ran {
        self.sweep_in(&self.path("target"), &self.path("results"), profile, options)
    }

    pub(crate) fn sweep_in(
        &self,
        target: &Path,
        out: &Path,
        profile: &str,
        options: &[&str],
    ) -> Ran {
        let words = self.sweep_words(target, out, profile);
        let words: Vec<&str> =
            words.iter().map(String::as_str).chain(options.iter().copied()).collect();
        self.run(&words)
    }

    /// The same in the background.
    pub(crate) fn spawn(&self, profile: &str) -> Sweep {
        self.spawn_in(&self.path("target"), &self.path("results"), profile)
    }

    pub(crate) fn spawn_in(&self, target: &Path, out: &Path, profile: &str) -> Sweep {
        let words = self.sweep_words(target, out, profile);
        self.start(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn sweep_words(&self, target: &Path, out: &Path, profile: &str) -> Vec<String> {
        fs::write(self.path("profile.toml"), profile).expect("a profile");
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let named = ["sweep", "profile.toml", "--target"].map(str::to_owned);
        named.into_iter().chain([text(target), "--out".into(), text(out)]).collect()
    }

    /// The folder of the one run there is.
    pub(crate) fn only_run(&self) -> PathBuf {
        let runs = self.names("results");
        assert_eq!(runs.len(), 1, "{runs:?}");
        self.path("results").join(&runs[0])
    }

    /// Waits until so many trials are stored.
    pub(crate) fn wait_for_trials(&self, count: usize) {
        self.wait_until(|| {
            let run = names_if_any(&self.path("results")).pop()?;
            let journal = self.path("results").join(run).join("journal.ndjson");
            let lines = fs::read_to_string(journal).ok()?.lines().count();
            (lines >= count).then_some(())
        });
    }

    /// Waits until a trial's log has a second segment: its clients are at work then. Before there
    /// is a run's folder, logs are only tried out.
    pub(crate) fn wait_for_a_log_under_load(&self) {
        self.wait_until(|| {
            let target = self.path("target");
            names_if_any(&self.path("results")).pop()?;
            let trial = names_if_any(&target).pop()?;
            let segments = names_if_any(&target.join(trial));
            (segments.iter().filter(|name| name.ends_with(".seg")).count() >= 2).then_some(())
        });
    }

    /// Gives up after a minute: what is waited for has failed then.
    fn wait_until(&self, mut look: impl FnMut() -> Option<()>) {
        let began = Instant::now();
        while look().is_none() {
            assert!(began.elapsed() < PATIENCE, "nothing came: {:?}", self.names(""));
            thread::sleep(POLL);
        }
    }
}

/// A sweep, or another verb, in the background.
pub(crate) struct Sweep {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    stderr_seen: String,
}

impl Sweep {
    fn watch(mut child: Child) -> Self {
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        Self { child, stderr, stderr_seen: String::new() }
    }

    /// What Ctrl-C sends.
    pub(crate) fn interrupt(&self) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &id]).status().expect("kill(1)");
        assert!(sent.success());
    }

    /// Waits for a line that holds `part`.
    pub(crate) fn wait_for_stderr(&mut self, part: &str) {
        let mut line = String::new();
        while !line.contains(part) {
            line.clear();
            let length = self.stderr.read_line(&mut line).expect("UTF-8");
            assert!(length > 0, "it ended without {part:?}: {}", self.stderr_seen);
            self.stderr_seen.push_str(&line);
        }
    }

    pub(crate) fn finish(mut self) -> Ran {
        self.stderr.read_to_string(&mut self.stderr_seen).expect("UTF-8");
        let output = self.child.wait_with_output().expect("ends");
        Ran {
            code: output.status.code().expect("no signal ended it"),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: self.stderr_seen,
        }
    }
}

/// A folder in memory, or `None` with a message.
pub(crate) fn tmpfs() -> Option<TempDir> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let is_tmpfs = mounts.lines().any(|line| {
        let mut words = line.split(' ').skip(1);
        words.next() == Some("/dev/shm") && words.next() == Some("tmpfs")
    });
    if !is_tmpfs {
        println!("skipped: /dev/shm is no tmpfs");
        return None;
    }
    let folder = tempfile::tempdir_in("/dev/shm");
    folder.inspect_err(|error| println!("skipped: /dev/shm: {error}")).ok()
}

/// An ext4 file system of a few MiB in a file, unmounted when dropped.
pub(crate) struct SmallDisk {
    mount_point: PathBuf,
}

impl SmallDisk {
    /// `None`, with a message, where that is not allowed or not possible.
    pub(crate) fn mount(folder: &Path, mebibytes: u64) -> Option<Self> {
        let (image, mount_point) = (folder.join("disk.img"), folder.join("disk"));
        File::create(&image).and_then(|file| file.set_len(mebibytes << 20)).expect("an image");
        fs::create_dir(&mount_point).expect("a mount point");
        let done = |program: &str, words: &[&str], path: &[&Path]| {
            let output = Command::new(program).args(words).args(path).output();
            output.is_ok_and(|output| output.status.success())
        };
        let mounted = done("mkfs.ext4", &["-q", "-F"], &[&image])
            && done("mount", &["-o", "loop"], &[&image, &mount_point]);
        if !mounted {
            println!("skipped: mounting a small ext4 needs root, mkfs.ext4 and loop devices");
            return None;
        }
        Some(Self { mount_point })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.mount_point
    }

    /// Takes all the space there is, and all that others give back, until `wait` returns.
    pub(crate) fn fill_while(&self, wait: impl FnOnce()) {
        let done = AtomicBool::new(false);
        let mut file = File::create(self.mount_point.join("filler")).expect("a file");
        thread::scope(|scope| {
            scope.spawn(|| {
                let chunk = vec![1; 64 << 10];
                while !done.load(Ordering::Relaxed) {
                    if file.write_all(&chunk).and_then(|()| file.sync_data()).is_err() {
                        thread::sleep(POLL);
                    }
                }
            });
            wait();
            done.store(true, Ordering::Relaxed);
        });
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.mount_point).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            println!("could not unmount {}", self.mount_point.display());
        }
    }
}

/// What lies in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

/// The same of a folder that may come and go meanwhile.
pub(crate) fn names_if_any(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
