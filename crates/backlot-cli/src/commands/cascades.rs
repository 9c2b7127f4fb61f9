//! Cascades: run, seen, stopped, continued and undone; and a publish with what comes before and after it.

use std::io::Write as _;

use backlot::{
    AttemptOptions, CascadeEntry, CascadeOptions, CascadePlan, CascadeReport, CascadeRequest, CascadeRow,
    CascadeStatus, CascadeSummary, ChangeOptions, Class, CleanCascadesOptions, CleanCascadesReport,
    Diagnostic as _, DirtyNode, Ending, Error, InstallReport, JournalEvent, NodeEvent, NodeExplained,
    NodeStatus, PublishOptions, RevertOptions, RevertReport, Unchanged, Workspace, text,
};

use crate::args::{CascadeCommand, GraphForm, PushArgs, RunNodeArgs};
use crate::errors;
use crate::host;
use crate::output::{self, Answer, columns, would};
use crate::session::Session;

/// The exit code that asks a scheduler for another attempt.
const TRY_AGAIN: u8 = 75;

pub(super) fn cascade(session: &Session, command: &CascadeCommand) -> Result<Answer, Error> {
    let (workspace, context) = (session.open()?, &session.context);
    let ask = |id: &str, what: CascadeRequest| -> Result<Answer, Error> {
        Ok(status(&workspace.ask_cascade(id, what, context)?))
    };
    let answer = match command {
        CascadeCommand::Run {
            release,
            repo,
            limits,
            background,
            dry,
        } => {
            let options = limits.options(repo.as_deref(), dry.dry_run);
            let options = options.begin_only(*background);
            run(session, &workspace, release.as_deref(), &options)?
        }
        CascadeCommand::Resume {
            id,
            yes,
            keep,
            executor,
            auto_repair,
            background,
            detached,
        } => {
            let options = CascadeOptions::new()
                .confirmed(*yes)
                .keep_failed(*keep)
                .executor(executor.options())
                .auto_repair(*auto_repair)
                .begin_only(*background);
            if *detached {
                return super::background::run(session, &workspace, id, &options);
            }
            resume(session, &workspace, id, &options)?
        }
        CascadeCommand::Status { id, follow, form } => {
            show(session, &workspace, id.as_deref(), (*follow, *form))?
        }
        CascadeCommand::List { most } => list(&workspace.cascades(*most, context)?),
        CascadeCommand::Cancel(args) => ask(&args.id, CascadeRequest::Cancel(args.message.clone()))?,
        CascadeCommand::Pause(args) => ask(&args.id, CascadeRequest::Pause(args.message.clone()))?,
        CascadeCommand::Retry { id, node } => ask(id, CascadeRequest::Retry(node.clone()))?,
        CascadeCommand::Skip { id, node, message } => {
            ask(id, CascadeRequest::Skip(node.clone(), message.clone()))?
        }
        CascadeCommand::Explain { id, node } => explain(&workspace.explain_cascade(id, node, context)?),
        CascadeCommand::Revert {
            id,
            message,
            keep_roots,
            forward,
            no_yank,
            dry,
        } => {
            let options = RevertOptions::new()
                .message(message.clone())
                .keep_roots(*keep_roots)
                .forward(*forward)
                .no_yank(*no_yank)
                .dry_run(dry.dry_run);
            revert(&workspace.revert_cascade(id, &options, context)?)
        }
        CascadeCommand::Clean {
            older_than,
            repo,
            dry,
        } => {
            let options = CleanCascadesOptions::new().older_than(*older_than);
            let options = options.repo(repo.clone()).dry_run(dry.dry_run);
            cleaned(&workspace.clean_cascades(&options, context)?)
        }
        CascadeCommand::RunNode(args) => run_node(session, args)?,
        CascadeCommand::Export(args) => super::jobs::export(session, &workspace, args)?,
    };
    Ok(answer)
}

