//! What libraries tell while they work: numbers and facts, no sentences.
//!
//! One enum and one observer for the whole product; the command line draws bars from it, a server would stream it.
//! Deliberately absent: log lines, and anything that waits for an answer.

use std::fmt;

use serde::Serialize;

/// What is being done, for the label of a progress bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Operation {
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

/// Something a person should know though nothing failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// `area::snake_case`, stable, listed in `docs/errors.md`.
    pub code: &'static str,
    /// Lower case, no full stop: what happened to which thing.
    pub message: String,
}

/// One fact about running work. Counts and bytes are differences unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// Work begins; totals are zero where unknown.
    Started {
        /// What is being done.
        operation: Operation,
        /// How many items it has.
        items: u64,
        /// How many bytes it has.
        bytes: u64,
    },
    /// Some of it is done.
    Advanced {
        /// What is being done.
        operation: Operation,
        /// Items done since the last event.
        items: u64,
        /// Bytes done since the last event.
        bytes: u64,
    },
    /// All of it is done, or it stopped.
    Finished {
        /// What was being done.
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

/// An observer that looks away.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _event: &Event) {}
}
