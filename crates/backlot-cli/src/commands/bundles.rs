//! Bundles: made, and imported.

use backlot::{BundleOptions, BundleReport, Error, UnbundleOptions, UnbundleReport, UnbundledState, text};

use crate::args::{BundleArgs, UnbundleArgs};
use crate::output::{Answer, columns, would};
use crate::session::Session;

pub(super) fn bundle(session: &Session, args: &BundleArgs) -> Result<Answer, Error> {
    let options = BundleOptions::new()
        .output(session.here.join(&args.output))
        .from(args.from.clone())
        .remote(args.remote.clone())
        .dry_run(args.dry.dry_run);
    let report = session
        .open()?
        .bundle(&args.releases, &options, &session.context)?;
    Ok(Answer::new(&report, describe(&report)))
}

fn describe(report: &BundleReport) -> String {
    let rows = report.packages.iter().map(|package| {
        let name = package.asset.clone().unwrap_or_else(|| package.name.to_string());
        vec![name, package.version.to_string(), text::bytes(package.size)]
    });
    let mut lines = columns(&rows.collect::<Vec<_>>());
    if report.fetched.objects > 0 {
        lines.push_str(&format!(
            "{}fetched {}, {}\n",
            would(report.dry_run),
            text::count(report.fetched.objects, "object"),
            text::bytes(report.fetched.bytes)
        ));
    }
    let platform = match &report.platform {
        Some(platform) => format!(", {} on {} only", platform.os, platform.arch),
        None => String::new(),
    };
    let size = report.size.map(|size| format!(", {}", text::bytes(size)));
    lines.push_str(&format!(
        "{}made `{}`: {} with {}, for Python {}{platform}{}\n",
        would(report.dry_run),
        report.output.display(),
        text::count(report.packages.len() as u64, "release"),
        text::count(report.files, "file"),
        report.python,
        size.unwrap_or_default()
    ));
    lines
}

pub(super) fn unbundle(session: &Session, args: &UnbundleArgs) -> Result<Answer, Error> {
    let options = UnbundleOptions::new()
        .into_repo(args.into_repo.clone())
        .push(args.push.clone())
        .message(args.message.clone())
        .dry_run(args.dry.dry_run);
    let report = session
        .open()?
        .unbundle(&session.here.join(&args.bundle), &options, &session.context)?;
    Ok(Answer::new(&report, describe_import(&report)))
}

fn describe_import(report: &UnbundleReport) -> String {
    let repo = report.repo.as_deref().unwrap_or("bundles");
    let mut lines = String::new();
    for package in &report.packages {
        let name = format!("{} {}", package.name, package.version);
        lines.push_str(&match package.state {
            UnbundledState::Imported => format!("{}imported {name} into {repo}\n", would(report.dry_run)),
            UnbundledState::There => format!("{name} is already in {repo}\n"),
            UnbundledState::Left => format!("{name}: files only\n"),
        });
    }
    lines.push_str(&format!(
        "files: {}, {}; {} new to the cache\n",
        text::count(report.files.objects, "object"),
        text::bytes(report.files.bytes),
        report.files.new
    ));
    if let Some(pushed) = &report.pushed {
        lines.push_str(&format!(
            "{}pushed {} to {}, {} already there\n",
            would(report.dry_run),
            text::count(pushed.objects, "object"),
            pushed.remote.as_deref().unwrap_or("the remote"),
            pushed.already_there
        ));
    }
    if let Some(installed) = &report.installed {
        let placed = report.pulled.iter().flat_map(|pulled| &pulled.assets);
        lines.push_str(&format!(
            "changed {} in `{}`, placed {}\n",
            text::count(installed.changes.len() as u64, "package"),
            installed.environment,
            text::count(placed.map(|asset| asset.placed).sum(), "file")
        ));
    }
    lines
}
