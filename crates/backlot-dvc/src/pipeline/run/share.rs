//! Results that other machines can use: those for the present inputs of stages, with all their objects here.
//!
//! Invariants: a result is named only if all its objects are in the cache and may be pushed; results of other inputs, and of other projects
//! that share the cache, are not named. Deliberately absent: sending them, and [`super::Pull`], by which a run takes them.

use std::collections::BTreeMap;

use backlot_core::{Context, Sha256};
use backlot_store::{ObjectId, RunCacheLayout};

use super::super::{Place, Stage, run_cache};
use super::options::RunOptions;
use super::project::Project;
use super::results::RunCache;
use super::stage::Known;
use super::world::{Overlay, World};
use crate::error::{Error, Result};

/// Objects by the remote that outputs are pinned to.
pub type ObjectsByPin = BTreeMap<Option<String>, Vec<ObjectId>>;

/// A result of a stage as its inputs are now, with all its objects in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownResult {
    /// The stage, as targets of the project's folder name it.
    pub stage: String,
    /// How its entry is laid out.
    pub layout: RunCacheLayout,
    /// The key of its entry.
    pub key: Sha256,
    /// The name of its entry: `<2 hex digits>/<key>/<value>`.
    pub name: String,
    /// Its objects by the remote that outputs are pinned to: the files of a folder before their manifest.
    pub objects: ObjectsByPin,
}

/// The results of the selected stages that other machines can use. A stage with a missing dependency or parameter has none.
pub fn known_results(
    project: &Project<'_>,
    options: &RunOptions,
    context: &Context,
) -> Result<Vec<KnownResult>> {
    let graph = project.graph(context)?;
    let order = graph.select(&options.selection())?;
    let stages = order.iter().filter_map(|node| graph.stage(*node));
    let is_shared = |stage: &&Stage| run_cache::is_eligible(stage) && stage.outs.iter().all(|out| out.push);
    let stages: Vec<&Stage> = stages.filter(is_shared).collect();
    let deps = stages.iter().flat_map(|stage| &stage.deps);
    let places: Vec<Place> = deps.map(|dep| dep.place.clone()).collect();
    let world = World::frozen(project, context, places.iter())?;
    let known = Known::new(&graph, options);
    let mut found = Vec::new();
    for stage in stages {
        context.check()?;
        let keys = match known.keys(stage, &Overlay::new(&world)) {
            Ok(keys) => keys,
            Err(Error::Pipeline(_)) => continue,
            Err(error) => return Err(error),
        };
        for (layout, key) in keys {
            let run_cache = RunCache::new(project.cache, layout);
            for name in run_cache.names_of(&key)? {
                if let Some(objects) = objects(&world, stage, &run_cache, &name)? {
                    found.push(KnownResult {
                        stage: stage.address(),
                        layout,
                        key,
                        name,
                        objects,
                    });
                }
            }
        }
    }
    Ok(found)
}

/// The objects of an entry by pins; `None` if one is missing, or the entry is damaged or not of this stage.
fn objects(
    world: &World<'_>,
    stage: &Stage,
    run_cache: &RunCache<'_>,
    name: &str,
) -> Result<Option<ObjectsByPin>> {
    let Some(bytes) = run_cache.read(name)? else {
        return Ok(None);
    };
    let Ok(outs) = run_cache.outs(name, &bytes) else {
        return Ok(None);
    };
    let mut objects = ObjectsByPin::new();
    for out in &stage.outs {
        let Some((_, id)) = outs.iter().find(|(path, _)| *path == out.path) else {
            return Ok(None);
        };
        if !world.has(*id)? {
            return Ok(None);
        }
        let of_pin = objects.entry(out.remote.clone()).or_default();
        let members = world.members(*id)?.unwrap_or_default();
        of_pin.extend(members.into_iter().map(|(_, id)| id));
        of_pin.push(*id);
    }
    Ok(Some(objects))
}
