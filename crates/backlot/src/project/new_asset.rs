//! Making an asset project.
//!
//! Invariant: a project follows the original engine's conventions (asset.toml, classifiers, keywords, entry points), so both recognise it, and
//! it appears whole.

use backlot_core::file;
use backlot_core::options;
use backlot_pep::{AssetName, PackageName};
use backlot_wheel::AssetToml;
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::error::{Result, WorkspaceError};
use crate::project::output::Output;
use crate::workspace::Opened;

options! {
    /// How to make an asset.
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
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
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

/// `__main__.py` of an asset: it pulls its own files, wherever it is installed in a workspace. It names nobody, so that it may be renamed.
const MAIN: &str = include_str!("pull_files.py");

impl Opened {
    pub(crate) fn new_asset(&self, name: &str, options: &NewAsset) -> Result<NewReport> {
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
}

/// The files of a new project, relative to it.
fn project_files(name: &AssetName, options: &NewAsset, workspace: &Opened) -> Vec<(String, String)> {
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
        (format!("{folder}/__main__.py"), MAIN.to_owned()),
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
