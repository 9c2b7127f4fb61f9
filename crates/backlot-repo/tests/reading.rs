//! Reading repos as they are found in the field: junk, corruption, flat folders, copies; search; verified fetching.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod support;

use backlot_core::{Class, Context, Diagnostic};
use backlot_repo::{Query, ReleaseStore, RepoKind};
use fs_err as fs;
use support::{Warnings, Wheel, by, package, temporaries, version};

fn publish(repo: &ReleaseStore, wheel: &Wheel<'_>) {
    let folder = tempfile::tempdir().unwrap();
    repo.publish(&wheel.write(folder.path()), &by("ana"), &Context::default())
        .unwrap();
}

#[test]
fn junk_never_breaks_listing_and_a_corrupt_wheel_is_named_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let repo = ReleaseStore::create_folder(root).unwrap();
    publish(&repo, &Wheel::new("chair", "1.0"));
    let packages = root.join("packages");
    fs::create_dir_all(packages.join("chair/chair-5.0-py3-none-any.whl")).unwrap();
    fs::write(
        packages.join("chair/chair-2.0-py3-none-any.whl"),
        b"PK not really",
    )
    .unwrap();
    fs::write(packages.join("chair/chair-3.0-py3-none-any.whl"), b"").unwrap();
    Wheel::new("table", "1.0").write(&packages.join("chair"));
    fs::write(packages.join("chair/nonsense.whl"), b"").unwrap();
    fs::write(packages.join("chair/.tmp-01abc"), b"half").unwrap();
    fs::write(packages.join("chair/notes.txt"), b"hello").unwrap();
    fs::write(packages.join("chair/chair-0.1.tar.gz"), b"sdist").unwrap();
    fs::write(packages.join("readme"), b"a file, not a folder").unwrap();
    fs::create_dir_all(packages.join("Not_Normal")).unwrap();
    fs::create_dir_all(packages.join("empty")).unwrap();
    let liar = Wheel::new("stool", "1.0").bytes();
    fs::write(packages.join("chair/chair-4.0-py3-none-any.whl"), liar).unwrap();

    assert_eq!(repo.packages().unwrap(), [package("chair")]);
    let listing = repo.releases_with_problems(&package("chair")).unwrap();
    assert_eq!(listing.releases.len(), 1);
    assert_eq!(listing.broken.len(), 6, "{:#?}", listing.broken);
    assert_eq!(listing.sources[0].version, version("0.1"));
    let warnings = Warnings::default();
    for _ in 0..2 {
        assert_eq!(
            repo.releases(&package("chair"), &warnings.context())
                .unwrap()
                .len(),
            1
        );
    }
    assert_eq!(warnings.codes(), ["repo::broken_release"; 6]);

    // A broken wheel in the way is not replaced.
    let source = Wheel::new("chair", "2.0").write(
        &root
            .join("../")
            .join(folder.path().file_name().unwrap())
            .join(".w"),
    );
    let error = repo
        .publish(&source, &by("ana"), &Context::default())
        .unwrap_err();
    assert_eq!(error.code(), "repo::release_exists");
    assert_eq!(
        fs::read(packages.join("chair/chair-2.0-py3-none-any.whl")).unwrap(),
        b"PK not really"
    );
}

