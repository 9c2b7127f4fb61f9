//! Rules of the repository, as tests: crate dependencies, documented codes, file heads and sizes, no traces of a machine.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use backlot_tests::{repository, run_command};
use fs_err as fs;
use serde_json::Value;

/// What each crate may use of ours. Arrows point down only.
const ARROWS: &[(&str, &[&str])] = &[
    ("backlot-core", &[]),
    ("backlot-pep", &["backlot-core"]),
    ("backlot-cascade", &["backlot-core", "backlot-pep"]),
    ("backlot-media", &["backlot-core"]),
    ("backlot-wheel", &["backlot-core", "backlot-pep"]),
    ("backlot-resolve", &["backlot-core", "backlot-pep"]),
    ("backlot-net", &["backlot-core"]),
    ("backlot-backend", &["backlot-core", "backlot-net"]),
    (
        "backlot-store",
        &["backlot-core", "backlot-backend", "backlot-net"],
    ),
    ("backlot-dvc", &["backlot-core", "backlot-store"]),
    (
        "backlot-repo",
        &[
            "backlot-core",
            "backlot-pep",
            "backlot-net",
            "backlot-backend",
            "backlot-wheel",
        ],
    ),
    ("backlot-conda", &["backlot-core", "backlot-net"]),
    (
        "backlot",
        &[
            "backlot-core",
            "backlot-pep",
            "backlot-net",
            "backlot-backend",
            "backlot-wheel",
            "backlot-resolve",
            "backlot-store",
            "backlot-dvc",
            "backlot-repo",
            "backlot-conda",
            "backlot-media",
            "backlot-cascade",
        ],
    ),
    ("backlot-cli", &["backlot"]),
    ("backlot-xtask", &["backlot-core"]),
    ("backlot-benches", &["backlot-core"]),
    (
        "backlot-tests",
        &[
            "backlot",
            "backlot-backend",
            "backlot-core",
            "backlot-dvc",
            "backlot-net",
            "backlot-store",
            "backlot-xtask",
        ],
    ),
    (
        "backlot-fuzz-checks",
        &[
            "backlot",
            "backlot-core",
            "backlot-media",
            "backlot-pep",
            "backlot-dvc",
            "backlot-wheel",
            "backlot-store",
            "backlot-repo",
        ],
    ),
];

/// Third parties that only these crates may see.
const HIDDEN: &[(&str, &[&str])] = &[
    ("resolvo", &["backlot-resolve"]),
    ("uv-normalize", &["backlot-pep"]),
    ("uv-pep440", &["backlot-pep"]),
    ("uv-pep508", &["backlot-pep"]),
    ("opendal", &["backlot-backend"]),
    ("opendal-http-transport-reqwest", &["backlot-backend"]),
    ("rusqlite", &["backlot-store"]),
    ("async_zip", &["backlot-wheel"]),
    ("saphyr-parser", &["backlot-dvc"]),
    // rattler must be given a client, or it makes one with an environment and certificates of its own choice.
    ("reqwest", &["backlot-net", "backlot-repo", "backlot-conda"]),
    ("rustls", &["backlot-net"]),
    ("html5gum", &["backlot-repo"]),
    ("russh", &["backlot-backend"]),
    ("ring", &["backlot-backend", "backlot-net"]),
    ("clap", &["backlot-cli"]),
    ("rattler", &["backlot-conda"]),
    ("rattler_conda_types", &["backlot-conda"]),
    ("rattler_package_streaming", &["backlot-conda"]),
    ("rattler_repodata_gateway", &["backlot-conda"]),
    ("rattler_solve", &["backlot-conda"]),
    ("rattler_virtual_packages", &["backlot-conda"]),
    ("miette", &["backlot-cli"]),
    ("indicatif", &["backlot-cli"]),
    ("image", &["backlot-media"]),
];

#[test]
fn crates_use_only_what_the_architecture_allows() {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(repository());
    let metadata: Value = run_command(&mut cargo).ok().json();
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut seen = BTreeSet::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("a name");
        let arrows = allowed
            .get(name)
            .unwrap_or_else(|| panic!("{name} is not in the architecture"));
        seen.insert(name.to_owned());
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let used = dependency["name"].as_str().expect("a name");
            if used.starts_with("backlot") {
                assert!(arrows.contains(&used), "{name} must not use {used}");
            }
            if ["backlot-tests", "backlot-benches", "backlot-xtask"].contains(&name) {
                continue;
            }
            let owners = HIDDEN.iter().find(|(hidden, _)| *hidden == used);
            assert!(
                owners.is_none_or(|(_, owners)| owners.contains(&name)),
                "{name} must not see {used}"
            );
        }
    }
    assert_eq!(seen.len(), ARROWS.len());
}

