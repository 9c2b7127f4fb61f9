//! Image sequences: which files are the frames of which sequence.
//!
//! Frames are named by files, a folder, or a pattern in the last part of a path: `beauty.####.exr`, `beauty.%04d.exr`,
//! `beauty.$F4.exr`, `beauty.1001-1010.exr`. The number of a frame is the run of digits at the end of its name without the
//! extension; the digits of a version (`set.v002.exr`) are not one. Files whose names differ in the number only are one
//! sequence. Invariants: the same files give the same sequences in the same order; names need not be UTF-8. Deliberately
//! absent: negative numbers (`f.-001.exr` is frame 1 of `f.-###.exr`), stereo tokens, folders below the one that is named.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use backlot_core::FileError;
use backlot_core::frames::{Frames, number};
use backlot_core::presence::read_folder;
use fs_err as fs;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::facts::EXTENSIONS;

/// One frame of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The file.
    pub path: PathBuf,
    /// Its number; a file without one is a sequence by itself.
    pub number: Option<u64>,
    /// How many digits its number has in the name.
    pub digits: usize,
}

/// Files whose names differ in the number only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// The name of its files with `#` for each digit of the number, for people.
    pub name: String,
    /// By number, digits and path.
    pub frames: Vec<Frame>,
    /// The frames that a range in the pattern asks for.
    pub wanted: Option<Frames>,
    /// The number of digits that the pattern asks for.
    pub padding: Option<usize>,
}

/// A pattern for names of files.
#[derive(Debug, PartialEq, Eq)]
struct Pattern {
    before: Vec<u8>,
    behind: Vec<u8>,
    padding: Option<usize>,
    range: Option<Frames>,
}

/// What the name of a file says: before the number, digits, behind it.
type Parts<'a> = (&'a [u8], &'a [u8], &'a [u8]);

impl Frame {
    /// The frame that a file is by its name.
    fn of(path: PathBuf) -> Self {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let digits = split(name).map_or(&[][..], |(_, digits, _)| digits);
        let number = std::str::from_utf8(digits).ok().and_then(number);
        let digits = digits.len();
        Self { path, number, digits }
    }
}

impl Sequence {
    /// The numbers of its frames.
    pub fn numbers(&self) -> Frames {
        self.frames.iter().filter_map(|frame| frame.number).collect()
    }

    /// Numbers between the first and the last that no frame has. In a sequence of every nth frame (whose distances are all
    /// multiples of n) only every nth is missed. What a pattern asks for counts as first and last.
    pub fn missing(&self, expected: Option<&Frames>) -> Frames {
        let numbers = self.numbers();
        if let Some(expected) = expected.or(self.wanted.as_ref()) {
            return expected.iter().filter(|n| !numbers.contains(*n)).collect();
        }
        let all: Vec<u64> = numbers.iter().collect();
        let step = all
            .windows(2)
            .fold(0, |step, pair| greatest_common_divisor(step, pair[1] - pair[0]));
        let (Some(first), Some(last)) = (all.first(), all.last()) else {
            return Frames::default();
        };
        // A number that is far away is an error of its own, not millions of missing frames.
        let most = 1_000_000_usize;
        let steps = (*first..=*last).step_by(usize::try_from(step.max(1)).unwrap_or(usize::MAX));
        steps.filter(|n| !numbers.contains(*n)).take(most).collect()
    }

    /// Frames that have the number of another frame, in other digits: `f.1.exr` and `f.0001.exr`.
    pub fn duplicates(&self) -> Vec<(u64, Vec<&Frame>)> {
        let mut by_number: BTreeMap<u64, Vec<&Frame>> = BTreeMap::new();
        for frame in &self.frames {
            if let Some(number) = frame.number {
                by_number.entry(number).or_default().push(frame);
            }
        }
        by_number.retain(|_, frames| frames.len() > 1);
        by_number.into_iter().collect()
    }

