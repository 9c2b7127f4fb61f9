//! Tracked files of installed releases lie inside their own package.
//!
//! A pointer in a wheel says where files will be placed, so what holds for the files of wheels holds for what pointers name:
//! no package writes over the files of another, or into its folders. Invariant: a pull that would is refused before it fetches
//! anything, and an uninstall never removes what another package's RECORD names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use backlot_core::RelPath;
use backlot_dvc::Pointer;
use backlot_pep::PackageName;
use backlot_wheel::{InstalledDist, parse_record};

use crate::environment::Environment;
use crate::error::{OutsError, Result};
use crate::files::tracked::Tracked;
use crate::workspace::Opened;

/// The files that installed packages have by their RECORDs.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    owners: BTreeMap<RelPath, PackageName>,
    /// The folders directly in site-packages that each has files in.
    tops: BTreeSet<(PackageName, String)>,
    /// The files of modules, by the paths that they are imported by.
    modules: BTreeMap<String, (String, PackageName)>,
}

impl Recorded {
    pub(crate) fn of(dists: &[InstalledDist]) -> Result<Self> {
        let mut recorded = Self::default();
        for dist in dists {
            let package = dist.metadata.package();
            let record = dist.read_dist_info("RECORD")?.unwrap_or_default();
            for entry in parse_record(&String::from_utf8_lossy(&record)) {
                let Ok(path) = RelPath::parse(&entry.path) else {
                    continue;
                };
                // A pointer does not count as a file of the package: its target is what is checked.
                if let Some((top, _)) = path.as_str().split_once('/')
                    && !path.as_str().ends_with(".dvc")
                {
                    recorded.tops.insert((package.clone(), top.to_owned()));
                }
                if let Some(module) = module_of(&path) {
                    let file = (path.to_string(), package.clone());
                    recorded.modules.insert(module, file);
                }
                recorded.owners.insert(path, package.clone());
            }
        }
        Ok(recorded)
    }

    /// The recorded files at a path, below it, or that it lies below.
    fn at<'a>(&'a self, place: &'a RelPath) -> impl Iterator<Item = (&'a RelPath, &'a PackageName)> {
        let mut above = Vec::new();
        let mut next = place.parent();
        while let Some(path) = next {
            next = path.parent();
            above.extend(self.owners.get_key_value(&path));
        }
        // Those below it begin with its name, as do some beside it.
        let below = self.owners.range(place.clone()..);
        let below = below.take_while(|(path, _)| path.as_str().starts_with(place.as_str()));
        above
            .into_iter()
            .chain(below.filter(|(path, _)| path.is_within(place)))
    }

    /// A module of another package that Python would not see any more behind what is at a place: `a/b.py` behind a folder `a/b`,
    /// or what is in `a/b` behind a file `a/b.py`.
    fn shadowed<'a>(
        &'a self,
        package: &PackageName,
        place: &'a RelPath,
    ) -> Option<(String, &'a PackageName)> {
        let is_other = |owner: &&PackageName| *owner != package;
        let folders = std::iter::successors(Some(place.clone()), RelPath::parent);
        let mut behind = folders.filter_map(|folder| self.modules.get(folder.as_str()));
        if let Some((file, owner)) = behind.find(|(_, owner)| is_other(&owner)) {
            return Some((file.clone(), owner));
        }
        let stem = place.as_str().strip_suffix(".py")?;
        let stem = RelPath::parse(stem).ok()?;
        let below = self.owners.range(stem.clone()..);
        let mut below = below.take_while(|(path, _)| path.as_str().starts_with(stem.as_str()));
        let inside = below.find(|(path, owner)| path.is_within(&stem) && is_other(owner));
        inside.map(|(path, owner)| (path.to_string(), owner))
    }

    /// Why an out of a package may not be at a place; `None` if it may.
    fn objection(&self, package: &PackageName, place: &RelPath) -> Option<String> {
        if let Some((path, owner)) = self.at(place).find(|(_, owner)| *owner != package) {
            return Some(format!("`{path}` is a file of {owner}"));
        }
        if let Some((module, owner)) = self.shadowed(package, place) {
            return Some(format!("Python would import it instead of `{module}` of {owner}"));
        }
        let Some((top, _)) = place.as_str().split_once('/') else {
            return Some(format!("it is not inside a folder of {package}"));
        };
        let own = self.tops.contains(&(package.clone(), top.to_owned()));
        (!own).then(|| format!("`{top}` is not a folder of {package}"))
    }

    /// A pointer with those outs only at which no package has a file.
    pub(crate) fn without_recorded(&self, pointer: &Pointer, folder: Option<&RelPath>) -> Pointer {
        let mut pointer = pointer.clone();
        let base = pointer.wdir.clone();
        pointer.outs.retain(|out| {
            let mut place = out.path.clone();
            for above in base.iter().chain(folder) {
                place = place.below(above);
            }
            self.at(&place).next().is_none()
        });
        pointer
    }
}

