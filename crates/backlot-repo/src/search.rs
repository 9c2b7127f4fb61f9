//! Searching packages by name, asset type, tag, keyword.
//!
//! Invariant: all given conditions must hold, and they are asked of the newest release that is not yanked (of the newest where all are). Deliberately
//! absent: an index of its own; names are matched first, and only those wheels are opened.

use backlot_core::Context;
use backlot_pep::{PackageName, Version};
use backlot_wheel::AssetInfo;
use serde::Serialize;

use crate::error::Result;
use crate::release::ReleaseFile;
use crate::release_event::ReleaseStatus;
use crate::repo::Repo;
use crate::store::ReleaseStore;

backlot_core::options! {
    /// The query; an empty one matches everything.
    #[derive(Default)]
    pub struct Query {
        /// A part of the package's or asset's name, in any case, `-` and `_` alike.
        pub name: Option<String>,
        /// The asset's type, in any case.
        pub asset_type: Option<String>,
        /// One of the asset's tags, in any case.
        pub tag: Option<String>,
        /// A part of a keyword or of the summary, in any case.
        pub keyword: Option<String>,
    }
}

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
    let mut found = Vec::new();
    for package in repo.packages()? {
        context.check()?;
        // An asset's name is the package's but for case, `-`, `_` and spaces, so the cheap question comes first.
        if let Some(name) = &query.name
            && !fold(package.as_str()).contains(&fold(name))
        {
            continue;
        }
        let mut releases = repo.offered(&package, context)?;
        releases.dedup_by(|next, kept| next.version == kept.version);
        let Some(latest) = newest(&releases) else {
            continue;
        };
        match look_inside(repo, latest, query) {
            Ok(Some(one)) => found.push(Found {
                status: repo.status(latest)?,
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
fn look_inside(repo: &Repo, latest: &ReleaseFile, query: &Query) -> Result<Option<Found>> {
    let (metadata, asset) = repo.describe(latest)?;
    let is_type = |wanted: &String| {
        asset
            .as_ref()
            .is_some_and(|a| fold(&a.asset_type) == fold(wanted))
    };
    let has_tag = |wanted: &String| {
        asset
            .as_ref()
            .is_some_and(|a| a.tags.iter().any(|t| fold(t) == fold(wanted)))
    };
    let has_keyword = |wanted: &String| {
        let mut texts = metadata.keywords.iter().chain(&metadata.summary);
        texts.any(|t| fold(t).contains(&fold(wanted)))
    };
    if !query.asset_type.as_ref().is_none_or(is_type)
        || !query.tag.as_ref().is_none_or(has_tag)
        || !query.keyword.as_ref().is_none_or(has_keyword)
    {
        return Ok(None);
    }
    let (asset_name, asset_type, tags) = asset.map_or((None, None, Vec::new()), |asset: AssetInfo| {
        (Some(asset.name), Some(asset.asset_type), asset.tags)
    });
    Ok(Some(Found {
        package: latest.package.clone(),
        latest: latest.clone(),
        status: ReleaseStatus::default(),
        versions: Vec::new(),
        yanked: Vec::new(),
        summary: metadata.summary.clone(),
        asset_name,
        asset_type,
        tags,
    }))
}

/// A text for comparing: lower case, separators alike.
fn fold(text: &str) -> String {
    text.trim().to_lowercase().replace(['_', ' ', '.'], "-")
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn an_assets_name_is_found_however_it_is_spelled() {
        assert!(fold("main-pack").contains(&fold("Main Pack")));
        assert!(fold("main-pack").contains(&fold("ain_p")));
        assert!(!fold("main-pack").contains(&fold("chair")));
    }
}
