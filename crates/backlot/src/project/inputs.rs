//! The inputs of an output: adding and removing requirements, also into a group, and moving its version.
//!
//! Invariant: `pyproject.toml` is the truth and is edited in place (comments survive); `asset.toml` follows it. One
//! requirement a package and group: adding another replaces it, as `uv add` does.

use std::path::PathBuf;

use backlot_core::file;
use backlot_pep::{GroupName, PackageName, Requirement, RequirementKind, Version, VersionChange};
use backlot_wheel::AssetToml;
use serde::{Deserialize, Serialize};
use toml_edit::{Array, DocumentMut, Item, Table, Value};

use crate::error::{Error, Result, WorkspaceError};
use crate::project::output::Output;
use crate::workspace::Opened;
use crate::workspace::rules::checked;

/// A requirement that was added or removed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InputChange {
    /// The requirement, in the form it was written.
    pub requirement: String,
    /// How tightly it binds.
    pub kind: RequirementKind,
    /// The replaced requirement.
    pub replaced: Option<String>,
}

/// The result of an edit of the inputs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InputReport {
    /// The asset.
    pub asset: String,
    /// The group; `None` for the main inputs.
    pub group: Option<GroupName>,
    /// The requirements.
    pub changes: Vec<InputChange>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// The result of a bump.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BumpReport {
    /// The asset.
    pub asset: String,
    /// The version before.
    pub from: Version,
    /// The version now.
    pub to: Version,
    /// The file that holds it, relative to the workspace.
    pub file: String,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

impl Opened {
    pub(crate) fn parse_requirement(&self, text: &str) -> Result<Requirement> {
        let (requirement, given) = Requirement::parse_lenient(text)?;
        let requirement = checked(requirement)?;
        if let Some(given) = given {
            self.context().warn(
                "requirement::normalised",
                format!("`{given}` is not PEP 508; read as `{requirement}`"),
            );
        }
        Ok(requirement)
    }

    pub(crate) fn add_inputs(
        &self,
        asset: &str,
        requirements: &[String],
        group: Option<&str>,
        check: bool,
        dry_run: bool,
    ) -> Result<InputReport> {
        let held = self.hold()?;
        let output = &held.output_to_change(asset)?;
        let group = group.map(GroupName::parse).transpose()?;
        let parsed: Vec<Requirement> = requirements
            .iter()
            .map(|r| self.parse_requirement(r))
            .collect::<Result<_>>()?;
        for requirement in &parsed {
            requirement.check_marker()?;
            if *requirement.name() == output.package() {
                let asset = output.name.clone();
                return Err(WorkspaceError::RequiresItself { asset }.into());
            }
        }
        if check {
            held.check_inputs(output, &parsed, group.is_some())?;
        }
        let mut project = ProjectFile::open(output)?;
        let list = project.requirements(group.as_ref());
        let mut changes = Vec::new();
        for requirement in &parsed {
            let replaced = put(list, requirement);
            changes.push(InputChange {
                requirement: requirement.to_string(),
                kind: requirement.kind(),
                replaced,
            });
        }
        if !dry_run {
            project.save(output)?;
        }
        Ok(InputReport {
            asset: output.name.clone(),
            group,
            changes,
            dry_run,
        })
    }

    pub(crate) fn remove_inputs(
        &self,
        asset: &str,
        names: &[String],
        group: Option<&str>,
        dry_run: bool,
    ) -> Result<InputReport> {
        let held = self.hold()?;
        let output = &held.output_to_change(asset)?;
        let group = group.map(GroupName::parse).transpose()?;
        let mut project = ProjectFile::open(output)?;
        let list = project.requirements(group.as_ref());
        let mut changes = Vec::new();
        for name in names {
            let package = PackageName::of_asset(name)?;
            let Some(position) = position_of(list, &package) else {
                let group = group.as_ref().map(ToString::to_string);
                return Err(WorkspaceError::NoSuchInput {
                    asset: output.name.clone(),
                    name: package,
                    group,
                }
                .into());
            };
            let removed = list.remove(position);
            let requirement = Requirement::parse(removed.as_str().unwrap_or_default())?;
            changes.push(InputChange {
                requirement: requirement.to_string(),
                kind: requirement.kind(),
                replaced: None,
            });
        }
        if !dry_run {
            project.save(output)?;
        }
        Ok(InputReport {
            asset: output.name.clone(),
            group,
            changes,
            dry_run,
        })
    }

    pub(crate) fn bump(&self, asset: &str, change: &VersionChange, dry_run: bool) -> Result<BumpReport> {
        let held = self.hold()?;
        let output = &held.output_to_change(asset)?;
        let from = output.project.metadata.version.clone();
        let to = from.changed(change)?;
        let file = Self::write_version(output, &to, dry_run || to == from)?;
        if !dry_run && to != from {
            held.sync_editable(&Output::load(&output.project.root)?)?;
        }
        Ok(BumpReport {
            asset: output.name.clone(),
            from,
            to,
            file: self.display_path(&file),
            dry_run,
        })
    }

    /// Write a version where the project keeps it.
    pub(crate) fn write_version(output: &Output, version: &Version, dry_run: bool) -> Result<PathBuf> {
        let (path, text) = Self::with_version(output, version)?;
        if !dry_run {
            file::write(&path, text.as_bytes())?;
        }
        Ok(path)
    }

