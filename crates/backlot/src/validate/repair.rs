//! Repairs: programs that correct what checks found, in a copy of the output, which is checked again before anything of it is taken over.
//!
//! Invariants: a repair gets only what its check found and nobody waived; all checks run again on the copy, and nothing is taken over unless those that were
//! repaired pass now and none that passed before does not; what is replaced is kept for a month; a file that somebody changed meanwhile
//! stops it. What a stage made and a repair changed is recorded as what it makes, and not remembered as the result of its inputs. Deliberately absent:
//! asking people (the command), and when checks run by themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backlot_core::{LinkMode, file, link};
use backlot_dvc::TrackedPointer;
use backlot_dvc::pipeline::PIPELINE_FILE;
use serde::{Deserialize, Serialize};

use crate::error::{Result, ValidateError};
use crate::files::tracked::Tracked;
use crate::pipelines::repro::{ReproOptions, check};
use crate::pipelines::stale::StageStatus;
use crate::project::output::Output;
use crate::validate::declared::{Check, CheckLevel, Occasion};
use crate::validate::files::chosen;
use crate::validate::found::{CheckItem, Outcome};
use crate::validate::private_copy::{PrivateCopy, RepairChange, RepairKind};
use crate::validate::report::{CheckResult, ValidateOptions, ValidateReport};
use crate::validate::run::Purpose;
use crate::workspace::Opened;

/// How long what repairs replaced is kept.
const KEPT: Duration = Duration::from_hours(30 * 24);

/// The result of a repair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RepairRun {
    /// The check.
    pub check: String,
    /// The exit state of its program: `pass` if it succeeded.
    pub outcome: Outcome,
    /// The items that it reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<CheckItem>,
}

/// The changes that repairs would make to an output.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RepairPlan {
    /// The report of the checks of the output.
    pub before: ValidateReport,
    /// The repairs that ran, in the order of their checks. None if no check that did not pass has one.
    pub repairs: Vec<RepairRun>,
    /// The files that they changed in the copy.
    pub changes: Vec<RepairChange>,
    /// The report of the checks of the copy; `None` if nothing was repaired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ValidateReport>,
    /// The reason why it cannot be applied, if it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Whether it was applied.
    pub applied: bool,
    /// The folder that has what was replaced, for a month; `None` if nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
    /// The copy, until it is taken over or left.
    #[serde(skip)]
    copy: Option<Arc<RepairCopy>>,
}

/// A copy, and what is known of the output that it was made of.
#[derive(Debug)]
struct RepairCopy {
    asset: String,
    copy: PrivateCopy,
    changes: BTreeMap<PathBuf, RepairChange>,
    /// What files that would be replaced were when they were copied: length and time of the last change.
    seen: BTreeMap<PathBuf, Option<Seen>>,
}

type Seen = (u64, Option<std::time::SystemTime>);

impl RepairPlan {
    /// Whether there are changes that can be applied.
    pub fn can_be_applied(&self) -> bool {
        !self.applied && self.refused.is_none() && !self.changes.is_empty()
    }

    /// The error that blocks a publish after that.
    pub fn failure(&self) -> Option<ValidateError> {
        match &self.after {
            Some(after) if self.applied => after.failure(),
            _ => self.before.failure(),
        }
    }
}

fn seen(path: &Path) -> Option<Seen> {
    let found = fs_err::metadata(path).ok()?;
    Some((found.len(), found.modified().ok()))
}

