//! History: the releases of an asset, the differences between two, and short local changes.

use backlot::{
    AssetsLeftOut, BaseState, Change, DiffEnd, DiffReport, Error, LogEntry, LogOptions, NameDiff, OutStatus,
    OutputStatus, ReleaseEventKind, StatusReport, TextDiff, fold_names, text,
};

use crate::args::{DiffArgs, LogArgs};
use crate::output::{Answer, columns};
use crate::session::Session;

pub(super) fn log(session: &Session, args: &LogArgs) -> Result<Answer, Error> {
    let options = LogOptions::new().repo(args.repo.clone()).limit(args.limit);
    let releases = session.open()?.log(&args.release, &options, &session.context)?;
    let lines: String = releases.iter().map(describe).collect();
    Ok(Answer::new(&serde_json::json!({ "releases": releases }), lines))
}

fn describe(entry: &LogEntry) -> String {
    let unknown = || "unknown".to_owned();
    let mut lines = format!("{} {} in {}\n", entry.package, entry.version, entry.repo);
    let at = entry.at.map_or_else(unknown, |at| at.to_string());
    let author = entry.author.clone().unwrap_or_else(unknown);
    lines.push_str(&format!("  published {at} by {author}\n"));
    if let Some(reason) = &entry.reason {
        lines.push_str(&format!("  {}\n", text::printable(reason)));
    }
    let wheel = entry
        .wheel_size
        .map(|size| format!(", wheel {}", text::bytes(size)));
    lines.push_str(&format!(
        "  {} tracked ({}){}\n",
        text::count(entry.files, "file"),
        text::bytes(entry.bytes),
        wheel.unwrap_or_default()
    ));
    if !entry.inputs.is_empty() {
        let inputs = entry
            .inputs
            .iter()
            .map(|(name, version)| format!("{name} {version}"));
        lines.push_str(&format!(
            "  built with {}\n",
            inputs.collect::<Vec<_>>().join(", ")
        ));
    }
    for event in &entry.events {
        let what = match event.kind {
            ReleaseEventKind::Approved => "approved",
            ReleaseEventKind::Deprecated => "deprecated",
            ReleaseEventKind::Yanked => "yanked",
            ReleaseEventKind::Dropped => "files dropped",
            _ => "noted",
        };
        let (author, reason) = (text::printable(&event.author), text::printable(&event.reason));
        lines.push_str(&format!("  {what} {} by {author}: {reason}\n", event.at));
    }
    lines
}

pub(super) fn diff(session: &Session, args: &DiffArgs) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let from = match &args.from {
        Some(from) => from.clone(),
        None => workspace.output_here(&session.here, &session.context)?.name,
    };
    let report = workspace.diff(&from, args.to.as_deref(), args.repo.as_deref(), &session.context)?;
    let text = describe_diff(&report);
    Ok(Answer::new(&report, text))
}

fn describe_diff(report: &DiffReport) -> String {
    let end = |end: &DiffEnd| match &end.repo {
        Some(repo) => format!("{} in {repo}", end.version),
        None => format!("{} in this workspace", end.version),
    };
    let mut lines = format!("{}: {} -> {}\n", report.asset, end(&report.from), end(&report.to));
    for out in &report.files {
        let count = out.names.new.len() + out.names.changed.len() + out.names.gone.len();
        let bytes = match (out.bytes_from, out.bytes_to) {
            (Some(from), Some(to)) => format!(", {} -> {}", text::bytes(from), text::bytes(to)),
            (Some(from), None) => format!(", {} before", text::bytes(from)),
            (None, Some(to)) => format!(", {} now", text::bytes(to)),
            (None, None) => String::new(),
        };
        let files = text::count(count as u64, "file");
        lines.push_str(&format!("{}: {files}{bytes}\n", out.path));
        lines.push_str(&names(&out.names));
    }
    if !report.package.is_empty() {
        lines.push_str("package\n");
        lines.push_str(&names(&report.package));
    }
    for (title, texts) in [
        ("requirements", &report.requirements),
        ("metadata", &report.metadata),
    ] {
        if !texts.is_empty() {
            lines.push_str(&format!("{title}\n"));
        }
        for one in texts {
            lines.push_str(&format!("  {}\n", describe_text(one)));
        }
    }
    if lines.lines().count() == 1 {
        lines.push_str("no differences\n");
    }
    lines
}

