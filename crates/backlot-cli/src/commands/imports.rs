//! Imports: made, updated, and their sources asked.

use std::path::PathBuf;

use backlot::{
    Error, FolderAsset, FolderRelease, FolderReleaseState, FolderReport, ImportError, ImportFolder,
    ImportGit, ImportOutcome, ImportRelease, ImportReport, ImportRez, ImportState, ImportStatus, ImportUrl,
    ImportedPath, StoreOptions, UpdateImports, UpdateOptions, text,
};

use crate::args::{ImportArgs, ImportFolderArgs, ImportRezArgs, ImportUrlArgs, UpdateArgs};
use crate::commands::environment;
use crate::output::{Answer, columns, would};
use crate::session::Session;

pub(super) fn import_url(session: &Session, args: &ImportUrlArgs) -> Result<Answer, Error> {
    let store = StoreOptions::new()
        .endpoint(args.endpoint.clone())
        .region(args.region.clone())
        .anonymous(args.anonymous);
    let options = ImportUrl::new()
        .asset(args.asset.clone())
        .folder(session.here.clone())
        .no_download(args.content.no_download)
        .to_remote(args.content.to_remote)
        .remote(args.content.remote.clone())
        .store(store)
        .license(args.license.clone())
        .dry_run(args.dry.dry_run);
    let workspace = session.open()?;
    let report = workspace.import_url(&args.url, args.path.as_deref(), &options, &session.context)?;
    Ok(answer(&report))
}

pub(super) fn import(session: &Session, args: &ImportArgs) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let (repo, context) = (&args.repo, &session.context);
    let Some(inside) = args.inside.as_ref().filter(|_| !args.git) else {
        let options = ImportGit::new()
            .path(args.inside.clone())
            .asset(args.asset.clone())
            .folder(session.here.clone())
            .rev(args.rev.clone())
            .license(args.license.clone())
            .dry_run(args.dry.dry_run);
        return Ok(answer(&workspace.import_git(
            repo,
            &args.release,
            &options,
            context,
        )?));
    };
    let options = ImportRelease::new()
        .path(args.path.clone())
        .asset(args.asset.clone())
        .folder(session.here.clone())
        .remote(args.remote.clone())
        .license(args.license.clone())
        .dry_run(args.dry.dry_run);
    let report = workspace.import_release(repo, &args.release, inside, &options, context)?;
    Ok(answer(&report))
}

/// A rez package as an asset, with the parts that were not converted.
pub(super) fn import_rez(session: &Session, args: &ImportRezArgs) -> Result<Answer, Error> {
    let options = ImportRez::new()
        .name(args.name.clone())
        .asset_type(args.asset_type.clone())
        .dry_run(args.dry.dry_run);
    let report = session
        .open()?
        .import_rez(&session.here.join(&args.path), &options, &session.context)?;
    let would = would(report.dry_run);
    let (name, path) = (&report.asset.name, &report.asset.path);
    let mut lines = format!("{would}created {name} {} in {path}\n", report.version);
    for input in &report.inputs {
        let group = input.group.as_ref().map(|group| format!(" ({group})"));
        let (rez, group) = (text::printable(&input.rez), group.unwrap_or_default());
        lines.push_str(&format!("  requires {}{group}, from {rez}\n", input.requirement));
    }
    for left_out in &report.left_out {
        lines.push_str(&format!("  not converted: {}\n", text::printable(left_out)));
    }
    Ok(Answer::new(&report, lines))
}

/// The versions in a tree as releases, with what was left out.
pub(super) fn import_folder(session: &Session, args: &ImportFolderArgs) -> Result<Answer, Error> {
    let options = ImportFolder::new()
        .name(args.name.clone())
        .asset_type(args.asset_type.clone())
        .folder(args.rename.clone())
        .to(args.to.clone())
        .remote(args.remote.clone())
        .dry_run(args.dry.dry_run);
    let path = session.here.join(&args.path);
    let report = session
        .open()?
        .import_folder(&path, &args.pattern, &options, &session.context)?;
    let mut lines = String::new();
    for asset in &report.assets {
        for release in &asset.releases {
            lines.push_str(&describe_version(asset, release, &report));
        }
    }
    for left_out in report.left_out.iter().take(MOST_LEFT_OUT) {
        let path = text::printable(&left_out.path);
        lines.push_str(&format!(
            "skipped: {path}: {}\n",
            text::printable(&left_out.reason)
        ));
    }
    let more = report.left_out.len().saturating_sub(MOST_LEFT_OUT) as u64;
    if more > 0 {
        lines.push_str(&format!("and {more} more; `--json` lists all\n"));
    }
    let releases = report.assets.iter().flat_map(|asset| &asset.releases);
    let published = releases.filter(|release| release.state == FolderReleaseState::Published);
    lines.push_str(&format!(
        "{}published {} of {} to {}\n",
        would(report.dry_run),
        text::count(published.count() as u64, "release"),
        text::count(report.assets.len() as u64, "asset"),
        report.repo
    ));
    let mut answer = Answer::new(&report, lines);
    if let Some(failure) = report.failure() {
        answer.failure = Some(Box::new(failure));
    }
    Ok(answer)
}

/// How many paths that are left out are listed.
const MOST_LEFT_OUT: usize = 20;

