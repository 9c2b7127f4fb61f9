//! Choosing releases: the repos and outputs of a workspace as candidates, its wishes as the problem.
//!
//! Invariant: an output is the only candidate for its package, so an editable is never silently replaced. A release in
//! several repos counts once, from the most preferred. Deliberately absent: the solving (`backlot-resolve`).

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use backlot_core::text::printable;
use backlot_core::{Class, Coded, Context, MarkerEnv, PackageName, Requirement, Version};
use backlot_repo::{Listing, Release, Repo, Stamp};
use backlot_resolve::{
    Candidate, Candidates, Dependencies, Problem, Remark, Resolution, Resolved, RootRequirement, Source,
};
use backlot_wheel::{Fit, Metadata, Tags, WheelName};

use crate::config::RepoEntry;
use crate::direct::{Direct, urls_of};
use crate::error::{Error, Result};
use crate::lockfile::{Lock, LockedPackage};
use crate::outputs::Output;
use crate::rules::Rules;
use crate::workspace::Workspace;

/// The original engine's own package, which its assets require and its host provides.
const ENGINE_PACKAGE: &str = "tgzr-pipeline";

/// How a wheel fits that runs everywhere: after any that was built for this Python or platform.
const PURE: Fit = (601, 0);

/// Errors that say of metadata that it cannot be read, not that it did not arrive.
const UNREADABLE: [&str; 2] = ["index::wrong_metadata", "wheel::bad_metadata"];

/// What is said of source distributions of public indexes.
const FOREIGN_SOURCE: &str = "is a source distribution; of a public index only wheels are used";

/// What to choose, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    /// What the workspace asks for.
    pub(crate) inputs: Vec<Requirement>,
    /// A repo to prefer to all others.
    pub(crate) prefer: Option<String>,
    /// Ask only repos that people have who have the preferred one.
    pub(crate) within_reach: bool,
    /// Forget these choices of the lock.
    pub(crate) upgrade: Upgrade,
    /// Admit pre-releases.
    pub(crate) prereleases: bool,
    /// Constraints, overrides, the cutoff and pins to repos; those of `backlot.toml` where nothing is said.
    pub(crate) rules: Option<Rules>,
    /// Rather keep a choice of the lock than move to a deprecated or to a lower release.
    pub(crate) forwards: bool,
}

/// Which choices of the lock may move.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Upgrade {
    /// Only those that must.
    #[default]
    None,
    /// Those of these packages.
    Packages(Vec<PackageName>),
    /// All.
    All,
}

/// The files of a package in one repo. A number stands for each: an index into the wheels, then on into the source
/// distributions, then on into those that cannot be used.
#[derive(Debug, Default)]
pub(crate) struct Releases {
    listing: Arc<Listing<Release>>,
    /// The good ones: oldest version first, of each version the one to be preferred first.
    files: Vec<usize>,
}

impl Releases {
    /// Of each version the file to use, oldest version first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Release> {
        let mut last: Option<&Version> = None;
        self.files().map(|(_, release)| release).filter(move |release| {
            let is_first = last != Some(&release.version);
            last = Some(&release.version);
            is_first
        })
    }

    /// All good files, oldest version first, of each version the one to be preferred first.
    pub(crate) fn files(&self) -> impl Iterator<Item = (usize, &Release)> {
        self.files
            .iter()
            .filter_map(|index| Some((*index, self.get(*index)?)))
    }

    /// The good file of a number.
    pub(crate) fn get(&self, file: usize) -> Option<&Release> {
        let wheels = self.listing.releases.len();
        match file.checked_sub(wheels) {
            None => self.listing.releases.get(file),
            Some(source) => self.listing.sources.get(source),
        }
    }

    /// The files of versions that no good file has, and that could not be read: each with its number.
    fn failed(&self) -> impl Iterator<Item = (usize, &Version)> {
        let from = self.listing.releases.len() + self.listing.sources.len();
        let broken = (from..).zip(&self.listing.broken);
        broken.filter_map(|(file, broken)| {
            let version = &broken.failure.as_ref()?.version;
            let is_alone = self.listing.files().all(|good| good.version != *version);
            is_alone.then_some((file, version))
        })
    }

    /// Why the file of a number cannot be read.
    fn failure(&self, file: usize) -> Option<Error> {
        let from = self.listing.releases.len() + self.listing.sources.len();
        let broken = self.listing.broken.get(file.checked_sub(from)?)?;
        Some(broken.error()?.into())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

/// The repos of a workspace, open, with what was read from them.
pub(crate) struct Pool<'w> {
    pub(crate) repos: Vec<(String, Repo)>,
    pub(crate) outputs: BTreeMap<PackageName, &'w Output>,
    pub(crate) context: &'w Context,
    releases: RefCell<HashMap<(PackageName, usize), Rc<Releases>>>,
    /// By file name and rank.
    metadata: RefCell<HashMap<(String, usize), Rc<Metadata>>>,
    /// The sign of what each repo had when it was asked; `None` where nothing tells a change.
    stamps: RefCell<HashMap<(PackageName, usize), Option<Stamp>>>,
    /// Which repos are public, by rank.
    public: Vec<bool>,
    /// The Python whose wheels are chosen; any wheel will do where it is not said.
    python: Option<String>,
    tags: OnceCell<Tags>,
    /// What URLs name, which no repo is asked for.
    pub(crate) direct: BTreeMap<PackageName, Direct>,
}

