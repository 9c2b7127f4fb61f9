//! The studio's resolver: the newest version of each package that satisfies all requirements, with backtracking.
//!
//! A release of an asset that "forces" also requires exactly what it was built with, as a wheel with pinned dependencies
//! does. Deliberately absent: speed, and requirements of requirements otherwise.

use std::collections::{BTreeMap, VecDeque};

use backlot_pep::{PackageName, Specifiers, Version};

use crate::{Catalog, Conflict, Expected, Input, Inputs, NodeId, RepoName, ResolveRequest};

/// One thing that is asked for, and by whom.
#[derive(Clone)]
struct Wish {
    package: PackageName,
    range: Specifiers,
    chain: Vec<String>,
}

/// What may be chosen.
#[derive(Clone)]
struct Candidate {
    input: Input,
    forced: Vec<Input>,
}

pub(super) struct Solver<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) forces: &'a dyn Fn(&PackageName) -> bool,
    pub(super) expected: &'a Expected,
    pub(super) prereleases: bool,
    pub(super) visible: &'a [RepoName],
}

type Chosen = BTreeMap<PackageName, (Input, Vec<String>)>;

impl Solver<'_> {
    pub(super) fn solve(&self, request: &ResolveRequest<'_>) -> Result<Inputs, Conflict> {
        let who = format!("{} {}", request.asset.node.package, request.release.version);
        let wishes = request.requirements.iter().map(|requirement| Wish {
            package: requirement.name().clone(),
            range: requirement.specifiers(),
            chain: vec![who.clone(), requirement.text().to_owned()],
        });
        let chosen = self.choose(&Chosen::new(), wishes.collect())?;
        Ok(chosen
            .into_values()
            .map(|(input, _)| input)
            .collect::<Vec<_>>()
            .into())
    }

    fn choose(&self, chosen: &Chosen, mut wishes: VecDeque<Wish>) -> Result<Chosen, Conflict> {
        let Some(wish) = wishes.pop_front() else {
            return Ok(chosen.clone());
        };
        if let Some((input, chain)) = chosen.get(&wish.package) {
            if wish.range.contains(&input.version) {
                return self.choose(chosen, wishes);
            }
            return Err(Conflict {
                explanation: format!("{} {} is excluded", input.package, input.version),
                chains: vec![chain.clone(), wish.chain],
            });
        }
        let mut last = Conflict {
            explanation: format!("no release of {} satisfies {}", wish.package, wish.range),
            chains: vec![wish.chain.clone()],
        };
        let mut first = true;
        for candidate in self.candidates(&wish) {
            let mut next = chosen.clone();
            let name = format!("{} {}", candidate.input.package, candidate.input.version);
            let mut chain = wish.chain.clone();
            chain.push(name);
            next.insert(wish.package.clone(), (candidate.input.clone(), chain.clone()));
            let mut more = wishes.clone();
            more.extend(candidate.forced.iter().map(|input| {
                Wish {
                    package: input.package.clone(),
                    range: Specifiers::exactly(&input.version),
                    chain: [
                        chain.clone(),
                        vec![format!("{}=={}", input.package, input.version)],
                    ]
                    .concat(),
                }
            }));
            match self.choose(&next, more) {
                Ok(found) => return Ok(found),
                Err(conflict) if first => last = conflict,
                Err(_) => {}
            }
            first = false;
        }
        Err(last)
    }

    /// The releases of the nearest repo that has the package, the best first.
    fn candidates(&self, wish: &Wish) -> Vec<Candidate> {
        let mut found: Vec<(bool, Version, Candidate)> = Vec::new();
        for repo in self.visible {
            let node = NodeId::new(repo, &wish.package);
            self.collect(&node, &mut found);
            if !found.is_empty() {
                break;
            }
        }
        let permitted = |version: &Version| {
            wish.range.contains(version)
                && (!version.is_prerelease() || self.prereleases || wish.range.names_prerelease())
        };
        found.retain(|(_, version, _)| permitted(version));
        found.sort_by(|a, b| (a.0, &b.1).cmp(&(b.0, &a.1)));
        found.into_iter().map(|(_, _, candidate)| candidate).collect()
    }

    fn collect(&self, node: &NodeId, found: &mut Vec<(bool, Version, Candidate)>) {
        let forces = (self.forces)(&node.package);
        if let Some(expected) = self.expected.get(node) {
            let input = Input {
                package: node.package.clone(),
                version: expected.version.clone(),
                repo: node.repo.clone(),
                wheel: expected.stand_in,
                files: expected.stand_in,
                expected: true,
                editable: false,
            };
            let forced = if forces {
                expected.inputs.iter().cloned().collect()
            } else {
                Vec::new()
            };
            found.push((false, expected.version.clone(), Candidate { input, forced }));
        }
        for release in self
            .catalog
            .asset(node)
            .iter()
            .flat_map(|asset| asset.releases.values())
        {
            if release.yanked.is_some() {
                continue;
            }
            let record = release.record().filter(|_| forces);
            let input = Input {
                package: node.package.clone(),
                version: release.version.clone(),
                repo: node.repo.clone(),
                wheel: release.wheel,
                files: release.files,
                expected: false,
                editable: false,
            };
            let forced = record
                .map(|record| record.inputs.iter().cloned().collect())
                .unwrap_or_default();
            let candidate = Candidate { input, forced };
            found.push((release.deprecated.is_some(), release.version.clone(), candidate));
        }
    }
}
