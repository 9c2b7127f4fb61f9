//! Built-in checks of contents, and programs that report values.

use backlot_tests::Studio;
use fs_err as fs;

use super::{TABLE, check, declare, exr, frame, items, outcomes, render, report};

#[test]
fn frames_are_alike_readable_and_finite_and_what_is_known_of_them_is_not_read_again() {
    let studio = Studio::new();
    render(&studio, &[0.1, 0.2, 0.3, 0.4]);
    let all = ["frames.uniform", "frames.readable", "frames.finite"]
        .map(check)
        .concat();
    declare(&studio, TABLE, &all);
    let fine = report(&studio, &[]);
    assert_eq!(
        outcomes(&fine),
        [
            "frames.uniform pass",
            "frames.readable pass",
            "frames.finite pass"
        ]
    );
    let replace = |number: u32| fs::remove_file(frame(&studio, number)).expect("removed");
    for number in 0..3 {
        replace(number);
    }
    exr(&frame(&studio, 0), 16, f32::NAN);
    exr(&frame(&studio, 1), 32, 0.5);
    let whole = fs::read(frame(&studio, 3)).expect("readable");
    fs::write(frame(&studio, 2), &whole[..whole.len() - 5]).expect("written");
    let found = report(&studio, &[]);
    assert_eq!(
        outcomes(&found),
        [
            "frames.uniform fail",
            "frames.readable fail",
            "frames.finite fail"
        ]
    );
    assert_eq!(
        items(&found, "frames.uniform"),
        ["frames/f.0001.exr its size is 32 x 9, that of most frames 16 x 9"]
    );
    assert_eq!(
        items(&found, "frames.readable"),
        ["frames/f.0002.exr it is truncated"]
    );
    let not_finite = items(&found, "frames.finite");
    assert!(
        not_finite[0].starts_with("frames/f.0000.exr 144 NaN in channel B"),
        "{not_finite:?}"
    );
    // The one that cannot be read is said here, too.
    assert_eq!(
        not_finite.last().expect("one"),
        "frames/f.0002.exr it is truncated"
    );
    // What is known is believed, and read again only where that is asked for.
    let book = studio.path("cache/checks/table/frames.json");
    let known = fs::read_to_string(&book).expect("written");
    fs::write(&book, known.replace("\"nan\":144", "\"nan\":7")).expect("forged");
    assert!(items(&report(&studio, &[]), "frames.finite")[0].contains(" 7 NaN"));
    assert_eq!(items(&report(&studio, &["--fresh"]), "frames.finite"), not_finite);
    fs::write(&book, b"{").expect("damaged");
    assert_eq!(items(&report(&studio, &[]), "frames.finite"), not_finite);

    let wanted = "[[backlot.validate]]\nid = \"frames.uniform\"\nfiles = \"*f.0003.exr\"\nparams = { width = 20, channels = [\"R\", \"A\"] }\n";
    declare(&studio, TABLE, wanted);
    assert_eq!(
        items(&report(&studio, &[]), "frames.uniform"),
        [
            "f.####.exr: its width is 16, not 20",
            "f.####.exr: it has no channel A"
        ]
    );
    // Frames that were not pulled are not passed over.
    declare(&studio, TABLE, &check("frames.readable"));
    for number in 0..3 {
        replace(number);
    }
    assert_eq!(outcomes(&report(&studio, &[])), ["frames.readable skip"]);
    let automatic = studio.ws(&["validate", "Table", "--auto"]);
    assert_eq!(automatic.output.status.code(), Some(5));
}

