//! Storing fetched content: in the cache or on a remote, in the pointer, and in place.
//!
//! Invariants: the pointer is written when all that it names is in the cache, or on the remote; what is here is replaced only if it is as it was
//! placed, file by file, each by one rename. Killed in between, a pull or the next update goes on. Deliberately absent: asking and fetching.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backlot_core::{Blake3, LinkMode, RelPath};
use backlot_dvc::{
    CheckoutOptions, EarlyUpload, FileChanges, ImportNotes, ImportSource, Manifest, ManifestEntry, Out,
    Pointer, SourceState, TrackedPointer, tree_proof, write_import,
};
use backlot_store::{Cache, FileDigests, ObjectId, Remote, StatCache, TransferReport, add_files, hash_files};

use crate::error::{ImportError, OutsError, Result};
use crate::files::moved::MoveReport;
use crate::files::tracked::Tracked;
use crate::imports::fetching::{Fetched, FetchedContent};
use crate::imports::inquiry::{KnownState, content_state};
use crate::imports::report::{ImportOutcome, ImportedPath};
use crate::imports::source::NamedSource;
use crate::workspace::Opened;

/// An import that is made or updated.
#[derive(Debug)]
pub(crate) struct Importing {
    pub(crate) asset: String,
    /// Where the content goes.
    pub(crate) target: PathBuf,
    pub(crate) pointer_path: PathBuf,
    /// The pointer as it is, if there is one.
    pub(crate) before: Option<TrackedPointer>,
    pub(crate) notes: ImportNotes,
}

impl Importing {
    /// The current content in the pointer.
    pub(crate) fn out_before(&self) -> Option<&Out> {
        self.before
            .as_ref()
            .and_then(|pointer| pointer.pointer.outs.first())
    }
}

/// Content that is in the cache, or on a remote.
#[derive(Debug)]
pub(crate) struct StoredContent {
    pub(crate) id: ObjectId,
    pub(crate) size: u64,
    /// Files, if it is a folder.
    pub(crate) nfiles: Option<u64>,
    pub(crate) executable: bool,
    pub(crate) blake3: Blake3,
    /// Of each file, in the order that they were fetched in.
    pub(crate) digests: Vec<FileDigests>,
    manifest: Option<Manifest>,
    pub(crate) ahead: EarlyUpload,
}

impl StoredContent {
    pub(crate) fn state(&self) -> SourceState {
        SourceState::Content {
            id: self.id,
            nfiles: self.nfiles,
        }
    }
}

/// Where content goes beside the cache and the pointer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keep {
    /// Into place; with `force`, changes that were made there are set aside.
    Here { force: bool },
    /// Nowhere: the content is on a remote, is here already, or is not wanted.
    OnPointer,
}

/// An error for a source that is not there.
pub(crate) fn gone(source: &NamedSource, reason: Option<String>) -> ImportError {
    ImportError::Gone {
        source_url: source.shown(),
        reason,
    }
}

/// The source in a pointer.
pub(crate) fn import_source(source: &NamedSource, known: KnownState) -> Result<ImportSource, ImportError> {
    Ok(ImportSource {
        path: source.text.clone(),
        state: known.state.ok_or_else(|| gone(source, None))?,
        size: known.size,
        isexec: known.isexec,
        fs_config: source.fs_config.clone(),
    })
}

impl Opened {
    /// What is reported of an import that nothing is known of yet.
    pub(crate) fn imported(
        &self,
        importing: &Importing,
        source: &NamedSource,
        outcome: ImportOutcome,
    ) -> ImportedPath {
        ImportedPath::new(
            (&importing.asset, source.shown()),
            self.display_path(&importing.target),
            self.display_path(&importing.pointer_path),
            outcome,
            importing.notes.license.clone(),
        )
    }

    /// Put fetched content into the cache, or send it to a remote. `source` is what errors call its source.
    pub(crate) fn store_fetched(
        &self,
        source: &str,
        target: &Path,
        fetched: &Fetched,
        remote: Option<&Remote>,
    ) -> Result<StoredContent> {
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        let here: Vec<PathBuf> = fetched.files.iter().filter_map(path_of).collect();
        // What was fetched can go into the cache as it is; a local source stays whose it is.
        let links: &[LinkMode] = if fetched.parts.is_empty() {
            &[LinkMode::Reflink, LinkMode::Copy]
        } else {
            &[LinkMode::Hardlink, LinkMode::Reflink, LinkMode::Copy]
        };
        let (new, report) = match remote {
            Some(remote) => remote.store_files(&stat, &here, self.context())?,
            None => {
                let added = add_files(&cache, &stat, &here, links, self.context())?;
                (
                    added.iter().map(|added| added.digests).collect(),
                    TransferReport::default(),
                )
            }
        };
        let mut new = new.into_iter();
        let digests = fetched.files.iter().map(|file| match file.content {
            FetchedContent::Here(_) => new.next(),
            FetchedContent::Cached(digests) => Some(digests),
        });
        let digests: Vec<FileDigests> = digests.flatten().collect();
        check_announced(source, fetched, &digests)?;
        let mut content = content_of(target, fetched, digests)?;
        content.ahead = EarlyUpload::of(&report);
        if let Some(manifest) = &content.manifest {
            cache.insert_bytes(&manifest.to_bytes(), true)?;
        }
        Ok(content)
    }

