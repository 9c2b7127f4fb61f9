//! Environments: files of wheels are placed as by pip, conflicts are reported, damage is repaired, environments can be moved.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use backlot_tests::{Studio, run_command, snapshot, tool};
use fs_err as fs;

/// Put a wheel with these files into the folder `wheels`, which is a repo of `ws`.
fn wheel(studio: &Studio, name: &str, files: &[(&str, &str)]) {
    let code = "import base64, hashlib, json, sys, zipfile
name, folder, files = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
info = f'{name}-1.0.dist-info'
files.append([f'{info}/METADATA', f'Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n'])
files.append([f'{info}/WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n'])
record = ''
for path, text in files:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()
    record += f'{path},sha256={digest},{len(text.encode())}\\n'
files.append([f'{info}/RECORD', record + f'{info}/RECORD,,\\n'])
with zipfile.ZipFile(f'{folder}/{name}-1.0-py3-none-any.whl', 'w') as z:
    for path, text in files: z.writestr(path, text)";
    let folder = studio.path("wheels");
    fs::create_dir_all(&folder).expect("made");
    let files = serde_json::to_string(files).expect("plain data");
    let mut python = Command::new(tool("python"));
    python.args(["-c", code, name]).arg(&folder).arg(files);
    run_command(&mut python).ok();
}

fn studio() -> Studio {
    let studio = Studio::empty();
    studio.run(&["init", "ws"]).ok();
    studio
}

fn add_wheels(studio: &Studio) {
    studio.ws(&["repo", "add", "wheels", "wheels"]).ok();
}

/// The paths of an environment that packages brought.
fn brought(root: &Path) -> BTreeSet<String> {
    let own = [
        "bin/activate",
        "bin/python",
        "pyvenv.cfg",
        ".gitignore",
        "bin/deactivate",
        "bin/pydoc",
        "lib64",
    ];
    let noise = [
        "CACHEDIR.TAG",
        "_virtualenv",
        "/REQUESTED",
        "/direct_url.json",
        ".lock",
    ];
    let mut paths: BTreeSet<String> = snapshot(root).into_keys().collect();
    paths.retain(|p| !own.iter().any(|own| p.starts_with(own)) && !noise.iter().any(|n| p.contains(n)));
    paths
}

#[test]
fn everything_a_wheel_may_bring_goes_where_pip_puts_it() {
    let studio = studio();
    wheel(
        &studio,
        "kit",
        &[
            ("kit/__init__.py", "def main():\n    print('launched')\n"),
            ("kit.pth", "import sys; sys.kit = 1\n"),
            ("kit-1.0.data/purelib/kit_pure.py", "x = 1\n"),
            ("kit-1.0.data/platlib/kit_plat.py", "x = 2\n"),
            ("kit-1.0.data/data/share/kit/kit.txt", "data\n"),
            ("kit-1.0.data/headers/kit.h", "#pragma once\n"),
            ("kit-1.0.data/scripts/kit-script", "#!python\nprint('script')\n"),
            ("kit-1.0.data/scripts/kit-shell", "#!/bin/sh\necho shell\n"),
            (
                "kit-1.0.dist-info/entry_points.txt",
                "[console_scripts]\nkit-main = kit:main\n[gui_scripts]\nkit-gui = kit:main\n",
            ),
        ],
    );
    add_wheels(&studio);
    studio.ws(&["install", "kit"]).ok();
    let mut uv = Command::new(tool("uv"));
    uv.args(["venv", "--no-cache", "--offline", "--python"])
        .arg(studio.path("ws/inputs/bin/python"))
        .arg(studio.path("by-pip"));
    run_command(&mut uv).ok();
    let mut pip = Command::new(tool("python"));
    pip.args(["-m", "pip", "--python"])
        .arg(studio.path("by-pip/bin/python"))
        .args([
            "install",
            "--no-compile",
            "--no-index",
            "--no-cache-dir",
            "--find-links",
        ])
        .arg(studio.path("wheels"))
        .arg("kit");
    run_command(&mut pip).ok();
    assert_eq!(
        brought(&studio.path("ws/inputs")),
        brought(&studio.path("by-pip"))
    );
    for (script, says) in [
        ("kit-main", "launched"),
        ("kit-gui", "launched"),
        ("kit-script", "script"),
        ("kit-shell", "shell"),
    ] {
        assert_eq!(studio.ws(&["run", script]).ok().stdout().trim(), says);
    }
    let code = "import sys, kit_pure, kit_plat; print(sys.kit, kit_pure.x, kit_plat.x)";
    assert_eq!(
        studio.ws(&["run", "python", "-c", code]).ok().stdout().trim(),
        "1 1 2"
    );
    let mut check = Command::new(tool("python"));
    check
        .args(["-m", "pip", "--python"])
        .arg(studio.path("ws/inputs/bin/python"))
        .arg("check");
    run_command(&mut check).ok();
    studio.ws(&["verify", "--inputs"]).ok();
    studio.ws(&["uninstall", "kit"]).ok();
    assert_eq!(brought(&studio.path("ws/inputs")), BTreeSet::new());
}

