//! Reports and runs for people: a text tree, DOT, Mermaid, SVG.
//!
//! Invariant: all of them show the same [`Picture`], and names that others chose are escaped in each. Deliberately absent:
//! colours of a terminal; the command adds them.

mod dot;
mod graph;
mod layout;
mod mermaid;
mod svg;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;

use backlot_core::text::sanitize;
use backlot_pep::Version;

use crate::dirty::{Decision, DirtyNode, DirtyReport, Hold};
use crate::judge::{Change, Withdrawal};
use crate::node::NodeId;
use crate::state::{NodeStatus, RunState};

/// How a node is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    /// A root: where it begins.
    Root,
    /// Something is to be done or being done.
    Active,
    /// Done well.
    Good,
    /// It stays as it is, with a reason.
    Held,
    /// A person is needed.
    Person,
    /// It failed, or cannot be.
    Bad,
}

/// A node of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureNode {
    /// Its name.
    pub name: String,
    /// The versions: `1.0 -> 1.0.1`.
    pub versions: String,
    /// The decision or status.
    pub label: String,
    /// Why, one reason a line.
    pub details: Vec<String>,
    /// How it is drawn.
    pub tone: Tone,
    /// 0 for roots.
    pub level: u32,
    /// Indices of the nodes before it, each of a lower level.
    pub parents: Vec<usize>,
}

/// What is drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// A line above it.
    pub title: String,
    /// Its nodes, by level.
    pub nodes: Vec<PictureNode>,
}

impl Picture {
    /// Of a report.
    pub fn of_report(report: &DirtyReport) -> Self {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for dirty in &report.nodes {
            *counts.entry(dirty.decision.as_str()).or_default() += 1;
        }
        Self::build(&report.roots, report.nodes.iter(), &counts, |dirty| {
            (dirty.decision.as_str().to_owned(), tone_of(&dirty.decision))
        })
    }

    /// Of a cascade.
    pub fn of_run(state: &RunState) -> Self {
        let plan = state.plan();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let status: BTreeMap<&NodeId, NodeStatus> = plan
            .nodes
            .iter()
            .enumerate()
            .map(|(at, planned)| (&planned.dirty.node, state.status(at)))
            .collect();
        for status in status.values() {
            *counts.entry(status.as_str()).or_default() += 1;
        }
        let mut shown: Vec<&DirtyNode> = plan.nodes.iter().map(|planned| &planned.dirty).collect();
        shown.extend(&plan.others);
        shown.sort_by(|a, b| (a.level, &a.node).cmp(&(b.level, &b.node)));
        Self::build(&plan.roots, shown.into_iter(), &counts, |dirty| {
            match status.get(&dirty.node) {
                Some(status) => (status_label(status), tone_of_status(status)),
                None => (dirty.decision.as_str().to_owned(), tone_of(&dirty.decision)),
            }
        })
    }

    fn build<'a>(
        roots: &[(NodeId, Version)],
        dirty: impl Iterator<Item = &'a DirtyNode>,
        counts: &BTreeMap<&str, usize>,
        label: impl Fn(&DirtyNode) -> (String, Tone),
    ) -> Self {
        let mut nodes: Vec<PictureNode> = roots
            .iter()
            .map(|(node, version)| PictureNode {
                name: sanitize(&node.to_string()),
                versions: version.to_string(),
                label: "root".to_owned(),
                details: Vec::new(),
                tone: Tone::Root,
                level: 0,
                parents: Vec::new(),
            })
            .collect();
        let mut index: BTreeMap<NodeId, usize> = roots
            .iter()
            .enumerate()
            .map(|(at, (node, _))| (node.clone(), at))
            .collect();
        for dirty in dirty {
            let (label, tone) = label(dirty);
            let parents = dirty
                .parents
                .iter()
                .filter_map(|parent| index.get(parent).copied())
                .collect();
            index.insert(dirty.node.clone(), nodes.len());
            nodes.push(PictureNode {
                name: sanitize(&dirty.node.to_string()),
                versions: match &dirty.next {
                    Some(next) => format!("{} -> {next}", dirty.newest),
                    None => dirty.newest.to_string(),
                },
                label,
                details: details(dirty),
                tone,
                level: dirty.level,
                parents,
            });
        }
        let about = roots
            .iter()
            .map(|(node, version)| sanitize(&format!("{node} {version}")));
        let about: Vec<String> = about.collect();
        let counts: Vec<String> = counts
            .iter()
            .map(|(word, count)| format!("{count} {word}"))
            .collect();
        let about = if about.is_empty() {
            "all assets".to_owned()
        } else {
            about.join(", ")
        };
        let counts = if counts.is_empty() {
            "nothing affected".to_owned()
        } else {
            counts.join(", ")
        };
        Self {
            title: format!("{about}: {counts}"),
            nodes,
        }
    }
}

