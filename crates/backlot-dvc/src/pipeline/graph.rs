//! The graph of a project: which stages and pointers produce the inputs of others, and their order.
//!
//! Invariants: no output is made twice or inside of another, and nothing waits for itself; nodes stand in the order they
//! were given in, edges in the order of dependencies, and so does every walk. Deliberately absent: which nodes are to be
//! run ([`super::targets`], [`super::verdict`]).

use std::collections::{BTreeMap, HashMap, HashSet};

use backlot_core::RelPath;

use super::error::{PipelineError, Result, Spot};
use super::load::Pipelines;
use super::place::Place;
use super::stage::Stage;
use crate::pointer::Pointer;

/// How many edges a graph may have: with more, stages read whole folders that all others write into.
const MAX_EDGES: usize = 5_000_000;

/// A pointer with where it is.
#[derive(Clone, Debug)]
pub struct TrackedFile {
    /// The `.dvc` file.
    pub file: RelPath,
    /// Its tracked path, relative to the project.
    pub outs: Vec<RelPath>,
    /// Whether it is an import.
    pub import: bool,
    /// Whether an import is not to be updated.
    pub frozen: bool,
}

impl TrackedFile {
    /// The outputs of a pointer in their places.
    pub fn new(file: RelPath, pointer: &Pointer) -> Self {
        let folder = match (&pointer.wdir, file.parent()) {
            (Some(wdir), Some(parent)) => Some(wdir.below(&parent)),
            (Some(wdir), None) => Some(wdir.clone()),
            (None, parent) => parent,
        };
        let place = |path: &RelPath| {
            folder
                .as_ref()
                .map_or_else(|| path.clone(), |folder| path.below(folder))
        };
        Self {
            outs: pointer.outs.iter().map(|out| place(&out.path)).collect(),
            import: pointer.is_import(),
            frozen: pointer.frozen,
            file,
        }
    }
}

/// A node of the graph.
#[derive(Clone, Debug)]
pub enum Node {
    /// A stage, as its position in [`Graph::stage`].
    Stage(usize),
    /// A pointer, as its position in [`Graph::tracked`].
    Tracked(usize),
}

/// Stages and pointers, and their dependencies. Nodes are counted from 0: stages first, then pointers.
#[derive(Clone, Debug)]
pub struct Graph {
    pipelines: Pipelines,
    tracked: Vec<TrackedFile>,
    needs: Vec<Vec<usize>>,
    needed_by: Vec<Vec<usize>>,
}

impl Graph {
    /// Connect stages and pointers, and refuse what DVC refuses before anything runs.
    pub fn new(pipelines: Pipelines, tracked: Vec<TrackedFile>) -> Result<Self> {
        let count = pipelines.stages.len() + tracked.len();
        let mut graph = Self {
            pipelines,
            tracked,
            needs: vec![Vec::new(); count],
            needed_by: vec![Vec::new(); count],
        };
        let outputs = graph.outputs()?;
        graph.check_definitions(&outputs)?;
        let mut edges = 0;
        for node in 0..graph.pipelines.stages.len() {
            edges += graph.connect(node, &outputs)?;
            if edges > MAX_EDGES {
                return Err(graph.too_dense(node));
            }
        }
        for (node, needs) in graph.needs.iter().enumerate() {
            for need in needs {
                graph.needed_by[*need].push(node);
            }
        }
        graph.check_circles()?;
        Ok(graph)
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.needs.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.needs.is_empty()
    }

    /// The kind of a node.
    pub fn node(&self, node: usize) -> Node {
        let stages = self.pipelines.stages.len();
        if node < stages {
            Node::Stage(node)
        } else {
            Node::Tracked(node - stages)
        }
    }

    /// The stage of a node, or `None` if it is a pointer.
    pub fn stage(&self, node: usize) -> Option<&Stage> {
        self.pipelines.stages.get(node)
    }

    /// The pointer of a node, or `None` if it is a stage.
    pub fn tracked(&self, node: usize) -> Option<&TrackedFile> {
        self.tracked.get(node.checked_sub(self.pipelines.stages.len())?)
    }

