//! Releases whose tracked files were given to a collection: a status fact, which every collection, check and pull reads.
//!
//! Invariants: a fact contains the time of the status that it is based on, and applies only if the release was not approved or unyanked since then, so if
//! both happen at the same time, the approval wins; wheel, metadata and other facts are kept. Deliberately absent: which releases
//! (`backlot`), and the files.

use std::collections::BTreeMap;

use backlot_core::{Context, Timestamp};
use backlot_pep::{PackageName, Version};

use super::ReleaseStore;
use super::release_events::{Said, new_id};
use crate::error::Result;
use crate::layout::RepoKind;
use crate::publish::{Publication, TOOL};
use crate::release_event::{ReleaseEvent, ReleaseEventKind, ReleaseStatus};
use crate::status_change::time_after;

/// A release whose files a collection may take, and the status that this rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    /// The version.
    pub version: Version,
    /// `deprecated` or `yanked`.
    pub status: String,
    /// Why, as the status says.
    pub reason: String,
    /// When the status was set.
    pub since: Timestamp,
}

impl ReleaseStore {
    /// The versions of a package whose files were given to a collection, with the fact.
    pub fn dropped(&self, package: &PackageName) -> Result<BTreeMap<Version, ReleaseEvent>> {
        // Besides the fact itself there is the status that it rests on.
        let folded = self.folded(package, 2)?.into_iter();
        Ok(folded
            .filter_map(|(version, status)| Some((version, status.dropped?)))
            .collect())
    }

    /// The versions of a package that are deprecated or yanked, not approved since, and not given to a collection yet. One that is both comes twice.
    pub fn withdrawn(&self, package: &PackageName) -> Result<Vec<Withdrawn>> {
        let mut found = Vec::new();
        for (version, status) in self.folded(package, 1)? {
            if status.dropped.is_some() {
                continue;
            }
            let approved = status.approved.iter().map(|fact| fact.at).max();
            for (word, fact) in [("deprecated", status.deprecated), ("yanked", status.yanked)] {
                let Some(fact) = fact.filter(|fact| approved < Some(fact.at)) else {
                    continue;
                };
                found.push(Withdrawn {
                    version: version.clone(),
                    status: word.to_owned(),
                    reason: fact.reason,
                    since: fact.at,
                });
            }
        }
        Ok(found)
    }

    /// Record that the files of a release are given to a collection.
    pub fn drop_files(
        &self,
        package: &PackageName,
        what: &Withdrawn,
        by: &Publication,
        context: &Context,
    ) -> Result<()> {
        self.check_layout()?;
        let said = self.said(package, &what.version)?;
        let at = time_after(said.last.map(|id| id.timestamp_ms()), context.now());
        let fact = ReleaseEvent {
            format: 1,
            kind: ReleaseEventKind::Dropped,
            package: package.clone(),
            version: what.version.clone(),
            file: None,
            sha256: None,
            modified: None,
            remotes: Vec::new(),
            checks: Vec::new(),
            status: Some(what.status.clone()),
            since: Some(what.since),
            author: by.author.clone(),
            reason: what.reason.clone(),
            machine: by.machine.clone(),
            tool: TOOL.to_owned(),
            at,
            time: at.to_string(),
        };
        self.add_named(new_id(at), &fact)?;
        Ok(())
    }

    /// The status of each version of a package. In a folder, versions with fewer facts than `facts` are skipped, without reading them.
    fn folded(&self, package: &PackageName, facts: usize) -> Result<Vec<(Version, ReleaseStatus)>> {
        if self.kind()? != RepoKind::Backlot || !self.admits(package) {
            return Ok(Vec::new());
        }
        let mut folded = Vec::new();
        let mut add = |version: &str, said: &Said| {
            let about: Vec<ReleaseEvent> = said.facts().cloned().collect();
            let version = Version::parse(version).ok();
            // A published fact counts for a digest only, and is of no concern here.
            let status = ReleaseStatus::fold(about, &crate::record::sha256(b""), 0);
            folded.extend(version.map(|version| (version, status)));
        };
        if !self.is_local() {
            for (version, said) in &self.snapshot(package)?.said {
                add(version, said);
            }
            return Ok(folded);
        }
        let prefix = format!("status/{package}/");
        for folder in self.0.objects.names(&prefix)? {
            let Some(version) = folder.strip_suffix('/') else {
                continue;
            };
            let Ok(parsed) = Version::parse(version) else {
                continue;
            };
            if self.0.objects.names(&format!("{prefix}{folder}"))?.len() >= facts {
                add(version, &self.said(package, &parsed)?);
            }
        }
        Ok(folded)
    }
}
