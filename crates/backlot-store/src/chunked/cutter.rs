//! The cuts of FastCDC 2020, found twice as fast: the gear hash of four places at once.
//!
//! The hash of one place waits for that of the place before (two dependent steps a byte), so one scan leaves most of a
//! core idle. But what the masks look at depends on the last 48 bytes only: any place can be scanned without what came
//! before it. A block is therefore scanned in four strips side by side, for the bits that both masks share; the few
//! places that have them are candidates, and the rules of FastCDC (least length, stricter mask before the average, most
//! length) choose among them. Only just after a chunk's least length, where FastCDC begins a new hash, is it computed anew.
//! Invariant: the cuts are those of `fastcdc` (module `v2020`, seed 0), which the tests compare.

use std::borrow::Cow;

use fastcdc::v2020::{Normalization, get_gear_with_seed, select_masks};

use super::chunker::Profile;

/// Bytes after which a hash begun at nothing looks to the masks like one begun earlier: no mask has a bit above 47.
const MEMORY: usize = 48;
/// Places that are scanned side by side.
const STRIPS: usize = 4;
/// Bytes that each of them goes through.
const STRIP: usize = 8 << 10;
/// The same for what is left.
const SHORT_STRIP: usize = 512;
/// Bytes that are scanned at once; they stay in the core's cache until their chunks are worked on.
const BLOCK: usize = STRIPS * STRIP;

/// Finds cuts; made once for a profile.
#[derive(Debug)]
pub(super) struct Cutter {
    profile: Profile,
    gear: Cow<'static, [u64]>,
    /// What a hash must not have before the average length, and after it.
    strict: u64,
    loose: u64,
}

/// A place whose hash has none of the bits that both masks share.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    place: usize,
    hash: u64,
}

impl Cutter {
    pub(super) fn new(profile: Profile) -> Self {
        let level = match profile.normalization {
            0 => Normalization::Level0,
            1 => Normalization::Level1,
            2 => Normalization::Level2,
            _ => Normalization::Level3,
        };
        let (strict, loose) = select_masks(profile.average, level);
        let (gear, _) = get_gear_with_seed(0);
        Self {
            profile,
            gear,
            strict,
            loose,
        }
    }

    /// Cut the next bytes of a file, and hand each chunk over while its bytes are near. If they are not the file's last
    /// ones, what the following bytes could still move is left uncut: less than [`Profile::max`]. Returns how much was cut.
    pub(super) fn cut<'a, E>(
        &self,
        bytes: &'a [u8],
        last: bool,
        mut take: impl FnMut(&'a [u8]) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut found = Candidates::default();
        let mut start = 0;
        while start < bytes.len() {
            let length = self.next(bytes, start, &mut found);
            let end = start + length;
            if !last && end == bytes.len() && length < self.profile.max {
                break;
            }
            take(&bytes[start..end])?;
            start = end;
        }
        Ok(start)
    }

    /// The length of the chunk that begins at `start`.
    fn next(&self, bytes: &[u8], start: usize, found: &mut Candidates) -> usize {
        let rest = bytes.len() - start;
        if rest <= self.profile.min {
            return rest;
        }
        let limit = rest.min(self.profile.max);
        // FastCDC looks at pairs of bytes: the last one of an odd number is never a cut.
        let tested = limit & !1;
        let fresh = (self.profile.min + MEMORY).min(tested);
        if let Some(length) = self.begin(&bytes[start..start + fresh]) {
            return length;
        }
        let mut from = start + fresh;
        while from < start + tested {
            let Some(candidate) = found.at_or_after(from, start + tested, bytes, self) else {
                break;
            };
            if self.is_cut(candidate.place - start, candidate.hash) {
                return candidate.place - start;
            }
            from = candidate.place + 1;
        }
        limit
    }

    fn is_cut(&self, length: usize, hash: u64) -> bool {
        let mask = if length < self.profile.average {
            self.strict
        } else {
            self.loose
        };
        hash & mask == 0
    }

