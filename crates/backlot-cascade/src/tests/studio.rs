//! A studio in memory: repos with releases, leases, journals and workers, shared by any number of lives.
//!
//! A life is what a process has until it is killed: it ends after a number of effects, each of which is done before the life
//! ends, so that nobody is left to say so. Invariant: the studio itself checks every commit, and remembers what must not be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backlot_core::{Class, Clock, Context, Diagnostic, Sha256, Timestamp};
use backlot_pep::{GroupName, PackageName, Requirement, Version};

use super::solver::Solver;
use crate::node::FieldHasher;
use crate::{
    Asset, AssetEvent, Built, Catalog, Cause, Committed, Details, Entry, Error, Expected, Failure,
    FailureKind, Fresh, GroupedRequirement, Index, InputsDigest, Job, Journal, Lease, LeaseStore, Loaded,
    MemoryJournal, MemoryLeases, NodeId, NodeKey, Origin, RecipeDigest, Release, ReleaseDetails,
    ReleaseRecord, RepoName, Resolution, ResolveRequest, Resolver, Result, Settings, Worker,
};

/// A clock that tests set.
#[derive(Debug, Default)]
pub(super) struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

impl TestClock {
    pub(super) fn advance_to(&self, time: Timestamp) {
        self.0.fetch_max(time.0, Ordering::SeqCst);
    }
}

/// How the builds of a package go.
#[derive(Clone, Debug, Default)]
pub(super) struct Behaviour {
    /// Failures that come first.
    pub(super) fails: Vec<FailureKind>,
    /// The content never changes.
    pub(super) constant: bool,
    /// Its releases require exactly what they were built with.
    pub(super) forces: bool,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) catalog: Catalog,
    pub(super) behaviours: BTreeMap<PackageName, Behaviour>,
    pub(super) recipes: BTreeMap<NodeId, RecipeDigest>,
    built: BTreeMap<NodeKey, Built>,
    failures: BTreeMap<NodeKey, u32>,
    /// Every build that really ran.
    pub(super) builds: Vec<NodeId>,
    /// Every release of a cascade, in order.
    pub(super) commits: Vec<(NodeId, Version)>,
    /// What is yanked just before the next commit.
    pub(super) yank_next: Option<(NodeId, Version)>,
    /// Commits refused for their token.
    pub(super) fenced: usize,
}

#[derive(Debug, Default)]
pub(super) struct Studio {
    inner: Mutex<Inner>,
    pub(super) leases: MemoryLeases,
    pub(super) clock: Arc<TestClock>,
}

pub(super) fn node(text: &str) -> NodeId {
    let text = if text.contains('/') {
        text.to_owned()
    } else {
        format!("show/{text}")
    };
    text.parse().expect("a node")
}

pub(super) fn version(text: &str) -> Version {
    Version::parse(text).expect("a version")
}

pub(super) fn digest(fields: &[&str]) -> Sha256 {
    let mut hasher = FieldHasher::new("test");
    for field in fields {
        hasher.field(field);
    }
    hasher.finish()
}

