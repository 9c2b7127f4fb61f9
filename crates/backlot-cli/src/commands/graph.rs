//! Dependencies, their reasons, and outdated inputs, as text.

use std::collections::{BTreeMap, BTreeSet};

use backlot::{
    Error, InputAction, InputRow, OutdatedRow, PackageName, Picture, PictureNode, PictureTone, TreeEdge,
    TreeNode, TreeOptions, TreeReport, text,
};

use crate::args::GraphForm;

use crate::output::{Answer, columns};
use crate::session::Session;

/// A line still to be drawn.
struct Open<'a> {
    name: &'a PackageName,
    requirement: Option<&'a str>,
    depth: usize,
    /// Its prefix: the bars of the levels above.
    before: String,
    /// Whether it is the last of its siblings.
    last: bool,
}

pub(super) fn tree(
    session: &Session,
    name: Option<&str>,
    invert: bool,
    depth: Option<usize>,
    form: GraphForm,
) -> Result<Answer, Error> {
    let options = TreeOptions::new()
        .package(name.map(ToOwned::to_owned))
        .invert(invert);
    let report = session.open()?.tree(&options, &session.context)?;
    let text = if let Some(drawn) = form.draw(|| picture(&report, invert, depth.unwrap_or(usize::MAX))) {
        drawn
    } else if report.roots.is_empty() {
        "no inputs; install one with `backlot install NAME`".to_owned()
    } else {
        draw(&report, invert, depth.unwrap_or(usize::MAX))
    };
    Ok(Answer::new(&report, text))
}

/// The packages that the tree shows, with an arrow from each to those that require it.
fn picture(report: &TreeReport, invert: bool, depth: usize) -> Picture {
    let mut shown: Vec<&PackageName> = Vec::new();
    let mut level: Vec<&PackageName> = report.roots.iter().collect();
    let mut left = depth;
    while !level.is_empty() {
        level.retain(|name| report.packages.contains_key(*name));
        level.sort_unstable();
        level.dedup();
        level.retain(|name| !shown.contains(name));
        shown.extend(&level);
        if left == 0 {
            break;
        }
        left -= 1;
        let nodes = level.iter().filter_map(|name| report.packages.get(*name));
        let edges = nodes.flat_map(|node| if invert { &node.needed_by } else { &node.needs });
        level = edges.map(|edge| &edge.name).collect();
    }
    let places: BTreeMap<&PackageName, usize> =
        shown.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    let nodes = shown.iter().filter_map(|name| report.packages.get(*name));
    let nodes = nodes.map(|node| PictureNode {
        name: node.name.to_string(),
        versions: node.version.to_string(),
        label: match (&node.editable, &node.repo) {
            (Some(_), _) => "editable".to_owned(),
            (None, Some(repo)) => text::printable(repo),
            (None, None) => String::new(),
        },
        details: node
            .needs
            .iter()
            .map(|edge| format!("requires {}", text::printable(&edge.requirement)))
            .collect(),
        tone: match (node.editable.is_some(), node.requested) {
            (true, _) => PictureTone::Person,
            (false, true) => PictureTone::Good,
            (false, false) => PictureTone::Active,
        },
        level: 0,
        parents: node
            .needs
            .iter()
            .filter_map(|edge| places.get(&edge.name).copied())
            .collect(),
    });
    Picture::of_graph(text::count(shown.len() as u64, "input"), nodes.collect())
}

/// The tree as lines. A package that was drawn before is drawn without what is below it, and marked.
fn draw(report: &TreeReport, invert: bool, depth: usize) -> String {
    let mut text = String::new();
    let mut drawn: BTreeSet<&PackageName> = BTreeSet::new();
    let mut repeated = false;
    // Not recursive: a chain may be longer than a stack.
    let mut open: Vec<Open<'_>> = report
        .roots
        .iter()
        .rev()
        .map(|name| Open {
            name,
            requirement: None,
            depth: 0,
            before: String::new(),
            last: true,
        })
        .collect();
    while let Some(line) = open.pop() {
        let Some(node) = report.packages.get(line.name) else {
            continue;
        };
        let edges: &[TreeEdge] = if invert { &node.needed_by } else { &node.needs };
        let again = !drawn.insert(line.name) && !edges.is_empty();
        let branch = match (line.depth, line.last) {
            (0, _) => "",
            (_, true) => "└── ",
            (_, false) => "├── ",
        };
        text.push_str(&format!("{}{branch}{}", line.before, label(node)));
        if let Some(requirement) = line.requirement {
            text.push_str(&format!(" [{requirement}]"));
        }
        text.push_str(if again { " (*)\n" } else { "\n" });
        repeated |= again;
        if again || line.depth >= depth {
            continue;
        }
        let bar = match (line.depth, line.last) {
            (0, _) => "",
            (_, true) => "    ",
            (_, false) => "│   ",
        };
        for (number, edge) in edges.iter().enumerate().rev() {
            open.push(Open {
                name: &edge.name,
                requirement: Some(&edge.requirement),
                depth: line.depth + 1,
                before: format!("{}{bar}", line.before),
                last: number + 1 == edges.len(),
            });
        }
    }
    if repeated {
        text.push_str("(*) shown above\n");
    }
    text
}

