//! The commands of a scheduler: run to their end, within a time.
//!
//! Invariant: no shell; all that a command prints is read, within a limit, and it ends with its time. Deliberately absent: what is asked of it.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use backlot_core::Context;
use backlot_net::OwnChild;

/// The longest time for one.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(10);
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
    let mut child = OwnChild::start(&mut command)
        .map_err(|error| ProgramError::Absent(format!("`{name}` cannot be started: {error}")))?;
    let process = child.process();
    let (stdin, stdout, stderr) = (process.stdin.take(), process.stdout.take(), process.stderr.take());
    std::thread::scope(|scope| {
        // One that does not read is not at fault.
        scope.spawn(|| stdin.map(|mut stdin| stdin.write_all(input.as_bytes()).ok()));
        let output = scope.spawn(|| stdout.map(read).unwrap_or_default());
        let complaint = scope.spawn(|| stderr.map(read).unwrap_or_default());
        let begun = Instant::now();
        let ended = loop {
            match child.process().try_wait() {
                Ok(Some(status)) => break Ok(status),
                Ok(None) if context.check().is_err() => break Err("stopped on request"),
                Ok(None) if begun.elapsed() > PATIENCE => break Err("it gave no answer in time"),
                Ok(None) => std::thread::sleep(LOOK),
                Err(_) => break Err("it cannot be waited for"),
            }
        };
        // Ends it with all that it started, so that the pipes end.
        drop(child);
        let output = output.join().unwrap_or_default();
        let complaint = complaint.join().unwrap_or_default();
        match ended {
            Ok(status) if status.success() => Ok(output),
            Ok(status) => Err(ProgramError::Failed(format!(
                "`{name}` ended with {status}: {}",
                complaint.trim().replace('\n', "; ")
            ))),
            Err(reason) => Err(ProgramError::Failed(format!("`{name}`: {reason}"))),
        }
    })
}

fn read(pipe: impl std::io::Read) -> String {
    let mut bytes = Vec::new();
    pipe.take(MOST).read_to_end(&mut bytes).ok();
    String::from_utf8_lossy(&bytes).into_owned()
}
