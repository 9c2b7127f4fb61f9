//! Checks of names and sizes, which read no file.

use std::collections::BTreeMap;

use super::Params;
use crate::files::sequences;
use crate::validate::files::CheckedFile;
use crate::validate::found::{CheckItem, Findings};

/// Names that Windows keeps for devices.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
/// The longest path in a package, where nothing else is said: with a folder of 60 characters before it, Windows can still open it.
const LONGEST: i64 = 200;

/// Numbered files without gaps, one padding, and the whole range.
pub(super) fn frames(params: Params<'_>, files: &[&CheckedFile]) -> Result<Vec<CheckItem>, String> {
    let (first, last) = (params.number("first")?, params.number("last")?);
    let mut sequences: BTreeMap<(&str, &str), BTreeMap<i64, Vec<&str>>> = BTreeMap::new();
    for file in files {
        if let Some((prefix, digits, suffix)) = sequences::split(&file.path)
            && let Ok(number) = digits.parse()
        {
            let numbers = sequences.entry((prefix, suffix)).or_default();
            numbers.entry(number).or_default().push(digits);
        }
    }
    if sequences.is_empty() {
        return Ok(vec![CheckItem::of_all("there are no numbered files")]);
    }
    let mut items = Vec::new();
    for ((prefix, suffix), numbers) in sequences {
        let width = numbers
            .values()
            .next()
            .and_then(|all| all.first())
            .map_or(0, |digits| digits.len());
        let (Some(low), Some(high)) = (numbers.keys().next(), numbers.keys().next_back()) else {
            continue;
        };
        // Without a last number the expected length is unknown, and a single file is not a sequence.
        let wanted = first.unwrap_or(*low)..=last.unwrap_or(*high);
        for number in wanted
            .filter(|number| !numbers.contains_key(number))
            .take(CheckItem::MOST)
        {
            items.push(CheckItem::of(
                &format!("{prefix}{number:0width$}{suffix}"),
                "missing",
            ));
        }
        for (number, digits) in &numbers {
            if digits.len() > 1 {
                items.push(CheckItem::of(
                    &format!("{prefix}{}{suffix}", digits[1]),
                    format!("frame {number} is there twice"),
                ));
            } else if first.is_some_and(|first| *number < first) || last.is_some_and(|last| *number > last) {
                items.push(CheckItem::of(
                    &format!("{prefix}{}{suffix}", digits[0]),
                    "outside of the range",
                ));
            }
        }
    }
    Ok(items)
}

/// Names that every system can have.
pub(super) fn names(params: Params<'_>, files: &[&CheckedFile]) -> Result<Vec<CheckItem>, String> {
    let longest = params.number("longest")?.unwrap_or(LONGEST);
    let mut items = Vec::new();
    let mut folded: BTreeMap<String, &str> = BTreeMap::new();
    for file in files {
        let path = file.path.as_str();
        let length = path.chars().count();
        if i64::try_from(length).unwrap_or(i64::MAX) > longest {
            items.push(CheckItem::of(
                path,
                format!("{length} characters, more than {longest}"),
            ));
        }
        if let Some(part) = path.split('/').find(|part| !is_portable(part)) {
            items.push(CheckItem::of(
                path,
                format!("Windows cannot have the name `{part}`"),
            ));
        }
        if let Some(other) = folded.insert(path.to_lowercase(), path) {
            items.push(CheckItem::of(
                path,
                format!("differs from `{other}` in upper and lower case only"),
            ));
        }
    }
    Ok(items)
}

fn is_portable(part: &str) -> bool {
    let stem = part
        .split('.')
        .next()
        .unwrap_or(part)
        .trim_end()
        .to_ascii_lowercase();
    let digit = |rest: &str| rest.len() == 1 && rest.chars().all(|c| ('1'..='9').contains(&c));
    let is_port = ["com", "lpt"]
        .iter()
        .any(|port| stem.strip_prefix(port).is_some_and(digit));
    let is_bad = |c: char| c.is_control() || "<>:\"|?*\\".contains(c);
    !DEVICES.contains(&stem.as_str()) && !is_port && !part.contains(is_bad) && !part.ends_with(['.', ' '])
}

