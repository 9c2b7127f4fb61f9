//! A malicious `dvc.yaml`: it runs nothing unless requested, and is read in bounded time and memory, or refused.

use backlot_tests::memory::watched;
use backlot_tests::{Run, Studio, run_command};
use fs_err as fs;

/// What a command may take to read or refuse a file, in KiB. A debug build of the command takes some of it.
const MOST_KIB: u64 = 700 << 10;

/// Run the command in the workspace `ws`, within its memory.
fn bounded(studio: &Studio, arguments: &[&str]) -> Run {
    let (run, peak) = watched(studio, &[&["-w", "ws"], arguments].concat());
    assert!(peak < MOST_KIB, "{arguments:?}: {peak} KiB");
    run
}

/// Files of a few MiB at most that stand for much more.
fn bombs() -> Vec<(&'static str, String, &'static str)> {
    let long = "x".repeat(1 << 20);
    let many = |count: usize| -> String {
        let items: Vec<String> = (0..count).map(|item| item.to_string()).collect();
        items.join(", ")
    };
    let mut doubled = "vars:\n- a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        doubled.push_str(&format!("- a{level}: &a{level} [{aliases}]\n"));
    }
    vec![
        (
            "aliases of lists",
            format!("{doubled}stages: {{}}\n"),
            "pipeline::syntax",
        ),
        (
            "aliases of a text",
            format!(
                "vars: [{{t: &t {long}, l: [{}]}}]\nstages: {{}}\n",
                "*t, ".repeat(100_000)
            ),
            "pipeline::syntax",
        ),
        (
            "a long text in many stages",
            format!(
                "vars: [{{t: {long}}}]\nstages:\n  a:\n    foreach: [{}]\n    do: {{cmd: 'echo ${{t}}'}}\n",
                many(50_000)
            ),
            "pipeline::template",
        ),
        (
            "a matrix",
            format!(
                "stages:\n  a:\n    matrix: {{x: [{0}], y: [{0}]}}\n    cmd: x\n",
                many(2_000)
            ),
            "pipeline::template",
        ),
        (
            "stages that all wait for all",
            format!(
                "stages:\n  a: {{foreach: [{0}], do: {{cmd: x, outs: ['d/${{item}}']}}}}\n  b: {{foreach: [{0}], do: {{cmd: y, deps: [d]}}}}\n",
                many(4_000)
            ),
            "pipeline::schema",
        ),
        (
            "nesting",
            format!("stages: {}{}\n", "[".repeat(100_000), "]".repeat(100_000)),
            "pipeline::syntax",
        ),
    ]
}

#[test]
fn files_that_stand_for_much_more_are_refused_and_are_in_the_way_of_no_other_asset() {
    let studio = Studio::new();
    for name in ["Bomb", "Good"] {
        studio.ws(&["new", name]).ok();
    }
    let good = "ws/outputs/good/src/good";
    studio.write(
        &format!("{good}/dvc.yaml"),
        b"stages:\n  a: {cmd: cat in > a, deps: [in], outs: [a]}\n",
    );
    for (round, (what, text, code)) in bombs().into_iter().enumerate() {
        assert!(text.len() < 3 << 20, "{what}");
        studio.write("ws/outputs/bomb/src/bomb/dvc.yaml", text.as_bytes());
        studio.write(&format!("{good}/in"), format!("{round}\n").as_bytes());
        let refused = bounded(&studio, &["repro", "Bomb", "--json"]);
        let report = refused.json();
        assert_eq!(report["error"]["code"], code, "{what}: {report:#}");
        assert!(
            refused.output.status.code().is_some_and(|code| code > 0),
            "{what}"
        );
        bounded(&studio, &["repro", "Good"]).ok();
        assert_eq!(
            fs::read_to_string(studio.path(&format!("{good}/a"))).expect("made"),
            format!("{round}\n")
        );
        // It says what is wrong, and what the other asset is like.
        let status = bounded(&studio, &["status", "--json"]);
        assert!(status.stdout().contains("Good"), "{what}: {}", status.stdout());
    }
}

#[test]
fn the_stages_of_a_release_that_is_edited_run_only_when_they_are_asked_to() {
    let studio = Studio::new();
    let ran = studio.path("ran");
    studio.ws(&["new", "Evil"]).ok();
    let text = format!(
        "stages:\n  a:\n    cmd: touch {0}\n    always_changed: true\n  b:\n    cmd: touch {0} b\n    outs: [b]\n",
        ran.display()
    );
    studio.write("ws/outputs/evil/src/evil/dvc.yaml", text.as_bytes());
    studio.ws(&["repro", "Evil"]).ok();
    studio.ws(&["publish", "Evil"]).ok();
    fs::remove_file(&ran).expect("it ran when it was made");

    studio.workspace("other");
    let other = |arguments: &[&str]| {
        let mut command = studio.command(&[&["-w", "other"], arguments].concat());
        command.env("BACKLOT_CACHE_DIR", studio.path("other-cache"));
        run_command(&mut command)
    };
    other(&["install", "Evil"]).ok();
    other(&["edit", "Evil"]).ok();
    for harmless in [
        &["status"][..],
        &["install"],
        &["pull"],
        &["verify"],
        &["dag"],
        &["stage", "list"],
        &["repro", "-n"],
        &["repro", "--plan-json"],
        &["diff", "Evil"],
        &["add", "other/outputs/evil/src/evil/dvc.yaml"],
        &["publish", "Evil", "--dry-run"],
        &["publish", "Evil"],
        &["push"],
    ] {
        // Some of them refuse what is stale.
        other(harmless);
        assert!(!ran.exists(), "{harmless:?}");
    }
    other(&["repro", "Evil"]).ok();
    assert!(ran.exists());
}
