//! Checking the releases of repos: every file is read and compared with the digest that the repo states, every file inside a
//! wheel with its RECORD, and sidecars and pages with the wheels.
//!
//! Reads the repo itself, never a copy of it. A file that a record or a page names and that is not there is damage, and so is
//! one with other bytes than it was published with. Deliberately absent: package indexes over HTTP, whose files are checked against
//! their page at each download.

use std::path::Path;

use backlot_core::Sha256;
use backlot_core::file::TemporaryFolder;
use backlot_core::{Diagnostic as _, Operation};
use backlot_pep::PackageName;
use backlot_repo::{Error as RepoError, ExpectedFile, Location, ReleaseFile, Repo};
use backlot_wheel::{Sdist, WheelArchive};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files::references::{NOT_THERE, PassedOver};
use crate::workspace::Opened;
use crate::workspace::config::RepoEntry;

/// The result of reading a repo.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RepoReport {
    /// Its name.
    pub repo: String,
    /// How many wheels and source distributions were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that do not match the repo or their own metadata.
    pub damaged: Vec<DamagedFile>,
    /// Pages, sidecars and records that do not agree with the files: `backlot repo reindex` makes them again.
    pub stale: Vec<String>,
}

/// A damaged file of a release.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DamagedFile {
    /// Where it is.
    pub file: String,
    /// The reason.
    pub reason: String,
    /// The expected digest, if known.
    #[serde(skip)]
    pub(crate) expected: Option<ExpectedFile>,
}

impl RepoReport {
    pub(crate) fn new(repo: &str) -> Self {
        Self {
            repo: repo.to_owned(),
            files: 0,
            bytes: 0,
            damaged: Vec::new(),
            stale: Vec::new(),
        }
    }
}

impl Opened {
    /// Check a repo, or all but public ones. Also returns the skipped ones.
    pub(crate) fn verify_repos(&self, name: Option<&str>) -> Result<(Vec<RepoReport>, Vec<PassedOver>)> {
        let (mut reports, mut passed_over) = (Vec::new(), Vec::new());
        let entries = match name {
            Some(name) => vec![self.repo_entry(name)?],
            None => self.repos(),
        };
        for entry in entries {
            let repo = self.open_repo(&entry.itself())?.without_cache();
            if matches!(repo, Repo::Index(_)) {
                passed_over.push(PassedOver {
                    repo: entry.name.clone(),
                    reason: "it is an HTTP index, whose files are verified on download".to_owned(),
                });
            } else {
                reports.push(self.verify_repo(entry, &repo)?);
            }
        }
        Ok((reports, passed_over))
    }

    fn verify_repo(&self, entry: &RepoEntry, repo: &Repo) -> Result<RepoReport> {
        let mut report = RepoReport::new(&entry.name);
        let stage = TemporaryFolder::in_folder(&self.state_dir())?;
        let packages = repo.all_names()?;
        let running = self.context().start(Operation::Verify, packages.len() as u64, 0);
        for package in &packages {
            self.context().check()?;
            self.verify_package(repo, package, stage.path(), &mut report)?;
            running.advance(1, 0);
        }
        match repo.reindex(true, self.context()) {
            Ok(found) => {
                let files = found.healed.iter().chain(&found.removed);
                let files = files.chain(&found.root_pages);
                report.stale.extend(files.map(ToString::to_string));
                let pages = found.paged.iter();
                report
                    .stale
                    .extend(pages.map(|package| format!("the page of {package}")));
            }
            // A plain folder of wheels has no pages.
            Err(RepoError::FlatFolder { .. }) => {}
            // All releases of a store are gone, each of which was named.
            Err(RepoError::NoPackages { .. }) if !report.damaged.is_empty() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(report)
    }

    pub(crate) fn verify_package(
        &self,
        repo: &Repo,
        package: &PackageName,
        stage: &Path,
        report: &mut RepoReport,
    ) -> Result<()> {
        let listing = repo.releases_with_problems(package)?;
        let mut expected = repo.expected_files(package)?;
        let mut take = |place: &Location| {
            let at = expected.iter().position(|one| one.file == place.file());
            at.map(|at| expected.swap_remove(at))
        };
        for broken in &listing.broken {
            report.damaged.push(DamagedFile {
                file: broken.place.to_string(),
                reason: broken.reason.clone(),
                expected: take(&broken.place),
            });
        }
        for release in listing.files() {
            self.context().check()?;
            let place = release.place();
            let expected = take(&place);
            let reason = match self.verify_file(repo, release, expected.as_ref(), stage) {
                Ok((bytes, other)) => {
                    report.bytes += bytes;
                    other
                }
                // Its record is wrong, which the derived files are looked at for.
                Err(Error::Repo(RepoError::WrongBytes { found, .. }))
                    if expected.as_ref().is_some_and(|expected| expected.confirms(found)) =>
                {
                    None
                }
                Err(error) if is_damage(&error) => Some(error.to_string()),
                Err(error) => return Err(error),
            };
            report.files += 1;
            report.damaged.extend(reason.map(|reason| DamagedFile {
                file: place.to_string(),
                reason,
                expected,
            }));
        }
        expected.retain(|one| !one.is_there);
        report.damaged.extend(expected.into_iter().map(|one| DamagedFile {
            file: one.place.to_string(),
            reason: NOT_THERE.to_owned(),
            expected: Some(one),
        }));
        Ok(())
    }

    /// Read a file of a release; the bytes that were read, and what is wrong where it is sound and not what was published.
    fn verify_file(
        &self,
        repo: &Repo,
        release: &ReleaseFile,
        expected: Option<&ExpectedFile>,
        stage: &Path,
    ) -> Result<(u64, Option<String>)> {
        let other = |found: Sha256| {
            let is_other = expected.is_some_and(|expected| !expected.admits(found));
            is_other.then(|| format!("it has SHA-256 {found}, but was published with a different one"))
        };
        if release.is_sdist()
            && release.sha256.is_none()
            && let Some(path) = release.path()
        {
            // Nothing states its digest.
            Sdist::open(&path)?;
            let (found, size) = backlot_wheel::wheel_sha256(&path)?;
            return Ok((size, other(found)));
        }
        let copy = stage.join(&release.file);
        repo.open_wheel(release, &copy, self.context())?;
        let bytes = fs_err::metadata(&copy)?.len();
        if release.is_sdist() {
            Sdist::open(&copy)?;
        } else {
            WheelArchive::open(&copy)?.check()?;
        }
        backlot_core::file::remove(&copy)?;
        Ok((bytes, other(repo.digest(release)?)))
    }
}

/// Whether an error is about what the file is, not about reading it.
fn is_damage(error: &Error) -> bool {
    error.class() == backlot_core::Class::Integrity
}
