//! Opening and reading files written by others; part of `file.rs`, through which it is used.
//!
//! Invariant: anything but a regular file is an error immediately. A pipe would block forever. Deliberately absent: writing.

use std::io::{self, Read as _};
use std::path::Path;

use fs_err as fs;

use crate::file::FileError;

/// Read a file; `None` if it does not exist.
pub fn read_if_exists(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e),
    }
}

/// Open an untrusted file: a pipe, which would block forever, a socket or a device is an error.
pub fn open(path: &Path) -> Result<fs::File, FileError> {
    open_plain(fs::OpenOptions::new().read(true), path).map(|(file, _)| file)
}

/// The same with other options, and the metadata of the file.
pub(crate) fn open_plain(
    open: &mut fs::OpenOptions,
    path: &Path,
) -> Result<(fs::File, std::fs::Metadata), FileError> {
    let is_plain = |found: &std::fs::Metadata| found.is_file() || found.is_dir();
    let refused = || {
        let text = format!("`{}` is a pipe, a socket or a device", path.display());
        FileError::from(io::Error::new(io::ErrorKind::InvalidInput, text))
    };
    #[cfg(unix)]
    {
        use fs_err::os::unix::fs::OpenOptionsExt as _;
        // Opening a pipe does not wait for its other end then; of files it changes nothing.
        open.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    let file = match open.open(path) {
        Ok(file) => file,
        // For a pipe without a reader the system reports a missing device.
        Err(_) if fs::metadata(path).is_ok_and(|found| !is_plain(&found)) => return Err(refused()),
        Err(error) => return Err(error.into()),
    };
    let found = file.metadata()?;
    if !is_plain(&found) {
        return Err(refused());
    }
    Ok((file, found))
}

/// Read an untrusted file, see [`open`].
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let (mut file, found) = open_plain(fs::OpenOptions::new().read(true), path)?;
    let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or(0));
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The same as text.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    String::from_utf8(read(path)?).map_err(|_| {
        let text = format!("`{}` is not valid UTF-8", path.display());
        io::Error::new(io::ErrorKind::InvalidData, text).into()
    })
}
