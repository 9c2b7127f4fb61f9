//! Real clients: the machine's pip installs from a repo made here, by index and by find-links. Skipped without pip.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod support;

use std::path::Path;
use std::process::Command;

use backlot_core::Context;
use backlot_repo::ReleaseStore;
use fs_err as fs;
use support::{Wheel, by};

fn pip(arguments: &[&str]) -> Option<String> {
    let output = Command::new("pip")
        .args([
            "--isolated",
            "--disable-pip-version-check",
            "--no-cache-dir",
            "-v",
        ])
        .args(arguments)
        .output()
        .ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "pip failed: {text}");
    Some(text)
}

fn repo(root: &Path) -> ReleaseStore {
    let repo = ReleaseStore::create_folder(root).unwrap();
    for (number, headers) in [("1.0", ""), ("1.1", ""), ("9.0", "Requires-Python: >=99\n")] {
        let folder = tempfile::tempdir().unwrap();
        let content = format!("version = '{number}'\n");
        let mut wheel = Wheel::new("main_pack", number);
        wheel.headers = headers;
        wheel.content = &content;
        let source = wheel.write(folder.path());
        repo.publish(&source, &by("ana"), &Context::default()).unwrap();
    }
    repo
}

#[test]
fn pip_installs_from_the_simple_index() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("a repo");
    repo(&root);
    let (target, index) = (folder.path().join("t"), root.join("simple"));
    let index = format!("file://{}", index.display()).replace(' ', "%20");
    let target = target.to_str().unwrap();
    let Some(text) = pip(&[
        "install",
        "--no-deps",
        "--target",
        target,
        "--index-url",
        &index,
        "Main-Pack",
    ]) else {
        return;
    };
    let installed = fs::read_to_string(folder.path().join("t/main_pack/__init__.py")).unwrap();
    assert_eq!(installed, "version = '1.1'\n", "{text}");
    assert!(
        text.contains("9.0") && text.contains("99"),
        "the Python range was seen: {text}"
    );

    let download = folder.path().join("d");
    let pinned = [
        "download",
        "--no-deps",
        "-d",
        download.to_str().unwrap(),
        "--index-url",
        &index,
        "main_pack==1.0",
    ];
    pip(&pinned).unwrap();
    assert!(download.join("main_pack-1.0-py3-none-any.whl").is_file());
}

#[test]
fn pip_installs_from_the_package_folder_as_find_links() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repo");
    repo(&root);
    let (target, links) = (folder.path().join("t"), root.join("packages/main-pack"));
    let (target, links) = (target.to_str().unwrap(), links.to_str().unwrap());
    let found = pip(&[
        "install",
        "--no-deps",
        "--no-index",
        "--target",
        target,
        "--find-links",
        links,
        "main-pack<2",
    ]);
    if found.is_some() {
        let installed = fs::read_to_string(folder.path().join("t/main_pack/__init__.py")).unwrap();
        assert_eq!(installed, "version = '1.1'\n");
    }
}

#[test]
fn pip_refuses_a_wheel_that_does_not_have_the_digest_of_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repo");
    repo(&root);
    let path = root.join("packages/main-pack/main_pack-1.1-py3-none-any.whl");
    fs::remove_file(&path).unwrap();
    let mut evil = Wheel::new("main_pack", "1.1");
    evil.content = "evil = True\n";
    fs::write(&path, evil.bytes()).unwrap();
    let index = format!("file://{}", root.join("simple").display());
    let target = folder.path().join("t");
    let output = Command::new("pip")
        .args([
            "--isolated",
            "--disable-pip-version-check",
            "install",
            "--no-deps",
            "--no-cache-dir",
            "--target",
        ])
        .arg(&target)
        .args(["--index-url", &index, "main-pack"])
        .output();
    if let Ok(output) = output {
        assert!(!output.status.success());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("DO NOT MATCH THE HASHES"), "{text}");
    }
}
