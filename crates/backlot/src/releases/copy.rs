//! Copying a release from one repo to another, with its requirements: a promotion.
//!
//! Invariants: a release is copied whole, the wheels of all platforms and builds and the source distribution, byte for
//! byte; files are on the remote of the target's people before any release is in the target, all of a release is fetched
//! and checked before its first file is added, and what a release needs comes before the release itself, so a kill anywhere
//! exposes nothing that cannot be installed and pulled; a rerun copies what is missing, and success means that all is
//! there. Deliberately absent: whole repos (`mirror`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backlot_core::options;
use backlot_core::{Sha256, shared};
use backlot_pep::{PackageName, Requirement, Version};
use backlot_repo::{Checked, Listing, Publication, Release, ReleaseFile, ReleaseKind, ReleaseRemote, Repo};
use backlot_resolve::{Problem, Resolution, RootRequirement};
use backlot_store::ObjectId;
use backlot_wheel::Metadata;
use serde::{Deserialize, Serialize};

use crate::environment::candidate_sources::CandidateSources;
use crate::environment::installable::is_refusal;
use crate::error::{Error, Result, WorkspaceError};
use crate::files::dropped::refuse_dropped;
use crate::files::references::{NamedRemote, Purpose};
use crate::files::remotes::CopyFilesReport;
use crate::project::provenance::Provenance;
use crate::validate::promotion::{Promotion, PromotionChecks};
use crate::validate::report::ValidateReport;
use crate::workspace::Opened;

/// The target's rank among the repos of a copy: what is there already is preferred.
pub(crate) const TARGET: usize = 0;
/// How often the choice is made again because a release that came with it was built from others.
const ROUNDS: usize = 16;

options! {
    /// How to copy a release.
    #[derive(Default)]
    pub struct CopyOptions {
        /// The repo that has it.
        pub from: String,
        /// The repo that shall have it.
        pub to: String,
        /// Copy its requirements as well.
        pub with_deps: bool,
        /// Where its files are, instead of the default remote.
        pub from_remote: Option<String>,
        /// Where they shall be, if elsewhere.
        pub to_remote: Option<String>,
        /// Neither copy files nor look whether they are there.
        pub without_files: bool,
        /// Why, for the record.
        pub message: Option<String>,
        /// Copy even if it cannot be installed from the target.
        pub force: bool,
        /// Change nothing.
        pub dry_run: bool,
    }
}

/// The outcome of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CopyState {
    /// It was copied, or would be.
    Copied,
    /// The target had the same bytes already.
    There,
}

/// One file of a release.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CopiedFile {
    /// Its name in the source.
    pub file: String,
    /// The kind of file.
    pub kind: ReleaseKind,
    /// Its digest.
    pub sha256: Sha256,
    /// Its size in bytes, if known.
    pub size: Option<u64>,
    /// The outcome.
    pub state: CopyState,
}

/// One release of a copy.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CopiedRelease {
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// The name of the representative wheel, or of the source distribution if it has none.
    pub wheel: String,
    /// All its files, in the order in which they are copied.
    pub files: Vec<CopiedFile>,
    /// The outcome: already there, if all its files were.
    pub state: CopyState,
    /// How many facts about it (approvals, yanks) are new in the target.
    pub facts: u64,
}

/// A release copied from one repo to another.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CopyReport {
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// The repo it came from.
    pub from: String,
    /// The repo it went to.
    pub to: String,
    /// The wheel's file name.
    pub wheel: String,
    /// It and its copied requirements, requirements first.
    pub releases: Vec<CopiedRelease>,
    /// The copied files, if it has any and their remote is known.
    pub files: Option<CopyFilesReport>,
    /// The results of the checks of the target, if it has any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<ValidateReport>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// A release with the action for each of its files.
pub(crate) struct PlannedRelease {
    pub(crate) release: Release,
    /// In the order of its files.
    digests: Vec<Sha256>,
    states: Vec<CopyState>,
}

