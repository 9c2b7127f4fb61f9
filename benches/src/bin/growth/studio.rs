//! A studio for a bench: workspaces on one folder repo and one folder remote, and one backlot to run in them.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use backlot_benches::Random;
use backlot_benches::measure::{Bench, Sample};
use fs_err as fs;

use crate::growth::Point;

/// How to run the backlot that is measured.
pub(crate) struct Studio {
    pub(crate) bench: Bench,
    pub(crate) program: PathBuf,
    pub(crate) path: OsString,
    pub(crate) strace: Option<PathBuf>,
}

impl Studio {
    /// What it says it is.
    pub(crate) fn version(&self, here: &Path) -> io::Result<String> {
        Ok(self.run(here, &["--version"])?.trim().to_owned())
    }

    pub(crate) fn command(&self, here: &Path, arguments: &[&str]) -> Command {
        self.bench.command(&self.program, arguments, here, &self.path)
    }

    /// Run a command that is not measured.
    pub(crate) fn run(&self, here: &Path, arguments: &[&str]) -> io::Result<String> {
        self.bench.run(&mut self.command(here, arguments))
    }

    /// Run a command and tell what it cost.
    pub(crate) fn sample(&self, here: &Path, arguments: &[&str]) -> io::Result<Sample> {
        self.bench.measure(&self.command(here, arguments), 0)
    }

    /// Run a command and count its system calls; `None` without strace.
    pub(crate) fn calls(&self, here: &Path, arguments: &[&str]) -> io::Result<Option<u64>> {
        let Some(strace) = &self.strace else {
            return Ok(None);
        };
        let log = self.bench.folder.join("calls");
        let log_text = log.display().to_string();
        let program = self.program.display().to_string();
        let mut all = vec!["-f", "-c", "-o", &log_text, &program];
        all.extend(arguments);
        self.bench
            .run(&mut self.bench.command(strace, &all, here, &self.path))?;
        Ok(total(&fs::read_to_string(log)?))
    }

    /// The costs of a command that can be repeated: three samples, and its system calls.
    pub(crate) fn repeated(&self, size: u32, here: &Path, arguments: &[&str]) -> io::Result<Point> {
        let samples: io::Result<Vec<Sample>> = (0..3).map(|_| self.sample(here, arguments)).collect();
        Ok(Point {
            size,
            samples: samples?,
            calls: self.calls(here, arguments)?,
        })
    }

    /// The costs of a command that needs something to be done before each time.
    pub(crate) fn prepared(
        &self,
        size: u32,
        mut prepare: impl FnMut() -> io::Result<PathBuf>,
        arguments: &[&str],
    ) -> io::Result<Point> {
        let mut samples = Vec::new();
        for _ in 0..3 {
            let here = prepare()?;
            samples.push(self.sample(&here, arguments)?);
        }
        let here = prepare()?;
        Ok(Point {
            size,
            samples,
            calls: self.calls(&here, arguments)?,
        })
    }

    /// A workspace of a studio in a folder, made anew, with a cache in that folder.
    pub(crate) fn workspace(&self, studio: &Path, name: &str, cache: &str) -> io::Result<PathBuf> {
        let workspace = studio.join(name);
        if workspace.exists() {
            fs::remove_dir_all(&workspace)?;
        }
        fs::create_dir_all(studio)?;
        let cache = studio.join(cache).display().to_string();
        self.run(studio, &["init", name, "--python", "none", "--cache", &cache])?;
        self.run(&workspace, &["repo", "add", "review", "../review"])?;
        self.run(&workspace, &["remote", "add", "main", "../files"])?;
        Ok(workspace)
    }

    /// A consumer that has never seen anything: a workspace with an empty cache of its own.
    pub(crate) fn stranger(&self, studio: &Path) -> io::Result<PathBuf> {
        let cache = studio.join("cache-stranger");
        if cache.exists() {
            fs::remove_dir_all(&cache)?;
        }
        self.workspace(studio, "stranger", "cache-stranger")
    }
}

/// The calls in the last row of a summary of strace: `100.00    0.012345           4      2966       123 total`.
fn total(summary: &str) -> Option<u64> {
    let row = summary.lines().rev().find(|line| line.ends_with("total"))?;
    let words: Vec<&str> = row.split_whitespace().collect();
    words.get(3)?.parse().ok()
}

/// The folder of an asset's frames.
pub(crate) fn frames(workspace: &Path, module: &str) -> PathBuf {
    workspace.join(format!("outputs/{module}/src/{module}/frames"))
}

/// Write frames of bytes that do not compress and that no other frame has.
pub(crate) fn write_frames(
    folder: &Path,
    frames: std::ops::Range<usize>,
    bytes: usize,
    seed: u64,
) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for frame in frames {
        let mut random = Random::new(seed, frame as u64);
        let content: Vec<u8> = (0..bytes.div_ceil(8))
            .flat_map(|_| random.next().to_le_bytes())
            .collect();
        fs::write(folder.join(format!("f.{frame:06}.exr")), &content[..bytes])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::total;

    #[test]
    fn the_total_of_a_summary_is_read_with_and_without_errors() {
        let with = "% time seconds usecs/call calls errors syscall\n100.00 0.01 4 2966 123 total\n";
        let without = "------\n100.00 0.01 4 17 total\n";
        assert_eq!((total(with), total(without)), (Some(2966), Some(17)));
        assert_eq!(total("nothing"), None);
    }
}
