//! Records beside the releases of a repo: what cascades keep there for everybody who has the repo. The layout is in
//! `docs/format/cascade-journal.md`.
//!
//! Invariants: of any number of writers that create a record of one name at once, one wins; a record lies below `cascades/` and nowhere else, so that it
//! is never taken for a release, and no release depends on it. Where a store commits by moving, and a move is two steps for it, two may
//! believe that they won: a later record or the commit of a release tells them apart. Deliberately absent: what the records say.

use backlot_backend::{CommitBy, Error as BackendError, Put, RenameOutcome};
use ulid::Ulid;

use super::commit::LostAnswers;
use super::{JSON, ReleaseStore};
use crate::error::Result;

/// Below which all records lie.
const FOLDER: &str = "cascades/";
/// The most that a record may have.
const RECORD_LIMIT: u64 = 256 << 20;

impl ReleaseStore {
    /// Create a record if there is none of this name; whether it was created. What is written has to differ from what anybody else
    /// writes, as the bytes tell whose it is after an answer was lost.
    pub fn create_record(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        self.check_layout()?;
        self.make()?;
        let key = format!("{FOLDER}{name}");
        let mut lost = LostAnswers::default();
        loop {
            match self.try_create(&key, bytes) {
                Ok(Put::New) => return Ok(true),
                // What stands between us and the store may have sent the request twice.
                Ok(Put::Exists) => {
                    if let Some(there) = self.0.objects.read(&key, RECORD_LIMIT)? {
                        return Ok(there == bytes);
                    }
                }
                Err(error) => lost.another(error)?,
            }
        }
    }

    fn try_create(&self, key: &str, bytes: &[u8]) -> Result<Put, BackendError> {
        let objects = &self.0.objects;
        if objects.commit_by() == CommitBy::Create {
            return objects.create(key, bytes.to_vec(), JSON);
        }
        let staged = format!("staged/record-{}", Ulid::generate().to_string().to_lowercase());
        objects.stage(&staged, bytes.to_vec())?;
        Ok(match objects.rename(&staged, key)? {
            RenameOutcome::Done => Put::New,
            moved => {
                if moved == RenameOutcome::Exists {
                    // Left behind, it is removed with what other publishers left.
                    objects.delete(&staged).ok();
                }
                Put::Exists
            }
        })
    }

    /// Write a record, replacing an existing one.
    pub fn write_record(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.check_layout()?;
        self.make()?;
        let key = format!("{FOLDER}{name}");
        Ok(self.0.objects.write(&key, bytes.to_vec(), JSON)?)
    }

    /// Remove a record; succeeds if it does not exist.
    pub fn remove_record(&self, name: &str) -> Result<()> {
        Ok(self.0.objects.delete(&format!("{FOLDER}{name}"))?)
    }

    /// A record; `None` if it does not exist.
    pub fn read_record(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.0.objects.read(&format!("{FOLDER}{name}"), RECORD_LIMIT)?)
    }

    /// Many records, many at once where each is a journey.
    pub fn read_records(&self, names: &[String]) -> Result<Vec<Option<Vec<u8>>>> {
        self.each(names, |name| self.read_record(name))
    }

    /// The names of one part below a prefix that ends in `/`, sorted; those of folders end in `/`.
    pub fn record_names(&self, prefix: &str) -> Result<Vec<String>> {
        let mut names = self.0.objects.names(&format!("{FOLDER}{prefix}"))?;
        names.retain(|name| !name.starts_with('.'));
        names.sort_unstable();
        Ok(names)
    }

    /// The names of all records below a prefix that ends in `/`, without the prefix, sorted.
    pub fn records_below(&self, prefix: &str) -> Result<Vec<String>> {
        let prefix = format!("{FOLDER}{prefix}");
        let entries = self.0.objects.list(&prefix, true)?.into_iter();
        let below = entries.filter_map(|entry| entry.key.strip_prefix(&prefix).map(ToOwned::to_owned));
        let mut names: Vec<String> = below
            .filter(|name| {
                !name.is_empty() && !name.ends_with('/') && !name.split('/').any(|part| part.starts_with('.'))
            })
            .collect();
        names.sort_unstable();
        Ok(names)
    }
}
