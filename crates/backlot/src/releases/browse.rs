//! Browsing: the contents of repos, and of the workspace.
//!
//! Nothing here changes anything or waits for a lock.

use std::collections::BTreeSet;
use std::path::PathBuf;

use backlot_core::{Diagnostic as _, Timestamp};
use backlot_dvc::Change;
use backlot_pep::{PackageName, Requirement, RequirementKind, Version};
use backlot_repo::{Location, Query, ReleaseEvent, ReleaseStatus};
use backlot_wheel::{AssetInfo, Metadata};
use serde::{Deserialize, Serialize};

use crate::environment::lockfile::{Lock, LockedPackage};
use crate::error::{Error, Result, WorkspaceError};
use crate::pipelines::stale::StageStatus;
use crate::project::base::BaseStatus;
use crate::project::output::Output;
use crate::project::provenance::Provenance;
use crate::project::untracked::{Untracked, UntrackedFiles};
use crate::workspace::Opened;
use crate::workspace::problems::AssetProblem;

/// A package in a repo.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PackageRow {
    /// The repo.
    pub repo: String,
    /// The asset's name, or the package's.
    pub name: String,
    /// The package.
    pub package: PackageName,
    /// The newest version.
    pub latest: Version,
    /// All versions, oldest first.
    pub versions: Vec<Version>,
    /// Those that are yanked.
    pub yanked: Vec<Version>,
    /// Why the newest version is deprecated, if it is.
    pub deprecated: Option<ReleaseEvent>,
    /// The approvals of the newest version.
    pub approved: Vec<ReleaseEvent>,
    /// The asset's type.
    pub asset_type: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// One line about it.
    pub summary: Option<String>,
    /// The author of the newest version, if known.
    pub author: Option<String>,
    /// When, where known.
    pub at: Option<Timestamp>,
}

/// A requirement as shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RequirementRow {
    /// The requirement.
    pub requirement: String,
    /// How tightly it binds.
    pub kind: RequirementKind,
}

/// A release in a repo.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReleaseDetail {
    /// The repo.
    pub repo: String,
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// The asset, if it is one.
    pub asset: Option<AssetInfo>,
    /// One line about it.
    pub summary: Option<String>,
    /// Its requirements, groups included.
    pub requires: Vec<RequirementRow>,
    /// The wheel.
    pub wheel: Location,
    /// Its bytes, if known.
    pub wheel_size: Option<u64>,
    /// The inputs it was built with, if known.
    pub provenance: Option<Provenance>,
    /// All versions in this repo, oldest first.
    pub versions: Vec<Version>,
    /// Its publish, if known, and later status changes.
    #[serde(flatten)]
    pub status: ReleaseStatus,
}

/// An output at a glance.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutputStatus {
    /// The asset.
    pub name: String,
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// The repos that have this version already.
    pub published_in: Vec<String>,
    /// Its relation to the release that it was edited from, and to newer ones.
    pub base: BaseStatus,
    /// Its folder, relative to the workspace.
    pub path: String,
    /// Its requirements.
    pub inputs: Vec<RequirementRow>,
    /// Its tracked files and folders.
    pub outs: Vec<OutStatus>,
    /// Files that are neither tracked nor code: forgotten, or left by an interrupted `add`.
    pub untracked: Vec<UntrackedFiles>,
}

/// A tracked file or folder at a glance.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutStatus {
    /// Its path, relative to the workspace.
    pub path: String,
    /// The differences from the added state.
    #[serde(flatten)]
    pub change: Change,
    /// Whether its content is in caches and on remotes (not `cache: false`); else it goes into the wheel.
    pub cached: bool,
    /// Whether a push sends it (neither `cache: false` nor `push: false`).
    pub pushed: bool,
    /// The stage that produces it, if it has no pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
}

/// An installed package at a glance.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InputStatus {
    /// The asset's name, or the package's.
    pub name: String,
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// Whether the workspace requires it directly.
    pub requested: bool,
    /// The output it shows, if it is editable.
    pub editable: Option<String>,
    /// The repo it came from.
    pub repo: Option<String>,
    /// Its URL, if it was required by URL.
    pub url: Option<String>,
    /// Its tracked files and folders.
    pub outs: Vec<OutStatus>,
}

/// The workspace at a glance.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StatusReport {
    /// The workspace.
    pub root: PathBuf,
    /// The request.
    pub requirements: Vec<String>,
    /// The editable assets.
    pub outputs: Vec<OutputStatus>,
    /// The installed packages.
    pub inputs: Vec<InputStatus>,
    /// The stages of pipelines, each after those it needs.
    pub stages: Vec<StageStatus>,
    /// The unreadable assets, and why.
    pub problems: Vec<AssetProblem>,
    /// The repos in order of preference.
    pub repos: Vec<String>,
    /// The remote for files.
    pub remote: Option<String>,
}

