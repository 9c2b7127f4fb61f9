//! The storage interface of a chunked remote: six operations that every backend has.
//!
//! Objects appear whole or not at all, and are never changed after that. No verb needs a condition (`if-none-match`) to
//! be safe, since names are random; only the config object is created where it may exist, and reading it again tells
//! who was first. Deliberately absent: renaming, appending, locks.

use std::fmt::Debug;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backlot_backend::{Entry, ObjectStore, ObjectWriter, Within};
use backlot_core::clock::Timestamp;
use backlot_core::{file, shared};
use fs_err as fs;

use super::direct::BlockWriter;
use crate::error::Result;

/// An object as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BlobEntry {
    pub(super) key: String,
    pub(super) size: u64,
    /// When it was written, by the clock of the service. `None` if unknown.
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
    /// The same for many, in as few requests as the service allows.
    fn delete_many(&self, keys: &[String]) -> Result<()> {
        keys.iter().try_for_each(|key| self.delete(key))
    }
    /// Where its service has it, if the service copies by itself.
    fn within(&self) -> Option<Within> {
        None
    }
    /// Have the service copy an object of another remote here; `false` if it did not.
    fn copy_within(&self, _source: &Within, _from: &str, _to: &str) -> Result<bool> {
        Ok(false)
    }
    /// Drop a nearer copy of a damaged object. Returns whether one existed.
    fn forget(&self, _key: &str) -> bool {
        false
    }
    /// Bring to the disk what was deleted below a prefix.
    fn sync_deleted(&self, prefix: &str) -> Result<()>;
    /// Remove what killed writers left more than a day ago, where anything is left.
    fn tidy(&self) -> Result<()> {
        Ok(())
    }
    /// Whether written data is in memory until it is finished.
    fn keeps_in_memory(&self) -> bool {
        false
    }
    /// How many requests at once are good for it.
    fn concurrency(&self) -> usize;
    /// How many unwanted bytes cost less than another request.
    fn coalesce_gap(&self) -> u32;

    /// Create a small object if it does not exist, where the service can check; otherwise it is replaced.
    fn create(&self, key: &str, bytes: &[u8]) -> Result<()> {
        self.put(key, bytes)
    }

    /// Write a small object.
    fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let mut writer = self.begin(key)?;
        writer.write(bytes)?;
        writer.finish()
    }

    /// The same for data that can be rebuilt: a power cut may lose or tear it.
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

/// Temporaries older than this are abandoned.
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
        backlot_core::pool::cores()
    }

    fn coalesce_gap(&self) -> u32 {
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

/// Objects in a store.
#[derive(Debug)]
pub(super) struct StoreBlobs {
    store: Arc<dyn ObjectStore>,
}

impl StoreBlobs {
    pub(super) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }
}

impl BlobStore for StoreBlobs {
    fn place(&self) -> String {
        format!("the remote `{}`", self.store.place())
    }

    fn read(&self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.store.read(key, u64::MAX - 1)?)
    }

    fn read_range(&self, key: &str, range: Range<u64>) -> Result<Option<Vec<u8>>> {
        Ok(self.store.part(key, range.start, range.end - range.start)?)
    }

    fn create(&self, key: &str, bytes: &[u8]) -> Result<()> {
        Ok(self.store.create_or_replace(key, bytes.to_vec(), TYPE)?)
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        Ok(self.store.write(key, bytes.to_vec(), TYPE)?)
    }

    fn begin(&self, key: &str) -> Result<Box<dyn BlobWriter>> {
        Ok(Box::new(StoreWriter(Arc::clone(&self.store).writer(key)?)))
    }

    fn stat(&self, key: &str) -> Result<Option<BlobEntry>> {
        Ok(self.store.stat(key)?.map(entry_of))
    }

    fn list(&self, prefix: &str) -> Result<Vec<BlobEntry>> {
        let mut entries = Vec::new();
        for found in self.store.list(prefix, true)? {
            if found.key.ends_with('/') {
                continue;
            }
            // Some services list without sizes or times.
            if found.size == 0 || found.modified == 0 {
                entries.extend(self.stat(&found.key)?);
            } else {
                entries.push(entry_of(found));
            }
        }
        entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(entries)
    }

    fn delete(&self, key: &str) -> Result<()> {
        Ok(self.store.delete(key)?)
    }

    fn within(&self) -> Option<Within> {
        self.store.within()
    }

    fn copy_within(&self, source: &Within, from: &str, to: &str) -> Result<bool> {
        Ok(self.store.copy_within(source, from, to)?)
    }

    fn forget(&self, key: &str) -> bool {
        self.store.forget(key)
    }

    fn delete_many(&self, keys: &[String]) -> Result<()> {
        Ok(self.store.delete_many(keys)?)
    }

    fn sync_deleted(&self, _prefix: &str) -> Result<()> {
        // A service has it on its disks when it answers.
        Ok(())
    }

    fn keeps_in_memory(&self) -> bool {
        true
    }

    fn concurrency(&self) -> usize {
        self.store.traits().concurrency
    }

    fn coalesce_gap(&self) -> u32 {
        self.store.traits().gap
    }
}

/// The content type of an object for the store.
const TYPE: &str = "application/octet-stream";

fn entry_of(found: Entry) -> BlobEntry {
    BlobEntry {
        key: found.key,
        size: found.size,
        modified: (found.modified > 0).then_some(Timestamp(found.modified)),
    }
}

struct StoreWriter(Box<dyn ObjectWriter>);

impl BlobWriter for StoreWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.0.write(bytes)?)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(self.0.finish()?)
    }
}
