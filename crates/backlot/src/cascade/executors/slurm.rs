//! Attempts as tasks of Slurm's job arrays: what can be started together is one `sbatch`, and one `squeue --json` asks for all.
//!
//! A batch is written into the journal, then submitted with its key as comment, then the number of its job is written. Where the answer of `sbatch` was
//! lost, or the runner died, the queue is searched for the key first, and what is there is adopted. Invariants: the journal says how an attempt ended,
//! the queue only whether it is there; a question that failed says nothing; a job outlives its runner, and is cancelled with the cascade. Deliberately
//! absent: accounting (`sacct`), which not every site has, and requeueing by Slurm: a lost attempt is another one's to repeat.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use backlot_cascade::{
    AttemptBatch, Cause, Ended, Entry, Executor, FailureKind, Journal, JournalEvent, NodeId, Result,
    RunState, Stop, UnderWay, attempt_in,
};
use backlot_core::Context;
use backlot_net::Pauses;

use super::launch::{Launch, last_lines, note};
use super::program::ProgramError;
use super::slurm_commands::{Slurm, is_final, job_of, key, quoted};
use super::squeue::{Array, Queue};
use crate::error::CascadeError;

/// How often the queue is asked for.
const POLL: Duration = Duration::from_secs(10);
/// How often a submission is tried again, and the pause before the second.
const RETRIES: u32 = 10;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How old a batch without a job may be that somebody else may be submitting.
const FRESH_MS: u64 = 30_000;
/// The default of Slurm's `MaxArraySize`; indices are below it.
const ARRAY_SIZE: usize = 1001;
/// How much longer than an attempt, which watches its own time, its job may take.
const SPARE: Duration = Duration::from_mins(2);

/// Slurm.
#[derive(Debug)]
pub(crate) struct SlurmExecutor<'a> {
    launch: Launch,
    slurm: Slurm,
    journal: &'a dyn Journal,
    owner: String,
    context: Context,
    under_way: UnderWay,
    batches: BTreeMap<String, Queued>,
    array_size: Option<usize>,
    next_poll: Instant,
    /// Pauses after polls that failed, and whether that was said.
    trouble: Option<(Pauses, bool)>,
    is_cancelled: bool,
}

/// A batch, and how far it has come.
#[derive(Debug)]
struct Queued {
    batch: AttemptBatch,
    name: String,
    arguments: Vec<String>,
    standing: Standing,
}

#[derive(Debug)]
enum Standing {
    /// To be submitted, at a time; `is_unsure` if it may have been.
    Due {
        at: Instant,
        pauses: Pauses,
        is_unsure: bool,
    },
    /// Of another run, which may have submitted it: since when, by the clock of its writer.
    Heard(backlot_core::Timestamp),
    /// Slurm has it.
    Job(String),
}

impl<'a> SlurmExecutor<'a> {
    pub(crate) fn new(
        launch: Launch,
        slurm: Slurm,
        journal: &'a dyn Journal,
        owner: &str,
        context: &Context,
    ) -> Self {
        Self {
            launch,
            slurm,
            journal,
            owner: owner.to_owned(),
            context: context.clone(),
            under_way: UnderWay::default(),
            batches: BTreeMap::new(),
            array_size: None,
            next_poll: Instant::now(),
            trouble: None,
            is_cancelled: false,
        }
    }

    /// What a job is found by.
    fn key(&self, batch: &str) -> String {
        key(&self.launch.cascade().0, batch)
    }

    fn queue_batch(&mut self, state: &RunState, nodes: &[usize], arguments: &[String]) -> Result<()> {
        let planned = |at: &usize| &state.plan().nodes[*at].dirty;
        let ids: Vec<NodeId> = nodes.iter().map(|at| planned(at).node.clone()).collect();
        let level = nodes.iter().map(|at| planned(at).level).min().unwrap_or(0);
        let batch = self.launch.next_batch("slurm", ids)?;
        let root = state.plan().roots.first();
        let root = root.map_or_else(
            || "all".to_owned(),
            |(node, version)| format!("{}-{version}", node.package),
        );
        let name = format!(
            "bl.{root}.{}.L{level}.{}",
            &self.launch.cascade().0[..8],
            batch.id
        );
        for (index, at) in nodes.iter().enumerate() {
            self.under_way.add(batch.attempt(index), *at);
        }
        let event = JournalEvent::Submitting { batch: batch.clone() };
        note(self.journal, &self.owner, event, &self.context)?;
        let queued = Queued {
            name,
            arguments: arguments.to_vec(),
            standing: Standing::Due {
                at: Instant::now(),
                pauses: Pauses::new(RETRIES, FIRST_PAUSE),
                is_unsure: false,
            },
            batch,
        };
        self.batches.insert(queued.batch.id.clone(), queued);
        Ok(())
    }

