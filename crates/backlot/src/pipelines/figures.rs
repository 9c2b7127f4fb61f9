//! Parameters, metrics and plots of assets: of the workspace, of releases, and compared.
//!
//! Invariants: a release is read from its wheel and its tracked files, unpacked aside; nothing of it runs. Paths are those of the package, so that
//! a release and the workspace compare. Deliberately absent: how charts are drawn (`chart`), and what the formats say (`backlot_dvc::pipeline::figures`).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use backlot_core::RelPath;
use backlot_core::file::TemporaryFolder;
use backlot_dvc::pipeline::run::Project;
use backlot_dvc::pipeline::{Folder, Pipelines, Place, ProjectFiles as _, Value, figures, params};
use backlot_dvc::{Out, TrackedPointer};
use backlot_pep::{PackageName, Version};
use backlot_store::{Cache, ObjectId, Transfer};
use serde::{Deserialize, Serialize};

use crate::error::{PipelinesError, Result};
use crate::files::pins::by_pin;
use crate::files::tracked::Tracked;
use crate::pipelines::chart::{Chart, Line, charts_as_html, charts_as_svg};
use crate::project::base::KnownReleases;
use crate::project::content::wheel_path;
use crate::project::output::Output;
use crate::workspace::Opened;

/// Which values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FigureKind {
    /// Parameters.
    Params,
    /// Metrics.
    Metrics,
}

/// An asset of the workspace, or a release.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FigureEnd {
    /// The asset.
    pub asset: String,
    /// The version.
    pub version: Version,
    /// The repo of the release; `None` for the output in the workspace.
    pub repo: Option<String>,
}

/// A value.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Figure {
    /// Its file, in the package.
    pub file: String,
    /// Its key, with `.` between those of mappings.
    pub key: String,
    /// The value.
    pub value: serde_json::Value,
}

/// The values of one end.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FiguresReport {
    /// The release or asset.
    #[serde(flatten)]
    pub end: FigureEnd,
    /// The values, by file and then as these have them.
    pub figures: Vec<Figure>,
    /// Files of them that are not there.
    pub missing: Vec<String>,
}

/// A value that differs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FigureChange {
    /// Its file, in the package.
    pub file: String,
    /// Its key.
    pub key: String,
    /// The previous value, if any.
    pub from: Option<serde_json::Value>,
    /// The current value, if any.
    pub to: Option<serde_json::Value>,
    /// By how much it is more, if both are numbers.
    pub change: Option<f64>,
}

/// The differences between two ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FiguresDiff {
    /// From.
    pub from: FigureEnd,
    /// To.
    pub to: FigureEnd,
    /// The values that differ, by file and key.
    pub changes: Vec<FigureChange>,
    /// How many do not.
    pub unchanged: u64,
}

/// Charts of several ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlotsReport {
    /// The ends.
    pub ends: Vec<FigureEnd>,
    /// A chart for each plot, with the lines of all ends.
    pub charts: Vec<Chart>,
    /// Files that are not there, or whose format has no rows.
    pub skipped: Vec<String>,
    /// The file with the charts; `None` without charts.
    pub file: Option<PathBuf>,
}

/// One end, with its files.
struct Side {
    end: FigureEnd,
    /// What the paths of the pipelines are relative to.
    root: PathBuf,
    output: Output,
    tracked: Tracked,
    pipelines: Pipelines,
    /// Where the release is unpacked.
    _unpacked: Option<TemporaryFolder>,
}

/// The values of a side by file and key, and the files that it lacks.
type Values = (Vec<(String, String, Value)>, Vec<String>);

impl Opened {
    /// The values of an asset of the workspace, or of a release.
    pub(crate) fn figures(&self, kind: FigureKind, what: &str, repo: Option<&str>) -> Result<FiguresReport> {
        let side = self.figure_side(what, repo)?;
        let (values, missing) = self.values(&side, kind)?;
        let figure = |(file, key, value): (String, String, Value)| Figure {
            file,
            key,
            value: figures::to_json(&value),
        };
        Ok(FiguresReport {
            end: side.end.clone(),
            figures: values.into_iter().map(figure).collect(),
            missing,
        })
    }

