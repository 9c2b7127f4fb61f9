//! Events of repos: on every kind of store, told once to each reader whoever writes at once with whatever clock; hooks and webhooks; the inbox.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use backlot::{
    Context, EventCursor, EventOptions, FixedClock, JudgeOptions, NewAsset, PublishOptions, RepoEvent,
    StatusChange, Timestamp, VersionChange, Workspace,
};
use backlot_backend::ObjectStore;
use backlot_tests::embedding::Desk;
use backlot_tests::faults::{Between, Fault};
use backlot_tests::peer::Peer;
use backlot_tests::stores::Store;
use backlot_tests::{Run, Studio, run_command};
use fs_err as fs;
use serde_json::Value;

/// A clock that is so many milliseconds ahead, or behind.
fn clock(skew: i64) -> Context {
    let now = Context::default().now().0.saturating_add_signed(skew);
    Context::default().with_clock(Arc::new(FixedClock(Timestamp(now))))
}

fn all(workspace: &Workspace) -> Vec<RepoEvent> {
    let begin: EventCursor = "0".parse().expect("a cursor");
    let options = EventOptions::new().since(begin).limit(1000);
    workspace
        .events(&options, &Context::default())
        .expect("read")
        .events
}

/// Writers with clocks an hour late, right and an hour ahead publish and yank at the same time, and one follows them.
fn are_told_once(desk: &Desk) {
    const EACH: usize = 3;
    let skews = [-3_600_000, 0, 3_600_000];
    let writers: Vec<(Workspace, Context)> = (0..)
        .zip(skews)
        .map(|(n, skew)| (desk.workspace(&format!("writer{n}")), clock(skew)))
        .collect();
    let reader = desk.workspace("reader");
    let followed = std::thread::scope(|scope| {
        let follower = scope.spawn(|| {
            let begin: EventCursor = "0".parse().expect("a cursor");
            let options = EventOptions::new().since(begin).every(Duration::from_millis(100));
            let mut seen = Vec::new();
            let mut tell = |event: &RepoEvent| {
                seen.push(event.clone());
                seen.len() < EACH * skews.len()
            };
            reader
                .follow_events(&options, &mut tell, &Context::default())
                .expect("followed");
            seen
        });
        for (n, (workspace, context)) in writers.iter().enumerate() {
            scope.spawn(move || {
                let name = format!("Table{n}");
                workspace
                    .new_asset(&name, &NewAsset::new(), context)
                    .expect("made");
                workspace
                    .publish(&name, &PublishOptions::new(), context)
                    .expect("published");
                let next =
                    PublishOptions::new().bump(Some("micro".parse::<VersionChange>().expect("a step")));
                workspace.publish(&name, &next, context).expect("published");
                let yanked = format!("{name}==0.1.0");
                workspace
                    .set_status(
                        &yanked,
                        StatusChange::Yank,
                        "wrong scale",
                        &JudgeOptions::new(),
                        context,
                    )
                    .expect("yanked");
            });
        }
        follower.join().expect("no panic")
    });
    let ids: BTreeSet<&str> = followed.iter().map(|event| event.event.id.as_str()).collect();
    assert_eq!(ids.len(), EACH * skews.len(), "{followed:#?}");
    assert_eq!(all(&reader), followed, "another reader sees the same order");
    for n in 0..skews.len() {
        let name = format!("table{n}");
        let of = followed
            .iter()
            .filter(|event| event.event.package.as_str() == name);
        let told: Vec<String> = of
            .map(|event| format!("{} {}", event.event.topic, event.event.version))
            .collect();
        let order = [
            "release.created 0.1.0",
            "release.created 0.1.1",
            "release.yanked 0.1.0",
        ];
        assert_eq!(told, order, "what one writer did is in its order");
    }
}