impl Opened {
    pub(crate) fn search(&self, query: &Query, repo: Option<&str>) -> Result<Vec<PackageRow>> {
        let entries = match repo {
            Some(name) => vec![self.repo_entry(name)?],
            None => self.repos(),
        };
        let mut rows = Vec::new();
        for entry in entries {
            for found in self.open_repo(entry)?.search(query, self.context())? {
                rows.push(PackageRow {
                    repo: entry.name.clone(),
                    name: found.asset_name.unwrap_or_else(|| found.package.to_string()),
                    package: found.package,
                    latest: found.latest.version,
                    versions: found.versions,
                    yanked: found.yanked,
                    deprecated: found.status.deprecated,
                    approved: found.status.approved,
                    asset_type: found.asset_type,
                    tags: found.tags,
                    summary: found.summary,
                    at: found.status.published.as_ref().map(|fact| fact.at),
                    author: found.status.published.map(|fact| fact.author),
                });
            }
        }
        rows.sort_by(|a, b| a.package.cmp(&b.package));
        Ok(rows)
    }

    pub(crate) fn show(&self, what: &str) -> Result<Vec<ReleaseDetail>> {
        let requirement = self.parse_requirement(what)?;
        let mut details = Vec::new();
        let mut names = Vec::new();
        for entry in self.repos() {
            let repo = self.open_repo(entry)?;
            let mut releases = repo.offered(requirement.name(), self.context())?;
            releases.dedup_by(|next, kept| next.version == kept.version);
            let versions: Vec<Version> = releases.iter().map(|r| r.version.clone()).collect();
            let mut admitted = Vec::new();
            for release in releases.iter().rev() {
                if requirement.specifiers().contains(&release.version) {
                    admitted.push(release);
                }
            }
            // Pre-releases and yanked ones only where there is nothing else, as an install would choose.
            admitted.sort_by_key(|r| (r.yanked.is_some(), r.version.is_prerelease()));
            let Some(release) = admitted.into_iter().next() else {
                names.extend(repo.packages()?.iter().map(ToString::to_string));
                continue;
            };
            let (metadata, asset) = repo.describe(release)?;
            let status = repo.status(release)?;
            self.warn_judged(release, &entry.name, || Ok(status.clone()))?;
            // Only wheels are made by us.
            let provenance = if release.is_sdist() {
                None
            } else {
                Provenance::of(&repo.archive(release)?)?
            };
            details.push(ReleaseDetail {
                repo: entry.name.clone(),
                package: release.package.clone(),
                version: release.version.clone(),
                asset,
                requires: rows(&metadata),
                summary: metadata.summary,
                wheel: release.place(),
                wheel_size: release.size,
                provenance,
                versions,
                status,
            });
        }
        if details.is_empty() {
            return Err(self.unknown_release(&requirement, &names)?);
        }
        Ok(details)
    }

    /// The error for a requirement that no release satisfies, where the repos have packages of these names.
    pub(crate) fn unknown_release(&self, requirement: &Requirement, names: &[String]) -> Result<Error> {
        let name = requirement.name().as_str();
        let names = names.iter().map(String::as_str);
        let error = WorkspaceError::no_such_release(format!("`{requirement}`"), name, names);
        if matches!(error, WorkspaceError::NoSuchRelease { nearest: None, .. }) {
            for entry in self.repos() {
                self.open_repo(entry)?.check_admits(requirement.name())?;
            }
        }
        Ok(error.into())
    }

    pub(crate) fn status(&self) -> Result<StatusReport> {
        if let Some(lock) = Lock::load(self.root())? {
            self.warn_used(&lock, true)?;
        }
        let (mut outputs, mut unread, mut problems) = (Vec::new(), BTreeSet::new(), Vec::new());
        let (readable, unreadable) = self.read_outputs()?;
        for one in unreadable {
            problems.push(AssetProblem::new(self.display_path(&one.path), &one.error));
        }
        for output in readable {
            let path = self.display_path(&output.project.root);
            match self.output_status(output, &mut unread) {
                Ok(status) => outputs.push(status),
                Err(error) => problems.push(AssetProblem::new(path, &error)),
            }
        }
        let inputs = self.input_rows(&mut problems)?;
        let mut outs = outputs.iter().flat_map(|output| &output.outs);
        let has_stages = outs.any(|out| out.stage.is_some());
        let stages = self.stage_states(has_stages).unwrap_or_else(|error| {
            problems.push(AssetProblem::new("pipelines".to_owned(), &error));
            Vec::new()
        });
        Ok(StatusReport {
            root: self.root().to_path_buf(),
            requirements: self.config().inputs.iter().map(ToString::to_string).collect(),
            outputs,
            inputs,
            stages,
            problems,
            repos: self.repos().iter().map(|r| r.name.clone()).collect(),
            remote: self.remote_entry(None, "").ok().map(|r| r.name.clone()),
        })
    }

