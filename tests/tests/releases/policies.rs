//! Policies for choosing releases: by status, by pre-releases, and with all others pinned; and labels.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell gets the search path of the tests"
)]

use backlot_tests::wheels::put;
use backlot_tests::{Run, Studio};
use fs_err as fs;
use serde_json::Value;

/// A studio whose repo `review` has Table 0.1.0, approved, and 0.2.0 and 0.3.0, and which has the workspace `user`.
fn studio() -> Studio {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    for _ in 0..2 {
        studio.ws(&["publish", "Table", "--bump", "minor"]).ok();
    }
    studio.ws(&["approve", "Table==0.1.0", "-m", "good"]).ok();
    studio.workspace("user");
    studio
}

fn user(studio: &Studio, arguments: &[&str]) -> Run {
    studio.run(&[&["-w", "user"], arguments].concat())
}

/// The locked version of a package.
fn locked(studio: &Studio, package: &str) -> String {
    let lock = fs::read_to_string(studio.path("user/backlot.lock")).expect("a lock");
    let lock: toml::Table = lock.parse().expect("TOML");
    let packages = lock["package"].as_array().expect("packages").iter();
    let mut found = packages.filter(|one| one["name"].as_str() == Some(package));
    let found = found.next().expect("it is locked");
    found["version"].as_str().expect("a version").to_owned()
}

fn message(error: &Value) -> String {
    format!("{} {}", error["message"], error["help"])
}

#[test]
fn only_approved_releases_are_chosen_where_that_is_asked_for_and_others_are_named() {
    let studio = studio();
    let before = fs::read(studio.path("user/backlot.toml")).expect("read");
    let approved = ["policy", "--status", "approved", "--json"];
    let planned = user(&studio, &[&approved[..], &["--dry-run"]].concat())
        .ok()
        .json();
    assert_eq!(fs::read(studio.path("user/backlot.toml")).expect("read"), before);
    let done = user(&studio, &approved).ok().json();
    assert_eq!(planned["policies"], done["policies"]);
    assert_eq!(done["policies"][0]["status"], "approved", "{done:#}");
    assert_eq!(
        user(&studio, &["policy", "--json"]).ok().json()["policies"],
        done["policies"]
    );

    user(&studio, &["install", "Table"]).ok();
    assert_eq!(locked(&studio, "table"), "0.1.0");
    let outdated = user(&studio, &["outdated", "--json"]).ok().json();
    let held = outdated["outdated"][0]["held_by"][0].as_str().unwrap_or_default();
    assert!(
        held.contains("table 0.3.0 is there but not approved in `review`"),
        "{outdated:#}"
    );
    let refused = user(&studio, &["install", "Table==0.3.0", "--json"]).fails(5, "resolve::conflict");
    let told = message(&refused);
    assert!(
        told.contains("0.3.0") && told.contains("there but not approved in `review`"),
        "{told}"
    );
    assert!(told.contains("backlot approve NAME==VERSION"), "{told}");
    assert_eq!(locked(&studio, "table"), "0.1.0");

    // An approval counts at once, though no page of the repo changes by it.
    studio.ws(&["approve", "Table==0.2.0", "-m", "good, too"]).ok();
    user(&studio, &["update"]).ok();
    assert_eq!(locked(&studio, "table"), "0.2.0");
    // A repo, and an asset, may be said to be otherwise.
    user(&studio, &["policy", "--repo", "review", "--status", "any"]).ok();
    user(&studio, &["update"]).ok();
    assert_eq!(locked(&studio, "table"), "0.3.0");
    user(&studio, &["policy", "--asset", "table", "--status", "approved"]).ok();
    user(&studio, &["install", "--upgrade"]).ok();
    assert_eq!(locked(&studio, "table"), "0.2.0");
    for scope in [&["--asset", "Table"][..], &["--repo", "review"], &[]] {
        user(&studio, &[&["policy", "--reset"], scope].concat()).ok();
    }
    let text = fs::read_to_string(studio.path("user/backlot.toml")).expect("read");
    assert!(!text.contains("policy"), "{text}");
    user(
        &studio,
        &["policy", "--repo", "revew", "--status", "any", "--json"],
    )
    .fails(4, "config::unknown_name");
}