#[test]
fn movies_and_scenes_are_whole_and_what_scenes_name_is_there_for_everybody() {
    let studio = Studio::new();
    studio.ws(&["new", "Chair"]).ok();
    studio.write("ws/outputs/chair/src/chair/chair.usda", b"#usda 1.0\n");
    studio.ws(&["new", "Table"]).ok();
    studio.ws(&["input", "add", "Table", "Chair"]).ok();
    let put = |name: &str, bytes: &[u8]| studio.write(&format!("{TABLE}/{name}"), bytes);
    let seed =
        |name: &str| fs::read(backlot_tests::repository().join("fuzz/seeds").join(name)).expect("a seed");
    let whole = seed("movie/whole.mp4");
    put("film/a.mp4", &whole);
    put("film/b.mov", &whole[..whole.len() - 1]);
    declare(
        &studio,
        TABLE,
        "[[backlot.validate]]\nid = \"movie.valid\"\nparams = { fps = 23.976, frames = 50, width = 1920, seconds = 2 }\n",
    );
    let movies = report(&studio, &[]);
    assert_eq!(
        items(&movies, "movie.valid"),
        [
            "film/a.mp4 its count of frames is 48, not 50",
            "film/b.mov it is truncated: its box `mdat` has 58 bytes, 57 are there"
        ]
    );
    assert_eq!(movies["checks"][0]["items"][0]["expected"], "50");

    declare(
        &studio,
        TABLE,
        &[check("scene.valid"), check("scene.references")].concat(),
    );
    put(
        "geo/t.usda",
        b"#usda 1.0\n(\n    subLayers = [@./own.usda@, @../../chair/chair.usda@, @chair/chair.usda@]\n)\n",
    );
    put("geo/own.usda", b"#usda 1.0\n");
    put("geo/t.abc", &seed("scene/archive.abc"));
    put("geo/a b.bin", &[0; 36]);
    put("geo/t.gltf", &seed("scene/triangle.gltf"));
    assert_eq!(
        outcomes(&report(&studio, &[])),
        ["scene.valid pass", "scene.references pass"]
    );
    put("geo/a b.bin", &[0; 35]);
    put("geo/t.abc", &seed("scene/archive.abc")[..90]);
    put(
        "geo/t.usda",
        b"#usda 1.0\n(\n    subLayers = [\n@/jobs/x.usd@,\n@C:/x.usd@,\n@../gone.usd@,\n@../../lamp/l.usda@,\n@../../../../x.usd@,\n@asset:x@,\n@https://x.example/y.usd@\n]\n)\n",
    );
    let found = report(&studio, &[]);
    assert_eq!(items(&found, "scene.valid"), ["geo/t.abc it is truncated"]);
    assert_eq!(
        items(&found, "scene.references"),
        [
            "geo/t.gltf buffers[0]: `a b.bin` has 35 bytes, fewer than 36",
            "geo/t.usda line 4: `/jobs/x.usd` is an absolute path, which others do not have",
            "geo/t.usda line 5: `C:/x.usd` is an absolute path, which others do not have",
            "geo/t.usda line 6: `../gone.usd` is not in the package",
            "geo/t.usda line 7: `../../lamp/l.usda` is not in the inputs: no `lamp/l.usda` is installed",
            "geo/t.usda line 8: `../../../../x.usd` leaves the folder of packages",
            "geo/t.usda line 9: `asset:x` is not in the package",
            "geo/t.usda line 10: `https://x.example/y.usd` is a URL, not a file of the package or of an input",
            "geo/t.abc it is truncated",
        ]
    );
    declare(
        &studio,
        TABLE,
        "[[backlot.validate]]\nid = \"scene.references\"\nfiles = \"*.usda\"\nparams = { allow = [\"asset:\", \"https:\", \"/jobs/\", \"C:\", \"../\"] }\n",
    );
    assert_eq!(outcomes(&report(&studio, &[])), ["scene.references pass"]);
}

