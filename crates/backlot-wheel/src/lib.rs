//! One wheel: built, read, checked, installed, uninstalled; without Python, and the same bytes everywhere.
//!
//! A project ([`Project`]) becomes a wheel by [`build()`]; a wheel ([`WheelArchive`]) becomes a folder by [`unpack()`], and
//! the folder part of an environment by [`UnpackedWheel`]. A source distribution ([`Sdist`]) becomes a wheel where that
//! needs none of its code. Follows PEP 376, 405, 427, 503, 517, 566, 610, 621, 660.
//!
//! Deliberately absent: networks, repos, choosing versions, and running any code of a package.

mod archive;
mod asset;
mod build;
mod collect;
mod entry_points;
mod environment;
mod error;
mod filename;
mod hatchling;
mod install;
mod installed;
mod layout;
mod metadata;
mod owners;
mod pieces;
mod project;
mod record;
mod scripts;
mod sdist;
#[cfg(test)]
mod sdist_tests;
mod seal;
mod tags;
mod unpack;

#[cfg(test)]
mod tests;

pub use archive::{WheelArchive, WheelEntry, wheel_sha256};
pub use asset::{AssetInfo, AssetRepo, AssetToml, INFO_GROUP};
pub use build::{BuildOptions, BuiltWheel, build};
pub use collect::{check_packaged_name, packaged_files};
pub use entry_points::{EntryPoints, ReadEntryPoints};
pub use environment::{
    Interpreter, create_environment, environment_fits, find_interpreter, open_environment, read_interpreter,
};
pub use error::{Error, Result};
pub use filename::WheelName;
pub use install::{
    InstallOptions, InstalledWheel, UninstallReport, UnpackedWheel, file_url, install_editable, uninstall,
};
pub use installed::{Damage, DamageKind, InstalledDist, installed, strays, verify_unpacked};
pub use layout::Layout;
pub use metadata::{Metadata, metadata_headers};
pub use owners::Owners;
pub use pieces::{ByteRange, Fetch, Fetching, Members, Piece, files_in_pieces, metadata_in_pieces};
pub use project::{ModuleRoot, Project};
pub use record::{RecordEntry, parse_record, write_record};
pub use scripts::{BrokenScript, broken_scripts, has_module};
pub use sdist::{Sdist, sdist_name};
pub use seal::{is_intact, seal, unseal};
pub use tags::{Fit, Tags};
pub use unpack::unpack;
