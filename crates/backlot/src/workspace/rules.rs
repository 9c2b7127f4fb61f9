//! The rules of choosing that a workspace keeps: constraints, overrides, the cutoff, and which package comes from which
//! repo. The `[resolution]` and `[sources]` of `backlot.toml`.
//!
//! Invariant: one constraint and one override a package; a later one replaces the earlier, a bare name drops it.

use std::collections::BTreeMap;
use std::path::Path;

use backlot_core::Timestamp;
use backlot_core::options;
use backlot_pep::{DirectUrlError, PackageName, Requirement, RequirementKind};
use backlot_resolve::Preference;

use crate::error::{Result, WorkspaceError};

/// The rules in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Ranges that every choice must be in; they ask for nothing.
    pub constraints: Vec<Requirement>,
    /// Requirements that replace all others for their packages.
    pub overrides: Vec<Requirement>,
    /// Only releases published until then.
    pub exclude_newer: Option<Timestamp>,
    /// Which versions are preferred.
    pub resolution: Preference,
    /// Packages that are pinned to a repo.
    pub sources: BTreeMap<PackageName, String>,
}

options! {
    /// Changes of the rules, as flags say them.
    #[derive(Default)]
    pub struct RuleChanges {
        /// Requirements, or files with one a line.
        pub constraints: Vec<String>,
        /// Requirements.
        pub overrides: Vec<String>,
        /// A date or time, or `none`.
        pub exclude_newer: Option<String>,
        /// For this command only.
        pub resolution: Option<Preference>,
    }
}

impl RuleChanges {
    /// Whether there are no changes.
    pub(crate) fn is_empty(&self) -> bool {
        self.constraints.is_empty()
            && self.overrides.is_empty()
            && self.exclude_newer.is_none()
            && self.resolution.is_none()
    }
}

impl Rules {
    /// The same with changes. Files are relative to `folder`.
    pub(crate) fn changed(&self, changes: &RuleChanges, folder: &Path) -> Result<Self> {
        let mut rules = self.clone();
        for text in &changes.constraints {
            for requirement in read_requirements(text, folder)? {
                put(&mut rules.constraints, requirement);
            }
        }
        for text in &changes.overrides {
            put(&mut rules.overrides, checked(Requirement::parse(text)?)?);
        }
        match changes.exclude_newer.as_deref() {
            None => {}
            Some("none") => rules.exclude_newer = None,
            Some(text) => rules.exclude_newer = Some(Timestamp::parse(text)?),
        }
        if let Some(resolution) = changes.resolution {
            rules.resolution = resolution;
        }
        Ok(rules)
    }
}

/// One requirement, or those of a file: one a line, `#` begins a comment.
fn read_requirements(text: &str, folder: &Path) -> Result<Vec<Requirement>> {
    let path = folder.join(text);
    if !path.is_file() {
        return Ok(vec![checked(Requirement::parse(text)?)?]);
    }
    let content = fs_err::read_to_string(&path)?;
    let mut requirements = Vec::new();
    for (number, line) in content.lines().enumerate() {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let requirement = Requirement::parse(line).map_err(|error| WorkspaceError::BadConfig {
            path: path.clone(),
            reason: format!("line {}: {error}", number + 1),
        })?;
        requirements.push(checked(requirement)?);
    }
    Ok(requirements)
}

fn put(all: &mut Vec<Requirement>, requirement: Requirement) {
    all.retain(|r| r.name() != requirement.name());
    if requirement.kind() != RequirementKind::Abstract {
        all.push(requirement);
    }
}

/// `highest`, `lowest` or `lowest-direct`.
pub(crate) fn preference(text: &str) -> Option<Preference> {
    match text {
        "highest" => Some(Preference::Highest),
        "lowest" => Some(Preference::Lowest),
        "lowest-direct" => Some(Preference::LowestDirect),
        _ => None,
    }
}

/// A requirement of a person, whose URL, if it has one, can be followed and holds no secret.
pub(crate) fn checked(requirement: Requirement) -> Result<Requirement> {
    if let Some(url) = requirement.direct_url() {
        let url = url?;
        if requirement.had_credentials() {
            return Err(DirectUrlError::Secret { url: url.to_string() }.into());
        }
    }
    Ok(requirement)
}

#[cfg(test)]
mod tests {
    use super::{RuleChanges, Rules};

    #[test]
    fn changes_replace_by_package_and_a_bare_name_drops() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("limits.txt");
        fs_err::write(&file, "# studio limits\nTable<2  # for now\n\nLamp==1.0\n").expect("written");
        let change = |constraints: &[&str]| RuleChanges {
            constraints: constraints.iter().map(ToString::to_string).collect(),
            ..RuleChanges::default()
        };
        let rules = Rules::default();
        let rules = rules
            .changed(&change(&["limits.txt", "table<3"]), folder.path())
            .expect("changed");
        let texts: Vec<&str> = rules
            .constraints
            .iter()
            .map(backlot_pep::Requirement::text)
            .collect();
        assert_eq!(texts, ["Lamp==1.0", "table<3"]);
        let rules = rules.changed(&change(&["LAMP"]), folder.path()).expect("changed");
        assert_eq!(rules.constraints.len(), 1);
        fs_err::write(&file, "Table<2\nTable two\n").expect("written");
        let error = rules
            .changed(&change(&["limits.txt"]), folder.path())
            .expect_err("a bad line");
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}
