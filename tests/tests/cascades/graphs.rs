//! Graphs and costs as images.

use backlot_tests::Studio;
use fs_err as fs;

#[test]
fn who_requires_whom_is_drawn_for_other_programs() {
    let studio = Studio::new();
    for (name, requires) in [
        ("Table", None),
        ("Kitchen", Some("Table>=0.1")),
        ("Shot", Some("Kitchen")),
    ] {
        studio.ws(&["new", name]).ok();
        if let Some(requires) = requires {
            studio.ws(&["input", "add", name, requires]).ok();
        }
        studio.ws(&["publish", name]).ok();
    }
    let dependents = |form: &str| studio.ws(&["dependents", "Table", "--all", form]).ok().stdout();
    let mermaid = dependents("--mermaid");
    assert_eq!(
        mermaid,
        "flowchart LR\n  n0[\"table\"]\n  n1[\"Kitchen<br/>0.1.0 in review<br/>table#gt;=0.1\"]\n  n2[\"Shot<br/>0.1.0 in review<br/>kitchen\"]\n  n0 --> n1\n  n1 --> n2\n"
    );
    let dot = dependents("--dot");
    assert!(
        dot.contains("n1 -> n2;") && dot.contains("2 assets require table"),
        "{dot}"
    );
    let svg = dependents("--svg");
    assert!(
        svg.starts_with("<svg") && svg.contains("&gt;=0.1") && svg.matches("<rect").count() == 4,
        "{svg}"
    );
    studio.workspace("other");
    studio.run(&["-w", "other", "install", "Shot"]).ok();
    let tree = |more: &[&str]| {
        studio
            .run(&[&["-w", "other", "tree"], more].concat())
            .ok()
            .stdout()
    };
    let all = tree(&["--mermaid"]);
    assert!(
        all.contains("n0[\"table<br/>0.1.0<br/>review\"]") && all.contains("n1 --> n2"),
        "{all}"
    );
    let part = tree(&["Shot", "--depth", "1", "--mermaid"]);
    assert!(!part.contains("table") && part.contains("kitchen"), "{part}");
    assert!(tree(&["Table", "--invert", "--svg"]).contains("shot"));
}

#[test]
fn what_versions_cost_is_drawn() {
    let studio = Studio::new();
    studio.asset("Table", 4, 200_000);
    studio.ws(&["publish", "Table"]).ok();
    studio.write(
        "ws/outputs/table/src/table/frames/f.0000.exr",
        &backlot_tests::noise(200_000, 99),
    );
    studio.ws(&["publish", "Table", "--bump", "minor"]).ok();
    let bars = studio
        .ws(&["du", "Table", "--plot", "-o", "table.svg"])
        .ok()
        .stdout();
    let lengths: Vec<usize> = bars.lines().map(|line| line.matches('█').count()).collect();
    assert_eq!(lengths[1], 40, "{bars}");
    assert!((5..20).contains(&lengths[2]), "a frame of four: {bars}");
    let svg = fs::read_to_string(studio.path("table.svg")).expect("written");
    assert!(
        svg.starts_with("<svg") && svg.contains(">published 2") && svg.contains("(UTC)"),
        "{svg}"
    );
    studio
        .ws(&["du", "Table", "--plot", "--by", "version", "-o", "table.svg"])
        .ok();
    let svg = fs::read_to_string(studio.path("table.svg")).expect("written");
    assert!(svg.contains("versions 0.1.0 to 0.2.0"), "{svg}");
}
