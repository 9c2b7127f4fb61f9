//! Failing networks and busy servers: a command continues, or ends with an error that names the store; a rerun continues, and
//! the final state is correct.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use backlot_backend::{Error, StoreOptions};
use backlot_core::Context;
use backlot_net::{Network, NetworkOptions, PlaceName};
use backlot_tests::faults::{Between, FAULTS, Fault, Line};
use backlot_tests::installers::site_packages;
use backlot_tests::stores::Store;
use backlot_tests::{Random, Run, noise, run_command, snapshot};

const FRAMES: &str = "here/outputs/shot/src/shot/frames";
/// How often each is tried.
const ROUNDS: u64 = if option_env!("BACKLOT_HEAVY").is_some() {
    30
} else {
    6
};

/// A workspace with a repo in a folder and the store as its remote.
fn workspace(store: &Store, name: &str, layout: &str) {
    store.studio.run(&["init", name]).ok();
    store.run(name, &["repo", "add", "review", "review"]).ok();
    store.add_remote(name, "files", layout).ok();
}

/// One with an asset with frames.
fn prepare(store: &Store, layout: &str) {
    workspace(store, "here", layout);
    store.run("here", &["new", "Shot"]).ok();
    store.studio.frames(FRAMES, 8, 60_000, 1);
    store.run("here", &["add", FRAMES]).ok();
}

/// Another version of two frames, added.
fn change(store: &Store, round: u64) {
    for number in [round % 8 + 1, (round + 3) % 8 + 1] {
        let path = format!("{FRAMES}/f.{number:04}.exr");
        store
            .studio
            .write(&path, &noise(60_000, 1000 + 10 * round + number));
    }
    store.run("here", &["add", FRAMES]).ok();
}

/// A command that may fail in one way only. Returns whether it worked.
fn works_or_names_the_store(run: &Run, store: &Store) -> bool {
    if run.output.status.success() {
        return true;
    }
    let error: serde_json::Value = serde_json::from_str(&run.stdout()).expect("JSON");
    let error = &error["error"];
    let message = error["message"].as_str().expect("a message");
    let place = store.files("").replace("webdav+", "");
    let named = message.contains(&place) || message.contains(&store.url.replace("/repo", ""));
    assert!(named, "{error:#}");
    assert_eq!(run.output.status.code(), Some(6), "{error:#}");
    let help = error["help"].as_str().expect("a help");
    assert!(help.contains("retry"), "{error:#}");
    false
}

/// The frames as a new machine has them.
fn pulled(store: &Store, round: u64) -> BTreeMap<String, Vec<u8>> {
    let name = format!("there{round}");
    workspace(store, &name, "chunked");
    let run = |arguments: &[&str]| {
        let mut command = store.command(&name, arguments);
        command.env("BACKLOT_CACHE_DIR", store.studio.path(&format!("cache-{round}")));
        run_command(&mut command)
    };
    run(&["install", "Shot"]).ok();
    run(&["pull"]).ok();
    snapshot(&site_packages(&store.studio, &name).join("shot/frames"))
}

fn has_what_was_made(store: &Store, round: u64) {
    let (had, made) = (pulled(store, round), snapshot(&store.studio.path(FRAMES)));
    let names: Vec<&String> = had.keys().collect();
    assert_eq!(names, made.keys().collect::<Vec<_>>(), "round {round}");
    let other: Vec<&&String> = names.iter().filter(|name| had[**name] != made[**name]).collect();
    assert!(other.is_empty(), "round {round}: {other:?}");
}

/// Push versions while `is_bad` is set, publish and pull them while it is not.
fn goes_on(store: &Store, is_bad: &AtomicBool) {
    prepare(store, "chunked");
    for round in 0..ROUNDS {
        change(store, round);
        is_bad.store(true, Ordering::SeqCst);
        let mut tries = 0;
        while !works_or_names_the_store(&store.run("here", &["push", "--json"]), store) {
            tries += 1;
            assert!(tries < 20, "it never ends");
        }
        is_bad.store(false, Ordering::SeqCst);
        let again = store.run("here", &["push", "--json"]).ok().json();
        assert_eq!(again["sent"], 0, "what was said to be sent is there: {again:#}");
        if round > 0 {
            store.run("here", &["bump", "Shot", "patch"]).ok();
        }
        store.run("here", &["publish", "Shot"]).ok();
        has_what_was_made(store, round);
    }
    let verified = store
        .run("here", &["verify", "--remote", "--releases"])
        .ok()
        .stdout();
    assert!(verified.contains("no damage"), "{verified}");
}