/// A writer that was killed after its release was there, and before it told so.
fn are_not_lost(desk: &Desk, store: &dyn ObjectStore) {
    let workspace = desk.workspace("killed");
    let before = all(&workspace);
    let context = Context::default();
    workspace
        .new_asset("Lamp", &NewAsset::new(), &context)
        .expect("made");
    workspace
        .publish("Lamp", &PublishOptions::new(), &context)
        .expect("published");
    let last = before.len() + 1;
    let key = format!("events/{last:08}.json");
    let record = store.read(&key, 1 << 20).expect("read").expect("there");
    // As it was a moment before.
    store.delete(&key).expect("removed");
    let head = format!("{{\"number\":{}}}", before.len());
    store
        .write("events/head.json", head.into_bytes(), "application/json")
        .expect("written");
    let mut announced: Value = serde_json::from_slice(&record).expect("json");
    announced["mark"] = before.len().into();
    let bytes = serde_json::to_vec(&announced).expect("json");
    let pending = "events/pending/01jd0000000000000000000000.json";
    store.write(pending, bytes, "application/json").expect("written");
    // Another one comes first.
    let later = desk.workspace("later");
    later.new_asset("Mat", &NewAsset::new(), &context).expect("made");
    later
        .publish("Mat", &PublishOptions::new(), &context)
        .expect("published");
    let after = all(&workspace);
    let names: Vec<&str> = after[before.len()..]
        .iter()
        .map(|event| event.event.package.as_str())
        .collect();
    assert_eq!(names, ["mat", "lamp"]);
    assert!(store.read(pending, 10).expect("read").is_none(), "it is done");
    assert_eq!(all(&workspace), after);
}

#[test]
fn events_in_a_folder_are_told_once_and_none_is_lost() {
    let desk = Desk::in_folders();
    are_told_once(&desk);
    are_not_lost(&desk, &*backlot_backend::folder(desk.repo.as_ref()));
}

#[test]
fn events_in_a_bucket_are_told_once_and_none_is_lost() {
    let store = Store::s3();
    let desk = Desk::in_store(&store, "events");
    are_told_once(&desk);
    are_not_lost(&desk, &*store.open("events-repo", 1));
}

#[test]
fn events_behind_webdav_are_told_once_and_none_is_lost() {
    let store = Store::webdav();
    let desk = Desk::in_store(&store, "events");
    are_told_once(&desk);
    are_not_lost(&desk, &*store.open("events-repo", 1));
}

#[test]
fn events_behind_sftp_are_told_once_and_none_is_lost() {
    let (store, _server) = Store::sftp();
    let desk = Desk::in_store(&store, "events");
    are_told_once(&desk);
    are_not_lost(&desk, &*store.open("events-repo", 1));
}

#[test]
fn reading_on_where_nothing_happened_costs_a_few_requests() {
    let store = Store::s3();
    let line = Between::before(store.port(), |_, _| Fault::None);
    let store = store.asked_at(line.port);
    store.workspace("ws");
    for name in ["Table", "Chair", "Lamp"] {
        store.run("ws", &["new", name]).ok();
        store.run("ws", &["publish", name]).ok();
    }
    let report = store.run("ws", &["events", "--json"]).ok().json();
    assert_eq!(report["events"].as_array().expect("events").len(), 3);
    let cursor = report["cursor"].as_str().expect("a cursor").to_owned();
    assert_eq!(cursor, "far:3");
    line.count();
    let report = store
        .run("ws", &["events", "--since", &cursor, "--json"])
        .ok()
        .json();
    assert_eq!(report["events"].as_array().expect("events").len(), 0);
    let asked = line.seen.lock().expect("no panic").clone();
    assert!(asked.len() <= 5, "{asked:#?}");
    assert!(asked.iter().all(|line| !line.contains("packages")), "{asked:#?}");
}

