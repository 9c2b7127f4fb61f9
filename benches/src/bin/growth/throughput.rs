//! Throughput: many publishers at once, beside as many `cp -r` and one `sync` of the disk.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use backlot_benches::measure::sync;
use fs_err as fs;
use serde::Serialize;

use crate::studio::{Studio, frames, write_frames};

/// What each publisher publishes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    publishers: [usize; 3],
    /// All releases together, whoever publishes them.
    releases: usize,
    frames: usize,
    frame_bytes: usize,
}

pub(crate) const FULL: Load = Load {
    publishers: [1, 4, 16],
    releases: 64,
    frames: 16,
    frame_bytes: 1 << 20,
};
pub(crate) const SMALL: Load = Load {
    releases: 16,
    frames: 4,
    frame_bytes: 256 << 10,
    ..FULL
};

/// What so many publishers reached.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Throughput {
    publishers: usize,
    /// Seconds until the last one had published.
    backlot: f64,
    /// Seconds of `cp -r` of the same by as many processes, and the sync of the disk.
    copy: f64,
    bytes: u64,
    /// The largest resident set of a publisher, bytes.
    peak: u64,
}

impl Throughput {
    #[expect(clippy::cast_precision_loss, reason = "bytes, for a rate")]
    fn rate(&self, seconds: f64) -> f64 {
        self.bytes as f64 / seconds / 1e6
    }
}

/// Measure in a folder.
pub(crate) fn measure(studio: &Studio, place: &Path, load: &Load) -> io::Result<Vec<Throughput>> {
    load.publishers
        .iter()
        .map(|publishers| one(studio, &place.join(publishers.to_string()), load, *publishers))
        .collect()
}

fn one(studio: &Studio, place: &Path, load: &Load, publishers: usize) -> io::Result<Throughput> {
    let each = load.releases / publishers;
    let mut workspaces: Vec<PathBuf> = Vec::new();
    let mut folders = Vec::new();
    for publisher in 0..publishers {
        let workspace = studio.workspace(place, &format!("w{publisher}"), &format!("cache{publisher}"))?;
        for release in 0..each {
            let (name, module) = (
                format!("P{publisher}R{release}"),
                format!("p{publisher}r{release}"),
            );
            studio.run(&workspace, &["new", &name])?;
            let folder = frames(&workspace, &module);
            let seed = (publishers * 1000 + publisher) * 1000 + release;
            write_frames(&folder, 0..load.frames, load.frame_bytes, seed as u64)?;
            folders.push((publisher, folder));
        }
        workspaces.push(workspace);
    }
    let copies = place.join("copies");
    let mut scripts: Vec<String> = vec![String::new(); publishers];
    for (number, (publisher, folder)) in folders.iter().enumerate() {
        let target = copies.join(number.to_string());
        scripts[*publisher].push_str(&format!("cp -r '{}' '{}'; ", folder.display(), target.display()));
    }
    fs::create_dir_all(&copies)?;
    sync()?;
    let copy = together(scripts.iter().map(|script| shell(script, place)), true)?;
    let before = peak_of_children();
    let publish = workspaces.iter().enumerate().map(|(publisher, workspace)| {
        let mut script = String::from("set -e; ");
        for release in 0..each {
            let module = format!("p{publisher}r{release}");
            script.push_str(&format!(
                "\"$BACKLOT\" add -q outputs/{module}/src/{module}/frames; \"$BACKLOT\" publish -q P{publisher}R{release}; "
            ));
        }
        let mut command = studio.bench.command(
            Path::new("/bin/sh"),
            &["-c", &script],
            workspace,
            &studio.path,
        );
        command.env("BACKLOT", &studio.program);
        command
    });
    let backlot = together(publish, false)?;
    Ok(Throughput {
        publishers,
        backlot,
        copy,
        bytes: (each * publishers * load.frames * load.frame_bytes) as u64,
        peak: peak_of_children().max(before),
    })
}

fn shell(script: &str, here: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).current_dir(here);
    command
}

/// Start all, wait for all, and sync the disk if that is part of it; the seconds it took.
fn together(commands: impl Iterator<Item = Command>, with_sync: bool) -> io::Result<f64> {
    let start = Instant::now();
    let mut running = Vec::new();
    for mut command in commands {
        running.push(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?);
    }
    for mut child in running {
        let status = child.wait()?;
        if !status.success() {
            return Err(io::Error::other(format!(
                "a publisher or a copy failed: {status}"
            )));
        }
    }
    if with_sync {
        sync()?;
    }
    Ok(start.elapsed().as_secs_f64())
}

/// The largest resident set of any child that has ended, bytes.
fn peak_of_children() -> u64 {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok();
    usage.map_or(0, |usage| u64::try_from(usage.max_rss()).unwrap_or(0) * 1024)
}

/// Whether sixteen publishers are in sum at least as fast as four, with a tenth for chance.
pub(crate) fn holds(found: &[Throughput]) -> bool {
    let of = |publishers| found.iter().find(|t| t.publishers == publishers);
    match (of(4), of(16)) {
        (Some(four), Some(sixteen)) => sixteen.backlot <= four.backlot * 1.1,
        _ => true,
    }
}

/// The table in Markdown.
pub(crate) fn to_markdown(found: &[Throughput]) -> String {
    if found.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "\n| publishers | backlot, MB/s | cp -r + sync, MB/s | peak of one, MiB |\n|---:|---:|---:|---:|\n",
    );
    for one in found {
        text.push_str(&format!(
            "| {} | {:.0} | {:.0} | {} |\n",
            one.publishers,
            one.rate(one.backlot),
            one.rate(one.copy),
            one.peak >> 20,
        ));
    }
    let held = if holds(found) { "held" } else { "missed" };
    text.push_str(&format!("\nSixteen are at least as fast as four: {held}.\n"));
    text
}
