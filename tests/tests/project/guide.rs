//! The guide is executed: the `sh` blocks of a page run one after the other in one shell, which stops at the first failure.
//! `/studio` and `/site` of a page are folders of the test. Also: every command that any page names exists, with its options.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use backlot_tests::{Studio, binary, repository, run_command, snapshot, tool};
use fs_err as fs;
use serde_json::Value;

/// The blocks of a page that begin with this line, without their fences.
fn blocks(page: &str, fence: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for line in page.lines() {
        match line {
            "```" if inside => inside = false,
            _ if line == fence => inside = true,
            _ if inside => text.push_str(&format!("{line}\n")),
            _ => {}
        }
    }
    text
}

/// The commands of a page, with the time written down at the beginning of each section and at the end.
fn timed(text: &str, times: &Path) -> String {
    let mut script = String::new();
    for section in text.split("\n## ") {
        let title = section.lines().next().unwrap_or_default();
        let title = title.trim_start_matches("# ").replace('\'', "");
        let commands = blocks(section, "```sh");
        let count = commands.lines().filter(|line| !line.is_empty()).count();
        if count > 0 {
            script.push_str(&format!(
                "echo $EPOCHREALTIME {count} '{title}' >> '{}'\n{commands}",
                times.display()
            ));
        }
    }
    script + &format!("echo $EPOCHREALTIME 0 >> '{}'\n", times.display())
}

/// Print how many lines each section of a page has, and how long they took: the stories of docs/guide/README.md.
#[expect(
    clippy::print_stderr,
    reason = "the times are for who asks for them, with --nocapture"
)]
fn tell(page: &str, times: &Path) {
    let text = fs::read_to_string(times).expect("times");
    let rows: Vec<(f64, &str)> = text
        .lines()
        .filter_map(|line| {
            let (time, rest) = line.split_once(' ')?;
            Some((time.parse().ok()?, rest))
        })
        .collect();
    for pair in rows.windows(2) {
        let (lines, title) = pair[0].1.split_once(' ').expect("as written");
        eprintln!(
            "story: {page} | {title} | {lines} | {:.2} s",
            pair[1].0 - pair[0].0
        );
    }
}

/// Run a page in the folder `here` of a studio; its frames are below `studio` already.
fn follow(studio: &Studio, page: &str) {
    let text = fs::read_to_string(repository().join("docs/guide").join(page)).expect("the page");
    assert!(
        blocks(&text, "```sh").lines().count() > 3,
        "{page} has no commands"
    );
    let times = studio.path("times");
    let script = timed(&text, &times);
    let here = studio.path("here");
    fs::create_dir_all(&here).expect("made");
    let bin = studio.path("bin");
    fs::create_dir_all(&bin).expect("made");
    std::os::unix::fs::symlink(binary(), bin.join("backlot")).expect("linked");
    let script = ["studio", "site"].iter().fold(script, |script, folder| {
        script.replace(
            &format!("/{folder}/"),
            &format!("{}/{folder}/", studio.root().display()),
        )
    });
    // What DVC needs of its own comes last, so that no other `backlot` is found.
    let path = format!(
        "{}:{}:/usr/bin:/bin",
        bin.display(),
        tool("dvc").parent().expect("a folder").display()
    );
    let plain = studio.command(&[]);
    let mut shell = Command::new("bash");
    shell
        .args(["-euo", "pipefail", "-c", &format!("set -x\n{script}")])
        .current_dir(&here)
        .env_clear()
        .envs(plain.get_envs().filter_map(|(key, value)| Some((key, value?))))
        .env("PATH", path)
        .env("DVC_NO_ANALYTICS", "1");
    run_command(&mut shell).ok();
    tell(page, &times);
}

/// Frames `f.0001.exr` and on.
fn frames(studio: &Studio, folder: &str, numbers: std::ops::RangeInclusive<u64>, seed: u64) {
    for number in numbers {
        let bytes = backlot_tests::noise(20_000, seed * 1000 + number);
        studio.write(&format!("{folder}/f.{number:04}.exr"), &bytes);
    }
}

/// A workspace `here/NAME` as London or an artist has it: an asset published to `review` and copied to `blessed`.
fn published(studio: &Studio, workspace: &str, asset: &str) {
    let module = asset.to_lowercase();
    let workspace = format!("here/{workspace}");
    frames(studio, "studio/renders/turntable", 1..=6, 1);
    studio.run(&["init", &workspace]).ok();
    let run = |arguments: &[&str]| studio.run(&[&["-w", &workspace], arguments].concat()).ok();
    for repo in ["blessed", "review"] {
        run(&["repo", "add", repo, &format!("studio/repos/{repo}")]);
    }
    run(&["remote", "add", "main", "studio/files"]);
    run(&["new", asset]);
    run(&[
        "add",
        "studio/renders/turntable",
        "--asset",
        asset,
        "--as",
        "frames",
    ]);
    run(&["publish", asset]);
    run(&["copy", asset, "--from", "review", "--to", "blessed"]);
    assert!(studio.path(&format!("{workspace}/outputs/{module}")).is_dir());
}

