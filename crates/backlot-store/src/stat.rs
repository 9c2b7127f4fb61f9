//! The stat cache: digests of files that have not changed since they were hashed.
//!
//! A file is taken for unchanged if inode, size, modification time and mode are what they were and, where it can be written
//! to, its change time, too. Change time cannot be set back by a program, so an edit that keeps size and modification time is
//! seen. Of a read-only file it counts for nothing: every new or removed name of it changes it (see
//! `docs/decisions/0010-what-is-known-unread.md`). A file that was modified less than [`RACY_MS`] before it was recorded is not
//! recorded: another edit could fall into the same tick of the disk's clock (git's "racy" entries). A name of a cache object
//! that is not known by its path is known by its inode. Invariant: losing the database costs time, never correctness; a
//! damaged one is made anew.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use backlot_core::{Blake3, Context, Md5, Timestamp, shared};
use rusqlite::{Connection, params};

use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::object::FileDigests;

/// How old a modification must be for the entry to be sound, in milliseconds. Kernel ticks are at most 10 ms.
const RACY_MS: u64 = 50;
/// Up to how many files of a folder are asked for one by one.
const FEW: usize = 16;
const SCHEMA: &str = "DROP TABLE IF EXISTS files;
    CREATE TABLE IF NOT EXISTS states (
    folder TEXT NOT NULL, name TEXT NOT NULL,
    inode INTEGER NOT NULL, size INTEGER NOT NULL, modified INTEGER NOT NULL, changed INTEGER NOT NULL,
    read_only INTEGER NOT NULL, md5 BLOB NOT NULL, blake3 BLOB NOT NULL,
    PRIMARY KEY (folder, name)) WITHOUT ROWID;";
const COLUMNS: &str = "name, inode, size, modified, changed, read_only, md5, blake3";

/// What tells one state of a file from another. Times in nanoseconds since the epoch. Two are equal if nothing says that the
/// bytes differ: change time counts only where the file can be written to.
#[derive(Clone, Copy, Debug)]
pub struct FileStat {
    /// Inode number; 0 where there are none.
    pub inode: u64,
    /// Length in bytes.
    pub size: u64,
    /// Modification time.
    pub modified: i64,
    /// Change time of the inode.
    pub changed: i64,
    /// Whether its mode is read-only.
    pub read_only: bool,
    /// How many names it has.
    pub names: u64,
}

impl PartialEq for FileStat {
    fn eq(&self, other: &Self) -> bool {
        let key = |stat: &Self| (stat.inode, stat.size, stat.modified, stat.read_only);
        key(self) == key(other) && (self.read_only || self.changed == other.changed)
    }
}
impl Eq for FileStat {}

