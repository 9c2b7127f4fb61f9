//! The process that runs a cascade in the background: that it runs, where its log is, and that it was killed.
//!
//! Invariants: a record is there from before it builds until it ends; it holds a lock for all of that time, which the system takes away from one that is
//! killed, so a record without a lock is one of a process that is no more, whatever numbers were given out since. Both lie in the cache of the machine, as
//! others can do nothing with them: what they need is in the journal. Deliberately absent: starting a process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use backlot_cascade::CascadeId;
use backlot_core::{FileLock, Timestamp, file};
use serde::{Deserialize, Serialize};

use crate::error::{CascadeError, Result};
use crate::workspace::Opened;

/// How long logs of processes that ended are kept.
const LOGS: Duration = Duration::from_hours(30 * 24);

/// A process that runs a cascade in the background.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BackgroundRunner {
    /// Its machine.
    pub machine: String,
    /// Its number there.
    pub process: u32,
    /// When it began.
    pub since: Timestamp,
    /// What it prints.
    pub log: PathBuf,
    /// Whether it runs; if not, it was killed, or its machine was restarted.
    #[serde(default)]
    pub alive: bool,
}

/// Held by a process that runs a cascade in the background.
#[derive(Debug)]
pub(crate) struct Background {
    record: PathBuf,
    _held: FileLock,
}

impl Drop for Background {
    fn drop(&mut self) {
        // What stays is seen as that of a process that was killed.
        file::remove(&self.record).ok();
    }
}

impl Opened {
    fn background_file(&self, cascade: &CascadeId, extension: &str) -> PathBuf {
        let folder = self.cache_dir().join("cascades").join("background");
        folder.join(format!("{cascade}.{extension}"))
    }

    /// Where a process that runs a cascade in the background prints to; the folder is there. Logs of long ago are removed.
    pub(crate) fn background_log(&self, cascade: &CascadeId) -> Result<PathBuf> {
        let log = self.background_file(cascade, "log");
        if let Some(folder) = log.parent() {
            fs_err::create_dir_all(folder)?;
            self.remove_old_logs(folder);
        }
        Ok(log)
    }

    fn remove_old_logs(&self, folder: &Path) {
        let before = self.context().now().before(LOGS).0;
        let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.path().extension().is_some_and(|kind| kind == "log")) {
            let found = entry.metadata().ok();
            if found.is_some_and(|found| backlot_core::platform::last_used(&found) < before) {
                file::remove(&entry.path()).ok();
                // Not one that is held: its process may be silent for long.
                let lock = entry.path().with_extension("lock");
                if fs_err::File::open(&lock).is_ok_and(|held| held.file().try_lock().is_ok()) {
                    file::remove(&lock).ok();
                }
            }
        }
    }

    /// Say that this process runs a cascade in the background. An error if another one of this machine does.
    pub(crate) fn hold_background(&self, cascade: &CascadeId) -> Result<Background> {
        let log = self.background_log(cascade)?;
        if let Some(other) = self.background_runner(cascade).filter(|other| other.alive) {
            return Err(CascadeError::InBackground {
                cascade: cascade.to_string(),
                process: other.process,
            }
            .into());
        }
        let lock = self.background_file(cascade, "lock");
        let held = FileLock::acquire(&lock, Duration::from_secs(1), self.context())?;
        let runner = BackgroundRunner {
            machine: self.host().machine.clone(),
            process: std::process::id(),
            since: self.context().now(),
            log,
            alive: true,
        };
        let record = self.background_file(cascade, "json");
        let bytes = serde_json::to_vec(&runner).expect("a runner is plain data");
        file::write(&record, &bytes)?;
        Ok(Background { record, _held: held })
    }

    /// The process of this machine that runs a cascade in the background, or that was killed while it did.
    pub(crate) fn background_runner(&self, cascade: &CascadeId) -> Option<BackgroundRunner> {
        let bytes = fs_err::read(self.background_file(cascade, "json")).ok()?;
        let mut runner: BackgroundRunner = serde_json::from_slice(&bytes).ok()?;
        let lock = fs_err::File::open(self.background_file(cascade, "lock"));
        runner.alive = lock.is_ok_and(|lock| lock.file().try_lock_shared().is_err());
        // One that ended between the two looks has taken its record away.
        (runner.alive || self.background_file(cascade, "json").exists()).then_some(runner)
    }

    /// Somebody continues it: that a process was killed is of no interest any more.
    pub(crate) fn forget_killed(&self, cascade: &CascadeId) {
        if self
            .background_runner(cascade)
            .is_some_and(|runner| !runner.alive)
        {
            file::remove(&self.background_file(cascade, "json")).ok();
        }
    }
}
