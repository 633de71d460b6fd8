//! The key schedule of AES-256 (FIPS 197, section 5.2), to know what to look for in memory.

/// Multiplication by x in the field of AES.
fn doubled(value: u8) -> u8 {
    (value << 1) ^ if value & 0x80 == 0 { 0 } else { 0x1b }
}

fn product(mut a: u8, mut b: u8) -> u8 {
    let mut sum = 0;
    while b != 0 {
        if b & 1 == 1 {
            sum ^= a;
        }
        (a, b) = (doubled(a), b >> 1);
    }
    sum
}

/// The S-box: the inverse in the field, then an affine map.
fn substituted(value: u8) -> u8 {
    let inverse = (1..=255).find(|&other| product(value, other) == 1).unwrap_or(0);
    (0..5).fold(0x63, |sum, turn| sum ^ inverse.rotate_left(turn))
}

/// The 15 round keys.
pub(crate) fn round_keys(key: &[u8; 32]) -> [[u8; 16]; 15] {
    let mut words: Vec<[u8; 4]> =
        key.chunks(4).map(|word| word.try_into().expect("four bytes")).collect();
    let mut round_constant = 1;
    for at in 8..60 {
        let mut word = words[at - 1];
        if at % 8 == 0 {
            word.rotate_left(1);
        }
        if at % 4 == 0 {
            word = word.map(substituted);
        }
        if at % 8 == 0 {
            word[0] ^= round_constant;
            round_constant = doubled(round_constant);
        }
        let earlier = words[at - 8];
        words.push(std::array::from_fn(|byte| word[byte] ^ earlier[byte]));
    }
    let flat = words.concat();
    std::array::from_fn(|round| flat[16 * round..][..16].try_into().expect("16 bytes"))
}

#[test]
fn the_schedule_is_that_of_the_standard() {
    // FIPS 197, appendix A.3.
    let key = *b"\x60\x3d\xeb\x10\x15\xca\x71\xbe\x2b\x73\xae\xf0\x85\x7d\x77\x81\
                 \x1f\x35\x2c\x07\x3b\x61\x08\xd7\x2d\x98\x10\xa3\x09\x14\xdf\xf4";
    let keys = round_keys(&key);
    assert_eq!(keys[2][..4], [0x9b, 0xa3, 0x54, 0x11]);
    assert_eq!(keys[14][12..], [0x70, 0x6c, 0x63, 0x1e]);
}
