//! Mirroring: copying the releases that another repo does not have, with their status.
//!
//! Invariants: as in a copy, releases are whole, files come before releases and what is needed before what needs it; nothing
//! in the target is changed or removed. It has no state of its own: a run that was killed is continued by the next, which copies what is
//! missing. Deliberately absent: removing what the source does not have.

use std::collections::BTreeMap;

use backlot_core::options;
use backlot_core::wildcard::Wildcard;
use backlot_core::{Class, Diagnostic, Operation};
use backlot_pep::{PackageName, Version};
use backlot_repo::{Release, ReleaseFile};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::files::remotes::CopyFilesReport;
use crate::releases::copy::{CopiedRelease, CopyState, Ends, Fit, PlannedRelease, dependencies_first};
use crate::validate::promotion::PromotionChecks;
use crate::workspace::Opened;

options! {
    /// The releases to mirror, and the target.
    #[derive(Default)]
    pub struct MirrorOptions {
        /// The repo to read.
        pub from: String,
        /// The repo to fill.
        pub to: String,
        /// Only packages whose normalised name fits this pattern: `*` any text, `?` any character.
        pub names: Option<String>,
        /// Only this number of the newest releases of each package, without yanked ones.
        pub newest: Option<usize>,
        /// Copy the files of the releases as well.
        pub files: bool,
        /// Where the files are, instead of the default remote.
        pub from_remote: Option<String>,
        /// Where they shall be.
        pub to_remote: Option<String>,
        /// Why, for the record.
        pub message: Option<String>,
        /// Change nothing.
        pub dry_run: bool,
    }
}

/// The result of mirroring.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MirrorReport {
    /// The repo that was read.
    pub from: String,
    /// The repo that was filled.
    pub to: String,
    /// The releases that were copied or completed, requirements first.
    pub copied: Vec<CopiedRelease>,
    /// How many were there already.
    pub already_there: u64,
    /// How many facts (approvals, yanks) are new in the target.
    pub facts: u64,
    /// Releases with different contents in the target, which are left unchanged.
    pub conflicts: Vec<MirrorConflict>,
    /// The files, if requested.
    pub files: Option<CopyFilesReport>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// A release that the target has with other bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MirrorConflict {
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// The files in the target that are not those of the source.
    pub files: Vec<String>,
}

/// The two repos have different contents for some releases; the report lists them.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{to} has {} with different contents than {from}", backlot_core::text::count(*count as u64, "release"))]
pub struct ReposDiffer {
    /// The repo that was read.
    pub from: String,
    /// The repo that was filled.
    pub to: String,
    /// How many releases.
    pub count: usize,
}

impl Diagnostic for ReposDiffer {
    fn code(&self) -> &'static str {
        "mirror::other_bytes"
    }
    fn class(&self) -> Class {
        Class::Conflict
    }
    fn help(&self) -> Option<String> {
        Some(
            "a release is never replaced: determine which one is correct, and publish it under a new version"
                .to_owned(),
        )
    }
}

/// The missing releases of a package in the target, with the action for each.
type Wanted = Vec<PlannedRelease>;

