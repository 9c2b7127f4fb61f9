//! `repair --repo` restores releases with the digest they were published with, from any source.

use backlot_tests::{Run, Studio};
use fs_err as fs;

const WHEEL: &str = "packages/table/table-0.1.0-py3-none-any.whl";

/// Releases of Table and Chair in `review`, copied to `blessed`.
fn published() -> Studio {
    let studio = Studio::new();
    for name in ["Table", "Chair"] {
        studio.ws(&["new", name]).ok();
        studio.ws(&["publish", name]).ok();
        studio
            .ws(&["copy", name, "--from", "review", "--to", "blessed"])
            .ok();
    }
    // What the workspace built is one of the places that are looked at.
    fs::remove_dir_all(studio.path("ws/build")).expect("removed");
    studio
}

fn place(repo: &str) -> String {
    format!("repos/{repo}/{WHEEL}")
}

fn repair(studio: &Studio, more: &[&str]) -> Run {
    studio.ws(&[&["repair", "--repo", "review", "--json"], more].concat())
}

fn overwrite(studio: &Studio, path: &str, bytes: &[u8]) {
    fs::remove_file(studio.path(path)).ok();
    studio.write(path, bytes);
}

/// How a file is harmed; nothing is left of it for `None`.
type Harm<'a> = (&'a str, &'a dyn Fn(&[u8]) -> Option<Vec<u8>>);

#[test]
fn a_damaged_or_missing_wheel_comes_back_from_another_repo_and_all_is_as_it_was() {
    let studio = published();
    let before = studio.snapshot("repos/review");
    let other = backlot_tests::wheels::wheel("table", "0.1.0", "", "somebody else's");
    let harms: [Harm<'_>; 5] = [
        ("flipped", &|bytes| {
            let mut bytes = bytes.to_vec();
            bytes[300] ^= 1;
            Some(bytes)
        }),
        ("cut", &|bytes| Some(bytes[..bytes.len() / 2].to_vec())),
        ("empty", &|_| Some(Vec::new())),
        ("another", &|_| Some(other.clone())),
        ("gone", &|_| None),
    ];
    let right = fs::read(studio.path(&place("review"))).expect("a wheel");
    for (what, harm) in harms {
        for reindexed in [false, true] {
            match harm(&right) {
                Some(bytes) => overwrite(&studio, &place("review"), &bytes),
                None => fs::remove_file(studio.path(&place("review"))).expect("removed"),
            }
            if reindexed {
                // Pages and records are made of what is there then.
                studio.ws(&["repo", "reindex", "review"]).ok();
            }
            let harmed = studio.snapshot("repos/review");
            let planned = repair(&studio, &["--dry-run"]).ok().json();
            assert_eq!(
                studio.snapshot("repos/review"),
                harmed,
                "{what}: a dry run changes nothing"
            );
            let done = repair(&studio, &[]).ok().json();
            assert_eq!(done["restored"][0]["from"], "blessed", "{what}: {done:#}");
            assert_eq!(done["restored"], planned["restored"], "{what}");
            if !reindexed {
                assert_eq!(done["mended"], planned["mended"], "{what}");
            }
            assert_eq!(done["restored"].as_array().map(Vec::len), Some(1), "{what}");
            let after = studio.snapshot("repos/review");
            let wrong: Vec<&String> = before
                .iter()
                .filter(|(path, bytes)| after.get(*path) != Some(*bytes))
                .map(|(path, _)| path)
                .collect();
            assert!(
                wrong.is_empty() && after.len() == before.len(),
                "{what} {reindexed}: {wrong:?}"
            );
            studio.ws(&["verify", "--repo"]).ok();
            // A second run finds nothing to do.
            let again = repair(&studio, &[]).ok().json();
            assert_eq!(again["restored"].as_array().map(Vec::len), Some(0), "{again:#}");
            assert_eq!(again["mended"].as_array().map(Vec::len), Some(0), "{again:#}");
        }
    }
}

#[test]
fn sidecars_records_and_pages_are_made_again() {
    let studio = published();
    let before = studio.snapshot("repos/review");
    for path in [
        format!("{}.metadata", place("review")),
        format!("{}.json", place("review")),
        "repos/review/simple/table/index.html".to_owned(),
        "repos/review/simple/table/index.json".to_owned(),
    ] {
        for bytes in [Some(&b"wrong"[..]), None] {
            match bytes {
                Some(bytes) => overwrite(&studio, &path, bytes),
                None => fs::remove_file(studio.path(&path)).expect("removed"),
            }
            let done = repair(&studio, &[]).ok().json();
            assert_ne!(
                done["mended"].as_array().map(Vec::len),
                Some(0),
                "{path}: {done:#}"
            );
            assert_eq!(studio.snapshot("repos/review"), before, "{path}");
        }
    }
}

