//! Asset projects: the outputs of a workspace, their requirements, and wheels built from them.

pub(crate) mod base;
pub(crate) mod build;
pub(crate) mod build_record;
pub(crate) mod content;
pub(crate) mod edit;
pub(crate) mod inputs;
pub(crate) mod named_output;
pub(crate) mod new_asset;
pub(crate) mod output;
pub(crate) mod outputs;
pub(crate) mod provenance;
pub(crate) mod rebase;
pub(crate) mod rename;
mod renamed_text;
pub(crate) mod rez;
pub(crate) mod standard_library;
pub(crate) mod untracked;
