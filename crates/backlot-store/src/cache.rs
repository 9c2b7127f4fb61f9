//! The cache: whole files under the MD5 of their bytes, in DVC's layout, shareable with DVC and between workspaces.
//!
//! Invariants: an object appears complete or not at all (a temporary on the same disk, then a rename), and it is
//! read-only (0444). As in DVC, the mode means trust: an object that somebody made writable is hashed again before it
//! counts, and set aside (never deleted) if it is not what its name says. Format in `docs/format/cache.md`.

use std::collections::HashSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backlot_core::file::{TEMPORARY_PREFIX, TemporaryFolder};
use backlot_core::{Blake3, Context, Operation, file};
use fs_err as fs;
use rayon::prelude::*;

use crate::chunked::StoredName;
use crate::error::{Error, Result};
use crate::hash::{self, Job};
use crate::object::{FileDigests, ObjectId};

const STALE_TEMPORARY: Duration = Duration::from_hours(24);

/// A cache folder.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct VerifyReport {
    /// How many objects were read.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects whose bytes are not what their name or proof says.
    pub damaged: Vec<ObjectId>,
    /// Objects that were expected and are not there.
    pub missing: Vec<ObjectId>,
    /// Damaged packs of a chunked remote.
    pub packs: Vec<DamagedPack>,
    /// Keys of segments of a chunked remote that cannot be read.
    pub segments: Vec<String>,
}

/// A pack of a chunked remote that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DamagedPack {
    /// Its name.
    pub name: StoredName,
    /// Its key on the remote.
    pub key: String,
    /// What is wrong with it.
    pub reason: &'static str,
    /// The objects that cannot be read because of it.
    pub objects: Vec<ObjectId>,
}

impl DamagedPack {
    pub(crate) const fn new(name: StoredName, key: String, reason: &'static str) -> Self {
        Self {
            name,
            key,
            reason,
            objects: Vec::new(),
        }
    }
}

/// An object with its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectEntry {
    /// The object.
    pub id: ObjectId,
    /// Its bytes.
    pub size: u64,
}

impl Cache {
    /// Open a cache folder, made if absent. Temporaries that a killed process left more than a day ago are removed.
    pub fn open(root: &Path) -> Result<Self> {
        let cache = Self {
            root: root.to_path_buf(),
        };
        fs::create_dir_all(cache.objects())?;
        fs::create_dir_all(cache.temporaries())?;
        cache.sweep_temporaries()?;
        Ok(cache)
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }
    fn objects(&self) -> PathBuf {
        self.root.join("files/md5")
    }
    pub(crate) fn temporaries(&self) -> PathBuf {
        self.root.join("tmp")
    }
    /// Where an object lies.
    pub fn object_path(&self, id: &ObjectId) -> PathBuf {
        self.root.join(id.key())
    }

