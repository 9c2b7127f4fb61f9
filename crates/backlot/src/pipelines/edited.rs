//! Edits of `dvc.yaml` files: stages added, removed, frozen.
//!
//! Invariants: what people wrote around a stage stays as it is; a stage that was removed leaves the lock, too, and its files stay where they
//! are. Deliberately absent: running anything, and whether outputs are where they belong, which is checked before a run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use backlot_core::options;
use backlot_core::{RelPath, file};
use backlot_dvc::pipeline::edit::{StageEdit, edit_stage};
use backlot_dvc::pipeline::{Graph, Lock, Map, PIPELINE_FILE, PipelineError, Reach, Value};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::pipelines::found::Found;
use crate::workspace::Opened;

options! {
    /// A stage to be added, as `dvc stage add` has it.
    #[derive(Default)]
    pub struct NewStage {
        /// Its name; `ASSET:NAME` puts it into the package of an asset.
        pub name: String,
        /// The words of its command, joined as `dvc stage add` does.
        pub command: Vec<String>,
        /// Its description.
        pub desc: Option<String>,
        /// Its working folder, relative to the `dvc.yaml`.
        pub wdir: Option<String>,
        /// Its dependencies.
        pub deps: Vec<String>,
        /// Parameters: `KEY,KEY` of `params.yaml`, or `FILE:KEY,KEY`; `FILE:` for all of a file.
        pub params: Vec<String>,
        /// Its outputs.
        pub outs: Vec<String>,
        /// Its uncached outputs: they are stored in the wheel.
        pub outs_no_cache: Vec<String>,
        /// Metrics.
        pub metrics: Vec<String>,
        /// Metrics that go into the wheel.
        pub metrics_no_cache: Vec<String>,
        /// Plots.
        pub plots: Vec<String>,
        /// Plots that go into the wheel.
        pub plots_no_cache: Vec<String>,
        /// Whether it is run each time.
        pub always_changed: bool,
        /// Whether one of the same name is replaced.
        pub replace: bool,
    }
}

/// The edited stage.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StageEditReport {
    /// The files, relative to the workspace, with the stages in them that changed.
    pub stages: Vec<EditedStage>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// A stage that was edited.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EditedStage {
    /// The `dvc.yaml`, relative to the workspace.
    pub file: String,
    /// The stage.
    pub stage: String,
    /// Whether the file has other bytes now.
    pub changed: bool,
}

impl Opened {
    /// Add a stage to the `dvc.yaml` of a folder, or of an asset.
    pub(crate) fn add_stage(&self, new: &NewStage, folder: &Path, dry_run: bool) -> Result<StageEditReport> {
        let held = self.hold()?;
        let (folder, name) = match new.name.split_once(':') {
            None => (folder.to_path_buf(), new.name.as_str()),
            Some((asset, name)) => {
                let output = held.output(asset)?;
                let mut modules = output.module_folders().into_iter();
                let module = modules.next().unwrap_or(&output.project.root).to_path_buf();
                (module, name)
            }
        };
        held.pipelines()?.refuse_foreign(&folder)?;
        let path = RelPath::from_path(
            folder
                .join(PIPELINE_FILE)
                .strip_prefix(held.root())
                .unwrap_or(&folder),
        )?;
        let edit = StageEdit::Add {
            definition: definition(new),
            replace: new.replace,
        };
        let edited = held.edit_one(&path, name, &edit, dry_run)?;
        Ok(StageEditReport {
            stages: vec![edited],
            dry_run,
        })
    }

    /// Take stages out of their files, and out of the locks beside them.
    pub(crate) fn remove_stages(
        &self,
        targets: &[String],
        folder: &Path,
        dry_run: bool,
    ) -> Result<StageEditReport> {
        let held = self.hold()?;
        let mut stages = Vec::new();
        for (path, name) in held.named_stages(targets, folder)? {
            stages.push(held.edit_one(&path, &name, &StageEdit::Remove, dry_run)?);
            if !dry_run {
                held.remove_locked(&path, &name)?;
            }
        }
        Ok(StageEditReport { stages, dry_run })
    }