impl Opened {
    pub(crate) fn mirror(&self, options: &MirrorOptions) -> Result<MirrorReport> {
        let ends = Ends {
            source: self.open_repo(self.repo_entry(&options.from)?)?,
            target: self.open_repo(self.repo_entry(&options.to)?)?,
            reason: options
                .message
                .clone()
                .unwrap_or_else(|| format!("mirrored from {}", options.from)),
            to_remote: options.to_remote.clone().filter(|_| options.files),
            checks: PromotionChecks::new(),
            dry_run: options.dry_run,
        };
        let mut report = MirrorReport {
            from: options.from.clone(),
            to: options.to.clone(),
            dry_run: options.dry_run,
            ..MirrorReport::default()
        };
        let mut wanted = BTreeMap::new();
        let mut needs = BTreeMap::new();
        let pattern = options.names.as_deref().map(Wildcard::new);
        for name in ends.source.packages()? {
            if pattern.as_ref().is_none_or(|pattern| pattern.fits(name.as_str())) {
                let releases = self.wanted_of(&name, &ends, options, &mut report)?;
                let mut names = Vec::new();
                for planned in releases.iter().filter(|one| one.state() == CopyState::Copied) {
                    let metadata = ends.metadata(planned)?;
                    names.extend(metadata.requires_dist.iter().map(|r| r.name().clone()));
                }
                needs.insert(name.clone(), names);
                wanted.insert(name, releases);
            }
        }
        let count = wanted.values().map(Vec::len).sum::<usize>() as u64;
        let running = self.context().start(Operation::Push, count, 0);
        let names: Vec<PackageName> = wanted.keys().cloned().collect();
        for name in dependencies_first(&needs, &names) {
            let Some(releases) = wanted.get(&name) else {
                continue;
            };
            for planned in releases {
                self.refuse_public_files(&ends.target, &ends.source, &planned.release)?;
            }
            if options.files {
                self.mirror_files(&ends, releases, options, &mut report)?;
            }
            for planned in releases {
                self.context().check()?;
                let one = self.copy_one(&ends, planned)?;
                running.advance(1, 0);
                report.facts += one.facts;
                match one.state {
                    CopyState::Copied => report.copied.push(one),
                    CopyState::There => report.already_there += 1,
                }
            }
        }
        self.complete_target(&ends, wanted.values().flatten())?;
        Ok(report)
    }

    fn wanted_of(
        &self,
        name: &PackageName,
        ends: &Ends,
        options: &MirrorOptions,
        report: &mut MirrorReport,
    ) -> Result<Wanted> {
        let there = ends.target.own_files(name, self.context())?;
        let releases = ends.source.whole_releases(name, self.context())?;
        let is_withdrawn = |file: &ReleaseFile| file.yanked.is_some() || file.deprecated.is_some();
        // Only such a release can have lost its files, and to know it costs a look at each version.
        let dropped = if releases
            .iter()
            .flat_map(|release| &release.files)
            .any(is_withdrawn)
        {
            ends.source.dropped(name)?
        } else {
            BTreeMap::new()
        };
        let mut wanted = Vec::new();
        let mut good = 0;
        for release in releases.into_iter().rev() {
            self.context().check()?;
            // Nobody could pull it from there either.
            if dropped.contains_key(&release.version) {
                continue;
            }
            if let Some(newest) = options.newest {
                if good == newest {
                    break;
                }
                if release.is_yanked() {
                    continue;
                }
                good += 1;
            }
            let version = release.version.clone();
            match ends.plan(release, &there)? {
                Fit::Fits(planned) => wanted.push(planned),
                Fit::Differs(files) => report.conflicts.push(MirrorConflict {
                    package: name.clone(),
                    version,
                    files: files.into_iter().map(|file| file.file).collect(),
                }),
            }
        }
        wanted.reverse();
        Ok(wanted)
    }

    fn mirror_files(
        &self,
        ends: &Ends,
        releases: &Wanted,
        options: &MirrorOptions,
        report: &mut MirrorReport,
    ) -> Result<()> {
        let new: Vec<&Release> = releases
            .iter()
            .filter(|planned| planned.state() == CopyState::Copied)
            .map(|planned| &planned.release)
            .collect();
        let (from, to) = (options.from_remote.as_deref(), options.to_remote.as_deref());
        let files = if new.is_empty() {
            None
        } else {
            self.copy_release_files(ends, &new, from, to)?
        };
        match (&mut report.files, files) {
            (Some(sum), Some(files)) => {
                sum.objects += files.objects;
                sum.bytes += files.bytes;
                sum.sent += files.sent;
                sum.already_there += files.already_there;
            }
            (sum @ None, files) => *sum = files,
            (Some(_), None) => {}
        }
        Ok(())
    }
}