/// Run what a release affects, or all that is not current.
fn run(
    session: &Session,
    workspace: &Workspace,
    release: Option<&str>,
    options: &CascadeOptions,
) -> Result<Answer, Error> {
    let tell = |entry: &CascadeEntry| tell(session, entry);
    let report = workspace.run_cascade(release, options, Some(&tell), &session.context)?;
    ran_or_begun(session, workspace, &report, options)
}

/// Continue one.
fn resume(
    session: &Session,
    workspace: &Workspace,
    id: &str,
    options: &CascadeOptions,
) -> Result<Answer, Error> {
    let tell = |entry: &CascadeEntry| tell(session, entry);
    let report = workspace.resume_cascade(id, options, Some(&tell), &session.context)?;
    ran_or_begun(session, workspace, &report, options)
}

/// What ran here, or what a process of its own is to run now.
fn ran_or_begun(
    session: &Session,
    workspace: &Workspace,
    report: &CascadeReport,
    options: &CascadeOptions,
) -> Result<Answer, Error> {
    if options.begin_only {
        super::background::start(session, workspace, report, options)
    } else {
        Ok(ran(report))
    }
}

/// One attempt at one asset, with the exit codes that schedulers understand.
fn run_node(session: &Session, args: &RunNodeArgs) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let options = AttemptOptions::new()
        .attempt(args.attempt.clone())
        .keep_failed(args.keep)
        .auto_repair(args.auto_repair)
        .wall_time(args.wall_time)
        .quiet_time(args.quiet_time)
        .scratch(
            args.scratch
                .clone()
                .or_else(host::scratch)
                .map(|scratch| session.here.join(scratch)),
        );
    let report = workspace.run_cascade_node(&args.cascade, &args.node, &options, &session.context);
    let report = match report {
        // The machine's fault: another one may do better.
        Err(error) if error.class() == Class::Environment => {
            errors::print(&error, session, false);
            return Ok(Answer::exit(TRY_AGAIN));
        }
        report => report?,
    };
    let text = format!("{}: {}", report.node, status_words(&report.status));
    let mut answer = Answer::new(&report, text);
    if let Err(error) = output::print(&answer, session) {
        answer.failure = Some(Box::new(error));
        return Ok(answer);
    }
    Ok(Answer::exit(report.exit_code()))
}

/// A publish, with inputs updated before and affected assets built after, if requested.
pub(super) fn publish(
    session: &Session,
    asset: Option<&str>,
    mut options: PublishOptions,
    around: &PushArgs,
) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let asset = &super::assets::asset_or_here(session, &workspace, asset)?;
    let change = ChangeOptions::new().dry_run(options.dry_run);
    let pulled = if around.pull {
        let pulled = workspace.pull_inputs(asset, &change, &session.context)?;
        options.repro |= !options.dry_run && workspace.has_stages(asset, &session.context)?;
        Some(pulled)
    } else {
        None
    };
    // The plan that follows says the same.
    options.no_dirty |= around.push;
    let (mut answer, report) = super::assets::publish(session, &workspace, asset, &options)?;
    if let Some(pulled) = &pulled {
        answer.text.insert_str(0, &describe_pulled(pulled));
        answer.json["pulled"] = serde_json::json!(pulled.changes);
    }
    if !around.push {
        return Ok(answer);
    }
    let tell = |entry: &CascadeEntry| tell(session, entry);
    let root = (report.repo.as_str(), &report.package, &report.version);
    let how = around.options(options.dry_run);
    let pushed = workspace
        .push_release(root, &how, Some(&tell), &session.context)
        .and_then(|pushed| ran_or_begun(session, &workspace, &pushed, &how));
    match pushed {
        Ok(ran) => {
            answer.text.push_str(&ran.text);
            answer.json["cascade"] = ran.json;
            answer.failure = ran.failure;
        }
        // The release is there all the same.
        Err(error) => answer.failure = Some(Box::new(error)),
    }
    Ok(answer)
}

