//! Repos outside the studio: only allowed packages are requested, and no other name is sent to them.

use std::collections::BTreeSet;

use backlot_tests::Studio;
use backlot_tests::installers::install_by;
use backlot_tests::server::Server;
use fs_err as fs;

/// A studio with `Shot` in `review`, which needs `Numpish` and `Pillish`; these are at a server outside, and `Numpish`
/// needs `Open-Color-Tools`, which is there as well. So is a `Secret` of somebody else.
fn studio() -> (Studio, Server) {
    let studio = Studio::empty();
    studio.run(&["init", "outsider"]).ok();
    let outsider = |arguments: &[&str]| studio.run(&[&["-w", "outsider"], arguments].concat()).ok();
    outsider(&["repo", "add", "outside", "web"]);
    for name in ["Open-Color-Tools", "Numpish", "Pillish", "Extra", "Secret"] {
        outsider(&["new", name]);
        if name == "Numpish" {
            outsider(&["input", "add", name, "Open-Color-Tools"]);
        }
        outsider(&["publish", name]);
    }
    let server = Server::folder(&studio.path("web"), true);
    studio.workspace("ws");
    studio.ws(&["new", "Shot"]).ok();
    // They will come from a repo that is not named yet.
    studio
        .ws(&["input", "add", "Shot", "Numpish", "Pillish", "--no-check"])
        .ok();
    studio
        .ws(&["publish", "Shot", "--force", "-m", "from outside"])
        .ok();
    fs::remove_dir_all(studio.path("ws/outputs/shot")).expect("removed");
    (studio, server)
}

/// The names of packages that a server was asked for since it was last looked at.
fn asked(server: &Server) -> BTreeSet<String> {
    let log = server.take_log();
    let path = |path: &str| {
        path.split('/')
            .filter(|p| !p.is_empty())
            .nth(1)
            .map(ToOwned::to_owned)
    };
    log.iter()
        .filter_map(|logged| path(&logged.request.path))
        .collect()
}