#[test]
fn a_flat_folder_is_read_and_not_published_to() {
    let folder = tempfile::tempdir().unwrap();
    Wheel::new("main_pack", "0.2.0").write(folder.path());
    Wheel::new("table", "1.0").write(folder.path());
    fs::write(
        folder.path().join("main_pack-0.1.0.tar.gz"),
        b"an sdist of the original engine",
    )
    .unwrap();
    fs::write(folder.path().join("broken-1.0-py3-none-any.whl"), b"").unwrap();
    let repo = ReleaseStore::open_folder(folder.path()).unwrap();
    assert_eq!(repo.kind().unwrap(), RepoKind::Flat);
    let names = ["broken", "main-pack", "table"].map(package);
    assert_eq!(repo.packages().unwrap(), names);
    let listing = repo.releases_with_problems(&package("main-pack")).unwrap();
    assert_eq!(listing.releases[0].version, version("0.2.0"));
    assert_eq!(
        repo.metadata(&listing.releases[0]).unwrap().version,
        version("0.2.0")
    );
    assert_eq!(listing.sources[0].version, version("0.1.0"));
    assert_eq!(listing.broken, []);
    assert_eq!(
        repo.releases_with_problems(&package("broken"))
            .unwrap()
            .broken
            .len(),
        1
    );
    let other = tempfile::tempdir().unwrap();
    let source = Wheel::new("chair", "1.0").write(other.path());
    for error in [
        repo.publish(&source, &by("ana"), &Context::default())
            .map(|_| ())
            .unwrap_err(),
        repo.plan_publish(&source, &Context::default())
            .map(|_| ())
            .unwrap_err(),
        repo.reindex(false, &Context::default()).map(|_| ()).unwrap_err(),
    ] {
        assert_eq!(
            (error.code(), error.class()),
            ("repo::flat_folder", Class::Config)
        );
        assert!(error.help().is_some());
    }
}

#[test]
fn a_copy_of_the_packages_alone_is_the_same_repo_and_reindex_makes_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let first = ReleaseStore::create_folder(&folder.path().join("a")).unwrap();
    let mut wheel = Wheel::new("chair", "1.0");
    wheel.headers = "Requires-Python: >=3.8\n";
    publish(&first, &wheel);
    publish(&first, &Wheel::new("chair", "1.1"));
    let (from, to) = (
        folder.path().join("a/packages/chair"),
        folder.path().join("b/packages/chair"),
    );
    fs::create_dir_all(&to).unwrap();
    for file in ["chair-1.0-py3-none-any.whl", "chair-1.1-py3-none-any.whl"] {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
    fs::create_dir_all(folder.path().join("b/simple/gone")).unwrap();
    fs::write(folder.path().join("b/simple/gone/index.html"), b"old").unwrap();
    let second = ReleaseStore::open_folder(&folder.path().join("b")).unwrap();
    assert_eq!(
        second
            .releases(&package("chair"), &Context::default())
            .unwrap()
            .len(),
        2
    );
    let report = second.reindex(false, &Context::default()).unwrap();
    assert_eq!(report.healed.len(), 4);
    assert_eq!(report.removed, [folder.path().join("b/simple/gone").into()]);
    for file in [
        "chair-1.0-py3-none-any.whl.metadata",
        "chair-1.1-py3-none-any.whl.metadata",
    ] {
        assert_eq!(
            fs::read(from.join(file)).unwrap(),
            fs::read(to.join(file)).unwrap()
        );
    }
    assert!(folder.path().join("b/repo.json").is_file());
    let page = fs::read_to_string(folder.path().join("b/simple/chair/index.html")).unwrap();
    assert_eq!(
        page,
        fs::read_to_string(folder.path().join("a/simple/chair/index.html")).unwrap()
    );
    assert_eq!(
        second.reindex(false, &Context::default()).unwrap().healed.len(),
        0
    );
    assert_eq!(temporaries(folder.path()), Vec::<String>::new());
}

