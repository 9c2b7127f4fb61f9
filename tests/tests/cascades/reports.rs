//! Reports of affected assets: numbered scenarios of cascades that need only a report.

use backlot_tests::Studio;
use backlot_tests::chain::{
    asset, at, chain, changes, decisions, dirty, first, node, release, require, treat, version,
};
use serde_json::Value;

const NONE: [&str; 0] = [];

#[test]
fn scenario_01_a_chain_is_dirty_level_by_level_and_clean_when_it_is_rebuilt() {
    let studio = chain();
    assert_eq!(decisions(&dirty(&studio, "anim", &[])), NONE);
    let published = release(&studio, "model", "1.1");
    let affected = dirty(&studio, "anim", &["model==1.1"]);
    assert_eq!(
        decisions(&affected),
        ["1 review/rig build", "2 review/anim build"]
    );
    assert_eq!(affected["roots"], serde_json::json!([["review/model", "1.1"]]));
    let rig = node(&affected, "rig");
    assert_eq!(changes(rig), ["model 1.0 -> 1.1"]);
    assert_eq!(
        (&rig["newest"], &rig["next"]),
        (&"1.0".into(), &"1.0.1".into()),
        "{rig:#}"
    );
    let anim = node(&affected, "anim");
    assert_eq!(changes(anim), ["model 1.0 -> 1.1", "rig 1.0 -> 1.0.1"]);
    assert_eq!(anim["provisional"], true, "rig 1.0.1 is only expected: {anim:#}");
    assert_eq!(
        affected["id"],
        dirty(&studio, "model", &["model==1.1"])["id"],
        "everybody gets the same"
    );
    // The same at the end of the publish.
    assert_eq!(decisions(&published["dirtied"]), decisions(&affected));

    release(&studio, "rig", "1.1");
    assert_eq!(decisions(&dirty(&studio, "anim", &[])), ["1 review/anim build"]);
    release(&studio, "anim", "1.1");
    assert_eq!(decisions(&dirty(&studio, "anim", &[])), NONE);
    assert_eq!(decisions(&dirty(&studio, "anim", &["model==1.1"])), NONE);
}

#[test]
fn scenario_02_the_end_of_a_diamond_is_listed_once_and_after_both() {
    let studio = Studio::empty();
    first(&studio, "a", &[]);
    first(&studio, "b", &["a"]);
    first(&studio, "c", &["a"]);
    first(&studio, "d", &["b", "c"]);
    release(&studio, "a", "1.1");
    let affected = dirty(&studio, "d", &["a==1.1"]);
    assert_eq!(
        decisions(&affected),
        ["1 review/b build", "1 review/c build", "2 review/d build"]
    );
    assert_eq!(
        node(&affected, "d")["parents"],
        serde_json::json!(["review/a", "review/b", "review/c"])
    );
}

#[test]
fn scenario_03_a_diamond_with_a_bound_is_built_or_held_as_the_solver_finds() {
    let studio = Studio::empty();
    first(&studio, "a", &[]);
    first(&studio, "b", &["a"]);
    first(&studio, "c", &["a<2"]);
    first(&studio, "d", &["b", "c"]);
    release(&studio, "a", "2.0");
    let affected = dirty(&studio, "d", &["a==2.0"]);
    // b does not insist on the new a, so d has b with the old one.
    assert_eq!(
        decisions(&affected),
        ["1 review/b build", "1 review/c held bound", "2 review/d build"]
    );
    assert_eq!(node(&affected, "c")["requirement"], "a<2");
    assert_eq!(changes(node(&affected, "d")), ["b 1.0 -> 1.0.1"]);

    // One that does excludes c.
    require(&studio, "b", "a>=2");
    release(&studio, "b", "1.1");
    let affected = dirty(&studio, "d", &["b==1.1"]);
    assert_eq!(decisions(&affected), ["1 review/d held conflict"]);
    let explanation = node(&affected, "d")["explanation"]
        .as_str()
        .expect("a reason")
        .to_owned();
    for part in [
        "d 1.0 asks for b==1.1, which needs a>=2",
        "d 1.0 asks for c, which needs a<2",
    ] {
        assert!(explanation.contains(part), "{part}: {explanation}");
    }
}

