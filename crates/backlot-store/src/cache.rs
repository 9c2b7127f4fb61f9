//! The cache: whole files under the MD5 of their bytes, in DVC's layout, shareable with DVC and between workspaces.
//!
//! Invariants: an object appears complete or not at all (a temporary on the same disk, then an exclusive rename), it is
//! read-only (0444), and nothing replaces it: of two that write it, the first is kept if it has the right bytes. As in DVC, the
//! mode means trust, but not blind trust: an object that is writable, or not in the state it was recorded in, is hashed again
//! before it counts, and set aside (never deleted) if it is not what its name says; one of which nothing is recorded is
//! hashed before it is placed anywhere. Format in `docs/format/cache.md`.

use std::collections::{BTreeMap, HashSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backlot_core::file::Created;
use backlot_core::presence::is_folder;
use backlot_core::shared::{self, Modes};
use backlot_core::{Blake3, Context, Operation, Timestamp, file};
use fs_err as fs;
use rayon::prelude::*;

use crate::chunked::StoredName;
use crate::error::{Error, Result};
use crate::hash::{self, Job};
use crate::ledger::Ledger;
use crate::lower::Lower;
use crate::object::{FileDigests, ObjectId};
use crate::stat::{FileStat, Recorded, StatEntry};
use crate::sweep;

/// How far back the modification time of what we write is set, so that any edit after it changes that time however coarse
/// the disk's clock is.
const BACKDATED_MS: u64 = 2000;

/// A cache folder.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
    ledger: Arc<Ledger>,
    /// Of its objects: what its root lets others read.
    mode: u32,
    /// A cache that is read as well, and never written to.
    lower: Option<Arc<Lower>>,
    context: Context,
}

/// An object in a cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) size: u64,
    /// Where they are recorded, or were computed just now.
    pub(crate) digests: Option<FileDigests>,
}

/// Which objects are hashed before they count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// Those that are writable or not in the state they were recorded in, and small manifests.
    Doubtful,
    /// Those of which nothing is recorded, too.
    All,
}

/// The result of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct VerifyReport {
    /// How many objects were read.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that do not match their name or BLAKE3.
    pub damaged: Vec<ObjectId>,
    /// Objects that were expected and are not there.
    pub missing: Vec<ObjectId>,
    /// Damaged packs of a chunked remote.
    pub packs: Vec<DamagedPack>,
    /// Keys of segments of a chunked remote that cannot be read.
    pub segments: Vec<String>,
    /// Objects that a collection of a chunked remote condemned: they can be read until it deletes them.
    pub condemned: Vec<ObjectId>,
    /// Whether those were taken back.
    #[serde(skip)]
    pub rescued: bool,
    /// The digests of valid objects, for callers that know more than one BLAKE3 for them.
    #[serde(skip)]
    pub digests: BTreeMap<ObjectId, FileDigests>,
}

/// A damaged pack of a chunked remote.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DamagedPack {
    /// Its name.
    pub name: StoredName,
    /// Its key on the remote.
    pub key: String,
    /// The reason.
    pub reason: String,
    /// The objects that cannot be read because of it.
    pub objects: Vec<ObjectId>,
}

impl VerifyReport {
    /// Note an object that was read: damaged, or right and with these digests.
    pub(crate) fn judge(&mut self, id: ObjectId, proof: Option<Blake3>, digests: FileDigests) {
        if digests.md5 != id.md5 || proof.is_some_and(|proof| proof != digests.blake3) {
            self.damaged.push(id);
        } else {
            self.digests.insert(id, digests);
        }
    }
}

impl DamagedPack {
    pub(crate) fn new(name: StoredName, key: String, reason: &'static str) -> Self {
        Self {
            name,
            key,
            reason: reason.to_owned(),
            objects: Vec::new(),
        }
    }
}

/// An object with its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectEntry {
    /// The object.
    pub id: ObjectId,
    /// Its bytes.
    pub size: u64,
}