/// The same for the same number, and far from that of its neighbours.
fn scattered(number: u64) -> u64 {
    let mut random = Random((number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    random.next();
    random.next()
}

fn now_and_then(
    is_bad: &Arc<AtomicBool>,
    one_in: u64,
) -> impl Fn(&str, u64) -> Fault + Send + Sync + 'static {
    let is_bad = Arc::clone(is_bad);
    move |_, number| {
        let random = scattered(number);
        if !is_bad.load(Ordering::SeqCst) || !random.is_multiple_of(one_in) {
            return Fault::None;
        }
        FAULTS[usize::try_from(random / one_in % FAULTS.len() as u64).expect("small")]
    }
}

fn through_a_bad_network(store: Store) {
    let is_bad = Arc::new(AtomicBool::new(false));
    let between = Between::before(store.port(), now_and_then(&is_bad, 5));
    goes_on(&store.asked_at(between.port), &is_bad);
}

#[test]
fn pushes_to_s3_through_a_bad_network_go_on_where_they_were() {
    through_a_bad_network(Store::s3());
}

#[test]
fn pushes_to_webdav_through_a_bad_network_go_on_where_they_were() {
    through_a_bad_network(Store::webdav());
}

#[test]
fn pushes_over_a_line_to_sftp_that_is_cut_go_on_where_they_were() {
    let (store, server) = Store::sftp();
    let is_bad = Arc::new(AtomicBool::new(false));
    let bad = Arc::clone(&is_bad);
    let line = Line::before(server.port, move |number| {
        let cut = scattered(number) % 600_000;
        bad.load(Ordering::SeqCst).then_some(cut)
    });
    goes_on(&store.asked_at(line.port), &is_bad);
}

/// A push that is killed after some time, again and again, and then let be.
fn goes_on_after_kills(store: &Store) {
    prepare(store, "chunked");
    for round in 0..ROUNDS {
        change(store, round);
        for kill in 0..2 {
            let mut push = store.command("here", &["push"]);
            let mut child = push
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("started");
            std::thread::sleep(Duration::from_millis(scattered(2 * round + kill) % 300));
            child.kill().ok();
            child.wait().expect("ended");
        }
        store.run("here", &["push"]).ok();
        if round > 0 {
            store.run("here", &["bump", "Shot", "patch"]).ok();
        }
        store.run("here", &["publish", "Shot"]).ok();
        has_what_was_made(store, round);
    }
    let verified = store
        .run("here", &["verify", "--remote", "--releases"])
        .ok()
        .stdout();
    assert!(verified.contains("no damage"), "{verified}");
}

#[test]
fn killed_pushes_to_s3_go_on() {
    goes_on_after_kills(&Store::s3());
}

#[test]
fn killed_pushes_to_webdav_go_on() {
    goes_on_after_kills(&Store::webdav());
}

#[test]
fn killed_pushes_to_sftp_go_on() {
    let (store, _server) = Store::sftp();
    goes_on_after_kills(&store);
}

#[test]
fn a_server_that_says_when_to_come_again_is_not_asked_before() {
    let store = Store::s3();
    let between = Between::before(store.port(), |_, number| match number {
        0 => Fault::Answer(503, Some(2)),
        _ => Fault::None,
    });
    let store = store.asked_at(between.port);
    let begun = Instant::now();
    store
        .open("files", 0)
        .write("object", b"bytes".to_vec(), "text/plain")
        .expect("written");
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(between.count(), 2);
}

#[test]
fn a_server_that_answers_a_byte_at_a_time_is_given_up() {
    let store = Store::webdav();
    store
        .open("files", 0)
        .write("object", noise(100_000, 1), "text/plain")
        .expect("written");
    let slow = Between::before(store.front.port, |_, _| Fault::Slow);
    let url = format!("http://127.0.0.1:{}/team/files", slow.port);
    let mut options = NetworkOptions::new(store.studio.path("network"));
    options.read_timeout = Duration::from_secs(1);
    let network = Network::new(options, Context::default()).expect("set up");
    let place = PlaceName::Remote("files".to_owned());
    let reader = backlot_backend::open(&network, &place, &url, &StoreOptions::default()).expect("opened");
    let error = reader.read("object", 1 << 20).expect_err("given up");
    assert!(matches!(error, Error::Store { temporary: true, .. }), "{error}");
}

#[test]
fn a_store_that_is_down_is_named() {
    for make in [Store::s3, Store::webdav] {
        let store = make();
        prepare(&store, "chunked");
        let port = backlot_tests::peer::free_port();
        let settings = store.studio.path("here/backlot.toml");
        let text = fs_err::read_to_string(&settings).expect("read");
        let (old, new) = (format!(":{}", store.port()), format!(":{port}"));
        fs_err::write(&settings, text.replace(&old, &new)).expect("written");
        let store = store.asked_at(port);
        for command in [&["push", "--json"][..], &["verify", "--remote", "--json"]] {
            assert!(
                !works_or_names_the_store(&store.run("here", command), &store),
                "{command:?}"
            );
        }
    }
}

#[test]
fn requests_follow_packs_and_not_files() {
    let store = Store::s3();
    let between = Between::before(store.port(), |_, _| Fault::None);
    let store = store.asked_at(between.port);
    prepare(&store, "chunked");
    store.studio.frames(FRAMES, 300, 16_000, 40);
    store.run("here", &["add", FRAMES]).ok();
    let mut counts = BTreeMap::new();
    between.count();
    let mut asked = |what: &'static str, run: &dyn Fn()| {
        run();
        counts.insert(what, between.count());
    };
    asked("push", &|| drop(store.run("here", &["push"]).ok()));
    asked("push again", &|| drop(store.run("here", &["push"]).ok()));
    asked("publish", &|| drop(store.run("here", &["publish", "Shot"]).ok()));
    asked("status", &|| drop(store.run("here", &["status"]).ok()));
    asked("another machine", &|| drop(pulled(&store, 0)));
    asked("pull again", &|| drop(store.run("here", &["pull"]).ok()));
    let most = BTreeMap::from([
        ("push", 20),
        ("push again", 10),
        ("publish", 16),
        ("status", 1),
        ("another machine", 20),
        ("pull again", 0),
    ]);
    for (what, most) in &most {
        assert!(counts[what] <= *most, "{what}: {counts:?}");
    }
}

