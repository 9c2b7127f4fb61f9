//! What the releases of a repo say of themselves: requirements, and what they were made of; kept in the cache of the machine.
//!
//! Invariants: what a wheel says is read once and kept by the wheel's digest; which wheels there are, and what was said of them since, is listed
//! again unless the repo's own sign says that nothing changed. So an index can be deleted, and one that is damaged or of another format counts as
//! absent. The format is in `docs/format/release-index.md`. Deliberately absent: choosing versions.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use backlot_core::{Diagnostic as _, Operation, RelPath, Sha256};
use backlot_pep::PackageName;
use backlot_repo::{Listing, MemberFilter, ReleaseFile, Repo};
use backlot_wheel::{AssetInfo, EntryPoints, Metadata};
use rayon::prelude::*;
use sha2::Digest as _;

use crate::cascade::index_file::{self, About, IndexedPackage, IndexedRelease};
use crate::cascade::ledger::Attestations;
use crate::error::{Error, Result};
use crate::project::provenance::{PROVENANCE_FILE, Provenance};
use crate::workspace::Opened;
use crate::workspace::config::RepoEntry;

/// How many wheels are read between two looks at whether to go on.
const CHUNK: usize = 64;
/// The most packages of an index behind HTTP: a larger one is a mirror of a public index, which has no assets of the studio.
const MOST_OF_AN_INDEX: usize = 20_000;
/// The largest kept index that is read beside another command.
const CHEAP_BYTES: u64 = 4 << 20;
/// The most wheels that are read beside another command.
const CHEAP_READS: usize = 64;

/// The files of a release that say what it is.
const ABOUT: MemberFilter<'static> = MemberFilter {
    name: "about",
    is: &is_about,
};

fn is_about(path: &RelPath) -> bool {
    let Some((folder, name)) = path.as_str().split_once('/') else {
        return false;
    };
    folder.ends_with(".dist-info") && ["METADATA", "entry_points.txt", PROVENANCE_FILE].contains(&name)
}

/// How much may be done for an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Whatever it takes.
    Full,
    /// Little, and nothing that asks a server: else there is no index.
    Cheap,
    /// The same, and nothing is written.
    Look,
}

/// The releases of a repo.
#[derive(Debug, Default)]
pub(crate) struct ReleaseIndex {
    /// The repo, as configured.
    pub(crate) repo: String,
    pub(crate) packages: BTreeMap<PackageName, IndexedPackage>,
    /// What cascades found its releases to be right for, too.
    pub(crate) attested: Attestations,
}

/// A release as it was read.
struct Read {
    about: About,
    requires_python: Option<String>,
    unclear: bool,
}

impl ReleaseIndex {
    /// A sign of all that it says: another for another state of the repo.
    pub(crate) fn state(&self) -> u64 {
        let mut hasher = sha2::Sha256::new();
        for (name, package) in &self.packages {
            hasher.update(name.as_str());
            for release in &package.releases {
                // It is that of one version.
                hasher.update(release.sha256.as_bytes());
                hasher.update([
                    u8::from(release.yanked.is_some()),
                    u8::from(release.deprecated.is_some()),
                ]);
            }
        }
        for (name, versions) in &self.attested {
            for (version, inputs) in versions {
                hasher.update(format!("{name} {version}"));
                for digest in inputs {
                    hasher.update(digest.0.as_bytes());
                }
            }
        }
        let digest: [u8; 32] = hasher.finalize().into();
        // Numbers in JSON are exact up to 53 bits.
        let bytes = [
            0, 0, digest[0], digest[1], digest[2], digest[3], digest[4], digest[5],
        ];
        u64::from_be_bytes(bytes)
    }
}

impl Opened {
    /// The indexes of the studio's repos, preferred first, as the repos are now. `None` if that takes more than was allowed.
    pub(crate) fn release_indexes(&self, effort: Effort) -> Result<Option<Vec<ReleaseIndex>>> {
        let mut indexes = Vec::new();
        // What is outside the studio is not the studio's to rebuild, and hears only names on its list.
        for entry in self.repos().into_iter().filter(|entry| entry.public.is_none()) {
            if effort != Effort::Full && entry.is_remote() {
                return Ok(None);
            }
            match self.release_index(entry, effort)? {
                Some(index) => indexes.push(index),
                None => return Ok(None),
            }
        }
        Ok(Some(indexes))
    }

