//! Buffers of a push that are filled again.
//!
//! Memory that is given back and asked for all the time is cleared by the system each time. Invariant: what is kept is
//! bounded; a buffer that is taken is empty.

use std::sync::Mutex;

/// Large buffers to be filled again: giving memory back and asking for it costs more than compressing what is in it.
pub(super) struct BufferPool {
    kept: Mutex<Kept>,
    /// How much is kept.
    most: usize,
}

#[derive(Default)]
struct Kept {
    buffers: Vec<Vec<u8>>,
    /// What they hold together.
    bytes: usize,
}

impl BufferPool {
    /// Smaller ones are not worth keeping.
    const LEAST: usize = 128 << 10;
    /// Sizes are multiples of this, so that buffers for about as much are interchangeable.
    const STEP: usize = 256 << 10;

    /// For batches of so many bytes: what was read of two, and what was packed of one.
    pub(super) fn of_batches(bytes: usize) -> Self {
        Self {
            kept: Mutex::default(),
            most: 3 * bytes,
        }
    }

    /// An empty buffer for so many bytes.
    pub(super) fn take(&self, size: usize) -> Vec<u8> {
        let size = match size {
            0..Self::LEAST => size,
            large => large.next_multiple_of(Self::STEP),
        };
        let fits = |spare: &Vec<u8>| (size..=2 * size).contains(&spare.capacity());
        let spare = self
            .kept
            .lock()
            .ok()
            .filter(|_| size >= Self::LEAST)
            .and_then(|mut kept| {
                let position = kept.buffers.iter().position(fits)?;
                let spare = kept.buffers.swap_remove(position);
                kept.bytes -= spare.capacity();
                Some(spare)
            });
        spare.map_or_else(
            || Vec::with_capacity(size),
            |mut spare| {
                spare.clear();
                spare
            },
        )
    }

    /// Keep a buffer, if it is of a size that pays.
    pub(super) fn give(&self, buffer: Vec<u8>) {
        if buffer.capacity() < Self::LEAST {
            return;
        }
        if let Ok(mut kept) = self.kept.lock() {
            kept.bytes += buffer.capacity();
            kept.buffers.push(buffer);
            while kept.bytes > self.most {
                // The one that nobody asked for for the longest time, about.
                kept.bytes -= kept.buffers.swap_remove(0).capacity();
            }
        }
    }
}
