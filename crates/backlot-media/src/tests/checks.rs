//! What a check of frames finds.

use std::path::Path;

use backlot_core::{Context, Diagnostic as _};
use exr::prelude::{Blocks, Compression, Vec2};
use fs_err as fs;
use image::{DynamicImage, RgbImage};

use super::{Exr, detail, frames, named};
use crate::{
    CheckOptions, CheckReport, FrameRead, KnownFrames, Level, check_frames, check_known_frames, parse_frames,
};

fn check(folder: &Path, options: &CheckOptions) -> CheckReport {
    check_frames(&Context::default(), &named(folder, "."), options).expect("checked")
}

/// Code, frame and message of all findings.
fn found(folder: &Path) -> Vec<(&'static str, Option<u64>, String)> {
    let report = check(folder, &CheckOptions::default());
    report
        .findings
        .into_iter()
        .map(|f| (f.code, f.frame, f.message))
        .collect()
}

#[test]
fn frames_that_are_right_have_no_findings_in_every_compression() {
    for compression in [
        Compression::Uncompressed,
        Compression::RLE,
        Compression::ZIP1,
        Compression::ZIP16,
        Compression::PIZ,
        Compression::PXR24,
        Compression::B44,
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let tiles = Blocks::Tiles(Vec2(32, 16));
        for (number, blocks) in [(1, Blocks::ScanLines), (2, tiles), (3, Blocks::ScanLines)] {
            let exr = Exr {
                size: (70, 50),
                blocks,
                ..Exr::compressed(compression)
            };
            exr.write(&folder.path().join(format!("f.{number}.exr")), detail);
        }
        let report = check(folder.path(), &CheckOptions::default());
        assert_eq!(report.findings, [], "{compression:?}");
        assert_eq!((report.frames, report.decoded), (3, true));
        let facts = report.sequences[0].facts.as_ref().expect("facts");
        assert_eq!((facts.display.width, facts.display.height), (70, 50));
        assert_eq!(facts.parts[0].channels, ["A half", "B half", "G half", "R half"]);
        assert!(report.failure().is_none());
    }
}

#[test]
fn gaps_duplicates_padding_and_expectations_are_found() {
    let folder = tempfile::tempdir().expect("a folder");
    frames(folder.path(), 1001..=1004, 0.5);
    frames(folder.path(), 1007..=1007, 0.5);
    fs::copy(
        folder.path().join("beauty.1001.exr"),
        folder.path().join("beauty.01001.exr"),
    )
    .expect("copied");
    assert_eq!(
        found(folder.path()),
        [
            ("frames::missing", None, "2 frames missing: 1005-1006".to_owned()),
            (
                "frames::duplicate",
                Some(1001),
                "2 files have its number: beauty.1001.exr, beauty.01001.exr".to_owned()
            ),
            (
                "frames::other_padding",
                Some(1001),
                "5 digits, unlike the padding of the others".to_owned()
            ),
        ]
    );
    let options = CheckOptions {
        expect: Some(parse_frames("1001-1004,1008").expect("a range")),
        ..CheckOptions::default()
    };
    let report = check(folder.path(), &options);
    let messages: Vec<&str> = report.findings.iter().map(|f| f.message.as_str()).collect();
    assert_eq!(
        &messages[..2],
        ["1 frame missing: 1008", "1 frame not expected: 1007"]
    );
    let failure = report.failure().expect("a failure");
    assert_eq!((failure.code(), failure.errors), ("frames::not_clean", 4));
}

