//! The one error of the facade: everything below it as it is, and what only a workspace can get wrong.
//!
//! Invariant: code, class, help and retry of a lower crate's error pass through unchanged.

mod auth;
mod bundle;
mod cache;
mod cascade;
mod edit;
mod events;
mod gc;
mod get;
mod imports;
mod outs;
mod parts;
mod pipelines;
mod validate;
mod workspace;

use backlot_core::{Cancelled, Class, Diagnostic, FileError};

pub use auth::AuthError;
pub use bundle::BundleError;
pub use cache::CacheError;
pub use cascade::CascadeError;
pub use edit::EditError;
pub use events::EventsError;
pub use gc::GcError;
pub use get::GetError;
pub use imports::ImportError;
pub use outs::OutsError;
pub use parts::PartError;
pub use pipelines::PipelinesError;
pub use validate::ValidateError;
pub use workspace::WorkspaceError;

/// Result of a facade operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The errors of an operation on a workspace.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// Stopped on request.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A bad name.
    #[error(transparent)]
    Name(#[from] backlot_pep::name::NameError),
    /// A bad version.
    #[error(transparent)]
    Version(#[from] backlot_pep::version::VersionError),
    /// A bad date or time.
    #[error(transparent)]
    Time(#[from] backlot_core::TimeError),
    /// A bad bump.
    #[error(transparent)]
    Bump(#[from] backlot_pep::bump::BumpError),
    /// A bad requirement.
    #[error(transparent)]
    Requirement(#[from] backlot_pep::requirement::RequirementError),
    /// A URL that cannot be followed.
    #[error(transparent)]
    DirectUrl(#[from] backlot_pep::DirectUrlError),
    /// A bad Python version.
    #[error(transparent)]
    Marker(#[from] backlot_pep::marker::MarkerEnvError),
    /// A lock that was not had.
    #[error(transparent)]
    Lock(#[from] backlot_core::lock::LockError),
    /// A hostile path.
    #[error(transparent)]
    Path(#[from] backlot_core::relpath::HostilePath),
    /// Building, reading or installing a wheel.
    #[error(transparent)]
    Wheel(#[from] backlot_wheel::Error),
    /// Choosing versions.
    #[error(transparent)]
    Resolve(#[from] backlot_resolve::Error),
    /// Storing or fetching files.
    #[error(transparent)]
    Store(#[from] backlot_store::Error),
    /// Pointers and manifests.
    #[error(transparent)]
    Dvc(#[from] backlot_dvc::Error),
    /// Reading or publishing to a repo.
    #[error(transparent)]
    Repo(#[from] backlot_repo::Error),
    /// The way to servers.
    #[error(transparent)]
    Network(#[from] backlot_net::Error),
    /// Credentials.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// Steps over images and files.
    #[error(transparent)]
    Media(#[from] backlot_media::Error),
    /// Outputs and the releases they were edited from.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// Cascades.
    #[error(transparent)]
    Cascade(#[from] backlot_cascade::Error),
    /// Cascades as they are run here.
    #[error(transparent)]
    CascadeRun(#[from] CascadeError),
    /// Bundles.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Assets in one step.
    #[error(transparent)]
    Get(#[from] GetError),
    /// A collection that cannot determine what is needed.
    #[error(transparent)]
    Gc(#[from] GcError),
    /// A cleaning of the local cache that cannot determine what is needed.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Conda packages.
    #[cfg(feature = "conda")]
    #[error(transparent)]
    Conda(#[from] backlot_conda::Error),
    /// A part of a job that cannot be pushed.
    #[error(transparent)]
    Part(#[from] PartError),
    /// Tracked files of a package as a whole.
    #[error(transparent)]
    Outs(#[from] OutsError),
    /// Stages of pipelines as a whole.
    #[error(transparent)]
    Pipelines(#[from] PipelinesError),
    /// Checks of assets.
    #[error(transparent)]
    Validate(#[from] ValidateError),
    /// Events and hooks.
    #[error(transparent)]
    Events(#[from] EventsError),
    /// Imports.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Errors of the workspace itself.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
}

impl Error {
    /// The error that carries code, class and help.
    pub fn coded(&self) -> &dyn Diagnostic {
        match self {
            Self::File(e) => e,
            Self::Cancelled(e) => e,
            Self::Name(e) => e,
            Self::Version(e) => e,
            Self::Time(e) => e,
            Self::Bump(e) => e,
            Self::Requirement(e) => e,
            Self::DirectUrl(e) => e,
            Self::Marker(e) => e,
            Self::Lock(e) => e,
            Self::Path(e) => e,
            Self::Wheel(e) => e,
            Self::Resolve(e) => e,
            Self::Store(e) => e,
            Self::Dvc(e) => e,
            Self::Repo(e) => e,
            Self::Network(e) => e,
            Self::Auth(e) => e,
            Self::Media(e) => e,
            Self::Edit(e) => e,
            Self::Bundle(e) => e,
            Self::Get(e) => e,
            Self::Cascade(e) => e,
            Self::CascadeRun(e) => e,
            Self::Gc(e) => e,
            Self::Cache(e) => e,
            #[cfg(feature = "conda")]
            Self::Conda(e) => e,
            Self::Part(e) => e,
            Self::Outs(e) => e,
            Self::Pipelines(e) => e,
            Self::Validate(e) => e,
            Self::Events(e) => e,
            Self::Import(e) => e,
            Self::Workspace(e) => e,
        }
    }
}

impl From<backlot_repo::QueryError> for Error {
    fn from(error: backlot_repo::QueryError) -> Self {
        Self::Repo(error.into())
    }
}

impl From<backlot_dvc::PartsError> for Error {
    fn from(error: backlot_dvc::PartsError) -> Self {
        Self::Dvc(error.into())
    }
}

impl Diagnostic for Error {
    fn code(&self) -> &'static str {
        self.coded().code()
    }
    fn class(&self) -> Class {
        self.coded().class()
    }
    fn help(&self) -> Option<String> {
        self.coded().help()
    }
    fn retry(&self) -> bool {
        self.coded().retry()
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::File(error.into())
    }
}
