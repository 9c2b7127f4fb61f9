//! Inspecting inputs: requirements, reasons, outdated inputs; and safe updates.

use backlot_tests::Studio;
use serde_json::Value;

/// `Shot010` needs `KitchenSet` and `Table`, `KitchenSet` needs `Table<3`; `Table` has 1.0.0 to 3.0.0.
fn studio() -> Studio {
    let studio = Studio::empty();
    studio.workspace("maker");
    let maker = |arguments: &[&str]| studio.run(&[&["-w", "maker"], arguments].concat()).ok();
    maker(&["new", "Table"]);
    release(&studio, "1.0.0");
    maker(&["new", "KitchenSet"]);
    maker(&["input", "add", "KitchenSet", "Table<3"]);
    maker(&["publish", "KitchenSet"]);
    maker(&["new", "Shot010"]);
    maker(&["input", "add", "Shot010", "KitchenSet", "Table"]);
    maker(&["publish", "Shot010"]);
    studio.workspace("ws");
    studio.ws(&["install", "Shot010"]).ok();
    for version in ["2.0.0", "3.0.0"] {
        release(&studio, version);
    }
    studio
}

fn release(studio: &Studio, version: &str) {
    let text = format!("__version__ = \"{version}\"\n");
    studio.write("maker/outputs/table/src/table/__version__.py", text.as_bytes());
    studio.run(&["-w", "maker", "publish", "Table"]).ok();
}

fn row<'a>(report: &'a Value, list: &str, key: &str, name: &str) -> &'a Value {
    let rows = report[list].as_array().expect("a list");
    rows.iter()
        .find(|r| r[key] == name)
        .unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

#[test]
fn a_tree_and_the_chains_to_a_package_are_told() {
    let studio = studio();
    let tree = studio.ws(&["tree"]).ok().stdout();
    let expected = "\
shot010 0.1.0 (from review)
├── kitchenset 0.1.0 (from review) [kitchenset]
│   └── table 1.0.0 (from review) [table<3]
└── table 1.0.0 (from review) [table]
";
    assert_eq!(tree, expected);
    let shallow = studio.ws(&["tree", "Shot010", "--depth", "1"]).ok().stdout();
    assert_eq!(shallow.lines().count(), 3, "{shallow}");
    let inverted = studio.ws(&["tree", "Table", "--invert"]).ok().stdout();
    let expected = "\
table 1.0.0 (from review)
├── kitchenset 0.1.0 (from review) [table<3]
│   └── shot010 0.1.0 (from review) [kitchenset]
└── shot010 0.1.0 (from review) [table]
";
    assert_eq!(inverted, expected);
    let why = studio.ws(&["why", "table", "--json"]).ok().json();
    let chains = why["chains"].as_array().expect("chains");
    assert_eq!((chains.len(), &why["more"]), (2, &false.into()), "{why:#}");
    assert_eq!(chains[0].as_array().map(Vec::len), Some(2), "the shortest first");
    assert_eq!(chains[1][2]["requirement"], "table<3");
    let text = studio.ws(&["why", "Table"]).ok().stdout();
    assert!(
        text.contains("the workspace -> shot010 0.1.0 [Shot010] -> table 1.0.0 [table]"),
        "{text}"
    );
    studio
        .ws(&["why", "Lamp", "--json"])
        .fails(4, "input::not_installed");
    studio
        .ws(&["tree", "Lamp", "--json"])
        .fails(4, "input::not_installed");
}

#[test]
fn what_is_behind_is_shown_with_what_holds_it_and_updates_take_what_fits_and_is_not_deprecated() {
    let studio = studio();
    let report = studio.ws(&["outdated", "--json"]).ok().json();
    let table = row(&report, "outdated", "package", "table");
    assert_eq!(
        (
            &table["version"],
            &table["admitted"],
            &table["newest"][0]["version"]
        ),
        (&"1.0.0".into(), &"2.0.0".into(), &"3.0.0".into())
    );
    assert_eq!(table["held_by"][0], "kitchenset: table<3");
    assert_eq!(report["outdated"].as_array().map(Vec::len), Some(1));

    let planned = studio.ws(&["update", "--dry-run", "--json"]).ok().json();
    let change = row(&planned, "changes", "name", "table");
    assert_eq!(
        (&change["from"], &change["to"]),
        (&"1.0.0".into(), &"2.0.0".into())
    );
    let status = |studio: &Studio| {
        let report = studio.ws(&["status", "--json"]).ok().json();
        row(&report, "inputs", "package", "table")["version"].clone()
    };
    assert_eq!(status(&studio), "1.0.0", "a dry run");
    // Nothing moves to a deprecated release by itself, though it is the only newer one that fits.
    studio.ws(&["deprecate", "Table==2.0.0", "-m", "use 3"]).ok();
    studio.ws(&["deprecate", "Table==1.0.0", "-m", "use 3"]).ok();
    let kept = studio.ws(&["update", "Table", "--json"]).ok().json();
    assert_eq!(kept["changes"].as_array().map(Vec::len), Some(0), "{kept:#}");
    let text = studio.ws(&["outdated"]).ok().stdout();
    assert!(
        text.contains("deprecated: use 3") && text.contains("held by kitchenset: table<3"),
        "{text}"
    );
    // Who names it exactly gets it.
    let run = studio.ws(&["install", "Table==2.0.0", "--json"]).ok();
    assert!(run.stderr().contains("resolve::deprecated"), "{}", run.stderr());
    assert_eq!(status(&studio), "2.0.0");
    studio.ws(&["yank", "Table==2.0.0", "-m", "broken"]).ok();
    let report = studio.ws(&["outdated", "--json"]).ok().json();
    let table = row(&report, "outdated", "package", "table");
    assert_eq!(table["yanked"]["reason"], "broken");
    studio
        .ws(&["update", "Lamp", "--json"])
        .fails(4, "input::not_installed");
}