    fn sweep_temporaries(&self) -> Result<()> {
        for entry in fs::read_dir(self.temporaries())? {
            let entry = entry?;
            let old = entry
                .metadata()
                .ok()
                .and_then(|m| m.modified().ok())
                .and_then(|t| t.elapsed().ok());
            if entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX)
                && old.is_some_and(|age| age > STALE_TEMPORARY)
            {
                file::remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Whether an object is there and trusted. One that was made writable is hashed first.
    pub fn has(&self, id: &ObjectId) -> Result<bool> {
        Ok(self.size(id)?.is_some())
    }

    /// The sizes of objects, each as [`Self::size`] says.
    pub fn sizes(&self, ids: &[ObjectId]) -> Result<Vec<Option<u64>>> {
        let sizes: Vec<Result<Option<u64>>> = ids.par_iter().map(|id| self.size(id)).collect();
        sizes.into_iter().collect()
    }

    /// The sizes of objects; all that are not there are named together.
    pub(crate) fn sizes_of_all(&self, ids: &[ObjectId]) -> Result<Vec<u64>> {
        let sizes = self.sizes(ids)?;
        let missing: Vec<ObjectId> = ids
            .iter()
            .zip(&sizes)
            .filter_map(|(id, size)| size.is_none().then_some(*id))
            .collect();
        if missing.is_empty() {
            Ok(sizes.into_iter().flatten().collect())
        } else {
            Err(Error::Missing {
                objects: missing,
                place: self.place(),
            })
        }
    }

    /// The size of an object, if it is there and trusted.
    pub fn size(&self, id: &ObjectId) -> Result<Option<u64>> {
        let path = self.object_path(id);
        match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() && found.permissions().readonly() => Ok(Some(found.len())),
            Ok(found) if found.is_file() => self.retrust(id, &path),
            Ok(_) => Ok(None),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(_) => Err(fs::symlink_metadata(&path).map(|_| ()).err().map_or_else(
                || Error::Missing {
                    objects: vec![*id],
                    place: self.place(),
                },
                Error::from,
            )),
        }
    }

    /// Hash an object that somebody made writable: trusted again if it is right, else set aside.
    fn retrust(&self, id: &ObjectId, path: &Path) -> Result<Option<u64>> {
        let digests = hash_one(path)?;
        if digests.md5 == id.md5 {
            set_read_only(path)?;
            return Ok(Some(digests.size));
        }
        self.quarantine(id)?;
        Ok(None)
    }

    /// Move an object out of the way, to `quarantine/`, where a person may look at it.
    pub fn quarantine(&self, id: &ObjectId) -> Result<PathBuf> {
        let folder = self.root.join("quarantine");
        fs::create_dir_all(&folder)?;
        let target = folder.join(format!("{id}-{}", std::process::id()));
        file::rename(&self.object_path(id), &target)?;
        Ok(target)
    }

    /// Read a small object (a manifest), proven by its MD5.
    pub fn read(&self, id: &ObjectId) -> Result<Vec<u8>> {
        let path = self.object_path(id);
        let bytes = file::read_if_exists(&path)?.ok_or_else(|| Error::Missing {
            objects: vec![*id],
            place: self.place(),
        })?;
        if digest_bytes(&bytes).md5 == id.md5 {
            Ok(bytes)
        } else {
            Err(Error::Corrupt {
                objects: vec![*id],
                place: self.place(),
            })
        }
    }

    /// Store a small object (a manifest). Returns its digests.
    pub fn insert_bytes(&self, bytes: &[u8], tree: bool) -> Result<(ObjectId, FileDigests)> {
        let digests = digest_bytes(bytes);
        let id = ObjectId {
            md5: digests.md5,
            tree,
        };
        if self.size(&id)? != Some(bytes.len() as u64) {
            let folder = TemporaryFolder::in_folder(&self.temporaries())?;
            let temporary = folder.file(0);
            let mut file = fs::File::create(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            set_read_only(&temporary)?;
            self.publish(&temporary, &id)?;
        }
        Ok((id, digests))
    }

    /// Put a complete, proven, read-only temporary in its place.
    pub(crate) fn publish(&self, temporary: &Path, id: &ObjectId) -> Result<()> {
        let target = self.object_path(id);
        if file::rename(temporary, &target).is_err() {
            fs::create_dir_all(target.parent().unwrap_or(&self.root))?;
            file::rename(temporary, &target)?;
        }
        Ok(())
    }

    /// All objects, sorted. Temporaries and other files are passed over.
    pub fn list(&self) -> Result<Vec<ObjectEntry>> {
        list_objects(&self.objects())
    }

    /// The objects that nothing in `keep` names, sorted.
    pub fn unreferenced(&self, keep: &HashSet<ObjectId>) -> Result<Vec<ObjectEntry>> {
        let mut all = self.list()?;
        all.retain(|entry| !keep.contains(&entry.id));
        Ok(all)
    }

    /// Read objects again and compare them with their names, and with a proof where one is known.
    pub fn verify(&self, expected: &[(ObjectId, Option<Blake3>)], context: &Context) -> Result<VerifyReport> {
        verify_folder(&self.root, expected, context)
    }

    /// How this cache is called in messages.
    pub fn place(&self) -> String {
        format!("the cache `{}`", self.root.display())
    }
}

/// The objects below a `files/md5` folder.
pub(crate) fn list_objects(folder: &Path) -> Result<Vec<ObjectEntry>> {
    let mut all = Vec::new();
    if !folder.is_dir() {
        return Ok(all);
    }
    for sub in fs::read_dir(folder)? {
        let sub = sub?;
        let prefix = sub.file_name().to_string_lossy().into_owned();
        if prefix.len() != 2 || !sub.file_type()?.is_dir() {
            continue;
        }
        for entry in fs::read_dir(sub.path())? {
            let entry = entry?;
            if let Some(id) = ObjectId::from_parts(&prefix, &entry.file_name().to_string_lossy()) {
                all.push(ObjectEntry {
                    id,
                    size: entry.metadata()?.len(),
                });
            }
        }
    }
    all.sort_by_key(|entry| entry.id);
    Ok(all)
}

/// Verify objects in a local folder of this layout.
pub(crate) fn verify_folder(
    root: &Path,
    expected: &[(ObjectId, Option<Blake3>)],
    context: &Context,
) -> Result<VerifyReport> {
    let running = context.start(Operation::Verify, expected.len() as u64, 0);
    let jobs: Vec<Job> = expected
        .iter()
        .map(|(id, _)| Job {
            source: root.join(id.key()),
            copy: None,
        })
        .collect();
    let mut report = VerifyReport::default();
    let results = hash::run(&jobs, &|_, _| Ok(false), &|_, _| Ok(()), &running, context);
    for ((id, proof), result) in expected.iter().zip(results) {
        match result {
            Ok(outcome) => {
                report.objects += 1;
                report.bytes += outcome.digests.size;
                if outcome.digests.md5 != id.md5 || proof.is_some_and(|p| p != outcome.digests.blake3) {
                    report.damaged.push(*id);
                }
            }
            Err(Error::File(e)) if e.is_not_found() => report.missing.push(*id),
            Err(e) => return Err(e),
        }
    }
    Ok(report)
}

/// The digests of bytes in memory.
pub fn digest_bytes(bytes: &[u8]) -> FileDigests {
    let mut md5 = hash::md5::Md5Hasher::default();
    hash::md5::update_many(&mut [(&mut md5, bytes)]);
    let blake3 = Blake3::from_bytes(*blake3::hash(bytes).as_bytes());
    FileDigests {
        md5: md5.finish(),
        blake3,
        size: bytes.len() as u64,
    }
}

fn hash_one(path: &Path) -> Result<FileDigests> {
    let context = Context::default();
    let running = context.start(Operation::Verify, 1, 0);
    let jobs = [Job {
        source: path.to_path_buf(),
        copy: None,
    }];
    let mut results = hash::run(&jobs, &|_, _| Ok(false), &|_, _| Ok(()), &running, &context);
    results.remove(0).map(|outcome| outcome.digests)
}

/// Take write permission from everybody: 0444.
pub(crate) fn set_read_only(path: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, std::fs::Permissions::from_mode(0o444))?;
    }
    #[cfg(not(unix))]
    {
        let mut permissions = fs::metadata(path)?.permissions();
        permissions.set_readonly(true);
        fs::set_permissions(path, permissions)?;
    }
    Ok(())
}
