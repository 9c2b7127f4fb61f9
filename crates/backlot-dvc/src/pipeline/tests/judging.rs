//! Verdicts on stages in a world that is only described, and DVC's run cache.

use std::cell::RefCell;
use std::collections::BTreeMap;

use backlot_core::Diagnostic as _;
use backlot_store::{ObjectId, digest_bytes};

use super::Memory;
use crate::pipeline::{
    Action, Change, Content, Judging, KeyChange, LockEntry, LockedPath, ParameterChange, PathChange,
    PipelineError, Place, Present, Result, Stage, Value, action, entry_of, judge, params, run_cache,
};

/// Paths with their content, which stands for itself; content in the cache; texts of parameter files.
#[derive(Default)]
struct World {
    paths: BTreeMap<String, &'static str>,
    cached: Vec<&'static str>,
    params: BTreeMap<String, &'static str>,
    asked: RefCell<Vec<String>>,
}

fn id(content: &str) -> ObjectId {
    ObjectId::file(digest_bytes(content.as_bytes()).md5)
}

impl Present for World {
    type Error = PipelineError;

    fn content(&self, place: &Place) -> Result<Option<Content>> {
        self.asked.borrow_mut().push(place.to_string());
        Ok(self.paths.get(&place.to_string()).map(|content| Content {
            id: id(content),
            size: content.len() as u64,
            nfiles: None,
            isexec: false,
        }))
    }

    fn is_cached(&self, object: ObjectId) -> Result<bool> {
        Ok(self.cached.iter().any(|content| id(content) == object))
    }

    fn parameters(&self, place: &Place) -> Result<Option<Value>> {
        let name = place.to_string();
        self.params
            .get(&name)
            .map(|text| params::read(&name, text))
            .transpose()
    }
}

fn stage(body: &str) -> Stage {
    let text = format!("stages:\n  s:\n    cmd: run\n{body}");
    let memory = Memory::new(&[("dvc.yaml", &text)]);
    memory.load().expect("loaded").stages.remove(0)
}

const BODY: &str = "    deps: [i, j]\n    params: [k]\n    outs: [o, p]\n";

fn world() -> World {
    let paths = [("i", "1"), ("j", "2"), ("o", "3"), ("p", "4")];
    World {
        paths: paths.map(|(path, content)| (path.to_owned(), content)).into(),
        cached: vec!["3", "4"],
        params: [("params.yaml".to_owned(), "k: 5\n")].into(),
        asked: RefCell::default(),
    }
}

fn all(stage: &Stage, entry: Option<&LockEntry>, world: &World) -> Vec<Change> {
    let judging = Judging {
        all: true,
        ..Judging::default()
    };
    judge(stage, entry, world, judging).expect("judged")
}

fn what_to_do(stage: &Stage, entry: Option<&LockEntry>, world: &World) -> Action {
    let changes = judge(stage, entry, world, Judging::default()).expect("judged");
    action(stage, entry, &changes, world, false).expect("decided")
}

#[test]
fn what_was_just_recorded_is_up_to_date() {
    let (stage, world) = (stage(BODY), world());
    let entry = entry_of(&stage, &world).expect("recorded");
    assert_eq!(all(&stage, Some(&entry), &world), []);
    assert_eq!(what_to_do(&stage, Some(&entry), &world), Action::Skip);
    let forced = action(&stage, Some(&entry), &[], &world, true).expect("decided");
    assert_eq!(forced, Action::Run { ask_run_cache: false });
}

#[test]
fn changes_come_in_dvcs_order_and_the_first_is_enough() {
    let (mut stage, mut world) = (stage(BODY), world());
    let entry = entry_of(&stage, &world).expect("recorded");
    stage.command = Value::list(vec!["run".into()]);
    world.paths.insert("i".to_owned(), "other");
    world.paths.remove("j");
    world.params.insert("params.yaml".to_owned(), "k: '5'\n");
    world.paths.insert("o".to_owned(), "other");
    world.cached = vec!["3"];
    let changes = all(&stage, Some(&entry), &world);
    let text = |path: &str| path.to_owned();
    assert_eq!(
        changes,
        [
            Change::Command,
            Change::Dependency(text("i"), PathChange::Modified),
            Change::Dependency(text("j"), PathChange::Missing),
            Change::Parameters(
                text("params.yaml"),
                ParameterChange::Keys(vec![(text("k"), KeyChange::Modified)])
            ),
            Change::Output(text("o"), PathChange::Modified),
            Change::Output(text("p"), PathChange::NotCached),
        ]
    );
    let shown: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "the command changed",
            "dependency `i` changed",
            "dependency `j` is missing",
            "parameters of `params.yaml`: `k` changed",
            "output `o` changed",
            "output `p` is not in the cache",
        ]
    );
    world.asked.borrow_mut().clear();
    let first = judge(&stage, Some(&entry), &world, Judging::default()).expect("judged");
    assert_eq!(first, [Change::Command]);
    assert!(world.asked.borrow().is_empty(), "nothing else is looked at");
}

