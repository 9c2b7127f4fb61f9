//! A cascade of many assets on a few levels, for the tests of executors: the assets of a level share a workspace, so that it is made quickly.
//!
//! Deliberately absent: what is expected of a cascade.

use std::collections::BTreeMap;

use fs_err as fs;

use crate::Studio;
use crate::chain::at;

/// How a level is made: its workspace, and how many assets it has. Asset `i` of a level is made of asset `i` of the level before, counted around.
pub type Level<'a> = (&'a str, usize);

/// `root`, and levels of assets above it, each with a stage that reads its input, and takes some seconds once there is a file `slow`.
pub fn studio(levels: &[Level<'_>], seconds: u32) -> Studio {
    let studio = Studio::empty();
    let before = crate::rebuilds::slowly(&studio, seconds);
    workspace(&studio, "root");
    at(&studio, "root", &["new", "root"]).ok();
    crate::chain::version(&studio, "root", "1.0");
    at(&studio, "root", &["publish", "root", "--no-dirty"]).ok();
    let mut inputs = vec!["root".to_owned()];
    for (level, count) in levels {
        workspace(&studio, level);
        let names: Vec<String> = (1..=*count).map(|number| format!("{level}{number:02}")).collect();
        let of = |number: usize| inputs[number % inputs.len()].clone();
        for (number, name) in names.iter().enumerate() {
            at(&studio, level, &["new", name]).ok();
            at(&studio, level, &["input", "add", name, &of(number)]).ok();
        }
        at(&studio, level, &["install"]).ok();
        at(&studio, level, &["pull"]).ok();
        let packages = packages(&studio, level);
        for (number, name) in names.iter().enumerate() {
            let input = of(number);
            let file = if input == "root" { "code.py" } else { "made.txt" };
            let path = format!("../../../../{packages}/{input}/{file}");
            let text = format!(
                "stages:\n  make:\n    cmd: {before}cat {path} > made.txt\n    deps: [{path}]\n    outs: [made.txt]\n"
            );
            let module = format!("{level}/outputs/{name}/src/{name}");
            studio.write(&format!("{module}/dvc.yaml"), text.as_bytes());
            studio.write(&format!("{module}/__version__.py"), b"__version__ = \"1.0\"");
        }
        at(&studio, level, &["repro"]).ok();
        for name in &names {
            at(&studio, level, &["publish", name, "--no-dirty"]).ok();
        }
        inputs = names;
    }
    studio
}

/// Publish the root once more.
pub fn publish_root(studio: &Studio, version: &str) {
    crate::chain::version(studio, "root", version);
    at(studio, "root", &["publish", "root", "--no-dirty"]).ok();
}

fn workspace(studio: &Studio, name: &str) {
    studio.run(&["init", name, "--python", "none"]).ok();
    at(studio, name, &["repo", "add", "review", "repos/review"]).ok();
    at(studio, name, &["remote", "add", "files", "remote"]).ok();
}

fn packages(studio: &Studio, workspace: &str) -> String {
    let lib = studio.path(&format!("{workspace}/inputs/lib"));
    if lib.join("site-packages").is_dir() {
        return "inputs/lib/site-packages".to_owned();
    }
    let mut names = fs::read_dir(lib).expect("an environment");
    let python = names.next().expect("a Python").expect("readable").file_name();
    format!("inputs/lib/{}/site-packages", python.display())
}

/// The versions of each asset in `review` but the root, oldest first.
pub fn versions(studio: &Studio) -> BTreeMap<String, Vec<String>> {
    let names = fs::read_dir(studio.path("repos/review/packages")).expect("a repo");
    let names = names.map(|entry| entry.expect("readable").file_name().display().to_string());
    let assets =
        names.filter(|name| name != "root" && studio.path(&format!("repos/review/packages/{name}")).is_dir());
    assets
        .map(|name| {
            let versions = crate::rebuilds::versions(studio, &name);
            (name, versions)
        })
        .collect()
}

/// Each asset has been built once more, and none twice.
#[track_caller]
pub fn built_once(studio: &Studio, count: usize) {
    let versions = versions(studio);
    assert_eq!(versions.len(), count);
    for (name, versions) in versions {
        assert_eq!(versions, ["1.0", "1.0.1"], "{name}");
    }
}
