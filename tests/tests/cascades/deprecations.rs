//! Deprecating many releases at once: below a version, or unused for some time.

use std::sync::Arc;
use std::time::Duration;

use backlot::{Context, DeprecateOptions, FixedClock, Host, PublishOptions, Timestamp, Workspace};
use backlot_tests::Studio;
use backlot_tests::chain::{at, first, release, version};
use serde_json::Value;

const DAY: u64 = 86_400;
const NONE: [&str; 0] = [];

/// A moment so many days from now.
fn in_days(days: u64) -> Context {
    let now = Context::default().now().0 + days * DAY * 1000;
    Context::default().with_clock(Arc::new(FixedClock(Timestamp(now))))
}

fn names(report: &Value, list: &str) -> Vec<String> {
    let releases = report[list].as_array().expect("a list").iter();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    releases
        .map(|one| format!("{} {}", word(&one["package"]), word(&one["version"])))
        .collect()
}

fn deprecated(studio: &Studio, name: &str) -> Vec<String> {
    let shown = at(studio, "model", &["log", name, "--json"]).ok().json();
    let releases = shown["releases"]
        .as_array()
        .unwrap_or_else(|| panic!("{shown:#}"))
        .iter();
    let is_deprecated = |release: &&Value| release["events"].to_string().contains("deprecated");
    let mut versions: Vec<String> = releases
        .filter(is_deprecated)
        .map(|release| release["version"].as_str().expect("a version").to_owned())
        .collect();
    versions.sort();
    versions
}

/// model 1.0 to 2.1, of which rig was built with 1.1, 1.2 and 2.1, and shot, which admits nothing newer, with 1.3.
fn studio() -> Studio {
    let studio = Studio::empty();
    first(&studio, "model", &[]);
    release(&studio, "model", "1.1");
    first(&studio, "rig", &["model"]);
    release(&studio, "model", "1.2");
    release(&studio, "rig", "1.1");
    release(&studio, "model", "1.3");
    first(&studio, "shot", &["model<2"]);
    release(&studio, "model", "2.0");
    release(&studio, "model", "2.1");
    release(&studio, "rig", "1.2");
    studio
}

#[test]
fn all_releases_of_an_asset_below_a_version_are_deprecated_and_who_needs_them_is_named() {
    let studio = studio();
    let below = |more: &[&str]| {
        let all = [
            &[
                "deprecate",
                "model",
                "--below",
                "2.0",
                "-m",
                "the old rig",
                "--json",
            ],
            more,
        ]
        .concat();
        at(&studio, "rig", &all)
    };
    let before = studio.snapshot("repos");
    let planned = below(&["--dry-run"]).ok().json();
    assert!(before == studio.snapshot("repos"), "a dry run changes nothing");
    let done = below(&[]).ok().json();
    assert_eq!(planned["releases"], done["releases"]);
    assert_eq!(
        names(&done, "releases"),
        ["model 1.0", "model 1.1", "model 1.2", "model 1.3"]
    );
    assert_eq!(
        done["releases"][3]["users"],
        serde_json::json!(["review/shot 1.0"])
    );
    assert_eq!(deprecated(&studio, "model"), ["1.0", "1.1", "1.2", "1.3"]);
    assert_eq!(names(&below(&[]).ok().json(), "releases"), NONE, "once");
    // Who admits nothing else gets it all the same, and is told.
    let installed = at(&studio, "shot", &["install", "-U"]).ok();
    assert!(
        installed.stderr().contains("the old rig"),
        "{}",
        installed.stderr()
    );

    at(
        &studio,
        "rig",
        &["deprecate", "rig", "--below", "3", "-m", "no", "--json"],
    )
    .fails(5, "deprecate::nothing_left");
    at(
        &studio,
        "rig",
        &["deprecate", "modl", "--below", "3", "-m", "no", "--json"],
    )
    .fails(4, "release::unknown");
    at(
        &studio,
        "rig",
        &["deprecate", "--below", "3", "-m", "no", "--json"],
    )
    .fails(2, "command::usage");
    at(
        &studio,
        "rig",
        &["deprecate", "model", "--below", "2.0", "--json"],
    )
    .fails(2, "command::usage");
    at(&studio, "rig", &["deprecate", "rig==1.0", "-m", "one"]).ok();
    assert_eq!(deprecated(&studio, "rig"), ["1.0"]);
}

