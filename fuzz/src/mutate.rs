//! Deterministic mutations of a corpus, for toolchains without libFuzzer: the same number always
//! gives the same input.

/// Values that bounds are forgotten at.
const EXTREMES: [u64; 12] =
    [0, 1, 2, 7, 255, 511, 512, 4096, 0x7fff_ffff, 0xffff_ffff, u64::MAX - 1, u64::MAX];
/// Most changes of one input.
const CHANGES_MAX: usize = 6;

/// SplitMix64, as in the simulated disk.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, 0 if there is none.
    fn below(&mut self, bound: usize) -> usize {
        let scaled = (u128::from(self.next()) * bound as u128) >> 64;
        usize::try_from(scaled).unwrap_or(0)
    }
}

/// Input number `case`: the corpus as it is, then mutations of it.
#[must_use]
pub fn input(corpus: &[Vec<u8>], case: usize) -> Vec<u8> {
    if let Some(genuine) = corpus.get(case) {
        return genuine.clone();
    }
    let mut chance = Chance(case as u64);
    let mut bytes = corpus.get(chance.below(corpus.len())).cloned().unwrap_or_default();
    for _ in 0..1 + chance.below(CHANGES_MAX) {
        change(&mut bytes, corpus, &mut chance);
    }
    bytes.truncate(crate::INPUT_BYTES_MAX);
    bytes
}

fn change(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], chance: &mut Chance) {
    let at = chance.below(bytes.len());
    let len = (1 + chance.below(32)).min(bytes.len() - at);
    match chance.below(10) {
        0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << chance.below(8),
        2 if !bytes.is_empty() => bytes[at] = chance.next().to_le_bytes()[0],
        3 | 4 => {
            let value = EXTREMES[chance.below(EXTREMES.len())].to_le_bytes();
            let width = [1, 2, 4, 8][chance.below(4)].min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&value[..width]);
        }
        5 => drop(bytes.drain(at..at + len)),
        6 => {
            let inserted: Vec<u8> = (0..16).map(|_| chance.next().to_le_bytes()[0]).collect();
            bytes.splice(at..at, inserted);
        }
        7 => {
            let copied = bytes[at..at + len].to_vec();
            let to = chance.below(bytes.len() + 1);
            bytes.splice(to..to, copied);
        }
        8 => {
            let other = &corpus[chance.below(corpus.len())];
            let from = chance.below(other.len() + 1);
            let to = at.max(from.min(bytes.len()));
            bytes.splice(to.., other[from..].iter().copied());
        }
        _ => bytes.truncate(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_an_input_and_inputs_differ() {
        let corpus = vec![b"name = \"quick\"".to_vec(), Vec::new(), vec![7; 300]];
        let inputs: Vec<_> = (0..2000).map(|case| input(&corpus, case)).collect();
        assert_eq!(inputs, (0..2000).map(|case| input(&corpus, case)).collect::<Vec<_>>());
        let distinct: std::collections::BTreeSet<_> = inputs.iter().collect();
        assert!(distinct.len() > 1000, "{}", distinct.len());
        assert_eq!(inputs[..3], corpus[..]);
    }
}
