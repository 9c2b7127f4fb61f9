//! The output of a stage's commands: into its log file, and line by line to the observer.
//!
//! Invariant: lines of both streams stand in the log as they came. Deliberately absent: old logs; each run writes anew.

use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use backlot_core::{Context, EventKind};
use fs_err as fs;

use super::executor::Output;
use super::project::file_error;
use crate::error::Result;

/// The log of a running stage.
#[derive(Debug)]
pub(super) struct Log<'a> {
    stage: &'a str,
    context: &'a Context,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: BufWriter<fs::File>,
    /// The first failed write: a full disk must not stop the commands half-way.
    failed: Option<std::io::Error>,
}

impl<'a> Log<'a> {
    pub(super) fn create(path: &Path, stage: &'a str, context: &'a Context) -> Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(file_error)?;
        }
        let file = fs::File::create(path).map_err(file_error)?;
        Ok(Self {
            stage,
            context,
            state: Mutex::new(State {
                file: BufWriter::new(file),
                failed: None,
            }),
        })
    }

    fn write(&self, start: &[u8], line: &[u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failed.is_some() {
            return;
        }
        let written = [start, line, b"\n"]
            .iter()
            .try_for_each(|part| state.file.write_all(part))
            .and_then(|()| state.file.flush());
        state.failed = written.err();
    }

    /// The log could not be written: that is said, and fails nothing.
    pub(super) fn finish(self) {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = state.failed {
            let message = format!("the log of `{}` is incomplete: {error}", self.stage);
            self.context.warn("pipeline::log", message);
        }
    }
}

impl Output for Log<'_> {
    fn started(&self, command: &str) {
        self.write(b"$ ", command.as_bytes());
        self.context.emit(EventKind::StageStarted {
            stage: self.stage.to_owned(),
            command: command.to_owned(),
        });
    }

    fn line(&self, line: &[u8], error: bool) {
        self.write(b"", line);
        self.context.emit(EventKind::StageOutput {
            stage: self.stage.to_owned(),
            line: String::from_utf8_lossy(line).into_owned(),
            error,
        });
    }
}