    /// Freeze stages, so that they are not run, or unfreeze them.
    pub(crate) fn freeze_stages(
        &self,
        targets: &[String],
        folder: &Path,
        frozen: bool,
        dry_run: bool,
    ) -> Result<StageEditReport> {
        let held = self.hold()?;
        let mut stages = Vec::new();
        for (path, name) in held.named_stages(targets, folder)? {
            stages.push(held.edit_one(&path, &name, &StageEdit::Freeze(frozen), dry_run)?);
        }
        Ok(StageEditReport { stages, dry_run })
    }

    fn edit_one(&self, path: &RelPath, name: &str, edit: &StageEdit, dry_run: bool) -> Result<EditedStage> {
        let full = path.to_path(self.root());
        let before = file::read_if_exists(&full)?;
        let text = String::from_utf8(before.clone().unwrap_or_default()).map_err(|_| {
            backlot_dvc::Error::from(PipelineError::Unreadable {
                file: path.to_string(),
                reason: "it is not valid UTF-8".to_owned(),
            })
        })?;
        let after = edit_stage(path.as_str(), &text, name, edit).map_err(backlot_dvc::Error::from)?;
        let changed = before.as_deref() != Some(after.as_bytes());
        if changed && !dry_run {
            file::write(&full, after.as_bytes())?;
        }
        Ok(EditedStage {
            file: path.to_string(),
            stage: name.to_owned(),
            changed,
        })
    }

    /// Remove the entry of a stage, or of the stages of a group, from a lock.
    fn remove_locked(&self, file: &RelPath, name: &str) -> Result<()> {
        let folder: PathBuf = file
            .to_path(self.root())
            .with_file_name(backlot_dvc::pipeline::LOCK_FILE);
        let Some(bytes) = file::read_if_exists(&folder)? else {
            return Ok(());
        };
        let shown = folder.display().to_string();
        let mut lock = Lock::parse_bytes(&shown, &bytes).map_err(backlot_dvc::Error::from)?;
        let group = format!("{name}@");
        let names = lock
            .names()
            .filter(|known| *known == name || known.starts_with(&group));
        let names: Vec<String> = names.map(ToOwned::to_owned).collect();
        for name in &names {
            lock.remove(name);
        }
        if lock.is_empty() {
            file::remove(&folder)?;
        } else if !names.is_empty() {
            file::write(&folder, lock.to_text().as_bytes())?;
        }
        Ok(())
    }

    /// The files and names of stages that targets mean; a stage of a group stands for its group. A target that is a file or an asset is an error.
    fn named_stages(&self, targets: &[String], folder: &Path) -> Result<BTreeSet<(RelPath, String)>> {
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        let mut named = BTreeSet::new();
        for target in targets {
            let found = self.pipelines()?;
            let graph = found
                .project(&self.state_dir(), &cache, &stat)
                .graph(self.context())?;
            let stages = stages_of(found, &graph, target, folder)?;
            if stages.len() != 1 {
                let unknown = PipelineError::UnknownTarget {
                    target: target.clone(),
                    file: None,
                    nearest: stages.into_iter().next().map(|(_, name)| name),
                };
                return Err(backlot_dvc::Error::from(unknown).into());
            }
            named.extend(stages);
        }
        Ok(named)
    }
}

fn stages_of(
    found: Found,
    graph: &Graph,
    target: &String,
    folder: &Path,
) -> Result<BTreeSet<(RelPath, String)>> {
    let (_, targets) = found.targets(graph, std::slice::from_ref(target), folder)?;
    let nodes = targets.select(graph, Reach::Only)?;
    let stages = nodes.iter().filter_map(|node| graph.stage(*node));
    let own = stages.map(|stage| {
        let files = &graph.pipelines().files;
        let groups = files
            .iter()
            .filter(|file| file.path == stage.file)
            .flat_map(|file| &file.groups);
        let mut groups = groups.filter(|(group, range)| {
            let is_named = stage
                .name
                .strip_prefix(group.as_str())
                .is_some_and(|key| key.starts_with('@'));
            is_named && !range.is_empty()
        });
        let name = groups.next().map_or(&stage.name, |(group, _)| group);
        (stage.file.clone(), name.clone())
    });
    Ok(own.collect())
}

