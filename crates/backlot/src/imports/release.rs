//! Importing a path of a release of another repo: packaged files, tracked files, or folders of both, without installing the asset.
//!
//! Invariants: the wheel is proven by the digest that its repo has, and tracked files by the proofs in it; the release, its digest and its licence
//! stand in the pointer, and so in every release of the asset that imports it. To DVC it is a pointer of added files: it has no word for a release.
//! Deliberately absent: what the asset requires, which an install brings.

use std::path::{Path, PathBuf};

use backlot_core::file::TemporaryFolder;
use backlot_core::{RelPath, Sha256, options};
use backlot_dvc::{ImportNotes, Out, ReleaseSource, TrackedPointer};
use backlot_pep::{PackageName, Requirement, Version};
use backlot_repo::{ReleaseFile, Repo};
use backlot_store::ObjectId;
use backlot_wheel::WheelArchive;
use fs_err as fs;

use crate::error::{ImportError, Result};
use crate::files::fetch::SomeMembers;
use crate::files::tracked::Tracked;
use crate::imports::fetching::Fetched;
use crate::imports::portion::{Bring, Portion};
use crate::imports::report::{ImportOutcome, ImportReport, ImportedPath};
use crate::imports::storing::{Importing, Keep};
use crate::imports::target::GivenTarget;
use crate::project::provenance::{OutRecord, Provenance};
use crate::workspace::Opened;
use crate::workspace::config::RepoEntry;

/// How many versions an error names.
const SHOWN: usize = 5;

options! {
    /// How to import a path of a release.
    #[derive(Default)]
    pub struct ImportRelease {
        /// The path that it gets; the last name of the path in the release by default.
        pub path: Option<String>,
        /// The asset that tracks it, if the path or the folder does not say it.
        pub asset: Option<String>,
        /// The folder that relative paths begin in, if no asset is named.
        pub folder: PathBuf,
        /// The remote that has the tracked files of the release, instead of the default one.
        pub remote: Option<String>,
        /// The licence, if the release does not say it.
        pub license: Option<String>,
        /// Change nothing.
        pub dry_run: bool,
    }
}

/// A release that something is imported from.
pub(crate) struct FoundRelease {
    repo: Repo,
    release: ReleaseFile,
    pub(crate) sha256: Sha256,
}

impl FoundRelease {
    pub(crate) fn version(&self) -> &Version {
        &self.release.version
    }
}

/// The files of a release below a path.
struct ReleasedFiles {
    fetched: Fetched,
    license: Option<String>,
    /// Where packaged files lie until they are stored.
    _stage: TemporaryFolder,
}

impl Opened {
    /// The repo of a name or an address.
    fn repo_at(&self, place: &str) -> Result<(Repo, String)> {
        let known = self.repos().into_iter().find(|entry| {
            entry.name == place || self.resolve_place(&entry.place) == place || entry.place == place
        });
        if let Some(entry) = known {
            return Ok((self.open_repo(entry)?, self.resolve_place(&entry.place)));
        }
        let entry = RepoEntry {
            name: String::new(),
            place: place.to_owned(),
            upload: None,
            store: backlot_backend::StoreOptions::default(),
            public: None,
            id: None,
            checks: None,
        };
        Ok((self.connect_repo(&entry)?, place.to_owned()))
    }

    /// The newest release of a repo that a requirement admits; a pre-release only where it is named.
    pub(crate) fn release_to_import(
        &self,
        place: &str,
        wanted: &Requirement,
    ) -> Result<(FoundRelease, String)> {
        let (repo, address) = self.repo_at(place)?;
        let listing = repo.listing(wanted.name(), self.context())?;
        let specifiers = wanted.specifiers();
        let is_exact = wanted.text().contains("==");
        let fits = |release: &&ReleaseFile| {
            let version = &release.version;
            let is_offered = is_exact || release.yanked.is_none() && !version.is_prerelease();
            !release.is_sdist() && is_offered && specifiers.contains(version)
        };
        let newest = listing
            .files()
            .filter(fits)
            .max_by(|a, b| a.version.cmp(&b.version));
        let Some(release) = newest.cloned() else {
            let mut versions: Vec<&Version> = listing.files().map(|file| &file.version).collect();
            versions.sort();
            versions.dedup();
            let versions = versions.iter().rev().take(SHOWN).map(ToString::to_string);
            return Err(ImportError::NoRelease {
                wanted: wanted.text().to_owned(),
                repo: address,
                versions: versions.collect(),
            }
            .into());
        };
        let sha256 = repo.digest(&release)?;
        let found = FoundRelease {
            repo,
            release,
            sha256,
        };
        Ok((found, address))
    }