    /// The changes to tracked files.
    pub(crate) fn import_changes(
        &self,
        importing: &Importing,
        content: &StoredContent,
    ) -> Result<FileChanges> {
        let before = importing.out_before().and_then(Out::id);
        if before == Some(content.id) {
            return Ok(FileChanges::default());
        }
        let cache = self.cache()?;
        let base = match before {
            Some(id) if id.tree && cache.has(&id)? => backlot_dvc::read_manifest(&cache, &id)?,
            _ => Manifest::default(),
        };
        let name = importing.target.display().to_string();
        let Some(manifest) = &content.manifest else {
            let file = importing.target.file_name().unwrap_or_default().to_string_lossy();
            let is_new = before.is_none();
            return Ok(FileChanges {
                new: u64::from(is_new),
                changed: u64::from(!is_new),
                names: vec![format!("{} {file}", if is_new { '+' } else { '~' })],
                ..FileChanges::default()
            });
        };
        let merged = backlot_dvc::merge(&name, &base, manifest.entries().to_vec(), &|_| true)?;
        Ok(merged.changes())
    }

    /// Write the pointer of an import, and place its content. Returns the files set aside.
    pub(crate) fn record_import(
        &self,
        importing: &Importing,
        source: &ImportSource,
        content: Option<&StoredContent>,
        keep: Keep,
    ) -> Result<Vec<String>> {
        let mut pointer = importing.pointer_with(content)?;
        source.put_into(&mut pointer, &importing.notes);
        self.record_pointer(importing, pointer, content, keep)
    }

    /// Write a pointer, and place its content. Returns the files set aside.
    pub(crate) fn record_pointer(
        &self,
        importing: &Importing,
        pointer: Pointer,
        content: Option<&StoredContent>,
        keep: Keep,
    ) -> Result<Vec<String>> {
        let held = self.hold()?;
        let now = if backlot_core::presence::is_absent(&importing.pointer_path)? {
            None
        } else {
            Some(TrackedPointer::load(&importing.pointer_path)?)
        };
        if now != importing.before {
            return Err(ImportError::PointerChanged {
                pointer: held.display_path(&importing.pointer_path),
            }
            .into());
        }
        let tracked = Tracked {
            name: importing.asset.clone(),
            pointers: vec![TrackedPointer {
                path: importing.pointer_path.clone(),
                pointer,
                made_by: None,
            }],
            installed: false,
        };
        let (cache, stat) = (held.cache()?, held.stat_cache()?);
        let place = content.is_some() && matches!(keep, Keep::Here { .. });
        let force = matches!(keep, Keep::Here { force: true });
        if place && !force {
            held.refuse_changed(importing, &tracked, (&cache, &stat))?;
        }
        let written = &tracked.pointers[0];
        write_import(&written.path, &written.pointer, held.in_git())?;
        if !place {
            return Ok(Vec::new());
        }
        let tracked = [tracked];
        let mut report = MoveReport::of(&tracked);
        held.place_tracked(&tracked, &cache, &stat, (force, &BTreeMap::new()), &mut report)?;
        Ok(report
            .assets
            .into_iter()
            .flat_map(|moved| moved.set_aside)
            .collect())
    }

    /// Note that what is here was placed, if it is what the pointer said: another program may have done that. Returns whether it is.
    fn adopt_placed(&self, importing: &Importing, (cache, stat): (&Cache, &StatCache)) -> Result<bool> {
        let (Some(before), Some(id)) = (&importing.before, importing.out_before().and_then(Out::id)) else {
            return Ok(false);
        };
        let here = self.files_of(&importing.target)?;
        let digests = hash_files(&here.sources, stat, self.context())?;
        if digests.is_empty() && !id.tree {
            return Ok(false);
        }
        let state = content_state(&importing.target, here.names.as_deref(), &digests)?;
        if !matches!(state, SourceState::Content { id: found, .. } if found == id) {
            return Ok(false);
        }
        add_files(
            cache,
            stat,
            &here.sources,
            &[LinkMode::Reflink, LinkMode::Copy],
            self.context(),
        )?;
        if let Some(names) = &here.names {
            let entries = names.iter().zip(&digests).map(|(path, found)| ManifestEntry {
                md5: found.md5,
                path: path.clone(),
            });
            let manifest = Manifest::new(&importing.target.display().to_string(), entries.collect())?;
            cache.insert_bytes(&manifest.to_bytes(), true)?;
        }
        backlot_dvc::note_placed(&[before], &[], cache, stat)?;
        Ok(true)
    }

