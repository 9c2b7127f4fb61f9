//! Reading files whose size and speed others decide.

use std::io::Read;
use std::path::Path;

use backlot_core::FileError;
use fs_err as fs;

use crate::error::{Error, Result};

/// Read a whole small file; `None` if it does not exist, an error if it has more than `limit` bytes.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    // Room for all of it, so that it takes one read.
    let length = file.metadata()?.len().min(limit);
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1);
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(Error::TooLarge {
            place: path.into(),
            limit,
        });
    }
    Ok(Some(bytes))
}

/// Read to the end in blocks, handing each on.
pub(crate) fn copy_blocks(from: &mut impl Read, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut block = vec![0; 256 * 1024];
    loop {
        match from.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(length) => each(&block[..length])?,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(FileError::from(e).into()),
        }
    }
}
