//! Locks: pip, uv and `packaging` read exported locks, Backlot reads locks of uv, and a lock reproduces the environment.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use backlot_tests::wheels::sha256;
use backlot_tests::{Studio, changed, run_command, snapshot, tool};
use fs_err as fs;

/// `KitchenSet` with a script and a table in `review`; `ws` locked to it.
fn studio() -> Studio {
    let studio = Studio::empty();
    studio.workspace("maker");
    let maker = |arguments: &[&str]| studio.run(&[&["-w", "maker"], arguments].concat()).ok();
    maker(&["new", "Table"]);
    maker(&["publish", "Table"]);
    maker(&["new", "KitchenSet"]);
    maker(&["input", "add", "KitchenSet", "Table"]);
    let project = "maker/outputs/kitchenset/pyproject.toml";
    let mut text = fs::read_to_string(studio.path(project)).expect("a project");
    text.push_str("\n[project.scripts]\nset-the-table = \"kitchenset:main\"\n");
    studio.write(project, text.as_bytes());
    maker(&["publish", "KitchenSet"]);
    studio.workspace("ws");
    studio.ws(&["install", "KitchenSet"]).ok();
    studio
}

fn export(studio: &Studio, file: &str) -> String {
    studio.ws(&["export", "-o", file]).ok();
    fs::read_to_string(studio.path(file)).expect("written")
}

/// Both packages are there, as their metadata says.
fn both_are_in(folder: &Path) {
    for name in ["table-0.1.0", "kitchenset-0.1.0"] {
        let metadata = folder.join(format!("{name}.dist-info/METADATA"));
        assert!(metadata.is_file(), "no {}", metadata.display());
    }
}

#[test]
fn an_exported_pylock_is_valid_and_pip_uv_and_we_install_from_it() {
    let studio = studio();
    let text = export(&studio, "pylock.toml");
    let code = "import sys, tomllib; from packaging.pylock import Pylock
lock = Pylock.from_dict(tomllib.load(open(sys.argv[1], 'rb'))); lock.validate()
print(sorted((p.name, str(p.version), len(p.wheels[0].hashes['sha256'])) for p in lock.packages))";
    let mut python = Command::new(tool("python"));
    python.args(["-c", code]).arg(studio.path("pylock.toml"));
    assert_eq!(
        run_command(&mut python).ok().stdout().trim(),
        "[('kitchenset', '0.1.0', 64), ('table', '0.1.0', 64)]",
        "{text}"
    );
    let python = studio.path("ws/inputs/bin/python");
    let mut pip = Command::new(tool("python"));
    pip.args(["-m", "pip", "--python"])
        .arg(&python)
        .args(["install", "--no-cache-dir", "--no-index", "--target"])
        .arg(studio.path("by-pip"))
        .arg("-r")
        .arg(studio.path("pylock.toml"));
    run_command(&mut pip).ok();
    both_are_in(&studio.path("by-pip"));
    let mut uv = Command::new(tool("uv"));
    uv.args(["pip", "install", "--no-cache", "--offline", "--python"])
        .arg(&python)
        .arg("--target")
        .arg(studio.path("by-uv"))
        .arg("-r")
        .arg(studio.path("pylock.toml"));
    run_command(&mut uv).ok();
    both_are_in(&studio.path("by-uv"));

    studio.workspace("other");
    let planned = ["-w", "other", "install", "--from-lock", "pylock.toml", "--json"];
    let report = studio.run(&[&planned[..], &["--dry-run"]].concat()).ok().json();
    assert_eq!(report["changes"].as_array().map(Vec::len), Some(2));
    studio.run(&planned).ok();
    let lock = |workspace: &str| fs::read(studio.path(&format!("{workspace}/backlot.lock"))).expect("a lock");
    assert_eq!(lock("other"), lock("ws"));
    studio.run(&["-w", "other", "install", "--locked"]).ok();
}

