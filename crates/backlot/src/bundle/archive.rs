//! A bundle as one file: a tar archive compressed with Zstandard.
//!
//! Invariants: the same files give the same bytes (the manifest first, then files in its order; one fixed time, no owner, two
//! modes, no folders); memory does not grow with the bundle. Whatever is read is hostile: entries are plain files, exactly
//! those of the manifest, in its order, so no path, link or device of an archive is ever followed; no more is read than the
//! manifest says, and no more than a file of its size can reasonably hold. Deliberately absent: archives of other tools.

use std::cell::Cell;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use backlot_core::bounded::Bounded;
use backlot_core::file::{Created, Staged};
use backlot_core::{Context, Operation, RelPath, Sha256, file};
use fs_err as fs;
use sha2::{Digest as _, Sha256 as Sha256Hasher};
use tar::{Builder, EntryType, Header};

use super::manifest::{BundleFile, BundleManifest, FILE_NAME, MAX_MANIFEST, MAX_PATH};
use crate::error::{BundleError, Error, Result};

/// The suffix of the name of an archive.
pub(crate) const ENDING: &str = ".tar.zst";
/// Fast, and within a few percent of the next levels on wheels; frames hardly compress at any.
const LEVEL: i32 = 3;
/// 1980-01-01, as in wheels: archives cannot be older for some tools.
const TIME: u64 = 315_532_800;
/// An archive may always unpack to this much,
const FREE_TOTAL: u64 = 4 << 30;
/// and beyond that to this multiple of its own size.
const MAX_RATIO: u64 = 1000;
const BLOCK: usize = 128 << 10;

/// Write the archive of a folder that has the files of a manifest, if nothing is at `target`. Returns its bytes.
pub(crate) fn write(
    folder: &Path,
    manifest: &BundleManifest,
    text: &[u8],
    target: &Path,
    context: &Context,
) -> Result<u64> {
    let mut staged = Staged::beside(target)?;
    let running = context.start(Operation::Bundle, manifest.files.len() as u64, manifest.total());
    let mut encoder = zstd::Encoder::new(&mut staged, LEVEL)?;
    encoder.include_checksum(true)?;
    let mut builder = Builder::new(encoder);
    builder.append_data(&mut header(text.len() as u64, false), FILE_NAME, text)?;
    for file in &manifest.files {
        context.check()?;
        let source = WholeFile {
            file: fs::File::open(file.path.to_path(folder))?,
            left: file.size,
            advance: &|bytes| {
                running.advance(0, bytes);
                context.check().is_ok()
            },
        };
        let appended = builder.append_data(
            &mut header(file.size, file.executable),
            file.path.as_str(),
            source,
        );
        context.check()?;
        appended?;
        running.advance(1, 0);
    }
    builder.into_inner()?.finish()?.flush()?;
    let size = staged.file().metadata()?.len();
    match staged.create()? {
        Created::New => Ok(size),
        Created::Exists => Err(BundleError::Exists {
            path: target.to_path_buf(),
            folder: false,
        }
        .into()),
    }
}

fn header(size: u64, executable: bool) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_size(size);
    header.set_mode(if executable { 0o755 } else { 0o644 });
    header.set_mtime(TIME);
    header
}

/// A file that has the bytes its header says, or is an error: tar fills up what is missing and takes what is too much.
struct WholeFile<'a> {
    file: fs::File,
    left: u64,
    /// Told of bytes; `false` stops.
    advance: &'a dyn Fn(u64) -> bool,
}

impl Read for WholeFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        if !(self.advance)(count as u64) {
            return Err(io::Error::other("stopped"));
        }
        self.left = match self.left.checked_sub(count as u64) {
            Some(left) if count > 0 || left == 0 || buffer.is_empty() => left,
            _ => {
                let path = self.file.path().display();
                return Err(io::Error::other(format!("`{path}` changed while it was read")));
            }
        };
        Ok(count)
    }
}

