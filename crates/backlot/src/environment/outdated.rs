//! Outdated inputs: the installed releases, the newest that the requirements allow, and the newest available.
//!
//! Invariants: what is admitted is what [`crate::Workspace::update`] would take, by the same judgement; yanked releases are never
//! offered, pre-releases only to who has one, deprecated ones only where nothing else is. Nothing here changes anything.

use backlot_core::{Class, Diagnostic as _};
use backlot_pep::{MarkerEnv, PackageName, Requirement, Specifiers, Version};
use backlot_repo::{ReleaseEvent, ReleaseFile};
use serde::{Deserialize, Serialize};

use crate::environment::candidate_sources::CandidateSources;
use crate::environment::install::{InstallReport, InstallRequest};
use crate::environment::lockfile::{Lock, LockedPackage};
use crate::environment::resolve_request::{ResolveRequest, Upgrade};
use crate::error::Result;
use crate::handle::options::UpdateOptions;
use crate::project::output::Output;
use crate::workspace::Opened;

/// An installed release that is behind, or that should be moved away from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutdatedRow {
    /// The package.
    pub package: PackageName,
    /// The version installed.
    pub version: Version,
    /// The repo it came from.
    pub repo: Option<String>,
    /// The version that [`crate::Workspace::update`] would install; `None` if it would fail.
    pub admitted: Option<Version>,
    /// The newest version of each repo that has any, most preferred repo first.
    pub newest: Vec<NewestIn>,
    /// The reason that it is not the newest: requirements, or the preference of a repo.
    pub held_by: Vec<String>,
    /// Why the installed one is yanked, if it is.
    pub yanked: Option<ReleaseEvent>,
    /// Why the installed one is deprecated, if it is.
    pub deprecated: Option<ReleaseEvent>,
    /// The approvals of the installed version.
    #[serde(default)]
    pub approved: Vec<ReleaseEvent>,
}

/// The newest version in a repo.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NewestIn {
    /// The repo.
    pub repo: String,
    /// The version.
    pub version: Version,
    /// Whether it is deprecated.
    pub deprecated: bool,
}

impl Opened {
    pub(crate) fn outdated(&self) -> Result<Vec<OutdatedRow>> {
        match Lock::load(self.root())? {
            Some(lock) => self.release_rows(&lock, false),
            None => Ok(Vec::new()),
        }
    }

    /// What there is of the packages of a lock that come from repos, in its order: of those that are behind or were given up, or of all.
    pub(crate) fn release_rows(&self, lock: &Lock, all: bool) -> Result<Vec<OutdatedRow>> {
        let env = self.marker_env()?;
        let outputs = self.outputs()?;
        let mut pool = CandidateSources::open(self, &outputs, None)?.for_python(&env);
        let mut asks: Vec<(String, Requirement)> = self
            .config()
            .inputs
            .iter()
            .map(|r| ("the workspace".to_owned(), r.clone()))
            .collect();
        if let Some(environment) = self.environment()? {
            for dist in environment.installed()? {
                let groups = lock.package(&dist.metadata.package()).map(|p| p.groups.clone());
                let groups = groups.unwrap_or_default();
                let requires = dist.metadata.requires_dist.iter();
                let active = requires.filter(|r| r.applies(&env, &groups));
                asks.extend(active.map(|r| (dist.metadata.package().to_string(), r.clone())));
            }
        }
        let updated = self.updated(&mut pool, &env, &outputs, lock)?;
        let mut rows = Vec::new();
        // A package from a URL is never outdated.
        let published = |p: &&LockedPackage| p.editable.is_none() && p.url.is_none();
        for package in lock.packages.iter().filter(published) {
            self.context().check()?;
            let asks: Vec<&(String, Requirement)> =
                asks.iter().filter(|(_, r)| r.name() == &package.name).collect();
            let chosen = updated.as_ref().and_then(|lock| lock.package(&package.name));
            let (row, is_worth_telling) = row(&pool, (package, chosen), &asks, env.python())?;
            rows.extend((all || is_worth_telling).then_some(row));
        }
        Ok(rows)
    }

    /// The lock as an update of everything would leave it; `None`, with a warning, if it would fail.
    fn updated(
        &self,
        pool: &mut CandidateSources<'_>,
        env: &MarkerEnv,
        outputs: &[Output],
        lock: &Lock,
    ) -> Result<Option<Lock>> {
        let wish = ResolveRequest {
            inputs: self.config().inputs.clone(),
            upgrade: Upgrade::All,
            forwards: true,
            ..ResolveRequest::default()
        };
        match self.choose_from(pool, env, &wish, outputs, Some(lock)) {
            Err(error) if matches!(error.class(), Class::Conflict | Class::NotFound) => {
                let message = format!("`update` would fail: {error}");
                self.context().warn(error.code(), message);
                Ok(None)
            }
            updated => updated.map(Some),
        }
    }

