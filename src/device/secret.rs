//! Memory for keys: pages of their own that are locked against swapping, left out of core dumps
//! and of forked processes, and wiped when dropped. And work with keys that leaves no copies of
//! them on the stack.
//!
//! A key schedule is worth as much as the key it is made from (two round keys of AES-256 give it
//! back), so that whole cipher states live here, too.

use std::{
    fmt, hint, io,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    ptr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use zeroize::Zeroize;
#[cfg(not(miri))]
use {
    nix::sys::mman::{MmapAdvise, madvise, mlock},
    std::{
        ptr::NonNull,
        sync::atomic::{AtomicBool, Ordering},
    },
};

use super::BlockBuffer;

const PAGE_BYTES: usize = 4096;
/// Wiped pages that are kept for the next secret: a segment's key then costs no system call.
const SPARE_PAGES: usize = 16;
static SPARES: Mutex<Vec<BlockBuffer>> = Mutex::new(Vec::new());
#[cfg(not(miri))]
static WARNED: AtomicBool = AtomicBool::new(false);

/// More stack than deriving a key or making a cipher uses.
const MAKING_BYTES: usize = 24 << 10;

/// A page that nothing but a secret is ever in.
struct SecretPage(Option<BlockBuffer>);

impl SecretPage {
    /// A protected page full of zeros.
    ///
    /// Where the kernel refuses to lock it (`RLIMIT_MEMLOCK`, mlock(2)) it is used all the same, with
    /// a warning.
    fn take() -> io::Result<Self> {
        if let Some(spare) = spares().pop() {
            return Ok(Self(Some(spare)));
        }
        let mut page = BlockBuffer::allocate(PAGE_BYTES)?;
        protect(&mut page);
        Ok(Self(Some(page)))
    }
}

fn spares() -> MutexGuard<'static, Vec<BlockBuffer>> {
    SPARES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a page out of the swap, out of core dumps and out of forked processes, where the kernel
/// lets us.
#[cfg(not(miri))]
fn protect(page: &mut BlockBuffer) {
    let start = NonNull::from(&mut page[..]).cast();
    // SAFETY: the range is exactly the page, which is mapped and owned by `page`.
    if let Err(error) = unsafe { mlock(start, page.len()) }
        && !WARNED.swap(true, Ordering::Relaxed)
    {
        tracing::warn!(%error, "pages of keys cannot be locked in memory; raise RLIMIT_MEMLOCK");
    }
    for advice in advice() {
        // SAFETY: as above. The advice changes neither content nor mapping of this process. A
        // forked child has no such page: it fails where it would use the same nonces again.
        let _ = unsafe { madvise(start, page.len(), *advice) };
    }
}

/// Miri knows neither call, and has neither a swap nor core dumps nor processes.
#[cfg(miri)]
fn protect(_: &mut BlockBuffer) {}

#[cfg(not(miri))]
fn advice() -> &'static [MmapAdvise] {
    #[cfg(feature = "simulated")]
    if crate::sabotage::is(crate::sabotage::Sabotage::KeyInCoreDump) {
        return &[];
    }
    &[MmapAdvise::MADV_DONTDUMP, MmapAdvise::MADV_DONTFORK]
}

impl Deref for SecretPage {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl DerefMut for SecretPage {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0.as_deref_mut().unwrap_or_default()
    }
}

impl Drop for SecretPage {
    fn drop(&mut self) {
        let Some(mut page) = self.0.take() else { return };
        #[cfg(feature = "simulated")]
        if crate::sabotage::is(crate::sabotage::Sabotage::KeyOutlivesItsOwner) {
            std::mem::forget(page);
            return;
        }
        wipe(&mut page);
        let mut spares = spares();
        if spares.len() < SPARE_PAGES {
            spares.push(page);
        }
    }
}

/// A value whose bytes are secret, such as a cipher with its key schedule.
pub(crate) struct Secret<T> {
    page: SecretPage,
    owns: PhantomData<T>,
}

impl<T> Secret<T> {
    const FITS: () = assert!(size_of::<T>() <= PAGE_BYTES && align_of::<T>() <= PAGE_BYTES);

    /// Makes a value in protected memory. What `make` leaves on the stack is wiped.
    ///
    /// # Errors
    ///
    /// No memory could be mapped.
    pub(crate) fn new(make: impl FnOnce() -> T) -> io::Result<Self> {
        let () = Self::FITS;
        let mut page = SecretPage::take()?;
        let place = page.as_mut_ptr().cast::<T>();
        // SAFETY: the page is large enough and aligned (`FITS`), writable, and owned by this value.
        // Written below the frame that is wiped, so that no copy stays in this one.
        leaving_no_trace::<MAKING_BYTES, _>(|| unsafe { ptr::write(place, make()) });
        Ok(Self { page, owns: PhantomData })
    }
}

