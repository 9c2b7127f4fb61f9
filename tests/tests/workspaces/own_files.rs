//! An installed asset pulls its own files: `python -m table`.

use backlot_tests::{Run, Studio, binary, run_command};

/// Run `python -m table` in the environment of a workspace, from a folder that is in none.
fn python(studio: &Studio, run: &[&str], program: Option<&std::path::Path>, more: &[&str]) -> Run {
    let mut command = studio.command(&[run, &["python", "-m", "table"], more].concat());
    command.env("PATH", "/usr/bin:/bin");
    if let Some(program) = program {
        command.env("BACKLOT_PROGRAM", program);
    }
    run_command(&mut command)
}

#[test]
fn an_installed_asset_pulls_its_files_where_it_is_installed_and_some_of_them() {
    let studio = Studio::new();
    studio.asset("Table", 6, 2_000);
    studio.ws(&["publish", "Table"]).ok();
    studio.workspace("other");
    studio.run(&["-w", "other", "install", "Table"]).ok();
    let run = ["-w", "other", "run"];
    let absent = python(&studio, &run, None, &[]);
    assert_eq!(absent.output.status.code(), Some(1));
    assert!(
        absent.stderr().contains("pip install backlot"),
        "{}",
        absent.stderr()
    );
    let program = binary();
    let planned = python(&studio, &run, Some(&program), &["--dry-run", "--json"]);
    assert_eq!(planned.ok().json()["assets"][0]["files"], 6);
    assert_eq!(studio.pulled_frames("other"), 0);
    python(&studio, &run, Some(&program), &["--frames", "1-2"]).ok();
    assert_eq!(studio.pulled_frames("other"), 2);
    python(&studio, &run, Some(&program), &[]).ok();
    assert_eq!(studio.pulled_frames("other"), 6);
    // A release without a workspace; and what the command says is what the program ends with.
    let with = ["-w", "other", "run", "--with", "Table==0.1.0", "--"];
    let pulled = python(&studio, &with, Some(&program), &["--json"]).ok().json();
    assert_eq!(pulled["assets"][0]["placed"], 6, "{pulled:#}");
    let wrong = python(&studio, &run, Some(&program), &["--no-such-option", "--json"]);
    wrong.fails(2, "command::usage");
}
