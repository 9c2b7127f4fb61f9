//! Damaged, malicious, interrupted or incomplete bundles: refused, and nothing left behind.
#![expect(clippy::disallowed_methods, reason = "a test moves folders")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use backlot_tests::bundles::{bundle, frames, other_site, shots, unpack};
use backlot_tests::wheels::{put, sha256};
use backlot_tests::{Random, Studio};
use fs_err as fs;
use serde_json::{Value, json};

/// An archive of these entries: kind, path, bytes.
fn pack(studio: &Studio, name: &str, entries: &[(tar::EntryType, &str, &[u8])]) {
    let mut builder = tar::Builder::new(Vec::new());
    for (kind, path, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        // As it is: the crate would refuse paths that lead outside.
        let field = &mut header.as_old_mut().name;
        field[..path.len()].copy_from_slice(path.as_bytes());
        if matches!(kind, tar::EntryType::Symlink | tar::EntryType::Link) {
            header.set_link_name("/etc/passwd").expect("short");
        }
        header.set_cksum();
        builder.append(&header, *bytes).expect("packed");
    }
    let bytes = builder.into_inner().expect("packed");
    studio.write(name, &zstd::encode_all(&bytes[..], 1).expect("packed"));
}

/// The manifest of files, with a wheel of `lamp` among them.
fn manifest_of(files: &[(&str, &[u8])], wheel: &[u8]) -> Vec<u8> {
    let mut listed: Vec<Value> = files
        .iter()
        .map(|(path, bytes)| json!({ "path": path, "size": bytes.len(), "sha256": sha256(bytes) }))
        .collect();
    listed.sort_by_key(|file| file["path"].as_str().map(ToOwned::to_owned));
    let manifest = json!({
        "format": 1, "requirements": ["lamp"], "python": "3.11", "requires_python": [],
        "packages": [{
            "name": "lamp", "version": "1.0", "wheel": "lamp-1.0-py3-none-any.whl",
            "sha256": sha256(wheel), "size": wheel.len(),
        }],
        "files": listed,
    });
    serde_json::to_vec(&manifest).expect("JSON")
}