/// The recorded state of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// Nothing.
    Nothing,
    /// Another state than it has now.
    OtherState,
    /// This state, with these digests.
    Digests(FileDigests),
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
                read_only: metadata.permissions().readonly(),
                names: metadata.nlink(),
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
                read_only: metadata.permissions().readonly(),
                names: 1,
            }
        }
    }

    fn is_racy(&self, now: Timestamp) -> bool {
        let modified = u64::try_from(self.modified / 1_000_000).unwrap_or(0);
        modified.saturating_add(RACY_MS) > now.0
    }

    /// Whether this may be one of several names of a cache object.
    const fn may_be_object(&self) -> bool {
        self.read_only && self.names > 1
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

/// The database of one workspace, or of one cache.
#[derive(Debug)]
pub struct StatCache {
    connection: Mutex<Connection>,
    path: PathBuf,
    /// Where names of objects are known by their inodes.
    cache: Option<Cache>,
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
            connection.query_row(
                "SELECT count(*) FROM (SELECT md5 FROM states LIMIT 1)",
                [],
                |_| Ok(()),
            )?;
            Ok(connection)
        };
        let failed = |source: rusqlite::Error| Error::State {
            path: path.to_path_buf(),
            source: Box::new(source),
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
            cache: None,
        })
    }

    /// Open or make the database of a place that others use, with the mode of that; what SQLite makes beside it has the same.
    pub(crate) fn open_shared(path: &Path) -> Result<Self> {
        if !path.exists() {
            shared::make_folder_for_now(path.parent().unwrap_or(Path::new("")))?;
            shared::create(path, b"")?;
        }
        Self::open(path)
    }

    /// A database in memory: its digests are gone with it.
    pub(crate) fn forgetful() -> Result<Self> {
        Self::open(Path::new(":memory:"))
    }

    /// The same, which knows other names of the objects of a cache by their inodes.
    #[must_use]
    pub fn beside(mut self, cache: &Cache) -> Self {
        self.cache = Some(cache.clone());
        self
    }

    /// Make files findable by their inodes.
    pub(crate) fn with_inodes(self) -> Result<Self> {
        self.connection()
            .execute_batch("CREATE INDEX IF NOT EXISTS inodes ON states (inode);")
            .map_err(|e| self.failed(e))?;
        Ok(self)
    }

    pub(crate) fn failed(&self, source: rusqlite::Error) -> Error {
        Error::State {
            path: self.path.clone(),
            source: Box::new(source),
        }
    }

    pub(crate) fn connection(&self) -> std::sync::MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The digests of those files that are as they were; `None` for the others.
    pub fn lookup(&self, entries: &[StatEntry]) -> Result<Vec<Option<FileDigests>>> {
        let mut found: Vec<Option<FileDigests>> = self
            .recorded(entries)?
            .into_iter()
            .map(|recorded| match recorded {
                Recorded::Digests(digests) => Some(digests),
                Recorded::Nothing | Recorded::OtherState => None,
            })
            .collect();
        if let Some(cache) = &self.cache {
            for (entry, found) in entries.iter().zip(&mut found) {
                if found.is_none() && entry.stat.may_be_object() {
                    *found = cache.object_of(entry);
                }
            }
        }
        Ok(found)
    }

    /// What is recorded of files. One query a folder, or one a file where they are few; all see one state of the database, which is
    /// locked and looked at once for them.
    pub(crate) fn recorded(&self, entries: &[StatEntry]) -> Result<Vec<Recorded>> {
        let mut found = vec![Recorded::Nothing; entries.len()];
        let mut folders: HashMap<&Path, HashMap<&str, usize>> = HashMap::new();
        for (position, entry) in entries.iter().enumerate() {
            if let Some((folder, name)) = split(&entry.path) {
                folders.entry(folder).or_default().insert(name, position);
            }
        }
        let connection = self.connection();
        let _reading = connection.unchecked_transaction().map_err(|e| self.failed(e))?;
        let prepare = |condition| {
            connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM states WHERE {condition}"))
                .map_err(|e| self.failed(e))
        };
        let mut one = prepare("folder = ?1 AND name = ?2")?;
        let mut all = prepare("folder = ?1")?;
        let mut take = |rows: rusqlite::Rows<'_>, names: &HashMap<&str, usize>| {
            read_rows(rows, names, entries, &mut found).map_err(|e| self.failed(e))
        };
        #[expect(clippy::iter_over_hash_type, reason = "each result goes to its own place")]
        for (folder, names) in &folders {
            let Some(folder) = folder.to_str() else { continue };
            if names.len() > FEW {
                take(all.query([folder]).map_err(|e| self.failed(e))?, names)?;
                continue;
            }
            for name in names.keys() {
                take(one.query([folder, name]).map_err(|e| self.failed(e))?, names)?;
            }
        }
        Ok(found)
    }

    /// The files that have an inode of this number, with what was recorded of them.
    pub(crate) fn by_inode(&self, inode: u64) -> Result<Vec<PathBuf>> {
        let connection = self.connection();
        let mut query = connection
            .prepare_cached("SELECT folder, name FROM states WHERE inode = ?1")
            .map_err(|e| self.failed(e))?;
        let path = |row: &rusqlite::Row<'_>| {
            let (folder, name): (String, String) = (row.get(0)?, row.get(1)?);
            Ok(Path::new(&folder).join(name))
        };
        let rows = query
            .query_map([inode.cast_signed()], path)
            .map_err(|e| self.failed(e))?;
        rows.collect::<rusqlite::Result<_>>().map_err(|e| self.failed(e))
    }

    /// Remove records of files.
    pub(crate) fn forget(&self, paths: &[PathBuf]) -> Result<()> {
        let mut connection = self.connection();
        let transaction = connection.transaction().map_err(|e| self.failed(e))?;
        {
            let mut delete = transaction
                .prepare_cached("DELETE FROM states WHERE folder = ?1 AND name = ?2")
                .map_err(|e| self.failed(e))?;
            for (folder, name) in paths.iter().filter_map(|path| split(path)) {
                if let Some(folder) = folder.to_str() {
                    delete.execute([folder, name]).map_err(|e| self.failed(e))?;
                }
            }
        }
        transaction.commit().map_err(|e| self.failed(e))
    }

    /// Remove records of files with the content of some objects: they are read before further use.
    pub fn forget_content(&self, md5s: &HashSet<Md5>) -> Result<()> {
        let find = || -> rusqlite::Result<Vec<PathBuf>> {
            let connection = self.connection();
            let mut query = connection.prepare("SELECT folder, name, md5 FROM states")?;
            let mut rows = query.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                if md5s.contains(&Md5::from_bytes(row.get::<_, [u8; 16]>(2)?)) {
                    let (folder, name): (String, String) = (row.get(0)?, row.get(1)?);
                    found.push(Path::new(&folder).join(name));
                }
            }
            Ok(found)
        };
        let found = find().map_err(|e| self.failed(e))?;
        self.forget(&found)
    }

    /// Remember digests, in one transaction. Files that were modified a moment ago are left out.
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
                .prepare_cached("INSERT OR REPLACE INTO states VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")
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
                        entry.stat.read_only,
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

