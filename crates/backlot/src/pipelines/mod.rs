//! Pipelines of a workspace: which stages it has, whether they are up to date, and running them.
//!
//! Invariants: only `dvc.yaml` files of outputs and of the workspace itself count; one in an installed release is neither read nor run. A stage
//! writes only where its `dvc.yaml` belongs: the package of an asset, the rest of the asset, or the workspace outside of `outputs`. All of this
//! is checked before the first command starts. Deliberately absent: formats, verdicts and runs (`backlot_dvc::pipeline`), and the files of
//! stages, which are tracked files like others (`files/tracked.rs`).

pub(crate) mod chart;
pub(crate) mod commands;
pub(crate) mod edited;
pub(crate) mod figures;
pub(crate) mod found;
pub(crate) mod graph;
pub(crate) mod pulled;
pub(crate) mod repro;
pub(crate) mod shared;
pub(crate) mod stale;
mod time_axis;