fn names(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_public_repo_is_asked_for_what_is_on_its_list_and_hears_no_other_name() {
    let (studio, server) = studio();
    let url = server.url("/simple/");
    let added = studio
        .ws(&["repo", "add", "outside", &url, "--public", "--json"])
        .ok()
        .json();
    assert_eq!(added["allow"], serde_json::json!([]));
    assert_eq!(
        (&added["blessed"], &added["publish_to"]),
        (&false.into(), &false.into())
    );
    server.take_log();

    // All that is missing is told at once, with what to do.
    let error = studio
        .ws(&["install", "Shot", "--json"])
        .fails(4, "resolve::unknown_package");
    let (message, help) = (
        error["message"].as_str().expect("text"),
        error["help"].as_str().expect("text"),
    );
    assert!(
        message.contains("numpish, pillish are not on the allowlist of `outside`"),
        "{message}"
    );
    assert!(
        help.contains("backlot repo allow outside numpish pillish"),
        "{help}"
    );
    assert_eq!(asked(&server), names(&[]));
    studio
        .ws(&["repo", "allow", "outside", "Numpish", "pillish", "--dry-run"])
        .ok();
    studio
        .ws(&["install", "Shot", "--json"])
        .fails(4, "resolve::unknown_package");
    studio
        .ws(&["repo", "allow", "outside", "Numpish", "pillish"])
        .ok();
    let error = studio
        .ws(&["install", "Shot", "--json"])
        .fails(4, "resolve::unknown_package");
    let message = error["message"].as_str().expect("text");
    assert!(
        message.contains("open-color-tools is not on the allowlist"),
        "{message}"
    );
    studio.ws(&["repo", "allow", "outside", "open_color*"]).ok();
    studio.ws(&["install", "Shot"]).ok();
    let allowed = names(&["numpish", "pillish", "open-color-tools"]);
    assert_eq!(asked(&server), allowed);

    nothing_else_says_a_name(&studio, &server, &allowed);
    what_others_are_told(&studio, &server);
}

/// A `Secret` of the studio's own, and a misspelled `Shto`, in everything that looks at repos.
fn nothing_else_says_a_name(studio: &Studio, server: &Server, allowed: &BTreeSet<String>) {
    studio.ws(&["new", "Secret"]).ok();
    for arguments in [
        &["install", "Shto"][..],
        &["lock", "--upgrade"],
        &["update", "--dry-run"],
        &["outdated"],
        &["tree"],
        &["why", "numpish"],
        &["status"],
        &["list"],
        &["search", "secret"],
        &["search", "shto", "--repo", "outside"],
        &["show", "Secret"],
        &["show", "Shto"],
        &["show", "numpish"],
        &["edit", "Shto"],
        &["copy", "Secret", "--from", "outside", "--to", "review"],
        &[
            "copy",
            "Shot",
            "--from",
            "review",
            "--to",
            "outside",
            "--with-deps",
        ],
        &["mirror", "outside", "review", "--dry-run"],
        &["publish", "Secret", "--to", "outside"],
        &["publish", "Secret"],
        &["approve", "Secret==0.1.0", "--repo", "outside", "-m", "x"],
        &["install", "--repair"],
        &["install", "--locked"],
        &["export", "-o", "pylock.toml"],
        &["verify", "--remote", "--releases"],
        &["gc", "--remote", "--dry-run"],
    ] {
        // No answer is kept: each has to ask if it wants to know.
        fs::remove_dir_all(studio.path("cache/index")).ok();
        let run = studio.ws(arguments);
        assert!(
            !run.stderr().contains("Usage:"),
            "{arguments:?}: {}",
            run.stderr()
        );
        let heard = asked(server);
        assert!(heard.is_subset(allowed), "{arguments:?} asked for {heard:?}");
    }
    for (arguments, code, exit) in [
        (
            &["publish", "Secret", "--to", "outside"][..],
            "repo::not_allowed",
            3,
        ),
        (
            &["copy", "Secret", "--from", "outside", "--to", "review"],
            "repo::not_allowed",
            3,
        ),
        (&["repo", "allow", "review", "x"], "config::not_public", 3),
        (
            &["repo", "allow", "outside", "numpy", "--remove"],
            "config::not_on_list",
            4,
        ),
        (&["repo", "allow", "outside", "*x"], "repo::bad_allowed_name", 2),
        (
            &["repo", "add", "near", "folder", "--public"],
            "config::not_public",
            3,
        ),
    ] {
        studio.ws(&[arguments, &["--json"]].concat()).fails(exit, code);
    }
    assert_eq!(asked(server), names(&[]));
}

/// Who installs from an export is not sent to the index outside; pins and edits by hand hold.
fn what_others_are_told(studio: &Studio, server: &Server) {
    let text = studio.ws(&["export"]).ok().stdout();
    assert!(
        !text.contains(&server.url("/simple/")) && text.contains("numpish @ http://"),
        "{text}"
    );
    studio.write("requirements.txt", text.replace("-e ", "# -e ").as_bytes());
    let (requirements, links) = (
        studio.path("requirements.txt"),
        studio.path("repos/review/packages/shot"),
    );
    let mut arguments = vec!["--no-deps", "--no-index", "-r"];
    arguments.extend([requirements.to_str().expect("text"), "--find-links"]);
    arguments.push(links.to_str().expect("text"));
    install_by("pip", &studio.path("by-pip"), &arguments).ok();
    assert!(studio.path("by-pip/numpish/__init__.py").is_file());

    // Taken off the list, what is installed stays; it is not fetched again.
    let config = studio.path("ws/backlot.toml");
    let text = fs::read_to_string(&config).expect("read");
    let line = "allow = [\"numpish\", \"pillish\", \"open-color*\"]";
    assert!(text.contains(line), "{text}");
    let by_hand = "allow = [\n    \"Numpish\", # numbers\n    # pictures\n    \"pillish\", # and more\n]";
    fs::write(&config, text.replace(line, by_hand)).expect("written");
    studio.ws(&["repo", "allow", "outside", "open-color-tools"]).ok();
    studio
        .ws(&["repo", "allow", "outside", "numpish", "--remove"])
        .ok();
    let text = fs::read_to_string(&config).expect("read");
    let kept = "# pictures\n    \"pillish\", # and more\n    \"open-color-tools\",\n]";
    assert!(text.contains(kept), "{text}");
    studio.ws(&["install", "--locked"]).ok();
    fs::remove_dir_all(studio.path("cache")).expect("removed");
    fs::remove_dir_all(studio.path("ws/inputs")).expect("removed");
    studio
        .ws(&["install", "--locked", "--json"])
        .fails(3, "repo::not_allowed");

    // A pin is as good as the list, and one to another repo is better.
    let sources = "\n[sources]\nNumpish = \"outside\"\npillish = \"review\"\n";
    fs::write(&config, text + sources).expect("written");
    server.take_log();
    studio
        .ws(&["install", "--upgrade", "--json"])
        .fails(4, "resolve::unknown_package");
    assert!(!asked(server).contains("pillish"));
    let listed = studio.ws(&["repo", "list"]).ok().stdout();
    assert!(listed.contains("public: pillish, open-color-tools"), "{listed}");
}

#[test]
fn a_collection_does_not_look_into_a_public_repo_because_no_tracked_files_get_there() {
    let (studio, server) = studio();
    let url = server.url("/simple/");
    studio
        .ws(&["repo", "add", "outside", &url, "--public", "--allow", "*"])
        .ok();
    studio.asset("Prop", 3, 2000);
    studio.ws(&["publish", "Prop"]).ok();
    server.take_log();
    let collect = ["gc", "--remote", "--young", "0", "--no-other-writers", "--json"];
    let report = studio.ws(&collect).ok().json();
    assert_eq!(report["condemned"], serde_json::json!([]), "{report:#}");
    assert_eq!(report["passed_over"][0]["repo"], "outside", "{report:#}");
    let verify = ["verify", "--remote", "--releases", "--json"];
    let report = studio.ws(&verify).ok().json();
    assert_eq!(report["passed_over"][0]["repo"], "outside", "{report:#}");
    assert_eq!(asked(&server), names(&[]));
    // A repo of the studio that is not where it was may be a disk that is not mounted.
    let there = studio.path("repos/far");
    studio.ws(&["repo", "add", "far", "repos/far"]).ok();
    fs::remove_dir_all(&there).expect("removed");
    studio.ws(&collect).fails(6, "workspace::repo_not_there");
    fs::create_dir(&there).expect("made");
    studio.ws(&collect).fails(6, "workspace::repo_not_there");
    studio.ws(&["repo", "remove", "far"]).ok();

    // What would be garbage to a collection does not get there, by no way.
    studio
        .ws(&["publish", "Prop", "--to", "outside", "--json"])
        .fails(3, "publish::files_in_public");
    for dry_run in [&["--dry-run"][..], &[]] {
        let copy = ["copy", "Prop", "--from", "review", "--to", "outside", "--json"];
        studio
            .ws(&[&copy[..], dry_run].concat())
            .fails(3, "publish::files_in_public");
        let mirror = ["mirror", "review", "outside", "--name", "prop", "--json"];
        studio
            .ws(&[&mirror[..], dry_run].concat())
            .fails(3, "publish::files_in_public");
    }
    assert!(server.log().iter().all(|logged| logged.request.method != "POST"));
    studio.run(&["init", "stranger"]).ok();
    for arguments in [
        &["repo", "add", "outside", &url, "--public", "--allow", "*"][..],
        &["remote", "add", "main", "remote"],
    ] {
        studio.run(&[&["-w", "stranger"], arguments].concat()).ok();
    }
    studio
        .run(&[&["-w", "stranger"], &collect[..]].concat())
        .fails(3, "config::none_configured");
}

#[test]
fn a_collection_fetches_of_the_wheels_of_an_index_their_pointers_only_and_each_once() {
    let studio = Studio::new();
    studio.asset("Prop", 3, 2000);
    let noise = backlot_tests::noise(400_000, 3);
    studio.write("ws/outputs/prop/src/prop/look.bin", &noise);
    studio.ws(&["publish", "Prop"]).ok();
    let server = Server::folder(&studio.path("repos/review"), true);
    for folder in ["ws", "cache"] {
        fs::remove_dir_all(studio.path(folder)).expect("removed");
    }
    studio.run(&["init", "keeper"]).ok();
    let keeper = |arguments: &[&str]| studio.run(&[&["-w", "keeper"], arguments].concat()).ok();
    keeper(&["repo", "add", "far", &server.url("/simple/")]);
    keeper(&["remote", "add", "main", "remote"]);
    let collect = ["gc", "--remote", "--young", "0", "--no-other-writers", "--json"];
    for first in [true, false] {
        server.take_log();
        let report = keeper(&collect).json();
        assert_eq!(
            (&report["condemned"], &report["releases"]),
            (&serde_json::json!([]), &1.into()),
            "{report:#}"
        );
        let log = server.take_log();
        let parts: Vec<_> = log.iter().filter(|l| l.request.path.ends_with(".whl")).collect();
        assert_eq!(parts.is_empty(), !first, "{parts:#?}");
        assert!(parts.iter().all(|l| l.status == 206), "{parts:#?}");
        assert!(parts.iter().map(|l| l.sent).sum::<u64>() < 100_000, "{parts:#?}");
    }
    // What cannot be read stops it.
    let wheel = "repos/review/packages/prop/prop-0.1.0-py3-none-any.whl";
    fs::remove_file(studio.path(wheel)).expect("removed");
    fs::remove_dir_all(studio.path("cache/index/metadata")).expect("removed");
    let run = studio.run(&[&["-w", "keeper"], &collect[..]].concat());
    assert!(!run.output.status.success(), "{}", run.stdout());
}