#[test]
fn a_wheel_changed_behind_our_back_is_never_handed_out_as_the_release() {
    let folder = tempfile::tempdir().unwrap();
    let repo = ReleaseStore::create_folder(&folder.path().join("repo")).unwrap();
    publish(&repo, &Wheel::new("chair", "1.0"));
    let release = repo
        .release(&package("chair"), &version("1.0"), &Context::default())
        .unwrap();
    let target = folder.path().join("got/chair-1.0-py3-none-any.whl");
    repo.open_wheel(&release, &target, &Context::default()).unwrap();
    assert_eq!(
        fs::read(&target).unwrap(),
        fs::read(release.path().unwrap()).unwrap()
    );
    fs::remove_file(&target).unwrap();

    let mut other = Wheel::new("chair", "1.0");
    other.content = "evil = True\n";
    fs::remove_file(release.path().unwrap()).unwrap();
    fs::write(release.path().unwrap(), other.bytes()).unwrap();
    let error = repo
        .open_wheel(&release, &target, &Context::default())
        .unwrap_err();
    assert_eq!(error.code(), "repo::wrong_bytes");
    assert!(!target.exists());
    assert_eq!(temporaries(folder.path()), Vec::<String>::new());
    // The record no longer agrees with the file, so the digest is that of the file, and a lock file will notice.
    let now = repo
        .release(&package("chair"), &version("1.0"), &Context::default())
        .unwrap();
    assert_ne!(now.sha256, release.sha256);
    assert_eq!(
        repo.status(&now).unwrap().published,
        None,
        "nobody published these bytes"
    );
}

#[test]
fn a_wrong_sidecar_is_not_believed_and_is_made_right_by_the_next_publish() {
    let folder = tempfile::tempdir().unwrap();
    let repo = ReleaseStore::create_folder(folder.path()).unwrap();
    publish(&repo, &Wheel::new("chair", "1.0"));
    let release = repo
        .release(&package("chair"), &version("1.0"), &Context::default())
        .unwrap();
    let sidecar = folder
        .path()
        .join("packages/chair/chair-1.0-py3-none-any.whl.metadata");
    let good = fs::read(&sidecar).unwrap();
    fs::write(
        &sidecar,
        b"Metadata-Version: 2.1\nName: chair\nVersion: 1.0\nRequires-Dist: evil\n",
    )
    .unwrap();
    assert!(repo.metadata(&release).unwrap().requires_dist.is_empty());
    publish(&repo, &Wheel::new("chair", "1.1"));
    assert_eq!(fs::read(&sidecar).unwrap(), good);
}

#[test]
fn search_matches_name_type_tag_and_keyword() {
    let folder = tempfile::tempdir().unwrap();
    let repo = ReleaseStore::create_folder(folder.path()).unwrap();
    let mut hero = Wheel::new("main_pack", "1.0");
    hero.headers = "Summary: props of the first act\nKeywords: tgzr.pipeline.asset_name:Main-Pack,\
                    tgzr.pipeline.asset_tag:hero,tgzr.pipeline.asset_type:Casting\n";
    hero.entry_points = "[tgzr.pipeline.asset_info_trick]\nasset_name = Main-Pack\nasset_type = Casting\n";
    publish(&repo, &hero);
    publish(&repo, &Wheel::new("table", "1.0"));
    publish(&repo, &Wheel::new("table", "2.0a1"));
    let find = |query: Query| -> Vec<String> {
        let found = repo.search(&query, &Context::default()).unwrap();
        found
            .iter()
            .map(|f| format!("{} {}", f.package, f.latest.version))
            .collect()
    };
    assert_eq!(find(Query::default()), ["main-pack 1.0", "table 1.0"]);
    let by_text = |text: &str| find(Query::parse(text).unwrap());
    for text in [
        "\"Main P\"",
        "name:\"Main P\"",
        "name:main*",
        "type:casting",
        "tag:Hero",
        "tag:villain,hero",
        "\"first act\"",
        "summary:act",
        "casting hero",
        "-table",
        "-name:table",
        "by:ana age:<1h file:main_pack pack",
    ] {
        assert_eq!(by_text(text), ["main-pack 1.0"], "{text}");
    }
    for text in [
        "tag:hero name:table",
        "type:cast",
        "yanked",
        "by:an",
        "age:>1h",
        "file:*.abc",
        "needs:table",
    ] {
        assert_eq!(by_text(text), Vec::<String>::new(), "{text}");
    }
    assert_eq!(
        find(Query::default().of_type("casting").with_tag("hero")),
        ["main-pack 1.0"]
    );
}