impl Cache {
    /// Open a cache folder, created if absent. Leftovers of killed processes older than a day are removed, once a day.
    pub fn open(root: &Path) -> Result<Self> {
        shared::make_root(root)?;
        let cache = Self {
            root: root.to_path_buf(),
            ledger: Arc::new(Ledger::new(root.join("state.db"))),
            mode: Modes::of(root).read_only(),
            lower: None,
            context: Context::default(),
        };
        shared::make_folder_for_now(&cache.objects())?;
        shared::make_folder_for_now(&cache.temporaries())?;
        sweep::cache(root);
        Ok(cache)
    }

    /// The same cache, in front of one that this user can only read: objects are found in both, and written to this one.
    #[must_use]
    pub fn over(mut self, lower: &Path) -> Self {
        self.lower = Some(Arc::new(Lower::new(lower)));
        self
    }

    /// The same cache, whose warnings and work go to a context.
    #[must_use]
    pub fn with_context(mut self, context: &Context) -> Self {
        self.context = context.clone();
        self
    }

    /// Whether its folder is there, as it was when it was opened.
    pub fn is_there(&self) -> bool {
        self.temporaries().is_dir()
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }
    fn objects(&self) -> PathBuf {
        self.root.join("files/md5")
    }
    pub(crate) fn temporaries(&self) -> PathBuf {
        self.root.join("tmp")
    }
    pub(crate) fn claims(&self) -> PathBuf {
        self.root.join("claims")
    }
    fn quarantined(&self) -> PathBuf {
        self.root.join("quarantine")
    }
    /// The path of an object, existing or not.
    pub fn object_path(&self, id: &ObjectId) -> PathBuf {
        let own = self.own_path(id);
        match &self.lower {
            Some(lower) if fs::symlink_metadata(&own).is_err() => lower.path_of(id).unwrap_or(own),
            _ => own,
        }
    }
    /// Where an object is written to.
    fn own_path(&self, id: &ObjectId) -> PathBuf {
        self.root.join(id.key())
    }
    /// Whether a path is only read.
    fn is_lower(&self, path: &Path) -> bool {
        self.lower.as_ref().is_some_and(|lower| lower.has(path))
    }

    /// The recorded states of objects.
    fn recorded(&self, objects: &[(ObjectId, FileStat)]) -> Vec<Recorded> {
        let mut recorded = self.ledger.recorded(objects);
        if let Some(lower) = &self.lower {
            lower.add_recorded(objects, &mut recorded);
        }
        recorded
    }

    /// Whether an object is there and trusted. A doubtful one is hashed first.
    pub fn has(&self, id: &ObjectId) -> Result<bool> {
        Ok(self.size(id)?.is_some())
    }

    /// The size of an object, if it is there and trusted.
    pub fn size(&self, id: &ObjectId) -> Result<Option<u64>> {
        Ok(self.sizes(std::slice::from_ref(id))?.into_iter().next().flatten())
    }

    /// The sizes of objects, each as [`Self::size`] says.
    pub fn sizes(&self, ids: &[ObjectId]) -> Result<Vec<Option<u64>>> {
        let held = self.look(ids, Proof::Doubtful)?;
        Ok(held.into_iter().map(|held| Some(held?.size)).collect())
    }

    /// The sizes of objects; all that are not there are named together.
    pub(crate) fn sizes_of_all(&self, ids: &[ObjectId]) -> Result<Vec<u64>> {
        let sizes = self.sizes(ids)?;
        self.all_of(ids, sizes)
    }

    /// The digests of objects that have the bytes their names say, `None` for those that are not there. All of which that is
    /// not recorded are hashed; those that are wrong are set aside.
    pub fn proven(&self, ids: &[ObjectId]) -> Result<Vec<Option<FileDigests>>> {
        let held = self.look(ids, Proof::All)?;
        Ok(held.into_iter().map(|held| held?.digests).collect())
    }

    /// Objects with their digests as far as those are recorded; all that are not there are named together.
    pub(crate) fn held_all(&self, ids: &[ObjectId]) -> Result<Vec<Held>> {
        let held = self.look(ids, Proof::Doubtful)?;
        self.all_of(ids, held)
    }

    /// As [`Self::proven`]; all that are not there are named together.
    pub fn proven_of_all(&self, ids: &[ObjectId]) -> Result<Vec<FileDigests>> {
        let digests = self.proven(ids)?;
        self.all_of(ids, digests)
    }

