//! The numbers of frames in the names of tracked files.
//!
//! The number of a file is the run of digits at the end of its name without extensions (`f.0007.exr`, `smoke_12.vdb.gz`); the
//! digits of a version (`set.v002.abc`) are not one. Deliberately absent: ranges of frames ([`Frames`]).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use backlot_core::RelPath;
use backlot_core::frames::{Frames, number};

use crate::parts::PartsError;

/// What a folder must have to be complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The folder, relative to the asset.
    pub folder: RelPath,
    /// The frames that each image sequence in it must have, no more and no less.
    pub frames: Frames,
}

/// An image sequence: files whose names differ in the number only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sequence {
    /// What is before the number, with the folders.
    before: String,
    /// What is behind it.
    behind: String,
}

impl FromStr for Expectation {
    type Err = PartsError;
    fn from_str(text: &str) -> Result<Self, PartsError> {
        let parsed = text.rsplit_once('=').and_then(|(folder, frames)| {
            Some(Self {
                folder: RelPath::parse(folder.trim().trim_end_matches('/')).ok()?,
                frames: Frames::parse(frames)?,
            })
        });
        parsed.ok_or_else(|| PartsError::BadExpectation {
            text: text.to_owned(),
        })
    }
}

impl Sequence {
    /// The sequence that a file is of, with the digits of its number.
    pub(crate) fn of(path: &RelPath) -> Option<(Self, &str)> {
        let whole = path.as_str();
        let name = path.file_name();
        let mut stem = name;
        // Extensions are those that are not numbers.
        while let Some((before, extension)) = stem.rsplit_once('.')
            && extension.contains(|c: char| !c.is_ascii_digit())
            && !before.is_empty()
        {
            stem = before;
        }
        let start = stem.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let digits = &stem[start..];
        number(digits)?;
        let mut before = stem[..start].chars().rev();
        if matches!(before.next(), Some('v' | 'V')) && before.next().is_none_or(|c| !c.is_alphanumeric()) {
            return None;
        }
        let folders = &whole[..whole.len() - name.len()];
        let sequence = Self {
            before: format!("{folders}{}", &stem[..start]),
            behind: name[stem.len()..].to_owned(),
        };
        Some((sequence, digits))
    }
}

/// With `#` for the digits.
impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.before, self.behind)
    }
}

/// The frames of each image sequence among some files.
pub(crate) fn sequences<'a>(paths: impl Iterator<Item = &'a RelPath>) -> BTreeMap<Sequence, Frames> {
    let mut all: BTreeMap<Sequence, Frames> = BTreeMap::new();
    for path in paths {
        if let Some((sequence, digits)) = Sequence::of(path)
            && let Some(frame) = number(digits)
        {
            all.entry(sequence).or_default().insert(frame);
        }
    }
    all
}

/// Two files of one sequence that write numbers with other paddings, if there are such.
pub(crate) fn mixed_padding<'a>(
    paths: impl Iterator<Item = &'a RelPath>,
) -> Option<(&'a RelPath, &'a RelPath)> {
    /// Of a sequence: a number that is padded, and the shortest one.
    type Seen<'a> = (Option<(usize, &'a RelPath)>, (usize, &'a RelPath));
    let mut all: BTreeMap<Sequence, Seen<'a>> = BTreeMap::new();
    for path in paths {
        let Some((sequence, digits)) = Sequence::of(path) else {
            continue;
        };
        let width = digits.len();
        let is_padded = width > 1 && digits.starts_with('0');
        let (padded, shortest) = all.entry(sequence).or_insert((None, (width, path)));
        if width < shortest.0 {
            *shortest = (width, path);
        }
        match padded {
            Some((known, other)) if is_padded && *known != width => return Some((*other, path)),
            None if is_padded => *padded = Some((width, path)),
            _ => {}
        }
    }
    all.into_values().find_map(|(padded, (shortest, other))| {
        let (width, path) = padded?;
        (shortest < width).then_some((path, other))
    })
}

#[cfg(test)]
mod tests {
    use backlot_core::RelPath;

    use super::{Expectation, Sequence, mixed_padding};

    #[test]
    fn an_expectation_is_a_folder_and_its_frames() {
        let one: Expectation = "images/beauty=1-3".parse().expect("parsed");
        assert_eq!((one.folder.as_str(), one.frames.len()), ("images/beauty", 3));
        for bad in ["frames", "=1-3", "frames=", "../x=1-3", "frames=a"] {
            assert!(bad.parse::<Expectation>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_number_of_a_file_is_told_from_extensions_and_versions() {
        for (path, sequence, digits) in [
            ("f.0007.exr", "f.#.exr", "0007"),
            ("a/b/beauty_12.vdb.gz", "a/b/beauty_#.vdb.gz", "12"),
            ("img0001.png", "img#.png", "0001"),
            ("0001.exr", "#.exr", "0001"),
            ("sh010_v002.1001.exr", "sh010_v002.#.exr", "1001"),
            ("f.0001", "f.#", "0001"),
            ("f.0003.mp4", "f.#.mp4", "0003"),
        ] {
            let path = RelPath::parse(path).expect("safe");
            let (found, number) = Sequence::of(&path).expect("numbered");
            assert_eq!((found.to_string().as_str(), number), (sequence, digits));
        }
        for path in [
            "set.v002.abc",
            "camera.abc",
            "v2.json",
            "notes",
            ".exr",
            "cache_V3.abc",
        ] {
            let path = RelPath::parse(path).expect("safe");
            assert_eq!(Sequence::of(&path), None, "{path}");
        }
    }

    #[test]
    fn paddings_differ_only_where_one_format_could_not_have_written_both() {
        let mixed = |list: &[&str]| {
            let paths: Vec<RelPath> = list.iter().map(|p| RelPath::parse(p).expect("safe")).collect();
            mixed_padding(paths.iter()).is_some()
        };
        assert!(!mixed(&["f.0001.exr", "f.0002.exr", "g.01.exr"]));
        assert!(!mixed(&["f.099.exr", "f.100.exr", "f.1000.exr"]), "%03d");
        assert!(!mixed(&["f.1.exr", "f.10.exr"]), "%d");
        assert!(mixed(&["f.0001.exr", "f.002.exr"]));
        assert!(mixed(&["f.0001.exr", "f.1.exr"]));
        assert!(mixed(&["f.12.exr", "f.0013.exr"]));
    }
}
