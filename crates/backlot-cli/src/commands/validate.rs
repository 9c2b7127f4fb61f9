//! Running the checks of an asset.

use backlot::{CheckItem, CheckResult, Error, ValidateOptions, ValidateReport, WaiverState};

use crate::args::ValidateArgs;
use crate::output::{Answer, columns};
use crate::session::Session;

/// How many findings of a check are printed.
const FEW: usize = 10;

pub(super) fn validate(session: &Session, args: &ValidateArgs) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let asset = super::assets::asset_or_here(session, &workspace, args.asset.as_deref())?;
    let options = ValidateOptions::new()
        .automatic(args.auto)
        .to(args.to.clone())
        .fresh(args.fresh);
    let report = workspace.validate(&asset, &options, &session.context)?;
    let mut answer = Answer::new(&report, told(&report));
    answer.failure = report.failure().map(|failure| Box::new(failure) as _);
    Ok(answer)
}

fn told(report: &ValidateReport) -> String {
    let mut text = String::new();
    if report.checks.is_empty() {
        text = format!("{} declares no checks\n", report.asset);
    }
    for check in &report.checks {
        text.push_str(&of_check(check));
    }
    for id in &report.unused_waivers {
        text.push_str(&format!("the waiver of {id} is for no check that runs\n"));
    }
    text
}

fn of_check(check: &CheckResult) -> String {
    let outcome = if check.waived {
        "waived"
    } else {
        check.outcome.as_str()
    };
    let mut about = vec![check.level.as_str().to_owned()];
    about.extend(check.from.clone());
    about.push(if check.known {
        "known".to_owned()
    } else {
        format!("{} ms", check.ms)
    });
    let mut text = format!("{outcome}  {}  ({})\n", check.check, about.join(", "));
    for waiver in &check.waivers {
        let state = match waiver.state {
            WaiverState::Active => "until",
            WaiverState::Expired => "expired, it ended on",
            WaiverState::OtherVersion => "not for this version, until",
            WaiverState::NotAllowed => "not allowed by the studio, until",
            _ => "without effect, until",
        };
        let said = &waiver.waiver;
        text.push_str(&format!(
            "  waiver by {}, {state} {}: {}\n",
            said.by, said.until, said.reason
        ));
    }
    let rows = check.items.iter().take(FEW).map(row);
    text.push_str(&columns(&rows.collect::<Vec<_>>()));
    let few = check.items.len().min(FEW) as u64;
    if check.findings > few {
        text.push_str(&format!("  and {} more\n", check.findings - few));
    }
    text
}

fn row(item: &CheckItem) -> Vec<String> {
    let waived = if item.waived { " (waived)" } else { "" };
    vec![
        format!("  {}", item.path.as_deref().unwrap_or("-")),
        format!("{}{waived}", item.message),
    ]
}
