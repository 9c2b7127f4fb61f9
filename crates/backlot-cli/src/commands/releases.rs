//! Published releases: their status, and copying them between repos.

use backlot::{
    CopiedRelease, CopyFilesReport, CopyOptions, CopyState, DeprecateOptions, Error, JudgeOptions, LabelRow,
    MirrorOptions, PolicyRow, PolicyScope, PrereleasePolicy, RecordedCheck, ReleaseEvent, ReposDiffer,
    StatusChange, Timestamp, Version, text,
};

use crate::args::{CopyArgs, DeprecateArgs, Label, MirrorArgs, PolicyArgs, VerdictArgs};
use crate::output::{Answer, columns, would};
use crate::session::Session;

pub(super) fn set_status(
    session: &Session,
    verdict: StatusChange,
    args: &VerdictArgs,
) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let report = workspace.set_status(
        &args.release,
        verdict,
        &args.message,
        &JudgeOptions::new()
            .repo(args.repo.clone())
            .dry_run(args.dry.dry_run),
        &session.context,
    )?;
    let verb = match verdict {
        StatusChange::Approve => "approved",
        StatusChange::Deprecate => "deprecated",
        StatusChange::Yank => "yanked",
        StatusChange::Unyank => "unyanked",
    };
    let release = format!("{} {} in {}", report.package, report.version, report.repo);
    let text = if report.report.already {
        format!("nothing to do: {release} is already {}", state(verdict))
    } else {
        let reason = text::printable(&report.report.fact.reason);
        format!("{}{verb} {release}: {reason}", would(report.dry_run))
    };
    Ok(Answer::new(&report, text))
}

/// One release, or all that conditions admit.
pub(super) fn deprecate(session: &Session, args: &DeprecateArgs) -> Result<Answer, Error> {
    if let (Some(release), None, None) = (&args.release, &args.below, args.unused_for) {
        let one = VerdictArgs {
            release: release.clone(),
            repo: args.repo.clone(),
            message: args.message.clone().unwrap_or_default(),
            dry: args.dry,
        };
        return set_status(session, StatusChange::Deprecate, &one);
    }
    let below = args.below.as_deref().map(Version::parse).transpose()?;
    let listed_only = args.unused_for.is_some() && !args.yes;
    let options = DeprecateOptions::new()
        .asset(args.release.clone())
        .repo(args.repo.clone())
        .below(below)
        .unused_for(args.unused_for)
        .dry_run(args.dry.dry_run || listed_only);
    let report = session
        .open()?
        .deprecate(&options, args.message.as_deref(), &session.context)?;
    let mut text = format!(
        "{}deprecated {}\n",
        would(report.dry_run),
        text::count(report.releases.len() as u64, "release")
    );
    let date = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    if !report.releases.is_empty() {
        let head = ["release", "repo", "published", "last used", "used by"];
        let mut table = vec![head.map(ToOwned::to_owned).to_vec()];
        table.extend(report.releases.iter().map(|one| {
            vec![
                format!("{} {}", one.package, one.version),
                one.repo.clone(),
                date(one.published),
                date(one.last_used),
                one.users.join(", "),
            ]
        }));
        text.push_str(&columns(&table));
    }
    if !report.kept.is_empty() {
        let kept = text::count(report.kept.len() as u64, "release");
        text.push_str(&format!("{kept} of that age kept; --json lists the reasons\n"));
    }
    if listed_only && !args.dry.dry_run && !report.releases.is_empty() {
        text.push_str("nothing was changed; use `--yes` to deprecate them\n");
    }
    Ok(Answer::new(&report, text))
}

