//! Images that are cut, damaged or forged: found, never a panic, never much memory.

use std::path::Path;

use backlot_core::{Context, Diagnostic as _};
use exr::prelude::Compression;
use fs_err as fs;

use super::{Exr, detail, named};
use crate::{CheckOptions, Encoding, Limits, Look, ProxyOptions, Size, check_frames, make_proxies};

const ALL: [Compression; 7] = [
    Compression::Uncompressed,
    Compression::RLE,
    Compression::ZIP1,
    Compression::ZIP16,
    Compression::PIZ,
    Compression::PXR24,
    Compression::B44A,
];

/// The codes that a check finds.
fn codes(folder: &Path) -> Vec<&'static str> {
    let report = check_frames(&Context::default(), &named(folder, "."), &CheckOptions::default());
    report
        .expect("checked")
        .findings
        .into_iter()
        .map(|f| f.code)
        .collect()
}

/// The code of the error that a proxy ends with, if any.
fn proxy(folder: &Path) -> Option<&'static str> {
    let options = ProxyOptions {
        output: folder.join("out"),
        encoding: Encoding::Png,
        look: Look::default(),
        size: Size::Width(8),
        limits: Limits::default(),
        dry_run: false,
    };
    let made = make_proxies(&Context::default(), &named(folder, "f.#.exr"), &options);
    made.err().map(|error| error.code())
}

fn exr_bytes(compression: Compression) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("f.1.exr");
    let exr = Exr {
        size: (40, 40),
        ..Exr::compressed(compression)
    };
    exr.write(&path, detail);
    fs::read(path).expect("read")
}

#[test]
fn a_file_that_was_cut_anywhere_is_damaged() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("f.1.exr");
    for compression in ALL {
        let bytes = exr_bytes(compression);
        let cuts = (0..bytes.len())
            .step_by(bytes.len() / 60)
            .chain([bytes.len() - 1]);
        for cut in cuts {
            fs::write(&path, &bytes[..cut]).expect("written");
            let codes = codes(folder.path());
            assert_eq!(
                codes,
                ["frames::damaged"],
                "{compression:?} cut at {cut} of {}",
                bytes.len()
            );
        }
    }
}

#[test]
fn an_offset_table_that_was_never_written_is_damage() {
    // As a renderer leaves it that died before it closed the file: all pixels there, but none can be found.
    let folder = tempfile::tempdir().expect("a folder");
    let mut bytes = exr_bytes(Compression::ZIP1);
    let head = bytes.windows(8).position(|w| w == b"\x06screenW").unwrap_or(0);
    assert_eq!(head, 0, "the header is not looked into");
    // 40 chunks of 8 bytes: the table ends where the first offset points to.
    let first = (8..bytes.len() - 8)
        .find(|at| {
            let offset = u64::from_le_bytes(bytes[*at..at + 8].try_into().expect("eight"));
            offset == *at as u64 + 40 * 8
        })
        .expect("a table");
    bytes[first..first + 40 * 8].fill(0);
    fs::write(folder.path().join("f.1.exr"), &bytes).expect("written");
    assert_eq!(codes(folder.path()), ["frames::damaged"]);
    assert_eq!(proxy(folder.path()), Some("media::damaged"));
}

#[test]
fn flipped_bits_are_found_or_give_a_picture_but_never_a_panic() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("f.1.exr");
    let mut state = 1_u64;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("small") % below
    };
    let (mut whole, mut refused) = (0, 0);
    for compression in ALL {
        let bytes = exr_bytes(compression);
        for _ in 0..60 {
            let mut bytes = bytes.clone();
            // Half of them in the header, where they do most harm.
            let range = if next(2) == 0 { bytes.len() } else { 350 };
            for _ in 0..=next(3) {
                let at = 4 + next(range - 4);
                bytes[at] ^= 1 << next(8);
            }
            fs::write(&path, &bytes).expect("written");
            let found = codes(folder.path());
            let made = proxy(folder.path());
            let known = [
                "media::damaged",
                "media::too_large",
                "media::unsupported",
                "media::no_layer",
            ];
            assert!(made.is_none_or(|code| known.contains(&code)), "{made:?}");
            if found.contains(&"frames::damaged") {
                refused += 1;
            } else {
                whole += 1;
            }
        }
    }
    assert!(whole > 20 && refused > 100, "{whole} {refused}");
}