fn label(node: &TreeNode) -> String {
    let origin = match (&node.editable, node.repo.as_ref().or(node.url.as_ref())) {
        (Some(path), _) => format!(" (editable in {path})"),
        (None, Some(repo)) => format!(" (from {repo})"),
        (None, None) => String::new(),
    };
    format!("{} {}{origin}", node.name, node.version)
}

pub(super) fn why(session: &Session, name: &str) -> Result<Answer, Error> {
    let report = session.open()?.why(name, &session.context)?;
    let mut text = format!("{} {}\n", report.name, report.version);
    for chain in &report.chains {
        let mut line = String::from("  the workspace");
        for link in chain {
            line.push_str(&format!(
                " -> {} {} [{}]",
                link.name, link.version, link.requirement
            ));
        }
        text.push_str(&line);
        text.push('\n');
    }
    if report.more {
        text.push_str("  ... and more\n");
    }
    Ok(Answer::new(&report, text))
}

pub(super) fn outdated(session: &Session) -> Result<Answer, Error> {
    let rows = session.open()?.outdated(&session.context)?;
    let text = if rows.is_empty() {
        "all inputs are up to date".to_owned()
    } else {
        let head = ["package", "installed", "update", "newest", "", ""];
        let mut table = vec![head.map(ToOwned::to_owned).to_vec()];
        table.extend(rows.iter().map(describe));
        columns(&table)
    };
    Ok(Answer::new(&serde_json::json!({ "outdated": rows }), text))
}

/// The newest version of each repo.
fn newest(row: &OutdatedRow) -> String {
    let newest = row.newest.iter().map(|n| {
        let mark = if n.deprecated { " deprecated" } else { "" };
        format!("{} ({}{mark})", n.version, n.repo)
    });
    newest.collect::<Vec<_>>().join(", ")
}

/// The status of the version in use, and why.
fn marks(row: &OutdatedRow) -> String {
    let marks = [("yanked", &row.yanked), ("deprecated", &row.deprecated)];
    let marks = marks.iter().filter_map(|(mark, fact)| {
        let reason = text::printable(&fact.as_ref()?.reason);
        Some(format!("{mark}: {reason}"))
    });
    marks.collect::<Vec<_>>().join("; ")
}

pub(super) fn inputs(session: &Session) -> Result<Answer, Error> {
    let rows = session.open()?.input_table(&session.context)?;
    let text = if rows.is_empty() {
        "no inputs".to_owned()
    } else {
        let head = ["package", "in use", "newest", "", "action"];
        let mut table = vec![head.map(ToOwned::to_owned).to_vec()];
        table.extend(rows.iter().map(input));
        columns(&table)
    };
    Ok(Answer::new(&serde_json::json!({ "inputs": rows }), text))
}

fn input(row: &InputRow) -> Vec<String> {
    let releases = row.releases.as_ref();
    let mut said = Vec::new();
    said.extend(row.editable.as_ref().map(|folder| format!("edited in {folder}")));
    said.extend(row.pinned.as_ref().map(|pin| format!("pinned: {pin}")));
    if let Some(releases) = releases {
        said.extend(
            releases
                .approved
                .last()
                .map(|fact| format!("approved by {}", fact.author)),
        );
        said.extend(Some(marks(releases)).filter(|marks| !marks.is_empty()));
    }
    let to = releases.and_then(|releases| releases.admitted.as_ref());
    let action = match (row.action, to) {
        (InputAction::Update, Some(to)) => format!("update to {to}"),
        (InputAction::Held, _) => "held".to_owned(),
        (InputAction::Replace, _) => "replace".to_owned(),
        _ => String::new(),
    };
    vec![
        row.package.to_string(),
        row.version.to_string(),
        releases.map(newest).unwrap_or_default(),
        said.join("; "),
        action,
    ]
}

fn describe(row: &OutdatedRow) -> Vec<String> {
    vec![
        row.package.to_string(),
        row.version.to_string(),
        row.admitted.as_ref().map_or("-".to_owned(), ToString::to_string),
        newest(row),
        marks(row),
        row.held_by
            .iter()
            .map(|held| format!("held by {held}"))
            .collect::<Vec<_>>()
            .join(", "),
    ]
}