fn describe_version(asset: &FolderAsset, release: &FolderRelease, report: &FolderReport) -> String {
    let (name, version) = (&asset.name, &release.version);
    let from = release.from.iter().map(|from| text::printable(from));
    let from = from.take(3).collect::<Vec<_>>().join(", ");
    let more = if release.from.len() > 3 { ", ..." } else { "" };
    let size = format!(
        "{}, {}",
        text::count(release.files, "file"),
        text::bytes(release.bytes)
    );
    let state = match release.state {
        FolderReleaseState::Published => {
            let would = would(report.dry_run);
            return format!("{would}published {name} {version} ({size}) from {from}{more}\n");
        }
        FolderReleaseState::Already => format!("is already in {}", report.repo),
        FolderReleaseState::Older => "was skipped: this or a newer version is already released".to_owned(),
        FolderReleaseState::Failed => "could not be published".to_owned(),
        _ => "was not imported".to_owned(),
    };
    format!("{name} {version} {state}: {from}{more}\n")
}

/// Inputs, or imports by their pointers.
pub(super) fn update(session: &Session, args: &UpdateArgs) -> Result<Answer, Error> {
    let pointers = args.pointers();
    if pointers.is_empty() {
        let content = &args.content;
        let of_imports = args.force || content.no_download || content.to_remote;
        if of_imports {
            return Err(ImportError::BadUpdate {
                reason: "`--no-download`, `--to-remote` and `--force` require the pointer of an import (PATH.dvc)",
            }
            .into());
        }
        let options = UpdateOptions::new().only(args.only).dry_run(args.dry.dry_run);
        return environment::update(session, &args.names, options);
    }
    if args.only {
        return Err(ImportError::BadUpdate {
            reason: "`--only` applies to inputs, not to pointers of imports",
        }
        .into());
    }
    if pointers.len() < args.names.len() {
        return Err(ImportError::BadUpdate {
            reason: "inputs and imports have to be updated separately",
        }
        .into());
    }
    let options = UpdateImports::new()
        .no_download(args.content.no_download)
        .to_remote(args.content.to_remote)
        .remote(args.content.remote.clone())
        .force(args.force)
        .dry_run(args.dry.dry_run);
    let pointers: Vec<PathBuf> = pointers.iter().map(|path| session.here.join(path)).collect();
    let report = session
        .open()?
        .update_imports(&pointers, &options, &session.context)?;
    Ok(answer(&report))
}

fn answer(report: &ImportReport) -> Answer {
    let mut lines: String = report.imports.iter().map(line).collect();
    if let Some(pushed) = &report.pushed {
        let remote = pushed.remote.as_deref().unwrap_or_default();
        lines.push_str(&format!("on the remote {remote}; not stored locally\n"));
    }
    let mut answer = Answer::new(report, "");
    if !report.problems.is_empty() {
        let failed = report.problems.iter();
        let failed = failed.map(|problem| format!("{}: {}", problem.pointer, problem.message));
        let failed = ImportError::Several {
            failed: failed.collect(),
        };
        answer.failure = Some(Box::new(failed));
    }
    answer.text = lines;
    answer
}

fn line(import: &ImportedPath) -> String {
    let verb = match import.outcome {
        ImportOutcome::Imported => "imported",
        ImportOutcome::Updated => "updated",
        ImportOutcome::Unchanged => "up to date",
        ImportOutcome::WouldImport => "would import",
        ImportOutcome::WouldUpdate => "would update",
        ImportOutcome::MayUpdate => "may update",
        _ => "checked",
    };
    let mut facts = Vec::new();
    facts.extend(import.files.map(|files| text::count(files, "file")));
    facts.extend(import.bytes.map(text::bytes));
    facts.extend(import.reason.clone());
    let facts = if facts.is_empty() {
        String::new()
    } else {
        format!(" ({})", facts.join(", "))
    };
    let mut lines = format!("{verb} {} from {}{facts}\n", import.path, import.source);
    for name in &import.changes.names {
        lines.push_str(&format!("  {name}\n"));
    }
    for path in &import.set_aside {
        lines.push_str(&format!(
            "  set aside {path}; run `backlot pull --undo` to restore it\n"
        ));
    }
    if let Some(weak) = &import.weak {
        lines.push_str(&format!("  weak: {weak}\n"));
    }
    lines
}

/// The states of the sources of all imports.
pub(super) fn states(session: &Session) -> Result<Answer, Error> {
    let imports = session.open()?.import_states(&[], &session.context)?;
    let mut lines = columns(&imports.iter().map(row).collect::<Vec<_>>());
    let changed = imports
        .iter()
        .filter(|import| matches!(import.state, ImportState::Changed | ImportState::Unsure));
    let changed: Vec<&str> = changed.map(|import| import.pointer.as_str()).collect();
    if imports.is_empty() {
        lines.push_str("no imports; create one with `backlot import-url URL PATH`\n");
    } else if !changed.is_empty() {
        lines.push_str(&format!(
            "run `backlot update {}` to apply the changes\n",
            changed.join(" ")
        ));
    }
    Ok(Answer::new(&serde_json::json!({ "imports": imports }), lines))
}

fn row(import: &ImportStatus) -> Vec<String> {
    let state = match import.state {
        ImportState::UpToDate => "up to date",
        ImportState::Changed => "changed",
        ImportState::Unsure => "may have changed",
        ImportState::Gone => "gone",
        ImportState::Unreachable => "unreachable",
        _ => "not checked",
    };
    let mut notes = Vec::new();
    notes.extend(import.reason.clone());
    if import.not_downloaded {
        notes.push("not downloaded".to_owned());
    }
    notes.extend(import.weak.as_ref().map(|weak| format!("weak: {weak}")));
    vec![
        state.to_owned(),
        import.path.clone(),
        import.source.clone(),
        notes.join("; "),
    ]
}
