//! A check that is a program: a request as JSON on its standard input, findings as JSON lines on its standard output.
//!
//! Invariants: no shell; it ends with its time, and all that it started with it; 0 is fine, 1 is refused, everything else a crash. What it prints is
//! hostile input: bounded, and text where it is not JSON.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use backlot_core::Context;
use backlot_net::{OwnChild, Unfinished};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::validate::expected::compare;
use crate::validate::found::{CheckItem, Findings, Outcome};

/// How much of what it prints is read.
const MOST: u64 = 1 << 20;

/// A line of what it prints: a finding, or values.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    expected: Option<Value>,
    #[serde(default)]
    found: Option<Value>,
    #[serde(default)]
    values: Option<Map<String, Value>>,
}

/// Where and with what it runs.
pub(crate) struct Program<'a> {
    pub(crate) argv: &'a [String],
    pub(crate) folder: &'a Path,
    /// Where a program that is named by a path lies: the package of the asset, or of the studio's checks that ask for it.
    pub(crate) programs: &'a Path,
    /// Values that it has to report, of a check.
    pub(crate) expect: Option<&'a toml::Table>,
    pub(crate) variables: Vec<(OsString, OsString)>,
    pub(crate) request: Vec<u8>,
    pub(crate) timeout: Duration,
}

/// How it ended.
struct Ended {
    /// Its code, none if it was killed; or why it was not left to end.
    code: Result<Option<i32>, Outcome>,
    output: String,
    /// The last line of what it complained of.
    last: String,
}

/// Run it.
pub(crate) fn run(program: &Program<'_>, context: &Context) -> (Outcome, Vec<CheckItem>) {
    let crash = |message: String| (Outcome::Crash, vec![CheckItem::of_all(message)]);
    let ended = match finish(program, context) {
        Ok(ended) => ended,
        Err(reason) => return crash(reason),
    };
    match ended.code {
        Ok(Some(0)) => program.expect.map_or_else(
            || (Outcome::Pass, Vec::new()),
            |expect| Findings::from(compare(expect, &lines(&ended.output).1)).outcome(),
        ),
        Ok(Some(1)) => (Outcome::Fail, findings(&ended.output)),
        Err(Outcome::Timeout) => (Outcome::Timeout, vec![CheckItem::of_all(ended.told(program))]),
        _ => crash(ended.told(program)),
    }
}

/// What one prints that ends with 0, or why it did not.
pub(crate) fn output(program: &Program<'_>, context: &Context) -> Result<String, String> {
    let ended = finish(program, context)?;
    match ended.code {
        Ok(Some(0)) => Ok(ended.output),
        _ => Err(ended.told(program)),
    }
}

impl Ended {
    /// How it ended, in words.
    fn told(&self, program: &Program<'_>) -> String {
        match self.code {
            Ok(Some(code)) => format!("it ended with {code}: {}", self.last)
                .trim_end_matches([':', ' '])
                .to_owned(),
            Ok(None) => "it was killed".to_owned(),
            Err(Outcome::Timeout) => format!("it took longer than {} s", program.timeout.as_secs()),
            Err(_) => "it was stopped".to_owned(),
        }
    }
}

/// Run it to its end, or why it cannot be started.
fn finish(program: &Program<'_>, context: &Context) -> Result<Ended, String> {
    let Some((name, arguments)) = program.argv.split_first() else {
        return Err("it has no command".to_owned());
    };
    // A path is one in the package.
    let path = if name.contains('/') {
        program.programs.join(name)
    } else {
        name.into()
    };
    let mut command = Command::new(path);
    command
        .args(arguments)
        .current_dir(program.folder)
        .env_clear()
        .envs(program.variables.iter().cloned())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child =
        OwnChild::start(&mut command).map_err(|error| format!("`{name}` cannot be started: {error}"))?;
    let finished = child.finish(&program.request, MOST, Some(program.timeout), context);
    let complaint = String::from_utf8_lossy(&finished.stderr);
    let last = complaint.lines().rev().find(|line| !line.trim().is_empty());
    Ok(Ended {
        code: match finished.end {
            Ok(status) => Ok(status.code()),
            Err(Unfinished::TimedOut) => Err(Outcome::Timeout),
            Err(Unfinished::Cancelled | Unfinished::Lost(_)) => Err(Outcome::Crash),
        },
        output: String::from_utf8_lossy(&finished.stdout).into_owned(),
        last: last.unwrap_or_default().to_owned(),
    })
}

/// The findings and the values that it prints.
fn lines(output: &str) -> (Vec<CheckItem>, Map<String, Value>) {
    let (mut items, mut reported) = (Vec::new(), Map::new());
    for line in output.lines().filter(|line| !line.trim().is_empty()) {
        let Ok(parsed) = serde_json::from_str::<Line>(line) else {
            items.push(CheckItem::of_all(line));
            continue;
        };
        let is_finding = parsed.message.is_some() || parsed.values.is_none();
        reported.extend(parsed.values.into_iter().flatten());
        if is_finding {
            items.push(CheckItem {
                path: parsed.path,
                message: parsed.message.unwrap_or_else(|| line.to_owned()),
                expected: parsed.expected.as_ref().map(shown),
                found: parsed.found.as_ref().map(shown),
                waived: false,
            });
        }
    }
    (items, reported)
}

fn shown(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), ToOwned::to_owned)
}

fn findings(output: &str) -> Vec<CheckItem> {
    let items = lines(output).0;
    if items.is_empty() {
        return vec![CheckItem::of_all("refused, without a reason")];
    }
    items
}
