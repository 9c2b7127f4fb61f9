//! Answers: a report as JSON, or as text made of lines and aligned columns.

use std::io::Write as _;

use backlot::{Coded, text};
use serde::Serialize;
use serde_json::Value;

use crate::session::Session;

/// What a command answers.
pub(crate) struct Answer {
    /// The report.
    pub(crate) json: Value,
    /// The same for people.
    pub(crate) text: String,
    /// Why the command fails all the same (`verify` that found damage).
    pub(crate) failure: Option<Box<dyn Coded>>,
    /// The exit code of a command that was run; nothing is printed then.
    pub(crate) exit: Option<u8>,
}

impl Answer {
    pub(crate) fn new(report: &impl Serialize, text: impl Into<String>) -> Self {
        let json = serde_json::to_value(report).unwrap_or(Value::Null);
        Self {
            json,
            text: text.into(),
            failure: None,
            exit: None,
        }
    }

    /// The exit code of a command that has spoken for itself.
    pub(crate) fn exit(code: u8) -> Self {
        Self {
            exit: Some(code),
            ..Self::new(&Value::Null, "")
        }
    }
}

/// Print an answer; a closed pipe is nobody's fault.
pub(crate) fn print(answer: &Answer, session: &Session) {
    let mut out = std::io::stdout().lock();
    if session.json {
        drop(writeln!(out, "{:#}", answer.json));
    } else if !session.quiet && !answer.text.is_empty() {
        drop(writeln!(out, "{}", text::sanitize(answer.text.trim_end())));
    }
}

/// Rows as columns with two spaces between; the last column is not padded.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(column) {
                Some(known) => *known = (*known).max(width),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            line.push_str(cell);
            if column + 1 < row.len() {
                line.push_str(&" ".repeat(widths[column] + 2 - cell.chars().count()));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `would ` before a verb in a dry run.
pub(crate) fn would(dry_run: bool) -> &'static str {
    if dry_run { "would have " } else { "" }
}
