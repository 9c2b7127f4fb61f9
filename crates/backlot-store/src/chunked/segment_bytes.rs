//! The bytes of a segment: small ones are held in memory, large ones in an open file.
//!
//! A remote of many small pushes has many small segments. Each of them held open would cost a descriptor, of which a
//! process has 1,024 or fewer. Invariant: at most the segments above [`IN_MEMORY`] take a descriptor, and compaction
//! (`tiers.rs`) bounds their number. Deliberately absent: a memory map (see `table.rs`).

use std::io::{self, Read as _};
use std::path::Path;

use backlot_core::platform;
use fs_err as fs;

use super::wire::SEAL;

/// Segments up to this size, in bytes, are held in memory.
pub(super) const IN_MEMORY: u64 = 1 << 20;

/// A segment's bytes.
#[derive(Debug)]
pub(super) enum SegmentBytes {
    /// All of them.
    Memory(Vec<u8>),
    /// An open file that is never changed.
    File(fs::File),
}

impl SegmentBytes {
    /// Open a local file; a small one is read.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = fs::File::open(path)?;
        if file.metadata()?.len() > IN_MEMORY {
            return Ok(Self::File(file));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Self::Memory(bytes))
    }

    /// Their number.
    pub(super) fn len(&self) -> io::Result<u64> {
        match self {
            Self::Memory(bytes) => Ok(bytes.len() as u64),
            Self::File(file) => Ok(file.metadata()?.len()),
        }
    }

    /// Read from an offset on, as much as there is. Returns how much that was.
    pub(super) fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        match self {
            Self::Memory(bytes) => {
                let start = usize::try_from(at).map_or(bytes.len(), |at| at.min(bytes.len()));
                let count = into.len().min(bytes.len() - start);
                into[..count].copy_from_slice(&bytes[start..start + count]);
                Ok(count)
            }
            Self::File(file) => platform::read_at(file, into, at),
        }
    }

    /// Fill a buffer from an offset on.
    pub(super) fn read_exact_at(&self, into: &mut [u8], at: u64) -> io::Result<()> {
        match self {
            Self::Memory(_) => match self.read_at(into, at)? {
                count if count == into.len() => Ok(()),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            },
            Self::File(file) => platform::read_exact_at(file, into, at),
        }
    }

    /// A part of known length.
    pub(super) fn part(&self, at: u64, length: u64) -> io::Result<Vec<u8>> {
        // What is longer than the whole cannot be a part of it; a header that says so is not believed.
        let all = self.len()?;
        if at.checked_add(length).is_none_or(|end| end > all) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut part = vec![0; usize::try_from(length).map_err(|_| io::ErrorKind::UnexpectedEof)?];
        self.read_exact_at(&mut part, at)?;
        Ok(part)
    }

    /// The digest at the end: segments that have the same one are the same.
    pub(super) fn seal(&self) -> io::Result<[u8; SEAL]> {
        let mut seal = [0; SEAL];
        let at = self.len()?.checked_sub(SEAL as u64);
        self.read_exact_at(&mut seal, at.ok_or(io::ErrorKind::UnexpectedEof)?)?;
        Ok(seal)
    }
    /// The same of bytes that are no segment of a remote yet.
    pub(super) fn seal_of(bytes: &[u8]) -> Option<[u8; SEAL]> {
        bytes.last_chunk().copied()
    }
}