fn describe_text(one: &TextDiff) -> String {
    let shown = |text: &Option<String>| text.as_deref().map(text::printable);
    match (shown(&one.from), shown(&one.to)) {
        (None, Some(to)) => format!("A {}: {to}", one.name),
        (Some(from), None) => format!("D {}: {from}", one.name),
        (from, to) => format!(
            "M {}: {} -> {}",
            one.name,
            from.unwrap_or_default(),
            to.unwrap_or_default()
        ),
    }
}

/// Files that differ, one a line, sequences folded.
fn names(names: &NameDiff) -> String {
    let mut lines = String::new();
    for (sign, names) in [('A', &names.new), ('M', &names.changed), ('D', &names.gone)] {
        for (name, files) in fold_names(names.iter().map(String::as_str)) {
            let count = if files > 1 {
                format!("  {files} files")
            } else {
                String::new()
            };
            lines.push_str(&format!("  {sign} {}{count}\n", text::printable(&name)));
        }
    }
    lines
}

/// The state of the workspace as `git status --short` tells it: a line an asset, and one a change.
pub(super) fn short_status(session: &Session) -> Result<Answer, Error> {
    let report = session.open()?.status(&session.context)?;
    let mut answer = Answer::new(&report, short(&report));
    answer.failure = AssetsLeftOut::of(&report.problems).map(|failure| Box::new(failure) as _);
    Ok(answer)
}

fn short(report: &StatusReport) -> String {
    let mut lines = String::new();
    for output in &report.outputs {
        lines.push_str(&heading(output));
        let mut rows = Vec::new();
        for out in &output.outs {
            rows.extend(rows_of(out));
        }
        for one in &output.untracked {
            rows.push(vec![
                "??".to_owned(),
                one.path.clone(),
                text::count(one.files, "file"),
            ]);
        }
        lines.push_str(&columns(&rows));
    }
    for problem in &report.problems {
        lines.push_str(&format!("!! {}: {}\n", problem.asset, problem.message));
    }
    lines
}

/// `## Table 0.2.0...0.1.0 [ahead]`
fn heading(output: &OutputStatus) -> String {
    let base = output.base.base.as_ref().map(|base| format!("...{base}"));
    let newer = output
        .base
        .newer
        .as_ref()
        .map(|newer| format!(", {} in {}", newer.version, newer.repo));
    let state = match output.base.state {
        BaseState::Unpublished => "unpublished",
        BaseState::Unchanged => "unchanged",
        BaseState::Ahead => "ahead",
        BaseState::Behind => "behind",
        BaseState::Diverged => "diverged",
        _ => "unknown",
    };
    format!(
        "## {} {}{} [{state}{}]\n",
        output.name,
        output.version,
        base.unwrap_or_default(),
        newer.unwrap_or_default()
    )
}

fn rows_of(out: &OutStatus) -> Vec<Vec<String>> {
    let row = |sign: &str, path: String, note: String| vec![sign.to_owned(), path, note];
    match &out.change {
        Change::Modified {
            added,
            removed,
            changed,
            names,
            ..
        } => {
            let mut rows = Vec::new();
            for (mark, sign, all) in [("~ ", " M", changed), ("+ ", " A", added), ("- ", " D", removed)] {
                let some: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix(mark)).collect();
                let more = all.saturating_sub(some.len() as u64);
                for (name, files) in fold_names(some) {
                    let note = if files > 1 {
                        text::count(files, "file")
                    } else {
                        String::new()
                    };
                    rows.push(row(sign, join(&out.path, &name), note));
                }
                if more > 0 {
                    rows.push(row(sign, join(&out.path, "..."), format!("{more} more")));
                }
            }
            rows
        }
        Change::Missing => vec![row(" D", out.path.clone(), String::new())],
        Change::NoContent | Change::NoManifest | Change::NotInCache => {
            vec![row(" ?", out.path.clone(), "see `backlot status`".to_owned())]
        }
        _ => Vec::new(),
    }
}

/// A file of a tracked folder; a tracked file is named by itself.
fn join(path: &str, name: &str) -> String {
    let own = path.rsplit('/').next().unwrap_or(path);
    if name == own || name.starts_with(&format!("{own} (")) {
        path.to_owned()
    } else {
        format!("{path}/{name}")
    }
}
