//! A path from outside that an asset tracks already: a re-render, added again. What is new or changed is copied, and what is gone goes.
//!
//! Invariants: nothing is copied over a file that was changed here and not added: that is a conflict which names it. What is overwritten or removed
//! is in the cache first. A run that was stopped is finished by running it again, also if the source changed in between: what it had begun to copy
//! is known by `.backlot/updating.json`, which can be deleted. Deliberately absent: recording what the folder is then (`additions`).

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use backlot_core::{LinkMode, Md5, RelPath, file};
use backlot_dvc::{AddedOut, EarlyUpload, Ignore, Manifest, ManifestEntry, Out, Scanned, TrackedPointer};
use backlot_store::{Cache, FileDigests, ObjectId, Remote, StatCache, Transfer};
use fs_err as fs;

use crate::error::{OutsError, Result, WorkspaceError};
use crate::files::tracked::Tracked;
use crate::workspace::Opened;

/// What updates have begun to copy, by tracked path and the path inside it.
type Begun = BTreeMap<PathBuf, BTreeMap<String, Vec<Md5>>>;

/// Files by their path inside the tracked path; a single file has an empty one.
pub(crate) type Contents = BTreeMap<String, (PathBuf, FileDigests)>;

/// The changes to a tracked file or folder.
#[derive(Debug)]
pub(crate) struct Update {
    target: PathBuf,
    pointer: PathBuf,
    out: Out,
    /// Paths inside, with the source and its content.
    copies: Vec<(String, PathBuf, FileDigests)>,
    /// Files that are here, and go.
    removals: Vec<PathBuf>,
    /// Files of the manifest that go, wherever they are.
    pub(crate) gone: Vec<PathBuf>,
    /// Files that are overwritten or removed and not in the cache.
    unstored: Vec<PathBuf>,
    /// What the folder has then, but for files that are not here and stay.
    after: BTreeMap<String, FileDigests>,
    base: Manifest,
    is_folder: bool,
    executable: bool,
    keeps_gone: bool,
}

impl Update {
    /// Whether the tracked path matches the source.
    pub(crate) fn is_nothing(&self) -> bool {
        self.copies.is_empty() && self.removals.is_empty() && self.gone.is_empty()
    }
}

fn place(workspace: &Opened) -> PathBuf {
    workspace.state_dir().join("updating.json")
}

fn load(workspace: &Opened) -> Result<Begun> {
    let bytes = file::read_if_exists(&place(workspace))?;
    Ok(bytes
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default())
}

fn save(workspace: &Opened, begun: &Begun) -> Result<()> {
    let path = place(workspace);
    if begun.is_empty() {
        return Ok(file::remove(&path)?);
    }
    let bytes = serde_json::to_vec(begun).unwrap_or_default();
    Ok(file::write(&path, &bytes)?)
}

/// A path inside a tracked path.
fn member(target: &Path, inside: &str) -> PathBuf {
    if inside.is_empty() {
        target.to_path_buf()
    } else {
        target.join(inside)
    }
}

impl Opened {
    /// The changes by an external path to a tracked one; `None` if that is not tracked.
    pub(crate) fn plan_update(
        &self,
        tracked: &Tracked,
        (path, target): (&Path, &Path),
        keeps_gone: bool,
    ) -> Result<Option<Update>> {
        let outs = tracked.pointers.iter();
        let mut outs = outs.flat_map(|pointer| pointer.located_outs().map(move |found| (pointer, found)));
        let Some((pointer, (_, out))) = outs.find(|(_, (place, _))| place == target) else {
            return Ok(None);
        };
        if !path.exists() {
            return Ok(None);
        }
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        let source = self.files_of(path)?;
        let is_folder = source.names.is_some();
        let was_folder = out.id().is_none_or(|id| id.tree);
        if out.id().is_some() && is_folder != was_folder || target.exists() && target.is_dir() != is_folder {
            let path = target.to_path_buf();
            return Err(WorkspaceError::TargetExists { path }.into());
        }
        let names = match &source.names {
            Some(names) => names.iter().map(ToString::to_string).collect(),
            None => vec![String::new()],
        };
        let update = Update {
            target: target.to_path_buf(),
            pointer: pointer.path.clone(),
            out: out.clone(),
            copies: Vec::new(),
            removals: Vec::new(),
            gone: Vec::new(),
            unstored: Vec::new(),
            after: BTreeMap::new(),
            base: self.base_of_update(pointer, out, &cache)?,
            is_folder,
            executable: source.executable,
            keeps_gone,
        };
        let source = self.contents(names, source.sources, &stat)?;
        self.compare(update, path, &source, &cache, &stat).map(Some)
    }

