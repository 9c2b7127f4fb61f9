//! A cascade as a job of another scheduler: a step an asset, each one attempt by `backlot cascade run-node`.
//!
//! The plan is written into the repo first, as when it is run: workers find it there by its id. Invariants: no secret is in a job; what needs a person,
//! and what follows that, is no step of it. Deliberately absent: submitting.

use std::collections::BTreeSet;
use std::str::FromStr;

use backlot_cascade::{CascadeId, Decision, Journal as _, NodeId, Plan, PlanNode, RunState};
use backlot_core::text;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cascade::executors::launch::{Launch, digest};
use crate::cascade::ledger::{Owner, RepoJournal};
use crate::cascade::run::CascadeOptions;
use crate::error::{CascadeError, Result};
use crate::workspace::Opened;

/// The longest name of a step or job, and the most steps that one may depend on, of Open Job Description 2023-09.
const LONGEST_NAME: usize = 64;
const MOST_DEPENDENCIES: usize = 1_024;
/// How long an attempt has to end after it was asked to, in seconds.
const GRACE: u64 = 30;

/// A format of jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum JobFormat {
    /// Open Job Description, `jobtemplate-2023-09`.
    #[default]
    Openjd,
}

impl FromStr for JobFormat {
    type Err = String;
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "openjd" => Ok(Self::Openjd),
            _ => Err(format!("unknown format `{text}`; write openjd")),
        }
    }
}

/// A cascade as a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CascadeExport {
    /// The cascade.
    pub cascade: CascadeId,
    /// The repo that has its journal.
    pub repo: String,
    /// The format.
    pub format: JobFormat,
    /// The job.
    pub job: Value,
    /// How many steps it has.
    pub steps: usize,
    /// Assets that are no steps: they need a person, or follow one that does.
    pub left_out: Vec<NodeId>,
    /// Whether the plan was not written into the repo.
    pub dry_run: bool,
}

impl CascadeExport {
    /// The job as a file: JSON, or YAML.
    pub fn to_text(&self, json: bool) -> String {
        let text = if json {
            serde_json::to_string_pretty(&self.job)
                .map(|text| text + "\n")
                .ok()
        } else {
            serde_yaml_ng::to_string(&self.job).ok()
        };
        text.expect("texts, numbers and lists")
    }
}

impl Opened {
    /// A cascade as a job: the one with an id, else what a release affects, else all that is not current.
    pub(crate) fn export_cascade(
        &self,
        (id, what): (Option<&str>, Option<&str>),
        format: JobFormat,
        options: &CascadeOptions,
    ) -> Result<CascadeExport> {
        let (home, plan) = match id {
            Some(_) => {
                let (home, id) = self.find_cascade(id)?;
                let entries = RepoJournal::new(self.ledger(&home)?, &id).load(0)?.entries;
                (home, RunState::from_entries(&entries)?.plan().as_ref().clone())
            }
            None => self.plan_to_export(what, options)?,
        };
        let owner = Owner::new(self, None);
        let launch = self.launch(&plan.id, &options.executor, options.flags(), &owner)?;
        let (job, left_out) = template(&plan, &launch)?;
        Ok(CascadeExport {
            cascade: plan.id.clone(),
            repo: home,
            format,
            steps: job["steps"].as_array().map_or(0, Vec::len),
            job,
            left_out,
            dry_run: options.dry_run,
        })
    }

    fn plan_to_export(&self, what: Option<&str>, options: &CascadeOptions) -> Result<(String, Plan)> {
        let report = self.affected(what, options.repo.as_deref())?;
        let plan = Plan::new(&report, options.limits(self.executor_kind(&options.executor)?));
        let home = self.home_of(&plan, options)?;
        if options.dry_run {
            return Ok((home, plan));
        }
        if !options.confirmed {
            plan.check_cap()?;
        }
        let plan = self.begin(&plan, &home)?.0;
        Ok((home, plan))
    }
}

