//! Tracking files: hash, cache, manifest, pointer, in this order.
//!
//! Invariants: the pointer is written last, when all that is new in it is in the cache, so a kill leaves the old pointer or
//! the new one; adding what did not change writes nothing; a file of a tracked folder that was never here stays what it was
//! ([`merge`](mod@crate::merge)). A path inside a tracked folder stands for that part of it, as in DVC. Deliberately absent: moving
//! files into the asset, and committing to git.

mod known;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use backlot_core::{Blake3, Context, LinkMode, RelPath, file};
use backlot_store::{
    Added, Cache, FileDigests, ObjectId, Remote, StatCache, Transfer, TransferReport, add_files,
    digest_bytes, hash_files,
};
use fs_err as fs;
use serde::Serialize;

use crate::content::{proof_of, read_manifest};
use crate::error::{Error, Result};
use crate::ignore::Ignore;
use crate::kept::Kept;
use crate::manifest::{Manifest, ManifestEntry};
use crate::merge::{FileChanges, Merged, merge};
use crate::patch::updated_text;
use crate::plan::{AddTarget, plan_add};
use crate::pointer::Out;
use crate::portable::{warn_of_files, warn_of_name};
use crate::record::Record;
use crate::scan::{HAS_MODES, Scanned, ScannedFile, is_linked, scan_out, survey};

pub(crate) use crate::git_ignore::git_ignore;
pub use known::{add_known, add_known_file};

/// How to add.
#[derive(Clone, Copy, Debug)]
pub struct AddOptions<'a> {
    /// How the workspace's files may share content with the cache.
    pub links: &'a [LinkMode],
    /// Whether to keep tracked paths out of git, by a `.gitignore` beside the pointer.
    pub git_ignore: bool,
    /// Hash and report, but write nothing.
    pub dry_run: bool,
    /// Where content goes.
    pub to: Destination<'a>,
    /// Where unchanged files of tracked folders that are not here are looked for.
    pub elsewhere: Option<&'a Remote>,
    /// Files and folders that are to be removed from tracked folders, though they may never have been here.
    pub removals: &'a [PathBuf],
}

/// Where the content of added files goes.
#[derive(Clone, Copy, Debug)]
pub enum Destination<'a> {
    /// Into the cache.
    Cache,
    /// Into the cache and, while it is read for the first time, to a remote. A push has to follow.
    CacheAndRemote(&'a Remote),
    /// To a remote, and into no cache but for manifests.
    Remote(&'a Remote),
}

impl<'a> Destination<'a> {
    /// A remote and the cache, or only the remote, if there is one; else the cache.
    pub fn of(remote: Option<&'a Remote>, only: bool) -> Self {
        match remote {
            Some(remote) if only => Self::Remote(remote),
            Some(remote) => Self::CacheAndRemote(remote),
            None => Self::Cache,
        }
    }
}

/// What was sent to a remote while files were added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EarlyUpload {
    /// Files that are stored there now and were not before.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that were written to the remote for them.
    pub sent: u64,
}

impl EarlyUpload {
    /// What a transfer did.
    pub fn of(report: &TransferReport) -> Self {
        Self {
            objects: report.objects,
            bytes: report.bytes,
            sent: report.sent,
        }
    }
}

impl std::ops::AddAssign for EarlyUpload {
    fn add_assign(&mut self, more: Self) {
        self.objects += more.objects;
        self.bytes += more.bytes;
        self.sent += more.sent;
    }
}

/// A tracked file or folder after adding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AddedOut {
    /// Where it is.
    pub path: PathBuf,
    /// Its pointer.
    pub pointer: PathBuf,
    /// Its content.
    pub id: ObjectId,
    /// Its proof; `None` where a dry run cannot tell it, and where nothing changed in a folder that has none.
    pub blake3: Option<Blake3>,
    /// Its files.
    pub files: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Files that are new or changed since it was last added.
    pub changed: u64,
    /// Files that were tracked and are removed.
    pub removed: u64,
    /// The changes, with names.
    pub changes: FileChanges,
    /// Files that are as they were and were not looked at: those that are not here, or not asked for.
    pub kept: u64,
    /// Files that were (or, in a dry run, would be) new to the cache.
    pub stored_files: u64,
    /// Their bytes.
    pub stored_bytes: u64,
    /// Whether the pointer was (would be) written.
    pub written: bool,
    /// What was sent ahead of the push.
    pub ahead: EarlyUpload,
    /// The out as the pointer has it (would have it) now.
    #[serde(skip)]
    pub out: Out,
    /// All its objects, those it keeps among them; the manifest of a folder last.
    #[serde(skip)]
    pub objects: Vec<Transfer>,
    /// The files of a folder, those it keeps among them.
    #[serde(skip)]
    pub members: Vec<RelPath>,
}

