//! The chunked remote as a whole: what comes back, what it costs, what happens when things break.

mod ahead;
mod collecting;
mod damage;
mod faults;
mod fixtures;
mod merging;
mod model;
mod model_parts;
mod parts;
mod sharing;

use std::path::PathBuf;
use std::sync::Arc;

use backlot_core::{Context, LinkMode};
use fs_err as fs;

use super::blob::{BlobStore, FolderBlobs};
use super::remote::ChunkedRemote;
use crate::object::{ObjectId, Transfer};
use crate::{Cache, Error, StatCache, add_files};

/// Numbers that look like nothing in particular, the same on every machine.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap_or(0)
    }
    pub(super) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length.div_ceil(8))
            .flat_map(|_| self.next().to_le_bytes())
            .take(length)
            .collect()
    }
}

/// A folder with a remote and caches.
pub(super) struct Place {
    pub(super) folder: tempfile::TempDir,
}

impl Place {
    pub(super) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    pub(super) fn blobs(&self) -> Arc<dyn BlobStore> {
        Arc::new(FolderBlobs::new(self.path("remote")))
    }
    pub(super) fn remote(&self) -> ChunkedRemote {
        ChunkedRemote::on(self.blobs(), &self.path("mirrors"))
    }
    /// The remote as a machine sees it that has never seen it before.
    pub(super) fn remote_from(&self, mirrors: &str) -> ChunkedRemote {
        ChunkedRemote::on(self.blobs(), &self.path(mirrors))
    }
    pub(super) fn cache(&self, name: &str) -> Cache {
        Cache::open(&self.path(name)).expect("a cache")
    }

    /// Put contents into a cache.
    pub(super) fn add(&self, cache: &Cache, contents: &[Vec<u8>]) -> Vec<Transfer> {
        let work = self.path(&format!("work-{}", super::name::StoredName::fresh()));
        fs::create_dir_all(&work).expect("made");
        let mut paths = Vec::new();
        for (n, bytes) in contents.iter().enumerate() {
            let path = work.join(n.to_string());
            fs::write(&path, bytes).expect("written");
            paths.push(path);
        }
        let stat = StatCache::open(&work.join("state.db")).expect("a stat cache");
        let added = add_files(cache, &stat, &paths, &[LinkMode::Copy], &Context::default()).expect("added");
        let transfers = added
            .into_iter()
            .map(|a| Transfer {
                id: ObjectId::file(a.digests.md5),
                size: Some(a.digests.size),
                blake3: None,
            })
            .collect();
        fs::remove_dir_all(&work).expect("removed");
        transfers
    }

    /// Whether all files come back bit for bit into an empty cache. Those that do not are returned.
    pub(super) fn broken(
        &self,
        remote: &ChunkedRemote,
        items: &[Transfer],
        original: &Cache,
    ) -> Vec<ObjectId> {
        let name = format!("pulled-{}", super::name::StoredName::fresh());
        let cache = self.cache(&name);
        let (results, _) = remote.pull(&cache, items, &Context::default()).expect("pulled");
        let mut broken = Vec::new();
        for (item, result) in items.iter().zip(results) {
            if matches!(result, crate::remote::Fetched::Stored(_)) {
                assert!(
                    fs::read(cache.object_path(&item.id)).expect("there")
                        == fs::read(original.object_path(&item.id)).expect("there"),
                    "{} came back different",
                    item.id
                );
            } else {
                assert!(!cache.has(&item.id).expect("asked"));
                broken.push(item.id);
            }
        }
        fs::remove_dir_all(cache.root()).expect("removed");
        broken
    }

    /// All objects of the remote with their sizes.
    pub(super) fn stored(&self) -> Vec<(String, u64)> {
        let entries = self.blobs().list("v1/").expect("listed");
        entries.into_iter().map(|e| (e.key, e.size)).collect()
    }
    pub(super) fn stored_bytes(&self) -> u64 {
        self.stored().iter().map(|(_, size)| size).sum()
    }
}

/// Files of a workspace, which nobody has added yet.
pub(super) struct Files {
    pub(super) paths: Vec<PathBuf>,
    stat: StatCache,
}

impl Files {
    pub(super) fn of(place: &Place, contents: &[Vec<u8>]) -> Self {
        let folder = place.path(&format!("files-{}", super::name::StoredName::fresh()));
        fs::create_dir_all(&folder).expect("made");
        let write = |(n, bytes): (usize, &Vec<u8>)| {
            let path = folder.join(n.to_string());
            fs::write(&path, bytes).expect("written");
            path
        };
        Self {
            paths: contents.iter().enumerate().map(write).collect(),
            stat: StatCache::open(&folder.join("state.db")).expect("a stat cache"),
        }
    }

    /// Add them to a cache and a remote in one pass.
    pub(super) fn add_ahead(
        &self,
        remote: &ChunkedRemote,
        cache: &Cache,
    ) -> Result<(Vec<Transfer>, crate::TransferReport), Error> {
        let links = [LinkMode::Copy];
        let context = Context::default();
        let (added, report) = remote.add_files(cache, &self.stat, &self.paths, &links, 0, &context)?;
        let transfer = |added: crate::Added| Transfer {
            id: ObjectId::file(added.digests.md5),
            size: Some(added.digests.size),
            blake3: Some(added.digests.blake3),
        };
        Ok((added.into_iter().map(transfer).collect(), report))
    }
}

/// Contents of a sequence of frames that share little, and of files of awkward sizes.
pub(super) fn contents(seed: u64) -> Vec<Vec<u8>> {
    let mut random = Random::new(seed);
    let mut all: Vec<Vec<u8>> = [0, 1, 100, 16_383, 16_384, 65_536, 262_144, 262_145]
        .iter()
        .map(|size| random.bytes(*size))
        .collect();
    for frame in 0..6u16 {
        let mut bytes = random.bytes(200_000);
        bytes.extend((0..60_000u16).flat_map(|i| (i / 9 + frame).to_le_bytes()));
        all.push(bytes);
    }
    all.push(random.bytes(10 << 20));
    all
}

pub(super) fn push(
    remote: &ChunkedRemote,
    cache: &Cache,
    items: &[Transfer],
) -> Result<crate::TransferReport, Error> {
    remote.push(cache, items, &Context::default())
}
