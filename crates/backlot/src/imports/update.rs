//! Updating imports: asking their sources, and taking what changed.
//!
//! Invariants: what is here stays as it is until the new content is whole and proven, and for good where the source is gone, away, empty or damaged.
//! Several imports are updated one by one; one that fails stops no other. Deliberately absent: imports that only DVC updates.

use std::path::{Path, PathBuf};
use std::time::Duration;

use backlot_core::{FileLock, options};
use backlot_dvc::{
    EarlyUpload, FileChanges, GitSource, ImportNotes, ImportSource, Out, SourceState, TrackedPointer,
};
use backlot_net::forget_part;
use backlot_store::{digest_bytes, hash_files};
use fs_err as fs;

use crate::error::{ImportError, Result, WorkspaceError};
use crate::files::moved::MoveReport;
use crate::files::tracked::Tracked;
use crate::imports::fetching::{Fetched, FetchedContent, Fetching};
use crate::imports::inquiry::{Compared, Inquired, KnownState, compare_source, known_of};
use crate::imports::members::KnownMembers;
use crate::imports::report::{ImportOutcome, ImportProblem, ImportReport, ImportedPath};
use crate::imports::source::NamedSource;
use crate::imports::storing::{Importing, Keep, StoredContent, content_of, gone, import_source};
use crate::workspace::{Opened, absolute};

/// How long a command waits for another one that fetches the same.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long what came of a file that was never finished is kept.
const PART_LIFETIME: Duration = Duration::from_hours(14 * 24);

options! {
    /// How to update imports.
    #[derive(Default)]
    pub struct UpdateImports {
        /// Write the current state of the sources, without fetching content.
        pub no_download: bool,
        /// Send the content to a remote, and keep it neither in the cache nor in place.
        pub to_remote: bool,
        /// The remote to send to, instead of the default one.
        pub remote: Option<String>,
        /// Replace locally changed files; they are set aside, and [`crate::Workspace::undo_pull`] restores them.
        pub force: bool,
        /// Change nothing.
        pub dry_run: bool,
    }
}

/// An import, and what its pointer says.
#[derive(Debug)]
pub(crate) struct KnownImport {
    pub(crate) importing: Importing,
    pub(crate) source: NamedSource,
    pub(crate) before: ImportSource,
}

impl Opened {
    pub(crate) fn update_imports(
        &self,
        pointers: &[PathBuf],
        options: &UpdateImports,
    ) -> Result<ImportReport> {
        let mut report = ImportReport {
            dry_run: options.dry_run,
            ..ImportReport::default()
        };
        for pointer in pointers {
            let path = absolute(pointer)?;
            match self.update_import(&path, options) {
                Ok((imported, pushed)) => {
                    report.imports.push(imported);
                    if let Some(pushed) = pushed {
                        report.pushed.get_or_insert_with(MoveReport::default).add(pushed);
                    }
                }
                Err(error) if pointers.len() == 1 => return Err(error),
                Err(error) => {
                    self.context().check()?;
                    report
                        .problems
                        .push(ImportProblem::new(self.display_path(&path), &error));
                }
            }
        }
        Ok(report)
    }

    /// The import of a pointer of an output.
    pub(crate) fn known_import(&self, pointer: TrackedPointer, asset: &str) -> Result<KnownImport> {
        let shown = || self.display_path(&pointer.path);
        if !pointer.pointer.is_import() {
            return Err(ImportError::NotAnImport { pointer: shown() }.into());
        }
        let (Some(before), [_]) = (
            ImportSource::of(&pointer.pointer),
            pointer.pointer.outs.as_slice(),
        ) else {
            let kind = match pointer.pointer.deps.first() {
                Some(dep) if dep.contains_key("repo") => {
                    "an import of a git repository with settings of its own"
                }
                Some(dep) if dep.contains_key("db") => "an import of a database",
                _ => "an import of versions of a bucket",
            };
            return Err(ImportError::OnlyDvc {
                pointer: shown(),
                kind,
            }
            .into());
        };
        let source = self.source_of_pointer(&before.path, pointer.folder(), before.fs_config.as_ref())?;
        Ok(KnownImport {
            importing: importing_of(pointer, asset),
            source,
            before,
        })
    }