impl Studio {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test panics with it")
    }

    pub(super) fn context(&self) -> Context {
        Context::default().with_clock(self.clock.clone())
    }

    /// Settings of an asset, changed.
    pub(super) fn configure(&self, name: &str, change: impl FnOnce(&mut Settings)) {
        let node = node(name);
        let mut settings = self
            .asset(name)
            .map(|asset| asset.settings.clone())
            .unwrap_or_default();
        change(&mut settings);
        self.inner().event(&node, AssetEvent::Configured { settings });
    }

    pub(super) fn behave(&self, name: &str, change: impl FnOnce(&mut Behaviour)) {
        change(self.inner().behaviours.entry(node(name).package).or_default());
    }

    /// The next builds of a package fail.
    pub(super) fn fail(&self, name: &str, kind: FailureKind, times: usize) {
        self.behave(name, |behaviour| behaviour.fails = vec![kind; times]);
    }

    pub(super) fn asset(&self, name: &str) -> Option<Arc<Asset>> {
        self.inner().catalog.asset(&node(name)).cloned()
    }

    pub(super) fn newest(&self, name: &str) -> String {
        let asset = self.asset(name).expect("an asset");
        asset
            .newest()
            .map(|release| release.version.to_string())
            .unwrap_or_default()
    }

    /// The version of an input that the newest release of an asset records.
    pub(super) fn input(&self, name: &str, input: &str) -> String {
        let asset = self.asset(name).expect("an asset");
        let record = asset
            .newest()
            .and_then(|release| release.record())
            .expect("a record");
        let input = record.inputs.get(&node(input).package).expect("an input");
        input.version.to_string()
    }

    /// A person publishes: built with what there is, by requirements such as `a>=1` or `edit:a`.
    pub(super) fn publish(&self, name: &str, text: &str, requirements: &[&str]) {
        self.publish_as(name, text, requirements, None);
    }

    /// The same, with a change of what is published.
    pub(super) fn publish_as(
        &self,
        name: &str,
        text: &str,
        requirements: &[&str],
        change: Option<&dyn Fn(&mut Release)>,
    ) {
        let (node, mut inner) = (node(name), self.inner());
        let requirements = requirements.iter().map(|text| {
            let (group, text) = text
                .split_once(':')
                .map_or((None, *text), |(group, text)| (Some(group), text));
            GroupedRequirement {
                group: group.map(|group| GroupName::parse(group).expect("a group")),
                requirement: Requirement::parse(text).expect("a requirement"),
            }
        });
        let mut release = Release {
            version: version(text),
            wheel: digest(&["wheel", name, text]),
            files: digest(&["files", name, text]),
            details: Details::from(ReleaseDetails {
                record: None,
                requirements: requirements.collect(),
            }),
            author: "ann".to_owned(),
            yanked: None,
            deprecated: None,
            attested: BTreeSet::new(),
        };
        let asset = inner.catalog.asset(&node).cloned();
        let asset = asset.unwrap_or_else(|| Arc::new(Asset::new(node.clone())));
        let wanted: Vec<&Requirement> = asset.generative_requirements(&release).collect();
        let request = ResolveRequest {
            asset: &asset,
            release: &release,
            requirements: &wanted,
            expected: &Expected::new(),
        };
        if let Resolution::Chosen(fresh) = inner.resolve(&request) {
            release.details.get_mut().record = Some(ReleaseRecord {
                inputs: fresh.inputs,
                recipe: fresh.recipe,
                bump: asset.settings.bump,
                origin: Origin::Manual,
                based_on: asset.newest().map(|release| release.version.clone()),
                build_ms: Some(1_000),
            });
        }
        if let Some(change) = change {
            change(&mut release);
        }
        inner.event(
            &node,
            AssetEvent::Published {
                release: Box::new(release),
            },
        );
    }

    pub(super) fn yank(&self, name: &str, text: &str) {
        let (version, reason) = (version(text), "broken".to_owned());
        self.inner()
            .event(&node(name), AssetEvent::Yanked { version, reason });
    }

    /// Yank just before the next commit, after whoever commits has looked.
    pub(super) fn yank_before_commit(&self, name: &str, text: &str) {
        self.inner().yank_next = Some((node(name), version(text)));
    }

    pub(super) fn deprecate(&self, name: &str, text: &str) {
        let (version, reason) = (version(text), "old".to_owned());
        self.inner()
            .event(&node(name), AssetEvent::Deprecated { version, reason });
    }
}

impl Inner {
    pub(super) fn event(&mut self, node: &NodeId, event: AssetEvent) {
        let next = self.catalog.cursors().get(&node.repo).copied().unwrap_or(0) + 1;
        self.catalog.apply(node, next, event).expect("a valid event");
    }

    pub(super) fn resolve(&self, request: &ResolveRequest<'_>) -> Resolution {
        let forces = |package: &PackageName| self.behaviours.get(package).is_some_and(|known| known.forces);
        let node = &request.asset.node;
        let solver = Solver {
            catalog: &self.catalog,
            forces: &forces,
            expected: request.expected,
            prereleases: request.asset.settings.prereleases,
            visible: self.catalog.graph().visible(&node.repo),
        };
        let recorded = request.release.record().map(|record| record.recipe);
        let recipe = self.recipes.get(node).copied().or(recorded);
        match solver.solve(request) {
            Ok(inputs) => Resolution::Chosen(Fresh {
                inputs,
                recipe: recipe.unwrap_or(RecipeDigest(digest(&["recipe"]))),
            }),
            Err(conflict) => Resolution::Conflict(conflict),
        }
    }

