//! Credentials: their sources, the hosts they are sent to, and their renewal; tested with a `WebDAV` server
//! that checks them.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use backlot_tests::door::{Door, Ear};
use backlot_tests::{Run, Studio, repository, run_command};
use fs_err as fs;
use serde_json::Value;

/// Run a command with a text on its standard input.
fn run_with(command: &mut Command, input: &str) -> Run {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    // One that refuses its arguments does not read.
    stdin.write_all(input.as_bytes()).ok();
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    // Its outcome is judged as that of any other.
    let mut run = run_command(Command::new("true").args(command.get_args()));
    run.output = output;
    run
}

fn login(studio: &Studio, arguments: &[&str], password: &str) -> Run {
    let arguments = [&["auth", "login", "--password-stdin", "--json"], arguments].concat();
    run_with(&mut studio.command(&arguments), password)
}

fn auth(studio: &Studio, arguments: &[&str]) -> Run {
    studio.run(&[&["auth"], arguments, &["--json"]].concat())
}

fn stored(studio: &Studio) -> std::path::PathBuf {
    studio.path("home/.config/backlot/credentials.json")
}

/// The user's configuration.
fn configure(studio: &Studio, text: &str) {
    studio.write("home/.config/backlot/config.toml", text.as_bytes());
}

/// A helper of a few lines of shell; returns its path.
fn script(studio: &Studio, name: &str, text: &str) -> String {
    studio.write(name, format!("#!/bin/sh\n{text}\n").as_bytes());
    let path = studio.path(name);
    fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("set");
    path.display().to_string()
}

#[test]
fn a_login_is_tested_stored_listed_used_and_removed() {
    let door = Door::new(&["ana:right"]);
    let (studio, url) = (&door.studio, door.dav("team"));
    let test = auth(studio, &["test", &url]);
    assert_eq!(test.output.status.code(), Some(3), "{}", test.stdout());
    let report = test.json();
    assert_eq!(
        (&report["accepted"], &report["source"]),
        (&false.into(), &Value::Null)
    );
    assert!(test.stderr().contains("auth::refused") && test.stderr().contains("auth login"));

    login(studio, &[&url, "--user", "ana"], "wrong\n").fails(3, "auth::refused");
    login(studio, &[&url, "--user", "ana"], "\n").fails(2, "auth::bad_secret");
    login(studio, &[&url], "right").fails(2, "auth::no_terminal");
    let planned = login(studio, &[&url, "--user", "ana", "--dry-run"], "right\n")
        .ok()
        .json();
    assert_eq!(
        (&planned["dry_run"], &planned["test"]["accepted"]),
        (&true.into(), &true.into())
    );
    assert!(!stored(studio).exists());

    let report = login(studio, &[&url, "--user", "ana"], "right\n").ok().json();
    let prefix = door.http("team");
    assert_eq!(
        (&report["prefix"], &report["user"]),
        (&prefix.as_str().into(), &"ana".into())
    );
    assert_eq!(report["host"], "127.0.0.1");
    let mode = fs::metadata(stored(studio)).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let listed = auth(studio, &["list"]).ok();
    let row = &listed.json()["credentials"][0];
    assert_eq!(
        (&row["source"], &row["prefix"], &row["user"]),
        (&"file".into(), &prefix.as_str().into(), &"ana".into())
    );
    assert!(!listed.stdout().contains("right"));
    assert!(studio.run(&["auth", "list"]).ok().stdout().contains(&prefix));
    let test = auth(studio, &["test", &url]).ok().json();
    assert_eq!(
        (&test["source"], &test["user"], &test["accepted"]),
        (&"file".into(), &"ana".into(), &true.into())
    );
    // As plain HTTP it is the same server.
    assert_eq!(auth(studio, &["test", &prefix]).ok().json()["source"], "file");

    studio.run(&["init", "ws"]).ok();
    studio.ws(&["repo", "add", "far", &door.dav("team/repo")]).ok();
    let named = studio.ws(&["auth", "test", "far", "--json"]).ok().json();
    assert_eq!(
        (&named["source"], &named["answer"]),
        (&"file".into(), &"it has a repo there".into())
    );

    auth(studio, &["logout", &url, "--dry-run"]).ok();
    assert_eq!(auth(studio, &["logout", &url]).ok().json()["user"], "ana");
    assert_eq!(
        auth(studio, &["list"]).ok().json()["credentials"],
        Value::Array(Vec::new())
    );
    auth(studio, &["logout", &url]).fails(4, "auth::not_stored");
    studio.ws(&["list", "--json"]).fails(6, "repo::store");
}

