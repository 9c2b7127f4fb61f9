//! Source distributions: those of the original engine become wheels, hostile archives nothing at all.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use backlot_core::{Context, Diagnostic as _, RelPath};
use flate2::Compression;
use flate2::write::GzEncoder;
use fs_err as fs;
use tar::{EntryType, Header};

use crate::{Sdist, WheelArchive, sdist_name};

const PKG_INFO: &str = include_str!("../../../fixtures/tgzr/main_pack/PKG-INFO");
const PYPROJECT: &str = include_str!("../../../fixtures/tgzr/main_pack/pyproject.toml");

/// One entry of a test's archive.
struct Entry(&'static str, EntryType, Vec<u8>);

fn file(path: &'static str, bytes: impl Into<Vec<u8>>) -> Entry {
    Entry(path, EntryType::Regular, bytes.into())
}

/// The original engine's release, as hatchling packs it.
fn original() -> Vec<Entry> {
    vec![
        file("main_pack-0.2.0/src/main_pack/__init__.py", "asset = None\n"),
        file(
            "main_pack-0.2.0/src/main_pack/__version__.py",
            "__version__ = \"0.2.0\"\n",
        ),
        file("main_pack-0.2.0/src/main_pack/.gitignore", "/frames\n"),
        file("main_pack-0.2.0/src/main_pack/frames.dvc", "outs: []\n"),
        file("main_pack-0.2.0/src/main_pack/cached.pyc", "no"),
        file("main_pack-0.2.0/README.md", "# Main-Pack\n"),
        file("main_pack-0.2.0/LICENSE", "free\n"),
        file("main_pack-0.2.0/pyproject.toml", PYPROJECT),
        file("main_pack-0.2.0/PKG-INFO", PKG_INFO),
    ]
}

fn header(kind: EntryType, name: &[u8], size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    // Past the library, which would not write a hostile name.
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_cksum();
    header
}

fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for Entry(path, kind, data) in entries {
        bytes.extend_from_slice(header(*kind, path.as_bytes(), data.len() as u64).as_bytes());
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.extend_from_slice(&[0; 1024]);
    bytes
}

fn pack(folder: &Path, name: &str, tar: &[u8]) -> PathBuf {
    let path = folder.join(name);
    let mut gz = GzEncoder::new(fs::File::create(&path).expect("made"), Compression::fast());
    gz.write_all(tar).expect("written");
    gz.finish().expect("written");
    path
}

#[test]
fn an_sdist_of_the_original_engine_becomes_its_wheel() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut entries = original();
    // A licence is named by the metadata, and goes where installers look for it.
    let pkg_info = PKG_INFO.replace("Keywords:", "License-File: LICENSE\nKeywords:");
    entries.pop();
    entries.push(file("main_pack-0.2.0/PKG-INFO", pkg_info.clone()));
    let path = pack(folder.path(), "main_pack-0.2.0.tar.gz", &tar(&entries));
    let sdist = Sdist::open(&path).expect("sound");
    sdist.check_buildable().expect("buildable");
    assert_eq!(sdist.metadata().requires_dist.len(), 2);
    assert_eq!(sdist.asset_info().expect("an asset").asset_type, "Casting");
    let built = sdist
        .build(folder.path(), "backlot test", &Context::default())
        .expect("built");
    let wheel = WheelArchive::open(&built.path).expect("sound");
    wheel.check().expect("whole");
    assert_eq!(wheel.metadata_bytes(), pkg_info.as_bytes());
    assert_eq!(wheel.asset_info(), sdist.asset_info());
    let names: Vec<&str> = wheel.entries().iter().map(|e| e.path.as_str()).collect();
    assert_eq!(
        names,
        [
            "main_pack/.gitignore",
            "main_pack/__init__.py",
            "main_pack/__version__.py",
            "main_pack/frames.dvc",
            "main_pack-0.2.0.dist-info/METADATA",
            "main_pack-0.2.0.dist-info/WHEEL",
            "main_pack-0.2.0.dist-info/entry_points.txt",
            "main_pack-0.2.0.dist-info/licenses/LICENSE",
            "main_pack-0.2.0.dist-info/RECORD",
        ]
    );
    let pointers = sdist
        .read(&|path: &RelPath| path.as_str().ends_with(".dvc"))
        .expect("read");
    assert_eq!(pointers.len(), 1);
}

#[test]
fn requirements_that_pkg_info_leaves_open_are_those_of_the_project() {
    let folder = tempfile::tempdir().expect("a folder");
    for pkg_info in [
        "Metadata-Version: 1.2\nName: main_pack\nVersion: 0.2.0\n",
        "Metadata-Version: 2.2\nName: main_pack\nVersion: 0.2.0\nDynamic: Requires-Dist\nRequires-Dist: other\n",
    ] {
        let mut entries = original();
        entries.pop();
        entries.push(file("main_pack-0.2.0/PKG-INFO", pkg_info));
        let path = pack(folder.path(), "main_pack-0.2.0.tar.gz", &tar(&entries));
        let sdist = Sdist::open(&path).expect("sound");
        let names: Vec<&str> = sdist
            .metadata()
            .requires_dist
            .iter()
            .map(|r| r.name().as_str())
            .collect();
        assert_eq!(names, ["tgzr-pipeline", "table"]);
    }
}

