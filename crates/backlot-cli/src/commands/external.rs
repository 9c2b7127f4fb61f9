//! Interpreters, channels and conda packages.

use backlot::{Error, ExternalReport, InstalledPython, Origin};
use serde_json::json;

use super::places::relative_to_workspace;
use crate::args::{Channel, External, Python};
use crate::output::{Answer, columns, would};
use crate::session::Session;

pub(super) fn python(session: &Session, command: &Python) -> Result<Answer, Error> {
    match command {
        Python::List => {
            let all = backlot::installed_pythons(&session.host)?;
            let text = if all.is_empty() {
                "no interpreters installed; run `backlot python install 3.12`".to_owned()
            } else {
                columns(&all.iter().map(row).collect::<Vec<_>>())
            };
            Ok(Answer::new(&json!({ "pythons": all }), text))
        }
        Python::Install { version, dry } => {
            let report = session
                .open()?
                .install_python(version, &dry.changes(), &session.context)?;
            let text = if report.unchanged {
                format!(
                    "Python {} is already installed: `{}`",
                    report.python.version,
                    report.python.executable.display()
                )
            } else {
                format!(
                    "{}installed Python {} of {} as `{}`",
                    would(dry.dry_run),
                    report.python.version,
                    backlot::text::count(report.packages.len() as u64, "package"),
                    report.python.executable.display()
                )
            };
            Ok(Answer::new(&report, text))
        }
        Python::Remove { version, dry } => {
            let report = backlot::remove_python(version, dry.dry_run, &session.host, &session.context)?;
            let versions: Vec<&str> = report.removed.iter().map(|p| p.version.as_str()).collect();
            let text = format!("{}removed Python {}", would(dry.dry_run), versions.join(", "));
            Ok(Answer::new(&report, text))
        }
    }
}

fn row(python: &InstalledPython) -> Vec<String> {
    vec![
        python.version.clone(),
        python.executable.display().to_string(),
        backlot::text::count(python.packages as u64, "package"),
    ]
}

pub(super) fn channel(session: &Session, command: &Channel) -> Result<Answer, Error> {
    let workspace = session.open()?;
    match command {
        Channel::Add { channel, dry } => {
            let channel = relative_to_workspace(session, &workspace, channel);
            let status = workspace.add_channel(&channel, &dry.changes(), &session.context)?;
            let text = format!("{}added the channel {}", would(dry.dry_run), status.channel);
            Ok(Answer::new(&status, text))
        }
        Channel::List => {
            let all = workspace.list_channels(&session.context)?;
            let line = |status: &backlot::ChannelStatus| match &status.origin {
                Origin::User(file) => vec![status.channel.clone(), format!("by `{}`", file.display())],
                _ => vec![status.channel.clone()],
            };
            let text = if all.is_empty() {
                "no channels; add one with `backlot channel add FOLDER-OR-URL`".to_owned()
            } else {
                columns(&all.iter().map(line).collect::<Vec<_>>())
            };
            Ok(Answer::new(&json!({ "channels": all }), text))
        }
        Channel::Remove { channel, dry } => {
            let status = workspace.remove_channel(channel, &dry.changes(), &session.context)?;
            let text = format!("{}removed the channel {}", would(dry.dry_run), status.channel);
            Ok(Answer::new(&status, text))
        }
    }
}

pub(super) fn external(session: &Session, command: &External) -> Result<Answer, Error> {
    let workspace = session.open()?;
    match command {
        External::Add { requirements, dry } => {
            let report = workspace.add_external(requirements, &dry.changes(), &session.context)?;
            Ok(Answer::new(&report, describe(&report)))
        }
        External::Remove { names, dry } => {
            let report = workspace.remove_external(names, &dry.changes(), &session.context)?;
            Ok(Answer::new(&report, describe(&report)))
        }
        External::List => {
            let status = workspace.external(&session.context)?;
            let rows: Vec<Vec<String>> = status
                .packages
                .iter()
                .map(|p| vec![p.name.clone(), p.version.clone(), p.build.clone(), p.url.clone()])
                .collect();
            let asked = if status.requirements.is_empty() {
                "no external packages are required".to_owned()
            } else {
                format!("required: {}", status.requirements.join(", "))
            };
            let step = if status.in_step {
                ""
            } else {
                "\ndiffers from the lock; run `backlot install` to update it"
            };
            Ok(Answer::new(&status, format!("{}{asked}{step}", columns(&rows))))
        }
    }
}

fn describe(report: &ExternalReport) -> String {
    let rows: Vec<Vec<String>> = report
        .changes
        .iter()
        .map(|change| {
            let (sign, what) = match (&change.from, &change.to) {
                (None, Some(to)) => ("+", to.clone()),
                (Some(from), Some(to)) => ("~", format!("{from} -> {to}")),
                (from, None) => ("-", from.clone().unwrap_or_default()),
            };
            vec![format!("{sign} {}", change.name), what]
        })
        .collect();
    format!(
        "{}{}changed {} in `{}`; {} unchanged",
        columns(&rows),
        would(report.dry_run),
        backlot::text::count(report.changes.len() as u64, "package"),
        report.prefix,
        report.unchanged
    )
}
