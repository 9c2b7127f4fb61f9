//! `verify --repo` reads all files of a repo, and reports the damaged ones.

use backlot_tests::Studio;
use fs_err as fs;
use serde_json::Value;

/// A studio with two releases of Table and one of Chair, and the folder of Table's wheels.
fn published() -> Studio {
    let studio = Studio::new();
    for name in ["Table", "Chair"] {
        studio.ws(&["new", name]).ok();
        studio.ws(&["publish", name]).ok();
    }
    studio.ws(&["bump", "Table", "minor"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    studio
}

const WHEEL: &str = "repos/review/packages/table/table-0.1.0-py3-none-any.whl";

/// Write a file of a repo, as nobody may.
fn overwrite(studio: &Studio, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = studio.path(path);
    let mut bytes = fs::read(&path).expect("read");
    change(&mut bytes);
    fs::remove_file(&path).expect("removed");
    fs::write(&path, bytes).expect("written");
}

/// What happens to the bytes of a file.
type Damage<'a> = &'a dyn Fn(&mut Vec<u8>);

fn verified(studio: &Studio) -> Value {
    let run = studio.ws(&["verify", "--repo", "--json"]);
    let report = run.json();
    let code = run.output.status.code();
    assert_eq!(code == Some(0), report["sound"] == true, "{report:#}");
    report
}

#[test]
fn a_sound_repo_is_read_whole_and_a_damaged_wheel_is_named() {
    let studio = published();
    let report = verified(&studio);
    assert_eq!(report["sound"], true, "{report:#}");
    let files: Vec<_> = report["repos"]
        .as_array()
        .expect("repos")
        .iter()
        .map(|r| &r["files"])
        .collect();
    assert_eq!(files, [&Value::from(0), &Value::from(3)], "{report:#}");
    // In the middle of its bytes, at its end, and the whole of another release in its place.
    let other =
        fs::read(studio.path("repos/review/packages/table/table-0.2.0-py3-none-any.whl")).expect("read");
    let good = fs::read(studio.path(WHEEL)).expect("read");
    let damages: [Damage<'_>; 3] = [
        &|bytes| bytes[200] ^= 1,
        &|bytes| bytes.truncate(bytes.len() / 2),
        &|bytes| bytes.clone_from(&other),
    ];
    for damage in damages {
        overwrite(&studio, WHEEL, damage);
        let report = verified(&studio);
        let damaged = report["repos"][1]["damaged"].as_array().expect("a list");
        assert_eq!(damaged.len(), 1, "{report:#}");
        assert!(
            damaged[0]["file"]
                .as_str()
                .is_some_and(|file| file.ends_with("table-0.1.0-py3-none-any.whl"))
        );
        studio.ws(&["verify", "--repo", "blessed"]).ok();
        overwrite(&studio, WHEEL, |bytes| bytes.clone_from(&good));
    }
}

#[test]
fn a_wheel_that_is_gone_is_damage_though_nothing_else_is_wrong() {
    let studio = published();
    fs::remove_file(studio.path(WHEEL)).expect("removed");
    let report = verified(&studio);
    let damaged = report["repos"][1]["damaged"].as_array().expect("a list");
    assert_eq!(damaged.len(), 1, "{report:#}");
    // The only one of its package, too.
    let chair = studio.path("repos/review/packages/chair/chair-0.1.0-py3-none-any.whl");
    fs::remove_file(chair).expect("removed");
    let damaged = &verified(&studio)["repos"][1]["damaged"];
    assert_eq!(damaged.as_array().map(Vec::len), Some(2), "{damaged:#}");
}

#[test]
fn another_sound_wheel_under_the_name_of_a_release_is_damage_also_after_a_reindex() {
    let studio = published();
    let other = backlot_tests::wheels::wheel("table", "0.1.0", "", "somebody else's");
    overwrite(&studio, WHEEL, |bytes| *bytes = other);
    studio.ws(&["repo", "reindex", "review"]).ok();
    let report = verified(&studio);
    let damaged = &report["repos"][1]["damaged"];
    assert_eq!(damaged.as_array().map(Vec::len), Some(1), "{report:#}");
}

#[test]
fn sidecars_and_pages_that_do_not_agree_with_the_wheels_are_named_and_made_again_by_reindex() {
    let studio = published();
    let page = "repos/review/simple/table/index.html";
    for (path, text) in [
        (
            format!("{WHEEL}.metadata"),
            "Metadata-Version: 2.1\nName: other\nVersion: 0.1.0\n",
        ),
        (page.to_owned(), "<html></html>"),
    ] {
        overwrite(&studio, &path, |bytes| *bytes = text.into());
        let report = verified(&studio);
        let stale = report["repos"][1]["stale"].as_array().expect("a list");
        assert!(!stale.is_empty(), "{path}: {report:#}");
        studio.ws(&["repo", "reindex", "review"]).ok();
        assert_eq!(verified(&studio)["sound"], true, "{path}");
    }
}

#[test]
fn root_pages_that_are_damaged_or_gone_are_named_and_made_again_by_reindex_and_by_repair() {
    let studio = published();
    let before = studio.snapshot("repos/review");
    for mend in [["repo", "reindex", "review"], ["repair", "--repo", "review"]] {
        for page in ["repos/review/simple/index.html", "repos/review/simple/index.json"] {
            for is_gone in [false, true] {
                overwrite(&studio, page, |bytes| bytes.truncate(9));
                if is_gone {
                    fs::remove_file(studio.path(page)).expect("removed");
                }
                let report = verified(&studio);
                let stale = report["repos"][1]["stale"].as_array().expect("a list");
                assert_eq!(stale.len(), 1, "{page}: {report:#}");
                assert!(
                    stale[0].as_str().is_some_and(|path| path.ends_with(page)),
                    "{stale:?}"
                );
                studio.ws(&mend).ok();
                assert_eq!(studio.snapshot("repos/review"), before, "{mend:?} {page}");
                assert_eq!(verified(&studio)["sound"], true, "{mend:?} {page}");
            }
        }
    }
}
