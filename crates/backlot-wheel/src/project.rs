//! Asset projects: `pyproject.toml` by PEP 621, with hatchling's conventions for packaged files and where the version
//! comes from.
//!
//! Invariant: a loaded project has a name, a version and something to package. Deliberately absent: running any code of
//! the project, build backends and hooks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backlot_core::{RelPath, file};
use backlot_pep::{GroupName, Requirement, Specifiers, Version};
use serde::Deserialize;

use crate::asset::AssetToml;
use crate::entry_points::EntryPoints;
use crate::error::{Error, Result};
use crate::metadata::Metadata;

/// A folder or file that is packaged, and where it goes in the wheel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleRoot {
    /// The folder or file, absolute if the project's root is.
    pub source: PathBuf,
    /// Its place in the wheel.
    pub target: RelPath,
}

/// A loaded project.
#[derive(Clone, Debug)]
pub struct Project {
    /// Its folder.
    pub root: PathBuf,
    /// The metadata of the wheel.
    pub metadata: Metadata,
    /// Entry points, with `console_scripts` and `gui_scripts`.
    pub entry_points: EntryPoints,
    /// The asset, if it is one.
    pub asset: Option<AssetToml>,
    /// The packaged files.
    pub module_roots: Vec<ModuleRoot>,
    /// The requirements, in the order written.
    pub requires: Vec<Requirement>,
    /// The requirements of groups.
    pub groups: BTreeMap<GroupName, Vec<Requirement>>,
}