#[test]
fn a_server_that_does_not_answer_is_not_a_refusal_and_nothing_is_stored() {
    let studio = Studio::empty();
    let url = "http://127.0.0.1:1/team";
    login(&studio, &[url, "--user", "ana"], "x").fails(6, "index::unreachable");
    auth(&studio, &["test", url]).fails(6, "index::unreachable");
    assert!(!stored(&studio).exists());
    login(&studio, &[url, "--user", "ana", "--no-test"], "x").ok();
    assert!(stored(&studio).exists());
}

#[test]
fn the_longest_prefix_wins_by_whole_parts_of_the_path() {
    let door = Door::new(&["ana:short", "ben:long"]);
    let studio = &door.studio;
    login(studio, &[&door.http(""), "--user", "ana", "--no-test"], "short").ok();
    login(
        studio,
        &[&door.http("team/dev"), "--user", "ben", "--no-test"],
        "long",
    )
    .ok();
    for (path, user) in [
        ("team/dev/x", "ben"),
        ("team/dev", "ben"),
        ("team/devs", "ana"),
        ("x", "ana"),
    ] {
        let test = auth(studio, &["test", &door.dav(path)]).ok().json();
        assert_eq!(
            (&test["user"], &test["accepted"]),
            (&user.into(), &true.into()),
            "{path}"
        );
    }
    assert!(door.log().iter().all(|line| line.contains(" in ")));
}

#[test]
fn a_project_from_elsewhere_gets_nothing_for_its_host_and_starts_no_helper() {
    let door = Door::new(&["ana:planted-a", "ana:planted-b"]);
    let studio = &door.studio;
    let ear = Ear::new(studio);
    login(studio, &[&door.http("team"), "--user", "ana"], "planted-a").ok();
    let helper = script(studio, "helper", "echo username=ana; echo password=planted-b");
    configure(
        studio,
        &format!("[auth.helpers]\n\"{}\" = \"{helper}\"\n", door.http("other")),
    );
    let mark = studio.path("mark");
    let evil = script(
        studio,
        "evil",
        &format!("touch {}; echo password=x", mark.display()),
    );
    let twin = format!("http://localhost:{}/team/simple/", door.port());
    studio.run(&["init", "ws"]).ok();
    let config = format!(
        "[auth]\nhelper = \"{evil}\"\n[repos.studio]\nurl = \"{0}/team/simple/\"\n[repos.far]\nurl = \"webdav+{0}/team\"\n\
         [repos.other]\nurl = \"webdav+{0}/other\"\n[repos.twin]\nurl = \"{twin}\"\n[remotes.main]\nurl = \"webdav+{0}/team/files\"\n",
        ear.url()
    );
    let ours = fs::read_to_string(studio.path("ws/backlot.toml")).expect("there");
    studio.write("ws/backlot.toml", format!("{ours}\n{config}").as_bytes());
    for command in [
        &["list"][..],
        &["search", "x"],
        &["repo", "list"],
        &["remote", "list"],
        &["install", "Table"],
    ] {
        studio.ws(command);
    }
    for name in ["studio", "far", "other", "twin", "main"] {
        let test = studio.ws(&["auth", "test", name, "--json"]);
        let report = test.json();
        assert_eq!(report["source"], Value::Null, "{name}: {report:#}");
        assert!(report["accepted"].is_boolean(), "{name}: {report:#}");
    }
    let heard = ear.heard();
    assert!(
        heard.contains("GET /team/simple/") && heard.contains("/team/"),
        "{heard}"
    );
    assert!(!heard.to_lowercase().contains("authorization"), "{heard}");
    assert!(door.log().iter().all(|line| line.starts_with("ana:planted-a in")));
    assert!(!mark.exists());
}

