//! Imports: tracked files that come from elsewhere, and follow it.
//!
//! Invariants: a source is contacted only on request; one that is unreachable, missing or damaged changes nothing here; new content is
//! placed when it is complete and still matches the source. Deliberately absent: pointers (`backlot_dvc::import`).

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
