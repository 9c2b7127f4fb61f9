//! Making a workspace.
//!
//! Invariant: `backlot.toml` is written last, by one exclusive create, so a workspace is there whole or not at all; what was made for one that
//! failed is removed again, and what was there before, or is somebody else's, stays.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backlot_core::options;
use backlot_core::{Context, file};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::error::{Result, WorkspaceError};
use crate::workspace::config::{Config, FILE_NAME};
use crate::workspace::settings::Host;
use crate::workspace::{Opened, Shared, absolute};

options! {
    /// How to make a workspace.
    #[derive(Default)]
    pub struct InitOptions {
        /// Python version, interpreter or `none`; `None` uses the one on the path.
        pub python: Option<String>,
        /// Cache folder for this workspace instead of the user's shared one.
        pub cache: Option<String>,
        /// Say what would be made, make nothing.
        pub dry_run: bool,
    }
}

/// The result.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InitReport {
    /// The workspace.
    pub root: PathBuf,
    /// The created paths (or the plan), relative to it.
    pub created: Vec<String>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

const FOLDERS: [&str; 5] = ["inputs", "outputs", "build", "external_packages", ".backlot"];
const DVC_IGNORE: &str = "# Written by backlot: what real DVC must not look into.\n/inputs\n/build\n/external_packages\n/.backlot\n";

impl Opened {
    pub(crate) fn init(
        root: &Path,
        options: &InitOptions,
        host: &Host,
        context: &Context,
    ) -> Result<(Option<Arc<Shared>>, InitReport)> {
        let root = absolute(root)?;
        if root.join(FILE_NAME).exists() {
            return Err(WorkspaceError::WorkspaceExists { root }.into());
        }
        let files = [FILE_NAME, ".dvc/config", ".dvcignore"];
        let mut created: Vec<String> = FOLDERS.iter().map(|f| format!("{f}/")).collect();
        created.extend(files.iter().map(ToString::to_string));
        let report = InitReport {
            root: root.clone(),
            created,
            dry_run: options.dry_run,
        };
        if options.dry_run {
            return Ok((None, report));
        }
        let mut config = Config::new(&root)?;
        config.set_python(options.python.as_deref());
        config.set_cache(options.cache.as_deref());
        let workspace = Self::with_config(Shared::new(root, host), config, context)?;
        workspace.check_python()?;
        let absent = Absent::below(workspace.root());
        if let Err(error) = workspace.make() {
            absent.restore(workspace.root());
            return Err(error);
        }
        Ok((Some(workspace.shared), report))
    }

    /// Make the parts of a workspace, `backlot.toml` last: with it, all of it is there.
    pub(crate) fn make(&self) -> Result<()> {
        for folder in FOLDERS.iter().filter(|f| **f != "inputs") {
            fs::create_dir_all(self.root().join(folder))?;
        }
        file::write_if_changed(&self.root().join(".backlot/.gitignore"), b"*\n")?;
        file::write_if_changed(&self.root().join(".dvcignore"), DVC_IGNORE.as_bytes())?;
        let _lock = self.lock()?;
        self.write_dvc_config()?;
        self.sync_editables()?;
        if self.config.create()? {
            return Ok(());
        }
        let root = self.root().to_path_buf();
        Err(WorkspaceError::WorkspaceExists { root }.into())
    }
}

/// What of a workspace is not there before it is made: all that is removed if that fails.
pub(crate) struct Absent(Vec<PathBuf>);

impl Absent {
    pub(crate) fn below(root: &Path) -> Self {
        // Folders above the workspace, too: the topmost that is not there stands for all.
        let above = root.ancestors().take_while(|folder| !folder.exists()).last();
        if let Some(above) = above {
            return Self(vec![above.to_path_buf()]);
        }
        let parts = [
            "inputs",
            "outputs",
            "build",
            "external_packages",
            ".backlot",
            ".dvc",
            ".dvc/config",
            ".dvcignore",
            "backlot.lock",
        ];
        let paths = parts.iter().map(|part| root.join(part));
        Self(paths.filter(|path| fs::symlink_metadata(path).is_err()).collect())
    }

    fn restore(self, root: &Path) {
        // Another process was first.
        if root.join(FILE_NAME).exists() {
            return;
        }
        self.remove();
    }

    /// Remove a workspace that was made just now and is not wanted after all, unless somebody made an asset in it meanwhile.
    pub(crate) fn undo(self, root: &Path) {
        let mut outputs = fs::read_dir(root.join("outputs")).into_iter().flatten();
        if outputs.next().is_none() {
            // Without it, the rest is not a workspace.
            file::remove(&root.join(FILE_NAME)).ok();
            self.remove();
        }
    }

    fn remove(self) {
        for path in self.0 {
            // The earlier error is reported.
            file::remove(&path).ok();
        }
    }
}
