//! A stage as it is to be run: expressions replaced, paths resolved.
//!
//! Invariants: every output is inside of the project; paths keep the spelling of the `dvc.yaml`, which the lock has too.
//! Deliberately absent: whether it is up to date ([`super::verdict`]).

use backlot_core::RelPath;

use super::error::{PipelineError, Result, Spot};
use super::files::ProjectFiles;
use super::lock::LOCK_FILE;
use super::params;
use super::place::Place;
use super::value::{Entry, Map, Value};
use crate::names;

/// The name of files with stages.
pub const PIPELINE_FILE: &str = "dvc.yaml";

/// A command with its inputs and outputs.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The `dvc.yaml`.
    pub file: RelPath,
    /// The name; generated ones are `group@key`.
    pub name: String,
    /// The line of the name in the file.
    pub line: usize,
    /// A text, or a list of texts. How it is written counts: a list of one text is another command than the text.
    pub command: Value,
    /// The working folder.
    pub folder: Place,
    /// The files and folders it reads, in the order of the file.
    pub deps: Vec<Dependency>,
    /// The parameters it reads, by file.
    pub params: Vec<ParameterDependency>,
    /// Its outputs, then metrics, then plots.
    pub outs: Vec<Output>,
    /// Whether it is never run, and its dependencies are not looked at.
    pub frozen: bool,
    /// Whether it is run each time.
    pub always_changed: bool,
    /// Free text.
    pub desc: Option<String>,
    /// Anything.
    pub meta: Option<Value>,
}

/// A file or folder that a stage reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The path as the file has it.
    pub path: String,
    /// Where it is.
    pub place: Place,
}

/// Parameters of one file that a stage reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterDependency {
    /// The path as the file has it.
    pub path: String,
    /// Where it is.
    pub place: Place,
    /// The keys; none stands for all that the file has.
    pub keys: Vec<String>,
}

/// The kind of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputKind {
    /// Data.
    Data,
    /// A file of numbers to compare.
    Metric,
    /// A file of series to draw.
    Plot,
}

/// A file or folder that a stage makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The path as the file has it.
    pub path: String,
    /// Where it is.
    pub place: RelPath,
    /// Its kind.
    pub kind: OutputKind,
    /// Whether its content goes into the cache.
    pub cache: bool,
    /// Whether it is kept while the stage runs.
    pub persist: bool,
    /// Whether it may be pushed.
    pub push: bool,
    /// The remote it is pinned to.
    pub remote: Option<String>,
    /// All flags as they stand in the file, with descriptions and settings of plots.
    pub flags: Map,
}

impl Stage {
    /// Its name in messages and `DVC_STAGE`: its name, with its file if that is not in the project's folder.
    pub fn address(&self) -> String {
        if self.file.as_str() == PIPELINE_FILE {
            self.name.clone()
        } else {
            format!("{}:{}", self.file, self.name)
        }
    }

    /// Where its lock is.
    pub fn lock_path(&self) -> RelPath {
        let name = RelPath::parse(LOCK_FILE).expect("a plain name");
        match self.file.parent() {
            Some(folder) => name.below(&folder),
            None => name,
        }
    }

    /// The command lines, each of which is a process of its own: the entries of a list, or the lines of a text.
    pub fn command_lines(&self) -> Vec<&str> {
        match &self.command {
            Value::List(items) => items.iter().filter_map(Value::as_str).collect(),
            command => {
                let lines = command.as_str().unwrap_or_default().lines();
                lines.filter(|line| !line.trim().is_empty()).collect()
            }
        }
    }

    /// Whether it reads and makes nothing, so that it is run each time.
    pub fn is_callback(&self) -> bool {
        self.deps.is_empty() && self.params.is_empty() && self.outs.is_empty()
    }

