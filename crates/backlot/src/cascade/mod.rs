//! Cascades: who is built from whom over whole repos, and what a publish affects.
//!
//! The way: an index of the releases of each repo is brought up to date (`index`), all of them together become the catalog that
//! `backlot-cascade` plans over (`studio`), releases are chosen from it by `backlot-resolve` (`resolver`), and reports are made (`dependents`,
//! `affected`). Invariant: nothing here changes a repo, an output or `inputs/`; the index is derived and can be deleted. Deliberately absent:
//! building what is affected.

pub(crate) mod affected;
pub(crate) mod dependents;
pub(crate) mod index;
pub(crate) mod other_inputs;
pub(crate) mod resolver;
pub(crate) mod studio;
