//! DVC pipelines: `dvc.yaml`, `dvc.lock`, parameters, the graph of stages, and which of them are up to date.
//!
//! Invariants: nothing here but [`run`] runs a command, writes a file or asks the network: files are read through
//! [`ProjectFiles`], and the state of outputs through [`Present`]; what is written in a lock is byte for byte what DVC
//! writes; what DVC refuses before anything runs is refused here, and outputs outside of the project too.
//!
//! The way from files to decisions: [`Pipelines::load`] reads stages, [`Graph::new`] connects them, [`Graph::select`]
//! finds those of a command in their order, [`judge`] determines the changes of each and [`action`] what to do about them;
//! [`entry_of`] is what goes into the [`Lock`] afterwards.

pub mod edit;
mod error;
pub mod figures;
mod files;
mod graph;
mod integer;
mod json_read;
mod load;
mod lock;
pub mod params;
mod place;
mod problem;
mod python_literals;
mod python_read;
mod python_tokens;
pub mod run;
pub mod run_cache;
mod schema;
mod stage;
mod targets;
mod template;
mod toml_read;
mod value;
mod variables;
mod verdict;
pub(crate) mod yaml_read;

pub use error::{PipelineError, Result, Spot};
pub use files::{Folder, ProjectFiles};
pub use graph::{Graph, Node, TrackedFile};
pub use integer::Integer;
pub use load::{PipelineFile, Pipelines};
pub use lock::{FileValues, LOCK_FILE, Lock, LockEntry, LockedPath};
pub use place::Place;
pub use python_literals::python_literals;
pub use stage::{Dependency, Output, OutputKind, PIPELINE_FILE, ParameterDependency, Stage};
pub use targets::{Reach, Selection};
pub use template::ArgumentStyle;
pub(crate) use value::float_text;
pub use value::{Entry, Map, Value};
pub use variables::ParameterFiles;
pub use verdict::{
    Action, Change, Content, Judging, KeyChange, ParameterChange, PathChange, Present, UpstreamContent,
    action, entry_of, judge,
};

#[cfg(test)]
mod tests;