    pub(crate) fn import_release(
        &self,
        repo: &str,
        requirement: &str,
        inside: &str,
        options: &ImportRelease,
    ) -> Result<ImportReport> {
        let place = self.repo_place(repo, &options.folder);
        let wanted = Requirement::parse(requirement)?;
        let inside = RelPath::parse(inside.trim_end_matches('/'))?;
        let given = GivenTarget {
            path: options.path.as_deref(),
            asset: options.asset.as_deref(),
            here: &options.folder,
        };
        let target = self.free_target(given, inside.file_name())?;
        let (found, address) = self.release_to_import(&place, &wanted)?;
        let importing = Importing {
            asset: target.asset.clone(),
            target: target.path.clone(),
            pointer_path: target.pointer.clone(),
            before: None,
            notes: ImportNotes {
                license: options.license.clone(),
                seen: None,
                release: Some(ReleaseSource {
                    repo: address,
                    requirement: wanted.text().to_owned(),
                    version: found.version().to_string(),
                    sha256: found.sha256.to_hex(),
                    path: inside.to_string(),
                }),
            },
        };
        let how = (options.remote.as_deref(), false, options.dry_run);
        let imported = self.take_release(importing, &found, wanted.name(), how)?;
        Ok(ImportReport {
            imports: vec![imported],
            dry_run: options.dry_run,
            ..ImportReport::default()
        })
    }

    /// A repo as given: by its name here, by its address, or by a path relative to a folder.
    fn repo_place(&self, repo: &str, folder: &Path) -> String {
        let is_named = self.repos().into_iter().any(|entry| entry.name == repo);
        if is_named || repo.contains("://") {
            return repo.to_owned();
        }
        let path = folder.join(repo);
        crate::workspace::absolute(&path)
            .unwrap_or(path)
            .display()
            .to_string()
    }

    /// Update an import of a release to the newest one that its requirement admits.
    pub(crate) fn update_release(
        &self,
        mut importing: Importing,
        (remote, force, dry_run): (Option<&str>, bool, bool),
    ) -> Result<ImportedPath> {
        let Some(mut of) = importing.notes.release.clone() else {
            let pointer = self.display_path(&importing.pointer_path);
            return Err(ImportError::NotAnImport { pointer }.into());
        };
        let wanted = Requirement::parse(&of.requirement)?;
        let (found, _) = self.release_to_import(&of.repo, &wanted)?;
        let has_content = importing.out_before().and_then(Out::id).is_some();
        if found.version().to_string() == of.version && has_content {
            check_same_release(&found, &of)?;
            return Ok(self.imported_release(&importing, ImportOutcome::Unchanged));
        }
        let reason = format!("{} instead of {}", found.version(), of.version);
        of.version = found.version().to_string();
        of.sha256 = found.sha256.to_hex();
        importing.notes.release = Some(of);
        let imported = self.take_release(importing, &found, wanted.name(), (remote, force, dry_run))?;
        Ok(ImportedPath {
            reason: Some(reason),
            ..imported
        })
    }

    fn imported_release(&self, importing: &Importing, outcome: ImportOutcome) -> ImportedPath {
        let release = importing.notes.release.as_ref();
        let source = release.map(|of| format!("{} {} in {}", of.requirement, of.path, of.repo));
        ImportedPath::new(
            (&importing.asset, source.unwrap_or_default()),
            self.display_path(&importing.target),
            self.display_path(&importing.pointer_path),
            outcome,
            importing.notes.license.clone(),
        )
    }

