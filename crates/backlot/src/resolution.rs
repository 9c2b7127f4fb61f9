//! Choosing releases: the repos and outputs of a workspace as candidates, its wishes as the problem.
//!
//! Invariant: an output is the only candidate for its package, so an editable is never silently replaced. A release in
//! several repos counts once, from the most preferred. Deliberately absent: the solving (`backlot-resolve`).

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use backlot_core::{Coded, Context, MarkerEnv, PackageName, Requirement, Version};
use backlot_repo::{Listing, Release, Repo, Stamp};
use backlot_resolve::{
    Candidate, Candidates, Dependencies, Problem, Remark, Resolution, RootRequirement, Source,
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

/// What is said of source distributions of public indexes.
const FOREIGN_SOURCE: &str = "is a source distribution; of a public index only wheels are used";

/// What to choose, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    /// What the workspace asks for.
    pub(crate) inputs: Vec<Requirement>,
    /// A repo to prefer to all others.
    pub(crate) prefer: Option<String>,
    /// Forget these choices of the lock.
    pub(crate) upgrade: Upgrade,
    /// Admit pre-releases.
    pub(crate) prereleases: bool,
    /// Constraints, overrides, the cutoff and pins to repos; those of `backlot.toml` where nothing is said.
    pub(crate) rules: Option<Rules>,
    /// Rather keep a choice of the lock than move to a deprecated release.
    pub(crate) spare_deprecated: bool,
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

/// The releases of a package in one repo: of each version the one to use, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Releases {
    listing: Arc<Listing<Release>>,
    /// Which they are: an index into the wheels, then on into the source distributions.
    chosen: Vec<usize>,
}

impl Releases {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Release> {
        let wheels = self.listing.releases.len();
        self.chosen.iter().map(move |index| {
            let source = index
                .checked_sub(wheels)
                .map(|index| &self.listing.sources[index]);
            source.unwrap_or_else(|| &self.listing.releases[*index])
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chosen.is_empty()
    }
}

/// The repos of a workspace, open, with what was read from them.
pub(crate) struct Pool<'w> {
    pub(crate) repos: Vec<(String, Repo)>,
    pub(crate) outputs: BTreeMap<PackageName, &'w Output>,
    pub(crate) context: &'w Context,
    releases: RefCell<HashMap<(PackageName, usize), Rc<Releases>>>,
    metadata: RefCell<HashMap<(PackageName, Version, usize), Rc<Metadata>>>,
    /// The sign of what each repo had when it was asked; `None` where nothing tells a change.
    stamps: RefCell<HashMap<(PackageName, usize), Option<Stamp>>>,
    /// Which repos are public, by rank.
    public: Vec<bool>,
    /// The Python whose wheels are chosen; any wheel will do where it is not said.
    python: Option<String>,
    tags: OnceCell<Tags>,
    engine_is_provided: bool,
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
        let mut pool = Self {
            repos,
            outputs,
            context,
            releases: RefCell::default(),
            metadata: RefCell::default(),
            stamps: RefCell::default(),
            public,
            python: None,
            tags: OnceCell::new(),
            engine_is_provided: true,
            direct: BTreeMap::new(),
        };
        let engine = PackageName::parse(ENGINE_PACKAGE)?;
        pool.engine_is_provided = !pool.outputs.contains_key(&engine);
        // Not through the pool, so that an answer does not depend on it twice: the question says what was found.
        for ((_, repo), public) in pool.repos.iter().zip(&pool.public) {
            pool.engine_is_provided &= *public || {
                let listing = repo.listing(&engine, context)?;
                listing.files().next().is_none()
            };
        }
        Ok(pool)
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

    /// The releases of a package in the repo of a rank: of each version the wheel that fits best; one that does not fit only
    /// where none does. A source distribution stands for a version that has no wheel.
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

