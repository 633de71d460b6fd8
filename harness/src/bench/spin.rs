//! Other people's load: one busy process per core at idle priority, to see what is left of a log's
//! rate beside it. They are this program itself under a hidden verb, and they end when they are
//! told to, when they are dropped, and when the program that started them is gone, however.

use std::env;
use std::hint::spin_loop;
use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};

use crate::cli::SPIN_VERB;

/// Programs that start another one at idle priority, the better one first.
const AT_IDLE_PRIORITY: [(&str, &[&str]); 2] =
    [("chrt", &["--idle", "0"]), ("nice", &["-n", "19"])];

/// Busy processes, as long as this lives.
#[derive(Debug)]
pub(super) struct Spinners {
    children: Vec<Child>,
}

impl Spinners {
    /// Starts one for each processor this process may run on.
    pub(super) fn start(processors: u32) -> Result<Self> {
        let mut spinners = Self { children: Vec::new() };
        for _ in 0..processors.max(1) {
            spinners.children.push(spawn()?);
        }
        Ok(spinners)
    }

    /// Ends them.
    ///
    /// # Errors
    /// When one had ended before: what was measured beside it was not beside it.
    pub(super) fn stop(mut self) -> Result<()> {
        for child in &mut self.children {
            if let Some(status) = child.try_wait().context("cannot look after a busy process")? {
                bail!("a busy process ended before it was told to ({status})");
            }
        }
        Ok(())
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        for child in &mut self.children {
            // Both fail only for a process that has ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn spawn() -> Result<Child> {
    let program = env::current_exe().context("cannot find this program to start it again")?;
    let mut tried = Vec::new();
    for (starter, options) in AT_IDLE_PRIORITY {
        let mut command = Command::new(starter);
        command.args(options).arg(&program).arg(SPIN_VERB);
        // Our end of the pipe closes with us.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.spawn() {
            Ok(child) => return Ok(child),
            Err(error) => tried.push(format!("{starter}: {error}")),
        }
    }
    bail!("cannot start a busy process at idle priority ({})", tried.join(", "))
}

/// The hidden verb: keeps one core busy until standard input ends.
pub(crate) fn spin() {
    thread::spawn(|| {
        loop {
            spin_loop();
        }
    });
    let mut byte = [0];
    while io::stdin().read(&mut byte).is_ok_and(|length| length > 0) {}
}
