//! The part of a file that is in memory: what was read and not cut yet, then what was read now.
//!
//! What was read now begins where a direct write can begin, whatever was left before it. Invariant: bytes are given up from
//! the front only, and stay in order. Deliberately absent: reading.

use super::direct::{ALIGNMENT, to_alignment};

/// Bytes in the order of their file.
#[derive(Debug, Default)]
pub(super) struct Window {
    memory: Vec<u8>,
    /// Where the bytes begin.
    start: usize,
    /// Where those that were read now begin.
    fresh: usize,
}

impl Window {
    /// Beside what is to be held: the most that is lost to alignment.
    pub(super) const SLACK: usize = ALIGNMENT;

    /// An empty one in this memory.
    pub(super) fn of(mut memory: Vec<u8>) -> Self {
        memory.clear();
        let mut window = Self {
            memory,
            ..Self::default()
        };
        window.give_up(0);
        window
    }

    /// Give up the first bytes. What is read from now on is fresh.
    pub(super) fn give_up(&mut self, bytes: usize) {
        let rest = self.start + bytes..self.memory.len();
        let length = rest.len();
        self.start = to_alignment(self.memory.as_ptr().wrapping_add(length));
        self.fresh = self.start + length;
        if self.memory.len() < self.fresh {
            self.memory.resize(self.fresh, 0);
        }
        self.memory.copy_within(rest, self.start);
        self.memory.truncate(self.fresh);
    }

    /// All bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.memory[self.start..]
    }

    /// Those that were read now.
    pub(super) fn fresh(&self) -> &[u8] {
        &self.memory[self.fresh..]
    }

    /// Where more are appended; nothing else may be done to it.
    pub(super) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.memory
    }

    /// Whether it never had any memory.
    pub(super) fn is_unused(&self) -> bool {
        self.memory.capacity() == 0
    }

    /// The memory, to be used again.
    pub(super) fn into_memory(self) -> Vec<u8> {
        self.memory
    }
}

#[cfg(test)]
mod tests {
    use super::super::direct::to_alignment;
    use super::Window;

    #[test]
    fn what_is_left_stays_in_order_and_what_comes_is_aligned() {
        let mut window = Window::of(Vec::with_capacity(50_000));
        let mut next = 0_u32;
        let mut held: Vec<u8> = Vec::new();
        for (more, less) in [(3_000, 1), (5_000, 7_000), (20, 1_019), (9_000, 9_000), (1, 0)] {
            let bytes: Vec<u8> = (next..next + more).map(|n| (n % 251) as u8).collect();
            next += more;
            window.end().extend_from_slice(&bytes);
            held.extend_from_slice(&bytes);
            assert_eq!((window.bytes(), window.fresh()), (&held[..], &bytes[..]));
            assert_eq!(to_alignment(window.fresh().as_ptr()), 0);
            window.give_up(less);
            held.drain(..less);
            assert_eq!((window.bytes(), window.fresh().len()), (&held[..], 0));
        }
    }
}
