//! Damaged chunked remotes: nothing is published on data that only the publisher can read, and `repair` restores what it can.

use backlot_tests::{Run, Studio, run_command};
use fs_err as fs;

type Damage = fn(&mut Vec<u8>);

/// A release with three frames.
fn published() -> Studio {
    let studio = Studio::new();
    studio.asset("Table", 3, 5000);
    studio.ws(&["publish", "Table"]).ok();
    studio
}

/// Change the bytes of every object below a folder of the remote. Returns how many there are.
fn change(studio: &Studio, folder: &str, change: Damage) -> usize {
    let folder = format!("remote/v1/{folder}");
    let objects = studio.snapshot(&folder);
    let count = objects.len();
    assert!(count > 0, "{folder}");
    for (name, mut bytes) in objects {
        let path = studio.path(&folder).join(name);
        change(&mut bytes);
        fs::remove_file(&path).expect("removed");
        fs::write(&path, bytes).expect("written");
    }
    count
}

/// Another machine, with a cache of its own, installs an asset and pulls its files.
fn pull(studio: &Studio, machine: &str, asset: &str) -> Run {
    studio.workspace(machine);
    let cache = studio.path(&format!("cache-{machine}"));
    let run = |arguments: &[&str]| {
        let mut command = studio.command(&[&["-w", machine], arguments].concat());
        run_command(command.env("BACKLOT_CACHE_DIR", &cache))
    };
    run(&["install", asset]).ok();
    run(&["pull"])
}

#[test]
fn a_release_does_not_rely_on_damaged_recipes_or_cut_packs() {
    let cut: Damage = |bytes| bytes.truncate(bytes.len() - 10);
    let damages: [(&str, Damage); 4] = [
        ("recipes", Vec::clear),
        ("recipes", cut),
        ("recipes", |bytes| bytes[60] ^= 1),
        ("packs", cut),
    ];
    for (folder, damage) in damages {
        let studio = published();
        change(&studio, folder, damage);
        studio.ws(&["bump", "Table", "minor"]).ok();
        let publish = studio.ws(&["publish", "Table"]).ok();
        assert!(
            publish.stderr().contains("backlot repair"),
            "{}",
            publish.stderr()
        );
        pull(&studio, "far", "Table").ok();
    }
}

#[test]
fn damaged_segments_are_found_by_verify_and_mended_and_counted_by_a_repair() {
    for folder in ["recipes", "index"] {
        let studio = published();
        let count = change(&studio, folder, |bytes| bytes[60] ^= 1);
        let verify = ["verify", "--remote", "--releases"];
        let verified = studio.ws(&verify);
        assert_eq!(verified.output.status.code(), Some(7), "{}", verified.stdout());
        let report = studio.ws(&["repair", "--json"]).ok().json();
        assert_eq!(
            report["segments"].as_array().map(Vec::len),
            Some(count),
            "{report:#}"
        );
        assert_eq!(report["lost"], serde_json::json!([]), "{report:#}");
        studio.ws(&verify).ok();
        pull(&studio, "far", "Table").ok();
        let again = studio.ws(&["repair", "--json"]).ok().json();
        assert_eq!(again["segments"], serde_json::json!([]), "{again:#}");
    }
}

#[test]
fn a_lost_manifest_is_named_with_its_way_out_and_keeps_nothing_else_from_being_repaired() {
    let studio = published();
    studio.asset("Chair", 3, 6000);
    studio.ws(&["publish", "Chair"]).ok();
    change(&studio, "packs", |bytes| bytes.truncate(50));
    let frames = "outputs/table/src/table/frames";
    let pointer = fs::read_to_string(studio.path(&format!("ws/{frames}.dvc"))).expect("a pointer");
    let mut words = pointer.split_whitespace();
    let manifest = words.find(|word| word.ends_with(".dir")).expect("a manifest");
    let object = format!("cache/files/md5/{}/{}", &manifest[..2], &manifest[2..]);
    fs::remove_file(studio.path(&object)).expect("removed");
    let repair = studio.ws(&["repair", "--json"]);
    assert_eq!(repair.output.status.code(), Some(7), "{}", repair.stdout());
    let report = repair.json();
    assert_eq!(
        report["lost"].as_array().map(Vec::len),
        Some(1),
        "only the manifest is lost: {report:#}"
    );
    assert_eq!(report["lost"][0]["path"], frames, "{report:#}");
    let repaired = report["repaired"].as_array().map(Vec::len);
    assert!(repaired >= Some(4), "the other asset is whole: {report:#}");
    let way_out = format!("backlot add {frames}");
    assert!(repair.stderr().contains(&way_out), "{}", repair.stderr());
    pull(&studio, "far", "Chair").ok();
    studio.ws(&["add", &format!("ws/{frames}")]).ok();
    studio.ws(&["repair"]).ok();
    studio.ws(&["verify", "--remote", "--releases"]).ok();
    pull(&studio, "farther", "Table").ok();
}
