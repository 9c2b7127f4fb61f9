//! Tracked files put back, discarded, or no longer tracked.

use std::path::PathBuf;

use backlot::{
    ChangeOptions, DiscardOptions, Error, PutBackReport, RestoreOptions, Version, Workspace, text,
};

use crate::args::{DiscardArgs, RestoreArgs, UntrackArgs};
use crate::output::{Answer, would};
use crate::session::Session;

pub(super) fn untrack(session: &Session, args: &UntrackArgs) -> Result<Answer, Error> {
    let dry_run = args.dry.dry_run;
    let paths: Vec<PathBuf> = args.paths.iter().map(|path| session.here.join(path)).collect();
    let report = session
        .open()?
        .untrack(&paths, &ChangeOptions::new().dry_run(dry_run), &session.context)?;
    let mut lines = String::new();
    for path in &report.paths {
        let absent = match path.absent {
            0 => String::new(),
            absent => format!("; {absent} more exist only in the release that it was edited from"),
        };
        lines.push_str(&format!(
            "{}untracked {}: {} kept{absent}\n",
            would(dry_run),
            path.path,
            text::count(path.files, "file")
        ));
    }
    Ok(Answer::new(&report, lines))
}

pub(super) fn restore(session: &Session, args: &RestoreArgs) -> Result<Answer, Error> {
    let options = RestoreOptions::new()
        .version(None)
        .repo(args.repo.clone())
        .remote(args.remote.clone())
        .frames(args.frames.clone())
        .dry_run(args.dry.dry_run);
    let workspace = session.open()?;
    // Paths of one version together, in the order in which they were named.
    let mut groups: Vec<(Option<Version>, Vec<PathBuf>)> = Vec::new();
    for given in &args.paths {
        let (path, version) = split_version(session, given);
        match groups.iter_mut().find(|(known, _)| *known == version) {
            Some((_, paths)) => paths.push(path),
            None => groups.push((version, vec![path])),
        }
    }
    let (mut lines, mut reports) = (String::new(), Vec::new());
    for (version, paths) in groups {
        let options = options.clone().version(version.clone());
        let report = workspace.restore(&paths, &options, &session.context)?;
        let from = version.map(|version| format!(" from {version}"));
        lines.push_str(&describe(&report, "restored", &from.unwrap_or_default()));
        reports.push(report);
    }
    let json = serde_json::json!({ "restored": reports, "dry_run": options.dry_run });
    Ok(Answer::new(&json, lines))
}

/// A path and the version behind its last `@`. A path that is there with all of its name is meant by it.
fn split_version(session: &Session, given: &str) -> (PathBuf, Option<Version>) {
    let whole = session.here.join(given);
    if whole.symlink_metadata().is_err()
        && let Some((path, version)) = given.rsplit_once('@')
        && let Ok(version) = Version::parse(version)
    {
        return (session.here.join(path), Some(version));
    }
    (whole, None)
}

pub(super) fn discard(session: &Session, args: &DiscardArgs) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let paths: Vec<PathBuf> = args
        .paths
        .iter()
        .map(|given| asset_or_path(session, &workspace, given))
        .collect::<Result<_, _>>()?;
    let options = DiscardOptions::new()
        .frames(args.frames.clone())
        .dry_run(args.dry.dry_run);
    let report = workspace.discard(&paths, &options, &session.context)?;
    let text = describe(&report, "discarded changes of", "");
    Ok(Answer::new(&report, text))
}

/// The path that is there, or, for a plain name, the folder of the asset.
fn asset_or_path(session: &Session, workspace: &Workspace, given: &str) -> Result<PathBuf, Error> {
    let path = session.here.join(given);
    let is_plain = !given.contains(['/', '*', '?', '[']) && given != "." && given != "..";
    if is_plain && path.symlink_metadata().is_err() {
        return Ok(workspace.output(given, &session.context)?.project.root);
    }
    Ok(path)
}

fn describe(report: &PutBackReport, verb: &str, from: &str) -> String {
    let mut lines = String::new();
    let mut has_copies = false;
    for path in &report.paths {
        if path.placed + path.removed == 0 && path.kept.is_empty() {
            lines.push_str(&format!("{}: nothing to do\n", path.path));
            continue;
        }
        lines.push_str(&format!(
            "{}{verb} {}{from}: {} placed, {} removed, {} unchanged\n",
            would(report.dry_run),
            path.path,
            path.placed,
            path.removed,
            path.unchanged
        ));
        for one in &path.set_aside {
            has_copies = true;
            lines.push_str(&format!(
                "  {}set aside {}: a copy is `{}`\n",
                would(report.dry_run),
                one.path,
                one.copy.display()
            ));
        }
        for kept in &path.kept {
            lines.push_str(&format!(
                "  kept {kept}: it was changed in the meantime, or cannot be tracked\n"
            ));
        }
    }
    if has_copies && !report.dry_run {
        lines.push_str("`backlot pull --undo` restores the files that were set aside\n");
    }
    lines
}
