//! The words every other crate speaks: names, versions, requirements, digests, safe paths, events, coded errors,
//! cancellation, clocks and atomic files.
//!
//! Invariants: a value of a type here is already valid (it parsed once, at the border), and a file written through
//! [`mod@file`] is either complete or absent. Deliberately absent: any network, any archive, any terminal, any global.

pub mod bounded;
pub mod bump;
pub mod cancel;
pub mod clock;
pub mod context;
pub mod digest;
pub mod direct_url;
pub mod error;
pub mod event;
pub mod file;
mod file_error;
pub mod frames;
pub mod identity;
mod lenient;
pub mod link;
pub mod lock;
pub mod marker;
pub mod name;
mod options;
mod plain_file;
mod plain_marker;
pub mod platform;
pub mod pool;
pub mod presence;
pub mod progress;
pub mod relpath;
pub mod requirement;
pub mod shared;
pub mod text;
pub mod version;
pub mod web;
pub mod wildcard;

pub use bump::{BumpStep, VersionChange};
pub use cancel::{Cancel, CancelOnDrop, Cancelled};
pub use clock::{Clock, FixedClock, SystemClock, TimeError, Timestamp};
pub use context::Context;
pub use digest::{Blake3, Md5, Sha256, StrongDigest, StrongHasher};
pub use direct_url::{DirectUrl, DirectUrlError};
pub use error::{Class, Coded};
pub use event::{Event, EventKind, Observer, Operation, OperationId, Subject, Warning};
pub use file::FileError;
pub use identity::{ExpectedIdentity, PlaceIdentity};
pub use link::LinkMode;
pub use lock::FileLock;
pub use marker::MarkerEnv;
pub use name::{AssetName, GroupName, PackageName};
pub use pool::Pool;
pub use progress::{OperationState, Progress};
pub use relpath::RelPath;
pub use requirement::{Requirement, RequirementKind};
pub use version::{Specifiers, Version};
