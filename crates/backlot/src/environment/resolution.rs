//! Choosing releases: the repos and outputs of a workspace as candidates, its wishes as the problem.
//!
//! Invariant: an output is the only candidate for its package, so an editable is never silently replaced. A release in
//! several repos counts once, from the most preferred. Deliberately absent: the solving (`backlot-resolve`).

use backlot_pep::{MarkerEnv, PackageName, Requirement};
use backlot_resolve::{PrereleasePolicy, Problem, Resolution, RootRequirement};

use crate::environment::candidate_sources::{CandidateSources, NOT_APPROVED};
use crate::environment::direct::urls_of;
use crate::environment::lockfile::{Lock, LockedPackage};
use crate::environment::resolve_request::{ResolveRequest, Upgrade};
use crate::error::Result;
use crate::project::output::Output;
use crate::workspace::Opened;
use crate::workspace::config::RepoEntry;
use crate::workspace::policies::Policies;
use crate::workspace::rules::Rules;

impl Opened {
    /// Choose releases for a wish and the outputs, keeping the lock's choices where they still fit.
    pub(crate) fn choose(
        &self,
        wish: &ResolveRequest,
        outputs: &[Output],
        lock: Option<&Lock>,
    ) -> Result<Lock> {
        let env = self.marker_env()?;
        let pool = match wish.prefer.as_deref().filter(|_| wish.within_reach) {
            Some(target) => CandidateSources::of(self, self.reach_of(self.repo_entry(target)?), outputs)?,
            None => CandidateSources::open(self, outputs, wish.prefer.as_deref())?,
        };
        self.choose_from(&mut pool.for_python(&env), &env, wish, outputs, lock)
    }

    /// The same from a pool for that Python, which has the repos and the outputs.
    pub(crate) fn choose_from(
        &self,
        pool: &mut CandidateSources<'_>,
        env: &MarkerEnv,
        wish: &ResolveRequest,
        outputs: &[Output],
        lock: Option<&Lock>,
    ) -> Result<Lock> {
        let rules = wish.rules.as_ref().unwrap_or(&self.config().rules);
        let policies = pool.policies;
        let mut problem = Problem {
            sources: pool.sources(),
            pins: pool.pins(rules),
            ..problem_of(wish, (rules, policies), outputs, lock, env)?
        };
        problem.name_urls(&urls_of(outputs, env))?;
        self.find_labels(pool, lock, |name| keeps_name(name, &wish.upgrade))?;
        if wish.frozen {
            freeze(&mut problem, pool, lock, wish)?;
        }
        pool.direct = self.direct_files(&problem.urls, |url| {
            let known = lock.into_iter().flat_map(|l| &l.packages);
            let mut known = known.filter(|p| p.url.as_deref() == Some(url.as_str()));
            known.find(|p| keeps(p, &wish.upgrade))?.sha256
        })?;
        let lock_of = |packages| {
            let inputs = wish.inputs.iter().map(ToString::to_string).collect();
            Lock::new(env.python_short(), inputs, packages).with_conda_of(lock)
        };
        let answer = self.answer_to(&problem, pool, wish, lock)?;
        // An approval, or a label that is moved, changes no page, so no sign tells of it.
        let may_be_known = !policies.ask_events();
        if may_be_known && let Some(packages) = answer.find(pool, self.context().now()) {
            return Ok(lock_of(packages));
        }
        let warnings = self.context().warnings();
        pool.prefetch(&problem)?;
        let mut resolution =
            backlot_resolve::resolve(&*pool, &problem, self.context()).map_err(|e| explained(e, wish))?;
        // Choosing a repo or the lowest versions may select lower ones on purpose.
        let spare_lower = wish.prefer.is_none() && rules.resolution == backlot_resolve::Preference::Highest;
        while wish.forwards && keep_instead(pool, &resolution, lock, spare_lower, &mut problem)? {
            resolution = backlot_resolve::resolve(&*pool, &problem, self.context())?;
        }
        pool.check_promises(&resolution)?;
        if wish.forwards {
            self.warn_lowered(pool, &resolution, lock)?;
        }
        let packages = self.locked(pool, &resolution, wish)?;
        if may_be_known && self.context().warnings() == warnings {
            answer.keep(&packages, pool);
        }
        Ok(lock_of(packages))
    }

