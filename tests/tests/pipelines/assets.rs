//! Pipelines of assets: stages run when their inputs change, their outputs are published and pulled like all tracked files, and stages of
//! installed releases never run.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use backlot_tests::{Run, Studio, noise, run_command, tool};
use fs_err as fs;
use serde_json::Value;

/// The folder of the packages of a workspace's inputs.
fn site_packages(studio: &Studio, workspace: &str) -> String {
    let lib = studio.path(&format!("{workspace}/inputs/lib"));
    let mut entries = fs::read_dir(lib).expect("an environment");
    let python = entries.next().expect("a python").expect("an entry").file_name();
    format!(
        "{workspace}/inputs/lib/{}/site-packages",
        python.to_string_lossy()
    )
}

/// How often stages ran that note it.
fn runs(studio: &Studio) -> usize {
    let noted = fs::read_to_string(studio.path("runs")).unwrap_or_default();
    noted.lines().count()
}

/// Each stage with one key of it, in the order of a report.
fn stages(report: &Value, key: &str) -> Vec<(String, String)> {
    let stages = report["stages"].as_array().expect("stages").iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    stages
        .map(|stage| {
            let name = text(&stage["stage"]);
            let name = name.rsplit(':').next().unwrap_or_default().to_owned();
            (name, text(&stage[key]))
        })
        .collect()
}

/// What stages made in a folder, with the lock.
fn made_in(studio: &Studio, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files = studio.snapshot(folder);
    files.retain(|path, _| {
        path.starts_with("proxies/") || ["movie.mov", "stats.json", "dvc.lock"].contains(&path.as_str())
    });
    assert_eq!(files.len(), 9);
    files
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
    expected.iter().map(owned).collect()
}

/// A studio whose workspace `post` has the released frames of `Beauty` installed, and the asset `Dailies` that makes proxies and a movie of them.
fn dailies() -> Studio {
    dailies_in(Studio::new())
}

fn dailies_in(studio: Studio) -> Studio {
    studio.asset("Beauty", 6, 2_000);
    studio.ws(&["publish", "Beauty"]).ok();
    studio.workspace("post");
    let post = |arguments: &[&str]| studio.run(&[&["-w", "post"], arguments].concat());
    post(&["new", "Dailies"]).ok();
    post(&["input", "add", "Dailies", "Beauty"]).ok();
    post(&["install", "Beauty"]).ok();
    post(&["pull"]).ok();
    let inside = site_packages(&studio, "post");
    let frames = inside.strip_prefix("post/").expect("inside").to_owned();
    let noted = studio.path("runs");
    let pipeline = format!(
        "# How the dailies are made.\nstages:\n  proxies:\n    cmd: echo proxies >> {noted} && mkdir proxies && for f in ${{frames}}/*.exr; do head -c 500 $f > proxies/$(basename $f .exr).jpg; done\n    deps: ['${{frames}}']\n    outs: [proxies]\n  movie:\n    cmd: echo movie >> {noted} && cat proxies/*.jpg > movie.mov\n    deps: [proxies]\n    outs: [movie.mov]\n    metrics:\n    - stats.json:\n        cache: false\n",
        noted = noted.display()
    );
    let pipeline = pipeline.replace(
        "cat proxies/*.jpg > movie.mov",
        "cat proxies/*.jpg > movie.mov && echo 1 > stats.json",
    );
    studio.write("post/outputs/dailies/src/dailies/dvc.yaml", pipeline.as_bytes());
    let params = format!("frames: ../../../../{frames}/beauty/frames\n");
    studio.write("post/outputs/dailies/src/dailies/params.yaml", params.as_bytes());
    studio
}

fn post(studio: &Studio, arguments: &[&str]) -> Run {
    studio.run(&[&["-w", "post"], arguments].concat())
}

/// Release other frames with the numbers 2, 3 and 5, and update the input.
fn change_three_frames(studio: &Studio) {
    for number in [2, 3, 5] {
        let frame = format!("ws/outputs/beauty/src/beauty/frames/f.{number:04}.exr");
        assert!(studio.path(&frame).is_file());
        studio.write(&frame, &noise(2_000, 7_000 + number));
    }
    studio.ws(&["bump", "Beauty", "minor"]).ok();
    studio.ws(&["publish", "Beauty"]).ok();
    post(studio, &["update", "Beauty"]).ok();
    post(studio, &["pull"]).ok();
}

