//! A cascade in the background: a process of its own, which outlives the terminal and the shell that it was started from.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use backlot::{
    CascadeEntry, CascadeError, CascadeId, CascadeOptions, CascadeReport, Error, Workspace, platform, text,
};

use super::cascades::{line_of, ran};
use crate::args::ExecutorArgs;
use crate::output::Answer;
use crate::session::Session;

/// How long a process may take to begin.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How many lines of a log a message takes.
const LINES: usize = 5;

/// Leave what a cascade that was begun has to do to a process of its own.
pub(super) fn start(
    session: &Session,
    workspace: &Workspace,
    report: &CascadeReport,
    options: &CascadeOptions,
) -> Result<Answer, Error> {
    let is_over = report
        .summary
        .as_ref()
        .is_none_or(|summary| summary.ending.is_some());
    if is_over {
        return Ok(ran(report));
    }
    let id = &report.cascade;
    let running = workspace
        .cascade_status(Some(&id.0), &session.context)?
        .background;
    if let Some(other) = running.filter(|other| other.alive) {
        return Err(CascadeError::InBackground {
            cascade: id.to_string(),
            process: other.process,
        }
        .into());
    }
    let log = workspace.background_log(id, &session.context)?;
    let refused = |reason: String| CascadeError::NotInBackground {
        cascade: id.to_string(),
        reason,
    };
    let child = launch(session, id, options, &log).map_err(|error| refused(error.to_string()))?;
    let process = child.id();
    wait_for(session, workspace, id, child).map_err(|()| {
        let said = fs_err::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        refused(lines[lines.len().saturating_sub(LINES)..].join("; "))
    })?;
    let text = format!(
        "cascade {id} runs in the background as process {process}\n  log: {}\n  follow it with `backlot cascade status {id} -f`\n",
        log.display()
    );
    let mut answer = Answer::new(report, text);
    answer.json["background"] = serde_json::json!({ "process": process, "log": log });
    Ok(answer)
}

/// Start it, with nothing of this terminal.
fn launch(
    session: &Session,
    id: &CascadeId,
    options: &CascadeOptions,
    log: &std::path::Path,
) -> std::io::Result<Child> {
    let output = fs_err::OpenOptions::new().create(true).append(true).open(log)?;
    let output = output.into_file();
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--workspace").arg(&session.workspace);
    if session.host.network.offline {
        command.arg("--offline");
    }
    command.args(["cascade", "resume", id.0.as_str(), "--detached"]);
    if options.keep_failed {
        command.arg("--keep");
    }
    if options.auto_repair {
        command.arg("--auto-repair");
    }
    command.args(ExecutorArgs::words(&options.executor));
    command
        .current_dir(&session.here)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    command.spawn()
}

/// Wait until it says that it runs, or has ended well.
fn wait_for(session: &Session, workspace: &Workspace, id: &CascadeId, mut child: Child) -> Result<(), ()> {
    let (begun, process) = (Instant::now(), child.id());
    loop {
        let ended = child.try_wait().is_ok_and(|ended| ended.is_some());
        let status = workspace.cascade_status(Some(&id.0), &session.context);
        if let Ok(status) = &status {
            let runs = status
                .background
                .as_ref()
                .is_some_and(|runner| runner.alive && runner.process == process);
            if runs || status.summary.ending.is_some() {
                return Ok(());
            }
        }
        if ended || begun.elapsed() > PATIENCE || session.context.check().is_err() {
            child.kill().ok();
            child.wait().ok();
            return Err(());
        }
        std::thread::sleep(LOOK);
    }
}

/// Be that process.
pub(super) fn run(
    session: &Session,
    workspace: &Workspace,
    id: &str,
    options: &CascadeOptions,
) -> Result<Answer, Error> {
    platform::leave_session();
    let tell = |entry: &CascadeEntry| {
        if let Some(line) = line_of(entry) {
            writeln!(std::io::stderr(), "{} {}", entry.at, text::sanitize(&line)).ok();
        }
    };
    let report = workspace.run_in_background(id, options, Some(&tell), &session.context)?;
    Ok(ran(&report))
}
