//! A wheel's whole life: built, checked, unpacked, installed, uninstalled, and refused where it is hostile.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use async_zip::base::write::ZipFileWriter;
use async_zip::{Compression, ZipEntryBuilder};
use backlot_core::{Context, LinkMode, RelPath};
use fs_err as fs;
use futures_lite::future::block_on;
use sha2::Digest as _;

use crate::{
    BuildOptions, BuiltWheel, Error, InstallOptions, InstalledWheel, Layout, Owners, Project, RecordEntry,
    UnpackedWheel, WheelArchive, build, create_environment, find_interpreter, install_editable, installed,
    uninstall, unpack, write_record,
};

const OPTIONS: InstallOptions<'static> = InstallOptions {
    links: &[LinkMode::Hardlink, LinkMode::Copy],
    installer: "backlot",
    requested: true,
    direct_url: None,
};

fn project(root: &Path) -> Project {
    for (path, text) in [
        (
            "pyproject.toml",
            "[project]\nname = \"My-Tool\"\nversion = \"1.2.0\"\n[project.scripts]\nmytool = \"my_tool:main\"\n[project.optional-dependencies]\nbuild = [\"Table>=1\"]\n",
        ),
        ("src/my_tool/__init__.py", "def main():\n    print('it works')\n"),
        ("src/my_tool/frames.dvc", "outs:\n"),
        ("src/my_tool/frames/a.exr", "heavy"),
        ("src/my_tool/__pycache__/x.pyc", "no"),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    }
    Project::load(root).expect("loads")
}

fn build_in(project: &Project, output: &Path) -> BuiltWheel {
    let frames = RelPath::parse("my_tool/frames").expect("valid");
    let exclude = |path: &RelPath| path.is_within(&frames);
    let extra = BTreeMap::from([("backlot.json".to_owned(), b"{}".to_vec())]);
    let options = BuildOptions {
        output,
        exclude: &exclude,
        whole: false,
        extra_dist_info: extra,
        planned: BTreeMap::new(),
        generator: "backlot test",
    };
    build(project, &options, &Context::default()).expect("built")
}

fn install(unpacked: &Path, layout: &Layout) -> crate::Result<InstalledWheel> {
    let wheel = UnpackedWheel::read(unpacked, "")?;
    wheel.install(layout, &OPTIONS, &Owners::default(), &Context::default())
}

fn unpacked(wheel: &Path, folder: &Path) -> PathBuf {
    let target = folder.join("unpacked");
    unpack(
        &WheelArchive::open(wheel).expect("opens"),
        &target,
        &Context::default(),
    )
    .expect("unpacked");
    target
}

#[test]
fn the_same_project_gives_the_same_bytes_with_pointers_in_and_tracked_files_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = build_in(&project(&folder.path().join("one")), &folder.path().join("a"));
    let second = build_in(&project(&folder.path().join("two")), &folder.path().join("b"));
    assert_eq!(first.sha256, second.sha256);
    let archive = WheelArchive::open(&first.path).expect("opens");
    archive.check().expect("sound");
    let names: Vec<&str> = archive.entries().iter().map(|e| e.path.as_str()).collect();
    assert_eq!(
        names,
        [
            "my_tool/__init__.py",
            "my_tool/frames.dvc",
            "my_tool-1.2.0.dist-info/METADATA",
            "my_tool-1.2.0.dist-info/WHEEL",
            "my_tool-1.2.0.dist-info/backlot.json",
            "my_tool-1.2.0.dist-info/entry_points.txt",
            "my_tool-1.2.0.dist-info/RECORD",
        ]
    );
    let metadata = String::from_utf8_lossy(archive.metadata_bytes()).into_owned();
    assert!(
        metadata.contains("Requires-Dist: table>=1 ; extra == 'build'\nProvides-Extra: build\n"),
        "{metadata}"
    );
}

