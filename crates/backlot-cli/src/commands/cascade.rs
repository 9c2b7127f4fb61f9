//! Dependents of assets, and the effects of a publish.

use std::collections::BTreeMap;

use backlot::{Dependent, DirtyNode, DirtyReport, Error, Picture, text};

use crate::args::{DependentsArgs, DirtyArgs};
use crate::output::{Answer, columns};
use crate::session::Session;

/// How many names of one decision a publish prints.
const NAMES: usize = 5;

pub(super) fn dependents(session: &Session, args: &DependentsArgs) -> Result<Answer, Error> {
    let depth = (!args.all).then_some(args.depth);
    let workspace = session.open()?;
    let report = workspace.dependents(&args.name, depth, args.repo.as_deref(), &session.context)?;
    let text = if report.dependents.is_empty() {
        format!(
            "no asset in {} requires {}",
            report.repos.join(", "),
            report.package
        )
    } else {
        let head = ["asset", "version", "repo", "requires", "group", "built with"];
        let mut table = vec![head.map(ToOwned::to_owned).to_vec()];
        table.extend(report.dependents.iter().map(row));
        columns(&table)
    };
    Ok(Answer::new(&report, text))
}

fn row(dependent: &Dependent) -> Vec<String> {
    let indent = "  ".repeat(dependent.depth.min(16) as usize - 1);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        format!("{indent}{}", dependent.name),
        dependent.version.to_string(),
        dependent.repo.clone(),
        dependent.requirement.clone(),
        or_dash(dependent.group.as_ref().map(ToString::to_string)),
        or_dash(dependent.built_with.as_ref().map(ToString::to_string)),
    ]
}

pub(super) fn dirty(session: &Session, args: &DirtyArgs) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let report = workspace.dirty(args.release.as_deref(), args.repo.as_deref(), &session.context)?;
    let picture = Picture::of_report(&report);
    let text = if args.dot {
        picture.to_dot()
    } else if args.svg {
        picture.to_svg()
    } else if report.nodes.is_empty() {
        nothing(&report)
    } else {
        picture.to_text()
    };
    Ok(Answer::new(&report, text))
}

/// The message that no asset is affected.
fn nothing(report: &DirtyReport) -> String {
    let roots: Vec<String> = report
        .roots
        .iter()
        .map(|(node, version)| format!("{node} {version}"))
        .collect();
    if roots.is_empty() {
        "all assets are current".to_owned()
    } else {
        format!("no asset is affected by {}", roots.join(", "))
    }
}

/// The effects of a publish, in a few lines: the number of assets of each decision, and their names.
pub(super) fn dirtied(report: &DirtyReport) -> String {
    let mut decisions: BTreeMap<&str, Vec<&DirtyNode>> = BTreeMap::new();
    for node in &report.nodes {
        decisions.entry(node.decision.as_str()).or_default().push(node);
    }
    if decisions.is_empty() {
        return String::new();
    }
    let mut lines = format!(
        "dirtied by this publish: {}\n",
        text::count(report.nodes.len() as u64, "asset")
    );
    for (decision, nodes) in decisions {
        let names: Vec<String> = nodes
            .iter()
            .take(NAMES)
            .map(|dirty| dirty.node.to_string())
            .collect();
        let more = nodes.len().saturating_sub(NAMES);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        lines.push_str(&format!("  {decision}: {}{more}\n", names.join(", ")));
    }
    lines
}