    /// The differences; without `to`, since the release that the output was edited from, or the newest.
    pub(crate) fn compare_figures(
        &self,
        kind: FigureKind,
        from: &str,
        to: Option<&str>,
        repo: Option<&str>,
    ) -> Result<FiguresDiff> {
        let (name, version) = self.named_end(from)?;
        let (from, to) = match (version, to) {
            (_, Some(to)) => (self.figure_side(from, repo)?, self.figure_side(to, repo)?),
            (Some(_), None) => (
                self.figure_side(from, repo)?,
                self.figure_side(name.as_str(), repo)?,
            ),
            (None, None) => {
                let known = self.known_in(&name, repo)?;
                let output = self.output(name.as_str())?;
                let version = self.base_or_newest(&output, &known)?;
                (
                    self.side_of_release(&known, &name, &version)?,
                    self.side_here(output)?,
                )
            }
        };
        let keyed = |values: Values| -> BTreeMap<(String, String), Value> {
            values
                .0
                .into_iter()
                .map(|(file, key, value)| ((file, key), value))
                .collect()
        };
        let before = keyed(self.values(&from, kind)?);
        let after = keyed(self.values(&to, kind)?);
        let names: BTreeSet<&(String, String)> = before.keys().chain(after.keys()).collect();
        let (mut changes, mut unchanged) = (Vec::new(), 0);
        for name in names {
            let (old, new) = (before.get(name), after.get(name));
            if old == new {
                unchanged += 1;
                continue;
            }
            let numbers = old.and_then(figures::number).zip(new.and_then(figures::number));
            changes.push(FigureChange {
                file: name.0.clone(),
                key: name.1.clone(),
                from: old.map(figures::to_json),
                to: new.map(figures::to_json),
                change: numbers.map(|(old, new)| new - old),
            });
        }
        Ok(FiguresDiff {
            from: from.end.clone(),
            to: to.end.clone(),
            changes,
            unchanged,
        })
    }

    /// Draw the charts of all plots of some ends into a file; lines of one plot are drawn into one chart.
    pub(crate) fn plots(&self, ends: &[String], repo: Option<&str>, path: &Path) -> Result<PlotsReport> {
        let ending = path.extension().map(OsStr::to_ascii_lowercase);
        let is_page = match ending.as_deref().and_then(OsStr::to_str) {
            Some("svg") => false,
            Some("html" | "htm") => true,
            _ => {
                let path = path.display().to_string();
                return Err(PipelinesError::PlotFile { path }.into());
            }
        };
        let mut report = PlotsReport {
            ends: Vec::new(),
            charts: Vec::new(),
            skipped: Vec::new(),
            file: None,
        };
        for end in ends {
            let side = self.figure_side(end, repo)?;
            let called = match &side.end.repo {
                Some(_) => format!("{} {}", side.end.asset, side.end.version),
                None => side.end.asset.clone(),
            };
            self.draw(&side, &called, &mut report)?;
            report.ends.push(side.end.clone());
        }
        report.skipped.sort();
        report.skipped.dedup();
        if !report.charts.is_empty() {
            let text = if is_page {
                charts_as_html(&report.charts, &ends.join(", "))
            } else {
                charts_as_svg(&report.charts)
            };
            backlot_core::file::write(path, text.as_bytes())?;
            report.file = Some(path.to_path_buf());
        }
        Ok(report)
    }

