//! Names that not every disk can hold, or keep apart: one policy for all of them.
//!
//! Tracked names are taken as they are, as DVC takes them: an add warns. What would lose a file is refused where it would:
//! a checkout that names two files which the disk takes for one. Two names are twins if they differ in nothing but case or
//! Unicode normalisation. Windows and macOS take such names for one by default, Linux does not; the disk itself is asked.
//! Deliberately absent: names that mean a place outside, which `RelPath` refuses everywhere.

use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::path::Path;

use backlot_core::file::TemporaryFolder;
use backlot_core::{Context, RelPath, text};
use fs_err as fs;
use icu_normalizer::ComposingNormalizerBorrowed;

use crate::error::Result;
use crate::names::POINTER_SUFFIX;
use crate::scan::{self, ScannedFile};

/// Longest name that Linux, macOS and Windows hold, in bytes (and so in UTF-16 units).
const MAX_NAME: usize = 255;

/// The common form of names that some disks cannot distinguish.
fn fold(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    let composed = ComposingNormalizerBorrowed::new_nfc().normalize(name);
    let upper = composed.chars().flat_map(char::to_uppercase);
    let folded: String = upper.flat_map(char::to_lowercase).collect();
    ComposingNormalizerBorrowed::new_nfc()
        .normalize(&folded)
        .into_owned()
}

/// Files and folders, among some paths and the folders above them, that lie in one folder under names which some disks take
/// for one.
pub(crate) fn twins<'a>(paths: impl Iterator<Item = &'a RelPath>) -> Vec<(RelPath, RelPath)> {
    let mut seen: HashMap<String, RelPath> = HashMap::new();
    let mut told: HashSet<RelPath> = HashSet::new();
    let mut found = Vec::new();
    for path in paths {
        let mut next = Some(path.clone());
        while let Some(path) = next {
            next = path.parent();
            match seen.get(fold(path.as_str()).as_str()) {
                Some(other) if *other == path => break,
                Some(other) => {
                    if other.parent() == next && told.insert(path.clone()) {
                        found.push((other.clone(), path));
                    }
                }
                None => {
                    seen.insert(fold(path.as_str()), path);
                }
            }
        }
    }
    found
}

/// The reason why Windows or macOS cannot store a name.
fn unportable(name: &str) -> Option<&'static str> {
    const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
    let stem = name
        .split('.')
        .next()
        .unwrap_or(name)
        .trim_end()
        .to_ascii_lowercase();
    let numbered = ["com", "lpt"].iter().any(|device| {
        let number = stem.strip_prefix(device);
        number.is_some_and(|n| n.len() == 1 && n.chars().all(|c| c.is_ascii_digit() && c != '0'))
    });
    if name.contains(['<', '>', ':', '"', '|', '?', '*']) {
        Some("has one of the characters `< > : \" | ? *`")
    } else if name.chars().any(char::is_control) {
        Some("has a control character")
    } else if name.ends_with(['.', ' ']) {
        Some("ends with a dot or a space")
    } else if DEVICES.contains(&stem.as_str()) || numbered {
        Some("is the name of a device")
    } else if name.len() > MAX_NAME {
        Some("is longer than 255 bytes")
    } else {
        None
    }
}

/// Whether the disk of a folder (or of the nearest one above it that is there) keeps two names apart: tried out.
pub(crate) fn tells_apart(folder: &Path, one: &str, other: &str) -> Result<bool> {
    let there = folder.ancestors().find(|folder| folder.is_dir());
    let trial = TemporaryFolder::in_folder(there.unwrap_or(folder))?;
    for name in [one, other] {
        let new = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(trial.path().join(name));
        match new {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
            // An impossible name is reported when it is placed.
            _ => {}
        }
    }
    Ok(true)
}

/// Warn of names in a tracked folder that get lost elsewhere: once of each kind, with the first that it is about.
pub(crate) fn warn_of_members<'a>(
    place: &Path,
    paths: impl Iterator<Item = &'a RelPath> + Clone,
    context: &Context,
) {
    let twins = twins(paths.clone());
    if let Some((one, other)) = twins.first() {
        warn_of_twins(place, (one.as_str(), other.as_str()), twins.len(), context);
    }
    let mut odd = paths.filter_map(|path| Some((path, path.parts().find_map(unportable)?)));
    if let Some((path, why)) = odd.next() {
        warn_of_odd_name(&path.to_path(place), why, odd.count(), context);
    }
}

/// Warn of all that the files of a tracked folder lose elsewhere.
pub(crate) fn warn_of_files(place: &Path, files: &[&ScannedFile], context: &Context) {
    warn_of_members(place, files.iter().map(|file| &file.path), context);
    let mut executable = files.iter().filter(|file| file.executable);
    if let Some(first) = executable.next() {
        let message = format!(
            "`{}`{} is executable; DVC's format does not record this inside folders, so it is lost on pull. Track such files individually to keep it",
            first.full.display(),
            and_more(executable.count()),
        );
        context.warn("dvc::executable_in_folder", message);
    }
}

