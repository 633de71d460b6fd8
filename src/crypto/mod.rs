//! Keys and sealing: a ring of master keys, a key per segment derived from one of them, and
//! AES-256-GCM over each record with its LSN as the nonce. Knows bytes and identities, no files.

mod aead;
mod key_ring;
mod segment_cipher;

pub use key_ring::KeyRing;
pub(crate) use key_ring::MasterKey;
pub(crate) use segment_cipher::{MAX_RECORDS_PER_KEY, SegmentCipher};
