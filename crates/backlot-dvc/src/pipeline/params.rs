//! Parameters: the values a stage depends on, out of YAML, JSON, TOML and Python files.
//!
//! Invariants: a file's kind is that of its ending, YAML by default; a key is a path with `.`, in which a number is an
//! index of a list. Deliberately absent: `key[0]`, which DVC does not find either, and patterns in keys.

use super::error::{PipelineError, Result};
use super::value::{Map, Value};
use super::{json_read, python_read, toml_read, yaml_read};

/// The file whose keys stand in `params` without a file.
pub const DEFAULT_FILE: &str = "params.yaml";

/// Read a file of parameters or variables; an empty YAML file is an empty mapping.
pub fn read(file: &str, text: &str) -> Result<Value> {
    let name = file.rsplit('/').next().unwrap_or(file);
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let value = match ending.to_lowercase().as_str() {
        "json" => json_read::read(text),
        "toml" => toml_read::read(text),
        "py" => python_read::read(text),
        _ => yaml_read::read(text),
    };
    match value.map_err(|problem| PipelineError::syntax(file, problem))? {
        Value::Null => Ok(Value::map(Map::default())),
        value => Ok(value),
    }
}

/// The value of a key such as `train.layers.0.size`.
pub fn find<'a>(file: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.').try_fold(file, |value, part| match value {
        Value::Map(map) => map.get(part).or_else(|| {
            // A key that is a number stands for its text.
            let mut others = map.iter().filter(|entry| entry.key.as_str().is_none());
            others
                .find(|entry| entry.key.to_text().as_deref() == Some(part))
                .map(|entry| &entry.value)
        }),
        Value::List(items) => {
            let canonical = part == "0" || !part.starts_with(['0', '+']);
            items.get(part.parse::<usize>().ok().filter(|_| canonical)?)
        }
        _ => None,
    })
}

/// The values of keys in a file, without those it does not have; all of the file if no keys are named.
pub fn select(file: &str, content: &Value, keys: &[String]) -> Result<Vec<(String, Value)>> {
    let Some(map) = content.as_map() else {
        return Err(PipelineError::NoParameters {
            file: file.to_owned(),
            kind: content.kind(),
        });
    };
    let found: Vec<(String, Value)> = if keys.is_empty() {
        map.iter()
            .filter_map(|entry| Some((entry.key.to_text()?, entry.value.clone())))
            .collect()
    } else {
        keys.iter()
            .filter_map(|key| Some((key.clone(), find(content, key)?.clone())))
            .collect()
    };
    match found
        .iter()
        .find_map(|(key, value)| Some((key, value.find_foreign()?)))
    {
        None => Ok(found),
        Some((key, kind)) => Err(PipelineError::ForeignParameter {
            file: file.to_owned(),
            key: key.clone(),
            kind,
        }),
    }
}

#[cfg(test)]
mod tests {
    use backlot_core::Diagnostic as _;

    use super::{find, read, select};
    use crate::pipeline::Value;

    #[test]
    fn keys_are_paths_with_indexes() {
        let file = read("p.yaml", "a: {b: [1, {c: 2}]}\nx.y: 3\n1: one\nq: [5]\nn: ~\n").expect("read");
        for (key, value) in [
            ("a.b.0", Some(1.into())),
            ("a.b.1.c", Some(2.into())),
            ("1", Some("one".into())),
            ("n", Some(Value::Null)),
            ("x.y", None),
            ("q[0]", None),
            ("q.1", None),
            ("q.-1", None),
            ("q.00", None),
            ("a.b.0.c", None),
            ("", None),
        ] {
            assert_eq!(find(&file, key), value.as_ref(), "{key}");
        }
    }

    #[test]
    fn the_ending_says_what_a_file_is() {
        for (file, text) in [
            ("a/p.JSON", "{\"k\": 1}"),
            ("p.toml", "k = 1"),
            ("p.py", "k = 1"),
            ("p.yml", "k: 1"),
            ("noending", "k: 1"),
        ] {
            assert_eq!(
                find(&read(file, text).expect(file), "k"),
                Some(&1.into()),
                "{file}"
            );
        }
        let error = read("p.json", "{\n").expect_err("refused");
        assert_eq!(
            error.to_string(),
            "`p.json`, line 2: expected a key in double quotes"
        );
        assert_eq!(error.code(), "pipeline::syntax");
    }

    #[test]
    fn what_a_lock_cannot_hold_is_named() {
        let file = read("p.py", "a = [{1}]\nb = 2\n").expect("read");
        let error = select("p.py", &file, &["a".to_owned()]).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "the parameter `a` of `p.py` is a set of Python, which a lock cannot record"
        );
        assert_eq!(
            select("p.py", &file, &["b".to_owned(), "c".to_owned()])
                .expect("read")
                .len(),
            1
        );
        let list = read("p.yaml", "[1]").expect("read");
        assert_eq!(
            select("p.yaml", &list, &[]).expect_err("refused").code(),
            "pipeline::no_parameters"
        );
    }
}
