//! The commands of a scheduler: run to their end, within a time.
//!
//! Invariant: no shell; all that a command prints is read, within a limit, and it ends with its time. Deliberately absent: what is asked of it.

use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::time::Duration;

use backlot_core::Context;
use backlot_net::{OwnChild, Unfinished};

/// The longest time for one.
const PATIENCE: Duration = Duration::from_mins(2);
/// The most that is read of what it prints: the queue of a large farm has 10^5 tasks of some KiB.
const MOST: u64 = 1 << 30;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum ProgramError {
    /// It cannot be started.
    Absent(String),
    /// It ended otherwise than with 0, or not in time; what it complained of. What was asked may have been done.
    Failed(String),
}

/// What a command prints that ends with 0.
pub(crate) fn output(
    words: &[String],
    input: &str,
    variables: &[(OsString, OsString)],
    context: &Context,
) -> Result<String, ProgramError> {
    let (name, arguments) = words.split_first().expect("a command has a name");
    let mut command = Command::new(name);
    command
        .args(arguments)
        .env_clear()
        .envs(variables.iter().cloned())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = OwnChild::start(&mut command)
        .map_err(|error| ProgramError::Absent(format!("`{name}` cannot be started: {error}")))?;
    let finished = child.finish(input.as_bytes(), MOST, Some(PATIENCE), context);
    let reason = match finished.end {
        Ok(status) if status.success() => return Ok(text(&finished.stdout)),
        Ok(status) => {
            let complaint = text(&finished.stderr).trim().replace('\n', "; ");
            return Err(ProgramError::Failed(format!(
                "`{name}` ended with {status}: {complaint}"
            )));
        }
        Err(Unfinished::Cancelled) => "stopped on request",
        Err(Unfinished::TimedOut) => "it gave no answer in time",
        Err(Unfinished::Lost(_)) => "it cannot be waited for",
    };
    Err(ProgramError::Failed(format!("`{name}`: {reason}")))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
