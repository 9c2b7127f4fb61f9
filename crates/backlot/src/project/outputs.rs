//! Outputs: the editable asset projects of a workspace; making one, finding one, reading all.
//!
//! Invariant: a project follows the original engine's conventions (asset.toml, classifiers, keywords, entry points), so
//! both recognise it; a project that only has a `pyproject.toml` is an output as well. A new project appears whole.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use backlot_core::presence::is_folder;
use backlot_core::{AssetName, PackageName, RelPath, Requirement, file, text};
use backlot_wheel::{AssetToml, InstalledDist, ModuleRoot, Project};
use fs_err as fs;
use serde::Serialize;

use crate::environment::lockfile::Lock;
use crate::error::{EditError, Error, Result, WorkspaceError};
use crate::workspace::problems::UnreadableOutput;
use crate::workspace::{Workspace, absolute};

/// How to make an asset.
#[derive(Clone, Debug)]
pub struct NewAsset {
    /// Its type, free text: `Model`, `Shot`, ...
    pub asset_type: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// One line about it.
    pub summary: Option<String>,
    /// Change nothing.
    pub dry_run: bool,
}

impl Default for NewAsset {
    fn default() -> Self {
        Self {
            asset_type: "Asset".to_owned(),
            tags: Vec::new(),
            summary: None,
            dry_run: false,
        }
    }
}

/// A new asset.
#[derive(Clone, Debug, Serialize)]
pub struct NewReport {
    /// Its name.
    pub name: String,
    /// The package it will be published as.
    pub package: PackageName,
    /// Its version.
    pub version: String,
    /// Its project folder, relative to the workspace.
    pub path: String,
    /// The folder for its files, relative to the workspace.
    pub files: String,
    /// The files made, relative to the project.
    pub created: Vec<String>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// An editable asset project.
#[derive(Clone, Debug)]
pub struct Output {
    /// The name people use.
    pub name: String,
    /// The project.
    pub project: Project,
}

impl Output {
    /// The package it is published as.
    pub fn package(&self) -> PackageName {
        self.project.metadata.package()
    }

    /// The folders of the project that are packaged, where tracked files lie.
    pub fn module_folders(&self) -> Vec<&Path> {
        self.project
            .module_roots
            .iter()
            .map(|r| r.source.as_path())
            .filter(|p| p.is_dir())
            .collect()
    }

    /// An error if a module is a link that leaves the project: it is not written through.
    pub(crate) fn check_inside(&self) -> Result<()> {
        let inside = fs::canonicalize(&self.project.root)?;
        for module in &self.project.module_roots {
            let Ok(target) = fs::canonicalize(&module.source) else {
                continue;
            };
            if !target.starts_with(&inside) {
                return Err(EditError::LinkedModule {
                    asset: self.name.clone(),
                    path: module.source.clone(),
                    target,
                }
                .into());
            }
        }
        Ok(())
    }

