//! The process between a run and a command, which ends the command and all it started when the run is gone.
//!
//! It waits for its standard input to be closed, which the system does for a process that was killed, too. Invariants: when
//! it has ended, so have the command, its process group and, on Linux, all its descendants, also those that left the group;
//! it ends as the command did, with the same exit code or by the same signal. On Linux the command is killed if even the
//! supervisor is (`PR_SET_PDEATHSIG`). Deliberately absent: signal handlers; a stop comes through the pipe.

use std::ffi::{OsStr, OsString};
#[cfg(unix)]
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
#[cfg(unix)]
use std::sync::mpsc::channel;
use std::time::Duration;

use super::executor::Supervisor;

/// The exit code of a supervisor that could not do its work, as shells have it for a command that cannot be started.
const FAILED: i32 = 127;
/// The mode that supervises.
const WATCH: &str = "watch";
/// The mode that becomes the command.
#[cfg(unix)]
const BECOME: &str = "become";

/// A command that starts a supervisor of `shell`, which is a program with its arguments. Its standard input is a pipe.
pub(super) fn command<'a>(
    supervisor: &'a Supervisor,
    grace: Duration,
    shell: impl Iterator<Item = &'a OsStr>,
) -> Command {
    let mut command = Command::new(&supervisor.program);
    command
        .args(&supervisor.arguments)
        .arg(WATCH)
        .arg(grace.as_millis().to_string())
        .arg(supervisor.arguments.len().to_string())
        .arg(&supervisor.program)
        .args(&supervisor.arguments)
        .args(shell)
        .stdin(Stdio::piped());
    command
}

/// Be the supervisor of a command: what a program does that a [`Supervisor`] starts, with the arguments behind its own. Call
/// it on the main thread, before anything else starts threads or children. Returns the exit code; where the command was ended by a signal, so
/// is this process.
#[cfg(unix)]
pub fn supervise(arguments: impl IntoIterator<Item = OsString>) -> i32 {
    let mut arguments = arguments.into_iter();
    let mode = arguments.next().unwrap_or_default();
    let done = if mode == WATCH {
        watch(arguments)
    } else if mode == BECOME {
        Some(become_command(arguments))
    } else {
        None
    };
    done.unwrap_or(FAILED)
}

/// The same where there are no process groups.
#[cfg(not(unix))]
pub fn supervise(_arguments: impl IntoIterator<Item = OsString>) -> i32 {
    FAILED
}

#[cfg(unix)]
enum Message {
    /// The command ended.
    Ended(rustix::process::WaitStatus),
    /// There is no child any more.
    Alone,
    /// The run wants it to end, or is gone.
    Stop,
}

#[cfg(unix)]
fn watch(mut arguments: impl Iterator<Item = OsString>) -> Option<i32> {
    use std::os::unix::process::CommandExt as _;

    let number = |text: Option<OsString>| text?.to_str()?.parse::<u64>().ok();
    let grace = Duration::from_millis(number(arguments.next())?);
    let own = usize::try_from(number(arguments.next())?).ok()?;
    let program = arguments.next()?;
    let mut command = Command::new(program);
    for _ in 0..own {
        command.arg(arguments.next()?);
    }
    // Descendants that leave the group become children of this process when their parents end.
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).ok();
    command
        .arg(BECOME)
        .arg(std::process::id().to_string())
        .args(arguments)
        .stdin(Stdio::null())
        .process_group(0);
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            writeln!(std::io::stderr(), "cannot start the command: {error}").ok();
            return None;
        }
    };
    let group = child.id();
    let (sender, receiver) = channel();
    let stopping = sender.clone();
    std::thread::spawn(move || {
        // Whatever comes, and the end above all.
        let _read = std::io::stdin().read(&mut [0]);
        stopping.send(Message::Stop).ok();
    });
    std::thread::spawn(move || reap(group, &sender));
    let (mut status, mut is_alone) = (None, false);
    let mut note = |message| match message {
        Message::Ended(ended) => status = Some(ended),
        Message::Alone => is_alone = true,
        Message::Stop => {}
    };
    note(receiver.recv().ok()?);
    end_group(group, grace);
    while let Ok(message) = receiver.try_recv() {
        note(message);
    }
    while !is_alone {
        // What left the group gets no time.
        #[cfg(target_os = "linux")]
        end_children();
        match receiver.recv_timeout(Duration::from_millis(2)) {
            Ok(Message::Ended(ended)) => status = Some(ended),
            Ok(Message::Alone) => is_alone = true,
            Ok(Message::Stop) | Err(_) => {}
        }
    }
    let status = status?;
    let signal = status
        .terminating_signal()
        .and_then(rustix::process::Signal::from_named_raw);
    if let Some(signal) = signal {
        rustix::process::kill_process(rustix::process::getpid(), signal).ok();
        // Only a signal that does not end a process gets here.
        return Some(128_i32.saturating_add(signal.as_raw()));
    }
    status.exit_status()
}

