//! Requirements by URL (PEP 508, PEP 610): installed, locked and exported as by pip and uv, with errors that name problems of the
//! server. Which URLs are followed is in `direct_urls_uv.rs`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use backlot_tests::installers::{build_sdist, pip, site_packages};
use backlot_tests::server::{Reply, Server};
use backlot_tests::wheels::{TABLE, drop_and_www, locked, put, sha256, wheel, with_drop as workspace};
use backlot_tests::{Run, Studio, changed, run_command, snapshot, tool};
use fs_err as fs;
use serde_json::{Value, json};

fn studio() -> (Studio, Server) {
    let studio = drop_and_www();
    let server = Server::folder(&studio.path("www"), false);
    (studio, server)
}

/// The command in a workspace with a cache of its own.
fn elsewhere(studio: &Studio, cache: &str, arguments: &[&str]) -> Run {
    let mut command = studio.command(arguments);
    command.env("BACKLOT_CACHE_DIR", studio.path(cache));
    run_command(&mut command)
}

fn direct_url(site_packages: &Path, dist_info: &str) -> Value {
    let text = fs::read(site_packages.join(dist_info).join("direct_url.json")).expect("a direct_url.json");
    serde_json::from_slice(&text).expect("JSON")
}

/// The environment's files, but for the scripts and configuration that name its place.
fn installed(studio: &Studio, workspace: &str) -> BTreeMap<String, Vec<u8>> {
    snapshot(&site_packages(studio, workspace))
}

#[test]
fn a_wheel_is_installed_by_its_url_as_pip_does_it_and_its_lock_gives_it_again_to_all() {
    let (studio, server) = studio();
    workspace(&studio, "ws");
    let url = server.url(TABLE);
    let requirement = format!("Table[hero] @ {url} ; python_version >= '3'");
    studio.ws(&["install", &requirement, "Lamp"]).ok();
    let by_pip = [
        "install",
        "--quiet",
        "--no-index",
        "--find-links",
        "drop",
        "--target",
        "by-pip",
    ];
    pip(&studio, &[&by_pip[..], &[&requirement]].concat()).ok();
    let ours = direct_url(&site_packages(&studio, "ws"), "table-1.0.dist-info");
    assert_eq!(ours, direct_url(&studio.path("by-pip"), "table-1.0.dist-info"));
    let digest = sha256(&fs::read(studio.path(&format!("www{TABLE}"))).expect("read"));
    assert_eq!(ours["archive_info"]["hashes"]["sha256"], digest);
    let package = locked(&studio, "ws", "table");
    assert_eq!(
        (package["url"].as_str(), package["sha256"].as_str()),
        (Some(&*url), Some(&*digest))
    );
    assert_eq!(locked(&studio, "ws", "lamp")["version"].as_str(), Some("1.0"));
    locked(&studio, "ws", "chair");

    // Every command knows it.
    let tree = studio.ws(&["tree", "--json"]).ok().json();
    assert_eq!(tree["packages"]["table"]["url"], url);
    assert!(studio.ws(&["tree"]).ok().stdout().contains(&url));
    assert!(
        studio
            .ws(&["why", "chair"])
            .ok()
            .stdout()
            .contains(&format!("Table[hero] @ {url}]"))
    );
    assert!(
        studio
            .ws(&["status"])
            .ok()
            .stdout()
            .contains(&format!("table 1.0 (from {url})"))
    );
    let outdated = studio.ws(&["outdated", "--json"]).ok().stdout();
    assert!(
        outdated.contains("lamp") && !outdated.contains("\"package\": \"table\""),
        "{outdated}"
    );
    studio.ws(&["update", "--dry-run"]).ok();
    studio.ws(&["verify"]).ok();
    // Nobody is asked for what is known, and the repos never for the package.
    server.take_log();
    let report = studio.ws(&["lock", "--json"]).ok().json();
    assert_eq!(report["changed"], false);
    assert!(changed(&studio.ws(&["install", "--locked", "--json"]).ok().json()).is_empty());
    assert!(server.log().is_empty(), "{:?}", server.log());

    // The lock, in another place with nothing in its cache.
    workspace(&studio, "again");
    for file in ["backlot.toml", "backlot.lock"] {
        fs::copy(studio.path("ws").join(file), studio.path("again").join(file)).expect("copied");
    }
    elsewhere(&studio, "fresh", &["-w", "again", "install", "--locked"]).ok();
    assert!(installed(&studio, "ws") == installed(&studio, "again"));

    the_exports_are_read(&studio, &url, &digest);
}

