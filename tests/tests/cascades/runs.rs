//! Running cascades with the real command: numbered scenarios, including killed and continued runs, and other machines.

use backlot_tests::Studio;
use backlot_tests::chain::{at, decisions, dirty, release, require, treat};
use backlot_tests::rebuilds::{
    asset, cascade, chain, first, first_that, inputs, made, module, publish, record, run, source, stage,
    statuses, versions,
};
use fs_err as fs;

const NONE: [&str; 0] = [];

#[test]
fn scenario_01_a_chain_is_built_level_by_level_with_exact_inputs_and_is_current_then() {
    let studio = chain();
    release(&studio, "model", "1.1");
    let before = (studio.snapshot("rig/outputs"), studio.snapshot("anim/outputs"));
    let planned = cascade(&studio, "model", &["run", "model==1.1", "--dry-run"])
        .ok()
        .json();
    assert_eq!(versions(&studio, "rig"), ["1.0"], "a dry run changes nothing");
    let report = run(&studio, "model", "model==1.1");
    assert_eq!(report["cascade"], planned["cascade"]);
    assert_eq!(report["plan"], planned["plan"], "what was shown is what was done");
    assert_eq!(
        statuses(&report["summary"]),
        ["rig released 1.0.1", "anim released 1.0.1"]
    );
    assert_eq!(report["summary"]["ending"], "done");
    assert_eq!(inputs(&studio, "model", "rig"), ["model 1.1"]);
    assert_eq!(inputs(&studio, "model", "anim"), ["model 1.1", "rig 1.0.1"]);
    let record = record(&studio, "model", "anim");
    assert_eq!(
        (&record["rebuilt_by"], &record["based_on"]),
        (&report["cascade"], &"1.0".into())
    );
    assert_eq!(made(&studio, "anim", "1.0.1"), "MADE = \"1.1\"\n");
    assert_eq!(decisions(&dirty(&studio, "model", &[])), NONE);
    let again = run(&studio, "model", "model==1.1");
    assert_eq!(again["plan"]["nodes"], serde_json::json!([]));
    assert!(before == (studio.snapshot("rig/outputs"), studio.snapshot("anim/outputs")));
    let left = studio.snapshot("cache/cascades");
    assert!(left.is_empty(), "{:?}", left.keys());
}

#[test]
fn a_publish_builds_what_it_affects_and_tells_both_in_one_report() {
    let studio = chain();
    backlot_tests::chain::version(&studio, "model", "1.1");
    let dry = at(
        &studio,
        "model",
        &["publish", "model", "--push", "--dry-run", "--json"],
    )
    .ok()
    .json();
    assert_eq!(
        dry["cascade"]["plan"]["nodes"][1]["node"], "review/anim",
        "{dry:#}"
    );
    assert_eq!(versions(&studio, "model"), ["1.0"]);
    let report = at(&studio, "model", &["publish", "model", "--push", "--json"])
        .ok()
        .json();
    assert_eq!(report["version"], "1.1");
    assert_eq!(
        statuses(&report["cascade"]["summary"]),
        ["rig released 1.0.1", "anim released 1.0.1"]
    );
    backlot_tests::chain::version(&studio, "model", "1.2");
    let text = at(&studio, "model", &["publish", "model", "--push", "-j", "1"]).ok();
    assert!(
        text.stdout().contains("review/anim  released 1.0.2"),
        "{}",
        text.stdout()
    );
    assert!(
        text.stderr().contains("review/rig: released 1.0.2"),
        "{}",
        text.stderr()
    );
    at(&studio, "model", &["publish", "model", "--jobs", "2", "--json"]).fails(2, "command::usage");
}

#[test]
fn scenario_02_the_end_of_a_diamond_is_built_once_and_after_both() {
    let studio = Studio::empty();
    source(&studio, "a");
    first(&studio, "b", &["a"], &["a/code.py"]);
    first(&studio, "c", &["a"], &["a/code.py"]);
    first(&studio, "d", &["b", "c"], &["b/made.txt", "c/made.txt"]);
    release(&studio, "a", "1.1");
    let report = run(&studio, "a", "a==1.1");
    assert_eq!(
        statuses(&report["summary"]),
        ["b released 1.0.1", "c released 1.0.1", "d released 1.0.1"]
    );
    assert_eq!(versions(&studio, "d"), ["1.0", "1.0.1"]);
    assert_eq!(inputs(&studio, "a", "d"), ["a 1.1", "b 1.0.1", "c 1.0.1"]);
    assert_eq!(made(&studio, "d", "1.0.1"), "MADE = \"1.1\"\nMADE = \"1.1\"\n");
}