    /// Frames whose number has another padding than the rest: not the digits of the number, filled with zeros to a width.
    /// The width is that of the pattern, or the one that most frames have.
    pub fn other_padding(&self) -> Vec<&Frame> {
        let natural = |frame: &Frame| frame.number.map_or(0, |n| n.to_string().len());
        let fits = |frame: &Frame, width: usize| frame.digits == natural(frame).max(width);
        let width = self.padding.or_else(|| {
            let widths: BTreeSet<usize> = self.frames.iter().map(|frame| frame.digits).chain([1]).collect();
            let count = |width: usize| self.frames.iter().filter(|frame| fits(frame, width)).count();
            widths.into_iter().max_by_key(|width| (count(*width), *width))
        });
        let frames = self.frames.iter().filter(|frame| frame.number.is_some());
        frames.filter(|frame| !fits(frame, width.unwrap_or(1))).collect()
    }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

/// Before the number of a name, its digits, and what is behind; `None` for a name without one.
fn split(name: &[u8]) -> Option<Parts<'_>> {
    let dot = name.iter().rposition(|b| *b == b'.').filter(|dot| *dot > 0);
    let (stem, behind) = name.split_at(dot.unwrap_or(name.len()));
    let count = stem.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let (before, digits) = stem.split_at(stem.len() - count);
    let is_version = match before {
        [.., other, b'v' | b'V'] => !other.is_ascii_alphanumeric(),
        [b'v' | b'V'] => true,
        _ => false,
    };
    (count > 0 && count <= 18 && !is_version).then_some((before, digits, behind))
}

impl Pattern {
    /// `None` for a name that is not a pattern.
    fn parse(name: &[u8]) -> Result<Option<Self>> {
        let shown = || String::from_utf8_lossy(name).into_owned();
        let bad = |reason| Error::BadPattern {
            pattern: shown(),
            reason,
        };
        let find = |token: u8| name.iter().position(|b| *b == token);
        let run = |from: usize, is: fn(u8) -> bool| name[from..].iter().take_while(|b| is(**b)).count();
        let (from, to, padding, range) = if let Some((from, to, range)) = range_in(name) {
            // fileseq writes the padding behind the range: `1-10####`.
            let hashes = run(to, |b| b == b'#');
            let first_digits = run(from, |b| b.is_ascii_digit());
            let padding = if hashes > 0 { hashes } else { first_digits };
            let range = parse_frames(&range)?;
            (from, to + hashes, Some(padding), Some(range))
        } else if let Some(from) = find(b'#') {
            let count = run(from, |b| b == b'#');
            (from, from + count, Some(count), None)
        } else if let Some(from) = find(b'%') {
            let digits = run(from + 1, |b| b.is_ascii_digit());
            let end = from + 1 + digits;
            if name.get(end) != Some(&b'd') {
                return Err(bad("`%` is only allowed as a frame number, as in `%04d`"));
            }
            let text = String::from_utf8_lossy(&name[from + 1..end]).into_owned();
            let width = text.parse().unwrap_or(1);
            (from, end + 1, Some(width), None)
        } else if let Some(from) = name.windows(2).position(|pair| pair == b"$F") {
            let digits = run(from + 2, |b| b.is_ascii_digit());
            let end = from + 2 + digits;
            let width = String::from_utf8_lossy(&name[from + 2..end]).parse().unwrap_or(1);
            (from, end, Some(width), None)
        } else {
            return Ok(None);
        };
        let (before, behind) = (&name[..from], &name[to..]);
        if behind.iter().any(|b| matches!(b, b'#' | b'%')) {
            return Err(bad("it has more than one frame number"));
        }
        if padding.is_some_and(|padding| padding > 18) {
            return Err(bad("a number has 18 digits at most"));
        }
        Ok(Some(Self {
            before: before.to_vec(),
            behind: behind.to_vec(),
            padding,
            range,
        }))
    }

    /// The number and the count of digits of a name that fits. Another padding fits, too: a check tells it.
    fn fit(&self, name: &[u8]) -> Option<(u64, usize)> {
        let digits = name
            .strip_prefix(&self.before[..])?
            .strip_suffix(&self.behind[..])?;
        let number = number(std::str::from_utf8(digits).ok()?)?;
        let in_range = self.range.as_ref().is_none_or(|range| range.contains(number));
        in_range.then_some((number, digits.len()))
    }
}

/// The last `1001-1010` or `1001-1010x2` in a name: where it begins and ends.
fn range_in(name: &[u8]) -> Option<(usize, usize, String)> {
    let digits = |from: usize| name[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let dash = (1..name.len()).rev().find(|at| {
        name[*at] == b'-' && name[at - 1].is_ascii_digit() && name.get(at + 1).is_some_and(u8::is_ascii_digit)
    })?;
    let first = name[..dash]
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_digit())
        .count();
    let mut end = dash + 1 + digits(dash + 1);
    if name.get(end) == Some(&b'x') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    let from = dash - first;
    Some((from, end, String::from_utf8_lossy(&name[from..end]).into_owned()))
}