/// By pip, by uv, and by us.
fn the_exports_are_read(studio: &Studio, url: &str, digest: &str) {
    studio.ws(&["export", "-o", "requirements.txt"]).ok();
    let text = fs::read_to_string(studio.path("requirements.txt")).expect("written");
    assert!(
        text.contains(&format!("table @ {url} \\\n    --hash=sha256:{digest}\n")),
        "{text}"
    );
    let report = pip(
        studio,
        &[
            "install",
            "--dry-run",
            "--quiet",
            "--no-index",
            "--require-hashes",
            "--ignore-installed",
            "--report",
            "-",
            "-r",
            "requirements.txt",
        ],
    );
    let report: Value = serde_json::from_str(&report.ok().stdout()).expect("a report");
    let all = report["install"].as_array().expect("a list");
    let table = all
        .iter()
        .find(|p| p["metadata"]["name"] == "table")
        .expect("table");
    assert_eq!(
        (&table["download_info"]["url"], &table["is_direct"]),
        (&json!(url), &json!(true))
    );
    studio.ws(&["export", "-o", "pylock.toml"]).ok();
    for number in ["requirements.txt", "pylock.toml"] {
        let target = format!("by-uv-{number}");
        let mut uv = Command::new(tool("uv"));
        uv.current_dir(studio.root())
            .args([
                "pip",
                "install",
                "--quiet",
                "--no-config",
                "--no-cache",
                "--no-index",
                "--python",
            ])
            .arg(tool("python"))
            .args(["--target", &target, "-r", number]);
        run_command(&mut uv).ok();
        let seen = direct_url(&studio.path(&target), "table-1.0.dist-info");
        assert_eq!(seen["url"], url, "{number}");
    }
    workspace(studio, "read");
    studio
        .run(&["-w", "read", "install", "--from-lock", "pylock.toml"])
        .ok();
    assert!(installed(studio, "ws") == installed(studio, "read"));
    assert_eq!(locked(studio, "ws", "table"), locked(studio, "read", "table"));
    of_a_tool_that_says_nothing_of_requirements(studio, url, digest);
}

fn of_a_tool_that_says_nothing_of_requirements(studio: &Studio, url: &str, digest: &str) {
    let text = fs::read_to_string(studio.path("pylock.toml")).expect("read");
    let text = text.split("[tool.backlot]").next().expect("a text").to_owned();
    studio.write("pylock.other.toml", text.as_bytes());
    workspace(studio, "other");
    studio
        .run(&["-w", "other", "install", "--from-lock", "pylock.other.toml"])
        .ok();
    studio.run(&["-w", "other", "install", "--locked"]).ok();
    let config = fs::read_to_string(studio.path("other/backlot.toml")).expect("read");
    assert!(config.contains(&format!("table @ {url}")), "{config}");
    let wrong = text.replace(digest, &"0".repeat(64));
    studio.write("pylock.wrong.toml", wrong.as_bytes());
    elsewhere(
        studio,
        "third",
        &[
            "-w",
            "other",
            "install",
            "--from-lock",
            "pylock.wrong.toml",
            "--json",
        ],
    )
    .fails(7, "direct_url::wrong_digest");
}

