//! Tests of pipelines as a whole: DVC's own verdicts and locks, graphs, targets and size.

#[cfg(unix)]
pub(super) mod bench;
#[cfg(unix)]
pub(super) mod golden;
mod graphs;
mod judging;
mod loading;
mod writing;

use std::collections::BTreeMap;

use backlot_core::RelPath;

use super::{ArgumentStyle, Graph, Pipelines, Place, ProjectFiles, Result};

/// Files in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(BTreeMap<String, String>);

impl Memory {
    pub(super) fn new(files: &[(&str, &str)]) -> Self {
        let owned = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Self(owned.collect())
    }

    /// Load the files named `dvc.yaml`.
    pub(super) fn load(&self) -> Result<Pipelines> {
        let paths: Vec<RelPath> = self
            .0
            .keys()
            .filter(|path| path.rsplit('/').next() == Some("dvc.yaml"))
            .map(|path| RelPath::parse(path).expect("a path"))
            .collect();
        Pipelines::load(self, &paths, ArgumentStyle::default())
    }

    pub(super) fn graph(&self) -> Result<Graph> {
        Graph::new(self.load()?, Vec::new())
    }
}

impl ProjectFiles for Memory {
    fn read(&self, place: &Place) -> Result<Option<String>> {
        Ok(self.0.get(&place.to_string()).cloned())
    }
}