    fn build(&mut self, job: &Job) -> Result<Built, Failure> {
        if let Some(built) = self.built.get(&job.key) {
            return Ok(built.clone());
        }
        let behaviour = self.behaviours.entry(job.node.package.clone()).or_default();
        if !behaviour.fails.is_empty() {
            let kind = behaviour.fails.remove(0);
            return Err(Failure::new(kind, "as the test wants it"));
        }
        let constant = behaviour.constant;
        if let Some((node, version)) = &job.copy_of {
            let files = self
                .catalog
                .release(node, version)
                .expect("the copied release")
                .files;
            return Ok(Built {
                files,
                build_ms: 1,
                repaired: Vec::new(),
            });
        }
        self.builds.push(job.node.clone());
        let mut content = FieldHasher::new("content");
        content.field(job.node.package.as_str());
        content.field(job.record.recipe.0.as_bytes());
        job.record
            .inputs
            .iter()
            .for_each(|input| content.field(input.files.as_bytes()));
        let base = self.catalog.release(&job.node, &job.base).expect("the base");
        let files = if constant { base.files } else { content.finish() };
        let built = Built {
            files,
            build_ms: 1_000,
            repaired: Vec::new(),
        };
        self.built.insert(job.key, built.clone());
        Ok(built)
    }

    fn commit(&mut self, job: &Job, built: &Built) -> Committed {
        if let Some((node, version)) = self.yank_next.take() {
            let reason = "broken".to_owned();
            self.event(&node, AssetEvent::Yanked { version, reason });
        }
        let asset = self.catalog.asset(&job.node).cloned().expect("an asset");
        let newest = asset.newest().expect("a base");
        let key_of = |release: &Release| release.record().map(|record| record.key(&job.node.package));
        if key_of(newest) == Some(job.key) {
            return Committed::AlreadyReleased(newest.version.clone());
        }
        let is_yanked = |input: &crate::Input| {
            let release = self
                .catalog
                .release(&NodeId::new(&input.repo, &input.package), &input.version);
            release.is_none_or(|release| release.yanked.is_some())
        };
        if let Some(input) = job.record.inputs.iter().find(|input| is_yanked(input)) {
            let (package, version) = (input.package.clone(), input.version.clone());
            return Committed::Withdrawn { package, version };
        }
        if asset.releases.contains_key(&job.version) {
            return Committed::VersionTaken;
        }
        let release = Release {
            version: job.version.clone(),
            wheel: digest(&["wheel", &job.key.to_string(), &job.version.to_string()]),
            files: built.files,
            details: Details::from(ReleaseDetails {
                record: Some(job.record.clone()),
                requirements: newest.requirements().to_vec(),
            }),
            author: "cascade".to_owned(),
            yanked: None,
            deprecated: None,
            attested: BTreeSet::new(),
        };
        self.event(
            &job.node,
            AssetEvent::Published {
                release: Box::new(release),
            },
        );
        self.commits.push((job.node.clone(), job.version.clone()));
        Committed::Released(job.version.clone())
    }
}

/// A process: all services of the studio, until it is killed.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) studio: Arc<Studio>,
    journal: Arc<MemoryJournal>,
    /// Effects until it ends.
    left: Arc<AtomicU64>,
    /// Decides which requests fail, and of which only the answer is lost; `None` of a store that always answers.
    store: Option<Arc<Mutex<fastrand::Rng>>>,
}

#[derive(Debug, thiserror::Error)]
#[error("killed")]
struct Killed;

impl Diagnostic for Killed {
    fn code(&self) -> &'static str {
        "cascade_tests"
    }
    fn class(&self) -> Class {
        Class::Environment
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the store did not answer")]
struct Away;

impl Diagnostic for Away {
    fn code(&self) -> &'static str {
        "cascade_tests"
    }
    fn class(&self) -> Class {
        Class::Environment
    }
}

/// Of 256 requests to a store that fails, how many are refused, and of how many others the answer is lost.
const REFUSED: u8 = 4;
const ANSWER_LOST: u8 = 8;

impl Life {
    pub(super) fn new(studio: &Arc<Studio>, journal: &Arc<MemoryJournal>) -> Self {
        Self::of(studio, journal, u64::MAX)
    }

    pub(super) fn of(studio: &Arc<Studio>, journal: &Arc<MemoryJournal>, effects: u64) -> Self {
        Self {
            studio: studio.clone(),
            journal: journal.clone(),
            left: Arc::new(AtomicU64::new(effects)),
            store: None,
        }
    }

    /// The same over a store that fails now and then, as a seed decides.
    pub(super) fn with_faults(self, seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self {
            store: Some(Arc::new(Mutex::new(random))),
            ..self
        }
    }

