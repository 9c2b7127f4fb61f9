//! Publishing through the public API: what is written, what is refused, and what many publishers at once do.
//!
//! The process-level race runs this test binary again as its sixteen publishers.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier};

use backlot_core::{Class, Context, Diagnostic, FixedClock, Timestamp};
use backlot_repo::{Error, ReleaseStore, RepoKind};
use fs_err as fs;
use support::{Warnings, Wheel, by, package, temporaries, tree, version};

fn at(milliseconds: u64) -> Context {
    Context::default().with_clock(Arc::new(FixedClock(Timestamp(milliseconds))))
}

/// The files that both pages of a package name.
fn on_pages(root: &Path, name: &str) -> Vec<String> {
    let page = fs::read(root.join(format!("simple/{name}/index.json"))).unwrap();
    let page: serde_json::Value = serde_json::from_slice(&page).unwrap();
    let html = fs::read_to_string(root.join(format!("simple/{name}/index.html"))).unwrap();
    let files = page["files"].as_array().unwrap();
    let names: Vec<_> = files
        .iter()
        .map(|f| f["filename"].as_str().unwrap().to_owned())
        .collect();
    for name in &names {
        assert!(html.contains(&format!(">{name}</a>")), "{name} is on both pages");
    }
    assert_eq!(html.matches("<a ").count(), names.len());
    names
}

#[test]
fn a_publish_writes_exactly_the_layout_and_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repo");
    let mut wheel = Wheel::new("main_pack", "1.0.0");
    wheel.headers = "Requires-Python: >=3.9\n";
    let source = wheel.write(folder.path());
    let repo = ReleaseStore::open_folder(&root).unwrap();
    assert_eq!(repo.kind().unwrap(), RepoKind::Empty);
    let plan = repo.plan_publish(&source, &at(0)).unwrap();
    assert!(plan.makes_repo && plan.existing.is_none() && !root.exists());
    let warnings = Warnings::default();
    let context = warnings
        .context()
        .with_clock(Arc::new(FixedClock(Timestamp(1_709_210_096_000))));
    let published = repo.publish(&source, &by("ana"), &context).unwrap();
    assert_eq!(warnings.codes(), ["repo::created"]);
    assert_eq!(published.unfinished, None);
    let files = tree(&root);
    let fact = files.iter().find(|f| f.starts_with("status/")).unwrap().clone();
    assert!(fact.starts_with("status/main-pack/1.0.0/01hqt"), "{fact}");
    let expected = [
        "events/00000001.json",
        "events/head.json",
        "packages/main-pack/main_pack-1.0.0-py3-none-any.whl",
        "packages/main-pack/main_pack-1.0.0-py3-none-any.whl.json",
        "packages/main-pack/main_pack-1.0.0-py3-none-any.whl.metadata",
        "repo.json",
        "simple/index.html",
        "simple/index.json",
        "simple/main-pack/index.html",
        "simple/main-pack/index.json",
        &fact,
    ];
    assert_eq!(files, expected);
    for place in &plan.writes {
        assert!(place.path().unwrap().exists(), "{place} was planned");
    }
    let identity = repo.identity().unwrap().unwrap();
    assert_eq!(
        fs::read_to_string(root.join("repo.json")).unwrap(),
        format!(
            "{{\"backlot-repo\": 1, \"id\": \"{}\"}}\n",
            identity.name().unwrap()
        )
    );
    let again = ReleaseStore::open_folder(&root).unwrap();
    assert_eq!(again.packages().unwrap(), [package("main-pack")]);
    let release = again
        .release(&package("Main_Pack"), &version("1.0.0"), &context)
        .unwrap();
    assert_eq!(release.sha256, Some(plan.sha256));
    assert_eq!(release.published_at, Some(Timestamp(1_709_210_096_000)));
    assert_eq!(release.requires_python.as_deref(), Some(">=3.9"));
    assert_eq!(again.metadata(&release).unwrap().package(), package("main-pack"));
    let status = again.status(&release).unwrap().published.unwrap();
    assert_eq!(
        (status.author.as_str(), status.reason.as_str()),
        ("ana", "manual")
    );
    assert_eq!(status.time, "2024-02-29T12:34:56Z");
}

#[test]
fn a_second_publish_of_a_version_is_a_conflict_that_names_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repo");
    let repo = ReleaseStore::create_folder(&root).unwrap();
    let source = Wheel::new("chair", "1.0").write(&folder.path().join("a"));
    repo.publish(&source, &by("ana"), &at(1_709_210_096_000)).unwrap();
    let before = tree(&root);

    let same = repo.publish(&source, &by("ben"), &at(0)).unwrap_err();
    assert_eq!(
        (same.code(), same.class()),
        ("repo::release_exists", Class::Conflict)
    );
    let text = same.to_string();
    assert!(
        text.contains("published by ana at 2024-02-29T12:34:56Z"),
        "{text}"
    );
    assert!(
        same.help()
            .unwrap()
            .contains("already published with identical contents")
    );

    // Another spelling of the version, other tags, other bytes: the same version all the same.
    for (spelled, tag) in [
        ("1.0", "py3-none-any"),
        ("1.0.0", "py3-none-any"),
        ("1.0", "py2.py3-none-any"),
    ] {
        let mut other = Wheel::new("chair", spelled);
        other.tag = tag;
        other.content = "x = 1\n";
        let source = other.write(&folder.path().join("b"));
        assert!(repo.plan_publish(&source, &at(0)).unwrap().existing.is_some());
        let error = repo.publish(&source, &by("ben"), &at(0)).unwrap_err();
        assert_eq!(error.code(), "repo::release_exists");
        assert!(error.help().unwrap().contains("bump"));
    }
    assert_eq!(tree(&root), before);
}

