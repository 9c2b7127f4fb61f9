//! Proxies: a sequence in a small size as JPEG or PNG, with the same frame numbers.
//!
//! Invariants: the same input gives the same bytes, whatever the machine and the number of threads; a proxy is written whole or not at all,
//! and one that is there with the same bytes is left alone. Deliberately absent: removing what other runs wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use backlot_core::{Context, Operation, file, presence, text};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::picture::{Encoding, Look, Size, Viewer};
use crate::sequence::{Sequence, SequenceSummary};
use crate::work::{at, each};

/// How proxies are made.
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// The folder for them; made if absent.
    pub output: PathBuf,
    /// The kind of file.
    pub encoding: Encoding,
    /// Exposure, transparency and layer.
    pub look: Look,
    /// The size.
    pub size: Size,
    /// Limits against hostile images.
    pub limits: Limits,
    /// Write nothing.
    pub dry_run: bool,
}

/// The result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProxyReport {
    /// The sequences.
    pub sequences: Vec<SequenceSummary>,
    /// The folder.
    pub output: PathBuf,
    /// How many proxies were written.
    pub written: u64,
    /// How many were there already, with the same bytes.
    pub unchanged: u64,
    /// Bytes of all.
    pub bytes: u64,
    /// Columns and rows of the first, unless nothing was made.
    pub size: Option<[usize; 2]>,
    /// Images in the folder that this run did not make.
    pub others: Vec<String>,
    /// Nothing was written.
    pub dry_run: bool,
}

/// One frame and its proxy.
#[derive(Debug)]
struct Task {
    input: PathBuf,
    output: PathBuf,
}

/// One proxy.
#[derive(Debug)]
struct Done {
    written: bool,
    bytes: u64,
    size: [usize; 2],
    other_primaries: bool,
}

/// Make proxies of sequences.
pub fn make_proxies(
    context: &Context,
    sequences: &[Sequence],
    options: &ProxyOptions,
) -> Result<ProxyReport> {
    options.look.check(options.encoding)?;
    options.size.check()?;
    complete(sequences)?;
    let tasks = tasks(sequences, options)?;
    let others = others(&tasks, options)?;
    let mut report = ProxyReport {
        sequences: sequences.iter().map(SequenceSummary::from).collect(),
        output: options.output.clone(),
        written: tasks.len() as u64,
        unchanged: 0,
        bytes: 0,
        size: None,
        others,
        dry_run: options.dry_run,
    };
    if !report.others.is_empty() {
        let folder = text::printable(&options.output.to_string_lossy());
        let message = format!(
            "{} in `{folder}` do not belong to these frames and are left in place: {}",
            text::count(report.others.len() as u64, "image"),
            text::printable(&report.others[..report.others.len().min(5)].join(", "))
        );
        context.warn("media::other_images", message);
    }
    if options.dry_run {
        return Ok(report);
    }
    let viewer = Viewer::new(options.limits);
    let all = each(
        context,
        Operation::Transcode,
        options.limits.jobs,
        &tasks,
        |task| make(&viewer, task, options),
    )?;
    if let Some(first) = tasks.iter().zip(&all).find(|(_, done)| done.other_primaries) {
        warn_of_primaries(context, &first.0.input);
    }
    report.size = all.first().map(|done| done.size);
    report.written = all.iter().filter(|done| done.written).count() as u64;
    report.unchanged = all.len() as u64 - report.written;
    report.bytes = all.iter().map(|done| done.bytes).sum();
    Ok(report)
}

/// Tell once that colours are not converted.
pub(crate) fn warn_of_primaries(context: &Context, path: &Path) {
    let path = text::printable(&path.to_string_lossy());
    context.warn(
        "media::other_primaries",
        format!("`{path}` declares primaries other than sRGB; its colours are not converted"),
    );
}

/// Refuse sequences that have not the frames that their pattern names.
pub(crate) fn complete(sequences: &[Sequence]) -> Result<()> {
    for sequence in sequences.iter().filter(|sequence| sequence.wanted.is_some()) {
        let missing = sequence.missing(None);
        if !missing.is_empty() {
            return Err(Error::MissingFrames {
                sequence: text::printable(&sequence.name),
                frames: format!("{missing:.20}"),
            });
        }
    }
    Ok(())
}

fn tasks(sequences: &[Sequence], options: &ProxyOptions) -> Result<Vec<Task>> {
    let mut by_output: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    let mut tasks = Vec::new();
    for frame in sequences.iter().flat_map(|sequence| &sequence.frames) {
        let mut name = frame.path.file_stem().unwrap_or_default().to_os_string();
        name.push(".");
        name.push(options.encoding.extension());
        let output = options.output.join(name);
        let input = frame.path.clone();
        if file::is_same_file(&input, &output) {
            return Err(Error::OverInput { path: output });
        }
        if let Some(other) = by_output.insert(output.clone(), input.clone()) {
            let inputs = Box::new([other, input]);
            return Err(Error::SameOutput { inputs, output });
        }
        tasks.push(Task { input, output });
    }
    Ok(tasks)
}

/// Files in the output folder with the extension of proxies that are not proxies of this run.
fn others(tasks: &[Task], options: &ProxyOptions) -> Result<Vec<String>> {
    let ours: BTreeSet<_> = tasks.iter().filter_map(|task| task.output.file_name()).collect();
    let mut others = Vec::new();
    for entry in presence::read_folder(&options.output)?.into_iter().flatten() {
        let name = entry.map_err(backlot_core::FileError::from)?.file_name();
        let same_kind = Path::new(&name)
            .extension()
            .is_some_and(|extension| extension == options.encoding.extension());
        if same_kind && !ours.contains(name.as_os_str()) {
            others.push(name.to_string_lossy().into_owned());
        }
    }
    others.sort();
    Ok(others)
}

fn make(viewer: &Viewer, task: &Task, options: &ProxyOptions) -> Result<Done> {
    let shown = viewer
        .show(&task.input, &options.look, options.size)
        .map_err(at(&task.input))?;
    let pixels = &shown.pixels;
    let bytes = viewer
        .encode(pixels, options.look.alpha, options.encoding)
        .map_err(at(&task.input))?;
    let written = file::write_for_now_if_changed(&task.output, &bytes)?;
    Ok(Done {
        written,
        bytes: bytes.len() as u64,
        size: [pixels.width, pixels.height],
        other_primaries: shown.other_primaries,
    })
}
