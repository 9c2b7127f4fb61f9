//! Which cascade, and which asset of it, is meant; and how one stands.
//!
//! Invariant: an id, or its beginning, means one cascade of all repos of the studio, or it is an error. Deliberately absent: running and requests.

use std::collections::BTreeSet;

use backlot_cascade::{CascadeId, Ending, Entry, NodeId, RepoName, RunState, schedule};
use backlot_core::Timestamp;

use crate::cascade::ledger::RepoJournal;
use crate::error::{CascadeError, Result};
use crate::workspace::Opened;

impl Opened {
    /// The repo and the whole id of a cascade that an id, or its beginning, means; without one, of the last that was begun.
    pub(crate) fn find_cascade(&self, id: Option<&str>) -> Result<(String, CascadeId)> {
        let Some(id) = id else {
            let newest = self.begun()?.into_iter().next();
            return newest.map(|(repo, cascade, _)| (repo, cascade)).ok_or_else(|| {
                CascadeError::Unknown {
                    id: "newest".to_owned(),
                }
                .into()
            });
        };
        let mut found = Vec::new();
        for (repo, store) in self.ledgers() {
            let names = store.record_names("runs/")?;
            let ids = names.iter().filter_map(|name| name.strip_suffix('/'));
            for known in ids.filter(|known| known.starts_with(id)) {
                let cascade = CascadeId(known.to_owned());
                // A folder keeps the place of a journal that was removed.
                if RepoJournal::new(store.clone(), &cascade).first()?.is_some() {
                    found.push((repo.clone(), cascade));
                }
            }
        }
        // The same id in two repos is the same cascade only by a copy of a repo: the preferred one is meant.
        found.dedup_by(|next, kept| next.1 == kept.1);
        match found.len() {
            0 => Err(CascadeError::Unknown { id: id.to_owned() }.into()),
            1 => Ok(found.remove(0)),
            _ => Err(CascadeError::Ambiguous {
                id: id.to_owned(),
                found: found.into_iter().map(|(_, id)| id.0).collect(),
            }
            .into()),
        }
    }

    /// All cascades with their first entries, newest first.
    pub(crate) fn begun(&self) -> Result<Vec<(String, CascadeId, Entry)>> {
        let mut found = Vec::new();
        for (repo, store) in self.ledgers() {
            let names = store.record_names("runs/")?;
            for name in names.iter().filter_map(|name| name.strip_suffix('/')) {
                self.context().check()?;
                let cascade = CascadeId(name.to_owned());
                if let Some(first) = RepoJournal::new(store.clone(), &cascade).first()? {
                    found.push((repo.clone(), cascade, first));
                }
            }
        }
        found.sort_by(|a, b| (b.2.at, &b.1).cmp(&(a.2.at, &a.1)));
        Ok(found)
    }

    /// The asset of a cascade that a name means: `review/table`, or `table` where only one repo of the plan has it.
    pub(crate) fn node_of(state: &RunState, name: &str) -> Result<NodeId> {
        let plan = state.plan();
        let nodes = plan.nodes.iter().map(|planned| &planned.dirty.node);
        let nodes: Vec<&NodeId> = nodes.chain(plan.others.iter().map(|dirty| &dirty.node)).collect();
        let unknown = || backlot_cascade::Error::UnknownNode {
            cascade: plan.id.to_string(),
            node: name.to_owned(),
        };
        let (repo, package) = match name.rsplit_once('/') {
            Some((repo, package)) => (Some(RepoName::new(repo)), package),
            None => (None, name),
        };
        let package = backlot_pep::PackageName::of_asset(package)?;
        let is_meant =
            |node: &&&NodeId| node.package == package && repo.as_ref().is_none_or(|repo| node.repo == *repo);
        let mut found = nodes.iter().filter(is_meant);
        match (found.next(), found.next()) {
            (Some(node), None) => Ok((*node).clone()),
            _ => Err(unknown().into()),
        }
    }
}

/// How a cascade stands when nobody runs it any more; `None` while something runs or can be started.
pub(crate) fn ending_of(state: &RunState, now: Timestamp) -> Option<Ending> {
    schedule(state, now, &BTreeSet::new()).ending
}