    fn release_index(&self, entry: &RepoEntry, effort: Effort) -> Result<Option<ReleaseIndex>> {
        let repo = self.open_repo(entry)?;
        let path = self.index_path(&repo)?;
        let is_large = || fs_err::metadata(&path).is_ok_and(|kept| kept.len() > CHEAP_BYTES);
        if effort != Effort::Full && is_large() {
            return Ok(None);
        }
        let mut known = index_file::load(&path)?;
        let names = repo.package_names()?;
        if matches!(repo, Repo::Index(_)) && names.len() > MOST_OF_AN_INDEX {
            let message = format!(
                "`{}` is skipped: it has {} packages, more than {MOST_OF_AN_INDEX}",
                entry.name,
                names.len()
            );
            self.context().warn("cascade::repo_passed_over", message);
            return Ok(Some(ReleaseIndex {
                repo: entry.name.clone(),
                ..ReleaseIndex::default()
            }));
        }
        let now = self.context().now();
        let holds = |name: &PackageName, package: &IndexedPackage| {
            let stamp = package.stamp.as_ref();
            stamp.is_some_and(|stamp| repo.holds(stamp, name, now))
        };
        let names: Vec<(PackageName, Option<IndexedPackage>)> = names
            .into_iter()
            .map(|name| match known.remove_entry(&name) {
                Some((name, package)) => (name, Some(package)),
                None => (name, None),
            })
            .collect();
        let same: Vec<bool> = self.context().pool().install(|| {
            let each = names.par_iter().with_min_len(CHUNK);
            each.map(|(name, package)| package.as_ref().is_some_and(|package| holds(name, package)))
                .collect()
        });
        let (mut packages, mut changed) = (BTreeMap::new(), Vec::new());
        for ((name, package), is_same) in names.into_iter().zip(same) {
            match package {
                Some(package) if is_same => drop(packages.insert(name, package)),
                before => changed.push((name, before.unwrap_or_default())),
            }
        }
        let is_new = !changed.is_empty() || !known.is_empty();
        let Some(read) = self.read_packages(&repo, changed, effort)? else {
            return Ok(None);
        };
        packages.extend(read);
        if is_new && effort != Effort::Look {
            // A disk that does not take it only costs reading it all again.
            index_file::write(&path, &packages).ok();
        }
        Ok(Some(ReleaseIndex {
            repo: entry.name.clone(),
            packages,
            attested: self.attestations(entry)?,
        }))
    }

    /// Where the index of a repo is kept: by its place and identity.
    fn index_path(&self, repo: &Repo) -> Result<PathBuf> {
        let identity = repo.identity()?;
        let identity = identity
            .as_ref()
            .and_then(|identity| identity.name())
            .unwrap_or_default();
        let digest = sha2::Sha256::digest(format!("{identity} {}", repo.place()));
        let name = Sha256::from_bytes(digest.into()).to_hex();
        Ok(self.cache_dir().join("releases").join(format!("{name}.index")))
    }

    /// Packages as a repo has them now. What is known of a file that is still there is not read again.
    fn read_packages(
        &self,
        repo: &Repo,
        changed: Vec<(PackageName, IndexedPackage)>,
        effort: Effort,
    ) -> Result<Option<Vec<(PackageName, IndexedPackage)>>> {
        if repo.is_remote() && !changed.is_empty() {
            let names: Vec<PackageName> = changed.iter().map(|(name, _)| name.clone()).collect();
            repo.prefetch(&names)?;
        }
        let (mut packages, mut unread) = (Vec::with_capacity(changed.len()), Vec::new());
        for (name, before) in changed {
            self.context().check()?;
            let (listing, stamp) = repo.stamped_listing(&name, self.context())?;
            let mut package = IndexedPackage {
                stamp: stamp.filter(|_| listing.broken.is_empty()),
                releases: Vec::new(),
            };
            for files in versions(&listing) {
                let mut digests = Vec::with_capacity(files.len());
                for file in &files {
                    digests.push(repo.digest(file)?);
                }
                let known = before.releases.iter().find(|known| known.sha256 == digests[0]);
                if known.is_none() {
                    unread.push((packages.len(), package.releases.len(), files[0].clone()));
                }
                package.releases.push(IndexedRelease {
                    version: files[0].version.clone(),
                    sha256: digests[0],
                    content: known.map_or(digests[0], |known| known.content),
                    others: digests.split_off(1),
                    yanked: files[0].yanked.clone(),
                    deprecated: files[0].deprecated.clone(),
                    requires_python: known.and_then(|known| known.requires_python.clone()),
                    unclear: known.is_some_and(|known| known.unclear),
                    about: known.map(|known| known.about.clone()).unwrap_or_default(),
                    requirements: OnceLock::new(),
                });
            }
            packages.push((name, package));
        }
        if effort != Effort::Full && unread.len() > CHEAP_READS {
            return Ok(None);
        }
        let running = self.context().start(Operation::Scan, unread.len() as u64, 0);
        let mut left_out: Vec<(usize, usize)> = Vec::new();
        for some in unread.chunks(CHUNK * self.context().pool().threads()) {
            self.context().check()?;
            let files: Vec<&ReleaseFile> = some.iter().map(|(_, _, file)| file).collect();
            let abouts = self.context().pool().install(|| about_all(repo, &files));
            for ((at, release, file), about) in some.iter().zip(abouts) {
                match about {
                    Ok(read) => {
                        let release = &mut packages[*at].1.releases[*release];
                        let record = read.about.record.as_ref();
                        release.content = record.map_or(release.sha256, |record| record.content);
                        release.requires_python = read.requires_python;
                        release.unclear = read.unclear;
                        release.about = read.about.into();
                    }
                    Err(error) if is_about_file(&error) => {
                        let message = format!("`{}` is skipped: {error}", file.place());
                        self.context().warn("repo::broken_release", message);
                        left_out.push((*at, *release));
                    }
                    Err(error) => return Err(error),
                }
            }
            running.advance(some.len() as u64, 0);
        }
        for (at, release) in left_out.into_iter().rev() {
            let package = &mut packages[at].1;
            package.releases.remove(release);
            // So that it is looked at again.
            package.stamp = None;
        }
        Ok(Some(packages))
    }
}

