//! Running one command and saying what it cost.
//!
//! The command is a child of a small process of our own (the bench itself with [`PROBE`] as its first argument), so that
//! `getrusage` of that process's children is the cost of this one command and of what it started and waited for. The
//! kernel counts the memory of the process that forks into the peak of the child, which is another reason for a small
//! one. Wall time is taken inside the probe, around start and wait. Deliberately absent: sampling; the kernel's own
//! counts are exact.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike as _};
use serde::{Deserialize, Serialize};

/// First argument of the bench when it is to be the probe of one command.
pub const PROBE: &str = "--probe-one-command";

/// What a command cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds from start to end.
    pub wall: f64,
    /// Seconds of processor time in the program.
    pub user: f64,
    /// Seconds of processor time in the kernel for it.
    pub system: f64,
    /// The largest resident set of any one of its processes, bytes.
    pub peak: u64,
    /// Seconds that a sync of the disk took after it: what it left for others to write.
    pub left_to_sync: f64,
}

impl Sample {
    /// One after the other.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self {
            wall: self.wall + later.wall,
            user: self.user + later.user,
            system: self.system + later.system,
            peak: self.peak.max(later.peak),
            left_to_sync: self.left_to_sync + later.left_to_sync,
        }
    }

    /// Processor time.
    pub fn cpu(&self) -> f64 {
        self.user + self.system
    }

    /// The median of each figure by itself. Zero of no samples.
    pub fn median(samples: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(samples.iter().map(figure).collect());
        let mut peaks: Vec<u64> = samples.iter().map(|s| s.peak).collect();
        peaks.sort_unstable();
        Self {
            wall: of(|s| s.wall),
            user: of(|s| s.user),
            system: of(|s| s.system),
            peak: peaks.get(peaks.len() / 2).copied().unwrap_or(0),
            left_to_sync: of(|s| s.left_to_sync),
        }
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => 0.0,
        n if n % 2 == 1 => figures[middle],
        _ => f64::midpoint(figures[middle - 1], figures[middle]),
    }
}

/// Where and how commands are run.
#[derive(Clone, Debug)]
pub struct Bench {
    /// A folder on the disk that is measured; logs go there.
    pub folder: PathBuf,
    /// Variables of every command, beside `PATH`.
    pub variables: Vec<(String, OsString)>,
    /// Whether [`warm_memory`] is needed on this machine.
    pub warm: bool,
}

impl Bench {
    /// A command in a folder, with the bench's variables and nothing else of the environment.
    pub fn command(&self, program: &Path, arguments: &[&str], here: &Path, path: &OsString) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(here).env_clear();
        command.env("PATH", path).envs(self.variables.iter().cloned());
        command
    }

    /// Run a command that is not measured. Its output is part of the error if it fails.
    pub fn run(&self, command: &mut Command) -> io::Result<String> {
        let output = command.stdin(Stdio::null()).output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = [output.stdout, output.stderr].concat();
        Err(failed(command, &String::from_utf8_lossy(&said)))
    }

    /// Run a command and say what it cost. Before, everything dirty is brought to the disk, and so much memory is used
    /// once; after, what it left is brought to the disk.
    pub fn measure(&self, command: &Command, memory: u64) -> io::Result<Sample> {
        sync()?;
        if self.warm {
            warm_memory(memory);
        }
        let result = self.folder.join("probe.json");
        let log = self.folder.join("probe.log");
        let mut probe = Command::new(std::env::current_exe()?);
        probe
            .arg(PROBE)
            .arg(&result)
            .arg(command.get_program())
            .args(command.get_args());
        if let Some(here) = command.get_current_dir() {
            probe.current_dir(here);
        }
        probe.env_clear();
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                probe.env(name, value);
            }
        }
        let output = fs::File::create(&log)?.into_parts().0;
        probe
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        if !probe.status()?.success() {
            return Err(failed(command, &fs::read_to_string(&log)?));
        }
        let mut sample: Sample = serde_json::from_slice(&fs::read(&result)?)?;
        let start = Instant::now();
        sync()?;
        sample.left_to_sync = start.elapsed().as_secs_f64();
        Ok(sample)
    }
}

fn failed(command: &Command, said: &str) -> io::Error {
    let tail: Vec<&str> = said.lines().rev().take(20).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    io::Error::other(format!("{command:?} failed:\n{}", tail.join("\n")))
}