    /// The arguments of `sbatch` that the resources of an asset need.
    fn resources(&self, state: &RunState, at: usize) -> Vec<String> {
        let needed = &state.plan().nodes[at].dirty.resources;
        let mut arguments = Vec::new();
        for (class, units) in needed.iter().filter(|(_, units)| **units > 0) {
            let words = self.slurm.section.resources.get(class).into_iter().flatten();
            arguments.extend(words.map(|word| word.replace("{n}", &units.to_string())));
        }
        arguments
    }

    fn sbatch(&self, queued: &Queued) -> Vec<String> {
        let (batch, section) = (&queued.batch, &self.slurm.section);
        let mut words = vec![
            "sbatch".to_owned(),
            "--parsable".to_owned(),
            format!("--job-name={}", queued.name),
            format!("--comment={}", self.key(&batch.id)),
            format!("--array=1-{}", batch.nodes.len()),
            format!("--output={}/{}.%a.log", batch.logs.replace('%', "%%"), batch.id),
            "--open-mode=append".to_owned(),
            "--no-requeue".to_owned(),
            format!("--chdir={}", self.launch.root().display()),
        ];
        words.extend(section.partition.iter().map(|name| format!("--partition={name}")));
        words.extend(section.account.iter().map(|name| format!("--account={name}")));
        if let Some(time) = self.launch.wall_time() {
            words.push(format!("--time={}", (time + SPARE).as_secs().div_ceil(60)));
        }
        words.extend(queued.arguments.iter().chain(&section.arguments).cloned());
        words
    }

    /// The program of an array: which asset each task builds.
    fn script(&self, batch: &AttemptBatch) -> String {
        let cases = batch.nodes.iter().enumerate();
        let cases: String = cases
            .map(|(index, node)| format!("{}) node={} ;;\n", index + 1, quoted(&node.to_string())))
            .collect();
        // The command takes the place of the shell, so that signals reach it.
        let words: Vec<String> = self
            .launch
            .command_of("$node")
            .iter()
            .map(|word| match word.as_str() {
                "$node" => "\"$node\"".to_owned(),
                word => quoted(word),
            })
            .collect();
        format!(
            "#!/bin/sh\ncase \"$SLURM_ARRAY_TASK_ID\" in\n{cases}*) exit 65 ;;\nesac\nexec {} --attempt \"{}.$SLURM_ARRAY_TASK_ID\"\n",
            words.join(" "),
            batch.id
        )
    }

    /// Submit what is due. An error is one that trying again does not help with.
    fn submit(&mut self) -> Result<()> {
        let is_due =
            |queued: &Queued| matches!(queued.standing, Standing::Due { at, .. } if at <= Instant::now());
        let due: Vec<String> = self
            .batches
            .values()
            .filter(|queued| is_due(queued))
            .map(|queued| queued.batch.id.clone())
            .collect();
        for id in due {
            let Some(mut queued) = self.batches.remove(&id) else {
                continue;
            };
            let submitted = self.submit_one(&mut queued);
            self.batches.insert(id, queued);
            submitted?;
        }
        Ok(())
    }

