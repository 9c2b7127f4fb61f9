//! Attempts as processes of this machine: a crash of one is not the runner's, and each has a log of its own.
//!
//! Invariant: a process that ended is waited for before its node counts as free. One that a killed runner left behind goes on under its lease.
//! Deliberately absent: limits of processors and memory; `jobs` of the cascade holds.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use backlot_cascade::{
    Cause, Ended, Entry, Executor, FailureKind, Journal, JournalEvent, Result, RunState, Stop, UnderWay,
};
use backlot_core::{Context, platform};

use super::launch::{Launch, last_lines, note};
use crate::workspace::settings::CommandVariables;

/// How long a process has to end after it was asked to.
const GRACE: Duration = Duration::from_secs(30);
/// How often processes are looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Processes of this machine.
#[derive(Debug)]
pub(crate) struct ProcessExecutor<'a> {
    launch: Launch,
    journal: &'a dyn Journal,
    owner: String,
    variables: CommandVariables,
    context: Context,
    under_way: UnderWay,
    children: BTreeMap<String, Started>,
    /// When what was asked to end is ended.
    deadline: Option<Instant>,
}

#[derive(Debug)]
struct Started {
    at: usize,
    child: Child,
    log: String,
}

impl<'a> ProcessExecutor<'a> {
    pub(crate) fn new(
        launch: Launch,
        journal: &'a dyn Journal,
        owner: &str,
        variables: CommandVariables,
        context: &Context,
    ) -> Self {
        Self {
            launch,
            journal,
            owner: owner.to_owned(),
            variables,
            context: context.clone(),
            under_way: UnderWay::default(),
            children: BTreeMap::new(),
            deadline: None,
        }
    }

    fn start_one(&mut self, state: &RunState, at: usize) -> Result<()> {
        let node = state.plan().nodes[at].dirty.node.clone();
        let batch = self.launch.next_batch("process", vec![node.clone()])?;
        let (attempt, log) = (batch.attempt(0), batch.log(0));
        note(
            self.journal,
            &self.owner,
            JournalEvent::Submitting { batch },
            &self.context,
        )?;
        let words = self.launch.attempt(&node, &attempt);
        let file = fs_err::File::create(&log).map_err(backlot_core::FileError::from)?;
        let errors = file.try_clone().map_err(backlot_core::FileError::from)?;
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .current_dir(self.launch.root())
            .env_clear()
            .envs(self.variables.0.iter().cloned())
            .stdin(Stdio::null())
            .stdout(file.into_file())
            .stderr(errors.into_file());
        platform::own_group(&mut command);
        let child = command.spawn().map_err(|error| {
            Cause::new(crate::error::CascadeError::NotStarted {
                program: words[0].clone(),
                reason: error.to_string(),
            })
        })?;
        self.under_way.add(attempt.clone(), at);
        self.children.insert(attempt, Started { at, child, log });
        Ok(())
    }

    /// Note which have ended; whether any has.
    fn reap(&mut self) -> bool {
        let under_way = &mut self.under_way;
        let before = self.children.len();
        self.children.retain(|name, started| {
            let Ok(Some(status)) = started.child.try_wait() else {
                return true;
            };
            let log = &started.log;
            let message = format!(
                "the process of attempt {name} ended without a word: {status}; its log is {log}{}",
                last_lines(log)
            );
            under_way.gone(name, FailureKind::Environment, message);
            false
        });
        self.children.len() < before
    }
}

impl Executor for ProcessExecutor<'_> {
    fn start(&mut self, state: &RunState, nodes: &[usize]) -> Result<()> {
        nodes.iter().try_for_each(|at| self.start_one(state, *at))
    }

    fn under_way(&self) -> BTreeSet<usize> {
        let children = self.children.values().map(|started| started.at);
        children.chain(self.under_way.nodes()).collect()
    }

    fn wait(&mut self, pause: Duration) -> Result<Vec<Ended>> {
        // Noted the last time; the journal was heard since.
        let ended = self.under_way.take_gone();
        let begun = Instant::now();
        while ended.is_empty() {
            if self.deadline.is_some_and(|deadline| Instant::now() > deadline) {
                for started in self.children.values_mut() {
                    started.child.kill().ok();
                }
            }
            if self.reap() || begun.elapsed() >= pause {
                break;
            }
            std::thread::sleep(LOOK.min(pause));
        }
        Ok(ended)
    }

    fn stop(&mut self, _why: Stop) -> Result<()> {
        self.deadline = Some(Instant::now() + GRACE);
        for started in self.children.values() {
            platform::terminate(&started.child);
        }
        Ok(())
    }

    fn heard(&mut self, _state: &RunState, entry: &Entry) {
        self.under_way.heard(entry);
    }
}