    fn update_import(
        &self,
        path: &Path,
        options: &UpdateImports,
    ) -> Result<(ImportedPath, Option<MoveReport>)> {
        let not_in_output = || WorkspaceError::NotInOutput {
            path: path.to_path_buf(),
        };
        let output = self.output_of(path)?.ok_or_else(not_in_output)?;
        output.check_inside()?;
        let pointer = TrackedPointer::load(path)?;
        if ImportNotes::of(&pointer.pointer).release.is_some() {
            let how = (options.remote.as_deref(), options.force, options.dry_run);
            let importing = importing_of(pointer, &output.name);
            return Ok((self.update_release(importing, how)?, None));
        }
        if let Some(source) = GitSource::of(&pointer.pointer) {
            let importing = importing_of(pointer, &output.name);
            let how = (options.force, options.dry_run);
            return Ok((self.update_commit(&importing, source, how)?, None));
        }
        let known = self.known_import(pointer, &output.name)?;
        let _alone = self.lock_source(&known.source)?;
        self.update_known(known, options)
    }

    fn update_known(
        &self,
        known: KnownImport,
        options: &UpdateImports,
    ) -> Result<(ImportedPath, Option<MoveReport>)> {
        if known.source.is_web() && !options.dry_run && !options.no_download {
            // One request, on the condition that the file has changed.
            return self.fetch_update(known, None, None, options);
        }
        let KnownImport {
            importing,
            source,
            before,
        } = &known;
        let answer = self.inquire(source)?;
        let has_content = importing.out_before().and_then(Out::id).is_some();
        let (outcome, reason) = match compare_source(source, &answer, before, &importing.notes)? {
            Compared::Gone(reason) => return Err(gone(source, reason).into()),
            Compared::Same if has_content || options.no_download => {
                return Ok((self.unchanged(&known), None));
            }
            Compared::Same => (ImportOutcome::WouldUpdate, None),
            Compared::Differs(why) => (ImportOutcome::WouldUpdate, Some(why)),
            Compared::Unsure(why) => (ImportOutcome::MayUpdate, Some(why)),
        };
        if options.dry_run {
            let mut would = self.imported(importing, source, outcome);
            let now = known_of(source, &answer)?;
            (would.reason, would.bytes, would.weak) = (reason, now.size, weakness(&now));
            return Ok((would, None));
        }
        if options.no_download {
            return Ok((self.update_state(known, answer, reason)?, None));
        }
        self.fetch_update(known, Some(answer), reason, options)
    }

    fn unchanged(&self, known: &KnownImport) -> ImportedPath {
        let weak = known.before.state.weakness();
        ImportedPath {
            weak: weak.map(ToOwned::to_owned),
            ..self.imported(&known.importing, &known.source, ImportOutcome::Unchanged)
        }
    }

    /// Write the state of a source, without its content.
    fn update_state(
        &self,
        known: KnownImport,
        answer: Inquired,
        reason: Option<String>,
    ) -> Result<ImportedPath> {
        let KnownImport {
            mut importing,
            source,
            ..
        } = known;
        let now = known_of(&source, &answer)?;
        let now = self.with_state(&source, now, answer)?;
        importing.notes.seen.clone_from(&now.seen);
        let weak = weakness(&now);
        let of = import_source(&source, now)?;
        self.record_import(&importing, &of, None, Keep::OnPointer)?;
        Ok(ImportedPath {
            reason,
            weak,
            ..self.imported(&importing, &source, ImportOutcome::Updated)
        })
    }

