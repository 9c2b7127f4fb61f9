//! Bad input is reported with a code and help, and nothing is lost.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use backlot_tests::{Studio, run_command, tool};
use fs_err as fs;
use serde_json::Value;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A studio with a published asset `Table`, and a workspace `other` that has it installed.
fn published() -> Studio {
    publish_in(Studio::new())
}

/// The same with a remote whose objects are whole files.
fn published_in_dvc_layout() -> Studio {
    publish_in(Studio::with_dvc_layout())
}

fn publish_in(studio: Studio) -> Studio {
    studio.asset("Table", 3, 5000);
    studio.ws(&["publish", "Table"]).ok();
    studio.workspace("other");
    studio.run(&["-w", "other", "install", "Table"]).ok();
    studio
}

const WHEEL: &str = "repos/review/packages/table/table-0.1.0-py3-none-any.whl";

/// Replace the bytes of a read-only file.
fn overwrite(studio: &Studio, path: &str, bytes: &[u8]) {
    fs::remove_file(studio.path(path)).expect("removed");
    studio.write(path, bytes);
}

fn read_only(studio: &Studio, path: &str) {
    fs::set_permissions(studio.path(path), std::fs::Permissions::from_mode(0o444)).expect("set");
}

#[test]
fn a_corrupt_wheel_is_never_installed() {
    let studio = published();
    let mut bytes = fs::read(studio.path(WHEEL)).expect("read");
    let middle = bytes.len() / 3;
    bytes[middle] ^= 0xff;
    overwrite(&studio, WHEEL, &bytes);
    studio.workspace("third");
    let mut command = studio.command(&["-w", "third", "install", "Table", "--json"]);
    command.env("BACKLOT_CACHE_DIR", studio.path("fresh"));
    let run = run_command(&mut command);
    let report = run.json();
    let code = report["error"]["code"].as_str().expect("a code");
    assert!(
        [
            "wheel::unsound",
            "resolve::unknown_package",
            "release::unknown",
            "repo::wrong_bytes",
            "repo::unreadable"
        ]
        .contains(&code),
        "{report:#}"
    );
    assert!(matches!(run.output.status.code(), Some(4 | 7)), "{report:#}");
    assert!(!studio.path("third/inputs/lib").join("table").exists());
    overwrite(&studio, WHEEL, b"not a zip");
    let listed = studio.run(&["-w", "third", "list", "--json"]).ok();
    assert!(
        listed.stderr().contains("repo::broken_release"),
        "{}",
        listed.stderr()
    );
}

#[test]
fn a_wheel_that_leads_outside_is_refused() {
    let studio = Studio::new();
    let script = "import sys, zipfile
z = zipfile.ZipFile(sys.argv[1], 'w')
z.writestr('x-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: x\\nVersion: 1.0\\n')
z.writestr('x-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\n')
z.writestr('../../evil.py', 'x')
z.writestr('x-1.0.dist-info/RECORD', '../../evil.py,,\\nx-1.0.dist-info/METADATA,,\\nx-1.0.dist-info/WHEEL,,\\n')";
    fs::create_dir_all(studio.path("flat")).expect("made");
    let mut python = Command::new(tool("python"));
    run_command(
        python
            .args(["-c", script])
            .arg(studio.path("flat/x-1.0-py3-none-any.whl")),
    )
    .ok();
    studio.ws(&["repo", "add", "flat", "flat"]).ok();
    let run = studio.ws(&["install", "x", "--json"]);
    assert!(run.stderr().contains("unsafe to unpack"), "{}", run.stderr());
    run.fails(7, "repo::unreadable");
    assert!(!studio.root().join("evil.py").exists() && !studio.path("ws/evil.py").exists());
}

