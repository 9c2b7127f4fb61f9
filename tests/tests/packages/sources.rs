//! Source distributions: those of hatchling are installed as by pip, from folders and over HTTP; those that
//! need code to be run, or are malicious, are skipped and reported.

use std::collections::BTreeMap;
use std::process::Command;

use backlot_tests::installers::{build_sdist, pip, site_packages};
use backlot_tests::server::Server;
use backlot_tests::{Studio, run_command, snapshot, tool};
use fs_err as fs;

/// The original engine's project file, without the requirement on that engine, which `pip check` would miss.
const PROJECT: &str = r#"[project]
name = "main_pack"
dynamic = ["version"]
description = "a pack"
readme = "README.md"
dependencies = ["Table<1.0,>=0.1"]
keywords = ["tgzr.pipeline.asset_name:Main-Pack", "tgzr.pipeline.asset_type:Casting"]
[project.optional-dependencies]
hero = ["Table>=0.1"]
[build-system]
requires = ["hatchling", "tgzr.pipeline"]
build-backend = "hatchling.build"
[project.scripts]
main_pack = "main_pack:execute"
[project.entry-points."tgzr.pipeline.asset_info_trick"]
asset_name = "Main-Pack"
asset_type = "Casting"
[tool.hatch.metadata]
allow-custom-classifiers = true
[tool.hatch.version]
path = "src/main_pack/__version__.py"
[tool.hatch.envs.default]
installer = "uv"
"#;

/// A studio with `Table` in `review`, and a folder `drop` with what the original engine made: `main_pack` 0.2.0.
fn studio() -> Studio {
    let studio = Studio::empty();
    studio.workspace("maker");
    studio.run(&["-w", "maker", "new", "Table"]).ok();
    studio.run(&["-w", "maker", "publish", "Table"]).ok();
    sdist(&studio, "0.2.0", PROJECT);
    with_drop(&studio, "ws");
    studio
}

fn with_drop(studio: &Studio, workspace: &str) {
    studio.workspace(workspace);
    studio.run(&["-w", workspace, "repo", "add", "drop", "drop"]).ok();
}

/// Let `build` make a source distribution.
fn sdist(studio: &Studio, version: &str, pyproject: &str) {
    let root = format!("projects/main_pack-{version}");
    let write = |path: &str, text: &str| studio.write(&format!("{root}/{path}"), text.as_bytes());
    write("pyproject.toml", pyproject);
    write("README.md", "# Main-Pack\n\nEverything.\n");
    write("LICENSE", "free\n");
    write(
        "src/main_pack/__init__.py",
        "def execute():\n    print('executed')\n",
    );
    write(
        "src/main_pack/__version__.py",
        &format!("__version__ = \"{version}\"\n"),
    );
    write("src/main_pack/data/.gitignore", "/frames\n");
    write("src/main_pack/data/größe.txt", "1.80");
    write("src/main_pack/execution_log.txt", "a leaving that was packed");
    let deep = "a-folder-with-a-long-name/".repeat(8);
    write(&format!("src/main_pack/{deep}file.txt"), "far down");
    build_sdist(&studio.path(&root), &studio.path("drop"));
}

/// The files of `main_pack` in a site-packages folder, but for what each installer writes by itself.
fn files_of(site_packages: &std::path::Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = snapshot(site_packages);
    files.retain(|path, _| {
        let own = ["RECORD", "INSTALLER", "REQUESTED", "WHEEL", "direct_url.json"];
        path.starts_with("main_pack")
            && !path.ends_with(".pyc")
            && !own
                .iter()
                .any(|name| path.ends_with(&format!(".dist-info/{name}")))
    });
    files
}

fn locked(studio: &Studio, workspace: &str) -> toml::Table {
    let text = fs::read_to_string(studio.path(workspace).join("backlot.lock")).expect("a lock");
    let lock: toml::Table = toml::from_str(&text).expect("TOML");
    let packages = lock["package"].as_array().expect("packages");
    let package = packages.iter().find(|p| p["name"].as_str() == Some("main-pack"));
    package.and_then(|p| p.as_table()).expect("locked").clone()
}