#[test]
fn scenario_03_what_a_bound_holds_stays_and_the_rest_is_built() {
    let studio = Studio::empty();
    source(&studio, "a");
    first(&studio, "b", &["a"], &["a/code.py"]);
    first(&studio, "c", &["a<2"], &["a/code.py"]);
    first(&studio, "d", &["b", "c"], &["b/made.txt", "c/made.txt"]);
    release(&studio, "a", "2.0");
    let report = run(&studio, "a", "a==2.0");
    // The new b admits the old a, so d is built with both.
    assert_eq!(
        statuses(&report["summary"]),
        ["b released 1.0.1", "d released 1.0.1"]
    );
    assert_eq!(report["plan"]["others"][0]["decision"], "held", "{report:#}");
    assert_eq!(inputs(&studio, "a", "d"), ["a 1.0", "b 1.0.1", "c 1.0"]);
    assert_eq!(versions(&studio, "c"), ["1.0"]);
}

#[test]
fn scenario_04_a_major_that_all_bounds_exclude_builds_nothing_and_is_no_failure() {
    let studio = Studio::empty();
    source(&studio, "a");
    first(&studio, "b", &["a~=1.0"], &["a/code.py"]);
    release(&studio, "a", "2.0");
    let report = run(&studio, "a", "a==2.0");
    assert_eq!(statuses(&report["summary"]), NONE);
    assert_eq!(report["plan"]["others"][0]["requirement"], "a~=1.0", "{report:#}");
    assert_eq!(versions(&studio, "b"), ["1.0"]);
    cascade(&studio, "a", &["run", "a==3.0"]).fails(4, "cascade::not_published");
}

#[test]
fn scenarios_09_and_10_a_failure_blocks_what_follows_it_and_a_correction_is_resumed() {
    let studio = Studio::empty();
    source(&studio, "a");
    let stop = studio.path("stop");
    let guard = format!("test ! -e {} && ", stop.display());
    first_that(
        &studio,
        "bad",
        &format!("echo the licence is out && {guard}"),
        &["a"],
        &["a/code.py"],
    );
    first(&studio, "good", &["a"], &["a/code.py"]);
    first(&studio, "shot", &["bad"], &["bad/made.txt"]);
    release(&studio, "a", "1.1");
    fs::write(&stop, "").expect("written");
    let failed = cascade(&studio, "a", &["run", "a==1.1"]);
    assert_eq!(failed.output.status.code(), Some(5), "{}", failed.stderr());
    let report = failed.json();
    let id = report["cascade"].as_str().expect("an id").to_owned();
    assert_eq!(
        statuses(&report["summary"]),
        ["bad failed", "good released 1.0.1", "shot blocked"]
    );
    let causes = report["summary"]["causes"].as_array().expect("causes");
    assert_eq!(
        (causes.len(), &causes[0]["blocks"]),
        (1, &1.into()),
        "the root cause once"
    );
    assert!(failed.stderr().contains("cascade::failed"), "{}", failed.stderr());
    // Anybody can look.
    let explained = cascade(&studio, "shot", &["explain", &id[..6], "bad"])
        .ok()
        .json();
    let history = explained["history"].as_array().expect("a history");
    let failures = history
        .iter()
        .filter(|entry| entry["what"]["node_event"] == "failed");
    assert_eq!(failures.count(), 2, "tried again once: {explained:#}");
    assert!(
        explained.to_string().contains("the licence is out"),
        "{explained:#}"
    );
    let listed = cascade(&studio, "shot", &["list"]).ok().json();
    assert_eq!(
        (
            &listed["cascades"][0]["cascade"],
            &listed["cascades"][0]["ending"]
        ),
        (&report["cascade"], &"failed".into())
    );

    // The same inputs failed twice: nothing is tried again by itself.
    let again = cascade(&studio, "a", &["run"]);
    let id = again.json()["cascade"].as_str().expect("an id").to_owned();
    assert_eq!(
        again.json()["summary"]["causes"][0]["failure"]["kind"],
        "exhausted",
        "{}",
        again.stdout()
    );
    fs::remove_file(&stop).expect("removed");
    let resumed = cascade(&studio, "shot", &["resume", &id]).ok().json();
    assert_eq!(
        statuses(&resumed["summary"]),
        ["bad released 1.0.1", "shot released 1.0.1"]
    );
    assert_eq!(versions(&studio, "good"), ["1.0", "1.0.1"]);
}

