//! The files that hatchling would package, and the projects that cannot be built without running it or their own code.
//!
//! Invariant: a project that passes [`needs`] and [`module_roots`] becomes, by reading alone, a wheel with the files that
//! hatchling 1.33 makes of it. Each key that would change them and is not followed here is a reason to refuse, and so is
//! each key that is not known. Deliberately absent: patterns (`include`, `exclude`), other sources of files, hooks.

use std::path::{Path, PathBuf};

use backlot_core::RelPath;
use toml::{Table, Value};

use crate::project::ModuleRoot;

/// Folders and files that hatchling never packages, besides byte code.
const LEFT_OUT: [&str; 11] = [
    "__pycache__",
    ".venv",
    ".git",
    ".hg",
    ".hatch",
    ".tox",
    ".nox",
    ".ruff_cache",
    ".pytest_cache",
    ".mypy_cache",
    ".pixi",
];
/// Keys of `[tool.hatch.build]` and of its wheel target that do not change what is in a wheel. Version control and the
/// files it ignores were looked at when the source distribution was made.
const HARMLESS: [&str; 12] = [
    "core-metadata-version",
    "dependencies",
    "dev-mode-dirs",
    "dev-mode-exact",
    "directory",
    "ignore-vcs",
    "only-packages",
    "reproducible",
    "require-runtime-dependencies",
    "require-runtime-features",
    "skip-excluded-dirs",
    "strict-naming",
];
/// The most that is shown of a text of a project.
const MAX_TEXT: usize = 80;

/// Whether hatchling packages files and folders of this name.
pub(crate) fn packages(name: &str) -> bool {
    let byte_code = [".pyc", ".pyo", ".pyd"].iter().any(|end| name.ends_with(end));
    !LEFT_OUT.contains(&name) && name != ".DS_Store" && !byte_code
}

/// Why a project cannot be built without running code: its unsupported requirement. `None` if it can.
pub(crate) fn needs(pyproject: Option<&str>, has_hatch_toml: bool) -> Option<String> {
    let backend = |name: &str| Some(format!("it needs the build backend `{name}`"));
    let Some(text) = pyproject else {
        return backend("setuptools");
    };
    let table: Table = match toml::from_str(text) {
        Ok(table) => table,
        Err(error) => return Some(format!("its pyproject.toml cannot be read: {}", error.message())),
    };
    let system = at(&table, &["build-system"]);
    match system
        .and_then(|s| s.get("build-backend"))
        .map(|b| b.as_str().unwrap_or("?"))
    {
        Some("hatchling.build") => {}
        Some(other) => return backend(&tame(other)),
        None => return backend("setuptools"),
    }
    if system.is_some_and(|s| s.contains_key("backend-path")) {
        return Some("it uses an in-tree build backend".to_owned());
    }
    if has_hatch_toml {
        return Some("it is configured in hatch.toml, which is not supported".to_owned());
    }
    needs_of_project(&table).or_else(|| needs_of_build(&table))
}

/// Metadata that would have to be computed.
fn needs_of_project(table: &Table) -> Option<String> {
    let dynamic = at(table, &["project"])
        .and_then(|p| p.get("dynamic"))
        .and_then(Value::as_array);
    // The version of a source distribution is in its PKG-INFO.
    let computed = dynamic
        .into_iter()
        .flatten()
        .map(|field| field.as_str().unwrap_or("?"))
        .find(|field| *field != "version");
    if let Some(field) = computed {
        return Some(format!("its `{}` is dynamic", tame(field)));
    }
    let hooks = at(table, &["tool", "hatch", "metadata", "hooks"])?;
    let hook = hooks.keys().next()?;
    Some(format!("it needs the metadata hook `{}`", tame(hook)))
}

/// Files that would have to be made or chosen by rules of hatchling that are not followed here.
fn needs_of_build(table: &Table) -> Option<String> {
    let build = at(table, &["tool", "hatch", "build"])?;
    let wheel = at(build, &["targets", "wheel"]);
    let tables = [
        ("tool.hatch.build", Some(build)),
        ("tool.hatch.build.targets.wheel", wheel),
    ];
    for (name, table) in tables {
        for (key, value) in table.into_iter().flatten() {
            let followed = match key.as_str() {
                "targets" => name == "tool.hatch.build",
                "packages" => name != "tool.hatch.build",
                "hooks" => match value.as_table().map(|hooks| hooks.keys().next()) {
                    Some(None) => true,
                    Some(Some(hook)) => return Some(format!("it needs the build hook `{}`", tame(hook))),
                    None => false,
                },
                key => HARMLESS.contains(&key),
            };
            if !followed {
                return Some(format!("`{name}.{}` is not supported", tame(key)));
            }
        }
    }
    None
}

