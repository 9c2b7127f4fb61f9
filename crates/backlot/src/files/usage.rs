//! Disk usage of releases on a remote, and what they share with all others.
//!
//! Invariants: a release is compared with every release of the repos; for releases that were not requested only the names of the
//! objects they need are looked up, once each (see [`crate::files::known_outs`]). Shared content is the cost of the release that was
//! published first; releases whose publication time is unknown count as later, in the order of package and version.

use std::collections::BTreeSet;

use backlot_core::Timestamp;
use backlot_pep::{PackageName, Version};
use backlot_store::{ObjectId, Usage};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::files::known_outs::KnownOuts;
use crate::files::references::{NamedRemote, Purpose, ReleaseObjects};
use crate::files::remotes::{admits, check_known};
use crate::workspace::Opened;

/// The usage of a release on a remote.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReleaseUsage {
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// When it was first published to a repo of this workspace, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Timestamp>,
    /// Its files.
    #[serde(flatten)]
    pub usage: Usage,
    /// Manifests of its folders that are neither in the cache nor on the remote: their files are not counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<ObjectId>,
}

impl Opened {
    pub(crate) fn usage(&self, names: &[String], remote: Option<&str>) -> Result<Vec<ReleaseUsage>> {
        let entry = self.remote_entry(remote, "reporting disk usage")?;
        let opened = self.open_remote(entry)?;
        let named = NamedRemote::new(&entry.name, &opened);
        let requirements = self.parse_requirements(names)?;
        let is_asked_for = |package: &PackageName, version: &Version| {
            requirements.is_empty() || requirements.iter().any(|r| admits(r, package, version))
        };
        let known = KnownOuts::load(&self.cache()?, &is_asked_for)?;
        let releases = self.release_objects(named, Purpose::TellKnown(&known), &|_| true)?;
        known.save();
        let packages: BTreeSet<PackageName> = releases.iter().map(|r| r.package.clone()).collect();
        check_known(&requirements, &releases, &packages)?;
        let mut releases: Vec<ReleaseObjects> = releases
            .into_iter()
            .filter(|release| !release.needs.objects.is_empty() || !release.unknown.is_empty())
            .collect();
        releases.sort_by_cached_key(|release| {
            let at = known.published_at(&release.package, &release.version);
            (at.is_none(), at, release.package.clone(), release.version.clone())
        });
        let is_asked_for = |release: &ReleaseObjects| is_asked_for(&release.package, &release.version);
        let groups: Vec<(Vec<ObjectId>, bool)> = releases
            .iter()
            .map(|r| (r.needs.objects.iter().copied().collect(), is_asked_for(r)))
            .collect();
        let usage = opened.usage(&groups, self.context())?;
        let mut reported: Vec<ReleaseUsage> = releases
            .into_iter()
            .zip(usage)
            .filter_map(|(release, usage)| {
                Some(ReleaseUsage {
                    published_at: known.published_at(&release.package, &release.version),
                    package: release.package,
                    version: release.version,
                    usage: usage?,
                    unknown: release.unknown,
                })
            })
            .collect();
        reported.sort_by(|a, b| (&a.package, &a.version).cmp(&(&b.package, &b.version)));
        Ok(reported)
    }
}
