//! Importing a path of a git repository: a file or folder of a commit, or what DVC tracks there, as `dvc import` does.
//!
//! Invariants: the commit stands in the pointer; tracked content is proven by its MD5, and by its proof where the repository has one. What is
//! tracked comes from the remotes that the repository itself names, and from its cache where it is a folder of this machine. Nothing of the repository
//! is run. Deliberately absent: git (`git`), and pointers of DVC with a configuration of their own, which only DVC updates.

use std::path::{Path, PathBuf};

use backlot_core::file::TemporaryFolder;
use backlot_core::{RelPath, options};
use backlot_dvc::{DvcConfig, GitSource, ImportNotes, Out, TrackedPointer, judge, tracked_files};
use backlot_store::{Cache, FileDigests, ObjectId, Remote, RemoteLayout, Transfer};
use fs_err as fs;

use crate::error::{ImportError, Result};
use crate::imports::fetching::Fetched;
use crate::imports::git::GitMirror;
use crate::imports::portion::{Bring, Portion};
use crate::imports::report::{ImportOutcome, ImportReport, ImportedPath};
use crate::imports::storing::{Importing, Keep};
use crate::imports::target::GivenTarget;
use crate::workspace::connect::Address;
use crate::workspace::{Opened, absolute};

options! {
    /// How to import a path of a git repository.
    #[derive(Default)]
    pub struct ImportGit {
        /// The path that it gets; the last name of the path in the repository by default.
        pub path: Option<String>,
        /// The asset that tracks it, if the path or the folder does not say it.
        pub asset: Option<String>,
        /// The folder that relative paths begin in, if no asset is named.
        pub folder: PathBuf,
        /// The branch, tag or commit; by default the default branch.
        pub rev: Option<String>,
        /// The licence of the imported files.
        pub license: Option<String>,
        /// Change nothing.
        pub dry_run: bool,
    }
}

/// The content of a path of a commit.
struct CommittedFiles {
    fetched: Fetched,
    /// Where its files lie until they are stored.
    _stage: TemporaryFolder,
}

/// The folder that a repository is, if it is one of this machine.
fn local_folder(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("file://").unwrap_or(url);
    let path = Path::new(path);
    (!path.to_string_lossy().contains("://") && path.is_dir()).then(|| path.to_path_buf())
}

impl Opened {
    pub(crate) fn import_git(&self, url: &str, inside: &str, options: &ImportGit) -> Result<ImportReport> {
        let inside = RelPath::parse(inside.trim_end_matches('/'))?;
        check_address(url)?;
        let url = match local_folder(&options.folder.join(url).display().to_string()) {
            Some(_) if !url.contains("://") => absolute(&options.folder.join(url))?.display().to_string(),
            _ => url.to_owned(),
        };
        let given = GivenTarget {
            path: options.path.as_deref(),
            asset: options.asset.as_deref(),
            here: &options.folder,
        };
        let target = self.free_target(given, inside.file_name())?;
        let commit = self.git_commit(&url, options.rev.as_deref())?;
        let source = GitSource {
            path: inside.to_string(),
            url,
            rev: options.rev.clone(),
            rev_lock: commit,
        };
        let importing = Importing {
            asset: target.asset.clone(),
            target: target.path.clone(),
            pointer_path: target.pointer.clone(),
            before: None,
            notes: ImportNotes {
                license: options.license.clone(),
                ..ImportNotes::default()
            },
        };
        let imported = if options.dry_run {
            self.imported_commit(&importing, &source, ImportOutcome::WouldImport)
        } else {
            self.take_commit(&importing, &source, false)?
        };
        Ok(ImportReport {
            imports: vec![imported],
            dry_run: options.dry_run,
            ..ImportReport::default()
        })
    }

    /// Update an import of a git repository to the commit that its revision is now.
    pub(crate) fn update_commit(
        &self,
        importing: &Importing,
        mut source: GitSource,
        (force, dry_run): (bool, bool),
    ) -> Result<ImportedPath> {
        let url = self.repository_of(importing, &source);
        let commit = self.git_commit(&url, source.rev.as_deref())?;
        let has_content = importing.out_before().and_then(Out::id).is_some();
        if commit == source.rev_lock && has_content {
            return Ok(self.imported_commit(importing, &source, ImportOutcome::Unchanged));
        }
        let reason = commit_change(&source.rev_lock, &commit);
        source.rev_lock = commit;
        let imported = if dry_run {
            self.imported_commit(importing, &source, ImportOutcome::WouldUpdate)
        } else {
            self.take_commit(importing, &source, force)?
        };
        Ok(ImportedPath {
            reason: Some(reason),
            ..imported
        })
    }