    fn all_of<T>(&self, ids: &[ObjectId], found: Vec<Option<T>>) -> Result<Vec<T>> {
        let missing: Vec<ObjectId> = ids
            .iter()
            .zip(&found)
            .filter_map(|(id, found)| found.is_none().then_some(*id))
            .collect();
        if missing.is_empty() {
            Ok(found.into_iter().flatten().collect())
        } else {
            Err(Error::Missing {
                objects: missing,
                place: self.place(),
            })
        }
    }

    /// Objects as they are. Each that has to be hashed is: then it is right and recorded, or set aside.
    fn look(&self, ids: &[ObjectId], proof: Proof) -> Result<Vec<Option<Held>>> {
        let stat = || ids.par_iter().map(|id| self.stat(id)).collect();
        let stats: Vec<Result<Option<FileStat>>> = self.context.pool().install(stat);
        let stats = stats.into_iter().collect::<Result<Vec<_>>>()?;
        let there: Vec<(usize, ObjectId, FileStat)> = stats
            .into_iter()
            .enumerate()
            .filter_map(|(n, stat)| Some((n, ids[n], stat?)))
            .collect();
        let states: Vec<(ObjectId, FileStat)> = there.iter().map(|(_, id, stat)| (*id, *stat)).collect();
        let mut held = vec![None; ids.len()];
        let mut doubtful = BTreeMap::new();
        for ((n, id, stat), recorded) in there.into_iter().zip(self.recorded(&states)) {
            let digests = match recorded {
                Recorded::Digests(digests) if stat.read_only => Some(digests),
                Recorded::Nothing if stat.read_only && proof == Proof::Doubtful && !id.tree => None,
                _ => {
                    doubtful.entry(id).or_insert_with(Vec::new).push(n);
                    continue;
                }
            };
            let size = stat.size;
            held[n] = Some(Held { size, digests });
        }
        let wanted: Vec<ObjectId> = doubtful.keys().copied().collect();
        for (positions, digests) in doubtful.into_values().zip(self.hash(&wanted)?) {
            for n in positions {
                held[n] = digests.map(|digests| Held {
                    size: digests.size,
                    digests: Some(digests),
                });
            }
        }
        Ok(held)
    }

    fn stat(&self, id: &ObjectId) -> Result<Option<FileStat>> {
        let path = self.object_path(id);
        match std::fs::symlink_metadata(&path) {
            Ok(found) => Ok(found.is_file().then(|| FileStat::of(&found))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            // Once more, for an error that names the path.
            Err(_) => Ok(Some(FileStat::of(&fs::symlink_metadata(&path)?))),
        }
    }

    /// Hash objects: their digests if they are right, and are recorded then; `None` if they were set aside or are gone.
    fn hash(&self, ids: &[ObjectId]) -> Result<Vec<Option<FileDigests>>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let jobs: Vec<Job> = ids
            .iter()
            .map(|id| Job {
                source: self.object_path(id),
                copy: None,
            })
            .collect();
        let context = &self.context;
        let running = context.start(Operation::Scan, ids.len() as u64, 0);
        let results = hash::run(&jobs, &|_, _| Ok(false), &|_, _| Ok(()), &running, context);
        let (mut right, mut found) = (Vec::new(), Vec::with_capacity(ids.len()));
        for (id, result) in ids.iter().zip(results) {
            found.push(match result {
                Ok(outcome) if outcome.digests.md5 == id.md5 => {
                    let path = self.object_path(id);
                    if !outcome.stat.read_only && !self.is_lower(&path) {
                        shared::set_mode(&path, Some(self.mode))?;
                    }
                    // The state that was read, with the mode that it has now.
                    let stat = FileStat {
                        read_only: true,
                        ..outcome.stat
                    };
                    right.push((*id, stat, outcome.digests));
                    Some(outcome.digests)
                }
                Ok(outcome) => {
                    self.set_aside(id, Some(outcome.stat.inode))?;
                    None
                }
                Err(Error::File(e)) if e.is_not_found() => None,
                Err(error) => return Err(error),
            });
        }
        self.ledger.record(&right, context);
        Ok(found)
    }

