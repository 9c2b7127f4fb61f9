//! Checks that assets declare: at a publish, by themselves, and on what a cascade built.

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

#[test]
fn frames_are_alike_readable_and_finite_and_what_is_known_of_them_is_not_read_again() {
    let studio = Studio::new();
    render(&studio, &[0.1, 0.2, 0.3, 0.4]);
    let all = ["frames.uniform", "frames.readable", "frames.finite"]
        .map(check)
        .concat();
    declare(&studio, TABLE, &all);
    let fine = report(&studio, &[]);
    assert_eq!(
        outcomes(&fine),
        [
            "frames.uniform pass",
            "frames.readable pass",
            "frames.finite pass"
        ]
    );
    let replace = |number: u32| fs::remove_file(frame(&studio, number)).expect("removed");
    for number in 0..3 {
        replace(number);
    }
    exr(&frame(&studio, 0), 16, f32::NAN);
    exr(&frame(&studio, 1), 32, 0.5);
    let whole = fs::read(frame(&studio, 3)).expect("readable");
    fs::write(frame(&studio, 2), &whole[..whole.len() - 5]).expect("written");
    let found = report(&studio, &[]);
    assert_eq!(
        outcomes(&found),
        [
            "frames.uniform fail",
            "frames.readable fail",
            "frames.finite fail"
        ]
    );
    assert_eq!(
        items(&found, "frames.uniform"),
        ["frames/f.0001.exr its size is 32 x 9, that of most frames 16 x 9"]
    );
    assert_eq!(
        items(&found, "frames.readable"),
        ["frames/f.0002.exr it is truncated"]
    );
    let not_finite = items(&found, "frames.finite");
    assert!(
        not_finite[0].starts_with("frames/f.0000.exr 144 NaN in channel B"),
        "{not_finite:?}"
    );
    // The one that cannot be read is said here, too.
    assert_eq!(
        not_finite.last().expect("one"),
        "frames/f.0002.exr it is truncated"
    );
    // What is known is believed, and read again only where that is asked for.
    let book = studio.path("cache/checks/table/frames.json");
    let known = fs::read_to_string(&book).expect("written");
    fs::write(&book, known.replace("\"nan\":144", "\"nan\":7")).expect("forged");
    assert!(items(&report(&studio, &[]), "frames.finite")[0].contains(" 7 NaN"));
    assert_eq!(items(&report(&studio, &["--fresh"]), "frames.finite"), not_finite);
    fs::write(&book, b"{").expect("damaged");
    assert_eq!(items(&report(&studio, &[]), "frames.finite"), not_finite);

    let wanted = "[[backlot.validate]]\nid = \"frames.uniform\"\nfiles = \"*f.0003.exr\"\nparams = { width = 20, channels = [\"R\", \"A\"] }\n";
    declare(&studio, TABLE, wanted);
    assert_eq!(
        items(&report(&studio, &[]), "frames.uniform"),
        [
            "f.####.exr: its width is 16, not 20",
            "f.####.exr: it has no channel A"
        ]
    );
    // Frames that were not pulled are not passed over.
    declare(&studio, TABLE, &check("frames.readable"));
    for number in 0..3 {
        replace(number);
    }
    assert_eq!(outcomes(&report(&studio, &[])), ["frames.readable skip"]);
    let automatic = studio.ws(&["validate", "Table", "--auto"]);
    assert_eq!(automatic.output.status.code(), Some(5));
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
    assert!(shown.stdout().contains("(waived)"), "{}", shown.stdout());
    let published = studio.ws(&["publish", "Table"]).ok();
    let said = published.stderr();
    assert!(
        said.contains("waived by ana until 2999-12-31: one firefly"),
        "{said}"
    );
    assert!(
        said.contains("its waiver of `names.portable` is for no check that runs"),
        "{said}"
    );
    let shown = studio.ws(&["show", "Table", "--json"]).ok().json();
    let recorded = &shown["status"]["published"]["checks"][0];
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

/// Name a policy in a section of the `backlot.toml` of `ws`.
fn name_policy(studio: &Studio, section: &str, policy: &str) {
    let path = studio.path("ws/backlot.toml");
    let text = fs::read_to_string(&path).expect("a workspace");
    let head = format!("{section}\n");
    assert!(text.contains(&head), "{text}");
    fs::write(
        &path,
        text.replace(&head, &format!("{head}policy = \"{policy}\"\n")),
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
    let own = before.split("\n[[backlot.policy]]").next().unwrap_or_default();
    fs::write(&path, format!("{own}\n{text}")).expect("written");
}

#[test]
fn a_policy_adds_checks_and_raises_levels_and_is_lowered_by_no_asset() {
    let studio = Studio::new();
    studio.asset("Table", 5, 100);
    fs::remove_file(frame(&studio, 2)).expect("removed");
    studio.ws(&["add", &format!("{TABLE}/frames")]).ok();
    let complete = "id = \"frames.complete\"\nfiles = \"frames/*.exr\"\n";
    let policy =
        |more: &str| format!("[[backlot.policy]]\n{complete}applies = {{ names = [\"table\"] }}\n{more}");
    rules(&studio, &policy(""));
    studio.ws(&["validate", "Table"]).ok();
    name_policy(&studio, "[workspace]", "Rules");
    studio
        .ws(&["publish", "Table", "--json"])
        .fails(5, "validate::failed");
    let one = report(&studio, &[]);
    assert_eq!(one["policies"][0], "rules 0.1.0");
    assert_eq!(one["checks"][0]["policy"], "rules 0.1.0");
    // The same check, declared lower, runs once and counts as the policy says.
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
    // A waiver lowers it, unless the policy forbids that.
    declare(
        &studio,
        TABLE,
        &format!(
            "[[backlot.validate]]\nid = \"names.portable\"\n{}",
            waiver("frames.complete", "2999-01-01", "")
        ),
    );
    studio.ws(&["validate", "Table"]).ok();
    set_rules(&studio, &policy("waivable = false\n"));
    let refused = report(&studio, &[]);
    assert_eq!(
        refused["checks"][1]["waivers"][0]["state"], "not-allowed",
        "{refused:#}"
    );
    studio
        .ws(&["publish", "Table", "--json"])
        .fails(5, "validate::failed");
    // It is for those that it applies to, and at its own level.
    set_rules(&studio, &policy("level = \"warn\"\n"));
    studio.ws(&["validate", "Rules"]).ok();
    assert_eq!(
        outcomes(&studio.ws(&["validate", "Rules", "--json"]).ok().json()),
        Vec::<String>::new()
    );
    studio.write(
        "ws/outputs/rules/src/rules/look.sh",
        b"test -d \"$1\" || exit 3; echo '{\"message\": \"no\"}'; exit 1\n",
    );
    set_rules(
        &studio,
        "[[backlot.policy]]\nid = \"studio.look\"\ncommand = [\"sh\", \"{policy}/look.sh\", \"{policy}\"]\nlevel = \"warn\"\n",
    );
    assert_eq!(items(&report(&studio, &[]), "studio.look"), ["no"]);
    set_rules(
        &studio,
        "[[backlot.policy]]\nid = \"names.portable\"\nlevel = \"loud\"\n",
    );
    studio
        .ws(&["publish", "Table", "--json"])
        .fails(3, "validate::bad_check");
    name_policy(&studio, "[repos.review]", "Absent");
    let missing = studio
        .ws(&["publish", "Table", "--json"])
        .fails(3, "validate::no_policy");
    assert!(
        missing["message"].as_str().expect("text").contains("absent"),
        "{missing:#}"
    );
}

#[test]
fn a_copy_into_a_repo_with_a_policy_is_checked_first_and_recorded() {
    let studio = Studio::new();
    rules(
        &studio,
        "[[backlot.policy]]\nid = \"frames.finite\"\napplies = { type = [\"Render\"] }\nlevel = \"info\"\npromote = \"error\"\n[[backlot.policy]]\nid = \"release.no-pre-release\"\n",
    );
    studio.ws(&["publish", "Rules"]).ok();
    name_policy(&studio, "[repos.blessed]", "Rules");
    render(&studio, &[0.1, f32::NAN]);
    studio.ws(&["publish", "Table", "--bump", "rc"]).ok();
    let to_blessed = |what: &str, more: &[&str]| {
        studio.ws(&[
            &["copy", what, "--from", "review", "--to", "blessed", "--json"],
            more,
        ]
        .concat())
    };
    let version = studio.ws(&["show", "Table", "--json"]).ok().json()["version"].clone();
    let pre = format!("Table=={}", version.as_str().expect("a version"));
    let error = to_blessed(&pre, &["--dry-run"]).fails(5, "validate::failed");
    let message = error["message"].as_str().expect("text");
    assert!(
        message.contains("NaN") && message.contains("is a pre-release"),
        "{message}"
    );
    to_blessed(&pre, &[]).fails(5, "validate::failed");
    assert!(!studio.path("repos/blessed/packages/table").exists());
    // With a waiver, and a final version.
    declare(&studio, TABLE, &waiver("frames.finite", "2999-12-31", ""));
    studio.ws(&["bump", "Table", "1.0"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    let copied = to_blessed("Table==1.0", &[]).ok().json();
    assert_eq!(copied["checks"][0]["occasion"], "promotion", "{copied:#}");
    assert_eq!(copied["checks"][0]["checks"][0]["waived"], true);
    let shown = studio.ws(&["show", "Table==1.0", "--json"]).ok().json();
    let fact = &shown["status"]["published"];
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
fn the_policy_of_a_repo_counts_for_what_a_cascade_builds() {
    let studio = Studio::empty();
    source(&studio, "a");
    asset(&studio, "b", &["a"]);
    stage(&studio, "b", "", &["a/code.py"]);
    publish(&studio, "b", "1.0");
    // The policy comes from the repo, installed where the cascade is started.
    asset(&studio, "rules", &[]);
    studio.write(
        &format!("{}/look.sh", module("rules")),
        b"grep -q 1.2 made.txt && exit 1; exit 0\n",
    );
    let path = studio.path(&format!("{}/asset.toml", module("rules")));
    let own = fs::read_to_string(&path).expect("an asset");
    let policy = "[[backlot.policy]]\nid = \"studio.look\"\ncommand = [\"sh\", \"{policy}/look.sh\"]\nlevel = \"info\"\nauto = \"error\"\napplies = { names = [\"b\"] }\n";
    fs::write(&path, format!("{own}\n{policy}")).expect("written");
    publish(&studio, "rules", "1.0");
    let config = studio.path("a/backlot.toml");
    let text = fs::read_to_string(&config).expect("a workspace");
    fs::write(
        &config,
        text.replace("[workspace]\n", "[workspace]\npolicy = \"rules\"\n"),
    )
    .expect("written");
    studio.run(&["-w", "a", "install", "rules"]).ok();
    release(&studio, "a", "1.1");
    let done = cascade(&studio, "a", &["run", "a==1.1"]).ok().json();
    assert_eq!(statuses(&done["summary"]), ["b released 1.0.1"]);
    let shown = studio.run(&["-w", "b", "show", "b==1.0.1", "--json"]).ok().json();
    let recorded = &shown["status"]["published"]["checks"][0];
    assert_eq!(
        (&recorded["policy"], &recorded["outcome"]),
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

#[test]
fn movies_and_scenes_are_whole_and_what_scenes_name_is_there_for_everybody() {
    let studio = Studio::new();
    studio.ws(&["new", "Chair"]).ok();
    studio.write("ws/outputs/chair/src/chair/chair.usda", b"#usda 1.0\n");
    studio.ws(&["publish", "Chair"]).ok();
    studio.ws(&["new", "Table"]).ok();
    studio.ws(&["input", "add", "Table", "Chair"]).ok();
    let put = |name: &str, bytes: &[u8]| studio.write(&format!("{TABLE}/{name}"), bytes);
    let seed =
        |name: &str| fs::read(backlot_tests::repository().join("fuzz/seeds").join(name)).expect("a seed");
    let whole = seed("movie/whole.mp4");
    put("film/a.mp4", &whole);
    put("film/b.mov", &whole[..whole.len() - 1]);
    declare(
        &studio,
        TABLE,
        "[[backlot.validate]]\nid = \"movie.valid\"\nparams = { fps = 23.976, frames = 50, width = 1920, seconds = 2 }\n",
    );
    let movies = report(&studio, &[]);
    assert_eq!(
        items(&movies, "movie.valid"),
        [
            "film/a.mp4 its count of frames is 48, not 50",
            "film/b.mov it is truncated: its box `mdat` has 58 bytes, 57 are there"
        ]
    );
    assert_eq!(movies["checks"][0]["items"][0]["expected"], "50");

    declare(
        &studio,
        TABLE,
        &[check("scene.valid"), check("scene.references")].concat(),
    );
    put(
        "geo/t.usda",
        b"#usda 1.0\n(\n    subLayers = [@./own.usda@, @../../chair/chair.usda@, @chair/chair.usda@]\n)\n",
    );
    put("geo/own.usda", b"#usda 1.0\n");
    put("geo/t.abc", &seed("scene/archive.abc"));
    put("geo/a b.bin", &[0; 36]);
    put("geo/t.gltf", &seed("scene/triangle.gltf"));
    assert_eq!(
        outcomes(&report(&studio, &[])),
        ["scene.valid pass", "scene.references pass"]
    );
    put("geo/a b.bin", &[0; 35]);
    put("geo/t.abc", &seed("scene/archive.abc")[..90]);
    put(
        "geo/t.usda",
        b"#usda 1.0\n(\n    subLayers = [\n@/jobs/x.usd@,\n@C:/x.usd@,\n@../gone.usd@,\n@../../lamp/l.usda@,\n@../../../../x.usd@,\n@asset:x@,\n@https://x.example/y.usd@\n]\n)\n",
    );
    let found = report(&studio, &[]);
    assert_eq!(
        items(&found, "scene.valid"),
        ["geo/t.abc it is truncated: a group lies behind its end"]
    );
    assert_eq!(
        items(&found, "scene.references"),
        [
            "geo/t.gltf buffers[0]: `a b.bin` has 35 bytes, fewer than 36",
            "geo/t.usda line 4: `/jobs/x.usd` is an absolute path, which others do not have",
            "geo/t.usda line 5: `C:/x.usd` is an absolute path, which others do not have",
            "geo/t.usda line 6: `../gone.usd` is not in the package",
            "geo/t.usda line 7: `../../lamp/l.usda` is not in the inputs: no `lamp/l.usda` is installed",
            "geo/t.usda line 8: `../../../../x.usd` leaves the folder of packages",
            "geo/t.usda line 9: `asset:x` is not in the package",
            "geo/t.usda line 10: `https://x.example/y.usd` is a URL, not a file of the package or of an input",
            "geo/t.abc it is truncated: a group lies behind its end",
        ]
    );
    declare(
        &studio,
        TABLE,
        "[[backlot.validate]]\nid = \"scene.references\"\nfiles = \"*.usda\"\nparams = { allow = [\"asset:\", \"https:\", \"/jobs/\", \"C:\", \"../\"] }\n",
    );
    assert_eq!(outcomes(&report(&studio, &[])), ["scene.references pass"]);
}

#[test]
fn inputs_are_current_approved_and_not_deprecated_and_licences_are_there() {
    let studio = Studio::new();
    studio.ws(&["new", "Chair"]).ok();
    studio.ws(&["bump", "Chair", "1.0"]).ok();
    studio.ws(&["publish", "Chair"]).ok();
    studio.workspace("user");
    let user = |arguments: &[&str]| studio.run(&[&["-w", "user"], arguments].concat());
    user(&["install", "Chair"]).ok();
    user(&["new", "Table"]).ok();
    user(&["input", "add", "Table", "Chair<2"]).ok();
    let folder = "user/outputs/table/src/table";
    let ids = [
        "inputs.current",
        "inputs.approved",
        "inputs.not-deprecated",
        "licence.present",
    ];
    declare(&studio, folder, &ids.map(check).concat());
    let validate = || user(&["validate", "Table", "--json"]).json();
    let first = validate();
    assert_eq!(
        outcomes(&first),
        [
            "inputs.current pass",
            "inputs.approved fail",
            "inputs.not-deprecated pass",
            "licence.present fail"
        ]
    );
    assert_eq!(
        items(&first, "inputs.approved"),
        ["the input chair 1.0 is not approved"]
    );
    assert_eq!(items(&first, "licence.present"), ["the asset has no licence"]);
    studio.ws(&["approve", "Chair==1.0", "-m", "good"]).ok();
    for version in ["1.1", "2.0"] {
        studio.ws(&["bump", "Chair", version]).ok();
        studio.ws(&["publish", "Chair"]).ok();
    }
    let project = studio.path("user/outputs/table/pyproject.toml");
    let text = fs::read_to_string(&project).expect("a project");
    fs::write(
        &project,
        text.replace("[project]\n", "[project]\nlicense = \"MIT\"\n"),
    )
    .expect("written");
    let second = validate();
    assert_eq!(
        items(&second, "inputs.current"),
        ["the input chair 1.0 is behind: 1.1 is in `review`"]
    );
    assert_eq!(items(&second, "inputs.approved"), Vec::<String>::new());
    assert_eq!(items(&second, "licence.present"), Vec::<String>::new());
    studio.ws(&["deprecate", "Chair==1.0", "-m", "old"]).ok();
    let strict = "[[backlot.validate]]\nid = \"inputs.current\"\nparams = { beyond = true }\n[[backlot.validate]]\nid = \"inputs.approved\"\nparams = { by = [\"eva\"] }\n[[backlot.validate]]\nid = \"licence.present\"\nparams = { allowed = [\"BSD\"] }\n";
    declare(
        &studio,
        folder,
        &format!("{}{strict}", check("inputs.not-deprecated")),
    );
    let third = validate();
    assert_eq!(
        items(&third, "inputs.not-deprecated"),
        ["the input chair 1.0 is deprecated in `review` by ana: old"]
    );
    assert_eq!(
        items(&third, "inputs.current"),
        ["the input chair 1.0 is behind: 2.0 is in `review`"]
    );
    assert_eq!(
        items(&third, "inputs.approved"),
        ["the input chair 1.0 is not approved"]
    );
    assert_eq!(
        items(&third, "licence.present"),
        ["the licence of the asset, MIT, is not one of BSD"]
    );
}

#[test]
fn a_workout_reports_values_and_a_command_with_a_revision_runs_once_for_the_same_files() {
    let studio = Studio::new();
    studio.asset("Table", 2, 100);
    let script = "echo x >> ../../ran.txt\necho '{\"values\": {\"bones\": 42, \"height\": 1.803}}'\n";
    studio.write(&format!("{TABLE}/workout.sh"), script.as_bytes());
    let workout = |expect: &str, more: &str| {
        let text = format!(
            "[[backlot.validate]]\nid = \"rig.workout\"\ncommand = [\"sh\", \"workout.sh\"]\nfiles = \"frames/*\"\nexpect = {{ {expect} }}\n{more}"
        );
        declare(&studio, TABLE, &text);
        report(&studio, &[])
    };
    let right = workout("bones = 42, height = { value = 1.8, within = 0.01 }", "");
    assert_eq!(outcomes(&right), ["rig.workout pass"]);
    let wrong = workout("bones = 41, tail = 1", "");
    assert_eq!(
        items(&wrong, "rig.workout"),
        ["`bones` is 42, not 41", "the command did not report `tail`"]
    );
    let ran =
        || fs::read_to_string(studio.path("ws/outputs/table/ran.txt")).map_or(0, |text| text.lines().count());
    assert_eq!(ran(), 2);
    let kept = |revision: &str| workout("bones = 41", &format!("revision = \"{revision}\"\n"));
    for known in [false, true, true] {
        let checked = kept("1");
        assert_eq!(checked["checks"][0]["known"].as_bool().unwrap_or_default(), known);
        assert_eq!(items(&checked, "rig.workout"), ["`bones` is 42, not 41"]);
    }
    assert_eq!(ran(), 3);
    kept("2");
    assert_eq!(ran(), 4);
    studio.write(&format!("{TABLE}/frames/f.0001.exr"), b"other");
    kept("2");
    assert_eq!(ran(), 5);
    report(&studio, &["--fresh"]);
    assert_eq!(ran(), 6);
}
