//! Folders that are imported to a remote: no local copy is kept, and a pull fetches their files.

use backlot_tests::{Studio, noise, run_command};
use fs_err as fs;

const TREES: &str = "ws/outputs/table/src/table/trees";

#[test]
fn folders_go_to_a_remote_and_a_pull_brings_them() {
    for studio in [Studio::new(), Studio::with_dvc_layout()] {
        studio.ws(&["new", "Table"]).ok();
        let tree = |name: &str, seed: u64| studio.write(&format!("ext/trees/{name}"), &noise(50_000, seed));
        for number in 0..5 {
            tree(&format!("t{number}.abc"), 1 + number);
        }
        tree("sub/leaf.abc", 9);
        let import = [
            "import-url",
            "ext/trees",
            "--asset",
            "Table",
            "--to-remote",
            "--json",
        ];
        let report = studio.ws(&import).ok().json();
        assert_eq!(report["imports"][0]["files"], 6, "{report:#}");
        assert!(!studio.path(TREES).exists());
        let kept = studio.snapshot("cache/files/md5");
        assert!(
            kept.keys().all(|path| path.ends_with(".dir")),
            "{:?}",
            kept.keys()
        );
        studio.ws(&["verify", "--remote", "main"]).ok();
        studio.ws(&["pull"]).ok();
        assert!(studio.snapshot(TREES) == studio.snapshot("ext/trees"));

        // What changes goes the same way; what is here stays until it is pulled.
        let before = studio.snapshot(TREES);
        tree("t1.abc", 77);
        tree("new.abc", 78);
        fs::remove_file(studio.path("ext/trees/t2.abc")).expect("removed");
        let pointer = format!("{TREES}.dvc");
        let report = studio
            .ws(&["update", &pointer, "--to-remote", "--json"])
            .ok()
            .json();
        assert_eq!(report["imports"][0]["outcome"], "updated", "{report:#}");
        assert!(studio.snapshot(TREES) == before);
        studio.ws(&["pull"]).ok();
        assert!(studio.snapshot(TREES) == studio.snapshot("ext/trees"));

        studio.ws(&["publish", "Table"]).ok();
        studio.workspace("reader");
        let reader = |arguments: &[&str]| {
            let mut command = studio.command(&[&["-w", "reader"], arguments].concat());
            command.env("BACKLOT_CACHE_DIR", studio.path("other-cache"));
            run_command(&mut command)
        };
        reader(&["install", "Table", "--pull"]).ok();
        let files = studio.snapshot("reader/inputs");
        let pulled = files.iter().filter(|(path, _)| path.contains("/table/trees/"));
        let pulled: Vec<&Vec<u8>> = pulled.map(|(_, bytes)| bytes).collect();
        assert!(pulled == studio.snapshot("ext/trees").values().collect::<Vec<_>>());
    }
}
