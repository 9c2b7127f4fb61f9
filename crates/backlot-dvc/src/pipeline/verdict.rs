//! Whether a stage is up to date, why not, and what can be done about it.
//!
//! Invariants: changes are found in DVC's order: command, dependencies in the order of the file, parameters, outputs;
//! everything that is read of the world comes through [`Present`], and only as far as it is needed. Deliberately absent:
//! time stamps, modes and the environment, which never make a stage changed, and checksums of URLs.

use std::fmt;

use backlot_store::ObjectId;

use super::error::PipelineError;
use super::lock::{LockEntry, LockedPath};
use super::params;
use super::place::Place;
use super::run_cache;
use super::stage::{ParameterDependency, Stage};
use super::value::Value;

/// The current content of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// The file, or the manifest of the folder.
    pub id: ObjectId,
    /// Bytes; of a folder, of all its files.
    pub size: u64,
    /// Files, if it is a folder.
    pub nfiles: Option<u64>,
    /// Whether a file is executable.
    pub isexec: bool,
}

/// The present state of a project.
pub trait Present {
    /// Why it is unknown.
    type Error: From<PipelineError>;

    /// The content of a path; `None` if it is missing.
    fn content(&self, place: &Place) -> Result<Option<Content>, Self::Error>;

    /// Whether content, of a folder with all its files, is in the cache.
    fn is_cached(&self, id: ObjectId) -> Result<bool, Self::Error>;

    /// The values of a file of parameters; `None` if it is missing.
    fn parameters(&self, place: &Place) -> Result<Option<Value>, Self::Error>;
}

/// How a path differs from the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathChange {
    /// Its content is other than the lock says, or the lock says nothing.
    Modified,
    /// It does not exist.
    Missing,
    /// The cache does not have the content in the lock.
    NotCached,
}

/// How a parameter differs from the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// The lock does not have it.
    New,
    /// Its value is another one.
    Modified,
    /// The file does not have it, and the stage names it.
    Missing,
    /// The file does not have it any more; the stage depends on all that the file has.
    Removed,
}

/// How a file of parameters differs from the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParameterChange {
    /// The lock does not have the file.
    New,
    /// The file does not exist.
    Missing,
    /// Some of its keys differ.
    Keys(Vec<(String, KeyChange)>),
}

/// A reason why a stage is not up to date. Paths are relative to the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The command is another one.
    Command,
    /// The stage reads and makes nothing, so it always runs.
    Callback,
    /// The stage is to run always.
    Always,
    /// A dependency.
    Dependency(String, PathChange),
    /// A file of parameters.
    Parameters(String, ParameterChange),
    /// An output.
    Output(String, PathChange),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = |change: &PathChange| match change {
            PathChange::Modified => "changed",
            PathChange::Missing => "is missing",
            PathChange::NotCached => "is not in the cache",
        };
        match self {
            Self::Command => write!(f, "the command changed"),
            Self::Callback => write!(f, "it has neither dependencies nor outputs"),
            Self::Always => write!(f, "it is set to always run"),
            Self::Dependency(path, change) => write!(f, "dependency `{path}` {}", how(change)),
            Self::Output(path, change) => write!(f, "output `{path}` {}", how(change)),
            Self::Parameters(file, ParameterChange::New) => write!(f, "parameters of `{file}` are new"),
            Self::Parameters(file, ParameterChange::Missing) => {
                write!(f, "parameter file `{file}` is missing")
            }
            Self::Parameters(file, ParameterChange::Keys(keys)) => {
                let keys = keys.iter().map(|(key, change)| match change {
                    KeyChange::New => format!("`{key}` is new"),
                    KeyChange::Modified => format!("`{key}` changed"),
                    KeyChange::Missing => format!("`{key}` is missing"),
                    KeyChange::Removed => format!("`{key}` was removed"),
                });
                write!(
                    f,
                    "parameters of `{file}`: {}",
                    keys.collect::<Vec<_>>().join(", ")
                )
            }
        }
    }
}

/// The content that a stage above has in its lock for a path.
pub type UpstreamContent<'a> = &'a dyn Fn(&Place) -> Option<ObjectId>;

/// How a stage is judged.
#[derive(Clone, Copy, Default)]
pub struct Judging<'a> {
    /// Whether all changes are wanted, or only the first, which is enough to know that there is one.
    pub all: bool,
    /// Whether missing files are no change (`--allow-missing`), unless a stage above makes other content by now.
    pub allow_missing: Option<UpstreamContent<'a>>,
}

impl fmt::Debug for Judging<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judging")
            .field("all", &self.all)
            .field("allow_missing", &self.allow_missing.is_some())
            .finish()
    }
}

/// The action for a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: it is up to date.
    Skip,
    /// Put the outputs that the lock names back from the cache, then write the lock: modes of dependencies may be others.
    Restore,
    /// Run it, or, where results are remembered, look for one of the same command and inputs first.
    Run {
        /// Whether a remembered result may be used.
        ask_run_cache: bool,
    },
    /// Rewrite the lock without running: a frozen stage whose command or outputs changed.
    Record,
    /// It cannot be made: these files or parameters are missing.
    Blocked(Vec<Change>),
}

