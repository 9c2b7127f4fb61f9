//! How attempts at assets are started in processes of their own: the command, their names, and where they print to.
//!
//! Invariant: a name is given once. Deliberately absent: starting, which each executor does in its way.

use std::path::{Path, PathBuf};
use std::time::Duration;

use backlot_cascade::{AttemptBatch, CascadeId, Entry, Journal, JournalEvent, NodeId, RunState};
use backlot_core::{Context, Sha256};
use serde::{Deserialize, Serialize};

use super::kind::{ExecutorKind, ExecutorOptions};
use crate::cascade::ledger::Owner;
use crate::error::{CascadeError, Result};
use crate::workspace::Opened;
use crate::workspace::cascade_section::CascadeSection;
use crate::workspace::user_file::UserFile;

/// How attempts are started: the command, and their names and logs.
#[derive(Debug)]
pub(crate) struct Launch {
    /// The command `backlot` with its first arguments.
    command: Vec<String>,
    cascade: CascadeId,
    limits: AttemptLimits,
    flags: AttemptFlags,
    root: PathBuf,
    logs: PathBuf,
    owner: String,
    batches: u32,
}

/// What is asked of every attempt.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AttemptFlags {
    /// Leave the workspace of a failed build.
    pub(crate) keep: bool,
    /// Repair what checks refuse, where they declare that this may be done.
    pub(crate) auto_repair: bool,
}

/// How long an attempt may take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AttemptLimits {
    pub(crate) wall_time: Option<Duration>,
    pub(crate) quiet_time: Option<Duration>,
}

impl Launch {
    /// The command of an attempt at a node.
    pub(crate) fn attempt(&self, node: &NodeId, attempt: &str) -> Vec<String> {
        let mut words = self.command_of(&node.to_string());
        words.extend(["--attempt".to_owned(), attempt.to_owned()]);
        words
    }

    /// The same without the name of the attempt.
    pub(crate) fn command_of(&self, node: &str) -> Vec<String> {
        let mut words = self.command.clone();
        let own = [
            "cascade",
            "run-node",
            "--cascade",
            &self.cascade.0,
            "--node",
            node,
        ];
        words.extend(own.map(ToOwned::to_owned));
        let limits = [
            ("--wall-time", self.limits.wall_time),
            ("--quiet-time", self.limits.quiet_time),
        ];
        for (flag, time) in limits {
            words.extend(time.map(|time| format!("{flag}={}s", time.as_secs().max(1))));
        }
        let flags = [
            ("--keep", self.flags.keep),
            ("--auto-repair", self.flags.auto_repair),
        ];
        words.extend(
            flags
                .into_iter()
                .filter(|(_, is_set)| *is_set)
                .map(|(flag, _)| flag.to_owned()),
        );
        words
    }

    /// The cascade.
    pub(super) fn cascade(&self) -> &CascadeId {
        &self.cascade
    }

    /// The longest time for an attempt.
    pub(crate) fn wall_time(&self) -> Option<Duration> {
        self.limits.wall_time
    }

    /// The folder that attempts are started in.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A batch with a name that none had before; its folder of logs is made.
    pub(super) fn next_batch(
        &mut self,
        executor: &str,
        nodes: Vec<NodeId>,
    ) -> std::result::Result<AttemptBatch, backlot_core::FileError> {
        self.batches += 1;
        let id = digest(&format!("{} {} {}", self.cascade, self.owner, self.batches));
        backlot_core::file::make_folder(&self.logs)?;
        Ok(AttemptBatch {
            id,
            executor: executor.to_owned(),
            nodes,
            logs: self.logs.display().to_string(),
        })
    }
}

/// Ten letters and digits that stand for a text.
pub(crate) fn digest(text: &str) -> String {
    use sha2::Digest as _;
    let digest = Sha256::from_bytes(sha2::Sha256::digest(text.as_bytes()).into());
    digest.to_hex()[..10].to_owned()
}

impl Opened {
    /// Where and how cascades are run, as the workspace says, else the user.
    pub(crate) fn cascade_section(&self) -> Result<CascadeSection> {
        let user = UserFile::load(self.host().user_config.as_deref())?;
        Ok(self
            .config()
            .cascade
            .clone()
            .over(user.cascade.unwrap_or_default()))
    }

    /// Where cascades run that are run now.
    pub(crate) fn executor_kind(&self, options: &ExecutorOptions) -> Result<ExecutorKind> {
        let configured = self.cascade_section()?.executor;
        Ok(options.executor.or(configured).unwrap_or_default())
    }

    /// How attempts of a cascade are started.
    pub(crate) fn launch(
        &self,
        cascade: &CascadeId,
        options: &ExecutorOptions,
        flags: AttemptFlags,
        owner: &Owner,
    ) -> Result<Launch> {
        let section = self.cascade_section()?;
        let program = section.program.clone().or_else(|| self.host().program.clone());
        let program = program.ok_or(CascadeError::NoProgram)?;
        let root = std::path::absolute(self.root())?;
        let mut command = vec![
            program.display().to_string(),
            "--workspace".to_owned(),
            root.display().to_string(),
        ];
        if self.host().network.offline {
            command.push("--offline".to_owned());
        }
        let logs = section
            .logs
            .as_ref()
            .map_or_else(|| root.join(".backlot/cascades"), |logs| root.join(logs));
        Ok(Launch {
            command,
            cascade: cascade.clone(),
            limits: AttemptLimits {
                wall_time: options.wall_time.or(section.wall_time),
                quiet_time: options.quiet_time.or(section.quiet_time),
            },
            flags,
            logs: logs.join(&cascade.0),
            root,
            owner: owner.name.clone(),
            batches: 0,
        })
    }
}

/// Write down that attempts are about to be started, and what became of that.
pub(crate) fn note(
    journal: &dyn Journal,
    owner: &str,
    event: JournalEvent,
    context: &Context,
) -> backlot_cascade::Result<()> {
    journal.append(&Entry {
        at: context.now(),
        by: owner.to_owned(),
        event,
    })
}

/// An attempt in a process of its own, for people who look for its log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AttemptRow {
    /// The asset.
    pub node: NodeId,
    /// Its name.
    pub attempt: String,
    /// The executor that started it.
    pub executor: String,
    /// What the scheduler calls it, once it has it: `1234_7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The file that it prints to.
    pub log: String,
}

/// The attempts of a cascade in processes of their own, oldest first.
pub(crate) fn attempts(state: &RunState) -> Vec<AttemptRow> {
    let mut rows = Vec::new();
    for started in state.batches() {
        for (index, (attempt, node)) in started.batch.attempts().enumerate() {
            rows.push(AttemptRow {
                node: node.clone(),
                log: started.batch.log(index),
                executor: started.batch.executor.clone(),
                job: started.job.as_ref().map(|job| format!("{job}_{}", index + 1)),
                attempt,
            });
        }
    }
    rows
}

/// The last lines of a log, after a line break; nothing if it cannot be read here.
pub(crate) fn last_lines(log: &str) -> String {
    const LINES: usize = 20;
    const BYTES: u64 = 16 << 10;
    let read = || -> std::io::Result<String> {
        use std::io::{Read as _, Seek as _, SeekFrom};
        let mut file = fs_err::File::open(log)?;
        let length = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
        let mut bytes = Vec::new();
        file.take(BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    last.iter().map(|line| format!("\n{line}")).collect()
}
