//! What a chunked remote needs of a storage service: six verbs that every backend has.
//!
//! Objects appear whole or not at all, and are never changed after that. No verb needs a condition (`if-none-match`) to
//! be safe, since names are random; only the config object is created where it may exist, and reading it again tells
//! who was first. Deliberately absent: renaming, appending, locks.

use std::fmt::Debug;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use backlot_core::clock::Timestamp;
use backlot_core::{file, shared};
use fs_err as fs;
use opendal::ErrorKind;
use std::future::IntoFuture as _;

use super::direct::BlockWriter;
use crate::error::{Error, Result};
use crate::parallel::cores;
use crate::remote::service::ServiceRemote;

/// An object as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BlobEntry {
    pub(super) key: String,
    pub(super) size: u64,
    /// When it was written, by the clock of the service. `None` where that is not told.
    pub(super) modified: Option<Timestamp>,
}

/// Where objects are.
pub(super) trait BlobStore: Send + Sync + Debug {
    /// How it is called in messages.
    fn place(&self) -> String;
    /// A whole (small) object.
    fn read(&self, key: &str) -> Result<Option<Vec<u8>>>;
    /// A part of an object; shorter than asked for if the object is.
    fn read_range(&self, key: &str, range: Range<u64>) -> Result<Option<Vec<u8>>>;
    /// Begin an object that appears when it is finished.
    fn begin(&self, key: &str) -> Result<Box<dyn BlobWriter>>;
    /// One object's size and time.
    fn stat(&self, key: &str) -> Result<Option<BlobEntry>>;
    /// All objects below a prefix that ends in `/`, sorted.
    fn list(&self, prefix: &str) -> Result<Vec<BlobEntry>>;
    /// Remove an object; fine if it is not there. After a power cut it may be there again.
    fn delete(&self, key: &str) -> Result<()>;
    /// Bring to the disk what was deleted below a prefix.
    fn sync_deleted(&self, prefix: &str) -> Result<()>;
    /// Remove what killed writers left more than a day ago, where anything is left.
    fn tidy(&self) -> Result<()> {
        Ok(())
    }
    /// How many requests at once are good for it.
    fn concurrency(&self) -> usize;
    /// How many unwanted bytes cost less than another request.
    fn gap(&self) -> u32;

    /// Write a small object if there is none, where the service can tell; else it is replaced.
    fn create(&self, key: &str, bytes: &[u8]) -> Result<()> {
        self.put(key, bytes)
    }

    /// Write a small object.
    fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let mut writer = self.begin(key)?;
        writer.write(bytes)?;
        writer.finish()
    }

    /// The same for what can be made again: a power cut may take it, or leave it torn.
    fn put_derived(&self, key: &str, bytes: &[u8]) -> Result<()> {
        self.put(key, bytes)
    }
}

/// An object that is being written. Dropped unfinished, it never appears.
pub(super) trait BlobWriter: Send {
    fn write(&mut self, bytes: &[u8]) -> Result<()>;
    /// Hold nothing back in memory: the last bytes were written, and others are before it in finishing.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
    /// Bring it to the disk and give it its name.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// Temporaries older than this are nobody's.
const STALE: std::time::Duration = std::time::Duration::from_hours(24);

/// Objects in a folder on a local or shared disk.
#[derive(Debug)]
pub(super) struct FolderBlobs {
    root: PathBuf,
}

impl FolderBlobs {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }
}

impl BlobStore for FolderBlobs {
    fn place(&self) -> String {
        format!("the remote `{}`", self.root.display())
    }

    fn read(&self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(file::read_if_exists(&self.root.join(key))?)
    }

    fn create(&self, key: &str, bytes: &[u8]) -> Result<()> {
        shared::make_root(&self.root)?;
        shared::create(&self.root.join(key), bytes)?;
        Ok(())
    }

