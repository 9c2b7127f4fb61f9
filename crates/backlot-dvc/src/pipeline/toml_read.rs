//! TOML parameter files.
//!
//! Invariant: tables keep the order of the file, as in a lock. Deliberately absent: lines of single values.

use toml_edit::{DocumentMut, Item, TableLike};

use super::problem::{Problem, line_of};
use super::value::{Map, Value};

/// Read a whole file.
pub(crate) fn read(text: &str) -> Result<Value, Problem> {
    let document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        let line = error.span().map_or(0, |span| line_of(text, span.start));
        Problem::new(line, error.message().trim().replace('\n', "; "))
    })?;
    Ok(table(document.as_table()))
}

fn table(table: &dyn TableLike) -> Value {
    let mut map = Map::default();
    for (key, item) in table.iter() {
        let value = match item {
            Item::None => continue,
            Item::Value(value) => plain(value),
            Item::Table(inner) => self::table(inner),
            Item::ArrayOfTables(tables) => {
                Value::list(tables.iter().map(|inner| self::table(inner)).collect())
            }
        };
        map.put(key, value);
    }
    Value::map(map)
}

fn plain(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => text.value().as_str().into(),
        toml_edit::Value::Integer(number) => Value::Int((*number.value()).into()),
        toml_edit::Value::Float(float) => Value::Float(*float.value()),
        toml_edit::Value::Boolean(flag) => Value::Bool(*flag.value()),
        toml_edit::Value::Datetime(date) => Value::Date(date.value().to_string()),
        toml_edit::Value::Array(items) => Value::list(items.iter().map(plain).collect()),
        toml_edit::Value::InlineTable(inner) => table(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::pipeline::yaml_read;

    #[test]
    fn toml_is_the_same_value_as_the_yaml_for_it_in_the_same_order() {
        let toml = "z = 1_000\nd = 2024-01-02\n[t]\nb = [1, 2.0]\na = 'x'\n[t.sub]\nk = {c = true}\n[[l]]\nn = 1\n[[l]]\nn = 2\n";
        let yaml =
            "z: 1000\nd: 2024-01-02\nt: {b: [1, 2.0], a: x, sub: {k: {c: true}}}\nl: [{n: 1}, {n: 2}]\n";
        let (toml, yaml) = (read(toml).expect("TOML"), yaml_read::read(yaml).expect("YAML"));
        assert_eq!(toml, yaml);
        let keys = |value: &crate::pipeline::Value| -> Vec<String> {
            let map = value.as_map().expect("a mapping");
            map.iter().filter_map(|entry| entry.key.to_text()).collect()
        };
        assert_eq!(keys(&toml), keys(&yaml));
    }

    #[test]
    fn a_defect_has_its_line() {
        assert_eq!(read("a = 1\nb = \n").expect_err("refused").line, 2);
        assert_eq!(read("a = 1\na = 2\n").expect_err("refused").line, 2);
    }
}