impl<T> Deref for Secret<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `new` has put a `T` there, and only `drop` takes it away.
        unsafe { &*self.page.as_ptr().cast() }
    }
}

impl<T> Drop for Secret<T> {
    fn drop(&mut self) {
        // SAFETY: `new` has put a `T` there, and nobody uses it after this.
        unsafe { ptr::drop_in_place(self.page.as_mut_ptr().cast::<T>()) };
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A secret of `N` bytes. Its content never shows in `Debug`.
pub(crate) struct SecretBytes<const N: usize> {
    page: SecretPage,
}

impl<const N: usize> SecretBytes<N> {
    /// Moves `secret` into protected memory and wipes the original.
    ///
    /// # Errors
    ///
    /// No memory could be mapped.
    pub(crate) fn new(secret: &mut [u8; N]) -> io::Result<Self> {
        let moved = Self::filled_by(|bytes| {
            bytes.copy_from_slice(secret);
            Ok(())
        });
        secret.zeroize();
        moved
    }

    /// A secret that `fill` writes where it is to stay.
    ///
    /// # Errors
    ///
    /// No memory could be mapped, or that of `fill`.
    pub(super) fn filled_by(fill: impl FnOnce(&mut [u8]) -> io::Result<()>) -> io::Result<Self> {
        const { assert!(N <= PAGE_BYTES) };
        let mut page = SecretPage::take()?;
        fill(&mut page[..N])?;
        Ok(Self { page })
    }

    /// The secret.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.page[..N]
    }
}

impl<const N: usize> fmt::Debug for SecretBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(…)")
    }
}

/// Derives something from a key, which is not secret itself, and wipes the stack.
pub(crate) fn derived<T>(derive: impl FnOnce() -> T) -> T {
    leaving_no_trace::<MAKING_BYTES, _>(derive)
}

/// Does work with keys and then wipes as many bytes of the stack below the caller's frame, which is
/// more than the work uses. What it returns is not secret.
pub(crate) fn leaving_no_trace<const BYTES: usize, T>(work: impl FnOnce() -> T) -> T {
    let result = below(work);
    #[cfg(feature = "simulated")]
    if crate::sabotage::is(crate::sabotage::Sabotage::KeyOnStack) {
        return result;
    }
    wipe_below::<BYTES>();
    result
}

/// A frame of its own for everything that `work` does.
#[inline(never)]
fn below<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Zeros where `below` has been. Whether they are really written is up to the compiler, which
/// promises nothing; `tests/key_memory.rs` looks.
#[inline(never)]
fn wipe_below<const BYTES: usize>() {
    hint::black_box(&mut [0_u8; BYTES]);
}

fn wipe(page: &mut [u8]) {
    // By words: byte by byte it takes eight times as long, and each segment has a page.
    let (head, words, tail) = page.align_to_words();
    head.zeroize();
    words.zeroize();
    tail.zeroize();
}

trait AlignToWords {
    fn align_to_words(&mut self) -> (&mut [u8], &mut [u64], &mut [u8]);
}

impl AlignToWords for [u8] {
    fn align_to_words(&mut self) -> (&mut [u8], &mut [u64], &mut [u8]) {
        // SAFETY: any eight bytes are a `u64`, and the other way round.
        unsafe { self.align_to_mut() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_secret_moves_and_does_not_show() {
        let mut original = *b"correct horse battery staple 123";
        let secret = SecretBytes::new(&mut original).expect("memory");
        assert_eq!(original, [0; 32]);
        assert_eq!(secret.expose(), b"correct horse battery staple 123");
        assert_eq!(format!("{secret:?}"), "SecretBytes(…)");
    }

    #[test]
    fn a_secret_value_is_dropped_once_and_its_page_comes_back_blank() {
        struct Counted<'a>(&'a AtomicBool, [u8; 100]);
        impl Drop for Counted<'_> {
            fn drop(&mut self) {
                assert!(!self.0.swap(true, Ordering::Relaxed), "once");
            }
        }
        let dropped = AtomicBool::new(false);
        let secret = Secret::new(|| Counted(&dropped, [7; 100])).expect("memory");
        assert_eq!(secret.1, [7; 100]);
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert!(!dropped.load(Ordering::Relaxed));
        drop(secret);
        assert!(dropped.load(Ordering::Relaxed));
        let pages: Vec<_> = (0..SPARE_PAGES + 1).map(|_| SecretPage::take()).collect();
        assert!(pages.iter().flatten().all(|page| page.iter().all(|&byte| byte == 0)));
    }
}
