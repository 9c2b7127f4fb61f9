//! Tracking files: hash, cache, manifest, pointer, in this order.
//!
//! Invariants: the pointer is written last, when all it names is in the cache, so a kill leaves the old pointer or the new
//! one; adding what did not change writes nothing. A path inside a tracked folder stands for that folder. Deliberately
//! absent: moving files into the asset, and committing to git.

use std::path::{Path, PathBuf};

use backlot_core::{Blake3, Context, LinkMode, file};
use backlot_store::{Added, Cache, FileDigests, ObjectId, Remote, StatCache, add_files, hash_files};
use fs_err as fs;
use serde::Serialize;

use crate::content::{proof_of, read_manifest};
use crate::error::{Error, Result};
use crate::ignore::Ignore;
use crate::manifest::{Manifest, ManifestEntry};
use crate::patch::updated_text;
use crate::plan::{AddTarget, plan_add};
use crate::pointer::Out;
use crate::scan::{Scanned, ScannedFile, scan_out};

/// How to add.
#[derive(Clone, Copy, Debug)]
pub struct AddOptions<'a> {
    /// How the workspace's files may share content with the cache.
    pub links: &'a [LinkMode],
    /// Whether to keep tracked paths out of git, by a `.gitignore` beside the pointer.
    pub git_ignore: bool,
    /// Hash and report, but write nothing.
    pub dry_run: bool,
    /// Where content is sent while it is read for the first time. A push has to follow.
    pub ahead: Option<&'a Remote>,
}

/// What was sent to a remote while files were added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SentAhead {
    /// Files that are stored there now and were not before.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that were written to the remote for them.
    pub sent: u64,
}

impl std::ops::AddAssign for SentAhead {
    fn add_assign(&mut self, more: Self) {
        self.objects += more.objects;
        self.bytes += more.bytes;
        self.sent += more.sent;
    }
}

/// A tracked file or folder after adding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AddedOut {
    /// Where it is.
    pub path: PathBuf,
    /// Its pointer.
    pub pointer: PathBuf,
    /// Its content.
    pub id: ObjectId,
    /// Its proof.
    pub blake3: Blake3,
    /// Its files.
    pub files: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Files that are new or changed since it was last added.
    pub changed: u64,
    /// Files that were tracked and are gone.
    pub removed: u64,
    /// Files that were (or, in a dry run, would be) new to the cache.
    pub stored_files: u64,
    /// Their bytes.
    pub stored_bytes: u64,
    /// Whether the pointer was (would be) written.
    pub written: bool,
    /// What was sent ahead of the push.
    pub ahead: SentAhead,
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
    let plan = plan_add(root, targets, context)?;
    let adding = Adding {
        cache,
        stat,
        options,
        context,
    };
    plan.iter().map(|target| adding.add(target)).collect()
}

/// What is the same for all targets.
struct Adding<'a> {
    cache: &'a Cache,
    stat: &'a StatCache,
    options: &'a AddOptions<'a>,
    context: &'a Context,
}

