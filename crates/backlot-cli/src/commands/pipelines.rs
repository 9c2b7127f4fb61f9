//! Running the stages of pipelines, and looking at them.

use std::collections::BTreeMap;

use backlot::{
    ChangeOptions, Error, NewStage, Picture, PictureNode, PictureTone, ReproOptions, ReproReport,
    ResultsReport, StageEditReport, StageNode, StageOutcome, StageReport, Workspace, text,
};
use serde::Serialize;

use crate::args::{DagArgs, ReproArgs, ResultArgs, RunStageArgs, Stage, StageAddArgs, StageTargets};
use crate::errors::for_people;
use crate::output::{Answer, columns, with_schema, would};
use crate::session::Session;

fn options(session: &Session, results: &ResultArgs) -> ReproOptions {
    ReproOptions::new()
        .folder(Some(session.here.clone()))
        .force(results.force)
        .pull(results.pull)
        .remote(results.remote.clone())
        .allow_missing(results.allow_missing)
        .dry_run(results.dry_run)
}

pub(super) fn repro(session: &Session, args: &ReproArgs) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let options = options(session, &args.results)
        .targets(args.targets.clone())
        .single(args.single_item)
        .downstream(args.downstream)
        .keep_going(args.keep_going)
        .jobs(args.jobs.map(std::num::NonZero::get));
    if args.plan_json {
        let plan = workspace.plan_repro(&options, &session.context)?;
        let mut answer = Answer::new(&plan, "");
        answer.text = format!("{:#}", with_schema(answer.json.clone(), &session.command));
        return Ok(answer);
    }
    let report = workspace.repro(&options, &session.context)?;
    let mut answer = Answer::new(&report, describe(&report));
    answer.failure = failure(&report);
    Ok(answer)
}

/// Moves results of stages by names of assets and the name of a remote.
pub(super) type MoveResults = fn(
    &Workspace,
    &[String],
    Option<&str>,
    &ChangeOptions,
    &backlot::Context,
) -> Result<ResultsReport, Error>;

/// The report of a push or pull with the transferred run cache entries, if requested.
pub(super) fn with_results(
    session: &Session,
    mut answer: Answer,
    results: Option<MoveResults>,
    (names, remote, dry_run): (&[String], Option<&str>, bool),
) -> Result<Answer, Error> {
    let Some(results) = results else {
        return Ok(answer);
    };
    let changes = ChangeOptions::new().dry_run(dry_run);
    let report = results(&session.open()?, names, remote, &changes, &session.context)?;
    answer.text.push_str(&format!(
        "{}moved {} of stages with {} ({})\n",
        would(dry_run),
        text::count(report.results, "result"),
        text::count(report.objects, "object"),
        text::bytes(report.bytes)
    ));
    answer.json["run_cache"] = serde_json::json!(report);
    Ok(answer)
}

/// The report of one stage.
#[derive(Serialize)]
struct OneStage<'a> {
    #[serde(flatten)]
    stage: Option<&'a StageReport>,
    dry_run: bool,
}

pub(super) fn run_stage(session: &Session, args: &RunStageArgs) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let report = workspace.run_stage(&args.stage, &options(session, &args.results), &session.context)?;
    let one = OneStage {
        stage: report.stages.first(),
        dry_run: report.dry_run,
    };
    let mut answer = Answer::new(&one, describe(&report));
    answer.failure = failure(&report);
    Ok(answer)
}

fn failure(report: &ReproReport) -> Option<Box<dyn backlot::Diagnostic>> {
    report.failure().map(|failure| Box::new(failure) as _)
}

const fn words(outcome: StageOutcome) -> &'static str {
    match outcome {
        StageOutcome::Ran => "ran",
        StageOutcome::Restored => "restored",
        StageOutcome::Recorded => "recorded",
        StageOutcome::Skipped => "up to date",
        StageOutcome::Failed => "failed",
        StageOutcome::Dropped => "skipped, depends on a failed stage",
        StageOutcome::NotStarted => "not started",
        StageOutcome::WouldRun => "would run",
        StageOutcome::MayRun => "may run",
        StageOutcome::WouldRestore => "would be restored",
        StageOutcome::WouldRecord => "would be recorded",
        StageOutcome::WouldFail => "would fail",
        _ => outcome.as_str(),
    }
}

