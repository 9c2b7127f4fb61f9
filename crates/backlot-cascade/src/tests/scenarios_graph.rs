//! Scenarios about what is affected, and in which order: 1 to 6, 15, 17, and what the list adds to them.

use std::sync::Arc;

use super::drive::{cascade, decision, plan, report, run, settle, status};
use super::studio::{Studio, digest, node, version};
use crate::{
    Catalog, Decision, ExpectedRelease, Hold, Limits, NodeStatus, Plan, RecipeDigest, Root, Unchanged, dirty,
};

/// model, rig and anim, each built from the one before.
fn chain() -> Arc<Studio> {
    let studio = Studio::new();
    studio.publish("model", "1.0", &[]);
    studio.publish("rig", "1.0", &["model"]);
    studio.publish("anim", "1.0", &["build:rig"]);
    studio
}

/// b and c built from a, d from both.
fn diamond(c_requires: &str, forces: bool) -> Arc<Studio> {
    let studio = Studio::new();
    for name in ["b", "c"] {
        studio.behave(name, |behaviour| behaviour.forces = forces);
    }
    studio.publish("a", "1.0", &[]);
    studio.publish("b", "1.0", &["a"]);
    studio.publish("c", "1.0", &[c_requires]);
    studio.publish("d", "1.0", &["b", "c"]);
    studio
}

#[test]
fn scenario_01_a_chain_is_rebuilt_once_a_level_and_planning_again_gives_nothing() {
    let studio = chain();
    assert!(report(&studio, &[]).is_clean());
    studio.publish("model", "1.1", &[]);
    let before = report(&studio, &[("model", "1.1")]);
    let levels: Vec<(String, u32)> = before
        .nodes
        .iter()
        .map(|dirty| (dirty.node.package.to_string(), dirty.level))
        .collect();
    assert_eq!(levels, [("rig".to_owned(), 1), ("anim".to_owned(), 2)]);
    assert_eq!(before.chain(&node("anim")), ["model", "rig", "anim"].map(node));
    assert_eq!(
        before.id,
        report(&studio, &[("model", "1.1")]).id,
        "ids are deterministic"
    );
    cascade(&studio, &[("model", "1.1")]);
    assert_eq!(
        (studio.newest("rig"), studio.newest("anim")),
        ("1.0.1".to_owned(), "1.0.1".to_owned())
    );
    assert_eq!(
        (studio.input("rig", "model"), studio.input("anim", "rig")),
        ("1.1".into(), "1.0.1".into())
    );
    assert_eq!(studio.inner().commits.len(), 2);
    assert!(report(&studio, &[]).nodes.is_empty());
    cascade(&studio, &[("model", "1.1")]);
    assert_eq!(studio.inner().commits.len(), 2);
}

#[test]
fn scenario_02_in_a_diamond_the_last_is_built_once_and_after_both() {
    let studio = diamond("a", false);
    studio.publish("a", "1.1", &[]);
    cascade(&studio, &[("a", "1.1")]);
    let order: Vec<String> = studio
        .inner()
        .commits
        .iter()
        .map(|(node, _)| node.package.to_string())
        .collect();
    assert_eq!(order, ["b", "c", "d"]);
    assert_eq!(
        (studio.input("d", "b"), studio.input("d", "c")),
        ("1.0.1".into(), "1.0.1".into())
    );
    assert!(report(&studio, &[]).is_clean());
}

#[test]
fn scenario_03_a_diamond_that_cannot_be_resolved_is_held_and_both_chains_are_named() {
    let studio = diamond("a<2", true);
    studio.publish("a", "2.0.0", &[]);
    let held = report(&studio, &[("a", "2.0.0")]);
    assert_eq!(decision(&held, "b"), "build");
    assert_eq!(decision(&held, "c"), "held (bound)");
    let Decision::Held(Hold::Conflict(conflict)) = &held.node(&node("d")).expect("in it").decision else {
        panic!("d is held by a conflict: {held:?}");
    };
    let text = format!("{:?}", conflict.chains);
    assert!(
        conflict.chains.len() == 2 && text.contains("a==2.0.0") && text.contains("a==1.0"),
        "{text}"
    );
    cascade(&studio, &[("a", "2.0.0")]);
    assert_eq!(
        (studio.newest("b"), studio.newest("d")),
        ("1.0.1".into(), "1.0".into())
    );

    let studio = diamond("a<2", false);
    studio.publish("a", "2.0.0", &[]);
    cascade(&studio, &[("a", "2.0.0")]);
    assert_eq!(
        (studio.newest("c"), studio.newest("d")),
        ("1.0".into(), "1.0.1".into())
    );
    assert_eq!(
        (studio.input("d", "b"), studio.input("d", "c")),
        ("1.0.1".into(), "1.0".into())
    );
}

