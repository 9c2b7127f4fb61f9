//! Pulls over changed, renamed or copied files; dry runs report the same as runs.

use backlot_tests::{Run, Studio};
use fs_err as fs;
use serde_json::Value;

const FRAMES: &str = "ws/outputs/table/src/table/frames";

fn studio() -> Studio {
    let studio = Studio::new();
    studio.asset("Table", 4, 1_000);
    studio.ws(&["publish", "Table"]).ok();
    studio
}

/// A dry run says what the run then does.
fn planned_and_done(run: &dyn Fn(&[&str]) -> Run, arguments: &[&str], keys: &[&str]) -> Value {
    let planned = run(&[arguments, &["--dry-run", "--json"]].concat()).ok().json();
    let done = run(&[arguments, &["--json"]].concat()).ok().json();
    for key in keys {
        assert_eq!(planned[*key], done[*key], "{key}: {planned:#}\n{done:#}");
    }
    done
}

const PULL: [&str; 5] = ["assets", "objects", "bytes", "already_there", "remote"];

#[test]
fn what_a_forced_pull_overwrites_is_named_before_and_brought_back_after() {
    let studio = studio();
    let edit = b"an edit that is nowhere else";
    studio.write(&format!("{FRAMES}/f.0001.exr"), edit);
    studio.write(&format!("{FRAMES}/extra/new.exr"), b"new work");
    let before = studio.snapshot(FRAMES);
    let kept = planned_and_done(&|a| studio.ws(a), &["pull"], &PULL);
    assert_eq!(
        kept["assets"][0]["kept"].as_array().map(Vec::len),
        Some(2),
        "{kept:#}"
    );
    assert_eq!(studio.snapshot(FRAMES), before);

    let done = planned_and_done(&|a| studio.ws(a), &["pull", "--force"], &PULL);
    let aside = &done["assets"][0]["set_aside"];
    assert_eq!(
        (
            aside.as_array().map(Vec::len),
            &done["assets"][0]["placed"],
            &done["assets"][0]["removed"]
        ),
        (Some(2), &1.into(), &1.into()),
        "{done:#}"
    );
    assert_eq!(studio.snapshot(FRAMES).len(), 4);
    assert_ne!(
        fs::read(studio.path(&format!("{FRAMES}/f.0001.exr"))).expect("read"),
        edit
    );

    let undone = planned_and_done(&|a| studio.ws(a), &["pull", "--undo"], &["restored", "kept"]);
    assert_eq!(undone["restored"].as_array().map(Vec::len), Some(2), "{undone:#}");
    assert_eq!(studio.snapshot(FRAMES), before);
    studio
        .ws(&["pull", "--undo", "--json"])
        .fails(4, "pull::nothing_set_aside");
    // What was brought back is not overwritten by a plain pull, though the cache has it.
    studio.ws(&["pull"]).ok();
    assert_eq!(studio.snapshot(FRAMES), before);
    // A second loss is brought back first, then the one before; what was changed since is left alone.
    studio.ws(&["pull", "--force"]).ok();
    studio.write(&format!("{FRAMES}/f.0002.exr"), b"a later edit");
    studio.ws(&["pull", "--force"]).ok();
    studio.ws(&["pull", "--undo"]).ok();
    assert_eq!(
        fs::read(studio.path(&format!("{FRAMES}/f.0002.exr"))).expect("read"),
        b"a later edit"
    );
    studio.write(&format!("{FRAMES}/f.0001.exr"), b"the latest edit");
    let undone = studio.ws(&["pull", "--undo", "--json"]).ok().json();
    assert_eq!(
        (
            undone["restored"].as_array().map(Vec::len),
            undone["kept"].as_array().map(Vec::len)
        ),
        (Some(1), Some(1)),
        "{undone:#}"
    );
    assert_eq!(
        fs::read(studio.path(&format!("{FRAMES}/f.0001.exr"))).expect("read"),
        b"the latest edit"
    );
}