impl PlannedRelease {
    pub(crate) fn state(&self) -> CopyState {
        if self.states.contains(&CopyState::Copied) {
            CopyState::Copied
        } else {
            CopyState::There
        }
    }
}

/// Whether a release can go where it shall.
pub(crate) enum Fit {
    Fits(PlannedRelease),
    /// The target has another release under its version: these files.
    Differs(Vec<ReleaseFile>),
}

/// The two ends of a copy.
pub(crate) struct Ends {
    pub(crate) source: Repo,
    pub(crate) target: Repo,
    /// Why, for the record.
    pub(crate) reason: String,
    /// The remote that files are copied to, if they are.
    pub(crate) to_remote: Option<String>,
    /// The results of checks of the releases.
    pub(crate) checks: PromotionChecks,
    pub(crate) dry_run: bool,
}

impl Opened {
    pub(crate) fn copy_release(&self, what: &str, options: &CopyOptions) -> Result<CopyReport> {
        let requirement = self.parse_requirement(what)?;
        let (from, to) = (self.repo_entry(&options.from)?, self.repo_entry(&options.to)?);
        let reason = format!("copied from {}", options.from);
        let mut ends = Ends {
            source: self.open_repo(from)?,
            target: self.open_repo(to)?,
            reason: options.message.clone().unwrap_or(reason),
            to_remote: options.to_remote.clone().filter(|_| !options.without_files),
            checks: PromotionChecks::new(),
            dry_run: options.dry_run,
        };
        let root = self.newest_admitted(&ends.source, &requirement, &options.from)?;
        let releases = if options.with_deps {
            self.with_needs(&ends, &root, &requirement, options)?
        } else {
            vec![root.clone()]
        };
        let mut plan = Vec::new();
        for release in releases {
            self.context().check()?;
            let (package, version) = (release.package.clone(), release.version.clone());
            let there = ends.target.own_files(&package, self.context())?;
            match ends.plan(release, &there)? {
                Fit::Fits(planned) => plan.push(planned),
                Fit::Differs(files) if package == root.package => {
                    return Err(other_bytes(&ends.target, &root.package, &root.version, &files)?);
                }
                Fit::Differs(_) => self.context().warn(
                    "copy::other_bytes",
                    format!(
                        "{package} {version} in {} has different contents than in {}; it was left unchanged",
                        options.to, options.from
                    ),
                ),
            }
        }
        self.check_copied(&ends, &root, &plan, options)?;
        let chosen: Vec<&Release> = plan.iter().map(|planned| &planned.release).collect();
        for release in &chosen {
            let best = release.best();
            self.warn_judged(best, &options.from, || Ok(ends.source.status(best)?))?;
            self.refuse_public_files(&ends.target, &ends.source, release)?;
        }
        let promotion = Promotion {
            from: &options.from,
            to: &options.to,
            from_remote: options.from_remote.as_deref(),
            with_files: !options.without_files,
        };
        let new = plan.iter().filter(|planned| planned.state() == CopyState::Copied);
        let new = new.map(|planned| &planned.release);
        let (checks, reports) = self.pass_promotion(&ends.source, new, promotion)?;
        ends.checks = checks;
        let files = if options.without_files {
            None
        } else {
            let (from, to) = (options.from_remote.as_deref(), options.to_remote.as_deref());
            self.copy_release_files(&ends, &chosen, from, to)?
        };
        let mut copied = Vec::new();
        for planned in &plan {
            self.context().check()?;
            copied.push(self.copy_one(&ends, planned)?);
        }
        self.complete_target(&ends, &plan)?;
        Ok(CopyReport {
            wheel: root.best().file.clone(),
            package: root.package,
            version: root.version,
            from: options.from.clone(),
            to: options.to.clone(),
            releases: copied,
            files,
            checks: reports,
            dry_run: options.dry_run,
        })
    }

