//! Where the values of `${...}` come from: `params.yaml` beside the `dvc.yaml`, then `vars` of the file, then of the stage.
//!
//! Invariants: mappings are merged, and no other name is defined twice; a file is read once, however many stages use it.
//! Deliberately absent: expressions in `vars`, which DVC refuses.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::error::{PipelineError, Result, Spot};
use super::files::ProjectFiles;
use super::params;
use super::place::Place;
use super::template::has_expression;
use super::value::{Map, Value};

/// The parameter files of a project, each parsed once.
pub struct ParameterFiles<'a> {
    files: &'a dyn ProjectFiles,
    parsed: RefCell<BTreeMap<Place, Option<Value>>>,
}

impl fmt::Debug for ParameterFiles<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParameterFiles")
            .field("parsed", &self.parsed.borrow().keys())
            .finish_non_exhaustive()
    }
}

impl<'a> ParameterFiles<'a> {
    /// Over the files of a project.
    pub fn new(files: &'a dyn ProjectFiles) -> Self {
        Self {
            files,
            parsed: RefCell::default(),
        }
    }

    /// The content of a file; `None` if it does not exist.
    pub fn get(&self, place: &Place) -> Result<Option<Value>> {
        if let Some(known) = self.parsed.borrow().get(place) {
            return Ok(known.clone());
        }
        let parsed = match self.files.read(place)? {
            Some(text) => Some(params::read(&place.to_string(), &text)?),
            None => None,
        };
        self.parsed.borrow_mut().insert(place.clone(), parsed.clone());
        Ok(parsed)
    }
}

/// Which keys of a file are defined: all, or the named ones.
type Loaded = Option<Vec<String>>;

/// The variables that a file or a stage can use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variables {
    pub(crate) map: Map,
    loaded: BTreeMap<Place, Loaded>,
}

/// An entry of `vars` and where it is.
pub(crate) struct VarsEntry<'a> {
    pub(crate) item: &'a Value,
    pub(crate) spot: &'a Spot,
    /// `vars[0]`, `stages.a.vars[0]`.
    pub(crate) key: &'a str,
}

impl VarsEntry<'_> {
    fn refuse<T>(&self, reason: impl Into<String>) -> Result<T> {
        Err(PipelineError::Vars {
            spot: self.spot.clone(),
            key: self.key.to_owned(),
            reason: reason.into(),
        })
    }
}

impl Variables {
    /// Load `params.yaml` of a folder, if it is there.
    pub(crate) fn load_default(
        &mut self,
        files: &ParameterFiles<'_>,
        folder: &Place,
        spot: &Spot,
    ) -> Result<()> {
        let item = Value::from(params::DEFAULT_FILE);
        let key = "vars";
        let entry = VarsEntry {
            item: &item,
            spot,
            key,
        };
        let place = Place::resolve(folder, params::DEFAULT_FILE).or_else(|reason| entry.refuse(reason))?;
        if files.get(&place)?.is_none() {
            return Ok(());
        }
        self.load(files, folder, &entry, &[])
    }

    /// Load one entry of `vars`; its files are relative to a folder. Names in `reserved` may not be defined.
    pub(crate) fn load(
        &mut self,
        files: &ParameterFiles<'_>,
        folder: &Place,
        entry: &VarsEntry<'_>,
        reserved: &[&str],
    ) -> Result<()> {
        if let Some(text) = find_expression(entry.item) {
            return entry.refuse(format!("has `{text}`; expressions are not allowed here"));
        }
        let values = match entry.item {
            Value::Str(text) => match self.read(files, folder, text, entry)? {
                Some(values) => values,
                None => return Ok(()),
            },
            Value::Map(map) => Map::clone(map),
            other => return entry.refuse(format!("is {}, not a file or a mapping", other.kind())),
        };
        if let Some(name) = reserved.iter().find(|name| values.get(name).is_some()) {
            return entry.refuse(format!("defines `{name}`, which a generated stage already has"));
        }
        merge(&mut self.map, &values, "")
            .or_else(|name| entry.refuse(format!("defines `{name}`, which is already defined")))
    }

    /// The values of `file` or `file:key,key`; `None` if they are there already.
    fn read(
        &mut self,
        files: &ParameterFiles<'_>,
        folder: &Place,
        text: &str,
        entry: &VarsEntry<'_>,
    ) -> Result<Option<Map>> {
        let (path, keys) = text.split_once(':').unwrap_or((text, ""));
        let keys: Vec<String> = keys
            .split(',')
            .filter(|key| !key.is_empty())
            .map(ToOwned::to_owned)
            .collect();
        let place = Place::resolve(folder, path)
            .or_else(|reason| entry.refuse(format!("names a path that {reason}")))?;
        match self.loaded.get(&place) {
            Some(None) if keys.is_empty() => return Ok(None),
            Some(None) => return entry.refuse(format!("loads a part of `{place}`, which is already loaded")),
            Some(Some(known)) if keys.is_empty() || keys.iter().any(|key| known.contains(key)) => {
                return entry.refuse(format!("loads `{place}`, which is already partly loaded"));
            }
            _ => {}
        }
        let Some(content) = files.get(&place)? else {
            return entry.refuse(format!("names the file `{place}`, which does not exist"));
        };
        let Some(map) = content.as_map() else {
            return entry.refuse(format!(
                "names the file `{place}`, which contains {}",
                content.kind()
            ));
        };
        let values = if keys.is_empty() {
            map.clone()
        } else {
            let mut chosen = Map::default();
            for key in &keys {
                match map.get(key) {
                    Some(value) => chosen.put(key, value.clone()),
                    None => {
                        return entry.refuse(format!("names the key `{key}`, which `{place}` does not have"));
                    }
                }
            }
            chosen
        };
        match self.loaded.entry(place).or_insert_with(|| Some(Vec::new())) {
            slot if keys.is_empty() => *slot = None,
            Some(known) => known.extend(keys),
            None => {}
        }
        Ok(Some(values))
    }
}

/// Merge mappings; `Err` is a name that is defined twice. Keys that are no text cannot be named in an expression.
fn merge(into: &mut Map, values: &Map, prefix: &str) -> Result<(), String> {
    for entry in values.iter() {
        let Some(key) = entry.key.as_str() else { continue };
        match (into.get_mut(key), &entry.value) {
            (Some(Value::Map(old)), Value::Map(new)) => {
                merge(Arc::make_mut(old), new, &format!("{prefix}{key}."))?;
            }
            (Some(_), _) => return Err(format!("{prefix}{key}")),
            (None, value) => drop(into.insert(entry.key.clone(), value.clone(), entry.line)),
        }
    }
    Ok(())
}

fn find_expression(value: &Value) -> Option<&str> {
    match value {
        Value::Str(text) => has_expression(text).then_some(text),
        Value::List(items) => items.iter().find_map(find_expression),
        Value::Map(map) => map
            .iter()
            .find_map(|entry| find_expression(&entry.key).or_else(|| find_expression(&entry.value))),
        _ => None,
    }
}