#[test]
fn without_an_entry_the_command_is_not_what_changed() {
    let (stage, world) = (stage(BODY), world());
    let first = judge(&stage, None, &world, Judging::default()).expect("judged");
    assert_eq!(first, [Change::Dependency("i".to_owned(), PathChange::Modified)]);
    let only = super::judging::stage("    params: [k]\n    outs: [o]\n");
    let changes = all(&only, None, &world);
    assert_eq!(
        changes[0],
        Change::Parameters("params.yaml".to_owned(), ParameterChange::New)
    );
}

#[test]
fn lost_outputs_are_restored_only_if_all_are_cached_and_inputs_are_equal() {
    let (stage, mut world) = (stage(BODY), world());
    let entry = entry_of(&stage, &world).expect("recorded");
    world.paths.remove("o");
    assert_eq!(what_to_do(&stage, Some(&entry), &world), Action::Restore);
    world.params.insert("params.yaml".to_owned(), "k: 6\n");
    assert_eq!(
        what_to_do(&stage, Some(&entry), &world),
        Action::Run { ask_run_cache: true }
    );
    world.params.insert("params.yaml".to_owned(), "k: 5.0\n");
    assert_eq!(what_to_do(&stage, Some(&entry), &world), Action::Restore);
    world.cached.pop();
    assert_eq!(
        what_to_do(&stage, Some(&entry), &world),
        Action::Run { ask_run_cache: true }
    );
    let mut other = stage.clone();
    other.outs[0].persist = true;
    assert_eq!(
        what_to_do(&other, Some(&entry), &world),
        Action::Run { ask_run_cache: false }
    );
}

#[test]
fn missing_inputs_block_and_say_which() {
    let (stage, mut world) = (stage(BODY), world());
    let entry = entry_of(&stage, &world).expect("recorded");
    world.paths.remove("j");
    world.params.insert("params.yaml".to_owned(), "x: 1\n");
    let missing = vec![
        Change::Dependency("j".to_owned(), PathChange::Missing),
        Change::Parameters(
            "params.yaml".to_owned(),
            ParameterChange::Keys(vec![("k".to_owned(), KeyChange::Missing)]),
        ),
    ];
    assert_eq!(
        what_to_do(&stage, Some(&entry), &world),
        Action::Blocked(missing.clone())
    );
    assert_eq!(what_to_do(&stage, None, &world), Action::Blocked(missing));
    world.paths.insert("j".to_owned(), "2");
    let error = entry_of(&stage, &world).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "`params.yaml` has no parameter `k`, which `s` depends on"
    );
    assert_eq!(error.code(), "pipeline::missing_parameters");
}

#[test]
fn a_frozen_stage_is_recorded_and_never_run() {
    let (mut stage, mut world) = (stage(BODY), world());
    let entry = entry_of(&stage, &world).expect("recorded");
    stage.frozen = true;
    world.paths.insert("i".to_owned(), "other");
    assert_eq!(what_to_do(&stage, Some(&entry), &world), Action::Skip);
    // As in DVC, force takes what is there now for recorded.
    let forced = action(&stage, Some(&entry), &[], &world, true).expect("decided");
    assert_eq!(forced, Action::Record);
    stage.command = "other".into();
    assert_eq!(what_to_do(&stage, Some(&entry), &world), Action::Record);
    world.paths.remove("p");
    let missing = Change::Output("p".to_owned(), PathChange::Missing);
    assert_eq!(
        what_to_do(&stage, Some(&entry), &world),
        Action::Blocked(vec![missing])
    );
}

#[test]
fn missing_files_can_be_allowed_unless_they_are_made_anew_above() {
    let (stage, mut world) = (stage(BODY), world());
    let entry = entry_of(&stage, &world).expect("recorded");
    world.paths.clear();
    world.cached.clear();
    let same = |_: &Place| Some(id("1"));
    let judged = |upstream: &dyn Fn(&Place) -> Option<ObjectId>| {
        let judging = Judging {
            all: true,
            allow_missing: Some(upstream),
        };
        judge(&stage, Some(&entry), &world, judging).expect("judged")
    };
    assert_eq!(judged(&|_| None), []);
    assert_eq!(
        judged(&same),
        [Change::Dependency("j".to_owned(), PathChange::Modified)]
    );
}

#[test]
fn an_empty_file_of_parameters_is_recorded() {
    let (stage, mut world) = (stage("    params: [{w.yaml: }]\n    outs: [o]\n"), world());
    world.params.insert("w.yaml".to_owned(), "");
    let entry = entry_of(&stage, &world).expect("recorded");
    assert!(run_cache::to_text(&entry).contains("params:\n  w.yaml: {}\n"));
    assert_eq!(all(&stage, Some(&entry), &world), []);
}