#[test]
fn an_sdist_of_hatchling_is_installed_as_pip_installs_it() {
    let studio = studio();
    let found = studio.ws(&["search", "main", "--json"]).ok().stdout();
    assert!(
        found.contains("Main-Pack") && found.contains("Casting"),
        "{found}"
    );
    studio.ws(&["show", "Main-Pack"]).ok();
    studio.ws(&["install", "Main-Pack[hero]"]).ok();
    pip(&studio, &["--python", "ws/inputs/bin/python", "check"]).ok();
    let mut script = Command::new(studio.path("ws/inputs/bin/main_pack"));
    assert_eq!(run_command(&mut script).ok().stdout().trim(), "executed");
    let by_pip = [
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "--target",
    ];
    pip(
        &studio,
        &[&by_pip[..], &["by-pip", "drop/main_pack-0.2.0.tar.gz"]].concat(),
    )
    .ok();
    let (ours, theirs) = (
        files_of(&site_packages(&studio, "ws")),
        files_of(&studio.path("by-pip")),
    );
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (path, bytes) in &theirs {
        assert_eq!(
            String::from_utf8_lossy(&ours[path]),
            String::from_utf8_lossy(bytes),
            "{path}"
        );
    }
    assert!(
        ours.contains_key("main_pack/data/größe.txt") && ours.len() >= 9,
        "{:?}",
        ours.keys()
    );

    let package = locked(&studio, "ws");
    assert_eq!(package["sdist"].as_str(), Some("main_pack-0.2.0.tar.gz"));
    assert!(!package.contains_key("wheel") && package["repo"].as_str() == Some("drop"));
    studio.ws(&["install", "--locked"]).ok();
    studio.ws(&["verify"]).ok();
}

#[test]
fn the_lock_of_an_sdist_gives_it_again_to_pip_and_to_others() {
    let studio = studio();
    studio.ws(&["install", "Main-Pack"]).ok();
    let ours = files_of(&site_packages(&studio, "ws"));
    let package = locked(&studio, "ws");
    let digest = package["sha256"].as_str().expect("a digest");
    studio.ws(&["export", "-o", "requirements.txt"]).ok();
    let text = fs::read_to_string(studio.path("requirements.txt")).expect("written");
    assert!(text.contains(&format!("--hash=sha256:{digest}")), "{text}");
    let hashed = [
        "install",
        "--quiet",
        "--require-hashes",
        "--no-deps",
        "--no-build-isolation",
        "--target",
    ];
    pip(
        &studio,
        &[
            &hashed[..],
            &[
                "by-hash",
                "--find-links",
                "repos/review/packages/table",
                "--no-index",
                "-r",
                "requirements.txt",
            ],
        ]
        .concat(),
    )
    .ok();
    let by_hash = files_of(&studio.path("by-hash"));
    assert_eq!(
        by_hash.keys().collect::<Vec<_>>(),
        ours.keys().collect::<Vec<_>>()
    );
    studio
        .ws(&["export", "--format", "pylock", "-o", "pylock.toml"])
        .ok();
    let code = "import sys, tomllib; from packaging.pylock import Pylock
lock = Pylock.from_dict(tomllib.load(open(sys.argv[1], 'rb'))); lock.validate()
print([p.sdist.hashes['sha256'] for p in lock.packages if p.sdist])";
    let mut python = Command::new(tool("python"));
    python.args(["-c", code]).arg(studio.path("pylock.toml"));
    assert_eq!(
        run_command(&mut python).ok().stdout().trim(),
        format!("['{digest}']")
    );
    fs::remove_dir_all(studio.path("cache/wheels")).expect("removed");
    with_drop(&studio, "other");
    studio
        .run(&["-w", "other", "install", "--from-lock", "pylock.toml"])
        .ok();
    assert_eq!(files_of(&site_packages(&studio, "other")), ours);
}

#[test]
fn a_wheel_wins_and_a_lock_keeps_to_its_sdist() {
    let studio = studio();
    with_drop(&studio, "other");
    studio.run(&["-w", "other", "install", "Main-Pack"]).ok();
    let ours = files_of(&site_packages(&studio, "other"));
    let wheel = [
        "wheel",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        "drop",
    ];
    pip(&studio, &[&wheel[..], &["drop/main_pack-0.2.0.tar.gz"]].concat()).ok();
    fs::remove_dir_all(studio.path("cache/wheels")).expect("removed");
    fs::remove_dir_all(studio.path("other/inputs")).expect("removed");
    studio.run(&["-w", "other", "install", "--locked"]).ok();
    assert_eq!(files_of(&site_packages(&studio, "other")), ours);
    with_drop(&studio, "third");
    studio.run(&["-w", "third", "install", "Main-Pack"]).ok();
    let package = locked(&studio, "third");
    assert!(
        package["wheel"]
            .as_str()
            .is_some_and(|w| w.starts_with("main_pack-0.2.0-py2"))
    );
    assert!(!package.contains_key("sdist"));
    fs::remove_dir_all(studio.path("cache/wheels")).expect("removed");
    fs::remove_dir_all(studio.path("other/inputs")).expect("removed");
    studio.write("drop/main_pack-0.2.0.tar.gz", b"another file");
    studio
        .run(&["-w", "other", "install", "--locked", "--json"])
        .fails(7, "repo::wrong_bytes");
}

