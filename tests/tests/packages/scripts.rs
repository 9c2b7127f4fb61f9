//! Invalid entry points are reported, when installing and when building.

use backlot_tests::Studio;
use backlot_tests::installers::site_packages;
use backlot_tests::wheels::wheel_with;
use fs_err as fs;

/// Install `pk` 1.0 with these lines of console scripts; what was warned of.
fn install(studio: &Studio, scripts: &str) -> String {
    let points = format!("[console_scripts]\n{scripts}");
    let more = [
        ("pk-1.0.dist-info/entry_points.txt", points.as_str()),
        ("pk/sub/__init__.py", "def main(): print('hello')\n"),
        ("pk/native.cpython-311-x86_64-linux-gnu.so", ""),
        ("pk/space/other.py", "def main(): pass\n"),
    ];
    let bytes = wheel_with("pk", "1.0", "", "first", &more);
    studio.write("drop/pk-1.0-py3-none-any.whl", &bytes);
    studio.run(&["init", "ws"]).ok();
    studio.ws(&["repo", "add", "drop", "drop"]).ok();
    studio.ws(&["install", "pk"]).ok().stderr()
}

#[test]
fn scripts_that_cannot_work_are_told_by_name_and_those_that_can_are_not() {
    let studio = Studio::empty();
    let warned = install(
        &studio,
        "good = pk.sub:main\nnative = pk.native:main\nspace = pk.space.other:main\nstd = json.tool:main\nextra = pk.sub:main [x]\n\
         gone = pk.nowhere:main\nother = nobody_has_this:main\ncode = os; import sys:x\nbare = pk.sub\n../evil = pk.sub:main\n",
    );
    for name in ["gone", "other", "code", "bare", "../evil"] {
        let told = warned
            .lines()
            .any(|line| line.contains(&format!("`{name}` of pk")) && line.contains("install::broken_script"));
        assert!(told, "{name}: {warned}");
    }
    for name in ["good", "native", "space", "std", "extra"] {
        assert!(!warned.contains(&format!("`{name}`")), "{name}: {warned}");
        assert!(studio.path("ws/inputs/bin").join(name).is_file(), "{name}");
    }
    for name in ["code", "bare", "evil"] {
        assert!(!studio.path("ws/inputs/bin").join(name).exists(), "{name}");
    }
    assert!(site_packages(&studio, "ws").join("pk/sub/__init__.py").is_file());
    // Told once, when it is installed.
    assert!(!studio.ws(&["install"]).ok().stderr().contains("broken_script"));
}

#[test]
fn lines_of_entry_points_that_are_not_understood_are_told_and_take_no_others_with_them() {
    let studio = Studio::empty();
    // Python's own reader gives up at the first of these lines.
    studio.leaves_harm();
    let warned = install(
        &studio,
        "ok = pk.sub:main\nbare pk.sub:main\ncolon : pk.sub:main\n[Gui_Scripts]\ng = pk.sub:main\n[open\nx = pk.sub:main\n\
         [gui_scripts]\ntwo = pk.sub:other\ntwo = pk.sub:main\n",
    );
    for line in [
        "`bare pk.sub:main`: it has no `=`",
        "`colon : pk.sub:main`: it has no `=`",
        "`[Gui_Scripts]`: did you mean the group `gui_scripts`?",
        "`[open`: the group has no closing `]`",
        "`x = pk.sub:main`: it is not in a group",
        "and 1 more",
    ] {
        assert!(warned.contains(line), "{line}: {warned}");
    }
    for name in ["ok", "two"] {
        assert!(studio.path("ws/inputs/bin").join(name).is_file(), "{name}");
    }
}

#[test]
fn a_build_tells_of_scripts_that_nobody_could_run() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    let project = studio.path("ws/outputs/table/pyproject.toml");
    let mut text = fs::read_to_string(&project).expect("a project");
    text.push_str(
        "\n[project.scripts]\ngood = \"table:main\"\ngone = \"table.nowhere:main\"\nbare = \"table\"\n",
    );
    fs::write(&project, text).expect("written");
    let warned = studio.ws(&["build", "Table"]).ok().stderr();
    for name in ["gone", "bare"] {
        let told = warned
            .lines()
            .any(|line| line.contains(&format!("`{name}`")) && line.contains("build::broken_script"));
        assert!(told, "{name}: {warned}");
    }
    assert!(!warned.contains("`good`"), "{warned}");
    // As an editable, too.
    let warned = studio.ws(&["install", "Table"]).ok().stderr();
    assert!(
        warned.contains("`gone` of table") && !warned.contains("`good`"),
        "{warned}"
    );
}