#[test]
fn three_frames_of_an_input_change_and_only_what_depends_on_them_is_made_published_and_shared() {
    let studio = dailies();
    let module = "post/outputs/dailies/src/dailies";
    post(&studio, &["publish", "Dailies", "--json"]).fails(5, "publish::stale_stages");
    let made = post(&studio, &["repro", "Dailies", "--json"]).ok().json();
    assert_eq!(
        stages(&made, "outcome"),
        pairs(&[("proxies", "ran"), ("movie", "ran")])
    );
    let status = post(&studio, &["status", "--json"]).ok().json();
    assert_eq!(
        stages(&status, "state"),
        pairs(&[("proxies", "up-to-date"), ("movie", "up-to-date")])
    );
    let outs = status["outputs"][0]["outs"].as_array().expect("outs");
    let outs: Vec<(&str, &str)> = outs
        .iter()
        .filter_map(|out| Some((out["stage"].as_str()?, out["state"].as_str()?)))
        .collect();
    assert_eq!(
        outs,
        [
            ("movie", "unchanged"),
            ("proxies", "unchanged"),
            ("movie", "unchanged")
        ],
        "{status:#}"
    );
    assert_eq!(
        status["outputs"][0]["untracked"].as_array().map(Vec::len),
        Some(0)
    );
    let published = post(&studio, &["publish", "Dailies", "--json"]).ok().json();
    assert_eq!(
        published["files"]["objects"], 8,
        "six proxies, their manifest, the movie"
    );

    change_three_frames(&studio);
    let status = post(&studio, &["status", "--json"]).ok().json();
    assert_eq!(
        stages(&status, "state"),
        pairs(&[("proxies", "stale"), ("movie", "needs-stale")])
    );
    let why = status["stages"][0]["why"][0].as_str().expect("a reason");
    assert!(why.contains("beauty/frames` changed"), "{why}");
    post(&studio, &["bump", "Dailies", "micro"]).ok();
    let error = post(&studio, &["publish", "Dailies", "--json"]).fails(5, "publish::stale_stages");
    let message = error["message"].as_str().expect("a message");
    assert!(
        message.contains("proxies (") && message.contains("movie ("),
        "{message}"
    );

    // The dry run says what the run then does, and does nothing.
    let before = studio.snapshot(module);
    let dry = post(&studio, &["repro", "Dailies", "-n", "--json"]).ok().json();
    assert_eq!(
        stages(&dry, "outcome"),
        pairs(&[("proxies", "would-run"), ("movie", "may-run")])
    );
    assert!(studio.snapshot(module) == before);
    assert_eq!(runs(&studio), 2);
    let published = post(&studio, &["publish", "Dailies", "--repro", "--json"])
        .ok()
        .json();
    assert_eq!(runs(&studio), 4);
    assert_eq!(
        published["files"]["objects"], 5,
        "three proxies, their manifest, the movie"
    );
    let after = studio.snapshot(module);
    let names: Vec<&str> = after.keys().map(String::as_str).collect();
    assert!(
        names.contains(&"proxies/f.0001.jpg") && names.contains(&"movie.mov"),
        "{names:?}"
    );
    second_and_third_machine(&studio, module);
}

