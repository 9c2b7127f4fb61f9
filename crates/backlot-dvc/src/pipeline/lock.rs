//! `dvc.lock`: the inputs and outputs of each stage, byte for byte as DVC writes it.
//!
//! Invariants: entries that are not set keep their place, values and aliases; a new entry comes last; inside an entry
//! everything is in DVC's order, whatever order it was given in. Deliberately absent: comments, which DVC does not write
//! into locks, and the MD5 of DVC 2 (`hash` missing), which stands for other content and never counts as equal.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use backlot_store::ObjectId;

use super::error::{PipelineError, Result, Spot};
use super::params;
use super::value::{Entry, Map, Value};
use super::yaml_read;
use crate::yaml;

/// The name of locks.
pub const LOCK_FILE: &str = "dvc.lock";
/// The only version that DVC 3 reads.
const VERSION: &str = "2.0";
/// The key of the entries, and its line.
const STAGES: &str = "stages";
const STAGES_LINE: &str = "stages:\n";
/// Keys of a dependency or output beside those with fields of their own.
const OTHER_KEYS: &[&str] = &[
    "etag",
    "checksum",
    "version_id",
    "cloud",
    "files",
    "remote",
    "name",
    "dataset",
];

/// A file of parameters, and the values of its keys.
pub type FileValues = (String, Vec<(String, Value)>);

/// A lock.
#[derive(Clone, Debug, Default)]
pub struct Lock {
    datasets: Option<Value>,
    stages: Map,
    entries: HashMap<String, KnownEntry>,
    /// Whether aliases may lead from one stage into another, so that the text has to be written as a whole.
    has_aliases: bool,
}

/// An entry, and its text once that was asked for: a lock is written again after each stage, and only one entry is new.
#[derive(Clone, Debug)]
struct KnownEntry {
    entry: LockEntry,
    text: OnceLock<String>,
}

impl From<LockEntry> for KnownEntry {
    fn from(entry: LockEntry) -> Self {
        let text = OnceLock::new();
        Self { entry, text }
    }
}

/// The inputs of a stage when it last ran.
#[derive(Clone, Debug, PartialEq)]
pub struct LockEntry {
    /// The command: a text or a list.
    pub command: Value,
    /// Its dependencies.
    pub deps: Vec<LockedPath>,
    /// Its parameters: files, and the values of their keys.
    pub params: Vec<FileValues>,
    /// Its outputs.
    pub outs: Vec<LockedPath>,
}

/// A dependency or output with its content.
#[derive(Clone, Debug, PartialEq)]
pub struct LockedPath {
    /// The path as the `dvc.yaml` has it, relative to the stage's working folder.
    pub path: String,
    /// The content. `None` where the lock has another checksum than DVC 3's MD5.
    pub id: Option<ObjectId>,
    /// Bytes.
    pub size: Option<u64>,
    /// Files, if it is a folder.
    pub nfiles: Option<u64>,
    /// Whether a file is executable.
    pub isexec: bool,
    /// Other keys, which are kept: checksums of other places, versions.
    pub other: Vec<(String, Value)>,
}

impl LockedPath {
    /// A path with content.
    pub fn new(path: &str, id: ObjectId, size: u64, nfiles: Option<u64>) -> Self {
        Self {
            path: path.to_owned(),
            id: Some(id),
            size: Some(size),
            nfiles,
            isexec: false,
            other: Vec::new(),
        }
    }

    fn to_value(&self) -> Value {
        let mut map = Map::default();
        map.put("path", self.path.as_str());
        if let Some(id) = self.id {
            map.put("hash", "md5");
            map.put("md5", id.to_string());
        }
        for (key, value) in [("size", self.size), ("nfiles", self.nfiles)] {
            if let Some(value) = value {
                map.put(key, value);
            }
        }
        if self.isexec {
            map.put("isexec", true);
        }
        for (key, value) in &self.other {
            map.put(key, value.clone());
        }
        Value::map(map)
    }
}

impl LockEntry {
    /// An entry with a command only.
    pub fn new(command: Value) -> Self {
        Self {
            command,
            deps: Vec::new(),
            params: Vec::new(),
            outs: Vec::new(),
        }
    }

    /// A dependency by its path.
    pub fn dep(&self, path: &str) -> Option<&LockedPath> {
        self.deps.iter().find(|dep| dep.path == path)
    }

    /// An output by its path.
    pub fn out(&self, path: &str) -> Option<&LockedPath> {
        self.outs.iter().find(|out| out.path == path)
    }

