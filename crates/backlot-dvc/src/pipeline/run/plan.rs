//! Planning a run without running anything.
//!
//! Invariants: nothing is changed; stages stand in the order in which they can be made; a stage below one that would run is
//! said to run only if it would whatever that makes, otherwise that it may. Deliberately absent: `dvc repro --dry`, which
//! takes what is above as unchanged.

use std::collections::{BTreeMap, HashMap, HashSet};

use backlot_core::{Blake3, Context, RelPath};
use serde::Serialize;

use super::super::{Action, Change, Content, Graph, Judging, LockEntry, Output, Place, Stage, action, judge};
use super::options::RunOptions;
use super::project::{Locks, Project, makers};
use super::stage::{self, Known, Settings, out_content};
use super::world::{Measured, Overlay, World};
use crate::error::Result;

/// The planned action of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Planned {
    /// Its commands would run.
    Run,
    /// Its commands may run: it depends on what comes of a stage that would run.
    MayRun,
    /// Its outputs would be put back from the cache.
    Restore,
    /// Its entry in the lock would be rewritten, without running anything.
    Record,
    /// Nothing: it is up to date.
    Skip,
    /// It would fail: files or parameters are missing.
    Fail,
    /// It would not be looked at, since one above would fail.
    Drop,
}

/// A stage of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PlannedStage {
    /// The stage, as targets name it.
    pub stage: String,
    /// The planned action.
    pub action: Planned,
    /// Why, as parts of sentences.
    pub why: Vec<String>,
    /// The stages because of which it may run.
    pub because: Vec<String>,
    /// The stages of the plan that have to be done before.
    pub needs: Vec<String>,
    /// The groups of which only some stages may run at a time.
    pub mutex: Vec<String>,
    /// Its commands, each for a shell of its own.
    pub commands: Vec<String>,
    /// Where they run, relative to the project.
    pub folder: String,
    /// Its outputs, relative to the project.
    pub outs: Vec<String>,
    /// The same reasons, as values.
    #[serde(skip)]
    pub changes: Vec<Change>,
    /// Whether its lock has content for all its outputs: it was made once.
    #[serde(skip)]
    pub is_recorded: bool,
}

/// The plan of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The stages, each after those it needs.
    pub stages: Vec<PlannedStage>,
}

impl Plan {
    /// The stage of a name.
    pub fn get(&self, stage: &str) -> Option<&PlannedStage> {
        self.stages.iter().find(|planned| planned.stage == stage)
    }

    /// How many stages something would, or may, be done with.
    pub fn count(&self, action: Planned) -> usize {
        self.stages.iter().filter(|stage| stage.action == action).count()
    }
}

/// Plan a run. With [`RunOptions::pull`], results to restore are fetched.
pub fn plan(project: &Project<'_>, options: &RunOptions, context: &Context) -> Result<Plan> {
    let graph = project.graph(context)?;
    let order = graph.select(&options.selection())?;
    plan_of(project, &graph, &order, options, context)
}

/// Plan a run of these nodes.
pub(super) fn plan_of(
    project: &Project<'_>,
    graph: &Graph,
    order: &[usize],
    options: &RunOptions,
    context: &Context,
) -> Result<Plan> {
    let stages = || order.iter().filter_map(|node| graph.stage(*node));
    let mut places: Vec<Place> = Vec::new();
    for stage in stages() {
        places.extend(stage.deps.iter().map(|dep| dep.place.clone()));
        places.extend(stage.outs.iter().map(|out| Place::Inside(out.place.clone())));
    }
    let world = World::frozen(project, context, places.iter())?;
    let locks = Locks::load(project, context, graph.pipelines().stages.iter())?;
    let planner = Planner {
        graph,
        options,
        locks: &locks,
        world: &world,
        known: &Known::new(graph, options),
        makers: makers(graph),
        selected: order.iter().copied().collect(),
    };
    let mut known = Outcomes::default();
    let mut plan = Plan::default();
    for node in order {
        context.check()?;
        if let Some(stage) = graph.stage(*node) {
            plan.stages.push(planner.stage(*node, stage, &mut known)?);
        }
    }
    Ok(plan)
}

struct Planner<'a> {
    graph: &'a Graph,
    options: &'a RunOptions,
    locks: &'a Locks<'a>,
    world: &'a World<'a>,
    known: &'a Known<'a>,
    makers: BTreeMap<&'a str, (usize, usize)>,
    selected: HashSet<usize>,
}

/// The state of the stages so far.
#[derive(Default)]
struct Outcomes {
    actions: HashMap<usize, Planned>,
    /// Contents of outputs that would be put back.
    restored: BTreeMap<RelPath, Measured>,
}

/// A stage with the assumed state of the stages above it.
struct Judged<'a> {
    stage: &'a Stage,
    locked: Option<&'a LockEntry>,
    overlay: &'a Overlay<'a>,
    is_forced: bool,
    /// Whether something above would run that it depends on.
    is_open: bool,
}

