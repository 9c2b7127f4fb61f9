//! Validators: checks that an asset declares in its `asset.toml`, and that a studio asks of all assets, run before it is published, on what a
//! cascade built, and before a release is copied into a repo that has checks.
//!
//! The way: declarations are read (`declared`, `studio_checks`, `waivers`), the files of the asset are listed as a release would have them (`files`), each check is run, built in
//! (`built_in`) or a program (`command`), its own or one that an installed package provides (`provided`), and its results amount to a report (`run`, `report`), which is recorded with the release. Invariants: all checks run, then the gate; a check that
//! crashes is told from one that refuses, and both stop a publish where its level is `error`; checks change nothing, and repairs work on a copy (`repair`, `private_copy`); what is waived is shown.

mod built_in;
pub(crate) mod command;
mod declared;
mod expected;
mod files;
pub(crate) mod found;
mod known;
mod private_copy;
pub(crate) mod promotion;
mod provided;
pub(crate) mod repair;
pub(crate) mod report;
pub(crate) mod run;
mod studio_checks;
mod waivers;

pub use declared::{CheckLevel, Occasion};
pub use private_copy::{RepairChange, RepairKind};
