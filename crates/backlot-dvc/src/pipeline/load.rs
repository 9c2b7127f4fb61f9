//! From `dvc.yaml` files to stages: variables are loaded, groups taken apart, expressions replaced.
//!
//! Invariants: stages stand in the order of their files, those of a group side by side in the order of its items; a
//! group has a bound. Deliberately absent: the graph between stages ([`super::graph`]).

use std::collections::HashMap;
use std::ops::Range;

use backlot_core::RelPath;

use super::error::{PipelineError, Result, Spot};
use super::files::ProjectFiles;
use super::place::Place;
use super::schema::{self, Definitions, Source, StageDefinition};
use super::stage::Stage;
use super::template::{self, ArgumentStyle, Budget, Fault, Scope};
use super::value::{Entry, Map, Value};
use super::variables::{ParameterFiles, Variables, VarsEntry};
use super::yaml_read;

/// How many stages one definition may make.
const MAX_GROUP: usize = 100_000;
/// As how many values a stage counts beside those that it has.
const STAGE: usize = 32;

/// All stages of a project.
#[derive(Clone, Debug, Default)]
pub struct Pipelines {
    /// The files, in the order they were given in.
    pub files: Vec<PipelineFile>,
    /// Their stages.
    pub stages: Vec<Stage>,
}

/// A `dvc.yaml`.
#[derive(Clone, Debug)]
pub struct PipelineFile {
    /// Where it is.
    pub path: RelPath,
    /// Its stages, as positions in [`Pipelines::stages`].
    pub stages: Range<usize>,
    /// The groups that `foreach` and `matrix` make, with the positions of their stages.
    pub groups: Vec<(String, Range<usize>)>,
    /// Files of parameters that belong to no stage.
    pub params: Vec<Value>,
    /// Files of metrics that belong to no stage.
    pub metrics: Vec<Value>,
    /// Plots that belong to no stage.
    pub plots: Vec<Value>,
    /// Named artifacts.
    pub artifacts: Map,
}

impl Pipelines {
    /// Read `dvc.yaml` files, which must exist, with the files of variables they name.
    pub fn load(files: &dyn ProjectFiles, paths: &[RelPath], style: ArgumentStyle) -> Result<Self> {
        let parameters = ParameterFiles::new(files);
        let budget = Budget::default();
        let mut all = Self::default();
        for path in paths {
            let place = Place::Inside(path.clone());
            let text = files.read(&place)?.ok_or_else(|| PipelineError::Unreadable {
                file: path.to_string(),
                reason: "it does not exist".to_owned(),
            })?;
            let document = yaml_read::read(&text).map_err(|problem| PipelineError::syntax(path, problem))?;
            let definitions = schema::check(path.as_str(), &document)?;
            let loader = Loader {
                files,
                file: path,
                folder: Place::folder_of(path),
                parameters: &parameters,
                budget: &budget,
                style,
            };
            loader.add(&definitions, &mut all)?;
        }
        Ok(all)
    }
}

struct Loader<'a> {
    files: &'a dyn ProjectFiles,
    file: &'a RelPath,
    folder: Place,
    parameters: &'a ParameterFiles<'a>,
    budget: &'a Budget,
    style: ArgumentStyle,
}