    /// Remove records of missing objects.
    pub(crate) fn forget(&self, ids: &[ObjectId]) {
        self.ledger.forget(ids);
    }

    /// Remember objects that were just written, or read, and are right.
    pub(crate) fn record(&self, objects: &[(ObjectId, FileDigests)]) {
        let state = |(id, digests): &(ObjectId, FileDigests)| {
            let stat = self.stat(id).ok().flatten()?;
            (stat.size == digests.size && stat.read_only).then_some((*id, stat, *digests))
        };
        let rows = || objects.par_iter().filter_map(state).collect();
        let rows: Vec<_> = self.context.pool().install(rows);
        self.ledger.record(&rows, &self.context);
    }

    /// Move an object out of the way, to `quarantine/`, where a person may look at it.
    pub fn quarantine(&self, id: &ObjectId) -> Result<PathBuf> {
        let folder = self.quarantined();
        shared::make_folder_for_now(&folder)?;
        let unique = file::temporary_in(&folder);
        let unique = unique.file_name().unwrap_or_default().to_string_lossy();
        let unique = unique.trim_start_matches(file::TEMPORARY_PREFIX);
        let target = folder.join(format!("{id}-{unique}"));
        file::rename(&self.own_path(id), &target)?;
        self.ledger.forget(&[*id]);
        Ok(target)
    }

    /// Quarantine an object that is not what its name says, and warn. Where another process did so before and put the right
    /// one in its place, that stays: it is not the file of the inode.
    pub(crate) fn set_aside(&self, id: &ObjectId, inode: Option<u64>) -> Result<()> {
        let is_it = |path: &Path| {
            let found = std::fs::symlink_metadata(path).map(|found| FileStat::of(&found).inode);
            found.is_ok_and(|found| inode.is_none_or(|inode| inode == found))
        };
        let path = self.object_path(id);
        if !is_it(&path) {
            return Ok(());
        }
        if let Some(lower) = self.lower.as_ref().filter(|lower| lower.has(&path)) {
            lower.pass_over(id);
            let message = format!(
                "object {id} in the cache is damaged and skipped, because `{}` is not writable",
                path.display()
            );
            self.context.warn("store::object_set_aside", message);
            return Ok(());
        }
        let target = match self.quarantine(id) {
            Ok(target) => target,
            Err(Error::File(e)) if e.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
        };
        if !is_it(&target) {
            file::rename_new(&target, &path)?;
            return Ok(());
        }
        // Other links to it are checked again, in all workspaces: its time may be that of the valid file.
        file::set_modified(&target, self.context.now()).ok();
        self.context.warn(
            "store::object_set_aside",
            format!(
                "object {id} in {} was damaged; it was moved to `{}`",
                self.place(),
                target.display()
            ),
        );
        Ok(())
    }

    /// Whether the content of a file, with these digests, is preserved in the cache: as an object, or set aside because the object
    /// that `path` should be was changed through this or another name of it.
    pub fn keeps(&self, path: &Path, digests: &FileDigests, wanted: &ObjectId) -> Result<bool> {
        if self.holds(digests)? {
            return Ok(true);
        }
        // Looking at the wanted object sets it aside if it was changed.
        self.has(wanted)?;
        Ok(self.is_set_aside(path))
    }

    fn is_set_aside(&self, path: &Path) -> bool {
        if !fs::metadata(path).is_ok_and(|found| FileStat::of(&found).names > 1) {
            return false;
        }
        let names = fs::read_dir(self.quarantined()).into_iter().flatten().flatten();
        names
            .into_iter()
            .any(|entry| file::is_same_file(&entry.path(), path))
    }

    /// The digests of the object that a file is another name of, if the object is in the state it was recorded in.
    pub(crate) fn object_of(&self, entry: &StatEntry) -> Option<FileDigests> {
        self.ledger
            .with_inode(entry.stat.inode)
            .into_iter()
            .find_map(|id| {
                let stat = self.stat(&id).ok().flatten()?;
                let path = fs::canonicalize(&entry.path).ok()?;
                if stat != entry.stat || !file::is_same_file(&path, &self.object_path(&id)) {
                    return None;
                }
                match self.recorded(&[(id, stat)]).first() {
                    Some(Recorded::Digests(digests)) => Some(*digests),
                    _ => None,
                }
            })
    }