    /// The values of a file of parameters.
    pub fn params_of(&self, file: &str) -> Option<&[(String, Value)]> {
        let found = self.params.iter().find(|(name, _)| name == file);
        found.map(|(_, values)| values.as_slice())
    }

    /// The entry as DVC orders it: command, dependencies and outputs by path, `params.yaml` before other files, keys sorted.
    /// Empty parts are left out, but not files of parameters that have none.
    pub(crate) fn to_value(&self) -> Value {
        let mut map = Map::default();
        map.put("cmd", self.command.clone());
        let paths = |all: &[LockedPath]| {
            let mut all: Vec<&LockedPath> = all.iter().collect();
            all.sort_by(|a, b| a.path.cmp(&b.path));
            Value::list(all.into_iter().map(LockedPath::to_value).collect())
        };
        if !self.deps.is_empty() {
            map.put("deps", paths(&self.deps));
        }
        let mut files: Vec<_> = self.params.iter().collect();
        files.sort_by_key(|(file, _)| (file != params::DEFAULT_FILE, file.as_str()));
        let mut all = Map::default();
        for (file, values) in files {
            let mut values: Vec<_> = values.iter().collect();
            values.sort_by(|a, b| a.0.cmp(&b.0));
            let mut sorted = Map::default();
            for (key, value) in values {
                sorted.put(key, value.clone());
            }
            all.put(file, Value::map(sorted));
        }
        if !all.is_empty() {
            map.put("params", Value::map(all));
        }
        if !self.outs.is_empty() {
            map.put("outs", paths(&self.outs));
        }
        Value::map(map)
    }
}

impl Lock {
    /// Read a lock. `file` is what errors call it.
    pub fn parse(file: &str, text: &str) -> Result<Self> {
        let reader = Reader { file };
        if let Some(at) = text.lines().position(is_conflict_marker) {
            let spot = Spot::new(file, at + 1);
            return Err(PipelineError::LockConflict { spot });
        }
        let document =
            yaml_read::read(text).or_else(|problem| reader.refuse(problem.line, problem.reason))?;
        let has_aliases = yaml::has_aliases(&document);
        let lock = reader.document(document)?;
        Ok(Self { has_aliases, ..lock })
    }

    /// The same of the bytes of a file.
    pub fn parse_bytes(file: &str, bytes: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(|_| PipelineError::Unreadable {
            file: file.to_owned(),
            reason: "it is not valid UTF-8".to_owned(),
        })?;
        Self::parse(file, text)
    }

    /// The entry of a stage.
    pub fn get(&self, stage: &str) -> Option<&LockEntry> {
        Some(&self.entries.get(stage)?.entry)
    }

    /// The stages in the order of the file; also those that the `dvc.yaml` has no more.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.stages.iter().filter_map(|entry| entry.key.as_str())
    }

    /// Whether it has no entries.
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// Put in the entry of a stage: in its old place, or at the end.
    pub fn set(&mut self, stage: &str, entry: LockEntry) {
        // In the file of one stage, nothing is an alias of what another stage has.
        let value = entry.to_value().detached();
        self.has_aliases |= yaml::has_aliases(&value);
        self.stages.put(stage, value);
        self.entries.insert(stage.to_owned(), entry.into());
    }

    /// Take out the entry of a stage.
    pub fn remove(&mut self, stage: &str) -> Option<LockEntry> {
        self.stages.remove(stage);
        Some(self.entries.remove(stage)?.entry)
    }

    /// The file's text, as DVC writes it.
    pub fn to_text(&self) -> String {
        let mut map = Map::default();
        map.put("schema", VERSION);
        if let Some(datasets) = &self.datasets {
            map.put("datasets", datasets.clone());
        }
        if self.stages.is_empty() {
            return yaml::value_text(&Value::map(map));
        }
        if self.has_aliases {
            map.put(STAGES, Value::map(self.stages.clone()));
            return yaml::value_text(&Value::map(map));
        }
        let mut text = yaml::value_text(&Value::map(map));
        text.push_str(STAGES_LINE);
        for stage in self.stages.iter() {
            let known = stage.key.as_str().and_then(|name| self.entries.get(name));
            match known {
                Some(known) => text.push_str(known.text.get_or_init(|| text_below_stages(stage))),
                None => text.push_str(&text_below_stages(stage)),
            }
        }
        text
    }
}

