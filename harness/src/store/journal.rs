//! `journal.ndjson`: one line a trial, synced before the next trial starts. A trial counts once its
//! line is whole, so a run that is killed or loses power keeps every trial before that moment.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::files::{cannot_write, parse_json};

/// Adds one line and syncs it. What an earlier life left of a torn last line is cut off first, for
/// a line appended to it would be lost with it.
pub(super) fn append<T: Serialize + DeserializeOwned>(path: &Path, trial: &T) -> Result<()> {
    let mut line = serde_json::to_string(trial).context("a trial's result has no JSON form")?;
    // JSON has no NaN and writes null, which would make the whole journal unreadable.
    parse_json::<T>(&line).context("a trial's result holds a number that is none")?;
    line.push('\n');
    append_line(path, line.as_bytes()).with_context(|| cannot_write(path))
}

/// Every trial whose line is whole, in the order they ran; none where there is no journal yet.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let whole = &bytes[..whole_length(&bytes)];
    whole
        .split_inclusive(|byte| *byte == b'\n')
        .enumerate()
        .map(|(index, line)| {
            let at = || format!("cannot use {}, line {}", path.display(), index + 1);
            let text = std::str::from_utf8(line).with_context(at)?;
            parse_json(text).with_context(at)
        })
        .collect()
}

fn append_line(path: &Path, line: &[u8]) -> std::io::Result<()> {
    let mut file: File =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let mut end = file.seek(SeekFrom::End(0))?;
    if end > 0 && byte_at(&mut file, end - 1)? != b'\n' {
        let mut bytes = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        end = whole_length(&bytes) as u64;
        file.set_len(end)?;
    }
    file.seek(SeekFrom::Start(end))?;
    file.write_all(line)?;
    file.sync_data()
}

fn byte_at(file: &mut File, offset_bytes: u64) -> std::io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::Start(offset_bytes))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// Bytes up to and including the last line end: what follows it is torn.
fn whole_length(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::super::schema::{SCHEMA_VERSION, TrialResult};
    use super::super::synthetic::SyntheticRun;
    use super::*;

    fn read(path: &Path) -> Result<Vec<TrialResult>> {
        super::read(path)
    }

    fn trials() -> Vec<TrialResult> {
        SyntheticRun::small().trials.into_iter().take(3).collect()
    }

    #[test]
    fn what_was_appended_is_read_in_order() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("journal.ndjson");
        assert_eq!(read(&path).expect("no journal yet"), []);
        for trial in trials() {
            append(&path, &trial).expect("append");
        }
        assert_eq!(read(&path).expect("read"), trials());
    }

    #[test]
    fn a_journal_cut_anywhere_keeps_its_whole_lines() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("journal.ndjson");
        let trials = trials();
        for trial in &trials[..2] {
            append(&path, trial).expect("append");
        }
        let whole = fs::read(&path).expect("read");
        let first_line = whole_length(&whole[..whole.len() - 1]);
        for length in (0..=whole.len()).rev().step_by(7) {
            fs::write(&path, &whole[..length]).expect("cut");
            let kept = if length == whole.len() { 2 } else { usize::from(length >= first_line) };
            assert_eq!(read(&path).expect("torn"), trials[..kept], "{length}");
            // The next trial starts a line of its own.
            append(&path, &trials[2]).expect("append");
            let read = read(&path).expect("read");
            assert_eq!((read.len(), read.last()), (kept + 1, trials.last()), "{length}");
        }
    }

    #[test]
    fn a_result_that_would_not_read_back_is_not_written() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("journal.ndjson");
        let mut trial = trials().remove(0);
        trial.rate_per_second = f64::NAN;
        assert!(append(&path, &trial).is_err());
        assert!(!path.exists());
    }

    #[test]
    fn a_damaged_whole_line_is_an_error_that_says_where() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("journal.ndjson");
        append(&path, &trials()[0]).expect("append");
        let good = fs::read_to_string(&path).expect("read");
        for (damage, why) in [
            ("{\"schema_version\":\n".to_owned(), "damaged"),
            (good.replace(&format!("{SCHEMA_VERSION:?}"), "\"2.0\""), "\"2.0\""),
            ("\u{0}\n".to_owned(), "damaged"),
        ] {
            fs::write(&path, format!("{good}{damage}{good}")).expect("write");
            let error = format!("{:#}", read(&path).expect_err("damaged"));
            assert!(error.contains("journal.ndjson, line 2") && error.contains(why), "{error}");
        }
    }
}
