//! The chunked layout of a remote: content-defined chunks in packs, found by index segments, named by recipes.
//!
//! Files that share most of their bytes share most of their chunks, so a new version costs what changed. The way in is
//! [`put`] (files to packs) under [`push`] (the writer's protocol), the way out is [`get`]; [`gc`] collects. [`parts`] are
//! what nodes of a farm leave for a publisher. The format, to
//! the byte, and the protocol that makes all of it safe without a lock are in `docs/format/remote-chunked.md`.
//! Invariants: objects are written once under random names; a file is there once a recipe segment names it; every chunk
//! is proven by its BLAKE3 when it is read. Deliberately absent: encryption (its place is in the config object), and the
//! names of files and assets.

mod blob;
mod buffer_pool;
mod catalog;
mod choice;
mod chunker;
mod chunks;
mod compact;
mod config;
mod copies;
mod copy;
mod counted;
mod cutter;
mod direct;
mod filter;
mod gc;
mod get;
mod index;
mod inspect;
mod known;
mod mirror;
mod name;
mod open_file;
mod pack;
mod part;
mod parts;
mod push;
mod put;
mod recipe;
mod regions;
mod relied;
mod remote;
mod rescue;
mod rewrite;
mod seeds;
mod segment_bytes;
mod table;
mod tiers;
mod tomb;
mod uncached;
mod usage;
mod users;
mod whole_index;
mod window;
mod wire;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use config::KEY as CONFIG_KEY;
pub use gc::{CollectOptions, CollectReport, Collected};
pub(crate) use get::FileStream;
pub use name::{NotAStoredName, StoredName};
pub use part::{JobId, JobRelease, Part, PartFile, PartHead};
pub use parts::{DamagedPart, DroppedPart, JobParts, PartChoice, PartSource, StoredPart};
pub(crate) use remote::{AHEAD_FROM, ChunkedRemote};
pub use rescue::RestoreReport;
pub use users::{FoundUser, RemoteUser};