/// `Character01 (13 -> 14)`, one a line.
fn describe_pulled(pulled: &InstallReport) -> String {
    let version = |version: &Option<backlot::Version>| {
        version
            .as_ref()
            .map_or_else(|| "none".to_owned(), ToString::to_string)
    };
    let lines = pulled.changes.iter().filter(|change| change.from != change.to);
    let lines = lines.map(|change| {
        format!(
            "  {} ({} -> {})\n",
            change.name,
            version(&change.from),
            version(&change.to)
        )
    });
    let lines: String = lines.collect();
    if lines.is_empty() {
        return "all inputs are up to date\n".to_owned();
    }
    format!("{}updated inputs:\n{lines}", would(pulled.dry_run))
}

/// Tell people of a step while the command runs.
fn tell(session: &Session, entry: &CascadeEntry) {
    if session.json || session.quiet {
        return;
    }
    if let Some(line) = line_of(entry) {
        writeln!(std::io::stderr(), "{}", text::sanitize(&line)).ok();
    }
}

/// Print a step; whether there is a reader.
fn follow(session: &Session, entry: &CascadeEntry) -> bool {
    let line = if session.json {
        serde_json::to_string(entry).ok()
    } else {
        line_of(entry).map(|line| text::sanitize(&line))
    };
    let Some(line) = line.filter(|_| session.json || !session.quiet) else {
        return true;
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
}

/// The state of a cascade, as text or drawn; or each of its steps as it happens.
fn show(
    session: &Session,
    workspace: &Workspace,
    id: Option<&str>,
    (is_followed, form): (bool, GraphForm),
) -> Result<Answer, Error> {
    let context = &session.context;
    if is_followed {
        let mut tell = |entry: &CascadeEntry| follow(session, entry);
        return Ok(status(&workspace.follow_cascade(id, &mut tell, context)?));
    }
    let found = workspace.cascade_status(id, context)?;
    if form.is_text() {
        return Ok(status(&found));
    }
    let picture = workspace.cascade_picture(Some(&found.summary.cascade.0), context)?;
    Ok(Answer::new(&found, form.draw(|| picture).unwrap_or_default()))
}

/// A step in a line; `None` of one that says nothing to people.
pub(super) fn line_of(entry: &CascadeEntry) -> Option<String> {
    Some(match &entry.event {
        JournalEvent::Planned { plan, .. } => format!(
            "cascade {}: {}",
            plan.id,
            text::count(plan.builds() as u64, "build")
        ),
        JournalEvent::Paused { reason } => format!("paused by {}: {reason}", entry.by),
        JournalEvent::Resumed => format!("resumed by {}", entry.by),
        JournalEvent::Cancelled { reason } => format!("cancelled by {}: {reason}", entry.by),
        JournalEvent::Submitting { batch } => super::jobs::submitting(batch),
        JournalEvent::Submitted { batch, job } => format!("job {job} has batch {batch}"),
        JournalEvent::Node { node, what, .. } => format!("{node}: {}", event_words(what)?),
        _ => return None,
    })
}

fn event_words(event: &NodeEvent) -> Option<String> {
    Some(match event {
        NodeEvent::Leased { .. } => "building".to_owned(),
        NodeEvent::Built { repaired, .. } if !repaired.is_empty() => repaired_words(repaired),
        NodeEvent::Released { version } => format!("released {version}"),
        NodeEvent::Unchanged { why, version } => format!("{version} stays, {}", unchanged_words(*why)),
        NodeEvent::Held { .. } => {
            "keeps its release: it cannot be built with the available inputs".to_owned()
        }
        NodeEvent::Failed {
            failure, retry_at, ..
        } => {
            let again = if retry_at.is_some() { "; retrying" } else { "" };
            format!("failed ({}): {}{again}", failure.kind.as_str(), failure.message)
        }
        NodeEvent::Stopped { reason } => format!("stopped: {reason}"),
        NodeEvent::Missing => "its release is missing; building it again".to_owned(),
        NodeEvent::Skipped { reason } => format!("skipped: {reason}"),
        NodeEvent::Retried => "will be retried".to_owned(),
        NodeEvent::Superseded { by } => format!("superseded by cascade {by}"),
        _ => return None,
    })
}

fn repaired_words(checks: &[String]) -> String {
    format!("repaired for {}", checks.join(", "))
}

const fn unchanged_words(why: Unchanged) -> &'static str {
    match why {
        Unchanged::Current => "it is current",
        Unchanged::SameInputs => "its inputs have the same files",
        Unchanged::SameFiles => "the build gave the same files",
    }
}