#[test]
fn events_are_listed_from_a_cursor_by_topic_and_where_there_are_none_it_is_said() {
    let studio = Studio::new();
    let none = studio.ws(&["events"]).ok().stdout();
    assert_eq!(none.trim(), "no events");
    studio.ws(&["new", "Table"]).ok();
    studio.ws(&["publish", "Table", "--to", "review"]).ok();
    studio.ws(&["yank", "Table==0.1.0", "-m", "wrong scale"]).ok();
    studio
        .ws(&["publish", "Table", "--to", "review", "--bump", "minor"])
        .ok();
    studio
        .ws(&["copy", "Table==0.2.0", "--from", "review", "--to", "blessed"])
        .ok();
    let listed = studio.ws(&["events", "review"]).ok().stdout();
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 3, "{listed}");
    assert!(
        lines[1].ends_with("review  yanked   table 0.1.0  ana: wrong scale"),
        "{listed}"
    );

    let report = |arguments: &[&str]| {
        studio
            .ws(&[&["events", "--json"], arguments].concat())
            .ok()
            .json()
    };
    let told = |report: &Value| -> Vec<String> {
        let events = report["events"].as_array().expect("events");
        let told = events.iter().map(|event| {
            let text = |key: &str| event[key].as_str().expect("a text").to_owned();
            format!("{} {} {}", text("repo"), text("topic"), text("version"))
        });
        told.collect()
    };
    let first = report(&["--since", "0", "-n", "2"]);
    assert_eq!(
        told(&first),
        ["blessed release.created 0.2.0", "review release.created 0.1.0"]
    );
    assert_eq!(
        (first["more"].as_bool(), &first["cursor"]),
        (Some(true), &"blessed:1,review:1".into())
    );
    assert_eq!(
        first["events"][0]["cursor"], "blessed:1,review:0",
        "after each event"
    );
    let rest = report(&["--since", "blessed:1,review:1"]);
    assert_eq!(
        told(&rest),
        ["review release.yanked 0.1.0", "review release.created 0.2.0"]
    );
    let yanks = report(&["--since", "0", "--topic", "*.yanked"]);
    assert_eq!(told(&yanks), ["review release.yanked 0.1.0"]);
    assert_eq!(
        told(&report(&["-n", "1"])),
        ["blessed release.created 0.2.0", "review release.created 0.2.0"]
    );
}

#[test]
fn where_no_events_can_be_had_it_is_said() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    studio.ws(&["publish", "Table", "--to", "review"]).ok();
    let refused = |arguments: &[&str]| studio.ws(&[&["events", "--json"], arguments].concat());
    let hint = refused(&["--topic", "release.yankd"]).fails(2, "events::unknown_topic");
    assert!(
        hint["message"]
            .as_str()
            .expect("a text")
            .contains("release.yanked")
    );
    refused(&["review", "--since", "blessed:1"]).fails(2, "events::bad_cursor");
    refused(&["--since", "1"]).fails(2, "events::bad_cursor");
    refused(&["--since", "soon"]).fails(2, "command::usage");
    refused(&["review", "--since", "99"]).fails(4, "repo::no_such_events");
    // Neither a package index nor a plain folder of packages keeps any.
    let file = studio.path("ws/backlot.toml");
    let mut text = fs::read_to_string(&file).expect("read");
    text.push_str(
        "\n[repos.index]\nurl = \"http://127.0.0.1:9/simple/\"\n[repos.plain]\npath = \"../plain\"\n",
    );
    fs::write(&file, text).expect("written");
    let wheel = studio.path("repos/review/packages/table/table-0.1.0-py3-none-any.whl");
    fs::create_dir(studio.path("plain")).expect("made");
    fs::copy(wheel, studio.path("plain/table-0.1.0-py3-none-any.whl")).expect("copied");
    refused(&["index"]).fails(3, "repo::no_events");
    refused(&["plain"]).fails(3, "repo::no_events");
    let report = studio.ws(&["events", "--json"]).ok().json();
    assert_eq!(report["cursor"], "blessed:0,review:1", "of all that keep some");
}