/// Track paths inside the asset folder `root`. Results are one an out, in the order of the targets.
pub fn add(
    root: &Path,
    targets: &[PathBuf],
    cache: &Cache,
    stat: &StatCache,
    options: &AddOptions<'_>,
    context: &Context,
) -> Result<Vec<AddedOut>> {
    let plan = plan_add(root, targets, options.removals, context)?;
    let adding = Adding::new(cache, stat, options, context);
    plan.iter().map(|target| adding.add(target)).collect()
}

/// What is the same for all targets.
struct Adding<'a> {
    cache: &'a Cache,
    stat: &'a StatCache,
    options: &'a AddOptions<'a>,
    context: &'a Context,
}

impl<'a> Adding<'a> {
    fn new(cache: &'a Cache, stat: &'a StatCache, options: &'a AddOptions<'a>, context: &'a Context) -> Self {
        Self {
            cache,
            stat,
            options,
            context,
        }
    }
}

/// What was found out about the content of an out.
struct Content {
    id: ObjectId,
    size: u64,
    /// Files, if it is a folder.
    nfiles: Option<u64>,
    executable: bool,
    /// `None` where it was not found out.
    blake3: Option<Blake3>,
    objects: Vec<Transfer>,
    added: Vec<Added>,
    changes: FileChanges,
    kept: u64,
    ahead: EarlyUpload,
}