    fn submit_one(&mut self, queued: &mut Queued) -> Result<()> {
        let is_unsure = matches!(queued.standing, Standing::Due { is_unsure: true, .. });
        // What was asked for may have been done.
        let found = if is_unsure {
            let queue = self.slurm.queue(&self.context);
            queue.map(|queue| {
                queue
                    .get(&self.key(&queued.batch.id))
                    .map(|array| array.job.clone())
            })
        } else {
            Ok(None)
        };
        let submitted = match found {
            Ok(None) if self.is_cancelled => {
                self.forget(&queued.batch);
                return Ok(());
            }
            Ok(None) => {
                let (words, script) = (self.sbatch(queued), self.script(&queued.batch));
                self.slurm
                    .run(&words, &script, &self.context)
                    .and_then(|printed| job_of(&printed))
            }
            Ok(Some(job)) => Ok(job),
            Err(error) => Err(error),
        };
        match submitted {
            Ok(job) => self.has_job(queued, job),
            Err(ProgramError::Failed(reason)) if !is_final(&reason) => {
                if let Standing::Due {
                    at,
                    pauses,
                    is_unsure,
                } = &mut queued.standing
                    && let Some(pause) = pauses.next(None)
                {
                    (*at, *is_unsure) = (Instant::now() + pause, true);
                    return Ok(());
                }
                Err(refused(reason))
            }
            Err(ProgramError::Failed(reason) | ProgramError::Absent(reason)) => Err(refused(reason)),
        }
    }

    fn has_job(&mut self, queued: &mut Queued, job: String) -> Result<()> {
        queued.standing = Standing::Job(job.clone());
        if self.is_cancelled {
            self.cancel(std::slice::from_ref(&job))?;
        }
        let batch = queued.batch.id.clone();
        note(
            self.journal,
            &self.owner,
            JournalEvent::Submitted { batch, job },
            &self.context,
        )
    }

    fn cancel(&self, jobs: &[String]) -> Result<()> {
        // Though this run may be stopped, too.
        let context = self.context.clone().with_cancel(backlot_core::Cancel::default());
        self.slurm.cancel(jobs, &context).map_err(refused)
    }

    /// The attempts of a batch were never made.
    fn forget(&mut self, batch: &AttemptBatch) {
        for (name, _) in batch.attempts() {
            self.under_way.forget(&name);
        }
    }

    /// Ask for the queue, if it is time, and note which tasks are gone.
    fn poll(&mut self) -> Result<()> {
        self.batches.retain(|_, queued| {
            let mut attempts = queued.batch.attempts();
            attempts.any(|(name, _)| self.under_way.has(&name))
        });
        let is_waited_for = |queued: &Queued| !matches!(queued.standing, Standing::Due { .. });
        if self.next_poll > Instant::now() || !self.batches.values().any(is_waited_for) {
            return Ok(());
        }
        let poll = self.slurm.section.poll.unwrap_or(POLL);
        let queue = match self.slurm.queue(&self.context) {
            Ok(queue) => queue,
            Err(ProgramError::Absent(reason)) => return Err(refused(reason)),
            Err(ProgramError::Failed(reason)) => {
                let (pauses, is_told) = self
                    .trouble
                    .get_or_insert_with(|| (Pauses::new(u32::MAX, poll.min(FIRST_PAUSE)), false));
                if !*is_told {
                    *is_told = true;
                    let message = format!("cannot read the queue of Slurm: {reason}; retrying");
                    self.context.warn("cascade::scheduler_silent", message);
                }
                self.next_poll = Instant::now() + pauses.next(None).unwrap_or(poll);
                return Ok(());
            }
        };
        self.trouble = None;
        self.next_poll = Instant::now() + poll;
        self.compare(&queue)
    }

    fn compare(&mut self, queue: &Queue) -> Result<()> {
        let now = self.context.now();
        for id in self.batches.keys().cloned().collect::<Vec<_>>() {
            let Some(mut queued) = self.batches.remove(&id) else {
                continue;
            };
            let found = queue.get(&self.key(&id));
            match (&queued.standing, found) {
                (Standing::Due { .. }, _) => {}
                (Standing::Heard(_), Some(array)) => self.has_job(&mut queued, array.job.clone())?,
                // Its runner may be about to submit it.
                (Standing::Heard(since), None) if now.0 < since.0.saturating_add(FRESH_MS) => {}
                (Standing::Heard(_), None) => {
                    self.forget(&queued.batch);
                    continue;
                }
                (Standing::Job(job), _) => {
                    let job = job.clone();
                    self.note_gone(&queued.batch, &job, found);
                }
            }
            self.batches.insert(id, queued);
        }
        Ok(())
    }