/// A command on a machine whose clock is wrong by so much: `+2d`. Time that only passes is right.
fn with_clock(wrong: &str, command: &Command) -> Command {
    let mut wrapped = Command::new("faketime");
    wrapped
        .args(["-f", wrong])
        .arg(command.get_program())
        .args(command.get_args());
    wrapped.env_clear().stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        wrapped.env(name, value.unwrap_or_default());
    }
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    wrapped.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    wrapped
}

/// Machines whose clocks are days late and ahead push, publish and collect; nothing is lost, and others have it.
fn clocks_decide_nothing(store: &Store) {
    prepare(store, "chunked");
    for (round, wrong) in ["-3d", "+3d", "-3d"].into_iter().enumerate() {
        let round = u64::try_from(round).expect("few");
        change(store, round);
        if round > 0 {
            store.run("here", &["bump", "Shot", "patch"]).ok();
        }
        run_command(&mut with_clock(
            wrong,
            &store.command("here", &["publish", "Shot"]),
        ))
        .ok();
        has_what_was_made(store, round);
        // What nobody names yet is another one's push that goes on: it is younger than a collector waits for, by the service's clock.
        change(store, 10 + round);
        store.run("here", &["push"]).ok();
        run_command(&mut with_clock(
            wrong,
            &store.command("here", &["gc", "--remote"]),
        ))
        .ok();
        let again = store.run("here", &["push", "--json"]).ok().json();
        assert_eq!(again["sent"], 0, "{wrong}: {again:#}");
        store.run("here", &["verify", "--remote"]).ok();
    }
}

#[test]
fn clocks_of_machines_decide_nothing_on_s3() {
    clocks_decide_nothing(&Store::s3());
}

#[test]
fn clocks_of_machines_decide_nothing_on_webdav() {
    clocks_decide_nothing(&Store::webdav());
}

#[test]
fn clocks_of_machines_decide_nothing_on_sftp() {
    let (store, _server) = Store::sftp();
    clocks_decide_nothing(&store);
}

#[test]
fn a_service_that_compares_clocks_is_understood() {
    let store = Store::ceph();
    prepare(&store, "chunked");
    let refused = run_command(&mut with_clock(
        "+3d",
        &store.command("here", &["push", "--json"]),
    ));
    let error = refused.fails(6, "store::service");
    assert!(
        error["help"].as_str().is_some_and(|help| help.contains("clock")),
        "{error:#}"
    );
    store.run("here", &["push"]).ok();
}

