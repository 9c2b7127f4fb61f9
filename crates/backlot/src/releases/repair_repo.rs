//! Repairing a repo: damaged and missing wheels and source distributions come back from the cache, from `build/` or from another
//! repo; sidecars, records and pages are rebuilt.
//!
//! Invariants: what is put back has the digest that the release was published with, and was read from end to end; a file that
//! is right is never replaced; a dry run finds and proves the same bytes. The page of a package with a file that is nowhere
//! is left as it is, since it still names that. Deliberately absent: content of tracked files (`repair_remote`), and package
//! indexes, whose server maintains them.

use std::path::{Path, PathBuf};

use backlot_core::file::TemporaryFolder;
use backlot_core::{Diagnostic as _, Operation, Sha256};
use backlot_repo::{ExpectedFile, ReleaseFile, Upkeep};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::releases::verify_repo::{DamagedFile, RepoReport};
use crate::workspace::Opened;
use crate::workspace::config::RepoEntry;

/// The result or plan of a repair of a repo.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RepoRepairReport {
    /// The repo.
    pub repo: String,
    /// Wheels and source distributions that were damaged or missing and are right now; in a dry run, those that would be.
    pub restored: Vec<RestoredFile>,
    /// Their bytes.
    pub bytes: u64,
    /// Rebuilt sidecars, records and pages; in a dry run, the wrong ones.
    pub mended: Vec<String>,
    /// Still damaged or missing: no valid copy was found.
    pub lost: Vec<DamagedFile>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// A file of a release that was brought back.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RestoredFile {
    /// Where it is.
    pub file: String,
    /// Its digest.
    pub sha256: Sha256,
    /// Where the bytes came from: `cache`, `build`, or the name of a repo.
    pub from: String,
}

/// The path of a copy of a file, and its source.
type FoundCopy = (PathBuf, String);

impl Opened {
    pub(crate) fn repair_repo(
        &self,
        name: &str,
        from: Option<&str>,
        dry_run: bool,
    ) -> Result<RepoRepairReport> {
        let held = self.hold()?;
        held.repair_repo_now(held.repo_entry(name)?, from, dry_run)
    }

    fn repair_repo_now(
        &self,
        entry: &RepoEntry,
        from: Option<&str>,
        dry_run: bool,
    ) -> Result<RepoRepairReport> {
        let repo = self.open_repo(&entry.itself())?.without_cache();
        let upkeep = repo.upkeep(dry_run)?;
        let from = from.map(|name| self.repo_entry(name)).transpose()?;
        let mut report = RepoRepairReport {
            repo: entry.name.clone(),
            restored: Vec::new(),
            bytes: 0,
            mended: Vec::new(),
            lost: Vec::new(),
            dry_run,
        };
        let stage = TemporaryFolder::in_folder(&self.state_dir())?;
        let names = repo.all_names()?;
        let running = self.context().start(Operation::Verify, names.len() as u64, 0);
        for package in &names {
            self.context().check()?;
            let mut found = RepoReport::new(&entry.name);
            self.verify_package(&repo, package, stage.path(), &mut found)?;
            let lost = report.lost.len();
            for damaged in found.damaged {
                self.restore_file(&upkeep, entry, &damaged, from, stage.path(), &mut report)?;
            }
            if report.lost.len() == lost {
                let mended = upkeep.mend(package, self.context())?;
                report.mended.extend(mended.iter().map(ToString::to_string));
            }
            running.advance(1, 0);
        }
        // A lost release stays on the root page, too.
        if report.lost.is_empty() {
            let root = upkeep.mend_root(self.context())?;
            report.mended.extend(root.iter().map(ToString::to_string));
        }
        Ok(report)
    }