#[test]
fn one_file_of_two_packages_is_fine_if_it_is_the_same_and_a_named_conflict_if_not() {
    let studio = studio();
    let script = |target: &str| format!("[console_scripts]\nsay = {target}\n");
    let (one, two) = (script("one:main"), script("two:main"));
    let same = ("shared/__init__.py", "# shared\n");
    wheel(&studio, "one", &[same, ("shared/one.py", "a = 1\n")]);
    wheel(&studio, "two", &[same, ("shared/two.py", "b = 2\n")]);
    wheel(&studio, "three", &[("shared/one.py", "a = 3\n")]);
    wheel(
        &studio,
        "four",
        &[("four.py", "\n"), ("four-1.0.dist-info/entry_points.txt", &one)],
    );
    wheel(
        &studio,
        "five",
        &[("five.py", "\n"), ("five-1.0.dist-info/entry_points.txt", &two)],
    );
    wheel(
        &studio,
        "evil",
        &[("evil-1.0.data/data/pyvenv.cfg", "home = /nowhere\n")],
    );
    wheel(
        &studio,
        "worse",
        &[("worse-1.0.data/scripts/python3", "#!/bin/sh\n")],
    );
    add_wheels(&studio);
    studio.ws(&["install", "one", "two"]).ok();
    let before = studio.snapshot("ws/inputs");
    for (packages, path, others) in [
        (&["three"][..], "shared/one.py", ["three", "one"]),
        (&["four", "five"], "bin/say", ["four", "five"]),
        (&["evil"], "pyvenv.cfg", ["evil", "the environment itself"]),
        (&["worse"], "bin/python3", ["worse", "the environment itself"]),
    ] {
        let error = studio
            .ws(&[&["install", "--json"], packages].concat())
            .fails(5, "environment::file_conflict");
        let message = error["message"].as_str().unwrap_or_default().to_owned();
        assert!(message.contains(path), "{message}");
        assert!(others.iter().all(|other| message.contains(other)), "{message}");
        assert_eq!(studio.snapshot("ws/inputs"), before, "{packages:?}");
        // What cannot be installed is not asked for either.
        let status = studio.ws(&["status", "--json"]).ok().json();
        assert_eq!(status["requirements"].as_array().map(Vec::len), Some(2));
    }
    studio.ws(&["uninstall", "one"]).ok();
    studio.ws(&["verify", "--inputs"]).ok();
    let code = "import shared.two; print(shared.two.b)";
    assert_eq!(
        studio.ws(&["run", "python", "-c", code]).ok().stdout().trim(),
        "2"
    );
    studio.ws(&["uninstall", "two"]).ok();
    assert!(!studio.snapshot("ws/inputs").keys().any(|p| p.contains("shared")));
}