/// Whether an error says something of a file, and not of the way to it.
fn is_about_file(error: &Error) -> bool {
    use backlot_core::Class;
    matches!(error.class(), Class::Integrity | Class::User | Class::NotFound)
}

/// The files of each version, the one that stands for it first; oldest version first.
fn versions(listing: &Listing) -> Vec<Vec<&ReleaseFile>> {
    let mut all: Vec<Vec<&ReleaseFile>> = Vec::new();
    for file in listing.offered() {
        match all.last_mut() {
            Some(last) if last[0].version == file.version => last.push(file),
            _ => all.push(vec![file]),
        }
    }
    all
}

/// What releases say of themselves, in their order; many at once.
fn about_all(repo: &Repo, files: &[&ReleaseFile]) -> Vec<Result<Read>> {
    let chunks: Vec<Vec<Result<Read>>> = if repo.is_remote() {
        // It asks many at once itself.
        vec![about_some(repo, files)]
    } else {
        files
            .par_chunks(CHUNK)
            .map(|some| about_some(repo, some))
            .collect()
    };
    chunks.into_iter().flatten().collect()
}

fn about_some(repo: &Repo, files: &[&ReleaseFile]) -> Vec<Result<Read>> {
    let wheels = files.iter().all(|file| !file.is_sdist());
    match wheels.then(|| repo.read_inside(files, &ABOUT)) {
        Some(Ok(inside)) => inside
            .into_iter()
            .zip(files)
            .map(|(files, release)| parse(release, &files))
            .collect(),
        // One of them cannot be read, or is built by others.
        Some(Err(_)) | None => files.iter().map(|file| about_one(repo, file)).collect(),
    }
}

fn about_one(repo: &Repo, file: &ReleaseFile) -> Result<Read> {
    if file.is_sdist() {
        let (metadata, asset) = repo.describe(file)?;
        return Ok(about(&metadata, asset, None));
    }
    let inside = repo.read_inside(&[file], &ABOUT)?;
    parse(file, &inside.into_iter().flatten().collect::<Vec<_>>())
}

fn parse(release: &ReleaseFile, files: &[(RelPath, Vec<u8>)]) -> Result<Read> {
    let text = |name: &str| {
        let mut found = files.iter().filter(|(path, _)| path.file_name() == name);
        found
            .next()
            .map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned())
    };
    let metadata = Metadata::parse(&text("METADATA").unwrap_or_default())?;
    if metadata.package() != release.package || metadata.version != release.version {
        return Err(backlot_wheel::Error::BadMetadata {
            of: release.file.clone(),
            reason: format!("it is that of {} {}", metadata.name, metadata.version),
        }
        .into());
    }
    let entry_points = EntryPoints::parse(&text("entry_points.txt").unwrap_or_default());
    let asset = AssetInfo::from_metadata(&metadata, &entry_points);
    let provenance = text(PROVENANCE_FILE).and_then(|text| serde_json::from_str::<Provenance>(&text).ok());
    Ok(about(&metadata, asset, provenance))
}

fn about(metadata: &Metadata, asset: Option<AssetInfo>, provenance: Option<Provenance>) -> Read {
    let name = asset.map(|asset| asset.name);
    let says = About {
        requires: metadata
            .requires_dist
            .iter()
            .map(|requirement| requirement.text().to_owned())
            .collect(),
        groups: metadata.provides_extra.clone(),
        // What Backlot built without an asset's entry point is one, too.
        asset: name.or_else(|| provenance.as_ref().map(|_| metadata.name.clone())),
        record: provenance.and_then(|provenance| provenance.record),
    };
    Read {
        about: says,
        requires_python: metadata.requires_python.as_ref().map(ToString::to_string),
        unclear: !metadata.invalid_requires.is_empty(),
    }
}
