//! Dependents of assets, and the effects of a publish.

use std::collections::BTreeMap;

use backlot::{
    Dependent, DependentsReport, DirtyNode, DirtyReport, Error, PackageName, Picture, PictureNode,
    PictureTone, text,
};

use crate::args::{DependentsArgs, DirtyArgs};
use crate::output::{Answer, columns};
use crate::session::Session;

/// How many names of one decision a publish prints.
const NAMES: usize = 5;

pub(super) fn dependents(session: &Session, args: &DependentsArgs) -> Result<Answer, Error> {
    let depth = (!args.all).then_some(args.depth);
    let workspace = session.open()?;
    let report = workspace.dependents(&args.name, depth, args.repo.as_deref(), &session.context)?;
    let text = if let Some(drawn) = args.form.draw(|| picture(&report)) {
        drawn
    } else if report.dependents.is_empty() {
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

/// The asset, and an arrow from it to each that requires it.
fn picture(report: &DependentsReport) -> Picture {
    let node = |name: &str, versions: String, tone: PictureTone| PictureNode {
        name: text::printable(name),
        versions,
        label: String::new(),
        details: Vec::new(),
        tone,
        level: 0,
        parents: Vec::new(),
    };
    let mut nodes = vec![node(report.package.as_str(), String::new(), PictureTone::Root)];
    // One package may be in several repos, and require another for several groups.
    let mut places: BTreeMap<(&PackageName, &str), usize> = BTreeMap::new();
    for one in &report.dependents {
        let key = (&one.package, one.repo.as_str());
        let at = *places.entry(key).or_insert_with(|| {
            let versions = format!("{} in {}", one.version, text::printable(&one.repo));
            nodes.push(node(&one.name, versions, PictureTone::Active));
            nodes.len() - 1
        });
        let requirement = text::printable(&one.requirement);
        if nodes[at].label.is_empty() {
            nodes[at].label.clone_from(&requirement);
        }
        nodes[at].details.push(requirement);
        let of_required = places
            .iter()
            .filter(|((package, _), _)| **package == one.requires);
        let parents: Vec<usize> = of_required.map(|(_, at)| *at).collect();
        nodes[at].parents.extend(if one.requires == report.package {
            vec![0]
        } else {
            parents
        });
    }
    let count = text::count(nodes.len() as u64 - 1, "asset");
    Picture::of_graph(format!("{count} require {}", report.package), nodes)
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
    let text = if let Some(drawn) = args.form.draw(|| picture.clone()) {
        drawn
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
