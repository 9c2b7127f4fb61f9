//! Reverting cascades by higher versions with the previous content.

use backlot_tests::Studio;
use backlot_tests::chain::{at, decisions, dirty, release};
use backlot_tests::rebuilds::{
    asset, cascade, chain, first, inputs, made, module, publish, run, source, stage, versions,
};
use fs_err as fs;

const NONE: [&str; 0] = [];

#[test]
fn scenario_20_a_revert_forward_publishes_old_content_above_and_everything_is_current_then() {
    let studio = chain();
    release(&studio, "model", "1.1");
    let id = run(&studio, "model", "model==1.1")["cascade"]
        .as_str()
        .expect("an id")
        .to_owned();
    let before = studio.snapshot("repos");
    let planned = cascade(&studio, "rig", &["revert", &id, "--forward", "--dry-run"])
        .ok()
        .json();
    assert!(before == studio.snapshot("repos"), "a dry run changes nothing");
    cascade(&studio, "rig", &["revert", &id, "--no-yank"]).fails(2, "command::usage");

    let kept = cascade(&studio, "rig", &["revert", &id, "--forward", "--no-yank"])
        .ok()
        .json();
    let forward = |report: &serde_json::Value| -> Vec<String> {
        let steps = report["forward"].as_array().expect("steps").iter();
        let told =
            steps.map(|step| format!("{} {} as {}", step["node"], step["content_of"], step["version"]));
        told.map(|step| step.replace('"', "")).collect()
    };
    assert_eq!(
        forward(&kept),
        [
            "review/model 1.0 as 1.1.1",
            "review/rig 1.0 as 1.0.2",
            "review/anim 1.0 as 1.0.2"
        ]
    );
    assert_eq!(
        forward(&kept),
        forward(&planned),
        "what was shown is what was done"
    );
    assert!(
        kept["steps"]
            .as_array()
            .expect("steps")
            .iter()
            .all(|step| step["done"] == false),
        "{kept:#}"
    );
    // The old content, built with the old content, under new versions.
    assert_eq!(made(&studio, "anim", "1.0.2"), "MADE = \"1.0\"\n");
    assert_eq!(inputs(&studio, "model", "rig"), ["model 1.1.1"]);
    assert_eq!(inputs(&studio, "model", "anim"), ["model 1.1.1", "rig 1.0.2"]);
    assert_eq!(decisions(&dirty(&studio, "model", &[])), NONE);

    // Again, with the yanks: nothing more is published, and all fall on what was.
    let yanked = cascade(&studio, "anim", &["revert", &id, "--forward", "-m", "scale"])
        .ok()
        .json();
    assert_eq!(forward(&yanked), NONE);
    let steps = yanked["steps"].as_array().expect("steps");
    let told: Vec<String> = steps
        .iter()
        .map(|step| format!("{} {} {}", step["node"], step["falls_back_to"], step["done"]).replace('"', ""))
        .collect();
    assert_eq!(
        told,
        [
            "review/anim 1.0.2 true",
            "review/rig 1.0.2 true",
            "review/model 1.1.1 true"
        ]
    );
    assert_eq!(yanked["on_top"], serde_json::json!([]), "{yanked:#}");
    assert_eq!(versions(&studio, "anim"), ["1.0", "1.0.1", "1.0.2"]);
    assert_eq!(decisions(&dirty(&studio, "model", &[])), NONE);
    let left = studio.snapshot("cache/cascades");
    assert!(left.is_empty(), "{:?}", left.keys());
}

#[test]
fn scenario_20_a_revert_forward_that_was_stopped_goes_on_and_leaves_what_people_published_above() {
    let studio = Studio::empty();
    source(&studio, "model");
    asset(&studio, "rig", &["model"]);
    let stop = studio.path("stop");
    let path = studio.path(&format!("{}/asset.toml", module("rig")));
    let mut declared = fs::read_to_string(&path).expect("an asset");
    declared.push_str(&format!(
        "\n[[backlot.validate]]\nid = \"studio.gate\"\ncommand = [\"test\", \"!\", \"-e\", {:?}]\n",
        stop.display().to_string()
    ));
    fs::write(&path, declared).expect("written");
    stage(&studio, "rig", "", &["model/code.py"]);
    publish(&studio, "rig", "1.0");
    first(&studio, "anim", &["rig"], &["rig/made.txt"]);
    release(&studio, "model", "1.1");
    let id = run(&studio, "model", "model==1.1")["cascade"]
        .as_str()
        .expect("an id")
        .to_owned();
    // Somebody went on from the bad release of the last one, and a check refuses the second.
    let path = format!("{}/__version__.py", module("anim"));
    studio.write(&path, b"__version__ = \"1.1\"");
    at(&studio, "anim", &["install", "-U"]).ok();
    at(&studio, "anim", &["pull"]).ok();
    at(
        &studio,
        "anim",
        &["publish", "anim", "--repro", "--force", "-m", "over it"],
    )
    .ok();
    fs::write(&stop, "").expect("written");
    cascade(&studio, "model", &["revert", &id, "--forward"]).fails(5, "validate::failed");
    assert_eq!(versions(&studio, "model"), ["1.0", "1.1", "1.1.1"]);
    assert_eq!(versions(&studio, "rig"), ["1.0", "1.0.1"]);
    let shown = at(&studio, "model", &["show", "model", "--json"]).ok().stdout();
    assert!(
        !shown.contains("\"yanked\": {"),
        "nothing is yanked before all is there: {shown}"
    );

    fs::remove_file(&stop).expect("removed");
    let text = at(&studio, "model", &["cascade", "revert", &id, "--forward"])
        .ok()
        .stdout();
    let line = text.lines().find(|line| line.contains("review/rig 1.0.2"));
    assert!(
        line.is_some_and(|line| line.ends_with("has the content of 1.0")),
        "{text}"
    );
    assert!(
        !text.contains("1.1.2") && text.contains("yanked 3 releases"),
        "{text}"
    );
    assert_eq!(versions(&studio, "anim"), ["1.0", "1.0.1", "1.1"]);
    assert_eq!(versions(&studio, "model"), ["1.0", "1.1", "1.1.1"]);
    assert!(
        text.contains("kept review/anim 1.1 by ana, which is based on"),
        "{text}"
    );
}