impl<'w> Pool<'w> {
    /// With what can be installed from all repos of a workspace, source distributions too.
    pub(crate) fn open(
        workspace: &'w Workspace,
        outputs: &'w [Output],
        prefer: Option<&str>,
    ) -> Result<Self> {
        let mut entries = workspace.repos();
        if let Some(prefer) = prefer {
            workspace.repo_entry(prefer)?;
            entries.sort_by_key(|r| r.name != prefer);
        }
        Self::of(workspace, entries, outputs)
    }

    /// With what can be installed from these repos, most preferred first.
    pub(crate) fn of(
        workspace: &'w Workspace,
        entries: Vec<&RepoEntry>,
        outputs: &'w [Output],
    ) -> Result<Self> {
        let mut repos = Vec::new();
        let public = entries.iter().map(|entry| entry.public.is_some()).collect();
        for entry in entries {
            repos.push((entry.name.clone(), workspace.open_repo(entry)?));
        }
        let outputs = outputs.iter().map(|o| (o.package(), o)).collect();
        let context = workspace.context();
        Ok(Self {
            repos,
            outputs,
            context,
            releases: RefCell::default(),
            metadata: RefCell::default(),
            stamps: RefCell::default(),
            public,
            python: None,
            tags: OnceCell::new(),
            direct: BTreeMap::new(),
        })
    }

    /// All releases of a package with the rank of their repo, most preferred repo first.
    pub(crate) fn releases(&self, name: &PackageName) -> Result<Vec<(usize, Release)>> {
        let mut all = Vec::new();
        for rank in 0..self.repos.len() {
            let releases = self.releases_in(name, rank)?;
            all.extend(releases.iter().map(|release| (rank, release.clone())));
        }
        Ok(all)
    }

    /// The files of a package in the repo of a rank: of each version those that can be had first, then those that are not
    /// yanked, then the wheel that fits best; source distributions after wheels.
    pub(crate) fn releases_in(&self, name: &PackageName, rank: usize) -> Result<Rc<Releases>> {
        let key = (name.clone(), rank);
        if let Some(known) = self.releases.borrow().get(&key) {
            return Ok(Rc::clone(known));
        }
        let Some((_, repo)) = self.repos.get(rank) else {
            return Ok(Rc::default());
        };
        let (listing, stamp) = repo.stamped_listing(name, self.context)?;
        Ok(self.take(key, listing, stamp))
    }

    /// What the answer depends on: every package that a repo was asked for. `None` where a change could not be told, or a
    /// repo has something that cannot be used, of which people are to be told each time.
    pub(crate) fn stamps(&self) -> Option<Vec<(usize, PackageName, Stamp)>> {
        let stamps = self.stamps.borrow();
        let all = stamps
            .iter()
            .map(|((name, rank), stamp)| Some((*rank, name.clone(), stamp.clone()?)));
        all.collect()
    }

