//! Parameters, metrics and plots of pipelines: of the workspace, of releases, and between them.

use backlot_tests::{Studio, run_command};
use fs_err as fs;
use serde_json::Value;

#[test]
fn parameters_metrics_and_plots_compare_with_those_of_releases() {
    let studio = Studio::new();
    studio.asset("Table", 2, 1_000);
    let module = "ws/outputs/table/src/table";
    let pipeline = b"stages:\n  bake:\n    cmd: cp params.yaml error.json && cp rows.txt loss.csv\n    deps: [rows.txt]\n    params: [quality]\n    metrics: [error.json: {cache: false}]\n    plots: [loss.csv: {x: step, title: Loss}]\n";
    studio.write(&format!("{module}/dvc.yaml"), pipeline);
    let inputs = |quality: &str, loss: &str| {
        studio.write(
            &format!("{module}/params.yaml"),
            format!("{{\"quality\": {quality}, \"sub\": {{\"same\": 1}}}}\n").as_bytes(),
        );
        studio.write(
            &format!("{module}/rows.txt"),
            format!("step,loss\n1,4\n2,{loss}\n").as_bytes(),
        );
        studio.ws(&["repro", "Table"]).ok();
    };
    inputs("0.5", "2");
    studio.ws(&["publish", "Table"]).ok();
    inputs("0.75", "1");
    let diff = studio.ws(&["diff", "Table==0.1.0", "--json"]).ok().json();
    assert_eq!(
        diff["files"],
        serde_json::json!([{
            "path": "table/loss.csv", "new": [], "changed": ["loss.csv"], "gone": [], "bytes_from": 18, "bytes_to": 18,
        }]),
        "{diff:#}"
    );
    for command in ["params", "metrics"] {
        let file = ["table/params.yaml", "table/error.json"][usize::from(command == "metrics")];
        for ends in [&["Table"][..], &["Table==0.1.0"]] {
            let diff = studio
                .ws(&[&[command, "diff", "--json"], ends].concat())
                .ok()
                .json();
            let expected = serde_json::json!([{
                "file": file, "key": "quality", "from": 0.5, "to": 0.75, "change": 0.25,
            }]);
            assert_eq!(diff["changes"], expected, "{diff:#}");
            assert_eq!(
                (diff["unchanged"].as_u64(), &diff["to"]["repo"]),
                (Some(1), &Value::Null)
            );
        }
        let same = studio
            .ws(&[command, "diff", "Table==0.1.0", "Table==0.1.0", "--json"])
            .ok()
            .json();
        assert_eq!(same["changes"].as_array().map(Vec::len), Some(0));
    }
    let shown = studio
        .ws(&["metrics", "show", "Table==0.1.0", "--json"])
        .ok()
        .json();
    assert_eq!(shown["figures"][0]["value"], 0.5, "{shown:#}");

    plots_are_drawn_with_those_of_a_release(&studio);
}

/// The plot of the release is fetched where the cache does not have it.
fn plots_are_drawn_with_those_of_a_release(studio: &Studio) {
    let draw = |file: &str, cache: &str| {
        let mut command = studio.command(&[
            "-w",
            "ws",
            "plots",
            "show",
            "Table==0.1.0",
            "Table",
            "-o",
            file,
            "--json",
        ]);
        command.env("BACKLOT_CACHE_DIR", studio.path(cache));
        run_command(&mut command)
    };
    let report = draw("plots.svg", "cache").ok().json();
    let lines = &report["charts"][0]["lines"];
    assert_eq!(
        lines[0]["points"],
        serde_json::json!([[1.0, 4.0], [2.0, 2.0]]),
        "{report:#}"
    );
    assert_eq!(
        lines[1]["points"],
        serde_json::json!([[1.0, 4.0], [2.0, 1.0]]),
        "{report:#}"
    );
    let svg = fs::read_to_string(studio.path("plots.svg")).expect("drawn");
    assert!(
        svg.contains(">Loss<") && svg.matches("<polyline").count() == 2,
        "{svg}"
    );
    draw("again.svg", "fresh").ok();
    assert!(fs::read_to_string(studio.path("again.svg")).expect("drawn") == svg);
    draw("plots.html", "cache").ok();
    assert!(
        fs::read_to_string(studio.path("plots.html"))
            .expect("drawn")
            .contains(&svg)
    );
    draw("plots.png", "cache").fails(2, "pipelines::plot_file");
}
