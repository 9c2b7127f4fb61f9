//! Repairs declared by checks: they work on a copy, are shown, and are applied only if the checks then pass.

use backlot_tests::Studio;
use backlot_tests::chain::{at, decisions, dirty, release};
use backlot_tests::rebuilds::{
    asset, cascade, first, inputs, made, module, publish, source, stage, statuses, versions,
};
use fs_err as fs;
use serde_json::Value;

use super::{TABLE, declare, outcomes};

/// A check that finds `bad` in a file, and its repair.
fn words(file: &str, fix: &str) -> String {
    format!(
        "[[backlot.validate]]\nid = \"studio.words\"\nfiles = \"{file}\"\ncommand = [\"sh\", \"check.sh\", \"{file}\"]\nrepair = [\"sh\", \"-c\", \"{fix}\"]\n"
    )
}

const CHECK: &[u8] =
    b"grep -q bad \"$1\" || exit 0\necho '{\"path\": \"'\"$1\"'\", \"message\": \"a bad word\"}'\nexit 1\n";

fn changes(report: &Value) -> Vec<String> {
    let changes = report["changes"]
        .as_array()
        .unwrap_or_else(|| panic!("{report:#}"))
        .iter();
    changes
        .map(|change| format!("{} {}", change["kind"], change["path"]).replace('"', ""))
        .collect()
}

#[test]
fn a_repair_works_in_a_copy_is_shown_and_is_taken_over_when_that_is_said() {
    let studio = Studio::new();
    studio.asset("Table", 2, 100);
    studio.write(&format!("{TABLE}/check.sh"), CHECK);
    studio.write(&format!("{TABLE}/notes.txt"), b"one\na bad one\nthree\n");
    // It gets what was found, and nothing of the output itself.
    let fix = "read -r request; case $request in *a\\\\ bad\\\\ word*) sed -i s/bad/good/ notes.txt;; esac; echo fixed > new.txt";
    declare(&studio, TABLE, &words("notes.txt", fix));
    let before = studio.snapshot("ws/outputs");
    let shown = studio.ws(&["validate", "Table", "--repair", "--json"]);
    assert_eq!(shown.output.status.code(), Some(5), "{}", shown.stderr());
    let shown = shown.json();
    assert_eq!(
        changes(&shown),
        ["added src/table/new.txt", "changed src/table/notes.txt"]
    );
    assert_eq!(
        shown["changes"][1]["lines"],
        serde_json::json!(["@@ line 2 @@", "-a bad one", "+a good one"])
    );
    assert_eq!(outcomes(&shown["after"]), ["studio.words pass"]);
    assert_eq!(shown["applied"], false);
    let text = studio.ws(&["validate", "Table", "--repair"]);
    assert_eq!(text.output.status.code(), Some(5), "nobody was there to agree");
    assert!(
        text.stdout().contains("+a good one") && text.stdout().contains("use `--yes` to apply the changes"),
        "{}",
        text.stdout()
    );
    assert!(before == studio.snapshot("ws/outputs"), "the output is as it was");

    let done = studio
        .ws(&["validate", "Table", "--repair", "--yes", "--json"])
        .ok()
        .json();
    assert_eq!(
        (&done["applied"], changes(&done)),
        (&true.into(), changes(&shown))
    );
    let own = |name: &str| fs::read_to_string(studio.path(&format!("{TABLE}/{name}"))).expect("there");
    assert_eq!(own("notes.txt"), "one\na good one\nthree\n");
    assert_eq!(own("new.txt"), "fixed\n");
    let kept = format!(
        "ws/{}/src/table/notes.txt",
        done["kept"].as_str().expect("a folder")
    );
    let kept = fs::read_to_string(studio.path(&kept)).expect("what was there is kept");
    assert_eq!(kept, "one\na bad one\nthree\n");
    assert!(
        studio.snapshot("ws/.backlot/repairs").is_empty(),
        "the copy is gone"
    );
    // Nothing is left to be repaired.
    let again = studio
        .ws(&["validate", "Table", "--repair", "--yes", "--json"])
        .ok()
        .json();
    assert_eq!(changes(&again), [""; 0]);
    studio.ws(&["publish", "Table"]).ok();
}

#[test]
fn a_tracked_file_is_repaired_without_a_touch_of_the_cache() {
    let studio = Studio::new();
    studio.asset("Table", 2, 100);
    studio.write(&format!("{TABLE}/check.sh"), CHECK);
    studio.write(&format!("{TABLE}/data/a.txt"), b"a bad one\n");
    studio.write(&format!("{TABLE}/data/b.txt"), b"another\n");
    studio.ws(&["add", &format!("{TABLE}/data")]).ok();
    declare(
        &studio,
        TABLE,
        &words("data/a.txt", "sed -i s/bad/good/ data/a.txt"),
    );
    let cache = studio.snapshot("cache/files");
    let done = studio
        .ws(&["validate", "Table", "--repair", "--yes", "--json"])
        .ok()
        .json();
    assert_eq!(changes(&done), ["changed src/table/data/a.txt"]);
    assert!(
        cache == studio.snapshot("cache/files"),
        "no file of the cache changed"
    );
    studio.ws(&["publish", "Table"]).ok();
    let published = studio.ws(&["diff", "Table", "--json"]).ok().stdout();
    assert!(!published.contains("a.txt"), "it is in the release: {published}");
}