#[test]
fn what_cannot_be_a_release_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repo");
    let repo = ReleaseStore::open_folder(&root).unwrap();
    let local = Wheel::new("chair", "1.0+studio.1").write(folder.path());
    assert_eq!(
        repo.publish(&local, &by("ana"), &at(0)).unwrap_err().code(),
        "repo::local_version"
    );
    let misnamed = folder.path().join("table-1.0-py3-none-any.whl");
    fs::write(&misnamed, Wheel::new("chair", "1.0").bytes()).unwrap();
    assert_eq!(
        repo.publish(&misnamed, &by("ana"), &at(0)).unwrap_err().class(),
        Class::Integrity
    );
    let torn = folder.path().join("chair-2.0-py3-none-any.whl");
    fs::write(&torn, &Wheel::new("chair", "2.0").bytes()[..200]).unwrap();
    assert_eq!(
        repo.publish(&torn, &by("ana"), &at(0)).unwrap_err().class(),
        Class::Integrity
    );
    assert!(!root.exists());
}

#[test]
fn a_repo_is_not_made_where_a_disk_may_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    let source = Wheel::new("chair", "1.0").write(folder.path());
    let repo = ReleaseStore::open_folder(&folder.path().join("mnt/show/repo")).unwrap();
    assert_eq!(
        repo.publish(&source, &by("ana"), &at(0)).unwrap_err().code(),
        "repo::no_place"
    );
    assert_eq!(
        ReleaseStore::open_folder(&source).unwrap_err().code(),
        "repo::not_a_folder"
    );
    let root = folder.path().join("later");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("repo.json"), b"{\"backlot-repo\": 2}").unwrap();
    assert_eq!(
        ReleaseStore::open_folder(&root).unwrap_err().code(),
        "repo::newer_format"
    );
    fs::write(root.join("repo.json"), b"[]").unwrap();
    assert_eq!(
        ReleaseStore::open_folder(&root).unwrap_err().code(),
        "repo::bad_marker"
    );
}

#[test]
fn of_sixteen_threads_publishing_one_version_exactly_one_wins() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("repo");
        let barrier = Barrier::new(16);
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|n| {
                    let (root, barrier, folder) = (&root, &barrier, folder.path());
                    scope.spawn(move || {
                        let content = format!("n = {n}\n");
                        let mut wheel = Wheel::new("chair", "1.0");
                        wheel.content = &content;
                        let source = wheel.write(&folder.join(n.to_string()));
                        barrier.wait();
                        let repo = ReleaseStore::open_folder(root).unwrap();
                        let result = repo.publish(&source, &by(&format!("person {n}")), &Context::default());
                        (n, fs::read(source).unwrap(), result)
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let (winner, bytes, _) = results.iter().find(|(_, _, r)| r.is_ok()).expect("one wins");
        for (n, _, result) in &results {
            match result {
                Ok(_) => assert_eq!(n, winner),
                Err(Error::ReleaseExists {
                    author, identical, ..
                }) => {
                    assert_eq!(author.as_deref(), Some(&*format!("person {winner}")));
                    assert!(!identical);
                }
                Err(error) => panic!("{error}"),
            }
        }
        check_single(&root, bytes, &format!("person {winner}"));
    }
}

fn check_single(root: &Path, bytes: &[u8], winner: &str) {
    assert_eq!(temporaries(root), Vec::<String>::new());
    let wheel = root.join("packages/chair/chair-1.0-py3-none-any.whl");
    assert_eq!(fs::read(&wheel).unwrap(), bytes, "the winner's bytes");
    let repo = ReleaseStore::open_folder(root).unwrap();
    let releases = repo.releases(&package("chair"), &Context::default()).unwrap();
    assert_eq!(releases.len(), 1);
    assert_eq!(
        repo.status(&releases[0]).unwrap().published.unwrap().author,
        winner
    );
    let facts = tree(&root.join("status")).len();
    assert_eq!(facts, 1, "losers take their facts away");
    assert_eq!(on_pages(root, "chair"), ["chair-1.0-py3-none-any.whl"]);
}

#[test]
fn different_versions_published_at_once_are_all_in_the_index() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("repo");
        let barrier = Barrier::new(12);
        std::thread::scope(|scope| {
            for n in 0..12 {
                let (root, barrier, folder) = (&root, &barrier, folder.path());
                scope.spawn(move || {
                    // Eight versions of one package, four other packages.
                    let (name, number) = if n < 8 {
                        ("chair".to_owned(), n)
                    } else {
                        (format!("table{n}"), 0)
                    };
                    let number = format!("1.{number}");
                    let source = Wheel::new(&name, &number).write(&folder.join(n.to_string()));
                    barrier.wait();
                    let repo = ReleaseStore::open_folder(root).unwrap();
                    let published = repo.publish(&source, &by("ana"), &Context::default()).unwrap();
                    assert_eq!(published.unfinished, None);
                });
            }
        });
        let expected: Vec<_> = (0..8).map(|n| format!("chair-1.{n}-py3-none-any.whl")).collect();
        assert_eq!(on_pages(&root, "chair"), expected);
        let html = fs::read_to_string(root.join("simple/index.html")).unwrap();
        for name in ["chair", "table8", "table9", "table10", "table11"] {
            assert!(
                html.contains(&format!("href=\"{name}/\"")),
                "{name} is on the root page"
            );
        }
        assert_eq!(temporaries(&root), Vec::<String>::new());
        let report = ReleaseStore::open_folder(&root)
            .unwrap()
            .reindex(false, &Context::default())
            .unwrap();
        assert_eq!((report.packages, report.releases), (5, 12));
        assert!(report.healed.is_empty(), "{report:?}");
        assert!(report.removed.is_empty(), "{report:?}");
    }
}

