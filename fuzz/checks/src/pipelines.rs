//! Pipelines: definitions make nothing outside of the project and have an order, an edit changes what was asked for, locks are read
//! and written the same, and expressions become what they name.

use std::collections::{BTreeMap, BTreeSet};

use backlot_core::RelPath;
use backlot_dvc::pipeline::edit::{StageEdit, edit_stage};
use backlot_dvc::pipeline::{
    ArgumentStyle, Graph, Lock, LockEntry, Pipelines, Place, ProjectFiles, Reach, Result, Selection, Stage,
    Value, params, run_cache,
};

/// Words of `dvc.yaml`.
pub(crate) const DEFINITION_WORDS: &[&str] = &[
    "stages:\n",
    "  a:\n    cmd: x\n",
    "    deps: [",
    "    outs:\n    - ",
    "    params:\n    - ",
    "    foreach: ",
    "    matrix: {",
    "    do:\n      cmd: ",
    "    frozen: true\n",
    "    wdir: ",
    "    vars: [",
    "    cache: false\n",
    "    persist: true\n",
    "    meta: {backlot: {mutex: x}}\n",
    "vars: [{",
    "${item}",
    "${key}",
    "${l}",
    "${m.k}",
    "\\${",
    "..",
    "../",
    "/etc/x",
    "file:///x",
    "&a ",
    "*a",
    "<<: ",
    "|\n      ",
    "\u{2028}",
    "'",
    "\"",
    "# ",
    ": ",
    "~",
    "1e5",
];
/// Words of `dvc.lock`.
pub(crate) const LOCK_WORDS: &[&str] = &[
    "schema: '2.0'\n",
    "stages:\n",
    "  a:\n    cmd: x\n",
    "    deps:\n",
    "    outs:\n",
    "    params:\n      params.yaml:\n        k: ",
    "    - path: ",
    "      hash: md5\n",
    "      md5: d41d8cd98f00b204e9800998ecf8427e",
    ".dir\n",
    "      size: ",
    "      nfiles: ",
    "      isexec: true\n",
    "&id001 ",
    "*id001",
    "<<<<<<< ",
    "1_000",
    "1e-05",
    ".nan",
    "0o10",
    "2024-01-02",
    "yes",
    "\u{2028}",
    "\\L",
    "'",
    "\"",
    "? ",
    "- ",
    "|2-\n",
];
/// Words of a command with expressions and of its parameters.
pub(crate) const TEMPLATE_WORDS: &[&str] = &[
    "${",
    "}",
    "\\${",
    "$$",
    "${a}",
    "${l[0]}",
    "${l[-1]}",
    "${m.k}",
    "${m[k]}",
    "\na: ",
    "\nl: [",
    "\nm: {k: ",
    "&x ",
    "*x",
    "{",
    "[",
    "]",
    "true",
    "~",
    "1e400",
    "'a b'",
    "é",
];

/// A `params.yaml` that definitions can use.
const PARAMETERS: &str = "a: 1\nl: [x, 2, true]\nm: {k: v, n: {o: [1, 'p q']}}\n";
const FILE: &str = "dvc.yaml";

