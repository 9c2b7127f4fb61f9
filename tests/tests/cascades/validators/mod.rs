//! Checks declared by assets: at a publish, on their own, and on builds of cascades.

mod contents;
mod provided;
mod repairs;

use std::path::{Path, PathBuf};

use backlot_tests::Studio;
use backlot_tests::chain::release;
use backlot_tests::rebuilds::{asset, cascade, first, module, publish, source, stage, statuses, versions};
use exr::prelude::{f16, write_rgb_file};
use fs_err as fs;
use serde_json::Value;

/// Declare checks in the `asset.toml` of an asset.
fn declare(studio: &Studio, folder: &str, text: &str) {
    let path = studio.path(&format!("{folder}/asset.toml"));
    let before = fs::read_to_string(&path).expect("an asset");
    let own = before.split("\n[[backlot.").next().unwrap_or_default();
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

/// An EXR frame of one value.
fn exr(path: &Path, width: usize, value: f32) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    let value = f16::from_f32(value);
    write_rgb_file(path, width, 9, |_, _| (value, value, value)).expect("written");
}

/// An asset in `ws` with these EXR frames, tracked.
fn render(studio: &Studio, values: &[f32]) {
    studio.ws(&["new", "Table", "--type", "Render"]).ok();
    for (number, value) in values.iter().enumerate() {
        exr(
            &studio.path(&format!("{TABLE}/frames/f.{number:04}.exr")),
            16,
            *value,
        );
    }
    studio.ws(&["add", &format!("{TABLE}/frames")]).ok();
}

fn frame(studio: &Studio, number: u32) -> PathBuf {
    studio.path(&format!("{TABLE}/frames/f.{number:04}.exr"))
}

fn check(id: &str) -> String {
    format!("[[backlot.validate]]\nid = \"{id}\"\n")
}

/// The report of `validate Table`, however it ends.
fn report(studio: &Studio, arguments: &[&str]) -> Value {
    studio
        .ws(&[&["validate", "Table", "--json"], arguments].concat())
        .json()
}

/// Path and message of the findings of a check.
fn items(report: &Value, id: &str) -> Vec<String> {
    let checks = report["checks"].as_array().expect("checks");
    let found = checks
        .iter()
        .find(|one| one["check"] == id)
        .expect("the check ran");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let items = found["items"].as_array().expect("items").iter();
    items
        .map(|item| {
            format!("{} {}", text(&item["path"]), text(&item["message"]))
                .trim()
                .to_owned()
        })
        .collect()
}

/// A waiver of a check until a day.
fn waiver(id: &str, until: &str, more: &str) -> String {
    format!(
        "[[backlot.waive]]\ncheck = \"{id}\"\nreason = \"one firefly\"\nby = \"ana\"\nuntil = {until}\n{more}"
    )
}