const PUBLISHER: &str = "BACKLOT_TEST_PUBLISHER";

/// Not a test: what the children of the tests below run. Waits for the file `go`, publishes, leaves its result.
#[test]
fn child_publisher() {
    #[expect(clippy::disallowed_methods, reason = "a child process is told so what it is")]
    let Ok(work) = std::env::var(PUBLISHER) else {
        return;
    };
    let work = Path::new(&work);
    let folder = work.parent().unwrap();
    while !folder.join("go").exists() {
        std::thread::yield_now();
    }
    let author = work.file_name().unwrap().to_str().unwrap();
    for entry in fs::read_dir(work).unwrap() {
        let source = entry.unwrap().path();
        let repo = ReleaseStore::open_folder(&folder.join("repo")).unwrap();
        let result = match repo.publish(&source, &by(author), &Context::default()) {
            Ok(_) => "won",
            Err(error) => error.code(),
        };
        fs::write(folder.join(format!("result-{author}")), result).unwrap();
    }
}

fn spawn_publisher(work: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["child_publisher", "--exact", "--nocapture"])
        .env(PUBLISHER, work)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn of_sixteen_processes_publishing_one_version_exactly_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let children: Vec<_> = (0..16)
        .map(|n| {
            let content = format!("n = {n}\n");
            let mut wheel = Wheel::new("chair", "1.0");
            wheel.content = &content;
            let work = folder.path().join(n.to_string());
            wheel.write(&work);
            spawn_publisher(&work)
        })
        .collect();
    fs::write(folder.path().join("go"), b"").unwrap();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let result = |n: usize| fs::read_to_string(folder.path().join(format!("result-{n}"))).unwrap();
    let winners: Vec<_> = (0..16).filter(|n| result(*n) == "won").collect();
    assert_eq!(winners.len(), 1);
    assert!((0..16).all(|n| winners[0] == n || result(n) == "repo::release_exists"));
    let bytes = fs::read(
        folder
            .path()
            .join(format!("{}/chair-1.0-py3-none-any.whl", winners[0])),
    )
    .unwrap();
    check_single(&folder.path().join("repo"), &bytes, &winners[0].to_string());
}

#[test]
fn publishers_killed_at_any_moment_leave_nothing_half_visible() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repo");
    fs::write(folder.path().join("go"), b"").unwrap();
    let spawn = |number: &str| {
        let work = folder.path().join(format!("w{number}"));
        Wheel::new("chair", number).write(&work);
        spawn_publisher(&work)
    };
    // Kills are spread over the time one publish takes here.
    ReleaseStore::create_folder(&root).unwrap();
    let begin = std::time::Instant::now();
    assert!(spawn("1.0").wait().unwrap().success());
    let whole = begin.elapsed();
    for n in 0..24u32 {
        let mut child = spawn(&format!("1.{}", n + 1));
        std::thread::sleep(whole * (n + 4) / 28);
        child.kill().unwrap();
        child.wait().unwrap();
        let repo = ReleaseStore::open_folder(&root).unwrap();
        let listing = repo.releases_with_problems(&package("chair")).unwrap();
        assert_eq!(listing.broken, Vec::new());
        for release in &listing.releases {
            let fact = repo.status(release).unwrap().published;
            assert!(fact.is_some(), "the fact is there with the release");
            let target = folder.path().join("got");
            repo.open_wheel(release, &target, &Context::default()).unwrap();
        }
    }
    let repo = ReleaseStore::open_folder(&root).unwrap();
    let last = Wheel::new("chair", "2.0").write(folder.path());
    repo.publish(&last, &by("ana"), &Context::default()).unwrap();
    let there = repo.releases(&package("chair"), &Context::default()).unwrap();
    let files: Vec<_> = there.iter().map(|r| r.file.clone()).collect();
    assert_eq!(on_pages(&root, "chair"), files);
}
