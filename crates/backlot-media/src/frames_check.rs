//! Checks of image sequences: complete, alike, and every pixel readable.
//!
//! Of every sequence: gaps, numbers that are there twice, padding; of every frame: its header, and all its pixels decoded, which finds what
//! was cut or damaged and, in EXR and floating-point TIFF, values that are not finite; then size, channels, windows and compression against
//! those that most frames have. Findings are data; only a file that the system refuses to read is an error. One EXR chunk a core is held
//! decoded, of other formats one frame a core, and together no more than [`Limits::memory`]. What is known of frames already is not read again
//! ([`KnownFrames`]).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backlot_core::frames::Frames;
use backlot_core::{Context, Operation, text};
use serde::{Deserialize, Serialize};

use crate::error::{Result, Trouble};
use crate::exr_file;
use crate::facts::{Format, ImageFacts, NotFinite, Window};
use crate::flat_file;
use crate::image_file;
use crate::limits::{Limits, Memory};
use crate::sequence::{Frame, Sequence, SequenceSummary};
use crate::work::{each, guarded};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Good to know.
    Info,
    /// Often not meant.
    Warning,
    /// Not fit to be published.
    Error,
}

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `frames::snake_case`, stable, listed in `docs/errors.md`.
    pub code: &'static str,
    /// How much it matters.
    pub level: Level,
    /// The sequence, as its name with `#` for digits.
    pub sequence: String,
    /// The frame, where it is about one with a number.
    pub frame: Option<u64>,
    /// The file, where it is about one.
    pub file: Option<String>,
    /// Its whole path.
    #[serde(skip)]
    pub path: Option<PathBuf>,
    /// The finding: lower case, no full stop.
    pub message: String,
    /// What to do about it.
    pub help: &'static str,
    /// The values that are not finite, of `frames::not_finite`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<NotFinite>,
}

/// The options of a check.
#[derive(Clone, Debug, Default)]
pub struct CheckOptions {
    /// The frames that each sequence must have, no more and no less.
    pub expect: Option<Frames>,
    /// Read headers only: cut or damaged pixels and values that are not finite are not seen.
    pub headers_only: bool,
    /// A warning counts as an error.
    pub strict: bool,
    /// Limits against hostile images.
    pub limits: Limits,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// The sequences.
    pub sequences: Vec<CheckedSequence>,
    /// Frames that were read.
    pub frames: u64,
    /// Findings, by sequence and frame.
    pub findings: Vec<Finding>,
    /// How many of them are errors.
    pub errors: u64,
    /// How many of them are warnings.
    pub warnings: u64,
    /// Whether pixels were decoded.
    pub decoded: bool,
}

/// A sequence that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckedSequence {
    /// Its name and numbers.
    #[serde(flatten)]
    pub summary: SequenceSummary,
    /// The properties of most of its frames, unless none can be read.
    pub facts: Option<ImageFacts>,
}

/// Why a file could not be read, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "reason")]
pub enum FileProblem {
    /// Its header says more than the limits.
    TooLarge(String),
    /// The decoder has no such pixels, or the file is of another format.
    Unsupported(String),
    /// It is cut or damaged.
    Damaged(String),
}

impl FileProblem {
    /// The problem with a file; the system's message if it refused to read it.
    pub(crate) fn of(trouble: Trouble) -> std::result::Result<Self, String> {
        match trouble {
            Trouble::TooLarge(reason) => Ok(Self::TooLarge(reason)),
            Trouble::Unsupported(reason) => Ok(Self::Unsupported(format!("{reason} is not supported"))),
            Trouble::NoLayer { layer, .. } => Ok(Self::Unsupported(format!("it has no layer {layer}"))),
            Trouble::Damaged(reason) => Ok(Self::Damaged(reason)),
            Trouble::File(error) => Err(error.to_string()),
        }
    }

    /// In words.
    pub fn reason(&self) -> &str {
        match self {
            Self::TooLarge(reason) | Self::Unsupported(reason) | Self::Damaged(reason) => reason,
        }
    }
}

/// The result of reading a frame. It depends only on the bytes of the file and [`Limits`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameRead {
    /// The data in its header.
    pub facts: Option<ImageFacts>,
    /// Why no more was read.
    pub problem: Option<FileProblem>,
    /// Values that are not finite.
    pub not_finite: Vec<NotFinite>,
    /// Whether there is nothing more to read: its pixels were decoded, or cannot be.
    pub whole: bool,
}

