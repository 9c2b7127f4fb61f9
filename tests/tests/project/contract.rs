//! The contract with programs: one JSON object, also for wrong usage; exit codes; repeated requests.

use std::process::Stdio;

use backlot_tests::Studio;
use fs_err as fs;

#[test]
fn every_answer_in_json_has_a_schema_and_its_command_also_wrong_usage() {
    let studio = Studio::new();
    let listed = studio.ws(&["repo", "list", "--json"]).ok().json();
    assert_eq!(
        (&listed["schema"], &listed["command"]),
        (&1.into(), &"repo list".into())
    );
    let failed = studio.ws(&["show", "Nothing", "--json"]);
    assert_eq!(failed.json()["command"], "show");
    // As far as the arguments name it.
    for (wrong, command) in [
        (&["publsh", "--json"][..], ""),
        (&["--json", "repo", "add"], "repo add"),
        (&["--json", "repo", "ad", "x"], "repo"),
        (&["publish", "--json", "--no-such"], "publish"),
        (&["publish", "--to", "repo", "--json", "--no-such"], "publish"),
        (&["-v", "--workspace=ws", "remote", "add", "--json"], "remote add"),
        (&["--json"], ""),
    ] {
        let run = studio.ws(wrong);
        assert_eq!(run.json()["schema"], 1, "{wrong:?}");
        assert_eq!(run.json()["command"], command, "{wrong:?}");
        run.fails(2, "command::usage");
    }
    // Without it, and for help, all stays as it was.
    let run = studio.ws(&["publsh"]);
    assert_eq!((run.output.status.code(), run.stdout().as_str()), (Some(2), ""));
    assert!(studio.run(&["--help", "--json"]).ok().stdout().contains("Usage"));
}

#[test]
fn a_report_that_cannot_be_written_is_an_error() {
    let studio = Studio::new();
    for json in [
        &["-w", "ws", "repo", "list", "--json"][..],
        &["-w", "ws", "status"],
    ] {
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .expect("/dev/full");
        let output = studio
            .command(json)
            .stdout(Stdio::from(full.into_parts().0))
            .output()
            .expect("runs");
        assert_eq!(output.status.code(), Some(6));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("output::not_written"), "{told}");
    }
}

#[test]
fn help_the_version_and_errors_that_cannot_be_written_are_errors_too() {
    let studio = Studio::new();
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["help"],
        &["part", "--help"],
        &["--json", "bogus"],
        &["-w", "ws", "show", "Nope", "--json"],
    ] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full");
        let output = studio
            .command(arguments)
            .stdout(Stdio::from(full.expect("/dev/full").into_parts().0))
            .output()
            .expect("runs");
        assert_eq!(output.status.code(), Some(6), "{arguments:?}");
    }
}

#[test]
fn wrong_usage_that_quotes_a_name_does_not_steer_the_terminal() {
    let studio = Studio::new();
    for mark in ["\u{202e}", "\u{2066}", "\u{9b}"] {
        let name = format!("ev{mark}il.exr");
        for arguments in [&["status", &name][..], &["status", &name, "--json"], &[&name]] {
            let run = studio.ws(arguments);
            assert_eq!(run.output.status.code(), Some(2), "{arguments:?}");
            assert!(!run.stderr().contains(mark), "{}", run.stderr());
        }
    }
}

#[test]
fn publishing_the_same_bytes_again_succeeds_and_says_so() {
    let studio = Studio::new();
    studio.asset("Table", 2, 1000);
    let first = studio.ws(&["publish", "Table", "--json"]).ok().json();
    assert_eq!(first["already"], false);
    let before = studio.snapshot("repos/review");
    let again = studio.ws(&["publish", "Table", "--json"]).ok().json();
    assert_eq!(
        (&again["already"], &again["wheel"]["sha256"]),
        (&true.into(), &first["wheel"]["sha256"])
    );
    assert!(
        studio
            .ws(&["publish", "Table"])
            .ok()
            .stdout()
            .contains("already published")
    );
    assert_eq!(studio.snapshot("repos/review"), before, "nothing was added");
    studio.write("ws/outputs/table/src/table/more.py", b"x = 1\n");
    studio
        .ws(&["publish", "Table", "--json"])
        .fails(5, "repo::release_exists");
}