    pub(crate) fn load(root: &Path) -> Result<Self> {
        let project = Project::load(root)?;
        if project
            .metadata
            .requires_dist
            .iter()
            .any(Requirement::had_credentials)
        {
            return Err(WorkspaceError::SecretInConfig {
                path: root.join("pyproject.toml"),
                key: "project.dependencies".to_owned(),
            }
            .into());
        }
        let name = project
            .asset
            .as_ref()
            .map_or_else(|| project.metadata.name.clone(), |a| a.asset_name.clone());
        Ok(Self { name, project })
    }
}

impl Workspace {
    /// Make an asset project in `outputs/`, and show it in `inputs/` as an editable.
    pub fn new_asset(&self, name: &str, options: &NewAsset) -> Result<NewReport> {
        let name = AssetName::parse(name)?;
        if crate::project::standard_library::has(name.module()) {
            return Err(WorkspaceError::StandardLibrary {
                name: name.to_string(),
                module: name.module().to_owned(),
            }
            .into());
        }
        let root = self.outputs_dir().join(name.module());
        let exists = || WorkspaceError::OutputExists {
            name: name.to_string(),
            path: root.clone(),
        };
        let held = self.hold()?;
        if root.exists() {
            return Err(exists().into());
        }
        for part in name.module().split('.') {
            backlot_dvc::warn_of_new_name(&root, part, self.context());
        }
        let files = project_files(&name, options, &held);
        let report = NewReport {
            name: name.to_string(),
            package: name.package().clone(),
            version: "0.1.0".to_owned(),
            path: self.display_path(&root),
            files: self.display_path(&root.join("src").join(name.module().replace('.', "/"))),
            created: files.iter().map(|(path, _)| path.clone()).collect(),
            dry_run: options.dry_run,
        };
        if options.dry_run {
            return Ok(report);
        }
        let stage = file::temporary_in(&self.state_dir());
        for (path, content) in &files {
            let path = stage.join(path);
            fs::create_dir_all(path.parent().unwrap_or(&stage))?;
            fs::write(&path, content)?;
        }
        fs::create_dir_all(self.outputs_dir())?;
        file::rename(&stage, &root)?;
        held.sync_editable(&Output::load(&root)?)?;
        Ok(report)
    }

    /// All outputs that can be read, sorted by name; the others are warned about. A folder without `pyproject.toml` is not one.
    pub fn outputs(&self) -> Result<Vec<Output>> {
        let (outputs, unreadable) = self.read_outputs()?;
        self.warn_unreadable(&unreadable);
        Ok(outputs)
    }

    /// All outputs, sorted by name, and the folders that should be one and cannot be read. Of several folders that would be
    /// published as the same package none is known to be the one.
    pub(crate) fn read_outputs(&self) -> Result<(Vec<Output>, Vec<UnreadableOutput>)> {
        let (mut outputs, mut unreadable) = (Vec::<Output>::new(), Vec::new());
        let folder = self.outputs_dir();
        if !is_folder(&folder)? {
            return Ok((outputs, unreadable));
        }
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            match fs::symlink_metadata(path.join("pyproject.toml")) {
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(error) => unreadable.push(UnreadableOutput {
                    path,
                    error: error.into(),
                }),
                Ok(_) => match Output::load(&path) {
                    Ok(output) => outputs.push(output),
                    Err(error) => unreadable.push(UnreadableOutput { path, error }),
                },
            }
        }
        outputs.sort_by(|a, b| (&a.name, &a.project.root).cmp(&(&b.name, &b.project.root)));
        let mut folders: BTreeMap<PackageName, Vec<String>> = BTreeMap::new();
        for output in &outputs {
            let folders = folders.entry(output.package()).or_default();
            folders.push(self.display_path(&output.project.root));
        }
        folders.retain(|_, folders| folders.len() > 1);
        for output in outputs.extract_if(.., |output| folders.contains_key(&output.package())) {
            let package = output.package();
            unreadable.push(UnreadableOutput {
                error: EditError::SamePackage {
                    folders: folders[&package].clone(),
                    package,
                }
                .into(),
                path: output.project.root,
            });
        }
        unreadable.sort_by(|a, b| a.path.cmp(&b.path));
        Ok((outputs, unreadable))
    }

    pub(crate) fn warn_unreadable(&self, unreadable: &[UnreadableOutput]) {
        for one in unreadable {
            let path = self.display_path(&one.path);
            self.context()
                .warn("output::left_out", format!("`{path}` is left out: {}", one.error));
        }
    }

