//! The stages of a workspace: finding them, their assets, and the meaning of targets.
//!
//! Invariant: an output that cannot be read is not in the graph, and is an error for commands about it. Deliberately absent: the state
//! of stages.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use backlot_core::{RelPath, text};
use backlot_dvc::pipeline::run::Project;
use backlot_dvc::pipeline::{Graph, PIPELINE_FILE, PipelineError, Place, Reach, Selection};
use backlot_store::{Cache, StatCache};

use crate::error::{Error, PipelinesError, Result};
use crate::project::named_output::same_name;
use crate::project::output::Output;
use crate::workspace::Opened;

/// The pipelines of a workspace.
pub(crate) struct Found {
    root: PathBuf,
    /// The outputs that can be read.
    pub(crate) outputs: Vec<Output>,
    /// Folders of those that cannot, and why.
    unreadable: Vec<(PathBuf, Error)>,
    /// Folders of the workspace that no stage is of.
    foreign: Vec<PathBuf>,
}

/// Targets as the graph takes them.
pub(crate) struct Targets {
    /// The targets, relative to the folder.
    pub(crate) names: Vec<String>,
    /// The folder, inside of the workspace.
    pub(crate) folder: Place,
}

impl Targets {
    /// The nodes that they mean.
    pub(crate) fn select(&self, graph: &Graph, reach: Reach) -> Result<Vec<usize>> {
        let selection = Selection {
            folder: self.folder.clone(),
            reach,
            ..Selection::new(&self.names)
        };
        Ok(graph.select(&selection).map_err(backlot_dvc::Error::from)?)
    }

    /// Whether there is nothing to be made: the graph would take no target for the `dvc.yaml` of the folder.
    pub(crate) fn are_none(&self, found: &Found) -> bool {
        self.names.is_empty() && !found.has_file(&self.folder)
    }
}

impl Opened {
    /// Find pipelines. Nothing of installed releases is read.
    pub(crate) fn pipelines(&self) -> Result<Found> {
        let (readable, not_readable) = self.read_outputs()?;
        let mut found = Found {
            outputs: Vec::with_capacity(readable.len()),
            unreadable: not_readable
                .into_iter()
                .map(|one| (one.path, one.error))
                .collect(),
            ..self.nothing_found()
        };
        for output in readable {
            match self.check_stages(&output) {
                Ok(()) => found.outputs.push(output),
                Err(error) => found.unreadable.push((output.project.root, error)),
            }
        }
        Ok(found)
    }
}

impl Opened {
    /// An error if what an output makes cannot be told, or its stages cannot be run. One such is in the way of no other.
    fn check_stages(&self, output: &Output) -> Result<()> {
        output.check_inside()?;
        for folder in output.module_folders() {
            backlot_dvc::check_stages(self.root(), folder, self.context())?;
        }
        Ok(())
    }

    /// The same of the workspace itself, without a look at outputs.
    pub(crate) fn pipelines_beside_outputs(&self) -> Found {
        let mut found = self.nothing_found();
        found.foreign.push(self.outputs_dir());
        found
    }

    fn nothing_found(&self) -> Found {
        Found {
            root: self.root().to_path_buf(),
            outputs: Vec::new(),
            unreadable: Vec::new(),
            foreign: vec![
                self.inputs_dir(),
                self.build_dir(),
                self.root().join("external_packages"),
                self.state_dir(),
            ],
        }
    }
}

impl Found {
    /// The project of all stages. Runs keep their state in `state`.
    pub(crate) fn project<'a>(&self, state: &Path, cache: &'a Cache, stat: &'a StatCache) -> Project<'a> {
        let mut left_out = self.foreign.clone();
        left_out.extend(self.unreadable.iter().map(|(path, _)| path.clone()));
        let linked = self.outputs.iter().map(|output| output.project.root.clone());
        Project::new(&self.root, state.join("pipelines"), cache, stat)
            .leaving_out(left_out)
            .with_linked(linked.collect())
    }

    /// The output that a path is in.
    pub(crate) fn output_at(&self, path: &Path) -> Option<&Output> {
        let mut outputs = self.outputs.iter();
        outputs.find(|output| path.starts_with(&output.project.root))
    }