    /// The files that stages are from.
    pub fn pipelines(&self) -> &Pipelines {
        &self.pipelines
    }

    /// The pointers.
    pub fn tracked_files(&self) -> &[TrackedFile] {
        &self.tracked
    }

    /// The nodes that produce the inputs of a node.
    pub fn needs(&self, node: usize) -> &[usize] {
        &self.needs[node]
    }

    /// The nodes that read the outputs of a node.
    pub fn needed_by(&self, node: usize) -> &[usize] {
        &self.needed_by[node]
    }

    /// Whether dependencies of a node are not looked at.
    pub fn is_frozen(&self, node: usize) -> bool {
        let stage = self.stage(node).is_some_and(|stage| stage.frozen);
        stage || self.tracked(node).is_some_and(|tracked| tracked.frozen)
    }

    /// The name of a node in messages: a stage's address, or the path of a pointer.
    pub fn name(&self, node: usize) -> String {
        match (self.stage(node), self.tracked(node)) {
            (Some(stage), _) => stage.address(),
            (None, Some(tracked)) => tracked.file.to_string(),
            (None, None) => String::new(),
        }
    }

    fn quoted(&self, node: usize) -> String {
        format!("`{}`", self.name(node))
    }

    /// The places of the outputs of a node.
    pub fn outs(&self, node: usize) -> Vec<&RelPath> {
        match (self.stage(node), self.tracked(node)) {
            (Some(stage), _) => stage.outs.iter().map(|out| &out.place).collect(),
            (None, Some(tracked)) => tracked.outs.iter().collect(),
            (None, None) => Vec::new(),
        }
    }

    fn outputs(&self) -> Result<Outputs> {
        let mut outputs = Outputs::default();
        for node in 0..self.len() {
            for place in self.outs(node) {
                if let Some(other) = outputs.exact.insert(place.as_str().to_owned(), node) {
                    return Err(PipelineError::SameOutput {
                        path: place.to_string(),
                        first: self.quoted(other),
                        second: self.quoted(node),
                    });
                }
                outputs.sorted.insert(sort_key(place.as_str()), node);
            }
        }
        for node in 0..self.len() {
            for place in self.outs(node) {
                if let Some((outer, owner)) = outputs.around(place) {
                    return Err(PipelineError::OverlappingOutputs {
                        inner: place.to_string(),
                        inner_owner: self.quoted(node),
                        outer_owner: self.quoted(owner),
                        outer,
                    });
                }
            }
        }
        Ok(outputs)
    }

    /// No file that defines nodes may be an output or inside of one.
    fn check_definitions(&self, outputs: &Outputs) -> Result<()> {
        let files = self.pipelines.files.iter().map(|file| &file.path);
        for file in files.chain(self.tracked.iter().map(|tracked| &tracked.file)) {
            let exact = outputs
                .exact
                .get(file.as_str())
                .map(|node| (file.to_string(), *node));
            if let Some((path, node)) = exact.or_else(|| outputs.around(file)) {
                return Err(PipelineError::DefinitionInOutput {
                    file: file.to_string(),
                    path,
                    stage: self.quoted(node),
                });
            }
        }
        Ok(())
    }

    fn too_dense(&self, node: usize) -> PipelineError {
        let stage = &self.pipelines.stages[node];
        PipelineError::Schema {
            spot: Spot::new(&stage.file, stage.line),
            key: format!("stages.{}.deps", stage.name),
            reason: format!("and those before have more than {MAX_EDGES} stages to wait for"),
        }
    }

    /// Find the dependencies of a node. Returns their number.
    fn connect(&mut self, node: usize, outputs: &Outputs) -> Result<usize> {
        let stage = &self.pipelines.stages[node];
        let deps = stage.deps.iter().map(|dep| &dep.place);
        let (mut needs, mut known) = (Vec::new(), HashSet::new());
        for place in deps.chain(stage.params.iter().map(|params| &params.place)) {
            let own = place
                .inside()
                .is_some_and(|path| outputs.exact.get(path.as_str()) == Some(&node));
            if own {
                return Err(PipelineError::OwnOutput {
                    stage: self.quoted(node),
                    path: place.to_string(),
                });
            }
            for other in outputs.overlapping(place) {
                if known.insert(other) {
                    needs.push(other);
                }
            }
        }
        let count = needs.len();
        self.needs[node] = needs;
        Ok(count)
    }

