//! Errors to people and programs: one adapter for every coded error.

use std::error::Error as StdError;
use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use backlot::text::{sanitize, without_temporaries};
use backlot::{Class, Diagnostic};
use miette::{GraphicalReportHandler, GraphicalTheme};
use serde_json::json;

use crate::host;
use crate::output::with_schema;
use crate::session::Session;
use crate::wording::with_commands;

/// A text of an error or warning as it is shown to people.
pub(crate) fn for_people(text: &str) -> String {
    sanitize(&with_commands(&without_temporaries(text)))
}

/// An error for display: its texts, which may contain untrusted parts, sanitised for a terminal.
#[derive(Debug)]
struct Shown {
    message: String,
    code: Option<&'static str>,
    help: Option<String>,
    cause: Option<Box<Self>>,
}

impl Shown {
    fn of(error: &dyn Diagnostic) -> Self {
        Self {
            code: Some(error.code()),
            help: error.help().map(|help| for_people(&help)),
            ..Self::plain(&error.to_string(), error.source())
        }
    }

    fn plain(message: &str, cause: Option<&(dyn StdError + 'static)>) -> Self {
        Self {
            message: for_people(message),
            code: None,
            help: None,
            cause: cause.map(|cause| Box::new(Self::plain(&cause.to_string(), cause.source()))),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Shown {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause
            .as_deref()
            .map(|cause| cause as &(dyn StdError + 'static))
    }
}

impl miette::Diagnostic for Shown {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.code.map(|code| Box::new(code) as Box<dyn fmt::Display>)
    }
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let help = self.help.as_deref();
        help.map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }
}

/// Wrong usage.
#[derive(Debug)]
struct Usage {
    message: String,
    help: String,
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Usage {}

impl Diagnostic for Usage {
    fn code(&self) -> &'static str {
        "command::usage"
    }
    fn class(&self) -> Class {
        Class::User
    }
    fn help(&self) -> Option<String> {
        Some(self.help.clone())
    }
}

/// Print wrong usage of a command, as far as its name was given, in JSON and give its exit code.
pub(crate) fn print_usage(error: &clap::Error, command: &str) -> ExitCode {
    let text = error.to_string();
    let mut parts = text
        .split("\n\n")
        .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    let message = parts.next().unwrap_or_default();
    let (tips, rest): (Vec<String>, Vec<String>) = parts.partition(|part| part.starts_with("tip:"));
    let usage = rest
        .into_iter()
        .find(|part| part.starts_with("Usage:"))
        .unwrap_or_default();
    let tips: String = tips.iter().map(|tip| format!("{tip}. ")).collect();
    let usage = Usage {
        message: message.trim_start_matches("error: ").to_owned(),
        help: format!("{tips}{usage} (`backlot help` lists the commands)")
            .trim()
            .to_owned(),
    };
    let written = writeln!(std::io::stdout(), "{:#}", object(&usage, command));
    exit_code(written, usage.class())
}

/// Print help, the version or wrong usage for people.
pub(crate) fn print_for_people(error: &clap::Error) -> ExitCode {
    let text = error.to_string();
    let clean = sanitize(&text);
    if clean != text {
        // An argument may have control characters, as the name of a file that a shell put there.
        drop(writeln!(std::io::stderr(), "{}", clean.trim_end()));
        return ExitCode::from(Class::User.exit_code());
    }
    let written = error.print();
    if error.use_stderr() {
        return ExitCode::from(Class::User.exit_code());
    }
    match written.and_then(|()| std::io::stdout().flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(Class::Environment.exit_code()),
    }
}

/// The exit code of a report: a failed write takes precedence over its contents.
fn exit_code(written: std::io::Result<()>, class: Class) -> ExitCode {
    let written = written.and_then(|()| std::io::stdout().flush());
    let class = if written.is_ok() {
        class
    } else {
        Class::Environment
    };
    ExitCode::from(class.exit_code())
}

/// An error as JSON.
fn object(error: &dyn Diagnostic, command: &str) -> serde_json::Value {
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(next) = cause {
        causes.push(without_temporaries(&next.to_string()).into_owned());
        cause = next.source();
    }
    let object = json!({ "error": {
        "code": error.code(),
        "class": error.class().as_str(),
        "message": with_commands(&without_temporaries(&error.to_string())),
        "help": error.help().map(|help| with_commands(&help).into_owned()),
        "causes": causes,
    }});
    with_schema(object, command)
}

/// Print an error and give its exit code. After a report in JSON, the error goes to standard error.
pub(crate) fn print(error: &dyn Diagnostic, session: &Session, reported: bool) -> ExitCode {
    show(error, session.json, &session.command, reported)
}

/// Print that a command was stopped which did not stop by itself.
pub(crate) fn print_cancelled(json: bool, command: &str) {
    show(&backlot::Cancelled::Asked, json, command, false);
}

fn show(error: &dyn Diagnostic, json: bool, command: &str, reported: bool) -> ExitCode {
    if json {
        let object = object(error, command);
        if reported {
            drop(writeln!(std::io::stderr(), "{object}"));
        } else {
            return exit_code(writeln!(std::io::stdout(), "{object:#}"), error.class());
        }
    } else {
        let color = std::io::stderr().is_terminal() && !host::no_color();
        let theme = if color {
            GraphicalTheme::unicode()
        } else {
            GraphicalTheme::unicode_nocolor()
        };
        let mut text = String::new();
        let rendered = GraphicalReportHandler::new_themed(theme)
            .with_width(110)
            .render_report(&mut text, &Shown::of(error));
        if rendered.is_err() {
            text = for_people(&error.to_string());
        }
        drop(writeln!(std::io::stderr(), "{}", text.trim_end()));
    }
    ExitCode::from(error.class().exit_code())
}