#[test]
fn events_are_followed_as_they_happen() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    let mut follower = studio.start(&["-w", "ws", "events", "-f", "--json", "--every", "0.1"]);
    let out = BufReader::new(follower.stdout.take().expect("a pipe"));
    let (send, lines) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            send.send(line).ok();
        }
    });
    let next = || -> Value {
        let line = lines
            .recv_timeout(Duration::from_mins(1))
            .expect("a line in time");
        serde_json::from_str(&line).expect("json")
    };
    studio.ws(&["publish", "Table", "--to", "review"]).ok();
    assert_eq!(next()["topic"], "release.created");
    studio
        .ws(&["approve", "Table==0.1.0", "-m", "seen in dailies"])
        .ok();
    let event = next();
    assert_eq!(
        (&event["topic"], &event["reason"]),
        (&"release.approved".into(), &"seen in dailies".into())
    );
    follower.kill().expect("killed");
    follower.wait().expect("ended");
    reader.join().expect("no panic");
    let cursor = event["cursor"].as_str().expect("a cursor");
    let rest = studio.ws(&["events", "--since", cursor, "--json"]).ok().json();
    assert_eq!(rest["events"].as_array().expect("events").len(), 0);
}

/// A studio with hooks in the user's configuration.
fn with_hooks(config: &str) -> Studio {
    let studio = Studio::new();
    studio.write("home/.config/backlot/config.toml", config.as_bytes());
    studio.ws(&["new", "Table"]).ok();
    studio
}

fn publish(studio: &Studio) {
    studio
        .ws(&["publish", "Table", "--to", "review", "--bump", "micro"])
        .ok();
}

fn lines(studio: &Studio, file: &str) -> Vec<Value> {
    let text = fs::read_to_string(studio.path(file)).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_str(line).expect("json"))
        .collect()
}

#[test]
fn a_program_is_told_of_each_event_and_a_failing_one_holds_no_other_up() {
    let studio = with_hooks(
        r#"
[[hook]]
name = "log"
topics = ["release.created"]
command = ["sh", "-c", "cat >> told; echo >> told"]

[[hook]]
name = "late"
repos = ["review"]
command = ["sh", "-c", "test -e ready || exit 3; cat >> late; echo \" $BACKLOT_EVENT_ID\" >> ids; echo >> late"]
"#,
    );
    publish(&studio);
    let once = |arguments: &[&str]| studio.ws(&[&["hooks", "run", "--once"], arguments].concat());
    let first = once(&[]).ok().stdout();
    assert!(first.contains("0 events"), "what was before is not told: {first}");
    publish(&studio);
    studio.ws(&["yank", "Table==0.1.1", "-m", "torn"]).ok();
    let waiting = once(&[]);
    assert_eq!(waiting.output.status.code(), Some(6));
    assert!(
        waiting.stderr().contains("late") && waiting.stderr().contains("ended with 3"),
        "{}",
        waiting.stderr()
    );
    let told = lines(&studio, "ws/told");
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(
        (&told[0]["topic"], &told[0]["version"], &told[0]["repo"]),
        (&"release.created".into(), &"0.1.2".into(), &"review".into())
    );
    // Once it works, it gets the same, in order.
    studio.write("ws/ready", b"");
    once(&[]).ok();
    let late = lines(&studio, "ws/late");
    let topics: Vec<&Value> = late.iter().map(|event| &event["topic"]).collect();
    assert_eq!(topics, ["release.created", "release.yanked"]);
    assert_eq!(late[0]["id"], told[0]["id"]);
    let ids = fs::read_to_string(studio.path("ws/ids")).expect("written");
    assert_eq!(
        ids.lines().next().map(str::trim),
        Some(&*format!("review:{}", late[0]["id"].as_str().expect("an id")))
    );
    once(&[]).ok();
    assert_eq!(
        lines(&studio, "ws/told").len() + lines(&studio, "ws/late").len(),
        3,
        "nothing twice"
    );

    // Killed after the hook took it and before that was kept, it is told again, with the same id.
    let folder = fs::read_dir(studio.path("home/.local/share/backlot/events")).expect("kept");
    let folder = folder
        .map(|entry| entry.expect("read").path())
        .next()
        .expect("of this workspace");
    let kept = folder.join("hook-log.json");
    let before = fs::read(&kept).expect("kept");
    publish(&studio);
    once(&["log"]).ok();
    fs::write(&kept, before).expect("written");
    once(&["log"]).ok();
    let told = lines(&studio, "ws/told");
    assert_eq!((told.len(), &told[1]), (3, &told[2]));

    // An event that is never taken is gone past.
    fs::remove_file(studio.path("ws/ready")).expect("removed");
    let skipped = studio.ws(&["hooks", "skip", "late", "--json"]).ok().json();
    assert_eq!(skipped["skipped"]["id"], told[2]["id"]);
    once(&["late"]).ok();
    let listed = studio.ws(&["hooks", "list"]).ok().stdout();
    assert!(
        listed.contains("late  command  all") && listed.contains("review:"),
        "{listed}"
    );
}

