//! Conda packages: which ones satisfy specs over channels, fetched and proven into a cache, installed into a prefix.
//!
//! rattler does the work; nothing of it is seen outside this crate. Invariants: no channel is known that was not given,
//! and no host is asked that is not a channel's or named by its own index; a package is unpacked only after its SHA-256
//! was checked; no code of a package runs while it is installed; a prefix appears whole, with its final path inside its
//! files, or not at all. Deliberately absent: where prefixes lie and what asked for them (the facade knows), logins.

mod channel;
mod conda;
mod error;
mod fetch;
mod links;
mod package;
mod prefix;
mod solve;
mod system;

pub use channel::Channel;
pub use conda::{Conda, CondaOptions};
pub use error::{Error, Result};
pub use package::CondaPackage;
pub use prefix::{PrefixState, is_prefix, prefix_state};
pub use solve::{SolveRequest, Spec};
pub use system::is_for_this_machine;
