//! Locks between processes, on a file: exclusive, or shared by many. Released by the system when the process dies.
//!
//! Deliberately absent: anything that decides correctness across machines; repos rely on exclusive creates instead.

use std::path::Path;
use std::time::{Duration, Instant};

use fs_err as fs;

use crate::context::Context;
use crate::error::Class;
use crate::file::{self, FileError};
use crate::plain_file::open_plain;
use crate::platform;

/// A held lock; dropping it releases it.
#[derive(Debug)]
pub struct FileLock {
    file: std::fs::File,
}

/// The lock was not had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process holds it for too long.
    #[error("another backlot command has held `{path}` for more than {seconds} seconds")]
    Busy {
        /// The lock file.
        path: String,
        /// How long we waited.
        seconds: u64,
    },
    /// The lock file cannot be made.
    #[error(transparent)]
    File(#[from] FileError),
    /// Stopped while waiting.
    #[error(transparent)]
    Cancelled(#[from] crate::cancel::Cancelled),
}

crate::coded! {
    LockError as File | Cancelled {
        Self::Busy { .. } => "core::locked", Class::Conflict,
            "wait for the other command to finish, or stop it",
            retry true;
    }
}

impl FileLock {
    /// Wait for the lock on `path` (created if absent), at most `patience`, or the timeout of the context.
    pub fn acquire(path: &Path, patience: Duration, context: &Context) -> Result<Self, LockError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(FileError::from)?;
        }
        let mut open = fs::OpenOptions::new();
        let (file, _) = open_plain(open.create(true).truncate(false).write(true), path)?;
        let file = file.into_file();
        Self::wait(file, path, std::fs::File::try_lock, patience, context)
    }

    /// Wait for a lock on a file that is there, which many may hold at a time, but none while one is exclusive.
    pub fn acquire_shared(path: &Path, patience: Duration, context: &Context) -> Result<Self, LockError> {
        let file = file::open(path)?.into_file();
        Self::wait(file, path, std::fs::File::try_lock_shared, patience, context)
    }

    /// Have the command that this process becomes hold the lock, and all that it starts, until the last of them ends. Where a process cannot
    /// become another, this one holds it meanwhile.
    pub fn pass_on(&self) -> Result<(), LockError> {
        platform::inherit(&self.file).map_err(|e| FileError::from(e).into())
    }

    fn wait(
        file: std::fs::File,
        path: &Path,
        take: fn(&std::fs::File) -> Result<(), std::fs::TryLockError>,
        patience: Duration,
        context: &Context,
    ) -> Result<Self, LockError> {
        let patience = context.lock_timeout().unwrap_or(patience);
        let deadline = Instant::now() + patience;
        loop {
            match take(&file) {
                Ok(()) => return Ok(Self { file }),
                Err(std::fs::TryLockError::WouldBlock) if Instant::now() < deadline => {
                    context.check()?;
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(std::fs::TryLockError::WouldBlock) => {
                    return Err(LockError::Busy {
                        path: path.display().to_string(),
                        seconds: patience.as_secs(),
                    });
                }
                Err(std::fs::TryLockError::Error(e)) => return Err(FileError::from(e).into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{FileLock, LockError};
    use crate::Context;

    #[test]
    fn who_calls_says_how_long_a_lock_is_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, long) = (folder.path().join("lock"), Duration::from_mins(5));
        let held = FileLock::acquire(&path, long, &Context::default()).expect("free");
        let hasty = Context::default().with_lock_timeout(Duration::ZERO);
        let began = Instant::now();
        let refused = FileLock::acquire(&path, long, &hasty);
        assert!(
            matches!(refused, Err(LockError::Busy { seconds: 0, .. })),
            "{refused:?}"
        );
        assert!(began.elapsed() < Duration::from_mins(1));
        drop(held);
        FileLock::acquire(&path, long, &hasty).expect("free again");
    }
}
