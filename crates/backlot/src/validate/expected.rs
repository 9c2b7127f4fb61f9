//! Values that a command has to report: a workout, as riggers say, that runs an asset and measures it.
//!
//! `expect` of a check names values; the command prints a line with `values`. A number may be off by rounding, by `within`, or between `min` and `max`.

use serde_json::{Map, Value};

use crate::validate::found::CheckItem;

/// How far fractions may be apart that are to be equal, as a part of them.
const ROUNDING: f64 = 1e-9;

/// What is not as expected.
pub(crate) fn compare(expect: &toml::Table, values: &Map<String, Value>) -> Vec<CheckItem> {
    let mut items = Vec::new();
    for (name, wanted) in expect {
        let Some(found) = values.get(name) else {
            let message = format!("the command did not report `{name}`");
            items.push(CheckItem::of_all(message).compared(wanted, "nothing"));
            continue;
        };
        if !fits(wanted, found) {
            let message = format!("`{name}` is {found}, not {}", shown(wanted));
            items.push(CheckItem::of_all(message).compared(shown(wanted), found));
        }
    }
    items
}

fn shown(wanted: &toml::Value) -> String {
    let toml::Value::Table(bounds) = wanted else {
        return wanted.to_string();
    };
    match (
        bounds.get("value"),
        bounds.get("within"),
        bounds.get("min"),
        bounds.get("max"),
    ) {
        (Some(value), Some(within), _, _) => format!("{value} within {within}"),
        (_, _, Some(min), Some(max)) => format!("{min} to {max}"),
        (_, _, Some(min), None) => format!("at least {min}"),
        (_, _, None, Some(max)) => format!("at most {max}"),
        _ => wanted.to_string(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "compared with a tolerance")]
fn number(value: &toml::Value) -> Option<f64> {
    match value {
        toml::Value::Integer(number) => Some(*number as f64),
        toml::Value::Float(number) => Some(*number),
        _ => None,
    }
}

fn fits(wanted: &toml::Value, found: &Value) -> bool {
    match (wanted, found) {
        (toml::Value::Table(bounds), Value::Number(found)) => {
            found.as_f64().is_some_and(|found| is_within(bounds, found))
        }
        (toml::Value::Array(wanted), Value::Array(found)) => {
            wanted.len() == found.len()
                && wanted
                    .iter()
                    .zip(found)
                    .all(|(wanted, found)| fits(wanted, found))
        }
        (toml::Value::String(wanted), Value::String(found)) => wanted == found,
        (toml::Value::Boolean(wanted), Value::Bool(found)) => wanted == found,
        (toml::Value::Integer(wanted), Value::Number(found)) if found.is_i64() => {
            found.as_i64() == Some(*wanted)
        }
        (wanted, Value::Number(found)) => match (number(wanted), found.as_f64()) {
            (Some(wanted), Some(found)) => (wanted - found).abs() <= ROUNDING * wanted.abs().max(1.0),
            _ => false,
        },
        _ => false,
    }
}

/// Whether a number is in bounds, which name nothing else.
fn is_within(bounds: &toml::Table, found: f64) -> bool {
    let get = |key: &str| bounds.get(key).and_then(number);
    let is_known = bounds.iter().all(|(key, value)| {
        matches!(key.as_str(), "value" | "within" | "min" | "max") && number(value).is_some()
    });
    let near = get("value").is_none_or(|value| (value - found).abs() <= get("within").unwrap_or(0.0));
    is_known && near && get("min").is_none_or(|min| found >= min) && get("max").is_none_or(|max| found <= max)
}

#[cfg(test)]
mod tests {
    use super::compare;

    #[test]
    fn values_are_compared_with_what_is_expected() {
        let expect: toml::Table = toml::from_str(
            "bones = 42\nheight = { value = 1.8, within = 0.01 }\nweight = { min = 1, max = 2 }\nname = \"rig\"\nbox = [0, 1.5]\nok = true\ngone = 1\n",
        )
        .expect("a table");
        let right = r#"{"bones": 42, "height": 1.805, "weight": 1.5, "name": "rig", "box": [0, 1.5000000000001], "ok": true, "gone": 1}"#;
        let right = serde_json::from_str(right).expect("values");
        assert_eq!(compare(&expect, &right), []);
        let wrong = r#"{"bones": 41, "height": 1.82, "weight": 2.5, "name": "Rig", "box": [0], "ok": 1}"#;
        let wrong = serde_json::from_str(wrong).expect("values");
        let messages: Vec<String> = compare(&expect, &wrong)
            .into_iter()
            .map(|item| item.message)
            .collect();
        assert_eq!(
            messages,
            [
                "`bones` is 41, not 42",
                "`box` is [0], not [0, 1.5]",
                "the command did not report `gone`",
                "`height` is 1.82, not 1.8 within 0.01",
                "`name` is \"Rig\", not \"rig\"",
                "`ok` is 1, not true",
                "`weight` is 2.5, not 1 to 2",
            ]
        );
        // An unknown bound allows nothing.
        let unknown: toml::Table = toml::from_str("a = { most = 3 }").expect("a table");
        let value = serde_json::from_str("{\"a\": 1}").expect("values");
        assert_eq!(compare(&unknown, &value).len(), 1);
    }
}
