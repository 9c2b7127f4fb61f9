//! The texts of a project under another name: `pyproject.toml`, `asset.toml`, the first lines of what `new` wrote.
//!
//! Invariant: only what says the name of the asset changes; comments and order stay. Deliberately absent: code that imports the module, which people change.

use backlot_pep::{AssetName, PackageName, Requirement};
use backlot_wheel::INFO_GROUP;
use toml_edit::{DocumentMut, Item, Value};

use crate::project::inputs::InputChange;

/// The keyword that says the name of an asset.
const NAME_KEYWORD: &str = "tgzr.pipeline.asset_name:";

/// The old and the new name of an asset.
#[derive(Clone, Debug)]
pub(crate) struct Renaming {
    pub(crate) old_name: String,
    pub(crate) old_package: PackageName,
    /// Dotted, as Python has it.
    pub(crate) old_module: String,
    pub(crate) new: AssetName,
}

impl Renaming {
    /// `pyproject.toml` of the asset.
    pub(crate) fn project(&self, text: &str) -> Result<String, toml_edit::TomlError> {
        let mut document: DocumentMut = text.parse()?;
        let new_module = self.new.module();
        if let Some(project) = document.get_mut("project").and_then(Item::as_table_like_mut) {
            edit(project.get_mut("name"), |_| Some(new_module.to_owned()));
            edit(project.get_mut("description"), |text| self.summary(text));
            let keywords = project.get_mut("keywords").and_then(Item::as_array_mut);
            for keyword in keywords.into_iter().flat_map(toml_edit::Array::iter_mut) {
                edit_value(keyword, |text| {
                    let name = text.strip_prefix(NAME_KEYWORD)?;
                    (name == self.old_name).then(|| format!("{NAME_KEYWORD}{}", self.new))
                });
            }
            for group in ["scripts", "gui-scripts"] {
                self.entry_points(project.get_mut(group));
            }
            let groups = project.get_mut("entry-points").and_then(Item::as_table_like_mut);
            for (group, entries) in groups.into_iter().flat_map(|groups| groups.iter_mut()) {
                if group.get() == INFO_GROUP {
                    let entries = entries.as_table_like_mut();
                    edit(entries.and_then(|entries| entries.get_mut("asset_name")), |_| {
                        Some(self.new.to_string())
                    });
                } else {
                    self.entry_points(Some(entries));
                }
            }
        }
        self.requirements(&mut document);
        let hatch = document.get_mut("tool").and_then(|tool| tool.get_mut("hatch"));
        if let Some(hatch) = hatch {
            edit(
                hatch
                    .get_mut("version")
                    .and_then(|version| version.get_mut("path")),
                |path| self.path(path),
            );
            let mut packages = Some(hatch);
            for key in ["build", "targets", "wheel", "packages"] {
                packages = packages.and_then(|item| item.get_mut(key));
            }
            let packages = packages.and_then(Item::as_array_mut);
            for package in packages.into_iter().flat_map(toml_edit::Array::iter_mut) {
                edit_value(package, |path| self.path(path));
            }
        }
        Ok(document.to_string())
    }

    /// `asset.toml` of the asset.
    pub(crate) fn asset(&self, text: &str) -> Result<String, toml_edit::TomlError> {
        let mut document: DocumentMut = text.parse()?;
        edit(document.get_mut("asset_name"), |_| Some(self.new.to_string()));
        let inputs = document
            .get_mut("package")
            .and_then(|package| package.get_mut("inputs"));
        self.list(inputs, &mut |_| {});
        Ok(document.to_string())
    }

    /// `pyproject.toml` of another asset, if it requires this one, with what changed; the group of each is beside it.
    pub(crate) fn project_of_other(
        &self,
        text: &str,
    ) -> Result<Option<(String, Vec<RenamedInput>)>, toml_edit::TomlError> {
        let mut document: DocumentMut = text.parse()?;
        let changes = self.requirements(&mut document);
        Ok((!changes.is_empty()).then(|| (document.to_string(), changes)))
    }

    /// `asset.toml` of another asset.
    pub(crate) fn asset_of_other(&self, text: &str) -> Result<String, toml_edit::TomlError> {
        let mut document: DocumentMut = text.parse()?;
        let inputs = document
            .get_mut("package")
            .and_then(|package| package.get_mut("inputs"));
        self.list(inputs, &mut |_| {});
        Ok(document.to_string())
    }

