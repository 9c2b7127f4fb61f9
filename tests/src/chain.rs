//! Assets that are built from each other, for the tests of cascades: each has a workspace of its own, so that what it is built from are releases.
//!
//! Deliberately absent: what is expected of reports.

use fs_err as fs;
use serde_json::Value;

use crate::{Run, Studio};

/// Run the command in a workspace.
pub fn at(studio: &Studio, workspace: &str, arguments: &[&str]) -> Run {
    studio.run(&[&["-w", workspace], arguments].concat())
}

/// The workspace of an asset, with the asset and what it requires: `rig`, or `build:rig` for the group `build`.
pub fn asset(studio: &Studio, name: &str, requires: &[&str]) {
    studio.run(&["init", name, "--python", "none"]).ok();
    at(studio, name, &["repo", "add", "review", "repos/review"]).ok();
    at(studio, name, &["new", name]).ok();
    for requirement in requires {
        require(studio, name, requirement);
    }
}

/// Add a requirement to an asset.
pub fn require(studio: &Studio, name: &str, requirement: &str) {
    let mut arguments = vec!["input", "add", name];
    match requirement.split_once(':') {
        Some((group, requirement)) => arguments.extend([requirement, "--group", group]),
        None => arguments.push(requirement),
    }
    at(studio, name, &arguments).ok();
    if let Some((_, requirement)) = requirement.split_once(':') {
        at(studio, name, &["install", requirement]).ok();
    }
}

/// Set the version of an asset, and its code with it.
pub fn version(studio: &Studio, name: &str, version: &str) {
    let module = format!("{name}/outputs/{name}/src/{name}");
    studio.write(
        &format!("{module}/__version__.py"),
        format!("__version__ = \"{version}\"").as_bytes(),
    );
    studio.write(
        &format!("{module}/code.py"),
        format!("MADE = \"{version}\"\n").as_bytes(),
    );
}

/// Publish a version of an asset with the newest inputs that fit.
pub fn release(studio: &Studio, name: &str, number: &str) -> Value {
    version(studio, name, number);
    at(studio, name, &["install", "-U"]).ok();
    at(studio, name, &["publish", name, "--json"]).ok().json()
}

/// Say in the project of an asset how cascades treat it.
pub fn treat(studio: &Studio, name: &str, settings: &str) {
    let path = studio.path(&format!("{name}/outputs/{name}/pyproject.toml"));
    let mut text = fs::read_to_string(&path).expect("a project");
    text.push_str(&format!("\n[tool.backlot.cascade]\n{settings}\n"));
    fs::write(&path, text).expect("written");
}

/// An asset and its first release.
pub fn first(studio: &Studio, name: &str, requires: &[&str]) {
    asset(studio, name, requires);
    release(studio, name, "1.0");
}

/// model, rig and anim, each built from the one before.
pub fn chain() -> Studio {
    let studio = Studio::empty();
    first(&studio, "model", &[]);
    first(&studio, "rig", &["model"]);
    first(&studio, "anim", &["build:rig"]);
    studio
}

/// The report as the workspace of an asset gives it.
pub fn dirty(studio: &Studio, workspace: &str, what: &[&str]) -> Value {
    at(studio, workspace, &[&["dirty", "--json"], what].concat())
        .ok()
        .json()
}

/// What a report says of an asset in `review`; null where it says nothing.
pub fn node<'a>(report: &'a Value, name: &str) -> &'a Value {
    let nodes = report["nodes"].as_array().expect("nodes");
    let found = nodes.iter().find(|node| node["node"] == format!("review/{name}"));
    found.unwrap_or(&Value::Null)
}

/// The assets of a report with level and decision.
pub fn decisions(report: &Value) -> Vec<String> {
    let nodes = report["nodes"].as_array().expect("nodes").iter();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let told = nodes.map(|node| {
        let hold = word(&node["hold"]);
        let hold = if hold.is_empty() { hold } else { format!(" {hold}") };
        format!(
            "{} {} {}{hold}",
            node["level"],
            word(&node["node"]),
            word(&node["decision"])
        )
    });
    told.collect()
}

/// The changes of an asset, as `model 1.0 -> 1.1`.
pub fn changes(node: &Value) -> Vec<String> {
    let version = |value: &Value| value.as_str().unwrap_or("none").to_owned();
    let all = node["changes"].as_array().expect("changes").iter();
    all.map(|change| {
        format!(
            "{} {} -> {}",
            version(&change["package"]),
            version(&change["old"]),
            version(&change["new"])
        )
    })
    .collect()
}
