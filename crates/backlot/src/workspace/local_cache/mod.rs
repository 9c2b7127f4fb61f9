//! The cache of this machine: its contents, its workspaces and their needs, and eviction.
//!
//! Invariant: what a workspace needs stays, and what a workspace needs is known or nothing goes. Deliberately absent: site caches,
//! which have a bound of their own, and remotes.

mod clean;
pub(crate) mod environments;
mod needs;
pub(crate) mod used;
mod users;

use std::path::{Path, PathBuf};

use backlot_core::{Sha256, file};
use backlot_store::{Evictable, ObjectId};
use fs_err as fs;
use serde::{Deserialize, Serialize};

pub use clean::{CleanOptions, CleanReport};
pub(crate) use users::registered;
pub use users::{CacheUser, CacheUserState};

use self::needs::CacheNeeds;
use crate::error::Result;
use crate::workspace::Opened;

/// Cached files that no workspace needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GcReport {
    /// The cache.
    pub cache: PathBuf,
    /// The workspaces whose files are kept.
    pub workspaces: Vec<PathBuf>,
    /// Unreadable workspaces of other users, and damaged records of workspaces: the files that they need are unknown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<PathBuf>,
    /// Objects that are kept.
    pub kept: usize,
    /// Objects that nothing names.
    pub unreferenced: Vec<Unreferenced>,
    /// Their bytes.
    pub bytes: u64,
    /// Always true: nothing is deleted.
    pub dry_run: bool,
}

/// An object that nothing names.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Unreferenced {
    /// The object.
    pub object: ObjectId,
    /// Its bytes.
    pub size: u64,
}

/// The contents of a cache.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CacheStatus {
    /// Its folder.
    pub cache: PathBuf,
    /// Bytes that are free on its disk.
    pub free: u64,
    /// The contents, by kind.
    pub parts: Vec<CachePart>,
    /// Bytes on the disk of all of it.
    pub bytes: u64,
    /// The workspaces that use it.
    pub workspaces: Vec<CacheUser>,
}

/// A kind of things in a cache.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CachePart {
    /// `objects`, `wheels`, `conda`, `environments`, `remotes`, `quarantine` or `other`.
    pub kind: String,
    /// How many: objects, unpacked packages, environments, remotes; files of `other`.
    pub count: u64,
    /// Their bytes on the disk.
    pub bytes: u64,
}

/// Removable files of a cache, by kind.
#[derive(Debug)]
struct Contents {
    objects: Vec<Evictable>,
    wheels: Vec<(Sha256, Evictable)>,
    conda: Vec<(String, Evictable)>,
}

impl Opened {
    pub(crate) fn plan_gc(&self) -> Result<GcReport> {
        let cache = self.cache()?;
        let mut needs = CacheNeeds::default();
        let mut workspaces = Vec::new();
        for workspace in self.workspaces_of_cache(cache.root())? {
            needs.add(&workspace, &cache)?;
            workspaces.push(workspace.root().to_path_buf());
        }
        let unreadable = registered(cache.root())?.into_iter();
        let unreadable = unreadable
            .filter(|user| matches!(user.state, CacheUserState::Unreadable | CacheUserState::Damaged));
        let all = cache.list()?;
        let kept = all
            .iter()
            .filter(|entry| needs.objects.contains(&entry.id))
            .count();
        let unreferenced: Vec<Unreferenced> = all
            .into_iter()
            .filter(|entry| !needs.objects.contains(&entry.id))
            .map(|entry| Unreferenced {
                object: entry.id,
                size: entry.size,
            })
            .collect();
        Ok(GcReport {
            cache: cache.root().to_path_buf(),
            workspaces,
            unreadable: unreadable.map(|user| user.path).collect(),
            kept,
            bytes: unreferenced.iter().map(|u| u.size).sum(),
            unreferenced,
            dry_run: true,
        })
    }

    pub(crate) fn cache_status(&self) -> Result<CacheStatus> {
        let cache = self.cache()?;
        let root = cache.root();
        let contents = Contents::read(&cache)?;
        let mut other = CachePart::new("other");
        let mut parts = vec![
            CachePart::of("objects", contents.objects.iter()),
            CachePart::of("wheels", contents.wheels.iter().map(|(_, one)| one)),
            CachePart::of("conda", contents.conda.iter().map(|(_, one)| one)),
            CachePart::of("environments", all_in(&root.join(environments::FOLDER))?.iter()),
            CachePart::of("remotes", all_in(&root.join("remotes"))?.iter()),
            CachePart::of("quarantine", all_in(&root.join("quarantine"))?.iter()),
        ];
        for one in all_in(root)? {
            let name = one.path.file_name().unwrap_or_default().to_string_lossy();
            match name.as_ref() {
                "files" | "wheels" | environments::FOLDER | "remotes" | "quarantine" => {}
                "conda" => {
                    let listed: u64 = contents.conda.iter().map(|(_, one)| one.bytes).sum();
                    other.add(one.bytes.saturating_sub(listed));
                }
                _ => other.add(one.bytes),
            }
        }
        parts.push(other);
        Ok(CacheStatus {
            cache: root.to_path_buf(),
            free: file::disk_space(root)?.free,
            bytes: parts.iter().map(|part| part.bytes).sum(),
            parts,
            workspaces: registered(root)?,
        })
    }
}

impl CachePart {
    fn new(kind: &'static str) -> Self {
        Self {
            kind: kind.to_owned(),
            count: 0,
            bytes: 0,
        }
    }

    fn of<'e>(kind: &'static str, all: impl Iterator<Item = &'e Evictable>) -> Self {
        let mut part = Self::new(kind);
        all.for_each(|one| part.add(one.bytes));
        part
    }

    const fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

impl Contents {
    fn read(cache: &backlot_store::Cache) -> Result<Self> {
        let name = |one: &Evictable| one.path.file_name()?.to_str().map(ToOwned::to_owned);
        let wheels = all_in(&cache.root().join("wheels"))?.into_iter();
        let conda = all_in(&cache.root().join("conda/packages"))?.into_iter();
        Ok(Self {
            objects: cache.evictable_objects()?,
            wheels: wheels
                .filter(|one| one.path.is_dir())
                .filter_map(|one| Some((name(&one)?.parse().ok()?, one)))
                .collect(),
            conda: conda
                .filter(|one| one.path.is_dir())
                .filter_map(|one| Some((name(&one)?, one)))
                .filter(|(name, _)| !name.starts_with('.'))
                .collect(),
        })
    }
}

/// The entries of a folder, which may be absent. Entries removed meanwhile are skipped.
fn all_in(folder: &Path) -> Result<Vec<Evictable>> {
    let mut all = Vec::new();
    if folder.is_dir() {
        for entry in fs::read_dir(folder)? {
            match Evictable::at(&entry?.path()) {
                Ok(one) => all.push(one),
                Err(backlot_store::Error::File(e)) if e.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(all)
}