    /// What the pointer says of a folder; of a file, its one name.
    fn base_of_update(&self, pointer: &TrackedPointer, out: &Out, cache: &Cache) -> Result<Manifest> {
        let Some(id) = out.id().filter(|id| id.tree) else {
            return Ok(Manifest::default());
        };
        if !cache.has(&id)? {
            let one = Tracked {
                name: String::new(),
                pointers: vec![pointer.clone()],
                installed: false,
            };
            self.bring_manifests(&one, self.remote_elsewhere(None).as_ref())?;
        }
        Ok(backlot_dvc::read_manifest(cache, &id)?)
    }

    fn contents(&self, names: Vec<String>, paths: Vec<PathBuf>, stat: &StatCache) -> Result<Contents> {
        let digests = backlot_store::hash_files(&paths, stat, self.context())?;
        let found = names.into_iter().zip(paths.into_iter().zip(digests));
        Ok(found.collect())
    }

    /// The files of a tracked path that are here.
    pub(crate) fn contents_here(&self, target: &Path, stat: &StatCache) -> Result<Contents> {
        let ignore = Ignore::of_folder(target.parent().unwrap_or(target))?;
        let (names, paths) = match backlot_dvc::survey(target, &ignore, self.context())?.0 {
            Scanned::Missing => (Vec::new(), Vec::new()),
            Scanned::File { .. } => (vec![String::new()], vec![target.to_path_buf()]),
            Scanned::Folder(files) => files.into_iter().map(|f| (f.path.to_string(), f.full)).unzip(),
        };
        self.contents(names, paths, stat)
    }

    fn compare(
        &self,
        mut update: Update,
        path: &Path,
        source: &Contents,
        cache: &Cache,
        stat: &StatCache,
    ) -> Result<Update> {
        let here = self.contents_here(&update.target, stat)?;
        let placed = stat.placed(&update.target)?;
        let begun = load(self)?.remove(&update.target).unwrap_or_default();
        let single = update
            .out
            .id()
            .filter(|id| !id.tree)
            .map(|id| (String::new(), id.md5));
        let entries = update.base.entries().iter();
        let base: BTreeMap<String, Md5> = entries
            .map(|entry| (entry.path.to_string(), entry.md5))
            .chain(single)
            .collect();
        let mut changed_here = Vec::new();
        for (inside, (full, found)) in &here {
            let is = |md5: Option<&Md5>| md5 == Some(&found.md5);
            let was_begun = begun.get(inside).is_some_and(|all| all.contains(&found.md5));
            let is_ours = is(base.get(inside)) || is(placed.get(inside)) || was_begun;
            let is_gone = base.contains_key(inside) && !update.keeps_gone || was_begun;
            match source.get(inside) {
                Some((_, new)) if new == found => continue,
                Some(_) if is_ours => {}
                None if is_gone && is_ours => update.removals.push(full.clone()),
                // The user put it there: it is tracked with the rest.
                None if !base.contains_key(inside) || update.keeps_gone => {
                    update.after.insert(inside.clone(), *found);
                    continue;
                }
                _ => {
                    changed_here.push(inside.clone());
                    continue;
                }
            }
            if !cache.holds(found)? {
                update.unstored.push(full.clone());
            }
        }
        if !changed_here.is_empty() {
            return Err(OutsError::ChangedHere {
                path: self.display_path(&update.target),
                source_path: path.display().to_string(),
                files: changed_here,
            }
            .into());
        }
        for (inside, (full, new)) in source {
            update.after.insert(inside.clone(), *new);
            if here.get(inside).is_none_or(|(_, found)| found != new) {
                update.copies.push((inside.clone(), full.clone(), *new));
            }
        }
        let gone = base.keys().filter(|inside| !source.contains_key(*inside));
        if !update.keeps_gone {
            update.gone = gone.map(|inside| member(&update.target, inside)).collect();
        }
        check_ways(&update)?;
        Ok(update)
    }

    /// Copy and remove. The caller then records what is there.
    pub(crate) fn apply_update(&self, update: &Update) -> Result<()> {
        let mut begun = load(self)?;
        let of_target = begun.entry(update.target.clone()).or_default();
        for (inside, _, digests) in &update.copies {
            let known = of_target.entry(inside.clone()).or_default();
            if !known.contains(&digests.md5) {
                known.push(digests.md5);
            }
        }
        save(self, &begun)?;
        let modes = [LinkMode::Reflink, LinkMode::Copy];
        if !update.unstored.is_empty() {
            let (cache, stat) = (self.cache()?, self.stat_cache()?);
            backlot_store::add_files(&cache, &stat, &update.unstored, &modes, self.context())?;
        }
        for path in &update.removals {
            self.context().check()?;
            fs::remove_file(path)?;
            for folder in path
                .ancestors()
                .skip(1)
                .take_while(|folder| *folder != update.target)
            {
                if fs::remove_dir(folder).is_err() {
                    break;
                }
            }
        }
        let mut made = HashSet::new();
        for (inside, source, _) in &update.copies {
            self.context().check()?;
            let target = member(&update.target, inside);
            if let Some(folder) = target.parent()
                && made.insert(folder.to_path_buf())
            {
                fs::create_dir_all(folder)?;
            }
            backlot_core::link::place(source, None, &target, &modes, true)?;
        }
        Ok(())
    }

