//! File content: hashed, kept in a cache, placed into workspaces, sent to and fetched from remotes.
//!
//! The way in is [`add_files`] (workspace to cache), the way out [`checkout`] (cache to workspace); [`Remote`] moves
//! objects between a cache and a place others can reach. Names are MD5, as in DVC, so both can share a cache; proof is
//! BLAKE3. Memory is bounded by the number of cores and SIMD lanes, not by file sizes (see `hash`).
//!
//! Deliberately absent: assets, versions and DVC's file formats. A manifest is an object like any other here.

mod add;
mod cache;
#[cfg(all(test, unix))]
mod cache_tests;
mod checkout;
mod chunked;
mod claims;
mod error;
mod evict;
mod hash;
mod holes;
mod ledger;
mod lower;
mod object;
mod parallel;
mod placed;
mod remote;
mod stat;
mod sweep;
mod usage;

pub use add::{Added, add_files, hash_files, rehash_files};
pub use cache::{Cache, DamagedPack, ObjectEntry, VerifyReport, digest_bytes};
pub use checkout::{CheckoutItem, CheckoutOptions, CheckoutReport, checkout, set_executable};
pub use chunked::{CollectOptions, CollectReport, Collected, NotAStoredName, RestoreReport, StoredName};
pub use chunked::{
    DamagedPart, DroppedPart, JobId, JobParts, JobRelease, Part, PartChoice, PartFile, PartHead, PartSource,
    StoredPart,
};
pub use chunked::{FoundUser, RemoteUser};
pub use error::{Error, Result};
pub use evict::{Evictable, delete_taken_out};
pub use lower::is_read_only_cache;
pub use object::{FileDigests, KnownFile, ObjectId, Transfer};
pub use placed::PlacedMembers;
pub use remote::{Remote, RemoteConfig, RemoteLayout, RunCacheLayout, TransferReport};
pub use stat::{FileStat, StatCache, StatEntry};
pub use sweep::{is_sweep_due, sweep_folder, sweep_tree};
pub use usage::Usage;