#[test]
fn an_archive_of_more_files_than_zip_can_count_is_read_by_python() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("p");
    let module = root.join("src/many");
    for n in 0..66_000 {
        let sub = module.join(format!("{:03}", n / 500));
        if n % 500 == 0 {
            fs::create_dir_all(&sub).expect("made");
        }
        fs::write(sub.join(format!("{n}")), b"").expect("written");
    }
    fs::write(
        root.join("pyproject.toml"),
        "[project]\nname = \"many\"\nversion = \"1\"\n",
    )
    .expect("written");
    let project = Project::load(&root).expect("loads");
    let options = BuildOptions {
        output: folder.path(),
        exclude: &|_| false,
        whole: false,
        extra_dist_info: BTreeMap::new(),
        planned: BTreeMap::new(),
        generator: "t",
    };
    let built = build(&project, &options, &Context::default()).expect("built");
    assert_eq!(
        WheelArchive::open(&built.path).expect("opens").entries().len(),
        66_003
    );
    let Some(python) = python() else { return };
    let code = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; print(len(z.namelist()))";
    let output = Command::new(python)
        .args(["-c", code])
        .arg(&built.path)
        .output()
        .expect("runs");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "66003",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn python() -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test looks for the machine's interpreter"
    )]
    let path = std::env::var_os("PATH")?;
    find_interpreter(&path, None, &Context::default())
        .expect("a search")
        .map(|i| i.executable)
}

#[test]
fn an_installed_wheel_runs_in_an_environment_and_leaves_nothing_behind() {
    let Some(executable) = python() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let wheel = build_in(&project(&folder.path().join("p")), folder.path());
    let source = unpacked(&wheel.path, folder.path());
    for root in ["env", "an env with spaces", &"long".repeat(40)] {
        let root = folder.path().join(root);
        let interpreter = crate::read_interpreter(&executable, &Context::default()).expect("known");
        let layout = create_environment(&root, &interpreter, &root).expect("made");
        let context = Context::default();
        let done = install(&source, &layout).expect("installed");
        let output = Command::new(root.join("bin/mytool")).output().expect("runs");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "it works\n",
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let code = "import sys; from importlib.metadata import version, entry_points; print(sys.prefix, version('my-tool'), len(entry_points(group='console_scripts')))";
        let output = Command::new(root.join("bin/python"))
            .args(["-c", code])
            .output()
            .expect("runs");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            format!("{} 1.2.0 1", root.display())
        );
        let dists = installed(&layout.site_packages()).expect("listed");
        assert_eq!(
            (dists.len(), dists[0].requested, dists[0].installer.as_deref()),
            (1, true, Some("backlot"))
        );
        assert_eq!(dists[0].verify(&layout).expect("verified"), []);
        assert_eq!(
            dists[0].pointer_paths().expect("read")[0].as_str(),
            "my_tool/frames.dvc"
        );
        let report = uninstall(&done.dist_info, &layout, &Owners::default(), &context).expect("uninstalled");
        assert!(report.kept.is_empty());
        assert_eq!(fs::read_dir(layout.site_packages()).expect("there").count(), 0);
        assert!(!root.join("bin/mytool").exists() && root.join("bin/python").exists());
    }
    assert!(
        source.join("my_tool/__init__.py").is_file(),
        "the shared cache is untouched"
    );
}

#[test]
fn an_editable_is_imported_from_where_it_lies() {
    let Some(executable) = python() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let project = project(&folder.path().join("p"));
    let root = folder.path().join("env");
    let layout = create_environment(
        &root,
        &crate::read_interpreter(&executable, &Context::default()).expect("known"),
        &root,
    )
    .expect("made");
    let done = install_editable(
        &project,
        &layout,
        &OPTIONS,
        &Owners::default(),
        &Context::default(),
    )
    .expect("installed");
    let code = "import my_tool; print(my_tool.__file__)";
    let output = Command::new(root.join("bin/python"))
        .args(["-c", code])
        .output()
        .expect("runs");
    let expected = project.root.join("src/my_tool/__init__.py");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        expected.display().to_string()
    );
    let dists = installed(&layout.site_packages()).expect("listed");
    assert!(
        dists[0]
            .editable
            .as_deref()
            .is_some_and(|url| url.starts_with("file:///"))
    );
    uninstall(&done.dist_info, &layout, &Owners::default(), &Context::default()).expect("uninstalled");
    assert!(expected.is_file());
}

#[test]
fn a_plain_tree_needs_no_interpreter_and_gets_no_scripts() {
    let folder = tempfile::tempdir().expect("a folder");
    let wheel = build_in(&project(&folder.path().join("p")), folder.path());
    let layout = Layout::plain(&folder.path().join("tree"));
    install(&unpacked(&wheel.path, folder.path()), &layout).expect("installed");
    assert!(layout.site_packages().join("my_tool/__init__.py").is_file());
    assert!(!layout.root.join("bin").exists());
}

