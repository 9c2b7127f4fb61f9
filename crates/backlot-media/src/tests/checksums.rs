//! Manifests: written, read, and what they find.

use std::path::{Path, PathBuf};

use backlot_core::{Context, Diagnostic as _};
use fs_err as fs;

use crate::{ChecksumOptions, Limits, ManifestFormat, SumProblem, make_checksums, verify_checksums};

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(folder.path().join("frames/deep")).expect("made");
    for (name, bytes) in [
        ("frames/b.bin", &b"abc"[..]),
        ("frames/a.bin", b""),
        ("frames/deep/c d.bin", b"hello\n"),
        ("frames/.tmp-0", b"half"),
    ] {
        fs::write(folder.path().join(name), bytes).expect("written");
    }
    folder
}

fn options(output: Option<PathBuf>, format: ManifestFormat) -> ChecksumOptions {
    ChecksumOptions {
        output,
        format,
        ..ChecksumOptions::default()
    }
}

/// What `md5sum` and `b3sum` say.
const MD5: &str = "d41d8cd98f00b204e9800998ecf8427e  frames/a.bin
900150983cd24fb0d6963f7d28e17f72  frames/b.bin
b1946ac92492d2347c6235b4d2611184  frames/deep/c d.bin
";
const BLAKE3_OF_NOTHING: &str = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";

#[test]
fn manifests_are_those_that_other_programs_read() {
    let folder = folder();
    let paths = [folder.path().join("frames")];
    for format in [
        ManifestFormat::Md5sum,
        ManifestFormat::B3sum,
        ManifestFormat::Json,
    ] {
        let out = folder.path().join("manifest");
        let options = options(Some(out.clone()), format);
        let report = make_checksums(&Context::default(), &paths, &options).expect("made");
        assert_eq!((report.files.len(), report.bytes, report.written), (3, 9, true));
        let text = fs::read_to_string(&out).expect("read");
        match format {
            ManifestFormat::Md5sum => assert_eq!(text, MD5),
            ManifestFormat::B3sum => {
                assert!(text.starts_with(&format!("{BLAKE3_OF_NOTHING}  frames/a.bin\n")));
            }
            ManifestFormat::Json => {
                let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                assert_eq!(json["files"][1]["path"], "frames/b.bin");
                assert_eq!(json["files"][1]["size"], 3);
                assert_eq!(json["files"][0]["blake3"], BLAKE3_OF_NOTHING);
            }
        }
        assert!(
            !make_checksums(&Context::default(), &paths, &options)
                .expect("made")
                .written
        );
        let checked = verify_checksums(&Context::default(), &out, &Limits::default()).expect("checked");
        assert_eq!(
            (checked.files, checked.bytes, checked.wrong.len()),
            (3, 9, 0),
            "{format:?}"
        );
        assert!(checked.failure().is_none());
    }
}

#[test]
fn files_that_are_missing_or_changed_are_found_with_each_kind_of_manifest() {
    for format in [
        ManifestFormat::Md5sum,
        ManifestFormat::B3sum,
        ManifestFormat::Json,
    ] {
        let folder = folder();
        let out = folder.path().join("frames/manifest");
        let paths = [folder.path().join("frames")];
        make_checksums(&Context::default(), &paths, &options(Some(out.clone()), format)).expect("made");
        fs::write(folder.path().join("frames/b.bin"), b"abd").expect("written");
        fs::remove_file(folder.path().join("frames/a.bin")).expect("removed");
        let checked = verify_checksums(&Context::default(), &out, &Limits::default()).expect("checked");
        let wrong: Vec<_> = checked
            .wrong
            .iter()
            .map(|w| (w.path.as_str(), w.problem))
            .collect();
        assert_eq!(
            wrong,
            [("a.bin", SumProblem::Missing), ("b.bin", SumProblem::Changed)],
            "{format:?}"
        );
        let failure = checked.failure().expect("a failure");
        assert_eq!(failure.code(), "media::checksum_mismatch");
        assert!(
            failure.to_string().starts_with("2 files of 3 do not match"),
            "{failure}"
        );
    }
}

#[test]
fn names_are_relative_to_the_manifest_and_odd_ones_escaped() {
    let folder = folder();
    fs::create_dir(folder.path().join("sums")).expect("made");
    let odd = folder.path().join("frames/line\nbreak\\.bin");
    fs::write(&odd, b"x").expect("written");
    let out = folder.path().join("sums/MD5SUMS");
    let paths = [odd, folder.path().join("sums/../frames/b.bin")];
    let options = options(Some(out.clone()), ManifestFormat::Md5sum);
    make_checksums(&Context::default(), &paths, &options).expect("made");
    let text = fs::read_to_string(&out).expect("read");
    assert_eq!(
        text,
        "900150983cd24fb0d6963f7d28e17f72  ../frames/b.bin\n\\9dd4e461268c8034f5c8564e155c67a6  ../frames/line\\nbreak\\\\.bin\n"
    );
    let checked = verify_checksums(&Context::default(), &out, &Limits::default()).expect("checked");
    assert_eq!((checked.files, checked.wrong.len()), (2, 0));
}

#[test]
fn what_is_not_a_manifest_is_refused_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("manifest");
    for (text, line) in [
        ("", 1),
        ("hello\n", 1),
        ("d41d8cd98f00b204e9800998ecf8427e  a\nd41d8cd98f00  b\n", 2),
        ("\\d41d8cd98f00b204e9800998ecf8427e  a\\x\n", 1),
        ("{\n\"format\": 1\n}", 3),
        ("{\"format\": 2, \"files\": []}", 1),
    ] {
        fs::write(&path, text).expect("written");
        let error = verify_checksums(&Context::default(), &path, &Limits::default()).expect_err("refused");
        assert_eq!(error.code(), "media::bad_manifest", "{text}");
        assert!(error.to_string().contains(&format!("line {line}:")), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn names_that_are_not_utf_8_are_refused_and_links_to_folders_are_told() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = folder();
    std::os::unix::fs::symlink(
        folder.path().join("frames/deep"),
        folder.path().join("frames/link"),
    )
    .expect("linked");
    let context = Context::default();
    let paths = [folder.path().join("frames")];
    let with_base = ChecksumOptions {
        base: folder.path().to_path_buf(),
        ..ChecksumOptions::default()
    };
    let report = make_checksums(&context, &paths, &with_base).expect("made");
    assert_eq!((report.files.len(), context.warnings()), (3, 1));
    let odd = Path::new(std::ffi::OsStr::from_bytes(b"\xff.bin"));
    fs::write(folder.path().join("frames").join(odd), b"x").expect("written");
    let error = make_checksums(&context, &paths, &with_base).expect_err("refused");
    assert_eq!(error.code(), "media::name_not_utf8");
}