/// Wait for all children, those that were adopted too, and tell when the command ended and when there are none any more.
#[cfg(unix)]
fn reap(command: u32, sender: &std::sync::mpsc::Sender<Message>) {
    let command = i32::try_from(command).ok();
    loop {
        match rustix::process::wait(rustix::process::WaitOptions::empty()) {
            Ok(Some((pid, status))) if Some(pid.as_raw_nonzero().get()) == command => {
                sender.send(Message::Ended(status)).ok();
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => {
                sender.send(Message::Alone).ok();
                return;
            }
        }
    }
}

/// Be replaced by the command, which is then killed with its parent.
#[cfg(unix)]
fn become_command(mut arguments: impl Iterator<Item = OsString>) -> i32 {
    use std::os::unix::process::CommandExt as _;

    let parent = arguments.next();
    let Some(program) = arguments.next() else {
        return FAILED;
    };
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, getppid, set_parent_process_death_signal};
        set_parent_process_death_signal(Some(Signal::KILL)).ok();
        // The parent may have gone before it was asked to.
        let now = getppid().map(|pid| pid.as_raw_nonzero().to_string());
        if now.as_deref().map(OsStr::new) != parent.as_deref() {
            return FAILED;
        }
    }
    #[cfg(not(target_os = "linux"))]
    drop(parent);
    let error = Command::new(&program).args(arguments).exec();
    let shown = program.to_string_lossy();
    writeln!(std::io::stderr(), "cannot start `{shown}`: {error}").ok();
    FAILED
}

/// End a process group: SIGTERM, and SIGKILL to what is left after the grace time. Somebody else has to wait for its
/// members, since those that ended count until then. An empty group is left alone.
#[cfg(unix)]
pub(super) fn end_group(group: u32, grace: Duration) {
    use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

    const LOOK: Duration = Duration::from_millis(5);
    let Some(group) = i32::try_from(group).ok().and_then(Pid::from_raw) else {
        return;
    };
    if test_kill_process_group(group).is_err() {
        return;
    }
    kill_process_group(group, Signal::TERM).ok();
    // One that is stopped ends only when it goes on.
    kill_process_group(group, Signal::CONT).ok();
    let deadline = std::time::Instant::now() + grace;
    while std::time::Instant::now() < deadline {
        if test_kill_process_group(group).is_err() {
            return;
        }
        std::thread::sleep(LOOK);
    }
    kill_process_group(group, Signal::KILL).ok();
}

/// The same where there are no process groups: children are waited for.
#[cfg(not(unix))]
pub(super) fn end_group(_group: u32, _grace: Duration) {}

/// Kill all children of this process: descendants of the command whose parents have ended.
#[cfg(target_os = "linux")]
fn end_children() {
    for child in children() {
        if let Some(pid) = rustix::process::Pid::from_raw(child) {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
        }
    }
}

/// The processes whose parent this one is.
#[cfg(target_os = "linux")]
fn children() -> Vec<i32> {
    let own = rustix::process::getpid().as_raw_nonzero().to_string();
    let Ok(entries) = fs_err::read_dir("/proc") else {
        return Vec::new();
    };
    let is_child = |pid: &i32| {
        // `PID (NAME) STATE PARENT ...`; a name may have anything in it.
        let text = fs_err::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = text.rsplit_once(')').map(|(_, rest)| rest.to_owned());
        rest.is_some_and(|rest| rest.split_whitespace().nth(1) == Some(own.as_str()))
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(is_child)
        .collect()
}