impl Adding<'_> {
    fn add(&self, target: &AddTarget) -> Result<AddedOut> {
        self.context.check()?;
        let ignore = Ignore::of_folder(target.path.parent().unwrap_or(&target.path))?;
        let mut out = target.out();
        let before = out.id();
        let mut report = match scan_out(&target.path, &ignore, self.context)? {
            Scanned::Missing => {
                return Err(Error::NoSuchPath {
                    path: target.path.clone(),
                });
            }
            Scanned::File { executable, .. } => self.add_file(target, executable, &mut out)?,
            Scanned::Folder(files) => self.add_folder(target, &files, before, &mut out)?,
        };
        out.set_blake3(report.blake3);
        report.written = self.write(target, out)?;
        Ok(report)
    }

    fn add_file(&self, target: &AddTarget, executable: bool, out: &mut Out) -> Result<AddedOut> {
        let (added, ahead) = self.store(std::slice::from_ref(&target.path))?;
        let digests = added
            .first()
            .map(|a| a.digests)
            .ok_or_else(|| Error::NoSuchPath {
                path: target.path.clone(),
            })?;
        let id = ObjectId::file(digests.md5);
        let changed = u64::from(out.id() != Some(id));
        // A link into the cache cannot be executable, so a missing bit alone is no change.
        let executable = executable || (changed == 0 && out.isexec);
        set_content(out, id, digests.size, None, executable);
        Ok(report(target, id, digests.blake3, &added, (changed, 0), ahead))
    }

    fn add_folder(
        &self,
        target: &AddTarget,
        files: &[ScannedFile],
        before: Option<ObjectId>,
        out: &mut Out,
    ) -> Result<AddedOut> {
        let paths: Vec<PathBuf> = files.iter().map(|f| f.full.clone()).collect();
        let (added, ahead) = self.store(&paths)?;
        let entry = |(file, added): (&ScannedFile, &Added)| ManifestEntry {
            md5: added.digests.md5,
            path: file.path.clone(),
        };
        let name = target.path.display().to_string();
        let manifest = Manifest::new(&name, files.iter().zip(&added).map(entry).collect())?;
        let digests: Vec<FileDigests> = added.iter().map(|a| a.digests).collect();
        let blake3 = proof_of(files.iter().map(|f| &f.path), &digests);
        let bytes = manifest.to_bytes();
        let id = if self.options.dry_run {
            manifest.id()
        } else {
            self.cache.insert_bytes(&bytes, true)?.0
        };
        let changes = self.changes(before, &manifest)?;
        set_content(
            out,
            id,
            digests.iter().map(|d| d.size).sum(),
            Some(added.len() as u64),
            false,
        );
        Ok(report(target, id, blake3, &added, changes, ahead))
    }

    /// Put files into the cache, or in a dry run only say what would be new to it.
    fn store(&self, paths: &[PathBuf]) -> Result<(Vec<Added>, SentAhead)> {
        let nothing = SentAhead::default();
        if !self.options.dry_run {
            let (cache, stat, links) = (self.cache, self.stat, self.options.links);
            let Some(remote) = self.options.ahead else {
                return Ok((add_files(cache, stat, paths, links, self.context)?, nothing));
            };
            let (added, report) = remote.add_files(cache, stat, paths, links, self.context)?;
            let ahead = SentAhead {
                objects: report.objects,
                bytes: report.bytes,
                sent: report.sent,
            };
            return Ok((added, ahead));
        }
        let mut added = Vec::with_capacity(paths.len());
        let mut seen = std::collections::HashSet::new();
        for digests in hash_files(paths, self.stat, self.context)? {
            let stored = !self.cache.has(&ObjectId::file(digests.md5))? && seen.insert(digests.md5);
            added.push(Added { digests, stored });
        }
        Ok((added, nothing))
    }

    /// How many files are new or changed, and how many are gone. Everything is new if the old manifest is not known.
    fn changes(&self, before: Option<ObjectId>, manifest: &Manifest) -> Result<(u64, u64)> {
        let old = match before {
            Some(id) if id == manifest.id() => return Ok((0, 0)),
            Some(id) if id.tree && self.cache.has(&id)? => read_manifest(self.cache, &id)?,
            _ => Manifest::default(),
        };
        let changed = manifest
            .entries()
            .iter()
            .filter(|e| old.get(&e.path) != Some(e.md5))
            .count();
        let removed = old
            .entries()
            .iter()
            .filter(|e| manifest.get(&e.path).is_none())
            .count();
        Ok((changed as u64, removed as u64))
    }

    /// Write the pointer and the ignore file where they change. Returns whether the pointer was written.
    fn write(&self, target: &AddTarget, out: Out) -> Result<bool> {
        let mut pointer = target.pointer.clone().unwrap_or_default();
        match pointer.outs.iter_mut().find(|o| o.path == out.path) {
            Some(old) => *old = out,
            None => pointer.outs.push(out),
        }
        let changed = target.pointer.as_ref() != Some(&pointer);
        if self.options.dry_run || !changed {
            self.ignore_in_git(target)?;
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
        self.ignore_in_git(target)?;
        Ok(written)
    }

    fn ignore_in_git(&self, target: &AddTarget) -> Result<()> {
        if self.options.git_ignore && !self.options.dry_run {
            git_ignore(&target.path)?;
        }
        Ok(())
    }
}

/// Put content into an out; what DVC knew of the old content elsewhere goes.
fn set_content(out: &mut Out, id: ObjectId, size: u64, nfiles: Option<u64>, executable: bool) {
    if out.id() != Some(id) {
        (out.version_id, out.etag, out.checksum, out.cloud, out.files) = (None, None, None, None, None);
    }
    out.md5 = Some(id);
    out.size = Some(size);
    out.nfiles = nfiles;
    out.isexec = executable;
}

fn report(
    target: &AddTarget,
    id: ObjectId,
    blake3: Blake3,
    added: &[Added],
    changes: (u64, u64),
    ahead: SentAhead,
) -> AddedOut {
    let stored = || added.iter().filter(|a| a.stored);
    AddedOut {
        path: target.path.clone(),
        pointer: target.pointer_path.clone(),
        id,
        blake3,
        files: added.len() as u64,
        bytes: added.iter().map(|a| a.digests.size).sum(),
        changed: changes.0,
        removed: changes.1,
        stored_files: stored().count() as u64,
        stored_bytes: stored().map(|a| a.digests.size).sum(),
        written: false,
        ahead,
    }
}

/// Name a tracked path in the `.gitignore` beside it, unless it is there already.
fn git_ignore(path: &Path) -> Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
        return Ok(());
    };
    let ignore = folder.join(".gitignore");
    let bytes = file::read_if_exists(&ignore)?.unwrap_or_default();
    let mut text = String::from_utf8(bytes).map_err(|_| Error::BadIgnore {
        path: ignore.clone(),
        reason: "it is no UTF-8 text".to_owned(),
    })?;
    let line = format!("/{}", escape_pattern(name));
    if text.lines().any(|l| l.trim_end() == line) {
        return Ok(());
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&line);
    text.push('\n');
    Ok(file::write(&ignore, text.as_bytes())?)
}

/// A name as a pattern that matches only it.
fn escape_pattern(name: &str) -> String {
    let mut pattern = String::with_capacity(name.len());
    for c in name.chars() {
        if matches!(c, '*' | '?' | '[' | ']') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    let trailing = pattern.len() - pattern.trim_end_matches(' ').len();
    pattern.truncate(pattern.len() - trailing);
    pattern.push_str(&"\\ ".repeat(trailing));
    pattern
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
