//! Importing a path or URL, like `dvc import-url`.
//!
//! Invariant: repeating an import updates it. Deliberately absent: updating (`update`).

use std::path::PathBuf;

use backlot_backend::StoreOptions;
use backlot_core::options;
use backlot_core::web::percent_decode;
use backlot_dvc::{ImportNotes, SourceState};

use crate::error::{ImportError, Result};
use crate::imports::fetching::Fetching;
use crate::imports::inquiry::{Inquired, known_of};
use crate::imports::members::KnownMembers;
use crate::imports::report::{ImportOutcome, ImportReport};
use crate::imports::source::{ImportFrom, NamedSource};
use crate::imports::storing::{Importing, Keep, gone, import_source};
use crate::imports::target::{GivenTarget, ImportTarget};
use crate::imports::update::UpdateImports;
use crate::workspace::Opened;

options! {
    /// How to import a URL.
    #[derive(Default)]
    pub struct ImportUrl {
        /// The asset that tracks it, if the path or the folder does not say it.
        pub asset: Option<String>,
        /// The folder that relative paths begin in, if no asset is named.
        pub folder: PathBuf,
        /// Write the pointer with the state of the source, without fetching its content.
        pub no_download: bool,
        /// Send the content to a remote, and keep it neither in the cache nor in place.
        pub to_remote: bool,
        /// The remote to send to, instead of the default one.
        pub remote: Option<String>,
        /// How a store is reached, which is written into the pointer.
        pub store: StoreOptions,
        /// The licence of the imported files.
        pub license: Option<String>,
        /// Change nothing.
        pub dry_run: bool,
    }
}

/// The last name of a source.
fn name_of(source: &NamedSource) -> Result<String, ImportError> {
    let name = match &source.from {
        ImportFrom::Local(path) => path
            .file_name()
            .and_then(|name| name.to_str())
            .map(ToOwned::to_owned),
        ImportFrom::Web(url) => url
            .path_segments()
            .and_then(|mut all| all.next_back())
            .and_then(percent_decode),
        ImportFrom::Store(store) if store.key.is_empty() => {
            source.text.rsplit('/').next().map(ToOwned::to_owned)
        }
        ImportFrom::Store(store) => Some(store.key.clone()),
    };
    name.filter(|name| !name.is_empty())
        .ok_or_else(|| ImportError::BadSource {
            source_url: source.shown(),
            reason: "it does not end in a file name: specify the target path".to_owned(),
        })
}

impl Opened {
    pub(crate) fn import_url(
        &self,
        url: &str,
        path: Option<&str>,
        options: &ImportUrl,
    ) -> Result<ImportReport> {
        let given = GivenTarget {
            path,
            asset: options.asset.as_deref(),
            here: &options.folder,
        };
        // How a local source is written depends on where the pointer goes, and that on the source's name.
        let draft = self.given_source(url, (&options.folder, &options.folder), &options.store)?;
        let target = self.import_target(given, &name_of(&draft)?)?;
        let above = target.pointer.parent().unwrap_or(&target.pointer);
        let source = self.given_source(url, (&options.folder, above), &options.store)?;
        self.refuse_own(&source, &target)?;
        if let Some(same) = self.same_import(&target, &source.text)? {
            let update = UpdateImports {
                no_download: options.no_download,
                to_remote: options.to_remote,
                remote: options.remote.clone(),
                force: false,
                dry_run: options.dry_run,
            };
            return self.update_imports(&[same.path], &update);
        }
        self.import_new(&source, &target, options)
    }

    /// An error for a source that is, or contains, the target of its import.
    fn refuse_own(&self, source: &NamedSource, target: &ImportTarget) -> Result<(), ImportError> {
        match &source.from {
            ImportFrom::Local(path) if target.path.starts_with(path) || path.starts_with(&target.path) => {
                Err(ImportError::BadSource {
                    source_url: self.display_path(path),
                    reason: "it would be imported into itself".to_owned(),
                })
            }
            _ => Ok(()),
        }
    }

    fn import_new(
        &self,
        source: &NamedSource,
        target: &ImportTarget,
        options: &ImportUrl,
    ) -> Result<ImportReport> {
        let _alone = self.lock_source(source)?;
        self.check_free(target, false)?;
        let notes = ImportNotes {
            license: options.license.clone(),
            ..ImportNotes::default()
        };
        let mut importing = Importing {
            asset: target.asset.clone(),
            target: target.path.clone(),
            pointer_path: target.pointer.clone(),
            before: None,
            notes,
        };
        let mut report = ImportReport {
            dry_run: options.dry_run,
            ..ImportReport::default()
        };
        if options.dry_run || options.no_download {
            let inquired = self.inquire(source)?;
            if let Inquired::Gone(reason) = inquired {
                return Err(gone(source, reason).into());
            }
            let known = known_of(source, &inquired)?;
            let files = file_count(&inquired);
            let mut imported = self.imported(&importing, source, ImportOutcome::WouldImport);
            (imported.files, imported.bytes) = (Some(files), known.size);
            imported.weak = known
                .state
                .as_ref()
                .and_then(SourceState::weakness)
                .map(ToOwned::to_owned);
            if !options.dry_run {
                let known = self.with_state(source, known, inquired)?;
                imported.outcome = ImportOutcome::Imported;
                importing.notes.seen.clone_from(&known.seen);
                let of = import_source(source, known)?;
                self.record_import(&importing, &of, None, Keep::OnPointer)?;
            }
            report.imports.push(imported);
            return Ok(report);
        }
        let fetched = match self.fetch_source(source, None, None, &KnownMembers::default())? {
            Fetching::Done(fetched) => fetched,
            Fetching::Same => return Err(gone(source, None).into()),
            Fetching::Gone(reason) => return Err(gone(source, reason).into()),
        };
        let how = (options.to_remote, options.remote.as_deref(), false);
        let (imported, pushed) = self.take_fetched(importing, source, &fetched, how)?;
        report.imports.push(imported);
        report.pushed = pushed;
        Ok(report)
    }
}

fn file_count(inquired: &Inquired) -> u64 {
    match inquired {
        Inquired::Local(local) => local.sources.len() as u64,
        Inquired::Objects(entries) => entries.len() as u64,
        Inquired::Web(_) | Inquired::Object(_) => 1,
        Inquired::Gone(_) => 0,
    }
}