fn tone_of(decision: &Decision) -> Tone {
    match decision {
        Decision::Build => Tone::Active,
        Decision::UpToDate => Tone::Good,
        Decision::Held(Hold::Conflict(_)) | Decision::Cycle { .. } => Tone::Bad,
        Decision::Held(_) => Tone::Held,
        Decision::Manual | Decision::Outside | Decision::Proposed => Tone::Person,
    }
}

fn tone_of_status(status: &NodeStatus) -> Tone {
    match status {
        NodeStatus::Released { .. } | NodeStatus::Unchanged { .. } | NodeStatus::Skipped { .. } => Tone::Good,
        NodeStatus::Failed { .. } => Tone::Bad,
        NodeStatus::Manual | NodeStatus::Outside => Tone::Person,
        NodeStatus::Ready | NodeStatus::Running { .. } | NodeStatus::Delayed { .. } => Tone::Active,
        NodeStatus::Waiting
        | NodeStatus::Held { .. }
        | NodeStatus::Blocked { .. }
        | NodeStatus::Cancelled
        | NodeStatus::Superseded { .. } => Tone::Held,
    }
}

fn status_label(status: &NodeStatus) -> String {
    let word = status.as_str();
    sanitize(&match status {
        NodeStatus::Released { version } => format!("{word} {version}"),
        NodeStatus::Failed { failure } => format!("{word}: {}", failure.message),
        NodeStatus::Blocked { by, .. } => format!("{word} by {by}"),
        NodeStatus::Superseded { by } => format!("{word} by cascade {by}"),
        _ => word.to_owned(),
    })
}

/// Why, in one line a reason.
fn details(dirty: &DirtyNode) -> Vec<String> {
    let mut lines = Vec::new();
    if dirty.unknown_inputs {
        lines.push("unknown inputs".to_owned());
    }
    if dirty.recipe_changed {
        lines.push("recipe changed".to_owned());
    }
    lines.extend(dirty.changes.iter().map(change_line));
    match &dirty.decision {
        Decision::Held(
            Hold::Bound {
                requirement, version, ..
            }
            | Hold::Pin {
                requirement, version, ..
            },
        ) => {
            lines.push(format!("requires {requirement}, not {version}"));
        }
        Decision::Held(Hold::Withdrawn { version, withdrawal }) => {
            let (Withdrawal::Yanked(reason) | Withdrawal::Deprecated(reason)) = withdrawal;
            lines.push(format!(
                "{version} has the same inputs and was withdrawn: {reason}"
            ));
        }
        Decision::Held(Hold::Conflict(conflict)) => {
            lines.push(conflict.explanation.clone());
            lines.extend(conflict.chains.iter().map(|chain| chain.join(" -> ")));
        }
        Decision::Cycle { path } => {
            let first = path.first().map(ToString::to_string);
            let path: Vec<String> = path.iter().map(ToString::to_string).chain(first).collect();
            lines.push(format!("built from itself: {}", path.join(" <- ")));
        }
        _ => {}
    }
    lines.iter().flat_map(|line| line.lines()).map(sanitize).collect()
}

fn change_line(change: &Change) -> String {
    let mut line = match (&change.old, &change.new) {
        (Some(old), new) if change.editable => {
            let new = new
                .as_ref()
                .map_or("removed".to_owned(), |new| format!("-> {new}"));
            format!("{} {old} (editable, content unknown) {new}", change.package)
        }
        (Some(old), Some(new)) => format!("{} {old} -> {new}", change.package),
        (None, Some(new)) => format!("{} {new} added", change.package),
        (Some(old), None) => format!("{} {old} removed", change.package),
        (None, None) => change.package.to_string(),
    };
    match &change.withdrawn {
        Some(Withdrawal::Yanked(reason)) => line.push_str(&format!(" (yanked: {reason})")),
        Some(Withdrawal::Deprecated(reason)) => line.push_str(&format!(" (deprecated: {reason})")),
        None if change.same_content => line.push_str(" (same content)"),
        None => {}
    }
    line
}
