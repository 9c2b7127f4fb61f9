//! Running the commands of a stage: on this machine, or wherever an [`Executor`] of the caller does it.
//!
//! Invariants: the commands of a stage run in a process group of their own, and all of it has ended when [`Executor::run`]
//! returns; each line of output is given out once, with the stream it came from. With a [`Supervisor`], the group also ends
//! if this process is killed. Deliberately absent: reading the environment, which the caller hands over, and standard input,
//! which is empty, since several stages run at a time.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use backlot_core::Cancel;
use serde::{Deserialize, Serialize};

use super::super::PipelineError;
use super::supervise;

/// Longest piece of a line that is given out at once, in bytes.
const LONGEST_LINE: usize = 64 << 10;
/// How often a running command is looked at for a reason to stop it.
const LOOK: Duration = Duration::from_millis(20);

/// The commands of one stage.
#[derive(Debug)]
#[non_exhaustive]
pub struct Job<'a> {
    /// The stage, as messages call it.
    pub stage: &'a str,
    /// The commands, each for a shell of its own, one after the other until one fails.
    pub commands: Vec<String>,
    /// Where they run.
    pub folder: PathBuf,
    /// Variables that are set for them: those of DVC, then those of the caller.
    pub variables: Vec<(String, OsString)>,
    /// Folders that come first on the search path.
    pub path: Vec<PathBuf>,
    /// Longest time for all commands together.
    pub time_limit: Option<Duration>,
    /// Stops them.
    pub cancel: &'a Cancel,
}

impl Job<'_> {
    /// The same with more variables, which count where there are others of their names.
    #[must_use]
    pub fn with_variables(&self, more: &[(String, OsString)]) -> Self {
        let mut variables = self.variables.clone();
        variables.extend_from_slice(more);
        Self {
            stage: self.stage,
            commands: self.commands.clone(),
            folder: self.folder.clone(),
            variables,
            path: self.path.clone(),
            time_limit: self.time_limit,
            cancel: self.cancel,
        }
    }
}

/// The output of a running stage.
pub trait Output: Sync {
    /// A command is started.
    fn started(&self, command: &str);
    /// A line was printed; `error` says whether to the standard error stream.
    fn line(&self, line: &[u8], error: bool);
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", content = "number", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Exit {
    /// With an exit code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// The time limit was over.
    TimeLimit,
    /// The run was stopped.
    Stopped,
}

impl Exit {
    /// Whether it succeeded.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Code(0))
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(signal) => write!(f, "was terminated by signal {signal}"),
            Self::TimeLimit => f.write_str("exceeded its time limit"),
            Self::Stopped => f.write_str("was stopped"),
        }
    }
}

/// How the commands of a stage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How the last one ended that was started.
    pub exit: Exit,
    /// How many were started.
    pub started: usize,
}

/// Runs the commands of stages.
pub trait Executor: Send + Sync + fmt::Debug {
    /// Run the commands of a stage, and return when all they started has ended.
    fn run(&self, job: &Job<'_>, output: &dyn Output) -> Result<Ended, PipelineError>;
}

/// How to start a process that calls [`super::supervise`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supervisor {
    /// The program, usually this one; absolute, since it is started in the folders of stages.
    pub program: PathBuf,
    /// Its first arguments, usually a hidden command; those of the supervisor follow.
    pub arguments: Vec<OsString>,
}

/// Runs commands on this machine. Without a supervisor, a process that left the group of its command and keeps its output
/// open is waited for.
#[derive(Clone, Debug)]
pub struct LocalExecutor {
    environment: BTreeMap<OsString, OsString>,
    supervisor: Option<Supervisor>,
    shell: PathBuf,
    grace: Duration,
}

impl LocalExecutor {
    /// Commands get the whole of this environment and nothing else but what their job has. `SHELL` in it is the shell, as
    /// for DVC; `/bin/sh` if it is not set or empty.
    pub fn new(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let environment: BTreeMap<_, _> = environment.into_iter().collect();
        let shell = environment
            .get(OsStr::new("SHELL"))
            .filter(|shell| !shell.is_empty());
        Self {
            shell: shell.map_or_else(|| PathBuf::from("/bin/sh"), PathBuf::from),
            environment,
            supervisor: None,
            grace: Duration::from_secs(5),
        }
    }

    /// The same, whose commands end also if this process is killed.
    #[must_use]
    pub fn with_supervisor(mut self, supervisor: Option<Supervisor>) -> Self {
        self.supervisor = supervisor;
        self
    }

    /// The same with another shell.
    #[must_use]
    pub fn with_shell(mut self, shell: impl Into<PathBuf>) -> Self {
        self.shell = shell.into();
        self
    }

