//! Scenarios about people and repos: 16 and 20 to 24.

use std::sync::Arc;

use super::drive::{cascade, decision, drive, journal, plan, report, run, settle, status};
use super::studio::{Life, Studio, node, version};
use crate::{Ending, Handling, NodeStatus, Origin, RepoName, plan_revert};

fn studio() -> Arc<Studio> {
    let studio = Studio::new();
    studio.publish("model", "1.0", &[]);
    studio.publish("rig", "1.0", &["model"]);
    studio.publish("anim", "1.0", &["rig"]);
    studio.publish("model", "1.1", &[]);
    studio
}

#[test]
fn scenario_16_a_prerelease_reaches_those_who_admit_it_and_their_releases_are_prereleases() {
    let studio = Studio::new();
    studio.publish("model", "2.0.0", &[]);
    studio.configure("rig", |settings| settings.prereleases = true);
    studio.configure("anim", |settings| settings.prereleases = true);
    studio.publish("rig", "1.0.0", &["model"]);
    studio.publish("anim", "1.0.0", &["rig"]);
    studio.publish("strict", "1.0.0", &["model"]);
    studio.publish("model", "2.1.0rc1", &[]);
    let dirty = report(&studio, &[("model", "2.1.0rc1")]);
    assert_eq!(
        (decision(&dirty, "rig"), decision(&dirty, "strict")),
        ("build", "current")
    );
    cascade(&studio, &[("model", "2.1.0rc1")]);
    assert_eq!(
        (studio.newest("rig"), studio.newest("anim")),
        ("1.0.1rc0".into(), "1.0.1rc0".into())
    );
    // The final one has the bytes of the candidate.
    let files = studio.asset("model").expect("there").releases[&version("2.1.0rc1")].files;
    studio.publish_as("model", "2.1.0", &[], Some(&move |release| release.files = files));
    cascade(&studio, &[("model", "2.1.0")]);
    assert_eq!(
        (studio.newest("rig"), studio.newest("anim")),
        ("1.0.1".into(), "1.0.1".into())
    );
    assert_eq!(studio.newest("strict"), "1.0.1");
    assert!(report(&studio, &[]).is_clean());
}

#[test]
fn scenario_20_a_revert_goes_leaf_first_and_twice_is_once() {
    let studio = studio();
    studio.publish("pin", "1.0", &["model==1.1"]);
    let plan = plan(&studio, &[("model", "1.1")]);
    run(&studio, &plan);
    let before = studio.inner().catalog.clone();
    let revert = plan_revert(&before, &plan.id, &plan.roots, false).expect("a plan");
    let order: Vec<String> = revert
        .steps
        .iter()
        .map(|step| step.node.package.to_string())
        .collect();
    assert_eq!(order, ["anim", "rig", "model"]);
    let back: Vec<_> = revert
        .steps
        .iter()
        .map(|step| step.falls_back_to.clone())
        .collect();
    assert_eq!(back, vec![Some(version("1.0")); 3]);
    assert_eq!(revert.pinned.len(), 1);
    assert_eq!(
        (&revert.pinned[0].node, revert.pinned[0].requirement.as_str()),
        (&node("pin"), "model==1.1")
    );
    for step in &revert.steps {
        studio.yank(step.node.package.as_str(), &step.version.to_string());
    }
    let again = plan_revert(&studio.inner().catalog, &plan.id, &plan.roots, false).expect("a plan");
    assert!(again.is_done());
    assert!(report(&studio, &[("model", "1.0")]).is_clean());
    assert_eq!(
        (studio.newest("rig"), studio.input("anim", "rig")),
        ("1.0".into(), "1.0".into())
    );
    assert!(
        plan_revert(
            &studio.inner().catalog,
            &crate::CascadeId("nobody".into()),
            &[],
            false
        )
        .is_err()
    );
}

#[test]
fn scenario_20_forward_republishes_old_content_as_higher_versions() {
    let studio = studio();
    let plan = plan(&studio, &[("model", "1.1")]);
    run(&studio, &plan);
    let revert = plan_revert(&studio.inner().catalog, &plan.id, &plan.roots, true).expect("a plan");
    let forward: Vec<String> = revert
        .forward
        .iter()
        .map(|step| format!("{} {} as {}", step.node.package, step.content_of, step.version))
        .collect();
    assert_eq!(
        forward,
        ["model 1.0 as 1.1.1", "rig 1.0 as 1.0.2", "anim 1.0 as 1.0.2"]
    );
    let after: Vec<String> = revert
        .steps
        .iter()
        .map(|step| {
            let back = step.falls_back_to.as_ref().expect("a release");
            format!("{} {} then {back}", step.node.package, step.version)
        })
        .collect();
    assert_eq!(
        after,
        [
            "anim 1.0.1 then 1.0.2",
            "rig 1.0.1 then 1.0.2",
            "model 1.1 then 1.1.1"
        ]
    );
}

