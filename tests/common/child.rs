//! A process of its own for a [`life`](super::life), and what is heard from it.

use std::{
    env,
    io::{BufRead, BufReader},
    os::fd::AsFd,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{
    life::{APPENDS, DIR, EARLY, LIFE, NO_OP, SETTINGS, Settings},
    witness::{Identity, Witness},
};

/// A process that lives. It is killed when this is dropped, so that no test leaves one behind.
pub(crate) struct Living {
    child: Child,
    lines: BufReader<ChildStdout>,
    /// Whether it has said that the log is open.
    pub(crate) has_opened: bool,
}

/// A life to be started.
#[derive(Clone, Copy)]
pub(crate) struct Start<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) life: u64,
    pub(crate) settings: Settings,
    /// Appends of each client; endless if `None`.
    pub(crate) appends: Option<u64>,
    /// What succeeds without being done, as a bug on purpose.
    pub(crate) no_op: Option<&'a str>,
    /// Whether it says that records are promised before they are.
    pub(crate) early: bool,
    /// What runs the program, with its arguments; nothing for itself.
    pub(crate) under: &'a [String],
}

/// What a process says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The log is open.
    Open,
    /// A record is promised.
    Acknowledged(u64, Identity),
    /// The log is about to be truncated.
    Truncating(u64),
    /// The log is about to be closed.
    Closing,
    /// It was closed well.
    Closed,
    /// The log refused to open: the variant, and the sentence.
    Refused(String, String),
    /// The log failed.
    Failed(String, String),
    /// The kernel allows no filters.
    NoFilters,
}

impl<'a> Start<'a> {
    /// An endless life without anything unusual.
    pub(crate) fn new(dir: &'a Path, life: u64, settings: Settings) -> Self {
        Self { dir, life, settings, appends: None, no_op: None, early: false, under: &[] }
    }

    /// Starts a process for it; the test program has to have a test `a_life` that lives.
    pub(crate) fn spawn(&self) -> Living {
        let program = env::current_exe().expect("this program");
        let program = program.to_str().expect("the build directory has a plain name").to_owned();
        let words: Vec<_> = self.under.iter().cloned().chain([program]).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(["--exact", "a_life", "--ignored", "--nocapture"]);
        command.env(DIR, self.dir).env(LIFE, self.life.to_string());
        command.env(SETTINGS, self.settings.number.to_string());
        command.envs(self.no_op.map(|no_op| (NO_OP, no_op)));
        command.envs(self.early.then_some((EARLY, "1")));
        command.env_remove(APPENDS).envs(self.appends.map(|n| (APPENDS, n.to_string())));
        let mut child = command.stdout(Stdio::piped()).spawn().expect("a child");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        Living { child, lines, has_opened: false }
    }
}

impl Living {
    /// The next thing it says; `None` once it has ended.
    pub(crate) fn hear(&mut self) -> Option<Heard> {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).expect("UTF-8") == 0 {
                return None;
            }
            // A kill may have cut the last line short.
            if let Some(heard) = line.strip_suffix('\n').and_then(understand) {
                self.has_opened |= heard == Heard::Open;
                return Some(heard);
            }
        }
    }

    /// What it has said by now, without waiting for more; `None` for nothing.
    pub(crate) fn hear_by_now(&mut self) -> Option<Heard> {
        let ready = |lines: &BufReader<ChildStdout>| {
            let mut fds = [PollFd::new(lines.get_ref().as_fd(), PollFlags::POLLIN)];
            let polled = poll(&mut fds, PollTimeout::ZERO).expect("poll");
            polled > 0 && fds[0].revents().is_some_and(|is| is.contains(PollFlags::POLLIN))
        };
        // Lines come whole: where there is the beginning of one, the rest is there as well.
        (!self.lines.buffer().is_empty() || ready(&self.lines)).then(|| self.hear()).flatten()
    }

    /// Listens to the end, lets the witness know, and returns what was said last.
    pub(crate) fn hear_out(&mut self, witness: &mut Witness) -> Option<Heard> {
        let mut last = None;
        while let Some(heard) = self.hear() {
            witness.hears(&heard);
            last = Some(heard);
        }
        last
    }

    /// SIGKILL. It may have ended by itself before.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("SIGKILL");
    }

    /// Waits for its end: whether it went well, a panic being what does not.
    pub(crate) fn ended_well(&mut self) -> bool {
        self.child.wait().expect("it ends").success()
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Witness {
    /// Takes note of what binds the log.
    pub(crate) fn hears(&mut self, heard: &Heard) {
        match heard {
            Heard::Acknowledged(lsn, identity) => self.acknowledged(*lsn, *identity),
            Heard::Truncating(lsn) => self.asked_to_truncate_before(*lsn),
            _ => {}
        }
    }
}

/// `None` for what the test harness says, and for half a line.
fn understand(line: &str) -> Option<Heard> {
    // The harness begins a line that the first thing said ends.
    let line = line.rsplit("... ").next().unwrap_or_default();
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let numbers = || -> Option<Vec<u64>> {
        rest.strip_suffix(" .")?.split(' ').map(|word| word.parse().ok()).collect()
    };
    let error = || {
        let (variant, sentence) = rest.split_once(' ').unwrap_or((rest, ""));
        (variant.to_owned(), sentence.to_owned())
    };
    match word {
        "open" => Some(Heard::Open),
        "closing" => Some(Heard::Closing),
        "closed" => Some(Heard::Closed),
        "no" => Some(Heard::NoFilters),
        "refused" => Some(Heard::Refused(error().0, error().1)),
        "failed" => Some(Heard::Failed(error().0, error().1)),
        "truncate" => Some(Heard::Truncating(*numbers()?.first()?)),
        "ack" => {
            let [lsn, life, client, n, part, parts] = numbers()?[..] else { return None };
            Some(Heard::Acknowledged(lsn, Identity { life, client, n, part, parts }))
        }
        _ => None,
    }
}
