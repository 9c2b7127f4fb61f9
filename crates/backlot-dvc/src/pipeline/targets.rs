//! The nodes that a command selects: targets as in DVC, and those above, below or around them.
//!
//! Invariant: nodes come after all that they need, otherwise in the order of the files (DVC's order for one target); only
//! [`Reach::Only`] keeps the order of the targets. Deliberately absent: outputs as targets, which DVC does not take either.

use std::collections::{BTreeSet, HashSet};

use backlot_core::{RelPath, text};

use super::error::{PipelineError, Result};
use super::graph::{Graph, Node};
use super::load::PipelineFile;
use super::place::Place;
use super::stage::PIPELINE_FILE;
use crate::names;

/// How far from the targets nodes are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// The targets and all that they need.
    #[default]
    Needed,
    /// The targets alone (`--single-item`).
    Only,
    /// The targets and all that need them (`--downstream`).
    Downstream,
    /// Everything connected with the targets (`--pipeline`).
    Connected,
    /// All of the project (`--all-pipelines`); targets do not count.
    Everything,
}

/// The selection of a command.
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    /// The targets; none stands for the `dvc.yaml` of the folder.
    pub targets: &'a [String],
    /// The folder that targets are relative to, inside of the project.
    pub folder: Place,
    /// How far to go.
    pub reach: Reach,
    /// Whether a target is a folder whose files, and those below, are meant (`--recursive`).
    pub recursive: bool,
    /// Whether a target is a pattern of names (`--glob`).
    pub glob: bool,
}

impl<'a> Selection<'a> {
    /// Targets of the project's folder, with their dependencies.
    pub fn new(targets: &'a [String]) -> Self {
        Self {
            targets,
            folder: Place::Root,
            reach: Reach::Needed,
            recursive: false,
            glob: false,
        }
    }
}

impl Graph {
    /// The nodes of a selection in the order in which they can be made one after the other. What a frozen node needs is
    /// not above it.
    pub fn select(&self, selection: &Selection<'_>) -> Result<Vec<usize>> {
        if selection.reach == Reach::Everything {
            return Ok(self.in_order(&(0..self.len()).collect()));
        }
        let default = [PIPELINE_FILE.to_owned()];
        let targets = if selection.targets.is_empty() {
            &default
        } else {
            selection.targets
        };
        let (mut named, mut known) = (Vec::new(), HashSet::new());
        for target in targets {
            for node in self.find(target, selection)? {
                if known.insert(node) {
                    named.push(node);
                }
            }
        }
        let edges: &dyn Fn(usize) -> Vec<usize> = match selection.reach {
            Reach::Only | Reach::Everything => return Ok(named),
            Reach::Needed => &|node| self.active_needs(node).to_vec(),
            Reach::Downstream => &|node| self.active_needed_by(node),
            Reach::Connected => &|node| {
                let needs = self.active_needs(node).iter().copied();
                needs.chain(self.active_needed_by(node)).collect()
            },
        };
        let reached = Self::reach(named, edges);
        Ok(self.in_order(&reached))
    }

    fn active_needs(&self, node: usize) -> &[usize] {
        if self.is_frozen(node) {
            &[]
        } else {
            self.needs(node)
        }
    }

    fn active_needed_by(&self, node: usize) -> Vec<usize> {
        let all = self.needed_by(node).iter().copied();
        all.filter(|node| !self.is_frozen(*node)).collect()
    }

    fn reach(from: Vec<usize>, edges: &dyn Fn(usize) -> Vec<usize>) -> BTreeSet<usize> {
        let (mut reached, mut open) = (BTreeSet::new(), from);
        while let Some(node) = open.pop() {
            if reached.insert(node) {
                open.extend(edges(node));
            }
        }
        reached
    }

    fn in_order(&self, nodes: &BTreeSet<usize>) -> Vec<usize> {
        let edges = |node: usize| {
            let needs = self.active_needs(node).iter().copied();
            needs.filter(|need| nodes.contains(need)).collect()
        };
        self.post_order(nodes.iter().copied(), &edges)
    }

    fn find(&self, target: &str, selection: &Selection<'_>) -> Result<Vec<usize>> {
        let place = |path: &str| Place::resolve(&selection.folder, path).ok();
        if selection.recursive
            && let Some(folder) = place(target)
        {
            let found = self.defined_in(&folder);
            if !found.is_empty() {
                return Ok(found);
            }
        }
        if selection.glob {
            let (path, pattern) = target.rsplit_once(':').unwrap_or((PIPELINE_FILE, target));
            let path = if path.is_empty() { PIPELINE_FILE } else { path };
            let file = self.pipeline_file(place(path).as_ref(), target, path)?;
            let found: Vec<usize> = file
                .stages
                .clone()
                .filter(|node| self.stage(*node).is_some_and(|s| matches(pattern, &s.name)))
                .collect();
            if found.is_empty() {
                return self.unknown(target, Some(file));
            }
            return Ok(found);
        }
        if let Some(file) = place(target).as_ref().and_then(|place| self.find_file(place)) {
            return Ok(file.stages.clone().collect());
        }
        if names::is_pointer(target.rsplit('/').next().unwrap_or(target)) {
            let path = place(target);
            let found = (0..self.len()).find(|node| {
                self.tracked(*node)
                    .is_some_and(|tracked| path.as_ref().and_then(Place::inside) == Some(&tracked.file))
            });
            return found.map_or_else(|| self.unknown(target, None), |node| Ok(vec![node]));
        }
        // A key of a group may have any characters, so that only a `:` before the first `@` parts a path from a name.
        let group = target.split('@').next().unwrap_or(target);
        let (path, name) = match group.rfind(':') {
            Some(at) => (&target[..at], &target[at + 1..]),
            None => ("", target),
        };
        let path = if path.is_empty() { PIPELINE_FILE } else { path };
        let file = self.pipeline_file(place(path).as_ref(), target, path)?;
        self.find_name(file, name)
            .map_or_else(|| self.unknown(name, Some(file)), Ok)
    }

