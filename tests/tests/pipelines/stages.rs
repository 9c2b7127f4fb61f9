//! Stages added, frozen and removed by commands: as by real DVC, keeping comments and formatting.

use std::process::Command;

use backlot_tests::{Studio, run_command, tool};
use fs_err as fs;

#[test]
fn stages_are_added_as_real_dvc_adds_them() {
    let studio = Studio::with_dvc_layout();
    studio.asset("Table", 3, 1_000);
    let module = studio.path("ws/outputs/table/src/table");
    let file = module.join("dvc.yaml");
    let bake = [
        "-d",
        "frames",
        "-p",
        "gain,b.c",
        "-p",
        "f.json:k",
        "-o",
        "z.bin",
        "-o",
        "joined.bin",
        "-M",
        "m.json",
        "--plots",
        "p.csv",
        "--desc",
        "what for",
    ];
    let command = "cat frames/* > joined.bin";
    for force in [&[][..], &["-f"]] {
        let mut texts = Vec::new();
        for ours in [false, true] {
            let mut run = if ours {
                let mut run = studio.command(&["stage", "add", "bake"]);
                run.args(bake).args(force).arg(command);
                run
            } else {
                let mut run = Command::new(tool("dvc"));
                run.args(["stage", "add", "-n", "bake"])
                    .args(bake)
                    .args(force)
                    .arg(command);
                run.env("HOME", studio.path("home")).env("DVC_NO_ANALYTICS", "1");
                run
            };
            run_command(run.current_dir(&module)).ok();
            texts.push(fs::read_to_string(&file).expect("written"));
            if force.is_empty() {
                fs::remove_file(&file).expect("removed");
            }
        }
        assert_eq!(texts[0], texts[1]);
        fs::write(&file, &texts[0]).expect("written");
    }
    studio
        .ws(&["stage", "add", "Table:bake", "--json", "true"])
        .fails(5, "pipeline::stage_exists");
}

#[test]
fn edits_keep_comments_and_a_removed_stage_leaves_the_lock() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    let module = "ws/outputs/table/src/table";
    let text = "# Mine.\nstages:\n  # The first.\n  a:\n    cmd: echo a > a.txt   # short\n    outs: [a.txt]\n  b:\n    cmd: cat a.txt > b.txt\n    deps: [a.txt]\n    outs: [b.txt]   # last\n";
    studio.write(&format!("{module}/dvc.yaml"), text.as_bytes());
    let read = |name: &str| fs::read_to_string(studio.path(&format!("{module}/{name}"))).expect("read");
    studio.ws(&["repro", "Table"]).ok();
    studio.ws(&["stage", "freeze", "Table:a", "--dry-run"]).ok();
    assert_eq!(read("dvc.yaml"), text);
    studio.ws(&["stage", "freeze", "Table:a"]).ok();
    assert_eq!(
        read("dvc.yaml"),
        text.replace("[a.txt]\n  b", "[a.txt]\n    frozen: true\n  b")
    );
    let listed = studio.ws(&["stage", "list", "--json"]).ok().json();
    assert_eq!(listed["stages"][0]["frozen"], true, "{listed:#}");
    studio.ws(&["stage", "unfreeze", "Table:a"]).ok();
    assert_eq!(read("dvc.yaml"), text);
    studio
        .ws(&["stage", "remove", "Table", "--json"])
        .fails(4, "pipeline::unknown_target");
    studio.ws(&["stage", "remove", "Table:b"]).ok();
    assert_eq!(read("dvc.yaml"), &text[..text.find("  b:").expect("there")]);
    let lock = read("dvc.lock");
    assert!(lock.contains("  a:\n") && !lock.contains("  b:\n"), "{lock}");
    assert_eq!(read("b.txt"), "a\n");
    studio.ws(&["stage", "remove", "Table:a"]).ok();
    assert_eq!(read("dvc.yaml"), "# Mine.\nstages: {}\n  # The first.\n");
    assert!(!studio.path(&format!("{module}/dvc.lock")).exists());
    studio
        .ws(&[
            "stage", "add", "Table:c", "-o", "c.txt", "--", "echo", "c", ">", "c.txt",
        ])
        .ok();
    studio.ws(&["repro", "Table"]).ok();
    assert_eq!(read("c.txt"), "c\n");

    // Nothing of an installed release is edited.
    let mut add = studio.command(&["stage", "add", "--json", "x", "true"]);
    fs::create_dir_all(studio.path("ws/inputs/lib")).expect("made");
    add.current_dir(studio.path("ws/inputs/lib"));
    run_command(&mut add).fails(2, "pipelines::installed");
}