/// Another workspace with the same cache has the results, and one with nothing but the remote.
fn second_and_third_machine(studio: &Studio, module: &str) {
    for (workspace, cache, more) in [("second", "cache", &[][..]), ("third", "cache3", &["--pull"][..])] {
        let run = |arguments: &[&str]| {
            let mut command = studio.command(&[&["-w", workspace], arguments].concat());
            command.env("BACKLOT_CACHE_DIR", studio.path(cache));
            run_command(&mut command)
        };
        studio.workspace(workspace);
        run(&["install", "Dailies"]).ok();
        let installed = studio.path(&site_packages(studio, workspace)).join("dailies");
        assert!(installed.join("dvc.lock").is_file() && installed.join("stats.json").is_file());
        assert!(!installed.join("movie.mov").exists() && !installed.join("proxies").exists());
        if more.is_empty() {
            run(&["pull"]).ok();
            let pulled = studio.snapshot(&format!("{}/dailies/proxies", site_packages(studio, workspace)));
            assert!(pulled == studio.snapshot(&format!("{module}/proxies")));
            run(&["verify"]).ok();
        } else {
            run(&["pull", "Beauty"]).ok();
        }
        run(&["edit", "Dailies"]).ok();
        let own = format!("{workspace}/outputs/dailies/src/dailies");
        assert!(!studio.path(&own).join("movie.mov").exists());
        let again = run(&[&["repro", "Dailies", "--json"], more].concat()).ok().json();
        assert_eq!(
            stages(&again, "outcome"),
            pairs(&[("proxies", "restored"), ("movie", "restored")]),
            "{workspace}: {again:#}"
        );
        assert!(made_in(studio, &own) == made_in(studio, module), "{workspace}");
        assert_eq!(runs(studio), 4);
        let idle = run(&["repro", "Dailies", "--json"]).ok().json();
        assert_eq!(
            stages(&idle, "outcome"),
            pairs(&[("proxies", "skipped"), ("movie", "skipped")])
        );
    }
}

#[test]
fn what_one_machine_made_is_not_run_on_another_that_shares_only_a_remote() {
    for studio in [Studio::new(), Studio::with_dvc_layout()] {
        let studio = dailies_in(studio);
        let module = "post/outputs/dailies/src/dailies";
        post(&studio, &["repro", "Dailies"]).ok();
        let dry = post(
            &studio,
            &["push", "Dailies", "--run-cache", "--dry-run", "--json"],
        )
        .ok()
        .json();
        let before = studio.snapshot("remote");
        let sent = post(&studio, &["push", "Dailies", "--run-cache", "--json"])
            .ok()
            .json();
        assert_eq!(dry["run_cache"]["results"], sent["run_cache"]["results"]);
        let after = studio.snapshot("remote");
        let entries: Vec<&String> = after
            .keys()
            .filter(|path| {
                ["v1/results/", "run-results/", "runs/"]
                    .iter()
                    .any(|folder| path.starts_with(folder))
            })
            .collect();
        assert_eq!(sent["run_cache"]["results"], entries.len(), "{entries:?}");
        assert!(before.len() < after.len() && entries.len() >= 2, "{entries:?}");
        let again = post(&studio, &["push", "Dailies", "--run-cache", "--json"])
            .ok()
            .json();
        assert_eq!(again["run_cache"]["results"], 0);
        assert_eq!(again["run_cache"]["already_there"], entries.len());

        // Other machines have the definitions and the inputs, and no lock.
        let run = |workspace: &str, arguments: &[&str]| {
            let mut command = studio.command(&[&["-w", workspace], arguments].concat());
            command.env("BACKLOT_CACHE_DIR", studio.path(&format!("cache-{workspace}")));
            run_command(&mut command)
        };
        for workspace in ["second", "third", "fourth"] {
            studio.workspace(workspace);
            run(workspace, &["new", "Dailies"]).ok();
            run(workspace, &["input", "add", "Dailies", "Beauty"]).ok();
            run(workspace, &["install", "Beauty"]).ok();
            run(workspace, &["pull"]).ok();
            for file in ["dvc.yaml", "params.yaml"] {
                let bytes = fs::read(studio.path(&format!("{module}/{file}"))).expect("read");
                studio.write(&format!("{workspace}/outputs/dailies/src/dailies/{file}"), &bytes);
            }
        }
        let restored = pairs(&[("proxies", "restored"), ("movie", "restored")]);
        let made = run("second", &["repro", "Dailies", "--pull", "--json"])
            .ok()
            .json();
        assert_eq!(stages(&made, "outcome"), restored, "{made:#}");
        run("third", &["pull", "Dailies", "--run-cache"]).ok();
        let made = run("third", &["repro", "Dailies", "--json"]).ok().json();
        assert_eq!(stages(&made, "outcome"), restored, "{made:#}");
        for workspace in ["second", "third"] {
            let own = format!("{workspace}/outputs/dailies/src/dailies");
            assert!(made_in(&studio, &own) == made_in(&studio, module), "{workspace}");
        }
        assert_eq!(runs(&studio), 2);

        // An entry that was damaged there is passed over with a warning, and the stage runs.
        for entry in entries {
            fs::remove_file(studio.path(&format!("remote/{entry}"))).expect("removed");
            studio.write(
                &format!("remote/{entry}"),
                b"{\"version\":1,\"made\":1,\"outs\":[]}\n",
            );
        }
        let made = run("fourth", &["repro", "Dailies", "--pull"]).ok();
        assert!(made.stderr().contains("skipped"), "{}", made.stderr());
        assert_eq!(runs(&studio), 4);
    }
}

