//! One output: an editable asset project, read from its folder.

use std::path::{Path, PathBuf};

use backlot_pep::{PackageName, Requirement};
use backlot_wheel::Project;
use fs_err as fs;

use crate::error::{EditError, Result, WorkspaceError};

/// An editable asset project.
#[derive(Clone, Debug)]
pub struct Output {
    /// The display name.
    pub name: String,
    /// The project.
    pub project: Project,
}

impl Output {
    /// The package it is published as.
    pub fn package(&self) -> PackageName {
        self.project.metadata.package()
    }

    /// The packaged folders of the project, which contain the tracked files.
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

/// The folder that an output's tracked files lie in.
pub(crate) fn module_folder(output: &Output) -> Option<PathBuf> {
    output.module_folders().first().map(|p| p.to_path_buf())
}
