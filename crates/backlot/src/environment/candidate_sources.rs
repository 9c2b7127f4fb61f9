//! The candidates of resolution: the releases of all repos of a workspace, its outputs, and files given by URL.
//!
//! Invariant: an output or a file of a URL is the only candidate for its package, so neither is silently replaced. A release in several
//! repos counts once, from the most preferred. Deliberately absent: the request (`resolution`), and solving (`backlot-resolve`).

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use backlot_core::text::printable;
use backlot_core::{Class, Context, Diagnostic};
use backlot_pep::{MarkerEnv, PackageName, Requirement, Version};
use backlot_repo::{DirectFetch, IndexError, Listing, Promise, ReleaseFile, Repo, Revision};
use backlot_resolve::{Candidate, Candidates, Dependencies, Remark, Resolution, Resolved, Source};
use backlot_wheel::{Fit, Metadata, Tags, WheelName};

use crate::environment::direct::Direct;
use crate::environment::labelled::Labelled;
use crate::error::{Error, Result};
use crate::project::output::Output;
use crate::workspace::Opened;
use crate::workspace::config::RepoEntry;
use crate::workspace::policies::{NO_POLICIES, Policies, RequiredStatus};
use crate::workspace::rules::Rules;

/// The original engine's own package, which its assets require and its host provides.
const ENGINE_PACKAGE: &str = "tgzr-pipeline";

/// How a wheel fits that runs everywhere: after any that was built for this Python or platform.
const PURE: Fit = (601, 0);

/// Errors that say of metadata that it cannot be read, not that it did not arrive.
const UNREADABLE: [&str; 2] = ["index::wrong_metadata", "wheel::bad_metadata"];

/// The remark on source distributions of public indexes.
const FOREIGN_SOURCE: &str = "is a source distribution; from a public index only wheels are used";

/// The remark on a release excluded by a policy.
pub(crate) const NOT_APPROVED: &str = "there but not approved";

/// The files of a package in one repo. A number stands for each: an index into the wheels, then on into the source
/// distributions, then on into those that cannot be used.
#[derive(Debug, Default)]
pub(crate) struct Releases {
    listing: Arc<Listing>,
    /// The good ones: oldest version first, of each version the one to be preferred first.
    files: Vec<usize>,
}

impl Releases {
    /// Of each version the file to use, oldest version first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ReleaseFile> {
        let mut last: Option<&Version> = None;
        self.files().map(|(_, release)| release).filter(move |release| {
            let is_first = last != Some(&release.version);
            last = Some(&release.version);
            is_first
        })
    }

    /// All good files, oldest version first, of each version the one to be preferred first.
    pub(crate) fn files(&self) -> impl Iterator<Item = (usize, &ReleaseFile)> {
        self.files
            .iter()
            .filter_map(|index| Some((*index, self.get(*index)?)))
    }

    /// The good file of a number.
    pub(crate) fn get(&self, file: usize) -> Option<&ReleaseFile> {
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

/// The open repos of a workspace, with their cached data.
pub(crate) struct CandidateSources<'w> {
    pub(crate) repos: Vec<(String, Repo)>,
    pub(crate) outputs: BTreeMap<PackageName, &'w Output>,
    pub(crate) context: &'w Context,
    releases: RefCell<HashMap<(PackageName, usize), Rc<Releases>>>,
    /// By file name and rank.
    metadata: RefCell<HashMap<(String, usize), Rc<Metadata>>>,
    /// The revision of each repo's package when it was read; `None` if changes cannot be detected.
    stamps: RefCell<HashMap<(PackageName, usize), Option<Revision>>>,
    /// Which repos are public, by rank.
    public: Vec<bool>,
    /// The Python to select wheels for; any wheel will do if unset.
    python: Option<String>,
    tags: OnceCell<Tags>,
    /// Which releases may be chosen at all.
    pub(crate) policies: &'w Policies,
    /// The labels that are followed, and where they are.
    pub(crate) labelled: BTreeMap<PackageName, (String, Labelled)>,
    /// Packages given by URL, which are not looked up in repos.
    pub(crate) direct: BTreeMap<PackageName, Direct>,
}

impl<'w> CandidateSources<'w> {
    /// With what can be installed from all repos of a workspace, source distributions too.
    pub(crate) fn open(workspace: &'w Opened, outputs: &'w [Output], prefer: Option<&str>) -> Result<Self> {
        let mut entries = workspace.repos();
        if let Some(prefer) = prefer {
            workspace.repo_entry(prefer)?;
            entries.sort_by_key(|r| r.name != prefer);
        }
        Ok(Self {
            policies: &workspace.config().policies,
            ..Self::of(workspace, entries, outputs)?
        })
    }