impl Adding<'_> {
    fn add(&self, target: &AddTarget) -> Result<AddedOut> {
        self.context.check()?;
        let ignore = Ignore::of_folder(target.path.parent().unwrap_or(&target.path))?;
        let mut out = target.out();
        let before = out.id();
        let record = Record::load(self.stat, &target.path)?;
        let (content, manifest) = match self.scan(target, &ignore)? {
            Scanned::Missing => {
                return Err(Error::NoSuchPath {
                    path: target.path.clone(),
                });
            }
            Scanned::File { executable, .. } => (self.add_file(target, executable, &out)?, None),
            Scanned::Folder(files) => {
                let (content, merged) = self.add_folder(target, &files, before, &out, &record)?;
                (content, Some((merged.manifest, files)))
            }
        };
        self.check_same_md5(target, &out, &content)?;
        if before.is_none() {
            warn_of_name(&target.path, self.context)?;
        }
        set_content(&mut out, &content);
        let written = self.write(target, &out)?;
        let entries = manifest.iter().flat_map(|(manifest, _)| manifest.entries());
        let members = entries.map(|entry| entry.path.clone()).collect();
        if !self.options.dry_run {
            match manifest {
                None => record.note_file(content.id.md5)?,
                Some((manifest, files)) => {
                    let here: HashSet<&str> = files.iter().map(|f| f.path.as_str()).collect();
                    let is_here = |entry: &ManifestEntry| {
                        target.covers(&entry.path) && here.contains(entry.path.as_str())
                    };
                    // What was not looked at and is not tracked any more may still be what was placed.
                    let is_still = |path: &str, _| {
                        here.contains(path) && RelPath::parse(path).is_ok_and(|path| !target.covers(&path))
                    };
                    record.note(&manifest, &is_here, &is_still)?;
                }
            }
        }
        Ok(AddedOut {
            members,
            ..report(target, content, out, written)
        })
    }

    /// An error if content has the name that the pointer has, but is other content.
    fn check_same_md5(&self, target: &AddTarget, out: &Out, content: &Content) -> Result<()> {
        let is_other = content.blake3.is_some_and(|blake3| out.blake3() != Some(blake3));
        if out.id() != Some(content.id) || !out.is_proof_bound() || !is_other {
            return Ok(());
        }
        if !content.id.tree && content.added.iter().any(|added| added.stored) {
            // What the pointer stands for can still be pulled.
            self.cache.quarantine(&content.id)?;
        }
        Err(backlot_store::Error::SameMd5 {
            what: format!("`{}`", target.path.display()),
            md5: content.id.md5,
            other: format!("what `{}` stands for", target.pointer_path.display()),
        }
        .into())
    }

    /// Look at the target; where only parts of a folder are asked for, what cannot be tracked elsewhere is in nobody's way.
    fn scan(&self, target: &AddTarget, ignore: &Ignore) -> Result<Scanned> {
        if target.parts.is_none() {
            return scan_out(&target.path, ignore, self.context);
        }
        let (found, strange) = survey(&target.path, ignore, self.context)?;
        let inside = |path: &PathBuf| {
            let part = RelPath::from_path(path.strip_prefix(&target.path).unwrap_or(path));
            part.is_ok_and(|part| target.covers(&part))
        };
        if strange.iter().any(inside) {
            // It names what is wrong.
            return scan_out(&target.path, ignore, self.context);
        }
        match found {
            // Files can be removed from a folder that was never pulled.
            Scanned::Missing if target.parts.as_ref().is_some_and(Vec::is_empty) => {
                Ok(Scanned::Folder(Vec::new()))
            }
            found => Ok(found),
        }
    }

    fn add_file(&self, target: &AddTarget, executable: bool, out: &Out) -> Result<Content> {
        let links = self.options.links;
        let linked = is_linked(&target.path);
        // A link has the mode of the object, so what can be executed stays a file of its own.
        let own = [LinkMode::Reflink, LinkMode::Copy];
        let links = if executable { &own } else { links };
        let (added, ahead) = self.store(std::slice::from_ref(&target.path), links)?;
        let digests = added
            .first()
            .map(|a| a.digests)
            .ok_or_else(|| Error::NoSuchPath {
                path: target.path.clone(),
            })?;
        let id = ObjectId::file(digests.md5);
        let changed = out.id() != Some(id);
        Ok(Content {
            id,
            size: digests.size,
            nfiles: None,
            // A link into the cache cannot be executable, so there a missing bit alone is no change.
            executable: executable || (!changed && out.isexec && (linked || !HAS_MODES)),
            blake3: Some(digests.blake3),
            objects: vec![transfer(&digests)],
            added,
            changes: file_changes(out, id),
            kept: 0,
            ahead,
        })
    }

    fn add_folder(
        &self,
        target: &AddTarget,
        files: &[ScannedFile],
        before: Option<ObjectId>,
        out: &Out,
        record: &Record<'_>,
    ) -> Result<(Content, Merged)> {
        let base = self.base(before)?;
        let none = Manifest::default();
        check_parts(target, files, base.as_ref().unwrap_or(&none), record)?;
        let looked_at: Vec<&ScannedFile> = files.iter().filter(|f| target.covers(&f.path)).collect();
        let paths: Vec<PathBuf> = looked_at.iter().map(|f| f.full.clone()).collect();
        warn_of_files(&target.path, &looked_at, self.context);
        let (added, ahead) = self.store(&paths, self.options.links)?;
        let present = looked_at.iter().zip(&added).map(|(file, added)| ManifestEntry {
            md5: added.digests.md5,
            path: file.path.clone(),
        });
        let removals: HashSet<&str> = target.removals.iter().map(RelPath::as_str).collect();
        let is_removed = |entry: &ManifestEntry| {
            ways_to(&entry.path).any(|way| removals.contains(way))
                || (target.covers(&entry.path) && record.had(entry))
        };
        let name = target.path.display().to_string();
        let merged = merge(
            &name,
            base.as_ref().unwrap_or(&none),
            present.collect(),
            &is_removed,
        )?;
        let bytes = merged.manifest.to_bytes();
        let id = ObjectId::tree(digest_bytes(&bytes).md5);
        if let (None, Some(before)) = (&base, before.filter(|before| *before != id)) {
            return Err(Error::NoManifest {
                path: target.path.clone(),
                manifest: before.to_string(),
            });
        }
        if !self.options.dry_run {
            self.cache.insert_bytes(&bytes, true)?;
        }
        let base = base.unwrap_or(none);
        let read = looked_at
            .iter()
            .zip(&added)
            .map(|(file, added)| (&file.path, added.digests));
        let proven = self.prove(target, &merged, &base, read.collect(), before == Some(id), out)?;
        let mut objects = proven.objects;
        objects.push(Transfer {
            id,
            size: Some(bytes.len() as u64),
            blake3: None,
        });
        let changes = if before == Some(id) {
            FileChanges::default()
        } else {
            merged.changes()
        };
        let content = Content {
            id,
            size: proven.size,
            nfiles: Some(merged.manifest.entries().len() as u64),
            executable: false,
            blake3: proven.blake3,
            objects,
            added,
            changes,
            kept: merged.kept.len() as u64,
            ahead,
        };
        Ok((content, merged))
    }

    /// What the folder was: nothing if it is new or was a file, `None` if its manifest is not in the cache.
    fn base(&self, before: Option<ObjectId>) -> Result<Option<Manifest>> {
        match before {
            Some(id) if !id.tree => Ok(Some(Manifest::default())),
            None => Ok(Some(Manifest::default())),
            Some(id) if self.cache.has(&id)? => Ok(Some(read_manifest(self.cache, &id)?)),
            Some(_) => Ok(None),
        }
    }

    /// Size and proof of a merged folder, out of the files that were `read` and those that are kept.
    fn prove(
        &self,
        target: &AddTarget,
        merged: &Merged,
        base: &Manifest,
        read: HashMap<&RelPath, FileDigests>,
        same: bool,
        out: &Out,
    ) -> Result<Proven> {
        if same && !merged.kept.is_empty() {
            // Nothing changed, so nothing has to be known of what is not here.
            let object = |entry: &ManifestEntry| Transfer::of(ObjectId::file(entry.md5));
            return Ok(Proven {
                size: out.size.unwrap_or(0),
                blake3: None,
                objects: merged.manifest.entries().iter().map(object).collect(),
            });
        }
        let kept = Kept {
            place: &target.path,
            base,
            proof: out.blake3(),
            is_bound: out.is_proof_bound(),
            cache: self.cache,
            stat: self.stat,
            remote: self.options.elsewhere,
            context: self.context,
        };
        let (others, whole) = kept.digests(&merged.kept, self.options.dry_run)?;
        let mut all = read;
        all.extend(merged.kept.iter().map(|entry| &entry.path).zip(others));
        let paths = || merged.manifest.entries().iter().map(|entry| &entry.path);
        let digests: Vec<FileDigests> = paths().filter_map(|path| all.get(path).copied()).collect();
        Ok(Proven {
            size: digests.iter().map(|d| d.size).sum(),
            blake3: whole.then(|| proof_of(paths(), &digests)),
            objects: digests.iter().map(transfer).collect(),
        })
    }

    /// Put files into the cache, or in a dry run only say what would be new to it.
    fn store(&self, paths: &[PathBuf], links: &[LinkMode]) -> Result<(Vec<Added>, EarlyUpload)> {
        let (cache, stat, context) = (self.cache, self.stat, self.context);
        if self.options.dry_run {
            return Ok((self.preview(paths)?, EarlyUpload::default()));
        }
        match self.options.to {
            Destination::Cache => Ok((
                add_files(cache, stat, paths, links, context)?,
                EarlyUpload::default(),
            )),
            Destination::CacheAndRemote(remote) => {
                let (added, report) = remote.add_files(cache, stat, paths, links, context)?;
                Ok((added, EarlyUpload::of(&report)))
            }
            Destination::Remote(remote) => {
                let (digests, report) = remote.store_files(stat, paths, context)?;
                let added = digests.into_iter().map(|digests| Added {
                    digests,
                    stored: false,
                });
                Ok((added.collect(), EarlyUpload::of(&report)))
            }
        }
    }

    /// What storing files would do.
    fn preview(&self, paths: &[PathBuf]) -> Result<Vec<Added>> {
        let digests = hash_files(paths, self.stat, self.context)?;
        let ids: Vec<ObjectId> = digests.iter().map(|d| ObjectId::file(d.md5)).collect();
        let there = self.cache.proven(&ids)?;
        let mut seen: HashMap<ObjectId, (FileDigests, &PathBuf)> = HashMap::new();
        let mut added = Vec::with_capacity(paths.len());
        for (((path, digests), id), there) in paths.iter().zip(digests).zip(ids).zip(there) {
            let same = match (there, seen.get(&id)) {
                (Some(there), _) => Some((there, format!("an object in {}", self.cache.place()))),
                (None, Some((first, of))) => Some((*first, format!("`{}`", of.display()))),
                (None, None) => None,
            };
            let stored = same.is_none() && !matches!(self.options.to, Destination::Remote(_));
            if let Some((_, other)) = same.filter(|(same, _)| *same != digests) {
                return Err(backlot_store::Error::SameMd5 {
                    what: format!("`{}`", path.display()),
                    md5: id.md5,
                    other,
                }
                .into());
            }
            seen.insert(id, (digests, path));
            added.push(Added { digests, stored });
        }
        Ok(added)
    }

    /// Write the pointer and the ignore file where they change. Returns whether the pointer was written.
    fn write(&self, target: &AddTarget, out: &Out) -> Result<bool> {
        let mut pointer = target.pointer.clone().unwrap_or_default();
        match pointer.outs.iter_mut().find(|o| o.path == out.path) {
            Some(old) => *old = out.clone(),
            None => pointer.outs.push(out.clone()),
        }
        let changed = target.pointer.as_ref() != Some(&pointer);
        if self.options.dry_run || !changed {
            self.ignore_in_git(target, out)?;
            return Ok(changed);
        }
        let text = match &target.pointer {
            Some(_) => updated_text(
                &target.pointer_path,
                &fs::read_to_string(&target.pointer_path)?,
                &pointer,
            ),
            None => pointer.to_text(),
        };
        let written = file::write_if_changed(&target.pointer_path, text.as_bytes())?;
        self.ignore_in_git(target, out)?;
        Ok(written)
    }

    /// What is not cached is git's to keep.
    fn ignore_in_git(&self, target: &AddTarget, out: &Out) -> Result<()> {
        if self.options.git_ignore && !self.options.dry_run && out.cache {
            git_ignore(&target.path)?;
        }
        Ok(())
    }
}

