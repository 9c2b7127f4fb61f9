//! One stage: judged, put back from the cache or run, recorded.
//!
//! Invariants: outputs of before are set aside, never removed, until the lock names the new ones; the lock is written last
//! of all that others read. What is done follows `dvc repro`, but for the faults that are listed in
//! `docs/format/pipeline-runs.md`. Deliberately absent: the order of stages ([`super::engine`]).

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use backlot_core::Sha256;
use backlot_store::{CheckoutItem, CheckoutOptions, ObjectId, RunCacheLayout};
use fs_err as fs;

use super::super::{
    Action, Change, Content, Graph, Judging, LockEntry, Output, OutputKind, PathChange, PipelineError, Place,
    Present as _, Spot, Stage, Value, action, entry_of, judge, params, run_cache,
};
use super::aside::{Aside, OldOut};
use super::executor::{self, Executor, Job};
use super::log::Log;
use super::options::RunOptions;
use super::project::{Locks, file_error};
use super::report::{Outcome, StageReport};
use super::results::{self, Fetch, Inputs};
use super::world::{Measured, Overlay, World};
use crate::checkout::check_folders;
use crate::error::{Error, Result};

/// The settings of a stage in `meta: {backlot: ...}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// Groups of which only some stages may run at a time.
    pub(super) mutex: Vec<String>,
    /// Longest time for its commands.
    pub(super) time_limit: Option<Duration>,
}

impl Settings {
    pub(super) fn of(stage: &Stage) -> Result<Self, PipelineError> {
        let meta = stage.meta.as_ref().and_then(Value::as_map);
        let Some(own) = meta.and_then(|meta| meta.get("backlot")?.as_map()) else {
            return Ok(Self::default());
        };
        let refuse = |key: &str, reason: &str| PipelineError::Schema {
            spot: Spot::new(&stage.file, stage.line),
            key: format!("stages.{}.meta.backlot.{key}", stage.name),
            reason: reason.to_owned(),
        };
        let mut settings = Self::default();
        if let Some(mutex) = own.get("mutex") {
            let names = match mutex {
                Value::List(names) => names.iter().map(Value::as_str).collect(),
                name => name.as_str().map(|name| vec![name]),
            };
            let names: Option<Vec<&str>> = names;
            let names = names.ok_or_else(|| refuse("mutex", "is not a name or a list of names"))?;
            settings.mutex = names.into_iter().map(ToOwned::to_owned).collect();
            settings.mutex.sort();
            settings.mutex.dedup();
        }
        if let Some(limit) = own.get("time_limit") {
            let seconds = limit.as_u64().filter(|seconds| *seconds > 0);
            let seconds = seconds.ok_or_else(|| refuse("time_limit", "is not a number of seconds"))?;
            settings.time_limit = Some(Duration::from_secs(seconds));
        }
        Ok(settings)
    }
}

/// The content that an entry has for an output.
pub(super) fn out_content(entry: &LockEntry, path: &str) -> Option<Content> {
    let out = entry.out(path)?;
    Some(Content {
        id: out.id?,
        size: out.size.unwrap_or(0),
        nfiles: out.nfiles,
        isexec: out.isexec,
    })
}

/// Whether an output is there and has other content.
fn is_changed_out(change: &Change) -> bool {
    matches!(change, Change::Output(_, how) if *how != PathChange::Missing)
}

/// Whether a change is only that something is not where it should be, though it is known what.
pub(super) fn is_lost_only(changes: &[Change]) -> bool {
    changes.iter().all(|change| {
        matches!(
            change,
            Change::Output(_, PathChange::Missing | PathChange::NotCached)
        )
    })
}

/// The content that the locks of stages above have for a place.
pub(super) fn upstream<'a>(
    makers: &'a BTreeMap<&str, (usize, usize)>,
    graph: &'a Graph,
    locks: &'a Locks<'a>,
    world: &'a World<'a>,
) -> impl Fn(&Place) -> Option<ObjectId> + 'a {
    move |place: &Place| {
        let path = place.inside()?;
        let mut folder = Some(path.clone());
        while let Some(out) = folder {
            if let Some((node, at)) = makers.get(out.as_str()) {
                let stage = graph.stage(*node)?;
                let made = locks.get(stage)?.out(&stage.outs.get(*at)?.path)?.id?;
                if out == *path {
                    return Some(made);
                }
                let members = world.members(made).ok()??;
                let member = members.iter().find(|(member, _)| member.below(&out) == *path);
                return member.map(|(_, id)| *id);
            }
            folder = out.parent();
        }
        None
    }
}

