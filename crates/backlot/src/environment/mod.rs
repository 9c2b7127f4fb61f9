//! `inputs/` as one thing that changes at once: a private copy is edited, then swapped in.
//!
//! Invariants: a reader sees the environment before or after a change, never between (where the system can exchange two
//! folders; elsewhere a killed swap is finished by the next command). What other tools put into the environment is
//! carried over. The copy is made of hard links, so it costs names, not bytes.

pub(crate) mod cached;
pub(crate) mod candidate_sources;
pub(crate) mod change;
pub(crate) mod damage;
pub(crate) mod direct;
pub(crate) mod editable;
pub(crate) mod export;
pub(crate) mod following;
pub(crate) mod get;
pub(crate) mod graph;
pub(crate) mod hooks;
pub(crate) mod input_table;
pub(crate) mod install;
pub(crate) mod install_marker;
pub(crate) mod installable;
pub(crate) mod labelled;
pub(crate) mod lockfile;
pub(crate) mod outdated;
pub(crate) mod place;
pub(crate) mod plan;
pub(crate) mod prefetch;
pub(crate) mod promised;
pub(crate) mod pylock;
pub(crate) mod repair;
pub(crate) mod resolution;
pub(crate) mod resolve_request;
pub(crate) mod run;
pub(crate) mod solution_cache;
pub(crate) mod unpacked;

use std::path::{Path, PathBuf};

use backlot_core::file::TemporaryFolder;
use backlot_core::{Context, FileError, RelPath, file, platform};
use backlot_pep::MarkerEnv;
use backlot_wheel::{InstalledDist, Interpreter, Layout};
use fs_err as fs;

use crate::error::{Result, WorkspaceError};
use crate::workspace::Opened;

/// The default Python version for evaluating markers without an interpreter.
pub const DEFAULT_PYTHON: &str = "3.13";
pub(crate) const STAGE_PREFIX: &str = "stage-";
const READY: &str = "ready";

/// An environment as it is on disk.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    pub(crate) layout: Layout,
}

impl Environment {
    /// The environment in a folder: a PEP 405 one, a plain tree, or none.
    fn detect(root: &Path) -> Result<Option<Self>> {
        if root.join("pyvenv.cfg").is_file() {
            return Ok(Some(Self {
                layout: backlot_wheel::open_environment(root, root)?,
            }));
        }
        let plain = Layout::plain(root);
        Ok(plain.site_packages().is_dir().then_some(Self { layout: plain }))
    }

    pub(crate) fn site_packages(&self) -> PathBuf {
        self.layout.site_packages()
    }

    /// The installed packages, sorted by name.
    pub(crate) fn installed(&self) -> Result<Vec<InstalledDist>> {
        Ok(backlot_wheel::installed(&self.site_packages())?)
    }
}

/// A private copy of `inputs/`, dropped unless committed.
#[derive(Debug)]
pub(crate) struct EnvironmentEdit<'w> {
    workspace: &'w Opened,
    /// What is left in it in the end is the old environment after a commit, the unwanted copy otherwise.
    stage: TemporaryFolder,
    pub(crate) environment: Environment,
}

impl Opened {
    /// The interpreter of the environment, if the settings want one and it is found.
    pub(crate) fn interpreter(&self) -> Result<Option<Interpreter>> {
        let wanted = self.settings().python.value.as_deref();
        if wanted == Some("none") {
            return Ok(None);
        }
        if let Some(path) = wanted.filter(|w| w.contains(std::path::MAIN_SEPARATOR)) {
            return Ok(Some(backlot_wheel::read_interpreter(
                &self.root().join(path),
                self.context(),
            )?));
        }
        if let Some(interpreter) = self.external_interpreter()? {
            return Ok(Some(interpreter));
        }
        if let Some(found) = self.interpreter_on_path(wanted)? {
            return Ok(Some(found));
        }
        crate::toolchain::python::find(self.host(), wanted, self.context())
    }

    /// An error if a version of Python is wanted that this machine does not have while it has others, or that does not exist. A
    /// machine that has none gets a plain tree, until `python install`.
    pub(crate) fn check_python(&self) -> Result<()> {
        let Some(version) = self.settings().python.value.clone() else {
            return Ok(());
        };
        if version == "none" || self.interpreter()?.is_some() {
            return Ok(());
        }
        self.marker_env()?;
        let mut have: Vec<String> = crate::toolchain::python::installed_pythons(self.host())?
            .into_iter()
            .map(|python| python.version)
            .collect();
        if let Some(path) = &self.host().path {
            have.extend(
                backlot_wheel::find_interpreter(path, None, self.context())?.map(|found| found.version),
            );
        }
        if have.is_empty() && crate::toolchain::python::may_exist(&version) {
            return Ok(());
        }
        have.dedup();
        Err(WorkspaceError::NoSuchPython { version, have }.into())
    }

