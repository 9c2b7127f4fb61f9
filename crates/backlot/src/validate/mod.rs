//! Validators: checks that an asset declares in its `asset.toml`, run before it is published and on what a cascade built.
//!
//! The way: declarations are read (`declared`), the files of the asset are listed as a release would have them (`files`), each check is run, built in
//! (`built_in`) or a program (`command`), and its results amount to a report (`report`). Invariants: all checks run, then the gate; a check that crashes is
//! told from one that refuses, and both stop a publish where its level is `error`; nothing is changed. Deliberately absent: repairs, waivers, and checks
//! that a studio declares for all assets.

mod built_in;
pub(crate) mod command;
mod declared;
mod files;
pub(crate) mod found;
pub(crate) mod report;

pub use declared::CheckLevel;
