//! Stores of objects behind URLs, as one set of verbs: [`ObjectStore`].
//!
//! Invariants: an object appears whole or not at all; what decides a race ([`ObjectStore::create`], `rename`, `stage`) is
//! sent once, so that its answer is about the one request, and everything else is asked again after a failure that may
//! pass; no response causes a panic, and responses are bounded. All requests of a program go through its one
//! `Network` (of `backlot-net`). Deliberately absent: the meaning of objects.
//!
//! Each kind of service has a Cargo feature; Google Drive and OSS are not in the default set. Without any of them there is no network in
//! it: folders, memory, and stores of the caller's own.
//!
//! | URL | store | exclusive creation |
//! |---|---|---|
//! | `s3://bucket/prefix` | S3 and what speaks it | a conditional write |
//! | `azure://container/prefix` | Azure Blob Storage | a conditional write |
//! | `gs://bucket/prefix` | Google Cloud Storage | a conditional write |
//! | `oss://bucket/prefix` | Aliyun OSS | a conditional write |
//! | `gdrive://root/path` | Google Drive | none: not published to |
//! | `webdav+https://host/path`, `webdav+http://…` | WebDAV | a move that does not replace |
//! | `sftp://user@host/path` | a folder behind SSH | a hard link |
//! | a path, by [`folder()`] | a folder of a disk | a hard link |
//! | `memory://name`, by [`shared_memory()`] | this process | a conditional write |

// A build with few kinds of stores leaves some helpers of the others without use.
#![cfg_attr(
    not(all(
        feature = "azure",
        feature = "gcs",
        feature = "gdrive",
        feature = "http",
        feature = "oss",
        feature = "s3",
        feature = "webdav"
    )),
    allow(
        dead_code,
        unused_imports,
        reason = "what services share has no use without one"
    )
)]

mod each;
mod error;
mod folder;
mod memory;
#[cfg(feature = "services")]
mod mover;
mod open;
#[cfg(feature = "services")]
mod service;
#[cfg(feature = "sftp")]
mod sftp;
mod site_cache;
mod store;
#[cfg(feature = "services")]
mod upload;

#[cfg(feature = "services")]
pub use backlot_net as net;
pub use each::each;
#[cfg(not(feature = "services"))]
pub use error::NoNetwork;
pub use error::{Error, Result};
pub use folder::folder;
pub use memory::{memory, shared_memory};
#[cfg(feature = "services")]
pub use mover::{Mover, moved_by};
pub use open::{StoreOptions, is_store_url};
#[cfg(feature = "services")]
pub use open::{credentials_url, open};
pub use site_cache::{IsFixed, via};
pub use store::{
    CommitBy, Entry, How, ObjectStore, ObjectWriter, Put, RenameOutcome, Traits, Within, folders,
};