#[test]
fn plain_http_to_another_machine_is_sent_nothing() {
    let studio = Studio::empty();
    let ear = Ear::new(&studio);
    login(&studio, &["http://index.studio.lan/team", "--user", "ana"], "x").fails(2, "auth::plain_http");
    login(
        &studio,
        &[
            "webdav+http://index.studio.lan/team",
            "--user",
            "ana",
            "--no-test",
        ],
        "x",
    )
    .fails(2, "auth::plain_http");
    assert!(!stored(&studio).exists());
    // All other sources have one; the proxy hears what is sent.
    let mark = studio.path("mark");
    let helper = script(
        &studio,
        "helper",
        &format!("touch {}; echo password=planted", mark.display()),
    );
    configure(&studio, &format!("[auth]\nhelper = \"{helper}\"\n"));
    studio.write(
        "home/.netrc",
        b"machine index.studio.lan login ana password planted\n",
    );
    studio.run(&["init", "ws"]).ok();
    for (name, place) in [
        ("far", "http://index.studio.lan/simple/"),
        ("dav", "webdav+http://index.studio.lan/repo"),
    ] {
        let mut command = studio.command(&["-w", "ws", "repo", "add", name, place, "--json"]);
        let start = format!("BACKLOT_REPO_{}", name.to_uppercase());
        command
            .env("http_proxy", ear.url())
            .env(format!("{start}_HOST"), "index.studio.lan")
            .env(format!("{start}_TOKEN"), "planted");
        run_command(&mut command);
    }
    let heard = ear.heard();
    assert!(
        heard.contains("index.studio.lan/simple/") && heard.contains("index.studio.lan/repo"),
        "{heard}"
    );
    assert!(!heard.to_lowercase().contains("\nauthorization"), "{heard}");
    assert!(!mark.exists());
}

#[test]
fn a_file_that_others_can_read_is_refused_and_the_help_mends_it() {
    let door = Door::new(&["ana:right"]);
    let studio = &door.studio;
    let url = door.dav("team");
    login(studio, &[&url, "--user", "ana"], "right").ok();
    let asked = door.log().len();
    for mode in [0o644, 0o640, 0o602] {
        fs::set_permissions(stored(studio), std::fs::Permissions::from_mode(mode)).expect("set");
        auth(studio, &["list"]).fails(3, "auth::open_file");
        login(studio, &[&url, "--user", "ana"], "right").fails(3, "auth::open_file");
        let error = auth(studio, &["test", &url]).fails(3, "auth::open_file");
        assert_eq!(door.log().len(), asked);
        let help = error["help"].as_str().expect("help");
        let command = help.split('`').nth(1).expect("a command");
        run_command(Command::new("sh").args(["-c", command])).ok();
        auth(studio, &["list"]).ok();
    }
    auth(studio, &["test", &url]).ok();
}

#[test]
fn a_helper_is_asked_as_git_asks_and_its_answer_is_used() {
    let door = Door::new(&["ana:from-helper"]);
    let studio = &door.studio;
    let log = studio.path("asked");
    let text = format!(
        "echo \"$@\" >> {0}; cat >> {0}; printf 'username=ana\\npassword=from-helper\\n'",
        log.display()
    );
    let helper = script(studio, "a helper", &text);
    configure(studio, &format!("[auth]\nhelper = [\"{helper}\", \"--quiet\"]\n"));
    let test = auth(studio, &["test", &door.dav("team")]).ok().json();
    assert_eq!(
        (&test["source"], &test["user"]),
        (&"helper".into(), &"ana".into())
    );
    assert_eq!(test["from"], format!("{helper} …"));
    let asked = fs::read_to_string(&log).expect("asked");
    assert_eq!(
        asked,
        format!("--quiet get\nprotocol=http\nhost=127.0.0.1:{}\n\n", door.port())
    );

    // Variables come first, the file and netrc later.
    studio.write(
        "home/.netrc",
        b"machine 127.0.0.1 login ana password from-netrc\n",
    );
    login(
        studio,
        &[&door.dav("team"), "--user", "ana", "--no-test"],
        "from-file",
    )
    .ok();
    let login = login(
        studio,
        &[&door.dav("team"), "--user", "ana", "--no-test"],
        "from-file",
    )
    .ok()
    .json();
    assert!(
        login["hidden_by"]
            .as_str()
            .is_some_and(|from| from.contains("a helper")),
        "{login:#}"
    );
    studio.run(&["init", "ws"]).ok();
    studio.ws(&["repo", "add", "far", &door.dav("team/repo")]).ok();
    studio.ws(&["list"]).ok();
    let mut command = studio.command(&["-w", "ws", "auth", "test", "far", "--json"]);
    let test = run_command(
        command
            .env("BACKLOT_REPO_FAR_USERNAME", "ana")
            .env("BACKLOT_REPO_FAR_PASSWORD", "from-variable"),
    );
    assert_eq!(
        (&test.json()["source"], test.output.status.code()),
        (&"environment".into(), Some(3))
    );
    let sources: Vec<String> = auth(studio, &["list"]).ok().json()["credentials"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| row["source"].as_str().expect("text").to_owned())
        .collect();
    assert_eq!(sources, ["helper", "file", "netrc"]);
}

