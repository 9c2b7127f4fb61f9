//! Writing values as YAML exactly as DVC does, with aliases where lists or mappings are shared.
//!
//! Invariant: for plain data the text is that of [`crate::yaml`]; a value that is met again is an alias, and anchors are
//! `id001`, `id002`, ... in the order in which they are needed first. Deliberately absent: comments and block scalars.

use std::collections::{HashMap, HashSet};

use super::value::{Map, Value, float_text};
use crate::scalar::{self, Line};

/// The text of a document that is a mapping, with a final newline.
pub(crate) fn to_text(document: &Value) -> String {
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
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use fs_err as fs;
    use proptest::prelude::*;

    use super::to_text;
    use crate::pipeline::{Map, Value, json_read, yaml_read};

    #[test]
    fn plain_data_is_written_as_dvc_writes_it() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/dvc/emitter.jsonl");
        let rows = fs::read_to_string(path).expect("readable");
        let mut seen = 0;
        for row in rows.lines() {
            let row = json_read::read(row).expect("JSON");
            let row = row.as_map().expect("a mapping");
            let value = row.get("value").expect("a value");
            assert_eq!(
                Some(to_text(value).as_str()),
                row.get("yaml").and_then(Value::as_str)
            );
            seen += 1;
        }
        assert!(seen > 100);
    }

    #[test]
    fn what_is_shared_is_an_alias() {
        let text = "k: &id002\n  b: &id001\n  - 1\n  c: *id001\nl:\n- &id003\n  - x\n- *id003\n- *id002\n\
                    m:\n- &id004\n  z: &id005 {}\n- *id004\n- *id005\n";
        let value = yaml_read::read(text).expect("YAML");
        // Numbers follow the order of the second meeting.
        let renumbered = "k: &id003\n  b: &id001\n  - 1\n  c: *id001\nl:\n- &id002\n  - x\n- *id002\n- *id003\n\
                    m:\n- &id004\n  z: &id005 {}\n- *id004\n- *id005\n";
        assert_eq!(to_text(&value), renumbered);
        assert_eq!(yaml_read::read(renumbered).expect("YAML"), value);
    }

    #[test]
    fn numbers_and_dates_are_plain_and_text_like_them_is_quoted() {
        let text = "a: 1e-05\nb: 2.0\nc: .inf\nd: .nan\ne: 2024-01-02\nf: '2024-01-02'\ng: '010'\nh: '1_000'\ni: yes\nj:\nk: 12345678901234567890123\nl: '1e3'\nm: 1e+20\n";
        assert_eq!(to_text(&yaml_read::read(text).expect("YAML")), text);
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<u64>().prop_map(Value::from),
            (-1e30..1e30).prop_map(Value::Float),
            "\\PC{0,12}".prop_map(Value::Str),
            "[ab '\u{85}\u{2028}\u{2029}\n\t]{0,8}".prop_map(Value::Str),
            "[-0-9a-z_.: ]{0,90}".prop_map(Value::Str),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::list),
                prop::collection::vec(("[a-z0-9 .]{1,6}", inner), 0..4).prop_map(|entries| {
                    let mut map = Map::default();
                    for (key, value) in entries {
                        map.put(&key, value);
                    }
                    Value::map(map)
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in any_value()) {
            let mut map = Map::default();
            map.put("k", value);
            let value = Value::map(map);
            let text = to_text(&value);
            prop_assert_eq!(yaml_read::read(&text).expect(&text), value, "{}", text);
        }
    }
}