#[test]
fn a_damaged_environment_is_found_and_only_what_is_damaged_is_installed_anew() {
    let studio = studio();
    for name in ["deleted", "changed", "recordless", "garbled", "headless", "sound"] {
        wheel(&studio, name, &[(&format!("{name}.py"), "x = 1\n")]);
    }
    add_wheels(&studio);
    let names = ["deleted", "changed", "recordless", "garbled", "headless", "sound"];
    studio.ws(&[&["install"], &names[..]].concat()).ok();
    let lib = fs::read_dir(studio.path("ws/inputs/lib"))
        .expect("there")
        .next()
        .expect("a python")
        .expect("an entry")
        .path();
    let packages = lib.join("site-packages");
    let right = studio.snapshot("ws/inputs");
    fs::remove_file(packages.join("deleted.py")).expect("removed");
    // In place, as an editor would that overrules a read-only file: the cache's copy changes too.
    let changed = packages.join("changed.py");
    let mut permissions = fs::metadata(&changed).expect("there").permissions();
    #[expect(
        clippy::permissions_set_readonly_false,
        reason = "what an impatient person does"
    )]
    permissions.set_readonly(false);
    fs::set_permissions(&changed, permissions).expect("set");
    fs::write(&changed, "x = 2\n").expect("written");
    fs::remove_file(packages.join("recordless-1.0.dist-info/RECORD")).expect("removed");
    let record = packages.join("garbled-1.0.dist-info/RECORD");
    fs::remove_file(&record).expect("removed");
    fs::write(&record, b"\xff\x00,,,\n").expect("written");
    fs::remove_file(packages.join("headless-1.0.dist-info/METADATA")).expect("removed");

    let verified = studio.ws(&["verify", "--inputs", "--json"]);
    assert_eq!(verified.output.status.code(), Some(7));
    let found: BTreeSet<String> = verified.json()["inputs"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|p| p["package"].as_str().unwrap_or_default().to_owned())
        .collect();
    let expected: BTreeSet<String> = names[..5].iter().map(ToString::to_string).collect();
    assert_eq!(found, expected);
    let planned = studio
        .ws(&["install", "--repair", "--dry-run", "--json"])
        .ok()
        .json();
    assert_eq!(
        planned["changes"].as_array().map(Vec::len),
        Some(5),
        "{planned:#}"
    );
    let done = studio.ws(&["install", "--repair", "--json"]).ok().json();
    assert_eq!(
        (done["changes"].as_array().map(Vec::len), &done["unchanged"]),
        (Some(5), &1.into())
    );
    assert_eq!(studio.snapshot("ws/inputs"), right);
    studio.ws(&["verify", "--inputs"]).ok();
    let again = studio.ws(&["install", "--repair", "--json"]).ok().json();
    assert_eq!(again["unchanged"], 6);
}

#[test]
fn a_moved_workspace_works_and_commands_run_with_their_own_exit_codes() {
    let studio = studio();
    wheel(
        &studio,
        "kit",
        &[
            (
                "kit.py",
                "import sys\ndef main():\n    sys.exit(len(sys.argv) + 40)\n",
            ),
            (
                "kit-1.0.dist-info/entry_points.txt",
                "[console_scripts]\nkit = kit:main\n",
            ),
        ],
    );
    add_wheels(&studio);
    studio.ws(&["install", "kit"]).ok();
    studio.ws(&["new", "Table"]).ok();
    let mut mv = Command::new("mv");
    run_command(mv.arg(studio.path("ws")).arg(studio.path("moved to here"))).ok();
    let moved = |arguments: &[&str]| studio.run(&[&["-w", "moved to here"], arguments].concat());
    let mut script = Command::new(studio.path("moved to here/inputs/bin/kit"));
    assert_eq!(run_command(&mut script).output.status.code(), Some(41));
    assert_eq!(moved(&["run", "kit", "--a", "-b"]).output.status.code(), Some(43));
    let code = "import os, sys, table; print(table.ROOT); print(os.environ['VIRTUAL_ENV'] == sys.prefix)";
    let said = moved(&["run", "--", "python", "-c", code]).ok().stdout();
    assert!(
        said.contains("moved to here/outputs/table") && said.contains("True"),
        "{said}"
    );
    // `run` becomes the program, so whoever started it sees the signal itself.
    let killed = moved(&["run", "sh", "-c", "kill -9 $$"]);
    assert_eq!(killed.output.status.signal(), Some(9));
    moved(&["run", "nothing-of-that-name", "--json"]);
    let missing = studio.run(&["-w", "moved to here", "--json", "run", "nothing-of-that-name"]);
    missing.fails(4, "run::cannot_start");

    studio.run(&["init", "plain", "--python", "none"]).ok();
    let plain = |arguments: &[&str]| studio.run(&[&["-w", "plain"], arguments].concat()).ok();
    plain(&["repo", "add", "wheels", "wheels"]);
    plain(&["install", "kit"]);
    let python = tool("python").display().to_string();
    let said = plain(&["run", &python, "-c", "import kit; print(kit.__file__)"]).stdout();
    assert!(said.contains("plain/inputs/lib/site-packages/kit.py"), "{said}");
}