#[test]
fn files_that_an_sdist_points_at_are_pulled_and_never_collected() {
    let studio = studio();
    studio.run(&["-w", "maker", "new", "Prop"]).ok();
    let frames = "maker/outputs/prop/src/prop/frames";
    studio.frames(frames, 3, 2000, 1);
    studio.run(&["-w", "maker", "add", frames]).ok();
    studio.run(&["-w", "maker", "push", "Prop"]).ok();
    let pointer = fs::read(studio.path(&format!("{frames}.dvc"))).expect("tracked");
    studio.write("projects/main_pack-0.2.1/src/main_pack/frames.dvc", &pointer);
    sdist(&studio, "0.2.1", PROJECT);
    let expected = studio.snapshot(frames);
    // Only the source distribution is left to say that anybody needs them.
    for folder in ["maker", "cache"] {
        fs::remove_dir_all(studio.path(folder)).expect("removed");
    }
    let report = studio
        .ws(&["gc", "--remote", "--young", "0", "--no-other-writers", "--json"])
        .ok()
        .json();
    assert_eq!(
        report["condemned"].as_array().map(Vec::len),
        Some(0),
        "{report:#}"
    );
    studio.ws(&["install", "Main-Pack"]).ok();
    studio.ws(&["pull"]).ok();
    let placed = site_packages(&studio, "ws").join("main_pack/frames");
    assert_eq!(snapshot(&placed), expected);
    // One that cannot be read may need anything.
    studio.write("drop/main_pack-0.2.2.tar.gz", b"not a package");
    studio
        .ws(&["gc", "--remote", "--young", "0", "--no-other-writers", "--json"])
        .fails(7, "workspace::unreadable_release");
}

#[test]
fn an_sdist_on_an_index_is_installed_with_its_digest_proven() {
    let studio = studio();
    fs::remove_dir_all(studio.path("ws")).expect("removed");
    studio.workspace("ws");
    let bytes = fs::read(studio.path("drop/main_pack-0.2.0.tar.gz")).expect("made");
    studio.write("web/files/main_pack-0.2.0.tar.gz", &bytes);
    let digest = {
        let mut python = Command::new(tool("python"));
        python.args([
            "-c",
            "import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())",
        ]);
        python.arg(studio.path("drop/main_pack-0.2.0.tar.gz"));
        run_command(&mut python).ok().stdout().trim().to_owned()
    };
    let page = |digest: &str| {
        let line = format!("<a href=\"../../files/main_pack-0.2.0.tar.gz#sha256={digest}\">x</a>");
        studio.write("web/simple/main-pack/index.html", line.as_bytes());
    };
    page(&digest);
    studio.write("web/simple/index.html", b"<a href=\"main-pack/\">main-pack</a>");
    let server = Server::folder(&studio.path("web"), false);
    studio
        .ws(&["repo", "add", "studio", &server.url("/simple/")])
        .ok();
    studio.ws(&["install", "Main-Pack"]).ok();
    assert_eq!(locked(&studio, "ws")["sha256"].as_str(), Some(digest.as_str()));
    pip(&studio, &["--python", "ws/inputs/bin/python", "check"]).ok();
    let fetched = server
        .log()
        .iter()
        .filter(|l| l.request.path.ends_with(".tar.gz"))
        .count();
    assert_eq!(fetched, 1, "it is fetched once, for its metadata and its files");

    // An index that lies about the digest is believed in nothing.
    page(&"0".repeat(64));
    fs::remove_dir_all(studio.path("cache")).expect("removed");
    studio.workspace("other");
    studio
        .run(&["-w", "other", "repo", "add", "studio", &server.url("/simple/")])
        .ok();
    let error = studio
        .run(&["-w", "other", "install", "Main-Pack", "--json"])
        .fails(7, "index::wrong_digest");
    assert!(
        error["message"].as_str().unwrap_or_default().contains("0000"),
        "{error:#}"
    );
    // Of a public index no source is even fetched.
    page(&digest);
    fs::remove_dir_all(studio.path("cache")).expect("removed");
    let config = fs::read_to_string(studio.path("other/backlot.toml")).expect("a workspace");
    let public = config.replace("url = ", "public = true\nallow = [\"main-pack\"]\nurl = ");
    assert_ne!(config, public);
    studio.write("other/backlot.toml", public.as_bytes());
    server.take_log();
    let error = studio
        .run(&["-w", "other", "install", "Main-Pack", "--json"])
        .fails(5, "resolve::conflict");
    assert!(
        error["message"]
            .as_str()
            .unwrap_or_default()
            .contains("only wheels are used"),
        "{error:#}"
    );
    assert!(server.log().iter().all(|l| !l.request.path.ends_with(".tar.gz")));
}

