//! Tracking what is on a remote and not here: only the pointer is written, and the manifest of a folder.
//!
//! Invariants: as for every add; files that the folder had and that are not among those given stay as they are, whatever is
//! here of them. Files that are here must be those of the result: what differs is somebody's work, or stale.

use std::path::Path;

use backlot_core::{Context, RelPath};
use backlot_store::{
    Cache, FileDigests, ObjectId, PlacedMembers, StatCache, Transfer, digest_bytes, hash_files,
};

use super::{
    AddOptions, AddedOut, Adding, Content, EarlyUpload, file_changes, report, set_content, transfer,
};
use crate::error::{Error, Result};
use crate::ignore::Ignore;
use crate::manifest::{Manifest, ManifestEntry};
use crate::merge::{FileChanges, MAX_NAMES, Merged, merge};
use crate::parts::PartsError;
use crate::plan::{AddTarget, plan_absent};
use crate::pointer::Out;
use crate::portable::{warn_of_members, warn_of_path};
use crate::scan::{Scanned, scan_out};

/// Track files that are on a remote as those of `folder` inside the asset folder `root`. `check` may refuse the result.
pub fn add_known(
    (root, folder): (&Path, &RelPath),
    files: &[(RelPath, FileDigests)],
    check: &dyn Fn(&Manifest) -> Result<()>,
    (cache, stat): (&Cache, &StatCache),
    options: &AddOptions<'_>,
    context: &Context,
) -> Result<AddedOut> {
    let target = plan_absent(root, folder, true, context)?;
    let adding = Adding::new(cache, stat, options, context);
    let mut out = known_out(&target)?;
    let before = out.id();
    let base = adding.base(before)?.ok_or_else(|| Error::NoManifest {
        path: target.path.clone(),
        manifest: before.map(|id| id.to_string()).unwrap_or_default(),
    })?;
    let present = files.iter().map(|(path, digests)| ManifestEntry {
        md5: digests.md5,
        path: path.clone(),
    });
    let name = target.path.display().to_string();
    let merged = merge(&name, &base, present.collect(), &|_| false)?;
    check(&merged.manifest)?;
    if before.is_none() {
        warn_of_path(root, folder, context)?;
    }
    let members = merged.manifest.entries().iter().map(|entry| &entry.path);
    warn_of_members(&target.path, members, context);
    let here = adding.here(&target, &merged.manifest)?;
    let content = adding.known_content(&target, &merged, &base, files, before, &out)?;
    set_content(&mut out, &content);
    let written = adding.write(&target, &out)?;
    if !options.dry_run {
        // What was here before and is gone was not removed by anybody who knew of these files.
        stat.set_placed(&target.path, &here)?;
    }
    Ok(report(&target, content, out, written))
}

/// Track a file that is on a remote as `path` inside the asset folder `root`, where none is.
pub fn add_known_file(
    (root, path): (&Path, &RelPath),
    (digests, executable): (FileDigests, bool),
    (cache, stat): (&Cache, &StatCache),
    options: &AddOptions<'_>,
    context: &Context,
) -> Result<AddedOut> {
    let target = plan_absent(root, path, false, context)?;
    if std::fs::symlink_metadata(&target.path).is_ok() {
        return Err(Error::InTheWay { path: target.path });
    }
    let adding = Adding::new(cache, stat, options, context);
    let mut out = known_out(&target)?;
    if out.id().is_none() {
        warn_of_path(root, path, context)?;
    }
    let id = ObjectId::file(digests.md5);
    let content = Content {
        id,
        size: digests.size,
        nfiles: None,
        executable,
        blake3: Some(digests.blake3),
        objects: vec![transfer(&digests)],
        added: Vec::new(),
        changes: file_changes(&out, id),
        kept: 0,
        ahead: EarlyUpload::default(),
    };
    adding.check_same_md5(&target, &out, &content)?;
    set_content(&mut out, &content);
    let written = adding.write(&target, &out)?;
    Ok(report(&target, content, out, written))
}

/// The out to be updated, or a new one. What git keeps is on no remote.
fn known_out(target: &AddTarget) -> Result<Out> {
    let out = target.out();
    if out.cache {
        return Ok(out);
    }
    Err(PartsError::NotCached {
        path: target.path.clone(),
        pointer: target.pointer_path.clone(),
    }
    .into())
}

impl Adding<'_> {
    /// The files of the result that are here.
    fn here(&self, target: &AddTarget, manifest: &Manifest) -> Result<PlacedMembers> {
        let ignore = Ignore::of_folder(target.path.parent().unwrap_or(&target.path))?;
        let found = match scan_out(&target.path, &ignore, self.context)? {
            Scanned::Missing => Vec::new(),
            Scanned::Folder(files) => files,
            Scanned::File { .. } => {
                return Err(Error::InTheWay {
                    path: target.path.clone(),
                });
            }
        };
        let paths: Vec<_> = found.iter().map(|file| file.full.clone()).collect();
        let digests = hash_files(&paths, self.stat, self.context)?;
        let (mut here, mut others) = (PlacedMembers::new(), Vec::new());
        for (file, digests) in found.iter().zip(digests) {
            if manifest.get(&file.path) == Some(digests.md5) {
                here.insert(file.path.as_str().to_owned(), digests.md5);
            } else {
                others.push(file.path.to_string());
            }
        }
        if others.is_empty() {
            return Ok(here);
        }
        let count = others.len() as u64;
        others.truncate(MAX_NAMES);
        Err(PartsError::FilesHere {
            path: target.path.clone(),
            files: others,
            count,
        }
        .into())
    }

    fn known_content(
        &self,
        target: &AddTarget,
        merged: &Merged,
        base: &Manifest,
        files: &[(RelPath, FileDigests)],
        before: Option<ObjectId>,
        out: &Out,
    ) -> Result<Content> {
        let bytes = merged.manifest.to_bytes();
        let id = ObjectId::tree(digest_bytes(&bytes).md5);
        let read = files.iter().map(|(path, digests)| (path, *digests)).collect();
        let same = before == Some(id);
        let proven = self.prove(target, merged, base, read, same, out)?;
        if !self.options.dry_run {
            self.cache.insert_bytes(&bytes, true)?;
        }
        let mut objects = proven.objects;
        objects.push(Transfer {
            id,
            size: Some(bytes.len() as u64),
            blake3: None,
        });
        Ok(Content {
            id,
            size: proven.size,
            nfiles: Some(merged.manifest.entries().len() as u64),
            executable: false,
            blake3: proven.blake3,
            objects,
            added: Vec::new(),
            changes: if same {
                FileChanges::default()
            } else {
                merged.changes()
            },
            kept: merged.kept.len() as u64,
            ahead: EarlyUpload::default(),
        })
    }
}