/// Bring an object of an output, of a folder with its files, from elsewhere.
pub(super) fn fetch(world: &World<'_>, options: &RunOptions, out: &Output, id: ObjectId) -> Result<()> {
    let Some(pull) = &options.pull else {
        return Ok(());
    };
    let (cache, context) = (world.project.cache, world.context);
    if !cache.has(&id)? {
        pull.pull(out, &[id], context)?;
    }
    if let Some(members) = world.members(id)? {
        let ids: Vec<ObjectId> = members.into_iter().map(|(_, id)| id).collect();
        let sizes = cache.sizes(&ids)?;
        let missing = ids.iter().zip(sizes).filter(|(_, size)| size.is_none());
        let missing: Vec<ObjectId> = missing.map(|(id, _)| *id).collect();
        if !missing.is_empty() {
            pull.pull(out, &missing, context)?;
        }
    }
    Ok(())
}

/// Results that are known.
#[derive(Debug)]
pub(super) struct Known<'a> {
    options: &'a RunOptions,
    /// Commands that run in more than one folder, which DVC's keys do not tell apart.
    ambiguous: HashMap<String, (Place, bool)>,
}

impl<'a> Known<'a> {
    pub(super) fn new(graph: &Graph, options: &'a RunOptions) -> Self {
        let mut ambiguous: HashMap<String, (Place, bool)> = HashMap::new();
        for stage in &graph.pipelines().stages {
            let command = stage.command_lines().join("\n");
            let (folder, several) = ambiguous
                .entry(command)
                .or_insert_with(|| (stage.folder.clone(), false));
            *several |= *folder != stage.folder;
        }
        Self { options, ambiguous }
    }

    /// Whether DVC's key tells this stage from others.
    fn is_dvcs(&self, stage: &Stage) -> bool {
        let command = stage.command_lines().join("\n");
        let several = self.ambiguous.get(&command).is_some_and(|(_, several)| *several);
        // What the caller says to decide is in no key of DVC's.
        !several && self.options.decides.is_empty()
    }

    /// The current inputs of a stage: its entry without outputs, and its key in Backlot's layout.
    fn key(&self, stage: &Stage, overlay: &Overlay<'_>) -> Result<(LockEntry, Sha256)> {
        let inputs = Stage {
            outs: Vec::new(),
            ..stage.clone()
        };
        let entry = entry_of(&inputs, overlay)?;
        let mut deps = Vec::with_capacity(stage.deps.len());
        for dep in &stage.deps {
            deps.extend(overlay.measure(&dep.place)?);
        }
        let inputs = Inputs {
            stage,
            deps,
            entry: &entry,
            decides: &self.options.decides,
        };
        let key = results::key(&inputs);
        Ok((entry, key))
    }

    /// The result for the present inputs of a stage, with all its content in the cache.
    pub(super) fn find(
        &self,
        stage: &Stage,
        overlay: &Overlay<'_>,
        fetch: Fetch<'_>,
    ) -> Result<Option<Vec<Content>>> {
        let (entry, key) = self.key(stage, overlay)?;
        let world = overlay.world;
        let here = || {
            if let Some(outs) = results::find(world, stage, &key, fetch)? {
                return Ok(Some(outs));
            }
            if !self.is_dvcs(stage) {
                return Ok(None);
            }
            results::find_dvc(world, stage, &entry, fetch)
        };
        let found = here()?;
        let pull = self.options.pull.as_ref();
        let Some(pull) = pull.filter(|_| found.is_none() && run_cache::is_eligible(stage)) else {
            return Ok(found);
        };
        let mut new = 0;
        for (layout, key) in self.keys_of(stage, &entry, key) {
            new += pull.results(stage, layout, &key, world.context)?;
        }
        if new == 0 { Ok(None) } else { here() }
    }

    /// The keys of results of a stage with its present inputs, in each layout whose key decides enough.
    pub(super) fn keys(&self, stage: &Stage, overlay: &Overlay<'_>) -> Result<Vec<(RunCacheLayout, Sha256)>> {
        let (entry, key) = self.key(stage, overlay)?;
        Ok(self.keys_of(stage, &entry, key))
    }

