//! Contact sheets: where thumbnails and numbers are.

use std::num::NonZeroUsize;
use std::path::Path;

use backlot_core::{Context, Diagnostic as _};
use fs_err as fs;
use image::{Rgb, RgbImage};

use super::{Exr, frames, named};
use crate::{Encoding, Limits, Look, SheetOptions, make_contact_sheet};

fn options(output: &Path) -> SheetOptions {
    SheetOptions {
        output: output.to_path_buf(),
        encoding: Encoding::Png,
        look: Look::default(),
        columns: Some(2),
        width: 32,
        count: 64,
        limits: Limits::default(),
        dry_run: false,
    }
}

#[test]
fn thumbnails_are_in_rows_with_their_numbers_below() {
    let folder = tempfile::tempdir().expect("a folder");
    for (number, value) in [(8, 0.18), (9, 0.5), (10, 1.0)] {
        let path = folder.path().join(format!("f.{number:04}.exr"));
        Exr::default().write(&path, |_, _| [value, 0.0, 0.0, 1.0]);
    }
    let out = folder.path().join("sheet.png");
    let sequences = named(folder.path(), "f.####.exr");
    let report = make_contact_sheet(&Context::default(), &sequences, &options(&out)).expect("made");
    assert_eq!(
        (report.cells, report.frames),
        ([2, 2], vec![Some(8), Some(9), Some(10)])
    );
    // Thumbnails of 32 x 16, a gap of 4 and labels of 10 rows below them.
    assert_eq!(report.size, Some([4 + 36 * 2, 4 + (16 + 4 + 10 + 4) * 2]));
    let sheet: RgbImage = image::open(&out).expect("opened").into_rgb8();
    let at = |x: u32, y: u32| sheet.get_pixel(x, y);
    assert_eq!((at(4, 4), at(35, 19)), (&Rgb([118, 0, 0]), &Rgb([118, 0, 0])));
    assert_eq!((at(40, 4), at(71, 19)), (&Rgb([188, 0, 0]), &Rgb([188, 0, 0])));
    assert_eq!(at(4, 38), &Rgb([255, 0, 0]));
    let background = &Rgb([32, 32, 32]);
    assert_eq!(
        (at(0, 0), at(36, 10), at(45, 50)),
        (background, background, background)
    );
    // The digit 8 is closed on the left, the 9 is not in its lower half.
    let label = &Rgb([200, 200, 200]);
    assert_eq!(
        (at(4, 24), at(4, 30), at(40, 24), at(40, 30)),
        (label, label, label, background)
    );
    let again = make_contact_sheet(&Context::default(), &sequences, &options(&out)).expect("made");
    assert!(!again.written && report.written);
}

#[test]
fn of_many_frames_some_are_taken_with_the_first_and_the_last() {
    let folder = tempfile::tempdir().expect("a folder");
    frames(folder.path(), 1..=30, 0.5);
    let sequences = named(folder.path(), ".");
    let sheet = |count, columns, jobs| {
        let out = folder.path().join(format!("sheet-{jobs}.png"));
        let mut options = SheetOptions {
            columns,
            count,
            ..options(&out)
        };
        options.limits.jobs = NonZeroUsize::new(jobs);
        let report = make_contact_sheet(&Context::default(), &sequences, &options).expect("made");
        (report.frames, report.cells, fs::read(out).expect("read"))
    };
    let (numbers, cells, bytes) = sheet(4, None, 1);
    assert_eq!(numbers, [1, 10, 20, 30].map(Some));
    assert_eq!(cells, [2, 2]);
    assert_eq!(sheet(4, None, 8).2, bytes);
    assert_eq!(sheet(1, Some(9), 1).0, [Some(1)]);
    assert_eq!(sheet(64, None, 1).1, [5, 6]);
}

#[test]
fn a_sheet_that_cannot_be_is_refused_and_a_dry_run_writes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    frames(folder.path(), 1..=3, 0.5);
    let sequences = named(folder.path(), ".");
    let out = folder.path().join("sheet.png");
    let make = |options: &SheetOptions| make_contact_sheet(&Context::default(), &sequences, options);
    let wide = SheetOptions {
        width: 60_000,
        ..options(&out)
    };
    assert_eq!(make(&wide).expect_err("too large").code(), "media::too_large");
    let none = SheetOptions {
        count: 0,
        ..options(&out)
    };
    assert_eq!(make(&none).expect_err("refused").code(), "media::bad_option");
    let over = options(&sequences[0].frames[0].path);
    assert_eq!(make(&over).expect_err("refused").code(), "media::over_input");
    let dry = SheetOptions {
        dry_run: true,
        ..options(&out)
    };
    assert_eq!(make(&dry).expect("planned").cells, [2, 2]);
    assert!(!out.exists());
}
