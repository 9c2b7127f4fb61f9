//! The stages of a workspace and their dependencies.
//!
//! Deliberately absent: their state, and how a graph is drawn.

use std::path::Path;

use backlot_dvc::pipeline::{Place, Reach};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::pipelines::found::Targets;
use crate::workspace::Opened;

/// A stage, or a tracked file that a stage reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StageNode {
    /// The stage as targets of the workspace's folder name it, or the `.dvc` file.
    pub name: String,
    /// The asset it is of.
    pub asset: Option<String>,
    /// Whether it is a stage.
    pub is_stage: bool,
    /// Its commands, each for a shell of its own.
    pub commands: Vec<String>,
    /// Its dependencies, relative to the workspace.
    pub deps: Vec<String>,
    /// Its outputs or tracked paths, relative to the workspace.
    pub outs: Vec<String>,
    /// Whether it is never run.
    pub frozen: bool,
    /// Its description in its file.
    pub desc: Option<String>,
    /// The stages and tracked files that produce its dependencies.
    pub needs: Vec<String>,
}

impl Opened {
    /// The stages that targets mean, with all that they need, each after those it needs; without targets, all stages.
    pub(crate) fn stages(&self, targets: &[String], folder: Option<&Path>) -> Result<Vec<StageNode>> {
        let found = self.pipelines()?;
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        let graph = found
            .project(&self.state_dir(), &cache, &stat)
            .graph(self.context())?;
        let (order, found) = if targets.is_empty() {
            let everything = Targets {
                names: Vec::new(),
                folder: Place::Root,
            };
            (everything.select(&graph, Reach::Everything)?, found)
        } else {
            let folder = folder.unwrap_or(self.root());
            let (found, targets) = found.targets(&graph, targets, folder)?;
            (targets.select(&graph, Reach::Needed)?, found)
        };
        let mut nodes = Vec::new();
        for node in order {
            let needs = graph.needs(node).iter().map(|need| graph.name(*need)).collect();
            let outs = graph.outs(node).iter().map(ToString::to_string).collect();
            let Some(stage) = graph.stage(node) else {
                let file = graph.tracked(node).map(|tracked| &tracked.file);
                // A pointer that no stage reads is not of a pipeline.
                if !graph.needed_by(node).is_empty() {
                    nodes.push(StageNode {
                        name: graph.name(node),
                        asset: file.and_then(|file| found.asset_of(file)).map(ToOwned::to_owned),
                        is_stage: false,
                        commands: Vec::new(),
                        deps: Vec::new(),
                        outs,
                        frozen: false,
                        desc: None,
                        needs,
                    });
                }
                continue;
            };
            nodes.push(StageNode {
                name: stage.address(),
                asset: found.asset_of(&stage.file).map(ToOwned::to_owned),
                is_stage: true,
                commands: stage.command_lines().into_iter().map(ToOwned::to_owned).collect(),
                deps: stage.deps.iter().map(|dep| dep.place.to_string()).collect(),
                outs,
                frozen: stage.frozen,
                desc: stage.desc.clone(),
                needs,
            });
        }
        Ok(nodes)
    }
}