    /// The name of the asset that a file of the project belongs to.
    pub(crate) fn asset_of(&self, file: &RelPath) -> Option<&str> {
        let output = self.output_at(&file.to_path(&self.root))?;
        Some(&output.name)
    }

    /// The folder that outputs of the stages of a file have to be in: the package of an asset, an asset, or the workspace.
    fn home(&self, path: &Path) -> PathBuf {
        match self.output_at(path) {
            None => self.root.clone(),
            Some(output) => {
                let mut modules = output.module_folders().into_iter();
                let module = modules.find(|folder| path.starts_with(folder) && path != *folder);
                module.unwrap_or(&output.project.root).to_path_buf()
            }
        }
    }

    /// An error if one of these nodes is a stage with an output outside of what its file belongs to.
    pub(crate) fn check(&self, graph: &Graph, nodes: &[usize], outputs: &Path) -> Result<()> {
        for stage in nodes.iter().filter_map(|node| graph.stage(*node)) {
            let home = self.home(&stage.file.to_path(&self.root));
            for out in &stage.outs {
                let place = out.place.to_path(&self.root);
                let is_foreign = home == self.root
                    && (place.starts_with(outputs)
                        || self.foreign.iter().any(|folder| place.starts_with(folder)));
                if self.home(&place) == home && !is_foreign {
                    continue;
                }
                let folder = home
                    .strip_prefix(&self.root)
                    .unwrap_or(&home)
                    .display()
                    .to_string();
                return Err(PipelinesError::OutsideAsset {
                    file: stage.file.to_string(),
                    line: stage.line,
                    stage: stage.name.clone(),
                    path: out.place.to_string(),
                    folder: if folder.is_empty() { ".".to_owned() } else { folder },
                }
                .into());
            }
        }
        Ok(())
    }

    /// What targets that somebody named in a folder mean: those of DVC, names of outputs, `OUTPUT:STAGE`. Without any: the `dvc.yaml` of the
    /// folder, else all of the output that it is in, else all of all outputs.
    pub(crate) fn targets(
        mut self,
        graph: &Graph,
        given: &[String],
        folder: &Path,
    ) -> Result<(Self, Targets)> {
        let inside = folder.strip_prefix(&self.root).unwrap_or(Path::new(""));
        let place = RelPath::from_path(inside).map_or(Place::Root, Place::Inside);
        self.refuse_foreign(&self.root.join(inside))?;
        let mut names = Vec::new();
        if given.is_empty() {
            let own = self.root.join(inside);
            self.refuse_unreadable(&own)?;
            if !own.join(PIPELINE_FILE).is_file() {
                match self.output_at(&own).map(|output| output.project.root.clone()) {
                    Some(root) => names = self.files_below(graph, &root, &place),
                    None => {
                        if let Some((_, error)) = self.unreadable.drain(..).next() {
                            return Err(error);
                        }
                        for output in &self.outputs {
                            names.extend(self.files_below(graph, &output.project.root, &place));
                        }
                    }
                }
                let targets = Targets { names, folder: place };
                return Ok((self, targets));
            }
        }
        for target in given {
            self.refuse_foreign(&self.root.join(inside).join(target))?;
            names.extend(self.target(graph, target, &place)?);
        }
        let targets = Targets { names, folder: place };
        Ok((self, targets))
    }

