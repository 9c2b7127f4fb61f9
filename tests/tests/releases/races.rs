//! Many concurrent publishers: one winner per version, nothing lost, nothing incomplete visible.

use backlot_tests::Studio;
use fs_err as fs;
use serde_json::Value;

#[test]
fn of_sixteen_processes_that_publish_one_version_one_wins_and_the_others_get_the_conflict() {
    let studio = Studio::empty();
    let workspaces: Vec<String> = (0..16).map(|n| format!("ws{n}")).collect();
    for name in &workspaces {
        studio.workspace(name);
        studio.run(&["-w", name, "new", "Table"]).ok();
        let frames = format!("{name}/outputs/table/src/table/frames");
        studio.frames(&frames, 4, 20_000, 1);
        studio.write(
            &format!("{name}/outputs/table/src/table/who.txt"),
            name.as_bytes(),
        );
        studio.run(&["-w", name, "add", &frames]).ok();
    }
    let children: Vec<_> = workspaces
        .iter()
        .map(|name| studio.start(&["-w", name, "publish", "Table", "--json"]))
        .collect();
    let mut wins = 0;
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        let report: Value = serde_json::from_slice(&output.stdout).expect("json");
        match output.status.code() {
            Some(0) => wins += 1,
            Some(5) => assert_eq!(report["error"]["code"], "repo::release_exists", "{report:#}"),
            other => panic!("exit code {other:?}: {report:#}"),
        }
    }
    assert_eq!(wins, 1);
    studio
        .run(&["-w", "ws0", "verify", "--remote", "--releases"])
        .ok();
    whole(&studio, "table", &["0.1.0"]);
    studio.workspace("reader");
    studio.run(&["-w", "reader", "install", "Table"]).ok();
    studio.run(&["-w", "reader", "pull"]).ok();
    studio.run(&["-w", "reader", "verify"]).ok();
}

/// The repo `review` has exactly these versions of a package, in its folder and in both indexes, and no leavings.
fn whole(studio: &Studio, package: &str, versions: &[&str]) {
    let folder = studio.path(&format!("repos/review/packages/{package}"));
    let mut wheels: Vec<String> = fs::read_dir(folder)
        .expect("there")
        .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    wheels.sort();
    assert!(wheels.iter().all(|w| !w.starts_with(".tmp")), "{wheels:?}");
    let wheels: Vec<&String> = wheels.iter().filter(|w| w.ends_with(".whl")).collect();
    assert_eq!(wheels.len(), versions.len(), "{wheels:?}");
    let html = fs::read_to_string(studio.path(&format!("repos/review/simple/{package}/index.html")))
        .expect("an index");
    let json = fs::read_to_string(studio.path(&format!("repos/review/simple/{package}/index.json")))
        .expect("an index");
    for version in versions {
        let wheel = format!("{package}-{version}-py3-none-any.whl");
        assert!(
            html.contains(&wheel) && json.contains(&wheel),
            "{wheel} is not in the index"
        );
    }
}

#[test]
fn eight_versions_published_at_once_are_all_in_the_index() {
    let studio = Studio::empty();
    let versions: Vec<String> = (1..=8).map(|n| format!("{n}.0.0")).collect();
    for (n, _) in versions.iter().enumerate() {
        let name = format!("ws{n}");
        studio.workspace(&name);
        studio.run(&["-w", &name, "new", "Table"]).ok();
        for _ in 0..=n {
            studio.run(&["-w", &name, "bump", "Table", "major"]).ok();
        }
    }
    let children: Vec<_> = (0..8)
        .map(|n| {
            let name = format!("ws{n}");
            // None was edited from another: each of them leaves out what the others have.
            studio.start(&["-w", &name, "publish", "Table", "--force", "-m", "at once"])
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
    let versions: Vec<&str> = versions.iter().map(String::as_str).collect();
    whole(&studio, "table", &versions);
    let listed = studio.run(&["-w", "ws0", "list", "--json"]).ok().json();
    assert_eq!(
        listed["packages"][0]["versions"].as_array().map(Vec::len),
        Some(8)
    );
}

#[test]
fn commands_at_once_in_one_workspace_take_turns() {
    let studio = Studio::new();
    let children: Vec<_> = (0..6)
        .map(|n| studio.start(&["-w", "ws", "new", &format!("Asset{n}")]))
        .collect();
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let status = studio.ws(&["status", "--json"]).ok().json();
    assert_eq!(status["outputs"].as_array().map(Vec::len), Some(6));
    assert_eq!(status["inputs"].as_array().map(Vec::len), Some(6));
    studio.ws(&["verify", "--inputs"]).ok();
}
