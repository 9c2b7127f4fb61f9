//! Gaps in numbered sequences of files: a frame that was never rendered, or never copied.
//!
//! Files of one folder whose names differ in their last number alone are a sequence. Its step is the smallest distance of two
//! of its numbers, so every second frame is no gap. Fewer than three files, or more gaps than files, are no sequence. Neither are
//! UDIM tiles, which are numbered 1001 + u + 10 v and leave out what no surface uses. Frames often begin at 1001, too, so tiles are
//! told by their ending, or by two or more rows of ten that end early, each without a hole: a lost frame leaves one hole.

use std::collections::BTreeMap;

use backlot_core::RelPath;
use serde::{Deserialize, Serialize};

/// How many missing names are carried.
const MAX_NAMES: usize = 20;
/// Endings of files that are textures and nothing else.
const TEXTURES: [&str; 4] = [".tx", ".tex", ".rat", ".ptx"];
/// The numbers of UDIM tiles: ten columns, up to a hundred rows.
const UDIM: std::ops::RangeInclusive<u64> = 1001..=1999;

/// A sequence with gaps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SequenceGap {
    /// The tracked folder, relative to the workspace.
    pub path: String,
    /// The first file of the sequence, inside the folder.
    pub first: String,
    /// The last one.
    pub last: String,
    /// How many are missing between them.
    pub missing: u64,
    /// Some of their names, at most twenty.
    pub names: Vec<String>,
}

/// The sequences with gaps among the files of a folder.
pub(crate) fn gaps(path: &str, files: &[RelPath]) -> Vec<SequenceGap> {
    let mut sequences: BTreeMap<(&str, &str), BTreeMap<u64, &str>> = BTreeMap::new();
    for file in files {
        if let Some((prefix, digits, suffix)) = split(file.as_str())
            && let Ok(number) = digits.parse()
        {
            let sequence = sequences.entry((prefix, suffix)).or_default();
            sequence.insert(number, digits);
        }
    }
    let gap = |((prefix, suffix), numbers): ((&str, &str), BTreeMap<u64, &str>)| {
        let all: Vec<u64> = numbers.keys().copied().collect();
        if are_tiles(&all, suffix) {
            return None;
        }
        let step = all.windows(2).map(|pair| pair[1] - pair[0]).min()?;
        let (first, last) = (*all.first()?, *all.last()?);
        let missing = ((last - first) / step + 1).saturating_sub(all.len() as u64);
        if all.len() < 3 || missing == 0 || missing > all.len() as u64 {
            return None;
        }
        let width = numbers[&first].len();
        let name = |number: u64| format!("{prefix}{number:0width$}{suffix}");
        let absent = (0..=(last - first) / step).map(|n| first + n * step);
        let absent = absent.filter(|number| !numbers.contains_key(number));
        Some(SequenceGap {
            path: path.to_owned(),
            first: name(first),
            last: name(last),
            missing,
            names: absent.take(MAX_NAMES).map(name).collect(),
        })
    };
    sequences.into_iter().filter_map(gap).collect()
}

/// Whether numbers, sorted, are those of UDIM tiles.
fn are_tiles(numbers: &[u64], suffix: &str) -> bool {
    if !numbers.iter().all(|number| UDIM.contains(number)) {
        return false;
    }
    let mut rows: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for number in numbers {
        rows.entry((number - 1001) / 10)
            .or_default()
            .push((number - 1001) % 10);
    }
    let is_run = |columns: &Vec<u64>| (0..).zip(columns).all(|(n, column)| n == *column);
    let last = rows.keys().next_back().copied();
    let short = rows
        .iter()
        .filter(|(row, columns)| Some(**row) != last && columns.len() < 10);
    let is_texture = TEXTURES.contains(&suffix.to_ascii_lowercase().as_str());
    is_texture || (rows.values().all(is_run) && short.count() >= 2)
}