pub(super) fn label(session: &Session, label: &Label) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let report = match label {
        Label::List { asset, repo } => {
            let rows = workspace.labels(asset, repo.as_deref(), &session.context)?;
            let row = |row: &LabelRow| {
                let moved = row.moved.as_ref().map(|moved| {
                    let (author, reason) = (text::printable(&moved.author), text::printable(&moved.reason));
                    format!("{} by {author}: {reason}", moved.at)
                });
                vec![
                    row.label.clone(),
                    row.version.to_string(),
                    row.repo.clone(),
                    moved.unwrap_or_default(),
                ]
            };
            let lines = columns(&rows.iter().map(row).collect::<Vec<_>>());
            return Ok(Answer::new(&serde_json::json!({ "labels": rows }), lines));
        }
        Label::Set { release, label, how } => {
            workspace.set_label(release, label, &how.options(), &session.context)?
        }
        Label::Remove { asset, label, how } => {
            workspace.remove_label(asset, label, &how.options(), &session.context)?
        }
    };
    let would = would(report.dry_run);
    let (label, package, repo) = (&report.label, &report.package, &report.repo);
    let text = match (&report.before, &report.version) {
        (_, Some(at)) if report.already => {
            format!("nothing to do: {label} of {package} in {repo} is already {at}")
        }
        (Some(before), Some(at)) => {
            format!("{would}moved {label} of {package} in {repo} from {before} to {at}")
        }
        (None, Some(at)) => format!("{would}created {label} of {package} in {repo}: {at}"),
        (_, None) => format!("{would}removed {label} of {package} in {repo}"),
    };
    Ok(Answer::new(&report, text))
}

/// Which releases may be chosen, after a change if one was asked for.
pub(super) fn policy(session: &Session, args: &PolicyArgs) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let rows = match args.change() {
        Some(change) => workspace.set_policy(&change, &session.context)?,
        None => workspace.policies(&session.context)?,
    };
    let told = |row: &PolicyRow| {
        let of = match &row.of {
            PolicyScope::Repo(name) => format!("repo {name}"),
            PolicyScope::Asset(name) => format!("asset {name}"),
            _ => "workspace".to_owned(),
        };
        let status = row.status.map(|status| format!("status {}", status.as_str()));
        let prereleases = row.prereleases.map(|when| {
            let word = match when {
                PrereleasePolicy::Allow => "allow",
                PrereleasePolicy::IfNecessary => "if-necessary",
                PrereleasePolicy::Disallow => "disallow",
            };
            format!("prereleases {word}")
        });
        let label = row.label.as_ref().map(|label| format!("label {label}"));
        let said = [status, prereleases, label].into_iter().flatten();
        vec![of, said.collect::<Vec<_>>().join(", ")]
    };
    let lines = columns(&rows.iter().map(told).collect::<Vec<_>>());
    Ok(Answer::new(
        &serde_json::json!({ "policies": rows, "dry_run": args.dry.dry_run }),
        lines,
    ))
}

fn state(verdict: StatusChange) -> &'static str {
    match verdict {
        StatusChange::Approve => "approved by you with this reason",
        StatusChange::Deprecate => "deprecated by you with this reason",
        StatusChange::Yank => "yanked by you with this reason",
        StatusChange::Unyank => "not yanked",
    }
}

/// `yanked    2026-11-21T08:00:00Z by ana on here: why`, without data that an index does not provide.
pub(super) fn said(what: &str, fact: &ReleaseEvent) -> String {
    let mut known = Vec::new();
    if fact.at != Timestamp(0) {
        known.push(fact.at.to_string());
    }
    for (word, who) in [("by", &fact.author), ("on", &fact.machine)] {
        if !who.is_empty() {
            known.push(format!("{word} {}", text::printable(who)));
        }
    }
    let mut line = format!("  {what:<9} {}", known.join(" "));
    let reason = text::printable(&fact.reason);
    if !reason.is_empty() {
        line.push_str(if known.is_empty() { "" } else { ": " });
        line.push_str(&reason);
    }
    line.truncate(line.trim_end().len());
    line.push('\n');
    line
}

/// `  check     frames.complete fail (warn), waived by ana until 2026-12-31: why`.
pub(super) fn checked(check: &RecordedCheck) -> String {
    let (id, outcome) = (text::printable(&check.check), text::printable(&check.outcome));
    let mut line = format!("  check     {id} {outcome} ({}", text::printable(&check.level));
    if let Some(from) = &check.from {
        line.push_str(&format!(", {}", text::printable(from)));
    }
    line.push(')');
    if let Some(waiver) = &check.waived {
        let said = format!(
            ", waived by {} until {}: {}",
            waiver.by, waiver.until, waiver.reason
        );
        line.push_str(&text::printable(&said));
    }
    line.push('\n');
    line
}

