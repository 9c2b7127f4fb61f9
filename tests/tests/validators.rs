//! Checks that assets declare: at a publish, by themselves, and on what a cascade built.

use backlot_tests::Studio;
use backlot_tests::chain::release;
use backlot_tests::rebuilds::{asset, cascade, first, module, publish, source, stage, statuses, versions};
use fs_err as fs;
use serde_json::Value;

/// Declare checks in the `asset.toml` of an asset.
fn declare(studio: &Studio, folder: &str, text: &str) {
    let path = studio.path(&format!("{folder}/asset.toml"));
    let before = fs::read_to_string(&path).expect("an asset");
    let own = before.split("\n[[backlot.validate]]").next().unwrap_or_default();
    fs::write(&path, format!("{own}\n{text}")).expect("written");
}

const TABLE: &str = "ws/outputs/table/src/table";

/// The outcomes of a report, as `frames.complete fail`.
fn outcomes(report: &Value) -> Vec<String> {
    let checks = report["checks"]
        .as_array()
        .unwrap_or_else(|| panic!("{report:#}"));
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    checks
        .iter()
        .map(|check| format!("{} {}", word(&check["check"]), word(&check["outcome"])))
        .collect()
}

#[test]
fn a_publish_is_refused_by_what_a_check_finds_and_only_warned_of_by_its_level() {
    let studio = Studio::new();
    studio.asset("Table", 5, 100);
    fs::remove_file(studio.path(&format!("{TABLE}/frames/f.0002.exr"))).expect("removed");
    studio.ws(&["add", &format!("{TABLE}/frames")]).ok();
    let frames = "[[backlot.validate]]\nid = \"frames.complete\"\nfiles = \"frames/*.exr\"\nparams = { first = 0, last = 4 }\n";
    declare(&studio, TABLE, frames);
    let error = studio
        .ws(&["publish", "Table", "--json"])
        .fails(5, "validate::failed");
    assert!(
        error["message"]
            .as_str()
            .expect("text")
            .contains("frames/f.0002.exr missing"),
        "{error:#}"
    );
    assert!(!studio.path("repos/review/packages/table").exists());
    studio
        .ws(&["publish", "Table", "--dry-run", "--json"])
        .fails(5, "validate::failed");
    let report = studio.ws(&["validate", "Table", "--json"]);
    assert_eq!(report.output.status.code(), Some(5));
    let report = report.json();
    assert_eq!(outcomes(&report), ["frames.complete fail"]);
    assert_eq!(report["checks"][0]["items"][0]["path"], "frames/f.0002.exr");

    // Only a warning here, and refused where nobody looks.
    declare(
        &studio,
        TABLE,
        &format!("{frames}level = \"warn\"\nauto = \"error\"\n"),
    );
    studio.ws(&["validate", "Table"]).ok();
    studio.ws(&["validate", "Table", "--auto", "--json"]).json();
    assert_eq!(
        studio.ws(&["validate", "Table", "--auto"]).output.status.code(),
        Some(5)
    );
    let published = studio.ws(&["publish", "Table"]).ok();
    assert!(
        published.stderr().contains("f.0002.exr missing"),
        "{}",
        published.stderr()
    );
    // A change of inputs leaves the declaration where it is.
    studio.ws(&["new", "Chair"]).ok();
    studio.ws(&["input", "add", "Table", "Chair"]).ok();
    assert_eq!(
        outcomes(&studio.ws(&["validate", "Table", "--json"]).ok().json()),
        ["frames.complete fail"]
    );
}

