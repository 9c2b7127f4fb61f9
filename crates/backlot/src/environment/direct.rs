//! Packages that a URL names: the only candidate each of its package, fetched when the solver first asks.
//!
//! Invariants: only URLs of the workspace are followed: of its inputs, its outputs, its constraints and overrides; a file
//! without a promised digest is the one of the lock until somebody lets it move. Deliberately absent: which URLs conflict
//! (`backlot-resolve`), and how files are fetched (`backlot-repo`).

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use backlot_core::Sha256;
use backlot_net::Network;
use backlot_pep::{DirectUrl, MarkerEnv, PackageName};
use backlot_repo::{DirectFetch, DirectFile, Promise};
use backlot_resolve::RootRequirement;

use crate::environment::lockfile::LockedPackage;
use crate::error::Result;
use crate::project::output::Output;
use crate::workspace::Opened;

/// A file that a URL names.
#[derive(Debug)]
pub(crate) struct Direct {
    package: PackageName,
    pub(crate) url: DirectUrl,
    /// The digest that it must have, if that is known, and who says so.
    expected: Option<(Sha256, Promise)>,
    /// The repo on the same server; may be empty.
    repo: String,
    pub(crate) network: Network,
    file: OnceCell<DirectFile>,
}

impl Direct {
    /// The file, fetched if it is not here.
    pub(crate) fn file(&self) -> Result<&DirectFile> {
        if let Some(known) = self.file.get() {
            return Ok(known);
        }
        let found = self.fetch().read(&self.network)?;
        Ok(self.file.get_or_init(|| found))
    }

    pub(crate) fn fetch(&self) -> DirectFetch<'_> {
        DirectFetch {
            package: &self.package,
            url: &self.url,
            expected: self.expected,
            repo: &self.repo,
        }
    }

    /// Write down where it comes from.
    pub(crate) fn lock(&self, package: &mut LockedPackage) -> Result<()> {
        package.take_direct(&self.url, self.file()?);
        Ok(())
    }

    /// Whether its digest was known before anybody looked.
    pub(crate) fn is_known(&self) -> bool {
        self.expected.is_some()
    }

    /// What an answer of the solver depends on.
    pub(crate) fn question(&self) -> (&PackageName, &str, Option<Sha256>) {
        let expected = self.expected.map(|(sha256, _)| sha256);
        (&self.package, self.url.as_str(), expected)
    }
}

impl Opened {
    /// The files that URLs name, not looked at yet; `locked` knows digests of those that promise none.
    pub(crate) fn direct_files(
        &self,
        urls: &BTreeMap<PackageName, DirectUrl>,
        locked: impl Fn(&DirectUrl) -> Option<Sha256>,
    ) -> Result<BTreeMap<PackageName, Direct>> {
        let mut files = BTreeMap::new();
        for (package, url) in urls {
            let promised = url.sha256().map(|sha256| (sha256, Promise::Requirement));
            let direct = Direct {
                package: package.clone(),
                url: url.clone(),
                expected: promised.or_else(|| Some((locked(url)?, Promise::Lock))),
                repo: self.repo_on_server_of(url),
                network: self.network()?,
                file: OnceCell::new(),
            };
            files.insert(package.clone(), direct);
        }
        Ok(files)
    }

    /// What a lock file names by a URL.
    pub(crate) fn direct_file(&self, package: &PackageName, url: &DirectUrl) -> Result<DirectFile> {
        let fetch = DirectFetch {
            package,
            url,
            expected: url.sha256().map(|sha256| (sha256, Promise::LockFile)),
            repo: &self.repo_on_server_of(url),
        };
        Ok(fetch.read(&self.network()?)?)
    }

    /// Put the file that a URL names in place, with the digest that was locked.
    pub(crate) fn fetch_direct(&self, package: &PackageName, url: &DirectUrl, target: &Path) -> Result<()> {
        let fetch = DirectFetch {
            package,
            url,
            expected: url.sha256().map(|sha256| (sha256, Promise::Lock)),
            repo: &self.repo_on_server_of(url),
        };
        Ok(fetch.open(&self.network()?, target, self.context())?)
    }

    /// The repo whose server a URL leads to, so that its credentials serve; empty if there is none.
    fn repo_on_server_of(&self, url: &DirectUrl) -> String {
        let origin = url.url().origin();
        let same =
            |place: &str| DirectUrl::parse(&format!("{place}/x")).is_ok_and(|p| p.url().origin() == origin);
        let repos = self.repos();
        let found = repos
            .iter()
            .find(|entry| origin.is_tuple() && entry.is_remote() && same(&entry.place));
        found.map(|entry| entry.name.clone()).unwrap_or_default()
    }
}

/// The requirements by URL of outputs, each with who needs it. Those of groups count where nothing else names their package.
pub(crate) fn urls_of(outputs: &[Output], env: &MarkerEnv) -> Vec<RootRequirement> {
    let mut found: Vec<RootRequirement> = Vec::new();
    for in_groups in [false, true] {
        let named: BTreeSet<PackageName> = found.iter().map(|r| r.requirement.name().clone()).collect();
        for output in outputs {
            let metadata = &output.project.metadata;
            let groups = if in_groups {
                &metadata.provides_extra[..]
            } else {
                &[]
            };
            let by_url = metadata.requires_dist.iter().filter(|r| r.url().is_some());
            for requirement in by_url.filter(|r| r.applies(env, groups) && !named.contains(r.name())) {
                found.push(RootRequirement {
                    requirement: requirement.clone(),
                    asked_by: format!("the output {}", output.name),
                });
            }
        }
    }
    found
}
