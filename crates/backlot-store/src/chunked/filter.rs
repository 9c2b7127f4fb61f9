//! How one chunk is stored: raw, or as zstd frames, of its bytes or of a byte-shuffled, delta-coded arrangement of them.
//!
//! Half and float pixels compress twice as well when equal bytes of neighbouring numbers lie together and only their
//! differences are stored (measured in `benches/README.md`). Which width pays is tried on a sample, every so many chunks
//! ([`super::choice`]).
//! What is noise in a chunk ([`super::regions`]) gets a frame of its own that is not compressed, which readers need not know.
//! Invariants: decoding needs the scheme byte and the raw length only; what does not shrink by 2 % is stored raw.

use std::io::Cursor;

use super::regions::{self, Region};
use super::wire::Malformed;

/// zstd's fastest standard level: shuffled data gains little above it.
const LEVEL: i32 = 1;
/// A level that finds repetitions only, and does not look for bytes that are more frequent than others: twice as fast.
const QUICK: i32 = -1;
/// What is quicker is taken where it gives no more than so many hundredths of what is slower.
const QUICK_ENOUGH: usize = 102;
/// Regions are told apart where that gives no more than so many thousandths of what one frame does.
const SPLIT_ENOUGH: usize = 1005;
/// Bytes are rearranged where that stores at least one part of so many of the raw bytes less: it costs time on both
/// sides, and a sample of text between noise is a little smaller by chance.
const REARRANGED_GAINS: usize = 16;
/// How much of a chunk a trial looks at.
const SAMPLE: usize = 16 << 10;
/// A chunk is stored raw unless it shrinks to less than this many hundredths.
const WORTH_IT: usize = 98;

/// How a chunk is stored; the byte is part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Scheme {
    Raw = 0,
    Zstd = 1,
    /// Bytes at each position of 2-byte numbers together, each replaced by its difference to the one before.
    Shuffle2 = 2,
    /// The same for 4-byte numbers.
    Shuffle4 = 4,
    /// The same for three 4-byte numbers (positions, normals).
    Shuffle12 = 12,
}

impl Scheme {
    pub(super) fn from_byte(byte: u8) -> Result<Self, Malformed> {
        match byte {
            0 => Ok(Self::Raw),
            1 => Ok(Self::Zstd),
            2 => Ok(Self::Shuffle2),
            4 => Ok(Self::Shuffle4),
            12 => Ok(Self::Shuffle12),
            _ => Err("it uses a chunk encoding that this version does not support"),
        }
    }
    pub(super) const fn byte(self) -> u8 {
        self as u8
    }
    /// The width of the numbers it rearranges.
    const fn width(self) -> usize {
        match self {
            Self::Raw | Self::Zstd => 1,
            Self::Shuffle2 => 2,
            Self::Shuffle4 => 4,
            Self::Shuffle12 => 12,
        }
    }
}

/// What a writer does to chunks. Readers need the scheme only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Method {
    pub(super) scheme: Scheme,
    /// Whether zstd only looks for repetitions.
    pub(super) quick: bool,
    /// Whether noise is told apart, and not compressed.
    pub(super) split: bool,
}

impl Method {
    /// What is done until a trial finds something better.
    pub(super) const FIRST: Self = Self {
        scheme: Scheme::Zstd,
        quick: true,
        split: true,
    };

    /// As one byte, to be shared between threads.
    pub(super) fn byte(self) -> u8 {
        self.scheme.byte() | u8::from(self.quick) << 7 | u8::from(self.split) << 6
    }

    pub(super) fn from_byte(byte: u8) -> Self {
        Scheme::from_byte(byte & 0x3f).map_or(Self::FIRST, |scheme| Self {
            scheme,
            quick: byte & 0x80 != 0,
            split: byte & 0x40 != 0,
        })
    }
}

/// The buffers and contexts of one thread that encodes or decodes.
pub(super) struct Coder {
    compressor: zstd::bulk::Compressor<'static>,
    quick: zstd::bulk::Compressor<'static>,
    decompressor: zstd::bulk::Decompressor<'static>,
    shuffled: Vec<u8>,
    /// Of what was encoded last.
    regions: Vec<Region>,
}

impl std::fmt::Debug for Coder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coder").finish_non_exhaustive()
    }
}

impl Coder {
    pub(super) fn new() -> std::io::Result<Self> {
        let new = |level| {
            let mut compressor = zstd::bulk::Compressor::new(level)?;
            // The length is in the chunk's record already.
            compressor.include_contentsize(false)?;
            Ok::<_, std::io::Error>(compressor)
        };
        Ok(Self {
            compressor: new(LEVEL)?,
            quick: new(QUICK)?,
            decompressor: zstd::bulk::Decompressor::new()?,
            shuffled: Vec::new(),
            regions: Vec::new(),
        })
    }