    /// A requirement of this asset under the new name; `None` if it is of another one, or names a file.
    pub(crate) fn requirement(&self, text: &str) -> Option<Requirement> {
        let requirement = Requirement::parse(text).ok()?;
        if *requirement.name() != self.old_package || requirement.url().is_some() {
            return None;
        }
        let rest = requirement.text().strip_prefix(requirement.written_name())?;
        let name = self.new.as_str().replace(' ', "-");
        Requirement::parse(&format!("{name}{rest}")).ok()
    }

    /// The first line of what `new` wrote into a README or the module.
    pub(crate) fn first_line(&self, text: &str) -> Option<String> {
        for (before, after) in [("# ", "\n"), ("\"\"\"", ": an asset.")] {
            let rest = text
                .strip_prefix(before)
                .and_then(|rest| rest.strip_prefix(&self.old_name));
            if let Some(rest) = rest.filter(|rest| rest.starts_with(after)) {
                return Some(format!("{before}{}{rest}", self.new));
            }
        }
        None
    }

    /// Whether a text names the asset or its module as a word of its own.
    pub(crate) fn is_named_in(&self, text: &str) -> bool {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        // The new name may have the old one in it.
        let text = text.replace(self.new.as_str(), "").replace(self.new.module(), "");
        [self.old_name.as_str(), &self.old_module].iter().any(|name| {
            text.match_indices(name).any(|(at, found)| {
                !text[..at].ends_with(is_part) && !text[at + found.len()..].starts_with(is_part)
            })
        })
    }

    /// The summary that `new` writes begins with the name.
    fn summary(&self, text: &str) -> Option<String> {
        let rest = text.strip_prefix(&self.old_name)?;
        rest.starts_with(", a").then(|| format!("{}{rest}", self.new))
    }

    fn entry_points(&self, group: Option<&mut Item>) {
        let group = group.and_then(Item::as_table_like_mut);
        for (_, entry) in group.into_iter().flat_map(|group| group.iter_mut()) {
            edit(Some(entry), |text| {
                let rest = text.strip_prefix(&self.old_module)?;
                let ends = rest.is_empty() || rest.starts_with([':', '.', ' ']);
                ends.then(|| format!("{}{rest}", self.new.module()))
            });
        }
    }

    /// A path in the project that is or begins with that of the module, below `src` or not.
    fn path(&self, path: &str) -> Option<String> {
        let (old, new) = (
            self.old_module.replace('.', "/"),
            self.new.module().replace('.', "/"),
        );
        for base in ["src/", ""] {
            let rest = path.strip_prefix(base).and_then(|rest| rest.strip_prefix(&old));
            if let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with(['/', '.'])) {
                return Some(format!("{base}{new}{rest}"));
            }
        }
        None
    }

    /// All lists of requirements of a `pyproject.toml`.
    fn requirements(&self, document: &mut DocumentMut) -> Vec<RenamedInput> {
        let mut changes = Vec::new();
        let Some(project) = document.get_mut("project").and_then(Item::as_table_like_mut) else {
            return changes;
        };
        self.list(project.get_mut("dependencies"), &mut |change| {
            changes.push(RenamedInput { group: None, change });
        });
        let groups = project
            .get_mut("optional-dependencies")
            .and_then(Item::as_table_like_mut);
        for (group, list) in groups.into_iter().flat_map(|groups| groups.iter_mut()) {
            self.list(Some(list), &mut |change| {
                changes.push(RenamedInput {
                    group: Some(group.get().to_owned()),
                    change,
                });
            });
        }
        changes
    }

    fn list(&self, list: Option<&mut Item>, changed: &mut dyn FnMut(InputChange)) {
        let list = list.and_then(Item::as_array_mut);
        for item in list.into_iter().flat_map(toml_edit::Array::iter_mut) {
            edit_value(item, |text| {
                let requirement = self.requirement(text)?;
                changed(InputChange {
                    requirement: requirement.to_string(),
                    kind: requirement.kind(),
                    replaced: Some(text.to_owned()),
                });
                Some(requirement.text().to_owned())
            });
        }
    }
}

/// A requirement that was renamed, and the group that it is in.
#[derive(Debug)]
pub(crate) struct RenamedInput {
    pub(crate) group: Option<String>,
    pub(crate) change: InputChange,
}

/// Change a text, if it is one.
fn edit(item: Option<&mut Item>, change: impl FnOnce(&str) -> Option<String>) {
    if let Some(value) = item.and_then(Item::as_value_mut) {
        edit_value(value, change);
    }
}