    /// A stage out of its keys, in which expressions are replaced.
    pub(crate) fn build(
        files: &dyn ProjectFiles,
        file: &RelPath,
        name: &str,
        line: usize,
        body: &Map,
    ) -> Result<Self> {
        let builder = Builder { files, file, name };
        let folder = builder.folder(body.entry("wdir"))?;
        let flag = |key| body.get(key).and_then(Value::as_bool).unwrap_or(false);
        let mut stage = Self {
            file: file.clone(),
            name: name.to_owned(),
            line,
            command: builder.command(line, body.get("cmd"))?,
            deps: Vec::new(),
            params: Vec::new(),
            outs: Vec::new(),
            frozen: flag("frozen"),
            always_changed: flag("always_changed"),
            desc: body.get("desc").and_then(Value::to_text),
            meta: body.get("meta").cloned(),
            folder,
        };
        if let Some(entry) = body.entry("deps") {
            for item in entry.value.as_list().unwrap_or_default() {
                let path = builder.text(entry, item)?;
                let (path, place) = builder.located(entry, &stage.folder, path)?;
                stage.deps.push(Dependency { path, place });
            }
        }
        if let Some(entry) = body.entry("params") {
            stage.params = builder.params(entry, &stage.folder)?;
        }
        for (key, kind) in [
            ("outs", OutputKind::Data),
            ("metrics", OutputKind::Metric),
            ("plots", OutputKind::Plot),
        ] {
            if let Some(entry) = body.entry(key) {
                builder.outs(entry, kind, &stage.folder, &mut stage.outs)?;
            }
        }
        Ok(stage)
    }
}

struct Builder<'a> {
    files: &'a dyn ProjectFiles,
    file: &'a RelPath,
    name: &'a str,
}