#[test]
fn plain_folders_become_releases() {
    let studio = Studio::empty();
    for version in 1..=3 {
        frames(&studio, &format!("studio/assets/table_v00{version}"), 1..=4, 1);
        frames(
            &studio,
            &format!("studio/assets/table_v00{version}"),
            4 + version..=6 + version,
            version,
        );
    }
    follow(&studio, "folders.md");
    let log = studio
        .run(&["-w", "here/import", "log", "table", "--json"])
        .ok()
        .json();
    let versions: Vec<_> = log["releases"]
        .as_array()
        .expect("releases")
        .iter()
        .map(|r| r["version"].clone())
        .collect();
    assert_eq!(versions, ["3.0.0", "2.0.0", "1.0.0"]);
}

#[test]
fn the_first_five_minutes_of_an_artist() {
    let studio = Studio::empty();
    published(&studio, "maker", "Turntable");
    frames(&studio, "studio/renders/fixed", 3..=3, 9);
    follow(&studio, "first-steps.md");
    let fixed = fs::read(studio.path("studio/renders/fixed/f.0003.exr")).expect("a frame");
    studio.run(&["init", "other"]).ok();
    let other = |arguments: &[&str]| studio.run(&[&["-w", "other"], arguments].concat()).ok();
    other(&["repo", "add", "review", "studio/repos/review"]);
    other(&["remote", "add", "main", "studio/files"]);
    other(&["install", "Turntable==0.2.0", "--pull"]);
    let inputs = studio.snapshot("other/inputs").into_values();
    assert!(inputs.into_iter().any(|bytes| bytes == fixed));
}

#[test]
fn an_asset_changes_and_what_is_built_from_it_follows() {
    let studio = Studio::empty();
    follow(&studio, "cascades.md");
    let kept = studio
        .run(&["-w", "here/demo/modeller", "log", "KitchenSet", "--json"])
        .ok()
        .json();
    let releases = kept["releases"].as_array().expect("releases").iter();
    let stand = |release: &Value| (release["version"].clone(), release["events"][0]["kind"].clone());
    let first: Vec<_> = releases.map(stand).take(3).collect();
    let yanked = |version: &str| (Value::from(version), Value::from("yanked"));
    let expected = [yanked("1.1.1"), yanked("1.1.0"), ("1.0.0".into(), Value::Null)];
    assert_eq!(first, expected, "{kept:#}");
}

#[test]
fn the_things_that_an_artist_does_every_day() {
    let studio = Studio::empty();
    frames(&studio, "studio/renders/monday", 1..=8, 1);
    frames(&studio, "studio/renders/tuesday", 1..=5, 1);
    frames(&studio, "studio/renders/tuesday", 6..=7, 2);
    follow(&studio, "daily.md");
    let monday = studio.snapshot("studio/renders/monday");
    let tuesday = studio.snapshot("studio/renders/tuesday");
    let frames_of = |folder: &str| {
        let all = studio.snapshot(folder).into_iter();
        let frames = all.filter(|(path, _)| path.contains("/frames/f.") && path.ends_with(".exr"));
        frames
            .map(|(path, bytes)| (path.rsplit('/').next().unwrap_or_default().to_owned(), bytes))
            .collect::<BTreeMap<String, Vec<u8>>>()
    };
    let some = frames_of("here/editor/inputs");
    assert!(
        some.keys().eq(["f.0003.exr", "f.0004.exr", "f.0005.exr"]),
        "{:?}",
        some.keys()
    );
    assert!(some.iter().all(|(name, bytes)| tuesday[name] == *bytes));
    // What was restored and renamed is what was rendered on Monday, and all of it is there after the move.
    assert_eq!(frames_of("here/moved/outputs/carousel"), monday);
    studio.workspace("other");
    let other = |arguments: &[&str]| studio.run(&[&["-w", "other"], arguments].concat());
    other(&["repo", "add", "daily", "studio/repos/review"]).ok();
    other(&["remote", "add", "files", "studio/files"]).ok();
    other(&["install", "Carousel"]).ok();
    other(&["pull", "--remote", "files"]).ok();
    assert_eq!(frames_of("other/inputs"), monday);
    for svg in ["turntable.svg", "turntable-cost.svg"] {
        let text = fs::read_to_string(studio.path("here/moved").join(svg)).expect("a picture");
        assert!(text.starts_with("<svg"), "{svg}: {text}");
    }
}