/// The changes of a stage since its lock entry; none if it is up to date.
pub fn judge<P: Present>(
    stage: &Stage,
    locked: Option<&LockEntry>,
    present: &P,
    judging: Judging<'_>,
) -> Result<Vec<Change>, P::Error> {
    let judge = Judge {
        stage,
        locked,
        present,
        judging,
    };
    let mut changes = Vec::new();
    // Without an entry, the command is not what changed.
    if locked.is_some_and(|locked| locked.command != stage.command) {
        changes.push(Change::Command);
    }
    if judge.wants_more(&changes) && !stage.frozen {
        if stage.is_callback() {
            changes.push(Change::Callback);
        } else if stage.always_changed {
            changes.push(Change::Always);
        } else {
            judge.dependencies(&mut changes)?;
        }
    }
    if judge.wants_more(&changes) {
        judge.outputs(&mut changes)?;
    }
    Ok(changes)
}

/// The action for the changes that [`judge`] found. `force` runs the stage regardless.
pub fn action<P: Present>(
    stage: &Stage,
    locked: Option<&LockEntry>,
    changes: &[Change],
    present: &P,
    force: bool,
) -> Result<Action, P::Error> {
    if changes.is_empty() && !force {
        return Ok(Action::Skip);
    }
    let judge = Judge {
        stage,
        locked,
        present,
        judging: Judging {
            all: true,
            allow_missing: None,
        },
    };
    let mut inputs = Vec::new();
    judge.dependencies(&mut inputs)?;
    if stage.frozen {
        // It is recorded as it is, with all that it has.
        judge.outputs(&mut inputs)?;
    }
    let missing: Vec<Change> = inputs.iter().filter_map(missing_part).collect();
    if !missing.is_empty() {
        return Ok(Action::Blocked(missing));
    }
    if stage.frozen {
        return Ok(Action::Record);
    }
    if force {
        return Ok(Action::Run { ask_run_cache: false });
    }
    let ask_run_cache = run_cache::is_eligible(stage);
    let same_command = locked.is_some_and(|locked| locked.command == stage.command);
    if ask_run_cache && same_command && inputs.is_empty() && judge.outs_are_cached()? {
        return Ok(Action::Restore);
    }
    Ok(Action::Run { ask_run_cache })
}

/// The part of a change that keeps a stage from running.
fn missing_part(change: &Change) -> Option<Change> {
    match change {
        Change::Dependency(_, PathChange::Missing)
        | Change::Output(_, PathChange::Missing)
        | Change::Parameters(_, ParameterChange::Missing) => Some(change.clone()),
        Change::Parameters(file, ParameterChange::Keys(keys)) => {
            let keys: Vec<_> = keys
                .iter()
                .filter(|(_, change)| *change == KeyChange::Missing)
                .cloned()
                .collect();
            let missing = || Change::Parameters(file.clone(), ParameterChange::Keys(keys.clone()));
            (!keys.is_empty()).then(missing)
        }
        _ => None,
    }
}

/// The entry that a stage has once it ran: command, and dependencies, parameters and outputs as they are now.
pub fn entry_of<P: Present>(stage: &Stage, present: &P) -> Result<LockEntry, P::Error> {
    let mut entry = LockEntry::new(stage.command.clone());
    let locked = |path: &str, place: &Place| -> Result<LockedPath, P::Error> {
        let content = present.content(place)?;
        let content = content.ok_or_else(|| PipelineError::Unreadable {
            file: place.to_string(),
            reason: "it does not exist".to_owned(),
        })?;
        Ok(LockedPath {
            isexec: content.isexec,
            ..LockedPath::new(path, content.id, content.size, content.nfiles)
        })
    };
    for dep in &stage.deps {
        entry.deps.push(locked(&dep.path, &dep.place)?);
    }
    for dep in &stage.params {
        let values = present.parameters(&dep.place)?;
        let values = match &values {
            Some(values) => params::select(&dep.place.to_string(), values, &dep.keys)?,
            None => Vec::new(),
        };
        let lacks = |key: &&String| !values.iter().any(|(known, _)| known == *key);
        let missing: Vec<String> = dep.keys.iter().filter(lacks).cloned().collect();
        if !missing.is_empty() {
            return Err(PipelineError::MissingParameters {
                file: dep.place.to_string(),
                keys: missing,
                stage: format!("`{}`", stage.address()),
            }
            .into());
        }
        entry.params.push((dep.path.clone(), values));
    }
    for out in &stage.outs {
        entry
            .outs
            .push(locked(&out.path, &Place::Inside(out.place.clone()))?);
    }
    Ok(entry)
}

struct Judge<'a, P> {
    stage: &'a Stage,
    locked: Option<&'a LockEntry>,
    present: &'a P,
    judging: Judging<'a>,
}