/// Files in memory.
struct Memory(BTreeMap<&'static str, String>);

impl ProjectFiles for Memory {
    fn read(&self, place: &Place) -> Result<Option<String>> {
        Ok(self.0.get(place.to_string().as_str()).cloned())
    }
}

fn load(definitions: &str, parameters: &str) -> Result<Pipelines> {
    let files = [(FILE, definitions), ("params.yaml", parameters)];
    let files = files.map(|(path, text)| (path, text.to_owned()));
    let paths = [RelPath::parse(FILE).expect("a plain name")];
    Pipelines::load(&Memory(files.into()), &paths, ArgumentStyle::default())
}

/// All of stages that an edit of another one leaves as it is.
fn shown(stages: &[Stage]) -> Vec<String> {
    let without_lines = |stage: &Stage| Stage {
        line: 0,
        ..stage.clone()
    };
    let stages = stages.iter().map(without_lines);
    stages
        .map(|stage| {
            format!(
                "{:?} {:?} {:?} {:?}",
                stage.name, stage.command, stage.deps, stage.folder
            )
        })
        .collect()
}

/// A `dvc.yaml`.
pub(crate) fn definitions(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Ok(pipelines) = load(text, PARAMETERS) else {
        return;
    };
    for stage in &pipelines.stages {
        for out in &stage.outs {
            assert!(RelPath::parse(out.place.as_str()).is_ok(), "{}", out.place);
        }
        let mut lock = Lock::default();
        lock.set(&stage.name, LockEntry::new(stage.command.clone()));
        let again = Lock::parse("dvc.lock", &lock.to_text()).expect("what is written can be read");
        let entry = again.get(&stage.name).expect("it is there");
        assert_eq!(entry.command, stage.command);
    }
    if let Some(stage) = pipelines.stages.iter().find(|stage| !stage.name.contains('@')) {
        freeze(text, &pipelines.stages, &stage.name);
    }
    let count = pipelines.stages.len();
    let Ok(graph) = Graph::new(pipelines, Vec::new()) else {
        return;
    };
    let selection = Selection {
        reach: Reach::Everything,
        ..Selection::new(&[])
    };
    let order = graph.select(&selection).expect("all can be selected");
    assert_eq!(order.len(), count);
    let mut done = BTreeSet::new();
    for node in order {
        let needs = if graph.is_frozen(node) {
            &[][..]
        } else {
            graph.needs(node)
        };
        assert!(needs.iter().all(|need| done.contains(need)));
        done.insert(node);
    }
}

/// A stage that is frozen and thawed: all others, and all else of it, stay.
fn freeze(text: &str, stages: &[Stage], name: &str) {
    let mut now = text.to_owned();
    for is_frozen in [true, false] {
        let Ok(edited) = edit_stage(FILE, &now, name, &StageEdit::Freeze(is_frozen)) else {
            return;
        };
        let after = load(&edited, PARAMETERS)
            .expect("what is written can be read")
            .stages;
        assert_eq!(shown(&after), shown(stages), "{edited}");
        let stage = after
            .iter()
            .find(|stage| stage.name == name)
            .expect("it is there");
        assert_eq!(stage.frozen, is_frozen, "{edited}");
        now = edited;
    }
}

/// A `dvc.lock`.
pub(crate) fn lock(input: &[u8]) {
    let Ok(lock) = Lock::parse_bytes("dvc.lock", input) else {
        return;
    };
    let text = lock.to_text();
    let again = Lock::parse("dvc.lock", &text).expect("what is written can be read");
    assert_eq!(again.to_text(), text);
    assert!(again.names().eq(lock.names()));
    for name in lock.names() {
        let (entry, read) = (lock.get(name).expect("there"), again.get(name).expect("there"));
        // As texts: not all numbers are equal to themselves.
        assert_eq!(run_cache::to_text(read), run_cache::to_text(entry));
        let alone = run_cache::parse("an entry", &run_cache::to_text(entry)).expect("it is read alone");
        assert_eq!(run_cache::key(&alone), run_cache::key(entry));
        assert_eq!(run_cache::value(&alone), run_cache::value(entry));
    }
}

/// A command on the first line, and a `params.yaml` after it.
pub(crate) fn template(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let (command, parameters) = text.split_once('\n').unwrap_or((text, ""));
    let quoted = command.replace('\'', "''");
    if let Ok(made) = load(&format!("stages:\n  one:\n    cmd: '{quoted}'\n"), parameters) {
        let made = made.stages[0].command.clone();
        let plain = |c: char| !c.is_control() && !['\u{85}', '\u{2028}', '\u{2029}', '\u{feff}'].contains(&c);
        if !command.contains("${") && command.chars().all(plain) {
            assert_eq!(made.as_str(), Some(command));
        }
        let name = command.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        if let Some(name) = name.filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric())) {
            let values = params::read("params.yaml", parameters).expect("it was read");
            let value = values
                .as_map()
                .and_then(|map| map.get(name))
                .expect("it has a value");
            assert!(
                value.is_container() || made.as_str() == value.to_text().as_deref(),
                "{made:?}"
            );
        }
    }
    if let Ok(made) = load(
        "stages:\n  each:\n    foreach: ${l}\n    do:\n      cmd: x ${item}\n",
        parameters,
    ) {
        let values = params::read("params.yaml", parameters).expect("it was read");
        let items = values
            .as_map()
            .and_then(|map| map.get("l"))
            .expect("it has items");
        let count = match items {
            Value::Map(map) => map.len(),
            other => other.as_list().expect("a list").len(),
        };
        let names: BTreeSet<&str> = made.stages.iter().map(|stage| stage.name.as_str()).collect();
        assert!(
            names.len() == made.stages.len() && names.len() <= count,
            "{names:?}"
        );
    }
}
