//! Lists of files in which numbered files are one line: `beauty.[1001-1100].exr`.
//!
//! Invariant: what is folded is told back exactly by its numbers and its padding, so `restore`, `discard` and others take it as a pattern. Files of
//! one sequence that were written with two paddings are listed one by one. Deliberately absent: gaps (`sequences`).

use std::collections::BTreeMap;

use backlot_core::frames::{Frames, number};

use crate::files::sequences::split;

/// Names in order of their first files, with numbered ones folded into sequences, and the number of files of each.
pub fn fold_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<(String, u64)> {
    let mut groups: BTreeMap<(&str, &str), Vec<(u64, &str)>> = BTreeMap::new();
    let mut folded: Vec<(String, u64)> = Vec::new();
    for name in names {
        match split(name).and_then(|(prefix, digits, suffix)| Some((prefix, suffix, number(digits)?, digits)))
        {
            Some((prefix, suffix, frame, digits)) => {
                groups.entry((prefix, suffix)).or_default().push((frame, digits));
            }
            None => folded.push((name.to_owned(), 1)),
        }
    }
    for ((prefix, suffix), frames) in groups {
        match padding(&frames).filter(|_| frames.len() > 1) {
            Some(width) => {
                let set: Frames = frames.iter().map(|(frame, _)| *frame).collect();
                let ranges = padded(&format!("{set:.1000}"), width);
                folded.push((format!("{prefix}[{ranges}]{suffix}"), frames.len() as u64));
            }
            None => folded.extend(
                frames
                    .iter()
                    .map(|(_, digits)| (format!("{prefix}{digits}{suffix}"), 1)),
            ),
        }
    }
    folded.sort();
    folded
}

/// The width that all numbers are written with, if one format writes all.
fn padding(frames: &[(u64, &str)]) -> Option<usize> {
    let width = frames.iter().map(|(_, digits)| digits.len()).min()?;
    let fits = |(frame, digits): &(u64, &str)| format!("{frame:0width$}") == *digits;
    frames.iter().all(fits).then_some(width)
}

/// Ranges with their frames padded and without spaces: `0001-0010x3,0020`.
fn padded(ranges: &str, width: usize) -> String {
    let pad = |frame: &str| {
        frame
            .parse::<u64>()
            .map_or_else(|_| frame.to_owned(), |n| format!("{n:0width$}"))
    };
    let range = |text: &str| {
        let (frames, step) = match text.split_once('x') {
            Some((frames, step)) => (frames, format!("x{step}")),
            None => (text, String::new()),
        };
        let frames: Vec<String> = frames.split('-').map(pad).collect();
        frames.join("-") + &step
    };
    let all: Vec<String> = ranges.split(", ").map(range).collect();
    all.join(",")
}

#[cfg(test)]
mod tests {
    use super::fold_names;

    fn folded(names: &[&str]) -> Vec<String> {
        fold_names(names.iter().copied())
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    }

    #[test]
    fn numbered_files_are_one_line_that_says_which() {
        assert_eq!(
            folded(&[
                "f.0001.exr",
                "f.0002.exr",
                "f.0003.exr",
                "f.0007.exr",
                "notes.txt",
                "g.5.exr"
            ]),
            ["f.[0001-0003,0007].exr", "g.5.exr", "notes.txt"]
        );
        assert_eq!(
            folded(&["f.1001.exr", "f.1003.exr", "f.1005.exr"]),
            ["f.[1001-1005x2].exr"]
        );
        assert_eq!(folded(&["f.9.exr", "f.10.exr"]), ["f.[9-10].exr"]);
        assert_eq!(folded(&["a/f.1.exr", "b/f.2.exr"]), ["a/f.1.exr", "b/f.2.exr"]);
        // Two paddings are two files.
        assert_eq!(folded(&["f.01.exr", "f.1.exr"]), ["f.01.exr", "f.1.exr"]);
        assert_eq!(
            folded(&["f.0001.exr", "f.00002.exr"]),
            ["f.00002.exr", "f.0001.exr"]
        );
    }
}
