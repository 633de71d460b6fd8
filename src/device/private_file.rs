//! Reading files that hold secrets: only if nobody else could have read or replaced them.

use std::{
    fs::OpenOptions,
    io::Read,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use super::SecretBytes;
use crate::error::{Result, WalError};

/// Reads a file of exactly `N` bytes that is regular, not a symbolic link, owned by the effective
/// user, and closed to group and others.
///
/// # Errors
///
/// [`WalError::KeyFile`] with the rule that was broken and what to do.
pub(crate) fn read_private_file<const N: usize>(path: &Path) -> Result<SecretBytes<N>> {
    let refuse = |problem: String| WalError::KeyFile { path: path.to_owned(), problem };
    let mut file = OpenOptions::new()
        .read(true)
        // NONBLOCK keeps the open of a FIFO from hanging; it means nothing for a regular file.
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP) => refuse("it is a symbolic link; name the file itself".into()),
            _ => refuse(error.to_string()),
        })?;
    let metadata = file.metadata().map_err(|error| refuse(error.to_string()))?;
    if !metadata.is_file() {
        return Err(refuse("it is not a regular file".into()));
    }
    if metadata.uid() != nix::unistd::geteuid().as_raw() {
        return Err(refuse(format!(
            "it belongs to user {}, not to the user running this; chown it",
            metadata.uid()
        )));
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(refuse(format!(
            "its permissions are {mode:03o}, open to others; chmod 600 it"
        )));
    }
    if metadata.len() != N as u64 {
        return Err(refuse(format!("it holds {} bytes instead of exactly {N}", metadata.len())));
    }
    // Straight into the protected page: no copy is left elsewhere.
    SecretBytes::filled_by(|bytes| file.read_exact(bytes))
        .map_err(|error| refuse(error.to_string()))
}