    /// The newest release of a repo that a requirement admits: a yanked one only if it is pinned, a pre-release only if
    /// there is nothing else.
    fn newest_admitted(&self, repo: &Repo, requirement: &Requirement, name: &str) -> Result<Release> {
        let pinned = requirement.specifiers().pinned().is_some();
        repo.check_admits(requirement.name())?;
        let mut admitted = repo.whole_releases(requirement.name(), self.context())?;
        admitted.retain(|release| {
            requirement.specifiers().contains(&release.version) && (pinned || !release.is_yanked())
        });
        let best = admitted
            .into_iter()
            .max_by_key(|r| (!r.version.is_prerelease(), r.version.clone()));
        best.ok_or_else(|| {
            let what = format!("`{requirement}` (searched `{name}`)");
            WorkspaceError::NoSuchRelease { what, nearest: None }.into()
        })
    }

    /// A release with its requirements, as far as the source has them; requirements first.
    fn with_needs(
        &self,
        ends: &Ends,
        root: &Release,
        requirement: &Requirement,
        options: &CopyOptions,
    ) -> Result<Vec<Release>> {
        // Requirements are looked up in the target first, then in the source, then in the others.
        let (from, to) = (self.repo_entry(&options.from)?, self.repo_entry(&options.to)?);
        let others = self.repos().into_iter().filter(|e| *e != from && *e != to);
        let env = self.marker_env()?;
        let pool = CandidateSources::of(self, [to, from].into_iter().chain(others).collect(), &[])?;
        let mut releases = Vec::new();
        for (package, version) in self.closure(&pool, &env, root, requirement)? {
            // What only another repo has is neither here nor there.
            let all = ends.source.whole_releases(&package, self.context())?;
            releases.extend(all.into_iter().find(|r| r.version == version));
        }
        Ok(releases)
    }

    /// A release with all it needs, what is needed first: the versions it was built with where it says so, else what the
    /// target has, else the newest.
    fn closure(
        &self,
        pool: &CandidateSources<'_>,
        env: &backlot_pep::MarkerEnv,
        root: &Release,
        requirement: &Requirement,
    ) -> Result<Vec<(PackageName, Version)>> {
        let groups: Vec<String> = requirement.groups().iter().map(ToString::to_string).collect();
        let groups = if groups.is_empty() {
            String::new()
        } else {
            format!("[{}]", groups.join(","))
        };
        let mut problem = Problem::new(env);
        problem.sources = pool.sources();
        problem.requirements.push(RootRequirement {
            requirement: Requirement::parse(&format!("{}{groups}=={}", root.package, root.version))?,
            asked_by: "the copy".to_owned(),
        });
        let mut read = BTreeSet::new();
        let mut resolution = Resolution::default();
        for _ in 0..ROUNDS {
            resolution = backlot_resolve::resolve(pool, &problem, self.context())?;
            let mut grown = false;
            for chosen in &resolution.packages {
                if chosen.source == TARGET && chosen.name != root.package
                    || !read.insert((chosen.name.clone(), chosen.version.clone()))
                {
                    continue;
                }
                let Some(release) = pool.release(chosen)? else {
                    continue;
                };
                if release.is_sdist() {
                    // Only wheels are made by us.
                    continue;
                }
                let provenance = Provenance::of(&pool.repo(chosen.source).1.archive(&release)?)?;
                for (name, version) in provenance.into_iter().flat_map(|p| p.inputs) {
                    if !problem.preferences.contains_key(&name) && pool.has_good(&name, &version)? {
                        problem.preferences.insert(name, version);
                        grown = true;
                    }
                }
            }
            if !grown {
                break;
            }
        }
        let needs: BTreeMap<PackageName, Vec<PackageName>> = resolution
            .packages
            .iter()
            .map(|p| {
                (
                    p.name.clone(),
                    p.requires.iter().map(|(n, _)| n.clone()).collect(),
                )
            })
            .collect();
        let ordered = dependencies_first(&needs, [&root.package]);
        let version = |name: &PackageName| resolution.packages.iter().find(|p| p.name == *name);
        Ok(ordered
            .iter()
            .filter_map(|name| Some((name.clone(), version(name)?.version.clone())))
            .collect())
    }

