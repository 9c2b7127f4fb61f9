//! DVC's formats and the semantics of tracking an asset's files, without DVC.
//!
//! Invariants: what is written is byte for byte what DVC 3 writes, so either can be used on the same files; a pointer is
//! written only after all content it names is in the cache; content with a proof is proven before it is placed; a file
//! that exists nowhere else is never removed or overwritten without `force`. Deliberately absent: assets and wheels, the
//! moving of bytes (`backlot-store`), DVC 2's object format, and edits of `dvc.yaml`.

pub mod add;
pub mod checkout;
pub mod config;
mod content;
mod damage;
pub mod error;
pub mod frames;
mod git_ignore;
pub mod ignore;
pub mod import;
mod kept;
mod made;
pub mod manifest;
pub mod merge;
pub mod names;
pub mod parts;
pub mod patch;
pub mod pipeline;
mod plan;
pub mod pointer;
mod pointer_parse;
mod portable;
pub mod proof;
mod record;
mod scalar;
pub mod scan;
pub mod status;
pub mod tracked;
pub mod transfer;
pub mod yaml;

pub use add::{AddOptions, AddedOut, Destination, EarlyUpload, add, add_known, add_known_file};
pub use backlot_core::frames::Frames;
pub use backlot_store::CheckoutOptions;
pub use checkout::{
    CheckoutReport, checkout, checkout_after, plan_checkout, refuse_twins, remove_empty_folders, remove_stale,
};
pub use config::{DvcConfig, DvcRemote};
pub use content::{peek_manifest, read_manifest};
pub use damage::{FoundFiles, verify_files};
pub use error::{Error, Result};
pub use frames::Expectation;
pub use git_ignore::git_unignore;
pub use ignore::Ignore;
pub use import::{
    FsConfig, GitSource, ImportNotes, ImportSource, ReleaseSource, SourceState, WebInfo, import_address,
    plan_import, tag_list_id, write_import,
};
pub use made::{check_stages, locked_content, tracked_files};
pub use manifest::{Manifest, ManifestEntry};
pub use merge::{FileChanges, Merged, merge};
pub use parts::{CombineOptions, Combined, MissingFrames, PartsError, combine};
pub use patch::updated_text;
pub use plan::{AddTarget, plan_add};
pub use pointer::{Out, Pointer};
pub use portable::warn_of_new_name;
pub use proof::{judge, tree_proof};
pub use record::{note_placed, placed_content};
pub use scan::{Scanned, ScannedFile, kind_of, scan_out, survey};
pub use status::{Change, OutState, StatusOptions, status};
pub use tracked::{MadeBy, TrackedPaths, TrackedPointer, pointers, tracked_paths};
pub use transfer::{
    PushPlan, all_cached, check_elsewhere, fetch, fetch_manifests, lacking_manifests, plan_fetch, plan_push,
    with_path_of_same_md5,
};

#[cfg(test)]
mod tests;
