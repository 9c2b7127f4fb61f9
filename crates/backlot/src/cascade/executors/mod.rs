//! Where the assets of a cascade are built: threads of this process (`pool`, which `backlot-cascade` has), processes of this machine (`process`), or jobs
//! of Slurm (`slurm`). All of them make the same attempts, by the same leases and the same journal.
//!
//! Invariants: an attempt is in the journal before it is started, with its name and its log; who started it may die, and whoever continues the cascade
//! finds it there. Deliberately absent: what an attempt does (`attempt`, `worker`), and when one is started (`backlot-cascade`).

pub(crate) mod kind;
pub(crate) mod launch;
pub(crate) mod process;
mod program;
pub(crate) mod slurm;
pub(crate) mod slurm_commands;
mod squeue;