    /// The outputs as `inputs/` shows them: one that cannot be read now stays as it was shown last.
    pub(crate) fn shown_outputs(&self) -> Result<Vec<Output>> {
        let (mut outputs, unreadable) = self.read_outputs()?;
        if unreadable.is_empty() {
            return Ok(outputs);
        }
        self.warn_unreadable(&unreadable);
        let lock = Lock::load(self.root())?;
        let installed = match self.environment()? {
            Some(environment) => environment.installed()?,
            None => Vec::new(),
        };
        for one in unreadable {
            let path = Some(self.display_path(&one.path));
            let locked = lock.iter().flat_map(|lock| &lock.packages);
            let Some(locked) = locked.into_iter().find(|package| package.editable == path) else {
                continue;
            };
            if let Some(dist) = installed
                .iter()
                .find(|dist| dist.editable.is_some() && dist.metadata.package() == locked.name)
            {
                outputs.push(as_shown(&one.path, dist)?);
            }
        }
        outputs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(outputs)
    }

    /// The output of a name, as asset, module or package.
    pub fn output(&self, name: &str) -> Result<Output> {
        match self.output_in_own_folder(name)? {
            Some(output) => Ok(output),
            None => self.output_among_all(name),
        }
    }

    fn output_among_all(&self, name: &str) -> Result<Output> {
        let (outputs, unreadable) = self.read_outputs()?;
        let package = PackageName::of_asset(name).ok();
        let nearest = text::nearest(name, outputs.iter().map(|o| o.name.as_str())).map(ToOwned::to_owned);
        let found = outputs
            .into_iter()
            .find(|o| o.name == name || Some(o.package()) == package);
        if let Some(found) = found {
            return Ok(found);
        }
        // One that cannot be read goes by its folder, which is how its module is called.
        let module = AssetName::parse(name).ok().map(|name| name.module().to_owned());
        let is_meant = |one: &UnreadableOutput| {
            let folder = one.path.file_name().unwrap_or_default().to_string_lossy();
            folder == name
                || Some(folder.as_ref()) == module.as_deref()
                || matches!(&one.error, Error::Edit(EditError::SamePackage { package: same, .. }) if Some(same) == package.as_ref())
        };
        match unreadable.into_iter().find(is_meant) {
            Some(one) => Err(one.error),
            None => Err(WorkspaceError::UnknownOutput {
                name: name.to_owned(),
                nearest,
            }
            .into()),
        }
    }

    /// The output that is meant: the named one, the one `here` lies in, or the only one.
    pub fn output_or_here(&self, name: Option<&str>, here: &Path) -> Result<Output> {
        if let Some(name) = name {
            return self.output(name);
        }
        if let Some(output) = self.output_of(here)? {
            return Ok(output);
        }
        let (mut outputs, mut unreadable) = self.read_outputs()?;
        match (outputs.len(), unreadable.len()) {
            (1, 0) => Ok(outputs.remove(0)),
            (0, 1) => Err(unreadable.remove(0).error),
            (readable, others) => Err(WorkspaceError::AmbiguousOutput {
                count: readable + others,
            }
            .into()),
        }
    }

