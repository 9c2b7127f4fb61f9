//! Writing YAML exactly as DVC does (ruamel.yaml 0.18, round-trip dumper, width 80, two spaces, `- ` at the parent's column).
//!
//! Invariant: for plain data the bytes equal DVC's own (`fixtures/dvc/emitter.jsonl` holds DVC's answers); a list or mapping that is met again is
//! an alias, and anchors are `id001`, `id002`, ... in the order in which they are needed first. Deliberately absent: comments, block
//! scalars and flow style, which DVC writes only where they stood in a file before (see [`crate::patch`]), and reading: that of pointers is
//! `serde_yaml_ng`'s, that of pipelines `pipeline::yaml_read`.

use std::collections::{HashMap, HashSet};

use serde_yaml_ng::{Mapping, Number};

use crate::pipeline::{Integer, Map, Value, float_text};
use crate::scalar::{self, Line};

/// The text of a document that is a mapping, with a final newline.
pub fn to_text(document: &Mapping) -> String {
    value_text(&mapping(document))
}

fn mapping(from: &Mapping) -> Value {
    let mut map = Map::default();
    for (key, value) in from {
        map.append(plain(key), plain(value), 0);
    }
    Value::map(map)
}

/// A value without its tags.
fn plain(value: &serde_yaml_ng::Value) -> Value {
    use serde_yaml_ng::Value as Read;
    match value {
        Read::Null => Value::Null,
        Read::Bool(flag) => Value::Bool(*flag),
        Read::Number(read) => number(read),
        Read::String(text) => Value::from(text.as_str()),
        Read::Sequence(items) => Value::list(items.iter().map(plain).collect()),
        Read::Mapping(map) => mapping(map),
        Read::Tagged(tagged) => plain(&tagged.value),
    }
}

fn number(read: &Number) -> Value {
    let integer = read.as_u64().map(Integer::from);
    match integer.or_else(|| read.as_i64().map(Integer::from)) {
        Some(integer) => Value::Int(integer),
        None => Value::Float(read.as_f64().unwrap_or_default()),
    }
}

/// The same of a value.
pub(crate) fn value_text(document: &Value) -> String {
    let Value::Map(map) = document else {
        return String::new();
    };
    if map.is_empty() {
        return "{}\n".to_owned();
    }
    let mut writer = Writer {
        line: Line::default(),
        anchors: find_shared(document),
        written: HashSet::new(),
    };
    writer.mapping(map, 0, true);
    writer.line.finish()
}

/// Whether a value has a list or a mapping more than once, so that its text has aliases.
pub(crate) fn has_aliases(document: &Value) -> bool {
    !find_shared(document).is_empty()
}

/// The addresses of what is met more than once, with the names of their anchors.
fn find_shared(document: &Value) -> HashMap<*const (), String> {
    fn visit(value: &Value, met: &mut HashSet<*const ()>, anchors: &mut HashMap<*const (), String>) {
        let Some(address) = value.address() else { return };
        if !met.insert(address) {
            let next = anchors.len() + 1;
            anchors.entry(address).or_insert_with(|| format!("id{next:03}"));
            return;
        }
        match value {
            Value::List(items) => items.iter().for_each(|item| visit(item, met, anchors)),
            Value::Map(map) => map.iter().for_each(|entry| visit(&entry.value, met, anchors)),
            _ => {}
        }
    }
    let mut anchors = HashMap::new();
    visit(document, &mut HashSet::new(), &mut anchors);
    anchors
}

struct Writer {
    line: Line,
    anchors: HashMap<*const (), String>,
    written: HashSet<*const ()>,
}

impl Writer {
    /// Write entries at `indent`. `continued` means that the line stands at the place of the first key already.
    fn mapping(&mut self, map: &Map, indent: usize, mut continued: bool) {
        for entry in map.iter() {
            if !continued {
                self.line.break_to(indent);
            }
            continued = false;
            let simple = is_simple_key(&entry.key);
            if simple {
                self.scalar(&entry.key, indent + 2, true);
            } else {
                self.line.push("?");
                self.value(&entry.key, indent, false);
                self.line.break_to(indent);
            }
            self.line.push(":");
            self.value(&entry.value, indent, simple);
        }
    }

    /// Write what follows the `:` of a simple key at `indent` (`in_mapping`), or a `-`, a `?` or the `:` after it.
    fn value(&mut self, value: &Value, indent: usize, in_mapping: bool) {
        let mut anchored = false;
        if let Some(address) = value.address()
            && let Some(name) = self.anchors.get(&address)
        {
            if !self.written.insert(address) {
                self.line.push(&format!(" *{name}"));
                return;
            }
            self.line.push(&format!(" &{name}"));
            anchored = true;
        }
        match value {
            Value::Map(map) if !map.is_empty() => {
                if in_mapping || anchored {
                    self.line.break_to(indent + 2);
                } else {
                    self.line.push(" ");
                }
                self.mapping(map, indent + 2, true);
            }
            Value::List(items) if !items.is_empty() => {
                // Sequences inside mappings stand at the column of their key, those inside sequences two further.
                let column = if in_mapping { indent } else { indent + 2 };
                for (position, item) in items.iter().enumerate() {
                    if in_mapping || anchored || position > 0 {
                        self.line.break_to(column);
                    } else {
                        self.line.push(" ");
                    }
                    self.line.push("-");
                    self.value(item, column, false);
                }
            }
            Value::Null if !in_mapping => self.line.push(" "),
            other => self.scalar(other, indent + 2, false),
        }
    }

    fn scalar(&mut self, value: &Value, indent: usize, key: bool) {
        let text = match value {
            Value::Str(text) => return scalar::write(&mut self.line, text, indent, key),
            Value::Null | Value::Foreign(_) => String::new(),
            Value::Float(float) => float_text(*float, [".nan", ".inf", "-.inf"]),
            Value::Map(_) => return self.line.push(if key { "{}" } else { " {}" }),
            Value::List(_) => return self.line.push(if key { "[]" } else { " []" }),
            other => other.to_text().unwrap_or_default(),
        };
        if !text.is_empty() {
            scalar::write_verbatim(&mut self.line, &text, indent, key);
        }
    }
}

/// Keys that are short (ruamel counts the tag `!!str` too) and fit on a line; others are written with `?`.
fn is_simple_key(key: &Value) -> bool {
    match key {
        Value::Str(text) => text.chars().count() + 5 < 128 && !scalar::has_line_break(text),
        Value::Map(map) => map.is_empty(),
        Value::List(items) => items.is_empty(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use fs_err as fs;
    use serde_yaml_ng::Value;

    use super::to_text;

    fn golden() -> Vec<(Value, String)> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/dvc/emitter.jsonl");
        let text = fs::read_to_string(path).expect("readable");
        text.lines()
            .map(|line| {
                let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
                let value = serde_yaml_ng::to_value(&row["value"]).expect("plain data");
                (value, row["yaml"].as_str().expect("text").to_owned())
            })
            .collect()
    }

    #[test]
    fn every_golden_value_is_written_as_dvc_writes_it() {
        let mut wrong = Vec::new();
        for (value, yaml) in golden() {
            let ours = to_text(value.as_mapping().expect("a mapping"));
            if ours != yaml {
                wrong.push(format!("{value:?}\n  dvc {yaml:?}\n our {ours:?}"));
            }
        }
        assert!(
            wrong.is_empty(),
            "{} differ:\n{}",
            wrong.len(),
            wrong[..wrong.len().min(20)].join("\n")
        );
    }
}
