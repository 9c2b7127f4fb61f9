//! A program that is started for us: it and all that it starts end when we do.
//!
//! Deliberately absent: the protocol with it, and programs that users run.

use std::io::{self, Read, Write as _};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use backlot_core::Context;

/// How often a program is looked at that is run to its end.
const LOOK: Duration = Duration::from_millis(10);

/// What became of a program that was run to its end.
#[derive(Debug)]
pub struct Finished {
    /// How it ended, or why it was ended.
    pub end: Result<ExitStatus, Unfinished>,
    /// Its standard output, if that is a pipe.
    pub stdout: Vec<u8>,
    /// Its standard error, if that is a pipe.
    pub stderr: Vec<u8>,
}

/// Why a program was ended.
#[derive(Debug)]
pub enum Unfinished {
    /// The caller is cancelled.
    Cancelled,
    /// It took longer than it may.
    TimedOut,
    /// The system does not tell how it ended.
    Lost(io::Error),
}

/// A running program, killed with its child processes when dropped.
///
/// ```
/// use std::process::{Command, Stdio};
///
/// use backlot_net::OwnChild;
///
/// let mut child = OwnChild::start(Command::new("sleep").arg("60").stdin(Stdio::null())).unwrap();
/// assert!(child.process().try_wait().unwrap().is_none(), "it runs");
/// drop(child); // and now neither it nor what it started does
/// ```
#[derive(Debug)]
pub struct OwnChild(Child);

impl OwnChild {
    /// Start it, in a process group of its own.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        command.spawn().map(Self)
    }

    /// The process.
    pub fn process(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Write its input, collect up to `most` bytes of each of its outputs, and wait until it exits. Output beyond that is read and discarded.
    ///
    /// ```
    /// use std::process::{Command, Stdio};
    ///
    /// use backlot_core::Context;
    /// use backlot_net::OwnChild;
    ///
    /// let mut command = Command::new("cat");
    /// command.stdin(Stdio::piped()).stdout(Stdio::piped());
    /// let finished = OwnChild::start(&mut command).unwrap().finish(b"frames", 1 << 10, None, &Context::default());
    /// assert!(finished.end.unwrap().success());
    /// assert_eq!(finished.stdout, b"frames");
    /// ```
    pub fn finish(
        mut self,
        input: &[u8],
        most: u64,
        timeout: Option<Duration>,
        context: &Context,
    ) -> Finished {
        let (stdin, stdout, stderr) = (self.0.stdin.take(), self.0.stdout.take(), self.0.stderr.take());
        std::thread::scope(|scope| {
            // One that does not read its input may do its work all the same.
            scope.spawn(|| stdin.map(|mut stdin| stdin.write_all(input).ok()));
            let stdout = scope.spawn(move || stdout.map(|pipe| read(pipe, most)).unwrap_or_default());
            let stderr = scope.spawn(move || stderr.map(|pipe| read(pipe, most)).unwrap_or_default());
            let end = self.wait(timeout, context);
            // Ends it with all that it started, so that the pipes end.
            drop(self);
            Finished {
                end,
                stdout: stdout.join().unwrap_or_default(),
                stderr: stderr.join().unwrap_or_default(),
            }
        })
    }

    fn wait(&mut self, timeout: Option<Duration>, context: &Context) -> Result<ExitStatus, Unfinished> {
        let begun = Instant::now();
        loop {
            match self.0.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if context.check().is_err() => return Err(Unfinished::Cancelled),
                Ok(None) if timeout.is_some_and(|most| begun.elapsed() > most) => {
                    return Err(Unfinished::TimedOut);
                }
                Ok(None) => std::thread::sleep(LOOK),
                Err(error) => return Err(Unfinished::Lost(error)),
            }
        }
    }
}

/// The beginning of what a pipe gives; its rest is thrown away, so that nothing waits for a reader.
fn read(mut pipe: impl Read, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    pipe.by_ref().take(most).read_to_end(&mut bytes).ok();
    io::copy(&mut pipe, &mut io::sink()).ok();
    bytes
}

impl Drop for OwnChild {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        #[cfg(unix)]
        rustix::process::kill_process_group(
            rustix::process::Pid::from_child(&self.0),
            rustix::process::Signal::KILL,
        )
        .ok();
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