impl Loader<'_> {
    fn spot(&self, line: usize) -> Spot {
        Spot::new(self.file, line)
    }

    fn add(&self, definitions: &Definitions, all: &mut Pipelines) -> Result<()> {
        let mut variables = Variables::default();
        variables.load_default(self.parameters, &self.folder, &self.spot(0))?;
        self.load_vars(
            definitions.vars.as_ref(),
            "vars",
            &self.folder,
            &mut variables,
            &[],
        )?;
        let scope = Scope {
            variables: &variables.map,
            item: None,
            key: None,
            budget: self.budget,
        };
        let begin = all.stages.len();
        let mut groups = Vec::new();
        for definition in &definitions.stages {
            let first = all.stages.len();
            self.stages_of(definition, &variables, all)?;
            if !matches!(definition.source, Source::One) {
                groups.push((definition.name.clone(), first..all.stages.len()));
            }
        }
        let list = |entry: &Option<Entry>| -> Result<Vec<Value>> {
            match entry {
                None => Ok(Vec::new()),
                Some(entry) => {
                    let resolved = self.resolved(entry, "", None, scope)?;
                    Ok(resolved.as_list().unwrap_or_default().to_vec())
                }
            }
        };
        let artifacts = match &definitions.artifacts {
            None => Map::default(),
            Some(entry) => {
                let resolved = self.resolved(entry, "", None, scope)?;
                resolved.as_map().cloned().unwrap_or_default()
            }
        };
        all.files.push(PipelineFile {
            path: self.file.clone(),
            stages: begin..all.stages.len(),
            groups,
            params: list(&definitions.params)?,
            metrics: list(&definitions.metrics)?,
            plots: list(&definitions.plots)?,
            artifacts,
        });
        Ok(())
    }

    fn load_vars(
        &self,
        entry: Option<&Entry>,
        path: &str,
        folder: &Place,
        variables: &mut Variables,
        reserved: &[&str],
    ) -> Result<()> {
        let Some(entry) = entry else { return Ok(()) };
        let spot = self.spot(entry.line);
        for (at, item) in entry.value.as_list().unwrap_or_default().iter().enumerate() {
            let key = format!("{path}[{at}]");
            let entry = VarsEntry {
                item,
                spot: &spot,
                key: &key,
            };
            variables.load(self.parameters, folder, &entry, reserved)?;
        }
        Ok(())
    }

    /// The value of a key with its expressions replaced; `path` is what the key is below, with a `.` at its end.
    fn resolved(&self, entry: &Entry, path: &str, key: Option<&str>, scope: Scope<'_>) -> Result<Value> {
        template::resolve(&entry.value, key, scope, self.style).map_err(|fault| {
            let name = entry.key.to_text().unwrap_or_default();
            self.fault(fault, entry.line, format!("{path}{name}"))
        })
    }

    fn fault(&self, fault: Fault, line: usize, key: String) -> PipelineError {
        let spot = self.spot(line);
        match fault {
            Fault::Unknown { name, nearest } => PipelineError::UnknownVariable {
                spot,
                key,
                name,
                nearest,
            },
            Fault::Unusable(reason) => PipelineError::Template { spot, key, reason },
        }
    }

    fn stages_of(
        &self,
        definition: &StageDefinition,
        variables: &Variables,
        all: &mut Pipelines,
    ) -> Result<()> {
        let scope = Scope {
            variables: &variables.map,
            item: None,
            key: None,
            budget: self.budget,
        };
        let items = match &definition.source {
            Source::One => {
                all.stages
                    .push(self.stage(definition, &definition.name, variables, scope)?);
                return Ok(());
            }
            Source::Foreach(items) => self.foreach_items(definition, items, scope)?,
            Source::Matrix(choices) => self.matrix_items(definition, choices, scope)?,
        };
        for item in items.all {
            let name = format!("{}@{}", definition.name, item.name);
            let key = Value::Str(item.name);
            let scope = Scope {
                item: Some(&item.value),
                key: items.with_key.then_some(&key),
                ..scope
            };
            all.stages.push(self.stage(definition, &name, variables, scope)?);
        }
        Ok(())
    }

    fn stage(
        &self,
        definition: &StageDefinition,
        name: &str,
        variables: &Variables,
        scope: Scope<'_>,
    ) -> Result<Stage> {
        let body = &definition.body;
        let path = format!("stages.{name}.");
        self.budget
            .spend(STAGE, 0)
            .map_err(|fault| self.fault(fault, definition.line, format!("stages.{name}")))?;
        let mut own = None;
        if let Some(entry) = body.entry("vars") {
            // Its files are relative to the working folder, which only the variables of the file can name.
            let folder = match body.entry("wdir") {
                None => self.folder.clone(),
                Some(wdir) => {
                    let text = self
                        .resolved(wdir, &path, Some("wdir"), scope)?
                        .to_text()
                        .unwrap_or_default();
                    Place::resolve(&self.folder, &text).map_err(|reason| PipelineError::Path {
                        spot: self.spot(wdir.line),
                        key: format!("{path}wdir"),
                        path: text.clone(),
                        reason,
                    })?
                }
            };
            let mut variables = variables.clone();
            self.budget
                .spend(variables.map.len(), 0)
                .map_err(|fault| self.fault(fault, entry.line, format!("{path}vars")))?;
            let reserved: &[&str] = match (scope.item, scope.key) {
                (Some(_), Some(_)) => &["item", "key"],
                (Some(_), None) => &["item"],
                _ => &[],
            };
            self.load_vars(
                Some(entry),
                &format!("{path}vars"),
                &folder,
                &mut variables,
                reserved,
            )?;
            own = Some(variables);
        }
        let scope = Scope {
            variables: own.as_ref().map_or(scope.variables, |own| &own.map),
            ..scope
        };
        let mut resolved = Map::default();
        for entry in body.iter() {
            let key = entry.key.as_str().unwrap_or_default();
            if key != "vars" {
                let value = self.resolved(entry, &path, Some(key), scope)?;
                resolved.insert(entry.key.clone(), value, entry.line);
            }
        }
        Stage::build(self.files, self.file, name, definition.line, &resolved)
    }

    fn foreach_items(&self, definition: &StageDefinition, items: &Value, scope: Scope<'_>) -> Result<Items> {
        let key = format!("stages.{}.foreach", definition.name);
        let resolved = template::resolve(items, None, scope, self.style)
            .map_err(|fault| self.fault(fault, definition.line, key.clone()))?;
        let mut all = Items::default();
        match &resolved {
            Value::Map(map) => {
                all.with_key = true;
                for entry in map.iter() {
                    all.add(entry.key.to_text().unwrap_or_default(), entry.value.clone());
                }
            }
            Value::List(list) => {
                // One list or mapping among the items, and all are named by their positions.
                let composite = list.iter().any(Value::is_container);
                let written = items.as_list().unwrap_or_default();
                for (at, value) in list.iter().enumerate() {
                    let name = item_name(written.get(at), value).filter(|_| !composite);
                    all.add(name.unwrap_or_else(|| at.to_string()), value.clone());
                }
            }
            other => {
                return Err(PipelineError::Template {
                    spot: self.spot(definition.line),
                    key,
                    reason: format!("is {}, not a list or a mapping", other.kind()),
                });
            }
        }
        self.bounded(definition, all.all.len())?;
        Ok(all)
    }

    fn bounded(&self, definition: &StageDefinition, count: usize) -> Result<()> {
        if count <= MAX_GROUP {
            return Ok(());
        }
        Err(PipelineError::Template {
            spot: self.spot(definition.line),
            key: format!("stages.{}", definition.name),
            reason: format!("expands to more than {MAX_GROUP} stages"),
        })
    }

    fn matrix_items(&self, definition: &StageDefinition, choices: &Value, scope: Scope<'_>) -> Result<Items> {
        let key = format!("stages.{}.matrix", definition.name);
        let resolved = template::resolve(choices, None, scope, self.style)
            .map_err(|fault| self.fault(fault, definition.line, key.clone()))?;
        let mut axes: Vec<Axis> = Vec::new();
        let written = choices.as_map().into_iter().flat_map(Map::iter);
        for (entry, written) in resolved.as_map().into_iter().flat_map(Map::iter).zip(written) {
            let name = entry.key.to_text().unwrap_or_default();
            let values = match &entry.value {
                Value::List(values) => values.to_vec(),
                Value::Map(map) => map.iter().map(|entry| entry.key.clone()).collect(),
                other => {
                    return Err(PipelineError::Template {
                        spot: self.spot(entry.line.max(definition.line)),
                        key: format!("{key}.{name}"),
                        reason: format!("is {}, not a list or a mapping", other.kind()),
                    });
                }
            };
            let written = written.value.as_list().unwrap_or_default();
            let names = values.iter().enumerate().map(|(at, value)| {
                let text = item_name(written.get(at), value);
                text.unwrap_or_else(|| format!("{name}{at}"))
            });
            axes.push(Axis {
                names: names.collect(),
                name,
                values,
            });
        }
        let count = axes.iter().fold(usize::from(!axes.is_empty()), |count, axis| {
            count.saturating_mul(axis.values.len())
        });
        self.bounded(definition, count)?;
        let mut all = Items {
            with_key: true,
            ..Items::default()
        };
        for combination in 0..count {
            let (name, item) = combine(&axes, combination);
            all.add(name, item);
        }
        Ok(all)
    }
}