impl Opened {
    /// What the repairs of checks that do not pass would do. Nothing of the output is changed.
    pub(crate) fn plan_repairs(&self, asset: &str, options: &ValidateOptions) -> Result<RepairPlan> {
        let purpose = self.purpose_of(options)?;
        let output = self.output(asset)?;
        let before = self.run_checks(&output, &purpose)?;
        let mut plan = RepairPlan {
            before,
            repairs: Vec::new(),
            changes: Vec::new(),
            after: None,
            refused: None,
            applied: false,
            kept: None,
            copy: None,
        };
        let to_repair = self.to_repair(&output, &purpose, &plan.before)?;
        if to_repair.is_empty() {
            return Ok(plan);
        }
        let tracked = self.tracked_of_output(&output)?;
        let files = self.files_to_check(&output, &tracked)?;
        let mut wanted: BTreeSet<PathBuf> = BTreeSet::new();
        for (check, _) in &to_repair {
            let of_check = chosen(&files, check.files.as_deref());
            wanted.extend(of_check.into_iter().filter_map(|file| file.source.clone()));
        }
        let outs: Vec<PathBuf> = tracked
            .pointers
            .iter()
            .flat_map(TrackedPointer::located_outs)
            .map(|(place, _)| place)
            .collect();
        let leave = |path: &Path| outs.iter().any(|out| path.starts_with(out)) && !wanted.contains(path);
        let root = output.project.root.clone();
        let copy = PrivateCopy::make(&self.state_dir().join("repairs"), &root, &leave)?;
        let known: BTreeMap<PathBuf, Option<Seen>> = wanted_times(&root, &copy);
        let shadow = Output::load(copy.root())?;
        for (check, items) in &to_repair {
            let (outcome, said) = self.run_repair(&shadow, &purpose, check, items)?;
            plan.repairs.push(RepairRun {
                check: check.id.clone(),
                outcome,
                items: said,
            });
            if outcome != Outcome::Pass {
                plan.refused = Some(format!("the repair of {} did not end well", check.id));
                return Ok(plan);
            }
        }
        let changes = copy.changes()?;
        plan.changes = changes.values().cloned().collect();
        if !self.stages_of(&tracked, &root, changes.keys()).is_empty() {
            plan.refused = self.stale_stage(&output)?;
            if plan.refused.is_some() {
                return Ok(plan);
            }
        }
        copy.complete()?;
        let after = self.run_checks(&Output::load(copy.root())?, &purpose)?;
        plan.refused = refusal(&plan, &after);
        plan.after = Some(after);
        plan.copy = Some(Arc::new(RepairCopy {
            asset: asset.to_owned(),
            seen: changes
                .keys()
                .map(|path| (path.clone(), known.get(path).copied().flatten()))
                .collect(),
            copy,
            changes,
        }));
        Ok(plan)
    }

    /// The checks that do not pass and have a repair, with what they found and nobody waived.
    fn to_repair(
        &self,
        output: &Output,
        purpose: &Purpose,
        report: &ValidateReport,
    ) -> Result<Vec<(Check, Vec<CheckItem>)>> {
        let studio = self.studio_checks(purpose.target.as_deref())?;
        let checks = Check::of(output, &studio, &self.providers(), purpose.occasion)?;
        let automatic = purpose.occasion == Occasion::Automatic;
        let wants = |check: &Check, result: &CheckResult| {
            let may = check.repair.is_some() && (check.auto_repair || !automatic);
            // Only what stops is repaired where nobody looks.
            let counts = !automatic || check.level == CheckLevel::Error;
            may && counts && result.outcome == Outcome::Fail && !result.waived
        };
        let both = checks.into_iter().zip(&report.checks);
        let failing = both.filter(|(check, result)| wants(check, result));
        let with_items = failing.map(|(check, result)| {
            let open = result.items.iter().filter(|item| !item.waived);
            let items = open.cloned().collect();
            (check, items)
        });
        Ok(with_items.collect())
    }

    /// Take over what repairs did in the copy. An error if somebody changed one of the files meanwhile.
    pub(crate) fn apply_repairs(&self, mut plan: RepairPlan) -> Result<RepairPlan> {
        let Some(copy) = plan.copy.take().filter(|_| plan.can_be_applied()) else {
            return Ok(plan);
        };
        let held = self.hold()?;
        let output = held.output_to_change(&copy.asset)?;
        let root = output.project.root.clone();
        let tracked = held.tracked_of_output(&output)?;
        for (path, before) in &copy.seen {
            if seen(&root.join(path)) != *before {
                return Err(ValidateError::BadRepair {
                    path: path.display().to_string(),
                    reason: "it was changed in the meantime".to_owned(),
                }
                .into());
            }
        }
        let aside = held.repaired_folder(&copy.asset);
        for (path, change) in &copy.changes {
            let target = root.join(path);
            if change.before.is_some() {
                let kept = aside.join(path);
                fs_err::create_dir_all(kept.parent().unwrap_or(&aside))?;
                // Another name is enough: what comes in its place is another file.
                let modes = [LinkMode::Hardlink, LinkMode::Reflink, LinkMode::Copy];
                link::place_at(&target, &kept, &modes, true)?;
            }
            if change.kind == RepairKind::Removed {
                file::remove(&target)?;
                continue;
            }
            if let Some(folder) = target.parent() {
                fs_err::create_dir_all(folder)?;
            }
            file::rename(&copy.copy.root().join(path), &target)?;
        }
        let stages = held.stages_of(&tracked, &root, copy.changes.keys());
        drop(held);
        if !stages.is_empty() {
            self.record_repaired(stages)?;
        }
        plan.applied = true;
        plan.kept = aside.is_dir().then(|| self.display_path(&aside));
        Ok(plan)
    }