#[test]
fn scenario_10_what_was_published_by_hand_meanwhile_counts_as_done() {
    let studio = Studio::empty();
    source(&studio, "a");
    let stop = studio.path("stop");
    first_that(
        &studio,
        "b",
        &format!("test ! -e {} && ", stop.display()),
        &["a"],
        &["a/code.py"],
    );
    first(&studio, "c", &["b"], &["b/made.txt"]);
    release(&studio, "a", "1.1");
    fs::write(&stop, "").expect("written");
    let report = cascade(&studio, "a", &["run"]).json();
    let id = report["cascade"].as_str().expect("an id").to_owned();
    assert_eq!(statuses(&report["summary"]), ["b failed", "c blocked"]);
    fs::remove_file(&stop).expect("removed");
    publish(&studio, "b", "1.1");
    fs::write(&stop, "").expect("written");
    let resumed = cascade(&studio, "a", &["resume", &id]).ok().json();
    assert_eq!(
        statuses(&resumed["summary"]),
        ["b unchanged 1.1", "c released 1.0.1"]
    );
    assert_eq!(versions(&studio, "b"), ["1.0", "1.1"]);
    assert_eq!(inputs(&studio, "a", "c"), ["a 1.1", "b 1.1"]);
}

#[test]
fn scenario_16_a_pre_release_makes_pre_releases_and_the_final_one_makes_finals_of_the_same_bytes() {
    let studio = Studio::empty();
    source(&studio, "a");
    asset(&studio, "p", &["a"]);
    treat(&studio, "p", "prereleases = true");
    stage(&studio, "p", "", &["a/code.py"]);
    publish(&studio, "p", "1.0");
    first(&studio, "q", &["a"], &["a/code.py"]);
    release(&studio, "a", "1.1rc1");
    let report = run(&studio, "a", "a==1.1rc1");
    assert_eq!(statuses(&report["summary"]), ["p released 1.0.1rc0"]);
    // The same bytes under the final version.
    let path = format!("{}/__version__.py", module("a"));
    studio.write(&path, b"__version__ = \"1.1\"");
    at(&studio, "a", &["publish", "a"]).ok();
    let report = run(&studio, "a", "a==1.1");
    assert_eq!(
        statuses(&report["summary"]),
        ["p released 1.0.1", "q released 1.0.1"]
    );
}

#[test]
fn scenario_17_the_same_files_make_no_release_and_an_asset_is_current_then() {
    let studio = Studio::empty();
    source(&studio, "a");
    // It reads what does not change.
    first(&studio, "b", &["a"], &["a/asset.toml"]);
    first(&studio, "c", &["b"], &["b/made.txt"]);
    let next = |version: &str, code: Option<&str>| {
        let module = module("a");
        if let Some(code) = code {
            studio.write(&format!("{module}/code.py"), code.as_bytes());
        }
        studio.write(
            &format!("{module}/__version__.py"),
            format!("__version__ = \"{version}\"").as_bytes(),
        );
        at(&studio, "a", &["publish", "a"]).ok();
        let report = run(&studio, "a", &format!("a=={version}"));
        assert_eq!(versions(&studio, "b"), ["1.0"]);
        assert_eq!(versions(&studio, "c"), ["1.0"]);
        assert_eq!(decisions(&dirty(&studio, "c", &[])), NONE, "also for others");
        assert_eq!(decisions(&dirty(&studio, "a", &[&format!("a=={version}")])), NONE);
        report
    };
    // Only the version of an input moves: that is not even built.
    let report = next("1.1", None);
    assert_eq!(report["summary"]["nodes"][0]["why"], "same-inputs", "{report:#}");
    let report = next("1.2", Some("NEW = 1\n"));
    assert_eq!(
        statuses(&report["summary"]),
        ["b unchanged 1.0", "c unchanged 1.0"]
    );
    assert_eq!(report["summary"]["nodes"][0]["why"], "same-files", "{report:#}");
}

