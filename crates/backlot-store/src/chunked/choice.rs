//! Which method each chunk gets.
//!
//! Trying all methods costs several times what compressing does, so it is done for a few chunks only. But files of one push, and
//! places in one file, differ: text beside pixels, positions beside indices. So each chunk is put into a class by a look at a
//! few hundred of its bytes: at which distance bytes resemble each other most. A trial counts for chunks of its class. The
//! more often trials agree, the rarer they get. Deliberately absent: what methods do ([`super::filter`]).

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};

use super::filter::{Coder, Method, Scheme};

/// Distances at which bytes may resemble each other: the widths of the numbers that can be rearranged.
const DISTANCES: [usize; 3] = [2, 4, 12];
/// Runs of bytes that are looked at, spread over the chunk.
const RUNS: usize = 8;
/// Bytes of a run.
const RUN: usize = 64;
/// Chunks of a class between two trials: so many at first and after one that found something else, and at most.
const OFTEN: usize = 32;
const SELDOM: usize = 256;

/// What was found to pay, for all cores together.
#[derive(Debug)]
pub(super) struct Choice {
    classes: [Class; DISTANCES.len() + 1],
}

#[derive(Debug)]
struct Class {
    /// The method that won the last trial.
    method: AtomicU8,
    /// How many chunks there were.
    seen: AtomicUsize,
    /// How many there are between two trials.
    every: AtomicUsize,
}

impl Choice {
    pub(super) fn new() -> Self {
        Self {
            classes: std::array::from_fn(|_| Class {
                method: AtomicU8::new(Method::FIRST.byte()),
                seen: AtomicUsize::new(0),
                every: AtomicUsize::new(OFTEN),
            }),
        }
    }

    /// Store a chunk behind `out` by what is thought best for it.
    pub(super) fn encode(&self, chunk: &[u8], out: &mut Vec<u8>) -> std::io::Result<Scheme> {
        let class = &self.classes[class_of(chunk)];
        Coder::with(|coder| {
            let method = class.method(chunk, coder);
            coder.encode(chunk, method, out)
        })
    }
}

impl Class {
    fn method(&self, chunk: &[u8], coder: &mut Coder) -> Method {
        let every = self.every.load(Relaxed);
        if self.seen.fetch_add(1, Relaxed).is_multiple_of(every) {
            // Where nothing helps, nothing is learnt.
            if let Some(best) = coder.best_for(chunk) {
                let agrees = self.method.swap(best.byte(), Relaxed) == best.byte();
                let next = if agrees { (2 * every).min(SELDOM) } else { OFTEN };
                self.every.store(next, Relaxed);
            }
        }
        Method::from_byte(self.method.load(Relaxed))
    }
}

/// The distance at which differences between bytes are most alike, by its place in [`DISTANCES`] from 1 on; 0 if the bytes
/// themselves are more alike than any differences.
fn class_of(chunk: &[u8]) -> usize {
    const MARGIN: usize = DISTANCES[DISTANCES.len() - 1];
    let mut counts = [[0_u16; 256]; DISTANCES.len() + 1];
    let step = (chunk.len() / RUNS).max(MARGIN + RUN);
    for part in chunk.chunks_exact(step).take(RUNS) {
        for at in MARGIN..MARGIN + RUN {
            let byte = part[at];
            counts[0][usize::from(byte)] += 1;
            for (counts, distance) in counts[1..].iter_mut().zip(DISTANCES) {
                counts[usize::from(byte.wrapping_sub(part[at - distance]))] += 1;
            }
        }
    }
    let alike = |counts: &[u16; 256]| -> u32 { counts.iter().map(|n| u32::from(*n).pow(2)).sum() };
    let mut best = 0;
    let mut most = alike(&counts[0]);
    for (class, counts) in counts.iter().enumerate().skip(1) {
        let found = alike(counts);
        if found > most {
            (best, most) = (class, found);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::{Choice, Coder, OFTEN, Relaxed, SELDOM, Scheme, class_of};

    fn text(n: u16) -> Vec<u8> {
        (0..2_000)
            .map(|line| format!("{{\"frame\": {n}, \"at\": {line}, \"layer\": \"beauty\"}}\n"))
            .collect::<String>()
            .into_bytes()
    }

    fn halves(n: u16) -> Vec<u8> {
        (0..30_000_u16)
            .flat_map(|i| (15_000 + n + i / 7 + (i.wrapping_mul(i) >> 9) % 3).to_le_bytes())
            .collect()
    }

    fn positions(n: u16) -> Vec<u8> {
        (0..5_000_u16)
            .flat_map(|i| {
                let at = f32::from(n) * 5.0 + f32::from(i) / 1000.0;
                [at.sin() * 100.0, at.cos() * 3.0, at * 0.1].map(f32::to_le_bytes)
            })
            .flatten()
            .collect()
    }

    #[test]
    fn classes_are_told_apart_by_a_look() {
        assert_eq!(class_of(&text(3)), 0);
        assert_eq!(class_of(&halves(3)), 1);
        assert_eq!(class_of(&positions(3)), 3);
        assert_eq!(class_of(&[]), 0);
        assert_eq!(class_of(&[7; 100]), 0);
    }

    /// How chunks of some kinds by turns are stored, and how many bytes each kind takes.
    fn stored(kinds: &[fn(u16) -> Vec<u8>]) -> Vec<(Vec<Scheme>, usize)> {
        let choice = Choice::new();
        let mut all = vec![(Vec::new(), 0); kinds.len()];
        for n in 0..100 {
            for (kind, (schemes, bytes)) in kinds.iter().zip(&mut all) {
                let mut out = Vec::new();
                schemes.push(choice.encode(&kind(n), &mut out).expect("encoded"));
                *bytes += out.len();
            }
        }
        all
    }

    #[test]
    fn trials_get_rare_while_they_agree_and_frequent_again_when_not() {
        let choice = Choice::new();
        let class = &choice.classes[0];
        let show = |chunk: &[u8]| Coder::with(|coder| class.method(chunk, coder)).expect("a coder");
        let every = || class.every.load(Relaxed);
        assert_eq!(show(&text(0)).scheme, Scheme::Zstd);
        assert_eq!(every(), OFTEN);
        for n in 0..1_000 {
            show(&text(n));
        }
        assert_eq!(every(), SELDOM);
        let other = (0..256).find(|n| show(&halves(*n)).scheme != Scheme::Zstd);
        assert!(other.is_some());
        assert_eq!(every(), OFTEN);
    }

    #[test]
    fn kinds_of_chunks_by_turns_each_get_what_they_get_alone() {
        let kinds: [fn(u16) -> Vec<u8>; 3] = [text, halves, positions];
        let alone: Vec<_> = kinds.iter().flat_map(|kind| stored(&[*kind])).collect();
        assert_eq!(stored(&kinds), alone);
        assert!(alone[0].0.iter().all(|scheme| *scheme == Scheme::Zstd));
        assert!(
            alone[1..]
                .iter()
                .all(|(schemes, _)| !schemes.contains(&Scheme::Zstd))
        );
    }
}