#[test]
fn two_wheels_that_bring_one_file_are_compared_before_either_is_placed() {
    let folder = tempfile::tempdir().expect("a folder");
    let layout = Layout::plain(&folder.path().join("tree"));
    let wheel = |name: &str, shared: &str| {
        let (root, info) = (folder.path().join(name), format!("{name}-1.0.dist-info"));
        fs::create_dir_all(root.join(&info)).expect("made");
        let digest = backlot_core::Sha256::from_bytes(sha2::Sha256::digest(shared).into());
        let record = format!(
            "shared.py,sha256={},{}\n{info}/RECORD,,\n",
            digest.to_base64url(),
            shared.len()
        );
        fs::write(root.join("shared.py"), shared).expect("written");
        fs::write(root.join(&info).join("RECORD"), record).expect("written");
        UnpackedWheel::read(&root, &format!("{name}-1.0")).expect("read")
    };
    let (a, b, c) = (wheel("a", "1"), wheel("b", "1"), wheel("c", "2"));
    assert!(a.is_plain(&layout));
    let owners = Owners::default();
    owners.expect(&a, &layout).expect("the first");
    owners.expect(&b, &layout).expect("the same bytes");
    let error = owners.expect(&c, &layout).expect_err("other bytes");
    let Error::FileConflict { path, package, other } = error else {
        panic!("{error}");
    };
    assert_eq!(
        (path.as_str(), package.as_str(), other.as_str()),
        ("shared.py", "c", "a")
    );
    fs::create_dir_all(layout.site_packages()).expect("made");
    for wheel in [&a, &b] {
        wheel
            .install(&layout, &OPTIONS, &owners, &Context::default())
            .expect("installed");
    }
    assert_eq!(
        fs::read(layout.site_packages().join("shared.py")).expect("read"),
        b"1"
    );
}

/// A wheel made by hand, with whatever entries and RECORD.
fn forged(folder: &Path, entries: &[(&str, &[u8])], record: Option<&str>) -> PathBuf {
    let mut all: Vec<(String, Vec<u8>)> = vec![
        (
            "x-1.0.dist-info/METADATA".into(),
            b"Metadata-Version: 2.1\nName: x\nVersion: 1.0\n".to_vec(),
        ),
        ("x-1.0.dist-info/WHEEL".into(), b"Wheel-Version: 1.0\n".to_vec()),
    ];
    all.extend(entries.iter().map(|(n, b)| ((*n).to_owned(), b.to_vec())));
    let lines: Vec<RecordEntry> = all
        .iter()
        .map(|(path, bytes)| RecordEntry {
            path: path.clone(),
            sha256: Some(backlot_core::Sha256::from_bytes(
                sha2::Sha256::digest(bytes).into(),
            )),
            size: Some(bytes.len() as u64),
        })
        .collect();
    let record = record.map_or_else(|| write_record(&lines), ToOwned::to_owned);
    all.push(("x-1.0.dist-info/RECORD".into(), record.into_bytes()));
    let mut zip = ZipFileWriter::new(Vec::<u8>::new());
    for (name, bytes) in &all {
        let entry = ZipEntryBuilder::new(name.as_str().into(), Compression::Deflate);
        block_on(zip.write_entry_whole(entry, bytes)).expect("written");
    }
    let bytes = block_on(zip.close()).expect("closed");
    let path = folder.join("x-1.0-py3-none-any.whl");
    fs::write(&path, bytes).expect("written");
    path
}

/// An archive whose first record says that its offset is in a 64-bit field, which has none.
pub(crate) fn without_offset(mut archive: Vec<u8>) -> Vec<u8> {
    let record = archive
        .windows(4)
        .position(|bytes| bytes == b"PK\x01\x02")
        .expect("a record");
    let name = usize::from(archive[record + 28]);
    let mut field = vec![1, 0, 16, 0];
    field.extend([0; 16]);
    archive[record + 30] = 20;
    archive[record + 42..record + 46].copy_from_slice(&[0xff; 4]);
    archive.splice(record + 46 + name..record + 46 + name, field);
    let size = archive.len() - 22 + 12;
    let longer = u32::from_le_bytes(archive[size..size + 4].try_into().expect("four")) + 20;
    archive[size..size + 4].copy_from_slice(&longer.to_le_bytes());
    archive
}

