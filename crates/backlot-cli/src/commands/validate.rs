//! Running the checks of an asset.

use backlot::{CheckLevel, CheckOutcome, Error, ValidateOptions};

use crate::args::ValidateArgs;
use crate::output::{Answer, columns};
use crate::session::Session;

/// How many findings of a check are printed.
const FEW: usize = 10;

pub(super) fn validate(session: &Session, args: &ValidateArgs) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let asset = super::assets::asset_or_here(session, &workspace, args.asset.as_deref())?;
    let report = workspace.validate(
        &asset,
        &ValidateOptions::new().automatic(args.auto),
        &session.context,
    )?;
    let mut text = String::new();
    if report.checks.is_empty() {
        text = format!("{} declares no checks", report.asset);
    }
    for check in &report.checks {
        let level = match check.level {
            CheckLevel::Info => "info",
            CheckLevel::Warn => "warn",
            CheckLevel::Error => "error",
        };
        let outcome = match check.outcome {
            CheckOutcome::Pass => "pass",
            CheckOutcome::Fail => "fail",
            CheckOutcome::Skip => "skip",
            CheckOutcome::Crash => "crash",
            CheckOutcome::Timeout => "timeout",
        };
        text.push_str(&format!(
            "{outcome}  {}  ({level}, {} ms)\n",
            check.check, check.ms
        ));
        let rows = check.items.iter().take(FEW);
        let rows = rows.map(|item| {
            vec![
                format!("  {}", item.path.as_deref().unwrap_or("-")),
                item.message.clone(),
            ]
        });
        text.push_str(&columns(&rows.collect::<Vec<_>>()));
        if check.items.len() > FEW {
            text.push_str(&format!("  and {} more\n", check.items.len() - FEW));
        }
    }
    let mut answer = Answer::new(&report, text);
    answer.failure = report.failure().map(|failure| Box::new(failure) as _);
    Ok(answer)
}
