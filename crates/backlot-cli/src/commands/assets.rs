//! Making, changing, building and publishing assets, and moving their files.

use std::path::PathBuf;

use backlot::{
    AddFiles, AssetsLeftOut, BuildReport, ChangeOptions, Error, FileChanges, InputOptions, MoveReport,
    NewAsset, PublishOptions, PublishReport, PullOptions, PushOptions, SomeFiles, Workspace, fold_names,
    text,
};

use crate::args::{Input, NewArgs};
use crate::output::{Answer, columns, would};
use crate::session::Session;

pub(super) fn new(session: &Session, args: &NewArgs) -> Result<Answer, Error> {
    let options = NewAsset::new()
        .asset_type(args.asset_type.clone())
        .tags(args.tags.clone())
        .summary(args.summary.clone())
        .dry_run(args.dry.dry_run);
    let report = session
        .open()?
        .new_asset(&args.name, &options, &session.context)?;
    let text = format!(
        "{}created {} {} in `{}`\nput its files into `{}`, then run `backlot add` on them",
        would(report.dry_run),
        report.name,
        report.version,
        report.path,
        report.files
    );
    Ok(Answer::new(&report, text))
}

pub(super) fn add(session: &Session, paths: &[PathBuf], options: &AddFiles) -> Result<Answer, Error> {
    let paths: Vec<PathBuf> = paths.iter().map(|p| session.here.join(p)).collect();
    let options = options.clone().remove(
        options
            .remove
            .iter()
            .map(|p| session.here.join(p))
            .collect::<Vec<_>>(),
    );
    let report = session.open()?.add(&paths, &options, &session.context)?;
    let mut lines = String::new();
    for out in &report.outs {
        lines.push_str(&format!(
            "{}added {} ({}, {}): {} new, {} changed{}, {} stored ({})\n",
            would(report.dry_run),
            out.path,
            text::count(out.files, "file"),
            text::bytes(out.bytes),
            out.changes.new,
            out.changes.changed,
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
        } => (
            workspace.add_inputs(
                asset,
                requirements,
                &InputOptions::new()
                    .group(group.clone())
                    .unchecked(*no_check)
                    .dry_run(dry.dry_run),
                &session.context,
            )?,
            "requires",
        ),
        Input::Remove {
            asset,
            names,
            group,
            dry,
        } => (
            workspace.remove_inputs(
                asset,
                names,
                &InputOptions::new().group(group.clone()).dry_run(dry.dry_run),
                &session.context,
            )?,
            "no longer requires",
        ),
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

/// The asset that was named, or the one whose folder this is: only that one is looked for.
pub(super) fn asset_or_here(
    session: &Session,
    workspace: &Workspace,
    asset: Option<&str>,
) -> Result<String, Error> {
    match asset {
        Some(asset) => Ok(asset.to_owned()),
        None => Ok(workspace.output_here(&session.here, &session.context)?.name),
    }
}

pub(super) fn bump(session: &Session, words: &[String], dry_run: bool) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let (asset, steps) = match words {
        [asset, steps] => (Some(asset.as_str()), steps),
        [steps, ..] => (None, steps),
        [] => (None, &String::new()),
    };
    let asset = &asset_or_here(session, &workspace, asset)?;
    let report = workspace.bump(
        asset,
        &steps.parse()?,
        &ChangeOptions::new().dry_run(dry_run),
        &session.context,
    )?;
    if report.from == report.to {
        let text = format!("{} is already {}", report.asset, report.to);
        return Ok(Answer::new(&report, text));
    }
    let text = format!(
        "{}bumped {} from {} to {}",
        would(dry_run),
        report.asset,
        report.from,
        report.to
    );
    Ok(Answer::new(&report, text))
}

pub(super) fn rename(session: &Session, asset: &str, name: &str, dry_run: bool) -> Result<Answer, Error> {
    let options = ChangeOptions::new().dry_run(dry_run);
    let report = session.open()?.rename(asset, name, &options, &session.context)?;
    let mut lines = format!(
        "{}renamed {} to {}, in `{}`\n",
        would(dry_run),
        report.from,
        report.to,
        report.path
    );
    for one in &report.requirements {
        let who = one.asset.as_deref().unwrap_or("the workspace");
        let group = one.group.as_ref().map(|group| format!(" in group {group}"));
        lines.push_str(&format!(
            "  {who} requires {}{} instead of {}\n",
            one.change.requirement,
            group.unwrap_or_default(),
            one.change.replaced.as_deref().unwrap_or_default()
        ));
    }
    if !report.mentions.is_empty() {
        lines.push_str("these files still contain the old name; change them if necessary:\n");
        for path in &report.mentions {
            lines.push_str(&format!("  {}\n", text::printable(path)));
        }
    }
    Ok(Answer::new(&report, lines))
}

pub(super) fn build(session: &Session, asset: Option<&str>, dry_run: bool) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let asset = &asset_or_here(session, &workspace, asset)?;
    let report = workspace.build(asset, &ChangeOptions::new().dry_run(dry_run), &session.context)?;
    let text = format!("{}built {}", would(dry_run), describe_wheel(&report));
    Ok(Answer::new(&report, text))
}

fn describe_wheel(report: &BuildReport) -> String {
    let files: u64 = report.outs.iter().map(|o| o.files).sum();
    let bytes: u64 = report.outs.iter().map(|o| o.size).sum();
    let size = format!(" ({})", text::bytes(report.size));
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
    workspace: &Workspace,
    asset: &str,
    options: &PublishOptions,
) -> Result<(Answer, PublishReport), Error> {
    let options = options.clone().remove(
        options
            .remove
            .iter()
            .map(|p| session.here.join(p))
            .collect::<Vec<_>>(),
    );
    let report = workspace.publish(asset, &options, &session.context)?;
    if report.skipped {
        let text = format!(
            "skipped: {} already has {} {}",
            report.repo, report.asset, report.version
        );
        return Ok((Answer::new(&report, text), report));
    }
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
    for gap in &report.gaps {
        let some = gap.names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        let more = if gap.missing > 5 { ", ..." } else { "" };
        lines.push_str(&format!(
            "note: {} has a gap between {} and {}: {} missing ({some}{more})\n",
            gap.path, gap.first, gap.last, gap.missing
        ));
    }
    lines.push_str(&describe_push(&report.files));
    let published = if report.already {
        "already published with identical contents: "
    } else {
        "published "
    };
    lines.push_str(&format!(
        "{}{published}{} {} to {}: {}\n",
        would(options.dry_run && !report.already),
        report.asset,
        report.version,
        report.repo,
        report.wheel.as_ref().map(describe_wheel).unwrap_or_default()
    ));
    lines.push_str(
        &report
            .dirtied
            .as_ref()
            .map(super::cascade::dirtied)
            .unwrap_or_default(),
    );
    Ok((Answer::new(&report, lines), report))
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

/// Names with a sign before them, sequences folded: `~ f.[0001-0010].exr`.
pub(super) fn folded(names: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    for sign in ["+ ", "- ", "~ "] {
        let some = names.iter().filter_map(|name| name.strip_prefix(sign));
        lines.extend(
            fold_names(some)
                .into_iter()
                .map(|(name, _)| format!("{sign}{name}")),
        );
    }
    lines
}

/// The names of changed files, one a line.
fn names_of(changes: &FileChanges) -> String {
    let mut lines: String = folded(&changes.names)
        .iter()
        .map(|name| format!("  {name}\n"))
        .collect();
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
        "{}pushed {} ({}{sent}) to {remote}; {} already there\n",
        would(report.dry_run),
        text::count(report.objects, "object"),
        text::bytes(report.bytes),
        report.already_there
    )
}

/// The assets among what was named, and the files: what has a separator or what only patterns have.
fn named(session: &Session, (names, frames): (&[String], Option<&str>)) -> (Vec<String>, SomeFiles) {
    let is_path = |name: &&String| name.contains(['/', '*', '?', '[']) || *name == "." || *name == "..";
    let (paths, names): (Vec<&String>, Vec<&String>) = names.iter().partition(is_path);
    let some = SomeFiles::new()
        .paths(paths.into_iter().map(PathBuf::from).collect::<Vec<_>>())
        .frames(frames.map(ToOwned::to_owned))
        .here(session.here.clone());
    (names.into_iter().cloned().collect(), some)
}

pub(super) fn push(
    session: &Session,
    given: (&[String], Option<&str>),
    remote: Option<&str>,
    dry_run: bool,
) -> Result<Answer, Error> {
    let (names, some) = named(session, given);
    let options = PushOptions::new()
        .some(some)
        .remote(remote.map(ToOwned::to_owned))
        .dry_run(dry_run);
    let report = session.open()?.push(&names, &options, &session.context)?;
    let mut text = describe_push(&report);
    if text.is_empty() {
        text.push_str("no tracked files to push\n");
    }
    text.push_str(&super::browse::left_out(&report.problems));
    Ok(moved(&report, text))
}

/// The answer of a push or pull, which fails where assets were left out.
fn moved(report: &MoveReport, text: impl Into<String>) -> Answer {
    let mut answer = Answer::new(report, text);
    answer.failure = AssetsLeftOut::of(&report.problems).map(|failure| Box::new(failure) as _);
    answer
}

pub(super) fn pull(
    session: &Session,
    given: (&[String], Option<&str>),
    remote: Option<&str>,
    force: bool,
    dry_run: bool,
) -> Result<Answer, Error> {
    let (names, some) = named(session, given);
    let options = PullOptions::new()
        .some(some)
        .remote(remote.map(ToOwned::to_owned))
        .force(force)
        .dry_run(dry_run);
    let report = session.open()?.pull(&names, &options, &session.context)?;
    Ok(moved(&report, describe_pull(&report)))
}

/// The report of a pull, in lines.
pub(super) fn describe_pull(report: &MoveReport) -> String {
    let dry_run = report.dry_run;
    let mut left_out = super::browse::left_out(&report.problems);
    for asset in &report.on_demand {
        left_out.push_str(&format!(
            "{asset} is pulled on demand: `backlot pull {asset}` fetches its files\n"
        ));
    }
    if report.assets.is_empty() {
        return format!("no tracked files to pull\n{left_out}");
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
        let removed = match asset.removed {
            0 => String::new(),
            count => format!(", {count} removed"),
        };
        let placed = format!("{}{} placed{removed}", would(dry_run), asset.placed);
        rows.push(vec![asset.name.clone(), text::count(asset.files, "file"), placed]);
        for overwritten in &asset.set_aside {
            let line = format!("{}set aside {overwritten}: it was modified", would(dry_run));
            rows.push(vec![String::new(), line]);
        }
        for kept in &asset.kept {
            rows.push(vec![String::new(), format!("kept {kept}: it was modified")]);
        }
    }
    lines.push_str(&columns(&rows));
    if !dry_run && report.assets.iter().any(|asset| !asset.set_aside.is_empty()) {
        lines.push_str("`backlot pull --undo` restores the files that were set aside\n");
    }
    lines.push_str(&left_out);
    lines
}

pub(super) fn undo_pull(session: &Session, dry_run: bool) -> Result<Answer, Error> {
    let report = session
        .open()?
        .undo_pull(&ChangeOptions::new().dry_run(dry_run), &session.context)?;
    let mut lines = String::new();
    for path in &report.restored {
        lines.push_str(&format!("{}restored {path}\n", would(dry_run)));
    }
    for path in &report.kept {
        lines.push_str(&format!("kept {path}: it was changed since then\n"));
    }
    Ok(Answer::new(&report, lines))
}

pub(super) fn rebase(session: &Session, name: &str, dry_run: bool) -> Result<Answer, Error> {
    let report = session
        .open()?
        .rebase(name, &ChangeOptions::new().dry_run(dry_run), &session.context)?;
    let Some(onto) = &report.onto else {
        let text = format!("{}: no newer release", report.asset);
        return Ok(Answer::new(&report, text));
    };
    let mut lines = format!(
        "{}merged the changes of {onto} into {}, now {}: {} new, {} changed, {} removed\n",
        would(dry_run),
        report.asset,
        report.version,
        report.changes.new,
        report.changes.changed,
        report.changes.gone
    );
    lines.push_str(&names_of(&report.changes));
    Ok(Answer::new(&report, lines))
}

pub(super) fn edit(session: &Session, name: &str, dry_run: bool) -> Result<Answer, Error> {
    let report = session
        .open()?
        .edit(name, &ChangeOptions::new().dry_run(dry_run), &session.context)?;
    let text = format!(
        "{}made {} {} editable in `{}` as {}\nrun `backlot pull {}` to fetch its files",
        would(dry_run),
        report.asset,
        report.from,
        report.path,
        report.to,
        report.asset
    );
    Ok(Answer::new(&report, text))
}
