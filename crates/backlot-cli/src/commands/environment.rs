//! Installing, locking, exporting.

use std::path::Path;

use backlot::{
    ChangeOptions, Error, ExportFormat, ExportOptions, GetOptions, InstallReport, InstallRequest, Localize,
    MoveReport, PackageChange, UpdateOptions, Workspace,
};
use serde::Serialize;

use crate::args;
use crate::output::{Answer, columns, would};
use crate::session::Session;

pub(super) fn install(
    session: &Session,
    requirements: &[String],
    request: &InstallRequest,
    pull: bool,
) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let report = workspace.install(requirements, request, &session.context)?;
    installed(session, &workspace, &report, pull)
}

const WOULD_PULL: &str = "would then pull the tracked files of all inputs that are not on demand\n";

pub(super) fn get(session: &Session, args: &args::GetArgs) -> Result<Answer, Error> {
    let options = GetOptions::new()
        .from(args.from.clone())
        .remote(args.remote.clone())
        .here(session.here.clone())
        .prereleases(args.pre)
        .without_files(args.no_pull)
        .dry_run(args.dry.dry_run);
    let (host, context) = (&session.host, &session.context);
    let report = Workspace::get(&session.workspace, &args.requirements, &options, host, context)?;
    let mut lines = String::new();
    let would = would(options.dry_run);
    if report.made {
        lines.push_str(&format!(
            "{would}created the workspace `{}`\n",
            report.root.display()
        ));
    }
    if let Some(repo) = &report.repo {
        lines.push_str(&format!("{would}added the repo {}: {}\n", repo.name, repo.place));
    }
    if let Some(remote) = &report.remote {
        lines.push_str(&format!(
            "{would}added the remote {}: {}\n",
            remote.name, remote.url
        ));
    }
    lines.push_str(&describe(&report.install));
    match &report.files {
        Some(files) => lines.push_str(&super::assets::describe_pull(files)),
        None if options.without_files => {}
        None => lines.push_str(WOULD_PULL),
    }
    Ok(Answer::new(&report, lines))
}

/// The report of an install, with the files that were pulled.
#[derive(Serialize)]
struct Installed<'a> {
    #[serde(flatten)]
    report: &'a InstallReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<MoveReport>,
}

/// The answer of an install; if that was asked for, the files that have to be here are pulled now.
fn installed(
    session: &Session,
    workspace: &Workspace,
    report: &InstallReport,
    pull: bool,
) -> Result<Answer, Error> {
    let mut lines = describe(report);
    let mut files = None;
    if pull && report.dry_run {
        lines.push_str(WOULD_PULL);
    } else if pull {
        let pulled = workspace.pull_local(&ChangeOptions::new(), &session.context)?;
        lines.push_str(&super::assets::describe_pull(&pulled));
        files = Some(pulled);
    }
    Ok(Answer::new(&Installed { report, files }, lines))
}

/// The inputs with their choice, in lines.
pub(super) fn localize(
    session: &Session,
    asset: Option<&str>,
    when: Option<Localize>,
    dry_run: bool,
) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let all = match (asset, when) {
        (Some(asset), Some(when)) => workspace.localize(
            asset,
            when,
            &ChangeOptions::new().dry_run(dry_run),
            &session.context,
        )?,
        _ => workspace.localized(&session.context)?,
    };
    let row = |one: &backlot::LocalizedAsset| {
        let installed = if one.installed {
            ""
        } else {
            "not installed with tracked files"
        };
        vec![
            one.asset.clone(),
            one.localize.as_str().to_owned(),
            installed.to_owned(),
        ]
    };
    let lines = columns(&all.iter().map(row).collect::<Vec<_>>());
    Ok(Answer::new(
        &serde_json::json!({ "assets": all, "dry_run": dry_run }),
        lines,
    ))
}

pub(super) fn repair(session: &Session, dry_run: bool) -> Result<Answer, Error> {
    let report = session
        .open()?
        .repair_inputs(&ChangeOptions::new().dry_run(dry_run), &session.context)?;
    Ok(Answer::new(&report, describe(&report)))
}