#[derive(Deserialize)]
struct File {
    project: Option<ProjectTable>,
    #[serde(default)]
    tool: Tool,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ProjectTable {
    name: Option<String>,
    version: Option<String>,
    description: Option<String>,
    readme: Option<Readme>,
    requires_python: Option<String>,
    license: Option<toml::Value>,
    #[serde(default)]
    authors: Vec<Person>,
    #[serde(default)]
    maintainers: Vec<Person>,
    #[serde(default)]
    keywords: Vec<String>,
    #[serde(default)]
    classifiers: Vec<String>,
    #[serde(default)]
    urls: BTreeMap<String, String>,
    #[serde(default)]
    dependencies: Vec<String>,
    #[serde(default)]
    optional_dependencies: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    scripts: BTreeMap<String, String>,
    #[serde(default)]
    gui_scripts: BTreeMap<String, String>,
    #[serde(default)]
    entry_points: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Readme {
    Path(String),
    Table {
        file: Option<String>,
        text: Option<String>,
        #[serde(rename = "content-type")]
        content_type: Option<String>,
    },
}

#[derive(Deserialize)]
struct Person {
    name: Option<String>,
    email: Option<String>,
}

#[derive(Default, Deserialize)]
struct Tool {
    #[serde(default)]
    hatch: Hatch,
}

#[derive(Default, Deserialize)]
struct Hatch {
    #[serde(default)]
    version: HatchVersion,
    #[serde(default)]
    build: HatchBuild,
}

#[derive(Default, Deserialize)]
struct HatchVersion {
    path: Option<String>,
}

#[derive(Default, Deserialize)]
struct HatchBuild {
    #[serde(default)]
    targets: HatchTargets,
}

#[derive(Default, Deserialize)]
struct HatchTargets {
    #[serde(default)]
    wheel: HatchWheel,
}

#[derive(Default, Deserialize)]
struct HatchWheel {
    #[serde(default)]
    packages: Vec<String>,
}

impl Project {
    /// The folders that its modules are imported from, sorted.
    pub fn import_folders(&self) -> Vec<PathBuf> {
        let folder = |root: &ModuleRoot| {
            let above = root.target.parts().count();
            root.source.ancestors().nth(above).map(Path::to_path_buf)
        };
        let mut folders: Vec<PathBuf> = self.module_roots.iter().filter_map(folder).collect();
        folders.sort();
        folders.dedup();
        folders
    }

    /// Load the project of a folder.
    pub fn load(root: &Path) -> Result<Self> {
        Self::load_as(root, None)
    }

    /// The same, of a version that is known from elsewhere.
    pub(crate) fn load_as(root: &Path, version: Option<&Version>) -> Result<Self> {
        let path = root.join("pyproject.toml");
        let bad = |reason: String| Error::BadProject {
            path: path.clone(),
            reason,
        };
        let text = String::from_utf8(file::read(&path)?).map_err(|_| bad("not valid UTF-8".to_owned()))?;
        let file: File = toml::from_str(&text).map_err(|e| bad(e.to_string().trim().to_owned()))?;
        let table = file
            .project
            .ok_or_else(|| bad("it has no `[project]` table".to_owned()))?;
        let name = table
            .name
            .clone()
            .ok_or_else(|| bad("`project.name` is missing".to_owned()))?;
        let written = match (version, &table.version) {
            (Some(known), _) => known.to_string(),
            (None, Some(version)) => version.clone(),
            (None, None) => dynamic_version(root, file.tool.hatch.version.path.as_deref(), &bad)?,
        };
        let version = Version::parse(&written).map_err(|e| bad(format!("`project.version`: {e}")))?;
        let mut metadata = Metadata::new(&name, version).map_err(|e| bad(e.to_string()))?;
        let module_roots = module_roots(root, &name, &file.tool.hatch.build.targets.wheel.packages, &bad)?;
        let requires = requirements(&table.dependencies, "project.dependencies", &bad)?;
        let groups = groups(&table, &bad)?;
        fill(&mut metadata, &table, root, &bad)?;
        metadata.requires_dist = all_requirements(&requires, &groups);
        metadata.provides_extra = groups.keys().cloned().collect();
        let asset = module_roots
            .iter()
            .map(|m| m.source.join("asset.toml"))
            .find(|p| p.is_file());
        let asset = asset.map(|path| AssetToml::load(&path)).transpose()?;
        Ok(Self {
            root: root.to_path_buf(),
            metadata,
            entry_points: entry_points(table),
            asset,
            module_roots,
            requires,
            groups,
        })
    }
}

/// The requirements that a `pyproject.toml` declares, those of groups with their marker, and the groups.
pub(crate) fn declared(path: &Path, text: &str) -> Result<(Vec<Requirement>, Vec<GroupName>)> {
    let bad = |reason: String| Error::BadProject {
        path: path.to_path_buf(),
        reason,
    };
    let file: File = toml::from_str(text).map_err(|e| bad(e.to_string().trim().to_owned()))?;
    let Some(table) = file.project else {
        return Ok((Vec::new(), Vec::new()));
    };
    let requires = requirements(&table.dependencies, "project.dependencies", &bad)?;
    let groups = groups(&table, &bad)?;
    Ok((
        all_requirements(&requires, &groups),
        groups.keys().cloned().collect(),
    ))
}

/// The entry points that a `pyproject.toml` declares; `None` if it cannot be read.
pub(crate) fn declared_entry_points(text: &str) -> Option<EntryPoints> {
    let file: File = toml::from_str(text).ok()?;
    file.project.map(entry_points)
}

fn groups(
    table: &ProjectTable,
    bad: &dyn Fn(String) -> Error,
) -> Result<BTreeMap<GroupName, Vec<Requirement>>> {
    let mut groups = BTreeMap::new();
    for (group, list) in &table.optional_dependencies {
        let name = GroupName::parse(group).map_err(|e| bad(e.to_string()))?;
        let key = format!("project.optional-dependencies.{group}");
        groups.insert(name, requirements(list, &key, bad)?);
    }
    Ok(groups)
}

fn all_requirements(
    requires: &[Requirement],
    groups: &BTreeMap<GroupName, Vec<Requirement>>,
) -> Vec<Requirement> {
    let mut all = requires.to_vec();
    for (group, list) in groups {
        all.extend(list.iter().map(|r| r.in_group(group)));
    }
    all
}

fn entry_points(table: ProjectTable) -> EntryPoints {
    let mut points = EntryPoints(table.entry_points);
    for (group, scripts) in [
        ("console_scripts", table.scripts),
        ("gui_scripts", table.gui_scripts),
    ] {
        if !scripts.is_empty() {
            points.0.entry(group.to_owned()).or_default().extend(scripts);
        }
    }
    points
}

fn requirements(list: &[String], key: &str, bad: &dyn Fn(String) -> Error) -> Result<Vec<Requirement>> {
    list.iter()
        .map(|text| Requirement::parse(text).map_err(|e| bad(format!("`{key}`: {e}"))))
        .collect()
}

fn fill(
    metadata: &mut Metadata,
    table: &ProjectTable,
    root: &Path,
    bad: &dyn Fn(String) -> Error,
) -> Result<()> {
    metadata.summary.clone_from(&table.description);
    metadata.keywords.clone_from(&table.keywords);
    metadata.keywords.sort();
    metadata.classifiers.clone_from(&table.classifiers);
    metadata.project_urls = table
        .urls
        .iter()
        .map(|(label, url)| format!("{label}, {url}"))
        .collect();
    if let Some(range) = &table.requires_python {
        let range = Specifiers::parse(range).map_err(|e| bad(format!("`project.requires-python`: {e}")))?;
        metadata.requires_python = (!range.is_any()).then_some(range);
    }
    // The old table form names a file or a text; only the expression has a header that every reader takes.
    metadata.license = table
        .license
        .as_ref()
        .and_then(toml::Value::as_str)
        .map(ToOwned::to_owned);
    for (people, name_header, email_header) in [
        (&table.authors, "author", "author-email"),
        (&table.maintainers, "maintainer", "maintainer-email"),
    ] {
        for person in people {
            match (&person.name, &person.email) {
                (name, Some(email)) => {
                    let text = name
                        .as_ref()
                        .map_or_else(|| email.clone(), |name| format!("{name} <{email}>"));
                    metadata.people.push((email_header.to_owned(), text));
                }
                (Some(name), None) => metadata.people.push((name_header.to_owned(), name.clone())),
                (None, None) => {}
            }
        }
    }
    read_readme(metadata, table.readme.as_ref(), root, bad)
}

fn read_readme(
    metadata: &mut Metadata,
    readme: Option<&Readme>,
    root: &Path,
    bad: &dyn Fn(String) -> Error,
) -> Result<()> {
    let (file, text, kind) = match readme {
        None => return Ok(()),
        Some(Readme::Path(path)) => (Some(path), None, None),
        Some(Readme::Table {
            file,
            text,
            content_type,
        }) => (file.as_ref(), text.clone(), content_type.clone()),
    };
    let mut guessed = "text/plain";
    let text = match (text, file) {
        (Some(text), _) => text,
        (None, Some(file)) => {
            let path = RelPath::parse(file).map_err(|e| bad(format!("`project.readme`: {e}")))?;
            guessed = match file.rsplit('.').next() {
                Some("md") => "text/markdown",
                Some("rst") => "text/x-rst",
                _ => "text/plain",
            };
            file::read_text(&path.to_path(root))?
        }
        (None, None) => return Ok(()),
    };
    if !text.trim().is_empty() {
        metadata.description = Some(text);
        metadata.description_content_type = Some(kind.unwrap_or_else(|| guessed.to_owned()));
    }
    Ok(())
}

/// The version in the file configured for hatch: `__version__ = "..."` or `VERSION = "..."`.
fn dynamic_version(root: &Path, path: Option<&str>, bad: &dyn Fn(String) -> Error) -> Result<String> {
    let path =
        path.ok_or_else(|| bad("`project.version` is missing and `tool.hatch.version.path` too".to_owned()))?;
    let relative = RelPath::parse(path).map_err(|e| bad(format!("`tool.hatch.version.path`: {e}")))?;
    let file = relative.to_path(root);
    let text = file::read_text(&file)?;
    let found = text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        let name = name.split(':').next().unwrap_or_default().trim();
        let value = value.trim();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let version = value[1..].split(quote).next()?;
        matches!(name, "__version__" | "VERSION" | "version").then(|| version.to_owned())
    });
    found.ok_or_else(|| bad(format!("`{path}` has no line `__version__ = \"...\"`")))
}