#[test]
fn a_hook_is_the_users_own() {
    let studio = Studio::new();
    let file = studio.path("ws/backlot.toml");
    let text = fs::read_to_string(&file).expect("read");
    let hook = "\n[[hook]]\nname = \"mine\"\ncommand = [\"sh\", \"-c\", \"touch ran\"]\n";
    fs::write(&file, text + hook).expect("written");
    let run = studio.ws(&["hooks", "run", "--once", "--json"]);
    assert!(run.stderr().contains("unknown key `hook`"), "{}", run.stderr());
    run.fails(3, "hooks::none");
    // Nor is a program of the workspace started because a name leads there.
    for wrong in [
        "name = \"a\"\ncommand = \"bin/tell now\"",
        "name = \"a\"\nurl = \"ftp://hooks.studio.example\"",
        "name = \"a\"",
        "name = \"a\"\ncommand = \"true\"\nurl = \"https://hooks.studio.example\"",
        "name = \"../a\"\ncommand = \"true\"",
        "name = \"a\"\ncommand = \"true\"\ntopics = [\"release.made\"]",
    ] {
        studio.write(
            "home/.config/backlot/config.toml",
            format!("[[hook]]\n{wrong}\n").as_bytes(),
        );
        studio
            .ws(&["hooks", "list", "--json"])
            .fails(3, "config::invalid");
    }
    studio.write(
        "home/.config/backlot/config.toml",
        b"[[hook]]\nname = \"chat\"\nurl = \"https://hooks.studio.example/x\"\n",
    );
    studio
        .ws(&["hooks", "test", "chat", "--json"])
        .fails(3, "hooks::no_secret");
    studio
        .ws(&["hooks", "test", "chatt", "--json"])
        .fails(4, "hooks::unknown");
    assert!(!studio.path("ws/ran").exists());
}

/// A receiver that checks signatures as Standard Webhooks say, refuses the first message for a moment, and keeps what it got.
const RECEIVER: &str = "import base64, hashlib, hmac, http.server, json, sys, time
key, asked = base64.b64decode('c2VjcmV0IG9mIHRoZSBob29r'), [0]
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        asked[0] += 1
        if asked[0] == 1:
            self.send_response(503)
            self.send_header('Retry-After', '1')
            self.end_headers()
            return
        name, at = self.headers['webhook-id'], self.headers['webhook-timestamp']
        signed = hmac.new(key, f'{name}.{at}.'.encode() + body, hashlib.sha256).digest()
        good = self.headers['webhook-signature'] == 'v1,' + base64.b64encode(signed).decode()
        fresh = abs(time.time() - int(at)) < 60
        with open(sys.argv[2], 'a') as out:
            print(json.dumps({'id': name, 'good': good and fresh, 'event': json.loads(body),
                'type': self.headers['Content-Type']}), file=out)
        self.send_response(204 if good else 401)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Receiver).serve_forever()";