#[test]
#[expect(clippy::too_many_lines, reason = "one block a case")]
fn bundles_that_are_damaged_or_made_to_harm_are_refused_and_leave_nothing() {
    use tar::EntryType::{Char, Directory, Fifo, Link, Regular, Symlink};
    let studio = shots();
    bundle(&studio, "good.tar.zst");
    bundle(&studio, "good");
    let site = other_site(&studio, "ben");
    site(&["repo", "add", "site", "far/repo"]).ok();
    site(&["remote", "add", "far", "far/files"]).ok();
    let good = fs::read(studio.path("good.tar.zst")).expect("read");

    // Damaged on the way: cut off anywhere, a bit turned anywhere, something behind it, another thing.
    let mut random = Random(7);
    let mut cases: Vec<(String, Vec<&str>)> = Vec::new();
    for round in 0..12 {
        let at = usize::try_from(random.next() % good.len() as u64).expect("small");
        let name = format!("cut-{round}.tar.zst");
        studio.write(&name, &good[..at]);
        cases.push((name, vec!["bundle::damaged", "bundle::invalid"]));
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (round % 8);
        let name = format!("turned-{round}.tar.zst");
        studio.write(&name, &bytes);
        cases.push((name, vec!["bundle::damaged", "bundle::invalid"]));
    }
    studio.write("longer.tar.zst", &[&good[..], b"more"].concat());
    cases.push(("longer.tar.zst".to_owned(), vec!["bundle::damaged"]));
    studio.write("text.tar.zst", b"a text");
    cases.push(("text.tar.zst".to_owned(), vec!["bundle::damaged"]));
    cases.push(("repos".to_owned(), vec!["bundle::invalid"]));

    // Made to harm.
    put(&studio, "drop", "lamp", "1.0", "");
    let wheel = fs::read(studio.path("drop/lamp-1.0-py3-none-any.whl")).expect("read");
    let lock: &[u8] = b"lock-version = \"1.0\"\ncreated-by = \"test\"\npackages = []\n";
    let path = "wheels/lamp-1.0-py3-none-any.whl";
    let plain = manifest_of(&[("pylock.toml", lock), (path, &wheel)], &wheel);
    let start = [
        (Regular, "bundle.json", &plain[..]),
        (Regular, "pylock.toml", lock),
    ];
    let mut pack_case = |name: &str, entries: &[(tar::EntryType, &str, &[u8])], code: &'static str| {
        let name = format!("{name}.tar.zst");
        pack(&studio, &name, entries);
        cases.push((name, vec![code]));
    };
    let whole = [&start[..], &[(Regular, path, &wheel)]].concat();
    for (name, kind, where_to) in [
        ("outside", Regular, "../outside"),
        ("absolute", Regular, "/tmp/backlot-outside"),
        ("link", Symlink, path),
        ("hard-link", Link, path),
        ("device", Char, path),
        ("pipe", Fifo, path),
        ("a-folder", Directory, "wheels"),
    ] {
        pack_case(
            name,
            &[&start[..], &[(kind, where_to, b"")]].concat(),
            "bundle::invalid",
        );
    }
    pack_case(
        "more",
        &[&whole[..], &[(Regular, "more", b"x")]].concat(),
        "bundle::invalid",
    );
    pack_case(
        "twice",
        &[&whole[..], &[(Regular, path, &wheel)]].concat(),
        "bundle::invalid",
    );
    pack_case("missing", &start, "bundle::damaged");
    pack_case("no-manifest", &start[1..], "bundle::invalid");
    pack_case("empty", &[], "bundle::invalid");
    pack_case(
        "short",
        &[&start[..], &[(Regular, path, &wheel[1..])]].concat(),
        "bundle::damaged",
    );
    let mut other = wheel.clone();
    other[40] ^= 1;
    pack_case(
        "other-bytes",
        &[&start[..], &[(Regular, path, &other)]].concat(),
        "bundle::damaged",
    );
    let huge = String::from_utf8(plain.clone()).expect("UTF-8");
    let huge = huge.replace(&format!("\"size\":{}", lock.len()), "\"size\":900000000000000");
    pack_case(
        "bomb",
        &[(Regular, "bundle.json", huge.as_bytes())],
        "bundle::expands",
    );
    let newer = String::from_utf8(plain.clone())
        .expect("UTF-8")
        .replace("\"format\":1", "\"format\":9");
    pack_case(
        "newer",
        &[(Regular, "bundle.json", newer.as_bytes())],
        "bundle::newer_format",
    );
    // Its manifest fits; its wheel is none.
    let broken = manifest_of(&[("pylock.toml", lock), (path, b"no wheel")], b"no wheel");
    let entries: [(tar::EntryType, &str, &[u8]); 3] = [
        (Regular, "bundle.json", &broken),
        (Regular, "pylock.toml", lock),
        (Regular, path, b"no wheel"),
    ];
    pack_case("no-wheel", &entries, "wheel::unsound");

    // Folders: a file changed, gone, or a link to one with the same bytes.
    let folder_case = |name: &str, change: &dyn Fn(&Path)| {
        unpack(&studio.path("good.tar.zst"), &studio.path(name));
        change(&studio.path(name));
    };
    folder_case("changed", &|folder| {
        let path = folder.join("env.json");
        fs::write(path, "{}").expect("written");
    });
    folder_case("gone", &|folder| {
        fs::remove_file(folder.join("pylock.toml")).expect("removed");
    });
    folder_case("linked", &|folder| {
        fs::rename(folder.join("env.json"), studio.path("env.json")).expect("moved");
        std::os::unix::fs::symlink(studio.path("env.json"), folder.join("env.json")).expect("linked");
    });
    folder_case("linked-folder", &|folder| {
        fs::rename(folder.join("wheels"), studio.path("wheels")).expect("moved");
        std::os::unix::fs::symlink(studio.path("wheels"), folder.join("wheels")).expect("linked");
    });
    for name in ["changed", "gone", "linked", "linked-folder"] {
        cases.push((name.to_owned(), vec!["bundle::damaged"]));
    }

    let state = || {
        let folders = ["ben", "far", "cache-ben"].map(|folder| studio.snapshot(folder));
        folders.map(|mut files| {
            // The cache's own books, of which nothing is read here.
            files.retain(|path, _| !path.ends_with("state.db") && !path.contains("workspaces/"));
            files
        })
    };
    // What only opening a workspace makes is there.
    site(&["unbundle", "good", "--dry-run"]).ok();
    let before = state();
    for (name, codes) in &cases {
        for more in [&["--into-repo", "site"][..], &[]] {
            let run = site(&[&["unbundle", name.as_str(), "--json"], more].concat());
            let report = run.json();
            let code = report["error"]["code"].as_str().unwrap_or_default();
            assert!(codes.contains(&code), "{name}: {report:#}");
            assert!(report["error"]["help"].is_string(), "{name}: {report:#}");
        }
        assert!(state() == before, "{name} left something");
    }
    assert!(!Path::new("/tmp/backlot-outside").exists() && !studio.path("outside").exists());
    // The good ones are good.
    site(&["unbundle", "good.tar.zst", "--into-repo", "site"]).ok();
}

