//! `du`: disk usage of releases on a remote, as a table, as bars and as a chart.

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
fn a_missing_manifest_costs_its_own_line_only() {
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
            .contains("1 folder not counted: its manifest is missing")
    );
    // What decides over deletion still has to know everything.
    let run = studio.ws(&["verify", "--remote", "--releases", "--json"]);
    assert_ne!(run.output.status.code(), Some(0));
}

/// Pages of a repo give times in whole seconds.
fn next_second() {
    std::thread::sleep(std::time::Duration::from_millis(1_050));
}

/// The first words of the lines of a report below its head.
fn names(report: &str) -> Vec<String> {
    let rows = report.lines().skip(1);
    let words = rows.map(|row| row.split_whitespace().take(3).collect::<Vec<_>>().join(" "));
    words.collect()
}

#[test]
fn a_plot_is_in_the_order_of_publication_and_shared_content_costs_the_release_that_was_first() {
    let studio = Studio::new();
    studio.asset("Table", 4, 50_000);
    studio.ws(&["publish", "Table"]).ok();
    // Before `table` by name, after its first version by date, with the same content.
    studio.ws(&["new", "Chair"]).ok();
    let frames = studio.snapshot("ws/outputs/table/src/table/frames");
    for (name, content) in &frames {
        studio.write(&format!("ws/outputs/chair/src/chair/frames/{name}"), content);
    }
    studio.ws(&["add", "ws/outputs/chair/src/chair/frames"]).ok();
    next_second();
    studio.ws(&["publish", "Chair"]).ok();
    next_second();
    studio.frames("ws/outputs/table/src/table/frames", 4, 50_000, 9);
    studio.ws(&["publish", "Table", "--bump", "micro"]).ok();

    let all = rows(&studio.ws(&["du", "--json"]).ok().json());
    let published: Vec<u64> = all
        .iter()
        .map(|row| row["published_at"].as_u64().expect("a time"))
        .collect();
    assert!(
        published[1] < published[0] && published[0] < published[2],
        "chair, table, table: {all:#?}"
    );
    let cost = |row: &Value| row["added"].as_u64().expect("bytes");
    assert!(cost(&all[0]) < 10_000, "table has the same frames: {all:#?}");
    assert!(
        cost(&all[1]) > 150_000 && cost(&all[2]) > 150_000,
        "new frames: {all:#?}"
    );

    let day = studio.ws(&["du", "--plot"]).ok().stdout();
    let today = day.lines().nth(1).and_then(|row| row.split(' ').next());
    let today = today.expect("a date").to_owned();
    assert!(today.len() == 10 && today.starts_with("20"), "{day}");
    let expected = ["table 0.1.0", "chair 0.1.0", "table 0.1.1"].map(|name| format!("{today} {name}"));
    assert_eq!(names(&day), expected, "{day}");
    let by_version = studio.ws(&["du", "--plot", "--by", "version"]).ok();
    let order: Vec<String> = names(&by_version.stdout())
        .iter()
        .map(|row| row.rsplit_once(' ').expect("a size").0.to_owned())
        .collect();
    assert_eq!(order, ["chair 0.1.0", "table 0.1.0", "table 0.1.1"]);
}

#[test]
fn a_chart_has_a_time_axis_by_date_and_equal_steps_by_version() {
    let studio = studio();
    studio.ws(&["du", "Table", "-o", "date.svg"]).ok();
    studio
        .ws(&["du", "Table", "-o", "version.svg", "--by", "version"])
        .ok();
    let read = |name: &str| fs::read_to_string(studio.path(name)).expect("a chart");
    let (by_date, by_version) = (read("date.svg"), read("version.svg"));
    assert!(
        by_date.contains(">published 20") && by_date.contains("(UTC)<"),
        "{by_date}"
    );
    // Two releases, a mark each on three lines.
    assert_eq!(by_date.matches("<circle").count(), 6, "{by_date}");
    assert!(by_version.contains(">versions 0.1.0 to 0.1.1<"), "{by_version}");
    assert!(!by_version.contains("<circle"), "{by_version}");
}