/// The files of an unpacked project that hatchling packages: the wheel target's `packages`, else those found by the
/// project's name. `None` where it would find nothing.
pub(crate) fn module_roots(
    root: &Path,
    pyproject: &str,
    name: &str,
    told: Vec<ModuleRoot>,
) -> Option<Vec<ModuleRoot>> {
    let table: Table = toml::from_str(pyproject).ok()?;
    let packages =
        at(&table, &["tool", "hatch", "build", "targets", "wheel"]).and_then(|w| w.get("packages"));
    if packages.and_then(Value::as_array).is_some_and(|p| !p.is_empty()) {
        return Some(told);
    }
    let package = backlot_pep::PackageName::parse(name).ok()?;
    [name, package.as_str()]
        .into_iter()
        .find_map(|name| by_name(root, &file_name_component(name)))
        .map(|found| vec![found])
}

fn by_name(root: &Path, name: &str) -> Option<ModuleRoot> {
    let module = |source: PathBuf| {
        let target = RelPath::parse(source.file_name()?.to_str()?).ok()?;
        Some(ModuleRoot { source, target })
    };
    for folder in [root.join(name), root.join("src").join(name)] {
        if folder.join("__init__.py").is_file() {
            return module(folder);
        }
    }
    let file = root.join(format!("{name}.py"));
    if file.is_file() {
        return module(file);
    }
    let mut namespaces: Vec<PathBuf> = fs_err::read_dir(root)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join(name).join("__init__.py").is_file())
        .filter(|path| {
            let name = path.file_name().and_then(|n| n.to_str());
            name.is_some_and(|n| !n.starts_with('.'))
        })
        .collect();
    match namespaces.len() {
        1 => module(namespaces.remove(0)),
        _ => None,
    }
}

/// A name as hatchling writes it in file names: runs of all but letters, digits, `_` and `.` become `_`.
fn file_name_component(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_alphanumeric() || matches!(c, '_' | '.') {
            text.push(c);
        } else if !text.ends_with('_') {
            text.push('_');
        }
    }
    text
}

fn at<'t>(table: &'t Table, path: &[&str]) -> Option<&'t Table> {
    let mut table = table;
    for key in path {
        table = table.get(*key)?.as_table()?;
    }
    Some(table)
}

/// A text of a project, for a message.
fn tame(text: &str) -> String {
    text.escape_debug().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::needs;

    fn reason(rest: &str) -> Option<String> {
        let text = format!(
            "[build-system]\nrequires = [\"hatchling\"]\nbuild-backend = \"hatchling.build\"\n{rest}"
        );
        needs(Some(&text), false)
    }

    #[test]
    fn the_original_engines_project_needs_nothing() {
        let text = include_str!("../../../fixtures/tgzr/main_pack/pyproject.toml");
        assert_eq!(needs(Some(text), false), None);
    }

    #[test]
    fn what_would_run_code_or_change_the_files_is_named() {
        for (rest, expected) in [
            (
                "[project]\ndynamic = [\"version\", \"dependencies\"]",
                "`dependencies`",
            ),
            ("[tool.hatch.metadata.hooks.vcs]\n", "the metadata hook `vcs`"),
            ("[tool.hatch.build.hooks.custom]\n", "the build hook `custom`"),
            (
                "[tool.hatch.build.targets.wheel.hooks.mypyc]\n",
                "the build hook `mypyc`",
            ),
            (
                "[tool.hatch.build.targets.wheel.force-include]\n\"a\" = \"b\"\n",
                "targets.wheel.force-include",
            ),
            (
                "[tool.hatch.build]\nexclude = [\"x\"]\n",
                "`tool.hatch.build.exclude`",
            ),
            (
                "[tool.hatch.build.targets.wheel]\nsources = [\"src\"]\n",
                "targets.wheel.sources",
            ),
        ] {
            let found = reason(rest).unwrap_or_default();
            assert!(found.contains(expected), "{rest}: {found}");
        }
        for rest in [
            "[project]\ndynamic = [\"version\"]\n[tool.hatch.version]\nsource = \"vcs\"\n",
            "[tool.hatch.build.targets.sdist]\nexclude = [\"/tests\"]\n",
            "[tool.hatch.build.targets.wheel]\npackages = [\"src/x\"]\nstrict-naming = true\n",
            "[tool.hatch.envs.default]\ninstaller = \"uv\"\n",
        ] {
            assert_eq!(reason(rest), None, "{rest}");
        }
    }

    #[test]
    fn another_backend_is_named() {
        for (text, expected) in [
            (None, "`setuptools`"),
            (Some("[project]\nname = \"x\"\n"), "`setuptools`"),
            (Some("[build-system]\nbuild-backend = \"maturin\"\n"), "`maturin`"),
            (
                Some("[build-system]\nbuild-backend = \"flit_core.buildapi\"\n"),
                "`flit_core.buildapi`",
            ),
            (
                Some("[build-system]\nbuild-backend = \"hatchling.build\"\nbackend-path = [\".\"]\n"),
                "in-tree build backend",
            ),
            (Some("[[["), "cannot be read"),
        ] {
            let found = needs(text, false).unwrap_or_default();
            assert!(found.contains(expected), "{found}");
        }
        let ours = "[build-system]\nbuild-backend = \"hatchling.build\"\n";
        assert!(needs(Some(ours), true).is_some_and(|r| r.contains("hatch.toml")));
    }
}
