//! Files of parameters, metrics and plots of pipelines, and their values as rows.
//!
//! Invariants: only files inside of the project are named; rows stand in the order of their file. Deliberately absent: images and folders of
//! plots, templates of Vega, and reading files: texts come from the caller.

use std::collections::{BTreeMap, BTreeSet};

use backlot_core::RelPath;

use super::Pipelines;
use super::error::{PipelineError, Result};
use super::params;
use super::place::Place;
use super::stage::OutputKind;
use super::value::{Map, Value};

/// A chart of one or several files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlotDefinition {
    /// Its name: that of the file, or the one that `plots` gives it.
    pub name: String,
    /// Its title.
    pub title: Option<String>,
    /// The field of the horizontal axis; the number of the row by default.
    pub x: Option<String>,
    /// The labels of the axes.
    pub labels: [Option<String>; 2],
    /// The files with the fields to draw; none stands for the last field with numbers.
    pub sources: Vec<(RelPath, Vec<String>)>,
}

/// A line of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The field.
    pub field: String,
    /// Its points, all of them finite.
    pub points: Vec<(f64, f64)>,
}

impl Pipelines {
    /// The files of parameters with the keys that are tracked; none stands for all. All of a `params.yaml` beside a `dvc.yaml` is.
    pub fn parameter_files(&self) -> BTreeMap<RelPath, BTreeSet<String>> {
        let mut whole = BTreeSet::new();
        for file in &self.files {
            let folder = Place::folder_of(&file.path);
            let own = Value::from("params.yaml");
            let named = file.params.iter().chain(std::iter::once(&own));
            whole.extend(named.filter_map(|value| inside(&folder, value.as_str()?)));
        }
        let mut files: BTreeMap<RelPath, BTreeSet<String>> = BTreeMap::new();
        for dep in self.stages.iter().flat_map(|stage| &stage.params) {
            if let Some(path) = dep.place.inside() {
                if dep.keys.is_empty() {
                    whole.insert(path.clone());
                }
                files
                    .entry(path.clone())
                    .or_default()
                    .extend(dep.keys.iter().cloned());
            }
        }
        for path in whole {
            files.insert(path, BTreeSet::new());
        }
        files
    }

    /// The files of metrics.
    pub fn metric_files(&self) -> BTreeSet<RelPath> {
        let outs = self.stages.iter().flat_map(|stage| &stage.outs);
        let outs = outs.filter(|out| out.kind == OutputKind::Metric);
        let mut files: BTreeSet<RelPath> = outs.map(|out| out.place.clone()).collect();
        for file in &self.files {
            let folder = Place::folder_of(&file.path);
            let names = file
                .metrics
                .iter()
                .filter_map(|value| named(value).map(|(name, _)| name));
            files.extend(names.filter_map(|name| inside(&folder, &name)));
        }
        files
    }

    /// The charts: of outputs of stages, then those of their own.
    pub fn plots(&self) -> Vec<PlotDefinition> {
        let mut plots = Vec::new();
        let outs = self.stages.iter().flat_map(|stage| &stage.outs);
        for out in outs.filter(|out| out.kind == OutputKind::Plot) {
            let fields = texts(out.flags.get("y"));
            plots.push(PlotDefinition {
                sources: vec![(out.place.clone(), fields)],
                ..definition(out.place.as_str(), &out.flags)
            });
        }
        for file in &self.files {
            let folder = Place::folder_of(&file.path);
            for (name, flags) in file.plots.iter().filter_map(named) {
                let sources = match flags.get("y") {
                    Some(Value::Map(files)) => {
                        let sources = files.iter().filter_map(|entry| {
                            let path = inside(&folder, entry.key.as_str()?)?;
                            Some((path, texts(Some(&entry.value))))
                        });
                        sources.collect()
                    }
                    fields => inside(&folder, &name)
                        .map(|path| (path, texts(fields)))
                        .into_iter()
                        .collect(),
                };
                plots.push(PlotDefinition {
                    sources,
                    ..definition(&name, &flags)
                });
            }
        }
        plots
    }
}

fn definition(name: &str, flags: &Map) -> PlotDefinition {
    let text = |key: &str| flags.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
    PlotDefinition {
        name: name.to_owned(),
        title: text("title"),
        x: text("x").or_else(|| {
            // `x: {FILE: FIELD}`
            let of_file = flags.get("x")?.as_map()?.iter().next()?;
            of_file.value.as_str().map(ToOwned::to_owned)
        }),
        labels: [text("x_label"), text("y_label")],
        sources: Vec::new(),
    }
}

