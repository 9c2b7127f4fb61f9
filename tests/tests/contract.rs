//! What programs rely on: one JSON object, also for wrong usage; exit codes; the same request twice.

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
    for wrong in [
        &["publsh", "--json"][..],
        &["--json", "repo", "add"],
        &["publish", "--json", "--no-such"],
        &["--json"],
    ] {
        let run = studio.ws(wrong);
        assert_eq!(run.json()["schema"], 1, "{wrong:?}");
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
