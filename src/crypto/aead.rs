//! AES-256-GCM behind one small type. The `aes-gcm` crate is the reference; with the feature
//! `accelerated-aes` the same operation is done by `ring`. Both write the same bytes, which a
//! test below holds them to.

/// Key length in bytes.
pub(super) const KEY_LEN: usize = 32;
/// Nonce length in bytes (NIST SP 800-38D, the 96-bit case).
pub(super) const NONCE_LEN: usize = 12;
/// Tag length in bytes.
pub(super) const TAG_LEN: usize = 16;

#[cfg(feature = "accelerated-aes")]
pub(super) use accelerated::Aead;
#[cfg(not(feature = "accelerated-aes"))]
pub(super) use reference::Aead;

/// The tag does not fit key, nonce, associated data and ciphertext.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadTag;

#[cfg(any(test, not(feature = "accelerated-aes")))]
mod reference {
    use aes_gcm::{Aes256Gcm, KeyInit, aead::AeadInOut};

    use super::{BadTag, KEY_LEN, NONCE_LEN, TAG_LEN};
    use crate::device::leaving_no_trace;

    /// The crate keeps round keys on the stack, which are worth as much as the key, and does not wipe
    /// them. How deep depends on how many blocks it does at once: 4 KiB are too few for 256 bytes,
    /// and enough for less. Wiping 5 KiB costs 0.1 µs, 12 KiB 0.3 µs; `ring` needs neither.
    const TRACES_OF_FEW_BLOCKS_BYTES: usize = 5 << 10;
    const TRACES_BYTES: usize = 12 << 10;
    /// From here on it does many blocks at once.
    const MANY_BLOCKS_BYTES: usize = 256;

    fn leaving_no_round_key<T>(data_len: usize, work: impl FnOnce() -> T) -> T {
        if data_len < MANY_BLOCKS_BYTES {
            leaving_no_trace::<TRACES_OF_FEW_BLOCKS_BYTES, _>(work)
        } else {
            leaving_no_trace::<TRACES_BYTES, _>(work)
        }
    }

    pub(in super::super) struct Aead(Aes256Gcm);

    impl Aead {
        pub(in super::super) fn new(key: &[u8; KEY_LEN]) -> Self {
            Self(Aes256Gcm::new(key.into()))
        }

        /// Encrypts `data` in place and returns the tag.
        pub(in super::super) fn seal(
            &self,
            nonce: [u8; NONCE_LEN],
            associated_data: &[u8],
            data: &mut [u8],
        ) -> [u8; TAG_LEN] {
            let sealed = leaving_no_round_key(data.len(), || {
                self.0.encrypt_inout_detached(&nonce.into(), associated_data, data.into())
            });
            #[expect(clippy::unwrap_used, reason = "fails over 64 GiB only; payloads are 64 MiB")]
            sealed.unwrap().into()
        }

        /// Decrypts `data` in place.
        pub(in super::super) fn open(
            &self,
            nonce: [u8; NONCE_LEN],
            associated_data: &[u8],
            data: &mut [u8],
            tag: [u8; TAG_LEN],
        ) -> Result<(), BadTag> {
            leaving_no_round_key(data.len(), || {
                self.0.decrypt_inout_detached(
                    &nonce.into(),
                    associated_data,
                    data.into(),
                    &tag.into(),
                )
            })
            .map_err(|_| BadTag)
        }
    }
}

#[cfg(feature = "accelerated-aes")]
mod accelerated {
    use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};

    use super::{BadTag, KEY_LEN, NONCE_LEN, TAG_LEN};

    pub(in super::super) struct Aead(LessSafeKey);

    impl Aead {
        pub(in super::super) fn new(key: &[u8; KEY_LEN]) -> Self {
            #[expect(clippy::unwrap_used, reason = "fails for a wrong key length only")]
            Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap()))
        }

        /// Encrypts `data` in place and returns the tag.
        pub(in super::super) fn seal(
            &self,
            nonce: [u8; NONCE_LEN],
            associated_data: &[u8],
            data: &mut [u8],
        ) -> [u8; TAG_LEN] {
            let nonce = Nonce::assume_unique_for_key(nonce);
            let sealed = self.0.seal_in_place_separate_tag(nonce, Aad::from(associated_data), data);
            #[expect(clippy::unwrap_used, reason = "fails over 64 GiB only; payloads are 64 MiB")]
            let tag = sealed.unwrap();
            let mut bytes = [0; TAG_LEN];
            bytes.copy_from_slice(tag.as_ref());
            bytes
        }

        /// Decrypts `data` in place.
        pub(in super::super) fn open(
            &self,
            nonce: [u8; NONCE_LEN],
            associated_data: &[u8],
            data: &mut [u8],
            tag: [u8; TAG_LEN],
        ) -> Result<(), BadTag> {
            let nonce = Nonce::assume_unique_for_key(nonce);
            self.0
                .open_in_place_separate_tag(
                    nonce,
                    Aad::from(associated_data),
                    Tag::from(tag),
                    data,
                    0..,
                )
                .map(drop)
                .map_err(|_| BadTag)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer() {
        // Test case 14 of "The Galois/Counter Mode of Operation" (McGrew, Viega), appendix B.
        let aead = Aead::new(&[0; KEY_LEN]);
        let mut data = [0; 16];
        let tag = aead.seal([0; NONCE_LEN], b"", &mut data);
        assert_eq!(data[..4], [0xce, 0xa7, 0x40, 0x3d]);
        assert_eq!(tag[..4], [0xd0, 0xd1, 0xc8, 0xa7]);
        assert_eq!(aead.open([0; NONCE_LEN], b"", &mut data, tag), Ok(()));
        assert_eq!(data, [0; 16]);
    }

    #[test]
    #[ignore = "measures; run with --release -- --ignored --nocapture"]
    #[allow(clippy::print_stderr, reason = "what was measured")]
    fn cost_of_a_seal() {
        const ROUNDS: u32 = 100_000;
        let aead = Aead::new(&[7; KEY_LEN]);
        for len in [64, 128, 256, 1024, 4096] {
            let mut data = vec![0; len];
            let begun = std::time::Instant::now();
            for _ in 0..ROUNDS {
                std::hint::black_box(aead.seal([0; NONCE_LEN], &[0; 76], &mut data));
            }
            let ns = begun.elapsed().as_nanos() / u128::from(ROUNDS);
            eprintln!("{len} bytes: {ns} ns");
        }
    }

    #[cfg(feature = "accelerated-aes")]
    mod cross_check {
        use proptest::prelude::*;

        use super::super::{accelerated, reference};

        proptest! {
            #[test]
            fn both_implementations_write_the_same_bytes(
                key: [u8; 32],
                nonce: [u8; 12],
                associated in proptest::collection::vec(any::<u8>(), 0..100),
                plain in proptest::collection::vec(any::<u8>(), 0..2000),
            ) {
                let reference = reference::Aead::new(&key);
                let accelerated = accelerated::Aead::new(&key);
                let (mut a, mut b) = (plain.clone(), plain.clone());
                let tag = reference.seal(nonce, &associated, &mut a);
                prop_assert_eq!(accelerated.seal(nonce, &associated, &mut b), tag);
                prop_assert_eq!(&a, &b);
                prop_assert!(accelerated.open(nonce, &associated, &mut a, tag).is_ok());
                prop_assert!(reference.open(nonce, &associated, &mut b, tag).is_ok());
                prop_assert_eq!(&a, &plain);
                prop_assert_eq!(&b, &plain);
            }
        }
    }
}