    /// Fetch the content of a source, if it is not known.
    fn fetch_update(
        &self,
        known: KnownImport,
        answer: Option<Inquired>,
        reason: Option<String>,
        options: &UpdateImports,
    ) -> Result<(ImportedPath, Option<MoveReport>)> {
        let source = &known.source;
        let has_content = known.importing.out_before().and_then(Out::id).is_some();
        let unless = has_content.then_some(&known.before.state);
        let members = if options.to_remote {
            // What the cache has need not be on the remote.
            KnownMembers::default()
        } else {
            let pointer = self.display_path(&known.importing.pointer_path);
            KnownMembers::load(&self.imports_dir(), &pointer, &source.text)?
        };
        let fetched = match self.fetch_source(source, answer, unless, &members)? {
            Fetching::Done(fetched) => fetched,
            Fetching::Same => return Ok((self.unchanged(&known), None)),
            Fetching::Gone(reason) => return Err(gone(source, reason).into()),
        };
        let how = (options.to_remote, options.remote.as_deref(), options.force);
        let (imported, pushed) = self.take_fetched(known.importing, source, &fetched, how)?;
        Ok((ImportedPath { reason, ..imported }, pushed))
    }

    /// Take content that was fetched: store it, record it, and put it into place or send it to a remote.
    pub(crate) fn take_fetched(
        &self,
        mut importing: Importing,
        source: &NamedSource,
        fetched: &Fetched,
        (to_remote, remote, force): (bool, Option<&str>, bool),
    ) -> Result<(ImportedPath, Option<MoveReport>)> {
        let before = importing
            .before
            .as_ref()
            .and_then(|pointer| ImportSource::of(&pointer.pointer));
        let content = if to_remote {
            let remote = self.open_remote(self.remote_entry(remote, "importing to a remote")?)?;
            self.store_fetched(&source.shown(), &importing.target, fetched, Some(&remote))
        } else {
            self.store_fetched(&source.shown(), &importing.target, fetched, None)
        };
        if matches!(&content, Err(error) if backlot_core::Diagnostic::class(error) == backlot_core::Class::Integrity)
        {
            // What is damaged is not gone on with.
            forget_parts(fetched)?;
        }
        let content = content?;
        self.check_still(source, fetched, &content)?;
        let changes = self.import_changes(&importing, &content)?;
        let known = KnownState {
            state: Some(fetched.known.state.clone().unwrap_or_else(|| content.state())),
            size: Some(content.size),
            seen: fetched.known.seen.clone(),
            isexec: fetched.known.isexec,
        };
        importing.notes.seen.clone_from(&known.seen);
        let weak = weakness(&known);
        let of = import_source(source, known)?;
        let was = importing.out_before().and_then(Out::id);
        let is_same =
            was == Some(content.id) && before.as_ref().is_some_and(|before| before.state == of.state);
        // If the content is the same, local files are left alone: they may have been edited.
        let keep = if to_remote || was == Some(content.id) {
            Keep::OnPointer
        } else {
            Keep::Here { force }
        };
        let set_aside = self.record_import(&importing, &of, Some(&content), keep)?;
        self.remember_members(&importing, source, fetched, &content)?;
        forget_parts(fetched)?;
        let pushed = to_remote
            .then(|| self.push_import(&importing, remote, content.ahead))
            .transpose()?;
        let outcome = match (is_same, &importing.before) {
            (true, _) => ImportOutcome::Unchanged,
            (false, Some(_)) => ImportOutcome::Updated,
            (false, None) => ImportOutcome::Imported,
        };
        let imported = ImportedPath {
            files: Some(content.nfiles.unwrap_or(1)),
            bytes: Some(content.size),
            fetched_bytes: fetched.bytes,
            changes: if is_same { FileChanges::default() } else { changes },
            weak,
            set_aside,
            ..self.imported(&importing, source, outcome)
        };
        Ok((imported, pushed))
    }

    /// An error if a local source is not what was read of it.
    fn check_still(&self, source: &NamedSource, fetched: &Fetched, content: &StoredContent) -> Result<()> {
        if !source.is_local() {
            return Ok(());
        }
        let is_same = match self.inquire(source)? {
            Inquired::Local(now) => {
                let names = fetched.files.iter().filter_map(|file| file.name.as_ref());
                now.digests == content.digests && now.names.iter().flatten().eq(names)
            }
            _ => false,
        };
        if is_same {
            return Ok(());
        }
        Err(ImportError::ChangedMeanwhile {
            source_url: source.shown(),
        }
        .into())
    }

