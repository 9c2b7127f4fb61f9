//! Movers: a program of the studio moves the packs of a remote. One based on `cp` works; others return wrong results, crash or hang.

use backlot_tests::stores::Store;
use backlot_tests::{Run, run_command};
use fs_err as fs;

const FRAMES: &str = "ws/outputs/table/src/table/frames";

/// A mover around `cp` into the folder that the server serves; what `CHANGED` is may do something else first.
const MOVER: &str = r"import json, os, shutil, sys
served, log = sys.argv[1], sys.argv[2]
def put(file, target):
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copyfile(file, target + '.part')
    os.replace(target + '.part', target)
def get(target, file):
    shutil.copyfile(target, file)
def say(**answer):
    print(json.dumps(dict(answer, id=ask['id'])), flush=True)
for line in sys.stdin:
    ask = json.loads(line)
    with open(log, 'a') as lines:
        lines.write(ask['do'] + ' ' + ask['key'] + '\n')
    target = served + '/' + ask['key']
    CHANGED
    say(bytes=0)
    if ask['do'] == 'put':
        put(ask['file'], target)
    else:
        get(target, ask['file'])
    say(done=True)
";

/// A remote on `WebDAV` with a mover, which does something else first; and where its objects lie.
fn with_mover(layout: &str, changed: &str) -> Store {
    let store = Store::webdav();
    store.workspace("ws");
    store.add_remote("ws", "files", layout).ok();
    let served = store.studio.path("dav/team/files").display().to_string();
    let changed = format!("    {}\n", changed.replace('\n', "\n    "));
    let script = MOVER.replace("    CHANGED\n", &changed);
    store.studio.write("mover.py", script.as_bytes());
    let python = backlot_tests::tool("python");
    let words = [
        python.display().to_string(),
        store.studio.path("mover.py").display().to_string(),
        served,
        store.studio.path("moved").display().to_string(),
    ];
    let config = format!(
        "[[mover]]\nurl = \"{}\"\ncommand = {words:?}\nmin-bytes = 20000\n",
        store.files("files")
    );
    store
        .studio
        .write("home/.config/backlot/config.toml", config.as_bytes());
    store
}

/// What the mover was asked for.
fn moved(store: &Store) -> Vec<String> {
    let log = fs::read_to_string(store.studio.path("moved")).unwrap_or_default();
    log.lines().map(ToOwned::to_owned).collect()
}

fn without_mover(store: &Store) {
    fs::remove_file(store.studio.path("home/.config/backlot/config.toml")).expect("removed");
}

/// The asset `Table` with frames that are large enough to be moved.
fn table(store: &Store) {
    store.run("ws", &["new", "Table"]).ok();
    store.studio.frames(FRAMES, 3, 60_000, 5);
    store.run("ws", &["add", FRAMES]).ok();
}

/// A command in the workspace `reader`, with a cache of its own.
fn reader(store: &Store, arguments: &[&str]) -> Run {
    let mut command = store.command("reader", arguments);
    run_command(command.env("BACKLOT_CACHE_DIR", store.studio.path("reader-cache")))
}

fn add_reader(store: &Store, layout: &str) {
    let init = ["init", "reader"];
    store.studio.run(&init).ok();
    reader(store, &["repo", "add", "far", &store.url]).ok();
    let site = store.studio.path("site").display().to_string();
    // However full the disk of the tests is.
    store
        .studio
        .write("site/site-cache.json", b"{\"min_free_bytes\": 1}");
    let url = store.files("files");
    let add = ["remote", "add", "files", &url, "--layout", layout, "--via", &site];
    reader(store, &add).ok();
    reader(store, &["install", "Table"]).ok();
}

/// The frames in the inputs of `reader`.
fn read_frames(store: &Store) -> Vec<Vec<u8>> {
    let all = store.studio.snapshot("reader/inputs");
    let frames = all.into_iter().filter(|(path, _)| path.ends_with(".exr"));
    frames.map(|(_, bytes)| bytes).collect()
}

#[test]
fn a_mover_moves_packs_and_frames_and_nothing_else() {
    for (layout, prefix) in [("chunked", "v1/packs/"), ("dvc", "files/md5/")] {
        let store = with_mover(layout, "");
        table(&store);
        store.run("ws", &["publish", "Table"]).ok();
        let put = moved(&store);
        assert!(!put.is_empty());
        assert!(
            put.iter().all(|line| line.starts_with(&format!("put {prefix}"))),
            "{put:?}"
        );
        store.run("ws", &["verify", "--remote", "--releases"]).ok();

        add_reader(&store, layout);
        reader(&store, &["pull"]).ok();
        let got = moved(&store).split_off(put.len());
        assert!(!got.is_empty());
        assert!(
            got.iter().all(|line| line.starts_with(&format!("get {prefix}"))),
            "{got:?}"
        );
        let right: Vec<Vec<u8>> = store.studio.snapshot(FRAMES).into_values().collect();
        assert!(read_frames(&store) == right, "{layout}");
    }
}