fn frame(number: usize) -> String {
    format!("{FRAMES}/f.{number:04}.exr")
}

fn bytes_of(studio: &Studio, number: usize) -> Vec<u8> {
    fs::read(studio.path(&frame(number))).expect("read")
}

fn count(report: &Value, list: &str) -> usize {
    report[list].as_array().map_or(0, Vec::len)
}

#[test]
fn renamed_copied_and_retimed_frames_outlive_a_pull_and_come_back_after_a_forced_one() {
    let studio = studio();
    let released = studio.snapshot(FRAMES);
    let [first, second, fourth] = [0, 1, 3].map(|number| bytes_of(&studio, number));
    // A rename, a duplicate, and a frame in the place of another: all of that content is in the cache.
    studio.write(&frame(1000), &first);
    fs::remove_file(studio.path(&frame(0))).expect("removed");
    studio.write(&frame(2000), &second);
    studio.write(&frame(2), &fourth);
    let renamed = studio.snapshot(FRAMES);

    let done = planned_and_done(&|a| studio.ws(a), &["pull"], &PULL);
    let asset = &done["assets"][0];
    assert_eq!(
        (count(asset, "kept"), &asset["placed"], &asset["removed"]),
        (3, &1.into(), &Value::Null),
        "{done:#}"
    );
    let mut expected = renamed.clone();
    expected.insert("f.0000.exr".to_owned(), first);
    assert_eq!(studio.snapshot(FRAMES), expected);

    fs::remove_file(studio.path(&frame(0))).expect("removed");
    let done = planned_and_done(&|a| studio.ws(a), &["pull", "--force"], &PULL);
    let asset = &done["assets"][0];
    assert_eq!(
        (count(asset, "set_aside"), &asset["placed"], &asset["removed"]),
        (3, &2.into(), &2.into()),
        "{done:#}"
    );
    assert_eq!(studio.snapshot(FRAMES), released);

    // The frame that was removed is gone again, too.
    let undone = planned_and_done(&|a| studio.ws(a), &["pull", "--undo"], &["restored", "kept"]);
    assert_eq!(
        (count(&undone, "restored"), count(&undone, "kept")),
        (4, 0),
        "{undone:#}"
    );
    assert_eq!(studio.snapshot(FRAMES), renamed);
    studio.ws(&["add", FRAMES]).ok();
    let again = studio.ws(&["pull", "--json"]).ok().json();
    assert_eq!(count(&again["assets"][0], "kept"), 0, "{again:#}");
    assert_eq!(studio.snapshot(FRAMES), renamed);
}

#[test]
fn frames_of_another_version_go_though_somebody_looked_and_what_was_made_of_them_stays() {
    let studio = studio();
    let (pointer, first) = (format!("{FRAMES}.dvc"), bytes_of(&studio, 0));
    let released = studio.snapshot(FRAMES);
    let before = fs::read(studio.path(&pointer)).expect("read");
    for number in [1, 8, 9] {
        studio.write(&frame(number), format!("version two of {number}").as_bytes());
    }
    studio.ws(&["add", FRAMES]).ok();
    // As version control brings the version before back.
    studio.write(&pointer, &before);
    studio.ws(&["status"]).ok();
    studio.write(&frame(8), &first);
    let done = planned_and_done(&|a| studio.ws(a), &["pull"], &PULL);
    let asset = &done["assets"][0];
    assert_eq!(
        (count(asset, "kept"), &asset["placed"], &asset["removed"]),
        (1, &1.into(), &1.into()),
        "{done:#}"
    );
    let mut expected = released;
    expected.insert("f.0008.exr".to_owned(), first);
    assert_eq!(studio.snapshot(FRAMES), expected);
}

