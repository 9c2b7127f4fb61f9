//! The dirty report: what is affected by a publish, or at all, before anything is done about it (rules R1 to R3).
//!
//! Invariant: the same catalog, resolver and roots give the same report with the same id, and every asset that is not current
//! is in it with a decision and a reason. What the plan will release is treated as though it existed, so later levels are
//! predictions; their keys are provisional until their inputs exist. Deliberately absent: acting.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use backlot_core::{Context, Sha256};
use backlot_pep::{PackageName, Requirement, Version};
use serde::{Deserialize, Serialize};

use crate::asset::{Asset, Release};
use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::graph::Order;
use crate::judge::{Change, Verdict, Withdrawal, Work, judge};
use crate::node::{FieldHasher, NodeId, NodeKey, RepoName};
use crate::record::{Input, Inputs};
use crate::resolve::{Conflict, Expected, ExpectedRelease, Resolution, ResolveRequest, Resolver};

/// What a report is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Root {
    /// A release that exists.
    Published {
        /// The asset.
        node: NodeId,
        /// The release.
        version: Version,
    },
    /// A release that does not exist yet.
    Expected(ExpectedRelease),
}

impl Root {
    /// The asset.
    pub fn node(&self) -> &NodeId {
        match self {
            Self::Published { node, .. } => node,
            Self::Expected(release) => &release.node,
        }
    }
    /// Its version.
    pub fn version(&self) -> &Version {
        match self {
            Self::Published { version, .. } => version,
            Self::Expected(release) => &release.version,
        }
    }
}

/// Why an asset keeps its release though an input has a newer one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "hold", rename_all = "kebab-case")]
pub enum Hold {
    /// A requirement does not admit the version.
    Bound {
        /// The requirement, as it was written.
        requirement: String,
        /// The input.
        input: NodeId,
        /// The version that it does not admit.
        version: Version,
    },
    /// A requirement names another version exactly.
    Pin {
        /// The requirement, as it was written.
        requirement: String,
        /// The input.
        input: NodeId,
        /// The version that it does not admit.
        version: Version,
    },
    /// The asset is frozen.
    Frozen,
    /// Its requirements exclude each other.
    Conflict(Conflict),
    /// A release with the same inputs was withdrawn; undo that, or insist on another build.
    Withdrawn {
        /// The release.
        version: Version,
        /// What became of it.
        #[serde(flatten)]
        withdrawal: Withdrawal,
    },
    /// It has become a matter for a person since the plan was made.
    Person,
}

/// What is to be done about an asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "kebab-case")]
pub enum Decision {
    /// A worker builds it.
    Build,
    /// Its inputs have other versions with the same content: recorded, not built.
    UpToDate,
    /// It keeps its release.
    Held(Hold),
    /// A person has to build it.
    Manual,
    /// Others have to build it.
    Outside,
    /// A person's release with a withdrawn input: a rebuild is proposed to its author.
    Proposed,
    /// It is built from itself.
    Cycle {
        /// A shortest way round; the first member is not repeated at the end.
        path: Vec<NodeId>,
    },
}

impl Decision {
    /// The word for it in text and pictures.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::UpToDate => "up to date",
            Self::Held(Hold::Bound { .. }) => "held (bound)",
            Self::Held(Hold::Pin { .. }) => "held (pin)",
            Self::Held(Hold::Frozen) => "held (frozen)",
            Self::Held(Hold::Conflict(_)) => "held (conflict)",
            Self::Held(Hold::Withdrawn { .. }) => "held (withdrawn)",
            Self::Held(Hold::Person) => "held (person)",
            Self::Manual => "manual",
            Self::Outside => "outside",
            Self::Proposed => "proposed",
            Self::Cycle { .. } => "cycle",
        }
    }
    /// Whether a cascade has it as a step: to build, to attest or to wait for.
    pub fn is_step(&self) -> bool {
        matches!(self, Self::Build | Self::UpToDate | Self::Manual | Self::Outside)
    }
    /// Whether a new release is expected.
    pub fn makes_release(&self) -> bool {
        matches!(self, Self::Build | Self::Manual | Self::Outside)
    }
}

