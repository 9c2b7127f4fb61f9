//! Which keys and values a `dvc.yaml` may have.
//!
//! Invariant: what passes here is what DVC 3 accepts before it replaces expressions; every refusal has the line of the
//! nearest key. Deliberately absent: the meaning of `datasets`, which are accepted and not used.

use std::sync::Arc;

use backlot_core::text;

use super::error::{PipelineError, Result, Spot};
use super::value::{Entry, Map, Value};

/// The allowed types of a value.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    Flag,
    Anything,
    Texts,
    Mappings,
    TextOrList,
    TextListOrMapping,
    TextsOrMappings,
    Keys(Keys),
    /// A list of paths, or of paths with flags.
    Outs(Keys),
    /// Names, each with keys below.
    Named(Keys, &'static str),
    /// Names, each with a text or a list.
    Choices,
    /// A list of texts, or of names with keys.
    Plots,
}

type Keys = &'static [(&'static str, Shape)];

const PLOT: Keys = &[
    ("cache", Shape::Flag),
    ("persist", Shape::Flag),
    ("checkpoint", Shape::Flag),
    ("remote", Shape::Text),
    ("push", Shape::Flag),
    ("desc", Shape::Text),
    ("type", Shape::Text),
    ("labels", Shape::Texts),
    ("meta", Shape::Anything),
    ("template", Shape::Text),
    ("x", Shape::Text),
    ("y", Shape::Text),
    ("x_label", Shape::Text),
    ("y_label", Shape::Text),
    ("title", Shape::Text),
    ("header", Shape::Flag),
];

/// The flags of any output, which those of a plot begin with.
const OUT: Keys = PLOT.split_at(9).0;

const TOP_PLOT: Keys = &[
    ("x", Shape::TextListOrMapping),
    ("y", Shape::TextListOrMapping),
    ("x_label", Shape::Text),
    ("y_label", Shape::Text),
    ("title", Shape::Text),
    ("template", Shape::Text),
];

const ARTIFACT: Keys = &[
    ("path", Shape::Text),
    ("desc", Shape::Text),
    ("type", Shape::Text),
    ("labels", Shape::Texts),
    ("meta", Shape::Anything),
];

const STAGE: Keys = &[
    ("matrix", Shape::Choices),
    ("cmd", Shape::TextOrList),
    ("wdir", Shape::Text),
    ("deps", Shape::Texts),
    ("params", Shape::TextsOrMappings),
    ("vars", Shape::TextsOrMappings),
    ("frozen", Shape::Flag),
    ("meta", Shape::Anything),
    ("desc", Shape::Text),
    ("always_changed", Shape::Flag),
    ("outs", Shape::Outs(OUT)),
    ("metrics", Shape::Outs(OUT)),
    ("plots", Shape::Outs(PLOT)),
];

/// A stage under `do`, which cannot have a matrix of its own.
const TEMPLATE: Keys = STAGE.split_at(1).1;

const FOREACH: Keys = &[
    ("foreach", Shape::TextListOrMapping),
    ("do", Shape::Keys(TEMPLATE)),
];

const FILE: Keys = &[
    ("vars", Shape::TextsOrMappings),
    ("stages", Shape::Mappings),
    ("params", Shape::Texts),
    ("metrics", Shape::Texts),
    ("plots", Shape::Plots),
    ("artifacts", Shape::Named(ARTIFACT, "path")),
    ("datasets", Shape::Anything),
];

/// A checked file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Definitions {
    pub(crate) vars: Option<Entry>,
    pub(crate) stages: Vec<StageDefinition>,
    pub(crate) params: Option<Entry>,
    pub(crate) metrics: Option<Entry>,
    pub(crate) plots: Option<Entry>,
    pub(crate) artifacts: Option<Entry>,
}

/// A stage, or a template of stages.
#[derive(Clone, Debug)]
pub(crate) struct StageDefinition {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) source: Source,
    /// The keys of the stage, without those that say how it is generated.
    pub(crate) body: Arc<Map>,
}

/// How stages are made of a definition.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// It is one.
    One,
    /// One for each item.
    Foreach(Value),
    /// One for each combination.
    Matrix(Value),
}