/// Be the probe: run the command of the arguments after [`PROBE`], write its [`Sample`], end as it ended.
pub fn probe(arguments: &[OsString]) -> io::Result<bool> {
    let [result, program, rest @ ..] = arguments else {
        return Err(io::Error::other("a probe needs a result file and a command"));
    };
    let start = Instant::now();
    let status = Command::new(program).args(rest).status()?;
    let wall = start.elapsed().as_secs_f64();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: TimeVal| {
        Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap_or(0)).as_secs_f64()
    };
    let sample = Sample {
        wall,
        user: seconds(usage.user_time()),
        system: seconds(usage.system_time()),
        peak: u64::try_from(usage.max_rss()).unwrap_or(0) * PEAK_UNIT,
        left_to_sync: 0.0,
    };
    fs::write(Path::new(result), serde_json::to_vec(&sample)?)?;
    Ok(status.success())
}

/// `ru_maxrss` is in KiB on Linux and in bytes on macOS.
const PEAK_UNIT: u64 = if cfg!(target_os = "macos") { 1 } else { 1024 };

/// Bring everything that is dirty to the disk, so that no step pays for what another one wrote.
pub fn sync() -> io::Result<()> {
    Command::new("sync").status().map(|_| ())
}

/// Use so much memory once and free it. A virtual machine may get a page from its host only when it is first used, which
/// costs seconds a GiB, and give free memory back some seconds later; right after this, a step does not pay for that.
/// Returns the seconds it took.
pub fn warm_memory(bytes: u64) -> f64 {
    const PIECE: usize = 1 << 20;
    let start = Instant::now();
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    for _ in 0..bytes.min(available_memory() / 2) / PIECE as u64 {
        let mut piece = vec![0u8; PIECE];
        // One byte a page makes the page ours.
        piece.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
        pieces.push(std::hint::black_box(piece));
    }
    start.elapsed().as_secs_f64()
}

/// Empty all files of a tree, but leave the files: their space and cached pages are free, and the disk does not have to
/// look for inodes among those just deleted (ext4 without a journal avoids these for minutes, at a high price).
pub fn empty_files(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            empty_files(&entry.path())?;
        } else if kind.is_file() {
            let mut permissions = entry.metadata()?.permissions();
            #[expect(
                clippy::permissions_set_readonly_false,
                reason = "the file is ours and is emptied next"
            )]
            permissions.set_readonly(false);
            fs::set_permissions(entry.path(), permissions)?;
            fs::OpenOptions::new()
                .write(true)
                .truncate(true)
                .open(entry.path())?;
        }
    }
    Ok(())
}

/// Memory that could be used without pushing other programs out, bytes. Zero where the system does not say.
pub fn available_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"));
    let kib = line
        .and_then(|line| line.split_whitespace().nth(1))
        .and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// The one-minute load of the machine. Zero where the system does not say.
pub fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace()
        .next()
        .and_then(|first| first.parse().ok())
        .unwrap_or(0.0)
}

/// Wait until the processors have been idle for a moment, at most `limit`. Returns how busy they were at the end, 0 to 1.
pub fn wait_until_quiet(limit: Duration) -> f64 {
    let start = Instant::now();
    loop {
        let before = busy_and_total();
        std::thread::sleep(Duration::from_secs(1));
        let after = busy_and_total();
        #[expect(clippy::cast_precision_loss, reason = "a share of ticks within a second")]
        let share = (after.0 - before.0) as f64 / (after.1 - before.1).max(1) as f64;
        if share < 0.08 || start.elapsed() >= limit {
            return share;
        }
    }
}

/// Ticks of all processors since boot: those that were used, and all.
fn busy_and_total() -> (u64, u64) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<u64> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|t| t.parse().ok())
        .collect();
    let total: u64 = ticks.iter().take(8).sum();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    (total - idle, total)
}

/// Write text to the standard output; a bench has no other voice.
pub fn say(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::Sample;

    #[test]
    fn a_median_takes_each_figure_by_itself() {
        let sample = |wall, peak| Sample {
            wall,
            peak,
            ..Sample::default()
        };
        let median = Sample::median(&[sample(3.0, 1), sample(1.0, 3), sample(2.0, 2)]);
        assert_eq!((median.wall, median.peak), (2.0, 2));
        assert_eq!(Sample::median(&[]), Sample::default());
    }
}