#[test]
fn a_webhook_is_signed_and_tried_again() {
    let studio = Studio::new();
    let got = studio.path("got");
    let server = Peer::python(RECEIVER, &got);
    let config = format!(
        "[[hook]]\nname = \"chat-room\"\nurl = \"{}/backlot\"\nsecret-command = [\"echo\", \"whsec_c2VjcmV0IG9mIHRoZSBob29r\"]\n",
        server.url()
    );
    studio.write("home/.config/backlot/config.toml", config.as_bytes());
    studio.ws(&["new", "Table"]).ok();
    let test = studio.ws(&["hooks", "test", "chat-room", "--json"]).ok().json();
    let messages = lines(&studio, "got");
    assert_eq!(messages.len(), 1, "{messages:#?}");
    assert_eq!(
        (&messages[0]["good"], &messages[0]["id"]),
        (&true.into(), &test["delivery"])
    );
    assert_eq!(messages[0]["event"]["topic"], "hook.test");
    assert_eq!(messages[0]["type"], "application/json");

    studio.ws(&["hooks", "run", "--once"]).ok();
    publish(&studio);
    let report = studio.ws(&["hooks", "run", "--once"]).ok().stdout();
    assert!(report.contains("chat-room  1 event"), "{report}");
    let messages = lines(&studio, "got");
    assert_eq!((messages.len(), &messages[1]["good"]), (2, &true.into()));
    let event = &messages[1]["event"];
    assert_eq!(
        messages[1]["id"],
        format!("review:{}", event["id"].as_str().expect("an id"))
    );
    assert_eq!(
        (&event["topic"], &event["package"]),
        (&"release.created".into(), &"table".into())
    );
    // A secret in the environment goes before the command.
    let mut wrong = studio.command(&["-w", "ws", "hooks", "test", "chat-room", "--json"]);
    wrong.env("BACKLOT_HOOK_CHAT_ROOM_SECRET", "another one");
    let error = run_command(&mut wrong).fails(6, "hooks::not_taken");
    let text = error.to_string();
    assert!(text.contains("401") && !text.contains("another one"), "{text}");
}

