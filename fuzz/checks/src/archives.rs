//! Archives: whatever they hold, files come out below the folder that was asked for, in the size that was said, or not.

use std::convert::Infallible;
use std::io::Write as _;
use std::path::Path;

use backlot_core::Context;
use backlot_wheel::{ByteRange, Fetching, Piece, Sdist, WheelArchive, files_in_pieces, unpack};
use flate2::Compression;
use flate2::write::GzEncoder;
use fs_err as fs;

/// Words of wheels.
pub(crate) const WHEEL_WORDS: &[&str] = &[
    "PK\u{1}\u{2}",
    "PK\u{3}\u{4}",
    "PK\u{5}\u{6}",
    "PK\u{6}\u{6}",
    "../",
    "/",
    "\\",
    "C:",
    "\0",
    "x-1.0.dist-info/METADATA",
    "x-1.0.dist-info/RECORD",
    "x-1.0.dist-info/WHEEL",
    "x-1.0.data/scripts/",
    "Name: x\nVersion: 1.0\n",
    "Wheel-Version: 1.0\n",
    "sha256=",
];
/// Words of source distributions.
pub(crate) const SDIST_WORDS: &[&str] = &[
    "x-1.0/",
    "x-1.0/PKG-INFO",
    "x-1.0/pyproject.toml",
    "x-1.0/hatch.toml",
    "../",
    "/",
    "ustar\u{0}00",
    "ustar  \u{0}",
    "././@LongLink",
    "30 path=x-1.0/../../escaped\n",
    "22 size=18446744073709\n",
    "0000000",
    "7777777",
    "build-backend = \"hatchling.build\"\n",
    "packages = [\"../../x\"]\n",
    "License-File: ../../etc\n",
    "Dynamic: Requires-Dist\n",
];
/// The most an input of the fuzzer can unpack to, with room: it has 1 MiB at most, and deflate makes 1,032 of one.
const MOST: u64 = 2 << 30;

/// A wheel.
pub(crate) fn wheel(input: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x-1.0-py3-none-any.whl");
    fs::write(&path, input).expect("written");
    let metadata = metadata_in_pieces(input);
    let Ok(archive) = WheelArchive::open(&path) else {
        return only(folder.path(), &["x-1.0-py3-none-any.whl"]);
    };
    assert_eq!(archive.metadata().package().as_str(), "x");
    if let Some(bytes) = metadata {
        assert_eq!(
            bytes,
            archive.metadata_bytes(),
            "the whole and its pieces say the same"
        );
    }
    let said: u64 = archive.entries().iter().map(|e| e.size).sum();
    if said > MOST {
        return;
    }
    let out = folder.path().join("out");
    let unpacked = unpack(&archive, &out, &Context::default());
    only(folder.path(), &["out", "x-1.0-py3-none-any.whl"]);
    let (files, bytes) = plain_files(&out);
    assert!(files <= archive.entries().len() && bytes <= said);
    if unpacked.is_ok() {
        assert_eq!((files, bytes), (archive.entries().len(), said));
        archive.check().expect("what was unpacked was proven");
    }
}

/// METADATA of a wheel that is fetched in pieces, if that gives it.
fn metadata_in_pieces(input: &[u8]) -> Option<Vec<u8>> {
    let total = input.len() as u64;
    let fetch = |range: ByteRange| -> Fetching<'_, Infallible> {
        let (start, end) = match range {
            ByteRange::Last(most) => (total.saturating_sub(most), total),
            ByteRange::At(start, length) => (start, start + length),
        };
        assert!(start < end && end <= total || total == 0, "{range:?} of {total}");
        let inside = |at: u64| usize::try_from(at).expect("in memory");
        let bytes = input[inside(start)..inside(end)].to_vec();
        Box::pin(std::future::ready(Ok(Some(Piece { start, bytes, total }))))
    };
    let is_metadata = |path: &backlot_core::RelPath| path.as_str() == "x-1.0.dist-info/METADATA";
    let Ok(found) = files_in_pieces(&fetch, &is_metadata);
    Some(found?.into_iter().next()?.1)
}

/// A source distribution: a tar, or one that is compressed already.
pub(crate) fn sdist(input: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x-1.0.tar.gz");
    if input.starts_with(&[0x1f, 0x8b]) {
        fs::write(&path, input).expect("written");
    } else {
        let mut gz = GzEncoder::new(fs::File::create(&path).expect("made"), Compression::none());
        gz.write_all(input).expect("written");
        gz.finish().expect("written");
    }
    let sdist = match Sdist::open(&path) {
        Ok(sdist) => sdist,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return only(folder.path(), &["x-1.0.tar.gz"]);
        }
    };
    assert_eq!(sdist.metadata().package().as_str(), "x");
    sdist.asset_info();
    let out = folder.path().join("out");
    sdist
        .unpack(&out, &Context::default())
        .expect("what was opened can be unpacked");
    only(folder.path(), &["out", "x-1.0.tar.gz"]);
    plain_files(&out);
    let stage = folder.path().join("stage");
    let built = sdist.build(&stage, "fuzz", &Context::default());
    assert!(built.is_err() || sdist.check_buildable().is_ok());
    if let Ok(built) = built {
        let wheel = WheelArchive::open(&built.path).expect("what is built is a wheel");
        wheel.check().expect("and whole");
        assert_eq!(wheel.metadata().package(), sdist.metadata().package());
    }
}

/// A folder has at most these entries.
fn only(folder: &Path, names: &[&str]) {
    for entry in fs::read_dir(folder).expect("there") {
        let name = entry.expect("readable").file_name();
        assert!(
            names.iter().any(|n| name == *n),
            "{} was left behind",
            name.display()
        );
    }
}

/// How many files there are and how many bytes they have; all is plain files and folders.
fn plain_files(folder: &Path) -> (usize, u64) {
    let (mut files, mut bytes) = (0, 0);
    let mut pending = vec![folder.to_path_buf()];
    while let Some(folder) = pending.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("readable").path();
            let found = fs::symlink_metadata(&path).expect("there");
            if found.is_dir() {
                pending.push(path);
            } else {
                assert!(found.is_file(), "{} is no plain file", path.display());
                files += 1;
                bytes += found.len();
            }
        }
    }
    (files, bytes)
}
