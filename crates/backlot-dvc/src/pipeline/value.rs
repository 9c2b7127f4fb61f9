//! Values of YAML, JSON, TOML and Python files, compared and printed as Python does, since DVC is written in it.
//!
//! Invariants: `1`, `1.0` and `true` are equal and `"1"` is another value; a mapping keeps the order of its file, and its
//! keys are distinct by that equality; lists and mappings are shared, not copied, so that an alias in a file costs nothing
//! and can be written as an alias again. Deliberately absent: what files look like (`yaml_read`, `json_read`,
//! `toml_read`, `python_read`).

use std::collections::HashMap;
use std::sync::Arc;

use super::integer::Integer;
use crate::manifest;

/// A value of a file.
#[derive(Clone, Debug)]
pub enum Value {
    /// `null`, `None`, or nothing.
    Null,
    /// A flag; equal to 0 or 1.
    Bool(bool),
    /// A whole number of any length.
    Int(Integer),
    /// A number with a fraction or exponent.
    Float(f64),
    /// Text.
    Str(String),
    /// A date or a date with a time, as the file spells it. DVC refuses them in parameters; here they are text of their
    /// own kind.
    Date(String),
    /// Something of Python that no lock can hold; the text says what, with its article.
    Foreign(&'static str),
    /// A list, or a tuple of Python.
    List(Arc<Vec<Self>>),
    /// A mapping.
    Map(Arc<Map>),
}

/// A mapping that keeps its order.
#[derive(Clone, Debug, Default)]
pub struct Map {
    entries: Vec<Entry>,
    texts: HashMap<String, usize>,
    others: HashMap<String, usize>,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: Value,
    /// The value.
    pub value: Value,
    /// The line of the key in its file, from 1; 0 where it is not known.
    pub line: usize,
}

impl Value {
    /// A list.
    pub fn list(items: Vec<Self>) -> Self {
        Self::List(Arc::new(items))
    }

    /// A mapping.
    pub fn map(map: Map) -> Self {
        Self::Map(Arc::new(map))
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// A flag.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    /// The items of a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// A mapping.
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// A number of bytes or files.
    pub(crate) fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Int(number) => number.as_u64(),
            _ => None,
        }
    }

    /// The type of a value, with its article, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a flag",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Str(_) => "a text",
            Self::Date(_) => "a date",
            Self::Foreign(kind) => kind,
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }

    /// Whether it is a list or a mapping.
    pub fn is_container(&self) -> bool {
        matches!(self, Self::List(_) | Self::Map(_))
    }

    /// A value that is no list or mapping as DVC puts it into a command or a name: `true`, `None`, `1e-05`.
    pub fn to_text(&self) -> Option<String> {
        Some(match self {
            Self::Null => "None".to_owned(),
            Self::Bool(flag) => flag.to_string(),
            Self::Int(number) => number.to_string(),
            Self::Float(float) => float_text(*float, ["nan", "inf", "-inf"]),
            Self::Str(text) | Self::Date(text) => text.clone(),
            Self::Foreign(_) | Self::List(_) | Self::Map(_) => return None,
        })
    }

    /// The first value inside (or this) that no lock can hold.
    pub(crate) fn find_foreign(&self) -> Option<&'static str> {
        match self {
            Self::Foreign(kind) => Some(kind),
            Self::List(items) => items.iter().find_map(Self::find_foreign),
            Self::Map(map) => map.iter().find_map(|entry| entry.value.find_foreign()),
            _ => None,
        }
    }

    /// Whether a date is inside (or this is one), for which DVC itself fails.
    pub fn has_date(&self) -> bool {
        match self {
            Self::Date(_) => true,
            Self::List(items) => items.iter().any(Self::has_date),
            Self::Map(map) => map
                .iter()
                .any(|entry| entry.value.has_date() || entry.key.has_date()),
            _ => false,
        }
    }

    /// Copy all lists and mappings; what is shared inside stays shared inside, and nothing is shared with the outside.
    pub(crate) fn detached(&self) -> Self {
        self.detach(&mut HashMap::new())
    }

    fn detach(&self, copies: &mut HashMap<*const (), Self>) -> Self {
        let Some(address) = self.address() else {
            return self.clone();
        };
        if let Some(copy) = copies.get(&address) {
            return copy.clone();
        }
        let copy = match self {
            Self::List(items) => Self::list(items.iter().map(|item| item.detach(copies)).collect()),
            Self::Map(map) => Self::map(Map {
                entries: map
                    .iter()
                    .map(|entry| Entry {
                        value: entry.value.detach(copies),
                        ..entry.clone()
                    })
                    .collect(),
                ..Map::clone(map)
            }),
            other => other.clone(),
        };
        copies.insert(address, copy.clone());
        copy
    }

    /// What tells a list or mapping from an equal one.
    pub(crate) fn address(&self) -> Option<*const ()> {
        match self {
            Self::List(items) => Some(Arc::as_ptr(items).cast()),
            Self::Map(map) => Some(Arc::as_ptr(map).cast()),
            _ => None,
        }
    }

    /// As Python's `json.dumps(value, sort_keys=True)`, without mapping keys that `skip` names. `None` where Python fails:
    /// for dates, sets, bytes and keys that cannot be sorted.
    pub(crate) fn to_python_json(&self, skip: &[&str]) -> Option<String> {
        let mut text = String::new();
        self.push_json(&mut text, skip)?;
        Some(text)
    }

    fn push_json(&self, out: &mut String, skip: &[&str]) -> Option<()> {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(_) | Self::Int(_) => out.push_str(&self.to_text()?),
            Self::Float(float) => out.push_str(&float_text(*float, ["NaN", "Infinity", "-Infinity"])),
            Self::Str(text) => manifest::push_python_json(out, text),
            Self::Date(_) | Self::Foreign(_) => return None,
            Self::List(items) => {
                out.push('[');
                for (position, item) in items.iter().enumerate() {
                    out.push_str(if position > 0 { ", " } else { "" });
                    item.push_json(out, skip)?;
                }
                out.push(']');
            }
            Self::Map(map) => {
                out.push('{');
                for (position, (key, value)) in map.sorted_for_json(skip)?.into_iter().enumerate() {
                    out.push_str(if position > 0 { ", " } else { "" });
                    manifest::push_python_json(out, &key);
                    out.push_str(": ");
                    value.push_json(out, skip)?;
                }
                out.push('}');
            }
        }
        Some(())
    }

    /// A number in a form in which equal ones are equal texts.
    fn number_form(&self) -> Option<String> {
        match self {
            Self::Bool(flag) => Some(u8::from(*flag).to_string()),
            Self::Int(number) => Some(number.to_string()),
            Self::Float(float) if float.is_finite() && float.fract() == 0.0 => {
                Some(format!("{:.0}", float + 0.0))
            }
            Self::Float(float) => Some(format!("{float:e}")),
            _ => None,
        }
    }
}