/// Unpack an archive into a folder that is made. Every file is there with the size and digest of the manifest, and nothing else.
pub(crate) fn unpack(archive: &Path, folder: &Path, context: &Context) -> Result<BundleManifest> {
    let file = file::open(archive)?;
    let size = file.metadata()?.len();
    let bounded = Bounded::new(zstd::Decoder::new(file)?, MAX_MANIFEST + (64 << 10), EXCEEDED);
    let reading = Reading {
        path: archive,
        budget: bounded.budget(),
        context,
    };
    let mut tar = tar::Archive::new(bounded);
    let mut entries = tar
        .entries()
        .map_err(|e| reading.damaged(FILE_NAME, &e))?
        .raw(true);
    let manifest = reading.manifest(&mut entries, size)?;
    let running = context.start(Operation::Verify, manifest.files.len() as u64, manifest.total());
    for file in &manifest.files {
        reading.file(&mut entries, file, folder, &|bytes| running.advance(0, bytes))?;
        running.advance(1, 0);
    }
    if let Some(entry) = reading.next(&mut entries, "its end")? {
        let more = String::from_utf8_lossy(&entry.path).into_owned();
        return Err(reading.invalid(format!("it has `{more}`, which its manifest does not list")));
    }
    reading.rest(&mut tar.into_inner())?;
    Ok(manifest)
}

/// The error of an archive that has more bytes than it may.
const EXCEEDED: &str = "more bytes than its manifest declares";

/// A plain file of the archive.
struct Entry<'a, R: Read> {
    path: Vec<u8>,
    size: u64,
    content: tar::Entry<'a, R>,
}

/// The archive being read.
struct Reading<'a> {
    path: &'a Path,
    budget: Rc<Cell<u64>>,
    context: &'a Context,
}