#[test]
fn what_a_repair_does_wrong_is_refused_and_nothing_is_changed() {
    let studio = Studio::new();
    studio.asset("Table", 2, 100);
    studio.write(&format!("{TABLE}/check.sh"), CHECK);
    studio.write(&format!("{TABLE}/notes.txt"), b"a bad one\n");
    let own = "[[backlot.validate]]\nid = \"studio.other\"\ncommand = [\"test\", \"-e\", \"other.txt\"]\n";
    studio.write(&format!("{TABLE}/other.txt"), b"other\n");
    for (fix, code, exit) in [
        // It gives up, crashes, does nothing, corrects one thing and breaks another, or reaches for what it must not have.
        ("echo too bad; exit 1", "validate::not_repaired", 5),
        ("exit 3", "validate::not_repaired", 5),
        ("true", "validate::not_repaired", 5),
        (
            "sed -i s/bad/worse/ notes.txt; rm other.txt",
            "validate::not_repaired",
            5,
        ),
        ("sed -i s/bad/badly/ notes.txt", "validate::not_repaired", 5),
        (
            "sed -i s/bad/good/ notes.txt; ln -s /etc/passwd link.txt",
            "validate::bad_repair",
            5,
        ),
        (
            "sed -i s/bad/good/ notes.txt; mkdir -p frames; echo > frames/f.0001.exr",
            "validate::bad_repair",
            5,
        ),
    ] {
        declare(&studio, TABLE, &format!("{}{own}", words("notes.txt", fix)));
        let before = studio.snapshot("ws/outputs");
        let refused = studio.ws(&["validate", "Table", "--repair", "--yes", "--json"]);
        assert_eq!(
            refused.output.status.code(),
            Some(exit),
            "{fix}: {}",
            refused.stdout()
        );
        // One that is in the report follows it, one that leaves none is the answer.
        let told = format!("{}{}", refused.stdout(), refused.stderr());
        assert!(told.contains(code), "{fix}: {told}");
        assert!(before == studio.snapshot("ws/outputs"), "{fix}");
    }
    // A repair is declared with its check, or it is an error.
    declare(
        &studio,
        TABLE,
        "[[backlot.validate]]\nid = \"names.portable\"\nauto_repair = true\n",
    );
    studio
        .ws(&["validate", "Table", "--json"])
        .fails(3, "validate::bad_check");
    studio
        .ws(&["validate", "Table", "--yes", "--json"])
        .fails(2, "command::usage");
}

#[test]
fn a_cascade_repairs_what_it_built_only_where_both_say_so() {
    repaired_where_both_say_so("pool");
}

#[test]
fn attempts_in_processes_of_their_own_repair_as_well() {
    repaired_where_both_say_so("process");
}

fn repaired_where_both_say_so(executor: &str) {
    let studio = Studio::empty();
    source(&studio, "a");
    asset(&studio, "b", &["a"]);
    stage(&studio, "b", "", &["a/code.py"]);
    let folder = module("b");
    studio.write(
        &format!("{folder}/check.sh"),
        b"grep -q '1[.]2' made.txt && exit 1; exit 0\n",
    );
    let check = |more: &str| {
        let text = format!(
            "[[backlot.validate]]\nid = \"studio.look\"\nfiles = \"made.txt\"\ncommand = [\"sh\", \"check.sh\"]\nrepair = [\"sed\", \"-i\", \"s/1[.]2/one two/\", \"made.txt\"]\n{more}"
        );
        declare(&studio, &folder, &text);
    };
    check("");
    publish(&studio, "b", "1.0");
    first(&studio, "c", &["b"], &["b/made.txt"]);
    release(&studio, "a", "1.2");
    let run = |more: &[&str]| {
        let how = ["--executor", executor];
        cascade(&studio, "a", &[more, &how].concat())
    };
    let failed = run(&["run", "a==1.2", "--auto-repair"]);
    assert_eq!(failed.output.status.code(), Some(5), "the check does not say so");
    assert_eq!(statuses(&failed.json()["summary"]), ["b failed", "c blocked"]);

    check("auto_repair = true\n");
    let path = format!("{folder}/__version__.py");
    studio.write(&path, b"__version__ = \"1.1\"");
    at(&studio, "b", &["publish", "b"]).ok();
    let failed = run(&["run", "a==1.2"]);
    assert_eq!(
        failed.output.status.code(),
        Some(5),
        "whoever runs it does not say so"
    );
    let id = failed.json()["cascade"].as_str().expect("an id").to_owned();
    let done = run(&["resume", &id, "--auto-repair"]).ok().json();
    assert_eq!(
        statuses(&done["summary"]),
        ["b released 1.1.1", "c released 1.0.1"],
        "{done:#}"
    );
    assert_eq!(made(&studio, "b", "1.1.1"), "MADE = \"one two\"\n");
    assert_eq!(
        made(&studio, "c", "1.0.1"),
        "MADE = \"one two\"\n",
        "what follows has it, too"
    );
    assert_eq!(inputs(&studio, "a", "c"), ["a 1.2", "b 1.1.1"]);
    assert_eq!(decisions(&dirty(&studio, "a", &[])), [""; 0]);
    assert_eq!(versions(&studio, "b"), ["1.0", "1.1", "1.1.1"]);
    // The same inputs again give the same content, and no release.
    studio.write(
        &format!("{}/__version__.py", module("a")),
        b"__version__ = \"1.3\"",
    );
    at(&studio, "a", &["publish", "a"]).ok();
    let again = run(&["run", "a==1.3", "--auto-repair"]).ok().json();
    assert_eq!(
        statuses(&again["summary"]),
        ["b unchanged 1.1.1", "c unchanged 1.0.1"]
    );
}