    /// Refuse circles; a stage that reads a folder it writes into is one too.
    fn check_circles(&self) -> Result<()> {
        let mut walk = Walk::new(self.len());
        for node in 0..self.len() {
            if let Some(circle) = walk.run(node, &self.needs) {
                return Err(PipelineError::Cycle {
                    stages: circle.into_iter().map(|node| self.quoted(node)).collect(),
                });
            }
        }
        Ok(())
    }

    /// Nodes after all that they need: depth first from `roots`, over `edges` from a node to those it needs.
    pub(crate) fn post_order(
        &self,
        roots: impl IntoIterator<Item = usize>,
        edges: &dyn Fn(usize) -> Vec<usize>,
    ) -> Vec<usize> {
        let mut walk = Walk::new(self.len());
        let edges: Vec<Vec<usize>> = (0..self.len()).map(edges).collect();
        for root in roots {
            walk.run(root, &edges);
        }
        walk.done
    }
}

/// The outputs of all nodes, to be found by path.
#[derive(Default)]
struct Outputs {
    exact: HashMap<String, usize>,
    /// With keys in which all paths inside of a folder follow it.
    sorted: BTreeMap<String, usize>,
}

/// NUL, which no path has, sorts before all other characters.
fn sort_key(path: &str) -> String {
    path.replace('/', "\0")
}

impl Outputs {
    /// The output that a path is inside of.
    fn around(&self, path: &RelPath) -> Option<(String, usize)> {
        let mut folder = path.parent();
        while let Some(path) = folder {
            if let Some(node) = self.exact.get(path.as_str()) {
                return Some((path.to_string(), *node));
            }
            folder = path.parent();
        }
        None
    }

    /// The nodes with an output that a place is, is inside of, or contains, in this order.
    fn overlapping(&self, place: &Place) -> Vec<usize> {
        let path = match place {
            Place::Outside(_) => return Vec::new(),
            Place::Root => return self.sorted.values().copied().collect(),
            Place::Inside(path) => path,
        };
        if let Some((_, node)) = self.around(path) {
            return vec![node];
        }
        let exact = self.exact.get(path.as_str()).copied();
        let inner = format!("{}\0", sort_key(path.as_str()));
        let inside = self
            .sorted
            .range(inner.clone()..)
            .take_while(|(key, _)| key.starts_with(&inner))
            .map(|(_, node)| *node);
        exact.into_iter().chain(inside).collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    Open,
    Done,
}

/// A walk that needs no stack of the machine, so that a chain of any length can be walked.
struct Walk {
    marks: Vec<Mark>,
    done: Vec<usize>,
}

impl Walk {
    fn new(count: usize) -> Self {
        Self {
            marks: vec![Mark::New; count],
            done: Vec::new(),
        }
    }

    /// Walk from a node; returns a circle if there is one, with its first node at both ends.
    fn run(&mut self, root: usize, edges: &[Vec<usize>]) -> Option<Vec<usize>> {
        if self.marks[root] != Mark::New {
            return None;
        }
        self.marks[root] = Mark::Open;
        let mut open = vec![(root, 0)];
        while let Some((node, next)) = open.last_mut() {
            let Some(child) = edges[*node].get(*next).copied() else {
                self.marks[*node] = Mark::Done;
                self.done.push(*node);
                open.pop();
                continue;
            };
            *next += 1;
            match self.marks[child] {
                Mark::Done => {}
                Mark::New => {
                    self.marks[child] = Mark::Open;
                    open.push((child, 0));
                }
                Mark::Open => {
                    let nodes = open.iter().map(|(node, _)| *node);
                    let circle = nodes.skip_while(|node| *node != child);
                    return Some(circle.chain([child]).collect());
                }
            }
        }
        None
    }
}