    /// Whether the host provides the original engine, because no repo of the studio has it. Asked only when a package needs it.
    fn engine_is_provided(&self) -> Result<bool> {
        let engine = PackageName::parse(ENGINE_PACKAGE)?;
        if self.outputs.contains_key(&engine) {
            return Ok(false);
        }
        for rank in (0..self.repos.len()).filter(|rank| !self.public[*rank]) {
            if !self.releases_in(&engine, rank)?.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The Python whose wheels are chosen.
    pub(crate) fn python(&self) -> Option<&str> {
        self.python.as_deref()
    }

    /// Remember what a repo said of a package.
    pub(crate) fn take(
        &self,
        key: (PackageName, usize),
        listing: Arc<Listing<Release>>,
        stamp: Option<Stamp>,
    ) -> Rc<Releases> {
        let stamp = stamp.filter(|_| listing.broken.is_empty());
        self.stamps.borrow_mut().insert(key.clone(), stamp);
        let mut offered: Vec<(usize, &Release)> = listing.files().enumerate().collect();
        // Pure wheels are in order already.
        if offered
            .iter()
            .any(|(_, r)| !r.name.is_pure() || r.is_sdist() || r.yanked.is_some())
        {
            offered.sort_by_cached_key(|(_, r)| {
                let fit = self.fit(&r.name).filter(|_| !self.is_foreign_source(r, key.1));
                let is_yanked = r.yanked.is_some();
                (
                    r.version.clone(),
                    fit.is_none(),
                    is_yanked,
                    r.is_sdist(),
                    fit.unwrap_or(PURE),
                )
            });
        }
        let files = offered.into_iter().map(|(index, _)| index).collect();
        let releases = Rc::new(Releases { listing, files });
        self.releases.borrow_mut().insert(key, Rc::clone(&releases));
        releases
    }

    /// Choose wheels for a Python.
    pub(crate) fn for_python(mut self, env: &MarkerEnv) -> Self {
        self.python = Some(env.python_short());
        self
    }

    /// How well a wheel fits the environment; `None` if it does not run there.
    pub(crate) fn fit(&self, name: &WheelName) -> Option<Fit> {
        match &self.python {
            Some(python) if !name.is_pure() => {
                self.tags.get_or_init(|| Tags::of_this_machine(python)).fit(name)
            }
            _ => Some(PURE),
        }
    }

    /// Packages that come from one repo alone, by its rank.
    fn pins(&self, rules: &Rules) -> BTreeMap<PackageName, usize> {
        let rank = |repo: &str| self.repos.iter().position(|(name, _)| name == repo);
        let pins = rules
            .sources
            .iter()
            .filter_map(|(package, repo)| Some((package.clone(), rank(repo)?)));
        pins.collect()
    }

    /// The repos as the solver's sources, in the same order.
    pub(crate) fn sources(&self) -> Vec<Source> {
        let sources = self.repos.iter().enumerate().map(|(rank, (name, repo))| Source {
            name: name.clone(),
            // All repos of the studio are one group; each public index is one of its own, after them.
            trust: if self.public[rank] { rank + 1 } else { 0 },
            local: matches!(repo, Repo::Folder(_)),
        });
        sources.collect()
    }

    /// The name and repo of a rank.
    pub(crate) fn repo(&self, rank: usize) -> (&str, &Repo) {
        let (name, repo) = &self.repos[rank];
        (name, repo)
    }

    /// The file that was chosen.
    pub(crate) fn release(&self, chosen: &Resolved) -> Result<Option<Release>> {
        let all = self.releases_in(&chosen.name, chosen.source)?;
        Ok(all.get(chosen.file).cloned())
    }

    /// Whether a repo has a version that is not yanked.
    pub(crate) fn has_good(&self, name: &PackageName, version: &Version) -> Result<bool> {
        for rank in 0..self.repos.len() {
            let releases = self.releases_in(name, rank)?;
            let good = |r: &Release| r.version == *version && r.yanked.is_none();
            if releases.files().any(|(_, r)| good(r)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a release is a source distribution of a public index. Looking whether it can be built would mean to fetch
    /// it, and those of old versions are many.
    pub(crate) fn is_foreign_source(&self, release: &Release, rank: usize) -> bool {
        release.is_sdist() && self.public[rank]
    }

    /// The metadata of a release, read once.
    pub(crate) fn metadata(&self, rank: usize, release: &Release) -> Result<Rc<Metadata>> {
        let key = (release.file.clone(), rank);
        if let Some(known) = self.metadata.borrow().get(&key) {
            return Ok(Rc::clone(known));
        }
        let metadata = self.repos[rank].1.metadata(release)?;
        Ok(self.take_metadata(rank, release, metadata))
    }

    /// Remember the metadata of a release.
    pub(crate) fn take_metadata(&self, rank: usize, release: &Release, metadata: Metadata) -> Rc<Metadata> {
        let key = (release.file.clone(), rank);
        let metadata = Rc::new(metadata);
        self.metadata.borrow_mut().insert(key, Rc::clone(&metadata));
        metadata
    }

    /// Whether it was read already what the repo of a rank has of a package.
    pub(crate) fn knows(&self, name: &PackageName, rank: usize) -> bool {
        self.releases.borrow().contains_key(&(name.clone(), rank))
    }

    /// What a package's metadata needs here: all but what the engine provides.
    pub(crate) fn dependencies_of(&self, metadata: &Metadata) -> Result<Dependencies> {
        let range = metadata.requires_python.as_ref().map(ToString::to_string);
        let is_engine = |r: &Requirement| r.name().as_str() == ENGINE_PACKAGE;
        let leave_out = metadata.requires_dist.iter().any(is_engine) && self.engine_is_provided()?;
        let provided = |r: &Requirement| leave_out && is_engine(r);
        Ok(Dependencies {
            requires: metadata
                .requires_dist
                .iter()
                .filter(|r| !provided(r))
                .cloned()
                .collect(),
            groups: metadata.provides_extra.clone(),
            requires_python: range.or_else(|| metadata.invalid_requires_python.clone()),
        })
    }
}

impl Candidates for Pool<'_> {
    fn candidates(&self, name: &PackageName, source: usize) -> Result<Vec<Candidate>, Box<dyn Coded>> {
        if let Some(output) = self.outputs.get(name) {
            return Ok(vec![Candidate::new(
                output.project.metadata.version.clone(),
                source,
            )]);
        }
        if let Some(direct) = self.direct.get(name) {
            return Ok(vec![direct.candidate(self, source).map_err(boxed)?]);
        }
        let releases = self.releases_in(name, source).map_err(boxed)?;
        let mut candidates = Vec::with_capacity(releases.files.len());
        for (file, release) in releases.files() {
            let excluded = match &self.python {
                _ if self.is_foreign_source(release, source) => Some(FOREIGN_SOURCE.to_owned()),
                Some(python) if self.fit(&release.name).is_none() => {
                    Some(format!("has no wheel for Python {python} on this platform"))
                }
                _ => None,
            };
            candidates.push(Candidate {
                file,
                excluded,
                yanked: release.yanked.clone(),
                deprecated: release.deprecated.clone(),
                requires_python: release.requires_python.clone(),
                published: release.published_at,
                ..Candidate::new(release.version.clone(), source)
            });
        }
        candidates.extend(releases.failed().map(|(file, version)| Candidate {
            file,
            ..Candidate::new(version.clone(), source)
        }));
        Ok(candidates)
    }

    fn dependencies(
        &self,
        name: &PackageName,
        candidate: &Candidate,
    ) -> Result<Dependencies, Box<dyn Coded>> {
        if let Some(metadata) = self.own_metadata(name).map_err(boxed)? {
            check_requires(metadata).map_err(boxed)?;
            // Of an output it is asked for as it is; that of a file was judged with its candidate.
            return Ok(Dependencies {
                requires_python: None,
                ..self.dependencies_of(metadata).map_err(boxed)?
            });
        }
        let releases = self.releases_in(name, candidate.source).map_err(boxed)?;
        if let Some(failure) = releases.failure(candidate.file) {
            return Err(boxed(failure));
        }
        let Some(release) = releases.get(candidate.file) else {
            return Ok(Dependencies::default());
        };
        let metadata = self.metadata(candidate.source, release).map_err(boxed)?;
        check_requires(&metadata).map_err(boxed)?;
        self.dependencies_of(&metadata).map_err(boxed)
    }

    /// Metadata that arrived as it should and cannot be read makes its version one that is not for us, as for pip and uv.
    fn excludes(&self, error: &dyn Coded) -> bool {
        let code = error.code();
        matches!(error.class(), Class::User | Class::NotFound) || UNREADABLE.contains(&code)
    }

    fn prefetch(&self, names: &[&PackageName]) {
        let names = names.iter().filter(|n| !self.is_own(n));
        let names: Vec<PackageName> = names.map(|n| (*n).clone()).collect();
        // A public index is asked only when the studio's own repos are known not to have it.
        for (rank, ((_, repo), public)) in self.repos.iter().zip(&self.public).enumerate() {
            let unknown = names.iter().filter(|name| !public && !self.knows(name, rank));
            let unknown: Vec<PackageName> = unknown.cloned().collect();
            if !unknown.is_empty() {
                repo.prefetch(&unknown).ok();
            }
        }
    }

    fn asks(&self, name: &PackageName, source: usize) -> bool {
        let repo = self.repos.get(source).map(|(_, repo)| repo);
        self.is_own(name) || repo.is_none_or(|repo| repo.admits(name))
    }

    fn remark(&self, missing: &[PackageName]) -> Option<Remark> {
        self.not_allowed(missing)
    }

    fn near(&self, name: &PackageName) -> Vec<String> {
        let mut names: Vec<String> = self.outputs.keys().map(ToString::to_string).collect();
        // A whole index is too much to ask for only because of a typing error.
        for (_, repo) in self.repos.iter().filter(|(_, repo)| !repo.is_remote()) {
            names.extend(
                repo.packages()
                    .unwrap_or_default()
                    .iter()
                    .map(ToString::to_string),
            );
        }
        backlot_core::text::nearest(name.as_str(), names.iter().map(String::as_str))
            .map(ToOwned::to_owned)
            .into_iter()
            .collect()
    }
}

/// A release of which one requirement cannot be read may need anything.
fn check_requires(metadata: &Metadata) -> Result<()> {
    let Some(text) = metadata.invalid_requires.first() else {
        return Ok(());
    };
    Err(backlot_wheel::Error::BadMetadata {
        of: format!("{} {}", metadata.name, metadata.version),
        reason: format!("its `Requires-Dist: {}` is not a requirement", printable(text)),
    }
    .into())
}

fn boxed(error: Error) -> Box<dyn Coded> {
    Box::new(error)
}

impl Workspace {
    /// Choose releases for a wish and the outputs, keeping the lock's choices where they still fit.
    pub(crate) fn choose(&self, wish: &Wish, outputs: &[Output], lock: Option<&Lock>) -> Result<Lock> {
        let env = self.marker_env()?;
        let pool = match wish.prefer.as_deref().filter(|_| wish.within_reach) {
            Some(target) => Pool::of(self, self.reach_of(self.repo_entry(target)?), outputs)?,
            None => Pool::open(self, outputs, wish.prefer.as_deref())?,
        };
        let mut pool = pool.for_python(&env);
        let mut requirements: Vec<RootRequirement> = wish
            .inputs
            .iter()
            .map(|r| RootRequirement {
                requirement: r.clone(),
                asked_by: "the workspace".to_owned(),
            })
            .collect();
        for output in outputs {
            let requirement = Requirement::parse(output.package().as_str())?;
            requirements.push(RootRequirement {
                requirement,
                asked_by: format!("the output {}", output.name),
            });
        }
        let preferences = lock
            .into_iter()
            .flat_map(|l| &l.packages)
            .filter(|p| keeps(p, &wish.upgrade));
        let rules = wish.rules.as_ref().unwrap_or(&self.config().rules);
        let mut problem = Problem {
            requirements,
            sources: pool.sources(),
            pins: pool.pins(rules),
            constraints: rules.constraints.clone(),
            overrides: rules.overrides.clone(),
            exclude_newer: rules.exclude_newer,
            preference: rules.resolution,
            preferences: preferences.map(|p| (p.name.clone(), p.version.clone())).collect(),
            fixed: outputs
                .iter()
                .map(|o| (o.package(), o.project.metadata.version.clone()))
                .collect(),
            prereleases: if wish.prereleases {
                backlot_resolve::PrereleasePolicy::Allow
            } else {
                backlot_resolve::PrereleasePolicy::default()
            },
            ..Problem::new(&env)
        };
        problem.name_urls(&urls_of(outputs, &env))?;
        pool.direct = self.direct_files(&problem.urls, |url| {
            let known = lock.into_iter().flat_map(|l| &l.packages);
            let mut known = known.filter(|p| p.url.as_deref() == Some(url.as_str()));
            known.find(|p| keeps(p, &wish.upgrade))?.sha256
        })?;
        let lock_of = |packages| {
            let inputs = wish.inputs.iter().map(ToString::to_string).collect();
            Lock::new(env.python_short(), inputs, packages).with_conda_of(lock)
        };
        let answer = self.answer_to(&problem, &pool, wish, lock)?;
        if let Some(packages) = answer.find(&pool, self.context().now()) {
            return Ok(lock_of(packages));
        }
        let warnings = self.context().warnings();
        pool.prefetch(&problem)?;
        let mut resolution = backlot_resolve::resolve(&pool, &problem, self.context())?;
        // Whoever names a repo or the lowest versions may mean lower ones.
        let spare_lower = wish.prefer.is_none() && rules.resolution == backlot_resolve::Preference::Highest;
        while wish.forwards && keep_instead(&pool, &resolution, lock, spare_lower, &mut problem)? {
            resolution = backlot_resolve::resolve(&pool, &problem, self.context())?;
        }
        pool.check_promises(&resolution)?;
        if wish.forwards {
            self.warn_lowered(&pool, &resolution, lock)?;
        }
        let packages = self.locked(&pool, &resolution, wish)?;
        if self.context().warnings() == warnings {
            answer.keep(&packages, &pool);
        }
        Ok(lock_of(packages))
    }

    fn locked(&self, pool: &Pool<'_>, resolution: &Resolution, wish: &Wish) -> Result<Vec<LockedPackage>> {
        let mut packages = Vec::new();
        for chosen in &resolution.packages {
            let mut needs: Vec<PackageName> = chosen.requires.iter().map(|(name, _)| name.clone()).collect();
            needs.sort();
            needs.dedup();
            let mut package = LockedPackage {
                requested: wish.inputs.iter().any(|r| r.name() == &chosen.name),
                groups: chosen.groups.clone(),
                needs,
                ..LockedPackage::new(chosen.name.clone(), chosen.version.clone())
            };
            if let Some(output) = pool.outputs.get(&chosen.name) {
                package.editable = Some(self.display_path(&output.project.root));
            } else if let Some(direct) = pool.direct.get(&chosen.name) {
                direct.lock(&mut package)?;
            } else if let Some(release) = pool.release(chosen)? {
                let (name, repo) = pool.repo(chosen.source);
                package.take(name, &release, repo.digest(&release)?);
            }
            packages.push(package);
        }
        Ok(packages)
    }

    /// Say which packages go down all the same, and why.
    fn warn_lowered(&self, pool: &Pool<'_>, resolution: &Resolution, lock: Option<&Lock>) -> Result<()> {
        for chosen in resolution.packages.iter().filter(|p| !pool.is_own(&p.name)) {
            let locked = lock.and_then(|l| l.package(&chosen.name));
            let Some(locked) = locked.filter(|l| l.version > chosen.version && l.repo.is_some()) else {
                continue;
            };
            let why = if pool.has_good(&locked.name, &locked.version)? {
                "is not what the requirements and rules of the workspace admit or prefer"
            } else {
                "is yanked, or not in a repo of the workspace any more"
            };
            let (name, from, to) = (&locked.name, &locked.version, &chosen.version);
            let message = format!("{name} goes down from {from} to {to}: {from} {why}");
            self.context().warn("resolve::lowered", message);
        }
        Ok(())
    }
}

/// Prefer the lock's release of each package that would move to a deprecated one, or to a lower one. Returns whether any is
/// newly preferred.
fn keep_instead(
    pool: &Pool<'_>,
    resolution: &Resolution,
    lock: Option<&Lock>,
    spare_lower: bool,
    problem: &mut Problem<'_>,
) -> Result<bool> {
    let mut found = false;
    for chosen in &resolution.packages {
        let Some(locked) = lock.and_then(|l| l.package(&chosen.name)) else {
            continue;
        };
        if locked.version == chosen.version || problem.preferences.contains_key(&chosen.name) {
            continue;
        }
        if pool.is_own(&chosen.name) {
            continue;
        }
        let Some(release) = pool.release(chosen)? else {
            continue;
        };
        let is_lower = spare_lower && chosen.version < locked.version;
        if (release.deprecated.is_some() || is_lower) && pool.has_good(&locked.name, &locked.version)? {
            problem
                .preferences
                .insert(chosen.name.clone(), locked.version.clone());
            found = true;
        }
    }
    Ok(found)
}

fn keeps(package: &LockedPackage, upgrade: &Upgrade) -> bool {
    match upgrade {
        Upgrade::None => true,
        Upgrade::Packages(names) => !names.contains(&package.name),
        Upgrade::All => false,
    }
}
