//! Imports from paths, web servers and stores, compared with real DVC; and sources that break off, change, send wrong data or become unreachable.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use backlot_core::file::rename;
use backlot_tests::peer::Peer;
use backlot_tests::stores::Store;
use backlot_tests::{Run, Studio, noise, run_command, snapshot, tool};
use fs_err as fs;
use serde_json::Value;

pub(super) const MODULE: &str = "ws/outputs/table/src/table";

/// A web server over the files of a folder. The file `how` says what it does, by words: `etag`, `weak`, `md5` or `date` (what it tells of a
/// file); `cut` (the first answer breaks off at half of it); `lie` (a part has other bytes and the right headers of another version), `whole` (a
/// part is answered by all of the file, which changed); `wrong` (it announces another MD5). Each request is a line in `log`.
const SOURCE: &str = r#"
import base64, hashlib, http.server, os, sys
root = sys.argv[2]
cut = set()
class Source(http.server.BaseHTTPRequestHandler):
    def answer(self, with_body):
        how = open(root + '/how').read().split()
        with open(root + '/log', 'a') as log:
            fields = [name + '=' + self.headers[name] for name in ('Range', 'If-Range', 'If-None-Match') if self.headers[name]]
            log.write(' '.join([self.command, self.path] + fields) + '\n')
        path = root + '/files' + self.path
        if not os.path.exists(path):
            return self.send_error(404)
        data = open(path, 'rb').read()
        digest = hashlib.md5(data)
        tag = '"' + digest.hexdigest() + '"'
        told = {}
        if 'etag' in how: told['ETag'] = tag
        if 'weak' in how: told['ETag'] = 'W/"same"'
        if 'md5' in how: told['Content-MD5'] = base64.b64encode(digest.digest()).decode()
        if 'wrong' in how: told['Content-MD5'] = base64.b64encode(bytes(16)).decode()
        if 'date' in how: told['Last-Modified'] = self.date_time_string(os.stat(path).st_mtime)
        if 'etag' in how and self.headers['If-None-Match'] == tag:
            return self.head(304, told)
        asked = self.headers['Range']
        if asked and self.headers['If-Range'] == tag:
            start = int(asked[6:].split('-')[0])
            told['Content-Range'] = 'bytes %d-%d/%d' % (start, len(data) - 1, len(data))
            part = data[start:]
            if 'lie' in how:
                told['ETag'] = '"another"'
                part = bytes(len(part))
            told['Content-Length'] = str(len(part))
            self.head(206, told)
            return self.wfile.write(part)
        told['Content-Length'] = str(len(data))
        self.head(200, told)
        if not with_body: return
        if 'cut' in how and self.path not in cut:
            cut.add(self.path)
            self.wfile.write(data[:len(data) // 2])
            self.wfile.flush()
            if 'whole' in how: open(path, 'wb').write(data[::-1])
            return self.connection.close()
        self.wfile.write(data)
    def head(self, status, told):
        self.send_response(status)
        for name, value in told.items(): self.send_header(name, value)
        self.end_headers()
    def do_GET(self): self.answer(True)
    def do_HEAD(self): self.answer(False)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Source).serve_forever()
"#;

/// A studio with the asset `Table`, and a web server.
struct Source {
    studio: Studio,
    server: Peer,
}

impl Source {
    fn new(how: &str) -> Self {
        let studio = Studio::with_dvc_layout();
        studio.ws(&["new", "Table"]).ok();
        studio.write("source/how", how.as_bytes());
        fs::create_dir_all(studio.path("source/files")).expect("made");
        let server = Peer::python(SOURCE, studio.path("source"));
        Self { studio, server }
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        self.studio.write(&format!("source/files/{name}"), bytes);
    }

    fn url(&self, name: &str) -> String {
        format!("{}/{name}", self.server.url())
    }

    fn becomes(&self, how: &str) {
        self.studio.write("source/how", how.as_bytes());
    }

    /// What was asked since the last time.
    fn log(&self) -> Vec<String> {
        let path = self.studio.path("source/log");
        let text = fs::read_to_string(&path).unwrap_or_default();
        fs::remove_file(path).ok();
        text.lines().map(ToOwned::to_owned).collect()
    }

    fn import(&self, name: &str, more: &[&str]) -> Run {
        let url = self.url(name);
        import(&self.studio, &[&[url.as_str()], more].concat())
    }
}

fn import(studio: &Studio, arguments: &[&str]) -> Run {
    studio.ws(&[&["import-url", "--asset", "Table", "--json"], arguments].concat())
}

fn update(studio: &Studio, name: &str, more: &[&str]) -> Run {
    let pointer = format!("{MODULE}/{name}.dvc");
    studio.ws(&[&["update", "--json", pointer.as_str()], more].concat())
}

fn states(studio: &Studio) -> Vec<(String, String)> {
    let told = studio.ws(&["status", "--imports", "--json"]).ok().json();
    let imports = told["imports"].as_array().expect("a list");
    let text = |import: &Value, key: &str| import[key].as_str().unwrap_or_default().to_owned();
    imports
        .iter()
        .map(|import| (text(import, "path"), text(import, "state")))
        .collect()
}

fn outcome(report: &Value) -> &str {
    report["imports"][0]["outcome"].as_str().unwrap_or_default()
}

pub(super) fn outcomes(report: &Value) -> Vec<&str> {
    let all = report["imports"].as_array().expect("a list").iter();
    all.filter_map(|import| import["outcome"].as_str()).collect()
}

pub(super) fn place(studio: &Studio, name: &str) -> PathBuf {
    studio.path(MODULE).join(name)
}

pub(super) fn bytes(studio: &Studio, name: &str) -> Vec<u8> {
    fs::read(place(studio, name)).expect("it is there")
}

/// A pointer without what only we write: our table, which is last of an out, and of the file.
fn dvc_part(studio: &Studio, name: &str) -> String {
    let text = fs::read_to_string(place(studio, &format!("{name}.dvc"))).expect("a pointer");
    let mut kept = String::new();
    let mut ours: Option<usize> = None;
    for line in text.lines() {
        let depth = line.len() - line.trim_start().len();
        if ours.is_some_and(|above| depth <= above) {
            ours = None;
        }
        if line.trim_start() == "meta:" {
            ours = Some(depth);
        }
        if ours.is_none() {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// Real DVC in the folder of the package.
fn dvc(studio: &Studio, arguments: &[&str]) -> Run {
    let mut dvc = Command::new(tool("dvc"));
    dvc.args(arguments)
        .current_dir(studio.path(MODULE))
        .env("HOME", studio.path("home"))
        .env("DVC_NO_ANALYTICS", "1");
    for (name, value) in [
        ("ACCESS_KEY_ID", "a-key-id"),
        ("SECRET_ACCESS_KEY", "secret"),
        ("DEFAULT_REGION", "us-east-1"),
    ] {
        dvc.env(format!("AWS_{name}"), value);
    }
    run_command(&mut dvc).ok()
}

/// What DVC writes for the same import; ours is back in place after that.
fn written_by_dvc(studio: &Studio, name: &str, arguments: &[&str]) -> String {
    let pointer = place(studio, &format!("{name}.dvc"));
    let (ours, content) = (fs::read(&pointer).expect("a pointer"), place(studio, name));
    let aside = studio.path("aside");
    rename(&content, &aside).expect("moved");
    fs::remove_file(&pointer).expect("removed");
    dvc(studio, &[&["import-url", "-q"], arguments].concat());
    let theirs = fs::read_to_string(&pointer).expect("written");
    assert!(
        snapshot(&aside) == snapshot(&content) && aside.is_dir() == content.is_dir(),
        "DVC has other bytes"
    );
    if content.is_dir() {
        fs::remove_dir_all(&content).expect("removed");
    } else {
        fs::remove_file(&content).expect("removed");
    }
    rename(&aside, &content).expect("moved");
    fs::write(&pointer, ours).expect("written");
    theirs
}

#[test]
fn local_files_and_folders_are_imported_as_real_dvc_does() {
    let studio = Studio::with_dvc_layout();
    studio.ws(&["new", "Table"]).ok();
    studio.write("ext/plate.exr", b"plate");
    studio.write("ext/trees/oak.abc", b"oak");
    studio.write("ext/trees/old/elm.abc", b"elm");
    let (plate, trees) = (studio.path("ext/plate.exr"), studio.path("ext/trees"));
    let (plate, trees) = (plate.display().to_string(), trees.display().to_string());
    let planned = import(&studio, &[&plate, "--dry-run"]).ok().json();
    assert_eq!(outcome(&planned), "would_import");
    assert!(!place(&studio, "plate.exr.dvc").exists());
    assert_eq!(outcome(&import(&studio, &[&plate]).ok().json()), "imported");
    import(&studio, &[&trees, "wood/"]).ok();
    for (name, source, given) in [
        ("plate.exr", &plate, vec![plate.as_str()]),
        ("trees", &trees, vec![trees.as_str()]),
    ] {
        if name == "trees" {
            import(&studio, &[source]).ok();
        }
        assert_eq!(
            dvc_part(&studio, name),
            written_by_dvc(&studio, name, &given),
            "{name}"
        );
    }
    assert!(dvc(&studio, &["status"]).stdout().contains("up to date"));
    assert_eq!(
        states(&studio)
            .iter()
            .filter(|(_, state)| state == "up_to_date")
            .count(),
        3
    );
    // What came and went at the source comes and goes here.
    studio.write("ext/trees/new.abc", b"new");
    fs::remove_dir_all(studio.path("ext/trees/old")).expect("removed");
    assert!(states(&studio).contains(&(format!("{}/trees", &MODULE[3..]), "changed".to_owned())));
    let planned = update(&studio, "trees", &["--dry-run"]).ok().json();
    assert_eq!(outcome(&planned), "would_update");
    let done = update(&studio, "trees", &[]).ok().json();
    let changes = &done["imports"][0]["changes"];
    assert_eq!(
        (&changes["new"], &changes["gone"]),
        (&1.into(), &1.into()),
        "{done:#}"
    );
    assert!(snapshot(&place(&studio, "trees")) == snapshot(&studio.path("ext/trees")));
    assert!(!place(&studio, "trees/old").exists());
    assert!(dvc(&studio, &["status"]).stdout().contains("up to date"));
    // DVC updates ours, and we see it.
    studio.write("ext/plate.exr", b"plate 2");
    dvc(&studio, &["update", "-q", "plate.exr.dvc"]);
    assert_eq!(bytes(&studio, "plate.exr"), b"plate 2");
    assert_eq!(
        outcome(&update(&studio, "plate.exr", &[]).ok().json()),
        "unchanged"
    );
}

#[test]
fn imports_that_dvc_made_are_followed() {
    let source = Source::new("etag");
    let studio = &source.studio;
    source.put("a.exr", b"one");
    studio.write("ext/trees/oak.abc", b"oak");
    dvc(studio, &["import-url", "-q", &source.url("a.exr")]);
    dvc(studio, &["import-url", "-q", "../../../../../ext/trees"]);
    dvc(
        studio,
        &["import-url", "-q", "--no-download", &source.url("a.exr"), "b.exr"],
    );
    let ours = states(studio);
    assert_eq!(
        ours.iter().map(|(_, state)| state.as_str()).collect::<Vec<_>>(),
        ["up_to_date"; 3]
    );
    assert_eq!(outcome(&update(studio, "a.exr", &[]).ok().json()), "unchanged");
    source.put("a.exr", b"two");
    studio.write("ext/trees/elm.abc", b"elm");
    for name in ["a.exr", "trees", "b.exr"] {
        assert_eq!(
            outcome(&update(studio, name, &[]).ok().json()),
            "updated",
            "{name}"
        );
    }
    assert_eq!(
        (bytes(studio, "a.exr"), bytes(studio, "b.exr")),
        (b"two".to_vec(), b"two".to_vec())
    );
    assert_eq!(bytes(studio, "trees/elm.abc"), b"elm");
    let status = dvc(studio, &["status"]).stdout();
    assert!(status.contains("up to date"), "{status}");
}

#[test]
fn web_servers_are_asked_by_what_they_tell_and_weak_answers_are_said_to_be_weak() {
    for (how, weak) in [("etag", false), ("md5", false), ("weak", true), ("date", true)] {
        let source = Source::new(how);
        let studio = &source.studio;
        source.put("a.exr", b"one");
        let report = source.import("a.exr", &["--license", "CC-BY-4.0"]).ok().json();
        assert_eq!(
            report["imports"][0]["weak"].is_string(),
            weak,
            "{how}: {report:#}"
        );
        assert_eq!(report["imports"][0]["license"], "CC-BY-4.0");
        let url = source.url("a.exr");
        assert_eq!(
            dvc_part(studio, "a.exr"),
            written_by_dvc(studio, "a.exr", &[&url]),
            "{how}"
        );
        source.log();
        assert_eq!(
            outcome(&update(studio, "a.exr", &[]).ok().json()),
            "unchanged",
            "{how}"
        );
        let asked = source.log();
        assert_eq!(asked.len(), 1, "{how}: {asked:?}");
        assert_eq!(asked[0].contains("If-None-Match"), how == "etag" || how == "weak");
        // Of the same length: a server that gives nothing but a weak tag does not tell.
        source.put("a.exr", b"two");
        let path = studio.path("source/files/a.exr");
        let later = UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let file = fs::File::options().write(true).open(path).expect("opened");
        file.set_modified(later).expect("set");
        let report = update(studio, "a.exr", &[]).ok().json();
        let (expected, content) = if how == "weak" {
            ("unchanged", "one")
        } else {
            ("updated", "two")
        };
        assert_eq!(outcome(&report), expected, "{how}");
        assert_eq!(bytes(studio, "a.exr"), content.as_bytes(), "{how}");
    }
}

#[test]
fn a_source_that_breaks_off_is_gone_on_with_and_none_that_fails_changes_anything() {
    let big = noise(300_000, 7);
    for how in ["etag cut", "etag cut lie", "etag cut whole", "date cut"] {
        let source = Source::new(how);
        source.put("a.exr", &big);
        source.import("a.exr", &[]).ok();
        let expected = fs::read(source.studio.path("source/files/a.exr")).expect("read");
        assert!(bytes(&source.studio, "a.exr") == expected, "{how}");
        let log = source.log();
        assert_eq!(
            log.iter().any(|line| line.contains("Range=")),
            how.contains("etag"),
            "{how}: {log:?}"
        );
        let left = fs::read_dir(source.studio.path("ws/.backlot/imports")).expect("listed");
        let left = left.filter(|entry| {
            entry
                .as_ref()
                .is_ok_and(|entry| entry.path().to_string_lossy().contains(".part"))
        });
        assert_eq!(left.count(), 0, "parts are left");
    }
    let source = Source::new("etag");
    let studio = &source.studio;
    source.put("a.exr", b"one");
    source.import("a.exr", &[]).ok();
    let before = snapshot(&studio.path(MODULE));
    // Bytes that are not those that are announced.
    source.becomes("wrong");
    source.put("a.exr", b"two");
    let code = update(studio, "a.exr", &[]).fails(7, "imports::damaged");
    assert!(
        code["message"]
            .as_str()
            .is_some_and(|text| text.contains("announced"))
    );
    assert!(snapshot(&studio.path(MODULE)) == before);
    // It is gone.
    fs::remove_file(studio.path("source/files/a.exr")).expect("removed");
    update(studio, "a.exr", &[]).fails(4, "imports::gone");
    assert_eq!(states(studio)[0].1, "gone");
    assert!(snapshot(&studio.path(MODULE)) == before);
    // It is away.
    let Source { studio, server } = source;
    drop(server);
    update(&studio, "a.exr", &[]).fails(6, "index::unreachable");
    assert_eq!(states(&studio)[0].1, "unreachable");
    assert!(snapshot(&studio.path(MODULE)) == before);
}

#[test]
fn an_empty_folder_where_files_were_is_a_disk_that_is_not_mounted() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    studio.write("ext/trees/oak.abc", b"oak");
    import(&studio, &["ext/trees"]).ok();
    fs::remove_file(studio.path("ext/trees/oak.abc")).expect("removed");
    update(&studio, "trees", &[]).fails(5, "imports::emptied");
    assert_eq!(states(&studio)[0].1, "gone");
    fs::remove_dir(studio.path("ext/trees")).expect("removed");
    update(&studio, "trees", &[]).fails(4, "imports::gone");
    assert_eq!(bytes(&studio, "trees/oak.abc"), b"oak");
}

#[test]
fn what_was_changed_here_is_refused_and_set_aside_by_force() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    studio.write("ext/a.exr", b"one");
    import(&studio, &["ext/a.exr"]).ok();
    studio
        .ws(&["add", &format!("{MODULE}/a.exr"), "--json"])
        .fails(5, "dvc::imported");
    fs::remove_file(place(&studio, "a.exr")).expect("removed");
    fs::write(place(&studio, "a.exr"), "mine").expect("written");
    studio.write("ext/a.exr", b"two");
    update(&studio, "a.exr", &[]).fails(5, "files::changed_here");
    assert_eq!(bytes(&studio, "a.exr"), b"mine");
    let report = update(&studio, "a.exr", &["--force"]).ok().json();
    assert_eq!(
        report["imports"][0]["set_aside"].as_array().map(Vec::len),
        Some(1),
        "{report:#}"
    );
    assert_eq!(bytes(&studio, "a.exr"), b"two");
    studio.ws(&["pull", "--undo"]).ok();
    assert_eq!(bytes(&studio, "a.exr"), b"mine");
    // A file that is in the way, and another import of the same name.
    fs::write(place(&studio, "b.exr"), "mine").expect("written");
    import(&studio, &["ext/a.exr", "b.exr"]).fails(5, "output::target_exists");
    studio.write("ext/other.exr", b"other");
    import(&studio, &["ext/other.exr", "a.exr"]).fails(5, "imports::exists");
    update(&studio, "b.exr", &[]).fails(4, "file::not_found");
    studio.write("ws/outputs/table/src/table/c.exr", b"c");
    studio.ws(&["add", &format!("{MODULE}/c.exr")]).ok();
    update(&studio, "c.exr", &[]).fails(2, "imports::not_an_import");
}

#[test]
fn content_can_stay_away_or_go_to_a_remote() {
    let source = Source::new("etag");
    let studio = &source.studio;
    source.put("a.exr", b"one");
    source.put("b.exr", &noise(100_000, 3));
    source.import("a.exr", &["--no-download"]).ok();
    assert!(!place(studio, "a.exr").exists());
    let text = fs::read_to_string(place(studio, "a.exr.dvc")).expect("a pointer");
    assert!(text.ends_with("outs:\n- hash: md5\n  path: a.exr\n"), "{text}");
    studio
        .ws(&["publish", "Table", "--json"])
        .fails(4, "publish::no_content");
    assert_eq!(outcome(&update(studio, "a.exr", &[]).ok().json()), "updated");
    assert_eq!(bytes(studio, "a.exr"), b"one");
    source.import("b.exr", &["--to-remote"]).ok();
    assert!(!place(studio, "b.exr").exists());
    assert_eq!(
        studio.snapshot("cache/files/md5").len(),
        1,
        "only the first file is in the cache"
    );
    studio.ws(&["pull"]).ok();
    assert_eq!(bytes(studio, "b.exr"), noise(100_000, 3));
    // The release says where its files are from.
    studio.ws(&["push"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    let told = studio.ws(&["show", "Table", "--json"]).ok().json();
    assert!(told.to_string().contains(&source.url("a.exr")), "{told:#}");
}

#[test]
fn pointers_of_s3_are_those_of_real_dvc() {
    let store = Store::s3();
    let studio = &store.studio;
    store.workspace("ws");
    store.add_remote("ws", "kept", "dvc").ok();
    store.run("ws", &["new", "Table"]).ok();
    let far = store.open("plates", 1);
    for (key, text) in [("shot/a.exr", "one"), ("shot/deep/b.exr", "two")] {
        far.write(key, text.into(), "text/plain").expect("written");
    }
    let endpoint = store.endpoint.clone().expect("a server");
    let configured = [format!("endpointurl={endpoint}"), "region=us-east-1".to_owned()];
    for (name, source) in [
        ("shot", store.files("plates/shot")),
        ("b.exr", store.files("plates/shot/deep/b.exr")),
    ] {
        let given = [
            "import-url",
            "--asset",
            "Table",
            &source,
            "--endpoint",
            &endpoint,
            "--region",
            "us-east-1",
        ];
        store.run("ws", &given).ok();
        let given = [
            source.as_str(),
            "--fs-config",
            &configured[0],
            "--fs-config",
            &configured[1],
        ];
        assert_eq!(
            dvc_part(studio, name),
            written_by_dvc(studio, name, &given),
            "{name}"
        );
    }
    let status = dvc(studio, &["status"]).stdout();
    assert!(status.contains("up to date"), "{status}");
    far.write("shot/a.exr", b"three".to_vec(), "text/plain")
        .expect("written");
    dvc(studio, &["update", "-q", "shot.dvc"]);
    assert_eq!(bytes(studio, "shot/a.exr"), b"three");
    let pointer = format!("{MODULE}/shot.dvc");
    let report = store.run("ws", &["update", &pointer, "--json"]).ok().json();
    assert_eq!(outcome(&report), "unchanged");
}

#[test]
fn paths_of_releases_of_other_repos_are_imported_with_their_licence() {
    let studio = Studio::with_dvc_layout();
    studio.asset("Library", 3, 5_000);
    let library = "ws/outputs/library/src/library";
    let project = studio.path("ws/outputs/library/pyproject.toml");
    let text = fs::read_to_string(&project).expect("read");
    let licensed = text.replacen("[project]\n", "[project]\nlicense = \"CC-BY-4.0\"\n", 1);
    assert_ne!(text, licensed);
    fs::write(&project, licensed).expect("written");
    studio.write(&format!("{library}/notes/read.txt"), b"packaged");
    studio.ws(&["push"]).ok();
    studio.ws(&["publish", "Library", "--to", "blessed"]).ok();
    let frames = snapshot(&studio.path(&format!("{library}/frames")));
    // Another workspace, which does not have the asset.
    studio.workspace("other");
    let run = |arguments: &[&str]| studio.run(&[&["-w", "other"], arguments].concat());
    run(&["new", "Table"]).ok();
    let version = "Library==0.1.0";
    let import =
        |arguments: &[&str]| run(&[&["import", "blessed", "--asset", "Table", "--json"], arguments].concat());
    let planned = import(&[version, "frames", "--dry-run"]).ok().json();
    assert_eq!(outcome(&planned), "would_import");
    let report = import(&["Library<2", "frames"]).ok().json();
    assert_eq!(report["imports"][0]["license"], "CC-BY-4.0", "{report:#}");
    import(&[version, "frames/f.0001.exr", "one.exr"]).ok();
    import(&[version, "notes"]).ok();
    let module = "other/outputs/table/src/table";
    assert!(snapshot(&studio.path(&format!("{module}/frames"))) == frames);
    assert_eq!(
        fs::read(studio.path(&format!("{module}/one.exr"))).expect("read"),
        frames["f.0001.exr"]
    );
    assert_eq!(
        fs::read(studio.path(&format!("{module}/notes/read.txt"))).expect("read"),
        b"packaged"
    );
    import(&[version, "nothing"]).fails(4, "imports::not_in_release");
    import(&["Library==9", "frames", "x"]).fails(4, "imports::no_release");
    run(&["add", &format!("{module}/frames"), "--json"]).fails(5, "dvc::imported");
    // Real DVC takes them for added files.
    let mut status = Command::new(tool("dvc"));
    status
        .arg("status")
        .current_dir(studio.path("other"))
        .env("DVC_NO_ANALYTICS", "1");
    let status = run_command(status.env("HOME", studio.path("home"))).ok().stdout();
    assert!(status.contains("up to date"), "{status}");
    let states = || {
        let told = run(&["status", "--imports", "--json"]).ok().json();
        let all = told["imports"].as_array().expect("a list").iter();
        all.map(|import| import["state"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(states(), ["up_to_date"; 3]);
    // A newer release: what is pinned stays.
    studio.write(&format!("{library}/frames/f.0009.exr"), &noise(5_000, 99));
    studio.ws(&["add", &format!("{library}/frames")]).ok();
    studio.ws(&["push"]).ok();
    studio
        .ws(&["publish", "Library", "--to", "blessed", "--bump", "minor"])
        .ok();
    assert_eq!(states(), ["changed", "up_to_date", "up_to_date"]);
    let pointers = ["frames", "one.exr", "notes"].map(|name| format!("{module}/{name}.dvc"));
    let report = run(&["update", "--json", &pointers[0], &pointers[1], &pointers[2]])
        .ok()
        .json();
    assert_eq!(
        outcomes(&report),
        ["updated", "unchanged", "unchanged"],
        "{report:#}"
    );
    assert!(studio.path(&format!("{module}/frames/f.0009.exr")).exists());
    // The release made of them says which release they are of.
    run(&["push"]).ok();
    run(&["publish", "Table", "--to", "review"]).ok();
    let told = run(&["show", "Table", "--json"]).ok().json().to_string();
    assert!(
        told.contains("Library==0.2.0") && told.contains("CC-BY-4.0"),
        "{told}"
    );
    // A repo that is away.
    rename(&studio.path("repos/blessed"), &studio.path("repos/away")).expect("moved");
    run(&["update", "--json", &pointers[0]]);
    assert!(!states().contains(&"changed".to_owned()));
    assert!(studio.path(&format!("{module}/frames/f.0009.exr")).exists());
}