/// An asset in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirtyNode {
    /// The asset.
    pub node: NodeId,
    /// Its newest release.
    pub newest: Version,
    /// The length of the longest way from a root, beginning with 1.
    pub level: u32,
    /// What is to be done.
    #[serde(flatten)]
    pub decision: Decision,
    /// The assets of this report or of its roots that it follows.
    pub parents: Vec<NodeId>,
    /// What differs from the record of its newest release.
    pub changes: Vec<Change>,
    /// Whether that release has no record, so that it counts as dirty.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unknown_inputs: bool,
    /// Whether the recipe has changed since: code, own sources or tools.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recipe_changed: bool,
    /// Exact inputs of the rebuild.
    pub inputs: Inputs,
    /// The version of the new release, as expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Version>,
    /// The idempotency key of the rebuild.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<NodeKey>,
    /// Whether the key will change once expected inputs exist.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub provisional: bool,
    /// A release with the same key, which will be copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_of: Option<(NodeId, Version)>,
    /// How long its last build took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_ms: Option<u64>,
    /// What its build takes of each resource class.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, u32>,
}

impl DirtyNode {
    /// Whether it is dirty because an input was yanked or deprecated: a repair, which is proposed and not begun by an event.
    pub fn is_repair(&self) -> bool {
        self.changes.iter().any(|change| change.withdrawn.is_some())
    }
}

/// What is affected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirtyReport {
    /// 16 hexadecimal digits; the same for the same report.
    pub id: String,
    /// What it is about; empty if about everything.
    pub roots: Vec<(NodeId, Version)>,
    /// The state of each repo that it was made from: the sequence number of its last event.
    pub cursors: BTreeMap<RepoName, u64>,
    /// The assets that are not current, by level and name.
    pub nodes: Vec<DirtyNode>,
}

impl DirtyReport {
    /// The report about an asset.
    pub fn node(&self, node: &NodeId) -> Option<&DirtyNode> {
        self.nodes.iter().find(|dirty| dirty.node == *node)
    }
    /// The assets with a step of a cascade.
    pub fn steps(&self) -> impl Iterator<Item = &DirtyNode> {
        self.nodes.iter().filter(|dirty| dirty.decision.is_step())
    }
    /// Whether a cascade would have nothing to do.
    pub fn is_clean(&self) -> bool {
        self.steps().next().is_none()
    }
    /// The chain of reasons from a root, or from an asset that is dirty by itself, down to an asset, which is the last.
    pub fn chain(&self, node: &NodeId) -> Vec<NodeId> {
        let parents: BTreeMap<&NodeId, &NodeId> = self
            .nodes
            .iter()
            .filter_map(|dirty| Some((&dirty.node, dirty.parents.first()?)))
            .collect();
        let mut chain = vec![node.clone()];
        // A parent has a lower level than its user, so this ends.
        while let Some(parent) = parents.get(&chain[chain.len() - 1]) {
            chain.push((*parent).clone());
        }
        chain.reverse();
        chain
    }
}

/// Report what is affected by the roots, or everything that is not current if there are none.
pub fn report(
    catalog: &Catalog,
    resolver: &dyn Resolver,
    roots: &[Root],
    context: &Context,
) -> Result<DirtyReport> {
    let mut walk = Walk::new(catalog, resolver, roots)?;
    let among = if roots.is_empty() {
        catalog.graph().nodes().cloned().collect()
    } else {
        let nodes: Vec<NodeId> = roots.iter().map(|root| root.node().clone()).collect();
        catalog.graph().reachable(&nodes)
    };
    let order = catalog.graph().order(&among);
    for node in &order.nodes {
        context.check()?;
        walk.visit(node, &order)?;
    }
    walk.nodes
        .sort_by(|a, b| (a.level, &a.node).cmp(&(b.level, &b.node)));
    let mut report = DirtyReport {
        id: String::new(),
        roots: roots
            .iter()
            .map(|root| (root.node().clone(), root.version().clone()))
            .collect(),
        cursors: catalog.cursors().clone(),
        nodes: walk.nodes,
    };
    id_of(&report).to_hex()[..16].clone_into(&mut report.id);
    Ok(report)
}

fn id_of(report: &DirtyReport) -> Sha256 {
    let mut hasher = FieldHasher::new("report");
    for (repo, cursor) in &report.cursors {
        hasher.field(repo.as_str());
        hasher.field(cursor.to_be_bytes());
    }
    for (node, version) in &report.roots {
        hasher.field(node.to_string());
        hasher.field(version.to_string());
    }
    for dirty in &report.nodes {
        hasher.field(dirty.node.to_string());
        hasher.field(dirty.newest.to_string());
        hasher.field(dirty.decision.as_str());
        if let Some(key) = dirty.key {
            hasher.field(key.0.as_bytes());
        }
    }
    hasher.finish()
}