    /// The environment as it is now; `None` before the first sync.
    pub(crate) fn environment(&self) -> Result<Option<Environment>> {
        Environment::detect(&self.inputs_dir())
    }

    pub(crate) fn marker_env(&self) -> Result<MarkerEnv> {
        let python = match self.interpreter()? {
            Some(interpreter) => interpreter.version,
            None => match self.settings().python.value.as_deref() {
                None | Some("none") => DEFAULT_PYTHON.to_owned(),
                Some(version) => version.to_owned(),
            },
        };
        Ok(MarkerEnv::for_python(&python)?)
    }

    /// Whether `inputs/` has the layout that the settings ask for.
    pub(crate) fn environment_fits(&self) -> Result<bool> {
        let Some(current) = self.environment()? else {
            return Ok(false);
        };
        Ok(match self.interpreter()? {
            Some(wanted) => {
                current.layout.python.is_some()
                    && current.layout.purelib == purelib_of(&wanted)
                    && backlot_wheel::environment_fits(&self.inputs_dir(), &wanted)?
            }
            None => current.layout.python.is_none(),
        })
    }

    /// Begin a change of `inputs/`. The caller holds the workspace lock.
    pub(crate) fn edit_environment(&self) -> Result<EnvironmentEdit<'_>> {
        self.recover_environment()?;
        let inputs = self.inputs_dir();
        let current = Environment::detect(&inputs)?;
        if current.is_none() && inputs.exists() && fs::read_dir(&inputs)?.next().is_some() {
            return Err(WorkspaceError::ForeignInputs { path: inputs }.into());
        }
        let stage = self
            .state_dir()
            .join(format!("{STAGE_PREFIX}{}", std::process::id()));
        let stage = TemporaryFolder::replacing(stage)?;
        let tree = stage.path().join("tree");
        fs::create_dir(&tree)?;
        let fits = self.environment_fits()?;
        let environment = match (current, fits) {
            (Some(current), true) => {
                clone_tree(&inputs, &tree, self.context())?;
                Environment {
                    layout: current.layout.at(&tree),
                }
            }
            (current, _) => {
                let layout = match self.interpreter()? {
                    Some(interpreter) => backlot_wheel::create_environment(&tree, &interpreter, &inputs)?,
                    None => Layout::plain(&tree),
                };
                fs::create_dir_all(layout.site_packages())?;
                if let Some(current) = current {
                    clone_tree(&current.site_packages(), &layout.site_packages(), self.context())?;
                }
                Environment { layout }
            }
        };
        Ok(EnvironmentEdit {
            workspace: self,
            stage,
            environment,
        })
    }

    /// Finish or undo an interrupted swap, and remove abandoned stages. The caller holds the lock.
    pub(crate) fn recover_environment(&self) -> Result<()> {
        let inputs = self.inputs_dir();
        if !self.state_dir().is_dir() {
            return Ok(());
        }
        for entry in fs::read_dir(self.state_dir())? {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if name.starts_with(STAGE_PREFIX) {
                if path.join(READY).exists() && !inputs.exists() && path.join("tree").is_dir() {
                    file::rename(&path.join("tree"), &inputs)?;
                }
                file::remove(&path)?;
            } else if name.starts_with(file::TEMPORARY_PREFIX) {
                file::remove(&path)?;
            }
        }
        Ok(())
    }
}

impl EnvironmentEdit<'_> {
    /// Swap the copy in and drop the previous one.
    pub(crate) fn commit(self) -> Result<()> {
        self.workspace.context().check()?;
        let inputs = self.workspace.inputs_dir();
        let tree = self.stage.path().join("tree");
        if !inputs.exists() {
            return Ok(file::rename(&tree, &inputs)?);
        }
        if !file::exchange(&tree, &inputs)? {
            file::write(&self.stage.path().join(READY), b"")?;
            file::rename(&inputs, &self.stage.path().join("old"))?;
            file::rename(&tree, &inputs)?;
        }
        Ok(())
    }
}

fn purelib_of(interpreter: &Interpreter) -> RelPath {
    interpreter.purelib()
}

/// Copy a tree by hard links (copies where the disk has none); symbolic links as they are.
fn clone_tree(from: &Path, to: &Path, context: &Context) -> Result<()> {
    let mut folders = vec![(from.to_path_buf(), to.to_path_buf())];
    while let Some((from, to)) = folders.pop() {
        context.check()?;
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push((source, target));
            } else if kind.is_symlink() {
                clone_link(&source, &target)?;
            } else if fs::hard_link(&source, &target).is_err() {
                fs::copy(&source, &target)?;
            }
        }
    }
    Ok(())
}

fn clone_link(source: &Path, target: &Path) -> Result<(), FileError> {
    match platform::symlink(&fs::read_link(source)?, target) {
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {
            fs::copy(source, target)?;
            Ok(())
        }
        done => Ok(done?),
    }
}