#[test]
fn a_manifest_that_leads_outside_is_refused_before_anything_is_written() {
    let studio = published_in_dvc_layout();
    let manifest = br#"[{"md5": "d41d8cd98f00b204e9800998ecf8427e", "relpath": "../../../../evil"}]"#;
    let id = digest(manifest);
    studio.write(
        &format!("remote/files/md5/{}/{}.dir", &id[..2], &id[2..]),
        manifest,
    );
    studio.write("remote/files/md5/d4/1d8cd98f00b204e9800998ecf8427e", b"");
    let pointer = "ws/outputs/table/src/table/evil.dvc";
    studio.write(
        pointer,
        format!("outs:\n- md5: {id}.dir\n  size: 0\n  nfiles: 1\n  hash: md5\n  path: evil\n").as_bytes(),
    );
    studio.ws(&["pull", "--json"]).fails(7, "dvc::hostile_manifest");
    assert!(!studio.snapshot(".").keys().any(|path| path.ends_with("/evil")));
    studio.write(
        pointer,
        b"outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e\n  size: 0\n  hash: md5\n  path: ../../evil\n",
    );
    studio
        .ws(&["pull", "Table", "--json"])
        .fails(7, "dvc::hostile_pointer");
}

fn digest(bytes: &[u8]) -> String {
    use md5::Digest as _;
    md5::Md5::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// The path of some object that is not a manifest.
fn some_object(studio: &Studio, place: &str) -> String {
    let all = studio.snapshot(&format!("{place}/files/md5"));
    let name = all
        .keys()
        .find(|name| !name.ends_with(".dir"))
        .expect("an object");
    format!("{place}/files/md5/{name}")
}

#[test]
fn a_truncated_cache_object_is_never_placed_or_sent_and_is_mended_from_the_remote_or_by_an_add() {
    let studio = published_in_dvc_layout();
    let object = some_object(&studio, "cache");
    overwrite(&studio, &object, b"short");
    read_only(&studio, &object);
    let verified = studio.run(&["-w", "other", "verify", "--cache", "--json"]);
    assert_eq!(verified.output.status.code(), Some(7));
    assert_eq!(
        verified.json()["cache"]["damaged"].as_array().map(Vec::len),
        Some(1)
    );
    studio.run(&["-w", "other", "pull"]).ok();
    studio.run(&["-w", "other", "verify"]).ok();
    overwrite(&studio, &object, b"short");
    read_only(&studio, &object);
    fs::remove_dir_all(studio.path("remote/files/md5")).expect("removed");
    studio.ws(&["push", "--json"]).fails(4, "dvc::not_on_remote");
    assert!(studio.wrong_objects("remote").is_empty());
    // The source files are whole, so adding them again repairs the cache.
    studio.ws(&["add", "ws/outputs/table/src/table/frames"]).ok();
    studio.ws(&["push"]).ok();
    studio.run(&["-w", "other", "pull"]).ok();
    studio.run(&["-w", "other", "verify"]).ok();
}

#[test]
fn a_damaged_remote_object_is_named_and_nothing_of_it_arrives() {
    let studio = published_in_dvc_layout();
    let object = some_object(&studio, "remote");
    let mut bytes = fs::read(studio.path(&object)).expect("read");
    bytes[7] ^= 1;
    overwrite(&studio, &object, &bytes);
    fs::remove_dir_all(studio.path("cache/files")).expect("removed");
    studio
        .run(&["-w", "other", "pull", "--json"])
        .fails(7, "store::corrupt_object");
    assert!(studio.wrong_objects("cache").is_empty());
    fs::remove_file(studio.path(&object)).expect("removed");
    studio
        .run(&["-w", "other", "pull", "--json"])
        .fails(4, "store::missing_object");
}

#[test]
fn a_damaged_pack_is_named_with_what_it_hurts_and_repaired() {
    let studio = published();
    studio.ws(&["remote", "add", "site", "site"]).ok();
    studio.ws(&["remote", "copy", "main", "site"]).ok();
    let packs = studio.snapshot("remote/v1/packs");
    let (name, bytes) = packs.iter().next().expect("a pack");
    let mut bytes = bytes.clone();
    bytes[100] ^= 1;
    overwrite(&studio, &format!("remote/v1/packs/{name}"), &bytes);
    let verified = studio.ws(&["verify", "--remote", "--releases", "--json"]);
    assert_eq!(verified.output.status.code(), Some(7));
    let remote = &verified.json()["remote"];
    assert_eq!(remote["packs"][0]["key"], format!("v1/packs/{name}"));
    assert_eq!(remote["damaged"].as_array().map(Vec::len), Some(1));
    let by = remote["damaged"][0]["needed_by"].to_string();
    assert!(by.contains("Table") && by.contains("table==0.1.0"), "{by}");
    fs::remove_dir_all(studio.path("cache/files")).expect("removed");
    let pulled = studio.run(&["-w", "other", "pull", "--json"]);
    assert!(
        pulled.stderr().contains("store::damaged_pack"),
        "{}",
        pulled.stderr()
    );
    pulled.fails(7, "store::corrupt_object");
    // The cache is empty: the other remote has it.
    let repaired = studio.ws(&["repair", "--json"]).ok().json();
    assert_eq!(repaired["repaired"].as_array().map(Vec::len), Some(1));
    studio.ws(&["verify", "--remote", "--releases"]).ok();
    studio.run(&["-w", "other", "pull"]).ok();
    studio.run(&["-w", "other", "verify", "--inputs"]).ok();
}

#[test]
fn a_push_after_a_pack_was_lost_counts_what_it_sent() {
    let studio = Studio::new();
    studio.asset("Table", 3, 40_000);
    studio.ws(&["push", "Table"]).ok();
    let pushed = |run: &Value| {
        let report = run.get("pushed").unwrap_or(run);
        (
            report["objects"].as_u64(),
            report["bytes"].as_u64(),
            report["already_there"].as_u64(),
        )
    };
    let (_, _, all) = pushed(&studio.ws(&["push", "Table", "--json"]).ok().json());
    fs::remove_dir_all(studio.path("remote/v1/packs")).expect("removed");
    let report = studio.ws(&["push", "Table", "--json"]).ok().json();
    let (objects, bytes, there) = pushed(&report);
    assert!(objects >= Some(3) && bytes >= Some(120_000), "{report:#}");
    assert_eq!(objects.zip(there).map(|(a, b)| a + b), all, "{report:#}");
    studio.ws(&["verify", "--remote"]).ok();
    let again = studio.ws(&["push", "Table", "--json"]).ok().json();
    assert_eq!((pushed(&again).0, pushed(&again).2), (Some(0), all), "{again:#}");
}

#[test]
fn a_collection_needs_to_know_everything_and_can_be_taken_back() {
    let studio = published();
    let at_once = ["gc", "--remote", "--young", "0", "--no-other-writers", "--json"];
    // Nothing can be collected by mistake: a repo that is gone, a release that cannot be read.
    let wheel = fs::read(studio.path(WHEEL)).expect("read");
    overwrite(&studio, WHEEL, b"not a zip");
    assert!(!studio.ws(&at_once).output.status.success());
    overwrite(&studio, WHEEL, &wheel);
    let report = studio.ws(&at_once).ok().json();
    assert_eq!(
        report["condemned"].as_array().map(Vec::len),
        Some(0),
        "{report:#}"
    );
    // Another version whose release is taken out of the repo: nothing needs its frames any more but this workspace.
    studio.frames("ws/outputs/table/src/table/frames", 2, 5000, 77);
    studio.ws(&["add", "ws/outputs/table/src/table/frames"]).ok();
    studio.ws(&["push"]).ok();
    let frames = studio.snapshot("ws/outputs/table/src/table/frames");
    studio.frames("ws/outputs/table/src/table/frames", 2, 5000, 1);
    studio.ws(&["add", "ws/outputs/table/src/table/frames"]).ok();
    assert_ne!(studio.snapshot("ws/outputs/table/src/table/frames"), frames);
    let report = studio.ws(&at_once).ok().json();
    assert!(
        !report["condemned"].as_array().expect("a list").is_empty(),
        "{report:#}"
    );
    let restored = studio.ws(&["gc", "--remote", "--restore", "--json"]).ok().json();
    assert_eq!(
        restored["restored"].as_array().map(Vec::len),
        report["condemned"].as_array().map(Vec::len)
    );
    studio.ws(&["verify", "--remote", "--releases"]).ok();
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_no_pointer_is_written() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    let frames = "ws/outputs/table/src/table/frames";
    studio.frames(frames, 3, 1000, 1);
    std::os::unix::fs::symlink("/nowhere/at/all", studio.path(frames).join("broken.exr")).expect("linked");
    studio.ws(&["add", frames, "--json"]).fails(2, "dvc::untrackable");
    fs::remove_file(studio.path(frames).join("broken.exr")).expect("removed");
    let secret = studio.path(frames).join("f.0001.exr");
    fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o000)).expect("set");
    let mut command = studio.command(&["-w", "ws", "add", frames, "--json"]);
    if is_root() {
        // Root reads everything, so the command runs as nobody in a studio that is nobody's.
        let program = command.get_program().to_owned();
        let copy = studio.path("backlot");
        fs::copy(program, &copy).expect("copied");
        run_command(Command::new("chown").args(["-R", "65534"]).arg(studio.root())).ok();
        let mut dropped = Command::new("setpriv");
        dropped
            .args(["--reuid=65534", "--clear-groups", "--no-new-privs"])
            .arg(copy)
            .args(command.get_args());
        dropped
            .current_dir(studio.root())
            .env("HOME", studio.path("home"))
            .env("BACKLOT_CACHE_DIR", studio.path("cache"));
        command = dropped;
    }
    let error = run_command(&mut command).fails(6, "file::permission_denied");
    assert!(
        error["message"]
            .as_str()
            .expect("a message")
            .contains("f.0001.exr"),
        "{error:#}"
    );
    assert!(!studio.path("ws/outputs/table/src/table/frames.dvc").exists());
}