    pub(super) fn services(&self) -> crate::Services<'_> {
        crate::Services {
            index: self,
            resolver: self,
            leases: self,
            journal: self,
            worker: self,
        }
    }

    pub(super) fn is_dead(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }

    fn alive(&self) -> Result<(), Cause> {
        if self.is_dead() {
            Err(Cause::new(Killed))
        } else {
            Ok(())
        }
    }

    /// Have an effect; the life may end before its result is known, and the store may fail before or after it.
    fn effect<T>(&self, effect: impl FnOnce() -> T) -> Result<T, Cause> {
        self.alive()?;
        let fault = self.store.as_ref().map_or(u8::MAX, |store| {
            let mut random = store.lock().unwrap_or_else(PoisonError::into_inner);
            random.u8(..)
        });
        if fault < REFUSED {
            return Err(Cause::new(Away));
        }
        let result = effect();
        self.left.fetch_sub(1, Ordering::SeqCst);
        self.alive()?;
        if fault < ANSWER_LOST {
            return Err(Cause::new(Away));
        }
        Ok(result)
    }
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        Self::from_error(&cause)
    }
}

impl Resolver for Life {
    fn resolve(&self, request: &ResolveRequest<'_>) -> Result<Resolution, Cause> {
        self.alive()?;
        Ok(self.studio.inner().resolve(request))
    }
}

impl Index for Life {
    fn asset(&self, node: &NodeId) -> Result<Option<Arc<Asset>>, Cause> {
        self.alive()?;
        Ok(self.studio.inner().catalog.asset(node).cloned())
    }
    fn find_key(
        &self,
        package: &PackageName,
        key: NodeKey,
        preferred: &RepoName,
    ) -> Result<Option<(NodeId, Version)>, Cause> {
        self.alive()?;
        Ok(self.studio.inner().catalog.find_key(package, key, preferred))
    }
    fn attest(&self, node: &NodeId, version: &Version, inputs: InputsDigest) -> Result<(), Cause> {
        let version = version.clone();
        self.effect(|| {
            self.studio
                .inner()
                .event(node, AssetEvent::Attested { version, inputs });
        })
    }
    fn failures(&self, key: NodeKey) -> Result<u32, Cause> {
        self.alive()?;
        Ok(self.studio.inner().failures.get(&key).copied().unwrap_or(0))
    }
    fn add_failure(&self, key: NodeKey, _: &Failure) -> Result<(), Cause> {
        self.effect(|| *self.studio.inner().failures.entry(key).or_default() += 1)
    }
}

impl LeaseStore for Life {
    fn newest(&self, node: &NodeId) -> Result<Option<Lease>, Cause> {
        self.alive()?;
        self.studio.leases.newest(node)
    }
    fn create(&self, node: &NodeId, lease: &Lease) -> Result<bool, Cause> {
        self.effect(|| self.studio.leases.create(node, lease))?
    }
    fn renew(&self, node: &NodeId, lease: &Lease) -> Result<(), Cause> {
        self.alive()?;
        self.studio.leases.renew(node, lease)
    }
}

impl Journal for Life {
    fn append(&self, entry: &Entry) -> Result<()> {
        self.effect(|| self.journal.append(entry))
            .map_err(Error::Service)?
    }
    fn load(&self, from: u64) -> Result<Loaded> {
        self.alive()?;
        self.journal.load(from)
    }
}

impl Worker for Life {
    fn prepare(&self, _: &Job, _: &Context) -> Result<(), Failure> {
        Ok(self.alive()?)
    }
    fn build(&self, job: &Job, _: &Context) -> Result<Built, Failure> {
        self.effect(|| self.studio.inner().build(job))?
    }
    fn validate(&self, _: &Job, _: &Built, _: &Context) -> Result<(), Failure> {
        Ok(self.effect(|| ())?)
    }
    fn push(&self, _: &Job, _: &Built, _: &Context) -> Result<(), Failure> {
        Ok(self.effect(|| ())?)
    }
    fn release(&self, job: &Job, built: &Built, _: &Context) -> Result<Committed, Failure> {
        let committed = self.effect(|| {
            let mut inner = self.studio.inner();
            let newest = self.studio.leases.newest(&job.node).expect("memory");
            if newest.is_none_or(|lease| lease.token != job.token) {
                inner.fenced += 1;
                return Committed::Fenced;
            }
            inner.commit(job, built)
        })?;
        Ok(committed)
    }
    fn discard(&self, _: &Job, _: bool, _: &Context) {}
}