/// The walk down the graph.
struct Walk<'a> {
    catalog: &'a Catalog,
    resolver: &'a dyn Resolver,
    /// Whether the report is about roots, and assets that none of them reaches are left out.
    rooted: bool,
    /// The new version of each asset that has one or is expected to.
    changed: HashMap<NodeId, Version>,
    expected: Expected,
    levels: HashMap<NodeId, u32>,
    /// Whether a changed asset leads into a cycle, by its index.
    led_into: BTreeMap<usize, bool>,
    nodes: Vec<DirtyNode>,
}

impl<'a> Walk<'a> {
    fn new(catalog: &'a Catalog, resolver: &'a dyn Resolver, roots: &[Root]) -> Result<Self> {
        let mut walk = Self {
            catalog,
            resolver,
            rooted: !roots.is_empty(),
            changed: HashMap::new(),
            expected: Expected::new(),
            levels: HashMap::new(),
            led_into: BTreeMap::new(),
            nodes: Vec::new(),
        };
        for root in roots {
            if let Root::Published { node, version } = root {
                catalog.release(node, version).ok_or_else(|| Error::UnknownRoot {
                    repo: node.repo.to_string(),
                    package: node.package.to_string(),
                    version: version.to_string(),
                })?;
            }
            if let Root::Expected(release) = root {
                walk.expected.insert(release.node.clone(), release.clone());
            }
            walk.changed.insert(root.node().clone(), root.version().clone());
            walk.levels.insert(root.node().clone(), 0);
        }
        Ok(walk)
    }

    fn visit(&mut self, node: &NodeId, order: &Order) -> Result<()> {
        let needs = self.catalog.graph().needs(node);
        let follows_change =
            !self.changed.is_empty() && needs.iter().any(|need| self.changed.contains_key(need));
        let in_cycle = order.in_cycle.get(node).copied();
        if self.rooted && !follows_change && in_cycle.is_none() {
            return Ok(());
        }
        let Some(asset) = self.catalog.asset(node).cloned() else {
            return Ok(());
        };
        let Some(newest) = asset.newest() else {
            return Ok(());
        };
        if let Some(cycle) = in_cycle {
            // Of a group that no changed asset leads into, there is nothing to say.
            if !self.rooted || self.leads_into(cycle, order) {
                let path = order.cycles[cycle].clone();
                let decision = Decision::Cycle { path };
                self.add(&asset, newest, decision, &needs, None);
            }
            return Ok(());
        }
        let withdrawn = |input: &Input| {
            let release = self
                .catalog
                .release(&NodeId::new(&input.repo, &input.package), &input.version);
            Ok(release.and_then(Withdrawal::of))
        };
        let (decision, work) = match judge(&asset, self.resolver, &self.expected, &withdrawn)? {
            Verdict::Absent => return Ok(()),
            Verdict::Current(fresh) => match self.hold(&asset, newest, &fresh.inputs, &needs)? {
                Some(hold) => (Decision::Held(hold), None),
                None => return Ok(()),
            },
            Verdict::SameContent(work) => (Decision::UpToDate, Some(work)),
            Verdict::Build(work) => (Decision::Build, Some(work)),
            Verdict::Manual(work) => (Decision::Manual, Some(work)),
            Verdict::Outside(work) => (Decision::Outside, Some(work)),
            Verdict::Proposed(work) => (Decision::Proposed, Some(work)),
            Verdict::Withdrawn(work, version, withdrawal) => {
                let hold = Hold::Withdrawn { version, withdrawal };
                (Decision::Held(hold), Some(work))
            }
            Verdict::Frozen(work) => (Decision::Held(Hold::Frozen), Some(work)),
            Verdict::Conflict(conflict) => (Decision::Held(Hold::Conflict(conflict)), None),
        };
        self.add(&asset, newest, decision, &needs, work);
        Ok(())
    }

    /// Whether a changed asset is an input of a member of a group of assets that are in a cycle.
    fn leads_into(&mut self, cycle: usize, order: &Order) -> bool {
        if let Some(known) = self.led_into.get(&cycle) {
            return *known;
        }
        let mut members = order.in_cycle.iter().filter(|(_, at)| **at == cycle);
        let leads = members.any(|(member, _)| {
            let needs = self.catalog.graph().needs(member);
            needs.iter().any(|need| self.changed.contains_key(need))
        });
        self.led_into.insert(cycle, leads);
        leads
    }

