//! A studio's own program that moves the bytes of large objects, in place of the store's requests: over a line that only it can
//! use well, or past a limit that only it knows.
//!
//! Invariants: the program is not trusted: an object it reports as put is checked in the store (its size, and its first and last
//! bytes), a file it reports as fetched has the size that the store gives, and the reader verifies the rest; whatever is small, is
//! listed or decides a race goes to the store itself. Which program it is comes from the user's own configuration, never from a
//! project's. Deliberately absent: parts of objects, which the store is asked for; a site cache turns them into whole objects.

mod session;

use std::fmt;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use backlot_core::file::TemporaryFolder;
use backlot_core::{Context, FileError};
use backlot_net::Network;
use bytes::Bytes;
use fs_err as fs;

use self::session::{NotMoved, Request, Session, Verb};
use crate::error::{Error, Result};
use crate::site_cache::IsFixed;
use crate::store::{CommitBy, Entry, ObjectStore, ObjectWriter, Put, RenameOutcome, Traits};
use crate::upload::{BufferPool, Upload, Uploads, WHOLE};

/// How often a transfer is tried.
const ATTEMPTS: usize = 4;
/// Bytes of the beginning and of the end of an object that are read back.
const COMPARED: u64 = 64 << 10;
const PIECE: usize = 1 << 20;
/// The name of a file in a folder of its own while it is moved.
const OBJECT: &str = "object";

/// A program that moves objects.
///
/// ```
/// use backlot_backend::{Mover, memory, moved_by};
/// use backlot_core::Context;
/// use backlot_net::{Network, NetworkOptions};
///
/// let folder = tempfile::tempdir().unwrap();
/// let network = Network::new(NetworkOptions::new(folder.path()), Context::default()).unwrap();
/// let mover = Mover {
///     words: vec!["studio-mover".to_owned(), "--queue".to_owned(), "assets".to_owned()],
///     min_bytes: Mover::MIN_BYTES,
/// };
/// let store = moved_by(memory(), &mover, |key| key.ends_with(".pack"), &network);
/// store.write("index", b"small".to_vec(), "text/plain").unwrap(); // goes to the store itself
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mover {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// Objects of fewer bytes go to the store itself.
    pub min_bytes: u64,
}

impl Mover {
    /// The default: packs and frames are moved, indexes are not.
    pub const MIN_BYTES: u64 = 1 << 20;
}

/// A store whose large objects a program moves.
struct Via {
    store: Arc<dyn ObjectStore>,
    mover: Mover,
    is_fixed: IsFixed,
    /// Programs that wait for work.
    idle: Mutex<Vec<Session>>,
    /// Where files are while they are moved.
    folder: PathBuf,
    context: Context,
    spares: Arc<BufferPool>,
}

impl fmt::Debug for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mover").field(&self.store.place()).finish()
    }
}

/// Have a program move the large objects of a store. `is_fixed` says of a key whether its content never changes, as that of packs;
/// only those are moved.
pub fn moved_by(
    store: Arc<dyn ObjectStore>,
    mover: &Mover,
    is_fixed: IsFixed,
    network: &Network,
) -> Arc<dyn ObjectStore> {
    Arc::new(Via {
        spares: Arc::default(),
        store,
        mover: mover.clone(),
        is_fixed,
        idle: Mutex::default(),
        folder: network.options().cache.join("uploads"),
        context: network.context().clone(),
    })
}