impl Reading<'_> {
    fn invalid(&self, reason: String) -> Error {
        BundleError::Invalid {
            path: self.path.to_path_buf(),
            reason,
        }
        .into()
    }

    fn damaged(&self, file: &str, error: &io::Error) -> Error {
        BundleError::Damaged {
            path: self.path.to_path_buf(),
            file: file.to_owned(),
            reason: format!("cannot be read: {error}"),
        }
        .into()
    }

    /// The next entry, with its long name if it has one.
    fn next<'e, R: Read>(
        &self,
        entries: &mut tar::Entries<'e, R>,
        wanted: &str,
    ) -> Result<Option<Entry<'e, R>>> {
        let mut long = None;
        loop {
            self.context.check()?;
            let Some(entry) = entries.next() else {
                return match long {
                    None => Ok(None),
                    Some(_) => Err(self.invalid("it ends after a file name".to_owned())),
                };
            };
            let mut content = entry.map_err(|e| self.damaged(wanted, &e))?;
            let header = content.header();
            let size = header.entry_size().map_err(|e| self.damaged(wanted, &e))?;
            match header.entry_type() {
                EntryType::GNULongName if long.is_none() && size <= MAX_PATH as u64 + 1 => {
                    let mut name = Vec::new();
                    content
                        .read_to_end(&mut name)
                        .map_err(|e| self.damaged(wanted, &e))?;
                    long = Some(name.strip_suffix(b"\0").map(<[u8]>::to_vec).unwrap_or(name));
                }
                EntryType::Regular => {
                    let path = long.unwrap_or_else(|| header.path_bytes().into_owned());
                    return Ok(Some(Entry { path, size, content }));
                }
                _ => {
                    let name = String::from_utf8_lossy(&header.path_bytes()).into_owned();
                    return Err(self.invalid(format!("`{name}` is not a regular file")));
                }
            }
        }
    }

    /// Read the manifest, and allow as many bytes as it lists.
    fn manifest<R: Read>(&self, entries: &mut tar::Entries<'_, R>, size: u64) -> Result<BundleManifest> {
        let first = self.next(entries, FILE_NAME)?;
        let Some(mut first) = first.filter(|entry| entry.path == FILE_NAME.as_bytes()) else {
            return Err(self.invalid(format!("it does not start with {FILE_NAME}")));
        };
        if first.size > MAX_MANIFEST {
            return Err(self.invalid(format!("its {FILE_NAME} is too large")));
        }
        let mut text = Vec::new();
        let read = first.content.read_to_end(&mut text);
        read.map_err(|e| self.damaged(FILE_NAME, &e))?;
        let manifest = BundleManifest::parse(self.path, &text)?;
        let bytes = manifest.total();
        let limit = FREE_TOTAL.saturating_add(size.saturating_mul(MAX_RATIO));
        if bytes > limit {
            return Err(BundleError::Expands {
                path: self.path.to_path_buf(),
                bytes,
                limit,
            }
            .into());
        }
        // A header, a long name with its own header, and what fills up the last block of each.
        let overhead = 4 * 512 + MAX_PATH as u64 + 512;
        let headers = (manifest.files.len() as u64).saturating_mul(overhead);
        self.budget
            .set(bytes.saturating_add(headers).saturating_add(64 << 10));
        Ok(manifest)
    }

    /// Write the next entry, which has to be a file of the manifest.
    fn file<R: Read>(
        &self,
        entries: &mut tar::Entries<'_, R>,
        file: &BundleFile,
        folder: &Path,
        advance: &dyn Fn(u64),
    ) -> Result<()> {
        let path = file.path.as_str();
        let Some(mut entry) = self.next(entries, path)? else {
            return Err(self.wrong(file, "is missing"));
        };
        if entry.path != path.as_bytes() {
            let found = String::from_utf8_lossy(&entry.path).into_owned();
            return Err(self.invalid(format!("it has `{found}` in place of `{path}`")));
        }
        if entry.size != file.size {
            return Err(self.wrong(file, "has a different size"));
        }
        let read = |buffer: &mut [u8]| {
            let read = entry.content.read(buffer);
            read.map_err(|e| self.damaged(path, &e))
        };
        if !write_checked(read, file, &target_of(folder, &file.path)?, advance, self.context)? {
            return Err(self.wrong(file, "does not match its manifest"));
        }
        Ok(())
    }

    fn wrong(&self, file: &BundleFile, reason: &str) -> Error {
        BundleError::Damaged {
            path: self.path.to_path_buf(),
            file: file.path.to_string(),
            reason: reason.to_owned(),
        }
        .into()
    }

    /// Read to the end: what comes after the archive is empty, and the checksum fits.
    fn rest(&self, reader: &mut impl Read) -> Result<()> {
        let mut buffer = vec![0; BLOCK];
        loop {
            let count = reader
                .read(&mut buffer)
                .map_err(|e| self.damaged("its end", &e))?;
            if count == 0 {
                return Ok(());
            }
            if buffer[..count].iter().any(|byte| *byte != 0) {
                return Err(self.invalid("it has data after its last file".to_owned()));
            }
        }
    }
}

/// The place of a file, with the folders above it.
pub(crate) fn target_of(folder: &Path, path: &RelPath) -> Result<PathBuf> {
    let target = path.to_path(folder);
    fs::create_dir_all(target.parent().unwrap_or(folder))?;
    Ok(target)
}

/// Write what is read as a new file. Whether it has the size and digest of the manifest; no more than its size is written.
pub(crate) fn write_checked(
    mut read: impl FnMut(&mut [u8]) -> Result<usize>,
    file: &BundleFile,
    target: &Path,
    advance: &dyn Fn(u64),
    context: &Context,
) -> Result<bool> {
    let mut written = fs::OpenOptions::new().write(true).create_new(true).open(target)?;
    let (mut hasher, mut size) = (Sha256Hasher::new(), 0_u64);
    let mut buffer = vec![0; BLOCK];
    loop {
        context.check()?;
        let count = read(&mut buffer)?;
        if count == 0 {
            break;
        }
        size += count as u64;
        if size > file.size {
            return Ok(false);
        }
        hasher.update(&buffer[..count]);
        written.write_all(&buffer[..count])?;
        advance(count as u64);
    }
    let found = Sha256::from_bytes(hasher.finalize().into());
    Ok(size == file.size && found == file.sha256)
}
