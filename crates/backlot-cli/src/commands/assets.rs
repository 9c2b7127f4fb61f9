//! Making, changing, building and publishing assets, and moving their files.

use std::path::PathBuf;

use backlot::{
    AddFiles, BuildReport, Error, FileChanges, MoveReport, NewAsset, PublishOptions, bump as bumps, text,
};

use crate::args::Input;
use crate::output::{Answer, columns, would};
use crate::session::Session;

pub(super) fn new(
    session: &Session,
    name: &str,
    asset_type: &str,
    tags: &[String],
    summary: Option<&str>,
    dry_run: bool,
) -> Result<Answer, Error> {
    let options = NewAsset {
        asset_type: asset_type.to_owned(),
        tags: tags.to_vec(),
        summary: summary.map(ToOwned::to_owned),
        dry_run,
    };
    let report = session.open()?.new_asset(name, &options)?;
    let text = format!(
        "{}made {} {} in `{}`\nput its files into `{}`, then run `backlot add` on them",
        would(dry_run),
        report.name,
        report.version,
        report.path,
        report.files
    );
    Ok(Answer::new(&report, text))
}

pub(super) fn add(session: &Session, paths: &[PathBuf], options: &AddFiles) -> Result<Answer, Error> {
    let paths: Vec<PathBuf> = paths.iter().map(|p| session.here.join(p)).collect();
    let options = AddFiles {
        remove: options.remove.iter().map(|p| session.here.join(p)).collect(),
        ..options.clone()
    };
    let report = session.open()?.add(&paths, &options)?;
    let mut lines = String::new();
    for out in &report.outs {
        lines.push_str(&format!(
            "{}added {} ({}, {}): {} new or changed{}, {} stored ({})\n",
            would(report.dry_run),
            out.path,
            text::count(out.files, "file"),
            text::bytes(out.bytes),
            out.changed,
            describe_others(out.changes.gone, out.kept),
            out.stored_files,
            text::bytes(out.stored_bytes),
        ));
        lines.push_str(&names_of_removed(&out.changes));
    }
    if let Some(pushed) = &report.pushed {
        lines.push_str(&describe_push(pushed));
    }
    Ok(Answer::new(&report, lines))
}

pub(super) fn input(session: &Session, command: &Input) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let (report, verb) = match command {
        Input::Add {
            asset,
            requirements,
            group,
            no_check,
            dry,
        } => {
            let output = workspace.output(asset)?;
            (
                workspace.add_inputs(&output, requirements, group.as_deref(), !no_check, dry.dry_run)?,
                "requires",
            )
        }
        Input::Remove {
            asset,
            names,
            group,
            dry,
        } => {
            let output = workspace.output(asset)?;
            (
                workspace.remove_inputs(&output, names, group.as_deref(), dry.dry_run)?,
                "no longer requires",
            )
        }
    };
    let group = report
        .group
        .as_ref()
        .map(|g| format!(" in group {g}"))
        .unwrap_or_default();
    let mut lines = String::new();
    for change in &report.changes {
        let replaced = change
            .replaced
            .as_ref()
            .map(|old| format!(" instead of {old}"))
            .unwrap_or_default();
        lines.push_str(&format!(
            "{} {verb} {}{group}{replaced}\n",
            report.asset, change.requirement
        ));
    }
    if report.dry_run {
        lines.push_str("nothing was changed (--dry-run)\n");
    }
    Ok(Answer::new(&report, lines))
}

pub(super) fn bump(session: &Session, words: &[String], dry_run: bool) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let (asset, steps) = match words {
        [asset, steps] => (Some(asset.as_str()), steps),
        [steps, ..] => (None, steps),
        [] => (None, &String::new()),
    };
    let output = workspace.output_or_here(asset, &session.here)?;
    let report = workspace.bump(&output, &bumps::parse_steps(steps)?, dry_run)?;
    let text = format!(
        "{}bumped {} from {} to {}",
        would(dry_run),
        report.asset,
        report.from,
        report.to
    );
    Ok(Answer::new(&report, text))
}

pub(super) fn build(session: &Session, asset: Option<&str>, dry_run: bool) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let output = workspace.output_or_here(asset, &session.here)?;
    let report = workspace.build(&output, dry_run)?;
    let text = format!("{}built {}", would(dry_run), describe_wheel(&report));
    Ok(Answer::new(&report, text))
}

fn describe_wheel(report: &BuildReport) -> String {
    let files: u64 = report.outs.iter().map(|o| o.files).sum();
    let bytes: u64 = report.outs.iter().map(|o| o.size).sum();
    let size = if report.dry_run {
        String::new()
    } else {
        format!(" ({})", text::bytes(report.size))
    };
    let outs = if files == 0 {
        String::new()
    } else {
        format!(
            ", pointing to {} of {}",
            text::count(files, "file"),
            text::bytes(bytes)
        )
    };
    format!("{}{size}{outs}", report.wheel)
}