#[test]
fn code_that_would_have_to_run_is_refused_with_what_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let hooked = format!("{PYPROJECT}\n[tool.hatch.build.hooks.custom]\n");
    for (pyproject, expected) in [
        (
            Some("[build-system]\nbuild-backend = \"setuptools.build_meta\"\n"),
            "`setuptools.build_meta`",
        ),
        (Some(hooked.as_str()), "the build hook `custom`"),
        (None, "`setuptools`"),
    ] {
        let mut entries = original();
        entries.retain(|e| !e.0.ends_with("pyproject.toml"));
        entries.extend(pyproject.map(|text| file("main_pack-0.2.0/pyproject.toml", text)));
        let path = pack(folder.path(), "main_pack-0.2.0.tar.gz", &tar(&entries));
        let sdist = Sdist::open(&path).expect("sound");
        let error = sdist
            .build(folder.path(), "t", &Context::default())
            .expect_err("refused");
        assert_eq!(error.code(), "sdist::unsupported");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(
            error
                .help()
                .expect("help")
                .contains("pip wheel --no-deps main_pack-0.2.0.tar.gz")
        );
    }
}

#[test]
fn hostile_archives_are_refused_and_nothing_of_them_leaves_the_folder() {
    let good = original;
    let with = |extra: Entry| {
        let mut entries = good();
        entries.push(extra);
        tar(&entries)
    };
    let link = |kind| Entry("main_pack-0.2.0/src/main_pack/link", kind, Vec::new());
    // What the next entry is really called.
    let long = "32 path=main_pack-0.2.0/../../x\n";
    let renamed = |kind, name: &str| {
        let mut entries = good();
        entries.push(Entry("x", kind, name.as_bytes().to_vec()));
        entries.push(file("main_pack-0.2.0/harmless", "x"));
        tar(&entries)
    };
    let sparse = "26 GNU.sparse.major=1\n".to_owned();
    let sparse = sparse.replacen("26", &(sparse.len()).to_string(), 1);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "parent",
            with(file("main_pack-0.2.0/../../escape", "x")),
            "wheel::hostile_entry",
        ),
        ("absolute", with(file("/tmp/escape", "x")), "wheel::hostile_entry"),
        (
            "backslash",
            with(file("main_pack-0.2.0/..\\escape", "x")),
            "wheel::hostile_entry",
        ),
        ("symlink", with(link(EntryType::Symlink)), "sdist::unsound"),
        ("hard link", with(link(EntryType::Link)), "sdist::unsound"),
        ("device", with(link(EntryType::Char)), "sdist::unsound"),
        ("pipe", with(link(EntryType::Fifo)), "sdist::unsound"),
        ("another folder", with(file("elsewhere/x", "x")), "sdist::unsound"),
        ("loose file", with(file("loose", "x")), "sdist::unsound"),
        (
            "twice",
            with(file("main_pack-0.2.0/PKG-INFO", PKG_INFO)),
            "sdist::unsound",
        ),
        (
            "file below a file",
            with(file("main_pack-0.2.0/PKG-INFO/x", "x")),
            "sdist::unsound",
        ),
        (
            "file over a folder",
            with(file("main_pack-0.2.0/src", "x")),
            "sdist::unsound",
        ),
        (
            "a PAX name",
            renamed(EntryType::XHeader, long),
            "wheel::hostile_entry",
        ),
        (
            "a GNU name",
            renamed(EntryType::GNULongName, "/tmp/escape\0"),
            "wheel::hostile_entry",
        ),
        (
            "sparse",
            with(Entry("x", EntryType::XHeader, sparse.into_bytes())),
            "sdist::unsound",
        ),
        ("cut off", tar(&good())[..3000].to_vec(), "sdist::unsound"),
        ("no PKG-INFO", tar(&good()[..8]), "sdist::unsound"),
        ("no tar", b"not a tar at all".repeat(64), "sdist::unsound"),
    ];
    for (what, bytes, code) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        let path = pack(folder.path(), "main_pack-0.2.0.tar.gz", &bytes);
        let error = Sdist::open(&path).expect_err(what);
        assert_eq!(error.code(), code, "{what}: {error}");
        assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 1, "{what}");
    }
}

#[test]
fn a_bomb_is_not_unpacked_to_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    // 200 MiB of nothing in 200 KiB.
    let zeros = vec![0; 200 << 20];
    let mut bytes = header(EntryType::Regular, b"main_pack-0.2.0/zeros", zeros.len() as u64)
        .as_bytes()
        .to_vec();
    bytes.extend(zeros);
    let path = pack(folder.path(), "main_pack-0.2.0.tar.gz", &bytes);
    assert!(fs::metadata(&path).expect("there").len() < 2 << 20);
    let error = Sdist::open(&path).expect_err("refused");
    assert!(error.to_string().contains("far more than its size"), "{error}");
}

#[test]
fn a_name_says_package_and_version() {
    let (package, version) = sdist_name("Main-Pack-0.2.0rc1.tar.gz").expect("one");
    assert_eq!(
        (package.as_str(), version.to_string().as_str()),
        ("main-pack", "0.2.0rc1")
    );
    for other in [
        "main_pack-0.2.0.zip",
        "main_pack.tar.gz",
        "main_pack-latest.tar.gz",
        "-1.0.tar.gz",
    ] {
        assert!(sdist_name(other).is_none(), "{other}");
    }
}
