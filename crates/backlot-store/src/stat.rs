//! The stat cache: digests of files that have not changed since they were hashed.
//!
//! A file is taken for unchanged if inode, size, modification time and change time are what they were. Change time cannot
//! be set back by a program, so an edit that keeps size and modification time is seen. A file that changed less than
//! [`RACY_MS`] before it was recorded is not recorded: another edit could fall into the same tick of the disk's clock
//! (git's "racy" entries). Invariant: losing the database costs time, never correctness; a damaged one is made anew.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use backlot_core::{Blake3, Context, Md5, Timestamp};
use rusqlite::{Connection, params};

use crate::error::{Error, Result};
use crate::object::FileDigests;

/// How old a change must be for the entry to be sound, in milliseconds. Kernel ticks are at most 10 ms.
const RACY_MS: u64 = 50;
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS files (
    folder TEXT NOT NULL, name TEXT NOT NULL,
    inode INTEGER NOT NULL, size INTEGER NOT NULL, modified INTEGER NOT NULL, changed INTEGER NOT NULL,
    md5 BLOB NOT NULL, blake3 BLOB NOT NULL,
    PRIMARY KEY (folder, name)) WITHOUT ROWID;";

/// What tells one state of a file from another. Times in nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStat {
    /// Inode number; 0 where there are none.
    pub inode: u64,
    /// Length in bytes.
    pub size: u64,
    /// Modification time.
    pub modified: i64,
    /// Change time of the inode.
    pub changed: i64,
}

impl FileStat {
    /// The state that metadata shows.
    pub fn of(metadata: &std::fs::Metadata) -> Self {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let nanoseconds =
                |seconds: i64, rest: i64| seconds.wrapping_mul(1_000_000_000).wrapping_add(rest);
            Self {
                inode: metadata.ino(),
                size: metadata.len(),
                modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
                changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            }
        }
        #[cfg(not(unix))]
        {
            let since = metadata
                .modified()
                .ok()
                .and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
            let modified = i64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(i64::MAX);
            Self {
                inode: 0,
                size: metadata.len(),
                modified,
                changed: modified,
            }
        }
    }

    fn is_racy(&self, now: Timestamp) -> bool {
        let changed = u64::try_from(self.changed.max(self.modified) / 1_000_000).unwrap_or(0);
        changed.saturating_add(RACY_MS) > now.0
    }
}

/// A file with its state.
#[derive(Clone, Debug)]
pub struct StatEntry {
    /// Absolute path.
    pub path: PathBuf,
    /// Its state.
    pub stat: FileStat,
}

/// The database of one workspace.
#[derive(Debug)]
pub struct StatCache {
    connection: Mutex<Connection>,
    path: PathBuf,
}

impl StatCache {
    /// Open or make the database; one that cannot be read is replaced.
    pub fn open(path: &Path) -> Result<Self> {
        let open = || -> rusqlite::Result<Connection> {
            let connection = Connection::open(path)?;
            connection.busy_timeout(Duration::from_secs(20))?;
            // It can be made again, so a power cut may lose it; a killed process cannot damage it. A rollback journal holds
            // old pages only, so what is new is written once; a log would hold it too. Another process that has the database
            // open may forbid the change of mode; then it stays as it is.
            connection.pragma_update(None, "journal_mode", "TRUNCATE").ok();
            connection.pragma_update(None, "synchronous", "OFF")?;
            connection.execute_batch(SCHEMA)?;
            connection.execute_batch(crate::placed::SCHEMA)?;
            connection.query_row("SELECT count(*) FROM (SELECT md5 FROM files LIMIT 1)", [], |_| {
                Ok(())
            })?;
            Ok(connection)
        };
        let failed = |source| Error::State {
            path: path.to_path_buf(),
            source,
        };
        let connection = match open() {
            Ok(connection) => connection,
            Err(rusqlite::Error::SqliteFailure(code, _))
                if matches!(
                    code.code,
                    rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt
                ) =>
            {
                for suffix in ["", "-journal", "-wal", "-shm"] {
                    let mut name = path.as_os_str().to_owned();
                    name.push(suffix);
                    backlot_core::file::remove(Path::new(&name))?;
                }
                open().map_err(failed)?
            }
            Err(error) => return Err(failed(error)),
        };
        Ok(Self {
            connection: Mutex::new(connection),
            path: path.to_path_buf(),
        })
    }

    pub(crate) fn failed(&self, source: rusqlite::Error) -> Error {
        Error::State {
            path: self.path.clone(),
            source,
        }
    }