#[test]
fn a_collection_keeps_what_stages_of_releases_and_workspaces_made() {
    let studio = dailies();
    post(&studio, &["repro", "Dailies"]).ok();
    post(&studio, &["publish", "Dailies"]).ok();
    change_three_frames(&studio);
    post(&studio, &["repro", "Dailies"]).ok();
    // Pushed, and in no release: only this workspace needs it.
    post(&studio, &["push", "Dailies"]).ok();
    post(&studio, &["verify", "--remote", "--releases"]).ok();
    let collect = [
        "gc",
        "--remote",
        "--no-other-writers",
        "--grace",
        "0",
        "--young",
        "0",
        "--json",
    ];
    for _ in 0..2 {
        post(&studio, &collect).ok();
    }
    post(&studio, &["verify", "--remote", "--releases"]).ok();
    let mut pull = studio.command(&["-w", "post", "pull"]);
    pull.env("BACKLOT_CACHE_DIR", studio.path("fresh"));
    run_command(&mut pull).ok();
    studio.workspace("old");
    let old = |arguments: &[&str]| {
        let mut command = studio.command(&[&["-w", "old"], arguments].concat());
        command.env("BACKLOT_CACHE_DIR", studio.path("fresh"));
        run_command(&mut command)
    };
    old(&["install", "Dailies==0.1.0"]).ok();
    old(&["pull"]).ok();
    let movie = studio
        .path(&site_packages(&studio, "old"))
        .join("dailies/movie.mov");
    assert_eq!(fs::read(movie).expect("pulled").len(), 3_000);
}

#[test]
fn real_dvc_finds_what_was_made_up_to_date_and_we_what_it_made() {
    let studio = Studio::with_dvc_layout();
    studio.asset("Table", 3, 1_000);
    let module = "ws/outputs/table/src/table";
    let pipeline = b"stages:\n  joined:\n    cmd: cat frames/* > joined.bin\n    deps: [frames]\n    params: [gain]\n    outs: [joined.bin]\n  size:\n    wdir: ..\n    cmd: wc -c < table/joined.bin > table/size.txt\n    deps: [table/joined.bin]\n    outs: [table/size.txt]\n";
    studio.write(&format!("{module}/dvc.yaml"), pipeline);
    studio.write(&format!("{module}/params.yaml"), b"gain: 1\n");
    studio.ws(&["repro", "Table"]).ok();
    let dvc = |arguments: &[&str]| {
        let mut dvc = Command::new(tool("dvc"));
        dvc.args(arguments)
            .current_dir(studio.path(module))
            .env("HOME", studio.path("home"))
            .env("DVC_NO_ANALYTICS", "1");
        run_command(&mut dvc).ok()
    };
    let said = dvc(&["status"]).stdout();
    assert!(said.contains("up to date"), "{said}");
    studio.write(&format!("{module}/params.yaml"), b"gain: 2\n");
    let status = studio.ws(&["status", "--json"]).ok().json();
    assert_eq!(
        stages(&status, "state"),
        pairs(&[("joined", "stale"), ("size", "needs-stale")])
    );
    dvc(&["repro"]);
    let status = studio.ws(&["status", "--json"]).ok().json();
    assert_eq!(
        stages(&status, "state"),
        pairs(&[("joined", "up-to-date"), ("size", "up-to-date")]),
        "{status:#}"
    );
    studio.ws(&["publish", "Table"]).ok();
}

