//! The part of a file that is in memory: what was read and not cut yet, then what was read now.
//!
//! What was read now begins where a direct write can begin, whatever was left before it. Deliberately absent: reading.

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

    /// One in this memory that begins with what is left of the one before. What is read from now on is fresh.
    pub(super) fn of(mut memory: Vec<u8>, rest: &[u8]) -> Self {
        memory.clear();
        let start = to_alignment(memory.as_ptr().wrapping_add(rest.len()));
        memory.resize(start, 0);
        memory.extend_from_slice(rest);
        Self {
            start,
            fresh: memory.len(),
            memory,
        }
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
        let mut window = Window::default();
        let mut next = 0_u32;
        let mut held: Vec<u8> = Vec::new();
        for (more, less) in [(3_000, 1), (5_000, 7_000), (20, 1_019), (9_000, 9_000), (1, 0)] {
            let bytes: Vec<u8> = (next..next + more).map(|n| (n % 251) as u8).collect();
            next += more;
            let room = window.bytes().len() + bytes.len() + Window::SLACK;
            window = Window::of(Vec::with_capacity(room), window.bytes());
            assert_eq!((window.bytes(), window.fresh().len()), (&held[..], 0));
            window.end().extend_from_slice(&bytes);
            held.extend_from_slice(&bytes);
            assert_eq!((window.bytes(), window.fresh()), (&held[..], &bytes[..]));
            assert_eq!(to_alignment(window.fresh().as_ptr()), 0);
            held.drain(..less);
            window = Window::of(Vec::with_capacity(50_000), &window.bytes()[less..]);
        }
    }
}
