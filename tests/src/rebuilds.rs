//! Assets with a pipeline that reads what they are built from, for the tests of cascades that run.
//!
//! Deliberately absent: what is expected of a cascade.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use serde_json::Value;

use crate::chain::{at, require};
use crate::{Run, Studio, run_command};

/// The workspace of an asset with the repo `review` and the remote `files`, and the asset with what it requires.
pub fn asset(studio: &Studio, name: &str, requires: &[&str]) {
    crate::chain::asset(studio, name, &[]);
    at(studio, name, &["remote", "add", "files", "remote"]).ok();
    for requirement in requires {
        require(studio, name, requirement);
    }
}

/// The folder of an asset's code.
pub fn module(name: &str) -> String {
    format!("{name}/outputs/{name}/src/{name}")
}

/// The folder of a workspace that the packages of inputs are in, from the workspace.
fn packages(studio: &Studio, workspace: &str) -> String {
    let lib = studio.path(&format!("{workspace}/inputs/lib"));
    if lib.join("site-packages").is_dir() {
        return "inputs/lib/site-packages".to_owned();
    }
    let mut names = fs::read_dir(lib).expect("an environment");
    let python = names.next().expect("a Python").expect("readable").file_name();
    format!("inputs/lib/{}/site-packages", python.display())
}

/// Give an asset a stage that makes `made.txt` of files of its inputs (`model/code.py`), which are in its workspace by then. `before` is
/// put before its command.
pub fn stage(studio: &Studio, name: &str, before: &str, reads: &[&str]) {
    let packages = packages(studio, name);
    let paths: Vec<String> = reads
        .iter()
        .map(|path| format!("../../../../{packages}/{path}"))
        .collect();
    let (deps, all) = (paths.join(", "), paths.join(" "));
    let text = format!(
        "stages:\n  make:\n    cmd: {before}cat {all} > made.txt\n    deps: [{deps}]\n    outs: [made.txt]\n"
    );
    studio.write(&format!("{}/dvc.yaml", module(name)), text.as_bytes());
}

/// Publish a version of an asset with a stage, made of the newest inputs.
pub fn publish(studio: &Studio, name: &str, number: &str) -> Value {
    let path = format!("{}/__version__.py", module(name));
    studio.write(&path, format!("__version__ = \"{number}\"").as_bytes());
    at(studio, name, &["install", "-U"]).ok();
    at(studio, name, &["pull"]).ok();
    at(studio, name, &["publish", name, "--repro", "--json"])
        .ok()
        .json()
}

/// An asset with a stage that reads its inputs, and its first release.
pub fn first(studio: &Studio, name: &str, requires: &[&str], reads: &[&str]) {
    first_that(studio, name, "", requires, reads);
}

/// A command before that of a stage, which takes some seconds once there is a file `slow` in the studio.
pub fn slowly(studio: &Studio, seconds: u32) -> String {
    let slow = studio.path("slow");
    format!("(test ! -e {} || sleep {seconds}) && ", slow.display())
}

/// The same with a command before that of its stage.
pub fn first_that(studio: &Studio, name: &str, before: &str, requires: &[&str], reads: &[&str]) {
    asset(studio, name, requires);
    stage(studio, name, before, reads);
    publish(studio, name, "1.0");
}

/// An asset that is its code, and its first release.
pub fn source(studio: &Studio, name: &str) {
    asset(studio, name, &[]);
    crate::chain::release(studio, name, "1.0");
}

/// model, rig and anim; each made of the one before.
pub fn chain() -> Studio {
    let studio = Studio::empty();
    source(&studio, "model");
    first(&studio, "rig", &["model"], &["model/code.py"]);
    first(&studio, "anim", &["build:rig"], &["rig/made.txt"]);
    studio
}

/// Run a command about cascades.
pub fn cascade(studio: &Studio, workspace: &str, arguments: &[&str]) -> Run {
    at(
        studio,
        workspace,
        &[&["cascade"], arguments, &["--json"]].concat(),
    )
}

/// Run what a release affects; it ends well.
pub fn run(studio: &Studio, workspace: &str, what: &str) -> Value {
    cascade(studio, workspace, &["run", what]).ok().json()
}

/// The status of each asset of a cascade, as `rig released 1.0.1`.
pub fn statuses(summary: &Value) -> Vec<String> {
    let nodes = summary["nodes"]
        .as_array()
        .unwrap_or_else(|| panic!("{summary:#}"));
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let told = nodes.iter().map(|node| {
        let name = word(&node["node"]);
        let name = name.rsplit('/').next().unwrap_or_default().to_owned();
        format!("{name} {} {}", word(&node["status"]), word(&node["version"]))
            .trim_end()
            .to_owned()
    });
    told.collect()
}

/// The versions of an asset in `review`, oldest first.
pub fn versions(studio: &Studio, name: &str) -> Vec<String> {
    let names = fs::read_dir(studio.path(&format!("repos/review/packages/{name}"))).expect("a package");
    let names = names.map(|entry| entry.expect("readable").file_name().display().to_string());
    let wheels = names.filter(|name| name.ends_with(".whl"));
    let mut versions: Vec<String> = wheels
        .map(|wheel| wheel.split('-').nth(1).expect("a version").to_owned())
        .collect();
    versions.sort();
    versions
}

/// What the newest release of an asset says of how it was built.
pub fn record(studio: &Studio, workspace: &str, name: &str) -> Value {
    let shown = at(studio, workspace, &["show", name, "--json"]).ok().json();
    shown["releases"][0]["provenance"]["record"].clone()
}

/// The exact inputs of the newest release, as `model 1.1`.
pub fn inputs(studio: &Studio, workspace: &str, name: &str) -> Vec<String> {
    let record = record(studio, workspace, name);
    let inputs = record["inputs"]
        .as_array()
        .unwrap_or_else(|| panic!("{record:#}"));
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let told = inputs
        .iter()
        .map(|input| format!("{} {}", word(&input["package"]), word(&input["version"])));
    told.collect()
}

/// The file `made.txt` of a release, as somebody else gets it.
pub fn made(studio: &Studio, name: &str, version: &str) -> String {
    let folder = format!("look-{name}-{version}");
    studio.run(&["init", &folder, "--python", "none"]).ok();
    at(studio, &folder, &["repo", "add", "review", "repos/review"]).ok();
    at(studio, &folder, &["remote", "add", "files", "remote"]).ok();
    at(studio, &folder, &["install", &format!("{name}=={version}")]).ok();
    at(studio, &folder, &["pull"]).ok();
    let path = format!("{folder}/inputs/lib/site-packages/{name}/made.txt");
    fs::read_to_string(studio.path(&path)).expect("the file came")
}

/// Start a command and go on; it has a process group of its own.
pub fn start(studio: &Studio, arguments: &[&str]) -> Child {
    let mut command: Command = studio.command(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("it starts")
}

/// Send a signal to a process that was started here.
pub fn signal(child: &Child, name: &str) {
    run_command(Command::new("kill").args([&format!("-{name}"), &child.id().to_string()])).ok();
}

/// The number of the process that holds a lease of an asset, once one does.
pub fn holder(studio: &Studio, name: &str, lease: u64) -> String {
    let path = studio.path(&format!("repos/review/cascades/leases/{name}/{lease:08}.json"));
    until("the lease", || path.is_file());
    let lease: Value = serde_json::from_slice(&fs::read(path).expect("readable")).expect("a lease");
    let owner = lease["owner"].as_str().expect("an owner");
    owner.split(' ').nth(1).expect("a process").to_owned()
}

/// Wait until something is so.
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_mins(2), "it never came: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