/// A workspace `other` beside `ws`, with `Table` 0.1.0 in the repo `blessed` and 0.2.0 in `review`.
fn preferred() -> Studio {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    studio.ws(&["publish", "Table", "--to", "blessed"]).ok();
    studio.ws(&["bump", "Table", "minor"]).ok();
    studio.ws(&["publish", "Table", "--to", "review"]).ok();
    studio.workspace("other");
    studio
}

#[test]
fn what_outdated_says_of_a_package_is_what_update_does_and_a_preferred_repo_lowers_nothing() {
    let studio = preferred();
    let other = |arguments: &[&str]| studio.run(&[&["-w", "other"], arguments].concat());
    other(&["install", "Table"]).ok();
    let report = other(&["outdated", "--json"]).ok().json();
    let table = row(&report, "outdated", "package", "table");
    assert_eq!(
        (&table["version"], &table["admitted"]),
        (&"0.1.0".into(), &"0.1.0".into()),
        "{report:#}"
    );
    assert_eq!(
        table["held_by"][0],
        "the workspace: blessed is preferred to review"
    );
    let updated = other(&["update", "--json"]).ok().json();
    assert_eq!(updated["changes"], serde_json::json!([]));
    // Who has the newer one keeps it, though another repo is preferred.
    other(&["install", "Table", "--from", "review"]).ok();
    let report = other(&["outdated", "--json"]).ok();
    assert_eq!(report.json()["outdated"], serde_json::json!([]));
    for arguments in [
        &["update", "--json"][..],
        &["install", "-U", "--json"][..],
        &["lock", "-U", "--json"][..],
    ] {
        let run = other(arguments).ok();
        assert!(!run.stderr().contains("resolve::lowered"), "{}", run.stderr());
        let lock = fs_err::read_to_string(studio.path("other/backlot.lock")).expect("a lock");
        assert!(lock.contains("version = \"0.2.0\""), "{arguments:?}: {lock}");
    }
}

#[test]
fn an_update_that_has_to_lower_a_package_says_so_and_outdated_knew() {
    let studio = preferred();
    let other = |arguments: &[&str]| studio.run(&[&["-w", "other"], arguments].concat());
    other(&["install", "Table", "--from", "review"]).ok();
    studio.ws(&["yank", "Table==0.2.0", "-m", "wrong scale"]).ok();
    let report = other(&["outdated", "--json"]).ok();
    assert!(
        report.stderr().contains("resolve::lowered"),
        "{}",
        report.stderr()
    );
    let report = report.json();
    assert_eq!(row(&report, "outdated", "package", "table")["admitted"], "0.1.0");
    let run = other(&["update", "--json"]).ok();
    assert!(
        run.stderr()
            .contains("table is downgraded from 0.2.0 to 0.1.0: 0.2.0 is yanked"),
        "{}",
        run.stderr()
    );
    assert_eq!(run.json()["changes"][0]["to"], "0.1.0");
}

#[test]
fn a_yanked_or_deprecated_input_is_told_with_its_reason_and_author_by_every_command_that_uses_it_once() {
    let studio = preferred();
    let other = |arguments: &[&str]| studio.run(&[&["-w", "other"], arguments].concat());
    other(&["install", "Table"]).ok();
    other(&["bundle", "-o", "made"]).ok();
    let copy = ["copy", "Table==0.1.0", "--from", "blessed", "--to", "review"];
    let commands: [&[&str]; 15] = [
        &["edit", "Table", "--dry-run"],
        &["export"],
        &["install", "--repair"],
        &["bundle", "-o", "again", "--dry-run"],
        &["unbundle", "made", "--into-repo", "review", "--dry-run"],
        &[&copy[..], &["--dry-run"]].concat(),
        &["install"],
        &["install", "--locked"],
        &["install", "Table==0.1.0", "--dry-run"],
        &["status"],
        &["tree"],
        &["why", "Table"],
        &["run", "true"],
        &["show", "Table==0.1.0"],
        &["lock", "--dry-run"],
    ];
    for command in commands {
        let told = other(command).ok().stderr();
        assert!(
            !told.contains("deprecated") && !told.contains("yanked"),
            "{command:?}: {told}"
        );
    }
    studio
        .ws(&[
            "deprecate",
            "Table==0.1.0",
            "--repo",
            "blessed",
            "-m",
            "use the new rig",
        ])
        .ok();
    studio
        .ws(&["yank", "Table==0.1.0", "--repo", "blessed", "-m", "wrong scale"])
        .ok();
    for command in commands {
        let told = other(command).ok().stderr();
        for line in [
            "is deprecated by ana: use the new rig",
            "is yanked by ana: wrong scale",
        ] {
            assert_eq!(told.matches(line).count(), 1, "{command:?}: {told}");
        }
    }
}