#[test]
fn scenario_20_a_revert_yanks_leaf_first_and_a_second_one_changes_nothing() {
    let studio = chain();
    asset(&studio, "pinned", &[]);
    release(&studio, "model", "1.1");
    let report = run(&studio, "model", "model==1.1");
    let id = report["cascade"].as_str().expect("an id").to_owned();
    require(&studio, "pinned", "rig==1.0.1");
    release(&studio, "pinned", "1.0");
    let dry = cascade(&studio, "anim", &["revert", &id, "--dry-run"])
        .ok()
        .json();
    assert_eq!(dry["steps"][0]["done"], false);
    let reverted = cascade(&studio, "anim", &["revert", &id, "-m", "wrong scale"])
        .ok()
        .json();
    let steps = reverted["steps"].as_array().expect("steps").iter();
    let order: Vec<String> = steps
        .map(|step| {
            format!("{} {} {}", step["node"], step["version"], step["falls_back_to"]).replace('"', "")
        })
        .collect();
    assert_eq!(
        order,
        [
            "review/anim 1.0.1 1.0",
            "review/rig 1.0.1 1.0",
            "review/model 1.1 1.0"
        ]
    );
    assert_eq!(reverted["pinned"][0]["requirement"], "rig==1.0.1", "{reverted:#}");
    assert_eq!(reverted["on_top"][0]["author"], "ana", "{reverted:#}");
    let installed = at(&studio, "model", &["install", "anim", "--dry-run", "--json"])
        .ok()
        .json();
    assert!(
        installed.to_string().contains("\"1.0\"") && !installed.to_string().contains("1.0.1"),
        "{installed:#}"
    );
    let before = studio.snapshot("repos/review/status");
    let again = cascade(&studio, "model", &["revert", &id]).ok().json();
    assert!(
        again["steps"]
            .as_array()
            .expect("steps")
            .iter()
            .all(|step| step["done"] == true)
    );
    assert!(before == studio.snapshot("repos/review/status"));
    cascade(&studio, "model", &["revert", "ffff"]).fails(4, "cascade::unknown");
}

#[test]
fn scenario_21_a_release_on_top_of_a_reverted_one_stays_and_is_only_proposed() {
    let studio = chain();
    release(&studio, "model", "1.1");
    let id = run(&studio, "model", "model==1.1")["cascade"]
        .as_str()
        .expect("an id")
        .to_owned();
    first(&studio, "shot", &["rig"], &["rig/made.txt"]);
    let reverted = cascade(&studio, "model", &["revert", &id]).ok().json();
    let on_top = &reverted["on_top"][0];
    assert_eq!(
        (&on_top["node"], &on_top["version"], &on_top["author"]),
        (&"review/shot".into(), &"1.0".into(), &"ana".into()),
        "{reverted:#}"
    );
    assert_eq!(
        decisions(&dirty(&studio, "model", &[])),
        ["1 review/shot proposed"]
    );
    let report = cascade(&studio, "model", &["run"]).ok().json();
    assert_eq!(statuses(&report["summary"]), NONE);
    assert_eq!(versions(&studio, "shot"), ["1.0"]);
}