/// Crates no file of which uses another in a circle, by what it names or by the methods that it calls.
const LAYERED: &[&str] = &[
    "backlot",
    "backlot-conda",
    "backlot-media",
    "backlot-net",
    "backlot-pep",
    "backlot-repo",
];

#[test]
fn files_of_a_layered_crate_use_each_other_in_one_direction() {
    for name in LAYERED {
        let src = repository().join("crates").join(name).join("src");
        let circles = backlot_xtask::circles(&src).expect("read");
        assert!(circles.is_empty(), "{name}: {circles:#?}");
    }
    // A crate that is not on the list is seen to have some, or belongs there.
    let crates = fs::read_dir(repository().join("crates")).expect("listed");
    let names = crates.map(|entry| entry.expect("listed").file_name().to_string_lossy().into_owned());
    for name in names.filter(|name| !LAYERED.contains(&name.as_str())) {
        let src = repository().join("crates").join(&name).join("src");
        let circles = backlot_xtask::circles(&src).expect("read");
        assert!(
            !circles.is_empty(),
            "{name} has no circle any more: put it on the list"
        );
    }
}

#[test]
fn every_code_is_documented_and_every_documented_code_exists() {
    let root = repository();
    let source = backlot_xtask::codes_in_source(&root).expect("sources");
    let docs = backlot_xtask::codes_in_docs(&root).expect("docs/errors.md");
    assert!(source.len() > 80);
    assert_eq!(
        source.difference(&docs).collect::<Vec<_>>(),
        [] as [&String; 0],
        "not in docs/errors.md"
    );
    assert_eq!(
        docs.difference(&source).collect::<Vec<_>>(),
        [] as [&String; 0],
        "only in docs/errors.md"
    );
}

#[test]
fn the_constants_of_codes_are_those_of_the_documentation() {
    let root = repository();
    let written = fs::read_to_string(root.join("crates/backlot/src/codes.rs")).expect("read");
    let expected = backlot_xtask::constants_of_codes(&root).expect("docs/errors.md");
    assert!(written == expected, "run `cargo xtask codes`");
}

#[test]
fn the_texts_of_errors_are_those_that_were_seen_last() {
    let root = repository();
    let kept = fs::read_to_string(root.join(backlot_xtask::error_texts::FILE)).expect("read");
    let now = backlot_xtask::error_texts::texts(&root).expect("sources");
    assert!(now.lines().count() > 800, "{now}");
    let changed = now.lines().find(|line| !kept.lines().any(|kept| kept == *line));
    assert!(
        kept == now,
        "{changed:?} is new: run `cargo xtask texts`, and read what changed"
    );
}

#[test]
fn every_source_file_says_what_it_is_is_short_enough_and_has_no_stub() {
    for path in backlot_xtask::sources(&repository()).expect("sources") {
        let text = fs::read_to_string(&path).expect("readable");
        assert!(
            text.starts_with("//!"),
            "{} does not open with //!",
            path.display()
        );
        assert!(
            text.lines().count() <= 700,
            "{} has {} lines",
            path.display(),
            text.lines().count()
        );
        for stub in [
            concat!("todo", "!("),
            concat!("unimplemented", "!("),
            concat!("#[ign", "ore"),
        ] {
            assert!(!text.contains(stub), "{} has {stub}", path.display());
        }
    }
}

#[test]
fn no_machine_and_no_registry_is_named() {
    let mut git = Command::new("git");
    let listed = run_command(git.args(["ls-files", "-z"]).current_dir(repository()))
        .ok()
        .stdout();
    let forbidden = [
        concat!("/work", "/"),
        concat!("/root", "/"),
        concat!("pypi", ".org"),
        concat!("files.python", "hosted"),
        concat!("static.crates", ".io"),
        concat!("deb.deb", "ian.org"),
    ];
    for name in listed
        .split('\0')
        .filter(|name| !name.is_empty() && *name != "Cargo.lock")
    {
        let Ok(text) = fs::read_to_string(repository().join(name)) else {
            continue;
        };
        // An address of Google Drive begins so.
        let text = text.replace("gdrive://root/", "");
        for word in forbidden {
            assert!(!text.contains(word), "{name} names `{word}`");
        }
    }
}
