//! Memory for keys: pages of their own that are locked against swapping, left out of core dumps,
//! and wiped when dropped.

use std::{fmt, io};

use nix::sys::mman::{MmapAdvise, madvise, mlock};
use zeroize::Zeroize;

use super::BlockBuffer;

/// A secret of `N` bytes. Its content never shows in `Debug`.
pub(crate) struct SecretBytes<const N: usize> {
    page: BlockBuffer,
}

impl<const N: usize> SecretBytes<N> {
    /// Moves `secret` into protected memory and wipes the original.
    ///
    /// Where the kernel refuses to lock the page (`RLIMIT_MEMLOCK`, mlock(2)) the secret is kept
    /// all the same, with a warning.
    ///
    /// # Errors
    ///
    /// No memory could be mapped.
    pub(crate) fn new(secret: &mut [u8; N]) -> io::Result<Self> {
        let mut page = BlockBuffer::allocate(N)?;
        let start = std::ptr::NonNull::from(&mut page[..]).cast();
        // SAFETY: the range is exactly the page, which is mapped and owned by `page`.
        if let Err(error) = unsafe { mlock(start, page.len()) } {
            tracing::warn!(%error, "a key's page cannot be locked in memory; raise RLIMIT_MEMLOCK");
        }
        // SAFETY: as above; the advice changes neither content nor mapping.
        let _ = unsafe { madvise(start, page.len(), MmapAdvise::MADV_DONTDUMP) };
        page[..N].copy_from_slice(secret);
        secret.zeroize();
        Ok(Self { page })
    }

    /// The secret.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.page[..N]
    }
}

impl<const N: usize> Drop for SecretBytes<N> {
    fn drop(&mut self) {
        self.page[..N].zeroize();
    }
}

impl<const N: usize> fmt::Debug for SecretBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_moves_and_does_not_show() {
        let mut original = *b"correct horse battery staple 123";
        let secret = SecretBytes::new(&mut original).expect("memory");
        assert_eq!(original, [0; 32]);
        assert_eq!(secret.expose(), b"correct horse battery staple 123");
        assert_eq!(format!("{secret:?}"), "SecretBytes(…)");
    }
}