#[test]
fn what_nobody_uses_is_listed_and_deprecated_only_when_that_is_said() {
    let studio = studio();
    at(&studio, "model", &["label", "set", "model==1.0", "hero"]).ok();
    let before = studio.snapshot("repos");
    let listed = at(&studio, "rig", &["deprecate", "--unused-for", "0", "--json"])
        .ok()
        .json();
    let text = at(&studio, "rig", &["deprecate", "--unused-for", "0"])
        .ok()
        .stdout();
    assert!(
        text.contains("would have deprecated 5 releases") && text.contains("use `--yes` to deprecate them"),
        "{text}"
    );
    assert!(before == studio.snapshot("repos"), "it only lists");
    let unused = ["model 1.1", "model 1.2", "model 2.0", "rig 1.0", "rig 1.1"];
    assert_eq!(names(&listed, "releases"), unused);
    let reasons: Vec<String> = listed["kept"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| format!("{} {}: {}", one["package"], one["version"], one["reason"]).replace('"', ""))
        .collect();
    assert_eq!(
        reasons,
        [
            "model 1.0: the label hero is at it",
            "model 1.3: it is used by review/shot 1.0",
            "model 2.1: it is used by review/rig 1.2",
            "rig 1.2: it is the newest one",
            "shot 1.0: it is the newest one"
        ]
    );
    let ours = at(
        &studio,
        "rig",
        &[
            "deprecate",
            "model",
            "--unused-for",
            "0",
            "--below",
            "2",
            "--json",
        ],
    )
    .ok()
    .json();
    assert_eq!(
        names(&ours, "releases"),
        ["model 1.1", "model 1.2"],
        "both conditions"
    );
    let done = at(
        &studio,
        "rig",
        &["deprecate", "--unused-for", "0", "--yes", "--json"],
    )
    .ok()
    .json();
    assert_eq!(
        done["releases"], listed["releases"],
        "what was listed is what was done"
    );
    assert_eq!(deprecated(&studio, "model"), ["1.1", "1.2", "2.0"]);
    assert_eq!(deprecated(&studio, "rig"), ["1.0", "1.1"]);
    let again = at(
        &studio,
        "rig",
        &["deprecate", "--unused-for", "0", "--yes", "--json"],
    )
    .ok();
    assert_eq!(names(&again.json(), "releases"), NONE);
    at(&studio, "rig", &["deprecate", "--yes", "-m", "no", "--json"]).fails(2, "command::usage");
}

#[test]
fn an_age_counts_from_the_last_release_that_was_built_with_it() {
    let studio = studio();
    let host = Host::new(studio.path("cache"));
    // Long after, rig is built with model 1.2 once more.
    at(&studio, "rig", &["install", "model==1.2"]).ok();
    version(&studio, "rig", "1.1.1");
    let rig = Workspace::open(&studio.path("rig"), &host).expect("opened");
    let options = PublishOptions::new().force(true).no_dirty(true);
    rig.publish("rig", &options, &in_days(60)).expect("published");
    let unused = |days: u64, age: u64| -> Vec<String> {
        let options = DeprecateOptions::new()
            .asset(Some("model".to_owned()))
            .unused_for(Some(Duration::from_secs(age * DAY)))
            .dry_run(true);
        let report = rig.deprecate(&options, None, &in_days(days)).expect("listed");
        let versions = report.releases.iter().map(|one| one.version.to_string());
        versions.collect()
    };
    assert_eq!(unused(50, 90), NONE, "too young");
    assert_eq!(unused(100, 90), ["1.0", "1.1", "2.0"]);
    assert_eq!(unused(151, 90), ["1.0", "1.1", "1.2", "2.0"]);
}