#[test]
fn a_helper_that_fails_hangs_or_answers_nonsense_is_an_error_that_names_it() {
    let door = Door::new(&["ana:right"]);
    let studio = &door.studio;
    studio.run(&["init", "ws"]).ok();
    for (name, text, reason) in [
        ("failing", "echo password=hunter2; exit 3", "exited with an error"),
        ("hanging", "sleep 60 & wait", "no answer within 0.5 seconds"),
        ("babbling", "echo hunter2", "key=value"),
        ("broken-json", "echo '{\"password\":'", "JSON"),
        (
            "elsewhere",
            "echo host=evil; echo password=hunter2",
            "another host",
        ),
    ] {
        let helper = script(studio, name, text);
        configure(studio, &format!("[auth]\nhelper = \"{helper}\"\ntimeout = 0.5\n"));
        let started = Instant::now();
        let run = auth(studio, &["test", &door.dav("team")]);
        assert!(started.elapsed() < Duration::from_secs(30));
        assert!(!run.stdout().contains("hunter2"), "{}", run.stdout());
        let error = run.fails(6, "auth::helper");
        let message = error["message"].as_str().expect("text");
        assert!(message.contains(&helper) && message.contains(reason), "{message}");
        studio
            .ws(&["repo", "add", "far", &door.dav("team"), "--json"])
            .fails(6, "auth::helper");
    }
    for text in [
        "[auth]\nhelper = \"\"",
        "[auth]\nhelp = \"x\"",
        "[auth.helpers]\n\"host\" = \"x\"",
        "[auth]\ntimeout = 0\nhelper = \"x\"",
    ] {
        configure(studio, text);
        auth(studio, &["test", &door.dav("team")]).fails(3, "config::invalid");
    }
    assert_eq!(door.log(), [""; 0]);
}

/// A helper whose answers are those of the lines of a file, in turn; the last one stays.
fn answers_in_turn(studio: &Studio, answers: &[&str]) -> String {
    studio.write("answers", format!("{}\n", answers.join("\n")).as_bytes());
    let (answers, count) = (studio.path("answers"), studio.path("count"));
    let text = format!(
        "echo x >> {1}\nn=$(wc -l < {1})\nm=$(wc -l < {0})\n[ $n -gt $m ] && n=$m\n\
         sed -n \"${{n}}p\" {0} | tr '|' '\\n'",
        answers.display(),
        count.display()
    );
    script(studio, "in-turn", &text)
}

fn times_asked(studio: &Studio) -> usize {
    fs::read_to_string(studio.path("count")).map_or(0, |text| text.lines().count())
}

#[test]
fn credentials_that_end_in_the_middle_of_a_transfer_are_asked_for_again_once() {
    // The first lasts for so many requests only.
    let door = Door::new(&["ana:first 25", "ana:second", "ben:setup"]);
    let studio = &door.studio;
    let helper = answers_in_turn(
        studio,
        &["username=ana|password=first", "username=ana|password=second"],
    );
    studio.run(&["init", "ws"]).ok();
    studio.ws(&["repo", "add", "review", "review"]).ok();
    studio.ws(&["new", "Shot"]).ok();
    studio.frames("ws/outputs/shot/src/shot/frames", 30, 20_000, 3);
    studio.write(
        "ws/outputs/shot/src/shot/frames/long.bin",
        &backlot_tests::noise(40 << 20, 5),
    );
    studio.ws(&["add", "ws/outputs/shot/src/shot/frames"]).ok();
    // The remote is added as somebody else.
    let add = [
        "-w",
        "ws",
        "remote",
        "add",
        "files",
        &door.dav("files"),
        "--layout",
        "dvc",
    ];
    let mut add = studio.command(&add);
    add.env("BACKLOT_REMOTE_FILES_USERNAME", "ben")
        .env("BACKLOT_REMOTE_FILES_PASSWORD", "setup");
    run_command(&mut add).ok();
    configure(studio, &format!("[auth]\nhelper = \"{helper}\"\n"));
    let pushed = studio.ws(&["push", "Shot", "--json"]).ok().json();
    assert_eq!(pushed["objects"], 32, "{pushed:#}");
    assert_eq!(times_asked(studio), 2);
    let log = door.log();
    let count = |start: &str| log.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!(count("ana:first in"), 25);
    assert!(
        count("ana:first out") >= 1 && count("ana:second in") >= 30,
        "{log:?}"
    );
    assert_eq!(count("ana:second out"), 0);
    // Nothing was lost on the way.
    let verified = studio.ws(&["verify", "--remote"]).ok().stdout();
    assert!(verified.contains("no damage"), "{verified}");
}

