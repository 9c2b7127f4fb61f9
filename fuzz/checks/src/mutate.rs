//! Inputs made of others: the same seed gives the same inputs on every machine.

/// Makes inputs out of seeds and words.
#[derive(Debug)]
pub struct Mutator {
    state: u64,
}

impl Mutator {
    /// A mutator of a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        }
    }

    /// Another input: one of the seeds, changed in one to eight places.
    pub fn mutate(&mut self, seeds: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
        let mut input = self.pick(seeds).cloned().unwrap_or_default();
        for _ in 0..=self.below(8) {
            self.change(&mut input, seeds, words);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&str]) {
        let at = self.below(input.len() + 1);
        let end = at + self.below((input.len() - at).min(64) + 1);
        match self.below(8) {
            0 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << (self.next() % 8);
                }
            }
            1 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = self.next().to_le_bytes()[0];
                }
            }
            2 => drop(input.drain(at..end)),
            3 => input.truncate(at),
            4 => {
                let part = input[at..end].to_vec();
                let to = self.below(input.len() + 1);
                drop(input.splice(to..to, part));
            }
            5 | 6 => {
                // Over what is there as often as between, so that lengths elsewhere stay right.
                let word = self.pick(words).copied().unwrap_or_default().as_bytes().to_vec();
                let end = if self.below(2) == 0 {
                    at
                } else {
                    (at + word.len()).min(input.len())
                };
                drop(input.splice(at..end, word));
            }
            _ => {
                let other = self.pick(seeds).cloned().unwrap_or_default();
                let from = self.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
    }

    fn pick<'t, T>(&mut self, all: &'t [T]) -> Option<&'t T> {
        if all.is_empty() {
            return None;
        }
        all.get(self.below(all.len()))
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(1);
        usize::try_from(self.next() % bound).unwrap_or(0)
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}