    /// Bring the files of releases to the remote where they shall be. Without a second remote they must be on the first.
    pub(crate) fn copy_release_files(
        &self,
        ends: &Ends,
        releases: &[&Release],
        from: Option<&str>,
        to: Option<&str>,
    ) -> Result<Option<CopyFilesReport>> {
        let from = match self.remote_entry(from, "copying files") {
            Ok(entry) => entry,
            // With no remote at all there are no files that anybody could pull.
            Err(_) if from.is_none() && to.is_none() => return Ok(None),
            Err(error) => return Err(error),
        };
        let to = self.remote_entry(Some(to.unwrap_or(&from.name)), "copying files")?;
        let source = self.open_remote(from)?;
        let mut wanted: BTreeMap<ObjectId, String> = BTreeMap::new();
        let files: Vec<&ReleaseFile> = releases.iter().flat_map(|r| &r.files).collect();
        let named = NamedRemote::new(&from.name, &source);
        for release in releases {
            refuse_dropped(&ends.source, release)?;
        }
        for release in self.objects_in(&ends.source, &files, named, Purpose::Decide)? {
            let label = release.label();
            wanted.extend(release.needs.objects.into_iter().map(|id| (id, label.clone())));
        }
        if wanted.is_empty() {
            return Ok(None);
        }
        let mut report = CopyFilesReport {
            from: from.name.clone(),
            to: to.name.clone(),
            dry_run: ends.dry_run,
            ..CopyFilesReport::default()
        };
        if !ends.dry_run {
            self.note_user(&ends.target, &self.open_remote(to)?)?;
        }
        let ids: Vec<ObjectId> = wanted.keys().copied().collect();
        if from.name != to.name {
            self.copy_objects(&source, &self.open_remote(to)?, &ids, &mut report)?;
            return Ok(Some(report));
        }
        let there = source.exists_many(&ids, self.context())?;
        let missing = wanted.values().zip(&there).filter(|(_, there)| !**there);
        let missing: BTreeSet<&String> = missing.map(|(label, _)| label).collect();
        if !missing.is_empty() {
            return Err(WorkspaceError::FilesNotThere {
                releases: missing.into_iter().cloned().collect::<Vec<_>>().join(", "),
                remote: to.name.clone(),
            }
            .into());
        }
        report.already_there = ids.len() as u64;
        Ok(Some(report))
    }

    /// Copy one release: first what was said of it, so that a yanked one never shows as good, then its files.
    pub(crate) fn copy_one(&self, ends: &Ends, planned: &PlannedRelease) -> Result<CopiedRelease> {
        let release = &planned.release;
        let mut facts = 0;
        for (file, carried) in ends.source.events_to_import(release)? {
            facts += ends
                .target
                .import_events(file, &carried, ends.dry_run, self.context())?;
        }
        if planned.state() == CopyState::Copied && !ends.dry_run {
            self.copy_missing(ends, planned)?;
        }
        let files = release.files.iter().zip(&planned.digests).zip(&planned.states);
        let files = files.map(|((file, sha256), state)| CopiedFile {
            file: file.file.clone(),
            kind: file.kind,
            sha256: *sha256,
            size: file.size,
            state: *state,
        });
        Ok(CopiedRelease {
            package: release.package.clone(),
            version: release.version.clone(),
            wheel: release.best().file.clone(),
            files: files.collect(),
            state: planned.state(),
            facts,
        })
    }

