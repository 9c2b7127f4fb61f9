//! Inputs whose files are pulled by an install, and inputs whose files are pulled on demand.

use backlot_tests::{Run, Studio};
use serde_json::{Value, json};

/// Two releases with frames, and a workspace that has none of them.
fn studio() -> Studio {
    let studio = Studio::new();
    for name in ["Hero", "Crowd"] {
        studio.asset(name, 3, 2_000);
        studio.ws(&["publish", name]).ok();
    }
    studio.workspace("node");
    studio
}

fn frames(studio: &Studio, package: &str) -> usize {
    let files = studio.snapshot("node/inputs");
    let inside = format!("/{package}/frames/");
    files
        .keys()
        .filter(|path| path.contains(&inside) && path.ends_with(".exr"))
        .count()
}

#[test]
fn an_install_that_waits_is_done_when_the_files_of_its_inputs_are_here_but_for_those_on_demand() {
    let studio = studio();
    let node = |arguments: &[&str]| -> Run { studio.run(&[&["-w", "node"], arguments].concat()) };
    let chosen = node(&["localize", "Crowd", "on-demand", "--dry-run", "--json"])
        .ok()
        .json();
    assert_eq!(chosen["assets"][0]["localize"], "on-demand", "{chosen:#}");
    assert_eq!(node(&["localize", "--json"]).ok().json()["assets"], json!([]));
    node(&["localize", "Crowd", "on-demand"]).ok();

    let install = ["install", "Hero", "Crowd", "--wait-local", "--json"];
    let planned = node(&[&install[..], &["--dry-run"]].concat()).ok().json();
    assert_eq!(planned["files"], Value::Null, "{planned:#}");
    let done = node(&install).ok().json();
    assert_eq!(done["files"]["assets"][0]["placed"], 3, "{done:#}");
    assert_eq!((frames(&studio, "hero"), frames(&studio, "crowd")), (3, 0));
    assert_eq!(
        node(&["localize", "--json"]).ok().json()["assets"],
        json!([
            { "asset": "Crowd", "localize": "on-demand", "installed": true },
            { "asset": "Hero", "localize": "always", "installed": true },
        ])
    );

    // A pull of all leaves it alone and says so; by name it comes.
    let pulled = node(&["pull", "--json"]).ok().json();
    assert_eq!(pulled["on_demand"], json!(["Crowd"]), "{pulled:#}");
    let told = node(&["pull"]).ok();
    assert!(
        told.stdout().contains("`backlot pull Crowd`"),
        "{}",
        told.stdout()
    );
    assert_eq!(frames(&studio, "crowd"), 0);
    node(&["pull", "Crowd"]).ok();
    assert_eq!(frames(&studio, "crowd"), 3);
    node(&["verify", "--inputs"]).ok();

    node(&["localize", "crowd", "always"]).ok();
    assert_eq!(node(&["pull", "--json"]).ok().json()["on_demand"], Value::Null);
}

#[test]
fn an_install_that_waits_fails_where_files_cannot_be_had_and_goes_on_when_they_can() {
    let studio = studio();
    let elsewhere = |arguments: &[&str]| {
        let mut command = studio.command(&[&["-w", "node"], arguments].concat());
        backlot_tests::run_command(command.env("BACKLOT_CACHE_DIR", studio.path("other-cache")))
    };
    backlot_core::file::rename(&studio.path("remote"), &studio.path("away")).expect("moved");
    elsewhere(&["install", "Hero", "--wait-local", "--json"]).fails(6, "workspace::remote_not_there");
    backlot_core::file::rename(&studio.path("away"), &studio.path("remote")).expect("moved");
    elsewhere(&["install", "--locked", "--wait-local"]).ok();
    assert_eq!(frames(&studio, "hero"), 3);
}

#[test]
fn a_word_that_says_no_time_is_refused_by_name() {
    let studio = studio();
    let settings = "node/backlot.toml";
    let text = fs_err::read_to_string(studio.path(settings)).expect("there");
    studio.write(
        settings,
        format!("{text}\n[localize]\nHero = \"sometimes\"\n").as_bytes(),
    );
    let error = studio
        .run(&["-w", "node", "status", "--json"])
        .fails(3, "config::invalid");
    assert!(
        error["message"].as_str().expect("text").contains("localize.Hero"),
        "{error:#}"
    );
}