#[test]
fn whole_files_notice_new_and_removed_keys() {
    let (stage, mut world) = (stage("    params: [{w.yaml: }]\n    outs: [o]\n"), world());
    world.params.insert("w.yaml".to_owned(), "a: 1\nb: 2\n");
    let entry = entry_of(&stage, &world).expect("recorded");
    world.params.insert("w.yaml".to_owned(), "b: true\nc: 3\n");
    let keys = vec![
        ("b".to_owned(), KeyChange::Modified),
        ("c".to_owned(), KeyChange::New),
        ("a".to_owned(), KeyChange::Removed),
    ];
    let changes = all(&stage, Some(&entry), &world);
    assert_eq!(
        changes,
        [Change::Parameters(
            "w.yaml".to_owned(),
            ParameterChange::Keys(keys)
        )]
    );
    assert_eq!(
        what_to_do(&stage, Some(&entry), &world),
        Action::Run { ask_run_cache: true }
    );
    world.params.remove("w.yaml");
    let missing = Change::Parameters("w.yaml".to_owned(), ParameterChange::Missing);
    assert_eq!(
        what_to_do(&stage, Some(&entry), &world),
        Action::Blocked(vec![missing])
    );
}

/// An entry whose key and value were computed with Python's `json` and `hashlib`.
fn known_entry() -> LockEntry {
    let object = |text: &str| text.parse().expect("an id");
    let file = "401b30e3b8b5d629635a5c613cdb7919";
    let folder = "f4463fce9fb43a29114393ccd514b379.dir";
    let values = "lr: 1e-05\nn: 12345678901234567890123\nz: ~\nt: true\nl: [2.0, \"\\L\"]\nm: {b: 1, a: 2}\n";
    let values = params::read("params.yaml", values).expect("read");
    let select = |value: &Value| params::select("params.yaml", value, &[]).expect("selected");
    LockEntry {
        command: Value::list(vec!["a \u{e9}".into(), "b".into()]),
        deps: vec![
            LockedPath::new("in", object(file), 2, None),
            LockedPath::new("d", object(folder), 2, Some(1)),
        ],
        params: vec![
            ("p.py".to_owned(), vec![("k".to_owned(), 1.into())]),
            ("params.yaml".to_owned(), select(&values)),
        ],
        outs: vec![
            LockedPath::new("o", object(file), 2, None),
            LockedPath::new("b", object(file), 2, None),
        ],
    }
}

#[test]
fn keys_and_values_of_the_run_cache_are_those_of_dvc() {
    let entry = known_entry();
    let (key, value) = (
        run_cache::key(&entry).expect("a key"),
        run_cache::value(&entry).expect("a value"),
    );
    assert_eq!(
        key.to_hex(),
        "18610f622bca31df7c4a3cf5cf550404bf078e7a8bd8b9b7470de5c3659e4228"
    );
    assert_eq!(
        value.to_hex(),
        "1a430d965e86d0707c2d0a2cf4520daa5326638c33e7f69a16bd2ca41c008256"
    );
    let path = run_cache::path(&key, &value);
    assert_eq!(path, format!("{}/{key}/{value}", &key.to_hex()[..2]));
    assert!(run_cache::is_sound(&entry));
}

#[test]
fn results_are_written_and_read_and_their_key_holds() {
    let entry = known_entry();
    let text = run_cache::to_text(&entry);
    assert!(
        text.starts_with("cmd:\n- a \u{e9}\n- b\ndeps:\n- path: d\n"),
        "{text}"
    );
    let read = run_cache::parse("runs/x", &text).expect("read");
    assert_eq!(read.to_value(), entry.to_value(), "{text}");
    assert_eq!(run_cache::key(&read), run_cache::key(&entry));
    assert_eq!(run_cache::value(&read), run_cache::value(&entry));
    let error = run_cache::parse("runs/x", "deps: []\n").expect_err("refused");
    assert_eq!(error.to_string(), "`runs/x`, line 1: the entry has no `cmd`");
}

#[test]
fn dates_and_dropped_names_have_no_sound_key() {
    let with = |text: &str| {
        let values = params::read("params.yaml", text).expect("read");
        LockEntry {
            params: vec![(
                "params.yaml".to_owned(),
                params::select("params.yaml", &values, &[]).expect("selected"),
            )],
            ..known_entry()
        }
    };
    assert_eq!(run_cache::key(&with("d: 2024-01-02\n")), None);
    assert!(!run_cache::is_sound(&with("a: [{nfiles: 1}]\n")));
    assert!(!run_cache::is_sound(&with("size: 1\n")));
    assert!(run_cache::is_sound(&with("sizes: 1\n")));
}

#[test]
fn dvc_remembers_only_some_stages() {
    for (body, eligible) in [
        (BODY, true),
        ("    params: [k]\n    outs: [o]\n", true),
        ("    outs: [o]\n", false),
        ("    deps: [i]\n", false),
        ("    deps: [i]\n    outs: [{o: {persist: true}}]\n", false),
        ("    deps: [i]\n    outs: [{o: {cache: false}}]\n", false),
        ("    deps: [i]\n    metrics: [{o: {cache: false}}]\n", true),
        ("    deps: [i]\n    outs: [o]\n    always_changed: true\n", false),
        ("    deps: ['s3://b/i']\n    outs: [o]\n", false),
        ("    deps: [../i]\n    outs: [o]\n", true),
    ] {
        assert_eq!(run_cache::is_eligible(&stage(body)), eligible, "{body}");
    }
}