#[test]
fn an_object_that_is_too_long_for_memory_and_too_short_for_the_mover_goes_to_the_store() {
    let store = with_mover("dvc", "");
    let config = store.studio.path("home/.config/backlot/config.toml");
    let text = fs::read_to_string(&config).expect("read");
    let text = text.replace("min-bytes = 20000", "min-bytes = 1000000000000");
    fs::write(&config, text).expect("written");
    store.run("ws", &["new", "Table"]).ok();
    store.studio.frames(FRAMES, 1, 40 << 20, 5);
    store.run("ws", &["add", FRAMES]).ok();
    store.run("ws", &["publish", "Table"]).ok();
    assert_eq!(moved(&store), [""; 0]);
    store.run("ws", &["verify", "--remote", "--releases"]).ok();
    add_reader(&store, "dvc");
    reader(&store, &["pull"]).ok();
    let right: Vec<Vec<u8>> = store.studio.snapshot(FRAMES).into_values().collect();
    assert!(read_frames(&store) == right);
}

/// What a mover may do instead of what it should.
const LIES: [(&str, &str); 7] = [
    ("nothing", "say(done=True)\ncontinue"),
    (
        "half of it",
        "os.makedirs(os.path.dirname(target), exist_ok=True)\nopen(target if ask['do'] == 'put' else ask['file'], 'wb').write(b'x' * (ask['size'] - 5))\nsay(done=True)\ncontinue",
    ),
    (
        "other bytes",
        "os.makedirs(os.path.dirname(target), exist_ok=True)\nopen(target if ask['do'] == 'put' else ask['file'], 'wb').write(b'x' * ask['size'])\nsay(done=True)\ncontinue",
    ),
    ("ends", "sys.exit(3)"),
    ("nonsense", "print('hello', flush=True)\ncontinue"),
    (
        "another answer",
        "print('{\"id\": 99, \"done\": true}', flush=True)\ncontinue",
    ),
    ("fails", "say(failed='no \\x1b[31mlicense')\ncontinue"),
];

#[test]
fn a_mover_that_does_not_do_what_it_says_is_found_out_and_nothing_is_left_of_it() {
    for (lie, changed) in LIES {
        for layout in ["chunked", "dvc"] {
            let store = with_mover(layout, changed);
            table(&store);
            let run = store.run("ws", &["publish", "Table", "--json"]);
            assert_ne!(run.output.status.code(), Some(0), "{lie}, {layout}");
            let told = run.stdout();
            assert!(told.contains("mover"), "{lie}, {layout}: {told}");
            assert!(!told.contains("\\u001b") && !told.contains('\u{1b}'), "{told}");
            let left = store.studio.snapshot("dav/team/files");
            let left: Vec<&String> = left
                .keys()
                .filter(|key| key.starts_with("v1/packs/") || key.starts_with("files/md5/"))
                .collect();
            assert!(left.is_empty(), "{lie}, {layout}: {left:?}");
            assert!(
                !store.studio.path("dav/team/repo/packages/table").exists(),
                "{lie}: published"
            );
            // The files are as they were, and go there without it.
            without_mover(&store);
            store.run("ws", &["publish", "Table"]).ok();
            store.run("ws", &["verify", "--remote", "--releases"]).ok();
        }
    }
}

#[test]
fn a_mover_that_brings_other_bytes_is_found_out_by_who_reads() {
    for (lie, body) in [
        ("nothing", "pass"),
        (
            "half of it",
            "open(ask['file'], 'wb').write(b'x' * (ask['size'] - 5))",
        ),
        ("other bytes", "open(ask['file'], 'wb').write(b'x' * ask['size'])"),
    ] {
        let store = with_mover("dvc", "");
        table(&store);
        store.run("ws", &["publish", "Table"]).ok();
        let script = MOVER
            .replace("    CHANGED\n", "")
            .replace("        get(target, ask['file'])", &format!("        {body}"));
        store.studio.write("mover.py", script.as_bytes());
        add_reader(&store, "dvc");
        let run = reader(&store, &["pull", "--json"]);
        assert_ne!(run.output.status.code(), Some(0), "{lie}");
        assert_eq!(read_frames(&store), [] as [Vec<u8>; 0], "{lie}");
        without_mover(&store);
        reader(&store, &["pull"]).ok();
        let right: Vec<Vec<u8>> = store.studio.snapshot(FRAMES).into_values().collect();
        assert!(read_frames(&store) == right, "{lie}");
    }
}

#[test]
fn a_transfer_that_may_be_asked_for_again_is() {
    let store = with_mover("chunked", "");
    let script = MOVER.replace(
        "    CHANGED\n",
        "    if ask['id'] < 3:\n        say(failed='the line is busy', again=True)\n        continue\n",
    );
    store.studio.write("mover.py", script.as_bytes());
    table(&store);
    store.run("ws", &["publish", "Table"]).ok();
    assert_eq!(moved(&store).len(), 3, "{:?}", moved(&store));
}

#[test]
fn a_project_cannot_name_a_mover() {
    let store = with_mover("chunked", "");
    let config = store.studio.path("home/.config/backlot/config.toml");
    let section = fs::read_to_string(&config).expect("the section");
    without_mover(&store);
    let project = store.studio.path("ws/backlot.toml");
    let text = fs::read_to_string(&project).expect("the configuration");
    fs::write(&project, format!("{text}\n{section}")).expect("written");
    table(&store);
    store.run("ws", &["publish", "Table"]).ok();
    assert_eq!(moved(&store), [] as [String; 0]);
}
