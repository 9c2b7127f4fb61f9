//! Searching packages by a query.
//!
//! Invariant: all terms must hold, and they are asked of the newest release that is not yanked (of the newest where all are). Names are matched first, and only those wheels are
//! opened. Of a package index, words are looked for in names only, as each other question is one to its server. Deliberately absent: an index of its own, and the
//! language (`query.rs`).

use backlot_core::Context;
use backlot_pep::{PackageName, Version};
use backlot_wheel::AssetInfo;
use serde::Serialize;

use crate::error::Result;
use crate::query::{Query, Subject};
use crate::release::ReleaseFile;
use crate::release_event::ReleaseStatus;
use crate::repo::Repo;
use crate::store::ReleaseStore;

/// A package that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// The package.
    pub package: PackageName,
    /// Its newest release that is not yanked; pre-releases count only where there is nothing else, yanked ones last.
    pub latest: ReleaseFile,
    /// The status of that release.
    pub status: ReleaseStatus,
    /// All its versions, oldest first.
    pub versions: Vec<Version>,
    /// Those of them that are yanked.
    pub yanked: Vec<Version>,
    /// Its metadata.
    pub summary: Option<String>,
    /// The asset's name, where it is one.
    pub asset_name: Option<String>,
    /// The asset's type.
    pub asset_type: Option<String>,
    /// The asset's tags.
    pub tags: Vec<String>,
}

impl Repo {
    /// The packages that a query finds, sorted by name.
    pub fn search(&self, query: &Query, context: &Context) -> Result<Vec<Found>> {
        search(self, query, context)
    }
}

impl ReleaseStore {
    /// The packages that a query finds, sorted by name.
    pub fn search(&self, query: &Query, context: &Context) -> Result<Vec<Found>> {
        search(&Repo::Store(self.clone()), query, context)
    }
}

/// The packages of a repo that a query finds, sorted by name.
fn search(repo: &Repo, query: &Query, context: &Context) -> Result<Vec<Found>> {
    let only_names = matches!(repo, Repo::Index(_));
    let mut found = Vec::new();
    for package in repo.packages()? {
        context.check()?;
        if !query.admits(&package, only_names) {
            continue;
        }
        let mut releases = repo.offered(&package, context)?;
        releases.dedup_by(|next, kept| next.version == kept.version);
        let Some(latest) = newest(&releases) else {
            continue;
        };
        match look_inside(repo, latest, query, context) {
            Ok(Some(one)) => found.push(Found {
                versions: releases.iter().map(|r| r.version.clone()).collect(),
                yanked: releases
                    .iter()
                    .filter(|release| release.yanked.is_some())
                    .map(|release| release.version.clone())
                    .collect(),
                ..one
            }),
            Ok(None) => {}
            Err(error) => {
                let place = &latest.place();
                context.warn(
                    "repo::broken_release",
                    format!("`{place}` is not searched: {error}"),
                );
            }
        }
    }
    Ok(found)
}

/// The release that people mean by the package: the newest that is not yanked and no pre-release, as far as there is one.
fn newest(releases: &[ReleaseFile]) -> Option<&ReleaseFile> {
    releases
        .iter()
        .max_by_key(|r| (r.yanked.is_none(), !r.version.is_prerelease(), &r.version))
}

/// Ask a release the questions that need its file.
fn look_inside(repo: &Repo, latest: &ReleaseFile, query: &Query, context: &Context) -> Result<Option<Found>> {
    let (metadata, asset) = repo.describe(latest)?;
    let status = repo.status(latest)?;
    let files = if query.asks_for_files() {
        files_of(repo, latest)?
    } else {
        Vec::new()
    };
    let subject = Subject {
        package: &latest.package,
        metadata: &metadata,
        asset: asset.as_ref(),
        status: &status,
        is_yanked: latest.yanked.is_some(),
        files: &files,
        now: context.now(),
    };
    if !query.fits(&subject, matches!(repo, Repo::Index(_))) {
        return Ok(None);
    }
    let (asset_name, asset_type, tags) = asset.map_or((None, None, Vec::new()), |asset: AssetInfo| {
        (Some(asset.name), Some(asset.asset_type), asset.tags)
    });
    Ok(Some(Found {
        package: latest.package.clone(),
        latest: latest.clone(),
        status,
        versions: Vec::new(),
        yanked: Vec::new(),
        summary: metadata.summary.clone(),
        asset_name,
        asset_type,
        tags,
    }))
}

/// The files that a release packages, and the paths of those that it tracks. Of a source distribution nothing is looked up.
fn files_of(repo: &Repo, release: &ReleaseFile) -> Result<Vec<String>> {
    if release.is_sdist() {
        return Ok(Vec::new());
    }
    let archive = repo.archive(release)?;
    let entries = archive.entries().iter().map(|entry| entry.path.as_str());
    let own = entries.filter(|path| !path.starts_with(archive.dist_info()));
    Ok(own
        .map(|path| path.strip_suffix(".dvc").unwrap_or(path).to_owned())
        .collect())
}
