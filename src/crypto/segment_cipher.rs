//! The key of one segment. It is derived from the master key and the segment's random salt, so
//! two segments never share a key, and within a segment the LSN is the nonce: no pair repeats.

use std::{fmt, io};

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{
    MasterKey,
    aead::{Aead, BadTag, KEY_LEN, NONCE_LEN, TAG_LEN},
};
use crate::{device::Secret, format::SegmentIdentity, lsn::Lsn};

/// Records sealed under one segment key at most, far below where 96-bit nonces become a concern
/// (NIST SP 800-38D section 8.3 allows 2^32 invocations).
pub(crate) const MAX_RECORDS_PER_KEY: u64 = 1 << 32;

/// Seals and opens the records of one segment.
pub(crate) struct SegmentCipher {
    aead: Secret<Aead>,
}

impl SegmentCipher {
    /// Derives the segment's key: HKDF-SHA256 (RFC 5869) with the salt as salt and the log id and
    /// segment number as info.
    ///
    /// # Errors
    ///
    /// No memory could be mapped for the key.
    pub(crate) fn derive(master: &MasterKey, identity: &SegmentIdentity) -> io::Result<Self> {
        let info: [&[u8]; 3] =
            [b"plimsoll v1 segment key", &identity.log_id, &identity.segment_number.to_le_bytes()];
        let aead = Secret::new(|| {
            let hkdf = Hkdf::<Sha256>::new(Some(&identity.salt), master.expose());
            let mut key = Zeroizing::new([0; KEY_LEN]);
            #[expect(clippy::unwrap_used, reason = "fails over 8160 bytes only (RFC 5869)")]
            hkdf.expand_multi_info(&info, key.as_mut()).unwrap();
            Aead::new(&key)
        })?;
        Ok(Self { aead })
    }

    /// Encrypts a record's payload in place and returns its tag. Each LSN is sealed once.
    pub(crate) fn seal(
        &self,
        lsn: Lsn,
        associated_data: &[u8],
        payload: &mut [u8],
    ) -> [u8; TAG_LEN] {
        debug_assert_ne!(lsn, Lsn::NONE, "nonce 0 belongs to the header");
        self.aead.seal(nonce(lsn), associated_data, payload)
    }

    /// Decrypts a record's payload in place.
    pub(crate) fn open(
        &self,
        lsn: Lsn,
        associated_data: &[u8],
        payload: &mut [u8],
        tag: [u8; TAG_LEN],
    ) -> Result<(), BadTag> {
        self.aead.open(nonce(lsn), associated_data, payload, tag)
    }

    /// Authenticates the segment's header: the tag of an empty message under nonce 0, which no
    /// record uses as LSNs start at 1.
    pub(crate) fn header_tag(&self, header_bytes: &[u8]) -> [u8; TAG_LEN] {
        self.aead.seal(nonce(Lsn::NONE), header_bytes, &mut [])
    }

    /// Whether a header's tag is genuine. Compares in constant time.
    pub(crate) fn verify_header(
        &self,
        header_bytes: &[u8],
        tag: [u8; TAG_LEN],
    ) -> Result<(), BadTag> {
        self.aead.open(nonce(Lsn::NONE), header_bytes, &mut [], tag)
    }
}

fn nonce(lsn: Lsn) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    nonce[NONCE_LEN - 8..].copy_from_slice(&lsn.get().to_be_bytes());
    nonce
}

impl fmt::Debug for SegmentCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SegmentCipher(…)")
    }
}
