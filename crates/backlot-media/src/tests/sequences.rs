//! Which files are the frames of which sequence.

use std::path::PathBuf;

use backlot_core::Diagnostic as _;
use fs_err as fs;

use super::named;
use crate::{Sequence, find, parse_frames};

fn folder(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for name in names {
        fs::write(folder.path().join(name), b"x").expect("written");
    }
    folder
}

fn numbers(sequence: &Sequence) -> String {
    sequence.numbers().to_string()
}

#[test]
fn a_folder_is_grouped_by_what_differs_in_the_number_only() {
    let folder = folder(&[
        "b.1002.exr",
        "b.1001.exr",
        "a_7.png",
        "a_8.png",
        "set.v002.exr",
        "still.jpg",
        "1.tif",
        "2.tif",
        ".b.1003.exr",
        "notes.txt",
        "B.1.EXR",
    ]);
    let sequences = named(folder.path(), ".");
    let all: Vec<(&str, String)> = sequences.iter().map(|s| (s.name.as_str(), numbers(s))).collect();
    let expected = [
        ("#.tif", "1-2"),
        ("B.#.EXR", "1"),
        ("a_#.png", "7-8"),
        ("b.####.exr", "1001-1002"),
        ("set.v002.exr", ""),
        ("still.jpg", ""),
    ];
    assert_eq!(all, expected.map(|(name, numbers)| (name, numbers.to_owned())));
}

#[test]
fn all_kinds_of_patterns_find_the_same_frames() {
    let folder = folder(&[
        "b.0998.exr",
        "b.0999.exr",
        "b.1000.exr",
        "b.1001.png",
        "c.0998.exr",
        "b.x.exr",
    ]);
    for pattern in [
        "b.####.exr",
        "b.#.exr",
        "b.%04d.exr",
        "b.%d.exr",
        "b.$F4.exr",
        "b.$F.exr",
        "b.0998-1000.exr",
    ] {
        let [sequence] = &named(folder.path(), pattern)[..] else {
            panic!("{pattern}");
        };
        assert_eq!(numbers(sequence), "998-1000", "{pattern}");
        assert!(sequence.missing(None).is_empty(), "{pattern}");
    }
    let [part] = &named(folder.path(), "b.999-1002####.exr")[..] else {
        panic!("one sequence");
    };
    assert_eq!(
        (numbers(part).as_str(), part.missing(None).to_string().as_str()),
        ("999-1000", "1001-1002")
    );
    let [every_second] = &named(folder.path(), "b.0998-1000x2.exr")[..] else {
        panic!("one sequence");
    };
    assert_eq!(numbers(every_second), "998, 1000");
}

#[test]
fn what_names_nothing_is_an_error() {
    let folder = folder(&["b.1.exr", "notes.txt"]);
    fs::create_dir(folder.path().join("empty")).expect("made");
    for (name, code) in [
        ("c.####.exr", "media::no_frames"),
        ("absent.exr", "media::no_frames"),
        ("empty", "media::no_frames"),
        ("no/b.####.exr", "media::no_frames"),
        ("b.%s.exr", "media::bad_pattern"),
        ("b.##.#.exr", "media::bad_pattern"),
        ("b.5-1.exr", "media::bad_range"),
        ("b.####################.exr", "media::bad_pattern"),
    ] {
        let error = find(&[PathBuf::from(name)], folder.path()).expect_err(name);
        assert_eq!(error.code(), code, "{name}");
        assert!(error.help().is_some());
    }
}

#[test]
fn gaps_follow_the_distance_of_the_frames() {
    let folder = folder(&[
        "a.1.exr",
        "a.2.exr",
        "a.5.exr",
        "b.1.exr",
        "b.3.exr",
        "b.7.exr",
        "c.1.exr",
        "c.99999999999999.exr",
    ]);
    let sequences = named(folder.path(), ".");
    let missing: Vec<String> = sequences.iter().map(|s| s.missing(None).to_string()).collect();
    // Of `b`, whose distances are even, only odd ones are missed; of `c`, two frames, nothing can be told.
    assert_eq!(missing, ["3-4", "5", ""]);
    let expected = parse_frames("1-4").expect("a range");
    assert_eq!(sequences[0].missing(Some(&expected)).to_string(), "3-4");
}

#[test]
fn duplicates_and_other_padding_are_told_apart_from_numbers_that_outgrow_it() {
    let of = |names: &[&str]| named(folder(names).path(), ".").remove(0);
    let names = |frames: Vec<&crate::Frame>| -> Vec<String> {
        let name = |frame: &crate::Frame| {
            frame
                .path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        };
        frames.into_iter().map(name).collect()
    };
    for right in [
        &["f.1.exr", "f.10.exr", "f.100.exr"][..],
        &["f.0998.exr", "f.9999.exr", "f.10000.exr"],
        &["f.10.exr", "f.11.exr"],
    ] {
        assert!(of(right).other_padding().is_empty(), "{right:?}");
        assert!(of(right).duplicates().is_empty(), "{right:?}");
    }
    let mixed = of(&["f.0001.exr", "f.0002.exr", "f.3.exr", "f.1.exr"]);
    assert_eq!(names(mixed.other_padding()), ["f.1.exr", "f.3.exr"]);
    let [(1, frames)] = &mixed.duplicates()[..] else {
        panic!("one duplicate");
    };
    assert_eq!(names(frames.clone()), ["f.1.exr", "f.0001.exr"]);
}

#[cfg(unix)]
#[test]
fn names_need_not_be_utf_8() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    for name in [&b"b\xff.1.exr"[..], b"b\xff.2.exr", b"\xfe\xff", b"\xff.exr"] {
        fs::write(folder.path().join(std::ffi::OsStr::from_bytes(name)), b"x").expect("written");
    }
    let sequences = named(folder.path(), ".");
    assert_eq!(sequences.len(), 2);
    assert_eq!(sequences[0].frames.len(), 2);
    let pattern = PathBuf::from(std::ffi::OsStr::from_bytes(b"b\xff.###.exr"));
    assert_eq!(find(&[pattern], folder.path()).expect("found")[0].frames.len(), 2);
    let absent = PathBuf::from(std::ffi::OsStr::from_bytes(b"c\xff.%d.exr"));
    assert!(find(&[absent], folder.path()).is_err());
}

#[test]
fn the_same_file_named_twice_is_one_frame() {
    let folder = folder(&["f.1.exr", "f.2.exr"]);
    let paths = ["f.2.exr", "f.1.exr", "f.2.exr"].map(PathBuf::from);
    let sequences = find(&paths, folder.path()).expect("found");
    assert_eq!(sequences.len(), 1);
    assert_eq!(numbers(&sequences[0]), "1-2");
}