    /// The same with another time between SIGTERM and SIGKILL for commands that are stopped.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The shell's arguments before the command, as DVC has them.
    fn shell_arguments(&self) -> Result<&'static [&'static str], PipelineError> {
        let name = self.shell.file_name().and_then(OsStr::to_str).unwrap_or_default();
        match name {
            "bash" => Ok(&["--noprofile", "--norc", "-c"]),
            "zsh" => Ok(&["--no-rcs", "-c"]),
            "sh" | "dash" | "ash" | "ksh" | "ksh93" | "mksh" => Ok(&["-c"]),
            _ => Err(PipelineError::Shell {
                shell: self.shell.display().to_string(),
            }),
        }
    }

    fn command(&self, job: &Job<'_>, line: &str) -> Result<Command, PipelineError> {
        let flags = self.shell_arguments()?;
        let shell = [self.shell.as_os_str()]
            .into_iter()
            .chain(flags.iter().map(OsStr::new))
            .chain([OsStr::new(line)]);
        let mut command = match &self.supervisor {
            Some(supervisor) => supervise::command(supervisor, self.grace, shell),
            None => {
                let mut command = Command::new(&self.shell);
                command.args(flags).arg(line).stdin(Stdio::null());
                command
            }
        };
        command
            .current_dir(&job.folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env_clear()
            .envs(&self.environment);
        for (name, value) in &job.variables {
            // A run inside of a run belongs to the outer one.
            if name != "DVC_ROOT" || !self.environment.contains_key(OsStr::new(name)) {
                command.env(name, value);
            }
        }
        if !job.path.is_empty() {
            let before = self.environment.get(OsStr::new("PATH"));
            let all = job.path.iter().cloned();
            let all = all.chain(before.into_iter().flat_map(std::env::split_paths));
            let path = std::env::join_paths(all).map_err(|error| PipelineError::CannotStart {
                stage: job.stage.to_owned(),
                reason: error.to_string(),
            })?;
            command.env("PATH", path);
        }
        #[cfg(unix)]
        {
            use std::os::unix::process::CommandExt as _;
            command.process_group(0);
        }
        Ok(command)
    }

    fn run_one(
        &self,
        job: &Job<'_>,
        line: &str,
        deadline: Option<Instant>,
        output: &dyn Output,
    ) -> Result<Exit, PipelineError> {
        let failed = |error: io::Error| PipelineError::CannotStart {
            stage: job.stage.to_owned(),
            reason: error.to_string(),
        };
        let mut command = self.command(job, line)?;
        // A supervisor would only tell by its exit code.
        fs_err::metadata(&self.shell).map_err(failed)?;
        output.started(line);
        let mut child = command.spawn().map_err(failed)?;
        let streams = (child.stdout.take(), child.stderr.take());
        let ended = std::thread::scope(|scope| {
            if let Some(stream) = streams.0 {
                scope.spawn(move || read_lines(stream, false, output));
            }
            if let Some(stream) = streams.1 {
                scope.spawn(move || read_lines(stream, true, output));
            }
            self.wait(child, job.cancel, deadline)
        });
        ended.map_err(failed)
    }

    /// Wait for a child, and stop it if there is a reason to.
    fn wait(&self, mut child: Child, cancel: &Cancel, deadline: Option<Instant>) -> io::Result<Exit> {
        let group = child.id();
        let control = child.stdin.take();
        let (sender, receiver) = channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // The other side may have gone on already.
                sender.send(child.wait()).ok();
            });
            let mut reason = None;
            let status = loop {
                if cancel.is_cancelled() {
                    reason = Some(Exit::Stopped);
                } else if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    reason = Some(Exit::TimeLimit);
                }
                if reason.is_some() {
                    break None;
                }
                let left = deadline.map_or(LOOK, |deadline| {
                    deadline.saturating_duration_since(Instant::now())
                });
                match receiver.recv_timeout(LOOK.min(left)) {
                    Ok(status) => break Some(status),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break None,
                }
            };
            let is_supervised = control.is_some();
            // A supervisor ends its group when this end of the pipe is closed.
            drop(control);
            if !is_supervised {
                supervise::end_group(group, self.grace);
            }
            let status = match status {
                Some(status) => status?,
                None => receiver
                    .recv()
                    .unwrap_or_else(|_| Err(io::Error::other("the process was lost")))?,
            };
            Ok(reason.unwrap_or_else(|| exit_of(status)))
        })
    }
}

impl Executor for LocalExecutor {
    fn run(&self, job: &Job<'_>, output: &dyn Output) -> Result<Ended, PipelineError> {
        let deadline = job.time_limit.map(|limit| Instant::now() + limit);
        let mut started = 0;
        for line in &job.commands {
            if job.cancel.is_cancelled() {
                let exit = Exit::Stopped;
                return Ok(Ended { exit, started });
            }
            started += 1;
            let exit = self.run_one(job, line, deadline, output)?;
            if !exit.is_success() {
                return Ok(Ended { exit, started });
            }
        }
        let exit = Exit::Code(0);
        Ok(Ended { exit, started })
    }
}

fn exit_of(status: std::process::ExitStatus) -> Exit {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt as _;
        if let Some(signal) = status.signal() {
            return Exit::Signal(signal);
        }
    }
    Exit::Code(status.code().unwrap_or(-1))
}

fn read_lines(stream: impl Read, error: bool, output: &dyn Output) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        // A line without an end must not fill the memory.
        let mut bounded = (&mut stream).take(LONGEST_LINE as u64);
        match bounded.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let end = line.iter().rposition(|c| !matches!(c, b'\n' | b'\r'));
        let length = if line.ends_with(b"\n") {
            end.map_or(0, |end| end + 1)
        } else {
            line.len()
        };
        output.line(&line[..length], error);
    }
}

/// The folder of a stage, which must exist.
pub(super) fn check_folder(stage: &str, folder: &Path) -> Result<(), PipelineError> {
    if folder.is_dir() {
        return Ok(());
    }
    Err(PipelineError::NoFolder {
        stage: stage.to_owned(),
        folder: folder.display().to_string(),
    })
}