#[test]
fn scenario_22_a_release_that_another_repo_has_with_the_same_key_is_copied_not_built() {
    let studio = Studio::empty();
    source(&studio, "model");
    let count = studio.path("builds");
    first_that(
        &studio,
        "rig",
        &format!("echo x >> {} && ", count.display()),
        &["model"],
        &["model/code.py"],
    );
    at(&studio, "model", &["repo", "add", "blessed", "repos/blessed"]).ok();
    let copy = |what: &str| {
        at(
            &studio,
            "model",
            &["copy", what, "--from", "review", "--to", "blessed", "--with-deps"],
        )
        .ok();
    };
    copy("rig");
    release(&studio, "model", "1.1");
    run(&studio, "model", "model==1.1");
    let built = fs::read_to_string(&count).expect("counted");
    copy("model==1.1");
    let report = cascade(&studio, "model", &["run", "model==1.1", "--repo", "blessed"])
        .ok()
        .json();
    assert_eq!(statuses(&report["summary"]), ["rig released 1.0.1"], "{report:#}");
    assert_eq!(fs::read_to_string(&count).expect("counted"), built);
    let wheel = "packages/rig/rig-1.0.1-py3-none-any.whl";
    let bytes = |repo: &str| fs::read(studio.path(&format!("repos/{repo}/{wheel}"))).expect("a release");
    assert_eq!(bytes("review"), bytes("blessed"));
}

#[test]
fn scenario_23_work_in_a_workspace_is_untouched_and_takes_the_next_version() {
    let studio = chain();
    asset(&studio, "artist", &[]);
    at(&studio, "artist", &["install", "anim"]).ok();
    at(&studio, "artist", &["edit", "anim"]).ok();
    let before = studio.snapshot("artist/outputs");
    release(&studio, "model", "1.1");
    run(&studio, "model", "model==1.1");
    assert!(before == studio.snapshot("artist/outputs"));
    studio.write("artist/outputs/anim/src/anim/note.txt", b"by hand");
    // The cascade's version is taken, and what it changed is not in the edit.
    at(&studio, "artist", &["publish", "anim", "--json"]).fails(5, "publish::diverged");
}

#[test]
fn scenario_24_what_is_for_a_person_is_waited_for_and_the_rest_follows_their_publish() {
    let studio = Studio::empty();
    source(&studio, "a");
    asset(&studio, "scene", &["a"]);
    treat(&studio, "scene", "handling = \"manual\"");
    stage(&studio, "scene", "", &["a/code.py"]);
    publish(&studio, "scene", "1.0");
    first(&studio, "shot", &["scene"], &["scene/made.txt"]);
    release(&studio, "a", "1.1");
    let report = run(&studio, "a", "a==1.1");
    assert_eq!(report["summary"]["ending"], "waiting");
    assert_eq!(statuses(&report["summary"]), ["scene manual", "shot blocked"]);
    let id = report["cascade"].as_str().expect("an id").to_owned();
    publish(&studio, "scene", "1.1");
    let resumed = cascade(&studio, "a", &["resume", &id]).ok().json();
    assert_eq!(
        statuses(&resumed["summary"]),
        ["scene released 1.1", "shot released 1.0.1"]
    );
}

#[test]
fn scenario_25_more_assets_than_the_cap_are_built_only_when_that_is_confirmed() {
    let studio = chain();
    release(&studio, "model", "1.1");
    cascade(&studio, "model", &["run", "model==1.1", "--max", "1"]).fails(5, "cascade::needs_confirmation");
    assert_eq!(versions(&studio, "rig"), ["1.0"]);
    assert!(
        !studio.path("repos/review/cascades/runs").is_dir(),
        "nothing was begun"
    );
    cascade(
        &studio,
        "model",
        &["run", "model==1.1", "--max", "1", "--dry-run"],
    )
    .ok();
    let report = cascade(&studio, "model", &["run", "model==1.1", "--max", "1", "--yes"])
        .ok()
        .json();
    assert_eq!(
        statuses(&report["summary"]),
        ["rig released 1.0.1", "anim released 1.0.1"]
    );
}