    /// The file in which the project keeps its version, and its text with another one.
    pub(crate) fn with_version(output: &Output, version: &Version) -> Result<(PathBuf, String)> {
        let mut project = ProjectFile::open(output)?;
        let missing = || {
            Error::from(WorkspaceError::NoVersionSource {
                path: project.path.clone(),
            })
        };
        let table = project
            .document
            .get("project")
            .and_then(Item::as_table)
            .ok_or_else(missing)?;
        if table.contains_key("version") {
            project.document["project"]["version"] = toml_edit::value(version.to_string());
            return Ok((project.path, project.document.to_string()));
        }
        let hatch = project
            .document
            .get("tool")
            .and_then(|t| t.get("hatch"))
            .and_then(|h| h.get("version"));
        let relative = hatch
            .and_then(|v| v.get("path"))
            .and_then(Item::as_str)
            .ok_or_else(missing)?;
        let path = output
            .project
            .root
            .join(backlot_core::RelPath::parse(relative)?.as_str());
        let text = fs_err::read_to_string(&path)?;
        let replaced = replace_version(&text, &version.to_string())
            .ok_or_else(|| Error::from(WorkspaceError::NoVersionSource { path: path.clone() }))?;
        Ok((path, replaced))
    }
}

/// A `pyproject.toml` being edited.
struct ProjectFile {
    path: PathBuf,
    document: DocumentMut,
}

impl ProjectFile {
    fn open(output: &Output) -> Result<Self> {
        let path = output.project.root.join("pyproject.toml");
        let text = fs_err::read_to_string(&path)?;
        let document = text
            .parse::<DocumentMut>()
            .map_err(|e| WorkspaceError::BadConfig {
                path: path.clone(),
                reason: e.to_string(),
            })?;
        Ok(Self { path, document })
    }

    /// The list of requirements of a group, made if absent.
    fn requirements(&mut self, group: Option<&GroupName>) -> &mut Array {
        let project = self
            .document
            .entry("project")
            .or_insert(Item::Table(Table::new()));
        let (parent, key) = match group {
            None => (project, "dependencies".to_owned()),
            Some(group) => {
                let groups = &mut project["optional-dependencies"];
                if !groups.is_table_like() {
                    *groups = Item::Table(Table::new());
                }
                // A group may be spelled differently in the file.
                let spelled = groups.as_table_like().and_then(|t| {
                    t.iter()
                        .map(|(k, _)| k.to_owned())
                        .find(|k| GroupName::parse(k).as_ref() == Ok(group))
                });
                (groups, spelled.unwrap_or_else(|| group.to_string()))
            }
        };
        let item = &mut parent[key.as_str()];
        if !item.is_array() {
            *item = Item::Value(Value::Array(Array::new()));
        }
        item.as_array_mut().expect("it was just made an array")
    }

    /// Write `asset.toml` after it, whose inputs are the dependencies.
    fn save(&mut self, output: &Output) -> Result<()> {
        let inputs: Vec<String> = strings(self.requirements(None));
        let groups = self.document["project"]
            .get_mut("optional-dependencies")
            .and_then(Item::as_table_like_mut);
        if let Some(groups) = groups {
            let empty: Vec<String> = groups
                .iter()
                .filter(|(_, item)| item.as_array().is_some_and(Array::is_empty))
                .map(|(key, _)| key.to_owned())
                .collect();
            for key in empty {
                groups.remove(&key);
            }
        }
        file::write_if_changed(&self.path, self.document.to_string().as_bytes())?;
        for folder in output.module_folders() {
            let path = folder.join("asset.toml");
            if path.is_file() {
                let mut asset = AssetToml::load(&path)?;
                asset.inputs.clone_from(&inputs);
                file::write_if_changed(&path, asset.to_text().as_bytes())?;
            }
        }
        Ok(())
    }
}

fn strings(array: &Array) -> Vec<String> {
    array
        .iter()
        .filter_map(|v| v.as_str().map(ToOwned::to_owned))
        .collect()
}

fn position_of(array: &Array, package: &PackageName) -> Option<usize> {
    array.iter().position(|v| {
        v.as_str()
            .and_then(|text| Requirement::parse(text).ok())
            .is_some_and(|r| r.name() == package)
    })
}

/// Put a requirement in a list, replacing one of the same package. Returns the replaced one.
fn put(array: &mut Array, requirement: &Requirement) -> Option<String> {
    match position_of(array, requirement.name()) {
        Some(position) => {
            let old = array.replace(position, requirement.text());
            old.as_str().map(ToOwned::to_owned)
        }
        None => {
            array.push(requirement.text());
            None
        }
    }
}

/// Replace the value of the first `__version__ = "..."` or `VERSION = "..."` line.
pub(crate) fn replace_version(text: &str, version: &str) -> Option<String> {
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let name = line.split(['=', ':']).next().unwrap_or_default().trim();
        if matches!(name, "__version__" | "VERSION" | "version")
            && let Some(equals) = line.find('=')
            && let Some(open) = line[equals..].find(['"', '\'']).map(|i| equals + i)
            && let Some(close) = line[open + 1..].find(&line[open..=open]).map(|i| open + 1 + i)
        {
            let (start, end) = (offset + open + 1, offset + close);
            return Some(format!("{}{version}{}", &text[..start], &text[end..]));
        }
        offset += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::replace_version;

    #[test]
    fn only_the_value_of_the_version_line_changes() {
        let text = "# version 1\n__version__ = '0.1.0'  # keep\nx = 1\n";
        assert_eq!(
            replace_version(text, "0.2.0").as_deref(),
            Some("# version 1\n__version__ = '0.2.0'  # keep\nx = 1\n")
        );
        assert_eq!(
            replace_version("__version__ = \"0.1.0\"", "1.0").as_deref(),
            Some("__version__ = \"1.0\"")
        );
        assert_eq!(replace_version("x = 1\n", "1.0"), None);
    }
}
