//! Names, versions, requirements and markers, as PEP 440, 503, 508 and 610 have them and as assets use them.
//!
//! Invariants: a value of a type here is already valid (it parsed once, at the border), and a requirement is written as it was
//! given, or refused. This is the only crate that knows the libraries behind these standards. Deliberately absent: choosing among
//! versions (`backlot-resolve`), any file, any network.
//!
//! ```
//! use backlot_pep::{Requirement, Version};
//!
//! let table = Requirement::parse("Table>=1.2.3,<2.0")?;
//! assert!(table.specifiers().contains(&Version::parse("1.9.0")?));
//! assert!(!table.specifiers().contains(&Version::parse("2.0.0")?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Everything is `Send + Sync`, parses in linear time, blocks on nothing and holds no lock.

pub mod bump;
pub mod direct_url;
mod lenient;
pub mod marker;
pub mod name;
mod plain_marker;
pub mod requirement;
pub mod version;

pub use bump::{BumpStep, VersionChange};
pub use direct_url::{DirectUrl, DirectUrlError};
pub use marker::MarkerEnv;
pub use name::{AssetName, GroupName, PackageName};
pub use requirement::{Requirement, RequirementKind};
pub use version::{Specifiers, Version};
