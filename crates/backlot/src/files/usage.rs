//! Disk usage of releases on a remote, and what they share with all others.
//!
//! Invariant: what is told of a release is told against every release of the repos; of those that were not asked about only the
//! names of what they need are looked up, once each (see [`crate::files::known_outs`]).

use std::collections::BTreeSet;

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
    /// Its files.
    #[serde(flatten)]
    pub usage: Usage,
    /// Manifests of its folders that are neither in the cache nor on the remote: their files are not counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<ObjectId>,
}

impl Opened {
    pub(crate) fn usage(&self, names: &[String], remote: Option<&str>) -> Result<Vec<ReleaseUsage>> {
        let entry = self.remote_entry(remote, "telling what is stored")?;
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
        releases.sort_by(|a, b| (&a.package, &a.version).cmp(&(&b.package, &b.version)));
        let is_asked_for = |release: &ReleaseObjects| is_asked_for(&release.package, &release.version);
        let groups: Vec<(Vec<ObjectId>, bool)> = releases
            .iter()
            .map(|r| (r.needs.objects.iter().copied().collect(), is_asked_for(r)))
            .collect();
        let usage = opened.usage(&groups, self.context())?;
        Ok(releases
            .into_iter()
            .zip(usage)
            .filter_map(|(release, usage)| {
                Some(ReleaseUsage {
                    package: release.package,
                    version: release.version,
                    usage: usage?,
                    unknown: release.unknown,
                })
            })
            .collect())
    }
}