    /// Work with this thread's own coder: making one costs more than using it for a small chunk.
    pub(super) fn with<T>(work: impl FnOnce(&mut Self) -> T) -> std::io::Result<T> {
        thread_local! {
            static CODER: std::cell::RefCell<Option<Coder>> = const { std::cell::RefCell::new(None) };
        }
        CODER.with_borrow_mut(|slot| match slot {
            Some(coder) => Ok(work(coder)),
            None => Ok(work(slot.insert(Self::new()?))),
        })
    }

    /// What makes a chunk smallest, or nearly so and quicker; `None` if nothing makes it smaller at all.
    pub(super) fn best_for(&mut self, chunk: &[u8]) -> Option<Method> {
        let sample = self.sample(chunk);
        let worth = sample.len() * WORTH_IT / 100;
        let mut size = |scheme| {
            let method = Method {
                scheme,
                quick: false,
                split: false,
            };
            let packed = self.compressed(sample, method).filter(|packed| *packed < worth)?;
            Some((packed, method))
        };
        let plain = size(Scheme::Zstd);
        let limit = plain
            .map_or(sample.len(), |(packed, _)| packed)
            .saturating_sub(sample.len() / REARRANGED_GAINS);
        let rearranged = [Scheme::Shuffle2, Scheme::Shuffle4, Scheme::Shuffle12]
            .into_iter()
            .filter_map(size)
            .min_by_key(|(packed, _)| *packed)
            .filter(|(packed, _)| *packed < limit);
        let (_, whole) = rearranged.or(plain)?;
        Some(self.quickest_for(chunk, whole))
    }

    /// What a trial looks at: the middle, which is less likely to hold a header than the start, of what is not noise.
    fn sample<'a>(&mut self, chunk: &'a [u8]) -> &'a [u8] {
        regions::split(chunk, &mut self.regions);
        let longest = self
            .regions
            .iter()
            .filter(|region| !region.noise)
            .map(|region| region.range.clone())
            .max_by_key(ExactSizeIterator::len);
        let part = &chunk[longest.unwrap_or(0..chunk.len())];
        let start = (part.len().saturating_sub(SAMPLE) / 2) / 48 * 48;
        &part[start..(start + SAMPLE).min(part.len())]
    }

    /// Whether noise is told apart and zstd only looks for repetitions. A sample would not tell: what is frequent in a part of
    /// a chunk may not be in the whole.
    fn quickest_for(&mut self, chunk: &[u8], whole: Method) -> Method {
        let mut size = |method| {
            let packed = self.compressed(chunk, method).unwrap_or(chunk.len());
            let noise = |region: &Region| if region.noise { region.range.len() } else { 0 };
            (packed, self.regions.iter().map(noise).sum::<usize>())
        };
        let split = Method { split: true, ..whole };
        let (in_one, _) = size(whole);
        let (in_parts, noise) = size(split);
        let (method, full, noise) = if in_parts <= in_one * SPLIT_ENOUGH / 1000 {
            (split, in_parts, noise)
        } else {
            (whole, in_one, 0)
        };
        let quick = Method {
            quick: true,
            ..method
        };
        // What is noise is as long either way, and hides the difference.
        let without = |packed: usize| packed.saturating_sub(noise);
        let (packed, _) = size(quick);
        if without(packed) <= without(full) * QUICK_ENOUGH / 100 {
            quick
        } else {
            method
        }
    }

    /// Store a chunk behind `out`, or raw if what is to be done does not pay.
    pub(super) fn encode(&mut self, chunk: &[u8], method: Method, out: &mut Vec<u8>) -> Scheme {
        let scheme = method.scheme;
        if scheme != Scheme::Raw {
            let Self {
                compressor,
                quick,
                shuffled,
                regions,
                ..
            } = self;
            let compressor = if method.quick { quick } else { compressor };
            let input = if scheme.width() == 1 {
                chunk
            } else {
                shuffle(chunk, scheme.width(), shuffled)
            };
            if method.split {
                regions::split(input, regions);
            } else {
                regions.clear();
                regions.push(Region {
                    range: 0..input.len(),
                    noise: false,
                });
            }
            let start = out.len();
            for region in regions {
                add_frame(&input[region.range.clone()], region.noise, compressor, out);
            }
            if out.len() - start < chunk.len() * WORTH_IT / 100 {
                return scheme;
            }
            out.truncate(start);
        }
        out.extend_from_slice(chunk);
        Scheme::Raw
    }

    fn compressed(&mut self, bytes: &[u8], method: Method) -> Option<usize> {
        let mut out = Vec::with_capacity(bytes.len());
        (self.encode(bytes, method, &mut out) != Scheme::Raw).then_some(out.len())
    }

    /// The bytes of a stored chunk. Whether they are the right ones is for the caller to prove.
    pub(super) fn decode(
        &mut self,
        stored: &[u8],
        scheme: Scheme,
        raw_length: usize,
        into: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        let start = into.len();
        if scheme == Scheme::Raw {
            if stored.len() != raw_length {
                return Err("the length of a chunk does not match its record");
            }
            into.extend_from_slice(stored);
            return Ok(());
        }
        let wrong = "a chunk cannot be unpacked";
        if scheme.width() == 1 {
            let found = self
                .decompressor
                .decompress_to_buffer(stored, &mut room(into, raw_length));
            return if found.is_ok_and(|n| n == raw_length) {
                Ok(())
            } else {
                into.truncate(start);
                Err(wrong)
            };
        }
        self.shuffled.clear();
        match self
            .decompressor
            .decompress_to_buffer(stored, &mut room(&mut self.shuffled, raw_length))
        {
            Ok(n) if n == raw_length => {
                unshuffle(&mut self.shuffled, scheme.width(), into);
                Ok(())
            }
            _ => Err(wrong),
        }
    }
}

