//! Events of cascades and of labels: in the feed once, whatever is killed or comes twice; told to hooks, and in the inbox.

use backlot::{
    Context, EventCursor, EventOptions, LabelOptions, NewAsset, PublishOptions, RepoEvent, Workspace,
};
use backlot_backend::ObjectStore;
use backlot_tests::Studio;
use backlot_tests::chain::{at, release};
use backlot_tests::embedding::Desk;
use backlot_tests::rebuilds::{cascade, chain, first, first_that, run, source};
use backlot_tests::stores::Store;
use fs_err as fs;
use serde_json::Value;

/// The events of a topic, or of a pattern, in `review`, as a workspace sees them.
fn events(studio: &Studio, workspace: &str, topic: &str) -> Vec<Value> {
    let arguments = [
        "events", "review", "--since", "0", "-n", "1000", "--topic", topic, "--json",
    ];
    let report = at(studio, workspace, &arguments).ok().json();
    report["events"].as_array().expect("events").clone()
}

fn topics(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| event["topic"].as_str())
        .collect()
}

#[test]
fn a_cascade_tells_that_it_began_how_it_ended_and_that_it_was_reverted() {
    let studio = chain();
    release(&studio, "model", "1.1");
    let id = run(&studio, "model", "model==1.1")["cascade"].clone();
    let told = events(&studio, "anim", "cascade.*");
    assert_eq!(
        topics(&told),
        ["cascade.started", "cascade.finished"],
        "{told:#?}"
    );
    for event in &told {
        assert_eq!(
            (
                &event["cascade"],
                &event["package"],
                &event["version"],
                &event["author"]
            ),
            (&id, &"model".into(), &"1.1".into(), &"ana".into())
        );
    }
    assert_eq!(told[0]["counts"], serde_json::json!({ "build": 2 }));
    assert_eq!(
        (&told[1]["counts"], &told[1]["ending"]),
        (&serde_json::json!({ "released": 2 }), &"done".into())
    );
    // What is asked again, or continued by another, is no other end.
    let name = id.as_str().expect("an id");
    cascade(&studio, "anim", &["resume", name]).ok();
    run(&studio, "model", "model==1.1");
    assert_eq!(events(&studio, "anim", "cascade.*"), told);

    let reason = ["revert", name, "-m", "wrong scale"];
    cascade(&studio, "rig", &[&reason[..], &["--dry-run"]].concat()).ok();
    cascade(&studio, "rig", &reason).ok();
    cascade(&studio, "anim", &reason).ok();
    let reverted = events(&studio, "anim", "cascade.reverted");
    assert_eq!(reverted.len(), 1, "{reverted:#?}");
    assert_eq!(
        (&reverted[0]["counts"], &reverted[0]["reason"]),
        (&serde_json::json!({ "yanked": 3 }), &"wrong scale".into())
    );
    let text = at(&studio, "anim", &["events", "review"]).ok().stdout();
    let line = |what: &str| format!("{what}  cascade {name} of model 1.1: ");
    for expected in [
        line("started ") + "2 build",
        line("finished") + "2 released",
        line("reverted") + "3 yanked",
    ] {
        assert!(text.contains(&expected), "{expected}: {text}");
    }

    // A feed that was lost is made again from the records, with the same events.
    let before = events(&studio, "anim", "cascade.*");
    fs::remove_dir_all(studio.path("repos/review/events")).expect("removed");
    at(&studio, "anim", &["repo", "reindex", "review"]).ok();
    let without_cursor = |events: &[Value]| -> Vec<Value> {
        let mut events = events.to_vec();
        for event in &mut events {
            event.as_object_mut().expect("an object").remove("cursor");
        }
        events.sort_by_key(|event| event["id"].to_string());
        events
    };
    assert_eq!(
        without_cursor(&events(&studio, "anim", "cascade.*")),
        without_cursor(&before)
    );
}