fn status_words(status: &NodeStatus) -> String {
    match status {
        NodeStatus::Released { version } => format!("released {version}"),
        NodeStatus::Unchanged { why, version } => {
            format!("unchanged: {version} stays, {}", unchanged_words(*why))
        }
        NodeStatus::Running { stage, owner, .. } => format!("running ({stage:?}) on {owner}").to_lowercase(),
        NodeStatus::Skipped { reason } => format!("skipped: {reason}"),
        NodeStatus::Failed { failure } => {
            let first = failure.message.lines().next().unwrap_or_default();
            format!("failed ({}): {first}", failure.kind.as_str())
        }
        NodeStatus::Blocked { by, failed: true } => format!("blocked: {by} failed"),
        NodeStatus::Blocked { by, failed: false } => format!("blocked: {by} has to be built manually"),
        NodeStatus::Superseded { by } => format!("superseded by cascade {by}"),
        NodeStatus::Manual => "manual: has to be built and published by a person".to_owned(),
        NodeStatus::Outside => "outside: has to be built and published by others".to_owned(),
        other => other.as_str().to_owned(),
    }
}

const fn ending_words(ending: Option<Ending>) -> &'static str {
    match ending {
        None => "running, or can be resumed",
        Some(Ending::Done) => "done",
        Some(Ending::Failed) => "failed",
        Some(Ending::Waiting) => "waiting for manual builds",
        Some(Ending::Paused) => "paused",
        Some(Ending::Cancelled) => "cancelled",
        Some(Ending::NeedsConfirmation) => "waiting for confirmation (`resume --yes`)",
    }
}

/// The report of a run, or of its plan.
pub(super) fn ran(report: &CascadeReport) -> Answer {
    let text = match &report.summary {
        None => plan_text(&report.plan),
        Some(_) if report.plan.nodes.is_empty() => "nothing to build\n".to_owned(),
        Some(summary) => summary_text(&format!("cascade {}", report.cascade), summary),
    };
    let mut answer = Answer::new(report, text);
    answer.failure = report.failure().map(|failure| Box::new(failure) as _);
    answer
}

/// The plan as it would be done.
fn plan_text(plan: &CascadePlan) -> String {
    if plan.nodes.is_empty() && plan.others.is_empty() {
        return "nothing to build\n".to_owned();
    }
    let head = ["level", "asset", "version", "decision", "inputs"];
    let mut table = vec![head.map(ToOwned::to_owned).to_vec()];
    let steps = plan.nodes.iter().map(|planned| &planned.dirty);
    table.extend(steps.chain(&plan.others).map(plan_row));
    format!(
        "cascade {}: would build {}\n{}",
        plan.id,
        text::count(plan.builds() as u64, "asset"),
        columns(&table)
    )
}

fn plan_row(dirty: &DirtyNode) -> Vec<String> {
    let version = match &dirty.next {
        Some(next) => format!("{} -> {next}", dirty.newest),
        None => dirty.newest.to_string(),
    };
    let changes = dirty.changes.iter().map(|change| {
        let told = |version: &Option<backlot::Version>| {
            version
                .as_ref()
                .map_or_else(|| "none".to_owned(), ToString::to_string)
        };
        format!(
            "{} {} -> {}",
            change.package,
            told(&change.old),
            told(&change.new)
        )
    });
    vec![
        dirty.level.to_string(),
        dirty.node.to_string(),
        version,
        dirty.decision.as_str().to_owned(),
        changes.collect::<Vec<_>>().join("; "),
    ]
}