/// A stage as it would be looked at.
struct Assumed<'a> {
    stage: Stage,
    overlay: Overlay<'a>,
    /// Whether something above would run that it depends on.
    is_open: bool,
}

/// How a dependency is touched by stages above.
enum Touched {
    Not,
    /// It is an output that would be put back.
    Known(Measured),
    /// Its future content is unknown.
    Unknown,
}

impl Planner<'_> {
    fn stage(&self, node: usize, stage: &Stage, known: &mut Outcomes) -> Result<PlannedStage> {
        let locked = self.locks.get(stage);
        let above: &[usize] = if stage.frozen { &[] } else { self.graph.needs(node) };
        let is = |need: &usize, one: Planned, other: Planned| {
            let planned = known.actions.get(need);
            planned.is_some_and(|planned| *planned == one || *planned == other)
        };
        let open = above
            .iter()
            .copied()
            .filter(|need| is(need, Planned::Run, Planned::MayRun));
        let open: Vec<usize> = open.collect();
        let fails = above.iter().any(|need| is(need, Planned::Fail, Planned::Drop));
        let is_dropped = fails && !self.options.ignore_errors;
        let mut assumed = self.assume(stage, locked.as_ref(), known)?;
        // A frozen stage is unaffected by those above.
        assumed.is_open &= !stage.frozen;
        let is_forced = self.is_forced(above, known);
        let judging = Judged {
            stage: &assumed.stage,
            locked: locked.as_ref(),
            overlay: &assumed.overlay,
            is_forced,
            is_open: assumed.is_open,
        };
        let (planned, changes) = self.judge(&judging, known)?;
        let is_new = !stage.frozen && assumed.stage.deps.len() < stage.deps.len();
        let (action, why) = match planned {
            _ if is_dropped => (Planned::Drop, Vec::new()),
            // A stage that has no entry for what is made above cannot be up to date.
            Planned::Skip | Planned::Restore | Planned::Record if is_new => {
                let why = "it has a dependency that was never recorded".to_owned();
                (Planned::Run, vec![why])
            }
            Planned::Skip if assumed.is_open => (Planned::MayRun, Vec::new()),
            Planned::Restore if assumed.is_open => (Planned::Run, texts(&changes)),
            Planned::Run if is_forced && changes.is_empty() => {
                (Planned::Run, vec!["it is forced to run".to_owned()])
            }
            planned => (planned, texts(&changes)),
        };
        known.actions.insert(node, action);
        if action != Planned::Restore {
            known
                .restored
                .retain(|place, _| !stage.outs.iter().any(|out| out.place == *place));
        }
        let is_because = assumed.is_open && !is_dropped;
        let because: &[usize] = if is_because { &open } else { &[] };
        let names = |nodes: &[usize]| nodes.iter().map(|node| self.graph.name(*node)).collect();
        let needs = above.iter().copied().filter(|need| self.selected.contains(need));
        Ok(PlannedStage {
            stage: stage.address(),
            action,
            why,
            because: names(because),
            needs: names(&needs.collect::<Vec<_>>()),
            mutex: Settings::of(stage)?.mutex,
            commands: stage.command_lines().into_iter().map(ToOwned::to_owned).collect(),
            folder: stage.folder.to_string(),
            outs: stage.outs.iter().map(|out| out.place.to_string()).collect(),
            changes,
            is_recorded: stage.outs.iter().all(|out| {
                let recorded = locked.as_ref().and_then(|entry| entry.out(&out.path)?.id);
                recorded.is_some()
            }),
        })
    }

    /// A stage as it would be looked at after those above it: what they put back is there, and what they may make anew is
    /// taken as unchanged, or, where it was never recorded, left out.
    fn assume(&self, stage: &Stage, locked: Option<&LockEntry>, known: &Outcomes) -> Result<Assumed<'_>> {
        let mut assumed = Assumed {
            stage: stage.clone(),
            overlay: Overlay::new(self.world),
            is_open: false,
        };
        for dep in &stage.deps {
            let measured = match self.touched(&dep.place, known)? {
                Touched::Not => continue,
                Touched::Known(measured) => Some(measured),
                Touched::Unknown => {
                    assumed.is_open = true;
                    let before = locked.and_then(|entry| content_of(entry, &dep.path));
                    // It has no proof, and results are not looked for by it.
                    let blake3 = Blake3::from_bytes([0; 32]);
                    before.map(|content| Measured { content, blake3 })
                }
            };
            if measured.is_some() {
                assumed.overlay.known.insert(dep.place.clone(), measured);
            } else {
                assumed.stage.deps.retain(|other| other != dep);
            }
        }
        for dep in &stage.params {
            if !matches!(self.touched(&dep.place, known)?, Touched::Not) {
                assumed.is_open = true;
                assumed.stage.params.retain(|other| other != dep);
            }
        }
        Ok(assumed)
    }

    fn is_forced(&self, above: &[usize], known: &Outcomes) -> bool {
        let made = |need: &usize| matches!(known.actions.get(need), Some(Planned::Run | Planned::Restore));
        self.options.force || (self.options.force_downstream && above.iter().any(made))
    }

    fn judge(&self, judged: &Judged<'_>, known: &mut Outcomes) -> Result<(Planned, Vec<Change>)> {
        let Judged {
            stage,
            locked,
            overlay,
            ..
        } = *judged;
        let upstream = stage::upstream(&self.makers, self.graph, self.locks, self.world);
        let judging = Judging {
            all: true,
            allow_missing: if self.options.allow_missing {
                Some(&upstream)
            } else {
                None
            },
        };
        let mut changes = judge(stage, locked, overlay, judging)?;
        // Nothing is fetched but for a plan that was given where to fetch from.
        let fetch = |out: &Output, id| stage::fetch(self.world, self.options, out, id);
        if let Some(entry) = locked
            && self.options.pull.is_some()
            && !changes.is_empty()
            && stage::is_lost_only(&changes)
        {
            for out in &stage.outs {
                if let Some(content) = out_content(entry, &out.path) {
                    fetch(out, content.id)?;
                }
            }
            changes = judge(stage, locked, overlay, judging)?;
        }
        let restored = match action(stage, locked, &changes, overlay, judged.is_forced)? {
            Action::Skip => return Ok((Planned::Skip, changes)),
            Action::Record => return Ok((Planned::Record, changes)),
            Action::Blocked(missing) => return Ok((Planned::Fail, missing)),
            Action::Restore => {
                let outs = stage.outs.iter();
                outs.map(|out| out_content(locked?, &out.path)).collect()
            }
            Action::Run { ask_run_cache }
                if ask_run_cache && !self.options.no_run_cache && !judged.is_open =>
            {
                self.known.find(stage, overlay, &fetch)?
            }
            Action::Run { .. } => None,
        };
        let Some(restored) = restored else {
            return Ok((Planned::Run, changes));
        };
        for (out, content) in stage.outs.iter().zip(restored) {
            if let Some(measured) = self.world.in_cache(content)? {
                known.restored.insert(out.place.clone(), measured);
            }
        }
        Ok((Planned::Restore, changes))
    }

    /// Whether stages above change the content of a path.
    fn touched(&self, place: &Place, known: &Outcomes) -> Result<Touched> {
        let Some(path) = place.inside() else {
            // The whole project is a dependency of nothing that makes something in it.
            return Ok(Touched::Not);
        };
        let is_open = |node: &usize| matches!(known.actions.get(node), Some(Planned::Run | Planned::MayRun));
        // It is an output, or inside of one.
        let mut folder = Some(path.clone());
        while let Some(out) = folder {
            if let Some((node, _)) = self.makers.get(out.as_str()) {
                if is_open(node) {
                    return Ok(Touched::Unknown);
                }
                return match known.restored.get(&out) {
                    None => Ok(Touched::Not),
                    Some(measured) if out == *path => Ok(Touched::Known(*measured)),
                    Some(measured) => self.inside(&measured.content, &out, path),
                };
            }
            folder = out.parent();
        }
        // Outputs are inside of it.
        let inner = format!("{path}/");
        let mut inside = self.makers.range(inner.as_str()..);
        let mut inside = std::iter::from_fn(|| inside.next().filter(|(out, _)| out.starts_with(&inner)));
        let touched = inside.any(|(out, (node, _))| {
            is_open(node) || known.restored.keys().any(|place| place.as_str() == *out)
        });
        Ok(if touched { Touched::Unknown } else { Touched::Not })
    }

    /// A file of a folder that would be put back.
    fn inside(&self, content: &Content, out: &RelPath, path: &RelPath) -> Result<Touched> {
        let members = self.world.members(content.id)?.unwrap_or_default();
        let member = members.iter().find(|(member, _)| member.below(out) == *path);
        let content = member.map(|(_, id)| Content {
            id: *id,
            size: 0,
            nfiles: None,
            isexec: false,
        });
        let measured = content.map(|content| self.world.in_cache(content)).transpose()?;
        Ok(measured.flatten().map_or(Touched::Unknown, Touched::Known))
    }
}

fn texts(changes: &[Change]) -> Vec<String> {
    changes.iter().map(ToString::to_string).collect()
}

/// The content that an entry has for a dependency.
fn content_of(entry: &LockEntry, path: &str) -> Option<Content> {
    let dep = entry.dep(path)?;
    Some(Content {
        id: dep.id?,
        size: dep.size.unwrap_or(0),
        nfiles: dep.nfiles,
        isexec: dep.isexec,
    })
}
