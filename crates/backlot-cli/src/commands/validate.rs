//! Running the checks of an asset.

use std::io::{IsTerminal as _, Write as _};

use backlot::{
    CheckItem, CheckResult, Error, RepairKind, RepairPlan, ValidateError, ValidateOptions, ValidateReport,
    WaiverState, Workspace, text,
};

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
    if args.repair {
        return repair(session, &workspace, args, &asset, &options);
    }
    let report = workspace.validate(&asset, &options, &session.context)?;
    let mut answer = Answer::new(&report, told(&report));
    answer.failure = report.failure().map(|failure| Box::new(failure) as _);
    Ok(answer)
}

/// Run repairs in a copy, show what they did, and take it over if that is wanted.
fn repair(
    session: &Session,
    workspace: &Workspace,
    args: &ValidateArgs,
    asset: &str,
    options: &ValidateOptions,
) -> Result<Answer, Error> {
    let mut plan = workspace.plan_repairs(asset, options, &session.context)?;
    let mut text = told(&plan.before);
    let shown = changes_text(&plan);
    if plan.can_be_applied() && !args.dry_run {
        let ask = !args.yes && !session.json && !session.quiet && std::io::stdin().is_terminal();
        if args.yes || (ask && agrees(&format!("{text}{shown}"))) {
            plan = workspace.apply_repairs(plan, &session.context)?;
        }
        if ask {
            // It was shown with the question.
            text.clear();
        } else {
            text.push_str(&shown);
        }
    } else {
        text.push_str(&shown);
    }
    if plan.applied {
        if let Some(kept) = &plan.kept {
            text.push_str(&format!("the replaced files are in {kept}\n"));
        }
        text.push_str(&plan.after.as_ref().map(told).unwrap_or_default());
    } else if plan.can_be_applied() {
        text.push_str("nothing was changed; use `--yes` to apply the changes\n");
    }
    let mut answer = Answer::new(&plan, text);
    answer.failure = match &plan.refused {
        Some(reason) => Some(Box::new(ValidateError::NotRepaired {
            asset: asset.to_owned(),
            reason: reason.clone(),
        })),
        None => plan.failure().map(|failure| Box::new(failure) as _),
    };
    Ok(answer)
}

/// Ask for confirmation of some changes.
fn agrees(about: &str) -> bool {
    let mut answer = String::new();
    let asked = write!(
        std::io::stderr(),
        "{}apply these changes? [y/N] ",
        text::sanitize(about)
    );
    asked.is_ok()
        && std::io::stdin().read_line(&mut answer).is_ok()
        && ["y", "yes"].contains(&answer.trim().to_lowercase().as_str())
}

/// The results of repairs, and the files that they changed.
fn changes_text(plan: &RepairPlan) -> String {
    if plan.repairs.is_empty() {
        return "no failed check has a repair\n".to_owned();
    }
    let mut text = String::new();
    for repair in &plan.repairs {
        text.push_str(&format!(
            "repair of {}: {}\n",
            repair.check,
            repair.outcome.as_str()
        ));
        let rows = repair.items.iter().take(FEW).map(row);
        text.push_str(&columns(&rows.collect::<Vec<_>>()));
    }
    for change in &plan.changes {
        let what = match change.kind {
            RepairKind::Added => "add",
            RepairKind::Removed => "remove",
            _ => "change",
        };
        let bytes = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), text::bytes);
        let sizes = format!("{} -> {}", bytes(change.before), bytes(change.after));
        text.push_str(&format!("{what} {} ({sizes})\n", change.path));
        for line in &change.lines {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text
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
        text.push_str(&format!("unused waiver: no check {id} was run\n"));
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
        "cached".to_owned()
    } else {
        format!("{} ms", check.ms)
    });
    let mut text = format!("{outcome}  {}  ({})\n", check.check, about.join(", "));
    for waiver in &check.waivers {
        let state = match waiver.state {
            WaiverState::Active => "until",
            WaiverState::Expired => "expired on",
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