    pub(crate) fn connection(&self) -> std::sync::MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The digests of those files that are as they were; `None` for the others. One query a folder.
    pub fn lookup(&self, entries: &[StatEntry]) -> Result<Vec<Option<FileDigests>>> {
        let mut found = vec![None; entries.len()];
        let connection = self.connection();
        let mut folders: HashMap<&Path, HashMap<&str, usize>> = HashMap::new();
        for (position, entry) in entries.iter().enumerate() {
            if let Some((folder, name)) = split(&entry.path) {
                folders.entry(folder).or_default().insert(name, position);
            }
        }
        let mut query = connection
            .prepare_cached(
                "SELECT name, inode, size, modified, changed, md5, blake3 FROM files WHERE folder = ?1",
            )
            .map_err(|e| self.failed(e))?;
        #[expect(clippy::iter_over_hash_type, reason = "each result goes to its own place")]
        for (folder, names) in folders {
            let Some(folder) = folder.to_str() else { continue };
            let mut rows = query.query([folder]).map_err(|e| self.failed(e))?;
            while let Some(row) = rows.next().map_err(|e| self.failed(e))? {
                if let Some((position, digests)) =
                    read_row(row, &names, entries).map_err(|e| self.failed(e))?
                {
                    found[position] = Some(digests);
                }
            }
        }
        Ok(found)
    }

    /// Remember digests, in one transaction. Files that changed a moment ago are left out.
    pub fn store(&self, files: &[(StatEntry, FileDigests)], context: &Context) -> Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        let now = context.now();
        // In the order of the key, so that each page is filled once.
        let mut files: Vec<&(StatEntry, FileDigests)> = files.iter().collect();
        files.sort_unstable_by(|a, b| a.0.path.as_os_str().cmp(b.0.path.as_os_str()));
        let mut connection = self.connection();
        let transaction = connection.transaction().map_err(|e| self.failed(e))?;
        {
            let mut insert = transaction
                .prepare_cached("INSERT OR REPLACE INTO files VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")
                .map_err(|e| self.failed(e))?;
            for (entry, digests) in files {
                let Some((folder, name)) = split(&entry.path) else {
                    continue;
                };
                let Some(folder) = folder.to_str() else { continue };
                if entry.stat.is_racy(now) {
                    continue;
                }
                let (inode, size) = (entry.stat.inode.cast_signed(), entry.stat.size.cast_signed());
                let (md5, blake3) = (&digests.md5.as_bytes()[..], &digests.blake3.as_bytes()[..]);
                insert
                    .execute(params![
                        folder,
                        name,
                        inode,
                        size,
                        entry.stat.modified,
                        entry.stat.changed,
                        md5,
                        blake3
                    ])
                    .map_err(|e| self.failed(e))?;
            }
        }
        transaction.commit().map_err(|e| self.failed(e))
    }
}

fn split(path: &Path) -> Option<(&Path, &str)> {
    Some((path.parent()?, path.file_name()?.to_str()?))
}

fn read_row(
    row: &rusqlite::Row<'_>,
    names: &HashMap<&str, usize>,
    entries: &[StatEntry],
) -> rusqlite::Result<Option<(usize, FileDigests)>> {
    let name = row.get_ref(0)?;
    let Some(position) = name.as_str().ok().and_then(|name| names.get(name)).copied() else {
        return Ok(None);
    };
    let stat = entries[position].stat;
    let recorded = FileStat {
        inode: row.get::<_, i64>(1)?.cast_unsigned(),
        size: row.get::<_, i64>(2)?.cast_unsigned(),
        modified: row.get(3)?,
        changed: row.get(4)?,
    };
    if recorded != stat {
        return Ok(None);
    }
    let (md5, blake3): ([u8; 16], [u8; 32]) = (row.get(5)?, row.get(6)?);
    let digests = FileDigests {
        md5: Md5::from_bytes(md5),
        blake3: Blake3::from_bytes(blake3),
        size: stat.size,
    };
    Ok(Some((position, digests)))
}

#[cfg(test)]
mod tests {
    use super::{FileStat, StatCache, StatEntry};
    use crate::object::FileDigests;
    use backlot_core::{Blake3, Context, FixedClock, Md5, Timestamp};
    use std::sync::Arc;

    fn entry(changed_ms: i64) -> StatEntry {
        let stat = FileStat {
            inode: 7,
            size: 3,
            modified: 5,
            changed: changed_ms * 1_000_000,
        };
        StatEntry {
            path: "/a/b".into(),
            stat,
        }
    }

    #[test]
    fn a_change_of_a_moment_ago_is_not_trusted_and_an_older_one_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = StatCache::open(&folder.path().join("state.db")).expect("opened");
        let context = Context::default().with_clock(Arc::new(FixedClock(Timestamp(1000))));
        let digests = FileDigests {
            md5: Md5::from_bytes([1; 16]),
            blake3: Blake3::from_bytes([2; 32]),
            size: 3,
        };
        cache.store(&[(entry(980), digests)], &context).expect("stored");
        assert_eq!(cache.lookup(&[entry(980)]).expect("read"), [None]);
        cache.store(&[(entry(900), digests)], &context).expect("stored");
        assert_eq!(cache.lookup(&[entry(900)]).expect("read"), [Some(digests)]);
        assert_eq!(cache.lookup(&[entry(901)]).expect("read"), [None]);
    }

    #[test]
    fn a_damaged_database_is_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.db");
        fs_err::write(&path, vec![b'x'; 5000]).expect("written");
        let cache = StatCache::open(&path).expect("made anew");
        assert_eq!(cache.lookup(&[entry(1)]).expect("read"), [None]);
    }
}
