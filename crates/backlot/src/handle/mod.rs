//! The workspace as a program has it: a handle, and a method for all that can be done.
//!
//! Each call reads what is on disk when it begins, and again when it gets hold of the workspace for a change. So several handles of one workspace, in
//! one program or in many, see each other's changes, and none writes back what it remembers. Invariants: a handle is cheap to clone and may be
//! used by many threads at once; whatever stops one call, the others go on, and the handle stays usable. Every method blocks until it is done; it may
//! be called on any thread, also one of an asynchronous runtime or a pool, which then does nothing else meanwhile. All that it tells an
//! observer is of one operation, [`Operation::Call`](backlot_core::Operation::Call) of the method's name, or a part of it.
//!
//! Deliberately absent: how anything is done; the modules beside this one do it.

mod bundles;
mod cache;
mod cascade;
mod config;
mod environment;
mod feed;
mod files;
mod imports;
pub(crate) mod options;
mod pipelines;
mod places;
mod projects;
mod releases;
#[cfg(test)]
mod tests;
mod toolchain;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backlot_core::{Context, Subject};
use backlot_pep::Requirement;

use crate::error::Result;
use crate::workspace::call::{call, of_asset};
use crate::workspace::config::Config;
use crate::workspace::init::{InitOptions, InitReport};
use crate::workspace::settings::{Host, Settings};
use crate::workspace::{Opened, Shared};

/// A workspace.
///
/// ```no_run
/// use backlot::{Context, Host, Workspace};
///
/// # fn main() -> Result<(), backlot::Error> {
/// let host = Host::new("/studio/cache");
/// let workspace = Workspace::open("/shots/sh010".as_ref(), &host)?;
/// let context = Context::default();
/// let status = workspace.status(&context)?;
/// println!("{} outputs", status.outputs.len());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Workspace {
    shared: Arc<Shared>,
}

impl Workspace {
    /// Make a workspace in a folder, which may have other files in it.
    pub fn init(
        root: &Path,
        options: &InitOptions,
        host: &Host,
        context: &Context,
    ) -> Result<(Option<Self>, InitReport)> {
        let about = Subject::File(root.to_path_buf());
        let (made, report) = call(("init", about), host, context, |context| {
            Opened::init(root, options, host, context)
        })?;
        Ok((made.map(|shared| Self { shared }), report))
    }

    /// Open the workspace that `start` is in.
    pub fn open(start: &Path, host: &Host) -> Result<Self> {
        let shared = Opened::find(start, host)?;
        Ok(Self { shared })
    }

    /// Do a call of a name, about something or the whole workspace, with the workspace as its files are now.
    fn call<T: Send>(
        &self,
        name: &'static str,
        about: impl Into<Option<Subject>>,
        context: &Context,
        work: impl FnOnce(&mut Opened) -> Result<T> + Send,
    ) -> Result<T> {
        let about = about
            .into()
            .unwrap_or_else(|| Subject::File(self.root().to_path_buf()));
        call((name, about), self.host(), context, |context| {
            work(&mut Opened::now(&self.shared, context)?)
        })
    }

    /// The folder it is.
    pub fn root(&self) -> &Path {
        self.shared.root()
    }

    /// The user and machine.
    pub fn host(&self) -> &Host {
        self.shared.host()
    }

    /// Its configuration as it is now.
    pub fn config(&self, context: &Context) -> Result<Config> {
        self.call("config", None, context, |workspace| Ok(workspace.config.clone()))
    }

    /// The settings in force now.
    pub fn settings(&self, context: &Context) -> Result<Settings> {
        self.call("settings", None, context, |workspace| {
            Ok(workspace.settings().clone())
        })
    }

    /// The environment with the installed assets.
    pub fn inputs_dir(&self) -> PathBuf {
        self.root().join("inputs")
    }

    /// The editable assets.
    pub fn outputs_dir(&self) -> PathBuf {
        self.root().join("outputs")
    }

    /// A path as people of this workspace write it: relative where it lies inside.
    pub fn display_path(&self, path: &Path) -> String {
        let path = path.strip_prefix(self.root()).unwrap_or(path);
        path.display().to_string()
    }

    /// A requirement as people write it: `Table`, `Table>=1.2,<2`, or a path or URL of a file.
    pub fn parse_requirement(&self, text: &str, context: &Context) -> Result<Requirement> {
        self.call("parse_requirement", of_asset(text), context, |workspace| {
            workspace.parse_requirement(text)
        })
    }
}