#[test]
fn a_full_disk_is_named_and_loses_nothing() {
    if !is_root() {
        // Only root can mount a small disk; CI runs as root.
        return;
    }
    let studio = Studio::new();
    studio.asset("Small", 1, 1000);
    studio.frames("renders", 40, 500_000, 1);
    studio.ws(&["new", "Table"]).ok();
    let full = studio.path("full");
    fs::create_dir_all(&full).expect("made");
    run_command(
        Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(&full),
    )
    .ok();
    let outcome = std::panic::catch_unwind(|| {
        let on_disk = |arguments: &[&str]| {
            let mut command = studio.command(arguments);
            run_command(command.env("BACKLOT_CACHE_DIR", full.join("cache")))
        };
        let frames = "ws/outputs/table/src/table/renders";
        studio.frames(frames, 40, 500_000, 1);
        on_disk(&["-w", "ws", "add", frames, "--json"]).fails(6, "file::disk_full");
        assert!(!studio.path("ws/outputs/table/src/table/renders.dvc").exists());
        assert!(studio.wrong_objects("full/cache").is_empty());
        assert_eq!(
            fs::read_dir(studio.path("full/cache/tmp"))
                .expect("there")
                .count(),
            0
        );
        studio.ws(&["add", frames]).ok();
        fs::remove_dir_all(full.join("cache")).expect("removed");
        studio.ws(&["remote", "add", "small", "full/remote"]).ok();
        studio
            .ws(&["push", "Table", "--remote", "small", "--json"])
            .fails(6, "file::disk_full");
        assert!(studio.wrong_objects("full/remote").is_empty());
        studio.ws(&["push", "Table", "--remote", "main"]).ok();
    });
    run_command(Command::new("umount").arg(&full)).ok();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn requirements_that_are_not_pep_508_are_put_right_or_refused() {
    let studio = Studio::new();
    studio.ws(&["new", "Kitchen"]).ok();
    let run = studio
        .ws(&[
            "input",
            "add",
            "Kitchen",
            "Table>=1.2.3<2.0",
            "--no-check",
            "--json",
        ])
        .ok();
    assert_eq!(run.json()["changes"][0]["requirement"], "Table>=1.2.3,<2.0");
    assert!(run.stderr().contains("requirement::normalised"));
    studio
        .ws(&["input", "add", "Kitchen", "Table>>1", "--json"])
        .fails(2, "requirement::invalid");
    studio
        .ws(&["install", "not a requirement", "--json"])
        .fails(2, "requirement::invalid");
    studio
        .ws(&["input", "remove", "Kitchen", "Lamp", "--json"])
        .fails(4, "input::unknown");
}

#[test]
fn names_and_versions_that_cannot_be_are_refused() {
    let studio = Studio::new();
    studio
        .ws(&["new", "3d model", "--json"])
        .fails(2, "name::no_identifier");
    studio
        .ws(&["new", "../evil", "--json"])
        .fails(2, "name::no_identifier");
    studio.ws(&["new", "class", "--json"]).fails(2, "name::keyword");
    studio.ws(&["new", "Table"]).ok();
    studio.ws(&["new", "table", "--json"]).fails(5, "output::exists");
    studio
        .ws(&["bump", "Table", "a", "--json"])
        .fails(2, "version::backwards");
    studio
        .ws(&["bump", "Table", "bigger", "--json"])
        .fails(2, "version::unknown_step");
    studio
        .ws(&["bump", "Tabel", "major", "--json"])
        .fails(4, "output::unknown");
}

#[test]
fn repos_remotes_and_workspaces_that_are_not_there_are_named() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    studio
        .ws(&["publish", "Table", "--to", "blesed", "--json"])
        .fails(4, "config::unknown_name");
    studio.ws(&["pull", "--remote", "nowhere", "--json"]).ok();
    studio.asset("Chair", 1, 10);
    studio
        .ws(&["push", "--remote", "nowhere", "--json"])
        .fails(4, "config::unknown_name");
    studio
        .ws(&["repo", "add", "review", "elsewhere", "--json"])
        .fails(5, "config::name_taken");
    studio
        .ws(&["remote", "add", "odd", "gopher://x", "--json"])
        .fails(3, "store::bad_remote");
    studio
        .run(&["-w", "home", "status", "--json"])
        .fails(4, "workspace::none");
    studio
        .run(&["init", "ws", "--json"])
        .fails(5, "workspace::exists");
    studio
        .ws(&["install", "Nothing", "--json"])
        .fails(4, "resolve::unknown_package");
    studio
        .ws(&["show", "Nothing", "--json"])
        .fails(4, "release::unknown");
    studio
        .ws(&["uninstall", "Nothing", "--json"])
        .fails(4, "input::not_installed");
    studio.frames("loose", 1, 10, 1);
    studio
        .ws(&["add", "loose", "--json"])
        .fails(4, "output::not_in_output");
    studio
        .ws(&["add", "no/such/file", "--asset", "Table", "--json"])
        .fails(4, "file::not_found");
}