#[test]
fn a_runner_that_was_killed_before_it_told_its_end_is_spoken_for() {
    let studio = chain();
    release(&studio, "model", "1.1");
    let id = run(&studio, "model", "model==1.1")["cascade"].clone();
    let id = id.as_str().expect("an id");
    let told = events(&studio, "anim", "cascade.*");
    // As it is when the last asset is released, and nothing was told or closed since.
    let forget = || {
        let records = studio.path("repos/review/cascades");
        fs::remove_dir_all(records.join("events")).expect("removed");
        fs::remove_dir_all(studio.path("repos/review/events")).expect("removed");
        fs::write(records.join("open/00000001.json"), format!("{id:?}")).expect("written");
    };
    forget();
    at(&studio, "anim", &["repo", "reindex", "review", "--dry-run"]).ok();
    assert_eq!(events(&studio, "anim", "cascade.*").len(), 0);
    at(&studio, "anim", &["repo", "reindex", "review"]).ok();
    let again = events(&studio, "rig", "cascade.*");
    assert_eq!(topics(&again), ["cascade.started", "cascade.finished"]);
    for (one, other) in told.iter().zip(&again) {
        assert_eq!((&one["id"], &one["counts"]), (&other["id"], &other["counts"]));
    }
    forget();
    cascade(&studio, "rig", &["resume", id]).ok();
    assert_eq!(events(&studio, "rig", "cascade.finished")[0]["id"], told[1]["id"]);
    // The next cascade closes it as well.
    forget();
    release(&studio, "model", "1.2");
    run(&studio, "model", "model==1.2");
    let all = events(&studio, "rig", "cascade.finished");
    assert_eq!(all.len(), 2, "{all:#?}");
    assert_eq!(all[0]["id"], told[1]["id"]);
}

#[test]
fn a_failed_cascade_names_what_failed_tells_a_hook_and_is_in_the_inbox_until_it_ends_well() {
    let studio = Studio::empty();
    source(&studio, "a");
    let stop = studio.path("stop");
    let guard = format!("test ! -e {} && ", stop.display());
    first_that(&studio, "bad", &guard, &["a"], &["a/code.py"]);
    first(&studio, "good", &["a"], &["a/code.py"]);
    let config = "[[hook]]\nname = \"log\"\ntopics = [\"cascade.*\"]\ncommand = [\"sh\", \"-c\", \"cat >> told; echo >> told\"]\n";
    studio.write("home/.config/backlot/config.toml", config.as_bytes());
    at(&studio, "good", &["hooks", "run", "--once"]).ok();
    release(&studio, "a", "1.1");
    fs::write(&stop, "").expect("written");
    let failed = cascade(&studio, "a", &["run", "a==1.1"]);
    assert_eq!(failed.output.status.code(), Some(5), "{}", failed.stderr());
    let id = failed.json()["cascade"].clone();
    let ended = events(&studio, "bad", "cascade.finished");
    assert_eq!(
        (&ended[0]["ending"], &ended[0]["failed"], &ended[0]["counts"]),
        (
            &"failed".into(),
            &serde_json::json!(["bad"]),
            &serde_json::json!({ "failed": 1, "released": 1 })
        )
    );
    at(&studio, "good", &["hooks", "run", "--once"]).ok();
    let lines = fs::read_to_string(studio.path("good/told")).expect("told");
    let lines: Vec<Value> = lines
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).expect("json"))
        .collect();
    assert_eq!(topics(&lines), ["cascade.started", "cascade.finished"]);
    assert_eq!(lines[1]["id"], ended[0]["id"]);

    // Who has the asset among its outputs is told, and nobody else.
    let inbox = |workspace: &str| -> Vec<String> {
        let report = at(&studio, workspace, &["inbox", "--json"]).ok().json();
        let notices = report["notices"].as_array().expect("notices").iter();
        let failed = notices.filter(|notice| notice["what"] == "cascade-failed");
        failed
            .map(|notice| format!("{} {}", notice["asset"], notice["cascade"]))
            .collect()
    };
    assert_eq!(inbox("bad"), [format!("\"bad\" {id}")]);
    assert_eq!(inbox("good"), [""; 0]);
    let text = at(&studio, "bad", &["inbox"]).ok().stdout();
    assert!(
        text.contains("was not built in cascade") && text.contains("of a 1.1"),
        "{text}"
    );
    // Tried again in vain: another end. Then it ends well.
    let name = id.as_str().expect("an id");
    assert_eq!(
        cascade(&studio, "a", &["resume", name]).output.status.code(),
        Some(5)
    );
    assert_eq!(events(&studio, "bad", "cascade.finished").len(), 2);
    assert_eq!(inbox("bad").len(), 1, "one notice a cascade");
    fs::remove_file(&stop).expect("removed");
    cascade(&studio, "a", &["resume", name]).ok();
    let ended = events(&studio, "bad", "cascade.finished");
    let endings: Vec<&Value> = ended.iter().map(|event| &event["ending"]).collect();
    assert_eq!(endings, ["failed", "failed", "done"]);
    assert_eq!(inbox("bad"), [""; 0]);
}

