//! By which rules files are cut: FastCDC (Xia et al., 2016 and 2020), with fixed parameters.
//!
//! Invariant: the cuts of a file depend on its bytes and the profile only. The tables and masks are those of the crate
//! `fastcdc`; a release of it once moved cuts silently, so it is pinned and the cuts of known bytes are held by a golden
//! file. Chosen sizes: an average of 64 KiB re-stores half of what 256 KiB does on local edits of EXR, USD and VDB files.
//! Deliberately absent: the cutting itself ([`super::cutter`]).

use serde::{Deserialize, Serialize};

/// The parameters of a remote's chunker, in its config object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Profile {
    pub(super) algorithm: Algorithm,
    /// How strongly lengths are drawn to the average: 0 to 3. The stronger, the less an insertion costs (large chunks are
    /// hit more often), and the more a replaced region (cuts take longer to fall into step again).
    pub(super) normalization: u8,
    pub(super) min: usize,
    pub(super) average: usize,
    pub(super) max: usize,
}

/// The ways to cut that this version knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Algorithm {
    /// `fastcdc` 5.0.0, module `v2020`, seed 0.
    #[serde(rename = "fastcdc-2020")]
    FastCdc2020,
}

/// No chunk of any profile is larger. A bound for readers of hostile remotes.
pub(super) const LARGEST_CHUNK: usize = 1 << 20;

impl Profile {
    /// The profile of new remotes.
    pub(super) const DEFAULT: Self = Self {
        algorithm: Algorithm::FastCdc2020,
        normalization: 2,
        min: 4 << 10,
        average: 64 << 10,
        max: 256 << 10,
    };

    /// Whether the crate can cut so, and within our bounds.
    pub(super) fn is_valid(&self) -> bool {
        let powers = [self.min, self.average, self.max]
            .iter()
            .all(|n| n.is_power_of_two());
        powers
            && self.normalization <= 3
            && self.min >= 64
            && self.min < self.average
            && self.average < self.max
            && self.max <= LARGEST_CHUNK
    }
}

#[cfg(test)]
mod tests {
    use super::Profile;
    use crate::chunked::cutter::Cutter;
    use proptest::prelude::{prop, proptest};

    /// Bytes that look like nothing in particular, the same on every machine.
    fn bytes(length: usize, seed: u64) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        (0..length)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[3]
            })
            .collect()
    }

    /// Where the chunks of some bytes end.
    fn ends(bytes: &[u8], last: bool) -> Vec<usize> {
        let mut ends: Vec<usize> = Vec::new();
        let take = |chunk: &[u8]| {
            ends.push(ends.last().copied().unwrap_or(0) + chunk.len());
            Ok::<(), ()>(())
        };
        let done = Cutter::new(Profile::DEFAULT)
            .cut(bytes, last, take)
            .expect("nothing fails");
        assert_eq!(ends.last().copied().unwrap_or(0), done);
        ends
    }

    proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(24))]
        #[test]
        fn cuts_cover_a_file_and_do_not_depend_on_how_it_arrives(
            length in 0usize..1_500_000,
            pieces in prop::collection::vec(1usize..600_000, 1..8),
        ) {
            let data = bytes(length, 7);
            let whole = ends(&data, true);
            assert_eq!(whole.last().copied().unwrap_or(0), length);
            let (mut found, mut start, mut given) = (Vec::new(), 0, 0);
            let mut piece = pieces.iter().cycle();
            loop {
                given = (given + piece.next().expect("cycles")).min(length);
                let last = given == length;
                found.extend(ends(&data[start..given], last).into_iter().map(|end| start + end));
                start = found.last().copied().unwrap_or(0);
                if last {
                    break;
                }
            }
            assert_eq!(found, whole);
        }
    }

    #[test]
    fn the_cuts_of_known_bytes_never_move() {
        let ends = ends(&bytes(1 << 20, 42), true);
        let golden = include_str!("../../../../fixtures/format/v1/cuts.txt");
        let golden: Vec<usize> = golden
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.parse().expect("a number"))
            .collect();
        assert_eq!(ends, golden);
    }
}