#[test]
fn a_policy_that_cannot_be_read_stops_every_choice_and_goes_with_its_repo() {
    let studio = studio();
    user(&studio, &["policy", "--repo", "review", "--status", "approved"]).ok();
    user(&studio, &["repo", "remove", "review"]).ok();
    let text = fs::read_to_string(studio.path("user/backlot.toml")).expect("read");
    assert!(!text.contains("policy"), "{text}");
    studio.write(
        "user/backlot.toml",
        format!("{text}\n[policy]\nstatus = \"aproved\"\n").as_bytes(),
    );
    let error = user(&studio, &["install", "--json"]).fails(3, "config::invalid");
    assert!(message(&error).contains("did you mean `approved`?"), "{error:#}");
    studio.write(
        "user/backlot.toml",
        format!("{text}\n[policy.repos]\ngone = \"any\"\n").as_bytes(),
    );
    user(&studio, &["install", "--json"]).fails(3, "config::invalid");
}

#[test]
fn pre_releases_of_one_asset_are_not_chosen_but_by_a_pin() {
    let studio = Studio::empty();
    for (name, version) in [("pk", "1.0"), ("pk", "2.0rc1"), ("new", "1.0a1")] {
        put(&studio, "drop", name, version, "");
    }
    studio.run(&["init", "user"]).ok();
    user(&studio, &["repo", "add", "drop", "drop"]).ok();
    user(
        &studio,
        &["policy", "--asset", "New", "--prereleases", "disallow"],
    )
    .ok();
    let refused = user(&studio, &["install", "New", "--json"]).fails(5, "resolve::conflict");
    assert!(message(&refused).contains("is a pre-release"), "{refused:#}");
    user(&studio, &["install", "New", "--pre", "--json"]).fails(5, "resolve::conflict");
    user(&studio, &["install", "pk", "--pre"]).ok();
    assert_eq!(locked(&studio, "pk"), "2.0rc1");
    user(&studio, &["install", "New==1.0a1"]).ok();
    assert_eq!(locked(&studio, "new"), "1.0a1");
    // Of all others it is as it was.
    user(&studio, &["policy", "--prereleases", "allow"]).ok();
    user(&studio, &["uninstall", "pk"]).ok();
    user(&studio, &["install", "pk"]).ok();
    assert_eq!(locked(&studio, "pk"), "2.0rc1");
}

#[test]
fn an_update_of_one_input_alone_leaves_all_others_where_they_are() {
    let studio = Studio::empty();
    put(&studio, "drop", "table", "1.0", "");
    put(&studio, "drop", "lamp", "1.0", "Requires-Dist: table\n");
    studio.run(&["init", "user"]).ok();
    user(&studio, &["repo", "add", "drop", "drop"]).ok();
    user(&studio, &["install", "lamp"]).ok();
    put(&studio, "drop", "table", "2.0", "");
    put(&studio, "drop", "lamp", "1.1", "Requires-Dist: table\n");
    put(&studio, "drop", "lamp", "2.0", "Requires-Dist: table>=2\n");
    user(&studio, &["update", "lamp", "--only"]).ok();
    assert_eq!(
        (locked(&studio, "lamp"), locked(&studio, "table")),
        ("1.1".to_owned(), "1.0".to_owned())
    );
    user(&studio, &["update", "--only", "--json"]).fails(2, "command::usage");
    user(&studio, &["update", "lamp"]).ok();
    assert_eq!(
        (locked(&studio, "lamp"), locked(&studio, "table")),
        ("2.0".to_owned(), "2.0".to_owned())
    );
}

