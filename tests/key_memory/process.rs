//! A child process whose memory is looked through.

use std::{
    collections::HashMap,
    env, fmt, fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::FileExt, process::ExitStatusExt},
    path::Path,
    process::{self, ChildStdin, ChildStdout, Command, Stdio},
};

/// Long enough for anything that is in a core dump to be written.
const PIECE_BYTES: usize = 1 << 20;
const NEEDLE_BYTES: usize = 16;
const WORD_BYTES: usize = 8;

pub(crate) struct Child {
    process: process::Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// A place where a part of a secret was found.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) name: String,
    mapping: String,
    /// `VmFlags` of proc(5): `dd` left out of core dumps, `dc` not in forked processes, `lo` locked.
    pub(crate) flags: Vec<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {} ({})", self.name, self.mapping, self.flags.join(" "))
    }
}

impl Child {
    /// Runs an ignored test of this program; in a directory to leave a core dump in, if it is to.
    pub(crate) fn start(test: &str, variables: &[(&str, String)], core: Option<&Path>) -> Self {
        let program = env::current_exe().expect("this program");
        let mut command = match core {
            None => Command::new(program),
            Some(dir) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", "ulimit -c unlimited && exec \"$0\" \"$@\""]).arg(program);
                shell.current_dir(dir);
                shell
            }
        };
        let mut process = command
            .args(["--exact", test, "--ignored", "--nocapture"])
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let input = process.stdin.take().expect("piped");
        let output = BufReader::new(process.stdout.take().expect("piped"));
        Self { process, input, output }
    }

    /// Waits until the child pauses at this step.
    pub(crate) fn wait_for(&mut self, step: &str) {
        let mut line = String::new();
        // The test harness writes the test's name in front of the first one.
        while !line.ends_with(&format!("step {step}\n")) {
            line.clear();
            let len = self.output.read_line(&mut line).expect("text");
            assert!(len > 0, "the child ended before {step}");
        }
    }

    pub(crate) fn go_on(&mut self) {
        self.input.write_all(b"\n").expect("the child waits");
    }

    pub(crate) fn ends_well(mut self) {
        drop(self.input);
        assert!(self.process.wait().expect("it ends").success());
    }

    fn path(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.process.id())
    }

    /// Whether the limit on locked memory is of any use.
    pub(crate) fn may_lock_memory(&self) -> bool {
        let limits = fs::read_to_string(self.path("limits")).expect("proc(5)");
        let line = limits.lines().find(|line| line.starts_with("Max locked memory"));
        let limit = line.and_then(|line| line.split_whitespace().nth(3)).unwrap_or("0");
        limit == "unlimited" || limit.parse::<u64>().is_ok_and(|bytes| bytes >= 1 << 20)
    }

    /// Looks for every aligned or unaligned half of every secret of 16 bytes, as it is and with each
    /// word of 32 bits turned round, as hash functions keep it. `None` if one may not look.
    pub(crate) fn find(
        &self,
        names: &[&str],
        needles: &[[u8; NEEDLE_BYTES]],
    ) -> Option<Vec<Finding>> {
        let mut wanted = HashMap::new();
        for (name, needle) in names.iter().zip(needles) {
            for half in needle.chunks(WORD_BYTES) {
                let turned: Vec<u8> =
                    half.chunks(4).flat_map(|word| word.iter().rev().copied()).collect();
                for word in [half, &turned] {
                    wanted.insert(u64::from_ne_bytes(word.try_into().expect("eight")), *name);
                }
            }
        }
        let memory = fs::File::open(self.path("mem")).ok()?;
        let maps = fs::read_to_string(self.path("smaps")).ok()?;
        let mut findings = Vec::new();
        let mut current: Option<(String, u64, u64)> = None;
        for line in maps.lines() {
            let Some((first, _)) = line.split_once(' ') else { continue };
            if let Some((start, end)) = first.split_once('-') {
                let number = |text| u64::from_str_radix(text, 16).expect("an address");
                current = Some((line.to_owned(), number(start), number(end)));
            } else if let Some(flags) = line.strip_prefix("VmFlags:")
                && let Some((mapping, start, end)) = current.take()
            {
                let flags: Vec<_> = flags.split_whitespace().map(str::to_owned).collect();
                // What was never writable holds no secret, and `[vvar]` cannot be read.
                if flags.iter().any(|flag| flag == "wr") {
                    for name in search(&memory, start, end, &wanted) {
                        let (name, mapping, flags) = (name.into(), mapping.clone(), flags.clone());
                        findings.push(Finding { name, mapping, flags });
                    }
                }
            }
        }
        Some(findings)
    }
}

fn search<'a>(
    memory: &fs::File,
    start: u64,
    end: u64,
    wanted: &HashMap<u64, &'a str>,
) -> Vec<&'a str> {
    // Few words begin with the right 16 bits, and looking that up is quick.
    let mut may_begin = vec![false; 1 << 16];
    wanted.keys().for_each(|word| may_begin[(word & 0xffff) as usize] = true);
    let mut found = Vec::new();
    let mut at = start;
    let mut piece = vec![0; PIECE_BYTES + WORD_BYTES - 1];
    while at < end {
        let len = piece.len().min(usize::try_from(end - at).expect("fits"));
        let Ok(read) = memory.read_at(&mut piece[..len], at) else { break };
        for window in piece[..read].windows(WORD_BYTES) {
            let word = u64::from_ne_bytes(window.try_into().expect("eight"));
            if may_begin[(word & 0xffff) as usize]
                && let Some(name) = wanted.get(&word)
            {
                found.push(*name);
            }
        }
        at += read.clamp(1, PIECE_BYTES) as u64;
    }
    found
}

/// Aborts the child and reads the memory in the core dump it leaves in `dir`. `None` if there is
/// none.
pub(crate) fn core_dump_of(mut child: Child, dir: &Path) -> Option<Vec<u8>> {
    let sent = Command::new("kill").args(["-ABRT", &child.process.id().to_string()]).status();
    assert!(sent.expect("kill").success());
    let status = child.process.wait().expect("it ends");
    if !status.core_dumped() {
        return None;
    }
    let entries = fs::read_dir(dir).expect("readable").map(|entry| entry.expect("readable"));
    let core = entries.map(|entry| entry.path()).find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("core"))
    })?;
    Some(memory_in(&fs::read(core).expect("readable")))
}

/// The loadable segments of an ELF file of 64 bits (elf(5)).
fn memory_in(elf: &[u8]) -> Vec<u8> {
    const PT_LOAD: u64 = 1;
    assert_eq!(&elf[..5], b"\x7fELF\x02");
    let number = |at: usize, len: usize| {
        let mut bytes = [0; 8];
        bytes[..len].copy_from_slice(&elf[at..at + len]);
        u64::from_le_bytes(bytes)
    };
    let index = |at: usize, len: usize| usize::try_from(number(at, len)).expect("in the file");
    let (table, entry_len, entries) = (index(32, 8), index(54, 2), index(56, 2));
    let headers = (0..entries).map(|entry| table + entry * entry_len);
    let loadable = headers.filter(|&header| number(header, 4) == PT_LOAD);
    loadable.flat_map(|h| &elf[index(h + 8, 8)..][..index(h + 32, 8)]).copied().collect()
}
