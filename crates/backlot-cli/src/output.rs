//! Answers: a report as JSON, or as text made of lines and aligned columns.

use std::io::Write as _;

use backlot::{Class, Diagnostic, text};
use serde::Serialize;
use serde_json::Value;
use unicode_width::UnicodeWidthStr as _;

use crate::session::Session;

/// The report of a command.
pub(crate) struct Answer {
    /// The report.
    pub(crate) json: Value,
    /// The same for people.
    pub(crate) text: String,
    /// Why the command fails all the same (`verify` that found damage).
    pub(crate) failure: Option<Box<dyn Diagnostic>>,
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

/// The schema version of JSON reports: it rises when a key changes its meaning or is removed.
pub(crate) const SCHEMA: u64 = 1;

/// An object with the version of its schema and the command that made it.
pub(crate) fn with_schema(mut object: Value, command: &str) -> Value {
    if let Value::Object(fields) = &mut object {
        fields.insert("schema".to_owned(), SCHEMA.into());
        fields.insert("command".to_owned(), command.into());
    }
    object
}

/// The report could not be written completely to standard output.
#[derive(Debug)]
pub(crate) struct NotWritten(std::io::Error);

impl std::fmt::Display for NotWritten {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the report could not be written to standard output")
    }
}

impl std::error::Error for NotWritten {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl Diagnostic for NotWritten {
    fn code(&self) -> &'static str {
        "output::not_written"
    }
    fn class(&self) -> Class {
        Class::Environment
    }
    fn help(&self) -> Option<String> {
        Some("the command itself succeeded; free some space where its output goes, then rerun it".to_owned())
    }
}

/// Print an answer. A reader that has seen enough and closed the pipe is not an error.
pub(crate) fn print(answer: &Answer, session: &Session) -> Result<(), NotWritten> {
    let mut out = std::io::stdout().lock();
    let written = if session.json {
        let object = with_schema(answer.json.clone(), &session.command);
        writeln!(out, "{object:#}")
    } else if !session.quiet && !answer.text.is_empty() {
        writeln!(out, "{}", text::sanitize(answer.text.trim_end()))
    } else {
        Ok(())
    };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(NotWritten(error)),
        _ => Ok(()),
    }
}

/// Rows as columns with two spaces between; the last column is not padded. A line break in a cell would look like another row.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let one_line = |row: &Vec<String>| row.iter().map(|cell| text::printable(cell)).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(one_line).collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            let width = cell.width();
            match widths.get_mut(column) {
                Some(known) => *known = (*known).max(width),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            line.push_str(cell);
            if column + 1 < row.len() {
                line.push_str(&" ".repeat(widths[column] + 2 - cell.width()));
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

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn a_line_break_in_a_cell_makes_no_row() {
        let row = |cells: [&str; 2]| cells.map(ToOwned::to_owned).to_vec();
        let text = columns(&[row(["job", "folder"]), row(["7", "frames\n8    frames"])]);
        assert_eq!(text, "job  folder\n7    frames 8    frames\n");
    }

    #[test]
    fn a_column_is_as_wide_as_it_looks() {
        let row = |cells: [&str; 2]| cells.map(ToOwned::to_owned).to_vec();
        let text = columns(&[row(["\u{5c4f}\u{98a8}", "1"]), row(["chair", "2"])]);
        assert_eq!(text, "\u{5c4f}\u{98a8}   1\nchair  2\n");
    }
}