    /// Note which tasks of a job are not in the queue any more, or have ended there.
    fn note_gone(&mut self, batch: &AttemptBatch, job: &str, found: Option<&Array>) {
        for (index, (name, _)) in batch.attempts().enumerate() {
            let task = index as u64 + 1;
            if !self.under_way.has(&name) || found.is_some_and(|array| array.open.contains(&task)) {
                continue;
            }
            let state = found.and_then(|array| array.ended.get(&task));
            let how = state.map_or("is not in the queue any more", String::as_str);
            let kind = match state {
                Some(state) if state.contains("TIMEOUT") || state.contains("DEADLINE") => FailureKind::Build,
                _ => FailureKind::Environment,
            };
            let log = batch.log(index);
            let message = format!(
                "job {job}_{task} of Slurm ended without a word ({how}); its log is {log}{}",
                last_lines(&log)
            );
            self.under_way.gone(&name, kind, message);
        }
    }
}

fn refused(reason: String) -> backlot_cascade::Error {
    Cause::new(CascadeError::Scheduler {
        scheduler: "slurm",
        reason,
    })
    .into()
}

impl Executor for SlurmExecutor<'_> {
    fn start(&mut self, state: &RunState, nodes: &[usize]) -> Result<()> {
        if self.is_cancelled {
            return Ok(());
        }
        // Asked again the next time if there was no answer.
        self.array_size = self.array_size.or_else(|| self.slurm.array_size(&self.context));
        let size = self.array_size.unwrap_or(ARRAY_SIZE);
        let mut groups: BTreeMap<Vec<String>, Vec<usize>> = BTreeMap::new();
        for at in nodes {
            groups.entry(self.resources(state, *at)).or_default().push(*at);
        }
        for (arguments, nodes) in groups {
            for part in nodes.chunks(size.saturating_sub(1).max(1)) {
                self.queue_batch(state, part, &arguments)?;
            }
        }
        self.submit()
    }

    fn under_way(&self) -> BTreeSet<usize> {
        self.under_way.nodes()
    }

    fn wait(&mut self, pause: Duration) -> Result<Vec<Ended>> {
        let mut ended = self.under_way.take_over();
        // Noted the last time; the journal was heard since.
        ended.extend(self.under_way.take_gone());
        if ended.is_empty() {
            self.submit()?;
            self.poll()?;
            std::thread::sleep(pause);
        }
        Ok(ended)
    }

    fn stop(&mut self, why: Stop) -> Result<()> {
        if why == Stop::Run {
            // Jobs go on, and whoever continues the cascade finds them.
            self.leave();
            return Ok(());
        }
        self.is_cancelled = true;
        let mut jobs = Vec::new();
        for queued in std::mem::take(&mut self.batches).into_values() {
            match &queued.standing {
                Standing::Due { is_unsure: false, .. } => {
                    self.forget(&queued.batch);
                    continue;
                }
                Standing::Job(job) => jobs.push(job.clone()),
                Standing::Due { .. } | Standing::Heard(_) => {}
            }
            self.batches.insert(queued.batch.id.clone(), queued);
        }
        self.cancel(&jobs)
    }

    fn leave(&mut self) {
        self.under_way = UnderWay::default();
        self.batches.clear();
    }

    fn heard(&mut self, state: &RunState, entry: &Entry) {
        match &entry.event {
            JournalEvent::Submitting { batch } if batch.executor == "slurm" => {
                if self.batches.contains_key(&batch.id) {
                    return;
                }
                for (name, node) in batch.attempts() {
                    if let Some(at) = state.find(node) {
                        self.under_way.add(name, at);
                    }
                }
                let queued = Queued {
                    batch: batch.clone(),
                    name: String::new(),
                    arguments: Vec::new(),
                    standing: Standing::Heard(entry.at),
                };
                self.batches.insert(batch.id.clone(), queued);
            }
            JournalEvent::Submitted { batch, job } => {
                if let Some(queued) = self.batches.get_mut(batch) {
                    queued.standing = Standing::Job(job.clone());
                }
            }
            JournalEvent::Node { .. } if attempt_in(&entry.by).is_some() => self.under_way.heard(entry),
            _ => {}
        }
    }
}
