//! Errors of imports: their source, and their local state.

use backlot_core::{Class, text};

/// An import that cannot be created or updated. Local files are unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// An unsupported source.
    #[error("`{source_url}` cannot be imported: {reason}")]
    BadSource {
        /// As far as it may be shown.
        source_url: String,
        /// Why not.
        reason: String,
    },
    /// A missing source on a reachable server.
    #[error("`{source_url}` does not exist{}", reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Gone {
        /// As far as it may be shown.
        source_url: String,
        /// The response.
        reason: Option<String>,
    },
    /// A folder that had files and has none.
    #[error("`{source_url}` is now an empty folder; previously it had {}", text::count(*files, "file"))]
    Emptied {
        /// As far as it may be shown.
        source_url: String,
        /// How many it had.
        files: u64,
    },
    /// A source that changed while it was read.
    #[error("`{source_url}` changed while it was read")]
    ChangedMeanwhile {
        /// As far as it may be shown.
        source_url: String,
    },
    /// Bytes that are not those that the source announced.
    #[error("`{source_url}` sent content with MD5 {found}, but announced {announced}")]
    Damaged {
        /// As far as it may be shown.
        source_url: String,
        /// The actual digest.
        found: String,
        /// The announced digest.
        announced: String,
    },
    /// A pointer that was changed while its source was read.
    #[error("`{pointer}` was changed by another command in the meantime")]
    PointerChanged {
        /// The pointer, relative to the workspace.
        pointer: String,
    },
    /// Something of that name is tracked already.
    #[error("`{path}` is already tracked{}", source_url.as_ref().map(|of| format!(", as an import of `{of}`")).unwrap_or_default())]
    Exists {
        /// The path, relative to the workspace.
        path: String,
        /// The source it was imported from, if any.
        source_url: Option<String>,
    },
    /// A pointer of files that were not imported.
    #[error("`{pointer}` is not an import")]
    NotAnImport {
        /// The pointer, relative to the workspace.
        pointer: String,
    },
    /// A kind of import that only DVC updates.
    #[error("`{pointer}` is {kind}, which only DVC updates")]
    OnlyDvc {
        /// The pointer, relative to the workspace.
        pointer: String,
        /// Its kind.
        kind: &'static str,
    },
    /// A git repository that cannot be read.
    #[error("the git repository `{repository}`: {reason}")]
    Git {
        /// As far as it may be shown.
        repository: String,
        /// The output of git.
        reason: String,
    },
    /// A path that a git repository does not have.
    #[error("`{repository}` has nothing at `{path}` in {commit}")]
    NotInRepository {
        /// The path.
        path: String,
        /// As far as it may be shown.
        repository: String,
        /// The commit.
        commit: String,
    },
    /// A repo without a release that is wanted.
    #[error("`{repo}` has no release that satisfies `{wanted}`{}", if versions.is_empty() { String::new() } else { format!("; it has {}", versions.join(", ")) })]
    NoRelease {
        /// The requirement.
        wanted: String,
        /// The address of the repo.
        repo: String,
        /// Its newest versions.
        versions: Vec<String>,
    },
    /// A path that a release does not have.
    #[error("{release} has nothing at `{path}`")]
    NotInRelease {
        /// The path inside of its package.
        path: String,
        /// The release.
        release: String,
    },
    /// A release with another digest than it had.
    #[error("{release} in `{repo}` is not the one that was imported: its wheel has a different digest")]
    OtherRelease {
        /// The release.
        release: String,
        /// The address of the repo.
        repo: String,
    },
    /// An update of targets that cannot be updated together, or in this way.
    #[error("{reason}")]
    BadUpdate {
        /// Why not.
        reason: &'static str,
    },
    /// A pattern without a version.
    #[error("`{pattern}` is not a pattern of versions: {reason}")]
    BadPattern {
        /// The pattern.
        pattern: String,
        /// Why not.
        reason: String,
    },
    /// Assets of a tree of which not all versions were published.
    #[error("{} of the folder could not be imported to the end: {}", text::count(failed.len() as u64, "asset"), failed.join("; "))]
    FolderIncomplete {
        /// Each with the reason.
        failed: Vec<String>,
        /// The kind of trouble with the first.
        class: Class,
    },
    /// Several imports that could not be updated.
    #[error("{} could not be updated: {}", text::count(failed.len() as u64, "import"), failed.join("; "))]
    Several {
        /// Each with the reason.
        failed: Vec<String>,
    },
}

backlot_core::coded! {
    ImportError {
        Self::BadSource { .. } => "imports::bad_source", Class::User,
            "use a path, `https://host/file`, or a store such as `s3://bucket/file`; credentials come from `auth login`";
        Self::Gone { .. } => "imports::gone", Class::NotFound,
            "check the URL; the files imported before are unchanged, and `untrack` keeps them without following the source";
        Self::Emptied { .. } => "imports::emptied", Class::Conflict,
            "check that its disk is mounted; if it is intentionally empty, remove the imported files with `untrack`";
        Self::ChangedMeanwhile { .. } => "imports::changed_meanwhile", Class::Conflict,
            "retry once the source is no longer being written",
            retry true;
        Self::Damaged { .. } => "imports::damaged", Class::Integrity,
            "retry; if it persists, notify the administrator of the server";
        Self::PointerChanged { .. } => "imports::pointer_changed", Class::Conflict,
            "run it again", retry true;
        Self::Exists { source_url: Some(_), path } => "imports::exists", Class::Conflict,
            format!("run `update '{path}.dvc'` to update it; choose another name, or `untrack` it first");
        Self::Exists { .. } => "imports::exists", Class::Conflict,
            "choose another name, or `untrack` it first";
        Self::NotAnImport { .. } => "imports::not_an_import", Class::User,
            "use `add` for files that were added; `status --imports` lists the imports";
        Self::OnlyDvc { .. } => "imports::only_dvc", Class::User,
            "run `dvc update` on it";
        Self::Git { .. } => "imports::git", Class::Environment,
            "check that `git ls-remote URL` works here; credentials are those of git";
        Self::NotInRepository { .. } => "imports::not_in_repository", Class::NotFound,
            "use a path as it is in the repository; content tracked by DVC there is included";
        Self::NoRelease { .. } => "imports::no_release", Class::NotFound,
            "check the name, the version and the repo; a pre-release is selected only with `==`";
        Self::NotInRelease { .. } => "imports::not_in_release", Class::NotFound,
            "use a path as it is inside the package; `show NAME==VERSION` lists the tracked ones";
        Self::OtherRelease { .. } => "imports::other_release", Class::Integrity,
            "ask the administrator of the repo: a release must never change; the files imported before are unchanged";
        Self::BadUpdate { .. } => "imports::bad_update", Class::User,
            "`update NAME` is for inputs, `update PATH.dvc` for imports";
        Self::BadPattern { .. } => "imports::bad_pattern", Class::User,
            "as in `{name}_v{version}`, or `{name}/v{version}` where each asset has a folder; without `{name}` give `--name`";
        Self::FolderIncomplete { class, .. } => "imports::folder_incomplete", *class,
            "the report says which versions; what was published stands, so correct the rest and run it again";
        Self::Several { .. } => "imports::several", Class::Environment,
            "imports that are not listed were updated; run it again for the others";
    }
}