/// The path that a file is imported by, with slashes, if it is a module: `a/b` of `a/b.py` and of `a/b.abi3.so`.
fn module_of(path: &RelPath) -> Option<String> {
    let text = path.as_str();
    let is_module = [".py", ".so", ".pyd"].iter().any(|end| text.ends_with(end));
    let name = path.file_name();
    let stem = name.split_once('.')?.0;
    is_module.then(|| format!("{}{stem}", &text[..text.len() - name.len()]))
}

/// Places of outs with their packages, so that what lies above and below a place is found without a look at all others.
#[derive(Default)]
struct Outs(BTreeMap<String, PackageName>);

impl Outs {
    /// An out of another package at, above or below a place.
    fn overlapping(&self, place: &RelPath, package: &PackageName) -> Option<(&String, &PackageName)> {
        let place = place.as_str();
        let above = place.match_indices('/').map(|(at, _)| &place[..at]);
        let mut above = above.chain([place]).filter_map(|path| self.0.get_key_value(path));
        let start = format!("{place}/");
        let below = self.0.range(start.clone()..);
        let mut below = below.take_while(|(path, _)| path.starts_with(&start));
        let is_other = |found: &(&String, &PackageName)| found.1 != package;
        above.find(is_other).or_else(|| below.find(is_other))
    }
}

impl Opened {
    /// An error if a pointer of an installed release names files that are not its own package's to have.
    pub(crate) fn refuse_foreign_outs(&self, tracked: &[Tracked]) -> Result<()> {
        let Some(environment) = self.environment()? else {
            return Ok(());
        };
        if !tracked.iter().any(|one| one.installed) {
            return Ok(());
        }
        Self::refuse_foreign_outs_in(&environment)
    }

    /// The same of all that is installed in an environment.
    pub(crate) fn refuse_foreign_outs_in(environment: &Environment) -> Result<()> {
        let site_packages = environment.site_packages();
        let dists = environment.installed()?;
        let recorded = Recorded::of(&dists)?;
        let (mut outs, mut places) = (Outs::default(), Vec::new());
        for dist in dists.iter().filter(|dist| dist.editable.is_none()) {
            let package = dist.metadata.package();
            for pointer in Self::tracked_of_dist(environment, dist)?.pointers {
                for (place, _) in pointer.located_outs() {
                    let place = RelPath::from_path(place.strip_prefix(&site_packages).unwrap_or(&place))?;
                    let reason = match outs.overlapping(&place, &package) {
                        Some((path, owner)) => Some(format!("{owner} tracks `{path}`")),
                        None => recorded.objection(&package, &place),
                    };
                    if let Some(reason) = reason {
                        return Err(foreign(&package, pointer.file(), &site_packages, &place, reason));
                    }
                    outs.0.insert(place.to_string(), package.clone());
                    places.push(place);
                }
            }
        }
        // Two packages may share a folder of modules, so names of both meet in it.
        Ok(backlot_dvc::refuse_twins(&site_packages, &places)?)
    }
}

fn foreign(
    package: &PackageName,
    pointer: &Path,
    site_packages: &Path,
    place: &RelPath,
    reason: String,
) -> crate::error::Error {
    let pointer = pointer.strip_prefix(site_packages).unwrap_or(pointer);
    OutsError::Foreign {
        package: package.clone(),
        pointer: pointer.display().to_string(),
        path: place.to_string(),
        reason,
    }
    .into()
}
