//! The cases of real DVC, run by the engine itself: see `pipeline/tests/golden.rs`.

use std::path::{Path, PathBuf};

use backlot_core::Context;
use backlot_store::{Cache, StatCache};
use fs_err as fs;

use super::super::{LocalExecutor, Outcome, Project, RunOptions, reproduce};
use super::environment;
use crate::error::Error;
use crate::pipeline::PipelineError;
use crate::pipeline::tests::bench::{Options, Report};
use crate::pipeline::tests::golden::Engine;

struct Real {
    root: PathBuf,
}

/// An engine for a case, with the cache where DVC has it.
pub(in crate::pipeline) fn engine(root: &Path) -> Box<dyn Engine> {
    Box::new(Real {
        root: root.canonicalize().expect("a path"),
    })
}

impl Engine for Real {
    fn repro(&self, arguments: &[String], shell: &str, side_by_side: bool) -> Report {
        let asked = Options::parse(arguments);
        let options = RunOptions::default()
            .jobs(if side_by_side { 4 } else { 1 })
            .targets(asked.targets.clone())
            .reach(asked.reach)
            .recursive(asked.recursive)
            .glob(asked.glob)
            .force(asked.force)
            .force_downstream(asked.force_downstream)
            .keep_going(asked.keep_going)
            .ignore_errors(asked.ignore_errors)
            .no_commit(asked.no_commit)
            .no_run_cache(asked.no_run_cache)
            .dry(asked.dry);
        let state = self.root.with_file_name("state");
        fs::create_dir_all(&state).expect("made");
        let cache = Cache::open(&self.root.join(".dvc/cache")).expect("opened");
        let stat = StatCache::open(&state.join("stat.db"))
            .expect("opened")
            .beside(&cache);
        let project = Project::new(&self.root, &state, &cache, &stat);
        let executor = LocalExecutor::new(environment()).with_shell(shell);
        let mut seen = Report::default();
        match reproduce(&project, &options, &executor, &Context::default()) {
            Ok(report) => see(report, &asked, &mut seen),
            Err(Error::Pipeline(error)) => {
                seen.failed = true;
                seen.error = Some(error);
            }
            Err(error) => panic!("{error:?}"),
        }
        seen
    }
}

/// The engine's report in the words of the cases.
fn see(report: super::super::Report, asked: &Options, seen: &mut Report) {
    for stage in report.stages {
        let list = match stage.outcome {
            Outcome::Ran | Outcome::WouldRun | Outcome::WouldRestore => Some(&mut seen.ran),
            Outcome::Failed if !stage.commands.is_empty() => Some(&mut seen.ran),
            Outcome::Restored => Some(&mut seen.restored),
            // DVC takes what is above as unchanged.
            Outcome::Skipped | Outcome::MayRun => Some(&mut seen.skipped),
            _ => None,
        };
        if let Some(list) = list {
            list.push(stage.stage.clone());
        }
        seen.failed |= stage.outcome == Outcome::Failed && !asked.ignore_errors;
        seen.commands.extend(stage.commands);
        if let Some(error) = &stage.error
            && error.code == "pipeline::foreign_parameter"
            && stage.changes.is_empty()
        {
            seen.error = Some(PipelineError::ForeignParameter {
                file: String::new(),
                key: String::new(),
                kind: "a set",
            });
        }
        let first = stage.changes.into_iter().next();
        seen.why.extend(first.map(|change| (stage.stage, change)));
    }
}