/// Append a zstd frame: compressed, unless its bytes are noise or do not shrink.
fn add_frame(bytes: &[u8], noise: bool, compressor: &mut zstd::bulk::Compressor<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    if !noise
        && compressor
            .compress_to_buffer(bytes, &mut room(out, bytes.len()))
            .is_ok_and(|packed| packed < bytes.len())
    {
        return;
    }
    out.truncate(start);
    add_raw_frame(bytes, out);
}

/// Append a zstd frame of raw blocks (RFC 8878, 3.1.1): no content size, no checksum, a window of one block.
fn add_raw_frame(bytes: &[u8], out: &mut Vec<u8>) {
    const MOST: usize = 128 << 10;
    const WINDOW: u8 = 7 << 3;
    out.extend_from_slice(&[0x28, 0xb5, 0x2f, 0xfd, 0, WINDOW]);
    let mut blocks = bytes.chunks(MOST).peekable();
    while let Some(block) = blocks.next() {
        let last = u32::from(blocks.peek().is_none());
        let header = (super::wire::small(block.len()) << 3 | last).to_le_bytes();
        out.extend_from_slice(&header[..3]);
        out.extend_from_slice(block);
    }
}

/// Room for so many bytes behind what a buffer has.
fn room(buffer: &mut Vec<u8>, bytes: usize) -> Cursor<&mut Vec<u8>> {
    buffer.reserve(bytes);
    let end = buffer.len() as u64;
    let mut room = Cursor::new(buffer);
    room.set_position(end);
    room
}

/// Bytes 0 of all numbers, then bytes 1, ...; each as the difference to the one before. An incomplete last number stays
/// as it is at the end.
fn shuffle<'a>(bytes: &[u8], width: usize, out: &'a mut Vec<u8>) -> &'a [u8] {
    let count = bytes.len() / width;
    // Every byte is written below, so what an earlier chunk left is not cleared.
    if out.len() < bytes.len() {
        out.resize(bytes.len(), 0);
    }
    let out = &mut out[..bytes.len()];
    let (whole, rest) = bytes.split_at(count * width);
    let (planes, tail) = out.split_at_mut(count * width);
    tail.copy_from_slice(rest);
    if count == 0 {
        return out;
    }
    if width == 2 {
        let (low, high) = planes.split_at_mut(count);
        let mut before = [0, 0];
        for ((pair, low), high) in whole.as_chunks::<2>().0.iter().zip(low).zip(high) {
            *low = pair[0].wrapping_sub(before[0]);
            *high = pair[1].wrapping_sub(before[1]);
            before = *pair;
        }
        return out;
    }
    for (position, plane) in planes.chunks_exact_mut(count).enumerate() {
        let mut before = 0;
        for (number, slot) in whole.chunks_exact(width).zip(plane) {
            *slot = number[position].wrapping_sub(before);
            before = number[position];
        }
    }
    out
}

