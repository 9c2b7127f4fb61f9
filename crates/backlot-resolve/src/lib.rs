//! Version resolution: from requirements and available releases to one version of every needed package, or an explanation.
//!
//! The search is resolvo's (the solver of rattler); versions, ranges and markers follow PEP 440 and PEP 508. Candidates
//! come through a trait, so this crate does no input or output.
//!
//! ```
//! use backlot_core::{Diagnostic, Context};
//! use backlot_pep::{MarkerEnv, PackageName, Requirement, Version};
//! use backlot_resolve::{Candidate, Candidates, Dependencies, Error, Problem, RootRequirement, Source, resolve};
//!
//! /// What exists: three releases of two packages, in one source.
//! struct Releases;
//!
//! impl Candidates for Releases {
//!     fn candidates(&self, name: &PackageName, _source: usize) -> Result<Vec<Candidate>, Box<dyn Diagnostic>> {
//!         let versions: &[&str] = match name.as_str() {
//!             "kitchen" => &["1.0", "2.0"],
//!             "table" => &["1.4"],
//!             _ => &[],
//!         };
//!         let parse = |text: &&str| Version::parse(text).expect("a version");
//!         Ok(versions.iter().map(|text| Candidate::new(parse(text), 0)).collect())
//!     }
//!     fn dependencies(&self, name: &PackageName, of: &Candidate) -> Result<Dependencies, Box<dyn Diagnostic>> {
//!         let requires = match (name.as_str(), of.version.to_string().as_str()) {
//!             ("kitchen", "1.0") => vec![Requirement::parse("Table>=1").expect("valid")],
//!             ("kitchen", _) => vec![Requirement::parse("Table>=2").expect("valid")],
//!             _ => Vec::new(),
//!         };
//!         Ok(Dependencies { requires, ..Dependencies::default() })
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let env = MarkerEnv::for_python("3.12.1")?;
//! let wanted = |text: &str| -> Result<_, Box<dyn std::error::Error>> {
//!     let root = RootRequirement { requirement: Requirement::parse(text)?, asked_by: "the shot".to_owned() };
//!     let source = Source { name: "blessed".to_owned(), trust: 0, local: true };
//!     Ok(Problem { requirements: vec![root], sources: vec![source], ..Problem::new(&env) })
//! };
//! // Kitchen 2.0 needs a table that nobody made, so the newest set that fits has 1.0.
//! let chosen = resolve(&Releases, &wanted("Kitchen")?, &Context::default())?;
//! let all: Vec<String> = chosen.packages.iter().map(|p| format!("{} {}", p.name, p.version)).collect();
//! assert_eq!(all, ["kitchen 1.0", "table 1.4"]);
//!
//! // What cannot be had is explained.
//! let refused = resolve(&Releases, &wanted("Kitchen>=2")?, &Context::default());
//! let Err(Error::Conflict { explanation, .. }) = refused else { panic!("there is no Table 2") };
//! assert!(explanation.contains("Table>=2"), "{explanation}");
//! # Ok(())
//! # }
//! ```
//!
//! # Threads, cancellation, cost, locks
//!
//! [`resolve`] blocks on the thread that calls and asks [`Candidates`] there, one question after the other; [`Candidates::prefetch`] says what will be
//! asked, for those who can fetch several at once. It ends when its [`Context`](backlot_core::Context) is cancelled, or after [`Problem::patience`]. 2,000 packages take
//! some ten milliseconds, hard conflicts seconds. Nothing is kept between two calls, and nothing is locked.
//!
//! Deliberately absent: repos, wheels, locks.

mod advise;
mod candidates;
mod direct;
mod error;
mod explain;
mod problem;
mod provider;
mod ranked;
mod resolve;
mod urls;

#[cfg(test)]
mod explain_tests;
#[cfg(test)]
mod tests;

pub use direct::{Choice, DirectChoice};
pub use error::{Cause, Error, Result};
pub use problem::{
    Candidate, Candidates, Dependencies, Order, Preference, PrereleasePolicy, Problem, Remark, Resolution,
    Resolved, RootRequirement, Source,
};
pub use resolve::resolve;