#[test]
fn a_cascade_that_is_cancelled_while_nobody_runs_it_has_ended() {
    let studio = chain();
    release(&studio, "model", "1.1");
    cascade(&studio, "model", &["run", "model==1.1", "--max", "1"]).fails(5, "cascade::needs_confirmation");
    assert_eq!(
        topics(&events(&studio, "rig", "cascade.*")),
        [""; 0],
        "nothing began"
    );
    // A plan that another process is to build.
    cascade(&studio, "model", &["export", "model==1.1"]).ok();
    let listed = cascade(&studio, "rig", &["list"]).ok().json();
    let id = listed["cascades"][0]["cascade"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert_eq!(topics(&events(&studio, "rig", "cascade.*")), ["cascade.started"]);
    cascade(&studio, "rig", &["cancel", &id, "-m", "not today"]).ok();
    let ended = events(&studio, "rig", "cascade.finished");
    assert_eq!(
        (&ended[0]["ending"], &ended[0]["counts"]),
        (&"cancelled".into(), &serde_json::json!({ "cancelled": 2 })),
        "{ended:#?}"
    );
}

#[test]
fn the_inbox_tells_of_labels_that_are_followed() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    let publish = |bump: &str| {
        studio
            .ws(&["publish", "Table", "--to", "review", "--bump", bump])
            .ok()
    };
    studio.ws(&["publish", "Table", "--to", "review"]).ok();
    studio.ws(&["label", "set", "Table==0.1.0", "hero"]).ok();
    for workspace in ["user", "other"] {
        studio.workspace(workspace);
    }
    at(&studio, "user", &["install", "Table@hero"]).ok();
    at(&studio, "other", &["install", "Table==0.1.0"]).ok();
    let inbox = |workspace: &str| -> Vec<String> {
        let report = at(&studio, workspace, &["inbox", "--all", "--json"]).ok().json();
        let notices = report["notices"].as_array().expect("notices").iter();
        let labels = notices.filter(|notice| {
            notice["what"]
                .as_str()
                .is_some_and(|what| what.starts_with("label"))
        });
        labels
            .map(|notice| format!("{} {}", notice["what"], notice["version"]).replace('"', ""))
            .collect()
    };
    assert_eq!(inbox("user"), [""; 0]);
    publish("minor");
    publish("minor");
    for to in ["Table==0.2.0", "Table==0.3.0"] {
        studio.ws(&["label", "set", to, "hero"]).ok();
        studio.ws(&["label", "set", to, "night"]).ok();
    }
    assert_eq!(inbox("user"), ["label-moved 0.3.0"], "where it is now");
    assert_eq!(inbox("other"), [""; 0]);
    let text = at(&studio, "user", &["inbox"]).ok().stdout();
    assert!(text.contains("@hero is 0.3.0; 0.1.0 is used here"), "{text}");
    let listed = studio
        .ws(&["events", "review", "--topic", "label.*"])
        .ok()
        .stdout();
    let lines: Vec<&str> = listed.lines().collect();
    assert!(
        lines.len() == 5 && lines[1].ends_with("moved  table @hero 0.1.0 -> 0.2.0   ana"),
        "{listed}"
    );
    at(&studio, "user", &["install", "-U"]).ok();
    assert_eq!(inbox("user"), [""; 0]);
    studio.ws(&["label", "remove", "Table", "hero"]).ok();
    assert_eq!(inbox("user"), ["label-removed 0.3.0"]);
    // The one that follows approvals is moved by them.
    studio.ws(&["approve", "Table==0.2.0", "-m", "fine"]).ok();
    at(&studio, "other", &["install", "Table@latest-approved"]).ok();
    studio.ws(&["approve", "Table==0.3.0", "-m", "finer"]).ok();
    assert_eq!(inbox("other"), ["label-moved 0.3.0"]);
    let text = at(&studio, "other", &["inbox"]).ok().stdout();
    assert!(
        text.contains("@latest-approved is 0.3.0; 0.2.0 is used here"),
        "{text}"
    );
}