    fn keys_of(&self, stage: &Stage, entry: &LockEntry, key: Sha256) -> Vec<(RunCacheLayout, Sha256)> {
        let dvc = self
            .is_dvcs(stage)
            .then(|| results::dvc_key(stage, entry))
            .flatten();
        let dvc = dvc.map(|key| (RunCacheLayout::Dvc, key));
        std::iter::once((RunCacheLayout::Backlot, key))
            .chain(dvc)
            .collect()
    }

    fn remember(
        &self,
        stage: &Stage,
        overlay: &Overlay<'_>,
        entry: &LockEntry,
        outs: &[Measured],
    ) -> Result<()> {
        let (_, key) = self.key(stage, overlay)?;
        let world = overlay.world;
        let cache = world.project.cache;
        results::remember(cache, stage, &key, outs, world.context.now().0)?;
        if self.options.dvc_run_cache && self.is_dvcs(stage) {
            results::remember_dvc(cache, entry)?;
        }
        Ok(())
    }
}

/// The parameters for running a stage.
#[derive(Debug)]
pub(super) struct Maker<'a> {
    pub(super) graph: &'a Graph,
    pub(super) options: &'a RunOptions,
    pub(super) executor: &'a dyn Executor,
    pub(super) locks: &'a Locks<'a>,
    pub(super) world: &'a World<'a>,
    pub(super) known: &'a Known<'a>,
    pub(super) makers: &'a BTreeMap<&'a str, (usize, usize)>,
}