#[test]
fn an_undo_leaves_alone_what_was_put_there_since_though_its_content_is_in_the_cache() {
    let studio = studio();
    studio.write(&frame(1), b"an edit");
    studio.ws(&["pull", "--force"]).ok();
    let first = bytes_of(&studio, 0);
    studio.write(&frame(1), &first);
    let undone = planned_and_done(&|a| studio.ws(a), &["pull", "--undo"], &["restored", "kept"]);
    assert_eq!(
        (count(&undone, "restored"), count(&undone, "kept")),
        (0, 1),
        "{undone:#}"
    );
    assert_eq!(bytes_of(&studio, 1), first);
    // Out of the way, it comes back.
    fs::remove_file(studio.path(&frame(1))).expect("removed");
    studio.ws(&["pull", "--undo"]).ok();
    assert_eq!(bytes_of(&studio, 1), b"an edit");
}

#[test]
fn set_aside_content_is_spared_by_a_collection_of_the_cache() {
    let studio = studio();
    studio.write(&format!("{FRAMES}/f.0001.exr"), b"an edit that is nowhere else");
    studio.ws(&["pull", "--force"]).ok();
    let report = studio.ws(&["gc", "--dry-run", "--json"]).ok().json();
    assert_eq!(
        report["unreferenced"].as_array().map(Vec::len),
        Some(0),
        "{report:#}"
    );
}

#[test]
fn the_dry_run_of_a_pull_counts_what_the_pull_fetches_and_places() {
    for studio in [Studio::new(), Studio::with_dvc_layout()] {
        studio.asset("Table", 6, 2_000);
        studio.ws(&["publish", "Table"]).ok();
        fs::remove_dir_all(studio.path("cache")).expect("removed");
        studio.workspace("other");
        let other = |a: &[&str]| studio.run(&[&["-w", "other"], a].concat());
        other(&["install", "Table"]).ok();
        let done = planned_and_done(&other, &["pull"], &PULL);
        assert_eq!(
            (&done["objects"], &done["assets"][0]["placed"]),
            (&7.into(), &6.into()),
            "{done:#}"
        );
        // Some of it is in the cache, and some in place.
        let again = planned_and_done(&other, &["pull"], &PULL);
        assert_eq!(
            (&again["objects"], &again["assets"][0]["placed"]),
            (&0.into(), &0.into()),
            "{again:#}"
        );
        let some = "other/inputs/lib/";
        assert!(studio.path(some).is_dir());
    }
}

#[test]
fn the_dry_run_of_an_add_counts_what_the_add_stores_and_sends() {
    let studio = studio();
    let keys = ["outs", "pushed"];
    // From outside: some content twice, some of it known.
    studio.write("plates/a.exr", b"the same");
    studio.write("plates/b.exr", b"the same");
    studio.write("plates/c.exr", b"different");
    let known = fs::read(studio.path(&format!("{FRAMES}/f.0001.exr"))).expect("read");
    studio.write("plates/d.exr", &known);
    let without_sent = |report: &Value| {
        let mut report = report.clone();
        if let Some(pushed) = report["pushed"].as_object_mut() {
            for key in ["sent", "dry_run"] {
                pushed.remove(key);
            }
        }
        report
    };
    for arguments in [
        &["add", "plates", "--asset", "Table", "--push"][..],
        &["add", FRAMES, "--push"],
    ] {
        studio.write(&format!("{FRAMES}/f.0003.exr"), b"another frame");
        let planned = studio
            .ws(&[arguments, &["--dry-run", "--json"]].concat())
            .ok()
            .json();
        let done = studio.ws(&[arguments, &["--json"]].concat()).ok().json();
        let (planned, done) = (without_sent(&planned), without_sent(&done));
        assert_eq!(planned[keys[0]], done[keys[0]], "{planned:#}\n{done:#}");
        for key in ["objects", "bytes", "remote", "already_there", "assets"] {
            assert_eq!(
                planned["pushed"][key], done["pushed"][key],
                "{key} {planned:#}\n{done:#}"
            );
        }
    }
}
