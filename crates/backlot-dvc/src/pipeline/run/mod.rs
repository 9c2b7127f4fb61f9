//! Running pipelines: plans, stages side by side, results put back from the cache, and order after an interrupted run.
//!
//! Invariants: outputs are old or new, never half, whatever stops a run; nothing that a stage started outlives it; what was
//! made is in the cache before the lock names it. Deliberately absent: the environment and the terminal, which the caller
//! has, and the network ([`Pull`] brings objects).
//!
//! [`plan`] predicts a run, [`reproduce`] runs it with an [`Executor`], [`run_stage`] runs a single stage, and
//! [`known_results`] says which results other machines can use, [`RunCache`] has them.

mod aside;
mod engine;
mod executor;
mod log;
mod options;
mod plan;
mod project;
mod report;
mod results;
mod share;
mod stage;
mod supervise;
mod world;

pub use aside::Recovered;
pub use backlot_store::RunCacheLayout;
pub use engine::{recover, reproduce, run_stage};
pub use executor::{Ended, Executor, Exit, Job, LocalExecutor, Output, Supervisor};
pub use options::{Pull, RunOptions};
pub use plan::{Plan, Planned, PlannedStage, plan};
pub use project::Project;
pub use report::{Outcome, Report, StageError, StageReport};
pub use results::RunCache;
pub use share::{KnownResult, ObjectsByPin, known_results};
pub use supervise::supervise;

#[cfg(all(test, unix))]
pub(super) mod tests;