    /// Fetch a path of a release, record it, and put it into place.
    fn take_release(
        &self,
        mut importing: Importing,
        found: &FoundRelease,
        name: &PackageName,
        (remote, force, dry_run): (Option<&str>, bool, bool),
    ) -> Result<ImportedPath> {
        let inside = importing
            .notes
            .release
            .as_ref()
            .map(|of| RelPath::parse(&of.path));
        let Some(inside) = inside.transpose()? else {
            let pointer = self.display_path(&importing.pointer_path);
            return Err(ImportError::NotAnImport { pointer }.into());
        };
        if dry_run {
            let outcome = match importing.before {
                None => ImportOutcome::WouldImport,
                Some(_) => ImportOutcome::WouldUpdate,
            };
            return Ok(self.imported_release(&importing, outcome));
        }
        let files = self.released_files(found, name, &inside, remote)?;
        // The release takes precedence; the user's value is used only without one.
        importing.notes.license = files.license.or(importing.notes.license);
        let shown = format!("{name} {}", found.version());
        let content = self.store_fetched(&shown, &importing.target, &files.fetched, None)?;
        let changes = self.import_changes(&importing, &content)?;
        let mut pointer = importing.pointer_with(Some(&content))?;
        pointer.frozen = false;
        importing.notes.put_into(&mut pointer);
        let set_aside = self.record_pointer(&importing, pointer, Some(&content), Keep::Here { force })?;
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
            ..self.imported_release(&importing, outcome)
        })
    }

    /// The files of a release at or below a path of its package.
    fn released_files(
        &self,
        found: &FoundRelease,
        name: &PackageName,
        inside: &RelPath,
        remote: Option<&str>,
    ) -> Result<ReleasedFiles> {
        let folder = self.imports_dir();
        fs::create_dir_all(&folder)?;
        backlot_store::sweep_folder(&folder);
        let stage = TemporaryFolder::in_folder(&folder)?;
        let wheel = stage.path().join(&found.release.file);
        let mut release = found.release.clone();
        release.sha256 = Some(found.sha256);
        found.repo.open_wheel(&release, &wheel, self.context())?;
        let archive = WheelArchive::open(&wheel)?;
        let outs = Provenance::of(&archive)?
            .map(|made| made.outs)
            .unwrap_or_default();
        let tree = stage.path().join("tree");
        backlot_wheel::unpack(&archive, &tree, self.context())?;
        let root = package_folder(&tree, name)?;
        let wanted = inside.clone().below(&root);
        let mut portion = Portion::new(&tree, wanted);
        portion.take_files()?;
        for record in &outs {
            if portion.touches(&record.path) {
                let out = released_out(record, &tree)?;
                self.take_released(&mut portion, (&record.path, &out), &tree, remote)?;
            }
        }
        let fetched = portion.into_fetched().ok_or_else(|| ImportError::NotInRelease {
            path: inside.to_string(),
            release: format!("{name} {}", found.version()),
        })?;
        Ok(ReleasedFiles {
            fetched,
            license: archive.metadata().license.clone(),
            _stage: stage,
        })
    }

    /// Take the wanted files of a tracked path of a release, from the remote.
    fn take_released(
        &self,
        portion: &mut Portion<'_>,
        (path, out): (&RelPath, &Out),
        tree: &Path,
        remote: Option<&str>,
    ) -> Result<()> {
        let cache = self.cache()?;
        let place = path.to_path(tree);
        let manifest = |_| -> Result<()> {
            let tracked = Tracked {
                name: path.to_string(),
                pointers: vec![TrackedPointer {
                    path: pointer_of(&place),
                    pointer: backlot_dvc::Pointer::of(out.clone()),
                    made_by: None,
                }],
                installed: true,
            };
            let entry = self.remote_entry(remote, "importing files")?;
            self.bring_manifests(&tracked, Some(&self.open_remote(entry)?))
        };
        let members = |ids: &[ObjectId]| -> Result<u64> {
            let some = SomeMembers {
                place: &place,
                out,
                ids,
            };
            Ok(self.fetch_members(&some, remote, &cache, false)?.bytes)
        };
        let bring = Bring {
            manifest: &manifest,
            members: &members,
        };
        portion.take_tracked((path, out), &cache, &bring)
    }
}

fn pointer_of(place: &Path) -> PathBuf {
    let mut pointer = place.as_os_str().to_owned();
    pointer.push(".dvc");
    pointer.into()
}

/// A tracked path of a release as an out.
fn released_out(record: &OutRecord, tree: &Path) -> Result<Out> {
    let mut out = Out::new(RelPath::parse(record.path.file_name())?);
    out.md5 = record.md5.parse().ok();
    out.size = Some(record.size);
    if let Some(proof) = record.blake3 {
        out.set_blake3(proof);
    }
    // Whether it can be executed is for its pointer to say.
    let pointer = TrackedPointer::load(&pointer_of(&record.path.to_path(tree))).ok();
    out.isexec = pointer.is_some_and(|pointer| pointer.pointer.outs.iter().any(|out| out.isexec));
    Ok(out)
}

/// An error if the digest of a release has changed: it was replaced.
pub(crate) fn check_same_release(found: &FoundRelease, of: &ReleaseSource) -> Result<(), ImportError> {
    if found.sha256.to_hex() == of.sha256 {
        return Ok(());
    }
    Err(ImportError::OtherRelease {
        release: format!("{} {}", found.release.package, of.version),
        repo: of.repo.clone(),
    })
}

/// The folder of the package of an asset in an unpacked wheel: that of its name, else the only one.
fn package_folder(tree: &Path, name: &PackageName) -> Result<RelPath> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(tree)? {
        let entry = entry?;
        let folder = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() && !folder.ends_with(".dist-info") && !folder.ends_with(".data") {
            folders.push(folder);
        }
    }
    let own = name.as_str().replace('-', "_");
    let folder = match folders.as_slice() {
        [only] => only,
        _ => folders.iter().find(|folder| **folder == own).unwrap_or(&own),
    };
    Ok(RelPath::parse(folder)?)
}