    /// Of what was there already, pip and uv see all, too, also if whoever brought it was killed at the end.
    pub(crate) fn complete_target<'a>(
        &self,
        ends: &Ends,
        planned: impl IntoIterator<Item = &'a PlannedRelease>,
    ) -> Result<()> {
        if ends.dry_run {
            return Ok(());
        }
        let there = planned.into_iter().filter(|one| one.state() == CopyState::There);
        let names: BTreeSet<PackageName> = there.map(|one| one.release.package.clone()).collect();
        let names: Vec<PackageName> = names.into_iter().collect();
        Ok(ends.target.complete(&names, self.context())?)
    }

    /// Fetch and check all files that the target does not have, then add them one by one.
    fn copy_missing(&self, ends: &Ends, planned: &PlannedRelease) -> Result<()> {
        let wheels = self.cache_dir().join("wheels");
        let stage = shared::temporary_folder(&wheels, 1)?;
        let mut checked = Vec::new();
        let files = planned.release.files.iter().zip(&planned.digests);
        for ((file, sha256), state) in files.zip(&planned.states) {
            if *state == CopyState::There {
                continue;
            }
            // What was compared is what is fetched, also where the source itself promises no digest.
            let mut file = file.clone();
            file.sha256 = Some(*sha256);
            let local = stage.path().join(&file.file);
            ends.source.open_wheel(&file, &local, self.context())?;
            checked.push(Checked::part(&local, &planned.digests, self.context())?);
        }
        let release = &planned.release;
        let of = (release.package.clone(), release.version.clone());
        let by = Publication {
            remotes: self.remotes_of_copy(ends, planned)?,
            checks: ends.checks.get(&of).cloned().unwrap_or_default(),
            ..self.publication(Some(&ends.reason))
        };
        for file in &checked {
            self.context().check()?;
            match ends.target.publish(file, &by, self.context()) {
                // Another process copied the same at the same time.
                Ok(()) | Err(backlot_repo::Error::ReleaseExists { identical: true, .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The remotes that the copy of a release says its files are on: where they were copied to, else what the release says.
    fn remotes_of_copy(&self, ends: &Ends, planned: &PlannedRelease) -> Result<Vec<ReleaseRemote>> {
        let published = ends.source.status(planned.release.best())?.published;
        let said = published.map(|fact| fact.remotes).unwrap_or_default();
        match ends.to_remote.as_deref().filter(|_| !said.is_empty()) {
            Some(to) => Ok(vec![
                self.remote_record(self.remote_entry(Some(to), "copying files")?),
            ]),
            None => Ok(said),
        }
    }

    /// Refuse a release that could not be installed from the target with all that comes with it: as if the target had them.
    fn check_copied(
        &self,
        ends: &Ends,
        root: &Release,
        plan: &[PlannedRelease],
        options: &CopyOptions,
    ) -> Result<()> {
        let env = self.marker_env()?;
        let to = self.repo_entry(&options.to)?;
        let mut reach = self.reach_of(to);
        reach.retain(|entry| *entry == to || entry.name != options.from);
        let pool = CandidateSources::of(self, reach, &[])?;
        let mut problem = Problem::new(&env);
        problem.sources = pool.sources();
        problem.requirements.push(RootRequirement {
            requirement: Requirement::parse(&format!("{}=={}", root.package, root.version))?,
            asked_by: "the copy".to_owned(),
        });
        for planned in plan {
            let release = &planned.release;
            let best = release.best();
            let mut metadata = ends.metadata(planned)?;
            // A URL is where it is, whatever repos have.
            metadata.requires_dist.retain(|need| need.url().is_none());
            pool.take_metadata(TARGET, best, metadata);
            let mut listing = Listing::default();
            if best.is_sdist() {
                listing.sources.push(best.clone());
            } else {
                listing.releases.push(best.clone());
            }
            pool.take((release.package.clone(), TARGET), Arc::new(listing), None);
            // Also a yanked one, which was chosen because something was built with it.
            problem
                .preferences
                .insert(release.package.clone(), release.version.clone());
        }
        match backlot_resolve::resolve(&pool, &problem, self.context()) {
            Ok(_) => Ok(()),
            Err(error) if is_refusal(&error) => {
                let what = format!("{} {}", root.package, root.version);
                self.refuse_uninstallable(what, &options.to, error.to_string(), options.force)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Ends {
    /// What has to happen to each file of a release of the source. `there` is what the target itself has of the package: a file there by the name of one of ours has its bytes, and if there are any, one of ours is among them.
    pub(crate) fn plan(&self, release: Release, there: &[ReleaseFile]) -> Result<Fit> {
        let there: Vec<&ReleaseFile> = there.iter().filter(|r| r.version == release.version).collect();
        let mut digests = Vec::with_capacity(release.files.len());
        for file in &release.files {
            digests.push(self.source.digest(file)?);
        }
        let mut other = Vec::new();
        let mut shared = BTreeMap::new();
        for &file in &there {
            let is_of = |ours: &ReleaseFile| ours.kind == file.kind && ours.name == file.name;
            let digest = self.target.digest(file)?;
            match release.files.iter().position(is_of) {
                Some(index) if digests[index] == digest => {
                    shared.insert(index, CopyState::There);
                }
                Some(_) => other.push(file.clone()),
                None => {}
            }
        }
        if shared.is_empty() && other.is_empty() {
            other = there.into_iter().cloned().collect();
        }
        if !other.is_empty() {
            return Ok(Fit::Differs(other));
        }
        let states = (0..release.files.len()).map(|index| shared.get(&index).copied());
        Ok(Fit::Fits(PlannedRelease {
            states: states.map(|state| state.unwrap_or(CopyState::Copied)).collect(),
            digests,
            release,
        }))
    }

    /// The metadata of a release, from its source.
    pub(crate) fn metadata(&self, planned: &PlannedRelease) -> Result<Metadata> {
        let best = planned.release.best();
        if best.is_sdist() {
            // Also of one that cannot be built.
            return Ok(self.source.describe(best)?.0);
        }
        Ok(self.source.metadata(best)?)
    }
}

/// The error for a version of which the target has other files.
pub(crate) fn other_bytes(
    target: &Repo,
    package: &PackageName,
    version: &Version,
    files: &[ReleaseFile],
) -> Result<Error> {
    let published = match files.first() {
        Some(there) => target.status(there)?.published,
        None => None,
    };
    Ok(backlot_repo::Error::ReleaseExists {
        package: package.clone(),
        version: version.clone(),
        repo: target.place(),
        files: files.iter().map(|file| file.file.clone()).collect(),
        author: published.as_ref().map(|f| f.author.clone().into()),
        at: published.map(|f| f.at),
        identical: false,
        complete: true,
    }
    .into())
}

/// Everything that is reached from some packages, each after all it needs (as far as they need each other in no circle).
pub(crate) fn dependencies_first<'a>(
    needs: &BTreeMap<PackageName, Vec<PackageName>>,
    starts: impl IntoIterator<Item = &'a PackageName>,
) -> Vec<PackageName> {
    let mut ordered = Vec::new();
    let mut seen = BTreeSet::new();
    for start in starts {
        if !seen.insert(start.clone()) {
            continue;
        }
        // Not recursive: a chain of dependencies may be longer than a stack.
        let mut open = vec![(start.clone(), 0)];
        while let Some((name, next)) = open.pop() {
            match needs.get(&name).and_then(|all| all.get(next)) {
                Some(need) => {
                    open.push((name, next + 1));
                    if seen.insert(need.clone()) {
                        open.push((need.clone(), 0));
                    }
                }
                None => ordered.push(name),
            }
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::dependencies_first;
    use backlot_pep::PackageName;

    #[test]
    fn what_is_needed_comes_first_also_in_long_chains_and_circles() {
        let name = |n: usize| PackageName::parse(&format!("p{n}")).expect("a name");
        let chain = (0..50_000).map(|n| (name(n), vec![name(n + 1)])).collect();
        let ordered = dependencies_first(&chain, [&name(0)]);
        assert_eq!(ordered.len(), 50_001);
        assert_eq!((&ordered[0], &ordered[50_000]), (&name(50_000), &name(0)));
        let circle = [(name(1), vec![name(2)]), (name(2), vec![name(1), name(3)])].into();
        assert_eq!(
            dependencies_first(&circle, [&name(1)]),
            [name(3), name(2), name(1)]
        );
        let all = [name(1), name(2), name(3)];
        assert_eq!(
            dependencies_first(&circle, &all),
            [name(3), name(2), name(1)],
            "each once"
        );
    }
}