/// The keys of a stage in the order in which DVC writes them; lists by path.
fn definition(new: &NewStage) -> Map {
    let mut map = Map::default();
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    map.put("cmd", command(&new.command));
    if let Some(wdir) = text(&new.wdir) {
        map.put("wdir", wdir);
    }
    let mut deps = new.deps.clone();
    deps.sort();
    deps.dedup();
    if !deps.is_empty() {
        map.put("deps", Value::list(deps.into_iter().map(Value::from).collect()));
    }
    let params = params(&new.params);
    if !params.is_empty() {
        map.put("params", Value::list(params));
    }
    for (key, cached, others) in [
        ("outs", &new.outs, &new.outs_no_cache),
        ("metrics", &new.metrics, &new.metrics_no_cache),
        ("plots", &new.plots, &new.plots_no_cache),
    ] {
        let mut all: Vec<(&String, bool)> = cached.iter().map(|path| (path, true)).collect();
        all.extend(others.iter().map(|path| (path, false)));
        all.sort();
        all.dedup_by(|a, b| a.0 == b.0);
        if !all.is_empty() {
            map.put(key, Value::list(all.into_iter().map(out).collect()));
        }
    }
    if new.always_changed {
        map.put("always_changed", true);
    }
    let Some(desc) = text(&new.desc) else { return map };
    let mut first = Map::default();
    first.put("desc", desc);
    for entry in map.iter() {
        first.insert(entry.key.clone(), entry.value.clone(), 0);
    }
    first
}

fn out((path, cached): (&String, bool)) -> Value {
    if cached {
        return path.as_str().into();
    }
    let (mut flags, mut one) = (Map::default(), Map::default());
    flags.put("cache", false);
    one.put(path, Value::map(flags));
    Value::map(one)
}

/// Words as one line: those with blanks, and without quotes of their own, in quotes.
fn command(words: &[String]) -> String {
    if let [line] = words {
        return line.clone();
    }
    let word = |word: &String| {
        if word.contains(' ') && !word.contains('"') {
            format!("\"{word}\"")
        } else {
            word.clone()
        }
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Keys of the usual file as they are, those of others below their file.
fn params(given: &[String]) -> Vec<Value> {
    let (mut own, mut others) = (
        BTreeSet::new(),
        std::collections::BTreeMap::<&str, BTreeSet<&str>>::new(),
    );
    for one in given {
        let (file, keys) = one.split_once(':').unwrap_or(("params.yaml", one.as_str()));
        let keys = keys.split(',').filter(|key| !key.is_empty());
        if file == "params.yaml" && !one.ends_with(':') {
            own.extend(keys);
        } else {
            others.entry(file).or_default().extend(keys);
        }
    }
    let texts = |keys: BTreeSet<&str>| -> Vec<Value> { keys.into_iter().map(Value::from).collect() };
    let mut values = texts(own);
    for (file, keys) in others {
        let keys = if keys.is_empty() {
            Value::Null
        } else {
            Value::list(texts(keys))
        };
        let mut one = Map::default();
        one.put(file, keys);
        values.push(Value::map(one));
    }
    values
}

#[cfg(test)]
mod tests {
    use backlot_dvc::pipeline::edit::{StageEdit, edit_stage};

    use super::{NewStage, definition};

    #[test]
    fn a_stage_is_written_as_dvc_writes_it() {
        let texts = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<String>>()
        };
        let new = NewStage {
            name: "s".to_owned(),
            command: texts(&["python", "a b.py", "x"]),
            desc: Some("what for".to_owned()),
            wdir: Some("sub".to_owned()),
            deps: texts(&["z", "a"]),
            params: texts(&["b,a", "f.json:k", "g.yaml:"]),
            outs: texts(&["o2"]),
            outs_no_cache: texts(&["o1"]),
            metrics_no_cache: texts(&["m.json"]),
            plots: texts(&["p.csv"]),
            always_changed: true,
            ..NewStage::default()
        };
        let edit = StageEdit::Add {
            definition: definition(&new),
            replace: false,
        };
        let text = edit_stage("dvc.yaml", "", "s", &edit).expect("added");
        assert_eq!(
            text,
            "stages:\n  s:\n    desc: what for\n    cmd: python \"a b.py\" x\n    wdir: sub\n    deps:\n    - a\n    - z\n    params:\n    - a\n    - b\n    - f.json:\n      - k\n    - g.yaml:\n    outs:\n    - o1:\n        cache: false\n    - o2\n    metrics:\n    - m.json:\n        cache: false\n    plots:\n    - p.csv\n    always_changed: true\n"
        );
    }
}
