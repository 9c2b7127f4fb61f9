//! What releases and workspaces need of a remote: the objects that their pointers name, down to the last frame.
//!
//! Invariant: a list of what is needed is complete or it is an error. A repo that cannot be read, a pointer that cannot be
//! parsed, a manifest that is nowhere: each stops a collection, since what they name would be taken for garbage.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use backlot_core::{Blake3, PackageName, RelPath, Version};
use backlot_dvc::Pointer;
use backlot_repo::{Release, Repo};
use backlot_store::{Cache, ObjectId, Remote, Transfer};
use backlot_wheel::WheelArchive;

use crate::error::{Error, Result, WorkspaceError};
use crate::workspace::Workspace;

/// A release with the objects of its tracked files.
#[derive(Clone, Debug)]
pub(crate) struct ReleaseObjects {
    pub(crate) package: PackageName,
    pub(crate) version: Version,
    /// The objects, with their proofs where pointers have them. Manifests are among them.
    pub(crate) objects: BTreeMap<ObjectId, Option<Blake3>>,
}

impl ReleaseObjects {
    /// How it is called in messages.
    pub(crate) fn label(&self) -> String {
        format!("{}=={}", self.package, self.version)
    }
}

impl Workspace {
    /// The releases of all repos of this workspace with their objects, each release once. Manifests that are not in the
    /// cache are fetched from `remote`.
    pub(crate) fn release_objects(&self, remote: &Remote) -> Result<Vec<ReleaseObjects>> {
        let cache = self.cache()?;
        let mut pointers: BTreeMap<(PackageName, Version), Vec<Pointer>> = BTreeMap::new();
        let mut seen = HashSet::new();
        for entry in self.repos() {
            let repo = self.open_repo(entry)?;
            for package in repo.packages()? {
                let listing = repo.releases_with_problems(&package)?;
                if let Some(broken) = listing.broken.first() {
                    return Err(WorkspaceError::UnreadableRelease {
                        place: broken.place.clone(),
                        reason: broken.reason.clone(),
                    }
                    .into());
                }
                // What is not installed from there needs nothing either.
                let is_public = entry.public.is_some();
                for source in listing.sources.iter().filter(|_| !is_public) {
                    self.context().check()?;
                    if seen.insert(repo.digest(source)?) {
                        let key = (package.clone(), source.version.clone());
                        let found = pointers_in_sdist(&repo, source)?;
                        pointers.entry(key).or_default().extend(found);
                    }
                }
                for release in listing.releases {
                    self.context().check()?;
                    if seen.insert(repo.digest(&release)?) {
                        let key = (package.clone(), release.version.clone());
                        pointers
                            .entry(key)
                            .or_default()
                            .extend(pointers_in(&repo.archive(&release)?)?);
                    }
                }
            }
        }
        self.objects_of_pointers(pointers, &cache, remote)
    }

    /// These releases of a repo with their objects; manifests that are not in the cache are fetched from `remote`.
    pub(crate) fn objects_in(
        &self,
        releases: &[(&Repo, &Release)],
        remote: &Remote,
    ) -> Result<Vec<ReleaseObjects>> {
        let mut pointers = BTreeMap::new();
        for (repo, release) in releases {
            self.context().check()?;
            let key = (release.package.clone(), release.version.clone());
            pointers.insert(key, pointers_in(&repo.archive(release)?)?);
        }
        self.objects_of_pointers(pointers, &self.cache()?, remote)
    }

    fn objects_of_pointers(
        &self,
        pointers: BTreeMap<(PackageName, Version), Vec<Pointer>>,
        cache: &Cache,
        remote: &Remote,
    ) -> Result<Vec<ReleaseObjects>> {
        let all: Vec<&Pointer> = pointers.values().flatten().collect();
        self.need_manifests(&all, cache, remote)?;
        pointers
            .into_iter()
            .map(|((package, version), pointers)| {
                let mut objects = BTreeMap::new();
                for pointer in &pointers {
                    objects_of(pointer, cache, &mut objects)?;
                }
                Ok(ReleaseObjects {
                    package,
                    version,
                    objects,
                })
            })
            .collect()
    }

