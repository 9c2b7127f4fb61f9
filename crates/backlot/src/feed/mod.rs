//! Events of repos: listing, following, delivery to hooks, and those about the inputs of this workspace.
//!
//! The way: `backlot-repo` keeps a feed of events in each repo; a cursor says how far the feeds of some repos are read (`cursor`, `reading`); `events` lists and
//! follows them; hooks of the user's configuration (`hook`) are told of each by a process that keeps a cursor a hook (`kept`, `delivery`, `running`); the inbox
//! compares them with what is installed. Invariants: a cursor is kept after what it stands for was done, so each event is delivered at least once; **no file of
//! a workspace starts a program here**: hooks are the user's own. Deliberately absent: how events are recorded.

pub(crate) mod cursor;
mod delivery;
pub(crate) mod events;
pub(crate) mod hook;
pub(crate) mod inbox;
mod kept;
mod reading;
pub(crate) mod running;