/// The inverse of [`shuffle`], appended to `out`.
fn unshuffle(planes: &mut [u8], width: usize, out: &mut Vec<u8>) {
    let count = planes.len() / width;
    let start = out.len();
    out.resize(start + planes.len(), 0);
    let (planes, rest) = planes.split_at_mut(count * width);
    let (whole, tail) = out[start..].split_at_mut(count * width);
    tail.copy_from_slice(rest);
    if count == 0 {
        return;
    }
    if width == 2 {
        let (low, high) = planes.split_at(count);
        let mut sum = [0u8, 0u8];
        for ((pair, low), high) in whole.as_chunks_mut::<2>().0.iter_mut().zip(low).zip(high) {
            sum = [sum[0].wrapping_add(*low), sum[1].wrapping_add(*high)];
            *pair = sum;
        }
        return;
    }
    for (position, plane) in planes.chunks_exact(count).enumerate() {
        let mut sum = 0u8;
        for (number, difference) in whole.chunks_exact_mut(width).zip(plane) {
            sum = sum.wrapping_add(*difference);
            number[position] = sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Coder, Method, Scheme};
    use proptest::prelude::{any, prop, proptest};

    const ALL: [Scheme; 5] = [
        Scheme::Raw,
        Scheme::Zstd,
        Scheme::Shuffle2,
        Scheme::Shuffle4,
        Scheme::Shuffle12,
    ];

    fn methods(scheme: Scheme) -> [Method; 4] {
        [(false, false), (false, true), (true, false), (true, true)].map(|(quick, split)| Method {
            scheme,
            quick,
            split,
        })
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_le_bytes()[7]
        };
        (0..length).map(|_| next()).collect()
    }

    fn lines() -> Vec<u8> {
        (0..2_000)
            .map(|n| format!("{{\"frame\": 7, \"at\": {n}, \"layer\": \"beauty\"}}\n"))
            .collect::<String>()
            .into_bytes()
    }

    proptest! {
        #[test]
        fn every_scheme_gives_back_what_it_was_given(
            seed in prop::collection::vec(any::<u8>(), 1..40),
            length in 0usize..5000,
        ) {
            let chunk: Vec<u8> = seed.iter().copied().cycle().take(length).collect();
            let mut coder = Coder::new().expect("a coder");
            for method in ALL.into_iter().flat_map(methods) {
                assert_eq!(Scheme::from_byte(method.scheme.byte()), Ok(method.scheme));
                assert_eq!(Method::from_byte(method.byte()), method);
                let mut stored = Vec::new();
                let used = coder.encode(&chunk, method, &mut stored);
                assert!(stored.len() <= chunk.len());
                let mut back = vec![9];
                coder.decode(&stored, used, chunk.len(), &mut back).expect("decoded");
                assert_eq!(back[1..], chunk);
            }
        }

        #[test]
        fn stored_nonsense_is_refused_not_believed(
            stored in prop::collection::vec(any::<u8>(), 0..200),
            length in 0usize..3000,
        ) {
            let mut coder = Coder::new().expect("a coder");
            for scheme in ALL {
                let mut back = Vec::new();
                if coder.decode(&stored, scheme, length, &mut back).is_ok() {
                    assert_eq!(back.len(), length);
                } else {
                    assert!(back.is_empty());
                }
            }
        }
    }

    #[test]
    fn smooth_halves_are_shuffled_and_noise_is_stored_raw() {
        let mut coder = Coder::new().expect("a coder");
        let smooth: Vec<u8> = (0..40_000u16)
            .flat_map(|i| (15_000 + i / 7 + (i.wrapping_mul(i) >> 9) % 3).to_le_bytes())
            .collect();
        assert_eq!(
            coder.best_for(&smooth).map(|best| (best.scheme, best.quick)),
            Some((Scheme::Shuffle2, false))
        );
        let best = coder.best_for(&lines()).expect("text shrinks");
        assert_eq!(best.scheme, Scheme::Zstd);
        let noise = noise(60_000);
        assert_eq!(coder.best_for(&noise), None);
        assert_eq!(coder.encode(&noise, Method::FIRST, &mut Vec::new()), Scheme::Raw);
    }

    #[test]
    fn noise_beside_text_is_told_apart_and_both_are_smaller_for_it() {
        let mut coder = Coder::new().expect("a coder");
        let text = lines();
        let mixed = [&text[..40_000], &noise(150_000), &text[40_000..]].concat();
        let best = coder.best_for(&mixed).expect("it shrinks");
        assert!(best.split && best.scheme == Scheme::Zstd, "{best:?}");
        let mut size = |method| coder.compressed(&mixed, method).expect("it shrinks");
        let whole = Method { split: false, ..best };
        let (split, whole) = (size(best), size(whole));
        assert!(split < whole, "{split} {whole}");
        let mut stored = Vec::new();
        let scheme = coder.encode(&mixed, best, &mut stored);
        let mut back = Vec::new();
        coder
            .decode(&stored, scheme, mixed.len(), &mut back)
            .expect("decoded");
        assert_eq!(back, mixed);
        // A decoder that knows nothing of us reads it too.
        assert_eq!(zstd::decode_all(stored.as_slice()).expect("decoded"), mixed);
    }

    #[test]
    fn what_repeats_evenly_spread_bytes_is_compressed_whole() {
        let mut coder = Coder::new().expect("a coder");
        let tiles = noise(10_000).repeat(12);
        let best = coder.best_for(&tiles).expect("it shrinks");
        assert!(!best.split, "{best:?}");
        assert!(coder.compressed(&tiles, best).expect("it shrinks") < 2 * 10_000);
    }
}