fn summary_text(title: &str, summary: &CascadeSummary) -> String {
    let counts = summary
        .counts
        .iter()
        .map(|(status, count)| format!("{count} {status}"));
    let counts: Vec<String> = counts.collect();
    let rows: Vec<Vec<String>> = summary
        .nodes
        .iter()
        .map(|node| {
            let mut words = status_words(&node.status);
            if matches!(node.status, NodeStatus::Released { .. }) && !node.repaired.is_empty() {
                words = format!("{words}, {}", repaired_words(&node.repaired));
            }
            vec![format!("  {}", node.node), words]
        })
        .collect();
    format!(
        "{title}: {} ({})\n{}",
        ending_words(summary.ending),
        counts.join(", "),
        columns(&rows)
    )
}

fn status(report: &CascadeStatus) -> Answer {
    let roots = roots_text(&report.roots);
    let title = format!(
        "cascade {} in {}, {roots}, started {}",
        report.summary.cascade, report.repo, report.at
    );
    let mut text = summary_text(&title, &report.summary);
    for (word, reason) in [("paused", &report.paused), ("cancelled", &report.cancelled)] {
        if let Some(reason) = reason {
            text.push_str(&format!("{word}: {reason}\n"));
        }
    }
    text.push_str(&super::jobs::logs_text(report));
    if let Some(runner) = report
        .background
        .as_ref()
        .filter(|_| report.summary.ending.is_none())
    {
        let (process, log) = (runner.process, runner.log.display());
        text.push_str(&if runner.alive {
            format!("running in the background as process {process} since {}, log: {log}\n", runner.since)
        } else {
            format!(
                "its background process {process} was killed, log: {log}\nrun `backlot cascade resume {}` to continue\n",
                report.summary.cascade
            )
        });
    }
    for cause in &report.summary.causes {
        if let NodeStatus::Failed { failure } = &cause.status {
            let blocks = match cause.blocks {
                0 => String::new(),
                blocks => format!(", which blocks {}", text::count(blocks as u64, "asset")),
            };
            text.push_str(&format!("\n{}{blocks}:\n{}\n", cause.node, failure.message));
        }
    }
    Answer::new(report, text)
}

fn roots_text(roots: &[(backlot::NodeId, backlot::Version)]) -> String {
    let roots: Vec<String> = roots
        .iter()
        .map(|(node, version)| format!("{node} {version}"))
        .collect();
    if roots.is_empty() {
        "all assets that are not current".to_owned()
    } else {
        roots.join(", ")
    }
}

fn list(rows: &[CascadeRow]) -> Answer {
    let report = serde_json::json!({ "cascades": rows });
    if rows.is_empty() {
        return Answer::new(&report, "no cascades");
    }
    let head = ["cascade", "repo", "begun", "about", "stands", "assets"];
    let mut table = vec![head.map(ToOwned::to_owned).to_vec()];
    table.extend(rows.iter().map(|row| {
        let counts = row
            .counts
            .iter()
            .map(|(status, count)| format!("{count} {status}"));
        vec![
            row.cascade.to_string(),
            row.repo.clone(),
            row.at.to_string(),
            roots_text(&row.roots),
            ending_words(row.ending).to_owned(),
            counts.collect::<Vec<_>>().join(", "),
        ]
    }));
    Answer::new(&report, columns(&table))
}

