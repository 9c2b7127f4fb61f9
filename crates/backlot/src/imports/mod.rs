//! Imports: tracked files that come from elsewhere, and follow it.
//!
//! Invariants: a source is asked only when somebody says so; one that cannot be reached, is gone or is damaged changes nothing here; new content is
//! put into place when all of it is here and is what the source has. Deliberately absent: pointers (`backlot_dvc::import`).

pub(crate) mod fetching;
pub(crate) mod folder_pattern;
pub(crate) mod git;
pub(crate) mod import_url;
pub(crate) mod inquiry;
pub(crate) mod members;
pub(crate) mod portion;
pub(crate) mod release;
pub(crate) mod report;
pub(crate) mod repository;
pub(crate) mod source;
pub(crate) mod states;
pub(crate) mod storing;
pub(crate) mod target;
pub(crate) mod update;
