//! One run of the command: who, where, how to answer.

use std::path::PathBuf;
use std::sync::Arc;

use backlot::{Cancel, Context, Error, Host, Workspace};

use crate::args::Global;
use crate::host;
use crate::progress::Terminal;

/// What every command is given.
#[derive(Debug)]
pub(crate) struct Session {
    /// Who and where.
    pub(crate) host: Host,
    /// Observer and cancellation.
    pub(crate) context: Context,
    /// The flag Ctrl-C sets.
    pub(crate) cancel: Cancel,
    /// Where relative paths begin.
    pub(crate) here: PathBuf,
    /// The folder the workspace is looked for from.
    pub(crate) workspace: PathBuf,
    /// The whole name of the command.
    pub(crate) command: String,
    /// Answer in JSON.
    pub(crate) json: bool,
    /// Answer nothing.
    pub(crate) quiet: bool,
    terminal: Arc<Terminal>,
}

impl Session {
    pub(crate) fn new(global: &Global, command: String) -> Self {
        let cancel = Cancel::default();
        let terminal = Arc::new(Terminal::new(global.quiet, global.json, global.verbose));
        let mut context = Context::default()
            .with_observer(Arc::clone(&terminal) as _)
            .with_cancel(cancel.clone());
        if let Some(patience) = host::lock_timeout() {
            context = context.with_lock_timeout(patience);
        }
        let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        let workspace = global
            .workspace
            .clone()
            .or_else(host::workspace)
            .map_or_else(|| here.clone(), |w| here.join(w));
        let mut host = host::host();
        host.network.offline |= global.offline;
        Self {
            host,
            context,
            cancel,
            here,
            workspace,
            command,
            json: global.json,
            quiet: global.quiet,
            terminal,
        }
    }

    /// The same session, in another folder with another host (the demo's).
    pub(crate) fn elsewhere(&self, here: PathBuf, workspace: PathBuf, host: Host) -> Self {
        Self {
            host,
            context: self.context.clone(),
            cancel: self.cancel.clone(),
            here,
            workspace,
            command: self.command.clone(),
            json: false,
            quiet: self.quiet,
            terminal: Arc::clone(&self.terminal),
        }
    }

    /// The workspace that is meant.
    pub(crate) fn open(&self) -> Result<Workspace, Error> {
        Workspace::open(&self.workspace, &self.host)
    }

    /// Take the progress bars away before anything is printed.
    pub(crate) fn finish_progress(&self) {
        self.terminal.clear();
    }
}