impl Via {
    /// Have a transfer made by an idle program, or by another one.
    fn transfer(&self, request: &Request<'_>) -> Result<()> {
        self.context.check()?;
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let waiting = idle().pop();
            let session = waiting.map_or_else(|| Session::start(&self.mover.words), Ok);
            let outcome = session.and_then(|mut session| {
                let moved = session.transfer(request, &self.context);
                if moved.as_ref().err().is_none_or(|error| error.is_usable) {
                    idle().push(session);
                }
                moved
            });
            self.context.check()?;
            match outcome {
                Ok(()) => return Ok(()),
                Err(NotMoved { reason, again, .. }) => {
                    last = reason;
                    if !again {
                        break;
                    }
                }
            }
        }
        Err(self.failed(request.key, last))
    }

    fn failed(&self, key: &str, reason: impl fmt::Display) -> Error {
        let program = self.mover.words.first().map_or("", String::as_str);
        Error::Store {
            place: format!("{}/{key}", self.store.place()),
            reason: format!("the mover `{program}`: {reason}"),
            temporary: false,
        }
    }

    fn request<'a>(&self, verb: Verb, key: &'a str, file: &'a Path, size: u64) -> Request<'a> {
        Request {
            verb,
            key,
            url: format!("{}/{key}", self.store.place()),
            file,
            size,
            blake3: None,
        }
    }

    /// Put a file, and see that it is there.
    fn put(&self, key: &str, file: &Path, size: u64, digest: &blake3::Hash) -> Result<()> {
        let mut request = self.request(Verb::Put, key, file, size);
        request.blake3 = Some(digest.to_hex().to_string());
        let moved = self.transfer(&request);
        let is_half = || {
            self.store
                .stat(key)
                .is_ok_and(|found| found.is_some_and(|found| found.size != size))
        };
        if moved.is_err() && !is_half() {
            // The object is missing, or from another writer.
            return moved;
        }
        let compared = moved.and_then(|()| self.compare(key, file, size));
        if compared.is_err() {
            self.store.delete(key).ok();
        }
        compared
    }

    /// Compare an object with the file that was put.
    fn compare(&self, key: &str, file: &Path, size: u64) -> Result<()> {
        let lied = |what: &str| self.failed(key, format!("it reported success, but {what}"));
        match self.store.stat(key)? {
            None => return Err(lied("the object does not exist")),
            Some(found) if found.size != size => {
                return Err(lied(&format!("the object has {} bytes, not {size}", found.size)));
            }
            Some(_) => {}
        }
        let mut file = fs::File::open(file).map_err(FileError::from)?;
        let length = COMPARED.min(size);
        for start in [0, size - length] {
            file.seek(SeekFrom::Start(start)).map_err(FileError::from)?;
            let mut right = Vec::new();
            (&mut file)
                .take(length)
                .read_to_end(&mut right)
                .map_err(FileError::from)?;
            if self.store.part(key, start, length)?.as_ref() != Some(&right) {
                return Err(lied("the object has different contents"));
            }
        }
        Ok(())
    }

    /// Get an object into a file.
    fn get(&self, key: &str, file: &Path, size: u64) -> Result<fs::File> {
        self.transfer(&self.request(Verb::Get, key, file, size))?;
        let lied = |what: String| self.failed(key, format!("it reported success, but {what}"));
        let found = fs::symlink_metadata(file).map_err(|_| lied("the file does not exist".to_owned()))?;
        if !found.is_file() || found.len() != size {
            return Err(lied(format!("the file has {} bytes, not {size}", found.len())));
        }
        Ok(fs::File::open(file).map_err(FileError::from)?)
    }
}

impl ObjectStore for Via {
    fn place(&self) -> &str {
        self.store.place()
    }
    fn commit_by(&self) -> CommitBy {
        self.store.commit_by()
    }
    fn traits(&self) -> Traits {
        self.store.traits()
    }
    fn is_offline(&self) -> bool {
        self.store.is_offline()
    }
    fn stat(&self, key: &str) -> Result<Option<Entry>> {
        self.store.stat(key)
    }
    fn list(&self, prefix: &str, deep: bool) -> Result<Vec<Entry>> {
        self.store.list(prefix, deep)
    }
    fn read(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        self.store.read(key, limit)
    }