/// The files that hatchling would package: the configured folders, else `src/<module>`, `<module>`, or the single file.
fn module_roots(
    root: &Path,
    name: &str,
    told: &[String],
    bad: &dyn Fn(String) -> Error,
) -> Result<Vec<ModuleRoot>> {
    let path = |text: &str| {
        RelPath::parse(text).map_err(|e| bad(format!("`tool.hatch.build.targets.wheel.packages`: {e}")))
    };
    if !told.is_empty() {
        return told
            .iter()
            .map(|package| {
                let source = path(package.trim_end_matches('/'))?;
                let target = path(source.file_name())?;
                Ok(ModuleRoot {
                    source: source.to_path(root),
                    target,
                })
            })
            .collect();
    }
    let module = name.replace('-', "_");
    let nested = module.replace('.', "/");
    let mut candidates = vec![nested.clone(), module.clone()];
    candidates.push(module.to_lowercase());
    candidates.dedup();
    for candidate in &candidates {
        for folder in ["src/", ""] {
            for suffix in ["", ".py"] {
                let source = root.join(format!("{folder}{candidate}{suffix}"));
                let fits = if suffix.is_empty() {
                    source.is_dir()
                } else {
                    source.is_file()
                };
                if fits {
                    return Ok(vec![ModuleRoot {
                        source,
                        target: path(&format!("{candidate}{suffix}"))?,
                    }]);
                }
            }
        }
    }
    Err(Error::NoModule {
        root: root.to_path_buf(),
        module,
    })
}