impl FrameRead {
    /// The data from reading the header alone.
    fn of_header(self) -> Self {
        Self {
            problem: self.problem.filter(|_| self.facts.is_none()),
            not_finite: Vec::new(),
            ..self
        }
    }
}

/// Results of earlier reads of frames, kept by a caller that can tell whether a file is unchanged.
pub trait KnownFrames: Sync {
    /// The result of reading a file.
    fn find(&self, path: &Path) -> Option<FrameRead>;
    /// Record the result of reading a file.
    fn keep(&self, path: &Path, read: &FrameRead);
}

/// Nothing is known.
#[derive(Clone, Copy, Debug)]
pub struct NoKnownFrames;

impl KnownFrames for NoKnownFrames {
    fn find(&self, _path: &Path) -> Option<FrameRead> {
        None
    }
    fn keep(&self, _path: &Path, _read: &FrameRead) {}
}

/// Check sequences. Findings are in the report.
pub fn check_frames(
    context: &Context,
    sequences: &[Sequence],
    options: &CheckOptions,
) -> Result<CheckReport> {
    check_known_frames(context, sequences, options, &NoKnownFrames)
}

/// The same, without reading known frames again.
pub fn check_known_frames(
    context: &Context,
    sequences: &[Sequence],
    options: &CheckOptions,
    known: &dyn KnownFrames,
) -> Result<CheckReport> {
    let frames: Vec<&Frame> = sequences.iter().flat_map(|sequence| &sequence.frames).collect();
    let memory = Memory::new(options.limits.memory);
    let mut read = each(
        context,
        Operation::Verify,
        options.limits.jobs,
        &frames,
        |frame| {
            let before = known.find(&frame.path);
            if let Some(read) = before.filter(|read| read.whole || options.headers_only) {
                return Ok(if options.headers_only {
                    read.of_header()
                } else {
                    read
                });
            }
            let read = read_frame(frame, options, &memory)?;
            known.keep(&frame.path, &read);
            Ok(read)
        },
    )?
    .into_iter();
    let (mut checked, mut findings) = (Vec::new(), Vec::new());
    for sequence in sequences {
        let of_frames: Vec<FrameRead> = read.by_ref().take(sequence.frames.len()).collect();
        let mut found = names(sequence, options);
        let facts = contents(sequence, of_frames, &mut found);
        // Of one frame, in the order in which they were found.
        found.sort_by_key(|finding| finding.frame);
        findings.append(&mut found);
        checked.push(CheckedSequence {
            summary: sequence.into(),
            facts,
        });
    }
    if options.strict {
        for finding in findings
            .iter_mut()
            .filter(|finding| finding.level == Level::Warning)
        {
            finding.level = Level::Error;
        }
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count() as u64;
    Ok(CheckReport {
        frames: frames.len() as u64,
        errors: count(Level::Error),
        warnings: count(Level::Warning),
        sequences: checked,
        findings,
        decoded: !options.headers_only,
    })
}

fn read_frame(frame: &Frame, options: &CheckOptions, memory: &Memory) -> Result<FrameRead> {
    let mut read = FrameRead {
        facts: None,
        problem: None,
        not_finite: Vec::new(),
        whole: !options.headers_only,
    };
    let mut look = || -> Result<(), Trouble> {
        let facts = image_file::read_facts(&frame.path, &options.limits)?;
        let (format, pixels) = (facts.format, facts.display.width * facts.display.height);
        read.facts = Some(facts);
        if options.headers_only {
            return Ok(());
        }
        read.not_finite = guarded(|| {
            if format == Format::Exr {
                return exr_file::check(&frame.path, memory);
            }
            let _share = memory.take(16 * pixels);
            let image = flat_file::decode(&frame.path, format, &options.limits)?;
            Ok(flat_file::not_finite(&image))
        })?;
        Ok(())
    };
    match look() {
        Ok(()) => {}
        Err(Trouble::File(error)) => return Err(error.into()),
        Err(trouble) => {
            read.whole = true;
            read.problem = FileProblem::of(trouble).ok();
        }
    }
    Ok(read)
}

/// Begins findings of a sequence.
struct Finder<'a> {
    sequence: &'a Sequence,
}

