//! The lock as a `requirements.txt` that pip and uv install from.
//!
//! Invariant: the file names exact versions; with digests unless there is an editable, which pip's hash mode refuses.

use std::path::Path;

use backlot_core::file;
use backlot_repo::Place;
use serde::Serialize;

use crate::error::{Result, WorkspaceError};
use crate::lockfile::Lock;
use crate::workspace::Workspace;

/// What was exported.
#[derive(Clone, Debug, Serialize)]
pub struct ExportReport {
    /// The text.
    pub requirements: String,
    /// How many packages it names.
    pub packages: usize,
    /// The file it was written to, if one was asked for.
    pub file: Option<String>,
    /// Whether nothing was written.
    pub dry_run: bool,
}

impl Workspace {
    /// The exact inputs as requirements; written to `output` if one is given.
    pub fn export(&self, output: Option<&Path>, hashes: bool, dry_run: bool) -> Result<ExportReport> {
        let lock = Lock::load(self.root())?.ok_or_else(|| WorkspaceError::StaleLock {
            reason: "there is no backlot.lock".to_owned(),
        })?;
        let hashes = hashes && lock.packages.iter().all(|p| p.sha256.is_some());
        let mut text =
            String::from("# The exact inputs of a Backlot workspace, written by `backlot export`.\n");
        for entry in self.repos() {
            let line = match self.open_repo(entry)?.place() {
                Place::Path(root) if root.join("simple").is_dir() => {
                    format!(
                        "--extra-index-url {}\n",
                        backlot_wheel::file_url(&root.join("simple"))
                    )
                }
                Place::Path(root) => format!("--find-links {}\n", root.display()),
                Place::Url(url) => format!("--extra-index-url {url}\n"),
            };
            text.push_str(&line);
        }
        for package in &lock.packages {
            match &package.editable {
                Some(path) => text.push_str(&format!("-e {}\n", self.root().join(path).display())),
                None => {
                    text.push_str(&format!("{}=={}", package.name, package.version));
                    if let Some(sha256) = package.sha256.filter(|_| hashes) {
                        text.push_str(&format!(" \\\n    --hash=sha256:{sha256}"));
                    }
                    text.push('\n');
                }
            }
        }
        if let Some(path) = output.filter(|_| !dry_run) {
            file::write(path, text.as_bytes())?;
        }
        let file = output.map(|p| p.display().to_string());
        Ok(ExportReport {
            requirements: text,
            packages: lock.packages.len(),
            file,
            dry_run,
        })
    }
}
