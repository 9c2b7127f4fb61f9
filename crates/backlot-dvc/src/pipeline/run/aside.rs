//! Previous outputs, set aside while a stage produces new ones.
//!
//! Invariants: what an output was is either in its place or in a folder with a record that says where it belongs, so that a
//! kill at any moment loses nothing: the next run, or [`recover`], puts it back, unless the lock has the stage's new entry
//! already. Partial outputs of a failed stage are moved aside, and edited outputs are kept. The record is in
//! `docs/format/pipeline-runs.md`. Deliberately absent: outputs that stay in place while a stage runs (`persist`).

use std::path::{Path, PathBuf};

use backlot_core::presence::{is_absent, read_folder};
use backlot_core::{Context, FileLock, RelPath, file};
use fs_err as fs;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::super::{Lock, LockEntry, PipelineError, Stage, run_cache};
use super::project::{Project, file_error, file_name_of};
use crate::error::Result;

/// The version of records.
const VERSION: u32 = 1;
const RECORD: &str = "record.json";

/// The record on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    version: u32,
    /// The stage, as messages call it.
    address: String,
    /// Its name in the lock.
    stage: String,
    /// The lock, relative to the project.
    lock: String,
    /// SHA-256 of the entry that the lock is about to get; then the outputs are whole.
    becomes: Option<String>,
    outs: Vec<RecordedOut>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct RecordedOut {
    /// The output, relative to the project.
    path: String,
    /// A name in its own folder, for outputs on another disk than the record.
    beside: String,
    /// Whether there was anything.
    existed: bool,
    /// Whether it was edited by a user, and exists nowhere else.
    edited: bool,
}

/// An output about to be overwritten.
#[derive(Clone, Debug)]
pub(super) struct OldOut {
    pub(super) place: RelPath,
    pub(super) edited: bool,
}

/// Outputs that are set aside. Dropping it leaves the record for [`recover`].
#[derive(Debug)]
pub(super) struct Aside {
    root: PathBuf,
    state: PathBuf,
    folder: PathBuf,
    record: Record,
}

fn asides(state: &Path) -> PathBuf {
    state.join("aside")
}

fn new_name() -> String {
    ulid::Ulid::generate().to_string().to_lowercase()
}

fn hash(entry: &LockEntry) -> String {
    let text = run_cache::to_text(entry);
    backlot_core::Sha256::from_bytes(sha2::Sha256::digest(text.as_bytes()).into()).to_hex()
}

fn exists(path: &Path) -> Result<bool> {
    Ok(!is_absent(path)?)
}