fn read_rows(
    mut rows: rusqlite::Rows<'_>,
    names: &HashMap<&str, usize>,
    entries: &[StatEntry],
    found: &mut [Recorded],
) -> rusqlite::Result<()> {
    while let Some(row) = rows.next()? {
        let name = row.get_ref(0)?;
        let Some(position) = name.as_str().ok().and_then(|name| names.get(name)).copied() else {
            continue;
        };
        let stat = entries[position].stat;
        let recorded = FileStat {
            inode: row.get::<_, i64>(1)?.cast_unsigned(),
            size: row.get::<_, i64>(2)?.cast_unsigned(),
            modified: row.get(3)?,
            changed: row.get(4)?,
            read_only: row.get(5)?,
            names: stat.names,
        };
        let (md5, blake3): ([u8; 16], [u8; 32]) = (row.get(6)?, row.get(7)?);
        found[position] = if recorded == stat {
            Recorded::Digests(FileDigests {
                md5: Md5::from_bytes(md5),
                blake3: Blake3::from_bytes(blake3),
                size: stat.size,
            })
        } else {
            Recorded::OtherState
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{FileStat, StatCache, StatEntry};
    use crate::object::FileDigests;
    use backlot_core::{Blake3, Context, FixedClock, Md5, Timestamp};
    use std::sync::Arc;

    fn entry(ms: i64) -> StatEntry {
        let stat = FileStat {
            inode: 7,
            size: 3,
            modified: ms * 1_000_000,
            changed: ms * 1_000_000,
            read_only: false,
            names: 1,
        };
        StatEntry {
            path: "/a/b".into(),
            stat,
        }
    }

    fn stored(entry: StatEntry) -> (tempfile::TempDir, StatCache, FileDigests) {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = StatCache::open(&folder.path().join("state.db")).expect("opened");
        let context = Context::default().with_clock(Arc::new(FixedClock(Timestamp(1000))));
        let digests = FileDigests {
            md5: Md5::from_bytes([1; 16]),
            blake3: Blake3::from_bytes([2; 32]),
            size: 3,
        };
        cache.store(&[(entry, digests)], &context).expect("stored");
        (folder, cache, digests)
    }

    #[test]
    fn a_change_of_a_moment_ago_is_not_trusted_and_an_older_one_is() {
        let (_folder, cache, _) = stored(entry(980));
        assert_eq!(cache.lookup(&[entry(980)]).expect("read"), [None]);
        let (_folder, cache, digests) = stored(entry(900));
        assert_eq!(cache.lookup(&[entry(900)]).expect("read"), [Some(digests)]);
        assert_eq!(cache.lookup(&[entry(901)]).expect("read"), [None]);
    }

    #[test]
    fn a_new_name_of_a_read_only_file_is_no_change_and_a_new_time_or_mode_is() {
        let with = |edit: fn(&mut FileStat)| {
            let mut entry = entry(900);
            entry.stat.read_only = true;
            edit(&mut entry.stat);
            entry
        };
        let (_folder, cache, digests) = stored(with(|_| ()));
        let linked = with(|stat| (stat.changed, stat.names) = (5, 2));
        assert_eq!(cache.lookup(&[linked]).expect("read"), [Some(digests)]);
        let edits: [fn(&mut FileStat); 4] = [
            |stat| stat.modified += 1,
            |stat| stat.size += 1,
            |stat| stat.inode += 1,
            |stat| stat.read_only = false,
        ];
        for edit in edits {
            assert_eq!(cache.lookup(&[with(edit)]).expect("read"), [None]);
        }
        // Who may write to a file may set its times: then only the change time tells.
        let (_folder, cache, _) = stored(entry(900));
        let mut reset = entry(900);
        reset.stat.changed += 1;
        assert_eq!(cache.lookup(&[reset]).expect("read"), [None]);
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