#[test]
fn a_frame_that_is_not_as_the_others_is_found_once_for_what_differs() {
    let folder = tempfile::tempdir().expect("a folder");
    frames(folder.path(), 1..=8, 0.5);
    let at = |number: u32| folder.path().join(format!("beauty.{number:04}.exr"));
    let size = Exr {
        size: (16, 9),
        ..Exr::default()
    };
    size.write(&at(2), detail);
    Exr::default().write_flat(&at(3), &[("R", 1.0), ("G", 1.0), ("B", 1.0)]);
    Exr::compressed(Compression::PIZ).write(&at(4), detail);
    let cropped = Exr {
        size: (10, 4),
        position: (2, 3),
        display: Some(((0, 0), (16, 8))),
        ..Exr::default()
    };
    cropped.write(&at(5), detail);
    let moved = Exr {
        display: Some(((4, 4), (16, 8))),
        ..Exr::default()
    };
    moved.write(&at(6), detail);
    let codes: Vec<_> = found(folder.path())
        .into_iter()
        .map(|(code, frame, _)| (code, frame))
        .collect();
    assert_eq!(
        codes,
        [
            ("frames::other_size", Some(2)),
            ("frames::other_channels", Some(3)),
            ("frames::other_compression", Some(4)),
            ("frames::other_data_window", Some(5)),
            ("frames::other_display_window", Some(6)),
        ]
    );
    let report = check(folder.path(), &CheckOptions::default());
    assert_eq!((report.errors, report.warnings), (3, 2));
    assert_eq!(
        report.findings[0].message,
        "its size is 16 x 9, that of most frames 16 x 8"
    );
    let strict = CheckOptions {
        strict: true,
        ..CheckOptions::default()
    };
    assert_eq!(
        (
            check(folder.path(), &strict).errors,
            check(folder.path(), &strict).warnings
        ),
        (5, 0)
    );
}

#[test]
fn values_that_are_not_finite_are_counted_with_the_first_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let exr = Exr {
        position: (100, -20),
        display: Some(((100, -20), (16, 8))),
        ..Exr::default()
    };
    exr.write(&folder.path().join("f.1.exr"), |x, y| match (x, y) {
        (3, 2) | (5, 7) => [f32::NAN, 0.0, 0.0, 1.0],
        (4, 2) => [f32::INFINITY, 0.0, f32::NEG_INFINITY, 1.0],
        // The largest half float is finite.
        (0, 0) => [65_504.0, -65_504.0, 0.0, 1.0],
        _ => [0.5, 0.5, 0.5, 1.0],
    });
    exr.write(&folder.path().join("f.2.exr"), detail);
    let messages: Vec<_> = found(folder.path())
        .into_iter()
        .map(|(_, frame, message)| (frame, message))
        .collect();
    assert_eq!(
        messages,
        [
            (
                Some(1),
                "1 infinite in channel B, the first at 104,-18".to_owned()
            ),
            (
                Some(1),
                "2 NaN and 1 infinite in channel R, the first at 103,-18".to_owned()
            ),
        ]
    );
    let report = check(folder.path(), &CheckOptions::default());
    let values = report.findings[1].values.as_ref().expect("values");
    assert_eq!((values.nan, values.inf, values.first), (2, 1, [103, -18]));
    // Floats, too; and headers alone do not tell.
    Exr::default().write_flat(&folder.path().join("g.1.exr"), &[("Z", f32::NAN)]);
    let all = found(folder.path());
    assert_eq!(
        all.last().expect("one").2,
        "128 NaN in channel Z, the first at 0,0"
    );
    let headers = CheckOptions {
        headers_only: true,
        ..CheckOptions::default()
    };
    let report = check(folder.path(), &headers);
    assert_eq!((report.findings.len(), report.decoded), (0, false));
}