#[test]
fn scenario_04_a_major_that_all_bounds_exclude_builds_nothing_and_says_by_which_bound() {
    let studio = Studio::new();
    studio.publish("a", "1.0", &[]);
    studio.publish("b", "1.0", &["a>=1,<2"]);
    studio.publish("c", "1.0", &["a~=1.0"]);
    studio.publish("a", "2.0", &[]);
    let held = report(&studio, &[("a", "2.0")]);
    let Decision::Held(Hold::Bound {
        requirement,
        version: refused,
        ..
    }) = &held.nodes[0].decision
    else {
        panic!("{held:?}");
    };
    assert_eq!((requirement.as_str(), refused), ("a>=1,<2", &version("2.0")));
    assert_eq!(
        (decision(&held, "b"), decision(&held, "c")),
        ("held (bound)", "held (bound)")
    );
    let summary = cascade(&studio, &[("a", "2.0")]);
    assert!(summary.ending.expect("it ended").is_success());
    assert!(studio.inner().commits.is_empty());
}

#[test]
fn scenario_05_a_hotfix_that_is_not_the_newest_reaches_those_who_are_bound_to_it() {
    let studio = Studio::new();
    studio.publish("a", "1.9.0", &[]);
    studio.publish("old", "1.0", &["a<2"]);
    studio.publish("a", "2.0.0", &[]);
    studio.publish("new", "1.0", &["a"]);
    studio.publish("a", "1.9.1", &[]);
    let dirty = report(&studio, &[("a", "1.9.1")]);
    assert_eq!(
        (decision(&dirty, "old"), decision(&dirty, "new")),
        ("build", "current")
    );
    cascade(&studio, &[("a", "1.9.1")]);
    assert_eq!(studio.input("old", "a"), "1.9.1");
}

#[test]
fn scenario_06_a_pinned_user_is_listed_and_not_affected() {
    let studio = Studio::new();
    studio.publish("a", "1.0", &[]);
    studio.publish("b", "1.0", &["a==1.0"]);
    studio.publish("a", "1.1", &[]);
    let dirty = report(&studio, &[("a", "1.1")]);
    assert_eq!(decision(&dirty, "b"), "held (pin)");
    assert!(dirty.is_clean());
}

#[test]
fn scenario_15_only_generative_groups_are_edges_and_a_true_cycle_is_named() {
    let studio = Studio::new();
    studio.publish("b", "1.0", &[]);
    studio.publish("a", "1.0", &["build:b"]);
    studio.publish("b", "1.1", &["edit:a"]);
    let dirty = report(&studio, &[("b", "1.1")]);
    assert_eq!((decision(&dirty, "a"), dirty.nodes.len()), ("build", 1));
    cascade(&studio, &[("b", "1.1")]);
    assert!(report(&studio, &[]).is_clean());

    studio.publish("b", "1.2", &["export:a"]);
    studio.publish("c", "1.0", &["b"]);
    studio.publish("root", "1.0", &[]);
    studio.publish("free", "1.0", &["root"]);
    studio.publish("root", "1.1", &[]);
    let dirty = report(&studio, &[]);
    let Decision::Cycle { path } = &dirty.node(&node("a")).expect("in it").decision else {
        panic!("a is in a cycle: {dirty:?}");
    };
    assert_eq!(path, &["a", "b"].map(node));
    assert_eq!(
        (decision(&dirty, "b"), decision(&dirty, "free")),
        ("cycle", "build")
    );
    run(&studio, &Plan::new(&dirty, Limits::default()));
    assert_eq!(
        (studio.newest("free"), studio.newest("a")),
        ("1.0.1".into(), "1.0.1".into())
    );
}

#[test]
fn scenario_15_a_cycle_is_named_only_where_the_root_leads_into_it() {
    let studio = Studio::new();
    for name in ["root", "far", "b"] {
        studio.publish(name, "1.0", &[]);
    }
    studio.publish("a", "1.0", &["root", "b"]);
    studio.publish("b", "1.1", &["a"]);
    studio.publish("user", "1.0", &["b"]);
    studio.publish("other", "1.0", &["far", "user"]);
    studio.publish("root", "1.1", &[]);
    studio.publish("far", "1.1", &[]);
    let into = report(&studio, &[("root", "1.1")]);
    assert_eq!(
        (decision(&into, "a"), decision(&into, "b"), into.nodes.len()),
        ("cycle", "cycle", 2)
    );
    let beside = report(&studio, &[("far", "1.1")]);
    assert_eq!((decision(&beside, "other"), beside.nodes.len()), ("build", 1));
}

#[test]
fn scenario_17_a_rebuild_with_the_same_files_is_no_release_and_not_dirty_next_time() {
    let studio = chain();
    studio.behave("rig", |behaviour| behaviour.constant = true);
    studio.publish("model", "1.1", &[]);
    let summary = cascade(&studio, &[("model", "1.1")]);
    let NodeStatus::Unchanged { why, version: stays } = status(&summary, "rig") else {
        panic!("{summary:?}");
    };
    assert_eq!((why, stays), (Unchanged::SameFiles, version("1.0")));
    assert!(matches!(
        status(&summary, "anim"),
        NodeStatus::Unchanged {
            why: Unchanged::Current,
            ..
        }
    ));
    assert!(studio.inner().commits.is_empty());
    assert_eq!(studio.inner().builds, [node("rig")]);
    assert!(report(&studio, &[]).nodes.is_empty());
}