#[test]
fn what_was_there_first_is_what_counts_until_it_is_updated() {
    let (studio, server) = studio();
    workspace(&studio, "ws");
    let url = server.url(TABLE);
    let requirement = format!("table @ {url}");
    studio.ws(&["install", &requirement]).ok();
    let first = locked(&studio, "ws", "table")["sha256"].clone();
    // Somebody replaces the file.
    let other = wheel("table", "1.0", "", "second");
    studio.write(&format!("www{TABLE}"), &other);
    studio.ws(&["install", "chair"]).ok();
    assert_eq!(locked(&studio, "ws", "table")["sha256"], first);
    for (cache, name) in [("one", "locked"), ("two", "free")] {
        workspace(&studio, name);
        for file in ["backlot.toml", "backlot.lock"] {
            fs::copy(studio.path("ws").join(file), studio.path(name).join(file)).expect("copied");
        }
        let asked: &[&str] = if name == "locked" {
            &["--locked"]
        } else {
            &["lamp<2"]
        };
        let arguments = [&["-w", name, "install", "--json"], asked].concat();
        let error = elsewhere(&studio, cache, &arguments).fails(7, "direct_url::wrong_digest");
        let help = error["help"].as_str().expect("help");
        assert!(help.contains("backlot update table"), "{error}");
        fs::remove_dir_all(studio.path(name)).expect("removed");
    }
    // Where nothing remembers the first one, the cache does not bring it back: neither its file nor an answer about it.
    workspace(&studio, "new");
    studio.run(&["-w", "new", "install", &requirement]).ok();
    let second = locked(&studio, "new", "table")["sha256"].clone();
    assert_eq!(second.as_str(), Some(&*sha256(&other)));
    assert_ne!(first, second);
    // It is asked whether it changed, and not sent again.
    server.take_log();
    workspace(&studio, "newer");
    studio.run(&["-w", "newer", "install", &requirement]).ok();
    let log = server.take_log();
    assert!(log.len() == 1 && log[0].status == 304, "{log:?}");
    studio.ws(&["update", "table", "--dry-run"]).ok();
    assert_eq!(locked(&studio, "ws", "table")["sha256"], first);
    studio.ws(&["update", "table"]).ok();
    assert_eq!(locked(&studio, "ws", "table")["sha256"], second);
    let says = fs::read_to_string(site_packages(&studio, "ws").join("table/__init__.py")).expect("installed");
    assert!(says.contains("second"), "{says}");
    // The lock is lost, and the file replaced once more.
    fs::remove_file(studio.path("ws/backlot.lock")).expect("removed");
    studio.write(&format!("www{TABLE}"), &wheel("table", "1.0", "", "third"));
    studio.ws(&["install"]).ok();
    let says = fs::read_to_string(site_packages(&studio, "ws").join("table/__init__.py")).expect("installed");
    assert!(says.contains("third"), "{says}");
    // Without the network, what is cached, and nothing else.
    server.take_log();
    workspace(&studio, "off");
    studio
        .run(&["-w", "off", "--offline", "install", &requirement])
        .ok();
    assert_eq!(locked(&studio, "off", "table"), locked(&studio, "ws", "table"));
    let arguments = [
        "-w",
        "off",
        "--offline",
        "install",
        &format!("{requirement}?other"),
        "--json",
    ];
    studio.run(&arguments).fails(4, "index::offline");
    assert!(server.log().is_empty());
    // A release of a repo with the same bytes takes the place of what a URL named.
    studio.write(
        "drop/table-1.0-py3-none-any.whl",
        &wheel("table", "1.0", "", "third"),
    );
    studio.ws(&["install", "table==1.0"]).ok();
    let info = site_packages(&studio, "ws").join("table-1.0.dist-info");
    assert!(info.join("METADATA").is_file() && !info.join("direct_url.json").exists());
}

#[test]
fn a_digest_that_a_package_promises_of_a_url_is_enforced_where_the_workspace_names_none() {
    let studio = drop_and_www();
    let file = studio.path(&format!("www{TABLE}"));
    let url = format!("file://{}", file.display());
    let right = sha256(&fs::read(file).expect("read"));
    for (name, digest) in [("shot", right), ("other", "0".repeat(64))] {
        let needs = format!("Requires-Dist: table @ {url}#sha256={digest}\n");
        put(&studio, "drop", name, "1.0", &needs);
    }
    workspace(&studio, "ws");
    let requirement = format!("table @ {url}");
    studio.ws(&["install", "shot", &requirement]).ok();
    let error = studio
        .ws(&["install", "other", &requirement, "--json"])
        .fails(7, "direct_url::wrong_digest");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|m| m.contains("its requirement says SHA-256 0000")),
        "{error:#}"
    );
}