    fn draw(&self, side: &Side, called: &str, report: &mut PlotsReport) -> Result<()> {
        for plot in side.pipelines.plots() {
            let mut lines = Vec::new();
            for (path, fields) in &plot.sources {
                let file = side.label(path)?;
                let text = if figures::is_drawable(path) {
                    self.figure_text(side, path)?
                } else {
                    None
                };
                let Some(text) = text else {
                    report.skipped.push(file);
                    continue;
                };
                let series = figures::series(path, &text, plot.x.as_deref(), fields);
                for series in series.map_err(backlot_dvc::Error::from)? {
                    lines.push(Line {
                        name: format!("{called}: {}", series.field),
                        points: series.points,
                    });
                }
            }
            if lines.is_empty() {
                continue;
            }
            let name = match plot.sources.as_slice() {
                [(path, _)] => side.label(path)?,
                _ => plot.name.clone(),
            };
            let [x_label, y_label] = plot.labels.clone();
            match report.charts.iter_mut().find(|chart| chart.name == name) {
                Some(chart) => chart.lines.extend(lines),
                None => report.charts.push(Chart {
                    x_is_time: false,
                    title: plot.title.clone().unwrap_or_else(|| name.clone()),
                    name,
                    x_label: x_label
                        .or_else(|| plot.x.clone())
                        .unwrap_or_else(|| "row".to_owned()),
                    y_label: y_label.unwrap_or_default(),
                    lines,
                }),
            }
        }
        Ok(())
    }

    /// An asset of the workspace (`Table`), or a release (`Table==1.0`).
    fn figure_side(&self, what: &str, repo: Option<&str>) -> Result<Side> {
        let (name, version) = self.named_end(what)?;
        match version {
            None => self.side_here(self.output(name.as_str())?),
            Some(version) => self.side_of_release(&self.known_in(&name, repo)?, &name, &version),
        }
    }

    fn side_here(&self, output: Output) -> Result<Side> {
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        let found = self.pipelines()?;
        let project = found.project(&self.state_dir(), &cache, &stat);
        let graph = project.graph(self.context())?;
        let is_own = |file: &RelPath| file.to_path(self.root()).starts_with(&output.project.root);
        let mut pipelines = graph.pipelines().clone();
        pipelines.files.retain(|file| is_own(&file.path));
        pipelines.stages.retain(|stage| is_own(&stage.file));
        Ok(Side {
            end: FigureEnd {
                asset: output.name.clone(),
                version: output.project.metadata.version.clone(),
                repo: None,
            },
            root: self.root().to_path_buf(),
            tracked: self.tracked_of_output(&output)?,
            output,
            pipelines,
            _unpacked: None,
        })
    }

    fn side_of_release(
        &self,
        known: &[KnownReleases],
        name: &PackageName,
        version: &Version,
    ) -> Result<Side> {
        let found = Self::find_release(known, name, version)?;
        let unpacked = TemporaryFolder::absent_in(&self.state_dir());
        let (output, tracked, _) = self.unpack_newer(&found, unpacked.path())?;
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        let root = output.project.root.clone();
        let graph =
            Project::new(&root, self.state_dir().join("pipelines"), &cache, &stat).graph(self.context())?;
        Ok(Side {
            end: FigureEnd {
                asset: output.name.clone(),
                version: version.clone(),
                repo: Some(found.known.repo.clone()),
            },
            root,
            pipelines: graph.pipelines().clone(),
            output,
            tracked,
            _unpacked: Some(unpacked),
        })
    }