#[test]
fn outputs_outside_of_what_a_file_belongs_to_are_refused_before_anything_runs() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    studio.ws(&["new", "Lamp"]).ok();
    let ran = studio.path("ran");
    let stage = |out: &str| {
        format!(
            "stages:\n  good:\n    cmd: touch {ran}\n  bad:\n    cmd: touch {ran} && echo x > {out}\n    outs: [{out}]\n",
            ran = ran.display()
        )
    };
    let asset = "ws/outputs/table/dvc.yaml";
    let module = "ws/outputs/table/src/table/dvc.yaml";
    for (file, out, code) in [
        (module, "../../../lamp/src/lamp/x", "pipeline::hostile_output"),
        (module, "../x", "pipeline::hostile_output"),
        (module, "/etc/x", "pipeline::hostile_output"),
        (asset, "src/table/x", "pipelines::outside_asset"),
        (asset, "../lamp/x", "pipelines::outside_asset"),
        ("ws/dvc.yaml", "outputs/lamp/x", "pipelines::outside_asset"),
        ("ws/dvc.yaml", "inputs/x", "pipelines::outside_asset"),
        ("ws/dvc.yaml", ".backlot/x", "pipelines::outside_asset"),
    ] {
        studio.write(file, stage(out).as_bytes());
        let folder = Path::new(file).parent().expect("a folder");
        for dry in [&["--json"][..], &["-n", "--json"]] {
            let mut repro = studio.command(&[&["repro"], dry].concat());
            repro.current_dir(studio.root().join(folder));
            run_command(&mut repro).fails(3, code);
        }
        assert!(!ran.exists(), "{file} {out}");
        fs::remove_file(studio.path(file)).expect("removed");
    }
    // Beside the package, and in the workspace, stages may write beside their file.
    studio.write(
        asset,
        stage("made/x")
            .replace("touch", "mkdir -p made; touch")
            .as_bytes(),
    );
    studio.write("ws/dvc.yaml", stage("x").as_bytes());
    studio.ws(&["repro", "Table"]).ok();
    studio.ws(&["repro"]).ok();
    assert!(studio.path("ws/x").is_file() && studio.path("ws/outputs/table/made/x").is_file());
}

#[test]
fn nothing_of_an_installed_release_is_run_or_read() {
    let studio = Studio::new();
    let ran = studio.path("ran");
    for (name, text) in [
        (
            "Evil",
            format!(
                "stages:\n  a:\n    cmd: touch {}\n    always_changed: true\n",
                ran.display()
            ),
        ),
        (
            "Odd",
            "stages:\n  a:\n    cmd: echo\n    deps: [missing]\n".to_owned(),
        ),
    ] {
        studio.ws(&["new", name]).ok();
        let module = name.to_lowercase();
        studio.write(
            &format!("ws/outputs/{module}/src/{module}/dvc.yaml"),
            text.as_bytes(),
        );
        studio.ws(&["publish", name]).ok();
    }
    studio.workspace("other");
    let other = |arguments: &[&str]| studio.run(&[&["-w", "other"], arguments].concat());
    other(&["install", "Evil", "Odd"]).ok();
    let packages = site_packages(&studio, "other");
    studio.write(&format!("{packages}/odd/dvc.yaml"), b"stages: [");
    other(&["pull"]).ok();
    let status = other(&["status", "--json"]).ok().json();
    assert_eq!(status["stages"].as_array().map(Vec::len), Some(0));
    let nothing = other(&["repro", "--json"]).ok().json();
    assert_eq!(nothing["stages"].as_array().map(Vec::len), Some(0));
    let inside = packages.strip_prefix("other/").expect("inside");
    other(&["repro", &format!("{inside}/evil/dvc.yaml"), "--json"]).fails(2, "pipelines::installed");
    other(&["repro", &format!("{inside}/evil/dvc.yaml:a"), "--json"]).fails(2, "pipelines::installed");
    other(&["repro", "Evil", "--json"]).fails(4, "pipeline::unknown_target");
    let mut here = studio.command(&["repro", "--json"]);
    here.current_dir(studio.path(&packages).join("evil"));
    run_command(&mut here).fails(2, "pipelines::installed");
    assert!(!ran.exists());
    studio.leaves_harm();
}