#[test]
fn a_lock_that_uv_made_is_read_by_us_and_what_is_no_wheel_is_refused() {
    let studio = studio();
    studio.write("wanted.in", b"kitchenset\n");
    let mut uv = Command::new(tool("uv"));
    uv.args([
        "pip",
        "compile",
        "--no-cache",
        "--format",
        "pylock.toml",
        "--index-url",
    ])
    .arg(format!("file://{}", studio.path("repos/review/simple").display()))
    .arg("--python")
    .arg(studio.path("ws/inputs/bin/python"))
    .arg(studio.path("wanted.in"))
    .arg("-o")
    .arg(studio.path("pylock.uv.toml"));
    run_command(&mut uv).ok();
    studio.workspace("other");
    let from = |file: &str| studio.run(&["-w", "other", "install", "--from-lock", file, "--json"]);
    let report = from("pylock.uv.toml").ok().json();
    assert_eq!(report["changes"].as_array().map(Vec::len), Some(2));
    let status = studio.run(&["-w", "other", "status", "--json"]).ok().json();
    assert_eq!(status["requirements"][0], "kitchenset==0.1.0");

    let head = "lock-version = \"1.0\"\ncreated-by = \"test\"\n";
    let refused = |name: &str, body: &str, exit, code: &str| {
        studio.write(name, format!("{head}{body}").as_bytes());
        from(name).fails(exit, code)
    };
    let archive = "[[packages]]\nname = \"x\"\nversion = \"1\"\narchive = { path = \"x-1.zip\", hashes = { sha256 = \"00\" } }\n";
    let error = refused("pylock.a.toml", archive, 2, "lock::not_a_wheel");
    assert!(
        error["message"]
            .as_str()
            .unwrap_or_default()
            .contains("an archive")
    );
    let elsewhere = "environments = [\"sys_platform == 'amiga'\"]\npackages = []\n";
    let told_of = |error: &serde_json::Value, file: &str| {
        let text = error.to_string();
        assert!(text.contains(file) && !text.contains("backlot lock"), "{text}");
    };
    told_of(
        &refused("pylock.b.toml", elsewhere, 5, "lock::stale"),
        "pylock.b.toml",
    );
    refused("pylock.c.toml", "packages = 3\n", 3, "lock::invalid");
    let python = "requires-python = \">=99\"\npackages = []\n";
    told_of(
        &refused("pylock.d.toml", python, 5, "lock::stale"),
        "pylock.d.toml",
    );
    let digest = "0".repeat(64);
    let unknown = format!(
        "[[packages]]\nname = \"table\"\nversion = \"0.1.0\"\nwheels = [{{ path = \"t.whl\", hashes = {{ sha256 = \"{digest}\" }} }}]\n"
    );
    refused("pylock.e.toml", &unknown, 4, "release::unknown");
    studio.write(
        "pylock.f.toml",
        b"lock-version = \"2.0\"\ncreated-by = \"x\"\npackages = []\n",
    );
    from("pylock.f.toml").fails(3, "lock::invalid");
}

/// A `pylock.toml` with entries for wheels of a repo of the studio.
fn pylock(studio: &Studio, head: &str, entries: &[(&str, &str, &str)]) -> String {
    let mut text = format!("lock-version = \"1.0\"\ncreated-by = \"test\"\n{head}");
    for (name, version, marker) in entries {
        let file = format!("repos/review/{name}-{version}-py3-none-any.whl");
        let files = studio.snapshot("repos/review");
        let found = files
            .iter()
            .find(|(path, _)| path.ends_with(&format!("{name}-{version}-py3-none-any.whl")));
        let digest = sha256(found.expect(&file).1);
        text.push_str(&format!(
            "[[packages]]\nname = \"{name}\"\nversion = \"{version}\"\n{marker}wheels = [{{ path = \"{file}\", hashes = {{ sha256 = \"{digest}\" }} }}]\n"
        ));
    }
    text
}