#[test]
fn a_conflict_says_who_asked_for_what_and_what_there_is() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    studio.ws(&["new", "Kitchen"]).ok();
    studio
        .ws(&["input", "add", "Kitchen", "Table>=2", "--json"])
        .fails(5, "resolve::conflict");
    studio
        .ws(&["input", "add", "Kitchen", "Table>=2", "--no-check"])
        .ok();
    studio
        .ws(&["publish", "Kitchen", "--json"])
        .fails(5, "publish::cannot_be_installed");
    studio
        .ws(&["publish", "Kitchen", "--force", "-m", "Table 2 follows"])
        .ok();
    studio.workspace("other");
    let error = studio
        .run(&["-w", "other", "install", "Kitchen", "--json"])
        .fails(5, "resolve::conflict");
    let message = error["message"].as_str().expect("a message");
    for part in [
        "the workspace asks for Kitchen, which needs Table>=2",
        "table exists as 0.1.0 in review (looked in blessed, review)",
    ] {
        assert!(message.to_lowercase().contains(&part.to_lowercase()), "{message}");
    }
    assert!(
        !studio.path("other/backlot.lock").exists()
            || !fs::read_to_string(studio.path("other/backlot.lock"))
                .expect("read")
                .contains("kitchen")
    );
}

#[test]
fn a_version_that_is_published_is_a_conflict_and_says_by_whom() {
    let studio = published();
    let before = fs::read(studio.path(WHEEL)).expect("read");
    let again = studio.ws(&["publish", "Table", "--json"]).ok().json();
    assert_eq!(again["already"], true, "the same bytes");
    studio.write("ws/outputs/table/src/table/new.py", b"x = 1\n");
    let error = studio
        .ws(&["publish", "Table", "--json"])
        .fails(5, "repo::release_exists");
    assert!(
        error["message"].as_str().expect("a message").contains("ana"),
        "{error:#}"
    );
    assert_eq!(fs::read(studio.path(WHEEL)).expect("read"), before);
}

