//! Finding the parts of a chunk that can be compressed.
//!
//! Files mix what compresses with what does not: text or tables beside packed pixels, exponents beside mantissas. zstd takes up
//! to 128 KiB as one block with one code for all its literals, so noise in it hides what is frequent in the rest, and is
//! searched for matches that are not there. Noise is told by a sample of each block: where all byte values are about
//! equally frequent, few pairs of sampled bytes are equal (index of coincidence, Friedman 1922). What repeats at a distance
//! but is evenly spread is taken for noise too; that is for the caller's trials to notice.

use std::ops::Range;

/// What is looked at by itself.
const BLOCK: usize = 4 << 10;
/// Runs of bytes that are sampled of a block, spread over it.
const RUNS: usize = 4;
/// Bytes of a run: whole numbers of any width, whatever they begin with.
const RUN: usize = 64;
/// Noise shorter than this stays with what is beside it: what is split cannot refer to each other.
const LEAST_NOISE: usize = 2 * BLOCK;
/// Among the samples of noise a byte value's count has a sum of squares of 511 on average, with a deviation of 23.
const NOISE_BELOW: u32 = 511 + 5 * 23;

/// Part of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) range: Range<usize>,
    /// Whether all byte values are about equally frequent.
    pub(super) noise: bool,
}

/// Split bytes into regions, in order, noise and other by turns.
pub(super) fn split(bytes: &[u8], into: &mut Vec<Region>) {
    into.clear();
    let mut start = 0;
    while start < bytes.len() {
        let end = if bytes.len() - start < 2 * BLOCK {
            bytes.len()
        } else {
            start + BLOCK
        };
        let noise = is_noise(&bytes[start..end]);
        if !noise {
            absorb_short_noise(into);
        }
        match into.last_mut() {
            Some(last) if last.noise == noise => last.range.end = end,
            _ => into.push(Region {
                range: start..end,
                noise,
            }),
        }
        start = end;
    }
    if into.len() > 1 {
        absorb_short_noise(into);
    }
}

/// Make short noise at the end a part of what is before it.
fn absorb_short_noise(regions: &mut Vec<Region>) {
    let Some(last) = regions.pop_if(|last| last.noise && last.range.len() < LEAST_NOISE) else {
        return;
    };
    match regions.last_mut() {
        Some(before) => before.range.end = last.range.end,
        None => regions.push(Region { noise: false, ..last }),
    }
}

fn is_noise(block: &[u8]) -> bool {
    if block.len() < BLOCK {
        return false;
    }
    // Two tables, so that equal neighbours do not wait for each other.
    let mut counts = [[0_u8; 256]; 2];
    for run in block.chunks_exact(block.len() / RUNS).take(RUNS) {
        for [even, odd] in run[..RUN].as_chunks::<2>().0 {
            // At most 128 of the 256 samples get into one table.
            counts[0][usize::from(*even)] += 1;
            counts[1][usize::from(*odd)] += 1;
        }
    }
    let squares: u32 = counts[0]
        .iter()
        .zip(&counts[1])
        .map(|(even, odd)| (u32::from(*even) + u32::from(*odd)).pow(2))
        .sum();
    squares < NOISE_BELOW
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Region, split};
    use proptest::prelude::{Strategy, any, prop, prop_oneof, proptest};

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 5_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_le_bytes()[7]
        };
        (0..length).map(|_| next()).collect()
    }

    fn text(length: usize) -> Vec<u8> {
        b"{\"layer\": \"beauty\"}\n"
            .iter()
            .copied()
            .cycle()
            .take(length)
            .collect()
    }

    fn floats(count: u32) -> Vec<u8> {
        let numbers = noise(4 * count as usize);
        let (numbers, _) = numbers.as_chunks::<4>();
        numbers
            .iter()
            .flat_map(|bytes| (1.0 + f64::from(u32::from_le_bytes(*bytes)) / 1e9).to_le_bytes())
            .collect()
    }

    fn regions(bytes: &[u8]) -> Vec<(usize, bool)> {
        let mut found = Vec::new();
        split(bytes, &mut found);
        found
            .into_iter()
            .map(|region| (region.range.len(), region.noise))
            .collect()
    }

    #[test]
    fn noise_is_told_from_text_and_from_numbers() {
        assert_eq!(regions(&noise(300_000)), [(300_000, true)]);
        assert_eq!(regions(&text(70_000)), [(70_000, false)]);
        assert_eq!(regions(&floats(9_000)), [(72_000, false)]);
        assert_eq!(regions(&[]), []);
        assert_eq!(regions(&noise(BLOCK - 1)), [(BLOCK - 1, false)]);
    }

    #[test]
    fn mixed_bytes_are_split_to_the_block_and_short_noise_is_not() {
        let mixed = [text(5 * BLOCK), noise(8 * BLOCK), text(BLOCK)].concat();
        assert_eq!(
            regions(&mixed),
            [(5 * BLOCK, false), (8 * BLOCK, true), (BLOCK, false)]
        );
        for bytes in [
            [text(5 * BLOCK), noise(BLOCK), text(2 * BLOCK)],
            [noise(BLOCK), text(5 * BLOCK), noise(BLOCK)],
        ] {
            let bytes = bytes.concat();
            assert_eq!(regions(&bytes), [(bytes.len(), false)]);
        }
    }

    proptest! {
        #[test]
        fn regions_cover_everything_by_turns(
            pieces in prop::collection::vec(
                (prop_oneof![any::<bool>()], 1usize..40_000).prop_map(|(even, length)| if even { noise(length) } else { text(length) }),
                0..6,
            ),
        ) {
            let bytes = pieces.concat();
            let mut found = Vec::<Region>::new();
            split(&bytes, &mut found);
            let mut end = 0;
            for region in &found {
                assert_eq!(region.range.start, end);
                assert!(region.range.end > end);
                end = region.range.end;
            }
            assert_eq!(end, bytes.len());
            assert!(found.windows(2).all(|pair| pair[0].noise != pair[1].noise));
        }
    }
}
