//! Published releases: what is said of them.

use backlot::{Error, Fact, Verdict, text};

use crate::args::VerdictArgs;
use crate::output::{Answer, would};
use crate::session::Session;

pub(super) fn judge(session: &Session, verdict: Verdict, args: &VerdictArgs) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let report = workspace.judge(
        &args.release,
        args.repo.as_deref(),
        verdict,
        &args.message,
        args.dry.dry_run,
    )?;
    let verb = match verdict {
        Verdict::Approve => "approved",
        Verdict::Deprecate => "deprecated",
        Verdict::Yank => "yanked",
        Verdict::Unyank => "taken back the yank of",
    };
    let release = format!("{} {} in {}", report.package, report.version, report.repo);
    let text = if report.report.already {
        format!("nothing to do: {release} is {} already", state(verdict))
    } else {
        let reason = text::printable(&report.report.fact.reason);
        format!("{}{verb} {release}: {reason}", would(report.dry_run))
    };
    Ok(Answer::new(&report, text))
}

fn state(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Approve => "approved by you with this reason",
        Verdict::Deprecate => "deprecated by you with this reason",
        Verdict::Yank => "yanked by you with this reason",
        Verdict::Unyank => "not yanked",
    }
}

/// `yanked    2026-11-21T08:00:00Z by ana on here: why`
pub(super) fn said(what: &str, fact: &Fact) -> String {
    format!(
        "  {what:<9} {} by {} on {}: {}\n",
        fact.at,
        text::printable(&fact.author),
        text::printable(&fact.machine),
        text::printable(&fact.reason)
    )
}