impl Builder<'_> {
    fn refuse<T>(&self, line: usize, key: &str, reason: String) -> Result<T> {
        Err(PipelineError::Schema {
            spot: Spot::new(self.file, line),
            key: format!("stages.{}.{key}", self.name),
            reason,
        })
    }

    fn command(&self, line: usize, command: Option<&Value>) -> Result<Value> {
        let made = match command {
            Some(Value::List(items)) => {
                let items: Option<Vec<Value>> = items.iter().map(|i| i.to_text().map(Value::Str)).collect();
                items.map(Value::list)
            }
            Some(other) => other.to_text().map(Value::Str),
            None => None,
        };
        match made {
            Some(command) => Ok(command),
            None => self.refuse(line, "cmd", "is not a text or a list of texts".to_owned()),
        }
    }

    fn folder(&self, entry: Option<&Entry>) -> Result<Place> {
        let own = Place::folder_of(self.file);
        match entry {
            None => Ok(own),
            Some(entry) => {
                let path = self.text(entry, &entry.value)?;
                self.place(entry, &own, &path)
            }
        }
    }

    fn text(&self, entry: &Entry, value: &Value) -> Result<String> {
        value.to_text().map_or_else(
            || {
                let key = entry.key.to_text().unwrap_or_default();
                self.refuse(
                    entry.line,
                    &key,
                    format!("has {} where a path is expected", value.kind()),
                )
            },
            Ok,
        )
    }

    /// Where a path leads, and how it is spelled: an absolute one that leads into the project is written from the folder.
    fn located(&self, entry: &Entry, folder: &Place, path: String) -> Result<(String, Place)> {
        let place = self.place(entry, folder, &path)?;
        match (&place, path.starts_with('/')) {
            (Place::Inside(inside), true) => Ok((Place::way(folder, inside), place)),
            _ => Ok((path, place)),
        }
    }

    fn place(&self, entry: &Entry, folder: &Place, path: &str) -> Result<Place> {
        let relative = if path.starts_with('/') {
            self.files.relative(path)
        } else {
            None
        };
        let (folder, path) = match &relative {
            Some(relative) => (&Place::Root, relative.as_str()),
            None => (folder, path),
        };
        Place::resolve(folder, path).map_err(|reason| PipelineError::Path {
            spot: Spot::new(self.file, entry.line),
            key: format!("stages.{}.{}", self.name, entry.key.to_text().unwrap_or_default()),
            path: path.to_owned(),
            reason,
        })
    }

    /// Keys by file, in the order in which files are named first. A file without keys is depended on as a whole.
    fn params(&self, entry: &Entry, folder: &Place) -> Result<Vec<ParameterDependency>> {
        let mut all: Vec<(String, Vec<String>, bool)> = Vec::new();
        let mut add = |file: String, keys: Vec<String>, whole: bool| match all
            .iter_mut()
            .find(|(known, ..)| *known == file)
        {
            Some((_, known, wholly)) => {
                known.extend(keys);
                *wholly |= whole;
            }
            None => all.push((file, keys, whole)),
        };
        for item in entry.value.as_list().unwrap_or_default() {
            let Some(files) = item.as_map() else {
                add(
                    params::DEFAULT_FILE.to_owned(),
                    vec![self.text(entry, item)?],
                    false,
                );
                continue;
            };
            for file in files.iter() {
                let name = self.text(entry, &file.key)?;
                let keys = match &file.value {
                    Value::Null => Vec::new(),
                    Value::List(keys) => keys
                        .iter()
                        .map(|key| self.text(entry, key))
                        .collect::<Result<_>>()?,
                    other => {
                        let reason = format!("has {} instead of the keys of `{name}`", other.kind());
                        return self.refuse(entry.line.max(file.line), "params", reason);
                    }
                };
                let whole = keys.is_empty();
                add(name, keys, whole);
            }
        }
        all.into_iter()
            .map(|(path, keys, whole)| {
                let (path, place) = self.located(entry, folder, path)?;
                Ok(ParameterDependency {
                    path,
                    place,
                    keys: if whole { Vec::new() } else { keys },
                })
            })
            .collect()
    }

    /// Outputs of one key; one that is named twice has the flags of both.
    fn outs(&self, entry: &Entry, kind: OutputKind, folder: &Place, outs: &mut Vec<Output>) -> Result<()> {
        let mut merged = Map::default();
        for item in entry.value.as_list().unwrap_or_default() {
            let Some(paths) = item.as_map() else {
                let path = self.text(entry, item)?;
                if merged.get(&path).is_none() {
                    merged.put(&path, Value::map(Map::default()));
                }
                continue;
            };
            for named in paths.iter() {
                let path = self.text(entry, &named.key)?;
                let mut flags = merged
                    .get(&path)
                    .and_then(Value::as_map)
                    .cloned()
                    .unwrap_or_default();
                let lists = named.value.as_list().unwrap_or_default().iter();
                for flag in lists
                    .chain([&named.value])
                    .filter_map(Value::as_map)
                    .flat_map(Map::iter)
                {
                    flags.insert(flag.key.clone(), flag.value.clone(), flag.line);
                }
                merged.put(&path, Value::map(flags));
            }
        }
        for named in merged.iter() {
            let path = self.text(entry, &named.key)?;
            let flags = named.value.as_map().cloned().unwrap_or_default();
            outs.push(self.out(entry, kind, folder, path, flags)?);
        }
        Ok(())
    }

    fn out(
        &self,
        entry: &Entry,
        kind: OutputKind,
        folder: &Place,
        path: String,
        flags: Map,
    ) -> Result<Output> {
        let refuse = |path: String, reason| {
            Err(PipelineError::HostileOutput {
                spot: Spot::new(self.file, entry.line),
                stage: self.name.to_owned(),
                path,
                reason,
            })
        };
        let (path, place) = self.located(entry, folder, path)?;
        let place = match place {
            Place::Inside(place) => place,
            Place::Root => return refuse(path, "is the folder of the project itself"),
            Place::Outside(_) => return refuse(path, "is outside the project"),
        };
        if place.parts().any(names::is_reserved) {
            return refuse(path, "is in a folder of a version control system or of DVC");
        }
        if names::is_of_tracking(place.file_name()) {
            return refuse(path, "has the name of a file that tracks or ignores others");
        }
        let flag = |key: &str, default| flags.get(key).and_then(Value::as_bool).unwrap_or(default);
        Ok(Output {
            path,
            place,
            kind,
            cache: flag("cache", true),
            persist: flag("persist", false),
            push: flag("push", true),
            remote: flags.get("remote").and_then(Value::to_text),
            flags,
        })
    }
}