impl Finder<'_> {
    fn find(
        &self,
        (code, level): (&'static str, Level),
        frame: Option<&Frame>,
        message: String,
        help: &'static str,
    ) -> Finding {
        let name = |frame: &Frame| {
            frame
                .path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        Finding {
            code,
            level,
            sequence: self.sequence.name.clone(),
            frame: frame.and_then(|frame| frame.number),
            file: frame.map(name),
            path: frame.map(|frame| frame.path.clone()),
            message,
            help,
            values: None,
        }
    }
}

/// Findings from the names of the files.
fn names(sequence: &Sequence, options: &CheckOptions) -> Vec<Finding> {
    let finder = Finder { sequence };
    let mut findings = Vec::new();
    let numbers = sequence.numbers();
    if numbers.is_empty() {
        let (code, help) = (
            "frames::unnumbered",
            "name it like name.0001.exr if it is a frame of a sequence",
        );
        let level = if options.expect.is_some() {
            Level::Error
        } else {
            Level::Info
        };
        let frame = sequence.frames.first();
        findings.push(finder.find((code, level), frame, "it has no frame number".to_owned(), help));
        return findings;
    }
    let missing = sequence.missing(options.expect.as_ref());
    if !missing.is_empty() {
        let message = format!(
            "{} missing: {missing:.20}",
            text::count(missing.len() as u64, "frame")
        );
        let help = "render the missing frames, or specify the expected ones with --expect";
        findings.push(finder.find(("frames::missing", Level::Error), None, message, help));
    }
    if let Some(expect) = &options.expect {
        let more: Frames = numbers
            .iter()
            .filter(|number| !expect.contains(*number))
            .collect();
        if !more.is_empty() {
            let message = format!(
                "{} not expected: {more:.20}",
                text::count(more.len() as u64, "frame")
            );
            let help = "remove them, or specify the expected frames with --expect";
            findings.push(finder.find(("frames::unexpected", Level::Error), None, message, help));
        }
    }
    for (_, frames) in sequence.duplicates() {
        let name = |frame: &&Frame| {
            frame
                .path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        let names: Vec<String> = frames.iter().map(name).collect();
        let message = format!("{} files have its number: {}", names.len(), names.join(", "));
        let help = "remove all but one of them";
        findings.push(finder.find(
            ("frames::duplicate", Level::Error),
            Some(frames[0]),
            message,
            help,
        ));
    }
    for frame in sequence.other_padding() {
        let message = format!(
            "{}, unlike the padding of the others",
            text::count(frame.digits as u64, "digit")
        );
        let help = "rename it: programs that read sequences look for one padding";
        findings.push(finder.find(
            ("frames::other_padding", Level::Error),
            Some(frame),
            message,
            help,
        ));
    }
    findings
}

/// Findings from the frames, and the properties of most of them.
fn contents(sequence: &Sequence, read: Vec<FrameRead>, findings: &mut Vec<Finding>) -> Option<ImageFacts> {
    let finder = Finder { sequence };
    let mut facts = Vec::new();
    for (frame, read) in sequence.frames.iter().zip(read) {
        if let Some(problem) = read.problem {
            findings.push(of_problem(&finder, frame, problem));
        }
        for values in read.not_finite {
            let message = not_finite(&values);
            let help =
                "find the light or shader that causes them and render again; filters spread such pixels";
            let kind = ("frames::not_finite", Level::Error);
            let finding = finder.find(kind, Some(frame), message, help);
            findings.push(Finding {
                values: Some(values),
                ..finding
            });
        }
        if let Some(of_frame) = read.facts {
            facts.push((frame, of_frame));
        }
    }
    compare(&finder, &facts, findings);
    most(facts.iter().map(|(_, facts)| facts)).cloned()
}

fn of_problem(finder: &Finder<'_>, frame: &Frame, problem: FileProblem) -> Finding {
    let (kind, message, help) = match problem {
        FileProblem::TooLarge(reason) => (
            ("frames::too_large", Level::Error),
            reason,
            "check where it comes from: its header may be damaged or forged",
        ),
        FileProblem::Unsupported(reason) => (
            ("frames::unsupported", Level::Warning),
            format!("its pixels were not checked: {reason}"),
            "check it with a program that supports it",
        ),
        FileProblem::Damaged(reason) => (
            ("frames::damaged", Level::Error),
            reason,
            "render or fetch it again",
        ),
    };
    finder.find(kind, Some(frame), message, help)
}

fn not_finite(values: &NotFinite) -> String {
    let mut kinds = Vec::new();
    if values.nan > 0 {
        kinds.push(format!("{} NaN", values.nan));
    }
    if values.inf > 0 {
        kinds.push(format!("{} infinite", values.inf));
    }
    let part = values.part.as_ref().map(|part| format!(" of part {part}"));
    let [x, y] = values.first;
    format!(
        "{} in channel {}{}, the first at {x},{y}",
        kinds.join(" and "),
        values.channel,
        part.unwrap_or_default()
    )
}

/// The value that most have; of several, the one that came first.
fn most<'a, T: Ord>(values: impl Iterator<Item = &'a T>) -> Option<&'a T> {
    let mut counts: BTreeMap<&T, (usize, usize)> = BTreeMap::new();
    for (position, value) in values.enumerate() {
        counts.entry(value).or_insert((0, usize::MAX - position)).0 += 1;
    }
    counts
        .into_iter()
        .max_by_key(|(_, (count, early))| (*count, *early))
        .map(|(value, _)| value)
}

