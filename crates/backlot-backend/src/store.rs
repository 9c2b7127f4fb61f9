//! The interface of an object store: a small trait, so that tests can wrap it.
//!
//! Invariant: an object appears whole or not at all. The verbs wait: who needs many at once asks
//! from many threads. Deliberately absent: anything a plain store does not have, such as locks or appending.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backlot_core::FileError;
use serde::{Deserialize, Serialize};

use crate::each::each;
use crate::error::Result;

/// How a release is committed, as `repo.json` says it.
///
/// ```
/// use backlot_backend::{CommitBy, memory};
///
/// assert_eq!(memory().commit_by(), CommitBy::Create);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommitBy {
    /// By a create that fails if the object is there.
    Create,
    /// By moving a staged object, which fails if that is gone.
    Move,
}

/// An object or a folder as listed.
///
/// ```
/// use backlot_backend::{Entry, memory};
///
/// let store = memory();
/// store.write("frames/a.exr", b"pixels".to_vec(), "image/x-exr").unwrap();
/// let found: Entry = store.stat("frames/a.exr").unwrap().unwrap();
/// assert_eq!((found.key.as_str(), found.size), ("frames/a.exr", 6));
/// let listed = store.list("frames/", false).unwrap();
/// assert_eq!(listed.len(), 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The whole key; that of a folder ends in `/`.
    pub key: String,
    /// In bytes.
    pub size: u64,
    /// When it was written, by the store's clock, in milliseconds; 0 if unknown.
    pub modified: u64,
    /// Changes when the bytes do; empty where nothing tells.
    pub tag: String,
}

/// The outcome of a create.
///
/// ```
/// use backlot_backend::{Put, memory};
///
/// let store = memory();
/// let create = |who: &str| store.create("owner", who.into(), "text/plain").unwrap();
/// assert_eq!(create("ana"), Put::New);
/// assert_eq!(create("ben"), Put::Exists);
/// assert_eq!(store.read("owner", 3).unwrap().unwrap(), b"ana");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It was written.
    New,
    /// There is one.
    Exists,
}

/// The outcome of a move.
///
/// ```
/// use backlot_backend::{RenameOutcome, memory};
///
/// let store = memory();
/// let mut commit = |wheel: &str| {
///     store.stage("staged/1", wheel.into()).unwrap();
///     store.rename("staged/1", "chair.whl").unwrap()
/// };
/// assert_eq!(commit("one"), RenameOutcome::Done);
/// assert_eq!(commit("another"), RenameOutcome::Exists);
/// assert_eq!(store.rename("staged/2", "table.whl").unwrap(), RenameOutcome::Gone);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameOutcome {
    /// It has its new name.
    Done,
    /// The source is gone.
    Gone,
    /// The target is there.
    Exists,
}

/// Whether an object may take the place of one that is there.
///
/// ```
/// use backlot_backend::{How, Put, folder};
///
/// let root = tempfile::tempdir().unwrap();
/// let store = folder(root.path());
/// let put = |text: &str, how| store.put_from("a", &mut text.as_bytes(), how, 1_000, "text/plain").unwrap();
/// assert_eq!(put("one", How::Create), Put::New);
/// assert_eq!(put("two", How::Create), Put::Exists);
/// assert_eq!(put("three", How::Replace), Put::New);
/// assert_eq!(store.stat("a").unwrap().unwrap().modified, 1_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Only if it does not exist.
    Create,
    /// Replacing an existing one.
    Replace,
}

/// Where a service keeps the objects of a store, to copy between two stores that are in one.
///
/// ```
/// let root = tempfile::tempdir().unwrap();
/// assert_eq!(backlot_backend::folder(root.path()).within(), None, "a folder is in no service");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Within {
    /// The service and the part of it that an account sees: a server, a bucket.
    pub(crate) service: String,
    /// Where the objects are there: a path with a `/` at its end.
    pub(crate) path: String,
}

