//! Choosing versions: given what is wanted and what exists, one version of every package needed, or an explanation.
//!
//! The search is resolvo's (the solver of rattler); versions, ranges and markers follow PEP 440 and PEP 508. Candidates
//! come through a trait, so this crate does no input or output. Deliberately absent: repos, wheels, locks.

mod advise;
mod error;
mod explain;
mod offer;
mod problem;
mod provider;
mod resolve;
mod shelf;
mod urls;

#[cfg(test)]
mod explain_tests;
#[cfg(test)]
mod tests;

pub use error::{Cause, Error, Result};
pub use problem::{
    Candidate, Candidates, Dependencies, Order, Preference, PrereleasePolicy, Problem, Remark, Resolution,
    Resolved, RootRequirement, Source,
};
pub use resolve::resolve;