#[test]
fn a_waiver_lets_through_what_it_names_until_its_day_and_is_recorded() {
    let studio = Studio::new();
    render(&studio, &[f32::NAN, 0.2, f32::INFINITY]);
    let with = |waivers: &str| declare(&studio, TABLE, &format!("{}{waivers}", check("frames.finite")));
    with(&waiver("frames.finite", "2001-01-01", ""));
    let error = studio
        .ws(&["publish", "Table", "--json"])
        .fails(5, "validate::failed");
    let message = error["message"].as_str().expect("text");
    assert!(
        message.contains("the waiver by ana ended on 2001-01-01"),
        "{message}"
    );
    // One file of two.
    with(&waiver(
        "frames.finite",
        "2999-12-31",
        "files = \"*f.0000.exr\"\n",
    ));
    studio
        .ws(&["publish", "Table", "--json"])
        .fails(5, "validate::failed");
    let half = report(&studio, &[]);
    let checked = &half["checks"][0];
    assert_eq!(
        (&checked["waived"], &checked["waivers"][0]["state"]),
        (&false.into(), &"active".into())
    );
    let waived: Vec<bool> = checked["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| item["waived"] == true)
        .collect();
    assert!(waived.contains(&true) && waived.contains(&false), "{checked:#}");
    for (bad, told) in [
        (waiver("frames.finite", "2999-12-31", "because = 1\n"), "because"),
        (waiver("frames.finite", "\"soon\"", ""), "not a day"),
    ] {
        with(&bad);
        let error = studio
            .ws(&["publish", "Table", "--json"])
            .fails(3, "validate::bad_check");
        assert!(
            error["message"].as_str().expect("text").contains(told),
            "{error:#}"
        );
    }

    with(
        &[
            waiver("frames.finite", "2999-12-31", ""),
            waiver("names.portable", "2999-12-31", ""),
        ]
        .concat(),
    );
    let shown = studio.ws(&["validate", "Table"]).ok();
    assert!(
        shown.stdout().contains("waived  frames.finite"),
        "{}",
        shown.stdout()
    );
    let said = studio.ws(&["publish", "Table"]).ok().stderr();
    assert!(
        said.contains("waived by ana until 2999-12-31: one firefly"),
        "{said}"
    );
    assert!(
        said.contains("unused waiver: no check `names.portable` was run"),
        "{said}"
    );
    let shown = studio.ws(&["show", "Table", "--json"]).ok().json();
    let recorded = &shown["releases"][0]["published"]["checks"][0];
    assert_eq!(
        (&recorded["check"], &recorded["outcome"]),
        (&"frames.finite".into(), &"fail".into())
    );
    assert_eq!(recorded["waived"]["by"], "ana", "{recorded:#}");
    let text = studio.ws(&["show", "Table"]).ok();
    let line = "frames.finite fail (error), waived by ana until 2999-12-31: one firefly";
    assert!(text.stdout().contains(line), "{}", text.stdout());
    // The same again is the same release.
    let again = studio.ws(&["publish", "Table", "--json"]).ok().json();
    assert_eq!(again["already"], true);
}

/// Name the asset with the studio's checks in a section of the `backlot.toml` of `ws`.
fn name_checks(studio: &Studio, section: &str, asset: &str) {
    let path = studio.path("ws/backlot.toml");
    let text = fs::read_to_string(&path).expect("a workspace");
    let head = format!("{section}\n");
    assert!(text.contains(&head), "{text}");
    fs::write(
        &path,
        text.replace(&head, &format!("{head}checks = \"{asset}\"\n")),
    )
    .expect("written");
}

/// An asset `Rules` in `ws` with checks for all.
fn rules(studio: &Studio, text: &str) {
    studio.ws(&["new", "Rules"]).ok();
    set_rules(studio, text);
}

fn set_rules(studio: &Studio, text: &str) {
    let path = studio.path("ws/outputs/rules/src/rules/asset.toml");
    let before = fs::read_to_string(&path).expect("an asset");
    let own = before
        .split("\n[[backlot.studio-check]]")
        .next()
        .unwrap_or_default();
    fs::write(&path, format!("{own}\n{text}")).expect("written");
}

#[test]
fn a_studios_checks_are_added_raise_levels_and_are_lowered_by_no_asset() {
    let studio = Studio::new();
    studio.asset("Table", 5, 100);
    fs::remove_file(frame(&studio, 2)).expect("removed");
    studio.ws(&["add", &format!("{TABLE}/frames")]).ok();
    let complete = "id = \"frames.complete\"\nfiles = \"frames/*.exr\"\n";
    let shared = |more: &str| {
        format!("[[backlot.studio-check]]\n{complete}applies = {{ names = [\"table\"] }}\n{more}")
    };
    rules(&studio, &shared(""));
    studio.ws(&["validate", "Table"]).ok();
    name_checks(&studio, "[workspace]", "Rules");
    studio
        .ws(&["publish", "Table", "--json"])
        .fails(5, "validate::failed");
    let one = report(&studio, &[]);
    assert_eq!(one["studio_checks"][0], "rules 0.1.0");
    assert_eq!(one["checks"][0]["from"], "rules 0.1.0");
    // The same check, declared lower, runs once and counts as the studio says.
    declare(
        &studio,
        TABLE,
        &format!("[[backlot.validate]]\n{complete}level = \"info\"\n"),
    );
    let merged = report(&studio, &[]);
    assert_eq!(outcomes(&merged), ["frames.complete fail"]);
    assert_eq!(merged["checks"][0]["level"], "error");
    // One that looks at less does not take its place.
    declare(
        &studio,
        TABLE,
        "[[backlot.validate]]\nid = \"frames.complete\"\nfiles = \"frames/f.0000.exr\"\n",
    );
    assert_eq!(
        outcomes(&report(&studio, &[])),
        ["frames.complete pass", "frames.complete fail"]
    );
    // A waiver lowers it, unless the studio forbids that.
    declare(
        &studio,
        TABLE,
        &format!(
            "[[backlot.validate]]\nid = \"names.portable\"\n{}",
            waiver("frames.complete", "2999-01-01", "")
        ),
    );
    studio.ws(&["validate", "Table"]).ok();
    set_rules(&studio, &shared("waivable = false\n"));
    let refused = report(&studio, &[]);
    assert_eq!(
        refused["checks"][1]["waivers"][0]["state"], "not-allowed",
        "{refused:#}"
    );
    studio
        .ws(&["publish", "Table", "--json"])
        .fails(5, "validate::failed");
    // It is for those that it applies to, and at its own level.
    set_rules(&studio, &shared("level = \"warn\"\n"));
    studio.ws(&["validate", "Rules"]).ok();
    assert_eq!(
        outcomes(&studio.ws(&["validate", "Rules", "--json"]).ok().json()),
        Vec::<String>::new()
    );
}

#[test]
fn a_studios_checks_have_programs_of_their_own_and_wrong_or_absent_ones_are_an_error() {
    let studio = Studio::new();
    studio.asset("Table", 1, 100);
    rules(&studio, "");
    name_checks(&studio, "[workspace]", "Rules");
    studio.write(
        "ws/outputs/rules/src/rules/look.sh",
        b"test -d \"$1\" || exit 3; echo '{\"message\": \"no\"}'; exit 1\n",
    );
    set_rules(
        &studio,
        "[[backlot.studio-check]]\nid = \"studio.look\"\ncommand = [\"sh\", \"{checks}/look.sh\", \"{checks}\"]\nlevel = \"warn\"\n",
    );
    assert_eq!(items(&report(&studio, &[]), "studio.look"), ["no"]);
    set_rules(
        &studio,
        "[[backlot.studio-check]]\nid = \"names.portable\"\nlevel = \"loud\"\n",
    );
    studio
        .ws(&["publish", "Table", "--json"])
        .fails(3, "validate::bad_check");
    name_checks(&studio, "[repos.review]", "Absent");
    let missing = studio
        .ws(&["publish", "Table", "--json"])
        .fails(3, "validate::checks_not_installed");
    assert!(
        missing["message"].as_str().expect("text").contains("absent"),
        "{missing:#}"
    );
}

#[test]
fn a_copy_into_a_repo_with_checks_is_checked_first_and_recorded() {
    let studio = Studio::new();
    rules(
        &studio,
        "[[backlot.studio-check]]\nid = \"frames.finite\"\napplies = { type = [\"Render\"] }\nlevel = \"info\"\npromote = \"error\"\n[[backlot.studio-check]]\nid = \"release.no-pre-release\"\n",
    );
    studio.ws(&["publish", "Rules"]).ok();
    name_checks(&studio, "[repos.blessed]", "Rules");
    render(&studio, &[0.1, f32::NAN]);
    studio.ws(&["publish", "Table", "--bump", "minor,rc"]).ok();
    let to_blessed = |what: &str, more: &[&str]| {
        studio.ws(&[
            &["copy", what, "--from", "review", "--to", "blessed", "--json"],
            more,
        ]
        .concat())
    };
    let pre = "Table==0.2.0rc0";
    let error = to_blessed(pre, &["--dry-run"]).fails(5, "validate::failed");
    let message = error["message"].as_str().expect("text");
    assert!(
        message.contains("NaN") && message.contains("is a pre-release"),
        "{message}"
    );
    to_blessed(pre, &[]).fails(5, "validate::failed");
    assert!(!studio.path("repos/blessed/packages/table").exists());
    // With a waiver, and a final version.
    declare(&studio, TABLE, &waiver("frames.finite", "2999-12-31", ""));
    studio.ws(&["bump", "Table", "1.0"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    let copied = to_blessed("Table==1.0", &[]).ok().json();
    assert_eq!(copied["checks"][0]["occasion"], "promotion", "{copied:#}");
    assert_eq!(copied["checks"][0]["checks"][0]["waived"], true);
    let shown = studio.ws(&["show", "Table==1.0", "--json"]).ok().json();
    let fact = &shown["releases"][0]["published"];
    assert_eq!(fact["checks"][0]["waived"]["by"], "ana", "{shown:#}");
    // Nothing of it stays in the cache, and none of the frames is missing in the target's remote.
    let left = fs::read_dir(studio.path("cache/promotions")).expect("made");
    assert_eq!(
        left.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_dir()))
            .count(),
        0
    );
    // A publish there is judged by it as well, with the version that it would get.
    studio
        .ws(&[
            "publish", "Table", "--to", "blessed", "--bump", "minor,rc", "--json",
        ])
        .fails(5, "validate::failed");
}

#[test]
fn the_studios_checks_count_for_what_a_cascade_builds() {
    let studio = Studio::empty();
    source(&studio, "a");
    asset(&studio, "b", &["a"]);
    stage(&studio, "b", "", &["a/code.py"]);
    publish(&studio, "b", "1.0");
    // The studio's checks come from the repo, installed where the cascade is started.
    asset(&studio, "rules", &[]);
    studio.write(
        &format!("{}/look.sh", module("rules")),
        b"grep -q 1.2 made.txt && exit 1; exit 0\n",
    );
    let path = studio.path(&format!("{}/asset.toml", module("rules")));
    let own = fs::read_to_string(&path).expect("an asset");
    let shared = "[[backlot.studio-check]]\nid = \"studio.look\"\ncommand = [\"sh\", \"{checks}/look.sh\"]\nlevel = \"info\"\nauto = \"error\"\napplies = { names = [\"b\"] }\n";
    fs::write(&path, format!("{own}\n{shared}")).expect("written");
    publish(&studio, "rules", "1.0");
    let config = studio.path("a/backlot.toml");
    let text = fs::read_to_string(&config).expect("a workspace");
    fs::write(
        &config,
        text.replace("[workspace]\n", "[workspace]\nchecks = \"rules\"\n"),
    )
    .expect("written");
    studio.run(&["-w", "a", "install", "rules"]).ok();
    release(&studio, "a", "1.1");
    let done = cascade(&studio, "a", &["run", "a==1.1"]).ok().json();
    assert_eq!(statuses(&done["summary"]), ["b released 1.0.1"]);
    let shown = studio.run(&["-w", "b", "show", "b==1.0.1", "--json"]).ok().json();
    let recorded = &shown["releases"][0]["published"]["checks"][0];
    assert_eq!(
        (&recorded["from"], &recorded["outcome"]),
        (&"rules 1.0".into(), &"pass".into()),
        "{shown:#}"
    );
    release(&studio, "a", "1.2");
    let failed = cascade(&studio, "a", &["run", "a==1.2"]).json();
    assert_eq!(statuses(&failed["summary"]), ["b failed"]);
    assert_eq!(
        failed["summary"]["causes"][0]["failure"]["kind"], "invalid",
        "{failed:#}"
    );
}