    /// Bring one file back, or say why not.
    fn restore_file(
        &self,
        upkeep: &Upkeep,
        entry: &RepoEntry,
        damaged: &DamagedFile,
        from: Option<&RepoEntry>,
        stage: &Path,
        report: &mut RepoRepairReport,
    ) -> Result<()> {
        let lost = |why: &str| DamagedFile {
            reason: format!("{}; {why}", damaged.reason),
            ..damaged.clone()
        };
        let known = damaged.expected.as_ref();
        let Some((expected, sha256)) = known.and_then(|expected| Some((expected, expected.digest()?))) else {
            report.lost.push(lost("its digest is unknown"));
            return Ok(());
        };
        let (found, problems) = self.find_file(expected, sha256, entry, from, stage)?;
        let Some((copy, source)) = found else {
            let why = format!("no other copy of the file with SHA-256 {sha256} was found");
            let why = std::iter::once(why)
                .chain(problems)
                .collect::<Vec<_>>()
                .join("; ");
            report.lost.push(lost(&why));
            return Ok(());
        };
        report.bytes += fs_err::metadata(&copy)?.len();
        upkeep.restore(expected, &copy, self.context())?;
        report.restored.push(RestoredFile {
            file: damaged.file.clone(),
            sha256,
            from: source,
        });
        Ok(())
    }

    /// A proven copy of a file with its digest, and where it came from; and which places could not be asked.
    fn find_file(
        &self,
        expected: &ExpectedFile,
        sha256: Sha256,
        broken_in: &RepoEntry,
        from: Option<&RepoEntry>,
        stage: &Path,
    ) -> Result<(Option<FoundCopy>, Vec<String>)> {
        let mut problems = Vec::new();
        if from.is_none() {
            if let Some(kept) = backlot_repo::kept_by_digest(&self.network()?, &expected.file, sha256) {
                return Ok((Some((kept, "cache".to_owned())), problems));
            }
            if let Some(built) = self.find_built(&expected.file, sha256)? {
                return Ok((Some((built, "build".to_owned())), problems));
            }
        }
        let others = match from {
            Some(one) => vec![one],
            None => self.repos(),
        };
        for other in others.into_iter().filter(|other| other.name != broken_in.name) {
            self.context().check()?;
            match self.fetch_from(other, expected, sha256, stage) {
                Ok(Some(copy)) => return Ok((Some((copy, other.name.clone())), problems)),
                Ok(None) => {}
                Err(error @ Error::Repo(backlot_repo::Error::Cancelled(_))) => return Err(error),
                Err(error) => problems.push(format!("`{}`: {error} [{}]", other.name, error.code())),
            }
        }
        Ok((None, problems))
    }

    /// The file out of another repo, if that has it.
    fn fetch_from(
        &self,
        other: &RepoEntry,
        expected: &ExpectedFile,
        sha256: Sha256,
        stage: &Path,
    ) -> Result<Option<PathBuf>> {
        let repo = self.open_repo(other)?;
        if repo.check_admits(&expected.package).is_err() {
            return Ok(None);
        }
        let listing = repo.releases_with_problems(&expected.package)?;
        let of_version = listing
            .files()
            .filter(|release| release.version == expected.version);
        for release in of_version {
            let is_it = match release.sha256 {
                Some(known) => known == sha256,
                None => repo.digest(release)? == sha256,
            };
            if !is_it {
                continue;
            }
            let copy = stage.join(&expected.file);
            let mut release: ReleaseFile = release.clone();
            release.sha256 = Some(sha256);
            repo.open_wheel(&release, &copy, self.context())?;
            return Ok(Some(copy));
        }
        Ok(None)
    }

    /// A wheel that this workspace built, if it has the digest.
    fn find_built(&self, file: &str, sha256: Sha256) -> Result<Option<PathBuf>> {
        let Ok(folders) = fs_err::read_dir(self.build_dir()) else {
            return Ok(None);
        };
        for folder in folders {
            let path = folder?.path().join(file);
            if path.is_file() && backlot_wheel::wheel_sha256(&path)?.0 == sha256 {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }
}
