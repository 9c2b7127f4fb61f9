//! Holes in files: blocks of zeros that a sparse file does not store stay unstored in its copies.
//!
//! Invariant: what is read from a copy is what was read from the file; only what it takes of the disk differs. Deliberately
//! absent: finding out where the holes of a file were that comes from a remote; its blocks of zeros become holes.

use std::io::{self, Seek as _, SeekFrom, Write as _};

use backlot_core::platform;
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

/// Write a file that has nothing yet; blocks of zeros become holes.
pub(crate) fn write_whole(file: &mut fs::File, bytes: &[u8]) -> io::Result<()> {
    if !bytes.chunks(BLOCK).any(|block| *block == ZEROS) {
        return file.write_all(bytes);
    }
    append(file, bytes)?;
    file.set_len(bytes.len() as u64)
}

/// Whether [`copy_range`] works at all.
pub(crate) const COPIES: bool = cfg!(target_os = "linux");

/// Copy a range between files of one disk, which shares the blocks if it can. Holes stay holes: nothing else may be at that
/// place of the target, which has its length.
#[cfg(target_os = "linux")]
pub(crate) fn copy_range(
    (source, mut from): (&fs::File, u64),
    (target, mut to): (&fs::File, u64),
    length: u64,
) -> io::Result<()> {
    use rustix::fs::SeekFrom as Place;
    let end = from + length;
    let sparse = backlot_core::file::is_sparse(&source.metadata()?);
    while from < end {
        let mut data = from..end;
        if sparse {
            data.start = match rustix::fs::seek(source, Place::Data(from)) {
                Ok(start) => start.min(end),
                // Nothing but a hole up to its end.
                Err(rustix::io::Errno::NXIO) => end,
                Err(error) => return Err(error.into()),
            };
            if data.start < end {
                data.end = rustix::fs::seek(source, Place::Hole(data.start))?.min(end);
            }
        }
        to += data.start - from;
        copy_data((source, data.start), (target, to), data.end - data.start)?;
        to += data.end - data.start;
        from = data.end;
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn copy_data(
    (source, mut from): (&fs::File, u64),
    (target, mut to): (&fs::File, u64),
    mut length: u64,
) -> io::Result<()> {
    /// Blocks are shared only whole.
    const SHARED: u64 = 4096;
    while length > 0 {
        let odd = match (from % SHARED, to % SHARED) {
            (a, b) if a == b && a > 0 => length.min(SHARED - a),
            _ => length,
        };
        let some = usize::try_from(odd).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), some)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            copied => length -= copied as u64,
        }
    }
    Ok(())
}

/// The system does not do it.
#[cfg(not(target_os = "linux"))]
pub(crate) fn copy_range(_: (&fs::File, u64), _: (&fs::File, u64), _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Write into a file that has its length and nothing but a hole at this place.
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
        platform::write_all_at(file, bytes, offset + holes as u64)?;
        offset += (holes + data) as u64;
        rest = &rest[holes + data..];
    }
    Ok(())
}