    /// Forget what was begun, when it is recorded.
    pub(crate) fn end_update(&self, target: &Path) -> Result<()> {
        let mut begun = load(self)?;
        if begun.remove(target).is_some() {
            save(self, &begun)?;
        }
        Ok(())
    }

    /// What adding it would record.
    pub(crate) fn planned_update(&self, update: &Update, elsewhere: Option<&Remote>) -> Result<AddedOut> {
        let cache = self.cache()?;
        let mut out = update.out.clone();
        let before = out.id();
        let (id, mut changes, kept) = if update.is_folder {
            let entry = |(inside, digests): (&String, &FileDigests)| {
                Ok(ManifestEntry {
                    md5: digests.md5,
                    path: RelPath::parse(inside)?,
                })
            };
            let present: Result<Vec<ManifestEntry>> = update.after.iter().map(entry).collect();
            let name = update.target.display().to_string();
            let merged = backlot_dvc::merge(&name, &update.base, present?, &|_| !update.keeps_gone)?;
            let changes = merged.changes();
            (merged.manifest.id(), changes, merged.kept)
        } else {
            let md5 = update.after.values().next().map(|digests| digests.md5);
            let id = md5.map(ObjectId::file).or(before);
            let id = id.ok_or_else(|| backlot_dvc::Error::NoSuchPath {
                path: update.target.clone(),
            })?;
            let mut changes = backlot_dvc::FileChanges::default();
            if before != Some(id) {
                changes.changed = 1;
                changes.names = vec![format!("~ {}", out.path.file_name())];
            }
            (id, changes, Vec::new())
        };
        if before == Some(id) {
            changes = backlot_dvc::FileChanges::default();
        }
        let transfer = |digests: &FileDigests| Transfer::proven(ObjectId::file(digests.md5), digests);
        let mut objects: Vec<Transfer> = update.after.values().map(transfer).collect();
        let mut bytes: u64 = update.after.values().map(|digests| digests.size).sum();
        let kept_ids: Vec<ObjectId> = kept.iter().map(|entry| ObjectId::file(entry.md5)).collect();
        let told = match elsewhere.filter(|_| !kept_ids.is_empty()) {
            Some(remote) => remote.known_files(&kept_ids, self.context())?,
            None => vec![None; kept_ids.len()],
        };
        for ((id, size), told) in kept_ids.iter().zip(cache.sizes(&kept_ids)?).zip(told) {
            let size = size.or(told.map(|told| told.size));
            bytes += size.unwrap_or(0);
            objects.push(Transfer {
                size,
                ..Transfer::of(*id)
            });
        }
        if update.is_folder {
            objects.push(Transfer::of(id));
        }
        let (mut stored_files, mut stored_bytes, mut seen) = (0, 0, HashSet::new());
        for (_, _, digests) in &update.copies {
            if seen.insert(digests.md5) && !cache.has(&ObjectId::file(digests.md5))? {
                stored_files += 1;
                stored_bytes += digests.size;
            }
        }
        let files = (update.after.len() + kept.len()) as u64;
        (out.md5, out.size, out.isexec) = (Some(id), Some(bytes), update.executable);
        out.nfiles = update.is_folder.then_some(files);
        Ok(AddedOut {
            path: update.target.clone(),
            pointer: update.pointer.clone(),
            id,
            blake3: None,
            files,
            bytes,
            changed: changes.new + changes.changed,
            removed: changes.gone,
            changes,
            kept: kept.len() as u64,
            stored_files,
            stored_bytes,
            written: before != Some(id),
            ahead: EarlyUpload::default(),
            out,
            objects,
            members: Vec::new(),
        })
    }
}

/// No folder inside a tracked folder may be a link: what is behind it is somebody else's.
fn check_ways(update: &Update) -> Result<()> {
    let mut seen = HashSet::new();
    let copies = update
        .copies
        .iter()
        .map(|(inside, ..)| member(&update.target, inside));
    for path in copies.chain(update.removals.iter().cloned()) {
        let above = path.ancestors().skip(1);
        for folder in above.take_while(|folder| folder.starts_with(&update.target)) {
            if !seen.insert(folder.to_path_buf()) {
                break;
            }
            if folder.is_symlink() {
                let path = folder.to_path_buf();
                return Err(backlot_dvc::Error::LinkedFolder { path }.into());
            }
        }
    }
    Ok(())
}