    fn output_status(&self, output: Output, unread: &mut BTreeSet<String>) -> Result<OutputStatus> {
        let (package, version) = (output.package(), output.project.metadata.version.clone());
        let mut known = self.known_releases(&package, unread);
        let tracked = self.tracked_of_output(&output)?;
        self.bring_needed_manifests(&tracked);
        let outs = self.out_rows(&tracked)?;
        let modified: Vec<String> = outs
            .iter()
            .filter(|out| matches!(out.change, Change::Modified { .. }))
            .map(|out| self.path_in_package(&output, &out.path))
            .collect();
        let base = self.base_status(&output, &tracked, &known, &modified, !unread.is_empty())?;
        known.retain(|one| one.listing.files().any(|release| release.version == version));
        let untracked = crate::project::content::outs_of(&output, &tracked)
            .and_then(|outs| self.untracked(&output, &tracked, &outs));
        let untracked = untracked.unwrap_or_else(|error| {
            self.context()
                .warn(error.code(), format!("{}: {error}", output.name));
            Untracked::default()
        });
        Ok(OutputStatus {
            published_in: known.into_iter().map(|one| one.repo).collect(),
            path: self.display_path(&output.project.root),
            inputs: rows(&output.project.metadata),
            untracked: untracked.files,
            base,
            outs,
            name: output.name,
            package,
            version,
        })
    }

    /// A path of the workspace as it is called in the package of an output.
    fn path_in_package(&self, output: &Output, path: &str) -> String {
        let found = crate::project::content::wheel_path(output, &self.root().join(path));
        found
            .ok()
            .flatten()
            .map_or_else(|| path.to_owned(), |path| path.to_string())
    }

    /// Bring the manifests of folders of which something is here: what that changes shows only against them. Without a remote
    /// that answers, the state of such a folder is that its manifest is not known.
    fn bring_needed_manifests(&self, tracked: &crate::files::tracked::Tracked) {
        let is_here = |pointer: &backlot_dvc::TrackedPointer| {
            pointer
                .located_outs()
                .any(|(place, out)| out.id().is_some_and(|id| id.tree) && place.is_dir())
        };
        let some = crate::files::tracked::Tracked {
            name: tracked.name.clone(),
            pointers: tracked.pointers.iter().filter(|p| is_here(p)).cloned().collect(),
            installed: tracked.installed,
        };
        if !some.pointers.is_empty() {
            let remote = self.remote_elsewhere(None);
            self.bring_manifests(&some, remote.as_ref()).ok();
        }
    }

    fn out_rows(&self, tracked: &crate::files::tracked::Tracked) -> Result<Vec<OutStatus>> {
        let states = self.out_states(tracked)?;
        Ok(states
            .into_iter()
            .map(|s| OutStatus {
                path: self.display_path(&s.path),
                change: s.change,
                cached: s.cached,
                pushed: s.pushed,
                stage: s.stage,
            })
            .collect())
    }

    /// The installed packages; the tracked files of one that cannot be read are a problem.
    fn input_rows(&self, problems: &mut Vec<AssetProblem>) -> Result<Vec<InputStatus>> {
        let Some(environment) = self.environment()? else {
            return Ok(Vec::new());
        };
        let lock = Lock::load(self.root())?;
        let mut rows = Vec::new();
        for dist in environment.installed()? {
            let package = dist.metadata.package();
            let locked = lock.as_ref().and_then(|l| l.package(&package));
            let outs = if dist.editable.is_some() {
                Vec::new()
            } else {
                let tracked = Self::tracked_of_dist(&environment, &dist);
                tracked
                    .and_then(|tracked| self.out_rows(&tracked))
                    .unwrap_or_else(|error| {
                        problems.push(AssetProblem::new(dist.metadata.name.clone(), &error));
                        Vec::new()
                    })
            };
            rows.push(InputStatus {
                name: dist
                    .asset
                    .as_ref()
                    .map_or_else(|| dist.metadata.name.clone(), |a| a.name.clone()),
                version: dist.metadata.version.clone(),
                requested: locked.is_some_and(|l| l.requested),
                editable: locked.and_then(|l| l.editable.clone()).or(dist.editable),
                repo: locked.and_then(|l| l.repo.clone()),
                url: locked.and_then(LockedPackage::told_url),
                package,
                outs,
            });
        }
        Ok(rows)
    }
}

fn rows(metadata: &Metadata) -> Vec<RequirementRow> {
    let row = |r: &Requirement| RequirementRow {
        requirement: r.text().to_owned(),
        kind: r.kind(),
    };
    metadata.requires_dist.iter().map(row).collect()
}
