//! How the command line names keys.

use std::path::PathBuf;

use clap::Args;

/// The keys of a log that is only read.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct KeyArgs {
    /// Key of the log, with its id (1 if not given): 32 bytes, in a file that only you can read. May be
    /// given several times
    #[arg(long, value_name = "[ID=]FILE", value_parser = key_file)]
    pub key_file: Vec<KeyFile>,

    /// Take the keys from the `key_files` of these settings
    #[arg(long, value_name = "FILE", conflicts_with = "key_file")]
    pub settings: Option<PathBuf>,

    /// Accept segments in clear before the first sealed one, of a log that was in clear once
    #[arg(long)]
    pub plain_past: bool,
}

/// A key file, and the id that segments name its key by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyFile {
    pub id: u64,
    pub path: PathBuf,
}

pub(super) fn key_file(text: &str) -> Result<KeyFile, String> {
    let (id, path) = match text.split_once('=') {
        Some((id, path)) if !id.contains('/') => {
            let id = id.parse().map_err(|_| format!("{id} is no key id; allowed: [ID=]FILE"))?;
            (id, path)
        }
        _ => (1, text),
    };
    if path.is_empty() {
        return Err("allowed: [ID=]FILE".to_owned());
    }
    Ok(KeyFile { id, path: path.into() })
}
