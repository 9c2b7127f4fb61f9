//! A release with all its files: the wheels of every platform and build, and the source distribution.
//!
//! Invariant: nothing of a version is left out that its repo lists as good. The files stand in the order in which they are
//! copied: those made for a platform first, of those the latest build first, then what runs everywhere, the source
//! distribution last; so nobody is given the poorer file because the better one is still on its way. Deliberately absent:
//! files of other kinds, which no repo of ours installs.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use backlot_core::Context;
use backlot_pep::{PackageName, Version};

use crate::listing::Listing;
use crate::release::ReleaseFile;

/// All files of one version.
#[derive(Clone, Debug)]
pub struct Release {
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// Its files, at least one.
    pub files: Vec<ReleaseFile>,
}

impl Release {
    /// The representative file of the release: a wheel for any platform, else any wheel, else the source distribution.
    pub fn best(&self) -> &ReleaseFile {
        let rank = |file: &&ReleaseFile| (file.is_sdist(), !file.name.is_pure());
        let best = self.files.iter().min_by_key(rank);
        best.expect("a release has a file")
    }

    /// Whether all of it is yanked.
    pub fn is_yanked(&self) -> bool {
        self.files.iter().all(|file| file.yanked.is_some())
    }
}

/// The releases of a package as it is listed, oldest version first. Unusable files cause one warning each.
pub(crate) fn whole_releases(name: &PackageName, listing: &Listing, context: &Context) -> Vec<Release> {
    let mut releases: BTreeMap<&Version, Vec<ReleaseFile>> = BTreeMap::new();
    for file in listing.files() {
        releases.entry(&file.version).or_default().push(file.clone());
    }
    for other in &listing.unsupported {
        if other
            .version
            .as_ref()
            .is_some_and(|version| releases.contains_key(version))
        {
            let message = format!(
                "`{}` is not part of its release here: {}",
                other.place, other.reason
            );
            context.warn("repo::unsupported_file", message);
        }
    }
    let whole = releases.into_iter().map(|(version, mut files)| {
        files.sort_by_cached_key(|file| {
            (
                file.is_sdist(),
                file.name.is_pure(),
                Reverse(file.name.build_number()),
                file.file.clone(),
            )
        });
        files.dedup_by(|next, kept| {
            let twice = next.kind == kept.kind && next.name == kept.name;
            if twice {
                let message = format!(
                    "`{}` is a duplicate of `{}` and was skipped",
                    next.place(),
                    kept.place()
                );
                context.warn("repo::double_file", message);
            }
            twice
        });
        Release {
            package: name.clone(),
            version: version.clone(),
            files,
        }
    });
    whole.collect()
}
