//! What it takes to write or read the batches of one segment: identity, checksum seed, cipher and
//! block size.

use std::path::Path;

use crate::{
    crypto::{KeyRing, MasterKey, SegmentCipher},
    device::LogDirectory,
    error::{Result, WalError},
    format::{ChecksumSeed, KeyReference, SegmentHeader, SegmentIdentity},
    lsn::Lsn,
};

/// The context of one segment. Shared by everybody who encodes or decodes in it.
#[derive(Debug)]
pub(crate) struct SegmentContext {
    pub(crate) identity: SegmentIdentity,
    pub(crate) seed: ChecksumSeed,
    /// Present when records are sealed, unless they are to stay so.
    pub(crate) cipher: Option<SegmentCipher>,
    pub(crate) block_bytes: u64,
    /// Derived from the key alone, for the header.
    key_check: [u8; 16],
}

impl SegmentContext {
    /// A new segment: draws a salt, so that no byte of any other segment validates in it and no
    /// key is used twice.
    pub(crate) fn create(
        directory: &LogDirectory,
        log_id: [u8; 16],
        segment_number: u64,
        first_lsn: Lsn,
        block_bytes: u64,
        keys: Option<&KeyRing>,
    ) -> Result<Self> {
        let mut salt = [0; 32];
        directory.fill_random(&mut salt)?;
        let key_id = keys.map(KeyRing::current_key_id);
        let identity = SegmentIdentity { log_id, segment_number, first_lsn, salt, key_id };
        let master = keys.and_then(|keys| keys.get(keys.current_key_id()));
        Ok(Self {
            seed: identity.checksum_seed(),
            cipher: master.map(|master| derive(master, &identity, directory.path())).transpose()?,
            key_check: master.zip(key_id).map_or([0; 16], |(master, id)| master.check_value(id)),
            identity,
            block_bytes,
        })
    }

    /// The context of an existing segment.
    ///
    /// # Errors
    ///
    /// Different ones: no key ring, no such key, another key under that id, a header that was
    /// altered, and one in clear where the ring accepts none.
    pub(crate) fn from_header(
        header: &SegmentHeader,
        path: &Path,
        keys: Option<&KeyRing>,
    ) -> Result<Self> {
        let identity = header.identity.clone();
        let mut context = Self {
            seed: identity.checksum_seed(),
            cipher: None,
            key_check: [0; 16],
            identity,
            block_bytes: header.block_bytes,
        };
        let (Some(key_id), Some(reference)) = (header.identity.key_id, header.key) else {
            return match keys {
                Some(keys) if !keys.accepts_plain() => {
                    Err(WalError::NotEncrypted { path: path.to_owned() })
                }
                _ => Ok(context),
            };
        };
        if keys.is_some_and(KeyRing::leaves_sealed) {
            return Ok(context);
        }
        let path = path.to_owned();
        let Some(keys) = keys else { return Err(WalError::KeyRequired { path, key_id }) };
        let Some(master) = keys.get(key_id) else {
            return Err(WalError::KeyMissing { path, key_id });
        };
        if master.check_value(key_id) != reference.key_check {
            return Err(WalError::WrongKey { path, key_id });
        }
        let cipher = derive(master, &context.identity, &path)?;
        if cipher.verify_header(&header.authenticated_bytes(), reference.header_tag).is_err() {
            return Err(WalError::Tampered { path, offset_bytes: 0, lsn: Lsn::NONE });
        }
        context.key_check = reference.key_check;
        context.cipher = Some(cipher);
        Ok(context)
    }

    /// The context of a segment whose header is lost: enough to check its batches, and not to open a
    /// sealed record.
    pub(crate) fn without_header(
        seed: ChecksumSeed,
        first_lsn: Lsn,
        block_bytes: u64,
        sealed: bool,
    ) -> Self {
        let identity = SegmentIdentity {
            log_id: [0; 16],
            segment_number: 0,
            first_lsn,
            salt: [0; 32],
            key_id: sealed.then_some(0),
        };
        Self { identity, seed, cipher: None, block_bytes, key_check: [0; 16] }
    }

    /// Whether records carry an authentication tag.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.identity.key_id.is_some()
    }

    /// Completes a header of this segment with its key reference. To be called once per segment:
    /// the tag uses the nonce that is reserved for the header.
    pub(crate) fn authenticate(&self, header: &mut SegmentHeader) {
        let Some(cipher) = &self.cipher else { return };
        header.key = Some(KeyReference { key_check: self.key_check, header_tag: [0; 16] });
        let header_tag = cipher.header_tag(&header.authenticated_bytes());
        header.key = Some(KeyReference { key_check: self.key_check, header_tag });
    }
}

fn derive(master: &MasterKey, identity: &SegmentIdentity, path: &Path) -> Result<SegmentCipher> {
    SegmentCipher::derive(master, identity)
        .map_err(WalError::io("map memory for the key of a segment in", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Predecessor;

    fn directory() -> LogDirectory {
        LogDirectory::open(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("opens")
    }

    fn header_under(keys: &KeyRing) -> SegmentHeader {
        let context =
            SegmentContext::create(&directory(), [1; 16], 1, Lsn::FIRST, 4096, Some(keys))
                .expect("random");
        let mut header = SegmentHeader {
            identity: context.identity.clone(),
            block_bytes: 4096,
            predecessor: Predecessor { number: 0, end_lsn: Lsn::NONE, checksum: 0 },
            retention_floor: Lsn::FIRST,
            capacity_bytes: 0,
            created_unix_ns: 0,
            key: None,
        };
        context.authenticate(&mut header);
        header
    }

    #[test]
    fn missing_key_wrong_key_and_tampering_are_three_errors() {
        let ring = KeyRing::new(1, [1; 32]).expect("memory");
        let header = header_under(&ring);
        let open = |header: &SegmentHeader, keys: Option<&KeyRing>| {
            SegmentContext::from_header(header, Path::new("s"), keys).map(drop)
        };
        assert!(open(&header, Some(&ring)).is_ok());
        assert!(matches!(open(&header, None), Err(WalError::KeyRequired { key_id: 1, .. })));
        let other_id = KeyRing::new(2, [1; 32]).expect("memory");
        assert!(matches!(open(&header, Some(&other_id)), Err(WalError::KeyMissing { .. })));
        let other_key = KeyRing::new(1, [2; 32]).expect("memory");
        assert!(matches!(open(&header, Some(&other_key)), Err(WalError::WrongKey { .. })));
        let mut altered = header;
        altered.retention_floor = Lsn::new(9);
        assert!(matches!(open(&altered, Some(&ring)), Err(WalError::Tampered { .. })));
    }

    #[test]
    fn two_segments_never_share_a_salt() {
        let salt = || {
            let context = SegmentContext::create(&directory(), [1; 16], 1, Lsn::FIRST, 4096, None);
            context.expect("random").identity.salt
        };
        assert_ne!(salt(), salt());
    }
}