#[test]
fn scenario_04_a_major_that_all_bounds_exclude_builds_nothing_and_names_the_bounds() {
    let studio = Studio::empty();
    first(&studio, "a", &[]);
    first(&studio, "b", &["a>=1,<2"]);
    first(&studio, "c", &["a~=1.0"]);
    // It requires b only, so that nothing keeps it from a.
    first(&studio, "d", &["b"]);
    let published = release(&studio, "a", "2.0");
    let affected = dirty(&studio, "d", &["a==2.0"]);
    assert_eq!(
        decisions(&affected),
        ["1 review/b held bound", "1 review/c held bound"]
    );
    assert_eq!(node(&affected, "b")["requirement"], "a>=1,<2");
    assert_eq!(node(&affected, "c")["version"], "2.0");
    assert_eq!(decisions(&published["dirtied"]).len(), 2);
    let text = at(&studio, "a", &["dirty", "a==2.0"]).ok().stdout();
    assert!(text.contains("requires a~=1.0, not 2.0"), "{text}");
}

#[test]
fn scenario_05_a_hotfix_that_is_not_the_newest_reaches_those_who_are_bound_to_it() {
    let studio = Studio::empty();
    first(&studio, "a", &[]);
    first(&studio, "old", &["a<2"]);
    release(&studio, "a", "2.0");
    first(&studio, "fresh", &["a"]);
    version(&studio, "a", "1.0.1");
    at(&studio, "a", &["publish", "a", "--force", "-m", "hotfix"]).ok();
    let affected = dirty(&studio, "old", &["a==1.0.1"]);
    assert_eq!(decisions(&affected), ["1 review/old build"]);
    assert_eq!(changes(node(&affected, "old")), ["a 1.0 -> 1.0.1"]);
}

#[test]
fn scenario_06_a_pinned_user_is_listed_and_not_affected() {
    let studio = Studio::empty();
    first(&studio, "a", &[]);
    first(&studio, "b", &["a==1.0"]);
    release(&studio, "a", "1.1");
    let affected = dirty(&studio, "b", &["a==1.1"]);
    assert_eq!(decisions(&affected), ["1 review/b held pin"]);
    assert_eq!(node(&affected, "b")["requirement"], "a==1.0");
}

#[test]
fn scenarios_07_and_08_a_release_with_a_withdrawn_input_is_proposed_with_the_reason() {
    let studio = chain();
    release(&studio, "model", "1.1");
    release(&studio, "rig", "1.1");
    for (verdict, status) in [("deprecate", "deprecated"), ("yank", "yanked")] {
        at(&studio, "model", &[verdict, "model==1.1", "-m", "wrong scale"]).ok();
        let report = dirty(&studio, "rig", &["--repo", "review"]);
        let rig = node(&report, "rig");
        assert_eq!(rig["decision"], "proposed", "{report:#}");
        assert_eq!(changes(rig), ["model 1.1 -> 1.0"]);
        let withdrawn = &rig["changes"][0]["withdrawn"];
        assert_eq!(
            (&withdrawn["status"], &withdrawn["reason"]),
            (&status.into(), &"wrong scale".into())
        );
    }
    at(&studio, "model", &["unyank", "model==1.1", "-m", "it was right"]).ok();
    assert_eq!(
        node(&dirty(&studio, "rig", &[]), "rig")["decision"],
        "proposed",
        "still deprecated"
    );
}

