//! Parameters, metrics and plots of pipelines, in lines and files.

use backlot::{Error, FigureEnd, FigureKind, FiguresDiff, Workspace, text};
use serde_json::Value;

use crate::args::{CompareArgs, Metrics, Params, Plots};
use crate::output::{Answer, columns};
use crate::session::Session;

pub(super) fn params(session: &Session, command: &Params) -> Result<Answer, Error> {
    let Params::Diff(args) = command;
    compare(session, FigureKind::Params, args)
}

pub(super) fn metrics(session: &Session, command: &Metrics) -> Result<Answer, Error> {
    match command {
        Metrics::Show { what, repo } => show(session, what.as_deref(), repo.as_deref()),
        Metrics::Diff(args) => compare(session, FigureKind::Metrics, args),
    }
}

/// The given assets, or that of the current folder.
fn or_here(session: &Session, workspace: &Workspace, named: Option<&str>) -> Result<String, Error> {
    match named {
        Some(named) => Ok(named.to_owned()),
        None => Ok(workspace.output_here(&session.here, &session.context)?.name),
    }
}

fn show(session: &Session, what: Option<&str>, repo: Option<&str>) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let what = or_here(session, &workspace, what)?;
    let report = workspace.figures(FigureKind::Metrics, &what, repo, &session.context)?;
    let row = |figure: &backlot::Figure| vec![figure.file.clone(), figure.key.clone(), plain(&figure.value)];
    let rows: Vec<Vec<String>> = report.figures.iter().map(row).collect();
    let mut lines = format!("{}\n{}", end(&report.end), columns(&rows));
    for file in &report.missing {
        lines.push_str(&format!("{file} does not exist\n"));
    }
    if rows.is_empty() && report.missing.is_empty() {
        lines.push_str("no metrics; declare them under `metrics` of a stage in dvc.yaml\n");
    }
    Ok(Answer::new(&report, lines))
}

fn compare(session: &Session, kind: FigureKind, args: &CompareArgs) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let from = or_here(session, &workspace, args.from.as_deref())?;
    let (to, repo) = (args.to.as_deref(), args.repo.as_deref());
    let report = workspace.compare_figures(kind, &from, to, repo, &session.context)?;
    let text = describe(&report);
    Ok(Answer::new(&report, text))
}

fn describe(report: &FiguresDiff) -> String {
    let mut lines = format!("{} -> {}\n", end(&report.from), end(&report.to));
    let value = |value: &Option<Value>| value.as_ref().map_or_else(|| "-".to_owned(), plain);
    let rows: Vec<Vec<String>> = report
        .changes
        .iter()
        .map(|change| {
            let more = change
                .change
                .map_or_else(String::new, |more| format!("({more:+})"));
            vec![
                change.file.clone(),
                change.key.clone(),
                format!("{} -> {}", value(&change.from), value(&change.to)),
                more,
            ]
        })
        .collect();
    lines.push_str(&columns(&rows));
    lines.push_str(&format!("{} unchanged\n", text::count(report.unchanged, "value")));
    lines
}

/// A text without quotes, all else as JSON.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), ToOwned::to_owned)
}

fn end(end: &FigureEnd) -> String {
    match &end.repo {
        Some(repo) => format!("{} {} in {repo}", end.asset, end.version),
        None => format!("{} {} in this workspace", end.asset, end.version),
    }
}

pub(super) fn plots(session: &Session, command: &Plots) -> Result<Answer, Error> {
    let Plots::Show(args) = command;
    let workspace = session.open()?;
    let ends = if args.ends.is_empty() {
        vec![or_here(session, &workspace, None)?]
    } else {
        args.ends.clone()
    };
    let path = session.here.join(&args.output);
    let report = workspace.plots(&ends, args.repo.as_deref(), &path, &session.context)?;
    let mut lines = match &report.file {
        Some(file) => {
            let charts = text::count(report.charts.len() as u64, "chart");
            format!("{charts} in {}\n", file.display())
        }
        None => "no plots with rows; declare them under `plots` of a stage in dvc.yaml\n".to_owned(),
    };
    for file in &report.skipped {
        lines.push_str(&format!(
            "{file} is not plotted: it does not exist, or is not CSV, TSV, JSON or YAML\n"
        ));
    }
    Ok(Answer::new(&report, lines))
}
