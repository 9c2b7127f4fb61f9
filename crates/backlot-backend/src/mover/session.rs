//! The protocol with a mover: one line of JSON per transfer, and lines of JSON back. The protocol is in `docs/format/mover.md`.
//!
//! Invariants: a mover without output for [`SILENCE`] is stopped; its output is bounded, and is cut and cleaned where it is
//! shown. Deliberately absent: believing it; see `mover/mod.rs`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use backlot_core::Context;
use backlot_net::OwnChild;
use serde::{Deserialize, Serialize};

use crate::service::clean;

/// How long a mover may be silent.
const SILENCE: Duration = Duration::from_mins(10);
/// How often it is looked whether the work was cancelled.
const GLANCE: Duration = Duration::from_millis(20);
/// The longest line that it may say.
const LINE: u64 = 64 * 1024;

/// The version of the protocol.
const VERSION: u32 = 1;

/// The operation on an object.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verb {
    /// The file becomes the object.
    Put,
    /// The object becomes the file, which is not there yet.
    Get,
}

/// A transfer.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Request<'a> {
    #[serde(rename = "do")]
    pub(super) verb: Verb,
    /// The key, below the URL.
    pub(super) key: &'a str,
    /// The whole address.
    pub(super) url: String,
    /// The file, absolute.
    pub(super) file: &'a Path,
    /// Bytes.
    pub(super) size: u64,
    /// The digest of the file to put.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) blake3: Option<String>,
}

#[derive(Serialize)]
struct Numbered<'a> {
    version: u32,
    id: u64,
    #[serde(flatten)]
    request: &'a Request<'a>,
}

/// A line that a mover says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    id: u64,
    done: bool,
    failed: Option<String>,
    again: bool,
}

/// Why a transfer was not made.
#[derive(Debug)]
pub(super) struct NotMoved {
    pub(super) reason: String,
    /// Whether the same may work later.
    pub(super) again: bool,
    /// Whether the program can still be asked.
    pub(super) is_usable: bool,
}

impl NotMoved {
    fn broken(reason: impl Into<String>, again: bool) -> Self {
        Self {
            reason: reason.into(),
            again,
            is_usable: false,
        }
    }
}

/// A running mover.
#[derive(Debug)]
pub(super) struct Session {
    _child: OwnChild,
    stdin: ChildStdin,
    said: Receiver<Option<String>>,
    asked: u64,
}

impl Session {
    pub(super) fn start(words: &[String]) -> Result<Self, NotMoved> {
        let (program, rest) = words
            .split_first()
            .ok_or_else(|| NotMoved::broken("it has no program", false))?;
        let mut command = Command::new(program);
        command
            .args(rest)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = OwnChild::start(&mut command)
            .map_err(|e| NotMoved::broken(format!("cannot start it: {e}"), false))?;
        let process = child.process();
        let (Some(stdin), Some(stdout)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(NotMoved::broken("it has no input or output", false));
        };
        let (send, said) = channel();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stdout);
            loop {
                let mut line = Vec::new();
                let read = (&mut lines).take(LINE).read_until(b'\n', &mut line);
                let is_line = read.is_ok() && line.ends_with(b"\n");
                let line = String::from_utf8(line).ok().filter(|_| is_line);
                let is_over = line.is_none();
                if send.send(line).is_err() || is_over {
                    return;
                }
            }
        });
        Ok(Self {
            _child: child,
            stdin,
            said,
            asked: 0,
        })
    }

    /// Run a transfer, and wait for its result.
    pub(super) fn transfer(&mut self, request: &Request<'_>, context: &Context) -> Result<(), NotMoved> {
        self.asked += 1;
        let numbered = Numbered {
            version: VERSION,
            id: self.asked,
            request,
        };
        let mut line = serde_json::to_vec(&numbered).map_err(|e| NotMoved::broken(e.to_string(), false))?;
        line.push(b'\n');
        let written = self.stdin.write_all(&line).and_then(|()| self.stdin.flush());
        written.map_err(|e| NotMoved::broken(format!("cannot write to it: {e}"), true))?;
        let mut since = Instant::now();
        loop {
            if context.check().is_err() {
                return Err(NotMoved::broken("the work was cancelled", false));
            }
            let line = match self.said.recv_timeout(GLANCE) {
                Ok(Some(line)) => line,
                Ok(None) | Err(RecvTimeoutError::Disconnected) => {
                    return Err(NotMoved::broken(
                        "it exited, or sent something other than a line of text",
                        true,
                    ));
                }
                Err(RecvTimeoutError::Timeout) if since.elapsed() > SILENCE => {
                    let seconds = SILENCE.as_secs();
                    return Err(NotMoved::broken(format!("no output for {seconds} seconds"), true));
                }
                Err(RecvTimeoutError::Timeout) => continue,
            };
            since = Instant::now();
            let said: Said = serde_json::from_str(&line)
                .map_err(|_| NotMoved::broken(format!("unexpected reply: {}", clean(line.trim())), false))?;
            if said.id != self.asked {
                return Err(NotMoved::broken("it answered an unknown request", false));
            }
            if let Some(reason) = said.failed {
                return Err(NotMoved {
                    reason: clean(&reason),
                    again: said.again,
                    is_usable: true,
                });
            }
            if said.done {
                return Ok(());
            }
        }
    }
}