    fn read_range(&self, key: &str, range: Range<u64>) -> Result<Option<Vec<u8>>> {
        use std::io::{Seek as _, SeekFrom};
        let mut file = match fs::File::open(self.root.join(key)) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let length = range.end - range.start;
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        file.seek(SeekFrom::Start(range.start))?;
        file.take(length).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn begin(&self, key: &str) -> Result<Box<dyn BlobWriter>> {
        let target = self.root.join(key);
        let folder = target.parent().unwrap_or(&self.root);
        let new_in = if folder.is_dir() {
            None
        } else {
            shared::make_folder_for_now(folder)?;
            folder.parent().map(Path::to_path_buf)
        };
        Ok(Box::new(FolderWriter {
            staged: shared::staged_beside(&target)?,
            blocks: BlockWriter::default(),
            new_in,
        }))
    }

    fn stat(&self, key: &str) -> Result<Option<BlobEntry>> {
        match fs::metadata(self.root.join(key)) {
            Ok(found) => Ok(Some(entry(key.to_owned(), &found))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<BlobEntry>> {
        let mut entries = Vec::new();
        list_folder(&self.root.join(prefix), prefix, &mut entries)?;
        entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(entries)
    }

    fn delete(&self, key: &str) -> Result<()> {
        Ok(file::remove(&self.root.join(key))?)
    }

    fn sync_deleted(&self, prefix: &str) -> Result<()> {
        let folder = self.root.join(prefix);
        if folder.is_dir() {
            file::sync_folder(&folder)?;
        }
        Ok(())
    }

    fn put_derived(&self, key: &str, bytes: &[u8]) -> Result<()> {
        Ok(shared::write_for_now(&self.root.join(key), bytes)?)
    }

    fn tidy(&self) -> Result<()> {
        let mut folders = vec![self.root.join("v1")];
        while let Some(folder) = folders.pop() {
            let Ok(listed) = fs::read_dir(&folder) else {
                continue;
            };
            for found in listed {
                let found = found?;
                let Ok(metadata) = found.metadata() else { continue };
                let left = found
                    .file_name()
                    .to_string_lossy()
                    .starts_with(file::TEMPORARY_PREFIX);
                let age = metadata.modified().ok().and_then(|time| time.elapsed().ok());
                if metadata.is_dir() {
                    folders.push(found.path());
                } else if left && age.is_some_and(|age| age > STALE) {
                    file::remove(&found.path())?;
                }
            }
        }
        Ok(())
    }

    fn concurrency(&self) -> usize {
        cores()
    }

    fn gap(&self) -> u32 {
        16 << 10
    }
}

/// A file that is being written.
struct FolderWriter {
    staged: file::Staged,
    blocks: BlockWriter,
    /// The folder in which its folder is new, whose name has to survive a power cut too.
    new_in: Option<PathBuf>,
}

impl BlobWriter for FolderWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.blocks.write(self.staged.file(), bytes)?)
    }
    fn flush(&mut self) -> Result<()> {
        Ok(self.blocks.finish(self.staged.file())?)
    }
    fn finish(mut self: Box<Self>) -> Result<()> {
        self.flush()?;
        self.staged.replace()?;
        match self.new_in {
            Some(folder) => Ok(file::sync_folder(&folder)?),
            None => Ok(()),
        }
    }
}

fn entry(key: String, found: &std::fs::Metadata) -> BlobEntry {
    let modified = found.modified().ok();
    let since = modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    BlobEntry {
        key,
        size: found.len(),
        modified: since.map(|age| Timestamp(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))),
    }
}

