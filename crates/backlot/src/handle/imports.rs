//! Imports: creating and updating them, and checking their sources.
//!
//! Deliberately absent: how it is done; each method says what, and where.

use std::path::{Path, PathBuf};

use backlot_core::Context;

use crate::error::Result;
use crate::handle::Workspace;
use crate::imports::import_url::ImportUrl;
use crate::imports::release::ImportRelease;
use crate::imports::report::{ImportReport, ImportStatus};
use crate::imports::repository::ImportGit;
use crate::imports::update::UpdateImports;
use crate::releases::import_folder::{FolderReport, ImportFolder};
use crate::workspace::call::{of_address, of_asset, of_one_asset, of_one_path, of_path};

impl Workspace {
    /// Import a path or URL into an output, with a pointer that records its source. Repeating an import updates it.
    pub fn import_url(
        &self,
        url: &str,
        path: Option<&str>,
        options: &ImportUrl,
        context: &Context,
    ) -> Result<ImportReport> {
        self.call("import_url", of_address(url), context, |workspace| {
            workspace.import_url(url, path, options)
        })
    }

    /// Track a path of a release of another repo, given by its name in this workspace or its address. The pointer records the release.
    pub fn import_release(
        &self,
        repo: &str,
        requirement: &str,
        inside: &str,
        options: &ImportRelease,
        context: &Context,
    ) -> Result<ImportReport> {
        self.call("import_release", of_asset(requirement), context, |workspace| {
            workspace.import_release(repo, requirement, inside, options)
        })
    }

    /// Track a path of a git repository, or files that DVC tracks there. The pointer records the commit.
    pub fn import_git(
        &self,
        url: &str,
        inside: &str,
        options: &ImportGit,
        context: &Context,
    ) -> Result<ImportReport> {
        self.call("import_git", of_address(url), context, |workspace| {
            workspace.import_git(url, inside, options)
        })
    }

    /// Publish the versions in a tree of folders and files such as `table_v003` as releases with tracked files, in their order. Existing releases are skipped, so
    /// the import can be repeated. Paths that match no pattern, and versions that could not be published, are in the report.
    pub fn import_folder(
        &self,
        path: &Path,
        pattern: &str,
        options: &ImportFolder,
        context: &Context,
    ) -> Result<FolderReport> {
        self.call("import_folder", of_path(path), context, |workspace| {
            workspace.import_folder(path, pattern, options)
        })
    }

    /// Check the sources of imports, given by their pointers, and apply the changes. A missing or unreachable source changes nothing. If some of several
    /// imports fail, these are in the report, and all others are updated.
    pub fn update_imports(
        &self,
        pointers: &[PathBuf],
        options: &UpdateImports,
        context: &Context,
    ) -> Result<ImportReport> {
        self.call("update_imports", of_one_path(pointers), context, |workspace| {
            workspace.update_imports(pointers, options)
        })
    }

    /// Ask the sources of all imports of outputs, or of those named. Nothing is changed.
    pub fn import_states(&self, names: &[String], context: &Context) -> Result<Vec<ImportStatus>> {
        self.call("import_states", of_one_asset(names), context, |workspace| {
            workspace.import_states(names)
        })
    }
}
