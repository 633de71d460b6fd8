//! What one core can seal at most: AES-256-GCM by itself, with the implementation that the log is
//! built with here (`ring`), on records of one size. Bandwidth of an encrypted log is judged against
//! it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// What a log authenticates along with a record: the frame's header and the segment's identity.
const ASSOCIATED_BYTES: usize = 76;

/// Between two looks at the clock.
const SEALS_PER_LOOK: u64 = 16;

/// Seals records of `record_bytes` with a random key for `duration`, one after the other in place,
/// and returns how many a second.
///
/// # Errors
/// When the cipher refuses.
pub(crate) fn seal_for(record_bytes: u64, duration: Duration) -> Result<f64> {
    let refused = |_: ring::error::Unspecified| anyhow!("AES-256-GCM refuses to seal a record");
    let key = rand::random::<[u8; 32]>();
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).map_err(refused)?);
    let associated = [0x5a; ASSOCIATED_BYTES];
    let mut record = vec![0x5a; usize::try_from(record_bytes)?];
    let mut sealed: u64 = 0;
    let began = Instant::now();
    let mut last = began;
    while sealed == 0 || last.duration_since(began) < duration {
        for number in sealed..sealed + SEALS_PER_LOOK {
            let mut nonce = [0; NONCE_LEN];
            nonce[NONCE_LEN - 8..].copy_from_slice(&number.to_be_bytes());
            let nonce = Nonce::assume_unique_for_key(nonce);
            let tag = key
                .seal_in_place_separate_tag(nonce, Aad::from(&associated), &mut record)
                .map_err(refused)?;
            let _ = black_box(tag);
        }
        sealed += SEALS_PER_LOOK;
        last = Instant::now();
    }
    Ok(sealed as f64 / last.duration_since(began).as_secs_f64().max(f64::MIN_POSITIVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_any_size_are_sealed_and_no_time_at_all_is_no_division_by_zero() {
        for (bytes, duration) in [(0, Duration::ZERO), (4096, Duration::from_millis(1))] {
            let rate = seal_for(bytes, duration).expect("sealed");
            assert!(rate.is_finite() && rate > 0.0, "{bytes}: {rate}");
        }
    }
}