#[test]
fn scenario_15_groups_that_make_no_content_are_no_edges_and_a_cycle_is_named() {
    let studio = Studio::empty();
    first(&studio, "b", &[]);
    first(&studio, "a", &["build:b"]);
    require(&studio, "b", "edit:a");
    release(&studio, "b", "1.1");
    let affected = dirty(&studio, "a", &["b==1.1"]);
    assert_eq!(decisions(&affected), ["1 review/a build"]);
    // Whoever uses it is told all the same.
    let users = at(&studio, "a", &["dependents", "a", "--json"]).ok().json();
    let user = &users["dependents"][0];
    assert_eq!(
        (&user["package"], &user["group"]),
        (&"b".into(), &"edit".into()),
        "{users:#}"
    );

    require(&studio, "b", "export:a");
    release(&studio, "b", "1.2");
    let report = dirty(&studio, "a", &[]);
    assert_eq!(
        node(&report, "a")["path"],
        serde_json::json!(["review/a", "review/b"]),
        "{report:#}"
    );
    assert_eq!(node(&report, "b")["decision"], "cycle");
}

#[test]
fn scenario_16_a_pre_release_reaches_only_assets_that_want_pre_releases() {
    let studio = Studio::empty();
    first(&studio, "a", &[]);
    first(&studio, "b", &["a"]);
    first(&studio, "c", &["a>=1.0rc1"]);
    asset(&studio, "p", &["a"]);
    treat(&studio, "p", "prereleases = true");
    release(&studio, "p", "1.0");
    release(&studio, "a", "1.1rc1");
    let affected = dirty(&studio, "b", &["a==1.1rc1"]);
    assert_eq!(decisions(&affected), ["1 review/p build"]);
    assert_eq!(node(&affected, "p")["next"], "1.0.1rc0");
}

#[test]
fn scenario_17_an_input_with_another_version_and_the_same_files_is_up_to_date_by_content() {
    let studio = chain();
    // Only the version moves.
    at(&studio, "model", &["bump", "model", "minor"]).ok();
    at(&studio, "model", &["publish", "model"]).ok();
    let report = dirty(&studio, "anim", &["model"]);
    let rig = node(&report, "rig");
    assert_eq!(rig["decision"], "up-to-date", "{report:#}");
    assert_eq!(rig["changes"][0]["same_content"], true);
}

#[test]
fn scenario_22_a_release_reaches_the_repo_it_is_in_and_blessed_only_when_it_is_copied() {
    let studio = Studio::empty();
    first(&studio, "model", &[]);
    first(&studio, "rig", &["model"]);
    at(&studio, "rig", &["repo", "add", "blessed", "repos/blessed"]).ok();
    at(
        &studio,
        "rig",
        &[
            "copy",
            "rig",
            "--from",
            "review",
            "--to",
            "blessed",
            "--with-deps",
        ],
    )
    .ok();
    release(&studio, "model", "1.1");
    let affected = dirty(&studio, "rig", &["model==1.1"]);
    assert_eq!(decisions(&affected), ["1 review/rig build"]);
    at(
        &studio,
        "rig",
        &["copy", "model==1.1", "--from", "review", "--to", "blessed"],
    )
    .ok();
    let affected = dirty(&studio, "rig", &["model==1.1"]);
    assert_eq!(
        decisions(&affected),
        ["1 blessed/rig build", "1 review/rig build"]
    );
    assert_eq!(
        decisions(&dirty(&studio, "rig", &["model==1.1", "--repo", "blessed"])),
        ["1 blessed/rig build"]
    );
}

#[test]
fn scenario_23_a_report_changes_nothing_that_somebody_works_on() {
    let studio = chain();
    release(&studio, "model", "1.1");
    version(&studio, "anim", "2.0");
    let before = (studio.snapshot("anim/outputs"), studio.snapshot("repos"));
    dirty(&studio, "anim", &[]);
    dirty(&studio, "anim", &["model==1.1"]);
    assert!(before == (studio.snapshot("anim/outputs"), studio.snapshot("repos")));
    // An edit keeps its base, and the record of the release names it.
    at(&studio, "anim", &["install", "-U"]).ok();
    at(&studio, "anim", &["publish", "anim"]).ok();
    let shown = at(&studio, "anim", &["show", "anim", "--json"]).ok().json();
    let record = &shown["releases"][0]["provenance"]["record"];
    assert_eq!(record["based_on"], "1.0", "{shown:#}");
}

