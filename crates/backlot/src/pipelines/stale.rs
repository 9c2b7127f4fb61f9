//! Which stages are not up to date, for people and before a release.
//!
//! Invariants: nothing is run or written; files that were never pulled count as unchanged, as for all tracked files. A stage that is set to run
//! always says nothing about its outputs by that.

use std::collections::BTreeMap;

use backlot_dvc::pipeline::run::{self, Plan, Planned, PlannedStage, RunOptions};
use backlot_dvc::pipeline::{Change, Graph, Reach};
use serde::{Deserialize, Serialize};

use crate::error::{PipelinesError, Result};
use crate::files::tracked::Tracked;
use crate::pipelines::found::Found;
use crate::project::output::Output;
use crate::workspace::Opened;

/// The state of a stage relative to its dependencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StageState {
    /// Its outputs match its current inputs.
    UpToDate,
    /// A run would run its commands.
    Stale,
    /// It depends on outputs of a stage that is stale.
    NeedsStale,
    /// A run would put its outputs back from the cache.
    Restorable,
    /// A run would only record it.
    Unrecorded,
    /// It cannot run: its dependencies are missing.
    Blocked,
    /// It is set to run always, and nothing else is to be done.
    Always,
}

impl StageState {
    /// The words for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UpToDate => "up to date",
            Self::Stale => "stale",
            Self::NeedsStale => "depends on a stale stage",
            Self::Restorable => "restorable",
            Self::Unrecorded => "not recorded",
            Self::Blocked => "blocked",
            Self::Always => "always runs",
        }
    }

    /// Whether a run has nothing to do for its outputs.
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::UpToDate | Self::Always)
    }
}

/// A stage at a glance.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StageStatus {
    /// The stage, as targets of the workspace's folder name it.
    pub stage: String,
    /// The asset it is of.
    pub asset: Option<String>,
    /// Its state.
    pub state: StageState,
    /// Why, as parts of sentences.
    pub why: Vec<String>,
    /// The stages that make it so.
    pub because: Vec<String>,
}

impl Opened {
    /// The state of all stages of this workspace, each after those it needs; without those of outputs, if these are known to have none.
    pub(crate) fn stage_states(&self, of_outputs: bool) -> Result<Vec<StageStatus>> {
        let found = if of_outputs {
            self.pipelines()?
        } else {
            self.pipelines_beside_outputs()
        };
        let options = RunOptions::default().reach(Reach::Everything);
        self.states_of(&found, options)
    }

    fn states_of(&self, found: &Found, options: RunOptions) -> Result<Vec<StageStatus>> {
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        let project = found.project(&self.state_dir(), &cache, &stat);
        let graph = project.graph(self.context())?;
        if graph.pipelines().stages.is_empty() {
            return Ok(Vec::new());
        }
        let plan = run::plan(&project, &options.allow_missing(true), self.context())?;
        Ok(states(&plan, found, &graph))
    }

    /// An error if outputs of stages of an asset are not those of the present inputs.
    pub(crate) fn refuse_stale(&self, output: &Output, tracked: &Tracked) -> Result<()> {
        if tracked.pointers.iter().all(|one| one.made_by.is_none()) {
            return Ok(());
        }
        let found = self.pipelines()?;
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        let graph = found
            .project(&self.state_dir(), &cache, &stat)
            .graph(self.context())?;
        let targets = found.files_of(&graph, output);
        let nodes = targets.select(&graph, Reach::Needed)?;
        found.check(&graph, &nodes, &self.outputs_dir())?;
        let options = RunOptions::default()
            .targets(targets.names)
            .folder(targets.folder);
        let own = |one: &&StageStatus| one.asset.as_deref() == Some(output.name.as_str());
        let states = self.states_of(&found, options)?;
        let stale: Vec<String> = states
            .iter()
            .filter(own)
            .filter(|one| !one.state.is_settled() && has_outs(&graph, &one.stage))
            .map(described)
            .collect();
        if stale.is_empty() {
            return Ok(());
        }
        Err(PipelinesError::Stale {
            asset: output.name.clone(),
            stages: stale,
        }
        .into())
    }
}

fn has_outs(graph: &Graph, stage: &str) -> bool {
    let stages = &graph.pipelines().stages;
    stages
        .iter()
        .any(|one| one.address() == stage && !one.outs.is_empty())
}

/// `movie` (dependency `frames` changed)
fn described(one: &StageStatus) -> String {
    let name = one.stage.rsplit(':').next().unwrap_or(&one.stage);
    let why = match (one.why.first(), one.because.first()) {
        (Some(why), _) => why.clone(),
        (None, Some(because)) => format!("it depends on {because}, which is stale"),
        (None, None) => one.state.as_str().to_owned(),
    };
    format!("{name} ({why})")
}

fn states(plan: &Plan, found: &Found, graph: &Graph) -> Vec<StageStatus> {
    let stages = &graph.pipelines().stages;
    let files: BTreeMap<String, &backlot_core::RelPath> = stages
        .iter()
        .map(|stage| (stage.address(), &stage.file))
        .collect();
    let mut rows: Vec<StageStatus> = Vec::with_capacity(plan.stages.len());
    for planned in &plan.stages {
        let settled = |name: &String| {
            let row = rows.iter().find(|row| row.stage == *name);
            row.is_none_or(|row| row.state.is_settled())
        };
        let is_open = |name: &&String| {
            let row = rows.iter().find(|row| row.stage == **name);
            row.is_some_and(|row| matches!(row.state, StageState::Stale | StageState::NeedsStale))
        };
        let mut state = state_of(planned, &settled);
        let mut because: Vec<String> = planned.needs.iter().filter(is_open).cloned().collect();
        // The plan takes what is missing as unchanged, also what was never made.
        let is_made = planned.is_recorded || !state.is_settled();
        if !is_made {
            state = StageState::Stale;
        } else if state == StageState::UpToDate && !because.is_empty() {
            state = StageState::NeedsStale;
        }
        for name in planned.because.iter().filter(|name| !settled(name)) {
            if !because.contains(name) {
                because.push(name.clone());
            }
        }
        let why = if is_made {
            planned.why.clone()
        } else {
            vec!["never run".to_owned()]
        };
        let is_settled = state.is_settled();
        rows.push(StageStatus {
            stage: planned.stage.clone(),
            asset: files
                .get(&planned.stage)
                .and_then(|file| found.asset_of(file))
                .map(ToOwned::to_owned),
            state,
            why: if is_settled { Vec::new() } else { why },
            because: if is_settled { Vec::new() } else { because },
        });
    }
    rows
}

fn state_of(planned: &PlannedStage, is_settled: &dyn Fn(&String) -> bool) -> StageState {
    let always = |change: &Change| matches!(change, Change::Always | Change::Callback);
    match planned.action {
        Planned::Skip => StageState::UpToDate,
        Planned::Run if !planned.changes.is_empty() && planned.changes.iter().all(always) => {
            StageState::Always
        }
        Planned::MayRun if planned.because.iter().all(is_settled) => StageState::UpToDate,
        Planned::MayRun => StageState::NeedsStale,
        Planned::Restore => StageState::Restorable,
        Planned::Record => StageState::Unrecorded,
        Planned::Fail | Planned::Drop => StageState::Blocked,
        _ => StageState::Stale,
    }
}
