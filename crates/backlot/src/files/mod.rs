//! Tracked files: adding them, seeing what changed, pushing and pulling, for outputs and for installed inputs.
//!
//! Invariant: a pointer names only content that is in the cache; a file appears complete and verified. Deliberately
//! absent: DVC's formats (`backlot-dvc`) and the moving of bytes (`backlot-store`).

pub(crate) mod add;
pub(crate) mod adding;
pub(crate) mod additions;
pub(crate) mod apart;
pub(crate) mod dropped;
pub(crate) mod drops;
pub(crate) mod fetch;
pub(crate) mod folding;
pub(crate) mod foreign;
pub(crate) mod known_outs;
pub(crate) mod localize;
pub(crate) mod located;
pub(crate) mod moved;
pub(crate) mod pattern;
pub(crate) mod pins;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod put_back;
pub(crate) mod references;
pub(crate) mod remotes;
pub(crate) mod repair_remote;
pub(crate) mod sequences;
pub(crate) mod set_aside;
pub(crate) mod some_files;
pub(crate) mod to_remote;
pub(crate) mod tracked;
pub(crate) mod untrack;
pub(crate) mod updating;
pub(crate) mod usage;
pub(crate) mod users;
pub(crate) mod verify;
