//! Cascades in processes of their own: their attempts and logs, and jobs for other schedulers.

use backlot::{AttemptBatch, AttemptRow, CascadeStatus, Error, NodeStatus, Workspace, text};

use crate::args::JobArgs;
use crate::output::{Answer, columns, would};
use crate::session::Session;

/// Attempts that are about to be started, with where they print to.
pub(super) fn submitting(batch: &AttemptBatch) -> String {
    match batch.nodes.as_slice() {
        [node] => format!("{node}: attempt {}, log {}", batch.attempt(0), batch.log(0)),
        nodes => format!(
            "{} by {}, batch {}, logs {}/{}.*.log",
            text::count(nodes.len() as u64, "asset"),
            batch.executor,
            batch.id,
            batch.logs,
            batch.id
        ),
    }
}

/// The logs of assets that run or failed, each its last one.
pub(super) fn logs_text(report: &CascadeStatus) -> String {
    let is_told = |status: &NodeStatus| {
        matches!(
            status,
            NodeStatus::Running { .. } | NodeStatus::Failed { .. } | NodeStatus::Delayed { .. }
        )
    };
    let mut lines = Vec::new();
    for node in report.summary.nodes.iter().filter(|node| is_told(&node.status)) {
        let last = report
            .attempts
            .iter()
            .rev()
            .find(|attempt| attempt.node == node.node);
        lines.extend(last.map(|last| vec![format!("  {}", node.node), last.log.clone()]));
    }
    if lines.is_empty() {
        return String::new();
    }
    format!("logs:\n{}", columns(&lines))
}

/// All attempts at an asset.
pub(super) fn attempts_text(attempts: &[AttemptRow]) -> String {
    let lines = attempts.iter().map(|row| {
        let by = match &row.job {
            Some(job) => format!("{} {job}", row.executor),
            None => row.executor.clone(),
        };
        vec![format!("attempt {}", row.attempt), by, row.log.clone()]
    });
    columns(&lines.collect::<Vec<_>>())
}

/// Write a cascade as a job.
pub(super) fn export(session: &Session, workspace: &Workspace, args: &JobArgs) -> Result<Answer, Error> {
    let which = (args.cascade.as_deref(), args.release.as_deref());
    let report = workspace.export_cascade(which, args.format, &args.options(), &session.context)?;
    let Some(output) = &args.output else {
        return Ok(Answer::new(&report, report.to_text(false)));
    };
    let path = session.here.join(output);
    let is_json = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    if !args.dry.dry_run {
        fs_err::write(&path, report.to_text(is_json))?;
    }
    let mut told = format!(
        "{}wrote {} of cascade {} to {}\n",
        would(args.dry.dry_run),
        text::count(report.steps as u64, "step"),
        report.cascade,
        path.display()
    );
    for node in &report.left_out {
        told.push_str(&format!(
            "no step for {node}: it is manual, or depends on a manual asset\n"
        ));
    }
    Ok(Answer::new(&report, told))
}
