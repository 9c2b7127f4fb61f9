//! A remote's storage that counts the bytes read.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backlot_backend::Within;

use super::blob::{BlobEntry, BlobStore, BlobWriter};
use crate::error::Result;

/// Counts the bytes of objects that come from another storage; listings are not counted.
#[derive(Debug)]
pub(super) struct Counted {
    blobs: Arc<dyn BlobStore>,
    bytes: AtomicU64,
}

impl Counted {
    pub(super) fn new(blobs: Arc<dyn BlobStore>) -> Self {
        Self {
            blobs,
            bytes: AtomicU64::new(0),
        }
    }

    /// Bytes read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn count(&self, read: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let length = read.as_ref().map_or(0, Vec::len);
        self.bytes.fetch_add(length as u64, Ordering::Relaxed);
        read
    }
}

impl BlobStore for Counted {
    fn place(&self) -> String {
        self.blobs.place()
    }
    fn read(&self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.count(self.blobs.read(key)?))
    }
    fn read_range(&self, key: &str, range: Range<u64>) -> Result<Option<Vec<u8>>> {
        Ok(self.count(self.blobs.read_range(key, range)?))
    }
    fn begin(&self, key: &str) -> Result<Box<dyn BlobWriter>> {
        self.blobs.begin(key)
    }
    fn stat(&self, key: &str) -> Result<Option<BlobEntry>> {
        self.blobs.stat(key)
    }
    fn list(&self, prefix: &str) -> Result<Vec<BlobEntry>> {
        self.blobs.list(prefix)
    }
    fn delete(&self, key: &str) -> Result<()> {
        self.blobs.delete(key)
    }
    fn delete_many(&self, keys: &[String]) -> Result<()> {
        self.blobs.delete_many(keys)
    }
    fn within(&self) -> Option<Within> {
        self.blobs.within()
    }
    fn copy_within(&self, source: &Within, from: &str, to: &str) -> Result<bool> {
        self.blobs.copy_within(source, from, to)
    }
    fn forget(&self, key: &str) -> bool {
        self.blobs.forget(key)
    }
    fn sync_deleted(&self, prefix: &str) -> Result<()> {
        self.blobs.sync_deleted(prefix)
    }
    fn tidy(&self) -> Result<()> {
        self.blobs.tidy()
    }
    fn keeps_in_memory(&self) -> bool {
        self.blobs.keeps_in_memory()
    }
    fn concurrency(&self) -> usize {
        self.blobs.concurrency()
    }
    fn coalesce_gap(&self) -> u32 {
        self.blobs.coalesce_gap()
    }
    fn create(&self, key: &str, bytes: &[u8]) -> Result<()> {
        self.blobs.create(key, bytes)
    }
    fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        self.blobs.put(key, bytes)
    }
    fn put_derived(&self, key: &str, bytes: &[u8]) -> Result<()> {
        self.blobs.put_derived(key, bytes)
    }
}
