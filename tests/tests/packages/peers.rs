//! Real peers read what Backlot writes: pip, uv, twine, dvc, Python itself.

use std::process::Command;

use backlot_tests::installers::install_by;
use backlot_tests::{Studio, changed, repository, run_command, tool};
use fs_err as fs;

/// A studio with `table` and `kitchenset` in the repo `review`.
fn published() -> Studio {
    let studio = Studio::new();
    studio.asset("Table", 3, 2000);
    studio.ws(&["publish", "Table"]).ok();
    studio
        .ws(&[
            "new",
            "Kitchen-Set",
            "--type",
            "Set",
            "--tag",
            "hero",
            "--tag",
            "interior",
        ])
        .ok();
    studio.ws(&["input", "add", "Kitchen-Set", "Table>=0.1<2.0"]).ok();
    studio.ws(&["publish", "Kitchen-Set"]).ok();
    studio
}

fn index_url(studio: &Studio) -> String {
    format!("file://{}", studio.path("repos/review/simple").display())
}

/// The two ways to our packages: the index, and the folders of wheels.
fn sources(studio: &Studio) -> [(&'static str, Vec<String>); 2] {
    let links = |package: &str| {
        format!(
            "--find-links={}",
            studio.path("repos/review/packages").join(package).display()
        )
    };
    [
        ("by-index", vec!["--index-url".to_owned(), index_url(studio)]),
        (
            "by-links",
            vec!["--no-index".to_owned(), links("table"), links("kitchen-set")],
        ),
    ]
}

fn wanted(options: &[String]) -> Vec<&str> {
    let options = options.iter().map(String::as_str);
    options.chain(["kitchen-set"]).collect()
}

fn python_prints(studio: &Studio, site_packages: &str, code: &str) -> String {
    let mut python = Command::new(tool("python"));
    python
        .args(["-c", code])
        .env("PYTHONPATH", studio.path(site_packages));
    run_command(&mut python).ok().stdout().trim().to_owned()
}

#[test]
fn pip_installs_from_the_index_and_from_find_links() {
    let studio = published();
    for (place, options) in sources(&studio) {
        install_by("pip", &studio.path(place), &wanted(&options)).ok();
        let names = python_prints(
            &studio,
            place,
            "import table, kitchen_set; print(table.__version__, kitchen_set.__version__)",
        );
        assert_eq!(names, "0.1.0 0.1.0");
    }
}

#[test]
fn uv_installs_from_the_index_and_from_find_links() {
    let studio = published();
    for (place, options) in sources(&studio) {
        install_by("uv", &studio.path(place), &wanted(&options)).ok();
        assert!(studio.path(place).join("table/frames.dvc").is_file());
    }
}

#[test]
fn twine_finds_nothing_to_complain_of() {
    let studio = published();
    let mut twine = Command::new(tool("twine"));
    twine.args(["check", "--strict"]);
    for (path, _) in studio
        .snapshot("repos/review/packages")
        .iter()
        .filter(|(p, _)| p.ends_with(".whl"))
    {
        twine.arg(studio.path("repos/review/packages").join(path));
    }
    let report = run_command(&mut twine).ok().stdout();
    assert_eq!(report.matches("PASSED").count(), 2, "{report}");
}

#[test]
fn python_sees_versions_entry_points_and_editables_in_the_environment_and_pip_check_is_clean() {
    let studio = published();
    studio.workspace("other");
    studio.run(&["-w", "other", "install", "Kitchen-Set"]).ok();
    studio.run(&["-w", "other", "new", "Shot010"]).ok();
    let code = "import importlib.metadata as m
points = sorted((e.name, e.value) for e in m.entry_points(group='tgzr.pipeline.asset_info_trick') if e.dist.name == 'kitchen_set')
editable = m.distribution('shot010').read_text('direct_url.json')
print(m.version('table'), m.version('kitchen-set'), points, '\"editable\":true' in editable)
import shot010; print(shot010.ROOT)";
    let mut python = Command::new(studio.path("other/inputs/bin/python"));
    let text = run_command(python.args(["-c", code])).ok().stdout();
    let expected = "0.1.0 0.1.0 [('asset_name', 'Kitchen-Set'), ('asset_type', 'Set')] True";
    assert_eq!(text.lines().next(), Some(expected));
    assert!(text.contains("other/outputs/shot010/src/shot010"));
    let mut pip = Command::new(tool("python"));
    pip.args(["-m", "pip", "--python"])
        .arg(studio.path("other/inputs/bin/python"))
        .arg("check");
    run_command(&mut pip).ok();
}

#[test]
fn an_exported_requirements_file_installs_the_same_with_pip() {
    let studio = published();
    studio.workspace("other");
    studio.run(&["-w", "other", "install", "Kitchen-Set"]).ok();
    studio
        .run(&["-w", "other", "export", "-o", "requirements.txt"])
        .ok();
    let text = fs::read_to_string(studio.path("requirements.txt")).expect("written");
    assert!(text.contains("--hash=sha256:"), "{text}");
    let mut pip = Command::new(tool("python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--no-cache-dir",
        "--require-hashes",
        "--no-index",
        "--target",
    ])
    .arg(studio.path("target"));
    pip.args([
        "--find-links".as_ref(),
        studio.path("repos/review/packages/table").as_os_str(),
    ]);
    pip.args([
        "--find-links".as_ref(),
        studio.path("repos/review/packages/kitchen-set").as_os_str(),
    ]);
    run_command(pip.arg("-r").arg(studio.path("requirements.txt"))).ok();
    assert!(studio.path("target/table/__init__.py").is_file());
}

fn dvc(studio: &Studio, folder: &str, arguments: &[&str]) -> String {
    let mut dvc = Command::new(tool("dvc"));
    dvc.args(arguments)
        .current_dir(studio.path(folder))
        .env("HOME", studio.path("home"))
        .env("DVC_NO_ANALYTICS", "1");
    run_command(&mut dvc).ok().stdout()
}

#[test]
fn dvc_pulls_what_we_pushed_and_finds_nothing_changed() {
    let studio = Studio::with_dvc_layout();
    studio.asset("Table", 5, 50_000);
    studio.ws(&["publish", "Table"]).ok();
    assert!(dvc(&studio, "ws", &["status"]).contains("up to date"));
    assert!(dvc(&studio, "ws", &["status", "--cloud"]).contains("in sync"));
    let frames = "ws/outputs/table/src/table/frames";
    let before = studio.snapshot(frames);
    fs::remove_dir_all(studio.path(frames)).expect("removed");
    fs::remove_dir_all(studio.path("cache")).expect("removed");
    dvc(&studio, "ws", &["pull"]);
    assert_eq!(studio.snapshot(frames), before);
    assert!(dvc(&studio, "ws", &["status"]).contains("up to date"));
    let state = studio.ws(&["status", "--json"]).ok().json();
    assert_eq!(state["outputs"][0]["outs"][0]["state"], "unchanged");
}

#[test]
fn we_pull_what_dvc_pushed() {
    let studio = Studio::with_dvc_layout();
    studio.ws(&["new", "Table"]).ok();
    let module = "ws/outputs/table/src/table";
    studio.frames(&format!("{module}/frames"), 4, 30_000, 3);
    studio.write(&format!("{module}/rig.bin"), b"one file");
    dvc(&studio, module, &["add", "frames", "rig.bin"]);
    dvc(&studio, "ws", &["push"]);
    let before = studio.snapshot(module);
    fs::remove_dir_all(studio.path(module).join("frames")).expect("removed");
    fs::remove_file(studio.path(module).join("rig.bin")).expect("removed");
    fs::remove_dir_all(studio.path("cache")).expect("removed");
    studio.ws(&["pull"]).ok();
    assert_eq!(studio.snapshot(module), before);
    assert!(dvc(&studio, "ws", &["status"]).contains("up to date"));
}

#[test]
fn a_wheel_of_the_original_engine_is_listed_shown_and_installed() {
    let studio = Studio::new();
    // It requires the engine's own package, which the host provides and pip does not know.
    studio.leaves_harm();
    // What hatchling made of the original engine's project, byte for byte as recorded.
    let golden = repository().join("fixtures/tgzr/main_pack");
    let part = |name: &str| fs::read(golden.join(name)).expect("a fixture");
    let info = "main_pack-0.2.0.dist-info";
    let script = "import base64, hashlib, sys, zipfile
z = zipfile.ZipFile(sys.argv[1], 'w')
record = ''
for name, path in [a.split('=', 1) for a in sys.argv[3:]]:
    data = open(path, 'rb').read()
    z.writestr(name, data)
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()
    record += f'{name},sha256={digest},{len(data)}\\n'
z.writestr(sys.argv[2], record + sys.argv[2] + ',,\\n')";
    drop(part("wheel.METADATA"));
    fs::create_dir_all(studio.path("flat")).expect("made");
    fs::write(studio.path("init.py"), b"").expect("written");
    let mut python = Command::new(tool("python"));
    python
        .args(["-c", script])
        .arg(studio.path("flat/main_pack-0.2.0-py2.py3-none-any.whl"))
        .arg(format!("{info}/RECORD"));
    for (name, file) in [
        ("METADATA", "wheel.METADATA"),
        ("WHEEL", "wheel.WHEEL"),
        ("entry_points.txt", "wheel.entry_points.txt"),
    ] {
        python.arg(format!("{info}/{name}={}", golden.join(file).display()));
    }
    python.arg(format!(
        "main_pack/__init__.py={}",
        studio.path("init.py").display()
    ));
    python.arg(format!(
        "main_pack/asset.toml={}",
        golden.join("asset.toml").display()
    ));
    run_command(&mut python).ok();

    studio.asset("Table", 1, 100);
    studio.ws(&["bump", "Table", "minor"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    studio.workspace("other");
    studio.run(&["-w", "other", "repo", "add", "old", "flat"]).ok();
    let shown = studio
        .run(&["-w", "other", "show", "Main-Pack", "--json"])
        .ok()
        .json();
    assert_eq!(shown["releases"][0]["asset"]["asset_type"], "Casting");
    assert_eq!(
        shown["releases"][0]["asset"]["tags"],
        serde_json::json!(["hero", "pack"])
    );
    let found = studio
        .run(&["-w", "other", "search", "--tag", "hero", "--json"])
        .ok()
        .json();
    assert_eq!(found["packages"][0]["name"], "Main-Pack");
    // It needs the engine itself, which its host provides, and a table from another repo.
    let installed = studio
        .run(&["-w", "other", "install", "Main-Pack", "--json"])
        .ok()
        .json();
    assert_eq!(changed(&installed), ["main-pack", "table"]);
    studio.run(&["-w", "other", "edit", "Main-Pack"]).ok();
    studio.run(&["-w", "other", "build", "Main-Pack"]).ok();
}

#[test]
fn a_project_with_only_a_pyproject_builds_and_installs_with_pip() {
    let studio = Studio::new();
    studio.write("ws/outputs/tool/pyproject.toml", b"[project]\nname = \"anim-tool\"\nversion = \"1.0\"\n[project.scripts]\nanimtool = \"anim_tool:main\"\n");
    studio.write(
        "ws/outputs/tool/src/anim_tool/__init__.py",
        b"def main():\n    print('hi')\n",
    );
    studio.ws(&["publish", "anim-tool"]).ok();
    let mut venv = Command::new(tool("python"));
    run_command(
        venv.args(["-m", "venv", "--without-pip"])
            .arg(studio.path("venv")),
    )
    .ok();
    let mut pip = Command::new(tool("python"));
    pip.args(["-m", "pip", "--python"])
        .arg(studio.path("venv/bin/python"))
        .args(["install", "--no-cache-dir", "--index-url"]);
    run_command(pip.arg(index_url(&studio)).arg("anim-tool")).ok();
    let mut script = Command::new(studio.path("venv/bin/animtool"));
    assert_eq!(run_command(&mut script).ok().stdout(), "hi\n");
}

/// Patterns, each in a folder of its own, and the files of that folder.
const IGNORED: [(&str, &[&str]); 24] = [
    ("*.bak", &["a.bak", "sub/b.bak", "a.bakk"]),
    ("/top.exr", &["top.exr", "sub/top.exr"]),
    ("tmp/", &["tmp/a.exr", "sub/tmp/b.exr"]),
    ("sub/tmp", &["tmp/a.exr", "sub/tmp/b.exr"]),
    ("**/cache", &["cache/a", "sub/cache/b", "sub/cached"]),
    ("cache/**", &["cache/a", "sub/cache/b"]),
    ("a/**/z", &["a/z", "a/b/z", "a/b/c/z", "b/z"]),
    ("f.{exr,tif}", &["f.exr", "f.tif", "f.{exr,tif}"]),
    ("{a}", &["a", "{a}"]),
    ("\\{a}", &["a", "{a}"]),
    ("x{", &["x{", "x"]),
    ("[ab].exr", &["a.exr", "b.exr", "c.exr"]),
    ("[!ab].exr", &["a.exr", "c.exr"]),
    ("[{a].exr", &["{.exr", "a.exr", "b.exr"]),
    ("f.?.exr", &["f.1.exr", "f.12.exr"]),
    ("# comment", &["# comment", "comment"]),
    ("\\#hash", &["#hash", "hash"]),
    ("!a.exr", &["a.exr"]),
    ("\\!bang", &["!bang", "bang"]),
    ("*.exr\n!keep.exr", &["a.exr", "keep.exr", "sub/keep.exr"]),
    ("sub/*\n!sub/keep", &["sub/a", "sub/keep"]),
    ("with space", &["with space", "with"]),
    ("trailing   ", &["trailing", "trailing   "]),
    ("f.%04d.exr", &["f.%04d.exr", "f.0001.exr"]),
];

#[test]
fn ignore_patterns_mean_to_us_what_they_mean_to_dvc() {
    let studio = Studio::new();
    let mut paths = Vec::new();
    for (number, (patterns, files)) in IGNORED.iter().enumerate() {
        studio.write(&format!("ws/c{number}/.dvcignore"), patterns.as_bytes());
        for file in *files {
            let path = format!("c{number}/{file}");
            studio.write(&format!("ws/{path}"), b"x");
            paths.push(path);
        }
    }
    let arguments: Vec<&str> = std::iter::once("check-ignore")
        .chain(paths.iter().map(String::as_str))
        .collect();
    let said = dvc(&studio, "ws", &arguments);
    let theirs: std::collections::BTreeSet<&str> = said.lines().collect();
    let root = studio.path("ws");
    for path in &paths {
        let folder = root.join(path.split('/').next().expect("a folder"));
        let mut ignore = backlot_dvc::Ignore::of_folder(&folder).expect("read");
        let file = root.join(path);
        let mut ours = false;
        // As a walk does: a folder that is ignored is not gone into.
        let mut above: Vec<_> = file.ancestors().take_while(|a| *a != folder).collect();
        while let Some(part) = above.pop() {
            ours = ours || ignore.excludes(part, !above.is_empty());
            if part.join(".dvcignore").is_file() {
                ignore = ignore.with_file_of(part).expect("read");
            }
        }
        assert_eq!(ours, theirs.contains(path.as_str()), "{path}");
    }
}