/// Size, proof and objects of a folder's files.
struct Proven {
    size: u64,
    blake3: Option<Blake3>,
    objects: Vec<Transfer>,
}

/// What content is to an out of a file.
fn file_changes(out: &Out, id: ObjectId) -> FileChanges {
    let mut changes = FileChanges::default();
    if out.id() != Some(id) {
        let (count, sign) = match out.id() {
            Some(_) => (&mut changes.changed, '~'),
            None => (&mut changes.new, '+'),
        };
        *count = 1;
        changes.names.push(format!("{sign} {}", out.path.file_name()));
    }
    changes
}

fn transfer(digests: &FileDigests) -> Transfer {
    Transfer {
        id: ObjectId::file(digests.md5),
        size: Some(digests.size),
        blake3: None,
    }
}

/// Each part that was asked for is there, or was; each that is said to be removed is listed, and is not there.
fn check_parts(
    target: &AddTarget,
    files: &[ScannedFile],
    base: &Manifest,
    record: &Record<'_>,
) -> Result<()> {
    let there = |part: &RelPath| files.iter().any(|file| file.path.is_within(part));
    for part in target.parts.iter().flatten() {
        let path = part.to_path(&target.path);
        let was_here = |entry: &ManifestEntry| entry.path.is_within(part) && record.had(entry);
        if !there(part) && !path.is_dir() && !base.entries().iter().any(was_here) {
            return Err(Error::NoSuchPath { path });
        }
    }
    if target.removals.is_empty() {
        return Ok(());
    }
    let here: HashSet<&str> = files.iter().flat_map(|file| ways_to(&file.path)).collect();
    let was: HashSet<&str> = base
        .entries()
        .iter()
        .flat_map(|entry| ways_to(&entry.path))
        .collect();
    for part in &target.removals {
        let path = part.to_path(&target.path);
        if here.contains(part.as_str()) {
            return Err(Error::StillThere { path });
        }
        if !was.contains(part.as_str()) {
            return Err(Error::NotAMember { path });
        }
    }
    Ok(())
}