/// Overwrite the four numbers of a window in a header.
fn set_window(bytes: &mut [u8], name: &str, numbers: [i32; 4]) {
    let attribute = [name.as_bytes(), b"\0box2i\0\x10\0\0\0"].concat();
    let at = bytes
        .windows(attribute.len())
        .position(|window| window == attribute)
        .expect("a window");
    for (number, place) in numbers
        .iter()
        .zip(bytes[at + attribute.len()..].chunks_exact_mut(4))
    {
        place.copy_from_slice(&number.to_le_bytes());
    }
}

#[test]
fn a_forged_header_is_refused_before_memory_is_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("f.1.exr");
    let original = exr_bytes(Compression::ZIP16);
    for (window, numbers, code) in [
        ("dataWindow", [0, 0, 999_999, 999_999], "too_large"),
        ("dataWindow", [0, 0, i32::MAX - 1, i32::MAX - 1], "damaged"),
        ("dataWindow", [i32::MIN, i32::MIN, i32::MAX, i32::MAX], "damaged"),
        ("displayWindow", [0, 0, 999_999, 999_999], "too_large"),
        ("displayWindow", [-30_000, -30_000, 30_000, 30_000], "too_large"),
        // Within the limits, but there are no such pixels.
        ("dataWindow", [0, 0, 15_999, 15_999], "damaged"),
        ("dataWindow", [0, 0, -5, -5], "damaged"),
    ] {
        let mut bytes = original.clone();
        set_window(&mut bytes, window, numbers);
        fs::write(&path, &bytes).expect("written");
        let found = codes(folder.path());
        assert_eq!(found, [format!("frames::{code}")], "{window} {numbers:?}");
        assert_eq!(
            proxy(folder.path()),
            Some(["media::", code].concat().as_str()),
            "{window} {numbers:?}"
        );
    }
}

#[test]
fn a_png_that_says_it_is_huge_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("f.1.png");
    image::GrayImage::new(3, 3).save(&path).expect("written");
    let mut bytes = fs::read(&path).expect("read");
    bytes[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    let checksum = crc(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
    fs::write(&path, &bytes).expect("written");
    assert_eq!(codes(folder.path()), ["frames::too_large"]);
}

/// The checksum of a PNG chunk.
fn crc(bytes: &[u8]) -> u32 {
    let byte = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    };
    !bytes.iter().fold(u32::MAX, byte)
}

#[test]
fn cut_jpegs_and_pngs_are_damaged_and_other_files_unsupported() {
    let folder = tempfile::tempdir().expect("a folder");
    for extension in ["jpg", "png", "tif"] {
        let path = folder.path().join(format!("f.1.{extension}"));
        image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([(x * y % 251).to_le_bytes()[0], 3, 9]))
            .save(&path)
            .expect("written");
        let bytes = fs::read(&path).expect("read");
        for part in [4, 2] {
            fs::write(&path, &bytes[..bytes.len() - bytes.len() / part]).expect("written");
            assert_eq!(codes(folder.path()), ["frames::damaged"], "{extension} {part}");
        }
        fs::remove_file(&path).expect("removed");
    }
    // A frame full of zeros is what a broken disk leaves; what is not named as an image may be one that is not supported.
    fs::write(folder.path().join("f.1.exr"), vec![0; 5000]).expect("written");
    assert_eq!(codes(folder.path()), ["frames::damaged"]);
    let other = folder.path().join("f.1.dpx");
    fs::write(&other, b"SDPX").expect("written");
    let sequences = crate::find(&[other], folder.path()).expect("found");
    let report = check_frames(&Context::default(), &sequences, &CheckOptions::default()).expect("checked");
    assert_eq!(report.findings[0].code, "frames::unsupported");
}

#[cfg(unix)]
#[test]
fn a_pipe_in_place_of_a_frame_does_not_wait() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("f.1.exr");
    let made = std::process::Command::new("mkfifo")
        .arg(&path)
        .status()
        .expect("mkfifo runs");
    assert!(made.success());
    let sequences = crate::find(&[path], Path::new("/")).expect("found");
    let error = check_frames(&Context::default(), &sequences, &CheckOptions::default()).expect_err("refused");
    assert_eq!(error.code(), "file::io");
}