/// No more bytes than so many; what is not here cannot be counted.
pub(super) fn budget(params: Params<'_>, files: &[&CheckedFile]) -> Result<Findings, String> {
    let bytes = params
        .number("bytes")?
        .ok_or_else(|| "the check `size.budget` needs `bytes`".to_owned())?;
    if let Some(absent) = files.iter().find(|file| file.size.is_none()) {
        let item = CheckItem::of(&absent.path, "not pulled, so its bytes are not counted");
        return Ok(Findings::skip(item));
    }
    let found: u64 = files.iter().filter_map(|file| file.size).sum();
    let is_more = i64::try_from(found).unwrap_or(i64::MAX) > bytes;
    let item = || CheckItem::of_all(format!("{found} bytes, more than {bytes}")).compared(bytes, found);
    Ok(is_more.then(item).into_iter().collect::<Vec<_>>().into())
}

#[cfg(test)]
mod tests {
    use super::{Params, budget, frames, is_portable, names};
    use crate::validate::files::CheckedFile;

    fn found(id: &str, params: &str, files: &[&str]) -> Vec<String> {
        let table: toml::Table = toml::from_str(params).expect("a table");
        let params = Params { id, table: &table };
        let file = |path: &&str| CheckedFile {
            path: (*path).to_owned(),
            module: "m".to_owned(),
            source: None,
            size: Some(10),
        };
        let files: Vec<CheckedFile> = files.iter().map(file).collect();
        let files: Vec<&CheckedFile> = files.iter().collect();
        let items = match id {
            "frames.complete" => frames(params, &files).expect("right parameters"),
            "names.portable" => names(params, &files).expect("right parameters"),
            _ => budget(params, &files).expect("right parameters").refused,
        };
        items
            .into_iter()
            .map(|item| {
                format!("{} {}", item.path.unwrap_or_default(), item.message)
                    .trim()
                    .to_owned()
            })
            .collect()
    }

    #[test]
    fn frames_are_complete_in_their_range() {
        let files = ["a/f.0001.exr", "a/f.0003.exr", "a/f.3.exr", "readme.txt"];
        assert_eq!(
            found("frames.complete", "", &files),
            ["a/f.0002.exr missing", "a/f.3.exr frame 3 is there twice"]
        );
        assert_eq!(
            found("frames.complete", "first = 2\nlast = 4", &files[..2]),
            [
                "a/f.0002.exr missing",
                "a/f.0004.exr missing",
                "a/f.0001.exr outside of the range"
            ]
        );
        assert_eq!(
            found("frames.complete", "first = 1\nlast = 1", &files[..1]),
            Vec::<String>::new()
        );
        assert_eq!(
            found("frames.complete", "", &files[3..]),
            ["there are no numbered files"]
        );
    }

    #[test]
    fn names_that_windows_cannot_have_are_found() {
        for bad in ["con", "Con.txt", "lpt1.exr", "a:b", "a?", "end.", "end "] {
            assert!(!is_portable(bad), "{bad}");
        }
        for good in ["console", "com", "com10", "lpt0", "a.b.c", "\u{5c4f}"] {
            assert!(is_portable(good), "{good}");
        }
        assert_eq!(
            found("names.portable", "longest = 5", &["a/b", "A/b", "abcdef"]),
            [
                "A/b differs from `a/b` in upper and lower case only",
                "abcdef 6 characters, more than 5"
            ]
        );
    }

    #[test]
    fn bytes_are_counted() {
        assert_eq!(
            found("size.budget", "bytes = 20", &["a", "b"]),
            Vec::<String>::new()
        );
        assert_eq!(
            found("size.budget", "bytes = 19", &["a", "b"]),
            ["20 bytes, more than 19"]
        );
    }
}