    /// An error if files that are here were changed since they were placed.
    fn refuse_changed(
        &self,
        importing: &Importing,
        tracked: &Tracked,
        (cache, stat): (&Cache, &StatCache),
    ) -> Result<()> {
        let pointers: Vec<&TrackedPointer> = tracked.pointers.iter().collect();
        let options = CheckoutOptions {
            links: &self.settings().links.value,
            force: false,
            proven: None,
            read_only: false,
        };
        let plan = || backlot_dvc::plan_checkout(&pointers, cache, None, stat, &options, self.context());
        let mut planned = plan()?;
        if !planned.kept.is_empty() && self.adopt_placed(importing, (cache, stat))? {
            planned = plan()?;
        }
        if planned.kept.is_empty() {
            return Ok(());
        }
        let inside = |path: &PathBuf| match path.strip_prefix(&importing.target) {
            Ok(inside) if !inside.as_os_str().is_empty() => inside.display().to_string(),
            _ => self.display_path(path),
        };
        Err(OutsError::ChangedHere {
            path: self.display_path(&importing.target),
            source_path: "its source".to_owned(),
            files: planned.kept.iter().map(inside).collect(),
        }
        .into())
    }
}

fn path_of(file: &crate::imports::fetching::FetchedFile) -> Option<PathBuf> {
    match &file.content {
        FetchedContent::Here(path) => Some(path.clone()),
        FetchedContent::Cached(_) => None,
    }
}

impl Importing {
    /// The pointer with new content in it; without any, as after `--no-download`.
    pub(crate) fn pointer_with(&self, content: Option<&StoredContent>) -> Result<Pointer> {
        let path = match self.target.file_name() {
            Some(name) => RelPath::from_path(Path::new(name))?,
            None => RelPath::from_path(&self.target)?,
        };
        let mut pointer = self.before.as_ref().map_or_else(
            || Pointer {
                frozen: true,
                ..Pointer::of(Out::new(path))
            },
            |before| before.pointer.clone(),
        );
        let Some(out) = pointer.outs.first_mut() else {
            return Ok(pointer);
        };
        (out.version_id, out.etag, out.checksum, out.cloud, out.files) = (None, None, None, None, None);
        let Some(content) = content else {
            (out.md5, out.size, out.nfiles, out.isexec) = (None, None, None, false);
            return Ok(pointer);
        };
        let is_other = out.is_proof_bound() && out.blake3() != Some(content.blake3);
        if out.id() == Some(content.id) && is_other {
            return Err(backlot_store::Error::SameMd5 {
                what: format!("the source of `{}`", self.target.display()),
                md5: content.id.md5,
                other: format!("what `{}` stands for", self.pointer_path.display()),
            }
            .into());
        }
        (out.md5, out.size, out.nfiles) = (Some(content.id), Some(content.size), content.nfiles);
        out.isexec = content.executable;
        out.set_blake3(content.blake3);
        Ok(pointer)
    }
}

/// An error if the bytes of a file are not those that its source announced.
fn check_announced(source: &str, fetched: &Fetched, digests: &[FileDigests]) -> Result<(), ImportError> {
    match (fetched.announced, digests.first()) {
        (Some(announced), Some(found)) if found.md5 != announced => Err(ImportError::Damaged {
            source_url: source.to_owned(),
            found: found.md5.to_hex(),
            announced: announced.to_hex(),
        }),
        _ => Ok(()),
    }
}

/// What the files are together.
pub(crate) fn content_of(
    target: &Path,
    fetched: &Fetched,
    digests: Vec<FileDigests>,
) -> Result<StoredContent> {
    let size = digests.iter().map(|found| found.size).sum();
    let names: Vec<RelPath> = fetched
        .files
        .iter()
        .filter_map(|file| file.name.clone())
        .collect();
    let names = fetched.is_folder.then_some(names);
    let state = content_state(target, names.as_deref(), &digests)?;
    let SourceState::Content { id, nfiles } = state else {
        return Err(backlot_dvc::Error::NoSuchPath {
            path: target.to_path_buf(),
        }
        .into());
    };
    let (mut manifest, mut blake3) = (None, digests.first().map(|found| found.blake3));
    if let Some(names) = names {
        let entries = names.iter().zip(&digests).map(|(path, found)| ManifestEntry {
            md5: found.md5,
            path: path.clone(),
        });
        let made = Manifest::new(&target.display().to_string(), entries.collect())?;
        let by_path: BTreeMap<&RelPath, Blake3> = names
            .iter()
            .zip(digests.iter().map(|found| found.blake3))
            .collect();
        let proofs = made
            .entries()
            .iter()
            .filter_map(|entry| Some((&entry.path, *by_path.get(&entry.path)?)));
        blake3 = Some(tree_proof(proofs));
        manifest = Some(made);
    }
    Ok(StoredContent {
        id,
        size,
        nfiles,
        executable: fetched.executable && !fetched.is_folder,
        blake3: blake3.unwrap_or_else(|| tree_proof(std::iter::empty())),
        digests,
        manifest,
        ahead: EarlyUpload::default(),
    })
}
