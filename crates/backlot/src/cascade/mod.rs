//! Cascades: who is built from whom over whole repos, what a publish affects, and building that.
//!
//! The way: an index of the releases of each repo is brought up to date (`index`), all of them together become the catalog that
//! `backlot-cascade` plans over (`studio`), releases are chosen from it by `backlot-resolve` (`resolver`), and reports are made (`dependents`,
//! `affected`). A cascade (`run`) is a plan with a journal in a repo (`ledger`); each of its assets is built in a workspace of its own (`private`,
//! `worker`), in this process or in others (`executors`, `attempt`), over releases that are read again all the time (`live`). Others find it (`known`), see and
//! control it through the journal (`control`), are told of it (`events`), export it as a job (`export`), and undo it (`revert`, with higher versions `forward`). One that runs in the
//! background is known by its machine (`background`); old journals are removed (`clean`). Invariant: nothing here changes an output or `inputs/` of
//! anybody; the index is derived and can be deleted.

pub(crate) mod affected;
pub(crate) mod attempt;
pub(crate) mod background;
pub(crate) mod clean;
pub(crate) mod control;
pub(crate) mod dependents;
pub(crate) mod events;
pub(crate) mod executors;
pub(crate) mod export;
pub(crate) mod forward;
pub(crate) mod index;
pub(crate) mod index_file;
pub(crate) mod known;
pub(crate) mod ledger;
pub(crate) mod live;
pub(crate) mod other_inputs;
pub(crate) mod private;
pub(crate) mod pulled_inputs;
pub(crate) mod resolver;
pub(crate) mod revert;
pub(crate) mod run;
pub(crate) mod studio;
pub(crate) mod worker;
