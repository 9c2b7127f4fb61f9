//! Cascades: a publish reaches everything that is built from it, seen before it happens, checked, and undone in one step.
//!
//! The way of a cascade: a [`Catalog`] of releases and their records is kept current by events; [`dirty::report`] compares
//! what each release records with what it would be built with now; a [`Plan`] is that report with limits; a [`Runner`] does
//! it, one [`NodeTask`] a node, which an [`Executor`] starts, and writes a [`Journal`], from which [`RunState`] says where it stands; [`plan_revert`] undoes
//! it.
//!
//! Invariants: **level-triggered** (events only wake the planner; what is dirty is seen from the releases), **one
//! derivation of status**, **an effect is durable before the journal names it**, and **a release is committed only by the
//! holder of the newest lease, with no yanked input, under a version that did not exist**. Deliberately absent: wheels, DVC,
//! storage, networks and processes; they are behind [`Resolver`], [`Index`], [`LeaseStore`], [`Journal`] and [`Worker`].

mod asset;
mod batch;
pub mod bump;
mod catalog;
mod coalesce;
pub mod control;
pub mod dirty;
mod error;
mod executor;
mod failure;
mod graph;
mod journal;
mod journal_file;
mod judge;
pub mod lease;
mod node;
mod plan;
mod record;
pub mod render;
mod resolve;
mod revert;
mod runner;
mod schedule;
mod state;
mod summary;
mod task;
#[cfg(test)]
mod tests;
mod worker;

pub use asset::{
    Asset, DetailSource, Details, GroupedRequirement, Handling, Release, ReleaseDetails, Settings,
};
pub use batch::{AttemptBatch, StartedBatch, UnderWay, attempt_in, runner_name};
pub use bump::BumpPolicy;
pub use catalog::{Applied, AssetEvent, Catalog};
pub use coalesce::{Batch, Coalescer, Debounce};
pub use dirty::{Decision, DirtyNode, DirtyReport, Hold, Root};
pub use error::{Cause, Error, Result};
pub use executor::{Ended, Executor, Outcome, Stop};
pub use failure::{Failure, FailureKind, retry_at};
pub use graph::{Graph, Order};
pub use journal::{
    Entry, JOURNAL_FORMAT, Journal, JournalEvent, Loaded, MemoryJournal, NodeEvent, Unchanged,
};
pub use journal_file::FileJournal;
pub use judge::{Change, Verdict, Withdrawal, Work, judge};
pub use lease::{Lease, LeaseStore, MemoryLeases};
pub use node::{CascadeId, InputsDigest, NodeId, NodeKey, RecipeDigest, RepoName};
pub use plan::{Limits, Plan, PlanNode};
pub use record::{Input, Inputs, Origin, ReleaseRecord};
pub use resolve::{Conflict, Expected, ExpectedRelease, Fresh, Resolution, ResolveRequest, Resolver};
pub use revert::{OnTop, PinnedUser, Republish, RevertPlan, RevertStep, plan_revert};
pub use runner::{Runner, reconcile};
pub use schedule::{Ending, Schedule, schedule};
pub use state::{NodeStatus, RunState, Stage};
pub use summary::{NodeSummary, Summary};
pub use task::{NodeTask, Services, Step};
pub use worker::{Built, Committed, Index, Job, Worker};