#[test]
fn a_wheel_that_does_not_say_where_a_file_begins_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let wheel = forged(folder.path(), &[], None);
    let bytes = without_offset(fs::read(&wheel).expect("read"));
    fs::write(&wheel, bytes).expect("written");
    let error = WheelArchive::open(&wheel).expect_err("refused");
    assert!(error.to_string().contains("offset"), "{error}");
}

#[test]
fn hostile_wheels_are_refused_before_anything_is_written_outside() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["../evil", "/abs", "a/../../evil", "a\\b", "C:/x", "a//b"] {
        let wheel = forged(folder.path(), &[(name, b"x")], None);
        assert!(
            matches!(WheelArchive::open(&wheel), Err(Error::HostileEntry { .. })),
            "{name}"
        );
    }
    let twice = forged(folder.path(), &[("a", b"1"), ("a", b"2")], None);
    assert!(matches!(WheelArchive::open(&twice), Err(Error::BadWheel { .. })));
    let (longest, too_long) = ("n".repeat(255), "n".repeat(256));
    let long_path = format!("{}x", "n/".repeat(2500));
    for (names, is_refused) in [
        (["a", "a/b"], true),
        (["d/a/b/c", "d/a"], true),
        (["a", "a-b/c"], false),
        (["a", &longest], false),
        (["a", &too_long], true),
        (["a", &long_path], true),
    ] {
        let wheel = forged(folder.path(), &[(names[0], b"1"), (names[1], b"2")], None);
        let is_bad = matches!(WheelArchive::open(&wheel), Err(Error::BadWheel { .. }));
        assert_eq!(is_bad, is_refused, "{names:?}");
        if let Err(error) = WheelArchive::open(&wheel) {
            assert!(error.to_string().len() < 1000, "{error}");
        }
    }
    let points = b"[console_scripts]\nok = x:main\n\xff\xfe\n";
    let wheel = forged(
        folder.path(),
        &[("x-1.0.dist-info/entry_points.txt", points)],
        None,
    );
    let refused = WheelArchive::open(&wheel).expect_err("not text");
    assert!(
        matches!(&refused, Error::BadWheel { reason, .. } if reason.contains("UTF-8")),
        "{refused}"
    );
    let lies = "a,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,1\nx-1.0.dist-info/METADATA,,\nx-1.0.dist-info/WHEEL,,\n";
    for record in [lies, "", "b,,\n"] {
        let wheel = forged(folder.path(), &[("a", b"x")], Some(record));
        let archive = WheelArchive::open(&wheel).expect("opens");
        assert!(matches!(archive.check(), Err(Error::BadWheel { .. })), "{record}");
        let target = folder.path().join("target");
        assert!(unpack(&archive, &target, &Context::default()).is_err());
        fs::remove_dir_all(&target).expect("removed");
    }
    assert!(!folder.path().join("evil").exists());
}

#[test]
fn damage_anywhere_in_a_wheel_is_an_error_and_never_a_panic() {
    let folder = tempfile::tempdir().expect("a folder");
    let wheel = build_in(&project(&folder.path().join("p")), folder.path());
    let good = fs::read(&wheel.path).expect("read");
    let original = WheelArchive::open(&wheel.path).expect("opens");
    let content = |archive: &WheelArchive| -> Vec<Option<Vec<u8>>> {
        original
            .entries()
            .iter()
            .map(|e| archive.read(&e.path).ok().flatten())
            .collect()
    };
    let whole = content(&original);
    for position in 0..good.len() {
        let mut bytes = good.clone();
        bytes[position] ^= 0x41;
        fs::write(&wheel.path, &bytes).expect("written");
        // Some bytes mean nothing (dates, versions): then the content is what it was.
        if let Ok(archive) = WheelArchive::open(&wheel.path)
            && archive.check().is_ok()
        {
            assert_eq!(content(&archive), whole, "byte {position}");
        }
    }
    for length in 0..good.len() {
        fs::write(&wheel.path, &good[..length]).expect("written");
        assert!(
            WheelArchive::open(&wheel.path).and_then(|a| a.check()).is_err(),
            "cut at {length}"
        );
    }
}