#[test]
fn rez_packages_become_assets() {
    let studio = Studio::empty();
    let table = "name = 'table'\nversion = '1.0.0'\n";
    studio.write("studio/rez/table/1.0.0/package.py", table.as_bytes());
    let rig = "name = 'table_rig'\nversion = '1.2.0'\nrequires = ['table-1+<2']\n\ndef commands():\n    env.PYTHONPATH.append('{root}/python')\n";
    studio.write("studio/rez/table_rig/1.2.0/package.py", rig.as_bytes());
    studio.write("studio/rez/table_rig/1.2.0/python/rig.txt", b"joints");
    follow(&studio, "from-rez.md");
    studio
        .run(&["-w", "here/import", "install", "table_rig==1.2.0"])
        .ok();
}

#[test]
fn releases_are_chosen_by_approval_and_label() {
    let studio = Studio::empty();
    follow(&studio, "choosing.md");
    for (workspace, version) in [("lighting", "0.1.0"), ("trailer", "0.2.0")] {
        let lock = fs::read_to_string(studio.path(&format!("here/{workspace}/backlot.lock")));
        let lock = lock.expect("a lock");
        assert!(
            lock.contains(&format!("version = \"{version}\"")),
            "{workspace}: {lock}"
        );
    }
}

#[test]
fn dvc_and_backlot_work_on_the_same_files() {
    let studio = Studio::empty();
    frames(&studio, "studio/renders/turntable", 1..=4, 1);
    frames(&studio, "studio/renders/rig", 1..=2, 2);
    legacy_project(&studio);
    follow(&studio, "dvc.md");
    assert_eq!(
        studio.snapshot("here/artist/outputs/legacy/src/legacy/plates"),
        studio.snapshot("studio/renders/plates")
    );
    for (folder, source) in [("frames", "turntable"), ("rig", "rig")] {
        assert_eq!(
            studio.snapshot(&format!("here/other/outputs/table/src/table/{folder}")),
            studio.snapshot(&format!("studio/renders/{source}")),
            "{folder}"
        );
    }
}

/// A project of DVC alone, whose files were pushed.
fn legacy_project(studio: &Studio) {
    frames(studio, "studio/renders/plates", 1..=3, 4);
    frames(studio, "studio/project/plates", 1..=3, 4);
    let script = "dvc init --no-scm -q && dvc remote add -d main ../project-remote && dvc add -q plates && dvc push -q";
    let path = format!(
        "{}:/usr/bin:/bin",
        tool("dvc").parent().expect("a folder").display()
    );
    let mut shell = Command::new("bash");
    shell
        .args(["-euc", script])
        .current_dir(studio.path("studio/project"))
        .env("HOME", studio.path("home"))
        .env("PATH", path)
        .env("DVC_NO_ANALYTICS", "1");
    run_command(&mut shell).ok();
}

#[test]
fn a_farm_renders_and_publishes_without_logins() {
    let studio = Studio::empty();
    frames(&studio, "studio/node-a", 1..=5, 1);
    frames(&studio, "studio/node-b", 6..=10, 1);
    follow(&studio, "farm.md");
    let mut rendered = studio.snapshot("studio/node-a");
    rendered.extend(studio.snapshot("studio/node-b"));
    assert_eq!(found(&studio, "here/node"), rendered);
    assert_eq!(found(&studio, "here/offline"), rendered);
}

#[test]
fn a_second_site_has_copies_of_its_own() {
    let studio = Studio::empty();
    published(&studio, "london", "Shot010");
    follow(&studio, "second-site.md");
    let rendered = studio.snapshot("studio/renders/turntable");
    for workspace in ["paris", "island"] {
        assert_eq!(
            found(&studio, &format!("here/{workspace}")),
            rendered,
            "{workspace}"
        );
    }
    // Paris does without London.
    for folder in ["studio/repos", "studio/files", "cache"] {
        fs::remove_dir_all(studio.path(folder)).expect("removed");
    }
    studio.run(&["-w", "here/paris", "pull"]).ok();
}

/// The frames of the installed asset in a workspace, or of a bundle.
fn found(studio: &Studio, workspace: &str) -> BTreeMap<String, Vec<u8>> {
    let all = studio.snapshot(workspace);
    let frames = all
        .into_iter()
        .filter(|(path, _)| path.contains("/shot010/frames/") && path.ends_with(".exr"));
    frames
        .map(|(path, bytes)| (path.rsplit('/').next().unwrap_or_default().to_owned(), bytes))
        .collect()
}

