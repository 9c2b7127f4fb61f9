//! DVC's formats and the semantics of tracking an asset's files, without DVC.
//!
//! Invariants: what is written is byte for byte what DVC 3 writes, so either can be used on the same files; a pointer is
//! written only after all content it names is in the cache; content with a proof is proven before it is placed; a file
//! that exists nowhere else is never removed or overwritten without `force`. Deliberately absent: assets and wheels, the
//! moving of bytes (`backlot-store`), DVC 2's object format, and pipelines.

pub mod add;
pub mod checkout;
pub mod config;
mod content;
pub mod error;
pub mod ignore;
mod kept;
pub mod manifest;
pub mod merge;
pub mod names;
pub mod patch;
mod plan;
pub mod pointer;
mod pointer_parse;
pub mod proof;
mod record;
mod scalar;
pub mod scan;
pub mod status;
pub mod tracked;
pub mod transfer;
pub mod yaml;

pub use add::{AddOptions, AddedOut, SentAhead, add};
pub use backlot_store::CheckoutOptions;
pub use checkout::{CheckoutReport, checkout, checkout_sparing, plan_checkout, remove_stale};
pub use config::{DvcConfig, DvcRemote};
pub use content::{peek_manifest, read_manifest};
pub use error::{Error, Result};
pub use ignore::Ignore;
pub use manifest::{Manifest, ManifestEntry};
pub use merge::{FileChanges, Merged, merge};
pub use patch::updated_text;
pub use plan::{AddTarget, plan_add};
pub use pointer::{Out, Pointer};
pub use proof::tree_proof;
pub use record::note_placed;
pub use scan::{Scanned, ScannedFile, scan_out};
pub use status::{Change, OutState, StatusOptions, status};
pub use tracked::{TrackedPaths, TrackedPointer, pointers, tracked_paths};
pub use transfer::{
    PushPlan, all_cached, check_elsewhere, fetch, fetch_manifests, lacking_manifests, plan_fetch, plan_push,
};

#[cfg(test)]
mod tests;