#[test]
fn inputs_are_current_approved_and_not_deprecated_and_licences_are_there() {
    let studio = Studio::new();
    studio.ws(&["new", "Chair"]).ok();
    studio.ws(&["bump", "Chair", "1.0"]).ok();
    studio.ws(&["publish", "Chair"]).ok();
    studio.workspace("user");
    let user = |arguments: &[&str]| studio.run(&[&["-w", "user"], arguments].concat());
    user(&["install", "Chair"]).ok();
    user(&["new", "Table"]).ok();
    user(&["input", "add", "Table", "Chair<2"]).ok();
    let folder = "user/outputs/table/src/table";
    let ids = [
        "inputs.current",
        "inputs.approved",
        "inputs.not-deprecated",
        "licence.present",
    ];
    declare(&studio, folder, &ids.map(check).concat());
    let validate = || user(&["validate", "Table", "--json"]).json();
    let first = validate();
    assert_eq!(
        outcomes(&first),
        [
            "inputs.current pass",
            "inputs.approved fail",
            "inputs.not-deprecated pass",
            "licence.present fail"
        ]
    );
    assert_eq!(
        items(&first, "inputs.approved"),
        ["the input chair 1.0 is not approved"]
    );
    assert_eq!(items(&first, "licence.present"), ["the asset has no licence"]);
    studio.ws(&["approve", "Chair==1.0", "-m", "good"]).ok();
    for version in ["1.1", "2.0"] {
        studio.ws(&["bump", "Chair", version]).ok();
        studio.ws(&["publish", "Chair"]).ok();
    }
    let project = studio.path("user/outputs/table/pyproject.toml");
    let text = fs::read_to_string(&project).expect("a project");
    fs::write(
        &project,
        text.replace("[project]\n", "[project]\nlicense = \"MIT\"\n"),
    )
    .expect("written");
    let second = validate();
    assert_eq!(
        items(&second, "inputs.current"),
        ["the input chair 1.0 is behind: 1.1 is in `review`"]
    );
    assert_eq!(items(&second, "inputs.approved"), Vec::<String>::new());
    assert_eq!(items(&second, "licence.present"), Vec::<String>::new());
    studio.ws(&["deprecate", "Chair==1.0", "-m", "old"]).ok();
    let strict = "[[backlot.validate]]\nid = \"inputs.current\"\nparams = { beyond = true }\n[[backlot.validate]]\nid = \"inputs.approved\"\nparams = { by = [\"eva\"] }\n[[backlot.validate]]\nid = \"licence.present\"\nparams = { allowed = [\"BSD\"] }\n";
    declare(
        &studio,
        folder,
        &format!("{}{strict}", check("inputs.not-deprecated")),
    );
    let third = validate();
    assert_eq!(
        items(&third, "inputs.not-deprecated"),
        ["the input chair 1.0 is deprecated in `review` by ana: old"]
    );
    assert_eq!(
        items(&third, "inputs.current"),
        ["the input chair 1.0 is behind: 2.0 is in `review`"]
    );
    assert_eq!(
        items(&third, "inputs.approved"),
        ["the input chair 1.0 is not approved"]
    );
    assert_eq!(
        items(&third, "licence.present"),
        ["the licence of the asset, MIT, is not one of BSD"]
    );
}

#[test]
fn a_workout_reports_values_and_a_command_with_a_revision_runs_once_for_the_same_files() {
    let studio = Studio::new();
    studio.asset("Table", 2, 100);
    let script = "echo x >> ../../ran.txt\necho '{\"values\": {\"bones\": 42, \"height\": 1.803}}'\n";
    studio.write(&format!("{TABLE}/workout.sh"), script.as_bytes());
    let workout = |expect: &str, more: &str| {
        let text = format!(
            "[[backlot.validate]]\nid = \"rig.workout\"\ncommand = [\"sh\", \"workout.sh\"]\nfiles = \"frames/*\"\nexpect = {{ {expect} }}\n{more}"
        );
        declare(&studio, TABLE, &text);
        report(&studio, &[])
    };
    let right = workout("bones = 42, height = { value = 1.8, within = 0.01 }", "");
    assert_eq!(outcomes(&right), ["rig.workout pass"]);
    let wrong = workout("bones = 41, tail = 1", "");
    assert_eq!(
        items(&wrong, "rig.workout"),
        ["`bones` is 42, not 41", "the command did not report `tail`"]
    );
    let ran =
        || fs::read_to_string(studio.path("ws/outputs/table/ran.txt")).map_or(0, |text| text.lines().count());
    assert_eq!(ran(), 2);
    let kept = |revision: &str| workout("bones = 41", &format!("revision = \"{revision}\"\n"));
    for known in [false, true, true] {
        let checked = kept("1");
        assert_eq!(checked["checks"][0]["known"].as_bool().unwrap_or_default(), known);
        assert_eq!(items(&checked, "rig.workout"), ["`bones` is 42, not 41"]);
    }
    assert_eq!(ran(), 3);
    kept("2");
    assert_eq!(ran(), 4);
    studio.write(&format!("{TABLE}/frames/f.0001.exr"), b"other");
    kept("2");
    assert_eq!(ran(), 5);
    report(&studio, &["--fresh"]);
    assert_eq!(ran(), 6);
}