/// Python's equality.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Str(a), Self::Str(b)) | (Self::Date(a), Self::Date(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b,
            (Self::Float(float), Self::Int(number)) | (Self::Int(number), Self::Float(float)) => {
                number.equals_float(*float)
            }
            (Self::List(a), Self::List(b)) => Arc::ptr_eq(a, b) || a == b,
            (Self::Map(a), Self::Map(b)) => Arc::ptr_eq(a, b) || a == b,
            (a, b) => a.number_form().is_some_and(|form| b.number_form() == Some(form)),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(number.into())
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

/// A float as Python's `repr`, with words for non-finite values.
pub(crate) fn float_text(float: f64, [nan, infinite, below]: [&str; 3]) -> String {
    if float.is_nan() {
        nan.to_owned()
    } else if float.is_infinite() {
        (if float > 0.0 { infinite } else { below }).to_owned()
    } else {
        python_float(float)
    }
}

/// The shortest digits that give the number back; an exponent below 1e-4 and from 1e16.
fn python_float(float: f64) -> String {
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        return format!("{float:?}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

impl Map {
    /// The entries in the order of the file.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of a key that is text.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entry of a key that is text.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.texts.get(key).map(|at| &self.entries[*at])
    }

    /// The value of any key.
    pub fn get_value(&self, key: &Value) -> Option<&Value> {
        self.position(key).map(|at| &self.entries[at].value)
    }

    /// Put in a value: at the end, or in the place of an equal key, whose old value is returned.
    pub fn insert(&mut self, key: Value, value: Value, line: usize) -> Option<Value> {
        if let Some(at) = self.position(&key) {
            return Some(std::mem::replace(&mut self.entries[at].value, value));
        }
        self.append(key, value, line);
        None
    }

    /// Put in a value at the end, whatever is there: of equal keys, which only other readers of YAML tell apart, the last is found.
    pub(crate) fn append(&mut self, key: Value, value: Value, line: usize) {
        let at = self.entries.len();
        match &key {
            Value::Str(text) => self.texts.insert(text.clone(), at),
            other => self.others.insert(other_form(other), at),
        };
        self.entries.push(Entry { key, value, line });
    }

    /// Put in a value under a text, without a line.
    pub fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.insert(key.into(), value.into(), 0);
    }

    /// Take an entry out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.texts.remove(key)?;
        let entry = self.entries.remove(at);
        for place in self.texts.values_mut().chain(self.others.values_mut()) {
            *place -= usize::from(*place > at);
        }
        Some(entry.value)
    }

    /// The value of a key, to be changed.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        let at = *self.texts.get(key)?;
        Some(&mut self.entries[at].value)
    }

    fn position(&self, key: &Value) -> Option<usize> {
        match key {
            Value::Str(text) => self.texts.get(text).copied(),
            other => self.others.get(&other_form(other)).copied(),
        }
    }

    /// Keys as JSON's texts, in the order in which Python sorts them before it makes them texts.
    fn sorted_for_json(&self, skip: &[&str]) -> Option<Vec<(String, &Value)>> {
        let mut entries = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            if entry.key.as_str().is_some_and(|key| skip.contains(&key)) {
                continue;
            }
            let text = match &entry.key {
                Value::Null => "null".to_owned(),
                Value::Float(float) => float_text(*float, ["NaN", "Infinity", "-Infinity"]),
                key => key.to_text()?,
            };
            entries.push((&entry.key, text, &entry.value));
        }
        let texts = entries.iter().all(|(key, ..)| key.as_str().is_some());
        let numbers = || entries.iter().all(|(key, ..)| key.number_form().is_some());
        if texts {
            entries.sort_by(|a, b| a.1.cmp(&b.1));
        } else if numbers() {
            let number = |key: &Value| key.number_form().and_then(|form| form.parse::<f64>().ok());
            entries.sort_by(|a, b| {
                number(a.0)
                    .partial_cmp(&number(b.0))
                    .unwrap_or(std::cmp::Ordering::Equal)
            });
        } else if entries.len() > 1 {
            return None;
        }
        Some(
            entries
                .into_iter()
                .map(|(_, text, value)| (text, value))
                .collect(),
        )
    }
}