    fn remember_members(
        &self,
        importing: &Importing,
        source: &NamedSource,
        fetched: &Fetched,
        content: &StoredContent,
    ) -> Result<()> {
        if source.is_local() || source.is_web() {
            return Ok(());
        }
        let files = fetched.files.iter().zip(&content.digests).map(|(file, digests)| {
            let name = file.name.as_ref().map(ToString::to_string).unwrap_or_default();
            (name, file.tag.clone(), *digests)
        });
        let pointer = self.display_path(&importing.pointer_path);
        KnownMembers::save(&self.imports_dir(), &pointer, &source.text, files)
    }

    fn push_import(
        &self,
        importing: &Importing,
        remote: Option<&str>,
        ahead: EarlyUpload,
    ) -> Result<MoveReport> {
        let tracked = Tracked {
            name: importing.asset.clone(),
            pointers: vec![TrackedPointer::load(&importing.pointer_path)?],
            installed: false,
        };
        self.push_tracked(&[tracked], remote, ahead, false)
    }

    /// What is known of a source, with its state: where only its content tells that, it is read.
    pub(crate) fn with_state(
        &self,
        source: &NamedSource,
        known: KnownState,
        inquired: Inquired,
    ) -> Result<KnownState> {
        if known.state.is_some() {
            return Ok(known);
        }
        let fetched = self.fetch_source(source, Some(inquired), None, &KnownMembers::default())?;
        let Fetching::Done(fetched) = fetched else {
            return Err(gone(source, None).into());
        };
        let paths: Vec<PathBuf> = fetched.parts.clone();
        let digests = hash_files(&paths, &*self.stat_cache()?, self.context())?;
        let content = content_of(Path::new(&source.text), &fetched, digests)?;
        forget_parts(&fetched)?;
        Ok(KnownState {
            state: Some(content.state()),
            ..known
        })
    }

    /// Keep other commands from fetching the same source meanwhile. What was never finished, and is old, goes.
    pub(crate) fn lock_source(&self, source: &NamedSource) -> Result<FileLock> {
        let folder = self.imports_dir();
        fs::create_dir_all(&folder)?;
        sweep_parts(&folder, self.context().now().0 / 1000);
        let name = digest_bytes(source.text.as_bytes()).blake3.to_hex();
        let path = folder.join(format!("{}.lock", &name[..32]));
        Ok(FileLock::acquire(&path, PATIENCE, self.context())?)
    }
}

/// The import of a pointer of an asset.
pub(crate) fn importing_of(pointer: TrackedPointer, asset: &str) -> Importing {
    let target = pointer.located_outs().map(|(path, _)| path).next();
    Importing {
        asset: asset.to_owned(),
        target: target.unwrap_or_else(|| pointer.path.clone()),
        pointer_path: pointer.path.clone(),
        notes: ImportNotes::of(&pointer.pointer),
        before: Some(pointer),
    }
}

fn weakness(known: &KnownState) -> Option<String> {
    let state = known.state.as_ref().and_then(SourceState::weakness);
    let dated = "the server sends no checksum, so only size and date are compared";
    state
        .or_else(|| known.seen.is_some().then_some(dated))
        .map(ToOwned::to_owned)
}

fn forget_parts(fetched: &Fetched) -> Result<()> {
    let here = fetched
        .files
        .iter()
        .any(|file| matches!(file.content, FetchedContent::Here(_)));
    if here {
        for part in &fetched.parts {
            forget_part(part)?;
        }
    }
    Ok(())
}

/// Remove old partial downloads. Failures are ignored.
fn sweep_parts(folder: &Path, now: u64) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.ends_with(".part") && !name.ends_with(".part.json") {
            continue;
        }
        let modified = entry.metadata().ok().and_then(|found| found.modified().ok());
        let age = modified.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        if age.is_some_and(|at| at.as_secs() + PART_LIFETIME.as_secs() < now) {
            fs::remove_file(&path).ok();
        }
    }
}