#[test]
fn a_damaged_remote_and_repo_are_repaired_and_replaced() {
    let studio = Studio::empty();
    published(&studio, "artist", "Table");
    let artist = |arguments: &[&str]| studio.run(&[&["-w", "here/artist"], arguments].concat());
    artist(&["install", "Table", "--pull"]);
    artist(&["remote", "add", "copy", "studio/backup"]).ok();
    artist(&["remote", "copy", "main", "copy"]).ok();
    artist(&["remote", "remove", "copy"]).ok();
    let pack = fs::read_dir(studio.path("studio/files/v1/packs"))
        .expect("packs")
        .next()
        .expect("one")
        .expect("read");
    fs::remove_dir_all(pack.path()).expect("removed");
    let wheel = "studio/repos/review/packages/table/table-0.1.0-py3-none-any.whl";
    let whole = fs::read(studio.path(wheel)).expect("a wheel");
    studio.write(wheel, &whole[..whole.len() / 2]);
    let damaged = artist(&["verify", "--remote"]);
    assert_eq!(damaged.output.status.code(), Some(7), "{}", damaged.stdout());
    follow(&studio, "recovery.md");
    assert_eq!(fs::read(studio.path(wheel)).expect("a wheel"), whole);
    let verified = artist(&["verify", "--json"]).ok().json();
    assert!(verified.is_object());
}

/// Every `backlot ...` in the docs names a command, and options that it has.
#[test]
fn commands_in_the_docs_exist_with_their_options() {
    let pages = snapshot(&repository().join("docs/commands"));
    let of_all = String::from_utf8_lossy(&pages["README.md"]).into_owned();
    let mut seen = 0;
    for (name, text) in documents() {
        for command in commands(&text) {
            let mut words: Vec<&str> = command.split_whitespace().skip(1).collect();
            // Options of every command may come first.
            while let Some(first) = words.first().filter(|word| word.starts_with('-')) {
                words.drain(..if *first == "-w" { 2 } else { 1 });
            }
            // The crates that run cascades have codes of errors, and no command yet.
            if words.first() == Some(&"cascade") && !pages.contains_key("cascade.md") {
                continue;
            }
            let Some((page, options)) = page_of(&words, &pages) else {
                panic!("{name}: `{command}` is not a command");
            };
            let page = String::from_utf8_lossy(&pages[&page]);
            for option in options {
                let known =
                    |page: &str| page.contains(&format!("{option}`")) || page.contains(&format!("{option} "));
                assert!(
                    option == "--help" || known(&page) || known(&of_all),
                    "{name}: `{command}` has no option `{option}`"
                );
            }
            seen += 1;
        }
    }
    assert!(seen > 200, "{seen}");
}

/// README and the pages in `docs` and `docs/guide`.
fn documents() -> Vec<(String, String)> {
    let mut all = vec![repository().join("README.md")];
    for folder in ["docs", "docs/guide"] {
        let entries = fs::read_dir(repository().join(folder)).expect("a folder");
        all.extend(entries.map(|entry| entry.expect("an entry").path()));
    }
    let is_page = |path: &Path| path.extension().is_some_and(|extension| extension == "md");
    let pages = all.into_iter().filter(|path| is_page(path));
    pages
        .map(|path| {
            (
                path.display().to_string(),
                fs::read_to_string(&path).expect("read"),
            )
        })
        .collect()
}

/// What stands in back quotes or in blocks of code and begins with `backlot `.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block = false;
    for line in text.lines() {
        if line.starts_with("```") {
            block = !block;
        } else if block {
            let line = line.trim_start_matches("$ ").trim_start();
            let parts = line
                .split(['#', ';', '|', '(', ')'])
                .flat_map(|part| part.split("&&"));
            found.extend(
                parts
                    .map(str::trim)
                    .filter(|part| part.starts_with("backlot "))
                    .map(ToOwned::to_owned),
            );
        } else {
            let code = line.split('`').skip(1).step_by(2);
            found.extend(
                code.filter(|part| part.starts_with("backlot "))
                    .map(ToOwned::to_owned),
            );
        }
    }
    found
}

/// The page of the command that words begin with, and its long options. Placeholders such as `COMMAND` have none.
fn page_of<'a>(words: &[&'a str], pages: &BTreeMap<String, Vec<u8>>) -> Option<(String, Vec<&'a str>)> {
    let name = |count: usize| format!("{}.md", words[..count.min(words.len())].join("-"));
    let count = (1..=2).rev().find(|count| pages.contains_key(&name(*count)))?;
    // What follows `--`, and what `run` is given, belongs to another program.
    let own = words
        .iter()
        .take_while(|word| **word != "--" && (words[0] != "run" || word.starts_with('-') || **word == "run"));
    let options = own
        .filter(|word| word.starts_with("--"))
        .map(|word| word.split('=').next().unwrap_or(word));
    let options = options.map(|word| word.trim_end_matches([',', '.', ':', ']']));
    Some((name(count), options.collect()))
}