#[test]
fn a_program_refuses_crashes_or_takes_too_long_and_each_is_told_apart() {
    let studio = Studio::new();
    studio.asset("Table", 2, 100);
    let check = |script: &str, more: &str| {
        studio.write(&format!("{TABLE}/check.sh"), script.as_bytes());
        let text =
            format!("[[backlot.validate]]\nid = \"studio.look\"\ncommand = [\"sh\", \"check.sh\"]\n{more}");
        declare(&studio, TABLE, &text);
        studio.ws(&["validate", "Table", "--json"])
    };
    // It gets the files with their places, and the parameters.
    let script =
        "read -r request; case \"$request\" in *frames/f.0001.exr*\\\"limit\\\":7*) exit 0;; esac; exit 1\n";
    let passed = check(script, "params = { limit = 7 }\n").ok().json();
    assert_eq!(outcomes(&passed), ["studio.look pass"]);
    let refused = check(
        "echo '{\"path\": \"frames/f.0000.exr\", \"message\": \"too dark\"}'; echo and dull; exit 1\n",
        "",
    );
    assert_eq!(refused.output.status.code(), Some(5));
    let items = &refused.json()["checks"][0]["items"];
    assert_eq!(
        (&items[0]["message"], &items[1]["message"]),
        (&"too dark".into(), &"and dull".into())
    );
    let crashed = check("echo no such module >&2; exit 3\n", "");
    assert_eq!(crashed.output.status.code(), Some(6));
    assert_eq!(
        crashed.json()["checks"][0]["items"][0]["message"],
        "it ended with 3: no such module"
    );
    studio
        .ws(&["publish", "Table", "--json"])
        .fails(6, "validate::crashed");
    let slow = check("sleep 60 & sleep 60\n", "timeout = 1\n");
    assert_eq!(outcomes(&slow.json()), ["studio.look timeout"]);
    // It reads nothing and prints without end.
    let endless = check("yes | head -c 3000000; exit 0\n", "");
    assert_eq!(outcomes(&endless.ok().json()), ["studio.look pass"]);
}

#[test]
fn a_check_that_is_declared_wrongly_is_an_error_and_never_passed_over() {
    let studio = Studio::new();
    studio.asset("Table", 1, 100);
    for (text, told) in [
        ("id = \"frames.complet\"", "is it `frames.complete`?"),
        ("id = \"names.portable\"\nlevle = \"warn\"", "levle"),
        (
            "id = \"names.portable\"\nparams = { shortest = 1 }",
            "no parameter `shortest`",
        ),
        ("id = \"x\"\ncommand = []", "is empty"),
        ("id = \"size.budget\"", "needs `bytes`"),
    ] {
        declare(&studio, TABLE, &format!("[[backlot.validate]]\n{text}\n"));
        let error = studio
            .ws(&["publish", "Table", "--json"])
            .fails(3, "validate::bad_check");
        assert!(
            error["message"].as_str().expect("text").contains(told),
            "{told}: {error:#}"
        );
    }
}

#[test]
fn what_a_cascade_built_is_checked_more_strictly_and_a_refusal_blocks_what_follows() {
    let studio = Studio::empty();
    source(&studio, "a");
    asset(&studio, "b", &["a"]);
    stage(&studio, "b", "", &["a/code.py"]);
    let folder = module("b");
    studio.write(
        &format!("{folder}/check.sh"),
        b"grep -q 1.2 made.txt && exit 1; exit 0\n",
    );
    declare(
        &studio,
        &folder,
        "[[backlot.validate]]\nid = \"studio.look\"\ncommand = [\"sh\", \"check.sh\"]\nlevel = \"info\"\nauto = \"error\"\n",
    );
    publish(&studio, "b", "1.0");
    first(&studio, "c", &["b"], &["b/made.txt"]);
    release(&studio, "a", "1.1");
    let report = cascade(&studio, "a", &["run", "a==1.1"]).ok().json();
    assert_eq!(
        statuses(&report["summary"]),
        ["b released 1.0.1", "c released 1.0.1"]
    );
    release(&studio, "a", "1.2");
    let failed = cascade(&studio, "a", &["run", "a==1.2"]);
    assert_eq!(failed.output.status.code(), Some(5));
    let report = failed.json();
    assert_eq!(statuses(&report["summary"]), ["b failed", "c blocked"]);
    assert_eq!(
        report["summary"]["causes"][0]["failure"]["kind"], "invalid",
        "{report:#}"
    );
    assert_eq!(versions(&studio, "b"), ["1.0", "1.0.1"]);
    // The same content is not tried again.
    let id = report["cascade"].as_str().expect("an id");
    let explained = cascade(&studio, "a", &["explain", id, "b"]).ok().json();
    let history = explained["history"].as_array().expect("a history");
    let failures = history
        .iter()
        .filter(|entry| entry["what"]["node_event"] == "failed");
    assert_eq!(failures.count(), 1, "{explained:#}");
}