#[test]
fn scenario_20_forward_of_a_pre_release_is_a_pre_release() {
    let studio = studio();
    studio.publish("model", "1.2rc1", &[]);
    let root = (node("model"), version("1.2rc1"));
    let revert = plan_revert(
        &studio.inner().catalog,
        &crate::CascadeId("none".into()),
        &[root],
        true,
    )
    .expect("a plan");
    assert_eq!(revert.forward.len(), 1);
    assert_eq!(revert.forward[0].version, version("1.2rc2"));
    assert_eq!(revert.forward[0].content_of, version("1.1"));
}

#[test]
fn scenario_21_what_a_person_published_on_top_stays_and_is_proposed_a_rebuild() {
    let studio = studio();
    let plan = plan(&studio, &[("model", "1.1")]);
    run(&studio, &plan);
    studio.publish("anim", "1.1", &["rig"]);
    let revert = plan_revert(&studio.inner().catalog, &plan.id, &plan.roots, true).expect("a plan");
    assert_eq!(revert.on_top.len(), 1);
    let on_top = &revert.on_top[0];
    assert_eq!((&on_top.node, on_top.author.as_str()), (&node("anim"), "ann"));
    assert_eq!(on_top.inputs, [(node("rig"), version("1.0.1"))]);
    assert!(
        revert
            .steps
            .iter()
            .all(|step| step.version != version("1.1") || step.node == node("model"))
    );
    assert!(
        revert.forward.iter().all(|step| step.node != node("anim")),
        "work on top is not hidden"
    );
    for step in &revert.steps {
        studio.yank(step.node.package.as_str(), &step.version.to_string());
    }
    let dirty = report(&studio, &[]);
    assert_eq!(decision(&dirty, "anim"), "proposed");
    assert!(dirty.is_clean(), "nothing is done about it without its author");
    settle(&studio);
    assert_eq!(studio.newest("anim"), "1.1");
}

#[test]
fn scenario_22_a_cascade_stays_in_its_repo_and_a_copy_is_not_built_again() {
    let studio = Studio::new();
    for repo in ["blessed", "review"] {
        studio.publish(&format!("{repo}/model"), "1.0", &[]);
    }
    // The same wheel in both.
    let model = studio.asset("blessed/model").expect("there").releases[&version("1.0")].clone();
    studio.publish_as(
        "review/model",
        "1.0",
        &[],
        Some(&move |release| *release = model.clone()),
    );
    for repo in ["blessed", "review"] {
        studio.publish(&format!("{repo}/rig"), "1.0", &["model"]);
    }
    let (review, blessed) = (RepoName::new("review"), RepoName::new("blessed"));
    studio
        .inner()
        .catalog
        .set_visible(&review, vec![review.clone(), blessed]);
    studio.publish("review/model", "1.1", &[]);
    let dirty = report(&studio, &[("review/model", "1.1")]);
    assert_eq!(dirty.nodes.len(), 1);
    cascade(&studio, &[("review/model", "1.1")]);
    assert_eq!(
        (studio.newest("review/rig"), studio.newest("blessed/rig")),
        ("1.0.1".into(), "1.0".into())
    );

    let model = studio.asset("review/model").expect("there").releases[&version("1.1")].clone();
    studio.publish_as(
        "blessed/model",
        "1.1",
        &[],
        Some(&move |release| *release = model.clone()),
    );
    let dirty = report(&studio, &[("blessed/model", "1.1")]);
    let rig = dirty.node(&node("blessed/rig")).expect("woken by the copy");
    assert_eq!(rig.copy_of, Some((node("review/rig"), version("1.0.1"))));
    let builds = studio.inner().builds.len();
    cascade(&studio, &[("blessed/model", "1.1")]);
    assert_eq!(studio.newest("blessed/rig"), "1.0.1");
    assert_eq!(studio.inner().builds.len(), builds, "copied, not built");
}

