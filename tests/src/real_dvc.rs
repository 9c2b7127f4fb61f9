//! Real dvc, called many times for the price of one import.
//!
//! Each call is a process of its own, forked from one that has imported dvc, so that no state of a call is left for the next.
//! Deliberately absent: what calls say in words that need more than a glance; tests read that for themselves.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use fs_err as fs;

use crate::tool;

/// The program that calls are forked from.
const CALLS: &str = include_str!("real_dvc.py");

/// Real dvc with a home of its own.
#[derive(Debug)]
pub struct RealDvc {
    child: Child,
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    folder: tempfile::TempDir,
}

/// What a call came to.
#[derive(Clone, Debug)]
pub struct Said {
    /// The exit code.
    pub code: i32,
    /// Both streams, as they came.
    pub text: String,
}

impl RealDvc {
    /// Import it.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut python = Command::new(tool("python"));
        python
            .args(["-c", CALLS])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .env("SHELL", "/bin/sh")
            .env("HOME", folder.path())
            .env("DVC_SITE_CACHE_DIR", folder.path().join("site"))
            .env("DVC_NO_ANALYTICS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = python.spawn().expect("python starts");
        Self {
            asks: child.stdin.take(),
            answers: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
            folder,
        }
    }

    /// What `dvc init --no-scm` leaves that matters.
    pub fn init(root: &Path) {
        fs::create_dir_all(root.join(".dvc/tmp")).expect("made");
        fs::write(root.join(".dvc/config"), "[core]\n    no_scm = True\n").expect("written");
    }

    /// Call it in a folder.
    pub fn call(&mut self, folder: &Path, arguments: &[&str]) -> Said {
        let log = self.folder.path().join("log");
        let ask = serde_json::json!({"folder": folder, "arguments": arguments, "log": log});
        let asks = self.asks.as_mut().expect("it was not ended");
        writeln!(asks, "{ask}").expect("it listens");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("it answers");
        Said {
            code: answer.trim().parse().expect("an exit code"),
            text: fs::read_to_string(&log).expect("it said something"),
        }
    }
}

impl Drop for RealDvc {
    fn drop(&mut self) {
        drop(self.asks.take());
        self.child.wait().ok();
    }
}
