//! One life of the victim: started, listened to, and killed.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::ledger::Testimony;

/// A victim that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(120);

const SIGKILL: i32 = 9;

/// When to kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// Whether to wait for the first acknowledgement. Else it may die while it opens the log.
    pub(super) at_work: bool,
    /// How long after that.
    pub(super) after: Duration,
}

/// What a life came to.
#[derive(Clone, Debug)]
pub(super) struct Lived {
    pub(super) testimony: Testimony,
    /// Why it gave up, if it did.
    pub(super) end: Option<GaveUp>,
}

/// Why a victim gave up before it was killed, in the words of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GaveUp {
    /// The disk is full.
    Full(String),
    /// Its log failed.
    Failed(String),
}

/// A process that does not outlive its parent's interest in it.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        // Both fail only for a process that has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the command until the moment, kills it, and returns what it had said.
///
/// # Errors
/// When it cannot be started, hangs, ends by itself without a reason, or speaks otherwise than
/// `victim` does.
pub(super) fn live(mut command: Command, moment: Moment, mut told: Testimony) -> Result<Lived> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    // Ctrl-C is for this program, which finishes the cycle.
    command.process_group(0);
    let mut victim = Victim(command.spawn().context("cannot start this program once more")?);
    let output = victim.0.stdout.take().context("the victim has no standard output")?;
    let (first, at_work) = mpsc::channel();
    let listener = thread::spawn(move || listen(output, &first));
    if moment.at_work {
        match at_work.recv_timeout(PATIENCE) {
            // It ended before; the reason follows.
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {}
            Err(RecvTimeoutError::Timeout) => {
                bail!("nothing was committed in {} s: the log hangs", PATIENCE.as_secs());
            }
        }
    }
    thread::sleep(moment.after);
    // Fails only for a process that has ended.
    let _ = victim.0.kill();
    let status = victim.0.wait().context("cannot wait for the victim")?;
    let lines = listener.join().unwrap_or_default();
    let mut end = None;
    for line in &lines {
        if let Some(reason) = line.strip_prefix("full ") {
            end = Some(GaveUp::Full(reason.to_owned()));
        } else if let Some(reason) = line.strip_prefix("error ") {
            end = Some(GaveUp::Failed(reason.to_owned()));
        } else {
            hear(line, &mut told).with_context(|| format!("the victim said {line:?}"))?;
        }
    }
    if status.signal() != Some(SIGKILL) && end.is_none() {
        bail!("the victim ended by itself ({status})");
    }
    Ok(Lived { testimony: told, end })
}

/// Whole lines up to the end; the kill may have cut the last one. Tells of the first commit.
fn listen(output: impl Read, at_work: &Sender<()>) -> Vec<String> {
    let mut output = BufReader::new(output);
    let mut lines = Vec::new();
    let mut line = String::new();
    while output.read_line(&mut line).is_ok_and(|length| length > 0) && line.ends_with('\n') {
        if line.starts_with("ack ") {
            // Whoever no longer waits need not be told.
            let _ = at_work.send(());
        }
        lines.push(line.trim_end().to_owned());
        line.clear();
    }
    lines
}

fn hear(line: &str, told: &mut Testimony) -> Result<()> {
    let mut words = line.split(' ');
    let verb = words.next().unwrap_or_default();
    let numbers: Vec<u64> = words.map(str::parse).collect::<Result<_, _>>()?;
    match (verb, &numbers[..]) {
        ("open", [lsn]) => told.opened_at = Some(*lsn),
        ("truncate", [lsn]) => told.truncating_before = told.truncating_before.max(*lsn),
        ("ack", [lsn, client, sequence]) => {
            let who = (u32::try_from(*client)?, *sequence);
            if told.acknowledged.insert(*lsn, who).is_some() {
                told.acknowledged_twice = Some(*lsn);
            }
        }
        _ => bail!("that is none of its lines"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// A victim of a few words.
    fn script(text: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        command
    }

    fn killed(text: &str, at_work: bool) -> Result<Lived> {
        let moment = Moment { at_work, after: Duration::from_millis(1) };
        live(script(text), moment, Testimony { cycle: 4, ..Testimony::default() })
    }

    #[test]
    fn what_was_said_before_the_kill_is_heard_and_half_a_line_is_not() {
        let began = Instant::now();
        let lived = killed(
            "printf 'open 6\\nack 7 0 0\\ntruncate 5\\ntruncate 3\\nack 8 2 1\\nack 9'; exec sleep 600",
            true,
        )
        .expect("killed");
        assert!(began.elapsed() < PATIENCE);
        assert_eq!(lived.end, None);
        let told = lived.testimony;
        assert_eq!((told.cycle, told.opened_at, told.truncating_before), (4, Some(6), 5));
        assert_eq!(told.acknowledged, [(7, (0, 0)), (8, (2, 1))].into());
    }

    #[test]
    fn a_second_acknowledgement_of_an_lsn_is_remembered() {
        let lived =
            killed("printf 'ack 7 0 0\\nack 7 1 0\\n'; exec sleep 600", true).expect("killed");
        assert_eq!(lived.testimony.acknowledged_twice, Some(7));
    }

    #[test]
    fn a_victim_that_gives_up_or_talks_nonsense_is_no_victim() {
        for (word, end) in
            [("full", GaveUp::Full as fn(String) -> GaveUp), ("error", GaveUp::Failed)]
        {
            let lived = killed(&format!("echo {word} no such luck"), true).expect("it said why");
            assert_eq!(lived.end, Some(end("no such luck".to_owned())));
        }
        let ended = killed("exit 3", true).expect_err("no reason").to_string();
        assert!(ended.contains("ended by itself") && ended.contains('3'), "{ended}");
        for line in ["ack 1", "ack one 0 0", "hello", "ack 1 4294967296 0"] {
            let error = killed(&format!("echo '{line}'; echo ack 1 0 0; exec sleep 600"), true);
            assert!(format!("{:#}", error.expect_err(line)).contains(line), "{line}");
        }
    }
}