/// Move to a place on the same disk; `false` if it is another disk.
fn moved(from: &Path, to: &Path) -> Result<bool> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(file_error)?;
    }
    match file::rename(from, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl Aside {
    /// Set the outputs of a stage aside.
    pub(super) fn set(project: &Project<'_>, stage: &Stage, outs: &[OldOut]) -> Result<Self> {
        let mut recorded = Vec::with_capacity(outs.len());
        for out in outs {
            let name = file::temporary_in(Path::new(""));
            recorded.push(RecordedOut {
                path: out.place.to_string(),
                beside: name.to_string_lossy().into_owned(),
                existed: exists(&out.place.to_path(&project.root))?,
                edited: out.edited,
            });
        }
        let aside = Self {
            root: project.root.clone(),
            state: project.state.clone(),
            folder: asides(&project.state).join(new_name()),
            record: Record {
                version: VERSION,
                address: stage.address(),
                stage: stage.name.clone(),
                lock: stage.lock_path().to_string(),
                becomes: None,
                outs: recorded,
            },
        };
        aside.write()?;
        if let Err(error) = aside.move_out() {
            // Moved outputs are restored at once; if even that fails, the record still exists.
            aside.return_all()?;
            aside.forget()?;
            return Err(error);
        }
        Ok(aside)
    }

    fn write(&self) -> Result<()> {
        if self.record.outs.is_empty() {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(&self.record).map_err(|error| self.unreadable(&error))?;
        let path = self.folder.join(RECORD);
        if self.record.outs.iter().any(|out| out.existed) {
            file::write(&path, &text)?;
        } else {
            // There is nothing that a power cut could take.
            file::write_for_now(&path, &text)?;
        }
        Ok(())
    }

    fn unreadable(&self, reason: &impl ToString) -> crate::Error {
        PipelineError::RunRecord {
            file: self.folder.join(RECORD).display().to_string(),
            reason: reason.to_string(),
        }
        .into()
    }

    fn place(&self, out: &RecordedOut) -> Result<PathBuf> {
        let path = RelPath::parse(&out.path).map_err(|hostile| self.unreadable(&hostile.reason))?;
        Ok(path.to_path(&self.root))
    }

    /// Where an output is set aside: in the folder of the record, or beside its place.
    fn asides(&self, at: usize, out: &RecordedOut) -> Result<[PathBuf; 2]> {
        if !crate::names::is_temporary(&out.beside) {
            return Err(self.unreadable(&"it has an unexpected name"));
        }
        let place = self.place(out)?;
        let beside = place.parent().unwrap_or(&self.root).join(&out.beside);
        Ok([self.folder.join(at.to_string()), beside])
    }

    fn move_out(&self) -> Result<()> {
        for (at, out) in self.record.outs.iter().enumerate().filter(|(_, out)| out.existed) {
            let (place, [here, beside]) = (self.place(out)?, self.asides(at, out)?);
            if !moved(&place, &here)? {
                moved(&place, &beside)?;
            }
        }
        Ok(())
    }

    /// Record the future entry of the lock: once the lock has it, the outputs are complete.
    pub(super) fn becomes(&mut self, entry: &LockEntry) -> Result<()> {
        self.record.becomes = Some(hash(entry));
        self.write()
    }

    /// Restore all outputs, and move the files in their places aside.
    fn return_all(&self) -> Result<Option<PathBuf>> {
        let half = self.state.join("half").join(file_name_of(&self.record.address));
        let mut left = false;
        for (at, out) in self.record.outs.iter().enumerate() {
            let place = self.place(out)?;
            let mut old = None;
            for aside in self.asides(at, out)? {
                if exists(&aside)? {
                    old = Some(aside);
                }
            }
            if old.is_none() && out.existed {
                // It was never moved, or is back already.
                continue;
            }
            if exists(&place)? {
                let to = half.join(&out.path);
                // Partial outputs of a failed stage are kept only for inspection. On a full disk they are removed.
                match file::remove(&to)
                    .map_err(Into::into)
                    .and_then(|()| moved(&place, &to))
                {
                    Ok(true) => left = true,
                    _ => file::remove(&place)?,
                }
            }
            if let Some(old) = old {
                moved(&old, &place)?;
            }
        }
        Ok(left.then_some(half))
    }

    /// The record is removed first: a folder without one is removed by the next run.
    fn forget(&self) -> Result<()> {
        file::remove(&self.folder.join(RECORD))?;
        Ok(file::remove(&self.folder)?)
    }

    /// The stage failed: its old outputs are restored. Returns the folder of its partial outputs, if any.
    pub(super) fn put_back(self) -> Result<Option<PathBuf>> {
        let half = self.return_all()?;
        self.forget()?;
        Ok(half)
    }

    /// The stage succeeded, and the lock says so: old outputs go. Returns where edits of them are kept.
    pub(super) fn finish(self) -> Result<Vec<PathBuf>> {
        let mut kept = Vec::new();
        for (at, out) in self.record.outs.iter().enumerate() {
            for aside in self.asides(at, out)? {
                if !exists(&aside)? {
                    continue;
                }
                if out.edited {
                    let to = self.state.join("kept").join(new_name()).join(&out.path);
                    if moved(&aside, &to)? {
                        kept.push(to);
                        continue;
                    }
                    // On another disk it stays beside its place, under a name that is not a temporary's.
                    let to = self.place(out)?.with_extension(format!("kept-{}", new_name()));
                    moved(&aside, &to)?;
                    kept.push(to);
                } else if aside.starts_with(&self.folder) {
                    // It goes with the folder.
                } else {
                    file::remove(&aside)?;
                }
            }
        }
        let half = self.state.join("half").join(file_name_of(&self.record.address));
        file::remove(&half)?;
        self.forget()?;
        Ok(kept)
    }
}

/// A stage whose run was interrupted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {
    /// The stage.
    pub stage: String,
    /// Whether its previous outputs are restored; else it had succeeded, and the new ones stay.
    pub put_back: bool,
    /// The folder of its partial outputs.
    pub half: Option<PathBuf>,
}

/// Whether the outputs of a stage may be put in order now.
#[derive(Debug)]
pub(super) enum Hold {
    /// Another run makes it at this moment.
    Busy,
    /// No other run does, while this is held.
    Free(Option<FileLock>),
}

/// Put outputs of interrupted runs back, of those stages that `hold` says to be free. `alone` says that no other run is
/// active, so that no run is about to write the record of a folder that has none.
pub(super) fn recover(
    project: &Project<'_>,
    alone: bool,
    hold: &dyn Fn(&str) -> Result<Hold>,
    context: &Context,
) -> Result<Vec<Recovered>> {
    let mut folders = Vec::new();
    for entry in read_folder(&asides(&project.state))?.into_iter().flatten() {
        folders.push(entry.map_err(file_error)?.path());
    }
    folders.sort();
    let mut all = Vec::new();
    for folder in folders {
        context.check()?;
        let Some(bytes) = file::read_if_exists(&folder.join(RECORD))? else {
            // Nothing was moved yet, or all was finished.
            if alone {
                file::remove(&folder)?;
            }
            continue;
        };
        let unreadable = |reason: String| PipelineError::RunRecord {
            file: folder.join(RECORD).display().to_string(),
            reason,
        };
        let record: Record = serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
        if record.version != VERSION {
            return Err(unreadable(format!("unsupported version {}", record.version)).into());
        }
        let Hold::Free(_held) = hold(&record.address)? else {
            continue;
        };
        let aside = Aside {
            root: project.root.clone(),
            state: project.state.clone(),
            folder: folder.clone(),
            record,
        };
        all.push(aside.recover()?);
    }
    Ok(all)
}

impl Aside {
    fn recover(self) -> Result<Recovered> {
        let stage = self.record.address.clone();
        let is_done = match &self.record.becomes {
            None => false,
            Some(expected) => self.locked()?.as_ref() == Some(expected),
        };
        let half = if is_done {
            self.finish()?;
            None
        } else {
            self.put_back()?
        };
        Ok(Recovered {
            stage,
            put_back: !is_done,
            half,
        })
    }

    /// The hash of the entry that the lock has now; `None` if it has none, or cannot be read.
    fn locked(&self) -> Result<Option<String>> {
        let path = RelPath::parse(&self.record.lock).map_err(|hostile| self.unreadable(&hostile.reason))?;
        let bytes = file::read_if_exists(&path.to_path(&self.root))?.unwrap_or_default();
        let lock = String::from_utf8_lossy(&bytes);
        let lock = Lock::parse(path.as_str(), &lock).unwrap_or_default();
        Ok(lock.get(&self.record.stage).map(hash))
    }
}