/// Warn of the path of what is tracked inside the asset folder `root`, and need not be here.
pub(crate) fn warn_of_path(root: &Path, path: &RelPath, context: &Context) -> Result<()> {
    let mut above = path.parent();
    while let Some(folder) = above {
        if let Some(why) = unportable(folder.file_name()) {
            warn_of_odd_name(&folder.to_path(root), why, 0, context);
        }
        above = folder.parent();
    }
    warn_of_name(&path.to_path(root), context)
}

/// Warn of the name of a tracked file or folder.
pub(crate) fn warn_of_name(place: &Path, context: &Context) -> Result<()> {
    let (Some(folder), Some(name)) = (place.parent(), place.file_name().and_then(|n| n.to_str())) else {
        return Ok(());
    };
    warn_of_new_name(place, name, context);
    if !folder.is_dir() {
        return Ok(());
    }
    for found in scan::list(folder)? {
        let other = found.name.strip_suffix(POINTER_SUFFIX);
        if let Some(other) = other.filter(|other| *other != name && fold(other) == fold(name)) {
            warn_of_twins(folder, (other, name), 1, context);
        }
    }
    Ok(())
}

/// Warn of a name that Windows or macOS cannot hold, of a file or folder at `place`.
pub fn warn_of_new_name(place: &Path, name: &str, context: &Context) {
    if let Some(why) = unportable(name) {
        warn_of_odd_name(place, why, 0, context);
    }
}

fn warn_of_twins(folder: &Path, (one, other): (&str, &str), count: usize, context: &Context) {
    let message = format!(
        "`{one}` and `{other}` in `{}`{} are the same name on Windows and macOS, where they cannot be pulled",
        folder.display(),
        and_more(count.saturating_sub(1)),
    );
    context.warn("dvc::twin_names", message);
}

fn warn_of_odd_name(path: &Path, why: &str, more: usize, context: &Context) {
    let message = format!(
        "`{}`{} cannot be stored on Windows or macOS: its name {why}",
        path.display(),
        and_more(more),
    );
    context.warn("dvc::unportable_name", message);
}

fn and_more(count: usize) -> String {
    if count == 0 {
        String::new()
    } else {
        format!(" (and {} more)", text::count(count as u64, "other"))
    }
}

#[cfg(test)]
mod tests {
    use backlot_core::RelPath;

    use super::{tells_apart, twins, unportable};

    fn found(paths: &[&str]) -> Vec<String> {
        let paths: Vec<RelPath> = paths.iter().map(|p| RelPath::parse(p).expect("safe")).collect();
        let pairs = twins(paths.iter()).into_iter();
        pairs.map(|(one, other)| format!("{one} {other}")).collect()
    }

    #[test]
    fn names_that_differ_in_case_or_normalisation_are_twins_and_told_once() {
        assert_eq!(found(&["Frame.exr", "frame.exr"]), ["Frame.exr frame.exr"]);
        assert_eq!(found(&["f\u{fc}r", "fu\u{308}r"]), ["f\u{fc}r fu\u{308}r"]);
        assert_eq!(found(&["\u{dc}ber", "u\u{308}ber"]), ["\u{dc}ber u\u{308}ber"]);
        // Folders: the pair is theirs, not that of each file below.
        assert_eq!(found(&["Sub/a", "Sub/b", "sub/a", "sub/c"]), ["Sub sub"]);
        assert_eq!(found(&["x/A/1", "x/a"]), ["x/A x/a"]);
        assert_eq!(found(&["A/x", "b/X", "c", "C2"]), Vec::<String>::new());
        assert_eq!(found(&["a", "A", "b", "B"]), ["a A", "b B"]);
    }

    #[test]
    fn names_that_windows_cannot_hold_are_known() {
        let long = "x".repeat(256);
        for odd in [
            "ab:c", "a?", "con", "NUL.txt", "Com1", "lpt9.x", "a.", "a ", "a\u{1}", "\"q\"", &long,
        ] {
            assert!(unportable(odd).is_some(), "{odd}");
        }
        for fine in [
            "a.b",
            "console",
            "com",
            "com0",
            "com10",
            ".hidden",
            "sp ace",
            "f\u{fc}r",
            &long[1..],
        ] {
            assert!(unportable(fine).is_none(), "{fine}");
        }
    }

    #[test]
    fn a_disk_is_asked_by_trying_and_nothing_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(tells_apart(&folder.path().join("not/there"), "one", "other").expect("tried"));
        // One name is never kept apart from itself, on any disk.
        assert!(!tells_apart(folder.path(), "one", "one").expect("tried"));
        assert_eq!(fs_err::read_dir(folder.path()).expect("listed").count(), 0);
    }
}