#[test]
fn files_that_are_gone_are_not_published_and_unknown_files_are_not_overwritten() {
    let studio = published();
    fs::remove_dir_all(studio.path("ws/outputs/table/src/table/frames")).expect("removed");
    studio.ws(&["bump", "Table", "minor"]).ok();
    studio
        .ws(&["publish", "Table", "--json"])
        .fails(4, "publish::missing_files");
    studio.ws(&["pull"]).ok();
    studio.write(
        "ws/outputs/table/src/table/frames/f.0001.exr",
        b"work that is nowhere else",
    );
    let run = studio.ws(&["pull", "--json"]).ok();
    assert_eq!(
        run.json()["assets"][0]["kept"].as_array().map(Vec::len),
        Some(1),
        "{}",
        run.stdout()
    );
    let kept = fs::read(studio.path("ws/outputs/table/src/table/frames/f.0001.exr")).expect("read");
    assert_eq!(kept, b"work that is nowhere else");
}

#[test]
fn a_workspace_is_never_its_own_cache() {
    let studio = Studio::empty();
    let run = studio.run(&["init", "empty", "--cache", ""]);
    assert_eq!(run.output.status.code(), Some(2), "{}", run.stderr());
    studio
        .run(&["init", "here", "--cache", ".", "--json"])
        .fails(3, "config::invalid");
    for workspace in ["empty", "here"] {
        assert!(
            !studio.path(workspace).join("backlot.toml").exists(),
            "{workspace}"
        );
    }
}