/// Something that should be the same in all frames.
struct Property {
    kind: (&'static str, Level),
    name: &'static str,
    help: &'static str,
    of: fn(&ImageFacts) -> String,
}

const PROPERTIES: [Property; 6] = [
    Property {
        kind: ("frames::other_format", Level::Error),
        name: "format",
        help: "convert it, or render it again",
        of: |facts| facts.format.to_string(),
    },
    Property {
        kind: ("frames::other_size", Level::Error),
        name: "size",
        help: "render it again with the resolution of the others",
        of: |facts| size(facts.display),
    },
    Property {
        kind: ("frames::other_channels", Level::Error),
        name: "channels",
        help: "render it again with the channels of the others",
        of: ImageFacts::channels,
    },
    Property {
        kind: ("frames::other_display_window", Level::Error),
        name: "display window",
        help: "render it again with the format and overscan of the others",
        of: |facts| facts.display.to_string(),
    },
    Property {
        kind: ("frames::other_data_window", Level::Warning),
        name: "data window",
        help: "none needed if the renderer or compositor crops to non-black pixels; otherwise render it again",
        of: ImageFacts::data,
    },
    Property {
        kind: ("frames::other_compression", Level::Warning),
        name: "compression",
        help: "write it again with the compression of the others; check that no other program wrote it",
        of: ImageFacts::compression,
    },
];

fn size(window: Window) -> String {
    format!("{} x {}", window.width, window.height)
}

/// Findings about frames that are not as most are.
fn compare(finder: &Finder<'_>, facts: &[(&Frame, ImageFacts)], findings: &mut Vec<Finding>) {
    let mut differ = vec![Vec::new(); facts.len()];
    for property in &PROPERTIES {
        let values: Vec<String> = facts.iter().map(|(_, facts)| (property.of)(facts)).collect();
        let Some(usual) = most(values.iter()) else { return };
        for (position, value) in values.iter().enumerate() {
            // Another size is another display window and another data window, too: said once.
            let implied = match property.kind.0 {
                "frames::other_display_window" => differ[position].contains(&"frames::other_size"),
                "frames::other_data_window" => !differ[position].is_empty(),
                _ => false,
            };
            if value != usual && !implied {
                let message = format!("its {} is {value}, that of most frames {usual}", property.name);
                findings.push(finder.find(property.kind, Some(facts[position].0), message, property.help));
                differ[position].push(property.kind.0);
            }
        }
    }
}

/// Why a check fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the frames have {}", text::count(*errors, "error"))]
pub struct FramesNotClean {
    /// How many findings are errors.
    pub errors: u64,
}

impl CheckReport {
    /// The error of a command that checks, if a finding is one.
    pub fn failure(&self) -> Option<FramesNotClean> {
        (self.errors > 0).then_some(FramesNotClean { errors: self.errors })
    }
}

backlot_core::coded! {
    FramesNotClean {
        Self { .. } => "frames::not_clean", backlot_core::Class::Integrity,
            "see the findings in the report; each has a suggested fix";
    }
}