#[test]
fn scenario_24_assets_for_people_for_others_and_frozen_ones_are_told_apart() {
    let studio = Studio::empty();
    first(&studio, "a", &[]);
    for (name, settings) in [
        ("scene", "handling = \"manual\""),
        ("theirs", "handling = \"outside\""),
        ("kept", "frozen = true"),
    ] {
        asset(&studio, name, &["a"]);
        treat(&studio, name, settings);
        release(&studio, name, "1.0");
    }
    first(&studio, "shot", &["scene"]);
    release(&studio, "a", "1.1");
    let affected = dirty(&studio, "a", &["a==1.1"]);
    assert_eq!(
        decisions(&affected),
        [
            "1 review/kept held frozen",
            "1 review/scene manual",
            "1 review/theirs outside",
            "2 review/shot build",
        ]
    );
    treat(&studio, "shot", "frosen = true");
    let error = at(&studio, "shot", &["build", "shot", "--json"]).fails(3, "config::invalid");
    assert!(
        error["message"]
            .as_str()
            .expect("text")
            .contains("is it `frozen`?"),
        "{error:#}"
    );
}

#[test]
fn what_a_release_affects_is_known_before_it_is_published() {
    let studio = chain();
    version(&studio, "model", "1.1");
    let before = dirty(&studio, "model", &["model"]);
    assert_eq!(before["roots"], serde_json::json!([["review/model", "1.1"]]));
    assert_eq!(decisions(&before), ["1 review/rig build", "2 review/anim build"]);
    // In a dry run, too; and from where the asset is not worked on.
    let dry = at(&studio, "model", &["publish", "model", "--dry-run", "--json"])
        .ok()
        .json();
    assert_eq!(decisions(&dry["dirtied"]), decisions(&before));
    let elsewhere = dirty(&studio, "anim", &["model==1.1"]);
    assert_eq!(decisions(&elsewhere), decisions(&before));
    at(&studio, "anim", &["dirty", "modle==1.1", "--json"]).fails(4, "release::unknown");
}

#[test]
fn a_publish_tells_in_few_words_what_it_affects_unless_it_is_told_not_to() {
    let studio = chain();
    version(&studio, "model", "1.1");
    let text = at(&studio, "model", &["publish", "model"]).ok().stdout();
    assert!(
        text.contains("dirtied by this publish: 2 assets\n  build: review/rig, review/anim"),
        "{text}"
    );
    version(&studio, "model", "1.2");
    let quiet = at(&studio, "model", &["publish", "model", "--no-dirty", "--json"])
        .ok()
        .json();
    assert_eq!(quiet["dirtied"], Value::Null);
    // Nobody is built from this one.
    version(&studio, "anim", "1.1");
    let text = at(&studio, "anim", &["publish", "anim"]).ok().stdout();
    assert!(!text.contains("dirtied"), "{text}");
}

#[test]
fn graphs_are_printed_for_other_programs() {
    let studio = chain();
    release(&studio, "model", "1.1");
    let dot = at(&studio, "anim", &["dirty", "model==1.1", "--dot"])
        .ok()
        .stdout();
    assert!(dot.starts_with("digraph backlot {"), "{dot}");
    assert!(dot.contains("review/rig") && dot.contains("n0 -> n1;"), "{dot}");
    let svg = at(&studio, "anim", &["dirty", "model==1.1", "--svg"])
        .ok()
        .stdout();
    assert!(svg.starts_with("<svg") && svg.contains("review/anim"), "{svg}");
    let text = at(&studio, "anim", &["dirty", "model==1.1"]).ok().stdout();
    assert_eq!(
        text,
        "review/model 1.1: 2 build\n\
         review/model 1.1  root\n\
         \x20 review/rig 1.0 -> 1.0.1  build  (model 1.0 -> 1.1)\n\
         \x20   review/anim 1.0 -> 1.0.1  build  (model 1.0 -> 1.1; rig 1.0 -> 1.0.1)\n"
    );
}