#[test]
fn a_yank_is_seen_by_readers_and_on_the_pages() {
    let folder = tempfile::tempdir().unwrap();
    let repo = ReleaseStore::create_folder(folder.path()).unwrap();
    publish(&repo, &Wheel::new("chair", "1.0"));
    publish(&repo, &Wheel::new("chair", "1.1"));
    let fact = r#"{"format":1,"kind":"yanked","package":"chair","version":"1.1","author":"ben",
        "reason":"legs too <short>","machine":"m","tool":"t","at":1,"time":"-"}"#;
    fs::write(
        folder
            .path()
            .join("status/chair/1.1/01jzzzzzzzzzzzzzzzzzzzzzzz.json"),
        fact,
    )
    .unwrap();
    let release = repo
        .release(&package("chair"), &version("1.1"), &Context::default())
        .unwrap();
    let status = repo.status(&release).unwrap();
    assert_eq!(status.yanked.unwrap().reason, "legs too <short>");
    assert_eq!(status.published.unwrap().author, "ana");
    repo.reindex(false, &Context::default()).unwrap();
    let page = fs::read_to_string(folder.path().join("simple/chair/index.html")).unwrap();
    assert!(page.contains("data-yanked=\"legs too &lt;short&gt;\""), "{page}");
    let found = repo.search(&Query::default(), &Context::default()).unwrap();
    assert_eq!(found[0].latest.version, version("1.0"));
}

/// Texts as format 1 writes them: they must read for ever.
#[test]
fn a_record_and_a_fact_of_format_1_are_read_and_believed() {
    let folder = tempfile::tempdir().unwrap();
    let path = Wheel::new("chair", "1.0").write(&folder.path().join("packages/chair"));
    let size = fs::metadata(&path).unwrap().len();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_709_210_096_123);
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(time)
        .unwrap();
    let (wheel, metadata) = ("12".repeat(32), "34".repeat(32));
    let record = format!(
        r#"{{
  "format": 1,
  "filename": "chair-1.0-py3-none-any.whl",
  "sha256": "{wheel}",
  "size": {size},
  "modified": 1709210096123,
  "metadata_sha256": "{metadata}",
  "requires_python": ">=3.9",
  "published_at": 1709210096000
}}
"#
    );
    let fact = format!(
        r#"{{
  "format": 1,
  "kind": "published",
  "package": "chair",
  "version": "1.0",
  "file": "chair-1.0-py3-none-any.whl",
  "sha256": "{wheel}",
  "modified": 1709210096123,
  "author": "ana",
  "reason": "manual",
  "machine": "ws12",
  "tool": "backlot 0.1.0",
  "at": 1709210096000,
  "time": "2024-02-29T12:34:56Z"
}}
"#
    );
    fs::write(
        folder
            .path()
            .join("packages/chair/chair-1.0-py3-none-any.whl.json"),
        &record,
    )
    .unwrap();
    let facts = folder.path().join("status/chair/1.0");
    fs::create_dir_all(&facts).unwrap();
    fs::write(facts.join("01hqtd7mq0k8zy3w5x9v2t4r6p.json"), &fact).unwrap();
    fs::write(folder.path().join("repo.json"), "{\"backlot-repo\": 1}\n").unwrap();

    let repo = ReleaseStore::open_folder(folder.path()).unwrap();
    let release = repo
        .release(&package("chair"), &version("1.0"), &Context::default())
        .unwrap();
    assert_eq!(release.sha256.unwrap().to_hex(), wheel, "the record is believed");
    assert_eq!(release.requires_python.as_deref(), Some(">=3.9"));
    assert_eq!(release.published_at.unwrap().0, 1_709_210_096_000);
    let published = repo.status(&release).unwrap().published.unwrap();
    assert_eq!(
        (published.author.as_str(), published.machine.as_str()),
        ("ana", "ws12")
    );
    assert_eq!(
        serde_json::to_string_pretty(&published).unwrap() + "\n",
        fact,
        "facts are written so"
    );
}