fn describe(report: &ReproReport) -> String {
    if report.stages.is_empty() {
        return "no stages; a dvc.yaml in the package of an asset defines them".to_owned();
    }
    let is_shown = |stage: &&StageReport| stage.outcome != StageOutcome::Skipped;
    let row = |stage: &StageReport| vec![stage.stage.clone(), words(stage.outcome).to_owned(), why(stage)];
    let rows: Vec<Vec<String>> = report.stages.iter().filter(is_shown).map(row).collect();
    let mut text = columns(&rows);
    for stage in &report.stages {
        for kept in &stage.kept {
            text.push_str(&format!(
                "{}: the edited output was saved in {}\n",
                stage.stage,
                kept.display()
            ));
        }
        let Some(error) = &stage.error else { continue };
        if error.message.contains(&stage.stage) {
            text.push_str(&format!("\n{}\n", error.message));
        } else {
            text.push_str(&format!("\n{}: {}\n", stage.stage, error.message));
        }
        if let Some(help) = &error.help {
            text.push_str(&format!("  help: {}\n", for_people(help)));
        }
        if let Some(log) = &stage.log {
            text.push_str(&format!("  log:  {}\n", log.display()));
        }
        if let Some(half) = &stage.half {
            text.push_str(&format!("  partial output: {}\n", half.display()));
        }
    }
    let mut counts: Vec<(StageOutcome, u64)> = Vec::new();
    for stage in &report.stages {
        match counts.iter_mut().find(|(outcome, _)| *outcome == stage.outcome) {
            Some((_, count)) => *count += 1,
            None => counts.push((stage.outcome, 1)),
        }
    }
    let counts = counts
        .iter()
        .map(|(outcome, count)| format!("{count} {}", words(*outcome)));
    let counts: Vec<String> = counts.collect();
    text.push_str(&format!(
        "{}: {}\n",
        text::count(report.stages.len() as u64, "stage"),
        counts.join(", ")
    ));
    text
}

/// The first reasons of a stage in one line.
fn why(stage: &StageReport) -> String {
    const FEW: usize = 3;
    let some: Vec<&str> = stage.why.iter().take(FEW).map(String::as_str).collect();
    let more = if stage.why.len() > FEW { "; ..." } else { "" };
    format!("{}{more}", some.join("; "))
}

pub(super) fn stage(session: &Session, command: &Stage) -> Result<Answer, Error> {
    match command {
        Stage::List { targets } => list(session, targets),
        Stage::Add(args) => add(session, args),
        Stage::Remove(args) => {
            let dry_run = args.dry.dry_run;
            let workspace = session.open()?;
            let report = workspace.remove_stages(
                &args.targets,
                &session.here,
                &ChangeOptions::new().dry_run(dry_run),
                &session.context,
            )?;
            Ok(edited(&report, "removed"))
        }
        Stage::Freeze(args) => freeze(session, args, true),
        Stage::Unfreeze(args) => freeze(session, args, false),
    }
}

fn add(session: &Session, args: &StageAddArgs) -> Result<Answer, Error> {
    let new = NewStage::new()
        .name(args.name.clone())
        .command(args.command.clone())
        .desc(args.desc.clone())
        .wdir(args.wdir.clone())
        .deps(args.deps.clone())
        .params(args.params.clone())
        .outs(args.outs.clone())
        .outs_no_cache(args.outs_no_cache.clone())
        .metrics(args.metrics.clone())
        .metrics_no_cache(args.metrics_no_cache.clone())
        .plots(args.plots.clone())
        .plots_no_cache(args.plots_no_cache.clone())
        .always_changed(args.always_changed)
        .replace(args.force);
    let workspace = session.open()?;
    let report = workspace.add_stage(&new, &session.here, &args.dry.changes(), &session.context)?;
    Ok(edited(&report, "added"))
}