#[test]
fn the_default_groups_of_a_lock_are_installed_and_two_entries_of_a_package_are_refused() {
    let studio = studio();
    studio.workspace("other");
    let from = |text: String| {
        studio.write("pylock.g.toml", text.as_bytes());
        studio.run(&["-w", "other", "install", "--from-lock", "pylock.g.toml", "--json"])
    };
    let entries = [
        ("table", "0.1.0", "marker = \"'dev' in dependency_groups\"\n"),
        (
            "kitchenset",
            "0.1.0",
            "marker = \"'docs' in dependency_groups\"\n",
        ),
    ];
    let head = "dependency-groups = [\"dev\", \"docs\"]\ndefault-groups = [\"dev\"]\n";
    let report = from(pylock(&studio, head, &entries)).ok().json();
    assert_eq!(changed(&report), ["table"]);
    let head = "dependency-groups = [\"dev\", \"docs\"]\n";
    let report = from(pylock(&studio, head, &entries)).ok().json();
    assert_eq!(changed(&report), ["table"], "it leaves: {report:#}");
    assert!(report["changes"][0]["to"].is_null(), "{report:#}");
    let twice = [
        ("table", "0.1.0", ""),
        ("table", "0.1.0", "marker = \"sys_platform != 'amiga'\"\n"),
    ];
    let error = from(pylock(&studio, "", &twice)).fails(3, "lock::invalid");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|m| m.contains("table has two entries")),
        "{error:#}"
    );
    let once = [
        ("table", "0.1.0", ""),
        ("table", "0.1.0", "marker = \"sys_platform == 'amiga'\"\n"),
    ];
    from(pylock(&studio, "", &once)).ok();
}

#[test]
fn a_lock_neither_replaces_nor_removes_an_editable_and_one_whose_output_is_gone_is_stale() {
    let studio = studio();
    let lock = pylock(&studio, "", &[("table", "0.1.0", "")]);
    studio.write("pylock.e.toml", lock.as_bytes());
    studio.workspace("third");
    studio.run(&["-w", "third", "new", "Table"]).ok();
    let error = studio
        .run(&["-w", "third", "install", "--from-lock", "pylock.e.toml", "--json"])
        .fails(5, "input::editable_in_the_way");
    assert!(
        error["message"].as_str().is_some_and(|m| m.contains("table")),
        "{error:#}"
    );
    // An output that the lock does not name.
    studio.workspace("other");
    studio.run(&["-w", "other", "new", "Lamp"]).ok();
    let report = studio
        .run(&["-w", "other", "install", "--from-lock", "pylock.e.toml", "--json"])
        .ok()
        .json();
    assert_eq!(changed(&report), ["table"], "the editable stays: {report:#}");
    let status = studio.run(&["-w", "other", "status", "--json"]).ok().json();
    let inputs = status["inputs"].as_array().expect("inputs");
    assert!(
        inputs
            .iter()
            .any(|i| i["package"] == "lamp" && i["editable"].is_string()),
        "{status:#}"
    );
    // A copy of the workspace without its outputs.
    studio.workspace("copy");
    for file in ["backlot.toml", "backlot.lock"] {
        let bytes = fs::read(studio.path(&format!("other/{file}"))).expect("read");
        studio.write(&format!("copy/{file}"), &bytes);
    }
    let error = studio
        .run(&["-w", "copy", "install", "--locked", "--json"])
        .fails(5, "lock::stale");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|m| m.contains("outputs/lamp")),
        "{error:#}"
    );
    // It has a lock and no environment.
    fs::remove_dir_all(studio.path("copy")).expect("removed");

    // Where everything was installed, and the outputs went after that.
    studio.run(&["-w", "other", "install"]).ok();
    fs::remove_dir_all(studio.path("other/outputs")).expect("removed");
    studio
        .run(&["-w", "other", "install", "--locked", "--json"])
        .fails(5, "lock::stale");
    let report = studio.run(&["-w", "other", "install", "--json"]).ok().json();
    assert_eq!(changed(&report), ["lamp"], "{report:#}");
    let status = studio.run(&["-w", "other", "status", "--json"]).ok().json();
    let inputs = status["inputs"].as_array().expect("inputs");
    assert!(inputs.iter().all(|i| i["package"] != "lamp"), "{status:#}");
}

