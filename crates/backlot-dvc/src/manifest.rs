//! `.dir` manifests, which the store reads and writes: they are what it knows of folders.

pub(crate) use backlot_core::text::push_python_json;
pub use backlot_store::{Manifest, ManifestEntry};