/// A store of objects. Every verb but [`ObjectStore::stage`], [`ObjectStore::create`] and [`ObjectStore::rename`] may be asked again
/// by the store itself after a failure that may pass.
///
/// ```
/// use backlot_backend::memory;
///
/// let store = memory();
/// store.write("a", b"0123456789".to_vec(), "text/plain").unwrap();
/// assert_eq!(store.part("a", 2, 3).unwrap().unwrap(), b"234");
/// store.delete("a").unwrap();
/// assert!(store.stat("a").unwrap().is_none());
/// ```
pub trait ObjectStore: Send + Sync + fmt::Debug {
    /// Where it is, fit for a message: without user, password and a `/` at its end.
    fn place(&self) -> &str;
    /// How this store commits.
    fn commit_by(&self) -> CommitBy;
    /// Settings suited to it.
    fn traits(&self) -> Traits;
    /// Whether nothing may be asked.
    fn is_offline(&self) -> bool {
        false
    }
    /// The folder that it is on a disk of this machine: then all in it costs next to nothing to ask for.
    fn root(&self) -> Option<&Path> {
        None
    }
    /// The file that has an object's bytes, where they lie on a disk of this machine.
    fn file(&self, _key: &str) -> Option<PathBuf> {
        None
    }
    /// One object; `None` if it does not exist, or is a folder.
    fn stat(&self, key: &str) -> Result<Option<Entry>>;
    /// The objects below a prefix that ends in `/`, in any order; all of them, or folders with a name of one component.
    fn list(&self, prefix: &str, deep: bool) -> Result<Vec<Entry>>;
    /// The names of one part below a prefix that ends in `/`; those of folders end in `/`. Cheaper than a list where each size is asked for.
    fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let listed = self.list(prefix, false)?.into_iter();
        Ok(listed
            .filter_map(|entry| entry.key.strip_prefix(prefix).map(ToOwned::to_owned))
            .collect())
    }
    /// When something last came to or went from a folder (a key that ends in `/`), or an object was written, in nanoseconds since the
    /// Unix epoch; 0 if there is nothing. `None` where the store has no such sign that can be relied on.
    fn revision(&self, _key: &str) -> Result<Option<u64>> {
        Ok(None)
    }
    /// A whole small object, or its first `limit + 1` bytes.
    fn read(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>>;
    /// An object block by block, until the sink stops it; `false` if it does not exist.
    fn fetch(&self, key: &str, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool>;
    /// A range of an object, or fewer bytes if it ends before.
    fn part(&self, key: &str, start: u64, length: u64) -> Result<Option<Vec<u8>>>;
    /// Write an object, replacing an existing one.
    fn write(&self, key: &str, bytes: Vec<u8>, kind: &'static str) -> Result<()>;
    /// The same for data that can be rebuilt: a power cut may lose it.
    fn write_for_now(&self, key: &str, bytes: Vec<u8>, kind: &'static str) -> Result<()> {
        self.write(key, bytes, kind)
    }
    /// Create an immutable object from a source, in one request that is never sent twice. It appears only if the source could be read to
    /// its end. Where objects are files, the file is read-only and has the modification time `modified`, in milliseconds since the Unix
    /// epoch; other stores hold the content in memory.
    fn put_from(
        &self,
        key: &str,
        source: &mut dyn Read,
        how: How,
        _modified: u64,
        kind: &'static str,
    ) -> Result<Put> {
        let mut bytes = Vec::new();
        source.read_to_end(&mut bytes).map_err(FileError::from)?;
        match how {
            How::Create => self.create(key, bytes, kind),
            How::Replace => self.write(key, bytes, kind).map(|()| Put::New),
        }
    }
    /// Start an object of any size, which appears when it is finished, replacing an existing one.
    fn writer(self: Arc<Self>, key: &str) -> Result<Box<dyn ObjectWriter>>;
    /// Write an object with a unique name, in one request that is never repeated.
    fn stage(&self, key: &str, bytes: Vec<u8>) -> Result<()>;
    /// Create an object if it does not exist, in one request that is never repeated.
    fn create(&self, key: &str, bytes: Vec<u8>, kind: &'static str) -> Result<Put>;
    /// Create an object if it does not exist, where the store can check; otherwise an existing one is replaced, and reading it again shows
    /// who was first.
    fn create_or_replace(&self, key: &str, bytes: Vec<u8>, kind: &'static str) -> Result<()> {
        match self.commit_by() {
            CommitBy::Create if self.traits().exclusive => self.create(key, bytes, kind).map(drop),
            CommitBy::Create | CommitBy::Move => self.write(key, bytes, kind),
        }
    }
    /// Give an object another name if that is free, by one request that is never sent twice.
    fn rename(&self, from: &str, to: &str) -> Result<RenameOutcome>;
    /// Where its service has it; `None` where the service copies nothing by itself.
    fn within(&self) -> Option<Within> {
        None
    }
    /// Have the service copy an object of another store here, so that no byte of it passes this machine. `false` if it did not, for whatever
    /// reason: another service, an account that may not read there, nothing to copy. The copy then has to be checked: nothing was verified.
    fn copy_within(&self, _source: &Within, _from: &str, _to: &str) -> Result<bool> {
        Ok(false)
    }
    /// Remove an object; succeeds if it does not exist.
    fn delete(&self, key: &str) -> Result<()>;
    /// Files abandoned by killed writers in a folder, if the store shows them.
    fn abandoned(&self, _prefix: &str) -> Result<Vec<Entry>> {
        Ok(Vec::new())
    }
    /// Remove a folder that nothing is left in, where there are such.
    fn tidy(&self, _prefix: &str) {}
    /// Drop a nearer copy of a damaged object. Returns whether one existed.
    fn forget(&self, _key: &str) -> bool {
        false
    }
    /// Remove objects, in as few requests as the store allows; fine if they are not there.
    fn delete_many(&self, keys: &[String]) -> Result<()> {
        each(keys, |key| self.delete(key)).map(drop)
    }
}

/// An object that is being written. Dropped unfinished, it never appears.
///
/// ```
/// use std::sync::Arc;
///
/// use backlot_backend::memory;
///
/// let store = memory();
/// let mut writer = Arc::clone(&store).writer("long").unwrap();
/// writer.write(b"one ").unwrap();
/// writer.write(b"two").unwrap();
/// assert!(store.stat("long").unwrap().is_none(), "it is not there before it is whole");
/// writer.finish().unwrap();
/// assert_eq!(store.read("long", 7).unwrap().unwrap(), b"one two");
/// ```
pub trait ObjectWriter: Send {
    /// The next bytes.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;
    /// Have all of it stored, and let it appear.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// How a store is best used.
///
/// ```
/// use backlot_backend::{Traits, memory};
///
/// let Traits { lists, exclusive, .. } = memory().traits();
/// assert!(lists && exclusive);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// The most requests at once that may be good for it; a service has a limit of its own below that, by how it answers.
    pub concurrency: usize,
    /// How many unwanted bytes cost less than another request.
    pub gap: u32,
    /// Whether it can list its objects; a plain web server cannot, and is read only.
    pub lists: bool,
    /// Whether it shows one folder at a time, so that a deep listing is one request for each.
    pub by_folder: bool,
    /// Whether it can create an object only if it does not exist, or report so; in Google Drive names are not unique.
    pub exclusive: bool,
}

/// The names of one part below a prefix: of objects, or of folders.
pub fn folders(entries: &[Entry], prefix: &str) -> BTreeSet<String> {
    let below = entries.iter().filter_map(|e| e.key.strip_prefix(prefix));
    below
        .filter_map(|rest| rest.strip_suffix('/'))
        .filter(|name| !name.is_empty() && !name.contains('/'))
        .map(ToOwned::to_owned)
        .collect()
}
