//! Holes in files: blocks of zeros that a sparse file does not store stay unstored in its copies.
//!
//! Invariant: what is read from a copy is what was read from the file; only what it takes of the disk differs. Deliberately
//! absent: making holes where a file has none.

use std::io::{self, Seek as _, SeekFrom, Write as _};

use fs_err as fs;

/// What is looked at as one; a multiple of any disk's blocks.
const BLOCK: usize = 64 * 1024;
static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Append to a file, but only move on over zeros. The file's length has to be set in the end.
pub(crate) fn append(file: &mut fs::File, bytes: &[u8]) -> io::Result<()> {
    for block in bytes.chunks(BLOCK) {
        if *block == ZEROS[..block.len()] {
            file.seek(SeekFrom::Current(i64::try_from(block.len()).unwrap_or_default()))?;
        } else {
            file.write_all(block)?;
        }
    }
    Ok(())
}

/// Write into a file that has its length and nothing but a hole at this place.
#[cfg(unix)]
pub(crate) fn write_at(file: &fs::File, bytes: &[u8], mut offset: u64) -> io::Result<()> {
    // Runs of blocks go in one call each.
    let mut rest = bytes;
    while !rest.is_empty() {
        let zero = |block: &&[u8]| **block == ZEROS[..block.len()];
        let holes: usize = rest.chunks(BLOCK).take_while(zero).map(<[u8]>::len).sum();
        let data: usize = rest[holes..]
            .chunks(BLOCK)
            .take_while(|b| !zero(b))
            .map(<[u8]>::len)
            .sum();
        let bytes = &rest[holes..holes + data];
        std::os::unix::fs::FileExt::write_all_at(file.file(), bytes, offset + holes as u64)?;
        offset += (holes + data) as u64;
        rest = &rest[holes + data..];
    }
    Ok(())
}