#[cfg(test)]
mod tests {
    use super::Project;
    use crate::error::Error;
    use fs_err as fs;

    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        }
        folder
    }

    #[test]
    fn the_original_engines_project_loads() {
        let folder = project(&[
            (
                "pyproject.toml",
                include_str!("../../../fixtures/tgzr/main_pack/pyproject.toml"),
            ),
            ("README.md", "# TGZR Asset: Main-Pack"),
            ("src/main_pack/__version__.py", "__version__ = \"0.2.0\""),
            (
                "src/main_pack/asset.toml",
                include_str!("../../../fixtures/tgzr/main_pack/asset.toml"),
            ),
        ]);
        let project = Project::load(folder.path()).expect("loads");
        assert_eq!(project.metadata.version.to_string(), "0.2.0");
        assert_eq!(project.requires.len(), 2);
        assert_eq!(project.asset.expect("an asset").asset_name, "Main-Pack");
        assert_eq!(
            project.entry_points.group("console_scripts").expect("there")["main_pack"],
            "main_pack:execute"
        );
    }

    #[test]
    fn faults_name_the_file_and_the_key() {
        for (text, expected) in [
            ("[project]\nversion = \"1\"\n", "`project.name` is missing"),
            ("[project]\nname = \"x\"\nversion = \"one\"\n", "project.version"),
            (
                "[project]\nname = \"x\"\nversion = \"1\"\ndependencies = [\"a>=1<2\"]\n",
                "project.dependencies",
            ),
            ("not toml", "TOML parse error"),
        ] {
            let folder = project(&[("pyproject.toml", text), ("x/__init__.py", "")]);
            let error = Project::load(folder.path()).expect_err(text).to_string();
            assert!(
                error.contains("pyproject.toml") && error.contains(expected),
                "{error}"
            );
        }
        let folder = project(&[("pyproject.toml", "[project]\nname = \"x\"\nversion = \"1\"\n")]);
        assert!(matches!(
            Project::load(folder.path()),
            Err(Error::NoModule { .. })
        ));
    }
}