fn label_events(workspace: &Workspace) -> Vec<RepoEvent> {
    let begin: EventCursor = "0".parse().expect("a cursor");
    let options = EventOptions::new()
        .since(begin)
        .limit(1000)
        .topics(vec!["label.*".to_owned()]);
    let report = workspace.events(&options, &Context::default());
    report.expect("read").events
}

/// Two people move a label at the same time, and one is killed after it moved and before that was told.
fn labels_are_told_once(desk: &Desk, store: &dyn ObjectStore) {
    let (context, options) = (Context::default(), LabelOptions::new());
    let people = [desk.workspace("ana"), desk.workspace("ben")];
    people[0]
        .new_asset("Table", &NewAsset::new(), &context)
        .expect("made");
    people[0]
        .publish("Table", &PublishOptions::new(), &context)
        .expect("published");
    std::thread::scope(|scope| {
        for (workspace, label) in people.iter().zip(["hero", "night"]) {
            scope.spawn(move || {
                let (context, options) = (Context::default(), LabelOptions::new());
                for _ in 0..2 {
                    workspace
                        .set_label("Table==0.1.0", label, &options, &context)
                        .expect("set");
                    workspace
                        .remove_label("Table", label, &options, &context)
                        .expect("removed");
                }
            });
        }
    });
    let events = label_events(&people[1]);
    assert_eq!(events.len(), 8, "{events:#?}");
    assert_eq!(label_events(&people[0]), events, "all see the same order");
    for label in ["hero", "night"] {
        let of = events
            .iter()
            .filter(|event| event.event.label.as_deref() == Some(label));
        let topics: Vec<&str> = of.map(|event| event.event.topic.as_str()).collect();
        assert_eq!(
            topics,
            ["label.moved", "label.removed", "label.moved", "label.removed"]
        );
    }

    people[0]
        .set_label("Table==0.1.0", "hero", &options, &context)
        .expect("set");
    // As it was a moment before.
    let key = "events/00000010.json";
    let record = store.read(key, 1 << 20).expect("read").expect("there");
    store.delete(key).expect("removed");
    let write = |key: &str, bytes: Vec<u8>| store.write(key, bytes, "application/json").expect("written");
    write("events/head.json", b"{\"number\":9}".to_vec());
    let mut announced: Value = serde_json::from_slice(&record).expect("json");
    announced["mark"] = 9.into();
    let pending = "events/pending/01jd0000000000000000000000.json";
    write(pending, serde_json::to_vec(&announced).expect("json"));
    let all = label_events(&people[1]);
    assert_eq!(all.len(), 9, "{all:#?}");
    assert_eq!(all[8].event.version.to_string(), "0.1.0");
    assert!(store.read(pending, 10).expect("read").is_none(), "it is done");
}

#[test]
fn labels_in_a_folder_are_told_once_and_none_is_lost() {
    let desk = Desk::in_folders();
    labels_are_told_once(&desk, &*backlot_backend::folder(desk.repo.as_ref()));
}

#[test]
fn labels_in_a_bucket_are_told_once_and_none_is_lost() {
    let store = Store::s3();
    let desk = Desk::in_store(&store, "labels");
    labels_are_told_once(&desk, &*store.open("labels-repo", 1));
}

#[test]
fn labels_behind_sftp_are_told_once_and_none_is_lost() {
    let (store, _server) = Store::sftp();
    let desk = Desk::in_store(&store, "labels");
    labels_are_told_once(&desk, &*store.open("labels-repo", 1));
}

#[test]
fn a_newer_version_is_in_the_inbox_until_it_is_yanked_and_again_when_that_is_undone() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    let publish = || {
        studio
            .ws(&["publish", "Table", "--to", "review", "--bump", "minor"])
            .ok()
    };
    publish();
    studio.workspace("user");
    studio.run(&["-w", "user", "install", "Table"]).ok();
    let inbox = || -> Vec<String> {
        let report = studio.run(&["-w", "user", "inbox", "--json"]).ok().json();
        let notices = report["notices"].as_array().expect("notices").iter();
        notices
            .map(|notice| format!("{} {}", notice["what"], notice["version"]))
            .collect()
    };
    publish();
    let newer = [r#""new-version" "0.3.0""#];
    assert_eq!(inbox(), newer);
    studio.ws(&["yank", "Table==0.3.0", "-m", "worse"]).ok();
    assert_eq!(inbox(), [""; 0]);
    studio.ws(&["unyank", "Table==0.3.0", "-m", "fine"]).ok();
    assert_eq!(inbox(), newer);
}