#[test]
fn a_record_with_another_digest_than_was_published_is_what_is_wrong_and_not_the_wheel() {
    let studio = published();
    let before = studio.snapshot("repos/review");
    let path = format!("{}.json", place("review"));
    for key in ["\"sha256\": \"", "\"metadata_sha256\": \""] {
        let mut record = fs::read_to_string(studio.path(&path)).expect("a record");
        let at = record.find(key).expect("its digest") + key.len();
        let other = if record[at..].starts_with('0') { "1" } else { "0" };
        record.replace_range(at..=at, other);
        overwrite(&studio, &path, record.as_bytes());
        let run = studio.ws(&["verify", "--repo", "review", "--json"]);
        assert_eq!(run.output.status.code(), Some(7), "{}", run.stdout());
        let report = &run.json()["repos"][0];
        assert_eq!(report["damaged"].as_array().map(Vec::len), Some(0), "{report:#}");
        assert!(report["stale"].to_string().contains(".whl.json"), "{report:#}");
        let done = repair(&studio, &[]).ok().json();
        assert_eq!(done["restored"].as_array().map(Vec::len), Some(0), "{done:#}");
        assert_eq!(studio.snapshot("repos/review"), before, "{key}");
    }
}

#[test]
fn only_the_published_bytes_count_and_what_is_nowhere_is_lost_and_its_page_stays() {
    let studio = published();
    let right = fs::read(studio.path(&place("review"))).expect("a wheel");
    let other = backlot_tests::wheels::wheel("table", "0.1.0", "", "somebody else's");
    overwrite(&studio, &place("review"), b"nothing");
    overwrite(&studio, &place("blessed"), &other);
    let page = fs::read(studio.path("repos/review/simple/table/index.json")).expect("a page");
    let run = repair(&studio, &[]);
    assert_eq!(run.output.status.code(), Some(7), "{}", run.stdout());
    let report = run.json();
    assert_eq!(report["lost"].as_array().map(Vec::len), Some(1), "{report:#}");
    assert!(
        report["lost"][0]["reason"]
            .as_str()
            .is_some_and(|r| r.contains("no other copy")),
        "{report:#}"
    );
    assert_eq!(
        fs::read(studio.path(&place("review"))).expect("there"),
        b"nothing"
    );
    assert_eq!(
        fs::read(studio.path("repos/review/simple/table/index.json")).expect("a page"),
        page
    );
    // Only from the one that was named.
    overwrite(&studio, &place("blessed"), &right);
    fs::create_dir_all(studio.path("empty")).expect("made");
    studio.ws(&["repo", "add", "third", "repos/third"]).ok();
    assert_eq!(
        repair(&studio, &["--from", "third"]).output.status.code(),
        Some(7)
    );
    let done = repair(&studio, &["--from", "blessed"]).ok().json();
    assert_eq!(done["restored"][0]["from"], "blessed");
    assert_eq!(fs::read(studio.path(&place("review"))).expect("there"), right);
}

#[test]
fn the_workspace_that_built_it_has_it_too() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    let right = fs::read(studio.path(&place("review"))).expect("a wheel");
    overwrite(&studio, &place("review"), b"nothing");
    let done = repair(&studio, &[]).ok().json();
    assert_eq!(done["restored"][0]["from"], "build", "{done:#}");
    assert_eq!(fs::read(studio.path(&place("review"))).expect("there"), right);
}

#[test]
fn an_index_and_a_plain_folder_are_not_repaired_from_here() {
    let studio = Studio::new();
    backlot_tests::wheels::put(&studio, "drop", "pk", "1.0", "");
    studio.ws(&["repo", "add", "drop", "drop"]).ok();
    studio
        .ws(&["repair", "--repo", "drop", "--json"])
        .fails(3, "repo::flat_folder");
    studio
        .ws(&["repair", "--repo", "none", "--json"])
        .fails(4, "config::unknown_name");
}

#[test]
fn an_unpacked_wheel_that_rotted_is_found_by_verify_and_never_installed_again() {
    let studio = published();
    studio.workspace("one");
    studio.run(&["-w", "one", "install", "Table"]).ok();
    let report = studio
        .run(&["-w", "one", "verify", "--cache", "--json"])
        .ok()
        .json();
    assert_eq!(report["unpacked"]["wheels"], 1, "{report:#}");
    let wheels = studio.snapshot("cache/wheels");
    let module = wheels
        .keys()
        .find(|path| path.ends_with("table/__init__.py"))
        .expect("unpacked");
    let path = studio.path("cache/wheels").join(module);
    let before = fs::metadata(&path).expect("there");
    // As a disk rots: neither size nor time changes.
    let mut bytes = fs::read(&path).expect("read");
    let right = bytes.clone();
    bytes[0] ^= 1;
    let open: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(&path, open).expect("set");
    let file = fs::OpenOptions::new().write(true).open(&path).expect("opened");
    std::os::unix::fs::FileExt::write_all_at(file.file(), &bytes, 0).expect("written");
    file.file()
        .set_modified(before.modified().expect("a time"))
        .expect("set");
    drop(file);
    fs::set_permissions(&path, before.permissions()).expect("set");
    let run = studio.run(&["-w", "one", "verify", "--cache", "--json"]);
    assert_eq!(run.output.status.code(), Some(7), "{}", run.stdout());
    let report = run.json();
    let damaged = report["unpacked"]["damaged"].as_array().expect("a list");
    assert_eq!(damaged.len(), 1, "{report:#}");
    assert!(
        damaged[0]
            .as_str()
            .is_some_and(|name| name.starts_with("table-0.1.0 (")),
        "{report:#}"
    );
    studio.workspace("two");
    studio.run(&["-w", "two", "install", "Table"]).ok();
    let installed = backlot_tests::installers::site_packages(&studio, "two").join("table/__init__.py");
    assert_eq!(fs::read(installed).expect("installed"), right);
    studio.run(&["-w", "two", "verify", "--cache"]).ok();
    studio.leaves_harm();
}
