//! Errors of wheels, projects and environments.
//!
//! Invariant: an error names the file and the reason. Deliberately absent: repos and workspaces.

use std::path::PathBuf;

use backlot_core::relpath::HostilePath;
use backlot_core::text::shown_path;
use backlot_core::{Cancelled, Class, FileError};

/// Result of a wheel operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed operation on a wheel, project or environment.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// Stopped on request.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// An invalid wheel file name.
    #[error("invalid wheel file name `{name}`")]
    BadFileName {
        /// The name.
        name: String,
    },
    /// An archive that is not a wheel, or a damaged one.
    #[error("`{}` is not a valid wheel: {reason}", shown_path(path))]
    BadWheel {
        /// The wheel.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// An archive with an entry that leads outside.
    #[error("`{}` has an entry that is unsafe to unpack", shown_path(path))]
    HostileEntry {
        /// The wheel.
        path: PathBuf,
        /// The entry.
        #[source]
        source: HostilePath,
    },
    /// A file that is not a source distribution, or a damaged or malicious one.
    #[error("`{}` is not a valid source distribution: {reason}", shown_path(path))]
    BadSdist {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// A source distribution that would need code to be run.
    #[error("cannot build the source distribution `{file}`: {reason}")]
    UnsupportedSdist {
        /// Its file name.
        file: String,
        /// Its unsupported requirement.
        reason: String,
    },
    /// Core metadata that cannot be read.
    #[error("cannot read the metadata of {of}: {reason}")]
    BadMetadata {
        /// Whose.
        of: String,
        /// The reason.
        reason: String,
    },
    /// A project file that cannot be used.
    #[error("`{}` cannot be used: {reason}", shown_path(path))]
    BadProject {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// A project without anything to package.
    #[error(
        "`{}` has no module: neither `src/{module}` nor `{module}` exists",
        shown_path(root)
    )]
    NoModule {
        /// The project.
        root: PathBuf,
        /// The expected module.
        module: String,
    },
    /// An interpreter that is none.
    #[error("unusable Python interpreter `{}`: {reason}", shown_path(path))]
    BadInterpreter {
        /// The executable.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Two packages that bring the same file.
    #[error("{package} and {other} both install `{path}`, with different contents")]
    FileConflict {
        /// The path in the environment.
        path: String,
        /// The package to be installed.
        package: String,
        /// Whose it is already.
        other: String,
    },
}

backlot_core::coded! {
    Error as File | Cancelled {
        Self::BadFileName { .. } => "wheel::bad_file_name", Class::User,
            "a wheel is named like `main_pack-1.0.0-py3-none-any.whl` (PEP 427)";
        Self::BadWheel { .. } => "wheel::unsound", Class::Integrity,
            "fetch or build it again; do not install this file";
        Self::HostileEntry { .. } => "wheel::hostile_entry", Class::Integrity,
            "do not use this package; ask its maintainer";
        Self::BadSdist { .. } => "sdist::unsound", Class::Integrity,
            "fetch or build it again; do not install this file";
        Self::UnsupportedSdist { file, .. } => "sdist::unsupported", Class::User,
            format!(
                "build a wheel from it (`pip wheel --no-deps {file}`) and add that to the repo: with `twine upload` to an index, or by copying it into a folder of packages"
            );
        Self::BadMetadata { .. } => "wheel::bad_metadata", Class::Integrity,
            "fetch or build it again; do not install this file";
        Self::BadProject { .. } => "project::invalid", Class::User,
            "correct the file; `[project]` follows PEP 621";
        Self::NoModule { module, .. } => "project::no_module", Class::User,
            format!("create `src/{module}/`, or name the folder in `[tool.hatch.build.targets.wheel] packages`");
        Self::BadInterpreter { .. } => "environment::bad_interpreter", Class::Environment,
            "choose another with `python = \"...\"` in backlot.toml, or `python = \"none\"` for a plain tree";
        Self::FileConflict { .. } => "environment::file_conflict", Class::Conflict,
            "uninstall one of them, or ask its author to move the file";
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::File(error.into())
    }
}