#[test]
fn the_author_is_the_account_and_not_what_a_variable_says() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    let mut publish = studio.command(&["-w", "ws", "publish", "Table"]);
    publish.env_remove("BACKLOT_AUTHOR").env("USER", "somebody-else");
    backlot_tests::run_command(&mut publish).ok();
    let shown = studio.ws(&["show", "Table", "--json"]).ok().json();
    let author = shown["releases"][0]["published"]["author"]
        .as_str()
        .expect("an author")
        .to_owned();
    let id = std::process::Command::new("id")
        .arg("-un")
        .output()
        .expect("id runs");
    assert_eq!(author, String::from_utf8_lossy(&id.stdout).trim());
}

/// Publish from a new workspace as an account of a number; the author that is recorded. Needs root.
fn author_as(studio: &Studio, id: u32) -> String {
    use std::os::unix::process::CommandExt as _;
    let name = format!("by{id}");
    // Where it was built, others may not look.
    let program = studio.path("backlot");
    fs::copy(backlot_tests::binary(), &program).expect("copied");
    for arguments in [
        &["init", &name][..],
        &["-w", &name, "repo", "add", "drop", &format!("{name}-drop")],
        &["-w", &name, "new", "Table"],
        &["-w", &name, "publish", "Table", "--to", "drop"],
    ] {
        let ours = studio.command(arguments);
        let mut command = std::process::Command::new(&program);
        command
            .args(arguments)
            .current_dir(studio.root())
            .env_clear()
            .envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .env_remove("BACKLOT_AUTHOR")
            .env("USER", "somebody-else")
            .env("LOGNAME", "somebody-else")
            .env("BACKLOT_CACHE_DIR", studio.path(&format!("cache-{id}")))
            .uid(id);
        backlot_tests::run_command(&mut command).ok();
    }
    let shown = studio.run(&["-w", &name, "show", "Table", "--json"]).ok().json();
    shown["releases"][0]["published"]["author"]
        .as_str()
        .expect("an author")
        .to_owned()
}

#[test]
fn the_author_is_the_name_of_the_account_by_the_system_or_its_number() {
    if !rustix::process::getuid().is_root() {
        return;
    }
    let studio = Studio::empty();
    let open: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(studio.root(), open).expect("set");
    // 1 is `daemon` everywhere; nobody has the other.
    assert_eq!(author_as(&studio, 1), "daemon");
    assert_eq!(author_as(&studio, 3_141_592), "uid-3141592");
}

#[test]
fn too_many_open_files_are_told_as_such_and_a_low_soft_limit_is_raised() {
    let studio = Studio::new();
    studio.asset("Table", 40, 1000);
    let limited = |limit: &str, arguments: &[&str]| {
        let mut shell = std::process::Command::new("sh");
        let line = format!("{limit}; exec \"$0\" \"$@\"");
        let ours = studio.command(&[]);
        shell
            .args(["-c", &line])
            .arg(backlot_tests::binary())
            .args(arguments);
        shell.current_dir(studio.root()).env_clear();
        shell.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
        backlot_tests::run_command(&mut shell)
    };
    limited("ulimit -S -n 12", &["-w", "ws", "publish", "Table"]).ok();
    // Some limit lets it begin and not end; below, the system does not even load it.
    let mut told = Vec::new();
    for limit in 4..40 {
        let run = limited(
            &format!("ulimit -n {limit}"),
            &["-w", "ws", "verify", "--cache", "--remote", "--json"],
        );
        if run.output.status.success() {
            break;
        }
        if let Ok(report) = serde_json::from_str::<serde_json::Value>(&run.stdout()) {
            told.push((
                limit,
                report["error"]["code"].clone(),
                report["error"]["message"].clone(),
            ));
        }
    }
    assert!(
        told.iter().any(|(_, code, _)| code == "file::too_many_open"),
        "{told:#?}"
    );
    let wrong = ["store::corrupt", "workspace::none", "verify::damage_found"];
    assert!(
        told.iter()
            .all(|(_, code, _)| !wrong.iter().any(|wrong| code == wrong)),
        "{told:#?}"
    );
}

#[test]
fn a_collection_without_graces_has_to_be_told_that_nobody_else_writes() {
    let studio = Studio::new();
    studio.asset("Table", 2, 1_000);
    studio.ws(&["publish", "Table"]).ok();
    for age in ["--young", "--grace"] {
        let gc = ["gc", "--remote", age, "59m"];
        let error = studio
            .ws(&[&gc[..], &["--json"]].concat())
            .fails(2, "gc::other_writers");
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains(age) && message.contains("main"), "{message}");
        studio.ws(&[&gc[..], &["--dry-run"]].concat()).ok();
        studio.ws(&[&gc[..], &["--no-other-writers"]].concat()).ok();
        studio.ws(&["gc", "--remote", age, "60m"]).ok();
    }
}
