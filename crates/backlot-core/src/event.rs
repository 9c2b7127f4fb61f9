//! Events of libraries: numbers and facts, no sentences.
//!
//! One type and one observer for the whole product; the command line draws bars from it, a server would stream it. Invariants: an event says
//! which operation it is of, that one says which it is a part of, and of no operation is more done than there is: a total grows before it
//! would be passed, and never shrinks. Deliberately absent: log lines, and anything that waits for an answer.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Serialize, Serializer};

use crate::web::shown_text;

/// The kind of an operation, for the label of a progress bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Operation {
    /// A whole call, by the name of its method. Its items and bytes are the totals of all its parts.
    Call(&'static str),
    /// Looking for files on disk.
    Scan,
    /// Hashing files, and copying them into the cache in the same pass.
    Add,
    /// Sending objects to a remote.
    Push,
    /// Fetching objects from a remote.
    Pull,
    /// Placing files from the cache into a workspace.
    Checkout,
    /// Writing a wheel.
    Build,
    /// Choosing versions.
    Resolve,
    /// Placing wheels into an environment.
    Install,
    /// Re-reading content to prove it.
    Verify,
    /// Finding what nothing needs any more.
    Collect,
    /// Writing releases and files into one archive.
    Bundle,
    /// Running the stages of a pipeline.
    Reproduce,
    /// Making images from images.
    Transcode,
}

/// One operation of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct OperationId(u64);

impl OperationId {
    /// One that no operation of this process had.
    pub(crate) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// As a number; 0 stands for what happens outside of every operation, as no call of a workspace does.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// The thing that work is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "name", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Subject {
    /// An asset, as it was named: `Table`, or a release, `Table==1.0.0`.
    Asset(String),
    /// A file or folder.
    File(PathBuf),
    /// A place behind a URL, without secrets.
    Url(String),
}

impl Subject {
    /// A path or URL.
    pub fn of_place(place: &str) -> Self {
        if place.contains("://") {
            Self::Url(shown_text(place))
        } else {
            Self::File(PathBuf::from(place))
        }
    }
}

/// Something a person should know though nothing failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// `area::snake_case`, stable, listed in `docs/errors.md`.
    pub code: &'static str,
    /// Lower case, no full stop: what happened to which thing.
    pub message: String,
}

/// One fact about running work, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Event {
    /// The operation it is of.
    pub id: OperationId,
    /// The operation that this one is a part of; none of an outermost one.
    pub parent: Option<OperationId>,
    /// The asset, file or URL that it is about, as closely as that is known.
    #[serde(serialize_with = "subject")]
    pub subject: Option<Arc<Subject>>,
    /// The fact.
    #[serde(flatten)]
    pub kind: EventKind,
}

#[expect(clippy::ref_option, reason = "serde gives the field")]
pub(crate) fn subject<S: Serializer>(
    subject: &Option<Arc<Subject>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    subject.as_deref().serialize(serializer)
}

/// An event. Counts and bytes are differences.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EventKind {
    /// Work begins; totals are zero where unknown.
    Started {
        /// The operation.
        operation: Operation,
        /// How many items it has.
        items: u64,
        /// How many bytes it has.
        bytes: u64,
    },
    /// There is more of it than was known.
    Grew {
        /// The operation.
        operation: Operation,
        /// How many more items.
        items: u64,
        /// How many more bytes.
        bytes: u64,
    },
    /// Some of it is done.
    Advanced {
        /// The operation.
        operation: Operation,
        /// Items done since the last event.
        items: u64,
        /// Bytes done since the last event.
        bytes: u64,
    },
    /// All of it is done, or it stopped.
    Finished {
        /// The operation.
        operation: Operation,
    },
    /// A warning.
    Warned(Warning),
    /// A command of a pipeline's stage is started.
    StageStarted {
        /// The stage.
        stage: String,
        /// The command.
        command: String,
    },
    /// A line that a command of a stage printed, without its end.
    StageOutput {
        /// The stage.
        stage: String,
        /// The line.
        line: String,
        /// Whether it was printed to the standard error stream.
        error: bool,
    },
    /// A stage is done with.
    StageEnded {
        /// The stage.
        stage: String,
        /// How: `ran`, `restored`, `skipped`, `recorded`, `failed`, ...
        outcome: &'static str,
    },
}

/// Receives events, from any thread.
pub trait Observer: Send + Sync + fmt::Debug {
    /// Called for each event; must return quickly.
    fn event(&self, event: &Event);
}
