//! MD5 that advances many files in step, on top of [`super::lanes`].
//!
//! Invariant: the digest of each file is that of RFC 1321 whatever the other lanes hold. Deliberately absent: reading.

use backlot_core::Md5;

use super::lanes::{self, BLOCK, START, State};

/// The MD5 of one file in progress.
#[derive(Clone, Debug)]
pub(crate) struct Md5Hasher {
    state: State,
    length: u64,
    tail: [u8; BLOCK],
    tail_length: usize,
}

/// How many files are worth advancing together on this machine.
pub(crate) fn width() -> usize {
    // Without SIMD lanes a few open files still overlap reading with hashing.
    lanes::width().max(4)
}

impl Default for Md5Hasher {
    fn default() -> Self {
        Self {
            state: START,
            length: 0,
            tail: [0; BLOCK],
            tail_length: 0,
        }
    }
}

impl Md5Hasher {
    /// Put bytes into an unfinished block. Returns what is left of them once it is full or they are used up.
    fn fill_tail<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        if self.tail_length == 0 {
            return bytes;
        }
        let taken = bytes.len().min(BLOCK - self.tail_length);
        self.tail[self.tail_length..self.tail_length + taken].copy_from_slice(&bytes[..taken]);
        self.tail_length += taken;
        if self.tail_length == BLOCK {
            let block = self.tail;
            lanes::compress(&mut [(&mut self.state, &block)], 1);
            self.tail_length = 0;
        }
        &bytes[taken..]
    }

    fn keep_tail(&mut self, bytes: &[u8]) {
        self.tail[..bytes.len()].copy_from_slice(bytes);
        self.tail_length = bytes.len();
    }

    /// Hash more of one file.
    #[cfg(test)]
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        update_many(&mut [(self, bytes)]);
    }

    /// The digest of all that was given.
    pub(crate) fn finish(mut self) -> Md5 {
        let bits = self.length.wrapping_mul(8);
        let mut padding = [0u8; 2 * BLOCK];
        let used = self.tail_length;
        padding[..used].copy_from_slice(&self.tail[..used]);
        padding[used] = 0x80;
        let blocks = if used < BLOCK - 8 { 1 } else { 2 };
        let end = blocks * BLOCK;
        padding[end - 8..end].copy_from_slice(&bits.to_le_bytes());
        lanes::compress(&mut [(&mut self.state, &padding)], blocks);
        let mut digest = [0; 16];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Md5::from_bytes(digest)
    }
}

/// Hash more of several files at once. Fastest where the pieces are of one length.
pub(crate) fn update_many(files: &mut [(&mut Md5Hasher, &[u8])]) {
    for (hasher, bytes) in files.iter_mut() {
        hasher.length += bytes.len() as u64;
        *bytes = hasher.fill_tail(bytes);
    }
    let lanes_width = lanes::width();
    loop {
        let mut active: Vec<&mut (&mut Md5Hasher, &[u8])> =
            files.iter_mut().filter(|f| f.1.len() >= BLOCK).collect();
        active.truncate(lanes_width.max(1));
        let Some(blocks) = active.iter().map(|f| f.1.len() / BLOCK).min() else {
            break;
        };
        let mut group: Vec<(&mut State, &[u8])> = active.iter_mut().map(|f| (&mut f.0.state, f.1)).collect();
        lanes::compress(&mut group, blocks);
        for file in active {
            file.1 = &file.1[blocks * BLOCK..];
        }
    }
    for (hasher, bytes) in files.iter_mut() {
        if !bytes.is_empty() {
            hasher.keep_tail(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Md5Hasher, update_many};
    use md5::{Digest as _, Md5};
    use proptest::prelude::{any, prop, proptest};

    proptest! {
        #[test]
        fn every_lane_gives_the_plain_digest(
            lengths in prop::collection::vec(0usize..3000, 1..20),
            cut in 0usize..3000,
            seed in any::<u8>(),
        ) {
            let data: Vec<Vec<u8>> = lengths
                .iter()
                .enumerate()
                .map(|(n, length)| (0..*length).map(|i| (i * 31 + n * 7).to_le_bytes()[0] ^ seed).collect())
                .collect();
            let mut hashers: Vec<Md5Hasher> = vec![Md5Hasher::default(); data.len()];
            for part in 0..2 {
                let mut files: Vec<(&mut Md5Hasher, &[u8])> = hashers
                    .iter_mut()
                    .zip(&data)
                    .map(|(h, d)| {
                        let at = cut.min(d.len());
                        (h, if part == 0 { &d[..at] } else { &d[at..] })
                    })
                    .collect();
                update_many(&mut files);
            }
            for (hasher, data) in hashers.into_iter().zip(&data) {
                let plain: [u8; 16] = Md5::digest(data).into();
                assert_eq!(hasher.finish().as_bytes(), &plain);
            }
        }
    }

    #[test]
    fn one_file_in_pieces_gives_the_plain_digest() {
        let mut hasher = Md5Hasher::default();
        for piece in [&b"abc"[..], b"", &[b'x'; 61], &[b'y'; 200]] {
            hasher.update(piece);
        }
        let mut plain = Md5::new();
        plain.update(b"abc");
        plain.update([b'x'; 61]);
        plain.update([b'y'; 200]);
        assert_eq!(hasher.finish().as_bytes()[..], plain.finalize()[..]);
    }
}
