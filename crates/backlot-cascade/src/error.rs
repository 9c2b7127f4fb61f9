//! What can go wrong with planning and running a cascade.
//!
//! Invariant: an error of a resolver, an index, a lease store or a worker passes through with its own code. Deliberately
//! absent: failures of a single node, which are recorded in the journal ([`crate::Failure`]) and never end a run.

use std::error::Error as StdError;
use std::fmt;

use backlot_core::{Cancelled, Class, Diagnostic, FileError};

/// Result of planning or running.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a cascade was not planned, started or continued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text that does not name an asset in a repo.
    #[error("`{text}` does not name an asset in a repo")]
    BadNode {
        /// What was given.
        text: String,
    },
    /// A root of a report that no repo has.
    #[error("`{repo}` has no release `{package}` {version}")]
    UnknownRoot {
        /// The repo.
        repo: String,
        /// The package.
        package: String,
        /// The version.
        version: String,
    },
    /// A node that the plan does not have.
    #[error("cascade {cascade} has no node `{node}`")]
    UnknownNode {
        /// The cascade.
        cascade: String,
        /// The node.
        node: String,
    },
    /// More nodes than may be built without a confirmation.
    #[error("cascade {cascade} would build {nodes} assets, more than the limit of {cap}")]
    NeedsConfirmation {
        /// The cascade.
        cascade: String,
        /// How many nodes would be built.
        nodes: usize,
        /// How many may be built without a confirmation.
        cap: usize,
    },
    /// A journal that belongs to another plan.
    #[error("the journal of cascade {found} cannot continue cascade {expected}")]
    OtherJournal {
        /// The cascade that the journal names.
        found: String,
        /// The cascade that was to be run.
        expected: String,
    },
    /// A journal of a later format.
    #[error("the journal has format {found}, and this version of Backlot reads format {known}")]
    UnknownFormat {
        /// Its format.
        found: u32,
        /// The latest that is known here.
        known: u32,
    },
    /// A journal without a plan.
    #[error("the journal does not begin with a plan")]
    NoPlan,
    /// A cascade without releases.
    #[error("no release was made by cascade {cascade}")]
    NothingToRevert {
        /// The cascade.
        cascade: String,
    },
    /// Events of a repo are missing between those applied and the one given.
    #[error("events {from} to {to} of repo `{repo}` are missing")]
    MissingEvents {
        /// The repo.
        repo: String,
        /// Sequence number of the first that is missing.
        from: u64,
        /// Sequence number of the last that is missing.
        to: u64,
    },
    /// An event about a release that is not known.
    #[error("an event of repo `{repo}` is about `{package}` {version}, which was not published")]
    UnknownRelease {
        /// The repo.
        repo: String,
        /// The package.
        package: String,
        /// The version.
        version: String,
    },
    /// A version that cannot follow another.
    #[error(transparent)]
    Bump(backlot_pep::bump::BumpError),
    /// Reading or writing a journal file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A resolver, index, lease store, journal or worker failed.
    #[error(transparent)]
    Service(#[from] Cause),
    /// Stopped on request.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// An error of a service behind one of this crate's traits, passed through.
#[derive(Debug)]
pub struct Cause(pub Box<dyn Diagnostic>);

impl Cause {
    /// Wrap an error of a service.
    pub fn new(error: impl Diagnostic) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

impl Diagnostic for Cause {
    fn code(&self) -> &'static str {
        self.0.code()
    }
    fn class(&self) -> Class {
        self.0.class()
    }
    fn help(&self) -> Option<String> {
        self.0.help()
    }
    fn retry(&self) -> bool {
        self.0.retry()
    }
}

backlot_core::coded! {
    Error as Bump | File | Service | Cancelled {
        Self::BadNode { .. } => "cascade::bad_node", Class::User,
            "write the repo and the package, as in `review/table`";
        Self::UnknownRoot { .. } => "cascade::unknown_root", Class::NotFound,
            "check the version; `log NAME` shows all releases";
        Self::UnknownNode { cascade, .. } => "cascade::unknown_node", Class::NotFound,
            format!("list its nodes with `cascade status {cascade}`");
        Self::NeedsConfirmation { .. } => "cascade::needs_confirmation", Class::Conflict,
            "look at the plan with `--dry-run`, then confirm it or raise the limit";
        Self::OtherJournal { .. } => "cascade::other_journal", Class::Conflict,
            "resume each cascade with its own journal";
        Self::UnknownFormat { .. } => "cascade::unknown_format", Class::Config,
            "use the version of Backlot that wrote it, or a later one";
        Self::NoPlan => "cascade::no_plan", Class::Integrity,
            "start the cascade again: what it has released already is found and kept";
        Self::NothingToRevert { .. } => "cascade::nothing_to_revert", Class::NotFound,
            "list cascades with `cascade list`";
        Self::MissingEvents { .. } => "cascade::missing_events", Class::Conflict,
            "read the events from the last cursor again, or rebuild the catalog from the repo",
            retry true;
        Self::UnknownRelease { .. } => "cascade::unknown_release", Class::Integrity,
            "rebuild the catalog from the repo";
    }
}
