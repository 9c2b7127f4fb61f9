//! The files that conflict with a candidate: usually any file of its version.
//!
//! Invariant: a file counts by its name, also one that cannot be read: a release is never replaced. Deliberately absent: what follows from it
//! (`offer`, `commit`).

use super::{ReleaseStore, package_prefix};
use crate::error::Result;
use crate::layout::RepoKind;
use crate::publish::{ExistingRelease, PublishCandidate, There, unknown};
use crate::release::ReleaseFile;

impl ReleaseStore {
    /// The conflict of a candidate: usually any file of its version, whatever its tags and spelling.
    pub(super) fn find_version(&self, offer: &PublishCandidate) -> Result<Option<ExistingRelease>> {
        let (package, version) = (&offer.name.package, &offer.name.version);
        if self.is_local() && self.kind()? == RepoKind::Empty {
            return Ok(None);
        }
        let names = self.file_names(package)?;
        let names: Vec<&String> = names
            .iter()
            .filter(|(_, v)| v == version)
            .map(|(file, _)| file)
            .collect();
        if names.is_empty() {
            return Ok(None);
        }
        let is_wanted = |file: &str| {
            names
                .iter()
                .any(|name| name.as_str() == file.trim_end_matches(".json"))
        };
        let snapshot = self.snapshot_of(package, &is_wanted)?;
        let there = names.iter().map(|file| {
            let release = snapshot.files().find(|release| release.file == **file);
            There {
                file,
                sha256: release.and_then(|release| self.digest_of(release).ok()),
                of: (*file, release),
            }
        });
        let Some((file, release)) = offer.in_the_way(there.collect()) else {
            return Ok(None);
        };
        let Some(release) = release else {
            // Broken, but in the way: a release is never replaced.
            let key = format!("{}{file}", package_prefix(package));
            return Ok(Some(unknown(self.at(&key))));
        };
        let sha256 = self.digest_of(release).ok();
        let release = ReleaseFile {
            sha256,
            ..release.clone()
        };
        let published = snapshot.status(&release).published;
        let since = published.as_ref().map(|fact| fact.at).or(release.published_at);
        Ok(Some(ExistingRelease {
            place: release.place(),
            at: since,
            author: published.map(|fact| fact.author),
            identical: sha256 == Some(offer.sha256),
        }))
    }

    /// Whether a conflicting file exists: usually any file of its version.
    pub(super) fn has_version(&self, offer: &PublishCandidate) -> Result<bool> {
        let files = self.file_names(&offer.name.package)?;
        let mut same = files.iter().filter(|(_, version)| *version == offer.name.version);
        if offer.siblings.is_none() {
            return Ok(same.next().is_some());
        }
        let same: Vec<&String> = same.map(|(file, _)| file).collect();
        if same.is_empty() || same.contains(&&offer.file) {
            return Ok(!same.is_empty());
        }
        Ok(self.find_version(offer)?.is_some())
    }
}