fn list_folder(folder: &Path, prefix: &str, entries: &mut Vec<BlobEntry>) -> Result<()> {
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    for found in listed {
        let found = found?;
        let name = found.file_name().to_string_lossy().into_owned();
        if name.starts_with(file::TEMPORARY_PREFIX) {
            continue;
        }
        match found.metadata() {
            Ok(metadata) if metadata.is_dir() => {
                list_folder(&found.path(), &format!("{prefix}{name}/"), entries)?;
            }
            Ok(metadata) => entries.push(entry(format!("{prefix}{name}"), &metadata)),
            // Removed since it was listed.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Objects on any OpenDAL service.
#[derive(Debug)]
pub(super) struct ServiceBlobs {
    service: ServiceRemote,
}

/// Bytes sent at once to a service.
const PIECE: usize = 8 << 20;
/// Requests at once.
const CONCURRENCY: usize = 8;

impl ServiceBlobs {
    pub(super) fn new(service: ServiceRemote) -> Self {
        Self { service }
    }
}

impl BlobStore for ServiceBlobs {
    fn place(&self) -> String {
        self.service.place()
    }

    fn read(&self, key: &str) -> Result<Option<Vec<u8>>> {
        match self.service.wait(self.service.operator().read(key)) {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.service.failed(e)),
        }
    }

    fn read_range(&self, key: &str, range: Range<u64>) -> Result<Option<Vec<u8>>> {
        let read = self.service.operator().read_with(key).range(range).into_future();
        match self.service.wait(read) {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            // The object is shorter than what names it says: damage, which the caller sees by the length.
            Err(e) if e.kind() == ErrorKind::RangeNotSatisfied => Ok(Some(Vec::new())),
            Err(e) if !e.is_temporary() && e.kind() == ErrorKind::Unexpected => self.shorter(key, e),
            Err(e) => Err(self.service.failed(e)),
        }
    }

    fn begin(&self, key: &str) -> Result<Box<dyn BlobWriter>> {
        let writer = self
            .service
            .wait(self.service.operator().writer(key))
            .map_err(|e| self.service.failed(e))?;
        Ok(Box::new(ServiceWriter {
            handle: self.service.handle(),
            place: self.service.place(),
            writer: Some(writer),
            buffer: Vec::new(),
        }))
    }

    fn stat(&self, key: &str) -> Result<Option<BlobEntry>> {
        match self.service.wait(self.service.operator().stat(key)) {
            Ok(found) => Ok(Some(service_entry(key.to_owned(), &found))),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.service.failed(e)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<BlobEntry>> {
        let listing = self.service.operator().list_with(prefix).recursive(true);
        let listed = match self.service.wait(listing.into_future()) {
            Ok(listed) => listed,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(self.service.failed(e)),
        };
        let mut entries = Vec::new();
        for found in listed {
            if found.path().ends_with('/') {
                continue;
            }
            let entry = service_entry(found.path().to_owned(), found.metadata());
            // Some services list without sizes or times.
            if entry.size == 0 || entry.modified.is_none() {
                entries.extend(self.stat(found.path())?);
            } else {
                entries.push(entry);
            }
        }
        entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(entries)
    }

    fn delete(&self, key: &str) -> Result<()> {
        match self.service.wait(self.service.operator().delete(key)) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            Err(e) => Err(self.service.failed(e)),
        }
    }

    fn sync_deleted(&self, _prefix: &str) -> Result<()> {
        // A service has it on its disks when it answers.
        Ok(())
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    fn gap(&self) -> u32 {
        1 << 20
    }
}

impl ServiceBlobs {
    /// A range beyond the end is reported differently by every service; the size tells whether that was it.
    fn shorter(&self, key: &str, error: opendal::Error) -> Result<Option<Vec<u8>>> {
        match self.stat(key)? {
            Some(found) => {
                let whole = self.read(key)?;
                if whole.is_some_and(|bytes| bytes.len() as u64 == found.size) {
                    Ok(Some(Vec::new()))
                } else {
                    Err(self.service.failed(error))
                }
            }
            None => Ok(None),
        }
    }
}

fn service_entry(key: String, found: &opendal::Metadata) -> BlobEntry {
    let modified = found
        .last_modified()
        .map(|time| time.into_inner().as_millisecond());
    BlobEntry {
        key,
        size: found.content_length(),
        modified: modified.and_then(|ms| u64::try_from(ms).ok()).map(Timestamp),
    }
}

struct ServiceWriter {
    handle: tokio::runtime::Handle,
    place: String,
    writer: Option<opendal::Writer>,
    buffer: Vec<u8>,
}

impl ServiceWriter {
    fn send(&mut self) -> Result<()> {
        let bytes = std::mem::take(&mut self.buffer);
        if let Some(writer) = &mut self.writer {
            self.handle
                .block_on(writer.write(bytes))
                .map_err(|source| failed(&self.place, source))?;
        }
        Ok(())
    }
}

fn failed(place: &str, source: opendal::Error) -> Error {
    Error::Service {
        place: place.to_owned(),
        source: Box::new(source),
    }
}

impl BlobWriter for ServiceWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.send()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        if !self.buffer.is_empty() {
            self.send()?;
        }
        if let Some(mut writer) = self.writer.take() {
            self.handle
                .block_on(writer.close())
                .map_err(|source| failed(&self.place, source))?;
        }
        Ok(())
    }
}

impl Drop for ServiceWriter {
    fn drop(&mut self) {
        if let Some(mut writer) = self.writer.take() {
            // Not every service can give up an upload; what was not closed does not appear either way.
            self.handle.block_on(writer.abort()).ok();
        }
    }
}