/// What an item that is no list or mapping is called. DVC writes a flag that stands in the list itself as `true`, and one
/// that came out of an expression as Python does.
fn item_name(written: Option<&Value>, value: &Value) -> Option<String> {
    match (written, value) {
        (Some(Value::Bool(_)), value) => value.to_text(),
        (_, Value::Bool(true)) => Some("True".to_owned()),
        (_, Value::Bool(false)) => Some("False".to_owned()),
        (_, value) => value.to_text(),
    }
}

/// One dimension of a matrix.
struct Axis {
    name: String,
    values: Vec<Value>,
    /// The names of the values.
    names: Vec<String>,
}

/// The combination of a number: the last axis changes fastest.
fn combine(axes: &[Axis], mut number: usize) -> (String, Value) {
    let mut chosen = Vec::with_capacity(axes.len());
    for axis in axes.iter().rev() {
        chosen.push((axis, number % axis.values.len()));
        number /= axis.values.len();
    }
    let (mut names, mut item) = (Vec::with_capacity(axes.len()), Map::default());
    for (axis, at) in chosen.into_iter().rev() {
        names.push(axis.names[at].as_str());
        item.put(&axis.name, axis.values[at].clone());
    }
    (names.join("-"), Value::map(item))
}

/// The definition of the stages of a group.
#[derive(Default)]
struct Items {
    all: Vec<Item>,
    known: HashMap<String, usize>,
    /// Whether `${key}` is defined.
    with_key: bool,
}

struct Item {
    name: String,
    value: Value,
}

impl Items {
    /// Of items with one name there is one, with the last value, as in DVC.
    fn add(&mut self, name: String, value: Value) {
        match self.known.get(&name) {
            Some(at) => self.all[*at].value = value,
            None => {
                self.known.insert(name.clone(), self.all.len());
                self.all.push(Item { name, value });
            }
        }
    }
}