    /// Nodes that files in a folder, or below, define.
    fn defined_in(&self, folder: &Place) -> Vec<usize> {
        let inside = |file: &RelPath| match folder {
            Place::Root => true,
            Place::Inside(folder) => file.is_within(folder),
            Place::Outside(_) => false,
        };
        let file_of = |node| match self.node(node) {
            Node::Stage(_) => self.stage(node).map(|stage| &stage.file),
            Node::Tracked(_) => self.tracked(node).map(|tracked| &tracked.file),
        };
        (0..self.len())
            .filter(|node| file_of(*node).is_some_and(inside))
            .collect()
    }

    fn find_file(&self, place: &Place) -> Option<&PipelineFile> {
        let path = place.inside()?;
        self.pipelines().files.iter().find(|file| file.path == *path)
    }

    fn pipeline_file(&self, place: Option<&Place>, target: &str, path: &str) -> Result<&PipelineFile> {
        let found = place.and_then(|place| self.find_file(place));
        found.ok_or_else(|| {
            let file = (target != path).then(|| path.to_owned());
            PipelineError::UnknownTarget {
                target: target.to_owned(),
                file,
                nearest: None,
            }
        })
    }

    /// The stage of a name, or the stages of a group.
    fn find_name(&self, file: &PipelineFile, name: &str) -> Option<Vec<usize>> {
        let mut stages = file.stages.clone();
        let stage = stages.find(|node| self.stage(*node).is_some_and(|stage| stage.name == name));
        if let Some(node) = stage {
            return Some(vec![node]);
        }
        let group = file.groups.iter().find(|(group, _)| group == name)?;
        Some(group.1.clone().collect())
    }

    fn unknown(&self, target: &str, file: Option<&PipelineFile>) -> Result<Vec<usize>> {
        let names = file.into_iter().flat_map(|file| {
            let stages = file.stages.clone().filter_map(|node| self.stage(node));
            let groups = file.groups.iter().map(|(group, _)| group.as_str());
            stages.map(|stage| stage.name.as_str()).chain(groups)
        });
        Err(PipelineError::UnknownTarget {
            target: target.to_owned(),
            file: file.map(|file| file.path.to_string()),
            nearest: text::nearest(target, names).map(ToOwned::to_owned),
        })
    }
}

/// Whether a name fits a pattern of Python's `fnmatch`: `*`, `?`, `[abc]`, `[!a-c]`.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut p) = (0, 0);
    // Where to go on if what follows the last `*` does not fit: one character later.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if p == pattern.len() && at == name.len() {
            return true;
        }
        if pattern.get(p) == Some(&'*') {
            retry = Some((p + 1, at));
            p += 1;
            continue;
        }
        let step = name.get(at).and_then(|c| one(&pattern[p..], *c));
        if let Some(length) = step {
            p += length;
            at += 1;
            continue;
        }
        match &mut retry {
            Some((after, from)) if *from < name.len() => {
                *from += 1;
                (p, at) = (*after, *from);
            }
            _ => return false,
        }
    }
}

/// How much of a pattern stands for one character, if it fits.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern.first()? {
        '?' => Some(1),
        '[' => {
            let negated = pattern.get(1) == Some(&'!');
            let start = if negated { 2 } else { 1 };
            // A `]` at the start is one of the set.
            let length = pattern.get(start + 1..)?.iter().position(|c| *c == ']');
            let Some(end) = length.map(|length| start + 1 + length) else {
                return (c == '[').then_some(1);
            };
            let set = &pattern[start..end];
            let mut found = set.contains(&c);
            for range in set.windows(3).filter(|range| range[1] == '-') {
                found |= (range[0]..=range[2]).contains(&c);
            }
            (found != negated).then_some(end + 1)
        }
        plain => (*plain == c).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_are_those_of_fnmatch() {
        for (pattern, yes, no) in [
            ("?1", "a1", "1"),
            ("a*c", "abbc", "abb"),
            ("*a*b", "xaxab", "xba"),
            ("[ab]x", "bx", "cx"),
            ("[!ab]x", "cx", "ax"),
            ("[a-c]", "b", "d"),
            ("[]]", "]", "["),
            ("[a", "[a", "a"),
            ("*", "", "\0".repeat(0).as_str()),
            ("a", "a", "aa"),
        ] {
            assert!(matches(pattern, yes), "{pattern} {yes}");
            assert!(pattern == "*" || !matches(pattern, no), "{pattern} {no}");
        }
    }
}