/// A path and the folders that it is in.
fn ways_to(path: &RelPath) -> impl Iterator<Item = &str> {
    let whole = path.as_str();
    let slashes = whole.match_indices('/').map(move |(at, _)| &whole[..at]);
    std::iter::once(whole).chain(slashes)
}

/// Put content into an out; what DVC knew of the old content elsewhere goes.
fn set_content(out: &mut Out, content: &Content) {
    if out.id() != Some(content.id) {
        (out.version_id, out.etag, out.checksum, out.cloud, out.files) = (None, None, None, None, None);
    }
    out.md5 = Some(content.id);
    out.size = Some(content.size);
    out.nfiles = content.nfiles;
    out.isexec = content.executable;
    if let Some(blake3) = content.blake3 {
        out.set_blake3(blake3);
    }
}

fn report(target: &AddTarget, content: Content, out: Out, written: bool) -> AddedOut {
    let stored = || content.added.iter().filter(|a| a.stored);
    AddedOut {
        path: target.path.clone(),
        pointer: target.pointer_path.clone(),
        id: content.id,
        blake3: content.blake3.or(out.blake3()),
        files: content.nfiles.unwrap_or(1),
        bytes: content.size,
        changed: content.changes.new + content.changes.changed,
        removed: content.changes.gone,
        stored_files: stored().count() as u64,
        stored_bytes: stored().map(|a| a.digests.size).sum(),
        changes: content.changes,
        kept: content.kept,
        written,
        ahead: content.ahead,
        out,
        objects: content.objects,
        members: Vec::new(),
    }
}

impl AddTarget {
    /// The out to be updated, or a new one.
    fn out(&self) -> Out {
        let known = self
            .pointer
            .as_ref()
            .and_then(|p| p.outs.iter().find(|o| o.path == self.out_path));
        known.cloned().unwrap_or_else(|| Out::new(self.out_path.clone()))
    }
}