    /// The cut in the first bytes after the least length, where the hash is a new one.
    fn begin(&self, bytes: &[u8]) -> Option<usize> {
        let mut hash = 0_u64;
        for (at, byte) in bytes.iter().enumerate().skip(self.profile.min) {
            hash = (hash << 1).wrapping_add(self.gear[usize::from(*byte)]);
            if self.is_cut(at, hash) {
                return Some(at);
            }
        }
        None
    }
}

/// The candidates of the block that was scanned last.
#[derive(Debug, Default)]
struct Candidates {
    /// In order.
    all: Vec<Candidate>,
    next: usize,
    /// Up to where was scanned.
    scanned: usize,
}

impl Candidates {
    /// The first candidate from a place on, before `end`.
    fn at_or_after(&mut self, from: usize, end: usize, bytes: &[u8], cutter: &Cutter) -> Option<Candidate> {
        loop {
            while let Some(candidate) = self.all.get(self.next) {
                if candidate.place >= end {
                    return None;
                }
                if candidate.place >= from {
                    return Some(*candidate);
                }
                self.next += 1;
            }
            let start = self.scanned.max(from);
            if start >= end {
                return None;
            }
            self.all.clear();
            self.next = 0;
            self.scanned = (start + BLOCK).min(bytes.len());
            scan(bytes, start, self.scanned, cutter, &mut self.all);
        }
    }
}

/// Find all candidates in `start..end`. At least [`MEMORY`] bytes lie before `start`.
fn scan(bytes: &[u8], start: usize, end: usize, cutter: &Cutter, found: &mut Vec<Candidate>) {
    let Ok(gear) = <&[u64; 256]>::try_from(&*cutter.gear) else {
        return;
    };
    let shared = cutter.strict & cutter.loose;
    let at = scan_blocks::<STRIP>(&bytes[..end], start, gear, shared, found);
    let at = scan_blocks::<SHORT_STRIP>(&bytes[..end], at, gear, shared, found);
    let mut hash = warm(gear, &bytes[at - MEMORY..at]);
    for (place, byte) in (at..end).zip(&bytes[at..end]) {
        hash = (hash << 1).wrapping_add(gear[usize::from(*byte)]);
        if hash & shared == 0 {
            found.push(Candidate { place, hash });
        }
    }
}

/// Find all candidates of the blocks of strips of so many bytes that fit behind `start`. Returns where they end.
fn scan_blocks<const STRIP: usize>(
    bytes: &[u8],
    mut start: usize,
    gear: &[u64; 256],
    shared: u64,
    found: &mut Vec<Candidate>,
) -> usize {
    while let Some(block) = bytes.get(start..start + STRIPS * STRIP) {
        let (strips, _) = block.as_chunks::<STRIP>();
        let Ok(strips) = strips.try_into() else { break };
        let hashes = std::array::from_fn(|n| {
            let strip = start + n * STRIP;
            warm(gear, &bytes[strip - MEMORY..strip])
        });
        scan_block(strips, hashes, gear, shared, start, found);
        start += STRIPS * STRIP;
    }
    start
}

/// Find all candidates of a block, given the hashes before each strip.
fn scan_block<const STRIP: usize>(
    strips: &[[u8; STRIP]; STRIPS],
    mut hashes: [u64; STRIPS],
    gear: &[u64; 256],
    shared: u64,
    start: usize,
    found: &mut Vec<Candidate>,
) {
    let first = found.len();
    let mut at = 0;
    while at < STRIP {
        (at, hashes) = until_hit(strips, at, hashes, gear, shared);
        for (n, hash) in hashes
            .into_iter()
            .enumerate()
            .filter(|(_, hash)| hash & shared == 0)
        {
            found.push(Candidate {
                place: start + n * STRIP + at,
                hash,
            });
        }
        at += 1;
    }
    found[first..].sort_unstable_by_key(|candidate| candidate.place);
}

