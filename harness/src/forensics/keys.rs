//! Key files as the command line names them.

use anyhow::anyhow;
use plimsoll::{KeyRing, SegmentedWalConfig};

use crate::cli::{KeyArgs, KeyFile};
use crate::failure::Failure;

/// The keys to read a log with, from key files or from a file of settings. `None` for none.
///
/// # Errors
/// For a file that must not be trusted, for two under one id, and for settings that are wrong.
pub(super) fn to_read(args: &KeyArgs) -> Result<Option<KeyRing>, Failure> {
    let keys = match &args.settings {
        Some(settings) => {
            let config = SegmentedWalConfig::from_profile(settings);
            config.map_err(|error| Failure::Usage(error.into()))?.keys
        }
        None => ring(&args.key_file)?,
    };
    Ok(keys.map(|keys| if args.plain_past { keys.with_plain_past() } else { keys }))
}

/// A ring of these files; the first one's key is the current one. `None` for none.
///
/// # Errors
/// For a file that must not be trusted, and for two under one id.
pub(super) fn ring(files: &[KeyFile]) -> Result<Option<KeyRing>, Failure> {
    let mut ring: Option<KeyRing> = None;
    for KeyFile { id, path } in files {
        if ring.as_ref().is_some_and(|ring| ring.key_ids().any(|known| known == *id)) {
            return Err(Failure::Usage(anyhow!(
                "two key files have the id {id}; say which is which, as in {id}={}",
                path.display()
            )));
        }
        let one = KeyRing::from_file(*id, path).map_err(|error| Failure::Usage(error.into()))?;
        ring = Some(match ring {
            Some(ring) => ring.with_older_ring(&one),
            None => one,
        });
    }
    Ok(ring)
}
