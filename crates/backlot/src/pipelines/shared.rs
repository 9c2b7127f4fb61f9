//! Results of stages on remotes: sent for other machines, and fetched ahead of a run.
//!
//! Invariants: what is sent is of the present inputs of the stages that are named, whole, and its objects are there before its entry; what is
//! fetched is checked by those who take it. Deliberately absent: results of other inputs, and of other workspaces that share the cache.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backlot_dvc::pipeline::run::{self, KnownResult, RunCache, RunOptions};
use backlot_dvc::pipeline::{Graph, Place, Reach};
use backlot_store::{ObjectId, Remote, Transfer};
use serde::{Deserialize, Serialize};

use crate::error::{OutsError, Result};
use crate::files::moved::MoveReport;
use crate::pipelines::found::{Found, Targets};
use crate::workspace::config::RemoteEntry;
use crate::workspace::{Opened, local_cache};

/// The result of a push or pull of results.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ResultsReport {
    /// The remotes.
    pub remotes: Vec<String>,
    /// Results that were moved, in each layout that a remote has.
    pub results: u64,
    /// Results that were there already (push only).
    pub already_there: u64,
    /// Their objects that were moved.
    pub objects: u64,
    /// The bytes of these.
    pub bytes: u64,
    /// Whether nothing was changed. For a pull, only results whose inputs are here are counted.
    pub dry_run: bool,
}

impl Opened {
    /// Send the results of stages for their present inputs.
    pub(crate) fn push_results(
        &self,
        names: &[String],
        remote: Option<&str>,
        dry_run: bool,
    ) -> Result<ResultsReport> {
        let mut report = ResultsReport {
            dry_run,
            ..ResultsReport::default()
        };
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        let found = self.pipelines()?;
        let project = found.project(&self.state_dir(), &cache, &stat);
        let graph = project.graph(self.context())?;
        let (found, Some((targets, reach))) = self.with_results(found, &graph, names)? else {
            return Ok(report);
        };
        found.check(&graph, &targets.select(&graph, reach)?, &self.outputs_dir())?;
        let options = RunOptions::default()
            .targets(targets.names)
            .folder(targets.folder)
            .reach(reach);
        let _held = local_cache::used::hold(self.cache_dir(), self.context())?;
        let results = run::known_results(&project, &options, self.context())?;
        // Each remote has all results that an out of it is in.
        let mut of_pins: BTreeMap<&Option<String>, Vec<&KnownResult>> = BTreeMap::new();
        for result in &results {
            for pin in result.objects.keys() {
                of_pins.entry(pin).or_default().push(result);
            }
        }
        let mut opened = Vec::with_capacity(of_pins.len());
        for (pin, results) in of_pins {
            let entry = match pin {
                None => self.remote_entry(remote, "pushing results of stages")?,
                Some(pin) => self.pinned_result(pin, &results)?,
            };
            report.remotes.push(entry.name.clone());
            opened.push((pin, self.open_remote(entry)?, results));
        }
        // All objects before the first entry: a result may have outs on several remotes.
        for (pin, remote, results) in &opened {
            let objects = results.iter().filter_map(|result| result.objects.get(*pin));
            self.push_objects(remote, objects.flatten().copied().collect(), &mut report)?;
        }
        for (_, remote, results) in &opened {
            for result in results {
                self.context().check()?;
                self.push_entry(remote, result, &mut report)?;
            }
        }
        Ok(report)
    }

    fn push_objects(
        &self,
        remote: &Remote,
        objects: BTreeSet<ObjectId>,
        report: &mut ResultsReport,
    ) -> Result<()> {
        let cache = self.cache()?;
        let mut ids: Vec<ObjectId> = objects.into_iter().collect();
        // Files before the manifests that name them.
        ids.sort_by_key(|id| id.tree);
        let digests = cache.proven_of_all(&ids)?;
        let transfers = ids.iter().zip(&digests);
        let transfers: Vec<Transfer> = transfers
            .map(|(id, digests)| Transfer::proven(*id, digests))
            .collect();
        let mut moved = MoveReport::default();
        if report.dry_run {
            moved.plan(&transfers, remote, self)?;
        } else {
            moved.take(&remote.push(&cache, &transfers, self.context())?);
        }
        report.objects += moved.objects;
        report.bytes += moved.bytes;
        Ok(())
    }

    fn push_entry(&self, remote: &Remote, result: &KnownResult, report: &mut ResultsReport) -> Result<()> {
        let there = remote.result_names(result.layout, &result.key)?;
        if there.contains(&result.name) {
            report.already_there += 1;
            return Ok(());
        }
        let cache = self.cache()?;
        let entry = RunCache::new(&cache, result.layout).read(&result.name)?;
        // A cleaning of the cache may have taken it meanwhile.
        let Some(entry) = entry else { return Ok(()) };
        let is_sent = if report.dry_run {
            remote.has_results(result.layout)
        } else {
            remote.write_result(result.layout, &result.name, &entry)?
        };
        report.results += u64::from(is_sent);
        Ok(())
    }

    /// Fetch the results of stages for their present inputs, with their objects, and what `dvc.lock` files name. Nothing is put into place.
    pub(crate) fn pull_results(
        &self,
        names: &[String],
        remote: Option<&str>,
        dry_run: bool,
    ) -> Result<ResultsReport> {
        let mut report = ResultsReport {
            dry_run,
            ..ResultsReport::default()
        };
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        let found = self.pipelines()?;
        let project = found.project(&self.state_dir(), &cache, &stat);
        let graph = project.graph(self.context())?;
        let (found, Some((targets, reach))) = self.with_results(found, &graph, names)? else {
            return Ok(report);
        };
        let nodes = targets.select(&graph, reach)?;
        found.check(&graph, &nodes, &self.outputs_dir())?;
        let stages = nodes.iter().filter_map(|node| graph.stage(*node));
        let pull = Arc::new(self.pull_from(stages, remote, dry_run)?);
        let options = RunOptions::default()
            .targets(targets.names)
            .folder(targets.folder)
            .reach(reach)
            .pull(Some(pull.clone()));
        let _held = local_cache::used::hold(self.cache_dir(), self.context())?;
        run::plan(&project, &options, self.context())?;
        let pulled = pull.pulled();
        report.remotes = pull.names();
        (report.results, report.objects, report.bytes) = (pulled.results, pulled.objects, pulled.bytes);
        Ok(report)
    }

    /// The stages that names mean with all that they need; all stages without names. `None` if there are none.
    fn with_results(
        &self,
        found: Found,
        graph: &Graph,
        names: &[String],
    ) -> Result<(Found, Option<(Targets, Reach)>)> {
        if graph.pipelines().stages.is_empty() {
            return Ok((found, None));
        }
        if names.is_empty() {
            let everything = Targets {
                names: Vec::new(),
                folder: Place::Root,
            };
            return Ok((found, Some((everything, Reach::Everything))));
        }
        let (found, targets) = found.targets(graph, names, self.root())?;
        // An asset without stages.
        let targets = (!targets.names.is_empty()).then_some((targets, Reach::Needed));
        Ok((found, targets))
    }

    fn pinned_result(&self, pin: &str, results: &[&KnownResult]) -> Result<&RemoteEntry> {
        let entry = self.config().remotes.iter().find(|remote| remote.name == pin);
        entry.ok_or_else(|| {
            let stage = results.first().map(|result| result.stage.clone());
            let error = OutsError::UnknownPin {
                pointer: stage.unwrap_or_default(),
                remote: pin.to_owned(),
            };
            error.into()
        })
    }
}
