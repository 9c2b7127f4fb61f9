//! Writing YAML exactly as DVC does (ruamel.yaml 0.18, round-trip dumper, width 80, two spaces, `- ` at the parent's column).
//!
//! Invariant: for plain data the bytes equal DVC's own; `fixtures/dvc/emitter.jsonl` holds DVC's answers. Deliberately
//! absent: anchors, comments, block scalars and flow style, which DVC writes only where they stood in a file before
//! (see [`crate::patch`]). Reading is `serde_yaml_ng`'s.

use serde_yaml_ng::{Mapping, Number, Value};

use crate::scalar::{self, Line};

/// The text of a document that is a mapping, with a final newline.
pub fn to_text(document: &Mapping) -> String {
    if document.is_empty() {
        return "{}\n".to_owned();
    }
    let mut line = Line::default();
    write_mapping(&mut line, document, 0, true);
    line.finish()
}

/// Write entries at `indent`. `continued` means that the line stands at the place of the first key already.
fn write_mapping(line: &mut Line, mapping: &Mapping, indent: usize, mut continued: bool) {
    for (key, value) in mapping {
        if !continued {
            line.break_to(indent);
        }
        continued = false;
        let simple = is_simple_key(key);
        if simple {
            write_scalar(line, key, indent + 2, true);
        } else {
            line.push("?");
            write_value(line, key, indent, false);
            line.break_to(indent);
        }
        line.push(":");
        write_value(line, value, indent, simple);
    }
}

/// Write what follows the `:` of a simple key at `indent` (`in_mapping`), or a `-`, a `?` or the `:` after it.
fn write_value(line: &mut Line, value: &Value, indent: usize, in_mapping: bool) {
    match untagged(value) {
        Value::Mapping(mapping) if !mapping.is_empty() => {
            if in_mapping {
                line.break_to(indent + 2);
            } else {
                line.push(" ");
            }
            write_mapping(line, mapping, indent + 2, true);
        }
        Value::Sequence(items) if !items.is_empty() => {
            // DVC's sequences inside mappings stand at the column of their key, those inside sequences two further.
            let column = if in_mapping { indent } else { indent + 2 };
            for (position, item) in items.iter().enumerate() {
                if in_mapping || position > 0 {
                    line.break_to(column);
                } else {
                    line.push(" ");
                }
                line.push("-");
                write_value(line, item, column, false);
            }
        }
        Value::Null if !in_mapping => line.push(" "),
        other => write_scalar(line, other, indent + 2, false),
    }
}

fn write_scalar(line: &mut Line, value: &Value, indent: usize, key: bool) {
    let text = match untagged(value) {
        Value::Null => String::new(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number_text(number),
        Value::String(text) => return scalar::write(line, text, indent, key),
        Value::Mapping(_) | Value::Tagged(_) => return line.push(if key { "{}" } else { " {}" }),
        Value::Sequence(_) => return line.push(if key { "[]" } else { " []" }),
    };
    if !text.is_empty() {
        scalar::write_verbatim(line, &text, indent, key);
    }
}

/// Keys that are short (ruamel counts the tag `!!str` too) and fit on a line; others are written with `?`.
fn is_simple_key(key: &Value) -> bool {
    match untagged(key) {
        Value::String(text) => text.chars().count() + 5 < 128 && !scalar::has_line_break(text),
        Value::Mapping(mapping) => mapping.is_empty(),
        Value::Sequence(items) => items.is_empty(),
        _ => true,
    }
}

fn untagged(value: &Value) -> &Value {
    match value {
        Value::Tagged(tagged) => untagged(&tagged.value),
        other => other,
    }
}

/// Integers in decimal, floats as Python's `repr`.
fn number_text(number: &Number) -> String {
    if let Some(integer) = number.as_i64() {
        return integer.to_string();
    }
    if let Some(integer) = number.as_u64() {
        return integer.to_string();
    }
    let float = number.as_f64().unwrap_or_default();
    if float.is_nan() {
        return ".nan".to_owned();
    }
    if float.is_infinite() {
        return if float > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    python_float(float)
}

/// The shortest digits that give the number back; an exponent below 1e-4 and from 1e16.
pub(crate) fn python_float(float: f64) -> String {
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        return format!("{float:?}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
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
