//! The tree of a bundle: its wheels installed as in any environment, relocatable, with tracked files beside their pointers.
//!
//! The same install serves both sides: a bundle is made of the tree, and an import learns from it which files the wheels need.
//! Invariant: nothing in it names a place, of this machine or another; where a wheel came from is left out (PEP 610).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backlot_core::{LinkMode, RelPath};
use backlot_dvc::TrackedPointer;
use backlot_pep::PackageName;
use backlot_store::{Cache, FileDigests, ObjectId};
use backlot_wheel::{InstalledDist, Layout, Owners, WheelArchive};
use fs_err as fs;

use crate::environment::Environment;
use crate::environment::lockfile::LockedPackage;
use crate::environment::place::Placing;
use crate::environment::plan::EnvironmentPlan;
use crate::error::Result;
use crate::files::tracked::Tracked;
use crate::workspace::Opened;

/// Where the tree is in a bundle.
pub(crate) const TREE: &str = "tree";

/// Installed wheels.
pub(crate) struct Tree {
    /// The installed packages, sorted by name.
    pub(crate) dists: Vec<InstalledDist>,
    /// Those that have tracked files.
    pub(crate) tracked: Vec<TrackedRelease>,
}

/// A release with tracked files.
pub(crate) struct TrackedRelease {
    pub(crate) package: PackageName,
    /// As it is called in messages.
    pub(crate) label: String,
    pub(crate) files: Tracked,
}

/// The shape of the tree: a plain one, with scripts that run the `python` beside them.
fn layout(root: &Path) -> Layout {
    Layout {
        python: RelPath::parse("bin/python").ok(),
        ..Layout::plain(root)
    }
}

/// Site-packages in a bundle.
pub(crate) fn site_packages() -> String {
    let inside = Layout::plain(Path::new("")).purelib;
    format!("{TREE}/{inside}")
}

impl Opened {
    /// Install wheels into a folder that is made. They are unpacked in `aside`, on the same disk.
    pub(crate) fn install_tree(
        &self,
        wheels: &[(LockedPackage, PathBuf)],
        root: &Path,
        aside: &Path,
    ) -> Result<Tree> {
        let layout = layout(root);
        fs::create_dir_all(layout.site_packages())?;
        fs::create_dir_all(aside)?;
        let mut unpacked = BTreeMap::new();
        for (number, (package, wheel)) in wheels.iter().enumerate() {
            self.context().check()?;
            let folder = aside.join(number.to_string());
            backlot_wheel::unpack(&WheelArchive::open(wheel)?, &folder, self.context())?;
            unpacked.insert(package.name.clone(), folder);
        }
        let plan = EnvironmentPlan::of(wheels.iter().map(|(package, _)| package.clone()));
        let placing = Placing {
            layout: &layout,
            owners: &Owners::default(),
            links: &[LinkMode::Hardlink, LinkMode::Copy],
        };
        self.place_all(&plan, &unpacked, &[], &placing)?;
        let environment = Environment { layout };
        Self::refuse_foreign_outs_in(&environment)?;
        let dists = environment.installed()?;
        let mut tracked = Vec::new();
        for dist in &dists {
            let files = Self::tracked_of_dist(&environment, dist)?;
            if !files.pointers.is_empty() {
                tracked.push(TrackedRelease {
                    package: dist.metadata.package(),
                    label: format!("{}=={}", dist.metadata.name, dist.metadata.version),
                    files,
                });
            }
        }
        Ok(Tree { dists, tracked })
    }
}

impl Tree {
    /// All pointers.
    pub(crate) fn pointers(&self) -> Vec<&TrackedPointer> {
        let pointers = self.tracked.iter().flat_map(|one| &one.files.pointers);
        pointers.collect()
    }

    /// The content that lies in the tree, by path: of a folder each file. Second, the manifests of folders.
    pub(crate) fn contents(&self, cache: &Cache) -> Result<(BTreeMap<PathBuf, ObjectId>, Vec<ObjectId>)> {
        let (mut files, mut manifests) = (BTreeMap::new(), Vec::new());
        for (place, out) in self.pointers().into_iter().flat_map(TrackedPointer::located_outs) {
            let Some(id) = out.id().filter(|_| out.cache) else {
                continue;
            };
            if !id.tree {
                files.insert(place, id);
            } else if cache.has(&id)? {
                let manifest = backlot_dvc::read_manifest(cache, &id)?;
                let members = manifest.entries().iter();
                files.extend(members.map(|entry| (entry.path.to_path(&place), ObjectId::file(entry.md5))));
                manifests.push(id);
            }
        }
        // What was never pushed is not there.
        files.retain(|path, _| path.is_file());
        manifests.sort();
        manifests.dedup();
        Ok((files, manifests))
    }
}

/// Digests of objects of the cache, which have the bytes their names say.
pub(crate) fn digests_of(cache: &Cache, mut ids: Vec<ObjectId>) -> Result<BTreeMap<ObjectId, FileDigests>> {
    ids.sort();
    ids.dedup();
    let digests = cache.proven_of_all(&ids)?;
    Ok(ids.into_iter().zip(digests).collect())
}
