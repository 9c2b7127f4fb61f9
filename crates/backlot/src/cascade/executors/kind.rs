//! Which executors there are, and what may be said of them.
//!
//! Deliberately absent: what they do.

use std::str::FromStr;
use std::time::Duration;

use backlot_core::options;
use serde::{Deserialize, Serialize};

/// Which executor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ExecutorKind {
    /// Threads of the process that runs the cascade.
    #[default]
    Pool,
    /// Processes of this machine.
    Process,
    /// Jobs of Slurm.
    Slurm,
}

impl ExecutorKind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Process => "process",
            Self::Slurm => "slurm",
        }
    }
}

impl FromStr for ExecutorKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Pool, Self::Process, Self::Slurm];
        let found = all.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| format!("unknown executor `{text}`; write pool, process or slurm"))
    }
}

options! {
    /// Where the assets of a cascade are built, where that differs from what `[cascade]` of the configuration says.
    #[derive(Default)]
    pub struct ExecutorOptions {
        /// The executor.
        pub executor: Option<ExecutorKind>,
        /// The longest time for an attempt.
        pub wall_time: Option<Duration>,
        /// The longest time that an attempt may print nothing and move no byte.
        pub quiet_time: Option<Duration>,
        /// Slurm's partition.
        pub partition: Option<String>,
        /// Slurm's account.
        pub account: Option<String>,
        /// More arguments of `sbatch`, after those of the configuration.
        pub sbatch_arguments: Vec<String>,
    }
}