/// The frames of ranges as farms write them: `1001-1100`, `1-100x2`, `1-10,20`.
pub fn parse_frames(text: &str) -> Result<Frames> {
    Frames::parse(text).ok_or_else(|| Error::BadRange {
        range: text.to_owned(),
    })
}

/// The sequences that paths name: files, folders (the images in them) and patterns, all relative to `base`.
pub fn find(paths: &[PathBuf], base: &Path) -> Result<Vec<Sequence>> {
    let mut files = BTreeSet::new();
    let mut sequences = Vec::new();
    for path in paths {
        let path = base.join(path);
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() => {
                let images = images_in(&path)?;
                if images.is_empty() {
                    return Err(Error::NoFrames { path });
                }
                files.extend(images);
            }
            Ok(_) => {
                files.insert(path);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                sequences.push(by_pattern(path)?);
            }
            Err(error) => return Err(FileError::from(error).into()),
        }
    }
    sequences.splice(0..0, group(files));
    if sequences.is_empty() {
        return Err(Error::NoFrames {
            path: base.to_path_buf(),
        });
    }
    Ok(sequences)
}

/// Images directly in a folder, without hidden ones.
fn images_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut images = Vec::new();
    for entry in fs::read_dir(folder).map_err(FileError::from)? {
        let path = entry.map_err(FileError::from)?.path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let known = path
            .extension()
            .is_some_and(|ext| EXTENSIONS.iter().any(|known| ext.eq_ignore_ascii_case(known)));
        if !hidden && known && path.is_file() {
            images.push(path);
        }
    }
    Ok(images)
}

fn by_pattern(path: PathBuf) -> Result<Sequence> {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let Some(pattern) = Pattern::parse(name)? else {
        return Err(Error::NoFrames { path });
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    let Some(entries) = read_folder(folder)? else {
        return Err(Error::NoFrames { path });
    };
    let mut frames = Vec::new();
    for entry in entries {
        let found = entry.map_err(FileError::from)?.path();
        let name = found.file_name().unwrap_or_default().as_encoded_bytes();
        if let Some((number, digits)) = pattern.fit(name).filter(|_| found.is_file()) {
            frames.push(Frame {
                path: found,
                number: Some(number),
                digits,
            });
        }
    }
    if frames.is_empty() {
        return Err(Error::NoFrames { path });
    }
    sort(&mut frames);
    Ok(Sequence {
        name: shown(&pattern.before, pattern.padding.unwrap_or(1), &pattern.behind),
        frames,
        wanted: pattern.range,
        padding: pattern.padding,
    })
}

/// The folder, what is before the number, and what is behind it.
type GroupKey = (PathBuf, Vec<u8>, Option<Vec<u8>>);

/// Sequences of files, by folder and name.
fn group(files: BTreeSet<PathBuf>) -> Vec<Sequence> {
    let mut groups: BTreeMap<GroupKey, Vec<Frame>> = BTreeMap::new();
    for path in files {
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let key = match split(name) {
            Some((before, _, behind)) => (folder, before.to_vec(), Some(behind.to_vec())),
            None => (folder, name.to_vec(), None),
        };
        groups.entry(key).or_default().push(Frame::of(path));
    }
    let groups = groups.into_iter().map(|((_, before, behind), mut frames)| {
        sort(&mut frames);
        let widest = frames.iter().map(|frame| frame.digits).max().unwrap_or(0);
        Sequence {
            name: shown(&before, widest, behind.as_deref().unwrap_or_default()),
            frames,
            wanted: None,
            padding: None,
        }
    });
    groups.collect()
}

fn sort(frames: &mut [Frame]) {
    frames.sort_by(|a, b| (a.number, a.digits, &a.path).cmp(&(b.number, b.digits, &b.path)));
}

fn shown(before: &[u8], digits: usize, behind: &[u8]) -> String {
    let (before, behind) = (String::from_utf8_lossy(before), String::from_utf8_lossy(behind));
    format!("{before}{}{behind}", "#".repeat(digits))
}

/// A sequence in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SequenceSummary {
    /// The name of its files with `#` for each digit of the number.
    pub name: String,
    /// How many frames it has.
    pub frames: usize,
    /// The first number.
    pub first: Option<u64>,
    /// The last number.
    pub last: Option<u64>,
}

impl From<&Sequence> for SequenceSummary {
    fn from(sequence: &Sequence) -> Self {
        Self {
            name: sequence.name.clone(),
            frames: sequence.frames.len(),
            first: sequence.frames.first().and_then(|frame| frame.number),
            last: sequence.frames.last().and_then(|frame| frame.number),
        }
    }
}