#[test]
fn an_input_follows_a_label_which_moves_without_a_byte_of_a_release() {
    let studio = studio();
    let set = |version: &str, more: &[&str]| {
        let release = format!("Table=={version}");
        studio.ws(&[&["label", "set", release.as_str(), "hero", "--json"], more].concat())
    };
    let packages = studio.snapshot("repos/review/packages");
    let planned = set("0.2.0", &["--dry-run"]).ok().json();
    assert!(studio.snapshot("repos/review/labels").is_empty());
    let done = set("0.2.0", &["-m", "the hero"]).ok().json();
    assert_eq!(
        (&planned["version"], &planned["already"]),
        (&done["version"], &done["already"])
    );
    assert_eq!(set("0.2.0", &[]).ok().json()["already"], true);
    let events = studio.snapshot("repos/review/labels");
    assert_eq!(events.len(), 1, "what holds already is not said again");

    user(&studio, &["install", "Table@hero"]).ok();
    assert_eq!(locked(&studio, "table"), "0.2.0");
    let lock = fs::read_to_string(studio.path("user/backlot.lock")).expect("read");
    assert!(lock.contains("label = \"hero\""), "{lock}");
    let text = fs::read_to_string(studio.path("user/backlot.toml")).expect("read");
    assert!(text.contains("label = \"hero\""), "{text}");

    // It moves; who has it locked stays where it is until an update.
    let moved = set("0.3.0", &[]).ok().json();
    assert_eq!(
        (&moved["before"], &moved["version"]),
        (&"0.2.0".into(), &"0.3.0".into())
    );
    user(&studio, &["install"]).ok();
    user(&studio, &["install", "--locked"]).ok();
    assert_eq!(locked(&studio, "table"), "0.2.0");
    let outdated = user(&studio, &["outdated", "--json"]).ok().json();
    assert_eq!(outdated["outdated"][0]["admitted"], "0.3.0", "{outdated:#}");
    let planned = user(&studio, &["update", "--dry-run", "--json"]).ok().json();
    assert_eq!(planned["changes"][0]["to"], "0.3.0", "{planned:#}");
    user(&studio, &["update", "Table"]).ok();
    assert_eq!(locked(&studio, "table"), "0.3.0");
    // Also back. Every move is still there, and no release was touched.
    set("0.1.0", &[]).ok();
    user(&studio, &["update"]).ok();
    assert_eq!(locked(&studio, "table"), "0.1.0");
    let now = studio.snapshot("repos/review/labels");
    assert!(events.iter().all(|(path, bytes)| now.get(path) == Some(bytes)) && now.len() == 3);
    assert_eq!(studio.snapshot("repos/review/packages"), packages);

    let listed = studio.ws(&["label", "list", "Table", "--json"]).ok().json();
    let labels: Vec<&str> = listed["labels"]
        .as_array()
        .expect("labels")
        .iter()
        .filter_map(|one| one["label"].as_str())
        .collect();
    assert_eq!(labels, ["hero", "latest-approved"], "{listed:#}");
    // Asked for without a label, it follows none.
    user(&studio, &["install", "Table"]).ok();
    assert_eq!(locked(&studio, "table"), "0.3.0");
    let text = fs::read_to_string(studio.path("user/backlot.toml")).expect("read");
    assert!(!text.contains("label"), "{text}");
}

