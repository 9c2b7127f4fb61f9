//! The lock as a file that pip and uv install from: `requirements.txt`, or `pylock.toml` (see `pylock`).
//!
//! Invariant: the file names exact versions; with digests unless there is an editable, which pip's hash mode refuses.

use std::path::{Path, PathBuf};

use backlot_core::file;
use backlot_core::options;
use backlot_repo::Location;
use serde::{Deserialize, Serialize};

use crate::environment::lockfile::Lock;
use crate::error::{Result, WorkspaceError};
use crate::workspace::Opened;

/// The kind of file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// `requirements.txt`.
    #[default]
    Requirements,
    /// `pylock.toml` (PEP 751).
    Pylock,
}

options! {
    /// How to export.
    #[derive(Default)]
    pub struct ExportOptions {
        /// The kind of file.
        pub format: ExportFormat,
        /// The file to write.
        pub output: Option<PathBuf>,
        /// Leave digests out of a `requirements.txt`.
        pub no_hashes: bool,
        /// Change nothing.
        pub dry_run: bool,
    }
}

/// The result of an export.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExportReport {
    /// The kind of file.
    pub format: ExportFormat,
    /// The text.
    pub text: String,
    /// How many packages it names.
    pub packages: usize,
    /// The file it was written to, if requested.
    pub file: Option<String>,
    /// Whether nothing was written.
    pub dry_run: bool,
}

impl Opened {
    pub(crate) fn export(&self, options: &ExportOptions) -> Result<ExportReport> {
        let lock = Lock::load(self.root())?.ok_or_else(|| WorkspaceError::StaleLock {
            reason: "backlot.lock does not exist".to_owned(),
        })?;
        self.warn_used(&lock, true)?;
        let text = match options.format {
            ExportFormat::Requirements => self.requirements_text(&lock, !options.no_hashes)?,
            ExportFormat::Pylock => {
                let file = options.output.as_ref().map(std::path::absolute).transpose()?;
                let folder = file.as_deref().and_then(Path::parent);
                // On standard output it may end up anywhere, so its paths are absolute.
                self.pylock_text(&lock, folder.unwrap_or(Path::new("")))?
            }
        };
        if let Some(path) = options.output.as_ref().filter(|_| !options.dry_run) {
            file::write(path, text.as_bytes())?;
        }
        Ok(ExportReport {
            format: options.format,
            text,
            packages: lock.packages.len(),
            file: options.output.as_ref().map(|p| p.display().to_string()),
            dry_run: options.dry_run,
        })
    }

    fn requirements_text(&self, lock: &Lock, hashes: bool) -> Result<String> {
        let hashes = hashes && lock.packages.iter().all(|p| p.sha256.is_some());
        let mut text =
            String::from("# The exact inputs of a Backlot workspace, written by `backlot export`.\n");
        // Of what is outside the studio, files are named and never the index: a reader would ask it for every package.
        let is_public = |name: &str| self.repo_entry(name).is_ok_and(|entry| entry.public.is_some());
        for entry in self.repos().into_iter().filter(|entry| entry.public.is_none()) {
            let line = match self.open_repo(entry)?.place() {
                Location::Path(root) if root.join("simple").is_dir() => {
                    format!(
                        "--extra-index-url {}\n",
                        backlot_wheel::file_url(&root.join("simple"))
                    )
                }
                Location::Path(root) => format!("--find-links {}\n", root.display()),
                Location::Url(url) => format!("--extra-index-url {url}\n"),
            };
            text.push_str(&line);
        }
        for package in &lock.packages {
            match &package.editable {
                Some(path) => text.push_str(&format!("-e {}\n", self.root().join(path).display())),
                None => {
                    let public = package.repo.as_deref().filter(|repo| is_public(repo));
                    let line = match (&package.url, public) {
                        (Some(url), _) => format!("{} @ {url}", package.name),
                        (None, Some(repo)) => {
                            format!("{} @ {}", package.name, self.release_of(package, repo)?.place())
                        }
                        (None, None) => format!("{}=={}", package.name, package.version),
                    };
                    text.push_str(&line);
                    if let Some(sha256) = package.sha256.filter(|_| hashes) {
                        text.push_str(&format!(" \\\n    --hash=sha256:{sha256}"));
                    }
                    text.push('\n');
                }
            }
        }
        Ok(text)
    }
}
