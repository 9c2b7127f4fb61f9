//! File content: hashed, kept in a cache, placed into folders, sent to and fetched from remotes, each piece stored once.
//!
//! For a program of your own, [`Store`] is the way in: folders and files to a [`Remote`] and back, or a few scanlines of one frame.
//!
//! ```
//! use std::io::{Read as _, Seek as _, SeekFrom};
//!
//! use backlot_store::{Context, Remote, Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let top = tempfile::tempdir()?;
//! # let (frames, cache, elsewhere) = (top.path().join("frames"), top.path().join("cache"), top.path().join("elsewhere"));
//! # fs_err::create_dir(&frames)?;
//! // Two versions of a frame: one byte differs.
//! let mut frame: Vec<u8> = (0..400_000_u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
//! fs_err::write(frames.join("sh010.0001.v1.exr"), &frame)?;
//! frame[800_000] ^= 1;
//! fs_err::write(frames.join("sh010.0001.v2.exr"), &frame)?;
//!
//! // Who watches and what cancels a call is in its context. A folder, or a store of objects (`Remote::on`), is a remote like this one.
//! let context = Context::default();
//! let here = Store::open(Some(&cache), Remote::at("memory://show")?)?;
//! let (snapshot, sent) = here.push_folder(&frames, &context)?;
//! assert_eq!((snapshot.files().len(), snapshot.bytes()), (2, 3_200_000));
//! assert!(sent.sent < 2_500_000, "what both have is stored once: {} bytes", sent.sent);
//!
//! // Another machine, which keeps nothing. It got the snapshot as JSON, or only its ID.
//! let there = Store::open(None, Remote::at("memory://show")?)?;
//! let snapshot = there.snapshot(&snapshot.id(), &context)?;
//! there.pull(&snapshot, &elsewhere, &context)?;
//! assert!(fs_err::read(elsewhere.join("sh010.0001.v2.exr"))? == frame);
//!
//! // A loader: 16 bytes from the middle of one frame. Only the chunk that has them is fetched.
//! let mut reader = there.reader(&snapshot.files()[1], &context)?;
//! reader.seek(SeekFrom::Start(800_000))?;
//! let mut pixels = [0; 16];
//! reader.read_exact(&mut pixels)?;
//! assert_eq!(pixels, frame[800_000..800_016]);
//!
//! // One file, from any reader and to any writer.
//! let note = there.put(&b"approved"[..], &context)?;
//! let mut text = Vec::new();
//! there.get(note, &mut text, &context)?;
//! assert_eq!(text, b"approved");
//! # Ok(())
//! # }
//! ```
//!
//! Remotes in S3, Azure, Google Cloud Storage, `WebDAV` and SFTP: turn on the feature of that name (`s3`, `azure`, `gcs`, `webdav`, `sftp`; also `http`,
//! `oss`, `gdrive`), open the store by its URL with [`backend::open`](backlot_backend), and give it to [`Remote::on`], as `examples/dedup.rs`
//! does. None is on by default: a folder, memory and an [`ObjectStore`](backend::ObjectStore) of your own need no network and no runtime.
//!
//! # Beneath
//!
//! Tracked files of workspaces use the same parts one by one: [`add_files`] (folder to cache), [`checkout`] (cache to folder), and [`Remote`],
//! which moves objects between a cache and a place others can reach. Names are MD5, as in DVC, so both can share a cache; proof is
//! BLAKE3. Memory is bounded by the number of cores and SIMD lanes, not by file sizes (see `hash`). Work of the processor is spread over
//! the threads of the [`Context`] (rayon's pool, or a [`Pool`] that it was given), requests over threads of their own for the time of a call.
//!
//! Deliberately absent: assets and versions, and of DVC's file formats all but the manifest of a folder.

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
mod in_use;
mod ledger;
mod lower;
mod manifest;
mod names;
mod object;
mod parallel;
mod placed;
mod remote;
mod stat;
mod store;
mod sweep;
mod usage;

pub use backlot_backend as backend;
pub use backlot_core::{
    Blake3, Cancel, Context, Diagnostic, Event, EventKind, LinkMode, Md5, Observer, Operation, OperationId,
    PlaceIdentity, Pool, RelPath, Subject, Timestamp,
};

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
pub use in_use::{CACHE_PATIENCE, cache_lock, hold_cache};
pub use lower::is_read_only_cache;
pub use manifest::{Manifest, ManifestEntry};
pub use names::{is_reserved_name, is_temporary_name};
pub use object::{FileDigests, KnownFile, ObjectId, Transfer};
pub use placed::PlacedMembers;
pub use remote::{Remote, RemoteConfig, RemoteLayout, RunCacheLayout, TransferReport};
pub use stat::{FileStat, StatCache, StatEntry};
pub use store::{FileReader, PullReport, Snapshot, SnapshotFile, Store};
pub use sweep::{is_sweep_due, sweep_folder, sweep_tree};
pub use usage::Usage;