#[test]
fn an_sdist_that_needs_code_to_be_run_is_passed_over_by_name() {
    let studio = studio();
    let setuptools = "[project]\nname = \"main_pack\"\nversion = \"0.3.0\"\ndependencies = [\"Table\"]\n\
                      [build-system]\nrequires = [\"setuptools\"]\nbuild-backend = \"setuptools.build_meta\"\n";
    sdist(&studio, "0.3.0", setuptools);
    // The older one that can be had is taken, and people are told.
    let run = studio.ws(&["install", "Main-Pack"]).ok();
    assert!(run.stderr().contains("0.3.0 is skipped") && run.stderr().contains("setuptools.build_meta"));
    assert_eq!(locked(&studio, "ws")["version"].as_str(), Some("0.2.0"));
    let error = studio
        .ws(&["install", "Main-Pack>=0.3", "--json"])
        .fails(5, "resolve::conflict");
    let message = error["message"].as_str().unwrap_or_default();
    for expected in [
        "0.3.0 cannot be used",
        "`setuptools.build_meta`",
        "pip wheel --no-deps main_pack-0.3.0.tar.gz",
    ] {
        assert!(message.contains(expected), "{message}");
    }
    // A lock that names it is refused with the error itself.
    let mut python = Command::new(tool("python"));
    python.args([
        "-c",
        "import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())",
    ]);
    python.arg(studio.path("drop/main_pack-0.3.0.tar.gz"));
    let digest = run_command(&mut python).ok().stdout();
    let text = format!(
        "lock-version = \"1.0\"\ncreated-by = \"test\"\n[[packages]]\nname = \"main-pack\"\nversion = \"0.3.0\"\n\
         sdist = {{ path = \"x.tar.gz\", hashes = {{ sha256 = \"{}\" }} }}\n",
        digest.trim()
    );
    studio.write("pylock.toml", text.as_bytes());
    let error = studio
        .ws(&["install", "--from-lock", "pylock.toml", "--json"])
        .fails(2, "sdist::unsupported");
    assert!(
        error["message"]
            .as_str()
            .unwrap_or_default()
            .contains("`setuptools.build_meta`")
    );

    // Nothing of a hostile one is ever unpacked.
    let code = "import io, sys, tarfile
with tarfile.open(sys.argv[1], 'w:gz') as tar:
    def put(name, data, **how):
        info = tarfile.TarInfo(name); info.size = len(data)
        for key, value in how.items(): setattr(info, key, value)
        tar.addfile(info, io.BytesIO(data))
    put('main_pack-9.0/PKG-INFO', b'Metadata-Version: 2.1\\nName: main_pack\\nVersion: 9.0\\n')
    put('main_pack-9.0/pyproject.toml', b'[build-system]\\nbuild-backend = \"hatchling.build\"\\n')
    put('main_pack-9.0/../../../escaped', b'x')";
    let mut python = Command::new(tool("python"));
    python
        .args(["-c", code])
        .arg(studio.path("drop/main_pack-9.0.tar.gz"));
    run_command(&mut python).ok();
    let error = studio
        .ws(&["install", "Main-Pack==9.0", "--json"])
        .fails(7, "wheel::hostile_entry");
    assert!(
        error["message"]
            .as_str()
            .unwrap_or_default()
            .contains("unsafe to unpack"),
        "{error:#}"
    );
    let everywhere = snapshot(studio.root());
    assert!(everywhere.keys().all(|path| !path.contains("escaped")));
}
