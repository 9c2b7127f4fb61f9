//! Messages: short, and without temporary names.

use backlot_tests::server::{Reply, Server};
use backlot_tests::wheels::{put, sha256, wheel};
use backlot_tests::{Run, Studio};
use fs_err as fs;

/// No temporary is named in what a command printed.
fn names_no_temporary(run: &Run) {
    for text in [run.stdout(), run.stderr()] {
        assert!(!text.contains(".tmp-") && !text.contains("/stage-"), "{text}");
    }
}

/// What is wrong with a wheel.
type Damage<'a> = &'a dyn Fn(&mut Vec<u8>);

#[test]
fn errors_of_wheels_name_the_wheel_and_no_temporary() {
    let damages: [Damage<'_>; 4] = [
        &|bytes| bytes.truncate(bytes.len() / 2),
        &|bytes| bytes.truncate(0),
        // A module is not what RECORD says.
        &|bytes| {
            let at = bytes.windows(5).position(|w| w == b"first").expect("stored");
            bytes[at] = b'F';
        },
        &|bytes| {
            let at = bytes.windows(6).position(|w| w == b"RECORD").expect("an entry");
            bytes[at] = b'X';
        },
    ];
    for (number, damage) in damages.iter().enumerate() {
        for far in [false, true] {
            let mut bytes = wheel("pk", "1.0", "", "first");
            damage(&mut bytes);
            let file = "pk-1.0-py3-none-any.whl";
            let studio = Studio::empty();
            studio.run(&["init", "ws"]).ok();
            let page = format!(r#"<a href="/f/{file}#sha256={}">{file}</a>"#, sha256(&bytes));
            let served = bytes.clone();
            let server = Server::start(move |request| match request.path.as_str() {
                "/simple/" => Reply::html(r#"<a href="pk/">pk</a>"#),
                "/simple/pk/" => Reply::html(page.clone()),
                path if path.ends_with(file) => Reply::bytes(served.clone()),
                _ => Reply::status(404),
            });
            studio.write(&format!("drop/{file}"), &bytes);
            let place = if far {
                server.url("/simple/")
            } else {
                "drop".to_owned()
            };
            studio.ws(&["repo", "add", "from", &place]).ok();
            for json in [false, true] {
                let mut arguments = vec!["install", "pk"];
                arguments.extend(json.then_some("--json"));
                let run = studio.ws(&arguments);
                assert!(!run.output.status.success(), "{number} {far}");
                names_no_temporary(&run);
                // For people it may be broken over two lines.
                assert!(!json || run.stdout().contains(file), "{number}: {}", run.stdout());
            }
            let run = studio.ws(&["verify", "--repo", "--json"]);
            names_no_temporary(&run);
        }
    }
}

#[test]
fn errors_of_what_is_built_and_placed_name_no_temporary() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    // A wheel that readers refuse.
    studio.write("ws/outputs/table/src/table/a", b"x");
    let long = format!(
        "ws/outputs/table/src/table/{}/{}.py",
        "d".repeat(200),
        "f".repeat(200)
    );
    studio.write(&long, b"x");
    for arguments in [
        &["build", "Table", "--json"][..],
        &["build", "Table", "--dry-run", "--json"],
    ] {
        names_no_temporary(&studio.ws(arguments));
    }
    // A file where a folder should be, and a folder that cannot be written.
    fs::remove_dir_all(studio.path("ws/build")).ok();
    studio.write("ws/build", b"in the way");
    let run = studio.ws(&["build", "Table", "--json"]);
    assert!(!run.output.status.success());
    names_no_temporary(&run);
}

#[test]
fn warnings_of_one_kind_are_one_line_and_all_where_that_is_asked_for() {
    let studio = Studio::empty();
    put(&studio, "drop", "pk", "1.0", "");
    for number in 0..23 {
        studio.write(&format!("drop/pk-0.{number}-old.whl"), b"no wheel");
    }
    studio.run(&["init", "ws"]).ok();
    studio.ws(&["repo", "add", "drop", "drop"]).ok();
    let lines = |arguments: &[&str]| -> Vec<String> {
        let told = studio.ws(arguments).ok().stderr();
        let told = told.lines().filter(|line| line.contains("repo::broken_release"));
        told.map(ToOwned::to_owned).collect()
    };
    studio.ws(&["install", "pk"]).ok();
    let told = lines(&["lock", "-U"]);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].contains("and 22 more") && told[0].contains("`-v` shows all"),
        "{told:#?}"
    );
    for verbose in ["-v", "--verbose"] {
        assert_eq!(lines(&["lock", "-U", verbose]).len(), 23);
    }
    // Programs get each, and one alone is told as ever.
    assert_eq!(lines(&["lock", "-U", "--json"]).len(), 23);
    for number in 1..23 {
        fs::remove_file(studio.path(&format!("drop/pk-0.{number}-old.whl"))).expect("removed");
    }
    let told = lines(&["lock", "-U"]);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(!told[0].contains("more"), "{told:#?}");
}

/// What steers a terminal, or hides and reorders what is shown.
const EVIL: [&str; 6] = [
    "\u{1b}[31m",
    "\u{9b}2J",
    "\u{8}",
    "\u{202e}",
    "\u{2066}",
    "\u{200f}",
];

#[test]
fn nothing_that_others_wrote_steers_the_terminal() {
    let studio = Studio::new();
    let evil = EVIL.concat();
    let headers =
        format!("Summary: nice{evil}\nKeywords: a{evil}\nAuthor: b{evil}\nRequires-Python: >=3{evil}\n");
    put(&studio, "drop", "pk", "1.0", &headers);
    put(&studio, "drop", "good", "1.0", &format!("Summary: nice{evil}\n"));
    studio.write(&format!("drop/pk-2.0{evil}-py3-none-any.whl"), b"x");
    studio.ws(&["repo", "add", "drop", "drop"]).ok();
    let said = evil.clone();
    let server = Server::start(move |request| match request.path.as_str() {
        "/simple/" => Reply::html(r#"<a href="pk/">pk</a>"#),
        _ => Reply::new(500, "text/plain", said.clone()),
    });
    studio.ws(&["repo", "add", "web", &server.url("/simple/")]).ok();
    studio.ws(&["new", "Table"]).ok();
    studio.write("ws/outputs/table/src/table/frames/a\u{202e}b.exr", b"x");
    for arguments in [
        &["list"][..],
        &["search", "o"],
        &["show", "pk"],
        &["show", "good"],
        &["install", "pk"],
        &["install", "good"],
        &["install", "nothing\u{1b}[31m"],
        &["status"],
        &["add", "ws/outputs/table/src/table/frames"],
        &["status"],
        &["build", "Table"],
        &["yank", "good==1.0", "--repo", "drop", "-m", "bad\u{1b}[31m"],
    ] {
        let run = studio.ws(arguments);
        for text in [run.stdout(), run.stderr()] {
            for evil in EVIL {
                assert!(!text.contains(evil), "{arguments:?}: {text:?}");
            }
        }
    }
    studio.leaves_harm();
}