/// The same of a value; spaces and comments around it stay.
fn edit_value(value: &mut Value, change: impl FnOnce(&str) -> Option<String>) {
    if let Some(text) = value.as_str().and_then(change) {
        let decor = value.decor().clone();
        *value = Value::from(text);
        *value.decor_mut() = decor;
    }
}

#[cfg(test)]
mod tests {
    use backlot_pep::{AssetName, PackageName};

    use super::Renaming;

    fn table_to_desk() -> Renaming {
        Renaming {
            old_name: "Table".to_owned(),
            old_package: PackageName::parse("table").expect("valid"),
            old_module: "table".to_owned(),
            new: AssetName::parse("Work Desk").expect("valid"),
        }
    }

    #[test]
    fn a_project_says_the_new_name_and_keeps_all_else() {
        let text = r#"[project]
name = "table" # the package
description = "Table, a Model asset"
dependencies = ["tables>=1", "Table[build]"]
keywords = [
    "tgzr.pipeline.asset_name:Table", # found by it
    "tgzr.pipeline.asset_name:Tables",
]
[project.optional-dependencies]
build = ["lamp"]
[project.scripts]
table = "table.cli:main"
tables = "tables.cli:main"
[project.entry-points."backlot.hooks"]
setup = "table:setup"
[project.entry-points."tgzr.pipeline.asset_info_trick"]
asset_name = "Table"
asset_type = "Model"
[tool.hatch.version]
path = "src/table/__version__.py"
[tool.hatch.build.targets.wheel]
packages = ["src/table", "src/tables"]
"#;
        let expected = text
            .replace("name = \"table\"", "name = \"work_desk\"")
            .replace("\"Table, a", "\"Work Desk, a")
            .replace("\"Table[build]\"", "\"Work-Desk[build]\"")
            .replace("asset_name:Table\"", "asset_name:Work Desk\"")
            .replace("\"table.cli", "\"work_desk.cli")
            .replace("\"table:setup", "\"work_desk:setup")
            .replace("asset_name = \"Table\"", "asset_name = \"Work Desk\"")
            .replace("src/table/", "src/work_desk/")
            .replace("\"src/table\"", "\"src/work_desk\"");
        assert_eq!(table_to_desk().project(text).expect("read"), expected);
    }

    #[test]
    fn requirements_of_others_keep_groups_ranges_and_markers_and_files_by_url_stay() {
        let renaming = table_to_desk();
        let new = |text: &str| renaming.requirement(text).map(|new| new.text().to_owned());
        for (text, expected) in [
            ("Table", "Work-Desk"),
            ("table>=1.2,<2", "Work-Desk>=1.2,<2"),
            (
                "TABLE[build] == 1.0 ; python_version > '3'",
                "Work-Desk[build] == 1.0 ; python_version > '3'",
            ),
        ] {
            assert_eq!(new(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "tables",
            "table-top",
            "table @ https://host/table-1.0-py3-none-any.whl",
            "!",
        ] {
            assert_eq!(new(text), None, "{text}");
        }
        let other = "[project]\ndependencies = [\"lamp\", \"Table>=1\"]\n[project.optional-dependencies]\nbuild = [\"table\"]\n";
        let (text, changes) = renaming.project_of_other(other).expect("read").expect("changed");
        assert_eq!(
            text,
            other
                .replace("Table>=1", "Work-Desk>=1")
                .replace("\"table\"", "\"Work-Desk\"")
        );
        assert_eq!(changes[1].group.as_deref(), Some("build"));
        assert!(renaming.project_of_other("[project]\n").expect("read").is_none());
    }

    #[test]
    fn first_lines_and_words_are_told_from_others() {
        let renaming = table_to_desk();
        for (text, expected) in [
            ("# Table\n\nA table.", Some("# Work Desk\n\nA table.")),
            (
                "\"\"\"Table: an asset. Its",
                Some("\"\"\"Work Desk: an asset. Its"),
            ),
            ("# Tables\n", None),
            ("Table\n", None),
        ] {
            assert_eq!(renaming.first_line(text).as_deref(), expected);
        }
        for (text, named) in [
            ("import table", true),
            ("from table.rig import x", true),
            ("the Table.", true),
            ("tables", false),
            ("my_table", false),
            ("", false),
        ] {
            assert_eq!(renaming.is_named_in(text), named, "{text}");
        }
    }
}