pub(super) fn update(session: &Session, names: &[String], options: UpdateOptions) -> Result<Answer, Error> {
    let report = session.open()?.update(names, &options, &session.context)?;
    Ok(Answer::new(&report, describe(&report)))
}

pub(super) fn uninstall(session: &Session, names: &[String], dry_run: bool) -> Result<Answer, Error> {
    let report =
        session
            .open()?
            .uninstall(names, &ChangeOptions::new().dry_run(dry_run), &session.context)?;
    Ok(Answer::new(&report, describe(&report)))
}

fn describe(report: &InstallReport) -> String {
    let mut text = columns(&report.changes.iter().map(row).collect::<Vec<_>>());
    let python = match &report.python {
        Some(python) => format!("an environment of `{}`", python.display()),
        None => "a plain tree (no interpreter)".to_owned(),
    };
    let verb = if report.changes.is_empty() {
        "nothing to change in".to_owned()
    } else {
        format!(
            "{}changed {} in",
            would(report.dry_run),
            backlot::text::count(report.changes.len() as u64, "package")
        )
    };
    text.push_str(&format!(
        "{verb} `{}`, {python}; {} unchanged\n",
        report.environment, report.unchanged
    ));
    text
}

fn row(change: &PackageChange) -> Vec<String> {
    let (sign, version) = match (&change.from, &change.to) {
        (None, Some(to)) => ("+", to.to_string()),
        (Some(from), Some(to)) if from == to => ("~", to.to_string()),
        (Some(from), Some(to)) => ("~", format!("{from} -> {to}")),
        (from, None) => ("-", from.as_ref().map(ToString::to_string).unwrap_or_default()),
    };
    let origin = match (&change.editable, change.repo.as_ref().or(change.url.as_ref())) {
        (Some(path), _) => format!("editable in {path}"),
        (None, Some(repo)) => format!("from {repo}"),
        (None, None) => String::new(),
    };
    vec![format!("{sign} {}", change.name), version, origin]
}

pub(super) fn lock(session: &Session, request: &InstallRequest) -> Result<Answer, Error> {
    let dry_run = request.dry_run;
    let written = session.open()?.write_lock(request, &session.context)?;
    let count = backlot::text::count(written.lock.packages.len() as u64, "package");
    let text = if written.changed {
        format!(
            "{} backlot.lock with {count}",
            if dry_run { "would have written" } else { "wrote" }
        )
    } else {
        format!("backlot.lock is up to date ({count})")
    };
    Ok(Answer::new(
        &serde_json::json!({ "lock": written.lock, "changed": written.changed, "dry_run": dry_run }),
        text,
    ))
}

pub(super) fn install_from_lock(
    session: &Session,
    file: &Path,
    pull: bool,
    dry_run: bool,
) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let report = workspace.install_from_lock(
        &session.here.join(file),
        &ChangeOptions::new().dry_run(dry_run),
        &session.context,
    )?;
    installed(session, &workspace, &report, pull)
}

pub(super) fn export(
    session: &Session,
    output: Option<&Path>,
    format: Option<args::ExportFormat>,
    no_hashes: bool,
    dry_run: bool,
) -> Result<Answer, Error> {
    let output = output.map(|o| session.here.join(o));
    let named = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("pylock.") && name.ends_with(".toml")
    };
    let format = match format {
        Some(args::ExportFormat::Pylock) => ExportFormat::Pylock,
        None if output.as_deref().is_some_and(named) => ExportFormat::Pylock,
        Some(args::ExportFormat::Requirements) | None => ExportFormat::Requirements,
    };
    let report = session.open()?.export(
        &ExportOptions::new()
            .format(format)
            .output(output)
            .no_hashes(no_hashes)
            .dry_run(dry_run),
        &session.context,
    )?;
    let text = match &report.file {
        Some(file) => format!(
            "{}written {} to `{file}`",
            would(dry_run),
            backlot::text::count(report.packages as u64, "package")
        ),
        None => report.text.clone(),
    };
    Ok(Answer::new(&report, text))
}