/// Go on from `at` until one of the hashes is a candidate, or the strips end. Alone, so that all it needs has a register.
#[inline(never)]
#[expect(clippy::needless_range_loop, reason = "it goes through four strips at once")]
fn until_hit<const STRIP: usize>(
    strips: &[[u8; STRIP]; STRIPS],
    at: usize,
    hashes: [u64; STRIPS],
    gear: &[u64; 256],
    shared: u64,
) -> (usize, [u64; STRIPS]) {
    let [mut a, mut b, mut c, mut d] = hashes;
    for at in at..STRIP {
        let step = |hash: u64, byte: u8| (hash << 1).wrapping_add(gear[usize::from(byte)]);
        a = step(a, strips[0][at]);
        b = step(b, strips[1][at]);
        c = step(c, strips[2][at]);
        d = step(d, strips[3][at]);
        if a & shared == 0 || b & shared == 0 || c & shared == 0 || d & shared == 0 {
            return (at, [a, b, c, d]);
        }
    }
    (STRIP, [u64::MAX; STRIPS])
}

/// The hash after some bytes.
fn warm(gear: &[u64; 256], bytes: &[u8]) -> u64 {
    bytes.iter().fold(0_u64, |hash, byte| {
        (hash << 1).wrapping_add(gear[usize::from(*byte)])
    })
}

#[cfg(test)]
mod tests {
    use super::Cutter;
    use crate::chunked::chunker::Profile;
    use fastcdc::v2020::{FastCDC, Normalization};
    use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};

    const LEVELS: [Normalization; 4] = [
        Normalization::Level0,
        Normalization::Level1,
        Normalization::Level2,
        Normalization::Level3,
    ];

    fn profile(normalization: u8, min: usize, average: usize, max: usize) -> Profile {
        Profile {
            normalization,
            min,
            average,
            max,
            ..Profile::DEFAULT
        }
    }

    fn assert_as_the_crate(bytes: &[u8], profile: Profile) {
        let level = LEVELS[usize::from(profile.normalization)];
        let expected: Vec<usize> =
            FastCDC::with_level(bytes, profile.min, profile.average, profile.max, level)
                .map(|chunk| chunk.length)
                .collect();
        let mut found = Vec::new();
        let take = |chunk: &[u8]| {
            found.push(chunk.len());
            Ok::<(), ()>(())
        };
        Cutter::new(profile)
            .cut(bytes, true, take)
            .expect("nothing fails");
        assert_eq!(found, expected, "{profile:?}, {} bytes", bytes.len());
    }

    /// Pieces of noise, of one byte, and of a short pattern, as files have them.
    fn content() -> impl Strategy<Value = Vec<u8>> {
        let noise = prop::collection::vec(any::<u8>(), 1..5_000).prop_map(|seed| {
            let mut state = 7_u64;
            let length = seed.len() * 40;
            (0..length)
                .map(|n| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(u64::from(seed[n % seed.len()]));
                    (state >> 56) as u8
                })
                .collect::<Vec<u8>>()
        });
        let flat = (any::<u8>(), 1usize..90_000).prop_map(|(byte, length)| vec![byte; length]);
        let pattern = (prop::collection::vec(any::<u8>(), 1..40), 1usize..90_000)
            .prop_map(|(pattern, length)| pattern.into_iter().cycle().take(length).collect());
        prop::collection::vec(prop_oneof![noise, flat, pattern], 0..4).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(96))]
        #[test]
        fn the_cuts_are_those_of_the_crate(
            bytes in content(),
            profile in prop_oneof![
                Just(Profile::DEFAULT),
                Just(profile(0, 64, 256, 1 << 10)),
                Just(profile(1, 64, 1 << 10, 64 << 10)),
                Just(profile(2, 256, 4 << 10, 16 << 10)),
                Just(profile(3, 4 << 10, 64 << 10, 256 << 10)),
                Just(profile(3, 16 << 10, 256 << 10, 1 << 20)),
            ],
        ) {
            assert_as_the_crate(&bytes, profile);
        }
    }
}