    /// A new folder for files that repairs replace. Those of long ago are removed.
    fn repaired_folder(&self, asset: &str) -> PathBuf {
        let all = self.state_dir().join("repaired");
        let now = self.context().now();
        let before = now.before(KEPT);
        for entry in fs_err::read_dir(&all).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let at = name
                .to_str()
                .and_then(|name| name.split('-').next()?.parse::<u64>().ok());
            if at.is_some_and(|at| at < before.0) {
                file::remove(&entry.path()).ok();
            }
        }
        all.join(format!("{:013}-{asset}", now.0))
    }

    /// The stages that make some files of a project, as targets name them.
    fn stages_of<'p>(
        &self,
        tracked: &Tracked,
        root: &Path,
        paths: impl Iterator<Item = &'p PathBuf>,
    ) -> BTreeSet<String> {
        let paths: Vec<PathBuf> = paths.map(|path| root.join(path)).collect();
        let is_meant = |pointer: &&TrackedPointer| {
            let mut outs = pointer.located_outs();
            outs.any(|(place, _)| paths.iter().any(|path| path.starts_with(&place)))
        };
        let pointers = tracked.pointers.iter().filter(is_meant);
        let made = pointers.filter_map(|pointer| pointer.made_by.as_ref());
        made.map(|made| {
            let file = made.lock.with_file_name(PIPELINE_FILE);
            format!("{}:{}", self.display_path(&file), made.stage)
        })
        .collect()
    }

    /// What stages made and a repair changed is what they make from now on.
    fn record_repaired(&self, stages: BTreeSet<String>) -> Result<()> {
        let options = ReproOptions {
            targets: stages.into_iter().collect(),
            single: true,
            record: true,
            ..ReproOptions::default()
        };
        check(&self.reproduce(&options)?)
    }

    /// Why what stages made cannot be repaired: only of those that are up to date it is known that nothing but the repair changed it.
    fn stale_stage(&self, output: &Output) -> Result<Option<String>> {
        let states = self.stage_states(true)?;
        let of_output = states
            .iter()
            .filter(|one| one.asset.as_ref() == Some(&output.name));
        let mut stale = of_output.filter(|one| !one.state.is_settled());
        let told =
            |one: &StageStatus| format!("stage {} is {}: run `repro` first", one.stage, one.state.as_str());
        Ok(stale.next().map(told))
    }

    /// Repair the findings of failed checks that declare `auto_repair`, for runs without a person. Returns the ids of the checks
    /// whose findings were repaired.
    pub(crate) fn repair_automatically(&self, asset: &str) -> Result<Vec<String>> {
        let options = ValidateOptions::new().automatic(true);
        let plan = self.plan_repairs(asset, &options)?;
        if !plan.can_be_applied() {
            return Ok(Vec::new());
        }
        let checks = plan.repairs.iter().map(|repair| repair.check.clone()).collect();
        let is_applied = self.apply_repairs(plan)?.applied;
        Ok(if is_applied { checks } else { Vec::new() })
    }
}

/// When files that were copied were changed last.
fn wanted_times(root: &Path, copy: &PrivateCopy) -> BTreeMap<PathBuf, Option<Seen>> {
    let copied = copy.copied().iter();
    copied
        .map(|path| (path.clone(), seen(&root.join(path))))
        .collect()
}

/// Why repairs cannot be taken over: a check that was repaired still does not pass, or one that passed does not any more.
fn refusal(plan: &RepairPlan, after: &ValidateReport) -> Option<String> {
    if plan.changes.is_empty() {
        return Some("nothing was changed".to_owned());
    }
    let passes = |result: &CheckResult| result.outcome == Outcome::Pass || result.waived;
    for (old, new) in plan.before.checks.iter().zip(&after.checks) {
        let repaired = plan.repairs.iter().any(|repair| repair.check == old.check);
        if !passes(new) && (passes(old) || repaired) {
            let how = if repaired { "still" } else { "then" };
            return Some(format!("{how} not passed: {}", new.in_a_line()));
        }
    }
    (plan.before.checks.len() != after.checks.len()).then(|| "a repair changed the checks".to_owned())
}
