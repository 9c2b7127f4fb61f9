//! DVC's run cache: under which key a result is remembered, and its files.
//!
//! Invariants: key and value are DVC's; an entry is used only where it is right: DVC leaves parameters named `size` and
//! `nfiles` out of its keys and so gives the results of other values, so that entries with such parameters are neither
//! read nor written ([`is_sound`]). Deliberately absent: the cache's files on disk, and keys of our own.

use backlot_core::Sha256;
use sha2::Digest as _;

use super::error::Result;
use super::lock::{self, LockEntry};
use super::stage::{OutputKind, Stage};
use super::value::{Map, Value};
use crate::yaml;

/// Keys that DVC drops at any depth before it hashes.
const DROPPED: &[&str] = &["size", "nfiles"];

/// Whether DVC remembers results of a stage: one with inputs and outputs, all of them local, none of them kept over runs,
/// and, but for metrics and plots, all of them in the cache.
pub fn is_eligible(stage: &Stage) -> bool {
    let inputs = !stage.deps.is_empty() || !stage.params.is_empty();
    let local = stage.deps.iter().all(|dep| !dep.place.is_url());
    let outs = stage
        .outs
        .iter()
        .all(|out| !out.persist && (out.cache || out.kind != OutputKind::Data));
    inputs && local && outs && !stage.outs.is_empty() && !stage.always_changed
}

/// Whether an entry's key decides all that it should: no parameter in it is named `size` or `nfiles`, at any depth.
pub fn is_sound(entry: &LockEntry) -> bool {
    fn names_dropped(value: &Value) -> bool {
        match value {
            Value::List(items) => items.iter().any(names_dropped),
            Value::Map(map) => map.iter().any(|entry| {
                let dropped = entry.key.as_str().is_some_and(|key| DROPPED.contains(&key));
                dropped || names_dropped(&entry.value)
            }),
            _ => false,
        }
    }
    let mut params = entry.params.iter().flat_map(|(_, values)| values);
    let of_file = entry
        .params
        .iter()
        .any(|(file, _)| DROPPED.contains(&file.as_str()));
    !of_file && !params.any(|(key, value)| DROPPED.contains(&key.as_str()) || names_dropped(value))
}

/// The key of a result: the command, dependencies and parameters with their values, and the paths of outputs. `None` where
/// DVC fails: for dates in parameters, and keys that cannot be sorted.
pub fn key(entry: &LockEntry) -> Option<Sha256> {
    let Value::Map(map) = entry.to_value() else {
        return None;
    };
    let mut map = Map::clone(&map);
    if !entry.outs.is_empty() {
        let mut paths: Vec<&str> = entry.outs.iter().map(|out| out.path.as_str()).collect();
        paths.sort_unstable();
        map.put("outs", Value::list(paths.into_iter().map(Value::from).collect()));
    }
    digest(&Value::map(map))
}

/// The name of a result among those of one key: all of the entry.
pub fn value(entry: &LockEntry) -> Option<Sha256> {
    digest(&entry.to_value())
}

fn digest(value: &Value) -> Option<Sha256> {
    let text = value.to_python_json(DROPPED)?;
    Some(Sha256::from_bytes(sha2::Sha256::digest(text.as_bytes()).into()))
}

/// Where a result is, below the cache's `runs` folder.
pub fn path(key: &Sha256, value: &Sha256) -> String {
    let key = key.to_hex();
    format!("{}/{key}/{}", &key[..2], value.to_hex())
}

/// Read a result. `file` is what errors call it.
pub fn parse(file: &str, text: &str) -> Result<LockEntry> {
    lock::parse_entry(file, text)
}

/// The text of a result's file.
pub fn to_text(entry: &LockEntry) -> String {
    yaml::value_text(&entry.to_value())
}
