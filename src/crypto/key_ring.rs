//! The keys a log may be read with, and the one it is written with.

use std::{fmt, io, sync::Arc};

use hkdf::Hkdf;
use sha2::Sha256;

use super::aead::KEY_LEN;
use crate::{
    device::{SecretBytes, derived, read_private_file},
    error::{Result, WalError},
};

/// A master key. Never shows in `Debug`, wiped when dropped.
pub(crate) struct MasterKey {
    secret: SecretBytes<KEY_LEN>,
}

impl MasterKey {
    pub(super) fn expose(&self) -> &[u8] {
        self.secret.expose()
    }

    /// A value that tells this key from others, derived from key and id alone, so that a wrong
    /// key is noticed before anything is decrypted.
    pub(crate) fn check_value(&self, key_id: u64) -> [u8; 16] {
        derived(|| {
            let hkdf = Hkdf::<Sha256>::new(Some(b"plimsoll v1 key check"), self.expose());
            let mut value = [0; 16];
            #[expect(clippy::unwrap_used, reason = "fails over 8160 bytes only (RFC 5869)")]
            hkdf.expand(&key_id.to_le_bytes(), &mut value).unwrap();
            value
        })
    }
}

/// A current key, with which new segments are sealed, and any number of older ones, with which
/// earlier segments are read. Each has an id of the embedder's choice that is stored in clear.
///
/// Keys are kept in memory that is locked against swapping and left out of core dumps where the
/// kernel allows, and wiped when the last clone is dropped.
///
/// ```
/// # fn main() -> Result<(), plimsoll::WalError> {
/// use plimsoll::KeyRing;
/// let ring = KeyRing::new(2, [0x5a; 32])?.with_older_key(1, [0xa5; 32])?;
/// assert_eq!(ring.current_key_id(), 2);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct KeyRing {
    current: u64,
    plain_past: bool,
    leaves_sealed: bool,
    keys: Vec<(u64, Arc<MasterKey>)>,
}

impl KeyRing {
    /// A ring with one key. The array is wiped on the caller's stack frame passed in here; wipe
    /// other copies yourself, or use [`KeyRing::from_file`].
    ///
    /// # Errors
    ///
    /// [`WalError::Io`] if no memory can be mapped for the key.
    pub fn new(key_id: u64, mut key: [u8; 32]) -> Result<Self> {
        Ok(Self::with_one(key_id, protect(&mut key)?))
    }

    /// A ring with one key read from a file of exactly 32 bytes that is regular, not a symbolic
    /// link, owned by the effective user and closed to everybody else.
    ///
    /// # Errors
    ///
    /// [`WalError::KeyFile`] with the rule that was broken.
    pub fn from_file(key_id: u64, path: impl AsRef<std::path::Path>) -> Result<Self> {
        let secret = read_private_file(path.as_ref())?;
        Ok(Self::with_one(key_id, MasterKey { secret }))
    }

    fn with_one(key_id: u64, key: MasterKey) -> Self {
        let keys = vec![(key_id, Arc::new(key))];
        Self { current: key_id, plain_past: false, leaves_sealed: false, keys }
    }

    /// No keys, for whoever looks at a log without reading what is in its records: payloads stay
    /// sealed, and no tag is checked.
    pub(crate) fn leaving_sealed() -> Self {
        Self { current: 0, plain_past: true, leaves_sealed: true, keys: Vec::new() }
    }

    /// Adds a key for reading earlier segments; replaces a key of the same id.
    ///
    /// # Errors
    ///
    /// As [`KeyRing::new`].
    pub fn with_older_key(mut self, key_id: u64, mut key: [u8; 32]) -> Result<Self> {
        self.insert(key_id, Arc::new(protect(&mut key)?));
        Ok(self)
    }

    /// Accepts segments in clear before the first encrypted one: for a log that has been in clear
    /// until it was given keys, as long as records of that time are in it. Whoever may write the
    /// files can forge these, and without this nothing in clear is accepted beside a key ring.
    #[must_use]
    pub fn with_plain_past(mut self) -> Self {
        self.plain_past = true;
        self
    }

    /// Adds all keys of `older` for reading, and its past in clear if it has one; the current key
    /// stays.
    #[must_use]
    pub fn with_older_ring(mut self, older: &Self) -> Self {
        self.plain_past |= older.plain_past;
        for (key_id, key) in &older.keys {
            if self.get(*key_id).is_none() {
                self.insert(*key_id, Arc::clone(key));
            }
        }
        self
    }

    /// Id of the key that new segments are sealed with.
    #[must_use]
    pub fn current_key_id(&self) -> u64 {
        self.current
    }

    /// Ids of all keys.
    pub fn key_ids(&self) -> impl Iterator<Item = u64> {
        self.keys.iter().map(|(key_id, _)| *key_id)
    }

    pub(crate) fn get(&self, key_id: u64) -> Option<&MasterKey> {
        self.keys.iter().find(|(id, _)| *id == key_id).map(|(_, key)| &**key)
    }

    pub(crate) fn accepts_plain(&self) -> bool {
        self.plain_past
    }

    pub(crate) fn leaves_sealed(&self) -> bool {
        self.leaves_sealed
    }

    /// An id that stands for different keys in the two rings.
    pub(crate) fn conflict_with(&self, other: &Self) -> Option<u64> {
        let differs = |key_id: &u64| match (self.get(*key_id), other.get(*key_id)) {
            (Some(one), Some(two)) => one.check_value(*key_id) != two.check_value(*key_id),
            _ => false,
        };
        self.key_ids().find(differs)
    }

    fn insert(&mut self, key_id: u64, key: Arc<MasterKey>) {
        self.keys.retain(|(id, _)| *id != key_id);
        self.keys.push((key_id, key));
    }
}

/// Takes the caller's copy by reference: by value it would be copied once more, and stay.
fn protect(key: &mut [u8; KEY_LEN]) -> Result<MasterKey> {
    let secret = SecretBytes::new(key)
        .map_err(|error: io::Error| WalError::io("map memory for", "a key")(error))?;
    Ok(MasterKey { secret })
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("current", &self.current)
            .field("key_ids", &self.key_ids().collect::<Vec<_>>())
            .field("plain_past", &self.plain_past)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_finds_keys_by_id_and_hides_them() {
        let old = KeyRing::new(1, [0x11; 32]).expect("memory");
        let ring = KeyRing::new(2, [0x22; 32]).expect("memory").with_older_ring(&old);
        assert_eq!(ring.get(1).expect("old").expose(), [0x11; 32]);
        assert_eq!(ring.get(2).expect("current").expose(), [0x22; 32]);
        assert!(ring.get(3).is_none());
        assert!(!format!("{ring:?}").contains("34"), "0x22 = 34 must not show");
    }

    #[test]
    fn check_values_tell_keys_and_ids_apart() {
        let ring = KeyRing::new(1, [1; 32]).expect("memory").with_older_key(2, [2; 32]).expect("m");
        let (one, two) = (ring.get(1).expect("1"), ring.get(2).expect("2"));
        assert_ne!(one.check_value(1), two.check_value(1));
        assert_ne!(one.check_value(1), one.check_value(2));
    }
}