    /// The targets that one target means.
    fn target(&mut self, graph: &Graph, target: &str, folder: &Place) -> Result<Vec<String>> {
        let own = [target.to_owned()];
        let selection = Selection {
            folder: folder.clone(),
            reach: Reach::Only,
            ..Selection::new(&own)
        };
        let (name, stage) = match target.split_once(':') {
            Some((name, stage)) => (name, Some(stage)),
            None => (target, None),
        };
        if graph.select(&selection).is_ok() {
            return Ok(own.to_vec());
        }
        if let Ok(nodes) = graph.select(&Selection {
            reach: Reach::Only,
            ..Selection::new(&own)
        }) {
            // As reports name it, from the workspace's folder.
            let stages = nodes.into_iter().filter_map(|node| graph.stage(node));
            let named = stages.map(|stage| format!("{}:{}", Place::way(folder, &stage.file), stage.name));
            return Ok(named.collect());
        }
        let is_meant = |path: &Path| {
            path.file_name()
                .is_some_and(|own| same_name(&own.to_string_lossy(), name))
        };
        if let Some(at) = self.unreadable.iter().position(|(path, _)| is_meant(path)) {
            return Err(self.unreadable.swap_remove(at).1);
        }
        let Some(output) = self.outputs.iter().find(|output| same_name(&output.name, name)) else {
            let full = match folder {
                Place::Inside(folder) => folder.to_path(&self.root).join(target),
                _ => self.root.join(target),
            };
            self.refuse_unreadable(&full)?;
            let names = self.outputs.iter().map(|output| output.name.as_str());
            let nearest = text::nearest(name, names).map(ToOwned::to_owned);
            if nearest.is_none() {
                // The error suggests similar names in the file.
                return Ok(own.to_vec());
            }
            let unknown = PipelineError::UnknownTarget {
                target: target.to_owned(),
                file: None,
                nearest,
            };
            return Err(backlot_dvc::Error::from(unknown).into());
        };
        let files = self.files_below(graph, &output.project.root, folder);
        Ok(match stage {
            None => files,
            Some(stage) => {
                let named: Vec<String> = files.iter().map(|file| format!("{file}:{stage}")).collect();
                let is_there = |one: &String| {
                    let one = [one.clone()];
                    let selection = Selection {
                        folder: folder.clone(),
                        reach: Reach::Only,
                        ..Selection::new(&one)
                    };
                    graph.select(&selection).is_ok()
                };
                let there: Vec<String> = named.iter().filter(|one| is_there(one)).cloned().collect();
                // An unknown name is an error that names a file.
                if there.is_empty() { named } else { there }
            }
        })
    }

    /// The `dvc.yaml` files in a folder and below, as targets of another folder.
    fn files_below(&self, graph: &Graph, below: &Path, folder: &Place) -> Vec<String> {
        let files = graph.pipelines().files.iter();
        files
            .filter(|file| file.path.to_path(&self.root).starts_with(below))
            .map(|file| Place::way(folder, &file.path))
            .collect()
    }

    /// Whether a folder has a `dvc.yaml`.
    pub(crate) fn has_file(&self, folder: &Place) -> bool {
        let folder = match folder {
            Place::Inside(folder) => folder.to_path(&self.root),
            _ => self.root.clone(),
        };
        folder.join(PIPELINE_FILE).is_file()
    }

    /// All files of an output as targets.
    pub(crate) fn files_of(&self, graph: &Graph, output: &Output) -> Targets {
        Targets {
            names: self.files_below(graph, &output.project.root, &Place::Root),
            folder: Place::Root,
        }
    }

    /// An error if a path is in an installed release.
    pub(crate) fn refuse_foreign(&self, path: &Path) -> Result<()> {
        if !self.foreign.iter().any(|folder| path.starts_with(folder)) {
            return Ok(());
        }
        let path = path.strip_prefix(&self.root).unwrap_or(path);
        Err(PipelinesError::Installed {
            path: path.display().to_string(),
        }
        .into())
    }

    /// The error of the output that a path is in, if that cannot be read.
    fn refuse_unreadable(&mut self, path: &Path) -> Result<()> {
        match self
            .unreadable
            .iter()
            .position(|(root, _)| path.starts_with(root))
        {
            Some(at) => Err(self.unreadable.swap_remove(at).1),
            None => Ok(()),
        }
    }

    /// The variables that tell the commands of each file which asset they are of.
    pub(crate) fn variables(&self, graph: &Graph) -> BTreeMap<String, Vec<(String, OsString)>> {
        let mut all = BTreeMap::new();
        for file in &graph.pipelines().files {
            if let Some(output) = self.output_at(&file.path.to_path(&self.root)) {
                let version = output.project.metadata.version.to_string();
                all.insert(
                    file.path.to_string(),
                    vec![
                        ("BACKLOT_ASSET".to_owned(), output.name.clone().into()),
                        ("BACKLOT_VERSION".to_owned(), version.into()),
                    ],
                );
            }
        }
        all
    }
}