/// `name`, or `name: {...}`.
fn named(value: &Value) -> Option<(String, Map)> {
    if let Some(name) = value.as_str() {
        return Some((name.to_owned(), Map::default()));
    }
    let entry = value.as_map()?.iter().next()?;
    let flags = entry.value.as_map().cloned().unwrap_or_default();
    Some((entry.key.as_str()?.to_owned(), flags))
}

/// A text, or a list of texts.
fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::List(items)) => items
            .iter()
            .filter_map(|item| Some(item.as_str()?.to_owned()))
            .collect(),
        Some(Value::Str(text)) => vec![text.clone()],
        _ => Vec::new(),
    }
}

fn inside(folder: &Place, path: &str) -> Option<RelPath> {
    Place::resolve(folder, path).ok()?.inside().cloned()
}

/// The values of a file by their keys, mappings taken apart with `.` between keys; a list is one value.
pub fn flat(value: &Value) -> Vec<(String, Value)> {
    fn add(prefix: &str, map: &Map, rows: &mut Vec<(String, Value)>) {
        for entry in map.iter() {
            let key = entry.key.to_text().unwrap_or_default();
            let key = if prefix.is_empty() {
                key
            } else {
                format!("{prefix}.{key}")
            };
            match entry.value.as_map() {
                Some(inner) if !inner.is_empty() => add(&key, inner, rows),
                _ => rows.push((key, entry.value.clone())),
            }
        }
    }
    let mut rows = Vec::new();
    if let Some(map) = value.as_map() {
        add("", map, &mut rows);
    }
    rows
}

/// A value as JSON; what JSON does not have is the text of it.
pub fn to_json(value: &Value) -> serde_json::Value {
    let text = || {
        value
            .to_text()
            .map_or(serde_json::Value::Null, serde_json::Value::String)
    };
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::Int(number) => {
            let number: Option<serde_json::Number> = number.to_string().parse().ok();
            number.map_or_else(text, serde_json::Value::Number)
        }
        Value::Float(float) => {
            serde_json::Number::from_f64(*float).map_or_else(text, serde_json::Value::Number)
        }
        Value::Str(_) | Value::Date(_) => text(),
        Value::Foreign(kind) => (*kind).into(),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(map) => {
            let entries = map.iter();
            let entries =
                entries.map(|entry| (entry.key.to_text().unwrap_or_default(), to_json(&entry.value)));
            serde_json::Value::Object(entries.collect())
        }
    }
}