    /// Read a small object (a manifest), proven by its MD5. One that is wrong is set aside.
    pub fn read(&self, id: &ObjectId) -> Result<Vec<u8>> {
        self.read_if_there(id)?.ok_or_else(|| Error::Missing {
            objects: vec![*id],
            place: self.place(),
        })
    }

    /// As [`Self::read`]; `None` if it is not there, or was wrong.
    pub fn read_if_there(&self, id: &ObjectId) -> Result<Option<Vec<u8>>> {
        let Some(bytes) = file::read_if_exists(&self.object_path(id))? else {
            return Ok(None);
        };
        if digest_bytes(&bytes).md5 == id.md5 {
            return Ok(Some(bytes));
        }
        self.set_aside(id, None)?;
        Ok(None)
    }

    /// Read a small object if it is there and right; nothing is changed if it is not.
    pub fn peek(&self, id: &ObjectId) -> Result<Option<Vec<u8>>> {
        let bytes = file::read_if_exists(&self.object_path(id))?;
        Ok(bytes.filter(|bytes| digest_bytes(bytes).md5 == id.md5))
    }

    /// Store a small object (a manifest). Returns its digests.
    pub fn insert_bytes(&self, bytes: &[u8], tree: bool) -> Result<(ObjectId, FileDigests)> {
        let digests = digest_bytes(bytes);
        let id = ObjectId {
            md5: digests.md5,
            tree,
        };
        if self.proven(&[id])? == [None] {
            let folder = shared::temporary_folder(&self.temporaries(), 1)?;
            let temporary = folder.file(0);
            let mut file = fs::File::create(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            self.publish(&temporary, &id, &digests)?;
            self.record(&[(id, digests)]);
        }
        Ok((id, digests))
    }

    /// Put a complete, proven, read-only temporary in its place, unless an object with these bytes is there; the temporary is
    /// gone either way. Returns whether it is the one that is there now. An error if there is one of this name with other
    /// bytes.
    pub(crate) fn publish(&self, temporary: &Path, id: &ObjectId, digests: &FileDigests) -> Result<bool> {
        backdate(temporary, &self.context)?;
        self.publish_as_it_is(temporary, id, digests)
    }

    /// As [`Self::publish`], of a file that keeps its times because it has another name.
    pub(crate) fn publish_as_it_is(
        &self,
        temporary: &Path,
        id: &ObjectId,
        digests: &FileDigests,
    ) -> Result<bool> {
        let target = self.own_path(id);
        shared::set_mode(temporary, Some(self.mode))?;
        // Each round sets aside one that is wrong.
        for _ in 0..4 {
            match file::rename_new(temporary, &target) {
                Ok(Created::New) => return Ok(true),
                Ok(Created::Exists) => {
                    if let Some(there) = self.proven(&[*id])?.into_iter().next().flatten() {
                        file::remove(temporary)?;
                        return if there == *digests {
                            Ok(false)
                        } else {
                            Err(self.same_md5("a file", id))
                        };
                    }
                    if target.is_dir() || target.is_symlink() {
                        self.set_aside(id, None)?;
                    }
                }
                Err(_) => shared::make_folder_for_now(target.parent().unwrap_or(&self.root))?,
            }
        }
        Ok(file::rename_new(temporary, &target)? == Created::New)
    }

    /// The error for content that has the name of an object with other bytes.
    pub(crate) fn same_md5(&self, what: impl Into<String>, id: &ObjectId) -> Error {
        Error::SameMd5 {
            what: what.into(),
            md5: id.md5,
            other: format!("an object in {}", self.place()),
        }
    }

    /// Whether the very content with these digests is an object of the cache.
    pub fn holds(&self, digests: &FileDigests) -> Result<bool> {
        Ok(self.proven(&[ObjectId::file(digests.md5)])? == [Some(*digests)])
    }

    /// All objects, sorted. Temporaries and other files are skipped.
    pub fn list(&self) -> Result<Vec<ObjectEntry>> {
        list_objects(&self.objects())
    }

    /// The objects that nothing in `keep` names, sorted.
    pub fn unreferenced(&self, keep: &HashSet<ObjectId>) -> Result<Vec<ObjectEntry>> {
        let mut all = self.list()?;
        all.retain(|entry| !keep.contains(&entry.id));
        Ok(all)
    }

    /// Read objects again and compare them with their names, and with a BLAKE3 where known.
    /// Damaged objects stay in place, and are hashed before further use, whatever their state.
    pub fn verify(&self, expected: &[(ObjectId, Option<Blake3>)], context: &Context) -> Result<VerifyReport> {
        let report = verify_objects(&|id| self.object_path(id), expected, context)?;
        self.ledger.doubt(&report.damaged, &self.context);
        Ok(report)
    }

    /// Set aside objects found damaged by a verification, if hashing confirms it; the others are unchanged.
    pub fn set_aside_damaged(&self, damaged: &[ObjectId]) -> Result<()> {
        self.ledger.forget(damaged);
        self.proven(damaged)?;
        Ok(())
    }

    /// How this cache is called in messages.
    pub fn place(&self) -> String {
        format!("the cache `{}`", self.root.display())
    }
}

/// The objects below a `files/md5` folder.
pub(crate) fn list_objects(folder: &Path) -> Result<Vec<ObjectEntry>> {
    let mut all = Vec::new();
    if !is_folder(folder)? {
        return Ok(all);
    }
    for sub in fs::read_dir(folder)? {
        let sub = sub?;
        let prefix = sub.file_name().to_string_lossy().into_owned();
        if prefix.len() != 2 || !sub.file_type()?.is_dir() {
            continue;
        }
        for entry in fs::read_dir(sub.path())? {
            let entry = entry?;
            if let Some(id) = ObjectId::from_parts(&prefix, &entry.file_name().to_string_lossy()) {
                all.push(ObjectEntry {
                    id,
                    size: entry.metadata()?.len(),
                });
            }
        }
    }
    all.sort_by_key(|entry| entry.id);
    Ok(all)
}

/// Verify objects in a local folder of this layout.
pub(crate) fn verify_folder(
    root: &Path,
    expected: &[(ObjectId, Option<Blake3>)],
    context: &Context,
) -> Result<VerifyReport> {
    verify_objects(&|id| root.join(id.key()), expected, context)
}

fn verify_objects(
    path_of: &dyn Fn(&ObjectId) -> PathBuf,
    expected: &[(ObjectId, Option<Blake3>)],
    context: &Context,
) -> Result<VerifyReport> {
    let running = context.start(Operation::Verify, expected.len() as u64, 0);
    let jobs: Vec<Job> = expected
        .iter()
        .map(|(id, _)| Job {
            source: path_of(id),
            copy: None,
        })
        .collect();
    let mut report = VerifyReport::default();
    let results = hash::run(&jobs, &|_, _| Ok(false), &|_, _| Ok(()), &running, context);
    for ((id, proof), result) in expected.iter().zip(results) {
        match result {
            Ok(outcome) => {
                report.objects += 1;
                report.bytes += outcome.digests.size;
                report.judge(*id, *proof, outcome.digests);
            }
            Err(Error::File(e)) if e.is_not_found() => report.missing.push(*id),
            Err(e) => return Err(e),
        }
    }
    Ok(report)
}

/// The digests of bytes in memory.
pub fn digest_bytes(bytes: &[u8]) -> FileDigests {
    let mut hasher = hash::Hasher::default();
    hasher.update(bytes);
    hasher.finish()
}

/// Set the modification time of a file that we just wrote back, before anybody sees it: see [`BACKDATED_MS`].
pub(crate) fn backdate(path: &Path, context: &Context) -> Result<()> {
    let then = Timestamp(context.now().0.saturating_sub(BACKDATED_MS));
    Ok(file::set_modified(path, then)?)
}

/// Take write permission from everybody: 0444.
pub(crate) fn set_read_only(path: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, std::fs::Permissions::from_mode(0o444))?;
    }
    #[cfg(not(unix))]
    {
        let mut permissions = fs::metadata(path)?.permissions();
        permissions.set_readonly(true);
        fs::set_permissions(path, permissions)?;
    }
    Ok(())
}