pub(super) fn publish(
    session: &Session,
    asset: Option<&str>,
    options: &PublishOptions,
) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let output = workspace.output_or_here(asset, &session.here)?;
    let options = PublishOptions {
        remove: options.remove.iter().map(|p| session.here.join(p)).collect(),
        ..options.clone()
    };
    let report = workspace.publish(&output, &options)?;
    let mut lines = report
        .parts
        .as_ref()
        .map(super::parts::describe_used)
        .unwrap_or_default();
    for one in &report.changes {
        lines.push_str(&format!(
            "{}added the changes in {}: {} new, {} changed{}\n",
            would(options.dry_run),
            one.path,
            one.changes.new,
            one.changes.changed,
            describe_others(one.changes.gone, one.kept)
        ));
        lines.push_str(&names_of(&one.changes));
    }
    lines.push_str(&describe_push(&report.files));
    let published = if report.already {
        "already published with identical contents: "
    } else {
        "published "
    };
    lines.push_str(&format!(
        "{}{published}{} {} to {}: {}\n",
        would(options.dry_run),
        report.asset,
        report.version,
        report.repo,
        describe_wheel(&report.wheel)
    ));
    Ok(Answer::new(&report, lines))
}

/// Files that are removed, and those that are unchanged and were not looked at.
fn describe_others(gone: u64, kept: u64) -> String {
    let gone = if gone == 0 {
        String::new()
    } else {
        format!(", {gone} removed")
    };
    let kept = if kept == 0 {
        String::new()
    } else {
        format!(", {kept} kept as they were")
    };
    gone + &kept
}

/// The names of changed files, one a line.
fn names_of(changes: &FileChanges) -> String {
    let mut lines: String = changes.names.iter().map(|name| format!("  {name}\n")).collect();
    let all = changes.new + changes.changed + changes.gone;
    let more = all.saturating_sub(changes.names.len() as u64);
    if more > 0 {
        lines.push_str(&format!("  ... and {more} more\n"));
    }
    lines
}

/// Of the names of changed files those that are removed.
fn names_of_removed(changes: &FileChanges) -> String {
    let removed = changes.names.iter().filter(|name| name.starts_with('-')).cloned();
    names_of(&FileChanges {
        gone: changes.gone,
        names: removed.collect(),
        ..FileChanges::default()
    })
}

fn describe_push(report: &MoveReport) -> String {
    let Some(remote) = &report.remote else {
        return String::new();
    };
    let sent = if report.dry_run || report.objects == 0 {
        String::new()
    } else {
        format!(", {} sent", text::bytes(report.sent))
    };
    format!(
        "{}pushed {} ({}{sent}) to {remote}; {} there already\n",
        would(report.dry_run),
        text::count(report.objects, "object"),
        text::bytes(report.bytes),
        report.already_there
    )
}

pub(super) fn push(
    session: &Session,
    names: &[String],
    remote: Option<&str>,
    dry_run: bool,
) -> Result<Answer, Error> {
    let report = session.open()?.push(names, remote, dry_run)?;
    let text = describe_push(&report);
    Ok(Answer::new(
        &report,
        if text.is_empty() {
            "no tracked files to push".to_owned()
        } else {
            text
        },
    ))
}

pub(super) fn pull(
    session: &Session,
    names: &[String],
    remote: Option<&str>,
    force: bool,
    dry_run: bool,
) -> Result<Answer, Error> {
    let report = session.open()?.pull(names, remote, force, dry_run)?;
    if report.assets.is_empty() {
        return Ok(Answer::new(&report, "no tracked files to pull"));
    }
    let mut lines = match &report.remote {
        Some(remote) => format!(
            "{}fetched {} ({}) from {remote}\n",
            would(dry_run),
            text::count(report.objects, "object"),
            text::bytes(report.bytes)
        ),
        None => "all content is in the cache\n".to_owned(),
    };
    let mut rows = Vec::new();
    for asset in &report.assets {
        let placed = if dry_run {
            String::new()
        } else {
            format!("{} placed", asset.placed)
        };
        rows.push(vec![asset.name.clone(), text::count(asset.files, "file"), placed]);
        for kept in &asset.kept {
            rows.push(vec![
                String::new(),
                format!("kept {kept}: its content is nowhere else"),
            ]);
        }
    }
    lines.push_str(&columns(&rows));
    Ok(Answer::new(&report, lines))
}

pub(super) fn edit(session: &Session, name: &str, dry_run: bool) -> Result<Answer, Error> {
    let report = session.open()?.edit(name, dry_run)?;
    let text = format!(
        "{}made {} {} editable in `{}` as {}\n`backlot pull {}` brings its files",
        would(dry_run),
        report.asset,
        report.from,
        report.path,
        report.to,
        report.asset
    );
    Ok(Answer::new(&report, text))
}