    /// The output a path lies in.
    pub fn output_of(&self, path: &Path) -> Result<Option<Output>> {
        let path = absolute(path)?;
        let folder = self.outputs_dir();
        let name = path
            .strip_prefix(&folder)
            .ok()
            .and_then(|inside| inside.iter().next());
        // Only this one is read: the cost does not grow with the others.
        match name.map(|name| folder.join(name)) {
            Some(root) if fs::symlink_metadata(root.join("pyproject.toml")).is_ok() => {
                Output::load(&root).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// An output as its editable in the environment shows it.
fn as_shown(root: &Path, dist: &InstalledDist) -> Result<Output> {
    let mut module_roots = Vec::new();
    let source = root.join("src");
    // What cannot be read is in the environment as it was shown there.
    if let Ok(entries) = fs::read_dir(&source) {
        for entry in entries {
            let entry = entry?;
            if let Ok(target) = RelPath::from_path(Path::new(&entry.file_name())) {
                module_roots.push(ModuleRoot {
                    source: entry.path(),
                    target,
                });
            }
        }
    }
    let name = dist
        .asset
        .as_ref()
        .map_or_else(|| dist.metadata.name.clone(), |asset| asset.name.clone());
    Ok(Output {
        name,
        project: Project {
            root: root.to_path_buf(),
            requires: dist.metadata.requires_dist.clone(),
            metadata: dist.metadata.clone(),
            entry_points: dist.entry_points.clone(),
            asset: None,
            module_roots,
            groups: BTreeMap::new(),
        },
    })
}

/// The files of a new project, relative to it.
fn project_files(name: &AssetName, options: &NewAsset, workspace: &Workspace) -> Vec<(String, String)> {
    let module = name.module();
    let folder = format!("src/{}", module.replace('.', "/"));
    let asset = AssetToml {
        asset_name: name.to_string(),
        asset_type: options.asset_type.clone(),
        tags: options.tags.clone(),
        publish_to: workspace.config().publish_to.clone(),
        repos: workspace
            .config()
            .repos
            .iter()
            .map(|r| backlot_wheel::AssetRepo {
                name: r.name.clone(),
                path: r.place.clone(),
            })
            .collect(),
        ..AssetToml::default()
    };
    let init = format!(
        "\"\"\"{name}: an asset. Its files lie beside this one; `backlot pull` brings them.\"\"\"\n\nfrom pathlib import Path\n\nfrom .__version__ import __version__\n\n#: The folder of the asset's files.\nROOT = Path(__file__).parent\n"
    );
    vec![
        ("pyproject.toml".to_owned(), pyproject(name, options)),
        (
            "README.md".to_owned(),
            format!(
                "# {name}\n\n{}\n",
                options.summary.as_deref().unwrap_or("An asset.")
            ),
        ),
        (format!("{folder}/__init__.py"), init),
        (
            format!("{folder}/__version__.py"),
            "__version__ = \"0.1.0\"".to_owned(),
        ),
        (format!("{folder}/asset.toml"), asset.to_text()),
    ]
}

fn pyproject(name: &AssetName, options: &NewAsset) -> String {
    let quote = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let mut keywords = vec![
        format!("tgzr.pipeline.asset_name:{name}"),
        format!("tgzr.pipeline.asset_type:{}", options.asset_type),
    ];
    keywords.extend(
        options
            .tags
            .iter()
            .map(|tag| format!("tgzr.pipeline.asset_tag:{tag}")),
    );
    let keywords = keywords
        .iter()
        .map(|k| format!("    {},\n", quote(k)))
        .collect::<String>();
    let kind = match options.asset_type.as_str() {
        "Asset" => "asset".to_owned(),
        kind => format!("{kind} asset"),
    };
    let article = if kind.starts_with(['A', 'E', 'I', 'O', 'U', 'a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    let default_summary = format!("{name}, {article} {kind}");
    let summary = quote(options.summary.as_deref().unwrap_or(&default_summary));
    let module = name.module();
    let version_file = format!("src/{}/__version__.py", module.replace('.', "/"));
    format!(
        r#"[project]
name = {package}
dynamic = ["version"]
description = {summary}
readme = "README.md"
dependencies = []
classifiers = [
    "Private :: Do Not Upload",
    "Framework :: tgzr.pipeline",
    {class},
]
keywords = [
{keywords}]

[project.entry-points."tgzr.pipeline.asset_info_trick"]
asset_name = {name}
asset_type = {kind}

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[tool.hatch.version]
path = {version_file}

[tool.hatch.metadata]
allow-custom-classifiers = true
"#,
        package = quote(module),
        class = quote(&format!("AssetType :: {}", options.asset_type)),
        name = quote(name.as_str()),
        kind = quote(&options.asset_type),
        version_file = quote(&version_file),
    )
}

/// The folder that an output's tracked files lie in.
pub(crate) fn module_folder(output: &Output) -> Option<PathBuf> {
    output.module_folders().first().map(|p| p.to_path_buf())
}
