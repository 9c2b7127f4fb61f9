//! Checks provided by installed packages through entry points: functions, programs, and aliases of built-in checks.

use backlot_tests::Studio;
use fs_err as fs;

use super::{TABLE, declare, items, outcomes, report};

const MODULE: &str = "checks/outputs/studiochecks/src/studiochecks";

const LOOK: &[u8] = b"import json
import os

def dark(request):
    print('what it prints is no finding')
    assert json.loads('{}') == {} and request['format'] == 1
    limit = request['params'].get('limit', 10)
    for file in request['files']:
        if file['size'] < limit:
            yield {'path': file['path'], 'message': 'too small', 'expected': limit, 'found': file['size']}

class Deep:
    @staticmethod
    def values(request):
        return {'values': {'bones': 42}}

def word(request):
    return 'a word' if os.path.isdir(request['folder']) else None

def crash(request):
    raise RuntimeError('no such rig')

def slow(request):
    import time
    time.sleep(60)

def endless(request):
    while True:
        yield 'x' * 1000
";

const POINTS: &str = r#"
[project.entry-points."backlot.validator"]
"studio.dark" = "studiochecks.look:dark"
"studio.values" = "studiochecks.look:Deep.values"
"studio.word" = "studiochecks.look:word"
"studio.crash" = "studiochecks.look:crash"
"studio.gone" = "studiochecks.look:gone"
"studio.slow" = "studiochecks.look:slow"
"studio.endless" = "studiochecks.look:endless"
"studio.sh" = "cmd:sh {provider}/studiochecks/check.sh"
"studio.complete" = "builtin:frames.complete"
"#;

/// The package of checks, published and installed in `ws`.
fn studio() -> Studio {
    let studio = Studio::new();
    studio.workspace("checks");
    studio.run(&["-w", "checks", "new", "StudioChecks"]).ok();
    studio.write(&format!("{MODULE}/look.py"), LOOK);
    studio.write(
        &format!("{MODULE}/check.sh"),
        b"read -r request; echo from a program; exit 1\n",
    );
    let project = studio.path("checks/outputs/studiochecks/pyproject.toml");
    let mut text = fs::read_to_string(&project).expect("a project");
    text.push_str(POINTS);
    fs::write(&project, text).expect("written");
    studio
        .run(&["-w", "checks", "publish", "StudioChecks", "--to", "review"])
        .ok();
    studio.ws(&["install", "studiochecks"]).ok();
    studio.asset("Table", 3, 100);
    // A module that is called as one of Python's own is not taken for that.
    studio.write(
        &format!("{TABLE}/json.py"),
        b"raise SystemExit('the json of an asset')\n",
    );
    studio
}

fn check(id: &str, more: &str) -> String {
    format!("[[backlot.validate]]\nid = \"{id}\"\nfiles = \"frames/*\"\n{more}")
}

#[test]
fn functions_programs_and_built_in_checks_of_an_installed_package_are_run() {
    let studio = studio();
    let one = |id: &str, more: &str| {
        declare(&studio, TABLE, &check(id, more));
        report(&studio, &[])
    };
    let dark = one("studio.dark", "params = { limit = 1000 }\n");
    assert_eq!(outcomes(&dark), ["studio.dark fail"]);
    assert_eq!(dark["checks"][0]["provider"], "studiochecks 0.1.0");
    assert_eq!(
        items(&dark, "studio.dark")[0],
        "frames/f.0000.exr too small",
        "{dark:#}"
    );
    assert_eq!(dark["checks"][0]["items"][0]["expected"], "1000");
    studio
        .ws(&["publish", "Table", "--json"])
        .fails(5, "validate::failed");
    assert_eq!(
        outcomes(&one("studio.dark", "params = { limit = 1 }\n")),
        ["studio.dark pass"]
    );
    assert_eq!(
        outcomes(&one("studio.values", "expect = { bones = 42 }\n")),
        ["studio.values pass"]
    );
    assert_eq!(
        outcomes(&one("studio.values", "expect = { bones = 41 }\n")),
        ["studio.values fail"]
    );
    assert_eq!(items(&one("studio.word", ""), "studio.word"), ["a word"]);
    assert_eq!(items(&one("studio.sh", ""), "studio.sh"), ["from a program"]);
    let complete = one("studio.complete", "params = { first = 0, last = 3 }\n");
    assert_eq!(
        items(&complete, "studio.complete"),
        ["frames/f.0003.exr missing"],
        "{complete:#}"
    );
}

#[test]
fn a_function_that_crashes_is_no_refusal_and_one_without_end_is_stopped() {
    let studio = studio();
    let all = [check("studio.crash", ""), check("studio.gone", "")].concat();
    declare(&studio, TABLE, &all);
    let crashed = report(&studio, &[]);
    assert_eq!(outcomes(&crashed), ["studio.crash crash", "studio.gone crash"]);
    assert!(
        items(&crashed, "studio.crash")[0].contains("RuntimeError: no such rig"),
        "{crashed:#}"
    );
    studio
        .ws(&["publish", "Table", "--json"])
        .fails(6, "validate::crashed");
    let all = [
        check("studio.slow", "timeout = 1\n"),
        check("studio.endless", "timeout = 2\n"),
    ]
    .concat();
    declare(&studio, TABLE, &all);
    assert_eq!(
        outcomes(&report(&studio, &[])),
        ["studio.slow timeout", "studio.endless timeout"]
    );
}

#[test]
fn what_nobody_provides_or_two_do_is_an_error_and_so_is_a_function_without_python() {
    let studio = studio();
    declare(&studio, TABLE, &check("studio.drak", ""));
    let error = studio
        .ws(&["validate", "Table", "--json"])
        .fails(3, "validate::bad_check");
    let message = error["message"].as_str().expect("text");
    assert!(message.contains("is it `studio.dark`?"), "{message}");

    studio.run(&["-w", "checks", "new", "Others"]).ok();
    let project = studio.path("checks/outputs/others/pyproject.toml");
    let mut text = fs::read_to_string(&project).expect("a project");
    text.push_str("\n[project.entry-points.\"backlot.validator\"]\n\"studio.dark\" = \"others:dark\"\n");
    fs::write(&project, text).expect("written");
    studio
        .run(&["-w", "checks", "publish", "Others", "--to", "review"])
        .ok();
    studio.ws(&["install", "others"]).ok();
    declare(&studio, TABLE, &check("studio.dark", ""));
    let error = studio
        .ws(&["validate", "Table", "--json"])
        .fails(3, "validate::bad_check");
    let message = error["message"].as_str().expect("text");
    assert!(
        message.contains("is provided by others 0.1.0 and by studiochecks 0.1.0"),
        "{message}"
    );

    studio.run(&["init", "bare", "--python", "none"]).ok();
    let bare = |arguments: &[&str]| studio.run(&[&["-w", "bare"], arguments].concat());
    bare(&["repo", "add", "review", "repos/review"]).ok();
    bare(&["install", "studiochecks"]).ok();
    bare(&["new", "Chair"]).ok();
    let own = |text: &str| declare(&studio, "bare/outputs/chair/src/chair", text);
    own("[[backlot.validate]]\nid = \"studio.word\"\n");
    bare(&["validate", "Chair", "--json"]).fails(3, "validate::no_python");
    bare(&["publish", "Chair", "--json"]).fails(3, "validate::no_python");
    // A program needs none.
    own("[[backlot.validate]]\nid = \"studio.sh\"\nlevel = \"warn\"\n");
    bare(&["validate", "Chair"]).ok();
}