#[test]
fn commands_know_their_asset_and_a_failure_leaves_the_outputs_of_before() {
    let studio = Studio::new();
    for name in ["Table", "Lamp"] {
        studio.ws(&["new", name]).ok();
    }
    studio.ws(&["bump", "Lamp", "major"]).ok();
    let module = "ws/outputs/lamp/src/lamp";
    let write = |second: &str| {
        let text = format!(
            "stages:\n  told:\n    cmd: echo $BACKLOT_ASSET $BACKLOT_VERSION $BACKLOT_WORKSPACE $DVC_STAGE > told.txt && ls $BACKLOT_INPUTS > /dev/null && echo done and said\n    outs: [told.txt]\n    deps: [source.txt]\n  second:\n    cmd: {second}\n    deps: [told.txt]\n    outs: [second.txt]\n  third:\n    cmd: cat source.txt > third.txt\n    deps: [source.txt]\n    outs: [third.txt]\n"
        );
        studio.write(&format!("{module}/dvc.yaml"), text.as_bytes());
    };
    studio.write(&format!("{module}/source.txt"), b"1\n");
    write("cat told.txt > second.txt");
    let run = studio.ws(&["repro", "Lamp"]).ok();
    assert!(run.stderr().contains("told | done and said"), "{}", run.stderr());
    assert!(run.stdout().contains("3 stages: 3 ran"), "{}", run.stdout());
    let told = fs::read_to_string(studio.path(&format!("{module}/told.txt"))).expect("made");
    let workspace = fs::canonicalize(studio.path("ws")).expect("there");
    assert_eq!(
        told,
        format!(
            "Lamp 1.0.0 {} outputs/lamp/src/lamp/dvc.yaml:told\n",
            workspace.display()
        )
    );

    write("echo half > second.txt; exit 3");
    let failed = studio.ws(&["repro", "Lamp:second", "--json"]);
    let report = failed.json();
    assert_eq!(failed.output.status.code(), Some(6), "{report:#}");
    assert_eq!(
        stages(&report, "outcome"),
        pairs(&[("told", "skipped"), ("second", "failed")])
    );
    assert_eq!(report["stages"][1]["exit"]["number"], 3);
    let second = studio.path(&format!("{module}/second.txt"));
    assert_eq!(fs::read_to_string(&second).expect("there"), told);
    studio
        .ws(&["publish", "Lamp", "--repro", "--json"])
        .fails(6, "pipeline::failed");

    // With -k, what does not need the failed stage is made.
    studio.write(&format!("{module}/source.txt"), b"2\n");
    let kept = studio.ws(&["repro", "Lamp", "-k", "--json"]).json();
    assert_eq!(
        stages(&kept, "outcome"),
        pairs(&[("told", "ran"), ("second", "failed"), ("third", "ran")])
    );
    write("cat told.txt > second.txt");
    studio.ws(&["repro", "Lamp"]).ok();

    // A path that a stage makes is not added, and an edit of it is not published but kept aside.
    studio
        .ws(&["add", &format!("{module}/told.txt"), "--json"])
        .fails(5, "dvc::made_by_stage");
    fs::remove_file(&second).expect("removed");
    studio.write(&format!("{module}/second.txt"), b"by hand");
    studio
        .ws(&["publish", "Lamp", "--json"])
        .fails(5, "publish::stale_stages");
    let again = studio.ws(&["repro", "Lamp", "--json"]).ok().json();
    let edited = again["stages"][1]["kept"][0].as_str().expect("kept");
    assert_eq!(fs::read(edited).expect("there"), b"by hand");
    studio.ws(&["publish", "Lamp"]).ok();
}