/// The job template, and what is not in it.
fn template(plan: &Plan, launch: &Launch) -> Result<(Value, Vec<NodeId>)> {
    let not_exported = |reason: String| CascadeError::NotExported {
        cascade: plan.id.to_string(),
        format: "openjd",
        reason,
    };
    let mut left_out = BTreeSet::new();
    let mut steps = Vec::new();
    for (at, planned) in plan.nodes.iter().enumerate() {
        let by_worker = matches!(planned.dirty.decision, Decision::Build | Decision::UpToDate);
        if !by_worker || planned.follows.iter().any(|parent| left_out.contains(parent)) {
            left_out.insert(at);
            continue;
        }
        if planned.follows.len() > MOST_DEPENDENCIES {
            let follows = text::count(planned.follows.len() as u64, "other");
            return Err(not_exported(format!("{} follows {follows}", planned.dirty.node)).into());
        }
        steps.push(step(plan, planned, launch));
    }
    if steps.is_empty() {
        return Err(not_exported("no worker can build anything of it".to_owned()).into());
    }
    let root = plan.roots.first();
    let root = root.map_or_else(
        || "all that is not current".to_owned(),
        |(node, version)| format!("{} {version}", node.package),
    );
    let job = json!({
        "specificationVersion": "jobtemplate-2023-09",
        "name": short(&format!("{root} {}", &plan.id.0[..8])),
        "description": format!("Backlot cascade {}: what {root} affects", plan.id),
        "steps": steps,
    });
    // Braces would be read as an expression.
    if job.to_string().contains("{{") {
        return Err(not_exported("a path in it has `{{`".to_owned()).into());
    }
    let nodes = left_out.into_iter().map(|at| plan.nodes[at].dirty.node.clone());
    Ok((job, nodes.collect()))
}

fn step(plan: &Plan, planned: &PlanNode, launch: &Launch) -> Value {
    let dirty = &planned.dirty;
    let words = launch.attempt(&dirty.node, "openjd");
    let mut run = json!({
        "command": words[0],
        "args": words[1..],
        "cancelation": { "mode": "NOTIFY_THEN_TERMINATE", "notifyPeriodInSeconds": GRACE },
    });
    if let Some(time) = launch.wall_time() {
        // The attempt watches its own time, and says so.
        run["timeout"] = (time.as_secs() + 4 * GRACE).into();
    }
    let mut step = json!({ "name": short(&dirty.node.to_string()) });
    if !planned.follows.is_empty() {
        let parents = planned.follows.iter().map(|parent| {
            let name = short(&plan.nodes[*parent].dirty.node.to_string());
            json!({ "dependsOn": name })
        });
        step["dependencies"] = parents.collect();
    }
    let amounts = dirty.resources.iter().filter(|(_, units)| **units > 0);
    let amounts: Vec<Value> = amounts
        .map(|(class, units)| json!({ "name": capability(class), "min": units }))
        .collect();
    if !amounts.is_empty() {
        step["hostRequirements"] = json!({ "amounts": amounts });
    }
    step["script"] = json!({ "actions": { "onRun": run } });
    step
}

/// A name that is not too long, and that no other has.
fn short(name: &str) -> String {
    if name.chars().count() <= LONGEST_NAME {
        return name.to_owned();
    }
    let begin: String = name.chars().take(LONGEST_NAME - 11).collect();
    format!("{begin}-{}", digest(name))
}

/// A class of resources as the name of a capability: `amount.licence.houdini`.
fn capability(class: &str) -> String {
    let mut name = "amount".to_owned();
    for part in class.split('.') {
        name.push('.');
        if !part.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
            name.push('_');
        }
        name.extend(part.chars().map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '_'
            }
        }));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_NAME, capability, short};

    #[test]
    fn names_stay_apart_though_they_are_cut() {
        let (one, two) = (
            "review/".to_owned() + &"x".repeat(90) + "a",
            "review/".to_owned() + &"x".repeat(90) + "b",
        );
        assert_ne!(short(&one), short(&two));
        assert_eq!(
            (short(&one).len(), short("review/table")),
            (LONGEST_NAME, "review/table".to_owned())
        );
    }

    #[test]
    fn a_class_is_a_capability_by_the_letters_it_may_have() {
        assert_eq!(capability("licence.houdini"), "amount.licence.houdini");
        assert_eq!(capability("gpu-24.8k"), "amount.gpu_24._8k");
    }
}
