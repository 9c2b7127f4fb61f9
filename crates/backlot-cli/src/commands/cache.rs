//! The cache of this machine: its size, and eviction.

use backlot::{CacheUserState, CleanReport, Diagnostic as _, Error, text};

use crate::args::Cache;
use crate::output::{Answer, columns, would};
use crate::session::Session;

pub(super) fn cache(session: &Session, command: &Cache) -> Result<Answer, Error> {
    match command {
        Cache::Status => status(session),
        Cache::Dir => dir(session),
        Cache::Clean(args) => {
            let report = session.open()?.clean_cache(&args.options(), &session.context)?;
            Ok(Answer::new(&report, describe(&report)))
        }
    }
}

/// The folder, even without a workspace.
fn dir(session: &Session) -> Result<Answer, Error> {
    let folder = match session.open() {
        Ok(workspace) => workspace.settings(&session.context)?.cache.value,
        Err(error) if error.code() == "workspace::none" => {
            let own = session.host.overrides.cache.clone();
            own.unwrap_or_else(|| session.host.default_cache.clone())
        }
        Err(error) => return Err(error),
    };
    let text = folder.display().to_string();
    Ok(Answer::new(&serde_json::json!({ "cache": folder }), text))
}

fn status(session: &Session) -> Result<Answer, Error> {
    let status = session.open()?.cache_status(&session.context)?;
    let mut lines = format!("cache {}\n", status.cache.display());
    let rows: Vec<Vec<String>> = status
        .parts
        .iter()
        .filter(|part| part.count > 0)
        .map(|part| {
            vec![
                format!("  {}", part.kind),
                part.count.to_string(),
                text::bytes(part.bytes),
            ]
        })
        .collect();
    if !rows.is_empty() {
        lines.push_str(&columns(&rows));
        lines.push('\n');
    }
    lines.push_str(&format!(
        "{} in total, {} free on its disk\n",
        text::bytes(status.bytes),
        text::bytes(status.free)
    ));
    lines.push_str("used by\n");
    for user in &status.workspaces {
        let state = match user.state {
            CacheUserState::Missing => "  (missing)",
            CacheUserState::Unreadable => "  (cannot be read by this user)",
            CacheUserState::Damaged => "  (damaged record)",
            CacheUserState::There => "",
        };
        lines.push_str(&format!("  {}{state}\n", user.path.display()));
    }
    Ok(Answer::new(&status, lines))
}

fn describe(report: &CleanReport) -> String {
    let mut lines = format!(
        "cache {}\nkept for {}\n",
        report.cache.display(),
        text::count(report.workspaces.len() as u64, "workspace")
    );
    for workspace in &report.forgotten {
        lines.push_str(&format!(
            "{}forgot the workspace {}\n",
            would(report.dry_run),
            workspace.display()
        ));
    }
    lines.push_str(&format!(
        "{}removed {}, {} and {}: {}\n",
        would(report.dry_run),
        text::count(report.objects, "object"),
        text::count(report.packages, "unpacked package"),
        text::count(report.environments, "environment"),
        text::bytes(report.freed)
    ));
    lines.push_str(&format!(
        "remaining: {}, of which {} are not needed by any workspace\n",
        text::bytes(report.kept_bytes),
        text::bytes(report.unneeded_bytes)
    ));
    if !report.within_bounds {
        lines.push_str("the limits are not met: the remaining files are needed, or were used more recently than `--unused-for`\n");
    }
    lines
}