#[test]
fn a_killed_run_leaves_no_process_and_the_next_one_brings_the_outputs_of_before_back() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    let module = "ws/outputs/table/src/table";
    let noted = studio.path("pid");
    let write = |command: &str| {
        let text = format!(
            "stages:\n  slow:\n    cmd: {command}\n    outs: [slow.txt]\n  other:\n    cmd: echo 1 > other.txt\n    outs: [other.txt]\n"
        );
        studio.write(&format!("{module}/dvc.yaml"), text.as_bytes());
    };
    write("echo whole > slow.txt");
    let status = studio.ws(&["status", "--json"]).ok().json();
    assert_eq!(
        stages(&status, "state"),
        pairs(&[("slow", "stale"), ("other", "stale")])
    );
    assert_eq!(status["stages"][0]["why"][0], "never run");
    studio
        .ws(&["publish", "Table", "--json"])
        .fails(5, "publish::stale_stages");
    studio.ws(&["repro", "Table:slow"]).ok();
    write(&format!(
        "echo half > slow.txt; echo $$ > {}; sleep 300",
        noted.display()
    ));
    let mut run = studio.start(&["-w", "ws", "repro", "Table:slow"]);
    let started = std::time::Instant::now();
    let pid = loop {
        let text = fs::read_to_string(&noted).unwrap_or_default();
        if text.ends_with('\n') {
            break text.trim().to_owned();
        }
        assert!(started.elapsed().as_secs() < 60, "the command did not start");
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    run.kill().expect("killed");
    run.wait().expect("ended");
    let killed = std::time::Instant::now();
    while Path::new(&format!("/proc/{pid}")).exists() {
        assert!(killed.elapsed().as_secs() < 30, "the command runs on");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let next = studio.ws(&["repro", "Table:other", "--json"]).ok().json();
    assert_eq!(next["recovered"].as_array().map(Vec::len), Some(1), "{next:#}");
    let slow = fs::read_to_string(studio.path(&format!("{module}/slow.txt"))).expect("there");
    assert_eq!(slow, "whole\n");
    let unknown = studio
        .ws(&["repro", "Tabel", "--json"])
        .fails(4, "pipeline::unknown_target");
    assert!(
        unknown["help"].as_str().expect("help").contains("`Table`"),
        "{unknown:#}"
    );
}

#[test]
fn a_scheduler_runs_the_stages_of_a_plan_and_graphs_are_drawn() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    let module = "ws/outputs/table/src/table";
    studio.write(
        &format!("{module}/dvc.yaml"),
        b"stages:\n  a:\n    cmd: echo 1 > a.txt\n    outs: [a.txt]\n  b:\n    foreach: [x, y]\n    do:\n      cmd: cat a.txt > ${item}.txt\n      deps: [a.txt]\n      outs: ['${item}.txt']\n",
    );
    let plan = studio.ws(&["repro", "--plan-json"]).ok().json();
    assert_eq!((&plan["schema"], &plan["command"]), (&1.into(), &"repro".into()));
    assert_eq!(
        stages(&plan, "action"),
        pairs(&[("a", "run"), ("b@x", "run"), ("b@y", "run")])
    );
    assert_eq!(plan["stages"][1]["needs"][0], plan["stages"][0]["stage"]);
    assert!(!studio.path(&format!("{module}/a.txt")).exists());
    for stage in plan["stages"].as_array().expect("stages") {
        let name = stage["stage"].as_str().expect("a name");
        let mut run = studio.command(&["run-stage", name, "--json"]);
        run.current_dir(studio.path(module));
        let report = run_command(&mut run).ok().json();
        assert_eq!(
            (&report["outcome"], &report["stage"]),
            (&"ran".into(), &name.into())
        );
    }
    let idle = studio.ws(&["repro", "Table", "--json"]).ok().json();
    assert_eq!(
        stages(&idle, "outcome"),
        pairs(&[("a", "skipped"), ("b@x", "skipped"), ("b@y", "skipped")])
    );
    let forced = studio.ws(&["repro", "Table:a", "-f", "-s", "--json"]).ok().json();
    assert_eq!(stages(&forced, "outcome"), pairs(&[("a", "ran")]));
    studio
        .ws(&["run-stage", "Table:b", "--json"])
        .fails(4, "pipeline::unknown_target");

    let file = "outputs/table/src/table/dvc.yaml";
    let text = studio.ws(&["dag"]).ok().stdout();
    assert!(
        text.contains(&format!("{file}:b@x\n  needs {file}:a\n")),
        "{text}"
    );
    let dot = studio.ws(&["dag", "Table", "--dot"]).ok().stdout();
    assert!(
        dot.contains(&format!("n0 [label=\"{file}:a")) && dot.contains("n0 -> n2;"),
        "{dot}"
    );
    let svg = studio.ws(&["dag", "Table", "--svg"]).ok().stdout();
    assert!(svg.starts_with("<svg") && svg.contains("b@y"), "{svg}");
    let mermaid = studio.ws(&["dag", "--mermaid"]).ok().stdout();
    assert!(
        mermaid.starts_with("flowchart LR\n") && mermaid.contains("n0 --> n1"),
        "{mermaid}"
    );
    let list = studio.ws(&["stage", "list", "--json"]).ok().json();
    assert_eq!(list["stages"][0]["commands"][0], "echo 1 > a.txt");
}