    /// The repos that people are taken to have who have this one, it first: all of the workspace but the one that its work is
    /// published to, which others need not have. Who has one from outside the studio has no repo of the studio.
    pub(crate) fn reach_of<'w>(&'w self, to: &'w RepoEntry) -> Vec<&'w RepoEntry> {
        let work = self.config().publish_to.as_deref();
        let others = self.repos().into_iter().filter(|entry| {
            let is_known = to.public.is_none() && Some(entry.name.as_str()) != work;
            entry.name != to.name && (entry.public.is_some() || is_known)
        });
        std::iter::once(to).chain(others).collect()
    }

    fn locked(
        &self,
        pool: &CandidateSources<'_>,
        resolution: &Resolution,
        wish: &ResolveRequest,
    ) -> Result<Vec<LockedPackage>> {
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
                package.label = pool.policies.label_of(&chosen.name).cloned();
            }
            packages.push(package);
        }
        Ok(packages)
    }

    /// Say which packages go down all the same, and why.
    fn warn_lowered(
        &self,
        pool: &CandidateSources<'_>,
        resolution: &Resolution,
        lock: Option<&Lock>,
    ) -> Result<()> {
        for chosen in resolution.packages.iter().filter(|p| !pool.is_own(&p.name)) {
            let locked = lock.and_then(|l| l.package(&chosen.name));
            let Some(locked) = locked.filter(|l| l.version > chosen.version && l.repo.is_some()) else {
                continue;
            };
            let why = if pool.has_good(&locked.name, &locked.version)? {
                "is excluded or not preferred by the requirements and rules of the workspace"
            } else {
                "is yanked, or no longer in a repo of the workspace"
            };
            let (name, from, to) = (&locked.name, &locked.version, &chosen.version);
            let message = format!("{name} is downgraded from {from} to {to}: {from} {why}");
            self.context().warn("resolve::lowered", message);
        }
        Ok(())
    }
}

/// What a wish is to the solver, whatever there is to choose from.
fn problem_of<'e>(
    wish: &ResolveRequest,
    (rules, policies): (&Rules, &Policies),
    outputs: &[Output],
    lock: Option<&Lock>,
    env: &'e MarkerEnv,
) -> Result<Problem<'e>> {
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
    Ok(Problem {
        requirements,
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
            PrereleasePolicy::Allow
        } else {
            policies.prereleases.unwrap_or_default()
        },
        prereleases_of: policies
            .assets
            .iter()
            .filter_map(|(name, asset)| Some((name.clone(), asset.prereleases?)))
            .collect(),
        ..Problem::new(env)
    })
}

/// Keep every other package of the lock at its version.
fn freeze(
    problem: &mut Problem<'_>,
    pool: &CandidateSources<'_>,
    lock: Option<&Lock>,
    wish: &ResolveRequest,
) -> Result<()> {
    let others = lock.into_iter().flat_map(|lock| &lock.packages);
    for package in others.filter(|package| keeps(package, &wish.upgrade)) {
        if package.repo.is_some() && !pool.is_own(&package.name) {
            let exactly = format!("{}=={}", package.name, package.version);
            problem.constraints.push(Requirement::parse(&exactly)?);
        }
    }
    Ok(())
}

/// A conflict with the ways out that only a workspace has.
fn explained(error: backlot_resolve::Error, wish: &ResolveRequest) -> backlot_resolve::Error {
    let backlot_resolve::Error::Conflict {
        explanation,
        mut proposals,
    } = error
    else {
        return error;
    };
    if wish.frozen {
        // Those of the search are about constraints that the user did not write.
        proposals = vec!["update other packages as well: `update NAME` without --only".to_owned()];
    }
    if explanation.contains(NOT_APPROVED) {
        proposals.push(
            "approve a release (`approve NAME==VERSION --repo REPO`), or allow others (`policy --status any`)"
                .to_owned(),
        );
    }
    backlot_resolve::Error::Conflict {
        explanation,
        proposals,
    }
}

/// Prefer the lock's release of each package that would move to a deprecated one, or to a lower one. Returns whether any is
/// newly preferred.
fn keep_instead(
    pool: &CandidateSources<'_>,
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
    keeps_name(&package.name, upgrade)
}

fn keeps_name(name: &PackageName, upgrade: &Upgrade) -> bool {
    match upgrade {
        Upgrade::None => true,
        Upgrade::Packages(names) => !names.contains(name),
        Upgrade::All => false,
    }
}