#[test]
fn a_source_distribution_is_installed_by_its_url() {
    let (studio, server) = studio();
    let pyproject = "[project]\nname = \"main_pack\"\nversion = \"0.2.0\"\ndependencies = [\"lamp<2\"]\n\
                     [build-system]\nrequires = [\"hatchling\"]\nbuild-backend = \"hatchling.build\"\n";
    studio.write("project/pyproject.toml", pyproject.as_bytes());
    studio.write("project/src/main_pack/__init__.py", b"SAYS = 'packed'\n");
    build_sdist(&studio.path("project"), &studio.path("www"));
    let requirement = format!("Main-Pack @ {}", server.url("/main_pack-0.2.0.tar.gz"));
    workspace(&studio, "ws");
    studio.ws(&["install", &requirement]).ok();
    let by_pip = [
        "install",
        "--quiet",
        "--no-index",
        "--no-build-isolation",
        "--find-links",
        "drop",
        "--target",
        "by-pip",
    ];
    pip(&studio, &[&by_pip[..], &[&requirement]].concat()).ok();
    let site = site_packages(&studio, "ws");
    let info = "main_pack-0.2.0.dist-info";
    assert_eq!(direct_url(&site, info), direct_url(&studio.path("by-pip"), info));
    assert!(site.join("main_pack/__init__.py").is_file());
    let package = locked(&studio, "ws", "main-pack");
    assert_eq!(package["sdist"].as_str(), Some("main_pack-0.2.0.tar.gz"));
    // Also from a file of this machine, and by the lock alone.
    let local = format!(
        "Main-Pack @ file://{}",
        studio.path("www/main_pack-0.2.0.tar.gz").display()
    );
    studio.ws(&["install", &local]).ok();
    fs::remove_dir_all(studio.path("cache/wheels")).expect("removed");
    fs::remove_dir_all(studio.path("ws/inputs")).expect("removed");
    server.take_log();
    studio.ws(&["install", "--locked"]).ok();
    studio.ws(&["export", "-o", "pylock.toml"]).ok();
    let text = fs::read_to_string(studio.path("pylock.toml")).expect("written");
    assert!(text.contains("path = \"www/main_pack-0.2.0.tar.gz\""), "{text}");
    workspace(&studio, "read");
    studio
        .run(&["-w", "read", "install", "--from-lock", "pylock.toml"])
        .ok();
    assert!(installed(&studio, "ws") == installed(&studio, "read"));
    assert!(server.log().is_empty());
    // What others would have to build is not built.
    let setuptools = pyproject
        .replace("hatchling.build", "setuptools.build_meta")
        .replace("0.2.0", "0.3.0");
    studio.write("project/pyproject.toml", setuptools.as_bytes());
    studio.write(
        "project/PKG-INFO",
        b"Metadata-Version: 2.1\nName: main_pack\nVersion: 0.3.0\n",
    );
    let mut tar = Command::new("tar");
    tar.current_dir(studio.root()).args([
        "czf",
        "www/main_pack-0.3.0.tar.gz",
        "--transform",
        "s/^project/main_pack-0.3.0/",
        "project",
    ]);
    run_command(&mut tar).ok();
    let requirement = format!("Main-Pack @ {}", server.url("/main_pack-0.3.0.tar.gz"));
    studio
        .ws(&["install", &requirement, "--json"])
        .fails(2, "sdist::unsupported");
}

/// What is asked for (`HERE` is the server), the exit code, the error's code, and a word of the message.
const WRONG: &str = "
table @ HERE/page/table-1.0-py3-none-any.whl                7  direct_url::bad_file         web page
table @ HERE/name/table-1.0-py3-none-any.whl                7  direct_url::bad_file         table
table @ HERE/version/table-1.0-py3-none-any.whl             7  direct_url::bad_file         table
table @ HERE/noise/table-1.0-py3-none-any.whl               7  direct_url::bad_file         table
chair @ HERE/good/table-1.0-py3-none-any.whl                7  direct_url::bad_file         for table
table @ HERE/good/download                                  7  direct_url::bad_file         not that of a wheel
table @ HERE/good/table-1.0.zip                             7  direct_url::bad_file         not that of a wheel
table @ HERE/good/table-1.0-py3-none-any.whl#sha256=ZEROS   7  direct_url::wrong_digest     its requirement says
table @ HERE/good/table-1.0-py3-none-any.whl#md5=00         2  direct_url::invalid          md5
table @ HERE/good/table-1.0.tar.gz#subdirectory=a           2  direct_url::invalid          folder
table @ HERE/dies/table-1.0-py3-none-any.whl                6  index::unreachable           response ended
table @ HERE/large/table-1.0-py3-none-any.whl               7  index::too_large             more than
table @ HERE/away/table-1.0-py3-none-any.whl                7  index::redirect              only http
table @ HERE/gone/table-1.0-py3-none-any.whl                4  index::refused               404
table @ HERE/denied/table-1.0-py3-none-any.whl              3  index::denied                401
table @ git+https://host/table.git@main                     2  direct_url::version_control  version control
table @ ftp://host/table-1.0-py3-none-any.whl               2  requirement::invalid         ftp
table @ file:///tmp                                         2  direct_url::folder           folder
table @ file:///nowhere/table-1.0-py3-none-any.whl          4  direct_url::no_file          no file
table @ https://${HOME}/table-1.0-py3-none-any.whl          2  requirement::invalid         variables
";

