//! Buffers of a push that are filled again.
//!
//! Memory that is given back and asked for all the time is cleared by the system each time. Invariant: what is kept is
//! bounded; a buffer that is taken is empty.

use std::sync::Mutex;

/// Large buffers to be filled again: giving memory back and asking for it costs more than compressing what is in it.
#[derive(Default)]
pub(super) struct Spares(Mutex<Vec<Vec<u8>>>);

impl Spares {
    /// Smaller ones are not worth keeping.
    const LEAST: usize = 128 << 10;
    /// Larger ones would be few and take much.
    const LARGEST: usize = 4 << 20;
    /// How many are kept: those of two batches.
    const MOST: usize = 64;

    /// An empty buffer for so many bytes.
    pub(super) fn take(&self, size: usize) -> Vec<u8> {
        let fits = |spare: &Vec<u8>| (size..=2 * size).contains(&spare.capacity());
        let spare = self
            .0
            .lock()
            .ok()
            .filter(|_| size >= Self::LEAST)
            .and_then(|mut spares| {
                let position = spares.iter().position(fits)?;
                Some(spares.swap_remove(position))
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
        let kept = (Self::LEAST..=Self::LARGEST).contains(&buffer.capacity());
        if let Ok(mut spares) = self.0.lock()
            && kept
        {
            if spares.len() == Self::MOST {
                spares.swap_remove(0);
            }
            spares.push(buffer);
        }
    }
}