#[test]
fn a_process_tells_hooks_until_it_is_stopped_and_there_is_one_of_them() {
    let studio =
        with_hooks("[[hook]]\nname = \"log\"\ncommand = [\"sh\", \"-c\", \"cat >> told; echo >> told\"]\n");
    let mut running = studio.start(&["-w", "ws", "hooks", "run", "--json", "--every", "0.1"]);
    let out = BufReader::new(running.stdout.take().expect("a pipe"));
    // It has its lock, and has seen where the feeds end, when it is in the way of another.
    let is_there = || {
        studio
            .ws(&["hooks", "run", "--once", "--json"])
            .output
            .status
            .code()
            == Some(5)
    };
    for _ in 0..100 {
        if is_there() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    publish(&studio);
    let line = out.lines().next().expect("a line").expect("text");
    let delivery: Value = serde_json::from_str(&line).expect("json");
    assert_eq!(
        (&delivery["hook"], &delivery["version"]),
        (&"log".into(), &"0.1.1".into())
    );
    running.kill().expect("killed");
    running.wait().expect("ended");
    publish(&studio);
    studio.ws(&["hooks", "run", "--once"]).ok();
    let told: BTreeSet<String> = lines(&studio, "ws/told")
        .iter()
        .map(|event| event["version"].to_string())
        .collect();
    assert_eq!(
        told,
        BTreeSet::from(["\"0.1.1\"".to_owned(), "\"0.1.2\"".to_owned()])
    );
}

#[test]
fn the_inbox_has_what_happened_to_the_inputs() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    studio.ws(&["new", "Other"]).ok();
    for name in ["Table", "Other"] {
        studio.ws(&["publish", name, "--to", "review"]).ok();
    }
    studio.workspace("user");
    let user = |arguments: &[&str]| -> Run { studio.run(&[&["-w", "user"], arguments].concat()) };
    user(&["install", "Table"]).ok();
    let inbox = |arguments: &[&str]| -> Vec<String> {
        let report = user(&[&["inbox", "--json"], arguments].concat()).ok().json();
        let notices = report["notices"].as_array().expect("notices");
        let told = notices.iter().map(|notice| {
            let text = |key: &str| notice[key].as_str().expect("a text").to_owned();
            let mark = if notice["unread"] == true { "*" } else { "" };
            format!("{mark}{} {} {}", text("package"), text("what"), text("version"))
        });
        told.collect()
    };
    assert_eq!(inbox(&[]), [""; 0]);
    for name in ["Table", "Other"] {
        studio
            .ws(&["publish", name, "--to", "review", "--bump", "minor"])
            .ok();
    }
    studio.ws(&["deprecate", "Table==0.1.0", "-m", "use 0.2"]).ok();
    studio.ws(&["approve", "Table==0.2.0", "-m", "fine"]).ok();
    let both = ["*table new-version 0.2.0", "*table deprecated 0.1.0"];
    assert_eq!(inbox(&[]), both);
    assert_eq!(inbox(&[]), both, "looking is not reading");
    let text = user(&["inbox", "--mark-read"]).ok().stdout();
    assert!(text.contains("0.2.0 is available; 0.1.0 is in use"), "{text}");
    assert!(
        text.contains("0.1.0 is deprecated") && text.contains("use 0.2"),
        "{text}"
    );
    assert_eq!(inbox(&[]), [""; 0]);
    studio.ws(&["yank", "Table==0.1.0", "-m", "torn"]).ok();
    assert_eq!(inbox(&[]), ["*table yanked 0.1.0"]);
    let all = [
        "table new-version 0.2.0",
        "table deprecated 0.1.0",
        "*table yanked 0.1.0",
    ];
    assert_eq!(inbox(&["--all"]), all);
    let inputs = || user(&["inputs", "--json"]).ok().json()["inputs"][0].clone();
    let row = inputs();
    assert_eq!(
        (&row["action"], &row["version"], &row["releases"]["admitted"]),
        (&"update".into(), &"0.1.0".into(), &"0.2.0".into())
    );
    assert!(
        user(&["inputs"])
            .ok()
            .stdout()
            .contains("yanked: torn; deprecated: use 0.2  update to 0.2.0")
    );
    user(&["install", "Table==0.2.0"]).ok();
    let row = inputs();
    assert_eq!(
        (&row["action"], &row["releases"]["approved"][0]["author"]),
        (&"none".into(), &"ana".into())
    );
    assert!(
        row["pinned"].as_str().is_some_and(|pin| pin.contains("==0.2.0")),
        "{row:#}"
    );
    user(&["install", "Table"]).ok();
    assert_eq!(inputs()["pinned"], Value::Null, "followed again");
    assert_eq!(
        inbox(&["--all"]),
        ["table approved 0.2.0"],
        "of the version in use"
    );
}

#[test]
fn a_reindex_adds_the_events_of_a_repo_that_had_none() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    studio.ws(&["publish", "Table", "--to", "review"]).ok();
    studio.ws(&["yank", "Table==0.1.0", "-m", "torn"]).ok();
    fs::remove_dir_all(studio.path("repos/review/events")).expect("removed");
    assert_eq!(studio.ws(&["events", "review"]).ok().stdout().trim(), "no events");
    let planned = studio
        .ws(&["repo", "reindex", "review", "--dry-run", "--json"])
        .ok()
        .json();
    let report = studio.ws(&["repo", "reindex", "review", "--json"]).ok().json();
    assert_eq!((&planned["events"], &report["events"]), (&2.into(), &2.into()));
    let listed = studio.ws(&["events", "review"]).ok().stdout();
    let lines: Vec<&str> = listed.lines().collect();
    assert!(
        lines[0].contains("created") && lines[1].contains("yanked"),
        "{listed}"
    );
    let mut tree = Command::new("find");
    tree.arg(studio.path("repos/review/events/pending"))
        .args(["-type", "f"]);
    assert_eq!(run_command(&mut tree).stdout(), "");
}