    /// The address of a pointer's repository: a path as seen from the pointer, else from the workspace, as DVC has it.
    pub(crate) fn repository_of(&self, importing: &Importing, source: &GitSource) -> String {
        let folder = importing.pointer_path.parent().unwrap_or(self.root());
        let near = [folder, self.root()].map(|folder| folder.join(&source.url));
        let near = near
            .into_iter()
            .find(|path| !source.url.contains("://") && path.is_dir());
        near.map_or_else(|| source.url.clone(), |path| path.display().to_string())
    }

    fn imported_commit(
        &self,
        importing: &Importing,
        source: &GitSource,
        outcome: ImportOutcome,
    ) -> ImportedPath {
        ImportedPath::new(
            (&importing.asset, shown_source(source)),
            self.display_path(&importing.target),
            self.display_path(&importing.pointer_path),
            outcome,
            importing.notes.license.clone(),
        )
    }

    /// Fetch a path of a commit, record it, and put it into place.
    fn take_commit(&self, importing: &Importing, source: &GitSource, force: bool) -> Result<ImportedPath> {
        let url = self.repository_of(importing, source);
        let files = self.committed_files(&url, source)?;
        let shown = shown_source(source);
        let content = self.store_fetched(&shown, &importing.target, &files.fetched, None)?;
        let changes = self.import_changes(importing, &content)?;
        let mut pointer = importing.pointer_with(Some(&content))?;
        source.put_into(&mut pointer, &importing.notes);
        let was = importing.out_before().and_then(Out::id);
        let keep = if was == Some(content.id) {
            Keep::OnPointer
        } else {
            Keep::Here { force }
        };
        let set_aside = self.record_pointer(importing, pointer, Some(&content), keep)?;
        let outcome = match importing.before {
            None => ImportOutcome::Imported,
            Some(_) => ImportOutcome::Updated,
        };
        Ok(ImportedPath {
            files: Some(content.nfiles.unwrap_or(1)),
            bytes: Some(content.size),
            fetched_bytes: files.fetched.bytes,
            changes,
            set_aside,
            ..self.imported_commit(importing, source, outcome)
        })
    }

    /// The files at or below a path of a commit.
    fn committed_files(&self, url: &str, source: &GitSource) -> Result<CommittedFiles> {
        let wanted = RelPath::parse(&source.path)?;
        let folder = self.imports_dir();
        fs::create_dir_all(&folder)?;
        backlot_store::sweep_folder(&folder);
        let stage = TemporaryFolder::in_folder(&folder)?;
        let tree = stage.path().join("tree");
        let mirror: GitMirror = self.git_mirror(url)?;
        mirror.check_out(&source.rev_lock, &tree, self.context())?;
        drop(mirror);
        let mut portion = Portion::new(&tree, wanted.clone());
        portion.take_files()?;
        let cache = self.cache()?;
        let project = project_of(&tree, &wanted);
        for pointer in tracked_files(&project, &project, self.context())? {
            for (place, out) in pointer.located_outs() {
                let Ok(path) = RelPath::from_path(place.strip_prefix(&tree).unwrap_or(&place)) else {
                    continue;
                };
                if out.cache && portion.touches(&path) {
                    let config = DvcConfig::load(&project.join(".dvc/config"))?;
                    let inside = project.strip_prefix(&tree).unwrap_or(Path::new(""));
                    let local = local_folder(url).map(|folder| folder.join(inside));
                    let remotes = self.remotes_of_project(&config, local.as_deref(), out)?;
                    self.take_tracked_of(&mut portion, (&path, &pointer, out), &remotes, &cache)?;
                }
            }
        }
        let fetched = portion
            .into_fetched()
            .ok_or_else(|| ImportError::NotInRepository {
                path: source.path.clone(),
                repository: backlot_core::web::shown_text(url),
                commit: source.rev_lock.clone(),
            })?;
        Ok(CommittedFiles {
            fetched,
            _stage: stage,
        })
    }

    fn take_tracked_of(
        &self,
        portion: &mut Portion<'_>,
        (path, pointer, out): (&RelPath, &TrackedPointer, &Out),
        remotes: &[Remote],
        cache: &Cache,
    ) -> Result<()> {
        let pull = |ids: &[ObjectId]| -> Result<u64> {
            let items: Vec<Transfer> = ids.iter().map(|id| Transfer::of(*id)).collect();
            let mut failed = None;
            for remote in remotes {
                match remote.pull(cache, &items, self.context()) {
                    Ok(report) => return Ok(report.bytes),
                    Err(error) => failed = Some(error),
                }
            }
            match failed {
                Some(error) => Err(error.into()),
                None if ids.iter().all(|id| cache.has(id).unwrap_or(false)) => Ok(0),
                None => Err(ImportError::Git {
                    repository: pointer.path.display().to_string(),
                    reason: format!("`{path}` is tracked by DVC, but no remote of the repository has it"),
                }
                .into()),
            }
        };
        let bring = Bring {
            manifest: &|id| pull(&[id]).map(drop),
            members: &pull,
        };
        portion.take_tracked((path, out), cache, &bring)?;
        check_proof(path, out, cache)
    }