#[test]
fn an_editable_with_a_requirement_in_capitals_is_installed_once() {
    let studio = Studio::new();
    for name in ["Table", "KitchenSet"] {
        studio.ws(&["new", name]).ok();
    }
    let project = studio.path("ws/outputs/kitchenset/pyproject.toml");
    let text = fs::read_to_string(&project).expect("read");
    let text = text.replace(
        "dependencies = []",
        "dependencies = [\"Table >=0.1 ; python_version>'3'\"]",
    );
    fs::write(&project, text).expect("written");
    let first = studio.ws(&["install", "--json"]).ok().json();
    assert_eq!(changed(&first), ["kitchenset"]);
    let again = studio.ws(&["install", "--json"]).ok().json();
    assert_eq!(again["changes"].as_array().map(Vec::len), Some(0), "{again:#}");
}

#[test]
fn requirements_with_digests_are_accepted_by_pip_and_uv() {
    let studio = studio();
    let text = export(&studio, "requirements.txt");
    assert_eq!(text.matches("--hash=sha256:").count(), 2, "{text}");
    let mut pip = Command::new(tool("python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--no-cache-dir",
        "--require-hashes",
        "--no-index",
    ])
    .arg("--find-links")
    .arg(studio.path("repos/review/packages/table"))
    .arg("--find-links")
    .arg(studio.path("repos/review/packages/kitchenset"))
    .arg("--target")
    .arg(studio.path("by-pip"))
    .arg("-r")
    .arg(studio.path("requirements.txt"));
    run_command(&mut pip).ok();
    both_are_in(&studio.path("by-pip"));
    let index = format!("file://{}", studio.path("repos/review/simple").display());
    let mut uv = Command::new(tool("uv"));
    uv.args([
        "pip",
        "install",
        "--no-cache",
        "--require-hashes",
        "--default-index",
        &index,
    ])
    .arg("--python")
    .arg(tool("python"))
    .arg("--target")
    .arg(studio.path("by-uv"))
    .arg("-r")
    .arg(studio.path("requirements.txt"));
    run_command(&mut uv).ok();
    both_are_in(&studio.path("by-uv"));
}

#[test]
fn the_same_lock_gives_the_same_environment_to_the_byte_elsewhere() {
    let studio = studio();
    studio.workspace("a/longer/way/there");
    let there = "a/longer/way/there";
    for file in ["backlot.toml", "backlot.lock"] {
        let from = studio.path("ws").join(file);
        fs::copy(from, studio.path(there).join(file)).expect("copied");
    }
    let config = fs::read_to_string(studio.path("ws/backlot.toml")).expect("a workspace");
    let config = config.replace("\"repos/", &format!("\"{}/", studio.path("repos").display()));
    fs::write(studio.path(there).join("backlot.toml"), config).expect("written");
    studio.run(&["-w", there, "install", "--locked"]).ok();
    let environment = |workspace: &str| {
        let root = studio.path(workspace).join("inputs");
        let mut files: BTreeMap<String, Vec<u8>> = snapshot(&root);
        for (path, bytes) in &mut files {
            let Ok(text) = std::str::from_utf8(bytes) else {
                continue;
            };
            // Scripts, activation and pyvenv.cfg name the place they are at; RECORD has the digests of scripts.
            let mut text = text.replace(&root.display().to_string(), "<here>");
            if path.ends_with("/RECORD") {
                text = text.lines().filter(|l| !l.starts_with("../")).collect();
            }
            *bytes = text.into_bytes();
        }
        files
    };
    let (here, elsewhere) = (environment("ws"), environment(there));
    assert!(here.contains_key("bin/set-the-table"));
    assert_eq!(
        here.keys().collect::<Vec<_>>(),
        elsewhere.keys().collect::<Vec<_>>()
    );
    for (path, bytes) in &here {
        assert_eq!(
            String::from_utf8_lossy(bytes),
            String::from_utf8_lossy(&elsewhere[path]),
            "{path}"
        );
    }
}
