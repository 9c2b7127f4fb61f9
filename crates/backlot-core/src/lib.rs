//! The words every other crate speaks: digests, safe paths, events, coded errors,
//! cancellation, clocks and atomic files.
//!
//! Invariants: a value of a type here is already valid (it parsed once, at the border), and a file written through
//! [`mod@file`] is either complete or absent. Deliberately absent: any network, any archive, any terminal, any global.

pub mod bounded;
pub mod cancel;
pub mod clock;
pub mod context;
pub mod digest;
pub mod error;
pub mod event;
pub mod file;
mod file_error;
pub mod frames;
pub mod identity;
pub mod link;
pub mod lock;
mod options;
mod plain_file;
pub mod platform;
pub mod pool;
pub mod presence;
pub mod progress;
pub mod relpath;
pub mod shared;
pub mod text;
pub mod web;
pub mod wildcard;

pub use cancel::{Cancel, CancelOnDrop, Cancelled};
pub use clock::{Clock, FixedClock, SystemClock, TimeError, Timestamp};
pub use context::Context;
pub use digest::{Blake3, Md5, Sha256, StrongDigest, StrongHasher};
pub use error::{Class, Diagnostic};
pub use event::{Event, EventKind, Observer, Operation, OperationId, Subject, Warning};
pub use file::FileError;
pub use identity::{ExpectedIdentity, PlaceIdentity};
pub use link::LinkMode;
pub use lock::FileLock;
pub use pool::Pool;
pub use progress::{OperationState, Progress};
pub use relpath::RelPath;
