//! Which URLs are followed: each case is compared with the real uv.

use std::process::Command;

use backlot_tests::server::Server;
use backlot_tests::wheels::{TABLE, drop_and_www, locked, put, wheel, with_drop as workspace};
use backlot_tests::{Studio, changed, run_command, tool};
use fs_err as fs;

/// What is chosen: `name version` or `name URL` each, or the code of the refusal.
fn ours(
    studio: &Studio,
    number: usize,
    wants: &[String],
    constraints: &[String],
) -> Result<Vec<String>, String> {
    let name = format!("case-{number}");
    // Nothing here is about environments, and each would be checked.
    studio.run(&["init", &name, "--python", "none"]).ok();
    studio.run(&["-w", &name, "repo", "add", "drop", "drop"]).ok();
    let mut arguments = vec!["-w", &name, "install", "--json"];
    arguments.extend(wants.iter().map(String::as_str));
    for constraint in constraints {
        arguments.extend(["--constraint", constraint]);
    }
    let run = studio.run(&arguments);
    if !run.output.status.success() {
        let error = run.json()["error"].clone();
        return Err(format!(
            "{}: {}\n{}",
            error["code"], error["message"], error["help"]
        ));
    }
    let text = fs::read_to_string(studio.path(&name).join("backlot.lock")).expect("a lock");
    let lock: toml::Table = toml::from_str(&text).expect("TOML");
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let row = |p: &toml::Value| {
        let what = p.get("url").unwrap_or(&p["version"]);
        format!(
            "{} {}",
            p["name"].as_str().expect("a name"),
            what.as_str().expect("a text")
        )
    };
    Ok(packages.into_iter().flatten().map(row).collect())
}

fn uvs(studio: &Studio, wants: &[String], constraints: &[String]) -> Result<Vec<String>, String> {
    studio.write("wants.txt", wants.join("\n").as_bytes());
    studio.write("constraints.txt", constraints.join("\n").as_bytes());
    let mut uv = Command::new(tool("uv"));
    uv.current_dir(studio.root())
        .args([
            "pip",
            "compile",
            "--quiet",
            "--no-config",
            "--no-header",
            "--no-annotate",
            "--no-emit-find-links",
        ])
        .args([
            "--cache-dir",
            "uv-cache",
            "--no-index",
            "--find-links",
            "drop",
            "-c",
            "constraints.txt",
            "--python",
        ])
        .arg(tool("python"))
        .arg("wants.txt");
    let run = run_command(&mut uv);
    if !run.output.status.success() {
        return Err(run.stderr());
    }
    let plain = |line: &str| {
        let line = line.split(" ;").next().unwrap_or_default();
        line.replace("==", " ").replace(" @ ", " ").replace("[hero]", "")
    };
    Ok(run.stdout().lines().map(plain).collect())
}

/// What is chosen, or words of the refusal.
type Expected = Result<Vec<String>, Vec<String>>;