#[test]
fn a_helper_that_has_nothing_better_is_asked_once_more_and_the_refusal_stands() {
    let door = Door::new(&["ana:right"]);
    let studio = &door.studio;
    let helper = answers_in_turn(studio, &["username=ana|password=wrong"]);
    configure(studio, &format!("[auth]\nhelper = \"{helper}\"\n"));
    let test = auth(studio, &["test", &door.dav("team")]);
    assert_eq!(
        (test.output.status.code(), &test.json()["accepted"]),
        (Some(3), &false.into())
    );
    assert_eq!(times_asked(studio), 2);
    assert!(test.stderr().contains("auth::refused"));
}

#[test]
fn an_answer_with_an_expiry_is_asked_for_again_before_it_ends() {
    let door = Door::new(&["ana:first", "ana:second"]);
    let studio = &door.studio;
    let seconds = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("a clock")
        .as_secs();
    let first = format!("username=ana|password=first|password_expiry_utc={}", seconds + 8);
    let second = format!(
        "username=ana|password=second|password_expiry_utc={}",
        seconds + 3600
    );
    let helper = answers_in_turn(studio, &[&first, &second]);
    configure(studio, &format!("[auth]\nhelper = \"{helper}\"\n"));
    studio.run(&["init", "ws"]).ok();
    studio.ws(&["repo", "add", "far", &door.dav("team")]).ok();
    // Too near its end to be sent.
    assert_eq!(times_asked(studio), 2);
    assert!(
        door.log().iter().all(|line| line.starts_with("ana:second in")),
        "{:?}",
        door.log()
    );
}

#[test]
fn concurrent_logins_and_logouts_lose_nothing() {
    let studio = Studio::empty();
    let host = |number: usize| format!("https://host-{number}.studio.lan/team");
    for number in 0..4 {
        login(&studio, &[&host(number), "--user", "ana", "--no-test"], "old").ok();
    }
    let children: Vec<_> = (0..24)
        .map(|number| {
            let url = host(number);
            let arguments = if number < 4 {
                vec!["auth", "logout", &url]
            } else {
                vec!["auth", "login", &url, "--token-stdin", "--no-test"]
            };
            let mut command = studio.command(&arguments);
            let mut child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .expect("it starts");
            child.stdin.take().expect("piped").write_all(b"t0ken\n").ok();
            child
        })
        .collect();
    for mut child in children {
        assert!(child.wait().expect("it ends").success());
    }
    let listed = auth(&studio, &["list"]).ok().json();
    let mut hosts: Vec<&str> = listed["credentials"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| row["prefix"].as_str().expect("text"))
        .collect();
    let mut expected: Vec<String> = (4..24).map(host).collect();
    hosts.sort_unstable();
    expected.sort_unstable();
    assert_eq!(hosts, expected);
    let beside = fs::read_dir(stored(&studio).parent().expect("a folder")).expect("there");
    let names: Vec<String> = beside
        .map(|entry| entry.expect("one").file_name().display().to_string())
        .collect();
    assert!(
        names.iter().all(|name| name.starts_with("credentials.json")),
        "{names:?}"
    );
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the helper is found on the search path of this machine"
)]
fn the_helper_for_the_keyring_in_the_documentation_works() {
    let door = Door::new(&["ana:from-keyring"]);
    let studio = &door.studio;
    let docs = fs::read_to_string(repository().join("docs/backends.md")).expect("there");
    let code = docs
        .split("```sh\n")
        .find(|code| code.starts_with("#!/bin/sh\n# backlot-keyring"));
    let code = code
        .and_then(|code| code.split("```").next())
        .expect("the script");
    studio.write("bin/backlot-keyring", code.as_bytes());
    let text = "[ \"$*\" = \"lookup server 127.0.0.1:PORT\" ] && printf '%s' 'ana from-keyring'";
    script(
        studio,
        "bin/secret-tool",
        &text.replace("PORT", &door.port().to_string()),
    );
    let bin = studio.path("bin");
    fs::set_permissions(
        bin.join("backlot-keyring"),
        std::fs::Permissions::from_mode(0o700),
    )
    .expect("set");
    configure(studio, "[auth]\nhelper = \"backlot-keyring\"\n");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("a path"));
    let test = |url: &str| {
        let mut command = studio.command(&["auth", "test", url, "--json"]);
        run_command(command.env("PATH", &path))
    };
    let found = test(&door.dav("team")).ok().json();
    assert_eq!(
        (&found["source"], &found["user"]),
        (&"helper".into(), &"ana".into())
    );
    // It has nothing for another server, which is no error.
    let other = test(&format!("http://localhost:{}/", door.port()));
    assert_eq!(
        (&other.json()["source"], other.output.status.code()),
        (&Value::Null, Some(3))
    );
}