    /// The places that have the tracked content of a project: the remote of the out, else the default one, and the cache of a project on this
    /// machine, whose folder `local` is.
    fn remotes_of_project(&self, config: &DvcConfig, local: Option<&Path>, out: &Out) -> Result<Vec<Remote>> {
        let mut places = Vec::new();
        let name = out.remote.as_deref().or_else(|| config.default_remote());
        let known = config.remotes();
        if let Some(remote) = known.iter().find(|remote| Some(remote.name.as_str()) == name) {
            let section = format!("remote \"{}\"", remote.name);
            let text = |key: &str| config.get(&section, key).map(ToOwned::to_owned);
            let options = backlot_backend::StoreOptions::new()
                .endpoint(text("endpointurl"))
                .region(text("region"))
                .anonymous(text("allow_anonymous_login").as_deref() == Some("true"));
            places.push((remote.url.clone(), options));
        }
        if let Some(local) = local {
            let cache = config.cache_dir().unwrap_or_else(|| PathBuf::from("cache"));
            let cache = local.join(".dvc").join(cache);
            places.push((cache.display().to_string(), backlot_backend::StoreOptions::new()));
        }
        let mut remotes = Vec::new();
        for (url, options) in places {
            let (url, name, options) = if url.contains("://") {
                let (url, place, options) = self.reach(&url, &options);
                (url, place, options)
            } else {
                let folder = match local {
                    Some(local) => local.join(".dvc").join(&url),
                    None => PathBuf::from(&url),
                };
                if !folder.is_dir() {
                    continue;
                }
                (folder.display().to_string(), String::new(), options)
            };
            let address = Address {
                name: &name,
                url: &url,
                options: &options,
                host: self.host(),
            };
            let mirrors = self.cache_dir().join("remotes");
            remotes.push(
                address
                    .open(Some(RemoteLayout::Dvc), &mirrors, || self.network())?
                    .1,
            );
        }
        Ok(remotes)
    }
}

/// An error for an address with a secret in it, or one that git would take for an option.
fn check_address(url: &str) -> Result<(), ImportError> {
    let bad = |reason: &str| ImportError::BadSource {
        source_url: backlot_core::web::shown_text(url),
        reason: reason.to_owned(),
    };
    if url.starts_with('-') {
        return Err(bad("it is not a URL"));
    }
    if url::Url::parse(url).is_ok_and(|url| url.password().is_some()) {
        return Err(bad("it contains credentials"));
    }
    Ok(())
}

/// The source of a pointer, for display.
pub(crate) fn shown_source(source: &GitSource) -> String {
    let url = backlot_core::web::shown_text(&source.url);
    let rev = source
        .rev
        .as_ref()
        .map(|rev| format!(" at {rev}"))
        .unwrap_or_default();
    format!("{url} {}{rev}", source.path)
}

/// The change of a commit, for display.
pub(crate) fn commit_change(old: &str, new: &str) -> String {
    let short = |commit: &str| commit.get(..10).unwrap_or(commit).to_owned();
    format!("commit {} instead of {}", short(new), short(old))
}

/// The nearest folder above a path that has a project of DVC, else the whole tree.
fn project_of(tree: &Path, wanted: &RelPath) -> PathBuf {
    let above = wanted.to_path(tree);
    let mut above = above
        .ancestors()
        .skip(1)
        .take_while(|folder| folder.starts_with(tree));
    above
        .find(|folder| folder.join(".dvc").is_dir())
        .unwrap_or(tree)
        .to_path_buf()
}

/// An error if content is not what a proof in the repository says, as far as all of it is here.
fn check_proof(path: &RelPath, out: &Out, cache: &Cache) -> Result<()> {
    let (Some(id), Some(proof)) = (out.id(), out.blake3()) else {
        return Ok(());
    };
    let manifest = if id.tree {
        Some(backlot_dvc::read_manifest(cache, &id)?)
    } else {
        None
    };
    let digests = |id: &ObjectId| -> Option<FileDigests> {
        cache
            .proven(std::slice::from_ref(id))
            .ok()?
            .into_iter()
            .next()
            .flatten()
    };
    match judge(id, proof, manifest.as_ref(), &digests) {
        Some(false) => Err(ImportError::Damaged {
            source_url: path.to_string(),
            found: "content with a different BLAKE3".to_owned(),
            announced: proof.to_hex(),
        }
        .into()),
        _ => Ok(()),
    }
}