/// `WebDAV` has a verb of its own for it, which can be seen on the way.
#[test]
fn packs_that_a_server_copies_do_not_pass_this_machine() {
    let store = Store::webdav();
    let between = Between::before(store.port(), |_, _| Fault::None);
    let store = store.asked_at(between.port);
    prepare(&store, "chunked");
    store.studio.frames(FRAMES, 20, 1 << 20, 40);
    store.run("here", &["add", FRAMES, "--push"]).ok();
    store.add_named_remote("here", "second", "second", "chunked").ok();
    let packs = store.open("files", 0).list("v1/packs/", true).expect("listed");
    assert!(packs.len() > 2, "{packs:?}");
    between.count();
    store.run("here", &["remote", "copy", "files", "second"]).ok();
    let seen = between.seen.lock().expect("no panic").clone();
    let asked = |method: &str| {
        let of_packs = |line: &&String| line.starts_with(method) && line.contains("/packs/");
        seen.iter().filter(of_packs).count()
    };
    // One that a busy server did not answer in time is asked for again.
    let is_copy = |line: &&String| line.starts_with("COPY ") && line.contains("/packs/");
    let copied: std::collections::BTreeSet<&String> = seen.iter().filter(is_copy).collect();
    assert_eq!(copied.len(), packs.len(), "{seen:#?}");
    // Their tables, twice; they are not sent.
    assert!(
        asked("GET ") <= 2 * packs.len() && asked("PUT ") == 0,
        "{seen:#?}"
    );
    store.run("here", &["verify", "--remote", "second"]).ok();
}

#[test]
fn frames_that_lie_in_packs_in_turns_are_fetched_in_large_pieces() {
    let store = Store::s3();
    let between = Between::before(store.port(), |_, _| Fault::None);
    let store = store.asked_at(between.port);
    prepare(&store, "chunked");
    // Half of each is noise: 80 MiB, 40 of them stored.
    store.studio.frames(FRAMES, 40, 1 << 20, 40);
    for number in 0..40 {
        let path = store.studio.path(&format!("{FRAMES}/f.{number:04}.exr"));
        let mut bytes = fs_err::read(&path).expect("a frame");
        bytes.resize(2 << 20, number);
        fs_err::write(&path, bytes).expect("written");
    }
    store.run("here", &["add", FRAMES]).ok();
    store.run("here", &["publish", "Shot"]).ok();
    between.count();
    has_what_was_made(&store, 0);
    let asked = between.count();
    // With what finding packs and installing takes: 20.
    assert!(asked <= 20 + 30, "{asked}");
}

#[test]
fn a_lock_with_nothing_to_do_lists_each_package_twice_and_sees_what_was_said_since() {
    let store = Store::webdav();
    let between = Between::before(store.port(), |_, _| Fault::None);
    let store = store.asked_at(between.port);
    store.workspace("here");
    let names = ["Ash", "Elm", "Fir", "Oak"];
    for name in names {
        for version in ["0.1.0", "0.1.1"] {
            if version == "0.1.0" {
                store.run("here", &["new", name]).ok();
            } else {
                store.run("here", &["bump", name, "micro"]).ok();
            }
            store.run("here", &["publish", name]).ok();
        }
    }
    store.workspace("there");
    store.run("there", &[&["install"], &names[..]].concat()).ok();
    let lock = || {
        between.count();
        store.run("there", &["lock"]).ok();
        let asked = between.seen.lock().expect("no panic").clone();
        let listings = asked.iter().filter(|line| line.starts_with("PROPFIND"));
        (listings.count(), asked)
    };
    // At first a fact might have come in the same second; then the times of the folders tell.
    std::thread::sleep(Duration::from_secs(3));
    lock();
    let (listings, asked) = lock();
    assert!(listings <= 2 * names.len(), "{asked:#?}");
    // And which repo it is.
    assert!(asked.len() <= 2 * names.len() + 2, "{asked:#?}");
    store
        .run("here", &["yank", "Elm==0.1.1", "-m", "wrong scale"])
        .ok();
    let outdated = store.run("there", &["outdated", "--json"]).ok().json();
    let rows = outdated["outdated"].as_array().expect("a list");
    assert_eq!(rows.len(), 1, "{outdated:#}");
    assert_eq!(rows[0]["package"], "elm");
    assert_eq!(rows[0]["yanked"]["reason"], "wrong scale");
}