    /// With what can be installed from these repos, most preferred first, whatever the policies of the workspace.
    pub(crate) fn of(workspace: &'w Opened, entries: Vec<&RepoEntry>, outputs: &'w [Output]) -> Result<Self> {
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
            policies: &NO_POLICIES,
            labelled: BTreeMap::new(),
            direct: BTreeMap::new(),
        })
    }

    /// All releases of a package with the rank of their repo, most preferred repo first.
    pub(crate) fn releases(&self, name: &PackageName) -> Result<Vec<(usize, ReleaseFile)>> {
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
    pub(crate) fn stamps(&self) -> Option<Vec<(usize, PackageName, Revision)>> {
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

    /// Why a policy keeps a release from being chosen.
    pub(crate) fn policy_against(
        &self,
        name: &PackageName,
        rank: usize,
        release: &ReleaseFile,
    ) -> Result<Option<String>> {
        if let Some((label, labelled)) = self.labelled.get(name)
            && let Some(reason) = labelled.against(label, &release.version)
        {
            return Ok(Some(reason));
        }
        let (repo_name, repo) = self.repo(rank);
        if self.policies.status_of(name, repo_name) == RequiredStatus::Any {
            return Ok(None);
        }
        let is_approved = !repo.status(release)?.approved.is_empty();
        Ok((!is_approved).then(|| format!("is {NOT_APPROVED} in `{repo_name}`")))
    }

    /// The Python whose wheels are chosen.
    pub(crate) fn python(&self) -> Option<&str> {
        self.python.as_deref()
    }

    /// Cache the data of a repo on a package.
    pub(crate) fn take(
        &self,
        key: (PackageName, usize),
        listing: Arc<Listing>,
        stamp: Option<Revision>,
    ) -> Rc<Releases> {
        let stamp = stamp.filter(|_| listing.broken.is_empty());
        self.stamps.borrow_mut().insert(key.clone(), stamp);
        let mut offered: Vec<(usize, &ReleaseFile)> = listing.files().enumerate().collect();
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
    pub(crate) fn pins(&self, rules: &Rules) -> BTreeMap<PackageName, usize> {
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
            local: !repo.is_remote(),
        });
        sources.collect()
    }

    /// The name and repo of a rank.
    pub(crate) fn repo(&self, rank: usize) -> (&str, &Repo) {
        let (name, repo) = &self.repos[rank];
        (name, repo)
    }

    /// The file that was chosen.
    pub(crate) fn release(&self, chosen: &Resolved) -> Result<Option<ReleaseFile>> {
        let all = self.releases_in(&chosen.name, chosen.source)?;
        Ok(all.get(chosen.file).cloned())
    }

    /// Whether a repo has a version that is not yanked.
    pub(crate) fn has_good(&self, name: &PackageName, version: &Version) -> Result<bool> {
        for rank in 0..self.repos.len() {
            let releases = self.releases_in(name, rank)?;
            let good = |r: &ReleaseFile| r.version == *version && r.yanked.is_none();
            if releases.files().any(|(_, r)| good(r)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a release is a source distribution of a public index. Looking whether it can be built would mean to fetch
    /// it, and those of old versions are many.
    pub(crate) fn is_foreign_source(&self, release: &ReleaseFile, rank: usize) -> bool {
        release.is_sdist() && self.public[rank]
    }

    /// The metadata of a release, read once.
    pub(crate) fn metadata(&self, rank: usize, release: &ReleaseFile) -> Result<Rc<Metadata>> {
        let key = (release.file.clone(), rank);
        if let Some(known) = self.metadata.borrow().get(&key) {
            return Ok(Rc::clone(known));
        }
        let metadata = self.repos[rank].1.metadata(release)?;
        Ok(self.take_metadata(rank, release, metadata))
    }

    /// Remember the metadata of a release.
    pub(crate) fn take_metadata(
        &self,
        rank: usize,
        release: &ReleaseFile,
        metadata: Metadata,
    ) -> Rc<Metadata> {
        let key = (release.file.clone(), rank);
        let metadata = Rc::new(metadata);
        self.metadata.borrow_mut().insert(key, Rc::clone(&metadata));
        metadata
    }

    /// Whether it was read already what the repo of a rank has of a package.
    pub(crate) fn knows(&self, name: &PackageName, rank: usize) -> bool {
        self.releases.borrow().contains_key(&(name.clone(), rank))
    }

    /// The requirements in a package's metadata: all but those that the engine provides.
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

impl Candidates for CandidateSources<'_> {
    fn candidates(&self, name: &PackageName, source: usize) -> Result<Vec<Candidate>, Box<dyn Diagnostic>> {
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
                _ => self.policy_against(name, source, release).map_err(boxed)?,
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
    ) -> Result<Dependencies, Box<dyn Diagnostic>> {
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
    fn excludes(&self, error: &dyn Diagnostic) -> bool {
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
        reason: format!("invalid requirement `Requires-Dist: {}`", printable(text)),
    }
    .into())
}

fn boxed(error: Error) -> Box<dyn Diagnostic> {
    Box::new(error)
}

impl Direct {
    /// As a version that could be chosen.
    pub(crate) fn candidate(&self, pool: &CandidateSources<'_>, source: usize) -> Result<Candidate> {
        let file = self.file()?;
        let misfit = pool.fit(&file.name).is_none();
        let python = pool.python().unwrap_or_default();
        Ok(Candidate {
            excluded: misfit.then(|| format!("has no wheel for Python {python} on this platform")),
            requires_python: file.metadata.requires_python.as_ref().map(ToString::to_string),
            ..Candidate::new(file.metadata.version.clone(), source)
        })
    }
}

impl CandidateSources<'_> {
    /// Whether no repo is asked for a package: an output is, or a URL names it.
    pub(crate) fn is_own(&self, name: &PackageName) -> bool {
        self.outputs.contains_key(name) || self.direct.contains_key(name)
    }

    /// See that each file named by a URL has the digests that the packages which need it promise, too.
    pub(crate) fn check_promises(&self, resolution: &Resolution) -> Result<()> {
        let requires = resolution.packages.iter().flat_map(|chosen| &chosen.requires);
        for (name, text) in requires {
            let Some(direct) = self.direct.get(name) else {
                continue;
            };
            let promised = Requirement::parse(text).ok().and_then(|r| r.direct_url()?.ok());
            let Some(promised) = promised else { continue };
            if let Some(expected) = promised.sha256() {
                let found = direct.file()?.sha256;
                if found != expected {
                    return Err(backlot_repo::Error::from(IndexError::WrongFile {
                        package: name.clone(),
                        url: direct.url.to_string(),
                        expected: format!("SHA-256 {expected}"),
                        found: format!("SHA-256 {found}"),
                        by: Promise::Requirement,
                    })
                    .into());
                }
            }
            if let Some(expected) = promised.strong() {
                let url = direct.url.clone().promising_strong(Some(*expected));
                let fetch = DirectFetch {
                    url: &url,
                    ..direct.fetch()
                };
                fetch.read(&direct.network)?;
            }
        }
        Ok(())
    }

    /// The metadata of such a package.
    pub(crate) fn own_metadata(&self, name: &PackageName) -> Result<Option<&Metadata>> {
        Ok(match (self.outputs.get(name), self.direct.get(name)) {
            (Some(output), _) => Some(&output.project.metadata),
            (None, Some(direct)) => Some(&direct.file()?.metadata),
            (None, None) => None,
        })
    }

    /// The remark on packages that no repo has, and that were not looked up in some.
    pub(crate) fn not_allowed(&self, missing: &[PackageName]) -> Option<Remark> {
        let (mut facts, mut helps) = (Vec::new(), Vec::new());
        for (repo, opened) in &self.repos {
            let names: Vec<&str> = missing
                .iter()
                .filter(|name| !opened.admits(name))
                .map(PackageName::as_str)
                .collect();
            if names.is_empty() {
                continue;
            }
            let verb = if names.len() == 1 { "is" } else { "are" };
            facts.push(format!(
                "{} {verb} not on the allowlist of `{repo}`",
                names.join(", ")
            ));
            let them = if names.len() == 1 { "it" } else { "them" };
            helps.push(format!(
                "to allow {them}, run `repo allow {repo} {}`, which changes `allow` in `[repos.{repo}]`",
                names.join(" ")
            ));
        }
        (!facts.is_empty()).then(|| Remark {
            fact: facts.join("\n  "),
            help: helps.join("\nor "),
        })
    }
}