impl<P: Present> Judge<'_, P> {
    fn wants_more(&self, changes: &[Change]) -> bool {
        self.judging.all || changes.is_empty()
    }

    fn dependencies(&self, changes: &mut Vec<Change>) -> Result<(), P::Error> {
        for dep in &self.stage.deps {
            if !self.wants_more(changes) {
                return Ok(());
            }
            let locked = self.locked.and_then(|entry| entry.dep(&dep.path)?.id);
            let change = match self.present.content(&dep.place)? {
                Some(content) if Some(content.id) == locked => None,
                Some(_) => Some(PathChange::Modified),
                None => match self.judging.allow_missing {
                    None => Some(PathChange::Missing),
                    Some(upstream) => upstream(&dep.place)
                        .is_some_and(|made| Some(made) != locked)
                        .then_some(PathChange::Modified),
                },
            };
            changes.extend(change.map(|change| Change::Dependency(dep.place.to_string(), change)));
        }
        for dep in &self.stage.params {
            if !self.wants_more(changes) {
                return Ok(());
            }
            let change = self.parameters(dep)?;
            changes.extend(change.map(|change| Change::Parameters(dep.place.to_string(), change)));
        }
        Ok(())
    }

    fn parameters(&self, dep: &ParameterDependency) -> Result<Option<ParameterChange>, P::Error> {
        let Some(file) = self.present.parameters(&dep.place)? else {
            let allowed = self.judging.allow_missing.is_some();
            return Ok((!allowed).then_some(ParameterChange::Missing));
        };
        let now = params::select(&dep.place.to_string(), &file, &dep.keys)?;
        let Some(locked) = self.locked.and_then(|entry| entry.params_of(&dep.path)) else {
            // A key that is missing is worth more than the news that the file is new: the stage cannot run.
            let missing = missing_keys(&dep.keys, &now);
            return Ok(Some(if missing.is_empty() {
                ParameterChange::New
            } else {
                ParameterChange::Keys(missing)
            }));
        };
        let mut keys: Vec<&str> = dep.keys.iter().map(String::as_str).collect();
        if keys.is_empty() {
            keys = now.iter().map(|(key, _)| key.as_str()).collect();
            let known = |(key, _): &&(String, Value)| !now.iter().any(|(other, _)| other == key);
            keys.extend(locked.iter().filter(known).map(|(key, _)| key.as_str()));
        }
        let value = |values: &[(String, Value)], key: &str| {
            values
                .iter()
                .find(|(known, _)| known == key)
                .map(|(_, value)| value.clone())
        };
        let changed: Vec<(String, KeyChange)> = keys
            .into_iter()
            .filter_map(|key| {
                let change = match (value(&now, key), value(locked, key)) {
                    (None, _) if dep.keys.is_empty() => KeyChange::Removed,
                    (None, _) => KeyChange::Missing,
                    (Some(_), None) => KeyChange::New,
                    (Some(now), Some(then)) if now != then => KeyChange::Modified,
                    _ => return None,
                };
                Some((key.to_owned(), change))
            })
            .collect();
        Ok((!changed.is_empty()).then_some(ParameterChange::Keys(changed)))
    }

    fn outputs(&self, changes: &mut Vec<Change>) -> Result<(), P::Error> {
        for out in &self.stage.outs {
            if !self.wants_more(changes) {
                return Ok(());
            }
            let locked = self.locked.and_then(|entry| entry.out(&out.path)?.id);
            let lost = match locked {
                Some(id) if out.cache => !self.present.is_cached(id)?,
                _ => false,
            };
            let change = match self.present.content(&Place::Inside(out.place.clone()))? {
                _ if lost => Some(PathChange::NotCached),
                None => Some(PathChange::Missing),
                Some(content) if Some(content.id) == locked => None,
                Some(_) => Some(PathChange::Modified),
            };
            let allowed = self.judging.allow_missing.is_some();
            let change = change.filter(|change| !allowed || *change == PathChange::Modified);
            changes.extend(change.map(|change| Change::Output(out.place.to_string(), change)));
        }
        Ok(())
    }

    fn outs_are_cached(&self) -> Result<bool, P::Error> {
        for out in &self.stage.outs {
            let locked = self.locked.and_then(|entry| entry.out(&out.path));
            let Some((locked, id)) = locked.and_then(|locked| Some((locked, locked.id?))) else {
                return Ok(false);
            };
            let cached = self.present.is_cached(id)? || {
                // Content that is not meant for the cache comes with the `dvc.yaml`, as from git or in a wheel.
                let place = Place::Inside(out.place.clone());
                let now = if out.cache {
                    None
                } else {
                    self.present.content(&place)?
                };
                now.is_some_and(|now| now.id == id && now.isexec == locked.isexec)
            };
            if !cached {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn missing_keys(keys: &[String], now: &[(String, Value)]) -> Vec<(String, KeyChange)> {
    keys.iter()
        .filter(|key| !now.iter().any(|(known, _)| known == *key))
        .map(|key| (key.clone(), KeyChange::Missing))
        .collect()
}
