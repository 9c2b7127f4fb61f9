//! Stores of objects behind URLs, as one set of verbs: [`ObjectStore`].
//!
//! Invariants: an object appears whole or not at all; what decides a race ([`ObjectStore::create`], `rename`, `stage`) is
//! sent once, so that its answer is about the one request, and everything else is asked again after a failure that may
//! pass; no answer makes us panic, and what is answered is bounded. All requests of a program go through its one
//! [`backlot_net::Network`]. Deliberately absent: what the objects mean, and plain folders, whose users know their own
//! disks better.
//!
//! | URL | store | exclusive creation |
//! |---|---|---|
//! | `s3://bucket/prefix` | S3 and what speaks it | a conditional write |
//! | `webdav+https://host/path`, `webdav+http://…` | WebDAV | a move that does not replace |
//! | `sftp://user@host/path` | a folder behind SSH | a hard link |
//! | `memory://` | this process | a conditional write |

mod each;
mod error;
mod open;
mod service;
mod sftp;
mod store;
mod upload;

pub use each::each;
pub use error::{Error, Result};
pub use open::{StoreOptions, is_store_url, memory, open};
pub use store::{CommitBy, Entry, Moved, ObjectStore, ObjectWriter, Put, Traits, folders};