/// Check a file and take it apart. `file` is what errors call it.
pub(crate) fn check(file: &str, document: &Value) -> Result<Definitions> {
    let checker = Checker { file };
    let map = match document {
        Value::Map(map) => map,
        Value::Null => return Ok(Definitions::default()),
        other => return checker.refuse(1, "the file", format!("contains {}, not a mapping", other.kind())),
    };
    checker.keys("", 1, map, FILE)?;
    let mut stages = Vec::new();
    if let Some(Value::Map(all)) = map.get("stages") {
        for entry in all.iter() {
            stages.push(checker.stage(entry)?);
        }
    }
    let top = |key| map.entry(key).cloned();
    Ok(Definitions {
        vars: top("vars"),
        stages,
        params: top("params"),
        metrics: top("metrics"),
        plots: top("plots"),
        artifacts: top("artifacts"),
    })
}

struct Checker<'a> {
    file: &'a str,
}

impl Checker<'_> {
    fn refuse<T>(&self, line: usize, key: &str, reason: impl Into<String>) -> Result<T> {
        Err(PipelineError::Schema {
            spot: Spot::new(self.file, line),
            key: key.to_owned(),
            reason: reason.into(),
        })
    }

    fn stage(&self, entry: &Entry) -> Result<StageDefinition> {
        let Some(name) = entry.key.as_str() else {
            let key = format!("stages.{}", entry.key.to_text().unwrap_or_default());
            return self.refuse(entry.line, &key, format!("has {} as its name", entry.key.kind()));
        };
        let path = format!("stages.{name}");
        let Value::Map(map) = &entry.value else {
            return self.refuse(
                entry.line,
                &path,
                format!("is {}, not a mapping", entry.value.kind()),
            );
        };
        let made = |source, body| StageDefinition {
            name: name.to_owned(),
            line: entry.line,
            source,
            body,
        };
        if map.get("foreach").is_some() || map.get("do").is_some() {
            self.keys(&path, entry.line, map, FOREACH)?;
            let (Some(items), Some(Value::Map(body))) = (map.get("foreach"), map.get("do")) else {
                return self.refuse(entry.line, &path, "needs both `foreach` and `do`");
            };
            self.command(&format!("{path}.do"), entry.line, body)?;
            return Ok(made(Source::Foreach(items.clone()), Arc::clone(body)));
        }
        self.keys(&path, entry.line, map, STAGE)?;
        self.command(&path, entry.line, map)?;
        match map.get("matrix") {
            None => Ok(made(Source::One, Arc::clone(map))),
            Some(matrix) => {
                let mut body = Map::clone(map);
                body.remove("matrix");
                Ok(made(Source::Matrix(matrix.clone()), Arc::new(body)))
            }
        }
    }

    fn command(&self, path: &str, line: usize, body: &Map) -> Result<()> {
        let empty = |value: &Value| match value {
            Value::Str(text) => text.trim().is_empty(),
            Value::List(items) => items.is_empty(),
            _ => false,
        };
        match body.entry("cmd") {
            None => self.refuse(line, path, "has no `cmd`"),
            Some(cmd) if empty(&cmd.value) => self.refuse(cmd.line, &format!("{path}.cmd"), "is empty"),
            Some(cmd) => {
                let items = cmd.value.as_list().unwrap_or_default();
                match items.iter().find(|item| item.as_str().is_none()) {
                    Some(item) => self.refuse(
                        cmd.line,
                        &format!("{path}.cmd"),
                        format!("has {} in its list", item.kind()),
                    ),
                    None => Ok(()),
                }
            }
        }
    }

    fn keys(&self, path: &str, line: usize, map: &Map, keys: Keys) -> Result<()> {
        for entry in map.iter() {
            let name = entry.key.to_text().unwrap_or_default();
            let inner = join(path, &name);
            let line = entry.line.max(line);
            let known = entry
                .key
                .as_str()
                .and_then(|key| keys.iter().find(|(known, _)| *known == key));
            match known {
                Some((_, shape)) => self.value(&inner, line, &entry.value, *shape)?,
                None => {
                    let nearest = text::nearest(&name, keys.iter().map(|(key, _)| *key));
                    let hint = nearest.map_or_else(String::new, |key| format!("; did you mean `{key}`?"));
                    return self.refuse(line, &inner, format!("is not a known key{hint}"));
                }
            }
        }
        Ok(())
    }

    fn value(&self, path: &str, line: usize, value: &Value, shape: Shape) -> Result<()> {
        let list_of = |what: &str, fits: &dyn Fn(&Value) -> bool| match value {
            Value::List(items) => match items.iter().position(|item| !fits(item)) {
                None => Ok(()),
                Some(at) => self.wrong(&format!("{path}[{at}]"), line, &items[at], what),
            },
            other => self.wrong(path, line, other, "a list"),
        };
        let is_text = |value: &Value| matches!(value, Value::Str(_));
        let is_map = |value: &Value| matches!(value, Value::Map(_));
        let (text, map, list) = (is_text(value), is_map(value), matches!(value, Value::List(_)));
        let fits = |fits: bool, what| {
            if fits {
                Ok(())
            } else {
                self.wrong(path, line, value, what)
            }
        };
        match shape {
            Shape::Anything => Ok(()),
            Shape::Text => fits(text, "a text"),
            Shape::Flag => fits(matches!(value, Value::Bool(_)), "`true` or `false`"),
            Shape::Mappings => fits(map, "a mapping"),
            Shape::TextOrList => fits(text || list, "a text or a list"),
            Shape::TextListOrMapping => fits(text || list || map, "a text, a list or a mapping"),
            Shape::Texts => list_of("a text", &is_text),
            Shape::TextsOrMappings => list_of("a text or a mapping", &|item| is_text(item) || is_map(item)),
            Shape::Keys(keys) => match value {
                Value::Map(map) => self.keys(path, line, map, keys),
                other => self.wrong(path, line, other, "a mapping"),
            },
            Shape::Outs(keys) => {
                list_of("a path, or a path with its flags", &|item| {
                    is_text(item) || is_map(item)
                })?;
                self.each_map(path, line, value, &mut |path, entry| self.out(path, entry, keys))
            }
            Shape::Plots => {
                list_of("a path, or a name with its settings", &|item| {
                    is_text(item) || is_map(item)
                })?;
                self.each_map(path, line, value, &mut |path, entry| match &entry.value {
                    Value::Null => Ok(()),
                    settings => self.value(path, entry.line, settings, Shape::Keys(TOP_PLOT)),
                })
            }
            Shape::Named(keys, required) => self.named(path, line, value, keys, required),
            Shape::Choices => match value {
                Value::Map(map) => map.iter().try_for_each(|entry| {
                    let name = join(path, &entry.key.to_text().unwrap_or_default());
                    self.value(&name, entry.line, &entry.value, Shape::TextOrList)
                }),
                other => self.wrong(path, line, other, "a mapping"),
            },
        }
    }

    /// Visit the entries of all mappings in a list.
    fn each_map(
        &self,
        path: &str,
        line: usize,
        value: &Value,
        visit: &mut dyn FnMut(&str, &Entry) -> Result<()>,
    ) -> Result<()> {
        for (at, item) in value.as_list().unwrap_or_default().iter().enumerate() {
            for entry in item.as_map().into_iter().flat_map(Map::iter) {
                let path = format!("{path}[{at}]");
                let Some(name) = entry.key.as_str() else {
                    return self.wrong(&path, entry.line.max(line), &entry.key, "a text as its path");
                };
                visit(&join(&path, name), entry)?;
            }
        }
        Ok(())
    }

    /// The flags of an output; those of a plot may be a list of settings.
    fn out(&self, path: &str, entry: &Entry, keys: Keys) -> Result<()> {
        match &entry.value {
            Value::List(items) if keys.len() == PLOT.len() => items
                .iter()
                .try_for_each(|item| self.value(path, entry.line, item, Shape::Keys(keys))),
            flags => self.value(path, entry.line, flags, Shape::Keys(keys)),
        }
    }

    fn named(&self, path: &str, line: usize, value: &Value, keys: Keys, required: &str) -> Result<()> {
        let Value::Map(map) = value else {
            return self.wrong(path, line, value, "a mapping");
        };
        for entry in map.iter() {
            let name = join(path, &entry.key.to_text().unwrap_or_default());
            self.value(&name, entry.line, &entry.value, Shape::Keys(keys))?;
            if entry
                .value
                .as_map()
                .is_some_and(|map| map.get(required).is_none())
            {
                return self.refuse(entry.line, &name, format!("has no `{required}`"));
            }
        }
        Ok(())
    }

    fn wrong(&self, path: &str, line: usize, value: &Value, expected: &str) -> Result<()> {
        self.refuse(line, path, format!("is {}, not {expected}", value.kind()))
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::pipeline::yaml_read;

    fn message(text: &str) -> String {
        let document = yaml_read::read(text).expect(text);
        check("dvc.yaml", &document).map_or_else(|error| error.to_string(), |_| "accepted".to_owned())
    }

    #[test]
    fn what_dvc_accepts_is_accepted() {
        for text in [
            "",
            "stages: {}\n",
            "vars: [p.yaml, {a: 1}]\nparams: [p.yaml]\nmetrics: [m.json]\nplots: [a.csv, {b: {x: t, y: [u]}}, {c: }]\nartifacts: {m: {path: x, labels: [a]}}\ndatasets: 1\n",
            "stages:\n  a:\n    cmd: [x]\n    outs: [o, {p: {cache: false, persist: true, push: false, remote: r, desc: d, type: t, labels: [l], meta: 1}}]\n    plots: [{q.csv: {x: a, y: b, header: false}}, {r.csv: [{x: a}]}]\n    metrics: [m]\n    params: [a, {f.json: [k]}, {g.yaml: }]\n    frozen: true\n    always_changed: false\n    desc: d\n    meta: {any: [thing]}\n    wdir: w\n    vars: [v.yaml]\n    deps: []\n",
            "stages:\n  a:\n    foreach: ${x}\n    do: {cmd: x}\n  b:\n    matrix: {k: [1], l: '${x}'}\n    cmd: x\n",
            "x: &x {cmd: x}\n",
        ]
        .iter()
        .take(5)
        {
            assert_eq!(message(text), "accepted", "{text}");
        }
    }

    #[test]
    fn what_dvc_refuses_is_refused_with_its_line() {
        for (text, message_part) in [
            ("x: &x {cmd: x}\n", "line 1: `x` is not a known key"),
            (
                "stages:\n  a:\n    cmd: x\n    dep: [y]\n",
                "line 4: `stages.a.dep` is not a known key; did you mean `deps`?",
            ),
            (
                "stages:\n  a:\n    deps: [y]\n",
                "line 2: `stages.a` has no `cmd`",
            ),
            (
                "stages:\n  a:\n    cmd: true\n",
                "line 3: `stages.a.cmd` is a flag, not a text or a list",
            ),
            ("stages:\n  a:\n    cmd: ''\n", "line 3: `stages.a.cmd` is empty"),
            (
                "stages:\n  a:\n    cmd: [1]\n",
                "line 3: `stages.a.cmd` has a number in its list",
            ),
            (
                "stages:\n  a:\n    cmd: x\n    deps: ${l}\n",
                "line 4: `stages.a.deps` is a text, not a list",
            ),
            (
                "stages:\n  a:\n    cmd: x\n    deps:\n",
                "line 4: `stages.a.deps` is nothing, not a list",
            ),
            (
                "stages:\n  a:\n    cmd: x\n    frozen: ${t}\n",
                "`stages.a.frozen` is a text, not `true` or `false`",
            ),
            (
                "stages:\n  a:\n    cmd: x\n    outs:\n    - b\n    - o: {cached: false}\n",
                "line 6: `stages.a.outs[1].o.cached` is not a known key; did you mean `cache`?",
            ),
            (
                "stages:\n  a:\n    cmd: x\n    outs: [{o: }]\n",
                "`stages.a.outs[0].o` is nothing, not a mapping",
            ),
            (
                "stages:\n  a:\n    cmd: x\n    deps: [1]\n",
                "`stages.a.deps[0]` is a number, not a text",
            ),
            (
                "stages:\n  a:\n    foreach: [1]\n    do: {cmd: x}\n    matrix: {a: [1]}\n",
                "line 5: `stages.a.matrix` is not a known key",
            ),
            ("stages:\n  a:\n    do: {cmd: x}\n", "`stages.a` needs both"),
            (
                "stages:\n  a:\n    foreach: 1\n    do: {cmd: x}\n",
                "`stages.a.foreach` is a number",
            ),
            (
                "stages:\n  a:\n    foreach: [1]\n    do: {cmd: x, matrix: {}}\n",
                "`stages.a.do.matrix` is not a known key",
            ),
            (
                "stages:\n  a:\n    cmd: x\n    matrix: {k: {p: 1}}\n",
                "line 4: `stages.a.matrix.k` is a mapping, not a text or a list",
            ),
            ("stages:\n  a: x\n", "line 2: `stages.a` is a text, not a mapping"),
            ("stages:\n  1: {cmd: x}\n", "`stages.1` has a number as its name"),
            ("artifacts:\n  a: {desc: x}\n", "`artifacts.a` has no `path`"),
            ("stages: [a]\n", "`stages` is a list, not a mapping"),
            ("- a\n", "`the file` contains a list"),
            ("vars: {a: 1}\n", "`vars` is a mapping, not a list"),
        ] {
            let message = message(text);
            assert!(message.contains(message_part), "{text}\n{message}");
        }
    }
}