    /// Whether the host provides the original engine, because no repo has it.
    pub(crate) fn engine_is_provided(&self) -> bool {
        self.engine_is_provided
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
        let mut offered: Vec<(usize, &Release)> = listing.releases.iter().enumerate().collect();
        if offered.iter().any(|(_, r)| !r.name.is_pure()) {
            // Sorted by version already; what does not run here comes last.
            offered.sort_by_cached_key(|(_, r)| {
                (
                    r.version.clone(),
                    self.fit(&r.name).map_or((1, PURE), |fit| (0, fit)),
                )
            });
        }
        if !listing.sources.is_empty() {
            offered.extend((listing.releases.len()..).zip(&listing.sources));
            // Stable, so wheels come before sources.
            offered.sort_by(|(_, a), (_, b)| a.version.cmp(&b.version));
        }
        offered.dedup_by(|(_, next), (_, kept)| next.version == kept.version);
        let chosen = offered.into_iter().map(|(index, _)| index).collect();
        let releases = Rc::new(Releases { listing, chosen });
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

    /// The release of a version in the repo of a rank.
    pub(crate) fn release(
        &self,
        name: &PackageName,
        version: &Version,
        rank: usize,
    ) -> Result<Option<Release>> {
        let all = self.releases_in(name, rank)?;
        Ok(all.iter().find(|release| &release.version == version).cloned())
    }

    /// Whether a repo has a version that is not yanked.
    pub(crate) fn has_good(&self, name: &PackageName, version: &Version) -> Result<bool> {
        let releases = self.releases(name)?;
        Ok(releases
            .iter()
            .any(|(_, r)| r.version == *version && r.yanked.is_none()))
    }

    /// Whether a release is a source distribution of a public index. Looking whether it can be built would mean to fetch
    /// it, and those of old versions are many.
    pub(crate) fn is_foreign_source(&self, release: &Release, rank: usize) -> bool {
        release.is_sdist() && self.public[rank]
    }

    /// The metadata of a release, read once.
    pub(crate) fn metadata(&self, rank: usize, release: &Release) -> Result<Rc<Metadata>> {
        let key = (release.package.clone(), release.version.clone(), rank);
        if let Some(known) = self.metadata.borrow().get(&key) {
            return Ok(Rc::clone(known));
        }
        let metadata = self.repos[rank].1.metadata(release)?;
        Ok(self.take_metadata(rank, release, metadata))
    }

    /// Remember the metadata of a release.
    pub(crate) fn take_metadata(&self, rank: usize, release: &Release, metadata: Metadata) -> Rc<Metadata> {
        let key = (release.package.clone(), release.version.clone(), rank);
        let metadata = Rc::new(metadata);
        self.metadata.borrow_mut().insert(key, Rc::clone(&metadata));
        metadata
    }

    /// Whether it was read already what the repo of a rank has of a package.
    pub(crate) fn knows(&self, name: &PackageName, rank: usize) -> bool {
        self.releases.borrow().contains_key(&(name.clone(), rank))
    }

    /// What a package's metadata needs here: all but what the engine provides.
    pub(crate) fn dependencies_of(&self, metadata: &Metadata) -> Dependencies {
        let provided = |r: &Requirement| self.engine_is_provided && r.name().as_str() == ENGINE_PACKAGE;
        Dependencies {
            requires: metadata
                .requires_dist
                .iter()
                .filter(|r| !provided(r))
                .cloned()
                .collect(),
            groups: metadata.provides_extra.clone(),
        }
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
        let mut candidates = Vec::with_capacity(releases.chosen.len());
        for release in releases.iter() {
            let excluded = match &self.python {
                _ if self.is_foreign_source(release, source) => Some(FOREIGN_SOURCE.to_owned()),
                Some(python) if self.fit(&release.name).is_none() => {
                    Some(format!("has no wheel for Python {python} on this platform"))
                }
                _ => None,
            };
            candidates.push(Candidate {
                excluded,
                yanked: release.yanked.clone(),
                deprecated: release.deprecated.clone(),
                requires_python: release.requires_python.clone(),
                published: release.published_at,
                ..Candidate::new(release.version.clone(), source)
            });
        }
        Ok(candidates)
    }

    fn dependencies(
        &self,
        name: &PackageName,
        version: &Version,
        source: usize,
    ) -> Result<Dependencies, Box<dyn Coded>> {
        if let Some(metadata) = self.own_metadata(name).map_err(boxed)? {
            return Ok(self.dependencies_of(metadata));
        }
        let releases = self.releases_in(name, source).map_err(boxed)?;
        let Some(release) = releases.iter().find(|release| &release.version == version) else {
            return Ok(Dependencies::default());
        };
        let metadata = self.metadata(source, release).map_err(|error| {
            if error.code() == "sdist::unsupported" {
                let message = format!("{name} {version} is passed over: {error}");
                self.context.warn("sdist::unsupported", message);
            }
            boxed(error)
        })?;
        Ok(self.dependencies_of(&metadata))
    }

    fn prefetch(&self, names: &[&PackageName]) {
        let names = names.iter().filter(|n| !self.is_own(n));
        let names: Vec<PackageName> = names.map(|n| (*n).clone()).collect();
        // A public index is asked only when the studio's own repos are known not to have it.
        for ((_, repo), public) in self.repos.iter().zip(&self.public) {
            if !public {
                repo.prefetch(&names).ok();
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

fn boxed(error: Error) -> Box<dyn Coded> {
    Box::new(error)
}

impl Workspace {
    /// Choose releases for a wish and the outputs, keeping the lock's choices where they still fit.
    pub(crate) fn choose(&self, wish: &Wish, outputs: &[Output], lock: Option<&Lock>) -> Result<Lock> {
        let env = self.marker_env()?;
        let mut pool = Pool::open(self, outputs, wish.prefer.as_deref())?.for_python(&env);
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
        while wish.spare_deprecated && keep_instead(&pool, &resolution, lock, &mut problem)? {
            resolution = backlot_resolve::resolve(&pool, &problem, self.context())?;
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
            } else if let Some(release) = pool.release(&chosen.name, &chosen.version, chosen.source)? {
                let (name, repo) = pool.repo(chosen.source);
                if release.deprecated.is_some()
                    && let Some(fact) = repo.status(&release)?.deprecated
                {
                    self.warn_deprecated(&release, name, &fact);
                }
                package.take(name, &release, repo.digest(&release)?);
            }
            packages.push(package);
        }
        Ok(packages)
    }
}

/// Prefer the lock's release of each package that would move to a deprecated one. Returns whether any is newly preferred.
fn keep_instead(
    pool: &Pool<'_>,
    resolution: &Resolution,
    lock: Option<&Lock>,
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
        let Some(release) = pool.release(&chosen.name, &chosen.version, chosen.source)? else {
            continue;
        };
        if release.deprecated.is_some() && pool.has_good(&locked.name, &locked.version)? {
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