    fn fetch(&self, key: &str, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool> {
        if !(self.is_fixed)(key) {
            return self.store.fetch(key, sink);
        }
        let Some(found) = self.store.stat(key)? else {
            return Ok(false);
        };
        if found.size < self.mover.min_bytes {
            return self.store.fetch(key, sink);
        }
        let folder = TemporaryFolder::in_folder(&self.folder)?;
        let file = self.get(key, &folder.path().join(OBJECT), found.size)?;
        read_all(file, |block| Ok(sink(block)))?;
        Ok(true)
    }

    fn part(&self, key: &str, start: u64, length: u64) -> Result<Option<Vec<u8>>> {
        self.store.part(key, start, length)
    }
    fn write(&self, key: &str, bytes: Vec<u8>, kind: &'static str) -> Result<()> {
        self.store.write(key, bytes, kind)
    }

    fn writer(self: Arc<Self>, key: &str) -> Result<Box<dyn ObjectWriter>> {
        if !(self.is_fixed)(key) {
            return Arc::clone(&self.store).writer(key);
        }
        Ok(Box::new(Upload::new(self, key)))
    }

    fn stage(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        self.store.stage(key, bytes)
    }
    fn create(&self, key: &str, bytes: Vec<u8>, kind: &'static str) -> Result<Put> {
        self.store.create(key, bytes, kind)
    }
    fn create_or_replace(&self, key: &str, bytes: Vec<u8>, kind: &'static str) -> Result<()> {
        self.store.create_or_replace(key, bytes, kind)
    }
    fn rename(&self, from: &str, to: &str) -> Result<RenameOutcome> {
        self.store.rename(from, to)
    }
    fn delete(&self, key: &str) -> Result<()> {
        self.store.delete(key)
    }
    fn forget(&self, key: &str) -> bool {
        self.store.forget(key)
    }
    fn delete_many(&self, keys: &[String]) -> Result<()> {
        self.store.delete_many(keys)
    }
}

impl Uploads for Via {
    fn spares(&self) -> &Arc<BufferPool> {
        &self.spares
    }

    fn longest_whole(&self) -> usize {
        let below = self.mover.min_bytes.saturating_sub(1);
        usize::try_from(below).map_or(WHOLE, |below| below.min(WHOLE))
    }

    fn whole(&self, key: &str, pieces: Vec<Bytes>) -> Result<()> {
        let mut writer = Arc::clone(&self.store).writer(key)?;
        for piece in pieces {
            writer.write(&piece)?;
        }
        writer.finish()
    }

    fn begin(self: Arc<Self>, key: &str) -> Result<Box<dyn ObjectWriter>> {
        let folder = TemporaryFolder::in_folder(&self.folder)?;
        let file = fs::File::create(folder.path().join(OBJECT)).map_err(FileError::from)?;
        Ok(Box::new(Spooled {
            via: self,
            key: key.to_owned(),
            file,
            folder,
            size: 0,
            hasher: blake3::Hasher::new(),
        }))
    }
}

/// An object that is written to a file first.
struct Spooled {
    via: Arc<Via>,
    key: String,
    file: fs::File,
    folder: TemporaryFolder,
    size: u64,
    hasher: blake3::Hasher,
}

impl ObjectWriter for Spooled {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.size += bytes.len() as u64;
        self.hasher.update(bytes);
        Ok(self.file.write_all(bytes).map_err(FileError::from)?)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let path = self.folder.path().join(OBJECT);
        if self.size >= self.via.mover.min_bytes {
            return self.via.put(&self.key, &path, self.size, &self.hasher.finalize());
        }
        // Too long for the memory, and not long enough for the mover.
        let mut writer = Arc::clone(&self.via.store).writer(&self.key)?;
        let file = fs::File::open(&path).map_err(FileError::from)?;
        read_all(file, |block| writer.write(block).map(|()| true))?;
        writer.finish()
    }
}

/// Pass a file on to a sink, until it ends or the sink returns `false`.
fn read_all(mut file: fs::File, mut sink: impl FnMut(&[u8]) -> Result<bool>) -> Result<()> {
    let mut block = vec![0; PIECE];
    loop {
        let count = file.read(&mut block).map_err(FileError::from)?;
        if count == 0 || !sink(&block[..count])? {
            return Ok(());
        }
    }
}