impl Maker<'_> {
    /// Reproduce a stage. An error of the stage is in its report; a cancellation is an error.
    pub(super) fn make(&self, stage: &Stage, force: bool) -> Result<StageReport> {
        let mut report = StageReport::new(stage);
        match self.try_make(stage, force, &mut report) {
            Ok(outcome) => report.outcome = outcome,
            Err(Error::Cancelled(cancelled)) => return Err(cancelled.into()),
            Err(error) => {
                // A command that was stopped, or a file that was not written, because all is to stop.
                self.world.context.check()?;
                report.fail(&error);
            }
        }
        Ok(report)
    }

    fn overlay(&self) -> Overlay<'_> {
        Overlay::new(self.world)
    }

    fn try_make(&self, stage: &Stage, force: bool, report: &mut StageReport) -> Result<Outcome> {
        self.world.context.check()?;
        let locked = self.locks.get(stage);
        let overlay = self.overlay();
        let upstream = upstream(self.makers, self.graph, self.locks, self.world);
        let judging = Judging {
            all: self.options.pull.is_some() || self.options.record,
            allow_missing: if self.options.allow_missing {
                Some(&upstream)
            } else {
                None
            },
        };
        let mut changes = judge(stage, locked.as_ref(), &overlay, judging)?;
        if let Some(entry) = &locked
            && self.options.pull.is_some()
            && !changes.is_empty()
            && is_lost_only(&changes)
        {
            for out in &stage.outs {
                if let Some(content) = out_content(entry, &out.path) {
                    self.fetch(out, content.id)?;
                }
            }
            changes = judge(stage, locked.as_ref(), &overlay, judging)?;
        }
        report.see(&changes, force);
        let only_outs = !changes.is_empty() && changes.iter().all(is_changed_out);
        if self.options.record && only_outs && !force {
            return self.record(stage);
        }
        match action(stage, locked.as_ref(), &changes, &overlay, force)? {
            Action::Skip => Ok(Outcome::Skipped),
            Action::Blocked(missing) => Err(PipelineError::MissingInputs {
                stage: stage.address(),
                missing: missing.iter().map(ToString::to_string).collect(),
            }
            .into()),
            Action::Record => self.record(stage),
            Action::Restore => {
                let entry = locked.as_ref();
                let outs = stage.outs.iter().filter_map(|out| out_content(entry?, &out.path));
                self.restore(stage, &outs.collect::<Vec<_>>(), entry, report)?;
                Ok(Outcome::Restored)
            }
            Action::Run { ask_run_cache } => {
                self.refuse_dates(stage)?;
                if ask_run_cache
                    && !self.options.no_run_cache
                    && let Some(outs) = self.known.find(stage, &overlay, &|out, id| self.fetch(out, id))?
                {
                    self.restore(stage, &outs, locked.as_ref(), report)?;
                    return Ok(Outcome::Restored);
                }
                self.run(stage, locked.as_ref(), report)
            }
        }
    }

    /// What is there is taken as what it makes, and is in the cache from now on. It is not remembered as the result of its inputs, since it need not be
    /// made of them.
    fn record(&self, stage: &Stage) -> Result<Outcome> {
        let (overlay, _) = self.take_outs(stage, false)?;
        let entry = entry_of(stage, &overlay)?;
        self.locks.set(stage, entry)?;
        Ok(Outcome::Recorded)
    }

    fn fetch(&self, out: &Output, id: ObjectId) -> Result<()> {
        fetch(self.world, self.options, out, id)
    }

    /// DVC fails for dates in parameters, and its lock cannot have them.
    fn refuse_dates(&self, stage: &Stage) -> Result<()> {
        for dep in &stage.params {
            let file = dep.place.to_string();
            let values = self.world.parameters(&dep.place)?.unwrap_or(Value::Null);
            let selected = params::select(&file, &values, &dep.keys)?;
            if let Some((key, _)) = selected.into_iter().find(|(_, value)| value.has_date()) {
                return Err(PipelineError::ForeignParameter {
                    file,
                    key,
                    kind: "a date",
                }
                .into());
            }
        }
        Ok(())
    }

    /// Outputs that are there and have other content than they are to get: those to be set aside.
    fn old_outs<'o>(
        &self,
        outs: impl Iterator<Item = &'o Output>,
        locked: Option<&LockEntry>,
    ) -> Result<Vec<OldOut>> {
        let mut old = Vec::new();
        for out in outs {
            // Nothing is moved, or put back, through a link to elsewhere.
            let root = &self.world.project.root;
            check_folders(root, &out.place.to_path(root))?;
            // Paths that cannot be inspected, such as dangling links, are set aside, too, and kept.
            let content = self.world.content(&Place::Inside(out.place.clone()));
            let edited = match content {
                Ok(None) => false,
                Ok(Some(content)) => {
                    let recorded = locked.and_then(|entry| entry.out(&out.path)?.id);
                    recorded != Some(content.id) && !self.world.has(content.id)?
                }
                Err(Error::Cancelled(cancelled)) => return Err(cancelled.into()),
                Err(_) => true,
            };
            old.push(OldOut {
                place: out.place.clone(),
                edited,
            });
        }
        Ok(old)
    }

    /// Put outputs back from the cache, in the order of the stage.
    fn restore(
        &self,
        stage: &Stage,
        outs: &[Content],
        locked: Option<&LockEntry>,
        report: &mut StageReport,
    ) -> Result<()> {
        let mut other = Vec::new();
        for (out, wanted) in stage.outs.iter().zip(outs) {
            let now = self.world.content(&Place::Inside(out.place.clone()));
            let same = matches!(now, Ok(Some(now)) if now.id == wanted.id && now.isexec == wanted.isexec);
            if !same {
                other.push((out, wanted));
            }
        }
        let old = self.old_outs(other.iter().map(|(out, _)| *out), locked)?;
        let mut aside = Aside::set(self.world.project, stage, &old)?;
        let placed = self.place(&other).and_then(|()| {
            let entry = entry_of(stage, &self.overlay())?;
            aside.becomes(&entry)?;
            self.locks.set(stage, entry)
        });
        self.end(aside, placed, report)
    }

    /// Old outputs go if all went well; else they are put back.
    fn end(&self, aside: Aside, done: Result<()>, report: &mut StageReport) -> Result<()> {
        match done {
            Ok(()) => {
                for kept in aside.finish()? {
                    let message = format!(
                        "an output of `{}` was edited manually; the edit was saved as `{}`",
                        report.stage,
                        kept.display()
                    );
                    self.world.context.warn("pipeline::edited_output", message);
                    report.kept.push(kept);
                }
                Ok(())
            }
            Err(error) => {
                report.half = aside.put_back()?;
                Err(error)
            }
        }
    }

    fn place(&self, outs: &[(&Output, &Content)]) -> Result<()> {
        let project = self.world.project;
        let mut items = Vec::new();
        for (out, content) in outs {
            let target = out.place.to_path(&project.root);
            if !content.id.tree {
                items.push(CheckoutItem {
                    id: content.id,
                    target,
                    executable: content.isexec,
                });
                continue;
            }
            fs::create_dir_all(&target).map_err(file_error)?;
            for (member, id) in self.world.members(content.id)?.unwrap_or_default() {
                items.push(CheckoutItem {
                    id,
                    target: member.to_path(&target),
                    executable: false,
                });
            }
        }
        let options = CheckoutOptions {
            links: &project.links,
            ..CheckoutOptions::default()
        };
        backlot_store::checkout(project.cache, project.stat, &items, &options, self.world.context)?;
        Ok(())
    }

    fn run(&self, stage: &Stage, locked: Option<&LockEntry>, report: &mut StageReport) -> Result<Outcome> {
        let folder = self.world.path(&stage.folder)?;
        let old = self.old_outs(stage.outs.iter().filter(|out| !out.persist), locked)?;
        executor::check_folder(&stage.address(), &folder)?;
        let mut aside = Aside::set(self.world.project, stage, &old)?;
        let done = self.execute(stage, folder, report);
        if let Err(error @ Error::Pipeline(PipelineError::CommandFailed { .. })) = &done
            && self.options.ignore_errors
        {
            // What it left is what those below get, as in DVC; the lock does not have it.
            report.fail(error);
            self.end(aside, Ok(()), report)?;
            return Ok(Outcome::Failed);
        }
        let done = done.and_then(|()| self.commit(stage, &mut aside));
        self.end(aside, done, report)?;
        Ok(Outcome::Ran)
    }

    fn execute(&self, stage: &Stage, folder: PathBuf, report: &mut StageReport) -> Result<()> {
        let address = stage.address();
        let root = self.world.project.root.as_os_str().to_owned();
        let mut variables = vec![
            ("DVC_ROOT".to_owned(), root),
            ("DVC_STAGE".to_owned(), address.clone().into()),
        ];
        variables.extend(self.options.variables.iter().cloned());
        let lines = stage.command_lines();
        let job = Job {
            stage: &address,
            commands: lines.iter().map(|line| (*line).to_owned()).collect(),
            folder,
            variables,
            path: self.options.path.clone(),
            time_limit: Settings::of(stage)?.time_limit.or(self.options.time_limit),
            cancel: self.world.context.cancel(),
        };
        let path = self.world.project.log_path(stage);
        let log = Log::create(&path, &address, self.world.context)?;
        report.log = Some(path);
        let ended = self.executor.run(&job, &log)?;
        log.finish();
        self.world.context.check()?;
        report.commands = job.commands.into_iter().take(ended.started).collect();
        report.exit = Some(ended.exit);
        if ended.exit.is_success() {
            return Ok(());
        }
        Err(PipelineError::CommandFailed {
            stage: address,
            command: report.commands.last().cloned().unwrap_or_default(),
            how: ended.exit.to_string(),
        }
        .into())
    }

    /// Store the outputs of the commands in the cache, record the result, and write the lock.
    fn commit(&self, stage: &Stage, aside: &mut Aside) -> Result<()> {
        let remembered = run_cache::is_eligible(stage) && !self.options.no_commit;
        let (overlay, outs) = self.take_outs(stage, remembered)?;
        let entry = entry_of(stage, &overlay)?;
        if remembered {
            self.known.remember(stage, &overlay, &entry, &outs)?;
        }
        aside.becomes(&entry)?;
        self.locks.set(stage, entry)
    }

    /// Measure the outputs of a stage, and put those into the cache that belong there, with metrics and plots if the result is to be
    /// remembered.
    fn take_outs(&self, stage: &Stage, remembered: bool) -> Result<(Overlay<'_>, Vec<Measured>)> {
        let project = self.world.project;
        let mut overlay = self.overlay();
        let mut outs = Vec::with_capacity(stage.outs.len());
        for out in &stage.outs {
            let kept = out.cache || (remembered && out.kind != OutputKind::Data);
            let measured = self.world.take_out(out, kept && !self.options.no_commit)?;
            let measured = measured.ok_or_else(|| PipelineError::NotMade {
                stage: stage.address(),
                path: out.place.to_string(),
            })?;
            let place = Place::Inside(out.place.clone());
            overlay.known.insert(place, Some(measured));
            outs.push(measured);
            if project.git_ignore && out.cache {
                self.locks.git_ignore(&out.place.to_path(&project.root))?;
            }
        }
        Ok((overlay, outs))
    }
}
