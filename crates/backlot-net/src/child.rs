//! A program that is started for us: it and all that it starts end when we do.
//!
//! Deliberately absent: the protocol with it, and programs that users run.

use std::io;
use std::process::{Child, Command};

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