#[test]
fn png_jpeg_and_tiff_are_decoded_and_floats_of_tiff_looked_at() {
    let folder = tempfile::tempdir().expect("a folder");
    let picture = DynamicImage::ImageRgb8(RgbImage::from_fn(20, 10, |x, _| {
        image::Rgb([u8::try_from(x * 12).expect("small"), 7, 200])
    }));
    for extension in ["png", "jpg", "tif"] {
        for number in [1, 2] {
            let path = folder.path().join(format!("f.{number}.{extension}"));
            picture.save(path).expect("written");
        }
    }
    assert_eq!(found(folder.path()), []);
    let mut float = picture.to_rgb32f();
    float.put_pixel(4, 3, image::Rgb([0.0, f32::NAN, f32::INFINITY]));
    DynamicImage::ImageRgb32F(float)
        .save(folder.path().join("f.2.tif"))
        .expect("written");
    let findings = found(folder.path());
    let codes: Vec<_> = findings.iter().map(|(code, frame, _)| (*code, *frame)).collect();
    assert_eq!(
        codes,
        [
            ("frames::not_finite", Some(2)),
            ("frames::not_finite", Some(2)),
            ("frames::other_channels", Some(2))
        ]
    );
    assert_eq!(findings[0].2, "1 NaN in channel G, the first at 4,3");
    // A file is what it begins as.
    fs::copy(folder.path().join("f.1.png"), folder.path().join("f.2.jpg")).expect("copied");
    assert!(
        found(folder.path())
            .iter()
            .any(|(code, _, _)| *code == "frames::other_format")
    );
}

#[test]
fn the_report_is_the_same_whatever_the_number_of_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    frames(folder.path(), 1..=20, 0.5);
    for number in [3, 9, 15] {
        fs::write(folder.path().join(format!("beauty.{number:04}.exr")), b"").expect("written");
    }
    let with = |jobs| {
        let mut options = CheckOptions::default();
        options.limits.jobs = std::num::NonZeroUsize::new(jobs);
        check(folder.path(), &options)
    };
    let one = with(1);
    assert_eq!(one.errors, 3);
    assert!(
        one.findings
            .iter()
            .all(|f| f.message == "it is empty" && f.level == Level::Error)
    );
    for jobs in [2, 5, 64] {
        assert_eq!(with(jobs), one);
    }
}

/// What was read of frames, by their path.
#[derive(Default)]
struct Notes(std::sync::Mutex<std::collections::BTreeMap<std::path::PathBuf, FrameRead>>);

impl KnownFrames for Notes {
    fn find(&self, path: &Path) -> Option<FrameRead> {
        self.0.lock().expect("sound").get(path).cloned()
    }
    fn keep(&self, path: &Path, read: &FrameRead) {
        let before = self
            .0
            .lock()
            .expect("sound")
            .insert(path.to_path_buf(), read.clone());
        assert!(
            before.is_none_or(|before| !before.whole),
            "{} is read twice",
            path.display()
        );
    }
}

#[test]
fn what_is_known_of_frames_is_not_read_again_and_gives_the_same_report() {
    let folder = tempfile::tempdir().expect("a folder");
    frames(folder.path(), 1..=6, 0.5);
    let at = |number: u32| folder.path().join(format!("beauty.{number:04}.exr"));
    Exr::default().write(&at(2), |_, _| [f32::NAN, 0.0, 0.0, 1.0]);
    fs::write(at(5), b"cut").expect("written");
    let sequences = named(folder.path(), ".");
    let notes = Notes::default();
    let options = CheckOptions::default();
    let headers = CheckOptions {
        headers_only: true,
        ..CheckOptions::default()
    };
    let context = Context::default();
    let check = |options| check_known_frames(&context, &sequences, options, &notes).expect("checked");
    // Headers alone are read again for the pixels, and pixels are enough for the headers.
    assert_eq!(check(&headers).errors, 1);
    let first = check(&options);
    assert_eq!(
        first,
        check_frames(&context, &sequences, &options).expect("checked")
    );
    let json = serde_json::to_string(&*notes.0.lock().expect("sound")).expect("data");
    *notes.0.lock().expect("sound") = serde_json::from_str(&json).expect("the same data");
    fs::remove_file(at(3)).expect("removed");
    assert_eq!(check(&options), first);
    assert_eq!(check(&headers).errors, 1);
}