    fn values(&self, side: &Side, kind: FigureKind) -> Result<Values> {
        let files: BTreeMap<RelPath, BTreeSet<String>> = match kind {
            FigureKind::Params => side.pipelines.parameter_files(),
            FigureKind::Metrics => {
                let files = side.pipelines.metric_files().into_iter();
                files.map(|file| (file, BTreeSet::new())).collect()
            }
        };
        let (mut values, mut missing) = (Vec::new(), Vec::new());
        for (path, keys) in files {
            let file = side.label(&path)?;
            let Some(text) = self.figure_text(side, &path)? else {
                // Not every pipeline has a `params.yaml`.
                if kind == FigureKind::Metrics || !keys.is_empty() {
                    missing.push(file);
                }
                continue;
            };
            let value = params::read(&file, &text).map_err(backlot_dvc::Error::from)?;
            if value.as_map().is_none() {
                values.push((file, String::new(), value));
                continue;
            }
            let rows = figures::flat(&value).into_iter();
            let is_meant = |key: &String| {
                let below = |wanted: &String| {
                    key.strip_prefix(wanted.as_str())
                        .is_some_and(|rest| rest.starts_with('.'))
                };
                keys.is_empty() || keys.iter().any(|wanted| wanted == key || below(wanted))
            };
            let rows = rows.filter(|(key, _)| is_meant(key));
            values.extend(rows.map(|(key, value)| (file.clone(), key, value)));
        }
        Ok((values, missing))
    }

    /// The text of a file of a side; fetched if it is tracked and not here. `None` if it does not exist, or is a folder.
    fn figure_text(&self, side: &Side, path: &RelPath) -> Result<Option<String>> {
        let full = path.to_path(&side.root);
        if full.is_dir() {
            return Ok(None);
        }
        let place = Place::Inside(path.clone());
        let text = Folder::new(&side.root)
            .read(&place)
            .map_err(backlot_dvc::Error::from)?;
        if text.is_some() {
            return Ok(text);
        }
        let mut outs = side
            .tracked
            .pointers
            .iter()
            .flat_map(TrackedPointer::located_outs);
        if !outs.any(|(place, _)| full.starts_with(place)) {
            return Ok(None);
        }
        let cache = self.cache()?;
        self.bring_manifests(&side.tracked, self.remote_elsewhere(None).as_ref())?;
        let Some((id, pointer)) = side.object(&full, &cache)? else {
            return Ok(None);
        };
        if !cache.has(&id)? {
            for (pin, pointers) in by_pin(&[pointer]) {
                let entry = match &pin {
                    Some(pin) => self.pinned(pin, &pointers)?,
                    None => self.remote_entry(None, "fetching values")?,
                };
                let remote = self.open_remote(entry)?;
                if remote.exists_many(&[id], self.context())?.contains(&true) {
                    remote.pull(&cache, &[Transfer::of(id)], self.context())?;
                }
            }
        }
        let bytes = cache.read_if_there(&id)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }
}

impl Side {
    /// The path of a file in the package; of one beside it, in the asset.
    fn label(&self, path: &RelPath) -> Result<String> {
        let full = path.to_path(&self.root);
        Ok(match wheel_path(&self.output, &full)? {
            Some(path) => path.to_string(),
            None => {
                let own = full
                    .strip_prefix(&self.output.project.root)
                    .unwrap_or(Path::new(path.as_str()));
                own.display().to_string()
            }
        })
    }

    /// The object of a tracked file, and its pointer.
    fn object(&self, full: &Path, cache: &Cache) -> Result<Option<(ObjectId, &TrackedPointer)>> {
        for pointer in &self.tracked.pointers {
            for (place, out) in pointer.located_outs() {
                if let Some(id) = object_in(&place, out, full, cache)? {
                    return Ok(Some((id, pointer)));
                }
            }
        }
        Ok(None)
    }
}

/// The object of a path that is an out, or in one.
fn object_in(place: &Path, out: &Out, full: &Path, cache: &Cache) -> Result<Option<ObjectId>> {
    let (Some(id), Ok(inside)) = (out.id(), full.strip_prefix(place)) else {
        return Ok(None);
    };
    if inside.as_os_str().is_empty() {
        return Ok((!id.tree).then_some(id));
    }
    if !id.tree || !cache.has(&id)? {
        return Ok(None);
    }
    let manifest = backlot_dvc::read_manifest(cache, &id)?;
    let entry = manifest
        .entries()
        .iter()
        .find(|entry| Path::new(entry.path.as_str()) == inside);
    Ok(entry.map(|entry| ObjectId::file(entry.md5)))
}
