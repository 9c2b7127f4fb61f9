//! Outputs: the editable asset projects of a workspace; finding one, reading all.
//!
//! Invariant: a project that only has a `pyproject.toml` is an output as well.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use backlot_core::presence::is_folder;
use backlot_core::{RelPath, text};
use backlot_pep::{AssetName, PackageName};
use backlot_wheel::{InstalledDist, ModuleRoot, Project};
use fs_err as fs;

use crate::environment::lockfile::Lock;
use crate::error::{EditError, Error, Result, WorkspaceError};
use crate::project::output::Output;
use crate::workspace::problems::UnreadableOutput;
use crate::workspace::{Opened, absolute};

impl Opened {
    pub(crate) fn outputs(&self) -> Result<Vec<Output>> {
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
                .warn("output::left_out", format!("`{path}` is skipped: {}", one.error));
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

    pub(crate) fn output(&self, name: &str) -> Result<Output> {
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

    pub(crate) fn output_here(&self, here: &Path) -> Result<Output> {
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

    pub(crate) fn output_of(&self, path: &Path) -> Result<Option<Output>> {
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