/// A server that does one thing wrong below each of its folders, and has `table` 1.0 in `good`.
fn wrong_server(good: Vec<u8>) -> Server {
    Server::start(move |request| {
        let head =
            |length: u64| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nPK").into_bytes();
        match request.path.split('/').nth(1).unwrap_or_default() {
            "good" => Reply::bytes(good.clone()),
            "page" => Reply::html("<!doctype html><title>Sign in</title>"),
            "name" => Reply::bytes(wheel("chair", "1.0", "", "")),
            "version" => Reply::bytes(wheel("table", "1.1", "", "")),
            "noise" => Reply::bytes(b"PK\x03\x04 is how such a file begins".to_vec()),
            "dies" => Reply::Raw(head(100_000)),
            "large" => Reply::Raw(head(65 << 30)),
            "away" => Reply::new(302, "text/plain", "").with("Location", "file:///etc/passwd"),
            "denied" => Reply::status(401),
            _ => Reply::status(404),
        }
    })
}

#[test]
fn whatever_is_wrong_at_the_other_end_is_named_and_nothing_changes() {
    let studio = Studio::empty();
    workspace(&studio, "ws");
    let good = wheel("table", "1.0", "", "");
    let digest = sha256(&good);
    let server = wrong_server(good);
    let config = fs::read(studio.path("ws/backlot.toml")).expect("read");
    for line in WRONG.lines().filter(|line| !line.is_empty()) {
        let cells: Vec<&str> = line
            .split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty())
            .collect();
        let [requirement, exit, code, word] = cells[..] else {
            panic!("{line}")
        };
        let requirement = requirement
            .replace("HERE", &server.url(""))
            .replace("ZEROS", &"0".repeat(64));
        let run = studio.ws(&["install", &requirement, "--json"]);
        let error = run.fails(exit.parse().expect("a number"), code);
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains(word), "{requirement}: {message}");
        assert!(!message.contains("index/wheels"), "{requirement}: {message}");
        assert_eq!(
            config,
            fs::read(studio.path("ws/backlot.toml")).expect("read"),
            "{requirement}"
        );
    }
    let left = snapshot(&studio.path("cache/index"));
    let wheels: Vec<&String> = left.keys().filter(|path| path.ends_with(".whl")).collect();
    assert!(wheels.is_empty(), "{wheels:?}");
    let good = server.url("/good/table-1.0-py3-none-any.whl");
    studio
        .ws(&["install", &format!("table @ {good}#sha256={digest}")])
        .ok();
}