fn cleaned(report: &CleanCascadesReport) -> Answer {
    let rows = report.removed.iter().map(|one| {
        let (about, ended) = (roots_text(&one.roots), format!("ended {}", one.ended));
        vec![format!("  {}", one.cascade), one.repo.clone(), about, ended]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let text = format!(
        "{}removed {}, {} kept\n{}",
        would(report.dry_run),
        text::count(report.removed.len() as u64, "journal"),
        report.kept,
        columns(&rows)
    );
    Answer::new(report, text)
}

fn explain(report: &NodeExplained) -> Answer {
    let chain: Vec<String> = report.chain.iter().map(ToString::to_string).collect();
    let planned = plan_row(&report.planned);
    let mut text = format!("{} {}: {}\n", report.planned.node, planned[2], planned[3]);
    text.push_str(&format!("follows: {}\n", chain.join(" -> ")));
    if !planned[4].is_empty() {
        text.push_str(&format!("inputs: {}\n", planned[4]));
    }
    if let Some(status) = &report.status {
        text.push_str(&format!("now: {}\n", status_words(status)));
    }
    let lines = report.history.iter().filter_map(|entry| {
        let JournalEvent::Node { what, .. } = &entry.event else {
            return None;
        };
        Some(vec![entry.at.to_string(), entry.by.clone(), event_words(what)?])
    });
    text.push_str(&columns(&lines.collect::<Vec<_>>()));
    text.push_str(&super::jobs::attempts_text(&report.attempts));
    // What a failed command printed last has lines of its own.
    let last = report.history.iter().rev().find_map(|entry| match &entry.event {
        JournalEvent::Node {
            what: NodeEvent::Failed { failure, .. },
            ..
        } => Some(failure),
        _ => None,
    });
    if let Some(failure) = last.filter(|failure| failure.message.contains('\n')) {
        text.push_str(&format!("\n{}\n", failure.message));
    }
    Answer::new(report, text)
}

/// What was published with a higher version.
fn forward_text(report: &RevertReport) -> String {
    let forward = &report.plan.forward;
    if forward.is_empty() {
        return String::new();
    }
    let rows = forward.iter().map(|higher| {
        let of = format!("has the content of {}", higher.content_of);
        vec![format!("  {} {}", higher.node, higher.version), of]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    format!(
        "{}published {}:\n{}",
        would(report.dry_run),
        text::count(forward.len() as u64, "release"),
        columns(&rows)
    )
}

fn revert(report: &RevertReport) -> Answer {
    let mut text = forward_text(report);
    let mut table = Vec::new();
    for step in &report.plan.steps {
        let back = step.falls_back_to.as_ref().map_or_else(
            || "no replacement".to_owned(),
            |version| format!("replaced by {version}"),
        );
        table.push(vec![format!("  {} {}", step.node, step.version), back]);
    }
    let releases = text::count(report.plan.steps.len() as u64, "release");
    let what = if report.no_yank {
        format!("kept {releases}")
    } else {
        format!("{}yanked {releases}", would(report.dry_run))
    };
    text.push_str(&format!(
        "{what} of cascade {}:\n{}",
        report.plan.cascade,
        columns(&table)
    ));
    if report.cancelled {
        text.push_str(&format!(
            "it was not finished, and {} cancelled\n",
            if report.dry_run { "would be" } else { "was" }
        ));
    }
    for pinned in &report.plan.pinned {
        text.push_str(&format!(
            "{} {} pins one of them: it requires {}\n",
            pinned.node, pinned.version, pinned.requirement
        ));
    }
    for on_top in &report.plan.on_top {
        let inputs = on_top
            .inputs
            .iter()
            .map(|(node, version)| format!("{node} {version}"));
        let mut of: Vec<String> = inputs.collect();
        of.extend(on_top.based_on.as_ref().map(|base| format!("its own {base}")));
        text.push_str(&format!(
            "kept {} {} by {}, which is based on {}: contact the author\n",
            on_top.node,
            on_top.version,
            if on_top.author.is_empty() {
                "an unknown author"
            } else {
                &on_top.author
            },
            of.join(", ")
        ));
    }
    Answer::new(report, text)
}
