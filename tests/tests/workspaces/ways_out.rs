//! The help of errors works: after following it, exactly where it contains a command, the command succeeds.
//!
//! Each case has its own studio. `told` extracts a command from the help; if the help names a change instead, the
//! case makes it. A case that is solved by a different command says so.

use backlot_tests::{Studio, noise};
use fs_err as fs;

const MODULE: &str = "ws/outputs/table/src/table";

/// An error and its way out.
struct Case {
    code: &'static str,
    exit: i32,
    prepare: fn(&Studio),
    /// What fails, run in the workspace `ws` (but for `init`).
    command: &'static [&'static str],
    way_out: WayOut,
}

enum WayOut {
    /// These commands of the help, by their numbers, with these in place of the words in capitals; then the command again.
    Commands(&'static [usize], &'static [(&'static str, &'static str)]),
    /// This, which the help says in these words; then the command again.
    Change(&'static str, fn(&Studio)),
    /// Another command, since the help says in these words what was wrong with it.
    Instead(&'static str, &'static [&'static str]),
}

use WayOut::{Change, Commands, Instead};

/// The commands that a help names.
fn told(help: &str) -> Vec<Vec<String>> {
    let quoted = help.split('`').skip(1).step_by(2);
    let commands = quoted.filter_map(|quoted| quoted.strip_prefix("backlot "));
    commands
        .map(|command| command.split(' ').map(ToOwned::to_owned).collect())
        .collect()
}

fn case(
    code: &'static str,
    exit: i32,
    prepare: fn(&Studio),
    command: &'static [&'static str],
    way_out: WayOut,
) -> Case {
    Case {
        code,
        exit,
        prepare,
        command,
        way_out,
    }
}

/// The asset Table with frames, tracked.
fn table(studio: &Studio) {
    studio.asset("Table", 2, 3000);
}

/// The same, published.
fn published(studio: &Studio) {
    table(studio);
    studio.ws(&["publish", "Table"]).ok();
}

/// Table in the repo, and not an output of the workspace.
fn in_repo(studio: &Studio) {
    published(studio);
    fs::remove_dir_all(studio.path("ws/outputs/table")).expect("removed");
    studio.ws(&["install"]).ok();
}

/// Frames outside the workspace.
fn renders(studio: &Studio) {
    table(studio);
    studio.frames("renders", 2, 3000, 5);
}

fn nothing(_: &Studio) {}

/// The first object of the cache or a remote, harmed.
fn harm(studio: &Studio, folder: &str) {
    let files = studio.snapshot(folder);
    let (name, bytes) = files
        .iter()
        .max_by_key(|(_, bytes)| bytes.len())
        .expect("an object");
    let path = studio.path(folder).join(name);
    let mut other = bytes.clone();
    let middle = other.len() / 2;
    other[middle] ^= 1;
    fs::remove_file(&path).expect("removed");
    fs::write(&path, other).expect("written");
}

fn replace(studio: &Studio, path: &str, from: &str, to: &str) {
    let text = fs::read_to_string(studio.path(path)).expect("text");
    assert!(text.contains(from), "{text}");
    fs::write(studio.path(path), text.replace(from, to)).expect("written");
}

fn append(studio: &Studio, path: &str, more: &str) {
    let text = fs::read_to_string(studio.path(path)).unwrap_or_default();
    fs::write(studio.path(path), text + more).expect("written");
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn of_workspaces() -> Vec<Case> {
    vec![
        case(
            "workspace::exists",
            5,
            nothing,
            &["init", "ws"],
            Instead("use it as is", &["status"]),
        ),
        case(
            "python::not_installed",
            4,
            nothing,
            &["init", "other", "--python", "3.99"],
            Instead(
                "`none` is a tree without one",
                &["init", "other", "--python", "none"],
            ),
        ),
        case(
            "config::name_taken",
            5,
            nothing,
            &["repo", "add", "review", "elsewhere"],
            Commands(&[0], &[]),
        ),
        case(
            "config::unknown_name",
            4,
            table,
            &["push", "--remote", "far"],
            Commands(&[1], &[("NAME", "far"), ("PLACE", "far-remote")]),
        ),
        case(
            "config::none_configured",
            3,
            |studio| {
                table(studio);
                studio.ws(&["remote", "remove", "main"]).ok();
            },
            &["push"],
            Commands(&[0], &[("NAME", "main"), ("PLACE", "remote")]),
        ),
        case(
            "config::invalid",
            3,
            |studio| append(studio, "ws/backlot.toml", "[broken"),
            &["status"],
            Change("correct the file", |studio| {
                replace(studio, "ws/backlot.toml", "[broken", "");
            }),
        ),
        case(
            "workspace::repo_not_there",
            6,
            |studio| {
                in_repo(studio);
                fs::remove_dir_all(studio.path("repos/review")).expect("removed");
            },
            &["list"],
            Commands(&[0, 1], &[]),
        ),
        case(
            "workspace::remote_not_there",
            6,
            |studio| {
                table(studio);
                fs::remove_dir_all(studio.path("remote")).expect("removed");
            },
            &["push"],
            Commands(&[0, 1], &[]),
        ),
        case(
            "workspace::other_repo",
            6,
            |studio| {
                fs::remove_dir_all(studio.path("repos/review")).expect("removed");
                studio.run(&["init", "other"]).ok();
                studio
                    .run(&["-w", "other", "repo", "add", "review", "repos/review"])
                    .ok();
            },
            &["list"],
            Commands(&[0, 1], &[]),
        ),
        case(
            "workspace::other_remote",
            6,
            |studio| {
                table(studio);
                fs::remove_dir_all(studio.path("remote")).expect("removed");
                studio.run(&["init", "other"]).ok();
                studio
                    .run(&["-w", "other", "remote", "add", "main", "remote"])
                    .ok();
            },
            &["push"],
            Commands(&[0, 1], &[]),
        ),
        case(
            "workspace::foreign_inputs",
            5,
            |studio| {
                in_repo(studio);
                fs::remove_dir_all(studio.path("ws/inputs")).expect("removed");
                studio.write("ws/inputs/mine.txt", b"mine");
            },
            &["install", "Table"],
            Change("move it aside", |studio| {
                fs::remove_dir_all(studio.path("ws/inputs")).expect("moved");
            }),
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn of_outputs() -> Vec<Case> {
    vec![
        case(
            "output::exists",
            5,
            table,
            &["new", "Table"],
            Instead("choose another name", &["new", "Rug"]),
        ),
        case(
            "output::unknown",
            4,
            table,
            &["bump", "Tabel", "minor"],
            Commands(&[1], &[]),
        ),
        case(
            "output::ambiguous",
            2,
            nothing,
            &["publish"],
            Commands(&[0], &[("NAME", "Table")]),
        ),
        case(
            "output::standard_library",
            2,
            nothing,
            &["new", "Json"],
            Instead("choose another name", &["new", "Jason"]),
        ),
        case(
            "output::target_exists",
            5,
            |studio| {
                renders(studio);
                // Somebody put it there, and it is not tracked.
                studio.write("ws/outputs/table/src/table/renders/note.txt", b"mine");
            },
            &["add", "renders", "--asset", "Table"],
            Instead("`--as`", &["add", "renders", "--asset", "Table", "--as", "more"]),
        ),
        case(
            "files::changed_here",
            5,
            |studio| {
                renders(studio);
                studio.ws(&["add", "renders", "--asset", "Table"]).ok();
                studio.frames("renders", 2, 3000, 6);
                studio.write("ws/outputs/table/src/table/renders/f.0001.exr", b"painted over");
            },
            &["add", "renders", "--asset", "Table"],
            Commands(
                &[1],
                &[(
                    "outputs/table/src/table/renders",
                    "ws/outputs/table/src/table/renders",
                )],
            ),
        ),
        case(
            "output::not_in_output",
            4,
            |studio| {
                renders(studio);
                studio.ws(&["new", "Rug"]).ok();
                studio.write("ws/outputs/loose.exr", b"loose");
            },
            &["add", "ws/outputs/loose.exr"],
            Instead(
                "`backlot add PATH --asset NAME`",
                &["add", "ws/outputs/loose.exr", "--asset", "Table"],
            ),
        ),
        case(
            "project::invalid",
            2,
            |studio| {
                studio.ws(&["new", "Rug"]).ok();
                append(studio, "ws/outputs/rug/pyproject.toml", "[broken");
            },
            &["build", "Rug"],
            Change("correct the file", |studio| {
                replace(studio, "ws/outputs/rug/pyproject.toml", "[broken", "");
            }),
        ),
        case(
            "publish::untracked_files",
            2,
            |studio| {
                studio.ws(&["new", "Table"]).ok();
                studio.write(&format!("{MODULE}/take.exr"), &noise(2 << 20, 3));
            },
            &["publish", "Table"],
            Change("track them with `backlot add", |studio| {
                studio.ws(&["add", &format!("{MODULE}/take.exr")]).ok();
            }),
        ),
        case(
            "publish::missing_files",
            4,
            |studio| {
                published(studio);
                studio.ws(&["bump", "Table", "minor"]).ok();
                fs::remove_dir_all(studio.path(&format!("{MODULE}/frames"))).expect("removed");
            },
            &["publish", "Table"],
            Commands(&[0], &[]),
        ),
        case(
            "publish::not_pushed",
            5,
            |studio| {
                table(studio);
                append(studio, &format!("{MODULE}/frames.dvc"), "  push: false\n");
            },
            &["publish", "Table"],
            Instead("`--allow-unpushed`", &["publish", "Table", "--allow-unpushed"]),
        ),
        case(
            "config::unknown_pin",
            4,
            |studio| {
                table(studio);
                append(studio, &format!("{MODULE}/frames.dvc"), "  remote: far\n");
            },
            &["publish", "Table"],
            Commands(&[0], &[("URL", "far-remote")]),
        ),
        case(
            "repo::release_exists",
            5,
            |studio| {
                published(studio);
                studio.write(&format!("{MODULE}/notes.txt"), b"more");
            },
            &["publish", "Table"],
            Change("bump the version", |studio| {
                studio.ws(&["bump", "Table", "minor"]).ok();
            }),
        ),
        case(
            "publish::cannot_be_installed",
            5,
            |studio| {
                table(studio);
                studio
                    .ws(&["input", "add", "Table", "Chair>=1", "--no-check"])
                    .ok();
            },
            &["publish", "Table"],
            Instead(
                "`--force -m REASON`",
                &["publish", "Table", "--force", "-m", "soon"],
            ),
        ),
        case(
            "input::itself",
            2,
            |studio| {
                in_repo(studio);
                studio.ws(&["new", "Rug"]).ok();
            },
            &["input", "add", "Rug", "Rug"],
            Instead("name another package", &["input", "add", "Rug", "Table"]),
        ),
        case(
            "dvc::no_such_path",
            4,
            table,
            &["add", "ws/outputs/table/src/table/farmes"],
            Instead(
                "check the spelling",
                &["add", "ws/outputs/table/src/table/frames"],
            ),
        ),
        case(
            "dvc::still_there",
            5,
            table,
            &["add", "--remove", "ws/outputs/table/src/table/frames/f.0001.exr"],
            Change("delete the file", |studio| {
                fs::remove_file(studio.path(&format!("{MODULE}/frames/f.0001.exr"))).expect("deleted");
            }),
        ),
        case(
            "dvc::ignored",
            2,
            |studio| {
                table(studio);
                studio.write(&format!("{MODULE}/draft.exr"), b"draft");
                append(studio, "ws/.dvcignore", "draft.exr\n");
            },
            &["add", "ws/outputs/table/src/table/draft.exr"],
            Change("remove the pattern", |studio| {
                replace(studio, "ws/.dvcignore", "draft.exr\n", "");
            }),
        ),
        case(
            "dvc::bad_pointer",
            7,
            |studio| {
                table(studio);
                fs::write(studio.path(&format!("{MODULE}/frames.dvc")), "outs: [").expect("broken");
            },
            &["publish", "Table"],
            Change("remove it and add the files again", |studio| {
                fs::remove_file(studio.path(&format!("{MODULE}/frames.dvc"))).expect("removed");
                studio.ws(&["add", &format!("{MODULE}/frames")]).ok();
            }),
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn of_inputs_and_places() -> Vec<Case> {
    vec![
        case(
            "input::not_installed",
            4,
            in_repo,
            &["edit", "Table"],
            Commands(&[1], &[]),
        ),
        case(
            "resolve::unknown_package",
            4,
            nothing,
            &["install", "Table"],
            Change("publish it", in_repo),
        ),
        case(
            "input::still_needed",
            5,
            |studio| {
                in_repo(studio);
                studio.ws(&["new", "Chair"]).ok();
                studio.ws(&["input", "add", "Chair", "Table"]).ok();
                studio.ws(&["publish", "Chair"]).ok();
                fs::remove_dir_all(studio.path("ws/outputs/chair")).expect("removed");
                studio.ws(&["install", "Chair"]).ok();
            },
            &["uninstall", "Table"],
            Instead("uninstall what needs it first", &["uninstall", "Chair"]),
        ),
        case(
            "lock::stale",
            5,
            |studio| {
                in_repo(studio);
                studio.ws(&["install", "Table"]).ok();
                replace(studio, "ws/backlot.toml", "Table", "Table>=0.1");
            },
            &["install", "--locked"],
            Commands(&[0], &[]),
        ),
        case(
            "release::not_one",
            2,
            in_repo,
            &["yank", "Table", "-m", "wrong"],
            Instead("`Table==1.0.0`", &["yank", "Table==0.1.0", "-m", "wrong"]),
        ),
        case(
            "release::ambiguous_repo",
            2,
            |studio| {
                in_repo(studio);
                studio
                    .ws(&["copy", "Table", "--from", "review", "--to", "blessed"])
                    .ok();
            },
            &["yank", "Table==0.1.0", "-m", "wrong"],
            Instead(
                "`--repo`",
                &["yank", "Table==0.1.0", "-m", "wrong", "--repo", "review"],
            ),
        ),
        case(
            "gc::other_writers",
            2,
            published,
            &["gc", "--remote", "--young", "0"],
            Instead(
                "`--no-other-writers`",
                &["gc", "--remote", "--young", "0", "--no-other-writers"],
            ),
        ),
        case(
            "gc::repo_not_read",
            6,
            |studio| {
                published(studio);
                studio.ws(&["repo", "remove", "review"]).ok();
                fs::remove_dir_all(studio.path("repos/review")).expect("removed");
            },
            &["gc", "--remote", "main", "--allow-most"],
            Commands(&[1], &[]),
        ),
        case(
            "verify::damage_found",
            7,
            |studio| {
                published(studio);
                harm(studio, "cache/files/md5");
            },
            &["verify", "--cache"],
            Commands(&[0], &[]),
        ),
        case(
            "verify::damage_found",
            7,
            |studio| {
                published(studio);
                harm(studio, "remote/v1/packs");
            },
            &["verify", "--remote"],
            Commands(&[0], &[]),
        ),
        case(
            "verify::damage_found",
            7,
            |studio| {
                in_repo(studio);
                studio.ws(&["install", "Table"]).ok();
                let files = studio.snapshot("ws/inputs");
                let module = files
                    .keys()
                    .find(|path| path.ends_with("table/__init__.py"))
                    .expect("a module");
                let path = studio.path("ws/inputs").join(module);
                fs::remove_file(&path).expect("removed");
                fs::write(&path, b"harmed").expect("written");
            },
            &["verify", "--inputs"],
            Commands(&[0], &[]),
        ),
        case(
            "verify::damage_found",
            7,
            |studio| {
                in_repo(studio);
                fs::write(studio.path("repos/review/simple/table/index.html"), b"harmed").expect("written");
            },
            &["verify", "--repo", "review"],
            Commands(&[0], &[]),
        ),
    ]
}

#[test]
fn what_the_help_of_an_error_says_makes_the_command_succeed() {
    let cases: Vec<Case> = [of_workspaces(), of_outputs(), of_inputs_and_places()]
        .into_iter()
        .flatten()
        .collect();
    let codes: std::collections::BTreeSet<&str> = cases.iter().map(|case| case.code).collect();
    assert!(codes.len() >= 25, "{}", codes.len());
    let wrong: Vec<String> = cases.iter().filter_map(|case| fails(case).err()).collect();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

/// What is wrong with a case.
fn fails(case: &Case) -> Result<(), String> {
    let studio = Studio::new();
    (case.prepare)(&studio);
    let run = |arguments: &[&str]| {
        if arguments.first() == Some(&"init") {
            studio.run(arguments)
        } else {
            studio.ws(arguments)
        }
    };
    let shown = format!("{}: {}", case.code, case.command.join(" "));
    let first = run(&[case.command, &["--json"]].concat());
    let report: serde_json::Value =
        serde_json::from_str(&first.stdout()).map_err(|e| format!("{shown}: {e}"))?;
    let (code, help) = match &report["error"] {
        // The report of what was found stands; the error is told beside it.
        serde_json::Value::Null => beside(&run(case.command).stderr()),
        error => (text(&error["code"]), text(&error["help"])),
    };
    if code != case.code || first.output.status.code() != Some(case.exit) {
        let status = first.output.status.code();
        return Err(format!("{shown}: {code} {status:?}: {report:#}"));
    }
    let says = |words: &str| {
        if help.contains(words) {
            Ok(())
        } else {
            Err(format!("{shown}: the help does not say `{words}`: {help}"))
        }
    };
    let command = match &case.way_out {
        Commands(numbers, words) => {
            for number in *numbers {
                let mut command = told(&help)
                    .into_iter()
                    .nth(*number)
                    .ok_or_else(|| format!("{shown}: the help names no command {number}: {help}"))?;
                for part in &mut command {
                    if let Some((_, value)) = words.iter().find(|(word, _)| word == part) {
                        (*value).clone_into(part);
                    }
                }
                let command: Vec<&str> = command.iter().map(String::as_str).collect();
                let done = run(&command);
                if !done.output.status.success() {
                    return Err(format!("{shown}: `{}`: {}", command.join(" "), done.stderr()));
                }
            }
            case.command
        }
        Change(words, change) => {
            says(words)?;
            change(&studio);
            case.command
        }
        Instead(words, command) => {
            says(words)?;
            command
        }
    };
    let again = run(command);
    studio.leaves_harm();
    if again.output.status.success() {
        Ok(())
    } else {
        Err(format!("{shown}: after its way out: {}", again.stderr()))
    }
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Code and help of an error as it is shown to people, whose lines are broken.
fn beside(shown: &str) -> (String, String) {
    let code = shown
        .lines()
        .find(|line| line.contains("::") && !line.contains(' '));
    let help = shown.split_once("help:").map(|(_, help)| help);
    let help = help
        .unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    (code.unwrap_or_default().to_owned(), help)
}