#[test]
fn an_input_with_other_version_and_same_content_is_attested_without_a_build() {
    let studio = chain();
    let same = |release: &mut crate::Release| release.files = digest(&["files", "model", "1.0"]);
    studio.publish_as("model", "1.1", &[], Some(&same));
    let dirty = report(&studio, &[("model", "1.1")]);
    assert_eq!(
        (decision(&dirty, "rig"), decision(&dirty, "anim")),
        ("up to date", "current")
    );
    cascade(&studio, &[("model", "1.1")]);
    assert!(studio.inner().builds.is_empty() && report(&studio, &[]).nodes.is_empty());
}

#[test]
fn unknown_inputs_are_dirty_and_said_so() {
    let studio = chain();
    studio.publish_as(
        "old",
        "1.0",
        &["model"],
        Some(&|release| release.details.get_mut().record = None),
    );
    let dirty = report(&studio, &[]);
    let old = dirty.node(&node("old")).expect("in it");
    assert!(old.unknown_inputs && old.decision == Decision::Build);
    settle(&studio);
    assert_eq!(studio.newest("old"), "1.0.1");
}

#[test]
fn another_tool_makes_dirty_what_was_built_with_the_first() {
    let studio = chain();
    studio
        .inner()
        .recipes
        .insert(node("rig"), RecipeDigest(digest(&["houdini 21"])));
    let dirty = report(&studio, &[]);
    assert!(dirty.node(&node("rig")).expect("in it").recipe_changed);
    settle(&studio);
    assert_eq!(
        (studio.newest("rig"), studio.newest("anim")),
        ("1.0.1".into(), "1.0.1".into())
    );
}

#[test]
fn a_dependency_that_the_newest_release_dropped_is_an_edge_no_more() {
    let studio = chain();
    studio.publish("rig", "2.0", &[]);
    settle(&studio);
    studio.publish("model", "1.1", &[]);
    assert!(report(&studio, &[("model", "1.1")]).nodes.is_empty());
}

#[test]
fn a_level_is_the_longest_way() {
    let studio = chain();
    studio.publish("shot", "1.0", &["model", "anim"]);
    studio.publish("model", "1.1", &[]);
    let dirty = report(&studio, &[("model", "1.1")]);
    assert_eq!(dirty.node(&node("shot")).expect("in it").level, 3);
    cascade(&studio, &[("model", "1.1")]);
    assert_eq!(studio.inner().commits.len(), 3);
    assert_eq!(studio.input("shot", "anim"), "1.0.1");
}

#[test]
fn a_release_is_judged_before_it_is_published_too() {
    let studio = chain();
    let record = studio.asset("model").expect("there").releases[&version("1.0")]
        .record()
        .cloned();
    let expected = ExpectedRelease::of_record(node("model"), version("1.1"), &record.expect("a record"));
    let life = super::studio::Life::new(&studio, &super::drive::journal());
    let catalog = studio.inner().catalog.clone();
    let roots = [Root::Expected(expected)];
    let dirty = dirty::report(&catalog, &life, &roots, &studio.context()).expect("a report");
    assert_eq!(
        (decision(&dirty, "rig"), decision(&dirty, "anim")),
        ("build", "build")
    );
    assert!(dirty.nodes[0].provisional);
}

#[test]
fn a_catalog_kept_by_events_is_the_one_built_anew() {
    let studio = chain();
    studio.publish("model", "1.1", &[]);
    settle(&studio);
    studio.yank("rig", "1.0.1");
    studio.deprecate("model", "1.1");
    studio.publish("rig", "2.0", &["edit:model"]);
    let kept = studio.inner().catalog.clone();
    let mut anew = Catalog::new();
    for (repo, cursor) in kept.cursors() {
        let assets = kept.assets().filter(|asset| asset.node.repo == *repo);
        anew.rebuild(repo, *cursor, assets.map(|asset| asset.as_ref().clone()));
    }
    assert!(anew == kept);
    let event = crate::AssetEvent::Unyanked {
        version: version("1.0.1"),
    };
    let cursor = kept.cursors()[&node("rig").repo];
    assert_eq!(
        anew.apply(&node("rig"), cursor, event.clone()).ok(),
        Some(crate::Applied::Known)
    );
    let early = anew.apply(&node("rig"), cursor + 2, event.clone());
    assert!(matches!(early, Err(crate::Error::MissingEvents { .. })));
    assert_eq!(
        anew.apply(&node("rig"), cursor + 1, event).ok(),
        Some(crate::Applied::New)
    );
    assert!(anew != kept);
}

#[test]
fn a_report_and_a_plan_survive_json() {
    let studio = diamond("a<2", false);
    studio.publish("pin", "1.0", &["a==1.0"]);
    studio.publish("a", "2.0", &[]);
    let plan = plan(&studio, &[("a", "2.0")]);
    let json = serde_json::to_string(&plan).expect("JSON");
    assert_eq!(serde_json::from_str::<Plan>(&json).expect("a plan"), plan);
}