#[test]
fn an_archive_that_unpacks_to_more_than_it_says_is_stopped() {
    let studio = Studio::new();
    // A small archive whose first file claims far more than a manifest can have.
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("begun");
    let mut header = tar::Header::new_gnu();
    header.set_size(8 << 30);
    header.set_path("bundle.json").expect("short");
    header.set_cksum();
    encoder.write_all(header.as_bytes()).expect("packed");
    for _ in 0..64 {
        encoder.write_all(&vec![0; 1 << 20]).expect("packed");
    }
    studio.write("bomb.tar.zst", &encoder.finish().expect("packed"));
    studio
        .ws(&["unbundle", "bomb.tar.zst", "--json"])
        .fails(7, "bundle::invalid");
    // A name that claims to be endless.
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("begun");
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_cksum();
    encoder.write_all(header.as_bytes()).expect("packed");
    encoder.write_all(&vec![b'x'; 1 << 20]).expect("packed");
    studio.write("name.tar.zst", &encoder.finish().expect("packed"));
    studio
        .ws(&["unbundle", "name.tar.zst", "--json"])
        .fails(7, "bundle::invalid");
}

#[test]
fn a_bundle_killed_anywhere_is_not_there_and_a_rerun_makes_it() {
    let studio = shots();
    let start = Instant::now();
    bundle(&studio, "whole.tar.zst");
    let whole = start.elapsed().max(Duration::from_millis(20));
    bundle(&studio, "whole");
    let (archive, folder) = (
        fs::read(studio.path("whole.tar.zst")).expect("read"),
        studio.snapshot("whole"),
    );
    let mut random = Random(31);
    fs::create_dir(studio.path("out")).expect("made");
    for round in 0..20 {
        let output = if round % 2 == 0 {
            "out/shot.tar.zst"
        } else {
            "out/shot"
        };
        let mut child = studio.start(&["-w", "ws", "bundle", "Shot==0.1.0", "-o", output]);
        let share = u32::try_from(random.next() % 1100).expect("small");
        std::thread::sleep(whole * share / 1000);
        child.kill().ok();
        child.wait().expect("it ends");
        for entry in fs::read_dir(studio.path("out")).expect("listed").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            assert!(name.starts_with(".tmp-") || output.ends_with(&name), "{name}");
        }
        if !studio.path(output).exists() {
            bundle(&studio, output);
        }
        if round % 2 == 0 {
            assert!(
                fs::read(studio.path(output)).expect("read") == archive,
                "round {round}"
            );
            fs::remove_file(studio.path(output)).expect("removed");
        } else {
            assert!(studio.snapshot(output) == folder, "round {round}");
            fs::remove_dir_all(studio.path(output)).expect("removed");
        }
    }
}

#[test]
fn an_import_killed_anywhere_shows_no_release_without_its_files_and_a_rerun_completes() {
    let studio = shots();
    bundle(&studio, "shot.tar.zst");
    let whole = {
        let site = other_site(&studio, "probe");
        site(&["repo", "add", "site", "probe-repo"]).ok();
        site(&["remote", "add", "far", "probe-files"]).ok();
        let start = Instant::now();
        site(&["unbundle", "shot.tar.zst", "--into-repo", "site"]).ok();
        start.elapsed()
    };
    let mut random = Random(41);
    for round in 0..8 {
        let name = format!("site{round}");
        let site = other_site(&studio, &name);
        let (repo, files) = (format!("{name}-repo"), format!("{name}-files"));
        site(&["repo", "add", "site", &repo]).ok();
        site(&["remote", "add", "far", &files]).ok();
        let mut command = studio.command(&["-w", &name, "unbundle", "shot.tar.zst", "--into-repo", "site"]);
        command.env("BACKLOT_CACHE_DIR", studio.path(&format!("cache-{name}")));
        let mut child = command.spawn().expect("started");
        let share = u32::try_from(random.next() % 1000).expect("small");
        std::thread::sleep(whole * share / 1000);
        child.kill().ok();
        child.wait().expect("it ends");
        // Whatever is in the repo can be pulled.
        site(&["verify", "--remote", "--releases"]).ok();
        site(&["unbundle", "shot.tar.zst", "--into-repo", "site"]).ok();
        site(&["install", "Shot"]).ok();
        site(&["pull"]).ok();
        assert_eq!(frames(&studio, &name).len(), 8, "round {round}");
    }
}