    fn add(
        &mut self,
        asset: &Asset,
        newest: &Release,
        decision: Decision,
        needs: &[NodeId],
        work: Option<Box<Work>>,
    ) {
        let parents: Vec<NodeId> = needs
            .iter()
            .filter(|need| self.changed.contains_key(need))
            .cloned()
            .collect();
        let above = parents.iter().filter_map(|parent| self.levels.get(parent)).max();
        let level = above.copied().unwrap_or(0) + 1;
        let node = &asset.node;
        if let Some(work) = work.as_ref().filter(|_| decision.makes_release()) {
            self.levels.insert(node.clone(), level);
            self.changed.insert(node.clone(), work.next.clone());
            let release = ExpectedRelease {
                node: node.clone(),
                version: work.next.clone(),
                base: Some(newest.version.clone()),
                inputs: work.inputs.clone(),
                stand_in: work.key.0,
            };
            self.expected.insert(node.clone(), release);
        }
        let provisional = work.as_ref().is_some_and(|work| work.inputs.has_expected());
        let copy_of = work
            .as_ref()
            .filter(|_| matches!(decision, Decision::Build) && !provisional)
            .and_then(|work| self.catalog.find_key(&node.package, work.key, &node.repo));
        let work = work.map(|work| *work);
        self.nodes.push(DirtyNode {
            node: node.clone(),
            newest: newest.version.clone(),
            level,
            parents,
            unknown_inputs: work.as_ref().is_some_and(|work| work.unknown_inputs),
            recipe_changed: work.as_ref().is_some_and(|work| work.recipe_changed),
            next: work
                .as_ref()
                .filter(|_| decision.makes_release())
                .map(|work| work.next.clone()),
            key: work.as_ref().map(|work| work.key),
            provisional,
            copy_of,
            estimated_ms: newest.record().and_then(|record| record.build_ms),
            resources: asset.settings.resources.clone(),
            changes: work.as_ref().map(|work| work.changes.clone()).unwrap_or_default(),
            inputs: work.map(|work| work.inputs).unwrap_or_default(),
            decision,
        });
    }

    /// Why an asset that is current does not use the new version of an input, if it is the asset's own requirements that
    /// prevent it.
    fn hold(
        &self,
        asset: &Asset,
        newest: &Release,
        chosen: &Inputs,
        needs: &[NodeId],
    ) -> Result<Option<Hold>> {
        // What only an input of an input requires is held there, if anywhere.
        let own: BTreeSet<&PackageName> = asset
            .generative_requirements(newest)
            .map(Requirement::name)
            .collect();
        for need in needs.iter().filter(|need| own.contains(&need.package)) {
            let version = match self.changed.get(need) {
                Some(version) => version,
                None if self.rooted => continue,
                None => match self.catalog.asset(need).and_then(|asset| asset.newest()) {
                    Some(release) => &release.version,
                    None => continue,
                },
            };
            let input = chosen.get(&need.package);
            let is_chosen = input.is_some_and(|input| input.repo != need.repo || input.version >= *version);
            let withdrawn = self.catalog.release(need, version).and_then(Withdrawal::of);
            if is_chosen || withdrawn.is_some() {
                continue;
            }
            if let Some(hold) = self.hold_of(asset, newest, need, version)? {
                return Ok(Some(hold));
            }
        }
        Ok(None)
    }

    fn hold_of(
        &self,
        asset: &Asset,
        newest: &Release,
        need: &NodeId,
        version: &Version,
    ) -> Result<Option<Hold>> {
        let mut requirements: Vec<&Requirement> = asset.generative_requirements(newest).collect();
        let refusing = requirements.iter().find(|requirement| {
            *requirement.name() == need.package && !requirement.specifiers().contains(version)
        });
        if let Some(requirement) = refusing {
            let (text, input, version) = (requirement.text().to_owned(), need.clone(), version.clone());
            return Ok(Some(match requirement.specifiers().pinned() {
                Some(_) => Hold::Pin {
                    requirement: text,
                    input,
                    version,
                },
                None => Hold::Bound {
                    requirement: text,
                    input,
                    version,
                },
            }));
        }
        if version.is_prerelease() {
            return Ok(None);
        }
        // The asset's requirements admit it, and still it was not chosen: ask for it, to hear what is against it.
        let Ok(exactly) = Requirement::exactly(&need.package, version) else {
            return Ok(None);
        };
        requirements.push(&exactly);
        let request = ResolveRequest {
            asset,
            release: newest,
            requirements: &requirements,
            expected: &self.expected,
        };
        Ok(match self.resolver.resolve(&request)? {
            Resolution::Conflict(conflict) => Some(Hold::Conflict(conflict)),
            Resolution::Chosen(_) => None,
        })
    }
}