#[test]
fn configuration_faults_name_the_file_and_secrets_are_refused() {
    let studio = Studio::new();
    let good = fs::read_to_string(studio.path("ws/backlot.toml")).expect("read");
    for (text, exit, code) in [
        ("version = 1\n[workspace\n", 3, "config::invalid"),
        ("", 3, "config::invalid"),
        ("version = 99\n", 3, "lock::newer_format"),
        (
            "version = 1\n[remotes.a]\nurl = \"s3://x\"\nsecret_access_key = \"k\"\n",
            3,
            "config::secret",
        ),
        (
            "version = 1\n[remotes.a]\nurl = \"sftp://me:pw@host/x\"\n",
            3,
            "config::secret",
        ),
        (
            "version = 1\n[workspace]\ninputs = [\"a>>1\"]\n",
            3,
            "config::invalid",
        ),
        ("version = 1\n[workspace]\ncache = \"\"\n", 3, "config::invalid"),
    ] {
        studio.write("ws/backlot.toml", text.as_bytes());
        let error = studio.ws(&["status", "--json"]).fails(exit, code);
        assert!(
            error["message"]
                .as_str()
                .expect("a message")
                .contains("backlot.toml"),
            "{error:#}"
        );
        assert!(!error.to_string().contains("pw@"), "{error:#}");
    }
    studio.write(
        "ws/backlot.toml",
        good.replace("blessed = ", "blesed = ").as_bytes(),
    );
    let run = studio.ws(&["status"]).ok();
    assert!(
        run.stderr().contains("did you mean `blessed`?"),
        "{}",
        run.stderr()
    );
    studio.write("ws/backlot.toml", good.as_bytes());
    studio.ws(&["new", "Table"]).ok();
    studio.write("ws/outputs/table/pyproject.toml", b"[project]\nname = 5\n");
    studio
        .ws(&["build", "Table", "--json"])
        .fails(2, "project::invalid");
    let run = studio.ws(&["status", "--json"]);
    assert_eq!(run.output.status.code(), Some(2));
    assert_eq!(run.json()["problems"][0]["code"], "project::invalid");
}
