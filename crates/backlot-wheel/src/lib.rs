//! One wheel: built, read, checked, installed, uninstalled; without Python, and the same bytes everywhere.
//!
//! A project ([`Project`]) becomes a wheel by [`build()`]; a wheel ([`WheelArchive`]) becomes a folder by [`unpack()`], and
//! the folder part of an environment by [`UnpackedWheel`]. A source distribution ([`Sdist`]) becomes a wheel where that
//! needs none of its code. Follows PEP 376, 405, 427, 503, 517, 566, 610, 621, 660.
//!
//! ```
//! use backlot_core::Context;
//! use backlot_wheel::{
//!     BuildOptions, InstallOptions, Layout, Owners, Project, UnpackedWheel, WheelArchive, build, installed, unpack,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let top = tempfile::tempdir()?;
//! # let folder = |name: &str| top.path().join(name);
//! # let (source, wheels, kept, tree) = (folder("table"), folder("wheels"), folder("kept"), folder("tree"));
//! # for made in [&source.join("src/table"), &wheels, &kept, &tree] { fs_err::create_dir_all(made)?; }
//! let project = "[project]\nname = \"Table\"\nversion = \"1.2.0\"\ndependencies = [\"Wood>=1\"]\n";
//! fs_err::write(source.join("pyproject.toml"), project)?;
//! fs_err::write(source.join("src/table/__init__.py"), "LEGS = 4\n")?;
//!
//! // Build: the same project gives the same bytes on every machine.
//! let context = Context::default();
//! let built = build(&Project::load(&source)?, &BuildOptions::new(&wheels), &context)?;
//!
//! // Inspect, without unpacking. `check` compares every member with RECORD.
//! let wheel = WheelArchive::open(&built.path)?;
//! wheel.check()?;
//! assert_eq!(wheel.metadata().requires_dist[0].to_string(), "wood>=1");
//!
//! // Install into a plain folder. Who owns its files is always asked for: two packages never overwrite each other's.
//! let unpacked = kept.join("table-1.2.0");
//! unpack(&wheel, &unpacked, &context)?;
//! let layout = Layout::plain(&tree);
//! let there = installed(&layout.site_packages())?;
//! let owners = Owners::of(there.iter().map(|package| package.dist_info.as_path()))?;
//! let unpacked = UnpackedWheel::read(&unpacked, wheel.dist_info())?;
//! unpacked.install(&layout, &InstallOptions::default(), &owners, &context)?;
//! let text = fs_err::read_to_string(layout.site_packages().join("table/__init__.py"))?;
//! assert_eq!(text, "LEGS = 4\n");
//! # Ok(())
//! # }
//! ```
//!
//! # Threads, cancellation, cost, locks
//!
//! All of it blocks on the thread that calls, and may be called from any number of threads. Cancelling the [`Context`](backlot_core::Context) stops
//! it between two files; partial results are not visible then. A wheel is built, checked and unpacked in one pass, piece by piece; only
//! [`WheelArchive::read`] holds a whole member in memory. Nothing is locked: threads that change one environment share one [`Owners`], and programs that
//! do must keep apart themselves.
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