#[test]
fn scenario_23_a_publish_from_an_older_base_takes_the_next_version_and_is_dirty() {
    let studio = studio();
    cascade(&studio, &[("model", "1.1")]);
    // The artist began from 1.0; the cascade has made 1.0.1 since. The index gives the next.
    let stale = |release: &mut crate::Release| {
        let record = release.details.get_mut().record.as_mut().expect("a record");
        record.based_on = Some(version("1.0"));
        let mut inputs: Vec<_> = record.inputs.iter().cloned().collect();
        inputs[0].version = version("1.0");
        inputs[0].files = super::studio::digest(&["files", "rig", "1.0"]);
        record.inputs = inputs.into();
    };
    studio.publish_as("anim", "1.0.2", &["rig"], Some(&stale));
    let dirty = report(&studio, &[]);
    let anim = dirty.node(&node("anim")).expect("its inputs are not current");
    assert_eq!(
        (anim.newest.clone(), anim.changes[0].old.clone()),
        (version("1.0.2"), Some(version("1.0")))
    );
    settle(&studio);
    assert_eq!(
        (studio.newest("anim"), studio.input("anim", "rig")),
        ("1.0.3".into(), "1.0.1".into())
    );
    let asset = studio.asset("anim").expect("there");
    let record = |text: &str| {
        asset.releases[&version(text)]
            .record()
            .cloned()
            .expect("a record")
    };
    assert_eq!(
        (record("1.0.2").origin, record("1.0.2").based_on),
        (Origin::Manual, Some(version("1.0")))
    );
    assert_eq!(record("1.0.3").based_on, Some(version("1.0.2")));
}

#[test]
fn scenario_24_what_needs_a_person_waits_and_goes_on_once_the_release_is_there() {
    for handling in [Handling::Manual, Handling::Outside] {
        let studio = studio();
        studio.configure("rig", |settings| settings.handling = handling);
        studio.publish("other", "1.0", &["model<1.1"]);
        studio.publish("free", "1.0", &[]);
        let (journal, plan) = (journal(), plan(&studio, &[("model", "1.1")]));
        let life = Life::new(&studio, &journal);
        let summary = drive(&life, &journal, &plan, "one", &mut |_| {}).expect("alive");
        assert_eq!(summary.ending, Some(Ending::Waiting));
        assert!(matches!(
            status(&summary, "rig"),
            NodeStatus::Manual | NodeStatus::Outside
        ));
        assert_eq!(
            status(&summary, "anim"),
            NodeStatus::Blocked {
                by: node("rig"),
                failed: false
            }
        );
        assert_eq!((summary.causes.len(), summary.causes[0].blocks), (1, 1));
        studio.publish("rig", "1.1", &["model"]);
        let summary = drive(&life, &journal, &plan, "two", &mut |_| {}).expect("alive");
        assert_eq!(summary.ending, Some(Ending::Done));
        assert_eq!(
            status(&summary, "rig"),
            NodeStatus::Released {
                version: version("1.1")
            }
        );
        assert_eq!(studio.input("anim", "rig"), "1.1");
    }
}

#[test]
fn frozen_assets_keep_their_release() {
    let studio = studio();
    studio.configure("rig", |settings| settings.frozen = true);
    let dirty = report(&studio, &[("model", "1.1")]);
    assert_eq!(
        (decision(&dirty, "rig"), decision(&dirty, "anim")),
        ("held (frozen)", "current")
    );
    settle(&studio);
    assert_eq!(studio.newest("rig"), "1.0");
}

#[test]
fn a_release_that_was_withdrawn_is_not_built_again_from_the_same_inputs() {
    let studio = studio();
    let (log, first) = (journal(), plan(&studio, &[("model", "1.1")]));
    let life = Life::new(&studio, &log);
    drive(&life, &log, &first, "one", &mut |_| {}).expect("alive");
    studio.yank("rig", "1.0.1");
    let dirty = report(&studio, &[]);
    assert_eq!(decision(&dirty, "rig"), "held (withdrawn)");
    settle(&studio);
    assert_eq!(
        (studio.newest("rig"), studio.input("anim", "rig")),
        ("1.0".into(), "1.0".into())
    );
    studio.publish("model", "1.2", &[]);
    settle(&studio);
    assert_eq!(
        (studio.newest("rig"), studio.input("anim", "rig")),
        ("1.0.2".into(), "1.0.2".into())
    );
}