#[test]
fn a_release_whose_files_are_nowhere_is_refused_by_its_name() {
    let studio = shots();
    fs::remove_dir_all(studio.path("cache")).expect("removed");
    let packs = studio
        .snapshot("remote")
        .into_keys()
        .filter(|path| path.contains("packs/"));
    for path in packs {
        fs::remove_file(studio.path("remote").join(path)).expect("removed");
    }
    let command = ["bundle", "Shot==0.1.0", "-o", "shot.tar.zst", "--json"];
    let run = studio.ws(&command);
    let report = run.json();
    assert!(!run.output.status.success(), "{report:#}");
    assert!(!studio.path("shot.tar.zst").exists());
    // Of a remote in DVC's layout the object itself is gone.
    let studio = Studio::with_dvc_layout();
    studio.asset("Table", 3, 5000);
    studio.ws(&["publish", "Table"]).ok();
    fs::remove_dir_all(studio.path("cache")).expect("removed");
    let frame = studio
        .snapshot("remote/files/md5")
        .into_iter()
        .find(|(_, bytes)| bytes.len() == 5000);
    let frame = studio.path("remote/files/md5").join(frame.expect("a frame").0);
    fs::remove_file(&frame).expect("removed");
    for more in [&["--dry-run"][..], &[]] {
        let command = [&["bundle", "Table==0.1.0", "-o", "out/table", "--json"], more].concat();
        let error = studio.ws(&command).fails(4, "bundle::files_missing");
        assert!(
            error["message"]
                .as_str()
                .expect("a text")
                .contains("table==0.1.0"),
            "{error}"
        );
        assert_eq!(studio.snapshot("out"), BTreeMap::new());
    }
    // Without a remote at all it is said, too.
    studio.ws(&["remote", "remove", "main"]).ok();
    let error = studio
        .ws(&["bundle", "Table==0.1.0", "-o", "table", "--json"])
        .fails(4, "bundle::files_missing");
    assert!(error["causes"].to_string().contains("remote"), "{error}");
}

#[test]
fn outputs_taken_places_and_other_endings_are_refused() {
    let studio = shots();
    let run = |arguments: &[&str]| studio.ws(&[&["bundle", "--json"], arguments].concat());
    run(&["Shot", "-o", "x"]).fails(5, "bundle::editable");
    run(&["-o", "x"]).fails(5, "bundle::editable");
    run(&["Shot==0.1.0", "-o", "x.zip"]).fails(2, "bundle::unknown_kind");
    run(&["Shot==9.0", "-o", "x"]).fails(5, "resolve::conflict");
    studio.write("taken/file", b"");
    studio.write("taken.tar.zst", b"");
    run(&["Shot==0.1.0", "-o", "taken"]).fails(5, "bundle::exists");
    run(&["Shot==0.1.0", "-o", "taken.tar.zst"]).fails(5, "bundle::exists");
    assert_eq!(fs::read(studio.path("taken.tar.zst")).expect("read"), b"");
    fs::create_dir(studio.path("free")).expect("made");
    run(&["Shot==0.1.0", "-o", "free"]).ok();
    studio.workspace("empty");
    studio
        .run(&["-w", "empty", "bundle", "-o", "x", "--json"])
        .fails(2, "bundle::nothing");
    // The release of an output that another one needs is bundled, and it is said.
    let warned = run(&["Shot==0.1.0", "-o", "y"]).ok().stderr();
    assert!(warned.contains("bundle::output_left_out"), "{warned}");
}

#[test]
fn an_import_takes_nothing_away_and_replaces_nothing() {
    let studio = shots();
    bundle(&studio, "shot");
    put(&studio, "drop", "lamp", "1.0", "");
    let site = other_site(&studio, "ben");
    site(&["repo", "add", "drop", "drop"]).ok();
    site(&["install", "lamp"]).ok();
    let error = site(&["unbundle", "shot", "--json"]).fails(5, "bundle::other_inputs");
    assert!(error["message"].as_str().expect("a text").contains("lamp"));
    site(&["uninstall", "lamp"]).ok();
    // An output of its package.
    site(&["new", "Shot"]).ok();
    site(&["unbundle", "shot", "--json"]).fails(5, "input::editable_in_the_way");
    // Another release of its version.
    put(&studio, "far/flat", "shot", "0.1.0", "");
    site(&["repo", "add", "site", "far/repo"]).ok();
    site(&["repo", "add", "flat", "far/flat"]).ok();
    site(&["copy", "shot==0.1.0", "--from", "flat", "--to", "site"]).ok();
    site(&["remote", "add", "far", "far/files"]).ok();
    let before = studio.snapshot("far");
    site(&["unbundle", "shot", "--into-repo", "site", "--json"]).fails(5, "repo::release_exists");
    assert!(studio.snapshot("far") == before);
    assert!(!studio.path("ben/bundles").exists());
}