/// What is wanted, the constraints, and what comes of it.
struct Case {
    wants: Vec<String>,
    constraints: Vec<String>,
    expected: Expected,
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

fn fine(wants: &[&str], constraints: &[&str], chosen: &[&str]) -> Case {
    Case {
        wants: texts(wants),
        constraints: texts(constraints),
        expected: Ok(texts(chosen)),
    }
}

fn refused(wants: &[&str], constraints: &[&str], words: &[&str]) -> Case {
    Case {
        expected: Err(texts(words)),
        ..fine(wants, constraints, &[])
    }
}

fn cases(server: &Server) -> Vec<Case> {
    let named = |name: &str, file: &str| format!("{name} @ {}", server.url(file));
    let url = server.url(TABLE);
    let table = named("table", TABLE);
    let other = named("table", &format!("/other{TABLE}"));
    let hero = named("table[hero]", TABLE);
    let desk = named("desk", "/desk-3.0a1-py3-none-any.whl");
    let late = named("late", "/late-1.0-py3-none-any.whl");
    let native = named("native", "/native-1.0-cp27-cp27m-win32.whl");
    let not_here = format!("{table} ; python_version < '3'");
    let (chosen, chosen_desk) = (table.replace(" @", ""), desk.replace(" @", ""));
    let foreign = format!("shot 2.0 needs `{table}`, a URL that is not followed");
    let only = format!("table comes from {url} alone, which is 1.0");
    vec![
        refused(&["shot"], &[], &[&foreign, "require `table @"]),
        fine(&["shot", &table], &[], &["lamp 1.0", "shot 2.0", &chosen]),
        fine(&["shot"], &[&table], &["lamp 1.0", "shot 2.0", &chosen]),
        fine(&["chair"], &[&table], &["chair 1.0"]),
        fine(&["table"], &[&table], &["lamp 1.0", &chosen]),
        fine(&["new", &table], &[], &["lamp 1.0", "new 1.0", &chosen]),
        refused(&["old", &table], &[], &[&only, "old, which needs table<1"]),
        refused(&[&table], &["table>=2"], &["outside the constraint table>=2"]),
        refused(&["table>=2"], &[&table], &[&only]),
        fine(&[&desk], &[], &[&chosen_desk]),
        refused(&[&late], &[], &["needs Python >=3.99"]),
        refused(&[&native], &[], &["has no wheel for Python"]),
        fine(&[&not_here], &[], &[]),
        fine(&[&hero], &[], &["chair 1.0", "lamp 1.0", &chosen]),
        refused(
            &[&table],
            &[&other],
            &[&other, &table, "can only come from one of these files"],
        ),
        refused(&["shot", &other], &[], &["and here it comes from"]),
    ]
}

#[test]
fn urls_are_followed_where_the_workspace_names_them_as_uv_has_it() {
    let studio = drop_and_www();
    let server = Server::folder(&studio.path("www"), false);
    let table = format!("table @ {}", server.url(TABLE));
    put(
        &studio,
        "drop",
        "shot",
        "2.0",
        &format!("Requires-Dist: {table}\n"),
    );
    put(&studio, "drop", "old", "1.0", "Requires-Dist: table<1\n");
    put(&studio, "drop", "new", "1.0", "Requires-Dist: table>=0.9\n");
    put(&studio, "www", "desk", "3.0a1", "");
    put(&studio, "www/other", "table", "1.0", "");
    put(&studio, "www", "late", "1.0", "Requires-Python: >=3.99\n");
    let bytes = wheel("native", "1.0", "", "");
    studio.write("www/native-1.0-cp27-cp27m-win32.whl", &bytes);
    for (number, case) in cases(&server).into_iter().enumerate() {
        let (wants, constraints) = (&case.wants, &case.constraints);
        server.take_log();
        let found = ours(&studio, number, wants, constraints);
        let named = wants.iter().chain(constraints).any(|text| text.contains('@'));
        assert!(
            named || server.log().is_empty(),
            "{wants:?} asked {:?}",
            server.log()
        );
        match (&case.expected, found, uvs(&studio, wants, constraints)) {
            (Ok(list), Ok(found), Ok(theirs)) => {
                assert_eq!((list, list), (&found, &theirs), "{wants:?} {constraints:?}");
            }
            (Err(words), Err(said), Err(_)) => {
                let all = words.iter().all(|word| said.contains(word));
                assert!(all, "{wants:?} {constraints:?}: {words:?} is not said: {said}");
            }
            (_, found, theirs) => panic!("{wants:?} {constraints:?}: {found:?}, uv: {theirs:?}"),
        }
    }
    a_url_of_a_package_is_passed_over(&studio, &server, &table);
}

/// Where we and uv differ, on purpose.
fn a_url_of_a_package_is_passed_over(studio: &Studio, server: &Server, table: &str) {
    // uv gives up where an older release would do; the person is told what was passed over.
    put(studio, "drop", "shot", "1.0", "");
    workspace(studio, "older");
    let run = studio.run(&["-w", "older", "install", "shot"]).ok();
    assert!(run.stderr().contains("shot 2.0 is skipped"), "{}", run.stderr());
    assert_eq!(locked(studio, "older", "shot")["version"].as_str(), Some("1.0"));
    assert!(uvs(studio, &["shot".to_owned()], &[]).is_err());
    studio
        .run(&["-w", "older", "install", "shot>=2", "--override", table])
        .ok();
    locked(studio, "older", "table");
    // uv follows what a package needs that was named by URL itself; that is somebody else's word all the same.
    put(studio, "www", "kit", "1.0", &format!("Requires-Dist: {table}\n"));
    let kit = [format!("kit @ {}", server.url("/kit-1.0-py3-none-any.whl"))];
    let said = ours(studio, 100, &kit, &[]).expect_err("not followed");
    assert!(said.contains("kit 1.0 needs `table @"), "{said}");
    assert!(uvs(studio, &kit, &[]).is_ok());
    // What an output needs is the workspace's own word.
    workspace(studio, "maker");
    studio
        .run(&["-w", "maker", "repo", "add", "review", "repos/review"])
        .ok();
    studio.run(&["-w", "maker", "new", "Kitchen"]).ok();
    studio
        .run(&["-w", "maker", "input", "add", "Kitchen", table])
        .ok();
    let report = studio
        .run(&["-w", "maker", "install", "shot>=2", "--json"])
        .ok()
        .json();
    assert!(changed(&report).contains(&"table"), "{report}");
    // An override stands above all.
    let run = studio
        .run(&["-w", "maker", "install", "--override", "table==2.0", "--json"])
        .ok();
    assert!(changed(&run.json()).contains(&"table"), "{}", run.stdout());
    let override_back = studio
        .run(&["-w", "maker", "install", "--override", table, "--json"])
        .ok();
    assert!(
        changed(&override_back.json()).contains(&"table"),
        "{}",
        override_back.stdout()
    );
}
