//! A check that is a program: a request as JSON on its standard input, findings as JSON lines on its standard output.
//!
//! Invariants: no shell; it ends with its time, and all that it started with it; 0 is fine, 1 is refused, everything else a crash. What it prints is
//! hostile input: bounded, and text where it is not JSON.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use backlot_core::Context;
use backlot_net::OwnChild;
use serde::Deserialize;

use crate::validate::found::{CheckItem, Outcome};

/// How much of what it prints is read.
const MOST: u64 = 1 << 20;
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A line of what it prints.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    path: Option<String>,
    message: String,
}

/// Where and with what it runs.
pub(crate) struct Program<'a> {
    pub(crate) argv: &'a [String],
    pub(crate) folder: &'a Path,
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
    let crash = |message: String| (Outcome::Crash, vec![CheckItem::of_all(&message)]);
    let ended = match finish(program, context) {
        Ok(ended) => ended,
        Err(reason) => return crash(reason),
    };
    match ended.code {
        Ok(Some(0)) => (Outcome::Pass, Vec::new()),
        Ok(Some(1)) => (Outcome::Fail, findings(&ended.output)),
        Err(Outcome::Timeout) => (Outcome::Timeout, vec![CheckItem::of_all(&ended.told(program))]),
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
        program.folder.join(name)
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
    let mut child =
        OwnChild::start(&mut command).map_err(|error| format!("`{name}` cannot be started: {error}"))?;
    let process = child.process();
    let (stdin, stdout, stderr) = (process.stdin.take(), process.stdout.take(), process.stderr.take());
    Ok(std::thread::scope(|scope| {
        scope.spawn(|| {
            // One that does not read is not at fault.
            stdin.map(|mut stdin| stdin.write_all(&program.request).ok());
        });
        let output = scope.spawn(|| stdout.map(read_some).unwrap_or_default());
        let complaint = scope.spawn(|| stderr.map(read_some).unwrap_or_default());
        let begun = Instant::now();
        let code = loop {
            match child.process().try_wait() {
                Ok(Some(status)) => break Ok(status.code()),
                Ok(None) if context.check().is_err() => break Err(Outcome::Crash),
                Ok(None) if begun.elapsed() > program.timeout => break Err(Outcome::Timeout),
                Ok(None) => std::thread::sleep(LOOK),
                Err(_) => break Err(Outcome::Crash),
            }
        };
        // Ends it with all that it started, so that the pipes end.
        drop(child);
        let output = output.join().unwrap_or_default();
        let complaint = complaint.join().unwrap_or_default();
        let last = complaint.lines().rev().find(|line| !line.trim().is_empty());
        Ended {
            code,
            output,
            last: last.unwrap_or_default().to_owned(),
        }
    }))
}

/// The beginning of what a pipe gives, and its rest thrown away, so that nobody waits for a reader.
fn read_some(mut pipe: impl std::io::Read) -> String {
    let mut bytes = Vec::new();
    pipe.by_ref().take(MOST).read_to_end(&mut bytes).ok();
    std::io::copy(&mut pipe, &mut std::io::sink()).ok();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn findings(output: &str) -> Vec<CheckItem> {
    let lines = output
        .lines()
        .filter(|line| !line.trim().is_empty())
        .take(CheckItem::MOST);
    let items: Vec<CheckItem> = lines
        .map(|line| match serde_json::from_str::<Line>(line) {
            Ok(Line { path, message }) => CheckItem { path, message },
            Err(_) => CheckItem::of_all(line),
        })
        .collect();
    if items.is_empty() {
        return vec![CheckItem::of_all("refused, without a reason")];
    }
    items
}
