//! What releases take on a remote, as `du` tells it.

use backlot_tests::Studio;
use fs_err as fs;
use serde_json::Value;

/// Two releases of Table that share all frames but one, and one of Chair.
fn studio() -> Studio {
    let studio = Studio::new();
    studio.asset("Table", 4, 50_000);
    studio.ws(&["publish", "Table"]).ok();
    studio.write(
        "ws/outputs/table/src/table/frames/f.0001.exr",
        &backlot_tests::noise(50_000, 99),
    );
    studio.ws(&["bump", "Table", "micro"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    studio.ws(&["new", "Chair"]).ok();
    studio.frames("ws/outputs/chair/src/chair/frames", 2, 50_000, 7);
    studio.ws(&["add", "ws/outputs/chair/src/chair/frames"]).ok();
    studio.ws(&["publish", "Chair"]).ok();
    studio
}

fn rows(report: &Value) -> Vec<Value> {
    report["releases"].as_array().expect("releases").clone()
}

#[test]
fn a_named_release_costs_what_it_costs_among_all() {
    let studio = studio();
    let all = rows(&studio.ws(&["du", "--json"]).ok().json());
    assert_eq!(all.len(), 3, "{all:#?}");
    for (name, some) in [
        ("Table", &all[1..]),
        ("Table==0.1.1", &all[2..]),
        ("Chair", &all[..1]),
    ] {
        let named = rows(&studio.ws(&["du", name, "--json"]).ok().json());
        assert_eq!(named, some, "{name}");
    }
    let exclusive = |row: &Value| row["exclusive"].as_u64().expect("bytes");
    assert!(
        exclusive(&all[2]) < 100_000,
        "three of four frames are shared: {all:#?}"
    );
    studio.ws(&["du", "Tabel", "--json"]).fails(4, "release::unknown");
    studio
        .ws(&["du", "Table==7", "--json"])
        .fails(4, "release::unknown");
}

#[test]
fn a_lost_pack_costs_the_lines_of_its_releases_only() {
    let studio = Studio::new();
    studio.asset("Table", 3, 1_000);
    for seed in 2..5 {
        studio.ws(&["publish", "Table"]).ok();
        studio.frames("ws/outputs/table/src/table/frames", 3, 1_000, seed);
        studio.ws(&["bump", "Table", "minor"]).ok();
    }
    let mut packs: Vec<_> = studio.snapshot("remote/v1/packs").into_keys().collect();
    packs.sort_by_key(|path| {
        let found = fs::metadata(studio.path("remote/v1/packs").join(path));
        found.and_then(|found| found.modified()).expect("a time")
    });
    fs::remove_file(studio.path("remote/v1/packs").join(&packs[1])).expect("removed");
    fs::remove_dir_all(studio.path("cache")).expect("removed");
    let all = rows(&studio.ws(&["du", "Table", "--json"]).ok().json());
    let known: Vec<bool> = all.iter().map(|row| row["unknown"][0].is_null()).collect();
    assert_eq!(known.len(), 3, "{all:#?}");
    assert!(known.contains(&true) && known.contains(&false), "{all:#?}");
}

#[test]
fn a_manifest_that_is_nowhere_costs_its_own_line_only() {
    let studio = Studio::with_dvc_layout();
    studio.asset("Table", 3, 1_000);
    studio.ws(&["publish", "Table"]).ok();
    studio.ws(&["new", "Chair"]).ok();
    studio.frames("ws/outputs/chair/src/chair/frames", 2, 1_000, 7);
    studio.ws(&["add", "ws/outputs/chair/src/chair/frames"]).ok();
    studio.ws(&["publish", "Chair"]).ok();
    let pointer = fs::read_to_string(studio.path("ws/outputs/table/src/table/frames.dvc")).expect("read");
    let md5 = pointer
        .split("md5: ")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next())
        .expect("an MD5");
    fs::remove_file(studio.path(&format!("remote/files/md5/{}/{}", &md5[..2], &md5[2..]))).expect("removed");
    fs::remove_dir_all(studio.path("cache")).expect("removed");
    let all = rows(&studio.ws(&["du", "--json"]).ok().json());
    assert_eq!(all.len(), 2, "{all:#?}");
    assert_eq!(
        (&all[0]["package"], &all[0]["files"], &all[0]["missing"]),
        (&"chair".into(), &3.into(), &0.into())
    );
    assert_eq!(all[1]["unknown"][0], md5, "{all:#?}");
    assert!(
        studio
            .ws(&["du"])
            .ok()
            .stdout()
            .contains("1 folder not counted: the manifest is nowhere")
    );
    // What decides over deletion still has to know everything.
    let run = studio.ws(&["verify", "--remote", "--releases", "--json"]);
    assert_ne!(run.output.status.code(), Some(0));
}