#[test]
fn scenario_13_many_assets_with_one_common_user_build_it_once() {
    let studio = Studio::empty();
    let names: Vec<String> = (0..5).map(|at| format!("s{at}")).collect();
    for name in &names {
        source(&studio, name);
    }
    let requires: Vec<&str> = names.iter().map(String::as_str).collect();
    let reads: Vec<String> = names.iter().map(|name| format!("{name}/code.py")).collect();
    let reads: Vec<&str> = reads.iter().map(String::as_str).collect();
    first(&studio, "d", &requires, &reads);
    for name in &names {
        release(&studio, name, "1.1");
    }
    let report = cascade(&studio, "d", &["run"]).ok().json();
    assert_eq!(statuses(&report["summary"]), ["d released 1.0.1"]);
    let built_with = inputs(&studio, "d", "d");
    assert_eq!(
        built_with,
        names.iter().map(|name| format!("{name} 1.1")).collect::<Vec<_>>()
    );
    // All at once, each with a cascade of its own: built as often as it has to be, one after the other, and current then.
    for name in &names {
        backlot_tests::chain::version(&studio, name, "1.2");
    }
    let shared = &studio;
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(move || at(shared, name, &["publish", name, "--push"]).ok());
        }
    });
    assert_eq!(decisions(&dirty(&studio, "d", &[])), NONE);
    let built_with = inputs(&studio, "d", "d");
    assert_eq!(
        built_with,
        names.iter().map(|name| format!("{name} 1.2")).collect::<Vec<_>>()
    );
    let releases = versions(&studio, "d").len() - 2;
    assert!((1..=names.len()).contains(&releases), "{releases} releases");
}

#[test]
fn scenario_25_what_there_is_of_a_licence_limits_what_is_built_at_once() {
    let studio = Studio::empty();
    source(&studio, "a");
    let log = studio.path("log");
    fs::create_dir_all(log.join("running")).expect("made");
    let names = ["b0", "b1", "b2", "b3"];
    for name in names {
        asset(&studio, name, &["a"]);
        treat(&studio, name, "resources = { \"licence.houdini\" = 1 }");
        let log = log.display();
        let busy = format!(
            "touch {log}/running/{name} && ls {log}/running | wc -l >> {log}/counts && sleep 0.7 && rm {log}/running/{name} && "
        );
        stage(&studio, name, &busy, &["a/code.py"]);
        publish(&studio, name, "1.0");
    }
    let most = |arguments: &[&str]| {
        fs::write(log.join("counts"), "").expect("emptied");
        let report = cascade(&studio, "a", arguments).ok().json();
        let released = statuses(&report["summary"]);
        assert!(
            released.len() == 4 && released.iter().all(|status| status.contains(" released ")),
            "{released:?}"
        );
        let counts = fs::read_to_string(log.join("counts")).expect("counts");
        let counts = counts
            .lines()
            .map(|line| line.trim().parse::<u32>().expect("a number"));
        counts.max().expect("a count")
    };
    release(&studio, "a", "1.1");
    let limited = most(&["run", "a==1.1", "--jobs", "4", "--limit", "licence.houdini=2"]);
    assert!(limited <= 2, "{limited} at once");
    release(&studio, "a", "1.2");
    let one = most(&["run", "a==1.2", "--jobs", "4", "--limit", "licence.houdini=1"]);
    assert_eq!(one, 1);
    cascade(&studio, "a", &["run", "--limit", "licence.houdini=0"]).fails(2, "command::usage");
}

#[test]
fn a_publish_takes_its_inputs_newest_releases_first_if_that_is_wanted() {
    let studio = chain();
    release(&studio, "model", "1.1");
    studio.write(
        &format!("{}/__version__.py", module("rig")),
        b"__version__ = \"1.1\"",
    );
    let dry = at(&studio, "rig", &["publish", "rig", "--pull", "--dry-run"])
        .ok()
        .stdout();
    assert!(dry.contains("model (1.0 -> 1.1)"), "{dry}");
    let text = at(&studio, "rig", &["publish", "rig", "--pull"]).ok().stdout();
    assert!(text.contains("updated inputs:\n  model (1.0 -> 1.1)"), "{text}");
    assert_eq!(inputs(&studio, "rig", "rig"), ["model 1.1"]);
    assert_eq!(made(&studio, "rig", "1.1"), "MADE = \"1.1\"\n");
    studio.write(
        &format!("{}/__version__.py", module("rig")),
        b"__version__ = \"1.2\"",
    );
    let report = at(&studio, "rig", &["publish", "rig", "--pull", "--json"])
        .ok()
        .json();
    assert_eq!(report["pulled"], serde_json::json!([]));
}