fn freeze(session: &Session, args: &StageTargets, frozen: bool) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let (targets, changes) = (&args.targets, args.dry.changes());
    let report = if frozen {
        workspace.freeze_stages(targets, &session.here, &changes, &session.context)?
    } else {
        workspace.unfreeze_stages(targets, &session.here, &changes, &session.context)?
    };
    Ok(edited(&report, if frozen { "froze" } else { "unfroze" }))
}

fn edited(report: &StageEditReport, verb: &str) -> Answer {
    let line = |one: &backlot::EditedStage| {
        let state = if one.changed { "" } else { " (unchanged)" };
        format!(
            "{}{verb} {}:{}{state}\n",
            would(report.dry_run),
            one.file,
            one.stage
        )
    };
    Answer::new(report, report.stages.iter().map(line).collect::<String>())
}

fn list(session: &Session, targets: &[String]) -> Result<Answer, Error> {
    let nodes = nodes(session, targets)?;
    let stages: Vec<&StageNode> = nodes.iter().filter(|node| node.is_stage).collect();
    let mut text = String::new();
    for stage in &stages {
        let frozen = if stage.frozen { " (frozen)" } else { "" };
        text.push_str(&format!("{}{frozen}\n", stage.name));
        if let Some(desc) = &stage.desc {
            text.push_str(&format!("  {}\n", text::printable(desc)));
        }
        for (label, lines) in [
            ("runs", &stage.commands),
            ("reads", &stage.deps),
            ("makes", &stage.outs),
        ] {
            for line in lines {
                text.push_str(&format!("  {label:<5} {}\n", text::printable(line)));
            }
        }
    }
    if stages.is_empty() {
        "no stages; a dvc.yaml in the package of an asset defines them".clone_into(&mut text);
    }
    Ok(Answer::new(&serde_json::json!({ "stages": stages }), text))
}

fn nodes(session: &Session, targets: &[String]) -> Result<Vec<StageNode>, Error> {
    let workspace = session.open()?;
    workspace.stages(targets, Some(&session.here), &session.context)
}

pub(super) fn dag(session: &Session, args: &DagArgs) -> Result<Answer, Error> {
    let nodes = nodes(session, &args.targets)?;
    let text = if let Some(drawn) = args.form.draw(|| picture(&nodes)) {
        drawn
    } else if nodes.is_empty() {
        "no stages; a dvc.yaml in the package of an asset defines them".to_owned()
    } else {
        let line = |node: &StageNode| {
            let needs = node.needs.iter().map(|need| format!("  needs {need}\n"));
            format!("{}\n{}", node.name, needs.collect::<String>())
        };
        nodes.iter().map(line).collect()
    };
    Ok(Answer::new(&serde_json::json!({ "nodes": nodes }), text))
}

/// The stages with an arrow from what is needed to what needs it.
fn picture(nodes: &[StageNode]) -> Picture {
    let places: BTreeMap<&str, usize> = nodes
        .iter()
        .enumerate()
        .map(|(at, node)| (node.name.as_str(), at))
        .collect();
    let drawn = nodes.iter().map(|node| {
        let (label, tone) = match (node.is_stage, node.frozen) {
            (false, _) => ("tracked", PictureTone::Root),
            (true, true) => ("frozen", PictureTone::Held),
            (true, false) => ("", PictureTone::Active),
        };
        let parents = node
            .needs
            .iter()
            .filter_map(|need| places.get(need.as_str()).copied());
        PictureNode {
            name: text::printable(&node.name),
            versions: node.desc.as_deref().map(text::printable).unwrap_or_default(),
            label: label.to_owned(),
            details: node
                .commands
                .iter()
                .map(|command| text::printable(command))
                .collect(),
            tone,
            level: 0,
            parents: parents.collect(),
        }
    });
    Picture::of_graph(text::count(nodes.len() as u64, "stage"), drawn.collect())
}
