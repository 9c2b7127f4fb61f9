//! Limits against hostile images, and the memory that frames at work may take together.
//!
//! Invariant: the size of an image is judged by its header, before anything of that size is allocated. A frame that alone
//! is larger than the memory waits until it is the only one.

use std::num::NonZeroUsize;
use std::sync::{Condvar, Mutex, PoisonError};

use backlot_core::text;

use crate::error::Trouble;

/// The limits of one image, and of all concurrent work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most pixels of an image, and of an EXR file also of its display window: 16384 x 16384.
    pub pixels: u64,
    /// The most bytes of all channels and parts of an image when decoded: 16 GiB.
    pub bytes: u64,
    /// The most bytes of a PNG or JPEG file, which is held whole: 2 GiB.
    pub file: u64,
    /// The memory for decoded frames that are at work at the same time: 4 GiB.
    pub memory: u64,
    /// Frames at work at the same time; all cores if not given.
    pub jobs: Option<NonZeroUsize>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pixels: 16_384 * 16_384,
            bytes: 16 << 30,
            file: 2 << 30,
            memory: 4 << 30,
            jobs: None,
        }
    }
}

impl Limits {
    /// Refuse an image by its size.
    pub(crate) fn check_pixels(&self, width: u64, height: u64) -> Result<(), Trouble> {
        match width.checked_mul(height) {
            Some(pixels) if pixels <= self.pixels => Ok(()),
            _ => Err(Trouble::TooLarge(format!(
                "{width} x {height}, more than {} pixels",
                self.pixels
            ))),
        }
    }

    /// Refuse a file that would have to be held whole.
    pub(crate) fn check_file(&self, bytes: u64) -> Result<(), Trouble> {
        if bytes <= self.file {
            return Ok(());
        }
        Err(Trouble::TooLarge(format!(
            "a file of {}, more than {}",
            text::bytes(bytes),
            text::bytes(self.file)
        )))
    }

    /// Refuse an image by its decoded bytes; `None` if they cannot be counted.
    pub(crate) fn check_bytes(&self, bytes: Option<u64>) -> Result<(), Trouble> {
        let most = text::bytes(self.bytes);
        match bytes {
            Some(bytes) if bytes <= self.bytes => Ok(()),
            Some(bytes) => Err(Trouble::TooLarge(format!(
                "{} decoded, more than {most}",
                text::bytes(bytes)
            ))),
            None => Err(Trouble::TooLarge(format!("more than {most} decoded"))),
        }
    }
}

/// Memory that is shared by the frames at work.
#[derive(Debug)]
pub(crate) struct Memory {
    total: u64,
    used: Mutex<u64>,
    freed: Condvar,
}

/// A share of the memory; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    memory: &'a Memory,
    bytes: u64,
}

impl Memory {
    pub(crate) fn new(total: u64) -> Self {
        Self {
            total,
            used: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// Wait until a number of bytes is free, or all of the memory is.
    pub(crate) fn take(&self, bytes: u64) -> Share<'_> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        while *used > 0 && used.saturating_add(bytes) > self.total {
            used = self.freed.wait(used).unwrap_or_else(PoisonError::into_inner);
        }
        *used = used.saturating_add(bytes);
        Share { memory: self, bytes }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut used = self.memory.used.lock().unwrap_or_else(PoisonError::into_inner);
        *used = used.saturating_sub(self.bytes);
        self.memory.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Limits, Memory};

    #[test]
    fn sizes_that_overflow_are_too_large_as_well() {
        let limits = Limits::default();
        assert!(limits.check_pixels(16_384, 16_384).is_ok());
        assert!(limits.check_pixels(16_384, 16_385).is_err());
        assert!(limits.check_pixels(u64::MAX, 2).is_err());
        assert!(limits.check_bytes(None).is_err());
    }

    #[test]
    fn no_more_memory_is_taken_than_there_is_but_for_one_that_is_larger() {
        let memory = Memory::new(100);
        let (now, most) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for bytes in [40, 50, 60, 70, 500, 10, 30] {
                let (memory, now, most) = (&memory, &now, &most);
                scope.spawn(move || {
                    let _share = memory.take(bytes);
                    let together = now.fetch_add(bytes, Ordering::SeqCst) + bytes;
                    most.fetch_max(if together == 500 { 0 } else { together }, Ordering::SeqCst);
                    std::thread::sleep(std::time::Duration::from_millis(3));
                    now.fetch_sub(bytes, Ordering::SeqCst);
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 100);
    }
}