/// A path before, in and behind the last number of its file name, without its ending.
pub(crate) fn split(path: &str) -> Option<(&str, &str, &str)> {
    let name = path.rfind('/').map_or(0, |slash| slash + 1);
    // The ending may have digits, as in `.mp4`.
    let end = path[name..].rfind('.').map_or(path.len(), |dot| name + dot);
    let is_digit = |c: char| c.is_ascii_digit();
    let last = path[name..end].rfind(is_digit)? + name + 1;
    let first = path[name..last]
        .rfind(|c: char| !c.is_ascii_digit())
        .map_or(name, |at| {
            name + at + path[name + at..].chars().next().map_or(1, char::len_utf8)
        });
    Some((&path[..first], &path[first..last], &path[last..]))
}

#[cfg(test)]
mod tests {
    use backlot_core::RelPath;

    use super::gaps;

    fn missing(files: &[&str]) -> Vec<String> {
        let files: Vec<RelPath> = files.iter().map(|f| RelPath::parse(f).expect("safe")).collect();
        gaps("frames", &files)
            .into_iter()
            .flat_map(|gap| gap.names)
            .collect()
    }

    #[test]
    fn a_missing_frame_is_named_with_its_padding() {
        assert_eq!(
            missing(&["f.0001.exr", "f.0002.exr", "f.0004.exr"]),
            ["f.0003.exr"]
        );
        assert_eq!(missing(&["f9.exr", "f10.exr", "f12.exr"]), ["f11.exr"]);
        assert_eq!(
            missing(&["f.9999.exr", "f.10000.exr", "f.10002.exr"]),
            ["f.10001.exr"]
        );
        assert_eq!(
            missing(&["a/x.1.mp4", "a/x.2.mp4", "a/x.4.mp4", "b/x.3.mp4"]),
            ["a/x.3.mp4"]
        );
    }

    #[test]
    fn tiles_of_a_texture_have_no_gaps_and_a_lost_frame_from_1001_on_is_one() {
        let named = |numbers: &[u64], ending: &str| -> Vec<String> {
            let files: Vec<String> = numbers.iter().map(|n| format!("x.{n}.{ending}")).collect();
            missing(&files.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let tiles = [
            1001, 1002, 1003, 1004, 1005, 1011, 1012, 1013, 1014, 1021, 1022, 1023, 1024, 1025,
        ];
        for ending in ["exr", "tif", "png", "tx"] {
            assert!(named(&tiles, ending).is_empty(), "{ending}");
        }
        assert!(named(&[1001, 1002, 1004, 1005, 1006], "tx").is_empty());
        assert_eq!(named(&[1001, 1002, 1004, 1005, 1006], "exr"), ["x.1003.exr"]);
        let frames = |lost: u64| (1001..=1040).filter(|n| *n != lost).collect::<Vec<u64>>();
        for lost in [1002, 1010, 1011, 1025, 1030] {
            assert_eq!(named(&frames(lost), "exr"), [format!("x.{lost}.exr")]);
        }
        let later: Vec<u64> = (1996..=2010).filter(|n| *n != 2003).collect();
        assert_eq!(named(&later, "png"), ["x.2003.png"]);
    }

    #[test]
    fn every_second_frame_and_files_that_are_no_sequence_have_no_gap() {
        assert!(missing(&["f.1001.exr", "f.1003.exr", "f.1005.exr"]).is_empty());
        assert!(missing(&["f.1.exr", "f.2.exr", "f.3.exr", "g.5.exr"]).is_empty());
        assert!(missing(&["take1.mov", "take9.mov"]).is_empty());
        assert!(missing(&["a1.exr", "a2.exr", "a900.exr"]).is_empty());
        assert!(missing(&["é1.exr", "é2.exr", "é3.exr", "readme"]).is_empty());
        assert!(missing(&["f.99999999999999999999999.exr", "f.1.exr", "f.2.exr"]).is_empty());
    }
}