/// The text of an entry where it stands in a lock.
fn text_below_stages(stage: &Entry) -> String {
    let mut stages = Map::default();
    stages.insert(stage.key.clone(), stage.value.clone(), 0);
    let mut map = Map::default();
    map.put(STAGES, Value::map(stages));
    let text = yaml::value_text(&Value::map(map));
    text.strip_prefix(STAGES_LINE).unwrap_or(&text).to_owned()
}

/// Read the entry of one stage on its own, as files of DVC's run cache hold it.
pub(crate) fn parse_entry(file: &str, text: &str) -> Result<LockEntry> {
    let reader = Reader { file };
    let document = yaml_read::read(text).or_else(|problem| reader.refuse(problem.line, problem.reason))?;
    reader.entry("the entry", 1, &document)
}

fn is_conflict_marker(line: &str) -> bool {
    ["<<<<<<< ", ">>>>>>> "]
        .iter()
        .any(|marker| line.starts_with(marker))
        || line == "======="
}

struct Reader<'a> {
    file: &'a str,
}

impl Reader<'_> {
    fn refuse<T>(&self, line: usize, reason: impl Into<String>) -> Result<T> {
        Err(PipelineError::Lock {
            spot: Spot::new(self.file, line),
            reason: reason.into(),
        })
    }

    fn document(&self, document: Value) -> Result<Lock> {
        let map = match document {
            Value::Null => return Ok(Lock::default()),
            Value::Map(map) => map,
            other => return self.refuse(1, format!("it contains {}, not a mapping", other.kind())),
        };
        // Before version 2.0, the stages were the document.
        let Some(version) = map.entry("schema") else {
            return self.lock(Arc::unwrap_or_clone(map), None);
        };
        if version.value.as_str() != Some(VERSION) {
            let shown = version.value.to_text().unwrap_or_default();
            return self.refuse(
                version.line,
                format!("unsupported schema `{shown}`: it must be the text '{VERSION}'"),
            );
        }
        if let Some(other) = map
            .iter()
            .find(|e| !matches!(e.key.as_str(), Some("schema" | "stages" | "datasets")))
        {
            let name = other.key.to_text().unwrap_or_default();
            return self.refuse(other.line, format!("unknown key `{name}`"));
        }
        let datasets = map.get("datasets").cloned();
        match map.entry("stages") {
            None => self.lock(Map::default(), datasets),
            Some(Entry {
                value: Value::Map(stages),
                ..
            }) => self.lock(Map::clone(stages), datasets),
            Some(entry) => self.refuse(entry.line, format!("`stages` is {}", entry.value.kind())),
        }
    }

    fn lock(&self, stages: Map, datasets: Option<Value>) -> Result<Lock> {
        let mut entries = HashMap::with_capacity(stages.len());
        for entry in stages.iter() {
            let Some(name) = entry.key.as_str() else {
                let shown = entry.key.to_text().unwrap_or_default();
                return self.refuse(
                    entry.line,
                    format!("the name of the stage `{shown}` is not a text"),
                );
            };
            let parsed = self.entry(&format!("`{name}`"), entry.line, &entry.value)?;
            entries.insert(name.to_owned(), parsed.into());
        }
        Ok(Lock {
            datasets,
            stages,
            entries,
            has_aliases: false,
        })
    }

    fn entry(&self, name: &str, line: usize, value: &Value) -> Result<LockEntry> {
        let Some(map) = value.as_map() else {
            return self.refuse(line, format!("{name} is {}, not a mapping", value.kind()));
        };
        let Some(command) = map.get("cmd") else {
            return self.refuse(line, format!("{name} has no `cmd`"));
        };
        if !matches!(command, Value::Str(_) | Value::List(_)) {
            return self.refuse(line, format!("`cmd` of {name} is {}", command.kind()));
        }
        let mut entry = LockEntry::new(command.clone());
        for part in map.iter() {
            match part.key.as_str() {
                Some("cmd") => {}
                Some("deps") => entry.deps = self.paths(name, part)?,
                Some("outs") => entry.outs = self.paths(name, part)?,
                Some("params") => entry.params = self.params(name, part)?,
                _ => {
                    let key = part.key.to_text().unwrap_or_default();
                    return self.refuse(part.line, format!("{name} has the unknown key `{key}`"));
                }
            }
        }
        Ok(entry)
    }

    fn paths(&self, name: &str, part: &Entry) -> Result<Vec<LockedPath>> {
        let Some(items) = part.value.as_list() else {
            let key = part.key.to_text().unwrap_or_default();
            return self.refuse(
                part.line,
                format!("`{key}` of {name} is {}, not a list", part.value.kind()),
            );
        };
        items
            .iter()
            .map(|item| self.path(name, part.line, item))
            .collect()
    }

    fn path(&self, name: &str, line: usize, item: &Value) -> Result<LockedPath> {
        let path = item.as_map().and_then(|map| map.get("path")?.as_str());
        let (Some(map), Some(path)) = (item.as_map(), path) else {
            return self.refuse(line, format!("{name} has a dependency or output without `path`"));
        };
        let mut locked = LockedPath {
            path: path.to_owned(),
            id: None,
            size: None,
            nfiles: None,
            isexec: false,
            other: Vec::new(),
        };
        let current = map.get("hash").and_then(Value::as_str) == Some("md5");
        for entry in map.iter() {
            let key = entry.key.as_str().unwrap_or_default();
            let wrong = |expected: &str| {
                let kind = entry.value.kind();
                self.refuse(
                    entry.line,
                    format!("`{key}` of `{path}` in {name} is {kind}, not {expected}"),
                )
            };
            match (key, &entry.value) {
                ("path", _) => {}
                ("hash", Value::Str(_)) if current => {}
                ("md5", Value::Str(text)) if current => match text.parse() {
                    Ok(id) => locked.id = Some(id),
                    Err(_) => return wrong("an MD5"),
                },
                ("md5" | "hash", Value::Str(_)) => locked.other.push((key.to_owned(), entry.value.clone())),
                ("md5" | "hash", _) => return wrong("a quoted string"),
                ("size" | "nfiles", value) => match value.as_u64() {
                    Some(number) if key == "size" => locked.size = Some(number),
                    Some(number) => locked.nfiles = Some(number),
                    None => return wrong("a number"),
                },
                ("isexec", Value::Bool(flag)) => locked.isexec = *flag,
                ("isexec", _) => return wrong("a flag"),
                (key, value) if OTHER_KEYS.contains(&key) => {
                    locked.other.push((key.to_owned(), value.clone()));
                }
                _ => {
                    let key = entry.key.to_text().unwrap_or_default();
                    return self.refuse(
                        entry.line,
                        format!("`{path}` of {name} has the unknown key `{key}`"),
                    );
                }
            }
        }
        Ok(locked)
    }

    fn params(&self, name: &str, part: &Entry) -> Result<Vec<FileValues>> {
        let wrong = |line| {
            self.refuse(
                line,
                format!("`params` of {name} is not a mapping of files to values"),
            )
        };
        let Some(files) = part.value.as_map() else {
            return wrong(part.line);
        };
        let mut all = Vec::with_capacity(files.len());
        for entry in files.iter() {
            let (Some(file), Some(values)) = (entry.key.as_str(), entry.value.as_map()) else {
                return wrong(entry.line);
            };
            let mut found = Vec::with_capacity(values.len());
            for value in values.iter() {
                let Some(key) = value.key.as_str() else {
                    return wrong(value.line);
                };
                found.push((key.to_owned(), value.value.clone()));
            }
            all.push((file.to_owned(), found));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use backlot_core::Diagnostic as _;

    use super::{Lock, LockEntry, LockedPath};
    use crate::pipeline::{Value, yaml_read};

    const MD5: &str = "401b30e3b8b5d629635a5c613cdb7919";

    fn lock() -> String {
        format!(
            "schema: '2.0'\nstages:\n  a:\n    cmd: x\n    outs:\n    - path: o\n      hash: md5\n      md5: {MD5}\n      size: 2\n      isexec: true\n  old:\n    cmd:\n    - y\n    params:\n      p.yaml:\n        D: &id001\n          k: yes\n        E: *id001\n"
        )
    }

    #[test]
    fn a_lock_that_was_read_is_written_alike() {
        let text = lock();
        let lock = Lock::parse("dvc.lock", &text).expect("read");
        assert_eq!(lock.to_text(), text);
        assert_eq!(lock.names().collect::<Vec<_>>(), ["a", "old"]);
        let out = lock.get("a").and_then(|entry| entry.out("o")).expect("an out");
        assert_eq!(
            (out.id.map(|id| id.to_string()), out.size, out.isexec),
            (Some(MD5.to_owned()), Some(2), true)
        );
    }

    #[test]
    fn a_set_entry_keeps_its_place_and_a_new_one_comes_last() {
        let mut lock = Lock::parse("dvc.lock", &lock()).expect("read");
        let id = MD5.parse().expect("an id");
        let shared = yaml_read::read("[1]").expect("YAML");
        let mut entry = LockEntry::new("z".into());
        entry.deps = ["b", "a", "B"]
            .map(|path| LockedPath::new(path, id, 1, None))
            .to_vec();
        entry.params = vec![
            (
                "a.yaml".to_owned(),
                vec![("z".to_owned(), shared.clone()), ("b".to_owned(), shared.clone())],
            ),
            ("params.yaml".to_owned(), vec![("k".to_owned(), Value::Null)]),
            ("empty.yaml".to_owned(), vec![]),
        ];
        lock.set("a", entry);
        let mut other = LockEntry::new("n".into());
        other.params = vec![("a.yaml".to_owned(), vec![("z".to_owned(), shared)])];
        lock.set("new", other);
        lock.remove("old");
        let paths: String = ["B", "a", "b"]
            .iter()
            .map(|path| format!("    - path: {path}\n      hash: md5\n      md5: {MD5}\n      size: 1\n"))
            .collect();
        assert_eq!(
            lock.to_text(),
            format!(
                "schema: '2.0'\nstages:\n  a:\n    cmd: z\n    deps:\n{paths}    params:\n      params.yaml:\n        k:\n      a.yaml:\n        b: &id001\n        - 1\n        z: *id001\n      empty.yaml: {{}}\n  new:\n    cmd: n\n    params:\n      a.yaml:\n        z:\n        - 1\n"
            )
        );
    }

    #[test]
    fn damage_is_named_with_its_line() {
        for (text, code, part) in [
            (
                "schema: 2.0\nstages: {}\n",
                "pipeline::lock",
                "line 1: unsupported schema `2.0`",
            ),
            ("schema: '3.0'\n", "pipeline::lock", "unsupported schema `3.0`"),
            (
                "schema: '2.0'\nstages:\n<<<<<<< HEAD\n  a:\n",
                "pipeline::lock_conflict",
                "line 3",
            ),
            (
                "schema: '2.0'\nstages:\n  a:\n    outs: []\n",
                "pipeline::lock",
                "line 3: `a` has no `cmd`",
            ),
            (
                "schema: '2.0'\nstages:\n  a:\n    cmd: true\n",
                "pipeline::lock",
                "is a flag",
            ),
            (
                "schema: '2.0'\nstages:\n  a:\n    cmd: x\n    x: 1\n",
                "pipeline::lock",
                "line 5: `a` has the unknown key `x`",
            ),
            (
                "schema: '2.0'\nmore: 1\n",
                "pipeline::lock",
                "line 2: unknown key `more`",
            ),
            (
                "schema: '2.0'\nstages:\n  a:\n    cmd: x\n    deps:\n    - path: p\n      hash: md5\n      md5: 12345678901234567890123456789012\n",
                "pipeline::lock",
                "line 8: `md5` of `p` in `a` is a number",
            ),
            (
                "schema: '2.0'\nstages:\n  a:\n    cmd: x\n    deps:\n    - md5: x\n",
                "pipeline::lock",
                "without `path`",
            ),
            (
                "schema: '2.0'\nstages:\n  a:\n    cmd: x\n    params: {f: 1}\n",
                "pipeline::lock",
                "`params` of `a`",
            ),
            (
                "schema: '2.0'\nstages:\n  a:\n    cmd: x\n  a:\n    cmd: y\n",
                "pipeline::lock",
                "line 5: duplicate key `a`",
            ),
            ("- x\n", "pipeline::lock", "contains a list"),
        ] {
            let error = Lock::parse("sub/dvc.lock", text).expect_err(text);
            let message = error.to_string();
            assert_eq!(error.code(), code, "{text}");
            assert!(
                message.contains(part) && message.contains("sub/dvc.lock"),
                "{text}\n{message}"
            );
        }
    }

    #[test]
    fn a_lock_of_dvc_1_is_read_and_written_as_2() {
        let lock =
            Lock::parse("dvc.lock", "a:\n  cmd: x\n  deps:\n  - path: p\n    md5: abc\n").expect("read");
        let dep = lock.get("a").and_then(|entry| entry.dep("p")).expect("a dep");
        assert_eq!(dep.id, None);
        assert_eq!(
            lock.to_text(),
            "schema: '2.0'\nstages:\n  a:\n    cmd: x\n    deps:\n    - path: p\n      md5: abc\n"
        );
        assert!(Lock::parse("dvc.lock", "").expect("read").is_empty());
    }
}