#[test]
fn labels_that_are_gone_or_wrong_are_named_and_the_newest_approved_is_one() {
    let studio = studio();
    user(&studio, &["install", "Table@latest-approved"]).ok();
    assert_eq!(locked(&studio, "table"), "0.1.0");
    studio.ws(&["approve", "Table==0.2.0", "-m", "good"]).ok();
    user(&studio, &["update"]).ok();
    assert_eq!(locked(&studio, "table"), "0.2.0");
    studio.ws(&["yank", "Table==0.2.0", "-m", "bad"]).ok();
    user(&studio, &["update"]).ok();
    assert_eq!(locked(&studio, "table"), "0.1.0");

    let error = user(&studio, &["install", "Table@nobody", "--json"]).fails(5, "resolve::conflict");
    assert!(
        message(&error).contains("not `@nobody`, which no repo has"),
        "{error:#}"
    );
    assert_eq!(locked(&studio, "table"), "0.1.0");
    let text = fs::read_to_string(studio.path("user/backlot.toml")).expect("read");
    assert!(
        text.contains("latest-approved") && !text.contains("nobody"),
        "{text}"
    );
    for (label, code) in [("latest-approved", "label::invalid"), ("Hero", "label::invalid")] {
        studio
            .ws(&["label", "set", "Table==0.1.0", label, "--json"])
            .fails(2, code);
    }
    studio.ws(&["label", "set", "Table==0.1.0", "hero"]).ok();
    let error = studio
        .ws(&["label", "remove", "Table", "hreo", "--json"])
        .fails(4, "label::unknown");
    assert!(message(&error).contains("did you mean `hero`?"), "{error:#}");
    studio.ws(&["label", "remove", "Table", "hero"]).ok();
    studio
        .ws(&["label", "remove", "Table", "hero", "--json"])
        .fails(4, "label::unknown");
    // Labels are each repo's own.
    studio.ws(&["label", "set", "Table==0.1.0", "hero"]).ok();
    studio
        .ws(&["copy", "Table==0.1.0", "--from", "review", "--to", "blessed"])
        .ok();
    let of_blessed = studio
        .ws(&["label", "list", "Table", "--repo", "blessed", "--json"])
        .ok()
        .json();
    let labels: Vec<&Value> = of_blessed["labels"]
        .as_array()
        .expect("labels")
        .iter()
        .map(|one| &one["label"])
        .collect();
    assert_eq!(labels, ["latest-approved"], "{of_blessed:#}");
}

#[test]
fn names_that_are_spelled_wrong_are_put_right_and_shells_complete_them() {
    let studio = studio();
    user(&studio, &["install", "Table"]).ok();
    for arguments in [
        &["update", "tabel"][..],
        &["why", "tabel"],
        &["uninstall", "tabel"],
        &["edit", "tabel"],
        &["approve", "tabel==0.1.0", "-m", "good"],
        &["label", "set", "tabel==0.1.0", "hero"],
        &["show", "tabel"],
    ] {
        let error = user(&studio, &[arguments, &["--json"]].concat()).json();
        let told = error["error"]["message"].as_str().unwrap_or_default();
        assert!(told.contains("did you mean `table`?"), "{arguments:?}: {error:#}");
    }
    let refused = user(&studio, &["instal", "Table", "--json"]).fails(2, "command::usage");
    assert!(message(&refused).contains("'install'"), "{refused:#}");

    let complete = |line: &str| user(&studio, &["complete", "--line", "--", line]).ok().stdout();
    assert_eq!(complete("backlot why ta"), "table\n");
    assert_eq!(complete("backlot repo remove rev"), "review\n");
    assert_eq!(
        complete("backlot install table=="),
        "table==0.3.0\ntable==0.2.0\ntable==0.1.0\n"
    );
    // In bash itself, which divides a word at `=`.
    let script = "eval \"$(backlot completions bash)\"; COMP_LINE='backlot -w user install table==0.2'; COMP_POINT=${#COMP_LINE}; _backlot; echo \"${COMPREPLY[*]}\"";
    let mut bash = std::process::Command::new("bash");
    let folder = backlot_tests::binary()
        .parent()
        .expect("a folder")
        .display()
        .to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    bash.args(["-c", script])
        .current_dir(studio.root())
        .env("PATH", format!("{folder}:{path}"));
    bash.env("HOME", studio.path("home"))
        .env("BACKLOT_CACHE_DIR", studio.path("cache"));
    assert_eq!(backlot_tests::run_command(&mut bash).ok().stdout(), "0.2.0\n");
}