/// Equality without regard to order.
impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .entries
                .iter()
                .all(|entry| other.get_value(&entry.key) == Some(&entry.value))
    }
}

/// A key that is no text in a form in which equal ones are equal texts.
fn other_form(key: &Value) -> String {
    key.number_form()
        .unwrap_or_else(|| format!("{}:{}", key.kind(), key.to_text().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::{Map, Value};

    fn map(entries: &[(&str, Value)]) -> Value {
        let mut map = Map::default();
        for (key, value) in entries {
            map.put(key, value.clone());
        }
        Value::map(map)
    }

    #[test]
    fn equality_is_that_of_python() {
        let (one, float, flag) = (Value::from(1), Value::Float(1.0), Value::from(true));
        assert!(one == float && float == flag && flag == one);
        assert!(one != Value::from("1") && Value::Null != Value::from(false));
        assert!(Value::Float(f64::NAN) != Value::Float(f64::NAN));
        assert!(Value::list(vec![one.clone(), flag]) == Value::list(vec![float, one.clone()]));
        assert!(Value::list(vec![one.clone()]) != Value::list(vec![]));
        let (a, b) = (("a", one.clone()), ("b", Value::Null));
        assert!(map(&[a.clone(), b.clone()]) == map(&[b.clone(), a.clone()]));
        assert!(map(&[a]) != map(&[b]));
        assert!(Value::Date("2024-01-02".to_owned()) != Value::from("2024-01-02"));
    }

    #[test]
    fn equal_keys_are_one_key() {
        let mut map = Map::default();
        assert!(map.insert(1.into(), "a".into(), 0).is_none());
        assert!(map.insert(true.into(), "b".into(), 0).is_some());
        assert!(map.insert("1".into(), "c".into(), 0).is_none());
        assert_eq!(map.len(), 2);
        assert_eq!(map.remove("1"), Some("c".into()));
        assert_eq!(map.get_value(&Value::Float(1.0)), Some(&"b".into()));
    }

    #[test]
    fn json_is_that_of_python() {
        let value = map(&[
            ("z", Value::Float(1e-5)),
            (
                "a",
                Value::list(vec![Value::Null, true.into(), Value::Float(2.0), 3.into()]),
            ),
            ("\u{e9}", "\u{2028}".into()),
            ("size", 1.into()),
            (
                "m",
                map(&[("nfiles", 1.into()), ("k", Value::Float(f64::INFINITY))]),
            ),
        ]);
        let text = r#"{"a": [null, true, 2.0, 3], "m": {"k": Infinity}, "z": 1e-05, "\u00e9": "\u2028"}"#;
        assert_eq!(value.to_python_json(&["size", "nfiles"]).as_deref(), Some(text));
        assert_eq!(Value::Date("2024-01-02".to_owned()).to_python_json(&[]), None);
        let mut mixed = Map::default();
        mixed.insert(1.into(), Value::Null, 0);
        assert_eq!(
            Value::map(mixed.clone()).to_python_json(&[]).as_deref(),
            Some(r#"{"1": null}"#)
        );
        mixed.put("a", Value::Null);
        assert_eq!(Value::map(mixed).to_python_json(&[]), None);
    }

    #[test]
    fn a_detached_copy_shares_only_with_itself() {
        let inner = Value::list(vec![1.into()]);
        let outer = map(&[("a", inner.clone()), ("b", inner.clone())]);
        let copy = outer.detached();
        let at = |key| {
            copy.as_map()
                .and_then(|map| map.get(key))
                .and_then(Value::address)
        };
        assert_eq!(at("a"), at("b"));
        assert!(at("a").is_some() && at("a") != inner.address());
        assert_eq!(copy, outer);
    }
}