#[test]
fn credentials_come_from_netrc_or_the_repo_of_the_server_and_reach_no_file() {
    let studio = Studio::empty();
    workspace(&studio, "ws");
    let bytes = wheel("table", "1.0", "", "");
    let inner = bytes.clone();
    let other = Server::start(move |_| Reply::bytes(inner.clone()));
    let away = other.other_url(TABLE);
    let server = Server::start(move |request| {
        let known = request.header("authorization");
        match request.path.split('?').next().unwrap_or_default() {
            _ if known.is_empty() => Reply::status(401),
            "/moved/table-1.0-py3-none-any.whl" => Reply::new(302, "text/plain", "").with("Location", &away),
            "/simple/" => Reply::html("<!doctype html><meta name=pypi:repository-version content=1.0>"),
            TABLE => Reply::bytes(bytes.clone()),
            _ => Reply::status(404),
        }
    });
    let moved = format!(
        "table @ {}?sig=hunter2",
        server.url("/moved/table-1.0-py3-none-any.whl")
    );
    let run = studio.ws(&["install", &moved, "--json"]);
    let error = run.fails(3, "index::denied");
    assert!(error["help"].as_str().expect("help").contains("netrc"), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
    studio.write("home/.netrc", b"machine 127.0.0.1 login ana password hunter3\n");
    studio.ws(&["install", &moved]).ok();
    assert!(
        other
            .log()
            .iter()
            .all(|l| l.request.header("authorization").is_empty())
    );
    fs::remove_file(studio.path("home/.netrc")).expect("removed");
    // As the repo on the same server.
    let with_token = |arguments: &[&str]| {
        let mut command = studio.command(&[&["-w", "ws"], arguments].concat());
        command.env("BACKLOT_REPO_STUDIO_TOKEN", "hunter4");
        run_command(&mut command)
    };
    with_token(&["repo", "add", "studio", &server.url("/simple/")]).ok();
    with_token(&["install", &format!("table @ {}", server.url(TABLE))]).ok();
    a_secret_in_a_url_is_told_to_nobody(&studio, &server.url(TABLE));
}

/// It is refused wherever it stands.
fn a_secret_in_a_url_is_told_to_nobody(studio: &Studio, url: &str) {
    let url = url.replace("http://", "http://ana:hunter5@");
    let secret = format!("table @ {url}");
    let refused = [
        (vec!["install", &secret, "--json"], 2, "direct_url::secret"),
        (
            vec!["install", "table", "--constraint", &secret, "--json"],
            2,
            "direct_url::secret",
        ),
        (
            vec!["install", "table", "--override", &secret, "--json"],
            2,
            "direct_url::secret",
        ),
        (vec!["install", &url, "--json"], 2, "requirement::invalid"),
    ];
    for (arguments, exit, code) in refused {
        let error = studio.ws(&arguments).fails(exit, code);
        assert!(!error.to_string().contains("hunter5"), "{error}");
    }
    studio.ws(&["new", "Kitchen"]).ok();
    let project = studio.path("ws/outputs/kitchen/pyproject.toml");
    let text = fs::read_to_string(&project).expect("read");
    fs::write(
        &project,
        text.replace("dependencies = []", &format!("dependencies = [\"{secret}\"]")),
    )
    .expect("written");
    studio
        .ws(&["build", "Kitchen", "--json"])
        .fails(3, "config::secret");
    fs::write(&project, text).expect("written");
    let config = studio.path("ws/backlot.toml");
    let text = fs::read_to_string(&config).expect("read");
    fs::write(&config, text.replace("http://127", "http://ana:hunter5@127")).expect("written");
    studio.ws(&["status", "--json"]).fails(3, "config::secret");
    fs::write(&config, text).expect("written");
    for place in ["ws", "cache"] {
        for (path, bytes) in snapshot(&studio.path(place)) {
            let text = String::from_utf8_lossy(&bytes);
            let told = ["hunter3", "hunter4", "hunter5"]
                .iter()
                .any(|secret| text.contains(secret));
            assert!(!told, "{place}/{path}: {text}");
        }
    }
}

#[test]
fn an_asset_that_needs_a_url_is_published_with_a_word_about_it() {
    let (studio, server) = studio();
    workspace(&studio, "ws");
    studio.ws(&["repo", "add", "review", "repos/review"]).ok();
    studio.ws(&["new", "Kitchen"]).ok();
    let table = format!("table @ {}", server.url(TABLE));
    studio.ws(&["input", "add", "Kitchen", &table]).ok();
    let run = studio.ws(&["publish", "Kitchen", "--to", "review"]).ok();
    assert!(run.stderr().contains("publish::direct_url"), "{}", run.stderr());
    workspace(&studio, "other");
    studio
        .run(&["-w", "other", "repo", "add", "review", "repos/review"])
        .ok();
    let error = studio
        .run(&["-w", "other", "install", "Kitchen", "--json"])
        .fails(5, "resolve::conflict");
    assert!(error["help"].as_str().expect("help").contains(&table), "{error}");
    studio
        .run(&["-w", "other", "install", "Kitchen", "--constraint", &table])
        .ok();
    locked(&studio, "other", "table");
    // As pip sees it, which follows whatever anybody names.
    let find = studio.path("repos/review/packages/kitchen");
    let arguments = [
        "install",
        "--quiet",
        "--no-index",
        "--find-links",
        "drop",
        "--find-links",
    ];
    let target = ["--target", "by-pip", "Kitchen"];
    pip(
        &studio,
        &[&arguments[..], &[&find.display().to_string()], &target].concat(),
    )
    .ok();
    assert!(studio.path("by-pip/table-1.0.dist-info").is_dir());
    // A file of this machine is of no use to others.
    let local = format!("table @ file://{}", studio.path(&format!("www{TABLE}")).display());
    studio.ws(&["input", "add", "Kitchen", &local]).ok();
    studio.ws(&["bump", "Kitchen", "minor"]).ok();
    studio.ws(&["install"]).ok();
    studio
        .ws(&["publish", "Kitchen", "--to", "review", "--json"])
        .fails(2, "publish::local_url");
    // An output of the package is what is worked on; a URL does not replace it.
    studio.ws(&["new", "Table"]).ok();
    studio
        .ws(&["install", &table, "--json"])
        .fails(5, "input::editable_in_the_way");
}
