//! Answers of the solver, kept with what they depend on: asking the same again of repos that did not change costs a look at
//! each package that was asked about, not a search.
//!
//! The key of an answer is the digest of all that decides: the wish, the rules, the lock, the outputs, the environment, the
//! repos. Beside the answer lies a stamp of every package that any repo was asked for. Invariants: an answer is used only
//! while every stamp holds; one about a URL is kept only if the digest of its file was known before, from the requirement or
//! the lock; one that came with a warning is not kept, so that the warning comes again; a file is believed
//! only if its bytes have the digest it begins with. Deliberately absent: answers about stores of objects, and conflicts.

use std::path::PathBuf;

use backlot_core::{Sha256, Timestamp, file, shared};
use backlot_pep::PackageName;
use backlot_repo::{Repo, Revision};
use backlot_resolve::Problem;
use fs_err as fs;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::environment::candidate_sources::CandidateSources;
use crate::environment::direct::Direct;
use crate::environment::lockfile::{Lock, LockedPackage};
use crate::environment::resolve_request::ResolveRequest;
use crate::error::Result;
use crate::workspace::Opened;

/// Raised when the solver would answer otherwise, or the file is written otherwise.
const FORMAT: u32 = 3;
/// How many answers are kept.
const KEPT: usize = 64;

/// The contents of a cached solution, after its digest.
#[derive(Debug, Serialize, Deserialize)]
struct CachedSolution {
    packages: Vec<LockedPackage>,
    /// The rank of the repo, the package, and its revision.
    asked: Vec<(usize, PackageName, Revision)>,
}

/// Where the answer to one question is kept.
#[derive(Debug)]
pub(crate) struct SolutionFile {
    path: PathBuf,
}

impl Opened {
    /// Where the answer to a question is kept.
    pub(crate) fn answer_to(
        &self,
        problem: &Problem<'_>,
        pool: &CandidateSources<'_>,
        wish: &ResolveRequest,
        lock: Option<&Lock>,
    ) -> Result<SolutionFile> {
        let texts = |all: &[backlot_pep::Requirement]| -> Vec<String> {
            all.iter().map(ToString::to_string).collect()
        };
        let requirements: Vec<(String, &str)> = problem
            .requirements
            .iter()
            .map(|r| (r.requirement.to_string(), r.asked_by.as_str()))
            .collect();
        // As they are, not as each workspace names them.
        let place = |repo: &Repo| {
            let place = repo.place();
            let path = place.path().and_then(|path| fs::canonicalize(path).ok());
            path.map_or_else(|| place.to_string(), |path| path.display().to_string())
        };
        let repos: Vec<(&String, String)> = pool.repos.iter().map(|(n, r)| (n, place(r))).collect();
        let outputs: Vec<_> = pool
            .outputs
            .values()
            .map(|o| {
                let metadata = &o.project.metadata;
                (
                    self.display_path(&o.project.root),
                    &metadata.version,
                    texts(&metadata.requires_dist),
                    &metadata.provides_extra,
                )
            })
            .collect();
        let question = serde_json::json!({
            "format": FORMAT,
            "tool": env!("CARGO_PKG_VERSION"),
            "config": file::read_if_exists(&self.root().join("backlot.toml"))?,
            "environment": format!("{:?} {:?}", problem.env, pool.python()),
            "requirements": requirements,
            "inputs": texts(&wish.inputs),
            "constraints": texts(&problem.constraints),
            "overrides": texts(&problem.overrides),
            "exclude-newer": problem.exclude_newer,
            "preference": format!("{:?} {:?}", problem.preference, problem.order),
            "prereleases": format!("{:?} {:?}", problem.prereleases, problem.prereleases_of),
            "preferences": problem.preferences,
            "forwards": wish.forwards,
            "pins": problem.pins,
            "urls": pool.direct.values().map(Direct::question).collect::<Vec<_>>(),
            "sources": format!("{:?}", problem.sources),
            "repos": repos,
            "outputs": outputs,
            "lock": lock,
        });
        let digest = sha2::Sha256::digest(serde_json::to_vec(&question).expect("plain data"));
        let name = Sha256::from_bytes(digest.into()).to_hex();
        Ok(SolutionFile {
            path: self.cache_dir().join("answers").join(name),
        })
    }
}

impl SolutionFile {
    /// The answer, if there is one and everything it depends on is as it was.
    pub(crate) fn find(&self, pool: &CandidateSources<'_>, now: Timestamp) -> Option<Vec<LockedPackage>> {
        if !Self::may_keep(pool) {
            return None;
        }
        let bytes = fs::read(&self.path).ok()?;
        let (digest, body) = bytes.split_at_checked(64)?;
        if Sha256::from_bytes(sha2::Sha256::digest(body).into())
            .to_hex()
            .as_bytes()
            != digest
        {
            return None;
        }
        let answer: CachedSolution = serde_json::from_slice(body).ok()?;
        let holds = |(rank, name, stamp): &(usize, PackageName, Revision)| {
            let repo = pool.repos.get(*rank);
            repo.is_some_and(|(_, repo)| repo.holds(stamp, name, now))
        };
        answer.asked.iter().all(holds).then_some(answer.packages)
    }

    /// Keep an answer, if it can be told when it is no longer right. A disk that does not take it only costs a search.
    pub(crate) fn keep(&self, packages: &[LockedPackage], pool: &CandidateSources<'_>) {
        let Some(asked) = pool.stamps().filter(|_| Self::may_keep(pool)) else {
            return;
        };
        let answer = CachedSolution {
            packages: packages.to_vec(),
            asked,
        };
        let body = serde_json::to_vec(&answer).expect("plain data");
        let digest = Sha256::from_bytes(sha2::Sha256::digest(&body).into());
        let bytes = [digest.to_hex().into_bytes(), body].concat();
        shared::write_for_now(&self.path, &bytes).ok();
        self.forget_oldest();
    }

    /// Whether it can be told from here what the answer depends on: what a URL leads to only where its digest is known.
    fn may_keep(pool: &CandidateSources<'_>) -> bool {
        pool.direct.values().all(Direct::is_known)
    }

    fn forget_oldest(&self) {
        let entries = self.path.parent().map(fs::read_dir);
        let mut all: Vec<_> = entries
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let entry = entry.ok()?;
                Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
            })
            .collect();
        if all.len() <= KEPT {
            return;
        }
        all.sort();
        for (_, path) in &all[..all.len() - KEPT] {
            file::remove(path).ok();
        }
    }
}