    /// The objects that the pointers of this workspace's outputs and inputs name.
    pub(crate) fn workspace_objects(&self, remote: &Remote) -> Result<BTreeMap<ObjectId, Option<Blake3>>> {
        let cache = self.cache()?;
        let tracked = self.tracked(&[], true)?;
        let pointers: Vec<&Pointer> = tracked
            .iter()
            .flat_map(|t| &t.pointers)
            .map(|p| &p.pointer)
            .collect();
        self.need_manifests(&pointers, &cache, remote)?;
        let mut objects = BTreeMap::new();
        for pointer in pointers {
            objects_of(pointer, &cache, &mut objects)?;
        }
        Ok(objects)
    }

    /// Bring the manifests that pointers name into the cache.
    fn need_manifests(&self, pointers: &[&Pointer], cache: &Cache, remote: &Remote) -> Result<()> {
        let mut wanted = Vec::new();
        for id in pointers
            .iter()
            .flat_map(|p| &p.outs)
            .filter_map(backlot_dvc::Out::id)
        {
            if id.tree && !cache.has(&id)? {
                wanted.push(Transfer::of(id));
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        match remote.pull(cache, &wanted, self.context()) {
            Ok(_) => Ok(()),
            Err(backlot_store::Error::Missing { objects, place }) => Err(WorkspaceError::UnknownManifests {
                manifests: objects.iter().map(ToString::to_string).collect(),
                place,
            }
            .into()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The pointers in a wheel.
fn pointers_in(archive: &WheelArchive) -> Result<Vec<Pointer>> {
    let mut pointers = Vec::new();
    for entry in archive.entries() {
        if !is_pointer(&entry.path) {
            continue;
        }
        let Some(bytes) = archive.read(&entry.path)? else {
            continue;
        };
        pointers.push(pointer(&archive.path().join(entry.path.as_str()), bytes)?);
    }
    Ok(pointers)
}

/// The pointers in a source distribution, installed by whom it may be.
fn pointers_in_sdist(repo: &Repo, release: &Release) -> Result<Vec<Pointer>> {
    let files = repo.source(release).and_then(|s| Ok(s.read(&is_pointer)?));
    let files = files.map_err(|error| WorkspaceError::UnreadableRelease {
        place: release.place.clone(),
        reason: error.to_string(),
    })?;
    let path = Path::new(&release.file);
    files
        .into_iter()
        .map(|(inner, bytes)| pointer(&path.join(inner.as_str()), bytes))
        .collect()
}

fn is_pointer(path: &RelPath) -> bool {
    path.as_str().ends_with(".dvc") && !path.as_str().ends_with("/.dvc")
}

fn pointer(path: &Path, bytes: Vec<u8>) -> Result<Pointer> {
    let text = String::from_utf8(bytes).map_err(|_| {
        Error::from(backlot_dvc::Error::BadPointer {
            pointer: path.to_path_buf(),
            reason: "it is no UTF-8 text".to_owned(),
        })
    })?;
    Ok(Pointer::parse(path, &text)?)
}

/// The objects that a pointer names; its manifests are in the cache.
fn objects_of(
    pointer: &Pointer,
    cache: &Cache,
    objects: &mut BTreeMap<ObjectId, Option<Blake3>>,
) -> Result<()> {
    for out in &pointer.outs {
        let Some(id) = out.id() else { continue };
        // The proof of a folder is of its members, not of its manifest.
        let proof = if id.tree { None } else { out.blake3() };
        let slot = objects.entry(id).or_insert(proof);
        *slot = slot.or(proof);
        if id.tree {
            for entry in backlot_dvc::read_manifest(cache, &id)?.entries() {
                objects.entry(ObjectId::file(entry.md5)).or_insert(None);
            }
        }
    }
    Ok(())
}