    pub(crate) fn update(&mut self, names: &[String], options: UpdateOptions) -> Result<InstallReport> {
        self.change(options.dry_run, |workspace| workspace.update_now(names, options))
    }

    fn update_now(&mut self, names: &[String], options: UpdateOptions) -> Result<InstallReport> {
        let lock = Lock::load(self.root())?;
        let mut packages = Vec::new();
        for name in names {
            let name = PackageName::of_asset(name)?;
            if lock.as_ref().and_then(|l| l.package(&name)).is_none() {
                return Err(Lock::lacks(lock.as_ref(), name).into());
            }
            packages.push(name);
        }
        let upgrade = if packages.is_empty() {
            Upgrade::All
        } else {
            Upgrade::Packages(packages)
        };
        self.install_now(
            &[],
            &InstallRequest {
                upgrade,
                only: options.only && !names.is_empty(),
                dry_run: options.dry_run,
                ..InstallRequest::default()
            },
        )
    }
}

fn row(
    pool: &CandidateSources<'_>,
    (package, chosen): (&LockedPackage, Option<&LockedPackage>),
    asks: &[&(String, Requirement)],
    python: &Version,
) -> Result<(OutdatedRow, bool)> {
    let mut row = OutdatedRow {
        package: package.name.clone(),
        version: package.version.clone(),
        repo: package.repo.clone(),
        admitted: chosen.map(|chosen| chosen.version.clone()),
        newest: Vec::new(),
        held_by: Vec::new(),
        yanked: None,
        deprecated: None,
        approved: Vec::new(),
    };
    let mut candidates: Vec<(usize, ReleaseFile)> = Vec::new();
    let mut kept_back: Vec<(Version, String)> = Vec::new();
    for (rank, release) in pool.releases(&package.name)? {
        let (repo, opened) = pool.repo(rank);
        if release.version == package.version && package.repo.as_deref() == Some(repo) {
            let status = opened.status(&release)?;
            (row.yanked, row.deprecated) = (status.yanked, status.deprecated);
            row.approved = status.approved;
        }
        let range = release.requires_python.as_deref();
        let runs = range.is_none_or(|range| Specifiers::parse(range).is_ok_and(|r| r.contains(python)));
        let stable = !release.version.is_prerelease() || package.version.is_prerelease();
        if release.yanked.is_none() && runs && stable {
            match pool.policy_against(&package.name, rank, &release)? {
                Some(reason) => kept_back.push((release.version, reason)),
                None => candidates.push((rank, release)),
            }
        }
    }
    // The best last: deprecated ones first, then by version.
    candidates.sort_by_key(|(_, r)| (r.deprecated.is_none(), r.version.clone()));
    let mut newest: Vec<(usize, NewestIn)> = Vec::new();
    for (rank, release) in candidates.iter().rev() {
        if !newest.iter().any(|(known, _)| known == rank) {
            let best = NewestIn {
                repo: pool.repo(*rank).0.to_owned(),
                version: release.version.clone(),
                deprecated: release.deprecated.is_some(),
            };
            newest.push((*rank, best));
        }
    }
    newest.sort_by_key(|(rank, _)| *rank);
    row.newest = newest.into_iter().map(|(_, newest)| newest).collect();
    let newest = row.newest.iter().map(|n| &n.version).max().cloned();
    let behind = newest.as_ref().is_some_and(|n| n > &package.version);
    if let Some(newest) = newest.filter(|_| behind) {
        let holds = asks.iter().filter(|(_, r)| !r.specifiers().contains(&newest));
        row.held_by = holds.map(|(who, r)| format!("{who}: {r}")).collect();
        let there = row.newest.iter().find(|n| n.version == newest);
        let preferred = chosen.and_then(|chosen| chosen.repo.as_ref());
        if let (true, Some(there), Some(preferred)) = (row.held_by.is_empty(), there, preferred)
            && row.admitted.as_ref() < Some(&newest)
            && there.repo != *preferred
        {
            row.held_by.push(format!(
                "the workspace: {preferred} is preferred to {}",
                there.repo
            ));
        }
    }
    let newer = kept_back.iter().filter(|(version, _)| version > &package.version);
    let newer = newer.max_by(|a, b| a.0.cmp(&b.0));
    let held = newer.map(|(version, reason)| format!("the policy: {} {version} {reason}", package.name));
    let behind = behind || held.is_some();
    row.held_by.extend(held);
    let moves = row.admitted.as_ref().is_some_and(|to| *to != row.version);
    let is_worth_telling = behind || moves || row.yanked.is_some() || row.deprecated.is_some();
    Ok((row, is_worth_telling))
}
