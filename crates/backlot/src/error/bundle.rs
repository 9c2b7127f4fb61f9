//! Errors of bundles: making one, checking one, importing one.

use std::path::PathBuf;

use backlot_core::{Class, text};
use backlot_pep::PackageName;

use crate::error::Error;

/// Errors of bundles.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// No release was named and nothing is installed.
    #[error("nothing to bundle: no release was given, and the workspace has no inputs")]
    Nothing,
    /// An editable output was requested.
    #[error("{name} is the output `{path}`, which can still change; only releases can be bundled")]
    Editable {
        /// The package.
        name: PackageName,
        /// Its folder, relative to the workspace.
        path: String,
    },
    /// The place of the bundle is taken.
    #[error("`{}` already exists{}", path.display(), if *folder { " and is not an empty folder" } else { "" })]
    Exists {
        /// The place.
        path: PathBuf,
        /// Whether a folder was to be written.
        folder: bool,
    },
    /// A file name that is not that of a bundle.
    #[error("`{}` ends in `{ending}`: a bundle is a folder, or a file that ends in `.tar.zst`", path.display())]
    UnknownKind {
        /// The place.
        path: PathBuf,
        /// The ending.
        ending: &'static str,
    },
    /// Files of a release are neither in a cache nor on a remote.
    #[error("the files of {release} are neither in the cache nor on a remote")]
    FilesMissing {
        /// The release, as `Table==1.0`.
        release: String,
        /// How that was found out.
        #[source]
        source: Box<Error>,
    },
    /// The manifest would exceed the limit of an import.
    #[error("the bundle would have {}, more than its manifest can list", text::count(*files, "file"))]
    TooManyFiles {
        /// How many.
        files: u64,
    },
    /// Not a bundle, or one that was made to harm.
    #[error("`{}` is not a valid bundle: {reason}", path.display())]
    Invalid {
        /// The bundle.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// Made by a newer Backlot.
    #[error("`{}` has bundle format {found}; this Backlot reads up to {known}", path.display())]
    NewerFormat {
        /// The bundle.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest known here.
        known: u64,
    },
    /// A file of the bundle differs from its manifest.
    #[error("`{}` is damaged: `{file}` {reason}", path.display())]
    Damaged {
        /// The bundle.
        path: PathBuf,
        /// The file in it.
        file: String,
        /// The reason.
        reason: String,
    },
    /// A small archive that unpacks to far more than real files would.
    #[error("`{}` would unpack to {}, more than the {} allowed for an archive of its size", path.display(), text::bytes(*bytes), text::bytes(*limit))]
    Expands {
        /// The archive.
        path: PathBuf,
        /// The size in its manifest, or the bytes read until it was stopped.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The import would remove inputs that the bundle does not have.
    #[error("the workspace has inputs that are not in the bundle: {}", names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    OtherInputs {
        /// The inputs.
        names: Vec<PackageName>,
        /// The bundle.
        bundle: PathBuf,
    },
}

backlot_core::coded! {
    BundleError {
        Self::Nothing => "bundle::nothing", Class::User,
            "specify a release: `bundle Table==1.0 -o table.tar.zst`";
        Self::Editable { name, .. } => "bundle::editable", Class::Conflict,
            format!(
                "run `publish {name}`, then name the version: `bundle {name}==VERSION`"
            );
        Self::Exists { .. } => "bundle::exists", Class::Conflict,
            "choose another path with `-o`, or remove it";
        Self::UnknownKind { .. } => "bundle::unknown_kind", Class::User,
            "use `-o NAME.tar.zst`, or `-o FOLDER`";
        Self::FilesMissing { .. } => "bundle::files_missing", Class::NotFound,
            "run `push` where the files are, or name the remote that has them with `--remote NAME`";
        Self::TooManyFiles { .. } => "bundle::too_many_files", Class::User,
            "split the releases over several bundles";
        Self::Invalid { .. } => "bundle::invalid", Class::Integrity,
            "do not use it; ask for a new bundle";
        Self::NewerFormat { .. } => "bundle::newer_format", Class::Config,
            "use a newer Backlot";
        Self::Damaged { .. } => "bundle::damaged", Class::Integrity,
            "copy the bundle again; if that does not help, create a new one";
        Self::Expands { .. } => "bundle::expands", Class::Integrity,
            "if you trust where it comes from, unpack it with `tar` and run `unbundle FOLDER`";
        Self::OtherInputs { bundle, .. } => "bundle::other_inputs", Class::Conflict,
            format!(
                "use a new workspace (`init DIR`); or run `unbundle {} --into-repo REPO`, then `install`",
                bundle.display()
            );
    }
}