/// The number that a value is, or that its text says.
pub fn number(value: &Value) -> Option<f64> {
    let number: f64 = match value {
        Value::Float(float) => *float,
        Value::Int(_) | Value::Str(_) => value.to_text()?.trim().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// Whether a file has rows that can be drawn, by the ending of its name.
pub fn is_drawable(file: &RelPath) -> bool {
    let ending = file.as_str().rsplit('.').next().map(str::to_ascii_lowercase);
    ending.is_some_and(|ending| ["csv", "tsv", "json", "yaml", "yml"].contains(&ending.as_str()))
}

/// The lines that a file draws. An error names a field that no row has.
pub fn series(file: &RelPath, text: &str, x: Option<&str>, fields: &[String]) -> Result<Vec<Series>> {
    let rows = rows(file, text)?;
    let known = |field: &str| rows.iter().any(|row| row.iter().any(|(name, _)| name == field));
    let lacks = fields
        .iter()
        .map(String::as_str)
        .chain(x)
        .find(|field| !known(field));
    if let Some(field) = lacks {
        return Err(PipelineError::Plot {
            file: file.to_string(),
            reason: format!("no row has the field `{field}`"),
        });
    }
    let mut fields = fields.to_vec();
    if fields.is_empty() {
        let numbers = rows.first().into_iter().flatten().rev();
        let mut numbers = numbers.filter(|(name, value)| number(value).is_some() && Some(name.as_str()) != x);
        fields.extend(numbers.next().map(|(name, _)| name.clone()));
    }
    let at = |row: &Row, field: &str| {
        let value = row.iter().find(|(name, _)| name == field);
        value.and_then(|(_, value)| number(value))
    };
    let mut all = Vec::with_capacity(fields.len());
    for field in fields {
        let mut points = Vec::with_capacity(rows.len());
        for (position, row) in (0_u32..).zip(&rows) {
            let x = match x {
                None => Some(f64::from(position)),
                Some(x) => at(row, x),
            };
            points.extend(x.zip(at(row, &field)));
        }
        all.push(Series { field, points });
    }
    Ok(all)
}

/// The fields of a row in their order.
type Row = Vec<(String, Value)>;

fn rows(file: &RelPath, text: &str) -> Result<Vec<Row>> {
    let name = file.as_str().to_ascii_lowercase();
    if name.ends_with(".csv") || name.ends_with(".tsv") {
        let separator = if name.ends_with(".tsv") { '\t' } else { ',' };
        let mut records = records(text, separator).into_iter();
        let header = records.next().unwrap_or_default();
        let row = |record: Vec<String>| {
            header
                .iter()
                .cloned()
                .zip(record.into_iter().map(Value::Str))
                .collect()
        };
        return Ok(records.map(row).collect());
    }
    let value = params::read(file.as_str(), text)?;
    let list = match &value {
        Value::List(items) => Some(items),
        // As DVC: the first list of rows in a mapping.
        Value::Map(map) => map.iter().find_map(|entry| match &entry.value {
            Value::List(items) => Some(items),
            _ => None,
        }),
        _ => None,
    };
    let items = list.ok_or_else(|| PipelineError::Plot {
        file: file.to_string(),
        reason: "it has no list of rows".to_owned(),
    })?;
    Ok(items.iter().map(flat).collect())
}

/// The records of a text with separated values (RFC 4180): a quoted field may hold separators, line breaks and doubled quotes.
fn records(text: &str, separator: char) -> Vec<Vec<String>> {
    let (mut all, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut chars = text.trim_start_matches('\u{feff}').chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                field.push('"');
                chars.next();
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            '\r' if !quoted && chars.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                record.push(std::mem::take(&mut field));
                all.push(std::mem::take(&mut record));
            }
            c if c == separator && !quoted => record.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    if !field.is_empty() || !record.is_empty() {
        record.push(field);
        all.push(record);
    }
    all.retain(|record| record.iter().any(|field| !field.is_empty()));
    all
}

#[cfg(test)]
mod tests {
    use backlot_core::{Diagnostic as _, RelPath};

    use super::{flat, records, series, to_json};
    use crate::pipeline::params;

    fn path(text: &str) -> RelPath {
        RelPath::parse(text).expect("a path")
    }

    #[test]
    fn mappings_are_taken_apart_and_lists_stay() {
        let value = params::read(
            "m.json",
            "{\"a\": {\"b\": 1, \"c\": {}}, \"d\": [1, 2.5], \"e\": null}",
        )
        .expect("read");
        let rows = flat(&value);
        let keys: Vec<&str> = rows.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["a.b", "a.c", "d", "e"]);
        assert_eq!(
            to_json(&value).to_string(),
            "{\"a\":{\"b\":1,\"c\":{}},\"d\":[1,2.5],\"e\":null}"
        );
        let large = params::read("m.yaml", "a: .nan\nb: 2001-01-02\n").expect("read");
        assert_eq!(
            to_json(&large).to_string(),
            "{\"a\":\"nan\",\"b\":\"2001-01-02\"}"
        );
    }

    #[test]
    fn quoted_fields_hold_separators_line_breaks_and_quotes() {
        let found = records("\u{feff}a,b\r\n\"x, \"\"y\"\"\n\",2\n\n3,", ',');
        assert_eq!(found, [vec!["a", "b"], vec!["x, \"y\"\n", "2"], vec!["3", ""]]);
        assert!(records("", ',').is_empty());
    }

    #[test]
    fn the_last_numbers_of_rows_are_drawn_over_their_positions() {
        for (file, text) in [
            ("l.csv", "step,name,loss\n10,a,0.5\n20,b,\n30,c,0.25\n"),
            ("l.tsv", "step\tname\tloss\n10\ta\t0.5\n20\tb\tx\n30\tc\t0.25\n"),
            (
                "l.json",
                "{\"train\": [{\"step\": 10, \"loss\": 0.5}, {\"step\": 20}, {\"step\": 30, \"loss\": 0.25}]}",
            ),
            (
                "l.yaml",
                "- {step: 10, loss: 0.5}\n- {step: 20, loss: .inf}\n- {step: 30, loss: 0.25}\n",
            ),
        ] {
            let lines = series(&path(file), text, None, &[]).expect(file);
            assert_eq!(lines.len(), 1, "{file}");
            assert_eq!(
                (lines[0].field.as_str(), lines[0].points.as_slice()),
                ("loss", &[(0.0, 0.5), (2.0, 0.25)][..]),
                "{file}"
            );
            let over = series(&path(file), text, Some("step"), &["loss".to_owned()]).expect(file);
            assert_eq!(over[0].points, [(10.0, 0.5), (30.0, 0.25)], "{file}");
            let error = series(&path(file), text, Some("epoch"), &[]).expect_err(file);
            assert_eq!(error.code(), "pipeline::plot");
        }
    }
}
