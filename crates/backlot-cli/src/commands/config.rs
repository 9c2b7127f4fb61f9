//! Settings, whether all is fit to work, and this program itself.

use backlot::{ConfigValue, Error, HealthState, Origin, ProblemsFound, SettingOptions};
use clap::CommandFactory as _;
use serde_json::{Value, json};

use crate::args::{Arguments, ConfigCommand, PageFormat, SelfCommand};
use crate::errors::for_people;
use crate::output::{Answer, columns, would};
use crate::pages;
use crate::session::Session;

pub(super) fn config(session: &Session, command: &ConfigCommand) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let context = &session.context;
    match command {
        ConfigCommand::List { origin } => {
            let values = workspace.config_values(context)?;
            let rows: Vec<Vec<String>> = values.iter().map(|value| row(value, *origin)).collect();
            Ok(Answer::new(&json!({ "settings": values }), columns(&rows)))
        }
        ConfigCommand::Get { key, origin } => {
            let value = workspace.config_get(key, context)?;
            let from = if *origin {
                format!("  {}", told(&value.origin))
            } else {
                String::new()
            };
            let text = format!("{}{from}", shown(&value.value));
            Ok(Answer::new(&value, text))
        }
        ConfigCommand::Set {
            key,
            values,
            user,
            dry,
        } => {
            let is_folder = key == "cache";
            let here = |value: &String| session.here.join(value).display().to_string();
            let values: Vec<String> = values
                .iter()
                .map(|value| if is_folder { here(value) } else { value.clone() })
                .collect();
            set(session, key, Some(&values), *user, dry.dry_run)
        }
        ConfigCommand::Unset { key, user, dry } => set(session, key, None, *user, dry.dry_run),
    }
}

fn set(
    session: &Session,
    key: &str,
    values: Option<&[String]>,
    user: bool,
    dry_run: bool,
) -> Result<Answer, Error> {
    let options = SettingOptions::new().user(user).dry_run(dry_run);
    let change = session
        .open()?
        .config_set(key, values, &options, &session.context)?;
    let verb = if values.is_some() { "set" } else { "removed" };
    let mut text = format!("{}{verb} {key} in `{}`\n", would(dry_run), change.file.display());
    let wanted = if user {
        matches!(change.after.origin, Origin::User(_))
    } else {
        change.after.origin == Origin::Workspace
    };
    if values.is_some() && !wanted {
        text.push_str(&format!(
            "the effective value is still {}, from {}\n",
            shown(&change.after.value),
            told(&change.after.origin)
        ));
    }
    Ok(Answer::new(&change, text))
}

fn row(value: &ConfigValue, origin: bool) -> Vec<String> {
    let mut row = vec![value.key.clone(), shown(&value.value)];
    if origin {
        row.push(told(&value.origin));
    }
    row
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(all) if all.is_empty() => "-".to_owned(),
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

fn told(origin: &Origin) -> String {
    match origin {
        Origin::BuiltIn => "built in".to_owned(),
        Origin::User(path) => path.display().to_string(),
        Origin::Workspace => "backlot.toml".to_owned(),
        Origin::Override => "an environment variable".to_owned(),
    }
}

pub(super) fn doctor(session: &Session) -> Result<Answer, Error> {
    let checks = session.open()?.doctor(&session.context)?;
    let mut rows = Vec::new();
    for check in &checks {
        let state = match check.state {
            HealthState::Ok => "ok",
            HealthState::Warning => "warning",
            HealthState::Problem => "problem",
        };
        rows.push(vec![state.to_owned(), check.name.clone(), check.message.clone()]);
        rows.extend(
            check
                .help
                .iter()
                .map(|help| vec![String::new(), String::new(), for_people(help)]),
        );
    }
    let mut answer = Answer::new(&json!({ "checks": checks }), columns(&rows));
    answer.failure = ProblemsFound::of(&checks).map(|failure| Box::new(failure) as _);
    Ok(answer)
}

pub(super) fn program(session: &Session, command: &SelfCommand) -> Result<Answer, Error> {
    match command {
        SelfCommand::Version => Ok(version()),
        SelfCommand::Pages { format, dir } => {
            let dir = session.here.join(dir);
            let command = Arguments::command();
            let pages = match format {
                PageFormat::Markdown => pages::write_markdown(command, &dir)?,
                PageFormat::Man => pages::write_man(command, &dir)?,
            };
            Ok(Answer::new(
                &json!({ "dir": dir, "pages": pages }),
                format!("{pages} pages in `{}`", dir.display()),
            ))
        }
    }
}

fn version() -> Answer {
    let version = env!("CARGO_PKG_VERSION");
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let path = std::env::current_exe().ok();
    let shown = path.as_ref().map(|path| format!(" in `{}`", path.display()));
    let text = format!(
        "backlot {version} for {os} on {arch}{}",
        shown.unwrap_or_default()
    );
    Answer::new(
        &json!({ "version": version, "os": os, "arch": arch, "path": path }),
        text,
    )
}