pub(super) fn copy(session: &Session, args: &CopyArgs) -> Result<Answer, Error> {
    let options = CopyOptions::new()
        .from(args.from.clone())
        .to(args.to.clone())
        .with_deps(args.with_deps)
        .from_remote(args.ends.from_remote.clone())
        .to_remote(args.ends.to_remote.clone())
        .without_files(args.without_files)
        .message(args.message.clone())
        .force(args.force)
        .dry_run(args.dry.dry_run);
    let report = session
        .open()?
        .copy_release(&args.release, &options, &session.context)?;
    let mut lines = report.files.as_ref().map(describe_files).unwrap_or_default();
    for release in &report.releases {
        lines.push_str(&describe_release(
            release,
            &report.from,
            &report.to,
            report.dry_run,
        ));
    }
    Ok(Answer::new(&report, lines))
}

pub(super) fn mirror(session: &Session, args: &MirrorArgs) -> Result<Answer, Error> {
    let options = MirrorOptions::new()
        .from(args.from.clone())
        .to(args.to.clone())
        .names(args.name.clone())
        .newest(args.newest.map(|n| n as usize))
        .files(args.files || args.ends.from_remote.is_some() || args.ends.to_remote.is_some())
        .from_remote(args.ends.from_remote.clone())
        .to_remote(args.ends.to_remote.clone())
        .message(args.message.clone())
        .dry_run(args.dry.dry_run);
    let report = session.open()?.mirror(&options, &session.context)?;
    let mut lines = report.files.as_ref().map(describe_files).unwrap_or_default();
    for release in &report.copied {
        lines.push_str(&describe_release(
            release,
            &report.from,
            &report.to,
            report.dry_run,
        ));
    }
    for conflict in &report.conflicts {
        lines.push_str(&format!(
            "{} {} has different contents in {} ({}); skipped\n",
            conflict.package,
            conflict.version,
            report.to,
            conflict.files.join(", ")
        ));
    }
    lines.push_str(&format!(
        "{}copied {}, {} already there, {} new\n",
        would(report.dry_run),
        text::count(report.copied.len() as u64, "release"),
        report.already_there,
        text::count(report.facts, "fact")
    ));
    let mut answer = Answer::new(&report, lines);
    if !report.conflicts.is_empty() {
        answer.failure = Some(Box::new(ReposDiffer {
            count: report.conflicts.len(),
            from: report.from,
            to: report.to,
        }));
    }
    Ok(answer)
}

fn describe_files(files: &CopyFilesReport) -> String {
    if files.from == files.to {
        let count = text::count(files.already_there, "object");
        return format!("files: {count} already on {}\n", files.to);
    }
    format!(
        "files: {}copied {} from {} to {}, {} already there\n",
        would(files.dry_run),
        text::count(files.objects, "object"),
        files.from,
        files.to,
        files.already_there
    )
}

fn describe_release(release: &CopiedRelease, from: &str, to: &str, dry_run: bool) -> String {
    let name = format!("{} {}", release.package, release.version);
    let facts = match release.facts {
        0 => String::new(),
        facts => format!(", with {}", text::count(facts, "event")),
    };
    let mut lines = match release.state {
        CopyState::Copied => format!("{}copied {name} from {from} to {to}{facts}\n", would(dry_run)),
        CopyState::There => format!("{name} is already in {to}{facts}\n"),
    };
    if release.files.len() > 1 && release.state == CopyState::Copied {
        for file in &release.files {
            let there = match file.state {
                CopyState::Copied => "",
                CopyState::There => ", already there",
            };
            lines.push_str(&format!("  {}{there}\n", file.file));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use backlot::ReleaseEvent;

    use super::said;

    fn fact(author: &str, machine: &str, at: u64) -> ReleaseEvent {
        let fact = serde_json::json!({
            "format": 1, "kind": "yanked", "package": "table", "version": "1.0", "author": author,
            "reason": "wrong scale", "machine": machine, "tool": "", "at": at, "time": "",
        });
        serde_json::from_value(fact).expect("a fact")
    }

    #[test]
    fn of_a_fact_only_what_is_known_is_told() {
        let whole = said("yanked", &fact("ana", "here", 1_000));
        assert_eq!(
            whole,
            "  yanked    1970-01-01T00:00:01Z by ana on here: wrong scale\n"
        );
        assert_eq!(said("yanked", &fact("", "", 0)), "  yanked    wrong scale\n");
        assert_eq!(
            said("yanked", &fact("ana", "", 0)),
            "  yanked    by ana: wrong scale\n"
        );
    }
}
