//! Every check over every seed, and over some thousands of inputs made of the seeds: the same ones each time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use backlot_fuzz_checks::{Mutator, TARGETS, Target};
use fs_err as fs;

fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../seeds")
        .join(target.name);
    let mut paths: Vec<_> = fs::read_dir(folder)
        .expect("seeds")
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| fs::read(path).expect("readable"))
        .collect()
}

fn try_all(target: &Target) {
    let seeds = seeds(target);
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    let mut mutator = Mutator::new(20_261_121);
    let mutated = (0..target.rounds).map(|_| mutator.mutate(&seeds, target.words));
    for input in seeds.iter().cloned().chain(mutated) {
        let checked = catch_unwind(AssertUnwindSafe(|| (target.check)(&input)));
        assert!(
            checked.is_ok(),
            "{} does not hold for this input; add it to fuzz/seeds/{}:\n{}",
            target.name,
            target.name,
            input.escape_ascii()
        );
    }
}

fn named(name: &str) {
    try_all(TARGETS.iter().find(|t| t.name == name).expect("a target"));
}

#[test]
fn metadata_of_any_bytes_is_read_and_written_the_same() {
    named("metadata");
}

#[test]
fn versions_and_file_names_of_any_bytes_are_read_and_written_the_same() {
    named("version");
}

#[test]
fn requirements_of_any_bytes_are_read_judged_and_written_the_same() {
    named("requirement");
}

#[test]
fn pages_of_any_bytes_lead_nowhere_else() {
    named("index_html");
    named("index_json");
}

#[test]
fn wheels_of_any_bytes_stay_in_their_folder() {
    named("wheel");
}

#[test]
fn source_distributions_of_any_bytes_stay_in_their_folder() {
    named("sdist");
}

#[test]
fn parts_of_any_bytes_have_safe_paths() {
    named("part");
}

#[test]
fn locks_of_any_bytes_are_read_and_written_the_same() {
    named("lock");
}

#[test]
fn definitions_of_stages_of_any_bytes_stay_in_the_project_and_have_an_order() {
    named("dvc_yaml");
}

#[test]
fn locks_of_stages_of_any_bytes_are_read_and_written_the_same() {
    named("dvc_lock");
}

#[test]
fn expressions_of_any_bytes_become_what_they_name() {
    named("dvc_template");
}

#[test]
fn every_check_has_a_target_for_the_fuzzer() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).expect("a manifest");
    for target in &TARGETS {
        let file = format!("fuzz_targets/{}.rs", target.name);
        assert!(manifest.contains(&format!("path = \"{file}\"")), "{file}");
        let text = fs::read_to_string(fuzz.join(file)).expect("a target");
        assert!(text.contains(&format!("run(\"{}\"", target.name)));
    }
}

#[test]
fn movies_of_any_bytes_are_read_or_refused() {
    named("movie");
}

#[test]
fn scenes_of_any_bytes_are_read_or_refused() {
    named("scene");
}
